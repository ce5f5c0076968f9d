//! Why something could not be done with notes.

use crate::front::Fault;
use crate::name::NotePath;
use std::fmt;
use std::io;

/// A note that is there and cannot be read. It is never written to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Broken {
    /// Its path from the root of the project.
    pub path: String,
    /// The line, from 1; 0 if it is about the file as a whole.
    pub line: usize,
    /// What is wrong.
    pub why: String,
}

impl Broken {
    pub(crate) fn of(path: &str, fault: Fault) -> Self {
        Self { path: path.to_owned(), line: fault.line, why: fault.why }
    }

    pub(crate) fn whole(path: &str, why: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: 0, why: why.into() }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.why),
            line => write!(f, "{}:{line}: {}", self.path, self.why),
        }
    }
}

/// What could not be done, and why. Nothing changed, unless it says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// There is no such note.
    #[error("there is no note {text:?}")]
    NotFound {
        /// What was asked for.
        text: String,
    },
    /// It may be several.
    #[error("{text:?} may mean {} notes", candidates.len())]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// All that fit.
        candidates: Vec<NotePath>,
    },
    /// The note cannot be read, so it is left alone.
    #[error("cannot read the note {0}; it is left as it is")]
    Broken(Broken),
    /// It is not to be done.
    #[error("cannot {attempted}: {why}")]
    Refused {
        /// What was attempted, on what.
        attempted: String,
        /// Why not.
        why: String,
        /// What to do instead.
        hint: String,
    },
    /// The system said no.
    #[error("cannot {attempted}")]
    Io {
        /// What was attempted, on what.
        attempted: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl NoteError {
    pub(crate) fn refused(attempted: impl Into<String>, why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { attempted: attempted.into(), why: why.into(), hint: hint.into() }
    }

    pub(crate) fn io(attempted: impl Into<String>, source: io::Error) -> Self {
        Self::Io { attempted: attempted.into(), source }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NotFound { .. } => "give its path, its file's name or its id, or the beginning of one".to_owned(),
            Self::Ambiguous { candidates, .. } => {
                let shown: Vec<&str> = candidates.iter().take(10).map(NotePath::as_str).collect();
                format!("it may be {}", shown.join(", "))
            }
            Self::Broken(_) => "repair its front matter, or move it away".to_owned(),
            Self::Refused { hint, .. } => hint.clone(),
            Self::Io { .. } => "check the folder, its permissions and the space on its disk, then try again".to_owned(),
        }
    }
}
