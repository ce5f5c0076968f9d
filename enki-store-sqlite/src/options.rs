//! How a store is opened.

use std::time::Duration;

/// How [`SqliteStore::open`](crate::SqliteStore::open) opens a store.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenOptions {
    pub(crate) busy_timeout: Duration,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) file_systems: FileSystems,
}

/// Which file systems a store may be on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FileSystems {
    Safe,
    Any,
}

impl OpenOptions {
    /// Waits 5 s for a lock of another process, without a limit of size, on local file systems only.
    #[must_use]
    pub const fn new() -> Self {
        Self { busy_timeout: Duration::from_secs(5), max_bytes: None, file_systems: FileSystems::Safe }
    }

    /// How long a call waits for a lock of another process before it gives up as busy.
    #[must_use]
    pub const fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// The file grows to that many bytes at most (to the next page, 4 KiB); an append beyond is refused as full.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// Also accepts network and FUSE file systems, whose locks, shared memory or syncs may lie.
    #[must_use]
    pub const fn accept_any_file_system(mut self) -> Self {
        self.file_systems = FileSystems::Any;
        self
    }
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self::new()
    }
}
