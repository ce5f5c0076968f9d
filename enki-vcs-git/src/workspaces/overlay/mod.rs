//! Workspaces as overlays: one prepared tree below, which nobody writes, and a private folder above for each.
//!
//! ```text
//! .enki/lower/<n>/                     a prepared tree, as an entry of the pool is one: work, git, ready.json
//! .enki/capture/<task>.git/overlay/
//!       upper                          what was written, changed or deleted in the workspace
//!       scratch                        the kernel's own
//! .enki/copies/<task>                  the overlay of both, mounted
//! ```
//!
//! A mount outlives the process that made it, and ends with the machine or by anybody's `umount`. Then an empty folder
//! is there, which is never taken for the work of an agent: whoever comes to a workspace looks at the mount first.

pub(crate) mod lower;
pub(crate) mod mount;
pub(crate) mod touched;

pub(crate) use mount::{Layers, Marks};

use crate::error::GitError;
use crate::git::lock::Patience;
use crate::project::{GitProject, WorkspaceMethod, private_dir};
use crate::there::{self, tells_what_it_is};
use crate::workspaces::agent_git;
use crate::workspaces::place::{StartState, State};
use enki_core::id::TreeId;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What a workspace is mounted over.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct Over {
    /// Number of the prepared tree.
    pub(crate) lower: u32,
    /// Inode of its folder: another one may get the number.
    pub(crate) inode: u64,
    pub(crate) tree: TreeId,
}

/// An overlay that is mounted.
#[derive(Clone, Debug)]
pub(crate) struct Mounted {
    pub(crate) layers: Layers,
    /// The files of the lower layer.
    pub(crate) tree: TreeId,
}

/// How the files of a workspace are there.
#[derive(Clone, Debug)]
pub(crate) enum Files {
    /// As a folder, if at all.
    Plain,
    /// As an overlay, which is mounted.
    Mounted(Mounted),
    /// Not any more, although what an agent wrote may be: why, and where. With nothing of it left: `None`.
    Lost(Option<String>),
}

impl Files {
    /// Looks at a workspace, and mounts it again if somebody unmounted it.
    pub(crate) fn of(project: &GitProject, work: &Path, capture: &Path) -> Result<Self, GitError> {
        let Some(state) = State::load(capture)? else { return Ok(Self::Plain) };
        let Some(over) = &state.over else { return Ok(Self::Plain) };
        let layers = layers(project, capture, over);
        match fs::symlink_metadata(&layers.upper) {
            Ok(_) => {}
            Err(e) if tells_what_it_is(&e) => return Ok(Self::Lost(None)),
            Err(e) => return Err(GitError::io("look at", &layers.upper, e)),
        }
        match mount::is_mounted(work, &layers.upper) {
            Ok(true) => return Ok(Self::Mounted(Mounted { layers, tree: over.tree })),
            Ok(false) => {}
            Err(e) if tells_what_it_is(&e) => {}
            Err(e) => return Err(GitError::io("look at", work, e)),
        }
        match again(project, work, &state, over, &layers) {
            Ok(()) => Ok(Self::Mounted(Mounted { layers, tree: over.tree })),
            Err(error) if passes(&error) => Err(error),
            Err(why) => Ok(Self::Lost(Some(format!(
                "{} is not mounted any more, and {why}: what was written there is in {}; take out what you need, then \
                 remove that folder",
                work.display(),
                layers.upper.display()
            )))),
        }
    }
}

/// Mounts a workspace that is not mounted, if it becomes what it was.
fn again(project: &GitProject, work: &Path, state: &State, over: &Over, layers: &Layers) -> Result<(), GitError> {
    if state.outlived_its_machine() {
        return Err(GitError::Gone("the machine was started anew meanwhile".to_owned()));
    }
    let _lock = lower::hold(project, over)?;
    let instead = match fs::symlink_metadata(work) {
        Ok(meta) => !meta.is_dir() || there::may_hold_something(work)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => false,
        Err(e) => return Err(GitError::io("look at", work, e)),
    };
    if instead {
        return Err(GitError::Gone("somebody put something else there".to_owned()));
    }
    attach(layers, work, permitted(project)?)?;
    tracing::warn!(workspace = %work.display(), "it was not mounted any more, and is again");
    Ok(())
}

/// Whether an error may be another one at another time. What is not there, or is refused here for good, is an answer.
fn passes(error: &GitError) -> bool {
    use rustix::io::Errno;
    match error {
        GitError::Gone(_) => false,
        GitError::Io { source, .. } => {
            let errno = source.raw_os_error().map(Errno::from_raw_os_error);
            // So says a kernel that has no overlays, or none over such a file system.
            let refused = matches!(errno, Some(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP));
            !refused && !tells_what_it_is(source)
        }
        _ => error.is_transient(),
    }
}

/// Makes a new workspace, which has no files yet, an overlay over a prepared tree: the best one there is for these files.
/// Gives the tree that its files are. The state says first what is mounted.
pub(crate) fn begin(
    project: &GitProject,
    work: &Path,
    capture: &Path,
    state: &mut State,
    marks: Marks,
) -> Result<Mounted, GitError> {
    // What a branch has is wanted again; a change or a conflict is of this one alone, and goes above.
    let base = match state.start {
        StartState::Fresh { base } | StartState::Continue { base, .. } => base,
        StartState::Resolve { onto, .. } | StartState::Merge { onto, .. } => onto,
        StartState::Other => state.parent,
    };
    let picked = lower::pick(project, base, state.base_tree)?;
    let over = picked.over()?;
    let layers = layers(project, capture, &over);
    for folder in [&layers.upper, &layers.scratch] {
        agent_git::remove(folder)?;
        private_dir(folder)?;
    }
    picked.copy_index(capture)?;
    state.over = Some(over);
    state.save(capture)?;
    attach(&layers, work, marks)?;
    Ok(Mounted { layers, tree: picked.tree() })
}

fn layers(project: &GitProject, capture: &Path, over: &Over) -> Layers {
    let own = capture.join("overlay");
    let lower = lower::folder(project, over.lower);
    Layers { lower, upper: own.join("upper"), scratch: own.join("scratch") }
}

fn attach(layers: &Layers, work: &Path, marks: Marks) -> Result<(), GitError> {
    // What an earlier mount left in it is of no use, and refused.
    agent_git::remove(&layers.scratch)?;
    private_dir(&layers.scratch)?;
    private_dir(work)?;
    mount::mount(layers, work, marks).map_err(|e| GitError::io("mount an overlay at", work, e))
}

/// Unmounts a workspace. The folder that stays is empty.
///
/// # Errors
///
/// [`GitError::Busy`] if somebody is at work there; then nothing has changed.
pub(crate) fn detach(work: &Path) -> Result<(), GitError> {
    let mut patience = Patience::new();
    loop {
        match mount::unmount(work) {
            Ok(()) => return Ok(()),
            // A child of ours that is just being started has what we had open.
            Err(e) if e.kind() == io::ErrorKind::ResourceBusy && patience.wait() => {}
            Err(e) if e.kind() == io::ErrorKind::ResourceBusy => return Err(GitError::Busy { path: work.to_owned() }),
            Err(e) => return Err(GitError::io("unmount", work, e)),
        }
    }
}

/// Unmounts a workspace in which nobody was at work, and removes what was written in it.
pub(crate) fn end(work: &Path, capture: &Path) -> Result<(), GitError> {
    detach(work)?;
    agent_git::remove(&capture.join("overlay"))
}

/// Whether a folder is where another file system is mounted.
pub(crate) fn is_mount(path: &Path) -> bool {
    let device = |path: &Path| fs::symlink_metadata(path).ok().map(|meta| meta.dev());
    path.parent().is_some_and(|parent| device(path) != device(parent))
}

/// Whether new workspaces are overlays here, and how: asked for, and tried once. Where it cannot be tried just now, the
/// next one is plain files.
pub(crate) fn wanted(project: &GitProject) -> Option<Marks> {
    (project.options().method == WorkspaceMethod::Overlay).then(|| permitted(project).ok()).flatten()
}

/// Whether overlays can be mounted below `.enki`, found out by doing it: once, unless it was not found out.
fn permitted(project: &GitProject) -> Result<Marks, GitError> {
    let refused = |why: &String| GitError::Gone(why.clone());
    if let Some(answer) = project.overlays().get() {
        return answer.as_ref().copied().map_err(refused);
    }
    let answer = match probe(project) {
        Err(error) if passes(&error) => return Err(error),
        answer => answer.map_err(|error| error.to_string()),
    };
    let answer = project.overlays().get_or_init(|| {
        if let Err(why) = &answer {
            tracing::warn!("workspace.method = \"overlay\" cannot be had here, workspaces are plain files: {why}");
        }
        answer
    });
    answer.as_ref().copied().map_err(refused)
}

/// Mounts an overlay in a private folder and does in it what agents do.
fn probe(project: &GitProject) -> Result<Marks, GitError> {
    let tmp = project.ensure_enki_dir()?.join("tmp");
    let attempt = |marks| -> Result<Marks, GitError> {
        let dir = tempfile::Builder::new().prefix("overlay-").tempdir_in(&tmp);
        let dir = dir.map_err(|e| GitError::io("make a folder in", &tmp, e))?;
        let at = |name: &str| dir.path().join(name);
        let layers = Layers { lower: at("lower"), upper: at("upper"), scratch: at("scratch") };
        let io = |e| GitError::io("try an overlay in", &tmp, e);
        fs::create_dir_all(at("lower/folder")).map_err(io)?;
        for file in ["lower/file", "lower/folder/old", "lower/gone"] {
            fs::write(at(file), file).map_err(io)?;
        }
        private_dir(&layers.upper)?;
        attach(&layers, &at("work"), marks)?;
        let works = behaves(&at("work"), &layers);
        detach(&at("work"))?;
        match works {
            Ok(true) => Ok(marks),
            Ok(false) => Err(io(io::Error::other("what is changed or deleted in it does not stay so"))),
            Err(e) => Err(io(e)),
        }
    };
    // Inside a user namespace only the second is allowed.
    attempt(Marks::Trusted).or_else(|error| attempt(Marks::User).map_err(|_| error))
}

fn behaves(work: &Path, layers: &Layers) -> io::Result<bool> {
    fs::write(work.join("file"), "changed")?;
    fs::remove_file(work.join("gone"))?;
    fs::remove_dir_all(work.join("folder"))?;
    fs::create_dir(work.join("folder"))?;
    fs::write(work.join("folder/new"), "new")?;
    let names = |folder: &Path| -> io::Result<usize> { Ok(fs::read_dir(folder)?.count()) };
    let same_below = fs::read(layers.lower.join("file"))? == b"lower/file" && names(&layers.lower)? == 3;
    let inode = |path: &Path| fs::symlink_metadata(path).map(|meta| (meta.ino(), meta.ctime(), meta.ctime_nsec()));
    let seen = inode(&work.join("folder/new"))? == inode(&layers.upper.join("folder/new"))?;
    let mounted = mount::is_mounted(work, &layers.upper)?;
    Ok(same_below && seen && mounted && names(&work.join("folder"))? == 1 && names(work)? == 2)
}
