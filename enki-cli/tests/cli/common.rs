//! Calls of the command line inside the test's own process, with streams in memory; and a project of a person, with
//! the binary, real git, the real store and a script as the agent.

use enki_cli::{Backends, Exit, Host, Terminals};
use enki_core::time::Timestamp;
use serde_json::Value;
use std::fs;
use std::io::{self, Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
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
    // Agents of most tests note what they did in folders of the test. What a sandbox does is tried in `hostile`, and with
    // the real client.
    command.env("ENKI_SANDBOX_LEVEL", "0");
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
    fs::create_dir_all(root).unwrap();
    git(root, &["init", "-q"]);
    git(root, &["commit", "-q", "--allow-empty", "-m", "begin"]);
    root.to_owned()
}

/// A project beside a home, with an agent that is a script.
pub(crate) struct Place {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) root: PathBuf,
}

/// What a step does follows from its id: `fail…` leaves half of its work and fails, `slow…` waits for the gate.
const AGENT: &str = r#"#!/bin/sh
cat >/dev/null
case $ENKI_STEP_ID in
slow*) echo "at work"; while [ ! -e "$GATE" ]; do sleep 0.02; done; echo x >"$ENKI_STEP_ID.txt" ;;
fail*) echo half >half.txt; echo "cannot do it" >&2; exit 3 ;;
noop*) ;;
bad*) echo broken >broken ;;
*) echo "by $ENKI_STEP_ID" >"$ENKI_STEP_ID.txt"; echo "[OUTPUT]made $ENKI_STEP_ID.txt[/OUTPUT]" ;;
esac
"#;

impl Place {
    /// A repository, with settings.
    pub(crate) fn new() -> Self {
        Self::below("project")
    }

    /// The same at that path.
    pub(crate) fn below(path: &str) -> Self {
        let place = Self::folder(path, AGENT);
        repository(&place.root);
        fs::create_dir(place.root.join(".enki")).unwrap();
        place.settings("");
        place
    }

    /// An empty folder, without anything of git or of Enki.
    pub(crate) fn folder(path: &str, agent: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join(path);
        for made in [&root, &dir.path().join("home")] {
            fs::create_dir_all(made).unwrap();
        }
        let place = Self { dir, root };
        place.agent(agent);
        place
    }

    /// Gives it another agent.
    pub(crate) fn agent(&self, script: &str) {
        fs::write(self.dir.path().join("agent.sh"), script).unwrap();
    }

    pub(crate) fn settings(&self, more: &str) {
        self.settings_with(&[], more);
    }

    /// Settings in which the agent has these variables too.
    pub(crate) fn settings_with(&self, variables: &[(&str, &str)], more: &str) {
        let agent = self.dir.path().join("agent.sh");
        let mut env = format!("GATE = {:?}", self.gate());
        for (name, value) in variables {
            env.push_str(&format!(", {name} = {value:?}"));
        }
        let text = format!("[agent]\ncommand = \"sh\"\nargs = [{agent:?}]\nenv = {{ {env} }}\n{more}");
        fs::write(self.root.join(".enki/enki.toml"), text).unwrap();
    }

    /// Slow steps wait until this file is there.
    pub(crate) fn gate(&self) -> PathBuf {
        self.dir.path().join("gate")
    }

    pub(crate) fn open_gate(&self) {
        fs::write(self.gate(), "").unwrap();
    }

    /// A plan file; each step as `id`, `id!` for a checkpoint, or `id: need need`.
    pub(crate) fn plan(&self, name: &str, steps: &[&str]) -> PathBuf {
        self.plan_with(name, steps, &[])
    }

    /// The same with these fields more.
    pub(crate) fn plan_with(&self, name: &str, steps: &[&str], more: &[(&str, &str)]) -> PathBuf {
        let step = |text: &&str| {
            let (id, needs) = text.split_once(':').unwrap_or((text, ""));
            let needs: Vec<&str> = needs.split_whitespace().collect();
            let plain = id.trim_end_matches('!');
            serde_json::json!({"id": plain, "title": format!("Step {plain}"), "description": "Do it.", "needs": needs,
                "checkpoint": id.ends_with('!')})
        };
        let mut plan = serde_json::json!({"title": "A plan", "steps": steps.iter().map(step).collect::<Vec<_>>()});
        for (field, value) in more {
            plan[*field] = (*value).into();
        }
        let path = self.dir.path().join(name);
        fs::write(&path, plan.to_string()).unwrap();
        path
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.command_in(&self.root, args)
    }

    /// The binary as it would be started in that folder.
    pub(crate) fn command_in(&self, folder: &Path, args: &[&str]) -> Command {
        let mut command = enki(folder);
        command.env("HOME", self.dir.path().join("home")).args(args);
        command
    }

    pub(crate) fn enki(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let output = self.enki(&[args, &["--json"]].concat());
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", both(&output)))
    }

    /// The execution that was submitted last.
    pub(crate) fn newest(&self) -> String {
        self.json(&["status"])["executions"][0]["id"].as_str().unwrap().to_owned()
    }
}

/// All that it printed.
pub(crate) fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

/// Looks again until it is so, for at most two minutes.
pub(crate) fn until(mut is: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if is() {
            return;
        }
        wait();
    }
    panic!("it never was so");
}

#[expect(clippy::disallowed_methods, reason = "another process is waited for, which tells nobody")]
pub(crate) fn wait() {
    std::thread::sleep(std::time::Duration::from_millis(20));
}
