//! The project lock: whoever holds it drives. A kernel lock on `.enki/lock`, gone with its process and never deleted.

use crate::error::CliError;
use crate::exit::Exit;
use crate::host::Host;
use enki_core::crash_point;
use enki_core::store::Holder;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

/// The right to drive a project, as long as this lives.
#[derive(Debug)]
pub(crate) struct ProjectLock {
    _file: File,
    /// Who drives. The id is that of whoever drove before: holding the kernel lock proves that they are gone, so the
    /// lease in the store need not be waited for.
    pub(crate) holder: Holder,
}

impl ProjectLock {
    /// Takes the lock. `None` with the holder if somebody else has it.
    pub(crate) fn take(enki_dir: &Path, host: &Host) -> Result<Result<Self, Option<Holder>>, CliError> {
        let path = enki_dir.join("lock");
        let cannot = |error: std::io::Error| {
            CliError::environment(format!("cannot lock {}: {error}", path.display()))
                .hint("check the folder's permissions")
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path).map_err(cannot)?;
        let mut waits = 0;
        let before = loop {
            let held = match file.try_lock() {
                Ok(()) => false,
                Err(TryLockError::WouldBlock) => true,
                Err(TryLockError::Error(error)) => return Err(cannot(error)),
            };
            let before = read(&mut file);
            if !held {
                break before;
            }
            if waits == WAITS || !before.as_ref().is_some_and(is_dead) {
                return Ok(Err(before));
            }
            waits += 1;
            wait();
        };
        let known = before.is_some();
        let holder = Holder {
            id: before.map_or_else(fresh_id, |before| before.id),
            pid: host.pid,
            host: this_machine(),
            since: host.now(),
        };
        let json = serde_json::to_string(&holder).expect("a holder is plain data");
        // Over the old one, and cut afterwards: whoever is killed in between leaves an id to go on with.
        let line = format!("{json}\n");
        file.rewind().and_then(|()| file.write_all(line.as_bytes())).map_err(cannot)?;
        crash_point!("lock.acquire");
        file.set_len(line.len() as u64).map_err(cannot)?;
        if !known {
            // The store will name this id as the holder of its lease: if a loss of power took it from here, the next
            // process would have to wait for that lease as if somebody else had it.
            file.sync_all().and_then(|()| File::open(enki_dir)?.sync_all()).map_err(cannot)?;
        }
        Ok(Ok(Self { _file: file, holder }))
    }

    /// Takes the lock, or says who has it (bad input 16).
    pub(crate) fn require(enki_dir: &Path, host: &Host) -> Result<Self, CliError> {
        Self::take(enki_dir, host)?.map_err(|holder| locked(holder.as_ref()))
    }
}

/// Who drives a project, if anybody does.
pub(crate) fn holder(enki_dir: &Path) -> Option<Holder> {
    let mut file = File::open(enki_dir.join("lock")).ok()?;
    // A shared lock that can be had proves that nobody holds the other one; it is given back at once.
    if file.try_lock_shared().is_ok() {
        return None;
    }
    read(&mut file)
}

/// What the first line says; after it there may be the end of an older, longer one.
fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(4096).read_to_string(&mut text).ok()?;
    serde_json::from_str(text.lines().next()?).ok()
}

/// Whether a holder's process is gone for certain: then its lock will be, in a moment. A child that it was just starting
/// when it was killed has all its files open until the child's own program runs.
fn is_dead(holder: &Holder) -> bool {
    let pid = i32::try_from(holder.pid).ok().and_then(rustix::process::Pid::from_raw);
    let gone = |pid| rustix::process::test_kill_process(pid) == Err(rustix::io::Errno::SRCH);
    holder.host == this_machine() && pid.is_some_and(gone)
}

fn this_machine() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[expect(clippy::disallowed_methods, reason = "the end of another process's lock cannot be waited for with a limit")]
fn wait() {
    std::thread::sleep(std::time::Duration::from_millis(50));
}

/// The error of a project that somebody else drives.
pub(crate) fn locked(holder: Option<&Holder>) -> CliError {
    let who = holder.map_or_else(
        || "another process".to_owned(),
        |h| format!("process {} on {}, since {}", h.pid, h.host, crate::render::time(h.since)),
    );
    CliError::new(Exit::Locked, format!("this project is driven by {who}"))
        .hint("`enki status` shows what it does; `enki add ID FILE` gives it more, `enki stop` ends it")
}

fn fresh_id() -> String {
    let mut bytes = [0u8; 16];
    let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    if read.is_err() {
        // Only to tell holders apart in messages; the kernel lock decides.
        bytes[..4].copy_from_slice(&std::process::id().to_be_bytes());
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 32 random hex digits, or fewer good ones where the system gives none.
pub(crate) fn random_hex() -> String {
    fresh_id()
}

/// How often a dead holder's lock is looked at again: two seconds in all.
const WAITS: u32 = 40;
