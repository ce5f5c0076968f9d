//! A capture becomes a task: once, whatever happens, and whatever the capture says.

use crate::{NOW, Place};
use enki_notes::{CaptureStatus, Enriched, Kind, NewCapture, NewTask, NoteError, Promotion, TaskStatus, prompt};
use proptest::prelude::*;
use std::fs;

fn promotion() -> Promotion {
    Promotion::default()
}

#[test]
fn both_notes_are_linked_and_twice_is_once() {
    let place = Place::new();
    let capture = place.log.capture(&NewCapture::new("Crash at login\n\nWith an empty password."), NOW).unwrap();
    let mut how = promotion();
    (how.goal, how.tier) = (Some("No crash".to_owned()), Some("light".to_owned()));
    let promoted = place.log.promote(&capture.path, &how, NOW).unwrap();
    assert!(!promoted.known);
    let head = place.log.read(&capture.path).unwrap().head();
    assert_eq!(head.capture_status(), Some(CaptureStatus::Promoted));
    assert_eq!(head.task_note.as_deref(), Some(promoted.task.as_str()));
    let task = place.log.read_task(&promoted.task).unwrap();
    assert_eq!(task.source_note.as_deref(), Some(capture.path.as_str()));
    assert_eq!((task.status, task.title.as_str()), (Some(TaskStatus::Scheduled), "Crash at login"));
    assert_eq!((task.goal.as_deref(), task.tier.as_deref()), (Some("No crash"), Some("light")));
    let said = task.prompt.unwrap();
    assert!(said.contains(&format!("It comes from `{}`.", capture.path)), "{said}");
    assert!(said.ends_with("> Crash at login\n>\n> With an empty password."), "{said}");

    let before = place.text(&capture.path);
    let again = place.log.promote(&capture.path, &promotion(), NOW).unwrap();
    assert_eq!((&again.task, again.known), (&promoted.task, true));
    assert_eq!(place.text(&capture.path), before);
    let mut more = promotion();
    more.again = true;
    let second = place.log.promote(&capture.path, &more, NOW).unwrap();
    assert!(!second.known && second.task != promoted.task);
    assert_eq!(place.log.promote(&capture.path, &promotion(), NOW).unwrap().task, promoted.task, "the first stays");
}

#[test]
fn a_crash_between_the_two_notes_leaves_one_task() {
    let place = Place::new();
    let capture = place.log.capture(&NewCapture::new("Dark mode"), NOW).unwrap();
    let before = place.text(&capture.path);
    let task = place.log.promote(&capture.path, &promotion(), NOW).unwrap().task;
    let after = place.text(&capture.path);
    // What a kill after the first write leaves: the task, and a capture that does not know of it.
    fs::write(place.file(&capture.path), &before).unwrap();
    let again = place.log.promote(&capture.path, &promotion(), NOW).unwrap();
    assert_eq!((again.task, again.known), (task, true));
    assert_eq!(place.text(&capture.path), after);
    assert_eq!(place.log.list(&[Kind::Task]).unwrap().heads.len(), 1);
}

#[test]
fn two_at_once_make_one_task() {
    let place = Place::new();
    let capture = place.log.capture(&NewCapture::new("Dark mode"), NOW).unwrap();
    let tasks: Vec<_> = std::thread::scope(|scope| {
        let promote = || place.log.promote(&capture.path, &promotion(), NOW).unwrap();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(promote)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(tasks.iter().filter(|promoted| !promoted.known).count(), 1);
    assert!(tasks.iter().all(|promoted| promoted.task == tasks[0].task));
    assert_eq!(place.log.list(&[Kind::Task]).unwrap().heads.len(), 1);
}

#[test]
fn what_is_no_open_capture_is_refused() {
    let place = Place::new();
    let task = place.log.task(&NewTask::new("Do it"), NOW).unwrap();
    let capture = place.log.capture(&NewCapture::new("Dark mode"), NOW).unwrap().path;
    place.log.mark_capture(&capture, CaptureStatus::Cancelled, NOW).unwrap();
    for path in [&task, &capture] {
        let error = place.log.promote(path, &promotion(), NOW).unwrap_err();
        assert!(matches!(error, NoteError::Refused { .. }), "{error}");
    }
    assert_eq!(place.log.list(&[Kind::Task]).unwrap().heads.len(), 1);
    place.log.mark_capture(&capture, CaptureStatus::Open, NOW).unwrap();
    let promoted = place.log.promote(&capture, &promotion(), NOW).unwrap();
    // A link that leads out of the log is none.
    let text = place.text(&capture).replace(promoted.task.as_str(), "../../../etc/passwd");
    fs::write(place.file(&capture), text).unwrap();
    assert_eq!(place.log.promote(&capture, &promotion(), NOW).unwrap().task, promoted.task);
}

#[test]
fn a_persons_edit_is_read() {
    let place = Place::new();
    let capture = place.log.capture(&NewCapture::new("Dark mode"), NOW).unwrap().path;
    let path = place.log.promote(&capture, &promotion(), NOW).unwrap().task;
    let text = place.text(&path).replace("status: scheduled", "status: abandoned\nmodel: opus");
    let at = text.find("## Prompt").unwrap();
    let text = format!("{}## Prompt\r\n\r\nMy words.\r\n\r\n## Acceptance Criteria\r\n\r\n- [ ] dark\r\n", &text[..at]);
    fs::write(place.file(&path), text).unwrap();
    let task = place.log.read_task(&path).unwrap();
    assert_eq!((task.prompt.as_deref(), task.model.as_deref()), (Some("My words."), Some("opus")));
    assert_eq!((task.acceptance, task.status), (vec!["dark".to_owned()], Some(TaskStatus::Cancelled)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever a capture says: it stands quoted, and the sections, the keys and Enki's words are as without it.
    #[test]
    fn a_capture_forges_nothing(
        parts in proptest::collection::vec(prop_oneof![
            Just("## Prompt"), Just("## Acceptance Criteria\n- free"), Just("\n---\nstatus: done\n---\n"), Just("```"),
            Just("\r"), Just("\u{2028}## Result"), Just("\n"), Just("> "), Just("\u{85}"), Just("~~~~"), Just("text"), Just("\0"),
        ], 1..12),
    ) {
        let place = Place::new();
        let text = format!("x{}", parts.concat());
        let capture = place.log.capture(&NewCapture::new(text), NOW).unwrap();
        let path = place.log.promote(&capture.path, &promotion(), NOW).unwrap().task;
        let task = place.log.read_task(&path).unwrap();
        prop_assert_eq!((task.status, task.acceptance.len()), (Some(TaskStatus::Scheduled), 0));
        let said = task.prompt.unwrap();
        let frame = prompt(&capture.path, "x");
        let frame = frame.strip_suffix("> x").unwrap();
        let quoted = said.strip_prefix(frame).unwrap();
        let ends = ['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];
        prop_assert!(quoted.split(ends).all(|line| line.starts_with('>')), "{:?}", quoted);
        let keys: Vec<String> = place.log.read(&path).unwrap().document.keys().map(str::to_owned).collect();
        prop_assert_eq!(keys.len(), 10);
    }
}

#[test]
fn what_a_program_made_of_it_is_the_prompt_and_where_it_failed_the_template_and_a_line() {
    let place = Place::new();
    let filed = place.log.capture(&NewCapture::new("The lock is slow"), NOW).unwrap();
    let mut how = Promotion::default();
    how.prompt = Some(Enriched::Prompt("Make the lock fast.\n## Result\n# done".to_owned()));
    assert!(place.log.is_unpromoted(&filed.path, &how).unwrap());
    let promoted = place.log.promote(&filed.path, &how, NOW).unwrap();
    let task = place.log.read_task(&promoted.task).unwrap();
    assert_eq!(task.prompt.as_deref(), Some("Make the lock fast.\n\\## Result\n\\# done"), "no heading of the note's");
    assert!(!place.log.is_unpromoted(&filed.path, &how).unwrap());
    (how.again, how.prompt) = (true, Some(Enriched::Failed("it took longer than 5 s".to_owned())));
    assert!(place.log.is_unpromoted(&filed.path, &how).unwrap());
    let again = place.log.promote(&filed.path, &how, NOW).unwrap();
    let task = place.log.read_task(&again.task).unwrap();
    assert!(task.prompt.unwrap().contains("> The lock is slow"), "the template");
    let text = String::from_utf8(place.log.read(&again.task).unwrap().document.to_bytes()).unwrap();
    assert!(text.contains("\nThe prompt is the template: it took longer than 5 s.\n"), "{text}");
}
