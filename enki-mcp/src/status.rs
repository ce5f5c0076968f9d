//! `enki_status`: how far everything is, or one execution.

use crate::activity::Activity;
use crate::mail::unread;
use crate::text::{count, name, visible};
use crate::words::StepStatus;
use enki_core::branch::Branch;
use enki_core::engine::Engine;
use enki_core::execution::{Execution, HoldNo, HoldReason};
use enki_core::id::{ExecutionId, StepIx};
use enki_core::merge_queue::QueuePause;
use enki_core::tier::Tier;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What to look at.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatusInput {
    /// Only this execution: its id, or at least 4 hex digits of its short id that no other has. Without it, all that
    /// are open.
    #[serde(default)]
    pub(crate) execution_id: Option<String>,
}

/// How far it is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Status {
    /// The executions that are counted, oldest first.
    executions: Vec<ExecutionStatus>,
    /// Their steps by status.
    steps: BTreeMap<&'static str, u32>,
    /// What the agents do now.
    activity: Vec<Doing>,
    /// Permits in use, of all executions together.
    permits: Permits,
    /// What waits for a person's answer.
    holds: Vec<Hold>,
    /// Changes in the merge queues of these executions, waiting or in the works.
    merge_queue_length: usize,
    /// Those queues, as far as they hold a change or are paused.
    merge_queues: Vec<Queue>,
    /// Messages that wait for you, if you get mail: see `enki_mail_inbox`.
    #[serde(skip_serializing_if = "Option::is_none")]
    unread: Option<usize>,
    #[serde(skip)]
    lines: Vec<String>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
struct ExecutionStatus {
    execution_id: String,
    title: String,
    status: &'static str,
    target: String,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Doing {
    execution_id: String,
    /// Its id in the plan.
    step: String,
    /// In its agent's words, or as it was seen.
    now: String,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Permits {
    /// Agent processes, of all tiers.
    runs: Permit,
    light: Permit,
    standard: Permit,
    heavy: Permit,
    /// Open review chains.
    chains: Permit,
    /// Steps that wait for a permit.
    waiting: usize,
}

#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
struct Permit {
    used: u32,
    limit: u32,
}

/// Something that waits for an answer.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Hold {
    execution_id: String,
    /// Its number in the execution.
    hold: u32,
    reason: String,
    /// What the step of a checkpoint put out. An agent wrote it: it is data.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Queue {
    /// The branch it publishes to.
    target: String,
    length: usize,
    /// Why nothing is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused: Option<String>,
}

impl Status {
    /// Looks at the machines. Quick: it runs on the driver's task.
    pub(crate) fn look(engine: &Engine, only: Option<ExecutionId>, activity: &Activity) -> Self {
        let chosen: Vec<&Execution> = match only {
            Some(id) => engine.execution(id).into_iter().collect(),
            None => engine.executions().filter(|execution| execution.ended().is_none()).collect(),
        };
        let mut status = Self {
            executions: Vec::with_capacity(chosen.len()),
            steps: StepStatus::ALL.iter().map(|status| (status.as_str(), 0)).collect(),
            activity: Vec::new(),
            permits: Permits::of(engine),
            holds: Vec::new(),
            merge_queue_length: 0,
            merge_queues: Vec::new(),
            unread: None,
            lines: Vec::with_capacity(chosen.len()),
        };
        let mut branches = BTreeSet::new();
        for execution in chosen {
            status.add(execution);
            for (n, step) in execution.plan().steps().iter().enumerate() {
                if let Some(now) = activity.now(engine, execution.id(), StepIx::at(n)) {
                    let (execution_id, step) = (execution.id().hex(), step.id.to_string());
                    status.activity.push(Doing { execution_id, step, now });
                }
            }
            branches.extend([Branch::integration(execution.id()), execution.target().clone()]);
        }
        for queue in branches.iter().filter_map(|branch| engine.queue(branch)) {
            status.merge_queue_length += queue.len();
            if !queue.is_empty() || queue.paused().is_some() {
                let paused = queue.paused().map(pause);
                status.merge_queues.push(Queue { target: queue.target().to_string(), length: queue.len(), paused });
            }
        }
        status
    }

    fn add(&mut self, execution: &Execution) {
        let mut words: BTreeMap<&'static str, u32> = BTreeMap::new();
        for n in 0..execution.steps().len() {
            *words.entry(execution.word(StepIx::at(n))).or_default() += 1;
        }
        let told: Vec<String> = words.iter().map(|(word, number)| format!("{number} {word}")).collect();
        self.lines.push(format!(
            "{}  {}  {}: {}  {}",
            name(execution),
            execution.status(),
            count(execution.steps().len(), "step", "steps"),
            told.join(", "),
            visible(&execution.plan().title),
        ));
        for (word, number) in words {
            *self.steps.entry(word).or_default() += number;
        }
        self.executions.push(ExecutionStatus {
            execution_id: execution.id().hex(),
            title: execution.plan().title.clone(),
            status: execution.status(),
            target: execution.target().to_string(),
        });
        self.holds.extend(Hold::of(execution));
    }

    /// The same, with what waits for whoever looks.
    pub(crate) fn with_mail(self, unread: Option<usize>) -> Self {
        Self { unread, ..self }
    }

    /// For the model to read.
    pub(crate) fn text(&self) -> String {
        let mut lines = self.lines.clone();
        if lines.is_empty() {
            lines.push("no execution is open; one that has ended is found by its full id".to_owned());
        }
        for Doing { step, now, .. } in &self.activity {
            lines.push(format!("{step} now: {}", visible(now)));
        }
        let Permits { runs, light, standard, heavy, chains, waiting } = &self.permits;
        let shown = |permit: &Permit| format!("{}/{}", permit.used, permit.limit);
        lines.push(format!(
            "permits: {} runs (light {}, standard {}, heavy {}), {} chains; {} for one",
            shown(runs),
            shown(light),
            shown(standard),
            shown(heavy),
            shown(chains),
            count(*waiting, "step waits", "steps wait"),
        ));
        lines.push(format!("merge queue: {}", count(self.merge_queue_length, "change", "changes")));
        for queue in &self.merge_queues {
            let paused = queue.paused.as_deref().map_or_else(String::new, |why| format!(", paused: {}", visible(why)));
            lines.push(format!("  {}: {}{paused}", queue.target, queue.length));
        }
        if self.holds.is_empty() {
            lines.push("holds: none".to_owned());
        }
        lines.extend(self.holds.iter().map(Hold::text));
        lines.extend(self.unread.filter(|n| *n > 0).map(|n| format!("{}: enki_mail_inbox", unread(n))));
        lines.join("\n")
    }
}

impl Hold {
    /// Those of an execution.
    pub(crate) fn of(execution: &Execution) -> Vec<Self> {
        let one = |(no, reason): (&HoldNo, &HoldReason)| Self {
            execution_id: execution.id().hex(),
            hold: no.0,
            reason: execution.describe(reason),
            output: match reason {
                HoldReason::Checkpoint { step } => execution.step(*step).output.as_deref().map(str::to_owned),
                _ => None,
            },
        };
        execution.holds().iter().map(one).collect()
    }

    /// For the model to read.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("hold {} of {}: {}", self.hold, self.execution_id, visible(&self.reason));
        if let Some(output) = &self.output {
            // What an agent wrote: data, each line behind a bar.
            output.lines().for_each(|line| text.push_str(&format!("\n  | {}", visible(line))));
        }
        text
    }
}

impl Permits {
    fn of(engine: &Engine) -> Self {
        let (limits, dispatcher) = (engine.limits(), engine.dispatcher());
        let used = dispatcher.runs_by_tier();
        let tier = |tier: Tier| Permit { used: used[tier as usize], limit: limits.tier(tier) };
        Self {
            runs: Permit { used: dispatcher.runs(), limit: limits.runs },
            light: tier(Tier::Light),
            standard: tier(Tier::Standard),
            heavy: tier(Tier::Heavy),
            chains: Permit { used: u32::try_from(dispatcher.chains()).unwrap_or(u32::MAX), limit: limits.chains },
            waiting: dispatcher.waiting(),
        }
    }
}

fn pause(why: &QueuePause) -> String {
    match why {
        QueuePause::Person => "a person paused it".to_owned(),
        QueuePause::BaseRed { log } => {
            format!("the target itself fails its check: {}", log.lines().last().unwrap_or("no output"))
        }
        QueuePause::Infrastructure { reason } => reason.clone(),
        QueuePause::TargetGone => "the target branch does not exist any more".to_owned(),
        // A newer core has another reason: its name says more than nothing.
        other => format!("{other:?}"),
    }
}
