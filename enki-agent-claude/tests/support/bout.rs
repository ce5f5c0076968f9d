//! One bout with a stream that may hold anything: what must be true of the decoder and the judge whatever they are given.
//! The fuzzer and the test that replays its findings both go through here.

use enki_agent_claude::decode::{Decoder, Event};
use enki_agent_claude::outcome::{Judge, ProcessEnd};
use enki_core::agent::{AgentEnd, AgentEvent, AgentExit};
use enki_core::time::Timestamp;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Lines longer than this are passed over here: many a recorded one is, and memory shows what is kept of them.
pub(crate) const LIMIT: usize = 32 << 10;

/// What a bout came to.
#[derive(Debug, PartialEq)]
struct Run {
    /// All events in order, as a digest.
    events: u64,
    lines: u64,
    end: AgentEnd,
}

/// Plays a stream in two ways of cutting it up. An error says which rule it broke.
pub(crate) fn bout(stream: &[u8]) -> Result<(), String> {
    let whole = run(stream, stream.len().max(1))?;
    let pieces = run(stream, 1 + stream.len() % 977)?;
    if whole != pieces {
        return Err(format!("it depends on where the stream is cut: {whole:?} or {pieces:?}"));
    }
    let blank = |line: &&[u8]| line.trim_ascii().is_empty();
    let lines = stream.split(|b| *b == b'\n').filter(|line| !blank(line) || line.len() > LIMIT).count();
    if whole.lines != lines as u64 {
        return Err(format!("{lines} lines, of which {} were accounted for", whole.lines));
    }
    Ok(())
}

fn run(stream: &[u8], size: usize) -> Result<Run, String> {
    let mut judge = Judge::new("/w/one", Duration::from_secs(60));
    let mut decoder = Decoder::new(LIMIT);
    let mut digest = DefaultHasher::new();
    let mut last = None;
    let mut fault = None;
    let mut play = |decoder: &mut Decoder, bytes: Option<&[u8]>| {
        let mut each = |event: Event<'_>| {
            format!("{event:?}").hash(&mut digest);
            match &event {
                Event::Result(result) => last = Some(!result.is_error && !result.subtype.starts_with("error")),
                Event::Broken { result: true } => last = None,
                _ => {}
            }
            judge.see(&event, &mut |shown| fault = fault.take().or_else(|| shown_fault(&shown)));
        };
        match bytes {
            Some(bytes) => decoder.feed(bytes, &mut each),
            None => decoder.finish(&mut each),
        }
    };
    stream.chunks(size).for_each(|chunk| play(&mut decoder, Some(chunk)));
    play(&mut decoder, None);
    let lines = decoder.counts().lines;
    let before = decoder.counts();
    // Whatever came before, the next whole line is read.
    let mut read = false;
    decoder.feed(b"{\"type\":\"result\",\"is_error\":true}\n", &mut |event| read = matches!(event, Event::Result(_)));
    if !read {
        return Err(format!("a whole line was not read after it: {before:?}"));
    }
    if let Some(fault) = fault {
        return Err(fault);
    }
    let end = judge.end(&ProcessEnd::default(), Timestamp(1_800_000_000_000));
    if (end.exit == AgentExit::Success) != (last == Some(true)) {
        return Err(format!("judged as {:?}, and the last result was a success: {last:?}", end.exit));
    }
    if end.text.len() > 256 << 10 {
        return Err(format!("a text of {} bytes", end.text.len()));
    }
    Ok(Run { events: digest.finish(), lines, end })
}

/// What may be shown: a line is one, short, and free of control characters.
fn shown_fault(event: &AgentEvent) -> Option<String> {
    let AgentEvent::Activity(line) = event else { return None };
    let bad = line.chars().count() > 201 || line.chars().any(char::is_control);
    bad.then(|| format!("this is shown to people: {line:?}"))
}
