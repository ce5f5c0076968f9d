//! How long a memory of 10,000 entries takes to be searched and added to:
//! `cargo run --release -p enki-store-sqlite --example recall_speed`.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use enki_core::recall::{Decision, Entry, Note, Query, Recall};
use enki_core::time::Timestamp;
use enki_store_sqlite::FileRecall;
use std::time::{Duration, Instant};

const NOUNS: [&str; 20] = [
    "parser", "table", "lock", "queue", "cache", "index", "branch", "socket", "timeout", "token", "schema", "worker",
    "merge", "thread", "buffer", "commit", "review", "graph", "prompt", "budget",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let memory = FileRecall::new(folder.path().join("memory"));
    let word = |n: usize| NOUNS[n % NOUNS.len()];
    let note = |n: usize| {
        let what = format!("{} and {} number {}", word(n), word(n / 20), spelt(n));
        let why = format!("the {} fills the {} when the {} is slow ", word(n / 7), word(n / 3), word(n / 11)).repeat(4);
        Note::Entry { entry: Entry::Decision(Decision { what, why, ..Decision::default() }), at: Timestamp(0) }
    };
    let notes: Vec<Note> = (0..10_000).map(note).collect();
    let start = Instant::now();
    memory.record(&notes)?;
    println!("recorded 10,000 entries in {:?}", start.elapsed());
    let prompt = format!("{} Change how they work together.", NOUNS.join(" and the "));
    for (name, text, for_agent) in
        [("one word", "lock", false), ("three words", "lock queue merge", false), ("a step's 23 words", &prompt, true)]
    {
        let mut query = Query::new(text, Timestamp(0));
        query.for_agent = for_agent;
        let mut times: Vec<Duration> = Vec::new();
        for _ in 0..21 {
            let start = Instant::now();
            assert_eq!(memory.search(&query)?.hits.len(), 10);
            times.push(start.elapsed());
        }
        times.sort_unstable();
        println!("search of {name}: median {:?}, worst {:?}", times[10], times[20]);
    }
    let start = Instant::now();
    memory.record(&[note(10_001)])?;
    println!("one more entry: {:?}", start.elapsed());
    Ok(())
}

fn spelt(n: usize) -> String {
    n.to_string().bytes().map(|b| char::from(b + 49)).collect()
}
