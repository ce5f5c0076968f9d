//! The command line of bubblewrap: a tree that has what may be reached and nothing else.

use super::cover::real;
use super::{Network, Sandbox};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// How a path appears in the tree.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Read,
    Write,
    Hidden,
    Hollow,
}

/// The arguments by which bubblewrap starts `inner`, the first of which is this program itself.
pub(crate) fn args(sandbox: &Sandbox, cwd: &Path, inner: &[OsString]) -> Vec<OsString> {
    let mut args: Vec<OsString> = [
        "--unshare-user",
        "--unshare-pid",
        "--unshare-ipc",
        "--unshare-cgroup-try",
        "--die-with-parent",
        "--as-pid-1",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
    ]
    .map(Into::into)
    .into();
    if sandbox.network == Network::Loopback {
        args.push("--unshare-net".into());
    }
    // Names of the system's own folders that are links; where they lead is in the tree on its own.
    for name in SYSTEM_LINKS {
        if let Ok(to) = Path::new(name).read_link() {
            args.extend(["--symlink".into(), to.into(), name.into()]);
        }
    }
    match &sandbox.tmp {
        Some(tmp) => args.extend(["--bind".into(), tmp.into(), "/tmp".into()]),
        None => args.extend(["--tmpfs", "/tmp"].map(Into::into)),
    }
    let program = inner.first().map(PathBuf::from);
    for (path, place) in places(sandbox, program) {
        let (from, path): (OsString, OsString) = (real(&path).into(), path.into());
        match place {
            Place::Read => args.extend(["--ro-bind-try".into(), from, path]),
            Place::Write => args.extend(["--bind-try".into(), from, path]),
            Place::Hollow => args.extend(["--dir".into(), path]),
            Place::Hidden if Path::new(&path).is_dir() => args.extend(["--tmpfs".into(), path]),
            Place::Hidden => args.extend(["--ro-bind".into(), "/dev/null".into(), path]),
        }
    }
    args.extend(["--chdir".into(), cwd.into(), "--".into()]);
    args.extend_from_slice(inner);
    args
}

const SYSTEM_LINKS: &[&str] = &["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

fn is_system_link(path: &Path) -> bool {
    SYSTEM_LINKS.iter().any(|name| path.starts_with(name))
}

/// All that has to be placed, shorter paths first, so that what is below comes onto what is above.
fn places(sandbox: &Sandbox, program: Option<PathBuf>) -> Vec<(PathBuf, Place)> {
    let there = |path: &&PathBuf| path.exists();
    let list = |paths: &[PathBuf], place: Place| -> Vec<(PathBuf, Place)> {
        paths.iter().filter(there).map(|path| (real(path), place)).collect()
    };
    // A name by which something is known that is elsewhere: it has to lead there in the tree too.
    let named = [(&sandbox.readable, Place::Read), (&sandbox.writable, Place::Write)];
    let links: Vec<_> = named
        .into_iter()
        .flat_map(|(paths, place)| paths.iter().filter(there).map(move |path| (path.clone(), place)))
        .filter(|(path, _)| real(path) != *path)
        .collect();
    let readable = list(&sandbox.readable, Place::Read);
    let program = program.map(|path| (real(&path), Place::Read));
    let mut writable = list(&sandbox.writable, Place::Write);
    writable.extend(sandbox.tmp.iter().filter(there).map(|path| (real(path), Place::Write)));
    let mut all: Vec<_> = readable.into_iter().chain(program).chain(writable).collect();
    let open: Vec<PathBuf> = all.iter().map(|(path, _)| path.clone()).collect();
    all.extend(
        links.into_iter().filter(|(path, _)| !open.iter().any(|open| path.starts_with(open)) && !is_system_link(path)),
    );
    let hidden = list(&sandbox.hidden, Place::Hidden);
    all.extend(hidden.into_iter().filter(|(path, _)| open.iter().any(|open| path.starts_with(open))));
    all.extend(sandbox.hollow.iter().map(|path| (path.clone(), Place::Hollow)));
    // The kernel's and the machine's own come with the tree.
    all.retain(|(path, _)| !["/proc", "/dev"].iter().any(|own| path.starts_with(own)) && path != Path::new("/"));
    all.sort_by_key(|(path, _)| path.components().count());
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::SandboxLevel;

    #[test]
    fn a_longer_path_comes_later_and_what_nobody_opened_needs_no_hiding() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for folder in ["a/secret/work", "b"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        let sandbox = Sandbox::new(SandboxLevel::Tree, None)
            .writable([root.join("a/secret/work")])
            .hidden([root.join("a/secret"), root.join("b")])
            .readable([root.join("a"), PathBuf::from("/proc"), root.join("gone")]);
        std::os::unix::fs::symlink(root.join("a"), root.join("known")).unwrap();
        let sandbox = sandbox.readable([root.join("known")]);
        let wanted = [
            ("a", Place::Read),
            ("a", Place::Read),
            ("known", Place::Read),
            ("a/secret", Place::Hidden),
            ("a/secret/work", Place::Write),
        ];
        assert_eq!(places(&sandbox, None), wanted.map(|(path, place)| (root.join(path), place)));
    }
}
