//! Removing what somebody else left, whatever it is: nothing is followed, nothing is left because of its rights or its
//! depth, and another file system that is mounted there is not touched.

use rustix::fs::{AtFlags, CWD, Dev, Dir, FileType, Mode, OFlags, RawMode, Stat};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::io::{self, Error};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// How many folders are gone into one below the other, each holding a descriptor.
pub(crate) const DEEP: usize = 100;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes a file, a link or a folder with all that is in it. What is not there is removed already.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::new(io::ErrorKind::InvalidInput, "it has no parent"));
    };
    let fd = match rustix::fs::openat(CWD, parent, FOLDER.difference(OFlags::NOFOLLOW), Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOENT) => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    let device = rustix::fs::fstat(&fd)?.st_dev;
    let name = CString::new(name.as_bytes())?;
    match (Folder { fd, device }).remove(&name) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// An open folder.
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    /// Its file system.
    device: Dev,
}

/// What is at a name.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) kind: Kind,
    pub(crate) inode: u64,
    /// Time of the last change, in nanoseconds.
    pub(crate) changed: i128,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Folder,
    /// A file, a link, a pipe, whatever.
    Other,
}

/// Whose a folder is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rights {
    pub(crate) mode: u32,
    pub(crate) user: u32,
    pub(crate) group: u32,
}

impl Folder {
    /// Opens a folder, which must not be a link.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let fd = rustix::fs::openat(CWD, path, FOLDER, Mode::empty())
            .or_else(|e| open_up(e, |flags| rustix::fs::openat(CWD, path, flags, Mode::empty())))?;
        let device = rustix::fs::fstat(&fd)?.st_dev;
        Ok(Self { fd, device })
    }

    /// Opens a folder in it, of the same file system.
    pub(crate) fn enter(&self, name: &CStr) -> io::Result<Self> {
        let fd = rustix::fs::openat(&self.fd, name, FOLDER, Mode::empty())
            .or_else(|e| open_up(e, |flags| rustix::fs::openat(&self.fd, name, flags, Mode::empty())))?;
        let inner = Self { device: rustix::fs::fstat(&fd)?.st_dev, fd };
        if inner.device != self.device {
            return Err(Error::other(format!("another file system is mounted at {}", name.to_string_lossy())));
        }
        Ok(inner)
    }

    /// What is in it.
    pub(crate) fn names(&self) -> io::Result<Vec<CString>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd)? {
            let entry = entry?;
            if ![c".", c".."].contains(&entry.file_name()) {
                names.push(entry.file_name().to_owned());
            }
        }
        Ok(names)
    }

    /// What is at a name, itself and not where it leads.
    pub(crate) fn look(&self, name: &CStr) -> io::Result<Found> {
        let stat = rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = if is_folder(&stat) { Kind::Folder } else { Kind::Other };
        let changed = i128::from(stat.st_ctime) * 1_000_000_000 + i128::from(stat.st_ctime_nsec);
        Ok(Found { kind, inode: stat.st_ino, changed })
    }

    /// Whose it is.
    pub(crate) fn owner(&self) -> io::Result<Rights> {
        let stat = rustix::fs::fstat(&self.fd)?;
        Ok(Rights { mode: stat.st_mode & 0o7777, user: stat.st_uid, group: stat.st_gid })
    }

    /// Gives it that mode.
    pub(crate) fn set_mode(&self, mode: u32) -> io::Result<()> {
        Ok(rustix::fs::fchmod(&self.fd, Mode::from_raw_mode(mode as RawMode))?)
    }

    /// Whether it has no attributes that the files made in it would inherit. Those of the system's policy do not count.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_plain(&self) -> io::Result<bool> {
        let mut names = [0; 4096];
        match rustix::fs::flistxattr(&self.fd, &mut names) {
            Ok(length) => {
                let mut names = names[..length].split(|b| *b == 0);
                Ok(names.all(|name| name.is_empty() || name.starts_with(b"security.")))
            }
            Err(Errno::NOTSUP) => Ok(true),
            Err(e) => Err(e.into()),
        }
    }

    /// Nobody can tell here.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn is_plain(&self) -> io::Result<bool> {
        Ok(false)
    }

    /// Removes what is at a name, with all that is in it.
    pub(crate) fn remove(&self, name: &CStr) -> io::Result<()> {
        if self.look(name)?.kind == Kind::Other {
            return Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::empty())?);
        }
        let top = self.enter(name)?;
        // Folders that are too deep come up to the top, and it is looked at again.
        let mut moved = 1;
        while std::mem::take(&mut moved) > 0 {
            top.empty(&top, 0, &mut moved)?;
        }
        Ok(rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR)?)
    }

    fn empty(&self, top: &Self, depth: usize, moved: &mut u64) -> io::Result<()> {
        if self.owner()?.mode & 0o700 != 0o700 {
            self.set_mode(0o700)?;
        }
        for name in self.names()? {
            match self.look(&name)?.kind {
                Kind::Other => rustix::fs::unlinkat(&self.fd, &name, AtFlags::empty())?,
                Kind::Folder if depth < DEEP => {
                    self.enter(&name)?.empty(top, depth + 1, moved)?;
                    match rustix::fs::unlinkat(&self.fd, &name, AtFlags::REMOVEDIR) {
                        // Something in it was moved to the top, or it is the top's.
                        Ok(()) | Err(Errno::NOTEMPTY) => {}
                        Err(e) => return Err(e.into()),
                    }
                }
                Kind::Folder => loop {
                    *moved += 1;
                    let up = CString::new(format!(".enki-deep-{moved}"))?;
                    match rustix::fs::renameat(&self.fd, &name, &top.fd, &up) {
                        Ok(()) => break,
                        Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                        Err(e) => return Err(e.into()),
                    }
                },
            }
        }
        Ok(())
    }
}

/// A second try at a folder that its owner took the rights from.
fn open_up(error: Errno, open: impl Fn(OFlags) -> rustix::io::Result<OwnedFd>) -> rustix::io::Result<OwnedFd> {
    if error != Errno::ACCESS || !cfg!(target_os = "linux") {
        return Err(error);
    }
    // Without rights a folder can only be named, and through that name its mode can be set without following a link.
    let named = open(OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC))?;
    let path = format!("/proc/self/fd/{}", named.as_raw_fd());
    rustix::fs::chmodat(CWD, path, Mode::RWXU, AtFlags::empty())?;
    open(FOLDER)
}

fn is_folder(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn what_is_removed_leads_nowhere() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("kept"), "kept").unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("closed/inner")).unwrap();
        symlink(outside.path(), tree.join("link")).unwrap();
        symlink(outside.path(), tree.join("closed/inner/link")).unwrap();
        fs::set_permissions(tree.join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
        remove(&tree).unwrap();
        assert!(!tree.exists());
        symlink(outside.path(), &tree).unwrap();
        remove(&tree).unwrap();
        remove(&tree).unwrap();
        assert!(fs::symlink_metadata(&tree).is_err());
        assert_eq!(fs::read_to_string(outside.path().join("kept")).unwrap(), "kept");
    }

    #[test]
    fn folders_deeper_than_there_are_descriptors_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let mut at = Folder::open(dir.path()).unwrap();
        for _ in 0..3_000 {
            rustix::fs::mkdirat(&at.fd, c"d", Mode::RWXU).unwrap();
            let flags = OFlags::WRONLY.union(OFlags::CREATE);
            rustix::fs::openat(&at.fd, c"f", flags, Mode::RUSR).unwrap();
            at = at.enter(c"d").unwrap();
        }
        drop(at);
        remove(&dir.path().join("d")).unwrap();
        remove(&dir.path().join("f")).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
