//! `enki_task_list`: the tasks, which are the steps of all executions.

use crate::activity::Activity;
use crate::text::{count, visible};
use crate::words::StepStatus;
use enki_core::engine::Engine;
use enki_core::execution::Execution;
use enki_core::id::{ExecutionId, StepId, StepIx, TaskId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU16;

/// Tasks listed unless the call says otherwise, and at most.
const USUAL: usize = 100;
const MOST: usize = 1000;

/// Which tasks.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaskListInput {
    /// Only those with this status.
    #[serde(default)]
    status: Option<StepStatus>,
    /// Only those of this execution: its id, or at least 4 hex digits of its short id that no other has. Without it,
    /// of all that are open and of those that ended while this orchestrator ran.
    #[serde(default)]
    pub(crate) execution_id: Option<String>,
    /// At most so many, 100 unless said otherwise, never more than 1000.
    #[serde(default)]
    limit: Option<NonZeroU16>,
}

/// Tasks as the machines know them: ids of tasks are hashes, and those are made off the driver's task.
#[derive(Debug)]
pub(crate) struct Found {
    rows: Vec<Row>,
    total: usize,
}

#[derive(Debug)]
struct Row {
    execution: ExecutionId,
    step: StepId,
    status: &'static str,
    tier: &'static str,
    title: Box<str>,
    activity: Option<String>,
}

/// The tasks.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct TaskList {
    /// The newest execution first, then in the order of its plan.
    tasks: Vec<Task>,
    /// Number of tasks that were asked for; more than listed if the limit left some out.
    total: usize,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Task {
    task_id: String,
    execution_id: String,
    /// Its id in the plan.
    step: String,
    status: &'static str,
    tier: &'static str,
    title: String,
    /// What its agent does now, in its own words or as it was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    activity: Option<String>,
}

impl Found {
    /// Looks at the machines. Quick: it runs on the driver's task.
    pub(crate) fn look(engine: &Engine, only: Option<ExecutionId>, input: &TaskListInput, activity: &Activity) -> Self {
        let mut chosen: Vec<&Execution> = match only {
            Some(id) => engine.execution(id).into_iter().collect(),
            None => engine.executions().collect(),
        };
        chosen.reverse();
        let limit = input.limit.map_or(USUAL, |limit| usize::from(limit.get())).min(MOST);
        let mut found = Self { rows: Vec::new(), total: 0 };
        for execution in chosen {
            for (n, step) in execution.plan().steps().iter().enumerate() {
                let word = execution.word(StepIx::at(n));
                if input.status.is_some_and(|status| status.as_str() != word) {
                    continue;
                }
                found.total += 1;
                if found.rows.len() < limit {
                    found.rows.push(Row {
                        execution: execution.id(),
                        step: step.id.clone(),
                        status: word,
                        tier: step.tier.as_str(),
                        title: step.title.clone(),
                        activity: activity.now(engine, execution.id(), StepIx::at(n)),
                    });
                }
            }
        }
        found
    }
}

impl From<Found> for TaskList {
    fn from(found: Found) -> Self {
        let task = |row: Row| Task {
            task_id: TaskId::of(row.execution, &row.step).to_string(),
            execution_id: row.execution.hex(),
            step: row.step.to_string(),
            status: row.status,
            tier: row.tier,
            title: row.title.into(),
            activity: row.activity,
        };
        Self { tasks: found.rows.into_iter().map(task).collect(), total: found.total }
    }
}

impl TaskList {
    /// For the model to read.
    pub(crate) fn text(&self) -> String {
        let all = count(self.total, "task", "tasks");
        let mut lines = vec![if self.tasks.len() < self.total {
            format!("{} of {all}; a larger limit, a status or an execution_id shows others", self.tasks.len())
        } else {
            all
        }];
        let mut of = "";
        for task in &self.tasks {
            if task.execution_id != of {
                of = &task.execution_id;
                lines.push(format!("execution {of}"));
            }
            let Task { task_id, step, status, tier, title, activity, .. } = task;
            let now = activity.as_ref().map_or_else(String::new, |now| format!("  now: {}", visible(now)));
            lines.push(format!("  {task_id}  {status:9}  {tier:8}  {step}  {}{now}", visible(title)));
        }
        lines.join("\n")
    }
}
