//! What a merge queue hears, records and wants.

use crate::branch::Branch;
use crate::id::{CommitId, RequestId, TreeId};
use crate::refinery::{Build, Candidate, Change, Check, Gate, TargetState};
use crate::tier::Priority;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Number of a candidate line in its queue, from 1. A change that is built anew gets a new one; every report names it.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LineNo(pub u64);

/// Something that happened to a queue.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Input {
    /// A change asks to be published.
    Enqueue(Box<Entry>),
    /// It does so no more.
    Withdraw(RequestId),
    /// Stop publishing.
    Pause(QueuePause),
    /// Go on.
    Resume,
    /// A mechanism answers, about that effect.
    Report(Effect, Report),
    /// The target's head as it is, asked for when it was not known.
    Seen(Option<CommitId>),
}

/// A change with what its publishing depends on.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The change.
    pub change: Change,
    /// Its place in the order.
    pub priority: Priority,
    /// What the merged tree must pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// A tree that passed this gate already, on the way here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<TreeId>,
    /// Times it was built anew because the target moved.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rebuilds: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// An answer of one of the mechanisms.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Report {
    /// The change is in.
    Imported,
    /// It is against the policy.
    ImportRefused(String),
    /// What building gave.
    Built(Build),
    /// What the gate said of the candidate.
    Checked(Check),
    /// What the gate said of the base.
    BaseChecked(Check),
    /// The target is at the candidate, or contains it.
    Published,
    /// The target was elsewhere; it was looked at.
    Moved(TargetState),
    /// The target is checked out with changes.
    Blocked {
        /// Why.
        reason: String,
        /// What finishes it.
        command: String,
    },
    /// A mechanism could not be tried, or its answer got lost.
    Failed(String),
}

/// Why a queue publishes nothing.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum QueuePause {
    /// A person wants it.
    Person,
    /// The target itself does not pass its check. Nobody is blamed.
    BaseRed {
        /// Last lines.
        log: String,
    },
    /// Infrastructure kept failing.
    Infrastructure {
        /// How, in one line.
        reason: String,
    },
    /// The target does not exist any more.
    TargetGone,
}

/// What a queue records.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The queue exists; its first event.
    Opened {
        /// What it publishes to.
        target: Branch,
        /// Where that is, if known.
        head: Option<CommitId>,
    },
    /// A change waits.
    Queued(Box<Entry>),
    /// It does so no more.
    Withdrawn {
        /// Which.
        request: RequestId,
    },
    /// Nothing is published any more.
    QueuePaused {
        /// Why.
        why: QueuePause,
    },
    /// Publishing goes on.
    QueueResumed,
    /// Where the target is.
    TargetSeen {
        /// There.
        head: CommitId,
    },
    /// The intent: these changes, on this base, as one candidate. Recorded before anything is built.
    BatchFormed {
        /// Number of the line.
        line: LineNo,
        /// The head it is built on.
        base: CommitId,
        /// Which changes, in order.
        members: Vec<RequestId>,
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
        check: Check,
    },
    /// The gate passed this tree before; it is not run again.
    VerdictReused {
        /// Of which line.
        line: LineNo,
        /// Which tree.
        tree: TreeId,
    },
    /// A failure is tried once more, alone, before anybody is blamed.
    Confirming {
        /// Which line.
        line: LineNo,
    },
    /// The base itself has no passing verdict; it is checked before anybody is blamed.
    CheckingBase {
        /// Which line.
        line: LineNo,
    },
    /// The gate answered about the base.
    BaseRecorded {
        /// Of which line.
        line: LineNo,
        /// How.
        check: Check,
    },
    /// No answer; the same is tried again later. Nobody is charged.
    Deferred {
        /// Which line.
        line: LineNo,
        /// When.
        until: Timestamp,
        /// Why, in one line.
        reason: String,
    },
    /// The candidate may be published: its tree passed on exactly this parent (R2).
    Verified {
        /// Which line.
        line: LineNo,
    },
    /// The point of no return. Whoever recorded this held the lease: the fence.
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
    /// The target moved; the change is built anew on the new head.
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
        reason: Eject,
        /// Whether it is the change's own fault.
        charged: bool,
    },
}

/// Why a change goes back.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Eject {
    /// Its check failed twice, alone, on a green base.
    Failed {
        /// Last lines.
        log: String,
    },
    /// It does not merge.
    Conflict {
        /// Files in conflict.
        paths: Vec<String>,
        /// What conflicts in them.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        hunks: String,
    },
    /// It is against the policy.
    Refused {
        /// The rule and the paths.
        policy: String,
    },
    /// The target contains it already.
    Empty,
    /// The target moved too often.
    Moved,
    /// The target was at the candidate and was moved away by somebody.
    Rewound,
    /// The target is checked out with changes.
    Blocked {
        /// Why.
        reason: String,
        /// What finishes it.
        command: String,
    },
}

/// What a queue wants in flight; at most one thing.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Effect {
    /// About which line; 0 for a look at the target.
    pub line: LineNo,
    /// What.
    pub kind: EffectKind,
    /// Which try of it, from 0: a try after a lost answer is another effect.
    pub attempt: u32,
}

/// A mechanism that a queue wants to run.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "the variants are the methods of `Refinery`; `CheckBase` checks the head itself")]
pub enum EffectKind {
    Look,
    Import,
    Build,
    Check,
    CheckBase,
    Publish,
}

/// An input that is not accepted now. Nothing changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// About a line that is not in flight any more, or not at that point. Counted, harmless.
    #[error("a report about line {} came late; it changes nothing", .0.0)]
    Stale(LineNo),
    /// The change is in the queue already; the same request again is the same thing.
    #[error("{0} is in the queue already")]
    Known(RequestId),
    /// There is no such change here.
    #[error("{0} is not in the queue")]
    Unknown(RequestId),
    /// It is past the point of no return.
    #[error("{0} is being committed and cannot be withdrawn")]
    Committing(RequestId),
}
