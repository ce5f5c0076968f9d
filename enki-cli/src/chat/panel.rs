//! The plans beside the conversation: as much of them as there is room for.

use super::plans::{Plans, Seen};
use super::text::{columns, cut};
use super::view::Look;
use crate::graph::{GraphNode, NodeState};
use crate::source::visible;
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use std::collections::BTreeMap;

/// At most `height` rows of at most `width` columns.
pub(super) fn rows(plans: &Plans, look: Look, width: usize, height: usize) -> Vec<Line<'static>> {
    let mut out = Vec::new();
    let all = plans.in_order();
    if all.is_empty() {
        out.push(Line::styled(cut("no plan yet", width), Look::dim()));
    }
    let open = all.iter().filter(|plan| plan.ended.is_none()).count().max(1);
    for (n, plan) in all.iter().enumerate() {
        let left = height.saturating_sub(out.len());
        // Each that is open has its share, and what earlier ones left of theirs.
        let share = if n < open { left / (open - n) } else { left };
        one(&mut out, plan, n < open, look, width, share);
    }
    out.truncate(height);
    out
}

fn one(out: &mut Vec<Line<'static>>, plan: &Seen, whole: bool, look: Look, width: usize, height: usize) {
    let view = plan.view();
    let status = Span::styled(view.status, style_of(view.status, look));
    let title = cut(&visible(&view.title), width.saturating_sub(view.status.len() + 2));
    let gap = width.saturating_sub(columns(&title) + view.status.len());
    out.push(Line::from(vec![Span::styled(title, look.bold(Color::Reset)), Span::raw(" ".repeat(gap)), status]));
    if !whole || height < 2 {
        return;
    }
    let graph = view.graph();
    let cost = if view.cost.usd > 0.0 { format!("  ${:.2}", view.cost.usd) } else { String::new() };
    let text = format!("{}{cost}  {}", graph.counts(), view.id);
    out.push(Line::styled(cut(&text, width), Look::dim()));
    let mut used = 2;
    let mut say = |out: &mut Vec<Line<'static>>, text: &str, style: Style| {
        if used < height {
            out.push(Line::styled(cut(&visible(text), width), style));
            used += 1;
        }
    };
    for budget in view.budgets.iter().filter(|budget| budget.matters()) {
        say(out, &format!("budget: {}", budget.text()), look.ink(Color::Yellow));
    }
    // What is asked is asked below.
    for hold in view.holds.iter().filter(|hold| !matches!(hold.kind, "approval" | "checkpoint")) {
        say(out, &format!("held: {}; {}", hold.reason, hold.answer), look.ink(Color::Yellow));
    }
    for wait in &view.services {
        say(out, &format!("its {} waits until {}: {}", wait.of, wait.until, wait.reason), look.ink(Color::Yellow));
    }
    steps(out, &graph.nodes, look, width, height.saturating_sub(used));
}

/// A row for each step; if there are too many, those that are done or far away are counted.
fn steps(out: &mut Vec<Line<'static>>, nodes: &[GraphNode], look: Look, width: usize, height: usize) {
    let mut shown: Vec<usize> = (0..nodes.len()).collect();
    if nodes.len() > height {
        shown.sort_by_key(|n| rank(nodes[*n].state));
        shown.truncate(height.saturating_sub(1));
        shown.sort_unstable();
    }
    let names = shown.iter().map(|n| nodes[*n].id.len()).max().unwrap_or(0).min(width / 3);
    let words = shown.iter().map(|n| nodes[*n].state.word().len()).max().unwrap_or(0);
    for node in shown.iter().map(|n| &nodes[*n]) {
        let (rich, plain) = node.state.glyph();
        let style = style_of(node.state.word(), look);
        let name = cut(&node.id, names);
        let note = if node.note.is_empty() { &node.title } else { &node.note };
        let room = width.saturating_sub(names + words + 6);
        out.push(Line::from(vec![
            Span::styled(format!("{} ", if look.ascii { plain } else { rich }), style),
            Span::raw(format!("{name:names$}  ")),
            Span::styled(format!("{:words$}  ", node.state.word()), style),
            Span::styled(cut(&visible(note), room), Look::dim()),
        ]));
    }
    if shown.len() < nodes.len() && height > 0 {
        let mut hidden: BTreeMap<&str, usize> = BTreeMap::new();
        for (n, node) in nodes.iter().enumerate() {
            if shown.binary_search(&n).is_err() {
                *hidden.entry(node.state.word()).or_default() += 1;
            }
        }
        let hidden: Vec<String> = hidden.iter().map(|(word, n)| format!("{n} {word}")).collect();
        out.push(Line::styled(cut(&format!("… and {}", hidden.join(", ")), width), Look::dim()));
    }
}

/// What one wants to see first.
const fn rank(state: NodeState) -> u8 {
    match state {
        NodeState::Running | NodeState::Reviewing | NodeState::Fixing | NodeState::Merging | NodeState::Failed => 0,
        NodeState::Held | NodeState::Paused | NodeState::Ready => 1,
        NodeState::Blocked | NodeState::Pending => 2,
        NodeState::Done | NodeState::Cancelled => 3,
    }
}

fn style_of(word: &str, look: Look) -> Style {
    match word {
        "done" => look.ink(Color::Green),
        "failed" => look.bold(Color::Red),
        "held" | "paused" | "blocked" => look.bold(Color::Yellow),
        "running" | "reviewing" | "fixing" => look.ink(Color::Cyan),
        "merging" => look.ink(Color::Magenta),
        _ => Look::dim(),
    }
}
