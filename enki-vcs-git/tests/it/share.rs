//! Ignored folders of the person's work tree in workspaces: copies, never the same files.

use crate::support::*;
use enki_core::workspace::{Capture, Expect, Start, WorkspaceProvider};
use enki_vcs_git::{GitOptions, GitWorkspaces};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

fn sharing(repo: &Repo, folders: &[&str], change: impl FnOnce(&mut GitOptions)) -> GitWorkspaces {
    let shared = |options: &mut GitOptions| {
        options.share_ignored = folders.iter().map(ToString::to_string).collect();
        change(options);
    };
    repo.project().with_options(shared).workspaces()
}

async fn created(repo: &Repo, workspaces: &GitWorkspaces, step: &str) -> PathBuf {
    let spec = spec(step, 1, Start::Fresh { base: repo.head("main") });
    let path = workspaces.create(&spec).await.unwrap().path;
    assert_eq!(workspaces.capture(&capture(&spec, Expect::Change)).await.unwrap(), Capture::NoChange);
    assert_eq!(repo.git_in(&path, &["status", "--porcelain"]), "");
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ignored_folder_of_the_person_is_copied_into_a_fresh_workspace() {
    let repo = Repo::new();
    repo.write("target/debug/app", "binary\n");
    let app = repo.root.join("target/debug/app");
    fs::set_permissions(&app, fs::Permissions::from_mode(0o6755)).unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::new(1_600_000_000, 123_456_789);
    fs::File::open(&app).unwrap().set_modified(old).unwrap();
    symlink("debug/app", repo.root.join("target/app")).unwrap();
    symlink("/etc/hostname", repo.root.join("target/absolute")).unwrap();
    symlink("../../outside", repo.root.join("target/escapes")).unwrap();
    pipe(&repo, "target/pipe");
    let work = created(&repo, &sharing(&repo, &["target/", "missing"], |_| {}), "a").await;
    let copy = fs::metadata(work.join("target/debug/app")).unwrap();
    assert_eq!(fs::read_to_string(work.join("target/app")).unwrap(), "binary\n");
    assert_eq!(copy.modified().unwrap(), old, "build tools compare it");
    assert_eq!(copy.mode() & 0o7777, 0o755, "it may be run, and as nobody else");
    assert_ne!(copy.ino(), fs::metadata(&app).unwrap().ino());
    for left_out in ["absolute", "escapes", "pipe"] {
        assert!(fs::symlink_metadata(work.join("target").join(left_out)).is_err(), "{left_out}");
    }
    assert!(!work.join("missing").exists());
    fs::write(work.join("target/debug/app"), "changed\n").unwrap();
    assert_eq!(repo.read("target/debug/app"), "binary\n", "what an agent writes is its own");
}

#[expect(clippy::disallowed_methods, reason = "a test plays the person")]
fn pipe(repo: &Repo, path: &str) {
    assert!(std::process::Command::new("mkfifo").arg(repo.root.join(path)).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_git_would_see_or_what_leads_elsewhere_is_not_shared() {
    let repo = Repo::new();
    repo.write("target/kept.txt", "x\n");
    repo.git(&["add", "-f", "target/kept.txt"]);
    repo.write(".gitignore", "target/\n/linked\n/.enki/\n");
    repo.commit("a tracked file in an ignored folder");
    repo.write("target/more.txt", "x\n");
    repo.write("seen/file", "x\n");
    let outside = repo.dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "x").unwrap();
    symlink(&outside, repo.root.join("linked")).unwrap();
    // Ignored for the person alone: in the workspace git would see it.
    fs::write(repo.root.join(".git/info/exclude"), "/.enki/\n/seen\n").unwrap();
    write(&repo.project().ensure_enki_dir().unwrap(), "logs/file", "x\n");
    let folders =
        ["seen", "target", "linked", "../outside", outside.to_str().unwrap(), ".git", ".enki/logs", "a/../target", ""];
    let work = created(&repo, &sharing(&repo, &folders, |_| {}), "a").await;
    assert!(work.join("target/kept.txt").exists() && !work.join("target/more.txt").exists());
    for folder in ["seen", "linked", "outside", ".enki/logs"] {
        assert!(fs::symlink_metadata(work.join(folder)).is_err(), "{folder}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_past_the_limit_is_left_out_as_a_whole() {
    let repo = Repo::new();
    repo.write(".gitignore", "target/\nsmall/\n");
    repo.commit("ignore more");
    for n in 0..20 {
        repo.write(&format!("target/{n}"), &"x".repeat(10_000));
    }
    repo.write("small/file", "x\n");
    for limit in [(100_000, 1000), (10 << 20, 10)] {
        let workspaces = sharing(&repo, &["target", "small"], |options| options.share_limit = limit);
        let step = if limit.1 == 10 { "a" } else { "b" };
        let work = created(&repo, &workspaces, step).await;
        if repo.shares_blocks() {
            println!("skipped: this file system shares blocks, so there is no limit");
        } else {
            assert!(!work.join("target").exists(), "{limit:?}");
        }
        assert!(work.join("small/file").exists(), "{limit:?}");
    }
}

impl Repo {
    #[expect(clippy::disallowed_methods, reason = "a test asks the file system")]
    fn shares_blocks(&self) -> bool {
        let (a, b) = (self.dir.path().join("clone-a"), self.dir.path().join("clone-b"));
        fs::write(&a, "x").unwrap();
        let cp = std::process::Command::new("cp").arg("--reflink=always").args([&a, &b]).output();
        cp.is_ok_and(|output| output.status.success())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_workspace_has_its_caches_and_a_used_one_gets_them_anew() {
    let repo = Repo::new();
    let base = repo.head("main");
    repo.write("target/cache", "first\n");
    let workspaces = sharing(&repo, &["target"], |options| options.pool = 1);
    workspaces.prepare(base, 1).await;
    workspaces.prepare(base, 0).await;
    let prepared = fs::metadata(repo.root.join(".enki/pool/1/work/target/cache")).unwrap().ino();
    let work = created(&repo, &workspaces, "a").await;
    assert_eq!(fs::metadata(work.join("target/cache")).unwrap().ino(), prepared);
    fs::write(work.join("target/cache"), "poisoned\n").unwrap();
    write(&work, "target/more", "poisoned\n");
    workspaces.remove(task("a")).await.unwrap();
    repo.write("target/cache", "second\n");
    workspaces.prepare(base, 1).await;
    let work = repo.root.join(".enki/pool/1/work");
    assert_eq!(fs::read_to_string(work.join("target/cache")).unwrap(), "second\n");
    assert!(!work.join("target/more").exists());
}

/// A file system of its own that shares blocks. It goes when this does, so it has to be made before what is on it.
#[cfg(target_os = "linux")]
struct Mount {
    dir: tempfile::TempDir,
}

#[cfg(target_os = "linux")]
impl Mount {
    /// Tells the reason if this machine has not what it needs.
    fn new() -> Result<Self, String> {
        let mount = Self { dir: tempfile::tempdir().unwrap() };
        let (image, at) = (mount.dir.path().join("image"), mount.at());
        fs::create_dir(&at).unwrap();
        fs::File::create(&image).unwrap().set_len(512 << 20).unwrap();
        let xfs = run("mkfs.xfs", &["-q".as_ref(), "-m".as_ref(), "reflink=1".as_ref(), image.as_ref()]);
        if let Err(why) = xfs {
            run("mkfs.btrfs", &["-q".as_ref(), image.as_ref()]).map_err(|other| format!("{why}; {other}"))?;
        }
        run("mount", &["-o".as_ref(), "loop".as_ref(), image.as_ref(), at.as_ref()])?;
        Ok(mount)
    }

    fn at(&self) -> PathBuf {
        self.dir.path().join("at")
    }

    /// Bytes that are in use, once all is written.
    fn used(&self) -> u64 {
        let folder = fs::File::open(self.at()).unwrap();
        rustix::fs::syncfs(&folder).unwrap();
        let stat = rustix::fs::fstatvfs(&folder).unwrap();
        (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    }
}

#[cfg(target_os = "linux")]
impl Drop for Mount {
    fn drop(&mut self) {
        if run("umount", &[self.at().as_ref()]).is_err() {
            // Never mounted, or still in use: then it goes when nobody uses it any more.
            run("umount", &["-l".as_ref(), self.at().as_ref()]).ok();
        }
    }
}

#[cfg(target_os = "linux")]
#[expect(clippy::disallowed_methods, reason = "a test makes a file system")]
fn run(program: &str, args: &[&std::ffi::OsStr]) -> Result<(), String> {
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    match std::process::Command::new(program).args(args).env("PATH", path).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[cfg(target_os = "linux")]
async fn where_the_file_system_can_blocks_are_shared_until_one_of_the_two_is_written() {
    const SIZE: usize = 64 << 20;
    let mount = match Mount::new() {
        Ok(mount) => mount,
        Err(why) => return println!("skipped: no file system that shares blocks can be made here: {why}"),
    };
    let repo = Repo::inside(&mount.at());
    fs::create_dir_all(repo.root.join("target")).unwrap();
    let bytes: Vec<u8> = (0u32..).map(|n| (n / 4096 + n).to_le_bytes()[0]).take(SIZE).collect();
    fs::write(repo.root.join("target/big"), &bytes).unwrap();
    // Nothing at all may be copied byte by byte.
    let workspaces = sharing(&repo, &["target"], |options| options.share_limit = (0, 0));
    let before = mount.used();
    let work = created(&repo, &workspaces, "a").await;
    let copy = work.join("target/big");
    assert!(fs::read(&copy).unwrap() == bytes);
    let grown = mount.used().saturating_sub(before);
    assert!(grown < SIZE as u64 / 2, "{grown} bytes more are in use");

    let file = fs::File::options().write(true).open(&copy).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[b'!'; 8192], 4096).unwrap();
    drop(file);
    assert!(fs::read(repo.root.join("target/big")).unwrap() == bytes, "what an agent writes is its own");
    fs::write(repo.root.join("target/big"), "new\n").unwrap();
    let copied = fs::read(&copy).unwrap();
    assert!(copied[4096..12288] == [b'!'; 8192] && copied[12288..] == bytes[12288..]);
}
