//! Search over notes, outputs, failures and memory, with the real binary, store and files.

use crate::common::{Place, both, code};
use crate::queue::{add, notes, place, task};
use serde_json::Value;
use std::fs;

fn hits(place: &Place, args: &[&str]) -> Vec<Value> {
    place.json(&[&["search"], args].concat())["hits"].as_array().unwrap().clone()
}

fn names(place: &Place, args: &[&str]) -> Vec<String> {
    hits(place, args).iter().map(|hit| hit["name"].as_str().unwrap().to_owned()).collect()
}

fn noted(place: &Place, text: &str) -> String {
    let noted = place.enki(&["note", text]);
    assert_eq!(code(&noted), 0, "{}", both(&noted));
    String::from_utf8(noted.stdout).unwrap().trim_end().to_owned()
}

#[test]
fn notes_outputs_failures_and_memory_are_found_by_their_words_and_what_changed_too() {
    let place = place();
    assert!(hits(&place, &["anything"]).is_empty(), "nothing was said yet");
    let slow = noted(&place, "The zebra importer is slow\n\nIt reads each stripe twice.");
    noted(&place, "Something else about a walrus");
    assert_eq!(names(&place, &["zebra"]), [slow.as_str()]);
    assert_eq!(names(&place, &["stripes", "zebras"]), [slow.as_str()], "by their stems");
    let shown = hits(&place, &["stripe"]);
    assert!(shown[0]["snippet"].as_str().unwrap().contains("each stripe twice"), "{shown:?}");
    let printed = both(&place.enki(&["search", "stripe"]));
    assert!(printed.contains(&slow) && printed.contains("It reads each stripe twice."), "{printed}");

    // What runs put out and why they failed, and what a person wants remembered.
    let (good, bad) = (task(&place, "Mend the zebra"), task(&place, "BREAK the zebra"));
    add(&place, &[&good]);
    add(&place, &[&bad]);
    assert_eq!(code(&place.enki(&["queue", "run"])), 7);
    let [output] = &hits(&place, &["done", "--kind", "output"])[..] else { panic!() };
    assert!(output["name"].as_str().unwrap().starts_with("exec-"), "{output}");
    assert!(hits(&place, &["zebra", "--kind", "failure"]).iter().any(|hit| hit["title"] == "BREAK the zebra"));
    let decided = place.enki(&["memory", "add", "decision", "--what", "Stripes are counted once", "--why", "zebra"]);
    assert_eq!(code(&decided), 0, "{}", both(&decided));
    assert_eq!(hits(&place, &["counted", "--kind", "decision"]).len(), 1);
    let kinds: Vec<Value> = hits(&place, &["zebra"]).iter().map(|hit| hit["kind"].clone()).collect();
    for kind in ["issue", "task", "result", "decision", "failure"] {
        assert!(kinds.contains(&kind.into()), "{kind} {kinds:?}");
    }
    assert_eq!(hits(&place, &["zebra", "--limit", "2"]).len(), 2);

    // By names, times and sizes alone it is known what changed.
    let path = place.root.join(&slow);
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("stripe", "spot")).unwrap();
    assert!(names(&place, &["stripe", "--kind", "issue"]).iter().all(|name| *name != slow));
    assert_eq!(names(&place, &["spot"]), [slow.as_str()]);
    fs::rename(&path, place.root.join("docs/log/issue/zebra.md")).unwrap();
    assert_eq!(names(&place, &["spot"]), ["docs/log/issue/zebra.md"]);
    // It is a cache: gone or damaged, it is made again.
    let index = place.root.join(".enki/search.db");
    let before = hits(&place, &["zebra"]);
    for damage in [None, Some(0), Some(4096)] {
        match damage {
            None => fs::remove_file(&index).unwrap(),
            Some(at) => {
                let mut bytes = fs::read(&index).unwrap();
                bytes[at..].fill(7);
                fs::write(&index, bytes).unwrap();
            }
        }
        assert_eq!(hits(&place, &["zebra"]), before, "{damage:?}");
    }
    // Wherever it is damaged: also where that is found out only when it is used.
    let (outputs, whole) = (hits(&place, &["done", "--kind", "output"]), fs::read(&index).unwrap());
    for page in 1..whole.len() / 4096 {
        let mut bytes = whole.clone();
        bytes[page * 4096..(page + 1) * 4096].fill(7);
        fs::write(&index, bytes).unwrap();
        assert_eq!(hits(&place, &["zebra"]), before, "page {page}");
        assert_eq!(hits(&place, &["done", "--kind", "output"]), outputs, "page {page}");
    }
    assert_eq!(code(&place.enki(&["search", "?!"])), 2);
    assert_eq!(code(&place.enki(&["search", "zebra", "--kind", "animal"])), 2);
    assert!(!notes(&place, "result").is_empty());
}

#[test]
fn a_secret_that_a_person_wrote_down_is_not_shown() {
    let place = place();
    fs::create_dir_all(place.root.join("docs/log/idea")).unwrap();
    let secret = "sk-ant-api03-0123456789abcdefghij";
    let note = format!("---\ntitle: Key\n---\n\nThe zebra opens with {secret} on Monday\n");
    fs::write(place.root.join("docs/log/idea/key.md"), note).unwrap();
    let shown = both(&place.enki(&["search", "zebra"]));
    assert!(shown.contains("zebra opens with") && !shown.contains("0123456789abcdef"), "{shown}");
    let index = fs::read(place.root.join(".enki/search.db")).unwrap();
    assert!(!String::from_utf8_lossy(&index).contains("0123456789abcdef"), "nor kept");
}
