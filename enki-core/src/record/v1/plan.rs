//! Plans, steps and what goes with them, as they are stored.

use crate::advice::Class;
use crate::branch::Branch;
use crate::budget::Budget;
use crate::id::{CommitId, ExecutionId, StepId, StepIx};
use crate::plan::{self, External, NeedOn};
use crate::review::Review;
use crate::role::RoleOutput;
use crate::spec::{AfterWhen, Condition, Land};
use crate::tier::{Priority, Tier};
use crate::workspace;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;

/// A checked plan. What follows from its steps, such as who waits for whom, is not stored.
#[derive(Debug, Serialize, Deserialize)]
pub struct Plan<'a> {
    /// One line.
    title: Cow<'a, str>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    text: Cow<'a, str>,
    /// Branch on which the work lands, if the plan says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<Cow<'a, Branch>>,
    /// When merged work lands.
    #[serde(default, skip_serializing_if = "is_default")]
    land: Land,
    /// Priority of the whole plan.
    #[serde(default, skip_serializing_if = "is_default")]
    priority: Priority,
    /// The caller's idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<Cow<'a, str>>,
    /// Hash of the spec it came from.
    fingerprint: Cow<'a, str>,
    /// Kind of work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<Class>,
    /// Start not before this time, as written in the spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<Cow<'a, str>>,
    /// Start not before that execution ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<After>,
    /// Most tokens it may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    budget_tokens: Option<u64>,
    /// Most money it may cost, in millionths of a US dollar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    budget_micro_usd: Option<u64>,
    /// Its steps, in order.
    steps: Vec<Step<'a>>,
}

/// Start not before another execution ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct After {
    /// Which one.
    execution: ExecutionId,
    /// After success only, or after any end.
    when: AfterWhen,
}

/// A checked step.
#[derive(Debug, Serialize, Deserialize)]
pub struct Step<'a> {
    /// Its id in the plan.
    id: Cow<'a, StepId>,
    /// One line.
    title: Cow<'a, str>,
    /// What to do.
    text: Cow<'a, str>,
    /// Model and concurrency class.
    #[serde(default, skip_serializing_if = "is_default")]
    tier: Tier,
    /// Kind of worker; a plain one if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<Cow<'a, str>>,
    /// What its work results in.
    #[serde(default, skip_serializing_if = "is_default")]
    output: RoleOutput,
    /// Whether it may change no source, as its role said when the plan was checked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    read_only: bool,
    /// A model by name, instead of the tier's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<Cow<'a, str>>,
    /// Whether its note does not change tier and model.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pinned: bool,
    /// What it waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    needs: Vec<Need>,
    /// Whether everything holds once it is done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    checkpoint: bool,
    /// Its review; not reviewed if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    review: Option<Cow<'a, Review>>,
    /// Limit on one attempt, in milliseconds; the default limit if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<u64>,
    /// What all its attempts together may use.
    #[serde(default, skip_serializing_if = "is_default")]
    budget: Budget,
    /// What each of them may use.
    #[serde(default, skip_serializing_if = "is_default")]
    run_budget: Budget,
    /// Which ready step starts first.
    #[serde(default, skip_serializing_if = "is_default")]
    priority: Priority,
    /// What only its prompt uses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    brief: Option<Brief<'a>>,
}

/// What a step waits for: `step` alone is one of the same plan, `execution` alone another execution as a whole, both
/// a step of another execution.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Need {
    /// Another execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    execution: Option<ExecutionId>,
    /// Position of the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    step: Option<StepIx>,
    /// Until what; until merged if missing.
    #[serde(default, skip_serializing_if = "is_default")]
    until: Condition,
}

/// What only the prompt of a step uses; each field as in a plan file.
#[derive(Debug, Serialize, Deserialize)]
pub struct Brief<'a> {
    #[serde(default, skip_serializing_if = "<[String]>::is_empty")]
    files: Cow<'a, [String]>,
    #[serde(default, skip_serializing_if = "<[String]>::is_empty")]
    directories: Cow<'a, [String]>,
    #[serde(default, skip_serializing_if = "<[String]>::is_empty")]
    constraints: Cow<'a, [String]>,
    #[serde(default, skip_serializing_if = "<[String]>::is_empty")]
    skills: Cow<'a, [String]>,
    #[serde(default, skip_serializing_if = "<[String]>::is_empty")]
    acceptance: Cow<'a, [String]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done_when: Option<Cow<'a, str>>,
}

/// What the files of an attempt's workspace are when it starts.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// A fresh workspace.
    Fresh {
        /// Head of the integration branch.
        base: CommitId,
    },
    /// What the step has captured.
    Continue {
        /// Where its first attempt began.
        base: CommitId,
        /// What was captured last.
        head: CommitId,
    },
    /// The conflict of a change with a newer head, written into the files.
    Resolve {
        /// That head.
        onto: CommitId,
        /// The change.
        change: CommitId,
    },
    /// The same, to be captured as a merge of both.
    Merge {
        /// Head of the target.
        onto: CommitId,
        /// Tip of the integration branch.
        change: CommitId,
    },
}

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl<'a> From<&'a plan::Plan> for Plan<'a> {
    fn from(plan: &'a plan::Plan) -> Self {
        Self {
            title: Cow::Borrowed(&plan.title),
            text: Cow::Borrowed(&plan.description),
            target: plan.target.as_ref().map(Cow::Borrowed),
            land: plan.land,
            priority: plan.priority,
            request_id: plan.request_id.as_deref().map(Cow::Borrowed),
            fingerprint: Cow::Borrowed(&plan.fingerprint),
            class: plan.class,
            at: plan.at.as_deref().map(Cow::Borrowed),
            after: plan.after.map(After::from),
            budget_tokens: plan.budget.tokens,
            budget_micro_usd: plan.budget.cost_micro_usd,
            steps: plan.steps().iter().map(Step::from).collect(),
        }
    }
}

impl Plan<'_> {
    pub(super) fn into_plan(self) -> Result<plan::Plan, String> {
        let steps: Vec<plan::Step> = self.steps.into_iter().map(Step::into_step).collect::<Result<_, _>>()?;
        let mut plan = plan::Plan::default();
        plan.title = self.title.into_owned();
        plan.description = self.text.into_owned();
        plan.target = self.target.map(Cow::into_owned);
        plan.land = self.land;
        plan.priority = self.priority;
        plan.request_id = self.request_id.map(Cow::into_owned);
        plan.fingerprint = self.fingerprint.into_owned();
        plan.class = self.class;
        plan.at = self.at.map(Cow::into_owned);
        plan.after = self.after.map(After::into_pair);
        plan.budget = Budget { tokens: self.budget_tokens, cost_micro_usd: self.budget_micro_usd };
        plan.check_stored(&steps)?;
        plan.extend(steps);
        Ok(plan)
    }
}

impl From<(ExecutionId, AfterWhen)> for After {
    fn from((execution, when): (ExecutionId, AfterWhen)) -> Self {
        Self { execution, when }
    }
}

impl After {
    pub(super) const fn into_pair(self) -> (ExecutionId, AfterWhen) {
        (self.execution, self.when)
    }
}

impl<'a> From<&'a plan::Step> for Step<'a> {
    fn from(step: &'a plan::Step) -> Self {
        Self {
            id: Cow::Borrowed(&step.id),
            title: Cow::Borrowed(&step.title),
            text: Cow::Borrowed(&step.description),
            tier: step.tier,
            role: step.role.as_deref().map(Cow::Borrowed),
            output: step.output,
            read_only: step.read_only,
            model: step.model.as_deref().map(Cow::Borrowed),
            pinned: step.pinned,
            needs: step.needs.iter().map(Need::from).collect(),
            checkpoint: step.checkpoint,
            review: step.review.as_deref().map(Cow::Borrowed),
            timeout: step.timeout.map(|t| u64::try_from(t.as_millis()).unwrap_or(u64::MAX)),
            budget: step.budget,
            run_budget: step.run_budget,
            priority: step.priority,
            brief: step.brief.as_deref().map(Brief::from),
        }
    }
}

impl Step<'_> {
    pub(super) fn into_step(self) -> Result<plan::Step, String> {
        let needs = self.needs.into_iter().map(Need::into_need).collect::<Option<_>>();
        let id = self.id.into_owned();
        let needs = needs.ok_or_else(|| format!("a need of step {id} names neither a step nor an execution"))?;
        Ok(plan::Step {
            id,
            title: self.title.into(),
            description: self.text.into(),
            tier: self.tier,
            role: self.role.map(Into::into),
            output: self.output,
            read_only: self.read_only,
            model: self.model.map(Into::into),
            pinned: self.pinned,
            needs,
            checkpoint: self.checkpoint,
            review: self.review.map(|review| review.into_owned().into()),
            timeout: self.timeout.map(Duration::from_millis),
            budget: self.budget,
            run_budget: self.run_budget,
            priority: self.priority,
            brief: self.brief.map(|brief| Box::new(brief.into_brief())),
        })
    }
}

impl From<&plan::Need> for Need {
    fn from(need: &plan::Need) -> Self {
        let (execution, step) = match need.on {
            NeedOn::Step(step) => (None, Some(step)),
            NeedOn::External(External { execution, step }) => (Some(execution), step),
        };
        Self { execution, step, until: need.condition }
    }
}

impl Need {
    fn into_need(self) -> Option<plan::Need> {
        let on = match (self.execution, self.step) {
            (Some(execution), step) => NeedOn::External(External { execution, step }),
            (None, Some(step)) => NeedOn::Step(step),
            (None, None) => return None,
        };
        Some(plan::Need { on, condition: self.until })
    }
}

impl<'a> From<&'a plan::Brief> for Brief<'a> {
    fn from(brief: &'a plan::Brief) -> Self {
        Self {
            files: Cow::Borrowed(&brief.files),
            directories: Cow::Borrowed(&brief.directories),
            constraints: Cow::Borrowed(&brief.constraints),
            skills: Cow::Borrowed(&brief.skills),
            acceptance: Cow::Borrowed(&brief.acceptance),
            done_when: brief.done_when.as_deref().map(Cow::Borrowed),
        }
    }
}

impl Brief<'_> {
    fn into_brief(self) -> plan::Brief {
        plan::Brief {
            files: self.files.into_owned(),
            directories: self.directories.into_owned(),
            constraints: self.constraints.into_owned(),
            skills: self.skills.into_owned(),
            acceptance: self.acceptance.into_owned(),
            done_when: self.done_when.map(Cow::into_owned),
        }
    }
}

impl From<workspace::Start> for Start {
    fn from(start: workspace::Start) -> Self {
        match start {
            workspace::Start::Fresh { base } => Self::Fresh { base },
            workspace::Start::Continue { base, head } => Self::Continue { base, head },
            workspace::Start::Resolve { onto, change } => Self::Resolve { onto, change },
            workspace::Start::Merge { onto, change } => Self::Merge { onto, change },
        }
    }
}

impl From<Start> for workspace::Start {
    fn from(start: Start) -> Self {
        match start {
            Start::Fresh { base } => Self::Fresh { base },
            Start::Continue { base, head } => Self::Continue { base, head },
            Start::Resolve { onto, change } => Self::Resolve { onto, change },
            Start::Merge { onto, change } => Self::Merge { onto, change },
        }
    }
}
