//! How a child ended.

use std::fmt;
use std::time::Duration;

/// A child's end. Its process tree is gone when you see this, unless [`Ended::survivors`] says otherwise.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Ended {
    /// Why it ended.
    pub cause: Cause,
    /// How its main process ended.
    pub status: Status,
    /// The last bytes of stdout.
    pub stdout_tail: Vec<u8>,
    /// The last bytes of stderr.
    pub stderr_tail: Vec<u8>,
    /// All bytes it put out.
    pub output_bytes: u64,
    /// Bytes that the log does not have because of its limits.
    pub cut_bytes: u64,
    /// Why the log is not complete, if writing it failed.
    pub log_failure: Option<String>,
    /// What it handed over by the file of [`Spawn::collect`](crate::Spawn::collect), if it wrote one.
    pub collected: Option<Vec<u8>>,
    /// Processes of its tree that outlived the main process and were killed.
    pub strays: u32,
    /// Processes of its tree that could not be killed in time: 0 but for processes stuck in the kernel, and one more if
    /// it could not be seen whether any is left.
    pub survivors: u32,
    /// By what its tree was held together. Anything but the first is a degraded way, to be recorded.
    pub containment: Containment,
    /// From start to end.
    pub elapsed: Duration,
}

/// Why a child ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Cause {
    /// By itself.
    Exited,
    /// Its caller stopped it, or went away.
    Stopped,
    /// The wall-clock limit.
    TimedOut,
    /// No sign of life for too long.
    Idle,
    /// It put out too much.
    OutputLimit,
}

/// By what a child's process tree is held together, best first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Containment {
    /// A supervisor that adopts all orphans, and with which the child dies. Nothing escapes, and nothing outlives the
    /// orchestrator.
    Supervisor,
    /// The mark in the environment of each process. A process that clears its environment, leaves its session and loses
    /// its parent before it was ever seen escapes; and after the orchestrator was killed all live until its next start.
    Marks,
    /// The process group: there is no `/proc`. Whatever leaves the group escapes.
    Group,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Status {
    /// With that exit code.
    Code(i32),
    /// By that signal.
    Signal(i32),
    /// Not known: it could not be killed in time.
    Unknown,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Unknown => f.write_str("unknown status"),
        }
    }
}
