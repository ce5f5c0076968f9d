//! What an agent is saying, piece by piece, without the secrets in it.

use crate::redact::Redactor;

/// Longest word that is waited for.
const LONGEST: usize = 4 << 10;

/// Holds the last word until it is whole, and knows the words before it: a secret that comes in parts is none in any of
/// them, and of some only the word before tells.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// The line that is being said.
    line: String,
    /// How much of it was given, in bytes of what is clean.
    given: usize,
}

impl Pieces {
    /// What is whole with this piece and was not given yet.
    pub(super) fn add(&mut self, piece: &str, redactor: &Redactor) -> String {
        self.line.push_str(piece);
        let space = self.line.char_indices().rev().find(|(_, c)| c.is_whitespace());
        let whole =
            if self.line.len() > LONGEST { self.line.len() } else { space.map_or(0, |(at, c)| at + c.len_utf8()) };
        let clean = redactor.clean(&self.line[..whole]);
        let news = clean.get(self.given..).unwrap_or_default().to_owned();
        self.given = self.given.max(clean.len());
        if whole > LONGEST {
            *self = Self::default();
        } else if let Some(end) = self.line[..whole].rfind('\n') {
            self.given = redactor.clean(&self.line[end + 1..whole]).len();
            self.line.drain(..=end);
        }
        news
    }

    /// The agent ended: what of a word was held.
    pub(super) fn cut(&mut self, redactor: &Redactor) -> String {
        let clean = redactor.clean(&self.line);
        let news = clean.get(self.given..).unwrap_or_default().to_owned();
        *self = Self::default();
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_size_make_what_the_whole_would_be() {
        let redactor = Redactor::new(["hunter2hunter2".to_owned()]);
        let text = "I log in\nwith hunter2hunter2 \u{fc} and token: abcd12345678 now\nsk-ant-api03-0123456789abcdef, then\nTOKEN = \"x1y2z3x1y2z3\" \n";
        let clean = redactor.clean(text);
        assert_eq!(clean.matches("[redacted]").count(), 4);
        let letters: Vec<char> = text.chars().collect();
        for size in 1..letters.len() {
            let mut pieces = Pieces::default();
            let said: String =
                letters.chunks(size).map(|c| pieces.add(&c.iter().collect::<String>(), &redactor)).collect();
            assert_eq!(said, clean, "pieces of {size}");
        }
        // One that ends in the middle of a word says it then, and one that is a secret by then does not.
        for (text, clean) in [("never who", "never who"), ("see hunter2hunter2", "see [redacted]")] {
            let mut pieces = Pieces::default();
            assert_eq!(pieces.add(text, &redactor) + &pieces.cut(&redactor), clean);
        }
    }

    #[test]
    fn what_has_no_end_is_given_all_the_same() {
        let mut pieces = Pieces::default();
        let said: String = (0..100).map(|_| pieces.add(&"x".repeat(100), &Redactor::default())).collect();
        assert!(said.len() > 10_000 - LONGEST - 100 && pieces.line.len() <= LONGEST, "{}", said.len());
    }
}
