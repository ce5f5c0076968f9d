//! The files of a child on the host's side: made private, never through a symlink.

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Makes the log anew, readable by its owner alone.
pub(crate) fn create_log(path: &Path) -> io::Result<File> {
    let create = || File::options().read(true).write(true).create_new(true).mode(0o600).open(path);
    match create() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            create_folder(path)?;
            create()
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // Of an earlier try; or a link that somebody put there, which is removed and not followed.
            std::fs::remove_file(path)?;
            create()
        }
        other => other,
    }
}

/// A place where a child may leave one file. Held by its directory, so that nobody can swap that meanwhile.
#[derive(Debug)]
pub(crate) struct Handover {
    folder: OwnedFd,
    name: OsString,
    limit: usize,
}

impl Handover {
    /// An empty place.
    pub(crate) fn prepare(path: &Path, limit: usize) -> io::Result<Self> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::from(io::ErrorKind::InvalidFilename));
        };
        let open = || rustix::fs::open(folder, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let folder = match open() {
            Err(rustix::io::Errno::NOENT) => {
                create_folder(path)?;
                open()?
            }
            other => other?,
        };
        match rustix::fs::unlinkat(&folder, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(Self { folder, name: name.into(), limit }),
            Err(error) => Err(error.into()),
        }
    }

    /// What the child left, up to the limit. Only a plain file counts: a pipe would block, a link would lead away.
    pub(crate) fn collect(self) -> Option<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.folder, &self.name, flags, Mode::empty()) {
            Ok(file) => Some(file),
            Err(rustix::io::Errno::NOENT) => return None,
            Err(_) => None,
        };
        // Best effort: what stays is small talk in the log folder, and the next attempt removes it.
        let _ = rustix::fs::unlinkat(&self.folder, &self.name, AtFlags::empty());
        let file = file?;
        let stat = rustix::fs::fstat(&file).ok()?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return None;
        }
        let mut bytes = Vec::new();
        File::from(file).take(self.limit as u64).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }
}

fn create_folder(file: &Path) -> io::Result<()> {
    file.parent().map_or(Ok(()), |folder| std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    #[test]
    fn a_log_is_private_and_replaces_what_is_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, log) = (dir.path().join("victim"), dir.path().join("deep/er/log"));
        drop(create_log(&log).unwrap());
        assert_eq!(std::fs::metadata(&log).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(dir.path().join("deep/er")).unwrap().mode() & 0o777, 0o700);
        std::fs::write(&victim, "precious").unwrap();
        std::fs::remove_file(&log).unwrap();
        symlink(&victim, &log).unwrap();
        drop(create_log(&log).unwrap());
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        assert!(!std::fs::symlink_metadata(&log).unwrap().is_symlink());
    }

    #[test]
    fn only_a_plain_file_is_collected_and_only_up_to_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("new/out");
        let collect = |leave: &dyn Fn()| {
            let handover = Handover::prepare(&place, 4).unwrap();
            assert!(!place.exists());
            leave();
            let got = handover.collect();
            assert!(std::fs::symlink_metadata(&place).is_err(), "removed afterwards");
            got
        };
        assert_eq!(collect(&|| {}), None);
        assert_eq!(collect(&|| std::fs::write(&place, "abcdef").unwrap()), Some(b"abcd".to_vec()));
        assert_eq!(collect(&|| symlink("/etc/passwd", &place).unwrap()), None);
        let fifo = |path: &Path| rustix::fs::mkfifoat(rustix::fs::CWD, path, Mode::RUSR | Mode::WUSR).unwrap();
        assert_eq!(collect(&|| fifo(&place)), None);
        std::fs::write(&place, "of an earlier attempt").unwrap();
        assert_eq!(collect(&|| {}), None);
    }
}
