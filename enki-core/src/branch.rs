//! Branches as targets of a merge queue.

use crate::id::{ExecutionId, InvalidId, Parsed};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

/// A branch by its short name, `main` or `feature/x`. Parsed, so that it can never be taken for an option or leave
/// `refs/heads/` (bad inputs 5 and 70).
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Branch(Box<str>);

impl Branch {
    /// The integration branch of an execution, `enki/exec-<12 hex>`. Nobody checks it out.
    #[must_use]
    pub fn integration(execution: ExecutionId) -> Self {
        Self(format!("enki/{execution}").into())
    }

    /// The short name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The full name, `refs/heads/<name>`.
    #[must_use]
    pub fn full_ref(&self) -> String {
        format!("refs/heads/{}", self.0)
    }
}

impl FromStr for Branch {
    type Err = InvalidId;
    /// Accepts the short or the full name, by the rules of `git check-ref-format --branch` and at most 200 bytes.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let name = text.strip_prefix("refs/heads/").unwrap_or(text);
        let bad_char = |c: char| c.is_control() || c == '\u{7f}' || " ~^:?*[\\".contains(c);
        let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
        let ok = !name.is_empty()
            && name.len() <= 200
            && !name.starts_with('-')
            && name != "@"
            && name != "HEAD"
            && !name.starts_with("refs/")
            && !name.ends_with('.')
            && !name.contains("..")
            && !name.contains("@{")
            && !name.contains(bad_char)
            && !name.split('/').any(bad_part);
        if ok {
            Ok(Self(name.into()))
        } else {
            Err(InvalidId {
                text: text.chars().take(80).collect(),
                kind: "a branch name",
                expected: "a name as in `git branch <name>`, at most 200 bytes, without a leading -",
            })
        }
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Branch({})", self.0)
    }
}

impl<'de> Deserialize<'de> for Branch {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(Parsed(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_git_would_take_for_something_else_are_refused() {
        for bad in [
            "",
            "-x",
            "--upload-pack=sh",
            "a..b",
            "a b",
            "a~1",
            "@",
            "HEAD",
            "a/.b",
            "a.lock",
            "a//b",
            "a/",
            "x@{1}",
            "refs/tags/v1",
            "a\nb",
            &"a".repeat(201),
        ] {
            assert!(bad.parse::<Branch>().is_err(), "{bad:?}");
        }
        assert_eq!("refs/heads/main".parse::<Branch>().unwrap().as_str(), "main");
        assert_eq!("feature/x".parse::<Branch>().unwrap().full_ref(), "refs/heads/feature/x");
    }
}
