//! V8: workspaces with many files: handed out, made from nothing, and made ready again, against `git worktree add`.
//!
//! Nothing is deleted before the end: on ext4 without a journal, making files right after deleting many is quadratic.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use crate::repository::Repository;
use enki_core::id::{AttemptNo, CommitId, EffectId, ExecutionId, TaskId};
use enki_core::tier::Purpose;
use enki_core::time::Timestamp;
use enki_core::workspace::{Capture, CaptureSpec, Expect, Start, WorkspaceProvider, WorkspaceSpec};
use enki_vcs_git::GitWorkspaces;
use std::path::Path;
use std::time::Instant;

const EXECUTION: ExecutionId = ExecutionId::new(8);
/// Files that a change touches.
const CHANGED: usize = 10;

/// Milliseconds of each run.
#[derive(Debug, Default)]
pub struct Times {
    /// `git worktree add`.
    pub worktree: Vec<f64>,
    /// A workspace from nothing.
    pub cold: Vec<f64>,
    /// A workspace from the pool.
    pub pooled: Vec<f64>,
    /// `git status` in it.
    pub status: Vec<f64>,
    /// A capture that finds no change: the files, and the look at what may not change around an attempt.
    pub quiet: Vec<f64>,
    /// A prepared workspace brought to a commit of ten other files.
    pub refreshed: Vec<f64>,
    /// A workspace in which ten files were changed and landed, given back and ready again.
    pub reused: Vec<f64>,
}

/// Measures so many rounds on a repository, all kinds in each round.
///
/// # Panics
///
/// If anything fails.
pub async fn measure(repository: &Repository, rounds: usize) -> Times {
    let pooled = repository.project().with_options(|options| options.pool = 1).workspaces();
    let cold = repository.project().with_options(|options| options.pool = 0).workspaces();
    let (mut times, mut base) = (Times::default(), head(repository));
    for round in 0..rounds {
        let folder = repository.beside(&format!("worktree-{round}"));
        let start = Instant::now();
        repository.git(&["worktree", "add", "-q", "--detach", folder.to_str().expect("it is plain"), "main"]);
        times.worktree.push(since(start));
        let one = spec(&format!("cold-{round}"), base);
        let start = Instant::now();
        cold.create(&one).await.expect("a workspace can be made");
        times.cold.push(since(start));

        ready(&pooled, base).await;
        let one = spec(&format!("pooled-{round}"), base);
        let start = Instant::now();
        let place = pooled.create(&one).await.expect("a workspace can be made").path;
        times.pooled.push(since(start));
        let start = Instant::now();
        repository.git_in(&place, &["status", "--porcelain"]);
        times.status.push(since(start));
        let capture = CaptureSpec::new(one.clone(), Expect::Change, "Ten files", Timestamp(1_700_000_000_000));
        // As after the person's own git: the look at their index begins anew.
        repository.git(&["read-tree", "HEAD"]);
        let start = Instant::now();
        let quiet = pooled.capture(&capture).await.expect("it can be captured").apart().0;
        times.quiet.push(since(start));
        assert!(matches!(quiet, Capture::NoChange), "{quiet:?}");
        edit(repository, &place, round);
        base = match pooled.capture(&capture).await.expect("it can be captured").apart().0 {
            Capture::Change { commit, .. } => commit,
            other => panic!("{other:?}"),
        };
        repository.git(&["update-ref", "refs/heads/main", &base.to_string()]);
        pooled.remove(one.task).await.expect("it has landed");
        let start = Instant::now();
        ready(&pooled, base).await;
        times.reused.push(since(start));

        base = commit(repository, &repository.beside("worktree-0"), base, rounds + round);
        let start = Instant::now();
        ready(&pooled, base).await;
        times.refreshed.push(since(start));
        let all = [&times.worktree, &times.cold, &times.pooled, &times.reused, &times.refreshed];
        let last = all.map(|times| format!("{:.1}", times[round])).join(" / ");
        println!("  round {round}, ms: worktree add / nothing / pool / used / unused: {last}");
    }
    times
}

/// Waits until a workspace at that commit is ready, and nothing more happens.
pub(crate) async fn ready(workspaces: &GitWorkspaces, base: CommitId) {
    workspaces.prepare(base, 1).await;
    workspaces.prepare(base, 0).await;
}

/// Changes ten files, spread over all of them.
pub(crate) fn edit(repository: &Repository, folder: &Path, round: usize) {
    for n in 0..CHANGED {
        let file = folder.join(repository.file(n * 97 + round));
        let text = std::fs::read_to_string(&file).expect("it was checked out");
        std::fs::write(&file, text + "one more line\n").expect("it can be written");
    }
}

/// The same by somebody else, as a commit on `main`.
pub(crate) fn commit(repository: &Repository, folder: &Path, base: CommitId, round: usize) -> CommitId {
    repository.git_in(folder, &["checkout", "-q", "--detach", &base.to_string()]);
    edit(repository, folder, round);
    repository.git_in(folder, &["commit", "-q", "-a", "-m", "ten more"]);
    let commit = repository.git_in(folder, &["rev-parse", "HEAD"]);
    repository.git(&["update-ref", "refs/heads/main", &commit]);
    commit.parse().expect("git prints an id")
}

pub(crate) fn head(repository: &Repository) -> CommitId {
    repository.git(&["rev-parse", "main"]).parse().expect("git prints an id")
}

pub(crate) fn spec(step: &str, base: CommitId) -> WorkspaceSpec {
    let task = TaskId::of(EXECUTION, &step.parse().expect("a fine name"));
    let id = EffectId::of("bench", &[step.as_bytes()]);
    WorkspaceSpec::new(id, EXECUTION, task, AttemptNo(1), Purpose::Work, Start::Fresh { base })
}

pub(crate) fn since(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}
