//! Pictures of a plan with the states of its steps: text, DOT, SVG.

mod dot;
mod layers;
mod svg;
mod text;

pub use dot::dot;
pub use svg::svg;
pub use text::{TextStyle, text};

use enki_core::plan::{NeedOn, Plan};
use enki_core::spec::Condition;

/// What is drawn.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// Headline.
    pub title: String,
    /// The steps, in the order of the plan.
    pub nodes: Vec<GraphNode>,
}

/// A step.
#[derive(Clone, Debug, Default)]
pub struct GraphNode {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its state.
    pub state: NodeState,
    /// A few words more: a commit, a reason, what it does now.
    pub note: String,
    /// Positions of the steps it waits for, and until what.
    pub needs: Vec<(usize, Condition)>,
}

/// The states as people see them.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[expect(missing_docs, reason = "the words of model section 12")]
#[non_exhaustive]
pub enum NodeState {
    #[default]
    Pending,
    Ready,
    Running,
    Reviewing,
    Fixing,
    Merging,
    Held,
    Paused,
    Blocked,
    Done,
    Failed,
    Cancelled,
}

impl NodeState {
    /// The word on screen.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Reviewing => "reviewing",
            Self::Fixing => "fixing",
            Self::Merging => "merging",
            Self::Held => "held",
            Self::Paused => "paused",
            Self::Blocked => "blocked",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The sign in text, and its stand-in where only ASCII is wanted.
    #[must_use]
    pub const fn glyph(self) -> (char, char) {
        match self {
            Self::Pending => ('○', 'o'),
            Self::Ready => ('◎', 'O'),
            Self::Running => ('▶', '>'),
            Self::Reviewing => ('◆', '?'),
            Self::Fixing => ('◇', '&'),
            Self::Merging => ('▲', '^'),
            Self::Held => ('◐', 'H'),
            Self::Paused => ('◌', 'P'),
            Self::Blocked => ('⊘', '%'),
            Self::Done => ('●', '*'),
            Self::Failed => ('✖', '!'),
            Self::Cancelled => ('✕', 'x'),
        }
    }

    /// Its colour as an ANSI code.
    const fn ansi(self) -> &'static str {
        match self {
            Self::Pending | Self::Cancelled => "\u{1b}[2m",
            Self::Ready => "\u{1b}[0m",
            Self::Running | Self::Reviewing | Self::Fixing => "\u{1b}[36m",
            Self::Merging => "\u{1b}[35m",
            Self::Held | Self::Paused | Self::Blocked => "\u{1b}[33m",
            Self::Done => "\u{1b}[32m",
            Self::Failed => "\u{1b}[31m",
        }
    }

    /// Its colours in pictures: fill, border.
    const fn rgb(self) -> (&'static str, &'static str) {
        match self {
            Self::Pending => ("#f6f8fa", "#8c959f"),
            Self::Ready => ("#ffffff", "#57606a"),
            Self::Running => ("#ddf4ff", "#0969da"),
            Self::Reviewing | Self::Fixing => ("#d8f3f5", "#1b7c83"),
            Self::Merging => ("#fbefff", "#8250df"),
            Self::Held | Self::Paused | Self::Blocked => ("#fff8c5", "#9a6700"),
            Self::Done => ("#dafbe1", "#1a7f37"),
            Self::Failed => ("#ffebe9", "#cf222e"),
            Self::Cancelled => ("#eaeef2", "#6e7781"),
        }
    }
}

impl Graph {
    /// A plan of which nothing has begun.
    #[must_use]
    pub fn of_plan(plan: &Plan) -> Self {
        let node = |step: &enki_core::plan::Step| {
            let mut node =
                GraphNode { id: step.id.as_str().into(), title: step.title.as_ref().into(), ..GraphNode::default() };
            for need in &step.needs {
                if let NeedOn::Step(ix) = need.on {
                    node.needs.push((ix.index(), need.condition));
                }
            }
            let mut notes = vec![step.tier.to_string()];
            notes.extend(step.role.as_deref().map(str::to_owned));
            notes.extend(step.review.is_some().then(|| "reviewed".to_owned()));
            notes.extend(step.checkpoint.then(|| "checkpoint".to_owned()));
            node.note = notes.join(", ");
            if step.needs.is_empty() {
                node.state = NodeState::Ready;
            }
            node
        };
        Self { title: plan.title.clone(), nodes: plan.steps().iter().map(node).collect() }
    }

    /// How many steps are in each state, in words: `3 done, 1 running`.
    #[must_use]
    pub fn counts(&self) -> String {
        const ORDER: [NodeState; 12] = [
            NodeState::Done,
            NodeState::Running,
            NodeState::Reviewing,
            NodeState::Fixing,
            NodeState::Merging,
            NodeState::Ready,
            NodeState::Pending,
            NodeState::Held,
            NodeState::Paused,
            NodeState::Blocked,
            NodeState::Failed,
            NodeState::Cancelled,
        ];
        let count = |state: &NodeState| self.nodes.iter().filter(|node| node.state == *state).count();
        let part = |state: &NodeState| Some((count(state), state.word())).filter(|(n, _)| *n > 0);
        ORDER.iter().filter_map(part).map(|(n, word)| format!("{n} {word}")).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn graph(edges: &[(&str, &[usize], NodeState)]) -> Graph {
        let node = |(id, needs, state): &(&str, &[usize], NodeState)| GraphNode {
            id: (*id).into(),
            title: format!("Title of {id}"),
            state: *state,
            needs: needs.iter().map(|n| (*n, Condition::Merged)).collect(),
            ..GraphNode::default()
        };
        Graph { title: "Example".into(), nodes: edges.iter().map(node).collect() }
    }

    pub(crate) fn example() -> Graph {
        use NodeState::*;
        graph(&[
            ("base", &[], Done),
            ("left", &[0], Done),
            ("right", &[0], Failed),
            ("merge", &[1, 2], Blocked),
            ("docs", &[], Running),
            ("notes", &[], Reviewing),
            ("last", &[3, 4, 0], Pending),
        ])
    }

    pub(crate) fn wide(n: usize) -> Graph {
        let all: Vec<usize> = (0..n - 1).collect();
        let ids: Vec<String> = (0..n).map(|i| format!("step-{i}")).collect();
        let edges: Vec<(&str, &[usize], NodeState)> = ids
            .iter()
            .enumerate()
            .map(|(i, id)| (id.as_str(), if i == n - 1 { &all[..] } else { &[] }, NodeState::Pending))
            .collect();
        graph(&edges)
    }

    pub(crate) fn long(n: usize) -> Graph {
        let ids: Vec<String> = (0..n).map(|i| format!("step-{i}")).collect();
        let needs: Vec<Vec<usize>> = (0..n).map(|i| if i == 0 { vec![] } else { vec![i - 1, 0] }).collect();
        let edges: Vec<(&str, &[usize], NodeState)> =
            ids.iter().zip(&needs).map(|(id, needs)| (id.as_str(), needs.as_slice(), NodeState::Pending)).collect();
        graph(&edges)
    }
}
