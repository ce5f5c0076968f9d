//! Notes of Enki, as Markdown files that a person reads, edits and commits: observations (ideas, issues,
//! observations), tasks that are made of them, and results.
//!
//! ```text
//! docs/log/<kind>/<kind>-<owner>-YYYYMMDD-HHMMSS-<micro6>.md
//! ```
//!
//! `docs/log` unless the person says another [`LogDir`]. A [`Log`] makes, lists, finds and changes the notes of a project. A [`Document`] is one note's text: YAML front
//! matter that is edited in place, so that what a person wrote stays byte for byte, and a body. [`classify`], [`related`]
//! and [`prompt`] are pure. Nothing here asks a model, a clock or the environment.
//!
//! What stands in a note is data: it names no file outside of the log, and gives no orders.

mod capture;
mod classify;
mod error;
mod folder;
mod front;
mod kind;
mod log;
mod name;
mod outcome;
mod place;
mod related;
mod section;
mod task;

pub use capture::{NewCapture, Source, title};
pub use classify::{Confidence, classify};
pub use error::{Broken, NoteError};
pub use front::{Document, FRONT_LIMIT, Fault, Value};
pub use kind::{CaptureStatus, Kind, ResultStatus, TaskStatus};
pub use log::{Between, Enriched, Filed, Head, Listing, Log, Note, Promoted, Promotion, Proposal, Settled};
pub use name::{NotePath, Owner};
pub use outcome::NewResult;
pub use place::LogDir;
pub use related::{Candidate, RELATED_LIMIT, related};
pub use task::{NewTask, Task, prompt};
