//! The typed commands that `enki_call` knows: names, kinds, inputs, and who may use which.

use crate::role::Role;
use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Command {
    /// Its name.
    pub(crate) name: &'static str,
    /// It needs a session.
    pub(crate) session: bool,
    /// It changes something.
    pub(crate) changes: bool,
    /// It is a durable transition: called directly, never inside another.
    pub(crate) durable: bool,
    /// What does it; `None` for one that is not there in this version, whose rules hold all the same.
    pub(crate) does: Option<Does>,
    /// What it is for, in one line.
    pub(crate) about: &'static str,
}

/// What does a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Does {
    Diff,
    Context,
    Traces,
    Batch,
}

const fn there(name: &'static str, session: bool, does: Does, about: &'static str) -> Command {
    Command { name, session, changes: false, durable: false, does: Some(does), about }
}

const fn later(name: &'static str, session: bool, changes: bool, durable: bool) -> Command {
    Command { name, session, changes, durable, does: None, about: "not there in this version" }
}

/// All commands, by name.
pub(crate) const COMMANDS: &[Command] = &[
    there("batch", false, Does::Batch, "Calls several commands, one after another or, where they say so, at once."),
    later("code.run", true, false, false),
    there("context.search", false, Does::Context, "Finds what is remembered and what steps put out, by words."),
    later("decide.mark", true, false, false),
    later("decide.next", true, false, false),
    later("decide.score", true, false, false),
    there(
        "git.diff",
        true,
        Does::Diff,
        "What the workspace differs in from what it was made from, new files included.",
    ),
    later("review.run", true, false, false),
    later("stream.context", false, false, false),
    later("stream.list", false, false, false),
    later("stream.sync", false, true, true),
    later("task.cleanup", false, true, true),
    later("task.exec", true, false, false),
    later("task.finish", true, true, true),
    later("task.merge", false, true, true),
    later("task.pr", true, true, true),
    later("task.push", true, true, true),
    later("task.start", false, true, false),
    there("trace.search", false, Does::Traces, "Finds calls that were made, refused ones too, newest first."),
    later("verify", true, false, false),
];

impl Command {
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        COMMANDS.iter().find(|command| command.name == name)
    }

    /// Whether callers of that role may use it, in a session that is theirs.
    pub(crate) const fn allowed(&self, role: Role) -> bool {
        match role {
            Role::Coordinator => true,
            // Whoever works on one step starts, ships and cleans nothing.
            Role::Worker => !self.durable && !self.changes,
            _ => false,
        }
    }

    pub(crate) fn input(&self) -> Value {
        match self.does {
            Some(Does::Diff) => schema_for!(DiffInput).to_value(),
            Some(Does::Context) => schema_for!(ContextInput).to_value(),
            Some(Does::Traces) => schema_for!(TraceInput).to_value(),
            Some(Does::Batch) => schema_for!(BatchInput).to_value(),
            None => Value::Null,
        }
    }
}

/// The input of `git.diff`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct DiffInput {
    /// The session's branch; it may be left out.
    pub(crate) branch: Option<String>,
    /// Repeats the session.
    pub(crate) task_session: Option<String>,
    /// Against this commit, in full, instead of what the workspace was made from.
    pub(crate) base: Option<String>,
    /// Only the totals, no names of files.
    pub(crate) stat: bool,
    /// Only these files and folders, relative to the workspace.
    pub(crate) files: Vec<String>,
    /// Also where in the files the changes are.
    pub(crate) hunks: bool,
    /// Also the changes themselves.
    pub(crate) patch: bool,
    /// Most bytes of the patch: 65,536, and at most 262,144.
    pub(crate) max_bytes: Option<u64>,
}

/// The input of `context.search`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ContextInput {
    /// The session's branch; it may be left out.
    pub(crate) branch: Option<String>,
    /// Repeats the session.
    pub(crate) task_session: Option<String>,
    /// Words; any of them may fit. Needed.
    pub(crate) query: String,
    /// Only these: result, decision, pattern, failure, preference.
    pub(crate) kinds: Vec<String>,
    /// At most so many: 10, and at most 100.
    pub(crate) limit: Option<usize>,
}

/// The input of `trace.search`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct TraceInput {
    /// The session's branch; it may be left out.
    pub(crate) branch: Option<String>,
    /// Of this session alone.
    pub(crate) task_session: Option<String>,
    /// Of this tool or command alone.
    pub(crate) tool: Option<String>,
    /// With this code alone, or `ok`, or `failed`.
    pub(crate) status: Option<String>,
    /// From this time on, RFC 3339.
    pub(crate) from: Option<String>,
    /// Up to this time.
    pub(crate) to: Option<String>,
    /// At most so many: 50, and at most 200.
    pub(crate) limit: Option<usize>,
}

/// The input of `batch`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct BatchInput {
    /// The session's branch; it may be left out.
    pub(crate) branch: Option<String>,
    /// Repeats the session.
    pub(crate) task_session: Option<String>,
    /// At most 20 in all, also inside of others. A failure ends the batch.
    #[schemars(with = "Vec<BatchStep>")]
    pub(crate) steps: Vec<Value>,
}

/// A call inside a batch.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct BatchStep {
    /// The command.
    tool: String,
    /// Its input.
    #[serde(default)]
    input: Value,
    /// At the same time as its neighbours that say so too.
    #[serde(default)]
    parallel: bool,
}
