//! The suites of the testkit, on real git.

use crate::support::*;
use enki_core::branch::Branch;
use enki_core::id::CommitId;
use enki_core::workspace::WorkspaceProvider;
use enki_testkit::suite::project::{Edit, Project};
use enki_testkit::suite::refinery::RefineryFixture;
use enki_testkit::suite::workspace::WorkspaceFixture;
use enki_vcs_git::{GitRefinery, GitWorkspaces};
use std::path::Path;

struct OnGit;

/// A repository whose `main` has exactly these files and is not checked out.
fn project(files: &[(&str, &str)]) -> Repo {
    let repo = Repo::bare_folder("p");
    repo.git(&["init", "-q", "-b", "main"]);
    for (path, content) in files {
        repo.write(path, content);
    }
    repo.commit("first");
    repo.git(&["checkout", "-q", "--detach"]);
    repo
}

impl Repo {
    /// Makes a commit on another one, past every checkout.
    fn commit_on(&self, base: CommitId, edits: &[Edit<'_>]) -> CommitId {
        let scratch = tempfile::tempdir_in(self.dir.path()).unwrap();
        let tree = scratch.path().join("tree");
        self.git(&["worktree", "add", "-q", "--detach", tree.to_str().unwrap(), &base.to_string()]);
        for (path, content) in edits {
            match content {
                Some(content) => write(&tree, path, content),
                None => std::fs::remove_file(tree.join(path)).unwrap(),
            }
        }
        self.git_in(&tree, &["add", "-A"]);
        self.git_in(&tree, &["commit", "-q", "--allow-empty", "-m", "by a person"]);
        let commit = self.git_in(&tree, &["rev-parse", "HEAD"]).parse().unwrap();
        self.git(&["worktree", "remove", "--force", tree.to_str().unwrap()]);
        commit
    }
}

impl Project for Repo {
    async fn head(&self, branch: &Branch) -> Option<CommitId> {
        let output = self.try_git_in(&self.root, &["rev-parse", "-q", "--verify", &branch.full_ref()]);
        String::from_utf8(output.stdout).unwrap().trim().parse().ok()
    }
    async fn commit(&self, branch: &Branch, edits: &[Edit<'_>]) -> CommitId {
        let commit = self.commit_on(self.head(branch.as_str()), edits);
        self.git(&["update-ref", &branch.full_ref(), &commit.to_string()]);
        commit
    }
    async fn set(&self, branch: &Branch, to: Option<CommitId>) {
        match to {
            Some(commit) => self.git(&["update-ref", &branch.full_ref(), &commit.to_string()]),
            None => self.git(&["update-ref", "-d", &branch.full_ref()]),
        };
    }
    async fn file(&self, commit: CommitId, path: &str) -> Option<String> {
        // A candidate that is not published yet is in the refinery alone.
        let refinery = self.root.join(".enki/refinery.git");
        let git_dir = if refinery.exists() { refinery } else { self.root.join(".git") };
        let output =
            self.try_git_in(&self.root, &["--git-dir", git_dir.to_str().unwrap(), "show", &format!("{commit}:{path}")]);
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }
    async fn parents(&self, commit: CommitId) -> Vec<CommitId> {
        let said = self.in_refinery(&["log", "-1", "--format=%P", &commit.to_string()]);
        said.split_whitespace().map(|id| id.parse().unwrap()).collect()
    }
    async fn message(&self, commit: CommitId) -> String {
        self.in_refinery(&["log", "-1", "--format=%B", &commit.to_string()])
    }
    async fn reachable(&self, commit: CommitId) -> bool {
        self.is_kept(commit)
    }
}

impl Repo {
    fn in_refinery(&self, args: &[&str]) -> String {
        let refinery = self.root.join(".enki/refinery.git");
        let git_dir = if refinery.exists() { refinery } else { self.root.join(".git") };
        self.git(&[&["--git-dir", git_dir.to_str().unwrap()], args].concat())
    }
}

impl WorkspaceFixture for OnGit {
    type Provider = GitWorkspaces;
    type Project = Repo;

    async fn project(&self, files: &[(&str, &str)]) -> (Repo, GitWorkspaces) {
        let repo = project(files);
        let workspaces = repo.workspaces();
        (repo, workspaces)
    }
    async fn artifact(&self, project: &Repo, _: &GitWorkspaces, path: &str) -> Option<String> {
        std::fs::read_to_string(Path::new(&project.root).join(path)).ok()
    }
}

/// Workspaces that are prepared before they are asked for.
struct Prepared;

impl WorkspaceFixture for Prepared {
    type Provider = GitWorkspaces;
    type Project = Repo;

    async fn project(&self, files: &[(&str, &str)]) -> (Repo, GitWorkspaces) {
        let (repo, workspaces) = WorkspaceFixture::project(&OnGit, files).await;
        workspaces.prepare(repo.head("main"), 2).await;
        assert!(repo.root.join(".enki/pool/2/ready.json").exists());
        (repo, workspaces)
    }
    async fn artifact(&self, project: &Repo, workspaces: &GitWorkspaces, path: &str) -> Option<String> {
        WorkspaceFixture::artifact(&OnGit, project, workspaces, path).await
    }
}

/// Workspaces that are overlays. Where none can be mounted, they are plain files, and only that is tested.
struct Overlaid;

impl WorkspaceFixture for Overlaid {
    type Provider = GitWorkspaces;
    type Project = Repo;

    async fn project(&self, files: &[(&str, &str)]) -> (Repo, GitWorkspaces) {
        let repo = project(files);
        let workspaces = overlaid(&repo, |_| ());
        (repo, workspaces)
    }
    async fn artifact(&self, project: &Repo, workspaces: &GitWorkspaces, path: &str) -> Option<String> {
        WorkspaceFixture::artifact(&OnGit, project, workspaces, path).await
    }
}

impl RefineryFixture for OnGit {
    type Refinery = GitRefinery;
    type Project = Repo;

    async fn project(&self, files: &[(&str, &str)]) -> (Repo, GitRefinery) {
        let repo = project(files);
        let refinery = repo.refinery();
        (repo, refinery)
    }
    async fn captured(&self, project: &Repo, _: &GitRefinery, base: CommitId, edits: &[Edit<'_>]) -> CommitId {
        let commit = project.commit_on(base, edits);
        project.git(&[
            "update-ref",
            &format!("refs/enki/kept/{:0>32}", &commit.to_string()[..12]),
            &commit.to_string(),
        ]);
        commit
    }
}

mod workspaces {
    enki_testkit::workspace_conformance!(super::OnGit);
}

mod prepared_workspaces {
    enki_testkit::workspace_conformance!(super::Prepared);
}

mod overlaid_workspaces {
    enki_testkit::workspace_conformance!(super::Overlaid);
}

mod refinery {
    enki_testkit::refinery_conformance!(super::OnGit);
}
