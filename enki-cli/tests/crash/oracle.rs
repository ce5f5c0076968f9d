//! What must hold once a plan came to its end, whatever happened on the way.

use crate::place::{Kind, Place};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What is wrong, if anything.
pub(crate) fn look(place: &Place) -> Result<(), String> {
    let events = place.events("done")?;
    each_change_is_there_once(place)?;
    leaves_nothing_and_loses_nothing(place, &events, place.steps.len())
}

/// The same of one that a person cancelled: what agents did before is kept.
pub(crate) fn look_at_cancelled(place: &Place) -> Result<(), String> {
    let events = place.events("cancelled")?;
    leaves_nothing_and_loses_nothing(place, &events, 1)
}

fn leaves_nothing_and_loses_nothing(place: &Place, events: &[Value], at_least: usize) -> Result<(), String> {
    no_reported_commit_is_lost(place, events, at_least)?;
    equal("git fsck", &place.git(&["fsck", "--strict", "--no-dangling", "--no-progress"]), "")?;
    equal("git status", &place.git(&["status", "--porcelain"]), "")?;
    let mut locks = Vec::new();
    git_locks(&place.root.join(".git"), &mut locks);
    git_locks(&place.root.join(".enki/refinery.git"), &mut locks);
    equal("locks of git", &locks.join(" "), "")?;
    equal("processes", &processes(place).join(" "), "")
}

fn equal(what: &str, found: &str, wanted: &str) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("{what}: {found}")) }
}

/// Promise R3: each step's change is on the target, and not twice.
fn each_change_is_there_once(place: &Place) -> Result<(), String> {
    let sorted = |text: String| {
        let mut lines: Vec<_> = text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let titles = sorted(place.git(&["log", "--no-merges", "--format=%s", "main"]));
    let mut wanted: Vec<String> = place.steps.iter().map(|id| format!("Step {id}")).collect();
    wanted.push("begin".to_owned());
    wanted.extend(titles.iter().find(|title| *title == BY_A_PERSON).cloned());
    wanted.sort();
    equal("commits on main", &titles.join(", "), &wanted.join(", "))?;
    let tasks = sorted(place.git(&["log", "--format=%(trailers:key=Enki-Task,valueonly)", "main"]));
    let different: BTreeSet<&String> = tasks.iter().collect();
    if different.len() != tasks.len() || tasks.len() != place.steps.len() {
        return Err(format!("tasks on main: {tasks:?}"));
    }
    for step in &place.steps {
        equal(step, &place.git(&["show", &format!("main:{step}.txt")]), &format!("by {step}\n"))?;
    }
    if !place.steps.iter().any(|step| step == "x") {
        return Ok(());
    }
    equal("shared.txt", &place.git(&["show", "main:shared.txt"]), "x\ny\n")
}

/// What the commit is called that a person makes meanwhile.
pub(crate) const BY_A_PERSON: &str = "by a person";

/// Promise R1: every commit that the store names is reachable from a ref.
fn no_reported_commit_is_lost(place: &Place, events: &[Value], at_least: usize) -> Result<(), String> {
    let kept = place.git(&["rev-list", "--all"]);
    let kept: BTreeSet<&str> = kept.lines().collect();
    let mut reported = BTreeSet::new();
    events.iter().for_each(|event| commits(event, &mut reported));
    if reported.len() < at_least {
        return Err(format!("the store names only {reported:?}"));
    }
    match reported.iter().find(|commit| !kept.contains(commit.as_str())) {
        Some(lost) => Err(format!("commit {lost} is lost")),
        None => Ok(()),
    }
}

/// All values of fields named `commit`.
fn commits(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("commit").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| commits(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| commits(value, found)),
        _ => {}
    }
}

fn git_locks(folder: &Path, found: &mut Vec<String>) {
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            git_locks(&path, found);
        } else if path.extension().is_some_and(|end| end == "lock") {
            found.push(path.display().to_string());
        }
    }
}

/// Everything a run starts has the place's folder in its environment.
pub(crate) fn processes(place: &Place) -> Vec<String> {
    let mark = place.dir.as_os_str().as_encoded_bytes();
    let of_place = |entry: &fs::DirEntry| {
        let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
        environ.windows(mark.len()).any(|window| window == mark)
    };
    let name = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
    fs::read_dir("/proc").unwrap().flatten().filter(of_place).map(name).collect()
}

#[test]
fn the_oracle_sees_each_kind_of_damage() {
    let place = Place::new(Kind::AWAY);
    place.to_the_end(|_, _| None).unwrap();
    look(&place).unwrap();
    let (main, refs) =
        (place.git(&["rev-parse", "main"]), place.git(&["for-each-ref", "--format=%(refname)", "refs/enki"]));

    let blamed = |word: &str| {
        let why = look(&place).unwrap_err();
        assert!(why.starts_with(word), "{word}: {why}");
    };
    let message = place.git(&["log", "-1", "--format=%B", "main"]);
    let twice = place.git(&["commit-tree", "main^{tree}", "-p", "main", "-m", &message]);
    place.git(&["update-ref", "refs/heads/main", twice.trim()]);
    blamed("commits on main");
    place.git(&["update-ref", "refs/heads/main", "main~2"]);
    blamed("commits on main");
    place.git(&["update-ref", "refs/heads/main", main.trim()]);

    let lock = place.root.join(".git/refs/heads/main.lock");
    fs::write(&lock, "").unwrap();
    blamed("locks of git");
    fs::remove_file(lock).unwrap();
    fs::write(place.root.join("shared.txt"), "half").unwrap();
    blamed("git status");
    place.git(&["checkout", "-q", "shared.txt"]);
    let mut alive = Command::new("sleep").arg("60").env("OF", &place.dir).spawn().unwrap();
    blamed("processes");
    alive.kill().unwrap();
    alive.wait().unwrap();
    look(&place).unwrap();

    for kept in refs.lines() {
        place.git(&["update-ref", "-d", kept]);
    }
    blamed("commit ");
}
