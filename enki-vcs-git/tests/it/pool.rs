//! Workspaces prepared ahead: handed out, refreshed, used again, and never trusted halfway.

use crate::support::*;
use enki_core::id::CommitId;
use enki_core::workspace::{Capture, Expect, Start, WorkspaceErrorKind, WorkspaceProvider};
use enki_vcs_git::{GitOptions, GitWorkspaces};
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

fn entry(repo: &Repo, n: u32) -> PathBuf {
    repo.root.join(format!(".enki/pool/{n}"))
}

fn inode(path: impl AsRef<Path>) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

fn with(repo: &Repo, change: impl FnOnce(&mut GitOptions)) -> GitWorkspaces {
    repo.project().with_options(change).workspaces()
}

fn fresh_at(step: &str, base: CommitId) -> enki_core::workspace::WorkspaceSpec {
    spec(step, 1, Start::Fresh { base })
}

/// Numbers of the entries that are ready.
fn ready(repo: &Repo) -> Vec<u32> {
    (1..=8).filter(|n| entry(repo, *n).join("ready.json").exists()).collect()
}

/// Every path below a folder but those of `.git`.
fn paths(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for one in fs::read_dir(&at).unwrap().map(Result::unwrap) {
            if one.file_name() != ".git" {
                found.push(one.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
                if one.file_type().unwrap().is_dir() {
                    open.push(one.path());
                }
            }
        }
    }
    found.sort();
    found
}

const FILES: [&str; 4] = [".gitignore", "a.txt", "src", "src/lib.rs"];

/// Puts a workspace back into the pool as it is, whatever was done in it.
fn put_back(repo: &Repo, step: &str, n: u32) {
    fs::create_dir_all(entry(repo, n)).unwrap();
    let capture = repo.root.join(format!(".enki/capture/{}.git", task(step)));
    fs::rename(capture, entry(repo, n).join("git")).unwrap();
    fs::rename(repo.root.join(format!(".enki/copies/{}", task(step))), entry(repo, n).join("work")).unwrap();
}

/// Prepares one workspace, and sees to it that nothing more happens behind our back.
async fn prepare_one(repo: &Repo, base: CommitId) -> GitWorkspaces {
    let workspaces = with(repo, |options| options.pool = 1);
    workspaces.prepare(base, 1).await;
    workspaces.prepare(base, 0).await;
    assert_eq!(ready(repo), [1]);
    workspaces
}

/// As if its notes had been made long after its files: else nobody vouches for files of the last 50 ms.
fn age(repo: &Repo, n: u32) {
    let notes = File::open(entry(repo, n).join("git/enki-manifest")).unwrap();
    notes.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(4_000_000_000)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_workspace_is_handed_out_by_renaming_it() {
    let repo = Repo::new();
    let base = repo.head("main");
    let workspaces = repo.workspaces();
    workspaces.prepare(base, 2).await;
    assert_eq!(ready(&repo), [1, 2]);
    let inodes: Vec<u64> = (1..=2).map(|n| inode(entry(&repo, n).join("work"))).collect();
    let spec = fresh_at("a", base);
    let made = workspaces.create(&spec).await.unwrap();
    assert!(inodes.contains(&inode(&made.path)), "it is one of the prepared ones");
    assert_eq!(made.path, repo.root.join(format!(".enki/copies/{}", task("a"))));
    assert_eq!(paths(&made.path), FILES);
    assert_eq!(repo.git_in(&made.path, &["status", "--porcelain"]), "");
    assert_eq!(repo.git_in(&made.path, &["rev-parse", "HEAD"]), base.to_string());
    assert_eq!(workspaces.create(&spec).await.unwrap(), made, "the same attempt again gets the same");
    assert_eq!(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap(), Capture::NoChange);
    write(&made.path, "a.txt", "changed\n");
    let commit = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
    assert!(repo.is_kept(commit));
    assert_eq!(repo.status(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_handed_out_is_prepared_again_in_the_background() {
    let repo = Repo::new();
    let base = repo.head("main");
    let workspaces = repo.workspaces();
    workspaces.prepare(base, 1).await;
    workspaces.create(&fresh_at("a", base)).await.unwrap();
    // The same hint again is a way to wait for the end of what goes on.
    workspaces.prepare(base, 1).await;
    assert_eq!(ready(&repo).len(), 1);
    workspaces.create(&fresh_at("b", base)).await.unwrap();
    assert_eq!(paths(&repo.root.join(format!(".enki/copies/{}", task("b")))), FILES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_workspace_is_brought_to_a_new_base_by_the_difference_alone() {
    let repo = Repo::new();
    repo.write("gone.txt", "x\n");
    let first = repo.commit("second");
    let workspaces = repo.workspaces();
    workspaces.prepare(first, 1).await;
    let work = entry(&repo, 1).join("work");
    let before = (inode(&work), inode(work.join("a.txt")));
    fs::remove_file(repo.root.join("gone.txt")).unwrap();
    repo.write("src/lib.rs", "// changed\n");
    let second = repo.commit("third");
    workspaces.prepare(second, 1).await;
    assert_eq!(before, (inode(&work), inode(work.join("a.txt"))));
    assert_eq!(paths(&work), FILES);
    assert_eq!(fs::read_to_string(work.join("src/lib.rs")).unwrap(), "// changed\n");
    // One more, without a hint: it is brought there as it is handed out.
    repo.write("new.txt", "new\n");
    let third = repo.commit("fourth");
    let made = workspaces.create(&fresh_at("a", third)).await.unwrap();
    assert_eq!(before, (inode(&made.path), inode(made.path.join("a.txt"))));
    assert_eq!(fs::read_to_string(made.path.join("new.txt")).unwrap(), "new\n");
    assert_eq!(repo.git_in(&made.path, &["status", "--porcelain"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_workspace_is_used_again() {
    let repo = Repo::new();
    let base = repo.head("main");
    let workspaces = prepare_one(&repo, base).await;
    age(&repo, 1);
    let spec = fresh_at("a", base);
    let made = workspaces.create(&spec).await.unwrap();
    let before = (inode(&made.path), inode(made.path.join("a.txt")), inode(made.path.join("src/lib.rs")));
    write(&made.path, "src/lib.rs", "// mine\n");
    write(&made.path, "target/big", "cache\n");
    let commit = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
    repo.git(&["merge", "-q", "--ff-only", &commit.to_string()]);
    workspaces.remove(task("a")).await.unwrap();
    assert!(!made.path.exists());
    workspaces.prepare(commit, 1).await;
    let work = entry(&repo, 1).join("work");
    assert_eq!(before.0, inode(&work), "the folder is the same");
    assert_eq!(before.1, inode(work.join("a.txt")), "an untouched file stays");
    assert_ne!(before.2, inode(work.join("src/lib.rs")), "a touched one is written anew, although it would be right");
    assert_eq!(paths(&work), FILES);
    assert_eq!(fs::read_to_string(work.join("src/lib.rs")).unwrap(), "// mine\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooled_workspace_shows_nothing_of_its_last_user() {
    let repo = Repo::new();
    for n in 0..9 {
        repo.write(&format!("d{n}/f.txt"), "one\n");
    }
    let base = repo.commit("second");
    let outside = repo.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("f.txt"), "outside\n").unwrap();
    let workspaces = prepare_one(&repo, base).await;
    let expected = paths(&entry(&repo, 1).join("work"));
    age(&repo, 1);
    let work = workspaces.create(&fresh_at("a", base)).await.unwrap().path;
    // The same size and the same time of modification.
    let time = fs::metadata(work.join("d0/f.txt")).unwrap().modified().unwrap();
    let mut file = File::options().write(true).open(work.join("d0/f.txt")).unwrap();
    std::io::Write::write_all(&mut file, b"two\n").unwrap();
    file.set_modified(time).unwrap();
    drop(file);
    fs::set_permissions(work.join("d1/f.txt"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::remove_file(work.join("d2/f.txt")).unwrap();
    symlink(outside.join("f.txt"), work.join("d2/f.txt")).unwrap();
    fs::remove_dir_all(work.join("d3")).unwrap();
    symlink(&outside, work.join("d3")).unwrap();
    fs::remove_file(work.join("d4/f.txt")).unwrap();
    fs::create_dir_all(work.join("d4/f.txt/deeper")).unwrap();
    fs::hard_link(work.join("d5/f.txt"), outside.join("same")).unwrap();
    write(&work, "d6/untracked", "x");
    write(&work, "d6/.gitignore", "*\n");
    write(&work, "target/debug/cache", "x");
    repo.git_in(&work, &["init", "-q", "nested"]);
    write(&work, "nested/.git/hooks/post-checkout", "x");
    repo.git_in(&work, &["config", "core.fsmonitor", "touch /tmp/never"]);
    write(&work, ".enki/artifacts/x", "x");
    fs::create_dir(work.join("empty")).unwrap();
    repo.git_in(&work, &["config", "--file", work.join("d7/.git").to_str().unwrap(), "a.b", "c"]);
    fs::set_permissions(work.join("d8"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(work.join("src"), fs::Permissions::from_mode(0o1777)).unwrap();
    put_back(&repo, "a", 1);
    write(&entry(&repo, 1).join("git"), "refs/heads/left", "0");
    workspaces.prepare(base, 1).await;
    assert_eq!(ready(&repo), [1]);
    let work = entry(&repo, 1).join("work");
    assert_eq!(paths(&work), expected);
    for n in 0..9 {
        let file = work.join(format!("d{n}/f.txt"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "one\n", "d{n}");
        let (meta, folder) = (fs::symlink_metadata(&file).unwrap(), file.parent().unwrap().metadata().unwrap());
        assert!(meta.is_file() && meta.nlink() == 1 && meta.mode() & 0o7111 == 0, "d{n}: {meta:?}");
        assert_eq!(folder.mode() & 0o7000, 0, "d{n}");
        assert_eq!(folder.mode() & 0o700, 0o700, "d{n}");
    }
    assert_eq!(work.join("src").metadata().unwrap().mode() & 0o7000, 0);
    assert_eq!(fs::read_to_string(outside.join("f.txt")).unwrap(), "outside\n");
    assert!(!work.join(".git").exists() && !entry(&repo, 1).join("git/refs/heads/left").exists());
    let made = workspaces.create(&fresh_at("b", base)).await.unwrap();
    assert_eq!(repo.git_in(&made.path, &["status", "--porcelain", "--ignored"]), "");
    let spec = fresh_at("b", base);
    assert_eq!(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap(), Capture::NoChange);
}

/// Files that somebody makes in such a folder inherit what it was given.
#[tokio::test(flavor = "multi_thread")]
#[cfg(target_os = "linux")]
async fn a_folder_with_attributes_or_another_owner_is_made_anew() {
    type Hurt = fn(&Path) -> bool;
    let attribute =
        |path: &Path| rustix::fs::setxattr(path, "user.mine", b"x", rustix::fs::XattrFlags::empty()).is_ok();
    let owner = |path: &Path| std::os::unix::fs::chown(path, Some(4711), None).is_ok();
    let kinds = [("an attribute", attribute as Hurt), ("an owner", owner as Hurt)];
    for ((what, hurt), inner) in kinds.into_iter().flat_map(|kind| [(kind, true), (kind, false)]) {
        let repo = Repo::new();
        let base = repo.head("main");
        let workspaces = prepare_one(&repo, base).await;
        age(&repo, 1);
        let work = workspaces.create(&fresh_at("a", base)).await.unwrap().path;
        // Held open, so that its number is not given again.
        let held = File::open(work.join("src/lib.rs")).unwrap();
        let before = held.metadata().unwrap().ino();
        if !hurt(&if inner { work.join("src") } else { work.clone() }) {
            println!("skipped: {what} cannot be given here");
            continue;
        }
        put_back(&repo, "a", 1);
        workspaces.prepare(base, 1).await;
        assert_eq!(ready(&repo), [1]);
        let work = entry(&repo, 1).join("work");
        assert_eq!(paths(&work), FILES);
        assert_ne!(inode(work.join("src/lib.rs")), before, "{what}, inner: {inner}");
        let mut names = [0; 100];
        for folder in [work.join("src"), work] {
            let length = rustix::fs::listxattr(&folder, &mut names[..]).unwrap();
            assert!(!names[..length].starts_with(b"user."), "{what}, inner: {inner}");
            assert_ne!(folder.metadata().unwrap().uid(), 4711);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_nobody_can_vouch_for_is_written_anew() {
    let repo = Repo::new();
    let base = repo.head("main");
    for doubtful in ["changed just before the notes", "another start of the machine"] {
        let workspaces = with(&repo, |options| options.pool = 1);
        workspaces.prepare(base, 1).await;
        let notes = entry(&repo, 1).join("git/enki-manifest");
        // Held open, so that its number is not given again.
        let held = File::open(entry(&repo, 1).join("work/a.txt")).unwrap();
        let meta = held.metadata().unwrap();
        if doubtful.starts_with("changed") {
            let changed = Duration::new(meta.ctime().try_into().unwrap(), meta.ctime_nsec().try_into().unwrap());
            let written = SystemTime::UNIX_EPOCH + changed + Duration::from_millis(40);
            File::options().append(true).open(&notes).unwrap().set_modified(written).unwrap();
        } else {
            let text = fs::read(&notes).unwrap();
            let end = text.iter().position(|b| *b == 0).unwrap();
            fs::write(&notes, [b"b 0 0 0 another", &text[end..]].concat()).unwrap();
            age(&repo, 1);
        }
        fs::remove_file(entry(&repo, 1).join("ready.json")).unwrap();
        workspaces.prepare(base, 1).await;
        assert_eq!(ready(&repo), [1]);
        assert_ne!(inode(entry(&repo, 1).join("work/a.txt")), meta.ino(), "{doubtful}");
        assert_eq!(paths(&entry(&repo, 1).join("work")), FILES);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_whose_notes_are_damaged_is_made_anew() {
    let repo = Repo::new();
    let base = repo.head("main");
    for damage in ["", "f 1 2\0", "b 0 0 0 another start of the machine\0"] {
        let workspaces = with(&repo, |options| options.pool = 1);
        workspaces.prepare(base, 1).await;
        let work = entry(&repo, 1).join("work");
        let before = inode(work.join("a.txt"));
        fs::remove_file(entry(&repo, 1).join("ready.json")).unwrap();
        fs::write(entry(&repo, 1).join("git/enki-manifest"), damage).unwrap();
        write(&work, "left", "x");
        // Keeps the number from being given again.
        fs::hard_link(work.join("a.txt"), repo.dir.path().join(format!("held-{before}"))).unwrap();
        workspaces.prepare(base, 1).await;
        assert_ne!(inode(work.join("a.txt")), before, "{damage:?}");
        assert_eq!(paths(&work), FILES, "{damage:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_made_entry_is_never_handed_out_and_made_anew() {
    let repo = Repo::new();
    let base = repo.head("main");
    repo.workspaces().prepare(base, 1).await;
    let half = entry(&repo, 1);
    fs::remove_file(half.join("ready.json")).unwrap();
    fs::remove_file(half.join("git/enki-manifest")).unwrap();
    fs::remove_file(half.join("work/a.txt")).unwrap();
    fs::write(half.join("git/index.lock"), "").unwrap();
    // A new process.
    let workspaces = repo.workspaces();
    let made = workspaces.create(&fresh_at("a", base)).await.unwrap();
    assert_eq!(paths(&made.path), FILES);
    workspaces.prepare(base, 1).await;
    assert_eq!(ready(&repo), [1]);
    assert_eq!(paths(&half.join("work")), FILES);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_another_start_of_the_machine_is_made_anew() {
    let repo = Repo::new();
    let base = repo.head("main");
    repo.workspaces().prepare(base, 1).await;
    let file = entry(&repo, 1).join("ready.json");
    let text = fs::read_to_string(&file).unwrap();
    let boot = serde_json::from_str::<serde_json::Value>(&text).unwrap()["boot"].as_str().unwrap().to_owned();
    fs::write(&file, text.replace(&boot, "another")).unwrap();
    // What a power loss leaves of files that nobody synced.
    fs::write(entry(&repo, 1).join("work/a.txt"), "").unwrap();
    let made = repo.workspaces().create(&fresh_at("a", base)).await.unwrap();
    assert_eq!(fs::read_to_string(made.path.join("a.txt")).unwrap(), "one\ntwo\nthree\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_out_that_was_interrupted_is_done_again() {
    for stage in 0..3 {
        let repo = Repo::new();
        let base = repo.head("main");
        let spec = fresh_at("a", base);
        let workspaces = prepare_one(&repo, base).await;
        let made = workspaces.create(&spec).await.unwrap();
        // As it was before the last write, then before each of the renames.
        let capture = repo.root.join(format!(".enki/capture/{}.git", task("a")));
        let state = capture.join("enki-state.json");
        let text = fs::read_to_string(&state).unwrap();
        fs::write(&state, text.replace("\"ready\": true", "\"ready\": false")).unwrap();
        fs::create_dir_all(entry(&repo, 1)).unwrap();
        if stage > 0 {
            fs::rename(&made.path, entry(&repo, 1).join("work")).unwrap();
        }
        if stage > 1 {
            fs::rename(&capture, entry(&repo, 1).join("git")).unwrap();
        }
        let workspaces = repo.workspaces();
        let again = workspaces.create(&spec).await.unwrap();
        assert_eq!(paths(&again.path), FILES, "stage {stage}");
        write(&again.path, "a.txt", "mine\n");
        committed(workspaces.capture(&crate::support::capture(&spec, Expect::Change)).await.unwrap());
        workspaces.prepare(base, 2).await;
        assert_eq!(ready(&repo), [1, 2], "stage {stage}");
        assert_eq!(paths(&entry(&repo, 1).join("work")), FILES, "stage {stage}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_an_entry_that_somebody_is_at() {
    let repo = Repo::new();
    let base = repo.head("main");
    let workspaces = repo.workspaces();
    workspaces.prepare(base, 1).await;
    let lock = File::open(repo.root.join(".enki/pool/1.lock")).unwrap();
    lock.lock().unwrap();
    let made = workspaces.create(&fresh_at("a", base)).await.unwrap();
    assert_eq!(paths(&made.path), FILES);
    assert_ne!(inode(&made.path), inode(entry(&repo, 1).join("work")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_none_prepares_and_keeps_nothing() {
    let repo = Repo::new();
    let base = repo.head("main");
    repo.workspaces().prepare(base, 3).await;
    let workspaces = with(&repo, |options| options.pool = 0);
    workspaces.prepare(base, 3).await;
    assert!(!entry(&repo, 1).exists(), "what was there goes");
    let made = workspaces.create(&fresh_at("a", base)).await.unwrap();
    workspaces.remove(task("a")).await.unwrap();
    assert!(!made.path.exists() && !entry(&repo, 1).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_floor_of_free_space_nothing_is_begun_and_the_pool_goes_first() {
    let repo = Repo::new();
    let base = repo.head("main");
    repo.workspaces().prepare(base, 1).await;
    let workspaces = with(&repo, |options| options.min_free_bytes = Some(u64::MAX));
    workspaces.prepare(base, 2).await;
    assert_eq!(ready(&repo), [1], "nothing more is prepared");
    let error = workspaces.create(&fresh_at("a", base)).await.unwrap_err();
    assert_eq!(error.kind, WorkspaceErrorKind::DiskLow);
    assert!(error.reason.contains("workspace.min_free_mb"), "{error}");
    assert!(!entry(&repo, 1).exists(), "the pool gave its space away");
    let enough = with(&repo, |options| options.min_free_bytes = Some(0));
    enough.create(&fresh_at("a", base)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_space_of_a_workspace_is_measured_when_asked() {
    let repo = Repo::new();
    let (workspaces, _, made) = fresh(&repo, "a").await;
    let before = workspaces.bytes(&workspaces.list().await.unwrap()[0]).await.unwrap();
    fs::write(made.path.join("big"), vec![1; 300 << 10]).unwrap();
    let after = workspaces.bytes(&workspaces.list().await.unwrap()[0]).await.unwrap();
    assert!(after >= before + (300 << 10), "{before} {after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_workspaces_are_freed_with_what_can_be_made_again() {
    let repo = Repo::new();
    let base = repo.head("main");
    let workspaces = prepare_one(&repo, base).await;
    let keep = workspaces.keep(enki_vcs_git::Known::default());
    let items = keep.survey().unwrap();
    let item = items.iter().find(|item| item.id == "pool/1").expect("it is listed");
    let lock = File::open(repo.root.join(".enki/pool/1.lock")).unwrap();
    lock.lock().unwrap();
    assert!(matches!(keep.free(item).unwrap(), enki_vcs_git::Freed::Stays(_)), "somebody is at it");
    drop(lock);
    assert!(matches!(keep.free(item).unwrap(), enki_vcs_git::Freed::Gone));
    assert!(!entry(&repo, 1).exists());
}
