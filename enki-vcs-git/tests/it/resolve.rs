//! A conflict is solved in files, all of it and nothing else.

use crate::support::*;
use enki_core::id::CommitId;
use enki_core::workspace::{Capture, Expect, Start, Workspace, WorkspaceProvider, WorkspaceSpec};
use enki_vcs_git::GitWorkspaces;
use std::fs;

/// A workspace in which a change of `edits` meets a person's commit of `theirs`.
async fn conflict(repo: &Repo, theirs: &[(&str, Option<&str>)], edits: &[(&str, &str)]) -> Meeting {
    let change = repo.change("a", repo.head("main"), edits).await.commit;
    for (path, content) in theirs {
        match content {
            Some(content) => repo.write(path, content),
            None => fs::remove_file(repo.root.join(path)).unwrap(),
        }
    }
    let onto = repo.commit("meanwhile");
    let workspaces = repo.workspaces();
    let spec = spec("a", 2, Start::Resolve { onto, change });
    let made = workspaces.create(&spec).await.unwrap();
    Meeting { onto, workspaces, spec, made }
}

struct Meeting {
    onto: CommitId,
    workspaces: GitWorkspaces,
    spec: WorkspaceSpec,
    made: Workspace,
}

impl Meeting {
    async fn capture(&self) -> Capture {
        self.workspaces.capture(&capture(&self.spec, Expect::Change)).await.unwrap()
    }

    async fn unresolved(&self) -> Vec<String> {
        match self.capture().await {
            Capture::Unresolved { paths } => paths,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn markers_that_are_left_and_files_beside_the_conflict_are_no_solution() {
    let repo = Repo::new();
    let meeting = conflict(
        &repo,
        &[("a.txt", Some("one\nPERSON\nthree\n")), ("p.txt", Some("p\n"))],
        &[("a.txt", "one\nAGENT\nthree\n"), ("b.txt", "b\n")],
    )
    .await;
    assert_eq!(meeting.made.conflicts, ["a.txt"]);
    assert_eq!(meeting.unresolved().await, ["a.txt"]);
    write(&meeting.made.path, "b.txt", "b, changed\n");
    assert_eq!(meeting.unresolved().await, ["a.txt", "b.txt"]);
    write(&meeting.made.path, "a.txt", "one\nPERSON and AGENT\nthree\n");
    assert_eq!(meeting.unresolved().await, ["b.txt"]);
    write(&meeting.made.path, "b.txt", "b\n");
    write(&meeting.made.path, "more.txt", "more\n");
    assert_eq!(meeting.unresolved().await, ["more.txt"]);
    fs::remove_file(meeting.made.path.join("more.txt")).unwrap();
    let commit = committed(meeting.capture().await);
    assert_eq!(repo.head(&format!("{commit}^")), meeting.onto);
    assert!(repo.is_kept(commit));
    let files = repo.git(&["diff", "--name-only", &meeting.onto.to_string(), &commit.to_string()]);
    assert_eq!(files, "a.txt\nb.txt");
    assert_eq!(committed(meeting.capture().await), commit);
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_about_markers_are_no_markers() {
    let repo = Repo::new();
    let meeting = conflict(&repo, &[("a.txt", Some("one\nPERSON\n"))], &[("a.txt", "one\nAGENT\n")]).await;
    write(&meeting.made.path, "a.txt", "how to:\n<<<<<<< HEAD\n=======\n>>>>>>> branch\n");
    committed(meeting.capture().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn giving_the_change_up_is_no_change() {
    let repo = Repo::new();
    let meeting = conflict(&repo, &[("a.txt", Some("one\nPERSON\n"))], &[("a.txt", "one\nAGENT\n")]).await;
    write(&meeting.made.path, "a.txt", "one\nPERSON\n");
    assert_eq!(meeting.capture().await, Capture::NoChange);
}

#[tokio::test(flavor = "multi_thread")]
async fn conflicts_without_markers_have_to_be_touched() {
    let repo = Repo::new();
    repo.write("bin", "\0b");
    repo.commit("binary");
    let meeting = conflict(
        &repo,
        &[("bin", Some("\0person")), ("a.txt", None)],
        &[("bin", "\0agent"), ("a.txt", "one\nAGENT\n"), ("c.txt", "c\n")],
    )
    .await;
    assert_eq!(meeting.made.conflicts, ["a.txt", "bin"]);
    assert_eq!(meeting.unresolved().await, ["a.txt", "bin"]);
    write(&meeting.made.path, "bin", "\0both");
    fs::remove_file(meeting.made.path.join("a.txt")).unwrap();
    let commit = committed(meeting.capture().await);
    let files = repo.git(&["ls-tree", "-r", "--name-only", &commit.to_string()]);
    assert_eq!(files, ".gitignore\nbin\nc.txt\nsrc/lib.rs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_without_conflict_is_a_change_as_it_is() {
    let repo = Repo::new();
    let meeting = conflict(&repo, &[("p.txt", Some("p\n"))], &[("b.txt", "b\n")]).await;
    assert_eq!(meeting.made.conflicts, [""; 0]);
    let commit = committed(meeting.capture().await);
    assert_eq!(repo.head(&format!("{commit}^")), meeting.onto);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_resolution_again_finds_its_workspace_and_another_one_begins_anew() {
    let repo = Repo::new();
    let meeting = conflict(&repo, &[("a.txt", Some("one\nPERSON\n"))], &[("a.txt", "one\nAGENT\n")]).await;
    write(&meeting.made.path, "a.txt", "half\n");
    assert_eq!(repo.workspaces().create(&meeting.spec).await.unwrap(), meeting.made);
    assert_eq!(fs::read_to_string(meeting.made.path.join("a.txt")).unwrap(), "half\n");
    let next = spec("a", 3, meeting.spec.start);
    assert_eq!(repo.workspaces().create(&next).await.unwrap(), meeting.made);
    assert!(fs::read_to_string(meeting.made.path.join("a.txt")).unwrap().contains("<<<<<<< "));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agents_own_git_can_conclude_the_merge() {
    let repo = Repo::new();
    let meeting = conflict(&repo, &[("a.txt", Some("one\nPERSON\n"))], &[("a.txt", "one\nAGENT\n")]).await;
    let path = &meeting.made.path;
    write(path, "a.txt", "one\nboth\n");
    repo.git_in(path, &["add", "-A"]);
    repo.git_in(path, &["commit", "-q", "--no-edit"]);
    assert_eq!(repo.git_in(path, &["log", "-1", "--format=%P"]).split(' ').count(), 2);
    let commit = committed(meeting.capture().await);
    assert_eq!(repo.git(&["log", "-1", "--format=%P", &commit.to_string()]), meeting.onto.to_string());
}
