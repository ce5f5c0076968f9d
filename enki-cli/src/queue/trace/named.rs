//! What a text names.

use super::links::Links;
use crate::error::CliError;
use crate::exit::Exit;
use crate::look;
use crate::queue::notes_of;
use enki_core::execution::Event;
use enki_core::id::{CommitId, ExecutionId, StepIx};
use enki_core::store::TaskStore;
use enki_notes::{Log, NoteError, NotePath};
use std::collections::{BTreeMap, BTreeSet};

/// Where the story is begun.
#[derive(Debug, Default)]
pub(super) struct Named {
    pub(super) notes: BTreeSet<NotePath>,
    /// Executions that were made of no note: some of their steps, or all.
    pub(super) alone: BTreeMap<ExecutionId, Option<BTreeSet<StepIx>>>,
}

impl Named {
    /// An execution, or one of its steps. A step that was added later belongs to all of its notes.
    fn add(&mut self, log: &Log, origin: &str, id: ExecutionId, step: Option<StepIx>) {
        let paths = notes_of(log, origin).unwrap_or_default();
        match step.and_then(|ix| paths.get(ix.index())) {
            Some(path) => self.notes.extend([path.clone()]),
            None if paths.is_empty() => {
                let alone = self.alone.entry(id).or_insert_with(|| Some(BTreeSet::new()));
                match step {
                    Some(step) => alone.iter_mut().for_each(|steps| steps.extend([step])),
                    None => *alone = None,
                }
            }
            None => self.notes.extend(paths),
        }
    }
}

/// A note, an execution, a task or a commit; or the beginning of one.
pub(super) async fn named(
    log: &Log,
    store: Option<&dyn TaskStore>,
    links: &Links,
    text: &str,
) -> Result<Named, CliError> {
    let mut named = Named::default();
    match log.find(text) {
        Ok(path) => {
            named.notes.insert(path);
            return Ok(named);
        }
        Err(NoteError::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    if let Some(store) = store {
        match look::find(store, Some(text)).await {
            Ok(found) => {
                let state = look::load(store, found.execution).await?;
                named.add(log, state.origin(), found.execution, found.step);
                return Ok(named);
            }
            Err(error) if error.exit == Exit::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let mut found = of_commit(log, store, links, text).await?;
    match (found.pop_first(), found.is_empty()) {
        (Some((_, named)), true) => Ok(named),
        (Some((first, _)), false) => {
            let all: Vec<String> = std::iter::once(first).chain(found.into_keys()).collect();
            Err(CliError::usage(format!("{text:?} may mean the commits {}", all.join(", ")))
                .hint("give more of its digits"))
        }
        (None, _) => {
            let shown: String = text.chars().take(200).collect();
            Err(CliError::new(Exit::NotFound, format!("nothing is known of {shown:?}")).hint(
                "give a note, an entry, a task, or a commit that an attempt left, that was merged or that landed; or the \
                 beginning of one",
            ))
        }
    }
}

/// All commits that begin so, with what they belong to: those that results name, and those in the logs of executions, all of
/// which are read.
async fn of_commit(
    log: &Log,
    store: Option<&dyn TaskStore>,
    links: &Links,
    text: &str,
) -> Result<BTreeMap<String, Named>, CliError> {
    let mut found: BTreeMap<String, Named> = BTreeMap::new();
    if text.len() < FEWEST || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(found);
    }
    let text = text.to_ascii_lowercase();
    for (commit, task) in links.commits().filter(|(commit, _)| commit.starts_with(&text)) {
        found.entry(commit.to_owned()).or_default().notes.extend(log.path(task));
    }
    let Some(store) = store else { return Ok(found) };
    for summary in store.list(&look::listed(false, u32::MAX)).await? {
        let events = look::events(store, summary.execution).await?;
        let Some(Event::Submitted(submitted)) = events.first().map(|one| &one.event) else { continue };
        let mut add = |commit: CommitId, step: Option<StepIx>| {
            let commit = commit.to_string();
            if commit.starts_with(&text) {
                found.entry(commit).or_default().add(log, &submitted.origin, summary.execution, step);
            }
        };
        // What was merged since the last landing lands with the next one.
        let mut merged: Vec<StepIx> = Vec::new();
        for one in &events {
            match &one.event {
                Event::AttemptEnded { step, end, .. } => end.work.iter().for_each(|work| add(work.commit, Some(*step))),
                Event::StepMerged { step, commit } => {
                    merged.push(*step);
                    add(*commit, Some(*step));
                }
                Event::Landed { commit, .. } if merged.is_empty() => add(*commit, None),
                Event::Landed { commit, .. } => merged.drain(..).for_each(|step| add(*commit, Some(step))),
                _ => {}
            }
        }
    }
    Ok(found)
}

/// Fewest digits of a commit: fewer are a coincidence.
const FEWEST: usize = 7;
