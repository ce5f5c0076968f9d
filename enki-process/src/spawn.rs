//! Describes a child process and starts it.

use crate::child::Child;
use crate::env::BaseEnv;
use crate::feed::Feed;
use crate::keeper;
use crate::limits::ChildLimits;
use crate::log::LogLimits;
use crate::marker::{Marker, PROJECT_MARKER, RUN_MARKER};
use crate::sandbox::Sandbox;
use enki_core::id::EffectId;
use enki_core::redact::Redactor;
use rustix::fs::Access;
use rustix::io::Errno;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// A child process to be: what runs, where, with what, and within which limits.
///
/// # Contract
///
/// * Its environment is what [`Spawn::base_env`] lets pass, what [`Spawn::env`] adds, and [`RUN_MARKER`]; never more.
/// * It leads a process group of its own, so a Ctrl-C at the terminal is not for it. Under a [supervisor](Spawn::supervisor)
///   it has a session of its own too, and no terminal; without one, reading from `/dev/tty` stops it until a limit ends it.
/// * Its stdin is the given bytes and then the end; without any it is empty.
/// * It is always reaped, and its whole tree is gone when [`ChildEvent::Ended`](crate::ChildEvent::Ended) comes, be it by itself, by a
///   limit, by [`Child::stop`] or because the [`Child`] was dropped.
#[derive(Clone, Debug)]
pub struct Spawn {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) base: BaseEnv,
    pub(crate) env: BTreeMap<OsString, OsString>,
    pub(crate) run: Marker,
    pub(crate) project: Option<Marker>,
    pub(crate) stdin: Vec<u8>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) grace: Duration,
    pub(crate) polite: Polite,
    pub(crate) log: Option<PathBuf>,
    pub(crate) log_limits: LogLimits,
    pub(crate) redactor: Option<Redactor>,
    pub(crate) log_whole: Option<(&'static str, &'static [&'static str])>,
    pub(crate) stdout_tail: usize,
    pub(crate) stderr_tail: usize,
    pub(crate) output_limit: Option<u64>,
    pub(crate) collect: Option<(PathBuf, usize)>,
    pub(crate) supervisor: Option<PathBuf>,
    pub(crate) limits: ChildLimits,
    pub(crate) sandbox: Sandbox,
    pub(crate) feed: Feed,
    pub(crate) feed_capacity: usize,
}

/// How a child is asked to stop before it is made to.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Polite {
    /// SIGTERM to its whole process group.
    #[default]
    Terminate,
    /// SIGINT to its main process alone, which then stops its own children.
    Interrupt,
}

/// A child process could not be started. Nothing runs.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {program:?}: {reason}")]
#[non_exhaustive]
pub struct SpawnError {
    /// The program, as given.
    pub program: String,
    /// Why not.
    #[source]
    pub reason: SpawnFailure,
}

/// Why a child process could not be started, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnFailure {
    /// No such program.
    #[error("not found{}", searched(.path.as_deref()))]
    NotFound {
        /// The `PATH` that was searched, if any was.
        path: Option<String>,
    },
    /// The program is a relative path: relative to what is anybody's guess.
    #[error("a relative path; give an absolute one, or a name to be found in PATH")]
    RelativePath,
    /// It cannot be executed.
    #[error("{} {why}", path.display())]
    NotExecutable {
        /// Its path.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// The working directory cannot be entered.
    #[error("there is no directory {} to run it in", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
    },
    /// A variable that only Enki sets was given.
    #[error("the variable {name:?} cannot be set for it, names that begin with ENKI_ are Enki's own; choose another")]
    ReservedVariable {
        /// The variable.
        name: String,
    },
    /// The log file, or the directory for what it hands over, cannot be made.
    #[error("{} cannot be created ({source})", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is to be held back, and nothing can do that.
    #[error("its sandbox needs a supervisor, and this program names none")]
    Unsupervised,
    /// The machine has no room for another process, thread or descriptor just now.
    #[error("the machine is out of processes, memory or descriptors ({source}); try again with fewer at a time")]
    Exhausted {
        /// What the system said.
        source: io::Error,
    },
    /// Anything else.
    #[error("{source}")]
    Other {
        /// What the system said.
        source: io::Error,
    },
}

impl SpawnError {
    /// Whether the same call may succeed later without anybody's help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self.reason {
            SpawnFailure::Exhausted { .. } => true,
            // A full disk can be emptied by others, but nothing here will.
            SpawnFailure::NotFound { .. }
            | SpawnFailure::RelativePath
            | SpawnFailure::NotExecutable { .. }
            | SpawnFailure::Directory { .. }
            | SpawnFailure::ReservedVariable { .. }
            | SpawnFailure::Log { .. }
            | SpawnFailure::Unsupervised
            | SpawnFailure::Other { .. } => false,
        }
    }
}

impl Spawn {
    /// A process that runs `program`, an absolute path or a name to be found in the `PATH` the child gets, on behalf of
    /// the effect `run`. No arguments, no input, no limits, no log.
    pub fn new(program: impl Into<OsString>, run: EffectId) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            directory: None,
            base: BaseEnv::default(),
            env: BTreeMap::new(),
            run: Marker::run(run),
            project: None,
            stdin: Vec::new(),
            timeout: None,
            idle_timeout: None,
            grace: Duration::from_secs(10),
            polite: Polite::default(),
            log: None,
            log_limits: LogLimits::default(),
            redactor: None,
            log_whole: None,
            stdout_tail: 64 << 10,
            stderr_tail: 16 << 10,
            output_limit: None,
            collect: None,
            supervisor: None,
            limits: ChildLimits::default(),
            sandbox: Sandbox::default(),
            feed: Feed::Silent,
            feed_capacity: 8 << 20,
        }
    }

    /// Adds an argument. There is no shell: it arrives as it is.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Where it runs. By default where this process does.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// What of the host's environment it sees. By default nothing, not even a `PATH`.
    #[must_use]
    pub fn base_env(mut self, base: BaseEnv) -> Self {
        self.base = base;
        self
    }

    /// Sets a variable. Those that begin with `ENKI_` too, except the markers; keep people's configuration away from
    /// them with [`is_reserved`](crate::is_reserved).
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Marks it as the project's, beside the mark of the effect. See [`Marker::project`].
    #[must_use]
    pub fn project(mut self, project: Marker) -> Self {
        self.project = Some(project);
        self
    }

    /// What it reads from its stdin, of any size.
    #[must_use]
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Stops it after that time.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Stops it after that time without a sign of life: output, input taken, processor time of at least one hundredth of
    /// the time looked at, or a change in the number of its processes. The latter two are looked for only in silence.
    #[must_use]
    pub fn idle_timeout(mut self, limit: Duration) -> Self {
        self.idle_timeout = Some(limit);
        self
    }

    /// How long it may take to stop politely when a limit stops it. 10 s unless set.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How it is asked to stop.
    #[must_use]
    pub fn polite(mut self, polite: Polite) -> Self {
        self.polite = polite;
        self
    }

    /// Where all its output is written, stdout and stderr in the order they come, within `limits`. The file is made anew
    /// with mode 0600, missing directories with 0700; a symlink in the file's place is replaced, not followed.
    #[must_use]
    pub fn log(mut self, path: impl Into<PathBuf>, limits: LogLimits) -> Self {
        self.log = Some(path.into());
        self.log_limits = limits;
        self
    }

    /// Takes secrets out of the log, line by line.
    #[must_use]
    pub fn redactor(mut self, redactor: Redactor) -> Self {
        self.redactor = Some(redactor);
        self
    }

    /// Leaves lines of stdout that begin with `piece` out of the log, because what they say comes whole later, in a line that
    /// begins with one of `wholes`. What did not come whole by the end is then written in its pieces, the last 64 KiB.
    #[must_use]
    pub fn log_whole(mut self, piece: &'static str, wholes: &'static [&'static str]) -> Self {
        self.log_whole = Some((piece, wholes));
        self
    }

    /// How many of the last bytes of stdout and stderr [`Ended`](crate::Ended) has. 64 and 16 KiB unless set.
    #[must_use]
    pub fn tails(mut self, stdout: usize, stderr: usize) -> Self {
        (self.stdout_tail, self.stderr_tail) = (stdout, stderr);
        self
    }

    /// Stops it once it has put out more than that many bytes.
    #[must_use]
    pub fn output_limit(mut self, bytes: u64) -> Self {
        self.output_limit = Some(bytes);
        self
    }

    /// A file by which the child hands something over; tell it the path by a variable. Whatever is there is removed
    /// before the start, missing directories are made with mode 0700, and at the end the file's first `limit` bytes
    /// are in [`Ended::collected`](crate::Ended::collected) and the file is removed. A symlink is not followed.
    #[must_use]
    pub fn collect(mut self, path: impl Into<PathBuf>, limit: usize) -> Self {
        self.collect = Some((path.into(), limit));
        self
    }

    /// The program that supervises it, and what it may use at most: an executable that calls
    /// [`supervise_main`](crate::supervise::supervise_main) for the subcommand
    /// [`SUBCOMMAND`](crate::supervise::SUBCOMMAND), by its absolute path. Linux only, ignored elsewhere.
    ///
    /// With it nothing of the tree can escape, and all of it dies with this process. Without it the tree is held
    /// together by marks; see [`Containment`](crate::Containment). If the program then cannot be executed after all,
    /// the child ends with exit code 127 and says so on stderr.
    #[must_use]
    pub fn supervisor(mut self, program: impl Into<PathBuf>, limits: ChildLimits) -> Self {
        if cfg!(target_os = "linux") {
            (self.supervisor, self.limits) = (Some(program.into()), limits);
        }
        self
    }

    /// What it may reach; everything unless set. A level above 0 needs a [supervisor](Self::supervisor): without one it does
    /// not start. If the sandbox cannot be had after all, the child ends with exit code 127 and says why on stderr.
    ///
    /// It sees its private folder for temporary files in `TMPDIR`, and folders in that for caches that are usually in the
    /// home folder. With a tree of its own its end by a signal is seen as exit code 128 and the signal's number.
    #[must_use]
    pub fn sandbox(mut self, sandbox: Sandbox) -> Self {
        self.sandbox = sandbox;
        self
    }

    /// What of the output comes as events, at most `capacity` bytes of it waiting at a time.
    ///
    /// A caller that takes events loses none: the child has to wait for it. One that takes none for a second loses the
    /// oldest ones and is told how much, so it can never stop the child, and the end of the output always arrives.
    #[must_use]
    pub fn feed(mut self, feed: Feed, capacity: usize) -> Self {
        (self.feed, self.feed_capacity) = (feed, capacity.max(64 << 10));
        self
    }

    /// Starts it. Needs no particular runtime: a thread of its own keeps the child.
    ///
    /// # Errors
    ///
    /// [`SpawnError`]; nothing runs then. Dropping the future stops what it started.
    pub async fn start(self) -> Result<Child, SpawnError> {
        keeper::start(self).await
    }

    /// The absolute path of what [`Spawn::start`] would run. Blocking: it looks at files.
    ///
    /// # Errors
    ///
    /// [`SpawnError`] if there is no such program, or it cannot be executed.
    pub fn program_path(&self) -> Result<PathBuf, SpawnError> {
        let path = self.env.get(OsStr::new("PATH")).map(OsString::as_os_str).or_else(|| self.base.get("PATH"));
        self.resolve(path).map_err(|reason| self.refused(reason))
    }

    pub(crate) fn refused(&self, reason: SpawnFailure) -> SpawnError {
        SpawnError { program: self.program.to_string_lossy().into_owned(), reason }
    }

    /// All variables it gets.
    pub(crate) fn environment(&self) -> Result<BTreeMap<&OsStr, Cow<'_, OsStr>>, SpawnError> {
        let mut all: BTreeMap<&OsStr, Cow<'_, OsStr>> = BTreeMap::new();
        for (name, value) in self.base.vars().chain(&self.env) {
            if name == RUN_MARKER || name == PROJECT_MARKER {
                let name = name.to_string_lossy().into_owned();
                return Err(self.refused(SpawnFailure::ReservedVariable { name }));
            }
            all.insert(name, value.into());
        }
        if let Some(tmp) = self.sandbox.tmp_inside() {
            all.insert(OsStr::new("TMPDIR"), Cow::Owned(tmp.clone().into_os_string()));
            for (name, folder) in CACHES {
                if !self.env.contains_key(OsStr::new(name)) {
                    all.insert(OsStr::new(name), Cow::Owned(tmp.join(folder).into_os_string()));
                }
            }
        }
        for mark in std::iter::once(&self.run).chain(&self.project) {
            all.insert(OsStr::new(mark.name()), self.base.marker_value(mark.name(), mark.value()).into());
        }
        Ok(all)
    }

    fn resolve(&self, path: Option<&OsStr>) -> Result<PathBuf, SpawnFailure> {
        let given = Path::new(&self.program);
        if given.is_absolute() {
            return match executable(given) {
                Ok(()) => Ok(given.to_owned()),
                Err(None) => Err(SpawnFailure::NotFound { path: None }),
                Err(Some(why)) => Err(SpawnFailure::NotExecutable { path: given.to_owned(), why }),
            };
        }
        let mut parts = given.components();
        if !matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None)) {
            return Err(SpawnFailure::RelativePath);
        }
        let mut refused = None;
        // A relative entry would let the workspace decide what runs.
        for folder in std::env::split_paths(path.unwrap_or_default()).filter(|f| f.is_absolute()) {
            let candidate = folder.join(given);
            match executable(&candidate) {
                Ok(()) => return Ok(candidate),
                Err(None) => {}
                Err(Some(why)) => {
                    refused.get_or_insert((candidate, why));
                }
            }
        }
        Err(match refused {
            Some((path, why)) => SpawnFailure::NotExecutable { path, why },
            None => {
                let path = Some(path.map_or_else(String::new, |p| p.to_string_lossy().into_owned()));
                SpawnFailure::NotFound { path }
            }
        })
    }

    /// Sorts an error of the system by what can be done about it.
    pub(crate) fn error(&self, source: io::Error) -> SpawnError {
        let path = || PathBuf::from(&self.program);
        self.refused(match source.raw_os_error().map(Errno::from_raw_os_error) {
            // TXTBSY: somebody still writes the program, or forked while it did.
            Some(Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE | Errno::TXTBSY) => {
                SpawnFailure::Exhausted { source }
            }
            Some(Errno::NOEXEC) => {
                let why = "is no program of this machine; a script needs a first line like #!/bin/sh".into();
                SpawnFailure::NotExecutable { path: path(), why }
            }
            Some(Errno::TOOBIG) => {
                let why = "got too long arguments and environment; give long text by stdin".into();
                SpawnFailure::NotExecutable { path: path(), why }
            }
            _ => match &self.directory {
                Some(directory) if !directory.is_dir() => SpawnFailure::Directory { directory: directory.clone() },
                // It was there a moment ago.
                _ if source.kind() == io::ErrorKind::NotFound => {
                    let why = "needs an interpreter or loader that is not there; look at its first line".into();
                    SpawnFailure::NotExecutable { path: path(), why }
                }
                _ => SpawnFailure::Other { source },
            },
        })
    }
}

/// Caches of what was downloaded or built, which are in the home folder unless a variable says otherwise. A shared one
/// would let one agent hand things to the next, and to the person.
const CACHES: &[(&str, &str)] =
    &[("XDG_CACHE_HOME", "cache"), ("npm_config_cache", "cache/npm"), ("GOCACHE", "cache/go")];

/// `Err(None)`: not there.
fn executable(path: &Path) -> Result<(), Option<String>> {
    match std::fs::metadata(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Err(None),
        Err(error) => Err(Some(format!("cannot be looked at: {error}"))),
        Ok(meta) if !meta.is_file() => Err(Some("is no file".into())),
        Ok(_) => rustix::fs::access(path, Access::EXEC_OK).map_err(|_| Some("is not executable for this user".into())),
    }
}

fn searched(path: Option<&str>) -> String {
    match path {
        None => "; check the path or install it".into(),
        Some("") => ", since no PATH is set; give its absolute path".into(),
        Some(path) => format!(" in PATH ({path}); install it or give its absolute path"),
    }
}
