//! The refs that keep work: read with what their commits say of themselves, archived, and deleted by compare-and-swap.

use crate::error::GitError;
use crate::git::lock::Lock;
use crate::git::objects::Swap;
use crate::project::GitProject;
use enki_core::id::{AttemptNo, CommitId, TaskId};
use enki_core::time::Timestamp;
use std::collections::BTreeSet;

/// Captured and imported commits.
pub(crate) const KEPT: &str = "refs/enki/kept/";
/// Candidates that were about to be published.
pub(crate) const ANCHOR: &str = "refs/enki/anchor/";
/// What workspaces were made from.
pub(crate) const BASE: &str = "refs/enki/base/";
/// Work that was given up or superseded.
pub(crate) const ARCHIVE: &str = "refs/enki/archive/";
/// What is known of branches of remotes.
pub(crate) const REMOTE: &str = "refs/enki/remote/";
/// Integration branches.
pub(crate) const INTEGRATION: &str = "refs/heads/enki/";

/// A ref of Enki in the person's repository.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) name: String,
    pub(crate) commit: CommitId,
    /// Whose change it is, by the trailers of the commit.
    pub(crate) task: Option<TaskId>,
    pub(crate) attempt: Option<AttemptNo>,
    pub(crate) title: String,
    pub(crate) at: Timestamp,
}

impl Held {
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.name.starts_with(kind)
    }

    /// Task and attempt, if the commit names both.
    pub(crate) fn marks(&self) -> Option<(TaskId, AttemptNo)> {
        self.task.zip(self.attempt)
    }
}

/// The name under which a commit is archived. It follows from the commit, so archiving twice is archiving once.
pub(crate) fn archive_ref(commit: CommitId) -> String {
    format!("{ARCHIVE}{commit}")
}

impl GitProject {
    /// Every ref of Enki that names a commit, in one call.
    pub(crate) fn held(&self) -> Result<Vec<Held>, GitError> {
        const FORMAT: &str = "--format=%(refname)%00%(objectname)%00%(committerdate:unix)%00%(contents:trailers:key=Enki-Task,valueonly=true,separator=%2C)%00%(contents:trailers:key=Enki-Attempt,valueonly=true,separator=%2C)%00%(contents:subject)";
        let output = self.at_person().args(["for-each-ref", FORMAT, "refs/enki", "refs/heads/enki"]).long().ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().filter_map(held_in).collect())
    }

    /// Which of Enki's refs name a commit that `tip` has.
    pub(crate) fn held_by(&self, tip: CommitId) -> Result<BTreeSet<String>, GitError> {
        let merged = format!("--merged={tip}");
        let args = ["for-each-ref", &merged, "--format=%(refname)", "refs/enki", "refs/heads/enki"];
        let output = self.at_person().args(args).long().ok()?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// The changes that the commits of `tip` say they are, without those of `not`.
    pub(crate) fn recorded(
        &self,
        tip: CommitId,
        not: Option<CommitId>,
    ) -> Result<BTreeSet<(TaskId, AttemptNo)>, GitError> {
        const FORMAT: &str = "--format=%(trailers:key=Enki-Task,valueonly,separator=%x2C) %(trailers:key=Enki-Attempt,valueonly,separator=%x2C)";
        let mut cmd = self.at_person().config("log.showSignature=false");
        cmd = cmd.args(["log", "-z", "--grep=^Enki-Task: ", FORMAT]).arg(tip.to_string());
        if let Some(not) = not {
            cmd = cmd.arg(format!("^{not}"));
        }
        let log = cmd.arg("--").long().ok()?;
        let marks = |line: &str| {
            let (task, attempt) = line.trim().split_once(' ')?;
            Some((task.parse().ok()?, AttemptNo(attempt.parse().ok()?)))
        };
        Ok(String::from_utf8_lossy(&log.stdout).split('\0').filter_map(marks).collect())
    }

    /// Pins a commit that the person's repository has under `refs/enki/archive/`. Durable on return.
    pub(crate) fn archive(&self, lock: &Lock, commit: CommitId) -> Result<(), GitError> {
        let full_ref = archive_ref(commit);
        if !self.create_ref(lock, &full_ref, commit)? {
            return Err(GitError::Gone(format!("{full_ref} is at another commit: see who moved it")));
        }
        self.sync_ref(&full_ref)
    }

    /// Deletes refs, all or none, if each is where it was seen.
    pub(crate) fn delete_refs(&self, _lock: &Lock, refs: &[(String, CommitId)]) -> Result<Swap, GitError> {
        if refs.is_empty() {
            return Ok(Swap::Done);
        }
        let mut input = "start\n".to_owned();
        for (name, old) in refs {
            input.push_str(&format!("delete {name} {old}\n"));
        }
        input.push_str("prepare\ncommit\n");
        let output =
            self.move_refs(|| self.at_person_durably().args(["update-ref", "--stdin"]).stdin(input.clone()))?;
        if output.code == Some(0) {
            return Ok(Swap::Done);
        }
        if ["but expected", "unable to resolve reference"].iter().any(|words| output.stderr.contains(words)) {
            return Ok(Swap::Elsewhere);
        }
        Err(output.into_error())
    }
}

/// One line of the list; a ref that names no commit is nobody's work.
fn held_in(line: &str) -> Option<Held> {
    let mut fields = line.splitn(6, '\0');
    let (name, commit) = (fields.next()?.to_owned(), fields.next()?.parse().ok()?);
    let at = fields.next()?.parse::<i64>().ok()?;
    let (task, attempt) = (fields.next()?.parse().ok(), fields.next()?.parse().ok().map(AttemptNo));
    Some(Held { name, commit, task, attempt, title: fields.next()?.to_owned(), at: Timestamp(at.saturating_mul(1000)) })
}
