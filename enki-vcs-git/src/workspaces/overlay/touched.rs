//! What may differ in an overlay from the files below it, told by its upper folder without a look at all files.

use crate::isolation::scan::means_git_dir;
use crate::workspaces::overlay::Layers;
use crate::workspaces::sweep::DEEP;
use enki_core::id::EffectId;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// More paths than this are not worth naming each.
pub(crate) const MANY: usize = 300;

/// Paths below which everything lies that somebody changed, deleted or made through the overlay at `work`. `None` if
/// that does not tell what git would say of the files: rules of what is ignored changed, or a repository was made.
pub(crate) fn touched(layers: &Layers, work: &Path) -> io::Result<Option<Vec<Vec<u8>>>> {
    let mut found = Vec::new();
    let whole = Look { layers, work, found: &mut found }.folder(Path::new(""), 0)?;
    Ok((whole == Told::All && found.len() <= MANY).then_some(found))
}

/// Whether a change of that path may change what git says of other paths.
pub(crate) fn rules(path: &[u8]) -> bool {
    path.rsplit(|b| *b == b'/').next().is_some_and(|name| name == b".gitignore" || name == b".gitmodules")
}

/// Upper folders with more in them are looked at by git.
const STAMPED: usize = 2_000;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Told {
    All,
    /// There is what changes the rest.
    NotAll,
}

struct Look<'a> {
    layers: &'a Layers,
    work: &'a Path,
    found: &'a mut Vec<Vec<u8>>,
}

impl Look<'_> {
    /// Looks at a folder that is in both layers.
    fn folder(&mut self, path: &Path, depth: usize) -> io::Result<Told> {
        let upper = names(&self.layers.upper.join(path))?;
        if self.hides(path, &upper)? {
            // It took the place of the one below: whatever was there is gone.
            self.found.push(path.as_os_str().as_bytes().to_vec());
            return Ok(if depth == 0 { Told::NotAll } else { Told::All });
        }
        for name in upper {
            if depth == 0 && (name == ".git" || name == ".enki") {
                continue;
            }
            if means_git_dir(name.as_bytes()) || rules(name.as_bytes()) || depth > DEEP {
                return Ok(Told::NotAll);
            }
            let inner = path.join(&name);
            let is_folder = |layer: &Path| match fs::symlink_metadata(layer.join(&inner)) {
                Ok(meta) => Ok(meta.is_dir()),
                Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
                Err(e) => Err(e),
            };
            if !(is_folder(&self.layers.upper)? && is_folder(&self.layers.lower)?) {
                // What is below it, rules too, concerns nothing beside it.
                self.found.push(inner.as_os_str().as_bytes().to_vec());
            } else if self.folder(&inner, depth + 1)? == Told::NotAll {
                return Ok(Told::NotAll);
            }
            if self.found.len() > MANY {
                return Ok(Told::NotAll);
            }
        }
        Ok(Told::All)
    }

    /// Whether the overlay shows less than what is below, beside what the upper folder names.
    fn hides(&self, path: &Path, upper: &BTreeSet<OsString>) -> io::Result<bool> {
        let lower = names(&self.layers.lower.join(path))?;
        let mut others = lower.difference(upper).peekable();
        if others.peek().is_none() {
            return Ok(false);
        }
        let shown = names(&self.work.join(path))?;
        Ok(others.any(|name| !shown.contains(name)))
    }
}

/// What the upper folder is, beside what no capture looks at.
pub(crate) struct Stamp {
    pub(crate) digest: String,
    /// The latest change in it, in nanoseconds.
    pub(crate) newest: i128,
}

/// Takes the stamp of an upper folder; none if there is much in it, or it cannot be read. Inode and time of the last
/// change say whether something is as it was, as in a manifest.
pub(crate) fn stamp(upper: &Path) -> Option<Stamp> {
    let (mut lines, mut newest, mut open) = (Vec::new(), 0, vec![upper.to_owned()]);
    while let Some(at) = open.pop() {
        let meta = fs::symlink_metadata(&at).ok()?;
        let changed = i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec());
        newest = newest.max(changed);
        let path = at.strip_prefix(upper).ok()?.as_os_str().as_bytes();
        lines.push([path, format!("\0{} {changed}", meta.ino()).as_bytes()].concat());
        if lines.len() > STAMPED {
            return None;
        }
        if meta.is_dir() {
            let names = names(&at).ok()?;
            let seen = names.iter().filter(|name| at != upper || (*name != ".git" && *name != ".enki"));
            open.extend(seen.map(|name| at.join(name)));
        }
    }
    lines.sort_unstable();
    let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
    Some(Stamp { digest: EffectId::of("upper", &lines).hex(), newest })
}

fn names(folder: &Path) -> io::Result<BTreeSet<OsString>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect()
}
