//! Reads `/proc`: who lives, whose child it is, what marks it carries. Linux only; elsewhere nothing is ever found.
//!
//! Two answers are known: what is there, and that it is gone or not for us. Whatever else keeps us from looking is an
//! error: without descriptors or memory all would seem to be gone.

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::OnceLock;

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    /// Clock ticks from boot to its start.
    pub(crate) start: u64,
}

/// What `/proc/<pid>/stat` says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Stat {
    pub(crate) id: Identity,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) session: i32,
    pub(crate) is_dead: bool,
    pub(crate) is_kernel: bool,
    /// Processor time of itself and the children it has reaped, in clock ticks.
    pub(crate) cpu: u64,
}

/// Reads many small files with one buffer.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    buffer: Vec<u8>,
}

/// An environment is at most as long as the kernel allows arguments to be, 6 MiB; more is not one.
const LONGEST: usize = 8 << 20;

impl Reader {
    /// The whole file, or `None` if it or its process is gone or not for us.
    fn read(&mut self, path: &str) -> io::Result<Option<&[u8]>> {
        let no_answer = |errno| match errno {
            Errno::NOENT | Errno::SRCH | Errno::ACCESS | Errno::PERM => Ok(None),
            other => Err(unread(path, other.into())),
        };
        let file = match rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => file,
            Err(errno) => return no_answer(errno),
        };
        let mut used = 0;
        loop {
            if self.buffer.len() < used + 4096 {
                self.buffer.resize((self.buffer.len() * 2).max(16 << 10), 0);
            }
            match rustix::io::read(&file, &mut self.buffer[used..]) {
                Ok(0) => return Ok(Some(&self.buffer[..used])),
                Ok(n) if used + n < LONGEST => used += n,
                Ok(_) => return Ok(None),
                Err(Errno::INTR) => {}
                Err(errno) => return no_answer(errno),
            }
        }
    }

    /// The environment a process was started with: empty for a kernel thread, a zombie, one in the middle of `exec`, and
    /// one that was given none.
    pub(crate) fn environ(&mut self, pid: i32) -> io::Result<Option<&[u8]>> {
        self.read(&format!("/proc/{pid}/environ"))
    }

    pub(crate) fn stat(&mut self, pid: i32) -> io::Result<Option<Stat>> {
        let path = format!("/proc/{pid}/stat");
        let Some(text) = self.read(&path)? else { return Ok(None) };
        let stat = parse_stat(text).ok_or_else(|| unread(&path, io::ErrorKind::InvalidData.into()))?;
        Ok(Some(stat))
    }

    /// The number the newest process or thread got, if that is told.
    pub(crate) fn newest_pid(&mut self) -> io::Result<Option<i32>> {
        let text = self.read("/proc/loadavg")?.and_then(|text| std::str::from_utf8(text).ok());
        Ok(text.and_then(|text| text.split_ascii_whitespace().nth(4)?.parse().ok()))
    }

    /// All processes, in ascending order of their numbers.
    pub(crate) fn stats(&mut self) -> io::Result<Vec<Stat>> {
        pids()?.into_iter().filter_map(|pid| self.stat(pid).transpose()).collect()
    }
}

/// All process numbers, ascending.
pub(crate) fn pids() -> io::Result<Vec<i32>> {
    if !is_usable()? {
        return Ok(Vec::new());
    }
    let failed = |error| unread("/proc", error);
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc").map_err(failed)? {
        pids.extend(entry.map_err(failed)?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    pids.sort_unstable();
    Ok(pids)
}

/// One more than the highest process number there can be.
pub(crate) fn highest_pid() -> u32 {
    static HIGHEST: OnceLock<u32> = OnceLock::new();
    *HIGHEST.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/kernel/pid_max").ok();
        text.and_then(|t| t.trim().parse().ok()).unwrap_or(32768)
    })
}

/// Whether `/proc` is there and shows our own namespace of processes. Once that is known it is remembered.
pub(crate) fn is_usable() -> io::Result<bool> {
    static USABLE: OnceLock<bool> = OnceLock::new();
    if let Some(known) = USABLE.get() {
        return Ok(*known);
    }
    let usable = match rustix::fs::readlink("/proc/self", Vec::new()) {
        Ok(own) => own.to_str().ok().and_then(|own| own.parse().ok()) == Some(std::process::id()),
        // There is none, or one of another kind.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::INVAL | Errno::ACCESS | Errno::PERM) => false,
        Err(errno) => return Err(unread("/proc/self", errno.into())),
    };
    Ok(*USABLE.get_or_init(|| usable))
}

fn unread(path: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("reading {path} failed: {error}"))
}

/// Everything below `root` in the tree of parents, and all of its session and process group; without `root` itself.
pub(crate) fn tree(stats: &[Stat], root: i32) -> Vec<Stat> {
    let mut children: HashMap<i32, Vec<usize>> = HashMap::new();
    for (index, stat) in stats.iter().enumerate() {
        children.entry(stat.parent).or_default().push(index);
    }
    let of_group = |s: &Stat| s.id.pid != root && (s.group == root || s.session == root);
    let mut found: HashSet<usize> = HashSet::new();
    let mut open: Vec<usize> = (0..stats.len()).filter(|i| of_group(&stats[*i])).collect();
    open.extend(children.get(&root).into_iter().flatten());
    while let Some(index) = open.pop() {
        if stats[index].id.pid != root && found.insert(index) {
            open.extend(children.get(&stats[index].id.pid).into_iter().flatten());
        }
    }
    let mut members: Vec<Stat> = found.into_iter().map(|i| stats[i]).collect();
    members.sort_unstable_by_key(|s| s.id.pid);
    members
}

fn parse_stat(text: &[u8]) -> Option<Stat> {
    // The name may hold anything, even ") ": only the last parenthesis ends it.
    let open = text.iter().position(|b| *b == b'(')?;
    let close = text.iter().rposition(|b| *b == b')')?;
    let pid = std::str::from_utf8(text.get(..open)?).ok()?.trim().parse().ok()?;
    let fields: Vec<&str> = std::str::from_utf8(text.get(close + 1..)?).ok()?.split_ascii_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|f| f.parse::<i64>().ok());
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<u64>().ok());
    const KERNEL_THREAD: u64 = 0x0020_0000;
    Some(Stat {
        id: Identity { pid, start: ticks(19)? },
        parent: i32::try_from(number(1)?).ok()?,
        group: i32::try_from(number(2)?).ok()?,
        session: i32::try_from(number(3)?).ok()?,
        is_dead: matches!(*fields.first()?, "Z" | "X" | "x"),
        is_kernel: ticks(6)? & KERNEL_THREAD != 0,
        cpu: ticks(11)? + ticks(12)? + ticks(13)? + ticks(14)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_forge_fields() {
        let text = b"42 (a) R 1 1) S 7 42 40 0 -1 4194560 1 0 0 0 5 6 7 8 20 0 1 0 12345 0 0\n";
        let stat = parse_stat(text).unwrap();
        assert_eq!((stat.id, stat.parent, stat.group, stat.session), (Identity { pid: 42, start: 12345 }, 7, 42, 40));
        assert_eq!((stat.cpu, stat.is_dead, stat.is_kernel), (26, false, false));
        for bad in [&b""[..], b"42", b"42 (x", b"42 (x)", b"x (x) S 1"] {
            assert_eq!(parse_stat(bad), None);
        }
    }

    #[test]
    fn a_tree_has_descendants_session_and_group() {
        let stat = |pid, parent, group, session| Stat {
            id: Identity { pid, start: 1 },
            parent,
            group,
            session,
            is_dead: false,
            is_kernel: false,
            cpu: 0,
        };
        let stats = [
            stat(1, 0, 1, 1),
            stat(10, 1, 10, 10),  // root
            stat(11, 10, 10, 10), // child
            stat(12, 11, 12, 12), // grandchild in a session of its own
            stat(13, 1, 10, 10),  // orphan in the group
            stat(14, 13, 14, 14), // its child
            stat(20, 1, 20, 20),
        ];
        assert_eq!(tree(&stats, 10).iter().map(|s| s.id.pid).collect::<Vec<_>>(), [11, 12, 13, 14]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn our_own_process_is_readable() {
        let mut reader = Reader::default();
        let pid = i32::try_from(std::process::id()).unwrap();
        let stat = reader.stat(pid).unwrap().unwrap();
        assert_eq!(stat.id.pid, pid);
        assert!(!stat.is_dead && !stat.is_kernel);
        assert!(reader.environ(pid).unwrap().is_some());
        assert!(reader.newest_pid().unwrap().unwrap() > 0);
        assert!(pids().unwrap().contains(&pid));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_cannot_be_read_is_not_taken_for_gone() {
        let mut reader = Reader::default();
        assert_eq!(reader.stat(i32::MAX).unwrap(), None);
        assert_eq!(reader.environ(i32::MAX).unwrap(), None);
        // One that opens and cannot be read, since nothing is at address 0; and one that does not open.
        for path in ["/proc/self/mem", &format!("/proc/{}", "x".repeat(5000))] {
            let error = reader.read(path).unwrap_err().to_string();
            assert!(error.starts_with(&format!("reading {path} failed: ")), "{error}");
        }
    }
}
