//! Refs below `refs/enki/` as the plain files that they are, where git keeps refs in files.
//!
//! Each of them is made once and deleted once, under a name that is nobody else's, so that none of git's caution about
//! many writers of one ref is needed: one is made by a hard link, which fails if the name is taken, and deleted by
//! removing its file. What is not this simple (a packed ref, another format) says `None`, and git does it.
//!
//! A `git pack-refs` at the same time may see a ref before it is deleted, and keep it packed. Then something stays
//! pinned that need not be, which [`crate::GitKeep`] shows; nothing is lost.

use crate::error::GitError;
use crate::git::objects::Swap;
use crate::project::GitProject;
use enki_core::crash_point;
use enki_core::id::CommitId;
use std::fs::{self, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What only Enki writes.
const OURS: &str = "refs/enki/";

impl GitProject {
    /// Makes a ref of Enki's that is not there, at a commit that is.
    pub(crate) fn make_plainly(&self, full_ref: &str, commit: CommitId) -> Result<Option<Swap>, GitError> {
        let Some(file) = self.plain_file(full_ref) else { return Ok(None) };
        // Else git has to say that it is not there.
        if !self.has_file_of(commit) || self.may_be_packed(full_ref) {
            return Ok(None);
        }
        let io = |e| GitError::io("write", &file, e);
        let tmp = self.enki_dir().join("tmp");
        let mut made = tempfile::NamedTempFile::new_in(&tmp).map_err(io)?;
        writeln!(made, "{commit}").map_err(io)?;
        made.as_file().set_permissions(self.rights_of_refs()?).map_err(io)?;
        // Always: of a ref that a loss of power left empty git says that the person's repository is broken.
        made.as_file().sync_all().map_err(io)?;
        crash_point!("git.ref-prepared");
        let linked = match fs::hard_link(made.path(), &file) {
            Err(e) if e.kind() == ErrorKind::NotFound => {
                make_folders(self.common_dir(), &file)?;
                fs::hard_link(made.path(), &file)
            }
            linked => linked,
        };
        crash_point!("git.ref-renamed");
        match linked {
            Ok(()) => Ok(Some(Swap::Done)),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(Some(Swap::Elsewhere)),
            // Another file system, one without links, or a git that tidies up folders.
            Err(_) => Ok(None),
        }
    }

    /// Deletes a ref of Enki's. Says whether that is done.
    pub(crate) fn delete_plainly(&self, full_ref: &str) -> bool {
        let Some(file) = self.plain_file(full_ref) else { return false };
        let logged = fs::symlink_metadata(self.common_dir().join("logs").join(full_ref)).is_ok();
        !logged && !self.may_be_packed(full_ref) && fs::remove_file(file).is_ok()
    }

    fn plain_file(&self, full_ref: &str) -> Option<PathBuf> {
        (full_ref.starts_with(OURS) && self.facts().ref_format == "files").then(|| self.common_dir().join(full_ref))
    }

    /// Whether a commit is a file of the person's repository.
    fn has_file_of(&self, commit: CommitId) -> bool {
        let id = commit.to_string();
        let (folder, name) = id.split_at(2);
        self.common_dir().join("objects").join(folder).join(name).exists()
    }

    /// Whether the name is among the packed refs, or these cannot be read.
    fn may_be_packed(&self, full_ref: &str) -> bool {
        match fs::read_to_string(self.common_dir().join("packed-refs")) {
            Ok(text) => text.lines().any(|line| line.strip_suffix(full_ref).is_some_and(|rest| rest.ends_with(' '))),
            Err(e) => e.kind() != ErrorKind::NotFound,
        }
    }

    /// What a ref may be read and written by: the same as the folder of all refs.
    fn rights_of_refs(&self) -> Result<Permissions, GitError> {
        let refs = self.common_dir().join("refs");
        let meta = fs::metadata(&refs).map_err(|e| GitError::io("look at", &refs, e))?;
        Ok(Permissions::from_mode(meta.permissions().mode() & 0o666))
    }
}

/// Makes the folders above a ref, with the rights of the folder of all refs: others of a group may write there too.
fn make_folders(common: &Path, file: &Path) -> Result<(), GitError> {
    let refs = common.join("refs");
    let folders: Vec<&Path> = file.ancestors().skip(1).take_while(|folder| *folder != refs).collect();
    for folder in folders.into_iter().rev() {
        let io = |e| GitError::io("make", folder, e);
        match fs::create_dir(folder) {
            Ok(()) => {
                let rights = fs::metadata(&refs).map_err(io)?.permissions();
                fs::set_permissions(folder, rights).map_err(io)?;
            }
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(io(e)),
        }
    }
    Ok(())
}
