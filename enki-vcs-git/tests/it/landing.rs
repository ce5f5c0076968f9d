//! A landing that conflicts is resolved by a true merge, which fast-forwards the target wherever that is.

use crate::support::*;
use enki_core::branch::Branch;
use enki_core::id::{CommitId, EffectId};
use enki_core::refinery::{Build, Candidate, Import, Publish, Refinery};
use enki_core::workspace::{Capture, Expect, Start, WorkspaceProvider};
use enki_vcs_git::GitProject;
use std::path::PathBuf;

const OURS: &str = "one\nPERSON\nthree\n";
const THEIRS: &str = "one\nAGENT\nthree\n";
const BOTH: &str = "one\nPERSON and AGENT\nthree\n";

/// Work on the integration branch that says something else about `a.txt` than the target does by now.
struct Clash {
    target: Branch,
    onto: CommitId,
    tip: CommitId,
}

/// The plan's work is merged; then `meanwhile` changes the target.
async fn clash(repo: &Repo, target: &str, meanwhile: impl FnOnce()) -> Clash {
    let (refinery, target) = (repo.refinery(), target.parse::<Branch>().unwrap());
    let base = refinery.open(&target, &integration()).await.unwrap();
    let change = repo.change("a", base, &[("a.txt", THEIRS), ("b.txt", "b\n")]).await;
    refinery.import(&change).await.unwrap();
    let candidate = repo.candidate(base, &[change]).await;
    assert_eq!(refinery.publish(&integration(), base, &candidate).await.unwrap(), Publish::Published);
    meanwhile();
    let onto = match refinery.publish(&target, base, &candidate).await.unwrap() {
        Publish::Moved { now } => now.unwrap(),
        other => panic!("{other:?}"),
    };
    let built = refinery.build(onto, &[landing(candidate.commit, 1)], EffectId::of("build", &[])).await.unwrap();
    let Build::Conflict { paths, hunks, .. } = built else { panic!("{built:?}") };
    assert_eq!(paths, ["a.txt"]);
    assert!(hunks.contains("PERSON") && hunks.contains("AGENT"), "{hunks}");
    Clash { target, onto, tip: candidate.commit }
}

impl Clash {
    /// An agent writes `solution`; what is captured.
    async fn resolve(&self, repo: &Repo, attempt: u32, edits: &[(&str, &str)]) -> Capture {
        let workspaces = repo.workspaces();
        let spec = spec("land-1", attempt, Start::Merge { onto: self.onto, change: self.tip });
        let made = workspaces.create(&spec).await.unwrap();
        assert_eq!(made.conflicts, ["a.txt"]);
        for (path, content) in edits {
            write(&made.path, path, content);
        }
        workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap()
    }

    /// The merge that solves it.
    async fn merge(&self, repo: &Repo) -> CommitId {
        committed(self.resolve(repo, 1, &[("a.txt", BOTH)]).await)
    }

    /// Lands a commit on where the target is, as far as it goes.
    async fn land(&self, repo: &Repo, on: CommitId, commit: CommitId, n: u32) -> (Candidate, Publish) {
        let (refinery, change) = (repo.refinery(), landing(commit, n));
        assert_eq!(refinery.import(&change).await.unwrap(), Import::Imported);
        let candidate = repo.candidate(on, &[change]).await;
        let published = refinery.publish(&self.target, on, &candidate).await.unwrap();
        (candidate, published)
    }
}

fn parents(repo: &Repo, commit: CommitId) -> String {
    repo.git(&["log", "-1", "--format=%P", &commit.to_string()])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_has_both_sides_and_fast_forwards_a_branch_that_is_not_checked_out() {
    let repo = Repo::new();
    repo.git(&["branch", "release"]);
    let clash = clash(&repo, "release", || {
        repo.git(&["checkout", "-q", "release"]);
        repo.write("a.txt", OURS);
        repo.commit("by a person");
        repo.git(&["checkout", "-q", "main"]);
    })
    .await;
    let merge = clash.merge(&repo).await;
    assert_eq!(parents(&repo, merge), format!("{} {}", clash.onto, clash.tip));
    assert!(repo.is_kept(merge));
    let (candidate, published) = clash.land(&repo, clash.onto, merge, 2).await;
    assert_eq!((candidate.commit, published), (merge, Publish::Published), "exactly what was made");
    assert_eq!(repo.head("release"), merge);
    assert_eq!(repo.git(&["show", "release:a.txt"]), BOTH.trim_end());
    assert_eq!(repo.git(&["show", "release:b.txt"]), "b");
    assert_eq!(repo.read("a.txt"), "one\ntwo\nthree\n");
    // What lands later of the same branch has the tip in common.
    let next = repo.change("c", clash.tip, &[("a.txt", "one\nAGENT\nthree\n\nmore\n")]).await;
    repo.refinery().import(&next).await.unwrap();
    let candidate = repo.candidate(clash.tip, &[next]).await;
    repo.refinery().publish(&integration(), clash.tip, &candidate).await.unwrap();
    let (_, published) = clash.land(&repo, merge, candidate.commit, 3).await;
    assert_eq!(published, Publish::Published);
    assert_eq!(repo.git(&["show", "release:a.txt"]), format!("{BOTH}\nmore"));
    // Nothing of it is lost with its workspace.
    repo.workspaces().remove(task("land-1")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_lands_in_a_clean_checkout_and_the_files_follow() {
    let repo = Repo::new();
    let clash = clash(&repo, "main", || {
        repo.write("a.txt", OURS);
        repo.commit("by a person");
    })
    .await;
    let merge = clash.merge(&repo).await;
    // Somebody else was first once more, with something that goes together with it.
    repo.write("theirs.txt", "more\n");
    let now = repo.commit("more by a person");
    let (candidate, published) = clash.land(&repo, now, merge, 2).await;
    assert_eq!(published, Publish::Published);
    assert_eq!(parents(&repo, candidate.commit), format!("{now} {merge}"));
    assert_eq!(
        (repo.read("a.txt"), repo.read("theirs.txt"), repo.status()),
        (BOTH.into(), "more\n".into(), String::new())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_is_pushed_to_a_branch_of_a_remote() {
    let repo = Repo::new();
    let server: PathBuf = repo.dir.path().canonicalize().unwrap().join("server.git");
    repo.git(&["init", "-q", "--bare", "-b", "main", &server.display().to_string()]);
    repo.git(&["remote", "add", "origin", &format!("file://{}", server.display())]);
    repo.git(&["push", "-q", "origin", "main"]);
    let clash = clash(&repo, "origin:main", || {
        let other = repo.dir.path().join("another clone");
        repo.git(&["clone", "-q", &server.display().to_string(), &other.display().to_string()]);
        write(&other, "a.txt", OURS);
        repo.git_in(&other, &["commit", "-qam", "by somebody else"]);
        repo.git_in(&other, &["push", "-q", "origin", "main"]);
    })
    .await;
    let merge = clash.merge(&repo).await;
    let (_, published) = clash.land(&repo, clash.onto, merge, 2).await;
    assert_eq!(published, Publish::Published);
    assert_eq!(repo.git_in(&server, &["rev-parse", "main"]), merge.to_string());
    assert_eq!(repo.git_in(&server, &["show", "main:a.txt"]), BOTH.trim_end());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_lands_in_a_folder_without_git() {
    let repo = Repo::bare_folder("f");
    repo.write("a.txt", "one\ntwo\nthree\n");
    GitProject::open_or_make(&repo.root, repo.options()).unwrap().record_folder().unwrap();
    let clash = clash(&repo, "main", || repo.write("a.txt", OURS)).await;
    let merge = clash.merge(&repo).await;
    let (candidate, published) = clash.land(&repo, clash.onto, merge, 2).await;
    assert_eq!((candidate.commit, published), (merge, Publish::Published));
    assert_eq!((repo.read("a.txt"), repo.read("b.txt")), (BOTH.to_owned(), "b\n".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn markers_one_side_alone_and_other_files_are_no_merge() {
    let repo = Repo::new();
    let clash = clash(&repo, "main", || {
        repo.write("a.txt", OURS);
        repo.commit("by a person");
    })
    .await;
    let unresolved = |capture: Capture| match capture {
        Capture::Unresolved { paths } => paths,
        other => panic!("{other:?}"),
    };
    assert_eq!(unresolved(clash.resolve(&repo, 1, &[]).await), ["a.txt"]);
    assert_eq!(unresolved(clash.resolve(&repo, 2, &[("a.txt", BOTH), ("b.txt", "other\n")]).await), ["b.txt"]);
    // What throws the plan's work away is no change of the target.
    let workspaces = repo.workspaces();
    let spec = spec("land-1", 3, Start::Merge { onto: clash.onto, change: clash.tip });
    let made = workspaces.create(&spec).await.unwrap();
    write(&made.path, "a.txt", OURS);
    std::fs::remove_file(made.path.join("b.txt")).unwrap();
    assert_eq!(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap(), Capture::NoChange);
    assert_eq!(repo.head("main"), clash.onto);
}
