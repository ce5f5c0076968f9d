//! What is told of review chains: while they are open, and together once the last has ended.

use crate::common::{Place, both, code};
use crate::reviews::{AGENT, place, plan, step};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Stdio};

/// Asks until the answer is as wanted; each question is a whole process.
pub(crate) fn until(place: &Place, args: &[&str], wanted: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..1000 {
        let answer = place.json(args);
        if wanted(&answer) {
            return answer;
        }
    }
    panic!("never came: {}", both(&place.enki(args)));
}

#[test]
fn open_chains_are_listed_with_their_state_fixes_and_last_score() {
    let place = place();
    assert_eq!(both(&place.enki(&["status", "--chains"])), "no review chain is open\n");
    place.agent(&AGENT.replace("fix)\n", "fix) while [ ! -e \"$GATE\" ]; do sleep 0.02; done\n"));
    let plan = plan(&place, &json!([step("greet", &json!({"min_score": 9.0}))]));
    let mut run = place.command(&["run", &plan, "--quiet"]).spawn().unwrap();
    let at_fix = |answer: &Value| answer["chains"][0]["state"] == "fixing" && answer["chains"][0]["attempt"] == 3;
    let open = until(&place, &["status", "--chains"], at_fix);
    assert_eq!(open["schema"], "enki.chains.v1");
    let chain = &open["chains"][0];
    let id = place.newest();
    for (field, value) in [
        ("execution_id", json!(id)),
        ("step", json!("greet")),
        ("fixes", json!(1)),
        ("max_fixes", json!(3)),
        ("last_score", json!(7.5)),
    ] {
        assert_eq!(chain[field], value, "{field}: {open}");
    }
    let log = both(&place.enki(&["log", &id, "--json"]));
    let since = chain["since"].as_str().unwrap();
    let reviewed = log.lines().find(|line| line.contains("attempt_ended") && line.contains("\"purpose\":\"fix\""));
    let reviewed: Value = serde_json::from_str(reviewed.unwrap()).unwrap();
    assert_eq!(reviewed["at"], since, "since it is in that state: {log}");
    let told = both(&place.enki(&["status", "--chains", &id]));
    let wid = chain["wid"].as_str().unwrap();
    let line = told.lines().nth(1).unwrap();
    assert!(line.starts_with(&format!("  {wid}  greet  fixing  fixes 1/3  last 7.5/10  since {since} (")), "{told}");
    assert!(both(&place.enki(&["directives", &id])).contains(wid), "by the name that directives have");
    let shown = place.json(&["show", &id]);
    assert_eq!(shown["reviews"], Value::Null, "nothing is joined before the last chain has ended");

    place.open_gate();
    assert!(run.wait().unwrap().success());
    assert_eq!(place.json(&["status", "--chains"])["chains"], json!([]));
    assert_eq!(code(&place.enki(&["status", "--chains", "ffff"])), 9);
}

#[test]
fn what_the_chains_made_is_joined_at_the_end_and_told_again_later() {
    let place = place();
    place.agent(&AGENT.replace("work) ", "work) echo \"[OUTPUT]wrote $file\nand more[/OUTPUT]\"; "));
    let never = step("never", &json!({"max_fixes": 1}));
    let after = json!({"id": "after", "title": "After", "description": "Do it.", "needs": ["never"],
        "review": {"max_fixes": 0}});
    let plan = plan(&place, &json!([never, step("greet", &json!({"min_score": 9.0})), after]));
    let output = place.enki(&["run", &plan]);
    assert_eq!(code(&output), 7, "{}", both(&output));
    let told = String::from_utf8(output.stdout).unwrap();
    let joined = "  reviews: 1 passed, 1 escalated
    never  escalated after 1 fix  [5 5]  it did not pass its review within its fixes
           never.sh
           wrote never.sh ...
    greet  passed after 2 fixes  [7.5 10 9.8]
           greet.sh
           wrote greet.sh ...
";
    assert!(told.contains(joined), "{told}");
    let id = place.newest();
    for command in ["status", "show"] {
        let again = both(&place.enki(&[command, &id]));
        assert!(again.contains(joined), "{command}: {again}");
    }
    let json = place.json(&["status", &id])["reviews"].clone();
    assert_eq!(json["chains"][0]["escalation"], "fixes_exhausted", "{json}");
    assert_eq!(json["chains"][0]["asks_for"], "runtime_escalation", "{json}");
    assert_eq!(json["chains"][1]["asks_for"], Value::Null);
    assert_eq!(json["chains"][1]["scores"], json!([7.5, 10.0, 9.8]));
    assert_eq!(json["chains"][1]["files"], json!(["greet.sh"]));
    assert_eq!(json["chains"][1]["output"], "wrote greet.sh\nand more");
    assert_eq!((&json["complete"], &json["escalated"]), (&json!(1), &json!(1)));

    let next = self::plan(&place, &json!([step("hello", &json!({"min_score": 9.0}))]));
    let ended = String::from_utf8(place.enki(&["run", &next, "--json"]).stdout).unwrap();
    let last: Value = serde_json::from_str(ended.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["reviews"]["complete"], &last["reviews"]["chains"][0]["files"]),
        (&json!(1), &json!(["hello.sh"]))
    );
}

/// A coordinator that follows the directives.
struct Following {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Following {
    fn of(place: &Place, id: &str, name: &str) -> Self {
        let mut command = place.command(&["directives", id, "--follow", "--as", name, "--json"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// The next one; none once it has ended.
    fn next(&mut self) -> Option<(u64, String)> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let value: Value = serde_json::from_str(&line).ok()?;
        let directive = &value["directive"];
        let word = if directive["action"] == "spawn" { &directive["type"] } else { &directive["action"] };
        Some((value["seq"].as_u64().unwrap(), word.as_str().unwrap().to_owned()))
    }
}

#[test]
fn directives_are_followed_as_they_come_and_a_restart_repeats_only_what_was_not_acknowledged() {
    let place = place();
    // Each attempt waits for a gate of its own.
    let waits = "while [ ! -e \"$GATE.$ENKI_ATTEMPT\" ]; do sleep 0.02; done\n";
    let (shell, script) = AGENT.split_once('\n').unwrap();
    let (reading, rest) = script.split_once('\n').unwrap();
    place.agent(&format!("{shell}\n{reading}\n{waits}{rest}"));
    let gate = |attempt: u32| fs::write(format!("{}.{attempt}", place.gate().display()), "").unwrap();
    let plan = plan(&place, &json!([step("greet", &json!({"min_score": 9.0}))]));
    let mut run = place.command(&["run", &plan, "--quiet"]).stdout(Stdio::null()).spawn().unwrap();
    until(&place, &["status", "--chains"], |open| open["chains"][0]["attempt"] == 1);
    let id = place.newest();

    // Nothing has to be done yet: it waits, and hears each one while the run stands still after it.
    let mut boss = Following::of(&place, &id, "boss");
    gate(1);
    let first = boss.next().unwrap();
    assert_eq!(first.1, "reviewer");
    gate(2);
    let second = boss.next().unwrap();
    assert_eq!(second.1, "engineer");
    assert!(second.0 > first.0);
    let taken = place.root.join(format!(".enki/directives/{id}.boss"));
    let acknowledged = || fs::read_to_string(&taken).unwrap_or_default().trim().to_owned();
    while acknowledged() != second.0.to_string() {
        assert!(boss.child.try_wait().unwrap().is_none(), "it goes on until it is killed");
    }
    boss.child.kill().unwrap();
    boss.child.wait().unwrap();

    // One that could not be handed over is not acknowledged.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut deaf = place.command(&["directives", &id, "--as", "deaf"]).stdout(writer).spawn().unwrap();
    assert_eq!(deaf.wait().unwrap().code(), Some(141));
    let all = both(&place.enki(&["directives", &id, "--as", "deaf"]));
    assert_eq!(all.lines().count(), 2, "{all}");

    let mut boss = Following::of(&place, &id, "boss");
    (3..=6).for_each(gate);
    let rest: Vec<(u64, String)> = std::iter::from_fn(|| boss.next()).collect();
    let words: Vec<&str> = rest.iter().map(|(_, word)| word.as_str()).collect();
    assert_eq!(words, ["reviewer", "engineer", "reviewer", "complete"]);
    assert!(rest.is_sorted_by(|a, b| a.0 < b.0) && rest[0].0 > second.0, "{rest:?}");
    assert!(boss.child.wait().unwrap().success(), "it ends with the execution");
    assert_eq!(acknowledged(), rest[3].0.to_string());
    assert!(run.wait().unwrap().success());
    assert_eq!(both(&place.enki(&["directives", &id, "--as", "boss"])), "");
}

#[test]
fn a_transcript_of_another_coordinator_is_searched_and_its_answers_are_marked_approximate() {
    let place = place();
    let file = place.dir.path().join("session.jsonl");
    let output = "[OUTPUT]\nSummary: done\nChanges Made: src/a.rs\nNext Steps: none\n[/OUTPUT]";
    let lines = [
        json!({"type": "assistant", "text": "First the decomposition: one task."}),
        json!({"type": "tool_use", "input": {"subagent_type": "engineer", "prompt": "Do it."}}),
        json!({"type": "tool_result", "text": output}),
    ];
    fs::write(&file, lines.clone().map(|line| line.to_string()).join("\n")).unwrap();
    let name = file.to_str().unwrap();
    let told = place.enki(&["validate", "--transcript", name]);
    assert_eq!(code(&told), 0, "{}", both(&told));
    let text = both(&told);
    assert!(text.starts_with("kept   1. a plan comes before the first attempt (approximate)\n"), "{text}");
    assert_eq!(text.matches("(approximate)").count(), 5, "{text}");
    fs::write(&file, lines[1..].iter().map(Value::to_string).collect::<Vec<_>>().join("\n")).unwrap();
    let told = place.enki(&["validate", "--transcript", name, "--json"]);
    assert_eq!(code(&told), 7, "{}", both(&told));
    let answer: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((&answer["approximate"], &answer["ok"]), (&json!(true), &json!(false)), "{answer}");
    assert_eq!(answer["rules"][0]["answer"], "broken", "{answer}");
    assert_eq!(code(&place.enki(&["validate", "--transcript", "/nowhere"])), 2);
    assert_eq!(code(&place.enki(&["validate", "abcd", "--transcript", name])), 2, "one or the other");
}

#[test]
fn the_kind_of_work_is_stored_when_it_starts_and_a_plan_may_say_it_itself() {
    let place = Place::new();
    let run = |more: &[(&str, &str)]| {
        let plan = place.plan_with("plan.json", &["noop"], more);
        assert_eq!(code(&place.enki(&["run", plan.to_str().unwrap()])), 0);
        let seen = place.json(&["status", &place.newest()]);
        (seen["class"].clone(), seen["strategy"].clone())
    };
    let bug = (json!("bug-fix"), json!("root cause first, then the fix"));
    assert_eq!(run(&[("title", "Fix the crash of the parser")]), bug);
    assert_eq!(run(&[("title", "Add profiles"), ("class", "bug-fix")]), bug, "its own word counts");
    let plan = place.plan_with("plan.json", &["noop"], &[("class", "bugfix")]);
    let refused = place.enki(&["run", plan.to_str().unwrap()]);
    assert!(code(&refused) == 2 && both(&refused).contains("bug-fix"), "{}", both(&refused));
}
