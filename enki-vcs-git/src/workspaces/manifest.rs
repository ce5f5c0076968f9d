//! What the files of a prepared workspace were before anybody worked in it, so that afterwards whatever is not exactly
//! that can be removed.
//!
//! A file counts as untouched only if its inode and the time of its last change are as noted, to the nanosecond. That
//! time cannot be set, and a write, a new mode, owner, attribute or name each move it. Its size and modification time,
//! which can be restored, are not looked at, and the content need not be read.

use crate::workspaces::sweep::{Folder, Kind};
use enki_core::id::TreeId;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Error};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The kernel's clock of files moves in steps of up to 10 ms: what was changed shortly before the notes were made may
/// be changed again without a trace in them.
pub(crate) const DOUBT: i128 = 50_000_000;

/// Notes on the tracked files of a workspace and the folders they are in.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// What the files are, and the index that is kept with the notes.
    pub(crate) tree: TreeId,
    files: HashMap<Vec<u8>, File>,
    folders: HashMap<Vec<u8>, Owner>,
    /// Start of the machine in which they were made: files are not synced, so after another one they may be torn.
    boot: String,
}

/// What happened since notes were made.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Since {
    /// Somebody may have been at work there.
    AtWork,
    /// Nobody was.
    AtRest,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct File {
    inode: u64,
    /// Time of the last change, in nanoseconds.
    changed: i128,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Owner {
    mode: u32,
    user: u32,
    group: u32,
}

impl Manifest {
    /// Notes the files of that list: paths below `work`, each ending with a zero byte.
    pub(crate) fn note(work: &Path, list: &[u8], tree: TreeId, boot: &str) -> io::Result<Self> {
        let boot = boot.to_owned();
        let mut found = Self { tree, files: HashMap::new(), folders: HashMap::new(), boot };
        found.note_folder(work, b"")?;
        found.note_again(work, list.split(|b| *b == 0).filter(|path| !path.is_empty()), tree)?;
        Ok(found)
    }

    /// Notes all that is below `work`.
    pub(crate) fn note_all(work: &Path, tree: TreeId, boot: &str) -> io::Result<Self> {
        let (mut list, mut folders) = (Vec::new(), vec![work.to_owned()]);
        let mut empty = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                let meta = fs::symlink_metadata(&path)?;
                let below = path.strip_prefix(work).map_err(Error::other)?.as_os_str().as_bytes().to_vec();
                if meta.is_dir() {
                    folders.push(path);
                    empty.push(below);
                } else {
                    list.extend_from_slice(&below);
                    list.push(0);
                }
            }
        }
        let mut found = Self::note(work, &list, tree, boot)?;
        empty.iter().try_for_each(|path| found.note_folder(work, path))?;
        Ok(found)
    }

    /// Notes anew what is at these paths, all that changed on the way to that tree: a path that is left out is taken
    /// for touched later, and so may cost something, but never shows anything.
    pub(crate) fn note_again<'a>(
        &mut self,
        work: &Path,
        paths: impl IntoIterator<Item = &'a [u8]>,
        tree: TreeId,
    ) -> io::Result<()> {
        self.tree = tree;
        for path in paths {
            let meta = match fs::symlink_metadata(work.join(OsStr::from_bytes(path))) {
                Ok(meta) => meta,
                Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                    self.files.remove(path);
                    continue;
                }
                Err(e) => return Err(e),
            };
            for (at, _) in path.iter().enumerate().filter(|(_, b)| **b == b'/') {
                if !self.folders.contains_key(&path[..at]) {
                    self.note_folder(work, &path[..at])?;
                }
            }
            if meta.is_dir() {
                // The place of a submodule.
                self.note_folder(work, path)?;
            } else {
                let changed = nanoseconds(meta.ctime(), meta.ctime_nsec());
                self.files.insert(path.to_vec(), File { inode: meta.ino(), changed });
            }
        }
        Ok(())
    }

    fn note_folder(&mut self, work: &Path, path: &[u8]) -> io::Result<()> {
        let meta = fs::symlink_metadata(work.join(OsStr::from_bytes(path)))?;
        if !meta.is_dir() {
            return Err(Error::other(format!("{} is no folder", show(path))));
        }
        let owner = Owner { mode: meta.mode() & 0o7777, user: meta.uid(), group: meta.gid() };
        self.folders.insert(path.to_vec(), owner);
        Ok(())
    }

    /// Its form in a file.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.files.len() * 80);
        bytes.extend_from_slice(format!("b 0 0 0 {}\0t 0 0 0 {}\0", self.boot, self.tree).as_bytes());
        for (path, folder) in &self.folders {
            bytes.extend_from_slice(format!("d {} {} {} ", folder.mode, folder.user, folder.group).as_bytes());
            bytes.extend_from_slice(path);
            bytes.push(0);
        }
        for (path, file) in &self.files {
            bytes.extend_from_slice(format!("f {} {} 0 ", file.inode, file.changed).as_bytes());
            bytes.extend_from_slice(path);
            bytes.push(0);
        }
        bytes
    }

    /// Reads it back. Files that were changed shortly before it was written are left out, if somebody may have been at
    /// work since: nobody can vouch for them.
    ///
    /// # Errors
    ///
    /// They are damaged, or of another start of the machine.
    pub(crate) fn load(file: &Path, boot: &str, since: Since) -> io::Result<Self> {
        let bytes = fs::read(file)?;
        let meta = fs::symlink_metadata(file)?;
        let written = match since {
            Since::AtWork => nanoseconds(meta.mtime(), meta.mtime_nsec()),
            Since::AtRest => i128::MAX,
        };
        let damaged = || Error::other(format!("{} is damaged", file.display()));
        let mut lines = bytes.split(|b| *b == 0).filter(|line| !line.is_empty());
        let head = |line: Option<&[u8]>, start: &str| {
            line.and_then(|line| Some(std::str::from_utf8(line).ok()?.strip_prefix(start)?.to_owned()))
        };
        let boot_then = head(lines.next(), "b 0 0 0 ").ok_or_else(damaged)?;
        let tree = head(lines.next(), "t 0 0 0 ").and_then(|id| id.parse().ok()).ok_or_else(damaged)?;
        let mut found = Self { tree, files: HashMap::new(), folders: HashMap::new(), boot: boot_then };
        for line in lines {
            found.line(line, written).ok_or_else(damaged)?;
        }
        if found.boot != boot {
            return Err(Error::other(format!("{} is of another start of the machine", file.display())));
        }
        Ok(found)
    }

    fn line(&mut self, line: &[u8], written: i128) -> Option<()> {
        let mut parts = line.splitn(5, |b| *b == b' ');
        let kind = parts.next()?;
        let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse::<i128>().ok();
        let (a, b, c) = (number()?, number()?, number()?);
        let path = parts.next()?.to_vec();
        match kind {
            b"d" => {
                let owner = Owner { mode: a.try_into().ok()?, user: b.try_into().ok()?, group: c.try_into().ok()? };
                self.folders.insert(path, owner);
            }
            b"f" if b + DOUBT < written => {
                self.files.insert(path, File { inode: a.try_into().ok()?, changed: b });
            }
            b"f" => {}
            _ => return None,
        }
        Some(())
    }

    /// Whether all that is there is as noted, and nothing else is there.
    pub(crate) fn holds(&self, work: &Path) -> io::Result<bool> {
        let (mut files, mut folders) = (0, 0);
        let fine = self.holds_in(&Folder::open(work)?, &mut Vec::new(), &mut files, &mut folders, 0)?;
        Ok(fine && files == self.files.len() && folders == self.folders.len())
    }

    fn holds_in(
        &self,
        folder: &Folder,
        path: &mut Vec<u8>,
        files: &mut usize,
        folders: &mut usize,
        depth: usize,
    ) -> io::Result<bool> {
        let (owner, now) = (self.folders.get(path.as_slice()), folder.owner()?);
        let own = owner.is_some_and(|o| (o.mode, o.user, o.group) == (now.mode, now.user, now.group));
        if !own || depth > crate::workspaces::sweep::DEEP {
            return Ok(false);
        }
        *folders += 1;
        let length = path.len();
        for name in folder.names()? {
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name.to_bytes());
            let found = folder.look(&name)?;
            let as_noted = match found.kind {
                Kind::Folder => self.holds_in(&folder.enter(&name)?, path, files, folders, depth + 1)?,
                Kind::Other => {
                    *files += 1;
                    let now = File { inode: found.inode, changed: found.changed };
                    self.files.get(path.as_slice()) == Some(&now)
                }
            };
            if !as_noted {
                return Ok(false);
            }
            path.truncate(length);
        }
        Ok(true)
    }

    /// Removes whatever is not as noted: new files, ignored ones too, and files that somebody touched. Folders get
    /// back their modes. Follows no link. Gives what it removed.
    ///
    /// # Errors
    ///
    /// Whatever is doubtful: the workspace is not to be used again then.
    pub(crate) fn restore(&self, work: &Path) -> io::Result<Vec<Vec<u8>>> {
        let top = Folder::open(work)?;
        let Some(owner) = self.folders.get(&b""[..]) else { return Err(Error::other("its notes are empty")) };
        if !top.is_plain()? || !self.own(&top, *owner)? {
            return Err(Error::other("its own folder was given rights or attributes"));
        }
        let mut removed = Vec::new();
        self.restore_in(&top, &mut Vec::new(), &mut removed, 0)?;
        Ok(removed)
    }

    fn restore_in(
        &self,
        folder: &Folder,
        path: &mut Vec<u8>,
        removed: &mut Vec<Vec<u8>>,
        depth: usize,
    ) -> io::Result<()> {
        if depth > crate::workspaces::sweep::DEEP {
            return Err(Error::other("its folders are too deep"));
        }
        let length = path.len();
        for name in folder.names()? {
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name.to_bytes());
            let found = folder.look(&name)?;
            let untouched = match (&found.kind, self.folders.get(path.as_slice())) {
                (Kind::Folder, Some(owner)) => {
                    let inner = folder.enter(&name)?;
                    let fine = inner.is_plain()? && self.own(&inner, *owner)?;
                    if fine {
                        self.restore_in(&inner, path, removed, depth + 1)?;
                    }
                    fine
                }
                (Kind::Folder, None) => false,
                (Kind::Other, _) => {
                    let now = File { inode: found.inode, changed: found.changed };
                    self.files.get(path.as_slice()) == Some(&now)
                }
            };
            if !untouched {
                folder.remove(&name)?;
                removed.push(path.clone());
            }
            path.truncate(length);
        }
        Ok(())
    }

    /// Whether the folder belongs to whom it belonged; gives it its mode.
    fn own(&self, folder: &Folder, owner: Owner) -> io::Result<bool> {
        let now = folder.owner()?;
        if (now.user, now.group) != (owner.user, owner.group) {
            return Ok(false);
        }
        if now.mode != owner.mode {
            folder.set_mode(owner.mode)?;
        }
        Ok(true)
    }
}

fn nanoseconds(seconds: i64, rest: i64) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(rest)
}

fn show(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
