//! `enki_dag`: which step of an execution waits for which.

use crate::failure::Failure;
use crate::find;
use crate::machines::{Machines, seen};
use crate::text::count;
use enki_core::engine::Engine;
use enki_core::execution::Execution;
use enki_core::id::{ExecutionId, StepId, StepIx, TaskId};
use enki_core::plan::{External, NeedOn};
use enki_core::spec::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which graph.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DagInput {
    /// Its id, or at least 4 hex digits of its short id that no other has.
    pub(crate) execution_id: String,
}

/// The graph as the machines know it.
#[derive(Debug)]
struct Found {
    execution: ExecutionId,
    status: &'static str,
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    step: StepId,
    status: &'static str,
    needs: Vec<(On, Condition)>,
}

#[derive(Debug)]
enum On {
    Step(usize),
    Task(ExecutionId, StepId),
    Execution(ExecutionId),
}

/// The graph.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Dag {
    execution_id: String,
    status: &'static str,
    /// By layer, in each in the order of the plan.
    steps: Vec<Step>,
    #[serde(skip)]
    title: String,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Step {
    /// Its id in the plan.
    step: String,
    task_id: String,
    status: &'static str,
    /// From 1: one more than the last of its needs inside the plan.
    layer: usize,
    needs: Vec<Need>,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Need {
    /// A step of this plan, or the id of a task or of an execution outside.
    on: String,
    /// Until it has started, completed or merged.
    condition: Condition,
    /// Whether it is of another execution.
    outside: bool,
}

impl Found {
    /// Looks at the machines. Quick: it runs on the driver's task.
    fn look(engine: &Engine, id: ExecutionId) -> Option<Self> {
        let execution = engine.execution(id)?;
        let node = |(n, step): (usize, &enki_core::plan::Step)| Node {
            step: step.id.clone(),
            status: execution.word(StepIx::at(n)),
            needs: step.needs.iter().map(|need| (on(engine, need.on), need.condition)).collect(),
        };
        let nodes = execution.plan().steps().iter().enumerate().map(node).collect();
        Some(Self { execution: id, status: execution.status(), nodes })
    }
}

pub(crate) async fn draw(machines: &dyn Machines, input: &DagInput) -> Result<Dag, Failure> {
    let id = find::execution(machines, &input.execution_id).await?;
    let found = seen(machines, move |engine| Found::look(engine, id)).await?;
    found.map(Dag::from).ok_or_else(|| Failure::unknown(&input.execution_id))
}

fn on(engine: &Engine, need: NeedOn) -> On {
    match need {
        NeedOn::Step(ix) => On::Step(ix.index()),
        NeedOn::External(External { execution, step }) => {
            let plan = engine.execution(execution).map(Execution::plan);
            let step = plan.zip(step).and_then(|(plan, ix)| plan.steps().get(ix.index()));
            step.map_or(On::Execution(execution), |step| On::Task(execution, step.id.clone()))
        }
    }
}

impl From<Found> for Dag {
    fn from(found: Found) -> Self {
        let layers = layers(&found.nodes);
        let mut order: Vec<usize> = (0..found.nodes.len()).collect();
        order.sort_by_key(|n| layers[*n]);
        let need = |(on, condition): &(On, Condition)| {
            let (on, outside) = match on {
                On::Step(n) => (found.nodes[*n].step.to_string(), false),
                On::Task(execution, step) => (TaskId::of(*execution, step).to_string(), true),
                On::Execution(execution) => (execution.hex(), true),
            };
            Need { on, condition: *condition, outside }
        };
        let step = |n: usize| {
            let node = &found.nodes[n];
            Step {
                step: node.step.to_string(),
                task_id: TaskId::of(found.execution, &node.step).to_string(),
                status: node.status,
                layer: layers[n] + 1,
                needs: node.needs.iter().map(need).collect(),
            }
        };
        Self {
            execution_id: found.execution.hex(),
            status: found.status,
            steps: order.into_iter().map(step).collect(),
            title: format!("execution {} ({})", found.execution.hex(), found.execution),
        }
    }
}

impl Dag {
    /// ASCII, one line a step.
    pub(crate) fn text(&self) -> String {
        let depth = self.steps.last().map_or(0, |step| step.layer);
        let steps = count(self.steps.len(), "step", "steps");
        let mut lines =
            vec![format!("{}  {}  {steps} in {}", self.title, self.status, count(depth, "layer", "layers"))];
        let width = self.steps.iter().map(|step| step.step.len()).max().unwrap_or(0);
        let mut layer = 0;
        for step in &self.steps {
            if step.layer != layer {
                layer = step.layer;
                lines.push(format!("layer {layer}"));
            }
            let needs: Vec<String> = step.needs.iter().map(Need::text).collect();
            let needs = if needs.is_empty() { "nothing".to_owned() } else { needs.join(", ") };
            lines.push(format!("  {:width$}  {:9}  needs {needs}", step.step, step.status));
        }
        lines.join("\n")
    }
}

impl Need {
    fn text(&self) -> String {
        match self.condition {
            Condition::Merged => self.on.clone(),
            Condition::Completed => format!("{} (completed)", self.on),
            Condition::Started => format!("{} (started)", self.on),
        }
    }
}

/// The length of the longest path of needs above each step. In proportion to the edges.
fn layers(nodes: &[Node]) -> Vec<usize> {
    let inside = |node: &Node| -> Vec<usize> {
        node.needs.iter().filter_map(|(on, _)| if let On::Step(n) = on { Some(*n) } else { None }).collect()
    };
    let needs: Vec<Vec<usize>> = nodes.iter().map(inside).collect();
    let mut dependents = vec![Vec::new(); nodes.len()];
    let mut open: Vec<usize> = needs.iter().map(Vec::len).collect();
    for (n, needs) in needs.iter().enumerate() {
        for need in needs {
            dependents[*need].push(n);
        }
    }
    let mut layers = vec![0; nodes.len()];
    let mut free: Vec<usize> = (0..nodes.len()).filter(|n| open[*n] == 0).collect();
    while let Some(n) = free.pop() {
        for dependent in &dependents[n] {
            layers[*dependent] = layers[*dependent].max(layers[n] + 1);
            open[*dependent] -= 1;
            if open[*dependent] == 0 {
                free.push(*dependent);
            }
        }
    }
    layers
}
