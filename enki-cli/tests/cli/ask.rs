//! `enki ask` from a sentence to merged commits: the binary, real git, the real store, and as the coordinator the real
//! Claude Code client with a scripted service, or a script that speaks MCP.

use crate::claude::{Scene, call, edit, fix, last_prompt, output, repaired, review, scenario, tools};
use crate::common::{Place, both, code, git};
use serde_json::{Value, json};
use std::process::Output;

const PERSON: &str = "# The person says";

fn ask(scene: &Scene, args: &[&str]) -> Output {
    let mut ask = scene.place.command(&[&["ask"], args].concat());
    ask.env("ANTHROPIC_API_KEY", "sk-ant-dummy").output().unwrap()
}

fn tool(name: &str, input: &Value) -> Value {
    call(&format!("mcp__enki__{name}"), input)
}

/// The agent of a step whose description says that.
fn work(says: &str, turns: &[Value]) -> Value {
    scenario(&format!("^(?=.*{says})(?=.*Edit the files in the current directory)"), turns)
}

fn write(file: &str, text: &str) -> Value {
    call("Write", &json!({"file_path": format!("{{{{cwd}}}}/{file}"), "content": text}))
}

fn light(id: &str, description: &str, needs: &[&str]) -> Value {
    json!({"id": id, "title": format!("Step {id}"), "description": description, "tier": "light", "needs": needs})
}

/// A plan that is looked at after its first step, with a step that is reviewed, and what becomes of it.
fn greetings() -> Value {
    let mut look = light("look", "First look around.", &[]);
    look["checkpoint"] = json!(true);
    let mut greet = light("greet", "Then greet with greet.sh.", &["look"]);
    greet["review"] = json!({"min_score": 9.0});
    let plan =
        json!({"title": "Greetings", "steps": [look, greet, light("bye", "Then say bye with bye.sh.", &["look"])]});
    let more = json!({"execution_id": "{{exec}}", "steps": [light("thanks", "Then thank with thanks.sh.", &["look"])]});
    let found = json!({"severity": "major", "title": "the name needs quotes", "file": "greet.sh", "line": 1});
    json!([
        scenario(
            &format!("{PERSON}\\s+Greet everybody"),
            &[tool("enki_execution_create", &plan), json!({"text": "I made a plan of three steps."})]
        ),
        scenario(
            "(?P<exec>\\w{32}): held \\(.*checkpoint.*found README",
            &[
                tool("enki_execution_add_steps", &more),
                tool("enki_resume", &json!({"execution_id": "{{exec}}"})),
                json!({"text": "Thanks are said too."})
            ]
        ),
        scenario("ended, done", &[json!({"text": "Everybody is greeted."})]),
        review("first work", &json!({"gate": "REVISE", "score": 7.0, "summary": "unsafe", "issues": [found]})),
        review("after fix 1 of 3", &json!({"gate": "PASS", "score": 9.9, "summary": "good", "issues": []})),
        fix("the name needs quotes", &[edit("$1", "\"$1\""), repaired("quoted it")]),
        work("First look around", &[write("found.txt", "README\n"), output("found README")]),
        work("Then greet", &[write("greet.sh", "echo hello $1\n"), output("greets")]),
        work("Then say bye", &[write("bye.sh", "echo bye\n"), output("says bye")]),
        work("Then thank", &[write("thanks.sh", "echo thanks\n"), output("thanks")]),
    ])
}

#[test]
fn a_sentence_becomes_commits_with_a_review_a_fix_and_a_checkpoint_that_the_coordinator_answers() {
    let Some(scene) = Scene::new(&greetings()) else { return };
    let asked = ask(&scene, &["Greet everybody.", "--yes"]);
    let said = both(&asked);
    assert_eq!(code(&asked), 0, "{said}");
    for part in ["I made a plan of three steps.", "wave 2  greet, bye", "Thanks are said too.", "Everybody is greeted."]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let root = &scene.place.root;
    let files = git(root, &["ls-tree", "--name-only", "main"]);
    assert_eq!(files, "bye.sh\nfound.txt\ngreet.sh\nthanks.sh\n", "{said}");
    assert_eq!(git(root, &["show", "main:greet.sh"]), "echo hello \"$1\"\n");
    assert!(git(root, &["status", "--porcelain"]).is_empty());

    // Who coordinates has tools of Enki's and none to edit with; who works has none of a coordinator's.
    let turns = scene.requests(PERSON);
    let (first, wakes) = (turns.first().unwrap(), scene.requests("No person spoke"));
    let offered = tools(first);
    assert!(offered.contains(&"mcp__enki__enki_execution_create") && offered.contains(&"Read"), "{offered:?}");
    assert!(!offered.iter().any(|tool| ["Edit", "Write", "NotebookEdit"].contains(tool)), "{offered:?}");
    assert!(first["system"].to_string().contains("You coordinate work on this project"), "{}", first["system"]);
    for body in scene.requests("Edit the files in the current directory") {
        assert!(!tools(&body).contains(&"mcp__enki__enki_execution_create"), "{:?}", tools(&body));
    }
    // It was woken twice, for the checkpoint and for the end, in one conversation.
    let mut prompts: Vec<String> = wakes.iter().map(last_prompt).collect();
    prompts.dedup();
    assert_eq!(prompts.len(), 2, "{prompts:#?}");
    assert!(wakes[0]["messages"].to_string().contains("Greet everybody"), "it goes on with its session");
    assert!(prompts[1].contains("greet done, landed") && prompts[1].contains("thanks done"), "{}", prompts[1]);

    // And it ends there: nothing is left to tell.
    let again = ask(&scene, &["--json"]);
    let last: Value = serde_json::from_str(String::from_utf8_lossy(&again.stdout).lines().last().unwrap()).unwrap();
    assert_eq!((code(&again), &last["turns"]), (0, &json!(0)), "{}", both(&again));
    assert!(last["conversation_cost"]["tokens"].as_u64().unwrap() > 0, "{last}");
}
