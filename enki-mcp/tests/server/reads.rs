//! The server as a client sees it: lines of JSON over a pipe, a real driver behind it, in virtual time.

#![expect(clippy::unwrap_used, reason = "a test ends where its assumption fails")]

use enki_core::branch::Branch;
use enki_core::driver::{self, Backends, DriverError, Orchestrator, Settings, Shutdown, Submission};
use enki_core::engine::{Engine, Input};
use enki_core::execution::{ProjectKind, Submitted};
use enki_core::id::{ExecutionId, TaskId};
use enki_core::limits::Limits;
use enki_core::memory::MemoryStore;
use enki_core::plan::{Plan, PlanLimits};
use enki_core::record;
use enki_core::refinery::Gate;
use enki_core::store::{Append, Holder, TaskStore};
use enki_core::tier::Purpose;
use enki_core::time::Timestamp;
use enki_mcp::{EnkiServer, ServeError};
use enki_testkit::fakes::{FakeAgents, FakeRefinery, FakeRepository, FakeWorkspaces, Script};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::task::JoinHandle;

const DIAMOND: &str = r#"{"title": "Four\u001b[0m rails", "steps": [
    {"id": "a", "title": "A", "description": "a", "tier": "light"},
    {"id": "b", "title": "B", "description": "b", "needs": ["a"], "tier": "heavy"},
    {"id": "c", "title": "C", "description": "c", "needs": ["a"]},
    {"id": "d", "title": "D", "description": "d", "needs": [{"step": "b", "condition": "completed"}, "c"]}]}"#;

/// A store with agents that do every step but `b`, which hangs.
struct World {
    store: Arc<MemoryStore>,
    workspaces: FakeWorkspaces,
    repository: FakeRepository,
    agents: FakeAgents,
}

type Driving = (Orchestrator, JoinHandle<Result<(), DriverError>>);

impl World {
    fn new() -> Self {
        let repository = FakeRepository::with_files(&"main".parse().unwrap(), &[("README.md", "hi\n")]);
        let workspaces = FakeWorkspaces::new(repository.clone());
        let agents = FakeAgents::new(workspaces.clone());
        agents.otherwise(|spec| Script::success("done").write(format!("{}.txt", spec.step), "x\n"));
        Self { store: Arc::new(MemoryStore::default()), workspaces, repository, agents }
    }

    async fn start(&self) -> Driving {
        let backends = Backends::new(
            self.store.clone(),
            Arc::new(self.workspaces.clone()),
            Arc::new(FakeRefinery::new(self.repository.clone())),
            Arc::new(self.agents.clone()),
        );
        driver::start(backends, Settings::new(holder(), "logs".into())).await.unwrap()
    }

    /// Stores executions of those ids, held for approval.
    async fn seed(&self, ids: &[u128]) {
        let mut engine = Engine::new(Limits::default());
        for id in ids {
            let mut spec: Value = json!({"steps": [{"id": "a", "title": "A", "description": "a"}]});
            spec["title"] = format!("{id}").into();
            let limits = PlanLimits { max_steps: 10, ..PlanLimits::default() };
            let plan = Plan::build(&serde_json::from_value(spec).unwrap(), &limits, &HashMap::new()).unwrap();
            let submitted = Submitted {
                id: ExecutionId::new(*id),
                target: "main".parse().unwrap(),
                land: plan.land,
                gate: None,
                origin: "test".into(),
                created: Timestamp(0),
                start_at: None,
                after: None,
                approval: true,
                project: ProjectKind::default(),
                plan: plan.into(),
            };
            engine.handle(Input::Submit(Box::new(submitted)), Timestamp(0)).unwrap();
        }
        let batch = engine.turn(Timestamp(0)).appends.into_iter().map(|append| Append {
            log: append.log,
            expected: append.expected,
            at: Timestamp(0),
            format: record::FORMAT,
            events: append.events.iter().map(record::encode).collect(),
            summary: append.summary,
            tasks: append.tasks,
        });
        let lease = self.store.acquire("project", &holder(), Timestamp(0), Timestamp(1)).await.unwrap();
        self.store.append(&lease, batch.collect()).await.unwrap();
    }

    /// A diamond whose steps `a` and `c` have merged, while `b` hangs.
    async fn half_done(&self) -> (Orchestrator, ExecutionId) {
        self.agents.script("b", Purpose::Work, Script::forever());
        let (enki, _driver) = self.start().await;
        let submission = Submission::new(serde_json::from_str(DIAMOND).unwrap(), "main".parse().unwrap());
        let id = enki.submit(submission).await.unwrap().execution;
        let mut notices = enki.watch();
        let done = move |engine: &Engine| engine.execution(id).is_some_and(|execution| execution.counts().done == 2);
        while !enki.query(done).await.unwrap() {
            notices.recv().await.unwrap();
        }
        (enki, id)
    }
}

fn holder() -> Holder {
    Holder { id: "test".into(), pid: 1, host: "localhost".into(), since: Timestamp(0) }
}

/// A client that writes lines and reads lines.
struct Client {
    stream: BufReader<DuplexStream>,
    server: JoinHandle<Result<(), ServeError>>,
    calls: u64,
}

impl Client {
    /// One that has not said anything.
    fn silent(enki: &Orchestrator) -> Self {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let (read, write) = tokio::io::split(theirs);
        let server = tokio::spawn(EnkiServer::new(enki.clone()).serve(read, write));
        Self { stream: BufReader::new(ours), server, calls: 0 }
    }

    async fn new(enki: &Orchestrator) -> Self {
        let mut client = Self::silent(enki);
        let answer = client.request("initialize", initialize()).await;
        assert!(answer.get("result").is_some(), "{answer}");
        client.line(r#"{"jsonrpc": "2.0", "method": "notifications/initialized"}"#).await;
        client
    }

    async fn line(&mut self, line: &str) {
        self.stream.write_all(line.as_bytes()).await.unwrap();
        self.stream.write_all(b"\n").await.unwrap();
    }

    async fn answer(&mut self) -> Value {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line);
        tokio::time::timeout(Duration::from_secs(600), read).await.expect("an answer").unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line:?}: {e}"))
    }

    async fn request(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        self.line(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()).await;
        let answer = self.answer().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    async fn tools(&mut self) -> Value {
        self.request("tools/list", json!({})).await["result"]["tools"].take()
    }

    async fn try_call(&mut self, tool: &str, arguments: Value) -> Value {
        self.request("tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    /// Text and structured object of a call that went well; the object has what the schema says.
    async fn call(&mut self, tool: &str, arguments: Value) -> (String, Value) {
        let tools = self.tools().await;
        let schema = tools.as_array().unwrap().iter().find(|t| t["name"] == tool).unwrap()["outputSchema"].clone();
        let mut answer = self.try_call(tool, arguments).await;
        let result = answer["result"].take();
        assert_eq!(result["isError"], false, "{answer} {result}");
        let object = result["structuredContent"].as_object().unwrap();
        for key in schema["required"].as_array().unwrap() {
            assert!(object.contains_key(key.as_str().unwrap()), "{key} is missing");
        }
        for key in object.keys() {
            assert!(schema["properties"].get(key).is_some(), "{key} is not in the schema");
        }
        (text(&result), result["structuredContent"].clone())
    }

    /// Text and structured object of a call that could not be done.
    async fn refused(&mut self, tool: &str, arguments: Value) -> (String, Value) {
        let mut answer = self.try_call(tool, arguments).await;
        let mut result = answer["result"].take();
        assert_eq!(result["isError"], true, "{answer} {result}");
        (text(&result), result["structuredContent"]["error"].take())
    }
}

fn initialize() -> Value {
    json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}})
}

fn text(result: &Value) -> String {
    assert_eq!(result["content"].as_array().unwrap().len(), 1, "{result}");
    result["content"][0]["text"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn initialize_is_answered_in_the_clients_revision() {
    let (enki, _driver) = World::new().start().await;
    let mut client = Client::silent(&enki);
    let answer = client.request("initialize", initialize()).await;
    let result = &answer["result"];
    assert_eq!(result["protocolVersion"], "2025-06-18");
    assert_eq!(result["serverInfo"]["name"], "enki");
    assert_eq!(result["capabilities"], json!({"tools": {}}));
    assert!(result["instructions"].as_str().unwrap().contains("enki_status"));
}

#[tokio::test(start_paused = true)]
async fn a_client_of_the_revision_without_initialize_is_served() {
    let (enki, _driver) = World::new().start().await;
    let mut client = Client::silent(&enki);
    let meta = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let answer = client.request("server/discover", json!({"_meta": meta})).await;
    assert!(answer["result"]["supportedVersions"].as_array().unwrap().contains(&json!("2026-07-28")), "{answer}");
    let answer = client.request("tools/call", json!({"_meta": meta, "name": "enki_status", "arguments": {}})).await;
    assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
    assert_eq!(answer["result"]["structuredContent"]["merge_queue_length"], 0);
}

#[tokio::test(start_paused = true)]
async fn the_tools_and_their_schemas_are_public_interface() {
    let (enki, _driver) = World::new().start().await;
    let tools = Client::new(&enki).await.tools().await;
    let names: Vec<&str> = tools.as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["enki_status", "enki_task_list", "enki_dag"]);
    insta::assert_json_snapshot!(tools);
}

#[tokio::test(start_paused = true)]
async fn status_counts_steps_permits_and_holds() {
    let world = World::new();
    world.seed(&[7]).await;
    let (enki, id) = world.half_done().await;
    let mut client = Client::new(&enki).await;
    let (text, status) = client.call("enki_status", json!({"execution_id": id.hex()})).await;
    assert_eq!(status["steps"]["done"], 2);
    assert_eq!(status["steps"]["running"], 1);
    assert_eq!(status["steps"]["pending"], 1);
    assert_eq!(status["steps"]["failed"], 0);
    assert_eq!(status["permits"]["heavy"], json!({"used": 1, "limit": 5}));
    assert_eq!(status["permits"]["runs"], json!({"used": 1, "limit": 10}));
    assert_eq!(status["executions"][0]["execution_id"], id.hex());
    assert_eq!(status["holds"], json!([]));
    let expected = format!(
        "{} ({id})  running  4 steps: 2 done, 1 pending, 1 running  Four\\u{{1b}}[0m rails\n\
         permits: 1/10 runs (light 0/10, standard 0/5, heavy 1/5), 0/6 chains; 0 steps wait for one\n\
         merge queue: 0 changes\nholds: none",
        id.hex()
    );
    assert_eq!(text, expected);

    let (text, status) = client.call("enki_status", json!({})).await;
    assert_eq!(status["executions"].as_array().unwrap().len(), 2);
    assert_eq!(status["executions"][0]["status"], "held");
    let held = ExecutionId::new(7).hex();
    assert_eq!(status["holds"], json!([{"execution_id": held, "hold": 1, "reason": "approval of the decomposition"}]));
    assert!(text.contains(&format!("hold 1 of {held}: approval of the decomposition")), "{text}");
}

#[tokio::test(start_paused = true)]
async fn status_tells_the_length_of_merge_queues_and_why_one_is_paused() {
    let (enki, _driver) = World::new().start().await;
    let spec = json!({"steps": [{"id": "a", "title": "A", "description": "a"}]});
    let mut submission = Submission::new(serde_json::from_value(spec).unwrap(), "main".parse().unwrap());
    // Not even the target passes it: nobody is blamed, the queue pauses with the change in it.
    submission.gate = Some(Gate::new("false", Duration::from_secs(1)));
    let id = enki.submit(submission).await.unwrap().execution;
    enki.rest(id).await.unwrap();
    let (text, status) = Client::new(&enki).await.call("enki_status", json!({"execution_id": id.hex()})).await;
    assert_eq!(status["merge_queue_length"], 1, "{text}");
    assert_eq!(status["merge_queues"][0]["target"], Branch::integration(id).to_string());
    assert!(text.contains("merge queue: 1 change\n"), "{text}");
    assert!(text.contains(": 1, paused: the target itself fails its check: false said no"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn tasks_are_listed_by_status_execution_and_limit() {
    let world = World::new();
    world.seed(&[7]).await;
    let (enki, id) = world.half_done().await;
    let mut client = Client::new(&enki).await;
    let (_, all) = client.call("enki_task_list", json!({})).await;
    assert_eq!(all["total"], 5);
    let steps: Vec<&str> = all["tasks"].as_array().unwrap().iter().map(|t| t["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["a", "b", "c", "d", "a"], "the newest execution first");

    let (text, running) = client.call("enki_task_list", json!({"status": "running"})).await;
    let task = TaskId::of(id, &"b".parse().unwrap()).to_string();
    let expected = json!([{"task_id": task, "execution_id": id.hex(), "step": "b", "status": "running",
                           "tier": "heavy", "title": "B"}]);
    assert_eq!(running["tasks"], expected);
    assert_eq!(text, format!("1 task\nexecution {}\n  {task}  running    heavy     b  B", id.hex()));

    let (text, some) = client.call("enki_task_list", json!({"execution_id": id.short(), "limit": 1})).await;
    assert_eq!((some["total"].as_u64(), some["tasks"].as_array().unwrap().len()), (Some(4), 1));
    assert!(text.starts_with("1 of 4 tasks"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_graph_is_ascii_in_layers() {
    let (enki, id) = World::new().half_done().await;
    let mut client = Client::new(&enki).await;
    let (text, dag) = client.call("enki_dag", json!({"execution_id": format!("exec-{}", &id.short()[..6])})).await;
    let expected = format!(
        "execution {} ({id})  running  4 steps in 3 layers\n\
         layer 1\n  a  done       needs nothing\n\
         layer 2\n  b  running    needs a\n  c  done       needs a\n\
         layer 3\n  d  pending    needs b (completed), c",
        id.hex()
    );
    assert_eq!(text, expected);
    assert!(text.is_ascii());
    assert_eq!(dag["steps"][3]["needs"][0], json!({"on": "b", "condition": "completed", "outside": false}));

    let outside = format!(
        r#"{{"steps": [{{"id": "x", "title": "X", "description": "x", "needs": [{{"task": "{}"}}]}}]}}"#,
        TaskId::of(id, &"d".parse().unwrap())
    );
    let submission = Submission::new(serde_json::from_str(&outside).unwrap(), "main".parse().unwrap());
    let other = enki.submit(submission).await.unwrap().execution;
    let (text, _) = client.call("enki_dag", json!({"execution_id": other.hex()})).await;
    let d = TaskId::of(id, &"d".parse().unwrap());
    assert!(text.ends_with(&format!("layer 1\n  x  pending    needs {d}")), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_id_is_a_result_that_says_what_to_do() {
    let (enki, id) = World::new().half_done().await;
    let mut client = Client::new(&enki).await;
    let full = ExecutionId::new(9).hex();
    for (given, code) in [("ffffffffffff", "NOT_FOUND"), (&full, "NOT_FOUND"), ("exec-", "VALIDATION_ERROR")] {
        for tool in ["enki_status", "enki_task_list", "enki_dag"] {
            let (text, error) = client.refused(tool, json!({"execution_id": given})).await;
            assert_eq!(error["code"], code, "{tool} {given}");
            assert!(text.contains(given) && text.contains("enki_status"), "{text}");
        }
    }
    let task = TaskId::of(id, &"a".parse().unwrap()).to_string();
    for given in ["", "abc", &task, "../../etc", "x\ny"] {
        let (text, error) = client.refused("enki_dag", json!({"execution_id": given})).await;
        assert_eq!(error["code"], "VALIDATION_ERROR", "{given:?}");
        assert!(!text.contains('\n'), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_ambiguous_id_lists_the_candidates() {
    let world = World::new();
    let ids = [0xabcd_0000_0001, 0xabcd_0000_0002, 0xabce_0000_0003_u128];
    world.seed(&ids).await;
    let (enki, _driver) = world.start().await;
    let mut client = Client::new(&enki).await;
    let both = [ExecutionId::new(ids[0]).hex(), ExecutionId::new(ids[1]).hex()];
    for given in ["abcd", "exec-abcd"] {
        let (text, error) = client.refused("enki_status", json!({"execution_id": given})).await;
        assert_eq!(error["code"], "AMBIGUOUS");
        assert_eq!(error["candidates"], json!(both));
        assert!(both.iter().all(|id| text.contains(id)), "{text}");
    }
    for given in ["abce", "exec-abcd00000002", "abcd00000002", &both[1]] {
        client.call("enki_status", json!({"execution_id": given})).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_execution_that_ended_earlier_is_found_by_its_full_id() {
    let world = World::new();
    let (enki, driver) = world.start().await;
    let submission = Submission::new(serde_json::from_str(DIAMOND).unwrap(), "main".parse().unwrap());
    let id = enki.submit(submission).await.unwrap().execution;
    enki.rest(id).await.unwrap();
    enki.shut_down(Shutdown::Drain);
    driver.await.unwrap().unwrap();
    let (enki, _driver) = world.start().await;
    let mut client = Client::new(&enki).await;
    let (text, status) = client.call("enki_status", json!({})).await;
    assert_eq!(status["executions"], json!([]));
    assert!(text.contains("no execution is open"), "{text}");
    let (_, status) = client.call("enki_status", json!({"execution_id": id.hex()})).await;
    assert_eq!(status["steps"]["done"], 4);
    let (_, status) = client.call("enki_status", json!({})).await;
    assert_eq!(status["executions"], json!([]), "it is here now, but not open");
}

#[tokio::test(start_paused = true)]
async fn malformed_lines_leave_the_server_alive() {
    let (enki, _driver) = World::new().start().await;
    let mut client = Client::silent(&enki);
    client.line("not json").await;
    assert!(client.request("initialize", initialize()).await.get("result").is_some());
    client.line(r#"{"jsonrpc": "2.0", "method": "notifications/initialized"}"#).await;
    for bad in ["", "{", "\u{0}\u{1}", r#"{"jsonrpc": "2.0", "id": 9, "meth"#, "\"", "]"] {
        client.line(bad).await;
        client.call("enki_status", json!({})).await;
    }
    client.line(r#"{"jsonrpc": "2.0", "id": 77}"#).await;
    assert_eq!(client.answer().await["error"]["code"], -32600, "JSON, but no message");
    client.call("enki_status", json!({})).await;
}

#[tokio::test(start_paused = true)]
async fn unknown_tools_methods_and_arguments_are_errors_of_the_protocol() {
    let (enki, _driver) = World::new().start().await;
    let mut client = Client::new(&enki).await;
    let answer = client.try_call("enki_cancel", json!({})).await;
    assert_eq!(answer["error"]["code"], -32602);
    assert!(answer["error"]["message"].as_str().unwrap().contains("enki_task_list"), "{answer}");
    for (tool, arguments) in [
        ("enki_dag", json!({})),
        ("enki_dag", json!({"execution_id": 7})),
        ("enki_status", json!({"execution": "abcd"})),
        ("enki_task_list", json!({"status": "open"})),
        ("enki_task_list", json!({"limit": 0})),
        ("enki_task_list", json!({"limit": -1})),
        ("enki_task_list", json!({"limit": 1e9})),
    ] {
        let answer = client.try_call(tool, arguments.clone()).await;
        assert_eq!(answer["error"]["code"], -32602, "{tool} {arguments}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(tool), "{answer}");
    }
    assert_eq!(client.request("enki/unheard_of", json!({})).await["error"]["code"], -32601);
    client.call("enki_status", json!({})).await;
}

#[tokio::test(start_paused = true)]
async fn calls_after_the_orchestrator_has_stopped_say_so() {
    let (enki, driver) = World::new().start().await;
    let mut client = Client::new(&enki).await;
    enki.shut_down(Shutdown::Kill);
    driver.await.unwrap().unwrap();
    let (text, error) = client.refused("enki_status", json!({})).await;
    assert_eq!(error["code"], "UNAVAILABLE");
    assert!(text.contains("has stopped") && text.contains("nothing is lost"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_ends_its_session_without_an_error() {
    let (enki, _driver) = World::new().start().await;
    for client in [Client::silent(&enki), Client::new(&enki).await] {
        drop(client.stream);
        tokio::time::timeout(Duration::from_secs(600), client.server).await.expect("an end").unwrap().unwrap();
    }
    Client::new(&enki).await.call("enki_status", json!({})).await;
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_ends_the_session() {
    let (enki, _driver) = World::new().start().await;
    let mut client = Client::new(&enki).await;
    client.server.abort();
    let mut line = String::new();
    let read = client.stream.read_line(&mut line);
    let read = tokio::time::timeout(Duration::from_secs(600), read).await.expect("the stream closes");
    assert_eq!(read.unwrap(), 0);
}
