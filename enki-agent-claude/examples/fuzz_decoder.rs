//! Throws mutated streams at the decoder and the judge, for minutes:
//!
//! `cargo run --release -p enki-agent-claude --example fuzz_decoder -- --minutes 10 [--seed N]`
//!
//! It begins with the recorded streams. What breaks a rule of `tests/support/bout.rs` is written to `tests/corpus`, which
//! `cargo test -p enki-agent-claude --test fixtures` replays, and the run ends with exit code 1. The same seed plays the same
//! streams. Memory may not grow, and no stream may take longer than its length bears.

#![expect(clippy::disallowed_methods, reason = "a fuzzer measures time")]

#[path = "../tests/support/bout.rs"]
mod bout;

use bout::{LIMIT, bout};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn main() -> ExitCode {
    let option = |name: &str| -> Option<u64> {
        let mut args = std::env::args().skip_while(|arg| arg != name);
        args.nth(1)?.parse().ok()
    };
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
    let seed = option("--seed").unwrap_or_else(clock);
    let time = Duration::from_secs(60 * option("--minutes").unwrap_or(1));
    println!("seed {seed}, {} minutes", time.as_secs() / 60);
    let streams = recorded();
    // What panics is told once, below.
    std::panic::set_hook(Box::new(|_| {}));
    let mut random = Random(seed | 1);
    let start = Instant::now();
    let (mut execs, mut bytes, mut slowest, mut settled) = (0_u64, 0_u64, Duration::ZERO, None);
    while start.elapsed() < time {
        let stream = mutated(&mut random, &streams);
        let began = Instant::now();
        let fault = match catch_unwind(|| bout(&stream)) {
            Ok(Ok(())) => None,
            Ok(Err(fault)) => Some(fault),
            Err(_) => Some("it panicked".to_owned()),
        };
        let took = began.elapsed();
        slowest = slowest.max(took);
        (execs, bytes) = (execs + 1, bytes + stream.len() as u64);
        // A machine that is busy takes its time; a cost that is not linear takes more.
        let bearable = Duration::from_secs(1) + Duration::from_micros(stream.len() as u64 / 2);
        let slow = (took > bearable).then(|| format!("{} bytes took {took:?}", stream.len()));
        if let Some(fault) = fault.or(slow) {
            let kept = keep(&stream);
            println!("after {execs} streams of seed {seed}: {fault}\nkept as {}", kept.display());
            return ExitCode::FAILURE;
        }
        if execs.is_multiple_of(2_000) {
            let now = resident();
            let first = *settled.get_or_insert(now);
            if now > first + (64 << 10) {
                println!("after {execs} streams of seed {seed}: memory grew from {first} to {now} KiB");
                return ExitCode::FAILURE;
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{execs} streams, {:.0} MB in {seconds:.0} s: {:.0} streams/s, {:.1} MB/s, the slowest took {slowest:?}, {} KiB resident; nothing was found",
        bytes as f64 / 1e6,
        execs as f64 / seconds,
        bytes as f64 / 1e6 / seconds,
        resident(),
    );
    ExitCode::SUCCESS
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// The recorded streams, then what was found before.
fn recorded() -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> = ["fixtures", "corpus"]
        .iter()
        .flat_map(|part| std::fs::read_dir(folder().join(part)).into_iter().flatten().flatten())
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
        .collect();
    files.sort();
    files.iter().map(|path| std::fs::read(path).expect("a readable recording")).collect()
}

fn keep(stream: &[u8]) -> PathBuf {
    let mut digest = DefaultHasher::new();
    stream.hash(&mut digest);
    let file = folder().join("corpus").join(format!("{:016x}.jsonl", digest.finish()));
    std::fs::write(&file, stream).expect("the corpus takes another file");
    file
}

/// Of this process, in KiB; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// xorshift64*: enough for choices, and the same everywhere.
struct Random(u64);

impl Random {
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

fn mutated(random: &mut Random, streams: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = part(random, streams);
    for _ in 0..=random.skewed(12) {
        let at = random.below(stream.len() + 1);
        match random.below(12) {
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
                let length = LIMIT / 2 + random.below(LIMIT);
                insert(&mut stream, at, fill.repeat(length / fill.len()).as_bytes());
            }
            10 => swap_value(random, &mut stream, at),
            _ => {
                let kind = random.of(&["result", "assistant", "stream_event", "user", "system", "rate_limit_event"]);
                let line = format!("\n{{\"type\":\"{kind}\",\"is_error\":{}}}\n", random.of(&["false", "true", "0"]));
                insert(&mut stream, at, line.as_bytes());
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
