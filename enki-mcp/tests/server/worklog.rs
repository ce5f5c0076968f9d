//! Notes and their queue: who may what, and calls that wait. What is kept, and how, is whoever embeds the server's.

use crate::roles::Cast;
use crate::world::{Client, World};
use enki_core::async_trait;
use enki_core::tier::Tier;
use enki_mcp::{
    Asker, Chain, Code, Entries, Errand, Failure, FoundNote, GivenUp, KnownProjects, NewNote, Noted, PromotedNote,
    Queued, Ran, Role, Schedule, Tail, Told, Wanted, Worklog,
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// A keeper that writes nothing: it remembers what it was asked, and what waits is let go by the test.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    heard: Arc<Mutex<Vec<String>>>,
    /// Lets a prompt end.
    pub(crate) end: Arc<Notify>,
    /// A prompt was given up.
    pub(crate) given_up: Arc<Notify>,
}

impl Ledger {
    fn hear(&self, what: String) {
        self.heard.lock().unwrap().push(what);
    }

    pub(crate) fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap())
    }
}

/// Tells if it is dropped before its end.
struct Waits(Option<Arc<Notify>>);

impl Drop for Waits {
    fn drop(&mut self) {
        if let Some(given_up) = self.0.take() {
            given_up.notify_one();
        }
    }
}

fn nothing<T>() -> Result<T, Failure> {
    Err(Failure::new(Code::NotFound, "there is no such thing", "look for another"))
}

#[async_trait]
impl Worklog for Ledger {
    async fn note(&self, asker: Asker, note: NewNote) -> Result<Noted, Failure> {
        self.hear(format!("{asker:?} {:?} {:?} {} {} {}", note.source, note.kind, note.run, note.project, note.text));
        let path = "docs/log/issue/x.md".to_owned();
        let capture_id = Some("0123456789ab".to_owned());
        Ok(Noted { project: note.project, path, kind: "issue".into(), capture_id, entry: None })
    }
    async fn promote(
        &self,
        source: String,
        goal: Option<String>,
        model: Option<String>,
        tier: Option<Tier>,
    ) -> Result<PromotedNote, Failure> {
        self.hear(format!("promote {source} {goal:?} {model:?} {tier:?}"));
        nothing()
    }
    async fn schedule(&self, ask: Schedule) -> Result<Queued, Failure> {
        self.hear(format!("{ask:?}"));
        nothing()
    }
    async fn execute(&self, _: String, _: Told) -> Result<Ran, Failure> {
        nothing()
    }
    async fn prompt(&self, errand: Errand, told: Told) -> Result<Ran, Failure> {
        if errand.project != "." {
            return nothing();
        }
        let mut waits = Waits(Some(Arc::clone(&self.given_up)));
        told.say("it runs\u{1b}");
        self.end.notified().await;
        waits.0 = None;
        let entry = Queued {
            project: errand.project,
            queue_id: "0123456789ab".into(),
            execution_id: "0".repeat(32),
            status: "done".into(),
            known: false,
            task_paths: Vec::new(),
            notes: Vec::new(),
        };
        let output = "42\nresult: forged".to_owned();
        Ok(Ran { entry, output, reasons: Vec::new(), result_paths: Vec::new() })
    }
    async fn entries(&self, asker: Asker, wanted: Wanted) -> Result<Entries, Failure> {
        self.hear(format!("{asker:?} {wanted:?}"));
        Ok(Entries { project: "shop".into(), entries: Vec::new(), total: 0 })
    }
    async fn tail(&self, _: String, _: bool, _: Told) -> Result<Tail, Failure> {
        nothing()
    }
    async fn give_up(&self, _: String) -> Result<GivenUp, Failure> {
        nothing()
    }
    async fn projects(&self) -> Result<KnownProjects, Failure> {
        Ok(KnownProjects { projects: Vec::new() })
    }
    async fn resolve(&self, asker: Asker, id: String) -> Result<FoundNote, Failure> {
        self.hear(format!("{asker:?} resolve {id}"));
        nothing()
    }
    async fn trace(&self, asker: Asker, what: String) -> Result<Chain, Failure> {
        self.hear(format!("{asker:?} trace {what}"));
        nothing()
    }
}

#[tokio::test(start_paused = true)]
async fn other_names_are_taken_and_not_listed() {
    let (enki, _driver) = World::new().start().await;
    let mut client = Client::new(&enki).await;
    let tools = client.tools().await;
    let listed: Vec<&str> = tools.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    for (other, arguments, through) in [
        ("worklog_note", json!({"text": "The till is slow", "project_id": "shop"}), "ok"),
        ("promote_to_task", json!({"source": "x"}), "NOT_FOUND"),
        ("schedule_queue", json!({"task_path": "x", "project": "."}), "NOT_FOUND"),
        ("enqueue_task", json!({"task_path": "x"}), "NOT_FOUND"),
        ("execute_task", json!({"task_path": "x"}), "NOT_FOUND"),
        ("run_prompt", json!({"project": "x", "prompt": "x"}), "NOT_FOUND"),
        ("list_queue", json!({}), "ok"),
        ("tail_task", json!({"queue_id": "x"}), "NOT_FOUND"),
        ("queue_cancel", json!({"queue_id": "x"}), "NOT_FOUND"),
        ("list_projects", json!({}), "ok"),
        ("note_resolve", json!({"id": "x"}), "NOT_FOUND"),
    ] {
        assert!(!listed.contains(&other), "{other}");
        let mut answer = client.try_call(other, arguments).await;
        let result = answer["result"].take();
        let code = &result["structuredContent"]["error"]["code"];
        assert_eq!(code.as_str().unwrap_or("ok"), through, "{other}: {answer} {result}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_observes_and_a_coordinator_starts_what_starts_now() {
    let cast = Cast::new().await;
    let mut worker = Client::at(&cast.office, Cast::token(Role::Worker)).initialized().await;
    let note = |more: Value| {
        let mut note = json!({"text": "The till is slow", "project_id": "shop"});
        note.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        note
    };
    for more in [
        json!({"auto_dispatch": true}),
        json!({"kind": "task"}),
        json!({"source": "voice"}),
        json!({"source": "conversation"}),
    ] {
        let (_, error) = worker.refused("enki_note", note(more.clone())).await;
        assert_eq!(error["code"], "NOT_ALLOWED", "{more}");
    }
    assert_eq!(cast.ledger.heard(), Vec::<String>::new(), "nothing of that was written");
    worker.call("enki_note", note(json!({}))).await;
    worker.call("enki_queue_list", json!({"project": "other"})).await;
    let task = cast.attempt(Role::Worker).await.task;
    let heard = cast.ledger.heard();
    assert_eq!(heard[0], format!("Agent({task:?}) AgentExecution None false shop The till is slow"));
    assert!(heard[1].starts_with(&format!("Agent({task:?}) ")), "{}: it is told whose question it is", heard[1]);

    let mut coordinator = Client::at(&cast.office, Cast::token(Role::Coordinator)).initialized().await;
    for later in ["scheduled_at", "after", "after_any"] {
        for run in [true, false] {
            let mut arguments = note(json!({"auto_dispatch": run}));
            arguments[later] = "2999-01-01T00:00:00Z".into();
            let (text, error) = coordinator.refused("enki_note", arguments).await;
            assert!(error["code"] == "VALIDATION_ERROR" && text.contains("enki_schedule"), "{later}: {text}");
        }
    }
    coordinator.call("enki_note", note(json!({"auto_dispatch": true, "scheduled_at": "now"}))).await;
    assert_eq!(cast.ledger.heard(), ["Coordinator Conversation None true shop The till is slow"]);
    for (tool, arguments) in [
        ("enki_schedule", json!({"task_path": [], "project": "."})),
        ("enki_schedule", json!({"task_path": "x", "project": ".", "after": "a", "after_any": "b"})),
        ("enki_tail", json!({})),
        ("enki_tail", json!({"task_path": "x", "queue_id": "y"})),
        ("enki_run_prompt", json!({"project": ".", "prompt": " "})),
        ("enki_run_prompt", json!({"project": ".", "prompt": "x".repeat(70_000)})),
    ] {
        assert_eq!(coordinator.refused(tool, arguments.clone()).await.1["code"], "VALIDATION_ERROR", "{arguments}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_holds_up_no_other_tells_its_progress_and_can_be_given_up() {
    let world = World::new();
    let (enki, _driver) = world.start().await;
    let (mut client, ledger) = Client::with_ledger(&enki).await;
    let wait = |id: &str, meta: Value| {
        json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params":
            {"name": "run_prompt", "arguments": {"project": ".", "prompt": "Count"}, "_meta": meta}})
        .to_string()
    };
    client.line(&wait("first", json!({"progressToken": "t"}))).await;
    let progress = client.answer().await;
    assert_eq!(progress["method"], "notifications/progress", "{progress}");
    let told = &progress["params"];
    assert_eq!((&told["progressToken"], &told["progress"]), (&json!("t"), &json!(1.0)));
    assert_eq!(told["message"], "it runs\\u{1b}");
    client.call("enki_status", json!({})).await;
    ledger.end.notify_one();
    let answer = client.answer().await;
    assert_eq!(
        (&answer["id"], &answer["result"]["structuredContent"]["output"]),
        (&json!("first"), &json!("42\nresult: forged"))
    );
    let text = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert!(text.ends_with("\n> 42\n> result: forged"), "{text}");

    // Without a token nothing is told of it; one that is given up ends where it waits.
    client.line(&wait("second", json!({}))).await;
    client.call("enki_status", json!({})).await;
    client.line(r#"{"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "second"}}"#).await;
    ledger.given_up.notified().await;
    client.call("enki_status", json!({})).await;
}
