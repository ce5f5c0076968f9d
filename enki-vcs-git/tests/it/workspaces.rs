//! Workspaces are made, kept over attempts, moved aside and removed; nothing in them is lost.

use crate::support::*;
use enki_core::tier::Purpose;
use enki_core::workspace::{ArtifactRef, Capture, Expect, Start, WorkspaceErrorKind, WorkspaceProvider};
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_workspace_has_the_files_of_its_base_and_a_git_of_its_own() {
    let repo = Repo::new();
    repo.write("a.txt", "dirty\n");
    let (_, _, made) = fresh(&repo, "a").await;
    assert_eq!(made.path, repo.root.join(format!(".enki/copies/{}", task("a"))));
    assert_eq!(fs::read_to_string(made.path.join("a.txt")).unwrap(), "one\ntwo\nthree\n");
    assert_eq!(repo.git_in(&made.path, &["status", "--porcelain"]), "");
    assert_eq!(repo.git_in(&made.path, &["rev-parse", "--show-toplevel"]), made.path.display().to_string());
    repo.git_in(&made.path, &["config", "core.hooksPath", "/evil"]);
    assert!(!repo.git(&["config", "--list"]).contains("evil"));
    let mode = repo.root.join(".enki").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(repo.status(), " M a.txt");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_attempt_again_finds_its_workspace_as_it_left_it() {
    let repo = Repo::new();
    let (workspaces, spec, made) = fresh(&repo, "a").await;
    write(&made.path, "new.txt", "half done\n");
    assert_eq!(workspaces.create(&spec).await.unwrap(), made);
    assert_eq!(fs::read_to_string(made.path.join("new.txt")).unwrap(), "half done\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_gets_a_fresh_workspace_and_what_was_left_is_kept() {
    let repo = Repo::new();
    let (workspaces, first, made) = fresh(&repo, "a").await;
    write(&made.path, "left.txt", "not captured\n");
    let again = workspaces.create(&spec("a", 2, first.start)).await.unwrap();
    assert_eq!(again.path, made.path);
    assert!(!again.path.join("left.txt").exists());
    let aside = repo.root.join(format!(".enki/aside/{}-1", task("a")));
    assert_eq!(fs::read_to_string(aside.join("left.txt")).unwrap(), "not captured\n");
    let kept = repo.git(&["for-each-ref", "--format=%(objectname)", "refs/enki/kept"]);
    assert_eq!(repo.git(&["show", &format!("{kept}:left.txt")]), "not captured");
    assert_eq!(workspaces.list().await.unwrap().len(), 2);
    assert!(workspaces.list().await.unwrap().iter().all(|info| info.task == Some(task("a"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fix_goes_on_from_what_was_captured_and_keeps_what_was_not() {
    let repo = Repo::new();
    let base = repo.head("main");
    let (workspaces, first, made) = fresh(&repo, "a").await;
    write(&made.path, "new.txt", "one\n");
    write(&made.path, "target/cache.bin", "cache");
    let head = committed(workspaces.capture(&capture(&first, Expect::Change)).await.unwrap());
    write(&made.path, "new.txt", "after the capture\n");
    write(&made.path, "stray.txt", "stray\n");
    let fix = spec("a", 2, Start::Continue { base, head });
    let made = workspaces.create(&fix).await.unwrap();
    assert_eq!(fs::read_to_string(made.path.join("new.txt")).unwrap(), "one\n");
    assert!(!made.path.join("stray.txt").exists());
    assert!(made.path.join("target/cache.bin").exists());
    assert_eq!(repo.head("main"), base);
    assert_eq!(repo.git_in(&made.path, &["rev-parse", "HEAD"]), head.to_string());
    assert_eq!(repo.git_in(&made.path, &["status", "--porcelain"]), "");
    let kept = repo.git(&["for-each-ref", "--format=%(objectname)", "refs/enki/kept"]);
    assert!(kept.lines().any(|id| repo.git(&["ls-tree", "--name-only", id]).contains("stray.txt")));

    write(&made.path, "new.txt", "two\n");
    let second = committed(workspaces.capture(&capture(&fix, Expect::Change)).await.unwrap());
    assert_eq!(repo.head(&format!("{second}^")), head);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_that_is_gone_is_made_again_from_what_was_captured() {
    let repo = Repo::new();
    let base = repo.head("main");
    let (workspaces, first, made) = fresh(&repo, "a").await;
    write(&made.path, "new.txt", "one\n");
    let head = committed(workspaces.capture(&capture(&first, Expect::Change)).await.unwrap());
    repo.git(&["clean", "-fdxq"]);
    let made = repo.workspaces().create(&spec("a", 2, Start::Continue { base, head })).await.unwrap();
    assert_eq!(fs::read_to_string(made.path.join("new.txt")).unwrap(), "one\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn artifacts_of_needed_steps_are_placed_read_only() {
    let repo = Repo::new();
    let artifact = ArtifactRef { execution: EXECUTION, step: "look".parse().unwrap() };
    let mut spec = spec("a", 1, Start::Fresh { base: repo.head("main") });
    spec.artifacts.push(artifact.clone());
    let error = repo.workspaces().create(&spec).await.unwrap_err();
    assert!(error.reason.contains(&artifact.path()), "{error}");
    repo.write(&artifact.path(), "# Report\n");
    let made = repo.workspaces().create(&spec).await.unwrap();
    let placed = made.path.join(artifact.path());
    assert_eq!(fs::read_to_string(&placed).unwrap(), "# Report\n");
    assert_eq!(placed.metadata().unwrap().permissions().mode() & 0o222, 0);
    assert_eq!(repo.git_in(&made.path, &["status", "--porcelain"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_repair_of_a_document_may_write_it_and_its_review_may_not() {
    let repo = Repo::new();
    let own = ArtifactRef { execution: EXECUTION, step: "a".parse().unwrap() };
    repo.write(&own.path(), "# Report\n");
    let base = repo.head("main");
    for (attempt, purpose, mode) in [(1, Purpose::Review, 0), (2, Purpose::Fix, 0o200), (3, Purpose::Review, 0)] {
        let mut spec = spec("a", attempt, Start::Fresh { base });
        spec.purpose = purpose;
        spec.artifacts.push(own.clone());
        let made = repo.workspaces().create(&spec).await.unwrap();
        let placed = made.path.join(own.path());
        assert_eq!(placed.metadata().unwrap().permissions().mode() & 0o222, mode, "{purpose}");
        if purpose == Purpose::Fix {
            fs::write(&placed, "# A better report\n").unwrap();
            let captured = repo.workspaces().capture(&capture(&spec, Expect::Artifact)).await.unwrap();
            assert_eq!(captured, Capture::Artifact);
        }
    }
    assert_eq!(fs::read_to_string(repo.root.join(own.path())).unwrap(), "# A better report\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_is_on_no_branch_is_not_removed() {
    let repo = Repo::new();
    let (workspaces, spec, made) = fresh(&repo, "a").await;
    write(&made.path, "new.txt", "new\n");
    let error = workspaces.remove(task("a")).await.unwrap_err();
    assert_eq!(error.kind, WorkspaceErrorKind::Unmerged);
    let commit = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
    let error = workspaces.remove(task("a")).await.unwrap_err();
    assert_eq!(error.kind, WorkspaceErrorKind::Unmerged);
    assert!(error.reason.contains(&commit.to_string()) && made.path.exists(), "{error}");
    // Squashed by hand: the branch would not change by it.
    repo.write("new.txt", "new\n");
    repo.commit("the same");
    workspaces.remove(task("a")).await.unwrap();
    assert!(!made.path.exists());
    assert!(repo.is_kept(commit));
    workspaces.remove(task("a")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_in_which_nothing_happened_is_removed_with_what_was_kept_aside() {
    let repo = Repo::new();
    let (workspaces, first, _) = fresh(&repo, "a").await;
    workspaces.create(&spec("a", 2, first.start)).await.unwrap();
    assert_eq!(workspaces.list().await.unwrap().len(), 2);
    workspaces.remove(task("a")).await.unwrap();
    assert_eq!(workspaces.list().await.unwrap(), []);
    assert_eq!(repo.git(&["for-each-ref", "refs/enki"]), "");
}

/// Bad input 88.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_without_rights_can_be_taken_over() {
    let repo = Repo::new();
    let (workspaces, first, made) = fresh(&repo, "a").await;
    fs::set_permissions(&made.path, fs::Permissions::from_mode(0o000)).unwrap();
    let again = workspaces.create(&spec("a", 2, first.start)).await.unwrap();
    assert!(again.path.join("a.txt").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_does_not_exist_is_an_error_that_names_it() {
    let repo = Repo::new();
    let base = "1".repeat(40).parse().unwrap();
    let error = repo.workspaces().create(&spec("a", 1, Start::Fresh { base })).await.unwrap_err();
    assert_eq!(error.kind, WorkspaceErrorKind::Lost);
    assert!(error.reason.contains(&"1".repeat(40)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_workspaces_are_made_at_once() {
    let repo = Repo::new();
    let workspaces = repo.workspaces();
    let base = repo.head("main");
    let jobs: Vec<_> = (0..16)
        .map(|n| {
            let workspaces = workspaces.clone();
            tokio::spawn(async move {
                let spec = spec(&format!("s{n}"), 1, Start::Fresh { base });
                let made = workspaces.create(&spec).await.unwrap();
                write(&made.path, "n.txt", &n.to_string());
                committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap())
            })
        })
        .collect();
    for job in jobs {
        assert!(repo.is_kept(job.await.unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_after_a_refusal_sees_exactly_what_was_captured() {
    let repo = Repo::new();
    let base = repo.head("main");
    let (workspaces, first, made) = fresh(&repo, "a").await;
    std::os::unix::fs::symlink("/etc", made.path.join("link")).unwrap();
    refused(workspaces.capture(&capture(&first, Expect::Change)).await.unwrap());
    let mut review = spec("a", 2, Start::Continue { base, head: base });
    review.purpose = Purpose::Review;
    let made = workspaces.create(&review).await.unwrap();
    assert!(!made.path.join("link").is_symlink());
    assert_eq!(repo.git_in(&made.path, &["status", "--porcelain"]), "");
}

/// Killed while the files were being written: nobody worked in there yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_was_interrupted_is_made_again() {
    let repo = Repo::new();
    let (workspaces, first, made) = fresh(&repo, "a").await;
    let capture_dir = repo.root.join(format!(".enki/capture/{}.git", task("a")));
    let state = capture_dir.join("enki-state.json");
    let text = fs::read_to_string(&state).unwrap();
    fs::write(&state, text.replace("\"ready\": true", "\"ready\": false")).unwrap();
    fs::write(made.path.join("a.txt"), "one\n").unwrap();
    fs::write(capture_dir.join("index.lock"), "").unwrap();
    assert_eq!(workspaces.create(&first).await.unwrap(), made);
    assert_eq!(fs::read_to_string(made.path.join("a.txt")).unwrap(), "one\ntwo\nthree\n");
    assert_eq!(workspaces.list().await.unwrap().len(), 1);

    // And without a state at all: whatever is there is kept.
    fs::write(&state, "").unwrap();
    fs::write(made.path.join("a.txt"), "whose?\n").unwrap();
    workspaces.create(&first).await.unwrap();
    assert_eq!(fs::read_to_string(made.path.join("a.txt")).unwrap(), "one\ntwo\nthree\n");
    let aside = repo.root.join(format!(".enki/aside/{}-1/a.txt", task("a")));
    assert_eq!(fs::read_to_string(aside).unwrap(), "whose?\n");
}

/// Bad input 66.
#[tokio::test(flavor = "multi_thread")]
async fn submodules_of_the_base_are_left_alone() {
    let repo = Repo::new();
    let id = repo.head("main");
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{id},sub")]);
    repo.git(&["commit", "-q", "-m", "a submodule"]);
    let (workspaces, first, made) = fresh(&repo, "a").await;
    write(&made.path, "a.txt", "changed\n");
    let commit = committed(workspaces.capture(&capture(&first, Expect::Change)).await.unwrap());
    assert_eq!(repo.git(&["diff", "--name-only", "main", &commit.to_string()]), "a.txt");
}

#[tokio::test(flavor = "multi_thread")]
async fn workspaces_may_be_in_another_folder() {
    let repo = Repo::new();
    let project = repo.try_open().unwrap();
    let folder = repo.dir.path().canonicalize().unwrap().join("else/where");
    fs::create_dir_all(folder.join("not-ours")).unwrap();
    for wish in [folder.clone(), "../else/where".into()] {
        assert_eq!(project.workspaces_in(&wish).unwrap().root(), folder);
    }
    let workspaces = project.workspaces_in(&folder).unwrap();
    let first = spec("a", 1, Start::Fresh { base: repo.head("main") });
    let made = workspaces.create(&first).await.unwrap();
    assert_eq!(made.path, folder.join(task("a").to_string()));
    write(&made.path, "new.txt", "new\n");
    committed(workspaces.capture(&capture(&first, Expect::Change)).await.unwrap());
    write(&made.path, "left.txt", "left\n");
    assert_eq!(workspaces.create(&spec("a", 2, first.start)).await.unwrap().path, made.path);
    let listed: Vec<_> = workspaces.list().await.unwrap().into_iter().map(|one| one.path).collect();
    let aside = repo.root.join(format!(".enki/aside/{}-1", task("a")));
    assert_eq!(listed, [made.path.clone(), aside.clone()], "a folder of others is not listed");
    assert_eq!(fs::read_to_string(aside.join("left.txt")).unwrap(), "left\n");
    assert_eq!(repo.status(), "");
    assert!(!repo.root.join(".enki/copies").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn workspaces_are_never_among_the_files_of_the_person() {
    let repo = Repo::new();
    let project = repo.try_open().unwrap();
    std::os::unix::fs::symlink(&repo.root, repo.dir.path().join("link")).unwrap();
    for (wish, word) in [
        ("", "the repository is in it"),
        (".", "the repository is in it"),
        ("..", "the repository is in it"),
        ("/", "the repository is in it"),
        ("src", "among the files"),
        ("build/copies", "among the files"),
        ("../link/build", "among the files"),
        (".enki/../build", "`..`"),
        (".git/copies", "among the files"),
        (".enki", "something else"),
        (".enki/capture/x", "something else"),
        ("a.txt", "not a folder"),
        ("a.txt/x", "not a folder"),
        ("/proc/self/x", "another file system"),
    ] {
        let error = project.workspaces_in(wish.as_ref()).unwrap_err().to_string();
        assert!(error.contains(word), "{wish}: {error}");
    }
    assert_eq!(repo.status(), "");
    assert!(!repo.root.join(".enki").exists() && !repo.root.join("build").exists());
}

/// The state file says that the workspace was made on an earlier start of the machine.
fn lose_power(repo: &Repo) {
    let file = repo.root.join(format!(".enki/capture/{}.git/enki-state.json", task("a")));
    let mut state: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    state["boot"] = "an earlier one".into();
    fs::write(&file, state.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_outlived_their_machine_are_kept_and_never_taken_for_work() {
    if !std::path::Path::new("/proc/sys/kernel/random/boot_id").exists() {
        println!("skipped: a start of this machine has no name");
        return;
    }
    let repo = Repo::new();
    let base = repo.head("main");
    let (workspaces, first, made) = fresh(&repo, "a").await;
    write(&made.path, "done.txt", "captured\n");
    let head = committed(workspaces.capture(&capture(&first, Expect::Change)).await.unwrap());
    let fix = spec("a", 2, Start::Continue { base, head });
    workspaces.create(&fix).await.unwrap();
    write(&made.path, "torn.txt", "\0\0\0\0");
    lose_power(&repo);
    let error = workspaces.capture(&capture(&fix, Expect::Change)).await.unwrap_err();
    assert!(error.to_string().contains("started anew"), "{error}");
    let next = spec("a", 3, Start::Continue { base, head });
    let again = workspaces.create(&next).await.unwrap();
    assert_eq!(fs::read_to_string(again.path.join("done.txt")).unwrap(), "captured\n");
    assert!(!again.path.join("torn.txt").exists());
    let kept = repo.git(&["for-each-ref", "--format=%(objectname)", "refs/enki/kept"]);
    assert!(kept.lines().any(|id| repo.git(&["ls-tree", "--name-only", id]).contains("torn.txt")), "{kept}");
    // It goes on from there as ever.
    write(&again.path, "more.txt", "m\n");
    committed(workspaces.capture(&capture(&next, Expect::Change)).await.unwrap());
}
