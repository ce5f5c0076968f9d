//! Finds the keys of front matter and where their values stand.

use super::Fault;
use super::value::Shape;
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span};
use std::collections::HashMap;
use std::ops::Range;

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 32;

/// A key at the top level, with its value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    /// In the file, from 1.
    pub(super) line: usize,
    /// Columns before the key.
    pub(super) indent: usize,
    pub(super) shape: Shape,
    place: Place,
}

/// How a value can be replaced.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Place {
    /// These bytes are it.
    At(Range<usize>),
    /// There is none; it comes here.
    After(usize),
    /// It fills the lines below: these bytes go, and the new one comes here.
    Below(usize, Range<usize>),
    /// Not without changing more.
    Fixed(&'static str),
}

impl Entry {
    pub(super) fn text(&self) -> Option<&str> {
        match &self.shape {
            Shape::Text(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    pub(super) fn list(&self) -> Vec<&str> {
        match &self.shape {
            Shape::Text(text) if !text.is_empty() => vec![text],
            Shape::List(items) => items.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }

    /// Puts another value in its place.
    pub(super) fn replace(&self, yaml: &mut String, value: &str) -> Result<(), Fault> {
        match &self.place {
            Place::At(range) => yaml.replace_range(range.clone(), value),
            Place::After(at) => yaml.insert_str(*at, &format!(" {value}")),
            Place::Below(at, range) => {
                yaml.replace_range(range.clone(), "");
                yaml.insert_str(*at, &format!(" {value}"));
            }
            Place::Fixed(why) => return Err(Fault::new(self.line, format!("{} cannot be changed: {why}", self.key))),
        }
        Ok(())
    }
}

/// A key whose value is being read.
struct Reading {
    key: String,
    span: Range<usize>,
    line: usize,
    indent: usize,
}

/// What of a value was read so far.
#[derive(Default)]
struct Seen {
    first: Option<usize>,
    end: usize,
    /// An anchor stands in it, so that what is elsewhere may mean it.
    anchored: bool,
    /// It begins with a mark that a plain replacement cannot stand for.
    block: bool,
    shape: Option<Shape>,
    print: String,
}

pub(super) fn scan(yaml: &str) -> Result<Vec<Entry>, Fault> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut lines: HashMap<String, usize> = HashMap::new();
    let (mut depth, mut documents) = (0_usize, 0);
    let mut reading: Option<Reading> = None;
    let mut seen = Seen::default();
    for event in Parser::new_from_str(yaml) {
        let (event, span) = event.map_err(|error| Fault::new(error.marker().line().max(1) + 1, error.info()))?;
        let line = span.start.line().max(1) + 1;
        let range = bytes(&span, yaml);
        match &event {
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    return Err(Fault::new(line, "a second document starts here"));
                }
                continue;
            }
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => continue,
            Event::SequenceStart(..) | Event::MappingStart(..) if depth >= MAX_DEPTH => {
                return Err(Fault::new(line, "it is nested too deep"));
            }
            _ => {}
        }
        if depth == 0 {
            match event {
                Event::MappingStart(..) if !yaml[range.start..].starts_with('{') => depth = 1,
                Event::MappingEnd => {}
                Event::Scalar(text, ScalarStyle::Plain, 0, None) if text.is_empty() || text == "~" => {}
                _ => return Err(Fault::new(line, "front matter is one key a line, each with its value")),
            }
            continue;
        }
        if depth == 1 && reading.is_none() {
            match event {
                Event::Scalar(key, ..) => {
                    let key = key.into_owned();
                    if let Some(first) = lines.insert(key.clone(), line) {
                        return Err(Fault::new(line, format!("key {key:?} is there twice, first in line {first}")));
                    }
                    let begin = yaml[..range.start].rfind('\n').map_or(0, |at| at + 1);
                    let indent = yaml[begin..range.start].chars().take_while(|c| *c == ' ').count();
                    reading = Some(Reading { key, span: range, line, indent });
                    seen = Seen::default();
                }
                Event::MappingEnd => depth = 0,
                _ => return Err(Fault::new(line, "a key must be one word")),
            }
            continue;
        }
        seen.see(&event, range, yaml);
        match event {
            Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
            Event::SequenceEnd | Event::MappingEnd => depth -= 1,
            _ => {}
        }
        if depth == 1
            && let Some(key) = reading.take()
        {
            entries.push(std::mem::take(&mut seen).entry(key, yaml));
        }
    }
    Ok(entries)
}

impl Seen {
    fn see(&mut self, event: &Event<'_>, range: Range<usize>, yaml: &str) {
        self.print.push_str(&format!("{event:?};"));
        let first = self.first.is_none();
        let start = *self.first.get_or_insert(range.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.anchored |= *anchor != 0;
                let value = if *style == ScalarStyle::Plain && text == "~" { "" } else { text };
                match &mut self.shape {
                    None if first && tag.is_none() => self.shape = Some(Shape::Text(value.to_owned())),
                    Some(Shape::List(items)) if tag.is_none() => items.push(text.to_string()),
                    _ => self.other(),
                }
                self.block |= first && matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                self.end = self.end.max(range.end);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.anchored |= *anchor != 0;
                if first && tag.is_none() {
                    self.shape = Some(Shape::List(Vec::new()));
                } else {
                    self.other();
                }
                self.block |= first && !yaml[start..].starts_with('[');
            }
            Event::MappingStart(_, anchor, _) => {
                self.anchored |= *anchor != 0;
                self.other();
                self.block |= first && !yaml[start..].starts_with('{');
            }
            // A block has no mark that ends it; its last part does.
            Event::SequenceEnd | Event::MappingEnd => {
                if yaml[range.clone()].starts_with([']', '}']) {
                    self.end = self.end.max(range.end);
                }
            }
            _ => {
                self.other();
                self.end = self.end.max(range.end);
            }
        }
    }

    fn other(&mut self) {
        self.shape = Some(Shape::Other(String::new()));
    }

    fn entry(self, key: Reading, yaml: &str) -> Entry {
        let after = yaml[key.span.end..].trim_start_matches([' ', '\t']);
        let colon = yaml.len() - after.len() + 1;
        let value = yaml.len() - yaml.get(colon..).unwrap_or_default().trim_start_matches([' ', '\t']).len();
        let place = if !after.starts_with(':') {
            Place::Fixed("its key stands on lines of its own")
        } else if self.anchored {
            Place::Fixed("it has an anchor")
        } else if yaml[value..].starts_with(['|', '>']) {
            Place::At(value..value + yaml[value..self.end.max(value)].trim_end().len())
        } else if self.block {
            let line = yaml[colon..].find('\n').map_or(yaml.len(), |at| colon + at);
            let line = if yaml[..line].ends_with('\r') { line - 1 } else { line };
            Place::Below(colon, line..line.max(yaml[..self.end].trim_end().len()))
        } else {
            match self.first {
                Some(start) if start < self.end => Place::At(start..self.end),
                _ => Place::After(colon),
            }
        };
        let shape = match self.shape {
            Some(Shape::Other(_)) | None => Shape::Other(self.print),
            Some(shape) => shape,
        };
        Entry { key: key.key, line: key.line, indent: key.indent, shape, place }
    }
}

fn bytes(span: &Span, yaml: &str) -> Range<usize> {
    let range = span.byte_range().unwrap_or(0..0);
    let start = yaml.floor_char_boundary(range.start.min(yaml.len()));
    start..yaml.floor_char_boundary(range.end.clamp(start, yaml.len()))
}
