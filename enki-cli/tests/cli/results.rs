//! What a result, the activity log and a filed issue say of a run: by which model it was done, and where what it said stands.

use crate::common::{Place, both, code};
use crate::queue::{add, key, notes, place, task, text};
use std::fs;

/// The result of a task, once the queue was driven.
fn result(place: &Place, task: &str) -> String {
    let ran = place.enki(&["queue", "run"]);
    assert!([0, 7].contains(&code(&ran)), "{}", both(&ran));
    key(place, task, "result_note").unwrap()
}

#[test]
fn the_model_that_was_named_is_told_wherever_it_was_named() {
    let place = place();
    place.settings("[models]\nlight = \"small-1\"\n");
    let bad = task(&place, "BREAK it");
    add(&place, &[&bad, "--model", "opus"]);
    let told = result(&place, &bad);
    assert_eq!(key(&place, &told, "model").as_deref(), Some("opus"), "{}", text(&place, &told));
    assert!(text(&place, &bad).contains("(1 steps, model: opus)"), "{}", text(&place, &bad));
    assert!(text(&place, "docs/log/activity.md").contains(" | opus | 1 steps\n"));
    let [issue] = &notes(&place, "issue")[..] else { panic!() };
    assert!(text(&place, issue).contains("\n- model: opus\n"), "{}", text(&place, issue));
    let listed = place.json(&["queue", "list", "--all"]);
    assert_eq!(
        (&listed["entries"][0]["models"][0], &listed["entries"][0]["tiers"][0]),
        (&"opus".into(), &"heavy".into())
    );
    // By the note, by a tier, by the settings, and by a name that is no tier's.
    for (args, line, model) in [
        (&[][..], "model: sonnet\n", "sonnet"),
        (&["--tier", "heavy"], "", "opus"),
        (&[], "model: haiku\n", "small-1"),
        (&["--model", "gpt-5"], "model: haiku\n", "gpt-5"),
    ] {
        let task = task(&place, "Mend it");
        let path = place.root.join(&task);
        let noted = fs::read_to_string(&path).unwrap().replace("actionable:", &format!("{line}actionable:"));
        fs::write(&path, noted).unwrap();
        add(&place, &[&[task.as_str()], args].concat());
        let told = result(&place, &task);
        assert_eq!(key(&place, &told, "model").as_deref(), Some(model), "{args:?} {line}");
    }
}

#[test]
fn a_transcript_is_the_file_of_what_the_last_attempt_said() {
    let place = place();
    let bad = task(&place, "BREAK it");
    add(&place, &[&bad]);
    let told = text(&place, &result(&place, &bad));
    let section = told.split("\n## Transcript\n").nth(1).unwrap();
    let path = section.split('`').nth(1).unwrap();
    assert!(path.starts_with(".enki/logs/exec-") && section.contains("`enki log exec-"), "{section}");
    assert!(text(&place, path).contains("it cannot be done"), "{}", text(&place, path));
    let [issue] = &notes(&place, "issue")[..] else { panic!() };
    assert!(text(&place, issue).contains(&format!("- transcript: `{path}`")), "{}", text(&place, issue));
    // What was never begun said nothing.
    let never = task(&place, "Never");
    add(&place, &[&never, "--at", "2999-01-01T00:00:00Z"]);
    assert_eq!(code(&place.enki(&["queue", "cancel", &never])), 0);
    let told = text(&place, &key(&place, &never, "result_note").unwrap());
    assert!(told.contains("## Transcript\n\n`enki log exec-"), "{told}");
}
