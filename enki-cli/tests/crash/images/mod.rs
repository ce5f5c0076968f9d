//! Losses of power (promise R5): what a run of the binary writes is recorded call by call, and at each wait for the disk
//! an image is made of what a loss of power there would leave. Every image is gone on with to the end of the plan.
//!
//! The recording is checked by itself: with nothing lost it has to give the very folder that the run left.

mod disk;
mod scenarios;
mod trace;

use crate::place::{PERSON, Place};
use disk::{Disk, Loss};
use scenarios::{Act, SCENARIOS, Scenario};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use trace::Op;

/// What is written by memory that is mapped, is no file, or is made anew by who opens it.
const NOT_RECORDED: [&str; 1] = ["enki.db-shm"];

/// The same call, with what it and its children ask of the system written to a file.
pub(crate) fn record(trace: &Path, call: &Command) -> Command {
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-s", "100000000", "--seccomp-bpf", "-o"]).arg(trace);
    command.args(["-e", &format!("trace={}", trace::CALLS)]).arg(call.get_program()).args(call.get_args());
    command.env_clear().envs(call.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = call.get_current_dir() {
        command.current_dir(folder);
    }
    command
}

struct Recording {
    scenario: Scenario,
    place: Place,
    before: Disk,
    ops: Vec<Op>,
    /// Where in `ops` something was synced.
    syncs: Vec<usize>,
    /// Where each act of the scenario ends.
    ends: Vec<usize>,
}

impl Recording {
    fn new(scenario: Scenario) -> Result<Self, String> {
        let place = Place::new(scenario.kind);
        let before = Disk::of(&place.root);
        let (mut ops, mut ends, mut read) = (Vec::new(), Vec::new(), 0);
        for act in scenario.acts {
            place.records.set(true);
            act.done(&place, false).map_err(|why| format!("{act:?}: {why}"))?;
            place.records.set(false);
            for trace in &place.recorded.borrow()[read..] {
                let text = fs::read_to_string(trace).map_err(|e| e.to_string())?;
                ops.extend(trace::read(&text, &place.root)?);
                if trace.to_str().is_some_and(|name| name.ends_with(PERSON)) {
                    // What other programs sync is not the matter here.
                    ops.push(Op::SyncAll);
                }
            }
            read = place.recorded.borrow().len();
            ends.push(ops.len());
        }
        let mut replayed = before.clone();
        for op in &ops {
            replayed.apply(op)?;
        }
        let differs = replayed.differs(&NOT_RECORDED);
        if !differs.is_empty() {
            return Err(format!("the recording is not whole: {differs:?}"));
        }
        let syncs = ops.iter().enumerate().filter(|(_, op)| matches!(op, Op::Sync(_))).map(|(at, _)| at).collect();
        Ok(Self { scenario, place, before, ops, syncs, ends })
    }

    /// The disk just before that operation.
    fn at(&self, end: usize) -> Result<Disk, String> {
        let mut disk = self.before.clone();
        self.ops[..end].iter().try_for_each(|op| disk.apply(op))?;
        Ok(disk)
    }

    /// Brings an image to life and judges it.
    fn judge(&self, end: usize, loss: Loss) -> Result<(), String> {
        self.at(end)?.restore(loss);
        of_another_start(&self.place.root.join(".enki/capture"));
        // Before anything is repaired: what was told to be done is there.
        let done = self.ends.iter().filter(|at| **at <= end).count();
        for act in &self.scenario.acts[..done] {
            act.is_there(&self.place)?;
        }
        if matches!(self.scenario.acts.get(done), Some(Act::Run)) {
            self.done_has_code()?;
        }
        for act in &self.scenario.acts[done..] {
            act.done(&self.place, true)?;
        }
        self.scenario.look(&self.place)
    }

    /// An execution that is done has all its work on the target.
    fn done_has_code(&self) -> Result<(), String> {
        let status = self.place.run(&["status", "--json"], None, None);
        let text = status.stdout();
        if !text.contains("\"status\":\"done\"") {
            return Ok(());
        }
        let files = self.place.git(&["ls-tree", "-r", "--name-only", "main"]);
        let missing = self.place.steps.iter().find(|step| !files.lines().any(|file| file == format!("{step}.txt")));
        missing.map_or(Ok(()), |step| Err(format!("R5: done without the code of {step}")))
    }
}

/// The machine was started anew, which this one is not: what files say of the start they were made in becomes another one.
fn of_another_start(captures: &Path) {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    for entry in fs::read_dir(captures).into_iter().flatten().flatten() {
        let state = entry.path().join("enki-state.json");
        if let Ok(text) = fs::read_to_string(&state)
            && !boot.trim().is_empty()
        {
            fs::write(state, text.replace(boot.trim(), "an earlier start")).unwrap();
        }
    }
}

/// What became of the images of one recording, or of all.
#[derive(Debug, Default)]
struct Seen {
    images: usize,
    syncs: usize,
    calls: usize,
    failed: Vec<String>,
}

#[test]
fn what_a_loss_of_power_leaves_is_gone_on_with() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("not run: strace is not installed (apt-get install strace), so no writes can be recorded");
        return;
    }
    let told = |name: &str| std::env::var(name).ok();
    let number = |name: &str| told(name).map(|text| text.parse::<usize>().unwrap());
    let seed = number("ENKI_SEED").unwrap_or(1);
    let only = told("ENKI_SCENARIO").unwrap_or_default();
    let wanted = number("ENKI_IMAGES");
    let scenarios: Vec<Scenario> = SCENARIOS.iter().filter(|scenario| scenario.name.contains(&only)).copied().collect();
    // The gate has no time for more.
    let scenarios = if wanted.is_none() && only.is_empty() { &scenarios[..2] } else { &scenarios[..] };
    let each = wanted.unwrap_or(8 * scenarios.len()).div_ceil(scenarios.len());
    let (next, seen) = (AtomicUsize::new(0), Mutex::new(Seen::default()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // A run that does not end panics.
                    let one = catch_unwind(|| images(*scenario, each, seed)).unwrap_or_else(|_| Seen {
                        failed: vec![format!("{}: it could not be recorded: a run did not end", scenario.name)],
                        ..Seen::default()
                    });
                    println!("{}: {} images, {} broke a promise", scenario.name, one.images, one.failed.len());
                    let mut seen = seen.lock().unwrap();
                    seen.images += one.images;
                    seen.syncs += one.syncs;
                    seen.calls += one.calls;
                    seen.failed.extend(one.failed);
                }
            });
        }
    });
    let Seen { images, syncs, calls, failed } = seen.into_inner().unwrap();
    println!(
        "{images} images at {syncs} syncs of {calls} calls, in {} scenarios: {} broke a promise",
        scenarios.len(),
        failed.len()
    );
    assert!(failed.is_empty(), "{} images:\n{}", failed.len(), failed.join("\n"));
}

/// Images of one recording, spread over its syncs; each sync in turn loses in another way.
fn images(scenario: Scenario, wanted: usize, seed: usize) -> Seen {
    let recording = match Recording::new(scenario) {
        Ok(recording) => recording,
        Err(why) => return Seen { failed: vec![format!("{}: {why}", scenario.name)], ..Seen::default() },
    };
    let syncs = recording.syncs.len();
    let images = wanted.min(syncs * 4);
    let mut failed = Vec::new();
    for n in 0..images {
        // Every sync is met once before any is met twice.
        let (round, nth) = (n / syncs, n % syncs);
        let sync = recording.syncs[(nth * syncs.div_ceil(images.min(syncs)) + seed + nth / syncs) % syncs];
        let losses = [Loss::Unsynced, Loss::Some((n + seed) as u64), Loss::Contents, Loss::Nothing];
        let loss = losses[(n + round) % losses.len()];
        // A run that does not end panics.
        let judged = catch_unwind(AssertUnwindSafe(|| recording.judge(sync, loss)));
        if let Err(why) = judged.unwrap_or_else(|_| Err("a run did not end".to_owned())) {
            let why = format!("{}, before {:?} (call {sync}), {loss:?}: {why}", scenario.name, recording.ops[sync]);
            println!("{why}");
            failed.push(why);
        }
    }
    Seen { images, syncs, calls: recording.ops.len(), failed }
}
