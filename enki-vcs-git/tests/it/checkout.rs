//! A target that a person works with: it moves with all its files, or stays as it is and the run says why.

use crate::support::*;
use enki_core::id::CommitId;
use enki_core::refinery::{Candidate, Publish, Refinery};
use enki_vcs_git::GitProject;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

async fn ready(repo: &Repo) -> (CommitId, Candidate) {
    let base = repo.head("main");
    let change = repo.change("a", base, &[("a.txt", "changed\n"), ("b.txt", "b\n")]).await;
    repo.refinery().import(&change).await.unwrap();
    (base, repo.candidate(base, &[change]).await)
}

async fn publish(repo: &Repo, base: CommitId, candidate: &Candidate) -> Publish {
    repo.refinery().publish(&main(), base, candidate).await.unwrap()
}

/// Nothing of the person's is touched, and the command that is named works once the reason is gone.
async fn is_left_alone(repo: &Repo, base: CommitId, candidate: &Candidate, why: &str) {
    let (status, head) = (repo.status(), repo.git(&["rev-parse", "HEAD"]));
    let blocked = publish(repo, base, candidate).await;
    let Publish::Blocked { reason, command } = &blocked else { panic!("{why}: {blocked:?}") };
    assert!(reason.contains(why), "{reason}");
    assert_eq!(*command, format!("git merge --ff-only {}", candidate.commit));
    assert_eq!((repo.head("main"), repo.status(), repo.git(&["rev-parse", "HEAD"])), (base, status, head));
}

async fn lands(repo: &Repo, base: CommitId, candidate: &Candidate) {
    assert_eq!(publish(repo, base, candidate).await, Publish::Published);
    assert_eq!((repo.head("main"), repo.status()), (candidate.commit, String::new()));
}

fn linked(repo: &Repo, name: &str) -> PathBuf {
    repo.dir.path().canonicalize().unwrap().join(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn staged_changes_are_not_mixed_with_what_lands() {
    let repo = Repo::new();
    let (base, candidate) = ready(&repo).await;
    repo.write("staged.txt", "staged\n");
    repo.git(&["add", "staged.txt"]);
    is_left_alone(&repo, base, &candidate, "changes that are not committed").await;
    repo.git(&["rm", "-q", "--cached", "src/lib.rs"]);
    repo.git(&["rm", "-q", "-f", "staged.txt"]);
    is_left_alone(&repo, base, &candidate, "changes that are not committed").await;
    repo.git(&["add", "src/lib.rs"]);
    lands(&repo, base, &candidate).await;
}

/// A merge whose result is what HEAD has is clean for `git status`, and under way all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_under_way_is_left_alone() {
    let repo = Repo::new();
    repo.git(&["checkout", "-q", "-b", "other"]);
    repo.git(&["commit", "-q", "--allow-empty", "-m", "other"]);
    repo.git(&["checkout", "-q", "main"]);
    let (base, candidate) = ready(&repo).await;
    repo.git(&["merge", "-q", "--no-ff", "--no-commit", "other"]);
    assert_eq!(repo.status(), "");
    is_left_alone(&repo, base, &candidate, "MERGE_HEAD").await;
    repo.git(&["merge", "--abort"]);
    lands(&repo, base, &candidate).await;
}

/// HEAD is on no branch meanwhile, and the branch is set when it ends.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebase_or_bisect_of_the_target_is_left_alone() {
    let repo = Repo::new();
    repo.write("second.txt", "2\n");
    repo.commit("second");
    let (base, candidate) = ready(&repo).await;
    repo.try_git_in(&repo.root, &["rebase", "-q", "--exec", "false", "HEAD~1"]);
    assert!(!repo.git(&["status"]).contains("On branch main"));
    is_left_alone(&repo, base, &candidate, "a rebase of the branch is under way at").await;
    repo.git(&["rebase", "--abort"]);
    repo.git(&["bisect", "start"]);
    repo.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    is_left_alone(&repo, base, &candidate, "a bisect of the branch is under way at").await;
    repo.git(&["bisect", "reset"]);

    let other = linked(&repo, "linked");
    repo.git(&["checkout", "-q", "--detach"]);
    repo.git(&["worktree", "add", "-q", &other.display().to_string(), "main"]);
    repo.try_git_in(&other, &["rebase", "-q", "--exec", "false", "HEAD~1"]);
    is_left_alone(&repo, base, &candidate, &format!("under way at {}", other.display())).await;
    repo.git_in(&other, &["rebase", "--abort"]);
    lands(&repo, base, &candidate).await;
    assert_eq!(repo.git_in(&other, &["status", "--porcelain"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_with_several_checkouts_or_one_that_comes_back_is_left_alone() {
    let repo = Repo::new();
    let other = linked(&repo, "linked");
    let (base, candidate) = ready(&repo).await;
    repo.git(&["worktree", "add", "-q", "-f", &other.display().to_string(), "main"]);
    is_left_alone(&repo, base, &candidate, "and the files of one would be left behind").await;
    repo.git(&["checkout", "-q", "--detach"]);
    // A drive that is not there now.
    repo.git(&["worktree", "lock", &other.display().to_string()]);
    let away = linked(&repo, "away");
    fs::rename(&other, &away).unwrap();
    is_left_alone(&repo, base, &candidate, "not there now and locked").await;
    fs::rename(&away, &other).unwrap();
    lands(&repo, base, &candidate).await;
    assert_eq!(fs::read_to_string(other.join("b.txt")).unwrap(), "b\n");
    assert_eq!(repo.git_in(&other, &["status", "--porcelain"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_that_have_changed_are_in_nobodys_way_but_are_never_written_over() {
    let repo = Repo::new();
    repo.write("docs/log/task/t.md", "status: pending\n");
    repo.commit("a note");
    let (base, candidate) = ready(&repo).await;
    repo.write("docs/log/task/t.md", "status: running\n");
    assert_eq!(publish(&repo, base, &candidate).await, Publish::Published);
    assert_eq!((repo.read("docs/log/task/t.md"), repo.read("a.txt")), ("status: running\n".into(), "changed\n".into()));
    // One that would change the same note waits.
    let base = repo.head("main");
    let change = repo.change("b", base, &[("docs/log/task/t.md", "theirs\n")]).await;
    repo.refinery().import(&change).await.unwrap();
    let candidate = repo.candidate(base, &[change]).await;
    is_left_alone(&repo, base, &candidate, "t.md").await;
    assert_eq!(repo.read("docs/log/task/t.md"), "status: running\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_folder_of_notes_is_the_one_that_a_person_chose_and_no_pattern() {
    let repo = Repo::new();
    for note in ["docs/log/t.md", "my */t.md", "my n/t.md"] {
        repo.write(note, "status: pending\n");
    }
    repo.commit("notes");
    let (base, candidate) = ready(&repo).await;
    let mut options = repo.options();
    options.notes = "my *".to_owned();
    let project = GitProject::open(&repo.root, options).unwrap();
    for other in ["docs/log/t.md", "my n/t.md"] {
        repo.write(other, "status: running\n");
        assert!(project.is_dirty().unwrap(), "{other} is a file like any other");
        repo.write(other, "status: pending\n");
    }
    repo.write("my */t.md", "status: running\n");
    assert!(!project.is_dirty().unwrap());
    assert_eq!(project.refinery().publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
    assert_eq!((repo.read("my */t.md"), repo.read("a.txt")), ("status: running\n".into(), "changed\n".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_for_merges_do_not_make_half_a_landing() {
    let repo = Repo::new();
    for (key, value) in [
        ("branch.main.mergeOptions", "--squash"),
        ("merge.ff", "no"),
        ("merge.autoStash", "true"),
        ("merge.stat", "true"),
    ] {
        repo.git(&["config", key, value]);
    }
    let (base, candidate) = ready(&repo).await;
    repo.write("a.txt", "mine\n");
    is_left_alone(&repo, base, &candidate, "changes that are not committed").await;
    repo.git(&["checkout", "-q", "a.txt"]);
    lands(&repo, base, &candidate).await;
}

/// The hook of a person that never ends holds neither the landing nor the lock that all writing waits for.
#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_hangs_after_the_move_is_ended() {
    let repo = Repo::new();
    let (base, candidate) = ready(&repo).await;
    let (began, ended) = (repo.dir.path().join("began"), repo.dir.path().join("ended"));
    let script = format!("touch '{}'; sleep 1000; touch '{}'", began.display(), ended.display());
    write_program(&repo.root.join(".git/hooks/post-merge"), &script);
    let mut options = repo.options();
    options.hook_timeout = Duration::from_millis(300);
    let refinery = GitProject::open(&repo.root, options).unwrap().refinery();
    assert_eq!(refinery.publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
    assert!(began.exists() && !ended.exists());
    assert_eq!((repo.read("b.txt"), repo.status()), ("b\n".to_owned(), String::new()));
}

/// A filter that never ends: the branch has not moved, and that is what is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_hangs_before_the_move_ends_in_words() {
    let repo = Repo::new();
    repo.git(&["config", "filter.slow.smudge", "sleep 1000"]);
    repo.git(&["config", "filter.slow.clean", "cat"]);
    repo.write(".gitattributes", "b.txt filter=slow\n");
    repo.commit("a filter");
    let (base, candidate) = ready(&repo).await;
    let mut options = repo.options();
    options.hook_timeout = Duration::from_millis(50);
    let refinery = GitProject::open(&repo.root, options).unwrap().refinery();
    let blocked = refinery.publish(&main(), base, &candidate).await.unwrap();
    assert!(matches!(&blocked, Publish::Blocked { reason, .. } if reason.contains("hangs")), "{blocked:?}");
    assert_eq!(repo.head("main"), base);
}

/// A hook of the person may take its time: what only moves refs does not wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_landing_that_takes_long_holds_no_other_merge_up() {
    let repo = Repo::new();
    let (base, candidate) = ready(&repo).await;
    let pipe = repo.dir.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    write_program(&repo.root.join(".git/hooks/post-merge"), &format!("cat '{}'", pipe.display()));
    let refinery = repo.project().refinery();
    refinery.open(&main(), &integration()).await.unwrap();
    let landing = tokio::spawn({
        let refinery = refinery.clone();
        async move { refinery.publish(&main(), base, &candidate).await }
    });
    // It opens once the hook is there to read, and the hook ends when it is closed.
    let hook = tokio::task::spawn_blocking(move || fs::OpenOptions::new().write(true).open(pipe));
    let hook = hook.await.unwrap().unwrap();
    assert_eq!(refinery.publish(&integration(), base, &candidate).await.unwrap(), Publish::Published);
    assert!(!landing.is_finished(), "it waited for the landing");
    drop(hook);
    assert_eq!(landing.await.unwrap().unwrap(), Publish::Published);
}
