//! A note goes to another project.

use crate::{NOW, Place};
use enki_notes::{
    Between, CaptureStatus, Kind, Log, NewCapture, NewResult, NewTask, NoteError, NotePath, Promotion, ResultStatus,
    TaskStatus,
};
use std::fs;

const NAMES: Between<'_> = Between { from: "shop", to: "till" };

const BACK: Between<'_> = Between { from: "till", to: "shop" };

/// Another project beside.
fn other(place: &Place) -> Log {
    let root = place.dir.path().join("till");
    fs::create_dir_all(&root).unwrap();
    Log::new(root)
}

fn there(place: &Place, path: &NotePath) -> String {
    fs::read_to_string(place.dir.path().join("till").join(path.as_str())).unwrap()
}

#[test]
fn the_copy_has_what_a_person_wrote_and_both_say_where_the_other_is() {
    let place = Place::new();
    let till = other(&place);
    let capture = place.log.capture(&NewCapture::new("Crash at login"), NOW).unwrap().path;
    let task = place.log.promote(&capture, &Promotion::default(), NOW).unwrap().task;
    let edited = place.text(&task).replace("project_primary: shop", "project_primary: till # theirs\nmine: kept");
    fs::write(place.file(&task), edited.replace("## Prompt\n", "## Prompt\n\nMine too.\n")).unwrap();
    assert_eq!(place.log.project_of(&task).unwrap().as_deref(), Some("till"));

    let copy = place.log.hand_over(&task, &till, NAMES, NOW).unwrap();
    let text = there(&place, &copy);
    for part in [
        "project_primary: till",
        "mine: kept\n",
        "status: scheduled\n",
        &format!("moved_from: \"shop:{task}\"\n"),
        &format!("source_note: \"shop:{capture}\"\n"),
        "## Prompt\n\nMine too.\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let text = place.text(&task);
    assert!(text.contains(&format!("moved_to: \"till:{copy}\"\n")) && text.contains("status: cancelled\n"), "{text}");
    // Again is the same, also where the link was lost in a crash.
    assert_eq!(place.log.hand_over(&task, &till, NAMES, NOW).unwrap(), copy);
    fs::write(place.file(&task), edited).unwrap();
    assert_eq!(place.log.hand_over(&task, &till, NAMES, NOW).unwrap(), copy);
    // By then it may have another name.
    let unlinked = place.text(&task).replace("moved_to", "was_moved_to").replace("cancelled", "scheduled");
    fs::write(place.file(&task), unlinked).unwrap();
    let moved = till.root().join("docs/log/task/mine.md");
    fs::rename(till.root().join(copy.as_str()), &moved).unwrap();
    let copy = place.log.hand_over(&task, &till, NAMES, NOW).unwrap();
    assert_eq!(copy.as_str(), "docs/log/task/mine.md");
    assert_eq!(till.list(&Kind::ALL).unwrap().heads.len(), 1);
    // It is one of that project now, and of no third.
    let third = place.log.hand_over(&task, &Log::new(place.dir.path()), Between { to: "third", ..NAMES }, NOW);
    assert!(third.unwrap_err().to_string().contains(&format!("it is till:{copy} by now")));
    assert_eq!(till.read_task(&copy).unwrap().status, Some(TaskStatus::Scheduled));
    let head = place.log.read(&task).unwrap().head();
    assert_eq!((head.task_status(), head.moved_to), (Some(TaskStatus::Cancelled), Some(format!("till:{copy}"))));
}

#[test]
fn a_capture_goes_with_an_id_of_its_own() {
    let place = Place::new();
    let till = other(&place);
    let filed = place.log.capture(&NewCapture::new("Crash at login"), NOW).unwrap();
    let copy = place.log.hand_over(&filed.path, &till, NAMES, NOW).unwrap();
    let head = till.read(&copy).unwrap().head();
    assert_eq!(head.capture_status(), Some(CaptureStatus::Open));
    assert_ne!(head.capture_id, Some(filed.capture_id));
    assert_eq!(place.log.read(&filed.path).unwrap().head().capture_status(), Some(CaptureStatus::Cancelled));
    assert!(till.promote(&copy, &Promotion::default(), NOW).is_ok());
}

#[test]
fn many_at_once_in_both_directions_make_one_copy_each_and_wait_for_nobody() {
    let place = Place::new();
    let till = other(&place);
    let (here, there) = (Log::new(place.log.root()), Log::new(till.root()));
    let note = |log: &Log, n: usize| log.task(&NewTask::new(format!("Mend {n}.")), NOW).unwrap();
    let ours: Vec<NotePath> = (0..20).map(|n| note(&here, n)).collect();
    let theirs: Vec<NotePath> = (0..20).map(|n| note(&there, n)).collect();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| ours.iter().for_each(|path| drop(here.hand_over(path, &there, NAMES, NOW).unwrap())));
            scope.spawn(|| theirs.iter().for_each(|path| drop(there.hand_over(path, &here, BACK, NOW).unwrap())));
        }
    });
    for log in [&here, &there] {
        assert_eq!(log.list(&[Kind::Task]).unwrap().heads.len(), 40);
    }
}

#[test]
fn what_something_was_made_of_stays() {
    let place = Place::new();
    let till = other(&place);
    let capture = place.log.capture(&NewCapture::new("Crash at login"), NOW).unwrap().path;
    place.log.promote(&capture, &Promotion::default(), NOW).unwrap();
    let before = place.text(&capture);
    let error = place.log.hand_over(&capture, &till, NAMES, NOW).unwrap_err();
    assert!(matches!(error, NoteError::Refused { .. }) && error.to_string().contains("was made of it"), "{error}");
    assert_eq!(place.text(&capture), before);
    assert!(till.list(&Kind::ALL).unwrap().heads.is_empty());
}

#[test]
fn what_a_person_gave_up_is_done_nowhere() {
    let place = Place::new();
    let till = other(&place);
    let capture = place.log.capture(&NewCapture::new("Crash at login"), NOW).unwrap().path;
    let task = place.log.task(&NewTask::new("Mend it."), NOW).unwrap();
    for (note, from, status) in
        [(&capture, "open", "resolved"), (&capture, "resolved", "abandoned"), (&task, "scheduled", "cancelled")]
    {
        let edited = place.text(note).replace(&format!("status: {from}\n"), &format!("status: {status}\n"));
        fs::write(place.file(note), &edited).unwrap();
        let error = place.log.hand_over(note, &till, NAMES, NOW).unwrap_err();
        assert!(matches!(error, NoteError::Refused { .. }), "{status}: {error}");
        assert_eq!(place.text(note), edited);
    }
    assert!(till.list(&Kind::ALL).unwrap().heads.is_empty());
}

#[test]
fn of_a_run_here_the_copy_says_nothing() {
    let place = Place::new();
    let till = other(&place);
    let task = place.log.task(&NewTask::new("Mend it."), NOW).unwrap();
    place.log.mark_pending(&task, "0f3a91c2d4e5").unwrap();
    let result = NewResult::new("Mend it.", ResultStatus::Cancelled, task.clone(), "0f3a91c2d4e5");
    place.log.settle(&result, NOW).unwrap();
    fs::write(place.file(&task), place.text(&task) + "\nMine.\n").unwrap();
    let copy = place.log.hand_over(&task, &till, NAMES, NOW).unwrap();
    let read = till.read_task(&copy).unwrap();
    assert_eq!((read.status, read.queue_id), (Some(TaskStatus::Scheduled), None));
    let text = there(&place, &copy);
    assert!(!text.contains("Cancelled after") && !text.contains("docs/log/result"), "{text}");
    assert!(text.ends_with("Mine.\n"), "{text}");
}
