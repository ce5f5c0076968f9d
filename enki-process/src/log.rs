//! The log file of a child: head and tail exact, never larger than asked for.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// How much of a child's output its log keeps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LogLimits {
    /// Bytes kept from the beginning.
    pub head: u64,
    /// Bytes kept from the end.
    pub tail: u64,
}

impl Default for LogLimits {
    /// 1 MiB and 4 MiB.
    fn default() -> Self {
        Self { head: 1 << 20, tail: 4 << 20 }
    }
}

/// Writes the first bytes as they come; from then on the last ones go round in a ring behind a line that says so. Closing
/// puts the ring in order. If the writer is killed before that, only the order of the ring is lost.
#[derive(Debug)]
pub(crate) struct CappedLog {
    file: File,
    limits: LogLimits,
    /// All bytes ever offered.
    total: u64,
    /// The first failure. What comes after it is counted but not kept: a full disk must not stop the child's reader.
    failure: Option<io::Error>,
}

impl CappedLog {
    pub(crate) fn new(file: File, limits: LogLimits) -> Self {
        Self { file, limits, total: 0, failure: None }
    }

    /// Takes the next bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if self.failure.is_none()
            && let Err(error) = self.place(bytes)
        {
            self.failure = Some(error);
        }
        self.total += bytes.len() as u64;
    }

    /// Bytes offered but not kept, as far as the limits go.
    pub(crate) fn cut(&self) -> u64 {
        self.total.saturating_sub(self.limits.head + self.limits.tail)
    }

    /// Puts the tail in order and says how much is missing.
    pub(crate) fn close(mut self) -> io::Result<()> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let cut = self.cut();
        if cut == 0 {
            // Nothing is missing, so there is no line to explain it: head and tail touch.
            if self.total > self.limits.head {
                self.move_tail_over_marker()?;
            }
            return Ok(());
        }
        self.file.write_all_at(marker_line(cut).as_bytes(), self.limits.head)?;
        let mut ring = vec![0; len(self.limits.tail)];
        self.file.read_exact_at(&mut ring, self.ring_start())?;
        let oldest = len((self.total - self.limits.head) % self.limits.tail.max(1));
        ring.rotate_left(oldest);
        self.file.write_all_at(&ring, self.ring_start())
    }

    fn place(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let head_room = self.limits.head.saturating_sub(self.total);
        if head_room > 0 {
            let (head, rest) = bytes.split_at(bytes.len().min(len(head_room)));
            self.file.write_all(head)?;
            bytes = rest;
            if bytes.is_empty() {
                return Ok(());
            }
        }
        let mut offered = self.total.max(self.limits.head) - self.limits.head;
        if offered == 0 {
            self.file.write_all_at(marker_line(0).as_bytes(), self.limits.head)?;
        }
        if self.limits.tail == 0 {
            return Ok(());
        }
        // What a longer write would overwrite itself need not be written.
        let skip = bytes.len().saturating_sub(len(self.limits.tail));
        offered += skip as u64;
        bytes = &bytes[skip..];
        while !bytes.is_empty() {
            let at = offered % self.limits.tail;
            let (now, rest) = bytes.split_at(bytes.len().min(len(self.limits.tail - at)));
            self.file.write_all_at(now, self.ring_start() + at)?;
            offered += now.len() as u64;
            bytes = rest;
        }
        Ok(())
    }

    fn move_tail_over_marker(&mut self) -> io::Result<()> {
        let mut tail = vec![0; len(self.total - self.limits.head)];
        self.file.read_exact_at(&mut tail, self.ring_start())?;
        self.file.write_all_at(&tail, self.limits.head)?;
        self.file.set_len(self.total)
    }

    fn ring_start(&self) -> u64 {
        self.limits.head + marker_line(0).len() as u64
    }
}

/// Always the same length, so that it can be written before the number is known.
fn marker_line(cut: u64) -> String {
    format!("\n[enki: {cut:020} bytes of output were cut here]\n")
}

fn len(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(limits: LogLimits, writes: &[&[u8]]) -> Vec<u8> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        let mut log = CappedLog::new(file, limits);
        for bytes in writes {
            log.write(bytes);
        }
        log.close().unwrap();
        std::fs::read(path).unwrap()
    }

    #[test]
    fn output_within_the_limits_is_kept_as_it_is() {
        let limits = LogLimits { head: 4, tail: 4 };
        for text in [&b""[..], b"abc", b"abcd", b"abcde", b"abcdefgh"] {
            assert_eq!(kept(limits, &[text]), text);
            assert_eq!(kept(limits, &text.chunks(1).collect::<Vec<_>>()), text);
        }
    }

    #[test]
    fn head_and_tail_are_exact_however_the_output_is_split() {
        let text: Vec<u8> = (0..1000u32).map(|i| b'a' + u8::try_from(i % 26).unwrap()).collect();
        for (head, tail) in [(10, 7), (0, 7), (10, 0), (1, 1), (100, 899)] {
            let limits = LogLimits { head, tail };
            let mut want = text[..len(head)].to_vec();
            want.extend_from_slice(marker_line(1000 - head - tail).as_bytes());
            want.extend_from_slice(&text[1000 - len(tail)..]);
            for size in [1, 3, 7, 8, 64, 999, 1000] {
                let chunks: Vec<_> = text.chunks(size).collect();
                assert!(kept(limits, &chunks) == want, "head {head}, tail {tail}, chunks of {size}");
            }
        }
    }

    #[test]
    fn a_failed_write_is_told_at_the_end_and_stops_nothing() {
        let file = File::options().write(true).open("/dev/full").unwrap();
        let mut log = CappedLog::new(file, LogLimits::default());
        log.write(b"x");
        log.write(b"y");
        assert_eq!(log.close().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
