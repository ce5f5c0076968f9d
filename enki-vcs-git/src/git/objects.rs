//! Objects on their way between repositories, always through git's own inspection, and the refs that keep them.

use crate::error::GitError;
use crate::git::Durable;
use crate::git::lock::Lock;
use crate::git::loose::{commit_text, write_commit};
use crate::project::GitProject;
use crate::there;
use enki_core::crash_point;
use enki_core::id::CommitId;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// How often objects are brought in again that a `gc` of the person took away. One that runs in an endless loop wins
/// about every third time, so that this many losses in a row mean something else.
pub(crate) const RACES: u32 = 25;

/// Packs of fewer objects are unpacked, as git's own fetch does: else each step would leave a pack behind.
const UNPACK_LIMIT: u32 = 100;

/// What became of a commit that was to be brought into the person's repository.
pub(crate) enum Kept {
    /// It is there, complete, and the ref keeps it.
    Yes,
    /// Git's inspection refused an object.
    Refused(String),
    /// The ref keeps another commit. The objects may have come in.
    Taken,
}

/// What became of objects on their way.
enum Came {
    /// They are there, in the pack of that name if git made one.
    In(Option<String>),
    /// Git's inspection refused one, in its words.
    Refused(String),
}

/// What of a commit the person's repository may lack.
#[derive(Clone, Copy, Debug)]
pub(crate) enum New<'a> {
    /// Just these objects, the commit among them.
    Objects(&'a [String]),
    /// Whatever this commit, which is there already, has not.
    Since(CommitId),
    All,
}

/// What a ref is expected to be before it is moved.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Old {
    /// It does not exist.
    Absent,
    /// It is at that commit.
    At(CommitId),
}

/// Whether a ref was moved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Swap {
    Done,
    /// It was not where it was expected. Nothing was changed.
    Elsewhere,
}

impl GitProject {
    /// Brings a commit from a git directory of ours into the person's repository, inspected by git, and keeps it by a
    /// ref. Durable on return. The same again changes nothing.
    ///
    /// Only the ref is made under the lock for writers: objects come in beside those of others.
    pub(crate) fn keep(&self, from: &Path, commit: CommitId, new: &New<'_>, full_ref: &str) -> Result<Kept, GitError> {
        // A `gc --prune=now` of the person may take new objects away until a ref names them: look again afterwards.
        for _ in 0..RACES {
            let pack = match self.transfer(from, commit, new) {
                Ok(Came::In(pack)) => pack,
                Ok(Came::Refused(words)) => return Ok(Kept::Refused(words)),
                // It takes empty folders away too, from under a git that is about to write there.
                Err(GitError::Failed { stderr, .. }) if stderr.contains("No such file or directory") => continue,
                Err(e) => return Err(e),
            };
            crash_point!("git.fetch");
            // First: of a ref whose objects a loss of power took, git says that the repository is broken, and whoever comes
            // after it makes another ref.
            if let New::Objects(ids) = new {
                self.sync_objects(ids)?;
            }
            match self.write_lock().and_then(|lock| self.create_ref(&lock, full_ref, commit)) {
                Ok(true) => {}
                Ok(false) => return Ok(Kept::Taken),
                Err(GitError::Failed { stderr, .. }) if stderr.contains("nonexistent object") => continue,
                Err(e) => return Err(e),
            }
            if let Some(there) = self.complete(commit, new)? {
                match new {
                    New::Objects(_) => self.sync_ref(full_ref)?,
                    New::Since(_) | New::All => self.sync(full_ref, &there)?,
                }
                self.spare(commit, &there, pack.as_deref());
                return Ok(Kept::Yes);
            }
        }
        Err(GitError::Raced(format!(
            "objects of {commit} disappear from {} as they come in",
            self.common_dir().display()
        )))
    }

    /// Makes a ref at that commit; there already, at that commit, is success too. Says whether the ref is there.
    pub(crate) fn create_ref(&self, lock: &Lock, full_ref: &str, commit: CommitId) -> Result<bool, GitError> {
        if self.plainly_at(full_ref) == Some(commit) {
            return Ok(true);
        }
        let made = match self.make_plainly(full_ref, commit)? {
            Some(made) => made,
            None => self.swap(lock, full_ref, commit, Old::Absent)?,
        };
        match made {
            Swap::Done => Ok(true),
            Swap::Elsewhere => Ok(self.commit_at(full_ref)? == Some(commit)),
        }
    }

    /// Moves a ref of the person's repository by compare-and-swap.
    pub(crate) fn swap(&self, lock: &Lock, full_ref: &str, new: CommitId, old: Old) -> Result<Swap, GitError> {
        let old = match old {
            Old::Absent => self.zero(),
            Old::At(id) => id.to_string(),
        };
        let id = new.to_string();
        self.watch().moves(full_ref, new);
        crash_point!("git.ref-prepared");
        let message = format!("enki {new}");
        let git =
            || self.at_person_durably().args(["update-ref", "--create-reflog", "-m", &message, full_ref, &id, &old]);
        let output = self.move_ref(lock, full_ref, &id, git)?;
        if output.code == Some(0) {
            crash_point!("git.ref-renamed");
            return Ok(Swap::Done);
        }
        let elsewhere = ["but expected", "reference already exists", "unable to resolve reference"];
        if elsewhere.iter().any(|words| output.stderr.contains(words)) {
            return Ok(Swap::Elsewhere);
        }
        Err(output.into_error())
    }

    /// Deletes a ref of the person's repository if it is at that commit.
    pub(crate) fn delete_ref(&self, lock: &Lock, full_ref: &str) -> Result<(), GitError> {
        if self.position(full_ref)?.is_some() && !self.delete_plainly(full_ref) {
            let git = || self.at_person().args(["update-ref", "-d", full_ref]);
            self.move_ref(lock, full_ref, "", git)?.ok()?;
        }
        Ok(())
    }

    /// Copies what the person's repository lacks of a commit.
    fn transfer(&self, from: &Path, commit: CommitId, new: &New<'_>) -> Result<Came, GitError> {
        let tmp = self.enki_dir().join("tmp");
        let mut pack = tempfile::tempfile_in(&tmp).map_err(|e| GitError::io("make a file in", &tmp, e))?;
        let again = |file: &File| file.try_clone().map_err(|e| GitError::io("use a file in", &tmp, e));
        let call = self.git().at(from).args(["pack-objects", "--stdout", "--delta-base-offset", "-q"]);
        let call = match new {
            // They are read once, from this disk: nothing is gained by differences.
            New::Objects(ids) => call.arg("--window=0").stdin(ids.join("\n") + "\n"),
            New::Since(not) => call.args(["--revs", "--thin"]).stdin(format!("{commit}\n^{not}\n")),
            New::All => call.args(["--revs", "--thin"]).stdin(format!("{commit}\n")),
        };
        call.stdout_file(again(&pack)?).long().ok()?;
        let count = objects_in(&mut pack).map_err(|e| GitError::io("read a file in", &tmp, e))?;
        if count == 0 {
            return Ok(Came::In(None));
        }
        crash_point!("git.fsck");
        let git = self.at_person_durably().long().let_finish();
        let unpack = if count < UNPACK_LIMIT {
            git.args(["unpack-objects", "-q", "--strict"])
        } else {
            git.args(["index-pack", "--stdin", "--fix-thin", "--strict"])
        };
        let output = unpack.stdin_file(again(&pack)?).run()?;
        if output.code == Some(0) {
            let said = String::from_utf8_lossy(&output.stdout);
            return Ok(Came::In(said.trim_end().strip_prefix("pack\t").map(str::to_owned)));
        }
        let fsck = output.stderr.lines().find(|line| line.starts_with("error: object ") || line.contains("fsck error"));
        match fsck {
            Some(line) => Ok(Came::Refused(line.trim_start_matches("error: ").to_owned())),
            None => Err(output.into_error()),
        }
    }

    /// Whether the person's repository has all of a commit; if so, the objects that are new in it.
    pub(crate) fn complete(&self, commit: CommitId, new: &New<'_>) -> Result<Option<Vec<String>>, GitError> {
        let mut cmd = self.at_person().args(["rev-list", "--objects", "--no-object-names"]).arg(commit.to_string());
        match new {
            // Their inspection saw to it that whatever else they need is there.
            New::Objects(ids) => return Ok(self.has_all(ids)?.then(|| ids.to_vec())),
            New::Since(not) => cmd = cmd.arg(format!("^{not}")),
            New::All => {}
        }
        let output = cmd.long().run()?;
        match output.code {
            Some(0) => Ok(Some(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())),
            Some(128) => Ok(None),
            _ => Err(output.into_error()),
        }
    }

    /// Syncs the folders that gained the ref and the objects: git syncs files, never folders (F7).
    pub(crate) fn sync(&self, full_ref: &str, objects: &[String]) -> Result<(), GitError> {
        self.sync_objects(objects)?;
        self.sync_ref(full_ref)
    }

    /// Syncs the folders that gained the objects, or a pack.
    pub(crate) fn sync_objects(&self, objects: &[String]) -> Result<(), GitError> {
        let store = self.common_dir().join("objects");
        let mut folders: BTreeSet<PathBuf> = objects.iter().filter_map(|id| Some(store.join(id.get(..2)?))).collect();
        folders.insert(store.join("pack"));
        folders.insert(store);
        folders.iter().try_for_each(|folder| sync_folder(folder))
    }

    /// Syncs the folders above a ref.
    pub(crate) fn sync_ref(&self, full_ref: &str) -> Result<(), GitError> {
        if self.facts().ref_format == "reftable" {
            return sync_tables(&self.common_dir().join("reftable"));
        }
        let file = self.common_dir().join(full_ref);
        for folder in file.ancestors().skip(1).take_while(|dir| dir.starts_with(self.common_dir())) {
            sync_folder(folder)?;
        }
        crash_point!("git.sync");
        Ok(())
    }

    /// A commit with those parents and that message, by Enki, at that time. The same again is the same commit.
    pub(crate) fn commit_tree(
        &self,
        git_dir: &Path,
        tree: enki_core::id::TreeId,
        parents: &[CommitId],
        message: &str,
        at: enki_core::time::Timestamp,
    ) -> Result<CommitId, GitError> {
        // In the person's repository, git itself writes.
        if git_dir != self.common_dir() {
            let text = commit_text(tree, parents, message, at);
            if let Some(commit) = write_commit(git_dir, &text, self.facts().object_format == "sha256")? {
                crash_point!("git.commit-tree");
                return Ok(commit);
            }
        }
        let mut cmd =
            self.git().at(git_dir).durable(Durable::Committed).identity(at).arg("commit-tree").arg(tree.to_string());
        for parent in parents {
            cmd = cmd.arg("-p").arg(parent.to_string());
        }
        let commit = cmd.stdin(message).ok()?.id()?;
        crash_point!("git.commit-tree");
        Ok(commit)
    }
}

/// The number of objects in a pack; leaves the file at its beginning.
fn objects_in(pack: &mut File) -> io::Result<u32> {
    let mut header = [0; 12];
    pack.seek(SeekFrom::Start(0))?;
    pack.read_exact(&mut header)?;
    pack.seek(SeekFrom::Start(0))?;
    Ok(u32::from_be_bytes([header[8], header[9], header[10], header[11]]))
}

/// Syncs the tables of refs, then their folder: git writes the end of a table after it has synced it, and a table without
/// its end takes all refs with it.
fn sync_tables(folder: &Path) -> Result<(), GitError> {
    for table in there::entries(folder)?.iter().map(fs::DirEntry::path) {
        match File::open(&table).and_then(|file| file.sync_all()) {
            // Another git may have joined some of them meanwhile.
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(GitError::io("sync", &table, e)),
            _ => {}
        }
    }
    sync_folder(folder)
}

/// Makes the entries of a folder durable; one that is not there has none.
pub(crate) fn sync_folder(path: &Path) -> Result<(), GitError> {
    match File::open(path) {
        Ok(folder) => folder.sync_all().map_err(|e| GitError::io("sync", path, e)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(GitError::io("open", path, e)),
    }
}
