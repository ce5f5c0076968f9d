//! `TaskStore`: append-only logs with a projection for lists, and the lease that says who may write.

use crate::id::{ExecutionId, StepId, StepIx, TaskId};
use crate::time::Timestamp;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Keeps logs of events. It never interprets an event's body.
///
/// # Contract
///
/// * **Atomic.** An [`append`](Self::append) is all or nothing over all its logs, events and projections.
/// * **Durable.** What a returned call wrote survives a crash and a loss of power.
/// * **Fenced.** Every write carries its lease; one of an old epoch is refused.
/// * Cancel safety: a dropped call may or may not have taken effect as a whole.
#[async_trait]
pub trait TaskStore: fmt::Debug + Send + Sync {
    /// Appends to one or more logs and gives their new versions, in the order of the batch.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Conflict`] if a log is not at [`Append::expected`], [`StoreErrorKind::LeaseLost`] if the
    /// epoch is old, [`StoreErrorKind::Duplicate`] if a new log's task or short id exists, [`StoreErrorKind::Invalid`]
    /// if an item of the batch breaks a rule of [`Append`]. Nothing is written then.
    async fn append(&self, lease: &Lease, batch: Vec<Append>) -> Result<Vec<Version>, StoreError>;

    /// The events of a log after that version, in order. An unknown log is an empty one.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`] if a row was lost or edited; the sequence number is named.
    async fn load(&self, log: LogId, after: Version) -> Result<Vec<Recorded>, StoreError>;

    /// The executions that match, newest first.
    ///
    /// # Errors
    ///
    /// Only if the store cannot be read.
    async fn list(&self, filter: &ListFilter) -> Result<Vec<Summary>, StoreError>;

    /// What a prefix of at least 4 hex digits of a short id may mean (E30), at most 20 of each kind, `exec-` and
    /// `task-` restricting the kind. All 32 digits of an internal id are accepted too.
    ///
    /// # Errors
    ///
    /// Only if the store cannot be read.
    async fn find(&self, prefix: &str) -> Result<Vec<Found>, StoreError>;

    /// Takes the lease of a scope if it is free, expired, or the holder's own. The epoch grows with each.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Held`] with the holder if somebody else has it.
    async fn acquire(
        &self,
        scope: &str,
        holder: &Holder,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Lease, StoreError>;

    /// Extends a lease that is still ours.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::LeaseLost`] if it is not.
    async fn renew(&self, lease: &Lease, now: Timestamp, until: Timestamp) -> Result<Lease, StoreError>;

    /// Gives a lease back. One that is lost already is no error.
    ///
    /// # Errors
    ///
    /// Only if the store cannot be written.
    async fn release(&self, lease: Lease) -> Result<(), StoreError>;
}

/// What kind of log it is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LogKind {
    /// The life of one execution.
    Execution,
    /// The merge queue of one target branch.
    Queue,
    /// The chains of one outside coordinator.
    Chains,
    /// The messages between agents of one project.
    Mail,
}

impl LogKind {
    /// The word in stored rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Execution => "execution",
            Self::Queue => "queue",
            Self::Chains => "chains",
            Self::Mail => "mail",
        }
    }
}

/// Names a log.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LogId {
    /// What kind of log.
    pub kind: LogKind,
    /// The id inside its kind.
    pub id: u128,
}

impl LogId {
    /// The log of an execution.
    #[must_use]
    pub const fn execution(id: ExecutionId) -> Self {
        Self { kind: LogKind::Execution, id: id.get() }
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:032x}", self.kind.as_str(), self.id)
    }
}

/// Number of events in a log; 0 is an empty one.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u64);

/// The format of an event's body. A newer minor is readable but not writable, a newer major is refused.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Format {
    /// Changes when old readers would misunderstand.
    pub major: u16,
    /// Changes when old readers would miss something.
    pub minor: u16,
}

/// New events of one log, and what its projection shall be.
#[derive(Clone, Debug, PartialEq)]
pub struct Append {
    /// Which log.
    pub log: LogId,
    /// The version it must have.
    pub expected: Version,
    /// When; for display.
    pub at: Timestamp,
    /// The format of the bodies.
    pub format: Format,
    /// The bodies, JSON text each. At least one.
    pub events: Vec<String>,
    /// The log's row in [`TaskStore::list`], replaced as a whole. Executions only.
    pub summary: Option<Summary>,
    /// Tasks that came to be, for [`TaskStore::find`].
    pub tasks: Vec<TaskRow>,
}

impl Append {
    /// The execution whose log it is, if it is one's.
    #[must_use]
    pub const fn execution(&self) -> Option<ExecutionId> {
        match self.log.kind {
            LogKind::Execution => Some(ExecutionId::new(self.log.id)),
            LogKind::Queue | LogKind::Chains | LogKind::Mail => None,
        }
    }

    /// What every store refuses before it looks at its state.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Invalid`] without events, with a summary of another execution, or with a summary or tasks on
    /// a log that is no execution's.
    pub fn validate(&self) -> Result<(), StoreErrorKind> {
        let refuse = |why: &str| Err(StoreErrorKind::Invalid(format!("append to log {} {why}", self.log)));
        let execution = self.execution();
        if self.events.is_empty() {
            return refuse("has no events");
        }
        if execution.is_none() && !self.tasks.is_empty() {
            return refuse("has tasks, but only an execution has");
        }
        match &self.summary {
            Some(summary) if Some(summary.execution) != execution => refuse("has a summary of something else"),
            _ => Ok(()),
        }
    }
}

/// A stored event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Recorded {
    /// Its number in its log, from 1.
    pub version: Version,
    /// When it was appended.
    pub at: Timestamp,
    /// The epoch it was appended under.
    pub epoch: Epoch,
    /// The format of its body.
    pub format: Format,
    /// The body as it was appended.
    pub body: String,
}

/// A task's name in the index.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TaskRow {
    /// The task.
    pub task: TaskId,
    /// The step's position.
    pub ix: StepIx,
    /// The step's id.
    pub step: StepId,
}

/// An execution in a list.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Which one.
    pub execution: ExecutionId,
    /// Its title.
    pub title: String,
    /// The status word of model section 12.
    pub status: String,
    /// Whether it can still change by itself or by a command other than retry.
    pub open: bool,
    /// When it was submitted.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// Steps in each state.
    pub counts: Counts,
    /// The caller's idempotency key.
    pub request_id: Option<String>,
    /// Hash of the plan, by which the same plan is found again.
    pub fingerprint: String,
}

/// Steps in each state. `blocked` ones are also `pending`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each field is the state of that name in model section 3.2")]
pub struct Counts {
    pub total: u32,
    pub pending: u32,
    pub running: u32,
    pub merging: u32,
    pub done: u32,
    pub failed: u32,
    pub cancelled: u32,
    pub blocked: u32,
}

/// Which executions to list. The default is all, newest first, at most 1,000.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ListFilter {
    /// Only those that are open.
    pub open: bool,
    /// Only those with this idempotency key.
    pub request_id: Option<String>,
    /// Only those with this plan fingerprint.
    pub fingerprint: Option<String>,
    /// At most that many.
    pub limit: u32,
}

impl Default for ListFilter {
    fn default() -> Self {
        Self { open: false, request_id: None, fingerprint: None, limit: 1000 }
    }
}

/// What a prefix may mean.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Found {
    /// An execution.
    Execution(ExecutionId),
    /// A task.
    Task {
        /// Its execution.
        execution: ExecutionId,
        /// The step's position.
        ix: StepIx,
        /// The task.
        task: TaskId,
    },
}

/// A prefix of ids as a person types it (E30), understood once for all stores: `exec-` or `task-` if only one kind is
/// meant, then 4 to 12 hex digits of a short id or all 32 of an execution's internal id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum IdPrefix<'a> {
    /// An execution by its internal id.
    Internal(ExecutionId),
    /// Short ids of executions that start so.
    Executions(&'a str),
    /// Short ids of tasks that start so.
    Tasks(&'a str),
    /// Short ids of either kind that start so.
    Any(&'a str),
}

impl<'a> IdPrefix<'a> {
    /// What that text may mean; `None` if nothing, because it is too short, too long or not lower-case hex.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let (kind, hex): (fn(&'a str) -> Self, _) = if let Some(hex) = text.strip_prefix("exec-") {
            (Self::Executions, hex)
        } else if let Some(hex) = text.strip_prefix("task-") {
            (Self::Tasks, hex)
        } else {
            (Self::Any, text)
        };
        if !hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            return None;
        }
        match (hex.len(), kind(hex)) {
            (4..=12, prefix) => Some(prefix),
            (32, Self::Executions(_) | Self::Any(_)) => hex.parse().ok().map(Self::Internal),
            _ => None,
        }
    }

    /// The digits, if executions may be meant by their short id.
    #[must_use]
    pub const fn executions(self) -> Option<&'a str> {
        match self {
            Self::Executions(hex) | Self::Any(hex) => Some(hex),
            Self::Tasks(_) | Self::Internal(_) => None,
        }
    }

    /// The digits, if tasks may be meant.
    #[must_use]
    pub const fn tasks(self) -> Option<&'a str> {
        match self {
            Self::Tasks(hex) | Self::Any(hex) => Some(hex),
            Self::Executions(_) | Self::Internal(_) => None,
        }
    }
}

/// Who holds a lease: for messages, never to guess from.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// A fresh value for each holder.
    pub id: String,
    /// Process id.
    pub pid: u32,
    /// Host name.
    pub host: String,
    /// When it started.
    pub since: Timestamp,
}

/// Grows with each lease of a scope.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// The right to write until a time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lease {
    /// What it is for, such as `project`.
    pub scope: String,
    /// Its number.
    pub epoch: Epoch,
    /// Whose it is.
    pub holder: Holder,
    /// Until when others must wait.
    pub until: Timestamp,
}

/// The store refused or failed.
#[derive(Debug, thiserror::Error)]
#[error("{attempted}: {kind}")]
#[non_exhaustive]
pub struct StoreError {
    /// What was attempted, on what.
    pub attempted: String,
    /// Why it failed.
    pub kind: StoreErrorKind,
    /// The cause below, if any.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StoreError {
    /// An error of that kind.
    #[must_use]
    pub fn new(attempted: impl Into<String>, kind: StoreErrorKind) -> Self {
        Self { attempted: attempted.into(), kind, source: None }
    }

    /// The same with its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// Why the store refused or failed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// A log moved since it was read.
    #[error("log {log} is at version {actual}, not {expected}; load it again", actual = actual.0, expected = expected.0)]
    Conflict {
        /// Which log.
        log: LogId,
        /// The version that was expected.
        expected: Version,
        /// The version it has.
        actual: Version,
    },
    /// Another holder took over; whoever gets this must stop.
    #[error("the lease of epoch {} was taken over; another orchestrator drives now", .0.0)]
    LeaseLost(Epoch),
    /// Somebody else holds the lease.
    #[error("held by process {} on {}", .0.pid, .0.host)]
    Held(Box<Holder>),
    /// An id that must be new exists; draw another.
    #[error("id {0} exists already")]
    Duplicate(String),
    /// Another process kept the store locked for longer than the time-out.
    #[error("the store stayed locked by another process; try again when it is done")]
    Busy,
    /// No space is left. The former state is intact.
    #[error("no space left; free some and run the same command again")]
    Full,
    /// It cannot be written.
    #[error("the store cannot be written; check its permissions and mount")]
    ReadOnly,
    /// A row was lost or edited, or the file is no store. It is left untouched.
    #[error("the store is damaged: {0}; it was left untouched, restore it from a backup")]
    Corrupt(String),
    /// A newer version wrote it. It is left untouched.
    #[error("the store has schema {found}, this version knows up to {known}; use a newer enki")]
    Newer {
        /// What it has.
        found: u32,
        /// What is known here.
        known: u32,
    },
    /// The file was deleted or replaced while it was open.
    #[error("the store was deleted or replaced while in use; stopped writing to it")]
    Replaced,
    /// The caller asked for something that means nothing, such as an append without events.
    #[error("the request is invalid: {0}")]
    Invalid(String),
    /// The place it would be kept in cannot keep it safely, such as a network file system.
    #[error("unsupported: {0}")]
    Unsupported(String),
    /// Anything else of the system below.
    #[error("input or output failed: {0}")]
    Io(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_4_to_12_digits_or_all_32() {
        let internal = "0123456789abcdef0123456789abcdef";
        for bad in ["", "abc", "exec-abc", "task-", "abcg", "ABCD", "exec-task-abcd", "0123456789abc", "éé"] {
            assert_eq!(IdPrefix::parse(bad), None, "{bad:?}");
        }
        assert_eq!(IdPrefix::parse(&format!("task-{internal}")), None, "a task has no internal id");
        assert_eq!(IdPrefix::parse("abcd"), Some(IdPrefix::Any("abcd")));
        assert_eq!(IdPrefix::parse("exec-0123456789ab"), Some(IdPrefix::Executions("0123456789ab")));
        assert_eq!(IdPrefix::parse("task-abcd"), Some(IdPrefix::Tasks("abcd")));
        let id = internal.parse().unwrap();
        assert_eq!(IdPrefix::parse(internal), Some(IdPrefix::Internal(id)));
        assert_eq!(IdPrefix::parse(&format!("exec-{internal}")), Some(IdPrefix::Internal(id)));
    }
}
