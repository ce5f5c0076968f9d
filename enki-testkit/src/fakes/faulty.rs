//! `Faulty`: any backend, with faults where a test wants them (promise R10).

use enki_core::agent::{AgentError, AgentRunner, AgentSession, AgentSpec};
use enki_core::async_trait;
use enki_core::branch::Branch;
use enki_core::id::{CommitId, EffectId, TaskId};
use enki_core::recall::{self, Note, Query, Recall, RecallError};
use enki_core::refinery::{
    Build, Candidate, Change, Check, Gate, Import, Publish, Refinery, RefineryError, TargetState,
};
use enki_core::store::{
    Append, Found, Holder, Lease, ListFilter, LogId, Recorded, StoreError, StoreErrorKind, Summary, TaskStore, Version,
};
use enki_core::time::Timestamp;
use enki_core::workspace::{
    Capture, CaptureSpec, Workspace, WorkspaceError, WorkspaceErrorKind, WorkspaceInfo, WorkspaceProvider,
    WorkspaceSpec,
};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A backend whose calls are counted, and fail where wanted.
///
/// To fail every call of a scenario in turn: run it with a fault at the call 1, 2, 3, ... until [`Faulty::hits`] stays
/// at 0.
#[derive(Debug)]
pub struct Faulty<T> {
    inner: T,
    state: Mutex<State>,
}

/// Which calls fail, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub struct Fault {
    call: u64,
    calls: u64,
    method: Option<&'static str>,
    when: When,
    class: FaultClass,
}

/// Whether a failing call has done its work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum When {
    /// Nothing was done.
    Before,
    /// It was done, and only the answer got lost.
    After,
}

/// What a failing call says.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FaultClass {
    /// Another try may help: [`StoreErrorKind::Busy`], [`WorkspaceErrorKind::Environment`], `transient`.
    Transient,
    /// It will not get better by itself: [`StoreErrorKind::Io`], [`WorkspaceErrorKind::Environment`], not `transient`.
    Permanent,
    /// This, of a store; of others as [`Permanent`](Self::Permanent).
    Store(StoreErrorKind),
    /// Of a refinery: the candidate is not there any more. Of others as [`Permanent`](Self::Permanent).
    Lost,
    /// This, of a workspace provider; of others as [`Permanent`](Self::Permanent).
    Workspace(WorkspaceErrorKind),
}

impl Fault {
    /// The call of that number fails, counted from 1 over all methods.
    pub fn at(call: u64, when: When, class: FaultClass) -> Self {
        Self { call, calls: 1, method: None, when, class }
    }

    /// Only calls of that method count, such as `append`.
    pub fn of(mut self, method: &'static str) -> Self {
        self.method = Some(method);
        self
    }

    /// That many calls in a row fail.
    pub fn times(mut self, calls: u64) -> Self {
        self.calls = calls;
        self
    }

    fn covers(&self, nth: u64) -> bool {
        nth >= self.call && nth - self.call < self.calls
    }
}

#[derive(Debug, Default)]
struct State {
    faults: Vec<Fault>,
    calls: Vec<&'static str>,
    hits: u64,
}

impl<T> Faulty<T> {
    /// A backend without faults so far.
    #[must_use]
    pub fn new(inner: T) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// The same with that fault too.
    #[must_use]
    pub fn with(self, fault: Fault) -> Self {
        self.inject(fault);
        self
    }

    /// Adds a fault. Calls made so far count.
    pub fn inject(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Takes all faults away.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// The methods that were called, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<&'static str> {
        self.state().calls.clone()
    }

    /// How many calls failed by a fault.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.state().hits
    }

    /// The backend behind.
    #[must_use]
    pub fn inner(&self) -> &T {
        &self.inner
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and tells whether it shall fail.
    fn called(&self, method: &'static str) -> Option<(When, FaultClass)> {
        let mut state = self.state();
        state.calls.push(method);
        let of_method = state.calls.iter().filter(|m| **m == method).count() as u64;
        let of_all = state.calls.len() as u64;
        let hit = state.faults.iter().find(|fault| match fault.method {
            Some(only) => only == method && fault.covers(of_method),
            None => fault.covers(of_all),
        });
        let hit = hit.map(|fault| (fault.when, fault.class.clone()));
        state.hits += u64::from(hit.is_some());
        hit
    }
}

/// Performs a call with its fault, if it has one.
macro_rules! faulty {
    ($self:ident, $method:literal, $error:path, $call:expr) => {
        match $self.called($method) {
            None => $call.await,
            Some((When::Before, class)) => Err($error($method, class)),
            Some((When::After, class)) => {
                // What it answered is what gets lost.
                let _lost = $call.await;
                Err($error($method, class))
            }
        }
    };
}

const INJECTED: &str = "a fault was injected here";

fn store_error(method: &str, class: FaultClass) -> StoreError {
    let kind = match class {
        FaultClass::Transient => StoreErrorKind::Busy,
        FaultClass::Store(kind) => kind,
        FaultClass::Permanent | FaultClass::Lost | FaultClass::Workspace(_) => StoreErrorKind::Io(INJECTED.to_owned()),
    };
    StoreError::new(method, kind)
}

fn workspace_error(method: &str, class: FaultClass) -> WorkspaceError {
    let kind = match class {
        FaultClass::Workspace(kind) => kind,
        _ => WorkspaceErrorKind::Environment,
    };
    WorkspaceError::new(kind, method, INJECTED)
}

fn refinery_error(method: &str, class: FaultClass) -> RefineryError {
    let error = RefineryError::new(method, INJECTED, class == FaultClass::Transient);
    if class == FaultClass::Lost { error.of_lost_candidate() } else { error }
}

fn agent_error(method: &str, class: FaultClass) -> AgentError {
    AgentError::new(method, INJECTED, class == FaultClass::Transient)
}

#[async_trait]
impl<T: TaskStore> TaskStore for Faulty<T> {
    async fn append(&self, lease: &Lease, batch: Vec<Append>) -> Result<Vec<Version>, StoreError> {
        faulty!(self, "append", store_error, self.inner.append(lease, batch))
    }
    async fn load(&self, log: LogId, after: Version) -> Result<Vec<Recorded>, StoreError> {
        faulty!(self, "load", store_error, self.inner.load(log, after))
    }
    async fn list(&self, filter: &ListFilter) -> Result<Vec<Summary>, StoreError> {
        faulty!(self, "list", store_error, self.inner.list(filter))
    }
    async fn find(&self, prefix: &str) -> Result<Vec<Found>, StoreError> {
        faulty!(self, "find", store_error, self.inner.find(prefix))
    }
    async fn acquire(
        &self,
        scope: &str,
        holder: &Holder,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Lease, StoreError> {
        faulty!(self, "acquire", store_error, self.inner.acquire(scope, holder, now, until))
    }
    async fn renew(&self, lease: &Lease, now: Timestamp, until: Timestamp) -> Result<Lease, StoreError> {
        faulty!(self, "renew", store_error, self.inner.renew(lease, now, until))
    }
    async fn release(&self, lease: Lease) -> Result<(), StoreError> {
        faulty!(self, "release", store_error, self.inner.release(lease))
    }
}

#[async_trait]
impl<T: WorkspaceProvider> WorkspaceProvider for Faulty<T> {
    async fn create(&self, spec: &WorkspaceSpec) -> Result<Workspace, WorkspaceError> {
        faulty!(self, "create", workspace_error, self.inner.create(spec))
    }
    async fn capture(&self, spec: &CaptureSpec) -> Result<Capture, WorkspaceError> {
        faulty!(self, "capture", workspace_error, self.inner.capture(spec))
    }
    async fn remove(&self, task: TaskId) -> Result<(), WorkspaceError> {
        faulty!(self, "remove", workspace_error, self.inner.remove(task))
    }
    async fn list(&self) -> Result<Vec<WorkspaceInfo>, WorkspaceError> {
        faulty!(self, "list", workspace_error, self.inner.list())
    }
    async fn prepare(&self, base: CommitId, wanted: u32) {
        self.inner.prepare(base, wanted).await;
    }
}

#[async_trait]
impl<T: AgentRunner> AgentRunner for Faulty<T> {
    async fn start(&self, spec: AgentSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        faulty!(self, "start", agent_error, self.inner.start(spec))
    }
    async fn attach(&self, spec: AgentSpec) -> Result<Option<Box<dyn AgentSession>>, AgentError> {
        faulty!(self, "attach", agent_error, self.inner.attach(spec))
    }
}

#[async_trait]
impl<T: Refinery> Refinery for Faulty<T> {
    async fn open(&self, target: &Branch, integration: &Branch) -> Result<CommitId, RefineryError> {
        faulty!(self, "open", refinery_error, self.inner.open(target, integration))
    }
    async fn import(&self, change: &Change) -> Result<Import, RefineryError> {
        faulty!(self, "import", refinery_error, self.inner.import(change))
    }
    async fn build(&self, base: CommitId, changes: &[Change], id: EffectId) -> Result<Build, RefineryError> {
        faulty!(self, "build", refinery_error, self.inner.build(base, changes, id))
    }
    async fn predict(&self, pairs: &[(CommitId, CommitId)]) -> Result<Vec<bool>, RefineryError> {
        faulty!(self, "predict", refinery_error, self.inner.predict(pairs))
    }
    async fn check(&self, candidate: &Candidate, gate: &Gate, id: EffectId) -> Result<Check, RefineryError> {
        faulty!(self, "check", refinery_error, self.inner.check(candidate, gate, id))
    }
    async fn publish(
        &self,
        target: &Branch,
        expected: CommitId,
        candidate: &Candidate,
    ) -> Result<Publish, RefineryError> {
        faulty!(self, "publish", refinery_error, self.inner.publish(target, expected, candidate))
    }
    async fn inspect(&self, target: &Branch, candidate: Option<CommitId>) -> Result<TargetState, RefineryError> {
        faulty!(self, "inspect", refinery_error, self.inner.inspect(target, candidate))
    }
}

impl<T: Recall> Recall for Faulty<T> {
    fn record(&self, notes: &[Note]) -> Result<recall::Recorded, RecallError> {
        self.remembered("record", || self.inner.record(notes))
    }
    fn search(&self, query: &Query) -> Result<recall::Found, RecallError> {
        self.remembered("search", || self.inner.search(query))
    }
}

impl<T: Recall> Faulty<T> {
    fn remembered<A>(
        &self,
        method: &'static str,
        call: impl FnOnce() -> Result<A, RecallError>,
    ) -> Result<A, RecallError> {
        let Some((when, _)) = self.called(method) else { return call() };
        if when == When::After {
            let _lost = call();
        }
        Err(RecallError::new(method, INJECTED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::run;
    use enki_core::memory::MemoryStore;

    fn holder() -> Holder {
        Holder { id: "one".into(), pid: 1, host: "here".into(), since: Timestamp(0) }
    }

    async fn acquire(store: &impl TaskStore) -> Result<Lease, StoreError> {
        store.acquire("project", &holder(), Timestamp(0), Timestamp(10)).await
    }

    #[test]
    fn a_fault_before_does_nothing_and_a_fault_after_did_it() {
        run(async {
            let store = Faulty::new(MemoryStore::new())
                .with(Fault::at(1, When::Before, FaultClass::Transient))
                .with(Fault::at(2, When::After, FaultClass::Store(StoreErrorKind::Full)).of("acquire"));
            assert_eq!(acquire(&store).await.unwrap_err().kind, StoreErrorKind::Busy);
            assert_eq!(acquire(&store).await.unwrap_err().kind, StoreErrorKind::Full);
            assert_eq!(acquire(&store).await.unwrap().epoch.0, 2, "the second call took effect, the first did not");
            assert_eq!((store.calls().len(), store.hits()), (3, 2));
        });
    }

    #[test]
    fn a_fault_of_one_method_leaves_the_others_alone() {
        run(async {
            let fault = Fault::at(2, When::Before, FaultClass::Permanent).of("list").times(2);
            let store = Faulty::new(MemoryStore::new()).with(fault);
            let filter = ListFilter::default();
            let mut failed = Vec::new();
            for _ in 0..4 {
                acquire(&store).await.unwrap();
                failed.push(store.list(&filter).await.is_err());
            }
            assert_eq!(failed, [false, true, true, false]);
            store.inject(Fault::at(1, When::Before, FaultClass::Permanent).times(u64::MAX));
            assert!(store.list(&filter).await.is_err());
            store.heal();
            assert!(store.list(&filter).await.is_ok());
        });
    }
}
