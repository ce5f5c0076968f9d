//! A folder that is swapped for a symbolic link again and again, while Enki reads and removes below it (S5).

use crate::support::*;
use enki_core::workspace::{Capture, Expect, WorkspaceProvider};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

/// Swaps a folder and a link that leads out of the workspace until it is told to stop.
struct Swapper {
    stop: Arc<AtomicBool>,
    swaps: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Swapper {
    fn start(at: PathBuf, outside: PathBuf) -> Self {
        let (stop, swaps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (told, count) = (Arc::clone(&stop), Arc::clone(&swaps));
        let thread = thread::spawn(move || {
            let aside = at.with_extension("aside");
            while !told.load(Ordering::Relaxed) {
                if fs::rename(&at, &aside).is_err() {
                    fs::create_dir_all(&aside).ok();
                }
                symlink(&outside, &at).ok();
                fs::remove_file(&at).ok();
                if fs::rename(&aside, &at).is_err() {
                    fs::create_dir_all(&at).ok();
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { stop, swaps, thread }
    }

    fn swaps(&self) -> usize {
        self.swaps.load(Ordering::Relaxed)
    }

    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.swaps.load(Ordering::Relaxed)
    }
}

const SECRET: &str = "# Not for anybody\n";

/// A folder of the person outside, with files that must stay what they are.
fn outside(repo: &Repo) -> PathBuf {
    let dir = repo.dir.path().canonicalize().unwrap().join("outside");
    for n in 0..5 {
        write(&dir, &format!("deep/{n}.txt"), "precious\n");
    }
    write(&dir, "look.md", SECRET);
    dir
}

fn assert_untouched(outside: &Path) {
    assert_eq!(fs::read_to_string(outside.join("look.md")).unwrap(), SECRET);
    for n in 0..5 {
        assert_eq!(fs::read_to_string(outside.join(format!("deep/{n}.txt"))).unwrap(), "precious\n");
    }
    assert_eq!(fs::read_dir(outside).unwrap().count(), 2);
    assert_eq!(fs::read_dir(outside.join("deep")).unwrap().count(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_is_never_read_from_behind_a_link_that_comes_and_goes() {
    let repo = Repo::new();
    let outside = outside(&repo);
    let (workspaces, spec, made) = fresh(&repo, "look").await;
    let folder = made.path.join(format!(".enki/artifacts/{EXECUTION}"));
    write(&folder, "look.md", "# Report\n");
    let swapper = Swapper::start(folder, outside.clone());
    let (mut rounds, mut read) = (0, 0);
    while swapper.swaps() < 1000 || rounds < 10 {
        rounds += 1;
        match workspaces.capture(&capture(&spec, Expect::Artifact)).await {
            Ok(captured) => match captured.apart().0 {
                Capture::Artifact => {
                    read += 1;
                    assert_eq!(repo.read(&format!(".enki/artifacts/{EXECUTION}/look.md")), "# Report\n");
                }
                Capture::NoArtifact | Capture::Refused { .. } => {}
                other => panic!("{other:?}"),
            },
            Err(error) => println!("round {rounds}: {error}"),
        }
    }
    println!("{} swaps, {rounds} captures, {read} of them with the artifact, none with the secret", swapper.end());
    assert_untouched(&outside);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_below_a_workspace_is_never_what_a_link_leads_to() {
    let repo = Repo::new();
    let outside = outside(&repo);
    let (workspaces, spec, made) = fresh(&repo, "a").await;
    let nested = made.path.join("nested");
    let prepare = || {
        for n in 0..20 {
            write(&nested, &format!("deep/{n}.txt"), "rubbish\n");
        }
        repo.try_git_in(&nested, &["init", "-q"]);
    };
    prepare();
    let swapper = Swapper::start(nested.join("deep"), outside.join("deep"));
    let mut rounds = 0;
    while swapper.swaps() < 1000 || rounds < 10 {
        rounds += 1;
        // A review that leaves a repository of its own: it is removed.
        if let Err(error) = workspaces.capture(&capture(&spec, Expect::Nothing)).await {
            println!("round {rounds}: {error}");
        }
        assert_untouched(&outside);
        fs::create_dir_all(&nested).ok();
        prepare_quietly(&nested);
    }
    println!("{} swaps, {rounds} removals", swapper.end());
    assert_untouched(&outside);
}

/// The other side may be at it: what cannot be written now is left out.
fn prepare_quietly(nested: &Path) {
    fs::create_dir_all(nested.join(".git/refs")).ok();
    fs::create_dir_all(nested.join(".git/objects")).ok();
    fs::write(nested.join(".git/HEAD"), "ref: refs/heads/main\n").ok();
    for n in 0..20 {
        fs::write(nested.join(format!("{n}.txt")), "rubbish\n").ok();
    }
}
