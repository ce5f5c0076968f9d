//! The world of the model: a store with its fence, a repository with its compare-and-swap, and who is at work.

use super::Bounds;
use super::history::History;
use enki_core::branch::Branch;
use enki_core::id::{ExecutionId, RequestId, StepIx};
use enki_core::limits::Limits;
use enki_core::merge_queue::{Effect, Event, Input, LineNo, MergeQueue};
use enki_core::refinery::{Candidate, Gate, TargetState};
use enki_core::time::Timestamp;
use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::time::Duration;

#[derive(Clone, Debug)]
pub(super) struct World {
    /// What may still happen.
    pub(super) left: Bounds,
    pub(super) now: Timestamp,
    pub(super) boot: u8,
    pub(super) git: Git,
    /// The log of the queue as it is recorded, taken together; and whose appends are taken.
    pub(super) store: MergeQueue,
    pub(super) epoch: u8,
    pub(super) hosts: Vec<Host>,
    /// Publishing that git was told to do by an orchestrator that has died. It ends by itself, at any time.
    pub(super) orphans: BTreeSet<(History, History)>,
    /// Changes that asked so far.
    pub(super) asked: u8,
    pub(super) facts: Facts,
}

#[derive(Clone, Debug)]
pub(super) struct Git {
    pub(super) target: Option<History>,
    /// Where the target was and was moved away from, as its reflog tells.
    pub(super) was_at: BTreeSet<History>,
    /// The last move, if the disk may not have it yet and nobody moved the target since.
    pub(super) unsynced: Option<(History, History)>,
}

/// What is known from outside, to judge by.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Trees that passed their check.
    pub(super) passed: BTreeSet<String>,
    /// Candidates whose `Committing` is recorded.
    pub(super) committing: BTreeSet<History>,
    /// Where the target ever was.
    pub(super) ever: BTreeSet<History>,
    /// Changes that are recorded as merged, and as sent back.
    pub(super) merged: BTreeSet<u8>,
    pub(super) ejected: BTreeSet<u8>,
    /// A person, or a disk, took from the target what was on it.
    pub(super) tampered: bool,
}

/// An orchestrator.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) epoch: u8,
    pub(super) boot: u8,
    pub(super) queue: MergeQueue,
    /// It has not looked yet at what was merged last.
    pub(super) inspects: bool,
    pub(super) flights: Vec<Flight>,
}

/// Something in flight. It is done at some time, and its answer comes at some later one.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) effect: Effect,
    pub(super) answer: Option<Input>,
}

impl Git {
    pub(super) fn inspect(&self, candidate: History) -> TargetState {
        TargetState {
            head: self.target.map(|head| head.commit()),
            contains: self.target.is_some_and(|head| head.contains(&candidate)),
            was_there: self.was_at.contains(&candidate),
        }
    }

    /// Somebody moves the target.
    pub(super) fn set(&mut self, to: Option<History>) {
        self.was_at.extend(self.target);
        (self.target, self.unsynced) = (to, None);
    }
}

impl World {
    pub(super) fn new(bounds: Bounds) -> Self {
        let root = History::root();
        let target = target();
        Self {
            left: bounds,
            now: Timestamp(0),
            boot: 1,
            git: Git { target: Some(root), was_at: BTreeSet::new(), unsynced: None },
            store: MergeQueue::new(target, Some(root.commit())),
            epoch: 0,
            hosts: Vec::new(),
            orphans: BTreeSet::new(),
            asked: 0,
            facts: Facts { ever: BTreeSet::from([root]), ..Facts::default() },
        }
    }

    /// All that tells it from other states, as text.
    pub(super) fn write(&self, to: &mut String) -> fmt::Result {
        let Self { left, now, boot, git, store, epoch, hosts, orphans, asked, facts } = self;
        write!(to, "{left:?} {} {boot} {git:?} {store:?} {epoch} {orphans:?} {asked} {facts:?}", now.0)?;
        for Host { epoch, boot, queue, inspects, flights } in hosts {
            write!(to, " {epoch} {boot} {inspects} {flights:?}")?;
            // Mostly it knows what is recorded.
            if queue != store {
                write!(to, "{queue:?}")?;
            }
        }
        Ok(())
    }

    /// What holds at any time.
    pub(super) fn check(&self) -> Result<(), String> {
        self.store.check()?;
        self.hosts.iter().try_for_each(|host| host.queue.check())?;
        let head = self.git.target.iter();
        let twice = head.flat_map(|head| (1..ROOM).filter(|c| head.letters().iter().filter(|l| *l == c).count() > 1));
        match twice.into_iter().next() {
            Some(change) => Err(format!("R3: change {change} is on the target twice")),
            None => Ok(()),
        }
    }

    /// What holds where nothing is left to do.
    pub(super) fn check_end(&self) -> Result<(), String> {
        let asks = self.store.paused().is_some();
        for change in 1..=self.asked {
            let there = self.git.target.is_some_and(|head| head.has(change));
            let merged = self.facts.merged.contains(&change);
            if merged && !there && !asks && !self.facts.tampered {
                return Err(format!("R3: change {change} is recorded as merged, and is not on the target"));
            }
            if there && !merged && !asks && !self.facts.tampered {
                return Err(format!("R3: change {change} is on the target, and is not recorded as merged"));
            }
            if !merged && !asks && !self.facts.ejected.contains(&change) {
                return Err(format!("R8: change {change} is neither merged nor sent back, and nobody is asked"));
            }
        }
        Ok(())
    }

    /// Takes what an orchestrator appends. The fence: only of the one that holds the lease.
    pub(super) fn append(&mut self, epoch: u8, events: &[Event]) -> Result<bool, String> {
        if epoch != self.epoch {
            return Ok(false);
        }
        for event in events {
            match event {
                Event::Committing { line } => {
                    let candidate = self.store.line(*line).and_then(|line| line.candidate);
                    self.facts.committing.extend(candidate.map(|candidate| History::of(candidate.commit)));
                }
                Event::Republishing { candidate, .. } => {
                    self.facts.committing.insert(History::of(candidate.commit));
                }
                Event::Merged { line, commit } => {
                    let candidate = History::of(*commit);
                    if !self.facts.ever.iter().any(|head| head.contains(&candidate)) {
                        return Err("R3: it is recorded as merged, and never was on the target".to_owned());
                    }
                    for change in (1..=self.asked).filter(|change| line_has(&self.store, *line, *change)) {
                        if !self.facts.merged.insert(change) {
                            return Err(format!("R3: change {change} is recorded as merged twice"));
                        }
                    }
                }
                Event::Ejected { request: of, .. } => {
                    self.facts.ejected.extend((1..=self.asked).find(|change| request(*change) == *of));
                }
                _ => {}
            }
            self.store.apply(event);
        }
        Ok(true)
    }

    /// Git moves the target if it is where it is expected to be.
    pub(super) fn publish(&mut self, candidate: Candidate) -> Result<bool, String> {
        let (base, commit) = (History::of(candidate.base), History::of(candidate.commit));
        if self.git.target.is_some_and(|head| head.contains(&commit)) {
            return Ok(true);
        }
        if self.git.target != Some(base) {
            return Ok(false);
        }
        if !self.facts.passed.contains(&candidate.tree.to_string()) {
            return Err("R2: the target moves to a tree that did not pass".to_owned());
        }
        if !self.facts.committing.contains(&commit) {
            return Err("R3: the target moves, and that is recorded nowhere".to_owned());
        }
        self.git.set(Some(commit));
        self.git.unsynced = Some((base, commit));
        self.facts.ever.insert(commit);
        Ok(true)
    }
}

fn line_has(queue: &MergeQueue, line: LineNo, change: u8) -> bool {
    queue.line(line).is_some_and(|line| line.has(request(change)))
}

pub(super) fn request(change: u8) -> RequestId {
    RequestId::of(ExecutionId::new(1), Some(StepIx(u32::from(change))), 1)
}

pub(super) fn target() -> Branch {
    "main".parse().expect("it is a branch")
}

pub(super) fn gate() -> Gate {
    Gate::new("check", Duration::from_secs(60))
}

pub(super) fn limits() -> Limits {
    Limits::default()
}

/// One more than the number of changes there may be.
pub(super) const ROOM: u8 = 10;
