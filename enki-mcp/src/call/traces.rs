//! Traces: what was called, by whom, and what became of it. A file a day, kept for 30 days, capped, with secrets masked.

use enki_core::id::{AttemptNo, ExecutionId};
use enki_core::redact::Redactor;
use enki_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Days that are kept, today's too.
const DAYS: usize = 30;

/// Largest file of a day. What is called after that is answered and not traced.
const LARGEST: u64 = 32 << 20;

/// Longest input that is kept, in bytes of JSON.
const INPUT: usize = 4 << 10;

/// How much of a day is read from its end: more is never one answer.
const READ: u64 = 8 << 20;

/// A call that was made.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Trace {
    /// Its name: `trc_` and 12 hex digits.
    pub id: String,
    /// When it was answered.
    pub at: Timestamp,
    /// The tool or command.
    pub tool: String,
    /// The code of its answer; `OK` if it was done.
    pub code: String,
    /// Why it was not done.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
    /// Who called: a role, or the session of a coordinator.
    pub caller: String,
    /// The task whose session it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The execution of an attempt that called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution: Option<ExecutionId>,
    /// The attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<AttemptNo>,
    /// The call that it was inside of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// What it was given, shortened.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub input: String,
}

/// The traces of a project. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Traces(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    redactor: Redactor,
    writing: Mutex<()>,
}

impl Traces {
    /// Those in that folder, which is made when there is something to keep.
    #[must_use]
    pub fn new(folder: PathBuf, redactor: Redactor) -> Self {
        Self(Arc::new(Inner { folder, redactor, writing: Mutex::default() }))
    }

    /// Keeps one, with what the call was given. Blocks for the time of a small write.
    ///
    /// # Errors
    ///
    /// If it cannot be written, or the file of its day is full.
    pub fn keep(&self, mut trace: Trace, input: &Value) -> io::Result<()> {
        let Inner { folder, redactor, writing } = &*self.0;
        let text = redactor.clean(&input.to_string());
        trace.input = if input.is_null() { String::new() } else { text.chars().take(INPUT).collect() };
        trace.message = redactor.clean(&trace.message).chars().take(INPUT).collect();
        trace.tool = trace.tool.chars().take(60).collect();
        let line = format!("{}\n", serde_json::to_string(&trace)?);
        let path = folder.join(file_of(trace.at));
        // One write a line, at the end of the file wherever that is: other processes write to it too.
        let _writing = writing.lock().unwrap_or_else(PoisonError::into_inner);
        if !path.exists() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            forget(folder, trace.at)?;
        }
        let mut file = File::options().append(true).create(true).mode(0o600).open(&path)?;
        if file.metadata()?.len() + line.len() as u64 > LARGEST {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file of the day is full"));
        }
        file.write_all(line.as_bytes())
    }

    /// Those that are wanted, newest first, at most so many. A line that cannot be read is passed over.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub fn search(&self, limit: usize, wanted: impl Fn(&Trace) -> bool) -> io::Result<Vec<Trace>> {
        let mut found = Vec::new();
        for name in days(&self.0.folder)?.into_iter().rev() {
            if found.len() >= limit {
                break;
            }
            let lines = tail(&self.0.folder.join(name))?;
            let traces = lines.iter().rev().filter_map(|line| serde_json::from_slice::<Trace>(line).ok());
            let left = limit - found.len();
            found.extend(traces.filter(&wanted).take(left));
        }
        Ok(found)
    }
}

/// The last lines of a file, oldest first.
fn tail(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(READ)))?;
    BufReader::new(file.take(READ)).split(b'\n').collect()
}

fn file_of(at: Timestamp) -> String {
    let day = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    format!("{}.jsonl", day.strftime("%Y-%m-%d"))
}

/// The files of days, oldest first.
fn days(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| name.len() == "2026-01-01.jsonl".len() && name.ends_with(".jsonl"));
    names.sort();
    Ok(names)
}

/// Removes the days that are too old, once for each new day.
fn forget(folder: &Path, now: Timestamp) -> io::Result<()> {
    let day = 24 * 3600 * 1000;
    let oldest = file_of(Timestamp(now.0 - day * i64::try_from(DAYS - 1).unwrap_or(i64::MAX)));
    for name in days(folder)?.into_iter().filter(|name| *name < oldest) {
        fs::remove_file(folder.join(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DAY: i64 = 24 * 3600 * 1000;

    fn trace(id: &str, at: i64) -> Trace {
        Trace { id: id.into(), at: Timestamp(at), tool: "git.diff".into(), code: "OK".into(), ..Trace::default() }
    }

    #[test]
    fn secrets_are_masked_old_days_go_and_broken_lines_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("traces");
        let traces = Traces::new(folder.clone(), Redactor::new(["hunter2hunter2".to_owned()]));
        assert_eq!(traces.search(9, |_| true).unwrap(), []);
        let secret = json!({"query": "hunter2hunter2", "key": "sk-ant-api03-abcdefghijklmnopqrstuvwx"});
        traces.keep(Trace { message: "no hunter2hunter2".into(), ..trace("a", 10 * DAY) }, &secret).unwrap();
        traces.keep(trace("b", 11 * DAY), &json!("x".repeat(1 << 20))).unwrap();
        File::options()
            .append(true)
            .open(folder.join("1970-01-12.jsonl"))
            .unwrap()
            .write_all(b"{\"id\":\"c\n")
            .unwrap();
        traces.keep(trace("d", 11 * DAY + 1), &Value::Null).unwrap();
        let found = traces.search(9, |_| true).unwrap();
        assert_eq!(found.iter().map(|trace| trace.id.as_str()).collect::<Vec<_>>(), ["d", "b", "a"]);
        assert!(found[1].input.len() <= INPUT);
        let kept = fs::read_to_string(folder.join("1970-01-11.jsonl")).unwrap();
        assert!(!kept.contains("hunter2") && !kept.contains("abcdefghijklmnop"), "{kept}");
        assert_eq!(traces.search(1, |trace| trace.id != "d").unwrap()[0].id, "b");
        traces.keep(trace("e", 40 * DAY), &Value::Null).unwrap();
        assert_eq!(days(&folder).unwrap(), ["1970-01-12.jsonl", "1970-02-10.jsonl"], "30 days, today's too");
        File::options().write(true).open(folder.join("1970-02-10.jsonl")).unwrap().set_len(LARGEST).unwrap();
        assert!(traces.keep(trace("f", 40 * DAY), &Value::Null).is_err(), "a day has an end");
    }
}
