//! Captures: observations that are not yet work.

use crate::classify::{Confidence, classify};
use crate::front::{Document, Value};
use crate::kind::{CaptureStatus, Kind};
use crate::log::Naming;
use crate::name::NotePath;
use crate::section;

/// Where a capture comes from.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Source {
    /// An agent noticed it.
    #[default]
    AgentObservation,
    /// It was said in a conversation.
    Conversation,
    /// It came up while something was carried out.
    AgentExecution,
    /// It was spoken.
    Voice,
}

impl Source {
    /// The word in the note.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AgentObservation => "agent-observation",
            Self::Conversation => "conversation",
            Self::AgentExecution => "agent-execution",
            Self::Voice => "voice",
        }
    }

    /// The source of that word.
    #[must_use]
    pub fn read(word: &str) -> Option<Self> {
        [Self::AgentObservation, Self::Conversation, Self::AgentExecution, Self::Voice]
            .into_iter()
            .find(|source| source.as_str() == word)
    }
}

/// A capture that is to be written.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct NewCapture {
    /// What was observed; its first line is the title.
    pub text: String,
    /// Which of the kinds of captures; by [`classify`] if it is left out.
    pub kind: Option<Kind>,
    /// Where it comes from.
    pub source: Source,
    /// Tags beside the kind.
    pub tags: Vec<String>,
    /// The transcript in which it was said.
    pub transcript_file: Option<String>,
    /// The stream it is about.
    pub stream: Option<String>,
    /// The task at which it was noticed.
    pub task_id: Option<String>,
    /// What was going on, such as the last commits: a section of its own.
    pub context: Option<String>,
}

impl NewCapture {
    /// A capture of that text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Its kind, and how sure that is.
    #[must_use]
    pub fn kind(&self) -> (Kind, Confidence) {
        self.kind.map_or_else(|| classify(&self.text), |kind| (kind, Confidence::Given))
    }

    /// The note.
    pub(crate) fn render(&self, naming: &Naming<'_>, related: &[NotePath]) -> Document {
        let (kind, confidence) = self.kind();
        let now = Value::bare(naming.at.iso());
        let tags = std::iter::once(kind.as_str()).chain(self.tags.iter().map(String::as_str));
        let mut keys = vec![
            ("title", Value::text(title(&self.text))),
            ("status", Value::text(CaptureStatus::Open.as_str())),
            ("created", now.clone()),
            ("updated", now.clone()),
            ("timestamp", now),
            ("tags", Value::list(tags)),
            ("source", Value::text(self.source.as_str())),
            ("project_primary", Value::text(naming.project)),
            ("capture_id", Value::text(&naming.id)),
            ("confidence", Value::bare(confidence.as_str())),
        ];
        let more = [("transcript_file", &self.transcript_file), ("stream", &self.stream), ("task_id", &self.task_id)];
        keys.extend(more.into_iter().filter_map(|(key, value)| Some((key, Value::text(value.as_ref()?)))));
        let mut body = format!("\n{}\n", self.text.trim_end()).into_bytes();
        if let Some(context) = &self.context {
            body = section::with(&body, section::CAPTURE, "Source context", context);
        }
        if !related.is_empty() {
            let links: Vec<String> = related.iter().map(|path| format!("- {path}")).collect();
            body = section::with(&body, section::CAPTURE, "Related Notes", &links.join("\n"));
        }
        let mut document = Document::of(&keys, "");
        document.set_body(body);
        document
    }
}

/// The first line that says something, at most 80 characters of it, without the mark of a heading.
#[must_use]
pub fn title(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let line = line.trim_start_matches('#').strip_prefix(' ').unwrap_or(line);
    line.chars().filter(|c| !c.is_control()).take(80).collect::<String>().trim_end().to_owned()
}

/// What a capture says: its body, without what Enki put after it.
pub(crate) fn text(document: &Document) -> String {
    let body = document.body();
    String::from_utf8_lossy(&body[..section::first(body, section::CAPTURE)]).trim().to_owned()
}

/// The same with another text.
pub(crate) fn with_text(document: &mut Document, text: &str) {
    let body = document.body();
    let rest = &body[section::first(body, section::CAPTURE)..];
    let gap = if rest.is_empty() { "" } else { "\n" };
    let body = [format!("\n{}\n{gap}", text.trim_end()).as_bytes(), rest].concat();
    document.set_body(body);
}
