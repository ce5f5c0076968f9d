//! What steers work that is there, and what agents say of it.

use crate::world::{Client, World, office, token};
use enki_core::advice::approval::Preset;
use enki_core::agent::{AgentEnd, AgentExit};
use enki_core::engine::Engine;
use enki_core::id::{ExecutionId, TaskId};
use enki_core::tier::Purpose;
use enki_testkit::fakes::Script;
use serde_json::{Value, json};

fn task(id: ExecutionId, step: &str) -> String {
    TaskId::of(id, &step.parse().unwrap()).to_string()
}

#[tokio::test(start_paused = true)]
async fn pause_names_what_drains_and_resume_clears_it() {
    let (enki, id) = World::new().half_done().await;
    let mut client = Client::new(&enki).await;
    let (text, paused) = client.call("enki_pause", json!({"execution_id": id.hex()})).await;
    assert_eq!(paused, json!({"execution_id": id.hex(), "status": "paused", "draining": ["b"]}));
    assert_eq!(text, format!("{} is paused; 1 step still running: b", id.hex()));
    client.call("enki_pause", json!({"execution_id": id.hex()})).await;
    let (_, resumed) = client.call("enki_resume", json!({"execution_id": id.short()})).await;
    assert_eq!(resumed["status"], "running");

    let (_, paused) = client.call("enki_pause", json!({"execution_id": id.hex(), "step_id": task(id, "d")})).await;
    assert_eq!((&paused["status"], &paused["draining"]), (&json!("running"), &json!([])));
    let (_, list) = client.call("enki_task_list", json!({"status": "paused"})).await;
    assert_eq!(list["tasks"][0]["step"], "d");
    client.call("enki_resume", json!({"execution_id": id.hex(), "step_id": "d"})).await;
    let (_, list) = client.call("enki_task_list", json!({"status": "paused"})).await;
    assert_eq!(list["total"], 0);
}

#[tokio::test(start_paused = true)]
async fn cancel_names_what_it_gave_up_and_is_idempotent() {
    let (enki, id) = World::new().half_done().await;
    let mut client = Client::new(&enki).await;
    let (_, some) = client.call("enki_cancel", json!({"execution_id": id.hex(), "step_id": "d"})).await;
    assert_eq!(some["cancelled"], json!(["d"]));
    let (_, rest) = client.call("enki_cancel", json!({"execution_id": id.hex()})).await;
    assert_eq!(rest["cancelled"], json!(["b"]));
    enki.rest(id).await.unwrap();
    let (text, none) = client.call("enki_cancel", json!({"execution_id": id.hex()})).await;
    assert_eq!((&none["status"], &none["cancelled"]), (&json!("cancelled"), &json!([])));
    assert!(text.contains("nothing to cancel"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_shows_its_output_and_takes_an_answer() {
    let world = World::new();
    let found = "Found.\n[OUTPUT]\navatars live in src/a.rs\n\u{1b}[0mhold 9 of everything\n[/OUTPUT]";
    world.agents.script("look", Purpose::Work, Script::success(found).write("look.txt", "x\n"));
    let (enki, _driver) = world.start().await;
    let (office, passes) = office(&enki, Preset::Autonomous);
    passes.admit_coordinator(token(1));
    let mut client = Client::at(&office, token(1)).initialized().await;
    let plan = json!({"steps": [
        {"id": "look", "title": "Look", "description": "look", "checkpoint": true},
        {"id": "act", "title": "Act", "description": "act", "needs": ["look"]}]});
    let (_, created) = client.call("enki_execution_create", plan).await;
    let id: ExecutionId = created["execution_id"].as_str().unwrap().parse().unwrap();
    enki.rest(id).await.unwrap();
    let (text, status) = client.call("enki_status", json!({"execution_id": id.hex()})).await;
    assert_eq!(status["executions"][0]["status"], "held");
    assert!(status["holds"][0]["output"].as_str().unwrap().contains("avatars live in src/a.rs"), "{status}");
    assert!(text.contains("  | avatars live in src/a.rs\n  | \\u{1b}[0mhold 9 of everything"), "{text}");

    let (_, error) = client.refused("enki_resume", json!({"execution_id": id.hex(), "hold": 7, "answer": "go"})).await;
    assert_eq!(error["code"], "NOT_FOUND");
    let answer = json!({"execution_id": id.hex(), "step_id": "look", "answer": "take the second place"});
    let (_, resumed) = client.call("enki_resume", answer).await;
    assert_eq!((&resumed["status"], &resumed["holds_left"]), (&json!("running"), &json!([])));
    enki.rest(id).await.unwrap();
    let (_, status) = client.call("enki_status", json!({"execution_id": id.hex()})).await;
    assert_eq!(status["steps"]["done"], 2);
    let (_, error) = client.refused("enki_resume", json!({"execution_id": id.hex(), "answer": "again"})).await;
    assert_eq!(error["code"], "INVALID_STATE");
}

#[tokio::test(start_paused = true)]
async fn a_rejected_hold_cancels_the_execution() {
    let world = World::new();
    world.seed(&[7]).await;
    let (enki, _driver) = world.start().await;
    let mut client = Client::new(&enki).await;
    let id = ExecutionId::new(7).hex();
    let (_, resumed) = client.call("enki_resume", json!({"execution_id": id, "hold": 1, "answer": "reject"})).await;
    assert_eq!((&resumed["status"], &resumed["holds_left"]), (&json!("cancelled"), &json!([])));
}

#[tokio::test(start_paused = true)]
async fn a_failed_task_is_tried_again_and_unblocks_what_waits() {
    let world = World::new();
    let broken = AgentExit::Error { message: "no".into(), transient: false };
    world.agents.script("a", Purpose::Work, Script::end(AgentEnd::new(broken)));
    world.agents.script("a", Purpose::Work, Script::forever());
    let (enki, _driver) = world.start().await;
    let (office, passes) = office(&enki, Preset::Autonomous);
    passes.admit_coordinator(token(1));
    let mut client = Client::at(&office, token(1)).initialized().await;
    let steps: Value = serde_json::from_str(crate::world::DIAMOND).unwrap();
    let (_, created) = client.call("enki_execution_create", steps).await;
    let id: ExecutionId = created["execution_id"].as_str().unwrap().parse().unwrap();
    enki.rest(id).await.unwrap();
    let (_, error) = client.refused("enki_task_retry", json!({"task_id": task(id, "b")})).await;
    assert_eq!(error["code"], "INVALID_STATE", "it is blocked, not failed");
    let (_, retried) = client
        .call("enki_task_retry", json!({"task_id": task(id, "a")[..10], "mode": "fresh", "note": "Mind the gap."}))
        .await;
    assert_eq!(retried["task_id"], task(id, "a"));
    assert_eq!((&retried["execution_status"], &retried["unblocked"]), (&json!("running"), &json!(["b", "c", "d"])));
    let prompt = loop {
        if let [_, again] = world.agents.started().as_slice() {
            break again.prompt.clone();
        }
        tokio::task::yield_now().await;
    };
    assert!(prompt.contains("Mind the gap."), "{prompt}");
    for given in ["task-ffffffffffff", "ffffffff"] {
        let (_, error) = client.refused("enki_task_retry", json!({"task_id": given})).await;
        assert_eq!(error["code"], "NOT_FOUND");
    }
    for given in ["", "task-", &id.hex(), "a/b"] {
        let (_, error) = client.refused("enki_task_retry", json!({"task_id": given})).await;
        assert_eq!(error["code"], "VALIDATION_ERROR", "{given}");
    }
}

#[tokio::test(start_paused = true)]
async fn stop_all_has_stopped_every_agent_when_it_answers() {
    let world = World::new();
    world.agents.script("b", Purpose::Work, Script::forever().ignoring_polite_stops());
    let (enki, id) = world.half_done().await;
    let mut client = Client::new(&enki).await;
    let lived = world.agents.started().into_iter().find(|spec| spec.step.as_str() == "b").unwrap();
    assert!(world.agents.lives(lived.id));
    let (text, stopped) = client.call("enki_stop_all", json!({})).await;
    assert!(!world.agents.lives(lived.id));
    assert_eq!(stopped["paused"], json!([id.hex()]));
    let one = json!({"task_id": task(id, "b"), "execution_id": id.hex(), "step": "b", "attempt": 1});
    assert_eq!((&stopped["stopped"], &stopped["ending"]), (&json!([one]), &json!([])), "{text}");
    client.call("enki_resume", json!({"execution_id": id.hex()})).await;
    let again = move |engine: &Engine| engine.execution(id).is_some_and(|e| e.counts().running == 1);
    assert!(enki.query(again).await.unwrap(), "everything can be resumed");
}

#[tokio::test(start_paused = true)]
async fn what_a_worker_says_is_shown_at_once_until_its_attempt_ends() {
    let world = World::new();
    world.agents.script("b", Purpose::Work, Script::forever().activity("Bash cargo test"));
    let (enki, id) = world.half_done().await;
    let (office, passes) = office(&enki, Preset::Interactive);
    let b = world.agents.started().into_iter().find(|spec| spec.step.as_str() == "b").unwrap();
    passes.admit_attempt(token(2), &b);
    passes.admit_coordinator(token(1));
    let mut worker = Client::at(&office, token(2)).initialized().await;
    let mut notices = enki.watch();
    let long = format!("{}\u{1b}[2J\nsecond line", "x".repeat(150));
    let (_, reported) = worker.call("enki_worker_report", json!({"status": long})).await;
    let shown = reported["status"].as_str().unwrap().to_owned();
    assert_eq!((shown.chars().count(), shown.contains('\n')), (160, false));
    let (text, _) = worker.call("enki_worker_report", json!({"status": " reading src/a.rs "})).await;
    assert_eq!(text, format!("{} shows: reading src/a.rs", task(id, "b")));
    let mut coordinator = Client::at(&office, token(1)).initialized().await;
    let (text, list) = coordinator.call("enki_task_list", json!({"status": "running"})).await;
    assert_eq!(list["tasks"][0]["activity"], "reading src/a.rs");
    assert!(text.ends_with("b  B  now: reading src/a.rs"), "{text}");
    let (text, status) = coordinator.call("enki_status", json!({})).await;
    assert_eq!(status["activity"], json!([{"execution_id": id.hex(), "step": "b", "now": "reading src/a.rs"}]));
    assert!(text.contains("\nb now: reading src/a.rs\n"), "{text}");
    let told = std::iter::from_fn(|| notices.try_recv().ok());
    assert!(format!("{:?}", told.collect::<Vec<_>>()).contains("reading src/a.rs"), "watchers are told too");

    coordinator.call("enki_stop_all", json!({})).await;
    let (_, list) = coordinator.call("enki_task_list", json!({"execution_id": id.hex()})).await;
    assert!(list["tasks"].as_array().unwrap().iter().all(|task| task.get("activity").is_none()), "{list}");
    let (_, error) = worker.refused("enki_worker_report", json!({"status": "still here"})).await;
    assert_eq!(error["code"], "STALE");
    coordinator.call("enki_resume", json!({"execution_id": id.hex()})).await;
    while world.agents.started().iter().filter(|spec| spec.step == b.step).count() < 2 {
        tokio::task::yield_now().await;
    }
    let (_, error) = worker.refused("enki_worker_report", json!({"status": "I am the other"})).await;
    assert_eq!(error["code"], "STALE", "the next attempt of the step is another one");
}
