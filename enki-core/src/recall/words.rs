//! Words and dates: what a query is made of, and what tells two texts apart.

use super::Entry;
use crate::time::Timestamp;
use std::collections::BTreeSet;

/// Most words of a query: a longer one finds nothing better.
const MOST: usize = 48;

/// Words that say nothing about what a text is about.
const COMMON: &[&str] = &[
    "a", "about", "after", "all", "also", "an", "and", "any", "are", "as", "at", "be", "been", "before", "but", "by",
    "can", "could", "do", "does", "each", "for", "from", "get", "had", "has", "have", "how", "if", "in", "into", "is",
    "it", "its", "make", "may", "must", "new", "no", "not", "of", "on", "one", "only", "or", "out", "should", "so",
    "step", "such", "than", "that", "the", "their", "them", "then", "there", "these", "they", "this", "to", "too",
    "up", "use", "used", "using", "was", "we", "when", "where", "which", "while", "who", "will", "with", "would",
    "you", "your",
];

/// The words that a text may be searched by, in lower case and in order, each once, at most 48. If it has only common
/// ones, those.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let all: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.chars().take(64).collect::<String>().to_lowercase())
        .filter(|word| seen.insert(word.clone()))
        .take(1024)
        .collect();
    let telling = |word: &&String| word.chars().count() > 1 && COMMON.binary_search(&word.as_str()).is_err();
    let mut words: Vec<String> = all.iter().filter(telling).cloned().collect();
    if words.is_empty() {
        words = all;
    }
    words.truncate(MOST);
    words
}

/// Whether an entry is about more of a query than a single word, unless the query has no more. What a person likes is
/// told sooner: it is short, and meant to be.
#[must_use]
pub fn is_relevant(entry: &Entry, query: &[String]) -> bool {
    let enough = if matches!(entry, Entry::Preference(_)) { 1 } else { 2.min(query.len()) };
    let text = entry.texts().into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(" ").to_lowercase();
    let known: BTreeSet<&str> = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let fits = |word: &&String| {
        // Endings differ: `parse`, `parser`, `parsing`.
        let stem = stem(word);
        known.range(stem..).next().is_some_and(|known| known.starts_with(stem))
    };
    query.iter().filter(fits).take(enough).count() == enough
}

fn stem(word: &str) -> &str {
    let chars = word.chars().count();
    let keep = if chars > 6 { chars - 3 } else { chars.max(1) };
    word.char_indices().nth(keep).map_or(word, |(end, _)| &word[..end])
}

/// A text without what differs between two occurrences of the same: case, spacing, numbers, ids.
#[must_use]
pub fn same_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        let mut word = word;
        while let Some(c) = word.chars().next() {
            let run = &word[..word.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(word.len())];
            let hex = run.len() >= 7 && run.bytes().all(|b| b.is_ascii_hexdigit());
            if run.is_empty() {
                out.extend(c.to_lowercase());
                word = &word[c.len_utf8()..];
                continue;
            }
            if hex {
                out.push('#');
            } else {
                let mut digits = false;
                for c in run.chars() {
                    if !c.is_ascii_digit() {
                        out.push(c.to_ascii_lowercase());
                    } else if !digits {
                        out.push('#');
                    }
                    digits = c.is_ascii_digit();
                }
            }
            word = &word[run.len()..];
        }
    }
    out
}

/// A point in time as `2026-11-27T22:14:08Z`.
#[must_use]
pub fn date(at: Timestamp) -> String {
    let (days, millis) = (at.0.div_euclid(86_400_000), at.0.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of a number of days since 1970 in the Gregorian calendar, in eras of 400 years that begin in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recall::{Failure, Preference};

    #[test]
    fn words_are_what_a_text_is_about() {
        assert_eq!(words("The SQLite lock, and the \"lock\" of src/lib.rs"), ["sqlite", "lock", "src", "lib", "rs"]);
        assert_eq!(words("of the"), ["of", "the"], "better than nothing");
        assert_eq!(words("\" * ^ NEAR( -- ;"), ["near"]);
        assert!(words("\"*()").is_empty());
        assert_eq!(words(&(0..2000).map(|n| format!("w{n} ")).collect::<String>()).len(), MOST);
        assert!(COMMON.is_sorted());
    }

    #[test]
    fn a_single_word_in_common_is_not_enough() {
        let failure = Failure { error: "the parser overflows its stack".into(), ..Failure::default() };
        let entry = Entry::Failure(failure);
        assert!(is_relevant(&entry, &words("parsing with a bounded stack")));
        assert!(!is_relevant(&entry, &words("parsing of dates")));
        assert!(is_relevant(&entry, &words("parser")));
        let entry = Entry::Preference(Preference { key: "tests.style".into(), ..Preference::default() });
        assert!(is_relevant(&entry, &words("write tests for dates")));
    }

    #[test]
    fn numbers_and_ids_do_not_tell_texts_apart() {
        assert_eq!(same_text("Exit 3  after 120ms in task-82c08799"), same_text("exit 4 after 9ms in task-00c08700"));
        assert_eq!(same_text("deadbeef ß"), "# ß");
        assert_ne!(same_text("a b"), same_text("ab"));
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (at, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_795_817_648_000, "2026-11-27T22:14:08Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(date(Timestamp(at)), text);
        }
    }
}
