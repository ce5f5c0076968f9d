//! Whether a process works for a project: by the marks that it and those above it carry.

use crate::marker::Marker;
use crate::procfs::Reader;
use std::io;

/// What a process is to a project.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Descent {
    /// It carries the mark, or was started by what does.
    Ours,
    /// Neither it nor anything above it carries the mark.
    Foreign,
    /// It is gone, or does not let itself be looked at; or looking at it, or at one above it, failed.
    Unknown,
}

/// Looks at a process and at all that started it. One that clears its environment is found by its parents; one that is
/// also given another parent is not, unless a supervisor is above it, which keeps all that it started. Linux only;
/// elsewhere everything is [`Descent::Unknown`].
#[must_use]
pub fn descent(pid: u32, mark: &Marker) -> Descent {
    look(pid, mark).unwrap_or_else(|error| {
        tracing::warn!(pid, %error, "it is not known for whom a process works");
        Descent::Unknown
    })
}

fn look(pid: u32, mark: &Marker) -> io::Result<Descent> {
    let mut reader = Reader::default();
    let Ok(mut at) = i32::try_from(pid) else { return Ok(Descent::Unknown) };
    let Some(environ) = reader.environ(at)? else { return Ok(Descent::Unknown) };
    if mark.is_in(environ) {
        return Ok(Descent::Ours);
    }
    // Those above may belong to somebody else, whose environment is not for us: they carry no mark of ours.
    for _ in 0..DEEPEST {
        let Some(stat) = reader.stat(at)? else { return Ok(Descent::Unknown) };
        at = stat.parent;
        if at <= 1 {
            return Ok(Descent::Foreign);
        }
        if reader.environ(at)?.is_some_and(|environ| mark.is_in(environ)) {
            return Ok(Descent::Ours);
        }
    }
    Ok(Descent::Unknown)
}

/// Processes are not nested deeper; a chain that is would change while it is walked.
const DEEPEST: u32 = 1000;
