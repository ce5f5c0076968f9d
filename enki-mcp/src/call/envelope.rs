//! The envelope: what every answer of a command looks like, also of one that failed, took too long or broke.

use super::code::CallCode;
use crate::failure::Failure;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// The revision of the envelope.
const API: &str = "1.0.0";

/// What became of a call.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Envelope {
    /// When it was answered.
    pub(crate) now: String,
    /// Whether the code is OK or DRY_RUN.
    pub(crate) ok: bool,
    pub(crate) code: CallCode,
    pub(crate) message: String,
    /// What the command gave; an object, empty if it gave nothing.
    pub(crate) data: Value,
    pub(crate) stderr: String,
    /// 0 exactly when it is ok.
    pub(crate) exit_code: i16,
    pub(crate) duration_ms: u64,
    pub(crate) trace_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request_id: Option<String>,
    /// What a code that is not in the list was called, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
    pub(crate) api_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) task_context: Option<TaskContext>,
}

/// The session that a call was made in.
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskContext {
    /// The id of the task.
    pub(crate) task_session: String,
    pub(crate) branch: String,
    pub(crate) worktree: String,
    /// Sessions of terminals are none of Enki's: always null.
    pub(crate) tmux_session: Option<String>,
    pub(crate) source: &'static str,
}

/// Why a command gave nothing.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) code: CallCode,
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
    /// What it gave all the same: of a batch, the answers up to there.
    pub(crate) data: Value,
}

impl Refused {
    pub(crate) fn new(code: CallCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), detail: None, data: Value::Object(serde_json::Map::new()) }
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        let (code, outside) = CallCode::of(failure.code());
        let detail = match outside {
            Some(name) => format!("{name}: {}", failure.hint()),
            None => failure.hint().to_owned(),
        };
        Self { detail: Some(detail), ..Self::new(code, failure.to_string()) }
    }
}

impl Envelope {
    pub(crate) fn of(answer: Result<Value, Refused>) -> Self {
        let (code, message, detail, data) = match answer {
            Ok(data) => (CallCode::Ok, String::new(), None, data),
            Err(Refused { code, message, detail, data }) => (code, message, detail, data),
        };
        Self {
            now: String::new(),
            ok: code.is_ok(),
            code,
            message,
            data,
            stderr: String::new(),
            exit_code: code.in_envelope(),
            duration_ms: 0,
            trace_id: String::new(),
            request_id: None,
            detail,
            api_version: API,
            task_context: None,
        }
    }

    /// For the model to read.
    pub(crate) fn text(&self) -> String {
        match &self.detail {
            _ if self.ok => format!("{} ({})", self.data, self.trace_id),
            Some(detail) => format!("{}: {}; {detail} ({})", self.code.as_str(), self.message, self.trace_id),
            None => format!("{}: {} ({})", self.code.as_str(), self.message, self.trace_id),
        }
    }
}
