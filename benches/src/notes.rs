//! A project of many notes, and the program of this build at work in it, each call a process of its own as a person
//! starts it.

#![expect(clippy::disallowed_methods, reason = "a benchmark plays the person, and what they would use instead")]

use crate::merges::median;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A project with notes in it.
#[derive(Debug)]
pub struct Noted {
    folder: TempDir,
    root: PathBuf,
}

/// Words that notes are made of.
const WORDS: &[&str] = &[
    "lock", "import", "crash", "login", "queue", "merge", "slow", "test", "index", "note", "agent", "start",
    "password", "page", "retry", "disk", "branch", "review", "budget", "clock",
];

impl Noted {
    /// So many notes, a quarter of them ideas, issues, tasks and results each; one idea has the word `zebra`.
    ///
    /// # Panics
    ///
    /// If it cannot be made: then there is nothing to measure.
    #[must_use]
    pub fn new(number: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let root = folder.path().canonicalize().expect("it was just made").join("p");
        for made in [folder.path().join("home"), root.join(".enki")] {
            fs::create_dir_all(made).expect("it can be written");
        }
        let noted = Self { folder, root };
        for n in 0..number {
            let kind = ["idea", "issue", "task", "result"][n % 4];
            let name = format!("docs/log/{kind}/{kind}-ada-{}-{:06}.md", stamp(n), n % 1_000_000);
            let path = noted.root.join(name);
            fs::create_dir_all(path.parent().expect("it is in a folder")).expect("it can be written");
            fs::write(path, text(n, kind)).expect("it can be written");
        }
        fs::write(noted.root.join(".enki/enki.toml"), "[agent]\ncommand = \"true\"\n").expect("it can be written");
        for args in [
            &["init", "-q", "-b", "main"][..],
            &["config", "user.name", "ada"],
            &["config", "user.email", "a@example.org"],
            &["commit", "-q", "--allow-empty", "-m", "first"],
        ] {
            noted.ran(Command::new("git").args(args));
        }
        noted
    }

    /// Milliseconds of a call of the program in it, the median of so many. Each must end well.
    ///
    /// # Panics
    ///
    /// If one does not.
    #[must_use]
    pub fn enki(&self, program: &Path, times: usize, args: &[&str]) -> f64 {
        self.median(times, || {
            let mut command = Command::new(program);
            command.args(args).env("ENKI_SANDBOX_LEVEL", "0");
            command
        })
    }

    /// The same of a line of shell.
    ///
    /// # Panics
    ///
    /// If it fails.
    #[must_use]
    pub fn shell(&self, times: usize, line: &str) -> f64 {
        self.median(times, || {
            let mut command = Command::new("sh");
            command.args(["-c", line]);
            command
        })
    }

    /// Milliseconds of promoting an idea, the median of so many of them.
    ///
    /// # Panics
    ///
    /// If there are not as many.
    #[must_use]
    pub fn promote(&self, program: &Path, times: usize) -> f64 {
        let names = fs::read_dir(self.root.join("docs/log/idea")).expect("there are some");
        let mut names: Vec<String> = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        let one = |name: &String| self.enki(program, 1, &["promote", &format!("docs/log/idea/{name}")]);
        median(&names[names.len() - times..].iter().map(one).collect::<Vec<f64>>())
    }

    /// Milliseconds until `enki up` takes calls, the median of so many starts.
    ///
    /// # Panics
    ///
    /// If it does not start within a minute, or does not end by Ctrl-C.
    #[must_use]
    pub fn up(&self, program: &Path, times: usize) -> f64 {
        self.ran(Command::new(program).args(["projects", "add", ".", "--name", "p"]));
        let socket = self.root.join(".enki/enki.sock");
        let one = |_| {
            let _ = fs::remove_file(&socket);
            let start = Instant::now();
            let mut up = Command::new(program);
            up.arg("up").current_dir(&self.root).env("HOME", self.folder.path().join("home"));
            let up = up.env("ENKI_SANDBOX_LEVEL", "0").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut up = up.spawn().expect("it starts");
            while UnixStream::connect(&socket).is_err() {
                assert!(start.elapsed() < Duration::from_secs(60), "it takes no calls");
                std::thread::sleep(Duration::from_micros(200));
            }
            let ready = start.elapsed().as_secs_f64() * 1e3;
            self.ran(Command::new("kill").args(["-INT", &up.id().to_string()]));
            assert_eq!(up.wait().expect("it ends").code(), Some(130));
            ready
        };
        median(&(0..times).map(one).collect::<Vec<f64>>())
    }

    /// Forgets the search index.
    pub fn forget(&self) {
        // It may not be there yet.
        let _ = fs::remove_file(self.root.join(".enki/search.db"));
    }

    fn median(&self, times: usize, command: impl Fn() -> Command) -> f64 {
        let one = |_| {
            let start = Instant::now();
            self.ran(&mut command());
            start.elapsed().as_secs_f64() * 1e3
        };
        median(&(0..times).map(one).collect::<Vec<f64>>())
    }

    fn ran(&self, command: &mut Command) {
        let command = command.current_dir(&self.root).env("HOME", self.folder.path().join("home"));
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(status.as_ref().is_ok_and(std::process::ExitStatus::success), "{command:?}: {status:?}");
    }
}

/// One each minute.
fn stamp(n: usize) -> String {
    let (minute, hour, day) = (n % 60, n / 60 % 24, n / 60 / 24);
    format!("2026{:02}{:02}-{hour:02}{minute:02}00", 1 + day / 28, 1 + day % 28)
}

fn text(n: usize, kind: &str) -> String {
    let word = |at: usize| WORDS[(n.wrapping_mul(7) + at.wrapping_mul(13) + at * n / 3) % WORDS.len()];
    let mut text = format!(
        "---\ntitle: The {} of the {} {n}\nstatus: {}\n",
        word(0),
        word(1),
        ["open", "open", "done", "done"][n % 4]
    );
    let _ = write!(text, "timestamp: 2026-01-01T00:00:00Z\ntags: [{kind}]\ncapture_id: {n:012x}\n---\n\n");
    if kind == "task" {
        text.push_str("## Prompt\n\n");
    }
    for at in 0..60 {
        let _ = write!(text, "{} ", word(at));
    }
    text.push_str(if n == 0 { "zebra\n" } else { "\n" });
    text
}
