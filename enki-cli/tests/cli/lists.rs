//! What `enki queue list` tells of entries.

use crate::common::{both, code, until};
use crate::queue::{add, entries, listens, place, task};
use crate::worklog::{interrupt, run};
use serde_json::json;

#[test]
fn a_list_is_of_what_was_put_in_since_a_time() {
    let place = place();
    let one = task(&place, "One");
    add(&place, &[&one]);
    let begun = entries(&place, &[])[0]["created_at"].as_str().unwrap().to_owned();
    for (since, seen) in [("1d", 1), (begun.as_str(), 1), ("2999-01-01T00:00:00Z", 0)] {
        assert_eq!(entries(&place, &["--since", since]).len(), seen, "{since}");
        assert_eq!(entries(&place, &["--all", "--since", since]).len(), seen, "{since}");
    }
    let refused = place.enki(&["queue", "list", "--since", "yesterday"]);
    assert!(code(&refused) == 2 && both(&refused).contains("7d"), "{}", both(&refused));
}

#[test]
fn an_entry_is_listed_with_its_project_its_steps_and_the_time_that_it_may_take() {
    let place = place();
    place.settings("[workers]\ntimeout = 77\n");
    let (one, two, three) = (task(&place, "One"), task(&place, "Two"), task(&place, "Three"));
    add(&place, &[&one, &two]);
    add(&place, &[&three, "--timeout", "5"]);
    let [asked, batch] = &entries(&place, &[])[..] else { panic!() };
    assert_eq!(
        (&batch["project"], &batch["steps"], &batch["timeout_s"]),
        (&json!("project"), &json!(2), &json!([77, 77]))
    );
    assert_eq!((&asked["steps"], &asked["timeout_s"], &asked["models"]), (&json!(1), &json!([5]), &json!(["sonnet"])));
    let shown = both(&place.enki(&["queue", "list"]));
    let timed: Vec<&str> = shown.lines().filter(|line| line.contains("at most")).collect();
    assert!(timed.len() == 1 && timed[0].contains("Three") && timed[0].contains("  at most 5 s"), "{shown}");
    place.settings("");
    assert_eq!(entries(&place, &["--query", "One"])[0]["timeout_s"], json!([1800, 1800]));
}

#[test]
fn what_comes_after_one_that_is_over_waits_for_its_time_alone() {
    let place = place();
    let tasks = ["One", "BREAK it", "Two", "Three", "Four"].map(|text| task(&place, text));
    let [good, bad] = [&tasks[0], &tasks[1]].map(|task| add(&place, &[task])["queue_id"].as_str().unwrap().to_owned());
    for (task, how, id) in
        [(&tasks[2], "--after", &good), (&tasks[3], "--after-any", &bad), (&tasks[4], "--after", &bad)]
    {
        add(&place, &[task, how, id, "--at", "2999-01-01T00:00:00Z"]);
    }
    let waits = || {
        let all = entries(&place, &[]);
        let one = |name: &str| all.iter().find(|entry| entry["title"] == name).map(|entry| entry["status"].clone());
        ["Two", "Three", "Four"].map(|name| one(name).unwrap())
    };
    assert_eq!(waits(), ["waiting (after)"; 3]);
    let mut driver = run(&place, &["queue", "run"]);
    until(|| waits() == ["waiting (time)", "waiting (time)", "blocked"]);
    assert!(listens(&place), "it waits for their time");
    interrupt(&driver);
    driver.wait().unwrap();
    assert_eq!(entries(&place, &["--status", "waiting (time)"]).len(), 2);
}
