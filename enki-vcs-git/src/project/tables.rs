//! Tables of refs (`reftable`), as far as git leaves something to be looked at.
//!
//! Git up to 2.47 at least writes the end of a table after it has synced it, and names it in the list then: a loss of power
//! in between leaves a list that names a table without its end. Git takes that for a repository without refs.

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// What a table begins with, and the copy of its header at its end.
const MAGIC: &[u8; 4] = b"REFT";

/// The first table of the list that has no end.
pub(crate) fn cut_off(common_dir: &Path) -> Option<PathBuf> {
    let folder = common_dir.join("reftable");
    let list = fs::read_to_string(folder.join("tables.list")).ok()?;
    // One that is not there any more was joined with others meanwhile.
    list.lines().map(|name| folder.join(name)).find(|table| has_end(table) == Some(false))
}

/// Whether a table is whole; `None` if it cannot be read.
fn has_end(table: &Path) -> Option<bool> {
    let mut file = File::open(table).ok()?;
    let length = file.metadata().ok()?.len();
    let mut read = |at: u64| {
        let mut bytes = [0; 5];
        file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut bytes)).ok().map(|()| bytes)
    };
    let Some(begin) = read(0) else { return Some(false) };
    // The second version also says which hash.
    let end = if begin[4] == 1 { 68 } else { 72 };
    let whole = length.checked_sub(end).and_then(read).is_some_and(|end| end == begin);
    Some(whole && begin.starts_with(MAGIC))
}
