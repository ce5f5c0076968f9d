//! Bytes of a child on their way to people and parsers: tails, lines, clean text.

use std::collections::VecDeque;

/// The last bytes of a stream.
#[derive(Debug)]
pub(crate) struct Tail {
    bytes: VecDeque<u8>,
    limit: usize,
}

impl Tail {
    pub(crate) fn new(limit: usize) -> Self {
        Self { bytes: VecDeque::new(), limit }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(self.limit)..];
        let over = (self.bytes.len() + bytes.len()).saturating_sub(self.limit);
        self.bytes.drain(..over);
        self.bytes.extend(bytes);
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes.into()
    }
}

/// Cuts a stream into lines. Of a line longer than the limit only the beginning is kept.
#[derive(Debug)]
pub(crate) struct Lines {
    pending: Vec<u8>,
    cut: bool,
    limit: usize,
}

impl Lines {
    pub(crate) fn new(limit: usize) -> Self {
        Self { pending: Vec::new(), cut: false, limit }
    }

    /// Gives each line that ends in `bytes` to `sink`, without its newline, and whether it was cut.
    pub(crate) fn push(&mut self, bytes: &[u8], mut sink: impl FnMut(Vec<u8>, bool)) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            let (text, ended) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            let room = self.limit.saturating_sub(self.pending.len());
            self.pending.extend_from_slice(&text[..text.len().min(room)]);
            self.cut |= text.len() > room;
            if ended {
                sink(std::mem::take(&mut self.pending), std::mem::take(&mut self.cut));
            }
        }
    }

    /// The last line, if the stream did not end with a newline.
    pub(crate) fn rest(&mut self) -> Option<(Vec<u8>, bool)> {
        let cut = std::mem::take(&mut self.cut);
        (cut || !self.pending.is_empty()).then(|| (std::mem::take(&mut self.pending), cut))
    }
}

/// Remembers the latest line that is not blank, without cutting up everything before it.
#[derive(Debug, Default)]
pub(crate) struct Latest {
    partial: Vec<u8>,
    line: Option<Vec<u8>>,
}

/// More of a line is not shown to anybody.
const LONGEST_SHOWN: usize = 4096;

impl Latest {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let Some(end) = bytes.iter().rposition(|b| *b == b'\n') else { return self.extend(bytes) };
        let mut lines = bytes[..end].split(|b| *b == b'\n');
        self.extend(lines.next().unwrap_or_default());
        self.finish();
        // From the end: of ten thousand lines only one is looked at.
        if let Some(line) = lines.rfind(|line| !line.trim_ascii().is_empty()) {
            self.extend(line);
            self.finish();
        }
        self.extend(&bytes[end + 1..]);
    }

    /// Takes what came since the last newline for a line.
    pub(crate) fn finish(&mut self) {
        let line = std::mem::take(&mut self.partial);
        if !line.trim_ascii().is_empty() {
            self.line = Some(line);
        }
    }

    pub(crate) fn is_some(&self) -> bool {
        self.line.is_some()
    }

    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        self.line.take()
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = LONGEST_SHOWN.saturating_sub(self.partial.len());
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// One line of a program as one line for people: escape sequences, control and direction-changing characters removed, of
/// a line that overwrites itself (`\r`) the last state, at most `max` characters.
#[must_use]
pub fn clean_line(line: &[u8], max: usize) -> String {
    let end = line.iter().rposition(|b| !matches!(b, b'\r' | b'\n')).map_or(0, |at| at + 1);
    let start = line[..end].iter().rposition(|b| matches!(b, b'\r' | b'\n')).map_or(0, |at| at + 1);
    // A line may be huge; characters have at most four bytes and escape sequences are short.
    let line = &line[start..end];
    let text = String::from_utf8_lossy(&line[..line.len().min(max.saturating_mul(16).max(1024))]);
    let mut clean = String::new();
    let mut chars = text.chars().peekable();
    let mut count = 0;
    while let Some(c) = chars.next() {
        if c == '\u{1b}' || c == '\u{9b}' {
            skip_escape(c, &mut chars);
        } else if c == '\t' {
            clean.push(' ');
            count += 1;
        } else if !c.is_control() && !is_invisible(c) {
            clean.push(c);
            count += 1;
        }
        if count >= max {
            break;
        }
    }
    clean.trim().to_owned()
}

fn skip_escape(introducer: char, chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    let kind = if introducer == '\u{9b}' { Some('[') } else { chars.next() };
    match kind {
        Some('[') => {
            // Parameters, then one final byte from @ to ~.
            for c in chars.by_ref() {
                if ('@'..='~').contains(&c) {
                    break;
                }
            }
        }
        // A string, ended by BEL or ESC \.
        Some(']' | 'P' | 'X' | '^' | '_') => {
            while let Some(c) = chars.next() {
                if c == '\u{7}' || c == '\u{9c}' {
                    break;
                }
                if c == '\u{1b}' {
                    chars.next_if_eq(&'\\');
                    break;
                }
            }
        }
        // A character set: one more character.
        Some('(' | ')' | '*' | '+' | '#' | '%' | ' ') => {
            chars.next();
        }
        _ => {}
    }
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_keeps_the_last_bytes() {
        for size in [1, 2, 3, 5, 26] {
            let mut tail = Tail::new(5);
            b"abcdefghijklmnopqrstuvwxyz".chunks(size).for_each(|c| tail.push(c));
            assert_eq!(tail.into_bytes(), b"vwxyz");
        }
    }

    #[test]
    fn lines_are_whole_however_the_stream_is_split() {
        let text = b"one\n\ntoo long a line\nlast";
        for size in 1..text.len() {
            let mut lines = Lines::new(8);
            let mut got = Vec::new();
            text.chunks(size).for_each(|c| lines.push(c, |line, cut| got.push((line, cut))));
            got.extend(lines.rest());
            let want = [(&b"one"[..], false), (b"", false), (b"too long", true), (b"last", false)];
            assert_eq!(got, want.map(|(line, cut)| (line.to_vec(), cut)));
        }
    }

    #[test]
    fn the_latest_line_is_the_last_one_with_text() {
        let text = b"one\ntwo\n\nthree\n  \nrest";
        for size in 1..=text.len() {
            let mut latest = Latest::default();
            text.chunks(size).for_each(|c| latest.push(c));
            assert_eq!(latest.take().as_deref(), Some(&b"three"[..]), "{size}");
            latest.finish();
            assert_eq!(latest.take().as_deref(), Some(&b"rest"[..]));
        }
    }

    #[test]
    fn a_clean_line_moves_no_cursor() {
        let cases: [(&[u8], &str); 11] = [
            (b"plain", "plain"),
            (b"\x1b[1;31mred\x1b[0m text", "red text"),
            (b"10%\r20%\r30%", "30%"),
            (b"done\r\n", "done"),
            (b"\x1b]0;title\x07body", "body"),
            (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            (b"a\0b\x08c\x7f", "abc"),
            (b"\xff\xfe", "\u{fffd}\u{fffd}"),
            ("x\u{202e}evil".as_bytes(), "xevil"),
            (b"\x1b(Bafter", "after"),
            (b"\x1b[", ""),
        ];
        for (raw, want) in cases {
            assert_eq!(clean_line(raw, 160), want, "{raw:?}");
        }
        assert_eq!(clean_line(&vec![b'x'; 1 << 20], 160).len(), 160);
    }
}
