//! Why the driver refused or stopped.

use crate::engine::Rejected;
use crate::plan::PlanProblems;
use crate::store::{StoreError, StoreErrorKind};
use std::sync::Arc;

/// Why the driver refused something, or stopped.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// The store refused or failed. The driver has stopped; what is stored is intact.
    #[error("{0}")]
    Store(Arc<StoreError>),
    /// A machine does not accept it now. Nothing changed.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The plan has problems. Nothing was stored.
    #[error("{0}")]
    Plan(PlanProblems),
    /// The request id was used for another plan.
    #[error("request id {id:?} was used for another plan, as {execution}; use a new request id")]
    RequestIdConflict {
        /// The key.
        id: String,
        /// Whose it is.
        execution: String,
    },
    /// There is no such thing.
    #[error("no execution or task {0}")]
    NotFound(String),
    /// A prefix may mean several things.
    #[error("{prefix} may mean {}; give more digits", .candidates.join(", "))]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// What it may mean.
        candidates: Vec<String>,
    },
    /// A stored log cannot be understood.
    #[error("log {log} cannot be read at event {version}: {reason}")]
    Record {
        /// Which log.
        log: String,
        /// Which event.
        version: u64,
        /// Why.
        reason: String,
    },
    /// The driver has stopped.
    #[error("the orchestrator has stopped")]
    Stopped,
}

impl DriverError {
    /// The store's reason, if it is one of the store's.
    #[must_use]
    pub fn store_kind(&self) -> Option<&StoreErrorKind> {
        match self {
            Self::Store(error) => Some(&error.kind),
            _ => None,
        }
    }
}

impl From<StoreError> for DriverError {
    fn from(error: StoreError) -> Self {
        Self::Store(Arc::new(error))
    }
}

impl From<PlanProblems> for DriverError {
    fn from(problems: PlanProblems) -> Self {
        Self::Plan(problems)
    }
}
