//! How fast the stream of the Claude Code client is decoded, beside parsing each line into a `serde_json::Value`.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use enki_agent_claude::decode::Decoder;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

/// Megabytes a second, the best of some rounds in turn, so that a busy machine treats both alike.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// The decoder's.
    pub decoder: f64,
    /// Of the lines as values.
    pub values: f64,
}

/// All recorded streams of the client's tests, again and again; without and with the pieces of texts, which are most lines.
///
/// # Errors
///
/// The recordings cannot be read.
pub fn measure() -> std::io::Result<(Rates, Rates)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../enki-agent-claude/tests/fixtures");
    let mut files: Vec<_> = std::fs::read_dir(&folder)?.collect::<Result<_, _>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    let mut all = Vec::new();
    for file in files.iter().filter(|file| file.path().extension().is_some_and(|end| end == "jsonl")) {
        all.extend(std::fs::read(file.path())?);
    }
    let pieces = std::fs::read(folder.join("partial.jsonl"))?;
    Ok((rates(&all.repeat(400)), rates(&pieces.repeat(3000))))
}

fn rates(stream: &[u8]) -> Rates {
    let (mut decoder, mut values) = (Duration::MAX, Duration::MAX);
    for _ in 0..5 {
        decoder = decoder.min(time(|| decode(stream)));
        values = values.min(time(|| parse(stream)));
    }
    let rate = |time: Duration| stream.len() as f64 / time.as_secs_f64() / 1e6;
    Rates { decoder: rate(decoder), values: rate(values) }
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn decode(stream: &[u8]) {
    let mut decoder = Decoder::default();
    // As a pipe gives it.
    for chunk in stream.chunks(64 << 10) {
        decoder.feed(chunk, &mut |event| {
            black_box(&event);
        });
    }
    black_box(decoder.counts());
}

fn parse(stream: &[u8]) {
    for line in stream.split(|b| *b == b'\n') {
        black_box(serde_json::from_slice::<serde_json::Value>(line).ok());
    }
}
