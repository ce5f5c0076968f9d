//! Recorded streams of the real client, decoded and judged as they would be live.
//!
//! The streams are of client 2.1.197 against a scripted service; paths in them were rewritten.

#[path = "support/bout.rs"]
mod bout;

use enki_agent_claude::decode::{Counts, Decoder};
use enki_agent_claude::outcome::{Judge, ProcessEnd, Status};
use enki_core::agent::{AgentEnd, AgentEvent, Usage};
use enki_core::time::Timestamp;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn names() -> Vec<String> {
    let entries = std::fs::read_dir(folder()).expect("the fixtures are there");
    let names = entries.map(|e| e.expect("a readable entry").file_name().into_string().expect("a plain name"));
    let mut names: Vec<String> = names.filter_map(|n| n.strip_suffix(".jsonl").map(str::to_owned)).collect();
    names.sort();
    names
}

/// The exit status that was seen with the recording.
fn status(name: &str) -> Status {
    match name {
        "sig-bash-SIGTERM" => Status::Code(143),
        // Recorded until it was ended at 60 s.
        "fallback" => Status::Signal(15),
        "budget" | "err400" | "err401r0" | "err500r2" | "err529forever" | "errcredit" | "hangto" | "maxturns"
        | "nokey" | "refuse" | "res5missing" | "res6othercwd" | "sig-bash-SIGINT" => Status::Code(1),
        _ => Status::Code(0),
    }
}

fn judged(name: &str, bytes: &[u8]) -> (AgentEnd, Vec<AgentEvent>, Counts) {
    let mut judge = Judge::new("/home/dev/project-edit", Duration::from_secs(60));
    let mut decoder = Decoder::default();
    let mut shown = Vec::new();
    decoder.feed(bytes, &mut |event| judge.see(&event, &mut |e| shown.push(e)));
    decoder.finish(&mut |event| judge.see(&event, &mut |e| shown.push(e)));
    let stderr = std::fs::read_to_string(folder().join(format!("{name}.stderr"))).unwrap_or_default();
    let process = ProcessEnd { cut: None, status: status(name), stderr };
    (judge.end(&process, Timestamp(0)), shown, decoder.counts())
}

fn recording(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(format!("{name}.jsonl"))).expect("a readable recording")
}

#[test]
fn every_recorded_run_is_judged_as_it_went() {
    let mut table = String::new();
    for name in names() {
        let (end, _, counts) = judged(&name, &recording(&name));
        let usage = end.usage;
        let text: String = end.text.chars().take(60).collect();
        writeln!(table, "{name}: {:?}", end.exit).unwrap();
        let session = if end.session.is_some() { "yes" } else { "no" };
        writeln!(
            table,
            "    session {session}, in {}, out {}, cost {} microdollars, {} lines, {} unknown, {} broken, text {text:?}",
            usage.input_tokens, usage.output_tokens, usage.cost_micro_usd, counts.lines, counts.unknown, counts.broken,
        )
        .unwrap();
    }
    insta::assert_snapshot!("outcomes", table);
}

#[test]
fn watchers_see_one_line_per_tool_call_and_text() {
    let mut shown = String::new();
    for name in ["edit", "subagent", "err429twice", "mcp-broken", "refuse", "bgwait", "fallback"] {
        writeln!(shown, "{name}").unwrap();
        for event in judged(name, &recording(name)).1 {
            match event {
                AgentEvent::Activity(line) => writeln!(shown, "    {line}").unwrap(),
                AgentEvent::Text(text) => writeln!(shown, "    text of {} bytes", text.len()).unwrap(),
                AgentEvent::Session(id) => writeln!(shown, "    session of {} characters", id.len()).unwrap(),
                other => panic!("{other:?}"),
            }
        }
    }
    insta::assert_snapshot!("activity", shown);
}

#[test]
fn the_pieces_of_a_text_are_the_whole() {
    let (_, shown, _) = judged("partial", &recording("partial"));
    let (mut pieces, mut whole) = (String::new(), Vec::new());
    for event in shown {
        match event {
            AgentEvent::Partial(piece) => pieces.push_str(&piece),
            AgentEvent::Text(text) => whole.push((pieces.clone(), text)),
            _ => {}
        }
    }
    assert_eq!(whole, [("You said partial.".to_owned(), "You said partial.".to_owned())]);
}

#[test]
fn a_run_tells_what_it_used_as_each_message_ends() {
    let bytes = recording("partial");
    let (end, shown, _) = judged("partial", &bytes);
    let used: Vec<Usage> = shown
        .iter()
        .filter_map(|event| if let AgentEvent::Used(usage) = event { Some(*usage) } else { None })
        .collect();
    let tokens = |usage: &Usage| (usage.input_tokens, usage.output_tokens, usage.cost_micro_usd);
    assert_eq!(used.iter().map(tokens).collect::<Vec<_>>(), [(1668, 11, 0)], "the client tells no cost on the way");
    assert_eq!((end.usage.input_tokens, end.usage.output_tokens), (1668, 11), "and the result says the same");
    let cut = bytes.windows(16).position(|part| part == br#"{"type":"result""#).expect("it has a result");
    let (end, ..) = judged("partial", &bytes[..cut]);
    assert_eq!(tokens(&end.usage), (1668, 11, 0), "one that was ended before its result cost something all the same");
}

/// Bad input 81: however a stream is cut, a run is a success only if its result came whole.
#[test]
fn a_cut_stream_is_never_a_success() {
    for name in names() {
        let whole = recording(&name);
        let result = whole.windows(16).position(|w| w == b"{\"type\":\"result\"").unwrap_or(whole.len());
        let end = result + whole[result..].iter().position(|b| *b == b'\n').unwrap_or(0);
        for cut in (0..end).step_by(97).chain(end.saturating_sub(40)..end) {
            let (end, ..) = judged(&name, &whole[..cut]);
            assert_ne!(end.exit, enki_core::agent::AgentExit::Success, "{name} cut at {cut}");
            assert_eq!(end.text, "", "{name} cut at {cut}");
        }
    }
}

/// What the fuzzer found (`enki-fuzz`, target `agent-stream`), and what it once might have.
#[test]
fn streams_that_were_found_to_do_harm_do_none() {
    let corpus = std::fs::read_dir(folder().join("../corpus")).expect("the corpus is there");
    let files: Vec<PathBuf> = corpus.map(|entry| entry.expect("a readable entry").path()).collect();
    let recorded = names().into_iter().map(|name| folder().join(format!("{name}.jsonl")));
    assert!(!files.is_empty());
    for file in recorded.chain(files) {
        let stream = std::fs::read(&file).expect("a readable stream");
        assert_eq!(bout::bout(&stream), Ok(()), "{}", file.display());
    }
}

/// All recorded streams as one.
fn all_recorded() -> Vec<u8> {
    names().iter().flat_map(|name| recording(name)).collect()
}

proptest::proptest! {
    /// More of it: `PROPTEST_CASES=1000000 cargo test --release -p enki-agent-claude --test fixtures -- mutated`.
    #[test]
    fn mutated_streams_are_survived_and_leave_the_decoder_whole(
        from in 0usize..1 << 20,
        length in 0usize..20_000,
        cuts in proptest::collection::vec((0usize..20_000, 0usize..200, 0u8..4, proptest::prelude::any::<u8>()), 0..20),
    ) {
        thread_local!(static ALL: Vec<u8> = all_recorded());
        let mut stream = ALL.with(|all| {
            let from = from % all.len();
            all[from..(from + length).min(all.len())].to_vec()
        });
        for (at, length, how, byte) in cuts {
            let at = at % (stream.len() + 1);
            let end = (at + length).min(stream.len());
            match how {
                0 => drop(stream.drain(at..end)),
                1 => stream[at..end].fill(byte),
                2 => stream.insert(at, byte),
                _ => stream.extend_from_within(at..end),
            }
        }
        let mut judge = Judge::new("/w/one", Duration::from_secs(60));
        // Shorter than many a recorded line.
        let mut decoder = Decoder::new(1000);
        for chunk in stream.chunks(997) {
            decoder.feed(chunk, &mut |event| judge.see(&event, &mut |_| {}));
        }
        // Whatever came before, the next whole line is read.
        let mut last = String::new();
        decoder.feed(b"\n{\"type\":\"result\",\"is_error\":false,\"result\":\"whole\"}\n", &mut |event| {
            last = format!("{event:?}");
            judge.see(&event, &mut |_| {});
        });
        proptest::prop_assert!(last.starts_with("Result(") && last.contains("whole"), "{last}");
        let end = judge.end(&ProcessEnd::default(), Timestamp(0));
        proptest::prop_assert_eq!(end.exit, enki_core::agent::AgentExit::Success);
    }
}
