//! Mail between agents: the binary, its socket and the real store.

use crate::common::{Place, both, code, until};
use crate::mcp::{Client, agents_client, is_free};
use serde_json::json;
use std::path::PathBuf;

/// Keeps what it was told, and how its tools are reached.
const AGENT: &str = r#"#!/bin/sh
cat >"$OUT/$ENKI_STEP_ID.prompt"
cp "$ENKI_MCP_CONFIG" "$OUT/$ENKI_STEP_ID.new" && mv "$OUT/$ENKI_STEP_ID.new" "$OUT/$ENKI_STEP_ID.json"
while [ ! -e "$GATE" ]; do sleep 0.02; done
echo x >"$ENKI_STEP_ID.txt"
"#;

fn place(settings: &str) -> (Place, PathBuf) {
    let place = Place::new();
    let out = place.dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    place.agent(AGENT);
    place.settings_with(&[("OUT", out.to_str().unwrap())], settings);
    (place, out)
}

#[test]
fn what_agents_write_to_each_other_outlives_a_kill_and_a_person_reads_it() {
    let (place, out) = place("[mail]\nenabled = true\n");
    let mut boss = Client::new(&place);
    assert!(boss.tools().iter().any(|tool| tool == "enki_mail_send"));
    let none = boss.refused("enki_mail_send", json!({"to": "@workers", "subject": "Hi", "body": "b"}));
    assert_eq!(none["code"], "INVALID_STATE", "nobody was ever there: {none}");
    let task = boss.call("enki_task_create", json!({"title": "Work", "description": "Do it."}));
    let (task, execution) = (task["task_id"].as_str().unwrap(), task["execution_id"].as_str().unwrap());
    until(|| out.join("task.json").exists());
    let prompt = std::fs::read_to_string(out.join("task.prompt")).unwrap();
    assert!(prompt.contains(&format!("your address is worker/{task}")), "{prompt}");
    let mut agent = agents_client(&out.join("task.json"));
    let ask = json!({"to": "coordinator", "subject": "Which \u{1b}[31mport?", "body": "80 or 8080?"});
    assert_eq!(agent.refused("enki_mail_send", ask)["code"], "VALIDATION_ERROR", "no terminal codes");
    let ask = json!({"to": "coordinator", "subject": "Which port?", "body": "80\nor 8080?", "msg_type": "request"});
    agent.call("enki_mail_send", ask);
    assert_eq!(boss.call("enki_status", json!({}))["unread"], 1);
    let answer = json!({"message_id": "msg-1", "body": "8080", "status": "completed"});
    assert_eq!(boss.call("enki_mail_reply", answer)["to"], format!("worker/{task}"));
    assert_eq!(agent.call("enki_worker_report", json!({"status": "reading"}))["unread"], 1);

    boss.server.0.kill().unwrap();
    boss.server.0.wait().unwrap();
    until(|| is_free(&place));
    let listed = place.enki(&["mail"]);
    let lines: Vec<String> = both(&listed).lines().map(str::to_owned).collect();
    assert!(lines[0].starts_with("msg-1 ") && lines[0].contains("(request completed): Which port?"), "{lines:?}");
    assert!(lines[1].contains(&format!("coordinator to worker/{task} (unread): Re: Which port?")), "{lines:?}");
    let thread = place.enki(&["mail", "msg-2"]);
    assert!(both(&thread).contains("\n  80\n  or 8080?\nmsg-2"), "{}", both(&thread));
    assert_eq!(place.json(&["mail"])["messages"][1]["body"], "8080");
    assert_eq!(code(&place.enki(&["mail", "msg-9"])), 9);
    assert_eq!(code(&place.enki(&["mail", "first"])), 2);

    // Without anybody driving: it is read from the store, and written under the lock.
    let mut boss = Client::new(&place);
    assert_eq!(boss.call("enki_mail_check", json!({}))["unread"], 0);
    let more = json!({"to": format!("worker/{task}"), "subject": "More", "body": "And TLS.", "thread_id": "msg-1"});
    assert_eq!(boss.call("enki_mail_send", more)["message_id"], "msg-3");
    assert!(is_free(&place), "nothing of that calls for a driver");
    let mut run = place.command(&["resume", execution]).stdout(std::process::Stdio::null()).spawn().unwrap();
    std::fs::remove_file(out.join("task.json")).unwrap();
    until(|| out.join("task.json").exists());
    let mut agent = agents_client(&out.join("task.json"));
    let inbox = agent.call("enki_mail_inbox", json!({}));
    assert_eq!((&inbox["unread"], &inbox["messages"][0]["subject"]), (&json!(2), &json!("More")), "the next attempt's");
    place.open_gate();
    assert!(run.wait().unwrap().success());
    let over = json!({"to": format!("worker/{task}"), "subject": "Late", "body": "b"});
    assert_eq!(boss.refused("enki_mail_send", over)["code"], "INVALID_STATE", "nobody works on it any more");
}

#[test]
fn it_is_off_unless_somebody_turns_it_on() {
    let (place, out) = place("");
    let mut boss = Client::new(&place);
    boss.call("enki_task_create", json!({"title": "Work", "description": "Do it."}));
    until(|| out.join("task.json").exists());
    assert!(!std::fs::read_to_string(out.join("task.prompt")).unwrap().contains("enki_mail"));
    let mut clients = [boss, agents_client(&out.join("task.json"))];
    for client in &mut clients {
        assert!(client.tools().iter().all(|tool| !tool.contains("mail")));
        assert_eq!(client.refused("enki_mail_inbox", json!({}))["code"], "NOT_ALLOWED");
    }
    let listed = place.enki(&["mail"]);
    assert!(code(&listed) == 0 && both(&listed).contains("mail.enabled"), "{}", both(&listed));
    place.open_gate();
}
