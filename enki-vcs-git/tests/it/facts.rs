//! What the design relies on, asked of the git at hand: one that behaves differently is noticed here first. Facts that
//! other tests hold: F2 to F5, F15, F16 and F23 in `hostile`, F6 in `killed`, F10 and F18 in `publish`, F13 in the tests
//! of `enki-process`, F14 in `workspaces`, F17 in `capture`, F19 in `project`. F24 and F25 are about what no code uses
//! yet.

use crate::support::*;
use std::fs;

fn code(repo: &Repo, args: &[&str]) -> Option<i32> {
    repo.try_git_in(&repo.root, args).status.code()
}

#[test]
fn f1_a_linked_worktree_shares_its_configuration_and_a_clone_does_not() {
    let repo = Repo::new();
    let (linked, cloned) = (repo.dir.path().join("linked"), repo.dir.path().join("cloned"));
    repo.git(&["worktree", "add", "-q", "--detach", linked.to_str().unwrap()]);
    repo.git(&["clone", "-q", "--template=", ".", cloned.to_str().unwrap()]);
    repo.git_in(&cloned, &["config", "core.hooksPath", "/from-the-clone"]);
    repo.git_in(&linked, &["config", "core.hooksPath", "/from-the-worktree"]);
    assert_eq!(repo.git(&["config", "core.hooksPath"]), "/from-the-worktree");
    assert!(!cloned.join(".git/hooks").exists(), "F23: an empty template leaves no hooks");
}

/// How often git waited for the disk while the script ran.
fn flushes(repo: &Repo, script: &str) -> u32 {
    let trace = repo.dir.path().join("trace");
    fs::remove_file(&trace).ok();
    repo.sh(&format!("export GIT_TRACE2_PERF='{}'\n{script}", trace.display()));
    let text = fs::read_to_string(&trace).unwrap();
    let counts =
        text.lines().filter_map(|line| line.split("name:hardware-flush value:").nth(1)?.trim().parse::<u32>().ok());
    counts.sum()
}

#[test]
fn f7_git_syncs_files_only_when_asked_and_never_folders() {
    let repo = Repo::new();
    repo.git(&["config", "user.name", "Person"]);
    repo.git(&["config", "user.email", "person@example.org"]);
    if flushes(&repo, "echo new | git -c core.fsync=loose-object hash-object -w --stdin") == 0 {
        println!("skipped: git of this machine does not count how often it waits for the disk");
        return;
    }
    let durably = "git -c core.fsync=committed";
    assert_eq!(flushes(&repo, "git update-ref refs/x/1 HEAD; echo 1 >a.txt; git commit -qam 1"), 0);
    assert_eq!(flushes(&repo, &format!("{durably} update-ref refs/x/2 HEAD")), 1, "the ref");
    let commit = format!("echo 2 >a.txt; {durably} commit -qam 2");
    assert_eq!(flushes(&repo, &commit), 4, "a blob, a tree, a commit and a ref: nothing is left for a folder");
}

#[test]
fn f8_refs_are_compared_and_swapped() {
    let repo = Repo::new();
    let first = repo.head("main").to_string();
    repo.write("b.txt", "b\n");
    let second = repo.commit("second").to_string();
    let zero = "0".repeat(40);
    assert_eq!(code(&repo, &["update-ref", "refs/x/y", &first, &zero]), Some(0));
    assert_eq!(code(&repo, &["update-ref", "refs/x/y", &first, &zero]), Some(128));
    assert_eq!(code(&repo, &["update-ref", "refs/x/y", &second, &second]), Some(128));
    assert_eq!(code(&repo, &["update-ref", "refs/x/y", &second, &first]), Some(0));
}

#[test]
fn f9_a_commit_with_fixed_dates_has_the_same_id_again() {
    let repo = Repo::new();
    let make = || {
        let dates = "GIT_AUTHOR_DATE='@1 +0000' GIT_COMMITTER_DATE='@1 +0000' git commit-tree -m x HEAD^{tree}";
        repo.git(&["-c", &format!("alias.make=!{dates}"), "make"])
    };
    assert_eq!(make(), make());
}

#[test]
fn f11_a_merge_of_what_does_not_exist_looks_like_a_conflict() {
    let repo = Repo::new();
    assert_eq!(code(&repo, &["merge-tree", "--write-tree", "main", "main"]), Some(0));
    assert_ne!(code(&repo, &["merge-tree", "--write-tree", "main", "refs/heads/none"]), Some(0));
}

#[test]
fn f12_git_takes_refs_that_look_like_options_and_refuses_a_ref_below_a_ref() {
    let repo = Repo::new();
    for name in ["refs/heads/-x", "refs/heads/--upload-pack=x"] {
        assert_eq!(code(&repo, &["check-ref-format", name]), Some(0), "{name}");
    }
    assert_ne!(code(&repo, &["check-ref-format", "--branch", "-x"]), Some(0));
    repo.git(&["branch", "task/a"]);
    assert_eq!(code(&repo, &["update-ref", "refs/heads/task/a/b", "HEAD"]), Some(128));
}

/// What Enki names for configuration and hooks that shall not be there.
#[test]
fn f20_nothing_is_read_from_or_written_to_a_path_below_the_null_device() {
    let repo = Repo::new();
    let set = "GIT_CONFIG_GLOBAL=/dev/null/nowhere HOME=/dev/null/nowhere git config --global a.b c";
    assert_ne!(code(&repo, &["-c", &format!("alias.set=!{set}"), "set"]), Some(0));
    assert!(!fs::symlink_metadata("/dev/null").unwrap().is_file());
    let read = "GIT_CONFIG_GLOBAL=/dev/null/nowhere HOME=/dev/null/nowhere git -c core.hooksPath=/dev/null/nowhere \
                commit -q --allow-empty -m x";
    assert_eq!(code(&repo, &["-c", &format!("alias.read=!{read}"), "read"]), Some(0));
}

/// What packs for `gc` and for a transfer takes whatever standard input has for revisions. Every call of Enki has an
/// input of its own: see `started`.
#[test]
fn f21_git_takes_a_standard_input_that_is_not_meant_for_it() {
    let repo = Repo::new();
    let pack = |input: &str| {
        repo.sh(&format!(
            "printf '{input}' | git pack-objects --revs --stdout -q >../pack 2>../said; echo $?; cat ../said"
        ))
    };
    assert_eq!(pack(""), "0");
    let said = pack("not-meant-for-git\\n");
    assert!(said.starts_with("128") && said.contains("bad revision"), "{said}");
}

#[test]
fn f22_a_bare_repository_is_only_taken_where_it_is_named() {
    let repo = Repo::new();
    repo.git(&["init", "-q", "--bare", "bare.git"]);
    let strict = ["-c", "safe.bareRepository=explicit"];
    assert_eq!(code(&repo, &[&strict[..], &["-C", "bare.git", "rev-parse", "--git-dir"]].concat()), Some(128));
    assert_eq!(code(&repo, &[&strict[..], &["--git-dir=bare.git", "rev-parse", "--git-dir"]].concat()), Some(0));
}
