//! The search index: full text by SQLite over what the files have. It is derived, so whatever is wrong with it, it is
//! made anew and never an error.

use super::folder::Folder;
use crate::connection::harden;
use enki_core::recall::{Entry, Hit, Kind};
use enki_core::time::Timestamp;
use rusqlite::{Connection, OpenFlags, TransactionBehavior, params, params_from_iter};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Number of the form below: another one is made anew.
const FORM: i32 = 1;

/// Words are found by their stems and by how they begin, accents aside. What is only kept is not searched.
const SCHEMA: &str = "
    CREATE TABLE of (hash BLOB NOT NULL, broken INTEGER NOT NULL) STRICT;
    CREATE VIRTUAL TABLE entry USING fts5(
        title, body, keywords, kind UNINDEXED, name UNINDEXED, day UNINDEXED, json UNINDEXED,
        tokenize = 'porter unicode61 remove_diacritics 2', prefix = '3');
";

/// Title and keywords say more than the rest. Of two that fit as well, the recent one is first: what is a day old
/// weighs half as much again as what is years old, and a quarter as much again after three months. What has no date
/// is as of then.
const SEARCH: &str = "
    SELECT found.score, entry.kind, entry.json FROM entry JOIN (
        SELECT rowid AS at, -bm25(entry, 4.0, 1.0, 3.0)
            * (1.0 + 0.5 / (1.0 + max(0.0, ?2 - coalesce(day, ?2 - 90.0)) / 90.0)) AS score
        FROM entry WHERE entry MATCH ?1 AND instr(?3, '|' || kind || '|') ORDER BY score DESC, rowid DESC LIMIT ?4
    ) AS found ON entry.rowid = found.at ORDER BY found.score DESC, entry.rowid DESC
";

/// Why an index could not be used.
#[derive(Debug)]
pub(crate) enum IndexError {
    Sqlite(rusqlite::Error),
    Io(io::Error),
    /// A row is not what was put in.
    Row(String),
}

impl std::fmt::Display for IndexError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
            Self::Row(why) => f.write_str(why),
        }
    }
}

impl From<rusqlite::Error> for IndexError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<io::Error> for IndexError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What an index is of.
pub(crate) struct Of<'a> {
    /// The files.
    pub(crate) hash: &'a [u8; 32],
    /// Whether any of them could not be read.
    pub(crate) broken: bool,
}

/// An index that can be searched.
#[derive(Debug)]
pub(crate) struct Index(Connection);

impl Index {
    /// The index of what has that hash, if it is there and well, and whether some of that could not be read.
    pub(crate) fn open(path: &Path, hash: &[u8; 32]) -> Option<(Self, bool)> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || -> rusqlite::Result<Option<(Self, bool)>> {
            let db = connection(path, flags)?;
            let broken = db.query_row("SELECT broken FROM of", [], |row| row.get(0))?;
            Ok(is_of(&db, hash)?.then_some((Self(db), broken)))
        };
        if path.symlink_metadata().is_ok_and(|found| found.is_file()) { open().ok().flatten() } else { None }
    }

    /// An index that is gone when it is dropped.
    pub(crate) fn in_memory(entries: &[Entry]) -> Result<Self, IndexError> {
        let mut db = Connection::open_in_memory()?;
        db.pragma_update(None, "trusted_schema", false)?;
        fill(&mut db, &Of { hash: &[0; 32], broken: false }, entries)?;
        Ok(Self(db))
    }

    /// Makes the file anew. Whoever has the old one open goes on with it. The caller holds the lock.
    pub(crate) fn make(folder: &Folder, of: &Of<'_>, entries: &[Entry]) -> Result<(), IndexError> {
        let temp = folder.temporary()?.into_temp_path();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = connection(&temp, flags)?;
        // It has no name yet: if this does not come to its end, nobody sees it.
        db.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
        db.pragma_update(None, "synchronous", "OFF")?;
        fill(&mut db, of, entries)?;
        drop(db);
        // A journal of the old file would be taken for one of the new.
        let path = folder.index();
        match std::fs::remove_file(crate::connection::beside(&path, "-journal")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        std::fs::File::open(&temp)?.sync_all()?;
        temp.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    /// Brings the file from one hash to another by what differs. `false` if it is not of the first one. The caller holds
    /// the lock.
    pub(crate) fn update(
        path: &Path,
        before: &[u8; 32],
        after: &Of<'_>,
        entries: &[Entry],
    ) -> Result<bool, IndexError> {
        if !path.symlink_metadata().is_ok_and(|found| found.is_file()) {
            return Ok(false);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut db = connection(path, flags)?;
        let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if !is_of(&tx, before)? {
            return Ok(false);
        }
        let mut known: BTreeMap<String, i64> = BTreeMap::new();
        let mut gone = Vec::new();
        {
            let mut rows = tx.prepare("SELECT rowid, kind, json FROM entry")?;
            let mut rows = rows.query([])?;
            while let Some(row) = rows.next()? {
                let key = format!("{}{}", row.get::<_, String>(1)?, row.get::<_, String>(2)?);
                if let Some(twin) = known.insert(key, row.get(0)?) {
                    gone.push(twin);
                }
            }
        }
        for entry in entries {
            let json = entry.to_json();
            if known.remove(&format!("{}{json}", entry.kind())).is_none() {
                insert(&tx, entry, &json)?;
            }
        }
        gone.extend(known.into_values());
        for rowid in gone {
            tx.prepare_cached("DELETE FROM entry WHERE rowid = ?1")?.execute([rowid])?;
        }
        tx.execute("UPDATE of SET hash = ?1, broken = ?2", params![after.hash.as_slice(), after.broken])?;
        tx.commit()?;
        Ok(true)
    }

    /// The entries that any of the words fits, best first.
    pub(crate) fn search(
        &self,
        words: &[String],
        kinds: &[Kind],
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Hit>, IndexError> {
        // Each word is a text between quotes, so nothing of it is syntax.
        let terms: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        let kinds: String = kinds.iter().map(|kind| format!("|{kind}|")).collect();
        let mut query = self.0.prepare(SEARCH)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = query.query(params![terms.join(" OR "), days(now), kinds, limit])?;
        let mut hits = Vec::new();
        while let Some(row) = rows.next()? {
            let (kind, json): (String, String) = (row.get(1)?, row.get(2)?);
            let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
            let kind = kind.ok_or_else(|| IndexError::Row("a row of the index has no kind".to_owned()))?;
            let entry = Entry::from_json(kind, &json).map_err(IndexError::Row)?;
            hits.push(Hit { entry, score: row.get(0)? });
        }
        Ok(hits)
    }
}

fn quoted(word: &str) -> String {
    let begins = if word.chars().count() >= 3 { "*" } else { "" };
    format!("\"{}\"{begins}", word.replace('"', "\"\""))
}

fn connection(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(Duration::from_secs(2))?;
    harden(&db)?;
    Ok(db)
}

fn is_of(db: &Connection, hash: &[u8; 32]) -> rusqlite::Result<bool> {
    let form: i32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let found: Vec<u8> = db.query_row("SELECT hash FROM of", [], |row| row.get(0))?;
    Ok(form == FORM && found == hash)
}

fn fill(db: &mut Connection, of: &Of<'_>, entries: &[Entry]) -> rusqlite::Result<()> {
    let tx = db.transaction()?;
    tx.execute_batch(SCHEMA)?;
    tx.pragma_update(None, "user_version", FORM)?;
    tx.execute("INSERT INTO of VALUES (?1, ?2)", params![of.hash.as_slice(), of.broken])?;
    for entry in entries {
        insert(&tx, entry, &entry.to_json())?;
    }
    tx.commit()
}

fn insert(db: &Connection, entry: &Entry, json: &str) -> rusqlite::Result<()> {
    let (mut body, mut keywords) = (String::new(), String::new());
    for (name, text) in entry.texts().into_iter().filter(|(_, text)| text != entry.title()) {
        let to = if matches!(name, "keywords" | "scope") { &mut keywords } else { &mut body };
        to.push_str(&text);
        to.push('\n');
    }
    let row: [rusqlite::types::Value; 7] = [
        entry.title().to_owned().into(),
        body.into(),
        keywords.into(),
        entry.kind().as_str().to_owned().into(),
        entry.id().to_owned().into(),
        day_of(entry.when()).into(),
        json.to_owned().into(),
    ];
    db.prepare_cached("INSERT INTO entry VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(params_from_iter(row))?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of any real date fit")]
fn days(at: Timestamp) -> f64 {
    at.0 as f64 / 86_400_000.0
}

/// Days since 1970 of what begins with `2026-11-27`; none for other texts.
fn day_of(date: &str) -> Option<f64> {
    let mut parts = date.get(..10)?.split('-').map(|part| part.parse::<i32>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    // Years of whole months are exact enough to tell what is recent.
    Some(f64::from(year - 1970) * 365.2425 + f64::from(month - 1) * 30.44 + f64::from(day - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_about_its_day() {
        for (date, day) in [("1970-01-01", 0.0), ("2026-11-27T22:14:08Z", 20_784.0)] {
            assert!((day_of(date).unwrap() - day).abs() < 3.0, "{date} {:?}", day_of(date));
        }
        for date in ["", "yesterday", "2026-13-01", "0000-00-00", "ü026-11-27", "99999999999"] {
            assert_eq!(day_of(date), None, "{date}");
        }
    }
}
