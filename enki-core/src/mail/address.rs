//! Who writes to whom.

use crate::id::{InvalidId, Parsed, TaskId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

/// Who may write and read: `coordinator`, or `worker/task-<12 hex>`. That text is part of stored format 1.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Address {
    /// Whoever coordinates the project.
    Coordinator,
    /// Whoever works on that task, over all its attempts.
    Worker(TaskId),
}

/// Whom a message is for: an address, or `@workers`. That text is part of stored format 1.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum To {
    /// One.
    One(Address),
    /// All workers, also those that begin later, as long as it lasts.
    Workers,
}

/// Number of a message in its project, from 1: `msg-7`.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageNo(pub u64);

impl To {
    /// Whether it reaches that address.
    #[must_use]
    pub fn includes(self, who: Address) -> bool {
        match self {
            Self::One(to) => to == who,
            Self::Workers => matches!(who, Address::Worker(_)),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator => f.write_str("coordinator"),
            Self::Worker(task) => write!(f, "worker/{task}"),
        }
    }
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(to) => to.fmt(f),
            Self::Workers => f.write_str("@workers"),
        }
    }
}

impl fmt::Display for MessageNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "msg-{}", self.0)
    }
}

impl FromStr for Address {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match (text, text.strip_prefix("worker/").map(str::parse)) {
            ("coordinator", _) => Ok(Self::Coordinator),
            (_, Some(Ok(task))) => Ok(Self::Worker(task)),
            _ => Err(InvalidId::new(text, "an address of mail", "coordinator, or worker/ and a task id")),
        }
    }
}

impl FromStr for To {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text {
            "@workers" => Ok(Self::Workers),
            text => text.parse().map(Self::One),
        }
    }
}

impl FromStr for MessageNo {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let digits = text.strip_prefix("msg-").filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        let number = digits.and_then(|digits| digits.parse().ok()).filter(|no| *no > 0);
        number.map(Self).ok_or_else(|| InvalidId::new(text, "the id of a message", "msg- and its number"))
    }
}

impl Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(Parsed(PhantomData))
    }
}

impl Serialize for To {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for To {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(Parsed(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_of_two_forms_and_nothing_else() {
        for text in ["coordinator", "worker/task-0f3a91c2d4e5", "@workers"] {
            assert_eq!(text.parse::<To>().unwrap().to_string(), text);
        }
        for text in ["", "Coordinator", "worker/", "worker/task-0f3a", "worker/task-0f3a91c2d4e5/..", "@all", "a\nb"] {
            let error = text.parse::<To>().unwrap_err().to_string();
            assert!(error.contains("coordinator, or worker/"), "{error}");
        }
        assert!("@workers".parse::<Address>().is_err(), "all workers are nobody who writes");
        for text in ["msg-0", "msg-", "msg-+1", "7", "msg-99999999999999999999"] {
            assert!(text.parse::<MessageNo>().is_err(), "{text}");
        }
        assert_eq!("msg-7".parse::<MessageNo>().unwrap(), MessageNo(7));
    }
}
