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
        /// The commit of each member; none for one that changes nothing.
        commits: Cow<'a, [Option<CommitId>]>,
    },
    /// The gate answered about the candidate.
    CheckRecorded {
        /// Of which line.
        line: LineNo,
        /// How.
        check: Cow<'a, Check>,
        /// When.
        at: Timestamp,
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
        /// When.
        at: Timestamp,
    },
    /// A batch failed: these groups are tried one after the other.
    BatchSplit {
        /// Which line.
        line: LineNo,
        /// Its members, in order.
        groups: Cow<'a, [Vec<RequestId>]>,
    },
    /// A member leaves its batch and waits again.
    LeftOut {
        /// Which line.
        line: LineNo,
        /// Which change.
        request: RequestId,
    },
    /// The change is checked alone on the base that it was queued on.
    CheckingOldBase {
        /// Which line.
        line: LineNo,
    },
    /// The gate answered about that.
    OldBaseRecorded {
        /// Of which line.
        line: LineNo,
        /// How.
        check: Cow<'a, Check>,
    },
    /// Which changes conflict.
    Predicted {
        /// The changes that are known now.
        of: Cow<'a, [RequestId]>,
        /// Pairs that conflict.
        #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
        clashes: Cow<'a, [(RequestId, RequestId)]>,
        /// Those that conflict with the target.
        #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
        off: Cow<'a, [RequestId]>,
    },
    /// One that was said to conflict with the target does not.
    Tried {
        /// Which change.
        request: RequestId,
    },
    /// The machine that drives was started anew.
    Booted {
        /// Names the start.
        boot: Cow<'a, str>,
    },
    /// The last candidate is published again: the machine lost power.
    Republishing {
        /// As which line.
        line: LineNo,
        /// What.
        candidate: Candidate,
    },
    /// No answer; the same is tried again later.
    Deferred {
        /// Which line.
        line: LineNo,
        /// When.
        until: Timestamp,
        /// Since when it waits.
        #[serde(default, skip_serializing_if = "Timestamp::is_unknown")]
        since: Timestamp,
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
            Event::Prepared { line, candidate, commits } => {
                Self::Prepared { line: *line, candidate: *candidate, commits: Cow::Borrowed(commits) }
            }
            Event::CheckRecorded { line, check, at } => {
                Self::CheckRecorded { line: *line, check: Cow::Borrowed(check), at: *at }
            }
            Event::BatchSplit { line, groups } => Self::BatchSplit { line: *line, groups: Cow::Borrowed(groups) },
            Event::LeftOut { line, request } => Self::LeftOut { line: *line, request: *request },
            Event::CheckingOldBase { line } => Self::CheckingOldBase { line: *line },
            Event::OldBaseRecorded { line, check } => {
                Self::OldBaseRecorded { line: *line, check: Cow::Borrowed(check) }
            }
            Event::Predicted { of, clashes, off } => {
                Self::Predicted { of: Cow::Borrowed(of), clashes: Cow::Borrowed(clashes), off: Cow::Borrowed(off) }
            }
            Event::Tried { request } => Self::Tried { request: *request },
            Event::Booted { boot } => Self::Booted { boot: Cow::Borrowed(boot) },
            Event::Republishing { line, candidate } => Self::Republishing { line: *line, candidate: *candidate },
            Event::VerdictReused { line, tree } => Self::VerdictReused { line: *line, tree: *tree },
            Event::Confirming { line } => Self::Confirming { line: *line },
            Event::CheckingBase { line } => Self::CheckingBase { line: *line },
            Event::BaseRecorded { line, check, at } => {
                Self::BaseRecorded { line: *line, check: Cow::Borrowed(check), at: *at }
            }
            Event::Deferred { line, until, since, reason } => {
                Self::Deferred { line: *line, until: *until, since: *since, reason: Cow::Borrowed(reason) }
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
            Self::Prepared { line, candidate, commits } => {
                Event::Prepared { line, candidate, commits: commits.into_owned() }
            }
            Self::CheckRecorded { line, check, at } => Event::CheckRecorded { line, check: check.into_owned(), at },
            Self::BatchSplit { line, groups } => Event::BatchSplit { line, groups: groups.into_owned() },
            Self::LeftOut { line, request } => Event::LeftOut { line, request },
            Self::CheckingOldBase { line } => Event::CheckingOldBase { line },
            Self::OldBaseRecorded { line, check } => Event::OldBaseRecorded { line, check: check.into_owned() },
            Self::Predicted { of, clashes, off } => {
                Event::Predicted { of: of.into_owned(), clashes: clashes.into_owned(), off: off.into_owned() }
            }
            Self::Tried { request } => Event::Tried { request },
            Self::Booted { boot } => Event::Booted { boot: boot.into_owned() },
            Self::Republishing { line, candidate } => Event::Republishing { line, candidate },
            Self::VerdictReused { line, tree } => Event::VerdictReused { line, tree },
            Self::Confirming { line } => Event::Confirming { line },
            Self::CheckingBase { line } => Event::CheckingBase { line },
            Self::BaseRecorded { line, check, at } => Event::BaseRecorded { line, check: check.into_owned(), at },
            Self::Deferred { line, until, since, reason } => {
                Event::Deferred { line, until, since, reason: reason.into_owned() }
            }
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
