//! A file of lines that are whole or not there, for several processes.

use crate::Failure;
use enki_core::store::StoreErrorKind;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The first line of a journal. Another number is another form of its lines.
const HEADER: &str = "file-store 1";

/// Each line has a checksum of its own, and ends with the only line end in it.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// How far it was read. Everything before is known.
    read: u64,
}

impl Journal {
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::options().read(true).append(true).create(true).open(path)?;
        // A file is durable only once the folder that names it is.
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(Self { path: path.to_owned(), file, read: 0 })
    }

    /// Keeps everybody else out until the answer is dropped. The kernel frees it when a process dies: it is never stale.
    pub(crate) fn lock(&self) -> Result<File, Failure> {
        // The journal is its own lock. Of two files one could be deleted alone, and then two would write.
        let lock = File::open(&self.path).map_err(|_| StoreErrorKind::Replaced)?;
        lock.lock()?;
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let named = fs::metadata(&self.path).map_err(|_| StoreErrorKind::Replaced)?;
        if identity(named) != identity(self.file.metadata()?) {
            return Err(StoreErrorKind::Replaced.into());
        }
        Ok(lock)
    }

    /// Hands over the lines that were written since the last call, by this process or another. Needs the lock.
    pub(crate) fn catch_up(&mut self, mut line: impl FnMut(&str) -> Result<(), Failure>) -> Result<(), Failure> {
        if self.file.metadata()?.len() < self.read {
            return Err(StoreErrorKind::Replaced.into());
        }
        let mut news = Vec::new();
        self.file.seek(SeekFrom::Start(self.read))?;
        self.file.read_to_end(&mut news)?;
        let whole = news.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        for bytes in news[..whole].split_inclusive(|byte| *byte == b'\n') {
            match (self.read, unsealed(bytes)) {
                (at, None) => return Err(corrupt(format!("the line at byte {at} does not have its checksum"))),
                (0, Some(header)) => understood(header)?,
                (_, Some(text)) => line(text)?,
            }
            self.read += bytes.len() as u64;
        }
        let torn = &news[whole..];
        if self.read == 0 && !sealed(HEADER).starts_with(torn) {
            return Err(corrupt("it does not begin as a journal".into()));
        }
        // Who writes has the lock, and we have it: whoever began this line died or failed, and told nobody of it.
        if !torn.is_empty() {
            self.file.set_len(self.read)?;
            self.file.sync_all()?;
        }
        if self.read == 0 {
            self.append(0, HEADER)?;
        }
        Ok(())
    }

    /// Forgets how far it was read, and says how far that was.
    pub(crate) fn forget(&mut self) -> u64 {
        std::mem::take(&mut self.read)
    }

    /// Adds a line to a journal that ends at `end`, and then is known to its end. Durable on return. Needs the lock.
    pub(crate) fn append(&mut self, end: u64, text: &str) -> Result<(), Failure> {
        let line = sealed(text);
        if let Err(error) = self.file.write_all(&line).and_then(|()| self.file.sync_data()) {
            // Nobody shall find a line whose writer was told that it failed. If this fails too, the call may have taken
            // effect or not, as a whole: that is for the next call to see.
            let _ = self.file.set_len(end).and_then(|()| self.file.sync_all());
            return Err(error.into());
        }
        self.read = end + line.len() as u64;
        Ok(())
    }
}

fn sealed(text: &str) -> Vec<u8> {
    format!("{:016x} {text}\n", checksum(text.as_bytes())).into_bytes()
}

fn unsealed(line: &[u8]) -> Option<&str> {
    let (sum, text) = std::str::from_utf8(line).ok()?.strip_suffix('\n')?.split_once(' ')?;
    (sum == format!("{:016x}", checksum(text.as_bytes()))).then_some(text)
}

fn understood(header: &str) -> Result<(), Failure> {
    match header.strip_prefix("file-store ").map(str::parse) {
        Some(Ok(1)) => Ok(()),
        Some(Ok(found)) => Err(StoreErrorKind::Newer { found, known: 1 }.into()),
        _ => Err(corrupt("it does not begin as a journal".into())),
    }
}

fn corrupt(what: String) -> Failure {
    StoreErrorKind::Corrupt(what).into()
}

/// FNV-1a: finds what a disk did. It is no guard against a person.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
