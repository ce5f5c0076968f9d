//! `<gv>` tags: one JSON object between `<gv>` and `</gv>`, the form in which a chain's directives are shown and in which
//! agents answer. Both ways, exact and total: any text can be searched.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Largest content of a tag that is looked at, in bytes.
pub const TAG_LIMIT: usize = 64 * 1024;

const OPEN: &str = "<gv>";
const CLOSE: &str = "</gv>";

/// What an outside coordinator is told to do for a chain. Exactly these keys, in this order.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum Directive {
    /// Start an agent.
    Spawn {
        /// The chain.
        wid: String,
        /// What kind of agent.
        r#type: Spawned,
        /// What it is told; begins with `[WRFC:<wid>] `, so that it can be bound to its chain.
        task: String,
    },
    /// The chain is complete.
    Complete {
        /// The chain.
        wid: String,
    },
    /// The chain needs a person.
    Escalate {
        /// The chain.
        wid: String,
        /// Why, in one line.
        reason: String,
    },
}

/// The kind of an agent that a directive asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Spawned {
    /// Judges.
    Reviewer,
    /// Judges by running tests.
    Tester,
    /// Repairs.
    Engineer,
}

impl Directive {
    /// A spawn whose task is bound to its chain.
    #[must_use]
    pub fn spawn(wid: impl Into<String>, r#type: Spawned, task: &str) -> Self {
        let wid = wid.into();
        Self::Spawn { task: format!("[WRFC:{wid}] {task}"), wid, r#type }
    }

    /// The chain it is about.
    #[must_use]
    pub fn wid(&self) -> &str {
        match self {
            Self::Spawn { wid, .. } | Self::Complete { wid } | Self::Escalate { wid, .. } => wid,
        }
    }

    /// The tag, one line.
    #[must_use]
    pub fn encode(&self) -> String {
        encode(&serde_json::to_string(self).expect("a directive has only string keys"))
    }

    /// Reads a tag's object. Keys that it does not know are ignored; `None` if it is no directive.
    #[must_use]
    pub fn decode(object: &Map<String, Value>) -> Option<Self> {
        serde_json::from_value(Value::Object(object.clone())).ok()
    }
}

/// A tag around any object. Its keys come in the order of the map.
#[must_use]
pub fn tag(object: &Map<String, Value>) -> String {
    encode(&serde_json::to_string(object).expect("a map has only string keys"))
}

/// Outside of strings JSON has no angle brackets, so that whatever looks like a tag is inside of one and can be escaped.
fn encode(json: &str) -> String {
    format!("{OPEN}{}{CLOSE}", json.replace(OPEN, "\\u003cgv>").replace(CLOSE, "\\u003c/gv>"))
}

/// The objects of all well-formed tags, in order. What is nested, in a code fence, larger than [`TAG_LIMIT`] or no JSON
/// object is no tag.
#[must_use]
pub fn find(text: &str) -> Vec<Map<String, Value>> {
    let mut found = Vec::new();
    let fences = fences(text);
    let mut from = 0;
    for (open, close) in tags(text) {
        let Some(close) = close.filter(|_| open >= from) else { continue };
        from = close + CLOSE.len();
        let content = &text[open + OPEN.len()..close];
        let after = fences.partition_point(|(start, _)| *start <= open);
        let fenced = after.checked_sub(1).is_some_and(|before| open < fences[before].1);
        if fenced || content.len() > TAG_LIMIT {
            continue;
        }
        if let Ok(Value::Object(object)) = serde_json::from_str(content.trim()) {
            found.push(object);
        }
    }
    found
}

/// Where tags open, in order, and where each ends if it does: tags in it are its own. One pass, whatever the text is.
fn tags(text: &str) -> Vec<(usize, Option<usize>)> {
    let (mut found, mut open) = (Vec::new(), Vec::new());
    for (at, _) in text.match_indices('<') {
        if text[at..].starts_with(OPEN) {
            open.push(found.len());
            found.push((at, None));
        } else if text[at..].starts_with(CLOSE)
            && let Some(last) = open.pop()
        {
            found[last].1 = Some(at);
        }
    }
    found
}

/// The ranges of fenced code, by the rule of Markdown: closed by a fence at least as long of the same kind, or never.
fn fences(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, char, usize)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let inside = line.trim_start_matches(' ');
        let indent = line.len() - inside.len();
        let mark = inside.chars().next().filter(|c| matches!(c, '`' | '~') && indent < 4);
        if let Some(mark) = mark {
            let run = inside.chars().take_while(|c| *c == mark).count();
            let rest = inside[run..].trim();
            match open {
                None if run >= 3 && (mark == '~' || !rest.contains('`')) => open = Some((at, mark, run)),
                Some((start, kind, length)) if kind == mark && run >= length && rest.is_empty() => {
                    found.push((start, at + line.len()));
                    open = None;
                }
                _ => {}
            }
        }
        at += line.len();
    }
    found.extend(open.map(|(start, _, _)| (start, text.len())));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scores(text: &str) -> Vec<i64> {
        find(text).iter().filter_map(|object| object.get("score")?.as_i64()).collect()
    }

    #[test]
    fn a_directive_has_exactly_its_keys_in_their_order() {
        let spawn = Directive::spawn("wrfc_0a1b2c3d4e5f", Spawned::Reviewer, "Review it");
        assert_eq!(
            spawn.encode(),
            r#"<gv>{"action":"spawn","wid":"wrfc_0a1b2c3d4e5f","type":"reviewer","task":"[WRFC:wrfc_0a1b2c3d4e5f] Review it"}</gv>"#
        );
        let complete = Directive::Complete { wid: "wrfc_auto_1700000000_ab12cd34_x9zz".into() };
        assert_eq!(complete.encode(), r#"<gv>{"action":"complete","wid":"wrfc_auto_1700000000_ab12cd34_x9zz"}</gv>"#);
        let escalate = Directive::Escalate { wid: "w".into(), reason: "3 fix attempts failed".into() };
        assert_eq!(escalate.encode(), r#"<gv>{"action":"escalate","wid":"w","reason":"3 fix attempts failed"}</gv>"#);
    }

    #[test]
    fn tags_in_fences_nested_tags_and_bad_ones_are_no_tags() {
        assert_eq!(scores("a <gv>{\"score\":1}</gv> b <gv> {\"score\":2} </gv>"), [1, 2]);
        assert_eq!(scores("```\n<gv>{\"score\":1}</gv>\n```\n<gv>{\"score\":2}</gv>"), [2]);
        assert_eq!(scores("~~~~ text\n<gv>{\"score\":1}</gv>\n~~~\n<gv>{\"score\":2}</gv>"), Vec::<i64>::new());
        assert_eq!(scores("<gv>see <gv>{\"score\":1}</gv> there</gv><gv>{\"score\":2}</gv>"), [2]);
        assert_eq!(scores("<gv>{score: 1}</gv><gv>[1]</gv><gv>{\"score\":3}"), Vec::<i64>::new());
        assert_eq!(scores("<gv> never closed <gv>{\"score\":4}</gv>"), [4]);
        let large = format!("<gv>{{\"score\":1,\"x\":\"{}\"}}</gv>", "y".repeat(TAG_LIMIT));
        assert_eq!(scores(&large), Vec::<i64>::new());
    }

    #[test]
    fn a_megabyte_of_tags_that_never_end_is_read_at_once() {
        // Quadratic, this would take minutes.
        assert!(find(&"<gv>{".repeat(200_000)).is_empty());
        assert!(find(&"```\n<gv>{}</gv>\n```\n".repeat(50_000)).is_empty());
        assert_eq!(find(&("<gv>".repeat(100_000) + "{}" + &"</gv>".repeat(100_000))).len(), 0);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_found_again(task in "(<gv>|</gv>|`|\\PC){0,40}", before in "[^<`~]{0,20}") {
            let directive = Directive::spawn("wrfc_1", Spawned::Engineer, &task);
            let found = find(&format!("{before}\n{}\n", directive.encode()));
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(Directive::decode(&found[0]), Some(directive));
        }

        #[test]
        fn any_text_can_be_searched(text in "(<gv>|</gv>|```\n|~~~|\\{\\}|\n|\\PC){0,60}") {
            for object in find(&text) {
                prop_assert_eq!(find(&tag(&object)), vec![object]);
            }
        }
    }
}
