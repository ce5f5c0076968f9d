//! Takes secrets out of a stream, line by line, however it is cut into chunks.

use enki_core::redact::{REDACTED, Redactor};

/// Longest line that is looked at as one.
const LONGEST: usize = 64 << 10;

/// Passes lines on once they are whole. Memory is bounded, however long a line is.
#[derive(Debug)]
pub(crate) struct Cleaner {
    redactor: Redactor,
    line: Vec<u8>,
    /// Inside a block of a key, which has many lines.
    in_key: bool,
}

impl Cleaner {
    pub(crate) fn new(redactor: Redactor) -> Self {
        Self { redactor, line: Vec::new(), in_key: false }
    }

    /// Gives the whole lines of the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8], mut keep: impl FnMut(&[u8])) {
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.give(&line, &mut keep);
                self.line = line;
                self.line.clear();
            } else if self.line.len() > LONGEST {
                // A word is cut only if it alone is as long as that.
                let space = self.line.iter().rposition(u8::is_ascii_whitespace).map_or(self.line.len(), |at| at + 1);
                let rest = self.line.split_off(space);
                let line = std::mem::replace(&mut self.line, rest);
                self.give(&line, &mut keep);
            }
        }
    }

    /// Gives what has no end of its own.
    pub(crate) fn finish(mut self, mut keep: impl FnMut(&[u8])) {
        let rest = std::mem::take(&mut self.line);
        if !rest.is_empty() {
            self.give(&rest, &mut keep);
        }
    }

    fn give(&mut self, line: &[u8], keep: &mut impl FnMut(&[u8])) {
        let text = String::from_utf8_lossy(line);
        if self.in_key {
            self.in_key = !text.contains("-----END ");
            return;
        }
        if text.contains("-----BEGIN ") && !text.contains("-----END ") {
            self.in_key = true;
            let before = &text[..text.find("-----BEGIN ").unwrap_or(0)];
            return keep(format!("{}{REDACTED}\n", self.redactor.clean(before)).as_bytes());
        }
        let clean = self.redactor.clean(&text);
        // What has no secret is kept byte for byte, also if it is no text.
        keep(if clean == text { line } else { clean.as_bytes() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut cleaner = Cleaner::new(Redactor::new(["hunter2hunter2".to_owned()]));
        let mut log = Vec::new();
        for chunk in chunks {
            cleaner.push(chunk, |clean| log.extend_from_slice(clean));
            assert!(cleaner.line.len() <= LONGEST + chunk.len());
        }
        cleaner.finish(|clean| log.extend_from_slice(clean));
        log
    }

    #[test]
    fn a_secret_is_found_wherever_the_stream_is_cut() {
        let text = b"before hunter2hunter2 after\nkey sk-ant-0123456789abcdef\nlast hunter2hunter2";
        let clean = b"before [redacted] after\nkey [redacted]\nlast [redacted]";
        for size in 1..text.len() {
            assert_eq!(cleaned(text.chunks(size)), clean, "chunks of {size}");
        }
    }

    #[test]
    fn what_holds_no_secret_is_kept_byte_for_byte() {
        let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        assert_eq!(cleaned(bytes.chunks(997)), bytes);
    }

    #[test]
    fn a_key_of_many_lines_goes_with_all_of_them() {
        let text = b"a\nkey: -----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----\nb\n";
        assert_eq!(cleaned([&text[..]]), b"a\nkey: [redacted]\nb\n");
    }

    #[test]
    fn a_secret_after_a_long_line_is_found_and_memory_is_bounded() {
        let text = "word ".repeat(40_000) + "hunter2hunter2";
        let clean = String::from_utf8(cleaned(text.as_bytes().chunks(4096))).unwrap();
        assert!(clean.ends_with("word [redacted]") && clean.len() == text.len() - 14 + REDACTED.len());
    }
}
