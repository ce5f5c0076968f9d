//! Text files that people write, plans and configuration, read so that every value knows its place.
//!
//! All three formats become one [`Node`] tree with byte spans. Types are checked by serde over that tree, so a
//! problem, whoever finds it, is shown at line and column of the very value it is about.

mod de;
mod json;
mod node;
mod problem;
mod toml;
mod yaml;

pub use de::from_node;
pub use node::{Key, Node, Value};
pub use problem::{Also, Problem, Problems, Severity, Source, visible};

/// Largest accepted file, in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;
/// Deepest accepted nesting of lists and tables.
pub const MAX_DEPTH: usize = 32;
/// Largest accepted number of values, so that a file within [`MAX_BYTES`] stays within tens of megabytes as a tree.
pub const MAX_VALUES: usize = 100_000;

/// A format of text files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// JSON, RFC 8259.
    Json,
    /// TOML 1.1.
    Toml,
    /// YAML 1.2 without anchors, aliases, tags and several documents.
    Yaml,
}

impl Format {
    /// The format a file name's ending stands for.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, ending) = name.rsplit_once('.')?;
        match ending.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "toml" => Some(Self::Toml),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }

    /// The format a text seems to be in, from its first line with content.
    #[must_use]
    pub fn sniff(text: &str) -> Self {
        let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or("");
        let equals = line.find('=');
        if line.starts_with('{') {
            Self::Json
        } else if line.starts_with('[') {
            // A list of values is JSON, a table header is TOML; neither a plan nor a configuration starts with a list.
            if line.ends_with(']') && !line.contains(['"', '{', ',']) { Self::Toml } else { Self::Json }
        } else if equals.is_some() && equals < line.find(':').or(Some(usize::MAX)) {
            Self::Toml
        } else {
            Self::Yaml
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Toml => "TOML",
            Self::Yaml => "YAML",
        }
    }
}

/// Reads a text as a tree.
///
/// # Errors
///
/// The first thing that is not of the format, a value given twice, or a limit passed.
pub fn parse(source: &Source, format: Format) -> Result<Node, Problem> {
    let text = source.text();
    if text.len() > MAX_BYTES {
        return Err(too_large());
    }
    if text.trim().is_empty() {
        return Err(Problem::new(0..0, "the file is empty"));
    }
    let node = match format {
        Format::Json => json::parse(text),
        Format::Toml => toml::parse(text),
        Format::Yaml => yaml::parse(text),
    }
    .map_err(|problem| problem.in_format(format.name()))?;
    Ok(node)
}

/// The problem of a file larger than [`MAX_BYTES`].
#[must_use]
pub fn too_large() -> Problem {
    Problem::new(0..0, "the file is larger than the limit of 1 MiB").help("split it, or shorten its texts")
}

fn too_deep(at: usize) -> Problem {
    Problem::new(at..at + 1, format!("nested deeper than the limit of {MAX_DEPTH}")).help("use fewer levels")
}

fn too_many(at: usize) -> Problem {
    Problem::new(at..at + 1, format!("more values than the limit of {MAX_VALUES}")).help("split the file")
}

fn twice(key: &str, second: std::ops::Range<usize>, first: std::ops::Range<usize>) -> Problem {
    Problem::new(second, format!("the key {key:?} is given twice"))
        .label("again here")
        .also(first, "first given here")
        .help("remove one of them")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_of_a_text_is_seen_in_its_first_line() {
        for (text, format) in [
            ("{\"steps\": []}", Format::Json),
            ("[]", Format::Toml),
            ("[\"a\"]", Format::Json),
            ("# plan\n\nschema = \"enki.plan.v1\"", Format::Toml),
            ("[[steps]]\nid = \"a\"", Format::Toml),
            ("title: a = b", Format::Yaml),
            ("---\nsteps: []", Format::Yaml),
        ] {
            assert_eq!(Format::sniff(text), format, "{text}");
        }
    }

    #[test]
    fn nesting_beyond_the_limit_overflows_no_stack() {
        for (format, text) in [
            (Format::Json, "[".repeat(100_000)),
            (Format::Json, "{\"a\":".repeat(100_000)),
            (Format::Toml, format!("a = {}", "[".repeat(100_000))),
            (Format::Toml, format!("a = {}", "{b=".repeat(100_000))),
            (Format::Toml, format!("a{} = 1", ".a".repeat(100_000))),
            (Format::Toml, format!("[a{}]", ".a".repeat(100_000))),
            (Format::Yaml, "[".repeat(100_000)),
            (Format::Yaml, "- ".repeat(100_000)),
            (Format::Yaml, "? ".repeat(100_000)),
        ] {
            let problem = parse(&Source::new("f", text), format).unwrap_err();
            let said = problem.message.contains("nested deeper") || problem.message.contains("more values");
            assert!(said, "{format:?}: {}", problem.message);
        }
    }

    #[test]
    fn more_values_than_the_limit_are_refused() {
        for (format, text) in [
            (Format::Json, format!("[{}0]", "0,".repeat(MAX_VALUES))),
            (Format::Toml, format!("a = [{}0]", "0,".repeat(MAX_VALUES))),
            (Format::Yaml, format!("[{}0]", "0,".repeat(MAX_VALUES))),
        ] {
            let problem = parse(&Source::new("f", text), format).unwrap_err();
            assert!(problem.message.contains("more values"), "{format:?}: {}", problem.message);
        }
    }
}
