//! The gate: a command of the project's own, run on exactly the candidate's files.
//!
//! Each check gets a folder `.enki/checks/<n>/` that nobody else uses at that time: the files in `tree`, Enki's private
//! git directory for them in `git`, a `TMPDIR` in `tmp`. Folders are used again, brought to the candidate's tree by
//! difference; untracked files are removed, **ignored files stay**, so that build caches do. A command that must
//! not see them begins by removing them.

use crate::error::GitError;
use crate::git::lock::Lock;
use crate::git::{Durable, GitCmd};
use crate::project::{Confined, GitProject, private_dir};
use crate::workspaces::agent_git;
use enki_core::crash_point;
use enki_core::id::EffectId;
use enki_core::refinery::{Candidate, Check, Gate, RefineryError};
use enki_process::{BaseEnv, Cause, Ended, LogLimits, Marker, Spawn, Status, kill_marked};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LOG_LINES: usize = 60;
/// How a supervisor says that it could not start the command as it should.
const SUPERVISOR: &[u8] = b"enki supervisor: ";
const LOG_BYTES: u64 = 16 << 10;
/// How long to wait for the death of what an earlier check left.
const HUNT: Duration = Duration::from_secs(5);
/// Less free space than this and nobody's change is to blame.
const DISK_FULL: u64 = 1 << 20;

pub(crate) async fn check(
    project: &GitProject,
    candidate: Candidate,
    gate: &Gate,
    id: EffectId,
) -> Result<Check, RefineryError> {
    crash_point!("merge.4.before");
    let attempted = format!("check {} ({id})", candidate.commit);
    let owned = project.clone();
    let prepared = tokio::task::spawn_blocking(move || Slot::prepare(&owned, candidate)).await;
    let slot = match prepared {
        Ok(slot) => slot.map_err(|e| e.refinery(attempted.clone()))?,
        Err(e) => return Err(RefineryError::new(attempted, e.to_string(), false)),
    };
    let log = project.enki_dir().join("logs").join(format!("check-{id}.log"));
    let extra: Vec<&str> = project.options().check_env.iter().map(String::as_str).collect();
    // Checks of another project may have the same id, and what is left of a run is found and ended by its mark.
    let run = EffectId::of("check run", &[id.hex().as_bytes(), slot.dir.as_os_str().as_encoded_bytes()]);
    let spawn = Spawn::new("sh", run)
        .arg("-c")
        .arg(&gate.command)
        .directory(slot.tree())
        .base_env(BaseEnv::with_extra(project.options().env.iter().cloned(), &extra))
        .env("TMPDIR", slot.dir.join("tmp"))
        // A command that removes its `.git` must not find the person's.
        .env("GIT_CEILING_DIRECTORIES", &slot.dir)
        .project(slot.mark())
        .timeout(gate.timeout)
        .redactor(project.options().redactor.clone())
        .log(&log, LogLimits::default());
    let spawn = match project.confined() {
        None => spawn,
        // Its git directory `git` is not its own: only the files are, and what is for the time of the check.
        Some(Confined { supervisor, limits, sandbox }) => {
            spawn.supervisor(supervisor, limits).sandbox(sandbox.writable([slot.tree()]).tmp(slot.dir.join("tmp")))
        }
    };
    let child = match spawn.start().await {
        Ok(child) => child,
        Err(e) => return Ok(Check::Unknown { reason: format!("the check command cannot be started: {e}") }),
    };
    crash_point!("gate.start");
    let ended = child.wait().await;
    crash_point!("gate.end");
    let judged = tokio::task::spawn_blocking(move || {
        let check = judge(&ended, &log, &slot);
        // Only now may the next check have the folder.
        drop(slot);
        check
    });
    let check = judged.await.map_err(|e| RefineryError::new(attempted, e.to_string(), false))?;
    crash_point!("merge.4.after");
    Ok(check)
}

/// A folder for one check at a time.
#[derive(Debug)]
struct Slot {
    dir: PathBuf,
    lock: Lock,
}

impl Slot {
    fn prepare(project: &GitProject, candidate: Candidate) -> Result<Self, GitError> {
        let refinery = project.refinery_dir()?;
        // What is checked is the tree that the caller names, so it has to be the commit's.
        if project.tree_of(&refinery, candidate.commit)? != candidate.tree {
            let words = format!("commit {} does not have the tree {}", candidate.commit, candidate.tree);
            return Err(GitError::Gone(words));
        }
        let slot = Self::free(&project.enki_dir().join("checks"))?;
        // Nobody has the lock, but a check whose caller went away or was killed may not be dead yet.
        let hunted = kill_marked(&[slot.mark()], HUNT);
        if let Some(trouble) = hunted.trouble() {
            let words = format!("processes of an earlier check in {} {trouble}", slot.dir.display());
            return Err(GitError::Raced(words));
        }
        if let Err(error) = slot.fill(project, &refinery, candidate) {
            // What an earlier command left may be in the way: begin with nothing, once.
            tracing::debug!(dir = %slot.dir.display(), %error, "a check folder is made anew");
            agent_git::remove(&slot.dir)?;
            slot.fill(project, &refinery, candidate)?;
        }
        Ok(slot)
    }

    fn free(root: &Path) -> Result<Self, GitError> {
        for n in 1..=1000 {
            if let Some(lock) = Lock::try_acquire(&root.join(format!("{n}.lock")))? {
                return Ok(Self { dir: root.join(n.to_string()), lock });
            }
        }
        Err(GitError::Gone(format!("all check folders below {} are in use", root.display())))
    }

    /// What every process that works in this folder carries.
    fn mark(&self) -> Marker {
        let tag = EffectId::of("check folder", &[self.dir.as_os_str().as_encoded_bytes()]).hex();
        Marker::project(&tag).expect("32 hex digits are a mark")
    }

    fn tree(&self) -> PathBuf {
        self.dir.join("tree")
    }

    fn fill(&self, project: &GitProject, refinery: &Path, candidate: Candidate) -> Result<(), GitError> {
        let (git, tree, tmp) = (self.dir.join("git"), self.tree(), self.dir.join("tmp"));
        agent_git::remove(&tmp)?;
        private_dir(&tmp)?;
        private_dir(&tree)?;
        let borrow = [refinery, project.common_dir()];
        project.private_git_dir(&git, &borrow)?;
        // We hold the folder's lock, and so did every git that worked here.
        agent_git::remove(&git.join("index.lock"))?;
        agent_git::remove(&tree.join(".git"))?;
        let id = candidate.tree.to_string();
        self.at(project, &git).args(["read-tree", "--reset", "-u", &id]).holding(&self.lock).long().ok()?;
        crash_point!("git.checkout");
        self.at(project, &git).args(["clean", "-ffdq"]).holding(&self.lock).long().ok()?;
        agent_git::make(project, &tree, None, candidate.commit, &git.join("index"), &borrow)
    }

    fn at(&self, project: &GitProject, git: &Path) -> GitCmd {
        project.git().at(git).durable(Durable::No).config("checkout.workers=0").work_tree(&self.tree())
    }
}

fn judge(ended: &Ended, log: &Path, slot: &Slot) -> Check {
    let tail = || tail(log).unwrap_or_else(|e| format!("(the log {} cannot be read: {e})", log.display()));
    let unknown = |reason: String| Check::Unknown { reason };
    match (ended.cause, ended.status) {
        (Cause::Exited, Status::Code(0)) => Check::Passed,
        (Cause::TimedOut, _) => Check::TimedOut { log: tail() },
        (Cause::Stopped, _) => unknown("the check was stopped".to_owned()),
        _ if disk_full(&slot.dir) => unknown(format!("the disk of {} is full", slot.dir.display())),
        _ if ended.log_failure.is_some() => {
            unknown(format!("its log cannot be written: {}", ended.log_failure.as_deref().unwrap_or_default()))
        }
        // Nothing of the command ran.
        (_, Status::Code(127)) if ended.stderr_tail.starts_with(SUPERVISOR) => {
            unknown(String::from_utf8_lossy(&ended.stderr_tail).trim().to_owned())
        }
        // A crash of the command is its own; a kill, a hang-up, an interrupt or the lack of memory is not.
        (_, Status::Signal(signal @ (1 | 2 | 9 | 15))) => unknown(format!("the check was ended by signal {signal}")),
        // The shell's word for a command of it that was killed.
        (_, Status::Code(137)) => {
            unknown("a command of the check was killed (exit code 137): out of memory?".to_owned())
        }
        (_, Status::Code(_) | Status::Signal(_)) => Check::Failed { log: tail() },
        (_, status) => unknown(format!("the check ended with {status}")),
    }
}

fn disk_full(dir: &Path) -> bool {
    rustix::fs::statvfs(dir).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < DISK_FULL)
}

/// The last lines of a log, as text.
fn tail(log: &Path) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(LOG_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"))
}
