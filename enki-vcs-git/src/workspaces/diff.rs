//! What the files of a workspace differ in from a commit, while its agent may be at work. Nothing is changed by a look.

use super::{GitWorkspaces, on_thread};
use crate::error::GitError;
use crate::git::lock::Lock;
use crate::git::{Durable, GitCmd};
use crate::project::GitProject;
use crate::workspaces::place::{Place, State};
use crate::workspaces::stage::{Files, unfit};
use enki_core::id::{CommitId, TaskId};
use enki_core::workspace::WorkspaceError;
use std::fs::{self, File};
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long one call of git may take: a look is not worth more.
const LIMIT: Duration = Duration::from_secs(20);

/// Most lines of hunks that are given, and the length of each.
const HUNKS: usize = 1000;
const HUNK: usize = 200;

/// Most files that are named.
const FILES: usize = 2000;

/// What is asked for.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct DiffAsk {
    /// Against this commit, instead of what the workspace was made from.
    pub base: Option<CommitId>,
    /// Only these files and folders, relative to the workspace; all, if empty.
    pub files: Vec<String>,
    /// Whether the places of the changes are wanted.
    pub hunks: bool,
    /// How many bytes of the changes themselves are wanted.
    pub patch: u64,
}

/// A difference.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct WorkspaceDiff {
    /// Against what.
    pub base: String,
    /// The files that differ, by path; at most 2,000.
    pub files: Vec<DiffFile>,
    /// How many there are.
    pub total: usize,
    /// Lines added and removed, in all of them.
    pub lines: (u64, u64),
    /// The headers of hunks, each file's after its name; at most 1,000 lines of 200 bytes.
    pub hunks: Vec<String>,
    /// The beginning of the patch.
    pub patch: Vec<u8>,
    /// All of its bytes, if it was asked for.
    pub size: u64,
}

/// A file that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct DiffFile {
    /// Its path, relative to the workspace.
    pub path: String,
    /// Lines added and removed; none of a binary file.
    pub lines: Option<(u64, u64)>,
}

impl GitWorkspaces {
    /// What the files of a task's workspace differ in from a commit, new files included; `None` if it has no workspace.
    /// Memory does not grow with the size of the difference.
    ///
    /// # Errors
    ///
    /// [`WorkspaceError`] if it cannot be looked at, or there is no such commit in its repository.
    pub async fn diff(&self, task: TaskId, ask: DiffAsk) -> Result<Option<WorkspaceDiff>, WorkspaceError> {
        let (project, root) = (self.project.clone(), Arc::clone(&self.root));
        on_thread(format!("compare the workspace of {task}"), move || look(&project, &root, task, &ask)).await
    }
}

fn look(project: &GitProject, root: &Path, task: TaskId, ask: &DiffAsk) -> Result<Option<WorkspaceDiff>, GitError> {
    if fs::symlink_metadata(root.join(task.to_string())).is_err() {
        return Ok(None);
    }
    // A capture waits as long as this takes.
    let place = Place::of(project, root, task)?;
    let Some(state) = State::load(&place.capture)?.filter(|state| state.ready && place.has_work()) else {
        return Ok(None);
    };
    let files = Files { limit: LIMIT, ..Files::of(&place) };
    let base = match ask.base {
        Some(base) => {
            let name = format!("{base}^{{commit}}");
            let found = files.at(project, Durable::No).args(["rev-parse", "--quiet", "--verify", &name]).run()?;
            if found.code != Some(0) {
                return Err(GitError::Gone(format!("commit {base} is not in the repository of {task}")));
            }
            base
        }
        None => state.parent,
    };
    let looking = Looking::new(project, &files, &place)?;
    let mut diff = WorkspaceDiff { base: base.to_string(), ..WorkspaceDiff::default() };
    let output = looking.git(&["--numstat", "-z"], base, &ask.files).ok()?;
    for entry in output.stdout.split(|b| *b == 0).filter(|entry| !entry.is_empty()) {
        let text = String::from_utf8_lossy(entry);
        let mut parts = text.splitn(3, '\t');
        let (Some(added), Some(removed), Some(path)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let lines = added.parse().ok().zip(removed.parse().ok());
        diff.total += 1;
        diff.lines.0 += lines.map_or(0, |(added, _): (u64, u64)| added);
        diff.lines.1 += lines.map_or(0, |(_, removed): (u64, u64)| removed);
        if diff.files.len() < FILES {
            diff.files.push(DiffFile { path: path.to_owned(), lines });
        }
    }
    if ask.hunks {
        let (written, _) = looking.written(&["--unified=0"], base, &ask.files)?;
        diff.hunks = headers(written).map_err(|e| GitError::io("read", &place.capture, e))?;
    }
    if ask.patch > 0 {
        let (written, size) = looking.written(&["--patch"], base, &ask.files)?;
        let mut patch = Vec::new();
        written.take(ask.patch).read_to_end(&mut patch).map_err(|e| GitError::io("read", &place.capture, e))?;
        (diff.patch, diff.size) = (patch, size);
    }
    Ok(Some(diff))
}

/// An index of its own, in which new files are known by name: that of the workspace stays as it is.
struct Looking<'a> {
    project: &'a GitProject,
    files: &'a Files<'a>,
    index: PathBuf,
    lock: &'a Lock,
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        // One that is left is overwritten by the next look.
        drop(fs::remove_file(&self.index));
    }
}

impl<'a> Looking<'a> {
    fn new(project: &'a GitProject, files: &'a Files<'a>, place: &'a Place) -> Result<Self, GitError> {
        let (own, index) = (place.capture.join("index"), place.capture.join("look.index"));
        let new = files.list(project)?.added;
        // What a killed look left; whoever is here has the lock of the workspace.
        drop(fs::remove_file(place.capture.join("look.index.lock")));
        fs::copy(&own, &index).map_err(|e| GitError::io("copy", &own, e))?;
        let looking = Self { project, files, index, lock: &place.lock };
        let mut input = Vec::new();
        for path in new.iter().filter(|path| unfit(project, &place.work, path).is_none()) {
            input.extend_from_slice(b":(top,literal)");
            input.extend_from_slice(path);
            input.push(0);
        }
        if !input.is_empty() {
            // No file is stored: they are only said to be there.
            let args = ["add", "--intent-to-add", "--force", "--pathspec-from-file=-", "--pathspec-file-nul"];
            let call = looking.call().args(args);
            call.stdin(input).timeout(LIMIT).ok()?;
        }
        Ok(looking)
    }

    fn call(&self) -> GitCmd {
        self.files.at(self.project, Durable::No).index(&self.index)
    }

    fn git(&self, how: &[&str], base: CommitId, only: &[String]) -> GitCmd {
        let call = self
            .call()
            .args(["diff", "--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--ignore-submodules=all"])
            .args(how)
            .arg(base.to_string())
            .arg("--")
            .timeout(LIMIT);
        let call = match only {
            [] => call.arg("."),
            only => call.args(only.iter().map(|path| format!(":(top,literal){path}"))),
        };
        call.arg(":(exclude,top).enki")
    }

    /// The answer as a file that has no name any more, and its size.
    fn written(&self, how: &[&str], base: CommitId, only: &[String]) -> Result<(File, u64), GitError> {
        let path = self.index.with_extension("diff");
        let cannot = |e| GitError::io("write", &path, e);
        let options = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let mut file = options.map_err(cannot)?;
        fs::remove_file(&path).map_err(cannot)?;
        self.git(how, base, only).holding(self.lock).stdout_file(file.try_clone().map_err(cannot)?).ok()?;
        file.rewind().map_err(cannot)?;
        let size = file.metadata().map_err(cannot)?.len();
        Ok((file, size))
    }
}

/// The lines of a patch that say where it changes something, however long its lines are.
fn headers(patch: File) -> std::io::Result<Vec<String>> {
    let mut patch = BufReader::with_capacity(1 << 16, patch);
    let (mut found, mut line, mut bytes) = (Vec::new(), Vec::new(), [0; 1 << 16]);
    loop {
        let n = patch.read(&mut bytes)?;
        for byte in &bytes[..n] {
            match byte {
                b'\n' => {
                    if [b"diff --git ".as_slice(), b"@@ "].iter().any(|begin| line.starts_with(begin)) {
                        found.push(String::from_utf8_lossy(&line).into_owned());
                    }
                    line.clear();
                }
                byte if line.len() < HUNK => line.push(*byte),
                _ => {}
            }
        }
        if n == 0 || found.len() >= HUNKS {
            found.truncate(HUNKS);
            return Ok(found);
        }
    }
}
