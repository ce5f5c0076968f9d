//! What is kept, in the form it has in files.
//!
//! Every field but what an entry is about may be missing, and what is not known is kept as it is: files of other
//! programs and of later versions survive a rewrite.

use super::words::same_text;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt;

/// What kind of entry it is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// What was chosen, and why.
    Decision,
    /// What works again and again.
    Pattern,
    /// What went wrong, and what helped.
    Failure,
    /// What a person likes.
    Preference,
}

impl Kind {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Decision, Self::Pattern, Self::Failure, Self::Preference];

    /// The word for one.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Pattern => "pattern",
            Self::Failure => "failure",
            Self::Preference => "preference",
        }
    }

    /// The word for several; its file is named so.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Decision => "decisions",
            Self::Pattern => "patterns",
            Self::Failure => "failures",
            Self::Preference => "preferences",
        }
    }

    /// What an id begins with. A preference has none: its key is its id.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Decision => "dec_",
            Self::Pattern => "pat_",
            Self::Failure => "fail_",
            Self::Preference => "",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Words that files spell, and that a later version may spell anew: one that is not known is kept.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $word:ident = $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum $name {
            #[default]
            $($(#[$doc])* #[serde(rename = $text)] $word,)+
            /// A word of another version.
            #[serde(untagged)]
            Other(String),
        }

        impl $name {
            /// The words that are known.
            pub const WORDS: &[&str] = &[$($text),+];

            /// As it is spelt.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$word => $text,)+
                    Self::Other(word) => word,
                }
            }

            /// One of the known words.
            #[must_use]
            pub fn known(word: &str) -> Option<Self> {
                match word {
                    $($text => Some(Self::$word),)+
                    _ => None,
                }
            }
        }
    };
}

words! {
    /// What a decision is about.
    Category {
        /// How things are done here.
        Convention = "convention",
        /// What is depended on.
        Library = "library",
        /// How parts fit together.
        Architecture = "architecture",
        /// How one part is built.
        Pattern = "pattern",
    }
}

words! {
    /// How sure it is.
    Confidence {
        /// Likely.
        Medium = "medium",
        /// Sure.
        High = "high",
        /// A guess.
        Low = "low",
    }
}

words! {
    /// Whether a decision holds.
    DecisionStatus {
        /// It does.
        Active = "active",
        /// Another one took its place.
        Superseded = "superseded",
        /// It was taken back.
        Reverted = "reverted",
    }
}

words! {
    /// What failed.
    ErrorCategory {
        /// Nobody knows.
        Unknown = "UNKNOWN",
        /// What an agent works with.
        Tool = "TOOL_FAILURE",
        /// The agent.
        Agent = "AGENT_FAILURE",
        /// What it left does not build.
        Build = "BUILD_ERROR",
        /// Its check fails.
        Test = "TEST_FAILURE",
        /// A rule says no.
        Validation = "VALIDATION_ERROR",
        /// Something outside.
        External = "EXTERNAL_ERROR",
    }
}

words! {
    /// What became of a failure.
    FailureStatus {
        /// It is not known how to go on.
        Unresolved = "UNRESOLVED",
        /// It is done with.
        Resolved = "RESOLVED",
        /// It can be lived with.
        Workaround = "WORKAROUND",
    }
}

words! {
    /// Who recorded an entry.
    Writer {
        /// A person, or another program.
        Person = "person",
        /// Enki, by itself. When there are too many, the oldest of these go first.
        Enki = "enki",
    }
}

impl Writer {
    fn is_person(&self) -> bool {
        *self == Self::Person
    }
}

fn is_none_more(count: &u32) -> bool {
    *count <= 1
}

const fn once() -> u32 {
    1
}

/// What was chosen, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of the file")]
pub struct Decision {
    pub id: String,
    pub date: String,
    pub category: Category,
    pub what: String,
    pub why: String,
    pub scope: Vec<String>,
    pub confidence: Confidence,
    pub status: DecisionStatus,
    #[serde(skip_serializing_if = "Writer::is_person")]
    pub by: Writer,
    #[serde(skip_serializing_if = "is_none_more", default = "once")]
    pub count: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last: String,
    #[serde(flatten)]
    pub more: More,
}

/// What works again and again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of the file")]
pub struct Pattern {
    pub id: String,
    pub name: String,
    pub description: String,
    pub when_to_use: String,
    pub example_files: Vec<String>,
    pub keywords: Vec<String>,
    #[serde(skip_serializing_if = "is_none_more", default = "once")]
    pub count: u32,
    #[serde(flatten)]
    pub more: More,
}

/// What went wrong, and what helped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of the file")]
pub struct Failure {
    pub id: String,
    pub date: String,
    pub error: String,
    pub context: String,
    pub root_cause: String,
    pub resolution: String,
    pub prevention: String,
    pub keywords: Vec<String>,
    #[serde(skip_serializing_if = "is_unknown")]
    pub category: ErrorCategory,
    #[serde(skip_serializing_if = "is_unresolved")]
    pub status: FailureStatus,
    #[serde(skip_serializing_if = "Writer::is_person")]
    pub by: Writer,
    #[serde(skip_serializing_if = "is_none_more", default = "once")]
    pub count: u32,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub last: String,
    #[serde(flatten)]
    pub more: More,
}

fn is_unknown(category: &ErrorCategory) -> bool {
    *category == ErrorCategory::Unknown
}

fn is_unresolved(status: &FailureStatus) -> bool {
    *status == FailureStatus::Unresolved
}

/// What a person likes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the fields are those of the file")]
pub struct Preference {
    pub key: String,
    pub value: Setting,
    pub reason: String,
    #[serde(flatten)]
    pub more: More,
}

/// The fields of an entry that nothing here knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct More(Map<String, Value>);

/// What is preferred: a text, or whatever another program left there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Setting(Value);

impl From<String> for Setting {
    fn from(text: String) -> Self {
        Self(Value::String(text))
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Value::Null => Ok(()),
            Value::String(text) => f.write_str(text),
            other => other.fmt(f),
        }
    }
}

/// An entry of any kind. As JSON it has its kind among its fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
#[expect(missing_docs, reason = "the variants are the kinds")]
pub enum Entry {
    Decision(Decision),
    Pattern(Pattern),
    Failure(Failure),
    Preference(Preference),
}

impl Entry {
    /// An entry of that kind from the JSON object it is in files.
    ///
    /// # Errors
    ///
    /// What does not fit, in one line.
    pub fn from_json(kind: Kind, text: &str) -> Result<Self, String> {
        let entry = match kind {
            Kind::Decision => serde_json::from_str(text).map(Self::Decision),
            Kind::Pattern => serde_json::from_str(text).map(Self::Pattern),
            Kind::Failure => serde_json::from_str(text).map(Self::Failure),
            Kind::Preference => serde_json::from_str(text).map(Self::Preference),
        };
        entry.map_err(|error| error.to_string())
    }

    /// The JSON object it is in files.
    #[must_use]
    pub fn to_json(&self) -> String {
        let text = match self {
            Self::Decision(it) => serde_json::to_string(it),
            Self::Pattern(it) => serde_json::to_string(it),
            Self::Failure(it) => serde_json::to_string(it),
            Self::Preference(it) => serde_json::to_string(it),
        };
        text.expect("an entry has texts as keys and no numbers but whole ones of its own")
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Decision(_) => Kind::Decision,
            Self::Pattern(_) => Kind::Pattern,
            Self::Failure(_) => Kind::Failure,
            Self::Preference(_) => Kind::Preference,
        }
    }

    /// Its id; of a preference, its key. Empty if it has none yet.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Decision(it) => &it.id,
            Self::Pattern(it) => &it.id,
            Self::Failure(it) => &it.id,
            Self::Preference(it) => &it.key,
        }
    }

    /// Gives it an id. A preference keeps its key.
    pub fn set_id(&mut self, id: String) {
        match self {
            Self::Decision(it) => it.id = id,
            Self::Pattern(it) => it.id = id,
            Self::Failure(it) => it.id = id,
            Self::Preference(_) => {}
        }
    }

    /// Says when it was recorded, where its kind has a date.
    pub fn set_date(&mut self, date: String) {
        match self {
            Self::Decision(it) => it.date = date,
            Self::Failure(it) => it.date = date,
            Self::Pattern(_) | Self::Preference(_) => {}
        }
    }

    /// What it is about, in one line.
    #[must_use]
    pub fn title(&self) -> &str {
        match self {
            Self::Decision(it) => &it.what,
            Self::Pattern(it) => &it.name,
            Self::Failure(it) => &it.error,
            Self::Preference(it) => &it.key,
        }
    }

    /// Its texts with their names, the empty ones left out.
    #[must_use]
    pub fn texts(&self) -> Vec<(&'static str, String)> {
        let join = |list: &[String]| list.join(", ");
        let all = match self {
            Self::Decision(it) => {
                vec![("what", it.what.clone()), ("why", it.why.clone()), ("scope", join(&it.scope))]
            }
            Self::Pattern(it) => vec![
                ("name", it.name.clone()),
                ("description", it.description.clone()),
                ("when to use", it.when_to_use.clone()),
                ("examples", join(&it.example_files)),
                ("keywords", join(&it.keywords)),
            ],
            Self::Failure(it) => vec![
                ("error", it.error.clone()),
                ("context", it.context.clone()),
                ("root cause", it.root_cause.clone()),
                ("resolution", it.resolution.clone()),
                ("prevention", it.prevention.clone()),
                ("keywords", join(&it.keywords)),
            ],
            Self::Preference(it) => {
                vec![("key", it.key.clone()), ("value", it.value.to_string()), ("reason", it.reason.clone())]
            }
        };
        all.into_iter().filter(|(_, text)| !text.trim().is_empty()).collect()
    }

    /// When it was last seen, as it is written.
    #[must_use]
    pub fn when(&self) -> &str {
        match self {
            Self::Decision(it) if !it.last.is_empty() => &it.last,
            Self::Failure(it) if !it.last.is_empty() => &it.last,
            Self::Decision(it) => &it.date,
            Self::Failure(it) => &it.date,
            Self::Pattern(_) | Self::Preference(_) => "",
        }
    }

    /// Whether Enki recorded it by itself.
    #[must_use]
    pub fn is_automatic(&self) -> bool {
        match self {
            Self::Decision(it) => it.by == Writer::Enki,
            Self::Failure(it) => it.by == Writer::Enki,
            Self::Pattern(_) | Self::Preference(_) => false,
        }
    }

    /// What is the same in all entries that are one: numbers and spacing do not tell two failures apart.
    #[must_use]
    pub fn sameness(&self) -> String {
        match self {
            Self::Decision(it) => format!("{}\n{}", same_text(&it.what), same_text(&it.why)),
            Self::Pattern(it) => same_text(&it.name),
            Self::Failure(it) => format!("{}\n{}", same_text(&it.error), same_text(&it.context)),
            Self::Preference(it) => it.key.clone(),
        }
    }

    /// Whether another one is about the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.sameness() == other.sameness()
    }

    /// Takes up what a newer one of the same kind and sameness says. Its own id and date stay.
    pub fn take_up(&mut self, newer: Self) {
        match (self, newer) {
            (Self::Decision(own), Self::Decision(newer)) => {
                own.count = own.count.max(1).saturating_add(1);
                own.last = newer.date;
                union(&mut own.scope, newer.scope);
                (own.category, own.confidence, own.status) = (newer.category, newer.confidence, newer.status);
                // What a person says stays a person's.
                own.by = if newer.by == Writer::Person { newer.by } else { own.by.clone() };
                own.more.0.extend(newer.more.0);
            }
            (Self::Pattern(own), Self::Pattern(newer)) => {
                own.count = own.count.max(1).saturating_add(1);
                replace(&mut own.description, newer.description);
                replace(&mut own.when_to_use, newer.when_to_use);
                union(&mut own.example_files, newer.example_files);
                union(&mut own.keywords, newer.keywords);
                own.more.0.extend(newer.more.0);
            }
            (Self::Failure(own), Self::Failure(newer)) => {
                own.count = own.count.max(1).saturating_add(1);
                own.last = newer.date;
                // It is the newest words that a person reads: numbers in them may differ.
                replace(&mut own.error, newer.error);
                replace(&mut own.root_cause, newer.root_cause);
                replace(&mut own.resolution, newer.resolution);
                replace(&mut own.prevention, newer.prevention);
                union(&mut own.keywords, newer.keywords);
                (own.category, own.status) = (newer.category, newer.status);
                own.by = if newer.by == Writer::Person { newer.by } else { own.by.clone() };
                own.more.0.extend(newer.more.0);
            }
            (Self::Preference(own), Self::Preference(newer)) => {
                own.value = newer.value;
                replace(&mut own.reason, newer.reason);
                own.more.0.extend(newer.more.0);
            }
            // Different kinds are never the same.
            _ => {}
        }
    }

    /// Changes every text of people and agents in it.
    pub fn map_texts(&mut self, change: &mut dyn FnMut(&mut String)) {
        let more = match self {
            Self::Decision(it) => {
                [&mut it.what, &mut it.why].into_iter().chain(&mut it.scope).for_each(&mut *change);
                &mut it.more
            }
            Self::Pattern(it) => {
                [&mut it.name, &mut it.description, &mut it.when_to_use].into_iter().for_each(&mut *change);
                it.example_files.iter_mut().chain(&mut it.keywords).for_each(&mut *change);
                &mut it.more
            }
            Self::Failure(it) => {
                let texts =
                    [&mut it.error, &mut it.context, &mut it.root_cause, &mut it.resolution, &mut it.prevention];
                texts.into_iter().chain(&mut it.keywords).for_each(&mut *change);
                &mut it.more
            }
            Self::Preference(it) => {
                [&mut it.key, &mut it.reason].into_iter().for_each(&mut *change);
                map_value(&mut it.value.0, change);
                &mut it.more
            }
        };
        more.0.values_mut().for_each(|value| map_value(value, change));
    }
}

fn map_value(value: &mut Value, change: &mut dyn FnMut(&mut String)) {
    match value {
        Value::String(text) => change(text),
        Value::Array(items) => items.iter_mut().for_each(|item| map_value(item, change)),
        Value::Object(fields) => fields.values_mut().for_each(|field| map_value(field, change)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn replace(own: &mut String, newer: String) {
    if !newer.trim().is_empty() {
        *own = newer;
    }
}

/// Most words or paths of one entry.
const LIST: usize = 64;

fn union(own: &mut Vec<String>, newer: Vec<String>) {
    let known: BTreeSet<String> = own.iter().cloned().collect();
    own.extend(newer.into_iter().filter(|item| !known.contains(item)));
    own.truncate(LIST.max(known.len()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_survives() {
        let text = r#"{"id":"fail_1","date":"2026-01-01","error":"e","context":"c","root_cause":"","resolution":"","prevention":"","keywords":[],"status":"PONDERED","kind":"odd","owner":{"name":"me"}}"#;
        let entry = Entry::from_json(Kind::Failure, text).unwrap();
        let Entry::Failure(failure) = &entry else { panic!("{entry:?}") };
        assert_eq!(failure.status, FailureStatus::Other("PONDERED".into()));
        assert_eq!((failure.count, &failure.by), (1, &Writer::Person));
        let again: Value = serde_json::from_str(&entry.to_json()).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn the_same_failure_is_counted_and_keeps_its_id() {
        let failure = |error: &str, date: &str| {
            let keywords = vec![date.to_owned()];
            Entry::Failure(Failure { error: error.into(), date: date.into(), keywords, ..Failure::default() })
        };
        let mut first = failure("exit 3 after 120 ms", "2026-01-01");
        first.set_id("fail_1".into());
        let again = failure("Exit 3  after 99 ms", "2026-01-02");
        assert!(first.is_same(&again));
        assert!(!first.is_same(&failure("exit after", "2026-01-02")));
        first.take_up(again);
        let Entry::Failure(it) = &first else { panic!() };
        assert_eq!((it.count, it.date.as_str(), it.last.as_str()), (2, "2026-01-01", "2026-01-02"));
        assert_eq!((first.id(), it.keywords.len()), ("fail_1", 2));
    }

    #[test]
    fn every_text_of_an_entry_is_reached() {
        for (kind, text) in [
            (Kind::Decision, r#"{"what":"S","why":"S","scope":["S"],"x":["S"]}"#),
            (
                Kind::Pattern,
                r#"{"name":"S","description":"S","when_to_use":"S","example_files":["S"],"keywords":["S"],"x":{"y":"S"}}"#,
            ),
            (
                Kind::Failure,
                r#"{"error":"S","context":"S","root_cause":"S","resolution":"S","prevention":"S","keywords":["S"]}"#,
            ),
            (Kind::Preference, r#"{"key":"S","value":["S"],"reason":"S"}"#),
        ] {
            let mut entry = Entry::from_json(kind, text).unwrap();
            entry.map_texts(&mut |text| *text = text.replace('S', "-"));
            let left = entry.to_json();
            assert!(!left.contains("\"S\""), "{left}");
        }
    }
}
