//! A generated repository of a person, for what is measured with real git.

#![expect(clippy::disallowed_methods, reason = "a benchmark plays the person and the loop it is measured against")]

use enki_vcs_git::{GitOptions, GitProject};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A repository of generated files on `main`, with the branch `aside` checked out, so that `main` can be moved.
#[derive(Debug)]
pub struct Repository {
    folder: TempDir,
    root: PathBuf,
    files: usize,
}

impl Repository {
    /// One of so many files of so many bytes, in folders of at most a hundred.
    ///
    /// # Panics
    ///
    /// If it cannot be made: then there is nothing to measure.
    #[must_use]
    pub fn new(files: usize, bytes: usize) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let root = folder.path().canonicalize().expect("it was just made").join("p");
        fs::create_dir_all(folder.path().join("home")).expect("it can be written");
        let repository = Self { folder, root, files };
        for n in 0..files {
            let path = repository.root.join(repository.file(n));
            fs::create_dir_all(path.parent().expect("it is in the root")).expect("it can be written");
            fs::write(path, content(n, bytes)).expect("it can be written");
        }
        repository.git(&["init", "-q", "-b", "main"]);
        repository.git(&["config", "user.name", "Person"]);
        repository.git(&["config", "user.email", "person@example.org"]);
        repository.git(&["config", "gc.auto", "0"]);
        repository.git(&["add", "-A"]);
        repository.git(&["commit", "-q", "-m", "first"]);
        repository.git(&["repack", "-q", "-a", "-d"]);
        repository.git(&["checkout", "-q", "-b", "aside"]);
        repository
    }

    /// Top of the work tree.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A folder beside the repository.
    #[must_use]
    pub fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The path of a file, relative.
    #[must_use]
    pub fn file(&self, n: usize) -> String {
        let (folder, file) = (n / 100, n % 100);
        if self.files > 1000 {
            format!("part{:02}/d{:02}/f{file:02}.txt", folder / 20, folder % 20)
        } else {
            format!("d{:02}/f{:02}.txt", n / 20, n % 20)
        }
    }

    /// The repository as a project of Enki.
    ///
    /// # Panics
    ///
    /// If git is missing.
    #[must_use]
    pub fn project(&self) -> GitProject {
        GitProject::open(&self.root, GitOptions::new(self.env())).expect("the repository was just made")
    }

    /// Runs the person's git in the repository and gives the first line of its output.
    ///
    /// # Panics
    ///
    /// If git fails.
    pub fn git(&self, args: &[&str]) -> String {
        self.git_in(&self.root, args)
    }

    /// The same in that folder.
    ///
    /// # Panics
    ///
    /// If git fails.
    pub fn git_in(&self, folder: &Path, args: &[&str]) -> String {
        let mut cmd = Command::new("git");
        cmd.args(args);
        self.run(cmd, folder)
    }

    /// Runs a shell script in the repository.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn shell(&self, script: &str, args: &[&str]) -> String {
        let mut cmd = Command::new("sh");
        cmd.args(["-euc", script, "sh"]).args(args);
        self.run(cmd, &self.root)
    }

    fn run(&self, mut cmd: Command, folder: &Path) -> String {
        let output = cmd.env_clear().envs(self.env()).current_dir(folder).stdin(Stdio::null()).output();
        let output = output.expect("the program is installed");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{cmd:?} failed: {said}");
        String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned()
    }

    fn env(&self) -> Vec<(OsString, OsString)> {
        let path = OsStr::new("/usr/local/bin:/usr/bin:/bin").to_owned();
        vec![("PATH".into(), path), ("HOME".into(), self.folder.path().join("home").into())]
    }
}

/// What a file begins with: lines that differ from file to file.
#[must_use]
pub fn content(n: usize, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 64);
    let mut seed = n as u64 + 1;
    while text.len() < bytes {
        // A linear congruence: text that does not compress to nothing, and the same each time.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&format!("{:016x} line of file {n}\n", seed));
    }
    text
}
