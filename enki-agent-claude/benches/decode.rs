//! How fast the client's stream is decoded, beside what parsing each line into a `serde_json::Value` costs.
//!
//! `cargo bench -p enki-agent-claude`. Goal: 200 MB/s at least, memory constant.

use enki_agent_claude::decode::Decoder;
use serde_json::json;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn rate(bytes: usize, mut work: impl FnMut()) -> f64 {
    work();
    let mut best = Duration::MAX;
    for _ in 0..7 {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed());
    }
    bytes as f64 / best.as_secs_f64() / 1e6
}

fn measure(name: &str, stream: &[u8]) {
    let ours = rate(stream.len(), || {
        let mut decoder = Decoder::default();
        // As a pipe gives it.
        for chunk in stream.chunks(64 << 10) {
            decoder.feed(chunk, &mut |event| {
                black_box(&event);
            });
        }
        black_box(decoder.counts());
    });
    let value = rate(stream.len(), || {
        for line in stream.split(|b| *b == b'\n') {
            black_box(serde_json::from_slice::<serde_json::Value>(line).ok());
        }
    });
    println!("{name:24} {:6.1} MB: {ours:6.0} MB/s, as Value {value:6.0} MB/s", stream.len() as f64 / 1e6);
}

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let recorded = |name: &str| std::fs::read(folder.join(name)).expect("the fixtures are there");
    measure("an edit, recorded", &recorded("edit.jsonl").repeat(2000));
    measure("pieces of a text", &recorded("partial.jsonl").repeat(3000));

    let source = "    let value = map.get(\"key\").copied().unwrap_or_default(); // 'ümlaut'\n".repeat(400);
    let result = json!({"type": "user", "session_id": "s", "message": {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "t", "content": source}]},
        "tool_use_result": {"file": {"filePath": "/w/a.rs", "content": source}}});
    measure("files read", format!("{result}\n").repeat(500).as_bytes());

    let call = json!({"type": "assistant", "message": {"id": "m", "content": [
        {"type": "tool_use", "id": "t", "name": "Write", "input": {"file_path": "/w/a.rs", "content": source}}]}});
    measure("files written", format!("{call}\n").repeat(1000).as_bytes());

    let said = json!({"type": "assistant", "message": {"id": "m", "content": [{"type": "text", "text": source}]}});
    measure("long texts", format!("{said}\n").repeat(1000).as_bytes());
}
