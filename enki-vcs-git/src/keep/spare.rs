//! Spare copies of what came into the person's repository lately.
//!
//! A `git prune --expire=now` that began before a ref was made takes away what the ref names, even after all of it was
//! seen to be there: git has no guard against that. So each commit that comes in gets a folder in `.enki/spare/`, with
//! other names of the same files, and a later look brings in again what has disappeared. That takes no space, unless the
//! person's git packs its own within the hour.

use crate::error::GitError;
use crate::git::loose::path as loose;
use crate::project::{GitProject, private_dir};
use crate::refinery::adopt::{ENDINGS, fan_out};
use crate::there;
use crate::workspaces::agent_git;
use enki_core::id::CommitId;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The folder below `.enki`.
pub(crate) const FOLDER: &str = "spare";
/// How long they stay: longer than a `git prune` works.
const STAY: Duration = Duration::from_secs(3600);
/// How many files are looked at when something else comes in, the last ones first.
const AT_ONCE: usize = 64;

/// The commits that this process made folders of, oldest first, with the number of objects in each.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    made: Mutex<VecDeque<(CommitId, usize)>>,
    looked: AtomicBool,
}

impl Spares {
    /// Whether nobody asked before: then there may be some of earlier processes.
    pub(crate) fn first_time(&self) -> bool {
        !self.looked.swap(true, Ordering::Relaxed)
    }

    fn made(&self) -> MutexGuard<'_, VecDeque<(CommitId, usize)>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GitProject {
    /// Brings in again what a `git prune --expire=now` or `git gc --prune=now` took away of commits that Enki brought into
    /// the repository in the last hour, because it began before they were. Says how many objects that were.
    ///
    /// Enki does this when an execution begins, when something is missing, and in part whenever something is published.
    /// Call it when a process that drove a project ends. It blocks.
    ///
    /// # Errors
    ///
    /// [`GitError`] if something cannot be looked at or brought in; nothing is lost, another call goes on.
    pub fn look_again(&self) -> Result<usize, GitError> {
        let mut again = 0;
        for entry in there::entries(&self.enki_dir().join(FOLDER))? {
            again += self.look_at(&entry.path())?;
        }
        self.memo().spares.made().retain(|(commit, _)| self.spares_of(*commit).is_dir());
        Ok(again)
    }

    /// The same for the last ones, and one that is too old goes.
    pub(crate) fn look_at_last(&self) -> Result<usize, GitError> {
        let (mut folders, mut files) = (Vec::new(), 0);
        {
            let made = self.memo().spares.made();
            folders.extend(made.front().map(|(commit, _)| self.spares_of(*commit)).filter(|folder| is_old(folder)));
            for (commit, count) in made.iter().rev() {
                files += count;
                if files > AT_ONCE && !folders.is_empty() {
                    break;
                }
                folders.push(self.spares_of(*commit));
            }
        }
        let again = folders.iter().map(|folder| self.look_at(folder)).sum::<Result<usize, _>>()?;
        let mut made = self.memo().spares.made();
        if made.front().is_some_and(|(commit, _)| !self.spares_of(*commit).is_dir()) {
            made.pop_front();
        }
        Ok(again)
    }

    /// Keeps spare copies of objects of a commit that are files of the person's repository, and of a pack there.
    pub(crate) fn spare(&self, commit: CommitId, objects: &[String], pack: Option<&str>) {
        let packs = self.common_dir().join("objects/pack");
        let pack = pack.map(|name| packs.join(format!("pack-{name}")));
        let link = |from: PathBuf, to: PathBuf| drop(fs::hard_link(from, to));
        self.fill(commit, objects, &pack.into_iter().collect::<Vec<_>>(), |id| loose(self.common_dir(), id), link);
    }

    /// Makes the files that the refinery has of a commit, and its packs, the spare ones.
    pub(crate) fn spare_of(&self, refinery: &Path, commit: CommitId, objects: &[String], packs: &[PathBuf]) {
        // What stays where it was is litter.
        let rename = |from: PathBuf, to: PathBuf| drop(fs::rename(from, to));
        self.fill(commit, objects, packs, |id| loose(refinery, id), rename);
    }

    fn spares_of(&self, commit: CommitId) -> PathBuf {
        self.enki_dir().join(FOLDER).join(commit.to_string())
    }

    /// What cannot be done is left: all of it is in the person's repository now.
    fn fill(
        &self,
        commit: CommitId,
        objects: &[String],
        packs: &[PathBuf],
        file: impl Fn(&str) -> PathBuf,
        take: impl Fn(PathBuf, PathBuf),
    ) {
        let folder = self.spares_of(commit);
        if private_dir(&folder).is_err() {
            return;
        }
        for id in objects {
            take(file(id), folder.join(id));
        }
        for pack in packs {
            // The index first: without it a pack is not looked at.
            for from in ENDINGS.iter().rev().map(|ending| pack.with_extension(ending)) {
                if let Some(name) = from.file_name() {
                    let to = folder.join(name);
                    take(from, to);
                }
            }
        }
        self.memo().spares.made().push_back((commit, objects.len()));
    }

    /// Looks whether all in a folder is in the person's repository, and brings in what is not. An old one goes then.
    fn look_at(&self, folder: &Path) -> Result<usize, GitError> {
        let entries = there::entries(folder)?.into_iter();
        let names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        let (in_packs, objects): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| name.contains('.'));
        let lost = self.lacks(&objects)?;
        for id in &lost {
            let to = loose(self.common_dir(), id);
            fan_out(self.common_dir(), &to)?;
            link(&folder.join(id), &to)?;
        }
        let mut again = lost.len();
        for pack in in_packs.iter().filter_map(|name| name.strip_suffix(".pack")) {
            again += self.look_at_pack(&folder.join(pack))?;
        }
        if again > 0 {
            let commit = folder.file_name().unwrap_or_default().display();
            tracing::warn!(%commit, objects = again, "git prune took away what had just come in: it is there again");
            self.sync_objects(&lost)?;
        } else if is_old(folder) {
            agent_git::remove(folder)?;
        }
        Ok(again)
    }

    /// The same for a pack, which the person's git may have packed into another one.
    fn look_at_pack(&self, pack: &Path) -> Result<usize, GitError> {
        let to = self.common_dir().join("objects/pack").join(pack.file_name().unwrap_or_default());
        let index = pack.with_extension("idx");
        if to.with_extension("pack").exists() || !index.exists() {
            return Ok(0);
        }
        let file = File::open(&index).map_err(|e| GitError::io("read", &index, e))?;
        let listed = self.at_person().arg("show-index").stdin_file(file).ok()?;
        let text = String::from_utf8_lossy(&listed.stdout);
        let objects: Vec<String> = text.lines().filter_map(|line| Some(line.split(' ').nth(1)?.to_owned())).collect();
        let lost = self.lacks(&objects)?.len();
        if lost > 0 {
            for ending in ENDINGS {
                match link(&pack.with_extension(ending), &to.with_extension(ending)) {
                    Err(_) if ending == "rev" => {}
                    linked => linked?,
                }
            }
        }
        Ok(lost)
    }
}

fn link(from: &Path, to: &Path) -> Result<(), GitError> {
    match fs::hard_link(from, to) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(GitError::io("bring in", from, e)),
        _ => Ok(()),
    }
}

fn is_old(folder: &Path) -> bool {
    fs::metadata(folder).and_then(|meta| meta.modified()).is_ok_and(|at| at.elapsed().is_ok_and(|age| age > STAY))
}
