//! The store keeps the contract of every store.

use enki_testkit::suite::store::StoreFixture;
use file_store::FileStore;
use std::path::Path;
use tempfile::TempDir;

/// All stores of one test, each in a folder of its own.
struct InFolders(TempDir);

fn open(path: &Path) -> FileStore {
    FileStore::open(path).expect("a temporary folder can be written")
}

impl StoreFixture for InFolders {
    type Store = FileStore;

    async fn open(&self) -> FileStore {
        let folder = tempfile::tempdir_in(&self.0).expect("a temporary folder can be made").keep();
        open(&folder.join("journal"))
    }

    async fn reopen(&self, store: FileStore) -> Option<FileStore> {
        let path = store.path().to_owned();
        drop(store);
        Some(open(&path))
    }

    async fn second(&self, store: &FileStore) -> Option<FileStore> {
        Some(open(store.path()))
    }
}

enki_testkit::task_store_conformance!(InFolders(tempfile::tempdir().expect("a temporary folder can be made")));
