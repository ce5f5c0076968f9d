//! Fifty secrets go through a run (S9, bad input 85): in the environment of the person, in that of the agent, in what the
//! agent says, in the plan, in what the check puts out. None is found afterwards, in anything that Enki wrote or said.

use crate::common::{Place, both, code, git};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Ten secrets for one place, known by their form or by the name before them; no two places share one.
fn canaries(place: &str) -> Vec<String> {
    // As long as a real one, and different for each place.
    let tail = |n: usize| format!("{place}{n}0123456789abcdef0123456789");
    vec![
        format!("sk-ant-api03-{}", tail(0)),
        format!("ghp_{}", tail(1)),
        format!("github_pat_{}", tail(2)),
        format!("glpat-{}", tail(3)),
        format!("xoxb-{}", tail(4)),
        format!("AKIA{}", tail(5)),
        format!("AIza{}", tail(6)),
        format!("eyJhbGciOi{}", tail(7)),
        format!("gho_{}", tail(8)),
        format!("sk-proj-{}", tail(9)),
    ]
}

/// Ten values that have no form of their own: only their names tell.
fn values(place: &str) -> Vec<String> {
    (0..10).map(|n| format!("{place}{n}-correct-horse-battery")).collect()
}

/// All files below a folder, but for what the person wrote there and what agents did in their workspaces.
fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            files(&path, found);
        } else if kind.is_file() && !path.ends_with(".enki/enki.toml") {
            found.push((path.display().to_string(), fs::read(&path).unwrap_or_default()));
        }
    }
}

#[test]
fn fifty_secrets_go_through_a_run_and_none_is_found_afterwards() {
    let place = Place::new();
    let prompts = place.dir.path().join("prompts");
    fs::create_dir(&prompts).unwrap();
    let (host, own, said, planned, checked) =
        (values("host"), values("agent"), canaries("said"), canaries("plan"), canaries("gate"));

    // The agent shows its environment and its secrets: whole, in parts, on both streams, and as its output.
    let mut script = format!("#!/bin/sh\ncat >'{}'/$ENKI_STEP_ID.$ENKI_ATTEMPT\nenv\n", prompts.display());
    for (n, secret) in said.iter().enumerate() {
        let (half, rest) = secret.split_at(secret.len() / 2);
        let _ = match n % 3 {
            0 => writeln!(script, "echo 'it is {secret}, I think'"),
            1 => writeln!(script, "printf '%s' '{half}'; sleep 0.05; printf '%s\\n' '{rest}'"),
            _ => writeln!(script, "echo 'failed with {secret}' >&2"),
        };
    }
    let all = said.join(" ");
    let _ = write!(
        script,
        "echo [OUTPUT]made it with {all} and $OWN_TOKEN_0[/OUTPUT]\n\
         case $ENKI_STEP_ID in fails) echo 'no way: {all}' >&2; exit 3;; bad) echo x >broken;; *) echo x >$ENKI_STEP_ID.txt;; esac\n"
    );
    place.agent(&script);
    let names: Vec<String> = (0..10).map(|n| format!("OWN_TOKEN_{n}")).collect();
    let variables: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(own.iter().map(String::as_str)).collect();
    // The check's words come from beside the project: a secret in a file of it is there for everybody anyway.
    let words = place.dir.path().join("words");
    fs::write(&words, checked.join("\n")).unwrap();
    let check = format!("cat '{0}'; cat '{0}' >&2; test ! -e broken", words.display());
    place.settings_with(&variables, &format!("[refinery]\ncheck = {check:?}\n"));

    let step = |id: &str, n: usize, needs: &[&str]| {
        serde_json::json!({"id": id, "title": format!("Step {id} with {}", planned[n]), "needs": needs,
            "description": format!("Log in with {} first.", planned[n + 1]), "done_when": format!("{} works", planned[n + 2])})
    };
    let steps = [step("work", 0, &[]), step("next", 3, &["work"]), step("bad", 6, &[]), step("fails", 1, &[])];
    let plan = serde_json::json!({"title": format!("A plan for {}", planned[9]), "steps": steps});
    fs::write(place.dir.path().join("p.json"), plan.to_string()).unwrap();

    let mut heard = String::new();
    let mut hear = |args: &[&str]| {
        let mut command = place.command(args);
        for (n, value) in host.iter().enumerate() {
            command.env(format!("HOST_{n}_TOKEN"), value);
        }
        let output = command.output().unwrap();
        let _ = writeln!(heard, "{}", both(&output));
        code(&output)
    };
    let path = place.dir.path().join("p.json");
    assert_eq!(hear(&["run", path.to_str().unwrap()]), 7);
    let more = place.dir.path().join("more.json");
    fs::write(&more, serde_json::json!({"steps": [step("more", 7, &[])]}).to_string()).unwrap();
    let id = place.newest();
    hear(&["add", &id, more.to_str().unwrap()]);
    for args in [
        &["status", &id][..],
        &["show", &id],
        &["log", &id],
        &["status", &id, "--json"],
        &["show", &id, "--json"],
        &["graph", &id],
    ] {
        hear(args);
    }

    let mut written = vec![("what was said on the terminal".to_owned(), heard.into_bytes())];
    files(&place.root.join(".enki"), &mut written);
    files(&prompts, &mut written);
    let messages = git(&place.root, &["log", "--format=%an %ae %B", "--branches", "--glob=refs/enki"]);
    written.push(("messages of commits".into(), messages.clone().into_bytes()));
    let refs = git(&place.root, &["for-each-ref"]);
    written.push(("names of refs".into(), refs.into_bytes()));

    let secrets: Vec<&String> = [&host, &own, &said, &planned, &checked].into_iter().flatten().collect();
    assert_eq!(secrets.len(), 50);
    let mut leaks = Vec::new();
    for (name, bytes) in &written {
        for secret in &secrets {
            if bytes.windows(secret.len()).any(|window| window == secret.as_bytes()) {
                leaks.push(format!("{secret} in {name}"));
            }
        }
    }
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));

    // They did go through: what stands in their place is everywhere that they would have been.
    let redacted = |part: &str| {
        let of = written.iter().filter(|(name, _)| name.contains(part));
        of.map(|(_, bytes)| String::from_utf8_lossy(bytes).matches("[redacted]").count()).sum::<usize>()
    };
    assert!(redacted("work.1.log") >= 20, "{} in the agent's log", redacted("work.1.log"));
    assert!(redacted("prompts/next.1") >= 10, "{} in a prompt", redacted("prompts/next.1"));
    assert!(redacted("enki.db") >= 20, "{} in the store", redacted("enki.db"));
    assert!(redacted("terminal") >= 10, "{} on the terminal", redacted("terminal"));
    assert!(messages.contains("Step work with [redacted]"), "{messages}");
}
