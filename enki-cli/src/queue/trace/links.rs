//! How the notes of a project are linked, read once: a thought names one of its tasks, but tasks, results and filed issues
//! name what they belong to.

use super::{Noted, noted};
use crate::error::CliError;
use enki_notes::{Kind, Log, Note, NotePath};
use std::cmp::Reverse;
use std::collections::HashMap;

/// The links, by what they lead to.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// How many tasks are newer than it.
    ages: HashMap<NotePath, usize>,
    tasks: HashMap<String, Vec<NotePath>>,
    results: HashMap<String, Vec<ResultOf>>,
    issues: HashMap<String, Vec<Noted>>,
    /// Tasks by the issue that was filed because they failed.
    failed: HashMap<String, String>,
}

/// A result of a task.
#[derive(Debug)]
pub(super) struct ResultOf {
    pub(super) noted: Noted,
    pub(super) queue_id: Option<String>,
    pub(super) commit: Option<String>,
}

impl Links {
    pub(super) fn read(log: &Log) -> Result<Self, CliError> {
        let mut links = Self::default();
        for (age, head) in log.list(&[Kind::Task])?.heads.into_iter().enumerate() {
            links.ages.insert(head.path.clone(), age);
            if let Some(source) = head.source_note {
                links.tasks.entry(source).or_default().push(head.path);
            }
        }
        let mut of_result = HashMap::new();
        for head in log.list(&[Kind::Result])?.heads.into_iter().rev() {
            // One that is gone or broken by now tells nothing.
            let Ok(note) = log.read(&head.path) else { continue };
            let text = |key: &str| note.document.text(key).map(str::to_owned);
            let Some(task) = text("task") else { continue };
            of_result.insert(head.path.to_string(), task.clone());
            let result = ResultOf { noted: noted(&note), queue_id: text("queue_id"), commit: text("commit") };
            links.results.entry(task).or_default().push(result);
        }
        for head in log.list(&[Kind::Issue])?.heads.into_iter().rev() {
            if ![&head.title, head.beginning.trim_start()].iter().any(|text| text.starts_with(FILED)) {
                continue;
            }
            let Ok(note) = log.read(&head.path) else { continue };
            if let Some(task) = failed(log, &note, &of_result) {
                links.issues.entry(task.clone()).or_default().push(noted(&note));
                links.failed.insert(head.path.to_string(), task);
            }
        }
        Ok(links)
    }

    /// What sorts tasks, the oldest first. Those that are gone come first.
    pub(super) fn age(&self, task: &NotePath) -> Reverse<usize> {
        Reverse(self.ages.get(task).copied().unwrap_or(usize::MAX))
    }

    /// The tasks that say they were made of it.
    pub(super) fn tasks(&self, source: &str) -> &[NotePath] {
        self.tasks.get(source).map_or(&[], Vec::as_slice)
    }

    /// The results of a task, the oldest first.
    pub(super) fn results(&self, task: &str) -> &[ResultOf] {
        self.results.get(task).map_or(&[], Vec::as_slice)
    }

    /// The issues that were filed because a task failed, the oldest first.
    pub(super) fn issues(&self, task: &str) -> &[Noted] {
        self.issues.get(task).map_or(&[], Vec::as_slice)
    }

    /// The task because of which an issue was filed.
    pub(super) fn failed(&self, issue: &str) -> Option<&String> {
        self.failed.get(issue)
    }

    /// The commits that results name, each with its task.
    pub(super) fn commits(&self) -> impl Iterator<Item = (&str, &str)> {
        self.results.iter().flat_map(|(task, results)| {
            results.iter().filter_map(move |result| Some((result.commit.as_deref()?, task.as_str())))
        })
    }
}

/// The task of an issue that was filed because one failed: it is among the facts there, and so is its result among the
/// related notes.
fn failed(log: &Log, note: &Note, of_result: &HashMap<String, String>) -> Option<String> {
    if note.document.text("source") != Some("agent-execution") {
        return None;
    }
    let body = String::from_utf8_lossy(note.document.body());
    let fact = body.lines().find_map(|line| line.strip_prefix("- task: `")?.strip_suffix('`'));
    let fact = fact.filter(|task| log.path(task).is_some_and(|path| path.kind() == Kind::Task));
    let linked = || body.lines().find_map(|line| of_result.get(line.strip_prefix("- ")?));
    fact.map(str::to_owned).or_else(|| linked().cloned())
}

/// How such an issue begins.
const FILED: &str = "Execution failed: ";
