//! The suite of task stores, on files.

use enki_store_sqlite::{OpenOptions, SqliteStore};
use enki_testkit::suite::store::StoreFixture;
use std::path::Path;
use tempfile::TempDir;

/// All stores of one test, each in a folder of its own.
struct InFiles(TempDir);

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, &OpenOptions::new().accept_any_file_system()).expect("a temporary folder can be written")
}

impl StoreFixture for InFiles {
    type Store = SqliteStore;

    async fn open(&self) -> SqliteStore {
        let folder = tempfile::tempdir_in(&self.0).expect("a temporary folder can be made").keep();
        open(&folder.join("enki.db"))
    }

    async fn reopen(&self, store: SqliteStore) -> Option<SqliteStore> {
        let path = store.path().to_owned();
        drop(store);
        Some(open(&path))
    }

    async fn second(&self, store: &SqliteStore) -> Option<SqliteStore> {
        Some(open(store.path()))
    }
}

enki_testkit::task_store_conformance!(InFiles(tempfile::tempdir().expect("a temporary folder can be made")));
