//! Which notes are about the same, by the words they share. No model is asked.

use std::collections::BTreeSet;

/// Most links that a note gets.
pub const RELATED_LIMIT: usize = 5;

/// Words in common that make two notes related.
const SHARED: usize = 3;

/// Words that say nothing of what a text is about.
const STOP: &[&str] = &[
    "about", "after", "again", "all", "also", "and", "any", "are", "because", "been", "before", "but", "can", "could",
    "did", "does", "done", "each", "for", "from", "get", "gets", "had", "has", "have", "how", "into", "its", "just",
    "let", "like", "made", "make", "makes", "may", "more", "most", "must", "need", "needs", "new", "not", "now", "off",
    "one", "only", "other", "our", "out", "over", "seems", "should", "some", "such", "than", "that", "the", "their",
    "them", "then", "there", "these", "they", "this", "those", "through", "too", "under", "use", "used", "uses",
    "very", "want", "was", "were", "what", "when", "where", "which", "while", "who", "why", "will", "with", "would",
    "you", "your",
];

/// A note that may be related.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a, T> {
    /// What stands for it.
    pub note: T,
    /// What it says.
    pub text: &'a str,
}

/// Those that share at least three keywords with the text, the most first; of as many, the one that comes first, so
/// that candidates given newest first come out newest first.
pub fn related<'a, T>(text: &str, candidates: impl IntoIterator<Item = Candidate<'a, T>>) -> Vec<T> {
    let own = keywords(text);
    let shared = |other: &str| keywords(other).intersection(&own).count();
    let mut found: Vec<(usize, T)> = candidates
        .into_iter()
        .map(|candidate| (shared(candidate.text), candidate.note))
        .filter(|(shared, _)| *shared >= SHARED)
        .collect();
    found.sort_by_key(|(shared, _)| std::cmp::Reverse(*shared));
    found.truncate(RELATED_LIMIT);
    found.into_iter().map(|(_, note)| note).collect()
}

fn keywords(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_')).map(str::to_lowercase);
    words.filter(|word| word.chars().count() > 2 && !STOP.contains(&word.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_that_share_three_keywords_are_related_the_nearest_first() {
        let texts = [
            "login page crash password",
            "The login page is on this and that",
            "login password page reset mail",
            "Login PAGE: password!",
            "login page password",
            "page login password too",
            "password page login",
        ];
        let candidates = || texts.iter().enumerate().map(|(note, text)| Candidate { note, text });
        let found = related("Crash of the login page with an empty password", candidates());
        assert_eq!(found, [0, 2, 3, 4, 5], "most shared words, then the order given; at most five");
        assert_eq!(related("the that with password login", candidates()), [0_usize; 0], "stop words do not count");
    }
}
