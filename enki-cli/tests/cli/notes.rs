//! Notes: `enki note`, `enki notes`, `enki promote`.

use crate::common::{Place, both, call, call_with, code, git, repository};
use enki_cli::Exit;
use serde_json::Value;
use std::fs;

fn project() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = repository(&dir.path().join("shop"));
    git(&root, &["config", "user.name", "Ada L."]);
    (dir, root)
}

#[test]
fn what_is_noted_is_listed_promoted_and_listed_as_a_task() {
    let (_dir, root) = project();
    let noted = call(&root, &["note", "The login page crashes"]);
    assert_eq!((noted.exit, noted.stderr.as_str()), (Exit::Ok, ""));
    let path = noted.stdout.trim_end();
    assert_eq!(path, "docs/log/issue/issue-ada-l-20231114-221320-000000.md");
    let text = fs::read_to_string(root.join(path)).unwrap();
    assert!(text.contains("\nsource: conversation\nproject_primary: shop\n"), "{text}");
    let head = git(&root, &["log", "-1", "--format=%h"]);
    assert!(text.ends_with(&format!("\n## Source context\n\n- {} begin\n", head.trim())), "{text}");
    call(&root, &["note", "--kind", "idea", "Dark\u{1b}[0m mode"]);
    call_with(&root, &["note", "--kind", "task", "-"], &[], "## Prompt\n\nCache it.\n");

    let listed = call(&root, &["notes"]);
    let lines: Vec<&str> = listed.stdout.lines().map(|line| line[14..].trim_end()).collect();
    assert_eq!(
        lines,
        [
            "2023-11-14  task         scheduled  Cache it.",
            "2023-11-14  issue        open       The login page crashes",
            "2023-11-14  idea         open       Dark[0m mode"
        ]
    );
    let id = listed.stdout.lines().nth(1).unwrap()[..12].to_owned();
    let promoted = call(&root, &["promote", &id[..6], "--tier", "light"]);
    let task = promoted.stdout.trim_end();
    assert_eq!(task, "docs/log/task/task-ada-l-20231114-221320-000001.md");
    assert!(fs::read_to_string(root.join(task)).unwrap().contains("\ntier: light\n"));
    let again = call(&root, &["--json", "promote", path]);
    let again: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((&again["task"], &again["known"]), (&task.into(), &true.into()));

    let titles = |args: &[&str]| -> Vec<String> {
        let listed = call(&root, &[&["--json", "notes"], args].concat());
        let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
        listed["notes"].as_array().unwrap().iter().map(|note| note["title"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(titles(&["--kind", "issue"]), ["The login page crashes"], "a kind that is named is listed as a whole");
    assert_eq!(titles(&["--status", "promoted"]), ["The login page crashes"]);
    assert_eq!(titles(&["--status", "all"]).len(), 4);
    assert_eq!(titles(&["--status", "open", "--kind", "idea"]), ["Dark[0m mode"]);
    assert_eq!(titles(&["--older-than", "0d"]).len(), 3);
    assert_eq!(titles(&["--older-than", "1d"]).len(), 0);
}

#[test]
fn what_cannot_be_done_with_notes_says_why() {
    let (dir, root) = project();
    fs::create_dir_all(root.join("docs/log/idea")).unwrap();
    fs::write(root.join("docs/log/idea/mine.md"), "no front matter\n").unwrap();
    let mut all = String::new();
    for args in [
        &["note", " "][..],
        &["note", "x", "--kind", "result"],
        &["notes", "--older-than", "soon"],
        &["notes"],
        &["promote", "nothing"],
        &["promote", "mine.md"],
        &["promote", "../../etc/passwd"],
    ] {
        all.push_str(&format!("$ enki {}\n{}\n", args.join(" "), call(&root, args).whole(dir.path())));
    }
    insta::assert_snapshot!(all);
    assert_eq!(fs::read_to_string(root.join("docs/log/idea/mine.md")).unwrap(), "no front matter\n");
    let outside = tempfile::tempdir().unwrap();
    assert_eq!(call(outside.path(), &["note", "x"]).exit, Exit::Environment);
}

#[test]
fn a_secret_is_not_written_down() {
    let (_dir, root) = project();
    let noted = call_with(&root, &["note", "the login hunter2hunter2 fails"], &[("MY_TOKEN", "hunter2hunter2")], "");
    let text = fs::read_to_string(root.join(noted.stdout.trim_end())).unwrap();
    assert!(text.contains("the login ") && !text.contains("hunter2"), "{text}");
}

#[test]
fn what_was_spoken_has_its_prompt_made_by_the_persons_own_program_and_by_the_template_if_that_fails() {
    let place = Place::new();
    let own = place.dir.path().join("home/.config/enki");
    fs::create_dir_all(&own).unwrap();
    let set = |command: &str| {
        fs::write(own.join("config.toml"), format!("[notes]\nenrich = {command:?}\nenrich_timeout = 1\n")).unwrap();
    };
    let spoken = |text: &str, source: &str| {
        let noted = place.enki(&["note", text, "--source", source]);
        assert_eq!(code(&noted), 0, "{}", both(&noted));
        let path = String::from_utf8(noted.stdout).unwrap().trim_end().to_owned();
        let promoted = place.enki(&["promote", &path]);
        assert_eq!(code(&promoted), 0, "{}", both(&promoted));
        let task = String::from_utf8(promoted.stdout).unwrap().trim_end().to_owned();
        (fs::read_to_string(place.root.join(task)).unwrap(), String::from_utf8(promoted.stderr).unwrap())
    };
    set("tr a-z A-Z; echo");
    let (task, said) = spoken("um the lock is slow", "voice");
    assert!(task.contains("## Prompt\n\nUM THE LOCK IS SLOW\n") && !said.contains("warning"), "{task}{said}");
    let (task, _) = spoken("the lock is slow", "conversation");
    assert!(task.contains("> the lock is slow"), "it is asked of what was spoken alone: {task}");
    for (command, why) in [
        ("echo no microphone >&2; exit 3", "no microphone"),
        ("sleep 60", "took longer than 1 s"),
        ("true", "said nothing"),
        ("yes", "said more than"),
    ] {
        set(command);
        let (task, said) = spoken("um the lock is slow", "voice");
        assert!(task.contains("> um the lock is slow") && task.contains(why), "{why}: {task}");
        assert!(said.contains(why) && said.contains("the template was used"), "{said}");
    }
    // What a repository says is nobody's own program.
    fs::remove_file(own.join("config.toml")).unwrap();
    place.settings("[notes]\nenrich = \"echo hijacked\"\n");
    let refused = both(&place.enki(&["note", "x", "--source", "voice"]));
    assert!(refused.contains("notes.enrich"), "{refused}");
}
