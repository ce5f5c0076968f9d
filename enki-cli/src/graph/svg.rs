//! A graph as a picture: layers from top to bottom, edges as curves that go around the boxes.

use super::Graph;
use super::layers::layers;
use enki_core::spec::Condition;
use std::fmt::Write as _;

const BOX_W: f64 = 168.0;
const BOX_H: f64 = 46.0;
const GAP_X: f64 = 24.0;
const GAP_Y: f64 = 44.0;
const BEND_W: f64 = 10.0;
const MARGIN: f64 = 20.0;
const TITLE_H: f64 = 44.0;
/// More bends than this are left out: the edges then run straight.
const MOST_BENDS: usize = 20_000;

/// Draws a graph as SVG.
#[must_use]
pub fn svg(graph: &Graph) -> String {
    let places = Places::of(graph);
    let (width, height) = (places.width + 2.0 * MARGIN, places.height + TITLE_H + 2.0 * MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"system-ui, sans-serif\">\n\
         <title>{}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{MARGIN}\" y=\"28\" font-size=\"16\" font-weight=\"600\" fill=\"#1f2328\">{}</text>\n\
         <text x=\"{MARGIN}\" y=\"46\" font-size=\"12\" fill=\"#57606a\">{}</text>\n",
        escaped(&graph.title),
        escaped(&fit(&graph.title, width - 2.0 * MARGIN, 9.0)),
        escaped(&format!("{} steps: {}", graph.nodes.len(), graph.counts())),
    );
    out.push_str("<g fill=\"none\" stroke=\"#8c959f\" stroke-width=\"1.5\">\n");
    for edge in &places.edges {
        let dash = match edge.condition {
            Condition::Merged => "",
            Condition::Completed => " stroke-dasharray=\"6 4\"",
            Condition::Started => " stroke-dasharray=\"2 4\"",
        };
        let _ = writeln!(out, "<path d=\"{}\"{dash}/>", curve(&edge.points));
        if let Some((x, y)) = edge.points.last() {
            let _ = writeln!(out, "<path d=\"M{:.1} {:.1}l4 -7h-8z\" fill=\"#8c959f\" stroke=\"none\"/>", x, y);
        }
    }
    out.push_str("</g>\n");
    for (node, (x, y)) in graph.nodes.iter().zip(&places.nodes) {
        let (fill, border) = node.state.rgb();
        let (left, top) = (x - BOX_W / 2.0, *y);
        let _ = writeln!(
            out,
            "<g><title>{}</title><rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{BOX_W}\" height=\"{BOX_H}\" rx=\"7\" \
             fill=\"{fill}\" stroke=\"{border}\" stroke-width=\"1.5\"/><text x=\"{:.1}\" y=\"{:.1}\" font-size=\"13\" \
             font-weight=\"600\" fill=\"#1f2328\">{}</text><text x=\"{:.1}\" y=\"{:.1}\" font-size=\"11\" \
             fill=\"{border}\">{} {}</text></g>",
            escaped(&if node.note.is_empty() { node.title.clone() } else { format!("{} ({})", node.title, node.note) }),
            left + 10.0,
            top + 19.0,
            escaped(&fit(&node.id, BOX_W - 20.0, 7.6)),
            left + 10.0,
            top + 36.0,
            node.state.glyph().0,
            node.state.word(),
        );
    }
    out.push_str("</svg>\n");
    out
}

struct Edge {
    points: Vec<(f64, f64)>,
    condition: Condition,
}

/// Where everything lies: the middle of each box's upper side, and the points of each edge.
struct Places {
    nodes: Vec<(f64, f64)>,
    edges: Vec<Edge>,
    width: f64,
    height: f64,
}

/// A thing in a row: a step, or the place where a long edge passes.
#[derive(Default)]
struct Item {
    wide: bool,
    above: Vec<usize>,
    below: Vec<usize>,
    x: f64,
}

impl Places {
    fn of(graph: &Graph) -> Self {
        let layer = layers(graph);
        let depth = layer.iter().copied().max().map_or(0, |n| n + 1);
        let mut items: Vec<Item> = graph.nodes.iter().map(|_| Item { wide: true, ..Item::default() }).collect();
        let mut rows: Vec<Vec<usize>> = vec![Vec::new(); depth];
        for (n, layer) in layer.iter().enumerate() {
            rows[*layer].push(n);
        }
        let spans = graph.nodes.iter().enumerate().flat_map(|(n, node)| {
            let layer = &layer;
            node.needs.iter().map(move |(need, _)| layer[n].saturating_sub(layer[*need] + 1))
        });
        let bend = spans.sum::<usize>() <= MOST_BENDS;
        let mut ways: Vec<(Vec<usize>, Condition)> = Vec::new();
        for (n, node) in graph.nodes.iter().enumerate() {
            for (need, condition) in &node.needs {
                let mut way = vec![*need];
                if bend {
                    for row in rows.iter_mut().take(layer[n]).skip(layer[*need] + 1) {
                        row.push(items.len());
                        way.push(items.len());
                        items.push(Item::default());
                    }
                }
                way.push(n);
                if bend || layer[n] == layer[*need] + 1 {
                    for pair in way.windows(2) {
                        items[pair[0]].below.push(pair[1]);
                        items[pair[1]].above.push(pair[0]);
                    }
                }
                ways.push((way, *condition));
            }
        }
        arrange(&mut rows, &mut items);
        let width = rows.iter().flatten().map(|i| items[*i].x + half(&items[*i])).fold(BOX_W, f64::max);
        let y = |row: usize| MARGIN + TITLE_H + count(row) * (BOX_H + GAP_Y);
        let mut row_of = vec![0; items.len()];
        for (n, row) in rows.iter().enumerate() {
            for item in row {
                row_of[*item] = n;
            }
        }
        let edges = ways.into_iter().map(|(way, condition)| {
            let last = way.len() - 1;
            let mut points = Vec::with_capacity(way.len() * 2);
            for (n, item) in way.into_iter().enumerate() {
                let (x, top) = (MARGIN + items[item].x, y(row_of[item]));
                match n {
                    0 => points.push((x, top + BOX_H)),
                    n if n == last => points.push((x, top)),
                    _ => points.extend([(x, top), (x, top + BOX_H)]),
                }
            }
            Edge { points, condition }
        });
        let edges = edges.collect();
        let nodes = (0..graph.nodes.len()).map(|n| (MARGIN + items[n].x, y(row_of[n]))).collect();
        Self { nodes, edges, width, height: count(depth) * (BOX_H + GAP_Y) - GAP_Y }
    }
}

#[expect(clippy::cast_precision_loss, reason = "rows and neighbours are few")]
const fn count(n: usize) -> f64 {
    n as f64
}

fn half(item: &Item) -> f64 {
    if item.wide { BOX_W / 2.0 } else { BEND_W / 2.0 }
}

/// Orders each row by the middle of its neighbours, down and up, then places the items without overlap as near as
/// possible below their needs.
fn arrange(rows: &mut [Vec<usize>], items: &mut [Item]) {
    let mut order: Vec<f64> = vec![0.0; items.len()];
    let number = |row: &[usize], order: &mut Vec<f64>| {
        for (n, item) in row.iter().enumerate() {
            order[*item] = count(n);
        }
    };
    rows.iter().for_each(|row| number(row, &mut order));
    for sweep in 0..6 {
        let down = sweep % 2 == 0;
        let sequence: Vec<usize> =
            if down { (1..rows.len()).collect() } else { (0..rows.len().saturating_sub(1)).rev().collect() };
        for n in sequence {
            let middle = |item: usize, order: &[f64]| {
                let beside = if down { &items[item].above } else { &items[item].below };
                if beside.is_empty() {
                    order[item]
                } else {
                    beside.iter().map(|b| order[*b]).sum::<f64>() / count(beside.len())
                }
            };
            let mut keyed: Vec<(f64, usize)> = rows[n].iter().map(|item| (middle(*item, &order), *item)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            rows[n] = keyed.into_iter().map(|(_, item)| item).collect();
            number(&rows[n], &mut order);
        }
    }
    // Start packed to the left; then pull each row towards its neighbours, keeping order and gaps.
    for row in rows.iter() {
        let mut x = 0.0;
        for item in row {
            items[*item].x = x + half(&items[*item]);
            x += 2.0 * half(&items[*item]) + GAP_X;
        }
    }
    for sweep in 0..8 {
        let down = sweep % 2 == 0;
        let sequence: Vec<usize> = if down { (0..rows.len()).collect() } else { (0..rows.len()).rev().collect() };
        for n in sequence {
            let row = &rows[n];
            let wish = |item: usize| {
                let beside = if down { &items[item].above } else { &items[item].below };
                if beside.is_empty() {
                    items[item].x
                } else {
                    beside.iter().map(|b| items[*b].x).sum::<f64>() / count(beside.len())
                }
            };
            let wishes: Vec<f64> = row.iter().map(|item| wish(*item)).collect();
            // Leftmost and rightmost feasible answers; their mean keeps the gaps and favours neither side.
            let mut left = wishes.clone();
            let mut right = wishes;
            for k in 1..row.len() {
                let gap = half(&items[row[k - 1]]) + half(&items[row[k]]) + GAP_X;
                left[k] = left[k].max(left[k - 1] + gap);
            }
            for k in (1..row.len()).rev() {
                let gap = half(&items[row[k - 1]]) + half(&items[row[k]]) + GAP_X;
                right[k - 1] = right[k - 1].min(right[k] - gap);
            }
            for (k, item) in row.clone().into_iter().enumerate() {
                items[item].x = f64::midpoint(left[k], right[k]);
            }
        }
    }
    let least = rows.iter().flatten().map(|i| items[*i].x - half(&items[*i])).fold(f64::INFINITY, f64::min);
    if least.is_finite() {
        items.iter_mut().for_each(|item| item.x -= least);
    }
}

fn curve(points: &[(f64, f64)]) -> String {
    let Some(((x, y), rest)) = points.split_first() else { return String::new() };
    let mut path = format!("M{x:.1} {y:.1}");
    let mut from = (*x, *y);
    for (x, y) in rest {
        let middle = f64::midpoint(from.1, *y);
        if (from.0 - x).abs() < 0.05 {
            let _ = write!(path, "L{x:.1} {y:.1}");
        } else {
            let _ = write!(path, "C{:.1} {middle:.1} {x:.1} {middle:.1} {x:.1} {y:.1}", from.0);
        }
        from = (*x, *y);
    }
    path
}

fn fit(text: &str, room: f64, per_char: f64) -> String {
    let mut used = 0.0;
    let mut out = String::new();
    for c in text.chars() {
        used += per_char;
        if used > room {
            out.pop();
            out.push('…');
            break;
        }
        out.push(c);
    }
    out
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::{example, long, wide};
    use super::*;

    #[test]
    fn boxes_never_overlap() {
        for graph in [example(), wide(40), long(40)] {
            let places = Places::of(&graph);
            for (n, a) in places.nodes.iter().enumerate() {
                for b in &places.nodes[..n] {
                    let apart = (a.0 - b.0).abs() >= BOX_W + GAP_X - 0.01 || (a.1 - b.1).abs() >= BOX_H;
                    assert!(apart, "{a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn a_thousand_steps_stay_small() {
        for graph in [wide(1000), long(1000)] {
            assert!(svg(&graph).len() < 3_000_000);
        }
    }

    #[test]
    fn titles_cannot_leave_their_element() {
        let mut graph = example();
        graph.title = "<script>&\"\u{1b}".into();
        graph.nodes[0].title = "</title><script>".into();
        assert!(!svg(&graph).contains("<script"));
    }
}
