//! What agents may do in a project, reach of it, and be suspected of.

use super::GitProject;
use crate::error::GitError;
use enki_core::branch::Branch;
use enki_process::{ChildLimits, Sandbox};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

/// What agents may not do in a project, by the word of the person.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Policy {
    /// Files that no change may touch, because the check runs them; paths from the top of the project.
    pub protected: Vec<String>,
    /// Files that a change may touch although a rule forbids it, by the word of the person; a path, or a folder with a
    /// slash at its end.
    pub allowed: Vec<String>,
    /// What a change of HEAD, refs or index beside an attempt means.
    pub drift: DriftRule,
    /// The branch beside the work that Enki adds to meanwhile, if there is one.
    pub side: Option<Branch>,
}

/// What it means for an attempt that HEAD, branches, tags or the index of the person's repository changed beside it.
/// Configuration, hooks and the like always fail it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DriftRule {
    /// The person may have done it: they are told. What can only have been the agent fails the attempt.
    #[default]
    Note,
    /// It fails the attempt.
    Fail,
}

/// How checks, set-ups and tear-downs are held back: the program that supervises them, and what they may reach beside the
/// files they work on. Set-ups and tear-downs always have the network.
#[derive(Clone, Debug)]
pub struct Confined {
    /// See [`enki_process::Spawn::supervisor`].
    pub supervisor: PathBuf,
    /// What they may use at most.
    pub limits: ChildLimits,
    /// See [`enki_process::Spawn::sandbox`].
    pub sandbox: Sandbox,
}

/// What a sandbox has to know of a project.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Reach {
    /// Folders of objects that workspaces and checks read.
    pub lent: Vec<PathBuf>,
    /// The person's files, their git directories, and with them what Enki keeps.
    pub kept: Vec<PathBuf>,
}

/// What tells of things outside of the repository.
#[derive(Clone, Default)]
pub(super) struct Outside(Option<Arc<Look>>);

type Look = dyn Fn() -> Result<BTreeMap<String, String>, (PathBuf, io::Error)> + Send + Sync;

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Outside").field(&self.0.is_some()).finish()
    }
}

impl GitProject {
    /// Says what agents may not do here, from now on and for every clone of this value.
    pub fn set_policy(&self, policy: Policy) {
        *self.inner.policy.write().unwrap_or_else(PoisonError::into_inner) = policy;
    }

    /// Says what checks, set-ups and tear-downs may reach, from now on and for every clone of this value. `None`, as at first: everything.
    pub fn confine_commands(&self, confined: Option<Confined>) {
        *self.inner.confined.write().unwrap_or_else(PoisonError::into_inner) = confined;
    }

    /// Has attempts fail that change what makes programs run outside of the repository, from now on and for every clone of this
    /// value: `look` tells each of it by a name for people, with a digest. It may block. An error is what it cannot look at now, and why:
    /// then nothing begins and nothing ends, until another look.
    pub fn watch_outside(
        &self,
        look: impl Fn() -> Result<BTreeMap<String, String>, (PathBuf, io::Error)> + Send + Sync + 'static,
    ) {
        *self.inner.outside.write().unwrap_or_else(PoisonError::into_inner) = Outside(Some(Arc::new(look)));
    }

    pub(crate) fn outside(&self) -> Result<BTreeMap<String, String>, GitError> {
        let Outside(look) = self.inner.outside.read().unwrap_or_else(PoisonError::into_inner).clone();
        let unseen = |(path, source): (PathBuf, _)| GitError::io("look at", &path, source);
        look.map_or_else(|| Ok(BTreeMap::new()), |look| look().map_err(unseen))
    }

    pub(crate) fn confined(&self) -> Option<Confined> {
        self.inner.confined.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What of the project agents and checks are lent, and what is to be kept from them.
    #[must_use]
    pub fn reach(&self) -> Reach {
        let own = [self.common_dir().join("objects"), self.enki_dir().join("refinery.git/objects")];
        let mut lent: Vec<PathBuf> = Vec::new();
        let mut next: Vec<PathBuf> = own.into();
        // What those borrow in turn; a repository that borrows from itself ends it too.
        while let Some(objects) = next.pop().filter(|_| lent.len() < 50) {
            let text = fs::read(objects.join("info/alternates")).unwrap_or_default();
            let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty() && line[0] != b'#');
            next.extend(lines.map(|line| objects.join(OsStr::from_bytes(line))));
            lent.push(objects);
        }
        Reach { lent, kept: vec![self.root().to_owned(), self.common_dir().to_owned(), self.git_dir().to_owned()] }
    }

    pub(crate) fn policy(&self) -> Policy {
        self.inner.policy.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
