//! Opening, bringing in and building.

use crate::support::*;
use enki_core::id::{CommitId, EffectId};
use enki_core::refinery::{Build, Candidate, Change, ChangeKind, Import, Publish, Refinery};
use enki_core::workspace::{Expect, Start, WorkspaceProvider};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

fn id() -> EffectId {
    EffectId::of("build", &[])
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_again_gives_the_first_base_even_after_both_branches_moved() {
    let repo = Repo::new();
    let refinery = repo.refinery();
    let base = refinery.open(&main(), &integration()).await.unwrap();
    let change = repo.change("a", base, &[("b.txt", "b\n")]).await;
    let candidate = repo.candidate(base, &[change]).await;
    assert_eq!(refinery.publish(&integration(), base, &candidate).await.unwrap(), Publish::Published);
    repo.write("a.txt", "on\n");
    repo.commit("on");
    assert_eq!(refinery.open(&main(), &integration()).await.unwrap(), base);
    assert_eq!(repo.head(integration().as_str()), candidate.commit);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_missing_or_a_branch_in_the_way_is_named() {
    let repo = Repo::new();
    let error = repo.refinery().open(&"nope".parse().unwrap(), &integration()).await.unwrap_err();
    assert!(error.reason.contains("no local branch \"nope\"; there are: main"), "{error}");
    repo.git(&["branch", "enki"]);
    let error = repo.refinery().open(&main(), &integration()).await.unwrap_err();
    assert!(error.reason.contains("'refs/heads/enki' exists"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_change_is_kept_by_its_request_and_importing_again_is_the_same() {
    let repo = Repo::new();
    let change = repo.change("a", repo.head("main"), &[("b.txt", "b\n")]).await;
    for _ in 0..2 {
        assert_eq!(repo.refinery().import(&change).await.unwrap(), Import::Imported);
    }
    assert_eq!(repo.head(&format!("refs/enki/kept/{}", change.request.hex())), change.commit);
    let other = Change { commit: repo.change("b", repo.head("main"), &[("c.txt", "c\n")]).await.commit, ..change };
    assert!(repo.refinery().import(&other).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_the_person_threw_away_is_brought_in_again_from_its_workspace() {
    let repo = Repo::new();
    let change = repo.change("a", repo.head("main"), &[("b.txt", "b\n")]).await;
    for full_ref in repo.git(&["for-each-ref", "--format=%(refname)", "refs/enki/kept"]).lines() {
        repo.git(&["update-ref", "-d", full_ref]);
    }
    repo.git(&["prune", "--expire=now"]);
    assert!(!repo.try_git_in(&repo.root, &["cat-file", "-e", &change.commit.to_string()]).status.success());
    assert_eq!(repo.refinery().import(&change).await.unwrap(), Import::Imported);
    repo.candidate(repo.head("main"), &[change]).await;
}

/// Bad inputs 62 and F11.
#[tokio::test(flavor = "multi_thread")]
async fn commits_that_are_not_there_are_errors_and_never_conflicts() {
    let repo = Repo::new();
    let nowhere: CommitId = "1".repeat(40).parse().unwrap();
    let change = step_change("a", 1, nowhere);
    assert!(repo.refinery().import(&change).await.unwrap_err().reason.contains("is neither in the repository"));
    let error = repo.refinery().build(repo.head("main"), &[change], id()).await.unwrap_err();
    assert!(error.reason.contains("is not in the repository"), "{error}");
    let tag = {
        repo.git(&["tag", "-a", "-m", "x", "v1"]);
        repo.git(&["rev-parse", "v1"]).parse().unwrap()
    };
    assert!(repo.refinery().import(&step_change("b", 1, tag)).await.is_err());
}

/// Bad inputs 62, 64, 65, 66.
#[tokio::test(flavor = "multi_thread")]
async fn changes_made_by_other_hands_are_inspected_too() {
    let repo = Repo::new();
    let base = repo.head("main").to_string();
    let refusal = async |step: &str, commit: &str| {
        let change = step_change(step, 1, commit.parse().unwrap());
        match repo.refinery().import(&change).await.unwrap() {
            Import::Refused { reason } => reason,
            Import::Imported => panic!("{step} was taken in"),
        }
    };
    let tree = repo.git(&["rev-parse", "main^{tree}"]);
    let orphan = repo.git(&["commit-tree", "-m", "orphan", &tree]);
    assert!(refusal("orphan", &orphan).await.contains("has no parent"));

    repo.git(&["checkout", "-q", "--detach"]);
    symlink("/etc", repo.root.join("l")).unwrap();
    let link = repo.commit("link");
    assert!(refusal("link", &link.to_string()).await.contains("l is a symbolic link that leaves"));
    repo.git(&["checkout", "-q", "main"]);

    repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{base},sub")]);
    let sub = repo.git(&["commit-tree", "-m", "sub", "-p", &base, &repo.git(&["write-tree"])]);
    assert!(refusal("sub", &sub).await.contains("sub is a submodule"));
}

/// Bad input 64, F5.
#[tokio::test(flavor = "multi_thread")]
async fn a_tree_with_a_git_folder_never_comes_into_the_persons_repository() {
    let repo = Repo::new();
    let (_, spec, made) = fresh(&repo, "evil").await;
    let base = repo.head("main").to_string();
    let capture = repo.root.join(format!(".enki/capture/{}.git", spec.task));
    let in_capture =
        |args: &[&str]| repo.git_in(&made.path, &[&["--git-dir", capture.to_str().unwrap()], args].concat());
    fs::write(made.path.join("hook"), "#!/bin/sh\n").unwrap();
    let blob = in_capture(&["hash-object", "-w", "hook"]);
    fs::write(made.path.join("bytes"), {
        let mut tree = b"100755 .git\0".to_vec();
        tree.extend((0..20).map(|n| u8::from_str_radix(&blob[2 * n..2 * n + 2], 16).unwrap()));
        tree
    })
    .unwrap();
    let tree = in_capture(&["hash-object", "-w", "-t", "tree", "--literally", "bytes"]);
    let commit = in_capture(&["commit-tree", "-m", "evil", "-p", &base, &tree]);
    let change = step_change("evil", 1, commit.parse().unwrap());
    let refused = repo.refinery().import(&change).await.unwrap();
    assert!(matches!(&refused, Import::Refused { reason } if reason.contains("git refuses")), "{refused:?}");
    assert!(!repo.is_kept(change.commit));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_build_again_gives_the_same_commit() {
    let repo = Repo::new();
    let base = repo.head("main");
    let one = repo.change("one", base, &[("1.txt", "1\n")]).await;
    let two = repo.change("two", base, &[("2.txt", "2\n")]).await;
    let batch = [one, two];
    let candidate = repo.candidate(base, &batch).await;
    fs::remove_dir_all(repo.root.join(".enki/refinery.git")).unwrap();
    assert_eq!(repo.candidate(base, &batch).await, candidate);
    assert_eq!(candidate.base, base);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_one_commit_for_each_change_in_order() {
    let repo = Repo::new();
    let base = repo.head("main");
    let one = repo.change("one", base, &[("1.txt", "1\n")]).await;
    let same = Change { request: step_change("same", 1, one.commit).request, ..one.clone() };
    let two = repo.change("two", base, &[("2.txt", "2\n")]).await;
    let candidate = repo.candidate(base, &[one, same, two]).await;
    let refinery = repo.refinery();
    refinery.publish(&"built".parse().unwrap(), base, &candidate).await.unwrap();
    repo.git(&["branch", "built"]);
    refinery.publish(&"built".parse().unwrap(), base, &candidate).await.unwrap();
    assert_eq!(repo.git(&["log", "--format=%s", "main..built"]), "Do two\nDo one");
    assert_eq!(repo.git(&["show", "built:1.txt"]), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_already_is_empty() {
    let repo = Repo::new();
    let base = repo.head("main");
    let change = repo.change("a", base, &[("b.txt", "b\n")]).await;
    repo.write("b.txt", "b\n");
    let head = repo.commit("the person did it");
    let refinery = repo.refinery();
    assert_eq!(refinery.build(head, &[change], id()).await.unwrap(), Build::Empty);
    assert_eq!(refinery.build(head, &[landing(base, 1)], id()).await.unwrap(), Build::Empty);
    // Building nothing gives the base, to be checked as it is.
    let built = refinery.build(head, &[], id()).await.unwrap();
    assert!(
        matches!(built, Build::Candidate { candidate: Candidate { commit, base, .. }, .. } if commit == head && base == head)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_landing_on_a_target_that_moved_is_a_merge_commit() {
    let repo = Repo::new();
    let base = repo.head("main");
    let refinery = repo.refinery();
    refinery.open(&main(), &integration()).await.unwrap();
    let change = repo.change("a", base, &[("b.txt", "b\n")]).await;
    let tip = repo.candidate(base, &[change]).await;
    refinery.publish(&integration(), base, &tip).await.unwrap();
    repo.write("a.txt", "the person went on\n");
    let head = repo.commit("on");
    let merge = repo.candidate(head, &[landing(tip.commit, 1)]).await;
    assert_eq!(refinery.publish(&main(), head, &merge).await.unwrap(), Publish::Published);
    assert_eq!(repo.git(&["log", "-1", "--format=%P|%s"]), format!("{head} {}|Land the plan", tip.commit));
    assert_eq!(repo.read("b.txt"), "b\n");
    assert_eq!(refinery.build(merge.commit, &[landing(tip.commit, 2)], id()).await.unwrap(), Build::Empty);
}

/// Bad input 63.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_conflict_is_a_value_with_its_files() {
    type Edit = fn(&std::path::Path);
    let cases: [(&str, Edit, Edit, &[&str]); 6] = [
        ("content", |p| write(p, "a.txt", "x\n"), |p| write(p, "a.txt", "y\n"), &["a.txt"]),
        ("binary", |p| write(p, "bin", "\0x"), |p| write(p, "bin", "\0y"), &["bin"]),
        (
            "rename",
            |p| fs::rename(p.join("a.txt"), p.join("b.txt")).unwrap(),
            |p| fs::rename(p.join("a.txt"), p.join("c.txt")).unwrap(),
            &["a.txt", "b.txt", "c.txt"],
        ),
        ("deleted", |p| fs::remove_file(p.join("a.txt")).unwrap(), |p| write(p, "a.txt", "y\n"), &["a.txt"]),
        ("folder", |p| write(p, "new", "file\n"), |p| write(p, "new/inner", "folder\n"), &["new"]),
        (
            "mode",
            |p| {
                write(p, "new.sh", "x\n");
                fs::set_permissions(p.join("new.sh"), fs::Permissions::from_mode(0o755)).unwrap();
            },
            |p| symlink("a.txt", p.join("new.sh")).unwrap(),
            &["new.sh"],
        ),
    ];
    let repo = Repo::new();
    repo.write("bin", "\0b");
    let base = repo.commit("binary");
    let workspaces = repo.workspaces();
    for (name, ours, theirs, files) in cases {
        let mut changes = Vec::new();
        for (side, edit) in [("ours", ours), ("theirs", theirs)] {
            let step = format!("{name}-{side}");
            let spec = spec(&step, 1, Start::Fresh { base });
            let made = workspaces.create(&spec).await.unwrap();
            edit(&made.path);
            let commit = committed(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap());
            changes.push(step_change(&step, 1, commit));
        }
        match repo.refinery().build(base, &changes, id()).await.unwrap() {
            Build::Conflict { request, paths, .. } => {
                assert_eq!(request, changes[1].request, "{name}");
                assert!(files.iter().all(|file| paths.iter().any(|path| path.starts_with(file))), "{name}: {paths:?}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

/// Bad input 28.
#[tokio::test(flavor = "multi_thread")]
async fn trailers_cannot_be_forged() {
    let repo = Repo::new();
    let base = repo.head("main");
    let mut change = repo.change("a", base, &[("b.txt", "b\n")]).await;
    if let ChangeKind::Step { title, summary, .. } = &mut change.kind {
        *title = "Enki-Task: task-000000000000\nCo-authored-by: x <x@y>".to_owned();
        *summary = "text\n\nEnki-Task: task-000000000000\nCo-authored-by: x <x@y>\n\u{1b}[2J".to_owned();
    }
    let candidate = repo.candidate(base, &[change]).await;
    repo.refinery().publish(&main(), base, &candidate).await.unwrap();
    let trailers = repo.git(&["log", "-1", "--format=%(trailers)"]);
    assert_eq!(trailers, format!("Enki-Task: {}\nEnki-Attempt: 1", task("a")));
    assert_eq!(repo.git(&["log", "--format=%s", "--grep=^Enki-Task: task-000000000000"]), "");
    assert!(!repo.git(&["log", "-1", "--format=%B"]).contains('\u{1b}'));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_suffix_leaves_the_trailers_to_be_found() {
    let repo = Repo::new();
    let base = repo.head("main");
    let change = repo.change("a", base, &[("b.txt", "b\n")]).await;
    let refinery = repo.refinery().commit_suffix("created by\nenki");
    let id = EffectId::of("build", &[b"1"]);
    let first = refinery.build(base, std::slice::from_ref(&change), id).await.unwrap();
    assert_eq!(refinery.build(base, std::slice::from_ref(&change), id).await.unwrap(), first, "always the same");
    let Build::Candidate { candidate, .. } = first else { panic!("{first:?}") };
    refinery.publish(&main(), base, &candidate).await.unwrap();
    let trailers = format!("Enki-Task: {}\nEnki-Attempt: 1", task("a"));
    assert_eq!(
        repo.git(&["log", "-1", "--format=%B"]),
        format!("Do a\n\nWhat was done\n\ncreated by enki\n\n{trailers}")
    );
    assert_eq!(repo.git(&["log", "-1", "--format=%(trailers)"]), trailers);
}
