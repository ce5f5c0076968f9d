//! What is told of review chains: while they are open, and together once the last has ended.

use crate::common::{Place, both, code};
use crate::reviews::{AGENT, place, plan, step};
use serde_json::{Value, json};

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
