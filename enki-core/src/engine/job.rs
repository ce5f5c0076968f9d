//! Everything a driver needs to perform an effect, derived from the state.

use super::Engine;
use crate::agent::{AgentEnd, AgentExit, AgentSpec};
use crate::branch::Branch;
use crate::dispatcher::Place;
use crate::execution::{AttemptEnd, Outcome, Run, Running, StepRun, StepState, Work};
use crate::id::{AttemptNo, CommitId, EffectId, ExecutionId, RequestId, StepIx};
use crate::merge_queue::{Effect, EffectKind, LineNo};
use crate::plan::{NeedOn, Step};
use crate::prompt;
use crate::recall::{self, Query};
use crate::refinery::{Candidate, Change, Check, Gate};
use crate::review::{Does, Reviewer};
use crate::role::RoleOutput;
use crate::spec::Condition;
use crate::tier::Purpose;
use crate::time::Timestamp;
use crate::verdict::{self, Reading, Verdict};
use crate::workspace::{ArtifactRef, Capture, CaptureSpec, Expect, Start, WorkspaceSpec};

/// One attempt: its workspace, its agent, its capture.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AttemptJob {
    /// Which step.
    pub place: Place,
    /// Which attempt.
    pub attempt: AttemptNo,
    /// The workspace to prepare.
    pub workspace: WorkspaceSpec,
    /// The agent to run in it; its workspace path and log are the driver's to fill in.
    pub agent: AgentSpec,
    /// What it is expected to leave.
    pub expect: Expect,
    /// Title of the capture's commit.
    pub title: String,
    /// What may be remembered of its subject; the time is the driver's to fill in.
    pub about: Query,
    /// Whether the step leaves its timeout to the driver.
    pub default_timeout: bool,
    /// The command that judges in place of the agent, if it is a review by a command.
    pub command: Option<CommandReview>,
}

/// A review by a command: no agent, no workspace. It is run as the check of a merge is, on exactly what is judged.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CommandReview {
    /// The command.
    pub gate: Gate,
    /// What it judges: the last captured change.
    pub candidate: Option<Candidate>,
    /// What it judges if nothing was captured yet.
    pub head: CommitId,
}

impl CommandReview {
    /// How the attempt ended whose command gave that answer.
    #[must_use]
    pub fn judge(&self, check: Check) -> AttemptEnd {
        let revise = |what: &str, log: String| {
            let text = format!("`{}` {what}; the end of its output:\n\n{log}", self.gate.command);
            Outcome::Reviewed(Verdict::of(verdict::Gate::Revise).saying(text))
        };
        AttemptEnd::new(match check {
            Check::Passed => Outcome::Reviewed(Verdict::of(verdict::Gate::Pass)),
            Check::Failed { log } => revise("failed", log),
            Check::TimedOut { log } => revise("ran longer than it may", log),
            Check::Unknown { reason } => Outcome::AgentError { message: reason, transient: true },
        })
    }
}

impl AttemptJob {
    /// The capture of what the attempt left, dated `at`.
    #[must_use]
    pub fn capture(&self, at: Timestamp) -> CaptureSpec {
        CaptureSpec::new(self.workspace.clone(), self.expect, self.title.clone(), at)
    }

    /// Puts together how the agent ended and what was found in its workspace. Success needs evidence: what the text
    /// claims moves no state (S7).
    #[must_use]
    pub fn judge(&self, end: AgentEnd, captured: Result<Capture, String>) -> AttemptEnd {
        let purpose = self.workspace.purpose;
        let (captured, mut notices) = match captured.map(Capture::apart) {
            Ok((capture, notices)) => (Ok(capture), notices),
            Err(reason) => (Err(reason), Vec::new()),
        };
        let files = match &captured {
            Ok(Capture::Change { paths, .. }) => paths.clone(),
            _ => Vec::new(),
        };
        let work = match &captured {
            Ok(Capture::Change { commit, tree, .. } | Capture::Tampered { work: Some((commit, tree)), .. }) => {
                Some(Work { base: *commit, commit: *commit, tree: *tree, attempt: self.attempt })
            }
            _ => None,
        };
        notices.extend(end.notices);
        let nonce = prompt::nonce(self.workspace.id);
        let asks = prompt::question(&end.text, &nonce);
        let mut proposals = prompt::proposals(&end.text, &nonce);
        proposals.extend(end.proposals);
        proposals.retain(|text| text.len() <= prompt::PROPOSAL_CAP);
        proposals.truncate(prompt::MOST_PROPOSALS);
        let claims = if purpose == Purpose::Fix { prompt::claims(&end.text, &nonce) } else { Vec::new() };
        let verdict = (purpose == Purpose::Review).then(|| match end.verdict {
            Some(verdict) => *verdict,
            None => {
                let read = Reading::of(&end.text, Some(&nonce));
                notices.extend(read.notices);
                read.verdict
            }
        });
        let output = end.output.filter(|o| !o.trim().is_empty()).or_else(|| prompt::output(&end.text));
        let outcome = match end.exit {
            // However the agent ended.
            _ if let Ok(Capture::Tampered { what, .. }) = &captured => Outcome::Tampered { what: what.clone() },
            AgentExit::Success => match captured {
                Err(reason) => Outcome::Workspace { reason },
                Ok(Capture::Refused { reason }) => Outcome::Policy { reason },
                Ok(Capture::Altered { paths }) => Outcome::Void { paths },
                Ok(Capture::Unresolved { paths }) => Outcome::Unresolved { paths },
                Ok(_) if let Some(question) = asks => Outcome::Asks { question },
                Ok(_) if let Some(verdict) = verdict => Outcome::Reviewed(verdict),
                Ok(Capture::NoArtifact) => Outcome::NoArtifact,
                Ok(Capture::Artifact) => Outcome::Artifact,
                Ok(Capture::NoChange) => Outcome::NoChange,
                Ok(Capture::Change { .. } | Capture::Tampered { .. } | Capture::Noticed { .. }) => Outcome::Changed,
            },
            AgentExit::NoResult => Outcome::NoResult,
            AgentExit::Error { message, transient } => Outcome::AgentError { message, transient },
            AgentExit::Refused { message } => Outcome::Declined { message },
            AgentExit::TimedOut => Outcome::TimedOut,
            AgentExit::Stuck => Outcome::Stuck,
            AgentExit::OutputLimit => Outcome::OutputLimit,
            AgentExit::RateLimited { until } => Outcome::RateLimited { until },
            AgentExit::Unavailable { message: reason } => Outcome::Unavailable { until: Timestamp::default(), reason },
            AgentExit::Killed => Outcome::Killed,
            AgentExit::OverBudget => Outcome::OverBudget,
        };
        let mut ended = AttemptEnd::new(outcome);
        ended.keep_files(files);
        (ended.work, ended.claims, ended.output) = (work, claims, output);
        (ended.session, ended.usage, ended.notices, ended.proposals) = (end.session, end.usage, notices, proposals);
        ended
    }
}

/// One mechanism for a queue.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum QueueJob {
    /// Look where the target is.
    Look(Branch),
    /// Look whether the target still has that candidate.
    Inspect(Branch, Candidate),
    /// Ask which of the first changes conflict, with the target and with all of both lists.
    Predict(CommitId, Vec<(RequestId, CommitId)>, Vec<(RequestId, CommitId)>),
    /// Build the change alone on the target.
    Try(CommitId, Change, EffectId),
    /// Bring the changes in.
    Import(LineNo, Vec<Change>),
    /// Build the candidate.
    Build(LineNo, CommitId, Vec<Change>, EffectId),
    /// Check the candidate.
    Check(LineNo, Candidate, Gate, EffectId),
    /// Check the base itself.
    CheckBase(LineNo, CommitId, Gate, EffectId),
    /// Check the change alone on the base that it was queued on.
    CheckOldBase(LineNo, CommitId, Change, Gate, EffectId),
    /// Move the target.
    Publish(LineNo, Branch, CommitId, Candidate),
}

impl Engine {
    /// The job of an attempt that is in flight.
    #[must_use]
    pub fn attempt_job(&self, place: Place, attempt: AttemptNo) -> Option<AttemptJob> {
        let execution = self.execution(place.execution)?;
        let (step, plan) = (execution.steps().get(place.step.index())?, execution.plan().step(place.step));
        let StepState::Running(Running { purpose, run: Run::Live { attempt: live, start, .. } }) = &step.state else {
            return None;
        };
        if *live != attempt {
            return None;
        }
        let id = EffectId::of_attempt(place.execution, place.step, attempt);
        let task = execution.task(place.step);
        let mut workspace = WorkspaceSpec::new(id, place.execution, task, attempt, *purpose, *start);
        workspace.artifacts = self.artifacts(place);
        // The document as it is: to be judged, or to be repaired.
        if step.has_artifact && matches!(purpose, Purpose::Review | Purpose::Fix) {
            workspace.artifacts.push(ArtifactRef { execution: place.execution, step: plan.id.clone() });
        }
        let mut agent = AgentSpec::new(id, place.execution, plan.id.clone(), attempt, *purpose);
        plan.role_of(*purpose, step.course.at).unwrap_or_default().clone_into(&mut agent.role);
        agent.tier = plan.tier_of(*purpose);
        agent.can_edit = *purpose != Purpose::Review && (!plan.read_only || plan.output == RoleOutput::Artifact);
        agent.reviewed = plan.review.is_some();
        if let Some(role) = self.roles.get(&agent.role) {
            agent.system_prompt.clone_from(&role.system_prompt);
            agent.tools.clone_from(&role.tools);
        }
        agent.answer_schema = (*purpose == Purpose::Review).then(|| verdict::schema().to_string());
        agent.model = plan.model.as_deref().map(ToOwned::to_owned);
        agent.resume = step.session.as_deref().filter(|_| *purpose == Purpose::Fix).map(ToOwned::to_owned);
        agent.budget = execution.left(place.step);
        agent.timeout = plan.timeout.unwrap_or(agent.timeout);
        agent.prompt = self.prompts.of_attempt(execution, place.step, attempt, *purpose);
        let expect = match (purpose, plan.output) {
            (Purpose::Review, _) => Expect::Nothing,
            (_, RoleOutput::Artifact) => Expect::Artifact,
            (_, RoleOutput::Branch) if plan.read_only => Expect::Nothing,
            (_, RoleOutput::Branch) => Expect::Change,
        };
        Some(AttemptJob {
            place,
            attempt,
            workspace,
            agent,
            expect,
            title: plan.title.to_string(),
            about: recall::query(plan, Timestamp::default()),
            default_timeout: plan.timeout.is_none(),
            command: (*purpose == Purpose::Review).then(|| command_review(step, plan, *start)).flatten(),
        })
    }

    /// The artifacts of needed steps.
    fn artifacts(&self, place: Place) -> Vec<ArtifactRef> {
        let Some(execution) = self.execution(place.execution) else { return Vec::new() };
        let needs = execution.plan().step(place.step).needs.iter().filter(|need| need.condition != Condition::Started);
        let of = |id: ExecutionId, ix: StepIx| {
            let step = self.execution(id)?.plan().steps().get(ix.index())?;
            (step.output == RoleOutput::Artifact).then(|| ArtifactRef { execution: id, step: step.id.clone() })
        };
        needs
            .filter_map(|need| match need.on {
                NeedOn::Step(ix) => of(place.execution, ix),
                NeedOn::External(external) => of(external.execution, external.step?),
            })
            .collect()
    }

    /// The job of a queue's effect.
    #[must_use]
    pub fn queue_job(&self, id: super::QueueId, effect: Effect) -> Option<QueueJob> {
        let queue = &self.queues.get(&id)?.machine;
        let no = effect.line;
        let key = |kind: &str| {
            let target = queue.target().as_str().as_bytes();
            EffectId::of(kind, &[target, &no.0.to_be_bytes(), &effect.attempt.to_be_bytes()])
        };
        let line = || queue.line(no);
        let gate = || line()?.gate().cloned();
        let changes = || Some(line()?.members.iter().map(|member| member.entry.change.clone()).collect());
        Some(match effect.kind {
            EffectKind::Look => QueueJob::Look(queue.target().clone()),
            EffectKind::Inspect => QueueJob::Inspect(queue.target().clone(), queue.last_merged()?),
            EffectKind::Predict => {
                let named = |changes: Vec<&Change>| changes.into_iter().map(|c| (c.request, c.commit)).collect();
                let (of, others) = queue.to_predict();
                QueueJob::Predict(queue.head()?, named(of), named(others))
            }
            EffectKind::Try => QueueJob::Try(queue.head()?, queue.to_try()?.clone(), key("try")),
            EffectKind::Import => QueueJob::Import(no, changes()?),
            EffectKind::Build => QueueJob::Build(no, line()?.base, changes()?, key("build")),
            EffectKind::Check => QueueJob::Check(no, line()?.candidate?, gate()?, key("check")),
            EffectKind::CheckBase => QueueJob::CheckBase(no, line()?.base, gate()?, key("base")),
            EffectKind::CheckOldBase => {
                let member = line()?.members.first()?;
                QueueJob::CheckOldBase(no, member.old_base()?, member.entry.change.clone(), gate()?, key("old base"))
            }
            EffectKind::Publish => QueueJob::Publish(no, queue.target().clone(), line()?.base, line()?.candidate?),
        })
    }
}

fn command_review(step: &StepRun, plan: &Step, start: Start) -> Option<CommandReview> {
    let Does::Review(Reviewer::Command { command, timeout }) = &plan.review.as_ref()?.state(step.course.at).does else {
        return None;
    };
    let (Start::Fresh { base: head }
    | Start::Continue { head, .. }
    | Start::Resolve { onto: head, .. }
    | Start::Merge { onto: head, .. }) = start;
    let candidate = step.work.as_ref().map(|w| Candidate { commit: w.commit, tree: w.tree, base: w.base });
    Some(CommandReview { gate: Gate::new(&**command, *timeout), candidate, head })
}

/// What a refinery is asked to predict, and what its answers mean.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Prediction {
    /// The pairs of commits to ask about.
    pub pairs: Vec<(CommitId, CommitId)>,
    /// What each pair is about: the change, and the other one, or none for the target.
    about: Vec<(RequestId, Option<RequestId>)>,
    of: Vec<RequestId>,
}

impl Prediction {
    /// Each of the changes with the target, with each other, and with the others: [`QueueJob::Predict`].
    #[must_use]
    pub fn new(head: CommitId, of: &[(RequestId, CommitId)], others: &[(RequestId, CommitId)]) -> Self {
        let (mut pairs, mut about) = (Vec::new(), Vec::new());
        for (n, (request, commit)) in of.iter().enumerate() {
            pairs.push((head, *commit));
            about.push((*request, None));
            for (other, other_commit) in of[n + 1..].iter().chain(others) {
                pairs.push((*commit, *other_commit));
                about.push((*request, Some(*other)));
            }
        }
        Self { pairs, about, of: of.iter().map(|(request, _)| *request).collect() }
    }

    /// The report for the queue, from an answer for each pair.
    #[must_use]
    pub fn report(self, conflicts: &[bool]) -> crate::merge_queue::Report {
        let (mut clashes, mut off) = (Vec::new(), Vec::new());
        for ((request, other), _) in self.about.into_iter().zip(conflicts).filter(|(_, conflicts)| **conflicts) {
            match other {
                Some(other) => clashes.push((request, other)),
                None => off.push(request),
            }
        }
        crate::merge_queue::Report::Predicted { of: self.of, clashes, off }
    }
}
