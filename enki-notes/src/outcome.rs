//! Results: what became of a task's run.

use crate::capture::{NewCapture, Source};
use crate::front::{Document, Value};
use crate::kind::{Kind, ResultStatus};
use crate::log::Naming;
use crate::name::{Micros, NotePath};
use crate::section;
use std::ops::Range;
use std::time::Duration;

/// A result that is to be written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewResult {
    /// What the task was about.
    pub title: String,
    /// The number of its last attempt. Two ends within a second differ by it.
    pub attempt: u32,
    /// How it ended.
    pub status: ResultStatus,
    /// The task.
    pub task: NotePath,
    /// The note that the task was made of.
    pub source_note: Option<String>,
    /// The execution.
    pub queue_id: String,
    /// Which task of the execution it was, from 1, if it had several.
    pub part: Option<usize>,
    /// The model that did it.
    pub model: String,
    /// The agent's session.
    pub session: String,
    /// How long it took.
    pub duration: Duration,
    /// How many steps it had.
    pub steps: usize,
    /// What landed.
    pub commit: Option<String>,
    /// Why it did not succeed, in a line.
    pub failure: Option<String>,
    /// What may be done about that, in a line each.
    pub advice: Vec<String>,
    /// The output.
    pub summary: String,
    /// What was changed.
    pub changes: String,
    /// What it was checked by.
    pub validation: String,
    /// Decisions that are a person's, one each.
    pub proposals: Vec<String>,
    /// Where the transcript is.
    pub transcript: String,
}

impl NewResult {
    /// The result of that task's execution, about which nothing more is known.
    #[must_use]
    pub fn new(title: impl Into<String>, status: ResultStatus, task: NotePath, queue_id: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            attempt: 1,
            status,
            task,
            source_note: None,
            queue_id: queue_id.into(),
            part: None,
            model: String::new(),
            session: String::new(),
            duration: Duration::ZERO,
            steps: 1,
            commit: None,
            failure: None,
            advice: Vec::new(),
            summary: String::new(),
            changes: String::new(),
            validation: String::new(),
            proposals: Vec::new(),
            transcript: String::new(),
        }
    }

    pub(crate) fn render(&self, naming: &Naming<'_>) -> Document {
        let mut keys = vec![
            ("title", Value::text(&self.title)),
            ("date", Value::bare(naming.at.date())),
            ("timestamp", Value::bare(naming.at.iso())),
            ("status", Value::text(self.status.as_str())),
            ("task", Value::text(self.task.as_str())),
        ];
        if let Some(source) = &self.source_note {
            keys.push(("source_note", Value::text(source)));
        }
        keys.extend([
            ("queue_id", Value::text(&self.queue_id)),
            ("model", Value::text(&self.model)),
            ("session", Value::text(&self.session)),
            ("duration_s", Value::bare(format!("{:.1}", self.duration.as_secs_f64()))),
            ("steps", Value::bare(self.steps.to_string())),
        ]);
        if let Some(commit) = &self.commit {
            keys.push(("commit", Value::text(commit)));
        }
        keys.push(("tags", Value::list(["result"])));
        let proposals: Vec<String> = self.proposals.iter().map(|one| format!("- [ ] {}", line(one))).collect();
        let sections = [
            ("Summary", section::quoted(&self.summary)),
            ("Changes", self.changes.clone()),
            ("Validation", self.validation.clone()),
            ("Proposals", proposals.join("\n")),
            ("Transcript", self.transcript.clone()),
        ];
        let one = |(name, text): (&str, String)| match text.trim() {
            "" => format!("\n## {name}\n"),
            text => format!("\n## {name}\n\n{text}\n"),
        };
        let mut document = Document::of(&keys, "");
        document.set_body(sections.map(one).concat().into_bytes());
        document
    }

    /// What tells its notes from those of others, in their names.
    pub(crate) fn slug(&self) -> String {
        self.part.map_or_else(|| self.queue_id.clone(), |part| format!("{}-{part}", self.queue_id))
    }

    /// How it went, in a line: with what, for how long, and why not.
    fn outcome(&self) -> String {
        let word = match self.status {
            ResultStatus::Done => COMPLETED,
            ResultStatus::Failed => FAILED,
            ResultStatus::Timeout => TIMED_OUT,
            ResultStatus::Cancelled => CANCELLED,
        };
        let model = if self.model.is_empty() { "not known" } else { &self.model };
        let line = format!("{word} {:.1}s ({} steps, model: {model})", self.duration.as_secs_f64(), self.steps);
        match &self.failure {
            Some(why) => format!("{line}: {}", self::line(why)),
            None => line,
        }
    }

    /// What stands under `## Result` of the task. [`of_task`] finds it again.
    pub(crate) fn of_task(&self, result: &NotePath) -> String {
        let session = if self.session.is_empty() { String::new() } else { format!("{SESSION}{}.\n", self.session) };
        let output = section::quoted(&self.summary);
        let gap = if output.is_empty() { "" } else { ":\n\n" };
        format!("{}\n\n{session}{RESULT}`{result}`{gap}{output}", self.outcome())
    }

    /// What stands in the activity log.
    pub(crate) fn activity(&self, at: Micros, project: &str, result: &NotePath) -> String {
        let model = if self.model.is_empty() { "-" } else { &self.model };
        let last = self.summary.trim().rsplit("\n\n").next().unwrap_or_default();
        let last = &last[..last.floor_char_boundary(PARAGRAPH)];
        let said = section::quoted(last);
        let said = if said.is_empty() { self.outcome() } else { format!("{}\n\n{said}", self.outcome()) };
        let session = if self.session.is_empty() { "-" } else { &self.session };
        format!(
            "## {} | {project} | {model} | {} steps\n\n{said}\n\nsession {session}, task `{}`, result `{result}`\n",
            at.minute(),
            self.steps,
            self.task
        )
    }

    /// The issue that is filed if it did not succeed by itself; none if it did, or if somebody gave it up.
    pub(crate) fn issue(&self, project: &str) -> Option<NewCapture> {
        if !matches!(self.status, ResultStatus::Failed | ResultStatus::Timeout) {
            return None;
        }
        let known = |text: &str| if text.is_empty() { "not known".to_owned() } else { text.to_owned() };
        let facts = [
            ("task", format!("`{}`", self.task)),
            ("project", project.to_owned()),
            ("model", known(&self.model)),
            ("duration", format!("{:.1}s", self.duration.as_secs_f64())),
            ("steps", self.steps.to_string()),
            ("session", known(&self.session)),
            ("transcript", known(&self.transcript)),
        ];
        let facts: Vec<String> = facts.into_iter().map(|(name, value)| format!("- {name}: {value}")).collect();
        let advice: Vec<String> = self.advice.iter().map(|one| format!("- {one}")).collect();
        let mut text = format!("Execution failed: {}\n\n{}\n\n{}", line(&self.title), self.outcome(), facts.join("\n"));
        if !advice.is_empty() {
            text = format!("{text}\n\nWhat may be done:\n\n{}", advice.join("\n"));
        }
        let mut issue = NewCapture::new(text);
        (issue.kind, issue.source) = (Some(Kind::Issue), Source::AgentExecution);
        Some(issue)
    }
}

const COMPLETED: &str = "Completed in";
const FAILED: &str = "Failed after";
const TIMED_OUT: &str = "Timed out after";
const CANCELLED: &str = "Cancelled after";
const SESSION: &str = "Session ";
const RESULT: &str = "Result: ";

/// Where, in a text, that stands which an earlier end of the task put under `## Result`. What is before and behind it is a
/// person's.
pub(crate) fn of_task(content: &[u8]) -> Option<Range<usize>> {
    let mut found: Option<Range<usize>> = None;
    let (mut at, mut named, mut said) = (0, None, false);
    for line in content.split_inclusive(|b| *b == b'\n') {
        let start = at;
        at += line.len();
        let line = line.trim_ascii_end();
        let empty = line.is_empty();
        match (&mut found, named) {
            (None, _) => {
                let begins =
                    [COMPLETED, FAILED, TIMED_OUT, CANCELLED].iter().any(|word| line.starts_with(word.as_bytes()));
                if begins && line.windows(STEPS.len()).any(|part| part == STEPS) {
                    found = Some(start..start + line.len());
                }
            }
            (Some(block), None) => {
                if line.starts_with(RESULT.as_bytes()) {
                    named = Some(line.ends_with(b":"));
                } else if !empty && !line.starts_with(SESSION.as_bytes()) {
                    break;
                }
                if !empty {
                    block.end = start + line.len();
                }
            }
            (Some(_), Some(false)) => break,
            // The output is one quote.
            (Some(block), Some(true)) => {
                if line.starts_with(b">") {
                    (block.end, said) = (start + line.len(), true);
                } else if said || !empty {
                    break;
                }
            }
        }
    }
    found
}

const STEPS: &[u8] = b" steps, model: ";

/// How much of the last paragraph the activity log has, in bytes.
const PARAGRAPH: usize = 4096;

/// A text on one line.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace(char::is_control, "\u{fffd}")
}
