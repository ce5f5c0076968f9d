//! The kernel's part of an overlay: mounting it, seeing what is mounted, unmounting it.

use std::io;
use std::path::{Path, PathBuf};

/// The folders of one overlay. All of them are on one file system.
#[derive(Clone, Debug)]
pub(crate) struct Layers {
    /// Read through the overlay, never written.
    pub(crate) lower: PathBuf,
    /// Gets whatever is written.
    pub(crate) upper: PathBuf,
    /// The kernel's own, empty before each mount.
    pub(crate) scratch: PathBuf,
}

/// How the kernel marks, in the upper folder, what is gone and what is not to be merged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Marks {
    /// By attributes that only the machine's administrator can set: nobody forges them.
    Trusted,
    /// By attributes of the user, as it has to be inside a user namespace.
    User,
}

#[cfg(target_os = "linux")]
pub(crate) use linux::{is_mounted, mount, unmount};

#[cfg(target_os = "linux")]
mod linux {
    use super::{Layers, Marks, Path, io};
    use rustix::fs::{CWD, Mode, OFlags};
    use rustix::mount::{MountFlags, UnmountFlags};
    use std::ffi::CString;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::os::unix::fs::MetadataExt;

    const OVERLAYFS: i128 = 0x794c_7630;

    /// Mounts the layers at a folder, which may not be a link.
    pub(crate) fn mount(layers: &Layers, at: &Path, marks: Marks) -> io::Result<()> {
        let (lower, upper) = (folder(&layers.lower)?, folder(&layers.upper)?);
        let (scratch, at) = (folder(&layers.scratch)?, folder(at)?);
        // Named by descriptor: a path may hold the comma and colon that the options are made of, or change meanwhile.
        // `volatile`: nothing is synced when it is unmounted, which else waits for the whole disk. Files of a workspace
        // are never trusted after another start of the machine.
        let options = format!(
            "lowerdir={},upperdir={},workdir={},metacopy=off,redirect_dir=nofollow,index=off,volatile{}",
            name(&lower),
            name(&upper),
            name(&scratch),
            if marks == Marks::User { ",userxattr" } else { "" }
        );
        let options = CString::new(options).expect("the options hold no zero byte");
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        Ok(rustix::mount::mount("enki", name(&at), "overlay", flags, options.as_c_str())?)
    }

    /// Unmounts what is mounted at a folder, unless somebody is at work there: `ResourceBusy`.
    pub(crate) fn unmount(at: &Path) -> io::Result<()> {
        Ok(rustix::mount::unmount(at, UnmountFlags::NOFOLLOW)?)
    }

    /// Whether the overlay with this upper folder is what is mounted there. The top of an overlay has the inode of its
    /// upper folder.
    pub(crate) fn is_mounted(at: &Path, upper: &Path) -> io::Result<bool> {
        let (top, upper) = (std::fs::symlink_metadata(at)?, std::fs::symlink_metadata(upper)?);
        if !top.is_dir() || top.dev() == upper.dev() || top.ino() != upper.ino() {
            return Ok(false);
        }
        // Its width is the machine's.
        Ok(i128::from(rustix::fs::fstatfs(folder(at)?)?.f_type) == OVERLAYFS)
    }

    fn folder(path: &Path) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
    }

    fn name(fd: &OwnedFd) -> String {
        format!("/proc/self/fd/{}", fd.as_raw_fd())
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::{is_mounted, mount, unmount};

/// Overlays are of Linux alone.
#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use super::{Layers, Marks, Path, io};

    pub(crate) fn mount(_: &Layers, _: &Path, _: Marks) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "overlays need Linux"))
    }

    pub(crate) fn unmount(_: &Path) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "overlays need Linux"))
    }

    pub(crate) fn is_mounted(_: &Path, _: &Path) -> io::Result<bool> {
        Ok(false)
    }
}
