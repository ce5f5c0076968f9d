//! The person's work trees: who uses a branch, and how one that is checked out moves along with its files.

use crate::error::GitError;
use crate::project::GitProject;
use crate::project::heads::{Plainly, is_alias, plainly};
use crate::refinery::publish::standing;
use crate::there;
use enki_core::id::CommitId;
use enki_core::refinery::Publish;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How many times longer than hooks the whole of it may take: filters of large files do their work in it.
const WHOLE: u32 = 10;

/// Whether somebody works with a branch.
pub(crate) enum Use {
    /// Nobody: its ref is all there is to move.
    No,
    /// It is checked out there, and nowhere else.
    CheckedOut(PathBuf),
    /// Moving it now would leave somebody's files behind, or be undone by them.
    Busy(String),
}

/// A work tree as `git worktree list` tells it.
#[derive(Debug, Default)]
struct WorkTree {
    path: PathBuf,
    branch: Option<String>,
    locked: bool,
}

impl WorkTree {
    /// One that is gone from the disk has nothing checked out, but one that is locked comes back.
    fn counts(&self) -> bool {
        self.locked || self.path.is_dir()
    }
}

/// Files of a git directory that name a branch which a person's command will move when it ends, and what they began.
const UNDER_WAY: [(&str, &str); 4] = [
    ("rebase-merge/head-name", "rebase"),
    ("rebase-apply/head-name", "rebase"),
    ("rebase-merge/update-refs", "rebase"),
    ("BISECT_START", "bisect"),
];

impl GitProject {
    /// Branches that are checked out, and where.
    pub(crate) fn checked_out(&self) -> Result<BTreeMap<String, PathBuf>, GitError> {
        let mut found = BTreeMap::new();
        for one in self.work_trees()?.into_iter().filter(WorkTree::counts) {
            if let Some(branch) = one.branch {
                found.entry(branch).or_insert(one.path);
            }
        }
        Ok(found)
    }

    /// Who uses that branch.
    pub(crate) fn use_of(&self, full_ref: &str) -> Result<Use, GitError> {
        if let Some(why) = self.under_way(full_ref)? {
            return Ok(Use::Busy(why));
        }
        match plainly(self, full_ref) {
            Some(Plainly::Nowhere) => return Ok(Use::No),
            Some(Plainly::Here) => return Ok(Use::CheckedOut(self.root().to_owned())),
            None => {}
        }
        let trees = self.work_trees()?.into_iter().filter(WorkTree::counts);
        let here: Vec<WorkTree> = trees.filter(|one| one.branch.as_deref() == Some(full_ref)).collect();
        Ok(match &here[..] {
            [] => Use::No,
            [one] if one.path.is_dir() => Use::CheckedOut(one.path.clone()),
            [one] => Use::Busy(format!(
                "the branch is checked out at {}, which is not there now and locked: its files would be left behind",
                one.path.display()
            )),
            [one, other, ..] => Use::Busy(format!(
                "the branch is checked out at {} and at {}, and the files of one would be left behind",
                one.path.display(),
                other.path.display()
            )),
        })
    }

    fn work_trees(&self) -> Result<Vec<WorkTree>, GitError> {
        let output = self.at_person().args(["worktree", "list", "--porcelain", "-z"]).ok()?;
        let mut found: Vec<WorkTree> = Vec::new();
        for line in output.stdout.split(|b| *b == 0) {
            if let Some(path) = line.strip_prefix(b"worktree ") {
                found.push(WorkTree { path: PathBuf::from(OsStr::from_bytes(path)), ..WorkTree::default() });
            } else if let Some(last) = found.last_mut() {
                if let Some(branch) = line.strip_prefix(b"branch ") {
                    last.branch = Some(String::from_utf8_lossy(branch).into_owned());
                }
                last.locked |= line == b"locked" || line.starts_with(b"locked ");
            }
        }
        Ok(found)
    }

    /// What a person has begun somewhere that ends at this branch. HEAD is on no branch meanwhile.
    fn under_way(&self, full_ref: &str) -> Result<Option<String>, GitError> {
        let linked = there::entries(&self.common_dir().join("worktrees"))?.into_iter();
        for git_dir in linked.map(|entry| entry.path()).chain([self.common_dir().to_owned()]) {
            let mut what = None;
            for (file, does) in UNDER_WAY {
                let text = there::text(&git_dir.join(file))?.unwrap_or_default();
                if text.lines().any(|line| line == full_ref || full_ref.strip_prefix("refs/heads/") == Some(line)) {
                    what = what.or(Some(does));
                }
            }
            let Some(what) = what else { continue };
            let at = fs::read_to_string(git_dir.join("gitdir")).map_or_else(|_| git_dir, |file| file.trim().into());
            let at = at.parent().unwrap_or(&at);
            return Ok(Some(format!("a {what} of the branch is under way at {}: end it first", at.display())));
        }
        Ok(None)
    }
}

/// Fast-forwards a checked-out branch, by the person's own git: their filters and hooks are part of their checkout.
pub(crate) fn fast_forward(
    project: &GitProject,
    work_tree: &Path,
    full_ref: &str,
    expected: CommitId,
    candidate: CommitId,
) -> Result<Publish, GitError> {
    let command = finishes(candidate);
    let shown = work_tree.display();
    if let Some(reason) = project.untrusted()? {
        return Ok(Publish::Blocked { reason, command });
    }
    if project.is_dirty_at(work_tree)? {
        let reason =
            format!("the branch is checked out at {shown}, and files there have changes that are not committed");
        return Ok(Publish::Blocked { reason, command });
    }
    let before = head_branch(project, work_tree)?;
    if before.as_deref() != Some(full_ref) {
        return Err(GitError::Gone(format!("{full_ref} is not checked out at {shown} any more")));
    }
    project.watch().moves(full_ref, candidate);
    project.watch().checks_out();
    let patience = project.options().hook_timeout;
    // Whatever their settings for merges say, this one moves the branch and the files or nothing. A hook that still
    // runs when both have moved is not waited for; until then git may be at work on large files.
    let merge = project
        .as_person(work_tree)
        // Upkeep of the repository is for the person's own commands: here it would stand in the way of the next landing.
        .config("maintenance.auto=false")
        .args(["merge", "--ff-only", "--no-squash", "--no-autostash", "--no-stat", "-q", &candidate.to_string()])
        .timeout(patience * WHOLE)
        .run_while(patience, || !matches!(project.commit_at(full_ref), Ok(Some(now)) if now == candidate));
    project.watch().checks_out();
    let said = match merge {
        Ok(merge) => merge.stderr,
        Err(error @ GitError::TimedOut { .. }) => {
            tracing::warn!(at = %shown, %error, "git in a person's checkout was ended by force: a hook may hang there");
            format!(
                "it did not end, and was ended; a hook or filter hangs: `git status` there says how far it came ({error})"
            )
        }
        Err(error) => return Err(error),
    };
    let after = head_branch(project, work_tree)?;
    let stands = standing(project, full_ref, expected, candidate)?;
    if stands == Some(Publish::Published) {
        return Ok(Publish::Published);
    }
    if after.as_deref() != Some(full_ref) {
        let on = after.unwrap_or_else(|| "no branch".to_owned());
        let words = format!("{shown} was switched from {full_ref} to {on} in that moment: look at both branches");
        return Err(GitError::Gone(words));
    }
    Ok(stands.unwrap_or_else(|| {
        let said = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
        let said: String = said.chars().take(500).collect();
        let reason = format!("the branch is checked out at {shown}, and git does not fast-forward it there: {said}");
        Publish::Blocked { reason, command }
    }))
}

/// The one command that finishes a landing which was left to the person.
pub(crate) fn finishes(candidate: CommitId) -> String {
    format!("git merge --ff-only {candidate}")
}

fn head_branch(project: &GitProject, work_tree: &Path) -> Result<Option<String>, GitError> {
    let own = work_tree.join(".git") == project.common_dir() && project.facts().ref_format == "files";
    let head = project.common_dir().join("HEAD");
    // Old versions of git made HEAD a link.
    if own
        && fs::symlink_metadata(&head).is_ok_and(|meta| meta.is_file())
        && let Ok(text) = fs::read_to_string(&head)
        && let Some(branch) = text.strip_suffix('\n').and_then(|text| text.strip_prefix("ref: "))
        && !is_alias(&project.common_dir().join(branch))
    {
        return Ok(Some(branch.to_owned()));
    }
    let output = project.as_person(work_tree).args(["symbolic-ref", "-q", "HEAD"]).run()?;
    match output.code {
        Some(0) => Ok(Some(output.line())),
        Some(1) => Ok(None),
        _ => Err(output.into_error()),
    }
}
