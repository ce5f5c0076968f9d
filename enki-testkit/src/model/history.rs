//! What is on a branch: a line of commits, each named by a letter. The same letters in the same order are the same commit.

use enki_core::id::{CommitId, TreeId};

/// Letters of the root and of what a person commits; changes have the numbers from 1.
pub(super) const ROOT: u8 = 14;
pub(super) const PERSON: u8 = 15;

/// A commit with all before it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct History {
    letters: [u8; Self::MOST],
    len: usize,
}

impl History {
    const MOST: usize = 16;

    pub(super) const fn root() -> Self {
        let mut letters = [0; Self::MOST];
        letters[0] = ROOT;
        Self { letters, len: 1 }
    }

    pub(super) fn letters(&self) -> &[u8] {
        &self.letters[..self.len]
    }

    pub(super) fn and(mut self, letter: u8) -> Self {
        self.letters[self.len] = letter;
        self.len += 1;
        self
    }

    pub(super) fn parent(mut self) -> Option<Self> {
        self.len = self.len.checked_sub(1).filter(|len| *len > 0)?;
        self.letters[self.len] = 0;
        Some(self)
    }

    /// Whether the other one is it or before it.
    pub(super) fn contains(&self, other: &Self) -> bool {
        self.letters().starts_with(other.letters())
    }

    pub(super) fn has(&self, letter: u8) -> bool {
        self.letters().contains(&letter)
    }

    pub(super) fn commit(&self) -> CommitId {
        hex(&self.letters, 'c').parse().expect("it is 40 hex digits")
    }

    /// Its files, whatever the order they came in.
    pub(super) fn tree(&self) -> TreeId {
        let mut sorted = self.letters;
        sorted.sort_unstable();
        hex(&sorted, 't').parse().expect("it is 40 hex digits")
    }

    /// The commit of that id.
    pub(super) fn of(commit: CommitId) -> Self {
        let text = commit.to_string();
        let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let digits = text.bytes().take(Self::MOST).map(|digit| value(digit).unwrap_or(0));
        let mut letters = [0; Self::MOST];
        letters.iter_mut().zip(digits).for_each(|(letter, digit)| *letter = digit);
        let len = letters.iter().position(|letter| *letter == 0).unwrap_or(Self::MOST);
        Self { letters, len }
    }
}

fn hex(letters: &[u8], kind: char) -> String {
    let digits: String = letters.iter().filter_map(|letter| char::from_digit(u32::from(*letter), 16)).collect();
    let kind = if kind == 'c' { "c0" } else { "00" };
    format!("{digits:0<38}{kind}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_told_from_its_id_and_a_tree_is_what_came_in_in_any_order() {
        let one = History::root().and(1).and(PERSON);
        assert_eq!(History::of(one.commit()), one);
        assert_eq!(one.parent(), Some(History::root().and(1)));
        let other = History::root().and(PERSON).and(1);
        assert!(one.commit() != other.commit() && one.tree() == other.tree());
        assert!(one.contains(&History::root().and(1)) && !one.contains(&other));
    }
}
