//! What commits change, by the names of files.

use crate::error::GitError;
use crate::project::GitProject;
use enki_core::id::CommitId;
use std::collections::BTreeMap;

impl GitProject {
    /// The files that each of the commits changes beside its first parent, in one call of git. One that is not there any
    /// more is left out. Blocks.
    ///
    /// # Errors
    ///
    /// [`GitError`] if git fails.
    pub fn files_of(
        &self,
        commits: impl IntoIterator<Item = CommitId>,
    ) -> Result<BTreeMap<CommitId, Vec<String>>, GitError> {
        let input: String = commits.into_iter().map(|commit| format!("{commit}\n")).collect();
        let mut found: BTreeMap<CommitId, Vec<String>> = BTreeMap::new();
        if input.is_empty() {
            return Ok(found);
        }
        let args = ["log", "--ignore-missing", "--stdin", "--no-walk=unsorted", "--no-renames", "--no-ext-diff"];
        let log = self.at_person().config("log.showSignature=false").args(args).args(["--no-textconv", "-m"]);
        let shown = ["--first-parent", "--name-only", "-z", "--format=tformat:%x00commit %H"];
        let output = log.args(shown).stdin(input).long().ok()?;
        let mut at: Option<CommitId> = None;
        for part in output.stdout.split(|b| *b == 0).map(<[u8]>::trim_ascii).filter(|part| !part.is_empty()) {
            let commit = part.strip_prefix(b"commit ").and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
            if let Some(commit) = commit {
                at = Some(commit);
                found.entry(commit).or_default();
            } else if let Some(files) = at.and_then(|at| found.get_mut(&at)) {
                files.push(String::from_utf8_lossy(part).into_owned());
            }
        }
        Ok(found)
    }
}
