//! What an agent says, on its way to watchers: in pieces while it comes, bounded, and no faster than people read.

use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How long watchers wait for the next piece at most, and at least.
const EVERY: Duration = Duration::from_millis(500);

/// More than that is told at once, so that no more is held.
const HELD: usize = 64 << 10;

/// How much of the end of a text tells a person what it is about, in characters: with the name of the step before it,
/// it fits on a line.
const LINE: usize = 60;

/// How much of what was told is remembered, to see whether the whole goes on from there.
const SEEN: usize = 64;

/// The text that an agent is saying.
#[derive(Debug, Default)]
pub(super) struct Saying {
    /// Not told yet.
    held: String,
    /// How many bytes of the text were told.
    told: usize,
    /// The last of what was told, at least [`SEEN`] bytes if there were as many.
    seen: String,
    due: Option<Instant>,
    last: Option<Instant>,
}

/// What is to be told.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Told {
    /// What came since the last time.
    pub(super) text: String,
    /// The end of it in one line, as long as more will come.
    pub(super) line: Option<String>,
    /// Whether the text is complete with it.
    pub(super) whole: bool,
}

impl Saying {
    /// A piece came. Gives what does not bear to wait until it is due.
    pub(super) fn add(&mut self, piece: &str) -> Option<Told> {
        self.held.push_str(piece);
        if self.held.len() > HELD {
            return Some(self.tell());
        }
        if self.due.is_none() && !self.held.is_empty() {
            let now = Instant::now();
            self.due = Some(self.last.map_or(now, |last| now.max(last + EVERY)));
        }
        None
    }

    /// What is held, once it is due. May be dropped and asked again.
    pub(super) async fn due(&mut self) -> Told {
        match self.due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
        self.tell()
    }

    /// The whole came: gives what of it was not told.
    pub(super) fn whole(&mut self, text: &str) -> Option<Told> {
        let rest = match text.split_at_checked(self.told) {
            Some((before, rest)) if before.ends_with(&self.seen) => rest.to_owned(),
            // It is not what its pieces were: the answer broke off, and was asked for again.
            _ => format!("\n{text}"),
        };
        let begun = self.told > 0;
        self.forget();
        // Of a huge one its end is told.
        let text = tail(&rest, HELD).to_owned();
        (begun || !text.is_empty()).then_some(Told { text, line: None, whole: true })
    }

    /// The agent ended: gives what was not told of a text that does not come whole any more.
    pub(super) fn cut(&mut self) -> Option<Told> {
        let (text, begun) = (std::mem::take(&mut self.held), self.told > 0);
        self.forget();
        (begun || !text.is_empty()).then_some(Told { text, line: None, whole: true })
    }

    fn tell(&mut self) -> Told {
        (self.due, self.last) = (None, Some(Instant::now()));
        let text = std::mem::take(&mut self.held);
        self.told += text.len();
        self.seen.push_str(tail(&text, SEEN.max(4 * LINE)));
        let line = line_of(&self.seen);
        let kept = tail(&self.seen, SEEN.max(4 * LINE)).len();
        self.seen.drain(..self.seen.len() - kept);
        Told { text, line, whole: false }
    }

    fn forget(&mut self) {
        (self.due, self.told) = (None, 0);
        self.held.clear();
        self.seen.clear();
    }
}

/// The last line with anything on it, or of a long one its last words.
fn line_of(text: &str) -> Option<String> {
    let line = text.lines().rfind(|line| !line.trim().is_empty())?.trim();
    let line: String = line.chars().filter(|c| !c.is_control()).collect();
    match line.char_indices().rev().nth(LINE - 1) {
        Some((at, _)) if at > 0 => Some(format!("…{}", &line[at..])),
        _ => Some(line),
    }
}

/// The end of a text, at most so many bytes.
fn tail(text: &str, bytes: usize) -> &str {
    let mut from = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, line: Option<&str>, whole: bool) -> Told {
        Told { text: text.to_owned(), line: line.map(str::to_owned), whole }
    }

    #[tokio::test(start_paused = true)]
    async fn pieces_are_told_twice_a_second_and_the_whole_adds_only_what_is_missing() {
        let mut saying = Saying::default();
        let start = Instant::now();
        assert_eq!(saying.add("Hel"), None);
        assert_eq!(saying.due().await, told("Hel", Some("Hel"), false));
        assert_eq!(start.elapsed(), Duration::ZERO, "the first piece need not wait");
        for piece in ["lo", " wo", "rld\n", "and"] {
            assert_eq!(saying.add(piece), None);
        }
        assert_eq!(saying.due().await, told("lo world\nand", Some("and"), false));
        assert_eq!(start.elapsed().as_millis(), EVERY.as_millis());
        saying.add(" mo");
        assert_eq!(saying.whole("Hello world\nand more."), Some(told(" more.", None, true)));
        assert_eq!(saying.whole("Next."), Some(told("Next.", None, true)), "one without pieces is told whole");
        saying.add("So");
        saying.due().await;
        assert_eq!(saying.whole("So"), Some(told("", None, true)), "nothing is missing, but it is over");
        assert_eq!(saying.whole(""), None);
        tokio::time::timeout(EVERY * 9, saying.due()).await.expect_err("nothing is held any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_text_that_broke_off_is_told_apart_from_the_one_in_its_place() {
        let mut saying = Saying::default();
        saying.add("I think that é");
        saying.due().await;
        assert_eq!(
            saying.whole("I see it now, or so it seems"),
            Some(told("\nI see it now, or so it seems", None, true))
        );
        saying.add("ä");
        saying.due().await;
        assert_eq!(saying.whole("x"), Some(told("\nx", None, true)), "shorter than what was told");
        assert_eq!(saying.cut(), None);
        saying.add("the end of");
        assert_eq!(saying.cut(), Some(told("the end of", None, true)));
        assert_eq!(saying.cut(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_is_bounded_and_its_line_is_short() {
        let mut saying = Saying::default();
        let (piece, mut all, mut got) = ("wörter ".repeat(999), String::new(), String::new());
        for _ in 0..50 {
            all.push_str(&piece);
            if let Some(told) = saying.add(&piece) {
                assert!(told.text.len() <= HELD + piece.len());
                let line = told.line.unwrap();
                assert_eq!(line.chars().count(), LINE + 1);
                assert!(line.starts_with('…') && line.ends_with("wörter"), "{line}");
                got.push_str(&told.text);
            }
            assert!(saying.held.len() <= HELD && saying.seen.len() <= 4 * LINE);
        }
        got.push_str(&saying.whole(&all).unwrap().text);
        assert!(got == all, "nothing is told twice or lost");
        assert_eq!(saying.whole(&all).unwrap().text.len(), tail(&all, HELD).len());
    }

    #[test]
    fn a_line_for_people_is_of_the_last_words() {
        assert_eq!(line_of(" \n\n"), None);
        assert_eq!(line_of("one\n\u{7}two \n \n").as_deref(), Some("two"));
        assert_eq!(line_of(&"x".repeat(LINE)), Some("x".repeat(LINE)));
    }
}
