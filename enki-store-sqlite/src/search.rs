//! Full-text search over whatever a project has in words. The index is a cache: it is filled from what is told to it, by
//! stamps that say what has changed, and whatever is wrong with its file, it is made anew.

use crate::connection::{beside, harden};
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

/// Number of the form below: another one is made anew.
const FORM: i32 = 1;

/// Words are found by their stems and by how they begin, accents aside, as in the memory.
const SCHEMA: &str = "
    CREATE TABLE item (source TEXT NOT NULL, key TEXT NOT NULL, stamp TEXT NOT NULL,
        PRIMARY KEY (source, key)) STRICT, WITHOUT ROWID;
    CREATE TABLE doc (id INTEGER PRIMARY KEY, source TEXT NOT NULL, key TEXT NOT NULL, kind TEXT NOT NULL,
        name TEXT NOT NULL, at TEXT NOT NULL) STRICT;
    CREATE INDEX doc_of_item ON doc (source, key);
    CREATE VIRTUAL TABLE words USING fts5(title, body, tokenize = 'porter unicode61 remove_diacritics 2', prefix = '3');
";

/// A title says more than the rest. Of two that fit as well the newer is first; the order is that of any other index of the
/// same texts.
const SEARCH: &str = "
    SELECT doc.id, doc.kind, doc.name, doc.at, found.score FROM doc JOIN (
        SELECT rowid AS id, -bm25(words, 4.0, 1.0) AS score FROM words WHERE words MATCH ?1
    ) AS found ON found.id = doc.id WHERE ?2 = '' OR instr(?2, '|' || doc.kind || '|')
    ORDER BY found.score DESC, doc.at DESC, doc.name, doc.kind LIMIT ?3
";

/// What stands before and after a word that was found, in a [`Hit::snippet`]. They are in no text.
pub const MARKS: (char, char) = ('\u{2}', '\u{3}');

/// Longest text of one document that is searched, in bytes.
const BODY_LIMIT: usize = 1 << 20;

/// Something that documents are made of, such as a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Item {
    /// Names it among those of its source.
    pub key: String,
    /// Another one means that it has changed.
    pub stamp: String,
}

/// A text that can be found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Document {
    /// What it is, in a word.
    pub kind: String,
    /// Where it is.
    pub name: String,
    /// What it is about.
    pub title: String,
    /// What it says.
    pub body: String,
    /// When it came to be, as RFC 3339; empty if nobody knows.
    pub at: String,
}

/// A document that was found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Hit {
    /// What it is.
    pub kind: String,
    /// Where it is.
    pub name: String,
    /// What it is about.
    pub title: String,
    /// When it came to be.
    pub at: String,
    /// Where the words stand, each between [`MARKS`].
    pub snippet: String,
    /// The larger, the better.
    pub score: f64,
}

/// What could not be searched.
#[derive(Debug)]
pub struct SearchError(String);

impl fmt::Display for SearchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the search index cannot be used: {}", self.0)
    }
}

impl std::error::Error for SearchError {}

impl From<rusqlite::Error> for SearchError {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

/// An index.
#[derive(Debug)]
pub struct SearchIndex(Connection);

impl SearchIndex {
    /// The index in that file. One that is not there, of another form or damaged is made anew; where no file can be made,
    /// it is one in memory.
    ///
    /// # Errors
    ///
    /// If there is no memory for it.
    pub fn open(path: &Path) -> Result<Self, SearchError> {
        for _ in 0..2 {
            match Self::open_file(path) {
                Ok(index) => return Ok(index),
                Err(error) => tracing::debug!(%error, path = %path.display(), "the search index is made anew"),
            }
            if remove(path).is_err() {
                break;
            }
        }
        Self::in_memory()
    }

    /// Removes the file, so that it is made anew: for one that was found to be damaged while it was used.
    pub fn forget(path: &Path) {
        // What cannot be removed cannot be made either, and then it is one in memory.
        let _ = remove(path);
    }

    /// An index that is gone when it is dropped.
    ///
    /// # Errors
    ///
    /// If there is no memory for it.
    pub fn in_memory() -> Result<Self, SearchError> {
        let db = Connection::open_in_memory()?;
        db.pragma_update(None, "trusted_schema", false)?;
        db.execute_batch(SCHEMA)?;
        Ok(Self(db))
    }

    fn open_file(path: &Path) -> Result<Self, SearchError> {
        if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
            return Err(SearchError("it is no file".to_owned()));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let mut db = Connection::open_with_flags(path, flags)?;
        // As long as another process may need to fill it for the first time.
        db.busy_timeout(Duration::from_secs(20))?;
        harden(&db)?;
        let form: i32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match form {
            FORM => {
                // What a damaged file says is not asked for: this touches its schema, and the rest fails when it is used.
                db.query_row("SELECT count(*) FROM (SELECT 1 FROM item, doc LIMIT 1)", [], |_| Ok(()))?;
            }
            0 => {
                let tx = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
                // Another process may have made it while this one waited.
                let form: i32 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
                if form == 0 {
                    tx.execute_batch(SCHEMA)?;
                    tx.pragma_update(None, "user_version", FORM)?;
                }
                tx.commit()?;
            }
            other => return Err(SearchError(format!("it is of form {other}"))),
        }
        Ok(Self(db))
    }

    /// Brings what is known of a source up to date: asks `read` for the documents of those items alone whose stamp is
    /// another, and forgets those that are gone. Tells how many were read. Of an item that `read` cannot tell of now (`None`)
    /// nothing is known, and it is asked for again.
    ///
    /// # Errors
    ///
    /// If the file cannot be written. What it knew before can be searched all the same.
    pub fn sync(
        &mut self,
        source: &str,
        items: &[Item],
        mut read: impl FnMut(&str) -> Option<Vec<Document>>,
    ) -> Result<usize, SearchError> {
        if changed(&self.0, source, items)?.is_empty() {
            return Ok(0);
        }
        let tx = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have done it while this one waited.
        let changed = changed(&tx, source, items)?;
        let mut number = 0;
        for (key, stamp) in changed {
            tx.prepare_cached("DELETE FROM words WHERE rowid IN (SELECT id FROM doc WHERE source = ?1 AND key = ?2)")?
                .execute(params![source, key])?;
            tx.prepare_cached("DELETE FROM doc WHERE source = ?1 AND key = ?2")?.execute(params![source, key])?;
            let told = stamp.and_then(|stamp| Some((stamp, read(&key)?)));
            let Some((stamp, documents)) = told else {
                tx.prepare_cached("DELETE FROM item WHERE source = ?1 AND key = ?2")?.execute(params![source, key])?;
                continue;
            };
            number += 1;
            for document in documents {
                tx.prepare_cached("INSERT INTO doc (source, key, kind, name, at) VALUES (?1, ?2, ?3, ?4, ?5)")?
                    .execute(params![source, key, document.kind, document.name, document.at])?;
                let id = tx.last_insert_rowid();
                let body = &document.body[..document.body.floor_char_boundary(BODY_LIMIT)];
                tx.prepare_cached("INSERT INTO words (rowid, title, body) VALUES (?1, ?2, ?3)")?.execute(params![
                    id,
                    plain(&document.title),
                    plain(body)
                ])?;
            }
            tx.prepare_cached("INSERT OR REPLACE INTO item (source, key, stamp) VALUES (?1, ?2, ?3)")?
                .execute(params![source, key, stamp])?;
        }
        tx.commit()?;
        Ok(number)
    }

    /// The items that are known of a source, by their keys, with their stamps.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn stamps(&self, source: &str) -> Result<BTreeMap<String, String>, SearchError> {
        stamps(&self.0, source)
    }

    /// The documents that have all of the words, best first; where there is none, those that have any. Of all kinds if none
    /// is named.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn search(&self, words: &[String], kinds: &[&str], limit: usize) -> Result<Vec<Hit>, SearchError> {
        // Each word is a text between quotes, so nothing of it is syntax.
        let terms: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        if terms.is_empty() {
            return Ok(Vec::new());
        }
        let kinds: String = kinds.iter().map(|kind| format!("|{kind}|")).collect();
        let all = self.matching(&terms.join(" AND "), &kinds, limit)?;
        if !all.is_empty() || terms.len() == 1 {
            return Ok(all);
        }
        self.matching(&terms.join(" OR "), &kinds, limit)
    }

    fn matching(&self, query: &str, kinds: &str, limit: usize) -> Result<Vec<Hit>, SearchError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut found = self.0.prepare_cached(SEARCH)?;
        let mut rows = found.query(params![query, kinds, limit])?;
        // Only of those that are shown: to cut a snippet costs as much as its text is long.
        let (open, close) = MARKS;
        let mut shown = self.0.prepare_cached(
            "SELECT title, snippet(words, -1, ?3, ?4, '…', 24) FROM words WHERE words MATCH ?1 AND rowid = ?2",
        )?;
        let mut hits = Vec::new();
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let texts = shown
                .query_row(params![query, id, open.to_string(), close.to_string()], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })
                .optional()?;
            let (title, snippet) = texts.unwrap_or_default();
            let (kind, name, at, score) = (row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?);
            hits.push(Hit { kind, name, title, at, snippet, score });
        }
        Ok(hits)
    }
}

fn stamps(db: &Connection, source: &str) -> Result<BTreeMap<String, String>, SearchError> {
    let mut rows = db.prepare_cached("SELECT key, stamp FROM item WHERE source = ?1")?;
    let known = rows.query_map([source], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(known.collect::<rusqlite::Result<_>>()?)
}

/// The items of a source that are not known as they are, with the stamp of those that are there.
fn changed(db: &Connection, source: &str, items: &[Item]) -> Result<BTreeMap<String, Option<String>>, SearchError> {
    let known = stamps(db, source)?;
    let there: BTreeSet<&str> = items.iter().map(|item| item.key.as_str()).collect();
    let new = items.iter().filter(|item| known.get(&item.key) != Some(&item.stamp));
    let mut changed: BTreeMap<String, Option<String>> =
        new.map(|item| (item.key.clone(), Some(item.stamp.clone()))).collect();
    changed.extend(known.keys().filter(|key| !there.contains(key.as_str())).map(|key| (key.clone(), None)));
    Ok(changed)
}

/// A text without characters that are no letters, among them the marks.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

fn quoted(word: &str) -> String {
    let begins = if word.chars().count() >= 3 { "*" } else { "" };
    format!("\"{}\"{begins}", word.replace('"', "\"\""))
}

fn remove(path: &Path) -> io::Result<()> {
    for path in [beside(path, "-journal"), path.to_owned()] {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
