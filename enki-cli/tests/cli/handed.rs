//! Notes that a person gives to another project: by its name in the note, before they are promoted or put in.

use crate::common::{Place, both, code, git};
use crate::queue::{add, entries, key, notes, place, task, text};
use std::fs;

/// Two projects of one list, `one` and `two`.
fn two() -> (Place, Place) {
    let (one, two) = (place(), place());
    let home = |place: &Place| place.dir.path().join("home");
    let list = format!("[projects.one]\nroot = {:?}\n\n[projects.two]\nroot = {:?}\n", one.root, two.root);
    for place in [&one, &two] {
        fs::create_dir_all(home(place).join(".config/enki")).unwrap();
        fs::write(home(place).join(".config/enki/projects.toml"), &list).unwrap();
    }
    (one, two)
}

/// Says in a note that it is of that project.
fn give(place: &Place, note: &str, name: &str) {
    let own = format!("project_primary: {}\n", key(place, note, "project_primary").unwrap());
    let text = text(place, note);
    assert!(text.contains(&own), "{text}");
    fs::write(place.root.join(note), text.replace(&own, &format!("project_primary: {name}\n"))).unwrap();
}

/// The copy of a note, by what it says of that.
fn went_to(place: &Place, note: &str) -> String {
    assert_eq!(key(place, note, "status").as_deref(), Some("cancelled"));
    key(place, note, "moved_to").unwrap().strip_prefix("two:").unwrap().to_owned()
}

#[test]
fn a_task_that_names_another_project_is_done_there() {
    let (one, two) = two();
    let note = task(&one, "Elsewhere");
    give(&one, &note, "two");
    let added = add(&one, &[&note]);
    let copy = went_to(&one, &note);
    assert_eq!((&added["tasks"], &added["moved_to"]), (&serde_json::json!([&copy]), &"two".into()));
    assert_eq!((entries(&one, &[]).len(), entries(&two, &[]).len()), (0, 1));
    // Again is the same entry.
    assert_eq!(add(&one, &[&note])["queue_id"], added["queue_id"]);
    let ran = two.enki(&["queue", "run"]);
    assert_eq!(code(&ran), 0, "{}", both(&ran));
    assert_eq!(key(&two, &copy, "status").as_deref(), Some("done"));
    assert_eq!(key(&two, &copy, "moved_from"), Some(format!("one:{note}")));
    assert!(git(&two.root, &["log", "--format=%s", "main"]).lines().count() > 1, "it landed there");
    assert_eq!((notes(&one, "result").len(), notes(&two, "result").len()), (0, 1));
    assert!(!one.root.join(".enki/enki.db").exists(), "nothing was done here");
    // Each says where the rest of the story is.
    let trace = |place: &Place, note: &str| both(&place.enki(&["trace", note]));
    assert!(trace(&one, &note).contains(&format!("(now two:{copy})")), "{}", trace(&one, &note));
    let there = trace(&two, &copy);
    assert!(there.contains(&format!("(from one:{note})")) && there.contains("landed"), "{there}");
}

#[test]
fn a_capture_that_names_another_project_is_promoted_there() {
    let (one, two) = two();
    let noted = one.enki(&["note", "The shop is broken"]);
    let capture = String::from_utf8(noted.stdout).unwrap().trim_end().to_owned();
    give(&one, &capture, "two");
    let promoted = one.json(&["promote", &capture]);
    let copy = went_to(&one, &capture);
    let task = promoted["task"].as_str().unwrap();
    assert_eq!((&promoted["note"], key(&two, task, "source_note")), (&copy.as_str().into(), Some(copy.clone())));
    assert!(notes(&one, "task").is_empty());
    // Started by one call, it is driven there.
    let again = one.enki(&["promote", &capture, "--run"]);
    assert_eq!(code(&again), 0, "{}", both(&again));
    assert_eq!(key(&two, &copy, "status").as_deref(), Some("resolved"));
    // One of which a task was made stays where that is.
    let noted = one.enki(&["note", "The shop is slow"]);
    let capture = String::from_utf8(noted.stdout).unwrap().trim_end().to_owned();
    assert_eq!(code(&one.enki(&["promote", &capture])), 0);
    give(&one, &capture, "two");
    let refused = one.enki(&["promote", &capture, "--again"]);
    assert!(code(&refused) == 2 && both(&refused).contains("was made of it"), "{}", both(&refused));
}

#[test]
fn one_that_waits_here_is_held_until_it_is_given_up_or_given_back() {
    let (one, two) = two();
    let note = task(&one, "Elsewhere");
    let entry = add(&one, &[&note]);
    let id = entry["queue_id"].as_str().unwrap();
    give(&one, &note, "two");
    let refused = one.enki(&["queue", "add", &note]);
    assert!(
        code(&refused) == 2 && both(&refused).contains("is of project two, and in the queue here"),
        "{}",
        both(&refused)
    );
    let ran = one.enki(&["queue", "run"]);
    assert_eq!(code(&ran), 8, "{}", both(&ran));
    let hold = one.json(&["show", id])["holds"][0].clone();
    assert!(hold["reason"].as_str().unwrap().contains("is of project two now"), "{hold}");
    assert_eq!(code(&one.enki(&["queue", "cancel", id])), 0);
    add(&one, &[&note]);
    let copy = went_to(&one, &note);
    assert_eq!((key(&two, &copy, "status").as_deref(), entries(&two, &[]).len()), (Some("pending"), 1));
    // A task that was promoted goes without its capture.
    let noted = one.enki(&["note", "The shop is broken"]);
    let capture = String::from_utf8(noted.stdout).unwrap().trim_end().to_owned();
    let task = one.json(&["promote", &capture])["task"].as_str().unwrap().to_owned();
    give(&one, &task, "two");
    add(&one, &[&task]);
    let copy = went_to(&one, &task);
    let there = two.json(&["trace", &copy]);
    assert_eq!((&there["broken"], &there["task"]["path"]), (&serde_json::json!([]), &copy.as_str().into()), "{there}");
    assert_eq!(one.json(&["trace", &capture])["task"]["moved_to"], format!("two:{copy}"));
}

#[test]
fn notes_of_a_project_whose_folder_is_called_as_another_project_stay() {
    let (one, two) = two();
    let folder = two.root.file_name().unwrap().to_str().unwrap();
    let list = format!("[projects.{folder}]\nroot = {:?}\n\n[projects.two]\nroot = {:?}\n", one.root, two.root);
    fs::write(two.dir.path().join("home/.config/enki/projects.toml"), list).unwrap();
    let note = task(&two, "Here");
    assert_eq!(key(&two, &note, "project_primary").as_deref(), Some(folder));
    assert_eq!(add(&two, &[&note])["moved_to"], serde_json::Value::Null);
    let ran = two.enki(&["queue", "run"]);
    assert_eq!(code(&ran), 0, "{}", both(&ran));
    assert_eq!((key(&two, &note, "status").as_deref(), notes(&one, "task").len()), (Some("done"), 0));
}

#[test]
fn a_name_that_nobody_knows_is_said_and_the_note_stays() {
    let (one, two) = two();
    let (note, other) = (task(&one, "Here"), task(&one, "There"));
    give(&one, &note, "of-a-colleague");
    let added = one.enki(&["queue", "add", &note]);
    assert_eq!(code(&added), 0, "{}", both(&added));
    assert!(both(&added).contains("names project of-a-colleague"), "{}", both(&added));
    assert_eq!(entries(&one, &[]).len(), 1);
    // Several go together, or not at all.
    let third = task(&one, "Here too");
    give(&one, &other, "two");
    let refused = one.enki(&["queue", "add", &third, &other]);
    assert!(code(&refused) == 2 && both(&refused).contains("of several projects"), "{}", both(&refused));
    assert!(notes(&two, "task").is_empty());
}
