//! Budgets as whole runs: an agent that tells what it uses as Claude Code does, and what a person sees and does.

use crate::common::{Place, both, code};
use serde_json::{Value, json};
use std::fs;

/// Says what it used in two messages, then what all of it cost: 50 cents. In between it waits to be stopped, where the
/// project has a file that is called so.
const CLAUDE: &str = r#"#!/bin/sh
if [ "$1" = --version ]; then echo "2.1.197 (Claude Code)"; exit; fi
cat >/dev/null
piece() { echo '{"type":"stream_event","event":{"type":"message_delta","usage":{"input_tokens":'$1',"output_tokens":10}}}'; }
echo '{"type":"system","subtype":"init","session_id":"s"}'
piece 50
echo half >"half-$$.txt"
piece 60
if [ -e endless ]; then while :; do sleep 0.05; done; fi
echo '{"type":"result","subtype":"success","is_error":false,"result":"done","session_id":"s","total_cost_usd":'0.5',"usage":{"input_tokens":110,"output_tokens":20}}'
"#;

/// A project whose agent is that, in a folder of its own beside it.
fn place(settings: &str) -> Place {
    let place = Place::new();
    let claude = place.dir.path().join("claude");
    fs::write(&claude, CLAUDE).unwrap();
    std::process::Command::new("chmod").arg("+x").arg(&claude).status().unwrap();
    let agent = format!("[agent]\ncommand = {:?}\n", claude.to_str().unwrap());
    fs::write(place.root.join(".enki/enki.toml"), agent + settings).unwrap();
    place
}

fn plan(place: &Place, plan: &Value) -> String {
    fs::write(place.root.join("p.json"), plan.to_string()).unwrap();
    "p.json".to_owned()
}

fn step(id: &str, more: Value) -> Value {
    let mut step = json!({"id": id, "title": format!("Step {id}"), "description": "do it", "review": "none"});
    step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    step
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn an_execution_is_held_at_its_budget_and_goes_on_with_more() {
    let place = place("[budget]\ncost_usd = 0.5\n");
    let file = plan(&place, &json!({"steps": [step("a", json!({})), step("b", json!({"needs": ["a"]}))]}));
    let output = place.enki(&["run", &file]);
    let text = both(&output);
    assert_eq!(code(&output), 8, "{text}");
    assert_eq!(count(&text, "budget 95 %: $0.50 of $0.50 of the execution's budget are used"), 1, "{text}");
    assert_eq!(count(&text, " %: "), 1, "of shares that are reached at once the last is shown: {text}");
    let id = place.newest();
    let way = format!("enki resume {id} --budget-usd N");
    assert!(text.contains("waits: $0.50 of $0.50 of the execution's budget are used") && text.contains(&way), "{text}");
    let status = both(&place.enki(&["status", &id]));
    assert!(status.contains("budget    $0.50 of $0.50 (100 %)") && status.contains(&way), "{status}");
    let json = place.json(&["status", &id]);
    let budget = json!({"of": "execution", "unit": "usd", "used": 0.5, "limit": 0.5, "percent": 100});
    assert_eq!(json["budgets"], json!([budget]), "{json}");

    let again = place.enki(&["resume", &id]);
    assert!(code(&again) == 8 && !both(&again).contains("b started"), "nothing starts beyond it: {}", both(&again));
    let little = place.enki(&["resume", &id, "--budget-usd", "0.5"]);
    assert!(both(&little).contains("leave nothing"), "{}", both(&little));
    let more = place.enki(&["resume", &id, "--budget-usd", "2"]);
    assert_eq!(code(&more), 0, "{}", both(&more));
    assert!(both(&more).contains("the execution may use $2.00 now"), "{}", both(&more));
    let events = both(&place.enki(&["log", &id, "--json"]));
    for percent in [50, 80, 95] {
        let warned = format!("\"budget_warned\":{{\"percent\":{percent},");
        let wanted = if percent == 50 { 2 } else { 1 };
        assert_eq!(count(&events, &warned), wanted, "of 0.5 dollars, and half of 2, once each: {events}");
    }
}

#[test]
fn a_run_is_stopped_at_its_budget_and_the_retry_goes_on_with_its_work() {
    let place = place("");
    fs::write(place.root.join("endless"), "").unwrap();
    crate::common::git(&place.root, &["add", "."]);
    crate::common::git(&place.root, &["commit", "-qm", "endless"]);
    let budget = json!({"budget": {"run": {"tokens": 125}}});
    let output = place.enki(&["run", &plan(&place, &json!({"steps": [step("a", budget)]}))]);
    let text = both(&output);
    assert_eq!(code(&output), 7, "{text}");
    assert!(text.contains("130 of 125 tokens of the run's budget are used"), "{text}");
    let pinned = both(&place.enki(&["recover"]));
    assert!(pinned.contains("Step a") || pinned.contains(" a "), "its work is pinned: {pinned}");
    let task = place.json(&["status", &place.newest()])["steps"][0]["task"].as_str().unwrap().to_owned();
    assert!(text.contains(&format!("enki retry {task} --run-budget-tokens N")), "{text}");
    let shown = both(&place.enki(&["show", &task]));
    assert!(shown.contains("budget    130 of 125 tokens (104 %), each attempt"), "{shown}");
    let retried = place.enki(&["retry", &task, "--run-budget-tokens", "140"]);
    assert_eq!(code(&retried), 0, "{}", both(&retried));
    let again = both(&place.enki(&["log", &place.newest()]));
    assert!(again.contains("each run of a may use 140 tokens now") && again.contains("from what it had"), "{again}");
}
