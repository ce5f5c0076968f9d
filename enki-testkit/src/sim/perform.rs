//! What backends do for an orchestrator: agents in workspaces, and the mechanisms of the refinery.

use super::host::HostId;
use super::{Process, Simulation, Task};
use crate::fakes::agents::Hands;
use enki_core::agent::{AgentEnd, AgentExit};
use enki_core::branch::Branch;
use enki_core::dispatcher::Place;
use enki_core::engine::{AttemptJob, Input, QueueId, QueueJob};
use enki_core::execution::{AttemptEnd, Outcome, Report};
use enki_core::id::{AttemptNo, CommitId, ExecutionId, TreeId};
use enki_core::merge_queue;
use enki_core::refinery::{Build, Candidate, Change, Check, Gate, Import, Publish, Refinery};
use enki_core::tier::Purpose;
use enki_core::workspace::{ArtifactRef, Expect, Workspace, WorkspaceProvider};
use futures::FutureExt;
use merge_queue::Report as Answer;
use std::future::Future;

/// Why a target is left alone.
pub(super) const CHECKED_OUT: &str = "it is checked out with changes";

/// An attempt on its way.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    job: AttemptJob,
    stage: Stage,
    workspace: Option<Workspace>,
    end: Option<AgentEnd>,
}

/// What happens next to an attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    Workspace,
    Agent,
    Work,
    Capture,
}

impl Attempt {
    pub(super) fn new(job: AttemptJob, stage: Stage) -> Self {
        let end = (stage == Stage::Capture).then(|| AgentEnd::new(AgentExit::Killed));
        Self { job, stage, workspace: None, end }
    }

    pub(super) const fn place(&self) -> Place {
        self.job.place
    }

    pub(super) const fn number(&self) -> AttemptNo {
        self.job.attempt
    }

    pub(super) fn describe(&self) -> String {
        let Place { execution, step } = self.place();
        format!("{execution} step {} attempt {}: {:?}", step.0, self.number(), self.stage)
    }
}

impl Simulation {
    pub(super) fn attempt_goes_on(&mut self, host: HostId, mut attempt: Box<Attempt>) -> Result<(), String> {
        if !self.hosts.contains_key(&host) {
            return Ok(());
        }
        let (place, number) = (attempt.place(), attempt.number());
        if self.is_stopping(host, place, number) {
            let delay = self.some_time(10_000);
            self.after(delay, Task::Gone(host, attempt));
            return Ok(());
        }
        match attempt.stage {
            Stage::Workspace => {
                if self.rng.chance(self.faults.agent_failure / 6) {
                    let outcome = Outcome::Workspace { reason: "the disk is slow today".to_owned() };
                    self.ended(host, &attempt, AttemptEnd::new(outcome));
                    return Ok(());
                }
                match ready(self.workspaces.create(&attempt.job.workspace)) {
                    Ok(workspace) => attempt.workspace = Some(workspace),
                    Err(error) => return Err(format!("a workspace cannot be made: {error}")),
                }
                attempt.stage = Stage::Agent;
                let delay = self.some_time(500);
                self.after(delay, Task::Attempt(host, attempt));
            }
            Stage::Agent => {
                if self.rng.chance(self.faults.agent_failure / 6) {
                    let outcome = Outcome::NotStarted { reason: "no such program".to_owned() };
                    self.ended(host, &attempt, AttemptEnd::new(outcome));
                    return Ok(());
                }
                self.agent_starts(host, place, number)?;
                let report = Report::Live { step: place.step, attempt: number, session: None };
                if self.rng.chance(900) {
                    self.answer(host, Input::Report(place.execution, report));
                }
                if self.rng.chance(300) {
                    self.answer(host, Input::Answered(place, number));
                }
                attempt.stage = Stage::Work;
                let delay = self.some_time(60_000);
                self.after(delay, Task::Attempt(host, attempt));
            }
            Stage::Work => {
                let end = self.agent_works(&attempt);
                attempt.end = Some(end);
                attempt.stage = Stage::Capture;
                self.processes.remove(&place);
                let delay = self.some_time(300);
                self.after(delay, Task::Attempt(host, attempt));
            }
            Stage::Capture => {
                let end = self.capture(&attempt);
                self.ended(host, &attempt, end);
            }
        }
        Ok(())
    }

    fn ended(&mut self, host: HostId, attempt: &Attempt, end: AttemptEnd) {
        let place = attempt.place();
        let report = Report::Ended { step: place.step, attempt: attempt.number(), end: Box::new(end) };
        self.answer(host, Input::Report(place.execution, report));
    }

    fn capture(&mut self, attempt: &Attempt) -> AttemptEnd {
        let captured = if self.rng.chance(self.faults.lost_answer / 4) {
            Err("git was killed".to_owned())
        } else {
            ready(self.workspaces.capture(&attempt.job.capture(self.now()))).map_err(|error| error.to_string())
        };
        attempt.job.judge(attempt.end.clone().unwrap_or_default(), captured)
    }

    /// The process of an attempt begins (I4, I10, and append before perform).
    fn agent_starts(&mut self, host: HostId, place: Place, number: AttemptNo) -> Result<(), String> {
        let leads = self.leader() == Some(host);
        if leads && !self.oracle.is_live(place.execution, place.step, number) {
            return Err(format!("R4: attempt {number} of {place:?} runs, but its start is not in the log"));
        }
        if let Some(other) = self.processes.get(&place).filter(|other| other.host == host) {
            return Err(format!("I4: attempt {number} of {place:?} starts while {other:?} lives"));
        }
        if leads {
            self.processes.insert(place, Process { attempt: number, host });
            self.report.attempts += 1;
            let living = self.processes.values().filter(|process| process.host == host).count();
            if living > self.limits.runs as usize {
                return Err(format!("I4: {living} agents live, {} may", self.limits.runs));
            }
        }
        Ok(())
    }

    /// What an agent does in its time.
    fn agent_works(&mut self, attempt: &Attempt) -> AgentEnd {
        if self.rng.chance(self.faults.agent_failure) {
            let until = self.now().plus(std::time::Duration::from_secs(self.rng.below(900)));
            let transient = self.rng.chance(500);
            let exits = [
                AgentExit::NoResult,
                AgentExit::Error { message: "out of ideas".to_owned(), transient },
                AgentExit::TimedOut,
                AgentExit::Stuck,
                AgentExit::OutputLimit,
                AgentExit::RateLimited { until },
                AgentExit::Unavailable { message: "529".to_owned() },
                AgentExit::Killed,
            ];
            if self.rng.chance(500) {
                self.agent_edits(attempt);
            }
            return AgentEnd::new(self.rng.pick(&exits));
        }
        let success = AgentEnd::new(AgentExit::Success);
        if attempt.job.workspace.purpose == Purpose::Review {
            if self.rng.chance(self.faults.agent_failure / 3) {
                self.edit(attempt, "meddled.txt", "by a reviewer\n");
            }
            let verdict = if !self.rng.chance(self.faults.reviewer_unhappy) {
                "VERDICT: PASS\nSCORE: 9.5/10"
            } else {
                self.rng.pick(&["VERDICT: REVISE", "VERDICT: REVISE", "VERDICT: FAIL", "SCORE: 3/10", "well, well"])
            };
            return success.with_text(verdict);
        }
        if self.healing || !self.rng.chance(50) {
            self.agent_edits(attempt);
        }
        success.with_text("[OUTPUT]\ndone\n[/OUTPUT]")
    }

    fn agent_edits(&mut self, attempt: &Attempt) {
        let job = &attempt.job;
        if job.expect == Expect::Artifact {
            let path = ArtifactRef { execution: job.place.execution, step: job.agent.step.clone() }.path();
            self.edit(attempt, &path, "# Findings\n");
            return;
        }
        let number = job.attempt;
        let bad = self.rng.chance(self.faults.agent_breaks_the_gate);
        let mark = if bad { "BAD " } else { "" };
        for path in attempt.workspace.iter().flat_map(|w| w.conflicts.clone()) {
            if self.healing || self.rng.chance(900) {
                self.edit(attempt, &path, &format!("resolved by {number}\n"));
            }
        }
        if job.workspace.purpose == Purpose::Resolve {
            return;
        }
        let own = format!("{}-{}.txt", job.place.execution, job.place.step.0);
        self.edit(attempt, &own, &format!("{mark}by attempt {number}\n"));
        if self.rng.chance(self.faults.agent_touches_shared_files) {
            let text = format!("by {} attempt {number}\n", job.workspace.task);
            self.edit(attempt, "shared.txt", &text);
        }
    }

    fn edit(&self, attempt: &Attempt, path: &str, content: &str) {
        let Some(workspace) = &attempt.workspace else { return };
        // One that another orchestrator made anew meanwhile is not there any more; then nothing is edited.
        let _ = self.workspaces.edit(&workspace.path, path, Some(content));
    }

    /// An agent that was asked to stop is gone; what it had done may still be reported.
    pub(super) fn agent_is_gone(&mut self, host: HostId, attempt: Attempt) -> Result<(), String> {
        let place = attempt.place();
        let mine = self.processes.get(&place).is_some_and(|p| p.host == host && p.attempt == attempt.number());
        if mine {
            self.processes.remove(&place);
        }
        if let Some(host) = self.hosts.get_mut(&host) {
            host.stopping.remove(&(place, attempt.number()));
        }
        if attempt.workspace.is_some() && self.rng.chance(self.faults.late_report_after_stop) {
            let end = self.capture(&attempt);
            self.ended(host, &attempt, end);
        }
        self.after(1, Task::Deliver(host, Input::Stopped(place)));
        Ok(())
    }

    pub(super) fn open(&mut self, host: HostId, execution: ExecutionId) -> Result<(), String> {
        let report = if self.rng.chance(self.faults.lost_answer / 4) {
            Report::OpenFailed("git was killed".to_owned())
        } else {
            match ready(self.refinery.open(&super::target(), &Branch::integration(execution))) {
                Ok(base) => Report::Opened(base),
                Err(error) => Report::OpenFailed(error.to_string()),
            }
        };
        self.answer(host, Input::Report(execution, report));
        Ok(())
    }

    /// Works also for a host that crashed meanwhile, or lost its lease: git was under way.
    pub(super) fn mechanism(
        &mut self,
        host: HostId,
        queue: QueueId,
        effect: merge_queue::Effect,
        job: &QueueJob,
    ) -> Result<(), String> {
        if !self.hosts.contains_key(&host) && self.rng.chance(500) {
            return Ok(());
        }
        let lost = self.rng.chance(self.faults.lost_answer);
        if lost && self.rng.chance(500) {
            self.lose_answer(host, queue, effect);
            return Ok(());
        }
        let input = match job {
            QueueJob::Look(target) => {
                let state = ready(self.refinery.inspect(target, None)).map_err(|e| e.to_string())?;
                merge_queue::Input::Seen(state.head)
            }
            QueueJob::Inspect(target, candidate) => {
                let state = ready(self.refinery.inspect(target, Some(candidate.commit))).map_err(|e| e.to_string())?;
                merge_queue::Input::Inspected { state, rebooted: false }
            }
            QueueJob::Predict(head, of, others) => {
                let asked = enki_core::engine::Prediction::new(*head, of, others);
                let answers = ready(self.refinery.predict(&asked.pairs)).map_err(|e| e.to_string())?;
                merge_queue::Input::Report(effect, asked.report(&answers))
            }
            QueueJob::Try(base, change, id) => {
                let changes: &[Change] = std::slice::from_ref(change);
                let build = ready(self.refinery.build(*base, changes, *id)).map_err(|e| e.to_string())?;
                merge_queue::Input::Report(effect, Answer::Tried(change.request, build))
            }
            QueueJob::Import(_, changes) => {
                let mut answer = Answer::Imported;
                for change in changes {
                    if let Import::Refused { reason } =
                        ready(self.refinery.import(change)).map_err(|e| e.to_string())?
                    {
                        answer = Answer::ImportRefused { request: change.request, policy: reason };
                        break;
                    }
                }
                merge_queue::Input::Report(effect, answer)
            }
            QueueJob::Build(_, base, changes, id) => {
                let build = ready(self.refinery.build(*base, changes, *id)).map_err(|e| e.to_string())?;
                if let Build::Candidate { candidate, .. } = &build
                    && candidate.base != *base
                {
                    return Err("a build is on another base".to_owned());
                }
                merge_queue::Input::Report(effect, Answer::Built(build))
            }
            QueueJob::Check(_, candidate, gate, _) => {
                let check = self.gate(candidate.commit, candidate.tree, gate);
                merge_queue::Input::Report(effect, Answer::Checked(check))
            }
            QueueJob::CheckBase(_, base, gate, _) => {
                let tree = self.repository.get(*base).ok_or("the base is unknown")?.tree;
                let check = self.gate(*base, tree, gate);
                merge_queue::Input::Report(effect, Answer::BaseChecked(check))
            }
            QueueJob::CheckOldBase(_, base, change, gate, id) => {
                let changes: &[Change] = std::slice::from_ref(change);
                let check = match ready(self.refinery.build(*base, changes, *id)).map_err(|e| e.to_string())? {
                    Build::Candidate { candidate, .. } => self.gate(candidate.commit, candidate.tree, gate),
                    Build::Conflict { .. } | Build::Empty => {
                        Check::Failed { log: "it does not merge there".to_owned() }
                    }
                };
                merge_queue::Input::Report(effect, Answer::OldBaseChecked(check))
            }
            QueueJob::Publish(_, target, expected, candidate) => {
                let answer = self.publish(target, *expected, candidate)?;
                merge_queue::Input::Report(effect, answer)
            }
            other => return Err(format!("{other:?} is not known here")),
        };
        if lost {
            self.lose_answer(host, queue, effect);
        } else {
            self.answer(host, Input::Queue(queue, input));
        }
        Ok(())
    }

    fn lose_answer(&mut self, host: HostId, queue: QueueId, effect: merge_queue::Effect) {
        let reason = "the answer got lost".to_owned();
        let input = if effect.kind == merge_queue::EffectKind::Inspect {
            merge_queue::Input::Pause(merge_queue::QueuePause::Infrastructure { reason })
        } else {
            merge_queue::Input::Report(effect, Answer::Failed(reason))
        };
        self.answer(host, Input::Queue(queue, input));
    }

    /// A run of the gate: it fails on bad files, and sometimes by itself.
    fn gate(&mut self, commit: CommitId, tree: TreeId, _gate: &Gate) -> Check {
        if self.rng.chance(self.faults.lost_answer / 2) {
            return Check::Unknown { reason: "killed from outside".to_owned() };
        }
        let files = self.repository.files(commit).unwrap_or_default();
        let bad = files.iter().find(|(_, content)| content.contains("BAD")).map(|(path, _)| path.clone());
        let flaked = self.rng.chance(self.faults.gate_flake);
        let passed = bad.is_none() && !flaked;
        self.oracle.gate_ran(tree, passed);
        match bad {
            Some(path) => Check::Failed { log: format!("{path} is bad") },
            None if flaked && self.rng.chance(300) => Check::TimedOut { log: "slow".to_owned() },
            None if flaked => Check::Failed { log: "flaked".to_owned() },
            None => Check::Passed,
        }
    }

    fn publish(&mut self, target: &Branch, expected: CommitId, candidate: &Candidate) -> Result<Answer, String> {
        if *target == super::target() && self.rng.chance(self.faults.target_checked_out) {
            let (reason, command) = (CHECKED_OUT.to_owned(), "git merge".to_owned());
            return Ok(Answer::Blocked { reason, command });
        }
        let before = self.repository.head(target);
        let published = ready(self.refinery.publish(target, expected, candidate)).map_err(|e| e.to_string())?;
        if self.repository.head(target) != before {
            self.report.merges += 1;
            self.oracle.moved(target, before, candidate)?;
        }
        Ok(match published {
            Publish::Published => Answer::Published,
            Publish::Moved { .. } => {
                let state = ready(self.refinery.inspect(target, Some(candidate.commit))).map_err(|e| e.to_string())?;
                Answer::Moved(state)
            }
            Publish::Blocked { reason, command } => Answer::Blocked { reason, command },
        })
    }
}

/// The fakes never wait.
fn ready<F: Future>(call: F) -> F::Output {
    call.now_or_never().expect("a fake is ready at its first poll")
}
