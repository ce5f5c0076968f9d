//! The machines of a project nobody drives: looked at from the store, or moved by one command under the project lock.

use crate::error::CliError;
use crate::lock::ProjectLock;
use crate::offline::{Offline, Shelf};
use enki_core::async_trait;
use enki_core::dispatcher::Place;
use enki_core::driver::{Accepted, DriverError, Submission};
use enki_core::execution::Command;
use enki_core::id::{AttemptNo, ExecutionId};
use enki_core::store::{Found, StoreError, StoreErrorKind};
use enki_mcp::{Look, Machines};
use std::time::Duration;
use tokio::sync::Mutex;

/// Looks at what is stored.
#[derive(Debug)]
pub(super) struct Stored(pub(super) Mutex<Shelf>);

/// Commands what is stored, as long as the lock is held.
#[derive(Debug)]
pub(super) struct Alone {
    offline: Mutex<Offline>,
    _lock: ProjectLock,
}

impl Alone {
    pub(super) fn new(offline: Offline, lock: ProjectLock) -> Self {
        Self { offline: Mutex::new(offline), _lock: lock }
    }

    /// Gives lease and lock back.
    pub(super) async fn close(self) -> Result<(), CliError> {
        self.offline.into_inner().close().await
    }
}

#[async_trait]
impl Machines for Stored {
    async fn find(&self, id: &str) -> Result<Vec<Found>, DriverError> {
        Ok(self.0.lock().await.find(id).await?)
    }

    async fn load(&self, execution: ExecutionId) -> Result<(), DriverError> {
        self.0.lock().await.load(execution).await.map_err(|error| unreadable(&error))
    }

    async fn look(&self, look: Look) -> Result<(), DriverError> {
        look(self.0.lock().await.engine());
        Ok(())
    }

    async fn command(&self, _: ExecutionId, _: Command) -> Result<(), DriverError> {
        Err(DriverError::Stopped)
    }

    async fn submit(&self, _: Submission) -> Result<Accepted, DriverError> {
        Err(DriverError::Stopped)
    }

    async fn wait_for_agents(&self, _: &[Place], _: Duration) -> Result<(), DriverError> {
        Ok(())
    }

    fn tell_activity(&self, _: Place, _: AttemptNo, _: String) -> Result<(), DriverError> {
        Err(DriverError::Stopped)
    }
}

#[async_trait]
impl Machines for Alone {
    async fn find(&self, id: &str) -> Result<Vec<Found>, DriverError> {
        Ok(self.offline.lock().await.shelf().find(id).await?)
    }

    async fn load(&self, execution: ExecutionId) -> Result<(), DriverError> {
        self.offline.lock().await.shelf().load(execution).await.map_err(|error| unreadable(&error))
    }

    async fn look(&self, look: Look) -> Result<(), DriverError> {
        look(self.offline.lock().await.shelf().engine());
        Ok(())
    }

    async fn command(&self, execution: ExecutionId, command: Command) -> Result<(), DriverError> {
        self.offline.lock().await.command(execution, command).await
    }

    async fn submit(&self, _: Submission) -> Result<Accepted, DriverError> {
        Err(DriverError::Stopped)
    }

    async fn wait_for_agents(&self, _: &[Place], _: Duration) -> Result<(), DriverError> {
        // Nobody's agents run.
        Ok(())
    }

    fn tell_activity(&self, _: Place, _: AttemptNo, _: String) -> Result<(), DriverError> {
        Err(DriverError::Stopped)
    }
}

fn unreadable(error: &CliError) -> DriverError {
    StoreError::new("read an execution", StoreErrorKind::Io(error.message.clone())).into()
}
