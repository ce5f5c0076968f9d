//! What is written when a run has ended: once, whatever cuts it short.

use crate::{NOW, Place};
use enki_core::time::Timestamp;
use enki_notes::{
    CaptureStatus, Kind, LogDir, NewCapture, NewResult, NoteError, NotePath, Promotion, ResultStatus, TaskStatus,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

const ENDED: Timestamp = Timestamp(NOW.0 + 600_000);

/// A capture, its task, and the result of a run of that.
fn promoted(place: &Place, status: ResultStatus) -> (NotePath, NotePath, NewResult) {
    let mut new = NewCapture::new("The catalogue is slow.");
    new.kind = Some(Kind::Issue);
    let capture = place.log.capture(&new, NOW).unwrap().path;
    let task = place.log.promote(&capture, &Promotion::default(), NOW).unwrap().task;
    let mut result = NewResult::new("The catalogue is slow.", status, task.clone(), "0f3a91c2d4e5");
    (result.model, result.session) = ("opus".to_owned(), "s-1".to_owned());
    (result.duration, result.source_note) = (Duration::from_millis(339_800), Some(capture.as_str().to_owned()));
    result.summary = "First.\n\n## Prompt\n\nIt is fast now.".to_owned();
    (capture, task, result)
}

/// All files with their bytes.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn a_run_that_went_well_is_told_in_the_task_the_capture_and_the_activity_log() {
    let place = Place::new();
    let (capture, task, mut result) = promoted(&place, ResultStatus::Done);
    result.proposals = vec!["ship it\non Friday".to_owned(), "drop the old cache".to_owned()];
    let settled = place.log.settle(&result, ENDED).unwrap();
    assert!(settled.faults.is_empty() && settled.issue.is_none(), "{settled:?}");
    assert_eq!(settled.result.as_str(), "docs/log/result/result-enki-20231114-222320-0f3a91c2d4e5.md");
    let text = place.text(&task);
    for part in [
        "status: done\n",
        "result_note: docs/log/result/result-enki-20231114-222320-0f3a91c2d4e5.md\n",
        "completed: 2023-11-14T22:23:20Z\n",
        "## Result\n\nCompleted in 339.8s (1 steps, model: opus)\n\nSession s-1.\nResult: `docs/log/result/",
        "> First.\n>\n> ## Prompt\n>\n> It is fast now.\n",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let read = place.log.read_task(&task).unwrap();
    assert_eq!(read.status, Some(TaskStatus::Done));
    assert!(read.prompt.unwrap().starts_with("Fix or handle"), "what an agent says is no section of the task");
    let text = place.text(&capture);
    assert!(text.contains("status: resolved\n") && text.contains(settled.result.as_str()), "{text}");
    let activity = fs::read_to_string(place.dir.path().join("shop/docs/log/activity.md")).unwrap();
    let expected = format!(
        "# Activity\n\n## 2023-11-14 22:23 | shop | opus | 1 steps\n\nCompleted in 339.8s (1 steps, model: opus)\n\n> It is \
         fast now.\n\nsession s-1, task `{task}`, result `{}`\n",
        settled.result
    );
    assert_eq!(activity, expected);
    let proposals = || place.log.proposals().unwrap().into_iter().map(|one| one.text).collect::<Vec<_>>();
    assert_eq!(proposals(), ["ship it on Friday", "drop the old cache"]);
    let file = place.file(&settled.result);
    fs::write(&file, place.text(&settled.result).replace("- [ ] ship", "- [x] ship")).unwrap();
    assert_eq!(proposals(), ["drop the old cache"], "a person has ticked one");
}

#[test]
fn what_a_person_wrote_below_a_result_stays_whatever_ends_next() {
    let place = Place::new();
    let (_, task, mut result) = promoted(&place, ResultStatus::Failed);
    let edit = |change: &dyn Fn(String) -> String| fs::write(place.file(&task), change(place.text(&task))).unwrap();
    let below = "It was on fire.\n\n> said somebody\n\n## My remarks\n\nLook at the cache first.\n";
    edit(&|text| text + "\n" + below);
    place.log.settle(&result, ENDED).unwrap();
    let text = place.text(&task);
    let (before, after) = text.split_once("\n## Result\n\nFailed after 339.8s (1 steps, model: opus)\n").unwrap();
    assert!(after.ends_with(&format!("\n> It is fast now.\n\n{below}")), "{text}");
    // Above it, between it and the next ones, and with an output and without.
    edit(&|text| text.replace("## Result\n", "## Result\n\nMine, above.\n"));
    result.attempt = 2;
    for (n, summary) in ["", "Well.", "", "Better.\n\nMuch."].into_iter().enumerate() {
        (result.status, result.summary) = (ResultStatus::Done, summary.to_owned());
        let at = Timestamp(ENDED.0 + 60_000 * i64::try_from(n + 1).unwrap());
        let named = place.log.settle(&result, at).unwrap().result;
        let said = match summary {
            "" => String::new(),
            one => format!(":\n\n> {}", one.replace("\n\n", "\n>\n> ")),
        };
        let expected = format!(
            "{before}\n## Result\n\nMine, above.\n\nCompleted in 339.8s (1 steps, model: opus)\n\nSession s-1.\nResult: \
             `{named}`{said}\n\n{below}"
        );
        let body = |text: &str| text.split_once("\n---\n").unwrap().1.to_owned();
        assert_eq!(body(&place.text(&task)), body(&expected), "{n}");
    }
}

#[test]
fn a_run_that_failed_files_one_issue_for_each_reason() {
    let place = Place::new();
    let (capture, task, mut result) = promoted(&place, ResultStatus::Failed);
    result.failure = Some("the check failed\n## Prompt".to_owned());
    result.advice = vec!["enki log 0f3a91c2d4e5".to_owned()];
    let first = place.log.settle(&result, ENDED).unwrap();
    let issue = first.issue.unwrap();
    let text = place.text(&issue);
    for part in [
        "title: \"Execution failed: The catalogue is slow.\"\n",
        "source: agent-execution\n",
        "Failed after 339.8s (1 steps, model: opus): the check failed ## Prompt\n",
        "- session: s-1\n",
        "- enki log 0f3a91c2d4e5\n",
        first.result.as_str(),
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(place.text(&task).contains("status: failed\n"));
    assert!(place.text(&capture).contains("status: promoted\n"), "it is still to be done");
    // Tried again, it fails for the same reason, for another one, and goes well.
    let later = |minutes: i64| Timestamp(ENDED.0 + minutes * 60_000);
    result.attempt = 2;
    let at_once = place.log.settle(&result, ENDED).unwrap();
    assert_ne!(at_once.result, first.result, "within a second too");
    let same = place.log.settle(&result, later(1)).unwrap();
    assert_eq!(same.issue, Some(issue.clone()));
    assert_ne!(same.result, first.result);
    result.failure = Some("the agent crashed".to_owned());
    result.status = ResultStatus::Timeout;
    let other = place.log.settle(&result, later(2)).unwrap();
    assert_ne!(other.issue, Some(issue));
    (result.status, result.failure) = (ResultStatus::Done, None);
    place.log.settle(&result, later(3)).unwrap();
    assert!(place.text(&capture).contains("status: resolved\n") && place.text(&task).contains("status: done\n"));
    let heads = place.log.list(&[Kind::Issue]).unwrap().heads;
    assert_eq!(heads.iter().filter(|head| head.title.starts_with("Execution failed")).count(), 2);
    let activity = fs::read_to_string(place.dir.path().join("shop/docs/log/activity.md")).unwrap();
    assert_eq!(activity.matches("\n## 2023").count(), 5, "{activity}");
    // One that was given up is no issue.
    result.status = ResultStatus::Cancelled;
    assert!(place.log.settle(&result, later(4)).unwrap().issue.is_none());
    assert!(place.text(&task).contains("status: cancelled\n"));
}

#[test]
fn whatever_of_it_is_missing_is_written_and_nothing_twice() {
    for status in [ResultStatus::Done, ResultStatus::Failed] {
        let place = Place::new();
        let root = place.dir.path().join("shop");
        let (_, _, mut result) = promoted(&place, status);
        result.failure = (status == ResultStatus::Failed).then(|| "it broke".to_owned());
        let before = files(&root);
        place.log.settle(&result, ENDED).unwrap();
        let after = files(&root);
        let changed: Vec<&String> = after.keys().filter(|path| after.get(*path) != before.get(*path)).collect();
        assert_eq!(changed.len(), if result.failure.is_some() { 5 } else { 4 }, "{changed:?}");
        // Each of the files alone may be as it was, or all but that, or all.
        let all = (1_u32 << changed.len()) - 1;
        let patterns = (0..changed.len()).flat_map(|n| [1 << n, all ^ (1 << n)]).chain([0, all]);
        for pattern in patterns {
            for (_, path) in changed.iter().enumerate().filter(|(n, _)| pattern & (1 << n) != 0) {
                match before.get(*path) {
                    Some(bytes) => fs::write(root.join(path), bytes).unwrap(),
                    None => fs::remove_file(root.join(path)).unwrap(),
                }
            }
            place.log.settle(&result, ENDED).unwrap();
            assert!(files(&root) == after, "{pattern:b} of {changed:?}");
        }
    }
}

#[test]
fn notes_that_a_person_removed_or_broke_stop_nothing() {
    let place = Place::new();
    let (capture, task, result) = promoted(&place, ResultStatus::Done);
    fs::remove_file(place.file(&task)).unwrap();
    fs::write(place.file(&capture), "---\nstatus: [\n---\n").unwrap();
    let settled = place.log.settle(&result, ENDED).unwrap();
    let [NoteError::Broken(broken), NoteError::NotFound { .. }] = &settled.faults[..] else { panic!("{settled:?}") };
    assert_eq!(broken.path, capture.as_str());
    assert_eq!(place.text(&capture), "---\nstatus: [\n---\n", "it is left as it is");
    assert!(place.text(&settled.result).contains("status: done\n"));
    // What a person dropped meanwhile stays dropped.
    let place = Place::new();
    let (capture, _, result) = promoted(&place, ResultStatus::Done);
    place.log.mark_capture(&capture, CaptureStatus::Cancelled, NOW).unwrap();
    place.log.settle(&result, ENDED).unwrap();
    assert!(place.text(&capture).contains("status: cancelled\n"));
}

#[test]
fn all_that_is_written_stands_in_the_folder_that_a_person_chose() {
    let mut place = Place::new();
    // What stands in the folder that it would be else is none of these.
    place.put("idea/idea-enki-20231114-222320-000000.md", "---\ntitle: x\nstatus: open\n---\n");
    place.log = place.log.below(LogDir::parse("notes").unwrap());
    let (capture, task, mut result) = promoted(&place, ResultStatus::Failed);
    result.failure = Some("it broke".to_owned());
    let settled = place.log.settle(&result, ENDED).unwrap();
    assert!(settled.faults.is_empty(), "{settled:?}");
    for linked in [&capture, &task] {
        assert!(place.text(linked).contains(&format!("\nresult_note: {}\n", settled.result)), "{}", place.text(linked));
    }
    let all: Vec<String> = files(&place.dir.path().join("shop/notes")).into_keys().collect();
    let issue = settled.issue.unwrap();
    let mut expected: Vec<String> = [&capture, &task, &settled.result, &issue]
        .iter()
        .map(|path| path.as_str().strip_prefix("notes/").unwrap().to_owned())
        .chain(["activity.md".to_owned()])
        .collect();
    expected.sort();
    assert_eq!(all, expected);
    assert_eq!(files(&place.dir.path().join("shop/docs")).len(), 1);
    assert_eq!(place.log.list(&Kind::ALL).unwrap().heads.len(), 4);
    assert_eq!(place.log.find(task.file()).unwrap(), task);
    assert!(place.log.find("docs/log/idea/idea-enki-20231114-222320-000000.md").is_err());
    assert_eq!(place.log.path(task.as_str()), Some(task));
}

#[test]
fn results_of_another_root_are_committed_before_anything_says_that_they_are_there() {
    let mut place = Place::new();
    // One of before stays where it is, and is read.
    let (_, _, mut earlier) = promoted(&place, ResultStatus::Done);
    earlier.queue_id = "aaaaaaaaaaaa".to_owned();
    let earlier = place.log.settle(&earlier, ENDED).unwrap().result;
    let elsewhere = tempfile::tempdir().unwrap();
    place.log = place.log.with_results(elsewhere.path());
    let (capture, task, mut result) = promoted(&place, ResultStatus::Done);
    result.proposals = vec!["ship it".to_owned()];
    let root = place.dir.path().join("shop");
    let before = files(&root);
    // Somebody else has the branch first, once: what was written is gone.
    let mut asked = Vec::new();
    let settled = place.log.settle_with(&result, ENDED, |paths| {
        assert!(files(&root) == before, "nothing says so yet");
        assert!(paths.iter().all(|path| elsewhere.path().join(path).is_file()), "{paths:?}");
        asked.push(paths.to_vec());
        if asked.len() == 1 {
            fs::remove_dir_all(elsewhere.path().join("docs")).unwrap();
        }
        Ok(asked.len() > 1)
    });
    let settled = settled.unwrap();
    let written = [settled.result.to_string(), "docs/log/activity.md".to_owned()];
    assert_eq!(asked, [written.clone(), written.clone()]);
    let mut there: Vec<String> = files(elsewhere.path()).into_keys().collect();
    there.reverse();
    assert_eq!(there, written);
    for linked in [&capture, &task] {
        assert!(place.text(linked).contains(&format!("\nresult_note: {}\n", settled.result)));
    }
    assert_eq!(place.log.find(settled.result.file()).unwrap(), settled.result);
    assert!(place.log.read(&settled.result).unwrap().document.text("task") == Some(task.as_str()));
    let listed: Vec<NotePath> =
        place.log.list(&[Kind::Result]).unwrap().heads.into_iter().map(|head| head.path).collect();
    assert_eq!(listed, [earlier.clone(), settled.result.clone()]);
    assert_eq!(place.log.proposals().unwrap().len(), 1);
    // The one of before, found in both, is one.
    fs::copy(place.file(&earlier), elsewhere.path().join(earlier.as_str())).unwrap();
    assert_eq!(place.log.list(&[Kind::Result]).unwrap().heads.len(), 2);
    // What cannot be committed is told to nobody, and the next start does it.
    let (capture, _, mut result) = promoted(&place, ResultStatus::Failed);
    result.queue_id = "bbbbbbbbbbbb".to_owned();
    let before = files(&root);
    let refused = place.log.settle_with(&result, ENDED, |_| Ok(false)).unwrap_err();
    assert!(refused.to_string().contains("all the time"), "{refused}");
    assert!(files(&root) == before);
    let settled = place.log.settle_with(&result, ENDED, |_| Ok(true)).unwrap();
    assert!(place.text(&capture).contains(settled.result.as_str()));
    assert!(root.join(settled.issue.unwrap().as_str()).is_file(), "an issue is a note to work with");
}

#[test]
fn a_full_activity_log_is_followed_by_another() {
    let place = Place::new();
    let (_, _, mut result) = promoted(&place, ResultStatus::Done);
    let folder = place.dir.path().join("shop/docs/log");
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    place.log.settle(&result, ENDED).unwrap();
    let full = text("activity.md") + &"x".repeat(256 << 10);
    fs::write(folder.join("activity.md"), &full).unwrap();
    place.log.settle(&result, ENDED).unwrap();
    assert!(!folder.join("activity-2.md").exists(), "it is there already");
    result.queue_id = "bbbbbbbbbbbb".to_owned();
    place.log.settle(&result, ENDED).unwrap();
    assert_eq!((text("activity.md") == full, text("activity-2.md").matches("\n## ").count()), (true, 1));
    // The last of a file that was full, told once more after a crash.
    result.queue_id = "0f3a91c2d4e5".to_owned();
    place.log.settle(&result, ENDED).unwrap();
    assert_eq!(text("activity-2.md").matches("\n## ").count(), 1);
    fs::write(folder.join("activity-2.md"), "x".repeat(9 << 20)).unwrap();
    result.queue_id = "cccccccccccc".to_owned();
    place.log.settle(&result, ENDED).unwrap();
    assert_eq!(text("activity-3.md").matches("\n## ").count(), 1);
}
