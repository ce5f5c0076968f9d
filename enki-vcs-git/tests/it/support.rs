//! A repository of a person, and short ways to work with it.

use enki_core::branch::Branch;
use enki_core::id::{AttemptNo, CommitId, EffectId, ExecutionId, RequestId, StepId, StepIx, TaskId};
use enki_core::refinery::{Build, Candidate, Change, ChangeKind, Refinery};
use enki_core::tier::Purpose;
use enki_core::time::Timestamp;
use enki_core::workspace::{Capture, CaptureSpec, Expect, Start, Workspace, WorkspaceProvider, WorkspaceSpec};
use enki_vcs_git::{GitError, GitOptions, GitProject, GitRefinery, GitWorkspaces, WorkspaceMethod};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

pub(crate) const EXECUTION: ExecutionId = ExecutionId::new(0x0190_0000_0000_7000_8000_0000_0000_0007);
pub(crate) const AT: Timestamp = Timestamp(1_700_000_000_000);

/// A person's repository in a folder of its own, with a home of its own.
pub(crate) struct Repo {
    pub(crate) dir: TempDir,
    pub(crate) root: PathBuf,
}

/// Whatever a test left mounted in its folder goes, also if it failed: else the folder could not be removed.
impl Drop for Repo {
    fn drop(&mut self) {
        for at in mounts(self.dir.path()) {
            let _ = unmount(&at);
        }
    }
}

/// What is mounted below a folder, the innermost first.
pub(crate) fn mounts(folder: &Path) -> Vec<PathBuf> {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(|point| {
        let point = point.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n");
        PathBuf::from(point.replace("\\134", "\\"))
    });
    let mut found: Vec<PathBuf> = points.filter(|point| point.starts_with(&folder)).collect();
    found.reverse();
    found
}

/// As somebody would, whoever is at work there.
#[cfg(target_os = "linux")]
pub(crate) fn unmount(at: &Path) -> std::io::Result<()> {
    Ok(rustix::mount::unmount(at, rustix::mount::UnmountFlags::DETACH)?)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn unmount(_: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

impl Repo {
    /// One commit on `main`: `a.txt`, `src/lib.rs` and a `.gitignore` with `target/`.
    pub(crate) fn new() -> Self {
        Self::with("p", &[])
    }

    pub(crate) fn with(name: impl AsRef<OsStr>, init: &[&str]) -> Self {
        Self::bare_folder(name).begun(init)
    }

    /// The same on the file system of that folder.
    #[cfg(target_os = "linux")]
    pub(crate) fn inside(folder: &Path) -> Self {
        Self::bare(tempfile::tempdir_in(folder).unwrap(), "p".as_ref()).begun(&[])
    }

    fn begun(self, init: &[&str]) -> Self {
        self.git(&[&["init", "-q", "-b", "main"], init].concat());
        self.write("a.txt", "one\ntwo\nthree\n");
        self.write("src/lib.rs", "// lib\n");
        self.write(".gitignore", "target/\n");
        self.commit("first");
        self
    }

    /// An empty folder, and a home.
    pub(crate) fn bare_folder(name: impl AsRef<OsStr>) -> Self {
        Self::bare(tempfile::tempdir().unwrap(), name.as_ref())
    }

    fn bare(dir: TempDir, name: &OsStr) -> Self {
        let root = dir.path().canonicalize().unwrap().join(name);
        fs::create_dir_all(&root).unwrap();
        fs::create_dir_all(dir.path().join("home")).unwrap();
        Self { dir, root }
    }

    pub(crate) fn env(&self) -> Vec<(OsString, OsString)> {
        let home = self.dir.path().join("home").into_os_string();
        vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin".into()), ("HOME".into(), home)]
    }

    pub(crate) fn options(&self) -> GitOptions {
        GitOptions::new(self.env())
    }

    pub(crate) fn try_open(&self) -> Result<GitProject, GitError> {
        GitProject::open(&self.root, self.options())
    }

    pub(crate) fn project(&self) -> GitProject {
        self.try_open().unwrap()
    }

    pub(crate) fn workspaces(&self) -> GitWorkspaces {
        self.project().workspaces()
    }

    pub(crate) fn refinery(&self) -> GitRefinery {
        self.project().refinery()
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        self.git_in(&self.root, args)
    }

    pub(crate) fn git_in(&self, dir: &Path, args: &[&str]) -> String {
        let output = self.try_git_in(dir, args);
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    #[expect(clippy::disallowed_methods, reason = "a test plays the person and the agent")]
    pub(crate) fn try_git_in(&self, dir: &Path, args: &[&str]) -> std::process::Output {
        let mut cmd = Command::new("git");
        cmd.env_clear().envs(self.env()).current_dir(dir);
        for who in ["AUTHOR", "COMMITTER"] {
            cmd.env(format!("GIT_{who}_NAME"), "Person").env(format!("GIT_{who}_EMAIL"), "person@example.org");
        }
        cmd.args(args).output().unwrap()
    }

    /// Runs a script as the person, which must succeed, and gives what it printed.
    #[expect(clippy::disallowed_methods, reason = "a test plays the person")]
    pub(crate) fn sh(&self, script: &str) -> String {
        let output =
            Command::new("sh").args(["-c", script]).env_clear().envs(self.env()).current_dir(&self.root).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        write(&self.root, path, content);
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root.join(path)).unwrap()
    }

    /// Commits all there is.
    pub(crate) fn commit(&self, message: &str) -> CommitId {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
        self.head("HEAD")
    }

    pub(crate) fn head(&self, name: &str) -> CommitId {
        self.git(&["rev-parse", name]).parse().unwrap()
    }

    /// Whether a commit is reachable from some ref of the person's repository.
    pub(crate) fn is_kept(&self, commit: CommitId) -> bool {
        self.git(&["rev-list", "--all"]).lines().any(|line| line == commit.to_string())
    }

    pub(crate) fn status(&self) -> String {
        self.git(&["status", "--porcelain"])
    }

    /// Works on a step from `base` and captures it.
    pub(crate) async fn change(&self, step: &str, base: CommitId, edits: &[(&str, &str)]) -> Change {
        let workspaces = self.workspaces();
        let spec = spec(step, 1, Start::Fresh { base });
        let made = workspaces.create(&spec).await.unwrap();
        for (path, content) in edits {
            write(&made.path, path, content);
        }
        let commit = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
        step_change(step, 1, commit)
    }

    /// Makes the candidate of these changes on `base`, and expects one.
    pub(crate) async fn candidate(&self, base: CommitId, changes: &[Change]) -> Candidate {
        match self.refinery().build(base, changes, EffectId::of("build", &[])).await.unwrap() {
            Build::Candidate { candidate, .. } => candidate,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn write(dir: &Path, path: &str, content: &str) {
    let file = dir.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, content).unwrap();
}

pub(crate) fn task(step: &str) -> TaskId {
    TaskId::of(EXECUTION, &step.parse::<StepId>().unwrap())
}

/// The workspace of a step's attempt.
pub(crate) fn spec(step: &str, attempt: u32, start: Start) -> WorkspaceSpec {
    let index = StepIx(step.bytes().map(u32::from).sum());
    let id = EffectId::of_attempt(EXECUTION, index, AttemptNo(attempt));
    let purpose = match start {
        Start::Resolve { .. } | Start::Merge { .. } => Purpose::Resolve,
        _ => Purpose::Work,
    };
    WorkspaceSpec::new(id, EXECUTION, task(step), AttemptNo(attempt), purpose, start)
}

pub(crate) fn capture(spec: &WorkspaceSpec, expect: Expect) -> CaptureSpec {
    CaptureSpec::new(spec.clone(), expect, "a title", AT)
}

pub(crate) fn committed(capture: Capture) -> CommitId {
    match capture.apart().0 {
        Capture::Change { commit, .. } => commit,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn refused(capture: Capture) -> String {
    match capture.apart().0 {
        Capture::Refused { reason } => reason,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn step_change(step: &str, attempt: u32, commit: CommitId) -> Change {
    let index = StepIx(step.bytes().map(u32::from).sum());
    let kind = ChangeKind::Step {
        task: task(step),
        attempt: AttemptNo(attempt),
        title: format!("Do {step}"),
        summary: "What was done".to_owned(),
    };
    Change { request: RequestId::of(EXECUTION, Some(index), attempt), kind, commit, at: AT }
}

pub(crate) fn landing(commit: CommitId, n: u32) -> Change {
    let kind = ChangeKind::Landing { execution: EXECUTION, title: "Land the plan".to_owned() };
    Change { request: RequestId::of(EXECUTION, None, n), kind, commit, at: AT }
}

pub(crate) fn main() -> Branch {
    "main".parse().unwrap()
}

pub(crate) fn integration() -> Branch {
    Branch::integration(EXECUTION)
}

/// A workspace for a step at HEAD of main.
pub(crate) async fn fresh(repo: &Repo, step: &str) -> (GitWorkspaces, WorkspaceSpec, Workspace) {
    let workspaces = repo.workspaces();
    let spec = spec(step, 1, Start::Fresh { base: repo.head("main") });
    let made = workspaces.create(&spec).await.unwrap();
    (workspaces, spec, made)
}

/// Puts a program named git first on the path of a person.
pub(crate) fn with_git(repo: &Repo, script: &str) -> GitOptions {
    let bin = repo.dir.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    write_program(&bin.join("git"), script);
    let mut options = repo.options();
    let mut path = bin.into_os_string();
    path.push(":/usr/local/bin:/usr/bin:/bin");
    options.env.retain(|(name, _)| name != "PATH");
    options.env.push(("PATH".into(), path));
    options
}

pub(crate) fn which_git() -> PathBuf {
    ["/usr/local/bin/git", "/usr/bin/git", "/bin/git"].iter().map(Into::into).find(|p: &PathBuf| p.exists()).unwrap()
}

/// Writes a shell script. A child does the writing: with the file open here, another test's child that is just being
/// started would have it open too, and the program would be "busy".
#[expect(clippy::disallowed_methods, reason = "a test plays the person")]
pub(crate) fn write_program(path: &Path, script: &str) {
    let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" >\"$2\" && chmod 755 \"$2\"";
    assert!(Command::new("sh").args(["-c", write, "sh", script]).arg(path).status().unwrap().success());
}

/// Workspaces that are overlays.
pub(crate) fn overlaid(repo: &Repo, change: impl FnOnce(&mut GitOptions)) -> GitWorkspaces {
    let overlaid = |options: &mut GitOptions| {
        options.method = WorkspaceMethod::Overlay;
        change(options);
    };
    repo.project().with_options(overlaid).workspaces()
}

/// Whether this machine's git makes such a repository; says so if not.
pub(crate) fn makes(flag: &str) -> bool {
    let place = Repo::bare_folder("try");
    let made = place.try_git_in(&place.root, &["init", "-q", flag]).status.success();
    if !made {
        println!("skipped: git of this machine does not know {flag}");
    }
    made
}
