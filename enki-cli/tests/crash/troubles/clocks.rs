//! Wall clocks that are set (promise R14, bad inputs 56 and 92), at the real binary: libfaketime tells it another time,
//! which a file changes while it runs. The monotonic clock stays as it is, as it does when a person sets a clock.

use super::{file, wait_until};
use crate::oracle;
use crate::place::{Kind, Place};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

const HOUR: i64 = 3600;
const JUMPS: [i64; 4] = [HOUR, -HOUR, 24 * HOUR, -24 * HOUR];

/// The time that a project's processes are told.
struct Clock {
    library: PathBuf,
    offset: PathBuf,
}

impl Clock {
    /// None where the tool is missing, which is said.
    fn new(place: &Place) -> Option<Self> {
        let library = library().or_else(|| {
            println!("not run: libfaketime is not installed (apt-get install faketime), so no clock can be set");
            None
        })?;
        let clock = Self { library, offset: place.dir.join("clock") };
        clock.set(0);
        Some(clock)
    }

    /// So many seconds from the real time.
    fn set(&self, seconds: i64) {
        let next = self.offset.with_extension("next");
        fs::write(&next, format!("{seconds:+}\n")).unwrap();
        fs::rename(next, &self.offset).unwrap();
    }

    fn command(&self, place: &Place, args: &[&str]) -> Command {
        let mut command = place.command(args);
        command.env("LD_PRELOAD", &self.library).env("FAKETIME_TIMESTAMP_FILE", &self.offset);
        // Files keep their times, and time goes on at its pace.
        command.envs([("FAKETIME_NO_CACHE", "1"), ("NO_FAKE_STAT", "1"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")]);
        command
    }

    /// Code and words of a call.
    fn call(&self, place: &Place, args: &[&str]) -> (Option<i32>, String) {
        let output = self.command(place, args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(!said.contains("panicked"), "{args:?}: {said}");
        assert_eq!(negative(&said), None, "{args:?}: a time below zero: {said}");
        (output.status.code(), said)
    }

    fn spawn(&self, place: &Place, args: &[&str]) -> Child {
        let mut command = self.command(place, args);
        command.stdout(file(place, 0, "out")).stderr(file(place, 0, "err")).spawn().unwrap()
    }

    /// Ends one that was spawned, and gives what it said.
    fn ended(place: &Place, mut child: Child) -> (Option<i32>, String) {
        let code = child.wait().unwrap().code();
        let said = ["out", "err"].map(|what| fs::read_to_string(place.dir.join(format!("racer0.{what}"))).unwrap());
        let said = said.concat();
        assert!(!said.contains("panicked"), "{said}");
        assert_eq!(negative(&said), None, "a time below zero: {said}");
        (code, said)
    }

    /// What people look at afterwards.
    fn look(&self, place: &Place) {
        let status: Value = serde_json::from_str(&self.call(place, &["status", "--json"]).1).unwrap();
        let id = status["executions"][0]["id"].as_str().unwrap().to_owned();
        for args in [&["status"][..], &["status", &id], &["show", &id], &["log", &id], &["trace", &id], &["graph", &id]]
        {
            for json in [&[][..], &["--json"]] {
                let (code, said) = self.call(place, &[args, json].concat());
                assert!(code == Some(0) || code == Some(2) && !json.is_empty(), "{args:?}: {said}");
            }
        }
    }
}

fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path()).chain([PathBuf::from("/usr/lib")]);
    folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists())
}

/// A duration or a number below zero in what was said.
fn negative(said: &str) -> Option<String> {
    let words = said.split([' ', '\n', ':', ',', '(', '[']);
    let is_one = |word: &&str| {
        let Some(rest) = word.strip_prefix('-') else { return false };
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        let unit = digits.trim_end_matches(['}', ']', ')', ';', '.']);
        digits.len() < rest.len() && matches!(unit, "" | "ms" | "s" | "m" | "min" | "h" | "d")
    };
    words.into_iter().find(is_one).map(str::to_owned)
}

#[test]
fn times_below_zero_are_found_and_dates_are_none() {
    assert_eq!(negative("at 2026-11-28T12:00:00Z exec-1 -C --json a -x"), None);
    for said in ["after -3s:", "\"took\":-5,", "(-2h)", "waits -1.5m"] {
        assert!(negative(said).is_some(), "{said}");
    }
}

fn attempts(place: &Place) -> usize {
    let events = place.events("done").unwrap();
    events.iter().filter(|event| event["event"].get("attempt_started").is_some()).count()
}

/// Agents wait for that file, so that all of it happens while they work.
fn with_gate(place: &Place) -> PathBuf {
    let (agent, gate) = (place.dir.join("agent.sh"), place.dir.join("go"));
    let waits = format!("while [ ! -e '{}' ]; do sleep 0.05; done\n", gate.display());
    fs::write(&agent, waits + &fs::read_to_string(&agent).unwrap()).unwrap();
    gate
}

#[test]
fn a_clock_that_is_set_in_a_run_ends_no_attempt_and_gives_its_project_to_nobody_else() {
    for jump in JUMPS {
        let place = Place::new(Kind { plan: "a b:a", ..Kind::AWAY });
        let Some(clock) = Clock::new(&place) else { return };
        let gate = with_gate(&place);
        let plan = place.dir.join("plan.json");
        let run = ["run", plan.to_str().unwrap(), "--json"];
        let mut child = clock.spawn(&place, &run);
        let told = place.dir.join("racer0.out");
        wait_until(&mut child, || fs::read_to_string(&told).is_ok_and(|text| text.contains("attempt_live")));
        clock.set(jump);
        // The lease in the store has ended by this clock, or ends far away from now.
        let (code, said) = clock.call(&place, &run);
        assert_eq!(code, Some(5), "{jump}: {said}");
        clock.look(&place);
        fs::write(&gate, "").unwrap();
        let (code, said) = Clock::ended(&place, child);
        assert_eq!(code, Some(0), "{jump}: {said}");
        oracle::look(&place).unwrap_or_else(|why| panic!("{jump}: {why}"));
        assert_eq!(attempts(&place), 2, "{jump}: no attempt was ended by the clock");
        clock.look(&place);
    }
    println!("clocks: set in {} runs, nothing lost, doubled or taken over", JUMPS.len());
}

#[test]
fn a_clock_that_is_set_between_two_runs_delays_and_doubles_nothing() {
    for (jump, at) in JUMPS.into_iter().zip(["merge.8.after", "merge.6.after", "workspace.commit", "merge.3.after"]) {
        let place = Place::new(Kind { plan: "a b:a", ..Kind::AWAY });
        let Some(clock) = Clock::new(&place) else { return };
        let plan = place.dir.join("plan.json");
        let run = ["run", plan.to_str().unwrap(), "--json"];
        let killed = clock.command(&place, &run).env("ENKI_CRASH_AT", at).output().unwrap();
        assert_eq!(killed.status.code(), None, "{at}: it did not die there");
        clock.set(jump);
        let (code, said) = clock.call(&place, &run);
        assert_eq!(code, Some(0), "{jump}: {said}");
        oracle::look(&place).unwrap_or_else(|why| panic!("{jump} after {at}: {why}"));
        clock.look(&place);
    }
    println!("clocks: set between {} pairs of runs, nothing lost or doubled", JUMPS.len());
}

#[test]
fn an_entry_starts_when_the_wall_clock_says_so() {
    // Once it is set while somebody drives, once while nobody does.
    for driven in [true, false] {
        let place = Place::new(Kind { plan: "a", ..Kind::AWAY });
        let Some(clock) = Clock::new(&place) else { return };
        let note = clock.call(&place, &["note", "--kind", "task", "Do it."]).1.trim_end().to_owned();
        let note = note.lines().find(|line| line.starts_with("docs/")).unwrap().to_owned();
        let at = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2);
        let (code, said) = clock.call(&place, &["queue", "add", "--target", "main", &note, "--at", &at.to_string()]);
        assert_eq!(code, Some(0), "{said}");
        let waits = |clock: &Clock| {
            let said = clock.call(&place, &["queue", "list"]).1;
            assert!(said.contains("waiting (time)"), "{said}");
        };
        let mut child = clock.spawn(&place, &["queue", "run", "--json"]);
        let socket = place.root.join(".enki/enki.sock");
        wait_until(&mut child, || std::os::unix::net::UnixStream::connect(&socket).is_ok());
        waits(&clock);
        clock.set(-24 * HOUR);
        waits(&clock);
        if !driven {
            child.kill().unwrap();
            child.wait().unwrap();
            child = clock.spawn(&place, &["queue", "run", "--json"]);
            wait_until(&mut child, || std::os::unix::net::UnixStream::connect(&socket).is_ok());
            waits(&clock);
            child.kill().unwrap();
            child.wait().unwrap();
        }
        clock.set(2 * HOUR + 60);
        if !driven {
            child = clock.spawn(&place, &["queue", "run", "--json"]);
        }
        // Whoever drives looks at the clock each ten seconds.
        let (code, said) = Clock::ended(&place, child);
        assert_eq!(code, Some(0), "{said}");
        // It is followed from when it is found, which may be after it began.
        let id = said.split("\"execution_id\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let said = clock.call(&place, &["log", id, "--json"]).1;
        assert_eq!(said.matches("\"triggered\"").count(), 1, "{said}");
        assert_eq!(said.matches("\"landed\":").count(), 1, "{said}");
        assert!(fs::read_to_string(place.root.join(&note)).unwrap().contains("\nstatus: done\n"));
        clock.look(&place);
    }
    println!("clocks: an entry waited for its time, and began when the clock was set to it");
}

/// Says once that its limit is reached, for two hours, and works after that.
const LIMITED: &str = r#"#!/bin/sh
at=$(dirname "$0")
if [ "$1" = --version ]; then echo '2.1.200 (Claude Code)'; exit; fi
cat >/dev/null
echo x >>"$at/asked"
echo '{"type":"system","subtype":"init","session_id":"s"}'
if [ $(wc -l <"$at/asked") = 1 ]; then
    cat "$at/limit"
    echo '{"type":"assistant","error":"rate_limit","message":{"model":"<synthetic>","content":[{"type":"text","text":"API Error"}]}}'
    echo '{"type":"result","subtype":"success","is_error":true,"result":"API Error","api_error_status":429}'
    exit 1
fi
echo "by $ENKI_STEP_ID" >$ENKI_STEP_ID.txt
echo '{"type":"result","subtype":"success","is_error":false,"result":"done","session_id":"s"}'
"#;

#[test]
fn a_limit_of_the_service_ends_by_the_wall_clock_and_no_clock_makes_it_longer() {
    for jump in [24 * HOUR, -24 * HOUR] {
        let place = Place::new(Kind { plan: "a", ..Kind::AWAY });
        let Some(clock) = Clock::new(&place) else { return };
        let client = place.dir.join("claude");
        script(&client, LIMITED);
        let until = (jiff::Timestamp::now() + jiff::SignedDuration::from_hours(2)).as_second();
        let limit =
            format!(r#"{{"type":"rate_limit_event","rate_limit_info":{{"status":"rejected","resetsAt":{until}}}}}"#);
        fs::write(place.dir.join("limit"), limit + "\n").unwrap();
        fs::write(place.root.join(".enki/enki.toml"), format!("[agent]\ncommand = {client:?}\n")).unwrap();
        let plan = place.dir.join("plan.json");
        let mut child = clock.spawn(&place, &["run", plan.to_str().unwrap(), "--json"]);
        let told = place.dir.join("racer0.out");
        wait_until(&mut child, || fs::read_to_string(&told).is_ok_and(|text| text.contains("rate_limited")));
        clock.set(jump);
        clock.look(&place);
        if jump < 0 {
            // It would wait a day longer by this clock. A person ends it, as any limit.
            let (code, said) = clock.call(&place, &["resume"]);
            assert_eq!(code, Some(0), "{said}");
        }
        let (code, said) = Clock::ended(&place, child);
        assert_eq!(code, Some(0), "{jump}: {said}");
        assert_eq!(fs::read_to_string(place.dir.join("asked")).unwrap().lines().count(), 2, "it was asked once more");
        clock.set(0);
        oracle::look(&place).unwrap();
    }
    println!("clocks: a limit ended when the clock was set behind it, or by a person");
}

fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
