//! The files of a workspace into Enki's own index, without ever asking the agent's git directory (F15).

use crate::error::GitError;
use crate::git::index::mark;
use crate::git::lock::Lock;
use crate::git::{Durable, GitCmd};
use crate::isolation::scan::{means_git_dir, show};
use crate::project::GitProject;
use crate::there;
use crate::workspaces::agent_git;
use crate::workspaces::manifest::DOUBT;
use crate::workspaces::overlay::touched::Stamp;
use crate::workspaces::overlay::{Mounted, touched};
use crate::workspaces::place::Place;
use enki_core::crash_point;
use enki_core::id::TreeId;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// As many bytes of paths are those of some thousand files.
const MANY: usize = 64 << 10;

/// The files of a workspace as a tree.
#[derive(Debug)]
pub(crate) struct Staged {
    pub(crate) tree: TreeId,
    /// What could not or may not be taken in; it is only in the workspace.
    pub(crate) left_out: Vec<LeftOut>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct LeftOut {
    pub(crate) path: Vec<u8>,
    pub(crate) why: String,
}

impl LeftOut {
    pub(crate) fn new(path: &[u8], why: &str) -> Self {
        Self { path: path.to_vec(), why: format!("{} {why}", show(path)) }
    }
}

/// Takes what differs from the index into the index. Ignored files and `.enki/` stay out.
pub(crate) fn stage(project: &GitProject, place: &Place) -> Result<Staged, GitError> {
    let over = place.mounted().and_then(|over| Untouched::look(place, over));
    if let Some(tree) = over.as_ref().and_then(|over| over.tree(project)) {
        return Ok(Staged { tree, left_out: Vec::new() });
    }
    let mut odd = remove_odd(&place.work, false)?;
    let mut staged = match stage_within(project, Files { limit: QUICK, ..Files::of(place) }, place) {
        // Git waits for ever at a FIFO that it takes for one of its own files, wherever that is.
        Err(GitError::TimedOut { .. }) => {
            agent_git::remove(&place.capture.join("index.lock"))?;
            odd.extend(remove_odd(&place.work, true)?);
            stage_within(project, Files::of(place), place)?
        }
        // What a loss of power left of the index is none. Without one git looks at all files.
        Err(error) if error.to_string().contains("index file") => {
            agent_git::remove(&place.capture.join("index"))?;
            stage_within(project, Files::of(place), place)?
        }
        staged => staged?,
    };
    staged.left_out.retain(|left| !odd.iter().any(|known| known.path == left.path));
    staged.left_out.extend(odd);
    if let Some(over) = over
        && staged.left_out.is_empty()
    {
        over.remember(project, staged.tree);
    }
    Ok(staged)
}

/// What was written through an overlay, told without git: with the same of it and the same index, the tree is the same.
struct Untouched<'a> {
    upper: &'a Path,
    index: PathBuf,
    written: Stamp,
    /// When that was looked at, by the clock of files.
    looked: i128,
}

impl<'a> Untouched<'a> {
    fn look(place: &'a Place, over: &'a Mounted) -> Option<Self> {
        let upper = &over.layers.upper;
        let written = touched::stamp(upper)?;
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        let looked = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
        Some(Self { upper, index: place.capture.join("index"), written, looked })
    }

    fn mark(&self) -> Option<String> {
        Some(format!("{} {}", self.written.digest, mark(&self.index).ok()?))
    }

    fn tree(&self, project: &GitProject) -> Option<TreeId> {
        project.memo().trees.of(self.upper, &self.mark()?)
    }

    /// Remembers what git made of it afterwards. Not if something was written so shortly before that git may have seen
    /// half of it, with the next write at the same time by the clock of files.
    fn remember(&self, project: &GitProject, tree: TreeId) {
        if self.written.newest + DOUBT < self.looked
            && let Some(mark) = self.mark()
        {
            project.memo().trees.remember(self.upper, mark, tree);
        }
    }
}

/// Removes what stands where git reads rules and is no file, and so holds nothing. Gives what it was.
fn remove_odd(work: &Path, deep: bool) -> Result<Vec<LeftOut>, GitError> {
    let mut found = Vec::new();
    let mut open = vec![work.to_owned()];
    while let Some(folder) = open.pop() {
        for name in [".gitattributes", ".gitignore"] {
            let path = folder.join(name);
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            if !(meta.is_file() || meta.is_symlink() || meta.is_dir()) {
                agent_git::remove(&path)?;
                let inside = path.strip_prefix(work).unwrap_or(&path);
                found.push(LeftOut::new(inside.as_os_str().as_bytes(), "is neither a file nor a folder nor a link"));
            }
        }
        if deep {
            let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
            open.extend(entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()));
        }
    }
    Ok(found)
}

fn stage_within(project: &GitProject, files: Files<'_>, place: &Place) -> Result<Staged, GitError> {
    let mut left_out = Vec::new();
    if fs::symlink_metadata(place.work.join(".git")).is_ok_and(|meta| !meta.is_dir()) {
        left_out.push(LeftOut::new(b".git", "of the workspace is not the folder that Enki made"));
    }
    let Different { mut changed, added } = files.list(project)?;
    let submodules = files.submodules(project)?;
    // The folder of a submodule is empty; without it the submodule is what it was.
    changed.retain(|path| !submodules.contains(path) || fs::symlink_metadata(files.file(path)).is_ok());
    // Git looks at nothing in it. One that was checked out there, to build with, is compared by its commit.
    for path in &submodules {
        let folder = files.file(path);
        if there::may_hold_something(&folder)? && fs::symlink_metadata(folder.join(".git")).is_err() {
            left_out.push(LeftOut::new(path, "is a submodule, whose files no step may change"));
        }
    }
    if changed.len() + added.len() > project.options().max_files {
        let why = format!(
            "{} changed files are more than the limit of {}",
            changed.len() + added.len(),
            project.options().max_files
        );
        left_out.push(LeftOut { path: Vec::new(), why });
        return Ok(Staged { tree: files.write_tree(project)?, left_out });
    }
    let mut fit = Vec::new();
    // What changed goes first: a file that became a folder has to go before what is in the folder can come.
    for path in changed.iter().chain(&added) {
        match unfit(project, &place.work, path) {
            Some(found) => left_out.push(found),
            None => fit.push(path),
        }
    }
    // Git does not look behind a link, not even to see that a file is gone.
    let (behind, fit): (Vec<_>, Vec<_>) = fit.into_iter().partition(|path| is_behind_a_link(files.work, path));
    files.drop_paths(project, behind)?;
    left_out.extend(files.take_in(project, fit)?);
    Ok(Staged { tree: files.write_tree(project)?, left_out })
}

/// Makes the files of a workspace those of `tree`, by difference. Ignored files stay. What is in the way and was not
/// staged before is overwritten, so stage first.
pub(crate) fn reset(project: &GitProject, place: &Place, tree: TreeId) -> Result<(), GitError> {
    Files::of(place).reset(project, &place.lock, tree)
}

/// The files of a folder, looked at through a git directory of Enki.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Files<'a> {
    pub(crate) git_dir: &'a Path,
    pub(crate) work: &'a Path,
    /// How long a look may take.
    pub(crate) limit: Duration,
    /// The layers, if the folder is an overlay.
    pub(crate) over: Option<&'a Mounted>,
}

impl<'a> Files<'a> {
    pub(crate) fn of(place: &'a Place) -> Self {
        Self { git_dir: &place.capture, work: &place.work, limit: LONG, over: place.mounted() }
    }

    /// A call on the files. Objects are synced: git would take an empty one, as a power loss leaves it, for one that
    /// is there already.
    pub(crate) fn at(&self, project: &GitProject, durable: Durable) -> GitCmd {
        project
            .git()
            .at(self.git_dir)
            .durable(durable)
            // Several processes write the files of a large tree; for a small one they cost more than they save.
            .config("checkout.workers=0")
            .config("checkout.thresholdForParallelism=2000")
            .work_tree(self.work)
    }

    /// Makes the files those of `tree`, by difference. The lock is that of the folder.
    pub(crate) fn reset(&self, project: &GitProject, lock: &Lock, tree: TreeId) -> Result<(), GitError> {
        self.at(project, Durable::No)
            .args(["read-tree", "--reset", "-u"])
            .arg(tree.to_string())
            .holding(lock)
            .long()
            .ok()?;
        crash_point!("git.checkout");
        Ok(())
    }

    fn file(&self, path: &[u8]) -> PathBuf {
        self.work.join(OsStr::from_bytes(path))
    }

    /// The submodules in the index, if there may be any.
    fn submodules(&self, project: &GitProject) -> Result<Vec<Vec<u8>>, GitError> {
        if !project.facts().submodules && fs::symlink_metadata(self.work.join(".gitmodules")).is_err() {
            return Ok(Vec::new());
        }
        let output = self.at(project, Durable::No).args(["ls-files", "-z", "--stage"]).long().ok()?;
        let entries = output.stdout.split(|b| *b == 0).filter(|entry| entry.starts_with(b"160000 "));
        Ok(entries.filter_map(|entry| entry.splitn(2, |b| *b == b'\t').nth(1).map(<[u8]>::to_vec)).collect())
    }

    /// What differs from the index. Ignored files and `.enki/` stay out.
    pub(crate) fn list(&self, project: &GitProject) -> Result<Different, GitError> {
        if let Some(paths) = self.touched(project)?
            && let Some(different) = self.list_below(project, &paths)?
        {
            return Ok(different);
        }
        let output = self
            .at(project, Durable::Committed)
            .args([
                "ls-files",
                "-z",
                "-t",
                "--modified",
                "--others",
                "--exclude-standard",
                "--",
                ".",
                ":(exclude,top).enki",
            ])
            .timeout(self.limit)
            .ok()?;
        let mut different = Different::default();
        for entry in output.stdout.split(|b| *b == 0) {
            match entry {
                [b'?', b' ', path @ ..] => different.added.push(path.to_vec()),
                [b'C', b' ', path @ ..] => different.changed.push(path.to_vec()),
                _ => {}
            }
        }
        different.changed.dedup();
        Ok(different)
    }

    /// The same, with a look at nothing but these paths and what is below them: to tell what is modified, `ls-files`
    /// looks at every file of the index whatever it is asked for. Nothing if that does not tell it.
    fn list_below(&self, project: &GitProject, paths: &[Vec<u8>]) -> Result<Option<Different>, GitError> {
        let mut different = Different::default();
        if paths.is_empty() {
            return Ok(Some(different));
        }
        let ask = |args: &[&str]| -> Result<Vec<Vec<u8>>, GitError> {
            let mut call = self.at(project, Durable::No).args(args).arg("--").arg(":(exclude,top).enki");
            for path in paths {
                let mut spec = OsString::from(":(top,literal)");
                spec.push(OsStr::from_bytes(path));
                call = call.arg(spec);
            }
            let output = call.timeout(self.limit).ok()?;
            let found = output.stdout.split(|b| *b == 0).filter(|path| !path.is_empty());
            Ok(found.map(<[u8]>::to_vec).collect())
        };
        different.changed = ask(&["diff-files", "--no-renames", "--ignore-submodules=none", "--name-only", "-z"])?;
        different.changed.dedup();
        different.added = ask(&["ls-files", "-z", "--others", "--exclude-standard"])?;
        // It may be touched and the same: such a file must not be refused for its size.
        let limit = project.options().max_file_bytes;
        let large = |path: &Vec<u8>| fs::symlink_metadata(self.file(path)).is_ok_and(|meta| meta.len() > limit);
        Ok((!different.changed.iter().any(large)).then_some(different))
    }

    /// The paths below which everything is that can differ from the index, where an overlay tells them.
    ///
    /// All files but those came from the tree below, as the index knows them: what differs between index and that tree
    /// was written through the overlay once, and may be gone from it without a trace.
    fn touched(&self, project: &GitProject) -> Result<Option<Vec<Vec<u8>>>, GitError> {
        let Some(over) = self.over else { return Ok(None) };
        if project.facts().submodules {
            return Ok(None);
        }
        let found =
            touched::touched(&over.layers, self.work).map_err(|e| GitError::io("look at", &over.layers.upper, e))?;
        let Some(mut paths) = found else { return Ok(None) };
        let args = ["diff-index", "--cached", "--no-renames", "--name-only", "-z"];
        let output = self.at(project, Durable::No).args(args).arg(over.tree.to_string()).arg("--").run()?;
        if output.code != Some(0) {
            // That tree was in no branch any more, and is gone.
            return Ok(None);
        }
        paths.extend(output.stdout.split(|b| *b == 0).filter(|path| !path.is_empty()).map(<[u8]>::to_vec));
        paths.sort_unstable();
        paths.dedup();
        let told = paths.len() <= touched::MANY && !paths.iter().any(|path| touched::rules(path));
        Ok(told.then_some(paths))
    }

    /// Takes these paths into the index as they are now, gone ones too. Gives what git does not take.
    pub(crate) fn take_in<'p>(
        &self,
        project: &GitProject,
        paths: impl IntoIterator<Item = &'p Vec<u8>>,
    ) -> Result<Vec<LeftOut>, GitError> {
        let mut input = Vec::new();
        for path in paths {
            input.extend_from_slice(path);
            input.push(0);
        }
        if input.is_empty() {
            return Ok(Vec::new());
        }
        let mut call = self.at(project, Durable::Committed);
        if input.len() > MANY {
            // One wait for the disk for all files, not one for each.
            call = call.config("core.fsyncMethod=batch");
        }
        let output = call
            .args(["update-index", "-z", "--add", "--remove", "--replace", "--stdin"])
            .stdin(input)
            .timeout(self.limit)
            .ok()?;
        let ignored = output.stderr.lines().filter_map(|line| line.strip_prefix("Ignoring path "));
        Ok(ignored.map(|line| LeftOut::new(line.as_bytes(), "has a name that git does not take")).collect())
    }

    /// Takes these paths out of the index, whatever is there.
    fn drop_paths(&self, project: &GitProject, paths: Vec<&Vec<u8>>) -> Result<(), GitError> {
        if paths.is_empty() {
            return Ok(());
        }
        let mut input = Vec::new();
        for path in paths {
            input.extend_from_slice(path);
            input.push(0);
        }
        let call = self.at(project, Durable::Committed).args(["update-index", "-z", "--force-remove", "--stdin"]);
        call.stdin(input).ok()?;
        Ok(())
    }

    /// The index as a tree.
    pub(crate) fn write_tree(&self, project: &GitProject) -> Result<TreeId, GitError> {
        let (index, trees) = (self.git_dir.join("index"), &project.memo().trees);
        if let Some(tree) = trees.of(&index, &mark(&index)?) {
            return Ok(tree);
        }
        // One wait for the disk for all folders.
        let tree =
            self.at(project, Durable::Committed).config("core.fsyncMethod=batch").arg("write-tree").ok()?.id()?;
        trees.remember(&index, mark(&index)?, tree);
        Ok(tree)
    }
}

/// Longer than a look at the files of any usual workspace.
const QUICK: Duration = Duration::from_secs(20);
pub(crate) const LONG: Duration = Duration::from_secs(3600);

fn is_behind_a_link(work: &Path, path: &[u8]) -> bool {
    let path = Path::new(OsStr::from_bytes(path));
    path.ancestors()
        .skip(1)
        .filter(|folder| !folder.as_os_str().is_empty())
        .any(|folder| fs::symlink_metadata(work.join(folder)).is_ok_and(|meta| meta.is_symlink()))
}

/// Paths that differ from the index.
#[derive(Debug, Default)]
pub(crate) struct Different {
    /// Tracked ones.
    pub(crate) changed: Vec<Vec<u8>>,
    /// New ones. A new repository of its own ends with a slash.
    pub(crate) added: Vec<Vec<u8>>,
}

/// Why a path cannot be taken in, if so. Looked at before git reads it: a file of 5 GB is not stored to be refused.
pub(crate) fn unfit(project: &GitProject, work: &Path, path: &[u8]) -> Option<LeftOut> {
    if let Some(folder) = path.strip_suffix(b"/") {
        return Some(LeftOut::new(folder, "is a git repository of its own"));
    }
    if path.split(|b| *b == b'/').any(means_git_dir) {
        return Some(LeftOut::new(path, "has a part that some file system takes for .git"));
    }
    let limit = project.options().max_file_bytes;
    match fs::symlink_metadata(work.join(OsStr::from_bytes(path))) {
        Ok(meta) if meta.is_file() && meta.len() > limit => {
            Some(LeftOut::new(path, &format!("has {} bytes, more than the limit of {limit}", meta.len())))
        }
        Ok(meta) if meta.is_file() || meta.is_symlink() || meta.is_dir() => None,
        Ok(_) => Some(LeftOut::new(path, "is neither a file nor a folder nor a link")),
        // Gone: its removal is what changed.
        Err(_) => None,
    }
}
