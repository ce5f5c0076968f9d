//! The protocol of leases and merges, exhausted: every order in which its parts can happen, not a random sample of them.
//!
//! Two orchestrators, one of which may go on after it lost its lease; changes that ask to be published; a person who
//! moves the target; crashes, losses of power, lost and doubled answers; git children that outlive their orchestrator.
//! What decides is [`MergeQueue`] as the engine uses it. What is around it, the store with its fence and the repository
//! with its compare-and-swap, is small enough to be read in one sitting.
//!
//! [`explore`] visits every state once, breadth first, so that the trace of a broken promise is a shortest one. It checks
//! each state and each move (R2, R3, R6, Q1 to Q9), that whatever was begun ends, and where it ends that nothing is lost.
//!
//! [`MergeQueue`]: enki_core::merge_queue::MergeQueue

mod history;
mod moves;
mod world;

use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use world::World;

/// How much may happen. Each is a number of times in all.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each field is named after what may happen")]
pub struct Bounds {
    pub changes: u8,
    /// Of one orchestrator, or of the machine with all that it had not yet on disk.
    pub crashes: u8,
    /// A second orchestrator takes the lease while the first one still runs.
    pub takeovers: u8,
    pub person_commits: u8,
    /// The target is set back by one commit, or deleted.
    pub person_resets: u8,
    pub lost_answers: u8,
    pub doubled_answers: u8,
    /// The check says no.
    pub failed_checks: u8,
}

impl Bounds {
    /// What is promised: two orchestrators, two merges, a person who moves the target, two crashes.
    pub const PROMISED: Self = Self {
        changes: 2,
        crashes: 2,
        takeovers: 1,
        person_commits: 1,
        person_resets: 0,
        lost_answers: 0,
        doubled_answers: 0,
        failed_checks: 0,
    };
    /// Nothing goes wrong.
    pub const CALM: Self = Self { crashes: 0, takeovers: 0, person_commits: 0, ..Self::PROMISED };

    /// Sets the bound of that name; `None` if there is none.
    pub fn set(&mut self, name: &str, times: u8) -> Option<()> {
        let bound = match name {
            "changes" => &mut self.changes,
            "crashes" => &mut self.crashes,
            "takeovers" => &mut self.takeovers,
            "person_commits" => &mut self.person_commits,
            "person_resets" => &mut self.person_resets,
            "lost_answers" => &mut self.lost_answers,
            "doubled_answers" => &mut self.doubled_answers,
            "failed_checks" => &mut self.failed_checks,
            _ => return None,
        };
        *bound = times;
        Some(())
    }
}

/// What was visited.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Explored {
    /// States, each once.
    pub states: usize,
    /// Moves between them.
    pub moves: usize,
    /// States in which nothing is left to do.
    pub ends: usize,
    /// Most moves from the beginning to a state.
    pub depth: usize,
}

/// A promise was broken, and how.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub struct Broken {
    /// Which promise.
    pub promise: String,
    /// What happened, from the beginning; no shorter way leads there.
    pub trace: Vec<String>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.promise)?;
        self.trace.iter().enumerate().try_for_each(|(n, step)| writeln!(f, "{:3}  {step}", n + 1))
    }
}

/// Visits everything that can happen within bounds.
///
/// # Errors
///
/// The first promise that is broken.
pub fn explore(bounds: Bounds) -> Result<Explored, Broken> {
    let mut search = Search::default();
    let first = World::new(bounds);
    search.known.insert(digest(&first, &mut search.text), 0);
    search.from.push(None);
    let mut layer = vec![(0, first)];
    while !layer.is_empty() {
        let mut next = Vec::new();
        for (at, world) in layer {
            search.visit(at, &world, &mut next)?;
        }
        search.explored.depth += usize::from(!next.is_empty());
        layer = next;
    }
    search.ends()?;
    search.explored.states = search.from.len();
    Ok(search.explored)
}

#[derive(Default)]
struct Search {
    known: HashMap<[u8; 16], u32>,
    /// How each state was first reached.
    from: Vec<Option<(u32, Box<str>)>>,
    /// Moves that are no misfortune, from and to.
    calm: Vec<(u32, u32)>,
    explored: Explored,
    text: String,
}

impl Search {
    fn visit(&mut self, at: u32, world: &World, next: &mut Vec<(u32, World)>) -> Result<(), Broken> {
        let mut ended = true;
        for step in world.moves() {
            let broken = |search: &Self, promise: String| {
                let mut trace = search.trace(at);
                trace.push(step.name.clone());
                Broken { promise, trace }
            };
            let to = match &step.to {
                Ok(to) => to,
                Err(promise) => return Err(broken(self, promise.clone())),
            };
            to.check().map_err(|promise| broken(self, promise))?;
            self.explored.moves += 1;
            ended &= step.misfortune;
            let count = u32::try_from(self.from.len()).unwrap_or(u32::MAX);
            let number = *self.known.entry(digest(to, &mut self.text)).or_insert(count);
            if number == count {
                self.from.push(Some((at, step.name.clone().into())));
                next.push((number, to.clone()));
            }
            if !step.misfortune {
                self.calm.push((at, number));
            }
        }
        if ended {
            self.explored.ends += 1;
            world.check_end().map_err(|promise| Broken { promise, trace: self.trace(at) })?;
        }
        Ok(())
    }

    fn trace(&self, mut at: u32) -> Vec<String> {
        let mut trace = Vec::new();
        while let Some(Some((before, name))) = self.from.get(at as usize) {
            trace.push(name.to_string());
            at = *before;
        }
        trace.reverse();
        trace
    }

    /// Without misfortune every way ends: no state comes back to itself (R8).
    fn ends(&self) -> Result<(), Broken> {
        let mut into = vec![0_u32; self.from.len()];
        let mut out: Vec<Vec<u32>> = vec![Vec::new(); self.from.len()];
        for (from, to) in &self.calm {
            into[*to as usize] += 1;
            out[*from as usize].push(*to);
        }
        let mut free: Vec<u32> = (0..).zip(&into).filter(|(_, count)| **count == 0).map(|(at, _)| at).collect();
        while let Some(at) = free.pop() {
            for to in std::mem::take(&mut out[at as usize]) {
                into[to as usize] -= 1;
                if into[to as usize] == 0 {
                    free.push(to);
                }
            }
        }
        match (0..).zip(&into).find(|(_, count)| **count > 0) {
            Some((at, _)) => Err(Broken { promise: "R8: it goes round in a circle".to_owned(), trace: self.trace(at) }),
            None => Ok(()),
        }
    }
}

/// Two states of one digest are taken for one, which is as good as never.
fn digest(world: &World, text: &mut String) -> [u8; 16] {
    text.clear();
    world.write(text).expect("a string takes everything");
    let mut digest = [0; 16];
    digest.copy_from_slice(&Sha256::digest(text.as_bytes())[..16]);
    digest
}
