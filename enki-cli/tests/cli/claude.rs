//! Review chains with the real Claude Code client as worker, reviewer and fixer: the binary, real git, the real store, and
//! a scripted service on loopback that says what a model would. Skipped, and said so, where the client is missing.

use crate::common::{Place, both, code, git};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A project whose agent is the real client, and the service it speaks to.
pub(crate) struct Scene {
    pub(crate) place: Place,
    fake: Child,
    /// What starts a program where the service is, which has a network of its own.
    enter: Vec<String>,
    client: PathBuf,
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.fake.kill();
        let _ = self.fake.wait();
    }
}

impl Scene {
    /// `None` if something is missing here, which it has said.
    pub(crate) fn new(scenarios: &Value) -> Option<Self> {
        let place = Place::new();
        let folder = place.dir.path();
        let client = client().map_err(|why| skipped(&why)).ok()?;
        if !Command::new("python3").arg("--version").output().is_ok_and(|o| o.status.success()) {
            skipped("python3 is missing, which plays the service");
            return None;
        }
        for part in ["tmp", "requests"] {
            fs::create_dir(folder.join(part)).unwrap();
        }
        let text = json!({ "scenarios": scenarios }).to_string();
        // Scenarios are made before the place is.
        fs::write(folder.join("scenarios.json"), text.replace("{{PLACE}}", folder.to_str().unwrap())).unwrap();
        let (mut fake, enter, program) = service(folder, &client);
        let mut first = String::new();
        BufReader::new(fake.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let said: Value = serde_json::from_str(&first).unwrap();
        let tmp = folder.join("tmp");
        let env = [
            ("ANTHROPIC_BASE_URL", said["base_url"].as_str().unwrap()),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
            ("CLAUDE_CODE_TMPDIR", tmp.to_str().unwrap()),
            ("DISABLE_TELEMETRY", "1"),
            ("DISABLE_ERROR_REPORTING", "1"),
        ];
        let env: Vec<String> = env.iter().map(|(name, value)| format!("{name} = {value:?}")).collect();
        let settings = format!("[agent]\ncommand = {program:?}\nenv = {{ {} }}\n", env.join(", "));
        fs::write(place.root.join(".enki/enki.toml"), settings).unwrap();
        Some(Self { place, fake, enter, client })
    }

    /// With the login of a subscription: of that alone the service says when its limit ends.
    pub(crate) fn command(&self, step: &Value) -> Command {
        let path = self.place.dir.path().join("plan.json");
        fs::write(&path, json!({"title": "Greetings", "steps": [step]}).to_string()).unwrap();
        let mut run = self.inside(&self.place.command(&["run", path.to_str().unwrap()]));
        run.env("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-dummy");
        run
    }

    /// The same command where the service is, held back as it is by default.
    pub(crate) fn inside(&self, command: &Command) -> Command {
        let mut words = self.enter.iter().map(OsString::from).collect::<Vec<_>>();
        words.push(command.get_program().to_owned());
        words.extend(command.get_args().map(OsString::from));
        let mut inside = Command::new(&words[0]);
        inside.args(&words[1..]).env_clear();
        inside.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        inside.env_remove("ENKI_SANDBOX_LEVEL");
        if let Some(level) = std::env::var_os("ENKI_TEST_SANDBOX") {
            inside.env("ENKI_SANDBOX_LEVEL", level);
        }
        // The program is a script that starts it.
        let real = self.client.canonicalize().unwrap();
        let readable = [self.client.parent().unwrap(), real.parent().unwrap()];
        inside.env("ENKI_SANDBOX_READABLE", serde_json::to_string(&readable).unwrap());
        if let Some(folder) = command.get_current_dir() {
            inside.current_dir(folder);
        }
        inside
    }

    fn run(&self, step: &Value) -> (i32, String) {
        let output = self.command(step).output().unwrap();
        (code(&output), both(&output))
    }

    /// Starts a run and lets it go on until it says that the service has to be waited for.
    fn run_until_it_waits(&self, step: &Value) -> (Child, String) {
        let mut run = self.command(step).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(run.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("waits for the service of its agents until") {
            assert!(lines.read_line(&mut said).unwrap() > 0, "the run ended early: {said}");
        }
        run.stderr = Some(lines.into_inner());
        (run, said)
    }

    /// What the log has about the ends of attempts, in order.
    pub(crate) fn ends(&self) -> Vec<Value> {
        let log = both(&self.place.enki(&["log", &self.place.newest(), "--json"]));
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let ends = events.filter_map(|mut event| {
            let event = if event["event"].is_null() { event } else { event["event"].take() };
            Some(event["attempt_ended"].clone()).filter(|end| !end.is_null())
        });
        ends.collect()
    }

    /// The requests of attempts of that purpose, in order of time: whole bodies as the service got them.
    pub(crate) fn requests(&self, of: &str) -> Vec<Value> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(self.place.dir.path().join("requests")).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        let bodies =
            files.iter().filter_map(|file| serde_json::from_str::<Value>(&fs::read_to_string(file).ok()?).ok());
        bodies.filter(|body| last_prompt(body).contains(of) && body["tools"][0].is_object()).collect()
    }
}

/// The text of the newest message of the person that is no answer of a tool.
pub(crate) fn last_prompt(body: &Value) -> String {
    let text = |content: &Value| match content {
        Value::String(text) => text.clone(),
        blocks => blocks.as_array().into_iter().flatten().filter_map(|block| block["text"].as_str()).collect(),
    };
    let of_person = |message: &&Value| message["role"] == "user" && message["content"][0]["type"] != "tool_result";
    let messages = body["messages"].as_array().into_iter().flatten();
    messages.rev().find(of_person).map(|message| text(&message["content"])).unwrap_or_default()
}

pub(crate) fn tools(body: &Value) -> Vec<&str> {
    body["tools"].as_array().into_iter().flatten().filter_map(|tool| tool["name"].as_str()).collect()
}

fn client() -> Result<PathBuf, String> {
    if let Some(given) = std::env::var_os("CLAUDE_BIN") {
        return Ok(given.into());
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let bin = target.join("claude-client/node_modules/.bin/claude");
    bin.canonicalize().map_err(|_| "the client is missing; run .ci/install-claude or set CLAUDE_BIN".to_owned())
}

/// Says so even where the output of passing tests is captured.
fn skipped(why: &str) {
    let test = std::thread::current();
    let _ = writeln!(std::io::stderr(), "skipped: {}: {why}", test.name().unwrap_or("a test"));
}

/// Starts the service, where the system allows in a network namespace that has loopback alone, and gives the program
/// that runs the client beside it.
fn service(folder: &Path, client: &Path) -> (Child, Vec<String>, OsString) {
    let can = |args: &[&str]| Command::new("unshare").args(args).arg("true").output().is_ok_and(|o| o.status.success());
    let (own, enter) = if can(&["-n"]) {
        (Some("-n"), "-n")
    } else if can(&["-rn"]) {
        (Some("-rn"), "-U --preserve-credentials -n")
    } else {
        (None, "")
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../enki-agent-claude/tests/support/fake_anthropic.py");
    let mut fake = Command::new(if own.is_some() { "unshare" } else { "python3" });
    fake.args(own.iter().flat_map(|how| [*how, "python3"])).arg(script);
    fake.arg("--scenarios").arg(folder.join("scenarios.json")).arg("--dump").arg(folder.join("requests"));
    fake.arg("--until-eof").stdin(Stdio::piped()).stdout(Stdio::piped());
    if own.is_some() {
        fake.arg("--loopback-up");
    }
    let fake = fake.spawn().unwrap();
    // `exec`, so that the client is the very process that was started. Its name is how it is known to be this client.
    let wrapper = folder.join("claude");
    let enter = own.map_or_else(String::new, |_| format!("nsenter {enter} -t {} --", fake.id()));
    fs::write(&wrapper, format!("#!/bin/sh\nexec '{}' \"$@\"\n", client.display())).unwrap();
    fs::set_permissions(&wrapper, PermissionsExt::from_mode(0o755)).unwrap();
    (fake, enter.split_whitespace().map(str::to_owned).collect(), wrapper.into_os_string())
}

/// What the model says last of its work, by the rules of an output.
pub(crate) fn output(what: &str) -> Value {
    json!({"text": format!("[OUTPUT]\n# Summary\n{what}\n# Changes Made\ngreet.sh\n# Next Steps\nnone\n[/OUTPUT]")})
}

/// The same of a fix, which says that it repaired what it was told.
pub(crate) fn repaired(what: &str) -> Value {
    let text = output(what)["text"].as_str().unwrap().to_owned();
    json!({"text": format!("{text}\n<gv>{{\"fixed\":[\"{{{{id}}}}\"],\"nonce\":\"{{{{nonce}}}}\"}}</gv>")})
}

const REVIEW: &str = "Say what you found";
const FIX: &str = "has to answer for";

/// What the model does when the prompt fits.
pub(crate) fn scenario(prompt: &str, turns: &[Value]) -> Value {
    json!({"match": {"prompt": prompt}, "turns": turns})
}

pub(crate) fn call(tool: &str, input: &Value) -> Value {
    json!({"tool_use": [{"name": tool, "input": input}]})
}

pub(crate) fn shell(command: &str) -> Value {
    call("Bash", &json!({"command": command, "description": "run"}))
}

/// A review: it looks at the diff that its prompt names, and gives a verdict that quotes it.
pub(crate) fn review(round: &str, verdict: &Value) -> Value {
    let prompt = format!("git diff (?P<base>\\w{{40}}) (?P<head>\\w{{40}})` shows.*{round}.*{REVIEW}");
    let turns = [shell("git diff {{base}} {{head}}"), call("StructuredOutput", verdict), json!({"text": "done"})];
    scenario(&prompt, &turns)
}

/// A fix whose prompt names that finding.
pub(crate) fn fix(finding: &str, turns: &[Value]) -> Value {
    scenario(&format!("{FIX}.*- (?P<id>f-\\w+) [^\n]*{finding}.*\"nonce\":\"(?P<nonce>\\w+)\""), turns)
}

pub(crate) fn edit(old: &str, new: &str) -> Value {
    call("Edit", &json!({"file_path": "{{cwd}}/greet.sh", "old_string": old, "new_string": new}))
}

fn work() -> Value {
    let write = call("Write", &json!({"file_path": "{{cwd}}/greet.sh", "content": "echo hello $1\n"}));
    scenario("Edit the files in the current directory", &[write, output("greet.sh greets")])
}

fn step(review: &Value) -> Value {
    json!({"id": "greet", "title": "Write greet.sh", "description": "It greets whom it is told.", "tier": "light",
        "review": review})
}

#[test]
fn the_client_works_badly_reviews_and_fixes_until_what_passed_is_what_lands() {
    let no_interpreter =
        json!({"severity": "major", "title": "no interpreter is named", "file": "greet.sh", "line": 1});
    let quotes = json!({"severity": "critical", "title": "the name needs quotes", "file": "greet.sh", "line": 2});
    let scenarios = json!([
        review(
            "first work",
            &json!({"gate": "REVISE", "score": 7.5, "summary": "not runnable: {{last_result}}", "issues": [no_interpreter]})
        ),
        review("after fix 1 of 3", &json!({"gate": "PASS", "score": 9.9, "summary": "nearly", "issues": [quotes]})),
        review("after fix 2 of 3", &json!({"gate": "PASS", "score": 9.8, "summary": "good", "issues": []})),
        fix("no interpreter is named", &[edit("echo hello", "#!/bin/sh\necho hello"), repaired("named it")]),
        fix("the name needs quotes", &[edit("$1", "\"$1\""), repaired("quoted it")]),
        work(),
    ]);
    let Some(scene) = Scene::new(&scenarios) else { return };
    let (exit, said) = scene.run(&step(&json!({"min_score": 9.0})));
    assert_eq!(exit, 0, "{said}\n{:#?}", scene.ends());
    assert_eq!(git(&scene.place.root, &["show", "main:greet.sh"]), "#!/bin/sh\necho hello \"$1\"\n");

    // Each verdict with its tree, and the last tree is what was merged.
    let ends = scene.ends();
    let verdicts: Vec<(&str, f64, &str)> = ends
        .iter()
        .filter_map(|end| {
            let verdict = &end["end"]["outcome"]["reviewed"];
            Some((verdict["gate"].as_str()?, verdict["score"].as_f64()?, end["end"]["saw"].as_str()?))
        })
        .collect();
    let words: Vec<&str> = verdicts.iter().map(|verdict| verdict.0).collect();
    assert_eq!(words, ["revise", "pass", "pass"], "{ends:#?}");
    assert_eq!(verdicts[2].2, git(&scene.place.root, &["rev-parse", "main^{tree}"]).trim());
    let works: Vec<&str> = ends.iter().filter_map(|end| end["end"]["work"]["tree"].as_str()).collect();
    assert_eq!(works, [verdicts[0].2, verdicts[1].2, verdicts[2].2], "each review judged what was just captured");
    let told = ends[1]["end"]["outcome"]["reviewed"]["text"].as_str().unwrap();
    assert!(told.contains("+echo hello $1"), "the reviewer saw the change: {told}");

    // Who reviews has no tool to edit with, who works has.
    let reviews = scene.requests(REVIEW);
    assert!(reviews.len() >= 6, "{}", reviews.len());
    for body in &reviews {
        let tools = tools(body);
        assert!(tools.contains(&"StructuredOutput") && tools.contains(&"Read"), "{tools:?}");
        assert!(!tools.iter().any(|tool| ["Edit", "Write", "NotebookEdit"].contains(tool)), "{tools:?}");
    }

    // Each fix goes on with the conversation of the work, and is told what was found.
    let fixes = scene.requests(FIX);
    for (finding, place) in [("no interpreter is named", "greet.sh:1"), ("the name needs quotes", "greet.sh:2")] {
        let body = fixes.iter().find(|body| last_prompt(body).contains(finding)).unwrap();
        assert!(last_prompt(body).contains(place), "{}", last_prompt(body));
        let tools = tools(body);
        assert!(tools.contains(&"Edit") && tools.contains(&"Write"), "{tools:?}");
        let before = body["messages"].to_string();
        assert!(
            before.contains("greet.sh greets") && !before.contains(REVIEW),
            "a fix goes on with the work, not a review"
        );
    }
    // A later review is told what was found before, and what is said to be repaired; all are told the files.
    let second = last_prompt(reviews.iter().find(|body| last_prompt(body).contains("after fix 1")).unwrap());
    assert!(second.contains("no interpreter is named (review 1; the fix says it is repaired)"), "{second}");
    assert!(second.contains("```paths\ngreet.sh\n```"), "{second}");
    let third = last_prompt(reviews.iter().find(|body| last_prompt(body).contains("after fix 2")).unwrap());
    assert!(third.contains("no interpreter is named (review 1; not found again in review 2)"), "{third}");
    let rules = scene.place.enki(&["validate", &scene.place.newest()]);
    assert_eq!(code(&rules), 0, "{}", both(&rules));
}

#[test]
fn what_the_client_never_gets_right_escalates_with_its_history_and_its_work_kept() {
    let verdict = |n: u32| {
        let title = format!("it is rude in way {n}");
        json!({"gate": "REVISE", "score": 5, "summary": "rude",
            "issues": [{"severity": "major", "title": title, "file": "greet.sh"}]})
    };
    let again = [edit("$1", "$1 $1"), output("tried")];
    let scenarios = json!([
        review("first work", &verdict(1)),
        review("after fix 1 of 1", &verdict(2)),
        fix("it is rude in way 1", &again),
        work(),
    ]);
    let Some(scene) = Scene::new(&scenarios) else { return };
    let (exit, said) = scene.run(&step(&json!({"max_fixes": 1})));
    assert_eq!(exit, 7, "{said}");
    let id = scene.place.newest();
    let log = both(&scene.place.enki(&["log", &id]));
    assert!(log.contains("it did not pass its review within its fixes"), "{log}");
    assert_eq!(log.matches("reviewed: revise, 5/10, 1 major").count(), 2, "each verdict is in the history: {log}");
    assert_eq!(git(&scene.place.root, &["ls-tree", "--name-only", "main"]), "", "nothing that did not pass lands");
    let kept = both(&scene.place.enki(&["recover"]));
    assert!(kept.contains("greet"), "{kept}");
    let last =
        scene.ends().iter().rev().find_map(|end| end["end"]["work"]["commit"].as_str().map(str::to_owned)).unwrap();
    assert_eq!(git(&scene.place.root, &["show", &format!("{last}:greet.sh")]), "echo hello $1 $1\n");
    assert!(!git(&scene.place.root, &["for-each-ref", "--contains", &last]).is_empty(), "the work is pinned");
}

/// The client's own folder is writable for it, and what stands there runs in all sessions of the person's.
#[test]
fn what_the_client_is_made_to_run_in_later_sessions_fails_the_attempt() {
    // What it may run, such as a project's own tests, may do anything.
    let script = "import os, pathlib\nown = pathlib.Path(os.environ['HOME'], '.claude')\n\
        (own / 'commands').mkdir()\n(own / 'commands/x.md').write_text('do')\n\
        (own / 'settings.json').write_text('{\"model\": \"haiku\", \"hooks\": {\"Stop\": [{\"hooks\": []}]}}')\n";
    let prepare = call("Write", &json!({"file_path": "{{cwd}}/plant.py", "content": script}));
    let plant = call("Bash", &json!({"command": "python3 plant.py", "description": "test it"}));
    let write = call("Write", &json!({"file_path": "{{cwd}}/greet.sh", "content": "echo hello $1\n"}));
    let scenarios = json!([scenario(
        "Edit the files in the current directory",
        &[write, prepare, plant, output("greet.sh greets: {{last_result}}")]
    )]);
    let Some(scene) = Scene::new(&scenarios) else { return };
    let (exit, said) = scene.run(&step(&json!("none")));
    let home = scene.place.dir.path().join("home/.claude");
    assert!(home.join("settings.json").exists(), "it got there: {said}\n{:#?}", scene.ends());
    assert_eq!(exit, 7, "{said}");
    let told = both(&scene.place.enki(&["show", &scene.place.newest()]));
    for what in ["settings.json: hooks was added", "commands/x.md was added"] {
        assert!(told.contains(what), "{told}");
    }
    assert!(!told.contains("settings.json: model"), "{told}");
    assert_eq!(git(&scene.place.root, &["ls-tree", "--name-only", "main"]), "", "nothing of it lands");
}

#[test]
fn a_reviewer_that_edits_all_the_same_has_judged_nothing() {
    let mend = "python3 -c \"open('greet.sh', 'w').write('#!/bin/sh\\necho mended by the reviewer\\n')\"";
    let pass = json!({"gate": "PASS", "score": 10, "summary": "good now", "issues": []});
    let edits = [
        call("Write", &json!({"file_path": "{{cwd}}/new.sh", "content": "x\n"})),
        shell(mend),
        call("StructuredOutput", &pass),
        json!({"text": "done"}),
    ];
    let scenarios = json!([scenario(REVIEW, &edits), work()]);
    let Some(scene) = Scene::new(&scenarios) else { return };
    let (exit, said) = scene.run(&step(&json!({"min_score": 9.0})));
    assert_eq!(exit, 7, "{said}");
    let voids: Vec<Value> = scene
        .ends()
        .iter()
        .filter_map(|end| end["end"]["outcome"]["void"]["paths"].as_array().cloned())
        .flatten()
        .collect();
    assert_eq!(voids, [json!("greet.sh"), json!("greet.sh")], "once more, then a person is asked: {said}");
    let log = both(&scene.place.enki(&["log", &scene.place.newest()]));
    assert!(!log.contains("reviewed:"), "its pass counts for nothing: {log}");
    assert_eq!(git(&scene.place.root, &["ls-tree", "--name-only", "main"]), "");
    let kept = both(&scene.place.enki(&["recover"]));
    assert!(kept.contains("greet"), "{kept}");
}

/// Work that the service does not serve in the first attempt: that many requests, the client's own tries included.
fn refused_at_first(requests: u32, fail: &Value) -> Value {
    let mut work = work();
    let mut fail = fail.clone();
    (fail["times"], fail["all"]) = (json!(requests), json!(true));
    work["turns"][0]["fail"] = fail;
    work
}

fn greet() -> Value {
    json!({"id": "greet", "title": "Write greet.sh", "description": "It greets.", "tier": "light"})
}

#[test]
fn an_outage_costs_no_attempt_and_a_person_may_end_its_wait_while_it_runs() {
    let scenarios = json!([refused_at_first(3, &json!({"status": 529}))]);
    let Some(scene) = Scene::new(&scenarios) else { return };
    let (run, said) = scene.run_until_it_waits(&greet());
    assert!(said.contains("found its service out: API Error: 529"), "{said}");
    let id = scene.place.newest();
    let status = both(&scene.place.enki(&["status"]));
    assert!(status.contains("waits: for the service of its workers, until "), "{status}");
    assert!(status.contains(&format!("to ask it earlier: enki resume {id}")), "{status}");
    let resumed = scene.inside(&scene.place.command(&["resume", &id])).output().unwrap();
    assert_eq!(code(&resumed), 0, "{}", both(&resumed));
    let output = run.wait_with_output().unwrap();
    assert_eq!(code(&output), 0, "{}", both(&output));
    assert_eq!(git(&scene.place.root, &["show", "main:greet.sh"]), "echo hello $1\n");
    let ends = scene.ends();
    assert_eq!(ends.len(), 2, "{ends:#?}");
    assert_eq!(ends[0]["next"]["run"]["charge"], "repeat", "it is charged to nothing");
    assert!(!both(&scene.place.enki(&["status", &id])).contains("service"), "it is over");
}

#[test]
fn what_the_service_said_of_its_limit_is_known_after_a_kill_and_a_person_may_end_it() {
    // The client does not try again before the end of a limit.
    let scenarios = json!([refused_at_first(1, &json!({"status": 429, "reset_in": 7200}))]);
    let Some(scene) = Scene::new(&scenarios) else { return };
    let (mut run, said) = scene.run_until_it_waits(&greet());
    assert!(said.contains(": its limit is reached; to ask it earlier: enki resume "), "{said}");
    run.kill().unwrap();
    run.wait().unwrap();
    let id = scene.place.newest();
    let status = scene.place.json(&["status", &id]);
    let wait = &status["services"][0];
    assert_eq!((&wait["of"], &wait["reason"]), (&json!("worker"), &json!("its limit is reached")), "{status}");
    assert!(said.contains(wait["until"].as_str().unwrap()), "{said} {status}");
    let mut resume = scene.inside(&scene.place.command(&["resume", &id]));
    let output = resume.env("CLAUDE_CODE_OAUTH_TOKEN", "sk-ant-oat01-dummy").output().unwrap();
    assert_eq!(code(&output), 0, "{}", both(&output));
    assert!(both(&output).contains("asks the services of its agents again"), "{}", both(&output));
    assert_eq!(git(&scene.place.root, &["show", "main:greet.sh"]), "echo hello $1\n");
}

#[test]
fn who_follows_hears_the_client_while_it_speaks() {
    let words = "I shall write a script that greets whom it is told.\nIt takes one argument. ".repeat(12);
    let mut work = work();
    (work["turns"][0]["text"], work["turns"][0]["chunk_delay"]) = (json!(words), json!(0.4));
    let Some(scene) = Scene::new(&json!([work])) else { return };
    let mut run = scene.command(&greet()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(run.stderr.take().unwrap()).lines().map(Result::unwrap);
    said.by_ref().find(|line| line.contains(" greet started")).unwrap();
    let id = scene.place.newest();
    let mut follow = scene.place.command(&["log", &id, "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first = lines.by_ref().find(|line| line.contains(" greet: I shall")).unwrap();
    let now = scene.place.json(&["show", &id]);
    let says = now["steps"][0]["activity"].as_str().unwrap_or_default();
    assert!(words.contains(says.trim_start_matches('…')) && !says.is_empty(), "{now}");
    let rest: Vec<String> = lines.collect();
    let said: Vec<String> = said.collect();
    assert_eq!(run.wait().unwrap().code(), Some(0), "{said:#?}");
    let told = [first].into_iter().chain(rest);
    let told: Vec<String> = told.filter_map(|line| Some(line.split_once(" greet: ")?.1.trim().to_owned())).collect();
    let last = "[OUTPUT]\n# Summary\ngreet.sh greets\n# Changes Made\ngreet.sh\n# Next Steps\nnone\n[/OUTPUT]";
    let wanted: Vec<&str> = words.trim().lines().chain(last.lines()).map(str::trim).collect();
    assert_eq!(told, wanted, "all that it said once, in order");
    assert!(follow.wait().unwrap().success());
}

#[test]
fn a_client_that_hangs_is_ended_by_enki_and_the_work_is_done_by_the_next() {
    let scenarios = json!([refused_at_first(1, &json!({"hang": "stream"}))]);
    let Some(scene) = Scene::new(&scenarios) else { return };
    let settings = scene.place.root.join(".enki/enki.toml");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, format!("{text}\n[workers]\nstall = 6\n")).unwrap();
    let (exit, said) = scene.run(&greet());
    assert_eq!(exit, 0, "{said}");
    assert!(said.contains("greet gave no sign of life; tried again"), "{said}");
    assert_eq!(git(&scene.place.root, &["show", "main:greet.sh"]), "echo hello $1\n");
    let ends = scene.ends();
    assert_eq!((ends.len(), &ends[0]["end"]["outcome"]), (2, &json!("stuck")), "{ends:#?}");
}

/// A reviewer that gives no object, though it is asked for one, and says nothing that could be read as a verdict.
#[test]
fn a_review_without_a_verdict_is_none() {
    let chat = [json!({"text": "It looks good to me."}), json!({"text": "As I said, it looks good to me."})];
    let scenarios = json!([scenario(REVIEW, &chat), work()]);
    let Some(scene) = Scene::new(&scenarios) else { return };
    let (exit, said) = scene.run(&step(&json!({"min_score": 9.0})));
    assert_eq!(exit, 7, "{said}");
    assert!(said.contains("the review could not be understood"), "{said}");
    assert_eq!(git(&scene.place.root, &["ls-tree", "--name-only", "main"]), "", "nothing lands");
}
