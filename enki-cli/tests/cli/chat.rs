//! `enki chat` on a real pseudo-terminal: the binary, real git, the real store, and a script as the coordinator.

use crate::ask::{create, prompts, scripted};
use crate::common::{Place, both, code, git, until};
use crate::pty::Pty;
use rustix::process::Signal;
use serde_json::json;
use std::process::Stdio;

fn chat(place: &Place, args: &[&str]) -> Pty {
    Pty::start(place.command(&[&["chat"], args].concat()), 110, 44)
}

/// A coordinator that makes a plan of two steps, one of which waits for the gate.
fn greetings() -> Place {
    scripted(&json!([["says\\s+Greet", [create(&["hello", "slow"])]]]), "")
}

#[test]
fn a_sentence_is_approved_in_place_and_a_kill_loses_nothing() {
    let place = greetings();
    let mut first = chat(&place, &[]);
    first.shows("no plan yet");
    assert!(first.is_full_screen());
    first.line("Greet everybody, 日本 too.");
    first.until("what it would do, and a question", |screen| {
        let parts = ["› Greet everybody", "that is all", "wave 1  hello, slow", "y approve"];
        parts.iter().all(|part| screen.contains(part))
    });
    assert_eq!(git(&place.root, &["ls-tree", "--name-only", "main"]), "", "nothing started");
    first.line("y");
    first.until("its agent is seen at work", |screen| {
        let parts = ["▶ slow   running  at work", "● hello  done", "hello merged as"];
        parts.iter().all(|part| screen.contains(part)) && !screen.contains("y approve")
    });
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    drop(first);

    // What was said, what happened and the plan are there; the same plan goes on.
    let mut again = chat(&place, &[]);
    again.until("it is there again", |screen| {
        let parts =
            ["▶ slow   running  at work", "› Greet everybody", "that is all", "hello merged as", "● hello  done"];
        parts.iter().all(|part| screen.contains(part))
    });
    again.keys("\u{1b}[A");
    again.shows("日本 too.");
    again.keys("\u{3}");
    again.resize(60, 20);
    again.until("the plan is below", |screen| screen.lines().any(|line| line.starts_with("● hello  done")));
    place.open_gate();
    again.shows("slow merged as");
    until(|| prompts(&place).iter().any(|told| told.contains("ended, done")));
    again.shows("Enter says it");
    again.line("/quit");
    let ended = again.end();
    assert_eq!(ended.code(), Some(0));
    assert!(again.is_as_it_was());
    again.shows("main is at");
    assert_eq!(git(&place.root, &["ls-tree", "--name-only", "main"]), "hello.txt\nslow.txt\n");
    assert_eq!(place.json(&["status"])["executions"].as_array().unwrap().len(), 1);

    // `enki ask` goes on with the same conversation, and the chat with what was said there.
    let asked = place.enki(&["ask", "Thanks."]);
    assert_eq!(code(&asked), 0, "{}", both(&asked));
    let mut last = chat(&place, &[]);
    last.shows("› Thanks.");
    last.keys("\u{1b}[5~");
    last.shows("› Greet everybody");
    last.keys("\u{4}");
    assert_eq!(last.end().code(), Some(0));
}

#[test]
fn control_c_stops_the_turn_and_twice_leaves_and_what_was_said_is_told_again() {
    let place = scripted(&json!([["says\\s+Think.*and more", []], ["says\\s+Think", [["wait", {}]]]]), "");
    let mut chat = chat(&place, &[]);
    chat.shows("no plan yet");
    chat.line("Think.");
    chat.shows("Ctrl-C stops the turn");
    until(|| prompts(&place).len() == 1);
    chat.keys("\u{3}");
    chat.shows("the turn is stopped");
    chat.line("and more");
    chat.shows("that is all");
    let told = prompts(&place);
    assert!(told.len() == 2 && told[1].contains("Think.\n\nand more"), "{told:#?}");
    chat.shows("Enter says it");
    chat.keys("\u{3}");
    chat.shows("once more leaves");
    chat.keys("\u{3}");
    assert_eq!(chat.end().code(), Some(130));
    assert!(chat.is_as_it_was());
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let place = scripted(&json!([]), "");
    for (signal, exit) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        let mut chat = chat(&place, &[]);
        chat.shows("no plan yet");
        chat.signal(signal);
        assert_eq!(chat.end().code(), Some(exit));
        assert!(chat.is_as_it_was());
    }
}

#[test]
fn beside_a_process_that_drives_and_in_its_place_when_it_ends() {
    let place = greetings();
    let plan = place.plan("slow.json", &["slow"]);
    let mut driver = place.command(&["run", plan.to_str().unwrap()]);
    let mut driver = driver.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until(|| place.json(&["status"])["executions"][0]["counts"]["running"] == 1);
    let mut chat = chat(&place, &[]);
    chat.shows("no plan yet");
    chat.line("Greet everybody.");
    chat.shows("y approve");
    chat.line("y");
    chat.until("what its agents do there is seen here", |screen| {
        screen.contains("▶ slow   running  at work") && screen.contains("● hello  done")
    });
    // Others steer it meanwhile.
    let mine = place.json(&["status"])["executions"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(code(&place.enki(&["pause", &mine])), 0);
    chat.until("it is paused", |screen| screen.lines().any(|line| line.ends_with(" paused")));
    assert_eq!(code(&place.enki(&["resume", &mine])), 0);
    chat.shows("resumed");
    driver.kill().unwrap();
    driver.wait().unwrap();
    chat.shows("has ended; it is driven");
    place.open_gate();
    chat.shows("slow merged as");
    until(|| prompts(&place).iter().any(|told| told.contains("ended, done")));
    chat.shows("Enter says it");
    chat.line("/quit");
    assert_eq!(chat.end().code(), Some(0));
    assert_eq!(git(&place.root, &["ls-tree", "--name-only", "main"]), "hello.txt\nslow.txt\n");
}

#[test]
fn without_a_terminal_it_names_the_way_that_needs_none() {
    let place = scripted(&json!([]), "");
    let piped = place.enki(&["chat"]);
    assert_eq!(code(&piped), 2);
    assert!(both(&piped).contains("a chat needs a terminal") && both(&piped).contains("enki ask"), "{}", both(&piped));
    let mut json = chat(&place, &["--json"]);
    json.shows("--json for programs");
    assert_eq!(json.end().code(), Some(2));
    let mut loud = chat(&place, &["-v"]);
    loud.shows("2>FILE");
    assert_eq!(loud.end().code(), Some(2));
}

#[test]
fn colour_only_where_it_is_wanted() {
    let place = scripted(&json!([]), "");
    for (args, variable, wanted) in
        [(&[][..], "", true), (&["--color=never"], "", false), (&[], "1", false), (&["--color=always"], "1", true)]
    {
        let mut command = place.command(&[&["chat"], args].concat());
        command.env("NO_COLOR", variable);
        let mut chat = Pty::start(command, 110, 34);
        chat.shows("no plan yet");
        chat.keys("\u{4}");
        chat.end();
        assert_eq!(chat.had_colour(), wanted, "{args:?} {variable}");
    }
}
