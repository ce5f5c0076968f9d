//! Objects that are files of their own in git directories of ours, without a process: commits are written as git writes
//! them, and folders are read.
//!
//! What a commit names is not looked for: whoever brings it into the person's repository does that, by git.

use crate::error::GitError;
use enki_core::id::{CommitId, TreeId};
use enki_core::time::Timestamp;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use sha1::{Digest, Sha1};
use sha2::Sha256;
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Larger folders are git's to read, in bytes.
const FOLDER_LIMIT: u64 = 64 << 20;

/// The text of a commit by Enki, at that time.
pub(crate) fn commit_text(tree: TreeId, parents: &[CommitId], message: &str, at: Timestamp) -> String {
    let mut text = format!("tree {tree}\n");
    for parent in parents {
        text.push_str(&format!("parent {parent}\n"));
    }
    let who = format!("Enki <enki@localhost> {} +0000", at.0.max(0) / 1000);
    text.push_str(&format!("author {who}\ncommitter {who}\n\n{message}"));
    text
}

/// Writes a commit and syncs it. `None`: a file of that name is there, and git has to say whether it is whole.
pub(crate) fn write_commit(git_dir: &Path, text: &str, sha256: bool) -> Result<Option<CommitId>, GitError> {
    let mut object = format!("commit {}\0", text.len()).into_bytes();
    object.extend_from_slice(text.as_bytes());
    let id = if sha256 { hex(&Sha256::digest(&object)) } else { hex(&Sha1::digest(&object)) };
    let file = path(git_dir, &id);
    if !put(&file, &object).map_err(|e| GitError::io("write", &file, e))? {
        return Ok(None);
    }
    id.parse().map(Some).map_err(|_| GitError::Unexpected { attempted: "name a commit".to_owned(), output: id })
}

/// Says whether it is written; if not, something of that name was there.
fn put(file: &Path, object: &[u8]) -> io::Result<bool> {
    if fs::symlink_metadata(file).is_ok() {
        return Ok(false);
    }
    let folder = file.parent().unwrap_or(file);
    fs::create_dir_all(folder)?;
    // What a power loss leaves of it git clears away by its name.
    let made = tempfile::Builder::new().prefix("tmp_obj_").tempfile_in(folder)?;
    let mut deflate = ZlibEncoder::new(made.as_file(), Compression::fast());
    deflate.write_all(object)?;
    deflate.finish()?;
    made.as_file().set_permissions(Permissions::from_mode(0o444))?;
    made.as_file().sync_all()?;
    match made.persist_noclobber(file) {
        Ok(_) => Ok(true),
        Err(e) if e.error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(e.error),
    }
}

/// Where git keeps an object as a file of its own.
pub(crate) fn path(git_dir: &Path, id: &str) -> PathBuf {
    let (folder, name) = id.split_at(2);
    git_dir.join("objects").join(folder).join(name)
}

/// The ids of what is in a folder that a git directory of ours has as a file, and whether each is a folder. `None`: it
/// has not, it cannot be read, or it is no folder.
pub(crate) fn read_folder(git_dir: &Path, id: &str) -> Option<Vec<(String, bool)>> {
    let file = File::open(path(git_dir, id)).ok()?;
    let mut bytes = Vec::new();
    ZlibDecoder::new(file).take(FOLDER_LIMIT).read_to_end(&mut bytes).ok()?;
    let mut rest = bytes.strip_prefix(b"tree ")?;
    rest = &rest[rest.iter().position(|b| *b == 0)? + 1..];
    let (width, mut found) = (id.len() / 2, Vec::new());
    while !rest.is_empty() {
        let name_ends = rest.iter().position(|b| *b == 0)?;
        let raw = rest.get(name_ends + 1..name_ends + 1 + width)?;
        found.push((hex(raw), rest.starts_with(b"40000 ")));
        rest = &rest[name_ends + 1 + width..];
    }
    Some(found)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Git;
    use std::ffi::OsStr;

    #[expect(clippy::disallowed_methods, reason = "a test has no command line to be told by")]
    fn git(dir: &Path, args: &[&str], stdin: &str) -> String {
        let path = std::env::var_os("PATH").unwrap();
        let program = crate::git::find_git(OsStr::new(&path)).unwrap();
        let git = Git::new(program, dir.to_owned(), Vec::new());
        let call = git.at(dir).identity(Timestamp(1_700_000_000_999)).args(args).stdin(stdin).ok().unwrap();
        call.line()
    }

    /// The format of objects, and a git directory with a tree in which there is a file and a folder with one.
    fn repositories() -> Vec<(bool, tempfile::TempDir, String)> {
        let mut made = Vec::new();
        for sha256 in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            for folder in ["objects", "refs"] {
                fs::create_dir(dir.path().join(folder)).unwrap();
            }
            fs::write(dir.path().join("HEAD"), "ref: refs/heads/none\n").unwrap();
            if sha256 {
                let config = "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectFormat = sha256\n";
                fs::write(dir.path().join("config"), config).unwrap();
            }
            let blob = git(dir.path(), &["hash-object", "-w", "--stdin"], "text");
            let inner = git(dir.path(), &["mktree"], &format!("100755 blob {blob}\tx\n"));
            let tree = format!("100644 blob {blob}\ta b\n040000 tree {inner}\tfolder\n");
            let tree = git(dir.path(), &["mktree"], &tree);
            made.push((sha256, dir, tree));
        }
        made
    }

    #[test]
    fn a_commit_is_the_one_that_git_writes() {
        for (sha256, dir, tree) in repositories() {
            let mut parents = Vec::new();
            for message in ["one\n", "two\n\nmüde \u{1f4a4}\n\nEnki-Task: x\n", ""] {
                let named: Vec<String> =
                    parents.iter().flat_map(|p: &CommitId| ["-p".to_owned(), p.to_string()]).collect();
                let mut args = vec!["commit-tree", &tree];
                args.extend(named.iter().map(String::as_str));
                let text = commit_text(tree.parse().unwrap(), &parents, message, Timestamp(1_700_000_000_999));
                let commit = write_commit(dir.path(), &text, sha256).unwrap().unwrap();
                assert_eq!(git(dir.path(), &["cat-file", "-t", &commit.to_string()], ""), "commit");
                // Git may find its own object there already; what it names must be the same.
                assert_eq!(git(dir.path(), &args, message), commit.to_string());
                assert_eq!(write_commit(dir.path(), &text, sha256).unwrap(), None, "git has to look at what is there");
                parents.push(commit);
            }
            assert_eq!(git(dir.path(), &["fsck", "--strict", "--no-dangling", &parents[2].to_string()], ""), "");
        }
    }

    #[test]
    fn a_folder_is_read_as_git_lists_it() {
        for (_, dir, tree) in repositories() {
            let listed = git(dir.path(), &["ls-tree", "-z", &tree], "");
            let listed: Vec<(String, bool)> = listed
                .split('\0')
                .filter(|entry| !entry.is_empty())
                .map(|entry| {
                    let parts: Vec<&str> = entry.split([' ', '\t']).collect();
                    (parts[2].to_owned(), parts[1] == "tree")
                })
                .collect();
            assert_eq!(listed.len(), 2);
            assert_eq!(read_folder(dir.path(), &tree), Some(listed.clone()));
            let (file, _) = &listed[0];
            assert_eq!(read_folder(dir.path(), file), None, "a file is no folder");
            assert_eq!(read_folder(dir.path(), &"0".repeat(tree.len())), None);
            let object = path(dir.path(), &tree);
            let bytes = fs::read(&object).unwrap();
            fs::remove_file(&object).unwrap();
            for damaged in [&bytes[..bytes.len() / 2], b"", b"text"] {
                fs::write(&object, damaged).unwrap();
                assert_eq!(read_folder(dir.path(), &tree), None);
            }
        }
    }
}
