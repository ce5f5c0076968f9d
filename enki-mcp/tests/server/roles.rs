//! Who may what: every tool, for every role, in every state of a session.

use crate::worklog::Ledger;
use crate::world::{Client, World, office_of, token};
use enki_core::advice::approval::Preset;
use enki_core::agent::AgentSpec;
use enki_core::async_trait;
use enki_core::driver::Shutdown;
use enki_core::id::TaskId;
use enki_core::recall::Recall;
use enki_core::redact::Redactor;
use enki_core::tier::Purpose;
use enki_core::time::Timestamp;
use enki_mcp::{Bench, Calls, Diff, DiffAsk, Failure, Office, Passes, Role, Token, Tool, Traces};
use enki_testkit::fakes::Script;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

#[tokio::test(start_paused = true)]
async fn the_tools_and_their_schemas_are_public_interface() {
    let (enki, _driver) = World::new().start().await;
    let tools = Client::new(&enki).await.tools().await;
    insta::assert_json_snapshot!("the_tools_of_a_coordinator", tools);
}

#[tokio::test(start_paused = true)]
async fn what_agents_alone_have_is_public_interface() {
    let cast = Cast::new().await;
    let mut worker = Client::at(&cast.office, Cast::token(Role::Worker)).initialized().await;
    let tools = worker.tools().await;
    let own: Vec<&Value> = tools
        .as_array()
        .unwrap()
        .iter()
        .filter(|tool| !Tool::named(tool["name"].as_str().unwrap()).unwrap().allowed(Role::Coordinator))
        .collect();
    insta::assert_json_snapshot!("the_tools_of_a_worker_alone", own);
}

/// An attempt of each kind, alive, each with a token.
pub(crate) struct Cast {
    world: World,
    enki: enki_core::driver::Orchestrator,
    pub(crate) office: Office,
    pub(crate) ledger: Ledger,
    passes: Passes,
    _dir: tempfile::TempDir,
}

/// No workspaces, and nothing remembered.
#[derive(Debug)]
struct Bare;

#[async_trait]
impl Bench for Bare {
    async fn workspace(&self, _: TaskId) -> Result<Option<PathBuf>, Failure> {
        Ok(None)
    }

    async fn diff(&self, _: TaskId, _: DiffAsk) -> Result<Option<Diff>, Failure> {
        Ok(None)
    }

    fn recall(&self) -> Option<Arc<dyn Recall>> {
        None
    }
}

impl Cast {
    pub(crate) async fn new() -> Self {
        let world = World::new();
        for step in ["work", "read", "task"] {
            world.agents.script(step, Purpose::Work, Script::forever());
        }
        world.agents.script("judged", Purpose::Work, Script::success("done").write("judged.txt", "x\n"));
        world.agents.script("judged", Purpose::Review, Script::forever());
        // Two changes of one line: the second to merge is brought together by a resolver.
        world.agents.script("one", Purpose::Work, Script::success("done").write("README.md", "one\n"));
        world.agents.script("two", Purpose::Work, Script::success("done").write("README.md", "two\n"));
        for step in ["one", "two"] {
            world.agents.script(step, Purpose::Resolve, Script::forever());
        }
        let (enki, _driver) = world.start().await;
        let ledger = Ledger::default();
        let (office, passes) = office_of(&enki, Preset::Autonomous, ledger.clone());
        let dir = tempfile::tempdir().unwrap();
        let calls = Calls::new(Arc::new(Bare), Traces::new(dir.path().into(), Redactor::default()), || Timestamp(0));
        let office = office.with_mail(world.mail().await).with_calls(calls);
        let cast = Self { world, enki, office, ledger, passes, _dir: dir };
        cast.passes.admit_coordinator(Self::token(Role::Coordinator));
        let step = |id: &str, more: Value| {
            let mut step = json!({"id": id, "title": "T", "description": "d"});
            step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            step
        };
        let plan = json!({"steps": [
            step("work", json!({})), step("read", json!({"role": "reviewer"})), step("judged", json!({"review": "code"})),
            step("one", json!({})), step("two", json!({}))]});
        cast.made("enki_execution_create", plan).await;
        cast.made("enki_quick_task", json!({"prompt": "Quick."})).await;
        for role in Role::ALL {
            if role != Role::Coordinator {
                let spec = cast.attempt(role).await;
                cast.passes.admit_attempt(Self::token(role), &spec);
            }
        }
        cast
    }

    const fn token_number(role: Role) -> u8 {
        role as u8 + 1
    }

    pub(crate) fn token(role: Role) -> Token {
        token(Self::token_number(role))
    }

    async fn made(&self, tool: &str, arguments: Value) {
        let arguments = arguments.as_object().unwrap().clone();
        let answer = self.office.call(&Self::token(Role::Coordinator), tool, arguments).await;
        assert!(matches!(answer, enki_mcp::Answer::Done { .. }), "{answer:?}");
    }

    /// The live attempt whose agent has that role, waited for.
    pub(crate) async fn attempt(&self, role: Role) -> AgentSpec {
        let plays = |spec: &AgentSpec| match role {
            Role::Worker => spec.step.as_str() == "work",
            Role::Reader => spec.step.as_str() == "read",
            Role::Reviewer => spec.purpose == Purpose::Review,
            Role::Resolver => spec.purpose == Purpose::Resolve,
            _ => spec.step.as_str() == "task",
        };
        let mut notices = self.enki.watch();
        loop {
            if let Some(spec) = self.world.agents.started().into_iter().find(plays) {
                return spec;
            }
            notices.recv().await.unwrap();
        }
    }

    /// What becomes of each call of each tool.
    async fn row(&self, state: &str, mut client: Client) -> String {
        let mut row = String::new();
        let listed = client.request("tools/list", json!({})).await;
        let listed: Vec<String> = match listed["result"]["tools"].as_array() {
            Some(tools) => tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect(),
            None => Vec::new(),
        };
        for tool in Tool::ALL {
            // Arguments that fit and change nothing: what counts is whether the call gets through.
            let nobody = json!("ffffffffffff");
            let arguments = match tool {
                Tool::Status | Tool::TaskList | Tool::StopAll => json!({}),
                Tool::Dag | Tool::Pause | Tool::Cancel | Tool::Resume => json!({"execution_id": nobody}),
                Tool::AddSteps => json!({"execution_id": nobody, "steps": []}),
                Tool::ExecutionCreate => json!({"steps": []}),
                Tool::TaskCreate => json!({"title": "", "description": ""}),
                Tool::QuickTask => json!({"prompt": ""}),
                Tool::Retry => json!({"task_id": nobody}),
                Tool::BacklogAdd => json!({"body": ""}),
                Tool::BacklogList => json!({}),
                Tool::BacklogUpdate => json!({"id": nobody, "body": ""}),
                Tool::BacklogRemove | Tool::BacklogPick => json!({"id": nobody}),
                Tool::Note => json!({"text": "", "project_id": "."}),
                Tool::Promote => json!({"source": nobody}),
                Tool::Schedule => json!({"task_path": nobody, "project": "."}),
                Tool::Enqueue | Tool::Execute => json!({"task_path": nobody}),
                Tool::RunPrompt => json!({"project": nobody, "prompt": "Count."}),
                Tool::QueueList | Tool::Projects => json!({}),
                Tool::Tail | Tool::QueueCancel => json!({"queue_id": nobody}),
                Tool::NoteResolve | Tool::Trace => json!({"id": nobody}),
                Tool::Report => json!({"status": ""}),
                Tool::Edit => json!({"path": "../x", "content": ""}),
                Tool::MailSend => json!({"to": "nobody", "subject": "", "body": ""}),
                Tool::MailCheck | Tool::MailInbox => json!({}),
                Tool::MailRead => json!({"message_id": "msg-99"}),
                Tool::MailReply => json!({"message_id": "msg-99", "body": "b"}),
                Tool::MailThread => json!({"thread_id": "msg-99"}),
                Tool::Call => json!({"tool": "trace.search"}),
                Tool::Tools => json!({}),
                other => panic!("no call of {other:?} is tried"),
            };
            let answer = client.try_call(tool.name(), arguments).await;
            let result = &answer["result"];
            let outcome = if let Some(error) = answer.get("error") {
                error["code"].to_string()
            } else if result["isError"] == true {
                result["structuredContent"]["error"]["code"].as_str().unwrap().to_owned()
            } else {
                "ok".to_owned()
            };
            let through =
                matches!(outcome.as_str(), "ok" | "SAFETY_BLOCKED" | "NOT_FOUND" | "VALIDATION_ERROR" | "PLAN_INVALID");
            let is_listed = listed.iter().any(|name| name == tool.name());
            if state == "live" {
                assert_eq!(through, is_listed, "{}: what is listed is what is allowed", tool.name());
            }
            let sign = if is_listed { "*" } else { " " };
            writeln!(row, "  {sign} {:26}{outcome}", tool.name()).unwrap();
        }
        row
    }
}

#[tokio::test(start_paused = true)]
async fn every_tool_for_every_role_in_every_state() {
    let cast = Cast::new().await;
    let mut table = String::from("* listed\n");
    let seat = |role: Role| Client::at(&cast.office, Cast::token(role));
    for role in Role::ALL {
        // Last of the living: it stops them all.
        if role != Role::Coordinator {
            let row = cast.row("live", seat(role).initialized().await).await;
            writeln!(table, "{}, live\n{row}", role.as_str()).unwrap();
        }
    }
    let row = cast.row("live", seat(Role::Coordinator).initialized().await).await;
    writeln!(table, "coordinator, live\n{row}").unwrap();
    for role in Role::ALL {
        if role != Role::Coordinator {
            let row = cast.row("ended", seat(role).initialized().await).await;
            writeln!(table, "{}, its attempt is over\n{row}", role.as_str()).unwrap();
            cast.passes.dismiss(&Cast::token(role));
            let closed = cast.row("ended", seat(role).initialized().await).await;
            writeln!(table, "{}, its token is dismissed\n{closed}", role.as_str()).unwrap();
        }
    }
    let row = cast.row("unknown", Client::at(&cast.office, token(99)).initialized().await).await;
    writeln!(table, "an unknown token\n{row}").unwrap();
    let row = cast.row("unknown", Client::at(&cast.office, String::new().into()).initialized().await).await;
    writeln!(table, "no token\n{row}").unwrap();
    cast.enki.shut_down(Shutdown::Kill);
    while cast.enki.query(|_| ()).await.is_ok() {}
    let row = cast.row("stopped", seat(Role::Coordinator).initialized().await).await;
    writeln!(table, "coordinator, the orchestrator has stopped\n{row}").unwrap();
    insta::assert_snapshot!(table);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_called_before_the_handshake() {
    let cast = Cast::new().await;
    for role in Role::ALL {
        for tool in Tool::ALL {
            let mut client = Client::at(&cast.office, Cast::token(role));
            let answer = client.try_call(tool.name(), json!({})).await;
            assert!(answer.get("result").is_none(), "{} of a {}: {answer}", tool.name(), role.as_str());
            assert_eq!(answer["error"]["code"], -32600, "{answer}");
        }
    }
    assert!(cast.enki.query(|engine| engine.executions().all(|e| !e.is_paused())).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_role_in_the_arguments_gives_nothing() {
    let cast = Cast::new().await;
    let mut worker = Client::at(&cast.office, Cast::token(Role::Worker)).initialized().await;
    let (_, error) = worker.refused("enki_stop_all", json!({"role": "coordinator"})).await;
    assert_eq!(error["code"], "NOT_ALLOWED");
    let answer = worker.try_call("enki_status", json!({"role": "coordinator"})).await;
    assert_eq!(answer["error"]["code"], -32602);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_the_attempts_alone() {
    let cast = Cast::new().await;
    let mut worker = Client::at(&cast.office, Cast::token(Role::Worker)).initialized().await;
    let (_, reported) = worker.call("enki_worker_report", json!({"status": "mine"})).await;
    let work = cast.attempt(Role::Worker).await;
    assert_eq!(reported["task_id"], work.task.to_string(), "it can speak of no other task");
    cast.passes.dismiss_attempt(work.id);
    let (_, error) = worker.refused("enki_worker_report", json!({"status": "mine"})).await;
    assert_eq!(error["code"], "NOT_ALLOWED");
    let mut reader = Client::at(&cast.office, Cast::token(Role::Reader)).initialized().await;
    reader.call("enki_worker_report", json!({"status": "not dismissed"})).await;
    assert!(!format!("{:?}", Cast::token(Role::Worker)).contains("0202"), "a secret is in no debug output");
}
