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
    /// What was merged last, looked at again at the start.
    Inspected {
        /// Where the target is.
        state: TargetState,
        /// Whether the machine has been started anew since it was merged.
        rebooted: bool,
    },
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
    /// How many others wait for it to be merged.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub frees: u32,
    /// Its place by age: changes of a lower one go first, whatever their priority. Filled in when it is queued.
    #[serde(default)]
    pub age: u64,
}

impl Entry {
    /// That change, with that gate, of normal priority.
    #[must_use]
    pub const fn new(change: Change, gate: Option<Gate>) -> Self {
        Self { change, priority: Priority::Normal, gate, passed: None, rebuilds: 0, frees: 0, age: 0 }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// An answer of one of the mechanisms.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Report {
    /// The changes are in.
    Imported,
    /// One is against the policy.
    ImportRefused {
        /// Which.
        request: RequestId,
        /// The rule and the paths.
        policy: String,
    },
    /// What building gave.
    Built(Build),
    /// What the gate said of the candidate.
    Checked(Check),
    /// What the gate said of the base.
    BaseChecked(Check),
    /// The target is at the candidate, or contains it.
    Published,
    /// What the gate said of the change alone, on the base that it was queued on.
    OldBaseChecked(Check),
    /// Which changes conflict.
    Predicted {
        /// The changes that were asked about.
        of: Vec<RequestId>,
        /// Pairs that conflict with each other.
        clashes: Vec<(RequestId, RequestId)>,
        /// Those that conflict with the target.
        off: Vec<RequestId>,
    },
    /// What building one change on the target alone gives.
    Tried(RequestId, Build),
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
    /// The candidate is not there any more, and not on the target: a loss of power took it, or a person's `git clean`.
    Lost(String),
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
    /// The target does not have what was merged into it last: somebody moved it away.
    Rewound {
        /// What it had.
        commit: CommitId,
    },
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
        /// The commit of each member, in order; `None` for one that changes nothing.
        commits: Vec<Option<CommitId>>,
    },
    /// The gate answered about the candidate.
    CheckRecorded {
        /// Of which line.
        line: LineNo,
        /// How.
        check: Check,
        /// When: a pass is used again for a time.
        at: Timestamp,
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
    /// A batch failed: these groups are tried one after the other.
    BatchSplit {
        /// Which line.
        line: LineNo,
        /// Its members, in order.
        groups: Vec<Vec<RequestId>>,
    },
    /// A member conflicts with those before it and leaves its batch; it waits again.
    LeftOut {
        /// Which line.
        line: LineNo,
        /// Which change.
        request: RequestId,
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
        /// When.
        at: Timestamp,
    },
    /// Others were merged since the change was queued: it is checked alone on the base it was queued on, to tell its own
    /// fault from an interaction.
    CheckingOldBase {
        /// Which line.
        line: LineNo,
    },
    /// The gate answered about that.
    OldBaseRecorded {
        /// Of which line.
        line: LineNo,
        /// How.
        check: Check,
    },
    /// Which changes conflict: advice for the order.
    Predicted {
        /// The changes that are known now.
        of: Vec<RequestId>,
        /// Pairs that conflict with each other.
        clashes: Vec<(RequestId, RequestId)>,
        /// Those that conflict with the target.
        off: Vec<RequestId>,
    },
    /// One that was said to conflict with the target does not.
    Tried {
        /// Which change.
        request: RequestId,
    },
    /// The machine that drives was started anew since the last fact, or this is the first.
    Booted {
        /// Names the start.
        boot: String,
    },
    /// The machine lost power before the move of the target was on disk: it is published again.
    Republishing {
        /// As which line.
        line: LineNo,
        /// What.
        candidate: Candidate,
    },
    /// No answer; the same is tried again later. Nobody is charged.
    Deferred {
        /// Which line.
        line: LineNo,
        /// When.
        until: Timestamp,
        /// Since when it waits; zero if that is not known.
        since: Timestamp,
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
    /// Its check took too long, twice, alone, on a green base.
    TimedOut {
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
        /// The head of the target that it does not merge with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        onto: Option<CommitId>,
        /// The changes that were merged meanwhile and are known to be in its way.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        with: Vec<Partner>,
    },
    /// Alone it passes on the base it was queued on; on top of these it fails.
    Interaction {
        /// The changes that were merged meanwhile, latest last, at most five.
        with: Vec<Partner>,
        /// Last lines.
        log: String,
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

/// A change that another one does not go with.
///
/// Part of stored format 1: see [`crate::record`] before changing it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Partner {
    /// Its request.
    pub request: RequestId,
    /// Its title, one line.
    pub title: String,
}

/// What a queue wants in flight: one thing for each line, and one beside the lines.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Effect {
    /// About which line; 0 for what is beside the lines.
    pub line: LineNo,
    /// What.
    pub kind: EffectKind,
    /// Which try of it, from 0: a try after a lost answer is another effect.
    pub attempt: u32,
}

/// A mechanism that a queue wants to run.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum EffectKind {
    /// Look where the target is.
    Look,
    /// Look whether the target still has what was merged last.
    Inspect,
    /// Ask which changes conflict.
    Predict,
    /// Build one change that seems to conflict with the target, to send it back at once.
    Try,
    /// Bring the members in.
    Import,
    /// Build the candidate.
    Build,
    /// Check it.
    Check,
    /// Check the base.
    CheckBase,
    /// Check the only member on the base it was queued on.
    CheckOldBase,
    /// Move the target.
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
