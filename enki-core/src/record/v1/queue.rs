//! Events of a merge queue, as they are stored.

use crate::branch::Branch;
use crate::id::{CommitId, RequestId, TreeId};
use crate::merge_queue::{Eject, Entry, Event, LineNo, QueuePause};
use crate::refinery::{Candidate, Check};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// What a queue records; see the variant of that name of [`Event`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueEvent<'a> {
    /// The queue exists; the first event of its log.
    Opened {
        /// The branch it publishes to.
        target: Cow<'a, Branch>,
        /// Where that is, if known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        head: Option<CommitId>,
    },
    /// A change waits.
    Queued {
        /// It, with what its publishing depends on.
        entry: Cow<'a, Entry>,
    },
    /// It does so no more.
    Withdrawn {
        /// Which.
        request: RequestId,
    },
    /// Nothing is published any more.
    QueuePaused {
        /// Why.
        why: Cow<'a, QueuePause>,
    },
    /// Publishing goes on.
    QueueResumed,
    /// Where the target is.
    TargetSeen {
        /// There.
        head: CommitId,
    },
    /// These changes, on this base, are one candidate.
    BatchFormed {
        /// Number of the line.
        line: LineNo,
        /// The head it is built on.
        base: CommitId,
        /// Which changes, in order.
        members: Cow<'a, [RequestId]>,
    },
    /// The changes are in.
    ImportRecorded {
        /// Of which line.
        line: LineNo,
    },
    /// The candidate is built.
    Prepared {
        /// Of which line.
        line: LineNo,
        /// It.
        candidate: Candidate,
    },
    /// The gate answered about the candidate.
    CheckRecorded {
        /// Of which line.
        line: LineNo,
        /// How.
        check: Cow<'a, Check>,
    },
    /// The gate passed this tree before.
    VerdictReused {
        /// Of which line.
        line: LineNo,
        /// Which tree.
        tree: TreeId,
    },
    /// A failure is tried once more.
    Confirming {
        /// Which line.
        line: LineNo,
    },
    /// The base is checked before anybody is blamed.
    CheckingBase {
        /// Which line.
        line: LineNo,
    },
    /// The gate answered about the base.
    BaseRecorded {
        /// Of which line.
        line: LineNo,
        /// How.
        check: Cow<'a, Check>,
    },
    /// No answer; the same is tried again later.
    Deferred {
        /// Which line.
        line: LineNo,
        /// When.
        until: Timestamp,
        /// Why, in one line.
        reason: Cow<'a, str>,
    },
    /// The candidate may be published.
    Verified {
        /// Which line.
        line: LineNo,
    },
    /// The point of no return.
    Committing {
        /// Which line.
        line: LineNo,
    },
    /// The target is at the candidate.
    Merged {
        /// Of which line.
        line: LineNo,
        /// The new head.
        commit: CommitId,
    },
    /// The target moved; the change is built anew.
    Stale {
        /// Which line.
        line: LineNo,
        /// The new head.
        head: CommitId,
    },
    /// The change goes back to where it came from.
    Ejected {
        /// Which change.
        request: RequestId,
        /// Why.
        reason: Cow<'a, Eject>,
        /// Whether it is the change's own fault.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        charged: bool,
    },
}

impl<'a> From<&'a Event> for QueueEvent<'a> {
    fn from(event: &'a Event) -> Self {
        match event {
            Event::Opened { target, head } => Self::Opened { target: Cow::Borrowed(target), head: *head },
            Event::Queued(entry) => Self::Queued { entry: Cow::Borrowed(entry) },
            Event::Withdrawn { request } => Self::Withdrawn { request: *request },
            Event::QueuePaused { why } => Self::QueuePaused { why: Cow::Borrowed(why) },
            Event::QueueResumed => Self::QueueResumed,
            Event::TargetSeen { head } => Self::TargetSeen { head: *head },
            Event::BatchFormed { line, base, members } => {
                Self::BatchFormed { line: *line, base: *base, members: Cow::Borrowed(members) }
            }
            Event::ImportRecorded { line } => Self::ImportRecorded { line: *line },
            Event::Prepared { line, candidate } => Self::Prepared { line: *line, candidate: *candidate },
            Event::CheckRecorded { line, check } => Self::CheckRecorded { line: *line, check: Cow::Borrowed(check) },
            Event::VerdictReused { line, tree } => Self::VerdictReused { line: *line, tree: *tree },
            Event::Confirming { line } => Self::Confirming { line: *line },
            Event::CheckingBase { line } => Self::CheckingBase { line: *line },
            Event::BaseRecorded { line, check } => Self::BaseRecorded { line: *line, check: Cow::Borrowed(check) },
            Event::Deferred { line, until, reason } => {
                Self::Deferred { line: *line, until: *until, reason: Cow::Borrowed(reason) }
            }
            Event::Verified { line } => Self::Verified { line: *line },
            Event::Committing { line } => Self::Committing { line: *line },
            Event::Merged { line, commit } => Self::Merged { line: *line, commit: *commit },
            Event::Stale { line, head } => Self::Stale { line: *line, head: *head },
            Event::Ejected { request, reason, charged } => {
                Self::Ejected { request: *request, reason: Cow::Borrowed(reason), charged: *charged }
            }
        }
    }
}

impl QueueEvent<'_> {
    /// The event it stands for.
    pub(super) fn into_event(self) -> Event {
        match self {
            Self::Opened { target, head } => Event::Opened { target: target.into_owned(), head },
            Self::Queued { entry } => Event::Queued(Box::new(entry.into_owned())),
            Self::Withdrawn { request } => Event::Withdrawn { request },
            Self::QueuePaused { why } => Event::QueuePaused { why: why.into_owned() },
            Self::QueueResumed => Event::QueueResumed,
            Self::TargetSeen { head } => Event::TargetSeen { head },
            Self::BatchFormed { line, base, members } => {
                Event::BatchFormed { line, base, members: members.into_owned() }
            }
            Self::ImportRecorded { line } => Event::ImportRecorded { line },
            Self::Prepared { line, candidate } => Event::Prepared { line, candidate },
            Self::CheckRecorded { line, check } => Event::CheckRecorded { line, check: check.into_owned() },
            Self::VerdictReused { line, tree } => Event::VerdictReused { line, tree },
            Self::Confirming { line } => Event::Confirming { line },
            Self::CheckingBase { line } => Event::CheckingBase { line },
            Self::BaseRecorded { line, check } => Event::BaseRecorded { line, check: check.into_owned() },
            Self::Deferred { line, until, reason } => Event::Deferred { line, until, reason: reason.into_owned() },
            Self::Verified { line } => Event::Verified { line },
            Self::Committing { line } => Event::Committing { line },
            Self::Merged { line, commit } => Event::Merged { line, commit },
            Self::Stale { line, head } => Event::Stale { line, head },
            Self::Ejected { request, reason, charged } => {
                Event::Ejected { request, reason: reason.into_owned(), charged }
            }
        }
    }
}
