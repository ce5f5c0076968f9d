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

/// The machines as they are stored.
#[derive(Debug)]
pub(super) struct Alone(Mutex<Hands>);

#[derive(Debug)]
enum Hands {
    /// They are only looked at.
    Tied(Shelf),
    /// They are moved, as long as the lock is held.
    Free(Offline, ProjectLock),
}

impl Hands {
    const fn shelf(&mut self) -> &mut Shelf {
        match self {
            Self::Tied(shelf) => shelf,
            Self::Free(offline, _) => offline.shelf(),
        }
    }
}

impl Alone {
    /// To look at.
    pub(super) fn looking(shelf: Shelf) -> Self {
        Self(Mutex::new(Hands::Tied(shelf)))
    }

    /// To be moved.
    pub(super) fn moving(offline: Offline, lock: ProjectLock) -> Self {
        Self(Mutex::new(Hands::Free(offline, lock)))
    }

    /// Gives lease and lock back.
    pub(super) async fn close(self) -> Result<(), CliError> {
        match self.0.into_inner() {
            Hands::Tied(_) => Ok(()),
            Hands::Free(offline, _lock) => offline.close().await,
        }
    }
}

#[async_trait]
impl Machines for Alone {
    async fn find(&self, id: &str) -> Result<Vec<Found>, DriverError> {
        Ok(self.0.lock().await.shelf().find(id).await?)
    }

    async fn load(&self, execution: ExecutionId) -> Result<(), DriverError> {
        self.0.lock().await.shelf().load(execution).await.map_err(|error| unreadable(&error))
    }

    async fn look(&self, look: Look) -> Result<(), DriverError> {
        look(self.0.lock().await.shelf().engine());
        Ok(())
    }

    async fn command(&self, execution: ExecutionId, command: Command) -> Result<(), DriverError> {
        match &mut *self.0.lock().await {
            Hands::Tied(_) => Err(DriverError::Stopped),
            Hands::Free(offline, _) => offline.command(execution, command).await,
        }
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
