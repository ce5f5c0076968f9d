//! What is read: events of a log, lists of executions, and what a prefix of an id may mean.

use crate::append::head;
use crate::chain;
use crate::error::Fault;
use enki_core::id::{ExecutionId, StepIx, TaskId};
use enki_core::store::{
    Counts, Epoch, Format, Found, IdPrefix, ListFilter, LogId, Recorded, StoreErrorKind, Summary, Version,
};
use enki_core::time::Timestamp;
use rusqlite::types::{FromSqlError, ToSql, Type};
use rusqlite::{Connection, OptionalExtension, Row, params};

/// The events of a log after a version, with the chain checked up to the log's head.
pub(crate) fn load(db: &Connection, log: LogId, after: Version) -> Result<Vec<Recorded>, Fault> {
    // One transaction: head and events must be of the same moment.
    let tx = db.unchecked_transaction()?;
    let Some(head) = head(&tx, log)? else { return Ok(Vec::new()) };
    if after >= head.version {
        return Ok(Vec::new());
    }
    let first = i64::try_from(after.0).expect("it is below a stored version");
    let mut hash = if after == Version(0) {
        chain::root(log)
    } else {
        tx.prepare_cached("SELECT hash FROM events WHERE log = ?1 AND version = ?2")?
            .query_row(params![head.key, first], |row| row.get(0))
            .optional()?
            .ok_or_else(|| damaged(log, after, "is missing"))?
    };
    let mut select = tx.prepare_cached(
        "SELECT version, at, epoch, major, minor, body, hash FROM events
         WHERE log = ?1 AND version > ?2 ORDER BY version",
    )?;
    let mut rows = select.query(params![head.key, first])?;
    let mut events = Vec::new();
    let mut version = after;
    while let Some(row) = rows.next()? {
        version = Version(version.0 + 1);
        let event = recorded(row).map_err(|error| damaged(log, version, &format!("cannot be read: {error}")))?;
        if event.version != version {
            return Err(damaged(log, version, "is missing"));
        }
        hash = chain::next(&hash, version, event.at, event.epoch, event.format, &event.body);
        if row.get_ref(6)?.as_blob().ok() != Some(&hash[..]) {
            return Err(damaged(log, version, "does not match its checksum"));
        }
        events.push(event);
    }
    if version < head.version {
        return Err(damaged(log, Version(version.0 + 1), "is missing"));
    }
    if version > head.version || hash != head.hash {
        return Err(damaged(log, version, "is not the one the log ends with"));
    }
    Ok(events)
}

fn damaged(log: LogId, version: Version, how: &str) -> Fault {
    StoreErrorKind::Corrupt(format!("event {} of log {log} {how}", version.0)).into()
}

fn recorded(row: &Row<'_>) -> rusqlite::Result<Recorded> {
    let text = |e: FromSqlError| rusqlite::Error::FromSqlConversionFailure(5, Type::Text, Box::new(e));
    Ok(Recorded {
        version: Version(row.get::<_, i64>(0)?.unsigned_abs()),
        at: Timestamp(row.get(1)?),
        epoch: Epoch(row.get::<_, i64>(2)?.unsigned_abs()),
        format: Format { major: row.get(3)?, minor: row.get(4)? },
        body: row.get_ref(5)?.as_str().map_err(text)?.to_owned(),
    })
}

/// The executions that match, the newest log first.
pub(crate) fn list(db: &Connection, filter: &ListFilter) -> Result<Vec<Summary>, Fault> {
    let (sql, values) = list_query(filter);
    let mut select = db.prepare_cached(&sql)?;
    let rows = select.query_map(&*values, summary)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The query and its values, in order.
fn list_query(filter: &ListFilter) -> (String, Vec<&dyn ToSql>) {
    let mut sql = "SELECT id, title, status, open, created, updated, counts, request_id, fingerprint
                   FROM executions JOIN logs USING (log) WHERE TRUE"
        .to_owned();
    let mut values: Vec<&dyn ToSql> = Vec::new();
    if filter.open {
        sql += " AND open = 1";
    }
    if let Some(id) = &filter.request_id {
        sql += " AND request_id = ?";
        values.push(id);
    }
    if let Some(fingerprint) = &filter.fingerprint {
        sql += " AND fingerprint = ?";
        values.push(fingerprint);
    }
    values.push(&filter.limit);
    (sql + " ORDER BY executions.log DESC LIMIT ?", values)
}

fn summary(row: &Row<'_>) -> rusqlite::Result<Summary> {
    let counts: String = row.get(6)?;
    let counts: Counts = serde_json::from_str(&counts)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(6, Type::Text, Box::new(e)))?;
    Ok(Summary {
        execution: execution(row, 0)?,
        title: row.get(1)?,
        status: row.get(2)?,
        open: row.get(3)?,
        created: Timestamp(row.get(4)?),
        updated: Timestamp(row.get(5)?),
        counts,
        request_id: row.get(7)?,
        fingerprint: row.get(8)?,
    })
}

fn execution(row: &Row<'_>, column: usize) -> rusqlite::Result<ExecutionId> {
    let hex: String = row.get(column)?;
    hex.parse().map_err(|e| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(e)))
}

const FIND_INTERNAL: &str = "SELECT id FROM logs WHERE kind = 'execution' AND id = ?1";
const FIND_EXECUTIONS: &str = "SELECT id FROM logs INDEXED BY logs_short
    WHERE kind = 'execution' AND substr(id, 21) >= ?1 AND substr(id, 21) < ?2 ORDER BY substr(id, 21) LIMIT 20";
const FIND_TASKS: &str = "SELECT id, ix, task FROM tasks JOIN logs USING (log)
    WHERE task >= ?1 AND task < ?2 ORDER BY task LIMIT 20";

/// What a prefix may mean: ranges of the indexes on short ids.
pub(crate) fn find(db: &Connection, prefix: &str) -> Result<Vec<Found>, Fault> {
    let Some(prefix) = IdPrefix::parse(prefix) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    if let IdPrefix::Internal(id) = prefix {
        let known = db.prepare_cached(FIND_INTERNAL)?.exists([id.hex()])?;
        found.extend(known.then_some(Found::Execution(id)));
    }
    if let Some(hex) = prefix.executions() {
        let mut select = db.prepare_cached(FIND_EXECUTIONS)?;
        for row in select.query_map(range(hex), |row| execution(row, 0))? {
            found.push(Found::Execution(row?));
        }
    }
    if let Some(hex) = prefix.tasks() {
        let mut select = db.prepare_cached(FIND_TASKS)?;
        for row in select.query_map(range(hex), task)? {
            found.push(row?);
        }
    }
    Ok(found)
}

/// From the prefix to just before all that do not start with it: no hex digit is as high as `g`.
fn range(hex: &str) -> [String; 2] {
    [hex.to_owned(), format!("{hex}g")]
}

fn task(row: &Row<'_>) -> rusqlite::Result<Found> {
    let hex: String = row.get(2)?;
    let task: TaskId = format!("task-{hex}")
        .parse()
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(2, Type::Text, Box::new(e)))?;
    Ok(Found::Task { execution: execution(row, 0)?, ix: StepIx(row.get(1)?), task })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{MIGRATIONS, migrate};

    fn plan(db: &Connection, sql: &str, values: &[&dyn ToSql]) -> String {
        let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = explain.query_map(values, |row| row.get::<_, String>(3)).unwrap();
        steps.collect::<Result<Vec<_>, _>>().unwrap().join("; ")
    }

    #[test]
    fn every_lookup_is_a_range_of_an_index() {
        let db = Connection::open_in_memory().unwrap();
        migrate(&db, MIGRATIONS).unwrap();
        let all = ListFilter::default;
        let mut open = all();
        open.open = true;
        let mut request = all();
        request.request_id = Some("r".to_owned());
        let mut fingerprint = all();
        fingerprint.fingerprint = Some("f".to_owned());
        let mut fingerprint_open = fingerprint.clone();
        fingerprint_open.open = true;
        let expect = [
            (&all(), "SCAN executions"),
            (&open, "executions_open"),
            (&request, "executions_request_id (request_id=?)"),
            (&fingerprint, "executions_fingerprint (fingerprint=?)"),
            (&fingerprint_open, "executions"),
        ];
        for (filter, index) in expect {
            let (sql, values) = list_query(filter);
            let plan = plan(&db, &sql, &values);
            assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{filter:?}: {plan}");
        }
        let hex = ["abcd", "abcdg"];
        let executions = plan(&db, FIND_EXECUTIONS, &[&hex[0], &hex[1]]);
        assert!(executions.contains("logs_short (<expr>>? AND <expr><?)"), "{executions}");
        let tasks = plan(&db, FIND_TASKS, &[&hex[0], &hex[1]]);
        assert!(tasks.contains("(task>? AND task<?)"), "{tasks}");
        assert!(!(executions + &tasks).contains("TEMP B-TREE"));
    }
}
