//! V9: changes that were captured, merged durably one by one or in batches, against loops of git.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use crate::repository::Repository;
use enki_core::branch::Branch;
use enki_core::id::{AttemptNo, CommitId, EffectId, ExecutionId, RequestId, StepIx, TaskId};
use enki_core::refinery::{Build, Change, ChangeKind, Import, Publish, Refinery};
use enki_core::tier::Purpose;
use enki_core::time::Timestamp;
use enki_core::workspace::{Capture, CaptureSpec, Expect, Start, WorkspaceProvider, WorkspaceSpec};
use enki_vcs_git::{GitProject, GitRefinery};
use std::path::PathBuf;
use std::time::Instant;

const EXECUTION: ExecutionId = ExecutionId::new(9);

/// A repository with captured changes of one file each, all made on the head of `main`.
#[derive(Debug)]
pub struct Captured {
    /// The repository.
    pub repository: Repository,
    /// The project that captured them.
    pub project: GitProject,
    /// The head they were made on.
    pub base: CommitId,
    /// The changes, each of another file.
    pub changes: Vec<Change>,
}

impl Captured {
    /// Makes a repository and captures so many changes in it, one after the other in the same workspace.
    ///
    /// # Panics
    ///
    /// If anything fails.
    pub async fn new(files: usize, bytes: usize, changes: usize) -> Self {
        let repository = Repository::new(files, bytes);
        let project = repository.project();
        let workspaces = project.workspaces();
        let base: CommitId = repository.git(&["rev-parse", "main"]).parse().expect("git prints an id");
        let task = TaskId::of(EXECUTION, &"step".parse().expect("a fine name"));
        let mut made = Vec::new();
        for n in 0..changes {
            let attempt = AttemptNo(u32::try_from(n + 1).unwrap_or(u32::MAX));
            let id = EffectId::of_attempt(EXECUTION, StepIx(0), attempt);
            let start = if n == 0 { Start::Fresh { base } } else { Start::Continue { base, head: base } };
            let spec = WorkspaceSpec::new(id, EXECUTION, task, attempt, Purpose::Work, start);
            let place = workspaces.create(&spec).await.expect("a workspace can be made");
            let file = place.path.join(repository.file(n * files / changes));
            let text = std::fs::read_to_string(&file).expect("it was checked out");
            std::fs::write(&file, text + "one more line\n").expect("it can be written");
            let spec = CaptureSpec::new(spec, Expect::Change, format!("Change {n}"), Timestamp(1_700_000_000_000));
            let commit = match workspaces.capture(&spec).await.expect("it can be captured").apart().0 {
                Capture::Change { commit, .. } => commit,
                other => panic!("{other:?}"),
            };
            let kind = ChangeKind::Step { task, attempt, title: format!("Change {n}"), summary: "Done".to_owned() };
            made.push(Change {
                request: RequestId::of(EXECUTION, Some(StepIx(0)), attempt.0),
                kind,
                commit,
                at: Timestamp(1_700_000_000_000),
            });
        }
        Self { repository, project, base, changes: made }
    }

    /// A branch that the refinery lands on, at the base.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    #[must_use]
    pub fn line(&self, name: &str) -> Line {
        let target: Branch = name.parse().expect("a fine name");
        self.repository.git(&["branch", name, &self.base.to_string()]);
        Line { refinery: self.project.refinery(), target, head: self.base }
    }

    /// A bare repository beside with the same objects, for a loop of git.
    ///
    /// # Panics
    ///
    /// If it cannot be made.
    #[must_use]
    pub fn mirror(&self, name: &str) -> Loop<'_> {
        let folder = self.repository.beside(name);
        self.repository.git(&["clone", "-q", "--mirror", ".", &folder.display().to_string()]);
        self.repository.git_in(&folder, &["config", "user.name", "Person"]);
        self.repository.git_in(&folder, &["config", "user.email", "person@example.org"]);
        Loop { repository: &self.repository, folder, head: self.base.to_string() }
    }
}

/// A branch on which changes land through the mechanisms of the refinery.
#[derive(Debug)]
pub struct Line {
    refinery: GitRefinery,
    target: Branch,
    head: CommitId,
}

impl Line {
    /// Imports, builds and publishes these changes as one candidate. Gives the seconds it took.
    ///
    /// # Panics
    ///
    /// If they do not land.
    pub async fn land(&mut self, changes: &[Change]) -> f64 {
        let start = Instant::now();
        for change in changes {
            let import = self.refinery.import(change).await.expect("it can be brought in");
            assert_eq!(import, Import::Imported);
        }
        let id = EffectId::of("bench", &[]);
        let built = self.refinery.build(self.head, changes, id).await.expect("it can be built");
        let Build::Candidate { candidate, .. } = built else { panic!("{built:?}") };
        let published = self.refinery.publish(&self.target, self.head, &candidate).await.expect("it can be moved");
        assert_eq!(published, Publish::Published);
        self.head = candidate.commit;
        start.elapsed().as_secs_f64()
    }
}

/// A branch on which git alone lands changes.
#[derive(Debug)]
pub struct Loop<'a> {
    repository: &'a Repository,
    folder: PathBuf,
    head: String,
}

impl Loop<'_> {
    /// `merge-tree`, `commit-tree` and `update-ref`, with what they write made durable. Gives the seconds it took.
    pub fn three_processes(&mut self, commit: CommitId) -> f64 {
        let start = Instant::now();
        let git =
            |args: &[&str]| self.repository.git_in(&self.folder, &[&["-c", "core.fsync=committed"], args].concat());
        let tree = git(&["merge-tree", "--write-tree", &self.head, &commit.to_string()]);
        let merged = git(&["commit-tree", "-m", "a change", "-p", &self.head, &tree]);
        git(&["update-ref", "refs/heads/loop", &merged]);
        self.head = merged;
        start.elapsed().as_secs_f64()
    }

    /// A worktree for the change, `git merge` in it, and the branch moved on. The worktree stays: on ext4 it is slow to
    /// make one right after another was deleted. Gives the seconds it took.
    pub fn worktree(&mut self, commit: CommitId) -> f64 {
        let start = Instant::now();
        let folder = self.repository.beside(&format!("tree-{commit}"));
        let shown = folder.display().to_string();
        self.repository.git_in(&self.folder, &["worktree", "add", "-q", "--detach", &shown, &self.head]);
        let message = ["merge", "-q", "--no-ff", "-m", "a change"];
        self.repository.git_in(&folder, &[&message[..], &[&commit.to_string()]].concat());
        self.head = self.repository.git_in(&folder, &["rev-parse", "HEAD"]);
        self.repository.git_in(&self.folder, &["update-ref", "refs/heads/loop", &self.head]);
        start.elapsed().as_secs_f64()
    }
}

/// The value in the middle.
///
/// # Panics
///
/// If there is none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    *sorted.get(sorted.len() / 2).expect("something was measured")
}
