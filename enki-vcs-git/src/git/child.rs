//! A child whose pipes are served by the thread that waits for it: no threads of its own, and one wait for all that
//! can happen.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

/// How long the rest of what was written is waited for when the child has ended. A grandchild that holds the pipe is
/// not waited for.
const LATE: Duration = Duration::from_secs(5);
/// How often the end of a child is asked for where it cannot be waited for.
const ASKED: Duration = Duration::from_millis(10);

/// What a child wrote, up to a limit.
#[derive(Debug)]
pub(crate) struct Written {
    pipe: Option<File>,
    cap: usize,
    pub(crate) bytes: Vec<u8>,
    /// Whether there was more.
    pub(crate) cut: bool,
}

/// A child with its pipes.
#[derive(Debug)]
pub(crate) struct Served {
    child: Child,
    /// Can be read from when the child has ended, where the system has such a thing.
    end: Option<OwnedFd>,
    feed: Option<(File, Vec<u8>, usize)>,
    written: [Written; 2],
    ended: Option<(ExitStatus, Instant)>,
}

impl Served {
    /// Takes the pipes of a child: `feed` goes to its standard input, and of its output and its errors so many bytes
    /// are kept.
    pub(crate) fn new(mut child: Child, feed: Option<Vec<u8>>, caps: [usize; 2]) -> io::Result<Self> {
        let input = child.stdin.take().map(|pipe| File::from(OwnedFd::from(pipe)));
        let pipes = [child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from)];
        let [out, err] = pipes.map(|pipe| pipe.map(File::from));
        for pipe in [&input, &out, &err].into_iter().flatten() {
            fcntl_setfl(pipe, fcntl_getfl(pipe)? | OFlags::NONBLOCK)?;
        }
        let written = |pipe, cap| Written { pipe, cap, bytes: Vec::new(), cut: false };
        let feed = input.zip(feed).map(|(pipe, bytes)| (pipe, bytes, 0));
        let written = [written(out, caps[0]), written(err, caps[1])];
        Ok(Self { end: end_of(&child), child, feed, written, ended: None })
    }

    /// Serves it until it has ended and all that it wrote is here, or for that long. `None`: it lives.
    #[expect(clippy::disallowed_methods, reason = "a limit on the time that a child may take")]
    pub(crate) fn serve(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let begin = Instant::now();
        loop {
            let (since, limit) = self.ended.map_or((begin, limit), |(_, since)| (since, LATE));
            let left = limit.saturating_sub(since.elapsed());
            let silent = self.written.iter().all(|written| written.pipe.is_none());
            match self.ended {
                Some((status, _)) if silent || left.is_zero() => return Ok(Some(status)),
                None if left.is_zero() => return Ok(None),
                _ => {}
            }
            if self.turn(left)?
                && let Some(status) = self.child.try_wait()?
            {
                // Nobody reads from it any more.
                self.feed = None;
                self.ended = Some((status, Instant::now()));
            }
        }
    }

    /// What it wrote to its output and to its errors.
    pub(crate) fn into_written(self) -> [Written; 2] {
        self.written
    }

    /// Waits until something can be done, and does it. Says whether the child may have ended.
    fn turn(&mut self, limit: Duration) -> io::Result<bool> {
        let lives = self.ended.is_none();
        let end = self.end.as_ref().filter(|_| lives);
        let ask = lives && end.is_none();
        let mut fds: Vec<PollFd<'_>> = end.into_iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        fds.extend(self.written.iter().filter_map(|w| Some(PollFd::new(w.pipe.as_ref()?, PollFlags::IN))));
        fds.extend(self.feed.iter().map(|(pipe, ..)| PollFd::new(pipe, PollFlags::OUT)));
        let limit = if ask { limit.min(ASKED) } else { limit };
        let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
        match poll(&mut fds, Some(&limit)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let may_have_ended = ask || (end.is_some() && !fds[0].revents().is_empty());
        drop(fds);
        self.written.iter_mut().for_each(Written::read);
        self.give();
        Ok(may_have_ended)
    }

    fn give(&mut self) {
        let Some((mut pipe, bytes, done)) = self.feed.take() else { return };
        let done = match pipe.write(&bytes[done..]) {
            Ok(n) => done + n,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => done,
            // A child that ends early closed the pipe; its exit status says why.
            Err(_) => return,
        };
        if done < bytes.len() {
            self.feed = Some((pipe, bytes, done));
        }
    }
}

impl Written {
    /// Takes what is there.
    fn read(&mut self) {
        let Some(mut pipe) = self.pipe.take() else { return };
        let mut buffer = [0; 16 << 10];
        loop {
            match pipe.read(&mut buffer) {
                Ok(0) => return,
                Ok(n) => {
                    let room = self.cap.saturating_sub(self.bytes.len()).min(n);
                    self.bytes.extend_from_slice(&buffer[..room]);
                    self.cut |= room < n;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    self.pipe = Some(pipe);
                    return;
                }
                Err(_) => return,
            }
        }
    }
}

#[cfg(target_os = "linux")]
fn end_of(child: &Child) -> Option<OwnedFd> {
    use rustix::process::{Pid, PidfdFlags, pidfd_open};
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn end_of(_: &Child) -> Option<OwnedFd> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[expect(clippy::disallowed_methods, reason = "children to be served")]
    fn sh(script: &str, feed: Option<Vec<u8>>, cap: usize) -> Served {
        let mut cmd = Command::new("/bin/sh");
        cmd.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Served::new(cmd.spawn().unwrap(), feed, [cap, cap]).unwrap()
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn what_goes_in_and_what_comes_out_do_not_wait_for_each_other() {
        // More than pipes hold, in all three directions.
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
        let mut served = sh("tee /dev/stderr", Some(bytes.clone()), usize::MAX);
        assert!(served.serve(LONG).unwrap().unwrap().success());
        let [out, err] = served.into_written();
        assert!(out.bytes == bytes && err.bytes == bytes && !out.cut);
    }

    #[test]
    fn a_child_that_does_not_read_is_no_fault_and_what_is_too_much_is_cut() {
        let mut served = sh("echo 12345; echo 6789 >&2; exit 3", Some(vec![0; 1 << 20]), 4);
        assert_eq!(served.serve(LONG).unwrap().unwrap().code(), Some(3));
        let [out, err] = served.into_written();
        assert_eq!((&out.bytes[..], out.cut), (&b"1234"[..], true));
        assert_eq!((&err.bytes[..], err.cut), (&b"6789"[..], true));
    }

    #[test]
    fn a_child_that_closed_its_pipes_is_waited_for_and_one_that_lives_is_not() {
        let mut served = sh("exec >&- 2>&-; sleep 0.2; exit 7", None, 10);
        assert_eq!(served.serve(LONG).unwrap().unwrap().code(), Some(7));
        let mut served = sh("echo on; exec sleep 100", None, 10);
        assert_eq!(served.serve(Duration::from_millis(200)).unwrap(), None);
        served.child.kill().unwrap();
        assert!(!served.serve(LONG).unwrap().unwrap().success());
        assert_eq!(served.into_written()[0].bytes, b"on\n");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "how long it waits is what is tested")]
    fn a_grandchild_that_holds_the_pipe_is_not_waited_for() {
        let begin = Instant::now();
        let mut served = sh("sleep 100 & echo $!", None, 100);
        assert!(served.serve(LONG).unwrap().unwrap().success());
        assert!(begin.elapsed() < Duration::from_secs(50));
        let pid = String::from_utf8(served.into_written()[0].bytes.clone()).unwrap();
        sh(&format!("kill {pid}"), None, 100).serve(LONG).unwrap();
    }
}
