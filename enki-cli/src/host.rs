//! What the command line knows of the process it runs in. Nothing else of this crate asks the process itself.

use crate::error::CliError;
use enki_core::time::Timestamp;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Arguments, environment, streams and clock of a process.
pub struct Host {
    /// The arguments, the program's name first.
    pub args: Vec<OsString>,
    /// The environment.
    pub env: BTreeMap<OsString, OsString>,
    /// The working directory; none if it was deleted.
    pub cwd: Option<PathBuf>,
    /// The clock, for display and deadlines.
    pub clock: fn() -> Timestamp,
    /// Process id, for the project lock's message.
    pub pid: u32,
    /// Names this start of the machine, if it is known.
    pub boot: Option<String>,
    /// This program itself, if it is one that supervises agents when asked to: see
    /// [`enki_process::supervise::supervise_main`]. Without one an agent is found by its marks.
    pub supervisor: Option<PathBuf>,
    /// Where a plan named `-` is read from.
    pub stdin: Box<dyn Read + Send>,
    /// Where results go.
    pub stdout: Box<dyn Write + Send>,
    /// Where progress and errors go.
    pub stderr: Box<dyn Write + Send>,
    /// Which of the three are terminals.
    pub terminal: Terminals,
    /// Columns of the terminal, if that is known.
    pub columns: Option<usize>,
}

/// Which streams are terminals.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terminals {
    /// Standard input.
    pub stdin: bool,
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("args", &self.args).field("cwd", &self.cwd).finish_non_exhaustive()
    }
}

impl Host {
    /// The same without its streams, which one command alone can have.
    pub(crate) fn without_streams(&self) -> Self {
        Self {
            args: self.args.clone(),
            env: self.env.clone(),
            cwd: self.cwd.clone(),
            clock: self.clock,
            pid: self.pid,
            boot: self.boot.clone(),
            supervisor: self.supervisor.clone(),
            stdin: Box::new(std::io::empty()),
            stdout: Box::new(std::io::sink()),
            stderr: Box::new(std::io::sink()),
            terminal: Terminals::default(),
            columns: self.columns,
        }
    }

    /// A variable that is set, not empty and UTF-8.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<&str> {
        self.env.get(std::ffi::OsStr::new(name)).and_then(|v| v.to_str()).filter(|v| !v.is_empty())
    }

    /// A variable as a path that is absolute.
    #[must_use]
    pub fn dir(&self, name: &str) -> Option<&Path> {
        self.env.get(std::ffi::OsStr::new(name)).map(Path::new).filter(|path| path.is_absolute())
    }

    /// Columns of the terminal.
    #[must_use]
    pub fn width(&self) -> usize {
        self.columns.or_else(|| self.var("COLUMNS")?.parse().ok()).filter(|n| *n >= 20).unwrap_or(80)
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The working directory, moved by `-C`.
    ///
    /// # Errors
    ///
    /// If it was deleted, or `-C` names no directory.
    pub fn start_dir(&self, change: Option<&Path>) -> Result<PathBuf, CliError> {
        let cwd = self.cwd.clone().ok_or_else(|| {
            CliError::environment("the working directory does not exist any more").hint("change into one that does")
        });
        let Some(change) = change else { return cwd };
        let dir = if change.is_absolute() { change.to_owned() } else { cwd?.join(change) };
        match std::fs::metadata(&dir) {
            Ok(found) if found.is_dir() => Ok(dir),
            Ok(_) => Err(CliError::usage(format!("-C {}: not a directory", dir.display()))),
            Err(error) => Err(CliError::usage(format!("-C {}: {error}", dir.display()))),
        }
    }
}
