//! Notes and their queue over MCP, and prompts that are run by themselves: the real binary, git and store.

use crate::common::{Place, both, code, git, until};
use crate::mcp::{Client, on_main};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, Write};
use std::process::Stdio;

/// What it does stands in its prompt. Unless it is to be quiet, it writes a file.
const AGENT: &str = r##"#!/bin/sh
prompt=$(cat)
says() { case $prompt in *"$1"*) true ;; *) false ;; esac; }
if says "WAIT"; then echo "at work"; while [ ! -e "$GATE" ]; do sleep 0.02; done; fi
if says "BREAK"; then echo "it cannot be done" >&2; exit 3; fi
says "QUIET" || echo "x" >"file-$(echo "$ENKI_EXECUTION_ID" | tail -c 8).txt"
told=no; says "Change no file" && told=yes
printf '[OUTPUT]It is done by %s in %s, told: %s.[/OUTPUT]' "${ENKI_ROLE:-nobody}" "$ENKI_TIER" "$told"
"##;

fn place() -> Place {
    let place = Place::new();
    place.agent(AGENT);
    place
}

fn notes(place: &Place, kind: &str) -> Vec<String> {
    let Ok(all) = fs::read_dir(place.root.join("docs/log").join(kind)) else { return Vec::new() };
    all.map(|entry| format!("docs/log/{kind}/{}", entry.unwrap().file_name().display())).collect()
}

fn text(place: &Place, path: &str) -> String {
    fs::read_to_string(place.root.join(path)).unwrap()
}

fn has(place: &Place, path: &str, line: &str) -> bool {
    text(place, path).lines().any(|own| own == line)
}

/// A server in that project, for a person with that home.
fn server(place: &Place, home: &Place) -> Client {
    let mut command = place.command(&["mcp"]);
    command.env("HOME", home.dir.path().join("home"));
    Client::of(command)
}

/// Two projects of one person, whose home is the first one's.
fn two() -> (Place, Place) {
    let (one, two) = (place(), place());
    for (place, name) in [(&one, "one"), (&two, "two")] {
        let mut add = place.command(&["projects", "add", "--name", name]);
        let added = add.env("HOME", one.dir.path().join("home")).output().unwrap();
        assert_eq!(code(&added), 0, "{}", both(&added));
    }
    (one, two)
}

/// Begins a call that waits.
pub(crate) fn begin(client: &mut Client, tool: &str, arguments: &Value) {
    begin_as(client, "w", tool, arguments);
}

fn begin_as(client: &mut Client, id: &str, tool: &str, arguments: &Value) {
    let params = json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": "p"}});
    writeln!(client.input, "{}", json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params}))
        .unwrap();
}

/// What came of it, and whether progress was told before.
pub(crate) fn ended(client: &mut Client) -> (Value, bool) {
    let mut progress = false;
    loop {
        let mut line = String::new();
        client.output.read_line(&mut line).unwrap();
        let mut said: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        if said["id"] == "w" {
            return (said["result"].take(), progress);
        }
        assert_eq!(said["method"], "notifications/progress", "{said}");
        progress = true;
    }
}

pub(crate) fn interrupt(child: &std::process::Child) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), rustix::process::Signal::INT).unwrap();
}

pub(crate) fn run(place: &Place, args: &[&str]) -> std::process::Child {
    place.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn listens(place: &Place) -> bool {
    std::os::unix::net::UnixStream::connect(place.root.join(".enki/enki.sock")).is_ok()
}

#[test]
fn a_coordinator_files_promotes_schedules_and_traces_in_any_project() {
    let (one, two) = two();
    let mut client = server(&one, &one);
    let projects = client.call("enki_projects", json!({}));
    let known: Vec<(&Value, &Value)> =
        projects["projects"].as_array().unwrap().iter().map(|one| (&one["id"], &one["current"])).collect();
    assert_eq!(known, [(&json!("one"), &json!(true)), (&json!("two"), &json!(false))]);
    let unknown = client.refused("enki_note", json!({"text": "Lost?", "project_id": "three"}));
    assert_eq!((&unknown["code"], &unknown["candidates"]), (&json!("NOT_FOUND"), &json!(["one", "two"])));

    let there = client.call("enki_note", json!({"text": "The shop is broken", "project_id": "two"}));
    let path = there["path"].as_str().unwrap();
    assert!(has(&two, path, "source: conversation") && path.starts_with("docs/log/issue/"), "{}", text(&two, path));
    assert!(!one.root.join("docs").exists(), "nothing of it is here");
    let found = client.call("enki_note_resolve", json!({"id": there["capture_id"]}));
    assert_eq!((&found["project"], &found["kind"], &found["status"]), (&json!("two"), &json!("issue"), &json!("open")));

    // The task is in the other project, which nobody drives.
    let task = client.call("enki_promote", json!({"source": there["capture_id"], "tier": "light"}));
    assert_eq!((&task["project"], &task["known"]), (&json!("two"), &json!(false)));
    assert_eq!(client.call("enki_promote", json!({"source": path}))["known"], true);
    let task_path = task["task_path"].as_str().unwrap();
    assert_eq!(client.refused("enki_promote", json!({"source": task_path}))["code"], "VALIDATION_ERROR");
    let later = json!({"task_path": task_path, "project": "two", "scheduled_at": "2999-01-01T00:00:00Z"});
    let waits = client.call("enki_schedule", later.clone());
    assert!(waits["notes"].to_string().contains("nobody drives two"), "{waits}");
    assert_eq!(client.call("enki_schedule", later)["known"], true);
    let listed = client.call("enki_queue_list", json!({"project": "two", "query": "SHOP", "since": "1d"}));
    assert_eq!((&listed["total"], &listed["entries"][0]["status"]), (&json!(1), &json!("waiting (time)")));
    assert_eq!(listed["entries"][0]["tiers"], json!(["light"]));
    assert_eq!(client.call("enki_queue_list", json!({}))["total"], 0, "here is nothing");
    assert_eq!(client.refused("enki_queue_list", json!({"since": "soon"}))["code"], "VALIDATION_ERROR");
    assert!(!listens(&one), "for that nobody had to drive this one");
    for _ in 0..2 {
        assert_eq!(client.call("enki_queue_cancel", json!({"queue_id": waits["queue_id"]}))["status"], "cancelled");
    }
    assert!(has(&two, task_path, "status: cancelled"));
    assert_eq!(client.call("enki_queue_list", json!({"project": "two", "status": "cancelled"}))["total"], 1);

    // Here, and waited for.
    let here = client.call("enki_note", json!({"text": "Mend the till", "project_id": ".", "kind": "task"}));
    let path = here["path"].as_str().unwrap().to_owned();
    let after = json!({"task_path": path, "project": "one", "after": "abcdef"});
    assert_eq!(client.refused("enki_schedule", after)["code"], "NOT_FOUND");
    begin(&mut client, "enki_execute", &json!({"task_path": path}));
    let (mut result, progress) = ended(&mut client);
    assert!(progress && result["isError"] == false, "{result}");
    let ran = result["structuredContent"].take();
    assert_eq!(
        (&ran["status"], &ran["output"]),
        (&json!("done"), &json!("It is done by nobody in standard, told: no."))
    );
    let [result] = &notes(&one, "result")[..] else { panic!() };
    assert_eq!(ran["result_paths"], json!([result]));
    assert_eq!(on_main(&one).lines().count(), 1, "{}", on_main(&one));
    let chain = client.call("enki_trace", json!({"id": ran["queue_id"]}));
    assert_eq!(
        (&chain["chain"]["task"]["path"], &chain["chain"]["results"][0]["path"]),
        (&json!(path), &json!(result))
    );
    let tail = client.call("enki_tail", json!({"task_path": path, "follow": true}));
    assert!(tail["lines"].to_string().contains("landed") && tail["lines"].to_string().contains("It is done"), "{tail}");
    let done = client.call("enki_queue_list", json!({"status": "done"}));
    let entry = &done["entries"][0];
    assert!(entry["started_at"].is_string() && entry["finished_at"].is_string(), "{entry}");
    assert_eq!((&entry["result_notes"], &entry["steps"]), (&json!([result]), &json!(1)));

    // In a project that nobody drives it is driven as long as it is waited for.
    let there = client.call("enki_note", json!({"text": "Mend the door", "project_id": "two", "kind": "task"}));
    let path = two.root.join(there["path"].as_str().unwrap());
    begin(&mut client, "enki_execute", &json!({"task_path": path}));
    let (result, _) = ended(&mut client);
    assert_eq!(result["structuredContent"]["status"], "done", "{result}");
    assert!(!listens(&two) && on_main(&two).lines().count() == 1, "{}", on_main(&two));
    // Also a commit is found in whichever project it is.
    let landed = git(&two.root, &["rev-parse", "--short=12", "main"]);
    let chain = client.call("enki_trace", json!({"id": landed.trim()}));
    assert_eq!((&chain["project"], &chain["chain"]["others"]), (&json!("two"), &json!([])), "{chain}");
    assert_eq!(chain["chain"]["results"][0]["path"], result["structuredContent"]["result_paths"][0], "{chain}");
    assert_eq!(client.refused("enki_trace", json!({"id": "0123456789"}))["code"], "NOT_FOUND");
    assert_eq!(client.leave(), 0);
}

#[test]
fn what_is_started_by_one_call_is_a_note_a_task_and_an_entry() {
    let place = place();
    let mut client = Client::new(&place);
    let later = json!({"text": "WAIT", "project_id": ".", "auto_dispatch": true, "after": "abcdef"});
    let refused = client.refused("enki_note", later);
    assert!(refused["code"] == "VALIDATION_ERROR" && refused["hint"].as_str().unwrap().contains("enki_schedule"));
    assert!(!place.root.join("docs").exists(), "nothing was written");
    let begun =
        client.call("enki_note", json!({"text": "WAIT, the door squeaks", "project_id": ".", "auto_dispatch": true}));
    let [capture, task] = [&begun["path"], &begun["task_paths"][0]].map(|path| path.as_str().unwrap().to_owned());
    assert!(has(&place, &capture, "status: promoted") && has(&place, &capture, &format!("task_note: {task}")));
    assert!(has(&place, &task, &format!("source_note: {capture}")));
    until(|| has(&place, &task, "status: running"));
    let running = client.call("enki_queue_list", json!({}));
    assert_eq!(
        (&running["entries"][0]["queue_id"], &running["entries"][0]["tiers"]),
        (&begun["queue_id"], &json!(["heavy"]))
    );
    place.open_gate();
    client.until("enki_queue_list", &json!({"status": "done"}), |seen| seen["total"] == 1);
    until(|| has(&place, &capture, "status: resolved"));
    // Several that an agent puts in at once wait for the person.
    let tasks: Vec<Value> = ["One", "Two"]
        .map(|text| client.call("enki_note", json!({"text": text, "project_id": ".", "kind": "task"}))["path"].take())
        .into();
    let held = client.call("enki_schedule", json!({"task_path": tasks, "project": "."}));
    assert_eq!((&held["status"], &held["task_paths"]), (&json!("held"), &json!(tasks)));
    client.call("enki_resume", json!({"execution_id": held["execution_id"], "answer": "reject"}));
    until(|| has(&place, tasks[0].as_str().unwrap(), "status: cancelled"));
    // An idea of the backlog is a note like any other.
    let idea = client.call("enki_backlog_add", json!({"body": "A bell"}));
    let found = client.call("enki_note_resolve", json!({"id": idea["item"]["id"]}));
    assert_eq!((&found["path"], &found["kind"]), (&idea["item"]["note"], &json!("idea")));
    let task = client.call("enki_promote", json!({"source": idea["item"]["id"]}));
    let picked = client.call("enki_backlog_pick", json!({"id": idea["item"]["id"]}));
    assert_eq!(picked["task_note"], task["task_path"], "it is the same task");
    let chain = client.call("enki_trace", json!({"id": idea["item"]["note"]}));
    assert_eq!(chain["chain"]["entries"].as_array().unwrap().len(), 1, "{chain}");
    assert_eq!(client.leave(), 0);
}

#[test]
fn a_note_that_is_run_at_a_terminal_is_driven_to_its_end_and_says_what_was_raised() {
    let place = place();
    for args in
        [&["note", "x", "--run", "--after", "abcdef"][..], &["note", "x", "--run", "--at", "2999-01-01T00:00:00Z"]]
    {
        let refused = place.enki(args);
        assert!(code(&refused) == 2 && both(&refused).contains("enki_schedule"), "{}", both(&refused));
    }
    assert!(!place.root.join("docs").exists(), "nothing was written");
    let ran = place.enki(&["note", "--run", "The door squeaks"]);
    assert_eq!(code(&ran), 0, "{}", both(&ran));
    let shown = String::from_utf8(ran.stdout).unwrap();
    let [note, task, entry] = &shown.lines().collect::<Vec<_>>()[..] else { panic!("{shown}") };
    assert!(has(&place, note, "status: resolved") && has(&place, task, "status: done") && entry.starts_with("exec-"));
    let all = place.json(&["queue", "list", "--status", "done"]);
    assert_eq!(all["entries"][0]["tiers"], json!(["heavy"]), "nobody has looked at how much it is");

    let noted = place.enki(&["note", "A typo in .github/workflows/ci.yml"]);
    let noted = String::from_utf8(noted.stdout).unwrap();
    let ran = place.enki(&["promote", noted.trim(), "--tier", "light", "--run"]);
    let said = both(&ran);
    assert!(code(&ran) == 0 && said.contains("raised from light to standard"), "{said}");
    assert!(said.contains(".github/workflows/ci.yml"), "{said}");
    assert_eq!(place.json(&["queue", "list", "--all"])["entries"][0]["tiers"], json!(["standard"]));
    let failed = place.enki(&["note", "--run", "BREAK the door", "--model", "haiku"]);
    assert_eq!(code(&failed), 7, "{}", both(&failed));
    assert_eq!(place.json(&["queue", "list", "--status", "failed"])["entries"][0]["tiers"], json!(["light"]));
}

#[test]
fn a_prompt_changes_no_file_unless_it_may_write() {
    let place = place();
    let ran = place.enki(&["queue", "prompt", "QUIET, count the files"]);
    assert_eq!(code(&ran), 0, "{}", both(&ran));
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "It is done by answerer in standard, told: yes.\n");
    // An agent that writes all the same: nothing of it counts, and it is said.
    let wrote = place.enki(&["queue", "prompt", "Count the files", "--model", "opus"]);
    assert!(code(&wrote) == 7 && both(&wrote).contains("changed what it may not: file-"), "{}", both(&wrote));
    assert_eq!((on_main(&place).as_str(), git(&place.root, &["status", "--porcelain"]).as_str()), ("", ""));
    assert!(!git(&place.root, &["log", "--all", "--format=", "--name-only", "--", "file-*"]).contains("file-"));
    let twice = place.json(&["queue", "list", "--all"]);
    assert_eq!((&twice["entries"][0]["tiers"], twice["entries"].as_array().unwrap().len()), (&json!(["heavy"]), 2));

    let mut client = Client::new(&place);
    begin(&mut client, "enki_run_prompt", &json!({"project": ".", "prompt": "Count the files"}));
    let (result, _) = ended(&mut client);
    let ran = &result["structuredContent"];
    assert_eq!((&result["isError"], &ran["status"]), (&json!(false), &json!("failed")), "{result}");
    assert!(ran["reasons"].to_string().contains("may change no file"), "{ran}");
    assert_eq!(on_main(&place), "");
    begin(&mut client, "enki_run_prompt", &json!({"project": ".", "prompt": "Write a file", "write": true}));
    let (result, progress) = ended(&mut client);
    let ran = &result["structuredContent"];
    assert_eq!((&ran["output"], progress), (&json!("It is done by nobody in standard, told: no."), true), "{result}");
    assert_eq!(on_main(&place).lines().count(), 1, "{}", on_main(&place));
    let own = place.dir.path().join("home/.enki/roles");
    fs::create_dir_all(&own).unwrap();
    let role = "name = \"answerer\"\nlabel = \"A\"\ndescription = \"d\"\nsystem_prompt = \"s\"\n";
    fs::write(own.join("answerer.toml"), role).unwrap();
    let refused = place.enki(&["queue", "prompt", "QUIET"]);
    assert!(code(&refused) == 2 && both(&refused).contains("can_edit = false"), "{}", both(&refused));
}

#[test]
fn whoever_waits_and_leaves_gives_up_what_they_waited_for() {
    let place = place();
    // At a terminal.
    let mut prompt =
        place.command(&["queue", "prompt", "WAIT"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let is = |status: &str| place.json(&["queue", "list", "--status", status])["entries"] != json!([]);
    until(|| is("running"));
    interrupt(&prompt);
    assert_eq!(prompt.wait().unwrap().code(), Some(130));
    assert!(is("cancelled") && !is("active") && !listens(&place));

    // Beside a driver, by a client that says so; other calls go on meanwhile.
    let task = place.enki(&["note", "--kind", "task", "WAIT more"]);
    let task = String::from_utf8(task.stdout).unwrap().trim_end().to_owned();
    place.json(&["queue", "add", &task, "--at", "2999-01-01T00:00:00Z"]);
    let mut driver = run(&place, &["queue", "run"]);
    until(|| listens(&place));
    let mut client = Client::new(&place);
    begin(&mut client, "enki_run_prompt", &json!({"project": ".", "prompt": "WAIT here"}));
    let mut line = String::new();
    client.output.read_line(&mut line).unwrap();
    assert!(line.contains("notifications/progress"), "{line}");
    let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "w"}});
    writeln!(client.input, "{cancelled}").unwrap();
    until(|| place.json(&["queue", "list", "--query", "WAIT here", "--status", "cancelled"])["entries"] != json!([]));
    // And by one that dies.
    begin_as(&mut client, "x", "enki_run_prompt", &json!({"project": ".", "prompt": "WAIT there"}));
    until(|| place.json(&["queue", "list", "--query", "WAIT there", "--status", "running"])["entries"] != json!([]));
    drop(client);
    until(|| place.json(&["queue", "list", "--query", "WAIT there", "--status", "cancelled"])["entries"] != json!([]));
    assert!(listens(&place), "whoever drives goes on");
    interrupt(&driver);
    driver.wait().unwrap();

    // One that leaves while its own server drives.
    let mut client = Client::new(&place);
    begin(&mut client, "enki_run_prompt", &json!({"project": ".", "prompt": "WAIT alone"}));
    until(|| place.json(&["queue", "list", "--query", "WAIT alone", "--status", "running"])["entries"] != json!([]));
    assert_eq!(client.leave(), 0);
    assert_eq!(place.json(&["queue", "list", "--query", "WAIT alone", "--all"])["entries"][0]["status"], "cancelled");
}

#[test]
fn a_task_that_is_waited_for_goes_on_when_its_driver_dies() {
    let place = place();
    let noted = |text: &str| {
        let noted = place.enki(&["note", "--kind", "task", text]);
        String::from_utf8(noted.stdout).unwrap().trim_end().to_owned()
    };
    let (first, second) = (noted("WAIT first"), noted("WAIT second"));
    place.json(&["queue", "add", &first]);
    let mut driver = run(&place, &["queue", "run"]);
    until(|| has(&place, &first, "status: running"));
    let mut client = Client::new(&place);
    begin(&mut client, "enki_execute", &json!({"task_path": second}));
    until(|| has(&place, &second, "status: running"));
    driver.kill().unwrap();
    driver.wait().unwrap();
    place.open_gate();
    let (result, _) = ended(&mut client);
    assert_eq!(result["structuredContent"]["status"], "done", "{result}");
    assert!(has(&place, &second, "status: done"));
    assert_eq!(place.json(&["queue", "list", "--all"])["entries"].as_array().unwrap().len(), 2, "nothing ran twice");
    drop(client);
    let rest = place.enki(&["queue", "run"]);
    assert_eq!(code(&rest), 0, "{}", both(&rest));
    assert_eq!(notes(&place, "result").len(), 2);
}
