//! V11: from a verdict to the start of the fix that it asks for, with a durable store, agents and workspaces that cost
//! nothing.

use crate::durable::{Nothing, limits};
use crate::plans::{Shape, spec};
use enki_core::agent::{AgentEnd, AgentError, AgentEvent, AgentExit, AgentRunner, AgentSession, AgentSpec};
use enki_core::async_trait;
use enki_core::driver::{self, Backends, Settings, Shutdown, Submission};
use enki_core::id::TaskId;
use enki_core::spec::{PlanSpec, ReviewSpec, ReviewTable};
use enki_core::store::{Holder, TaskStore};
use enki_core::time::Timestamp;
use enki_core::workspace::{
    Capture, CaptureSpec, Expect, Workspace, WorkspaceError, WorkspaceInfo, WorkspaceProvider, WorkspaceSpec,
};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Fixes of the one step: the most that a plan may ask for.
const FIXES: u64 = 100;

/// What workers and reviewers share.
#[derive(Debug)]
struct Desk {
    clock: fn() -> u64,
    /// When the last verdict was given, in nanoseconds of that clock; 0: it was taken up.
    said: AtomicU64,
    captures: AtomicU64,
    reviews: AtomicU64,
    waits: Mutex<Vec<u64>>,
}

#[derive(Debug)]
struct Worker(Arc<Desk>);
#[derive(Debug)]
struct Reviewer(Arc<Desk>);
#[derive(Debug)]
struct Says(Arc<Desk>, Option<&'static str>);

#[async_trait]
impl AgentRunner for Worker {
    async fn start(&self, _: AgentSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        let said = self.0.said.swap(0, Ordering::AcqRel);
        if said != 0 {
            let wait = (self.0.clock)().saturating_sub(said);
            self.0.waits.lock().unwrap_or_else(PoisonError::into_inner).push(wait);
        }
        Ok(Box::new(Says(Arc::clone(&self.0), None)))
    }
    async fn attach(&self, _: AgentSpec) -> Result<Option<Box<dyn AgentSession>>, AgentError> {
        Ok(None)
    }
}

#[async_trait]
impl AgentRunner for Reviewer {
    async fn start(&self, _: AgentSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        let n = self.0.reviews.fetch_add(1, Ordering::AcqRel);
        Ok(Box::new(Says(Arc::clone(&self.0), Some(if n == FIXES { "VERDICT: PASS" } else { "VERDICT: REVISE" }))))
    }
    async fn attach(&self, _: AgentSpec) -> Result<Option<Box<dyn AgentSession>>, AgentError> {
        Ok(None)
    }
}

#[async_trait]
impl AgentSession for Says {
    async fn next(&mut self) -> AgentEvent {
        let end = AgentEnd::new(AgentExit::Success);
        let Some(verdict) = self.1 else { return AgentEvent::Ended(end) };
        if verdict.ends_with("REVISE") {
            self.0.said.store((self.0.clock)(), Ordering::Release);
        }
        AgentEvent::Ended(end.with_text(verdict))
    }
    async fn stop(&mut self, _: Duration) {}
}

/// Each capture of work is another change.
#[async_trait]
impl WorkspaceProvider for Desk {
    async fn create(&self, _: &WorkspaceSpec) -> Result<Workspace, WorkspaceError> {
        Ok(Workspace::at(PathBuf::new()))
    }
    async fn capture(&self, spec: &CaptureSpec) -> Result<Capture, WorkspaceError> {
        if spec.expect != Expect::Change {
            return Ok(Capture::NoChange);
        }
        let id = format!("{:040x}", self.captures.fetch_add(1, Ordering::AcqRel) + 1);
        let (commit, tree) = (id.parse().expect("forty digits"), id.parse().expect("forty digits"));
        Ok(Capture::Change { commit, tree, files: 1, paths: vec!["a".to_owned()] })
    }
    async fn remove(&self, _: TaskId) -> Result<(), WorkspaceError> {
        Ok(())
    }
    async fn list(&self) -> Result<Vec<WorkspaceInfo>, WorkspaceError> {
        Ok(Vec::new())
    }
}

/// Runs a reviewed step with a hundred fixes. Gives the nanoseconds, by that clock, from each verdict that asked for a fix
/// to the call that started it.
///
/// # Panics
///
/// If not every verdict was followed by a fix.
pub async fn waits(store: Arc<dyn TaskStore>, clock: fn() -> u64) -> Vec<u64> {
    let desk = Desk {
        clock,
        said: AtomicU64::new(0),
        captures: AtomicU64::new(0),
        reviews: AtomicU64::new(0),
        waits: Mutex::default(),
    };
    let desk = Arc::new(desk);
    let worker = Arc::new(Worker(Arc::clone(&desk)));
    let mut backends = Backends::new(store, Arc::clone(&desk) as _, Arc::new(Nothing::default()), worker);
    backends.reviewer = Some(Arc::new(Reviewer(Arc::clone(&desk))));
    let holder = Holder { id: "bench".to_owned(), pid: 1, host: "bench".to_owned(), since: Timestamp(0) };
    let mut settings = Settings::new(holder, PathBuf::new());
    settings.limits = limits(1, 10);
    let enki = driver::start(backends, settings).await.expect("the store is fresh").0;
    let mut plan: PlanSpec = spec(Shape::Chain, 1);
    let review = ReviewTable { max_fixes: u32::try_from(FIXES).ok(), ..ReviewTable::default() };
    plan.steps[0].review = Some(ReviewSpec::Table(review));
    let submission = Submission::new(plan, "main".parse().expect("a fine name"));
    let execution = enki.submit(submission).await.expect("the plan is good").execution;
    enki.rest(execution).await.expect("the driver drives");
    enki.shut_down(Shutdown::Drain);
    let waits = desk.waits.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert_eq!(waits.len() as u64, FIXES, "not every verdict was followed by a fix");
    waits
}
