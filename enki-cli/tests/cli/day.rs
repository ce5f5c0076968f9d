//! A day with two projects: captures, one of them by the real Claude Code client over MCP, tasks, their queue, a kill of the
//! driver, and in the evening the files and `enki trace`, which tell all of it.

use crate::claude::{Scene, call, output, review, scenario};
use crate::common::{Place, both, code, git, until};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

/// The agent of the second project: what a task does stands in its prompt.
const AGENT: &str = r#"#!/bin/sh
prompt=$(cat)
says() { case $prompt in *"$1"*) true ;; *) false ;; esac; }
if says "WAIT"; then echo "at work"; while [ ! -e "$GATE" ]; do sleep 0.02; done; fi
if says "HANG"; then echo hangs; sleep 600; fi
word=$(printf '%s' "$prompt" | grep -o 'FILE-[a-z]*' | head -n 1)
echo made >"${word:-none}.txt"
echo "[OUTPUT]$word is done[/OUTPUT]"
"#;

/// Of the real client, in the shop: it sees something that is about the site.
fn scenarios() -> Value {
    let seen = json!({"text": "The site fails at midnight: FILE-midnight", "project_id": "site"});
    let write = json!({"file_path": "{{cwd}}/till.txt", "content": "counts right\n"});
    let pass = json!({"gate": "PASS", "score": 9.9, "summary": "good", "issues": []});
    let work = [call("mcp__enki__enki_note", &seen), call("Write", &write), output("the till counts right")];
    json!([review("first work", &pass), scenario("The till counts wrong", &work)])
}

struct Day {
    shop: Scene,
    site: Place,
}

impl Day {
    /// One command of the person, in that folder; all projects have one list.
    fn person(&self, folder: &Path, args: &[&str]) -> String {
        let output = self.shop.place.command_in(folder, args).output().unwrap();
        assert_eq!(code(&output), 0, "{args:?}: {}", both(&output));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn shop(&self, args: &[&str]) -> String {
        self.person(&self.shop.place.root, args)
    }

    fn site(&self, args: &[&str]) -> String {
        self.person(&self.site.root, args)
    }

    fn add(&self, args: &[&str]) -> String {
        let added: Value = serde_json::from_str(&self.site(&[&["queue", "add"], args, &["--json"]].concat())).unwrap();
        added["queue_id"].as_str().unwrap().to_owned()
    }

    fn entry(&self, query: &str) -> Value {
        let listed = self.site(&["queue", "list", "--all", "--query", query, "--json"]);
        serde_json::from_str::<Value>(&listed).unwrap()["entries"][0].clone()
    }

    /// Of the site.
    fn trace(&self, what: &str) -> Value {
        serde_json::from_str(&self.site(&["trace", what, "--json"])).unwrap()
    }

    /// The driver of both.
    fn up(&self) -> Child {
        let mut up = self.shop.inside(&self.shop.place.command(&["up"]));
        // The gate of the agent lies beside the project.
        up.env("ANTHROPIC_API_KEY", "sk-ant-dummy")
            .env("ENKI_SANDBOX_LEVEL", "0")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }
}

fn key(root: &Path, path: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(root.join(path)).unwrap();
    text.lines().find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(": ")?.trim_matches('"').to_owned()))
}

fn notes(root: &Path, kind: &str) -> Vec<String> {
    let Ok(all) = fs::read_dir(root.join("docs/log").join(kind)) else { return Vec::new() };
    let mut all: Vec<String> =
        all.map(|entry| format!("docs/log/{kind}/{}", entry.unwrap().file_name().display())).collect();
    all.sort();
    all
}

fn edit(root: &Path, path: &str, from: &str, to: &str) {
    let text = fs::read_to_string(root.join(path)).unwrap();
    assert!(text.contains(from), "{from}: {text}");
    fs::write(root.join(path), text.replace(from, to)).unwrap();
}

#[test]
fn a_day_from_passing_thoughts_to_finished_work() {
    let Some(scene) = Scene::new(&scenarios()) else { return };
    let site = Place::new();
    site.agent(AGENT);
    let day = Day { shop: scene, site };
    let (shop, site) = (day.shop.place.root.clone(), day.site.root.clone());
    day.shop(&["projects", "add", "--name", "shop"]);
    day.site(&["projects", "add", "--name", "site"]);

    // In the morning: two thoughts, one of which is given up.
    let till = day.shop(&["note", "The till counts wrong, it is broken"]);
    let theme = day.shop(&["--project", "site", "note", "A dark theme would be nice"]);
    assert_eq!(key(&site, &theme, "status").as_deref(), Some("open"));
    edit(&site, &theme, "status: open", "status: cancelled");
    let till_task = day.shop(&["promote", &till]);
    day.shop(&["queue", "add", &till_task]);

    // The real client does the first, and notes what it sees for the other project.
    let mut up = day.up();
    until(|| key(&shop, &till_task, "status").as_deref() == Some("done"));
    let [seen] = &notes(&site, "issue")[..] else { panic!("{:?}", notes(&site, "issue")) };
    assert_eq!(key(&site, seen, "source").as_deref(), Some("agent-execution"));

    // A chain, whose first task is at work when the driver is killed.
    let task = |text: &str| day.site(&["note", "--kind", "task", text]);
    let (one, two, three) = (task("WAIT, then FILE-one"), task("FILE-two"), task("FILE-three"));
    let first = day.add(&[&one]);
    let second = day.add(&[&two, "--after", &first]);
    day.add(&[&three, "--after", &second]);
    // What was seen is promoted, put in behind it, and refined by hand while it waits.
    let midnight = day.site(&["promote", seen]);
    day.add(&[&midnight, "--after", &first]);
    edit(&site, &midnight, "FILE-midnight", "FILE-refined");
    // Another one takes too long, and one has its time.
    let slow = task("HANG for FILE-never");
    day.add(&[&slow, "--timeout", "1"]);
    let later = task("FILE-later");
    let due = jiff::Timestamp::now().round(jiff::Unit::Second).unwrap() + std::time::Duration::from_secs(4);
    // From the other project.
    day.shop(&["--project", "site", "queue", "add", &later, "--at", &due.to_string()]);
    until(|| key(&site, &one, "status").as_deref() == Some("running"));
    up.kill().unwrap();
    up.wait().unwrap();

    // Somebody starts the driver again.
    let mut up = day.up();
    day.site.open_gate();
    let done = |path: &str, status: &str| key(&site, path, "status").as_deref() == Some(status);
    until(|| [&one, &two, &three, &midnight, &later].iter().all(|path| done(path, "done")) && done(&slow, "failed"));
    rustix::process::kill_process(rustix::process::Pid::from_child(&up), rustix::process::Signal::INT).unwrap();
    assert_eq!(up.wait().unwrap().code(), Some(130));

    // In the evening: what the files tell,
    let files = git(&site, &["ls-tree", "--name-only", "main"]);
    assert_eq!(files, "FILE-later.txt\nFILE-one.txt\nFILE-refined.txt\nFILE-three.txt\nFILE-two.txt\n");
    assert_eq!(git(&shop, &["show", "main:till.txt"]), "counts right\n");
    assert_eq!((notes(&site, "result").len(), notes(&shop, "result").len()), (6, 1));
    assert_eq!(key(&site, &theme, "status").as_deref(), Some("cancelled"));
    assert!(notes(&site, "idea").len() == 1 && notes(&site, "task").len() == 6);
    assert_eq!(notes(&site, "issue").len(), 2, "what was seen, and what took too long");
    assert_eq!(fs::read_to_string(site.join("docs/log/activity.md")).unwrap().matches("\n## ").count(), 6);
    // the queue,
    assert_eq!(day.entry("HANG")["status"], "timeout");
    let order: Vec<String> = ["FILE-one", "FILE-two", "FILE-three"]
        .map(|name| day.entry(name)["finished_at"].as_str().unwrap().to_owned())
        .to_vec();
    assert!(order.is_sorted(), "{order:?}");
    assert!(day.entry("FILE-later")["started_at"].as_str().unwrap() >= due.to_string().as_str());
    // and the trace of each, from its result back to its thought,
    for (root, note, task) in [(&shop, &till, &till_task), (&site, seen, &midnight)] {
        let result = key(root, task, "result_note").unwrap();
        let whole = day.person(root, &["trace", &result, "--json"]);
        let told: Value = serde_json::from_str(&whole).unwrap();
        assert_eq!((&told["source"]["path"], &told["task"]["path"]), (&json!(note), &json!(task)), "{whole}");
        assert_eq!((&told["source"]["status"], &told["entries"][0]["status"]), (&json!("resolved"), &json!("done")));
        assert_eq!(day.person(root, &["trace", note, "--json"]), whole);
    }
    // of one that took too long, from the issue that was filed,
    let filed = notes(&site, "issue").into_iter().find(|issue| issue != seen).unwrap();
    let told = day.trace(&filed);
    let facts = (&told["task"]["path"], &told["entries"][0]["status"], &told["issues"][0]["path"]);
    assert_eq!(facts, (&json!(slow), &json!("timeout"), &json!(filed)), "{told}");
    assert_eq!((day.trace(&slow), told["results"][0]["status"].clone()), (told, json!("timeout")));
    // of the chain, each after the one before it, though the driver was killed while the first was at work: that is begun
    // again, and nothing of it is there twice,
    let links = [(&one, None, 2), (&two, Some(&first), 1), (&three, Some(&second), 1), (&midnight, Some(&first), 1)];
    for (task, after, tries) in links {
        let told = day.trace(task);
        let [entry] = &told["entries"].as_array().unwrap()[..] else { panic!("{told}") };
        assert_eq!(entry["after"], json!(after.map(|id| format!("exec-{id}"))), "{told}");
        let attempts = entry["attempts"].as_array().unwrap();
        let left: Vec<&Value> = attempts.iter().filter(|attempt| attempt["work"].is_string()).collect();
        assert_eq!((attempts.len(), left.len(), told["results"].as_array().unwrap().len()), (tries, 1, 1), "{told}");
        assert_eq!(day.trace(left[0]["work"].as_str().unwrap()), told);
    }
    for file in ["FILE-one.txt", "FILE-two.txt"] {
        let commits = git(&site, &["log", "--no-merges", "--format=%H", "main", "--", file]);
        assert_eq!(commits.lines().count(), 1, "{file}: {commits}");
    }
    // of one that had its time, and of the thought that was given up.
    let told = day.trace(&later);
    let entry = &told["entries"][0];
    assert_eq!(entry["scheduled_at"].as_str(), Some(due.to_string().as_str()), "{told}");
    assert!(entry["attempts"][0]["at"].as_str().unwrap() >= due.to_string().as_str(), "{told}");
    let told = day.trace(&theme);
    assert_eq!(
        (&told["source"]["status"], &told["task"], &told["entries"]),
        (&json!("cancelled"), &Value::Null, &json!([]))
    );
}
