//! Workspaces prepared ahead: handed out by renaming, refreshed by difference, used again after a thorough reset.
//!
//! ```text
//! .enki/pool/<n>.lock        held by whoever is at the entry
//! .enki/pool/<n>/work        the files
//! .enki/pool/<n>/git         Enki's git directory for them: becomes `.enki/capture/<task>.git`
//!       git/enki-index       the index as the files were written
//!       git/enki-manifest    what the files were then; written after both, removed before either changes
//! .enki/pool/<n>/ready.json  written last, removed first: without it nobody gets the entry
//! ```
//!
//! Whatever is not written to its end is made anew: files are trusted only by `ready.json` or by the manifest, and both
//! only until the machine starts again, since the files themselves are not synced.

use crate::error::GitError;
use crate::git::Durable;
use crate::git::lock::{Lock, Patience};
use crate::project::{GitProject, private_dir, put};
use crate::there;
use crate::workspaces::agent_git;
use crate::workspaces::disk::Room;
use crate::workspaces::manifest::{Manifest, Since};
use crate::workspaces::overlay;
use crate::workspaces::place::{Place, State};
use crate::workspaces::remove::discard;
use crate::workspaces::setup;
use crate::workspaces::stage::Files;
use crate::workspaces::sweep;
use enki_core::crash_point;
use enki_core::id::{CommitId, TreeId};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Keeps entries ready in the background, one at a time, as the latest hint says.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    state: Mutex<Background>,
    quiet: Condvar,
}

#[derive(Debug, Default)]
struct Background {
    wish: Option<Wish>,
    /// Whether a thread is at it.
    running: bool,
    /// Workspaces that are being made for somebody who waits: they go first.
    busy: u32,
    waiting: Vec<oneshot::Sender<()>>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Wish {
    base: CommitId,
    wanted: u32,
}

/// Somebody waits for a workspace as long as this lives.
#[derive(Debug)]
pub(crate) struct Busy<'a>(&'a Pool);

impl Pool {
    /// Takes a hint. What it gives ends when nothing is left to prepare.
    pub(crate) fn wish(self: &Arc<Self>, project: &GitProject, base: CommitId, wanted: u32) -> oneshot::Receiver<()> {
        let (tell, done) = oneshot::channel();
        let mut state = self.state();
        state.wish = Some(Wish { base, wanted });
        state.waiting.push(tell);
        drop(state);
        self.refill(project);
        done
    }

    /// Starts preparing what is missing, unless that is going on. Returns at once.
    pub(crate) fn refill(self: &Arc<Self>, project: &GitProject) {
        let mut state = self.state();
        if state.running || state.wish.is_none() {
            return;
        }
        let (pool, project) = (Arc::clone(self), project.clone());
        let thread = std::thread::Builder::new().name("enki-pool".into());
        // Not one of the runtime's threads: the end of a program does not wait for it, and what it leaves is made anew.
        match thread.spawn(move || pool.run(&project)) {
            Ok(_) => state.running = true,
            Err(error) => {
                tracing::warn!(%error, "no workspace is prepared ahead");
                state.waiting.clear();
            }
        }
    }

    /// Says that somebody waits for a workspace.
    pub(crate) fn busy(&self) -> Busy<'_> {
        self.state().busy += 1;
        Busy(self)
    }

    fn run(&self, project: &GitProject) {
        let _over = Over(self);
        loop {
            let mut state = self.state();
            while state.busy > 0 {
                state = self.quiet.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let Some(wish) = state.wish else { return state.end() };
            drop(state);
            let more = fill_one(project, wish);
            let mut state = self.state();
            if let Err(error) = &more {
                tracing::warn!(%error, "no workspace is prepared ahead until the next one is announced");
            }
            if !matches!(more, Ok(true)) && state.wish == Some(wish) {
                if more.is_err() {
                    state.wish = None;
                }
                state.end();
                return;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, Background> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.state().busy -= 1;
        self.0.quiet.notify_all();
    }
}

impl Background {
    /// The thread ends.
    fn end(&mut self) {
        self.running = false;
        // Nobody may wait any more; that is no fault.
        self.waiting.drain(..).for_each(|tell| tell.send(()).unwrap_or(()));
    }
}

/// A panic of the thread must not be the end of all preparing.
struct Over<'a>(&'a Pool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.state().end();
        }
    }
}

/// Makes an entry the workspace of a task, which has none: with that state, not ready yet. Says whether there was one.
///
/// Interrupted anywhere, it leaves a state that is not ready, or nothing.
pub(crate) fn take(project: &GitProject, place: &Place, state: &State, base: CommitId) -> bool {
    let Some((entry, exact)) = find(project, state.populated) else { return false };
    let taken = || -> Result<(), GitError> {
        if !exact {
            entry.bring_to(project, base, state.populated, entry.noted())?;
        }
        if let Some(parent) = place.work.parent() {
            private_dir(parent)?;
        }
        let git = entry.git();
        state.save(&git)?;
        entry.unready()?;
        fs::rename(&git, &place.capture).map_err(|e| GitError::io("hand out", &git, e))?;
        crash_point!("pool.hand-out");
        fs::rename(entry.work(), &place.work).map_err(|e| GitError::io("hand out", &entry.work(), e))
    };
    let result = taken();
    if let Err(error) = &result {
        tracing::warn!(entry = %entry.dir.display(), %error, "a prepared workspace could not be handed out");
        if let Err(error) = entry.wipe().and_then(|()| agent_git::remove(&place.capture)) {
            tracing::warn!(entry = %entry.dir.display(), %error, "it could not be removed either");
        }
    }
    result.is_ok()
}

/// Takes back a workspace in which nothing is left to lose: to be used again if it was prepared and there is room,
/// else it is removed. Runs the tear-down command first. What is kept is reset before anybody gets it.
pub(crate) fn give_back(project: &GitProject, work: &Path, capture: &Path) -> Result<(), GitError> {
    if fs::symlink_metadata(work).is_ok_and(|meta| meta.is_dir()) {
        let label = work.file_name().unwrap_or_default().to_string_lossy().into_owned();
        setup::tear_down(project, work, &label);
        if capture.join(MANIFEST).is_file()
            && let Some(entry) = vacant(project)?
        {
            // The files last: without them the entry is nothing, and they would be without their task's state.
            for (from, to) in [(capture, entry.git()), (work, entry.work())] {
                fs::rename(from, &to).map_err(|e| GitError::io("give back", from, e))?;
                crash_point!("pool.give-back");
            }
            return Ok(());
        }
    }
    discard(project, work)?;
    discard(project, capture)
}

/// Removes all entries that nobody is at: the disk is needed for others.
pub(crate) fn shed(project: &GitProject) -> Result<(), GitError> {
    let root = root(project)?;
    for n in numbers(&root)? {
        if let Some(entry) = Entry::lock_soon(&root, n)? {
            entry.wipe()?;
        }
    }
    overlay::lower::shed(project)
}

const MANIFEST: &str = "enki-manifest";
const INDEX: &str = "enki-index";
/// Notes on all that is there, which only what lies below overlays has.
const SET_UP: &str = "enki-set-up";
/// More entries than this there never are.
const MOST: u32 = 64;

/// One prepared workspace, or the place for one. Nobody else is at it as long as this lives.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) n: u32,
    pub(crate) dir: PathBuf,
    lock: Lock,
}

/// What is to be known of an entry that is ready.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ready {
    format: u32,
    /// Start of the machine in which it was made.
    boot: String,
    /// What was done beside writing the files.
    recipe: String,
    base: CommitId,
    pub(crate) tree: TreeId,
}

impl Entry {
    /// The entry of that number, if nobody is at it.
    pub(crate) fn lock(root: &Path, n: u32) -> Result<Option<Self>, GitError> {
        let lock = Lock::try_acquire(&root.join(format!("{n}.lock")))?;
        Ok(lock.map(|lock| Self { n, dir: root.join(n.to_string()), lock }))
    }

    /// Waits until nobody is at it. To be asked with no other entry at hand.
    pub(crate) fn wait(root: &Path, n: u32) -> Result<Self, GitError> {
        let lock = Lock::acquire(&root.join(format!("{n}.lock")))?;
        Ok(Self { n, dir: root.join(n.to_string()), lock })
    }

    /// The same, with a moment of patience.
    pub(crate) fn lock_soon(root: &Path, n: u32) -> Result<Option<Self>, GitError> {
        match Self::lock(root, n)? {
            None if Patience::new().wait() => Self::lock(root, n),
            entry => Ok(entry),
        }
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    pub(crate) fn git(&self) -> PathBuf {
        self.dir.join("git")
    }

    fn ready_file(&self) -> PathBuf {
        self.dir.join("ready.json")
    }

    /// What is ready here, if anything is that can be used.
    pub(crate) fn ready(&self, project: &GitProject) -> Option<Ready> {
        self.any_ready().filter(|ready| ready.recipe == setup::recipe(project))
    }

    /// The same, whatever was done beside writing the files.
    pub(crate) fn any_ready(&self) -> Option<Ready> {
        self.looked_for_ready().ok().flatten()
    }

    /// The same, for whom it matters whether it could be looked at.
    pub(crate) fn looked_for_ready(&self) -> Result<Option<Ready>, GitError> {
        let Some(bytes) = there::ours(&self.ready_file())? else { return Ok(None) };
        let Ok(ready) = serde_json::from_slice::<Ready>(&bytes) else { return Ok(None) };
        let fits = ready.format == 1 && ready.boot == boot();
        Ok((fits && self.work().is_dir() && self.git().is_dir()).then_some(ready))
    }

    fn unready(&self) -> Result<(), GitError> {
        agent_git::remove(&self.ready_file())
    }

    /// Removes all that is in it.
    pub(crate) fn wipe(&self) -> Result<(), GitError> {
        self.unready()?;
        agent_git::remove(&self.dir)
    }

    /// Brings what is there, if it can be used, to that tree, else begins with nothing. Ready at the end.
    fn fill(&self, project: &GitProject, base: CommitId, tree: TreeId) -> Result<(), GitError> {
        let used = || if self.dir.is_dir() { self.reset_used(project) } else { None };
        let noted = if self.ready(project).is_some() { self.noted() } else { used() };
        if noted.is_some() {
            match self.bring_to(project, base, tree, noted) {
                Ok(()) => return Ok(()),
                Err(error) => tracing::debug!(entry = %self.dir.display(), %error, "a prepared workspace is made anew"),
            }
        }
        self.wipe()?;
        let result = self.bring_to(project, base, tree, None);
        if result.is_err() {
            self.wipe()?;
        }
        result
    }

    /// Makes the files those of that tree: all of them, or those that differ from what was noted.
    pub(crate) fn bring_to(
        &self,
        project: &GitProject,
        base: CommitId,
        tree: TreeId,
        noted: Option<Noted>,
    ) -> Result<(), GitError> {
        let (work, git) = (self.work(), self.git());
        self.unready()?;
        agent_git::remove(&git.join(MANIFEST))?;
        agent_git::remove(&git.join(SET_UP))?;
        private_dir(&self.dir)?;
        private_dir(&work)?;
        project.private_git_dir(&git, &[project.common_dir(), &project.refinery_dir()?])?;
        // We hold the entry's lock, and so did every git that worked here.
        agent_git::remove(&git.join("index.lock"))?;
        let at = Files { git_dir: &git, work: &work, limit: crate::workspaces::stage::LONG, over: None };
        at.reset(project, &self.lock, tree)?;
        self.note(project, at, tree, noted)?;
        let kind = self.dir.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        setup::prepare(project, at, &format!("{kind}-{}", self.n))?;
        let ready = Ready { format: 1, boot: boot(), recipe: setup::recipe(project), base, tree };
        let bytes = serde_json::to_vec(&ready).map_err(|e| GitError::io("write", &self.ready_file(), e.into()))?;
        put(&self.ready_file(), &bytes)
    }

    /// Notes what the files and the index are now.
    fn note(&self, project: &GitProject, at: Files<'_>, tree: TreeId, noted: Option<Noted>) -> Result<(), GitError> {
        let (index, kept) = (at.git_dir.join("index"), at.git_dir.join(INDEX));
        agent_git::remove(&kept)?;
        // A name of its own: git never writes into an index, it puts another one in its place.
        fs::hard_link(&index, &kept).map_err(|e| GitError::io("keep", &index, e))?;
        let io = |e| GitError::io("look at", at.work, e);
        let manifest = match noted {
            Some(Noted { mut manifest, removed }) => {
                let changed = project.diff(at.git_dir, manifest.tree, tree)?;
                let paths = changed.iter().map(|change| &change.path[..]).chain(removed.iter().map(|path| &path[..]));
                manifest.note_again(at.work, paths, tree).map_err(io)?;
                manifest
            }
            None => {
                let list = at.at(project, Durable::No).args(["ls-files", "-z"]).long().ok()?;
                Manifest::note(at.work, &list.stdout, tree, &boot()).map_err(io)?
            }
        };
        put(&at.git_dir.join(MANIFEST), &manifest.to_bytes())
    }

    /// The notes on an entry in which nobody was at work.
    fn noted(&self) -> Option<Noted> {
        self.noted_since(Since::AtWork)
    }

    fn noted_since(&self, since: Since) -> Option<Noted> {
        let manifest = Manifest::load(&self.git().join(MANIFEST), &boot(), since).ok()?;
        Some(Noted { manifest, removed: Vec::new() })
    }

    /// The notes on an entry in which nothing may have been touched, if nothing was.
    pub(crate) fn untouched(&self) -> Option<Noted> {
        let noted = self.noted_since(Since::AtRest)?;
        let holds = match Manifest::load(&self.git().join(SET_UP), &boot(), Since::AtRest) {
            Ok(all) => all.holds(&self.work()),
            Err(_) => noted.manifest.holds(&self.work()),
        };
        holds.is_ok_and(|holds| holds).then_some(noted)
    }

    /// Notes what is there beside the tracked files too, where that is made.
    pub(crate) fn note_set_up(&self, project: &GitProject) -> Result<(), GitError> {
        let (work, Some(ready)) = (self.work(), self.any_ready()) else { return Ok(()) };
        if !setup::wanted(project) {
            return Ok(());
        }
        let notes = Manifest::note_all(&work, ready.tree, &boot()).map_err(|e| GitError::io("look at", &work, e))?;
        put(&self.git().join(SET_UP), &notes.to_bytes())
    }

    /// Takes out of a workspace that was worked in whatever is not as it was prepared. Gives nothing if it cannot be
    /// used; anything doubtful means that.
    fn reset_used(&self, project: &GitProject) -> Option<Noted> {
        let (git, clean) = (self.git(), self.dir.join("git.new"));
        let done = || -> std::io::Result<Noted> {
            let manifest = Manifest::load(&git.join(MANIFEST), &boot(), Since::AtWork)?;
            // From here on only its end says what the files are.
            fs::remove_file(git.join(MANIFEST))?;
            let removed = manifest.restore(&self.work())?;
            // Of its git directory only the index as the files were written: no refs, no objects, no settings.
            sweep::remove(&clean)?;
            project.private_git_dir(&clean, &[project.common_dir()]).map_err(std::io::Error::other)?;
            fs::rename(git.join(INDEX), clean.join("index"))?;
            sweep::remove(&git)?;
            fs::rename(&clean, &git)?;
            Ok(Noted { manifest, removed })
        };
        done().inspect_err(|error| tracing::debug!(entry = %self.dir.display(), %error, "it is not used again")).ok()
    }
}

/// What is known of the files of an entry: the notes, and what was removed since.
#[derive(Debug)]
pub(crate) struct Noted {
    manifest: Manifest,
    removed: Vec<Vec<u8>>,
}

/// Does one piece of the work that is missing. Says whether there may be more.
fn fill_one(project: &GitProject, wish: Wish) -> Result<bool, GitError> {
    let over = overlay::wanted(project).is_some();
    let (root, size) = (root(project)?, if over { 0 } else { project.options().pool.min(MOST) });
    for n in numbers(&root)?.into_iter().filter(|n| *n > size) {
        if let Some(entry) = Entry::lock_soon(&root, n)? {
            entry.wipe()?;
        }
    }
    if over && wish.wanted > 0 && Room::of(project)?.is_ample() {
        // One is enough for any number of workspaces.
        overlay::lower::ahead(project, wish.base, project.tree_of(project.common_dir(), wish.base)?)?;
    }
    let target = wish.wanted.min(size);
    if target == 0 || !Room::of(project)?.is_ample() {
        return Ok(false);
    }
    let tree = project.tree_of(project.common_dir(), wish.base)?;
    let mut there = 0;
    let mut best: Option<(u32, Entry)> = None;
    for n in 1..=size {
        // Somebody is at it: what it will be is theirs to say.
        let Some(entry) = Entry::lock_soon(&root, n)? else { continue };
        let effort = match entry.ready(project) {
            Some(ready) if ready.tree == tree => {
                there += 1;
                continue;
            }
            Some(_) => 0,
            None if entry.git().join(MANIFEST).is_file() => 1,
            None => 2,
        };
        if best.as_ref().is_none_or(|(least, _)| effort < *least) {
            best = Some((effort, entry));
        }
    }
    match best {
        Some((_, entry)) if there < target => entry.fill(project, wish.base, tree).map(|()| there + 1 < target),
        _ => Ok(false),
    }
}

/// An entry that is ready, best one with exactly that tree.
fn find(project: &GitProject, tree: TreeId) -> Option<(Entry, bool)> {
    let root = root(project).ok()?;
    let (mut other, mut missed) = (None, Vec::new());
    for n in 1..=project.options().pool.min(MOST) {
        let Ok(Some(entry)) = Entry::lock(&root, n) else {
            missed.push(n);
            continue;
        };
        match entry.ready(project) {
            Some(ready) if ready.tree == tree => return Some((entry, true)),
            Some(_) if other.is_none() => other = Some((entry, false)),
            _ => {}
        }
    }
    if other.is_none() {
        // A child that is just being started has all our locks until it runs: worth a moment before making a new one.
        let n = missed.into_iter().find(|n| root.join(format!("{n}/ready.json")).exists())?;
        let entry = Entry::lock_soon(&root, n).ok()??;
        let exact = entry.ready(project)?.tree == tree;
        other = Some((entry, exact));
    }
    other
}

/// A place in which nothing is, with its folder.
fn vacant(project: &GitProject) -> Result<Option<Entry>, GitError> {
    let root = root(project)?;
    for n in 1..=project.options().pool.min(MOST) {
        let Some(entry) = Entry::lock(&root, n)? else { continue };
        if !entry.work().exists() && !entry.git().exists() {
            private_dir(&entry.dir)?;
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

fn root(project: &GitProject) -> Result<PathBuf, GitError> {
    Ok(project.ensure_enki_dir()?.join("pool"))
}

/// The entries whose folders are there.
fn numbers(root: &Path) -> Result<Vec<u32>, GitError> {
    let entries = fs::read_dir(root).map_err(|e| GitError::io("read", root, e))?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
}

/// Names this start of the machine, where it has a name; else this process.
fn boot() -> String {
    crate::workspaces::place::boot_id().unwrap_or_else(|| format!("process {}", std::process::id()))
}
