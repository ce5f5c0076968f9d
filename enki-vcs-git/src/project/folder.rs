//! Projects without git: a folder whose versions Enki keeps itself, in the private git directory `.enki/project.git`.
//!
//! Nobody commits there, so Enki does: what is in the folder is recorded on the branch `main` before work begins on it
//! and before anything lands on it. [`crate::project::folder_land`] moves the folder's files along.

use crate::error::GitError;
use crate::git::lock::Lock;
use crate::git::objects::{Old, Swap, sync_folder};
use crate::git::{Durable, Git};
use crate::project::discover::{Places, discover};
use crate::project::folder_land;
use crate::project::{GitOptions, GitProject, private_dir, put, put_durably};
use crate::there::{self, tells_what_it_is};
use crate::workspaces::agent_git;
use crate::workspaces::stage::{Different, Files, LeftOut, unfit};
use enki_core::id::CommitId;
use enki_core::time::Timestamp;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The git directory of a folder's versions, below the folder.
const GIT_DIR: &str = ".enki/project.git";
/// The one branch of a folder: its files are this branch's.
pub(crate) const BRANCH: &str = "refs/heads/main";
/// Which files were said to be left alone, so that it is said once.
const SAID: &str = "enki-left-alone";

/// What became of a folder's present files.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Recorded {
    /// The commit that has them.
    pub commit: CommitId,
    /// Whether it was made now.
    pub new: bool,
    /// Files that are left alone since this time, with the reason, one line each. They are not in the commit, no
    /// agent sees them, and nothing that lands touches them.
    pub left_alone: Vec<String>,
}

impl GitProject {
    /// Makes a project of a folder that is in no git repository, unless it is one. Blocks.
    ///
    /// All that is made is in `.enki/`. There at once or not at all.
    ///
    /// # Errors
    ///
    /// [`GitError::TooBroad`] for `/`, the person's home and what holds it; those of [`GitProject::open`], but not that
    /// there is no repository.
    pub fn open_or_make(path: &Path, options: GitOptions) -> Result<Self, GitError> {
        match Self::open(path, options.clone()) {
            Err(GitError::NotARepository { .. }) if path.is_dir() => {}
            other => return other,
        }
        let root = path.canonicalize().map_err(|e| GitError::io("find", path, e))?;
        refuse_if_too_broad(&root, &options)?;
        make(&root, &options)?;
        Self::open(&root, options)
    }

    /// Whether the project is a folder without git, whose versions Enki keeps.
    #[must_use]
    pub fn is_folder(&self) -> bool {
        self.common_dir() == self.root().join(GIT_DIR)
    }

    /// Commits the folder's present files, so that work begins with what the person sees. `None` in a git repository,
    /// where the person commits. The same files again change nothing. Durable on return. Blocks.
    ///
    /// # Errors
    ///
    /// [`GitError`] if it could not be done. Nothing of the person's is changed in any case.
    pub fn record_folder(&self) -> Result<Option<Recorded>, GitError> {
        if !self.is_folder() {
            return Ok(None);
        }
        let lock = self.write_lock()?;
        folder_land::settle(self, &lock)?;
        record(self, &lock).map(Some)
    }
}

/// Commits the folder's files if they differ from the branch. No landing is half done.
pub(crate) fn record(project: &GitProject, lock: &Lock) -> Result<Recorded, GitError> {
    let head = head(project)?;
    drop_stale_index_lock(project)?;
    let files = files(project);
    let Different { changed, added } = files.list(project)?;
    let (mut fit, mut left) = (Vec::new(), Vec::new());
    for path in changed.iter().chain(&added) {
        let found = match unfit(project, files.work, path) {
            Some(found) => Some(found),
            None => unreadable(files.work, path)?,
        };
        match found {
            Some(found) => left.push(found),
            None => fit.push(path),
        }
    }
    project.watch().checks_out();
    left.extend(files.take_in(project, fit)?);
    forget(project, &files, &changed, &left)?;
    let tree = files.write_tree(project)?;
    project.watch().checks_out();
    let mut recorded = Recorded { commit: head, new: false, left_alone: newly(project, &left)? };
    if tree == project.tree_of(project.common_dir(), head)? {
        return Ok(recorded);
    }
    let now = (project.options().clock)();
    let message = format!("state of the folder at {}\n", utc(now));
    let commit = project.commit_tree(project.common_dir(), tree, &[head], &message, now)?;
    sync_objects(project)?;
    if project.swap(lock, BRANCH, commit, Old::At(head))? == Swap::Elsewhere {
        return Err(GitError::Raced(format!("{BRANCH} of {GIT_DIR} is moved by somebody else")));
    }
    project.sync_ref(BRANCH)?;
    (recorded.commit, recorded.new) = (commit, true);
    Ok(recorded)
}

/// Where the folder's branch is.
pub(crate) fn head(project: &GitProject) -> Result<CommitId, GitError> {
    let gone = || GitError::Gone(format!("{BRANCH} is gone from {}", project.common_dir().display()));
    project.commit_at(BRANCH)?.ok_or_else(gone)
}

/// The folder's files through its git directory.
pub(crate) fn files(project: &GitProject) -> Files<'_> {
    Files { git_dir: project.common_dir(), work: project.root(), limit: crate::workspaces::stage::LONG, over: None }
}

/// The folder around a folder whose versions Enki keeps.
pub(crate) fn around(folder: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().ok()?;
    folder.ancestors().find(|dir| dir.join(GIT_DIR).join("HEAD").is_file()).map(Path::to_owned)
}

/// The repository or folder that a folder is in. The nearest one counts; at the same place, the repository.
pub(crate) fn find(program: &Path, env: &[(OsString, OsString)], folder: &Path) -> Result<Places, GitError> {
    let repository = discover(program, env, folder);
    let Some(root) = around(folder) else { return repository };
    match &repository {
        Ok(places) if places.root.starts_with(&root) => repository,
        Err(GitError::DubiousOwnership { path } | GitError::Unsupported { path, .. }) if path.starts_with(&root) => {
            repository
        }
        _ => places(root),
    }
}

/// Whether these are the places of a folder without git.
pub(crate) fn is_of(places: &Places) -> bool {
    places.common_dir == places.root.join(GIT_DIR)
}

fn places(root: PathBuf) -> Result<Places, GitError> {
    let git_dir = root.join(GIT_DIR);
    let meta = fs::symlink_metadata(&git_dir).map_err(|e| GitError::io("look at", &git_dir, e))?;
    if !meta.is_dir() || meta.uid() != rustix::process::geteuid().as_raw() {
        let reason = format!("{} is not a folder of this user: run enki as the one who made it", git_dir.display());
        return Err(GitError::Unsupported { path: root, reason });
    }
    let object_format = "sha1".to_owned();
    Ok(Places { root, git_dir: git_dir.clone(), common_dir: git_dir, object_format, shallow: false })
}

/// A folder that is everything: its files are not one thing to work on, and copies of it would fill the disk.
fn refuse_if_too_broad(root: &Path, options: &GitOptions) -> Result<(), GitError> {
    let home = options.var("HOME").and_then(|home| Path::new(home).canonicalize().ok());
    let reason = if root.parent().is_none() {
        "it is the root of the file system"
    } else if home.as_deref() == Some(root) {
        "it is your home folder"
    } else if home.is_some_and(|home| home.starts_with(root)) {
        "your home folder is in it"
    } else {
        return Ok(());
    };
    Err(GitError::TooBroad { path: root.to_owned(), reason: reason.to_owned() })
}

/// Makes the git directory, with an empty first commit, beside its place, and moves it there when it is whole.
fn make(root: &Path, options: &GitOptions) -> Result<(), GitError> {
    let git_dir = root.join(GIT_DIR);
    let enki = root.join(".enki");
    if fs::symlink_metadata(&enki).is_ok_and(|meta| !meta.is_dir()) {
        let reason = format!("{} is not a folder: Enki keeps its files there", enki.display());
        return Err(GitError::Unsupported { path: root.to_owned(), reason });
    }
    private_dir(&enki)?;
    put(&enki.join(".gitignore"), b"*\n")?;
    let new = git_dir.with_extension("git.new");
    agent_git::remove(&new)?;
    private_dir(&new)?;
    let program = crate::git::find_git(options.var("PATH").unwrap_or_default());
    let program = program.ok_or_else(|| GitError::Missing { searched: String::new() })?;
    let git = Git::new(program, root.to_owned(), Vec::new());
    let call = || git.at(&new).durable(Durable::Committed);
    // With the folder as its work tree git tries out what the file system can.
    call().work_tree(root).args(["init", "-q", "--template=", "--initial-branch=main"]).ok()?;
    call().args(["config", "core.bare", "true"]).ok()?;
    call().args(["config", "--unset", "core.worktree"]).ok()?;
    private_dir(&new.join("info"))?;
    put(&new.join("info/exclude"), b"/.enki/\n")?;
    let tree = call().arg("mktree").ok()?.line();
    let at = (options.clock)();
    let first = call().identity(at).args(["commit-tree", "-m", "an empty beginning", &tree]).ok()?.line();
    call().args(["update-ref", "--create-reflog", BRANCH, &first]).ok()?;
    fs::rename(&new, &git_dir).map_err(|e| GitError::io("make", &git_dir, e))?;
    sync_folder(&enki)
}

/// Only Enki runs git here, and under the lock that the caller has: what is left was left by one that was killed.
fn drop_stale_index_lock(project: &GitProject) -> Result<(), GitError> {
    agent_git::remove(&project.common_dir().join("index.lock"))
}

fn unreadable(work: &Path, path: &[u8]) -> Result<Option<LeftOut>, GitError> {
    let file = work.join(OsStr::from_bytes(path));
    if !fs::symlink_metadata(&file).is_ok_and(|meta| meta.is_file()) {
        return Ok(None);
    }
    match File::open(&file) {
        Ok(_) => Ok(None),
        Err(e) if tells_what_it_is(&e) => Ok(Some(LeftOut::new(path, &format!("cannot be read: {e}")))),
        Err(e) => Err(GitError::io("read", &file, e)),
    }
}

/// Takes what is left alone out of the index: a version of earlier would be work on what is not there any more.
fn forget(project: &GitProject, files: &Files<'_>, tracked: &[Vec<u8>], left: &[LeftOut]) -> Result<(), GitError> {
    let tracked: BTreeSet<&Vec<u8>> = tracked.iter().collect();
    let mut input = Vec::new();
    for gone in left.iter().filter(|one| tracked.contains(&one.path)) {
        input.extend_from_slice(&gone.path);
        input.push(0);
    }
    if !input.is_empty() {
        let call = files.at(project, Durable::Committed).args(["update-index", "-z", "--force-remove", "--stdin"]);
        call.stdin(input).ok()?;
    }
    Ok(())
}

/// What of this was not said before, and remembers it.
fn newly(project: &GitProject, left: &[LeftOut]) -> Result<Vec<String>, GitError> {
    let file = project.common_dir().join(SAID);
    let old = there::read(&file)?.unwrap_or_default();
    let said: BTreeSet<&[u8]> = old.split(|b| *b == 0).filter(|path| !path.is_empty()).collect();
    let now: BTreeSet<&[u8]> = left.iter().map(|one| &one.path[..]).collect();
    if now != said {
        put_durably(&file, &now.iter().copied().collect::<Vec<_>>().join(&0))?;
    }
    Ok(left.iter().filter(|one| !said.contains(&one.path[..])).map(|one| one.why.clone()).collect())
}

/// Git syncs the objects, never the folders that they are in (F7).
pub(crate) fn sync_objects(project: &GitProject) -> Result<(), GitError> {
    let store = project.common_dir().join("objects");
    for entry in there::entries(&store)?.iter().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        sync_folder(&entry.path())?;
    }
    sync_folder(&store)
}

/// A time as people write it, in UTC.
fn utc(at: Timestamp) -> String {
    let seconds = at.0.div_euclid(1000);
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 1 March of the year 0, in spans of 400 years; a year that begins in March ends with the leap day.
    let z = days + 719_468;
    let (era, day) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let (date, month) =
        (day_of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{date:02} {:02}:{:02}:{:02} UTC", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asked of the rule alone: a project that was made of `/` by a broken one would be the whole disk.
    #[test]
    fn the_root_of_the_file_system_is_too_broad() {
        let refused = refuse_if_too_broad(Path::new("/"), &GitOptions::new(std::collections::BTreeMap::new()));
        assert!(matches!(refused, Err(GitError::TooBroad { .. })), "{refused:?}");
    }

    #[test]
    fn times_are_written_as_a_calendar_has_them() {
        for (at, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399_000, "2000-02-28 23:59:59 UTC"),
            (951_782_400_000, "2000-02-29 00:00:00 UTC"),
            (1_709_251_200_000, "2024-03-01 00:00:00 UTC"),
            (1_700_000_000_000, "2023-11-14 22:13:20 UTC"),
            (-1000, "1969-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(utc(Timestamp(at)), text);
        }
    }
}
