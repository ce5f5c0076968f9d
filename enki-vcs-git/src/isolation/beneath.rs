//! Files below a folder that somebody else may be changing: no symbolic link is ever followed (promise S5).

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens the folder `relative` below `root`, part by part.
pub(crate) fn open_folder(root: &Path, relative: &[&str], create: bool) -> io::Result<OwnedFd> {
    let mut at = rustix::fs::openat(CWD, root, FOLDER, Mode::empty())?;
    for part in relative {
        if create {
            match rustix::fs::mkdirat(&at, *part, Mode::from_raw_mode(0o700)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
        }
        at = rustix::fs::openat(&at, *part, FOLDER, Mode::empty())?;
    }
    Ok(at)
}

fn split(relative: &str) -> io::Result<(Vec<&str>, &str)> {
    let mut parts: Vec<&str> = relative.split('/').collect();
    if parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain relative path"));
    }
    let name = parts.pop().unwrap_or_default();
    Ok((parts, name))
}

/// Reads a regular file of at most `limit` bytes; `None` if there is none. A link on the way is an error.
pub(crate) fn read(root: &Path, relative: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let (parts, name) = split(relative)?;
    let folder = match open_folder(root, &parts, false) {
        Ok(folder) => folder,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    // NONBLOCK: a FIFO of that name must not hold us.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = match rustix::fs::openat(&folder, name, flags, Mode::empty()) {
        Ok(fd) => File::from(fd),
        Err(Errno::NOENT) => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is larger than {limit} bytes")));
    }
    Ok(Some(bytes))
}

/// Writes a file whole, making the folders above it: a reader sees the old or the new one. Durable on return.
pub(crate) fn write(root: &Path, relative: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
    let (parts, name) = split(relative)?;
    let folder = open_folder(root, &parts, true)?;
    let temporary = format!(".{name}.new");
    match rustix::fs::unlinkat(&folder, temporary.as_str(), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(e) => return Err(e.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(&folder, temporary.as_str(), flags, Mode::from_raw_mode(mode))?;
    let mut file = File::from(fd);
    file.write_all(bytes)?;
    file.sync_all()?;
    rustix::fs::renameat(&folder, temporary.as_str(), &folder, name)?;
    rustix::fs::fsync(&folder)?;
    Ok(())
}

/// Names of the regular files in a folder, at most `limit`; none if it is not there.
pub(crate) fn files(root: &Path, relative: &str, limit: usize) -> io::Result<Vec<String>> {
    let parts: Vec<&str> = relative.split('/').collect();
    let folder = match open_folder(root, &parts, false) {
        Ok(folder) => folder,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut names = Vec::new();
    for entry in Dir::read_from(&folder)?.take(limit) {
        let entry = entry?;
        if matches!(entry.file_type(), FileType::RegularFile | FileType::Unknown)
            && let Ok(name) = entry.file_name().to_str()
        {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_on_the_way_is_never_followed() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret.md"), "secret").unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret.md"), dir.path().join("file.md")).unwrap();
        assert!(read(dir.path(), "link/secret.md", 100).is_err());
        assert!(read(dir.path(), "file.md", 100).is_err());
        assert!(write(dir.path(), "link/new.md", b"x", 0o600).is_err());
        assert!(read(dir.path(), "../x", 100).is_err());
        write(dir.path(), "file.md", b"mine", 0o600).unwrap();
        assert_eq!(std::fs::read_to_string(outside.path().join("secret.md")).unwrap(), "secret");
        assert_eq!(read(dir.path(), "file.md", 100).unwrap().unwrap(), b"mine");
        assert!(read(dir.path(), "file.md", 3).is_err());
    }
}
