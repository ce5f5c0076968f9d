//! Names of chains.

use crate::id::{EffectId, TaskId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The name of a chain in directives, `wrfc_<12 hex>`: the `number`-th of its step, from 0.
#[must_use]
pub fn wid(task: TaskId, number: u32) -> String {
    let hash = EffectId::of("chain", &[task.hex().as_bytes(), &number.to_be_bytes()]).hex();
    format!("wrfc_{}", &hash[hash.len() - 12..])
}

/// The name of a chain as a coordinator gives it: `wrfc_` and 1 to 100 letters, digits, `-` or `_`. Enki's own
/// `wrfc_<12 hex>` are such, and the foreign forms `wrfc_<agent>` and `wrfc_auto_<ms>_<agent8>_<rand4>`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Wid(Box<str>);

/// A text that names no chain.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no name of a chain: write wrfc_ and 1 to 100 letters, digits, - or _ after it")]
pub struct InvalidWid(String);

impl Wid {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Wid {
    type Err = InvalidWid;

    fn from_str(text: &str) -> Result<Self, InvalidWid> {
        let tail = text.strip_prefix("wrfc_").unwrap_or_default();
        let fits = (1..=100).contains(&tail.len())
            && tail.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        if fits { Ok(Self(text.into())) } else { Err(InvalidWid(text.chars().take(120).collect())) }
    }
}

impl TryFrom<String> for Wid {
    type Error = InvalidWid;

    fn try_from(text: String) -> Result<Self, InvalidWid> {
        text.parse()
    }
}

impl From<Wid> for String {
    fn from(wid: Wid) -> Self {
        wid.0.into()
    }
}

impl fmt::Display for Wid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_and_foreign_names_are_read_and_nothing_else() {
        for good in ["wrfc_0a1b2c3d4e5f", "wrfc_agent-7", "wrfc_auto_1700000000000_ab12cd34_x9Zz"] {
            assert_eq!(good.parse::<Wid>().unwrap().to_string(), good);
        }
        let long = format!("wrfc_{}", "a".repeat(101));
        for bad in ["", "wrfc_", "WRFC_a", "a", "wrfc_a/b", "wrfc_a b", "wrfc_ü", "wrfc_a\n", long.as_str()] {
            assert!(bad.parse::<Wid>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn each_chain_of_a_step_has_a_name_of_its_own_that_can_be_read() {
        let task = |step: &str| TaskId::of(crate::id::ExecutionId::new(1), &step.parse().unwrap());
        let names = [wid(task("a"), 0), wid(task("a"), 1), wid(task("b"), 0)];
        assert_eq!(std::collections::BTreeSet::from(names.clone()).len(), 3);
        for name in names {
            assert_eq!(name.len(), "wrfc_".len() + 12);
            assert_eq!(name.parse::<Wid>().unwrap().as_str(), name);
        }
    }
}
