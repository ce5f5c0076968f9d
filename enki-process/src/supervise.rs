//! The supervisor: a small process between the orchestrator and an agent, which nothing below it outlives.
//!
//! The program that embeds this library calls [`supervise_main`] for the hidden subcommand [`SUBCOMMAND`] and gives its
//! own path to [`Spawn::supervisor`](crate::Spawn::supervisor). The supervisor adopts whatever its descendants leave
//! behind (it is their *subreaper*), so it knows without any mark when nothing of the tree is left; it kills the tree
//! when the agent ends, and when the orchestrator dies. The agent dies with the supervisor, by the kernel.
//!
//! It runs in stages, since nothing can be done between `fork` and `exec` in safe code: the supervisor starts the program
//! again, and that copy sets limits, death signal and sandbox for itself and then becomes the agent. For an agent with a
//! tree of its own two more are between: one becomes bubblewrap, which starts the other in the tree as its first process.
//! If any of the sandbox cannot be had, the agent does not run. The death of the
//! orchestrator is seen by a descriptor of its process, not by a death signal: that would come when the *thread* ends
//! that started the supervisor.

use crate::clock;
use crate::hunt::Hunt;
use crate::limits::ChildLimits;
use crate::sandbox::{Sandbox, SandboxLevel};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, WaitOptions, getpid, getppid, kill_process, pidfd_open,
    set_child_subreaper, set_parent_process_death_signal, setrlimit, setsid,
};
use std::ffi::{OsStr, OsString};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;
use std::time::Duration;

/// The first argument by which a program is asked to be a supervisor.
pub const SUBCOMMAND: &str = "__supervise";

/// Supervises, as [`Spawn`](crate::Spawn) asked for: `args` are those after [`SUBCOMMAND`]. Returns the exit code for
/// the process, which is the agent's; if the agent was killed by a signal, so is the calling process.
///
/// To be called first thing in `main`, before there are other threads. Its messages go to stderr, which is the agent's.
#[must_use]
pub fn supervise_main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    let result = match Order::parse(&args) {
        Some(order) => match order.stage {
            Stage::Supervise => supervise(&order),
            Stage::Wrap => Err(become_bubblewrap(&order)),
            Stage::First => be_first(&order),
            Stage::Become => Err(become_agent(&order)),
        },
        None => Err("it is called by enki alone".into()),
    };
    result.unwrap_or_else(|why| {
        eprintln!("{VOICE}{why}");
        FAILED
    })
}

/// The exit code if the agent did not come to run.
const FAILED: u8 = 127;

/// How its words on stderr begin, so that they are told from the agent's.
const VOICE: &str = "enki supervisor: ";

/// The command line of a supervisor for `program`.
pub(crate) fn command_line(
    program: &OsStr,
    args: &[OsString],
    limits: ChildLimits,
    sandbox: &Sandbox,
) -> Vec<OsString> {
    Order { stage: Stage::Supervise, parent: getpid(), limits, sandbox: sandbox.clone(), program, args }.to_args()
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// Starts the next one, and buries all that is left.
    Supervise,
    /// Becomes bubblewrap.
    Wrap,
    /// The first process in the tree of its own: starts the last one, and with it all others end.
    First,
    /// Becomes the agent.
    Become,
}

#[derive(Clone, Debug)]
struct Order<'a> {
    stage: Stage,
    parent: Pid,
    limits: ChildLimits,
    sandbox: Sandbox,
    program: &'a OsStr,
    args: &'a [OsString],
}

impl<'a> Order<'a> {
    fn to_args(&self) -> Vec<OsString> {
        let stage = match self.stage {
            Stage::Supervise => "supervise",
            Stage::Wrap => "wrap",
            Stage::First => "first",
            Stage::Become => "become",
        };
        let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        let parent = self.parent.as_raw_nonzero().to_string();
        let limits = [self.limits.open_files, self.limits.file_size, self.limits.cpu_seconds].map(number);
        let mut all: Vec<OsString> =
            [SUBCOMMAND, stage, &parent].into_iter().chain(limits.iter().map(String::as_str)).map(Into::into).collect();
        let sandbox = self.sandbox.to_args();
        all.push(sandbox.len().to_string().into());
        all.extend(sandbox);
        all.push(self.program.into());
        all.extend_from_slice(self.args);
        all
    }

    fn parse(args: &'a [OsString]) -> Option<Self> {
        let [stage, parent, open_files, file_size, cpu_seconds, count, rest @ ..] = args else { return None };
        let (sandbox, rest) = rest.split_at_checked(count.to_str()?.parse().ok()?)?;
        let (program, args) = rest.split_first()?;
        let number = |text: &OsString| match text.to_str()? {
            "-" => Some(None),
            digits => digits.parse().ok().map(Some),
        };
        Some(Self {
            stage: match stage.to_str()? {
                "supervise" => Stage::Supervise,
                "wrap" => Stage::Wrap,
                "first" => Stage::First,
                "become" => Stage::Become,
                _ => return None,
            },
            parent: Pid::from_raw(parent.to_str()?.parse().ok()?)?,
            limits: ChildLimits {
                open_files: number(open_files)?,
                file_size: number(file_size)?,
                cpu_seconds: number(cpu_seconds)?,
            },
            sandbox: Sandbox::parse(sandbox)?,
            program,
            args,
        })
    }

    /// The same for the next stage, which the calling process starts.
    fn next(&self, stage: Stage) -> Self {
        Self { stage, parent: getpid(), ..self.clone() }
    }
}

fn supervise(order: &Order<'_>) -> Result<u8, String> {
    let failed = |what: &str, e: Errno| format!("{what} failed: {e}");
    let orchestrator = pidfd_open(order.parent, PidfdFlags::empty());
    // If the parent is another by now, the number may be anybody's; and nobody is left to work for.
    if getppid() != Some(order.parent) {
        return Err("the orchestrator is gone".into());
    }
    let orchestrator = orchestrator.map_err(|e| failed("watching the orchestrator", e))?;
    setsid().map_err(|e| failed("a session of its own", e))?;
    set_child_subreaper(Some(getpid())).map_err(|e| failed("adopting orphans", e))?;
    let wrapped = order.sandbox.level() == SandboxLevel::Tree;
    let again = order.next(if wrapped { Stage::Wrap } else { Stage::Become });
    let mut agent = command(OsStr::new("/proc/self/exe"), &again.to_args())
        .spawn()
        .map_err(|e| format!("starting {} failed: {e}", order.program.display()))?;
    let end = pidfd_open(Pid::from_child(&agent), PidfdFlags::empty()).map_err(|e| failed("watching the agent", e));
    let end = match end {
        Ok(end) => end,
        Err(why) => {
            bury_all();
            return Err(why);
        }
    };
    leave_streams();
    let mut fds = [PollFd::new(&end, PollFlags::IN), PollFd::new(&orchestrator, PollFlags::IN)];
    while fds.iter().all(|fd| fd.revents().is_empty()) {
        clock::wait_until(&mut fds, None);
    }
    if fds[0].revents().is_empty() {
        // The orchestrator was killed. Its next start runs the attempt again; this one must not go on beside it.
        let _ = agent.kill();
    }
    let status = agent.wait().map_err(|e| format!("waiting for {} failed: {e}", order.program.display()));
    bury_all();
    let status = status?;
    if let Some(signal) = status.signal().and_then(Signal::from_named_raw) {
        // End in the same way, so that the orchestrator sees what happened; without a second core dump.
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(|e| failed("a limit", e))?;
        // Twice: the first SIGSEGV or SIGBUS only ends the handler that Rust's runtime has for it.
        let _ = kill_process(getpid(), signal);
        let _ = kill_process(getpid(), signal);
    }
    let code = status.code().or_else(|| status.signal().map(|s| 128 + s));
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(FAILED))
}

/// Kills and reaps until there are no children: then, since all orphans become ours, there are no descendants.
fn bury_all() {
    let own = getpid().as_raw_nonzero().get();
    let mut hunt = Hunt::of_child(Vec::new(), own);
    let mut pause = 1;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => continue,
            Ok(None) => {}
            Err(_) => return,
        }
        // If that fails, its children are still there and it comes again.
        let _ = hunt.kill_below(own);
        clock::pause(Duration::from_millis(pause));
        pause = (pause * 2).min(20);
    }
}

/// Becomes bubblewrap, which makes the tree and starts this program in it. Returns only if that fails.
fn become_bubblewrap(order: &Order<'_>) -> String {
    #[cfg(feature = "sandbox")]
    return {
        let Some(bubblewrap) = &order.sandbox.bubblewrap else { return "it is not told where bubblewrap is".into() };
        let (own, cwd) = match (std::env::current_exe(), std::env::current_dir()) {
            (Ok(own), Ok(cwd)) => (own, cwd),
            (Err(e), _) | (_, Err(e)) => return format!("finding this program and its folder failed: {e}"),
        };
        let mut inner = vec![own.into_os_string()];
        // Its parent is outside, where numbers are others; it dies with bubblewrap, and that with the supervisor.
        inner.extend(order.next(Stage::First).to_args());
        let args = crate::sandbox::bubblewrap::args(&order.sandbox, &cwd, &inner);
        match depend_on(order.parent).and_then(|()| setsid()) {
            Err(error) => format!("preparing the sandbox failed: {error}"),
            Ok(_) => {
                let failed = command(bubblewrap.as_os_str(), &args).exec();
                format!("cannot execute {}: {failed}", bubblewrap.display())
            }
        }
    };
    #[cfg(not(feature = "sandbox"))]
    return format!("this program was built without the sandbox that {} needs", order.program.display());
}

/// Starts the agent in the tree and ends with it; then the kernel ends all that it left.
fn be_first(order: &Order<'_>) -> Result<u8, String> {
    let agent = command(OsStr::new("/proc/self/exe"), &order.next(Stage::Become).to_args())
        .spawn()
        .map_err(|e| format!("starting {} failed: {e}", order.program.display()))?;
    let agent = Pid::from_child(&agent);
    leave_streams();
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == agent => {
                let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
                return Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(FAILED));
            }
            // An orphan, which is ours to bury.
            Ok(_) | Err(Errno::INTR) => {}
            Err(e) => return Err(format!("waiting for {} failed: {e}", order.program.display())),
        }
    }
}

/// Dies with that parent from now on.
fn depend_on(parent: Pid) -> Result<(), Errno> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() == Some(parent) { Ok(()) } else { Err(Errno::SRCH) }
}

/// The last stage: becomes the agent. Returns only if that fails.
fn become_agent(order: &Order<'_>) -> String {
    let prepare = || -> Result<(), Errno> {
        depend_on(order.parent)?;
        setsid()?;
        let limits = [
            (Resource::Nofile, order.limits.open_files),
            (Resource::Fsize, order.limits.file_size),
            (Resource::Cpu, order.limits.cpu_seconds),
        ];
        for (resource, limit) in limits {
            if let Some(limit) = limit {
                // Never above what the host allows.
                let most = rustix::process::getrlimit(resource).maximum.map_or(limit, |max| max.min(limit));
                setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
            }
        }
        Ok(())
    };
    match prepare() {
        Err(error) => format!("preparing {} failed: {error}", order.program.display()),
        // The very last thing: what follows is under the rules too.
        Ok(()) => match order.sandbox.enter() {
            Err(why) => format!("{} does not run without its sandbox: {why}", order.program.display()),
            Ok(()) => {
                let failed = command(order.program, order.args).exec();
                format!("cannot execute {}: {failed}", order.program.display())
            }
        },
    }
}

/// The streams are the agent's alone: an end of input or output must be seen when the agent makes it.
fn leave_streams() {
    if let Ok(null) = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        // Best effort: a stream left open costs nothing but that.
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
        let _ = rustix::stdio::dup2_stderr(&null);
    }
}

#[expect(clippy::disallowed_methods, reason = "the supervisor starts the agent, in two stages")]
fn command(program: &OsStr, args: &[OsString]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_survives_the_command_line() {
        let limits = ChildLimits { open_files: Some(100), file_size: None, cpu_seconds: Some(7) };
        let given = ["--".into(), "supervise".into(), OsString::new()];
        let sandbox = Sandbox::new(SandboxLevel::Rules, None).readable(["/usr"]);
        let line = command_line(OsStr::new("/bin/agent"), &given, limits, &sandbox);
        assert_eq!(line[0], SUBCOMMAND);
        let order = Order::parse(&line[1..]).unwrap();
        assert_eq!((order.stage, order.limits, order.program), (Stage::Supervise, limits, OsStr::new("/bin/agent")));
        assert_eq!((order.args, order.parent, order.sandbox), (&given[..], getpid(), sandbox));
    }

    #[test]
    fn a_person_who_calls_it_is_told_off() {
        assert_eq!(supervise_main([]), FAILED);
        assert_eq!(supervise_main(["supervise", "x", "-", "-", "-", "0", "true"].map(OsString::from)), FAILED);
    }
}
