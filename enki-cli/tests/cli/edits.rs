//! A task note that a person edits while it waits: what counts is what stands there when its run starts.

use crate::common::{Place, both, code, git, until};
use crate::queue::{add, entries, key, notes, place, task, text};
use std::fs;
use std::process::Stdio;

fn edit(place: &Place, note: &str, from: &str, to: &str) {
    let before = text(place, note);
    assert!(before.contains(from), "{before}");
    fs::write(place.root.join(note), before.replacen(from, to, 1)).unwrap();
}

#[test]
fn what_the_note_says_when_it_starts_is_what_is_done_and_the_edit_survives() {
    let place = place();
    place.agent("#!/bin/sh\ngrep -o 'COLOR-[a-z]*\\|CHECK-[a-z]*' >colors.txt\n");
    let note = task(&place, "Paint it COLOR-red");
    let id = add(&place, &[&note]);
    let known = task(&place, "Paint it COLOR-red too");
    let pinned = add(&place, &[&known, "--tier", "light", "--after", id["queue_id"].as_str().unwrap()]);
    edit(&place, &note, "COLOR-red", "COLOR-blue");
    edit(&place, &note, "## Prompt\n\nPaint it COLOR-red", "## Prompt\n\nPaint it COLOR-blue");
    edit(&place, &note, "## Acceptance Criteria\n", "## Acceptance Criteria\n\n- [ ] it is CHECK-ed\n");
    edit(&place, &note, "tags: [task]", "tags: [task]\ntier: heavy   # it is hard\nmine: kept # by me");
    edit(&place, &known, "tags: [task]", "tags: [task]\ntier: heavy");
    let ran = place.enki(&["queue", "run"]);
    assert_eq!(code(&ran), 0, "{}", both(&ran));
    let done = git(&place.root, &["show", "main~1:colors.txt"]);
    assert!(done.contains("COLOR-blue") && done.contains("CHECK-ed") && !done.contains("COLOR-red"), "{done}");
    let after = text(&place, &note);
    assert!(after.contains("\ntier: heavy   # it is hard\nmine: kept # by me\n"), "{after}");
    assert!(after.contains("- [ ] it is CHECK-ed\n") && key(&place, &note, "status").as_deref() == Some("done"));
    let tiers = |of: &serde_json::Value| {
        let all = entries(&place, &["--all"]);
        all.iter().find(|entry| entry["queue_id"] == of["queue_id"]).unwrap()["tiers"][0].clone()
    };
    assert_eq!((tiers(&id), tiers(&pinned)), ("heavy".into(), "light".into()));
    let log = both(&place.enki(&["log", id["queue_id"].as_str().unwrap()]));
    assert_eq!(log.matches("starts by what its note says now").count(), 1, "{log}");
}

#[test]
fn a_model_that_is_written_while_it_waits_is_the_one_that_does_it_and_nothing_guarded_is_light() {
    let place = place();
    let (note, light) = (task(&place, "Mend it"), task(&place, "Mend that"));
    let first = add(&place, &[&note]);
    let id = first["queue_id"].as_str().unwrap();
    add(&place, &[&light, "--tier", "light", "--after", id]);
    edit(&place, &note, "tags: [task]", "tags: [task]\nmodel: gpt-5");
    edit(&place, &light, "## Prompt\n\nMend that", "## Prompt\n\nMend `.github/workflows/ci.yml`");
    let ran = place.enki(&["queue", "run"]);
    assert_eq!(code(&ran), 0, "{}", both(&ran));
    let all = entries(&place, &["--all"]);
    let of = |note: &str| all.iter().find(|entry| entry["task_paths"][0] == note).unwrap().clone();
    assert_eq!(of(&note)["models"][0], "gpt-5", "{all:?}");
    assert_eq!(of(&light)["tiers"][0], "standard", "{all:?}");
}

#[test]
fn one_that_is_cancelled_while_another_runs_is_never_begun() {
    let place = place();
    let (first, second) = (task(&place, "WAIT one"), task(&place, "Two"));
    add(&place, &[&first, &second]);
    let mut driver = place.command(&["queue", "run"]);
    let mut driver = driver.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until(|| key(&place, &first, "status").as_deref() == Some("running"));
    edit(&place, &second, "status: pending", "status: cancelled");
    // Another entry moves, and with it the notes are written.
    let beside = task(&place, "Beside");
    add(&place, &[&beside]);
    until(|| key(&place, &beside, "status").as_deref() == Some("done"));
    place.open_gate();
    assert_eq!(driver.wait().unwrap().code(), Some(0));
    let status = |note: &str| key(&place, note, "status").unwrap();
    assert_eq!((status(&first), status(&second)), ("done".into(), "cancelled".into()));
    let trace = place.json(&["trace", &second]);
    assert_eq!(trace["entries"][0]["attempts"].as_array().unwrap().len(), 0, "{trace}");
    assert_eq!(notes(&place, "result").len(), 3, "it has a result that says so");
}

#[test]
fn one_that_cannot_be_read_is_held_with_its_line_and_left_alone_until_it_is_repaired() {
    let place = place();
    let note = task(&place, "Mend it");
    let id = add(&place, &[&note]);
    let id = id["queue_id"].as_str().unwrap();
    edit(&place, &note, "actionable: true", "actionable: [true");
    let broken = text(&place, &note);
    let ran = place.enki(&["queue", "run"]);
    assert_eq!(code(&ran), 8, "{}", both(&ran));
    assert_eq!(entries(&place, &[])[0]["status"], "held");
    let hold = place.json(&["show", id])["holds"][0].clone();
    let reason = hold["reason"].as_str().unwrap();
    assert!(hold["kind"] == "note" && reason.contains(&format!("{note}:")), "{hold}");
    assert_eq!(text(&place, &note), broken, "it is left alone");
    edit(&place, &note, "actionable: [true", "actionable: true");
    assert_eq!(code(&place.enki(&["resume", id])), 0);
    assert_eq!(code(&place.enki(&["queue", "run"])), 0);
    assert_eq!(key(&place, &note, "status").as_deref(), Some("done"));
    // One that is gone is not done by what it said once.
    let gone = task(&place, "Gone");
    let added = add(&place, &[&gone]);
    fs::remove_file(place.root.join(&gone)).unwrap();
    let ran = place.enki(&["queue", "run"]);
    assert!(code(&ran) == 8 && both(&ran).contains("is not there any more"), "{}", both(&ran));
    assert_eq!(code(&place.enki(&["queue", "cancel", added["queue_id"].as_str().unwrap()])), 0);
}
