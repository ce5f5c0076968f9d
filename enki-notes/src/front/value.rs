//! Values of keys: as they are read, and as they are written.

/// What a value is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Shape {
    /// A text, number or the like, as written; none if it is left empty.
    Text(String),
    /// A list of such.
    List(Vec<String>),
    /// Anything else, by what it consists of: kept, and compared.
    Other(String),
}

/// A value that is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Value {
    /// A text, in quotes where YAML would read something else.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
    /// A time, number or `true`: without quotes, although a text of that form would have some.
    Bare(Bare),
}

/// What is written without quotes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bare(String);

impl Value {
    /// A text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Such a text, if it is one that stands without quotes: letters, digits, `-`, `.`, `:`, `+`.
    #[must_use]
    pub fn bare(text: impl Into<String>) -> Self {
        let text = text.into();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-.:+".contains(&b);
        let fits = text.bytes().all(plain) && text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if fits && !text.ends_with(':') { Self::Bare(Bare(text)) } else { Self::Text(text) }
    }

    /// A list.
    #[must_use]
    pub fn list<T: Into<String>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }

    /// On one line.
    pub(super) fn render(&self) -> String {
        match self {
            Self::Text(text) => scalar(text),
            Self::Bare(Bare(text)) => text.clone(),
            Self::List(items) => {
                let items: Vec<String> = items.iter().map(|item| scalar(item)).collect();
                format!("[{}]", items.join(", "))
            }
        }
    }

    pub(super) fn reads_as(&self, shape: &Shape) -> bool {
        match (self, shape) {
            (Self::Text(text) | Self::Bare(Bare(text)), Shape::Text(read)) => text == read,
            (Self::List(items), Shape::List(read)) => items == read,
            _ => false,
        }
    }
}

/// Plain where every reader of YAML takes it for a text, else in double quotes with all escapes.
fn scalar(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./ ".contains(&b);
    let word = text.starts_with(|c: char| c.is_ascii_alphabetic()) && !text.ends_with(' ') && text.bytes().all(plain);
    let reserved = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    // Digits with one letter between them may be a number.
    if word && !reserved.iter().any(|other| text.eq_ignore_ascii_case(other)) {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || hidden(c) => match u32::from(c) {
                code @ 0..=0xff => out.push_str(&format!("\\x{code:02x}")),
                code @ 0x100..=0xffff => out.push_str(&format!("\\u{code:04x}")),
                code => out.push_str(&format!("\\U{code:08x}")),
            },
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Breaks lines, turns the direction of writing, or is no text in YAML.
fn hidden(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
        || (u32::from(c) & 0xfffe) == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stands_plain_where_nobody_takes_it_for_something_else() {
        for (text, written) in [
            ("open", "open"),
            ("docs/log/idea/x.md", "docs/log/idea/x.md"),
            ("two words", "two words"),
            ("", "\"\""),
            ("No", "\"No\""),
            ("123456789012", "\"123456789012\""),
            ("12e456789012", "\"12e456789012\""),
            ("a: b # c", "\"a: b # c\""),
            ("ends ", "\"ends \""),
            ("- x", "\"- x\""),
            ("a\n---\nb", "\"a\\n---\\nb\""),
            ("\u{202e}\u{85}\u{0}é\"\\", "\"\\u202e\\x85\\x00é\\\"\\\\\""),
        ] {
            assert_eq!(scalar(text), written);
        }
        assert_eq!(Value::bare("2026-01-31T18:00:00Z").render(), "2026-01-31T18:00:00Z");
        assert_eq!(Value::bare("a: b").render(), "\"a: b\"");
        assert_eq!(Value::list(["a", "b, c"]).render(), "[a, \"b, c\"]");
    }
}
