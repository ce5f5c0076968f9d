//! The line that a person types, and what they typed before.

use super::text::{clusters, columns, wrapped};

/// A text with a cursor in it. It may have line ends, and no other control character.
#[derive(Clone, Debug, Default)]
pub(super) struct Editor {
    text: String,
    /// In bytes, between two clusters.
    cursor: usize,
    /// What was typed before, the oldest first.
    history: Vec<String>,
    /// Which of these is shown, and what was typed when it was left for them.
    shown: Option<(usize, String)>,
}

/// Where to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum To {
    Left,
    Right,
    WordLeft,
    WordRight,
    /// Begin and end of the line.
    Home,
    End,
}

impl Editor {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the cursor stands behind all of it.
    pub(super) const fn is_at_end(&self) -> bool {
        self.cursor == self.text.len()
    }

    /// Puts text at the cursor.
    pub(super) fn insert(&mut self, text: &str) {
        let text = text.replace("\r\n", "\n").replace('\r', "\n").replace('\t', "    ");
        let text: String = text.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
        self.text.insert_str(self.cursor, &text);
        self.cursor += text.len();
        // What was put in may join what stands around it.
        self.cursor = self.boundary_from(self.cursor);
    }

    /// Replaces all of it.
    pub(super) fn set(&mut self, text: &str) {
        self.text.clear();
        self.cursor = 0;
        self.insert(text);
    }

    /// Gives it away, and remembers it.
    pub(super) fn take(&mut self) -> String {
        let text = std::mem::take(&mut self.text);
        self.cursor = 0;
        self.shown = None;
        self.remember(&text);
        text
    }

    pub(super) fn remember(&mut self, text: &str) {
        if !text.trim().is_empty() && self.history.last().is_none_or(|last| last != text) {
            self.history.push(text.to_owned());
        }
    }

    pub(super) fn go(&mut self, to: To) {
        self.cursor = self.place(to);
    }

    /// Takes away what lies between the cursor and there.
    pub(super) fn erase(&mut self, to: To) {
        let place = self.place(to);
        let (from, until) = (self.cursor.min(place), self.cursor.max(place));
        self.text.drain(from..until);
        self.cursor = self.boundary_from(from);
    }

    /// A line up: in the text, else in what was typed before.
    pub(super) fn up(&mut self) {
        if let Some(begin) = self.text[..self.cursor].rfind('\n') {
            let column = columns(&self.text[begin + 1..self.cursor]);
            let above = self.text[..begin].rfind('\n').map_or(0, |at| at + 1);
            self.cursor = self.at_column(above, column);
            return;
        }
        let before = self.shown.as_ref().map_or(self.history.len(), |(n, _)| *n);
        let Some(n) = before.checked_sub(1) else { return };
        let (_, draft) = self.shown.take().unwrap_or_else(|| (n, self.text.clone()));
        self.text.clone_from(&self.history[n]);
        self.cursor = self.text.len();
        self.shown = Some((n, draft));
    }

    /// A line down.
    pub(super) fn down(&mut self) {
        if let Some(end) = self.text[self.cursor..].find('\n') {
            let begin = self.text[..self.cursor].rfind('\n').map_or(0, |at| at + 1);
            let column = columns(&self.text[begin..self.cursor]);
            self.cursor = self.at_column(self.cursor + end + 1, column);
            return;
        }
        let Some((n, draft)) = self.shown.take() else { return };
        match self.history.get(n + 1) {
            Some(next) => {
                self.text.clone_from(next);
                self.shown = Some((n + 1, draft));
            }
            None => self.text = draft,
        }
        self.cursor = self.text.len();
    }

    /// As rows of so many columns, and in which row and column the cursor stands.
    pub(super) fn rows(&self, width: usize) -> (Vec<&str>, (usize, usize)) {
        let (mut rows, mut cursor, mut at) = (Vec::new(), (0, 0), 0);
        for line in self.text.split('\n') {
            for row in wrapped(line, width) {
                // Wrapping leaves out a space between two rows.
                let from = at + (row.as_ptr() as usize - line.as_ptr() as usize);
                if self.cursor >= from && self.cursor <= at + line.len() {
                    cursor = (rows.len(), columns(&self.text[from..self.cursor.min(from + row.len())]));
                }
                rows.push(row);
            }
            at += line.len() + 1;
        }
        (rows, cursor)
    }

    fn place(&self, to: To) -> usize {
        let (before, after) = self.text.split_at(self.cursor);
        let word = |cluster: &&str| !cluster.trim().is_empty();
        match to {
            To::Left => self.cursor - clusters(before).last().map_or(0, |cluster| cluster.len()),
            To::Right => self.cursor + clusters(after).first().map_or(0, |cluster| cluster.len()),
            To::WordLeft => {
                let all = clusters(before);
                let mut back = all.iter().rev().skip_while(|cluster| !word(cluster)).peekable();
                let gap = all.iter().rev().take_while(|cluster| !word(cluster)).map(|cluster| cluster.len());
                let gap: usize = gap.sum();
                let mut len = 0;
                while let Some(cluster) = back.next_if(|cluster| word(cluster)) {
                    len += cluster.len();
                }
                self.cursor - gap - len
            }
            To::WordRight => {
                let all = clusters(after);
                let gap = all.iter().take_while(|cluster| !word(cluster)).count();
                let word = all[gap..].iter().take_while(|cluster| word(cluster)).count();
                self.cursor + all[..gap + word].iter().map(|cluster| cluster.len()).sum::<usize>()
            }
            To::Home => before.rfind('\n').map_or(0, |at| at + 1),
            To::End => self.cursor + after.find('\n').unwrap_or(after.len()),
        }
    }

    /// The last place of the line from `begin` on that is not right of the column.
    fn at_column(&self, begin: usize, column: usize) -> usize {
        let (mut at, mut used) = (begin, 0);
        for cluster in clusters(&self.text[begin..]) {
            used += columns(cluster);
            if cluster == "\n" || used > column {
                break;
            }
            at += cluster.len();
        }
        at
    }

    /// The next place from there on that is between two clusters.
    fn boundary_from(&self, at: usize) -> usize {
        let mut end = 0;
        for cluster in clusters(&self.text) {
            if end >= at {
                break;
            }
            end += cluster.len();
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn editor(text: &str) -> Editor {
        let mut editor = Editor::default();
        editor.insert(text);
        editor
    }

    #[test]
    fn what_looks_like_one_character_is_one() {
        let mut line = editor("né\u{301}日👩‍💻");
        for left in ["né\u{301}日", "né\u{301}", "n", ""] {
            line.erase(To::Left);
            assert_eq!(line.text(), left);
        }
        let mut line = editor("日本");
        line.go(To::Left);
        line.insert("x");
        line.go(To::Home);
        line.erase(To::Right);
        assert_eq!((line.text(), line.rows(10).1), ("x本", (0, 0)));
        // A mark of its own joins what stands before it.
        let mut line = editor("eb");
        line.go(To::Left);
        line.insert("\u{301}");
        line.insert("x");
        assert_eq!(line.text(), "e\u{301}xb");
    }

    #[test]
    fn words_and_lines_can_be_erased() {
        let mut line = editor("one  two\nthree four");
        line.erase(To::WordLeft);
        assert_eq!(line.text(), "one  two\nthree ");
        line.erase(To::Home);
        assert_eq!(line.text(), "one  two\n");
        line.up();
        line.go(To::WordRight);
        line.erase(To::End);
        assert_eq!(line.text(), "one\n");
    }

    #[test]
    fn control_characters_are_not_taken() {
        assert_eq!(editor("a\u{1b}[2J\tb\r\nc\rd\u{7}").text(), "a[2J    b\nc\nd");
    }

    #[test]
    fn what_was_typed_comes_back_and_the_draft_is_kept() {
        let mut line = editor("");
        for text in ["first", "second", "second", " "] {
            line.set(text);
            line.take();
        }
        line.set("draft");
        line.up();
        assert_eq!(line.text(), "second");
        line.up();
        line.up();
        assert_eq!(line.text(), "first");
        line.down();
        line.down();
        assert_eq!(line.text(), "draft");
        line.down();
        assert_eq!(line.text(), "draft");
    }

    #[test]
    fn the_cursor_is_shown_where_it_is() {
        let mut line = editor("the quick 日本\nfox");
        assert_eq!(line.rows(10), (vec!["the quick", "日本", "fox"], (2, 3)));
        line.up();
        assert_eq!(line.rows(20), (vec!["the quick 日本", "fox"], (0, 3)));
        line.go(To::End);
        assert_eq!(line.rows(10).1, (1, 4));
    }

    proptest! {
        /// Whatever is typed, the cursor stays between clusters and inside what is shown.
        #[test]
        fn the_cursor_never_gets_lost(keys in proptest::collection::vec((0u8..11, "[a日\u{301}\u{200d}👩 \n]{1,2}"), 0..60), width in 2usize..9) {
            let mut line = Editor::default();
            for (key, text) in keys {
                match key {
                    0 => line.go(To::Left),
                    1 => line.go(To::Right),
                    2 => line.go(To::WordLeft),
                    3 => line.go(To::WordRight),
                    4 => line.erase(To::Left),
                    5 => line.erase(To::WordRight),
                    6 => line.up(),
                    7 => line.down(),
                    8 => drop(line.take()),
                    _ => line.insert(&text),
                }
                let mut ends = vec![0];
                for cluster in clusters(&line.text) { ends.push(ends.last().unwrap() + cluster.len()); }
                prop_assert!(ends.contains(&line.cursor), "{line:?}");
                let (rows, (row, column)) = line.rows(width);
                prop_assert!(row < rows.len() && column <= columns(rows[row]), "{line:?} {rows:?} {row} {column}");
            }
        }
    }
}
