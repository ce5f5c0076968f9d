//! The tables, and how an older file becomes a newer one.

use enki_core::crash_point;
use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::{Batch, Connection};

/// `ENKI` in ASCII: says that the file is ours.
pub(crate) const APPLICATION_ID: i32 = 0x454e_4b49;

/// One script for each schema number, from 1. A released one is never edited.
pub(crate) const MIGRATIONS: &[&str] = &[V1];

/// The schema's number in the file, 0 for none.
pub(crate) fn number(db: &Connection) -> rusqlite::Result<u32> {
    db.query_row("PRAGMA user_version", [], |row| row.get(0))
}

pub(crate) fn application_id(db: &Connection) -> rusqlite::Result<i32> {
    db.query_row("PRAGMA application_id", [], |row| row.get(0))
}

/// Brings the file to the newest schema, within the caller's transaction: the caller holds the write lock.
pub(crate) fn migrate(db: &Connection, migrations: &[&str]) -> rusqlite::Result<()> {
    let found = number(db)? as usize;
    for script in migrations.iter().skip(found) {
        let mut statements = Batch::new(db, script);
        while let Some(mut statement) = statements.next()? {
            statement.execute([])?;
            crash_point!("migration.statement");
        }
    }
    db.pragma_update(None, "application_id", APPLICATION_ID)?;
    db.pragma_update(None, "user_version", known(migrations))
}

/// The newest schema's number.
pub(crate) fn known(migrations: &[&str]) -> u32 {
    u32::try_from(migrations.len()).expect("migrations are written by hand")
}

// `logs.log` grows with each new log, so it also is the order of submission: times may run backwards.
// The index on the tail of an id is the short id that people see. `head` is the hash of the last event.
const V1: &str = "
CREATE TABLE logs (
    log     INTEGER PRIMARY KEY,
    kind    TEXT    NOT NULL CHECK (kind <> ''),
    id      TEXT    NOT NULL CHECK (length(id) = 32),
    version INTEGER NOT NULL CHECK (version >= 1),
    head    BLOB    NOT NULL CHECK (length(head) = 32),
    UNIQUE (kind, id)
) STRICT;
CREATE UNIQUE INDEX logs_short ON logs (substr(id, 21)) WHERE kind = 'execution';

CREATE TABLE events (
    log     INTEGER NOT NULL REFERENCES logs (log),
    version INTEGER NOT NULL CHECK (version >= 1),
    at      INTEGER NOT NULL,
    epoch   INTEGER NOT NULL CHECK (epoch >= 1),
    major   INTEGER NOT NULL CHECK (major BETWEEN 0 AND 65535),
    minor   INTEGER NOT NULL CHECK (minor BETWEEN 0 AND 65535),
    body    TEXT    NOT NULL,
    hash    BLOB    NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (log, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE executions (
    log         INTEGER PRIMARY KEY REFERENCES logs (log),
    title       TEXT    NOT NULL,
    status      TEXT    NOT NULL,
    open        INTEGER NOT NULL CHECK (open IN (0, 1)),
    created     INTEGER NOT NULL,
    updated     INTEGER NOT NULL,
    counts      TEXT    NOT NULL CHECK (json_valid(counts)),
    request_id  TEXT,
    fingerprint TEXT    NOT NULL
) STRICT;
CREATE INDEX executions_open        ON executions (log) WHERE open = 1;
CREATE INDEX executions_request_id  ON executions (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX executions_fingerprint ON executions (fingerprint);

CREATE TABLE tasks (
    task TEXT    NOT NULL PRIMARY KEY CHECK (length(task) = 12),
    log  INTEGER NOT NULL REFERENCES logs (log),
    ix   INTEGER NOT NULL CHECK (ix >= 0),
    step TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
    scope  TEXT    NOT NULL PRIMARY KEY,
    epoch  INTEGER NOT NULL CHECK (epoch >= 1),
    holder TEXT    CHECK (json_valid(holder)),
    until  INTEGER,
    CHECK ((holder IS NULL) = (until IS NULL))
) STRICT, WITHOUT ROWID;
";
