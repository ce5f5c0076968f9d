use super::*;
use proptest::prelude::*;

/// The events as text, which lets them outlive their lines.
fn decode(max_line: usize, chunks: &[&[u8]]) -> (Vec<String>, Counts) {
    let mut decoder = Decoder::new(max_line);
    let mut seen = Vec::new();
    for chunk in chunks {
        decoder.feed(chunk, &mut |event| seen.push(format!("{event:?}")));
    }
    decoder.finish(&mut |event| seen.push(format!("{event:?}")));
    (seen, decoder.counts())
}

fn text_of(line: &[u8]) -> Option<String> {
    let mut text = None;
    let mut decoder = Decoder::default();
    decoder.feed(line, &mut |event| {
        if let Event::Text(said) = event {
            text = Some(said.text.to_owned());
        }
    });
    text
}

fn saying(text: &str) -> Vec<u8> {
    format!("{{\"type\":\"assistant\",\"message\":{{\"id\":\"m\",\"content\":[{{\"type\":\"text\",\"text\":\"{text}\"}}]}}}}\n").into()
}

const RESULT: &str = r#"{"type":"result","subtype":"success","is_error":false,"result":"ok","total_cost_usd":0.5}"#;
const BROKEN_RESULT: &str = "Broken { result: true }";

#[test]
fn unknown_kinds_and_fields_are_skipped_and_counted() {
    let stream = br#"{"type":"brand_new","result":"x","is_error":false}
{"type":"system","subtype":"brand_new"}

{"type":"result","is_error":false,"new":{"deep":[1,{"a":null}]},"result":"ok"}
"#;
    let (seen, counts) = decode(MAX_LINE, &[stream]);
    assert_eq!(seen[..2], ["Unknown", "Quiet"]);
    assert!(seen[2].starts_with("Result("), "{}", seen[2]);
    assert_eq!(counts, Counts { lines: 3, unknown: 1, ..Counts::default() });
}

#[test]
fn pieces_of_a_text_are_told_and_those_of_thoughts_calls_and_subagents_are_not_the_agents() {
    let piece = |delta: &str, rest: &str| {
        format!(
            "{{\"type\":\"stream_event\",\"event\":{{\"type\":\"content_block_delta\",\"index\":12,\"delta\":{delta}}}{rest}}}\n"
        )
    };
    let seen = |line: &str| decode(MAX_LINE, &[line.as_bytes()]).0;
    let text = r#"{"type":"text_delta","text":"a\n\u00e9"}"#;
    let told = |nested: bool| [format!("Piece {{ text: \"a\\né\", nested: {nested} }}")];
    assert_eq!(seen(&piece(text, r#","session_id":"s","parent_tool_use_id":null"#)), told(false));
    assert_eq!(seen(&piece(text, r#","parent_tool_use_id":"toolu_1""#)), told(true));
    for delta in [
        r#"{"type":"thinking_delta","thinking":"hm"}"#,
        r#"{"type":"input_json_delta","partial_json":"{\"text\":1"}"#,
        r#"{"type":"text_delta"}"#,
        r#"{"type":"brand_new","text":"x"}"#,
        "[7]",
    ] {
        let told = seen(&piece(delta, ""));
        assert!(told == ["Quiet"] || told == ["Piece { text: \"\", nested: false }"], "{delta}: {told:?}");
    }
    // However the client orders its keys.
    let turned = r#"{"uuid":"u","event":{"index":0,"delta":{"text":"x","type":"text_delta"},"type":"content_block_delta"},"type":"stream_event"}"#;
    assert_eq!(seen(turned), ["Piece { text: \"x\", nested: false }"]);
    let half = piece(r#"{"type":"text_delta","text":"\ud83d"}"#, "");
    assert_eq!(seen(&half), ["Piece { text: \"\u{fffd}\", nested: false }"]);
    let broken =
        r#"{"type":"stream_event","event":{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","te"#;
    assert_eq!(seen(broken), ["Broken { result: false }"]);
    for event in
        [r#"{"type":"ping"}"#, r#"{"type":"message_delta"}"#, r#"{"type":"content_block_stop","index":0}"#, "7"]
    {
        assert_eq!(seen(&format!("{{\"type\":\"stream_event\",\"event\":{event}}}\n")), ["Quiet"], "{event}");
    }
}

#[test]
fn a_field_of_another_type_does_not_cost_the_result() {
    let stream = br#"{"type":"result","subtype":7,"is_error":true,"api_error_status":"429","num_turns":-3,"result":["x"],
        "total_cost_usd":"free","usage":[1],"modelUsage":{"m":3},"permission_denials":{"a":1},"errors":["a",2,"b"],"stop_reason":{}}"#;
    let line = String::from_utf8_lossy(stream).replace('\n', " ");
    let mut decoder = Decoder::default();
    let mut got = 0;
    decoder.feed(format!("{line}\n").as_bytes(), &mut |event| {
        let Event::Result(result) = event else { panic!("{event:?}") };
        assert_eq!(*result, Final { is_error: true, errors: vec!["a", "b"], ..Final::default() });
        got += 1;
    });
    assert_eq!((got, decoder.counts().broken), (1, 0));
}

#[test]
fn a_result_without_its_verdict_is_no_result() {
    for line in [r#"{"type":"result","result":"ok"}"#, r#"{"type":"result","is_error":"false"}"#] {
        assert_eq!(decode(MAX_LINE, &[line.as_bytes()]).0, [BROKEN_RESULT], "{line}");
    }
}

#[test]
fn a_cut_result_is_known_for_one() {
    for end in 20..RESULT.len() {
        let (seen, counts) = decode(MAX_LINE, &[&RESULT.as_bytes()[..end]]);
        assert_eq!((seen, counts.broken), (vec![BROKEN_RESULT.to_owned()], 1), "cut at {end}");
    }
    assert_eq!(decode(MAX_LINE, &[b"{\"type\":\"assist"]).0, ["Broken { result: false }"]);
}

#[test]
fn what_is_not_an_object_is_broken() {
    for line in
        ["[\"result\",\"success\"]", "null", "warning: hello", "\u{1b}[31mred\u{1b}[0m", "{}", "{\"type\":3}", "{{{{"]
    {
        assert_eq!(decode(MAX_LINE, &[line.as_bytes()]).0, ["Broken { result: false }"], "{line}");
    }
}

#[test]
fn invalid_utf8_costs_only_the_characters() {
    let mut line = saying("caf? au lait");
    let at = line.iter().position(|b| *b == b'?').unwrap();
    line[at] = 0xe9;
    assert_eq!(text_of(&line).unwrap(), "caf\u{fffd} au lait");
    // Where nobody looks it costs nothing.
    let mut ignored = br#"{"type":"result","is_error":false,"uuid":"?"}"#.to_vec();
    let at = ignored.iter().position(|b| *b == b'?').unwrap();
    ignored[at] = 0xff;
    let (seen, counts) = decode(MAX_LINE, &[&ignored]);
    assert!(seen[0].starts_with("Result("), "{}", seen[0]);
    assert_eq!((counts.broken, counts.repaired), (0, 0));
}

#[test]
fn a_character_cut_in_half_costs_only_itself() {
    assert_eq!(text_of(&saying(r"a\ud83d b")).unwrap(), "a\u{fffd} b");
    assert_eq!(text_of(&saying(r"\ude00\ud83d\ude00")).unwrap(), "\u{fffd}😀");
    assert_eq!(text_of(&saying(r"C:\\ud83d \ud83d\n")).unwrap(), "C:\\ud83d \u{fffd}\n");
    assert_eq!(text_of(&saying("a\u{0}b\\ud800")).unwrap(), "a b\u{fffd}");
}

#[test]
fn a_line_over_the_limit_is_passed_over_in_constant_memory() {
    let mut decoder = Decoder::new(1 << 20);
    let mut seen = Vec::new();
    let piece = vec![b'x'; 64 << 10];
    decoder.feed(b"{\"type\":\"user\",\"message\":\"", &mut |_| panic!("no line yet"));
    for nth in 0..1024 {
        decoder.feed(&piece, &mut |_| panic!("no line yet"));
        let most = if nth < 16 { 2 << 20 } else { KEPT };
        assert!(decoder.held.capacity() <= most, "{} bytes held", decoder.held.capacity());
    }
    decoder.feed(b"\"}\n", &mut |e| seen.push(format!("{e:?}")));
    assert!(decoder.held.capacity() <= KEPT);
    decoder.feed(RESULT.as_bytes(), &mut |_| panic!("no line yet"));
    decoder.feed(b"\n", &mut |e| seen.push(format!("{e:?}")));
    assert_eq!(seen[0], "Broken { result: false }");
    assert!(seen[1].starts_with("Result("), "{}", seen[1]);
    assert_eq!(decoder.counts(), Counts { lines: 2, too_long: 1, ..Counts::default() });
}

#[test]
fn a_result_over_the_limit_is_a_broken_result() {
    let long = format!("{{\"type\":\"result\",\"is_error\":false,\"result\":\"{}\"}}\n", "y".repeat(5000));
    assert_eq!(decode(4096, &[long.as_bytes()]).0, [BROKEN_RESULT]);
    assert!(decode(8192, &[long.as_bytes()]).0[0].starts_with("Result("));
}

#[test]
fn after_a_gap_the_next_whole_line_is_read() {
    for before in ["", "{\"type\":\"user\",\"mess"] {
        let mut decoder = Decoder::default();
        let mut seen = Vec::new();
        decoder.feed(before.as_bytes(), &mut |_| panic!("no line yet"));
        decoder.gap();
        decoder.feed(format!("{RESULT}\n{RESULT}\n").as_bytes(), &mut |e| seen.push(format!("{e:?}")));
        assert_eq!(seen[0], "Broken { result: false }", "the rest of a line may look like one");
        assert!(seen[1].starts_with("Result("), "{}", seen[1]);
    }
    let mut decoder = Decoder::default();
    decoder.feed(&RESULT.as_bytes()[..40], &mut |_| panic!("no line yet"));
    decoder.gap();
    decoder.finish(&mut |e| assert_eq!(e, Event::Broken { result: true }));
}

#[test]
fn a_million_empty_blocks_stay_small() {
    let blocks = "{},".repeat(300_000);
    let line = format!("{{\"type\":\"assistant\",\"message\":{{\"content\":[{blocks}{{}}]}}}}\n");
    let read: Line<'_> = serde_json::from_str(line.trim()).unwrap();
    assert_eq!(read.message.0.unwrap().content.0.unwrap().len(), 256);
}

#[test]
fn deep_nesting_is_survived() {
    for depth in [100, 100_000] {
        let deep = format!("{{\"type\":\"user\",\"x\":{}{}}}\n", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(decode(MAX_LINE, &[deep.as_bytes()]).0.len(), 1);
        let input = format!("{{\"type\":\"user\",\"message\":{}{}}}\n", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(decode(MAX_LINE, &[input.as_bytes()]).0.len(), 1);
    }
}

proptest! {
    #[test]
    fn where_the_stream_is_cut_into_chunks_does_not_matter(
        lines in prop::collection::vec(prop_oneof![
            Just(RESULT.to_owned()), Just("{\"type\":\"x\"}".to_owned()), Just(String::new()), Just("\r".to_owned()),
            "\\PC{0,40}", Just("z".repeat(300)),
        ], 0..8),
        cuts in prop::collection::vec(0usize..2000, 0..12),
        ended in any::<bool>(),
    ) {
        let mut stream = lines.join("\n");
        if ended { stream.push('\n'); }
        let bytes = stream.as_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
        cuts.sort_unstable();
        let mut chunks = Vec::new();
        let mut from = 0;
        for cut in cuts {
            chunks.push(&bytes[from..cut]);
            from = cut;
        }
        chunks.push(&bytes[from..]);
        prop_assert_eq!(decode(200, &chunks), decode(200, &[bytes]));
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode(200, &[&bytes]);
        let mut line = b"{\"type\":\"assistant\",\"message\":{\"content\":[{\"type\":\"text\",\"text\":\"".to_vec();
        line.extend(bytes.iter().filter(|b| !matches!(b, b'"' | b'\\' | b'\n')));
        line.extend(b"\"}]}}\n");
        prop_assert!(text_of(&line).is_some());
    }

    #[test]
    fn damage_costs_at_most_its_own_line(at in 0usize..RESULT.len(), with in any::<u8>().prop_filter("newline", |b| *b != b'\n')) {
        let mut first = RESULT.as_bytes().to_vec();
        first[at] = with;
        first.push(b'\n');
        let (seen, _) = decode(MAX_LINE, &[&first, RESULT.as_bytes()]);
        prop_assert!(seen.last().unwrap().starts_with("Result("));
    }
}
