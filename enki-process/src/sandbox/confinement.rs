//! The sandbox of a project's agents: what they have in common, and what each gets for itself.

use super::{Sandbox, SandboxLevel};
use enki_core::id::EffectId;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What a project's agents may reach, and where each gets a folder of its own for temporary files.
#[derive(Clone, Debug)]
pub struct Confinement {
    sandbox: Sandbox,
    private: PathBuf,
    edits: bool,
}

impl Confinement {
    /// What all of them may reach, and an absolute path below which their own folders are made.
    #[must_use]
    pub fn new(sandbox: Sandbox, private: impl Into<PathBuf>) -> Self {
        Self { sandbox, private: private.into(), edits: true }
    }

    /// The same for agents that only read where they work.
    #[must_use]
    pub fn reads_only(self) -> Self {
        Self { edits: false, ..self }
    }

    /// The same with something more that may be reached.
    #[must_use]
    pub fn with(self, more: impl FnOnce(Sandbox) -> Sandbox) -> Self {
        Self { sandbox: more(self.sandbox), ..self }
    }

    /// What all of them may reach.
    pub const fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// The sandbox of one agent that works in that folder, with a fresh folder of its own; what an earlier run of the same
    /// effect left there goes.
    ///
    /// # Errors
    ///
    /// If the folder cannot be made.
    pub fn hold(&self, id: EffectId, workspace: &Path) -> io::Result<Held> {
        if self.sandbox.level() == SandboxLevel::Open {
            return Ok(Held { sandbox: self.sandbox.clone(), private: None });
        }
        // Short: sockets are often made in it, whose paths may have about a hundred characters.
        let folder = self.private.join(&id.hex()[..12]);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let sandbox = self.sandbox.clone().tmp(&folder);
        let sandbox = if self.edits { sandbox.writable([workspace]) } else { sandbox.readable([workspace]) };
        Ok(Held { sandbox, private: Some(Private(folder)) })
    }
}

/// The sandbox of one agent. With this value its folder for temporary files goes, so keep it until the agent has ended.
#[derive(Debug)]
pub struct Held {
    sandbox: Sandbox,
    private: Option<Private>,
}

impl Held {
    /// What it may reach.
    pub const fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// A file in its folder for temporary files: as the agent sees it, and as this process does.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<(PathBuf, PathBuf)> {
        let private = self.private.as_ref()?;
        Some((self.sandbox.tmp_inside()?.join(name), private.0.join(name)))
    }
}

#[derive(Debug)]
struct Private(PathBuf);

impl Drop for Private {
    fn drop(&mut self) {
        // What stays goes with the next start of the orchestrator.
        drop(fs::remove_dir_all(&self.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_agent_has_a_folder_of_its_own_as_long_as_it_lives() {
        let dir = tempfile::tempdir().unwrap();
        let all = Confinement::new(Sandbox::new(SandboxLevel::Rules, None), dir.path().join("private"));
        let id = EffectId::of("a", &[]);
        let held = all.hold(id, Path::new("/work")).unwrap();
        let (inside, outside) = held.file("x").unwrap();
        assert_eq!(inside, outside);
        fs::write(&outside, "x").unwrap();
        assert_eq!(held.sandbox().writable, [PathBuf::from("/work")]);
        let again = all.hold(id, Path::new("/work")).unwrap();
        assert!(!outside.exists(), "a run begins with an empty one");
        drop((held, again));
        assert!(!outside.parent().unwrap().exists());
        let reader = all.reads_only().hold(id, Path::new("/work")).unwrap();
        assert_eq!((&reader.sandbox().writable[..], &reader.sandbox().readable[..]), (&[][..], &["/work".into()][..]));
    }
}
