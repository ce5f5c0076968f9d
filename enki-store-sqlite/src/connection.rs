//! Opens connections: the only place that does, so that all have the same settings.

use crate::options::OpenOptions;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a connection may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Access {
    /// Reads and follows what others write. It may create the `-shm` file, so only where there is a `-wal`.
    Read,
    /// Reads a file that nobody has open, and creates nothing beside it.
    Snapshot,
}

/// The connection of the writing thread.
pub(crate) fn open_writer(path: &Path, options: &OpenOptions) -> rusqlite::Result<Connection> {
    // Without CREATE: a file is made by `open::create` or not at all.
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(options.busy_timeout)?;
    harden(&db)?;
    db.pragma_update(None, "synchronous", "FULL")?;
    // A burst may let the file grow; it shrinks again after the next checkpoint.
    db.pragma_update_and_check(None, "journal_size_limit", 64 << 20, |_| Ok(()))?;
    Ok(db)
}

/// A connection that cannot write.
pub(crate) fn open_reader(path: &Path, access: Access, busy_timeout: Duration) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = match access {
        Access::Read => Connection::open_with_flags(path, flags)?,
        Access::Snapshot => Connection::open_with_flags(immutable(path), flags | OpenFlags::SQLITE_OPEN_URI)?,
    };
    db.busy_timeout(busy_timeout)?;
    // The last one to close a file with a `-wal` writes it back; who only looks leaves it as it is.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    harden(&db)?;
    db.pragma_update(None, "query_only", true)?;
    Ok(db)
}

/// The file beside a database, such as its `-wal`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// What every connection has.
pub(crate) fn harden(db: &Connection) -> rusqlite::Result<()> {
    db.set_prepared_statement_cache_capacity(64);
    db.pragma_update(None, "foreign_keys", true)?;
    db.pragma_update(None, "trusted_schema", false)?;
    db.pragma_update(None, "cell_size_check", true)?;
    db.pragma_update_and_check(None, "mmap_size", 0, |_| Ok(()))
}

/// `file:<path>?immutable=1`, with every byte escaped that could mean something in a URI.
fn immutable(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'_' | b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => uri.push(char::from(*byte)),
            other => uri.push_str(&format!("%{other:02x}")),
        }
    }
    uri + "?immutable=1"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_has_the_settings_that_safety_rests_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (n INTEGER)").unwrap();
        let writer = open_writer(&path, &OpenOptions::new()).unwrap();
        let reader = open_reader(&path, Access::Read, Duration::from_secs(5)).unwrap();
        let get = |db: &Connection, name| db.query_row(&format!("PRAGMA {name}"), [], |r| r.get::<_, i64>(0)).unwrap();
        for db in [&writer, &reader] {
            let names = ["foreign_keys", "trusted_schema", "cell_size_check", "mmap_size", "busy_timeout"];
            assert_eq!(names.map(|name| get(db, name)), [1, 0, 1, 0, 5000]);
        }
        let full = 2;
        assert_eq!(get(&writer, "synchronous"), full);
        reader.execute("INSERT INTO t VALUES (1)", []).unwrap_err();
    }
}
