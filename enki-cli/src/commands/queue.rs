//! `enki queue`: task notes become executions, and are driven.

use super::Context;
use super::run::configured;
use super::{see, steer};
use crate::args::{Overrides, QueueAddArgs, QueueCommand};
use crate::drive::Signals;
use crate::error::CliError;
use crate::exit::Exit;
use crate::look;
use crate::notes::Notes;
use crate::project::Project;
use crate::queue::driven::{Driven, News};
use crate::queue::keeper::Books;
use crate::queue::{self, How, notes_of, origin, plan, word};
use crate::render::{Paint, time};
use crate::rpc::Client;
use crate::session::{Session, open_to_read};
use crate::source::visible;
use crate::steer::Action;
use crate::wire;
use enki_core::driver::Shutdown;
use enki_core::execution::{Execution, FailReason, StepState};
use enki_core::id::ExecutionId;
use enki_core::spec::{AfterWhen, PlanSpec};
use enki_mcp::Answer;
use enki_notes::{Log, NotePath, Task, TaskStatus};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) async fn run(cx: &mut Context, command: QueueCommand) -> Result<Exit, CliError> {
    match command {
        QueueCommand::Add(args) => add(cx, args).await,
        QueueCommand::List { proposals: true, .. } => proposals(cx),
        QueueCommand::List { all, query, .. } => list(cx, all, query.as_deref()).await,
        QueueCommand::Tail { id, follow } => {
            let id = entry(cx, id)?;
            see::log(cx, &id, follow).await
        }
        QueueCommand::Cancel { id } => cancel(cx, id).await,
        QueueCommand::Run { overrides } => drive(cx, &overrides).await,
    }
}

async fn add(cx: &mut Context, args: QueueAddArgs) -> Result<Exit, CliError> {
    let git = wire::git(&cx.start_dir()?, &cx.host)?;
    let config = configured(cx, &git, &Overrides::default())?;
    let notes = Notes::unsigned(&cx.host, &config, git.root());
    let tasks = args.tasks.iter().map(|text| task(&notes.log, text)).collect::<Result<Vec<Task>, CliError>>()?;
    let known = standing(&git.enki_dir(), &tasks).await?;
    let when = if args.after_any.is_some() { AfterWhen::Any } else { AfterWhen::Success };
    let how = How {
        at: args.at.filter(|at| at != "now"),
        after: args.after.or(args.after_any).map(|id| (id, when)),
        timeout: args.timeout,
        model: args.model,
        tier: args.tier.and_then(|word| serde_json::from_value(Value::String(word)).ok()),
        target: args.target,
    };
    let (value, text) = match known {
        Some(state) => {
            let id = state.id();
            (
                json!({"execution_id": id.hex(), "status": word(&state, false), "known": true}),
                format!("{id} is it already"),
            )
        }
        None => {
            let origin = origin(&tasks);
            if notes_of(&notes.log, &origin).is_none_or(|paths| paths.len() != tasks.len()) {
                return Err(
                    CliError::usage("a note's name has a comma and a space in it").hint("rename it, or add it alone")
                );
            }
            match submit(cx, &git, plan(&tasks, &how)?, &origin).await? {
                Answer::Done { text, value } => (value, text),
                Answer::Failed { text, value } => return Err(refused(&value, text)),
                Answer::Invalid { text } => return Err(CliError::usage(text)),
                Answer::TooMany { wait_ms } => {
                    return Err(CliError::new(Exit::Locked, "too many calls; nothing was done")
                        .hint(format!("try again in {wait_ms} ms")));
                }
            }
        }
    };
    let id: ExecutionId = value["execution_id"]
        .as_str()
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| CliError::new(Exit::Internal, "the entry has no id"))?;
    if let Some(store) = open_to_read(&git.enki_dir())? {
        Books { store, log: Arc::new(notes.log) }.write(id).await?;
    }
    if cx.out.json {
        let paths: Vec<&str> = tasks.iter().map(|task| task.path.as_str()).collect();
        cx.out.object(&json!({"schema": "enki.queued.v1", "queue_id": id.short(), "execution_id": id.to_string(),
            "tasks": paths, "status": value["status"], "known": value["known"]}))?;
        return Ok(Exit::Ok);
    }
    text.lines().skip(1).filter(|line| !line.starts_with("  ")).for_each(|line| cx.out.note(&visible(line)));
    cx.out.line(&id.to_string())?;
    if Client::connect(&git.enki_dir()).await?.is_none() {
        cx.out.note("nobody drives this project now; `enki queue run` does");
    }
    Ok(Exit::Ok)
}

/// A task, as its note says it.
fn task(log: &Log, text: &str) -> Result<Task, CliError> {
    let path = log.find(text)?;
    if path.kind().is_capture() {
        return Err(CliError::usage(format!("{path} is no task yet")).hint(format!("enki promote {path}")));
    }
    let task = log.read_task(&path)?;
    if task.queue_id.is_none() && task.status == Some(TaskStatus::Cancelled) {
        return Err(CliError::usage(format!("{path} was cancelled"))
            .hint("set its status to scheduled, if it shall be done; nothing was started"));
    }
    Ok(task)
}

/// The execution that these are already, if it is open.
async fn standing(enki_dir: &std::path::Path, tasks: &[Task]) -> Result<Option<Execution>, CliError> {
    let Some(store) = open_to_read(enki_dir)? else { return Ok(None) };
    for task in tasks {
        let Some(id) = &task.queue_id else { continue };
        let state = match look::find(store.as_ref(), Some(id)).await {
            Ok(named) => look::load(store.as_ref(), named.execution).await?,
            // The note came from elsewhere, or a person changed it.
            Err(error) if matches!(error.exit, Exit::NotFound | Exit::Usage) => continue,
            Err(error) => return Err(error),
        };
        if state.ended().is_some() {
            continue;
        }
        if tasks.len() > 1 {
            return Err(CliError::usage(format!("{} is in the queue already, as {}", task.path, state.id()))
                .hint("add the others without it; nothing was started"));
        }
        return Ok(Some(state));
    }
    Ok(None)
}

/// Has whoever drives take a plan; while nobody does it is stored for whoever drives next, and no agent starts.
async fn submit(
    cx: &mut Context,
    git: &enki_vcs_git::GitProject,
    spec: PlanSpec,
    origin: &str,
) -> Result<Answer, CliError> {
    if let Some(mut client) = Client::connect(&git.enki_dir()).await? {
        let answer = client.call("submit", json!({"plan": spec, "origin": origin})).await?;
        return serde_json::from_value(answer).map_err(|error| CliError::new(Exit::Internal, error.to_string()));
    }
    let config = configured(cx, git, &Overrides::default())?;
    let mut agents = wire::agents(&cx.backends, &config, &cx.host, git)?;
    agents.may_start = false;
    wire::record_folder(git, &mut cx.out)?;
    let mut session = Session::start(cx, git, &config, &agents).await?;
    let answer = session.office.submit(spec, origin).await;
    session.orchestrator.shut_down(Shutdown::Kill);
    let ended = session.ended().await;
    session.close();
    ended.map(|()| answer)
}

fn refused(value: &Value, text: String) -> CliError {
    let exit = match value["error"]["code"].as_str() {
        Some("NOT_FOUND") => Exit::NotFound,
        Some("LOCKED" | "UNAVAILABLE") => Exit::Locked,
        Some("ENVIRONMENT") => Exit::Environment,
        _ => Exit::Usage,
    };
    CliError::new(exit, text)
}

/// The execution of an entry that is named by itself or by its task's note.
fn entry(cx: &mut Context, text: String) -> Result<String, CliError> {
    if !text.contains('/') && !text.ends_with(".md") {
        return Ok(text);
    }
    let project = Project::require(&cx.start_dir()?)?;
    let log = Notes::read(&project.root);
    // `EXECUTION/step` is no note.
    let Ok(path) = log.find(&text) else { return Ok(text) };
    let task = log.read_task(&path)?;
    task.queue_id.ok_or_else(|| {
        CliError::new(Exit::NotFound, format!("{path} was not started")).hint(format!("enki queue add {path}"))
    })
}

async fn cancel(cx: &mut Context, id: String) -> Result<Exit, CliError> {
    let id = entry(cx, id)?;
    let exit = steer::run(cx, Action::Cancel { id: id.clone() }).await?;
    let project = Project::require(&cx.start_dir()?)?;
    if let Some(store) = open_to_read(&project.state_dir())? {
        let named = look::find(store.as_ref(), Some(&id)).await?;
        let config = cx.config(Some(&project))?;
        let log = Notes::signed(&cx.host, &config, &project.root).log;
        // Where somebody drives they write it; it is the same that is written.
        Books { store, log: Arc::new(log) }.write(named.execution).await?;
    }
    Ok(exit)
}

fn proposals(cx: &mut Context) -> Result<Exit, CliError> {
    let project = Project::require(&cx.start_dir()?)?;
    let found = Notes::read(&project.root).proposals()?;
    if cx.out.json {
        let all: Vec<Value> =
            found.iter().map(|one| json!({"result": one.result.as_str(), "text": one.text})).collect();
        cx.out.object(&json!({"schema": "enki.proposals.v1", "proposals": all}))?;
        return Ok(Exit::Ok);
    }
    for one in &found {
        cx.out.line(&visible(&format!("{}  {}", one.result, one.text)))?;
    }
    if found.is_empty() {
        cx.out.note("no proposals wait for you");
    }
    Ok(Exit::Ok)
}

async fn list(cx: &mut Context, all: bool, query: Option<&str>) -> Result<Exit, CliError> {
    let project = Project::require(&cx.start_dir()?)?;
    let store = open_to_read(&project.state_dir())?;
    let log = Notes::read(&project.root);
    let mut entries = Vec::new();
    if let Some(store) = &store {
        for summary in store.list(&look::listed(!all, u32::MAX)).await? {
            let state = look::load(store.as_ref(), summary.execution).await?;
            let entry = Entry::of(&state, &log);
            let hit = |query: &str| {
                let query = query.to_lowercase();
                let texts = entry.notes.iter().map(NotePath::as_str).chain([entry.title.as_str()]);
                texts.map(str::to_lowercase).any(|text| text.contains(&query))
            };
            if query.is_none_or(hit) {
                entries.push(entry);
            }
        }
    }
    if cx.out.json {
        let entries: Vec<Value> = entries.iter().map(Entry::object).collect();
        cx.out.object(&json!({"schema": "enki.queue.v1", "entries": entries}))?;
        return Ok(Exit::Ok);
    }
    let paint = Paint(cx.out.color_out);
    for entry in &entries {
        cx.out.line(&entry.line(paint))?;
    }
    if entries.is_empty() {
        cx.out.note("nothing is in the queue; `enki queue add TASK` puts a task note in");
    }
    Ok(Exit::Ok)
}

/// `enki trace`.
pub(super) async fn trace(cx: &mut Context, what: &str) -> Result<Exit, CliError> {
    let project = Project::require(&cx.start_dir()?)?;
    let store = open_to_read(&project.state_dir())?;
    let trace = queue::trace::trace(&Notes::read(&project.root), store.as_deref(), what).await?;
    if cx.out.json {
        cx.out.object(&trace.object())?;
        return Ok(Exit::Ok);
    }
    for line in trace.lines() {
        cx.out.line(&visible(&line))?;
    }
    Ok(Exit::Ok)
}

/// What a list tells of an entry.
struct Entry {
    id: ExecutionId,
    title: String,
    status: &'static str,
    notes: Vec<NotePath>,
    created: String,
    at: Option<String>,
    after: Option<ExecutionId>,
    timeout_s: Vec<Option<u64>>,
    tiers: Vec<&'static str>,
    models: Vec<Option<String>>,
}

impl Entry {
    fn of(state: &Execution, log: &Log) -> Self {
        let timed_out =
            |step: &enki_core::execution::StepRun| matches!(step.state, StepState::Failed(FailReason::Timeout));
        let steps = state.plan().steps();
        Self {
            id: state.id(),
            title: state.plan().title.clone(),
            status: word(state, state.steps().iter().any(timed_out)),
            notes: notes_of(log, state.origin()).unwrap_or_default(),
            created: time(state.created()),
            at: state.start_at().map(time),
            after: state.after().map(|(id, _)| id),
            timeout_s: steps.iter().map(|step| step.timeout.map(|timeout| timeout.as_secs())).collect(),
            tiers: steps.iter().map(|step| step.tier.as_str()).collect(),
            models: steps.iter().map(|step| step.model.as_deref().map(str::to_owned)).collect(),
        }
    }

    fn object(&self) -> Value {
        let paths: Vec<&str> = self.notes.iter().map(NotePath::as_str).collect();
        json!({"queue_id": self.id.short(), "execution_id": self.id.to_string(), "title": self.title,
            "status": self.status, "task_paths": paths, "created_at": self.created, "scheduled_at": self.at,
            "after": self.after.map(|id| id.to_string()), "timeout_s": self.timeout_s, "tiers": self.tiers,
            "models": self.models})
    }

    fn line(&self, paint: Paint) -> String {
        let mut line = format!("{}  {:<15}  {}", self.id, paint.status(self.status), visible(&self.title));
        if let Some(at) = &self.at {
            line.push_str(&paint.dim(&format!("  not before {at}")));
        }
        if let Some(after) = self.after {
            line.push_str(&paint.dim(&format!("  after {after}")));
        }
        for note in &self.notes {
            line.push_str(&paint.dim(&format!("  {}", visible(note.as_str()))));
        }
        line
    }
}

/// Drives all that is open, and shows it.
async fn drive(cx: &mut Context, overrides: &Overrides) -> Result<Exit, CliError> {
    let git = wire::git(&cx.start_dir()?, &cx.host)?;
    let config = configured(cx, &git, overrides)?;
    let mut signals = Signals::new()?;
    let mut driven = Driven::start(cx, &git, &config).await?;
    let mut interrupted = None;
    loop {
        if interrupted.is_none() && driven.is_over().await {
            driven.shut_down(Shutdown::Drain);
        }
        tokio::select! {
            news = driven.next() => match news {
                News::Moved(lines) => lines.iter().for_each(|line| line.show(&mut cx.out, None)),
                News::Ended(lines, ended) => {
                    lines.iter().for_each(|line| line.show(&mut cx.out, None));
                    driven.close();
                    ended?;
                    break;
                }
            },
            signal = signals.next() => {
                let how = if interrupted.is_none() { Shutdown::Drain } else { Shutdown::Kill };
                if how == Shutdown::Drain {
                    cx.out.note("stopping: nothing new starts, running steps end; once more stops them now");
                }
                driven.shut_down(how);
                interrupted.get_or_insert(signal);
            }
        }
    }
    Ok(interrupted.unwrap_or_else(|| driven.exit()))
}
