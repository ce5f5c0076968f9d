//! The backends of a scenario: fakes, watched by the oracle of the simulator, with a fault before or after a call.

use enki_core::agent::{AgentError, AgentEvent, AgentRunner, AgentSession, AgentSpec};
use enki_core::async_trait;
use enki_core::branch::Branch;
use enki_core::driver::{self, Backends, Clock, DriverError, Orchestrator, Settings};
use enki_core::engine::{Event, QueueId};
use enki_core::execution::{self, Execution};
use enki_core::id::{CommitId, EffectId, ExecutionId};
use enki_core::limits::Limits;
use enki_core::memory::MemoryStore;
use enki_core::merge_queue::MergeQueue;
use enki_core::recall::{Entry, Found, Hit, Note, Query, Recall, RecallError, Recorded as Kept, is_relevant, words};
use enki_core::record;
use enki_core::refinery::{
    Build, Candidate, Change, Check, Gate, Import, Publish, Refinery, RefineryError, TargetState,
};
use enki_core::store::{
    Append, Found as Named, Holder, Lease, ListFilter, LogId, Recorded, StoreError, Summary, TaskStore, Version,
};
use enki_core::time::Timestamp;
use enki_testkit::fakes::{FakeAgents, FakeRefinery, FakeRepository, FakeWorkspaces, Faulty};
use enki_testkit::sim::{Facts, Oracle};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// The gate of every plan that has one. Runs of other commands prove nothing for the merge.
pub(crate) const GATE: &str = "gate";

pub(crate) type Driving = (Orchestrator, JoinHandle<Result<(), DriverError>>);

pub(crate) struct World {
    pub(crate) store: Arc<Faulty<WatchedStore>>,
    pub(crate) spaces: Arc<Faulty<FakeWorkspaces>>,
    pub(crate) refinery: Arc<Faulty<WatchedRefinery>>,
    pub(crate) runner: Arc<Faulty<FakeAgents>>,
    pub(crate) memory: Arc<Faulty<Notes>>,
    pub(crate) repository: FakeRepository,
    pub(crate) agents: FakeAgents,
    pub(crate) limits: Limits,
    pub(crate) judge: Arc<Judge>,
    clock: Arc<Virtual>,
    lives: Arc<AtomicU64>,
}

/// What is seen of the outside, and the first promise that was broken.
pub(crate) struct Judge {
    state: Mutex<(Oracle, Option<String>)>,
    repository: FakeRepository,
    /// A person has the target checked out, with changes.
    pub(crate) checked_out: AtomicBool,
}

impl World {
    pub(crate) fn new() -> Self {
        let files = [("README.md", "hi\n"), ("shared.txt", "one\ntwo\n")];
        let repository = FakeRepository::with_files(&main(), &files);
        let workspaces = FakeWorkspaces::new(repository.clone());
        let agents = FakeAgents::new(workspaces.clone());
        let judge = Arc::new(Judge {
            state: Mutex::default(),
            repository: repository.clone(),
            checked_out: AtomicBool::new(false),
        });
        let clock = Arc::new(Virtual(tokio::time::Instant::now()));
        let refinery = FakeRefinery::new(repository.clone()).judged_by(|gate, files| {
            let bad = files.iter().find(|(_, content)| content.contains("BAD"));
            match bad {
                Some((path, _)) if gate.command == GATE => Check::Failed { log: format!("{path} is bad") },
                _ if gate.command == "false" => Check::Failed { log: "no".to_owned() },
                _ => Check::Passed,
            }
        });
        Self {
            store: Arc::new(Faulty::new(WatchedStore {
                inner: MemoryStore::new(),
                judge: Arc::clone(&judge),
                clock: Arc::clone(&clock),
            })),
            spaces: Arc::new(Faulty::new(workspaces)),
            refinery: Arc::new(Faulty::new(WatchedRefinery { inner: refinery, judge: Arc::clone(&judge) })),
            runner: Arc::new(Faulty::new(agents.clone())),
            memory: Arc::new(Faulty::new(Notes::default())),
            repository,
            agents,
            limits: Limits::default(),
            judge,
            clock,
            lives: Arc::default(),
        }
    }

    /// Another process takes up what the store says.
    pub(crate) async fn start(&self) -> Result<Driving, DriverError> {
        let life = self.lives.fetch_add(1, Ordering::Relaxed) + 1;
        self.judge.see(|oracle| {
            oracle.restarted();
            Ok(())
        });
        let runner = Arc::new(Runner {
            inner: Arc::clone(&self.runner),
            judge: Arc::clone(&self.judge),
            clock: Arc::clone(&self.clock),
            life,
            lives: Arc::clone(&self.lives),
        });
        let mut backends =
            Backends::new(self.store.clone(), self.spaces.clone(), self.refinery.clone(), runner.clone());
        backends.reviewer = Some(runner);
        backends.recall = Some(self.memory.clone());
        backends.clock = self.clock.clone();
        let holder = Holder { id: "test".into(), pid: 1, host: "localhost".into(), since: Timestamp(0) };
        let mut settings = Settings::new(holder, "logs".into());
        settings.limits = self.limits.clone();
        settings.boot = Some("the only one".to_owned());
        driver::start(backends, settings).await
    }

    /// How many calls failed by a fault.
    pub(crate) fn hits(&self) -> u64 {
        self.store.hits() + self.spaces.hits() + self.refinery.hits() + self.runner.hits() + self.memory.hits()
    }

    /// The fold of the logs is the state (R9). `live` are the machines of the driver.
    pub(crate) async fn replay_equals(&self, live: &[(Execution, Vec<MergeQueue>)]) -> Result<(), String> {
        for (execution, queues) in live {
            let id = execution.id();
            let mut events = self.events(LogId::execution(id)).await?.into_iter();
            let Some(Event::Execution(execution::Event::Submitted(first))) = events.next() else {
                return Err(format!("R9: the log of {id} does not begin with its submission"));
            };
            let mut folded = Execution::new(&first);
            for event in events {
                let Event::Execution(event) = event else { return Err(format!("R9: {id} has an event of a queue")) };
                folded.apply(&event);
            }
            if folded != *execution {
                return Err(format!("R9: {id} differs from the fold of its log:\n{execution:?}\n{folded:?}"));
            }
            for queue in queues {
                let mut machine: Option<MergeQueue> = None;
                for event in self.events(QueueId::of(queue.target()).log()).await? {
                    match (&mut machine, event) {
                        (None, Event::Queue(enki_core::merge_queue::Event::Opened { target, head })) => {
                            machine = Some(MergeQueue::new(target, head));
                        }
                        (Some(machine), Event::Queue(event)) => machine.apply(&event),
                        (_, other) => return Err(format!("R9: {other:?} in the log of {}", queue.target())),
                    }
                }
                if machine.as_ref() != Some(queue) {
                    return Err(format!("R9: queue {} differs from its log:\n{queue:?}\n{machine:?}", queue.target()));
                }
            }
        }
        Ok(())
    }

    async fn events(&self, log: LogId) -> Result<Vec<Event>, String> {
        let rows = self.store.inner().inner.load(log, Version(0)).await.map_err(|e| e.to_string())?;
        let decode = |row: Recorded| record::decode(log.kind, row.format, &row.body).map_err(|e| format!("R9: {e}"));
        rows.into_iter().map(decode).collect()
    }
}

pub(crate) fn main() -> Branch {
    "main".parse().unwrap()
}

impl Judge {
    fn see(&self, look: impl FnOnce(&mut Oracle) -> Result<(), String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(broken) = look(&mut state.0) {
            state.1.get_or_insert(broken);
        }
    }

    /// What was broken so far.
    pub(crate) fn broken(&self) -> Result<(), String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.1.clone().map_or(Ok(()), Err)
    }

    /// The last look.
    pub(crate) fn at_the_end(&self) -> Result<(), String> {
        self.see(|oracle| oracle.at_the_end(&self.repository, &BTreeSet::new(), &BTreeSet::new()));
        self.broken()
    }
}

#[derive(Debug)]
pub(crate) struct Virtual(tokio::time::Instant);

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000).plus(self.0.elapsed())
    }
}

/// Shows the oracle what became durable.
pub(crate) struct WatchedStore {
    inner: MemoryStore,
    judge: Arc<Judge>,
    clock: Arc<Virtual>,
}

impl std::fmt::Debug for WatchedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl TaskStore for WatchedStore {
    async fn append(&self, lease: &Lease, batch: Vec<Append>) -> Result<Vec<Version>, StoreError> {
        let told: Result<Vec<_>, String> = batch.iter().map(decoded).collect();
        // A disk takes its time: whoever does not wait for it is seen.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let versions = self.inner.append(lease, batch).await?;
        self.judge.see(|oracle| {
            let told = told?;
            let facts: Vec<_> = told.iter().map(|(log, events)| Facts { log: *log, events }).collect();
            oracle.appended(&facts, &self.judge.repository, self.clock.now())
        });
        Ok(versions)
    }
    async fn load(&self, log: LogId, after: Version) -> Result<Vec<Recorded>, StoreError> {
        self.inner.load(log, after).await
    }
    async fn list(&self, filter: &ListFilter) -> Result<Vec<Summary>, StoreError> {
        self.inner.list(filter).await
    }
    async fn find(&self, prefix: &str) -> Result<Vec<Named>, StoreError> {
        self.inner.find(prefix).await
    }
    async fn acquire(&self, s: &str, h: &Holder, now: Timestamp, until: Timestamp) -> Result<Lease, StoreError> {
        self.inner.acquire(s, h, now, until).await
    }
    async fn renew(&self, lease: &Lease, now: Timestamp, until: Timestamp) -> Result<Lease, StoreError> {
        self.inner.renew(lease, now, until).await
    }
    async fn release(&self, lease: Lease) -> Result<(), StoreError> {
        self.inner.release(lease).await
    }
}

fn decoded(append: &Append) -> Result<(LogId, Vec<Event>), String> {
    let decode = |body: &String| record::decode(append.log.kind, append.format, body).map_err(|e| format!("R9: {e}"));
    Ok((append.log, append.events.iter().map(decode).collect::<Result<_, _>>()?))
}

/// Shows the oracle which gates ran and which branches moved.
#[derive(Debug)]
pub(crate) struct WatchedRefinery {
    inner: FakeRefinery,
    judge: Arc<Judge>,
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judge").finish_non_exhaustive()
    }
}

#[async_trait]
impl Refinery for WatchedRefinery {
    async fn open(&self, target: &Branch, integration: &Branch) -> Result<CommitId, RefineryError> {
        self.inner.open(target, integration).await
    }
    async fn import(&self, change: &Change) -> Result<Import, RefineryError> {
        self.inner.import(change).await
    }
    async fn build(&self, base: CommitId, changes: &[Change], id: EffectId) -> Result<Build, RefineryError> {
        self.inner.build(base, changes, id).await
    }
    async fn predict(&self, pairs: &[(CommitId, CommitId)]) -> Result<Vec<bool>, RefineryError> {
        self.inner.predict(pairs).await
    }
    async fn check(&self, candidate: &Candidate, gate: &Gate, id: EffectId) -> Result<Check, RefineryError> {
        let check = self.inner.check(candidate, gate, id).await?;
        if gate.command == GATE {
            self.judge.see(|oracle| {
                oracle.gate_ran(candidate.tree, check == Check::Passed);
                Ok(())
            });
        }
        Ok(check)
    }
    async fn publish(&self, target: &Branch, expected: CommitId, to: &Candidate) -> Result<Publish, RefineryError> {
        if *target == main() && self.judge.checked_out.load(Ordering::Relaxed) {
            let (reason, command) = ("it is checked out with changes".to_owned(), "git merge".to_owned());
            return Ok(Publish::Blocked { reason, command });
        }
        let before = self.judge.repository.head(target);
        let published = self.inner.publish(target, expected, to).await?;
        if self.judge.repository.head(target) != before {
            self.judge.see(|oracle| oracle.moved(target, before, to));
        }
        Ok(published)
    }
    async fn inspect(&self, target: &Branch, candidate: Option<CommitId>) -> Result<TargetState, RefineryError> {
        self.inner.inspect(target, candidate).await
    }
}

/// The runner of one life of the driver: none of its agents starts before that is durable.
#[derive(Debug)]
struct Runner {
    inner: Arc<Faulty<FakeAgents>>,
    judge: Arc<Judge>,
    clock: Arc<Virtual>,
    life: u64,
    lives: Arc<AtomicU64>,
}

#[async_trait]
impl AgentRunner for Runner {
    async fn start(&self, spec: AgentSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        if self.life == self.lives.load(Ordering::Relaxed) {
            let (execution, id) = (spec.execution, spec.id);
            self.judge.see(|oracle| {
                let live = (0..64).map(enki_core::id::StepIx).find(|ix| {
                    EffectId::of_attempt(execution, *ix, spec.attempt) == id
                        && oracle.is_live(execution, *ix, spec.attempt)
                });
                live.map(drop).ok_or_else(|| format!("R4: {} runs, but its start is not in the log", spec.step))
            });
        }
        let (judge, clock) = (Arc::clone(&self.judge), Arc::clone(&self.clock));
        Ok(Box::new(Session { inner: self.inner.start(spec).await?, judge, clock }))
    }
    async fn attach(&self, spec: AgentSpec) -> Result<Option<Box<dyn AgentSession>>, AgentError> {
        self.inner.attach(spec).await
    }
}

#[derive(Debug)]
struct Session {
    inner: Box<dyn AgentSession>,
    judge: Arc<Judge>,
    clock: Arc<Virtual>,
}

#[async_trait]
impl AgentSession for Session {
    async fn next(&mut self) -> AgentEvent {
        let event = self.inner.next().await;
        if matches!(event, AgentEvent::Partial(_) | AgentEvent::Text(_) | AgentEvent::Used(_)) {
            self.judge.see(|oracle| {
                oracle.answered(self.clock.now());
                Ok(())
            });
        }
        event
    }
    async fn stop(&mut self, grace: Duration) {
        self.inner.stop(grace).await;
    }
}

/// Keeps notes in memory, and finds the entries among them.
#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<Vec<Note>>);

impl Recall for Notes {
    fn record(&self, notes: &[Note]) -> Result<Kept, RecallError> {
        self.0.lock().unwrap().extend_from_slice(notes);
        Ok(Kept::default())
    }
    fn search(&self, query: &Query) -> Result<Found, RecallError> {
        let words = words(&query.text);
        let notes = self.0.lock().unwrap();
        let entry = |note: &Note| if let Note::Entry { entry, .. } = note { Some(entry.clone()) } else { None };
        let fits = notes.iter().filter_map(entry).filter(|entry: &Entry| is_relevant(entry, &words));
        Ok(Found { hits: fits.map(|entry| Hit { entry, score: 1.0 }).collect(), faults: Vec::new() })
    }
}

/// The executions that the store knows, oldest first.
pub(crate) async fn known(world: &World) -> Vec<ExecutionId> {
    let mut filter = ListFilter::default();
    filter.limit = u32::MAX;
    let mut all: Vec<_> =
        world.store.inner().inner.list(&filter).await.unwrap().into_iter().map(|row| row.execution).collect();
    all.reverse();
    all
}
