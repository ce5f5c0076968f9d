//! Which execution an id in a call means.

use crate::failure::Failure;
use enki_core::driver::{DriverError, Orchestrator};
use enki_core::engine::Engine;
use enki_core::id::ExecutionId;
use enki_core::store::IdPrefix;

/// Most candidates an answer lists.
const SHOWN: usize = 20;

/// Takes up an execution that is named in full and has ended before this orchestrator started. Prefixes are only
/// looked up among those that are here.
pub(crate) async fn take_up(orchestrator: &Orchestrator, text: &str) -> Result<(), Failure> {
    let Some(IdPrefix::Internal(id)) = IdPrefix::parse(text) else { return Ok(()) };
    match orchestrator.load(id).await {
        // `find` has better words for it.
        Ok(()) | Err(DriverError::NotFound(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The execution of that id: all 32 hex digits, or a prefix of the 12 that are shown which only one has.
pub(crate) fn find(engine: &Engine, text: &str) -> Result<ExecutionId, Failure> {
    let prefix = match IdPrefix::parse(text) {
        Some(IdPrefix::Internal(id)) if engine.holds_execution(id) => return Ok(id),
        Some(IdPrefix::Internal(_)) => return Err(Failure::unknown(text)),
        Some(prefix) => prefix.executions().ok_or_else(|| Failure::not_an_execution(text))?,
        None => return Err(Failure::not_an_execution(text)),
    };
    let meant: Vec<ExecutionId> =
        engine.executions().map(|execution| execution.id()).filter(|id| id.short().starts_with(prefix)).collect();
    match meant.as_slice() {
        [] => Err(Failure::unknown(text)),
        [id] => Ok(*id),
        several => {
            let candidates = several.iter().take(SHOWN).map(|id| id.hex()).collect();
            Err(Failure::ambiguous(text, several.len(), candidates))
        }
    }
}
