//! From a thought to its result and back: all that belongs to a note, an entry, a task or a commit, whichever is named.

mod entry;
mod links;
mod named;

use crate::error::CliError;
use enki_core::store::TaskStore;
use enki_notes::{Kind, Log, Note, NoteError, NotePath};
use entry::{Entry, Shelf, Tried};
use links::Links;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// All that belongs together.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// One of each task, the oldest first; what has no task has one of its own.
    chains: Vec<Chain>,
    /// Links that lead nowhere.
    broken: Vec<String>,
}

/// All that belongs to one task.
#[derive(Debug, Default)]
struct Chain {
    /// The note that it was made of.
    source: Option<Noted>,
    task: Option<Noted>,
    /// The oldest first.
    entries: Vec<Entry>,
    results: Vec<Noted>,
    /// Issues that were filed because it failed.
    issues: Vec<Noted>,
}

/// A note, as far as it is shown.
#[derive(Clone, Debug)]
struct Noted {
    path: String,
    title: String,
    status: String,
    /// What it was in another project, and what it is there now, as `project:path`.
    from: Option<String>,
    to: Option<String>,
}

/// What a text names: a note of any kind, an execution, a task or a commit.
pub(crate) async fn trace(log: &Log, store: Option<&dyn TaskStore>, text: &str) -> Result<Trace, CliError> {
    let links = Links::read(log)?;
    let named = named::named(log, store, &links, text).await?;
    let mut shelf = Shelf::new(log, store);
    let mut trace = Found::from(log, &links, named.notes)?.told(&links, &mut shelf).await?;
    for (id, steps) in named.alone {
        let entries = shelf.of_execution(id, steps).await?;
        trace.chains.push(Chain { entries, ..Chain::default() });
    }
    Ok(trace)
}

/// Notes that belong together, gone along by their links, each read once.
#[derive(Debug, Default)]
struct Found {
    seen: BTreeSet<NotePath>,
    tasks: BTreeMap<NotePath, Task>,
    /// By their path.
    captures: BTreeMap<String, Noted>,
    /// Results that name no task.
    results: Vec<Noted>,
    broken: BTreeSet<String>,
}

/// What the note of a task says.
#[derive(Debug, Default)]
struct Task {
    /// None if it is not there any more.
    noted: Option<Noted>,
    /// The path of what it was made of.
    source: Option<String>,
    queue_id: Option<String>,
}

impl Found {
    fn from(log: &Log, links: &Links, notes: BTreeSet<NotePath>) -> Result<Self, CliError> {
        let mut found = Self::default();
        let mut ways: Vec<NotePath> = notes.into_iter().collect();
        while let Some(path) = ways.pop() {
            if found.seen.insert(path.clone()) {
                found.visit(log, links, &path, &mut ways)?;
            }
        }
        Ok(found)
    }

    fn visit(&mut self, log: &Log, links: &Links, path: &NotePath, ways: &mut Vec<NotePath>) -> Result<(), CliError> {
        let note = match log.read(path) {
            Ok(note) => Some(note),
            Err(NoteError::NotFound { .. } | NoteError::Broken(_)) => {
                self.broken.insert(path.to_string());
                None
            }
            Err(error) => return Err(error.into()),
        };
        let text = |key: &str| note.as_ref()?.document.text(key).map(str::to_owned);
        let mut on: Vec<String> = Vec::new();
        match path.kind() {
            Kind::Task => {
                // Of one that came from another project, it is there.
                let source = text("source_note").filter(|_| text("moved_from").is_none());
                on.extend(source.clone());
                on.extend(links.issues(path.as_str()).iter().map(|issue| issue.path.clone()));
                let task = self.tasks.entry(path.clone()).or_default();
                (task.noted, task.queue_id) = (note.as_ref().map(noted), text("queue_id"));
                // What it was made of may have been found before.
                task.source = source.or(task.source.take());
            }
            Kind::Result => {
                let task = text("task");
                if task.as_ref().is_none_or(|task| log.path(task).is_none()) {
                    self.results.extend(note.as_ref().map(noted));
                }
                on.extend(task);
            }
            _ => {
                on.extend(links.tasks(path.as_str()).iter().map(ToString::to_string));
                on.extend(links.failed(path.as_str()).cloned());
                if let Some(link) = text("task_note") {
                    if let Some(task) = log.path(&link) {
                        self.tasks.entry(task).or_default().source.get_or_insert_with(|| path.to_string());
                    }
                    on.push(link);
                }
                self.captures.extend(note.as_ref().map(|note| (path.to_string(), noted(note))));
            }
        }
        for link in on {
            match log.path(&link) {
                Some(path) => ways.push(path),
                None => drop(self.broken.insert(link)),
            }
        }
        Ok(())
    }

    async fn told(self, links: &Links, shelf: &mut Shelf<'_>) -> Result<Trace, CliError> {
        let Self { tasks, mut captures, results, mut broken, .. } = self;
        let (mut chains, mut told) = (Vec::with_capacity(tasks.len()), BTreeSet::new());
        let mut tasks: Vec<(NotePath, Task)> = tasks.into_iter().collect();
        tasks.sort_by_cached_key(|(path, _)| links.age(path));
        for (path, task) in tasks {
            let mut ids: BTreeSet<String> = task.queue_id.into_iter().collect();
            let mut chain = Chain { task: task.noted, ..Chain::default() };
            for result in links.results(path.as_str()) {
                ids.extend(result.queue_id.clone());
                chain.results.push(result.noted.clone());
            }
            chain.issues = links.issues(path.as_str()).to_vec();
            chain.source = task.source.as_ref().and_then(|source| captures.get(source).cloned());
            for id in ids {
                match shelf.of_task(&id, path.as_str()).await? {
                    Some(entries) => chain.entries.extend(entries),
                    None => drop(broken.insert(id)),
                }
            }
            chain.entries.sort_by_key(|entry| entry.id);
            told.extend(chain.source.iter().chain(&chain.issues).map(|note| note.path.clone()));
            chains.push(chain);
        }
        captures.retain(|path, _| !told.contains(path));
        chains.extend(captures.into_values().map(|source| Chain { source: Some(source), ..Chain::default() }));
        chains.extend(results.into_iter().map(|result| Chain { results: vec![result], ..Chain::default() }));
        Ok(Trace { chains, broken: broken.into_iter().collect() })
    }
}

fn noted(note: &Note) -> Noted {
    let head = note.head();
    let (from, to) = (head.moved_from, head.moved_to);
    Noted { path: head.path.to_string(), title: head.title, status: head.status, from, to }
}

impl Trace {
    /// For programs: the first of its tasks, and the others as `others`.
    pub(crate) fn object(&self) -> Value {
        let none = Chain::default();
        let mut object = self.chains.first().unwrap_or(&none).object();
        let others: Vec<Value> = self.chains.iter().skip(1).map(Chain::object).collect();
        object["schema"] = "enki.trace.v1".into();
        object["others"] = others.into();
        object["broken"] = self.broken.as_slice().into();
        object
    }

    /// For people: one line each, from the thought to the result.
    pub(crate) fn lines(&self) -> Vec<String> {
        let (mut lines, mut before) = (Vec::new(), None);
        for chain in &self.chains {
            let source = chain.source.as_ref();
            // What several tasks were made of is told once.
            if source.map(|source| &source.path) != before {
                lines.extend(source.map(|source| source.line("noted")));
            }
            before = source.map(|source| &source.path);
            lines.extend(chain.task.iter().map(|one| one.line("task")));
            lines.extend(chain.entries.iter().flat_map(Entry::lines));
            lines.extend(chain.results.iter().map(|one| one.line("result")));
            lines.extend(chain.issues.iter().map(|one| one.line("issue")));
        }
        lines.extend(self.broken.iter().map(|link| format!("gone     {link}")));
        lines
    }
}

impl Chain {
    fn object(&self) -> Value {
        let notes = |notes: &[Noted]| notes.iter().map(Noted::object).collect::<Vec<_>>();
        json!({"source": self.source.as_ref().map(Noted::object), "task": self.task.as_ref().map(Noted::object),
            "entries": self.entries.iter().map(Entry::object).collect::<Vec<_>>(), "results": notes(&self.results),
            "issues": notes(&self.issues)})
    }
}

impl Noted {
    fn object(&self) -> Value {
        json!({"path": self.path, "title": self.title, "status": self.status, "moved_from": self.from, "moved_to": self.to})
    }

    fn line(&self, what: &str) -> String {
        let from = self.from.as_ref().map_or_else(String::new, |from| format!("  (from {from})"));
        let to = self.to.as_ref().map_or_else(String::new, |to| format!("  (now {to})"));
        format!("{what:<8} {:<10} {}  {}{from}{to}", self.status, self.path, self.title)
    }
}

impl Entry {
    fn object(&self) -> Value {
        let tried = |one: &Tried| json!({"attempt": one.number, "purpose": one.purpose, "at": one.at, "work": one.work, "ended": one.ended});
        json!({"queue_id": self.id.short(), "execution_id": self.id.to_string(), "step": self.step, "status": self.status,
            "created_at": self.created, "scheduled_at": self.at, "after": self.after.map(|id| id.to_string()), "commit": self.commit,
            "landed": self.landed, "reason": self.reason,
            "attempts": self.attempts.iter().map(tried).collect::<Vec<_>>()})
    }

    fn lines(&self) -> Vec<String> {
        let step = self.step.as_ref().map_or_else(String::new, |step| format!("/{step}"));
        let at = self.at.as_ref().map_or_else(String::new, |at| format!(", not before {at}"));
        let after = self.after.map_or_else(String::new, |id| format!(", after {id}"));
        let reason = self.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        let head = format!("entry    {:<10} {}{step} of {}{at}{after}{reason}", self.status, self.id, self.created);
        let tried = |one: &Tried| {
            let how = match (&one.work, one.ended) {
                (Some(work), _) => format!("left {}", crate::render::short(work)),
                (None, true) => "left nothing".to_owned(),
                (None, false) => "at work".to_owned(),
            };
            format!("  attempt {} {:<8} {how}", one.number, one.purpose)
        };
        let mut lines = vec![head];
        lines.extend(self.attempts.iter().map(tried));
        lines.extend(self.commit.iter().map(|commit| format!("  merged {commit}")));
        lines.extend(self.landed.iter().map(|commit| format!("  landed {commit}")));
        lines
    }
}
