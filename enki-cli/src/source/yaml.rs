//! YAML as a tree with places, by the core schema of YAML 1.2: no anchors, aliases, tags or further documents.

use super::node::{Key, Node, Value};
use super::problem::Problem;
use super::{MAX_DEPTH, MAX_VALUES, too_deep, too_many, twice};
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span};
use std::collections::HashMap;
use std::ops::Range;

pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    let mut open: Vec<Open> = Vec::new();
    let mut root: Option<Node> = None;
    let mut values = 0;
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let at = error.marker().byte_offset().unwrap_or(0);
            if error.info().contains("nesting") || error.info().contains("recursion") {
                return too_deep(at);
            }
            Problem::new(at..at, error.info())
        })?;
        let at = bytes(&span);
        let node = match event {
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    return Err(Problem::new(at, "a second document starts here").help("keep one document per file"));
                }
                continue;
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) | Event::Anchor(..) => {
                return Err(Problem::new(at, "anchors and aliases are not accepted").help("write the value out"));
            }
            Event::Scalar(_, _, anchor, _) | Event::SequenceStart(_, anchor, _) | Event::MappingStart(_, anchor, _)
                if anchor != 0 =>
            {
                return Err(Problem::new(at, "anchors and aliases are not accepted").help("write the value out"));
            }
            Event::Scalar(_, _, _, Some(_))
            | Event::SequenceStart(_, _, Some(_))
            | Event::MappingStart(_, _, Some(_)) => {
                let at = span.tag_start().and_then(|mark| mark.byte_offset()).map_or(at.clone(), |start| start..start);
                return Err(Problem::new(at, "tags are not accepted").help("leave the tag out"));
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() >= MAX_DEPTH => {
                return Err(too_deep(at.start));
            }
            Event::SequenceStart(..) => {
                open.push(Open { start: at.start, kind: Kind::List(Vec::new()) });
                continue;
            }
            Event::MappingStart(..) => {
                let kind = Kind::Table { entries: Vec::new(), seen: HashMap::new(), key: None };
                open.push(Open { start: at.start, kind });
                continue;
            }
            Event::Scalar(text, style, ..) => {
                let plain = style == ScalarStyle::Plain;
                Node { span: at, value: if plain { resolve(&text) } else { Value::Text(text.into_owned()) } }
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open { start, kind: Kind::List(items) }) => {
                    Node { span: start..at.end, value: Value::List(items) }
                }
                Some(Open { start, kind: Kind::Table { entries, .. } }) => {
                    Node { span: start..at.end, value: Value::Table(entries) }
                }
                None => continue,
            },
            _ => continue,
        };
        values += 1;
        if values > MAX_VALUES {
            return Err(too_many(node.span.start));
        }
        match open.last_mut() {
            Some(parent) => parent.push(node, text)?,
            None => root = Some(node),
        }
    }
    root.ok_or_else(|| Problem::new(0..0, "the file is empty"))
}

/// A list or table whose end is not read yet.
struct Open {
    start: usize,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    Table { entries: Vec<(Key, Node)>, seen: HashMap<String, usize>, key: Option<Key> },
}

impl Open {
    fn push(&mut self, node: Node, text: &str) -> Result<(), Problem> {
        match &mut self.kind {
            Kind::List(items) => items.push(node),
            Kind::Table { entries, seen, key } => match key.take() {
                Some(key) => entries.push((key, node)),
                None => {
                    let name = match node.value {
                        Value::Text(name) => name,
                        Value::List(_) | Value::Table(_) => {
                            return Err(Problem::new(node.span, "a key must be one word").help("quote it"));
                        }
                        // A number or `null` as a key is meant as it is written.
                        _ => text.get(node.span.clone()).unwrap_or_default().to_owned(),
                    };
                    if name == "<<" {
                        return Err(Problem::new(node.span, "merge keys are not accepted").help("write the values out"));
                    }
                    if let Some(first) = seen.insert(name.clone(), entries.len()) {
                        return Err(twice(&name, node.span, entries[first].0.span.clone()));
                    }
                    *key = Some(Key { span: node.span, name });
                }
            },
        }
        Ok(())
    }
}

fn bytes(span: &Span) -> Range<usize> {
    span.byte_range().unwrap_or(0..0)
}

/// What a plain scalar means in the core schema.
fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let number = text.strip_prefix(['-', '+']).unwrap_or(text);
    let int = if let Some(hex) = text.strip_prefix("0x") {
        i128::from_str_radix(hex, 16).ok().filter(|_| !hex.starts_with(['-', '+']))
    } else if let Some(octal) = text.strip_prefix("0o") {
        i128::from_str_radix(octal, 8).ok().filter(|_| !octal.starts_with(['-', '+']))
    } else if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    };
    if let Some(int) = int {
        return Value::Int(int);
    }
    let numeric = number.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
    let float = number.starts_with(|c: char| c.is_ascii_digit() || c == '.') && numeric;
    match text.parse() {
        Ok(value) if float => Value::Float(value),
        _ => Value::Text(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        for (text, value) in [
            ("yes", Value::Text("yes".into())),
            ("1800", Value::Int(1800)),
            ("-5", Value::Int(-5)),
            ("0x1F", Value::Int(31)),
            ("9.5", Value::Float(9.5)),
            ("1e3", Value::Float(1000.0)),
            ("1.2.3", Value::Text("1.2.3".into())),
            ("e2e", Value::Text("e2e".into())),
            ("nan", Value::Text("nan".into())),
            ("-", Value::Text("-".into())),
            ("~", Value::Null),
        ] {
            assert_eq!(resolve(text), value, "{text}");
        }
    }

    #[test]
    fn anchors_aliases_tags_and_merges_are_refused() {
        for text in ["a: &x 1\nb: *x", "a: *x", "&x [1]", "a: !!str 1", "<<: {a: 1}", "a: 1\n---\nb: 1", "? [a]\n: 1"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
