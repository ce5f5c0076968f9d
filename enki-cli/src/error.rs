//! What a command that did not succeed says.

use crate::exit::Exit;
use crate::plan_file::Fault;
use crate::source::{Problems, visible};
use serde_json::{Value, json};
use std::fmt;

/// An error with its exit code and what to do about it.
#[derive(Debug)]
pub struct CliError {
    /// How the process ends.
    pub exit: Exit,
    /// What was attempted, on what, and why it did not work.
    pub message: String,
    /// What to do next. Never a command that destroys work.
    pub hint: Option<String>,
    /// Problems with a text, drawn before the message.
    pub problems: Option<Box<Problems>>,
    /// Problems with steps whose text somebody else has. The message tells them too.
    pub faults: Vec<Fault>,
    /// What a tool of the server calls it, where a tool said it.
    pub code: Option<enki_mcp::Code>,
}

impl CliError {
    /// An error of that kind.
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, problems: None, faults: Vec::new(), code: None }
    }

    /// Wrong arguments, configuration or plan.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Something outside Enki.
    #[must_use]
    pub fn environment(message: impl Into<String>) -> Self {
        Self::new(Exit::Environment, message)
    }

    /// The reader went away. Nothing is said.
    #[must_use]
    pub fn pipe_closed() -> Self {
        Self::new(Exit::PipeClosed, "")
    }

    /// The same with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Problems with a text that stop a command.
    #[must_use]
    pub fn problems(problems: Problems, hint: &str) -> Self {
        let (errors, _) = problems.count();
        let things = if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") };
        let message = format!("{}: {things}", problems.source.name());
        Self { problems: Some(Box::new(problems)), ..Self::usage(message).hint(hint) }
    }

    /// For people, as several lines.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let mut out = String::new();
        if let Some(problems) = &self.problems {
            out.push_str(&problems.render(color));
            out.push_str("\n\n");
        }
        let (red, bold, reset) = if color { ("\u{1b}[1;31m", "\u{1b}[1m", "\u{1b}[0m") } else { ("", "", "") };
        out.push_str(&format!("{red}error{reset}: {}\n", lines(&self.message)));
        if let Some(hint) = &self.hint {
            out.push_str(&format!("{bold}hint{reset}: {}\n", lines(hint)));
        }
        out
    }

    /// For programs: `enki.error.v1`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut value = json!({"schema": "enki.error.v1", "code": self.exit.code(), "name": self.exit.name(),
            "message": self.message, "hint": self.hint});
        if let Some(problems) = &self.problems {
            value["problems"] = problems.to_json();
        }
        value
    }
}

/// Our own line breaks stay, every other control character becomes visible.
fn lines(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n")
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliError {}

/// An error with the texts of all that caused it.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        out.push_str(": ");
        out.push_str(&cause.to_string());
        source = cause.source();
    }
    out
}
