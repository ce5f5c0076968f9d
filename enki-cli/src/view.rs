//! What people and programs see of an execution: `enki.execution.v1`.

use crate::budget::{self, BudgetView};
use crate::graph::{Graph, GraphNode, NodeState};
use crate::render::{money, time};
use enki_core::branch::Branch;
use enki_core::execution::{DoneKind, EndStatus, Execution, FailReason, HoldReason, ServiceWait, StepState};
use enki_core::id::{ExecutionId, StepIx};
use enki_core::plan::NeedOn;
use enki_core::role::RoleOutput;
use enki_core::store::Counts;
use enki_core::tier::{Pool, Purpose};
use enki_core::time::Timestamp;
use enki_core::workspace::ArtifactRef;
use serde::Serialize;
use std::collections::BTreeMap;

/// An execution.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ExecutionView {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) status: &'static str,
    pub(crate) origin: String,
    /// Kind of work, and how such work is best divided.
    pub(crate) class: Option<&'static str>,
    pub(crate) strategy: Option<&'static str>,
    pub(crate) target: String,
    pub(crate) land: &'static str,
    pub(crate) branch: String,
    pub(crate) base: Option<String>,
    pub(crate) head: Option<String>,
    pub(crate) landed: Option<String>,
    pub(crate) check: Option<String>,
    pub(crate) created: String,
    pub(crate) counts: Counts,
    pub(crate) cost: Cost,
    /// How much of its budget is used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) budgets: Vec<BudgetView>,
    pub(crate) holds: Vec<HoldView>,
    pub(crate) waiting_for: Vec<String>,
    /// Services that its agents may not ask now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) services: Vec<ServiceView>,
    pub(crate) steps: Vec<StepView>,
}

/// What it cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Cost {
    pub(crate) usd: f64,
    pub(crate) tokens: u64,
}

/// Something a person has to answer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HoldView {
    pub(crate) hold: u32,
    pub(crate) kind: &'static str,
    pub(crate) reason: String,
    /// The step of a checkpoint.
    pub(crate) step: Option<String>,
    /// The command that answers it.
    pub(crate) answer: String,
}

/// A service that agents may not ask for a while.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ServiceView {
    /// Whose: `worker`, or `reviewer` if that is another program.
    pub(crate) of: &'static str,
    pub(crate) until: String,
    pub(crate) reason: String,
    /// The command that asks it again before that time.
    pub(crate) answer: String,
}

/// A step.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StepView {
    pub(crate) id: String,
    pub(crate) task: String,
    pub(crate) title: String,
    pub(crate) tier: &'static str,
    pub(crate) role: Option<String>,
    pub(crate) status: &'static str,
    pub(crate) sub: Option<&'static str>,
    pub(crate) reason: Option<String>,
    /// The command that tries it again, if it has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry: Option<String>,
    /// The command that takes it as it is, if a review escalated it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) accept: Option<String>,
    /// How much of its budgets is used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) budgets: Vec<BudgetView>,
    /// Whether it is one of Enki's own, that solves the conflict of a landing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) resolves_landing: bool,
    pub(crate) attempts: u32,
    /// The level of the sandbox that the agent of its last attempt ran in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sandbox: Option<u8>,
    pub(crate) commit: Option<String>,
    pub(crate) landed: bool,
    pub(crate) artifact: Option<String>,
    pub(crate) needs: Vec<String>,
    pub(crate) checkpoint: bool,
    pub(crate) output: Option<String>,
    /// What a person should know of its attempts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notices: Vec<String>,
    /// What its agent does now, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) activity: Option<String>,
}

impl ExecutionView {
    /// What is to be seen of it at that time.
    pub(crate) fn of(execution: &Execution, now: Timestamp) -> Self {
        let id = execution.id();
        let usage = execution.usage();
        let hex = |commit: Option<enki_core::id::CommitId>| commit.map(|c| c.to_string());
        let hold = |(hold, reason): (&enki_core::execution::HoldNo, &HoldReason)| HoldView {
            hold: hold.0,
            kind: match reason {
                HoldReason::Checkpoint { .. } => "checkpoint",
                HoldReason::Approval { .. } => "approval",
                HoldReason::Budget => "budget",
                HoldReason::Rewound => "rewound",
                HoldReason::Landing { .. } => "landing",
                HoldReason::Trouble { .. } => "trouble",
                HoldReason::Note { .. } => "note",
                _ => "other",
            },
            reason: execution.describe(reason),
            step: match reason {
                HoldReason::Checkpoint { step } | HoldReason::Note { step, .. } => {
                    Some(execution.plan().step(*step).id.to_string())
                }
                _ => None,
            },
            answer: budget::answer_to(execution, reason),
        };
        Self {
            id: id.to_string(),
            title: execution.plan().title.clone(),
            status: execution.status(),
            origin: execution.origin().to_owned(),
            class: execution.plan().class.map(enki_core::advice::Class::as_str),
            strategy: execution.plan().class.map(enki_core::advice::Class::strategy),
            target: execution.target().to_string(),
            land: match execution.land() {
                enki_core::spec::Land::Each => "each",
                enki_core::spec::Land::End => "end",
            },
            branch: Branch::integration(id).to_string(),
            base: hex(execution.base()),
            head: hex(execution.head()),
            landed: hex(execution.landed()),
            check: execution.gate().map(|gate| gate.command.clone()),
            created: time(execution.created()),
            counts: execution.counts(),
            cost: Cost {
                usd: money(usage.cost_micro_usd),
                tokens: usage.input_tokens.saturating_add(usage.output_tokens),
            },
            budgets: budget::of_execution(execution),
            holds: execution.holds().iter().map(hold).collect(),
            waiting_for: execution.waiting_for(),
            services: execution.service_waits(now).map(|(pool, wait)| service(id, pool, wait)).collect(),
            steps: (0..execution.steps().len()).map(|n| step(execution, StepIx::at(n))).collect(),
        }
    }

    /// Adds what agents do now, by step id.
    pub(crate) fn with_activity(mut self, activity: &BTreeMap<String, String>) -> Self {
        for step in self.steps.iter_mut().filter(|step| step.status == "running") {
            step.activity = activity.get(&step.id).cloned();
        }
        self
    }

    /// The picture of it.
    pub(crate) fn graph(&self) -> Graph {
        let position: BTreeMap<&str, usize> = self.steps.iter().enumerate().map(|(n, s)| (s.id.as_str(), n)).collect();
        let node = |step: &StepView| GraphNode {
            id: step.id.clone(),
            title: step.title.clone(),
            state: state(step.status, step.sub),
            note: self.note(step),
            needs: step
                .needs
                .iter()
                .filter_map(|need| {
                    let (id, condition) = need.split_once(':').unwrap_or((need, "merged"));
                    let condition = match condition {
                        "started" => enki_core::spec::Condition::Started,
                        "completed" => enki_core::spec::Condition::Completed,
                        _ => enki_core::spec::Condition::Merged,
                    };
                    Some((*position.get(id)?, condition))
                })
                .collect(),
        };
        Graph { title: format!("{} {}", self.id, self.title), nodes: self.steps.iter().map(node).collect() }
    }

    fn note(&self, step: &StepView) -> String {
        let mut notes: Vec<String> = Vec::new();
        notes.extend(step.commit.as_ref().map(|commit| commit[..commit.len().min(12)].to_owned()));
        notes.extend(step.artifact.clone());
        if step.status == "done" && step.commit.is_none() && step.artifact.is_none() {
            notes.push("no changes".to_owned());
        }
        notes.extend(step.reason.clone());
        notes.extend(step.activity.clone());
        if self.holds.iter().any(|hold| hold.step.as_deref() == Some(&step.id)) {
            notes.push("checkpoint: waits for you".to_owned());
        } else if step.checkpoint && step.status != "done" {
            notes.push("checkpoint".to_owned());
        }
        notes.join(", ")
    }
}

fn service(id: ExecutionId, pool: Pool, wait: &ServiceWait) -> ServiceView {
    ServiceView {
        of: if pool == Pool::Reviewer { "reviewer" } else { "worker" },
        until: time(wait.until),
        reason: wait.why.clone(),
        answer: format!("enki resume {id}"),
    }
}

fn step(execution: &Execution, ix: StepIx) -> StepView {
    let (run, plan) = (execution.step(ix), execution.plan().step(ix));
    let artifact = ArtifactRef { execution: execution.id(), step: plan.id.clone() }.path();
    let condition = |condition: enki_core::spec::Condition| match condition {
        enki_core::spec::Condition::Merged => "",
        enki_core::spec::Condition::Completed => ":completed",
        enki_core::spec::Condition::Started => ":started",
    };
    StepView {
        id: plan.id.to_string(),
        task: execution.task(ix).to_string(),
        title: plan.title.to_string(),
        tier: plan.tier.as_str(),
        role: plan.role.as_deref().map(str::to_owned),
        status: execution.word(ix),
        sub: match &run.state {
            StepState::Running(running) => Some(match running.purpose {
                Purpose::Work => "working",
                Purpose::Review => "reviewing",
                Purpose::Fix => "fixing",
                Purpose::Resolve => "resolving",
            }),
            _ => None,
        },
        reason: match &run.state {
            StepState::Failed(reason) => Some(reason.to_string()),
            _ => None,
        },
        retry: matches!(run.state, StepState::Failed(_)).then(|| budget::retry(execution, ix)),
        accept: matches!(run.state, StepState::Failed(FailReason::Escalated(_)))
            .then(|| format!("enki accept {} --why TEXT", execution.task(ix))),
        budgets: budget::of_step(execution, ix),
        resolves_landing: run.landing.is_some(),
        attempts: run.attempts,
        sandbox: run.sandbox,
        commit: match &run.state {
            StepState::Done(DoneKind::Merged { commit } | DoneKind::Resolved { commit }) => Some(commit.to_string()),
            _ => None,
        },
        landed: execution.has_landed(ix),
        artifact: (plan.output == RoleOutput::Artifact && run.state == StepState::Done(DoneKind::Artifact))
            .then_some(artifact),
        needs: plan
            .needs
            .iter()
            .map(|need| match need.on {
                NeedOn::Step(on) => format!("{}{}", execution.plan().step(on).id, condition(need.condition)),
                NeedOn::External(external) => format!("{}{}", external.execution, condition(need.condition)),
            })
            .collect(),
        checkpoint: plan.checkpoint,
        output: run.output.as_deref().map(str::to_owned),
        notices: run.notices.iter().map(|notice| notice.to_string()).collect(),
        activity: None,
    }
}

/// The state to draw.
fn state(status: &str, sub: Option<&str>) -> NodeState {
    match (status, sub) {
        ("ready", _) => NodeState::Ready,
        ("running", Some("reviewing")) => NodeState::Reviewing,
        ("running", Some("fixing" | "resolving")) => NodeState::Fixing,
        ("running", _) => NodeState::Running,
        ("merging", _) => NodeState::Merging,
        ("paused", _) => NodeState::Paused,
        ("blocked", _) => NodeState::Blocked,
        ("done", _) => NodeState::Done,
        ("failed", _) => NodeState::Failed,
        ("cancelled", _) => NodeState::Cancelled,
        _ => NodeState::Pending,
    }
}

/// How a run of an execution ends the process.
pub(crate) fn exit_of(execution: &Execution) -> crate::Exit {
    use crate::Exit;
    // Work that cannot land without touching uncommitted files comes before everything else that may be the case.
    let lands = execution.holds().values().any(|reason| matches!(reason, HoldReason::Landing { .. }));
    if lands && execution.landing_in_the_way() {
        return Exit::WouldLoseWork;
    }
    match execution.ended() {
        Some(EndStatus::Done) => Exit::Ok,
        Some(EndStatus::Failed | EndStatus::Cancelled) => Exit::Failed,
        None => Exit::NeedsPerson,
    }
}
