//! The real Claude Code client, played to by a scripted service. Skipped, and said so, where the client is missing.

mod support;

use enki_agent_claude::{ClaudeAgent, ClaudeConfig, ClientVersion};
use enki_core::agent::{AgentEvent, AgentExit, AgentRunner, AgentSession, AgentSpec};
use enki_core::tier::{Purpose, Tier};
use enki_process::{BaseEnv, Marker, marked};
use std::path::Path;
use std::time::Duration;
use support::{World, command, finish, lines};

/// The world of a test, or an early end of it.
macro_rules! world {
    () => {
        match World::new() {
            Some(world) => world,
            None => return,
        }
    };
}

fn alive(spec: &AgentSpec) -> Vec<u32> {
    marked(&[Marker::run(spec.id)]).expect("processes can be looked at")
}

/// Watches a session until the agent has made that file.
async fn wait_for(file: &Path, session: &mut dyn AgentSession) {
    while !file.exists() {
        if let Ok(AgentEvent::Ended(end)) = tokio::time::timeout(Duration::from_millis(50), session.next()).await {
            panic!("ended too early: {end:?}");
        }
    }
}

fn error(exit: &AgentExit) -> (&str, bool) {
    match exit {
        AgentExit::Error { message, transient } => (message, *transient),
        other => panic!("not an error: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_done_and_accounted_for() {
    let mut world = world!();
    std::fs::write(world.work().join("calc.py"), "def add(a, b):\n    return a - b\n").unwrap();
    for args in [&["init", "-q"][..], &["add", "."]] {
        assert!(command("git").args(args).current_dir(world.work()).status().unwrap().success());
    }
    let spec = world.spec("Please EDIT calc.py");
    let (end, seen) = world.run(spec.clone()).await;

    assert_eq!(end.exit, AgentExit::Success);
    assert!(std::fs::read_to_string(world.work().join("calc.py")).unwrap().contains("a + b"));
    assert!(end.text.starts_with("Fixed.") && end.text.contains("1 insertion(+), 1 deletion(-)"), "{}", end.text);
    assert!(end.usage.input_tokens > 1000 && end.usage.output_tokens > 50, "{:?}", end.usage);
    assert!((1_000..100_000).contains(&end.usage.cost_micro_usd), "{:?}", end.usage);
    let hex = spec.id.hex();
    let session = end.session.unwrap();
    assert!(session.starts_with(&hex[..8]) && session.ends_with(&hex[20..]), "{session} is named after {hex}");
    assert_eq!(seen[0], AgentEvent::Session(session));
    let lines = lines(&seen);
    for wanted in ["Reading.", "Read calc.py", "Edit calc.py", "Bash git diff --stat"] {
        assert!(lines.contains(&wanted), "{wanted} in {lines:?}");
    }
    assert!(lines.iter().any(|l| l.contains("answer 529 (overloaded), retry 1 of 2")), "{lines:?}");
    assert!(!lines.iter().any(|l| l.starts_with("denied")), "{lines:?}");
    let log = std::fs::read_to_string(world.log()).unwrap();
    assert!(log.lines().any(|l| l.starts_with(r#"{"type":"result""#)), "the log has the raw stream");
    assert!(alive(&spec).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fix_goes_on_with_the_session_of_the_work() {
    let mut world = world!();
    let work = world.spec("SAY one");
    let (first, _) = world.run(work).await;
    assert_eq!((first.exit, first.text.as_str()), (AgentExit::Success, "You said one."));

    let mut fix = world.spec("SAY two");
    fix.purpose = Purpose::Fix;
    fix.resume = first.session.clone();
    let (second, _) = world.run(fix.clone()).await;
    assert_eq!((second.exit, second.text.as_str()), (AgentExit::Success, "You said two."));
    assert_ne!(second.session, first.session);
    assert_eq!(world.requests().last().unwrap()["messages"], 3, "the fix has the work's conversation");
    assert!(second.usage.cost_micro_usd < 2 * first.usage.cost_micro_usd, "the cost is of this process alone");

    // The same attempt again, as after a crash: from the same start, not from where it was cut.
    let (again, seen) = world.run(fix).await;
    assert_eq!((again.exit, again.text.as_str()), (AgentExit::Success, "You said two."));
    assert!(again.session.is_some() && again.session != second.session);
    assert_eq!(world.requests().last().unwrap()["messages"], 3);
    assert_eq!(lines(&seen)[0], "an earlier run of this attempt has its session; starting another");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_gone_is_done_without() {
    let mut world = world!();
    let mut fix = world.spec("SAY two");
    fix.resume = Some("77777777-2222-4333-8444-555555555555".into());
    let (end, seen) = world.run(fix).await;
    assert_eq!((end.exit, end.text.as_str()), (AgentExit::Success, "You said two."));
    assert_eq!(lines(&seen)[0], "the earlier session is gone; starting anew");
    let sessions = seen.iter().filter(|e| matches!(e, AgentEvent::Session(_))).count();
    assert_eq!(sessions, 1);

    // The client keeps sessions by folder: in another one it is as good as gone.
    let work = world.spec("SAY one");
    let (first, _) = world.run(work).await;
    let mut fix = world.spec("SAY two");
    fix.resume = first.session;
    fix.workspace = world.folder.path().join("elsewhere");
    std::fs::create_dir(&fix.workspace).unwrap();
    let (end, seen) = world.run(fix).await;
    assert_eq!((end.exit, end.text.as_str()), (AgentExit::Success, "You said two."));
    assert_eq!(lines(&seen)[0], "the earlier session is gone; starting anew");
    assert_eq!(world.requests().last().unwrap()["messages"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_is_asked_for_the_model_of_the_tier_as_configured() {
    let mut world = world!();
    world.config.models.heavy = "fable".into();
    let named = Some("claude-of-my-own-1".to_owned());
    for (tier, plan, asked) in [
        (Tier::Light, None, "claude-haiku-4-5-20251001"),
        (Tier::Standard, None, "claude-sonnet-5"),
        (Tier::Heavy, None, "claude-fable-5"),
        (Tier::Heavy, named, "claude-of-my-own-1"),
    ] {
        let mut spec = world.spec("SAY hello");
        (spec.tier, spec.model) = (tier, plan);
        let (end, _) = world.run(spec).await;
        assert_eq!(end.exit, AgentExit::Success);
        assert_eq!(world.requests().last().unwrap()["model"], asked, "{tier}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_request_is_not_tried_again() {
    let mut world = world!();
    let spec = world.spec("ERR400");
    let (end, _) = world.run(spec).await;
    assert_eq!(error(&end.exit), ("API Error: 400 bad request", false));
    assert_eq!(end.text, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_login_a_person_is_told_to_log_in() {
    let mut world = world!();
    let spec = world.spec("ERR401");
    let (end, _) = world.run(spec).await;
    let (message, transient) = error(&end.exit);
    assert!(message.starts_with("claude is not logged in (") && message.contains("ANTHROPIC_API_KEY"), "{message}");
    assert!(!transient);

    world.config.env.remove(std::ffi::OsStr::new("ANTHROPIC_API_KEY"));
    let spec = world.spec("SAY hello");
    let (end, _) = world.run(spec).await;
    let (message, transient) = error(&end.exit);
    assert!(message.starts_with("claude is not logged in (Not logged in"), "{message}");
    assert!(!transient);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overloaded_service_is_no_fault_of_the_attempt() {
    let mut world = world!();
    let spec = world.spec("ERR529");
    let (end, seen) = world.run(spec).await;
    assert!(matches!(&end.exit, AgentExit::Unavailable { message } if message.contains("529")), "{:?}", end.exit);
    assert!(lines(&seen).iter().any(|l| l.contains("retry 2 of 2")), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_says_when_to_try_again() {
    let mut world = world!();
    let spec = world.spec("ERR429");
    let (end, _) = world.run(spec).await;
    assert!(matches!(end.exit, AgentExit::RateLimited { .. }), "{:?}", end.exit);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_up_limit_lasts_until_the_service_said() {
    let mut world = world!();
    let now = || String::from_utf8(command("date").arg("+%s").output().unwrap().stdout).unwrap();
    let in_an_hour = || (now().trim().parse::<i64>().unwrap() + 3600) * 1000;
    let earliest = in_an_hour();
    // The client heeds the limits of subscriptions alone.
    world.config.env.remove(std::ffi::OsStr::new("ANTHROPIC_API_KEY"));
    world.config.env.insert("CLAUDE_CODE_OAUTH_TOKEN".into(), "sk-ant-oat01-dummy".into());
    let spec = world.spec("LIMITED");
    let (end, seen) = world.run(spec).await;
    let AgentExit::RateLimited { until } = end.exit else { panic!("{:?} {seen:?}", end.exit) };
    assert!((earliest..=in_an_hour()).contains(&until.0), "{until:?}");
    assert!(lines(&seen).contains(&"the account's rate limit is reached"), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_a_refusal() {
    let mut world = world!();
    let spec = world.spec("REFUSE");
    let (end, _) = world.run(spec).await;
    assert!(matches!(end.exit, AgentExit::Refused { .. }), "{:?}", end.exit);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_answer_is_asked_for_again_by_the_client() {
    let mut world = world!();
    let spec = world.spec("TRUNCATE");
    let (end, _) = world.run(spec).await;
    assert_eq!((end.exit, end.text.as_str()), (AgentExit::Success, "complete answer after a cut"));
    assert!(end.usage.input_tokens > 0, "the second request is counted");
    let spec = world.spec("RESET");
    let (end, seen) = world.run(spec).await;
    assert_eq!((end.exit, end.text.as_str()), (AgentExit::Success, "complete answer after a reset"));
    assert!(end.usage.input_tokens > 0 && seen.iter().any(|e| matches!(e, AgentEvent::Text(_))), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_continued_after_max_tokens_is_whole() {
    let mut world = world!();
    let spec = world.spec("MAXTOK");
    let (end, _) = world.run(spec).await;
    assert_eq!((end.exit, end.text.as_str()), (AgentExit::Success, "VERDICT: PASS"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_is_stuck_and_leaves_nothing() {
    let mut world = world!();
    let mut spec = world.spec("HANG");
    spec.idle_timeout = Duration::from_secs(5);
    let (end, _) = world.run(spec.clone()).await;
    assert_eq!(end.exit, AgentExit::Stuck);
    assert_eq!(alive(&spec), [0u32; 0]);
    let log = std::fs::read_to_string(world.log()).unwrap();
    // The client, asked politely, mostly writes down what it had; where it does not, the pieces are kept.
    assert!(log.contains(r#""text":"a long"#), "{log}");
    assert_ne!(log.contains(r#""type":"assistant""#), log.contains("stream_event"), "once: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_says_is_shown_while_it_comes_keeps_it_alive_and_is_in_the_log_once() {
    let mut world = world!();
    let mut spec = world.spec("TALK");
    // The whole takes longer than that, one piece does not.
    spec.idle_timeout = Duration::from_secs(3);
    let (end, seen) = world.run(spec).await;
    let text = "one two three four five six seven eight";
    assert_eq!((&end.exit, end.text.as_str()), (&AgentExit::Success, text));
    let piece = |event: &AgentEvent| if let AgentEvent::Partial(piece) = event { Some(piece.clone()) } else { None };
    let pieces: Vec<String> = seen.iter().filter_map(piece).collect();
    assert!(pieces.len() > 2 && pieces.concat() == text, "{pieces:?}");
    let last = seen.iter().rposition(|event| piece(event).is_some());
    assert!(last < seen.iter().position(|event| *event == AgentEvent::Text(text.into())), "{seen:?}");
    let log = std::fs::read_to_string(world.log()).unwrap();
    assert!(!log.contains("stream_event"), "{log}");
    let told = log.lines().filter(|line| line.starts_with(r#"{"type":"assistant""#) && line.contains(text));
    assert_eq!(told.count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn time_is_up_even_for_a_busy_client() {
    let mut world = world!();
    world.config.allowed_tools = vec!["Bash".into()];
    let mut spec = world.spec("BASH `while sleep 0.1; do :; done`");
    spec.timeout = Duration::from_secs(4);
    let (end, _) = world.run(spec.clone()).await;
    assert_eq!(end.exit, AgentExit::TimedOut);
    assert_eq!(alive(&spec), [0u32; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_stopped_politely_still_says_what_it_cost() {
    let mut world = world!();
    world.config.allowed_tools = vec!["Bash".into()];
    let spec = world.spec("BASH `touch ready; sleep 300`");
    let mut session = world.agent().start(spec.clone()).await.unwrap();
    wait_for(&world.work().join("ready"), session.as_mut()).await;
    session.stop(Duration::from_secs(10)).await;
    let (end, _) = finish(session).await;
    assert_eq!(end.exit, AgentExit::Killed);
    assert!(end.usage.cost_micro_usd > 0, "{:?}", end.usage);
    assert_eq!(alive(&spec), [0u32; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_takes_the_whole_tree_along() {
    let mut world = world!();
    world.config.allowed_tools = vec!["Bash".into()];
    // A shell that ignores the polite signals, in a session of its own.
    let spec = world.spec("BASH `trap '' INT TERM HUP; touch ready; setsid sleep 300 & sleep 300; sleep 300`");
    let mut session = world.agent().start(spec.clone()).await.unwrap();
    wait_for(&world.work().join("ready"), session.as_mut()).await;
    assert!(alive(&spec).len() >= 3, "the client and two sleeps at least");
    session.stop(Duration::from_secs(3)).await;
    session.stop(Duration::from_secs(3)).await;
    let (end, _) = finish(session).await;
    assert_eq!(end.exit, AgentExit::Killed);
    assert_eq!(alive(&spec), [0u32; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_finished_client_left_running_is_killed() {
    let mut world = world!();
    world.config.allowed_tools = vec!["Bash".into()];
    let spec = world.spec("BASH `setsid nohup sleep 300 >/dev/null 2>&1 & echo started`");
    let (end, seen) = world.run(spec.clone()).await;
    assert_eq!(end.exit, AgentExit::Success);
    assert_eq!(alive(&spec), [0u32; 0]);
    assert!(lines(&seen).iter().any(|l| l.contains("lived on and were killed")), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_session_kills_its_tree() {
    let mut world = world!();
    let spec = world.spec("HANG");
    let mut session = world.agent().start(spec.clone()).await.unwrap();
    assert!(matches!(session.next().await, AgentEvent::Session(_)));
    drop(session);
    for _ in 0..200 {
        if alive(&spec).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("alive: {:?}", alive(&spec));
}

#[tokio::test(flavor = "multi_thread")]
async fn attach_ends_what_is_left_and_finds_nothing() {
    let mut world = world!();
    let spec = world.spec("HANG");
    let mut session = world.agent().start(spec.clone()).await.unwrap();
    assert!(matches!(session.next().await, AgentEvent::Session(_)));
    let other = ClaudeAgent::new(world.config.clone());
    assert!(other.attach(spec.clone()).await.unwrap().is_none());
    assert_eq!(alive(&spec), [0u32; 0]);
    let (end, _) = finish(session).await;
    assert!(error(&end.exit).1, "{:?}", end.exit);
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_an_attempt_are_the_clients() {
    let mut world = world!();
    world.config.max_turns = Some(2);
    let spec = world.spec("LOOP");
    let (end, _) = world.run(spec).await;
    let (message, transient) = error(&end.exit);
    assert!(message.starts_with("Reached maximum number of turns (2); split the step"), "{message}");
    assert!(!transient && end.usage.cost_micro_usd > 0);

    world.config.max_turns = None;
    world.config.max_budget_usd = Some(0.1);
    let spec = world.spec("COSTLY");
    let (end, _) = world.run(spec).await;
    let (message, transient) = error(&end.exit);
    assert!(message.starts_with("Reached maximum budget ($0.1); split the step"), "{message}");
    assert!(!transient && end.usage.cost_micro_usd > 100_000, "{:?}", end.usage);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reviewer_is_not_even_offered_a_tool_that_edits() {
    let mut world = world!();
    let mut spec = world.spec("WRITE f.txt");
    spec.purpose = Purpose::Review;
    let (end, _) = world.run(spec).await;
    assert_eq!(end.exit, AgentExit::Success);
    assert!(end.text.contains("No such tool available"), "{}", end.text);
    assert!(!world.work().join("f.txt").exists());
    let offered = |world: &World| world.requests().last().unwrap()["tools"].to_string();
    let tools = offered(&world);
    assert!(tools.contains("\"Read\"") && !tools.contains("\"Edit\"") && !tools.contains("Write\""), "{tools}");

    let spec = world.spec("WRITE f.txt");
    let (end, _) = world.run(spec).await;
    assert_eq!(end.exit, AgentExit::Success);
    assert!(world.work().join("f.txt").exists());
    assert!(offered(&world).contains("\"Write\""), "who works has it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verdict_comes_by_its_schema_and_without_it_as_text() {
    use enki_core::verdict::{Gate, Severity, Verdict, schema};
    let mut world = world!();
    let reviewer = |world: &mut World, prompt: &str| {
        let mut spec = world.spec(prompt);
        spec.purpose = Purpose::Review;
        spec.answer_schema = Some(schema().to_string());
        spec
    };
    let spec = reviewer(&mut world, "JUDGE the work");
    let (end, _) = world.run(spec).await;
    assert_eq!(end.exit, AgentExit::Success);
    assert_eq!(end.proposals, [r#"{"kind":"decision","what":"tests come first"}"#]);
    let verdict = end.verdict.expect("the object was given");
    assert_eq!((verdict.gate, verdict.score, &*verdict.text), (Some(Gate::Revise), Some(7.5), "add tests"));
    let finding = &verdict.findings[0];
    assert_eq!((finding.severity, &*finding.title, finding.line), (Severity::Major, "no tests", Some(3)));

    let spec = reviewer(&mut world, "MISJUDGE it");
    let (end, _) = world.run(spec).await;
    assert_eq!((end.exit, end.verdict), (AgentExit::Success, None));
    assert_eq!(Verdict::parse(&end.text).gate, Some(Gate::Pass));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_reads_can_neither_edit_nor_write_nor_let_a_shell_do_it() {
    let mut world = world!();
    // Also where the person allows it to those who work.
    world.config.allowed_tools.extend(["Edit", "Write", "Bash(git commit *)"].map(Into::into));
    std::fs::write(world.work().join("calc.py"), "def add(a, b):\n    return a - b\n").unwrap();
    for prompt in ["EDIT calc.py", "WRITE f.txt", "BASH `touch g.txt`", "BASH `echo x > h.txt`", "BASH `git init . `"] {
        let mut spec = world.spec(prompt);
        spec.can_edit = false;
        let (end, seen) = world.run(spec).await;
        assert_eq!(end.exit, AgentExit::Success, "{prompt}");
        let denied = lines(&seen).iter().any(|line| line.starts_with("denied: Bash"));
        assert!(denied || !prompt.starts_with("BASH"), "{prompt}: {seen:?}");
    }
    assert!(std::fs::read_to_string(world.work().join("calc.py")).unwrap().contains("a - b"));
    let left: Vec<_> = std::fs::read_dir(world.work()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["calc.py"], "nothing was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_words_of_a_role_reach_the_model_and_its_tools_are_allowed() {
    let mut world = world!();
    let mut spec = world.spec("SYSTEM?");
    spec.system_prompt = "--help\nYou are the keeper of MARKER-4711.\n".into();
    let (end, _) = world.run(spec).await;
    assert_eq!((end.exit, end.text.as_str()), (AgentExit::Success, "I have my words."));
    let spec = world.spec("SYSTEM?");
    let (end, _) = world.run(spec).await;
    assert_eq!(end.text, "I have none.");

    let touch = |world: &mut World| world.spec("BASH `mkfifo p`");
    let spec = touch(&mut world);
    let (_, seen) = world.run(spec).await;
    assert!(lines(&seen).iter().any(|line| line.starts_with("denied: Bash mkfifo")), "{seen:?}");
    let mut spec = touch(&mut world);
    spec.tools = vec!["Bash(mkfifo *)".into()];
    let (_, seen) = world.run(spec).await;
    assert!(!lines(&seen).iter().any(|line| line.starts_with("denied")), "{seen:?}");
    assert!(world.work().join("p").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_may_be_longer_than_an_argument() {
    let mut world = world!();
    let spec = world.spec(&format!("SAY long {}", "words and words ".repeat(20_000)));
    let (end, _) = world.run(spec).await;
    assert_eq!((end.exit, end.text.as_str()), (AgentExit::Success, "You said long."));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_option_the_client_does_not_know_is_no_reason_to_try_again() {
    let mut world = world!();
    world.config.extra_args = vec!["--no-such-option".into()];
    let spec = world.spec("SAY hello");
    let (end, _) = world.run(spec).await;
    let (message, transient) = error(&end.exit);
    assert_eq!(message, "claude ended at once with code 1: error: unknown option '--no-such-option'");
    assert!(!transient);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_is_told() {
    let world = world!();
    let version = world.agent().version().await.unwrap();
    assert!(matches!(version, ClientVersion::Good(_)), "{version:?}");
    assert_eq!(version.warning(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_not_installed_is_named_with_the_remedy() {
    let agent = ClaudeAgent::new(ClaudeConfig::new(BaseEnv::default()));
    let error = agent.version().await.unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("cannot start agent claude: not found"), "{text}");
    let remedy = "; install it with `npm install -g @anthropic-ai/claude-code`, or set agent.command to where it is";
    assert!(text.ends_with(remedy), "{text}");
    assert!(!error.transient);
}
