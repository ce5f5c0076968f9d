//! What a workspace differs in, looked at while its agent works.

use crate::support::*;
use enki_core::id::TaskId;
use enki_core::workspace::{Expect, WorkspaceProvider};
use enki_vcs_git::DiffAsk;
use std::fs;
use std::os::unix::fs::symlink;

fn ask(change: impl FnOnce(&mut DiffAsk)) -> DiffAsk {
    let mut ask = DiffAsk::default();
    change(&mut ask);
    ask
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_new_and_removed_files_differ_and_a_look_changes_nothing() {
    let repo = Repo::new();
    let (workspaces, spec, made) = fresh(&repo, "a").await;
    write(&made.path, "new.txt", "one\ntwo\n");
    write(&made.path, "a.txt", "other\n");
    write(&made.path, ".enki/artifacts/x.md", "not a change\n");
    write(&made.path, "target/cache.bin", "ignored");
    write(&made.path, "own/.git/HEAD", "ref: refs/heads/main\n");
    symlink("/etc/passwd", made.path.join("link")).unwrap();
    fs::remove_file(made.path.join("src/lib.rs")).unwrap();
    let diff = workspaces.diff(spec.task, ask(|_| {})).await.unwrap().unwrap();
    let paths: Vec<&str> = diff.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["a.txt", "link", "new.txt", "src/lib.rs"]);
    assert_eq!((diff.total, diff.files[2].lines), (4, Some((2, 0))));
    assert_eq!((diff.base, diff.patch.len(), diff.size), (repo.head("main").to_string(), 0, 0));

    let only = ask(|ask| (ask.files, ask.hunks, ask.patch) = (vec!["new.txt".into(), "*".into()], true, 1 << 16));
    let diff = workspaces.diff(spec.task, only).await.unwrap().unwrap();
    let patch = String::from_utf8(diff.patch).unwrap();
    assert!(patch.contains("+one\n+two\n") && patch.matches("diff --git").count() == 1, "{patch}");
    assert_eq!(diff.hunks, ["diff --git a/new.txt b/new.txt", "@@ -0,0 +1,2 @@"]);
    let link = ask(|ask| (ask.files, ask.patch) = (vec!["link".into()], 1 << 16));
    let diff = workspaces.diff(spec.task, link).await.unwrap().unwrap();
    assert!(String::from_utf8(diff.patch).unwrap().contains("+/etc/passwd\n"), "the link, and not what it points to");

    fs::remove_dir_all(made.path.join("own")).unwrap();
    fs::remove_file(made.path.join("link")).unwrap();
    let commit = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
    let shown = repo.git(&["diff", "--name-only", "main", &commit.to_string()]);
    assert_eq!(shown.lines().collect::<Vec<_>>(), ["a.txt", "new.txt", "src/lib.rs"]);
    let since = ask(|ask| ask.base = Some(commit));
    assert_eq!(workspaces.diff(spec.task, since).await.unwrap().unwrap().files, [], "nothing since that capture");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_of_100_mb_is_cut_and_its_size_is_told() {
    let repo = Repo::new();
    let (workspaces, spec, made) = fresh(&repo, "a").await;
    let long = "x".repeat(1 << 20);
    for n in 0..10 {
        write(&made.path, &format!("big{n}.txt"), &format!("{long}\n").repeat(10));
    }
    let wanted = ask(|ask| (ask.hunks, ask.patch) = (true, 65536));
    let diff = workspaces.diff(spec.task, wanted).await.unwrap().unwrap();
    assert_eq!((diff.patch.len(), diff.total, diff.lines), (65536, 10, (100, 0)));
    assert!(diff.size > 100 << 20, "{}", diff.size);
    assert_eq!(diff.hunks.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told() {
    let repo = Repo::new();
    let (workspaces, spec, _) = fresh(&repo, "a").await;
    let other: TaskId = "task-ffffffffffff".parse().unwrap();
    assert_eq!(workspaces.diff(other, ask(|_| {})).await.unwrap(), None);
    let unknown = ask(|ask| ask.base = Some("0123456789012345678901234567890123456789".parse().unwrap()));
    let error = workspaces.diff(spec.task, unknown).await.unwrap_err();
    assert!(format!("{error:?} {error}").contains("0123456789012345678901234567890123456789"), "{error:?}");
}
