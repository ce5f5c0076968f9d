//! From a thought to its result and back: what a note, an entry, a task or a commit belongs to.

use super::notes_of;
use crate::error::CliError;
use crate::exit::Exit;
use crate::look::{self, Logged};
use crate::render::time;
use enki_core::execution::{Event, Execution, StepState};
use enki_core::id::{ExecutionId, StepIx};
use enki_core::store::{Found, TaskStore};
use enki_notes::{Kind, Log, Note, NoteError, NotePath};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// All that belongs to one task.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// The note that it was made of.
    pub(crate) source: Option<Noted>,
    pub(crate) task: Option<Noted>,
    /// The oldest first.
    pub(crate) entries: Vec<Entry>,
    pub(crate) results: Vec<Noted>,
    /// Issues that were filed because it failed.
    pub(crate) issues: Vec<Noted>,
    /// Links that lead nowhere.
    pub(crate) broken: Vec<String>,
}

/// A note, as far as it is shown.
#[derive(Debug)]
pub(crate) struct Noted {
    pub(crate) path: String,
    pub(crate) title: String,
    pub(crate) status: String,
}

/// An execution of it.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: ExecutionId,
    pub(crate) status: &'static str,
    pub(crate) created: String,
    pub(crate) after: Option<ExecutionId>,
    /// Which attempt, what for, how it ended.
    pub(crate) attempts: Vec<Tried>,
    /// What became of its change.
    pub(crate) commit: Option<String>,
    pub(crate) landed: Option<String>,
    pub(crate) reason: Option<String>,
}

/// An attempt.
#[derive(Debug)]
pub(crate) struct Tried {
    pub(crate) number: u32,
    pub(crate) purpose: String,
    pub(crate) at: String,
    /// What it left.
    pub(crate) work: Option<String>,
    pub(crate) ended: bool,
}

/// What a text names: a note of any kind, an execution, a task or a commit.
pub(crate) async fn trace(log: &Log, store: Option<&dyn TaskStore>, text: &str) -> Result<Trace, CliError> {
    let mut trace = Trace::default();
    let task = match log.find(text) {
        Ok(path) => match task_of_note(log, &path, &mut trace)? {
            Some(task) => task,
            // A thought that nothing was made of yet.
            None => return Ok(trace),
        },
        Err(NoteError::NotFound { .. }) => match task_of_work(log, store, text, &mut trace).await? {
            Some(task) => task,
            None => return Ok(trace),
        },
        Err(error) => return Err(error.into()),
    };
    fill(log, store, &task, &mut trace).await?;
    Ok(trace)
}

/// The task that a note belongs to.
fn task_of_note(log: &Log, path: &NotePath, trace: &mut Trace) -> Result<Option<NotePath>, CliError> {
    let note = log.read(path)?;
    let linked = |key: &str| note.document.text(key).map(str::to_owned);
    let link = match path.kind() {
        Kind::Task => return Ok(Some(path.clone())),
        Kind::Result => linked("task"),
        _ => linked("task_note"),
    };
    let task = link.as_deref().and_then(|link| log.path(link));
    if task.is_none() {
        trace.broken.extend(link);
        trace.source = Some(noted(&note));
    }
    Ok(task)
}

/// The task that an execution, a task or a commit belongs to; one that was made of no note is told alone.
async fn task_of_work(
    log: &Log,
    store: Option<&dyn TaskStore>,
    text: &str,
    trace: &mut Trace,
) -> Result<Option<NotePath>, CliError> {
    let unknown = || {
        CliError::new(Exit::NotFound, format!("nothing is known of {text:?}"))
            .hint("give a note, an entry, a task, or a commit that a result names, or the beginning of one")
    };
    if let Some(store) = store {
        let found = store.find(text).await.unwrap_or_default();
        let found = match found.as_slice() {
            [Found::Execution(id)] => Some((*id, StepIx(0))),
            [Found::Task { execution, ix, .. }] => Some((*execution, *ix)),
            _ => None,
        };
        if let Some((id, ix)) = found {
            let events = look::events(store, id).await?;
            let state = look::fold(&events).ok_or_else(unknown)?;
            let paths = notes_of(log, state.origin()).unwrap_or_default();
            let task = paths.get(ix.index()).cloned();
            if task.is_none() {
                trace.entries.push(entry(&state, &events, ix));
            }
            return Ok(task);
        }
    }
    if text.len() < 7 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(unknown());
    }
    for head in log.list(&[Kind::Result])?.heads {
        let Ok(note) = log.read(&head.path) else { continue };
        if note.document.text("commit").is_some_and(|commit| commit.starts_with(&text.to_ascii_lowercase())) {
            return Ok(note.document.text("task").and_then(|task| log.path(task)));
        }
    }
    Err(unknown())
}

async fn fill(log: &Log, store: Option<&dyn TaskStore>, task: &NotePath, trace: &mut Trace) -> Result<(), CliError> {
    let mut ids: BTreeSet<String> = BTreeSet::new();
    match log.read(task) {
        Ok(note) => {
            if let Some(source) = note.document.text("source_note") {
                match log.path(source).map(|path| log.read(&path)) {
                    Some(Ok(source)) => trace.source = Some(noted(&source)),
                    _ => trace.broken.push(source.to_owned()),
                }
            }
            ids.extend(note.document.text("queue_id").map(str::to_owned));
            trace.task = Some(noted(&note));
        }
        Err(NoteError::NotFound { .. } | NoteError::Broken(_)) => trace.broken.push(task.to_string()),
        Err(error) => return Err(error.into()),
    }
    let mut results: Vec<String> = Vec::new();
    for head in log.list(&[Kind::Result])?.heads.into_iter().rev() {
        let Ok(note) = log.read(&head.path) else { continue };
        if note.document.text("task") == Some(task.as_str()) {
            ids.extend(note.document.text("queue_id").map(str::to_owned));
            results.push(head.path.to_string());
            trace.results.push(noted(&note));
        }
    }
    for head in log.list(&[Kind::Issue])?.heads.into_iter().rev() {
        if results.iter().any(|result| head.beginning.contains(result)) {
            trace.issues.push(Noted { path: head.path.to_string(), title: head.title, status: head.status });
        }
    }
    let Some(store) = store else { return Ok(()) };
    for text in ids {
        let found = store.find(&text).await.unwrap_or_default();
        let [Found::Execution(id)] = found.as_slice() else {
            trace.broken.push(text);
            continue;
        };
        let events = look::events(store, *id).await?;
        let Some(state) = look::fold(&events) else { continue };
        let paths = notes_of(log, state.origin()).unwrap_or_default();
        let ix = paths.iter().position(|path| path == task).unwrap_or_default();
        trace.entries.push(entry(&state, &events, StepIx::at(ix)));
    }
    trace.entries.sort_by_key(|entry| entry.id);
    Ok(())
}

fn noted(note: &Note) -> Noted {
    let head = note.head();
    Noted { path: head.path.to_string(), title: head.title, status: head.status }
}

fn entry(state: &Execution, events: &[Logged], ix: StepIx) -> Entry {
    let mut attempts: Vec<Tried> = Vec::new();
    let (mut commit, mut landed) = (None, None);
    for one in events {
        match &one.event {
            Event::AttemptStarted { step, attempt, purpose, .. } if *step == ix => attempts.push(Tried {
                number: attempt.0,
                purpose: purpose.to_string(),
                at: time(one.at),
                work: None,
                ended: false,
            }),
            Event::AttemptEnded { step, attempt, end, .. } if *step == ix => {
                if let Some(tried) = attempts.iter_mut().find(|tried| tried.number == attempt.0) {
                    (tried.work, tried.ended) = (end.work.as_ref().map(|work| work.commit.to_string()), true);
                }
            }
            Event::StepMerged { step, commit: merged } if *step == ix => commit = Some(merged.to_string()),
            Event::Landed { commit, .. } => landed = Some(commit.to_string()),
            _ => {}
        }
    }
    let reason = match &state.step(ix).state {
        StepState::Failed(reason) => Some(reason.to_string()),
        _ => None,
    };
    let timed_out = matches!(&state.step(ix).state, StepState::Failed(enki_core::execution::FailReason::Timeout));
    Entry {
        id: state.id(),
        status: super::word(state, timed_out),
        created: time(state.created()),
        after: state.after().map(|(id, _)| id),
        attempts,
        commit,
        landed,
        reason,
    }
}

impl Trace {
    /// For programs.
    pub(crate) fn object(&self) -> Value {
        let note = |note: &Noted| json!({"path": note.path, "title": note.title, "status": note.status});
        let notes = |notes: &[Noted]| notes.iter().map(note).collect::<Vec<_>>();
        let tried = |one: &Tried| json!({"attempt": one.number, "purpose": one.purpose, "at": one.at, "work": one.work, "ended": one.ended});
        let entry = |one: &Entry| {
            json!({"queue_id": one.id.short(), "execution_id": one.id.to_string(), "status": one.status,
                "created_at": one.created, "after": one.after.map(|id| id.to_string()), "commit": one.commit,
                "landed": one.landed, "reason": one.reason,
                "attempts": one.attempts.iter().map(tried).collect::<Vec<_>>()})
        };
        json!({"schema": "enki.trace.v1", "source": self.source.as_ref().map(note), "task": self.task.as_ref().map(note),
            "entries": self.entries.iter().map(entry).collect::<Vec<_>>(), "results": notes(&self.results),
            "issues": notes(&self.issues), "broken": self.broken})
    }

    /// For people: one line each, from the thought to the result.
    pub(crate) fn lines(&self) -> Vec<String> {
        let note = |what: &str, note: &Noted| format!("{what:<8} {:<10} {}  {}", note.status, note.path, note.title);
        let mut lines: Vec<String> = self.source.iter().map(|one| note("noted", one)).collect();
        lines.extend(self.task.iter().map(|one| note("task", one)));
        for entry in &self.entries {
            let after = entry.after.map_or_else(String::new, |id| format!(", after {id}"));
            let reason = entry.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
            lines.push(format!("entry    {:<10} {} of {}{after}{reason}", entry.status, entry.id, entry.created));
            for one in &entry.attempts {
                let how = match (&one.work, one.ended) {
                    (Some(work), _) => format!("left {}", crate::render::short(work)),
                    (None, true) => "left nothing".to_owned(),
                    (None, false) => "at work".to_owned(),
                };
                lines.push(format!("  attempt {} {:<8} {how}", one.number, one.purpose));
            }
            lines.extend(entry.commit.iter().map(|commit| format!("  merged {commit}")));
            lines.extend(entry.landed.iter().map(|commit| format!("  landed {commit}")));
        }
        lines.extend(self.results.iter().map(|one| note("result", one)));
        lines.extend(self.issues.iter().map(|one| note("issue", one)));
        lines.extend(self.broken.iter().map(|link| format!("gone     {link}")));
        lines
    }
}
