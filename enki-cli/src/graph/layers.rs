//! Layers of a graph: each step lies below everything it waits for.

use super::{Graph, GraphNode};
use enki_core::advice::Edge;

/// Layer of each node, from 0. Edges that would close a cycle are passed over.
pub(super) fn layers(graph: &Graph) -> Vec<usize> {
    // Drawn below what it waits for, whatever it waits until.
    let into = |(to, node): (usize, &GraphNode)| {
        node.needs.iter().map(|(from, _)| Edge { from: *from, to, ends: true }).collect::<Vec<_>>()
    };
    let edges: Vec<Edge> = graph.nodes.iter().enumerate().flat_map(into).collect();
    enki_core::advice::layers(graph.nodes.len(), &edges)
}

/// The nodes in an order in which every need comes first; within that, chains stay together and the plan's order
/// decides.
pub(super) fn reading_order(graph: &Graph) -> Vec<usize> {
    let n = graph.nodes.len();
    let mut open = vec![0usize; n];
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); n];
    for (at, node) in graph.nodes.iter().enumerate() {
        for (need, _) in &node.needs {
            if *need < n {
                open[at] += 1;
                dependents[*need].push(at);
            }
        }
    }
    // A stack: what became free last is shown next, so a line is followed to its end before the next one starts.
    let mut stack: Vec<usize> = (0..n).rev().filter(|at| open[*at] == 0).collect();
    let mut order = Vec::with_capacity(n);
    while let Some(at) = stack.pop() {
        order.push(at);
        for dependent in dependents[at].iter().rev() {
            open[*dependent] -= 1;
            if open[*dependent] == 0 {
                stack.push(*dependent);
            }
        }
    }
    order
}
