//! What a folder belongs to, and what its git can do.

use crate::error::GitError;
use crate::git::{Git, Object, person_call};
use crate::project::{Head, tables};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where a repository is.
pub(crate) struct Places {
    pub(crate) root: PathBuf,
    pub(crate) git_dir: PathBuf,
    pub(crate) common_dir: PathBuf,
    pub(crate) object_format: String,
    pub(crate) shallow: bool,
}

pub(crate) fn discover(program: &Path, env: &[(OsString, OsString)], folder: &Path) -> Result<Places, GitError> {
    let output = person_call(program, env, folder)
        .args(["rev-parse", "--path-format=absolute", "--is-bare-repository", "--show-object-format"])
        .args(["--is-shallow-repository", "--absolute-git-dir", "--git-common-dir", "--show-toplevel"])
        .run()?;
    let bare = output.stdout.starts_with(b"true\n");
    if output.code != Some(0) {
        return Err(if output.stderr.contains("dubious ownership") {
            GitError::DubiousOwnership { path: quoted_path(&output.stderr).unwrap_or_else(|| folder.to_owned()) }
        } else if bare {
            GitError::Bare { path: folder.to_owned() }
        } else if output.stderr.contains("not a git repository") || output.stderr.contains("must be run in a work tree")
        {
            GitError::NotARepository { path: folder.to_owned() }
        } else {
            output.into_error()
        });
    }
    let lines: Vec<&[u8]> =
        output.stdout.strip_suffix(b"\n").unwrap_or(&output.stdout).split(|b| *b == b'\n').collect();
    let [_, format, shallow, git_dir, common_dir, root] = lines[..] else {
        let reason = "its path has a line break in it, which git's own files cannot carry: move it".to_owned();
        return Err(GitError::Unsupported { path: folder.to_owned(), reason });
    };
    let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
    Ok(Places {
        root: path(root),
        git_dir: path(git_dir),
        common_dir: path(common_dir),
        object_format: String::from_utf8_lossy(format).into_owned(),
        shallow: shallow == b"true",
    })
}

/// The remote that has what a partial clone lacks, if the repository is one.
pub(crate) fn promisor_of(settings: &[(String, String)]) -> Option<String> {
    let promised = settings.iter().find_map(|(key, value)| {
        let name = key.strip_prefix("remote.")?.strip_suffix(".promisor")?;
        (value == "true").then(|| name.to_owned())
    });
    promised.or_else(|| settings.iter().find(|(key, _)| key == "extensions.partialclone").map(|(_, v)| v.clone()))
}

fn quoted_path(stderr: &str) -> Option<PathBuf> {
    stderr.split_once("in repository at '")?.1.split_once('\'').map(|(path, _)| PathBuf::from(path))
}

/// What HEAD is, and whether submodules are declared there.
pub(crate) fn head_of(git: &Git, places: &Places) -> Result<(Head, bool), GitError> {
    let found = git.look_up(&places.git_dir, &["HEAD^{commit}".to_owned(), "HEAD:.gitmodules".to_owned()])?;
    let (id, submodules) = (found[0].commit(), found[1] != Object::Missing);
    let symbolic = git.at(&places.git_dir).args(["symbolic-ref", "-q", "HEAD"]).run()?;
    let branch = (symbolic.code == Some(0)).then(|| symbolic.line());
    let head = match (id, branch) {
        (None, branch) => {
            // Git says that nothing is committed, and would let a person begin anew.
            if let Some(file) = tables::cut_off(&places.common_dir) {
                return Err(GitError::CutOff { file });
            }
            let branch = branch.unwrap_or_default().trim_start_matches("refs/heads/").to_owned();
            return Err(GitError::Unborn { path: places.root.clone(), branch });
        }
        (Some(id), None) => Head::Detached(id),
        (Some(id), Some(name)) => name.parse().map_or(Head::Detached(id), |branch| Head::Branch(branch, id)),
    };
    Ok((head, submodules))
}

pub(crate) fn settings_of(git: &Git, common_dir: &Path) -> Result<Vec<(String, String)>, GitError> {
    const WANTED: &str =
        r"^(core\.(ignorecase|precomposeunicode|filemode|symlinks)|extensions\..*|remote\..*\.promisor)$";
    let output = git.at(common_dir).args(["config", "--local", "-z", "--get-regexp", WANTED]).run()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let pair = |entry: &str| {
        let (key, value) = entry.split_once('\n').unwrap_or((entry, "true"));
        // Only plain words are copied into configurations of ours.
        let plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        plain.then(|| (key.to_owned(), value.to_owned()))
    };
    Ok(text.split('\0').filter(|entry| !entry.is_empty()).filter_map(pair).collect())
}

pub(crate) fn version_of(line: &str, program: &Path) -> Result<(u32, u32, u32), GitError> {
    let text = line.strip_prefix("git version ").unwrap_or(line);
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map_while(|part| part.parse::<u32>().ok());
    let version = (numbers.next(), numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match version {
        (Some(major), minor, patch) if (major, minor) >= (2, 38) => Ok((major, minor, patch)),
        _ => Err(GitError::TooOld { program: program.to_owned(), version: text.chars().take(80).collect() }),
    }
}

/// The fixes of May 2024 came out for several lines at once.
pub(crate) fn security_warning(version: (u32, u32, u32), program: &Path) -> Option<String> {
    let fixed = match version {
        (2, 38, _) => false,
        (2, 39, patch) => patch >= 4,
        (2, 40 | 42, patch) => patch >= 2,
        (2, 43, patch) => patch >= 4,
        (2, 41 | 44 | 45, patch) => patch >= 1,
        _ => true,
    };
    let (major, minor, patch) = version;
    (!fixed).then(|| {
        format!("{} is git {major}.{minor}.{patch}, which lacks the security fixes of May 2024", program.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_distributions_print_them() {
        let git = Path::new("/git");
        assert_eq!(version_of("git version 2.47.3", git).unwrap(), (2, 47, 3));
        assert_eq!(version_of("git version 2.39.5 (Apple Git-154)", git).unwrap(), (2, 39, 5));
        assert_eq!(version_of("git version 3.0.0-rc1", git).unwrap(), (3, 0, 0));
        for old in ["git version 2.37.9", "git version 1.9", "busybox"] {
            assert!(matches!(version_of(old, git), Err(GitError::TooOld { .. })), "{old}");
        }
    }

    #[test]
    fn only_versions_without_the_fixes_are_warned_about() {
        let git = Path::new("/git");
        for bad in [(2, 38, 5), (2, 39, 3), (2, 41, 0), (2, 45, 0)] {
            assert!(security_warning(bad, git).is_some(), "{bad:?}");
        }
        for good in [(2, 39, 5), (2, 41, 1), (2, 45, 1), (2, 46, 0), (3, 0, 0)] {
            assert!(security_warning(good, git).is_none(), "{good:?}");
        }
    }
}
