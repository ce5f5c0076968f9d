//! Exit codes: one table, part of the public interface. New codes may be added, none changes its meaning.

use std::fmt::Write as _;

/// How a command ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Exit {
    /// Done.
    Ok,
    /// A fault of Enki itself.
    Internal,
    /// Wrong arguments, configuration or plan.
    Usage,
    /// Something outside Enki, and fixable there.
    Environment,
    /// Refused, because it would discard work.
    WouldLoseWork,
    /// Somebody else drives.
    Locked,
    /// The store cannot be used.
    Store,
    /// The execution ended, and a step failed.
    Failed,
    /// It waits for a person.
    NeedsPerson,
    /// No such thing in the store.
    NotFound,
    /// Ended by SIGHUP.
    Hangup,
    /// Ended by SIGINT.
    Interrupted,
    /// The reader went away.
    PipeClosed,
    /// Ended by SIGTERM.
    Terminated,
}

impl Exit {
    /// All, in the order of their codes.
    pub const ALL: [Self; 14] = [
        Self::Ok,
        Self::Internal,
        Self::Usage,
        Self::Environment,
        Self::WouldLoseWork,
        Self::Locked,
        Self::Store,
        Self::Failed,
        Self::NeedsPerson,
        Self::NotFound,
        Self::Hangup,
        Self::Interrupted,
        Self::PipeClosed,
        Self::Terminated,
    ];

    /// The number the process ends with.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Environment => 3,
            Self::WouldLoseWork => 4,
            Self::Locked => 5,
            Self::Store => 6,
            Self::Failed => 7,
            Self::NeedsPerson => 8,
            Self::NotFound => 9,
            Self::Hangup => 129,
            Self::Interrupted => 130,
            Self::PipeClosed => 141,
            Self::Terminated => 143,
        }
    }

    /// The name in JSON errors.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::Environment => "environment",
            Self::WouldLoseWork => "would-lose-work",
            Self::Locked => "locked",
            Self::Store => "store",
            Self::Failed => "failed",
            Self::NeedsPerson => "needs-person",
            Self::NotFound => "not-found",
            Self::Hangup | Self::Interrupted | Self::Terminated => "interrupted",
            Self::PipeClosed => "pipe-closed",
        }
    }

    /// When it is used, for people.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done; also when there was nothing to do",
            Self::Internal => "a fault of Enki itself, or an error no other code names",
            Self::Usage => "wrong arguments, configuration or plan; a branch you named does not exist",
            Self::Environment => "git, agent program, disk, permissions: outside Enki, and fixable there",
            Self::WouldLoseWork => "refused, because it would discard commits or uncommitted files",
            Self::Locked => "another process drives this project, or took over, or the store stayed busy",
            Self::Store => "the store is newer than this program, damaged or replaced; it was left untouched",
            Self::Failed => "the execution ended, and a step failed or was blocked by one",
            Self::NeedsPerson => "it waits for you: checkpoint, question, landing; nothing failed",
            Self::NotFound => "no execution, step or task of that id in the store",
            Self::Hangup => "ended by SIGHUP; resumable",
            Self::Interrupted => "ended by SIGINT (Ctrl-C); resumable",
            Self::PipeClosed => "a read command whose reader went away",
            Self::Terminated => "ended by SIGTERM; resumable",
        }
    }

    /// The table that `enki help exit-codes` prints.
    #[must_use]
    pub fn table() -> String {
        let mut out = String::from("code  name             when\n");
        for exit in Self::ALL {
            let _ = writeln!(out, "{:>4}  {:<15}  {}", exit.code(), exit.name(), exit.meaning());
        }
        out.push_str("\nIf several apply, the first of 6, 5, 4, 3, 7, 8 is used.\n");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_the_public_one() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 129, 130, 141, 143]);
    }
}
