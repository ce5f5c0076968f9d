//! The handle to a running driver.

use super::{Accepted, DriverError, Reply, Submission};
use crate::dispatcher::Place;
use crate::engine::{Effect, Engine, Event, Input};
use crate::execution::Command;
use crate::id::{AttemptNo, ExecutionId};
use crate::store::{Found, LogId};
use crate::time::Timestamp;
use tokio::sync::{broadcast, mpsc, oneshot};

/// Talks to a running driver. Cheap to clone; the driver ends when it is shut down.
#[derive(Clone, Debug)]
pub struct Orchestrator {
    inbox: mpsc::UnboundedSender<Message>,
    // Weak: who waits for notices learns from their end that the driver has stopped.
    notices: broadcast::WeakSender<Notice>,
}

/// Something a watcher may want to show. At-least-once, numbered.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Notice {
    /// Grows by one with each.
    pub sequence: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: NoticeKind,
}

/// What a watcher is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NoticeKind {
    /// A fact, durable by now.
    Event {
        /// In which log.
        log: LogId,
        /// It.
        event: Event,
    },
    /// What an agent does now. Not stored.
    Activity {
        /// Whose agent.
        place: Place,
        /// Which attempt.
        attempt: AttemptNo,
        /// One line.
        text: String,
    },
    /// What an agent says, in order, while it comes. Not stored.
    Said {
        /// Whose agent.
        place: Place,
        /// Which attempt.
        attempt: AttemptNo,
        /// What came since the last notice, a few times a second at most.
        text: String,
        /// Whether its message is whole with that; then the next one begins anew.
        whole: bool,
    },
    /// All facts of a turn were told, and what they call for was started: a good time to look.
    Turn,
}

/// How to shut down. Everything can be resumed after either.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Shutdown {
    /// Start nothing new, and end once what runs has ended.
    Drain,
    /// Stop what runs, keep what it left, and end.
    Kill,
}

pub(super) enum Message {
    Input(Input, Option<Reply>),
    Answer(Effect, Vec<Input>),
    Progress(Input),
    Activity(Place, AttemptNo, String),
    Said(Place, AttemptNo, String, bool),
    Submit(Box<Submission>, oneshot::Sender<Result<Accepted, DriverError>>),
    Load(ExecutionId, Reply),
    Find(String, oneshot::Sender<Result<Vec<Found>, DriverError>>),
    Query(Box<dyn FnOnce(&Engine) + Send>),
    /// The removal of a workspace came to its end.
    Tidied,
    Shutdown(Shutdown),
}

impl Orchestrator {
    pub(super) const fn new(inbox: mpsc::UnboundedSender<Message>, notices: broadcast::WeakSender<Notice>) -> Self {
        Self { inbox, notices }
    }

    /// Submits a plan. Durable on return. The same request id and plan again is the first answer again, and so is the
    /// same plan while its execution is open.
    ///
    /// # Errors
    ///
    /// [`DriverError::Plan`], [`DriverError::RequestIdConflict`], or the store's. Nothing is stored then.
    pub async fn submit(&self, submission: Submission) -> Result<Accepted, DriverError> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Submit(Box::new(submission), reply))?;
        answer.await.map_err(|_| DriverError::Stopped)?
    }

    /// Does what a person wants of an execution. Durable on return.
    ///
    /// # Errors
    ///
    /// [`DriverError::Rejected`] if the state does not allow it, [`DriverError::NotFound`].
    pub async fn command(&self, execution: ExecutionId, command: Command) -> Result<(), DriverError> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Input(Input::Command(execution, command), Some(reply)))?;
        answer.await.map_err(|_| DriverError::Stopped)?
    }

    /// Looks at the machines, between two turns. `look` runs on the driver's task and must be quick.
    ///
    /// # Errors
    ///
    /// [`DriverError::Stopped`].
    pub async fn query<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Engine) -> T + Send + 'static,
    ) -> Result<T, DriverError> {
        let (reply, answer) = oneshot::channel();
        let look = move |engine: &Engine| {
            // A caller that has gone needs no answer.
            let _ = reply.send(look(engine));
        };
        self.send(Message::Query(Box::new(look)))?;
        answer.await.map_err(|_| DriverError::Stopped)
    }

    /// Takes an execution up from the store, for [`Orchestrator::query`]. Open ones are there already.
    ///
    /// # Errors
    ///
    /// [`DriverError::NotFound`], or the store's.
    pub async fn load(&self, execution: ExecutionId) -> Result<(), DriverError> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Load(execution, reply))?;
        answer.await.map_err(|_| DriverError::Stopped)?
    }

    /// What an id that somebody typed may mean, whatever became of it: see [`crate::store::IdPrefix`].
    ///
    /// # Errors
    ///
    /// The store's; of [`crate::store::StoreErrorKind::Invalid`] if the text can be no id.
    pub async fn find(&self, id: &str) -> Result<Vec<Found>, DriverError> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Find(id.to_owned(), reply))?;
        answer.await.map_err(|_| DriverError::Stopped)?
    }

    /// Tells watchers what an agent does now, in its own words. Not stored.
    ///
    /// # Errors
    ///
    /// [`DriverError::Stopped`].
    pub fn tell_activity(&self, place: Place, attempt: AttemptNo, text: String) -> Result<(), DriverError> {
        self.send(Message::Activity(place, attempt, text))
    }

    /// Everything that happens from now on. A watcher that falls 4,096 notices behind loses the oldest, and is told. They
    /// end when the driver stops.
    #[must_use]
    pub fn watch(&self) -> broadcast::Receiver<Notice> {
        // Of one that has stopped there are none any more.
        self.notices.upgrade().map_or_else(|| broadcast::channel(1).1, |notices| notices.subscribe())
    }

    /// Waits until nothing more happens to an execution by itself: see [`Engine::at_rest`].
    ///
    /// # Errors
    ///
    /// [`DriverError::Stopped`].
    pub async fn rest(&self, execution: ExecutionId) -> Result<(), DriverError> {
        let mut notices = self.watch();
        loop {
            if self.query(move |engine| engine.at_rest(execution)).await? {
                return Ok(());
            }
            loop {
                match notices.recv().await {
                    Ok(Notice { kind: NoticeKind::Turn, .. }) | Err(broadcast::error::RecvError::Lagged(_)) => break,
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Closed) => return Err(DriverError::Stopped),
                }
            }
        }
    }

    /// Shuts the driver down. Its task ends soon after; see [`Shutdown`].
    pub fn shut_down(&self, mode: Shutdown) {
        // One that has stopped already is shut down.
        let _ = self.inbox.send(Message::Shutdown(mode));
    }

    fn send(&self, message: Message) -> Result<(), DriverError> {
        self.inbox.send(message).map_err(|_| DriverError::Stopped)
    }
}
