//! Which level this machine gives: found out by a child that tries what is forbidden.

use super::{Places, Sandbox, SandboxLevel};
use crate::ended::{Cause, Status};
use crate::env::BaseEnv;
use crate::limits::ChildLimits;
use crate::spawn::Spawn;
use enki_core::id::EffectId;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What was found out about the levels of this machine.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Probe {
    /// The best one that holds.
    pub level: SandboxLevel,
    /// Why better ones do not, best first.
    pub missing: Vec<(SandboxLevel, String)>,
    /// Where bubblewrap is, if that is what holds it.
    pub bubblewrap: Option<PathBuf>,
}

/// Where bubblewrap is looked for. Not in `PATH`: what is found is trusted with everything.
const BUBBLEWRAP: &[&str] =
    &["/usr/bin/bwrap", "/usr/local/bin/bwrap", "/bin/bwrap", "/run/current-system/sw/bin/bwrap"];

/// Longer than any machine takes.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What the child does: what it may, and then what it may not, twice.
const TRIES: &str = r#"echo written >"$1/mark"; echo written >"$2/mark"; cat "$2/secret"; echo end"#;
const SECRET: &str = "a secret that is not to be read";

impl Probe {
    /// Tries the levels from `most` on down, with `supervisor` as [`Spawn::supervisor`] takes it. What is tried out is
    /// made below `scratch` and removed again. Blocks for some ten milliseconds.
    ///
    /// A level counts only if a child under it could write where it may, could neither write nor read where it may not,
    /// and came to its end. An agent is held by the same code.
    ///
    /// # Errors
    ///
    /// If nothing can be made below `scratch`.
    pub fn of(supervisor: Option<&Path>, most: SandboxLevel, scratch: &Path) -> io::Result<Self> {
        let mut probe = Self::default();
        if most == SandboxLevel::Open {
            return Ok(probe);
        }
        let Some(supervisor) = supervisor.filter(|_| cfg!(all(target_os = "linux", feature = "sandbox"))) else {
            let why =
                if cfg!(not(target_os = "linux")) { "only Linux has it" } else { "this program has no sandbox in it" };
            probe.missing = SandboxLevel::ALL
                .into_iter()
                .rev()
                .filter(|level| *level != SandboxLevel::Open && *level <= most)
                .map(|level| (level, why.to_owned()))
                .collect();
            return Ok(probe);
        };
        for level in SandboxLevel::ALL.into_iter().rev().filter(|level| *level <= most) {
            let bubblewrap = BUBBLEWRAP.iter().map(PathBuf::from).find(|path| path.is_file());
            let bubblewrap = bubblewrap.filter(|_| level == SandboxLevel::Tree);
            let tried = match level {
                SandboxLevel::Open => Ok(()),
                SandboxLevel::Tree if bubblewrap.is_none() => Err("bubblewrap is not installed".to_owned()),
                SandboxLevel::Rules | SandboxLevel::Tree => attempt(supervisor, level, bubblewrap.clone(), scratch)?,
            };
            match tried {
                Ok(()) => {
                    (probe.level, probe.bubblewrap) = (level, bubblewrap);
                    break;
                }
                Err(why) => probe.missing.push((level, why)),
            }
        }
        Ok(probe)
    }
}

/// One child under one level. The inner error says what did not hold.
fn attempt(
    supervisor: &Path,
    level: SandboxLevel,
    bubblewrap: Option<PathBuf>,
    scratch: &Path,
) -> io::Result<Result<(), String>> {
    let bed = Bed::new(scratch)?;
    let (open, closed) = (bed.0.join("open"), bed.0.join("closed"));
    let sandbox = Sandbox::new(level, bubblewrap)
        .readable(Places::of(&BTreeMap::new()).readable)
        .writable([&open])
        // The same way that the project's own folders are hidden: within what is open.
        .readable([&bed.0])
        .hidden([&closed]);
    let path = (OsString::from("PATH"), OsString::from("/usr/local/bin:/usr/bin:/bin"));
    let spawn = Spawn::new("/bin/sh", EffectId::of("sandbox probe", &[bed.0.as_os_str().as_encoded_bytes()]))
        .args(["-c", TRIES, "sh"])
        .args([&open, &closed])
        .directory(&open)
        .base_env(BaseEnv::from_vars([path]))
        .timeout(TIMEOUT)
        .supervisor(supervisor, ChildLimits::default())
        .sandbox(sandbox);
    // A thread of its own: the caller may be in a runtime, which cannot wait for another.
    let ended = std::thread::scope(|scope| {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().build()?;
            runtime.block_on(async { Ok::<_, io::Error>(spawn.start().await.map_err(io::Error::other)?.wait().await) })
        };
        scope.spawn(run).join().unwrap_or_else(|_| Err(io::Error::other("the thread that tries it came to an end")))
    });
    let ended = match ended {
        Ok(ended) => ended,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let said = String::from_utf8_lossy(&ended.stdout_tail).into_owned();
    let complaint = || crate::text::clean_line(&ended.stderr_tail, 300);
    Ok(if (ended.cause, ended.status) != (Cause::Exited, Status::Code(0)) || !said.ends_with("end\n") {
        Err(format!("a child under it did not run: {}, {}", ended.status, complaint()))
    } else if !open.join("mark").exists() {
        Err(format!("a child under it cannot write where it may: {}", complaint()))
    } else if closed.join("mark").exists() {
        Err("a child under it could write where it may not".to_owned())
    } else if said.contains(SECRET) {
        Err("a child under it could read what it may not".to_owned())
    } else {
        Ok(())
    })
}

/// A folder of a name that nobody can guess, gone with this value.
struct Bed(PathBuf);

impl Bed {
    fn new(scratch: &Path) -> io::Result<Self> {
        let mut bits = [0; 8];
        fs::File::open("/dev/urandom")?.read_exact(&mut bits)?;
        let folder = scratch.canonicalize()?.join(format!("probe-{:016x}", u64::from_ne_bytes(bits)));
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let bed = Self(folder);
        for part in ["open", "closed"] {
            fs::DirBuilder::new().mode(0o700).create(bed.0.join(part))?;
        }
        fs::write(bed.0.join("closed/secret"), SECRET)?;
        Ok(bed)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // What stays is empty but for our own words.
        drop(fs::remove_dir_all(&self.0));
    }
}
