//! A graph in the language of Graphviz.

use super::Graph;
use enki_core::spec::Condition;
use std::fmt::Write as _;

/// Draws a graph as DOT.
#[must_use]
pub fn dot(graph: &Graph) -> String {
    let mut out = String::from(
        "digraph plan {\n  rankdir=TB;\n  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\"];\n",
    );
    let _ = writeln!(out, "  label={};", quoted(&graph.title));
    for node in &graph.nodes {
        let (fill, border) = node.state.rgb();
        let label = format!("{}\n{}", node.id, node.state.word());
        let tooltip = quoted(&node.title);
        let _ = writeln!(
            out,
            "  {} [label={}, tooltip={tooltip}, fillcolor={fill:?}, color={border:?}];",
            quoted(&node.id),
            quoted(&label)
        );
    }
    for node in &graph.nodes {
        for (need, condition) in &node.needs {
            let style = match condition {
                Condition::Merged => "",
                Condition::Completed => " [style=dashed]",
                Condition::Started => " [style=dotted]",
            };
            let _ = writeln!(out, "  {} -> {}{style};", quoted(&graph.nodes[*need].id), quoted(&node.id));
        }
    }
    out.push_str("}\n");
    out
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::example;
    use super::*;

    #[test]
    fn titles_cannot_leave_their_quotes() {
        let mut graph = example();
        graph.title = "a\" ; evil [x=\\\"".into();
        insta::assert_snapshot!(dot(&graph));
    }
}
