//! Random plans and commands, for property tests.

use enki_core::spec::{Condition, Land, NeedSpec, PlanSpec, ReviewSpec, ReviewTable, ReviewWord, StepSpec};
use enki_core::tier::{Priority, Tier};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Plans of 1 to `max_steps` steps, acyclic by construction: each step needs only earlier ones, by edges of every
/// condition. Then the steps are put in another order, so that needs point both ways in the file.
pub fn plans(max_steps: usize) -> impl Strategy<Value = PlanSpec> {
    let steps = vec(step(), 1..=max_steps.max(1));
    (steps, option::of(land()), option::of(priority())).prop_flat_map(|(steps, land, priority)| {
        let plan = PlanSpec { land, priority, steps: wired(0, steps), ..PlanSpec::default() };
        let count = plan.steps.len();
        Just((0..count).collect::<Vec<_>>()).prop_shuffle().prop_map(move |order| {
            let steps = order.into_iter().map(|n| plan.steps[n].clone()).collect();
            PlanSpec { steps, ..plan.clone() }
        })
    })
}

/// Steps that may be added to a plan of [`plans`] with `existing` steps: they need old and new ones.
pub fn added_steps(existing: usize, max_steps: usize) -> impl Strategy<Value = Vec<StepSpec>> {
    vec(step(), 1..=max_steps.max(1)).prop_map(move |steps| wired(existing, steps))
}

/// Gives steps their ids from `s<first>` on, and needs that point at earlier ones only.
fn wired(first: usize, steps: Vec<(StepSpec, Needs)>) -> Vec<StepSpec> {
    let wire = |(n, (mut step, needs)): (usize, (StepSpec, Needs))| {
        step.id = format!("s{}", first + n);
        for (on, condition) in needs.into_iter().filter(|_| first + n > 0) {
            let on = Some(format!("s{}", on.index(first + n)));
            if !step.needs.iter().any(|need| need.step == on) {
                step.needs.push(NeedSpec { step: on, task: None, condition });
            }
        }
        step
    };
    steps.into_iter().enumerate().map(wire).collect()
}

/// What a person may ask of a running execution.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// Pause all, or one step.
    Pause(Option<usize>),
    /// Resume all, or one step.
    Resume(Option<usize>),
    /// Cancel all, or one step.
    Cancel(Option<usize>),
    /// Try a step again, with its work or without.
    Retry {
        /// Which step, by its place among all.
        step: usize,
        /// Whether from scratch.
        fresh: bool,
    },
    /// Add steps.
    Add(Vec<StepSpec>),
}

/// Commands for an execution of `steps` steps. Cancelling all is rare, as it ends what a test wants to see.
pub fn wishes(steps: usize) -> impl Strategy<Value = Wish> {
    let one = 0..steps.max(1);
    prop_oneof![
        4 => option::of(one.clone()).prop_map(Wish::Pause),
        4 => option::of(one.clone()).prop_map(Wish::Resume),
        2 => one.clone().prop_map(|step| Wish::Cancel(Some(step))),
        1 => Just(Wish::Cancel(None)),
        4 => (one, any::<bool>()).prop_map(|(step, fresh)| Wish::Retry { step, fresh }),
        2 => added_steps(steps, 3).prop_map(Wish::Add),
    ]
}

/// Until what a step waits for another.
pub fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![Just(Condition::Started), Just(Condition::Completed), Just(Condition::Merged)]
}

type Needs = Vec<(prop::sample::Index, Condition)>;

fn step() -> impl Strategy<Value = (StepSpec, Needs)> {
    let review = prop_oneof![
        3 => Just(None),
        1 => Just(Some(ReviewSpec::Word(ReviewWord::Code))),
        2 => (0u32..4).prop_map(|max| {
            Some(ReviewSpec::Table(ReviewTable { max_fixes: Some(max), ..ReviewTable::default() }))
        }),
    ];
    let role = prop_oneof![4 => Just(None), 1 => Just(Some("researcher".to_owned()))];
    let needs = vec((any::<prop::sample::Index>(), condition()), 0..4);
    let rest = (prop::bool::weighted(0.1), review, role, option::of(priority()), option::of(tier()));
    (rest, needs).prop_map(|((checkpoint, review, role, priority, tier), needs)| {
        let step = StepSpec {
            title: "a step".to_owned(),
            description: "do it".to_owned(),
            checkpoint,
            review,
            role,
            priority,
            tier,
            ..StepSpec::default()
        };
        (step, needs)
    })
}

fn land() -> impl Strategy<Value = Land> {
    prop_oneof![Just(Land::Each), Just(Land::End)]
}

fn priority() -> impl Strategy<Value = Priority> {
    prop_oneof![Just(Priority::High), Just(Priority::Normal), Just(Priority::Low)]
}

fn tier() -> impl Strategy<Value = Tier> {
    prop_oneof![Just(Tier::Light), Just(Tier::Standard), Just(Tier::Heavy)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use enki_core::plan::{Plan, PlanLimits};
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn every_random_plan_is_accepted_and_can_be_extended(
            (spec, added) in plans(20).prop_flat_map(|p| { let n = p.steps.len(); (Just(p), added_steps(n, 4)) })
        ) {
            let mut plan = Plan::build(&spec, &PlanLimits::default(), &HashMap::new()).expect("acyclic");
            let steps =
                plan.check_added(&added, &PlanLimits::default(), &HashMap::new()).expect("still acyclic").into_steps();
            plan.extend(steps);
            prop_assert_eq!(plan.steps().len(), spec.steps.len() + added.len());
        }
    }
}
