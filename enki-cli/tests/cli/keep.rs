//! What is kept, what goes and what waits to land: `enki gc`, `enki recover`, `enki land`, with the binary, real git and the real store.

use crate::common::{Place, both, code, git};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

impl Place {
    fn pins(&self) -> Vec<Value> {
        self.json(&["recover"])["pins"].as_array().unwrap().clone()
    }

    fn refs(&self) -> String {
        git(&self.root, &["for-each-ref", "--format=%(refname) %(objectname)", "refs/enki", "refs/heads/enki"])
    }

    fn workspaces(&self) -> usize {
        fs::read_dir(self.root.join(".enki/copies")).map_or(0, Iterator::count)
    }
}

/// Runs a plan of these steps, which need nothing.
fn run(place: &Place, steps: &[&str]) -> Output {
    let plan = place.plan("plan.json", steps);
    place.enki(&["run", plan.to_str().unwrap()])
}

#[test]
fn a_run_removes_the_workspaces_of_what_it_merged_and_gc_the_refs_once_it_is_over() {
    let place = Place::new();
    assert_eq!(code(&run(&place, &["a", "b"])), 0);
    assert_eq!(place.workspaces(), 0);
    assert!(place.refs().contains("refs/enki/kept/") && place.refs().contains("refs/heads/enki/"));
    let before = place.refs();
    assert_eq!(code(&place.enki(&["gc", "--dry-run"])), 0);
    assert_eq!(place.refs(), before, "a dry run changes nothing");
    let output = place.enki(&["gc"]);
    assert_eq!(code(&output), 0, "{}", both(&output));
    assert_eq!(place.refs(), "");
    let again = place.json(&["gc"]);
    assert_eq!((&again["schema"], &again["freed"]["items"]), (&"enki.gc.v1".into(), &0.into()), "{again}");
    assert_eq!(git(&place.root, &["show", "main:b.txt"]), "by b\n");
    git(&place.root, &["fsck", "--strict"]);
}

#[test]
fn failed_work_survives_gc_is_listed_and_comes_back_as_a_branch() {
    let place = Place::new();
    assert_eq!(code(&run(&place, &["a", "fail"])), 7);
    assert_eq!(place.workspaces(), 1, "only what is merged went");
    let output = place.enki(&["gc"]);
    assert_eq!(code(&output), 4, "{}", both(&output));
    let pins = place.pins();
    let open: Vec<&Value> = pins.iter().filter(|pin| pin["standing"] == "unmerged").collect();
    let [pin] = open[..] else { panic!("{pins:?}") };
    assert_eq!((&pin["step"], &pin["attempt"], &pin["files"]), (&"fail".into(), &1.into(), &1.into()));
    let commit = pin["commit"].as_str().unwrap();
    assert!(both(&output).contains(commit), "{}", both(&output));

    let output = place.enki(&["recover", &commit[..8]]);
    assert_eq!(code(&output), 0, "{}", both(&output));
    let branch = format!("recovered/fail-{}", &commit[..12]);
    assert_eq!(git(&place.root, &["show", &format!("{branch}:half.txt")]), "half\n");
    assert_eq!(git(&place.root, &["symbolic-ref", "HEAD"]), "refs/heads/main\n");
    let main = git(&place.root, &["rev-parse", "main"]);
    let output = place.enki(&["recover", commit, "--branch", "main"]);
    assert_eq!(code(&output), 2, "{}", both(&output));
    assert_eq!(git(&place.root, &["rev-parse", "main"]), main);
    assert_eq!(code(&place.enki(&["recover", commit, "--branch=-x"])), 2);
    assert_eq!(code(&place.enki(&["recover", "0123456"])), 9);
}

#[test]
fn bad_input_15_unmerged_work_goes_only_by_name_and_is_archived_first() {
    let place = Place::new();
    assert_eq!(code(&run(&place, &["fail"])), 7);
    let commit = place.pins()[0]["commit"].as_str().unwrap().to_owned();
    let task = place.pins()[0]["task_id"].as_str().unwrap().to_owned();
    let output = place.enki(&["gc"]);
    assert_eq!(code(&output), 4);
    assert!(both(&output).contains(&commit) && both(&output).contains(&format!("--drop {task}")), "{}", both(&output));
    assert_eq!(code(&place.enki(&["gc", "--drop", &task])), 0);
    assert_eq!(place.workspaces(), 0);
    assert!(place.refs().contains(&format!("refs/enki/archive/{commit} {commit}")), "{}", place.refs());
    assert_eq!(code(&place.enki(&["gc"])), 0);
    assert_eq!(place.pins()[0]["standing"], "archived");
    assert_eq!(code(&place.enki(&["gc", "--forget", "0123456789"])), 9);
    assert_eq!(code(&place.enki(&["gc", "--forget", &commit])), 0);
    assert_eq!(place.pins(), [] as [Value; 0]);
}

#[test]
fn while_a_run_is_at_work_gc_only_looks_and_an_open_execution_is_not_dropped() {
    let place = Place::new();
    let plan = place.plan("slow.json", &["slow"]);
    let mut child =
        place.command(&["run", plan.to_str().unwrap()]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("slow started")));
    let output = place.enki(&["gc"]);
    assert_eq!(code(&output), 5, "{}", both(&output));
    assert!(both(&output).contains(&format!("process {}", child.id())), "{}", both(&output));
    let seen = place.json(&["gc", "--dry-run"]);
    let items = seen["items"].as_array().unwrap();
    assert!(!items.is_empty() && items.iter().all(|item| item["verdict"] == "live"), "{seen}");
    assert_eq!(code(&place.enki(&["recover"])), 0);
    // Interrupted, it is still open.
    child.kill().unwrap();
    child.wait().unwrap();
    let execution = place.newest();
    assert_eq!(code(&place.enki(&["gc"])), 0);
    let output = place.enki(&["gc", "--drop", &execution]);
    assert_eq!(code(&output), 4, "{}", both(&output));
    place.open_gate();
    assert_eq!(code(&place.enki(&["resume"])), 0);
}

/// F17: what the person's own git cleans up takes no finished work along.
#[test]
fn work_comes_back_after_clean_and_gc_of_the_person() {
    let place = Place::new();
    assert_eq!(code(&run(&place, &["a", "fail"])), 7);
    git(&place.root, &["clean", "-ffdxq"]);
    git(&place.root, &["reflog", "expire", "--expire=now", "--all"]);
    git(&place.root, &["gc", "-q", "--prune=now"]);
    assert!(!place.root.join(".enki").exists());
    let pins = place.pins();
    let open: Vec<&Value> = pins.iter().filter(|pin| pin["standing"] == "unmerged").collect();
    let [pin] = open[..] else { panic!("{pins:?}") };
    let output = place.enki(&["recover", pin["task_id"].as_str().unwrap(), "--branch", "back"]);
    assert_eq!(code(&output), 0, "{}", both(&output));
    assert_eq!(git(&place.root, &["show", "back:half.txt"]), "half\n");
    // Without the rows nothing goes by itself.
    let before = place.refs();
    assert_eq!(place.json(&["gc"])["freed"]["items"], 0);
    assert_eq!(place.refs(), before);
}

/// The whole process dies by SIGKILL as git is about to delete the ref.
#[test]
fn killed_between_archive_and_deletion_nothing_is_lost_and_the_next_call_finishes() {
    let place = Place::new();
    assert_eq!(code(&run(&place, &["fail"])), 7);
    let commit = place.pins()[0]["commit"].as_str().unwrap().to_owned();
    let task = place.pins()[0]["task_id"].as_str().unwrap().to_owned();
    let bin = place.dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let real = String::from_utf8(Command::new("sh").args(["-c", "command -v git"]).output().unwrap().stdout).unwrap();
    let script =
        format!("case \"$*\" in *'update-ref --stdin'*) kill -9 $PPID; exit 1;; esac; exec {} \"$@\"", real.trim());
    let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" >\"$2\" && chmod 755 \"$2\"";
    assert!(Command::new("sh").args(["-c", write, "sh", &script]).arg(bin.join("git")).status().unwrap().success());
    let mut dying = place.command(&["gc", "--drop", &task]);
    let output = dying.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bin.display())).output().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(9), "{}", both(&output));
    assert!(
        place.refs().contains("refs/enki/kept/") && place.refs().contains("refs/enki/archive/"),
        "{}",
        place.refs()
    );
    assert_eq!(code(&place.enki(&["gc", "--drop", &task])), 0);
    assert_eq!(place.refs(), format!("refs/enki/archive/{commit} {commit}\n{}", branch_line(&place)));
}

/// The integration branch of a failed execution stays.
fn branch_line(place: &Place) -> String {
    git(&place.root, &["for-each-ref", "--format=%(refname) %(objectname)", "refs/heads/enki"])
}

#[test]
fn what_a_failed_or_cancelled_execution_merged_lands_when_asked() {
    let place = Place::new();
    let plan = place.plan_with("end.json", &["a", "fail"], &[("land", "end")]);
    for cancelled in [false, true] {
        git(&place.root, &["reset", "-q", "--hard", "HEAD"]);
        assert_eq!(code(&place.enki(&["run", plan.to_str().unwrap()])), 7);
        let before = git(&place.root, &["rev-parse", "main"]);
        let id = place.newest();
        if cancelled {
            assert_eq!(code(&place.enki(&["cancel", &id])), 0);
        }
        let kept = place.enki(&["gc"]);
        assert!(both(&kept).contains(&format!("enki land {id}")), "{}", both(&kept));
        let output = place.enki(&["land", &id]);
        assert_eq!(code(&output), 0, "{}", both(&output));
        assert!(both(&output).contains("landed on main: a"), "{}", both(&output));
        assert_eq!(git(&place.root, &["show", "main:a.txt"]), "by a\n");
        assert_ne!(git(&place.root, &["rev-parse", "main"]), before);
        let again = place.json(&["land", &id]);
        assert_eq!((&again["schema"], &again["exit"]["code"]), (&"enki.land.v1".into(), &0.into()), "{again}");
        let status = place.json(&["status", &id])["status"].clone();
        assert_eq!(status, if cancelled { "cancelled" } else { "failed" });
        git(&place.root, &["rm", "-q", "a.txt"]);
        git(&place.root, &["commit", "-q", "-m", "once more"]);
    }
}

#[test]
fn a_dirty_checkout_is_left_alone_and_once_it_is_clean_the_rest_lands() {
    let place = Place::new();
    fs::write(place.root.join("mine"), "1\n").unwrap();
    git(&place.root, &["add", "mine"]);
    git(&place.root, &["commit", "-q", "-m", "mine"]);
    fs::write(place.root.join("mine"), "2\n").unwrap();
    assert_eq!(code(&run(&place, &["a"])), 4);
    let id = place.newest();
    let output = place.enki(&["land", &id]);
    assert_eq!(code(&output), 4, "{}", both(&output));
    assert!(both(&output).contains("finish it with: git merge --ff-only"), "{}", both(&output));
    assert_eq!(fs::read_to_string(place.root.join("mine")).unwrap(), "2\n");
    git(&place.root, &["commit", "-q", "-a", "-m", "mine too"]);
    let output = place.enki(&["land", &id]);
    assert_eq!(code(&output), 0, "{}", both(&output));
    assert_eq!(git(&place.root, &["show", "main:a.txt"]), "by a\n");
    assert_eq!(place.json(&["status", &id])["status"], "done");
    assert_eq!(code(&place.enki(&["land", "ffff"])), 9);
}

#[test]
fn a_running_orchestrator_lands_what_another_process_asks_for() {
    let place = Place::new();
    let plan = place.plan_with("end.json", &["a", "slow"], &[("land", "end")]);
    let mut child =
        place.command(&["run", plan.to_str().unwrap()]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("a merged")));
    let id = place.newest();
    let output = place.enki(&["land", &id]);
    assert_eq!(code(&output), 0, "{}", both(&output));
    assert_eq!(git(&place.root, &["show", "main:a.txt"]), "by a\n");
    place.open_gate();
    lines.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
