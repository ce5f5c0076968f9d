//! Brings an older file to the newest schema.

use crate::backup;
use crate::connection::beside;
use crate::error::Fault;
use crate::options::OpenOptions;
use crate::schema;
use enki_core::crash_point;
use enki_core::store::StoreError;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::path::{Path, PathBuf};

/// One transaction, with a backup before its first statement. A crash leaves the older schema.
pub(crate) fn upgrade(
    db: &mut Connection,
    path: &Path,
    options: &OpenOptions,
    migrations: &[&str],
) -> Result<(), StoreError> {
    let attempted = format!("bring the store {} to schema {}", path.display(), schema::known(migrations));
    let fault = |e: rusqlite::Error| Fault::from(e).into_error(&attempted);
    let tx = Transaction::new(db, TransactionBehavior::Immediate).map_err(fault)?;
    let found = schema::number(&tx).map_err(fault)?;
    if found >= schema::known(migrations) {
        return Ok(()); // Somebody else did it while we waited for the lock.
    }
    let backup = free_name(path, &format!(".backup-v{found}"));
    backup::copy(path, &backup, options.busy_timeout)?;
    crash_point!("migration.begin");
    schema::migrate(&tx, migrations).map_err(fault)?;
    tx.commit().map_err(fault)?;
    crash_point!("migration.commit");
    tracing::info!(store = %path.display(), backup = %backup.display(), from = found, "store has a newer schema now");
    Ok(())
}

/// That name, or the first of its numbered kind that is not taken: no backup is ever overwritten.
fn free_name(path: &Path, suffix: &str) -> PathBuf {
    let numbered = (2_u32..).map(|n| beside(path, &format!("{suffix}.{n}")));
    let mut names = std::iter::once(beside(path, suffix)).chain(numbered);
    names.find(|name| !name.exists()).expect("there are more numbers than files")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::for_writing;
    use crate::schema::{MIGRATIONS, known};
    use enki_core::store::StoreErrorKind;
    use std::fs;

    const V2: [&str; 2] = [MIGRATIONS[0], "ALTER TABLE logs ADD COLUMN note TEXT; UPDATE logs SET note = 'new';"];

    fn options() -> OpenOptions {
        OpenOptions::new().accept_any_file_system()
    }

    /// A store of schema 1 with a row.
    fn v1(folder: &Path) -> PathBuf {
        let (path, db) = for_writing(&folder.join("enki.db"), &options(), &MIGRATIONS[..1]).unwrap();
        db.execute("INSERT INTO logs VALUES (1, 'queue', printf('%032x', 7), 1, zeroblob(32))", []).unwrap();
        path
    }

    fn query(path: &Path, sql: &str) -> rusqlite::Result<String> {
        Connection::open(path).unwrap().query_row(sql, [], |row| row.get(0))
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_older_store_is_backed_up_and_brought_up_to_date() {
        let folder = tempfile::tempdir().unwrap();
        let path = v1(folder.path());
        for _ in 0..2 {
            drop(for_writing(&path, &options(), &V2).unwrap());
            assert_eq!(query(&path, "SELECT note FROM logs").unwrap(), "new");
            assert_eq!(names(folder.path()), ["enki.db", "enki.db.backup-v1"], "one backup, and no second one");
        }
        let backup = folder.path().join("enki.db.backup-v1");
        assert!(query(&backup, "SELECT note FROM logs").is_err());
        assert_eq!(query(&backup, "SELECT id FROM logs").unwrap(), format!("{:032x}", 7));
        drop(for_writing(&backup, &options(), &MIGRATIONS[..1]).expect("the older version can go on with the backup"));
    }

    #[test]
    fn a_file_without_a_schema_gets_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("enki.db");
        let db = Connection::open(&path).unwrap();
        db.execute_batch("PRAGMA application_id = 0x454e4b49; CREATE TABLE before (n INTEGER)").unwrap();
        drop(db);
        let (_, db) = for_writing(&path, &options(), MIGRATIONS).unwrap();
        assert_eq!(schema::number(&db).unwrap(), known(MIGRATIONS));
        drop(db);
        assert_eq!(names(folder.path()), ["enki.db", "enki.db.backup-v0"]);
    }

    #[test]
    fn a_migration_that_fails_at_any_statement_leaves_the_older_store() {
        let folder = tempfile::tempdir().unwrap();
        let path = v1(folder.path());
        let before = query(&path, "SELECT group_concat(sql) FROM sqlite_schema").unwrap();
        let steps = ["ALTER TABLE logs ADD COLUMN note TEXT;", "DELETE FROM logs;", "CREATE TABLE more (n INTEGER);"];
        for failing in 0..=steps.len() {
            let script = format!("{} SELECT no_such_function();", steps[..failing].concat());
            let error = for_writing(&path, &options(), &[MIGRATIONS[0], &script]).unwrap_err();
            assert!(matches!(error.kind, StoreErrorKind::Corrupt(_)), "{error}");
            assert_eq!(query(&path, "SELECT group_concat(sql) FROM sqlite_schema").unwrap(), before);
            assert_eq!(query(&path, "SELECT CAST(count(*) AS TEXT) FROM logs").unwrap(), "1");
        }
        let backups = ["enki.db.backup-v1", "enki.db.backup-v1.2", "enki.db.backup-v1.3", "enki.db.backup-v1.4"];
        assert_eq!(names(folder.path())[1..], backups, "no backup is overwritten");
    }

    #[test]
    fn a_store_of_a_newer_version_is_refused_and_names_the_backup() {
        let folder = tempfile::tempdir().unwrap();
        let path = v1(folder.path());
        drop(for_writing(&path, &options(), &V2).unwrap());
        let before = fs::read(&path).unwrap();
        let error = for_writing(&path, &options(), &MIGRATIONS[..1]).unwrap_err();
        assert_eq!(error.kind, StoreErrorKind::Newer { found: 2, known: 1 });
        assert!(error.to_string().contains("enki.db.backup-v1"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn of_many_openers_one_makes_the_store_and_one_upgrades_it() {
        for migrations in [&V2[..1], &V2[..]] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("enki.db");
            if migrations.len() == 2 {
                v1(folder.path());
            }
            let open = || for_writing(&path, &options(), migrations).map(|(_, db)| schema::number(&db).unwrap());
            std::thread::scope(|scope| {
                let openers: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
                for opener in openers {
                    assert_eq!(opener.join().unwrap().unwrap(), known(migrations));
                }
            });
            let backups: &[&str] = if migrations.len() == 2 { &["enki.db.backup-v1"] } else { &[] };
            assert_eq!(names(folder.path())[1..], *backups);
        }
    }
}
