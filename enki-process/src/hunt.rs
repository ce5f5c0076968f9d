//! Finds and kills what is left of process trees, whoever adopted it.

use crate::clock;
use crate::marker::{Marker, RUN_MARKER};
use crate::procfs::{self, Identity, Reader, Stat};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, test_kill_process_group};
use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

/// What a hunt did.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Hunted {
    /// Processes that were killed.
    pub killed: u32,
    /// Processes that still lived when time was up: 0 but for processes stuck in the kernel. If the last look failed,
    /// one more: nobody knows whether there is none.
    pub survivors: u32,
    /// Why the last look failed, if it did.
    pub unseen: Option<String>,
}

impl Hunted {
    /// What keeps the next of its kind from being started, if something does: the end of a sentence on whose processes
    /// were hunted.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        match (self.survivors, &self.unseen) {
            (0, _) => None,
            (_, Some(why)) => Some(format!("may live, which nobody can see: {why}")),
            (n, None) => Some(format!("do not die: there are {n}; look at them with ps")),
        }
    }
}

/// Kills every process that carries one of the marks, and waits until they are gone, at most `limit`.
///
/// A mark is inherited by all descendants, so this finds those that changed session, were adopted, or belong to an
/// orchestrator that was killed. It never trusts a stored process number. Blocking: milliseconds, longer if something
/// was found. The calling process itself and its ancestors are never killed.
///
/// Where it cannot look, for want of descriptors or memory, it tries again until time is up; then there is a survivor at
/// least, and [`Hunted::unseen`] says why.
///
/// Linux with `/proc` only; elsewhere nothing is found. A process that cleared its environment, changed its session and
/// lost its parent carries no mark and is not found; run agents under a supervisor against that.
#[must_use]
pub fn kill_marked(marks: &[Marker], limit: Duration) -> Hunted {
    Hunt::new(marks.to_vec()).run(clock::now() + limit)
}

/// Kills what a killed orchestrator left behind, to be called at the start of the next one, before it runs anything:
/// all that carries the project's mark, at most for 5 s. Blocking; see [`kill_marked`].
///
/// Agents under a supervisor have died with their orchestrator; this is for those without.
#[must_use]
pub fn reap_orphans(project: &Marker) -> Hunted {
    let hunted = kill_marked(std::slice::from_ref(project), Duration::from_secs(5));
    if hunted != Hunted::default() {
        let Hunted { killed, survivors, unseen } = &hunted;
        tracing::warn!(%project, killed, survivors, ?unseen, "an earlier run left processes, or may have left some");
    }
    hunted
}

/// The numbers of all living processes that carry one of the marks.
///
/// # Errors
///
/// If one could not be looked at for another reason than that it is gone or somebody else's.
pub fn marked(marks: &[Marker]) -> io::Result<Vec<u32>> {
    let search = Hunt::new(marks.to_vec()).search();
    match search.unseen {
        Some(error) => Err(error),
        None => Ok(search.found.into_iter().filter_map(|id| u32::try_from(id.pid).ok()).collect()),
    }
}

/// The effects that living processes are marked with.
pub(crate) fn marked_runs() -> io::Result<HashSet<String>> {
    let mut reader = Reader::default();
    let mut runs = HashSet::new();
    for pid in procfs::pids()? {
        let Some(environ) = reader.environ(pid)? else { continue };
        for entry in environ.split(|b| *b == 0) {
            let value = entry.strip_prefix(RUN_MARKER.as_bytes()).and_then(|rest| rest.strip_prefix(b"="));
            let ids = value.into_iter().flat_map(|v| v.split(|b| *b == b':'));
            runs.extend(ids.map(|id| String::from_utf8_lossy(id).into_owned()));
        }
    }
    Ok(runs)
}

/// One hunt for one tree, or for all trees that carry certain marks.
#[derive(Debug)]
pub(crate) struct Hunt {
    marks: Vec<Marker>,
    /// Seen in the tree while it was whole; found even without a mark.
    known: HashSet<Identity>,
    /// Not to be killed now.
    spared: HashSet<i32>,
    /// The root of the tree, a child of ours not yet reaped; 0 for a hunt by marks alone.
    leader: i32,
    /// When it was started, once that mattered: nothing of the tree is older.
    born: Option<u64>,
    reader: Reader,
}

/// One look at the processes.
#[derive(Debug, Default)]
struct Search {
    found: Vec<Identity>,
    /// Alive without an environment: in the middle of `exec`, or never given one.
    unsure: usize,
    /// Why not all could be looked at, the first time that was so.
    unseen: Option<io::Error>,
}

/// Scanning this many numbers one by one is cheaper than listing `/proc`.
const WINDOW: i32 = 256;

/// So long after a process's start all its descendants surely have numbers between its own and the newest: numbers are
/// given in a circle, and no machine starts processes and threads faster than this on the average.
fn fresh() -> Duration {
    const FASTEST_PER_SECOND: u32 = 250_000;
    Duration::from_secs(1) * procfs::highest_pid() / FASTEST_PER_SECOND
}

impl Hunt {
    pub(crate) fn new(marks: Vec<Marker>) -> Self {
        let reader = Reader::default();
        Self { marks, known: HashSet::new(), spared: HashSet::new(), leader: 0, born: None, reader }
    }

    /// For the tree of one fresh child of ours. Cheap: it looks at nothing yet.
    pub(crate) fn of_child(marks: Vec<Marker>, leader: i32) -> Self {
        let own = i32::try_from(std::process::id()).unwrap_or(i32::MAX);
        Self {
            marks,
            known: HashSet::new(),
            spared: HashSet::from([own]),
            leader,
            born: None,
            reader: Reader::default(),
        }
    }

    /// Notes the tree of `root` as it is now, and gives its processor time in ticks and its size.
    pub(crate) fn note_tree(&mut self, root: i32) -> io::Result<(u64, usize)> {
        let stats = self.reader.stats()?;
        let own = stats.iter().find(|s| s.id.pid == root);
        let members = procfs::tree(&stats, root);
        self.known.extend(members.iter().map(|s| s.id));
        let cpu = own.into_iter().chain(&members).map(|s| s.cpu).sum();
        Ok((cpu, members.len()))
    }

    /// The process that a supervisor supervises, if it has come that far: the leader of a group of its own. One that is
    /// `wrapped` has two others above it: bubblewrap, and the first process of its tree.
    pub(crate) fn supervised(&mut self, supervisor: i32, wrapped: bool) -> io::Result<Option<i32>> {
        let stats = self.reader.stats()?;
        let leads = |parent: i32| stats.iter().find(|s| s.parent == parent && s.group == s.id.pid && !s.is_dead);
        let Some(outer) = leads(supervisor) else { return Ok(None) };
        if !wrapped {
            return Ok(Some(outer.id.pid));
        }
        let firsts = stats.iter().filter(|s| s.parent == outer.id.pid && !s.is_dead);
        Ok(firsts.filter_map(|first| leads(first.id.pid)).map(|agent| agent.id.pid).next())
    }

    /// Leaves that process alone from now on, or no more.
    pub(crate) fn spare(&mut self, pid: i32, spared: bool) {
        if spared {
            self.spared.insert(pid);
        } else {
            self.spared.remove(&pid);
        }
    }

    /// Kills all living descendants of a process once.
    pub(crate) fn kill_below(&mut self, root: i32) -> io::Result<()> {
        let stats = self.reader.stats()?;
        for stat in procfs::tree(&stats, root).iter().filter(|s| !s.is_dead) {
            self.kill(stat.id);
        }
        Ok(())
    }

    /// Whether somebody still lives in that process group, or may. The dead that nobody has reaped yet do not count:
    /// their new parent may take its time.
    pub(crate) fn may_group_live(&mut self, group: Pid) -> bool {
        let lives = |s: &Stat| s.group == group.as_raw_nonzero().get() && !s.is_dead;
        test_kill_process_group(group).is_ok() && self.reader.stats().map_or(true, |stats| stats.iter().any(lives))
    }

    /// Whether nothing of the tree of a child of ours that has ended but is not reaped is left; told without a look at
    /// all processes. `false` means: not known, do [`Hunt::run`].
    pub(crate) fn is_surely_over(&mut self, age: Duration) -> bool {
        age <= fresh() && self.known.is_empty() && self.is_nobody_younger().unwrap_or(false)
    }

    /// Whether none of the processes with numbers above the leader's is of its tree, as far as few looks tell.
    fn is_nobody_younger(&mut self) -> io::Result<bool> {
        if !procfs::is_usable()? {
            return Ok(false);
        }
        let mut next = self.leader + 1;
        // A process that appears while we look gets a higher number still: go on until the end stands still.
        loop {
            let Some(newest) = self.reader.newest_pid()? else { return Ok(false) };
            if newest < next {
                return Ok(newest + 1 == next);
            }
            if newest - self.leader > WINDOW {
                return Ok(false);
            }
            for pid in next..=newest {
                let Some(environ) = self.reader.environ(pid)? else { continue };
                let (is_marked, is_bare) = (self.marks.iter().any(|m| m.is_in(environ)), environ.is_empty());
                if is_marked {
                    return Ok(false);
                }
                if is_bare
                    && let Some(stat) = self.reader.stat(pid)?
                    && self.may_be_ours(&stat)?
                {
                    return Ok(false);
                }
            }
            next = newest + 1;
        }
    }

    /// Kills until nothing is found or time is up. What could not be looked at is looked at again; nobody is taken for
    /// gone by that.
    pub(crate) fn run(&mut self, deadline: Instant) -> Hunted {
        let mut killed: HashSet<Identity> = HashSet::new();
        // Nobody stays in the middle of `exec`; what has no environment after ten looks was given none.
        let mut doubts = 10;
        loop {
            let search = self.search();
            let count = |all: usize| u32::try_from(all).unwrap_or(u32::MAX);
            if search.found.is_empty() && search.unseen.is_none() {
                if search.unsure == 0 || doubts == 0 {
                    return Hunted { killed: count(killed.len()), ..Hunted::default() };
                }
                doubts -= 1;
                clock::pause(Duration::from_millis(1));
                continue;
            }
            if clock::now() >= deadline {
                if let Some(error) = &search.unseen {
                    tracing::warn!(marks = ?self.marks, %error, "it is not known whether processes are left");
                }
                return Hunted {
                    killed: count(killed.len().saturating_sub(search.found.len())),
                    survivors: count(search.found.len() + usize::from(search.unseen.is_some())),
                    unseen: search.unseen.map(|error| error.to_string()),
                };
            }
            let ropes: Vec<OwnedFd> = search.found.iter().filter_map(|id| self.kill(*id)).collect();
            killed.extend(&search.found);
            let pause = deadline.min(clock::now() + Duration::from_millis(100));
            for rope in &ropes {
                clock::wait_until(&mut [PollFd::new(rope, PollFlags::IN)], Some(pause));
            }
            if ropes.is_empty() {
                // Descriptors and memory do not come back at once.
                clock::pause(Duration::from_millis(if search.unseen.is_some() { 20 } else { 2 }));
            }
        }
    }

    /// Looks at all processes until a listing shows no new one: a child forked behind our back is in the next.
    fn search(&mut self) -> Search {
        let mut search = Search::default();
        if let Err(error) = self.look_at_all(&mut search) {
            search.unseen.get_or_insert(error);
        }
        search
    }

    fn look_at_all(&mut self, search: &mut Search) -> io::Result<()> {
        // Until they are known nobody is found: one of them could be killed.
        if self.leader == 0 && self.spared.is_empty() {
            self.spared = ancestry(&mut self.reader)?;
        }
        let mut seen: HashSet<i32> = HashSet::new();
        for _ in 0..10 {
            let fresh: Vec<i32> = procfs::pids()?.into_iter().filter(|pid| seen.insert(*pid)).collect();
            if fresh.is_empty() {
                break;
            }
            for pid in fresh {
                // The others are found all the same.
                if let Err(error) = self.look_at(pid, search) {
                    search.unseen.get_or_insert(error);
                }
            }
        }
        Ok(())
    }

    fn look_at(&mut self, pid: i32, search: &mut Search) -> io::Result<()> {
        if self.spared.contains(&pid) {
            return Ok(());
        }
        let Some(environ) = self.reader.environ(pid)? else { return Ok(()) };
        let (is_marked, is_bare) = (self.marks.iter().any(|m| m.is_in(environ)), environ.is_empty());
        if !is_marked && !is_bare && self.known.is_empty() {
            return Ok(());
        }
        let Some(stat) = self.reader.stat(pid)?.filter(|s| !s.is_dead) else { return Ok(()) };
        if is_marked || self.known.contains(&stat.id) {
            search.found.push(stat.id);
        } else if is_bare && self.may_be_ours(&stat)? {
            search.unsure += 1;
        }
        Ok(())
    }

    /// Whether a process without an environment may be one of the tree. In the hunt for the tree of one child our other
    /// children are not: they are the main processes of other trees. In a hunt by marks alone they may be.
    fn may_be_ours(&mut self, stat: &Stat) -> io::Result<bool> {
        let is_sibling = self.leader != 0 && u32::try_from(stat.parent) == Ok(std::process::id());
        let born = match self.born {
            Some(born) => born,
            None => self.reader.stat(self.leader)?.map_or(0, |s| s.id.start),
        };
        self.born = Some(born);
        Ok(!stat.is_kernel && !stat.is_dead && !is_sibling && stat.id.start >= born)
    }

    /// Kills exactly that process, and gives a descriptor that becomes readable when it is dead.
    fn kill(&mut self, id: Identity) -> Option<OwnedFd> {
        let pid = Pid::from_raw(id.pid)?;
        let rope = match rope(pid) {
            Ok(rope) => rope,
            Err(_) => return None,
        };
        // The descriptor holds on to one process; if that number still has our process's start, it is ours. If that
        // cannot be seen, the next look finds it again.
        if self.reader.stat(id.pid).ok()??.id != id {
            return None;
        }
        match &rope {
            #[cfg(target_os = "linux")]
            Some(rope) => drop(rustix::process::pidfd_send_signal(rope, Signal::KILL)),
            _ => drop(kill_process(pid, Signal::KILL)),
        }
        rope
    }
}

/// A descriptor that holds on to a process, where the kernel has such a thing and can spare one. `Err`: it is gone.
fn rope(pid: Pid) -> Result<Option<OwnedFd>, Errno> {
    #[cfg(target_os = "linux")]
    return match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
        Ok(rope) => Ok(Some(rope)),
        Err(Errno::SRCH) => Err(Errno::SRCH),
        Err(_) => Ok(None),
    };
    #[cfg(not(target_os = "linux"))]
    return rustix::process::test_kill_process(pid).map(|()| None);
}

/// The calling process and all above it.
fn ancestry(reader: &mut Reader) -> io::Result<HashSet<i32>> {
    let mut line = HashSet::new();
    let mut pid = i32::try_from(std::process::id()).unwrap_or(0);
    while pid > 0 && line.insert(pid) {
        pid = reader.stat(pid)?.map_or(0, |s| s.parent);
    }
    Ok(line)
}
