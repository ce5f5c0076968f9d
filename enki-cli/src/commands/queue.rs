//! `enki queue`: task notes become executions, and are driven.

use super::Context;
use super::notes::from_stdin;
use super::run::configured;
use super::{see, steer};
use crate::args::{Overrides, QueueAddArgs, QueueCommand};
use crate::drive::Signals;
use crate::error::CliError;
use crate::exit::Exit;
use crate::look;
use crate::moved::Moved;
use crate::notes::Notes;
use crate::project::Project;
use crate::queue::driven::{Driven, News};
use crate::queue::keeper::Books;
use crate::queue::list::{self, Entry, Filter, Status};
use crate::queue::prompt::{self, Errand};
use crate::queue::wait::{self, Idle, Leaving};
use crate::queue::{self, How, add, model};
use crate::render::Paint;
use crate::session::open_to_read;
use crate::source::visible;
use crate::steer::{Action, Done};
use crate::view::exit_of;
use crate::wire;
use enki_core::advice::approval::Author;
use enki_core::driver::Shutdown;
use enki_core::execution::Execution;
use enki_core::id::ExecutionId;
use enki_core::spec::AfterWhen;
use enki_notes::NotePath;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc;

pub(super) async fn run(cx: &mut Context, command: QueueCommand) -> Result<Exit, CliError> {
    match command {
        QueueCommand::Add(args) => add(cx, args).await,
        QueueCommand::List { proposals: true, .. } => proposals(cx),
        QueueCommand::List { all, status, since, query, .. } => {
            let status = match (all, status) {
                (true, _) => Status::All,
                (false, Some(word)) => Status::named(&word),
                (false, None) => Status::Active,
            };
            let since = since.map(|since| list::since(&since, cx.host.now())).transpose()?;
            show(cx, &Filter { status, since, query }).await
        }
        QueueCommand::Execute { task } => execute(cx, task).await,
        QueueCommand::Prompt { text, model, write } => prompt(cx, text, model, write).await,
        QueueCommand::Tail { id, follow } => {
            let id = entry(cx, id)?;
            see::log(cx, &id, follow).await
        }
        QueueCommand::Cancel { id } => cancel(cx, id).await,
        QueueCommand::Run { overrides } => drive(cx, &overrides).await,
    }
}

async fn add(cx: &mut Context, args: QueueAddArgs) -> Result<Exit, CliError> {
    let when = if args.after_any.is_some() { AfterWhen::Any } else { AfterWhen::Success };
    let how = How {
        at: args.at.filter(|at| at != "now"),
        after: args.after.or(args.after_any).map(|id| (id, when)),
        timeout: args.timeout,
        model: args.model,
        tier: args.tier.as_deref().map(model::tier).transpose()?,
        last: None,
        target: args.target,
    };
    let added = add::add(cx, &args.tasks, &how, Author::Person).await?;
    if cx.out.json {
        cx.out.object(&json!({"schema": "enki.queued.v1", "queue_id": added.id.short(),
            "execution_id": added.id.to_string(), "tasks": added.tasks, "status": added.status, "known": added.known,
            "moved_to": added.moved.map(|moved| moved.project)}))?;
        return Ok(Exit::Ok);
    }
    added.notes.iter().for_each(|line| cx.out.note(&visible(line)));
    cx.out.line(&added.id.to_string())?;
    if !added.driven {
        match &added.moved {
            Some(Moved { project, .. }) => {
                cx.out.note(&format!("nobody drives {project} now; `enki --project {project} queue run` does"));
            }
            None => cx.out.note("nobody drives this project now; `enki queue run` does"),
        }
    }
    Ok(Exit::Ok)
}

/// Does a task, and waits for it.
async fn execute(cx: &mut Context, task: String) -> Result<Exit, CliError> {
    let added = add::add(cx, &[task], &How::default(), Author::Person).await?;
    added.notes.iter().for_each(|line| cx.out.note(&visible(line)));
    print(cx, added.id).await
}

/// Runs a prompt, and waits for it.
async fn prompt(cx: &mut Context, text: String, model: Option<String>, write: bool) -> Result<Exit, CliError> {
    let prompt = if text == "-" { from_stdin(cx)? } else { text };
    // Each time it is asked it is another run, also of the same words.
    let key = Some(format!("prompt:{}", crate::lock::random_hex()));
    let (id, notes) = prompt::put_in(cx, Errand { prompt, model, write, key }, Author::Person).await?;
    notes.iter().for_each(|line| cx.out.note(&visible(line)));
    print(cx, id).await
}

/// Waits for an entry and prints its output. Ctrl-C gives it up.
async fn print(cx: &mut Context, id: ExecutionId) -> Result<Exit, CliError> {
    let (state, exit) = wait_for(cx, id, Leaving::Cancels).await?;
    let came = wait::came(cx, &state).await?;
    if cx.out.json {
        cx.out.object(&json!({"schema": "enki.ran.v1", "queue_id": id.short(), "execution_id": id.to_string(),
            "status": came.status, "output": came.output, "reasons": came.reasons, "results": came.results}))?;
        return Ok(exit);
    }
    for line in came.output.lines() {
        cx.out.line(&visible(line))?;
    }
    came.reasons.iter().for_each(|reason| cx.out.say(&format!("{id} is {}: {}", came.status, visible(reason))));
    came.results.iter().for_each(|path| cx.out.note(&visible(path)));
    Ok(exit)
}

/// Waits for an entry, shows what happens, and tells how the command ends. Where nobody drives this process does.
pub(super) async fn wait_for(
    cx: &mut Context,
    id: ExecutionId,
    leaving: Leaving,
) -> Result<(Execution, Exit), CliError> {
    let mut signals = Signals::new()?;
    let (leave, mut left) = mpsc::channel(1);
    let (tells, mut told) = mpsc::channel(1);
    let listener = tokio::spawn(async move {
        loop {
            let signal = signals.next().await;
            // The first tells how the command ends; who does not wait any more needs no more.
            let _ = tells.try_send(signal);
            if leave.send(()).await.is_err() {
                return;
            }
        }
    });
    let how = wait::How { idle: Idle::Drive, leaving };
    let waited = wait::wait(cx, id, how, &mut left, &mut |out, line| out.note(&visible(line))).await;
    listener.abort();
    let signal = told.try_recv().ok();
    match (waited, signal) {
        (Ok(state), signal) => {
            let exit = signal.unwrap_or_else(|| exit_of(&state));
            Ok((state, exit))
        }
        (Err(error), Some(exit)) => Err(CliError { exit, ..error }),
        (Err(error), None) => Err(error),
    }
}

/// The execution of an entry that is named by itself or by its task's note.
pub(crate) fn entry(cx: &Context, text: String) -> Result<String, CliError> {
    if !text.contains('/') && !text.ends_with(".md") {
        return Ok(text);
    }
    let project = Project::require(&cx.start_dir()?)?;
    let log = Notes::read(&cx.host, &project.root)?;
    // `EXECUTION/step` is no note.
    let Ok(path) = log.find(&text) else { return Ok(text) };
    let task = log.read_task(&path)?;
    task.queue_id.ok_or_else(|| {
        CliError::new(Exit::NotFound, format!("{path} was not started")).hint(format!("enki queue add {path}"))
    })
}

async fn cancel(cx: &mut Context, id: String) -> Result<Exit, CliError> {
    let (done, driven) = give_up(cx, id).await?;
    steer::say(cx, &done, driven)
}

/// Gives an entry up, and has its notes say so. Whether somebody drives comes with it.
pub(crate) async fn give_up(cx: &mut Context, id: String) -> Result<(Done, bool), CliError> {
    let id = entry(cx, id)?;
    let done = steer::perform(cx, Action::Cancel { id: id.clone() }).await?;
    let project = Project::require(&cx.start_dir()?)?;
    if let Some(store) = open_to_read(&project.state_dir())? {
        let named = look::find(store.as_ref(), Some(&id)).await?;
        let config = cx.config(Some(&project))?;
        let log = Notes::signed(&cx.host, &config, &project.root)?.log;
        // Where somebody drives they write it; it is the same that is written.
        Books { store, log: Arc::new(log) }.write(named.execution).await?;
    }
    Ok(done)
}

fn proposals(cx: &mut Context) -> Result<Exit, CliError> {
    let project = Project::require(&cx.start_dir()?)?;
    let found = Notes::read(&cx.host, &project.root)?.proposals()?;
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

async fn show(cx: &mut Context, filter: &Filter) -> Result<Exit, CliError> {
    let project = Project::require(&cx.start_dir()?)?;
    let entries = list::entries(&cx.host, &project, filter).await?;
    if cx.out.json {
        let entries: Vec<Value> = entries.iter().map(object).collect();
        cx.out.object(&json!({"schema": "enki.queue.v1", "entries": entries}))?;
        return Ok(Exit::Ok);
    }
    let paint = Paint(cx.out.color_out);
    for entry in &entries {
        cx.out.line(&line(entry, paint))?;
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
    let log = Notes::read(&cx.host, &project.root)?;
    let trace = queue::trace::trace(&log, store.as_deref(), what).await?;
    if cx.out.json {
        cx.out.object(&trace.object())?;
        return Ok(Exit::Ok);
    }
    for line in trace.lines() {
        cx.out.line(&visible(&line))?;
    }
    Ok(Exit::Ok)
}

fn object(entry: &Entry) -> Value {
    let paths: Vec<&str> = entry.notes.iter().map(NotePath::as_str).collect();
    let timeouts: Vec<u64> = entry.timeouts.iter().map(|limit| limit.seconds).collect();
    json!({"project": entry.project, "queue_id": entry.id.short(), "execution_id": entry.id.to_string(), "title": entry.title,
        "status": entry.status, "task_paths": paths, "created_at": entry.created, "started_at": entry.started,
        "finished_at": entry.finished, "scheduled_at": entry.at, "after": entry.after.map(|id| id.to_string()),
        "steps": entry.tiers.len(), "timeout_s": timeouts, "tiers": entry.tiers, "models": entry.models, "session_ids": entry.sessions,
        "log_path": entry.logs.display().to_string(), "result_notes": entry.results})
}

fn line(entry: &Entry, paint: Paint) -> String {
    let mut line = format!("{}  {:<15}  {}", entry.id, paint.status(entry.status), visible(&entry.title));
    if let Some(at) = &entry.at {
        line.push_str(&paint.dim(&format!("  not before {at}")));
    }
    if let Some(after) = entry.after {
        line.push_str(&paint.dim(&format!("  after {after}")));
    }
    let asked: BTreeSet<u64> = entry.timeouts.iter().filter(|limit| limit.asked).map(|limit| limit.seconds).collect();
    for seconds in asked {
        line.push_str(&paint.dim(&format!("  at most {seconds} s")));
    }
    for note in &entry.notes {
        line.push_str(&paint.dim(&format!("  {}", visible(note.as_str()))));
    }
    line
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
                News::Ended(ended) => {
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
