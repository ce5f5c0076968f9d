//! A branch beside the work: what is committed to it is exactly what was made, and what a person does with it counts.

use crate::support::*;
use enki_core::id::CommitId;
use enki_core::time::Timestamp;
use enki_vcs_git::{GitError, SideBranch};
use std::fs;

const AT: Timestamp = Timestamp(1_700_000_000_000);

fn side(repo: &Repo) -> SideBranch {
    repo.project().side_branch("results").unwrap()
}

/// Writes a file of the branch, and commits it until it is there.
fn add(side: &SideBranch, path: &str, text: &str) {
    let held = side.hold().unwrap();
    for _ in 0..3 {
        write(&side.files(), path, text);
        if held.commit(&[path.to_owned()], &format!("add {path}"), AT).unwrap() {
            return;
        }
    }
    panic!("{path} never came onto the branch");
}

/// A commit of the person on top of the branch, made elsewhere.
fn person(repo: &Repo, path: &str, text: &str) -> CommitId {
    let elsewhere = tempfile::tempdir().unwrap();
    let at = elsewhere.path().join("w");
    repo.git(&["worktree", "add", "-q", at.to_str().unwrap(), "results"]);
    write(&at, path, text);
    repo.git_in(&at, &["add", "-A"]);
    repo.git_in(&at, &["commit", "-qm", "by the person"]);
    repo.git(&["worktree", "remove", "--force", at.to_str().unwrap()]);
    repo.head("results")
}

fn why(error: GitError) -> String {
    match error {
        GitError::UnfitBranch { why, .. } => why,
        other => panic!("{other}"),
    }
}

#[test]
fn files_come_onto_a_branch_of_their_own_and_nowhere_else() {
    let repo = Repo::new();
    let (before, side) = (repo.head("main"), side(&repo));
    add(&side, "docs/log/result/a.md", "one\r\ntwo");
    add(&side, "docs/log/activity.md", "# Activity\n");
    assert_eq!(repo.git(&["ls-tree", "-r", "--name-only", "results"]), "docs/log/activity.md\ndocs/log/result/a.md");
    assert_eq!(repo.git(&["show", "results:docs/log/result/a.md"]), "one\r\ntwo", "as it is");
    assert_eq!(
        repo.git(&["log", "--format=%an %s", "results"]),
        "Enki add docs/log/activity.md\nEnki add docs/log/result/a.md"
    );
    let tip = repo.head("results");
    add(&side, "docs/log/activity.md", "# Activity\n");
    assert_eq!(repo.head("results"), tip, "what is there already needs no commit");
    assert_eq!((repo.head("main"), repo.status().as_str()), (before, ""));
    repo.git(&["fsck", "--strict", "--no-dangling"]);
}

#[test]
fn what_a_person_commits_there_is_seen_and_built_on() {
    let repo = Repo::new();
    let side = side(&repo);
    add(&side, "docs/log/result/a.md", "- [ ] ship\n");
    let theirs = person(&repo, "docs/log/result/a.md", "- [x] ship\n");
    drop(side.hold().unwrap());
    assert_eq!(fs::read_to_string(side.files().join("docs/log/result/a.md")).unwrap(), "- [x] ship\n");
    // One that comes while the files are held: nothing of either is lost.
    let held = side.hold().unwrap();
    write(&side.files(), "docs/log/result/b.md", "b");
    let later = person(&repo, "c.md", "c");
    let paths = ["docs/log/result/b.md".to_owned()];
    assert!(!held.commit(&paths, "b", AT).unwrap(), "it says that the branch has moved");
    assert_eq!(repo.head("results"), later);
    write(&side.files(), "docs/log/result/b.md", "b");
    assert!(held.commit(&paths, "b", AT).unwrap());
    assert_eq!(repo.git(&["rev-list", "results"]).lines().nth(2), Some(theirs.to_string().as_str()));
    let files = repo.git(&["ls-tree", "-r", "--name-only", "results"]);
    assert_eq!(files, "c.md\ndocs/log/result/a.md\ndocs/log/result/b.md");
    drop(held);
    // What they take away is gone here too.
    repo.git(&["branch", "-f", "results", &theirs.to_string()]);
    drop(side.hold().unwrap());
    assert!(!side.files().join("c.md").exists());
    repo.git(&["branch", "-D", "results"]);
    drop(side.hold().unwrap());
    assert!(!side.files().join("docs").exists(), "a branch that is gone has no files");
}

#[test]
fn its_files_are_made_again_of_the_branch() {
    let repo = Repo::new();
    let side = side(&repo);
    add(&side, "docs/log/result/a.md", "a");
    let home = side.files().parent().unwrap().to_owned();
    let file = side.files().join("docs/log/result/a.md");
    fs::remove_dir_all(&home).unwrap();
    drop(side.hold().unwrap());
    assert_eq!(fs::read_to_string(&file).unwrap(), "a");
    // As a loss of power and a killed git leave them, while nobody looks.
    for (name, text) in
        [("index", ""), ("index", "\0\0\0\0"), ("at", ""), ("index.lock", ""), ("next", "x"), ("next.lock", "")]
    {
        fs::write(home.join(name), text).unwrap();
        add(&side, "docs/log/result/b.md", &format!("{name} {text:?}"));
        assert_eq!(fs::read_to_string(&file).unwrap(), "a", "after a broken {name}");
    }
    // Nor is anything of the branch lost by one that is gone.
    fs::remove_file(home.join("index")).unwrap();
    add(&side, "docs/log/result/c.md", "c");
    let files = repo.git(&["ls-tree", "-r", "--name-only", "results"]);
    assert_eq!(files, "docs/log/result/a.md\ndocs/log/result/b.md\ndocs/log/result/c.md");
    // What nobody committed is no part of a branch of another name.
    write(&side.files(), "stray.md", "stray");
    let other = repo.project().side_branch("others").unwrap();
    add(&other, "x.md", "x");
    assert_eq!(repo.git(&["ls-tree", "-r", "--name-only", "others"]), "x.md");
    assert!(!file.exists());
}

#[test]
fn a_branch_in_use_or_of_somebody_else_is_refused() {
    let repo = Repo::new();
    let project = repo.project();
    assert!(why(project.side_branch("main").unwrap().require_unused().unwrap_err()).contains("checked out at"));
    assert!(why(project.side_branch("enki/log").unwrap_err()).contains("Enki's own"));
    assert!(why(project.side_branch("origin:log").unwrap_err()).contains("remote"));
    assert!(project.side_branch("a..b").is_err());
    // Checked out later: nothing moves under a person's files.
    let side = side(&repo);
    add(&side, "a.md", "a");
    let tip = repo.head("results");
    repo.git(&["checkout", "-q", "results"]);
    let held = side.hold().unwrap();
    write(&side.files(), "b.md", "b");
    assert!(why(held.commit(&["b.md".to_owned()], "b", AT).unwrap_err()).contains("checked out at"));
    assert_eq!((repo.head("results"), repo.status().as_str()), (tip, ""));
}

#[test]
fn no_filter_and_no_link_of_the_branch_is_followed() {
    let repo = Repo::new();
    let mark = repo.root.join("ran");
    repo.git(&["config", "filter.evil.smudge", &format!("touch {}; cat", mark.display())]);
    repo.git(&["config", "filter.evil.clean", &format!("touch {}; cat", mark.display())]);
    let side = side(&repo);
    add(&side, "a.md", "a");
    let theirs = {
        // By plumbing: with the filter set, the person's own git would run it.
        let blob = repo.sh("printf '* filter=evil\\n' | git hash-object -w --no-filters --stdin");
        let tree = repo.sh(&format!(
            "(git ls-tree results; printf '100644 blob {}\\t.gitattributes\\n') | git mktree",
            blob.trim()
        ));
        repo.sh(&format!("git -c user.name=P -c user.email=p@x commit-tree -p results -m attributes {}", tree.trim()))
    };
    repo.git(&["update-ref", "refs/heads/results", theirs.trim()]);
    add(&side, "b.md", "b");
    assert_eq!(repo.git(&["ls-tree", "-r", "--name-only", "results"]), ".gitattributes\na.md\nb.md");
    assert!(!mark.exists(), "a filter ran");
}
