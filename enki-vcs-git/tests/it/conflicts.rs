//! Conflicts: what is told of them, how they are foreseen, and what is none because the target has it already.

use crate::support::*;
use enki_core::id::{CommitId, EffectId};
use enki_core::refinery::{Build, Change, Publish, Refinery};
use enki_core::workspace::{Capture, Expect, Start, WorkspaceProvider};
use enki_vcs_git::GitProject;
use std::fs;
use std::path::Path;

fn id() -> EffectId {
    EffectId::of("build", &[])
}

type Edit = Box<dyn Fn(&Path)>;

async fn change(project: &GitProject, step: &str, base: CommitId, edit: &Edit) -> Change {
    let workspaces = project.workspaces();
    let spec = spec(step, 1, Start::Fresh { base });
    let made = workspaces.create(&spec).await.unwrap();
    edit(&made.path);
    step_change(step, 1, committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap()))
}

fn set(path: &'static str, content: impl Into<String>) -> Edit {
    let content = content.into();
    Box::new(move |p| write(p, path, &content))
}

fn rename(from: &'static str, to: &'static str) -> Edit {
    Box::new(move |p| fs::rename(p.join(from), p.join(to)).unwrap())
}

async fn hunks(project: &GitProject, base: CommitId, changes: &[Change]) -> (Vec<String>, String) {
    match project.refinery().build(base, changes, id()).await.unwrap() {
        Build::Conflict { paths, hunks, .. } => (paths, hunks),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_tells_its_lines_and_what_has_no_lines_in_words() {
    let repo = Repo::new();
    repo.write("bin", "\0b");
    let base = repo.commit("binary");
    let project = repo.project();
    let pair = async |name: &str, ours: Edit, theirs: Edit| {
        let ours = change(&project, &format!("{name}-ours"), base, &ours).await;
        let theirs = change(&project, &format!("{name}-theirs"), base, &theirs).await;
        hunks(&project, base, &[ours, theirs]).await.1
    };
    let text = pair("lines", set("a.txt", "one\nours\nthree\n"), set("a.txt", "one\ntheirs\u{1b}[2J\nthree\n")).await;
    assert_eq!(
        text,
        "a.txt, line 1:\none\n<<<<<<< the target\nours\n=======\ntheirs\u{fffd}[2J\n>>>>>>> this change\nthree\n"
    );
    let text = pair("binary", set("bin", "\0x"), set("bin", "\0y")).await;
    assert!(text.contains("bin") && text.contains("inary") && !text.contains('\0'), "{text}");
    let text = pair("renamed", rename("a.txt", "b.txt"), rename("a.txt", "c.txt")).await;
    assert!(text.contains("a.txt renamed to b.txt in the target and to c.txt in this change"), "{text}");
    let gone: Edit = Box::new(|p| fs::remove_file(p.join("a.txt")).unwrap());
    let text = pair("deleted", gone, set("a.txt", "y\n")).await;
    assert!(text.contains("a.txt deleted in the target and modified in this change"), "{text}");
    let text = pair("folder", set("new", "file\n"), set("new/inner", "folder\n")).await;
    assert!(text.contains("directory in the way of new from the target"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_a_conflict_are_bounded_and_every_file_has_its_share() {
    let repo = Repo::new();
    let base = repo.head("main");
    let project = repo.project();
    let all = |word: &'static str| -> Edit {
        Box::new(move |p| {
            for n in 0..5 {
                write(p, &format!("f{n}.txt"), &format!("{word}\n").repeat(5_000));
            }
        })
    };
    let changes = [change(&project, "a", base, &all("ours")).await, change(&project, "b", base, &all("theirs")).await];
    let (paths, text) = hunks(&project, base, &changes).await;
    assert_eq!(paths.len(), 5);
    assert!(text.len() <= 16 << 10 && text.len() > 14 << 10, "{}", text.len());
    assert!((0..5).all(|n| text.contains(&format!("f{n}.txt, line 1:\n"))), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_foreseen_of_a_pair_is_what_building_it_says() {
    let repo = Repo::new();
    repo.write("long.txt", &(0..40).map(|n| format!("{n}\n")).collect::<String>());
    let base = repo.commit("a long file");
    let project = repo.project();
    let line = |n: usize, word: &'static str| -> Edit {
        Box::new(move |p| {
            let text = fs::read_to_string(p.join("long.txt")).unwrap();
            write(p, "long.txt", &text.replace(&format!("\n{n}\n"), &format!("\n{word}\n")));
        })
    };
    let edits = [
        line(3, "x"),
        line(3, "y"),
        line(30, "x"),
        set("new", "file\n"),
        set("new/inner", "folder\n"),
        rename("long.txt", "b.txt"),
        rename("long.txt", "c.txt"),
    ];
    let mut changes = Vec::new();
    for (n, edit) in edits.iter().enumerate() {
        changes.push(change(&project, &format!("s{n}"), base, edit).await);
    }
    let refinery = project.refinery();
    let (mut pairs, mut built) = (Vec::new(), Vec::new());
    for (n, ours) in changes.iter().enumerate() {
        pairs.push((base, ours.commit));
        built.push(false);
        for theirs in &changes[n + 1..] {
            pairs.push((ours.commit, theirs.commit));
            let both = refinery.build(base, &[ours.clone(), theirs.clone()], id()).await.unwrap();
            built.push(matches!(both, Build::Conflict { .. }));
        }
    }
    let before = repo.git_in(&repo.root.join(".enki/refinery.git"), &["count-objects"]);
    assert_eq!(refinery.predict(&pairs).await.unwrap(), built);
    assert!(built.contains(&true) && built.iter().filter(|conflict| !**conflict).count() > changes.len());
    assert_eq!(repo.git_in(&repo.root.join(".enki/refinery.git"), &["count-objects"]), before, "it leaves objects");
    assert_eq!(fs::read_dir(repo.root.join(".enki/tmp")).unwrap().count(), 0);
    assert_eq!(refinery.predict(&[]).await.unwrap(), [false; 0]);
    let nowhere = "1".repeat(40).parse().unwrap();
    assert!(refinery.predict(&[(base, changes[0].commit), (base, nowhere)]).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_the_target_has_already_is_empty_however_it_came_there() {
    type Come = fn(&Repo, CommitId);
    let cases: [(&str, Come); 6] = [
        ("merged", |repo, commit| drop(repo.git(&["merge", "-q", "--no-ff", "-m", "x", &commit.to_string()]))),
        ("cherry-picked", |repo, commit| drop(repo.git(&["cherry-pick", &commit.to_string()]))),
        ("squashed", |repo, commit| {
            repo.git(&["merge", "-q", "--squash", &commit.to_string()]);
            repo.git(&["commit", "-q", "-m", "squashed"]);
        }),
        ("fast-forwarded", |repo, commit| drop(repo.git(&["reset", "-q", "--hard", &commit.to_string()]))),
        ("written by hand", |repo, _| {
            repo.write("b.txt", "b\n");
            repo.commit("by hand");
        }),
        ("the same tree", |repo, commit| {
            let tree = repo.git(&["rev-parse", &format!("{commit}^{{tree}}")]);
            let head = repo.git(&["commit-tree", "-p", "HEAD", "-m", "same", &tree]);
            repo.git(&["reset", "-q", "--hard", &head]);
        }),
    ];
    for (name, come) in cases {
        for moved in [false, true] {
            let repo = Repo::new();
            let base = repo.head("main");
            let project = repo.project();
            let changes = [change(&project, "a", base, &set("b.txt", "b\n")).await];
            if moved && !matches!(name, "fast-forwarded" | "the same tree") {
                repo.write("person.txt", "before\n");
                repo.commit("before");
            }
            come(&repo, changes[0].commit);
            if moved {
                repo.write("person.txt", "after\n");
                repo.commit("after");
            }
            let head = repo.head("main");
            assert_eq!(project.refinery().build(head, &changes, id()).await.unwrap(), Build::Empty, "{name}");
            // In a batch it is the one that gets no commit.
            let other = change(&project, "other", base, &set("c.txt", "c\n")).await;
            let batch = [changes[0].clone(), other];
            match project.refinery().build(head, &batch, id()).await.unwrap() {
                Build::Candidate { commits, .. } => {
                    assert!(matches!(commits[..], [None, Some(_)]), "{name}: {commits:?}")
                }
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resolution_that_takes_nothing_of_the_change_is_empty() {
    let repo = Repo::new();
    let base = repo.head("main");
    let project = repo.project();
    let mine = change(&project, "a", base, &set("a.txt", "one\nmine\nthree\n")).await;
    repo.write("a.txt", "one\nyours\nthree\n");
    let onto = repo.commit("meanwhile");
    let workspaces = project.workspaces();
    let resolve = spec("a", 2, Start::Resolve { onto, change: mine.commit });
    let made = workspaces.create(&resolve).await.unwrap();
    assert_eq!(made.conflicts, ["a.txt"]);
    write(&made.path, "a.txt", "one\nyours\nthree\n");
    let left = workspaces.capture(&capture(&resolve, Expect::Change)).await.unwrap();
    assert_eq!(left, Capture::NoChange);
    // One whose text differs and that the target then got all the same, is.
    let resolve = spec("a", 3, Start::Resolve { onto, change: mine.commit });
    let made = workspaces.create(&resolve).await.unwrap();
    write(&made.path, "a.txt", "one\nboth\nthree\n");
    let commit = committed(workspaces.capture(&capture(&resolve, Expect::Change)).await.unwrap());
    repo.write("a.txt", "one\nboth\nthree\n");
    let head = repo.commit("the person solved it alike");
    let again = step_change("a", 3, commit);
    assert_eq!(project.refinery().build(head, &[again], id()).await.unwrap(), Build::Empty);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_landing_that_the_target_has_already_is_empty() {
    let repo = Repo::new();
    let base = repo.head("main");
    let project = repo.project();
    let refinery = project.refinery();
    refinery.open(&main(), &integration()).await.unwrap();
    let changes = [change(&project, "a", base, &set("b.txt", "b\n")).await];
    let Build::Candidate { candidate, .. } = refinery.build(base, &changes, id()).await.unwrap() else { panic!() };
    assert_eq!(refinery.publish(&integration(), base, &candidate).await.unwrap(), Publish::Published);
    repo.git(&["merge", "-q", "--ff-only", integration().as_str()]);
    let lands = [landing(candidate.commit, 1)];
    for _ in 0..2 {
        assert_eq!(refinery.build(repo.head("main"), &lands, id()).await.unwrap(), Build::Empty);
        repo.write("person.txt", "on\n");
        repo.git(&["add", "-A"]);
        repo.git(&["commit", "-q", "--allow-empty", "-m", "on"]);
    }
}
