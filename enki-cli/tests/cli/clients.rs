//! Which Claude Code client is in use, asked before anything is spent: scripts that say a version, and count who asks.

use crate::common::{Place, both, code};
use serde_json::json;
use std::fs;
use std::path::PathBuf;

/// Says the version in the file beside it; otherwise it works as the client would.
const CLAUDE: &str = r#"#!/bin/sh
at=$(dirname "$0")
if [ "$1" = --version ]; then echo x >>"$at/asked"; cat "$at/version"; exit; fi
cat >/dev/null
echo "$ENKI_STEP_ID" >work.txt
echo '{"type":"system","subtype":"init","session_id":"s"}'
printf '%s\n' '{"type":"result","subtype":"success","is_error":false,"result":"done\nVERDICT: PASS\nSCORE: 10/10","session_id":"s"}'
"#;

struct Scene {
    place: Place,
    client: PathBuf,
}

impl Scene {
    fn new(version: &str) -> Self {
        let place = Place::new();
        let client = place.dir.path().join("claude");
        let scene = Self { place, client };
        scene.install(version);
        fs::write(scene.place.root.join(".enki/enki.toml"), format!("[agent]\ncommand = {:?}\n", scene.client))
            .unwrap();
        scene
    }

    /// As npm does it: another file in the place of the old one.
    fn install(&self, version: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::write(self.place.dir.path().join("version"), version).unwrap();
        let next = self.client.with_extension("new");
        fs::write(&next, CLAUDE).unwrap();
        fs::set_permissions(&next, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(next, &self.client).unwrap();
    }

    fn asked(&self) -> usize {
        fs::read_to_string(self.place.dir.path().join("asked")).unwrap_or_default().lines().count()
    }

    fn run(&self, args: &[&str]) -> (i32, String) {
        let output = self.place.enki(args);
        (code(&output), both(&output))
    }
}

const TASK: &[&str] = &["run", "--task", "T"];

#[test]
fn a_client_that_is_too_old_is_refused_before_anything_begins() {
    let scene = Scene::new("2.0.9 (Claude Code)\n");
    for command in [TASK, &["ask", "make it so"], &["run", "--task", "T"]] {
        let (exit, said) = scene.run(command);
        assert_eq!(exit, 3, "{said}");
        assert!(said.contains("claude 2.0.9 (") && said.contains("is older than 2.1.128"), "{said}");
        assert!(said.contains("hint: update it with `npm install -g @anthropic-ai/claude-code`"), "{said}");
    }
    assert_eq!(scene.asked(), 3, "what is refused is asked again: it may have been updated");
    let (_, said) = scene.run(&["status"]);
    assert!(!said.contains("exec-"), "nothing was begun: {said}");

    scene.install("2.1.128");
    let (exit, said) = scene.run(TASK);
    assert_eq!(exit, 0, "{said}");
}

#[test]
fn a_good_client_is_asked_once_until_it_is_another() {
    let scene = Scene::new("2.1.197 (Claude Code)");
    for _ in 0..2 {
        assert_eq!(scene.run(TASK).0, 0);
    }
    let (exit, said) = scene.run(&["config", "show"]);
    assert_eq!(exit, 0, "{said}");
    assert!(said.contains(&format!("agent: claude 2.1.197, {}", scene.client.display())), "{said}");
    assert_eq!(scene.asked(), 1);
    scene.install("2.0.0");
    let (exit, said) = scene.run(TASK);
    assert!(exit == 3 && said.contains("claude 2.0.0 ("), "{exit} {said}");
    let shown = scene.place.json(&["config", "show"]);
    assert_eq!(shown["clients"][0]["version"], json!("2.0.0"));
    assert!(shown["clients"][0]["problem"].as_str().unwrap().contains("older than 2.1.128"), "{shown}");
}

#[test]
fn a_client_that_says_something_else_is_warned_of_and_one_that_is_missing_is_named_with_the_remedy() {
    let scene = Scene::new("a script of my own");
    let (exit, said) = scene.run(TASK);
    assert_eq!(exit, 0, "{said}");
    assert!(said.contains("cannot tell the version of claude from \"a script of my own\""), "{said}");

    fs::remove_file(&scene.client).unwrap();
    let (exit, said) = scene.run(TASK);
    assert!(
        exit == 3 && said.contains("; install it with `npm install -g @anthropic-ai/claude-code`"),
        "{exit} {said}"
    );
    let (exit, said) = scene.run(&["config", "show"]);
    assert!(exit == 0 && said.contains("agent: cannot start"), "{said}");
}
