//! The tokio driver: one task that owns the machines and performs their effects through the four traits.
//!
//! Its loop drains every input that is there, decides them all, appends them in one batch, and only then starts what
//! is wanted: group commit comes for free. Nothing blocks on it, and it holds no lock. [`start`] takes up what an
//! earlier process left by the same code.

mod ahead;
mod briefs;
mod clock;
mod error;
mod orchestrator;
mod perform;
mod pieces;
#[cfg(feature = "crash-points")]
mod points;
mod recover;
mod remember;
mod saying;
mod submit;
mod tidy;
mod tools;

pub use briefs::{Asked, Brief, Briefs};
pub use clock::{Clock, SystemClock};
pub use error::DriverError;
pub use orchestrator::{Notice, NoticeKind, Orchestrator, Shutdown};
pub use submit::{Accepted, Submission};
pub use tools::AttemptTools;

use crate::agent::AgentRunner;
use crate::crash_point;
use crate::engine::{Effect, Engine, Event, Input, LogAppend, Rejected};
use crate::execution;
use crate::id::ExecutionId;
use crate::limits::Limits;
use crate::prompt::Prompts;
use crate::recall::Recall;
use crate::record;
use crate::redact::Redactor;
use crate::refinery::Refinery;
use crate::review::{Chains, ReviewDefaults};
use crate::role::Roles;
use crate::store::{Append, Holder, Lease, TaskStore};
use crate::time::Timestamp;
use crate::workspace::WorkspaceProvider;
use orchestrator::Message;
use std::collections::{HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// How long a lease lasts, and how often it is renewed.
const LEASE: Duration = Duration::from_secs(30);
const BEAT: Duration = Duration::from_secs(10);

/// How many executions that have ended stay in memory. Whoever asks about one loads it first, and looks at it then: there
/// are never so many others in between.
const KEPT: usize = 64;

/// What the driver drives.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Backends {
    /// Where every fact is written first.
    pub store: Arc<dyn TaskStore>,
    /// Where agents work.
    pub workspaces: Arc<dyn WorkspaceProvider>,
    /// What builds, checks and publishes.
    pub refinery: Arc<dyn Refinery>,
    /// What does the work.
    pub worker: Arc<dyn AgentRunner>,
    /// What reviews it, if anything does.
    pub reviewer: Option<Arc<dyn AgentRunner>>,
    /// What is remembered of earlier work, if anything is: told to agents as data, and added to as facts are recorded.
    /// Nothing waits for it, and nothing fails by it.
    pub recall: Option<Arc<dyn Recall>>,
    /// What gives the agent of an attempt tools of Enki's, if anything does.
    pub tools: Option<Arc<dyn AttemptTools>>,
    /// What reads the notes that steps were made of once more before they start, if anything does.
    pub briefs: Option<Arc<dyn Briefs>>,
    /// What tells the time.
    pub clock: Arc<dyn Clock>,
}

impl Backends {
    /// These backends, no reviewer, and the system's clock.
    #[must_use]
    pub fn new(
        store: Arc<dyn TaskStore>,
        workspaces: Arc<dyn WorkspaceProvider>,
        refinery: Arc<dyn Refinery>,
        worker: Arc<dyn AgentRunner>,
    ) -> Self {
        Self {
            store,
            workspaces,
            refinery,
            worker,
            reviewer: None,
            recall: None,
            tools: None,
            briefs: None,
            clock: Arc::new(SystemClock),
        }
    }
}

/// How the driver behaves.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// Permits and budgets.
    pub limits: Limits,
    /// Who drives, for messages to others.
    pub holder: Holder,
    /// Names this start of the machine, if it is known: what the disk lost with the power is told from what somebody
    /// moved.
    pub boot: Option<String>,
    /// Where agents' output logs go: `<logs>/<execution>/<step>.<attempt>.log`.
    pub logs: PathBuf,
    /// How long a stopped agent has before it is killed.
    pub grace: Duration,
    /// Limit on one attempt, unless its step says otherwise.
    pub timeout: Duration,
    /// Limit without a sign of life.
    pub idle_timeout: Duration,
    /// The roles that steps may have.
    pub roles: Roles,
    /// The templates of what agents are told.
    pub prompts: Prompts,
    /// Review chains of people's own.
    pub chains: Chains,
    /// What reviews are like that a plan asks for without saying more.
    pub reviews: ReviewDefaults,
    /// Takes secrets out of whatever plans, agents and checks say, before it is recorded, shown or told to anybody. Unless
    /// told more, it knows secrets by their form alone.
    pub redactor: Redactor,
}

impl Settings {
    /// Default limits, for that holder, with logs in that folder.
    #[must_use]
    pub fn new(holder: Holder, logs: PathBuf) -> Self {
        Self {
            limits: Limits::default(),
            holder,
            boot: None,
            logs,
            grace: Duration::from_secs(10),
            timeout: Duration::from_secs(1800),
            idle_timeout: Duration::from_secs(300),
            roles: Roles::built_in(),
            prompts: Prompts::built_in(),
            redactor: Redactor::default(),
            chains: Chains::default(),
            reviews: ReviewDefaults::default(),
        }
    }
}

/// Takes the lease, takes up every open execution, and drives until shut down. The handle talks to it; the task ends
/// with the reason why it stopped.
///
/// # Errors
///
/// [`DriverError`] if another orchestrator holds the lease, or the store cannot be read.
pub async fn start(
    backends: Backends,
    settings: Settings,
) -> Result<(Orchestrator, tokio::task::JoinHandle<Result<(), DriverError>>), DriverError> {
    let now = backends.clock.now();
    let lease = backends.store.acquire("project", &settings.holder, now, now.plus(LEASE)).await?;
    crash_point!("lock.epoch");
    let (inbox, messages) = mpsc::unbounded_channel();
    let (notices, _) = broadcast::channel(4096);
    let memory = backends.recall.clone().map(remember::Memory::new);
    let mut driver = Driver {
        engine: Engine::new(settings.limits.clone())
            .on_boot(settings.boot.clone())
            .with_words(settings.roles.clone(), settings.prompts.clone())
            .with_chains(settings.chains.clone())
            .with_reviews(settings.reviews.clone())
            .with_own_reviewer(backends.reviewer.is_some())
            .with_notes(backends.briefs.is_some()),
        perform: perform::Context {
            backends: backends.clone(),
            settings,
            inbox: inbox.clone(),
            memory: memory.clone(),
        },
        ahead: ahead::Ahead::start(Arc::clone(&backends.workspaces)),
        remember: remember::Remember::start(memory),
        tidy: tidy::Tidy::start(Arc::clone(&backends.workspaces), Arc::clone(&backends.store), inbox.clone()),
        backends,
        lease,
        messages,
        notices,
        running: HashMap::new(),
        recovered: HashSet::new(),
        over: VecDeque::new(),
        replies: Vec::new(),
        looks: Mutex::default(),
        shutdown: None,
        sequence: 0,
        moved: true,
    };
    driver.recover().await?;
    let enki = Orchestrator::new(inbox, driver.notices.downgrade());
    Ok((enki, tokio::spawn(driver.run())))
}

type Reply = oneshot::Sender<Result<(), DriverError>>;
type Look = Box<dyn FnOnce(&Engine) + Send>;

struct Driver {
    engine: Engine,
    backends: Backends,
    perform: perform::Context,
    remember: remember::Remember,
    ahead: ahead::Ahead,
    tidy: tidy::Tidy,
    lease: Lease,
    messages: mpsc::UnboundedReceiver<Message>,
    notices: broadcast::Sender<Notice>,
    running: HashMap<Effect, Flight>,
    /// Attempts that an earlier process started.
    recovered: HashSet<Effect>,
    /// Executions that have ended and are still here, the one that did so first in front.
    over: VecDeque<ExecutionId>,
    /// Answers that wait until what they confirm is durable.
    replies: Vec<Reply>,
    /// Questions, asked after the next turn: before it, what was just decided is not wanted yet. The mutex is never
    /// locked, it only makes them `Sync`.
    looks: Mutex<Vec<Look>>,
    shutdown: Option<Shutdown>,
    sequence: u64,
    /// Whether anything but questions came in since the last turn.
    moved: bool,
}

/// An effect in flight.
struct Flight {
    stop: watch::Sender<perform::Stop>,
    task: tokio::task::JoinHandle<()>,
}

impl Driver {
    async fn run(mut self) -> Result<(), DriverError> {
        let result = self.drive().await;
        self.remember.finish().await;
        if result.is_err() {
            // Whoever lost the lease or the store must not go on acting.
            self.stop_all(perform::Stop::Shutdown);
        } else {
            crash_point!("lock.release");
            // Giving the lease back is a courtesy to the next; it expires by itself.
            let _ = self.backends.store.release(self.lease).await;
        }
        result
    }

    async fn drive(&mut self) -> Result<(), DriverError> {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        beat.tick().await;
        loop {
            self.take_turn().await?;
            for look in std::mem::take(self.looks.get_mut().unwrap_or_else(PoisonError::into_inner)) {
                look(&self.engine);
            }
            self.forget();
            let tidy = self.tidy.is_idle() || self.shutdown == Some(Shutdown::Kill);
            if self.shutdown.is_some() && self.running.is_empty() && tidy {
                return Ok(());
            }
            let now = self.now();
            let wait = self.engine.next_deadline(now).map(|at| at.since(now).max(Duration::from_millis(1)));
            tokio::select! {
                message = self.messages.recv() => match message {
                    Some(message) => self.take(message).await,
                    None => return Ok(()),
                },
                () = sleep(wait) => self.moved = true,
                _ = beat.tick() => {
                    let now = self.now();
                    self.lease = self.backends.store.renew(&self.lease, now, now.plus(LEASE)).await?;
                }
            }
            while let Ok(message) = self.messages.try_recv() {
                self.take(message).await;
            }
        }
    }

    fn now(&self) -> Timestamp {
        self.backends.clock.now()
    }

    /// Append before perform: after a crash an agent may run twice, never zero times.
    async fn take_turn(&mut self) -> Result<(), DriverError> {
        let now = self.now();
        let turn = self.engine.turn(now);
        if !turn.appends.is_empty() {
            let batch = turn.appends.iter().map(|append| encode(append, now)).collect();
            #[cfg(feature = "crash-points")]
            points::before(&turn.appends);
            if let Err(error) = self.backends.store.append(&self.lease, batch).await {
                let error = DriverError::from(error);
                for reply in self.replies.drain(..) {
                    // A caller that has gone needs no answer.
                    let _ = reply.send(Err(error.clone()));
                }
                return Err(error);
            }
            #[cfg(feature = "crash-points")]
            points::after(&turn.appends);
        }
        for reply in self.replies.drain(..) {
            let _ = reply.send(Ok(()));
        }
        for append in &turn.appends {
            if append.events.iter().any(|event| matches!(event, Event::Execution(execution::Event::Ended { .. }))) {
                self.over.push_back(ExecutionId::new(append.log.id));
            }
        }
        self.ahead.look(&self.engine, &turn.appends);
        self.tidy.look(&self.engine, &turn.appends);
        self.remember.look(&self.engine, &turn.appends, now);
        self.publish(turn.appends, now);
        for place in turn.read {
            self.perform.read_note(&self.engine, place);
        }
        for effect in turn.stop {
            if let Some(flight) = self.running.get(&effect) {
                flight.stop(effect, perform::Stop::Unwanted);
            } else if let Effect::Attempt(place, _) = effect {
                // It had ended, and its report is on its way or was refused: nothing lives.
                let _ = self.engine.handle(Input::Stopped(place), now);
            }
        }
        for effect in turn.start {
            if self.shutdown.is_none() {
                self.start(effect);
            }
        }
        for effect in turn.halt {
            if let Some(flight) = self.running.get(&effect) {
                flight.stop(effect, perform::Stop::Halt);
            }
        }
        Ok(())
    }

    fn start(&mut self, effect: Effect) {
        let recovered = self.recovered.remove(&effect);
        let (stop, stopped) = watch::channel(perform::Stop::No);
        if let Some(task) = self.perform.spawn(&self.engine, effect, recovered, stopped) {
            self.running.insert(effect, Flight { stop, task });
        }
    }

    async fn take(&mut self, message: Message) {
        let now = self.now();
        self.moved |=
            !matches!(message, Message::Query(_) | Message::Activity(..) | Message::Said(..) | Message::Tidied);
        match message {
            Message::Input(input, reply) => {
                if let Input::Command(id, _) = &input
                    && !self.engine.holds_execution(*id)
                    && let Err(error) = self.load(*id).await
                {
                    let _ = reply.map(|reply| reply.send(Err(error)));
                    return;
                }
                match self.engine.handle(input, now) {
                    Ok(()) => self.replies.extend(reply),
                    Err(rejected) => {
                        if let Some(reply) = reply {
                            let _ = reply.send(Err(rejected.into()));
                        }
                    }
                }
            }
            Message::Answer(effect, inputs) => {
                self.running.remove(&effect);
                for input in inputs {
                    // A late report is counted by the engine and changes nothing.
                    if let Err(rejected) = self.engine.handle(input, now)
                        && !rejected.is_stale()
                    {
                        tracing::warn!(%rejected, ?effect, "a report was refused");
                    }
                }
            }
            Message::Progress(input) => {
                let _: Result<(), Rejected> = self.engine.handle(input, now);
            }
            Message::Activity(place, attempt, text) => {
                self.notify(NoticeKind::Activity { place, attempt, text }, now);
            }
            Message::Said(place, attempt, text, whole) => {
                self.notify(NoticeKind::Said { place, attempt, text, whole }, now);
            }
            Message::Submit(submission, reply) => self.submit(*submission, reply).await,
            Message::Load(id, reply) => {
                let result = if self.engine.holds_execution(id) { Ok(()) } else { self.load(id).await };
                let _ = reply.send(result);
            }
            Message::Find(id, reply) => {
                let _ = reply.send(self.backends.store.find(&id).await.map_err(DriverError::from));
            }
            Message::Tidied => self.tidy.done(),
            Message::Query(look) => self.looks.get_mut().unwrap_or_else(PoisonError::into_inner).push(look),
            Message::Shutdown(mode) => {
                self.engine.drain();
                if mode == Shutdown::Kill {
                    self.stop_all(perform::Stop::Shutdown);
                }
                self.shutdown = self.shutdown.max(Some(mode));
            }
        }
    }

    /// A driver that lives long does not keep all that it ever did: the last ones that ended are here, for those who ask
    /// about them, and others are loaded when somebody does.
    fn forget(&mut self) {
        for _ in KEPT..self.over.len() {
            let Some(id) = self.over.pop_front() else { return };
            let over = self.engine.execution(id).is_some_and(|execution| execution.ended().is_some());
            if over && !self.engine.forget(id) {
                self.over.push_back(id);
            }
        }
    }

    fn stop_all(&self, why: perform::Stop) {
        for (effect, flight) in &self.running {
            flight.stop(*effect, why);
        }
    }

    fn publish(&mut self, appends: Vec<LogAppend>, now: Timestamp) {
        if self.notices.receiver_count() == 0 {
            return;
        }
        if !appends.is_empty() {
            crash_point!("notice.send");
        }
        for append in appends {
            for event in append.events {
                self.notify(NoticeKind::Event { log: append.log, event }, now);
            }
        }
        if std::mem::take(&mut self.moved) {
            self.notify(NoticeKind::Turn, now);
        }
    }

    fn notify(&mut self, kind: NoticeKind, at: Timestamp) {
        self.sequence += 1;
        // Nobody watching is fine.
        let _ = self.notices.send(Notice { sequence: self.sequence, at, kind });
    }
}

impl Flight {
    fn stop(&self, effect: Effect, why: perform::Stop) {
        // The task may have ended meanwhile.
        let _ = self.stop.send(why);
        if let Effect::Queue(_, inner) = effect
            && matches!(inner.kind, crate::merge_queue::EffectKind::Check | crate::merge_queue::EffectKind::CheckBase)
        {
            self.task.abort();
        }
    }
}

async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

fn encode(append: &LogAppend, at: Timestamp) -> Append {
    Append {
        log: append.log,
        expected: append.expected,
        at,
        format: record::FORMAT,
        events: append.events.iter().map(|event: &Event| record::encode(event)).collect(),
        summary: append.summary.clone(),
        tasks: append.tasks.clone(),
    }
}
