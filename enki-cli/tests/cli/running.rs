//! Entries that are at work: followed, waited for and given up, with the real binary, git and store.

use crate::common::{Place, both, code, git, until};
use crate::mcp::Client;
use crate::queue::{AGENT, add, entries, key, listens, notes, place, task};
use crate::worklog::{begin, ended, interrupt, run};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};

/// A driver that goes on, since something has its time much later.
fn driver(place: &Place) -> Child {
    let later = task(place, "Later");
    add(place, &[&later, "--at", "2999-01-01T00:00:00Z"]);
    let driver = run(place, &["queue", "run"]);
    until(|| listens(place));
    driver
}

fn end(mut driver: Child) {
    interrupt(&driver);
    driver.wait().unwrap();
}

fn is(place: &Place, note: &str, status: &str) -> bool {
    key(place, note, "status").as_deref() == Some(status)
}

#[test]
fn who_follows_an_entry_at_work_hears_of_it_to_its_end_and_no_further() {
    let place = place();
    let waits = task(&place, "WAIT for it");
    add(&place, &[&waits]);
    let driver = driver(&place);
    until(|| is(&place, &waits, "running"));
    let mut tail = place.command(&["queue", "tail", &waits, "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(tail.stdout.take().unwrap());
    let mut heard = String::new();
    while !heard.contains("started") {
        assert_ne!(output.read_line(&mut heard).unwrap(), 0, "{heard}");
    }
    assert!(tail.try_wait().unwrap().is_none() && !heard.contains("landed"), "{heard}");
    place.open_gate();
    output.read_to_string(&mut heard).unwrap();
    assert_eq!(tail.wait().unwrap().code(), Some(0), "{heard}");
    assert!(heard.contains("landed") && heard.trim_end().ends_with("done"), "{heard}");
    assert!(listens(&place), "whoever drives goes on");
    end(driver);
}

#[test]
fn a_client_that_follows_an_entry_at_work_is_answered_when_it_has_ended() {
    let place = place();
    let mut client = Client::new(&place);
    let noted = client.call("enki_note", json!({"text": "WAIT for it", "project_id": ".", "kind": "task"}));
    let path = noted["path"].as_str().unwrap().to_owned();
    let entry = client.call("enki_schedule", json!({"task_path": path, "project": "."}));
    until(|| is(&place, &path, "running"));
    begin(&mut client, "enki_tail", &json!({"queue_id": entry["queue_id"], "follow": true}));
    // Other calls are answered meanwhile; this one is not.
    let list = json!({"name": "enki_queue_list", "arguments": {"status": "running"}});
    writeln!(client.input, "{}", json!({"jsonrpc": "2.0", "id": "n", "method": "tools/call", "params": list})).unwrap();
    loop {
        let mut line = String::new();
        client.output.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        assert_ne!(said["id"], "w", "{said}");
        if said["id"] == "n" {
            assert_eq!(said["result"]["structuredContent"]["total"], 1, "{said}");
            break;
        }
    }
    place.open_gate();
    let (result, _) = ended(&mut client);
    let told = &result["structuredContent"];
    assert_eq!((&told["status"], &told["queue_id"]), (&json!("done"), &entry["queue_id"]), "{result}");
    assert!(told["lines"].to_string().contains("landed") && told["lines"].to_string().contains("It is done"), "{told}");
    assert_eq!(client.leave(), 0);
}

#[test]
fn an_entry_at_work_is_given_up_with_its_processes_and_what_it_made_is_kept() {
    let place = place();
    let script = "echo half >half.txt; sleep 600 & echo $$ $! >\"$GATE.part\"; mv \"$GATE.part\" \"$GATE.pids\"; wait";
    place.agent(&AGENT.replace("echo hangs; sleep 600", script));
    let hangs = task(&place, "HANG");
    let id = add(&place, &[&hangs])["queue_id"].as_str().unwrap().to_owned();
    let driver = driver(&place);
    let file = place.dir.path().join("gate.pids");
    until(|| file.exists() && is(&place, &hangs, "running"));
    let pids = fs::read_to_string(&file).unwrap();
    let lives = |pid: &str| Path::new("/proc").join(pid).exists();
    assert!(pids.split_whitespace().count() == 2 && pids.split_whitespace().all(lives), "{pids}");
    let given_up = place.enki(&["queue", "cancel", &hangs]);
    assert_eq!(code(&given_up), 0, "{}", both(&given_up));
    until(|| !pids.split_whitespace().any(lives));
    until(|| is(&place, &hangs, "cancelled") && notes(&place, "result").len() == 1);
    assert_eq!(entries(&place, &["--status", "cancelled"]).len(), 1);
    // It did not fail: nobody has to look.
    assert!(notes(&place, "issue").is_empty());
    until(|| git(&place.root, &["log", "--all", "--format=", "--name-only"]).contains("half.txt"));
    assert_eq!(git(&place.root, &["ls-tree", "--name-only", "main"]), "");
    // Again it is the same, and nothing more is written.
    let before = fs::read(place.root.join(&hangs)).unwrap();
    for name in [&hangs, &id] {
        let again = place.enki(&["queue", "cancel", name, "--json"]);
        assert!(code(&again) == 0 && both(&again).contains("\"cancelled\""), "{}", both(&again));
    }
    assert_eq!((fs::read(place.root.join(&hangs)).unwrap(), notes(&place, "result").len()), (before, 1));
    end(driver);
}

#[test]
fn a_task_that_is_executed_is_waited_for_and_given_up_by_who_leaves() {
    let place = place();
    let one = task(&place, "Mend it");
    let done = place.enki(&["queue", "execute", &one]);
    let printed = String::from_utf8_lossy(&done.stdout);
    assert!(code(&done) == 0 && printed.starts_with("It is done.\n"), "{}", both(&done));
    let [result] = &notes(&place, "result")[..] else { panic!("{:?}", notes(&place, "result")) };
    assert!(String::from_utf8_lossy(&done.stderr).contains(result), "{}", both(&done));
    assert!(is(&place, &one, "done") && !listens(&place));
    let bad = place.enki(&["queue", "execute", &task(&place, "BREAK it"), "--json"]);
    let told: Value = serde_json::from_slice(&bad.stdout).unwrap();
    assert_eq!((code(&bad), &told["status"], told["results"].as_array().unwrap().len()), (7, &json!("failed"), 1));
    let waits = task(&place, "WAIT for it");
    let mut execute = run(&place, &["queue", "execute", &waits]);
    until(|| is(&place, &waits, "running"));
    interrupt(&execute);
    assert_eq!(execute.wait().unwrap().code(), Some(130));
    assert!(is(&place, &waits, "cancelled") && entries(&place, &[]).is_empty() && !listens(&place));
}
