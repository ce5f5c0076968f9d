//! The thread that keeps one child: feeds and reads it, watches the time, stops it, and buries its whole tree.
//!
//! A thread of its own, and not a task: all it does blocks (files, `/proc`, `waitid`), and it must go on when the
//! caller's runtime stops in the middle of a kill. It installs no signal handler.

use crate::child::Child;
use crate::cleaner::Cleaner;
use crate::clock;
use crate::ended::{Cause, Containment, Ended, Status};
use crate::feed::{Channel, Feed, Stream};
use crate::files;
use crate::hunt::Hunt;
use crate::log::CappedLog;
use crate::pool;
use crate::procfs;
use crate::sandbox::SandboxLevel;
use crate::sieve::Sieve;
use crate::spawn::{Polite, Spawn, SpawnError, SpawnFailure};
use crate::text::{Latest, Lines, Tail};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, PipeReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// After the kill everything is gone within this time, or will not go.
const BURIAL: Duration = Duration::from_secs(5);

/// How long a caller may take no event before the oldest are dropped.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often an exit is looked for where the kernel cannot tell it.
const TICK: Duration = Duration::from_millis(20);

const CHUNK: usize = 64 << 10;

/// What a stream may still hold when its writers are dead: a pipe, at its largest.
const DRAIN: usize = 4 << 20;

pub(crate) async fn start(spawn: Spawn) -> Result<Child, SpawnError> {
    let program = spawn.program.to_string_lossy().into_owned();
    let (answer, started) = oneshot::channel();
    match pool::run(Box::new(move || keep(&spawn, answer))) {
        Ok(()) => started.await.unwrap_or_else(|_| {
            let source = io::Error::other("the thread that starts it came to an end");
            Err(SpawnError { program, reason: SpawnFailure::Other { source } })
        }),
        Err(source) => Err(SpawnError { program, reason: SpawnFailure::Exhausted { source } }),
    }
}

fn keep(spawn: &Spawn, answer: oneshot::Sender<Result<Child, SpawnError>>) {
    match Keeper::launch(spawn) {
        Ok(keeper) => {
            let pid = keeper.child.id();
            let child = Child { channel: Arc::clone(&keeper.channel), pid, ended: false };
            // If nobody waits any more, the child is dropped here, and with that abandoned.
            drop(answer.send(Ok(child)));
            keeper.run();
        }
        Err(error) => drop(answer.send(Err(error))),
    }
}

struct Keeper<'a> {
    spawn: &'a Spawn,
    child: std::process::Child,
    pid: Pid,
    /// Becomes readable when the child ends.
    rope: Option<OwnedFd>,
    stdin: Option<ChildStdin>,
    written: usize,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    wake: PipeReader,
    channel: Arc<Channel>,
    log: Option<CappedLog>,
    sieve: Option<Sieve>,
    /// Of stdout and stderr, each with a line of its own.
    cleaners: (Option<Cleaner>, Option<Cleaner>),
    collect: Option<files::Handover>,
    tails: (Tail, Tail),
    lines: Lines,
    latest: Latest,
    show_at: Option<Instant>,
    output: u64,
    buffer: Vec<u8>,
    hunt: Hunt,
    started: Instant,
    pulse: Pulse,
    stopping: Option<Stopping>,
    strays: u32,
    /// Since when the channel is full and how many events were taken then.
    full: Option<(Instant, u64)>,
    /// How many events the caller had taken when patience with it ended.
    given_up_at: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Stopping {
    cause: Cause,
    force_at: Instant,
    /// Whether it was asked politely; the agent of a supervisor may not be there yet.
    asked: bool,
    forced: bool,
    /// When a supervisor that does not end has had its time.
    supervisor_until: Option<Instant>,
}

/// When the child last showed life.
#[derive(Clone, Copy, Debug)]
struct Pulse {
    last: Instant,
    look: Option<Look>,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    at: Instant,
    cpu: u64,
    size: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Source {
    Wake,
    Exit,
    Stdin,
    Stdout,
    Stderr,
}

impl<'a> Keeper<'a> {
    fn launch(spawn: &'a Spawn) -> Result<Self, SpawnError> {
        if spawn.sandbox.level() != SandboxLevel::Open && spawn.supervisor.is_none() {
            return Err(spawn.refused(SpawnFailure::Unsupervised));
        }
        let environment = spawn.environment()?;
        let program = spawn.program_path()?;
        let refuse = |path: &Path, source: io::Error| match source.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => spawn.error(source),
            _ => spawn.refused(SpawnFailure::Log { path: path.to_owned(), source }),
        };
        let log = match &spawn.log {
            None => None,
            Some(path) => Some(files::create_log(path).map_err(|e| refuse(path, e))?),
        };
        let collect = match &spawn.collect {
            None => None,
            Some((path, limit)) => Some(files::Handover::prepare(path, *limit).map_err(|e| refuse(path, e))?),
        };
        let (wake, waker) = io::pipe().map_err(|e| spawn.error(e))?;
        let mut child = command(spawn, &program, &environment).spawn().map_err(|e| spawn.error(e))?;
        let started = clock::now();
        let pid = Pid::from_child(&child);
        for fd in [
            child.stdin.as_ref().map(AsFd::as_fd),
            child.stdout.as_ref().map(AsFd::as_fd),
            child.stderr.as_ref().map(AsFd::as_fd),
        ] {
            // Ours alone: the other end of a pipe has flags of its own.
            fd.map(|fd| rustix::fs::fcntl_setfl(fd, OFlags::NONBLOCK))
                .transpose()
                .expect("an open pipe takes its flags");
        }
        Ok(Self {
            spawn,
            pid,
            rope: exit_rope(pid),
            stdin: child.stdin.take(),
            written: 0,
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            child,
            wake,
            channel: Channel::new(waker, spawn.feed_capacity),
            log: log.map(|file| CappedLog::new(file, spawn.log_limits)),
            cleaners: (spawn.redactor.clone().map(Cleaner::new), spawn.redactor.clone().map(Cleaner::new)),
            sieve: spawn.log_whole.map(|(piece, wholes)| Sieve::new(piece, wholes)),
            collect,
            tails: (Tail::new(spawn.stdout_tail), Tail::new(spawn.stderr_tail)),
            lines: Lines::new(match spawn.feed {
                Feed::Lines { longest } => longest,
                _ => 0,
            }),
            latest: Latest::default(),
            show_at: None,
            output: 0,
            buffer: vec![0; CHUNK],
            hunt: Hunt::of_child(vec![spawn.run.clone()], pid.as_raw_nonzero().get()),
            started,
            pulse: Pulse { last: started, look: None },
            stopping: None,
            strays: 0,
            full: None,
            given_up_at: None,
        })
    }

    fn run(mut self) {
        loop {
            let wishes = self.channel.wishes();
            let now = clock::now();
            if wishes.dropped {
                self.stop(Cause::Stopped, Duration::ZERO, now);
            } else if let Some(grace) = wishes.stop {
                self.stop(Cause::Stopped, grace, now);
            }
            self.mind_the_caller(wishes.full, wishes.taken, now);
            self.mind_the_time(now);
            if self.stopping.is_some_and(|s| s.forced && now >= s.force_at + BURIAL) {
                return self.give_up();
            }
            let ready = self.wait(self.next_deadline(now));
            if ready.contains(&Source::Wake) {
                // At most one byte is ever in it.
                let _ = (&self.wake).read(&mut [0]);
            }
            if ready.contains(&Source::Stdin) {
                self.write_stdin();
            }
            for (source, stream) in [(Source::Stdout, Stream::Stdout), (Source::Stderr, Stream::Stderr)] {
                if ready.contains(&source) {
                    self.read(stream);
                }
            }
            if ready.contains(&Source::Exit) || (self.rope.is_none() && self.has_exited()) {
                return self.bury();
            }
        }
    }

    /// Waits until something is to be done, and says what.
    fn wait(&self, deadline: Option<Instant>) -> Vec<Source> {
        let reading = self.full.is_none();
        let wanted = [
            (Source::Wake, Some(self.wake.as_fd()), PollFlags::IN),
            (Source::Exit, self.rope.as_ref().map(AsFd::as_fd), PollFlags::IN),
            (Source::Stdin, self.stdin.as_ref().map(AsFd::as_fd), PollFlags::OUT),
            (Source::Stdout, self.stdout.as_ref().map(AsFd::as_fd).filter(|_| reading), PollFlags::IN),
            (Source::Stderr, self.stderr.as_ref().map(AsFd::as_fd).filter(|_| reading), PollFlags::IN),
        ];
        let (sources, mut fds): (Vec<Source>, Vec<PollFd<'_>>) = wanted
            .into_iter()
            .filter_map(|(source, fd, events)| Some((source, PollFd::from_borrowed_fd(fd?, events))))
            .unzip();
        clock::wait_until(&mut fds, deadline);
        sources.into_iter().zip(fds).filter(|(_, fd)| !fd.revents().is_empty()).map(|(source, _)| source).collect()
    }

    fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let limits = match self.stopping {
            Some(stopping) if stopping.forced => [Some(stopping.force_at + BURIAL), stopping.supervisor_until],
            Some(stopping) => [Some(stopping.force_at), (!stopping.asked).then(|| now + TICK)],
            None => [self.spawn.timeout.and_then(|t| self.started.checked_add(t)), self.next_look()],
        };
        let tick = self.rope.is_none().then(|| now + TICK);
        let patience = self.full.map(|(since, _)| since + PATIENCE);
        limits.into_iter().flatten().chain(tick).chain(patience).chain(self.show_at).min()
    }

    fn mind_the_time(&mut self, now: Instant) {
        if let Some(stopping) = self.stopping {
            if !stopping.forced && now >= stopping.force_at {
                self.kill(stopping);
            } else if !stopping.asked {
                self.ask();
            } else if stopping.supervisor_until.is_some_and(|at| now >= at) {
                self.kill_supervisor(stopping);
            }
        } else if self.spawn.timeout.is_some_and(|t| now - self.started >= t) {
            self.stop(Cause::TimedOut, self.spawn.grace, now);
        } else if self.next_look().is_some_and(|at| now >= at) && self.is_idle(now) {
            self.stop(Cause::Idle, self.spawn.grace, now);
        }
        if self.show_at.is_some_and(|at| now >= at) {
            self.show(now);
        }
    }

    /// While the caller takes events, the child has to wait for room. A caller that takes none for a while loses the
    /// oldest, from then on at once, until it takes one.
    fn mind_the_caller(&mut self, is_full: bool, taken: u64, now: Instant) {
        if !is_full {
            self.full = None;
        } else if self.given_up_at == Some(taken) {
            self.channel.make_room();
        } else {
            match self.full {
                Some((since, then)) if then == taken => {
                    if now - since >= PATIENCE {
                        self.given_up_at = Some(taken);
                        self.full = None;
                        self.channel.make_room();
                    }
                }
                _ => self.full = Some((now, taken)),
            }
        }
    }

    fn stop(&mut self, cause: Cause, grace: Duration, now: Instant) {
        let force_at = now + grace.min(Duration::from_secs(86400));
        if let Some(stopping) = &mut self.stopping {
            stopping.force_at = stopping.force_at.min(force_at);
            return;
        }
        self.stopping =
            Some(Stopping { cause, force_at, asked: grace.is_zero(), forced: false, supervisor_until: None });
        // Before anything dies: afterwards an orphan without our mark could not be told from a stranger. If it fails,
        // one that has all that against it is not found, as after an end by itself.
        drop(self.hunt.note_tree(self.pid.as_raw_nonzero().get()));
        if !grace.is_zero() {
            self.ask();
        }
    }

    /// Asks politely.
    fn ask(&mut self) {
        let main = match &self.spawn.supervisor {
            None => Some(self.pid),
            Some(_) => {
                let wrapped = self.spawn.sandbox.level() == SandboxLevel::Tree;
                // If it could not be seen, the next tick asks.
                let agent = self.hunt.supervised(self.pid.as_raw_nonzero().get(), wrapped);
                agent.ok().flatten().and_then(Pid::from_raw)
            }
        };
        let Some(main) = main else { return };
        // Our child is not reaped yet, so the number is still its own; that of a supervised one is a moment old. It
        // fails only if nobody is left to ask.
        let _ = match self.spawn.polite {
            Polite::Terminate => rustix::process::kill_process_group(main, Signal::TERM),
            Polite::Interrupt => rustix::process::kill_process(main, Signal::INT),
        };
        if let Some(stopping) = &mut self.stopping {
            stopping.asked = true;
        }
    }

    fn kill(&mut self, stopping: Stopping) {
        let pid = self.pid.as_raw_nonzero().get();
        let deadline = stopping.force_at + BURIAL;
        let mut forced = Stopping { forced: true, asked: true, ..stopping };
        drop(self.hunt.note_tree(pid));
        if self.spawn.supervisor.is_some() {
            // With its agent dead it ends by itself, once it has buried what nobody else can find.
            self.hunt.spare(pid, true);
            forced.supervisor_until = Some(stopping.force_at + BURIAL / 2);
        } else {
            let _ = rustix::process::kill_process(self.pid, Signal::KILL);
            let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        }
        self.stopping = Some(forced);
        self.strays += self.hunt.run(deadline).killed;
    }

    fn kill_supervisor(&mut self, stopping: Stopping) {
        self.stopping = Some(Stopping { supervisor_until: None, ..stopping });
        self.hunt.spare(self.pid.as_raw_nonzero().get(), false);
        let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        self.strays += self.hunt.run(stopping.force_at + BURIAL).killed;
    }

    fn next_look(&self) -> Option<Instant> {
        let limit = self.spawn.idle_timeout?;
        // Four looks before the limit, so that a child that worked in silence for a part of the time is seen.
        let step = (limit / 4).min(Duration::from_secs(30));
        self.pulse.look.map_or(self.pulse.last, |look| look.at).checked_add(step)
    }

    /// Looks for signs of life other than output.
    fn is_idle(&mut self, now: Instant) -> bool {
        let Ok((cpu, size)) = self.hunt.note_tree(self.pid.as_raw_nonzero().get()) else {
            // Nobody knows what it does; that is not idleness.
            self.pulse = Pulse { last: now, look: None };
            return false;
        };
        if let Some(before) = self.pulse.look {
            // Ticks are hundredths of a second wherever Linux runs: one percent of the time looked at.
            let worked = cpu.abs_diff(before.cpu);
            let needed = u64::try_from((now - before.at).as_millis() / 1000).unwrap_or(u64::MAX).max(1);
            if worked >= needed || size != before.size {
                self.pulse.last = now;
            }
        }
        self.pulse.look = Some(Look { at: now, cpu, size });
        self.spawn.idle_timeout.is_some_and(|limit| now - self.pulse.last >= limit)
    }

    fn write_stdin(&mut self) {
        let Some(stdin) = &self.stdin else { return };
        match rustix::io::write(stdin, &self.spawn.stdin[self.written..]) {
            Ok(n) => {
                self.written += n;
                self.pulse = Pulse { last: clock::now(), look: None };
                if self.written == self.spawn.stdin.len() {
                    self.stdin = None;
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            // It does not want to read more; that is its right.
            Err(_) => self.stdin = None,
        }
    }

    /// Takes what is there, up to a chunk. Gives how much.
    fn read(&mut self, stream: Stream) -> usize {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = match stream {
            Stream::Stdout => self.stdout.as_ref().map(|fd| rustix::io::read(fd, &mut buffer[..])),
            Stream::Stderr => self.stderr.as_ref().map(|fd| rustix::io::read(fd, &mut buffer[..])),
        };
        let got = match result {
            Some(Ok(n)) if n > 0 => {
                self.take(stream, &buffer[..n]);
                n
            }
            Some(Err(Errno::AGAIN | Errno::INTR)) | None => 0,
            Some(Ok(_) | Err(_)) => {
                match stream {
                    Stream::Stdout => self.stdout = None,
                    Stream::Stderr => self.stderr = None,
                }
                0
            }
        };
        self.buffer = buffer;
        got
    }

    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        let now = clock::now();
        self.pulse = Pulse { last: now, look: None };
        self.output += bytes.len() as u64;
        if let Some(log) = &mut self.log {
            let cleaner = match stream {
                Stream::Stdout => &mut self.cleaners.0,
                Stream::Stderr => &mut self.cleaners.1,
            };
            let mut write = |bytes: &[u8]| match cleaner {
                Some(cleaner) => cleaner.push(bytes, |clean| log.write(clean)),
                None => log.write(bytes),
            };
            match &mut self.sieve {
                Some(sieve) if stream == Stream::Stdout => sieve.push(bytes, write),
                _ => write(bytes),
            }
        }
        match stream {
            Stream::Stdout => self.tails.0.push(bytes),
            Stream::Stderr => self.tails.1.push(bytes),
        }
        let channel = &self.channel;
        match self.spawn.feed {
            Feed::Silent => {}
            Feed::Chunks => channel.push(stream, bytes.to_vec(), false),
            Feed::Lines { .. } if stream == Stream::Stdout => {
                self.lines.push(bytes, |line, cut| channel.push(stream, line, cut));
            }
            Feed::Latest { .. } if stream == Stream::Stdout => {
                self.latest.push(bytes);
                if self.latest.is_some() && self.show_at.is_none() {
                    self.show_at = Some(now);
                }
            }
            Feed::Lines { .. } | Feed::Latest { .. } => {}
        }
        if self.stopping.is_none() && self.spawn.output_limit.is_some_and(|limit| self.output > limit) {
            self.stop(Cause::OutputLimit, self.spawn.grace, now);
        }
    }

    /// Shows the latest line; the next one not before the time between two has passed.
    fn show(&mut self, now: Instant) {
        let line = self.latest.take();
        self.show_at = match self.spawn.feed {
            Feed::Latest { every } if line.is_some() => now.checked_add(every),
            _ => None,
        };
        if let Some(line) = line {
            self.channel.replace(Stream::Stdout, line);
        }
    }

    /// Whether the child has ended; it stays unreaped, so that its number stays its own.
    fn has_exited(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(rustix::process::waitid(WaitId::Pid(self.pid), options), Ok(None) | Err(Errno::INTR))
    }

    /// The main process has ended: kills what it left, reaps it, takes the last of its output, tells the end.
    fn bury(mut self) {
        let now = clock::now();
        // All this before it is reaped: until then nobody else can get its number.
        let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
        let deadline = self.stopping.map_or(now, |s| if s.forced { s.force_at } else { now }) + BURIAL;
        let mut survivors = 0;
        if !self.is_surely_over(now) {
            let hunted = self.hunt.run(deadline);
            self.strays += hunted.killed;
            survivors = hunted.survivors;
        }
        let status = match self.child.wait() {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => Status::Code(code),
                (None, Some(signal)) => Status::Signal(signal),
                (None, None) => Status::Unknown,
            },
            Err(_) => Status::Unknown,
        };
        // Members of the group without our mark are killed too, but may not be gone yet. Testing is harmless, should the
        // number be somebody else's by now.
        while self.hunt.may_group_live(self.pid) && clock::now() < deadline {
            clock::pause(Duration::from_millis(1));
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            let mut drained = 0;
            while drained < DRAIN {
                match self.read(stream) {
                    0 => break,
                    n => drained += n,
                }
            }
        }
        drop(self.tell(status, survivors));
    }

    /// Whether nothing of the tree can be left, found out cheaply. A supervisor that ended by itself has seen to it.
    fn is_surely_over(&mut self, now: Instant) -> bool {
        if self.spawn.supervisor.is_some() {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            let status = rustix::process::waitid(WaitId::Pid(self.pid), options);
            return status.is_ok_and(|s| s.is_some_and(|s| s.exited()));
        }
        self.hunt.is_surely_over(now - self.started)
    }

    /// The child cannot be killed: it is stuck in the kernel. Tells that, and goes on waiting to reap it.
    fn give_up(mut self) {
        let survivors = 1 + self.hunt.run(clock::now()).survivors;
        let mut child = self.tell(Status::Unknown, survivors);
        let _ = child.wait();
    }

    fn tell(mut self, status: Status, survivors: u32) -> std::process::Child {
        if let Some((line, cut)) = self.lines.rest() {
            self.channel.push(Stream::Stdout, line, cut);
        }
        self.latest.finish();
        self.show(clock::now());
        if let Some(log) = &mut self.log {
            let (mut out, err) = (self.cleaners.0.take(), self.cleaners.1.take());
            if let Some(sieve) = self.sieve.take() {
                sieve.finish(|kept| match &mut out {
                    Some(cleaner) => cleaner.push(kept, |clean| log.write(clean)),
                    None => log.write(kept),
                });
            }
            for cleaner in [out, err].into_iter().flatten() {
                cleaner.finish(|clean| log.write(clean));
            }
        }
        let cut_bytes = self.log.as_ref().map_or(0, CappedLog::cut);
        let log_failure = self.log.take().and_then(|log| log.close().err());
        let ended = Ended {
            cause: self.stopping.map_or(Cause::Exited, |s| s.cause),
            status,
            stdout_tail: self.tails.0.into_bytes(),
            stderr_tail: self.tails.1.into_bytes(),
            output_bytes: self.output,
            cut_bytes,
            log_failure: log_failure.map(|e| e.to_string()),
            collected: self.collect.take().and_then(files::Handover::collect),
            strays: self.strays,
            survivors,
            containment: containment(self.spawn),
            elapsed: clock::now() - self.started,
        };
        if survivors > 0 {
            tracing::warn!(program = ?self.spawn.program, survivors, "processes could not be killed, or not be seen");
        }
        self.channel.end(ended);
        self.child
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where this crate starts processes")]
fn command(spawn: &Spawn, program: &Path, environment: &BTreeMap<&OsStr, Cow<'_, OsStr>>) -> Command {
    let mut command = Command::new(spawn.supervisor.as_deref().unwrap_or(program));
    match &spawn.supervisor {
        // It takes a session of its own by itself, and so does the agent.
        #[cfg(target_os = "linux")]
        Some(_) => {
            command.args(crate::supervise::command_line(program.as_os_str(), &spawn.args, spawn.limits, &spawn.sandbox))
        }
        // Without code between fork and exec, which would make each start cost as much as the host is large.
        _ => command.args(&spawn.args).process_group(0),
    };
    command.env_clear().envs(environment);
    if let Some(directory) = &spawn.directory {
        command.current_dir(directory);
    }
    let stdin = if spawn.stdin.is_empty() { Stdio::null() } else { Stdio::piped() };
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn containment(spawn: &Spawn) -> Containment {
    match &spawn.supervisor {
        Some(_) => Containment::Supervisor,
        None if procfs::is_usable().unwrap_or(false) => Containment::Marks,
        None => Containment::Group,
    }
}

/// A descriptor that becomes readable when the child ends, where the kernel has such a thing.
fn exit_rope(pid: Pid) -> Option<OwnedFd> {
    #[cfg(target_os = "linux")]
    return rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).ok();
    #[cfg(not(target_os = "linux"))]
    return {
        let _ = pid;
        None
    };
}
