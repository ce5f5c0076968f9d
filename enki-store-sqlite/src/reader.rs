//! Threads that read, so that no reader waits for a writer and no async thread waits for a disk.

use crate::connection::{Access, beside, open_reader};
use crate::error::{Fault, io_error};
use crate::identity::Identity;
use enki_core::store::{StoreError, StoreErrorKind};
use futures::channel::oneshot;
use rusqlite::Connection;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

/// A few threads with one connection each.
pub(crate) struct Readers {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

type Job = Box<dyn FnOnce(&mut Reader) + Send>;

impl Readers {
    /// Starts one thread for each reader.
    pub(crate) fn start(readers: Vec<Reader>) -> io::Result<Self> {
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        let mut threads = Vec::new();
        for mut reader in readers {
            let queue = Arc::clone(&queue);
            let thread = thread::Builder::new().name("enki-store-read".to_owned());
            threads.push(thread.spawn(move || {
                while let Some(job) = take(&queue) {
                    job(&mut reader);
                }
            })?);
        }
        Ok(Self { jobs: Some(jobs), threads })
    }

    /// Runs it on a thread that is free. It may run twice if the file changed meanwhile.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        attempted: String,
        op: impl Fn(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let ended = StoreError::new(attempted.clone(), StoreErrorKind::Io("the reading thread has ended".to_owned()));
        let job: Job = Box::new(move |reader| {
            // Nobody may wait for the answer any more; that is no error.
            let _ = reply.send(reader.with(&attempted, op));
        });
        match self.jobs.as_ref().map(|jobs| jobs.send(job)) {
            Some(Ok(())) => answer.await.unwrap_or(Err(ended)),
            Some(Err(_)) | None => Err(ended),
        }
    }
}

fn take(queue: &Mutex<Receiver<Job>>) -> Option<Job> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

impl Drop for Readers {
    fn drop(&mut self) {
        drop(self.jobs.take());
        for thread in self.threads.drain(..) {
            // A thread that panicked has closed its connection too.
            let _ = thread.join();
        }
    }
}

/// One connection, opened when it is first needed, and again if what it shows is of the past.
pub(crate) struct Reader {
    path: PathBuf,
    busy_timeout: Duration,
    place: Place,
    open: Option<(Connection, Option<Stamp>)>,
}

/// Which file a reader expects.
pub(crate) enum Place {
    /// The one that our own writer has open.
    Ours(Identity),
    /// Whatever is there; another process may write it, replace it, or have left it.
    Others,
}

/// Which file it is, and its state if nobody has it open. Such a file is read as an immutable one, which makes nothing
/// beside it (a read-only mount will do); if its stamp is the same after a read, nobody wrote during it.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Stamp {
    #[cfg(unix)]
    inode: (u64, u64),
    quiet: Option<(u64, SystemTime)>,
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        let meta = fs::metadata(path)?;
        let in_use = beside(path, "-wal").try_exists()?;
        Ok(Self {
            #[cfg(unix)]
            inode: (meta.dev(), meta.ino()),
            quiet: if in_use { None } else { Some((meta.len(), meta.modified()?)) },
        })
    }
}

impl Reader {
    pub(crate) const fn new(path: PathBuf, busy_timeout: Duration, place: Place) -> Self {
        Self { path, busy_timeout, place, open: None }
    }

    /// Gives it a connection that shows all that was committed before.
    pub(crate) fn with<T>(
        &mut self,
        attempted: &str,
        op: impl Fn(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        loop {
            let before = match self.place {
                Place::Ours(_) => None,
                Place::Others => Some(Stamp::of(&self.path).map_err(|e| io_error(attempted, e))?),
            };
            let result = op(self.connect(attempted, before.clone())?);
            let quiet = before.as_ref().is_some_and(|stamp| stamp.quiet.is_some());
            if quiet && Stamp::of(&self.path).ok() != before {
                continue; // Somebody began to write: neither a value nor an error of this read can be trusted.
            }
            return result.map_err(|fault| fault.into_error(attempted));
        }
    }

    fn connect(&mut self, attempted: &str, stamp: Option<Stamp>) -> Result<&Connection, StoreError> {
        if self.open.as_ref().is_none_or(|(_, of)| *of != stamp) {
            self.open = None;
            let quiet = stamp.as_ref().is_some_and(|stamp| stamp.quiet.is_some());
            let access = if quiet { Access::Snapshot } else { Access::Read };
            let db = open_reader(&self.path, access, self.busy_timeout)
                .map_err(|error| Fault::from(error).into_error(attempted))?;
            if let Place::Ours(identity) = &self.place
                && !identity.still_there()
            {
                return Err(StoreError::new(attempted, StoreErrorKind::Replaced));
            }
            self.open = Some((db, stamp));
        }
        Ok(&self.open.as_ref().expect("it was opened above").0)
    }
}
