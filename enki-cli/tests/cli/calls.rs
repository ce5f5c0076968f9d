//! `enki_call`, edits and refusals through the binary: a real workspace of git, a real agent's own server.

use crate::common::{Place, both, until};
use crate::mcp::{Client, agents_client, is_free, on_main};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Leaves a change, keeps how its tools are reached, and waits.
const AGENT: &str = r#"#!/bin/sh
cat >/dev/null
printf 'one\ntwo\n' >new.txt
pwd >"$OUT/pwd"
cp "$ENKI_MCP_CONFIG" "$OUT/config.new" && mv "$OUT/config.new" "$OUT/config.json"
while [ ! -e "$GATE" ]; do sleep 0.02; done
"#;

struct Scene {
    place: Place,
    boss: Client,
    agent: Client,
    task: String,
    work: PathBuf,
}

fn scene() -> Scene {
    let place = Place::new();
    let out = place.dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    place.agent(AGENT);
    place.settings_with(&[("OUT", out.to_str().unwrap())], "");
    let mut boss = Client::new(&place);
    let made = boss.call("enki_task_create", json!({"title": "Work", "description": "Do it."}));
    until(|| out.join("config.json").exists());
    let work = std::fs::read_to_string(out.join("pwd")).unwrap().trim().into();
    let agent = agents_client(&out.join("config.json"));
    Scene { place, boss, agent, task: made["task_id"].as_str().unwrap().to_owned(), work }
}

/// The envelope of a call, whatever became of it.
fn call(client: &mut Client, call: &Value) -> Value {
    client.request("tools/call", json!({"name": "enki_call", "arguments": call}))["structuredContent"].take()
}

#[test]
fn a_diff_of_the_workspace_is_the_agents_and_the_coordinators_alike() {
    let Scene { place, mut boss, mut agent, task, work } = scene();
    let input = json!({"patch": true});
    let own = call(&mut agent, &json!({"tool": "git.diff", "input": input}));
    assert_eq!((&own["ok"], &own["data"]["files"][0]["path"]), (&json!(true), &json!("new.txt")), "{own}");
    assert!(own["data"]["patch"].as_str().unwrap().contains("+one\n+two\n"), "{own}");
    assert_eq!(Path::new(own["taskContext"]["worktree"].as_str().unwrap()), work);
    let seen = call(&mut boss, &json!({"tool": "git.diff", "input": input, "taskSession": task}));
    assert_eq!(seen["data"], own["data"]);
    let none = call(&mut boss, &json!({"tool": "git.diff"}));
    assert_eq!((&none["code"], &none["exitCode"]), (&json!("TASK_SESSION_REQUIRED"), &json!(2)), "{none}");
    let tools = agent.call("enki_tools", json!({}));
    assert!(tools["tools"].as_array().unwrap().iter().any(|tool| tool["tool"] == "git.diff"));
    place.open_gate();
    boss.status(&place.newest(), "done");
    until(|| is_free(&place));
    // With nobody driving what is stored is looked at: the task's workspace has gone with its end.
    let late = call(&mut boss, &json!({"tool": "git.diff", "taskSession": task}));
    assert!(["TASK_SESSION_NOT_FOUND", "OK"].contains(&late["code"].as_str().unwrap()), "{late}");
    let traces = call(&mut boss, &json!({"tool": "trace.search", "input": {"tool": "git.diff"}}));
    assert!(traces["data"]["traces"].as_array().unwrap().len() >= 3, "{traces}");
    assert!(traces["data"]["traces"].as_array().unwrap().iter().any(|trace| trace["id"] == own["traceId"]));
}

#[test]
fn bad_input_42_a_refused_call_is_recorded_where_a_person_sees_it() {
    let Scene { place, mut boss, mut agent, task, .. } = scene();
    assert_eq!(agent.refused("enki_stop_all", json!({"role": "coordinator"}))["code"], "NOT_ALLOWED");
    let blocked = call(&mut agent, &json!({"tool": "git.diff", "input": {"files": ["../x\u{1b}[31m"]}}));
    assert_eq!((&blocked["code"], &blocked["exitCode"]), (&json!("SAFETY_BLOCKED"), &json!(-1)));
    for id in [task.clone(), place.newest()] {
        let shown = both(&place.enki(&["show", &id]));
        assert!(shown.contains("refused calls\n"), "{shown}");
        assert!(shown.contains("enki_stop_all: NOT_ALLOWED enki_stop_all is not for a worker (attempt 1)"), "{shown}");
        assert!(shown.contains("git.diff: SAFETY_BLOCKED") && !shown.contains('\u{1b}'), "{shown}");
    }
    let listed = place.json(&["show", &task])["refused_calls"].clone();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["tool"]), (2, &json!("enki_stop_all")));
    let status = boss.call("enki_status", json!({}));
    assert_eq!(status["executions"][0]["status"], "running", "nothing was stopped");
    place.open_gate();
    boss.status(&place.newest(), "done");
    let late = agent.refused("enki_worker_report", json!({"status": "still here"}));
    // Whoever drove may end in that very moment.
    assert!(["NOT_ALLOWED", "STALE", "UNAVAILABLE", "LOCKED"].contains(&late["code"].as_str().unwrap()), "{late}");
}

#[test]
fn bad_input_46_an_agent_edits_its_files_and_none_beyond_its_workspace() {
    let Scene { place, mut boss, mut agent, work, .. } = scene();
    std::fs::write(place.root.join("mine.txt"), "the person's\n").unwrap();
    std::os::unix::fs::symlink(&place.root, work.join("out")).unwrap();
    let before = persons_files(&place);
    for path in [
        "../../../mine.txt",
        "out/mine.txt",
        place.root.join("mine.txt").to_str().unwrap(),
        ".git/config",
        "/proc/self/root/etc/x",
        "file:///etc/x",
        "a\0b",
        "../../enki.db",
    ] {
        let refused = agent.refused("enki_edit_file", json!({"path": path, "content": "theirs\n"}));
        assert_eq!(refused["code"], "SAFETY_BLOCKED", "{path}: {refused}");
    }
    let tried = place.json(&["show", &place.newest()])["refused_calls"].clone();
    let is_edit = |call: &Value| call["tool"] == "enki_edit_file" && call["code"] == "SAFETY_BLOCKED";
    assert_eq!(tried.as_array().unwrap().iter().filter(|call| is_edit(call)).count(), 8, "a person sees it: {tried}");
    assert_eq!(persons_files(&place), before);
    assert_eq!(std::fs::read_to_string(place.root.join("mine.txt")).unwrap(), "the person's\n");
    std::fs::remove_file(work.join("out")).unwrap();

    let refused = agent.refused("enki_edit_file", json!({"path": "new.txt", "content": "1:00|one\nmore"}));
    let text = format!("{}{}", refused["message"], refused["hint"]);
    let anchor =
        text.split("\\n").find_map(|line| line.trim_start().strip_prefix("1:")).unwrap_or_else(|| panic!("{text}"));
    let edit = json!({"path": "new.txt", "content": format!("1:{}|\nmore", &anchor[..2])});
    assert_eq!(agent.call("enki_edit_file", edit)["lines"], 3);
    agent.call("enki_edit_file", json!({"path": "src/made.txt", "content": "made\n"}));
    assert_eq!(std::fs::read_to_string(work.join("new.txt")).unwrap(), "one\nmore\ntwo\n");
    place.open_gate();
    boss.status(&place.newest(), "done");
    let main = on_main(&place);
    assert!(main.contains("src/made.txt") && main.contains("new.txt") && !main.contains("mine.txt"), "{main}");
}

/// The files at the top of the person's folder and of their git directory, with their sizes.
fn persons_files(place: &Place) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for folder in [place.root.clone(), place.root.join(".git")] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                found.push((entry.path(), entry.metadata().unwrap().len()));
            }
        }
    }
    found.sort();
    found
}
