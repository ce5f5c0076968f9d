//! What kind of capture a text is, when nobody says. Rules on words; no model is asked.

use crate::kind::Kind;

/// How sure a kind is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Confidence {
    /// It was given.
    Given,
    /// A rule says so.
    Rule,
    /// No rule says anything.
    Fallback,
}

impl Confidence {
    /// As a number from 0 to 1.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Given => "1.0",
            Self::Rule => "0.8",
            Self::Fallback => "0.5",
        }
    }
}

/// Begin the words for something wrong: `crash`, `crashes`, `crashed`.
const WRONG: &[&str] = &["bug", "error", "fail", "broke", "crash", "wrong", "regress", "panic"];

/// Words for something seen.
const SEEN: &[&str] =
    &["noticed", "notice", "observed", "observe", "seems", "seem", "appears", "measured", "takes", "took", "found"];

/// Units of a measurement.
const UNITS: &[&str] = &[
    "s", "ms", "us", "sec", "secs", "second", "seconds", "minute", "minutes", "min", "mins", "hour", "hours", "kb",
    "mb", "gb", "kib", "mib", "gib", "percent", "requests", "bytes", "times",
];

/// Words that ask for something, wherever they stand.
const ASKS: &[&str] =
    &["should", "must", "need", "needs", "please", "want", "wish", "would", "could", "todo", "lets", "let's", "ought"];

/// Words that ask for something as the first of a sentence.
const ORDERS: &[&str] = &[
    "add",
    "allow",
    "avoid",
    "change",
    "consider",
    "do",
    "document",
    "drop",
    "fix",
    "implement",
    "improve",
    "investigate",
    "let",
    "make",
    "move",
    "refactor",
    "remove",
    "rename",
    "replace",
    "rewrite",
    "show",
    "support",
    "try",
    "use",
    "write",
];

/// The first rule that matches: an issue names something wrong; an observation tells of something seen or measured and
/// asks for nothing; anything else is an idea.
#[must_use]
pub fn classify(text: &str) -> (Kind, Confidence) {
    let text = text.to_lowercase();
    let split = |c: char| !(c.is_alphanumeric() || c == '\'');
    let words: Vec<&str> = text.split(split).filter(|word| !word.is_empty()).collect();
    let wrong = |word: &&str| {
        let one = |stem: &&str| word.strip_prefix(*stem).is_some_and(|rest| SUFFIXES.contains(&rest));
        WRONG.iter().any(one)
    };
    let red_test = words.iter().any(|word| word.starts_with("test"))
        && (words.contains(&"red") || text.contains("not pass") || text.contains("n't pass"));
    if words.iter().any(wrong) || red_test {
        return (Kind::Issue, Confidence::Rule);
    }
    let first = |sentence: &str| {
        let word = sentence.split(split).find(|word| !word.is_empty());
        word.is_some_and(|word| ORDERS.contains(&word))
    };
    let asks = text.contains('?')
        || words.iter().any(|word| ASKS.contains(word))
        || text.split(['.', '!', ';', '\n']).any(first);
    let number = |word: &str| word.bytes().all(|b| b.is_ascii_digit());
    let glued = |word: &str| {
        let unit = word.trim_start_matches(|c: char| c.is_ascii_digit());
        unit.len() < word.len() && UNITS.contains(&unit)
    };
    let measured = text.contains('%')
        || words.iter().any(|word| glued(word))
        || words.windows(2).any(|pair| number(pair[0]) && UNITS.contains(&pair[1]));
    if (measured || words.iter().any(|word| SEEN.contains(word))) && !asks {
        return (Kind::Observation, Confidence::Rule);
    }
    (Kind::Idea, Confidence::Fallback)
}

/// What may follow a stem, so that `failover` and `errorless` are nothing wrong.
const SUFFIXES: &[&str] = &[
    "", "s", "es", "ed", "ing", "ings", "n", "ure", "ures", "ion", "ions", "ly", "gy", "ging", "ged", "king", "ked",
    "er", "ors",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_says_the_kind() {
        use Confidence::{Fallback, Rule};
        use Kind::{Idea, Issue, Observation};
        for (text, expected) in [
            ("The login page crashes on an empty password", (Issue, Rule)),
            ("Build fails on macOS", (Issue, Rule)),
            ("ERROR in the parser", (Issue, Rule)),
            ("I noticed a regression, it takes 40 seconds", (Issue, Rule)),
            ("wrong currency on invoices", (Issue, Rule)),
            ("broken link in README", (Issue, Rule)),
            ("test_orders_are_sorted failed", (Issue, Rule)),
            ("tests::orders is red since Monday", (Issue, Rule)),
            ("two bugs in the scheduler", (Issue, Rule)),
            ("Noticed that the cache is never emptied", (Observation, Rule)),
            ("The build takes 40 seconds", (Observation, Rule)),
            ("start-up: 350ms on a cold disk", (Observation, Rule)),
            ("the queue seems to grow at night", (Observation, Rule)),
            ("CPU is at 80% while idle", (Observation, Rule)),
            ("The build takes 40 seconds, it should take 5", (Idea, Fallback)),
            ("Noticed it is slow. Make it fast", (Idea, Fallback)),
            ("it seems slow, can we cache it?", (Idea, Fallback)),
            ("Dark mode", (Idea, Fallback)),
            ("failover to a second region", (Idea, Fallback)),
            ("debugger support", (Idea, Fallback)),
            ("Add a 5 second timeout", (Idea, Fallback)),
            ("", (Idea, Fallback)),
        ] {
            assert_eq!(classify(text), expected, "{text}");
        }
    }
}
