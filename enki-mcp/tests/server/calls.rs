//! `enki_call`: the order of what is checked, the envelope of every answer, and traces.

use crate::world::{Client, World, office, token};
use enki_core::advice::approval::Preset;
use enki_core::async_trait;
use enki_core::id::TaskId;
use enki_core::recall::{Decision, Entry, Fault, Found, Hit, Note, Query, Recall, RecallError, Recorded};
use enki_core::redact::Redactor;
use enki_core::tier::Purpose;
use enki_core::time::Timestamp;
use enki_mcp::{Bench, CallCode, Calls, Diff, DiffAsk, Failure, Traces};
use enki_testkit::fakes::Script;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

/// A bench whose workspaces are said to be there. What is asked for by these names does not go well.
#[derive(Debug)]
struct Shelf {
    open: Vec<TaskId>,
}

#[async_trait]
impl Bench for Shelf {
    async fn workspace(&self, task: TaskId) -> Result<Option<PathBuf>, Failure> {
        Ok(self.open.contains(&task).then(|| PathBuf::from("/work").join(task.to_string())))
    }

    async fn diff(&self, _: TaskId, ask: DiffAsk) -> Result<Option<Diff>, Failure> {
        match ask.files.first().map(String::as_str) {
            Some("panics") => panic!("the bench broke"),
            Some("never") => std::future::pending().await,
            Some("gone") => Ok(None),
            _ => {
                let files = vec![("a.txt".to_owned(), Some((2, 1))), ("b.bin".to_owned(), None)];
                let patch = "é".repeat(usize::try_from(ask.patch / 2).unwrap()).into_bytes();
                Ok(Some(Diff {
                    base: "abc".into(),
                    files,
                    total: 2,
                    lines: (2, 1),
                    patch,
                    size: 9999,
                    ..Diff::default()
                }))
            }
        }
    }

    fn recall(&self) -> Option<Arc<dyn Recall>> {
        Some(Arc::new(Remembered))
    }
}

#[derive(Debug)]
struct Remembered;

impl Recall for Remembered {
    fn record(&self, _: &[Note]) -> Result<Recorded, RecallError> {
        panic!("nothing is to be kept")
    }

    fn search(&self, query: &Query) -> Result<Found, RecallError> {
        assert!(query.text.contains("lock"));
        let entry = |what: &str| {
            let decision =
                Decision { id: format!("dec_{what}"), what: what.into(), why: "lock".into(), ..Decision::default() };
            Hit { entry: Entry::Decision(decision), score: 1.0 }
        };
        Ok(Found { hits: vec![entry("other"), entry("the lock of the project")], faults: Vec::<Fault>::new() })
    }
}

struct Scene {
    boss: Client,
    worker: Client,
    /// The worker's task, another that has a workspace, and one that has none.
    tasks: [String; 3],
    traces: Traces,
    _dir: tempfile::TempDir,
}

impl Scene {
    async fn new() -> Self {
        let world = World::new();
        for step in ["mine", "other", "third"] {
            world.agents.script(step, Purpose::Work, Script::forever());
        }
        let (enki, _driver) = world.start().await;
        let (office, passes) = office(&enki, Preset::Autonomous);
        passes.admit_coordinator(token(9));
        let step = |id: &str| json!({"id": id, "title": "T", "description": "d"});
        let mut boss = Client::at(&office, token(9)).initialized().await;
        let plan = json!({"steps": [step("mine"), step("other"), step("third")]});
        let made = boss.call("enki_execution_create", plan).await.1;
        let tasks = [0, 1, 2].map(|n| made["steps"][n]["task_id"].as_str().unwrap().to_owned());
        let mut notices = enki.watch();
        while world.agents.started().len() < 3 {
            notices.recv().await.unwrap();
        }
        let mut spec = world.agents.started().into_iter().find(|spec| spec.step.as_str() == "mine").unwrap();
        spec.workspace = "/a/workspace".into();
        passes.admit_attempt(token(1), &spec);
        let dir = tempfile::tempdir().unwrap();
        let traces = Traces::new(dir.path().join("traces"), Redactor::new(["hunter2hunter2".to_owned()]));
        let bench = Arc::new(Shelf { open: tasks[..2].iter().map(|task| task.parse().unwrap()).collect() });
        let office = office.with_calls(Calls::new(bench, traces.clone(), || Timestamp(1_700_000_000_000)));
        let boss = Client::at(&office, token(9)).initialized().await;
        let worker = Client::at(&office, token(1)).initialized().await;
        Self { boss, worker, tasks, traces, _dir: dir }
    }
}

impl Client {
    /// The envelope of a call, which is whole whatever it says.
    async fn envelope(&mut self, call: Value) -> Value {
        let answer = self.try_call("enki_call", call.clone()).await;
        let result = &answer["result"];
        let envelope = result["structuredContent"].clone();
        let fields =
            ["now", "ok", "code", "message", "data", "stderr", "exitCode", "durationMs", "traceId", "apiVersion"];
        for field in fields {
            assert!(envelope.get(field).is_some(), "{field} of the answer to {call}: {answer}");
        }
        let code: CallCode = serde_json::from_value(envelope["code"].clone()).expect("a code of the list");
        assert_eq!(envelope["ok"], code.is_ok(), "{envelope}");
        assert_eq!(envelope["exitCode"] == 0, code.is_ok(), "{envelope}");
        assert_eq!(result["isError"], !code.is_ok());
        assert!(envelope["data"].is_object() && envelope["apiVersion"] == "1.0.0", "{envelope}");
        let id = envelope["traceId"].as_str().unwrap();
        assert!(id.len() == 16 && id.starts_with("trc_"), "{id}");
        envelope
    }

    async fn code(&mut self, call: Value) -> String {
        self.envelope(call).await["code"].as_str().unwrap().to_owned()
    }
}

/// Faults in the order in which they are looked for, each a change of a call that is well. The last ones need what the
/// earlier ones leave alone.
fn spoil(call: &mut Value, n: usize, tasks: &[String; 3]) {
    match n {
        0 => drop(call.as_object_mut().unwrap().remove("tool")),
        1 => call["input"]["taskSession"] = json!("another"),
        2 => call["input"]["files"] = json!(["../outside"]),
        3 => call["input"]["branch"] = json!("main"),
        // Of a worker: a tool that is not for it.
        4 => call["tool"] = json!("task.push"),
        5 => call["taskSession"] = json!(tasks[1]),
        _ => call["input"]["maxBytes"] = json!("many"),
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_faults_the_earlier_one_answers() {
    let mut scene = Scene::new().await;
    let codes = [
        "VALIDATION_ERROR",
        "VALIDATION_ERROR",
        "SAFETY_BLOCKED",
        "VALIDATION_ERROR",
        "NOT_ALLOWED",
        "NOT_ALLOWED",
        "VALIDATION_ERROR",
    ];
    let messages =
        ["tool is missing", "differ", "not beneath", "session's branch", "task.push", "not your task", "git.diff"];
    for first in 0..codes.len() {
        for second in first..codes.len() {
            let mut call = json!({"tool": "git.diff", "input": {}, "taskSession": scene.tasks[0]});
            spoil(&mut call, second, &scene.tasks);
            spoil(&mut call, first, &scene.tasks);
            // With another session, the branch of the first is a fault of its own.
            let envelope = scene.worker.envelope(call.clone()).await;
            assert_eq!(envelope["code"], codes[first], "{first} {second} {call}: {envelope}");
            assert!(envelope["message"].as_str().unwrap().contains(messages[first]), "{first} {second}: {envelope}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_faults_about_the_session_the_earlier_one_answers() {
    let mut scene = Scene::new().await;
    let [_, open, closed] = scene.tasks.clone();
    for (call, code) in [
        (json!({"tool": 7}), "VALIDATION_ERROR"),
        (json!({"tool": "git.dif"}), "VALIDATION_ERROR"),
        (json!({"tool": "git.diff"}), "TASK_SESSION_REQUIRED"),
        // Not beneath, and no session.
        (json!({"tool": "git.diff", "input": {"files": ["/etc"]}}), "SAFETY_BLOCKED"),
        // No session, and not in this version.
        (json!({"tool": "verify"}), "TASK_SESSION_REQUIRED"),
        (json!({"tool": "verify", "taskSession": closed}), "TASK_SESSION_NOT_FOUND"),
        (json!({"tool": "verify", "taskSession": open}), "COMMAND_FAILED"),
        // A branch is not held against a session that nobody knows.
        (json!({"tool": "git.diff", "taskSession": closed, "input": {"branch": "main"}}), "TASK_SESSION_NOT_FOUND"),
        (json!({"tool": "git.diff", "taskSession": "nonsense"}), "TASK_SESSION_NOT_FOUND"),
        (json!({"tool": "git.diff", "taskSession": open, "input": {"branch": "main"}}), "VALIDATION_ERROR"),
        (json!({"tool": "git.diff", "taskSession": open, "input": {"branch": format!("task/{open}")}}), "OK"),
        (json!({"tool": "git.diff", "input": {"taskSession": open}}), "OK"),
        (json!({"tool": "git.diff", "taskSession": open, "input": {"base": "main"}}), "VALIDATION_ERROR"),
        (json!({"tool": "git.diff", "taskSession": open, "input": {"files": ["gone"]}}), "WORKTREE_NOT_FOUND"),
        (json!({"tool": "git.diff", "taskSession": open, "dryRun": "yes"}), "VALIDATION_ERROR"),
        (json!({"tool": "git.diff", "taskSession": open, "more": 1}), "VALIDATION_ERROR"),
        (json!({"tool": "git.diff", "taskSession": open, "input": []}), "VALIDATION_ERROR"),
    ] {
        assert_eq!(scene.boss.code(call.clone()).await, code, "{call}");
    }
    // Not for a worker, and besides no session, or one that is not its own.
    for (session, code) in [(closed, "TASK_SESSION_NOT_FOUND"), (open, "NOT_ALLOWED")] {
        let call = json!({"tool": "task.push", "taskSession": session});
        assert_eq!(scene.worker.code(call.clone()).await, code, "{call}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_whole_also_of_what_breaks_or_never_ends() {
    let mut scene = Scene::new().await;
    let of = |files: &str| json!({"tool": "git.diff", "requestId": "r-1", "input": {"files": [files]}});
    for (files, code) in [("panics", "INTERNAL"), ("never", "TIMEOUT"), ("a", "OK")] {
        let envelope = scene.worker.envelope(of(files)).await;
        assert_eq!((&envelope["code"], &envelope["requestId"]), (&json!(code), &json!("r-1")));
        let context = &envelope["taskContext"];
        assert_eq!(context["taskSession"], scene.tasks[0], "a call inside an attempt has the attempt's session");
        assert_eq!(context["branch"], format!("task/{}", scene.tasks[0]));
        assert_eq!((&context["worktree"], &context["source"]), (&json!("/a/workspace"), &json!("taskSession")));
        assert_eq!(context["tmuxSession"], Value::Null);
    }
    let envelope = scene.worker.envelope(of("never")).await;
    assert_eq!(envelope["durationMs"], 25_000);
}

#[tokio::test(start_paused = true)]
async fn a_patch_is_within_its_bytes_and_says_what_was_cut() {
    let mut scene = Scene::new().await;
    let input = json!({"patch": true, "maxBytes": 301});
    let envelope = scene.worker.envelope(json!({"tool": "git.diff", "input": input})).await;
    let (data, patch) = (&envelope["data"], envelope["data"]["patch"].as_str().unwrap());
    assert!(patch.len() <= 301 && patch.ends_with("é\n[cut: the whole patch has 9999 bytes]"), "{patch}");
    assert_eq!((&data["cut"], &data["patchBytes"], &data["total"]), (&json!(true), &json!(9999), &json!(2)));
    assert_eq!(data["files"], json!([{"path": "a.txt", "added": 2, "removed": 1}, {"path": "b.bin", "binary": true}]));
    let stat = scene.worker.envelope(json!({"tool": "git.diff", "input": {"stat": true}})).await;
    assert!(stat["data"].get("files").is_none() && stat["data"].get("patch").is_none(), "{stat}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_looked_at_whole_before_anything_of_it_runs() {
    let mut scene = Scene::new().await;
    let [_, other, _] = scene.tasks.clone();
    let batch = |steps: Value| json!({"tool": "batch", "input": {"steps": steps}});
    let nested = |step: Value| {
        let inner = json!({"tool": "batch", "input": {"steps": [step]}});
        json!([{"tool": "git.diff"}, {"tool": "batch", "input": {"steps": [inner]}}])
    };
    for (step, code) in [
        (json!({"tool": "task.push"}), "SAFETY_BLOCKED"),
        (json!({"tool": "git.diff", "input": {"files": [".git/config"]}}), "SAFETY_BLOCKED"),
        (json!({"tool": "git.diff", "input": {"taskSession": other}}), "VALIDATION_ERROR"),
        (json!({"tool": "git.diff", "input": {"branch": "main"}}), "VALIDATION_ERROR"),
        (json!({"tool": "task.start"}), "NOT_ALLOWED"),
        (json!({"input": {}}), "VALIDATION_ERROR"),
        (json!(7), "VALIDATION_ERROR"),
    ] {
        let envelope = scene.worker.envelope(batch(nested(step.clone()))).await;
        assert_eq!((&envelope["code"], &envelope["data"]), (&json!(code), &json!({})), "nothing ran: {step}");
    }
    let deep = (0..9).fold(json!({"tool": "git.diff"}), |step, _| json!({"tool": "batch", "input": {"steps": [step]}}));
    assert_eq!(scene.worker.code(deep).await, "SAFETY_BLOCKED");
    let many = vec![json!({"tool": "git.diff"}); 21];
    assert_eq!(scene.worker.code(batch(json!(many))).await, "VALIDATION_ERROR");
    assert_eq!(scene.boss.code(batch(json!([{"tool": "git.diff"}]))).await, "TASK_SESSION_REQUIRED");

    let steps =
        json!([{"tool": "git.diff", "parallel": true}, {"tool": "git.diff", "parallel": true}, {"tool": "git.diff"}]);
    let envelope = scene.worker.envelope(batch(steps)).await;
    assert_eq!(envelope["data"]["steps"].as_array().unwrap().len(), 3, "{envelope}");
    let parent = envelope["traceId"].clone();
    let gone = json!({"tool": "git.diff", "input": {"files": ["gone"]}});
    let envelope = scene.worker.envelope(batch(json!([{"tool": "git.diff"}, gone, {"tool": "git.diff"}]))).await;
    assert_eq!((&envelope["code"], &envelope["data"]["notRun"]), (&json!("WORKTREE_NOT_FOUND"), &json!(1)));
    assert!(envelope["message"].as_str().unwrap().starts_with("step 2 of the batch"), "{envelope}");
    let children = scene.traces.search(99, |trace| trace.parent.as_deref() == parent.as_str()).unwrap();
    assert_eq!(children.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn each_call_has_a_trace_that_is_found_and_refused_tools_too() {
    let mut scene = Scene::new().await;
    let secret = json!({"tool": "context.search", "input": {"query": "lock hunter2hunter2"}});
    let done = scene.worker.envelope(secret).await;
    scene.worker.refused("enki_stop_all", json!({})).await;
    scene.worker.envelope(json!({"tool": "git.diff", "input": {"files": [".."]}})).await;
    let other = json!({"tool": "git.diff", "taskSession": scene.tasks[1]});
    let other = scene.boss.envelope(other).await["traceId"].clone();
    let found = scene.boss.envelope(json!({"tool": "trace.search"})).await;
    let traces = found["data"]["traces"].as_array().unwrap();
    let ids: Vec<&Value> = traces.iter().map(|trace| &trace["id"]).collect();
    assert_eq!((ids.len(), ids[0], ids[3]), (4, &other, &done["traceId"]), "newest first");
    assert!(!found.to_string().contains("hunter2"), "{found}");
    assert_eq!((&traces[2]["tool"], &traces[2]["code"]), (&json!("enki_stop_all"), &json!("NOT_ALLOWED")));
    assert_eq!((&traces[2]["session"], &traces[2]["attempt"]), (&json!(scene.tasks[0]), &json!(1)));
    for (input, number) in [
        (json!({"tool": "git.diff"}), 2),
        (json!({"status": "failed"}), 2),
        (json!({"status": "SAFETY_BLOCKED"}), 1),
        (json!({"taskSession": scene.tasks[1]}), 1),
        (json!({"from": "2030-01-01T00:00:00Z"}), 0),
        (json!({"to": "2001-01-01T00:00:00Z"}), 0),
        (json!({"tool": "git.diff", "limit": 1}), 1),
    ] {
        let found = scene.boss.envelope(json!({"tool": "trace.search", "input": input})).await;
        assert_eq!(found["data"]["traces"].as_array().unwrap().len(), number, "{input}: {found}");
    }
    let own = scene.worker.envelope(json!({"tool": "trace.search", "input": {"tool": "git.diff"}})).await;
    assert_eq!(own["data"]["traces"].as_array().unwrap().len(), 1, "a worker sees its own");
    assert_eq!(
        scene.worker.code(json!({"tool": "trace.search", "input": {"from": "yesterday"}})).await,
        "VALIDATION_ERROR"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_is_found_by_words_the_title_first() {
    let mut scene = Scene::new().await;
    let found = scene.worker.envelope(json!({"tool": "context.search", "input": {"query": "the lock"}})).await;
    let hits = found["data"]["hits"].as_array().unwrap();
    assert_eq!(
        (&hits[0]["title"], &hits[0]["kind"]),
        (&json!("the lock of the project"), &json!("decision")),
        "{found}"
    );
    assert_eq!((&hits[0]["path"], hits.len()), (&json!(".enki/memory/decisions.json"), 2));
    for (input, code) in [
        (json!({}), "VALIDATION_ERROR"),
        (json!({"query": "lock", "kinds": ["note"]}), "VALIDATION_ERROR"),
        (json!({"query": "lock", "kinds": ["result"]}), "OK"),
    ] {
        assert_eq!(scene.worker.code(json!({"tool": "context.search", "input": input})).await, code, "{input}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_commands_are_listed_with_their_inputs() {
    let mut scene = Scene::new().await;
    let (_, listed) = scene.worker.call("enki_tools", json!({})).await;
    insta::assert_json_snapshot!("the_commands", listed);
    let (_, some) = scene.boss.call("enki_tools", json!({"filter": "GIT"})).await;
    assert_eq!(some["tools"].as_array().unwrap().len(), 1);
}
