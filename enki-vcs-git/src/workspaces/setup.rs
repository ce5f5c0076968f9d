//! What makes the files of a fresh workspace fit to work with: shared folders and the project's own commands.

use crate::error::GitError;
use crate::isolation::scan::show_all;
use crate::project::{Confined, GitProject, private_dir};
use crate::workspaces::agent_git;
use crate::workspaces::share::share;
use crate::workspaces::stage::Files;
use enki_core::id::EffectId;
use enki_process::{BaseEnv, Cause, ChildLimits, LogLimits, Marker, Network, Spawn, Status, kill_marked};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long either command may take.
const TIMEOUT: Duration = Duration::from_secs(600);
/// How long to wait for the death of what an earlier command left.
const HUNT: Duration = Duration::from_secs(5);
const LOG_LINES: usize = 20;

/// Whether anything is done beside writing the tracked files.
pub(crate) fn wanted(project: &GitProject) -> bool {
    project.options().setup.is_some() || !project.options().share_ignored.is_empty()
}

/// Names what is done, so that what was prepared otherwise is told apart.
pub(crate) fn recipe(project: &GitProject) -> String {
    let options = project.options();
    let mut parts = vec![options.setup.as_deref().unwrap_or_default().as_bytes()];
    parts.extend(options.share_ignored.iter().map(String::as_bytes));
    EffectId::of("recipe", &parts).hex()
}

/// Shares folders and runs the set-up command, in files that are those of the index.
///
/// # Errors
///
/// The command failed, or git would take what it made for the work of the agent: the workspace is not to be used.
pub(crate) fn prepare(project: &GitProject, at: Files<'_>, label: &str) -> Result<(), GitError> {
    if !wanted(project) {
        return Ok(());
    }
    share(project, at)?;
    if let Some(command) = &project.options().setup {
        run(project, "setup", command, at.work, label)?;
    }
    let differing = at.list(project)?;
    let differing: Vec<_> = differing.changed.iter().chain(&differing.added).collect();
    if differing.is_empty() {
        return Ok(());
    }
    let (count, paths) = (differing.len(), show_all(differing.iter().take(5).map(|path| &path[..])).join(", "));
    Err(GitError::Setup(format!(
        "the set-up of the workspace changed {count} files that git does not ignore, {paths}: they would be taken for \
         the work of the agent; name them in .gitignore, or commit what the command makes"
    )))
}

/// Runs the tear-down command, if there is one. It may fail: the workspace goes anyway.
pub(crate) fn tear_down(project: &GitProject, work: &Path, label: &str) {
    if let Some(command) = &project.options().teardown
        && let Err(error) = run(project, "teardown", command, work, label)
    {
        tracing::warn!(work = %work.display(), %error, "the tear-down of a workspace failed");
    }
}

fn run(project: &GitProject, what: &str, command: &str, work: &Path, label: &str) -> Result<(), GitError> {
    // Another project may have the same label, and what is left of a command is found and ended by its marks.
    let of_it = [label.as_bytes(), project.root().as_os_str().as_encoded_bytes()];
    let id = EffectId::of(what, &of_it);
    let mark = Marker::project(&EffectId::of("workspace", &of_it).hex()).expect("32 hex digits are a mark");
    let hunted = kill_marked(std::slice::from_ref(&mark), HUNT);
    if let Some(trouble) = hunted.trouble() {
        let words = format!("processes of an earlier command in {} {trouble}", work.display());
        return Err(GitError::Raced(words));
    }
    let log = project.ensure_enki_dir()?.join("logs").join(format!("{what}-{label}.log"));
    let mut spawn = Spawn::new("sh", id)
        .arg("-c")
        .arg(command)
        .directory(work)
        .base_env(BaseEnv::from_vars(project.options().env.iter().cloned()))
        // The folder has no `.git` yet, and the person's must not be found.
        .env("GIT_CEILING_DIRECTORIES", work.parent().unwrap_or(work))
        .project(mark)
        .timeout(TIMEOUT)
        .redactor(project.options().redactor.clone())
        .log(&log, LogLimits::default());
    // What agents made is run by it: a script of a package at the set-up for the next step, all of it at a tear-down.
    let confined = project.confined();
    let scratch = Scratch::new(project, id, confined.is_some())?;
    if let (Some(Confined { supervisor, limits, sandbox }), Some(Scratch(tmp))) = (&confined, &scratch) {
        let sandbox = sandbox.clone().network(Network::Shared).writable([work]).tmp(tmp);
        spawn = spawn.supervisor(supervisor, *limits).sandbox(sandbox);
    } else if let Some(supervisor) = &project.options().supervisor {
        spawn = spawn.supervisor(supervisor, ChildLimits::default());
    }
    let failed = |why: String| {
        let held = if confined.is_some() {
            "; it ran in the sandbox: what else it is to read or change, name in sandbox.readable and sandbox.writable \
             of your own configuration"
        } else {
            ""
        };
        GitError::Setup(format!("the {what} command of the workspace {why}; its log is {}{held}", log.display()))
    };
    let io = |e| GitError::io("wait for the command in", work, e);
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(io)?;
    let ended = runtime.block_on(async { Ok(spawn.start().await?.wait().await) });
    let ended = ended.map_err(|e: enki_process::SpawnError| failed(format!("cannot be started: {e}")))?;
    match (ended.cause, ended.status) {
        (Cause::Exited, Status::Code(0)) => Ok(()),
        (Cause::TimedOut, _) => {
            Err(failed(format!("took longer than {} s: {}", TIMEOUT.as_secs(), last_lines(&ended))))
        }
        (_, status) => Err(failed(format!("ended with {status}: {}", last_lines(&ended)))),
    }
}

/// A confined command's own folder for temporary files and caches, which goes with this value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(project: &GitProject, id: EffectId, wanted: bool) -> Result<Option<Self>, GitError> {
        if !wanted {
            return Ok(None);
        }
        let all = project.ensure_enki_dir()?.join("private");
        // Short, for the paths of sockets.
        let folder = all.join(&id.hex()[..12]);
        private_dir(&all)?;
        agent_git::remove(&folder)?;
        private_dir(&folder)?;
        Ok(Some(Self(folder)))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays goes when the next process drives the project.
        drop(agent_git::remove(&self.0));
    }
}

/// The last lines that it said, on one of its two outputs.
fn last_lines(ended: &enki_process::Ended) -> String {
    let said = if ended.stderr_tail.trim_ascii().is_empty() { &ended.stdout_tail } else { &ended.stderr_tail };
    let text = String::from_utf8_lossy(said);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.is_empty() {
        return "it said nothing".to_owned();
    }
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
