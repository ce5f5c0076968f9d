//! Ignored folders of the person's work tree, such as build caches, as copies in a workspace. Never the same files:
//! what an agent writes there is its own.

use crate::error::GitError;
use crate::git::Durable;
use crate::isolation::beneath::open_folder;
use crate::project::GitProject;
use crate::workspaces::stage::Files;
use crate::workspaces::sweep;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Error, Read};
use std::os::fd::OwnedFd;

/// Brings the folders of `share_ignored` into fresh files. One that is there already stays as it is; one that cannot be
/// shared is left out, with a warning.
pub(crate) fn share(project: &GitProject, at: Files<'_>) -> Result<(), GitError> {
    let mut left = project.options().share_limit;
    for wish in &project.options().share_ignored {
        match share_one(project, at, wish, &mut left) {
            Ok(()) => {}
            Err(NotShared::Left(why)) => {
                tracing::warn!(folder = %wish, "workspace.share_ignored: left out, because {why}");
            }
            Err(NotShared::Failed(error)) => return Err(error),
        }
    }
    Ok(())
}

enum NotShared {
    /// The workspace goes without it.
    Left(String),
    Failed(GitError),
}

fn share_one(project: &GitProject, at: Files<'_>, wish: &str, left: &mut (u64, u64)) -> Result<(), NotShared> {
    let wish = wish.strip_suffix('/').unwrap_or(wish);
    let parts: Vec<&str> = wish.split('/').collect();
    if parts.iter().any(|part| matches!(*part, "" | "." | "..") || part.eq_ignore_ascii_case(".git"))
        || parts[0] == ".enki"
    {
        return Err(NotShared::Left("it is not a path below the project".to_owned()));
    }
    let failed = |attempted: &str, e| NotShared::Failed(GitError::io(attempted, &at.work.join(wish), e));
    let from = match open_folder(project.root(), &parts, false) {
        Ok(from) => from,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(NotShared::Left(format!("it cannot be read without following a link: {e}"))),
    };
    let target = at.work.join(wish);
    if target.symlink_metadata().is_ok() {
        return Ok(());
    }
    let (bytes, files) = measure(&from, 0).map_err(|e| NotShared::Left(format!("it cannot be read: {e}")))?;
    let to = open_folder(at.work, &parts, true).map_err(|e| failed("make", e))?;
    let result = if !is_ignored(project, at, wish).map_err(NotShared::Failed)? {
        Err(NotShared::Left("git does not ignore it in the workspace: name it in .gitignore".to_owned()))
    } else {
        let mut copy = Copy { left: *left, clones: None };
        match copy.folder(&from, &to, parts.len()) {
            Ok(()) => {
                *left = copy.left;
                Ok(())
            }
            Err(e) if e.kind() == io::ErrorKind::QuotaExceeded => Err(NotShared::Left(format!(
                "its {files} files of {bytes} bytes are more than is copied into a workspace, and this file system \
                 cannot share blocks"
            ))),
            Err(e) => Err(failed("copy into", e)),
        }
    };
    if result.is_err() {
        drop(to);
        sweep::remove(&target).map_err(|e| failed("remove", e))?;
    }
    result
}

/// Whether git ignores the folder there, as a whole.
fn is_ignored(project: &GitProject, at: Files<'_>, path: &str) -> Result<bool, GitError> {
    let mut input = path.as_bytes().to_vec();
    input.push(0);
    let ignored = at.at(project, Durable::No).args(["check-ignore", "-q", "-z", "--stdin"]).stdin(input).run()?;
    match ignored.code {
        Some(0) => {}
        Some(1) => return Ok(false),
        _ => return Err(ignored.into_error()),
    }
    let tracked =
        at.at(project, Durable::No).args(["ls-files", "-z", "--"]).arg(format!(":(top,literal){path}")).ok()?;
    Ok(tracked.stdout.is_empty())
}

/// Bytes and files below a folder.
fn measure(folder: &OwnedFd, depth: usize) -> io::Result<(u64, u64)> {
    let (mut bytes, mut files) = (0, 0);
    for name in names(folder)? {
        let Some(stat) = look(folder, &name)? else { continue };
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let (b, f) = measure(&enter(folder, &name, depth)?, depth + 1)?;
            (bytes, files) = (bytes + b, files + f);
        } else {
            (bytes, files) = (bytes + u64::try_from(stat.st_size).unwrap_or(0), files + 1);
        }
    }
    Ok((bytes, files))
}

struct Copy {
    /// What may still be copied byte by byte: bytes, and files.
    left: (u64, u64),
    /// Whether the file system shares blocks, once that is known.
    clones: Option<bool>,
}

impl Copy {
    /// Copies what is in a folder that is `depth` folders below the top of the workspace.
    fn folder(&mut self, from: &OwnedFd, to: &OwnedFd, depth: usize) -> io::Result<()> {
        for name in names(from)? {
            // A build may be at work there: what is gone is gone.
            let Some(stat) = look(from, &name)? else { continue };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => {
                    rustix::fs::mkdirat(to, &name, Mode::RWXU)?;
                    let (inner, copy) = (enter(from, &name, depth)?, enter(to, &name, depth)?);
                    self.folder(&inner, &copy, depth + 1)?;
                    rustix::fs::fchmod(&copy, Mode::from_raw_mode(stat.st_mode & 0o777 | 0o700))?;
                    rustix::fs::futimens(&copy, &times(&stat))?;
                }
                FileType::RegularFile => self.file(from, to, &name)?,
                FileType::Symlink => link(from, to, &name, depth)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, from: &OwnedFd, to: &OwnedFd, name: &CStr) -> io::Result<()> {
        // NONBLOCK: a pipe that took the file's place must not hold us.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let source = match rustix::fs::openat(from, name, flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(Errno::NOENT | Errno::LOOP) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        let stat = rustix::fs::fstat(&source)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut copy = File::from(rustix::fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR)?);
        if !self.clone(&source, &copy)? {
            let full = || Error::from(io::ErrorKind::QuotaExceeded);
            self.left.1 = self.left.1.checked_sub(1).ok_or_else(full)?;
            let copied = io::copy(&mut source.take(self.left.0.saturating_add(1)), &mut copy)?;
            self.left.0 = self.left.0.checked_sub(copied).ok_or_else(full)?;
        }
        // Never with the right to become somebody else.
        rustix::fs::fchmod(&copy, Mode::from_raw_mode(stat.st_mode & 0o777 | 0o600))?;
        // Build tools compare them.
        Ok(rustix::fs::futimens(&copy, &times(&stat))?)
    }

    /// Shares the blocks until one of the two writes them, where that is possible.
    #[cfg(target_os = "linux")]
    fn clone(&mut self, source: &File, copy: &File) -> io::Result<bool> {
        if self.clones == Some(false) {
            return Ok(false);
        }
        match rustix::fs::ioctl_ficlone(copy, source) {
            Ok(()) => self.clones = Some(true),
            Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::INVAL | Errno::NOTTY | Errno::NOSYS) => {
                self.clones.get_or_insert(false);
                return Ok(false);
            }
            Err(e) => return Err(e.into()),
        }
        Ok(true)
    }

    #[cfg(not(target_os = "linux"))]
    fn clone(&mut self, _: &File, _: &File) -> io::Result<bool> {
        self.clones = Some(false);
        Ok(false)
    }
}

/// Copies a link as a link, if it stays in the workspace.
fn link(from: &OwnedFd, to: &OwnedFd, name: &CStr, depth: usize) -> io::Result<()> {
    let target = match rustix::fs::readlinkat(from, name, Vec::new()) {
        Ok(target) => target,
        Err(Errno::NOENT | Errno::INVAL) => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    if stays_inside(target.to_bytes(), depth) {
        rustix::fs::symlinkat(target.as_c_str(), to, name)?;
    }
    Ok(())
}

/// Whether a link in a folder `depth` below the top leads to something below the top. Ways up are taken only at the
/// beginning, where all folders are real ones.
fn stays_inside(target: &[u8], depth: usize) -> bool {
    let mut parts = target.split(|b| *b == b'/').filter(|part| *part != b".").peekable();
    let mut up = 0;
    while parts.next_if(|part| *part == b"..").is_some() {
        up += 1;
    }
    !target.starts_with(b"/") && up <= depth && parts.all(|part| part != b".." && !part.eq_ignore_ascii_case(b".git"))
}

fn names(folder: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if ![c".", c".."].contains(&entry.file_name()) {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

fn look(folder: &OwnedFd, name: &CStr) -> io::Result<Option<Stat>> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn enter(folder: &OwnedFd, name: &CStr, depth: usize) -> io::Result<OwnedFd> {
    if depth > sweep::DEEP {
        return Err(Error::other("its folders are too deep"));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(folder, name, flags, Mode::empty())?)
}

fn times(stat: &Stat) -> Timestamps {
    let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
    Timestamps { last_access: time, last_modification: time }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_copied_only_if_it_stays_in_the_workspace() {
        for (target, depth) in [("lib.so", 1), ("../pkg/bin.js", 2), ("../../packages/a", 2), ("./a/./b", 1)] {
            assert!(stays_inside(target.as_bytes(), depth), "{target}");
        }
        for (target, depth) in
            [("/etc/passwd", 5), ("../../x", 1), ("a/../../../x", 1), ("..", 0), ("../.git/hooks", 1)]
        {
            assert!(!stays_inside(target.as_bytes(), depth), "{target}");
        }
    }
}
