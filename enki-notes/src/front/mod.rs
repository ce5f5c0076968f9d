//! A file with YAML front matter, edited in place: what is not touched stays, byte for byte.

mod scan;
mod value;

pub use value::Value;

use scan::{Entry, scan};
use std::fmt;
use std::ops::Range;

/// Longest front matter that is read, in bytes.
pub const FRONT_LIMIT: usize = 64 * 1024;

/// A note's text: front matter, and a body of any bytes.
///
/// # Contract
///
/// [`Document::to_bytes`] of what was parsed is what was parsed. [`Document::set`] changes the value of that key and
/// nothing else: not the order of keys, a comment, a quote or a line ending.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Document {
    /// What stands before the YAML: the mark that begins it, and perhaps a byte-order mark.
    open: String,
    yaml: String,
    entries: Vec<Entry>,
    /// The mark that ends the YAML, with the end of its line.
    close: String,
    body: Vec<u8>,
}

/// Why a text is no note, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub why: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl Fault {
    fn new(line: usize, why: impl Into<String>) -> Self {
        Self { line, why: why.into() }
    }
}

impl Document {
    /// A document of those keys, in that order.
    #[must_use]
    pub fn of(keys: &[(&str, Value)], body: &str) -> Self {
        let yaml: String = keys.iter().map(|(key, value)| format!("{key}: {}\n", value.render())).collect();
        let text = format!("---\n{yaml}---\n{body}");
        Self::parse(text.as_bytes()).expect("keys are words and values are rendered as YAML")
    }

    /// Reads a whole file.
    ///
    /// # Errors
    ///
    /// If its front matter is missing, has no end within [`FRONT_LIMIT`], or is not one level of unique keys in YAML.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        Self::parse_head(bytes, true)?.ok_or_else(no_end)
    }

    /// Reads the beginning of a file: `None` if the end of its front matter may still come. `whole` says that there is
    /// no more of the file.
    pub(crate) fn parse_head(bytes: &[u8], whole: bool) -> Result<Option<Self>, Fault> {
        let Some(marks) = Marks::find(bytes, whole)? else { return Ok(None) };
        let text = |range: Range<usize>, line: usize| {
            std::str::from_utf8(&bytes[range.clone()]).map(ToOwned::to_owned).map_err(|error| {
                let before = &bytes[range.start..range.start + error.valid_up_to()];
                Fault::new(line + before.iter().filter(|b| **b == b'\n').count(), "the front matter is not UTF-8")
            })
        };
        let (open, yaml) = (text(0..marks.yaml.start, 1)?, text(marks.yaml.clone(), 2)?);
        let close = text(marks.yaml.end..marks.body, 2)?;
        let entries = scan(&yaml)?;
        Ok(Some(Self { open, yaml, entries, close, body: bytes[marks.body..].to_vec() }))
    }

    /// The file.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.open.as_bytes(), self.yaml.as_bytes(), self.close.as_bytes(), &self.body].concat()
    }

    /// The keys, in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.key.as_str())
    }

    /// The value of a key, if it is a text, a number or the like; those as they are written. One that is left empty is
    /// no value.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.entry(key)?.text()
    }

    /// The value of a key as a list of texts; a single text is a list of one.
    #[must_use]
    pub fn list(&self, key: &str) -> Vec<&str> {
        self.entry(key).map(Entry::list).unwrap_or_default()
    }

    /// What stands after the front matter.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Gives it another body.
    pub fn set_body(&mut self, body: Vec<u8>) {
        self.body = body;
    }

    /// Sets a key; a new one comes last.
    ///
    /// # Errors
    ///
    /// If that would change another key too, as where the old value has an anchor. Nothing is changed then.
    pub fn set(&mut self, key: &str, value: &Value) -> Result<(), Fault> {
        let mut yaml = self.yaml.clone();
        match self.entry(key) {
            Some(entry) => entry.replace(&mut yaml, &value.render())?,
            None => {
                let indent = self.entries.first().map_or(0, |entry| entry.indent);
                yaml.push_str(&format!("{:indent$}{key}: {}{}", "", value.render(), self.line_end()));
            }
        }
        // The proof that the edit did what it should: everything is read again.
        let broken = |why: String| {
            let line = self.entry(key).map_or(1, |entry| entry.line);
            Fault::new(line, format!("{key} cannot be set without changing more: {why}"))
        };
        let entries = scan(&yaml).map_err(|fault| broken(fault.why))?;
        let others = |all: &[Entry]| -> Vec<(String, value::Shape)> {
            all.iter().filter(|e| e.key != key).map(|e| (e.key.clone(), e.shape.clone())).collect()
        };
        if others(&entries) != others(&self.entries) {
            return Err(broken("another key would read differently".into()));
        }
        let is = |entry: &Entry| entry.key == key && value.reads_as(&entry.shape);
        if !entries.iter().any(is) {
            return Err(broken("it would not be read back".into()));
        }
        (self.yaml, self.entries) = (yaml, entries);
        Ok(())
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// How lines end in the front matter.
    fn line_end(&self) -> &'static str {
        if self.open.ends_with("\r\n") { "\r\n" } else { "\n" }
    }
}

/// Where the parts of a file are.
struct Marks {
    yaml: Range<usize>,
    body: usize,
}

impl Marks {
    fn find(bytes: &[u8], whole: bool) -> Result<Option<Self>, Fault> {
        let bom = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
        let mut lines = bytes[bom..].split_inclusive(|b| *b == b'\n');
        let mut at = bom;
        let first = lines.next().unwrap_or_default();
        if !is_mark(first) || (!first.ends_with(b"\n") && whole) {
            return if whole || first.ends_with(b"\n") || first.len() > 1024 {
                Err(Fault::new(1, "there is no front matter: a note begins with a line `---`"))
            } else {
                Ok(None)
            };
        }
        at += first.len();
        let start = at;
        for line in lines {
            if at - start > FRONT_LIMIT {
                return Err(too_long());
            }
            if is_mark(line) && (whole || line.ends_with(b"\n")) {
                return Ok(Some(Self { yaml: start..at, body: at + line.len() }));
            }
            at += line.len();
        }
        if at - start > FRONT_LIMIT {
            return Err(too_long());
        }
        if whole { Err(no_end()) } else { Ok(None) }
    }
}

fn is_mark(line: &[u8]) -> bool {
    line.strip_prefix(b"---").is_some_and(|rest| rest.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')))
}

fn no_end() -> Fault {
    Fault::new(1, "the front matter has no end: a line `---` is missing")
}

fn too_long() -> Fault {
    Fault::new(1, format!("the front matter has no end within {FRONT_LIMIT} bytes"))
}
