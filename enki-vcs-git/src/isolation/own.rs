//! The agent's own `.git`: whether it is still the one that Enki made, and the commits that the agent made in it.
//!
//! The host reads a few of its files as plain text, never through a link, and runs one command of git on it: a fetch
//! out of it, which runs nothing that it configures (F3), inspected by git on the way (F5).

use crate::error::GitError;
use crate::git::Durable;
use crate::git::lock::Lock;
use crate::isolation::beneath;
use crate::project::GitProject;
use crate::there::{self, tells_what_it_is};
use crate::workspaces::place::Place;
use enki_core::id::{CommitId, EffectId};
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// An agent's git directory as it was handed out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct OwnGit {
    ino: u64,
    alternates: Option<Vec<u8>>,
    shallow: Option<Vec<u8>>,
}

impl OwnGit {
    /// The one of a workspace, now.
    pub(crate) fn of(work: &Path) -> Result<Self, GitError> {
        let meta = fs::symlink_metadata(work.join(".git")).ok();
        Ok(Self {
            ino: meta.as_ref().map_or(0, MetadataExt::ino),
            alternates: text(work, "objects/info/alternates")?.bytes(),
            shallow: text(work, "shallow")?.bytes(),
        })
    }

    /// What makes it another one, or makes it borrow or hide history (bad input 69).
    pub(crate) fn foreign(&self, work: &Path) -> Result<Vec<String>, GitError> {
        let mut found = Vec::new();
        // The number of an overlay's file system is another one once it was mounted again.
        let here = fs::symlink_metadata(work).map_or(0, |meta| meta.dev());
        match fs::symlink_metadata(work.join(".git")) {
            Ok(meta) if meta.is_dir() && (meta.dev(), meta.ino()) != (here, self.ino) => {
                found.push(".git of the workspace was replaced by another one".to_owned());
            }
            Ok(meta) if meta.is_dir() => {}
            // A link or a file is told by who stages; one that is gone hurts nobody.
            _ => return Ok(found),
        }
        for (name, before, what) in [
            ("objects/info/alternates", self.alternates.as_deref(), "was changed: it borrows other objects"),
            ("shallow", self.shallow.as_deref(), "was changed: it cuts history off"),
            ("info/grafts", None, "is there: it replaces history"),
            ("commondir", None, "is there: it leads to another git directory"),
        ] {
            match text(work, name)? {
                Text::File(now) if now.as_deref() == before => {}
                Text::File(_) => found.push(format!(".git/{name} of the workspace {what}")),
                Text::Odd => found.push(format!(".git/{name} of the workspace is a link, or no plain file")),
            }
        }
        let replaces = there::may_hold_something(&work.join(".git/refs/replace"))?
            || packed(work)?.is_some_and(|refs| refs.lines().any(|line| line.contains(" refs/replace/")));
        if replaces {
            found.push(".git/refs/replace of the workspace replaces objects".to_owned());
        }
        Ok(found)
    }
}

/// What became of the commits that an agent made itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Own {
    /// It made none.
    None,
    /// They are in the refinery repository, kept by a ref.
    Kept(CommitId),
    /// They are only in the workspace, for this reason.
    Left(String),
}

const PACKED_LIMIT: u64 = 16 << 20;
/// Most bytes of objects that an agent's own commits may have to be taken in.
const SIZE_LIMIT: u64 = 1 << 30;
const FILES_LIMIT: usize = 200_000;
const FETCH_TIMEOUT: Duration = Duration::from_secs(60);

/// Takes the agent's own commits into the refinery repository: what is merged is its files, but nothing that it
/// committed is lost. Only HEAD is looked at; other branches stay in the workspace.
pub(crate) fn take_in(
    project: &GitProject,
    place: &Place,
    attempt: EffectId,
    known: &[CommitId],
) -> Result<Own, GitError> {
    let Some(tip) = tip(&place.work)?.filter(|tip| !known.contains(tip)) else { return Ok(Own::None) };
    if is_huge(&place.work.join(".git/objects")) {
        return Ok(Own::Left("its own commits stay in its workspace: they are too large to be taken in".to_owned()));
    }
    let refinery = project.refinery_dir()?;
    let again = EffectId::of("again", &[attempt.hex().as_bytes(), tip.to_string().as_bytes()]);
    let refs = [attempt, again].map(|id| format!("refs/enki/in/{}", id.hex()));
    // Whoever fetches writes the refinery's refs, one at a time (F14).
    let _lock = Lock::acquire(&project.enki_dir().join("refinery.lock"))?;
    let found = project.git().look_up(&refinery, &refs)?;
    if found.iter().any(|kept| kept.commit() == Some(tip)) {
        return Ok(Own::Kept(tip));
    }
    let free = found.iter().zip(&refs).find(|(kept, _)| kept.commit().is_none()).map_or(&refs[1], |(_, name)| name);
    let fetch = project
        .git()
        .at(&refinery)
        .durable(Durable::Committed)
        .args(["fetch", "-q", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--end-of-options"])
        .arg(place.work.join(".git"))
        .arg(format!("+HEAD:{free}"))
        .timeout(FETCH_TIMEOUT)
        .run();
    Ok(match fetch {
        Ok(output) if output.code == Some(0) => Own::Kept(tip),
        Ok(output) => Own::Left(format!("its own commits stay in its workspace: git says {}", said(&output.stderr))),
        Err(error @ (GitError::TimedOut { .. } | GitError::TooMuch { .. })) => {
            Own::Left(format!("its own commits stay in its workspace: {error}"))
        }
        Err(error) => return Err(error),
    })
}

/// The last thing that git complained of, in one line.
fn said(stderr: &str) -> String {
    let line = stderr.lines().find(|line| line.contains("error") || line.contains("fatal"));
    crate::isolation::scan::show(line.unwrap_or("nothing").as_bytes()).chars().take(300).collect()
}

/// Where HEAD of the agent's git directory is, if that can be read.
fn tip(work: &Path) -> Result<Option<CommitId>, GitError> {
    let id = |bytes: &[u8]| std::str::from_utf8(bytes).ok().and_then(|text| text.trim().parse::<CommitId>().ok());
    let Some(head) = text(work, "HEAD")?.bytes() else { return Ok(None) };
    let Some(name) = head.strip_prefix(b"ref: ") else { return Ok(id(&head)) };
    let Ok(name) = std::str::from_utf8(name).map(str::trim) else { return Ok(None) };
    if let Text::File(Some(loose)) = text(work, name)? {
        return Ok(id(&loose));
    }
    let refs = packed(work)?.unwrap_or_default();
    Ok(refs.lines().find_map(|line| line.strip_suffix(name)?.strip_suffix(' ')?.parse().ok()))
}

fn packed(work: &Path) -> Result<Option<String>, GitError> {
    let refs = small(work, ".git/packed-refs", PACKED_LIMIT)?.bytes();
    Ok(refs.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// What stands where git has a file.
enum Text {
    /// The file; `None` if there is none.
    File(Option<Vec<u8>>),
    /// A link, a folder, or more than git ever writes there.
    Odd,
}

impl Text {
    fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::File(bytes) => bytes,
            Self::Odd => None,
        }
    }
}

/// A small file of the agent's git directory.
fn text(work: &Path, name: &str) -> Result<Text, GitError> {
    small(work, &format!(".git/{name}"), 1 << 20)
}

fn small(work: &Path, name: &str, limit: u64) -> Result<Text, GitError> {
    match beneath::read(work, name, limit) {
        Ok(bytes) => Ok(Text::File(bytes)),
        Err(e) if tells_what_it_is(&e) => Ok(Text::Odd),
        Err(e) => Err(GitError::io("read", &work.join(name), e)),
    }
}

fn is_huge(objects: &Path) -> bool {
    let (mut bytes, mut files) = (0, 0);
    let mut open = vec![objects.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            files += 1;
            bytes += meta.len();
            if files > FILES_LIMIT || bytes > SIZE_LIMIT {
                return true;
            }
            if meta.is_dir() {
                open.push(entry.path());
            }
        }
    }
    false
}
