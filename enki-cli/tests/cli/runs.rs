//! Whole runs with the binary, real git, the real store and a script as the agent.

use crate::common::{Place, both, code, enki, git};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

impl Place {
    /// Starts a run that waits in its slow step.
    fn start(&self, args: &[&str]) -> Child {
        let mut child = self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("slow") || !line.contains("started") {
            line.clear();
            assert!(lines.read_line(&mut line).unwrap() > 0, "the run ended early");
        }
        child.stderr = Some(lines.into_inner());
        // Its process is there once the run says what it does.
        while !self.json(&["status", &self.newest()])["steps"].to_string().contains("at work") {}
        child
    }

    fn log(&self) -> String {
        git(&self.root, &["log", "--format=%s", "main"])
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn last_line(output: &Output) -> Value {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    serde_json::from_str(text.lines().last().unwrap_or_else(|| panic!("{}", both(output)))).unwrap()
}

#[test]
fn a_plan_becomes_merged_commits() {
    let place = Place::new();
    let plan = place.plan("p.json", &["a", "b: a", "c: a", "d: b c", "noop"]);
    let output = place.enki(&["run", plan.to_str().unwrap(), "--json"]);
    assert_eq!(code(&output), 0, "{}", both(&output));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (end, events) = events.split_last().unwrap();
    assert!(events.iter().all(|event| event["schema"] == "enki.event.v1"), "{text}");
    assert_eq!(
        (&end["schema"], &end["status"], &end["steps"]["done"]),
        (&"enki.run.v1".into(), &"done".into(), &5.into())
    );
    assert_eq!(end["landed"].as_array().unwrap().len(), 4);
    assert_eq!(place.log().lines().count(), 5);
    assert_eq!(fs::read_to_string(place.root.join("d.txt")).unwrap(), "by d\n");

    let id = place.newest();
    let shown = both(&place.enki(&["show", &format!("{id}/a")]));
    assert!(shown.contains("made a.txt") && shown.contains("a.1.log"), "{shown}");
    let log = both(&place.enki(&["log", &id]));
    assert!(log.contains("d merged as") && log.trim_end().ends_with("done"), "{log}");
    let drawn = both(&place.enki(&["graph"]));
    assert!(drawn.contains("├─●") && drawn.contains("5 done"), "{drawn}");
}

#[test]
fn a_landed_commit_has_the_suffix_that_is_configured() {
    let place = Place::new();
    assert_eq!(code(&place.enki(&["run", "--task", "One"])), 0);
    let message = git(&place.root, &["log", "-1", "--format=%B"]);
    assert!(message.starts_with("One\n\nmade task.txt\n\ncreated by enki\n\nEnki-Task: task-"), "{message}");
    let trailers = git(&place.root, &["log", "-1", "--format=%(trailers:only,keyonly,separator=%x2C)"]);
    assert_eq!(trailers.trim(), "Enki-Task,Enki-Attempt");

    place.settings("[git]\ncommit_suffix = \"\"\n");
    place.agent("cat >/dev/null\necho 2 >two.txt\n");
    let output = place.enki(&["run", "--task", "Two"]);
    assert!(code(&output) == 0 && !both(&output).contains("no effect"), "{}", both(&output));
    let message = git(&place.root, &["log", "-1", "--format=%B"]);
    assert!(message.starts_with("Two\n\n") && !message.contains("created by"), "{message}");
}

#[test]
fn agents_work_in_the_folder_that_is_configured() {
    let place = Place::new();
    let root = place.dir.path().canonicalize().unwrap().join("work");
    place.settings(&format!("[workspace]\nroot = {root:?}\n"));
    place.agent("cat >/dev/null\npwd >where.txt\n");
    let output = place.enki(&["run", "--task", "T"]);
    assert!(code(&output) == 0 && !both(&output).contains("no effect"), "{}", both(&output));
    let worked_in = fs::read_to_string(place.root.join("where.txt")).unwrap();
    assert!(worked_in.starts_with(&format!("{}/task-", root.display())), "{worked_in}");
    assert!(!place.root.join(".enki/copies").exists());

    let before = place.log();
    for (wish, word) in [("src/copies", "among the files"), (".enki/logs", "something else"), ("..", "is in it")] {
        place.settings(&format!("[workspace]\nroot = {wish:?}\n"));
        for args in [&["run", "--task", "U"][..], &["run", "--task", "U", "--dry-run"], &["resume"]] {
            let output = place.enki(args);
            let text = both(&output);
            assert_eq!(code(&output), 2, "{args:?}: {text}");
            for word in [word, "workspace.root", "enki.toml:6", "hint: "] {
                assert!(text.contains(word), "{wish}: {word}: {text}");
            }
        }
    }
    assert_eq!(place.log(), before);
    assert_eq!(place.json(&["status"])["executions"].as_array().unwrap().len(), 1);
}

#[test]
fn an_agent_without_its_git_does_not_find_the_repository_around_it() {
    let place = Place::new();
    let script = "cat >/dev/null\ngit rev-parse --show-toplevel >own.txt || exit 4\nrm -rf .git\n\
                  if git rev-parse --show-toplevel >above.txt 2>&1; then exit 5; fi\n";
    place.agent(script);
    let output = place.enki(&["run", "--task", "T"]);
    assert_eq!(code(&output), 0, "{}", both(&output));
    let read = |name: &str| fs::read_to_string(place.root.join(name)).unwrap();
    assert!(read("own.txt").contains("/.enki/copies/task-"), "{}", read("own.txt"));
    assert!(read("above.txt").contains("not a git repository"), "{}", read("above.txt"));
}

#[test]
fn one_task_needs_no_plan() {
    let place = Place::new();
    let output = place.enki(&["run", "--task", "Make a file", "-d", "Make task.txt."]);
    assert_eq!(code(&output), 0, "{}", both(&output));
    assert!(place.log().starts_with("Make a file\n"));

    // An agent given as a path is one of the folder the call is made in.
    let sub = place.root.join("sub");
    fs::create_dir(&sub).unwrap();
    fs::write(sub.join("mine.sh"), "#!/bin/sh\ncat >/dev/null\necho y >y.txt\n").unwrap();
    fs::set_permissions(sub.join("mine.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let output =
        place.command(&["run", "--task", "Another", "--agent", "./mine.sh"]).current_dir(&sub).output().unwrap();
    assert_eq!(code(&output), 0, "{}", both(&output));
    assert!(place.root.join("y.txt").exists());
}

#[test]
fn a_dry_run_makes_nothing() {
    let place = Place::new();
    let plan = place.plan("p.json", &["a", "b: a"]);
    let output = place.enki(&["run", plan.to_str().unwrap(), "--dry-run"]);
    assert!(code(&output) == 0 && both(&output).contains("would land on main"), "{}", both(&output));
    assert_eq!(fs::read_dir(place.root.join(".enki")).unwrap().count(), 1);
}

#[test]
fn a_failed_step_is_said_with_the_way_to_go_on() {
    let place = Place::new();
    let plan = place.plan("p.json", &["fail", "b: fail", "c"]);
    let output = place.enki(&["run", plan.to_str().unwrap()]);
    let text = both(&output);
    assert_eq!(code(&output), 7, "{text}");
    assert!(text.contains("cannot do it") && text.contains("enki retry task-"), "{text}");
    // Retrying with nobody driving is recorded; resuming drives it, and it fails again.
    let id = place.newest();
    assert_eq!(code(&place.enki(&["retry", &id])), 0);
    assert_eq!(place.json(&["status", &id])["status"], "running");
    assert_eq!(code(&place.enki(&["resume", &id, "--agent", "true"])), 0, "an agent that does nothing succeeds");
}

#[test]
fn a_check_that_fails_keeps_the_change_out() {
    let place = Place::new();
    let plan = place.plan("p.json", &["bad", "good"]);
    let output = place.enki(&["run", plan.to_str().unwrap(), "--check", "test ! -e broken"]);
    assert_eq!(code(&output), 7, "{}", both(&output));
    assert!(!place.root.join("broken").exists() && place.root.join("good.txt").exists());
}

#[test]
fn a_checkpoint_holds_until_it_is_answered() {
    let place = Place::new();
    let plan = place.plan("p.json", &["a!", "b: a"]);
    let output = place.enki(&["run", plan.to_str().unwrap()]);
    assert!(code(&output) == 8 && both(&output).contains("enki resume exec-"), "{}", both(&output));
    assert!(place.root.join("a.txt").exists(), "what was done before it has landed");
    let status = both(&place.enki(&["status"]));
    assert!(status.contains("waits: checkpoint after step a; answer with: enki resume exec-"), "{status}");
    // The same plan again is the same execution, and still waits.
    let again = place.enki(&["run", plan.to_str().unwrap()]);
    assert!(code(&again) == 8 && both(&again).contains("is this plan already"), "{}", both(&again));
    // Steps can be added while it waits.
    let id = place.newest();
    let more = place.plan("more.json", &["c: b"]);
    assert_eq!(code(&place.enki(&["add", &id, more.to_str().unwrap()])), 0);
    assert_eq!(code(&place.enki(&["decide", &id, "approve"])), 0);
    let output = place.enki(&["resume"]);
    assert_eq!(code(&output), 0, "{}", both(&output));
    assert_eq!(place.log().lines().collect::<Vec<_>>(), ["Step c", "Step b", "Step a", "begin"]);
}

#[test]
fn bad_input_4_5_and_6_targets_that_are_none() {
    let place = Place::new();
    git(&place.root, &["tag", "v1"]);
    for (target, word) in [
        ("-x", "branch"),
        ("--upload-pack=sh", "branch"),
        ("nowhere", "no local branch \"nowhere\""),
        ("v1", "a tag"),
        ("refs/tags/v1", "branch"),
    ] {
        let output = place.enki(&["run", "--task", "T", "--target", target]);
        assert!(code(&output) == 2 && both(&output).contains(word), "{target}: {}", both(&output));
    }
    git(&place.root, &["checkout", "-q", "--detach"]);
    let output = place.enki(&["run", "--task", "T"]);
    assert!(code(&output) == 2 && both(&output).contains("--target"), "{}", both(&output));
    let output = place.enki(&["run", "--task", "T", "--target", "main"]);
    assert_eq!(code(&output), 0, "{}", both(&output));
}

#[test]
fn bad_input_7_a_dirty_target_is_left_alone() {
    let place = Place::new();
    fs::write(place.root.join("mine.txt"), "one\n").unwrap();
    git(&place.root, &["add", "."]);
    git(&place.root, &["commit", "-qm", "mine"]);
    fs::write(place.root.join("mine.txt"), "two\n").unwrap();
    let plan = place.plan("p.json", &["a", "b: a"]);
    let output = place.enki(&["run", plan.to_str().unwrap()]);
    let text = both(&output);
    assert!(code(&output) == 4 && text.contains("finish it with: git"), "{text}");
    assert_eq!(fs::read_to_string(place.root.join("mine.txt")).unwrap(), "two\n");
    assert!(place.log().starts_with("mine"), "nothing has landed");
    let branch = format!("enki/{}", place.newest());
    assert_eq!(git(&place.root, &["log", "--format=%s", &branch]).lines().next(), Some("Step b"), "the work went on");
}

#[test]
fn bad_input_8_numbers_out_of_range() {
    let place = Place::new();
    for jobs in ["0", "-1", "1000000000", "NaN", "1.5", ""] {
        let output = place.enki(&["run", "--task", "T", "--jobs", jobs]);
        assert!(code(&output) == 2 && both(&output).contains("from 1 to 1000"), "{jobs}: {}", both(&output));
    }
    for budget in ["-1", "NaN", "inf", "x"] {
        let output = place.enki(&["run", "--task", "T", "--budget-usd", budget]);
        assert!(code(&output) == 2 && both(&output).contains("--budget-usd"), "{budget}: {}", both(&output));
    }
}

#[test]
fn bad_input_9_a_run_goes_on_when_its_reader_goes_away() {
    let place = Place::new();
    let plan = place.plan("p.json", &["a"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = place.command(&["run", plan.to_str().unwrap()]);
    let status = command.stdout(writer.try_clone().unwrap()).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(place.root.join("a.txt").exists());
}

#[test]
fn bad_input_10_one_interrupt_lets_what_runs_end() {
    let place = Place::new();
    let plan = place.plan("p.json", &["slow", "b: slow"]);
    let child = place.start(&["run", plan.to_str().unwrap()]);
    signal(&child, "INT");
    place.open_gate();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 130, "{}", both(&output));
    assert!(both(&output).contains("enki resume"), "{}", both(&output));
    let output = place.enki(&["resume"]);
    assert_eq!(code(&output), 0, "{}", both(&output));
    let id = place.newest();
    let steps = place.json(&["status", &id])["steps"].clone();
    assert_eq!(steps[0]["attempts"], 1, "what had ended was not run again: {steps}");
}

#[test]
fn bad_input_10_a_second_interrupt_stops_what_runs() {
    let place = Place::new();
    let plan = place.plan("p.json", &["slow"]);
    let mut child = place.start(&["run", plan.to_str().unwrap()]);
    signal(&child, "INT");
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("once more") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0);
    }
    signal(&child, "INT");
    lines.read_to_string(&mut String::new()).unwrap();
    assert_eq!(code(&child.wait_with_output().unwrap()), 130);
    place.open_gate();
    assert_eq!(code(&place.enki(&["resume"])), 0);
}

#[test]
fn bad_input_11_other_signals_end_as_one_interrupt() {
    for (name, exit) in [("TERM", 143), ("HUP", 129)] {
        let place = Place::new();
        let plan = place.plan("p.json", &["slow"]);
        let child = place.start(&["run", plan.to_str().unwrap()]);
        signal(&child, name);
        place.open_gate();
        assert_eq!(code(&child.wait_with_output().unwrap()), exit);
    }
}

#[test]
fn a_killed_orchestrator_is_taken_up_at_once() {
    let place = Place::new();
    let plan = place.plan("p.json", &["a", "slow: a", "c: slow"]);
    let mut child = place.start(&["run", plan.to_str().unwrap()]);
    child.kill().unwrap();
    child.wait().unwrap();
    place.open_gate();
    let status = both(&place.enki(&["status"]));
    assert!(status.contains("nobody drives"), "{status}");
    // No waiting for a lease: the kernel lock proves that its holder is gone.
    let output = place.enki(&["resume"]);
    assert_eq!(code(&output), 0, "{}", both(&output));
    assert_eq!(place.log().lines().count(), 4);
}

#[test]
fn killed_five_times_each_task_lands_exactly_once() {
    let place = Place::new();
    let script = "cat >/dev/null\nsleep 0.05\necho \"by $ENKI_STEP_ID\" >\"$ENKI_STEP_ID.txt\"\n";
    place.agent(script);
    let steps = ["s1", "s2: s1", "s3: s1", "s4: s2 s3", "s5", "s6: s5", "s7: s4 s6", "s8"];
    let plan = place.plan("p.json", &steps);
    let args = ["run", plan.to_str().unwrap(), "--json"];
    let (mut random, mut seen, mut kills) = (20_u64, 0, 0);
    for _ in 0..5 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (more, pause) = (1 + (random >> 33 & 7), Duration::from_micros(random >> 40 & 0x3fff));
        let mut child = place.command(&args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        // Each run tells what happened so far; it is killed a few events and some milliseconds after that.
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = lines.by_ref().take(seen + usize::try_from(more).unwrap()).count();
        let (_open, silence) = std::sync::mpsc::channel::<()>();
        let _ = silence.recv_timeout(pause);
        kills += i32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        seen = told + lines.count();
    }
    assert_eq!(kills, 5, "every run was killed while it worked");

    let end = last_line(&place.enki(&args));
    assert_eq!((&end["status"], &end["steps"]["done"]), (&"done".into(), &8.into()), "{end}");
    let mut subjects: Vec<_> = place.log().lines().map(str::to_owned).collect();
    subjects.sort();
    assert_eq!(subjects.join(" "), "Step s1 Step s2 Step s3 Step s4 Step s5 Step s6 Step s7 Step s8 begin");
    let tasks = git(&place.root, &["log", "--format=%(trailers:key=Enki-Task,valueonly)", "main"]);
    let tasks: Vec<&str> = tasks.split_whitespace().collect();
    let different: std::collections::BTreeSet<_> = tasks.iter().collect();
    assert_eq!((tasks.len(), different.len()), (8, 8), "{tasks:?}");
    assert_eq!(git(&place.root, &["fsck", "--strict", "--no-dangling"]), "");
    assert_eq!(git(&place.root, &["status", "--porcelain"]), "");
    #[cfg(target_os = "linux")]
    {
        // Every agent, and what it starts, has the path of the gate in its environment.
        let gate = place.gate().into_os_string().into_encoded_bytes();
        let with_it = |process: &fs::DirEntry| {
            let environ = fs::read(process.path().join("environ")).unwrap_or_default();
            environ.windows(gate.len()).any(|window| window == gate)
        };
        let alive: Vec<_> = fs::read_dir("/proc").unwrap().flatten().filter(with_it).map(|p| p.path()).collect();
        assert!(alive.is_empty(), "{alive:?}");
    }
}

#[test]
fn bad_input_14_cancelling_what_is_unknown_or_over() {
    let place = Place::new();
    assert_eq!(code(&place.enki(&["cancel", "0123456789ab"])), 9, "no store yet");
    assert_eq!(code(&place.enki(&["run", "--task", "T"])), 0);
    assert_eq!(code(&place.enki(&["cancel", "0123456789ab"])), 9);
    assert_eq!(code(&place.enki(&["cancel", "not an id"])), 9);
    let id = place.newest();
    let output = place.enki(&["cancel", &id]);
    assert!(code(&output) == 0 && both(&output).contains("is done"), "{}", both(&output));
    assert_eq!(place.json(&["status", &id])["status"], "done");
}

#[test]
fn bad_input_16_a_second_run_names_the_first() {
    let place = Place::new();
    let plan = place.plan("p.json", &["slow"]);
    let child = place.start(&["run", plan.to_str().unwrap()]);
    let output = place.enki(&["run", "--task", "T"]);
    let text = both(&output);
    assert_eq!(code(&output), 5, "{text}");
    assert!(text.contains(&format!("process {}", child.id())) && text.contains("since 20"), "{text}");
    place.open_gate();
    assert_eq!(code(&child.wait_with_output().unwrap()), 0);
}

/// A child that a killed run was just starting has its lock for some milliseconds more.
#[test]
fn the_lock_of_a_dead_process_is_waited_for() {
    let place = Place::new();
    assert_eq!(code(&place.enki(&["run", "--task", "T"])), 0);
    let lock = fs::File::open(place.root.join(".enki/lock")).unwrap();
    lock.lock().unwrap();
    let child = place.command(&["run", "--task", "U"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (_open, silence) = std::sync::mpsc::channel::<()>();
    let _ = silence.recv_timeout(Duration::from_millis(300));
    lock.unlock().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 0, "{}", both(&output));
}

#[test]
fn others_steer_a_running_orchestrator_and_get_a_real_answer() {
    let place = Place::new();
    let plan = place.plan("p.json", &["slow", "b: slow"]);
    let child = place.start(&["run", plan.to_str().unwrap()]);
    let id = place.newest();
    let paused = place.json(&["pause", &id]);
    assert_eq!((&paused["status"], &paused["draining"]), (&"paused".into(), &serde_json::json!(["slow"])), "{paused}");
    assert_eq!(place.json(&["resume", &id])["status"], "running");
    let more = place.plan("more.json", &["c: b"]);
    assert_eq!(code(&place.enki(&["add", &id, more.to_str().unwrap()])), 0);
    let wrong = place.enki(&["add", &id, more.to_str().unwrap()]);
    assert!(code(&wrong) == 2 && both(&wrong).contains("already"), "{}", both(&wrong));
    let following = place.command(&["log", &id, "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    place.open_gate();
    assert_eq!(code(&child.wait_with_output().unwrap()), 0);
    let followed = following.wait_with_output().unwrap();
    assert!(both(&followed).contains("c merged as"), "{}", both(&followed));
    assert_eq!(place.log().lines().count(), 4);
}

#[test]
fn who_follows_a_driver_that_is_killed_is_told_so_and_misses_nothing() {
    let place = Place::new();
    let plan = place.plan("p.json", &["quick", "slow: quick"]);
    let mut child = place.start(&["run", plan.to_str().unwrap()]);
    let mut following = place.command(&["log", &place.newest(), "-f"]);
    let mut following = following.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines().map(Result::unwrap);
    lines.by_ref().find(|line| line.contains(" slow started")).unwrap();
    // What was there before is read; this it can only have been told.
    assert_eq!(code(&place.enki(&["pause", &place.newest()])), 0);
    lines.by_ref().find(|line| line.contains("paused")).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let ended = following.wait_with_output().unwrap();
    assert!(code(&ended) == 0 && both(&ended).contains("has ended"), "{}", both(&ended));
}

#[test]
fn a_long_path_is_no_obstacle_for_the_socket() {
    let place = Place::below(&"a-folder-with-a-long-name/".repeat(6));
    let plan = place.plan("p.json", &["slow"]);
    let child = place.start(&["run", plan.to_str().unwrap()]);
    assert_eq!(place.json(&["pause", &place.newest()])["driven"], true);
    assert_eq!(place.json(&["resume"])["status"], "running");
    place.open_gate();
    assert_eq!(code(&child.wait_with_output().unwrap()), 0);
}

#[test]
fn stop_leaves_no_agent_and_everything_can_be_resumed() {
    let place = Place::new();
    let plan = place.plan("p.json", &["slow"]);
    let child = place.start(&["run", plan.to_str().unwrap()]);
    assert_eq!(code(&place.enki(&["stop"])), 0);
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 8, "{}", both(&output));
    place.open_gate();
    assert_eq!(code(&place.enki(&["resume"])), 0);
}

#[test]
fn the_socket_obeys_only_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixStream;
    let place = Place::new();
    let plan = place.plan("p.json", &["slow"]);
    let child = place.start(&["run", plan.to_str().unwrap()]);
    let socket = place.root.join(".enki/enki.sock");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    for (sent, word) in [
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"steer\",\"params\":{\"action\":\"stop\"}}\n", "owner token"),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"steer\",\"token\":\"00\"}\n", "owner token"),
        ("hello\n", "not a request"),
    ] {
        use std::io::Write as _;
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(sent.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(word), "{sent}: {answer}");
    }
    place.open_gate();
    assert_eq!(code(&child.wait_with_output().unwrap()), 0);
    assert!(!socket.exists());
}

#[test]
fn bad_input_29_steps_that_cannot_be_added() {
    let place = Place::new();
    let plan = place.plan("p.json", &["fail", "a!"]);
    assert_eq!(code(&place.enki(&["run", plan.to_str().unwrap()])), 8);
    let id = place.newest();
    for (steps, word) in [(&["c: fail"][..], "retry it first"), (&["a"], "already"), (&["c: zz"], "no step \"zz\"")] {
        let more = place.plan("more.json", steps);
        let output = place.enki(&["add", &id, more.to_str().unwrap()]);
        assert!(code(&output) == 2 && both(&output).contains(word), "{steps:?}: {}", both(&output));
    }
    assert_eq!(code(&place.enki(&["cancel", &id])), 0);
    let more = place.plan("more.json", &["c"]);
    let output = place.enki(&["add", &id, more.to_str().unwrap()]);
    assert!(code(&output) == 2 && both(&output).contains("cancelled"), "{}", both(&output));
}

#[test]
fn problems_of_steps_to_add_are_drawn_in_their_file() {
    let place = Place::new();
    let plan = place.plan("p.json", &["slow", "a"]);
    let child = place.start(&["run", plan.to_str().unwrap()]);
    let id = place.newest();
    let more = place.root.join("more.toml");
    let text = "[[steps]]\nid = \"a\"\ntitle = \"A\"\ndescription = \"D\"\n\n\
                [[steps]]\ntask_id = \"b\"\ntitle = \"B\"\ndescription = \"D\"\ndepends_on = [\"slow\", \"slwo\"]\n";
    fs::write(&more, text).unwrap();
    let drawn = |driven: &str| {
        let output = place.enki(&["add", &id, "more.toml"]);
        let text = both(&output);
        assert_eq!(code(&output), 2, "{driven}: {text}");
        for word in [
            "--> more.toml:2:6",
            "steps[0].id: the execution has a step \"a\" already",
            "help: rename the new one",
            "--> more.toml:10:23",
            "depends_on = [\"slow\", \"slwo\"]",
            "help: did you mean \"slow\"?",
            "error: more.toml: 2 errors\nhint: fix the steps; nothing was added",
        ] {
            assert!(text.contains(word), "{driven}: {word}: {text}");
        }
        let json = place.json(&["add", &id, "more.toml"]);
        let second = &json["problems"][1];
        let place = (&second["path"], &second["line"], &second["column"]);
        assert_eq!(place, (&"steps[1].needs[1]".into(), &10.into(), &23.into()), "{driven}: {json}");
        text
    };
    let over_the_socket = drawn("driven");
    place.open_gate();
    assert_eq!(code(&child.wait_with_output().unwrap()), 0);
    assert_eq!(drawn("nobody drives"), over_the_socket);
    assert_eq!(place.json(&["status", &id])["steps"].as_array().unwrap().len(), 2);
}

#[test]
fn added_steps_say_nothing_of_the_whole_execution() {
    let place = Place::new();
    let text = "target = \"main\"\ndefaults = { tier = \"light\" }\n\
                [[steps]]\nid = \"b\"\ntitle = \"B\"\ndescription = \"D\"\n";
    fs::write(place.root.join("more.toml"), text).unwrap();
    let output = place.enki(&["add", "exec-0123456789ab", "more.toml"]);
    assert_eq!(code(&output), 2);
    assert!(both(&output).contains("added steps cannot change the execution's target, defaults"), "{}", both(&output));
}

#[test]
fn bad_input_30_the_same_request_with_another_plan() {
    let place = Place::new();
    let plan = |title: &str| {
        let text = format!(
            "{{\"title\": {title:?}, \"request_id\": \"r-1\", \"steps\": [{{\"id\": \"a\", \"title\": \"T\", \"description\": \"D\"}}]}}"
        );
        let path = place.dir.path().join("r.json");
        fs::write(&path, text).unwrap();
        path
    };
    let first = last_line(&place.enki(&["run", plan("one").to_str().unwrap(), "--json"]));
    let again = last_line(&place.enki(&["run", plan("one").to_str().unwrap(), "--json"]));
    assert_eq!(first["execution_id"], again["execution_id"]);
    let output = place.enki(&["run", plan("two").to_str().unwrap()]);
    assert!(code(&output) == 2 && both(&output).contains("r-1"), "{}", both(&output));
    assert_eq!(place.json(&["status"])["executions"].as_array().unwrap().len(), 1);
}

#[test]
fn bad_input_33_and_76_what_cannot_start_is_said_before_anything_is_made() {
    let place = Place::new();
    let output = place.enki(&["run", "--task", "T", "--check", "./no-such-check"]);
    assert!(code(&output) == 2 && both(&output).contains("no-such-check"), "{}", both(&output));
    let output = place.enki(&["run", "--task", "T", "--agent", "no-such-agent"]);
    assert!(code(&output) == 3 && both(&output).contains("no-such-agent"), "{}", both(&output));
    let output = place.enki(&["status", "--json"]);
    assert!(both(&output).contains("\"executions\":[]"), "{}", both(&output));
}

#[test]
fn bad_input_51_and_52_a_store_that_is_none_is_left_untouched() {
    let place = Place::new();
    assert_eq!(code(&place.enki(&["run", "--task", "T"])), 0);
    let store = place.root.join(".enki/enki.db");
    fs::write(
        &store,
        "this is no database, and long enough to be taken for one if nobody looks at it closely".repeat(40),
    )
    .unwrap();
    let before = fs::read(&store).unwrap();
    for args in [&["status"][..], &["run", "--task", "U"], &["resume"]] {
        let output = place.enki(args);
        assert_eq!(code(&output), 6, "{args:?}: {}", both(&output));
    }
    assert_eq!(fs::read(&store).unwrap(), before);
}

#[test]
fn the_demo_shows_the_whole_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let output = enki(dir.path()).args(["demo", "--dir", "here"]).output().unwrap();
    let text = both(&output);
    assert_eq!(code(&output), 0, "{text}");
    for word in ["8 done", "├─│─●", "waits for you", "no changes", "survey.md", "Report both", "where everything is"]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
    let project = dir.path().join("here/project");
    assert_eq!(git(&project, &["status", "--porcelain"]), "");
    let report =
        Command::new("sh").args(["-c", "echo a bb ccc | sh report.sh"]).current_dir(&project).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&report.stdout), "words: 3, longest: ccc\n");
    let again = enki(dir.path()).args(["demo", "--dir", "here"]).output().unwrap();
    assert!(code(&again) == 2 && both(&again).contains("not empty"), "{}", both(&again));
}
