//! A task store in one file.
//!
//! The file is a journal of what was done, a line each. What follows from it is a [`MemoryStore`], which knows the rules
//! of versions, epochs and ids. So this crate has to know one thing alone: how to write a line so that it stays.

mod journal;
mod op;

use enki_core::async_trait;
use enki_core::memory::MemoryStore;
use enki_core::store::{
    Append, Found, Holder, Lease, ListFilter, LogId, Recorded, StoreError, StoreErrorKind, Summary, TaskStore, Version,
};
use enki_core::time::Timestamp;
use journal::Journal;
use op::{Op, now};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A [`TaskStore`] in a file, which several processes may have open at once.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    // Held for the length of one call, never across an await.
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug)]
struct Inside {
    journal: Journal,
    /// What the journal says, as far as it was read.
    state: MemoryStore,
}

impl FileStore {
    /// Opens the store in that file, which is made if it is not there. Its folder has to be.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`] if what is there is damaged or no store, [`StoreErrorKind::Newer`] if a newer version
    /// wrote it. It is left untouched then.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let opened = Journal::open(path).and_then(|journal| {
            let mut inside = Inside { journal, state: MemoryStore::new() };
            inside.locked(|_| Ok(()))?;
            Ok(inside)
        });
        let inside = opened.map_err(|e| StoreError::new(format!("open the store {}", path.display()), e.0))?;
        Ok(Self { path: path.to_owned(), inside: Arc::new(Mutex::new(inside)) })
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Does a call where it may block, and to its end: a caller that goes away interrupts nothing.
    async fn call<T: Send + 'static>(
        &self,
        attempted: impl Into<String>,
        call: impl FnOnce(&mut Inside) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inside = Arc::clone(&self.inside);
        // Each call leaves what is inside as it was, or reads it again: see `write`. So a poisoned lock guards no harm.
        let blocking = move || call(&mut inside.lock().unwrap_or_else(PoisonError::into_inner));
        let called = match tokio::task::spawn_blocking(blocking).await {
            Ok(called) => called,
            Err(ended) => Err(StoreErrorKind::Io(ended.to_string()).into()),
        };
        called.map_err(|e| StoreError::new(format!("{} in {}", attempted.into(), self.path.display()), e.0))
    }
}

impl Inside {
    /// Holds the lock against other processes, and knows what they wrote.
    fn locked<T>(&mut self, call: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        let _lock = self.journal.lock()?;
        let Self { journal, state } = self;
        journal.catch_up(|line| Op::parse(line)?.apply(state))?;
        call(self)
    }

    /// Asks the state, which knows the rules, and writes down what it did before anybody learns of it.
    fn write<T>(&mut self, op: &Op, call: impl FnOnce(&MemoryStore) -> Result<T, Failure>) -> Result<T, Failure> {
        self.locked(|inside| {
            let answer = call(&inside.state)?;
            // The state is ahead of the journal now. If the line cannot be written, all that is known is forgotten, and
            // the next call reads it again.
            let (state, read) = (std::mem::take(&mut inside.state), inside.journal.forget());
            inside.journal.append(read, &op.line()?)?;
            inside.state = state;
            Ok(answer)
        })
    }
}

#[async_trait]
impl TaskStore for FileStore {
    async fn append(&self, lease: &Lease, batch: Vec<Append>) -> Result<Vec<Version>, StoreError> {
        let lease = lease.clone();
        let call = move |inside: &mut Inside| {
            let op = Op::append(&lease, &batch);
            inside.write(&op, |state| now(state.append(&lease, batch)))
        };
        self.call("append", call).await
    }

    async fn load(&self, log: LogId, after: Version) -> Result<Vec<Recorded>, StoreError> {
        let call = move |inside: &mut Inside| inside.locked(|inside| now(inside.state.load(log, after)));
        self.call(format!("load log {log}"), call).await
    }

    async fn list(&self, filter: &ListFilter) -> Result<Vec<Summary>, StoreError> {
        let filter = filter.clone();
        let call = move |inside: &mut Inside| inside.locked(|inside| now(inside.state.list(&filter)));
        self.call("list executions", call).await
    }

    async fn find(&self, prefix: &str) -> Result<Vec<Found>, StoreError> {
        let (attempted, prefix) = (format!("find {prefix:?}"), prefix.to_owned());
        let call = move |inside: &mut Inside| inside.locked(|inside| now(inside.state.find(&prefix)));
        self.call(attempted, call).await
    }

    async fn acquire(
        &self,
        scope: &str,
        holder: &Holder,
        at: Timestamp,
        until: Timestamp,
    ) -> Result<Lease, StoreError> {
        let (scope, holder) = (scope.to_owned(), holder.clone());
        let attempted = format!("acquire the lease of {scope}");
        let call = move |inside: &mut Inside| {
            let op = Op::Acquire { scope: scope.clone(), holder: holder.clone(), now: at, until };
            inside.write(&op, |state| now(state.acquire(&scope, &holder, at, until)))
        };
        self.call(attempted, call).await
    }

    async fn renew(&self, lease: &Lease, at: Timestamp, until: Timestamp) -> Result<Lease, StoreError> {
        let lease = lease.clone();
        let attempted = format!("renew the lease of {}", lease.scope);
        let call = move |inside: &mut Inside| {
            let op = Op::Renew { lease: (&lease).into(), now: at, until };
            inside.write(&op, |state| now(state.renew(&lease, at, until)))
        };
        self.call(attempted, call).await
    }

    async fn release(&self, lease: Lease) -> Result<(), StoreError> {
        let attempted = format!("release the lease of {}", lease.scope);
        let call = move |inside: &mut Inside| {
            let op = Op::Release { lease: (&lease).into() };
            inside.write(&op, |state| now(state.release(lease)))
        };
        self.call(attempted, call).await
    }
}

/// Why a call failed. [`FileStore`] adds what was attempted, and where.
#[derive(Debug)]
struct Failure(StoreErrorKind);

impl From<StoreErrorKind> for Failure {
    fn from(kind: StoreErrorKind) -> Self {
        Self(kind)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        Self(match error.kind() {
            StorageFull | QuotaExceeded => StoreErrorKind::Full,
            PermissionDenied | ReadOnlyFilesystem => StoreErrorKind::ReadOnly,
            _ => StoreErrorKind::Io(error.to_string()),
        })
    }
}
