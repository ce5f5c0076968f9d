//! Leases: who may write until when, and the epoch that fences everybody before.

use crate::append::to_sql;
use crate::error::Fault;
use enki_core::store::{Epoch, Holder, Lease, StoreErrorKind};
use enki_core::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, params};

/// Refuses unless the lease is the newest of its scope and was not given back. Its time does not matter: until
/// somebody else takes it, nobody else writes.
pub(crate) fn check(db: &Connection, lease: &Lease) -> Result<(), Fault> {
    let current = db
        .prepare_cached("SELECT 1 FROM leases WHERE scope = ?1 AND epoch = ?2 AND holder IS NOT NULL")?
        .exists(params![lease.scope, to_sql(lease.epoch.0, "epoch")?])?;
    if current { Ok(()) } else { Err(StoreErrorKind::LeaseLost(lease.epoch).into()) }
}

pub(crate) fn acquire(
    db: &Connection,
    scope: &str,
    holder: &Holder,
    now: Timestamp,
    until: Timestamp,
) -> Result<Lease, Fault> {
    let row = db
        .prepare_cached("SELECT epoch, holder, until FROM leases WHERE scope = ?1")?
        .query_row([scope], |row| {
            let epoch: i64 = row.get(0)?;
            let held = match row.get::<_, Option<String>>(1)? {
                None => None,
                Some(json) => Some((parse(&json)?, Timestamp(row.get(2)?))),
            };
            Ok((epoch, held))
        })
        .optional()?;
    let epoch = match row {
        Some((_, Some((other, held_until)))) if other.id != holder.id && held_until > now => {
            return Err(StoreErrorKind::Held(Box::new(other)).into());
        }
        Some((epoch, _)) => epoch + 1,
        None => 1,
    };
    let json = serde_json::to_string(holder).expect("a holder is plain data");
    db.prepare_cached("INSERT OR REPLACE INTO leases (scope, epoch, holder, until) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![scope, epoch, json, until.0])?;
    Ok(Lease { scope: scope.to_owned(), epoch: Epoch(epoch.unsigned_abs()), holder: holder.clone(), until })
}

pub(crate) fn renew(db: &Connection, lease: &Lease, until: Timestamp) -> Result<Lease, Fault> {
    check(db, lease)?;
    db.prepare_cached("UPDATE leases SET until = ?2 WHERE scope = ?1")?.execute(params![lease.scope, until.0])?;
    Ok(Lease { until, ..lease.clone() })
}

pub(crate) fn release(db: &Connection, lease: &Lease) -> Result<(), Fault> {
    // The row stays: its epoch must never be given out again.
    db.prepare_cached("UPDATE leases SET holder = NULL, until = NULL WHERE scope = ?1 AND epoch = ?2")?
        .execute(params![lease.scope, to_sql(lease.epoch.0, "epoch")?])?;
    Ok(())
}

fn parse(json: &str) -> rusqlite::Result<Holder> {
    serde_json::from_str(json).map_err(|e| rusqlite::Error::FromSqlConversionFailure(1, Type::Text, Box::new(e)))
}
