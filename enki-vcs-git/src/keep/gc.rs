//! [`GitKeep`]: what a project keeps, why, and what of it may go.
//!
//! [`GitKeep::survey`] looks and changes nothing of anybody's work. [`GitKeep::free`] takes away what is derived or
//! landed; [`GitKeep::give_up`] what a person named, archived first; [`GitKeep::forget`] an entry of the archive, which
//! is the one way to lose a commit.

use crate::error::GitError;
use crate::git::lock::Lock;
use crate::git::objects::Swap;
use crate::keep::landed::Landed;
use crate::project::GitProject;
use crate::project::refs::{ANCHOR, ARCHIVE, BASE, Held, INTEGRATION, KEPT, REMOTE, archive_ref};
use crate::there;
use crate::workspaces::agent_git;
use crate::workspaces::overlay::{self, lower};
use crate::workspaces::remove::{self, Workspaces};
use enki_core::branch::Branch;
use enki_core::id::{CommitId, ExecutionId, TaskId};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Folders whose entries are made again when they are wanted, each with a lock beside it.
const SHARED: &[(&str, &str, &str)] = &[
    ("checks", "check folder", "the next check makes it again, build caches included"),
    ("pool", "prepared workspace", "the next run prepares it again"),
    (lower::FOLDER, "prepared tree below workspaces", "the next run prepares it again"),
];

/// How long logs of what is over stay.
const LOGS_STAY: Duration = Duration::from_secs(30 * 24 * 3600);
/// A file in `tmp` that nobody touched for so long is left over.
const TMP_STAYS: Duration = Duration::from_secs(3600);

/// What the store knows. Git alone cannot tell what is still to be worked on.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Branches on which work lands.
    pub targets: BTreeSet<Branch>,
    /// Executions, and whether they are over.
    pub executions: BTreeMap<ExecutionId, Life>,
    /// Their tasks.
    pub tasks: BTreeMap<TaskId, ExecutionId>,
}

impl Known {
    /// The life of a task's execution; none if no row knows it.
    pub(crate) fn life(&self, task: TaskId) -> Option<Life> {
        self.executions.get(self.tasks.get(&task)?).copied()
    }

    fn any_open(&self) -> bool {
        self.executions.values().any(|life| *life == Life::Open)
    }
}

/// Whether an execution can still change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Life {
    /// By itself or by a command: nothing of it is touched.
    Open,
    /// Failed: a retry revives it, so its integration branch stays.
    Failed,
    /// Done or cancelled.
    Over,
}

/// Something that a project keeps.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Item {
    /// By which a person names it.
    pub id: String,
    /// What it is, in a few words.
    pub what: String,
    /// Whose it is.
    pub execution: Option<ExecutionId>,
    /// The task it is of, if it is one's.
    pub task: Option<TaskId>,
    /// Its files and folders.
    pub paths: Vec<PathBuf>,
    /// Its refs, with the commits they were seen at.
    pub refs: Vec<(String, CommitId)>,
    /// What the files take on the disk.
    pub bytes: u64,
    /// Whether it may go.
    pub verdict: Verdict,
    /// Why, in one line.
    pub why: String,
    /// Where the targets were when this was found out.
    seen: Vec<(String, CommitId)>,
}

/// Whether something may go.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Verdict {
    /// It can be made again.
    Derived,
    /// Its work is on its target. These superseded captures are archived when it goes.
    Landed {
        /// Neither merged nor part of what was.
        superseded: Vec<CommitId>,
    },
    /// It holds work that is on no target.
    Unmerged {
        /// The commits; none if the work is in files only.
        commits: Vec<CommitId>,
    },
    /// A person gave it up, or it was superseded; kept until it is forgotten.
    Archived,
    /// No row of the store knows it.
    Foreign,
    /// It is still needed.
    Live,
}

impl Verdict {
    /// Whether [`GitKeep::free`] takes it.
    #[must_use]
    pub const fn may_go(&self) -> bool {
        matches!(self, Self::Derived | Self::Landed { .. })
    }
}

/// What became of an item.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub enum Freed {
    /// It is gone.
    Gone,
    /// It stays, for that reason.
    Stays(String),
}

/// What a project keeps: refs, workspaces, and files that can be made again. All methods block.
#[derive(Clone, Debug)]
pub struct GitKeep {
    pub(crate) project: GitProject,
    pub(crate) root: PathBuf,
    pub(crate) known: Known,
}

/// What is there of one task.
#[derive(Debug, Default)]
struct Things {
    kept: Vec<Held>,
    anchors: Vec<Held>,
    bases: Vec<Held>,
    folders: Vec<PathBuf>,
}

impl GitKeep {
    pub(crate) const fn new(project: GitProject, root: PathBuf, known: Known) -> Self {
        Self { project, root, known }
    }

    /// Everything that is kept, derived files first. Looks at the files of workspaces whose execution is over.
    ///
    /// # Errors
    ///
    /// [`GitError`] if something cannot be read.
    pub fn survey(&self) -> Result<Vec<Item>, GitError> {
        self.project.ensure_enki_dir()?;
        self.project.look_again()?;
        let held = self.project.held()?;
        let seen = self.targets()?;
        let tips: Vec<CommitId> = seen.iter().map(|(_, tip)| *tip).collect();
        let landed = Landed::on(&self.project, &tips, &held)?;
        let mut items = self.derived()?;
        let mut tasks = self.things(&held)?;
        let waiting = self.integration(&held, &landed, &mut items)?;
        for (task, things) in &mut tasks {
            items.push(self.task(*task, things, &landed, &waiting)?);
        }
        items.extend(self.rest(&held, &landed, &waiting)?);
        items.extend(self.refinery(&items)?);
        items.iter_mut().for_each(|item| item.seen.clone_from(&seen));
        Ok(items)
    }

    /// Takes away an item that may go. The same again is no error. What changed since the survey stays.
    ///
    /// # Errors
    ///
    /// [`GitError`] if it could not be done; nothing is lost then, and another try goes on.
    pub fn free(&self, item: &Item) -> Result<Freed, GitError> {
        match &item.verdict {
            Verdict::Derived => self.free_files(item),
            Verdict::Landed { superseded } if self.still_landed(item)? => self.free_work(item, superseded),
            Verdict::Landed { .. } => Ok(Freed::Stays("a target was moved back meanwhile: look again".to_owned())),
            _ => Ok(Freed::Stays(item.why.clone())),
        }
    }

    /// Takes away work that a person gives up. Its commits are archived first, files nobody captured included.
    ///
    /// # Errors
    ///
    /// [`GitError`] if it could not be done; nothing is lost then.
    pub fn give_up(&self, item: &Item) -> Result<Freed, GitError> {
        if matches!(item.verdict, Verdict::Live | Verdict::Archived) || (item.task.is_none() && item.refs.is_empty()) {
            return Ok(Freed::Stays(item.why.clone()));
        }
        let mut item = item.clone();
        if let Some(task) = item.task {
            let all = Workspaces::of(&self.project, &self.root, task)?;
            all.save(&self.project)?;
            all.archive_refused(&self.project)?;
            // What was just captured has a ref too, and goes the same way.
            let held = self.project.held()?.into_iter();
            let of_task = held.filter(|held| held.task == Some(task) && (held.is(KEPT) || held.is(ANCHOR)));
            item.refs = of_task.map(|held| (held.name, held.commit)).chain(item.refs).collect();
            item.refs.sort();
            item.refs.dedup();
        }
        let base = |name: &str| name.starts_with(BASE);
        let commits: Vec<CommitId> =
            item.refs.iter().filter(|(name, _)| !base(name)).map(|(_, commit)| *commit).collect();
        self.free_work(&item, &commits)
    }

    /// Deletes an entry of the archive: its commit may be lost by that. Durable at git's own time.
    ///
    /// # Errors
    ///
    /// [`GitError`] if it could not be done.
    pub fn forget(&self, commit: CommitId) -> Result<Freed, GitError> {
        let lock = self.project.write_lock()?;
        self.delete(&lock, &[(archive_ref(commit), commit)])
    }

    /// The targets that are there, and where they are.
    pub(crate) fn targets(&self) -> Result<Vec<(String, CommitId)>, GitError> {
        let mut found = Vec::new();
        for target in &self.known.targets {
            let full_ref = target.full_ref();
            found.extend(self.project.commit_at(&full_ref)?.map(|tip| (full_ref, tip)));
        }
        Ok(found)
    }

    /// Whether what was on the targets at that time still is: a person may have moved one back.
    fn still_landed(&self, item: &Item) -> Result<bool, GitError> {
        for (full_ref, seen) in &item.seen {
            let now = self.project.commit_at(full_ref)?;
            if !now.map_or(Ok(false), |now| self.project.is_ancestor(*seen, now))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Archive, then folders, then refs: whatever it is interrupted by, every commit has a ref.
    fn free_work(&self, item: &Item, archived: &[CommitId]) -> Result<Freed, GitError> {
        {
            let lock = self.project.write_lock()?;
            for commit in archived {
                self.project.archive(&lock, *commit)?;
            }
        }
        if let Some(task) = item.task
            && let Some(reason) = remove::remove(&self.project, &self.root, task)?
        {
            return Ok(Freed::Stays(reason));
        }
        let lock = self.project.write_lock()?;
        // The base goes with the folders.
        let refs: Vec<_> = item.refs.iter().filter(|(name, _)| !name.starts_with(BASE)).cloned().collect();
        self.delete(&lock, &refs)
    }

    fn delete(&self, lock: &Lock, refs: &[(String, CommitId)]) -> Result<Freed, GitError> {
        Ok(match self.project.delete_refs(lock, refs)? {
            Swap::Done => Freed::Gone,
            Swap::Elsewhere => Freed::Stays("a ref of it moved meanwhile: look again".to_owned()),
        })
    }

    fn free_files(&self, item: &Item) -> Result<Freed, GitError> {
        for path in &item.paths {
            let enki = self.project.enki_dir();
            if SHARED.iter().any(|(folder, ..)| path.starts_with(enki.join(folder))) {
                // A check or a preparation may be at work there, for whoever drives.
                match Lock::try_acquire(&path.with_extension("lock"))? {
                    Some(_lock) if lower::is_below_something(&self.project, path)? => {
                        return Ok(Freed::Stays("a workspace is mounted over it".to_owned()));
                    }
                    Some(_lock) => agent_git::remove(path)?,
                    None => return Ok(Freed::Stays("somebody is at work there".to_owned())),
                }
            } else if *path == enki.join("refinery.git") && (self.is_borrowed_from()? || has_refs(path)?) {
                return Ok(Freed::Stays("folders that stay borrow from it".to_owned()));
            } else {
                agent_git::remove(path)?;
            }
        }
        Ok(Freed::Gone)
    }

    /// The refinery goes last, because workspaces borrow from it; and it stays if it keeps what agents committed for
    /// themselves, which is nowhere else.
    fn refinery(&self, others: &[Item]) -> Result<Option<Item>, GitError> {
        let path = self.project.enki_dir().join("refinery.git");
        if path.is_dir() && has_refs(&path)? {
            let why = "it keeps what agents committed for themselves";
            let mut item = Item::new("refinery.git", "refinery", Verdict::Live, why);
            (item.bytes, item.paths) = (size(&path), vec![path]);
            return Ok(Some(item));
        }
        let goes = !self.known.any_open() && others.iter().all(|item| item.task.is_none() || item.verdict.may_go());
        let why = "merges are built in it, and made again when needed";
        Ok(if goes { self.folder("refinery.git", "refinery", why) } else { None })
    }

    /// Whether a folder that is still there borrows from the refinery.
    fn is_borrowed_from(&self) -> Result<bool, GitError> {
        for dir in ["capture", "aside", "pool", lower::FOLDER, "checks"] {
            if entries(&self.project.enki_dir().join(dir))?.iter().any(|(path, _)| path.is_dir()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn derived(&self) -> Result<Vec<Item>, GitError> {
        let enki = self.project.enki_dir();
        let mut items = Vec::new();
        for (folder, what, why) in SHARED {
            for (path, _) in entries(&enki.join(folder))?.into_iter().filter(|(path, _)| path.is_dir()) {
                if lower::is_below_something(&self.project, &path)? {
                    continue;
                }
                if let Ok(name) = path.strip_prefix(&enki) {
                    items.extend(self.folder(&name.display().to_string(), what, why));
                }
            }
        }
        let old =
            |age: Duration| move |(_, modified): &(PathBuf, SystemTime)| modified.elapsed().is_ok_and(|a| a > age);
        let tmp: Vec<PathBuf> =
            entries(&enki.join("tmp"))?.into_iter().filter(old(TMP_STAYS)).map(|(p, _)| p).collect();
        items.extend(several("tmp", "temporary files", tmp, "left over from an earlier process"));
        let open = |path: &Path| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            self.known.executions.iter().any(|(id, life)| *life == Life::Open && id.to_string() == name)
        };
        let logs = entries(&enki.join("logs"))?.into_iter().filter(old(LOGS_STAY)).map(|(path, _)| path);
        let logs: Vec<PathBuf> = logs.filter(|path| !open(path)).collect();
        items.extend(several("logs", "logs", logs, "nobody wrote there for 30 days"));
        Ok(items)
    }

    fn folder(&self, name: &str, what: &str, why: &str) -> Option<Item> {
        let path = self.project.enki_dir().join(name);
        path.is_dir().then(|| several(name, what, vec![path], why)).flatten()
    }

    /// Sorts refs and folders by the task they are of.
    fn things(&self, held: &[Held]) -> Result<BTreeMap<TaskId, Things>, GitError> {
        let mut tasks: BTreeMap<TaskId, Things> = BTreeMap::new();
        for held in held {
            let base = held.name.strip_prefix(BASE).and_then(|hex| format!("task-{hex}").parse().ok());
            match (held.task, base) {
                (_, Some(task)) => tasks.entry(task).or_default().bases.push(held.clone()),
                (Some(task), None) if held.is(KEPT) => tasks.entry(task).or_default().kept.push(held.clone()),
                (Some(task), None) if held.is(ANCHOR) => tasks.entry(task).or_default().anchors.push(held.clone()),
                _ => {}
            }
        }
        for (path, task) in self.folders()? {
            if let Some(task) = task {
                tasks.entry(task).or_default().folders.push(path);
            }
        }
        Ok(tasks)
    }

    /// Folders of workspaces with the task that their name says.
    pub(crate) fn folders(&self) -> Result<Vec<(PathBuf, Option<TaskId>)>, GitError> {
        let enki = self.project.enki_dir();
        let mut found = Vec::new();
        for dir in [self.root.clone(), enki.join("capture"), enki.join("aside")] {
            let shared = dir == self.root && !dir.starts_with(&enki);
            for (path, _) in entries(&dir)?.into_iter().filter(|(path, _)| path.is_dir()) {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let task = name.get(..17).and_then(|name| name.parse().ok());
                let capture = enki.join("capture").join(format!("{name}.git"));
                // A folder outside the project may hold those of other projects too.
                if !shared || (task.is_some() && capture.is_dir()) {
                    found.push((path, task));
                }
            }
        }
        Ok(found)
    }

    /// Integration branches. Gives those that stay and have not landed.
    fn integration(
        &self,
        held: &[Held],
        landed: &Landed<'_>,
        items: &mut Vec<Item>,
    ) -> Result<BTreeMap<ExecutionId, Landed<'_>>, GitError> {
        let mut waiting = BTreeMap::new();
        let used = self.project.checked_out()?;
        for branch in held.iter().filter(|held| held.is(INTEGRATION)) {
            let name = branch.name.trim_start_matches("refs/heads/").to_owned();
            let of = self.known.executions.iter().find(|(id, _)| Branch::integration(**id).full_ref() == branch.name);
            let landed = landed.has(branch)?;
            let (verdict, why) = match of {
                None => (Verdict::Foreign, "no execution of the store has this branch".to_owned()),
                Some((id, Life::Open)) => (Verdict::Live, format!("{id} is open")),
                Some(_) if used.contains_key(&branch.name) => (Verdict::Live, "it is checked out".to_owned()),
                Some((id, Life::Failed)) if landed => {
                    (Verdict::Live, format!("{id} failed, and can be tried again from it"))
                }
                Some(_) if landed => (Verdict::Landed { superseded: Vec::new() }, "it is on its target".to_owned()),
                Some((id, _)) => {
                    let why = format!("it has not landed; `enki land {id}` lands it");
                    (Verdict::Unmerged { commits: self.missing(branch.commit)? }, why)
                }
            };
            if let Some((id, Life::Failed | Life::Over)) = of
                && !verdict.may_go()
            {
                waiting.insert(*id, Landed::on(&self.project, &[branch.commit], held)?);
            }
            let mut item = Item::new(&name, "integration branch", verdict, &why);
            if let Some((id, _)) = of {
                (item.id, item.execution) = (id.to_string(), Some(*id));
            }
            item.refs = vec![(branch.name.clone(), branch.commit)];
            items.push(item);
        }
        Ok(waiting)
    }

    /// Commits that are on no target, newest first, at most 50.
    fn missing(&self, tip: CommitId) -> Result<Vec<CommitId>, GitError> {
        let mut cmd = self.project.at_person().args(["rev-list", "--max-count=50"]).arg(tip.to_string());
        for (_, target) in self.targets()? {
            cmd = cmd.arg(format!("^{target}"));
        }
        let output = cmd.arg("--").long().ok()?;
        Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(|id| id.parse().ok()).collect())
    }

    fn task(
        &self,
        task: TaskId,
        things: &mut Things,
        landed: &Landed<'_>,
        waiting: &BTreeMap<ExecutionId, Landed<'_>>,
    ) -> Result<Item, GitError> {
        let execution = self.known.tasks.get(&task).copied();
        let (verdict, why) = match (self.known.life(task), execution) {
            (Some(Life::Open), Some(id)) => (Verdict::Live, format!("{id} is open")),
            (Some(_), Some(id)) => self.judge(task, things, landed, waiting.get(&id))?,
            _ => (Verdict::Foreign, "no execution of the store has this task".to_owned()),
        };
        let what = match (things.folders.is_empty(), things.kept.len() + things.anchors.len()) {
            (false, 0) => "workspace".to_owned(),
            (false, 1) => "workspace and its capture".to_owned(),
            (true, 1) => "capture".to_owned(),
            (false, n) => format!("workspace and {n} refs"),
            (true, n) => format!("{n} refs"),
        };
        let mut item = Item::new(&task.to_string(), &what, verdict, &why);
        (item.execution, item.task) = (execution, Some(task));
        let refs = things.kept.iter().chain(&things.anchors).chain(&things.bases);
        item.refs = refs.map(|held| (held.name.clone(), held.commit)).collect();
        item.paths = std::mem::take(&mut things.folders);
        item.bytes = item.paths.iter().map(|path| size(path)).sum();
        Ok(item)
    }

    /// What may go of a task whose execution is over.
    fn judge(
        &self,
        task: TaskId,
        things: &Things,
        landed: &Landed<'_>,
        waiting: Option<&Landed<'_>>,
    ) -> Result<(Verdict, String), GitError> {
        if !things.folders.is_empty()
            && let Some(reason) = Workspaces::of(&self.project, &self.root, task)?.loss(&self.project)?
        {
            return Ok((Verdict::Unmerged { commits: Vec::new() }, reason));
        }
        let mut open = Vec::new();
        for held in things.kept.iter().chain(&things.anchors) {
            if !landed.has(held)? {
                open.push(held);
            }
        }
        if open.is_empty() {
            return Ok((Verdict::Landed { superseded: Vec::new() }, "its work is on its target".to_owned()));
        }
        if let Some(branch) = waiting
            && newest_is_on(branch, &things.kept)?
        {
            return Ok((Verdict::Live, "its work is on the integration branch, which has not landed".to_owned()));
        }
        let done = newest_is_on(landed, &things.kept)?;
        let mut commits: Vec<CommitId> = open.iter().map(|held| held.commit).collect();
        commits.sort_unstable();
        commits.dedup();
        let tips: Vec<CommitId> = if done {
            things.kept.iter().map(|held| held.commit).filter(|commit| !commits.contains(commit)).collect()
        } else {
            commits.clone()
        };
        let commits = self.project.not_within(&commits, &tips)?;
        if done {
            let why = match commits.len() {
                0 => "its work is on its target".to_owned(),
                n => format!("its work is on its target; superseded captures are archived: {n}"),
            };
            return Ok((Verdict::Landed { superseded: commits }, why));
        }
        let shown: Vec<String> = commits.iter().take(3).map(CommitId::short).collect();
        let more = if commits.len() > 3 { ", …" } else { "" };
        let why = format!("on no target: {}{more}", shown.join(", "));
        Ok((Verdict::Unmerged { commits }, why))
    }

    /// Refs and folders of no task.
    fn rest(
        &self,
        held: &[Held],
        landed: &Landed<'_>,
        waiting: &BTreeMap<ExecutionId, Landed<'_>>,
    ) -> Result<Vec<Item>, GitError> {
        let mut items = Vec::new();
        let (mut safe, mut needed) = (Vec::new(), Vec::new());
        let ours = |held: &&Held| !held.is(INTEGRATION) && !held.is(REMOTE);
        for held in held.iter().filter(ours) {
            let pair = (held.name.clone(), held.commit);
            let anchor = held.is(ANCHOR) && held.task.is_none();
            if held.is(ARCHIVE) {
                let (verdict, why) = if landed.contains(held) {
                    (Verdict::Landed { superseded: Vec::new() }, "it is on its target by now")
                } else {
                    (Verdict::Archived, "given up or superseded; kept until it is forgotten")
                };
                let mut item = Item::new(&held.commit.to_string(), "archived commit", verdict, why);
                item.refs = vec![pair];
                items.push(item);
            } else if anchor && (self.known.any_open() || waiting.values().any(|branch| branch.contains(held))) {
                needed.push(pair);
            } else if anchor && landed.has(held)? {
                safe.push(pair);
            } else if !held.is(BASE) && (held.task.is_none() || !(held.is(KEPT) || held.is(ANCHOR))) {
                let why = "no row of the store knows this ref";
                let mut item = Item::new(&held.name, "ref", Verdict::Foreign, why);
                item.refs = vec![pair];
                items.push(item);
            }
        }
        let landed = Verdict::Landed { superseded: Vec::new() };
        let groups = [
            ("candidates", safe, landed, "they were published, and are on their target"),
            ("candidates in use", needed, Verdict::Live, "an execution that has not landed may need them"),
        ];
        for (id, refs, verdict, why) in groups.into_iter().filter(|(_, refs, ..)| !refs.is_empty()) {
            let mut item = Item::new(id, &format!("{} anchors of candidates", refs.len()), verdict, why);
            item.refs = refs;
            items.push(item);
        }
        for (path, _) in self.folders()?.into_iter().filter(|(_, task)| task.is_none()) {
            let why = "Enki did not name it so: look what it is";
            let mut item = Item::new(&path.display().to_string(), "folder", Verdict::Foreign, why);
            item.bytes = size(&path);
            item.paths = vec![path];
            items.push(item);
        }
        Ok(items)
    }
}

/// Whether the last capture of a task is there.
fn newest_is_on(tips: &Landed<'_>, kept: &[Held]) -> Result<bool, GitError> {
    let Some(last) = kept.iter().filter_map(|held| held.attempt).max() else { return Ok(false) };
    for held in kept.iter().filter(|held| held.attempt == Some(last)) {
        if tips.records(held) || tips.has(held)? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Item {
    fn new(id: &str, what: &str, verdict: Verdict, why: &str) -> Self {
        Self {
            id: id.to_owned(),
            what: what.to_owned(),
            execution: None,
            task: None,
            paths: Vec::new(),
            refs: Vec::new(),
            bytes: 0,
            verdict,
            why: why.to_owned(),
            seen: Vec::new(),
        }
    }
}

fn several(id: &str, what: &str, paths: Vec<PathBuf>, why: &str) -> Option<Item> {
    let mut item = Item::new(id, what, Verdict::Derived, why);
    item.bytes = paths.iter().map(|path| size(path)).sum();
    item.paths = paths;
    (!item.paths.is_empty()).then_some(item)
}

/// What is in a folder, with the time of its last change, by name. One that is not there is empty.
fn entries(dir: &Path) -> Result<Vec<(PathBuf, SystemTime)>, GitError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(GitError::io("read", dir, e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| GitError::io("read", dir, e))?.path();
        // One that disappears meanwhile is not there.
        if let Ok(modified) = fs::symlink_metadata(&path).and_then(|meta| meta.modified()) {
            found.push((path, modified));
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a git directory of ours has a ref.
fn has_refs(dir: &Path) -> Result<bool, GitError> {
    let mut open = vec![dir.join("refs")];
    while let Some(folder) = open.pop() {
        for path in there::entries(&folder)?.iter().map(fs::DirEntry::path) {
            if !path.is_dir() {
                return Ok(true);
            }
            open.push(path);
        }
    }
    Ok(dir.join("packed-refs").exists())
}

/// What a file or folder takes on the disk. Links are not followed; what cannot be read counts nothing.
fn size(path: &Path) -> u64 {
    let Ok(meta) = fs::symlink_metadata(path) else { return 0 };
    // An overlay shows what is counted below and above it.
    if meta.is_dir() && overlay::is_mount(path) {
        return 0;
    }
    let own = meta.blocks().saturating_mul(512);
    if !meta.is_dir() {
        return own;
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    own + entries.map(|entry| size(&entry.path())).sum::<u64>()
}
