//! What people read: a log of each decision, error and piece of work that passed, the newest first, and a list of what
//! there is.

use super::folder::Folder;
use enki_core::recall::{Entry, Fault, Kind, Passed, RecallError, date};
use enki_core::time::Timestamp;
use serde_json::{Value, json};
use std::fmt::Write;

/// From this size on a log is put aside as `<name>.1.md`, in place of the one before, and a new one begins: no log and
/// what was put aside of it is ever larger than twice as much.
const LOG_BYTES: usize = 256 * 1024;

/// Longest text of one line, in characters.
const LINE: usize = 600;

/// How many of a kind a list names, the newest last.
const LISTED: usize = 100;

/// What one call adds to the logs.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    decisions: Vec<String>,
    errors: Vec<String>,
    activity: Vec<String>,
}

impl Logs {
    /// An entry that was made or changed.
    pub(crate) fn entry(&mut self, entry: &Entry, at: Timestamp) {
        let mut text = format!("## {} {}", date(at), line(entry.id()));
        let to = match entry {
            Entry::Decision(it) => {
                let _ = write!(text, " {}", it.status.as_str());
                &mut self.decisions
            }
            Entry::Failure(it) => {
                let _ = write!(text, " {} {}", it.category.as_str(), it.status.as_str());
                if it.count > 1 {
                    let _ = write!(text, " (seen {} times)", it.count);
                }
                &mut self.errors
            }
            Entry::Pattern(_) | Entry::Preference(_) => return,
        };
        text.push_str("\n\n");
        for (name, value) in entry.texts().into_iter().filter(|(name, _)| *name != "keywords") {
            let _ = writeln!(text, "- {name}: {}", line(&value));
        }
        to.push(text);
    }

    /// Work that passed.
    pub(crate) fn passed(&mut self, passed: &Passed) {
        let mut text = format!("## {} {}\n\n- {}\n", date(passed.at), line(&passed.of), line(&passed.how));
        if passed.attempts > 1 {
            let _ = writeln!(text, "- attempts: {}", passed.attempts);
        }
        if !passed.summary.is_empty() {
            let _ = writeln!(text, "- summary: {}", line(&passed.summary));
        }
        self.activity.push(text);
    }

    /// Puts it all before what is there. The caller holds the lock.
    pub(crate) fn write(self, folder: &Folder) -> Result<Vec<Fault>, RecallError> {
        let mut faults = Vec::new();
        for (name, title, new) in [
            ("decisions", "Decisions", self.decisions),
            ("errors", "Errors", self.errors),
            ("activity", "Activity", self.activity),
        ] {
            if !new.is_empty()
                && let Err(fault) = prepend(folder, name, title, &new)?
            {
                faults.push(fault);
            }
        }
        Ok(faults)
    }
}

fn prepend(folder: &Folder, name: &str, title: &str, new: &[String]) -> Result<Result<(), Fault>, RecallError> {
    let file = format!("{name}.md");
    let old = match folder.read(&file) {
        Ok(old) => old.unwrap_or_default(),
        Err(fault) => return Ok(Err(fault)),
    };
    let head = format!("# {title}\n");
    let mut text = head.clone().into_bytes();
    for entry in new.iter().rev() {
        text.push(b'\n');
        text.extend(entry.as_bytes());
    }
    if old.len() >= LOG_BYTES {
        folder.rename(&file, &format!("{name}.1.md"))?;
    } else if !old.is_empty() {
        let rest = old.strip_prefix(head.as_bytes()).unwrap_or(&old);
        if !rest.starts_with(b"\n") {
            text.push(b'\n');
        }
        text.extend(rest);
    }
    folder.replace(&file, &text).map(Ok)
}

/// The list of what there is, for programs that look here first.
pub(crate) fn contents(entries: &[Entry]) -> String {
    let mut kinds = serde_json::Map::new();
    for kind in Kind::ALL {
        let all: Vec<&Entry> = entries.iter().filter(|entry| entry.kind() == kind).collect();
        let newest = all.iter().skip(all.len().saturating_sub(LISTED));
        let newest: Vec<Value> = newest.map(|entry| json!({"id": entry.id(), "title": line(entry.title())})).collect();
        kinds.insert(kind.plural().to_owned(), json!({"count": all.len(), "newest": newest}));
    }
    let whole = json!({"schema": "enki.memory-index.v1", "generated": true, "kinds": kinds});
    format!("{whole:#}\n")
}

/// On one line, so that no text can pass for another entry.
fn line(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut short: String = text.chars().filter(|c| !c.is_control()).take(LINE).collect();
    if short.len() < text.len() {
        short.push_str(" ...");
    }
    short
}
