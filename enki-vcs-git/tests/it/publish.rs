//! The target moves once, by compare-and-swap, and never under somebody's hands.

use crate::support::*;
use enki_core::id::CommitId;
use enki_core::refinery::{Candidate, Publish, Refinery, TargetState};
use enki_core::workspace::{Expect, Start, WorkspaceProvider};
use std::fs;
use std::time::{Duration, SystemTime};

/// A candidate on main's head.
async fn ready(repo: &Repo) -> (CommitId, Candidate) {
    let base = repo.head("main");
    let change = repo.change("a", base, &[("a.txt", "changed\n"), ("b.txt", "b\n")]).await;
    repo.refinery().import(&change).await.unwrap();
    (base, repo.candidate(base, &[change]).await)
}

/// A repository whose main is not checked out.
fn away() -> Repo {
    let repo = Repo::new();
    repo.git(&["checkout", "-q", "-b", "elsewhere"]);
    repo
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_not_checked_out_is_moved_with_anchor_and_reflog() {
    let repo = away();
    let (base, candidate) = ready(&repo).await;
    let refinery = repo.refinery();
    assert_eq!(refinery.publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
    assert_eq!(repo.head("main"), candidate.commit);
    assert_eq!(repo.head(&format!("refs/enki/anchor/{}", candidate.commit)), candidate.commit);
    let reflog = repo.read(".git/logs/refs/heads/main");
    assert!(reflog.ends_with(&format!("\tenki {}\n", candidate.commit)), "{reflog}");
    assert_eq!(repo.read("a.txt"), "one\ntwo\nthree\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_again_after_a_lost_answer_changes_nothing() {
    let repo = away();
    let (base, candidate) = ready(&repo).await;
    let refinery = repo.refinery();
    for _ in 0..2 {
        assert_eq!(refinery.publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
    }
    repo.git(&["checkout", "-q", "main"]);
    repo.write("person.txt", "on top\n");
    let now = repo.commit("on top");
    assert_eq!(refinery.publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
    assert_eq!(repo.head("main"), now);
}

/// Killed between step 7 and step 8.
#[tokio::test(flavor = "multi_thread")]
async fn an_anchor_that_is_there_already_is_success() {
    let repo = away();
    let (base, candidate) = ready(&repo).await;
    let refinery = repo.refinery();
    refinery.publish(&main(), base, &candidate).await.unwrap();
    repo.git(&["update-ref", "refs/heads/main", &base.to_string()]);
    assert_eq!(refinery.publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
    assert_eq!(repo.head("main"), candidate.commit);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_a_candidate_that_was_published_elsewhere_need_not_be_in_the_refinery() {
    let repo = away();
    let (base, candidate) = ready(&repo).await;
    let refinery = repo.refinery();
    refinery.publish(&integration_at(&repo, base), base, &candidate).await.unwrap();
    fs::remove_dir_all(repo.root.join(".enki/refinery.git")).unwrap();
    assert_eq!(refinery.publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
}

fn integration_at(repo: &Repo, base: CommitId) -> enki_core::branch::Branch {
    repo.git(&["branch", integration().as_str(), &base.to_string()]);
    integration()
}

/// Bad inputs 60 and 61.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_moved_or_is_gone_is_left_where_it_is() {
    let repo = Repo::new();
    let (base, candidate) = ready(&repo).await;
    repo.write("person.txt", "meanwhile\n");
    let now = repo.commit("meanwhile");
    let refinery = repo.refinery();
    assert_eq!(refinery.publish(&main(), base, &candidate).await.unwrap(), Publish::Moved { now: Some(now) });
    assert_eq!(repo.head("main"), now);
    repo.git(&["checkout", "-q", "--detach"]);
    repo.git(&["branch", "-D", "main"]);
    assert_eq!(refinery.publish(&main(), base, &candidate).await.unwrap(), Publish::Moved { now: None });
}

/// Bad input 7.
#[tokio::test(flavor = "multi_thread")]
async fn a_checked_out_target_with_changes_is_not_touched() {
    let repo = Repo::new();
    let (base, candidate) = ready(&repo).await;
    let refinery = repo.refinery();
    let command = format!("git merge --ff-only {}", candidate.commit);

    repo.write("src/lib.rs", "// mine\n");
    let blocked = refinery.publish(&main(), base, &candidate).await.unwrap();
    assert!(matches!(&blocked, Publish::Blocked { command: c, .. } if *c == command), "{blocked:?}");
    assert_eq!((repo.head("main"), repo.status()), (base, " M src/lib.rs".to_owned()));
    repo.git(&["checkout", "-q", "src/lib.rs"]);

    repo.write("b.txt", "not under version control, and in the way\n");
    let blocked = refinery.publish(&main(), base, &candidate).await.unwrap();
    assert!(matches!(&blocked, Publish::Blocked { reason, .. } if reason.contains("b.txt")), "{blocked:?}");
    assert_eq!((repo.head("main"), repo.status()), (base, "?? b.txt".to_owned()));
    assert_eq!(repo.read("b.txt"), "not under version control, and in the way\n");

    fs::remove_file(repo.root.join("b.txt")).unwrap();
    repo.git(&command.split(' ').skip(1).collect::<Vec<_>>());
    assert_eq!(refinery.publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clean_checkout_is_fast_forwarded_wherever_it_is() {
    let repo = away();
    let linked = repo.dir.path().canonicalize().unwrap().join("linked");
    repo.git(&["worktree", "add", "-q", &linked.display().to_string(), "main"]);
    fs::write(linked.join("untracked.txt"), "stays").unwrap();
    let (base, candidate) = ready(&repo).await;
    assert_eq!(repo.refinery().publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
    assert_eq!(fs::read_to_string(linked.join("a.txt")).unwrap(), "changed\n");
    assert_eq!(repo.git_in(&linked, &["status", "--porcelain"]), "?? untracked.txt");
    assert_eq!(repo.status(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_is_gone_from_the_disk_is_no_checkout() {
    let repo = away();
    let linked = repo.dir.path().canonicalize().unwrap().join("linked");
    repo.git(&["worktree", "add", "-q", &linked.display().to_string(), "main"]);
    fs::remove_dir_all(&linked).unwrap();
    let (base, candidate) = ready(&repo).await;
    assert_eq!(repo.refinery().publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_persons_filters_and_hooks_are_part_of_their_checkout() {
    let repo = Repo::new();
    repo.git(&["config", "filter.loud.smudge", "tr a-z A-Z"]);
    repo.git(&["config", "filter.loud.clean", "tr A-Z a-z"]);
    repo.write(".gitattributes", "b.txt filter=loud\n");
    repo.commit("a filter");
    let (base, candidate) = ready(&repo).await;
    assert_eq!(repo.refinery().publish(&main(), base, &candidate).await.unwrap(), Publish::Published);
    assert_eq!(repo.read("b.txt"), "B\n");
    assert_eq!(repo.git(&["show", "main:b.txt"]), "b");
}

/// Bad input 59, F6.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_stays_is_named_with_its_age_and_one_that_goes_is_waited_for() {
    let repo = away();
    let (base, candidate) = ready(&repo).await;
    let lock = repo.root.join(".git/refs/heads/main.lock");
    fs::write(&lock, "").unwrap();
    let hour_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::options().write(true).open(&lock).unwrap().set_modified(hour_ago).unwrap();
    let error = repo.refinery().publish(&main(), base, &candidate).await.unwrap_err();
    assert!(error.transient && error.reason.contains("refs/heads/main.lock has been there for "), "{error}");
    assert!(lock.exists() && repo.head("main") == base);

    let refinery = repo.refinery();
    let publishing = tokio::spawn(async move { refinery.publish(&main(), base, &candidate).await });
    while !repo.root.join(format!(".git/refs/enki/anchor/{}", candidate.commit)).exists() {
        tokio::task::yield_now().await;
    }
    fs::remove_file(&lock).unwrap();
    assert_eq!(publishing.await.unwrap().unwrap(), Publish::Published);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_somebody_holds_blocks_the_landing() {
    let repo = Repo::new();
    let (base, candidate) = ready(&repo).await;
    fs::write(repo.root.join(".git/index.lock"), "").unwrap();
    let blocked = repo.refinery().publish(&main(), base, &candidate).await.unwrap();
    assert!(matches!(&blocked, Publish::Blocked { reason, .. } if reason.contains("index.lock")), "{blocked:?}");
    assert_eq!(repo.head("main"), base);
}

/// F18.
#[tokio::test(flavor = "multi_thread")]
async fn inspection_tells_whether_the_target_was_there() {
    let repo = away();
    let (base, candidate) = ready(&repo).await;
    let refinery = repo.refinery();
    let commit = candidate.commit;
    let target = main();
    let look = || refinery.inspect(&target, Some(commit));
    let state = |head, contains, was_there| TargetState { head: Some(head), contains, was_there };
    assert_eq!(look().await.unwrap(), state(base, false, false));
    // Killed after the reflog line and before the rename: the line's new value proves nothing.
    let log = repo.root.join(".git/logs/refs/heads/main");
    let before = fs::read_to_string(&log).unwrap();
    fs::write(&log, format!("{before}{base} {commit} Enki <enki@localhost> 1700000000 +0000\tenki {commit}\n"))
        .unwrap();
    assert_eq!(look().await.unwrap(), state(base, false, false));
    fs::write(&log, before).unwrap();

    refinery.publish(&main(), base, &candidate).await.unwrap();
    assert_eq!(look().await.unwrap(), state(commit, true, false));
    repo.git(&["update-ref", "refs/heads/main", &base.to_string()]);
    assert_eq!(look().await.unwrap(), state(base, false, true));
    repo.git(&["update-ref", "-d", "refs/heads/main"]);
    assert_eq!(look().await.unwrap(), TargetState { head: None, contains: false, was_there: false });
    assert_eq!(refinery.inspect(&main(), None).await.unwrap().head, None);
}

/// Bad input 75.
#[tokio::test(flavor = "multi_thread")]
async fn a_gc_at_the_same_time_takes_nothing_away() {
    let repo = away();
    let base = repo.head("main");
    let refinery = repo.refinery();
    refinery.open(&main(), &integration()).await.unwrap();
    let root = repo.root.clone();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let repo = std::sync::Arc::new(repo);
    let cleaner = {
        let repo = std::sync::Arc::clone(&repo);
        std::thread::spawn(move || {
            let mut runs = 0;
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                repo.try_git_in(&root, &["prune", "--expire=now"]);
                repo.try_git_in(&root, &["-c", "gc.reflogExpireUnreachable=now", "gc", "-q", "--prune=now"]);
                runs += 1;
            }
            runs
        })
    };
    let mut head = base;
    for n in 0..4 {
        let change = repo.change(&format!("s{n}"), head, &[(&format!("f{n}.txt"), "x\n")]).await;
        refinery.import(&change).await.unwrap();
        let candidate = repo.candidate(head, &[change]).await;
        assert_eq!(refinery.publish(&integration(), head, &candidate).await.unwrap(), Publish::Published);
        head = candidate.commit;
    }
    stop.send(()).unwrap();
    assert!(cleaner.join().unwrap() > 0);
    // The last one may have begun before the last commit was kept.
    repo.project().look_again().unwrap();
    repo.git(&["fsck", "--strict"]);
    assert_eq!(repo.git(&["ls-tree", "--name-only", &head.to_string()]).lines().count(), 7);
}

/// Bad input 75, at the one moment that counts: the objects are in, and no ref names them yet.
#[tokio::test(flavor = "multi_thread")]
async fn objects_that_vanish_before_a_ref_names_them_are_brought_in_again() {
    let git = which_git();
    let git = git.display();
    for (step, clean) in [
        ("all", format!("{git} prune --expire=now")),
        ("one", "rm .git/objects/61/780798228d17af2d34fce4cfbdf35556832472".to_owned()),
    ] {
        let repo = away();
        let base = repo.head("main");
        let (seen, root) = (repo.dir.path().join("seen"), repo.root.display());
        let script = format!(
            "case \"$*\" in *unpack-objects*) {git} \"$@\" || exit; test -e {seen} || {{ touch {seen}; cd {root}; {clean}; }}; exit 0;; \
             esac\nexec {git} \"$@\"",
            seen = seen.display()
        );
        let workspaces = enki_vcs_git::GitProject::open(&repo.root, with_git(&repo, &script)).unwrap().workspaces();
        let spec = spec(step, 1, Start::Fresh { base });
        let made = workspaces.create(&spec).await.unwrap();
        write(&made.path, "b.txt", "b\n");
        let commit = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
        assert!(seen.exists());
        assert_eq!(repo.git(&["show", &format!("{commit}:b.txt")]), "b");
    }
}
