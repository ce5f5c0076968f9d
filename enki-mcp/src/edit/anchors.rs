//! Anchors: lines of a file by number and a hash of what they say, so that an edit of something else is noticed.

use crate::failure::{Code, Failure, quoted};
use twox_hash::XxHash3_64;

/// A line of the content of an edit.
enum Line<'a> {
    /// One of the file, by its number from 1.
    Anchor { number: usize, hash: &'a str, text: &'a str },
    /// A new one.
    New(&'a str),
}

impl<'a> Line<'a> {
    fn of(line: &'a str) -> Self {
        Self::anchor(line).unwrap_or(Self::New(line))
    }

    fn anchor(line: &'a str) -> Option<Self> {
        let (number, rest) = line.split_once(':')?;
        let (hash, text) = rest.split_once('|')?;
        let digits = (1..=7).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
        let hex = hash.len() == 2 && hash.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !(digits && hex) {
            return None;
        }
        Some(Self::Anchor { number: number.parse().ok()?, hash, text })
    }
}

/// A line as a read gives it: `{number}:{2 hex}|text`.
pub(super) fn anchored(number: usize, text: &str) -> String {
    format!("{number}:{}|{text}", hash(text))
}

/// The low byte of the xxh3-64 of the trimmed line, in hex.
fn hash(text: &str) -> String {
    format!("{:02x}", XxHash3_64::oneshot(text.trim().as_bytes()) & 0xff)
}

/// A file after an edit.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Replaced {
    pub(super) text: String,
    /// The lines that came in the place of the old ones: from, and up to but not including.
    pub(super) region: (usize, usize),
}

/// Replaces what is between the first and the last anchor of `content` by it. Anchors stand for the lines of the file as
/// they are; new lines end as those of the file do.
pub(super) fn replace(file: &str, content: &str) -> Result<Replaced, Failure> {
    let old: Vec<&str> = file.split_inclusive('\n').collect();
    let said: Vec<Line<'_>> = content.lines().map(Line::of).collect();
    let (mut first, mut last) = (None, 0);
    for line in &said {
        let Line::Anchor { number, hash: given, text } = line else { continue };
        let now = number.checked_sub(1).and_then(|n| old.get(n)).map(|line| bare(line));
        let Some(now) = now else {
            return Err(stale(&old, *number, &format!("the file has {} lines", old.len())));
        };
        if *given != hash(now) || !(text.is_empty() || text.trim() == now.trim()) {
            return Err(stale(&old, *number, &format!("it says {} now", quoted(now))));
        }
        if *number <= last {
            let message = format!("anchor {number} comes after anchor {last}");
            return Err(Failure::new(Code::ValidationError, message, "give the anchors in the order of the file"));
        }
        last = *number;
        first = first.or(Some(*number));
    }
    let ending = if old.first().is_some_and(|line| line.ends_with("\r\n")) { "\r\n" } else { "\n" };
    let (from, to) = match first {
        Some(first) => (first - 1, last),
        None if old.is_empty() => (0, 0),
        None => {
            let hint = format!("name the lines that stay; the file begins:\n{}", around(&old, 1));
            return Err(Failure::new(Code::ValidationError, "content has no anchor, and the file is not empty", hint));
        }
    };
    let open = old.last().is_some_and(|line| !line.ends_with('\n'));
    let mut lines: Vec<String> = old[..from].iter().map(|line| (*line).to_owned()).collect();
    for line in &said {
        lines.push(match line {
            Line::Anchor { number, .. } => old[number - 1].to_owned(),
            Line::New(text) => format!("{text}{ending}"),
        });
    }
    let region = (from, lines.len());
    lines.extend(old[to..].iter().map(|line| (*line).to_owned()));
    let end = lines.len();
    for line in &mut lines[..end.saturating_sub(1)] {
        if !line.ends_with('\n') {
            line.push_str(ending);
        }
    }
    if let (Some(line), true) = (lines.last_mut(), open) {
        line.truncate(bare(line).len());
    }
    Ok(Replaced { text: lines.concat(), region })
}

fn bare(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}

fn stale(old: &[&str], number: usize, why: &str) -> Failure {
    let hint = format!("nothing was changed; around there it is now:\n{}", around(old, number));
    Failure::new(Code::ValidationError, format!("anchor {number} is stale: {why}"), hint)
}

/// The lines around a number, with their anchors.
fn around(old: &[&str], number: usize) -> String {
    let from = number.saturating_sub(AROUND).min(old.len().saturating_sub(AROUND));
    let lines = old.iter().enumerate().skip(from).take(2 * AROUND);
    lines.map(|(n, line)| anchored(n + 1, bare(line))).collect::<Vec<_>>().join("\n")
}

/// Lines shown before and after one that is stale.
const AROUND: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn anchor(file: &str, number: usize) -> String {
        anchored(number, bare(file.split_inclusive('\n').nth(number - 1).unwrap()))
    }

    #[test]
    fn the_hash_is_the_low_byte_of_xxh3_of_the_trimmed_line() {
        // xxh3-64 of nothing is 2d06800538d394c2.
        assert_eq!((anchored(7, ""), anchored(7, " \t")), ("7:c2|".to_owned(), "7:c2| \t".to_owned()));
        assert_eq!(hash("  let a = 1;"), hash("let a = 1;\t"));
    }

    #[test]
    fn what_is_between_the_anchors_is_replaced_and_the_rest_stays() {
        let file = "a\nb\nc\nd\ne\n";
        let content = format!("{}\nx\ny\n{}", anchor(file, 2), anchor(file, 4));
        assert_eq!(replace(file, &content).unwrap(), Replaced { text: "a\nb\nx\ny\nd\ne\n".into(), region: (1, 5) });
        let one = format!("{}\nafter", anchor(file, 5));
        assert_eq!(replace(file, &one).unwrap().text, "a\nb\nc\nd\ne\nafter\n");
        let before = format!("top\n{}", anchor(file, 1));
        assert_eq!(replace(file, &before).unwrap().text, "top\na\nb\nc\nd\ne\n");
        assert_eq!(replace("", "new\nfile").unwrap().text, "new\nfile\n");
    }

    #[test]
    fn line_endings_are_kept() {
        let file = "a\r\nb\r\nc";
        let content = format!("{}\nx\n{}", anchor(file, 1), anchor(file, 3));
        assert_eq!(replace(file, &content).unwrap().text, "a\r\nx\r\nc");
        let longer = format!("{}\nd", anchor(file, 3));
        assert_eq!(replace(file, &longer).unwrap().text, "a\r\nb\r\nc\r\nd", "no end of line where there was none");
        let indented = "if x {\n    y\n}\n";
        let bare_anchor = format!("{}\nz", anchor(indented, 2).split_once('|').unwrap().0.to_owned() + "|");
        assert_eq!(replace(indented, &bare_anchor).unwrap().text, "if x {\n    y\nz\n}\n", "the file's own line stays");
    }

    #[test]
    fn a_stale_anchor_names_its_line_and_what_is_there() {
        let (old, new) = ("a\nb\nc\n", "a\nB\nc\n");
        let text = replace(new, &format!("{}\nx", anchor(old, 2))).unwrap_err().text();
        assert!(text.starts_with("anchor 2 is stale: it says \"B\" now"), "{text}");
        assert!(text.contains(&anchor(new, 2)), "{text}");
        let text = replace(new, "9:00|z\n").unwrap_err().text();
        assert!(text.starts_with("anchor 9 is stale: the file has 3 lines"), "{text}");
        let text = replace(new, &format!("{}other", anchor(new, 1))).unwrap_err().text();
        assert!(text.starts_with("anchor 1 is stale"), "a line that reads differently is another one: {text}");
        let text = replace(new, &format!("{}\n{}", anchor(new, 3), anchor(new, 1))).unwrap_err().text();
        assert!(text.starts_with("anchor 1 comes after anchor 3"), "{text}");
        let text = replace(new, "everything new").unwrap_err().text();
        assert!(text.starts_with("content has no anchor") && text.contains(&anchor(new, 1)), "{text}");
        assert!(replace(new, "0:c2|\n").is_err());
    }
}
