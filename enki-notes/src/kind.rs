//! The kinds of notes, and the words for how far they are.

use std::fmt;

/// What a note is. Each kind has a folder of its name.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// Something that could be done.
    Idea,
    /// Something that is wrong.
    Issue,
    /// Something that was seen.
    Observation,
    /// Work that is described, so that an agent can do it.
    Task,
    /// What became of a task.
    Result,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Idea, Self::Issue, Self::Observation, Self::Task, Self::Result];

    /// Those that are not yet work.
    pub const CAPTURES: [Self; 3] = [Self::Idea, Self::Issue, Self::Observation];

    /// Its name, which is also its folder's.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idea => "idea",
            Self::Issue => "issue",
            Self::Observation => "observation",
            Self::Task => "task",
            Self::Result => "result",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether it is an observation that is not yet work.
    #[must_use]
    pub const fn is_capture(self) -> bool {
        matches!(self, Self::Idea | Self::Issue | Self::Observation)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How far a capture is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CaptureStatus {
    /// Nothing was made of it.
    Open,
    /// There is a task of it.
    Promoted,
    /// It is done.
    Resolved,
    /// It was dropped.
    Cancelled,
}

impl CaptureStatus {
    /// The word that Enki writes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Promoted => "promoted",
            Self::Resolved => "resolved",
            Self::Cancelled => "cancelled",
        }
    }

    /// What a word means, also one of older files and other tools. None for a word of a person's own.
    #[must_use]
    pub fn read(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "open" => Self::Open,
            "promoted" => Self::Promoted,
            "resolved" | "done" | "completed" | "complete" | "partial" => Self::Resolved,
            "cancelled" | "canceled" | "abandoned" | "aborted" => Self::Cancelled,
            _ => return None,
        })
    }
}

/// How far a task is, as its note says. While it runs, the store knows better.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TaskStatus {
    /// It is described, and nothing was started.
    Scheduled,
    /// It is submitted, and waits for its start.
    Pending,
    /// An agent is at it.
    Running,
    /// It is done.
    Done,
    /// It failed.
    Failed,
    /// It was given up. Set by a person before the start, it is not started.
    Cancelled,
}

impl TaskStatus {
    /// The word that Enki writes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// What a word means, also one of older files and other tools. None for a word of a person's own.
    #[must_use]
    pub fn read(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "scheduled" | "open" => Self::Scheduled,
            "pending" | "queued" | "waiting" | "ready" => Self::Pending,
            "running" => Self::Running,
            "done" | "resolved" | "completed" | "complete" | "partial" => Self::Done,
            "failed" | "timeout" | "escalated" => Self::Failed,
            "cancelled" | "canceled" | "abandoned" | "aborted" => Self::Cancelled,
            _ => return None,
        })
    }
}

/// How a run of a task ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ResultStatus {
    /// It succeeded.
    Done,
    /// It failed.
    Failed,
    /// It took too long.
    Timeout,
    /// It was given up.
    Cancelled,
}

impl ResultStatus {
    /// The word that Enki writes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_others_mean_one_of_ours() {
        use CaptureStatus as C;
        use TaskStatus as T;
        for status in [C::Open, C::Promoted, C::Resolved, C::Cancelled] {
            assert_eq!(C::read(status.as_str()), Some(status));
        }
        for status in [T::Scheduled, T::Pending, T::Running, T::Done, T::Failed, T::Cancelled] {
            assert_eq!(T::read(status.as_str()), Some(status));
        }
        for (word, capture, task) in [
            ("open", Some(C::Open), Some(T::Scheduled)),
            ("queued", None, Some(T::Pending)),
            ("waiting", None, Some(T::Pending)),
            ("ready", None, Some(T::Pending)),
            ("partial", Some(C::Resolved), Some(T::Done)),
            ("resolved", Some(C::Resolved), Some(T::Done)),
            ("COMPLETE", Some(C::Resolved), Some(T::Done)),
            ("abandoned", Some(C::Cancelled), Some(T::Cancelled)),
            ("aborted", Some(C::Cancelled), Some(T::Cancelled)),
            ("timeout", None, Some(T::Failed)),
            ("escalated", None, Some(T::Failed)),
            ("someday", None, None),
        ] {
            assert_eq!((C::read(word), T::read(word)), (capture, task), "{word}");
        }
    }
}
