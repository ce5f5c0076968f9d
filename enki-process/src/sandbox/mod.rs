//! What a child may reach: a [`Sandbox`] says it, the supervisor's second stage enforces it on itself and then becomes the
//! child.
//!
//! | level | by |
//! |---|---|
//! | 0 | nothing: the child may do what this user may |
//! | 1 | Landlock for paths, signals and abstract sockets; a filter of system calls; no new privileges |
//! | 2 | level 1 within bubblewrap: a file tree of its own, its own processes, and no network if none is wanted |
//!
//! There is no code between `fork` and `exec`: the program that supervises is started anew for each stage.

#[cfg(all(target_os = "linux", feature = "sandbox"))]
pub(crate) mod bubblewrap;
#[cfg(all(target_os = "linux", feature = "sandbox"))]
mod calls;
mod confinement;
#[cfg(all(target_os = "linux", feature = "sandbox"))]
mod cover;
#[cfg(all(target_os = "linux", feature = "sandbox"))]
mod paths;
mod places;
#[cfg(all(target_os = "linux", feature = "sandbox"))]
mod privileges;
mod probe;

pub use confinement::{Confinement, Held};
pub use places::{Places, reach_of};
pub use probe::Probe;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// How much a child is held back.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum SandboxLevel {
    /// Not at all: what it does is found out afterwards.
    #[default]
    Open,
    /// By rules of the kernel that need nothing installed.
    Rules,
    /// By these rules in a file tree of its own.
    Tree,
}

impl SandboxLevel {
    /// All of them, weakest first.
    pub const ALL: [Self; 3] = [Self::Open, Self::Rules, Self::Tree];

    /// 0, 1 or 2.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Rules => 1,
            Self::Tree => 2,
        }
    }

    /// The level of that number.
    #[must_use]
    pub fn of(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|level| u64::from(level.number()) == number)
    }
}

impl fmt::Display for SandboxLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number().fmt(f)
    }
}

/// What one child may reach. What is not named it can neither read nor write.
///
/// Where one path is below another, the longer one counts: a hidden folder in a readable one is hidden, and a writable
/// one in that is writable. A path that is not there when the child starts is left out.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[must_use]
pub struct Sandbox {
    pub(crate) level: SandboxLevel,
    pub(crate) readable: Vec<PathBuf>,
    pub(crate) writable: Vec<PathBuf>,
    pub(crate) hidden: Vec<PathBuf>,
    /// Empty folders of the child's own tree, so that a place is there without what is in it.
    pub(crate) hollow: Vec<PathBuf>,
    pub(crate) tmp: Option<PathBuf>,
    pub(crate) bubblewrap: Option<PathBuf>,
    pub(crate) network: Network,
}

/// Whether a child may use the network.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Network {
    /// It may.
    #[default]
    Shared,
    /// It has none but loopback, where that can be had: on level 2.
    Loopback,
}

impl Sandbox {
    /// Of that level, with nothing that may be reached. Level 2 needs the absolute path of bubblewrap.
    pub fn new(level: SandboxLevel, bubblewrap: Option<PathBuf>) -> Self {
        Self { level, bubblewrap, ..Self::default() }
    }

    /// Its level.
    #[must_use]
    pub const fn level(&self) -> SandboxLevel {
        self.level
    }

    /// Adds what may be read and executed.
    pub fn readable(mut self, paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.readable.extend(paths.into_iter().map(Into::into));
        self
    }

    /// Adds what may be read, executed and changed.
    pub fn writable(mut self, paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.writable.extend(paths.into_iter().map(Into::into));
        self
    }

    /// Adds what is not to be reached although it is below what may be.
    pub fn hidden(mut self, paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.hidden.extend(paths.into_iter().map(Into::into));
        self
    }

    /// No longer hides these.
    pub fn shown(mut self, paths: &[PathBuf]) -> Self {
        self.hidden.retain(|hidden| !paths.contains(hidden));
        self
    }

    /// Adds folders that a child with a tree of its own finds empty.
    pub fn hollow(mut self, paths: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.hollow.extend(paths.into_iter().map(Into::into));
        self
    }

    /// Its own folder for temporary files: writable, and `/tmp` itself where it has a tree of its own.
    pub fn tmp(mut self, path: impl Into<PathBuf>) -> Self {
        self.tmp = Some(path.into());
        self
    }

    /// Whether it may use the network.
    pub fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// The folder for temporary files as the child sees it.
    pub(crate) fn tmp_inside(&self) -> Option<PathBuf> {
        match self.level {
            SandboxLevel::Open => None,
            SandboxLevel::Rules => self.tmp.clone(),
            SandboxLevel::Tree => self.tmp.as_ref().map(|_| PathBuf::from("/tmp")),
        }
    }

    /// For the command line of a stage: a letter, and what it says.
    pub(crate) fn to_args(&self) -> Vec<OsString> {
        let one = |letter: &str, text: &OsStr| {
            let mut arg = OsString::from(letter);
            arg.push(text);
            arg
        };
        let mut all = vec![one("l", OsStr::new(&self.level.to_string()))];
        let lists = [("r", &self.readable), ("w", &self.writable), ("h", &self.hidden), ("o", &self.hollow)];
        for (letter, list) in lists {
            all.extend(list.iter().map(|path| one(letter, path.as_os_str())));
        }
        all.extend(self.tmp.iter().map(|path| one("t", path.as_os_str())));
        all.extend(self.bubblewrap.iter().map(|path| one("b", path.as_os_str())));
        if self.network == Network::Loopback {
            all.push("n".into());
        }
        all
    }

    pub(crate) fn parse(args: &[OsString]) -> Option<Self> {
        let mut sandbox = Self::default();
        for arg in args {
            let (letter, text) = arg.as_bytes().split_first()?;
            let path = || PathBuf::from(OsString::from_vec(text.to_vec()));
            match letter {
                b'l' => sandbox.level = SandboxLevel::of(str::from_utf8(text).ok()?.parse().ok()?)?,
                b'r' => sandbox.readable.push(path()),
                b'w' => sandbox.writable.push(path()),
                b'h' => sandbox.hidden.push(path()),
                b'o' => sandbox.hollow.push(path()),
                b't' => sandbox.tmp = Some(path()),
                b'b' => sandbox.bubblewrap = Some(path()),
                b'n' => sandbox.network = Network::Loopback,
                _ => return None,
            }
        }
        Some(sandbox)
    }

    /// Puts the calling process, which has one thread, under its rules for ever.
    ///
    /// # Errors
    ///
    /// What could not be had: then the child must not run.
    #[cfg(target_os = "linux")]
    pub(crate) fn enter(&self) -> Result<(), String> {
        if self.level == SandboxLevel::Open {
            return Ok(());
        }
        #[cfg(feature = "sandbox")]
        return {
            privileges::give_up()?;
            paths::restrict(self)?;
            calls::forbid()
        };
        #[cfg(not(feature = "sandbox"))]
        return Err("this program was built without the sandbox".into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sandbox_survives_the_command_line() {
        let sandbox = Sandbox::new(SandboxLevel::Tree, Some("/usr/bin/bwrap".into()))
            .readable(["/usr", "/with space"])
            .writable(["/work"])
            .hidden([PathBuf::from(OsString::from_vec(b"/not\xff text".to_vec()))])
            .hollow(["/project"])
            .tmp("/private/tmp")
            .network(Network::Loopback);
        assert_eq!(Sandbox::parse(&sandbox.to_args()), Some(sandbox));
        assert_eq!(Sandbox::parse(&Sandbox::default().to_args()), Some(Sandbox::default()));
        for bad in ["", "l3", "lx", "z/usr"] {
            assert_eq!(Sandbox::parse(&[bad.into()]), None, "{bad:?}");
        }
    }
}
