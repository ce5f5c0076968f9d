//! `TaskStore` of Enki on SQLite: one file, one writing thread, durable on return; and `Recall` on files with a search
//! index by SQLite.
//!
//! ```no_run
//! use enki_store_sqlite::{OpenOptions, SqliteStore};
//! # fn main() -> Result<(), enki_core::store::StoreError> {
//! let store = SqliteStore::open(".enki/enki.db", &OpenOptions::new())?;
//! # Ok(()) }
//! ```
//!
//! # What is on disk
//!
//! A database in WAL mode with `application_id` `ENKI` and the schema's number in `user_version`. `logs` has one row
//! for each log: its version and the hash of its last event. `events` has the events, each with a hash over itself and
//! the one before, so that a lost or edited row is found by `load`. `executions` and `tasks` are projections, `leases`
//! says who may write. Backups are beside it, named `<file>.backup-<what>`.
//!
//! # What must not be done with the file
//!
//! No process that has the store open may open and close the file by other means: on Unix that drops SQLite's locks.
//! Nobody may delete the `-wal` or `-shm` file.

mod append;
mod backup;
mod chain;
mod connection;
mod error;
mod file_system;
mod identity;
mod lease;
mod open;
mod options;
mod read;
mod reader;
mod recall;
mod schema;
mod search;
mod store;
mod upgrade;
mod writer;

pub use backup::newest_backup;
pub use options::OpenOptions;
pub use recall::{FileRecall, memory_folder};
pub use search::{Document, Hit, Item, MARKS, SearchError, SearchIndex};
pub use store::{SqliteStore, Stats};
