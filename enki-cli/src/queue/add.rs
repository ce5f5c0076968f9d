//! Task notes are put into the queue: by a person at a terminal, or by a coordinator.

use super::keeper::Books;
use super::{How, model, notes_of, origin, plan, word};
use crate::args::Overrides;
use crate::commands::Context;
use crate::commands::run::configured;
use crate::error::CliError;
use crate::exit::Exit;
use crate::look;
use crate::moved::{self, Moved};
use crate::notes::{self, Notes};
use crate::registry::Registry;
use crate::rpc::Client;
use crate::session::{Session, open_to_read};
use crate::wire;
use enki_core::advice::approval::Author;
use enki_core::driver::Shutdown;
use enki_core::execution::Execution;
use enki_core::id::ExecutionId;
use enki_core::spec::PlanSpec;
use enki_core::tier::Tier;
use enki_mcp::{Answer, Code};
use enki_notes::{Log, NotePath, Promotion, Task, TaskStatus};
use enki_vcs_git::GitProject;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// An entry that is in the queue.
#[derive(Clone, Debug)]
pub(crate) struct Added {
    pub(crate) id: ExecutionId,
    pub(crate) status: String,
    /// Whether it was there already.
    pub(crate) known: bool,
    pub(crate) tasks: Vec<String>,
    /// What whoever added it should know.
    pub(crate) notes: Vec<String>,
    /// Whether anybody drives the project now.
    pub(crate) driven: bool,
    /// The project that the notes are of, if that is not the one where they were.
    pub(crate) moved: Option<Moved>,
}

/// Puts these task notes of the project of `cx` into the queue, as one entry; or of the project that they name, which `cx` is
/// about afterwards. The same again is the same entry until that has ended.
pub(crate) async fn add(cx: &mut Context, texts: &[String], how: &How, author: Author) -> Result<Added, CliError> {
    let git = wire::git(&cx.start_dir()?, &cx.host)?;
    let config = configured(cx, &git, &Overrides::default())?;
    let notes = Notes::unsigned(&cx.host, &config, git.root())?;
    let paths = texts.iter().map(|text| task_path(&notes.log, text)).collect::<Result<Vec<_>, _>>()?;
    none_runs(cx, git.root(), &notes.log, &git.enki_dir(), &paths).await?;
    if let Some(moved) = moved::follow(cx, git.root(), &notes.log, &paths)? {
        let texts: Vec<String> = moved.notes.iter().map(NotePath::to_string).collect();
        let added = Box::pin(add(cx, &texts, how, author)).await?;
        return Ok(Added { moved: Some(moved), ..added });
    }
    let tasks = paths.iter().map(|path| task(&notes.log, path)).collect::<Result<Vec<Task>, CliError>>()?;
    let store = open_to_read(&git.enki_dir())?;
    if let Some((id, _)) = &how.after {
        let known = match &store {
            Some(store) => look::find(store.as_ref(), Some(id)).await.map(|_| ()),
            None => Err(look::not_found(id)),
        };
        known.map_err(|error| CliError { message: format!("after: {}", error.message), ..error })?;
    }
    let (id, status, known, more) = match standing(&git.enki_dir(), &tasks).await? {
        Some(state) => (state.id(), word(&state, false).to_owned(), true, Vec::new()),
        None => {
            let origin = origin(&tasks);
            if notes_of(&notes.log, &origin).is_none_or(|paths| paths.len() != tasks.len()) {
                return Err(
                    CliError::usage("a note's name has a comma and a space in it").hint("rename it, or add it alone")
                );
            }
            // A list of projects that cannot be read says nothing of this one; commands on it say why.
            let registry = Registry::load(&cx.host).ok();
            let (plan, more) = plan(&tasks, how, registry.as_ref().and_then(|all| all.model_of(git.root())))?;
            let (id, value) = submit(cx, &git, plan, &origin, author).await?;
            let lines = |key: &str| value[key].as_array().cloned().unwrap_or_default();
            let said = lines("notes").into_iter().filter_map(|note| Some(note.as_str()?.to_owned()));
            let advice = lines("warnings").into_iter().filter_map(|one| {
                Some(format!(
                    "advice ({}): {} {}",
                    one["rule"].as_str()?,
                    one["message"].as_str()?,
                    one["suggestion"].as_str()?
                ))
            });
            let more = more.into_iter().chain(said).chain(advice).collect();
            (id, value["status"].as_str().unwrap_or_default().to_owned(), value["known"] == true, more)
        }
    };
    if let Some(store) = open_to_read(&git.enki_dir())? {
        Books { store, log: Arc::new(notes.log) }.write(id).await?;
    }
    Ok(Added {
        id,
        status,
        known,
        tasks: tasks.iter().map(|task| task.path.to_string()).collect(),
        notes: more,
        driven: Client::connect(&git.enki_dir()).await?.is_some(),
        moved: None,
    })
}

/// Starts a note now: it is promoted, unless it is a task already, and that task is put in. Each of these is done once, also if it
/// is asked for again after a crash in between.
pub(crate) async fn dispatch(
    cx: &mut Context,
    note: &NotePath,
    promotion: &Promotion,
    author: Author,
) -> Result<Added, CliError> {
    let (task, moved) = match note.kind().is_capture() {
        true => {
            let made = notes::promote(cx, note.as_str(), promotion).await?;
            (made.promoted.task, made.moved)
        }
        false => (note.clone(), None),
    };
    let tier = promotion.tier.as_deref().map(model::tier).transpose()?;
    // Nobody has looked at how much it is.
    let how = How { model: promotion.model.clone(), tier, last: Some(Tier::Heavy), ..How::default() };
    let added = add(cx, &[task.to_string()], &how, author).await.map_err(|error| {
        let hint = error.hint.as_deref().unwrap_or("try again");
        let hint = format!("{hint}; the note stands, and its task {task} can be put in again");
        error.hint(hint)
    })?;
    Ok(Added { moved: added.moved.or(moved), ..added })
}

/// The note of a task.
fn task_path(log: &Log, text: &str) -> Result<NotePath, CliError> {
    let path = log.find(text)?;
    if path.kind().is_capture() {
        return Err(CliError::usage(format!("{path} is no task yet")).hint(format!("enki promote {path}")));
    }
    Ok(path)
}

/// Of these, none that goes to another project is in the queue here.
async fn none_runs(cx: &Context, root: &Path, log: &Log, enki_dir: &Path, paths: &[NotePath]) -> Result<(), CliError> {
    let Ok(registry) = Registry::load(&cx.host) else { return Ok(()) };
    for path in paths {
        let Some(name) = moved::other(&registry, root, log, path) else { continue };
        if let Some(state) = standing(enki_dir, &[log.read_task(path)?]).await? {
            let (id, wrong) = (state.id().short(), format!("{path} is of project {name}, and in the queue here"));
            return Err(CliError::usage(format!("{wrong} as {id}"))
                .hint(format!("enki queue cancel {id}, then put it in again; or change its project_primary back")));
        }
    }
    Ok(())
}

/// A task, as its note says it.
fn task(log: &Log, path: &NotePath) -> Result<Task, CliError> {
    let task = log.read_task(path)?;
    if task.queue_id.is_none() && task.status == Some(TaskStatus::Cancelled) {
        return Err(CliError::usage(format!("{path} was cancelled"))
            .hint("set its status to scheduled, if it shall be done; nothing was started"));
    }
    Ok(task)
}

/// The execution that these are already, if it is open.
async fn standing(enki_dir: &Path, tasks: &[Task]) -> Result<Option<Execution>, CliError> {
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
pub(super) async fn submit(
    cx: &mut Context,
    git: &GitProject,
    spec: PlanSpec,
    origin: &str,
    author: Author,
) -> Result<(ExecutionId, Value), CliError> {
    let answer = match Client::connect(&git.enki_dir()).await? {
        Some(mut client) => {
            let by = if author == Author::Coordinator { "coordinator" } else { "person" };
            let answer = client.call("submit", json!({"plan": spec, "origin": origin, "by": by})).await?;
            serde_json::from_value(answer).map_err(|error| CliError::new(Exit::Internal, error.to_string()))?
        }
        None => store(cx, git, spec, origin, author).await?,
    };
    match answer {
        Answer::Done { value, .. } => {
            let id = value["execution_id"].as_str().and_then(|id| id.parse().ok());
            let id = id.ok_or_else(|| CliError::new(Exit::Internal, "the entry has no id"))?;
            Ok((id, value))
        }
        Answer::Failed { text, value } => Err(refused(&value, text)),
        Answer::Invalid { text } => Err(CliError::usage(text)),
        Answer::TooMany { wait_ms } => {
            Err(CliError::new(Exit::Locked, "too many calls; nothing was done")
                .hint(format!("try again in {wait_ms} ms")))
        }
    }
}

async fn store(
    cx: &mut Context,
    git: &GitProject,
    spec: PlanSpec,
    origin: &str,
    author: Author,
) -> Result<Answer, CliError> {
    let config = configured(cx, git, &Overrides::default())?;
    let mut agents = wire::agents(&cx.backends, &config, &cx.host, git)?;
    agents.may_start = false;
    wire::record_folder(git, &mut cx.out)?;
    let mut session = Session::start(cx, git, &config, &agents).await?;
    let answer = session.office.submit(spec, origin, author).await;
    session.orchestrator.shut_down(Shutdown::Kill);
    let ended = session.ended().await;
    session.close();
    ended.map(|()| answer)
}

fn refused(value: &Value, text: String) -> CliError {
    let code = serde_json::from_value(value["error"]["code"].clone()).ok();
    let exit = match code {
        Some(Code::NotFound) => Exit::NotFound,
        Some(Code::Locked | Code::Unavailable) => Exit::Locked,
        Some(Code::Environment) => Exit::Environment,
        _ => Exit::Usage,
    };
    CliError { code, ..CliError::new(exit, text) }
}
