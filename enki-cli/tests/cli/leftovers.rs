//! The real Claude Code client in the middle of a shell command, which is in a session of its own, when Enki is killed, ended or
//! told to cancel: nothing of it lives on, and the work goes on.

use crate::claude::{Scene, call, output, scenario, shell};
use crate::common::{both, code, git, until};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command, Stdio};

/// Runs for ever in the first attempt, and hears no polite signal.
const STUBBORN: &str = r#"
import os, signal, sys, time
here = os.path.dirname(os.path.abspath(__file__))
for polite in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(polite, signal.SIG_IGN)
if not os.path.exists(os.path.join(here, "gate")):
    open(os.path.join(here, "working"), "w").close()
    time.sleep(600)
"#;

fn scene() -> Option<Scene> {
    let write = call("Write", &json!({"file_path": "{{cwd}}/greet.sh", "content": "echo hello\n"}));
    let turns = [shell("python3 {{PLACE}}/stubborn.py"), write, output("greets")];
    let scene = Scene::new(&json!([scenario("Edit the files in the current directory", &turns)]))?;
    fs::write(scene.place.dir.path().join("stubborn.py"), STUBBORN).unwrap();
    Some(scene)
}

/// Starts a run, and lets it go on until the client's shell command is at work.
fn at_work(scene: &Scene) -> Child {
    let step = json!({"id": "greet", "title": "Greet", "description": "Greet.", "tier": "light"});
    // Its command is a script of the test, and a client that is held back would leave nothing.
    let mut run = scene.command(&step);
    let mut run = run.env("ENKI_SANDBOX_LEVEL", "0").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    until(|| {
        assert!(run.try_wait().unwrap().is_none(), "the run ended early");
        scene.place.dir.path().join("working").exists()
    });
    let lives = living(scene);
    assert!(lives.iter().any(|(_, line)| line.contains("stubborn.py")), "{lives:?}");
    run
}

/// What carries the mark of the project's agents: whatever session it is in, and whoever its parent is.
fn living(scene: &Scene) -> Vec<(String, String)> {
    let folder = scene.place.dir.path().as_os_str().as_bytes().to_owned();
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
        let agent = environ.split(|b| *b == 0).any(|var| var.starts_with(b"ENKI_PROJECT="));
        if agent && environ.windows(folder.len()).any(|part| part == folder) {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            all.push((entry.file_name().to_string_lossy().into_owned(), line));
        }
    }
    all
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

fn goes_on(scene: &Scene) {
    fs::write(scene.place.dir.path().join("gate"), "").unwrap();
    let id = scene.place.newest();
    let mut resume = scene.inside(&scene.place.command(&["resume", &id]));
    resume.env("ENKI_SANDBOX_LEVEL", "0");
    let output = resume.env("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-dummy").output().unwrap();
    assert_eq!(code(&output), 0, "{}", both(&output));
    assert_eq!(git(&scene.place.root, &["show", "main:greet.sh"]), "echo hello\n");
    assert_eq!(living(scene), []);
}

#[test]
fn after_a_kill_the_next_command_hunts_all_down_and_the_work_goes_on() {
    let Some(scene) = scene() else { return };
    let mut run = at_work(&scene);
    signal(&run, "-KILL");
    run.wait().unwrap();
    goes_on(&scene);
    let ends: Vec<Value> = scene.ends();
    assert_eq!(ends.len(), 2, "{ends:#?}");
    assert_eq!(ends[0]["end"]["outcome"], json!("killed"), "{ends:#?}");
    assert_eq!(ends[0]["next"]["run"]["charge"], "repeat", "it is charged to nothing: {ends:#?}");
}

#[test]
fn ended_by_a_signal_it_leaves_nothing_and_the_work_goes_on() {
    let Some(scene) = scene() else { return };
    let run = at_work(&scene);
    // Once: nothing new. Once more: now.
    signal(&run, "-TERM");
    signal(&run, "-TERM");
    let ended = run.wait_with_output().unwrap();
    assert_eq!(code(&ended), 143, "{}", both(&ended));
    assert_eq!(living(&scene), []);
    goes_on(&scene);
}

#[test]
fn what_is_cancelled_leaves_nothing() {
    let Some(scene) = scene() else { return };
    let run = at_work(&scene);
    let cancelled = scene.place.enki(&["cancel", &scene.place.newest()]);
    assert_eq!(code(&cancelled), 0, "{}", both(&cancelled));
    let ended = run.wait_with_output().unwrap();
    assert!(both(&ended).contains("cancelled"), "{}", both(&ended));
    assert_eq!(living(&scene), []);
}
