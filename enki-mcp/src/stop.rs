//! `enki_stop_all`: nothing works any more, and everything can be resumed.

use crate::failure::Failure;
use crate::machines::{Machines, seen};
use crate::text::count;
use enki_core::dispatcher::Place;
use enki_core::engine::Engine;
use enki_core::execution::Command;
use enki_core::id::{ExecutionId, StepIx, TaskId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// An agent has 10 s to end politely; then it is killed, with all that it started.
const PATIENCE: Duration = Duration::from_secs(15);

/// Nothing is to be said.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StopInput {}

/// What was stopped.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Stopped {
    /// Executions that are paused now.
    paused: Vec<String>,
    /// Attempts whose agents have ended.
    stopped: Vec<StoppedAttempt>,
    /// Attempts whose agents still end.
    ending: Vec<StoppedAttempt>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
struct StoppedAttempt {
    task_id: String,
    execution_id: String,
    step: String,
    attempt: u32,
}

/// An attempt that lived when the call came.
#[derive(Clone, Debug)]
struct Live {
    place: Place,
    named: StoppedAttempt,
}

pub(crate) async fn stop_all(machines: &dyn Machines, _: StopInput) -> Result<Stopped, Failure> {
    let (open, live) = seen(machines, |engine| (open(engine), live(engine))).await?;
    for id in &open {
        machines.command(*id, Command::Stop).await?;
    }
    let places: Vec<Place> = live.iter().map(|live| live.place).collect();
    machines.wait_for_agents(&places, PATIENCE).await?;
    seen(machines, move |engine| {
        let paused = |id: &ExecutionId| engine.execution(*id).is_some_and(|execution| execution.is_paused());
        let (ending, stopped): (Vec<Live>, Vec<Live>) = live.into_iter().partition(|live| engine.has_agent(live.place));
        let named = |all: Vec<Live>| all.into_iter().map(|live| live.named).collect();
        Stopped {
            paused: open.iter().filter(|id| paused(id)).map(|id| id.hex()).collect(),
            stopped: named(stopped),
            ending: named(ending),
        }
    })
    .await
}

fn open(engine: &Engine) -> Vec<ExecutionId> {
    engine.executions().filter(|execution| execution.ended().is_none()).map(|execution| execution.id()).collect()
}

fn live(engine: &Engine) -> Vec<Live> {
    let of = |execution: &enki_core::execution::Execution| {
        let id = execution.id();
        let one = |(n, run): (usize, &enki_core::execution::StepRun)| {
            let (attempt, step) = (run.live()?, StepIx::at(n));
            let name = &execution.plan().step(step).id;
            Some(Live {
                place: Place { execution: id, step },
                named: StoppedAttempt {
                    task_id: TaskId::of(id, name).to_string(),
                    execution_id: id.hex(),
                    step: name.to_string(),
                    attempt: attempt.0,
                },
            })
        };
        execution.steps().iter().enumerate().filter_map(one).collect::<Vec<_>>()
    };
    engine.executions().flat_map(of).collect()
}

impl Stopped {
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![format!(
            "{} paused, {} stopped; enki_resume goes on with an execution",
            count(self.paused.len(), "execution", "executions"),
            count(self.stopped.len(), "agent", "agents"),
        )];
        lines.extend(self.paused.iter().map(|id| format!("  paused {id}")));
        lines.extend(self.stopped.iter().map(|one| format!("  stopped attempt {} of {}", one.attempt, one.task_id)));
        lines.extend(
            self.ending.iter().map(|one| format!("  still ending: attempt {} of {}", one.attempt, one.task_id)),
        );
        lines.join("\n")
    }
}
