//! A landing that conflicts, with the binary, real git and the real store: an agent solves it, or a person is asked.

use crate::common::{enki, git, repository};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Step `a` waits for a file, then says something else about a line than the person does. The step that Enki adds solves
/// that if it may, and else leaves it as it found it.
const AGENT: &str = r#"#!/bin/sh
cat >"$NOTES/$ENKI_STEP_ID.prompt"
case $ENKI_STEP_ID in
land-*) if [ -e "$NOTES/solve" ]; then echo "person and agent" >shared.txt; fi ;;
*) while [ ! -e "$NOTES/gate" ]; do sleep 0.02; done; echo agent >shared.txt; echo new >new.txt ;;
esac
"#;

struct Place {
    dir: tempfile::TempDir,
    root: PathBuf,
}

impl Place {
    /// A project with `shared.txt`, in git or as a folder without it.
    fn new(in_git: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("project");
        fs::create_dir_all(dir.path().join("home")).unwrap();
        fs::create_dir_all(&root).unwrap();
        if in_git {
            repository(&root);
        }
        let place = Self { dir, root };
        place.person("first", in_git);
        assert_eq!(code(&place.enki(&["init"])), 0);
        fs::write(place.notes().join("agent.sh"), AGENT).unwrap();
        let (agent, notes) = (place.notes().join("agent.sh"), place.notes());
        let text = format!("[agent]\ncommand = \"sh\"\nargs = [{agent:?}]\nenv = {{ NOTES = {notes:?} }}\n");
        fs::write(place.root.join(".enki/enki.toml"), text).unwrap();
        place
    }

    fn notes(&self) -> &Path {
        self.dir.path()
    }

    /// The person writes the file, and commits it where they can.
    fn person(&self, content: &str, in_git: bool) {
        fs::write(self.root.join("shared.txt"), format!("{content}\n")).unwrap();
        if in_git {
            git(&self.root, &["add", "shared.txt"]);
            git(&self.root, &["commit", "-q", "-m", &format!("{content} by a person")]);
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = enki(&self.root);
        command.env("HOME", self.dir.path().join("home")).args(args);
        command
    }

    fn enki(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    fn json(&self, args: &[&str]) -> Value {
        let output = self.enki(&[args, &["--json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", both(&output)))
    }

    /// A run in which a person changes the same line while its one step is at work.
    fn clash(&self, in_git: bool) -> Output {
        let plan = self.dir.path().join("plan.json");
        fs::write(&plan, r#"{"title": "A plan", "steps": [{"id": "a", "title": "Step a", "description": "Do it."}]}"#)
            .unwrap();
        let mut run = self.command(&["run", plan.to_str().unwrap()]);
        let mut child: Child = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("a started")));
        self.person("person", in_git);
        fs::write(self.notes().join("gate"), "").unwrap();
        let said: Vec<String> = lines.map(Result::unwrap).collect();
        let mut output = child.wait_with_output().unwrap();
        output.stderr = said.join("\n").into_bytes();
        output
    }

    fn shared(&self) -> String {
        fs::read_to_string(self.root.join("shared.txt")).unwrap()
    }
}

fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The execution that a run tells of.
fn id(output: &Output) -> String {
    let text = both(output);
    let at = text.find("exec-").unwrap_or_else(|| panic!("{text}"));
    text[at..].chars().take("exec-".len() + 12).collect()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

#[test]
fn an_agent_solves_the_conflict_of_a_landing_and_its_merge_has_both_sides() {
    let place = Place::new(true);
    fs::write(place.notes().join("solve"), "").unwrap();
    let output = place.clash(true);
    assert_eq!(code(&output), 0, "{}", both(&output));
    assert!(both(&output).contains("land-1 is added: it solves the conflict with main"), "{}", both(&output));
    let id = id(&output);
    assert_eq!(
        (place.shared().as_str(), git(&place.root, &["status", "--porcelain"]).as_str()),
        ("person and agent\n", "")
    );
    assert_eq!(git(&place.root, &["show", "main:new.txt"]), "new\n");
    let sides = git(&place.root, &["log", "-1", "--format=%P", "main"]);
    let [one, other] = sides.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{sides}") };
    assert_eq!(git(&place.root, &["log", "-1", "--format=%s", one]), "person by a person\n");
    assert_eq!(git(&place.root, &["rev-parse", &format!("enki/{id}")]).trim(), other);
    assert_eq!(git(&place.root, &["log", "-1", "--format=%s", "main"]), format!("Merge enki/{id}: A plan\n"));
    let prompt = fs::read_to_string(place.notes().join("land-1.prompt")).unwrap();
    for words in ["conflict in shared.txt", "person", "agent", "\nshared.txt\n", "- Step a"] {
        assert!(prompt.contains(words), "{words}: {prompt}");
    }
    let shown = place.json(&["status", &id]);
    assert_eq!((&shown["status"], &shown["counts"]["total"]), (&"done".into(), &1.into()), "{shown}");
    assert!(shown.to_string().contains("\"land-1\""), "{shown}");
}

#[test]
fn what_no_agent_solves_waits_and_lands_once_a_person_merged_it() {
    let place = Place::new(true);
    let output = place.clash(true);
    let id = id(&output);
    assert_eq!(code(&output), 8, "{}", both(&output));
    let text = both(&output);
    assert!(text.contains(&format!("finish it with: git merge enki/{id}")) && text.contains("land-1"), "{text}");
    assert!(!text.contains("enki retry"), "the hold says what to do: {text}");
    assert_eq!((place.shared().as_str(), code(&place.enki(&["retry", &id]))), ("person\n", 2));
    assert_eq!(git(&place.root, &["show", &format!("enki/{id}:shared.txt")]), "agent\n", "the work is kept");
    assert_eq!(code(&place.enki(&["gc"])), 0);
    git(&place.root, &["merge", "-q", "-s", "ours", "--no-commit", &format!("enki/{id}")]);
    place.person("by hand", true);
    let landed = place.enki(&["land", &id]);
    assert_eq!(code(&landed), 0, "{}", both(&landed));
    assert_eq!((place.json(&["status", &id])["status"].as_str(), place.shared().as_str()), (Some("done"), "by hand\n"));
}

#[test]
fn in_a_folder_without_git_the_command_that_is_said_works() {
    let place = Place::new(false);
    let output = place.clash(false);
    let id = id(&output);
    assert_eq!(code(&output), 8, "{}", both(&output));
    assert!(both(&output).contains(&format!("finish it with: enki land {id}")), "{}", both(&output));
    // Still in conflict: no agent starts here, and it is said who does.
    let again = place.enki(&["land", &id]);
    assert_eq!(code(&again), 8, "{}", both(&again));
    assert!(both(&again).contains("step land-2 is to solve that"), "{}", both(&again));
    fs::write(place.notes().join("solve"), "").unwrap();
    let output = place.enki(&["resume", &id]);
    assert_eq!((code(&output), place.shared().as_str()), (0, "person and agent\n"), "{}", both(&output));
    assert_eq!(fs::read_to_string(place.root.join("new.txt")).unwrap(), "new\n");
}
