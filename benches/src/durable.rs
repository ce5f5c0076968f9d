//! A plan end to end: the tokio driver, the SQLite store, agents that do nothing, no git.

use enki_core::agent::{AgentEnd, AgentError, AgentEvent, AgentExit, AgentRunner, AgentSession, AgentSpec};
use enki_core::async_trait;
use enki_core::driver::{self, Accepted, Backends, Orchestrator, Settings, Shutdown, Submission};
use enki_core::id::{CommitId, EffectId, ExecutionId, TaskId};
use enki_core::limits::Limits;
use enki_core::refinery::{
    Build, Candidate, Change, Check, Gate, Import, Publish, Refinery, RefineryError, TargetState,
};
use enki_core::spec::PlanSpec;
use enki_core::store::{Holder, TaskStore};
use enki_core::time::Timestamp;
use enki_core::workspace::{
    Capture, CaptureSpec, Workspace, WorkspaceError, WorkspaceInfo, WorkspaceProvider, WorkspaceSpec,
};
use enki_store_sqlite::{OpenOptions, SqliteStore};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Everything of the outside world, doing nothing at once.
#[derive(Debug, Default)]
pub struct Nothing {
    /// When the last agent was asked for, as nanoseconds on a clock of the caller's.
    pub started: AtomicU64,
    clock: Option<fn() -> u64>,
}

impl Nothing {
    /// The same, noting when agents start.
    #[must_use]
    pub fn noting(clock: fn() -> u64) -> Self {
        Self { started: AtomicU64::new(0), clock: Some(clock) }
    }
}

#[derive(Debug)]
struct Done;

#[async_trait]
impl AgentRunner for Nothing {
    async fn start(&self, _: AgentSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        if let Some(clock) = self.clock {
            self.started.store(clock(), Ordering::Release);
        }
        Ok(Box::new(Done))
    }
    async fn attach(&self, _: AgentSpec) -> Result<Option<Box<dyn AgentSession>>, AgentError> {
        Ok(None)
    }
}

#[async_trait]
impl AgentSession for Done {
    async fn next(&mut self) -> AgentEvent {
        AgentEvent::Ended(AgentEnd::new(AgentExit::Success))
    }
    async fn stop(&mut self, _: Duration) {}
}

#[async_trait]
impl WorkspaceProvider for Nothing {
    async fn create(&self, _: &WorkspaceSpec) -> Result<Workspace, WorkspaceError> {
        Ok(Workspace::at(PathBuf::new()))
    }
    async fn capture(&self, _: &CaptureSpec) -> Result<Capture, WorkspaceError> {
        Ok(Capture::NoChange)
    }
    async fn remove(&self, _: TaskId) -> Result<(), WorkspaceError> {
        Ok(())
    }
    async fn list(&self) -> Result<Vec<WorkspaceInfo>, WorkspaceError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Refinery for Nothing {
    async fn open(
        &self,
        _: &enki_core::branch::Branch,
        _: &enki_core::branch::Branch,
    ) -> Result<CommitId, RefineryError> {
        Ok("0".repeat(40).parse().expect("forty hex digits"))
    }
    async fn import(&self, _: &Change) -> Result<Import, RefineryError> {
        Ok(Import::Imported)
    }
    async fn build(&self, _: CommitId, _: &[Change], _: EffectId) -> Result<Build, RefineryError> {
        Ok(Build::Empty)
    }
    async fn check(&self, _: &Candidate, _: &Gate, _: EffectId) -> Result<Check, RefineryError> {
        Ok(Check::Passed)
    }
    async fn publish(
        &self,
        _: &enki_core::branch::Branch,
        _: CommitId,
        _: &Candidate,
    ) -> Result<Publish, RefineryError> {
        Ok(Publish::Published)
    }
    async fn inspect(&self, _: &enki_core::branch::Branch, _: Option<CommitId>) -> Result<TargetState, RefineryError> {
        Ok(TargetState { head: None, contains: true, was_there: false })
    }
}

/// Starts a driver over that store and the given world, with `width` agents at once.
///
/// # Panics
///
/// If it does not start.
pub async fn start(store: Arc<dyn TaskStore>, world: Arc<Nothing>, width: u32, max_steps: usize) -> Orchestrator {
    let backends = Backends::new(store, world.clone(), world.clone(), world);
    let holder = Holder { id: "bench".to_owned(), pid: 1, host: "bench".to_owned(), since: Timestamp(0) };
    let mut settings = Settings::new(holder, PathBuf::new());
    settings.limits = limits(width, max_steps);
    driver::start(backends, settings).await.expect("the store is fresh").0
}

/// Limits of `width` agents of any tier.
#[must_use]
pub fn limits(width: u32, max_steps: usize) -> Limits {
    let mut limits = Limits::default();
    (limits.runs, limits.runs_by_tier, limits.max_steps) = (width, [width; 3], max_steps);
    limits
}

/// Runs a plan to its end over a fresh SQLite store in that folder.
///
/// # Panics
///
/// If it does not end as done: then there is nothing to measure.
pub async fn run(folder: &Path, spec: PlanSpec, width: u32) -> ExecutionId {
    let store =
        Arc::new(SqliteStore::open(folder.join("enki.db"), &OpenOptions::default()).expect("a fresh store opens"));
    let max_steps = spec.steps.len();
    let enki = start(store, Arc::new(Nothing::default()), width, max_steps).await;
    let target = "main".parse().expect("main is a branch");
    let Accepted { execution, .. } = enki.submit(Submission::new(spec, target)).await.expect("the plan is good");
    enki.rest(execution).await.expect("the driver drives");
    let status = enki.query(move |e| e.execution(execution).map(|e| e.status())).await;
    assert_eq!(status.expect("the driver drives"), Some("done"));
    enki.shut_down(Shutdown::Drain);
    execution
}

/// Runs about half of a plan over a fresh SQLite store in that folder, and stops there.
///
/// # Panics
///
/// If it cannot be run.
pub async fn half_done(folder: &Path, spec: PlanSpec) -> ExecutionId {
    let store =
        Arc::new(SqliteStore::open(folder.join("enki.db"), &OpenOptions::default()).expect("a fresh store opens"));
    let half = u32::try_from(spec.steps.len() / 2).unwrap_or(u32::MAX);
    let enki = start(store, Arc::new(Nothing::default()), 10, spec.steps.len()).await;
    let target = "main".parse().expect("main is a branch");
    let mut notices = enki.watch();
    let Accepted { execution, .. } = enki.submit(Submission::new(spec, target)).await.expect("the plan is good");
    while enki.query(move |e| e.execution(execution).map_or(0, |e| e.counts().done)).await.expect("it drives") < half {
        // A lagging watcher only looks again.
        let _ = notices.recv().await;
    }
    enki.shut_down(Shutdown::Drain);
    while enki.query(|_| ()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    execution
}
