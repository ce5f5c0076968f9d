//! Which execution, task or step an id in a call means.

use crate::failure::Failure;
use crate::machines::{Machines, seen};
use enki_core::driver::DriverError;
use enki_core::id::{ExecutionId, StepIx, TaskId};
use enki_core::store::{Found, IdPrefix, StoreErrorKind};

/// Most candidates an answer lists.
const SHOWN: usize = 20;

/// The execution of that id, taken up: all 32 hex digits, or a prefix of the 12 that are shown which only one has.
pub(crate) async fn execution(machines: &dyn Machines, text: &str) -> Result<ExecutionId, Failure> {
    let named = matches!(IdPrefix::parse(text), Some(IdPrefix::Tasks(_)) | None);
    if named {
        return Err(Failure::not_an_execution(text));
    }
    let found = found(machines, text, Failure::not_an_execution).await?.into_iter();
    let meant: Vec<ExecutionId> =
        found.filter_map(|found| if let Found::Execution(id) = found { Some(id) } else { None }).collect();
    match meant.as_slice() {
        [] => Err(Failure::unknown(text)),
        [id] => take_up(machines, *id).await,
        several => {
            let candidates = several.iter().take(SHOWN).map(|id| id.hex()).collect();
            Err(Failure::ambiguous(text, "executions", several.len(), candidates))
        }
    }
}

/// The task of that id, its execution taken up.
pub(crate) async fn task(machines: &dyn Machines, text: &str) -> Result<(ExecutionId, StepIx), Failure> {
    if matches!(IdPrefix::parse(text), Some(IdPrefix::Executions(_) | IdPrefix::Internal(_)) | None) {
        return Err(Failure::not_a_task(text));
    }
    let found = found(machines, text, Failure::not_a_task).await?.into_iter();
    let task = |found| match found {
        Found::Task { execution, ix, task } => Some((execution, ix, task)),
        Found::Execution(_) => None,
    };
    let meant: Vec<(ExecutionId, StepIx, TaskId)> = found.filter_map(task).collect();
    match meant.as_slice() {
        [] => Err(Failure::unknown_task(text)),
        [(execution, ix, _)] => Ok((take_up(machines, *execution).await?, *ix)),
        several => {
            let candidates = several.iter().take(SHOWN).map(|(_, _, task)| task.to_string()).collect();
            Err(Failure::ambiguous(text, "tasks", several.len(), candidates))
        }
    }
}

/// The step of that execution, by its id in the plan or by its task's.
pub(crate) async fn step(machines: &dyn Machines, id: ExecutionId, text: &str) -> Result<StepIx, Failure> {
    let name = text.to_owned();
    let ix = seen(machines, move |engine| engine.execution(id).and_then(|execution| execution.plan().find(&name)));
    if let Some(ix) = ix.await? {
        return Ok(ix);
    }
    match task(machines, text).await {
        Ok((execution, ix)) if execution == id => Ok(ix),
        _ => Err(Failure::unknown_step(text)),
    }
}

async fn found(machines: &dyn Machines, text: &str, not_one: fn(&str) -> Failure) -> Result<Vec<Found>, Failure> {
    match machines.find(text).await {
        Ok(found) => Ok(found),
        Err(DriverError::Store(error)) if matches!(error.kind, StoreErrorKind::Invalid(_)) => Err(not_one(text)),
        Err(error) => Err(error.into()),
    }
}

async fn take_up(machines: &dyn Machines, id: ExecutionId) -> Result<ExecutionId, Failure> {
    machines.load(id).await?;
    Ok(id)
}
