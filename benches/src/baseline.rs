//! The named baselines: what a goal is a ratio of.

use crate::plans::Shape;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A tokio task per step that waits for its needs by counters, nothing else.
///
/// # Panics
///
/// If a runtime cannot be made.
pub fn task_per_step(shape: Shape, n: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
    runtime.block_on(async move {
        let open: Arc<Vec<AtomicUsize>> = Arc::new((0..n).map(|n| AtomicUsize::new(shape.needs(n).len())).collect());
        let mut dependents = vec![Vec::new(); n];
        for step in 0..n {
            for on in shape.needs(step) {
                dependents[on].push(step);
            }
        }
        let dependents = Arc::new(dependents);
        let (done, mut ended) = tokio::sync::mpsc::unbounded_channel();
        let start = |step: usize| {
            let done = done.clone();
            tokio::spawn(async move {
                // The receiver lives as long as the loop below.
                let _ = done.send(step);
            });
        };
        (0..n).filter(|step| open[*step].load(Ordering::Relaxed) == 0).for_each(&start);
        for _ in 0..n {
            let Some(step) = ended.recv().await else { return };
            for dependent in &dependents[step] {
                if open[*dependent].fetch_sub(1, Ordering::Relaxed) == 1 {
                    start(*dependent);
                }
            }
        }
    });
}

/// A makefile of `n` targets without commands, for `make -j2`.
#[must_use]
pub fn makefile(shape: Shape, n: usize) -> String {
    let mut text = String::from(".PHONY: all");
    for step in 0..n {
        let _ = write!(text, " s{step}");
    }
    let _ = write!(text, "\nall:");
    for step in 0..n {
        let _ = write!(text, " s{step}");
    }
    text.push('\n');
    for step in 0..n {
        let _ = write!(text, "s{step}:");
        for on in shape.needs(step) {
            let _ = write!(text, " s{on}");
        }
        text.push('\n');
    }
    text
}

/// `n` appends of 4 KiB to a file, each made durable: the disk's limit.
///
/// # Errors
///
/// The file's.
pub fn raw_appends(folder: &Path, n: usize) -> std::io::Result<()> {
    let mut file = File::create(folder.join("raw"))?;
    let block = [7u8; 4096];
    for _ in 0..n {
        file.write_all(&block)?;
        file.sync_data()?;
    }
    Ok(())
}

/// `n` steps as rows of a bare table, `batch` changes in each durable transaction, two changes per step: the loop of a
/// scheduler that does nothing else.
///
/// # Errors
///
/// The database's.
pub fn bare_rows(folder: &Path, n: usize, batch: usize) -> rusqlite::Result<()> {
    let mut db = rusqlite::Connection::open(folder.join("bare.db"))?;
    db.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
         CREATE TABLE steps (id INTEGER PRIMARY KEY, state INTEGER NOT NULL, open INTEGER NOT NULL) STRICT;",
    )?;
    let load = db.transaction()?;
    for id in 0..n {
        load.execute("INSERT INTO steps VALUES (?1, 0, 0)", [i64::try_from(id).unwrap_or(i64::MAX)])?;
    }
    load.commit()?;
    for first in (0..n).step_by(batch) {
        for state in [1, 2] {
            let change = db.transaction()?;
            {
                let mut update = change.prepare_cached("UPDATE steps SET state = ?2 WHERE id = ?1")?;
                for id in first..(first + batch).min(n) {
                    update.execute([i64::try_from(id).unwrap_or(i64::MAX), state])?;
                }
            }
            change.commit()?;
        }
    }
    Ok(())
}
