//! One configuration file as a layer.

use super::keys::{self, ALIASES, KEYS, Key, Kind, LATER};
use super::{Owner, looks_secret};
use crate::error::CliError;
use crate::source::{self, Format, Node, Problem, Problems, Source, Value};
use enki_core::plan::nearest;
use serde_json::json;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::Path;

/// What a file sets.
#[derive(Debug)]
pub(super) struct Layer {
    /// Key, value, line.
    pub(super) values: Vec<(String, serde_json::Value, usize)>,
    /// What was noticed.
    pub(super) warnings: Option<Problems>,
}

/// The bytes of a file; none if there is none. A file of the project must lie `inside` it.
pub(super) fn read(path: &Path, inside: Option<&Path>) -> Result<Option<Vec<u8>>, CliError> {
    let unreadable = |error: std::io::Error| {
        CliError::environment(format!("cannot read {}: {error}", path.display())).hint("check the file's permissions")
    };
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            if path.symlink_metadata().is_ok_and(|found| found.file_type().is_symlink()) {
                let message = format!("{} is a symbolic link that leads nowhere", path.display());
                return Err(CliError::usage(message).hint("remove or repair the link"));
            }
            return Ok(None);
        }
        Err(error) => return Err(unreadable(error)),
    };
    if !found.is_file() {
        let what = if found.is_dir() { "a folder" } else { "not a regular file" };
        return Err(CliError::usage(format!("{} is {what}", path.display())).hint("a configuration is a TOML file"));
    }
    if let Some(project) = inside {
        let (real, root) = (path.canonicalize().map_err(unreadable)?, project.canonicalize().map_err(unreadable)?);
        if !real.starts_with(&root) {
            let message = format!("{} leads out of the project, to {}", path.display(), real.display());
            return Err(CliError::usage(message).hint("copy the file into the project"));
        }
    }
    let mut bytes = Vec::new();
    let limit = source::MAX_BYTES as u64 + 1;
    File::open(path).map_err(unreadable)?.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(Some(bytes))
}

/// Reads the text of a file.
pub(super) fn layer(path: &Path, bytes: Vec<u8>, owner: Owner) -> Result<Layer, Problems> {
    let name = path.display().to_string();
    if bytes.len() > source::MAX_BYTES {
        return Err(Problems { source: Source::new(name, ""), list: vec![source::too_large()] });
    }
    let source = Source::from_bytes(name.clone(), bytes).map_err(|problems| problems.named(&name))?;
    let source = source.masked(super::secret::mask);
    if source.text().trim().is_empty() {
        return Ok(Layer { values: Vec::new(), warnings: None });
    }
    let tree = match source::parse(&source, Format::Toml) {
        Ok(tree) => tree,
        Err(problem) => return Err(Problems { source, list: vec![problem] }),
    };
    let mut walk = Walk { source: &source, owner, values: Vec::new(), warnings: Vec::new(), errors: Vec::new() };
    walk.table(&tree, "");
    let Walk { values, warnings, errors, .. } = walk;
    if !errors.is_empty() {
        return Err(Problems { source, list: errors });
    }
    let warnings = (!warnings.is_empty()).then_some(Problems { source, list: warnings });
    Ok(Layer { values, warnings })
}

struct Walk<'s> {
    source: &'s Source,
    owner: Owner,
    values: Vec<(String, serde_json::Value, usize)>,
    warnings: Vec<Problem>,
    errors: Vec<Problem>,
}

impl Walk<'_> {
    fn table(&mut self, node: &Node, prefix: &str) {
        let Value::Table(entries) = &node.value else { return };
        for (key, node) in entries {
            let name = if prefix.is_empty() { key.name.clone() } else { format!("{prefix}.{}", key.name) };
            let below = format!("{name}.");
            if let Some(known) = keys::find(&name) {
                self.value(known, node, key.span.clone());
            } else if name == "review.max_rounds" {
                self.rounds(node, key.span.clone());
            } else if LATER.iter().any(|later| name == *later || below.starts_with(&format!("{later}."))) {
                let problem = Problem::new(key.span.clone(), format!("{name} has no effect in this version"));
                self.warnings.push(problem.warning());
            } else if KEYS
                .iter()
                .map(|known| known.name)
                .chain(LATER.iter().copied())
                .any(|known| known.starts_with(&below))
            {
                if matches!(node.value, Value::Table(_)) {
                    self.table(node, &name);
                } else {
                    let problem = Problem::new(node.span.clone(), format!("{name} is a table of keys"));
                    self.errors.push(problem.help(format!("write it as [{name}]")));
                }
            } else {
                let names = KEYS.iter().map(|k| k.name).chain(ALIASES.iter().map(|(alias, _)| *alias));
                let sections = [
                    "git",
                    "workers",
                    "models",
                    "review",
                    "budget",
                    "refinery",
                    "workspace",
                    "agent",
                    "approval",
                    "isolation",
                    "store",
                    "memory",
                    "lint",
                    "agents",
                    "skills",
                ];
                let problem = Problem::new(key.span.clone(), format!("unknown key {name:?}, ignored")).warning();
                self.warnings.push(match nearest(&name, names.chain(sections)) {
                    Some(near) => problem.help(format!("did you mean {near:?}?")),
                    None => problem.help("`enki config show` lists the keys"),
                });
            }
        }
    }

    fn value(&mut self, key: &'static Key, node: &Node, at: std::ops::Range<usize>) {
        if key.grants_trust && self.owner == Owner::Project {
            let problem =
                Problem::new(at, format!("{} counts only from your own configuration, ignored here", key.name));
            self.warnings.push(problem.help("set it in ~/.config/enki/config.toml").warning());
            return;
        }
        if let (Kind::Table, Value::Table(entries)) = (key.kind, &node.value) {
            for (name, value) in entries {
                let full = format!("{}.{}", key.name, name.name);
                if let Some(problem) = bad_variable(&name.name) {
                    self.errors.push(Problem::new(name.span.clone(), format!("{full}: {problem}")));
                } else if let Value::Text(text) = &value.value {
                    self.secret(&full, text, name.span.clone());
                    self.push(full, json!(text), value);
                } else {
                    self.errors.push(
                        Problem::new(value.span.clone(), format!("{full}: expected a text")).help("put it in quotes"),
                    );
                }
            }
            return;
        }
        let value = match (key.kind, &node.value) {
            (Kind::Line, Value::Text(text)) => {
                self.secret(key.name, text, at.clone());
                keys::line(text).map(|text| json!(text))
            }
            (Kind::Switch, Value::Bool(on)) => Ok(json!(on)),
            (Kind::List, Value::List(items)) => {
                let text = |item: &Node| if let Value::Text(text) = &item.value { Some(text.clone()) } else { None };
                let texts: Option<Vec<String>> = items.iter().map(text).collect();
                for text in texts.iter().flatten() {
                    self.secret("", text, at.clone());
                }
                texts.map(|texts| json!(texts)).ok_or_else(|| keys::expected(key.kind))
            }
            _ => keys::from_node(key, node),
        };
        match value {
            Ok(value) => self.push(key.name.to_owned(), value, node),
            // A number of chains that is none means the usual one.
            Err(expected) if key.name == "review.max_chains" => {
                let problem = Problem::new(node.span.clone(), "review.max_chains has no such value, ignored");
                self.warnings.push(problem.help(expected).warning());
            }
            Err(expected) => {
                self.errors
                    .push(Problem::new(node.span.clone(), format!("{} has no such value", key.name)).help(expected));
            }
        }
    }

    /// The older way to limit fixes: reviews, one more than fixes.
    fn rounds(&mut self, node: &Node, at: std::ops::Range<usize>) {
        match keys::rounds(&node.value) {
            Ok(fixes) => self.push("review.max_fixes".to_owned(), fixes, node),
            Err(expected) => self.errors.push(Problem::new(at, "review.max_rounds has no such value").help(expected)),
        }
    }

    fn push(&mut self, name: String, value: serde_json::Value, node: &Node) {
        let line = self.source.position(node.span.start).0;
        self.values.push((name, value, line));
    }

    fn secret(&mut self, name: &str, text: &str, at: std::ops::Range<usize>) {
        if looks_secret(name, text) {
            let line = self.source.position(at.start).0;
            let problem = Problem::new(at, format!("line {line} seems to hold a secret"));
            let help = "keep secrets out of files: set the variable in the environment that starts enki";
            self.warnings.push(problem.help(help).warning());
        }
    }
}

fn bad_variable(name: &str) -> Option<&'static str> {
    if name.starts_with("ENKI_") {
        Some("variables named ENKI_... are Enki's own")
    } else if name.is_empty() || name.contains(['=', '\0', '\n']) {
        Some("not the name of a variable")
    } else {
        None
    }
}
