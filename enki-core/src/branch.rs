//! Branches as targets of a merge queue.

use crate::id::{ExecutionId, InvalidId, Parsed};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

/// A branch by its short name, `main` or `feature/x`, or a branch of a remote as `origin:main`, which no local branch
/// can be called because of the colon. Parsed, so that it can never be taken for an option or leave its place below
/// `refs/` (bad inputs 5 and 70).
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

    /// The name of the remote and that of the branch there; `None` for a local branch.
    #[must_use]
    pub fn remote(&self) -> Option<(&str, &str)> {
        self.0.split_once(':')
    }

    /// The full name of the local ref: `refs/heads/<name>`, or `refs/enki/remote/<remote>/<name>` for what is known of
    /// a branch of a remote.
    #[must_use]
    pub fn full_ref(&self) -> String {
        match self.remote() {
            None => format!("refs/heads/{}", self.0),
            Some((remote, name)) => format!("refs/enki/remote/{remote}/{name}"),
        }
    }
}

impl FromStr for Branch {
    type Err = InvalidId;
    /// Accepts the short or the full name, by the rules of `git check-ref-format --branch` and at most 200 bytes, and
    /// `<remote>:<name>` with a remote of letters, digits, `.`, `_` and `-`.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (remote, name) = match text.split_once(':') {
            Some((remote, name)) => (Some(remote), name),
            None => (None, text),
        };
        let name = name.strip_prefix("refs/heads/").unwrap_or(name);
        let good = remote.is_none_or(is_remote_name) && is_branch_name(name);
        let whole = remote.map_or_else(|| name.to_owned(), |remote| format!("{remote}:{name}"));
        if good && whole.len() <= 200 {
            Ok(Self(whole.into()))
        } else {
            Err(InvalidId {
                text: text.chars().take(80).collect(),
                kind: "a branch name",
                expected: "a name as in `git branch <name>`, at most 200 bytes, without a leading -",
            })
        }
    }
}

fn is_branch_name(name: &str) -> bool {
    let bad_char = |c: char| c.is_control() || c == '\u{7f}' || " ~^:?*[\\".contains(c);
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    !name.starts_with('-')
        && name != "@"
        && name != "HEAD"
        && !name.starts_with("refs/")
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
        && !name.contains(bad_char)
        && !name.split('/').any(bad_part)
}

/// Stricter than git, which takes a slash too: a part of a ref, and never an option or an address.
fn is_remote_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        && is_branch_name(name)
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

    #[test]
    fn a_branch_of_a_remote_has_a_local_ref_of_its_own() {
        let branch: Branch = "origin:feature/x".parse().unwrap();
        assert_eq!((branch.as_str(), branch.remote()), ("origin:feature/x", Some(("origin", "feature/x"))));
        assert_eq!(branch.full_ref(), "refs/enki/remote/origin/feature/x");
        assert_eq!("up-2.x:refs/heads/main".parse::<Branch>().unwrap().as_str(), "up-2.x:main");
        assert_eq!("main".parse::<Branch>().unwrap().remote(), None);
        let long = format!("{}:{}", "r".repeat(100), "b".repeat(100));
        for bad in [
            ":main",
            "origin:",
            "a:b:c",
            "-o:main",
            "ext::sh -c x",
            "git@host:main",
            "https://host/x:main",
            "../x:main",
            "x.lock:main",
            "o..p:main",
            "origin:-x",
            "origin:a..b",
            &long,
        ] {
            assert!(bad.parse::<Branch>().is_err(), "{bad:?}");
        }
    }
}
