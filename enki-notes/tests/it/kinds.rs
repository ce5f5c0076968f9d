//! The five kinds, as they stand in files.

use crate::{NOW, Place};
use enki_core::time::Timestamp;
use enki_notes::{
    CaptureStatus, Document, Kind, NewCapture, NewResult, NewTask, NoteError, ResultStatus, Source, TaskStatus, Value,
};
use proptest::prelude::*;
use std::fs;
use std::time::Duration;

#[test]
fn a_capture_is_a_note_that_a_person_can_read() {
    let place = Place::new();
    let mut new = NewCapture::new("Login page crashes: empty password\n\nSeen twice.\n");
    new.source = Source::Conversation;
    new.tags = vec!["web".to_owned()];
    new.task_id = Some("task-0f3a91c2d4e5".to_owned());
    new.context = Some("- 0123456 Add the page".to_owned());
    let filed = place.log.capture(&new, NOW).unwrap();
    assert_eq!(
        place.text(&filed.path),
        format!(
            r#"---
title: "Login page crashes: empty password"
status: open
created: 2023-11-14T22:13:20Z
updated: 2023-11-14T22:13:20Z
timestamp: 2023-11-14T22:13:20Z
tags: [issue, web]
source: conversation
project_primary: shop
capture_id: {}
confidence: 0.8
task_id: task-0f3a91c2d4e5
---

Login page crashes: empty password

Seen twice.

## Source context

- 0123456 Add the page
"#,
            if filed.capture_id.starts_with(|c: char| c.is_ascii_digit()) {
                format!("\"{}\"", filed.capture_id)
            } else {
                filed.capture_id.clone()
            }
        )
    );
    assert_eq!(filed.path.kind(), Kind::Issue);
    let near = place.log.capture(&NewCapture::new("The login page wants a longer password"), NOW).unwrap();
    let text = place.text(&near.path);
    assert!(text.ends_with(&format!("\n## Related Notes\n\n- {}\n", filed.path)), "{text}");
    assert_eq!(place.log.read(&near.path).unwrap().text(), "The login page wants a longer password");
}

#[test]
fn a_task_and_a_result_have_their_sections() {
    let place = Place::new();
    let mut new = NewTask::new("Cache the catalogue\nin memory.");
    (new.goal, new.tier) = (Some("Second request under 5 ms.".to_owned()), Some("light".to_owned()));
    let path = place.log.task(&new, NOW).unwrap();
    let text = place.text(&path);
    assert_eq!(
        text,
        r#"---
title: Cache the catalogue
date: 2023-11-14
timestamp: 2023-11-14T22:13:20Z
status: scheduled
actionable: true
prompt: ""
project_primary: shop
tags: [task]
source: worklog-promote
goal: Second request under 5 ms.
tier: light
---

## Goal

Second request under 5 ms.

## Context

Written as a task.

## Prompt

Cache the catalogue
in memory.

## Acceptance Criteria

## Result
"#
    );
    let sections = NewTask::new("## Prompt\n\nDo it.\n\n## Acceptance Criteria\n\n- [ ] works\n");
    let own = place.log.task(&sections, NOW).unwrap();
    assert_eq!(place.text(&own).matches("## Prompt").count(), 1, "wrapped once");
    let task = place.log.read_task(&own).unwrap();
    assert_eq!((task.prompt.as_deref(), task.acceptance), (Some("Do it."), vec!["works".to_owned()]));

    let mut result = NewResult::new("Cache the catalogue", ResultStatus::Timeout, path, "0f3a91c2d4e5");
    (result.duration, result.summary) = (Duration::from_millis(339_800), "It is cached.".to_owned());
    let path = place.log.settle(&result, NOW).unwrap().result;
    let text = place.text(&path);
    for part in [
        "status: timeout\n",
        "duration_s: 339.8\n",
        "steps: 1\n",
        "tags: [result]\n",
        "\n## Summary\n\n> It is cached.\n",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert!(path.as_str().starts_with("docs/log/result/result-enki-"));
}

#[test]
fn what_a_person_put_in_any_kind_stays_over_an_update() {
    let place = Place::new();
    for kind in Kind::ALL {
        // Keys of their own, in an order of their own, with comments.
        let text = format!(
            "---\r\nzeta: [1,  2]   # mine\r\nstatus: open # so far\r\n# a line\r\ntitle: 'T'\r\nupdated: x\r\n---\r\n{kind} \u{e9}"
        );
        place.put(&format!("{kind}/{kind}-me-20231114-221320-own.md"), &text);
        let path = place.log.find(&format!("{kind}-me-20231114-221320-own")).unwrap();
        let expected = if kind.is_capture() {
            place.log.mark_capture(&path, CaptureStatus::Resolved, NOW).unwrap();
            text.replace("open", "resolved").replace("updated: x", "updated: 2023-11-14T22:13:20Z")
        } else {
            place.log.mark_task(&path, TaskStatus::Done, &[]).unwrap();
            text.replace("open", "done")
        };
        assert_eq!(place.text(&path), expected);
    }
}

#[test]
fn a_word_of_others_that_means_the_same_is_left() {
    let place = Place::new();
    place.put("task/t-20231114-221320-x.md", "---\nstatus: COMPLETE\n---\n");
    let path = place.log.find("t-20231114-221320-x.md").unwrap();
    place.log.mark_task(&path, TaskStatus::Done, &[("queue_id", "0f3a91c2d4e5")]).unwrap();
    assert_eq!(place.text(&path), "---\nstatus: COMPLETE\nqueue_id: \"0f3a91c2d4e5\"\n---\n");
    assert_eq!(place.log.read_task(&path).unwrap().queue_id.as_deref(), Some("0f3a91c2d4e5"));
}

#[test]
fn what_cannot_be_read_is_listed_and_never_written() {
    let place = Place::new();
    let hostile: [(&str, Vec<u8>); 8] = [
        ("none", b"# A title\n".to_vec()),
        ("twice", b"---\ntitle: a\ntitle: b\n---\n".to_vec()),
        ("tab", b"---\ntitle: a\n\tb: c\n---\n".to_vec()),
        ("endless", [b"---\n".to_vec(), b"a: b\n".repeat(2 << 20)].concat()),
        ("latin", b"---\ntitle: caf\xe9\n---\n".to_vec()),
        ("alias", b"---\ntitle: *a\n---\n".to_vec()),
        ("flow", b"---\n{title: a}\n---\n".to_vec()),
        ("empty", Vec::new()),
    ];
    for (name, bytes) in &hostile {
        place.put(&format!("idea/idea-me-20231114-221320-{name}.md"), bytes);
    }
    place.put(
        "idea/idea-me-20231114-221320-big.md",
        [b"---\nstatus: open\n---\n".to_vec(), vec![b'x'; 10 << 20]].concat(),
    );
    let listing = place.log.list(&Kind::ALL).unwrap();
    assert_eq!((listing.heads.len(), listing.broken.len()), (1, hostile.len()), "{:?}", listing.broken);
    assert_eq!(listing.broken.iter().find(|b| b.path.contains("twice")).unwrap().line, 3);
    for (name, bytes) in &hostile {
        let path = place.log.find(&format!("idea-me-20231114-221320-{name}.md")).unwrap();
        for error in [
            place.log.mark_capture(&path, CaptureStatus::Cancelled, NOW).unwrap_err(),
            place.log.rewrite(&path, "x", NOW).unwrap_err(),
            place.log.promote(&path, &Default::default(), NOW).unwrap_err(),
        ] {
            assert!(matches!(error, NoteError::Broken(_)), "{error}");
        }
        assert_eq!(&fs::read(place.file(&path)).unwrap(), bytes);
    }
    let big = place.log.find("idea-me-20231114-221320-big").unwrap();
    assert!(matches!(place.log.mark_capture(&big, CaptureStatus::Cancelled, NOW), Err(NoteError::Broken(_))));
    assert_eq!(fs::metadata(place.file(&big)).unwrap().len(), 21 + (10 << 20));
}

#[test]
fn a_capture_is_rewritten_without_what_enki_put_after_it() {
    let place = Place::new();
    let mut new = NewCapture::new("Old words");
    new.context = Some("- 0123456 x".to_owned());
    let path = place.log.capture(&new, NOW).unwrap().path;
    place.log.rewrite(&path, "New words\n\nand more", Timestamp(NOW.0 + 60_000)).unwrap();
    let text = place.text(&path);
    assert!(text.contains("title: New words\n") && text.contains("updated: 2023-11-14T22:14:20Z"), "{text}");
    assert!(
        text.ends_with("\n---\n\nNew words\n\nand more\n\n## Source context\n\n- 0123456 x\n".trim_start()),
        "{text}"
    );
    assert!(place.log.rewrite(&path, " \n", NOW).is_err());
    assert!(place.log.capture(&NewCapture::new("\n"), NOW).is_err());
    assert_eq!(place.text(&path), text);
}

#[test]
fn no_change_of_one_is_lost_by_another() {
    let place = Place::new();
    let path = place.log.capture(&NewCapture::new("x"), NOW).unwrap().path;
    std::thread::scope(|scope| {
        for n in 0..8 {
            let (log, path) = (&place.log, &path);
            scope.spawn(move || {
                for m in 0..20 {
                    log.mark_task(path, TaskStatus::Pending, &[(&format!("k{n}_{m}"), "v")]).unwrap();
                }
            });
        }
    });
    let note = place.log.read(&path).unwrap();
    assert_eq!(note.document.keys().filter(|key| key.starts_with('k')).count(), 160);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_text_is_a_capture_that_is_read_back(text in any::<String>(), more in any::<String>()) {
        let place = Place::new();
        let text = format!("x{text}");
        let mut new = NewCapture::new(text.clone());
        new.tags = vec![more.clone()];
        let filed = place.log.capture(&new, NOW).unwrap();
        let note = place.log.read(&filed.path).unwrap();
        let tags = note.document.list("tags");
        prop_assert_eq!(tags[1], more);
        prop_assert_eq!(note.document.text("capture_id"), Some(filed.capture_id.as_str()));
        let body = format!("\n{}\n", text.trim_end());
        prop_assert_eq!(note.document.body(), body.as_bytes());
        let listed = place.log.list(&Kind::ALL).unwrap();
        prop_assert_eq!(&listed.heads[0], &note.head());
        prop_assert!(Document::of(&[("a", Value::text(text.clone()))], "").text("a") == Some(text.as_str()));
    }
}

#[test]
fn a_task_that_waits_is_not_made_to_wait_again_after_a_person_cancelled_it() {
    let place = Place::new();
    let path = place.log.task(&NewTask::new("Mend it"), NOW).unwrap();
    let status = || place.log.read_task(&path).unwrap().status;
    place.log.mark_pending(&path, "0123456789ab").unwrap();
    assert_eq!(status(), Some(TaskStatus::Pending));
    place.log.mark_task(&path, TaskStatus::Cancelled, &[]).unwrap();
    let before = place.log.read(&path).unwrap().document.to_bytes();
    place.log.mark_pending(&path, "0123456789ab").unwrap();
    assert_eq!(place.log.read(&path).unwrap().document.to_bytes(), before, "it is left as it is");
    // A later entry of the same note is another thing.
    place.log.mark_pending(&path, "ba9876543210").unwrap();
    let task = place.log.read_task(&path).unwrap();
    assert_eq!((task.status, task.queue_id.as_deref()), (Some(TaskStatus::Pending), Some("ba9876543210")));
}
