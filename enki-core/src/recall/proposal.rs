//! What agents propose to remember. A person takes it or drops it; until then it is no entry, and in no prompt.

use super::{Category, Decision, Entry, ErrorCategory, Failure, FailureStatus, Pattern};
use serde::{Deserialize, Serialize};

/// An entry that an agent proposed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// Its name among the proposals; empty until it is kept.
    #[serde(default)]
    pub id: String,
    /// Who proposed it: which attempt of which task, in one line.
    #[serde(default)]
    pub from: String,
    /// When.
    #[serde(default)]
    pub date: String,
    /// It.
    pub entry: Entry,
}

/// Most words or paths of a proposed entry.
const LIST: usize = 16;

/// The entry that an agent wrote as JSON with its `kind`: its words, and nothing that only Enki or a person decides.
/// `None` if it cannot be read, says nothing, or is a preference, which is a person's.
#[must_use]
pub fn proposed(text: &str) -> Option<Entry> {
    let few = |mut list: Vec<String>| {
        list.truncate(LIST);
        list
    };
    let entry = match serde_json::from_str(text).ok()? {
        Entry::Decision(it) => Entry::Decision(Decision {
            category: Category::known(it.category.as_str()).unwrap_or_default(),
            what: it.what,
            why: it.why,
            scope: few(it.scope),
            ..Decision::default()
        }),
        Entry::Pattern(it) => Entry::Pattern(Pattern {
            name: it.name,
            description: it.description,
            when_to_use: it.when_to_use,
            example_files: few(it.example_files),
            keywords: few(it.keywords),
            ..Pattern::default()
        }),
        Entry::Failure(it) => Entry::Failure(Failure {
            status: if it.resolution.trim().is_empty() { FailureStatus::Unresolved } else { FailureStatus::Resolved },
            error: it.error,
            context: it.context,
            root_cause: it.root_cause,
            resolution: it.resolution,
            prevention: it.prevention,
            keywords: few(it.keywords),
            category: ErrorCategory::known(it.category.as_str()).unwrap_or_default(),
            ..Failure::default()
        }),
        Entry::Preference(_) => return None,
    };
    (!entry.title().trim().is_empty()).then_some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recall::{Confidence, DecisionStatus, Writer};

    #[test]
    fn only_the_words_of_a_proposal_are_taken() {
        let text = r#"{"kind":"decision","id":"dec_1","what":"One lock a folder","why":"w","scope":["a.rs"],"by":"enki",
            "count":99,"confidence":"high","status":"reverted","category":"astrology","owner":"me"}"#;
        let Some(Entry::Decision(it)) = proposed(text) else { panic!() };
        assert_eq!((it.what.as_str(), it.scope.as_slice()), ("One lock a folder", &["a.rs".to_owned()][..]));
        let rest =
            Decision { what: it.what.clone(), why: it.why.clone(), scope: it.scope.clone(), ..Decision::default() };
        assert_eq!(it, rest, "all else is as it is without a word of it");
        assert_eq!((it.confidence, it.status, it.by), (Confidence::Medium, DecisionStatus::Active, Writer::Person));
    }

    #[test]
    fn what_says_nothing_or_is_a_persons_is_no_proposal() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"kind":"decision"}"#,
            r#"{"kind":"decision","what":" "}"#,
            r#"{"kind":"pattern","name":3}"#,
            r#"{"kind":"preference","key":"tests","value":"none"}"#,
            r#"{"kind":"gospel","what":"x"}"#,
        ] {
            assert_eq!(proposed(text), None, "{text}");
        }
        let words = vec!["w"; 99];
        let many =
            serde_json::json!({"kind": "failure", "error": "e", "resolution": "r", "keywords": words}).to_string();
        let Some(Entry::Failure(it)) = proposed(&many) else { panic!() };
        assert_eq!((it.keywords.len(), it.status), (LIST, FailureStatus::Resolved));
    }

    #[test]
    fn a_proposal_is_written_and_read() {
        let entry = proposed(r#"{"kind":"pattern","name":"Write, sync, rename"}"#).unwrap();
        let proposal = Proposal { id: "prop_1".into(), from: "attempt 1".into(), date: "2026".into(), entry };
        let text = serde_json::to_string(&proposal).unwrap();
        assert!(text.contains(r#""kind":"pattern""#), "{text}");
        let again: Proposal = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), text);
    }
}
