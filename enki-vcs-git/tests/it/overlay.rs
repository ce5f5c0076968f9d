//! Workspaces as overlays over one prepared tree. Where none can be mounted, each test says so and ends.

use crate::support::*;
use enki_core::id::CommitId;
use enki_core::workspace::{Capture, Expect, Start, WorkspaceErrorKind, WorkspaceProvider, WorkspaceSpec};
use enki_vcs_git::{Freed, GitWorkspaces, Known};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A repository, unless no overlay can be mounted in it: by other means than Enki's.
fn repo() -> Option<Repo> {
    let repo = Repo::new();
    let script = "cd .. && mkdir -p try/l try/u try/s try/m && mount -t overlay try -o \
                  lowerdir=try/l,upperdir=try/u,workdir=try/s,volatile try/m 2>&1 && umount try/m && echo yes";
    if repo.sh(&format!("{{ {script}; }} || echo no")).ends_with("yes") {
        return Some(repo);
    }
    println!("skipped: no overlay can be mounted here");
    None
}

fn fresh_at(step: &str, base: CommitId) -> WorkspaceSpec {
    spec(step, 1, Start::Fresh { base })
}

/// An overlay for a step at the head of main.
async fn made(repo: &Repo, step: &str) -> (GitWorkspaces, WorkspaceSpec, PathBuf) {
    let workspaces = overlaid(repo, |_| ());
    let spec = fresh_at(step, repo.head("main"));
    let work = workspaces.create(&spec).await.unwrap().path;
    assert!(mounts(&repo.root).contains(&work), "{:?}", mounts(&repo.root));
    (workspaces, spec, work)
}

fn lower(repo: &Repo, n: u32) -> PathBuf {
    repo.root.join(format!(".enki/lower/{n}/work"))
}

fn lowers(repo: &Repo) -> Vec<u32> {
    (1..=8).filter(|n| lower(repo, *n).join("../ready.json").exists()).collect()
}

fn capture_dir(repo: &Repo, step: &str) -> PathBuf {
    repo.root.join(format!(".enki/capture/{}.git", task(step)))
}

/// Changes what Enki remembers of a workspace.
fn remembers(repo: &Repo, step: &str, from: &str, to: &str) {
    let file = capture_dir(repo, step).join("enki-state.json");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(file, text.replace(from, to)).unwrap();
}

/// All files of a folder with what they hold and the times nobody can set, but those of `.git`.
fn files(folder: &Path) -> BTreeMap<PathBuf, (Vec<u8>, u64, i64)> {
    let (mut found, mut open) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(at) = open.pop() {
        for path in fs::read_dir(&at).unwrap().map(|entry| entry.unwrap().path()) {
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() && !path.ends_with(".git") {
                open.push(path);
            } else if meta.is_file() {
                found.insert(path.clone(), (fs::read(path).unwrap(), meta.ino(), meta.ctime_nsec()));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_does_is_seen_neither_below_nor_beside() {
    let Some(repo) = repo() else { return };
    let (workspaces, one, work) = made(&repo, "a").await;
    let (_, _, other) = made(&repo, "b").await;
    assert_eq!(lowers(&repo), [1], "both are over the same tree");
    let before = (files(&lower(&repo, 1)), files(&other));
    assert_eq!(repo.git_in(&work, &["status", "--porcelain"]), "");
    write(&work, "a.txt", "mine\n");
    write(&work, "new/deep.txt", "new\n");
    write(&work, "target/cache", "ignored\n");
    fs::remove_file(work.join("src/lib.rs")).unwrap();
    assert_eq!((files(&lower(&repo, 1)), files(&other)), before);
    let commit = committed(workspaces.capture(&capture(&one, Expect::Change)).await.unwrap());
    let changed = repo.git(&["diff", "--name-status", "main", &commit.to_string()]);
    assert_eq!(changed, "M\ta.txt\nA\tnew/deep.txt\nD\tsrc/lib.rs");
    assert_eq!(workspaces.list().await.unwrap().len(), 2);
    // It goes, and the next one shows nothing of it.
    repo.git(&["merge", "-q", "--ff-only", &commit.to_string()]);
    workspaces.remove(task("a")).await.unwrap();
    assert!(!work.exists() && !capture_dir(&repo, "a").exists());
    assert_eq!(mounts(&repo.root), [other]);
    let again = workspaces.create(&fresh_at("c", repo.head("main^"))).await.unwrap().path;
    assert!(!again.join("target").exists() && !again.join("new").exists());
    assert_eq!(files(&lower(&repo, 1)), before.0);
}

/// What an agent does in a folder of its own, in three parts; each part is captured before the next.
const DOINGS: &[&[&str]] = &[
    &["rm a.txt", "echo back >a.txt", "rm a.txt"],
    &["mv a.txt b.txt; mv d/one.txt d/uno.txt", "mv b.txt a.txt", ":"],
    &["mv d e", "mv e d", "rm -r d"],
    &["rm -r d; mkdir d; echo other >d/other.txt", "echo 1 >d/one.txt", "rm -r d"],
    &["rm -r d; echo file >d", "rm d; mkdir d; echo x >d/x", ":"],
    &["rm -r d; ln -s e d", "rm d; ln -s a.txt d", "rm d"],
    &["rm a.txt; mkdir a.txt; echo x >a.txt/x", "rm -r a.txt; ln -s d/one.txt a.txt", "rm a.txt"],
    &["ln -sf one.txt d/two.txt", "chmod +x a.txt", "chmod -x a.txt"],
    &["echo n >new.txt; echo n >d/new.txt", "rm new.txt d/new.txt", "echo n >new.txt"],
    &["mkdir -p x/y; echo z >x/y/z", "rm -r x/y", ":"],
    &["cp a.txt c.txt; cat c.txt >a.txt", "touch a.txt", "mv c.txt a.txt"],
    &["mkdir .enki; echo x >.enki/x", "rm -r .enki", ":"],
    &["chmod 000 d", "chmod 755 d; rm d/one.txt", ":"],
    &["mkdir 'a b'; printf x >'a b/\\ü *?[x]'; printf y >':(top)q'", "rm -r 'a b'", ":"],
    &["mkdir -p new target; echo '*.log' >new/.gitignore; echo x | tee new/x.log target/c", "rm new/.gitignore", ":"],
];

/// The same of what changes what git says of other files, each in a repository of its own.
const FAR_REACHING: &[&[&str]] = &[
    &["mkdir target; echo c >target/c", "echo >../.gitignore", "echo target/ >../.gitignore"],
    &["echo one.txt >d/.gitignore; echo l >d/.l; echo l >d/one.txt", "rm d/.gitignore", "rm -r d"],
    &["git init -q nested; echo x >nested/x", "rm -rf nested", ":"],
    &["git init -q d; echo x >d/more", "rm -rf d/.git", ":"],
    &["for n in $(seq 400); do echo $n >d/f$n; done", "rm d/f1*", "rm d/f*"],
];

/// What captures gave after each part.
async fn captures(doings: &[&[&str]], plain: bool) -> Vec<String> {
    let repo = Repo::new();
    for n in 0..doings.len() {
        for path in ["a.txt", "d/one.txt", "d/two.txt", "d/deep/three.txt", "e/four.txt"] {
            repo.write(&format!("w{n}/{path}"), path);
        }
    }
    let base = repo.commit("second");
    let workspaces = if plain { repo.workspaces() } else { overlaid(&repo, |_| ()) };
    let one = fresh_at("a", base);
    let work = workspaces.create(&one).await.unwrap().path;
    assert_eq!(mounts(&repo.root).len(), usize::from(!plain));
    let mut said = Vec::new();
    for part in 0..3 {
        for (n, doing) in doings.iter().enumerate() {
            repo.sh(&format!("cd {}/w{n} && {}", work.display(), doing[part]));
        }
        let outcome = workspaces.capture(&capture(&one, Expect::Change)).await.unwrap().apart().0;
        said.push(match outcome {
            Capture::Change { commit, files, .. } => {
                format!("{files}\n{}", repo.git(&["ls-tree", "-r", &commit.to_string()]))
            }
            other => format!("{other:?}"),
        });
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_is_the_one_of_plain_files_whatever_was_done() {
    if repo().is_none() {
        return;
    }
    assert_eq!(captures(DOINGS, false).await, captures(DOINGS, true).await);
    for doing in FAR_REACHING {
        assert_eq!(captures(&[*doing], false).await, captures(&[*doing], true).await, "{doing:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_that_edits_is_put_back() {
    let Some(repo) = repo() else { return };
    let (workspaces, one, work) = made(&repo, "a").await;
    write(&work, "a.txt", "a review that edits\n");
    fs::remove_dir_all(work.join("src")).unwrap();
    write(&work, "stray/x", "x");
    let outcome = workspaces.capture(&capture(&one, Expect::Nothing)).await.unwrap();
    assert!(matches!(outcome, Capture::Altered { .. }), "{outcome:?}");
    assert_eq!(fs::read_to_string(work.join("a.txt")).unwrap(), "one\ntwo\nthree\n");
    assert!(work.join("src/lib.rs").exists() && !work.join("stray").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_that_was_only_touched_is_not_refused() {
    let Some(repo) = repo() else { return };
    let workspaces = overlaid(&repo, |options| options.max_file_bytes = 10);
    let one = fresh_at("a", repo.head("main"));
    let work = workspaces.create(&one).await.unwrap().path;
    write(&work, "a.txt", "one\ntwo\nthree\n");
    assert_eq!(workspaces.capture(&capture(&one, Expect::Change)).await.unwrap(), Capture::NoChange);
    write(&work, "a.txt", "one\ntwo\nthree\nfour\n");
    let reason = refused(workspaces.capture(&capture(&one, Expect::Change)).await.unwrap());
    assert!(reason.contains("more than the limit of 10"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_unmounted_is_mounted_again_and_never_taken_for_a_deletion() {
    let Some(repo) = repo() else { return };
    let (workspaces, one, work) = made(&repo, "a").await;
    write(&work, "a.txt", "mine\n");
    fs::remove_file(work.join("src/lib.rs")).unwrap();
    unmount(&work).unwrap();
    assert_eq!(fs::read_dir(&work).unwrap().count(), 0);
    let commit = committed(workspaces.capture(&capture(&one, Expect::Change)).await.unwrap());
    let changed = repo.git(&["diff", "--name-status", "main", &commit.to_string()]);
    assert_eq!(changed, "M\ta.txt\nD\tsrc/lib.rs");
    // The next attempt, with its folder away as well.
    unmount(&work).unwrap();
    fs::remove_dir(&work).unwrap();
    let next = spec("a", 2, Start::Continue { base: repo.head("main"), head: commit });
    let made = overlaid(&repo, |_| ()).create(&next).await.unwrap();
    assert_eq!(fs::read_to_string(made.path.join("a.txt")).unwrap(), "mine\n");
    assert_eq!(workspaces.capture(&capture(&next, Expect::Change)).await.unwrap(), Capture::NoChange);
    // Whether something would be lost is found out with the files, not without.
    write(&work, "a.txt", "more\n");
    unmount(&work).unwrap();
    let error = workspaces.remove(task("a")).await.unwrap_err();
    assert!(error.reason.contains("differ from what was captured last"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_mounted_again_is_lost_by_name_and_kept() {
    type Way = fn(&Repo, &Path);
    let ways: [(&str, Way); 4] = [
        ("not there any more", |repo, _| fs::remove_dir_all(lower(repo, 1).parent().unwrap()).unwrap()),
        ("started anew", |repo, _| {
            let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
            remembers(repo, "a", boot.trim(), "another");
        }),
        ("something else", |_, work| fs::write(work.join("other"), "x").unwrap()),
        ("something else", |_, work| {
            fs::remove_dir(work).unwrap();
            fs::write(work, "x").unwrap();
        }),
    ];
    for (words, way) in ways {
        let Some(repo) = repo() else { return };
        let (workspaces, one, work) = made(&repo, "a").await;
        write(&work, "a.txt", "mine\n");
        unmount(&work).unwrap();
        way(&repo, &work);
        let error = workspaces.capture(&capture(&one, Expect::Change)).await.unwrap_err();
        let upper = capture_dir(&repo, "a").join("overlay/upper");
        assert_eq!(error.kind, WorkspaceErrorKind::Lost);
        assert!(error.reason.contains(words) && error.reason.contains(&upper.display().to_string()), "{error}");
        let error = workspaces.remove(task("a")).await.unwrap_err();
        assert_eq!((error.kind, error.reason.contains(words)), (WorkspaceErrorKind::Unmerged, true), "{error}");
        let known = Known::default();
        assert!(workspaces.keep(known).save_left().unwrap()[0].1.contains(words));
        // The next attempt gets a workspace, and what is left of the first is beside it.
        let next = spec("a", 2, Start::Fresh { base: repo.head("main") });
        let made = workspaces.create(&next).await.unwrap().path;
        assert_eq!(fs::read_to_string(made.join("a.txt")).unwrap(), "one\ntwo\nthree\n");
        let kept = repo.root.join(format!(".enki/aside/{}-1.git/overlay/upper/a.txt", task("a")));
        assert_eq!(fs::read_to_string(kept).unwrap(), "mine\n");
        let error = workspaces.remove(task("a")).await.unwrap_err();
        assert_eq!(error.kind, WorkspaceErrorKind::Unmerged);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_looked_at_just_now_is_not_lost() {
    let Some(repo) = repo() else { return };
    let (workspaces, one, work) = made(&repo, "a").await;
    write(&work, "a.txt", "mine\n");
    unmount(&work).unwrap();
    // The memory of a process at its first page opens, and cannot be read.
    let ready = lower(&repo, 1).join("../ready.json");
    fs::rename(&ready, ready.with_extension("away")).unwrap();
    std::os::unix::fs::symlink("/proc/self/mem", &ready).unwrap();
    for error in [
        workspaces.capture(&capture(&one, Expect::Change)).await.unwrap_err(),
        workspaces.create(&spec("a", 2, Start::Fresh { base: repo.head("main") })).await.unwrap_err(),
        workspaces.remove(task("a")).await.unwrap_err(),
    ] {
        assert_eq!(error.kind, WorkspaceErrorKind::Environment, "{error}");
        assert!(error.reason.contains("ready.json"), "{error}");
    }
    fs::rename(ready.with_extension("away"), &ready).unwrap();
    let commit = committed(workspaces.capture(&capture(&one, Expect::Change)).await.unwrap());
    assert_eq!(repo.git(&["diff", "--name-status", "main", &commit.to_string()]), "M\ta.txt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_was_killed_is_done_again() {
    for stage in 0..4 {
        let Some(repo) = repo() else { return };
        let (workspaces, one, work) = made(&repo, "a").await;
        remembers(&repo, "a", "\"ready\": true", "\"ready\": false");
        match stage {
            1 => unmount(&work).unwrap(),
            2 => {
                unmount(&work).unwrap();
                fs::remove_dir_all(&work).unwrap();
                fs::remove_dir_all(capture_dir(&repo, "a").join("overlay")).unwrap();
            }
            3 => {
                unmount(&work).unwrap();
                fs::remove_dir_all(lower(&repo, 1).parent().unwrap()).unwrap();
            }
            _ => {}
        }
        assert_eq!(workspaces.create(&one).await.unwrap().path, work, "stage {stage}");
        assert_eq!(mounts(&repo.root), std::slice::from_ref(&work), "stage {stage}");
        write(&work, "a.txt", "mine\n");
        committed(workspaces.capture(&capture(&one, Expect::Change)).await.unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_that_is_in_use_stays_whole() {
    let Some(repo) = repo() else { return };
    let (workspaces, _, work) = made(&repo, "a").await;
    let open = File::open(work.join("a.txt")).unwrap();
    let error = workspaces.remove(task("a")).await.unwrap_err();
    assert_eq!(error.kind, WorkspaceErrorKind::Unmerged);
    assert!(error.reason.contains("is in use"), "{error}");
    let next = spec("a", 2, Start::Fresh { base: repo.head("main") });
    let error = workspaces.create(&next).await.unwrap_err();
    assert!(error.reason.contains("is in use"), "{error}");
    assert!(work.join("src/lib.rs").exists() && work.join(".git/HEAD").exists());
    drop(open);
    workspaces.remove(task("a")).await.unwrap();
    assert!(!work.exists() && mounts(&repo.root).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_replaced_can_still_be_looked_at() {
    let Some(repo) = repo() else { return };
    let (workspaces, _, work) = made(&repo, "a").await;
    write(&work, "a.txt", "left\n");
    let next = spec("a", 2, Start::Fresh { base: repo.head("main") });
    workspaces.create(&next).await.unwrap();
    let aside = repo.root.join(format!(".enki/aside/{}-1", task("a")));
    assert_eq!(fs::read_to_string(aside.join("a.txt")).unwrap(), "left\n");
    assert_eq!(fs::read_to_string(work.join("a.txt")).unwrap(), "one\ntwo\nthree\n");
    // What was left in it is kept by a ref, so both may go.
    workspaces.remove(task("a")).await.unwrap();
    assert!(!work.exists() && !aside.exists() && mounts(&repo.root).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_of_an_agent_are_kept_when_the_next_attempt_gets_its_workspace() {
    let Some(repo) = repo() else { return };
    let (workspaces, one, work) = made(&repo, "a").await;
    write(&work, "a.txt", "mine\n");
    repo.git_in(&work, &["commit", "-q", "-a", "-m", "of my own"]);
    let own = repo.git_in(&work, &["rev-parse", "HEAD"]);
    let commit = committed(workspaces.capture(&capture(&one, Expect::Change)).await.unwrap());
    let next = spec("a", 2, Start::Continue { base: repo.head("main"), head: commit });
    workspaces.create(&next).await.unwrap();
    let kept = repo.root.join(format!(".enki/aside/{}-1.agent", task("a")));
    assert_eq!(repo.git(&["--git-dir", kept.to_str().unwrap(), "rev-parse", "HEAD"]), own);
    assert_eq!(repo.git_in(&work, &["rev-parse", "HEAD"]), commit.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_and_a_change_are_laid_over_the_tree_of_the_branch() {
    let Some(repo) = repo() else { return };
    let base = repo.head("main");
    let change = repo.change("x", base, &[("a.txt", "theirs\n")]).await.commit;
    repo.write("a.txt", "ours\n");
    let onto = repo.commit("second");
    let workspaces = overlaid(&repo, |_| ());
    workspaces.prepare(onto, 1).await;
    let before = files(&lower(&repo, 1));
    let starts = [
        ("a", Start::Resolve { onto, change }, "<<<<<<<"),
        ("b", Start::Continue { base: onto, head: change }, "theirs"),
    ];
    for (step, start, words) in starts {
        let work = workspaces.create(&spec(step, 2, start)).await.unwrap().path;
        let text = fs::read_to_string(work.join("a.txt")).unwrap();
        assert!(text.starts_with(words) && mounts(&repo.root).contains(&work), "{text}");
    }
    assert_eq!((files(&lower(&repo, 1)), lowers(&repo)), (before, vec![1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_in_use_stays_and_one_that_is_free_is_brought_along() {
    let Some(repo) = repo() else { return };
    let (workspaces, _, work) = made(&repo, "a").await;
    let before = files(&lower(&repo, 1));
    repo.write("src/lib.rs", "// changed\n");
    let second = repo.commit("second");
    // Without a hint, what differs is above.
    let other = workspaces.create(&fresh_at("b", second)).await.unwrap().path;
    assert_eq!(fs::read_to_string(other.join("src/lib.rs")).unwrap(), "// changed\n");
    assert_eq!(repo.git_in(&other, &["status", "--porcelain"]), "");
    let spec = fresh_at("b", second);
    assert_eq!(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap(), Capture::NoChange);
    assert_eq!((files(&lower(&repo, 1)), lowers(&repo)), (before.clone(), vec![1]));
    // With one there is a tree of its own.
    workspaces.prepare(second, 4).await;
    assert_eq!((files(&lower(&repo, 1)), lowers(&repo)), (before.clone(), vec![1, 2]));
    assert_eq!(fs::read_to_string(work.join("src/lib.rs")).unwrap(), "// lib\n");
    // The old one goes with its last user.
    workspaces.remove(task("a")).await.unwrap();
    workspaces.prepare(second, 4).await;
    assert_eq!(lowers(&repo), [1, 2]);
    workspaces.remove(task("b")).await.unwrap();
    workspaces.prepare(second, 4).await;
    assert_eq!(lowers(&repo), [2]);
    let inode = |path: &str| fs::metadata(lower(&repo, 2).join(path)).unwrap().ino();
    let kept = inode("a.txt");
    repo.write("src/lib.rs", "// once more\n");
    let third = repo.commit("third");
    workspaces.prepare(third, 4).await;
    assert_eq!((lowers(&repo), inode("a.txt")), (vec![2], kept));
    let made = workspaces.create(&fresh_at("c", third)).await.unwrap().path;
    assert_eq!(fs::read_to_string(made.join("src/lib.rs")).unwrap(), "// once more\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn never_more_than_four_trees_are_made() {
    let Some(repo) = repo() else { return };
    let workspaces = overlaid(&repo, |_| ());
    for n in 0..7 {
        repo.write("n.txt", &format!("{n}\n"));
        let base = repo.commit("more");
        workspaces.prepare(base, 1).await;
        let made = workspaces.create(&fresh_at(&format!("s{n}"), base)).await.unwrap().path;
        assert_eq!(fs::read_to_string(made.join("n.txt")).unwrap(), format!("{n}\n"));
    }
    assert_eq!((lowers(&repo), mounts(&repo.root).len()), (vec![1, 2, 3, 4], 7));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_somebody_touched_is_handed_out_to_nobody() {
    let Some(repo) = repo() else { return };
    let base = repo.head("main");
    let workspaces = overlaid(&repo, |_| ());
    let ways: [fn(&Path); 4] = [
        |tree| fs::write(tree.join("a.txt"), "one\nTWO\nthree\n").unwrap(),
        |tree| fs::write(tree.join("src/planted.rs"), "x").unwrap(),
        |tree| fs::remove_file(tree.join("src/lib.rs")).unwrap(),
        |tree| fs::create_dir(tree.join("target")).unwrap(),
    ];
    for (n, way) in ways.into_iter().enumerate() {
        workspaces.prepare(base, 1).await;
        let right = files(&lower(&repo, 1)).into_values().map(|file| file.0).collect::<Vec<_>>();
        way(&lower(&repo, 1));
        let step = format!("s{n}");
        let work = workspaces.create(&fresh_at(&step, base)).await.unwrap().path;
        assert_eq!(files(&work).into_values().map(|file| file.0).collect::<Vec<_>>(), right, "way {n}");
        assert!(!work.join("target").exists());
        workspaces.remove(task(&step)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_set_up_is_done_once_below_and_what_it_made_is_nobodys() {
    let Some(repo) = repo() else { return };
    let count = repo.dir.path().join("count");
    let command = format!("mkdir -p target && cp a.txt target/made && printf x >>{}", count.display());
    let setting_up = |command: String| overlaid(&repo, |options| options.setup = Some(command));
    let workspaces = setting_up(command);
    let base = repo.head("main");
    let mut works = Vec::new();
    for step in ["a", "b"] {
        let spec = fresh_at(step, base);
        works.push(workspaces.create(&spec).await.unwrap().path);
        assert_eq!(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap(), Capture::NoChange);
    }
    assert_eq!(fs::read_to_string(&count).unwrap(), "x");
    fs::write(works[0].join("target/made"), "mine").unwrap();
    assert_eq!(fs::read_to_string(works[1].join("target/made")).unwrap(), "one\ntwo\nthree\n");
    for step in ["a", "b"] {
        workspaces.remove(task(step)).await.unwrap();
    }
    // Done otherwise, the tree is another one; and one that cannot be set up leaves nothing mounted.
    let other = setting_up("mkdir -p target && touch target/other".to_owned());
    let work = other.create(&fresh_at("c", base)).await.unwrap().path;
    assert!(work.join("target/other").exists() && !work.join("target/made").exists());
    let error = setting_up("exit 3".to_owned()).create(&fresh_at("d", base)).await.unwrap_err();
    assert!(error.reason.contains("exit code 3"), "{error}");
    assert_eq!(mounts(&repo.root), [work]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_goes_with_what_can_be_made_again_once_nothing_is_over_it() {
    let Some(repo) = repo() else { return };
    repo.write("big", &"x".repeat(300 << 10));
    repo.commit("second");
    let (workspaces, _, _) = made(&repo, "a").await;
    let bytes = workspaces.bytes(&workspaces.list().await.unwrap()[0]).await.unwrap();
    assert!(bytes < 300 << 10, "what is shared is nobody's: {bytes}");
    let keep = workspaces.keep(Known::default());
    let listed = || keep.survey().unwrap().into_iter().find(|item| item.id == "lower/1");
    assert_eq!(listed(), None);
    workspaces.remove(task("a")).await.unwrap();
    let item = listed().expect("it is listed");
    // Meanwhile it came into use again.
    let (_, _, work) = made(&repo, "b").await;
    assert!(matches!(keep.free(&item).unwrap(), Freed::Stays(_)));
    assert!(work.join("big").exists());
    workspaces.remove(task("b")).await.unwrap();
    assert!(matches!(keep.free(&item).unwrap(), Freed::Gone));
    assert_eq!(lowers(&repo), [0; 0]);
}

/// A file system that the kernel does not take as the upper one: an overlay.
#[tokio::test(flavor = "multi_thread")]
async fn where_none_can_be_mounted_workspaces_are_plain_files() {
    if repo().is_none() {
        return;
    }
    let repo = Repo::bare_folder("p");
    repo.sh("cd .. && mkdir l u s && mount -t overlay outer -o lowerdir=l,upperdir=u,workdir=s p");
    repo.git(&["init", "-q", "-b", "main"]);
    repo.write("a.txt", "one\n");
    let base = repo.commit("first");
    let workspaces = overlaid(&repo, |_| ());
    workspaces.prepare(base, 1).await;
    let spec = fresh_at("a", base);
    let work = workspaces.create(&spec).await.unwrap().path;
    assert_eq!(mounts(&repo.root), std::slice::from_ref(&repo.root));
    assert_eq!(fs::read_dir(repo.root.join(".enki/tmp")).unwrap().count(), 0, "the try left nothing");
    write(&work, "a.txt", "two\n");
    let commit = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
    repo.git(&["update-ref", "refs/heads/main", &commit.to_string()]);
    workspaces.remove(task("a")).await.unwrap();
    assert!(!work.exists());
}

/// Waits until the clock of files is so far that nobody doubts in which order things were written.
fn let_time_pass(repo: &Repo) {
    let file = repo.dir.path().join("clock");
    let now = || {
        fs::write(&file, "").unwrap();
        let meta = fs::metadata(&file).unwrap();
        i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec())
    };
    let begin = now();
    while now() < begin + 100_000_000 {}
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_touched_since_its_capture_goes_without_git_and_what_was_does_not_go() {
    let Some(repo) = repo() else { return };
    let log = repo.dir.path().join("calls");
    let options = with_git(&repo, &format!("echo \"$*\" >>{}\nexec {} \"$@\"", log.display(), which_git().display()));
    let project = enki_vcs_git::GitProject::open(&repo.root, options).unwrap();
    let workspaces = project.with_options(|o| o.method = enki_vcs_git::WorkspaceMethod::Overlay).workspaces();
    for (step, touched) in [("a", true), ("b", false)] {
        let spec = fresh_at(step, repo.head("main"));
        let work = workspaces.create(&spec).await.unwrap().path;
        assert!(mounts(&repo.root).contains(&work));
        write(&work, "a.txt", "mine\n");
        fs::remove_file(work.join("b.txt")).ok();
        let_time_pass(&repo);
        let commit = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
        repo.git(&["update-ref", &format!("refs/heads/{step}"), &commit.to_string()]);
        if touched {
            // As long, and with the time it had.
            let file = work.join("a.txt");
            let time = fs::metadata(&file).unwrap().modified().unwrap();
            fs::write(&file, "time\n").unwrap();
            File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
            let error = workspaces.remove(spec.task).await.unwrap_err();
            assert_eq!(error.kind, WorkspaceErrorKind::Unmerged, "{error}");
            assert_eq!(fs::read_to_string(&file).unwrap(), "time\n");
        } else {
            let before = fs::read_to_string(&log).unwrap();
            workspaces.remove(spec.task).await.unwrap();
            let all = fs::read_to_string(&log).unwrap();
            let of_files: Vec<&str> =
                all[before.len()..].lines().filter(|call| call.contains("--work-tree=")).collect();
            assert_eq!(of_files, Vec::<&str>::new());
            assert!(!work.exists());
        }
    }
}
