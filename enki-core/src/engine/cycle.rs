//! Whether new needs would make executions wait for each other (I1).

use super::{Engine, Rejected};
use crate::id::{ExecutionId, StepIx};
use crate::plan::{External, NeedOn, Step};
use std::collections::HashSet;

impl Engine {
    /// New steps make the execution as a whole end later. So nothing they need may wait for the whole execution.
    pub(super) fn check_cycles(&self, id: ExecutionId, steps: &[Step]) -> Result<(), Rejected> {
        let whole = External { execution: id, step: None };
        let outside = steps.iter().flat_map(|step| &step.needs).filter_map(|need| match need.on {
            NeedOn::External(external) => Some(external),
            NeedOn::Step(_) => None,
        });
        let mut open: Vec<(External, Vec<External>)> =
            outside.map(|external| (external, vec![whole, external])).collect();
        let mut seen = HashSet::new();
        while let Some((at, path)) = open.pop() {
            if at == whole {
                let names: Vec<String> = path.iter().map(|e| self.name(*e)).collect();
                return Err(Rejected::Cycle(names.join(" -> ")));
            }
            if seen.insert(at) {
                for next in self.waits_for(at) {
                    let mut path = path.clone();
                    path.push(next);
                    open.push((next, path));
                }
            }
        }
        Ok(())
    }

    fn waits_for(&self, at: External) -> Vec<External> {
        let Some(execution) = self.execution(at.execution) else { return Vec::new() };
        let of = |ix: StepIx| External { execution: at.execution, step: Some(ix) };
        let after = execution.after().map(|(after, _)| External { execution: after, step: None });
        let needs: Vec<External> = match at.step {
            None => (0..execution.steps().len()).map(|n| of(StepIx::at(n))).collect(),
            Some(ix) => execution
                .plan()
                .steps()
                .get(ix.index())
                .into_iter()
                .flat_map(|step| &step.needs)
                .map(|need| match need.on {
                    NeedOn::Step(on) => of(on),
                    NeedOn::External(external) => external,
                })
                .collect(),
        };
        needs.into_iter().chain(after).collect()
    }

    fn name(&self, external: External) -> String {
        match (external.step, self.execution(external.execution)) {
            (Some(ix), Some(execution)) if ix.index() < execution.steps().len() => execution.task(ix).to_string(),
            _ => external.execution.to_string(),
        }
    }
}
