//! The folder of a memory: its files, how they are read, locked and replaced.

use super::document::Document;
use enki_core::recall::{Fault, Kind, RecallError};
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Files larger than this were not written by Enki, and are not read.
const MOST_BYTES: u64 = 64 << 20;

/// What a file that is being written is named like, until it has its name.
const TEMPORARY: &str = ".enki-new-";

/// The folder of a project's memory: `.goodvibes/memory` if that is there, `.enki/memory` otherwise.
///
/// # Errors
///
/// If it is a symbolic link, or below one: what Enki writes stays in the project.
pub fn memory_folder(project: &Path) -> Result<PathBuf, RecallError> {
    for parent in [".goodvibes", ".enki"] {
        let (parent, own) = (project.join(parent), parent == ".enki");
        let folder = parent.join("memory");
        for path in [&parent, &folder] {
            let attempted = || format!("use the memory in {}", folder.display());
            match path.symlink_metadata() {
                Ok(found) if found.file_type().is_symlink() => {
                    return Err(RecallError::new(attempted(), format!("{} is a symbolic link", path.display())));
                }
                Ok(found) if !found.is_dir() => {
                    return Err(RecallError::new(attempted(), format!("{} is not a folder", path.display())));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(RecallError::io(attempted(), error)),
            }
        }
        if own || folder.symlink_metadata().is_ok() {
            return Ok(folder);
        }
    }
    Ok(project.join(".enki/memory"))
}

/// A folder with a file of each kind.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

/// The bytes of the four files, by their digests.
#[derive(Debug)]
pub(crate) struct Stamp {
    hash: [u8; 32],
    files: [Result<Vec<u8>, Fault>; 4],
}

impl Stamp {
    pub(crate) const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }
}

impl Folder {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The name of a kind's file.
    pub(crate) fn file(kind: Kind) -> String {
        format!("{}.json", kind.plural())
    }

    pub(crate) fn index(&self) -> PathBuf {
        self.0.join("index.db")
    }

    /// Whether there is one.
    pub(crate) fn look(&self) -> Result<bool, RecallError> {
        match self.0.symlink_metadata() {
            Ok(found) if found.is_dir() => Ok(true),
            Ok(_) => Err(RecallError::new(format!("look at {}", self.0.display()), "it is not a folder")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(RecallError::io(format!("look at {}", self.0.display()), error)),
        }
    }

    /// Waits for the right to write, makes the folder if need be, and removes what a writer that was killed left.
    pub(crate) fn lock(&self) -> Result<File, RecallError> {
        let attempted = || format!("lock {}", self.0.display());
        let locked = || -> io::Result<File> {
            if !self.0.is_dir() {
                private_folders().create(&self.0)?;
                // What is written in it is durable only if the folder itself is there after a loss of power.
                self.0.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())?;
            }
            let file = plain().read(true).write(true).create(true).open(self.0.join("lock"))?;
            // The system frees it when its holder dies.
            file.lock()?;
            for entry in fs::read_dir(&self.0)?.flatten() {
                if entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
                    // Only who holds the lock writes such files.
                    fs::remove_file(entry.path())?;
                }
            }
            Ok(file)
        };
        self.look()?;
        locked().map_err(|error| RecallError::io(attempted(), error))
    }

    /// What a file has; nothing, if it is not there.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Fault> {
        let path = self.0.join(name);
        let fault = |reason: String| Fault { path: path.clone(), line: 0, column: 0, reason };
        let file = match plain().read(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(_) if path.is_symlink() => return Err(fault("it is a symbolic link".to_owned())),
            Err(error) => return Err(fault(error.to_string())),
        };
        let mut bytes = Vec::new();
        match file.metadata() {
            Ok(found) if !found.is_file() => return Err(fault("it is not a regular file".to_owned())),
            Ok(found) if found.len() > MOST_BYTES => {
                return Err(fault(format!("it has {} bytes, and at most {MOST_BYTES} are read", found.len())));
            }
            Ok(_) => {}
            Err(error) => return Err(fault(error.to_string())),
        }
        file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(|error| fault(error.to_string()))?;
        Ok(Some(bytes))
    }

    pub(crate) fn document(&self, kind: Kind) -> Result<Document, Fault> {
        self.parse(kind, self.read(&Self::file(kind))?.as_deref())
    }

    fn parse(&self, kind: Kind, bytes: Option<&[u8]>) -> Result<Document, Fault> {
        let Some(bytes) = bytes else { return Ok(Document::default()) };
        Document::parse(kind, bytes).map_err(|wrong| Fault {
            path: self.0.join(Self::file(kind)),
            line: wrong.line,
            column: wrong.column,
            reason: wrong.reason,
        })
    }

    /// What the files have now.
    pub(crate) fn stamp(&self) -> Stamp {
        let mut whole = Sha256::new();
        let files = Kind::ALL.map(|kind| {
            let read = self.read(&Self::file(kind));
            let digest = match &read {
                Ok(Some(bytes)) => Sha256::digest(bytes).to_vec(),
                Ok(None) => b"none".to_vec(),
                Err(fault) => fault.reason.clone().into_bytes(),
            };
            whole.update((digest.len() as u64).to_be_bytes());
            whole.update(digest);
            read.map(Option::unwrap_or_default)
        });
        Stamp { hash: whole.finalize().into(), files }
    }

    /// What of it cannot be read.
    pub(crate) fn faults(&self, stamp: &Stamp) -> Vec<Fault> {
        let each = Kind::ALL.into_iter().zip(&stamp.files);
        each.filter_map(|(kind, file)| match file {
            Ok(bytes) if bytes.is_empty() => self.document(kind).err(),
            Ok(bytes) => self.parse(kind, Some(bytes)).err(),
            Err(fault) => Some(fault.clone()),
        })
        .collect()
    }

    /// Makes or replaces a file, so that it is there as it was or as it shall be, whatever happens. Durable on return.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), RecallError> {
        self.place(name, |file| file.write_all(bytes))
    }

    /// The same for a file that `fill` writes by its path.
    pub(crate) fn place(&self, name: &str, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), RecallError> {
        let write = || -> io::Result<()> {
            let mut temp = self.temporary()?;
            fill(temp.as_file_mut())?;
            temp.as_file().sync_all()?;
            temp.persist(self.0.join(name)).map_err(|error| error.error)?;
            File::open(&self.0)?.sync_all()
        };
        write().map_err(|error| RecallError::io(format!("write {}", self.0.join(name).display()), error))
    }

    /// A file of a name that nobody guesses, of mode 0600, which goes by itself unless it is given its name.
    pub(crate) fn temporary(&self) -> io::Result<tempfile::NamedTempFile> {
        tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(&self.0)
    }

    /// Gives a file another name, replacing what has it.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), RecallError> {
        fs::rename(self.0.join(from), self.0.join(to))
            .map_err(|error| RecallError::io(format!("rename {} to {to}", self.0.join(from).display()), error))
    }
}

/// Options that follow no link at the end of a path, wait for nobody, and make private files.
fn plain() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()).mode(0o600);
    }
    options
}

fn private_folders() -> DirBuilder {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true);
    builder
}
