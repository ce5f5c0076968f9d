//! One file below a folder that an agent may be changing: no symbolic link is ever followed.
//!
//! `enki-vcs-git` opens files beneath a folder in the same way. The two are apart because nothing below both may do
//! input and output, and because they differ in what counts: here a file keeps its mode and `.git` is refused, there
//! all is private and durable.

use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What a new file is called until it is whole: short, so that every name that a file may have can be edited.
const TEMPORARY: &str = ".enki-edit.new";

/// Largest file that is edited.
const LARGEST: u64 = 8 << 20;

/// A place for a file, whose folder is held open.
#[derive(Debug)]
pub(super) struct Place {
    folder: OwnedFd,
    name: String,
}

impl Place {
    /// Opens the folders to a path, which has only plain parts.
    pub(super) fn open(root: &Path, relative: &str) -> io::Result<Self> {
        let mut parts: Vec<&str> = relative.split('/').collect();
        let plain = |part: &&str| !matches!(*part, "" | "." | "..") && !part.contains(['\0', '\\']);
        if !parts.iter().all(plain) || parts.iter().any(|part| part.eq_ignore_ascii_case(".git")) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a plain path below the workspace"));
        }
        let name = parts.pop().unwrap_or_default().to_owned();
        let mut folder = rustix::fs::openat(CWD, root, FOLDER, Mode::empty())?;
        for part in parts {
            match rustix::fs::mkdirat(&folder, part, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            folder = rustix::fs::openat(&folder, part, FOLDER, Mode::empty())?;
        }
        Ok(Self { folder, name })
    }

    /// What is in it, and its mode; `None` if there is no file.
    pub(super) fn read(&self) -> io::Result<Option<(Vec<u8>, u32)>> {
        // NONBLOCK: a FIFO of that name must not hold us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(&self.folder, self.name.as_str(), flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let found = file.metadata()?;
        let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        if !found.is_file() {
            return refuse("it is not a regular file");
        }
        let mut bytes = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LARGEST {
            return refuse("it is larger than 8 MiB");
        }
        Ok(Some((bytes, found.permissions().mode() & 0o777)))
    }

    /// Puts a new file in its place: a reader sees the old or the new one. One edit at a time in a folder.
    pub(super) fn write(&self, bytes: &[u8], mode: u32) -> io::Result<()> {
        let gone = || match rustix::fs::unlinkat(&self.folder, TEMPORARY, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(io::Error::from(error)),
        };
        gone()?;
        self.replace(bytes, mode).inspect_err(|_| {
            // What is left of it would be taken for the agent's work.
            let _ = gone();
        })
    }

    fn replace(&self, bytes: &[u8], mode: u32) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.folder, TEMPORARY, flags, Mode::from_raw_mode(0o600))?;
        let mut file = File::from(fd);
        file.write_all(bytes)?;
        file.set_permissions(PermissionsExt::from_mode(mode))?;
        Ok(rustix::fs::renameat(&self.folder, TEMPORARY, &self.folder, self.name.as_str())?)
    }
}
