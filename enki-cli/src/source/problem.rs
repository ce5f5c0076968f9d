//! Problems with a text, shown at their place.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::json;
use std::fmt::Write as _;
use std::ops::Range;

/// A text with the name it is shown under.
#[derive(Clone, Debug)]
pub struct Source {
    name: String,
    text: String,
    drawn: Option<String>,
}

impl Source {
    /// Takes a text. A byte-order mark at its start is dropped.
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let mut text = text.into();
        if text.starts_with('\u{feff}') {
            text.drain(..'\u{feff}'.len_utf8());
        }
        Self { name: name.into(), text, drawn: None }
    }

    /// Takes bytes that shall be UTF-8.
    ///
    /// # Errors
    ///
    /// The text with what is not UTF-8 replaced, and the problem at the first such place.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self, Problems> {
        let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
        String::from_utf8(bytes).map(|text| Self::new(name.into(), text)).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let problem = if utf16 {
                Problem::new(0..0, "the file is UTF-16")
            } else {
                Problem::new(at..at, "the file is not UTF-8 here")
            };
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            Problems { source: Self::new("", text), list: vec![problem.help("save it as UTF-8")] }
        })
    }

    /// The same, drawn with another text of the same shape, in which secrets are masked.
    #[must_use]
    pub fn masked(mut self, mask: impl FnOnce(&str) -> String) -> Self {
        let drawn = mask(&self.text);
        debug_assert_eq!(drawn.len(), self.text.len(), "places must stay the same");
        self.drawn = Some(drawn);
        self
    }

    /// The name it is shown under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text, without a byte-order mark.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Line and column of a byte, both from 1; columns count characters.
    #[must_use]
    pub fn position(&self, byte: usize) -> (usize, usize) {
        let before = &self.text[..self.floor(byte)];
        let line_start = before.rfind('\n').map_or(0, |n| n + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    fn floor(&self, byte: usize) -> usize {
        let mut at = byte.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    /// What of a span is underlined: inside the text, at most to the end of its first line, and never nothing.
    fn shown(&self, span: &Range<usize>) -> Range<usize> {
        let start = self.floor(span.start);
        let line_end = self.text[start..].find(['\n', '\r']).map_or(self.text.len(), |n| start + n);
        let end = self.floor(span.end.max(start)).min(line_end).max(start);
        let next = self.text[start..].chars().next().map_or(start, |c| start + c.len_utf8());
        start..if end == start { next.min(line_end.max(start)) } else { end }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Severity {
    /// It is refused.
    #[default]
    Error,
    /// It is accepted and pointed out.
    Warning,
}

/// Something wrong at one place of a text.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The field it is about, `steps[3].needs[1]`; empty if there is none.
    pub path: Box<str>,
    /// Bytes of the text.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// A few words at the place.
    pub label: Option<Box<str>>,
    /// A second place that is part of it.
    pub also: Option<Box<Also>>,
    /// What to do about it.
    pub help: Option<Box<str>>,
}

/// A second place of a problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Also {
    /// Bytes of the text.
    pub span: Range<usize>,
    /// A few words at the place.
    pub label: String,
}

impl Problem {
    /// An error at that place.
    #[must_use]
    pub fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), ..Self::default() }
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<Box<str>>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with a few words at the place.
    #[must_use]
    pub fn label(mut self, label: impl Into<Box<str>>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// The same with a second place.
    #[must_use]
    pub fn also(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.also = Some(Box::new(Also { span, label: label.into() }));
        self
    }

    /// The same as a warning.
    #[must_use]
    pub fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// The same, saying which format the text was read as, if nothing else says what to do.
    pub(super) fn in_format(mut self, format: &str) -> Self {
        self.help.get_or_insert_with(|| format!("the file was read as {format}").into());
        self
    }
}

/// Problems with one text.
#[derive(Clone, Debug)]
pub struct Problems {
    /// The text.
    pub source: Source,
    /// At least one problem.
    pub list: Vec<Problem>,
}

/// How many problems are drawn; the rest is counted.
const SHOWN: usize = 20;

impl Problems {
    /// The same with the text shown under that name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.source.name);
        self
    }

    /// Draws the problems with the lines they are about, each as compilers do. No control character of the text
    /// reaches the screen.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        let name = visible(&self.source.name);
        let text = drawable(self.source.drawn.as_ref().unwrap_or(&self.source.text));
        for problem in self.list.iter().take(SHOWN) {
            let level = match problem.severity {
                Severity::Error => Level::ERROR,
                Severity::Warning => Level::WARNING,
            };
            let place = AnnotationKind::Primary.span(self.source.shown(&problem.span)).label(problem.label.as_deref());
            let mut snippet = Snippet::source(text.as_str()).path(name.as_str()).annotation(place);
            if let Some(also) = &problem.also {
                let place = AnnotationKind::Context.span(self.source.shown(&also.span)).label(also.label.as_str());
                snippet = snippet.annotation(place);
            }
            let title = match &*problem.path {
                "" => visible(&problem.message),
                path => format!("{path}: {}", visible(&problem.message)),
            };
            let mut group: Group<'_> = level.primary_title(title).element(snippet);
            if let Some(help) = &problem.help {
                group = group.element(Level::HELP.message(visible(help)));
            }
            out.push_str(renderer.render(&[group]).trim_end());
            out.push_str("\n\n");
        }
        if self.list.len() > SHOWN {
            let _ = writeln!(out, "and {} more", self.list.len() - SHOWN);
        }
        out.truncate(out.trim_end().len());
        out
    }

    /// The problems as a JSON list.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let place = |span: &Range<usize>| self.source.position(span.start);
        let one = |problem: &Problem| {
            let (line, column) = place(&problem.span);
            let severity = if problem.severity == Severity::Error { "error" } else { "warning" };
            let mut value = json!({"severity": severity, "path": problem.path, "line": line, "column": column,
                "message": problem.message, "help": problem.help});
            if let Some(also) = &problem.also {
                let (line, column) = place(&also.span);
                value["also"] = json!({"line": line, "column": column, "label": also.label});
            }
            value
        };
        self.list.iter().map(one).collect()
    }

    /// Number of errors and of warnings.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        let errors = self.list.iter().filter(|p| p.severity == Severity::Error).count();
        (errors, self.list.len() - errors)
    }
}

/// The text with what the drawing would pass on to a terminal replaced by signs of the same length in bytes.
fn drawable(text: &str) -> String {
    let sign = |c: char| match c {
        '\u{80}'..='\u{9f}' => '¤',
        '\u{200e}' | '\u{200f}' => '␣',
        c => c,
    };
    text.chars().map(sign).collect()
}

/// A text for the screen: control characters and those that turn the direction of writing become visible escapes.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let source = Source::new("f", "\u{feff}é = 1\r\nb = 2");
        assert_eq!(source.position(0), (1, 1));
        assert_eq!(source.position("é".len()), (1, 2));
        assert_eq!(source.position("é = 1\r\n".len()), (2, 1));
        assert_eq!(source.position(9999), (2, 6));
    }

    #[test]
    fn no_control_character_reaches_the_screen() {
        let text = "title = \"\u{1b}[31m\u{202e}red\u{7}\"\r\n\u{9b}31m";
        for span in [0..5, 9..12, 0..500, 30..31, 22..24] {
            let problem = Problem::new(span, "bad \u{1b}]0;x\u{7} value\n").label("l").help("h\u{1b}");
            let shown = Problems { source: Source::new("a\u{1b}b", text), list: vec![problem] }.render(false);
            assert!(shown.chars().all(|c| c == '\n' || (!c.is_control() && c != '\u{202e}')), "{shown:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_span_of_any_text_is_drawn(text in "\\PC*(\r?\n\\PC*){0,4}", start in 0usize..80, len in 0usize..80) {
            let problem = Problem::new(start..start + len, "m").also(len..start + len, "here");
            let problems = Problems { source: Source::new("f", text), list: vec![problem] };
            proptest::prop_assert!(problems.render(true).contains('m'));
            proptest::prop_assert!(problems.to_json()[0]["line"].as_u64() > Some(0));
        }
    }
}
