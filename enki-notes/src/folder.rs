//! The folder of one kind of notes. No symbolic link is followed on the way to it or in it, a reader sees a whole file
//! or none, and what is written is durable on return.
//!
//! Writers lock the folder: those who make files share it, whoever changes one has it alone. So a file is changed by
//! one at a time, and what is left of a writer that was killed is known as such by whoever is alone.

use rustix::fs::{AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Largest note that is read, in bytes.
pub(crate) const NOTE_LIMIT: usize = 8 << 20;

/// How much of a file is looked at at once, in bytes.
const CHUNK: usize = 16 << 10;

/// How files begin that have no name yet.
const NEW: &str = ".enki-new-";

/// A folder that is held open.
#[derive(Debug)]
pub(crate) struct Folder(OwnedFd);

/// A folder with a lock on it.
#[derive(Debug)]
pub(crate) struct Locked(Folder);

/// What was read of a file.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) bytes: Vec<u8>,
    /// There is no more.
    pub(crate) whole: bool,
}

/// What tells a file from what it was.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Stamp {
    /// When it was changed last, in milliseconds.
    pub(crate) modified: i64,
    pub(crate) text: String,
}

impl Folder {
    /// Opens the folder at that path below the root, part by part; `None` if it is not there.
    pub(crate) fn open(root: &Path, parts: &[&str]) -> io::Result<Option<Self>> {
        match Self::walk(root, parts, false) {
            Ok(folder) => Ok(Some(folder)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same, and makes what is not there.
    pub(crate) fn make(root: &Path, parts: &[&str]) -> io::Result<Self> {
        Self::walk(root, parts, true)
    }

    fn walk(root: &Path, parts: &[&str], make: bool) -> io::Result<Self> {
        // The root itself may be a link of the person's.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut at = rustix::fs::openat(CWD, root, flags, Mode::empty())?;
        for part in parts {
            if make {
                match rustix::fs::mkdirat(&at, *part, Mode::from_raw_mode(0o755)) {
                    Ok(()) => rustix::fs::fsync(&at)?,
                    Err(Errno::EXIST) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            at = match rustix::fs::openat(&at, *part, FOLDER, Mode::empty()) {
                Ok(folder) => folder,
                Err(Errno::LOOP | Errno::NOTDIR) => {
                    return Err(io::Error::other(format!("{part} is a symbolic link or a file, and no folder")));
                }
                Err(error) => return Err(error.into()),
            };
        }
        Ok(Self(at))
    }

    /// Holds off those who change files, until it is dropped.
    pub(crate) fn adding(self) -> io::Result<Locked> {
        retry_on_intr(|| rustix::fs::flock(&self.0, FlockOperation::LockShared))?;
        Ok(Locked(self))
    }

    /// Holds off all who write, until it is dropped.
    pub(crate) fn changing(self) -> io::Result<Locked> {
        retry_on_intr(|| rustix::fs::flock(&self.0, FlockOperation::LockExclusive))?;
        // Nobody else writes now, so they who began these are dead.
        for name in self.names_with(|name| name.starts_with(NEW))? {
            rustix::fs::unlinkat(&self.0, name.as_str(), AtFlags::empty())?;
        }
        Ok(Locked(self))
    }

    /// The names of files that end in `.md` and are not hidden. Those that are no text have marks in place of what is
    /// none, and name nothing.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        self.names_with(|name| name.ends_with(".md") && !name.starts_with('.'))
    }

    /// Those of them that end so.
    pub(crate) fn names_that_end(&self, end: &str) -> io::Result<Vec<String>> {
        self.names_with(|name| name.ends_with(".md") && !name.starts_with('.') && name.ends_with(end))
    }

    fn names_with(&self, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy();
            if !matches!(entry.file_type(), FileType::Directory) && wanted(&name) {
                names.push(name.into_owned());
            }
        }
        Ok(names)
    }

    /// Whether something of that name is there.
    pub(crate) fn has(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// What tells a regular file from what it was, without a look inside; `None` if there is none.
    pub(crate) fn stamp(&self, name: &str) -> io::Result<Option<Stamp>> {
        let stat = match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        #[expect(clippy::useless_conversion, reason = "of different widths on different systems")]
        Ok(Some(Stamp {
            modified: stat
                .st_mtime
                .saturating_mul(1000)
                .saturating_add(i64::try_from(stat.st_mtime_nsec).unwrap_or(0) / 1_000_000),
            text: format!("{}.{} {} {}", stat.st_mtime, stat.st_mtime_nsec, stat.st_size, u64::from(stat.st_ino)),
        }))
    }

    /// Reads up to that much of a regular file; `None` if there is none.
    pub(crate) fn read(&self, name: &str, most: usize) -> io::Result<Option<Part>> {
        let Some(file) = self.open_file(name)? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(most.min(16 << 10) + 1);
        file.take(most as u64 + 1).read_to_end(&mut bytes)?;
        let whole = bytes.len() <= most;
        bytes.truncate(most);
        Ok(Some(Part { bytes, whole }))
    }

    /// Whether a regular file has that text in it, and its size; `None` if there is none. It is never in memory as a whole.
    pub(crate) fn look_for(&self, name: &str, text: &[u8]) -> io::Result<Option<(bool, u64)>> {
        let Some(mut file) = self.open_file(name)? else { return Ok(None) };
        let size = file.metadata()?.len();
        let (mut window, mut kept) = (vec![0; CHUNK + text.len()], 0);
        loop {
            let n = file.read(&mut window[kept..])?;
            let filled = kept + n;
            if window[..filled].windows(text.len().max(1)).any(|part| part == text) {
                return Ok(Some((true, size)));
            }
            if n == 0 {
                return Ok(Some((false, size)));
            }
            // Its beginning may be at the end of what was read.
            let from = filled.saturating_sub(text.len());
            window.copy_within(from..filled, 0);
            kept = filled - from;
        }
    }

    fn open_file(&self, name: &str) -> io::Result<Option<File>> {
        // NONBLOCK: a FIFO of that name must not hold us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = match rustix::fs::openat(&self.0, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(io::Error::other("it is a symbolic link")),
            Err(error) => return Err(error.into()),
        };
        if file.metadata()?.is_file() { Ok(Some(file)) } else { Err(io::Error::other("it is not a regular file")) }
    }

    /// A file that has no name yet.
    fn unnamed(&self, bytes: &[u8], mode: u32) -> io::Result<String> {
        self.unnamed_with(mode, |file| file.write_all(bytes))
    }

    fn unnamed_with(&self, mode: u32, write: impl Fn(&mut File) -> io::Result<()>) -> io::Result<String> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let name = format!("{NEW}{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
            match rustix::fs::openat(&self.0, name.as_str(), flags, Mode::from_raw_mode(0o644)) {
                Ok(fd) => {
                    let mut file = File::from(fd);
                    let written = (|| {
                        write(&mut file)?;
                        if mode != NEW_MODE {
                            file.set_permissions(PermissionsExt::from_mode(mode))?;
                        }
                        file.sync_all()
                    })();
                    return written.map(|()| name.clone()).inspect_err(|_| self.forget(&name));
                }
                // One of our number that was killed has left it.
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn forget(&self, name: &str) {
        // Whoever changes a file next does it otherwise.
        let _ = rustix::fs::unlinkat(&self.0, name, AtFlags::empty());
    }
}

impl Locked {
    pub(crate) const fn folder(&self) -> &Folder {
        &self.0
    }

    /// Makes a file, whole and durable; `false` if something of that name is there already.
    pub(crate) fn create(&self, name: &str, bytes: &[u8]) -> io::Result<bool> {
        let Self(folder) = self;
        let new = folder.unnamed(bytes, NEW_MODE)?;
        let linked = rustix::fs::linkat(&folder.0, new.as_str(), &folder.0, name, AtFlags::empty());
        folder.forget(&new);
        match linked {
            Ok(()) => {
                rustix::fs::fsync(&folder.0)?;
                Ok(true)
            }
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Puts a text at the end of a file, on a line of its own after an empty one. A reader sees all of it or nothing. `false`:
    /// somebody else has changed the file meanwhile.
    pub(crate) fn append(&self, name: &str, text: &[u8]) -> io::Result<bool> {
        let Self(folder) = self;
        let Some(before) = folder.stamp(name)? else { return Ok(false) };
        let mode = rustix::fs::statat(&folder.0, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode & 0o777;
        #[expect(clippy::useless_conversion, reason = "modes are of different widths on different systems")]
        let new = folder.unnamed_with(mode.into(), |file| {
            let mut old = folder.open_file(name)?.ok_or(io::ErrorKind::NotFound)?;
            let size = io::copy(&mut old, file)?;
            let mut last = [0];
            let ended = size == 0 || (old.read_exact_at(&mut last, size - 1).is_ok() && last == *b"\n");
            file.write_all(if ended { b"\n" } else { b"\n\n" })?;
            file.write_all(text)
        })?;
        self.place(&new, name, || Ok(folder.stamp(name)?.as_ref() == Some(&before)))
    }

    /// Puts other bytes in a file's place, whole and durable, unless it does not have the old ones any more.
    pub(crate) fn replace(&self, name: &str, old: &[u8], bytes: &[u8]) -> io::Result<bool> {
        let Self(folder) = self;
        let mode = rustix::fs::statat(&folder.0, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode & 0o777;
        #[expect(clippy::useless_conversion, reason = "modes are of different widths on different systems")]
        let new = folder.unnamed(bytes, mode.into())?;
        self.place(&new, name, || Ok(folder.read(name, NOTE_LIMIT)?.is_some_and(|now| now.bytes == old)))
    }

    /// Gives a file that has no name yet the name of another, durably, if that is still as it was: a person's editor takes no
    /// lock.
    fn place(&self, new: &str, name: &str, as_it_was: impl FnOnce() -> io::Result<bool>) -> io::Result<bool> {
        let Self(folder) = self;
        let placed = (|| {
            if !as_it_was()? {
                return Ok(false);
            }
            rustix::fs::renameat(&folder.0, new, &folder.0, name)?;
            rustix::fs::fsync(&folder.0)?;
            Ok(true)
        })();
        if !matches!(placed, Ok(true)) {
            folder.forget(new);
        }
        placed
    }
}

/// As a person's own files: others may read them, if the person's mask lets them.
const NEW_MODE: u32 = 0o644;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn no_link_is_followed_and_no_folder_is_left() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("secret.md"), "secret").unwrap();
        symlink(outside.path(), dir.path().join("log")).unwrap();
        for parts in [&["log"][..], &["log", "task"]] {
            assert!(Folder::open(dir.path(), parts).is_err());
            assert!(Folder::make(dir.path(), parts).is_err());
        }
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
        let folder = Folder::make(dir.path(), &["notes", "idea"]).unwrap().changing().unwrap();
        symlink(outside.path().join("secret.md"), dir.path().join("notes/idea/a.md")).unwrap();
        assert!(folder.folder().read("a.md", 9).unwrap_err().to_string().contains("symbolic link"));
        assert!(!folder.create("a.md", b"x").unwrap());
        assert!(folder.replace("a.md", b"secret", b"x").is_err());
        assert_eq!(fs::read(outside.path().join("secret.md")).unwrap(), b"secret");
        rustix::fs::mkfifoat(CWD, dir.path().join("notes/idea/b.md"), Mode::from_raw_mode(0o600)).unwrap();
        assert!(folder.folder().read("b.md", 9).unwrap_err().to_string().contains("regular"));
    }

    #[test]
    fn a_text_is_found_wherever_it_stands_and_put_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let alone = Folder::make(dir.path(), &["log"]).unwrap().changing().unwrap();
        let (file, needle) = (dir.path().join("log/a.md"), b"`docs/log/x.md`");
        assert_eq!(alone.folder().look_for("a.md", needle).unwrap(), None);
        assert!(!alone.append("a.md", b"x").unwrap());
        for at in [0, 1, CHUNK - 8, CHUNK, CHUNK + needle.len() - 1, CHUNK + needle.len(), 3 * CHUNK - 1] {
            let mut text = vec![b'`'; 4 * CHUNK];
            fs::write(&file, &text).unwrap();
            let size = text.len() as u64;
            assert_eq!(alone.folder().look_for("a.md", needle).unwrap(), Some((false, size)));
            text[at..at + needle.len()].copy_from_slice(needle);
            fs::write(&file, &text).unwrap();
            assert_eq!(alone.folder().look_for("a.md", needle).unwrap(), Some((true, size)), "{at}");
        }
        for (old, new) in [("", "\nmore\n"), ("one", "one\n\nmore\n"), ("one\n", "one\n\nmore\n")] {
            fs::write(&file, old).unwrap();
            fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
            assert!(alone.append("a.md", b"more\n").unwrap());
            assert_eq!(fs::read_to_string(&file).unwrap(), new);
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(dir.path().join("log")).unwrap().count(), 1, "nothing half is left");
        symlink("a.md", dir.path().join("log/b.md")).unwrap();
        assert!(alone.folder().look_for("b.md", needle).is_err() && !alone.append("b.md", b"x").unwrap());
    }

    #[test]
    fn a_file_is_made_once_and_replaced_only_as_it_was_read() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Folder::make(dir.path(), &["idea"]).unwrap();
        let adding = open().adding().unwrap();
        assert!(adding.create("a.md", b"one").unwrap());
        assert!(!adding.create("a.md", b"two").unwrap());
        drop(adding);
        fs::write(dir.path().join("idea/.enki-new-1-1"), "half").unwrap();
        fs::set_permissions(dir.path().join("idea/a.md"), PermissionsExt::from_mode(0o600)).unwrap();
        let alone = open().changing().unwrap();
        assert!(!alone.replace("a.md", b"two", b"three").unwrap(), "somebody else has changed it");
        assert!(alone.replace("a.md", b"one", b"four").unwrap());
        assert_eq!(fs::read(dir.path().join("idea/a.md")).unwrap(), b"four");
        let mode = fs::metadata(dir.path().join("idea/a.md")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "it is as private as it was");
        assert_eq!(fs::read_dir(dir.path().join("idea")).unwrap().count(), 1, "nothing half is left");
    }
}
