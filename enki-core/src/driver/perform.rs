//! Performing effects: each in a task of its own, which ends with one answer.

use super::orchestrator::Message;
use super::pieces::Pieces;
use super::remember::Memory;
use super::saying::{Saying, Told};
use super::tools::Opened;
use super::{Backends, Settings};
use crate::agent::{AgentEnd, AgentEvent, AgentExit, AgentRunner, AgentSession};
use crate::branch::Branch;
use crate::crash_point;
use crate::engine::{AttemptJob, CommandReview, Effect, Engine, Input, Prediction, QueueId, QueueJob};
use crate::execution::{self, AttemptEnd, Outcome};
use crate::id::{CommitId, ExecutionId};
use crate::merge_queue;
use crate::prompt;
use crate::recall::Query;
use crate::refinery::{Build, Candidate, Check, Import, Publish, RefineryError};
use crate::tier::Purpose;
use crate::workspace::{WorkspaceError, WorkspaceErrorKind};
use futures::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// How long nothing starts after there was too little free space.
const DISK_WAIT: Duration = Duration::from_secs(60);

/// What a stop may take beyond its grace.
const STOP_SLACK: Duration = Duration::from_secs(5);

/// Whether an effect shall stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stop {
    No,
    /// The state does not want it any more; its outcome interests nobody.
    Unwanted,
    /// The driver shuts down; its outcome is recorded.
    Shutdown,
    /// A budget is used up; its outcome is recorded.
    Halt,
}

#[derive(Clone)]
pub(super) struct Context {
    pub(super) backends: Backends,
    pub(super) settings: Settings,
    pub(super) inbox: mpsc::UnboundedSender<Message>,
    pub(super) memory: Option<Arc<Memory>>,
}

impl Context {
    /// Starts an effect. `None` if the state does not want it any more.
    pub(super) fn spawn(
        &self,
        engine: &Engine,
        effect: Effect,
        recovered: bool,
        stop: watch::Receiver<Stop>,
    ) -> Option<JoinHandle<()>> {
        let context = self.clone();
        Some(match effect {
            Effect::Open(id) => {
                let target = engine.execution(id)?.target().clone();
                tokio::spawn(context.answer(
                    effect,
                    async move |c: &Self| vec![c.open(id, target).await],
                    move |text| vec![Input::Report(id, execution::Report::OpenFailed(text))],
                ))
            }
            Effect::Attempt(place, attempt) => {
                let job = engine.attempt_job(place, attempt)?;
                let failed = move |text| {
                    let end = Box::new(AttemptEnd::new(Outcome::Workspace { reason: text }));
                    let report = execution::Report::Ended { step: place.step, attempt, end };
                    vec![Input::Report(place.execution, report), Input::Stopped(place)]
                };
                tokio::spawn(context.answer(
                    effect,
                    async move |c: &Self| c.attempt(job, recovered, stop).await,
                    failed,
                ))
            }
            Effect::Queue(id, inner) => {
                let job = engine.queue_job(id, inner)?;
                let failed = move |text| {
                    vec![Input::Queue(id, merge_queue::Input::Report(inner, merge_queue::Report::Failed(text)))]
                };
                tokio::spawn(context.answer(effect, async move |c: &Self| vec![c.queue(id, inner, job).await], failed))
            }
        })
    }

    /// Runs to one answer, also if a backend panics: its fault must not stop the others.
    async fn answer(
        self,
        effect: Effect,
        run: impl AsyncFnOnce(&Self) -> Vec<Input>,
        failed: impl FnOnce(String) -> Vec<Input>,
    ) {
        let inputs = match AssertUnwindSafe(run(&self)).catch_unwind().await {
            Ok(inputs) => inputs,
            Err(panic) => {
                let text = panic
                    .downcast_ref::<String>()
                    .map(String::as_str)
                    .or_else(|| panic.downcast_ref::<&str>().copied());
                failed(self.clean(&format!("a backend panicked: {}", text.unwrap_or("no message"))))
            }
        };
        // A driver that has stopped takes the effect up again when it starts.
        let _ = self.inbox.send(Message::Answer(effect, inputs));
    }

    async fn open(&self, id: ExecutionId, target: Branch) -> Input {
        let report = match self.backends.refinery.open(&target, &Branch::integration(id)).await {
            Ok(base) => execution::Report::Opened(base),
            Err(error) => execution::Report::OpenFailed(error.to_string()),
        };
        Input::Report(id, report)
    }

    async fn attempt(&self, mut job: AttemptJob, recovered: bool, mut stop: watch::Receiver<Stop>) -> Vec<Input> {
        self.complete(&mut job);
        let end = self.run_attempt(&mut job, recovered, &mut stop).await;
        let stopped = Input::Stopped(job.place);
        if *stop.borrow() == Stop::Unwanted {
            return vec![stopped];
        }
        let report = execution::Report::Ended { step: job.place.step, attempt: job.attempt, end: Box::new(end) };
        vec![Input::Report(job.place.execution, report), stopped]
    }

    /// Fills in what only the driver knows.
    fn complete(&self, job: &mut AttemptJob) {
        let name = format!("{}.{}.log", job.agent.step, job.attempt);
        job.agent.log = self.settings.logs.join(job.place.execution.to_string()).join(name);
        job.agent.idle_timeout = self.settings.idle_timeout;
        if job.default_timeout {
            job.agent.timeout = self.settings.timeout;
        }
    }

    fn runner(&self, purpose: Purpose) -> &Arc<dyn AgentRunner> {
        match (&self.backends.reviewer, purpose) {
            (Some(reviewer), Purpose::Review) => reviewer,
            _ => &self.backends.worker,
        }
    }

    async fn run_attempt(&self, job: &mut AttemptJob, recovered: bool, stop: &mut watch::Receiver<Stop>) -> AttemptEnd {
        if let Some(review) = job.command.take() {
            self.progress(job, None);
            return self.review_by_command(job, &review, stop).await;
        }
        let runner = Arc::clone(self.runner(job.workspace.purpose));
        let mut tools = None;
        let session = if recovered {
            match runner.attach(job.agent.clone()).await {
                Ok(Some(session)) => session,
                // It died with the process that started it: what it left is kept, and it is not charged.
                Ok(None) | Err(_) => return self.capture(job, AgentEnd::new(AgentExit::Killed)).await,
            }
        } else {
            crash_point!("workspace.create.before");
            let workspace = match self.backends.workspaces.create(&job.workspace).await {
                Ok(workspace) => workspace,
                Err(error) => return AttemptEnd::new(self.not_made(&error)),
            };
            crash_point!("workspace.create.after");
            prompt::add_conflicts(&mut job.agent.prompt, &workspace.conflicts);
            if let Some(memory) = &self.memory {
                let about = Query { now: self.backends.clock.now(), ..job.about.clone() };
                memory.tell(about, &mut job.agent).await;
            }
            job.agent.workspace = workspace.path;
            // The last moment: what was given up while all that was made ready costs no agent.
            if *stop.borrow() != Stop::No {
                return AttemptEnd::new(Outcome::Killed);
            }
            tools = self.backends.tools.as_ref().map(|tools| Opened::new(tools, &mut job.agent));
            let started = tokio::select! {
                started = runner.start(job.agent.clone()) => started.map_err(|error| error.to_string()),
                () = overdue(job.agent.timeout, stop, self.settings.grace) => Err("its runner never answered".into()),
            };
            match started {
                Ok(session) => session,
                Err(_) if *stop.borrow() != Stop::No => return AttemptEnd::new(Outcome::Killed),
                Err(reason) => return AttemptEnd::new(Outcome::NotStarted { reason: self.clean(&reason) }),
            }
        };
        crash_point!("workspace.spawn");
        self.progress(job, None);
        let end = self.follow(job, session, stop).await;
        drop(tools);
        self.capture(job, end).await
    }

    /// Nothing is left of a check that its process did not outlive, so after a crash it is simply run again.
    async fn review_by_command(
        &self,
        job: &AttemptJob,
        review: &CommandReview,
        stop: &mut watch::Receiver<Stop>,
    ) -> AttemptEnd {
        let id = job.workspace.id;
        let refinery = &self.backends.refinery;
        let judged = async {
            let candidate = match review.candidate {
                Some(candidate) => candidate,
                None => match refinery.build(review.head, &[], id).await? {
                    Build::Candidate { candidate, .. } => candidate,
                    Build::Conflict { .. } | Build::Empty => {
                        let reason = format!("{} could not be looked at", review.head);
                        return Ok(Check::Unknown { reason });
                    }
                },
            };
            refinery.check(&candidate, &review.gate, id).await
        };
        tokio::select! {
            checked = judged => review.judge(self.checked(checked.unwrap_or_else(|error: RefineryError| {
                Check::Unknown { reason: error.to_string() }
            }))),
            () = stopped(stop) => AttemptEnd::new(Outcome::Killed),
        }
    }

    fn not_made(&self, error: &WorkspaceError) -> Outcome {
        match error.kind {
            WorkspaceErrorKind::DiskLow => {
                Outcome::DiskLow { until: self.backends.clock.now().plus(DISK_WAIT), reason: self.clean(&error.reason) }
            }
            WorkspaceErrorKind::Lost | WorkspaceErrorKind::Environment | WorkspaceErrorKind::Unmerged => {
                Outcome::Workspace { reason: self.clean(&error.to_string()) }
            }
        }
    }

    fn progress(&self, job: &AttemptJob, session: Option<String>) {
        let report = execution::Report::Live { step: job.place.step, attempt: job.attempt, session };
        let _ = self.inbox.send(Message::Progress(Input::Report(job.place.execution, report)));
    }

    async fn follow(
        &self,
        job: &AttemptJob,
        mut session: Box<dyn AgentSession>,
        stop: &mut watch::Receiver<Stop>,
    ) -> AgentEnd {
        let mut asked = false;
        let mut saying = Saying::default();
        let mut pieces = Pieces::default();
        let mut answered = false;
        loop {
            let event = tokio::select! {
                event = session.next() => event,
                told = saying.due() => {
                    self.say(job, told);
                    continue;
                }
                () = stopped(stop), if !asked => {
                    asked = true;
                    session.stop(self.settings.grace).await;
                    continue;
                }
            };
            // The name of a session is no answer: a client makes it up before it asks.
            let answers = matches!(event, AgentEvent::Partial(_) | AgentEvent::Text(_) | AgentEvent::Used(_));
            if answers && !std::mem::replace(&mut answered, true) {
                let _ = self.inbox.send(Message::Progress(Input::Answered(job.place, job.attempt)));
            }
            match event {
                AgentEvent::Activity(text) => {
                    let _ = self.inbox.send(Message::Activity(job.place, job.attempt, self.clean(&text)));
                }
                AgentEvent::Partial(piece) => {
                    let words = pieces.add(&piece, &self.settings.redactor);
                    saying.add(&words).into_iter().for_each(|told| self.say(job, told));
                }
                AgentEvent::Text(text) => {
                    pieces = Pieces::default();
                    saying.whole(&self.clean(&text)).into_iter().for_each(|told| self.say(job, told));
                }
                AgentEvent::Session(name) => self.progress(job, Some(name)),
                AgentEvent::Used(usage) => {
                    let report = execution::Report::Spent { step: job.place.step, attempt: job.attempt, usage };
                    let _ = self.inbox.send(Message::Progress(Input::Report(job.place.execution, report)));
                }
                AgentEvent::Ended(mut end) => {
                    let rest = pieces.cut(&self.settings.redactor);
                    saying.add(&rest).into_iter().for_each(|told| self.say(job, told));
                    saying.cut().into_iter().for_each(|told| self.say(job, told));
                    match *stop.borrow() {
                        // Of one that was done just then everything is there.
                        Stop::Halt if asked && end.exit != AgentExit::Success => end.exit = AgentExit::OverBudget,
                        Stop::No | Stop::Halt => {}
                        Stop::Unwanted | Stop::Shutdown if asked => end.exit = AgentExit::Killed,
                        Stop::Unwanted | Stop::Shutdown => {}
                    }
                    return self.settings.redactor.clean_all(end);
                }
            }
        }
    }

    fn say(&self, job: &AttemptJob, told: Told) {
        // Before the piece: who waits for the piece has seen what it does.
        if let Some(line) = told.line {
            let _ = self.inbox.send(Message::Activity(job.place, job.attempt, line));
        }
        let _ = self.inbox.send(Message::Said(job.place, job.attempt, told.text, told.whole));
    }

    fn clean(&self, text: &str) -> String {
        self.settings.redactor.clean(text)
    }

    /// The answer of a check without the secrets that its output may hold.
    fn checked(&self, check: Check) -> Check {
        match check {
            Check::Failed { log } => Check::Failed { log: self.clean(&log) },
            Check::Unknown { reason } => Check::Unknown { reason: self.clean(&reason) },
            other => other,
        }
    }

    async fn capture(&self, job: &AttemptJob, end: AgentEnd) -> AttemptEnd {
        let spec = job.capture(self.backends.clock.now());
        let captured = self.backends.workspaces.capture(&spec).await.map_err(|error| self.clean(&error.to_string()));
        crash_point!("workspace.collect");
        job.judge(end, captured)
    }

    async fn queue(&self, id: QueueId, effect: merge_queue::Effect, job: QueueJob) -> Input {
        if let QueueJob::Inspect(target, candidate) = &job {
            return Input::Queue(id, self.inspect(target, *candidate).await);
        }
        if let QueueJob::Look(target) = &job {
            let seen = self.backends.refinery.inspect(target, None).await;
            return Input::Queue(
                id,
                match seen {
                    Ok(state) => merge_queue::Input::Seen(state.head),
                    Err(error) => merge_queue::Input::Report(effect, merge_queue::Report::Failed(error.to_string())),
                },
            );
        }
        let published = match &job {
            QueueJob::Publish(_, target, _, candidate) => Some((target.clone(), candidate.commit)),
            _ => None,
        };
        let report = match self.mechanism(job).await {
            Ok(report) => report,
            Err(error) if error.lost => self.lost(published, error).await,
            Err(error) => merge_queue::Report::Failed(self.clean(&error.to_string())),
        };
        Input::Queue(id, merge_queue::Input::Report(effect, report))
    }

    /// A candidate that is gone may be on its target all the same.
    async fn lost(&self, published: Option<(Branch, CommitId)>, error: RefineryError) -> merge_queue::Report {
        let Some((target, commit)) = published else { return merge_queue::Report::Lost(error.to_string()) };
        match self.backends.refinery.inspect(&target, Some(commit)).await {
            Ok(state) if state.contains || state.was_there => merge_queue::Report::Moved(state),
            Ok(_) => merge_queue::Report::Lost(error.to_string()),
            Err(error) => merge_queue::Report::Failed(error.to_string()),
        }
    }

    /// What was merged last, looked at again at a start.
    async fn inspect(&self, target: &Branch, candidate: Candidate) -> merge_queue::Input {
        match self.backends.refinery.inspect(target, Some(candidate.commit)).await {
            Ok(state) => merge_queue::Input::Inspected { state, rebooted: false },
            Err(error) => {
                merge_queue::Input::Pause(merge_queue::QueuePause::Infrastructure { reason: error.to_string() })
            }
        }
    }

    async fn mechanism(&self, job: QueueJob) -> Result<merge_queue::Report, RefineryError> {
        let refinery = &self.backends.refinery;
        Ok(match job {
            QueueJob::Look(target) | QueueJob::Inspect(target, _) => {
                merge_queue::Report::Failed(format!("{target} is looked at elsewhere"))
            }
            QueueJob::Predict(head, of, others) => {
                let asked = Prediction::new(head, &of, &others);
                let answers = refinery.predict(&asked.pairs).await?;
                asked.report(&answers)
            }
            QueueJob::Try(base, change, id) => {
                let request = change.request;
                merge_queue::Report::Tried(request, refinery.build(base, &[change], id).await?)
            }
            QueueJob::Import(_, changes) => {
                for change in &changes {
                    if let Import::Refused { reason: policy } = refinery.import(change).await? {
                        return Ok(merge_queue::Report::ImportRefused { request: change.request, policy });
                    }
                }
                merge_queue::Report::Imported
            }
            QueueJob::Build(_, base, changes, id) => {
                merge_queue::Report::Built(refinery.build(base, &changes, id).await?)
            }
            QueueJob::Check(_, candidate, gate, id) => {
                merge_queue::Report::Checked(self.checked(refinery.check(&candidate, &gate, id).await?))
            }
            QueueJob::CheckBase(_, base, gate, id) => {
                merge_queue::Report::BaseChecked(match refinery.build(base, &[], id).await? {
                    Build::Candidate { candidate, .. } => self.checked(refinery.check(&candidate, &gate, id).await?),
                    Build::Conflict { .. } | Build::Empty => {
                        Check::Unknown { reason: "the base could not be looked at".to_owned() }
                    }
                })
            }
            QueueJob::CheckOldBase(_, base, change, gate, id) => {
                merge_queue::Report::OldBaseChecked(match refinery.build(base, &[change], id).await? {
                    Build::Candidate { candidate, .. } => self.checked(refinery.check(&candidate, &gate, id).await?),
                    // Then it never passed alone.
                    Build::Conflict { paths, .. } => Check::Failed { log: format!("conflict in {}", paths.join(", ")) },
                    Build::Empty => Check::Failed { log: "nothing is changed there".to_owned() },
                })
            }
            QueueJob::Publish(_, target, expected, candidate) => {
                match refinery.publish(&target, expected, &candidate).await? {
                    Publish::Published => merge_queue::Report::Published,
                    Publish::Moved { .. } => {
                        merge_queue::Report::Moved(refinery.inspect(&target, Some(candidate.commit)).await?)
                    }
                    Publish::Blocked { reason, command } => merge_queue::Report::Blocked { reason, command },
                }
            }
        })
    }
}

/// When a start that has not returned is given up: an embedder's mistake must not keep a step, or the end, waiting for ever.
async fn overdue(limit: Duration, stop: &mut watch::Receiver<Stop>, grace: Duration) {
    let asked = async {
        stopped(stop).await;
        tokio::time::sleep(grace + STOP_SLACK).await;
    };
    tokio::select! {
        () = tokio::time::sleep(limit) => {}
        () = asked => {}
    }
}

/// Resolves once a stop is asked for; never, if the driver is gone.
async fn stopped(stop: &mut watch::Receiver<Stop>) {
    if stop.wait_for(|stop| *stop != Stop::No).await.is_err() {
        std::future::pending::<()>().await;
    }
}
