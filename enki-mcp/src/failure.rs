//! What a tool answers when it cannot do what was asked: for the model to read, and to do better.

use crate::text::visible;
use enki_core::driver::DriverError;
use enki_core::engine::Rejected as EngineRejected;
use enki_core::execution::Rejected;
use enki_core::store::StoreErrorKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a call could not be done. Nothing changed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Failure {
    code: Code,
    /// What is wrong.
    message: String,
    /// What to do next.
    hint: String,
    /// Full ids that may have been meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    candidates: Vec<String>,
}

/// What kind of failure it is, as other programs see it. The names are stable.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
#[expect(missing_docs, reason = "the variants are the codes of that name, documented in docs/mcp.md")]
pub enum Code {
    NotFound,
    AmbiguousTaskSelection,
    ValidationError,
    PlanInvalid,
    RequestIdConflict,
    InvalidState,
    DependencyFailed,
    ApprovalRequired,
    NotAllowed,
    Stale,
    SafetyBlocked,
    Environment,
    Locked,
    Unavailable,
}

impl Failure {
    /// A failure with what to do about it.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: hint.into(), candidates: Vec::new() }
    }

    /// The same with full ids that may have been meant.
    #[must_use]
    pub fn with_candidates(self, candidates: impl IntoIterator<Item = String>) -> Self {
        Self { candidates: candidates.into_iter().collect(), ..self }
    }

    /// What kind it is.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// What to do next.
    pub(crate) fn hint(&self) -> &str {
        &self.hint
    }

    /// No execution has that id.
    pub(crate) fn unknown(text: &str) -> Self {
        let hint = "call enki_status without execution_id for the open ones, or enki_task_list for tasks";
        Self::new(Code::NotFound, format!("no execution {}", quoted(text)), hint)
    }

    /// No task has that id.
    pub(crate) fn unknown_task(text: &str) -> Self {
        let hint = "call enki_task_list for the tasks";
        Self::new(Code::NotFound, format!("no task {}", quoted(text)), hint)
    }

    /// The execution has no such step.
    pub(crate) fn unknown_step(text: &str) -> Self {
        let hint = "call enki_task_list with execution_id for its steps";
        Self::new(Code::NotFound, format!("no step {} in that execution", quoted(text)), hint)
    }

    /// That text cannot be the id of an execution.
    pub(crate) fn not_an_execution(text: &str) -> Self {
        let hint =
            "give the id as enki_status shows it, or at least 4 of its 12 short hex digits, with or without exec-";
        Self::new(Code::ValidationError, format!("{} is not the id of an execution", quoted(text)), hint)
    }

    /// That text cannot be the id of a task.
    pub(crate) fn not_a_task(text: &str) -> Self {
        let hint = "give the id as enki_task_list shows it, or at least 4 of its hex digits, with or without task-";
        Self::new(Code::ValidationError, format!("{} is not the id of a task", quoted(text)), hint)
    }

    /// Several things may be meant.
    pub(crate) fn ambiguous(text: &str, what: &str, number: usize, candidates: Vec<String>) -> Self {
        let message = format!("{} may mean {number} {what}", quoted(text));
        let made = Self::new(Code::AmbiguousTaskSelection, message, "give one of the candidates, or more digits");
        Self { candidates, ..made }
    }

    /// For the model to read.
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![format!("{}; {}", self.message, self.hint)];
        lines.extend(self.candidates.iter().map(|id| format!("  {id}")));
        lines.join("\n")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<DriverError> for Failure {
    fn from(error: DriverError) -> Self {
        let (code, hint) = match &error {
            DriverError::Stopped => {
                (Code::Unavailable, "nothing is lost; start the orchestrator again, then call again")
            }
            DriverError::Plan(_) => (Code::PlanInvalid, "fix the plan and call again; nothing was stored"),
            DriverError::RequestIdConflict { .. } => {
                (Code::RequestIdConflict, "nothing was stored; use a new request_id for another plan")
            }
            DriverError::NotFound(_)
            | DriverError::Rejected(
                EngineRejected::UnknownExecution(_) | EngineRejected::Execution(Rejected::NotFound(_)),
            ) => (Code::NotFound, "call enki_status or enki_task_list for what there is"),
            DriverError::Ambiguous { .. } => (Code::AmbiguousTaskSelection, "nothing was stored"),
            DriverError::Rejected(EngineRejected::Execution(Rejected::DependencyFailed { .. })) => {
                (Code::DependencyFailed, "nothing was added")
            }
            DriverError::Rejected(EngineRejected::Cycle(_)) => (Code::PlanInvalid, "nothing was stored"),
            DriverError::Rejected(_) => (Code::InvalidState, "nothing changed; enki_status shows the state"),
            DriverError::Store(store) if matches!(store.kind, StoreErrorKind::LeaseLost(_)) => {
                (Code::Locked, "another orchestrator drives the project now; call again")
            }
            _ => (
                Code::Unavailable,
                "nothing changed; call again, and if it goes on tell the person who runs the orchestrator",
            ),
        };
        let text = match &error {
            // Our own lines, one a problem.
            DriverError::Plan(problems) => {
                problems.0.iter().map(|problem| visible(&problem.to_string())).collect::<Vec<_>>().join("\n")
            }
            error => visible(&error.to_string()),
        };
        Self::new(code, text, hint)
    }
}

/// The caller's words, shortened and on one line.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(60).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    format!("\"{}\"", visible(&shown))
}
