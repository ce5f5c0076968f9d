//! Losses of power (promise R5): what a run of the binary writes is recorded call by call, and at each wait for the disk
//! an image is made of what a loss of power there would leave. Every image is gone on with to the end of the plan.
//!
//! The recording is checked by itself: with nothing lost it has to give the very folder that the run left.

mod disk;
mod trace;

use crate::oracle;
use crate::place::{Kind, Place};
use disk::{Disk, Loss};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
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
    place: Place,
    before: Disk,
    ops: Vec<Op>,
    /// Where in `ops` something was synced.
    syncs: Vec<usize>,
}

impl Recording {
    fn new(kind: Kind) -> Result<Self, String> {
        let place = Place::new(kind);
        let before = Disk::of(&place.root);
        place.records.set(true);
        place.to_the_end(|_, _| None)?;
        place.records.set(false);
        let mut ops = Vec::new();
        for trace in place.recorded.borrow().iter() {
            ops.extend(trace::read(&fs::read_to_string(trace).map_err(|e| e.to_string())?, &place.root)?);
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
        Ok(Self { place, before, ops, syncs })
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
        self.done_has_code()?;
        self.place.to_the_end(|_, _| None)?;
        oracle::look(&self.place)
    }

    /// Before anything is repaired: an execution that is done has all its work on the target.
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

#[test]
fn what_a_loss_of_power_leaves_is_gone_on_with() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("not run: strace is not installed (apt-get install strace), so no writes can be recorded");
        return;
    }
    let number = |name: &str, default: usize| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (wanted, seed) = (number("ENKI_IMAGES", 16), number("ENKI_SEED", 1));
    let kinds = [Kind::AWAY, Kind { old_store: true, ..Kind::AWAY }];
    let failed: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = kinds
            .into_iter()
            .map(|kind| scope.spawn(move || images(kind, wanted.div_ceil(kinds.len()), seed)))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(failed.is_empty(), "{} images:\n{}", failed.len(), failed.join("\n"));
}

/// Images of one recording, spread over its syncs; each sync in turn loses in another way.
fn images(kind: Kind, wanted: usize, seed: usize) -> Vec<String> {
    let recording = match Recording::new(kind) {
        Ok(recording) => recording,
        Err(why) => return vec![format!("{kind:?}: {why}")],
    };
    let syncs = recording.syncs.len();
    let mut failed = Vec::new();
    let wanted = wanted.min(syncs * 4);
    for n in 0..wanted {
        // Every sync is met once before any is met twice.
        let (round, nth) = (n / syncs, n % syncs);
        let sync = recording.syncs[(nth * syncs.div_ceil(wanted.min(syncs)) + seed + nth / syncs) % syncs];
        let losses = [Loss::Unsynced, Loss::Some((n + seed) as u64), Loss::Contents, Loss::Nothing];
        let loss = losses[(n + round) % losses.len()];
        // A run that does not end panics.
        let judged = catch_unwind(AssertUnwindSafe(|| recording.judge(sync, loss)));
        if let Err(why) = judged.unwrap_or_else(|_| Err("a run did not end".to_owned())) {
            println!("{kind:?}, before {:?} (call {sync}), {loss:?}: {why}", recording.ops[sync]);
            failed.push(format!("{kind:?}, before {:?} (call {sync}), {loss:?}: {why}", recording.ops[sync]));
        }
    }
    println!(
        "{wanted} images at {syncs} syncs of {} calls, {kind:?}: {} broke a promise",
        recording.ops.len(),
        failed.len()
    );
    failed
}
