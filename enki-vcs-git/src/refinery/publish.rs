//! The one moment at which a target moves.

use crate::error::GitError;
use crate::git::lock::Lock;
use crate::git::objects::RACES;
use crate::git::objects::{Kept, New, Old, Swap};
use crate::project::GitProject;
use crate::project::folder::BRANCH;
use crate::project::folder_land;
use crate::project::remote;
use crate::refinery::checkout::{Use, fast_forward, finishes};
use enki_core::branch::Branch;
use enki_core::crash_point;
use enki_core::id::CommitId;
use enki_core::refinery::{Candidate, Publish, TargetState};
use std::fs;
use std::path::Path;

pub(crate) fn publish(
    project: &GitProject,
    target: &Branch,
    expected: CommitId,
    candidate: Candidate,
) -> Result<Publish, GitError> {
    if target.remote().is_some() {
        return remote::publish(project, target, expected, candidate.commit);
    }
    let full_ref = target.full_ref();
    let refinery = project.refinery_dir()?;
    let commit = candidate.commit;
    if let Some(done) = standing(project, &full_ref, expected, commit)? {
        return Ok(done);
    }
    // A `gc --prune=now` of the person that began before the anchor was there may still take objects away after it.
    for _ in 0..RACES {
        match anchor_and_move(project, &refinery, &full_ref, expected, commit) {
            Err(GitError::Failed { stderr, .. }) if stderr.contains("nonexistent object") => {}
            Err(e) => return Err(e),
            Ok(published) => {
                project.sync_ref(&full_ref)?;
                crash_point!("merge.8.after");
                return Ok(published);
            }
        }
    }
    Err(GitError::Raced(format!("objects of {commit} disappear as they come in: another git cleans up")))
}

fn anchor_and_move(
    project: &GitProject,
    refinery: &Path,
    full_ref: &str,
    expected: CommitId,
    commit: CommitId,
) -> Result<Publish, GitError> {
    anchor(project, refinery, expected, commit)?;
    let lock = project.write_lock()?;
    if project.is_folder() && full_ref == BRANCH {
        crash_point!("merge.8.before");
        return folder_land::land(project, &lock, expected, commit);
    }
    let user = project.use_of(full_ref)?;
    crash_point!("merge.8.before");
    match user {
        // The person's git has locks of its own, and may run their hooks: what only moves refs does not wait for it.
        Use::CheckedOut(work_tree) => {
            drop(lock);
            let _one_at_a_time = Lock::acquire(&project.enki_dir().join("checkout.lock"))?;
            fast_forward(project, &work_tree, full_ref, expected, commit)
        }
        Use::Busy(reason) => Ok(Publish::Blocked { reason, command: finishes(commit) }),
        Use::No => match project.swap(&lock, full_ref, commit, Old::At(expected))? {
            Swap::Done => Ok(Publish::Published),
            Swap::Elsewhere => standing(project, full_ref, expected, commit)?
                .ok_or_else(|| GitError::Raced(format!("{full_ref} is moved to and fro by somebody else"))),
        },
    }
}

/// Brings the candidate into the person's repository and keeps it there: from here on nothing can take it away, whatever
/// becomes of the target.
pub(crate) fn anchor(
    project: &GitProject,
    refinery: &Path,
    expected: CommitId,
    commit: CommitId,
) -> Result<(), GitError> {
    crash_point!("merge.7.before");
    let anchor = format!("refs/enki/anchor/{commit}");
    let kept = match project.adopt(refinery, commit, expected, &anchor)? {
        Some(kept) => kept,
        None => project.keep(refinery, commit, &New::Since(expected), &anchor)?,
    };
    match kept {
        Kept::Yes => {}
        Kept::Refused(words) => return Err(GitError::Gone(format!("git refuses the candidate: {words}"))),
        Kept::Taken => return Err(GitError::Gone(format!("{anchor} is at another commit: see who moved it"))),
    }
    crash_point!("merge.7.after");
    Ok(())
}

pub(crate) fn inspect(
    project: &GitProject,
    target: &Branch,
    candidate: Option<CommitId>,
) -> Result<TargetState, GitError> {
    let full_ref = target.full_ref();
    let head = match target.remote() {
        Some(_) => remote::fetch(project, target)?,
        None => project.position(&full_ref)?,
    };
    let Some(candidate) = candidate else { return Ok(TargetState { head, contains: false, was_there: false }) };
    let contains = match head {
        Some(head) => project.is_ancestor(candidate, head)?,
        None => false,
    };
    Ok(TargetState { head, contains, was_there: was_at(project, &full_ref, candidate)? })
}

impl GitProject {
    /// Whether a commit is another or one of its ancestors. One that is not there is none.
    pub(crate) fn is_ancestor(&self, commit: CommitId, of: CommitId) -> Result<bool, GitError> {
        if commit == of {
            return Ok(true);
        }
        let found = self.git().look_up(self.common_dir(), &[commit.to_string()])?;
        if found[0].commit().is_none() {
            return Ok(false);
        }
        let output =
            self.at_person().args(["merge-base", "--is-ancestor"]).args([commit.to_string(), of.to_string()]).run()?;
        match output.code {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(output.into_error()),
        }
    }
}

/// What is known without moving anything: the target has the candidate, or is elsewhere. `None`: it is as expected.
pub(crate) fn standing(
    project: &GitProject,
    full_ref: &str,
    expected: CommitId,
    candidate: CommitId,
) -> Result<Option<Publish>, GitError> {
    match project.position(full_ref)? {
        Some(now) if now == candidate => Ok(Some(Publish::Published)),
        Some(now) if now == expected => Ok(None),
        Some(now) if project.is_ancestor(candidate, now)? => Ok(Some(Publish::Published)),
        now => Ok(Some(Publish::Moved { now })),
    }
}

/// Whether the ref was once at that commit and left it: a reflog line with it as *old* value. One with it as new
/// value proves nothing, git writes it before the ref moves (F18).
fn was_at(project: &GitProject, full_ref: &str, commit: CommitId) -> Result<bool, GitError> {
    if project.facts().ref_format == "files" {
        let file = project.common_dir().join("logs").join(full_ref);
        let log = match fs::read(&file) {
            Ok(log) => log,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(GitError::io("read", &file, e)),
        };
        let commit = commit.to_string();
        return Ok(log.split(|b| *b == b'\n').any(|line| line.starts_with(commit.as_bytes())));
    }
    // The newest entry is where the ref is; any older one is an old value of the entry after it.
    let log = project.at_person().args(["rev-list", "-g", full_ref, "--"]).run()?;
    let commit = commit.to_string();
    Ok(log.code == Some(0) && String::from_utf8_lossy(&log.stdout).lines().skip(1).any(|line| line == commit))
}
