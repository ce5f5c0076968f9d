//! What a call is answered with, as it travels between processes.

use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// The answer of a call.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "answer")]
pub enum Answer {
    /// It is done, or looked up.
    Done {
        /// For a model to read.
        text: String,
        /// The same for programs.
        value: Value,
    },
    /// It could not be done, and nothing changed.
    Failed {
        /// For a model to read.
        text: String,
        /// The same for programs.
        value: Value,
    },
    /// The call is not one: no such tool, or arguments that do not fit its schema.
    Invalid {
        /// What is wrong.
        text: String,
    },
    /// Whoever holds that token calls too often. Nothing was done.
    TooMany {
        /// When the next call may be made, in milliseconds from now.
        wait_ms: u64,
    },
}

impl Answer {
    /// A call that has to wait that long.
    pub(crate) fn too_many(wait: Duration) -> Self {
        Self::TooMany { wait_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1) }
    }

    /// The same as text and as a structured object.
    pub(crate) fn of<T: Serialize>(answer: Result<T, Failure>, text: impl FnOnce(&T) -> String) -> Self {
        match answer {
            Ok(value) => Self::Done {
                text: text(&value),
                value: serde_json::to_value(value).expect("answers have text keys and no failing serializers"),
            },
            Err(failure) => failure.into(),
        }
    }
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        Self::Failed { text: failure.text(), value: json!({ "error": failure }) }
    }
}
