//! Results that are committed to a branch of their own: with the real binary, git and store.

use crate::common::{Place, both, code, git, until};
use crate::queue::{AGENT, add, key, notes, place, task};
use std::fs;
use std::process::Stdio;

fn with_branch() -> Place {
    let place = place();
    place.settings("[log]\nbranch = \"results\"\n");
    place
}

fn on_branch(place: &Place) -> Vec<String> {
    git(&place.root, &["ls-tree", "-r", "--name-only", "results"]).lines().map(str::to_owned).collect()
}

#[test]
fn results_come_onto_their_branch_and_are_found_from_everything_as_before() {
    let place = with_branch();
    let noted = place.enki(&["note", "The shop is broken"]);
    let capture = String::from_utf8(noted.stdout).unwrap().trim_end().to_owned();
    let promoted = place.enki(&["promote", &capture]);
    let task = String::from_utf8(promoted.stdout).unwrap().trim_end().to_owned();
    let id = add(&place, &[&task])["execution_id"].as_str().unwrap().to_owned();
    let ran = place.enki(&["queue", "run"]);
    assert_eq!(code(&ran), 0, "{}", both(&ran));
    assert!(notes(&place, "result").is_empty(), "nothing of it is in the checkout");
    assert!(!place.root.join("docs/log/activity.md").exists());
    let [activity, result] = &on_branch(&place)[..] else { panic!("{:?}", on_branch(&place)) };
    assert_eq!(activity, "docs/log/activity.md");
    let log = git(&place.root, &["log", "--format=%an: %s", "results"]);
    assert_eq!(log.trim_end(), "Enki: result: The shop is broken", "one commit of each result, on nothing else");
    for note in [&capture, &task] {
        assert_eq!(key(&place, note, "result_note").as_ref(), Some(result));
    }
    let landed = git(&place.root, &["log", "--name-only", "--format=", "main"]);
    assert!(!landed.contains("docs/"), "no result is part of what landed: {landed}");
    let whole = place.json(&["trace", &task]);
    assert_eq!(whole["results"][0]["path"], result.as_str());
    assert_eq!(place.json(&["trace", result]), whole);
    assert_eq!(place.json(&["trace", &id]), whole);
    assert_eq!(place.json(&["search", "done", "--kind", "result"])["hits"][0]["name"], result.as_str());
    assert_eq!(place.json(&["notes", "--kind", "result", "--status", "all"])["notes"][0]["path"], result.as_str());
    // A proposal is decided where it stands: by a commit of the person's.
    assert_eq!(place.json(&["queue", "list", "--proposals"])["proposals"][0]["text"], "ship it");
    let tree = place.dir.path().join("tree");
    git(&place.root, &["worktree", "add", "-q", tree.to_str().unwrap(), "results"]);
    let text = fs::read_to_string(tree.join(result)).unwrap();
    fs::write(tree.join(result), text.replace("- [ ] ship it", "- [x] ship it")).unwrap();
    git(&tree, &["commit", "-qam", "decided"]);
    assert_eq!(place.json(&["queue", "list", "--proposals"])["proposals"], serde_json::json!([]));
    // While they have it checked out nothing is driven, and it is said why.
    let refused = place.enki(&["queue", "run"]);
    assert!(code(&refused) == 2 && both(&refused).contains("checked out at"), "{}", both(&refused));
    git(&place.root, &["worktree", "remove", "--force", tree.to_str().unwrap()]);
    let second = crate::queue::task(&place, "Two");
    add(&place, &[&second]);
    let ran = place.enki(&["queue", "run"]);
    assert_eq!(code(&ran), 0, "{}", both(&ran));
    assert_eq!(git(&place.root, &["rev-list", "--count", "results"]).trim(), "3", "it goes on from theirs");
    git(&place.root, &["fsck", "--strict", "--no-dangling"]);
}

#[test]
fn a_branch_that_is_worked_with_is_refused_before_anything_starts() {
    let place = place();
    let note = task(&place, "One");
    add(&place, &[&note]);
    for (name, why) in [("main", "checked out at"), ("enki/log", "Enki's own"), ("origin:log", "remote")] {
        let mut run = place.command(&["queue", "run"]);
        let ran = run.env("ENKI_LOG_BRANCH", name).output().unwrap();
        assert!(code(&ran) == 2 && both(&ran).contains(why), "{name}: {}", both(&ran));
    }
    assert_eq!(key(&place, &note, "status").as_deref(), Some("pending"));
    git(&place.root, &["branch", "results"]);
    place.settings("[log]\nbranch = \"results\"\n");
    let other = task(&place, "Two");
    let refused = place.enki(&["queue", "add", &other, "--target", "results"]);
    assert!(code(&refused) == 2 && both(&refused).contains("log.branch"), "{}", both(&refused));
    let folder = Place::folder("f", AGENT);
    assert_eq!(code(&folder.enki(&["init"])), 0);
    let refused = folder.command(&["notes"]).env("ENKI_LOG_BRANCH", "results").output().unwrap();
    assert!(code(&refused) == 2 && both(&refused).contains("git init"), "{}", both(&refused));
}

#[test]
fn a_kill_while_results_are_committed_loses_and_doubles_nothing() {
    let place = with_branch();
    // Each is killed when another thing of it is there.
    let moments = ["files/docs/log/result", "files/docs/log/activity.md", "index", "at"];
    for (n, moment) in moments.iter().enumerate() {
        let note = task(&place, &format!("Task {n}"));
        add(&place, &[&note]);
        let side = place.root.join(".enki/side");
        let _ = fs::remove_dir_all(&side);
        let mut driver = place.command(&["queue", "run"]);
        let mut driver = driver.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        until(|| side.join(moment).exists() || driver.try_wait().unwrap().is_some());
        driver.kill().unwrap();
        driver.wait().unwrap();
        let ran = place.enki(&["queue", "run"]);
        assert_eq!(code(&ran), 0, "{}", both(&ran));
        let result = key(&place, &note, "result_note").unwrap();
        let text = git(&place.root, &["show", "results:docs/log/activity.md"]);
        assert_eq!((text.matches("\n## ").count(), text.matches(&result).count()), (n + 1, 1), "{text}");
        assert_eq!(on_branch(&place).len(), n + 2, "{:?}", on_branch(&place));
        assert!(on_branch(&place).contains(&result));
    }
    git(&place.root, &["fsck", "--strict", "--no-dangling"]);
}
