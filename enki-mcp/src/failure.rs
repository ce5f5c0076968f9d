//! What a tool answers when it cannot do what was asked: for the model to read, and to do better.

use crate::text::visible;
use enki_core::driver::DriverError;
use schemars::JsonSchema;
use serde::Serialize;

/// The answer of a call that could not be done. Nothing changed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Failure {
    code: Code,
    /// What is wrong.
    message: String,
    /// What to do next.
    hint: String,
    /// Full ids that may have been meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    candidates: Vec<String>,
}

/// What kind of failure it is, as other programs see it.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Code {
    NotFound,
    Ambiguous,
    ValidationError,
    Unavailable,
}

impl Failure {
    fn new(code: Code, message: String, hint: &str) -> Self {
        Self { code, message, hint: hint.to_owned(), candidates: Vec::new() }
    }

    /// No execution has that id.
    pub(crate) fn unknown(text: &str) -> Self {
        let hint = "call enki_status without execution_id for the open ones; one that has ended is found by all 32 hex \
                    digits of its id";
        Self::new(Code::NotFound, format!("no execution {}", quoted(text)), hint)
    }

    /// That text cannot be the id of an execution.
    pub(crate) fn not_an_execution(text: &str) -> Self {
        let hint =
            "give the id as enki_status shows it, or at least 4 of its 12 short hex digits, with or without exec-";
        Self::new(Code::ValidationError, format!("{} is not the id of an execution", quoted(text)), hint)
    }

    /// Several executions may be meant.
    pub(crate) fn ambiguous(text: &str, number: usize, candidates: Vec<String>) -> Self {
        let message = format!("{} may mean {number} executions", quoted(text));
        Self { candidates, ..Self::new(Code::Ambiguous, message, "give one of the candidates, or more digits") }
    }

    /// For the model to read.
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![format!("{}; {}", self.message, self.hint)];
        lines.extend(self.candidates.iter().map(|id| format!("  {id}")));
        lines.join("\n")
    }
}

impl From<DriverError> for Failure {
    fn from(error: DriverError) -> Self {
        let hint = match error {
            DriverError::Stopped => "nothing is lost; start the orchestrator again, then call again",
            _ => "nothing changed; call again, and if it goes on tell the person who runs the orchestrator",
        };
        Self::new(Code::Unavailable, visible(&error.to_string()), hint)
    }
}

/// The caller's words, shortened and on one line.
fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    format!("\"{}\"", visible(&shown))
}
