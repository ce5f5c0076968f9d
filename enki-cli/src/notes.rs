//! The notes of a project, as this program's user writes them.

use crate::config::Config;
use crate::error::{CliError, chain};
use crate::exit::Exit;
use crate::host::Host;
use crate::wire;
use enki_core::redact::Redactor;
use enki_notes::{Log, NewCapture, NoteError, Owner, Source};
use enki_vcs_git::GitProject;
use std::path::Path;

/// The notes, with what new ones are given.
pub(crate) struct Notes {
    pub(crate) log: Log,
    redactor: Redactor,
    /// The last commits, for the context of a new note.
    commits: Vec<String>,
}

impl Notes {
    /// Those of a project, to look at.
    pub(crate) fn read(root: &Path) -> Log {
        Log::new(root)
    }

    /// Those of a project, in the name of whoever its git signs with. Asks git.
    pub(crate) fn signed(host: &Host, config: &Config, root: &Path) -> Self {
        // A project whose git cannot be asked can have notes all the same.
        let git = wire::git(root, host).ok();
        Self {
            log: git.as_ref().map_or_else(|| Log::new(root), |git| signed_log(git, root)),
            commits: git.map(|git| git.last_commits(COMMITS)).unwrap_or_default(),
            ..Self::unsigned(host, config, root)
        }
    }

    /// The same without asking git: for what makes no new note.
    pub(crate) fn unsigned(host: &Host, config: &Config, root: &Path) -> Self {
        Self { log: Log::new(root), redactor: wire::redactor(config, host), commits: Vec::new() }
    }

    /// What is written of a text: without secrets.
    pub(crate) fn clean(&self, text: &str) -> String {
        self.redactor.clean(text)
    }

    /// A capture of that text, with what was done last.
    pub(crate) fn capture(&self, text: &str, source: Source) -> NewCapture {
        let mut new = NewCapture::new(self.clean(text));
        new.source = source;
        let lines: Vec<String> = self.commits.iter().map(|line| format!("- {}", self.clean(line))).collect();
        new.context = (!lines.is_empty()).then(|| lines.join("\n"));
        new
    }
}

/// The notes of a project, in the name of whoever its git signs with. Asks git.
pub(crate) fn signed_log(git: &GitProject, root: &Path) -> Log {
    Log::new(root).by(git.person_name().map_or_else(Owner::default, |name| Owner::of(&name)))
}

impl From<NoteError> for CliError {
    fn from(error: NoteError) -> Self {
        let exit = match &error {
            NoteError::NotFound { .. } => Exit::NotFound,
            NoteError::Ambiguous { .. } | NoteError::Refused { .. } => Exit::Usage,
            NoteError::Broken(_) | NoteError::Io { .. } => Exit::Environment,
            _ => Exit::Internal,
        };
        Self::new(exit, chain(&error)).hint(error.hint())
    }
}

/// Commits that a note's context tells.
const COMMITS: usize = 5;
