//! Projects that are driven as a whole: what of `enki up` cannot be, a list that changes meanwhile, and when `enki queue run`
//! ends.

use crate::common::{Place, both, code, until, wait};
use crate::queue::{add, entries, key, place, task};
use enki_core::store::{Holder, TaskStore as _};
use enki_core::time::Timestamp;
use enki_store_sqlite::{OpenOptions, SqliteStore};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// A person's projects, by name, and what `enki up` says of them.
struct Projects {
    dir: tempfile::TempDir,
}

impl Projects {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// Writes the list of projects.
    fn list(&self, all: &[(&str, &Path)]) {
        let text: String = all.iter().map(|(id, root)| format!("[projects.{id}]\nroot = {root:?}\n")).collect();
        let folder = self.dir.path().join(".config/enki");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("projects.toml"), text).unwrap();
    }

    fn command(&self, place: &Place, args: &[&str]) -> Command {
        let mut command = place.command(args);
        command.env("HOME", self.dir.path());
        command
    }

    fn up(&self, place: &Place) -> Up {
        let mut command = self.command(place, &["up", "--json"]);
        let told = |name: &str| fs::File::create(self.dir.path().join(name)).unwrap();
        Up(command.stdout(told("out")).stderr(told("err")).spawn().unwrap())
    }

    fn said(&self) -> String {
        fs::read_to_string(self.dir.path().join("err")).unwrap()
    }

    /// The errors that were told as objects: of which project, and the code's name.
    fn errors(&self) -> Vec<(String, String)> {
        let told = fs::read_to_string(self.dir.path().join("out")).unwrap();
        // The last line may be on its way.
        let told = told.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let word = |value: &Value| value.as_str().unwrap_or("no project").to_owned();
        told.filter(|one| one["schema"] == "enki.error.v1").map(|e| (word(&e["project"]), word(&e["name"]))).collect()
    }
}

/// One that runs, and does not outlive the test.
struct Up(Child);

impl Drop for Up {
    fn drop(&mut self) {
        // It may have ended; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Up {
    /// Ctrl-C.
    fn end(mut self) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.0), rustix::process::Signal::INT).unwrap();
        assert_eq!(self.0.wait().unwrap().code(), Some(130));
    }
}

/// Whether somebody drives it.
fn listens(place: &Place) -> bool {
    std::os::unix::net::UnixStream::connect(place.root.join(".enki/enki.sock")).is_ok()
}

/// A task that whoever drives does.
fn does(place: &Place) {
    let note = task(place, "Do it");
    add(place, &[&note]);
    until(|| key(place, &note, "status").as_deref() == Some("done"));
}

#[test]
fn a_project_that_cannot_be_driven_is_named_the_others_are_driven_and_it_is_when_it_can_be() {
    let (good, bad, gone) = (place(), place(), place());
    let projects = Projects::new();
    let elsewhere = gone.dir.path().join("elsewhere");
    fs::rename(&gone.root, &elsewhere).unwrap();
    let settings = fs::read_to_string(bad.root.join(".enki/enki.toml")).unwrap();
    fs::write(bad.root.join(".enki/enki.toml"), "[workers]\nmax_workers = \"many\"\n").unwrap();
    projects.list(&[("bad", &bad.root), ("gone", &gone.root), ("good", &good.root)]);
    let up = projects.up(&good);
    until(|| listens(&good));
    does(&good);
    until(|| projects.errors().len() == 2);
    assert_eq!(projects.errors(), [("bad".into(), "usage".into()), ("gone".into(), "environment".into())]);
    let said = projects.said();
    let root = gone.root.display();
    for line in
        ["error: bad: ", &format!("error: gone: the folder of project gone is not there: {root}\nhint: mount it")]
    {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(!gone.root.exists() && !listens(&bad), "{said}");
    fs::write(bad.root.join(".enki/enki.toml"), settings).unwrap();
    fs::rename(&elsewhere, &gone.root).unwrap();
    until(|| listens(&bad) && listens(&gone));
    does(&bad);
    does(&gone);
    let said = projects.said();
    assert_eq!(said.matches("error: gone").count(), 1, "it was said once: {said}");
    up.end();
}

#[test]
fn where_no_project_can_be_driven_each_is_named_and_it_ends_with_their_error() {
    let (one, two) = (place(), place());
    let projects = Projects::new();
    let (away, lost) = (one.dir.path().join("away"), two.dir.path().join("lost"));
    projects.list(&[("away", &away), ("lost", &lost)]);
    let refused = projects.command(&one, &["up"]).output().unwrap();
    let said = both(&refused);
    assert_eq!(code(&refused), 3, "{said}");
    for line in ["error: away: the folder", "error: lost: the folder", "none of the 2 projects can be driven"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let refused = projects.command(&one, &["up", "lost"]).output().unwrap();
    let said = both(&refused);
    assert!(code(&refused) == 3 && said.matches("error").count() == 1 && said.contains("error: lost: "), "{said}");
    // Two errors of one kind or of several: the code is the first in their order.
    fs::write(two.root.join(".enki/enki.toml"), "nonsense").unwrap();
    projects.list(&[("away", &away), ("two", &two.root)]);
    let refused = projects.command(&one, &["up", "--json"]).output().unwrap();
    let names: Vec<Value> = String::from_utf8(refused.stdout.clone())
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["project"].clone())
        .collect();
    assert_eq!((code(&refused), names), (3, vec!["away".into(), "two".into(), Value::Null]), "{}", both(&refused));
    assert!(!away.exists() && !lost.exists());
}

#[test]
fn a_project_whose_driver_ended_with_an_error_is_driven_again() {
    let place = place();
    let projects = Projects::new();
    projects.list(&[("shop", &place.root)]);
    let up = projects.up(&place);
    until(|| listens(&place));
    does(&place);
    // The lease is taken away, as by another start of the one who holds it.
    let held = fs::read_to_string(place.root.join(".enki/lock")).unwrap();
    let holder: Holder = serde_json::from_str(held.lines().next().unwrap()).unwrap();
    let store = SqliteStore::open(place.root.join(".enki/enki.db"), &OpenOptions::new().accept_any_file_system());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(store.unwrap().acquire("project", &holder, Timestamp(0), Timestamp(1))).unwrap();
    until(|| projects.errors() == [("shop".to_owned(), "locked".to_owned())]);
    until(|| projects.said().matches("shop: driven here").count() == 2 && listens(&place));
    does(&place);
    up.end();
}

#[test]
fn projects_that_come_into_the_list_are_driven_and_those_that_leave_it_are_let_go_when_nothing_runs() {
    let (one, two) = (place(), place());
    let projects = Projects::new();
    projects.list(&[("one", &one.root)]);
    let up = projects.up(&one);
    until(|| listens(&one));
    // It is looked for whenever anything happens.
    let added = projects.command(&two, &["projects", "add", "--name", "two"]).output().unwrap();
    assert_eq!(code(&added), 0, "{}", both(&added));
    does(&one);
    until(|| listens(&two));
    does(&two);
    let (runs, never) = (task(&one, "WAIT for it"), task(&one, "Never"));
    add(&one, &[&runs]);
    until(|| key(&one, &runs, "status").as_deref() == Some("running"));
    // A list that cannot be read, or is not there, is no word about any project.
    let path = projects.dir.path().join(".config/enki/projects.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, "[projects").unwrap();
    does(&two);
    until(|| projects.said().contains("all that are driven stay"));
    fs::remove_file(&path).unwrap();
    does(&two);
    until(|| projects.said().contains("is not there; all that are driven stay"));
    fs::write(&path, text).unwrap();
    let removed = projects.command(&two, &["projects", "remove", "one"]).output().unwrap();
    assert_eq!(code(&removed), 0, "{}", both(&removed));
    does(&two);
    until(|| projects.said().contains("one: the list of projects does not have it there any more"));
    // What runs goes on to its end, and nothing new starts.
    add(&one, &[&never, "--after", &key(&one, &runs, "queue_id").unwrap()]);
    one.open_gate();
    until(|| !listens(&one));
    assert_ne!(key(&one, &never, "status").as_deref(), Some("done"));
    // It is driven anew once it is in the list again.
    projects.list(&[("one", &one.root), ("two", &two.root)]);
    does(&two);
    until(|| key(&one, &never, "status").as_deref() == Some("done"));
    assert_eq!(projects.errors(), [("no project".to_owned(), "usage".to_owned())], "{}", projects.said());
    up.end();
}

#[test]
fn what_waits_for_an_entry_that_waits_for_a_person_does_not_keep_the_queue_running() {
    let place = place();
    let (held, after, last, later) =
        (task(&place, "Held"), task(&place, "After it"), task(&place, "After that"), task(&place, "Later"));
    let first = add(&place, &[&held]);
    let second = add(&place, &[&after, "--after", first["queue_id"].as_str().unwrap()]);
    add(&place, &[&last, "--after-any", second["queue_id"].as_str().unwrap()]);
    // What waits for a time alone is waited for.
    let soon = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_secs(4)).unwrap().to_string();
    add(&place, &[&later, "--at", &soon]);
    let away = place.dir.path().join("away.md");
    fs::rename(place.root.join(&held), &away).unwrap();
    let ran = run(&place);
    assert_eq!(code(&ran), 8, "{}", both(&ran));
    assert_eq!(key(&place, &later, "status").as_deref(), Some("done"));
    let words: Vec<_> = entries(&place, &[]).iter().map(|one| one["status"].clone()).collect();
    assert_eq!(words, ["waiting (after)", "waiting (after)", "held"]);
    fs::rename(&away, place.root.join(&held)).unwrap();
    assert_eq!(code(&place.enki(&["pause", first["queue_id"].as_str().unwrap()])), 0);
    let ran = run(&place);
    assert_eq!(entries(&place, &[]).len(), 3, "{}", both(&ran));
    let resumed = place.enki(&["resume", first["queue_id"].as_str().unwrap()]);
    assert_eq!(code(&resumed), 0, "{}", both(&resumed));
    assert_eq!(code(&run(&place)), 0);
    assert!([&held, &after, &last].iter().all(|note| key(&place, note, "status").as_deref() == Some("done")));
}

/// Drives the queue, for at most a minute.
fn run(place: &Place) -> Output {
    let mut run = place.command(&["queue", "run"]);
    let mut run = run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    for _ in 0..3000 {
        if run.try_wait().unwrap().is_some() {
            return run.wait_with_output().unwrap();
        }
        wait();
    }
    run.kill().unwrap();
    panic!("it did not end: {}", both(&run.wait_with_output().unwrap()));
}
