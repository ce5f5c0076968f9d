//! `enki ask` from a sentence to merged commits: the binary, real git, the real store, and as the coordinator the real
//! Claude Code client with a scripted service, or a script that speaks MCP.

use crate::claude::{Scene, call, edit, fix, last_prompt, output, repaired, review, scenario, tools};
use crate::common::{Place, both, code, git, until};
use serde_json::{Value, json};
use std::process::{Output, Stdio};

const PERSON: &str = "# The person says";

fn ask(scene: &Scene, args: &[&str]) -> Output {
    let mut ask = scene.inside(&scene.place.command(&[&["ask"], args].concat()));
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
    assert!(said.contains("sandbox level"), "{said}");
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

/// A coordinator that is a script: it does what `script.json` says when its prompt fits, over MCP, and says what it was
/// answered. `{exec}` is the first id of an execution in the prompt.
const COORDINATOR: &str = r#"
import json, os, re, subprocess, sys, time
here = os.path.dirname(os.path.abspath(__file__))
prompt = sys.stdin.read()
with open(os.path.join(here, "prompts"), "a") as log:
    log.write(json.dumps(prompt) + "\n")
config = json.load(open(os.environ["ENKI_MCP_CONFIG"]))["mcpServers"]["enki"]
server = subprocess.Popen([config["command"], *config["args"]], env={**os.environ, **config["env"]}, text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE)
def ask(method, params, id):
    server.stdin.write(json.dumps({"jsonrpc": "2.0", "id": id, "method": method, "params": params}) + "\n")
    server.stdin.flush()
    return json.loads(server.stdout.readline())
ask("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}, 1)
server.stdin.write('{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')
found = re.search(r"\b[0-9a-f]{32}\b", prompt)
exec_ = found.group() if found else ""
for pattern, calls in json.load(open(os.path.join(here, "script.json"))):
    if re.search(pattern, prompt, re.S):
        break
else:
    calls = []
for n, (tool, arguments) in enumerate(calls):
    if tool == "wait":
        while not os.path.exists(os.environ["GATE"]):
            time.sleep(0.02)
        continue
    arguments = json.loads(json.dumps(arguments).replace("{exec}", exec_))
    arguments = json.loads(json.dumps(arguments).replace("{task}", (re.findall(r"task-[0-9a-f]{12}", prompt) or [""])[-1]))
    result = ask("tools/call", {"name": tool, "arguments": arguments}, n + 2)["result"]
    exec_ = exec_ or (result.get("structuredContent") or {}).get("execution_id", "")
    print(tool, "->", result["content"][0]["text"])
print("that is all")
"#;

/// A project whose coordinator is that script.
pub(crate) fn scripted(script: &Value, more: &str) -> Place {
    let place = Place::new();
    let path = place.dir.path().join("coordinator.py");
    std::fs::write(&path, COORDINATOR).unwrap();
    std::fs::write(place.dir.path().join("script.json"), script.to_string()).unwrap();
    let settings = format!("[agent.coordinator]\ncommand = \"python3\"\nargs = [{path:?}]\n{more}");
    place.settings(&settings);
    place
}

/// What the coordinator was told, turn by turn.
pub(crate) fn prompts(place: &Place) -> Vec<String> {
    let text = std::fs::read_to_string(place.dir.path().join("prompts")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub(crate) fn create(ids: &[&str]) -> Value {
    let steps: Vec<Value> = ids.iter().map(|id| light(id, "Write the file.", &[])).collect();
    json!(["enki_execution_create", {"title": "A plan", "steps": steps}])
}

#[test]
fn a_plan_waits_for_the_person_and_not_even_its_coordinator_can_approve_it() {
    let approve = json!(["enki_resume", {"execution_id": "{exec}", "answer": "approve"}]);
    let place = scripted(&json!([["says\\s+Do two", [create(&["a", "b"]), approve]]]), "");
    let asked = place.enki(&["ask", "Do two things."]);
    let said = both(&asked);
    assert_eq!(code(&asked), 8, "{said}");
    for part in ["only they can answer", "wave 1  a, b", "approval of the decomposition", "go on with: enki resume"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(git(&place.root, &["ls-tree", "--name-only", "main"]), "", "nothing started");
    // The person approves in another way; the coordinator hears of the end when it is asked to go on.
    let resumed = place.enki(&["resume"]);
    assert_eq!(code(&resumed), 0, "{}", both(&resumed));
    let on = place.enki(&["ask"]);
    assert_eq!(code(&on), 0, "{}", both(&on));
    assert_eq!(git(&place.root, &["ls-tree", "--name-only", "main"]), "a.txt\nb.txt\n");
    let told = prompts(&place);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[1].contains("ended, done") && told[1].contains("No person spoke"), "{}", told[1]);
}

#[test]
fn a_coordinator_that_always_tries_again_is_stopped_and_what_it_hears_has_the_end_of_the_log() {
    let retry = json!(["enki_task_retry", {"task_id": "{task}"}]);
    let script = json!([["says\\s+Try", [create(&["fail"])]], ["failed", [retry]]]);
    let place = scripted(&script, "[coordinator]\nturns = 2\n[workers]\nretries = 0\n");
    let asked = place.enki(&["ask", "Try it."]);
    let said = both(&asked);
    assert_eq!(code(&asked), 7, "{said}");
    assert!(said.contains("took 2 turns without a word of yours"), "{said}");
    let told = prompts(&place);
    assert_eq!(told.len(), 3, "{told:#?}");
    assert!(told[1].contains("step \"fail\" failed, task-") && told[1].contains("cannot do it"), "{}", told[1]);
    // A word of the person lets it go on.
    place.enki(&["ask", "Once more."]);
    assert!(prompts(&place).len() > 3);
}

#[test]
fn a_turn_that_changes_nothing_is_the_last_one() {
    let script = json!([["says\\s+Try", [create(&["fail"])]]]);
    let place = scripted(&script, "[workers]\nretries = 0\n");
    let asked = place.enki(&["ask", "Try it."]);
    assert_eq!(code(&asked), 7, "{}", both(&asked));
    assert_eq!(prompts(&place).len(), 2, "{:#?}", prompts(&place));
    place.enki(&["ask"]);
    assert_eq!(prompts(&place).len(), 2, "it is not told the same again: {:#?}", prompts(&place));
}

#[test]
fn a_turn_that_was_killed_is_known_to_have_begun_and_what_it_made_goes_on() {
    let script = json!([
        ["says\\s+Do two.*last turn was cut off", [["enki_status", {}]]],
        ["says\\s+Do two", [create(&["a", "slow"]), ["wait", {}]]]
    ]);
    let place = scripted(&script, "[approval]\npreset = \"autonomous\"\n");
    let mut first =
        place.command(&["ask", "Do two things."]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until(|| place.json(&["status"])["executions"][0]["counts"]["done"] == 1);
    first.kill().unwrap();
    first.wait().unwrap();
    place.open_gate();
    let on = place.enki(&["ask", "--json"]);
    let said = both(&on);
    assert_eq!(code(&on), 0, "{said}");
    assert_eq!(git(&place.root, &["ls-tree", "--name-only", "main"]), "a.txt\nslow.txt\n", "{said}");
    let told = prompts(&place);
    assert!(
        told[1].contains("Do two things.") && told[1].contains("cut off") && told[1].contains("# Your executions"),
        "{}",
        told[1]
    );
    assert!(told.last().unwrap().contains("ended, done"), "{told:#?}");
    assert_eq!(place.json(&["status"])["executions"].as_array().unwrap().len(), 1, "it was not made twice");
}

#[test]
fn beside_a_process_that_drives_the_plan_runs_there_and_the_person_approves_here() {
    let place = scripted(&json!([["says\\s+Do two", [create(&["a", "b"])]]]), "");
    let plan = place.plan("slow.json", &["slow"]);
    let mut driver = place.command(&["run", plan.to_str().unwrap()]);
    let driver = driver.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until(|| place.json(&["status"])["executions"][0]["counts"]["running"] == 1);
    let asked = place.enki(&["ask", "Do two things.", "--yes"]);
    let said = both(&asked);
    assert_eq!(code(&asked), 0, "{said}");
    assert!(said.contains("approved by --yes") && !place.root.join("slow.txt").exists(), "{said}");
    assert_eq!(git(&place.root, &["ls-tree", "--name-only", "main"]), "a.txt\nb.txt\n", "{said}");
    assert!(prompts(&place)[1].contains("ended, done"), "{:#?}", prompts(&place));
    place.open_gate();
    assert_eq!(driver.wait_with_output().unwrap().status.code(), Some(0));
}

#[test]
fn a_plan_that_another_process_drives_goes_on_here_when_that_one_ends() {
    let place = scripted(&json!([["says\\s+Do two", [create(&["a", "slow"])]]]), "");
    let plan = place.plan("slow.json", &["slow"]);
    let mut driver = place.command(&["run", plan.to_str().unwrap()]);
    let mut driver = driver.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until(|| place.json(&["status"])["executions"][0]["counts"]["running"] == 1);
    let mut asked = place.command(&["ask", "Do two things.", "--yes"]);
    let asked = asked.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until(|| {
        let mine = &place.json(&["status"])["executions"][0]["counts"];
        mine["done"] == 1 && mine["running"] == 1
    });
    driver.kill().unwrap();
    driver.wait().unwrap();
    place.open_gate();
    let asked = asked.wait_with_output().unwrap();
    let said = both(&asked);
    assert_eq!(code(&asked), 0, "{said}");
    assert!(said.contains("it is driven here now"), "{said}");
    // What the other process drove goes on here too, though it is none of this conversation.
    let last = git(&place.root, &["ls-tree", "--name-only", "main"]);
    assert!(last.contains("a.txt\n") && last.contains("slow.txt\n"), "{last}");
    assert_eq!(prompts(&place).len(), 2, "{:#?}", prompts(&place));
    assert!(prompts(&place)[1].contains("ended, done"), "{:#?}", prompts(&place));
}

#[test]
fn control_c_ends_a_turn_and_its_words_are_told_again() {
    let place = scripted(&json!([["No answer", []], ["says\\s+Think", [["wait", {}]]]]), "");
    let mut asked = place.command(&["ask", "Think."]);
    let asked = asked.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until(|| prompts(&place).len() == 1);
    rustix::process::kill_process(rustix::process::Pid::from_child(&asked), rustix::process::Signal::INT).unwrap();
    let asked = asked.wait_with_output().unwrap();
    assert_eq!(code(&asked), 130, "{}", both(&asked));
    place.open_gate();
    let again = place.enki(&["ask", "And more."]);
    assert_eq!(code(&again), 0, "{}", both(&again));
    let told = prompts(&place);
    assert!(told.len() == 2 && told[1].contains("Think.\n\nAnd more."), "{told:#?}");
    assert!(!told[1].contains("cut off"), "it ended, if not well: {}", told[1]);
}

#[test]
fn what_the_coordinator_itself_may_use_is_limited_over_a_conversation() {
    let Some(scene) = Scene::new(&json!([scenario(PERSON, &[json!({"text": "It is a repository."})])])) else {
        return;
    };
    let path = scene.place.root.join("enki.toml");
    std::fs::write(path, "[budget.coordinator]\ntokens = 1\n").unwrap();
    let first = ask(&scene, &["What is this?"]);
    assert!(both(&first).contains("coordinator: $"), "its cost is shown: {}", both(&first));
    let second = ask(&scene, &["And now?"]);
    assert_eq!(code(&second), 7, "{}", both(&second));
    assert!(both(&second).contains("this conversation used its budget"), "{}", both(&second));
    assert!(!both(&ask(&scene, &["--new", "And now?"])).contains("this conversation used its budget"));
}

#[test]
fn a_coordinator_whose_service_is_out_says_so_and_hears_the_words_again() {
    let mut turn = json!({"text": "It is a repository."});
    turn["fail"] = json!({"status": 529, "times": 3, "all": true});
    let Some(scene) = Scene::new(&json!([scenario(PERSON, &[turn])])) else { return };
    let first = ask(&scene, &["What is this?"]);
    assert_eq!(code(&first), 3, "{}", both(&first));
    assert!(both(&first).contains("its service is out: API Error: 529"), "{}", both(&first));
    let again = ask(&scene, &[]);
    assert!(code(&again) == 0 && both(&again).contains("It is a repository."), "{}", both(&again));
}

#[test]
fn there_is_nothing_to_go_on_with_before_the_first_word() {
    let place = scripted(&json!([]), "");
    for (args, says) in [(&["ask"][..], "there is no conversation yet"), (&["ask", " "], "you said nothing")] {
        let asked = place.enki(args);
        assert_eq!(code(&asked), 2);
        assert!(both(&asked).contains(says), "{}", both(&asked));
    }
}
