//! What the list of projects says: where projects are, of their notes where and whose those are, and of their tasks the model.

use crate::common::{Place, both, code, git, repository};
use crate::queue::{add, entries, key, place, task, text};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// Writes the list of projects of a home, in which `shop` is at that root.
fn list(home: &Path, root: &Path, more: &str) {
    let folder = home.join(".config/enki");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("projects.toml"), format!("[projects.shop]\nroot = {root:?}\n{more}")).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(all) = fs::read_dir(folder) else { return Vec::new() };
    all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn notes_stand_where_the_list_of_projects_says_and_have_the_owner_that_it_says() {
    let place = place();
    git(&place.root, &["config", "user.name", "Ada L."]);
    list(&place.dir.path().join("home"), &place.root, "log_dir = \"my notes\"\nowner = \"Team X\"\n");
    let noted = place.enki(&["note", "The shop is broken"]);
    let capture = String::from_utf8(noted.stdout).unwrap().trim_end().to_owned();
    assert!(capture.starts_with("my notes/issue/issue-team-x-"), "{capture}");
    let promoted = place.enki(&["promote", &capture]);
    let (good, bad) = (String::from_utf8(promoted.stdout).unwrap().trim_end().to_owned(), task(&place, "BREAK it"));
    // Committed and changed since, they are in the way of nothing that lands.
    git(&place.root, &["add", "my notes"]);
    git(&place.root, &["commit", "-qm", "notes"]);
    let entry = add(&place, &[&good]);
    add(&place, &[&bad]);
    // What it is to do stands there too, and is read once more when it starts.
    let edited = text(&place, &good).replace("tags: [task]", "tags: [task]\ntier: heavy");
    fs::write(place.root.join(&good), edited).unwrap();
    let ran = place.enki(&["queue", "run"]);
    assert_eq!(code(&ran), 7, "{}", both(&ran));
    assert!(git(&place.root, &["log", "--format=%s", "main"]).lines().count() > 2, "it landed");
    for (note, status) in [(&capture, "resolved"), (&good, "done"), (&bad, "failed")] {
        assert_eq!(key(&place, note, "status").as_deref(), Some(status));
    }
    let results = names(&place.root.join("my notes/result"));
    assert!(results.len() == 2 && results.iter().all(|name| name.starts_with("result-team-x-")), "{results:?}");
    assert_eq!(names(&place.root.join("my notes/issue")).len(), 2, "one was noted, one filed");
    assert_eq!(text(&place, "my notes/activity.md").matches("\n## ").count(), 2);
    assert!(!place.root.join("docs").exists());
    // Whoever looks finds them there.
    assert_eq!(place.json(&["notes", "--status", "all"])["notes"].as_array().unwrap().len(), 6);
    let listed = &place.json(&["queue", "list", "--all", "--query", "shop"])["entries"][0];
    assert_eq!((&listed["task_paths"][0], &listed["tiers"][0]), (&good.as_str().into(), &"heavy".into()));
    let result = key(&place, &good, "result_note").unwrap();
    let whole = place.json(&["trace", entry["queue_id"].as_str().unwrap()]);
    assert_eq!(
        (&whole["task"]["path"], &whole["source"]["path"], &whole["results"][0]["path"]),
        (&good.as_str().into(), &capture.as_str().into(), &result.as_str().into())
    );
    assert_eq!(place.json(&["queue", "list", "--proposals"])["proposals"][0]["result"], result);
    let hits = place.json(&["search", "broken", "--kind", "issue"]).to_string();
    assert!(hits.contains(&capture), "{hits}");
    let mut client = crate::mcp::Client::of(place.command(&["mcp"]));
    let found = client.call("enki_note_resolve", serde_json::json!({"id": good}));
    assert_eq!((&found["path"], &found["project"]), (&good.as_str().into(), &"shop".into()));
    let idea = client.call("enki_backlog_add", serde_json::json!({"body": "Sell hats"}));
    assert!(idea.to_string().contains("my notes/idea/idea-team-x-"), "{idea}");
}

#[test]
fn what_the_list_of_projects_says_wrongly_is_named_and_nothing_is_written_elsewhere() {
    let place = place();
    let home = place.dir.path().join("home");
    std::os::unix::fs::symlink(place.dir.path(), place.root.join("out")).unwrap();
    fs::write(place.root.join("file"), "").unwrap();
    for (key, value) in [
        ("log_dir", "../elsewhere"),
        ("log_dir", "/tmp/notes"),
        ("log_dir", ".git/notes"),
        ("log_dir", "."),
        ("log_dir", "out/notes"),
        ("log_dir", "file"),
        ("owner", "---"),
    ] {
        list(&home, &place.root, &format!("{key} = {value:?}\n"));
        for args in [&["note", "Broken"][..], &["notes"], &["queue", "run"], &["search", "x"], &["trace", "x"]] {
            let refused = place.enki(args);
            let said = both(&refused);
            assert!(code(&refused) == 2 && said.contains(&format!("projects.shop.{key}")), "{args:?} {value}: {said}");
        }
    }
    // Twice the same folder, and not the same said of it.
    list(&home, &place.root, &format!("[projects.other]\nroot = {:?}\nlog_dir = \"notes\"\n", place.root));
    let refused = place.enki(&["note", "Broken"]);
    assert!(code(&refused) == 2 && both(&refused).contains("projects.other and projects.shop"), "{}", both(&refused));
    // One that cannot be read may say anything of this project.
    list(&home, &place.root, "log_dir = 1\n");
    let refused = place.enki(&["note", "Broken"]);
    assert!(code(&refused) == 2 && both(&refused).contains("projects.toml"), "{}", both(&refused));
    assert!(!place.root.join("docs").exists() && !place.root.join("notes").exists());
    assert!(names(place.dir.path()).iter().all(|name| name != "elsewhere" && name != "notes"));
    // It is said by another way to the same folder too.
    list(&home, &place.root.join("out").join("project"), "log_dir = \"notes\"\n");
    let noted = place.enki(&["note", "Broken"]);
    assert!(both(&noted).contains("notes/issue/"), "{}", both(&noted));
}

#[test]
fn what_has_ended_while_its_notes_were_elsewhere_is_written_when_they_are_back() {
    let place = place();
    let home = place.dir.path().join("home");
    let note = task(&place, "Mend it");
    add(&place, &[&note]);
    list(&home, &place.root, "log_dir = \"notes\"\n");
    for _ in 0..2 {
        let ran = place.enki(&["queue", "run"]);
        assert_eq!(code(&ran), 0, "{}", both(&ran));
        assert_eq!(key(&place, &note, "status").as_deref(), Some("pending"), "nothing is written where no notes are");
        assert!(!place.root.join("notes").exists());
    }
    list(&home, &place.root, "");
    let ran = place.enki(&["queue", "run"]);
    assert_eq!(code(&ran), 0, "{}", both(&ran));
    assert_eq!(key(&place, &note, "status").as_deref(), Some("done"));
    assert_eq!(names(&place.root.join("docs/log/result")).len(), 1);
}

#[test]
fn what_is_noted_is_of_the_stream_of_its_project_unless_another_is_said() {
    let place = place();
    list(&place.dir.path().join("home"), &place.root, "stream = \"web\"\n");
    let note = |args: &[&str]| {
        let noted = place.enki(&[&["note"], args].concat());
        assert_eq!(code(&noted), 0, "{}", both(&noted));
        String::from_utf8(noted.stdout).unwrap().trim_end().to_owned()
    };
    assert_eq!(key(&place, &note(&["The shop is slow"]), "stream").as_deref(), Some("web"));
    assert_eq!(key(&place, &note(&["The till is slow", "--stream", "till"]), "stream").as_deref(), Some("till"));
    assert_eq!(key(&place, &note(&["Mend it", "--kind", "task"]), "stream"), None, "tasks have none");
    for args in [&["--kind", "task", "--stream", "till"][..], &["--stream", ""]] {
        let refused = place.enki(&[&["note", "Mend it"], args].concat());
        assert!(code(&refused) == 2 && both(&refused).contains("stream"), "{args:?}: {}", both(&refused));
    }
    assert_eq!(place.json(&["notes", "--status", "all"])["notes"].as_array().unwrap().len(), 3);
    // The same by an agent's tools, also in the backlog.
    let mut client = crate::mcp::Client::of(place.command(&["mcp"]));
    for (tool, arguments, stream) in [
        ("enki_note", json!({"text": "The door squeaks", "project_id": "shop"}), "web"),
        ("enki_note", json!({"text": "The lamp flickers", "project_id": ".", "stream": "lamps"}), "lamps"),
        ("enki_backlog_add", json!({"body": "Sell hats"}), "web"),
    ] {
        let noted = client.call(tool, arguments);
        let path = noted["path"].as_str().or(noted["item"]["note"].as_str()).unwrap_or_else(|| panic!("{noted}"));
        assert_eq!(key(&place, path, "stream").as_deref(), Some(stream), "{noted}");
    }
    list(&place.dir.path().join("home"), &place.root, "");
    assert_eq!(key(&place, &note(&["The shop is dark"]), "stream"), None);
}

#[test]
fn the_list_of_projects_is_shown_with_what_it_says_of_each() {
    let place = place();
    let home = place.dir.path().join("home");
    let shown = || {
        let listed = place.enki(&["projects"]);
        String::from_utf8(listed.stdout).unwrap().replace(place.dir.path().to_str().unwrap(), "[DIR]")
    };
    let all = |shop: &str| {
        let root = |folder: &str| place.dir.path().join(folder);
        format!(
            "{shop}\n[projects.api]\nroot = {:?}\n[projects.site]\nroot = {:?}\nmodel = \"opus\"\n",
            root("gone"),
            root("home")
        )
    };
    list(&home, &place.root, "");
    assert_eq!(shown(), "shop                  [DIR]/project\n");
    list(&home, &place.root, &all("stream = \"web\"\nmodel = \"sonnet\"\n"));
    let lines = [
        "api                   [DIR]/gone  (not there)",
        "shop                  [DIR]/project  stream web  model sonnet",
        "site                  [DIR]/home                 model opus",
    ];
    assert_eq!(shown().lines().collect::<Vec<_>>(), lines);
    let listed = place.json(&["projects"]);
    let told: Vec<(&Value, &Value, &Value)> =
        listed["projects"].as_array().unwrap().iter().map(|one| (&one["id"], &one["stream"], &one["model"])).collect();
    assert_eq!(json!(told), json!([["api", null, null], ["shop", "web", "sonnet"], ["site", null, "opus"]]));
}

#[test]
fn a_project_whose_folder_is_gone_is_named_with_its_path_and_nothing_is_written_elsewhere() {
    let place = place();
    let (home, gone) = (place.dir.path().join("home"), place.dir.path().join("gone"));
    list(&home, &gone, "");
    let there = || {
        let mut all = [names(place.dir.path()), names(&place.root), names(&home)];
        all.iter_mut().for_each(|names| names.sort());
        all
    };
    let before = there();
    for args in [
        &["--project", "shop", "note", "Broken"][..],
        &["--project", "shop", "notes"],
        &["--project", "shop", "promote", "x"],
        &["--project", "shop", "queue", "add", "x"],
        &["--project", "shop", "queue", "list"],
        &["--project", "shop", "queue", "run"],
        &["--project", "shop", "search", "x"],
        &["--project", "shop", "trace", "x"],
        &["--project", "shop", "run", "--task", "x"],
        &["up", "shop"],
    ] {
        let refused = place.enki(args);
        let said = both(&refused);
        assert_eq!(code(&refused), 3, "{args:?}: {said}");
        let why = format!("the folder of project shop is not there: {}", gone.display());
        assert!(said.contains(&why) && said.contains("`enki projects remove`"), "{args:?}: {said}");
    }
    let mut client = crate::mcp::Client::of(place.command(&["mcp"]));
    let refused = client.refused("enki_note", json!({"text": "Broken", "project_id": "shop"})).to_string();
    assert!(refused.contains(gone.to_str().unwrap()), "{refused}");
    drop(client);
    assert_eq!(there(), before);
}

#[test]
fn a_project_is_registered_by_its_folders_name_when_it_is_made_and_by_another_if_that_is_taken() {
    let place = Place::new();
    let folders = ["a/My Shop", "b/my-shop"].map(|path| repository(&place.dir.path().join(path)));
    let made = |folder: &Path| {
        let output = place.command_in(folder, &["init", "--json"]).output().unwrap();
        assert_eq!(code(&output), 0, "{}", both(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(made(&folders[0]), "my-shop");
    assert_eq!(made(&folders[1]), "my-shop-2", "that name is another folder's");
    assert_eq!(made(&folders[0]), "my-shop", "the same again is the same");
    let listed = place.json(&["projects"]);
    let roots: Vec<(&str, &str)> = listed["projects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["id"].as_str().unwrap(), one["root"].as_str().unwrap()))
        .collect();
    assert_eq!(roots, [("my-shop", folders[0].to_str().unwrap()), ("my-shop-2", folders[1].to_str().unwrap())]);
}

#[test]
fn tasks_are_done_by_the_model_of_their_project_unless_another_is_said() {
    let place = place();
    let home = place.dir.path().join("home");
    let put_in = |prompt: &str, more: &[&str]| {
        let note = task(&place, prompt);
        add(&place, &[&[note.as_str()], more].concat());
        let entry = entries(&place, &["--query", prompt]).remove(0);
        json!([entry["models"][0], entry["tiers"][0]])
    };
    list(&home, &place.root, "model = \"opus\"\n");
    assert_eq!(put_in("One", &[]), json!(["opus", "heavy"]));
    assert_eq!(put_in("Two", &["--model", "haiku"]), json!(["haiku", "light"]));
    list(&home, &place.root, "model = \"our-own-3\"\n");
    assert_eq!(put_in("Three", &[]), json!(["our-own-3", "standard"]));
    // It is still so once it was done: what the note says is read again when it starts.
    assert_eq!(code(&place.enki(&["queue", "run"])), 0);
    let done = entries(&place, &["--all", "--query", "Three"]).remove(0);
    assert_eq!((&done["status"], &done["models"]), (&json!("done"), &json!(["our-own-3"])));
    list(&home, &place.root, "");
    assert_eq!(put_in("Four", &[]), json!(["sonnet", "standard"]));
}

#[test]
fn a_task_note_says_who_shall_do_it_and_so_it_is_put_into_the_queue() {
    let place = place();
    let noted = place.enki(&["note", "--kind", "task", "Mend it", "--model", "our-own-3", "--tier", "heavy"]);
    assert_eq!(code(&noted), 0, "{}", both(&noted));
    let note = String::from_utf8(noted.stdout).unwrap().trim_end().to_owned();
    assert_eq!(
        (key(&place, &note, "model"), key(&place, &note, "tier")),
        (Some("our-own-3".into()), Some("heavy".into()))
    );
    add(&place, &[&note]);
    let entry = entries(&place, &[]).remove(0);
    assert_eq!((&entry["models"], &entry["tiers"]), (&json!(["our-own-3"]), &json!(["heavy"])));
    // A capture has neither.
    for args in [&["--tier", "heavy"][..], &["--model", "opus"], &["--kind", "idea", "--tier", "light"]] {
        let refused = place.enki(&[&["note", "Broken"], args].concat());
        assert!(code(&refused) == 2 && both(&refused).contains("give --kind task, or --run"), "{}", both(&refused));
    }
    assert_eq!(place.json(&["notes", "--status", "all"])["notes"].as_array().unwrap().len(), 1);
}
