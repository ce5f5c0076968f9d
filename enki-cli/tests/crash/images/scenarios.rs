//! What is recorded: a kind of project, and what is done in it one after the other. Each act can be done again, from any
//! moment of it.

use crate::oracle;
use crate::place::{Kind, Place, Repository};
use serde_json::Value;
use std::fs;

/// A project and what is done in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) acts: &'static [Act],
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// The plan, to its end.
    Run,
    /// The plan, until it dies there.
    Crash(&'static str),
    /// The plan, up to its checkpoint.
    Hold,
    /// A person commits on the target.
    Commit,
    /// A person packs all refs and objects.
    Gc,
    Pause,
    Cancel,
    Note,
    /// The note becomes an entry of the queue.
    Queue,
    /// The queue is driven.
    Drive,
    Init,
    /// A decision is put into the memory.
    Remember,
}

use Act::{Cancel, Commit, Crash, Drive, Gc, Hold, Init, Note, Pause, Queue, Remember, Run};

const fn plan(name: &'static str, plan: &'static str) -> Scenario {
    Scenario { name, kind: Kind { plan, ..Kind::AWAY }, acts: &[Run] }
}

impl Scenario {
    const fn of(mut self, repository: Repository) -> Self {
        self.kind.repository = repository;
        self
    }

    const fn old(mut self) -> Self {
        self.kind.old_store = true;
        self
    }

    const fn at_the_end(mut self) -> Self {
        self.kind.land_end = true;
        self
    }

    const fn unknown(mut self) -> Self {
        self.kind.unknown = true;
        self
    }

    const fn doing(mut self, acts: &'static [Act]) -> Self {
        self.acts = acts;
        self
    }
}

const ALL: &str = Kind::AWAY.plan;

/// The gate takes the first two.
pub(super) const SCENARIOS: &[Scenario] = &[
    plan("a review, a conflict, a checkpoint", ALL),
    plan("the same in a store of an older schema", ALL).old(),
    plan("the same, landing at the end", ALL).at_the_end(),
    plan("the same with SHA-256", ALL).of(Repository::Sha256),
    plan("the same with packed refs, landing at the end", ALL).of(Repository::Packed).at_the_end(),
    plan("the same with packed refs", ALL).of(Repository::Packed),
    plan("the same with many files", ALL).of(Repository::Large),
    plan("one step", "a"),
    plan("one step, SHA-256", "a").of(Repository::Sha256),
    plan("one step, landing at the end", "a").at_the_end(),
    plan("one step, packed refs", "a").of(Repository::Packed),
    plan("one step, many files", "a").of(Repository::Large),
    plan("one step in an old store", "a").old(),
    plan("two steps in a row", "a b:a"),
    plan("two in a row, landing at the end", "a b:a").at_the_end(),
    plan("three in a row", "a b:a c:b"),
    plan("four in a row, landing at the end", "a b:a c:b d:c").at_the_end(),
    plan("two side by side", "a b"),
    plan("a batch of four", "a b c d"),
    plan("a batch of four, landing at the end", "a b c d").at_the_end(),
    plan("a batch of four, packed refs", "a b c d").of(Repository::Packed),
    plan("a diamond", "a b:a c:a d:b,c"),
    plan("a conflict alone", "x y"),
    plan("a conflict, landing at the end", "x y").at_the_end(),
    plan("a conflict, SHA-256", "x y").of(Repository::Sha256),
    plan("a review", "a+"),
    plan("two reviews", "a+ b+:a"),
    plan("a fix", "r+"),
    plan("a fix and what needs it", "r+ b:r"),
    plan("a fix, landing at the end", "r+ b:r").at_the_end(),
    plan("a fix beside a conflict", "r+ x y"),
    plan("a checkpoint", "a! b:a"),
    plan("two checkpoints", "a! b!:a c:b"),
    plan("killed while the target moves", "a b:a").doing(&[Crash("merge.8.after"), Run]),
    plan("killed before the target moves", "a b:a").doing(&[Crash("merge.8.before"), Run]),
    plan("killed after the fence", "a b:a").doing(&[Crash("merge.6.after"), Run]),
    plan("killed before it is recorded", "a b:a").doing(&[Crash("merge.9.before"), Run]),
    plan("killed when the work was captured", "a b:a").doing(&[Crash("workspace.commit"), Run]),
    plan("killed twice", "a b:a").doing(&[Crash("merge.3.after"), Crash("recovery.row"), Run]),
    plan("a person commits meanwhile", "a! b:a").doing(&[Hold, Commit, Run]),
    plan("a person commits before all lands", "a! b:a").at_the_end().doing(&[Hold, Commit, Run]),
    plan("a person packs all meanwhile", "a! b:a").doing(&[Hold, Gc, Run]),
    plan("paused and gone on with", "a! b:a").doing(&[Hold, Pause, Run]),
    plan("cancelled", "a! b:a").doing(&[Hold, Cancel]),
    plan("cancelled, landing at the end", "a! b:a").at_the_end().doing(&[Hold, Cancel]),
    plan("a note", "a").doing(&[Note, Run]),
    plan("a note is done by the queue", "a").doing(&[Note, Queue, Drive]),
    plan("a folder that was not known", "a").unknown().doing(&[Init, Run]),
    plan("something to remember", "a").doing(&[Remember, Run]),
    plan("something to remember, and a fix", "r+").doing(&[Remember, Run]),
];

#[test]
fn there_are_fifty_and_each_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> = SCENARIOS.iter().map(|scenario| scenario.name).collect();
    assert_eq!((names.len(), SCENARIOS.len()), (50, 50));
}

impl Act {
    /// Does it, or what is left of it.
    pub(super) fn done(self, place: &Place, again: bool) -> Result<(), String> {
        let plan = place.dir.join("plan.json");
        let run = ["run", plan.to_str().unwrap(), "--json"];
        match self {
            Run => place.to_the_end(|_, _| None).map(drop),
            Crash(_) if again => Ok(()),
            Crash(at) => {
                let run = place.run(&run, Some(at), None);
                if run.was_killed() { Ok(()) } else { Err(format!("it did not die at {at}: {}", run.told())) }
            }
            Hold => {
                let run = place.run(&run, None, None);
                let held = run.code() == Some(8) || again && run.code() == Some(0);
                if held { Ok(()) } else { Err(run.told()) }
            }
            Commit if has_commit(place) => Ok(()),
            Commit => {
                let commit =
                    place.persons_git(&["commit-tree", "main^{tree}", "-p", "main", "-m", oracle::BY_A_PERSON]);
                place.persons_git(&["update-ref", "refs/heads/main", &commit]);
                Ok(())
            }
            Gc => {
                place.persons_git(&["gc", "-q"]);
                Ok(())
            }
            Pause => on_it(place, "pause"),
            Cancel => on_it(place, "cancel"),
            Note if !notes(place).is_empty() => Ok(()),
            Note => well(place, &["note", "--kind", "task", "Do it well."]),
            Queue => well(place, &["queue", "add", "--target", "main", &notes(place).concat()]),
            Drive => well(place, &["queue", "run"]),
            Init => well(place, &["init"]),
            Remember => well(place, &["memory", "add", "decision", "--what", "Tabs it is", "--why", "They are wide"]),
        }
    }

    /// Whether what was told to be done is there, before anything is repaired.
    pub(super) fn is_there(self, place: &Place) -> Result<(), String> {
        let there = match self {
            Run => status(place) == Some("done".into()),
            Cancel => status(place) == Some("cancelled".into()),
            Hold | Pause => status(place).is_some(),
            Commit => has_commit(place),
            Note => fs::read_to_string(place.root.join(notes(place).concat()))
                .is_ok_and(|text| text.contains("Do it well.")),
            Queue => place.run(&["queue", "list", "--all", "--json"], None, None).stdout().contains("Do it well."),
            Drive => place.git(&["log", "--format=%s", "main"]).contains("Do it well."),
            Remember => place.run(&["memory", "list", "--json"], None, None).stdout().contains("Tabs it is"),
            // What `init` makes of a folder with git is made anew by whoever comes next.
            Crash(_) | Gc | Init => true,
        };
        if there { Ok(()) } else { Err(format!("R5: {self:?} was done, and nothing is there of it")) }
    }
}

impl Scenario {
    /// What must hold at the end.
    pub(super) fn look(&self, place: &Place) -> Result<(), String> {
        for act in self.acts.iter().filter(|act| !matches!(act, Hold | Pause | Queue)) {
            act.is_there(place)?;
        }
        let has = |wanted: fn(&Act) -> bool| self.acts.iter().any(wanted);
        if has(|act| matches!(act, Drive)) {
            let commits = place.git(&["log", "--no-merges", "--format=%s", "main"]);
            let told = fs::read_to_string(place.root.join(notes(place).concat())).unwrap_or_default();
            let well = commits == "Do it well.\nbegin\n" && told.contains("\nstatus: done\n");
            return if well { Ok(()) } else { Err(format!("after the queue: {commits}{told}")) };
        }
        if has(|act| matches!(act, Note)) {
            // The person's files that are not committed.
            fs::remove_dir_all(place.root.join("docs")).map_err(|error| error.to_string())?;
        }
        if has(|act| matches!(act, Cancel)) { oracle::look_at_cancelled(place) } else { oracle::look(place) }
    }
}

fn well(place: &Place, args: &[&str]) -> Result<(), String> {
    let run = place.run(args, None, None);
    if run.code() == Some(0) { Ok(()) } else { Err(format!("{args:?}: {}", run.told())) }
}

/// Does that to the one execution. What needs no doing any more says so with an exit of 0.
fn on_it(place: &Place, what: &str) -> Result<(), String> {
    let records = place.records.replace(false);
    let id = the_one(place).map(|one| one["id"].as_str().unwrap().to_owned());
    place.records.set(records);
    well(place, &[what, &id.ok_or("there is no execution")?])
}

fn status(place: &Place) -> Option<Value> {
    the_one(place).map(|mut one| one["status"].take())
}

fn the_one(place: &Place) -> Option<Value> {
    let run = place.run(&["status", "--json"], None, None);
    let mut all: Value = serde_json::from_str(run.stdout()).ok()?;
    all["executions"].get_mut(0).map(Value::take)
}

fn has_commit(place: &Place) -> bool {
    place.git(&["log", "--format=%s", "main"]).lines().any(|title| title == oracle::BY_A_PERSON)
}

/// The notes of tasks, from the project's folder.
fn notes(place: &Place) -> Vec<String> {
    let all = fs::read_dir(place.root.join("docs/log/task")).into_iter().flatten().flatten();
    let all = all.map(|entry| entry.file_name().into_string().unwrap()).filter(|name| name.ends_with(".md"));
    all.map(|name| format!("docs/log/task/{name}")).collect()
}
