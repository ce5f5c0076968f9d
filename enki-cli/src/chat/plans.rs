//! The plans of a conversation as a chat knows them: what is to be seen of each, and what a name means.

use crate::view::ExecutionView;
use enki_core::execution::{EndStatus, Execution};
use enki_core::id::{ExecutionId, StepIx};
use enki_core::time::Timestamp;
use std::collections::BTreeMap;

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) id: ExecutionId,
    created: Timestamp,
    pub(super) view: ExecutionView,
    pub(super) ended: Option<EndStatus>,
    /// What the agents of its steps do now, by step id.
    activity: BTreeMap<String, String>,
}

impl Seen {
    /// With what its agents do.
    pub(super) fn view(&self) -> ExecutionView {
        self.view.clone().with_activity(&self.activity)
    }
}

/// What a name means: an execution, and maybe one of its steps.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Named {
    /// As the command line takes it.
    pub(super) id: String,
    pub(super) plan: usize,
    pub(super) step: Option<usize>,
}

/// All of them, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Plans(Vec<Seen>);

impl Plans {
    /// An execution is like that now.
    pub(super) fn see(&mut self, state: &Execution, now: Timestamp) {
        let (id, view) = (state.id(), ExecutionView::of(state, now));
        let at = self.0.iter().position(|plan| plan.id == id).unwrap_or_else(|| {
            let created = state.created();
            let at = self.0.partition_point(|plan| plan.created <= created);
            self.0.insert(at, Seen { id, created, view: view.clone(), ended: None, activity: BTreeMap::new() });
            at
        });
        let plan = &mut self.0[at];
        (plan.view, plan.ended) = (view, state.ended());
        let runs: Vec<&str> = plan.view.steps.iter().filter(|s| s.status == "running").map(|s| s.id.as_str()).collect();
        plan.activity.retain(|step, _| runs.contains(&step.as_str()));
    }

    /// The agent of a step does that.
    pub(super) fn step(&mut self, id: ExecutionId, step: StepIx, text: &str) {
        let Some(plan) = self.0.iter_mut().find(|plan| plan.id == id) else { return };
        if let Some(step) = plan.view.steps.get(step.index()) {
            plan.activity.insert(step.id.clone(), text.to_owned());
        }
    }

    pub(super) fn get(&self, at: usize) -> &Seen {
        &self.0[at]
    }

    /// The oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Seen> {
        self.0.iter()
    }

    /// As they are shown: what is open first, in each the newest first.
    pub(super) fn in_order(&self) -> Vec<&Seen> {
        let mut all: Vec<&Seen> = self.0.iter().rev().collect();
        all.sort_by_key(|plan| plan.ended.is_some());
        all
    }

    /// Names that may be typed.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for plan in self.in_order() {
            let steps = plan.view.steps.iter().map(|step| step.id.clone());
            for name in steps.chain([plan.view.id.clone()]) {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }

    /// What a name means: a step, of the newest plan that has it, an open one first; `PLAN/STEP`; or the beginning of a
    /// plan's id. Without a name: the only plan that is `wanted`.
    pub(super) fn named(&self, name: &str, wanted: impl Fn(&Seen) -> bool) -> Result<Named, String> {
        let at = |plan: &Seen| self.0.iter().position(|one| one.id == plan.id).unwrap_or_default();
        let whole = |plan: &Seen| Named { id: plan.id.hex(), plan: at(plan), step: None };
        if name.is_empty() {
            let all: Vec<&Seen> = self.in_order().into_iter().filter(|plan| wanted(plan)).collect();
            return match all.as_slice() {
                [one] => Ok(whole(one)),
                [] => Err("there is no plan that this is for".to_owned()),
                several => Err(format!("name one of {}", list(several))),
            };
        }
        let (of, step) = name.split_once('/').map_or((None, name), |(of, step)| (Some(of), step));
        let fits = |plan: &Seen, begun: &str| {
            let hex = begun.strip_prefix("exec-").unwrap_or(begun);
            hex.len() >= 4 && (plan.id.short().starts_with(hex) || plan.id.hex().starts_with(hex))
        };
        for plan in self.in_order().into_iter().filter(|plan| of.is_none_or(|of| fits(plan, of))) {
            if let Some(n) = plan.view.steps.iter().position(|one| one.id == step || one.task == step) {
                return Ok(Named { id: plan.view.steps[n].task.clone(), plan: at(plan), step: Some(n) });
            }
        }
        let all: Vec<&Seen> = self.0.iter().filter(|plan| of.is_none() && fits(plan, name)).collect();
        match all.as_slice() {
            [one] => Ok(whole(one)),
            [] => Err(format!("no step or plan of this conversation is called {name:?}")),
            several => Err(format!("{name:?} may mean {}", list(several))),
        }
    }
}

fn list(plans: &[&Seen]) -> String {
    plans.iter().map(|plan| plan.view.id.clone()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Play, plan};
    use super::*;

    #[test]
    fn a_name_is_a_step_of_the_newest_open_plan_or_a_plan() {
        let (mut old, mut new) = (Play::new(0xabc1_0000_0001, plan()), Play::new(0xabc2_0000_0002, plan()));
        let mut plans = Plans::default();
        for play in [&mut new, &mut old] {
            plans.see(&play.state, Timestamp(0));
        }
        // Both were made at the same time: the one that was seen last is taken for the newer one.
        let task = |plans: &Plans, plan: usize| plans.get(plan).view.steps[1].task.clone();
        let named = |plans: &Plans, name: &str| plans.named(name, |plan| plan.ended.is_none());
        assert_eq!(named(&plans, "greet").unwrap().id, task(&plans, 1));
        assert_eq!(named(&plans, "exec-abc2/greet").unwrap().id, task(&plans, 0));
        assert_eq!(named(&plans, "abc20").unwrap(), Named { id: new.state.id().hex(), plan: 0, step: None });
        assert!(named(&plans, "exec-abc").unwrap_err().contains("no step or plan"), "too few digits");
        assert!(named(&plans, "").unwrap_err().contains("name one of exec-abc1"));
        assert!(named(&plans, "nobody").unwrap_err().contains("\"nobody\""));
        old.cancel();
        plans.see(&old.state, Timestamp(0));
        assert_eq!(named(&plans, "greet").unwrap().id, task(&plans, 0), "an open one first");
        assert_eq!(named(&plans, "").unwrap().id, new.state.id().hex());
        assert_eq!(plans.names()[..4], ["look", "greet", "bye", "exec-abc200000002"]);
    }
}
