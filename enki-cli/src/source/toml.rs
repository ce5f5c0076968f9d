//! TOML as a tree with places.

use super::node::{Key, Node, Value};
use super::problem::Problem;
use super::{MAX_DEPTH, MAX_VALUES, too_deep, too_many, twice};
use std::ops::Range;
use toml::de::{DeTable, DeValue};

pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    refuse_excess(text)?;
    // Of a text that is none every line is an error, and all of them together are many times its size.
    if let Err(error) = DeTable::parse(text)
        && error.message() != "duplicate key"
    {
        let span = error.span().unwrap_or(0..0);
        return Err(match error.message().contains("max recursion depth") {
            true => too_deep(span.start),
            false => Problem::new(span, error.message()),
        });
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    let end = table.span().end;
    let mut tree = Tree { values: 0 };
    let node = tree.table(table.into_inner(), 0..end, 0);
    if let Some(error) = errors.into_iter().next() {
        let span = error.span().unwrap_or(0..0);
        if error.message() == "duplicate key" {
            let name = text.get(span.clone()).unwrap_or_default().trim_matches(['"', '\'']).to_owned();
            // The parser keeps the first entry, so the nearest one of that name before the second is the first. Of a
            // table that is opened again it keeps the second.
            let first = node.as_ref().ok().and_then(|node| key_before(node, &name, span.start));
            let header = || text[..span.start].find(&format!("[{name}]")).map(|at| at + 1..at + 1 + name.len());
            let first = first.or_else(header);
            return Err(match first {
                Some(first) => twice(&name, span, first),
                None => Problem::new(span, format!("the key {name:?} is given twice")).help("remove one of them"),
            });
        }
        if error.message().contains("max recursion depth") {
            return Err(too_deep(span.start));
        }
        return Err(Problem::new(span, error.message()));
    }
    node
}

/// Refuses before parsing what would make a huge tree or a deep recursion. Counts outside strings are not needed: a
/// bound that a file within its size can only pass by its punctuation is enough.
fn refuse_excess(text: &str) -> Result<(), Problem> {
    let mut dots = 0;
    let mut values = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'.' => dots += 1,
            b'\n' | b'"' | b'\'' | b'#' => dots = 0,
            // Prose of the size limit has far fewer of them.
            b',' | b'=' | b'[' => {
                dots = 0;
                values += 1;
            }
            _ => {}
        }
        // A dotted key opens one table per part.
        if dots > 4 * MAX_DEPTH && text.as_bytes()[at + 1..].first().is_some_and(|b| b.is_ascii_alphanumeric()) {
            return Err(too_deep(at));
        }
        if values > MAX_VALUES {
            return Err(too_many(at));
        }
    }
    Ok(())
}

fn key_before(node: &Node, name: &str, before: usize) -> Option<Range<usize>> {
    let inside: Vec<&Node> = match &node.value {
        Value::Table(entries) => entries.iter().map(|(_, node)| node).collect(),
        Value::List(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    let own = node.get(name).map(|(key, _)| key.span.clone()).filter(|span| span.start < before);
    inside.into_iter().filter_map(|node| key_before(node, name, before)).chain(own).max_by_key(|span| span.start)
}

struct Tree {
    values: usize,
}

impl Tree {
    fn table(&mut self, table: DeTable<'_>, span: Range<usize>, depth: usize) -> Result<Node, Problem> {
        let mut entries = Vec::with_capacity(table.len());
        for (key, value) in table {
            let key = Key { span: key.span(), name: key.into_inner().into_owned() };
            let span = value.span();
            entries.push((key, self.node(value.into_inner(), span, depth + 1)?));
        }
        // The map is sorted by name; people wrote the entries in the order of their places.
        entries.sort_by_key(|(key, _)| key.span.start);
        Ok(Node { span, value: Value::Table(entries) })
    }

    fn node(&mut self, value: DeValue<'_>, span: Range<usize>, depth: usize) -> Result<Node, Problem> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(too_many(span.start));
        }
        if depth > MAX_DEPTH {
            return Err(too_deep(span.start));
        }
        let value = match value {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Boolean(bool) => Value::Bool(bool),
            DeValue::Datetime(time) => Value::Text(time.to_string()),
            DeValue::Integer(int) => match i128::from_str_radix(int.as_str(), int.radix()) {
                Ok(int) => Value::Int(int),
                Err(_) => return Err(Problem::new(span, format!("the number {int} is out of range"))),
            },
            DeValue::Float(float) => match float.as_str().parse() {
                Ok(float) => Value::Float(float),
                Err(_) => return Err(Problem::new(span, format!("{float} is not a number"))),
            },
            DeValue::Array(items) => {
                let mut nodes = Vec::with_capacity(items.len());
                for item in items {
                    let span = item.span();
                    nodes.push(self.node(item.into_inner(), span, depth + 1)?);
                }
                Value::List(nodes)
            }
            DeValue::Table(table) => return self.table(table, span, depth),
        };
        Ok(Node { span, value })
    }
}
