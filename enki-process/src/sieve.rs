//! Keeps pieces of what comes whole later out of a log.

/// How much of the pieces is held until their whole comes.
const HELD: usize = 64 << 10;

/// Passes lines on as they come, but for those that are pieces. Memory is bounded, however long a line is.
#[derive(Debug)]
pub(crate) struct Sieve {
    piece: &'static [u8],
    wholes: Vec<&'static [u8]>,
    /// Pieces whose whole has not come yet, the newest.
    held: Vec<u8>,
    /// The beginning of a line of which it is not known yet what it is.
    head: Vec<u8>,
    line: Line,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Line {
    /// Its kind is not known yet.
    Begins,
    Piece,
    Other,
}

impl Sieve {
    pub(crate) fn new(piece: &'static str, wholes: &'static [&'static str]) -> Self {
        let wholes = wholes.iter().map(|whole| whole.as_bytes()).collect();
        Self { piece: piece.as_bytes(), wholes, held: Vec::new(), head: Vec::new(), line: Line::Begins }
    }

    /// Gives what of the next bytes belongs in the log.
    pub(crate) fn push(&mut self, bytes: &[u8], mut keep: impl FnMut(&[u8])) {
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            match self.line {
                Line::Begins if self.head.is_empty() => self.begin(part, &mut keep),
                Line::Begins => {
                    let mut line = std::mem::take(&mut self.head);
                    line.extend_from_slice(part);
                    self.begin(&line, &mut keep);
                }
                Line::Piece => self.hold(part),
                Line::Other => keep(part),
            }
            if part.ends_with(b"\n") {
                self.line = Line::Begins;
            }
        }
    }

    /// Gives what never came whole.
    pub(crate) fn finish(self, mut keep: impl FnMut(&[u8])) {
        for rest in [self.held, self.head] {
            if !rest.is_empty() {
                keep(&rest);
            }
        }
    }

    fn begin(&mut self, line: &[u8], keep: &mut impl FnMut(&[u8])) {
        if line.starts_with(self.piece) {
            self.line = Line::Piece;
            return self.hold(line);
        }
        let open = |prefix: &[u8]| line.len() < prefix.len() && prefix.starts_with(line);
        if open(self.piece) || self.wholes.iter().any(|whole| open(whole)) {
            self.head.extend_from_slice(line);
            return;
        }
        if self.wholes.iter().any(|whole| line.starts_with(whole)) {
            self.held.clear();
        }
        self.line = Line::Other;
        keep(line);
    }

    fn hold(&mut self, part: &[u8]) {
        let part = &part[part.len().saturating_sub(HELD)..];
        if self.held.len() + part.len() > 2 * HELD {
            // Half at a time, so that each byte is moved once.
            self.held.drain(..self.held.len() - HELD);
        }
        self.held.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> String {
        let mut sieve = Sieve::new("p:", &["all:", "end"]);
        let mut log = Vec::new();
        for chunk in chunks {
            sieve.push(chunk, |kept| log.extend_from_slice(kept));
            assert!(sieve.held.len() <= 2 * HELD && sieve.head.len() < 4);
        }
        sieve.finish(|kept| log.extend_from_slice(kept));
        String::from_utf8(log).unwrap()
    }

    #[test]
    fn pieces_are_not_in_the_log_beside_their_whole() {
        assert_eq!(kept([&b"a\np:1\np:2\nb\nall: 12\np:3\nall: 3\nc"[..]]), "a\nb\nall: 12\nall: 3\nc");
    }

    #[test]
    fn what_never_comes_whole_is_there_in_pieces() {
        assert_eq!(kept([&b"p:1\nall: 1\np:2\nb\np:3"[..]]), "all: 1\nb\np:2\np:3");
        assert_eq!(kept([&b"al"[..]]), "al");
    }

    #[test]
    fn a_flood_of_pieces_is_bounded() {
        let flood = "p:xxxxxx\n".repeat(100_000);
        let log = kept(flood.as_bytes().chunks(1000));
        assert!(log.len() >= HELD && flood.ends_with(&log), "{}", log.len());
        let line = format!("p:{}\n", "y".repeat(1 << 20));
        assert!(kept(line.as_bytes().chunks(9999)).ends_with("yyy\n"));
    }

    #[test]
    fn where_the_output_is_cut_does_not_matter() {
        let words = ["p:1", "p", "all:x", "al", "other", "end", "en", ""];
        for (a, b) in words.iter().flat_map(|a| words.map(|b| (a, b))) {
            for text in [format!("{a}\n{b}"), format!("p:0\n{a}\n{b}\np:2\n"), format!("{b}\nall:\n{a}{b}\n")] {
                for cut in 1..5 {
                    assert_eq!(kept(text.as_bytes().chunks(cut)), kept([text.as_bytes()]), "{text:?} by {cut}");
                }
            }
        }
    }
}
