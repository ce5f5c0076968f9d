//! What a project remembers beyond one execution: decisions, patterns, failures and preferences.
//!
//! [`Recall`] keeps and finds it. [`notes`] says what is worth keeping of an execution's facts, [`block`] how what was
//! found is told to an agent: as data, capped, and never as an instruction.

mod block;
mod entry;
mod facts;
mod proposal;
mod words;

pub use block::{BLOCK_CAP, block};
pub use entry::{
    Category, Confidence, Decision, DecisionStatus, Entry, ErrorCategory, Failure, FailureStatus, Kind, More, Pattern,
    Preference, Setting, Writer,
};
pub use facts::{notes, query};
pub use proposal::{Proposal, proposed};
pub use words::{date, is_relevant, same_text, words};

use crate::time::Timestamp;
use std::fmt;
use std::path::PathBuf;

/// Keeps what is worth remembering, and finds it again.
///
/// Its methods block on files: a caller on an async runtime gives them a thread. They are few and rare enough that a
/// second form would only be a second thing to get right.
///
/// # Contract
///
/// * **Data.** What is kept is text of people and agents. It is redacted and capped when it is recorded; whoever shows
///   it to an agent uses [`block`].
/// * **The same is one.** What is [`Entry::is_same`] as a kept entry becomes part of it and has its id.
/// * **Durable on return**, and atomic for each kind: a reader sees a kind as it was before or as it is after.
/// * **Shared.** Any number of processes may record and search at once; nothing recorded is lost by it.
pub trait Recall: fmt::Debug + Send + Sync {
    /// Keeps notes, and gives the id of each entry's, in order; nothing for a note that is no entry, or whose kind
    /// cannot be written: see [`Recorded::faults`].
    ///
    /// # Errors
    ///
    /// [`RecallError`] if nothing could be kept at all.
    fn record(&self, notes: &[Note]) -> Result<Recorded, RecallError>;

    /// What fits a query best, best first. A kind that cannot be read is a fault, and the others are searched.
    ///
    /// # Errors
    ///
    /// [`RecallError`] if nothing could be searched at all.
    fn search(&self, query: &Query) -> Result<Found, RecallError>;
}

/// Something to keep.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Note {
    /// An entry; one without an id gets one.
    Entry {
        /// It.
        entry: Entry,
        /// When.
        at: Timestamp,
    },
    /// Work that passed.
    Passed(Passed),
    /// What an agent proposes. It is kept apart from the entries, and found by no search, until a person takes it.
    Proposed {
        /// It; one without an id gets one.
        proposal: Proposal,
        /// When.
        at: Timestamp,
    },
}

/// Work that passed. Failures of the same context are resolved by it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Passed {
    /// When.
    pub at: Timestamp,
    /// What it was: as the context of its failures, if it had any.
    pub context: String,
    /// Which task, or which execution, in one line.
    pub of: String,
    /// How, in one line: the commit it is merged as, say.
    pub how: String,
    /// What whoever did it says.
    pub summary: String,
    /// How many attempts it took.
    pub attempts: u32,
}

/// What was kept.
#[derive(Clone, Debug, Default)]
pub struct Recorded {
    /// The id of each note's entry.
    pub ids: Vec<Option<String>>,
    /// What could not be written, and was left alone.
    pub faults: Vec<Fault>,
}

/// What is looked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Query {
    /// Words of people: any of them may fit, and none of them is syntax.
    pub text: String,
    /// Only these kinds; all, if empty.
    pub kinds: Vec<Kind>,
    /// At most so many.
    pub limit: usize,
    /// What is recent is before what is old.
    pub now: Timestamp,
    /// Whether it is for an agent: then what fits by a single word only, and what was chosen by rule, is left out.
    pub for_agent: bool,
}

impl Query {
    /// Those words, in all kinds, the best ten.
    #[must_use]
    pub fn new(text: impl Into<String>, now: Timestamp) -> Self {
        Self { text: text.into(), kinds: Vec::new(), limit: 10, now, for_agent: false }
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Best first.
    pub hits: Vec<Hit>,
    /// What could not be read.
    pub faults: Vec<Fault>,
}

/// An entry that fits.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// It.
    pub entry: Entry,
    /// How well it fits; larger is better, and comparable within one answer only.
    pub score: f64,
}

/// Something kept that cannot be read. It is left alone; a person has to look.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{}{}: {reason}", path.display(), Place(*line, *column))]
pub struct Fault {
    /// Which file.
    pub path: PathBuf,
    /// Line, from 1; 0 if it is not about one.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong.
    pub reason: String,
}

struct Place(usize, usize);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, ":{}:{}", self.0, self.1) }
    }
}

/// A memory that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempted}: {reason}")]
pub struct RecallError {
    /// What was attempted, on what.
    pub attempted: String,
    /// Why it did not work.
    pub reason: String,
    /// What the system said.
    #[source]
    pub source: Option<std::io::Error>,
}

impl RecallError {
    /// What was attempted, and why it did not work.
    #[must_use]
    pub fn new(attempted: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { attempted: attempted.into(), reason: reason.into(), source: None }
    }

    /// The same for what the system said.
    #[must_use]
    pub fn io(attempted: impl Into<String>, error: std::io::Error) -> Self {
        // The kind in the text, the rest in the source.
        Self { attempted: attempted.into(), reason: error.kind().to_string(), source: Some(error) }
    }
}
