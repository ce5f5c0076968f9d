//! What an input means. Pure: the same state, input, time and limits give the same events (I20).

use super::event::{Answer, Event, HoldNo, HoldReason, NeedState, Next, Rejected, RetryMode};
use super::input::{Briefing, Command, Input, Report};
use super::outcome::{AttemptEnd, Outcome, Refusal};
use super::step::{ClashKind, DoneKind, FailReason, Run, Running, StepRun, StepState};
use super::{Demand, Execution};
use crate::chain::{Charge, Ended, Refused, Then};
use crate::id::{AttemptNo, RequestId, StepIx};
use crate::limits::Limits;
use crate::plan::{Added, External, NeedOn};
use crate::retry::backoff;
use crate::role::RoleOutput;
use crate::tier::Purpose;
use crate::time::{Timestamp, Wait};
use crate::workspace::Start;

impl Execution {
    /// Decides what an input means.
    ///
    /// # Errors
    ///
    /// [`Rejected`] if the state does not accept it. Nothing changed then, and nothing is to be recorded.
    pub fn decide(&self, input: &Input, now: Timestamp, limits: &Limits) -> Result<Vec<Event>, Rejected> {
        match input {
            Input::Command(command) => self.command(command, now),
            Input::Report(report) => self.report(report, now, limits),
            Input::Grant(step) => self.grant(*step, now, limits),
        }
    }

    fn grant(&self, ix: StepIx, now: Timestamp, limits: &Limits) -> Result<Vec<Event>, Rejected> {
        self.known(ix)?;
        if !matches!(self.demand(ix, now), Demand::Wants { .. }) {
            let state = format!("step {} is {}", self.plan.step(ix).id, self.word(ix));
            return Err(Rejected::InvalidState { action: "start an attempt", state });
        }
        let head = self.head.expect("nothing is wanted before the integration branch is open");
        let step = self.step(ix);
        let attempt = self.next_attempt(ix);
        if let Some(merge) = &step.landing {
            let start = Start::Merge { onto: merge.onto, change: merge.tip };
            let purpose = Purpose::Resolve;
            return Ok(vec![Event::AttemptStarted { step: ix, attempt, purpose, start, sandbox: limits.sandbox }]);
        }
        let purpose = self.next_purpose(ix);
        let start = match (purpose, &step.work) {
            (Purpose::Resolve, Some(work)) => Start::Resolve { onto: head, change: work.commit },
            (_, Some(work)) => Start::Continue { base: work.base, head: work.commit },
            (_, None) => Start::Fresh { base: head },
        };
        Ok(vec![Event::AttemptStarted { step: ix, attempt, purpose, start, sandbox: limits.sandbox }])
    }

    fn report(&self, report: &Report, now: Timestamp, limits: &Limits) -> Result<Vec<Event>, Rejected> {
        match report {
            Report::Opened(base) => match self.base {
                None if self.ended.is_none() => Ok(vec![Event::Opened { base: *base }]),
                _ => Err(stale("the integration branch")),
            },
            Report::OpenFailed(reason) if self.wants_open() => {
                let reason = HoldReason::Trouble { reason: format!("cannot open the integration branch: {reason}") };
                Ok(vec![Event::HoldOpened { hold: self.next_hold_no(), reason }])
            }
            Report::OpenFailed(_) => Err(stale("the integration branch")),
            Report::Live { step, attempt, session } => {
                self.current(*step, *attempt)?;
                Ok(vec![Event::AttemptLive { step: *step, attempt: *attempt, session: session.clone() }])
            }
            Report::Spent { step, attempt, usage } => {
                self.current(*step, *attempt)?;
                Ok(self.spending(*step, *attempt, *usage))
            }
            Report::Ended { step, attempt, end } => {
                let (purpose, start) = self.current(*step, *attempt)?;
                let end = self.completed(*step, *attempt, purpose, start, end);
                let next = self.after_attempt(*step, *attempt, purpose, &end, now, limits);
                let next = self.within_budget(*step, Some(end.usage), next);
                let warnings = self.warnings(*step, end.usage);
                let ended = Event::AttemptEnded { step: *step, attempt: *attempt, end: Box::new(end), next };
                Ok(std::iter::once(ended).chain(warnings).collect())
            }
            Report::Merged { request, commit } => {
                let step = self.merging(*request)?;
                Ok(vec![Event::StepMerged { step, commit: *commit }])
            }
            Report::Refused { request, reason } => {
                if let Some(flight) = self.landing.in_flight.filter(|flight| flight.request == *request) {
                    return Ok(self.landing_refused(flight, reason, now, limits));
                }
                let step = self.merging(*request)?;
                if self.cancelling {
                    return Ok(vec![Event::StepCancelled { step }]);
                }
                let next = self.after_refusal(step, reason, limits);
                let next = self.within_budget(step, None, next);
                Ok(vec![Event::MergeRefused { step, reason: reason.clone(), next }])
            }
            Report::Landed { request, commit } => {
                if self.landing.in_flight.is_none_or(|flight| flight.request != *request) {
                    return Err(stale(&request.to_string()));
                }
                Ok(self.landed_events(*request, *commit))
            }
            Report::Briefed { step, briefing } => self.briefed(*step, briefing),
            Report::Need { .. } | Report::Predecessor(_) if self.is_final() => Ok(vec![]),
            Report::Need { external, state } => match self.externals.get(*external as usize) {
                Some(known) if known != state => Ok(vec![Event::NeedChanged { external: *external, state: *state }]),
                Some(_) => Ok(vec![]),
                None => Err(Rejected::NotFound(format!("need {external}"))),
            },
            Report::Predecessor(state) if self.triggered || self.predecessor == *state => Ok(vec![]),
            Report::Predecessor(state) => Ok(vec![Event::PredecessorChanged { state: *state }]),
            Report::TroubleOver => {
                let open = self.holds.iter().filter(|(_, reason)| matches!(reason, HoldReason::Trouble { .. }));
                Ok(open.map(|(hold, _)| Event::HoldClosed { hold: *hold, answer: None }).collect())
            }
            Report::ServiceWaits(pool, wait) => {
                let known = self.services.get(pool).is_some_and(|known| known.until >= wait.until);
                let told = Event::ServiceWaits { pool: *pool, wait: wait.clone() };
                Ok(if known || self.ended.is_some() { vec![] } else { vec![told] })
            }
            Report::ServiceFreed => Ok(if self.services.is_empty() { vec![] } else { vec![Event::ServiceFreed] }),
            Report::TakenUp if self.ended.is_some() || self.cancelling || !self.landing.free_later => Ok(vec![]),
            Report::TakenUp => Ok(self.landing_event(true).into_iter().collect()),
            Report::Trouble(_) if self.ended.is_some() => Err(stale("the queue")),
            Report::Trouble(reason) => {
                let reason = HoldReason::Trouble { reason: reason.clone() };
                let known = self.holds.values().any(|open| *open == reason);
                Ok(if known { vec![] } else { vec![Event::HoldOpened { hold: self.next_hold_no(), reason }] })
            }
        }
    }

    /// What a note says counts as long as nothing was begun by what it said before.
    fn briefed(&self, ix: StepIx, briefing: &Briefing) -> Result<Vec<Event>, Rejected> {
        if self.ended.is_some() || self.cancelling || !self.awaits_note(ix) {
            return Err(stale(&format!("the note of step {}", ix.0)));
        }
        match briefing {
            Briefing::Says(amendment) if amendment.changes(self.plan.step(ix)) => {
                Ok(vec![Event::StepAmended { step: ix, amendment: amendment.clone() }])
            }
            Briefing::Says(_) | Briefing::Known => Ok(vec![]),
            // What waits for it would wait for ever.
            Briefing::Cancelled => self.cancel_step(ix, &[]),
            Briefing::Unreadable { reason } => {
                let reason = HoldReason::Note { step: ix, reason: reason.clone() };
                let known = self.holds.values().any(|open| *open == reason);
                Ok(if known { vec![] } else { vec![Event::HoldOpened { hold: self.next_hold_no(), reason }] })
            }
        }
    }

    /// Done and cancelled are final; failed is left by a retry.
    pub(super) fn is_final(&self) -> bool {
        self.ended.is_some_and(|ended| ended != super::EndStatus::Failed)
    }

    fn current(&self, step: StepIx, attempt: AttemptNo) -> Result<(Purpose, Start), Rejected> {
        match self.steps.get(step.index()).map(|s| &s.state) {
            Some(StepState::Running(Running { purpose, run: Run::Live { attempt: live, start, .. } }))
                if *live == attempt =>
            {
                Ok((*purpose, *start))
            }
            _ => Err(stale(&format!("attempt {attempt} of step {}", step.0))),
        }
    }

    fn merging(&self, request: RequestId) -> Result<StepIx, Rejected> {
        self.requests.get(&request).copied().ok_or_else(|| stale(&request.to_string()))
    }

    /// Fills in what the reporter cannot know: where the step's work began.
    fn completed(
        &self,
        ix: StepIx,
        attempt: AttemptNo,
        purpose: Purpose,
        start: Start,
        end: &AttemptEnd,
    ) -> AttemptEnd {
        let mut end = end.clone();
        self.name_budget(ix, &mut end);
        if let Some(work) = &mut end.work {
            work.attempt = attempt;
            work.base = match start {
                Start::Fresh { base } | Start::Continue { base, .. } => base,
                Start::Resolve { onto, .. } | Start::Merge { onto, .. } => onto,
            };
        }
        if purpose == Purpose::Review {
            end.saw = self.step(ix).work.as_ref().map(|work| work.tree);
        }
        // A repeat that found everything as it was captured before has that capture as its work.
        if end.outcome == Outcome::NoChange
            && let (Some(work), Start::Continue { .. }) = (&self.step(ix).work, start)
        {
            end.outcome = Outcome::Changed;
            end.work = Some(**work);
        }
        // Only a review judges, and it judges only. What a step puts out is said by its role.
        let artifact = self.plan.step(ix).output == RoleOutput::Artifact;
        let foreign = (end.outcome == Outcome::Changed && artifact) || (end.outcome == Outcome::Artifact && !artifact);
        let judged = matches!(end.outcome, Outcome::Reviewed(_));
        let worked = matches!(end.outcome, Outcome::Changed | Outcome::NoChange | Outcome::Artifact);
        if foreign || (purpose == Purpose::Review && worked) || (purpose != Purpose::Review && judged) {
            end.outcome = Outcome::NoResult;
        }
        // Success needs evidence (S7): without a commit there is nothing to review or to merge.
        if end.outcome == Outcome::Changed && end.work.is_none() {
            end.outcome = Outcome::Workspace { reason: "a change was reported, but no commit of it".to_owned() };
        }
        end
    }

    fn after_attempt(
        &self,
        ix: StepIx,
        attempt: AttemptNo,
        purpose: Purpose,
        end: &AttemptEnd,
        now: Timestamp,
        limits: &Limits,
    ) -> Next {
        let (step, plan) = (self.step(ix), self.plan.step(ix));
        // A hash, so only where a wait is spread by it.
        let seed = || {
            let task = self.task(ix).hex();
            task.bytes().fold(u64::from(attempt.0), |a, b| a.wrapping_mul(31).wrapping_add(u64::from(b)))
        };
        let wait = |charge: Charge| match charge {
            Charge::Infra => backoff(&limits.backoff, step.course.infra + 1, seed()),
            Charge::Spawn => backoff(&limits.backoff, step.course.spawns + 1, seed()),
            _ => std::time::Duration::ZERO,
        };
        // What nobody can find a fault with is not reviewed: nothing was changed, and nothing was promised.
        if end.outcome == Outcome::NoChange && purpose == Purpose::Work && !plan.promises() {
            return Next::Done(DoneKind::NoChanges);
        }
        let ended = match &end.outcome {
            Outcome::Changed | Outcome::Artifact => Ended::Worked {
                // A resolution is made on another base, so that it is new whatever it looks like.
                changed: purpose == Purpose::Resolve || self.is_new(ix, end),
            },
            Outcome::NoChange => Ended::Worked { changed: false },
            Outcome::Reviewed(verdict) => Ended::Reviewed(verdict),
            Outcome::Void { .. } => Ended::Void,
            // Of a task note its time was asked for: a person looks before there is more of it.
            Outcome::TimedOut if self.is_of_note() => Ended::Dead,
            Outcome::TimedOut | Outcome::Stuck | Outcome::Lost | Outcome::NoResult | Outcome::OutputLimit => {
                Ended::Infra
            }
            Outcome::AgentError { transient: true, .. } | Outcome::Workspace { .. } | Outcome::Policy { .. } => {
                Ended::Infra
            }
            Outcome::Killed
            | Outcome::OverBudget
            | Outcome::RateLimited { .. }
            | Outcome::Unavailable { .. }
            | Outcome::DiskLow { .. } => Ended::Interrupted,
            Outcome::NotStarted { .. } => Ended::NotStarted,
            Outcome::Asks { .. } => Ended::Asks,
            // Tampered: never again by itself, the next agent would find what this one may have put there.
            Outcome::AgentError { transient: false, .. }
            | Outcome::Declined { .. }
            | Outcome::Tampered { .. }
            | Outcome::NoArtifact
            | Outcome::Unresolved { .. } => Ended::Dead,
        };
        match step.course.ended(plan.review.as_deref(), purpose, ended, limits) {
            Then::Run { purpose, at, charge } => {
                let Wait { until: not_before, since } = match &end.outcome {
                    // A service that asks to wait is waited for by the dispatcher: a person may end that.
                    Outcome::DiskLow { until, .. } => Wait { until: *until, since: now },
                    _ => match wait(charge) {
                        // A clock that is set back afterwards delays nothing that was to start at once.
                        std::time::Duration::ZERO => Wait::NONE,
                        wait => Wait { until: now.plus(wait), since: now },
                    },
                };
                Next::Run { purpose, not_before, since, at, charge, findings: findings_for(step, end, charge) }
            }
            Then::Complete if step.landing.is_some() => Self::landing_merge(end.work),
            // Without work of its own it is an artifact, or there was nothing to be done.
            Then::Complete if step.work.is_some() || end.work.is_some() => self.merge(ix),
            Then::Complete if plan.output == RoleOutput::Artifact => Next::Done(DoneKind::Artifact),
            Then::Complete => Next::Done(DoneKind::NoChanges),
            Then::Escalate(reason) => Next::Fail(FailReason::Escalated(reason)),
            Then::Fail => Next::Fail(self.failure(ix, end)),
        }
    }

    /// Whether what an attempt left differs from what it began with.
    fn is_new(&self, ix: StepIx, end: &AttemptEnd) -> bool {
        let before = self.step(ix).work.as_ref().map(|work| work.tree);
        end.work.is_none_or(|work| Some(work.tree) != before)
    }

    /// Why a step failed whose last attempt ended like that.
    fn failure(&self, ix: StepIx, end: &AttemptEnd) -> FailReason {
        match &end.outcome {
            Outcome::TimedOut => FailReason::Timeout,
            Outcome::Stuck => FailReason::Stuck,
            Outcome::NoResult => FailReason::NoResult,
            Outcome::OutputLimit => FailReason::OutputLimit,
            Outcome::AgentError { message, .. } => FailReason::AgentError { message: message.clone() },
            Outcome::Declined { message } => FailReason::Refused { message: message.clone() },
            Outcome::Workspace { reason } | Outcome::Policy { reason } => {
                FailReason::Workspace { reason: reason.clone() }
            }
            Outcome::Tampered { what } => FailReason::Tampered { what: what.clone() },
            Outcome::NoArtifact => FailReason::NoArtifact,
            Outcome::Unresolved { paths } => FailReason::Conflict { paths: paths.clone() },
            Outcome::NotStarted { reason } => FailReason::Spawn { reason: reason.clone() },
            // The queue said that it conflicts, so it is not on the target already: the change was thrown away.
            Outcome::NoChange | Outcome::Changed | Outcome::Artifact => self.clashed(ix),
            Outcome::Lost
            | Outcome::Killed
            | Outcome::OverBudget
            | Outcome::Reviewed(_)
            | Outcome::Asks { .. }
            | Outcome::Void { .. }
            | Outcome::RateLimited { .. }
            | Outcome::Unavailable { .. }
            | Outcome::DiskLow { .. } => FailReason::Lost,
        }
    }

    fn after_refusal(&self, ix: StepIx, reason: &Refusal, limits: &Limits) -> Next {
        match reason {
            Refusal::Empty => Next::Done(DoneKind::NoChanges),
            Refusal::Check { log } => {
                let failed = || Next::Fail(FailReason::Check { log: log.clone() });
                self.refused(ix, Refused::Check, format!("the check failed:\n{log}"), limits).unwrap_or_else(failed)
            }
            Refusal::Conflict { paths, hunks, .. } => {
                let findings = format!("conflict in {}\n\n{hunks}", paths.join(", "));
                let failed = || Next::Fail(FailReason::Conflict { paths: paths.clone() });
                self.refused(ix, self.clash(ix), findings, limits).unwrap_or_else(failed)
            }
            Refusal::Interaction { with, log } => {
                let findings = format!("the check fails together with \"{with}\":\n{log}");
                let failed = || Next::Fail(FailReason::Check { log: log.clone() });
                self.refused(ix, self.clash(ix), findings, limits).unwrap_or_else(failed)
            }
            Refusal::Policy { reason } | Refusal::Blocked { reason, .. } => {
                Next::Fail(FailReason::Workspace { reason: reason.clone() })
            }
            Refusal::Moved | Refusal::Rewound | Refusal::Withdrawn => Next::Fail(FailReason::Rewound),
        }
    }

    /// What follows a refusal, if its budget allows one more attempt. That others were first is charged to no fix: it is
    /// not the step's fault.
    fn refused(&self, ix: StepIx, refused: Refused, findings: String, limits: &Limits) -> Option<Next> {
        match self.step(ix).course.refused(self.plan.step(ix).review.as_deref(), refused, limits) {
            Then::Run { purpose, at, charge } => {
                // It waits for nothing, whatever becomes of the clock.
                let Wait { until: not_before, since } = Wait::NONE;
                Some(Next::Run { purpose, not_before, since, at, charge, findings: Some(findings) })
            }
            Then::Complete | Then::Escalate(_) | Then::Fail => None,
        }
    }

    fn clash(&self, ix: StepIx) -> Refused {
        Refused::Clash { in_vain: self.resolved_in_vain(ix) }
    }

    /// The reason of a step whose clash stays.
    fn clashed(&self, ix: StepIx) -> FailReason {
        let step = self.step(ix);
        if let Some(merge) = &step.landing {
            return FailReason::Conflict { paths: merge.paths.clone() };
        }
        match step.clash.as_ref().map(|clash| &clash.kind) {
            Some(ClashKind::Conflict { paths }) => FailReason::Conflict { paths: paths.clone() },
            Some(ClashKind::Interaction { .. }) => {
                FailReason::Check { log: step.findings.as_deref().unwrap_or_default().to_owned() }
            }
            None => FailReason::Conflict { paths: Vec::new() },
        }
    }

    /// Whether the work was resolved onto the very head that refuses it again.
    fn resolved_in_vain(&self, ix: StepIx) -> bool {
        let step = self.step(ix);
        step.course.resolutions > 0 && step.work.as_ref().is_some_and(|work| Some(work.base) == self.head)
    }

    fn merge(&self, ix: StepIx) -> Next {
        Next::Merge { request: RequestId::of(self.id, Some(ix), self.step(ix).requests + 1) }
    }

    fn command(&self, command: &Command, now: Timestamp) -> Result<Vec<Event>, Rejected> {
        match command {
            Command::AddSteps(added) => self.add_steps(added),
            Command::Pause(None) if self.paused || self.cancelling || self.ended.is_some() => self.idempotent("pause"),
            Command::Pause(None) => Ok(vec![Event::Paused { step: None }]),
            Command::Pause(Some(ix)) => {
                let step = self.known(*ix)?;
                self.alive("pause")?;
                let over = matches!(step.state, StepState::Done(_) | StepState::Cancelled);
                Ok(if step.paused || over { vec![] } else { vec![Event::Paused { step: Some(*ix) }] })
            }
            Command::Resume(None) => {
                if self.ended.is_some() {
                    return self.idempotent("resume");
                }
                let pause = self.paused.then_some(Event::Resumed { step: None });
                // That of a budget is answered by more of it only.
                let holds = self.holds.iter().filter(|(_, reason)| **reason != HoldReason::Budget);
                let close = holds.map(|(hold, _)| Event::HoldClosed { hold: *hold, answer: None });
                let freed = self.service_waits(now).next().is_some().then_some(Event::ServiceFreed);
                // Before what may be the end of it.
                Ok(freed.into_iter().chain(pause).chain(close).chain(self.landing_answered()).collect())
            }
            Command::Resume(Some(ix)) => {
                let step = self.known(*ix)?;
                self.alive("resume")?;
                Ok(if step.paused { vec![Event::Resumed { step: Some(*ix) }] } else { vec![] })
            }
            Command::Land => self.land_what_waits(),
            Command::Cancel { step: None, committing } => Ok(self.cancel_all(committing)),
            Command::Cancel { step: Some(ix), committing } => self.cancel_step(*ix, committing),
            Command::Retry { step, mode, note } => self.retry(*step, *mode, note.as_deref()),
            Command::Accept { step, by, why } => self.accept(*step, by, why),
            Command::Decide { hold, answer, committing } => self.answer(*hold, answer, committing),
            Command::Budget { of, budget } => self.set_budget(*of, *budget),
            Command::Stop => {
                if self.ended.is_some() || self.cancelling {
                    return Ok(vec![]);
                }
                let pause = (!self.paused).then_some(Event::Paused { step: None });
                let live = self
                    .active
                    .iter()
                    // It ends already, and has to say what it left: no other may begin in its place.
                    .filter(|ix| !self.ends_by_budget(**ix))
                    .filter_map(|ix| self.step(*ix).live().map(|attempt| Event::AttemptStopped { step: *ix, attempt }));
                Ok(pause.into_iter().chain(live).collect())
            }
        }
    }

    fn land_what_waits(&self) -> Result<Vec<Event>, Rejected> {
        if !self.landing_due() || self.landing.in_flight.is_some() {
            return Ok(self.landing_answered().into_iter().collect());
        }
        if let Some(rewound) = self.holds.values().find(|reason| **reason == HoldReason::Rewound) {
            return Err(Rejected::InvalidState { action: "land", state: self.describe(rewound) });
        }
        let holds = self.holds.iter().filter(|(_, reason)| matches!(reason, HoldReason::Landing { .. }));
        let close = holds.map(|(hold, _)| Event::HoldClosed { hold: *hold, answer: None });
        Ok(close.chain([Event::LandingAsked]).collect())
    }

    pub(super) fn known(&self, ix: StepIx) -> Result<&StepRun, Rejected> {
        self.steps.get(ix.index()).ok_or_else(|| Rejected::NotFound(format!("step {}", ix.0)))
    }

    fn alive(&self, action: &'static str) -> Result<(), Rejected> {
        match self.ended {
            None => Ok(()),
            Some(_) => Err(Rejected::InvalidState { action, state: format!("the execution is {}", self.status()) }),
        }
    }

    /// Pausing what is paused, or resuming what runs, changes nothing; on a finished execution it is refused.
    fn idempotent(&self, action: &'static str) -> Result<Vec<Event>, Rejected> {
        self.alive(action).map(|()| vec![])
    }

    fn add_steps(&self, added: &Added) -> Result<Vec<Event>, Rejected> {
        let steps = added.steps();
        self.alive("add steps")?;
        if self.cancelling {
            return Err(Rejected::InvalidState {
                action: "add steps",
                state: "the execution is being cancelled".into(),
            });
        }
        // The steps were checked against the plan as it was when they were read; it may have grown since.
        let known = steps.iter().find(|step| self.plan.find(step.id.as_str()).is_some());
        if let Some(step) = known {
            let state = format!("the execution has a step {} already", step.id);
            return Err(Rejected::InvalidState { action: "add steps", state });
        }
        if added.upon() != self.plan.steps().len() {
            let state = "other steps were added meanwhile; add these again, so that they are checked with those".into();
            return Err(Rejected::InvalidState { action: "add steps", state });
        }
        self.plan.check_stored(steps).map_err(|state| Rejected::InvalidState { action: "add steps", state })?;
        for need in steps.iter().flat_map(|step| &step.needs) {
            let NeedOn::Step(ix) = need.on else { continue };
            // It is in no count: what waited for one that failed would stand still and not be seen to.
            if self.steps.get(ix.index()).is_some_and(|step| step.landing.is_some()) {
                let state = format!(
                    "step {} solves the conflict of a landing, and nothing can wait for that; leave the need out",
                    self.plan.step(ix).id
                );
                return Err(Rejected::InvalidState { action: "add steps", state });
            }
            if let Some(StepRun { state: StepState::Failed(_) | StepState::Cancelled, .. }) = self.steps.get(ix.index())
            {
                let step = self.plan.step(ix).id.to_string();
                return Err(Rejected::DependencyFailed { step, state: self.word(ix) });
            }
        }
        Ok(vec![Event::StepsAdded { steps: steps.to_vec() }])
    }

    fn cancel_all(&self, committing: &[RequestId]) -> Vec<Event> {
        if self.ended.is_some_and(|status| status != super::EndStatus::Failed) || self.cancelling {
            return vec![];
        }
        let open = (0..self.steps.len()).map(StepIx::at).filter(|ix| match &self.step(*ix).state {
            StepState::Done(_) | StepState::Cancelled => false,
            StepState::Merging { request } => !committing.contains(request),
            StepState::Pending | StepState::Running(_) | StepState::Failed(_) => true,
        });
        let steps = open.map(|step| Event::StepCancelled { step });
        let close = self.holds.keys().map(|hold| Event::HoldClosed { hold: *hold, answer: None });
        let mut events = vec![Event::CancelRequested];
        events.extend(close.chain(steps));
        if let Some(flight) = self.landing.in_flight.filter(|flight| !committing.contains(&flight.request)) {
            events.push(Event::LandingRefused {
                request: flight.request,
                reason: Refusal::Withdrawn,
                again: None,
                since: Timestamp::default(),
            });
        }
        if self.ended.is_some() {
            events.push(Event::Ended { status: super::EndStatus::Cancelled });
        }
        events
    }

    fn cancel_step(&self, ix: StepIx, committing: &[RequestId]) -> Result<Vec<Event>, Rejected> {
        self.known(ix)?;
        if self.ended.is_some() && self.ended != Some(super::EndStatus::Failed) {
            return Ok(vec![]);
        }
        match &self.step(ix).state {
            StepState::Done(_) | StepState::Cancelled => return Ok(vec![]),
            StepState::Merging { request } if committing.contains(request) => {
                let state = format!("the merge of step {} is being committed, it ends as done", self.plan.step(ix).id);
                return Err(Rejected::InvalidState { action: "cancel the step", state });
            }
            _ => {}
        }
        let mut events = vec![Event::StepCancelled { step: ix }];
        let mut seen = std::collections::BTreeSet::from([ix]);
        let mut open = vec![ix];
        while let Some(at) = open.pop() {
            for (dependent, _) in self.plan.dependents(at) {
                if self.step(*dependent).state == StepState::Pending && seen.insert(*dependent) {
                    events.push(Event::StepCancelled { step: *dependent });
                    open.push(*dependent);
                }
            }
        }
        Ok(events)
    }

    fn retry(&self, ix: StepIx, mode: Option<RetryMode>, note: Option<&str>) -> Result<Vec<Event>, Rejected> {
        let step = self.known(ix)?;
        let state = |text: String| Rejected::InvalidState { action: "retry the step", state: text };
        let id = &self.plan.step(ix).id;
        let StepState::Failed(reason) = &step.state else {
            return Err(state(match self.word(ix) {
                "blocked" => format!("step {id} is blocked by {}; retry that", self.dead_needs(ix).join(", ")),
                word => format!("step {id} is {word}, only a failed step can be retried"),
            }));
        };
        if self.cancelling || self.ended.is_some_and(|ended| ended != super::EndStatus::Failed) {
            return Err(state(format!("the execution is {}", self.status())));
        }
        if step.landing.is_some() {
            return Err(state(format!("step {id} was to solve the conflict of a landing; run enki land {}", self.id)));
        }
        if step.dead > 0 {
            return Err(state(format!("step {id} needs {}; retry that first", self.dead_needs(ix).join(", "))));
        }
        if let Some(spent) = self.step_is_over(ix) {
            return Err(state(format!("{spent}; give it more with --budget-usd or --budget-tokens")));
        }
        let continues = matches!(
            reason,
            FailReason::Escalated(_)
                | FailReason::Conflict { .. }
                | FailReason::Check { .. }
                | FailReason::Budget { .. }
        );
        let mode = mode.unwrap_or(if continues { RetryMode::Continue } else { RetryMode::Fresh });
        let note = note.map(str::trim).filter(|note| !note.is_empty()).map(str::to_owned);
        Ok(vec![Event::StepRetried { step: ix, mode, note }])
    }

    /// A person's word in place of the review's. Only where a review had its say, and a person was asked.
    fn accept(&self, ix: StepIx, by: &str, why: &str) -> Result<Vec<Event>, Rejected> {
        let step = self.known(ix)?;
        let (id, plan) = (&self.plan.step(ix).id, self.plan.step(ix));
        let state = |text: String| Rejected::InvalidState { action: "take the step as it is", state: text };
        if !matches!(step.state, StepState::Failed(FailReason::Escalated(_))) {
            return Err(state(format!("step {id} is {}, and did not escalate", self.word(ix))));
        }
        if self.cancelling || self.is_final() {
            return Err(state(format!("the execution is {}", self.status())));
        }
        if step.dead > 0 {
            return Err(state(format!("step {id} needs {}; retry that first", self.dead_needs(ix).join(", "))));
        }
        if by.trim().is_empty() || why.trim().is_empty() {
            return Err(state("it is not said who takes it, and why".to_owned()));
        }
        let (next, tree) = match &step.work {
            Some(work) => (self.merge(ix), Some(work.tree)),
            None if plan.output == RoleOutput::Artifact => (Next::Done(DoneKind::Artifact), None),
            None => return Err(state(format!("step {id} captured nothing; retry it"))),
        };
        Ok(vec![Event::StepAccepted { step: ix, by: by.trim().to_owned(), why: why.trim().to_owned(), tree, next }])
    }

    fn dead_needs(&self, ix: StepIx) -> Vec<String> {
        let needs = self.plan.step(ix).needs.iter().filter_map(|need| match need.on {
            NeedOn::Step(on) if self.step(on).view().dead => Some(self.plan.step(on).id.to_string()),
            NeedOn::External(external) if self.external(external) == NeedState::Dead => {
                Some(external.execution.to_string())
            }
            NeedOn::Step(_) | NeedOn::External(_) => None,
        });
        needs.collect()
    }

    fn answer(&self, hold: HoldNo, answer: &Answer, committing: &[RequestId]) -> Result<Vec<Event>, Rejected> {
        if !self.holds.contains_key(&hold) {
            return Err(Rejected::NotFound(format!("open hold {}", hold.0)));
        }
        if self.holds[&hold] == HoldReason::Budget && *answer != Answer::Reject {
            let state =
                format!("{}; go on with: enki resume {} --budget-usd N", self.describe(&HoldReason::Budget), self.id);
            return Err(Rejected::InvalidState { action: "answer the hold", state });
        }
        let closed = Event::HoldClosed { hold, answer: Some(answer.clone()) };
        Ok(match answer {
            Answer::Approve | Answer::Text(_) => std::iter::once(closed).chain(self.landing_answered()).collect(),
            Answer::Reject => std::iter::once(closed)
                .chain(
                    self.cancel_all(committing)
                        .into_iter()
                        .filter(|e| !matches!(e, Event::HoldClosed { hold: h, .. } if *h == hold)),
                )
                .collect(),
        })
    }

    fn external(&self, external: External) -> NeedState {
        let at = self.plan.externals().iter().position(|(known, _)| *known == external);
        at.map_or(NeedState::Waiting, |at| self.externals[at])
    }
}

/// What the next attempt is told: what a review found, what a policy refused; a repeat is told the same again.
fn findings_for(step: &StepRun, end: &AttemptEnd, charge: Charge) -> Option<String> {
    match (&end.outcome, charge) {
        (Outcome::Reviewed(verdict), Charge::Fix) => Some(verdict.in_full()),
        (Outcome::Policy { reason }, _) => Some(reason.clone()),
        (_, Charge::Nothing) => None,
        _ => step.findings.as_deref().map(ToOwned::to_owned),
    }
}

fn stale(got: &str) -> Rejected {
    Rejected::Stale { got: got.to_owned() }
}
