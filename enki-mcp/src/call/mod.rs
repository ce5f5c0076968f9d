//! `enki_call` and `enki_tools`: typed commands, with one envelope for all answers.

mod bench;
mod code;
mod envelope;
mod guard;
mod registry;
mod run;
mod traces;

pub use bench::{Bench, Diff, DiffAsk};
pub use code::CallCode;
pub use traces::{Trace, Traces};

pub(crate) use envelope::Envelope;

use crate::answer::Answer;
use crate::failure::Failure;
use crate::find;
use crate::machines::seen;
use crate::office::Office;
use crate::passes::Attempt;
use crate::role::Role;
use code::CallCode as Code;
use enki_core::id::{AttemptNo, EffectId, ExecutionId, TaskId};
use enki_core::time::Timestamp;
use envelope::{Refused, TaskContext};
use guard::{Asked, Call, Found, Session};
use registry::COMMANDS;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How long a call may take: shorter than whoever asks for it at the socket waits.
const DEADLINE: Duration = Duration::from_secs(25);

/// What commands need. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Calls {
    bench: Arc<dyn Bench>,
    traces: Traces,
    clock: fn() -> Timestamp,
    begun: Timestamp,
    number: Arc<AtomicU64>,
}

impl Calls {
    /// Commands over that bench.
    #[must_use]
    pub fn new(bench: Arc<dyn Bench>, traces: Traces, clock: fn() -> Timestamp) -> Self {
        Self { bench, traces, clock, begun: clock(), number: Arc::default() }
    }

    /// A name for a call.
    fn name(&self) -> String {
        let n = self.number.fetch_add(1, Ordering::Relaxed);
        let id = EffectId::of("trace", &[&self.begun.0.to_be_bytes(), &n.to_be_bytes()]).hex();
        format!("trc_{}", &id[..12])
    }

    /// Keeps a trace. What cannot be kept stops no call.
    async fn keep(&self, trace: Trace, input: Value) {
        let traces = self.traces.clone();
        let kept = tokio::task::spawn_blocking(move || traces.keep(trace, &input)).await;
        if let Ok(Err(error)) = kept {
            tracing::warn!(%error, "a call is not traced");
        }
    }

    /// Keeps that a call of any tool was refused, for people to see.
    pub(crate) async fn refused(&self, who: &Who, tool: &str, failure: &Failure, input: Value) {
        let (code, _) = Code::of(failure.code());
        let trace = Trace {
            id: self.name(),
            at: (self.clock)(),
            tool: tool.to_owned(),
            code: code.as_str().to_owned(),
            message: failure.to_string(),
            ..who.trace()
        };
        self.keep(trace, input).await;
    }
}

/// Who calls.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub(crate) role: Option<Role>,
    pub(crate) attempt: Option<Own>,
}

/// The attempt that calls.
#[derive(Clone, Debug)]
pub(crate) struct Own {
    pub(crate) execution: ExecutionId,
    pub(crate) task: TaskId,
    pub(crate) number: AttemptNo,
    pub(crate) workspace: PathBuf,
}

impl From<&Attempt> for Own {
    fn from(attempt: &Attempt) -> Self {
        let Attempt { execution, task, number, workspace, .. } = attempt;
        Self { execution: *execution, task: *task, number: *number, workspace: workspace.clone() }
    }
}

impl Who {
    fn trace(&self) -> Trace {
        let own = self.attempt.as_ref();
        Trace {
            caller: self.role.map_or("nobody", Role::as_str).to_owned(),
            session: own.map(|own| own.task.to_string()),
            execution: own.map(|own| own.execution),
            attempt: own.map(|own| own.number),
            ..Trace::default()
        }
    }
}

/// The fields of a call, for its schema: what is wrong with them is told in an envelope too.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "only its schema is used")]
pub(crate) struct CallInput {
    /// The command, as `enki_tools` lists it.
    tool: String,
    /// Its input.
    #[serde(default)]
    input: Option<Map<String, Value>>,
    /// The id of a task that has a workspace. A worker has its own, and no other.
    #[serde(default)]
    task_session: Option<String>,
    /// Comes back in the answer.
    #[serde(default)]
    request_id: Option<String>,
    /// Nothing is changed, and what would be is told.
    #[serde(default)]
    dry_run: Option<bool>,
}

/// Which commands.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToolsInput {
    /// Only those whose name or description has this.
    #[serde(default)]
    filter: Option<String>,
}

/// The commands.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Listed {
    tools: Vec<ListedTool>,
}

#[derive(Clone, Debug, JsonSchema, Serialize)]
struct ListedTool {
    tool: &'static str,
    about: &'static str,
    /// It needs a session.
    session: bool,
    /// It changes something, and takes `dryRun`.
    changes: bool,
    /// It is called directly, never inside a batch.
    durable: bool,
    /// The schema of its input.
    input: Value,
}

/// Those that a role may call.
pub(crate) fn list(role: Role, input: &ToolsInput) -> Listed {
    let words = input.filter.as_deref().unwrap_or_default().to_lowercase();
    let fits = |text: &str| text.to_lowercase().contains(&words);
    let there = COMMANDS.iter().filter(|command| command.does.is_some() && command.allowed(role));
    let tools = there.filter(|command| fits(command.name) || fits(command.about)).map(|command| ListedTool {
        tool: command.name,
        about: command.about,
        session: command.session,
        changes: command.changes,
        durable: command.durable,
        input: command.input(),
    });
    Listed { tools: tools.collect() }
}

impl Listed {
    pub(crate) fn text(&self) -> String {
        let line = |tool: &ListedTool| {
            format!("{}{}: {}", tool.tool, if tool.session { " (session)" } else { "" }, tool.about)
        };
        self.tools.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// What a running command knows of its call.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    office: Office,
    calls: Calls,
    who: Who,
    role: Role,
    session: Option<Session>,
    request_id: Option<String>,
}

/// Does a call. Whatever becomes of it, the answer is an envelope, and a trace is kept.
pub(crate) async fn call(
    office: &Office,
    calls: &Calls,
    who: Who,
    role: Role,
    arguments: Map<String, Value>,
) -> Answer {
    let (begun, id) = (Instant::now(), calls.name());
    let mut scene = Scene { office: office.clone(), calls: calls.clone(), who, role, session: None, request_id: None };
    let answer = match scene.admit(&arguments).await {
        Ok(call) => scene.watched(call.asked, &id).await,
        Err(refused) => Err(refused),
    };
    let tool = arguments.get("tool").and_then(Value::as_str).unwrap_or_default().to_owned();
    let input = arguments.get("input").cloned().unwrap_or_default();
    let envelope = scene.close(Envelope::of(answer), &tool, input, id, None, begun).await;
    let (text, ok) = (envelope.text(), envelope.ok);
    let value = serde_json::to_value(envelope).unwrap_or_default();
    if ok { Answer::Done { text, value } } else { Answer::Failed { text, value } }
}

impl Scene {
    /// All that is checked before anything runs, in order.
    async fn admit(&mut self, arguments: &Map<String, Value>) -> Result<Call, Refused> {
        let call = guard::read(arguments)?;
        self.request_id.clone_from(&call.request_id);
        call.is_safe()?;
        let found = self.find(call.session.as_deref()).await;
        let own = self.who.attempt.as_ref().map(|own| own.task);
        self.session = call.may(&found, self.role, own)?;
        call.is_whole()?;
        Ok(call)
    }

    /// The session that is named, or that an attempt has.
    async fn find(&self, named: Option<&str>) -> Found {
        let own = self.who.attempt.as_ref();
        let Some(text) = named else {
            return own
                .map_or(Found::None, |own| Found::Open(Session { task: own.task, worktree: own.workspace.clone() }));
        };
        let machines = self.office.machines.as_ref();
        let Ok((execution, step)) = find::task(machines, text).await else { return Found::Unknown(text.to_owned()) };
        let task = seen(machines, move |engine| engine.execution(execution).map(|execution| execution.task(step)));
        let Ok(Some(task)) = task.await else { return Found::Unknown(text.to_owned()) };
        if let Some(own) = own.filter(|own| own.task == task) {
            return Found::Open(Session { task, worktree: own.workspace.clone() });
        }
        match self.calls.bench.workspace(task).await {
            Ok(Some(worktree)) => Found::Open(Session { task, worktree }),
            Ok(None) | Err(_) => Found::Unknown(text.to_owned()),
        }
    }

    /// Runs to an answer, also if the command breaks or takes too long.
    async fn watched(&self, asked: Asked, id: &str) -> Result<Value, Refused> {
        let (scene, id, name) = (self.clone(), id.to_owned(), asked.command.name);
        let mut run = tokio::spawn(async move { scene.run(&asked, &id).await });
        match tokio::time::timeout(DEADLINE, &mut run).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Err(Refused::new(Code::Internal, format!("{name} broke: {error}"))),
            Err(_) => {
                run.abort();
                let message = format!("{name} did not end within {} s", DEADLINE.as_secs());
                Err(Refused::new(Code::Timeout, message))
            }
        }
    }

    /// Fills in what all answers have, and keeps a trace.
    async fn close(
        &self,
        envelope: Envelope,
        tool: &str,
        input: Value,
        id: String,
        parent: Option<String>,
        begun: Instant,
    ) -> Envelope {
        let at = (self.calls.clock)();
        let now = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
        let context = self.session.as_ref().map(|session| TaskContext {
            task_session: session.task.to_string(),
            branch: session.branch(),
            worktree: session.worktree.to_string_lossy().into_owned(),
            tmux_session: None,
            source: "taskSession",
        });
        let envelope = Envelope {
            now: now.to_string(),
            duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            trace_id: id,
            request_id: self.request_id.clone(),
            task_context: context,
            ..envelope
        };
        let mut trace = Trace {
            id: envelope.trace_id.clone(),
            at,
            tool: tool.to_owned(),
            code: envelope.code.as_str().to_owned(),
            message: envelope.message.clone(),
            duration_ms: envelope.duration_ms,
            parent,
            ..self.who.trace()
        };
        if let Some(session) = &self.session {
            trace.session = Some(session.task.to_string());
        }
        self.calls.keep(trace, input).await;
        envelope
    }
}
