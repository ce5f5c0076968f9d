//! Plans of a given size and shape.

use enki_core::plan::{Plan, PlanLimits};
use enki_core::spec::{NeedSpec, PlanSpec, StepSpec};
use enki_core::tier::Tier;
use std::collections::HashMap;
use std::sync::Arc;

/// The shape of a plan.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Each step needs the one before.
    Chain,
    /// One step, then all others at once, then one that needs a few of them.
    Fan,
    /// Layers of that width; each step needs two of the layer above.
    Layers(usize),
}

impl Shape {
    /// The steps that step `n` needs.
    #[must_use]
    pub fn needs(self, n: usize) -> Vec<usize> {
        match self {
            Self::Chain => n.checked_sub(1).into_iter().collect(),
            Self::Fan => (n > 0).then_some(0).into_iter().collect(),
            Self::Layers(width) => match n.checked_sub(width) {
                Some(above) => {
                    let row = above / width * width;
                    vec![above, row + (above - row + 1) % width]
                }
                None => Vec::new(),
            },
        }
    }
}

/// A spec of `n` light steps in that shape.
#[must_use]
pub fn spec(shape: Shape, n: usize) -> PlanSpec {
    let step = |n: usize| StepSpec {
        id: format!("s{n}"),
        title: format!("Step {n}"),
        description: "Do nothing.".to_owned(),
        tier: Some(Tier::Light),
        needs: shape
            .needs(n)
            .into_iter()
            .map(|on| NeedSpec { step: Some(format!("s{on}")), ..NeedSpec::default() })
            .collect(),
        ..StepSpec::default()
    };
    PlanSpec { steps: (0..n).map(step).collect(), ..PlanSpec::default() }
}

/// The same, checked.
#[must_use]
pub fn plan(shape: Shape, n: usize) -> Arc<Plan> {
    let plan = Plan::build(&spec(shape, n), &PlanLimits { max_steps: n, ..PlanLimits::default() }, &HashMap::new())
        .expect("generated plans are acyclic");
    Arc::new(plan)
}
