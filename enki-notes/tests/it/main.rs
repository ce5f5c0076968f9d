//! Notes as files: their form, their names, and what becomes of them.
#![expect(clippy::unwrap_used, reason = "tests")]

mod find;
mod form;
mod handed;
mod kinds;
mod names;
mod promotes;
mod settles;

use enki_core::time::Timestamp;
use enki_notes::{Log, NotePath};
use std::fs;
use std::path::PathBuf;

/// 2023-11-14T22:13:20Z.
const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// A project with notes.
struct Place {
    dir: tempfile::TempDir,
    log: Log,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("shop");
        fs::create_dir(&root).unwrap();
        Self { log: Log::new(root), dir }
    }

    fn file(&self, path: &NotePath) -> PathBuf {
        self.dir.path().join("shop").join(path.as_str())
    }

    fn text(&self, path: &NotePath) -> String {
        fs::read_to_string(self.file(path)).unwrap()
    }

    /// Puts a file where a person would.
    fn put(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.dir.path().join("shop/docs/log").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
