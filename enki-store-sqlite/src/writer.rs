//! The thread that owns the one writing connection. Whatever has queued up while it synced becomes one transaction.

use crate::error::{Fault, kind_of};
use crate::identity::Identity;
use enki_core::store::{StoreError, StoreErrorKind};
use futures::channel::oneshot;
use rusqlite::Connection;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

/// More requests than this wait for the next transaction, so that the first do not wait for ever.
const GROUP: usize = 1024;

/// The handle of the writing thread.
pub(crate) struct Writer {
    requests: Option<Sender<Box<dyn Write>>>,
    thread: Option<JoinHandle<()>>,
    counts: Arc<WriteCounts>,
}

/// What the writing thread did since it started.
#[derive(Debug, Default)]
pub(crate) struct WriteCounts {
    pub(crate) requests: AtomicU64,
    pub(crate) commits: AtomicU64,
}

impl Writer {
    pub(crate) fn start(db: Connection, identity: Identity) -> io::Result<Self> {
        let (requests, queue) = channel();
        let counts = Arc::new(WriteCounts::default());
        let mut serving = Serving { db, identity, replaced: false, counts: Arc::clone(&counts) };
        let thread = thread::Builder::new().name("enki-store-write".to_owned()).spawn(move || serving.run(&queue))?;
        Ok(Self { requests: Some(requests), thread: Some(thread), counts })
    }

    /// Runs it in a transaction, maybe together with others, and answers when that is durable. It runs a second time
    /// if the first transaction had to be undone because of another request in it.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        attempted: String,
        op: impl FnMut(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let ended = StoreError::new(attempted.clone(), StoreErrorKind::Io("the writing thread has ended".to_owned()));
        let request: Box<dyn Write> = Box::new(Request { attempted, op, outcome: None, reply });
        match self.requests.as_ref().map(|requests| requests.send(request)) {
            Some(Ok(())) => answer.await.unwrap_or(Err(ended)),
            Some(Err(_)) | None => Err(ended),
        }
    }

    pub(crate) fn counts(&self) -> &WriteCounts {
        &self.counts
    }
}

/// What was requested before is still done; then the connection is closed.
impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has closed its connection, and SQLite undid its transaction.
            let _ = thread.join();
        }
    }
}

/// A request without its type.
trait Write: Send {
    fn run(&mut self, db: &Connection) -> Ran;
    /// Gives it another outcome: its transaction could not begin or commit.
    fn fail(&mut self, kind: &StoreErrorKind);
    fn settle(self: Box<Self>);
}

/// What became of a request inside a transaction.
enum Ran {
    Kept,
    Refused,
    Failed,
}

struct Request<T, F> {
    attempted: String,
    op: F,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnMut(&Connection) -> Result<T, Fault> + Send> Write for Request<T, F> {
    fn run(&mut self, db: &Connection) -> Ran {
        let (ran, outcome) = match (self.op)(db) {
            Ok(value) => (Ran::Kept, Ok(value)),
            Err(fault @ Fault::Refused(_)) => (Ran::Refused, Err(fault.into_error(&self.attempted))),
            Err(fault @ Fault::Failed(_)) => (Ran::Failed, Err(fault.into_error(&self.attempted))),
        };
        self.outcome = Some(outcome);
        ran
    }

    fn fail(&mut self, kind: &StoreErrorKind) {
        self.outcome = Some(Err(StoreError::new(&self.attempted, kind.clone())));
    }

    fn settle(self: Box<Self>) {
        if let Some(outcome) = self.outcome {
            // The caller may have gone: its request is done all the same.
            let _ = self.reply.send(outcome);
        }
    }
}

struct Serving {
    db: Connection,
    identity: Identity,
    replaced: bool,
    counts: Arc<WriteCounts>,
}

impl Serving {
    fn run(&mut self, queue: &Receiver<Box<dyn Write>>) {
        while let Ok(first) = queue.recv() {
            let mut group = vec![first];
            group.extend(queue.try_iter().take(GROUP - 1));
            self.counts.requests.fetch_add(group.len() as u64, Ordering::Relaxed);
            self.serve(&mut group);
            for request in group {
                request.settle();
            }
        }
    }

    /// All in one transaction; if one of them makes it fail, each in its own, so that it fails alone.
    fn serve(&mut self, group: &mut [Box<dyn Write>]) {
        // Once replaced, always replaced: what we wrote meanwhile may be in neither file.
        self.replaced = self.replaced || !self.identity.still_there();
        if self.replaced {
            return fail(group, &StoreErrorKind::Replaced);
        }
        match self.transaction(group) {
            Ok(()) => {}
            Err(Aborted::All(kind)) => fail(group, &kind),
            Err(Aborted::Within(kind)) if group.len() == 1 => {
                if let Some(kind) = kind {
                    fail(group, &kind);
                }
            }
            Err(Aborted::Within(_)) => {
                for request in group {
                    self.serve(std::slice::from_mut(request));
                }
            }
        }
    }

    fn transaction(&self, group: &mut [Box<dyn Write>]) -> Result<(), Aborted> {
        // Immediate: an upgraded read fails at once as busy, whatever the time-out.
        self.sql("BEGIN IMMEDIATE").map_err(Aborted::All)?;
        let result = self.within(group);
        if result.is_err() && !self.db.is_autocommit() {
            // Some errors have ended the transaction already. One that cannot be undone ends with the connection.
            let _ = self.sql("ROLLBACK");
        }
        result
    }

    fn within(&self, group: &mut [Box<dyn Write>]) -> Result<(), Aborted> {
        let mut kept = 0_usize;
        for request in group.iter_mut() {
            self.sql("SAVEPOINT request").map_err(|kind| Aborted::Within(Some(kind)))?;
            match request.run(&self.db) {
                Ran::Kept => kept += 1,
                Ran::Refused => self.sql("ROLLBACK TO request").map_err(|kind| Aborted::Within(Some(kind)))?,
                Ran::Failed => return Err(Aborted::Within(None)),
            }
            self.sql("RELEASE request").map_err(|kind| Aborted::Within(Some(kind)))?;
        }
        let end = if kept == 0 { "ROLLBACK" } else { "COMMIT" };
        self.sql(end).map_err(|kind| Aborted::Within(Some(kind)))?;
        self.counts.commits.fetch_add(u64::from(kept > 0), Ordering::Relaxed);
        Ok(())
    }

    fn sql(&self, sql: &str) -> Result<(), StoreErrorKind> {
        let run = || self.db.prepare_cached(sql)?.execute([]);
        run().map(drop).map_err(|error| kind_of(&error))
    }
}

/// A transaction that was undone.
enum Aborted {
    /// It could not begin.
    All(StoreErrorKind),
    /// A request in it failed, and has the error as its outcome, or the transaction itself did.
    Within(Option<StoreErrorKind>),
}

fn fail(group: &mut [Box<dyn Write>], kind: &StoreErrorKind) {
    for request in group {
        request.fail(kind);
    }
}
