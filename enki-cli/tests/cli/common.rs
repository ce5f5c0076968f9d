//! Calls of the command line inside the test's own process, with streams in memory.

use enki_cli::{Backends, Exit, Host, Terminals};
use enki_core::time::Timestamp;
use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Memory {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// What a call printed and how it ended.
pub(crate) struct Answer {
    pub(crate) exit: Exit,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    /// All of it, for a snapshot, with the folder's name taken out.
    pub(crate) fn whole(&self, dir: &Path) -> String {
        let text = format!("{}{}=> {}\n", self.stdout, self.stderr, self.exit.code());
        text.replace(dir.to_str().unwrap(), "[DIR]")
    }
}

pub(crate) fn call(dir: &Path, args: &[&str]) -> Answer {
    call_with(dir, args, &[], "")
}

/// A call in a folder that is also the home, with more variables and a standard input.
pub(crate) fn call_with(dir: &Path, args: &[&str], env: &[(&str, &str)], stdin: &str) -> Answer {
    let (stdout, stderr) = (Memory::default(), Memory::default());
    let mut vars: std::collections::BTreeMap<_, _> =
        [("HOME", dir.join("home").to_str().unwrap()), ("PATH", "/usr/local/bin:/usr/bin:/bin"), ("LANG", "C.UTF-8")]
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
    for (name, value) in env {
        if value.is_empty() {
            vars.remove(std::ffi::OsStr::new(name));
        } else {
            vars.insert((*name).into(), (*value).into());
        }
    }
    let host = Host {
        args: std::iter::once("enki").chain(args.iter().copied()).map(Into::into).collect(),
        env: vars,
        cwd: Some(dir.to_owned()),
        clock: || Timestamp(1_700_000_000_000),
        pid: 4711,
        boot: None,
        supervisor: None,
        stdin: Box::new(Cursor::new(stdin.as_bytes().to_vec())),
        stdout: Box::new(stdout.clone()),
        stderr: Box::new(stderr.clone()),
        terminal: Terminals::default(),
        columns: None,
    };
    let exit = enki_cli::run(host, Backends::new());
    Answer { exit, stdout: stdout.text(), stderr: stderr.text() }
}

/// The binary, as it would be started in that folder, which is also the home.
pub(crate) fn enki(dir: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("enki"));
    command.current_dir(dir).env_clear().env("HOME", dir.join("home")).env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command
}

/// Runs git, which must succeed, and gives what it printed.
pub(crate) fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "init.defaultBranch=main"])
        .args(args)
        .current_dir(dir)
        .env_remove("GIT_DIR")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A repository with one commit on `main`.
pub(crate) fn repository(root: &Path) -> PathBuf {
    std::fs::create_dir_all(root).unwrap();
    git(root, &["init", "-q"]);
    git(root, &["commit", "-q", "--allow-empty", "-m", "begin"]);
    root.to_owned()
}
