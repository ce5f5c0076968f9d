//! Executions, as far as a trace tells them.

use crate::error::CliError;
use crate::exit::Exit;
use crate::look::{self, Logged};
use crate::queue::{list, notes_of};
use crate::render::time;
use enki_core::execution::{Event, Execution, StepRun, StepState};
use enki_core::id::{ExecutionId, StepIx};
use enki_core::plan::Step;
use enki_core::store::TaskStore;
use enki_notes::Log;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A step of an execution.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) id: ExecutionId,
    /// Which step, if there are several.
    pub(super) step: Option<String>,
    /// How far all of it is.
    pub(super) status: &'static str,
    pub(super) created: String,
    /// It starts not before that.
    pub(super) at: Option<String>,
    pub(super) after: Option<ExecutionId>,
    pub(super) attempts: Vec<Tried>,
    /// What became of its change.
    pub(super) commit: Option<String>,
    /// The first commit with it that landed.
    pub(super) landed: Option<String>,
    pub(super) reason: Option<String>,
}

/// An attempt: which, what for, how it ended.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    pub(super) number: u32,
    pub(super) purpose: String,
    pub(super) at: String,
    /// What it left.
    pub(super) work: Option<String>,
    pub(super) ended: bool,
}

/// The executions of a project, each read once.
pub(super) struct Shelf<'a> {
    log: &'a Log,
    store: Option<&'a dyn TaskStore>,
    read: BTreeMap<ExecutionId, Shelved>,
}

/// An execution.
struct Shelved {
    /// Its steps by their notes.
    notes: HashMap<String, usize>,
    steps: Vec<Entry>,
}

impl<'a> Shelf<'a> {
    pub(super) const fn new(log: &'a Log, store: Option<&'a dyn TaskStore>) -> Self {
        Self { log, store, read: BTreeMap::new() }
    }

    /// What of the execution with that short id is of that task; none if there is no such execution.
    pub(super) async fn of_task(&mut self, queue_id: &str, task: &str) -> Result<Option<Vec<Entry>>, CliError> {
        // Without a store nothing says that it is not there.
        let Some(store) = self.store else { return Ok(Some(Vec::new())) };
        let name = format!("exec-{}", queue_id.trim_start_matches("exec-"));
        let id = match look::find(store, Some(&name)).await {
            Ok(named) => named.execution,
            Err(error) if matches!(error.exit, Exit::NotFound | Exit::Usage) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Shelved { notes, steps } = self.read(store, id).await?;
        // A note that was renamed since is the only one, or cannot be told from the others.
        let own = notes.get(task).copied().or((notes.len() == 1).then_some(0));
        let is_told = |ix: usize| own.is_none_or(|own| ix == own) || ix >= notes.len();
        Ok(Some(steps.iter().enumerate().filter(|(ix, _)| is_told(*ix)).map(|(_, entry)| entry.clone()).collect()))
    }

    /// Those steps of an execution, or all of them.
    pub(super) async fn of_execution(
        &mut self,
        id: ExecutionId,
        told: Option<BTreeSet<StepIx>>,
    ) -> Result<Vec<Entry>, CliError> {
        let Some(store) = self.store else { return Ok(Vec::new()) };
        let steps = self.read(store, id).await?.steps.iter().enumerate();
        let is_told = |ix: usize| told.as_ref().is_none_or(|told| told.contains(&StepIx::at(ix)));
        Ok(steps.filter(|(ix, _)| is_told(*ix)).map(|(_, entry)| entry.clone()).collect())
    }

    async fn read(&mut self, store: &dyn TaskStore, id: ExecutionId) -> Result<&Shelved, CliError> {
        let shelved = match self.read.remove(&id) {
            Some(known) => known,
            None => {
                let events = look::events(store, id).await?;
                let state = look::fold(&events).ok_or_else(|| look::not_found(&id.to_string()))?;
                let paths = notes_of(self.log, state.origin()).unwrap_or_default();
                let notes = paths.into_iter().enumerate().map(|(ix, path)| (path.to_string(), ix)).collect();
                Shelved { notes, steps: steps(&state, &events) }
            }
        };
        Ok(self.read.entry(id).or_insert(shelved))
    }
}

/// Each step of an execution.
fn steps(state: &Execution, events: &[Logged]) -> Vec<Entry> {
    let several = state.steps().len() > 1;
    let reason = |run: &StepRun| match &run.state {
        StepState::Failed(reason) => Some(reason.to_string()),
        _ => None,
    };
    let one = |(step, run): (&Step, &StepRun)| Entry {
        id: state.id(),
        step: several.then(|| step.id.to_string()),
        status: list::shown(state),
        created: time(state.created()),
        at: state.start_at().map(time),
        after: state.after().map(|(id, _)| id),
        attempts: Vec::new(),
        commit: None,
        landed: None,
        reason: reason(run),
    };
    let mut steps: Vec<Entry> = state.plan().steps().iter().zip(state.steps()).map(one).collect();
    for one in events {
        let step = one.event.step().and_then(|ix| steps.get_mut(ix.index()));
        match (&one.event, step) {
            (Event::AttemptStarted { step, attempt, purpose, .. }, Some(entry)) => {
                let ended = state.step(*step).live() != Some(*attempt);
                let (number, purpose, at) = (attempt.0, purpose.to_string(), time(one.at));
                entry.attempts.push(Tried { number, purpose, at, work: None, ended });
            }
            (Event::AttemptEnded { attempt, end, .. }, Some(entry)) => {
                if let Some(tried) = entry.attempts.iter_mut().find(|tried| tried.number == attempt.0) {
                    tried.work = end.work.as_ref().map(|work| work.commit.to_string());
                }
            }
            (Event::StepMerged { commit, .. }, Some(entry)) => {
                (entry.commit, entry.landed) = (Some(commit.to_string()), None);
            }
            (Event::Landed { commit, .. }, _) => {
                for entry in steps.iter_mut().filter(|entry| entry.commit.is_some()) {
                    entry.landed.get_or_insert_with(|| commit.to_string());
                }
            }
            _ => {}
        }
    }
    steps
}
