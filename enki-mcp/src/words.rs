//! The status words of steps.

use schemars::JsonSchema;
use serde::Deserialize;

/// Status of a step.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StepStatus {
    Pending,
    Ready,
    Blocked,
    Paused,
    Running,
    Merging,
    Done,
    Failed,
    Cancelled,
}

impl StepStatus {
    pub(crate) const ALL: [Self; 9] = [
        Self::Pending,
        Self::Ready,
        Self::Blocked,
        Self::Paused,
        Self::Running,
        Self::Merging,
        Self::Done,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The word that [`enki_core::execution::Execution::word`] gives.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Blocked => "blocked",
            Self::Paused => "paused",
            Self::Running => "running",
            Self::Merging => "merging",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}
