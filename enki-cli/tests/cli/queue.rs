//! The queue of task notes: put in, driven, and written down, with the real binary, git and store.

use crate::common::{Place, both, code, git, until};
use serde_json::Value;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

/// What a task does stands in its prompt.
pub(crate) const AGENT: &str = r###"#!/bin/sh
prompt=$(cat)
says() { case $prompt in *"$1"*) true ;; *) false ;; esac; }
if says "WAIT"; then echo "at work"; while [ ! -e "$GATE" ]; do sleep 0.02; done; fi
if says "BREAK"; then echo "it cannot be done" >&2; exit 3; fi
if says "HANG"; then echo hangs; sleep 600; fi
name=$(echo "$ENKI_EXECUTION_ID-$ENKI_STEP_ID" | tail -c 20)
echo "x" >"$name.txt"
printf '[OUTPUT]It is done.\n\n## Prompt\n\n## Proposals\n\n- ship it[/OUTPUT]'
"###;

pub(crate) fn place() -> Place {
    let place = Place::new();
    place.agent(AGENT);
    place
}

/// Writes a task note and gives its path.
pub(crate) fn task(place: &Place, prompt: &str) -> String {
    let noted = place.enki(&["note", "--kind", "task", prompt]);
    assert_eq!(code(&noted), 0, "{}", both(&noted));
    String::from_utf8(noted.stdout).unwrap().trim_end().to_owned()
}

pub(crate) fn text(place: &Place, path: &str) -> String {
    fs::read_to_string(place.root.join(path)).unwrap()
}

pub(crate) fn key(place: &Place, path: &str, key: &str) -> Option<String> {
    let text = text(place, path);
    text.lines().find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(": ")?.trim_matches('"').to_owned()))
}

pub(crate) fn add(place: &Place, args: &[&str]) -> Value {
    place.json(&[&["queue", "add"], args].concat())
}

pub(crate) fn notes(place: &Place, kind: &str) -> Vec<String> {
    let Ok(all) = fs::read_dir(place.root.join("docs/log").join(kind)) else { return Vec::new() };
    let mut all: Vec<String> =
        all.map(|entry| format!("docs/log/{kind}/{}", entry.unwrap().file_name().display())).collect();
    all.sort();
    all
}

/// Whether somebody drives it.
pub(crate) fn listens(place: &Place) -> bool {
    std::os::unix::net::UnixStream::connect(place.root.join(".enki/enki.sock")).is_ok()
}

pub(crate) fn entries(place: &Place, args: &[&str]) -> Vec<Value> {
    place.json(&[&["queue", "list"], args].concat())["entries"].as_array().unwrap().clone()
}

#[test]
fn an_issue_becomes_a_task_an_entry_a_commit_and_a_result_that_all_name_each_other() {
    let place = place();
    let noted = place.enki(&["note", "The shop is broken"]);
    let capture = String::from_utf8(noted.stdout).unwrap().trim_end().to_owned();
    let promoted = place.enki(&["promote", &capture]);
    let task = String::from_utf8(promoted.stdout).unwrap().trim_end().to_owned();
    // Notes are files of the project like any other: that they are committed, and change, is in nobody's way.
    git(&place.root, &["add", "docs"]);
    git(&place.root, &["commit", "-qm", "notes"]);
    let refused = place.enki(&["queue", "add", &capture]);
    assert!(code(&refused) == 2 && both(&refused).contains("enki promote"), "{}", both(&refused));

    let added = place.enki(&["queue", "add", &task]);
    assert!(code(&added) == 0 && both(&added).contains("enki queue run"), "{}", both(&added));
    let id = String::from_utf8(added.stdout).unwrap().trim_end().to_owned();
    assert_eq!(
        (key(&place, &task, "status"), key(&place, &task, "queue_id")),
        (Some("pending".to_owned()), Some(id.trim_start_matches("exec-").to_owned()),)
    );
    let again = add(&place, &[&task]);
    assert_eq!((&again["known"], &again["execution_id"]), (&true.into(), &id.as_str().into()));
    let [waits] = &entries(&place, &[])[..] else { panic!() };
    assert_eq!((&waits["status"], &waits["task_paths"][0]), (&"queued".into(), &task.as_str().into()));

    let ran = place.enki(&["queue", "run"]);
    assert_eq!(code(&ran), 0, "{}", both(&ran));
    assert!(entries(&place, &[]).is_empty());
    assert_eq!(entries(&place, &["--all"])[0]["status"], "done");
    assert_eq!(entries(&place, &["--all", "--query", "SHOP"]).len(), 1);
    assert_eq!(entries(&place, &["--all", "--query", "elsewhere"]).len(), 0);
    let [result] = &notes(&place, "result")[..] else { panic!("{:?}", notes(&place, "result")) };
    for (note, status) in [(&capture, "resolved"), (&task, "done")] {
        assert_eq!(key(&place, note, "status").as_deref(), Some(status));
        assert_eq!(key(&place, note, "result_note").as_ref(), Some(result));
    }
    let commit = key(&place, result, "commit").unwrap();
    assert!(git(&place.root, &["log", "--format=%H", "main"]).contains(&commit), "{commit}");
    let told = text(&place, result);
    assert!(told.contains("> It is done.\n>\n> ## Prompt\n") && told.contains("\n- [ ] ship it\n"), "{told}");
    assert_eq!(key(&place, result, "source_note"), Some(capture.clone()));
    assert!(text(&place, "docs/log/activity.md").contains(result));
    assert_eq!(notes(&place, "issue").len(), 1, "nothing failed");
    let proposed = place.json(&["queue", "list", "--proposals"]);
    assert_eq!(proposed["proposals"][0]["text"], "ship it");
    // Whatever of it is named, all of it is told.
    let whole = place.json(&["trace", &task]);
    assert_eq!(
        (&whole["source"]["path"], &whole["results"][0]["path"]),
        (&capture.as_str().into(), &result.as_str().into())
    );
    assert_eq!(whole["entries"][0]["attempts"].as_array().unwrap().len(), 1);
    for name in [&capture, result, &id, &commit[..12].to_owned()] {
        assert_eq!(place.json(&["trace", name]), whole, "{name}");
    }
    let shown = both(&place.enki(&["trace", &id]));
    let words: Vec<&str> = shown.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(words, ["noted", "task", "entry", "attempt", "merged", "landed", "result"], "{shown}");
    assert_eq!(code(&place.enki(&["trace", "0123456789"])), 9);
    let tail = both(&place.enki(&["queue", "tail", &task]));
    assert!(tail.contains("landed"), "{tail}");
    let over = place.enki(&["queue", "cancel", &task]);
    assert_eq!(code(&over), 0, "{}", both(&over));
    assert_eq!(key(&place, &task, "status").as_deref(), Some("done"));
}

#[test]
fn after_a_failure_what_comes_after_is_blocked_until_it_is_tried_again_and_one_issue_is_filed() {
    let place = place();
    let (bad, good, any) = (task(&place, "BREAK it"), task(&place, "Mend it"), task(&place, "Tell of it"));
    let first = add(&place, &[&bad]);
    let first = first["queue_id"].as_str().unwrap();
    add(&place, &[&good, "--after", first]);
    add(&place, &[&any, "--after-any", first]);
    let waits: Vec<String> = entries(&place, &[]).iter().map(|e| e["status"].as_str().unwrap().to_owned()).collect();
    assert_eq!(waits, ["waiting (after)", "waiting (after)", "queued"]);
    let ran = place.enki(&["queue", "run"]);
    assert_eq!(code(&ran), 7, "{}", both(&ran));
    let status = |note: &str| key(&place, note, "status").unwrap();
    assert_eq!((status(&bad), status(&good), status(&any)), ("failed".into(), "pending".into(), "done".into()));
    assert_eq!(entries(&place, &[]).iter().filter(|entry| entry["status"] == "blocked").count(), 1);
    let [issue] = &notes(&place, "issue")[..] else { panic!() };
    assert!(text(&place, issue).contains("Execution failed: BREAK it"), "{}", text(&place, issue));
    // The same again is the same issue.
    assert_eq!(code(&place.enki(&["retry", first])), 0);
    assert_eq!(code(&place.enki(&["queue", "run"])), 7);
    assert_eq!((notes(&place, "issue").len(), notes(&place, "result").len()), (1, 3));
    // Somebody mends the agent: it goes well, and with it what waited.
    place.agent(&AGENT.replace("exit 3", "true"));
    assert_eq!(code(&place.enki(&["retry", first])), 0);
    let ran = place.enki(&["queue", "run"]);
    assert_eq!(code(&ran), 0, "{}", both(&ran));
    assert_eq!((status(&bad), status(&good)), ("done".into(), "done".into()));
}

#[test]
fn a_time_out_is_the_one_that_was_asked_for_and_a_batch_is_done_in_order() {
    let place = place();
    let (slow, one, two) = (task(&place, "HANG"), task(&place, "One"), task(&place, "Two"));
    add(&place, &[&slow, "--timeout", "1"]);
    let batch = add(&place, &[&one, &two]);
    assert_eq!(batch["tasks"].as_array().unwrap().len(), 2);
    let listed = entries(&place, &["--query", "HANG"]);
    assert_eq!(listed[0]["timeout_s"][0], 1);
    let ran = place.enki(&["queue", "run"]);
    assert_eq!(code(&ran), 7, "{}", both(&ran));
    let entry = &entries(&place, &["--all", "--query", "HANG"])[0];
    assert_eq!(entry["status"], "timeout");
    // It is not tried again by itself.
    assert_eq!(place.json(&["trace", &slow])["entries"][0]["attempts"].as_array().unwrap().len(), 1, "{entry}");
    let results: Vec<String> = notes(&place, "result");
    assert_eq!(results.len(), 3);
    let status = |note: &str| (key(&place, note, "status").unwrap(), key(&place, note, "task").unwrap());
    let mut all: Vec<(String, String)> = results.iter().map(|note| status(note)).collect();
    all.sort();
    assert_eq!(all, [("done".into(), one), ("done".into(), two), ("timeout".into(), slow)]);
}

#[test]
fn a_batch_keeps_its_order_has_a_result_of_each_note_and_is_blocked_after_a_failure() {
    let place = place();
    place.agent(&AGENT.replace("if says \"BREAK\"", "if [ \"$ENKI_STEP_ID\" = task-2 ]"));
    let all = [task(&place, "First"), task(&place, "Second"), task(&place, "Third"), task(&place, "Fourth")];
    let [first, bad, third, fourth] = &all;
    let batch = add(&place, &[first, bad, third, fourth]);
    let (id, execution) = (batch["queue_id"].as_str().unwrap(), batch["execution_id"].as_str().unwrap());
    let ran = place.enki(&["queue", "run"]);
    assert_eq!(code(&ran), 7, "{}", both(&ran));
    let status = |note: &str| key(&place, note, "status").unwrap();
    let statuses = || all.iter().map(|note| status(note)).collect::<Vec<_>>();
    // What was never begun has no result: it waits for the one before it.
    assert_eq!(statuses(), ["done", "failed", "pending", "pending"]);
    assert_eq!(place.json(&["queue", "list", "--all"])["entries"][0]["status"], "failed");
    let block = |result: &str| {
        let key = |name: &str| key(&place, result, name).unwrap_or_else(|| panic!("{name}: {}", text(&place, result)));
        // A command has no session of its own to tell.
        assert!(key("duration_s").parse::<f64>().is_ok() && key("session").is_empty(), "{}", text(&place, result));
        (key("task"), key("status"), key("queue_id"))
    };
    let blocks = || {
        let mut all: Vec<_> = notes(&place, "result").iter().map(|result| block(result)).collect();
        all.sort();
        all
    };
    let one = |task: &String, status: &str| (task.clone(), status.to_owned(), id.to_owned());
    let sorted = |mut all: Vec<_>| {
        all.sort();
        all
    };
    assert_eq!(blocks(), sorted(vec![one(first, "done"), one(bad, "failed")]));
    // Mended, the rest is done, each after the one before it.
    place.agent(&AGENT.replace("exit 3", "true"));
    assert_eq!(code(&place.enki(&["retry", id])), 0);
    let ran = place.enki(&["queue", "run"]);
    assert_eq!(code(&ran), 0, "{}", both(&ran));
    assert_eq!(statuses(), ["done", "done", "done", "done"]);
    let done = |note: &String| one(note, "done");
    assert_eq!(blocks(), sorted(vec![done(first), one(bad, "failed"), done(bad), done(third), done(fourth)]));
    let log = both(&place.enki(&["log", execution]));
    let starts: Vec<&str> =
        log.lines().filter(|line| line.contains("started")).filter_map(|line| line.split("task-").nth(1)).collect();
    let steps: Vec<&str> = starts.iter().map(|rest| &rest[..1]).collect();
    assert_eq!(steps, ["1", "2", "2", "3", "4"], "{log}");
}

#[test]
fn a_kill_at_work_loses_no_note_and_starts_nothing_twice() {
    let place = place();
    let (first, second) = (task(&place, "WAIT one"), task(&place, "Two"));
    let begun = add(&place, &[&first]);
    add(&place, &[&second, "--after", begun["queue_id"].as_str().unwrap()]);
    let mut driver = place.command(&["queue", "run"]);
    let mut driver = driver.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until(|| key(&place, &first, "status").as_deref() == Some("running"));
    // Another one is put in beside it.
    let third = task(&place, "Three");
    add(&place, &[&third]);
    until(|| key(&place, &third, "status").as_deref() == Some("running") || !notes(&place, "result").is_empty());
    driver.kill().unwrap();
    driver.wait().unwrap();
    place.open_gate();
    let ran = place.enki(&["queue", "run"]);
    assert_eq!(code(&ran), 0, "{}", both(&ran));
    for note in [&first, &second, &third] {
        assert_eq!(key(&place, note, "status").as_deref(), Some("done"), "{}", text(&place, note));
    }
    assert_eq!(notes(&place, "result").len(), 3);
    assert_eq!(text(&place, "docs/log/activity.md").matches("\n## ").count(), 3);
    assert_eq!(entries(&place, &["--all"]).len(), 3);
}

#[test]
fn several_projects_are_driven_at_once_and_one_is_taken_over_when_its_driver_dies() {
    let (one, two) = (place(), place());
    let home = one.dir.path().join("home");
    let enki = |place: &Place, args: &[&str]| place.command(args).env("HOME", &home).output().unwrap();
    for (place, name) in [(&one, "one"), (&two, "two")] {
        let added = enki(place, &["projects", "add", "--name", name]);
        assert_eq!(code(&added), 0, "{}", both(&added));
    }
    let taken = enki(&two, &["projects", "add", "--name", "one"]);
    assert!(code(&taken) == 2 && both(&taken).contains("another project"), "{}", both(&taken));
    let unknown = enki(&one, &["--project", "three", "note", "Lost?"]);
    assert!(code(&unknown) == 9 && both(&unknown).contains("known are one, two"), "{}", both(&unknown));
    // Noted from here for there.
    let noted = enki(&one, &["--project", "two", "note", "The shop is slow"]);
    let path = String::from_utf8(noted.stdout).unwrap().trim_end().to_owned();
    assert!(two.root.join(&path).exists() && !one.root.join("docs").exists(), "{path}");
    let (waits, there) = (task(&one, "WAIT here"), task(&two, "There"));
    add(&one, &[&waits]);
    // One has a driver of its own.
    let mut driver = one.command(&["queue", "run"]);
    let mut driver = driver.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until(|| key(&one, &waits, "status").as_deref() == Some("running"));
    let mut up = one.command(&["up"]);
    let mut up = up.env("HOME", &home).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until(|| listens(&two));
    add(&two, &[&there]);
    until(|| key(&two, &there, "status").as_deref() == Some("done"));
    driver.kill().unwrap();
    driver.wait().unwrap();
    one.open_gate();
    until(|| key(&one, &waits, "status").as_deref() == Some("done"));
    rustix::process::kill_process(rustix::process::Pid::from_child(&up), rustix::process::Signal::INT).unwrap();
    assert_eq!(up.wait().unwrap().code(), Some(130));
    assert_eq!((notes(&one, "result").len(), notes(&two, "result").len()), (1, 1));
    assert_eq!(code(&enki(&one, &["projects", "remove", "two"])), 0);
    let listed = enki(&one, &["projects"]);
    assert!(both(&listed).contains("one") && !both(&listed).contains("two "), "{}", both(&listed));
}

#[test]
fn what_is_given_up_says_so_and_one_that_a_person_cancelled_is_not_started() {
    let place = place();
    let (later, never) = (task(&place, "Later"), task(&place, "Never"));
    add(&place, &[&later, "--at", "2999-01-01T00:00:00Z"]);
    assert_eq!(entries(&place, &[])[0]["status"], "waiting (time)");
    assert_eq!(entries(&place, &[])[0]["scheduled_at"], "2999-01-01T00:00:00Z");
    let gone = place.enki(&["queue", "cancel", &later]);
    assert_eq!(code(&gone), 0, "{}", both(&gone));
    assert_eq!(key(&place, &later, "status").as_deref(), Some("cancelled"));
    assert!(notes(&place, "issue").is_empty() && notes(&place, "result").len() == 1);
    let path = place.root.join(&never);
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("status: scheduled", "status: cancelled")).unwrap();
    let refused = place.enki(&["queue", "add", &never]);
    assert!(code(&refused) == 2 && both(&refused).contains("was cancelled"), "{}", both(&refused));
    assert_eq!(code(&place.enki(&["queue", "cancel", "abcdef"])), 9);
    assert_eq!(code(&place.enki(&["queue", "add", &later, "--after", "abcdef"])), 9);
    assert_eq!(code(&place.enki(&["queue", "add", "nothing-like-this"])), 9);
    assert_eq!(code(&place.enki(&["queue", "run"])), 0, "nothing is left to do");
}

/// Between note, task, entry and start: whatever is there is found, and what is missing is made.
#[test]
fn a_kill_at_any_moment_of_doing_it_all_at_once_is_made_good_by_the_same_command() {
    let place = place();
    let mut cut = 0;
    for n in 0..8_u64 {
        let noted = place.enki(&["note", &format!("The door {n} squeaks")]);
        let capture = String::from_utf8(noted.stdout).unwrap().trim_end().to_owned();
        let (tasks, all) = (notes(&place, "task").len(), entries(&place, &["--all"]).len());
        let mut run = place.command(&["promote", &capture, "--run"]);
        let mut run = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // The later ones go by what is there, since a start takes as long as the machine likes.
        match n {
            0..=3 => std::thread::sleep(Duration::from_millis(n * 15)),
            4 => until(|| notes(&place, "task").len() > tasks || run.try_wait().unwrap().is_some()),
            5 => until(|| key(&place, &capture, "task_note").is_some() || run.try_wait().unwrap().is_some()),
            6 => until(|| entries(&place, &["--all"]).len() > all || run.try_wait().unwrap().is_some()),
            _ => until(|| {
                let task = key(&place, &capture, "task_note");
                task.is_some_and(|task| key(&place, &task, "status").as_deref() == Some("running"))
                    || run.try_wait().unwrap().is_some()
            }),
        }
        cut += u32::from(run.try_wait().unwrap().is_none());
        run.kill().unwrap();
        run.wait().unwrap();
        let again = place.enki(&["promote", &capture, "--run"]);
        assert_eq!(code(&again), 0, "{n}: {}", both(&again));
        let task = key(&place, &capture, "task_note").unwrap();
        assert_eq!(key(&place, &task, "status").as_deref(), Some("done"), "{n}");
        assert_eq!(notes(&place, "task").len(), tasks + 1, "{n}: one task");
        assert_eq!(entries(&place, &["--all"]).len(), all + 1, "{n}: one entry");
        assert_eq!(notes(&place, "result").len(), tasks + 1, "{n}: one result");
    }
    assert!(cut >= 4, "{cut} were cut short");
    assert_eq!(git(&place.root, &["log", "--no-merges", "--format=%s", "main"]).lines().count(), 1 + 8);
}
