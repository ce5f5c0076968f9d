//! A graph as lines of text: one step a line, with rails to the steps it waits for. Too many rails become words.

use super::layers::{layers, reading_order};
use super::{Graph, GraphNode};
use crate::source::visible;
use std::fmt::Write as _;

/// How to draw text.
#[derive(Clone, Copy, Debug, Default)]
pub struct TextStyle {
    /// Only ASCII characters.
    pub ascii: bool,
    /// With colour.
    pub color: bool,
    /// Longest line, 0 for no limit.
    pub width: usize,
}

/// More rails than this say nothing any more.
const MOST_RAILS: usize = 16;

/// Draws a graph. Needs time and space in proportion to its edges.
#[must_use]
pub fn text(graph: &Graph, style: TextStyle) -> String {
    let mut out = String::new();
    let steps = graph.nodes.len();
    let _ = writeln!(
        out,
        "{} ({steps} {}: {})",
        visible(&graph.title),
        if steps == 1 { "step" } else { "steps" },
        graph.counts()
    );
    out.push('\n');
    match rails(graph, style) {
        Some(rows) => lines(graph, style, &rows, &mut out),
        None => waves(graph, style, &mut out),
    }
    out
}

/// Steps that wait for none and that none waits for.
fn alone(graph: &Graph) -> Vec<bool> {
    let mut alone: Vec<bool> = graph.nodes.iter().map(|node| node.needs.is_empty()).collect();
    for (need, _) in graph.nodes.iter().flat_map(|node| &node.needs) {
        alone[*need] = false;
    }
    alone
}

/// A row of rails before the text of a step, and where the node's own sign is in it.
struct Row {
    node: usize,
    cells: Vec<char>,
    sign: usize,
    /// Whether it has nothing to do with what stands above.
    apart: bool,
}

/// The rails; none if there would be too many.
fn rails(graph: &Graph, style: TextStyle) -> Option<Vec<Row>> {
    let mut waiting: Vec<usize> = vec![0; graph.nodes.len()];
    for (need, _) in graph.nodes.iter().flat_map(|node| &node.needs) {
        waiting[*need] += 1;
    }
    // Which step's result flows down in each rail.
    let mut lanes: Vec<Option<usize>> = Vec::new();
    let mut rows = Vec::with_capacity(graph.nodes.len());
    // A rail that ended in the line above with a step: what starts there now would look like what follows it.
    let mut taken: Option<usize> = None;
    let alone = alone(graph);
    for at in reading_order(graph).into_iter().filter(|at| !alone[*at]) {
        let node = &graph.nodes[at];
        for (need, _) in &node.needs {
            waiting[*need] -= 1;
        }
        let needed = |lane: &Option<usize>| lane.is_some_and(|s| node.needs.iter().any(|(need, _)| *need == s));
        let ends = |lane: &Option<usize>| needed(lane) && lane.is_some_and(|s| waiting[s] == 0);
        // Go on in the first rail that ends here, else in the first free one to the right of all needs.
        let last = lanes.iter().rposition(needed).map_or(0, |n| n + 1);
        let own = lanes.iter().position(ends).unwrap_or_else(|| {
            (last..).find(|n| lanes.get(*n).is_none_or(Option::is_none) && taken != Some(*n)).unwrap_or(last)
        });
        let apart = lanes.is_empty() && taken.is_some();
        let own = if apart { 0 } else { own };
        lanes.resize(lanes.len().max(own + 1), None);
        if lanes.len() > MOST_RAILS {
            return None;
        }
        let touched: Vec<usize> = (0..lanes.len()).filter(|n| *n == own || needed(&lanes[*n])).collect();
        let (from, to) = (touched[0], touched[touched.len() - 1]);
        let mut cells = Vec::with_capacity(lanes.len() * 2);
        for (n, lane) in lanes.iter().enumerate() {
            let inside = from < n && n < to;
            cells.push(match lane {
                _ if n == own => '@',
                Some(_) if needed(lane) => {
                    let stop = ends(lane);
                    match (n == from, n == to, stop) {
                        (true, _, false) => '├',
                        (true, _, true) => '╰',
                        (_, true, false) => '┤',
                        (_, true, true) => '╯',
                        (_, _, false) => '┼',
                        (_, _, true) => '┴',
                    }
                }
                Some(_) => '│',
                None if inside => '─',
                None => ' ',
            });
            cells.push(if from <= n && n < to { '─' } else { ' ' });
        }
        for lane in &mut lanes {
            if ends(lane) {
                *lane = None;
            }
        }
        lanes[own] = (waiting[at] > 0).then_some(at);
        taken = (waiting[at] == 0).then_some(own);
        while lanes.last() == Some(&None) {
            lanes.pop();
        }
        if style.ascii {
            for cell in &mut cells {
                *cell = match *cell {
                    '│' => '|',
                    '─' => '-',
                    '├' | '┤' | '┼' => '+',
                    '╰' | '╯' | '┴' => '\'',
                    other => other,
                };
            }
        }
        rows.push(Row { node: at, cells, sign: own * 2, apart });
    }
    Some(rows)
}

fn lines(graph: &Graph, style: TextStyle, rows: &[Row], out: &mut String) {
    let rail_width = rows.iter().map(|row| row.cells.len()).max().unwrap_or(0);
    let widths = widths(graph);
    for row in rows {
        let node = &graph.nodes[row.node];
        if row.apart {
            out.push('\n');
        }
        let mut rail = String::new();
        for (n, cell) in row.cells.iter().enumerate() {
            if n == row.sign { rail.push_str(&sign(node, style)) } else { rail.push(*cell) }
        }
        let pad = rail_width - row.cells.len();
        let used = rail_width + 1;
        let _ = writeln!(out, "{}", format!("{rail}{:pad$} {}", "", words(node, style, widths, used)).trim_end());
    }
    let alone = alone(graph);
    if alone.contains(&true) {
        let _ = writeln!(out, "{}independent", if rows.is_empty() { "" } else { "\n" });
    }
    for node in graph.nodes.iter().zip(&alone).filter(|(_, alone)| **alone).map(|(node, _)| node) {
        let _ = writeln!(out, "  {} {}", sign(node, style), words(node, style, widths, 4).trim_end());
    }
}

/// For graphs whose rails would be too many: the layers, each step with what it waits for.
fn waves(graph: &Graph, style: TextStyle, out: &mut String) {
    let layers = layers(graph);
    let widths = widths(graph);
    for layer in 0..=layers.iter().copied().max().unwrap_or(0) {
        let inside: Vec<usize> = (0..graph.nodes.len()).filter(|n| layers[*n] == layer).collect();
        let _ = writeln!(out, "wave {}", layer + 1);
        for n in inside {
            let node = &graph.nodes[n];
            let _ = write!(out, "  {} {}", sign(node, style), words(node, style, widths, 4));
            if !node.needs.is_empty() {
                let mut names: Vec<&str> =
                    node.needs.iter().take(4).map(|(need, _)| graph.nodes[*need].id.as_str()).collect();
                let more = format!("{} more", node.needs.len().saturating_sub(4));
                if node.needs.len() > 4 {
                    names.push(&more);
                }
                let _ = write!(out, "  needs {}", names.join(", "));
            }
            out.truncate(out.trim_end().len());
            out.push('\n');
        }
    }
}

fn sign(node: &GraphNode, style: TextStyle) -> String {
    let (rich, plain) = node.state.glyph();
    let sign = if style.ascii { plain } else { rich };
    if style.color { format!("{}{sign}\u{1b}[0m", node.state.ansi()) } else { sign.to_string() }
}

/// Widths of the columns of ids and states.
fn widths(graph: &Graph) -> (usize, usize) {
    let id = graph.nodes.iter().map(|node| node.id.chars().count()).max().unwrap_or(0).min(24);
    let state = graph.nodes.iter().map(|node| node.state.word().len()).max().unwrap_or(0);
    (id, state)
}

fn words(node: &GraphNode, style: TextStyle, (id, state): (usize, usize), used: usize) -> String {
    let word = node.state.word();
    let note = if node.note.is_empty() { String::new() } else { format!("  ({})", visible(&node.note)) };
    let title = format!("{}{note}", visible(&node.title));
    let room = if style.width == 0 { usize::MAX } else { style.width.saturating_sub(used + id + state + 4).max(10) };
    let title =
        if title.chars().count() > room { title.chars().take(room - 1).chain(['…']).collect() } else { title };
    let (on, off) = if style.color { (node.state.ansi(), "\u{1b}[0m") } else { ("", "") };
    let space = state - word.len();
    format!("{:id$}  {on}{word}{off}{:space$}  {title}", node.id, "")
}

#[cfg(test)]
mod tests {
    use super::super::tests::{example, long, wide};
    use super::*;

    #[test]
    fn a_diamond_with_branches_beside_it() {
        insta::assert_snapshot!(text(&example(), TextStyle::default()));
    }

    #[test]
    fn the_same_in_ascii_and_narrow() {
        let drawn = text(&example(), TextStyle { ascii: true, width: 36, ..TextStyle::default() });
        assert!(drawn.lines().skip(1).all(|line| line.chars().count() <= 37), "{drawn}");
        insta::assert_snapshot!(drawn);
    }

    #[test]
    fn a_thousand_steps_stay_small() {
        for graph in [wide(1000), long(1000)] {
            let drawn = text(&graph, TextStyle { width: 100, ..TextStyle::default() });
            assert!(drawn.len() < 200_000, "{}", drawn.len());
            assert!(graph.nodes.iter().all(|node| drawn.contains(&node.id)));
        }
    }

    #[test]
    fn wide_plans_are_told_in_waves() {
        insta::assert_snapshot!(text(&wide(20), TextStyle { width: 80, ..TextStyle::default() }));
    }

    proptest::proptest! {
        /// Every step has one line, and no line of a step comes before that of a need.
        #[test]
        fn needs_come_first(edges in proptest::collection::vec((0usize..12, 0usize..12), 0..24)) {
            let mut graph = wide(13);
            graph.nodes.iter_mut().for_each(|node| node.needs.clear());
            for (a, b) in edges.into_iter().filter(|(a, b)| a != b) {
                let (on, of) = (a.min(b), a.max(b));
                if !graph.nodes[of].needs.iter().any(|(need, _)| *need == on) {
                    graph.nodes[of].needs.push((on, enki_core::spec::Condition::Merged));
                }
            }
            let drawn = text(&graph, TextStyle::default());
            let line = |id: &str| drawn.lines().position(|line| line.split_whitespace().any(|word| word == id));
            for node in &graph.nodes {
                let own = line(&node.id);
                proptest::prop_assert!(own.is_some());
                for (need, _) in &node.needs { proptest::prop_assert!(line(&graph.nodes[*need].id) < own, "{}", drawn); }
            }
        }
    }
}
