//! What the files of a prepared workspace were before anybody worked in it, so that afterwards whatever is not exactly
//! that can be removed.
//!
//! A file counts as untouched only if its inode and the time of its last change are as noted, to the nanosecond. That
//! time cannot be set, and a write, a new mode, owner, attribute or name each move it. Its size and modification time,
//! which can be restored, are not looked at, and the content need not be read.

use crate::sweep::{Folder, Kind};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Error};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The kernel's clock of files moves in steps of up to 10 ms: what was changed shortly before the notes were made may
/// be changed again without a trace in them.
const DOUBT: i128 = 50_000_000;

/// Notes on the tracked files of a workspace and the folders they are in.
#[derive(Debug, Default)]
pub(crate) struct Manifest {
    files: HashMap<Vec<u8>, File>,
    folders: HashMap<Vec<u8>, Owner>,
    /// Start of the machine in which they were made: files are not synced, so after another one they may be torn.
    boot: String,
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
    pub(crate) fn note(work: &Path, list: &[u8], boot: &str) -> io::Result<Self> {
        let mut found = Self { boot: boot.to_owned(), ..Self::default() };
        found.note_folder(work, b"")?;
        for path in list.split(|b| *b == 0).filter(|path| !path.is_empty()) {
            for (at, _) in path.iter().enumerate().filter(|(_, b)| **b == b'/') {
                if !found.folders.contains_key(&path[..at]) {
                    found.note_folder(work, &path[..at])?;
                }
            }
            let meta = fs::symlink_metadata(work.join(OsStr::from_bytes(path)))?;
            if meta.is_dir() {
                // The place of a submodule.
                found.note_folder(work, path)?;
            } else {
                let changed = nanoseconds(meta.ctime(), meta.ctime_nsec());
                found.files.insert(path.to_vec(), File { inode: meta.ino(), changed });
            }
        }
        Ok(found)
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
        bytes.extend_from_slice(format!("b 0 0 0 {}\0", self.boot).as_bytes());
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

    /// Reads it back. Files that were changed shortly before it was written are left out: nobody can vouch for them.
    ///
    /// # Errors
    ///
    /// They are damaged, or of another start of the machine.
    pub(crate) fn load(file: &Path, boot: &str) -> io::Result<Self> {
        let bytes = fs::read(file)?;
        let meta = fs::symlink_metadata(file)?;
        let written = nanoseconds(meta.mtime(), meta.mtime_nsec());
        let mut found = Self::default();
        for line in bytes.split(|b| *b == 0).filter(|line| !line.is_empty()) {
            found.line(line, written).ok_or_else(|| Error::other(format!("{} is damaged", file.display())))?;
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
            b"b" => self.boot = String::from_utf8(path).ok()?,
            _ => return None,
        }
        Some(())
    }

    /// Removes whatever is not as noted: new files, ignored ones too, and files that somebody touched. Folders get
    /// back their modes. Follows no link.
    ///
    /// # Errors
    ///
    /// Whatever is doubtful: the workspace is not to be used again then.
    pub(crate) fn restore(&self, work: &Path) -> io::Result<()> {
        let top = Folder::open(work)?;
        let Some(owner) = self.folders.get(&b""[..]) else { return Err(Error::other("its notes are empty")) };
        if !top.is_plain()? || !self.own(&top, *owner)? {
            return Err(Error::other("its own folder was given rights or attributes"));
        }
        self.restore_in(&top, &mut Vec::new(), 0)
    }

    fn restore_in(&self, folder: &Folder, path: &mut Vec<u8>, depth: usize) -> io::Result<()> {
        if depth > crate::sweep::DEEP {
            return Err(Error::other("its folders are too deep"));
        }
        let length = path.len();
        for name in folder.names()? {
            if length > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name.to_bytes());
            let found = folder.look(&name)?;
            match (&found.kind, self.folders.get(path.as_slice())) {
                (Kind::Folder, Some(owner)) => {
                    let inner = folder.enter(&name)?;
                    if inner.is_plain()? && self.own(&inner, *owner)? {
                        self.restore_in(&inner, path, depth + 1)?;
                    } else {
                        folder.remove(&name)?;
                    }
                }
                (Kind::Other, _) => {
                    let noted = self.files.get(path.as_slice());
                    if noted != Some(&File { inode: found.inode, changed: found.changed }) {
                        folder.remove(&name)?;
                    }
                }
                (Kind::Folder, None) => folder.remove(&name)?,
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
