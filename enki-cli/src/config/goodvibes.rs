//! `goodvibes.json`: the settings of the review loop that another tool keeps, read as a layer below Enki's own file of the
//! same owner. It is not ours: what it says beside them is its own, and a value that does not fit is left out with a warning.

use super::file::Layer;
use super::keys;
use crate::source::{self, Format, Key, Node, Problem, Problems, Source, Value};
use std::path::Path;

/// Where it is, below a project or the home folder.
pub(super) const FILE: &str = ".goodvibes/goodvibes.json";

/// Names that mean the same wherever they stand, and the key of ours.
const NAMES: &[(&str, &str)] = &[
    ("min_review_score", "review.min_score"),
    ("score_threshold", "review.min_score"),
    ("max_fix_attempts", "review.max_fixes"),
    ("max_parallel_agent_chains", "review.max_chains"),
    ("token_budget", "budget.tokens"),
    ("cost_budget_usd", "budget.cost_usd"),
];

/// Tables of its own whose names would be too general elsewhere.
const TABLES: &[(&str, &[(&str, &str)])] =
    &[("budget", &[("tokens", "budget.tokens"), ("cost_usd", "budget.cost_usd")])];

/// Reads such a file.
pub(super) fn layer(path: &Path, bytes: Vec<u8>) -> Result<Layer, Problems> {
    let name = path.display().to_string();
    if bytes.len() > source::MAX_BYTES {
        return Err(Problems { source: Source::new(name, ""), list: vec![source::too_large()] });
    }
    let source = Source::from_bytes(name.clone(), bytes).map_err(|problems| problems.named(&name))?;
    let tree = match source::parse(&source, Format::Json) {
        Ok(tree) => tree,
        Err(problem) => return Err(Problems { source, list: vec![problem] }),
    };
    let mut walk = Walk { source: &source, values: Vec::new(), warnings: Vec::new() };
    walk.top(&tree);
    let Walk { values, warnings, .. } = walk;
    let warnings = (!warnings.is_empty()).then_some(Problems { source, list: warnings });
    Ok(Layer { values, warnings })
}

struct Walk<'s> {
    source: &'s Source,
    values: Vec<(String, serde_json::Value, usize)>,
    warnings: Vec<Problem>,
}

impl Walk<'_> {
    fn top(&mut self, tree: &Node) {
        let Value::Table(entries) = &tree.value else { return };
        for (key, node) in entries {
            if key.name == "mode" {
                self.value("approval.preset", key, node);
            }
            if let Some((_, names)) = TABLES.iter().find(|(table, _)| *table == key.name) {
                self.named(node, names);
            }
        }
        self.everywhere(tree);
        // Its own chains have a format of their own.
        let custom = tree.get("workflows").and_then(|(_, workflows)| workflows.get("custom"));
        if let Some((key, _)) = custom {
            let problem = Problem::new(key.span.clone(), "workflows.custom is not read from here");
            self.warnings.push(problem.help("write each chain to ~/.enki/chains/NAME.toml").warning());
        }
    }

    /// The distinct names, at any depth. A file that says the same in two ways is read in the order of its lines.
    fn everywhere(&mut self, node: &Node) {
        self.named(node, NAMES);
        let Value::Table(entries) = &node.value else { return };
        for (key, node) in entries {
            if key.name == "max_rounds" {
                self.rounds(key, node);
            }
            self.everywhere(node);
        }
    }

    fn named(&mut self, node: &Node, names: &[(&str, &str)]) {
        let Value::Table(entries) = &node.value else { return };
        for (key, node) in entries {
            if let Some((_, ours)) = names.iter().find(|(name, _)| *name == key.name) {
                self.value(ours, key, node);
            }
        }
    }

    /// Reviews, one more than fixes.
    fn rounds(&mut self, key: &Key, node: &Node) {
        match keys::rounds(&node.value) {
            Ok(fixes) => self.push("review.max_fixes", fixes, node),
            Err(expected) => self.warn(key, node, &expected),
        }
    }

    fn value(&mut self, ours: &str, key: &Key, node: &Node) {
        let known = keys::find(ours).expect("the tables name keys");
        match keys::from_node(known, node) {
            Ok(value) => self.push(ours, value, node),
            Err(expected) => self.warn(key, node, &expected),
        }
    }

    fn warn(&mut self, key: &Key, node: &Node, expected: &str) {
        let problem = Problem::new(node.span.clone(), format!("{} has no such value, ignored", key.name));
        self.warnings.push(problem.help(expected.to_owned()).warning());
    }

    fn push(&mut self, name: &str, value: serde_json::Value, node: &Node) {
        let line = self.source.position(node.span.start).0;
        self.values.push((name.to_owned(), value, line));
    }
}
