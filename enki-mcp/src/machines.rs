//! What the tools look at and act on.

use crate::failure::Failure;
use enki_core::async_trait;
use enki_core::dispatcher::Place;
use enki_core::driver::{Accepted, DriverError, NoticeKind, Orchestrator, Submission};
use enki_core::engine::Engine;
use enki_core::execution::Command;
use enki_core::id::{AttemptNo, ExecutionId};
use enki_core::store::Found;
use std::fmt;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::oneshot;

/// A look at the machines. Quick: it may run on a driver's task.
pub type Look = Box<dyn FnOnce(&Engine) + Send>;

/// The machines: those of a running driver, which is what [`Orchestrator`] gives, or those of a project nobody drives.
///
/// # Contract
///
/// What a method confirms is durable on return; what it refuses changed nothing.
#[async_trait]
pub trait Machines: fmt::Debug + Send + Sync {
    /// What an id that somebody typed may mean, whatever became of it.
    async fn find(&self, id: &str) -> Result<Vec<Found>, DriverError>;

    /// Takes up an execution, so that `look` sees it.
    async fn load(&self, execution: ExecutionId) -> Result<(), DriverError>;

    /// Looks at the machines.
    async fn look(&self, look: Look) -> Result<(), DriverError>;

    /// Does what somebody wants of an execution.
    async fn command(&self, execution: ExecutionId, command: Command) -> Result<(), DriverError>;

    /// Submits a plan. Where nobody drives, it is [`DriverError::Stopped`].
    async fn submit(&self, submission: Submission) -> Result<Accepted, DriverError>;

    /// Waits until no agent works for any of these steps, and at most that long.
    async fn wait_for_agents(&self, places: &[Place], limit: Duration) -> Result<(), DriverError>;

    /// Tells watchers what an agent says that it does.
    fn tell_activity(&self, place: Place, attempt: AttemptNo, text: String) -> Result<(), DriverError>;
}

#[async_trait]
impl Machines for Orchestrator {
    async fn find(&self, id: &str) -> Result<Vec<Found>, DriverError> {
        Self::find(self, id).await
    }

    async fn load(&self, execution: ExecutionId) -> Result<(), DriverError> {
        Self::load(self, execution).await
    }

    async fn look(&self, look: Look) -> Result<(), DriverError> {
        self.query(look).await
    }

    async fn command(&self, execution: ExecutionId, command: Command) -> Result<(), DriverError> {
        Self::command(self, execution, command).await
    }

    async fn submit(&self, submission: Submission) -> Result<Accepted, DriverError> {
        Self::submit(self, submission).await
    }

    async fn wait_for_agents(&self, places: &[Place], limit: Duration) -> Result<(), DriverError> {
        let mut notices = self.watch();
        let wait = async {
            loop {
                let places = places.to_vec();
                if !self.query(move |engine| places.iter().any(|place| engine.has_agent(*place))).await? {
                    return Ok(());
                }
                loop {
                    match notices.recv().await {
                        Ok(notice) if matches!(notice.kind, NoticeKind::Turn) => break,
                        Ok(_) => {}
                        Err(RecvError::Lagged(_)) => break,
                        Err(RecvError::Closed) => return Err(DriverError::Stopped),
                    }
                }
            }
        };
        tokio::time::timeout(limit, wait).await.unwrap_or(Ok(()))
    }

    fn tell_activity(&self, place: Place, attempt: AttemptNo, text: String) -> Result<(), DriverError> {
        Self::tell_activity(self, place, attempt, text)
    }
}

/// Looks, and gives what was seen.
pub(crate) async fn seen<T: Send + 'static>(
    machines: &dyn Machines,
    look: impl FnOnce(&Engine) -> T + Send + 'static,
) -> Result<T, Failure> {
    let (reply, answer) = oneshot::channel();
    machines
        .look(Box::new(move |engine| {
            // A caller that has gone needs no answer.
            let _ = reply.send(look(engine));
        }))
        .await?;
    answer.await.map_err(|_| DriverError::Stopped.into())
}
