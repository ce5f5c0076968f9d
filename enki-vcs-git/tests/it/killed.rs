//! Gits of ours that are killed while they move a ref (F6), and the locks they leave (bad input 59).

use crate::support::*;
use enki_core::id::CommitId;
use enki_core::refinery::{Candidate, Publish, Refinery};
use enki_core::workspace::WorkspaceProvider;
use enki_vcs_git::{GitProject, GitRefinery};
use std::fs;
use std::path::PathBuf;

/// A repository whose main is not checked out, and a candidate on it that is anchored already.
async fn anchored() -> (Repo, CommitId, Candidate) {
    anchored_in(Repo::new()).await
}

async fn anchored_in(repo: Repo) -> (Repo, CommitId, Candidate) {
    repo.git(&["checkout", "-q", "-b", "elsewhere"]);
    let base = repo.head("main");
    let change = repo.change("a", base, &[("a.txt", "changed\n"), ("b.txt", "b\n")]).await;
    repo.refinery().import(&change).await.unwrap();
    let candidate = repo.candidate(base, &[change]).await;
    repo.refinery().publish(&main(), base, &candidate).await.unwrap();
    repo.git(&["update-ref", "refs/heads/main", &base.to_string()]);
    (repo, base, candidate)
}

/// A refinery whose git runs that line of shell before it becomes an `update-ref` of main.
fn with_killer(repo: &Repo, line: &str) -> GitRefinery {
    let git = which_git();
    let script = format!("case $* in *refs/heads/main*) {line} ;; esac\nexec {} \"$@\"", git.display());
    GitProject::open(&repo.root, with_git(repo, &script)).unwrap().refinery()
}

#[expect(clippy::disallowed_methods, reason = "a test that can do more at night")]
fn thorough() -> bool {
    std::env::var_os("ENKI_CRASH_FULL").is_some()
}

fn locks(repo: &Repo) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![repo.root.join(".git")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "lock") {
                found.push(path);
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_git_killed_at_any_moment_of_moving_a_ref_is_made_good_by_the_next() {
    let (repo, base, candidate) = anchored().await;
    let (mut killed, mut left) = (0, 0);
    let runs = if thorough() { 60 } else { 20 };
    for run in 0..runs {
        let at = format!("(sleep 0.00{}; kill -9 $$) </dev/null >/dev/null 2>&1 &", run % 8);
        let first = with_killer(&repo, &at).publish(&main(), base, &candidate).await;
        killed += usize::from(first.is_err());
        left += locks(&repo).len();
        let head = repo.head("main");
        assert!(head == base || head == candidate.commit, "{head}");
        assert_eq!(repo.git(&["fsck", "--strict", "--no-dangling"]), "");

        let again = repo.refinery().publish(&main(), base, &candidate).await;
        assert_eq!(again.expect("the next publish works"), Publish::Published);
        assert_eq!((repo.head("main"), locks(&repo)), (candidate.commit, vec![]));
        repo.git(&["update-ref", "refs/heads/main", &base.to_string()]);
    }
    println!("{runs} runs: {killed} killed in flight, {left} locks left behind and removed");
    assert!(killed > 0, "the kills were too late");
}

/// The lock of a git that was stopped in the middle, so that its lock is there for certain.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_a_dead_git_of_ours_left_is_removed_whatever_it_holds() {
    let (repo, base, candidate) = anchored().await;
    for content in ["", &format!("{}\n", candidate.commit)] {
        let make = format!("printf '{content}' >{}/.git/refs/heads/main.lock; kill -9 $$", repo.root.display());
        with_killer(&repo, &make).publish(&main(), base, &candidate).await.unwrap_err();
        assert_eq!((locks(&repo).len(), repo.head("main")), (1, base));
        assert_eq!(repo.refinery().publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
        repo.git(&["update-ref", "refs/heads/main", &base.to_string()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_git_that_was_killed_at_a_deletion_left_is_removed() {
    let repo = Repo::new();
    let (workspaces, spec, _) = fresh(&repo, "a").await;
    let git = repo.root.join(".git");
    // One that is a file of its own goes without git.
    repo.git(&["pack-refs", "--all"]);
    let make = format!("touch {0}/packed-refs.lock {0}/packed-refs.new; kill -9 $$", git.display());
    let script = format!("case $* in *' -d '*) {make} ;; esac\nexec {} \"$@\"", which_git().display());
    let killer = GitProject::open(&repo.root, with_git(&repo, &script)).unwrap().workspaces();
    killer.remove(spec.task).await.unwrap_err();
    assert_eq!(locks(&repo).len(), 1);
    workspaces.remove(spec.task).await.unwrap();
    assert_eq!(repo.git(&["for-each-ref", "refs/enki/base"]), "");
    assert!(locks(&repo).is_empty() && !git.join("packed-refs.new").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_may_be_anothers_stays() {
    let (repo, base, candidate) = anchored().await;
    let lock = repo.root.join(".git/refs/heads/main.lock");
    let make = |content: &str| format!("printf '{content}' >{}; kill -9 $$", lock.display());

    // It holds what ours never wrote.
    with_killer(&repo, &make(&base.to_string())).publish(&main(), base, &candidate).await.unwrap_err();
    let error = repo.refinery().publish(&main(), base, &candidate).await.unwrap_err();
    assert!(error.transient && error.reason.contains("main.lock has been there for "), "{error}");

    // Somebody has it open.
    with_killer(&repo, &make("")).publish(&main(), base, &candidate).await.unwrap_err();
    let open = fs::File::open(&lock).unwrap();
    let error = repo.refinery().publish(&main(), base, &candidate).await.unwrap_err();
    assert!(error.reason.contains("main.lock has been there for "), "{error}");
    drop(open);

    // No git of ours was killed at it.
    let error = repo.refinery().publish(&main(), base, &candidate).await.unwrap_err();
    assert!(error.reason.contains("main.lock has been there for "), "{error}");
    assert!(lock.exists() && repo.head("main") == base);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_note_of_a_move_never_leads_out_of_the_refs() {
    let (repo, base, candidate) = anchored().await;
    for name in ["../.git/index", "HEAD", "refs/../index", "/refs/heads/x"] {
        let lock = repo.root.join(".git/index.lock");
        fs::write(&lock, "").unwrap();
        fs::write(repo.root.join(".enki/moving"), format!("{name}\n\n")).unwrap();
        assert_eq!(repo.refinery().publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
        assert!(lock.exists(), "{name}");
        fs::remove_file(&lock).unwrap();
        repo.git(&["update-ref", "refs/heads/main", &base.to_string()]);
    }
}

/// Where all refs have one lock.
fn tables(repo: &Repo) -> PathBuf {
    repo.root.join(".git/reftable")
}

/// As [`anchored`], with refs in tables.
async fn anchored_in_tables() -> Option<(Repo, CommitId, Candidate)> {
    if !makes("--ref-format=reftable") {
        return None;
    }
    Some(anchored_in(Repo::with("p", &["--ref-format=reftable"])).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_locks_of_tables_that_a_dead_git_of_ours_left_are_removed() {
    let Some((repo, base, candidate)) = anchored_in_tables().await else { return };
    let folder = tables(&repo);
    let list = fs::read_to_string(folder.join("tables.list")).unwrap();
    let first = list.lines().next().unwrap();
    for content in ["", &list, "\\0\\0\\0"] {
        let content = content.replace('\n', "\\n");
        let make =
            format!("cd {0} && printf '{content}' >tables.list.lock; >{first}.lock; kill -9 $$", folder.display());
        with_killer(&repo, &make).publish(&main(), base, &candidate).await.unwrap_err();
        assert_eq!((locks(&repo).len(), repo.head("main")), (2, base), "{content}");
        assert_eq!(repo.refinery().publish(&main(), base, &candidate).await.unwrap(), Publish::Published, "{content}");
        assert_eq!((repo.head("main"), locks(&repo)), (candidate.commit, vec![]), "{content}");
        repo.git(&["update-ref", "refs/heads/main", &base.to_string()]);
        repo.git(&["pack-refs", "--all"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_locks_of_tables_that_may_be_anothers_stay() {
    let Some((repo, base, candidate)) = anchored_in_tables().await else { return };
    let lock = tables(&repo).join("tables.list.lock");
    let make = |content: &str| format!("printf '{content}' >{}; kill -9 $$", lock.display());
    let stays = async |what: &str| {
        let error = repo.refinery().publish(&main(), base, &candidate).await.unwrap_err();
        assert!(error.transient && error.reason.contains("tables.list.lock has been there for "), "{what}: {error}");
        assert!(lock.exists() && repo.head("main") == base, "{what}");
    };
    with_killer(&repo, &make("what no git writes")).publish(&main(), base, &candidate).await.unwrap_err();
    stays("it holds something else").await;

    with_killer(&repo, &make("")).publish(&main(), base, &candidate).await.unwrap_err();
    let open = fs::File::open(&lock).unwrap();
    stays("somebody has it open").await;
    drop(open);
    stays("no git of ours was killed at it").await;
    fs::remove_file(&lock).unwrap();

    // A git that joins tables has the list open, and not their locks.
    let joining = tables(&repo).join("0x000000000001-0x000000000001-00000000.ref.lock");
    with_killer(&repo, &format!("touch {}; kill -9 $$", joining.display()))
        .publish(&main(), base, &candidate)
        .await
        .unwrap_err();
    let open = fs::File::open(tables(&repo).join("tables.list")).unwrap();
    assert_eq!(repo.refinery().publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
    assert!(joining.exists(), "somebody has the list open");
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_another_git_has_locked_are_waited_for() {
    let Some((repo, base, candidate)) = anchored_in_tables().await else { return };
    let (lock, met) = (tables(&repo).join("tables.list.lock"), repo.dir.path().join("met"));
    let (lock, met) = (lock.display(), met.display());
    // The first try meets the lock, the second does not.
    let line = format!("if [ -e {met} ]; then rm -f {lock}; else touch {met} {lock}; fi");
    let published = with_killer(&repo, &line).publish(&main(), base, &candidate).await;
    assert_eq!(published.unwrap(), Publish::Published);
    assert_eq!((repo.head("main"), locks(&repo)), (candidate.commit, vec![]));
}
