//! A person's sentence becomes merged commits while all that can go wrong on the way does: the service refuses, hangs and
//! breaks off, a tool is not permitted, a reviewer finds something, and Enki itself is killed. The real Claude Code client
//! in every part, with a scripted service. Skipped, and said so, where the client is missing.

use crate::claude::{Scene, call, output, repaired, review, scenario, shell};
use crate::common::{both, code, git, until};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output, Stdio};

fn named(name: &str, mut scenario: Value) -> Value {
    scenario["name"] = json!(name);
    scenario
}

fn write(file: &str, text: &str) -> Value {
    call("Write", &json!({"file_path": format!("{{{{cwd}}}}/{file}"), "content": text}))
}

/// What a turn meets with before it is served, over all conversations.
fn after(mut turn: Value, mut fail: Value) -> Value {
    fail["all"] = json!(true);
    turn["fail"] = fail;
    turn
}

/// The worker of one language. The limit of its login is reached when it begins, and it goes on when all four are at work.
fn worker(language: &str, turns: &[Value]) -> Value {
    let begin = after(shell("git status --short"), json!({"status": 429, "reset_in": 3}));
    let mut meet = shell("git log --oneline");
    meet["meet"] = json!({"name": "all four", "of": 4});
    let all = [&[begin, meet], turns].concat();
    named(language, scenario(&format!("^(?=.*Greet in {language})(?=.*Edit the files in the current directory)"), &all))
}

fn step(id: &str, description: &str) -> Value {
    json!({"id": id, "title": format!("Step {id}"), "description": description, "tier": "light"})
}

fn script() -> Value {
    let mut look = step("look", "First look which languages there are.");
    look["checkpoint"] = json!(true);
    let greet = ["english", "french", "german", "italian"].map(|language| {
        let mut step = step(language, &format!("Greet in {language}."));
        step["needs"] = json!(["look"]);
        if language == "french" {
            step["review"] = json!({"min_score": 9.0});
        }
        step
    });
    let steps = [&[look], &greet[..]].concat();
    let plan = json!({"title": "Greetings", "steps": steps});
    let found = json!({"severity": "major", "title": "the accent is missing", "file": "french", "line": 1});
    let says = |text: &str| json!({"text": text});
    let mend = call("Edit", &json!({"file_path": "{{cwd}}/french", "old_string": "Ca", "new_string": "Ça"}));
    let fix = "has to answer for.*- (?P<id>f-\\w+) [^\n]*the accent is missing.*\"nonce\":\"(?P<nonce>\\w+)\"";
    let outside = call("Write", &json!({"file_path": "{{cwd}}/../../outside", "content": "x\n"}));
    json!([
        scenario(
            "# The person says\\s+Greet everybody",
            &[call("mcp__enki__enki_execution_create", &plan), says("I made a plan of five steps.")]
        ),
        scenario(
            "(?P<exec>\\w{32}): held \\(.*checkpoint.*there are four",
            &[call("mcp__enki__enki_resume", &json!({"execution_id": "{{exec}}"})), says("On with all four.")]
        ),
        scenario("ended, done", &[says("Everybody is greeted.")]),
        review("first work", &json!({"gate": "REVISE", "score": 7.0, "summary": "nearly", "issues": [found]})),
        review("after fix 1 of 3", &json!({"gate": "PASS", "score": 9.9, "summary": "good", "issues": []})),
        scenario(fix, &[mend, repaired("set the accent")]),
        scenario(
            "^(?=.*First look which)(?=.*Edit the files in the current directory)",
            &[write("languages", "four\n"), output("there are four")]
        ),
        worker("english", &[after(write("english", "Hello\n"), json!({"truncate": 3})), output("done")]),
        worker("french", &[write("french", "Ca va\n"), output("done")]),
        // Once the first time, until Enki is killed; and once more.
        worker("german", &[after(write("german", "Hallo\n"), json!({"hang": "stream", "times": 2})), output("done")]),
        worker("italian", &[outside, write("italian", "Ciao\n"), output("done")]),
    ])
}

fn ask(scene: &Scene, args: &[&str]) -> Command {
    let mut ask = scene.inside(&scene.place.command(&[&["ask"], args].concat()));
    // A client that is held back dies with whoever drives; here one has to be left.
    ask.env("ENKI_SANDBOX_LEVEL", "0");
    // The login of a subscription: of that alone the service says when its limit ends.
    ask.env("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-dummy");
    ask
}

/// The processes of this project: their home is its person's.
fn alive(scene: &Scene) -> Vec<String> {
    let home = [b"HOME=", scene.place.dir.path().join("home").as_os_str().as_bytes()].concat();
    let of = |pid: &str| {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        environment.split(|byte| *byte == 0).any(|variable| variable == home).then_some(line)
    };
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    all.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).filter_map(|pid| of(&pid)).collect()
}

fn landed(scene: &Scene) -> String {
    git(&scene.place.root, &["ls-tree", "--name-only", "main"])
}

#[test]
fn a_sentence_becomes_commits_though_everything_goes_wrong_on_the_way() {
    let Some(scene) = Scene::new(&script()) else { return };
    let settings = scene.place.root.join(".enki/enki.toml");
    let more = "[workers]\nstall = 25\n[approval]\npreset = \"autonomous\"\n";
    fs::write(&settings, fs::read_to_string(&settings).unwrap() + more).unwrap();

    // The limit of the login is reached for all, they wait for its end, and three of four are done but for the one that hangs.
    let mut first = ask(&scene, &["Greet everybody."]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = first.stderr.take().unwrap();
    let said = std::thread::spawn(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut said, &mut text).unwrap();
        text
    });
    until(|| landed(&scene) == "english\nfrench\nitalian\nlanguages\n");
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(
        alive(&scene).iter().any(|line| line.contains("claude")),
        "the one that hangs is left: {:?}",
        alive(&scene)
    );
    let said = said.join().unwrap();
    assert!(said.contains("waits for the service of its agents until"), "{said}");

    let on: Output = ask(&scene, &[]).output().unwrap();
    let text = both(&on);
    assert_eq!(code(&on), 0, "{said}\n{text}\n{:#?}", scene.ends());
    assert!(text.contains("Everybody is greeted."), "{text}");
    assert_eq!(alive(&scene), [""; 0], "nothing is left of either run");
    assert_eq!(landed(&scene), "english\nfrench\ngerman\nitalian\nlanguages\n");
    assert_eq!(git(&scene.place.root, &["show", "main:french"]), "Ça va\n", "as the review wanted it");
    assert!(
        !scene.place.root.join(".enki/outside").exists() && !scene.place.root.join(".enki/copies/outside").exists()
    );
    assert!(git(&scene.place.root, &["status", "--porcelain"]).is_empty());

    // What went wrong is told, and charged to nobody but the one that hung.
    let log = both(&scene.place.enki(&["log", &scene.place.newest()]));
    for part in [
        "hold 1 answered",
        "its limit is reached",
        "french reviewed: revise, 7/10",
        "french reviewed: pass, 9.9/10",
        "german was stopped; tried again",
        "german gave no sign of life; tried again",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
    assert_eq!(log.matches("has to wait until").count(), 4, "{log}");
    let ends = scene.ends();
    let charges: Vec<&str> = ends.iter().filter_map(|end| end["next"]["run"]["charge"].as_str()).collect();
    let of = |charge: &str| charges.iter().filter(|is| **is == charge).count();
    assert_eq!((of("repeat"), of("fix"), of("infra")), (5, 1, 1), "four limits and the kill: {charges:?}");
    let agents = scene.place.root.join(".enki/logs").join(scene.place.newest());
    let italian = fs::read_to_string(agents.join("italian.2.log")).unwrap();
    assert!(italian.contains(r#""permission_denials":[{"tool_name":"Write""#), "{italian}");
    let rules = scene.place.enki(&["validate", &scene.place.newest()]);
    assert_eq!(code(&rules), 0, "{}", both(&rules));
}
