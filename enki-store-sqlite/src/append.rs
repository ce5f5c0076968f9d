//! Appends to logs and writes their projections, within the transaction of the writing thread.

use crate::chain::{self, Link};
use crate::error::Fault;
use crate::lease;
use enki_core::id::ExecutionId;
use enki_core::store::{Append, Epoch, Lease, LogId, StoreErrorKind, Summary, TaskRow, Version};
use rusqlite::{Connection, OptionalExtension, params};

/// Writes the batch, or says why not: what was written until then is undone by the caller.
pub(crate) fn append(db: &Connection, lease: &Lease, batch: &[Append]) -> Result<Vec<Version>, Fault> {
    lease::check(db, lease)?;
    batch.iter().map(|one| append_one(db, lease.epoch, one)).collect()
}

fn append_one(db: &Connection, epoch: Epoch, append: &Append) -> Result<Version, Fault> {
    append.validate()?;
    let head = head(db, append.log)?;
    let actual = head.as_ref().map_or(Version(0), |head| head.version);
    if actual != append.expected {
        let (log, expected) = (append.log, append.expected);
        return Err(StoreErrorKind::Conflict { log, expected, actual }.into());
    }
    // The row of a log is there before its events: they refer to it.
    let key = match &head {
        Some(head) => head.key,
        None => create_log(db, append.log, append.execution())?,
    };
    let before = head.map_or_else(|| chain::root(append.log), |head| head.hash);
    let (version, hash) = write_events(db, key, epoch, append, before)?;
    db.prepare_cached("UPDATE logs SET version = ?2, head = ?3 WHERE log = ?1")?.execute(params![
        key,
        to_sql(version.0, "version")?,
        hash
    ])?;
    if let Some(execution) = append.execution() {
        write_tasks(db, key, execution, &append.tasks)?;
        if let Some(summary) = &append.summary {
            write_summary(db, key, summary)?;
        }
    }
    Ok(version)
}

/// Where a log ends.
pub(crate) struct Head {
    pub(crate) key: i64,
    pub(crate) version: Version,
    pub(crate) hash: Link,
}

pub(crate) fn head(db: &Connection, log: LogId) -> rusqlite::Result<Option<Head>> {
    db.prepare_cached("SELECT log, version, head FROM logs WHERE kind = ?1 AND id = ?2")?
        .query_row(params![log.kind.as_str(), hex(log)], |row| {
            Ok(Head { key: row.get(0)?, version: Version(row.get::<_, i64>(1)?.unsigned_abs()), hash: row.get(2)? })
        })
        .optional()
}

fn create_log(db: &Connection, log: LogId, execution: Option<ExecutionId>) -> Result<i64, Fault> {
    if let Some(execution) = execution {
        let taken = db
            .prepare_cached(
                "SELECT 1 FROM logs INDEXED BY logs_short WHERE kind = 'execution' AND substr(id, 21) = ?1",
            )?
            .exists([execution.short()])?;
        if taken {
            return Err(StoreErrorKind::Duplicate(execution.to_string()).into());
        }
    }
    // Version and hash are replaced in the same transaction, when the events are in.
    db.prepare_cached("INSERT INTO logs (kind, id, version, head) VALUES (?1, ?2, 1, zeroblob(32))")?
        .execute(params![log.kind.as_str(), hex(log)])?;
    Ok(db.last_insert_rowid())
}

fn write_events(
    db: &Connection,
    key: i64,
    epoch: Epoch,
    append: &Append,
    mut hash: Link,
) -> Result<(Version, Link), Fault> {
    let mut insert = db.prepare_cached(
        "INSERT INTO events (log, version, at, epoch, major, minor, body, hash)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let (at, format) = (append.at, append.format);
    let mut version = append.expected;
    for body in &append.events {
        version = Version(version.0 + 1);
        hash = chain::next(&hash, version, at, epoch, format, body);
        let (number, epoch) = (to_sql(version.0, "version")?, to_sql(epoch.0, "epoch")?);
        insert.execute(params![key, number, at.0, epoch, format.major, format.minor, body, hash])?;
    }
    Ok((version, hash))
}

fn write_tasks(db: &Connection, key: i64, execution: ExecutionId, tasks: &[TaskRow]) -> Result<(), Fault> {
    let mut insert = db.prepare_cached(
        "INSERT INTO tasks (task, log, ix, step) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (task) DO NOTHING",
    )?;
    for row in tasks {
        let (task, step) = (row.task.hex(), row.step.as_str());
        if insert.execute(params![task, key, row.ix.0, step])? == 0 {
            let known = db
                .prepare_cached("SELECT 1 FROM tasks WHERE task = ?1 AND log = ?2 AND ix = ?3 AND step = ?4")?
                .exists(params![task, key, row.ix.0, step])?;
            if !known {
                tracing::debug!(%execution, task = %row.task, "task id is taken");
                return Err(StoreErrorKind::Duplicate(row.task.to_string()).into());
            }
        }
    }
    Ok(())
}

fn write_summary(db: &Connection, key: i64, summary: &Summary) -> Result<(), Fault> {
    let Summary { title, status, open, created, updated, counts, request_id, fingerprint, .. } = summary;
    let counts = serde_json::to_string(counts).expect("counts are plain numbers");
    // Most changes touch no indexed column: naming only the others spares SQLite the three indexes.
    let changed = db
        .prepare_cached(
            "UPDATE executions SET title = ?2, status = ?3, created = ?5, updated = ?6, counts = ?7
             WHERE log = ?1 AND open = ?4 AND request_id IS ?8 AND fingerprint = ?9",
        )?
        .execute(params![key, title, status, open, created.0, updated.0, counts, request_id, fingerprint])?;
    if changed == 0 {
        db.prepare_cached(
            "INSERT INTO executions (log, title, status, open, created, updated, counts, request_id, fingerprint)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT (log) DO UPDATE SET title = excluded.title, status = excluded.status, open = excluded.open,
             created = excluded.created, updated = excluded.updated, counts = excluded.counts,
             request_id = excluded.request_id, fingerprint = excluded.fingerprint",
        )?
        .execute(params![key, title, status, open, created.0, updated.0, counts, request_id, fingerprint])?;
    }
    Ok(())
}

/// SQLite has no unsigned 64-bit numbers.
pub(crate) fn to_sql(number: u64, what: &str) -> Result<i64, Fault> {
    i64::try_from(number).map_err(|_| StoreErrorKind::Invalid(format!("{what} {number} is over 2^63")).into())
}

fn hex(log: LogId) -> String {
    format!("{:032x}", log.id)
}
