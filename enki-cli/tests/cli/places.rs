//! Where work can be done and where it can land: folders without git, and branches of a remote.

use crate::common::{Place, both, call, call_with, git, repository};
use enki_cli::Exit;
use std::fs;
use std::path::Path;
use std::process::Output;

/// Appends to `all.txt` and makes a file of its own.
const AGENT: &str = r#"#!/bin/sh
cat >/dev/null
if [ -n "$MEANWHILE" ] && [ "$ENKI_STEP_ID" = b ]; then sh -c "$MEANWHILE"; fi
echo "by $ENKI_STEP_ID" >>all.txt
mkdir -p made && echo "$ENKI_STEP_ID" >"made/$ENKI_STEP_ID.txt"
"#;

/// A folder without anything of git.
fn folder() -> Place {
    Place::folder("folder", AGENT)
}

/// `meanwhile` is what the person does while step b is at work.
fn settings(place: &Place, meanwhile: &str) {
    place.settings_with(&[("MEANWHILE", meanwhile)], "");
}

/// Runs three steps in a row.
fn run(place: &Place, more: &[&str]) -> Output {
    let plan = place.plan("plan.json", &["a", "b: a", "c: b"]);
    place.enki(&[&["run", plan.to_str().unwrap()], more].concat())
}

fn names(root: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_folder_without_git_is_worked_on_after_init_and_nothing_else_is_left_in_it() {
    let place = folder();
    fs::write(place.root.join("all.txt"), "mine\n").unwrap();
    let refused = run(&place, &[]);
    assert_eq!(refused.status.code(), Some(3), "{}", both(&refused));
    assert!(both(&refused).contains("`enki init`"), "{}", both(&refused));
    assert_eq!(names(&place.root), ["all.txt"]);

    let init = place.enki(&["init"]);
    assert_eq!(init.status.code(), Some(0), "{}", both(&init));
    assert!(both(&init).contains(".enki/project.git") && both(&init).contains("made "), "{}", both(&init));
    let again = place.enki(&["init"]);
    assert!(both(&again).contains("nothing changed"), "{}", both(&again));
    let all = place.root.join("all.txt");
    // An editor that read the file before a landing, and wrote it after that, would throw away what landed.
    let edit = format!(
        "echo notes >'{0}/notes.txt'; until grep -q 'by a' '{1}'; do sleep 0.02; done; sed -i '1s/^/first\\n/' '{1}'",
        place.root.display(),
        all.display()
    );
    settings(&place, &edit);
    let output = run(&place, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", both(&output));
    // What the person wrote meanwhile and what the steps did are both there.
    assert_eq!(fs::read_to_string(all).unwrap(), "first\nmine\nby a\nby b\nby c\n");
    assert_eq!(names(&place.root), [".enki", "all.txt", "made", "notes.txt"]);
    assert_eq!(names(&place.root.join("made")), ["a.txt", "b.txt", "c.txt"]);
    let status = place.enki(&["status"]);
    assert!(both(&status).contains("3 done") || both(&status).contains("done"), "{}", both(&status));
    let below = place.command_in(&place.root.join("made"), &["status"]).output().unwrap();
    assert_eq!(below.status.code(), Some(0), "{}", both(&below));
}

#[test]
fn init_refuses_the_home_folder_and_the_root_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    fs::create_dir(&home).unwrap();
    for (folder, why) in [(home.as_path(), "it is your home folder"), (dir.path(), "your home folder is in it")] {
        let answer = call_with(folder, &["init"], &[("HOME", home.to_str().unwrap())], "");
        assert_eq!(answer.exit, Exit::Environment);
        assert!(answer.stderr.contains(why), "{}", answer.stderr);
        assert!(!folder.join(".enki").exists());
    }
    let answer = call(Path::new("/"), &["init"]);
    assert!(
        answer.exit == Exit::Environment && answer.stderr.contains("the root of the file system"),
        "{}",
        answer.stderr
    );
}

#[test]
fn a_run_lands_on_a_branch_of_the_remote() {
    let place = folder();
    repository(&place.root);
    let server = place.dir.path().join("server.git");
    git(place.dir.path(), &["init", "-q", "--bare", server.to_str().unwrap()]);
    git(&place.root, &["remote", "add", "origin", server.to_str().unwrap()]);
    git(&place.root, &["push", "-q", "origin", "main"]);
    let other = place.dir.path().join("other");
    git(place.dir.path(), &["clone", "-q", server.to_str().unwrap(), other.to_str().unwrap()]);
    assert_eq!(place.enki(&["init"]).status.code(), Some(0));
    // Somebody else pushes while step b is at work.
    let me = "-c user.name=o -c user.email=o@example.invalid";
    let retry = "until git push -q; do git pull -q --rebase; done";
    // What step a did may land just before it.
    let push = format!(
        "git {me} commit -q --allow-empty -m theirs && {}",
        retry.replace("git pull", &format!("git {me} pull"))
    );
    settings(&place, &format!("cd '{}' && {push}", other.display()));

    for (target, named) in [("upstream:main", "origin:main"), ("origin:nope", "origin:main"), ("origin/main", "main")] {
        let refused = run(&place, &["--target", target]);
        assert_eq!(refused.status.code(), Some(2), "{}", both(&refused));
        assert!(both(&refused).contains(named), "{}", both(&refused));
    }
    let output = run(&place, &["--target", "origin:main"]);
    assert_eq!(output.status.code(), Some(0), "{}", both(&output));
    assert!(both(&output).contains("origin:main is at "), "{}", both(&output));
    let log = git(&server, &["log", "--format=%s", "main"]);
    for message in ["theirs", "begin", "Step a", "Step b", "Step c"] {
        assert_eq!(log.lines().filter(|line| *line == message).count(), 1, "{log}");
    }
    assert_eq!(git(&server, &["show", "main:all.txt"]), "by a\nby b\nby c\n");
    // Their own branch and files are as they were.
    assert_eq!(git(&place.root, &["log", "--format=%s", "main"]), "begin\n");
    assert_eq!(git(&place.root, &["status", "--porcelain"]), "");
}
