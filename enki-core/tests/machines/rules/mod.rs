//! One test for each rule of the model. The names say the rule.

mod attempts;
mod audit;
mod budgets;
mod clocks;
mod commands;
mod conflicts;
mod landings;
mod merging;
mod needs;
mod notes;
mod reviews;
mod scopes;
mod starts;
mod triggers;

use crate::world::{World, step};
use enki_core::execution::{FailReason, StepState};
use enki_core::id::ExecutionId;
use enki_core::limits::Limits;
use serde_json::{Value, json};

/// A world with one execution of those steps, its integration branch open.
fn running(steps: &[Value]) -> (World, ExecutionId) {
    running_plan(json!({"title": "a plan", "steps": steps}))
}

fn running_plan(plan: Value) -> (World, ExecutionId) {
    let mut world = World::new(Limits::default());
    let id = world.start(plan);
    (world, id)
}

pub(crate) fn plain(id: &str) -> Value {
    step(id, json!({}))
}

pub(crate) fn after(id: &str, need: &str, condition: &str) -> Value {
    step(id, json!({"needs": [{"step": need, "condition": condition}]}))
}

pub(crate) fn reviewed(id: &str, max_fixes: u32) -> Value {
    step(id, json!({"review": {"max_fixes": max_fixes}}))
}

impl World {
    /// Works a step off and merges it.
    pub(crate) fn done(&mut self, id: ExecutionId, step: &str) {
        self.work(id, step);
        self.queues();
        assert_eq!(self.word(id, step), "done");
    }

    fn failure(&self, id: ExecutionId, step: &str) -> &FailReason {
        match &self.of(id).step(self.ix(id, step)).state {
            StepState::Failed(reason) => reason,
            state => panic!("step {step} has not failed: {state:?}"),
        }
    }
}
