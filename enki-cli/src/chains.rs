//! What people and programs see of review chains: those that are open, and what they made once the last has ended.

use crate::error::CliError;
use crate::look::{self, Follower, Logged};
use enki_core::execution::{ChainView, Escalation, Event, Execution, Standing};
use enki_core::id::{CommitId, ExecutionId, StepIx};
use enki_core::store::TaskStore;
use enki_core::time::Timestamp;
use enki_vcs_git::GitProject;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A chain that goes on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct OpenChain {
    pub(crate) wid: String,
    /// Its execution; none of one that an outside coordinator drives.
    pub(crate) execution_id: Option<String>,
    /// The outside coordinator, if one drives it.
    pub(crate) coordinator: Option<String>,
    /// Its step; of one that an outside coordinator drives what it is about.
    pub(crate) step: String,
    pub(crate) task: Option<String>,
    /// The name of its state: `working`, `reviewing`, `fixing`, or one of a chain of one's own.
    pub(crate) state: String,
    /// The attempt that runs; none while it waits for its turn.
    pub(crate) attempt: Option<u32>,
    pub(crate) fixes: u32,
    pub(crate) max_fixes: u32,
    pub(crate) last_score: Option<f64>,
    /// Since when it is in that state.
    pub(crate) since: String,
    #[serde(skip)]
    pub(crate) since_at: Timestamp,
}

/// The open chains of an execution, in plan order.
pub(crate) async fn open(store: &Arc<dyn TaskStore>, id: ExecutionId) -> Result<Vec<OpenChain>, CliError> {
    let mut follower = Follower::new(Arc::clone(store), id);
    let mut since: BTreeMap<StepIx, (String, Standing, Timestamp)> = BTreeMap::new();
    follower
        .advance(|state, one| {
            let Some(ix) = one.event.step() else { return };
            match state.chain(ix) {
                Some(ChainView { wid, standing: standing @ Standing::Open(_), .. }) => {
                    let same = since.get(&ix).is_some_and(|(was, at, _)| (was, at) == (&wid, &standing));
                    if !same {
                        since.insert(ix, (wid, standing, one.at));
                    }
                }
                _ => drop(since.remove(&ix)),
            }
        })
        .await?;
    let Some(state) = follower.state() else { return Ok(Vec::new()) };
    let open = since.into_iter().filter_map(|(ix, (_, _, at))| {
        let chain = state.chain(ix)?;
        Some(OpenChain {
            state: chain.standing.as_str().to_owned(),
            execution_id: Some(id.to_string()),
            coordinator: None,
            step: state.plan().step(ix).id.to_string(),
            task: Some(state.task(ix).to_string()),
            attempt: state.step(ix).live().map(|attempt| attempt.0),
            fixes: chain.fixes,
            max_fixes: chain.max_fixes,
            last_score: chain.scores.iter().flatten().last().copied().map(decimal),
            since: crate::render::time(at),
            since_at: at,
            wid: chain.wid,
        })
    });
    Ok(open.collect())
}

/// What all chains of an execution made, in plan order, once the last one has ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Joined {
    pub(crate) complete: usize,
    pub(crate) escalated: usize,
    pub(crate) failed: usize,
    pub(crate) cancelled: usize,
    pub(crate) chains: Vec<EndedChain>,
}

/// A chain that has ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct EndedChain {
    pub(crate) step: String,
    pub(crate) task: String,
    pub(crate) wid: String,
    /// `complete`, `escalated`, `failed` or `cancelled`.
    pub(crate) state: String,
    /// The word of the reason, if it was escalated.
    pub(crate) escalation: Option<&'static str>,
    /// The kind of that reason towards a person: `runtime_escalation`, or `missing_information` if an agent asks.
    pub(crate) asks_for: Option<&'static str>,
    /// Why it did not complete, for people.
    pub(crate) reason: Option<String>,
    pub(crate) fixes: u32,
    pub(crate) max_fixes: u32,
    /// The score of each verdict in order; none of one without a score.
    pub(crate) scores: Vec<Option<f64>>,
    /// All files that work and fixes changed, sorted.
    pub(crate) files: Vec<String>,
    pub(crate) output: Option<String>,
}

impl Joined {
    /// The same, from the store.
    pub(crate) async fn load(
        store: &dyn TaskStore,
        state: &Execution,
        git: &GitProject,
    ) -> Result<Option<Self>, CliError> {
        if state.joined_chains().is_none() {
            return Ok(None);
        }
        Ok(Self::of(state, &look::events(store, state.id()).await?, git))
    }

    /// Joins what the log and the repository tell; `None` while a chain goes on, and if there was none. What the
    /// repository does not have any more is left out of the files.
    pub(crate) fn of(state: &Execution, events: &[Logged], git: &GitProject) -> Option<Self> {
        let chains = state.joined_chains()?;
        let mut commits: BTreeMap<StepIx, BTreeSet<CommitId>> = BTreeMap::new();
        for one in events {
            let (ix, commit) = match &one.event {
                Event::AttemptEnded { step, end, .. } => (step, end.work.map(|work| work.commit)),
                Event::StepMerged { step, commit } => (step, Some(*commit)),
                _ => continue,
            };
            commits.entry(*ix).or_default().extend(commit);
        }
        let wanted = chains.iter().filter_map(|(ix, _)| commits.get(ix)).flatten().copied();
        // Only an addition: without it the rest is told all the same.
        let found = git.files_of(wanted).unwrap_or_default();
        let files = |ix: &StepIx| -> Vec<String> {
            let of = commits.get(ix).into_iter().flatten().filter_map(|commit| found.get(commit)).flatten();
            of.cloned().collect::<BTreeSet<_>>().into_iter().collect()
        };
        let count = |word: &str| chains.iter().filter(|(_, chain)| chain.standing.as_str() == word).count();
        Some(Self {
            complete: count("complete"),
            escalated: count("escalated"),
            failed: count("failed"),
            cancelled: count("cancelled"),
            chains: chains.iter().map(|(ix, chain)| EndedChain::of(state, *ix, chain, files(ix))).collect(),
        })
    }
}

impl EndedChain {
    fn of(state: &Execution, ix: StepIx, chain: &ChainView, files: Vec<String>) -> Self {
        let step = state.step(ix);
        let reason = match &step.state {
            enki_core::execution::StepState::Failed(reason) => Some(reason.to_string()),
            _ => None,
        };
        let escalation = match &chain.standing {
            Standing::Escalated(reason) => Some(*reason),
            Standing::Open(_) | Standing::Complete | Standing::Failed | Standing::Cancelled => None,
        };
        Self {
            step: state.plan().step(ix).id.to_string(),
            task: state.task(ix).to_string(),
            wid: chain.wid.clone(),
            state: chain.standing.as_str().to_owned(),
            escalation: escalation.map(Escalation::as_str),
            asks_for: escalation.map(Escalation::to_person),
            reason,
            fixes: chain.fixes,
            max_fixes: chain.max_fixes,
            scores: chain.scores.iter().map(|score| score.map(decimal)).collect(),
            files,
            output: step.output.as_deref().map(str::to_owned),
        }
    }
}

/// A score as the decimal number that it was written as.
pub(crate) fn decimal(score: f32) -> f64 {
    score.to_string().parse().unwrap_or_else(|_| f64::from(score))
}
