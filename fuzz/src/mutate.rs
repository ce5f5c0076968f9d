//! Mutations: what programs, people and hostile ones do to texts.

/// xorshift64*: enough for choices, and the same everywhere.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// The same seed gives the same choices.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Neighbours among seeds shall have nothing in common, and zero would stay zero.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n.max(1) as u64).unwrap_or(0)
    }

    /// Mostly small, now and then as large as that.
    fn skewed(&mut self, most: usize) -> usize {
        let bits = self.below(usize::BITS as usize - most.leading_zeros() as usize + 1);
        self.below((1_usize << bits).min(most) + 1)
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }
}

/// An input made of parts of these.
#[must_use]
pub fn mutated(random: &mut Random, streams: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = part(random, streams);
    for _ in 0..=random.skewed(12) {
        let at = random.below(stream.len() + 1);
        match random.below(14) {
            0 => flip(random, &mut stream),
            1 => drop(stream.drain(at..(at + random.skewed(2_000)).min(stream.len()))),
            2 => insert(&mut stream, at, &part(random, streams)),
            3 => stream.truncate(at),
            4 => {
                let end = (at + random.skewed(4_000)).min(stream.len());
                let again = stream[at..end].to_vec();
                let to = random.below(stream.len() + 1);
                insert(&mut stream, to, &again);
            }
            5 => {
                let depth = random.skewed(50_000);
                let open = random.of(&["[", "{\"a\":", "[{\"type\":[", "{\"message\":{\"content\":["]);
                insert(&mut stream, at, open.repeat(depth / open.len() + 1).as_bytes());
            }
            6 => insert(&mut stream, at, &[b'9'].repeat(random.skewed(2_000))),
            7 => {
                let word = random.of(&[
                    "1e999",
                    "-1e-999",
                    "-0",
                    "18446744073709551616",
                    "1e308",
                    "null",
                    "true",
                    "\"\"",
                    "\\ud83d",
                    "\\udc00\\ud83d",
                    "\\u0000",
                    "\\u001b[31m",
                    "\\n",
                    "\\",
                    "\"",
                    "\n",
                    "\r\n",
                    ",",
                    ":",
                    "{",
                    "}",
                    "[",
                    "]",
                    "\u{202e}",
                    "\u{feff}",
                ]);
                insert(&mut stream, at, word.as_bytes());
            }
            8 => {
                let bytes: [&[u8]; 6] = [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\x00", b"\x80\x80\x80"];
                insert(&mut stream, at, random.of(&bytes));
            }
            9 => {
                let fill = random.of(&["a", "\\u00e9", "é", " ", "\\\\", "\u{0}"]);
                let length = random.skewed(64 << 10);
                insert(&mut stream, at, fill.repeat(length / fill.len()).as_bytes());
            }
            10 => swap_value(random, &mut stream, at),
            11 => {
                // A line of one input in the place of one of another.
                let line = line(random, streams);
                let start = stream[..at].iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
                let end = stream[at..].iter().position(|b| *b == b'\n').map_or(stream.len(), |n| at + n);
                drop(stream.splice(start..end, line));
            }
            _ => {
                let word = random.of(&[
                    "- ",
                    ": ",
                    "? ",
                    "&a ",
                    "*a",
                    "!!binary ",
                    "<<: *a",
                    "|\n",
                    ">-\n",
                    "---\n",
                    "...\n",
                    "# ",
                    "\t",
                    "    ",
                    "\u{2028}",
                    "[[steps]]\n",
                    "= ",
                    "\"\"\"",
                    "'''",
                    "..",
                    "/",
                    "~1",
                    "@{",
                    ".lock",
                    "refs/heads/",
                    "-",
                    "%2e%2e",
                    "<gv>",
                    "</gv>",
                    "```\n",
                    "[OUTPUT]",
                    "[/OUTPUT]",
                    "VERDICT: PASS\n",
                    "SCORE: 1e9/10\n",
                    "0123456789abcdef",
                    "e\u{301}",
                    "\u{2066}",
                ]);
                insert(&mut stream, at, word.as_bytes());
            }
        }
        stream.truncate(1 << 20);
    }
    stream
}

fn part(random: &mut Random, streams: &[Vec<u8>]) -> Vec<u8> {
    let stream = &streams[random.below(streams.len())];
    let from = if random.below(3) == 0 { 0 } else { random.below(stream.len()) };
    let length = random.skewed(stream.len() - from);
    stream[from..from + length].to_vec()
}

fn line(random: &mut Random, streams: &[Vec<u8>]) -> Vec<u8> {
    let stream = &streams[random.below(streams.len())];
    let lines: Vec<&[u8]> = stream.split(|b| *b == b'\n').collect();
    lines[random.below(lines.len())].to_vec()
}

fn insert(stream: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    drop(stream.splice(at..at, bytes.iter().copied()));
}

fn flip(random: &mut Random, stream: &mut [u8]) {
    if !stream.is_empty() {
        let at = random.below(stream.len());
        stream[at] ^= 1 << random.below(8);
    }
}

/// Puts another value behind the next colon: fields of another type than hoped for.
fn swap_value(random: &mut Random, stream: &mut Vec<u8>, at: usize) {
    let Some(colon) = stream[at..].iter().position(|b| *b == b':').map(|n| at + n + 1) else { return };
    let end = stream[colon..].iter().position(|b| matches!(b, b',' | b'}' | b'\n')).map_or(stream.len(), |n| colon + n);
    let value = random.of(&["null", "7", "-1.5", "\"x\"", "[]", "{}", "[[1]]", "{\"text\":\"x\"}", "true", "1e999"]);
    drop(stream.splice(colon..end, value.bytes()));
}
