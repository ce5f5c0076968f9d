//! Which steps could run side by side.

use crate::id::StepIx;
use crate::plan::{NeedOn, Plan};
use crate::spec::{Condition, StepSpec};
use std::collections::HashMap;

/// The steps of a plan in waves: each one in the first wave in which everything it waits for may be done. A step that
/// waits only until another has *started* may be in the same wave. Without regard to limits on how many run at once, to
/// checkpoints, and to tasks outside of the plan.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Waves(Vec<Vec<StepIx>>);

impl Waves {
    /// The waves of a plan; each has at least one step, in the plan's order.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let mut edges = Vec::new();
        for (to, step) in plan.steps().iter().enumerate() {
            for need in &step.needs {
                if let NeedOn::Step(on) = need.on {
                    edges.push(Edge { from: on.index(), to, ends: need.condition != Condition::Started });
                }
            }
        }
        let layers = layers(plan.steps().len(), &edges);
        let mut waves = vec![Vec::new(); layers.iter().max().map_or(0, |most| most + 1)];
        for (n, layer) in layers.into_iter().enumerate() {
            waves[layer].push(StepIx::at(n));
        }
        Self(waves)
    }

    /// The waves, first to last.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[StepIx]> {
        self.0.iter().map(Vec::as_slice)
    }

    /// The largest number of steps in one wave.
    #[must_use]
    pub fn width(&self) -> usize {
        self.0.iter().map(Vec::len).max().unwrap_or(0)
    }
}

/// One thing waits for another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Edge {
    /// Position of what is waited for.
    pub from: usize,
    /// Position of what waits.
    pub to: usize,
    /// Whether it waits for the end, not only for the start.
    pub ends: bool,
}

/// The layer of each of `n` things, from 0: the largest number of ends on any way to it. Edges that close a cycle, or
/// that lead elsewhere, are passed over.
#[must_use]
pub fn layers(n: usize, edges: &[Edge]) -> Vec<usize> {
    let mut layer = vec![0; n];
    visit(n, edges, |at, edge| layer[edge.to] = layer[edge.to].max(layer[at] + usize::from(edge.ends)));
    layer
}

/// Calls `along` for each edge out of each thing, once all edges into that thing were visited.
fn visit(n: usize, edges: &[Edge], mut along: impl FnMut(usize, Edge)) {
    let mut open = vec![0usize; n];
    let mut out: Vec<Vec<Edge>> = vec![Vec::new(); n];
    for edge in edges.iter().filter(|edge| edge.from < n && edge.to < n) {
        open[edge.to] += 1;
        out[edge.from].push(*edge);
    }
    let mut free: Vec<usize> = (0..n).filter(|at| open[*at] == 0).collect();
    while let Some(at) = free.pop() {
        for edge in &out[at] {
            along(at, *edge);
            open[edge.to] -= 1;
            if open[edge.to] == 0 {
                free.push(edge.to);
            }
        }
    }
}

/// The edges between steps as written, `blocking` included. What names no step is passed over.
pub(super) fn edges_of(steps: &[StepSpec]) -> Vec<Edge> {
    let index = index(steps);
    let mut edges = Vec::new();
    for (n, step) in steps.iter().enumerate() {
        for need in &step.needs {
            if let Some(from) = need.step.as_deref().and_then(|id| index.get(id)) {
                edges.push(Edge { from: *from, to: n, ends: need.condition != Condition::Started });
            }
        }
        edges.extend(step.blocking.iter().filter_map(|id| index.get(id.as_str())).filter_map(|to| {
            let known = steps[*to].needs.iter().any(|need| need.step.as_deref() == Some(&step.id));
            (!known).then_some(Edge { from: n, to: *to, ends: true })
        }));
    }
    edges
}

/// Position of each step by its id; of two with the same id the first.
pub(super) fn index(steps: &[StepSpec]) -> HashMap<&str, usize> {
    steps.iter().enumerate().rev().map(|(n, step)| (step.id.as_str(), n)).collect()
}

/// What stands before what.
#[derive(Debug)]
pub(super) struct Order {
    words: usize,
    reaches: Vec<u64>,
    ended: Vec<u64>,
}

impl Order {
    /// More steps than this are not looked at: it costs a bit for each pair.
    pub(super) const MOST: usize = 4096;

    /// The order of steps as written.
    pub(super) fn of(steps: &[StepSpec]) -> Self {
        let n = steps.len().min(Self::MOST);
        let words = n.div_ceil(64);
        let (mut reaches, mut ended) = (vec![0u64; n * words], vec![0u64; n * words]);
        visit(n, &edges_of(steps), |at, edge| {
            let set = |all: &mut Vec<u64>, itself: bool| {
                for word in 0..words {
                    all[edge.to * words + word] |= all[at * words + word];
                }
                all[edge.to * words + at / 64] |= u64::from(itself) << (at % 64);
            };
            set(&mut reaches, true);
            // Whoever starts when this one has only started knows of what had ended before, not of this one's end.
            set(&mut ended, edge.ends);
        });
        Self { words, reaches, ended }
    }

    /// Whether a step waits for another one in any way.
    pub(super) fn waits_for(&self, step: usize, other: usize) -> bool {
        self.bit(&self.reaches, step, other)
    }

    /// Whether another step's work has ended whenever this one starts.
    pub(super) fn follows(&self, step: usize, other: usize) -> bool {
        self.bit(&self.ended, step, other)
    }

    fn bit(&self, all: &[u64], step: usize, other: usize) -> bool {
        other / 64 < self.words
            && all.get(step * self.words + other / 64).is_some_and(|word| word >> (other % 64) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::PlanLimits;
    use crate::spec::{NeedSpec, PlanSpec};

    fn steps(n: usize, edges: &[(usize, usize, Condition)]) -> Vec<StepSpec> {
        let step = |at: usize| StepSpec {
            id: format!("s{at}"),
            title: "t".into(),
            description: "d".into(),
            needs: edges
                .iter()
                .filter(|(_, to, _)| *to == at)
                .map(|(from, _, condition)| NeedSpec {
                    step: Some(format!("s{from}")),
                    task: None,
                    condition: *condition,
                })
                .collect(),
            ..StepSpec::default()
        };
        (0..n).map(step).collect()
    }

    fn waves(steps: Vec<StepSpec>) -> Vec<Vec<usize>> {
        let spec = PlanSpec { steps, ..PlanSpec::default() };
        let plan = Plan::build(&spec, &PlanLimits::default(), &HashMap::new()).unwrap();
        Waves::of(&plan).iter().map(|wave| wave.iter().map(|ix| ix.index()).collect()).collect()
    }

    #[test]
    fn a_diamond_has_three_waves_and_a_start_needs_none_of_its_own() {
        use Condition::{Completed, Merged, Started};
        assert_eq!(
            waves(steps(5, &[(0, 1, Merged), (0, 2, Completed), (1, 3, Merged), (2, 3, Merged), (3, 4, Started)])),
            [vec![0], vec![1, 2], vec![3, 4]]
        );
    }

    /// The longest way to a step, by trying every way.
    fn longest(to: usize, edges: &[(usize, usize, Condition)]) -> usize {
        let into = edges.iter().filter(|edge| edge.1 == to);
        into.map(|(from, _, c)| longest(*from, edges) + usize::from(*c != Condition::Started)).max().unwrap_or(0)
    }

    /// Whether `step` can only start once `other` has ended, by trying every way back.
    fn follows(step: usize, other: usize, edges: &[(usize, usize, Condition)]) -> bool {
        edges.iter().filter(|edge| edge.1 == step).any(|(from, _, condition)| {
            (*from == other && *condition != Condition::Started) || follows(*from, other, edges)
        })
    }

    fn graph() -> impl proptest::strategy::Strategy<Value = Vec<(usize, usize, Condition)>> {
        use proptest::prelude::*;
        let condition = prop_oneof![Just(Condition::Started), Just(Condition::Completed), Just(Condition::Merged)];
        proptest::collection::vec((0usize..7, 0usize..7, condition), 0..14).prop_map(|edges| {
            let mut edges: Vec<_> = edges.into_iter().filter(|edge| edge.0 < edge.1).collect();
            edges.sort_by_key(|edge| (edge.0, edge.1));
            edges.dedup_by_key(|edge| (edge.0, edge.1));
            edges
        })
    }

    proptest::proptest! {
        #[test]
        fn waves_agree_with_trying_every_way(edges in graph()) {
            let seen = waves(steps(7, &edges));
            for (n, wave) in seen.iter().enumerate() {
                proptest::prop_assert!(!wave.is_empty());
                for step in wave { proptest::prop_assert_eq!(longest(*step, &edges), n); }
            }
            proptest::prop_assert_eq!(seen.iter().map(Vec::len).sum::<usize>(), 7);
        }

        #[test]
        fn the_order_agrees_with_trying_every_way(edges in graph()) {
            let order = Order::of(&steps(7, &edges));
            for step in 0..7 { for other in 0..7 {
                proptest::prop_assert_eq!(order.follows(step, other), follows(step, other, &edges));
                proptest::prop_assert!(!order.follows(step, other) || order.waits_for(step, other));
            } }
        }

        #[test]
        fn any_edges_have_layers(edges in proptest::collection::vec((0usize..9, 0usize..9, proptest::bool::ANY), 0..30)) {
            let edges: Vec<Edge> = edges.into_iter().map(|(from, to, ends)| Edge { from, to, ends }).collect();
            proptest::prop_assert_eq!(layers(7, &edges), layers(7, &edges));
            proptest::prop_assert!(layers(7, &edges).into_iter().all(|layer| layer < 7));
        }
    }
}
