//! `SqliteStore`: the handle that callers hold.

use crate::error::io_error;
use crate::identity::Identity;
use crate::options::OpenOptions;
use crate::reader::{Place, Reader, Readers};
use crate::schema::MIGRATIONS;
use crate::writer::Writer;
use crate::{append, backup, lease, open, read};
use async_trait::async_trait;
use enki_core::store::{
    Append, Found, Holder, Lease, ListFilter, LogId, Recorded, StoreError, StoreErrorKind, Summary, TaskStore, Version,
};
use enki_core::time::Timestamp;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// A [`TaskStore`] in one SQLite file.
///
/// Calls work under any executor: the disk is waited for by threads of the store, not by the caller's. Dropping it
/// waits until the requests made so far are done and the file is closed.
pub struct SqliteStore {
    path: PathBuf,
    // Before the writer: the last connection to close tidies up the file, and only a writing one can.
    readers: Readers,
    writer: Option<Writer>,
}

/// What a store wrote since it was opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Writing calls.
    pub requests: u64,
    /// Transactions they took: requests that arrive during a sync share the next one.
    pub commits: u64,
}

impl SqliteStore {
    /// Opens a store to read and write, and makes it, with its folder, if there is none. An older schema is brought up
    /// to date after a backup to `<file>.backup-v<schema>`. Blocks for some milliseconds.
    ///
    /// The whole file is checked up to 16 MiB; of a larger one the tables that [`load`](TaskStore::load) does not
    /// check. [`check`](Self::check) does all.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`] and [`StoreErrorKind::Newer`] with the file as it was,
    /// [`StoreErrorKind::Unsupported`] on a file system that cannot keep it safely, and what the disk says.
    pub fn open(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Self, StoreError> {
        Self::open_with(path.as_ref(), options, MIGRATIONS)
    }

    fn open_with(path: &Path, options: &OpenOptions, migrations: &[&str]) -> Result<Self, StoreError> {
        let (path, db) = open::for_writing(path, options, migrations)?;
        let io = |error| io_error(format!("open the store {}", path.display()), error);
        let identity = Identity::of(&path).map_err(io)?;
        let place = || Place::Ours(identity.clone());
        let readers = (0..2).map(|_| Reader::new(path.clone(), options.busy_timeout, place())).collect();
        let writer = Writer::start(db, identity.clone()).map_err(io)?;
        Ok(Self { readers: Readers::start(readers).map_err(io)?, writer: Some(writer), path })
    }

    /// Opens a store to read only, whoever else has it open. Makes nothing, changes nothing.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open). There must be a store.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = open::for_reading(path.as_ref(), MIGRATIONS)?;
        let reader = Reader::new(path.clone(), OpenOptions::new().busy_timeout, Place::Others);
        let readers = Readers::start(vec![reader])
            .map_err(|error| io_error(format!("open the store {}", path.display()), error))?;
        Ok(Self { readers, writer: None, path })
    }

    /// The file, absolute and with links resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Copies the store as of one moment, while it is in use. The copy is whole and durable before it has its name.
    /// Name it `<file>.backup-<what>` beside the store, and [`newest_backup`](crate::newest_backup) finds it.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Invalid`] if the target exists; it is left as it is.
    pub async fn backup_to(&self, target: impl AsRef<Path>) -> Result<(), StoreError> {
        let to = target.as_ref().to_owned();
        let attempted = format!("back up {} to {}", self.path.display(), to.display());
        let name = attempted.clone();
        self.readers.run(attempted, move |db| Ok(backup::copy_to(db, &to, &name))).await?
    }

    /// Looks for damage in the whole file: some 100 MB a second.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`] with the first that was found.
    pub async fn check(&self) -> Result<(), StoreError> {
        let attempted = format!("check {}", self.path.display());
        self.readers.run(attempted, |db| open::quick_check(db, "PRAGMA quick_check(1)")).await
    }

    /// What was written since it was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let count = |of: fn(&crate::writer::WriteCounts) -> &std::sync::atomic::AtomicU64| {
            self.writer.as_ref().map_or(0, |writer| of(writer.counts()).load(Ordering::Relaxed))
        };
        Stats { requests: count(|c| &c.requests), commits: count(|c| &c.commits) }
    }

    fn writer(&self, attempted: &str) -> Result<&Writer, StoreError> {
        self.writer.as_ref().ok_or_else(|| StoreError::new(attempted, StoreErrorKind::ReadOnly))
    }

    fn to(&self, what: fmt::Arguments<'_>) -> String {
        format!("{what} in {}", self.path.display())
    }
}

#[async_trait]
impl TaskStore for SqliteStore {
    async fn append(&self, lease: &Lease, batch: Vec<Append>) -> Result<Vec<Version>, StoreError> {
        let attempted = match &*batch {
            [] => self.to(format_args!("append nothing")),
            [one] => self.to(format_args!("append to log {}", one.log)),
            [first, rest @ ..] => self.to(format_args!("append to log {} and {} more", first.log, rest.len())),
        };
        let lease = lease.clone();
        self.writer(&attempted)?.run(attempted, move |db| append::append(db, &lease, &batch)).await
    }

    async fn load(&self, log: LogId, after: Version) -> Result<Vec<Recorded>, StoreError> {
        let attempted = self.to(format_args!("load log {log}"));
        self.readers.run(attempted, move |db| read::load(db, log, after)).await
    }

    async fn list(&self, filter: &ListFilter) -> Result<Vec<Summary>, StoreError> {
        let filter = filter.clone();
        self.readers.run(self.to(format_args!("list executions")), move |db| read::list(db, &filter)).await
    }

    async fn find(&self, prefix: &str) -> Result<Vec<Found>, StoreError> {
        let attempted = self.to(format_args!("find {prefix:?}"));
        let prefix = prefix.to_owned();
        self.readers.run(attempted, move |db| read::find(db, &prefix)).await
    }

    async fn acquire(
        &self,
        scope: &str,
        holder: &Holder,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Lease, StoreError> {
        let attempted = self.to(format_args!("acquire the lease of {scope}"));
        let (scope, holder) = (scope.to_owned(), holder.clone());
        self.writer(&attempted)?.run(attempted, move |db| lease::acquire(db, &scope, &holder, now, until)).await
    }

    async fn renew(&self, lease: &Lease, _now: Timestamp, until: Timestamp) -> Result<Lease, StoreError> {
        let attempted = self.to(format_args!("renew the lease of {}", lease.scope));
        let lease = lease.clone();
        self.writer(&attempted)?.run(attempted, move |db| lease::renew(db, &lease, until)).await
    }

    async fn release(&self, lease: Lease) -> Result<(), StoreError> {
        let attempted = self.to(format_args!("release the lease of {}", lease.scope));
        self.writer(&attempted)?.run(attempted, move |db| lease::release(db, &lease)).await
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.path).field("stats", &self.stats()).finish_non_exhaustive()
    }
}
