//! `enki trace`: the whole story, whichever part of it is named.

use crate::common::{Place, both, code};
use crate::queue::{AGENT, add, key, notes, place, task};
use serde_json::{Value, json};
use std::fs;

fn said(place: &Place, args: &[&str]) -> String {
    let output = place.enki(args);
    assert_eq!(code(&output), 0, "{args:?}: {}", both(&output));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn trace(place: &Place, what: &str) -> Value {
    place.json(&["trace", what])
}

/// The first word of each line for people.
fn words(place: &Place, what: &str) -> Vec<String> {
    let shown = said(place, &["trace", what]);
    shown.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
}

#[test]
fn a_failure_is_told_from_the_issue_that_was_filed_and_from_what_its_attempt_left() {
    let place = place();
    place.agent(&AGENT.replace("echo \"it cannot", "echo half >half.txt; echo \"it cannot"));
    let capture = said(&place, &["note", "--kind", "observation", "BREAK the shop"]);
    let task = said(&place, &["promote", &capture]);
    let entry = add(&place, &[&task])["queue_id"].as_str().unwrap().to_owned();
    assert_eq!(code(&place.enki(&["queue", "run"])), 7);
    let ([issue], [result]) = (&notes(&place, "issue")[..], &notes(&place, "result")[..]) else { panic!() };
    let whole = trace(&place, issue);
    assert_eq!((&whole["source"]["path"], &whole["task"]["path"]), (&json!(capture), &json!(task)), "{whole}");
    assert_eq!((&whole["issues"][0]["path"], &whole["results"][0]["path"]), (&json!(issue), &json!(result)));
    assert_eq!(whole["entries"][0]["queue_id"], json!(entry));
    let left = whole["entries"][0]["attempts"][0]["work"].as_str().unwrap();
    for name in [&capture, &task, &entry, result, left, &left[..12], &left[..7].to_uppercase()] {
        assert_eq!(trace(&place, name), whole, "{name}");
    }
    assert!(said(&place, &["trace", issue]).contains(&format!("left {}\n", &left[..12])));
    // What is made of the issue belongs to the same story.
    let again = said(&place, &["promote", issue]);
    let whole = trace(&place, &capture);
    assert_eq!((&whole["task"]["path"], &whole["others"][0]["task"]["path"]), (&json!(task), &json!(again)), "{whole}");
    assert_eq!(whole["others"][0]["source"]["path"], json!(issue));
    for name in [&again, issue, &entry] {
        assert_eq!(trace(&place, name), whole, "{name}");
    }
    let tries = whole["entries"][0]["attempts"].as_array().unwrap().len();
    let mut told = vec!["noted", "task", "entry"];
    told.extend(vec!["attempt"; tries]);
    told.extend(["result", "issue", "noted", "task"]);
    assert_eq!(words(&place, &again), told);
}

#[test]
fn a_batch_is_told_whole_from_its_entry_and_each_note_of_it_with_its_own_step() {
    let place = place();
    let all = [task(&place, "First"), task(&place, "Second"), task(&place, "Third")];
    let entry = add(&place, &[&all[0], &all[1], &all[2]])["queue_id"].as_str().unwrap().to_owned();
    assert_eq!(code(&place.enki(&["queue", "run"])), 0);
    let whole = trace(&place, &entry);
    let chains: Vec<&Value> = std::iter::once(&whole).chain(whole["others"].as_array().unwrap()).collect();
    let told: Vec<&str> = chains.iter().map(|one| one["task"]["path"].as_str().unwrap()).collect();
    assert_eq!(told, all, "{whole}");
    for (n, one) in chains.iter().enumerate() {
        let (own, name) = (&one["entries"][0], format!("task-{}", n + 1));
        assert_eq!((&own["step"], &own["queue_id"]), (&json!(name), &json!(entry)), "{whole}");
        assert_eq!((own["attempts"].as_array().unwrap().len(), one["results"].as_array().unwrap().len()), (1, 1));
        // From the note, its result and its commits: that part of it.
        let mut alone = trace(&place, &all[n]);
        assert_eq!(alone["others"], json!([]));
        for name in [&one["results"][0]["path"], &own["attempts"][0]["work"]] {
            assert_eq!(trace(&place, name.as_str().unwrap()), alone, "{name}");
        }
        // Several may land as one commit, which is of all of them.
        for commit in [&own["commit"], &own["landed"]] {
            let told = trace(&place, &commit.as_str().unwrap()[..12]);
            let chains = std::iter::once(&told).chain(told["others"].as_array().unwrap());
            assert_eq!(chains.filter(|chain| chain["task"]["path"] == json!(all[n])).count(), 1, "{commit}: {told}");
        }
        for more in ["schema", "broken", "others"] {
            alone.as_object_mut().unwrap().remove(more);
        }
        assert!(alone.as_object().unwrap().iter().all(|(key, value)| one[key] == *value), "{alone}");
    }
    let line = format!("{entry}/task-2 of ");
    assert!(said(&place, &["trace", &all[1]]).contains(&line), "{}", said(&place, &["trace", &all[1]]));
}

#[test]
fn all_tasks_that_were_made_of_one_note_are_told_and_a_commit_that_fits_several_is_refused() {
    let place = place();
    let capture = said(&place, &["note", "The door squeaks"]);
    let first = said(&place, &["promote", &capture]);
    let second = said(&place, &["promote", &capture, "--again"]);
    add(&place, &[&first]);
    add(&place, &[&second]);
    assert_eq!(code(&place.enki(&["queue", "run"])), 0);
    let whole = trace(&place, &capture);
    assert_eq!((&whole["task"]["path"], &whole["others"][0]["task"]["path"]), (&json!(first), &json!(second)));
    let results = [&whole["results"][0]["path"], &whole["others"][0]["results"][0]["path"]];
    assert!(results.iter().all(|result| result.is_string()) && results[0] != results[1], "{whole}");
    for name in [&first, &second, results[1].as_str().unwrap()] {
        assert_eq!(trace(&place, name), whole, "{name}");
    }
    let part = ["task", "entry", "attempt", "merged", "landed", "result"];
    assert_eq!(words(&place, &second), [&["noted"][..], &part, &part].concat(), "the note is told once");

    let other = key(&place, results[0].as_str().unwrap(), "commit").unwrap();
    for end in ["1111", "2222"] {
        let result = format!("docs/log/result/by-hand-{end}.md");
        let commit = format!("{}{end}", &other[..8]);
        fs::write(
            place.root.join(result),
            format!("---\ntitle: x\nstatus: done\ntask: {first}\ncommit: {commit}\n---\n"),
        )
        .unwrap();
    }
    let refused = place.enki(&["trace", &other[..8]]);
    let told = both(&refused);
    assert!(code(&refused) == 2 && told.contains("may mean the commits") && told.contains(&other), "{told}");
    assert!(told.contains(&format!("{}1111", &other[..8])) && told.contains("more of its digits"), "{told}");
}

#[test]
fn what_was_made_of_no_note_is_told_with_all_of_its_steps() {
    let place = Place::new();
    let plan = place.plan("plan.json", &["one", "two: one"]);
    let ran = place.enki(&["run", plan.to_str().unwrap()]);
    assert_eq!(code(&ran), 0, "{}", both(&ran));
    let id = place.newest();
    let whole = trace(&place, &id);
    let entries = whole["entries"].as_array().unwrap();
    assert_eq!(
        (&entries[0]["step"], &entries[1]["step"], &whole["task"]),
        (&json!("one"), &json!("two"), &json!(null))
    );
    let landed = trace(&place, entries[1]["landed"].as_str().unwrap());
    assert!(landed["entries"].as_array().unwrap().contains(&entries[1]), "{landed}");
    let two = trace(&place, &format!("{id}/two"));
    assert_eq!(two["entries"], json!([entries[1]]));
    assert_eq!(trace(&place, &entries[1]["attempts"][0]["work"].as_str().unwrap()[..12]), two);
}
