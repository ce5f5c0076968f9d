//! The one place that starts git.
//!
//! [`Git`] knows where git is; [`GitCmd`] is one call of it in the hardened environment: nothing of the caller's
//! environment, no configuration but our own, no hooks, no helpers, an empty standard input, limits on time and
//! output. [`Git::as_person`] is the exception: it runs with the person's own configuration, and is used only to ask
//! whether they trust a folder, to fast-forward a branch they have checked out, and to fetch from and push to a remote
//! that they name.

pub(crate) mod child;
pub(crate) mod index;
pub(crate) mod lock;
pub(crate) mod loose;
pub(crate) mod memo;
pub(crate) mod message;
pub(crate) mod moving;
pub(crate) mod objects;
pub(crate) mod plain;

use crate::error::GitError;
use crate::git::child::Served;
use enki_core::id::CommitId;
use enki_core::time::Timestamp;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

/// A path that nobody can ever make, so that no agent can put a hook or a configuration there: git takes what cannot
/// be there for what is not there. Not the null device itself, which git replaces by a file if it writes to it (F20).
pub(crate) const NOWHERE: &str = "/dev/null/nowhere";

/// The git program, and what every call of it needs.
#[derive(Clone, Debug)]
pub(crate) struct Git {
    program: PathBuf,
    /// The one folder whose ownership the person's own git accepted.
    safe: PathBuf,
    /// The person's environment without anything of git's.
    person: Vec<(OsString, OsString)>,
}

impl Git {
    pub(crate) fn new(program: PathBuf, safe: PathBuf, person: Vec<(OsString, OsString)>) -> Self {
        Self { program, safe, person }
    }

    /// A call on that git directory, which the caller names in full: nothing is discovered.
    pub(crate) fn at(&self, git_dir: &Path) -> GitCmd {
        let mut cmd = self.bare_call();
        cmd.current_dir(git_dir);
        let mut option = OsString::from("--git-dir=");
        option.push(git_dir);
        cmd.args([OsStr::new("--no-pager"), &option]);
        for (key, value) in self.hardening() {
            cmd.arg("-c").arg(format!("{key}={value}"));
        }
        for key in ["core.hooksPath", "core.attributesFile", "core.excludesFile"] {
            cmd.arg("-c").arg(format!("{key}={NOWHERE}"));
        }
        let mut safe = OsString::from("safe.directory=");
        safe.push(&self.safe);
        cmd.arg("-c").arg(safe);
        GitCmd::new(cmd)
    }

    /// A call in that folder as the person would make it: their configuration, hooks and filters.
    pub(crate) fn as_person(&self, folder: &Path) -> GitCmd {
        person_call(&self.program, &self.person, folder)
    }

    #[expect(clippy::disallowed_methods, reason = "this module owns the start of git")]
    fn bare_call(&self) -> Command {
        let mut cmd = Command::new(&self.program);
        let mut path = OsString::from(self.program.parent().unwrap_or(Path::new("/usr/bin")));
        path.push(":/usr/bin:/bin");
        cmd.env_clear()
            .env("PATH", path)
            .env("LC_ALL", "C")
            .env("HOME", NOWHERE)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", NOWHERE)
            .env("GIT_GRAFT_FILE", NOWHERE)
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "")
            .env("GIT_EDITOR", "false")
            .env("GIT_PAGER", "cat")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_ALLOW_PROTOCOL", "file")
            .env("GIT_PROTOCOL_FROM_USER", "0")
            .env("GIT_LITERAL_PATHSPECS", "0");
        cmd
    }

    fn hardening(&self) -> [(&'static str, &'static str); 19] {
        [
            ("core.fsmonitor", "false"),
            ("core.untrackedCache", "false"),
            ("core.pager", "cat"),
            ("core.askPass", ""),
            ("credential.helper", ""),
            ("diff.external", ""),
            ("protocol.allow", "never"),
            ("protocol.file.allow", "always"),
            ("safe.bareRepository", "explicit"),
            ("submodule.recurse", "false"),
            ("fetch.recurseSubmodules", "false"),
            ("fetch.fsckObjects", "true"),
            ("transfer.fsckObjects", "true"),
            ("receive.fsckObjects", "true"),
            ("gc.auto", "0"),
            ("maintenance.auto", "false"),
            ("commit.gpgSign", "false"),
            ("tag.gpgSign", "false"),
            ("user.useConfigOnly", "true"),
        ]
    }
}

/// Looks for an executable `git` in the absolute folders of a `PATH`.
pub(crate) fn find_git(path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path).filter(|dir| dir.is_absolute()).map(|dir| dir.join("git")).find(|candidate| {
        candidate.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    })
}

/// The environment of a person without anything of git's: `GIT_DIR` and its like never survive (bad input 74).
pub(crate) fn without_git(env: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
    env.iter().filter(|(name, _)| !name.as_encoded_bytes().starts_with(b"GIT_")).cloned().collect()
}

/// A call of git with the person's own configuration, before a repository is known.
#[expect(clippy::disallowed_methods, reason = "this module owns the start of git")]
pub(crate) fn person_call(program: &Path, env: &[(OsString, OsString)], folder: &Path) -> GitCmd {
    let mut cmd = Command::new(program);
    cmd.env_clear()
        .envs(env.iter().map(|(name, value)| (name, value)))
        .env("LC_ALL", "C")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("GIT_EDITOR", "false")
        .env("GIT_PAGER", "cat")
        .current_dir(folder)
        .arg("--no-pager");
    GitCmd::new(cmd)
}

/// How much a call makes durable before it returns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Durable {
    /// Objects and refs are synced: for what is the only copy.
    Committed,
    /// Nothing is synced: for what can be made again.
    No,
}

enum Input {
    Empty,
    Bytes(Vec<u8>),
    File(File),
}

/// One call of git.
pub(crate) struct GitCmd {
    cmd: Command,
    /// The subcommand and its arguments, for messages.
    said: Vec<String>,
    input: Input,
    output: Option<File>,
    timeout: Duration,
    cap: usize,
    kill: bool,
}

/// What a call gave.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    attempted: String,
}

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);
const LONG_TIMEOUT: Duration = Duration::from_secs(3600);
/// How long the end of what was killed is waited for.
const DEATH: Duration = Duration::from_secs(5);
const OUTPUT_CAP: usize = 256 << 20;
const STDERR_CAP: usize = 1 << 20;

impl GitCmd {
    fn new(cmd: Command) -> Self {
        Self {
            cmd,
            said: Vec::new(),
            input: Input::Empty,
            output: None,
            timeout: DEFAULT_TIMEOUT,
            cap: OUTPUT_CAP,
            kill: true,
        }
    }

    /// The level of durability; goes before the subcommand.
    pub(crate) fn durable(mut self, durable: Durable) -> Self {
        debug_assert!(self.said.is_empty(), "options of git go before the subcommand");
        let value = match durable {
            Durable::Committed => "core.fsync=committed",
            Durable::No => "core.fsync=none",
        };
        self.cmd.arg("-c").arg(value);
        self
    }

    /// Further configuration; goes before the subcommand.
    pub(crate) fn config(mut self, pair: &str) -> Self {
        debug_assert!(self.said.is_empty(), "options of git go before the subcommand");
        self.cmd.arg("-c").arg(pair);
        self
    }

    /// Works on the files of that folder, and runs there.
    pub(crate) fn work_tree(mut self, folder: &Path) -> Self {
        debug_assert!(self.said.is_empty(), "options of git go before the subcommand");
        let mut option = OsString::from("--work-tree=");
        option.push(folder);
        self.cmd.arg(option).current_dir(folder);
        self
    }

    /// Uses that index instead of the git directory's own.
    pub(crate) fn index(mut self, index: &Path) -> Self {
        self.cmd.env("GIT_INDEX_FILE", index);
        self
    }

    /// Author and committer are Enki, at that time.
    pub(crate) fn identity(mut self, at: Timestamp) -> Self {
        let date = format!("@{} +0000", at.0.max(0) / 1000);
        for who in ["AUTHOR", "COMMITTER"] {
            self.cmd
                .env(format!("GIT_{who}_NAME"), "Enki")
                .env(format!("GIT_{who}_EMAIL"), "enki@localhost")
                .env(format!("GIT_{who}_DATE"), &date);
        }
        self
    }

    /// Takes one argument.
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.said.push(arg.as_ref().to_string_lossy().into_owned());
        self.cmd.arg(arg);
        self
    }

    /// Takes several arguments.
    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        for arg in args {
            self = self.arg(arg);
        }
        self
    }

    /// Gives the call that standard input.
    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Input::Bytes(bytes.into());
        self
    }

    /// Gives the call the file from its present position on.
    pub(crate) fn stdin_file(mut self, file: File) -> Self {
        self.input = Input::File(file);
        self
    }

    /// Lets the child hold our lock: its (empty) standard input is the locked file, so that the lock is free only when
    /// the child is gone too, even if we are killed in between.
    pub(crate) fn holding(mut self, lock: &crate::git::lock::Lock) -> Self {
        if let Ok(file) = lock.share() {
            self.input = Input::File(file);
        }
        self
    }

    /// Writes the output into that file instead of memory.
    pub(crate) fn stdout_file(mut self, file: File) -> Self {
        self.output = Some(file);
        self
    }

    /// Ends the call by force after that time.
    pub(crate) fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// For calls as the person that reach a server: whatever would ask somebody fails instead. `ssh` is the command
    /// line of their ssh, `program` a program to use in its place.
    pub(crate) fn unattended(mut self, ssh: Option<&str>, program: Option<&OsStr>) -> Self {
        if let Some(ssh) = ssh {
            self.cmd.env("GIT_SSH_COMMAND", format!("{ssh} -oBatchMode=yes"));
        }
        if let Some(program) = program {
            self.cmd.env("GIT_SSH", program);
        }
        self.cmd.env("GIT_ASKPASS", "").env("SSH_ASKPASS_REQUIRE", "never").env("GCM_INTERACTIVE", "never");
        self
    }

    /// For calls that look at or write every file.
    pub(crate) fn long(mut self) -> Self {
        self.timeout = LONG_TIMEOUT;
        self
    }

    /// For calls that move refs: killed, they would leave locks behind (F6). They end by themselves in milliseconds.
    pub(crate) fn let_finish(mut self) -> Self {
        self.kill = false;
        self
    }

    /// Runs it to its end. Blocks.
    pub(crate) fn run(self) -> Result<Output, GitError> {
        let whole = self.timeout;
        self.run_while(whole, || true)
    }

    /// The same, but looks every so often whether it is still worth to wait.
    pub(crate) fn run_while(mut self, every: Duration, go_on: impl Fn() -> bool) -> Result<Output, GitError> {
        let attempted = format!("git {}", self.said.join(" "));
        let io = |source| GitError::Io { attempted: attempted.clone(), source };
        let (stdin, feed) = match self.input {
            Input::Empty => (Stdio::null(), None),
            Input::Bytes(bytes) => (Stdio::piped(), Some(bytes)),
            Input::File(file) => (Stdio::from(file), None),
        };
        self.cmd
            .stdin(stdin)
            .stdout(self.output.map_or_else(Stdio::piped, Stdio::from))
            .stderr(Stdio::piped())
            // A Ctrl-C at the terminal is for us, not for a git that is about to move a ref.
            .process_group(0);
        let child = self.cmd.spawn().map_err(io)?;
        let pid = child.id();
        let mut served = Served::new(child, feed, [self.cap, STDERR_CAP]).map_err(io)?;
        let mut waited = Duration::ZERO;
        let status = loop {
            let step = every.max(Duration::from_millis(1)).min(self.timeout - waited);
            if let Some(status) = served.serve(step).map_err(io)? {
                break status;
            }
            waited += step;
            if waited >= self.timeout || !go_on() {
                if self.kill {
                    kill_group(pid);
                    // It may be about to write: what is looked at next must be what stays.
                    served.serve(DEATH).ok();
                } else {
                    // It ends by itself; somebody has to take note of that.
                    thread::spawn(move || served.serve(LONG_TIMEOUT).ok());
                }
                return Err(GitError::TimedOut { attempted, after: waited });
            }
        };
        let [stdout, stderr] = served.into_written();
        if stdout.cut {
            return Err(GitError::TooMuch { attempted, limit: self.cap });
        }
        let stderr = String::from_utf8_lossy(&stderr.bytes).into_owned();
        let stdout = stdout.bytes;
        let code = status.code();
        tracing::trace!(target: "enki_vcs_git", git = %attempted, code, signal = status.signal(), "git ended");
        Ok(Output { code, stdout, stderr, attempted })
    }

    /// Runs it and takes any exit but 0 for an error.
    pub(crate) fn ok(self) -> Result<Output, GitError> {
        self.run()?.ok()
    }
}

impl Output {
    #[cfg(test)]
    pub(crate) fn of(code: i32, stdout: &str, stderr: &str) -> Self {
        let attempted = "git".to_owned();
        Self { code: Some(code), stdout: stdout.into(), stderr: stderr.to_owned(), attempted }
    }

    /// Takes any exit but 0 for an error.
    pub(crate) fn ok(self) -> Result<Self, GitError> {
        if self.code == Some(0) { Ok(self) } else { Err(self.into_error()) }
    }

    /// The error that this outcome is.
    pub(crate) fn into_error(self) -> GitError {
        GitError::Failed { attempted: self.attempted, code: self.code, stderr: self.stderr.trim().to_owned() }
    }

    /// The output without its line end, as text.
    pub(crate) fn line(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end_matches('\n').to_owned()
    }

    /// The output as an object id.
    pub(crate) fn id<T: std::str::FromStr>(&self) -> Result<T, GitError> {
        let line = self.line();
        line.parse().map_err(|_| GitError::Unexpected { attempted: self.attempted.clone(), output: line })
    }
}

/// What `cat-file --batch-check` says about one name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Object {
    /// It is there: full id and type.
    Is { id: String, kind: String },
    /// There is no such object.
    Missing,
}

impl Object {
    /// The id, if it is a commit.
    pub(crate) fn commit(&self) -> Option<CommitId> {
        match self {
            Self::Is { id, kind } if kind == "commit" => id.parse().ok(),
            _ => None,
        }
    }

    /// The id as whatever it is asked for.
    pub(crate) fn id<T: std::str::FromStr>(&self) -> Option<T> {
        match self {
            Self::Is { id, .. } => id.parse().ok(),
            Self::Missing => None,
        }
    }
}

impl Git {
    /// Looks up several names in one call. Names are full refs, full ids, or these with a suffix such as `^{tree}`.
    pub(crate) fn look_up(&self, git_dir: &Path, names: &[String]) -> Result<Vec<Object>, GitError> {
        let mut input = names.join("\n");
        input.push('\n');
        let output =
            self.at(git_dir).args(["cat-file", "--batch-check=%(objectname) %(objecttype)"]).stdin(input).ok()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let found: Vec<Object> = text
            .lines()
            .map(|line| match line.split_once(' ') {
                Some((id, kind)) if kind != "missing" && kind != "ambiguous" && !kind.contains(' ') => {
                    Object::Is { id: id.to_owned(), kind: kind.to_owned() }
                }
                _ => Object::Missing,
            })
            .collect();
        if found.len() == names.len() {
            Ok(found)
        } else {
            Err(GitError::Unexpected { attempted: output.attempted.clone(), output: text.chars().take(200).collect() })
        }
    }
}

fn kill_group(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        rustix::process::kill_process_group(pid, rustix::process::Signal::KILL).ok();
    }
}
