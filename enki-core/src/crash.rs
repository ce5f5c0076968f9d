//! Crash points: named places at which a test kills the process, as a power cut or `kill -9` would at that instant.
//!
//! [`crash_point!`](crate::crash_point) marks one. It is no code at all unless the feature `crash-points` is on, which
//! only tests turn on; its name is looked up when it is compiled, so one that is not in [`POINTS`] does not compile.
//!
//! With the feature, a process whose environment has `ENKI_CRASH_LOG` appends the name of each point it passes to that
//! file, a line each; one that has `ENKI_CRASH_AT=<name>` or `<name>:<n>` kills itself when it passes that point for
//! the n-th time.

/// Marks a place at which a test may kill the process. Its name is one of [`POINTS`](crate::crash::POINTS).
#[cfg(feature = "crash-points")]
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {{
        const POINT: usize = $crate::crash::index($name);
        $crate::crash::hit(POINT);
    }};
}

/// Marks a place at which a test may kill the process. Its name is one of [`POINTS`](crate::crash::POINTS).
#[cfg(not(feature = "crash-points"))]
#[macro_export]
macro_rules! crash_point {
    ($name:literal) => {
        const _: usize = $crate::crash::index($name);
    };
}

#[cfg(feature = "crash-points")]
pub use runtime::hit;

/// A crash point.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Point {
    /// Its name: the group, and where in it.
    pub name: &'static str,
    /// What is promised of a crash there; of one that does not exist, why.
    pub about: &'static str,
}

const fn point(name: &'static str, about: &'static str) -> Point {
    Point { name, about }
}

/// All crash points.
///
/// # Contract
///
/// A crash at any of them, also once more in the run that takes it up, loses no commit that an agent's attempt left,
/// puts no change on the target twice, and the next run goes on.
pub const POINTS: &[Point] = &[
    point("merge.1.before", "the batch was not formed; its changes still wait in the queue"),
    point("merge.1.after", "the batch is the intent; nothing was done for it, it goes on with the import"),
    point("merge.2.before", "the import is done again"),
    point("merge.2.after", "the import is done again and finds its ref"),
    point("merge.3.before", "the candidate is built"),
    point("merge.3.after", "the candidate is built again and is the same commit"),
    point("merge.4.before", "the check runs"),
    point("merge.4.after", "its answer is lost: the check runs again"),
    point("merge.5.before", "the check runs again; nothing moved"),
    point("merge.6.after", "the fence is passed: the candidate is published without another check"),
    point("merge.7.before", "the anchor is made, then the target moves"),
    point("merge.7.after", "the anchor is there already, which is success"),
    point("merge.8.before", "the target moves once"),
    point("merge.8.after", "the target has moved: that is seen, and it does not move again"),
    point("merge.9.before", "the target has moved, the store does not know: it is recorded once"),
    point("merge.9.after", "recorded: nothing is left to do for this batch"),
    point("merge.10.before", "landed and nothing cleaned up: the next run does it"),
    point("merge.10.after", "cleaned up: nothing is left to do"),
    point("git.fetch", "objects came in without a ref: they come in again"),
    point("git.fsck", "objects were read out, not taken in: again from the start"),
    point("git.commit-tree", "a commit without a ref: the same commit is made again"),
    point("git.checkout", "files are written, nobody uses them yet: they are made right by difference"),
    point("gate.start", "the check's command runs on without us: it is ended, then the check runs again"),
    point("gate.end", "its answer is lost: the check runs again"),
    point("git.ref-prepared", "the ref has its old value"),
    point("git.ref-renamed", "the ref has its new value"),
    point("git.sync", "the ref's folder is durable"),
    point("workspace.create.before", "an attempt is recorded without a workspace: it is not charged, another follows"),
    point("workspace.create.after", "a workspace nobody worked in"),
    point("workspace.populate.before", "a workspace without files"),
    point("workspace.populate.after", "a workspace with files that is not handed out yet"),
    point("workspace.spawn", "the agent runs on without us: it is ended, what it left is kept"),
    point("workspace.commit", "the captured commit has no ref yet: it is captured again"),
    point("workspace.collect", "the captured commit has its ref, the store does not know it: it is kept"),
    point(
        "workspace.delete",
        "a workspace of landed work is out of the way and not deleted: it goes with the temporary files",
    ),
    point("pool.hand-out", "a prepared workspace has lost its git directory to a task: both are made anew"),
    point("pool.give-back", "a workspace of landed work is half in the pool: nobody is handed it like that"),
    point("lock.acquire", "the project's lock is free again, and its lease can be taken at once"),
    point("lock.epoch", "an epoch that nobody used"),
    point("lock.release", "the lease was not given back: whoever gets the lock takes it over"),
    point("migration.begin", "the store is the older one"),
    point("migration.statement", "the store is the older one"),
    point("migration.commit", "the store is the newer one, with a backup of the older"),
    point("recovery.start", "recovery begins again"),
    point("recovery.row", "recovery begins again"),
    point("recovery.end", "recovery begins again"),
    point("notice.send", "a watcher was not told of what is recorded: it reads it from the store"),
    point("checkpoint.reach", "it is held, and stays held until a person answers"),
    point("checkpoint.resume", "the answer was not recorded: it is still held"),
    point("verdict.record", "the verdict is lost: the review runs again"),
    point("verdict.apply", "the verdict counts: what follows from it starts"),
];

/// Places of the protocol at which no crash can be told from one at another place, or which have no code yet.
pub const ABSENT: &[Point] = &[
    point("merge.5.after", "Verified and Committing are one append: nothing lies between"),
    point("merge.6.before", "Verified and Committing are one append: nothing lies between"),
    point("notice.ack", "notices are not acknowledged: watchers read the store, which has all of them"),
];

/// Where a point is in [`POINTS`]. Panics when it is in none, which stops the build.
#[must_use]
pub const fn index(name: &str) -> usize {
    let mut at = 0;
    while at < POINTS.len() {
        if same(POINTS[at].name.as_bytes(), name.as_bytes()) {
            return at;
        }
        at += 1;
    }
    panic!("this crash point is not registered: add it to POINTS")
}

const fn same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

#[cfg(feature = "crash-points")]
mod runtime {
    use super::POINTS;
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::path::PathBuf;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static HITS: [AtomicU32; POINTS.len()] = [const { AtomicU32::new(0) }; POINTS.len()];
    static ORDERS: LazyLock<Orders> = LazyLock::new(Orders::read);

    struct Orders {
        log: Option<PathBuf>,
        /// Which point, and at which hit of it.
        at: Option<(String, u32)>,
    }

    impl Orders {
        #[expect(clippy::disallowed_methods, reason = "orders of a test, which reach the process in no other way")]
        fn read() -> Self {
            let at = std::env::var("ENKI_CRASH_AT").ok().map(|at| match at.split_once(':') {
                Some((name, n)) => (name.to_owned(), n.parse().expect("a number of hits follows the colon")),
                None => (at, 1),
            });
            Self { log: std::env::var_os("ENKI_CRASH_LOG").map(PathBuf::from), at }
        }
    }

    /// Passes the point at that place of [`POINTS`].
    pub fn hit(point: usize) {
        let name = POINTS[point].name;
        let hit = HITS[point].fetch_add(1, Ordering::Relaxed) + 1;
        if let Some(log) = &ORDERS.log {
            let line = format!("{name}\n");
            let file = OpenOptions::new().create(true).append(true).open(log);
            file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the log of crash points can be written");
        }
        if ORDERS.at.as_ref().is_some_and(|(at, n)| at == name && *n == hit) {
            // Nothing is unwound or flushed, and no other thread goes on.
            let killed = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            unreachable!("a process that kills itself is gone: {killed:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_has_one_place_in_the_table() {
        for (at, point) in POINTS.iter().enumerate() {
            assert_eq!(index(point.name), at, "{} is there twice", point.name);
            assert!(ABSENT.iter().all(|absent| absent.name != point.name), "{} exists", point.name);
        }
        let pool = POINTS.iter().filter(|point| point.name.starts_with("pool.")).count();
        assert_eq!(POINTS.len() + ABSENT.len(), 52 + pool, "the points of the protocol, and those of what came later");
    }
}
