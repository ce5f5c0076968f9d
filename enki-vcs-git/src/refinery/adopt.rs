//! Candidates on their way into the person's repository.
//!
//! What agents made comes in through git's inspection, [`GitProject::keep`]. A candidate is made by our own git from
//! objects that passed it, so its new objects, which are files in the refinery already synced, are linked into the
//! person's repository as they are, as git itself does with what a push brought. If anything is unlike the usual case,
//! nothing is said and the long way is taken.

use crate::error::GitError;
use crate::git::loose::{path as loose, read_folder};
use crate::git::objects::Kept;
use crate::project::GitProject;
use enki_core::crash_point;
use enki_core::id::{CommitId, TreeId};
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const SUBMODULE: &str = "160000";
/// The files of a pack, in the order in which they may come: once the last is there, git reads the others.
pub(crate) const ENDINGS: [&str; 3] = ["pack", "rev", "idx"];

impl GitProject {
    /// Brings a candidate that this process built on `base`, directly or over others, into the person's repository and
    /// keeps it by a ref, like [`GitProject::keep`]. Durable on return. `None`: it has to go the long way.
    pub(crate) fn adopt(
        &self,
        refinery: &Path,
        commit: CommitId,
        base: CommitId,
        full_ref: &str,
    ) -> Result<Option<Kept>, GitError> {
        if self.is_kept_by(commit, full_ref) {
            return Ok(Some(Kept::Yes));
        }
        let Some(objects) = self.made(refinery, base, commit)? else { return Ok(None) };
        crash_point!("git.fetch");
        let packs = self.packs(base, commit);
        if !(self.link_packs(&packs) && self.link(refinery, &objects, packs.is_empty())?) {
            return Ok(None);
        }
        match self.write_lock().and_then(|lock| self.create_ref(&lock, full_ref, commit)) {
            Ok(true) => {}
            Ok(false) => return Ok(Some(Kept::Taken)),
            Err(GitError::Failed { stderr, .. }) if stderr.contains("nonexistent object") => return Ok(None),
            Err(e) => return Err(e),
        }
        // A `gc --prune=now` of the person may have taken objects away before the ref named them: look again.
        if !self.has_all(&objects)? {
            return Ok(None);
        }
        let files: Vec<String> = objects.iter().filter(|id| loose(self.common_dir(), id).exists()).cloned().collect();
        self.sync(full_ref, &files)?;
        // From here on the person's repository has them, and the refinery borrows them. A pack with more in it than is kept
        // by now stays.
        let packs: Vec<PathBuf> = packs.into_iter().filter(|(_, last)| *last == commit).map(|(pack, _)| pack).collect();
        self.spare_of(refinery, commit, &objects, &packs);
        if let Err(error) = self.look_at_last() {
            // A later look may do it.
            tracing::warn!(%error, "it is not sure that git kept what was published before");
        }
        self.memo().kept(commit, full_ref);
        Ok(Some(Kept::Yes))
    }

    /// Whether this process brought the commit in whole, and the ref that it made to keep it is still there.
    fn is_kept_by(&self, commit: CommitId, full_ref: &str) -> bool {
        let kept = self.memo().get(commit).and_then(|known| known.kept);
        kept.as_deref() == Some(full_ref) && self.plainly_at(full_ref) == Some(commit)
    }

    /// The same, for whichever ref it made.
    pub(crate) fn is_kept(&self, commit: CommitId) -> bool {
        let kept = self.memo().get(commit).and_then(|known| known.kept);
        kept.is_some_and(|full_ref| self.is_kept_by(commit, &full_ref))
    }

    /// The objects that the commits after `base` up to `commit` brought; none if these were not all built by this
    /// process, which then does not know them.
    fn made(&self, refinery: &Path, base: CommitId, commit: CommitId) -> Result<Option<Vec<String>>, GitError> {
        let memo = self.memo();
        let (Some(line), Some(start)) = (memo.line(base, commit), memo.get(base)) else { return Ok(None) };
        let (mut objects, mut pairs, mut before) = (Vec::new(), Vec::new(), start.tree);
        for id in &line {
            let Some(known) = memo.get(*id) else { return Ok(None) };
            objects.push(id.to_string());
            if known.tree != before {
                objects.push(known.tree.to_string());
                pairs.push((before, known.tree));
            }
            before = known.tree;
        }
        if self.packs(base, commit).is_empty() {
            // What is new in them the refinery has as files; whatever else they need came in with the changes.
            for (_, tree) in &pairs {
                if !files_below(refinery, tree.to_string(), &mut objects) {
                    return Ok(None);
                }
            }
        } else {
            objects.extend(self.between(refinery, &pairs)?);
        }
        objects.sort_unstable();
        objects.dedup();
        Ok(Some(objects))
    }

    /// The objects in the second tree of each pair that are not at the same place in the first.
    fn between(&self, refinery: &Path, pairs: &[(TreeId, TreeId)]) -> Result<Vec<String>, GitError> {
        let lines: String = pairs.iter().map(|(old, new)| format!("{old} {new}\n")).collect();
        let output = self
            .git()
            .at(refinery)
            .args(["diff-tree", "--stdin", "-r", "-t", "-z", "--raw", "--no-renames", "--no-abbrev"])
            .stdin(lines)
            .ok()?;
        let mut objects = Vec::new();
        // `:<old mode> <mode> <old id> <id> <letter>`, behind the line of the pair if it is the first.
        for part in output.stdout.split(|b| *b == 0) {
            let text = String::from_utf8_lossy(part);
            let entry = text.split_once('\n').map_or(&text[..], |(_, entry)| entry);
            let Some(entry) = entry.strip_prefix(':') else { continue };
            if let [_, mode, _, id, _] = entry.split(' ').collect::<Vec<_>>()[..]
                && mode != SUBMODULE
                && id.bytes().any(|b| b != b'0')
            {
                objects.push(id.to_owned());
            }
        }
        Ok(objects)
    }

    /// The packs of the refinery in which the commits after `base` up to `commit` came.
    fn packs(&self, base: CommitId, commit: CommitId) -> BTreeSet<(PathBuf, CommitId)> {
        let line = self.memo().line(base, commit).unwrap_or_default();
        let packs = line.into_iter().filter_map(|id| self.memo().get(id)?.pack);
        packs.filter(|(pack, _)| pack.with_extension("idx").exists()).collect()
    }

    /// Gives the person's repository these packs. False if it cannot be done by links.
    fn link_packs(&self, packs: &BTreeSet<(PathBuf, CommitId)>) -> bool {
        let folder = self.common_dir().join("objects/pack");
        packs.iter().all(|(pack, _)| {
            ENDINGS.iter().all(|ending| {
                let from = pack.with_extension(ending);
                let Some(name) = from.file_name() else { return false };
                match fs::hard_link(&from, folder.join(name)) {
                    Ok(()) => true,
                    Err(e) => e.kind() == ErrorKind::AlreadyExists || (*ending == "rev" && !from.exists()),
                }
            })
        })
    }

    /// Gives the person's repository what it lacks of these objects. False if one is neither there nor a file of ours,
    /// unless it is looked for later.
    fn link(&self, refinery: &Path, objects: &[String], all: bool) -> Result<bool, GitError> {
        let store = self.common_dir();
        let mut elsewhere = Vec::new();
        for id in objects {
            let (from, to) = (loose(refinery, id), loose(store, id));
            if to.exists() {
                continue;
            }
            let linked = match fs::hard_link(&from, &to) {
                Err(e) if e.kind() == ErrorKind::NotFound && from.exists() => {
                    fan_out(store, &to)?;
                    fs::hard_link(&from, &to)
                }
                other => other,
            };
            match linked {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                Err(e) if e.kind() == ErrorKind::NotFound => elsewhere.push(id.clone()),
                // Another file system, or one without links.
                Err(_) => return Ok(false),
            }
        }
        Ok(!all || self.are_in(store, &elsewhere)?)
    }

    /// Whether the person's repository has these objects, as files or in a pack.
    pub(crate) fn has_all(&self, objects: &[String]) -> Result<bool, GitError> {
        Ok(self.lacks(objects)?.is_empty())
    }

    /// Whether git finds these objects, in a pack say.
    fn are_in(&self, git_dir: &Path, ids: &[String]) -> Result<bool, GitError> {
        Ok(ids.is_empty() || self.git().look_up(git_dir, ids)?.iter().all(|found| found.id::<String>().is_some()))
    }

    /// Which of these objects the person's repository lacks, as files and in packs.
    pub(crate) fn lacks(&self, objects: &[String]) -> Result<Vec<String>, GitError> {
        let store = self.common_dir();
        let others: Vec<String> = objects.iter().filter(|id| !loose(store, id).exists()).cloned().collect();
        if others.is_empty() {
            return Ok(others);
        }
        let found = self.git().look_up(store, &others)?;
        Ok(others
            .into_iter()
            .zip(found)
            .filter(|(_, found)| found.id::<String>().is_none())
            .map(|(id, _)| id)
            .collect())
    }
}

/// Adds what is in a folder, and has a file in the refinery, at any depth. Whether all of it could be looked at: one that
/// was skipped would be missing afterwards from the person's repository.
#[must_use]
fn files_below(refinery: &Path, folder: String, objects: &mut Vec<String>) -> bool {
    let mut open = vec![folder];
    while let Some(folder) = open.pop() {
        let Some(inside) = read_folder(refinery, &folder) else {
            match loose(refinery, &folder).try_exists() {
                // Nothing in it is new: it came in with the changes.
                Ok(false) => continue,
                _ => return false,
            }
        };
        for (id, is_folder) in inside {
            match loose(refinery, &id).try_exists() {
                Ok(true) => objects.push(id.clone()),
                Ok(false) => {}
                Err(_) => return false,
            }
            if is_folder {
                open.push(id);
            }
        }
    }
    true
}

/// Makes the folder of an object, with the rights of the folder above: others of a group may write there too.
pub(crate) fn fan_out(store: &Path, file: &Path) -> Result<(), GitError> {
    let Some(folder) = file.parent() else { return Ok(()) };
    let io = |e| GitError::io("make", folder, e);
    match fs::create_dir(folder) {
        Ok(()) => {
            let rights = fs::metadata(store.join("objects")).map_err(io)?.permissions();
            fs::set_permissions(folder, rights).map_err(io)
        }
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(io(e)),
    }
}
