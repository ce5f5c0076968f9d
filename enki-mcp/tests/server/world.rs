//! What the tests share: a real driver over fakes, an office over it, and a client that speaks lines.

use crate::backlog::Pad;
use crate::worklog::Ledger;
use enki_core::advice::approval::{Decomposition, Preset};
use enki_core::async_trait;
use enki_core::driver::{self, Backends, DriverError, Orchestrator, Settings, Submission};
use enki_core::engine::{Engine, Input};
use enki_core::execution::{ProjectKind, Submitted};
use enki_core::id::ExecutionId;
use enki_core::limits::Limits;
use enki_core::memory::MemoryStore;
use enki_core::plan::{Plan, PlanLimits};
use enki_core::record;
use enki_core::redact::Redactor;
use enki_core::store::{Append, Holder, TaskStore};
use enki_core::tier::Purpose;
use enki_core::time::Timestamp;
use enki_mcp::{
    Activity, Backlog, EnkiServer, Failure, Office, OneTarget, Passes, Post, Project, Seat, ServeError, Site, Token,
    Worklog,
};
use enki_testkit::fakes::{FakeAgents, FakeRefinery, FakeRepository, FakeWorkspaces, Script};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};
use tokio::task::JoinHandle;

pub(crate) const DIAMOND: &str = r#"{"title": "Four\u001b[0m rails", "steps": [
    {"id": "a", "title": "A", "description": "a", "tier": "light"},
    {"id": "b", "title": "B", "description": "b", "needs": ["a"], "tier": "heavy"},
    {"id": "c", "title": "C", "description": "c", "needs": ["a"]},
    {"id": "d", "title": "D", "description": "d", "needs": [{"step": "b", "condition": "completed"}, "c"]}]}"#;

/// A store with agents that do every step but `b`, which hangs.
pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
    workspaces: FakeWorkspaces,
    pub(crate) repository: FakeRepository,
    pub(crate) agents: FakeAgents,
}

pub(crate) type Driving = (Orchestrator, JoinHandle<Result<(), DriverError>>);

impl World {
    pub(crate) fn new() -> Self {
        let repository = FakeRepository::with_files(&"main".parse().unwrap(), &[("README.md", "hi\n")]);
        let workspaces = FakeWorkspaces::new(repository.clone());
        let agents = FakeAgents::new(workspaces.clone());
        agents.otherwise(|spec| Script::success("done").write(format!("{}.txt", spec.step), "x\n"));
        Self { store: Arc::new(MemoryStore::default()), workspaces, repository, agents }
    }

    pub(crate) async fn start(&self) -> Driving {
        let backends = Backends::new(
            self.store.clone(),
            Arc::new(self.workspaces.clone()),
            Arc::new(FakeRefinery::new(self.repository.clone())),
            Arc::new(self.agents.clone()),
        );
        driver::start(backends, Settings::new(holder(), "logs".into())).await.unwrap()
    }

    /// Stores executions of those ids, held for approval.
    pub(crate) async fn seed(&self, ids: &[u128]) {
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
    pub(crate) async fn half_done(&self) -> (Orchestrator, ExecutionId) {
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

/// A token that a test can name.
pub(crate) fn token(n: u8) -> Token {
    Token::of(&[n; 32])
}

/// An office over that driver, for a project that lands on `main`.
pub(crate) fn office(enki: &Orchestrator, preset: Preset) -> (Office, Passes) {
    office_of(enki, preset, Ledger::default())
}

/// The same with that keeper of notes.
pub(crate) fn office_of(enki: &Orchestrator, preset: Preset, ledger: Ledger) -> (Office, Passes) {
    let (activity, passes) = (Activity::default(), Passes::default());
    tokio::spawn(activity.clone().follow(enki.clone()));
    let project = Arc::new(Main(preset, Pad::default(), ledger));
    (Office::new(Arc::new(enki.clone()), project, activity, passes.clone()), passes)
}

impl World {
    /// The mail of that store.
    pub(crate) async fn mail(&self) -> Post {
        let redactor = Redactor::new(["hunter2hunter2".to_owned()]);
        Post::open(self.store.clone(), &holder(), || Timestamp(1_700_000_000_000), redactor).await.unwrap()
    }
}

/// A project that lands on `main`.
#[derive(Debug)]
struct Main(Preset, Pad, Ledger);

#[async_trait]
impl Project for Main {
    async fn site(&self, target: Option<&str>) -> Result<Site, Failure> {
        OneTarget("main".parse().unwrap()).site(target).await
    }
    fn decomposition(&self) -> Decomposition {
        self.0.decomposition()
    }
    fn backlog(&self) -> Option<&dyn Backlog> {
        Some(&self.1)
    }
    fn worklog(&self) -> Option<&dyn Worklog> {
        Some(&self.2)
    }
    fn has_folder(&self, folder: &str) -> bool {
        folder == "src"
    }
}

/// A client that writes lines and reads lines.
pub(crate) struct Client {
    pub(crate) stream: BufReader<DuplexStream>,
    pub(crate) server: JoinHandle<Result<(), ServeError>>,
    calls: u64,
}

impl Client {
    /// A coordinator that has not said anything.
    pub(crate) fn silent(enki: &Orchestrator) -> Self {
        let token = token(1);
        let (office, passes) = office(enki, Preset::Interactive);
        passes.admit_coordinator(token.clone());
        Self::at(&office, token)
    }

    /// Whoever holds that token, before they have said anything.
    pub(crate) fn at(office: &Office, token: Token) -> Self {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let (read, write) = tokio::io::split(theirs);
        let seat = Arc::new(Seat::new(office.clone(), token));
        let server = tokio::spawn(EnkiServer::new(seat).serve(read, write));
        Self { stream: BufReader::new(ours), server, calls: 0 }
    }

    /// A coordinator.
    pub(crate) async fn new(enki: &Orchestrator) -> Self {
        Self::silent(enki).initialized().await
    }

    /// The same over a keeper of notes that the test has too.
    pub(crate) async fn with_ledger(enki: &Orchestrator) -> (Self, Ledger) {
        let (token, ledger) = (token(1), Ledger::default());
        let (office, passes) = office_of(enki, Preset::Interactive, ledger.clone());
        passes.admit_coordinator(token.clone());
        (Self::at(&office, token).initialized().await, ledger)
    }

    /// The same after the handshake.
    pub(crate) async fn initialized(mut self) -> Self {
        let answer = self.request("initialize", initialize()).await;
        assert!(answer.get("result").is_some(), "{answer}");
        self.line(r#"{"jsonrpc": "2.0", "method": "notifications/initialized"}"#).await;
        self
    }

    pub(crate) async fn line(&mut self, line: &str) {
        self.stream.write_all(line.as_bytes()).await.unwrap();
        self.stream.write_all(b"\n").await.unwrap();
    }

    pub(crate) async fn answer(&mut self) -> Value {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line);
        tokio::time::timeout(Duration::from_secs(600), read).await.expect("an answer").unwrap();
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{line:?}: {e}"))
    }

    pub(crate) async fn request(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        self.line(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()).await;
        let answer = self.answer().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }

    pub(crate) async fn tools(&mut self) -> Value {
        self.request("tools/list", json!({})).await["result"]["tools"].take()
    }

    pub(crate) async fn try_call(&mut self, tool: &str, arguments: Value) -> Value {
        self.request("tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    /// Text and structured object of a call that went well; the object has what the schema says.
    pub(crate) async fn call(&mut self, tool: &str, arguments: Value) -> (String, Value) {
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
    pub(crate) async fn refused(&mut self, tool: &str, arguments: Value) -> (String, Value) {
        let mut answer = self.try_call(tool, arguments).await;
        let mut result = answer["result"].take();
        assert_eq!(result["isError"], true, "{answer} {result}");
        (text(&result), result["structuredContent"]["error"].take())
    }
}

pub(crate) fn initialize() -> Value {
    json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}})
}

fn text(result: &Value) -> String {
    assert_eq!(result["content"].as_array().unwrap().len(), 1, "{result}");
    result["content"][0]["text"].as_str().unwrap().to_owned()
}
