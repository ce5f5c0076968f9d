use super::*;
use crate::decode::Decoder;

const NOW: Timestamp = Timestamp(1_800_000_000_000);
const PAUSE: Duration = Duration::from_secs(60);

fn run(stream: &str, process: &ProcessEnd) -> (AgentEnd, Vec<AgentEvent>) {
    let mut judge = Judge::new("/w/one/", PAUSE);
    let mut shown = Vec::new();
    let mut decoder = Decoder::default();
    decoder.feed(stream.as_bytes(), &mut |event| judge.see(&event, &mut |e| shown.push(e)));
    decoder.finish(&mut |event| judge.see(&event, &mut |e| shown.push(e)));
    (judge.end(process, NOW), shown)
}

fn exit(stream: &str, process: &ProcessEnd) -> AgentExit {
    run(stream, process).0.exit
}

fn code(code: i32) -> ProcessEnd {
    ProcessEnd { status: Status::Code(code), ..ProcessEnd::default() }
}

fn cut(cut: Cut) -> ProcessEnd {
    ProcessEnd { cut: Some(cut), status: Status::Ours, ..ProcessEnd::default() }
}

const INIT: &str =
    r#"{"type":"system","subtype":"init","session_id":"s1","model":"m","claude_code_version":"2.1.197"}"#;

fn failed_with(fields: &str, word: &str) -> String {
    let said = format!(
        r#"{{"type":"assistant","error":"{word}","message":{{"model":"<synthetic>","content":[{{"type":"text","text":"API Error"}}]}}}}"#
    );
    format!(
        "{INIT}\n{said}\n{{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":true,\"result\":\"API Error\"{fields}}}\n"
    )
}

fn ok(result: &str) -> String {
    format!("{{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,\"result\":{result}}}\n")
}

fn text(message: &str, text: &str) -> String {
    format!(
        "{{\"type\":\"assistant\",\"message\":{{\"id\":\"{message}\",\"content\":[{{\"type\":\"text\",\"text\":\"{text}\"}}]}}}}\n"
    )
}

const ANSWER: &str = "{\"type\":\"user\",\"message\":{\"content\":[{\"type\":\"tool_result\",\"content\":\"1\"}]}}\n";

#[test]
fn a_failed_run_of_subtype_success_is_no_success() {
    let is = |fields: &str, word: &str| exit(&failed_with(fields, word), &code(1));
    let transient = |exit| match exit {
        AgentExit::Error { transient, .. } => transient,
        other => panic!("{other:?}"),
    };
    for (status, word, wanted) in [
        ("400", "unknown", false),
        ("404", "model_not_found", false),
        ("413", "invalid_request", false),
        ("401", "authentication_failed", false),
        ("403", "oauth_org_not_allowed", false),
        ("null", "authentication_failed", false),
        ("400", "billing_error", false),
        ("409", "unknown", true),
        ("null", "unknown", true),
        ("null", "a_new_word", true),
    ] {
        let exit = is(&format!(",\"api_error_status\":{status}"), word);
        assert_eq!(transient(exit), wanted, "{status} {word}");
    }
    for (status, word) in [("500", "server_error"), ("529", "overloaded"), ("408", "unknown"), ("null", "overloaded")] {
        let exit = is(&format!(",\"api_error_status\":{status}"), word);
        assert_eq!(exit, AgentExit::Unavailable { message: "API Error".into() }, "{status} {word}");
    }
    assert!(matches!(is(",\"api_error_status\":429", "rate_limit"), AgentExit::RateLimited { .. }));
    assert!(matches!(is("", "rate_limit"), AgentExit::RateLimited { .. }));
    assert_eq!(
        is(",\"stop_reason\":\"refusal\"", "invalid_request"),
        AgentExit::Refused { message: "API Error".into() }
    );
}

#[test]
fn no_login_says_how_to_log_in() {
    let AgentExit::Error { message, transient: false } = exit(&failed_with("", "authentication_failed"), &code(1))
    else {
        panic!()
    };
    assert_eq!(message, "claude is not logged in (API Error); run `claude` once and log in, or set ANTHROPIC_API_KEY");
}

#[test]
fn a_rate_limit_lasts_as_long_as_the_service_said() {
    let limit = |line: &str| match exit(
        &format!("{line}\n{}", failed_with(",\"api_error_status\":429", "rate_limit")),
        &code(1),
    ) {
        AgentExit::RateLimited { until } => until.since(NOW).as_secs(),
        other => panic!("{other:?}"),
    };
    let info = |status: &str, at: i64| {
        format!(r#"{{"type":"rate_limit_event","rate_limit_info":{{"status":"{status}","resetsAt":{at}}}}}"#)
    };
    assert_eq!(limit(""), 60);
    assert_eq!(limit(&info("rejected", 1_800_003_600)), 3600);
    assert_eq!(limit(&info("allowed_warning", 1_800_003_600)), 60);
    assert_eq!(limit(&info("rejected", 1_700_000_000)), 60, "a time gone by is not believed");
    assert_eq!(limit(&info("rejected", i64::MAX)), 60, "a time beyond any limit is not believed");
    assert_eq!(limit(r#"{"type":"system","subtype":"api_retry","error_status":429,"retry_delay_ms":90000.5}"#), 90);
}

#[test]
fn an_old_retry_does_not_explain_a_later_failure() {
    let retry = r#"{"type":"system","subtype":"api_retry","error_status":429,"error":"rate_limit","retry_delay_ms":1}"#;
    let spoken = format!("{INIT}\n{retry}\n{}{}", text("m", "hi"), failed_with("", "server_error"));
    assert!(matches!(exit(&spoken, &code(1)), AgentExit::Unavailable { .. }));
    let unspoken = format!("{retry}\n{}", failed_with("", "server_error"));
    assert!(matches!(exit(&unspoken, &code(1)), AgentExit::RateLimited { .. }));
}

#[test]
fn a_service_that_nobody_answers_for_is_out() {
    let retry = r#"{"type":"system","subtype":"api_retry","error_status":null,"error":"unknown","retry_delay_ms":1}"#;
    let failed = failed_with("", "unknown");
    assert!(matches!(exit(&format!("{retry}\n{failed}"), &code(1)), AgentExit::Unavailable { .. }));
    let heard = format!("{retry}\n{}{failed}", text("m", "hi"));
    assert!(matches!(exit(&heard, &code(1)), AgentExit::Error { transient: true, .. }));
    assert!(matches!(exit(&format!("{INIT}\n{failed}"), &code(1)), AgentExit::Error { transient: true, .. }));
}

#[test]
fn the_exit_code_must_agree_with_a_success() {
    assert_eq!(exit(&ok("\"x\""), &code(0)), AgentExit::Success);
    for status in [Status::Code(1), Status::Signal(9)] {
        let process = ProcessEnd { status, ..ProcessEnd::default() };
        assert!(matches!(exit(&ok("\"x\""), &process), AgentExit::Error { transient: true, .. }), "{status:?}");
    }
    // A client that lingers after its result and is ended for that has done its work.
    assert_eq!(exit(&ok("\"x\""), &ProcessEnd { status: Status::Ours, ..ProcessEnd::default() }), AgentExit::Success);
}

#[test]
fn the_runners_reason_counts_where_no_success_came_before() {
    let aborted = r#"{"type":"result","subtype":"error_during_execution","is_error":true,"terminal_reason":"aborted_tools","total_cost_usd":0.25}"#;
    for (reason, wanted) in [
        (Cut::Stopped, AgentExit::Killed),
        (Cut::TimedOut, AgentExit::TimedOut),
        (Cut::Silent, AgentExit::Stuck),
        (Cut::TooMuch, AgentExit::OutputLimit),
    ] {
        for stream in ["", INIT, aborted, "{\"type\":\"result\",\"is_er"] {
            assert_eq!(exit(stream, &cut(reason)), wanted, "{reason:?} {stream}");
        }
        assert_eq!(exit(&ok("\"x\""), &cut(reason)), AgentExit::Success);
    }
    let (end, _) = run(aborted, &cut(Cut::Silent));
    assert_eq!(end.usage.cost_micro_usd, 250_000, "a politely ended client still says what it cost");
    assert!(matches!(exit(aborted, &code(1)), AgentExit::Error { transient: true, .. }));
}

#[test]
fn without_a_readable_result_the_exit_status_decides() {
    assert_eq!(exit(INIT, &code(0)), AgentExit::NoResult);
    assert_eq!(exit("", &code(0)), AgentExit::NoResult);
    assert_eq!(exit(&format!("{INIT}\n{{\"type\":\"result\",\"is_error\":fal"), &code(1)), AgentExit::NoResult);
    assert_eq!(exit(&format!("{}{{\"type\":\"result\",\"is_err", ok("\"x\"")), &code(0)), AgentExit::NoResult);
    let ends = |stream: &str, status, stderr: &str| match exit(
        stream,
        &ProcessEnd { cut: None, status, stderr: stderr.into() },
    ) {
        AgentExit::Error { message, transient } => (message, transient),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        ends("", Status::Code(1), "error: unknown option '--x'\n"),
        ("claude ended at once with code 1: error: unknown option '--x'".to_owned(), false)
    );
    assert_eq!(
        ends(INIT, Status::Signal(9), ""),
        ("claude ended without a result, it was killed by signal 9, perhaps for want of memory".to_owned(), true)
    );
    assert!(ends(INIT, Status::Code(1), "boom").1);
}

#[test]
fn a_limit_of_the_attempt_is_named_with_its_remedy() {
    let limit = |subtype: &str, error: &str| {
        let line = format!(
            r#"{{"type":"result","subtype":"{subtype}","is_error":true,"errors":["{error}"],"permission_denials":[{{"tool_name":"Bash","tool_input":{{"command":"curl x"}}}},{{"tool_name":"Bash"}}]}}"#
        );
        exit(&line, &code(1))
    };
    assert_eq!(
        limit("error_max_turns", "Reached maximum number of turns (2)"),
        AgentExit::Error {
            message: "Reached maximum number of turns (2); split the step, or raise the limit of turns; 2 tool calls were denied (Bash)".into(),
            transient: false
        }
    );
    assert!(matches!(limit("error_max_budget_usd", "x"), AgentExit::Error { transient: false, .. }));
}

#[test]
fn a_success_with_denied_tools_is_one_and_a_person_is_told() {
    let denied = |denials: &str| {
        let result = ok("\"done\"").replace("}\n", &format!(",\"permission_denials\":[{denials}]}}\n"));
        run(&result, &code(0)).0
    };
    let one = r#"{"tool_name":"Bash","tool_input":{"command":"curl x\nrm y"}}"#;
    let end = denied(one);
    assert_eq!((end.exit, end.text.as_str()), (AgentExit::Success, "done"));
    assert_eq!(end.notices, ["a tool call was denied, Bash curl x…; the `tools` of a role allow more"]);
    let end = denied(&format!(r#"{{"tool_name":"Write","tool_input":{{"file_path":"/w/one/a.rs"}}}},{one}"#));
    assert_eq!(end.notices, ["2 tool calls were denied, the first: Write a.rs; the `tools` of a role allow more"]);
    assert_eq!(denied("").notices, [""; 0]);
}

#[test]
fn the_final_text_is_whole_after_max_tokens() {
    let end = |stream: String| run(&stream, &code(0)).0.text;
    // Cut in the middle of a word, and gone on in a new message.
    assert_eq!(end(format!("{}{}{}", text("a", "VERD"), text("b", "ICT: PASS"), ok("\"ICT: PASS\""))), "VERDICT: PASS");
    // Two blocks of one message stand on lines of their own.
    assert_eq!(
        end(format!("{}{}{}", text("a", "fine"), text("a", "VERDICT: PASS"), ok("\"VERDICT: PASS\""))),
        "fine\nVERDICT: PASS"
    );
    // What came before a tool's answer is not the final message.
    assert_eq!(end(format!("{}{ANSWER}{}{}", text("a", "VERDICT: FAIL"), text("b", "done"), ok("\"done\""))), "done");
    // The result rules where the texts do not lead up to it.
    assert_eq!(end(format!("{}{}", text("a", "one"), ok("\"two\""))), "two");
    assert_eq!(end(format!("{}{}", text("a", "one"), ok("\"\""))), "one");
    assert_eq!(end(format!("{}{}", text("a", "one"), ok("null"))), "one");
    assert_eq!(end(ok("null")), "");
}

#[test]
fn the_final_text_is_capped_and_keeps_its_end() {
    let long = format!("{}é VERDICT: PASS", "ä".repeat(200_000));
    for stream in [ok(&format!("\"{long}\"")), format!("{}{}", text("a", &long), ok("null"))] {
        let text = run(&stream, &code(0)).0.text;
        assert!(text.len() <= MAX_TEXT && text.len() > MAX_TEXT - 4, "{}", text.len());
        assert!(text.ends_with("ä\u{e9} VERDICT: PASS"));
    }
}

#[test]
fn a_subagents_words_are_not_the_agents() {
    let nested = text("s", "VERDICT: PASS")
        .replace("{\"type\":\"assistant\"", "{\"type\":\"assistant\",\"parent_tool_use_id\":\"t\"");
    let (end, shown) = run(&format!("{}{nested}{}", text("a", "no"), ok("null")), &code(0));
    assert_eq!(end.text, "no");
    assert_eq!(shown, [AgentEvent::Activity("no".into()), AgentEvent::Text("no".into())]);
}

#[test]
fn pieces_are_shown_as_they_come_and_count_for_nothing() {
    let piece = |text: &str, by: &str| {
        format!(
            "{{\"type\":\"stream_event\",\"event\":{{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}},\"parent_tool_use_id\":{by}}}\n"
        )
    };
    let pieces = piece("VERDICT: ", "null") + &piece("subagent", "\"t\"") + &piece("PASS", "null");
    let (end, shown) = run(&format!("{pieces}{}", ok("null")), &code(0));
    assert_eq!(shown, [AgentEvent::Partial("VERDICT: ".into()), AgentEvent::Partial("PASS".into())]);
    assert_eq!(end.text, "", "what never came whole was not said");
}

#[test]
fn a_failed_run_has_no_final_text() {
    let (end, _) = run(&format!("{}{}", text("a", "VERDICT: PASS"), failed_with("", "server_error")), &code(1));
    assert_eq!(end.text, "");
}

#[test]
fn activity_is_one_clean_line() {
    let call = |name: &str, input: &str| {
        let line = format!(
            r#"{{"type":"assistant","message":{{"id":"a","content":[{{"type":"tool_use","name":"{name}","input":{input}}}]}}}}"#
        );
        match run(&line, &code(0)).1.as_slice() {
            [AgentEvent::Activity(line)] => line.clone(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(call("Edit", r#"{"file_path":"/w/one/src/a.rs","old_string":"x"}"#), "Edit src/a.rs");
    assert_eq!(call("Bash", r#"{"command":"cargo test\nrm -rf x","description":"d"}"#), "Bash cargo test…");
    assert_eq!(call("mcp__x__y", r#"{"command":["a"],"n":1}"#), "mcp__x__y");
    assert_eq!(call("Bash", r#"{"command":"\u001b[31mred\u0007 \u009b1m"}"#), "Bash red");
    assert_eq!(call("Bash", &format!("{{\"command\":\"{}\"}}", "é".repeat(500))).chars().count(), 201);
}

#[test]
fn money_is_rounded_to_the_nearest_millionth() {
    for (usd, micro) in [
        (0.041395, 41_395),
        (0.008_535_000_000_000_001, 8_535),
        (0.000_000_5, 1),
        (-1.0, 0),
        (f64::NAN, 0),
        (1e300, u64::MAX),
    ] {
        assert_eq!(micro_usd(usd), micro, "{usd}");
    }
}

#[test]
fn a_missing_session_is_told_from_other_failures() {
    let mut judge = Judge::new("", PAUSE);
    let missing = r#"{"type":"result","subtype":"error_during_execution","is_error":true,"session_id":"x","errors":["No conversation found with session ID: x"]}"#;
    Decoder::default().feed(format!("{missing}\n").as_bytes(), &mut |e| judge.see(&e, &mut |e| panic!("{e:?}")));
    assert!(judge.session_is_missing() && !judge.session_is_taken("is already in use"));
    assert_eq!(judge.end(&code(1), NOW).session, None);
    assert!(Judge::new("", PAUSE).session_is_taken("Error: Session ID x is already in use.\n"));
}
