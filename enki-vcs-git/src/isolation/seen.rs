//! What a repository is at one instant: its settings, its HEAD and refs, and what is staged.

use crate::error::GitError;
use crate::git::index;
use crate::project::GitProject;
use crate::there::{self, tells_what_it_is};
use enki_core::id::{CommitId, EffectId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A repository at one instant.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// What makes git run or trust something: file below the git directory, and what it is.
    pub(crate) settings: BTreeMap<String, String>,
    /// Those of them that are configurations, as text. It may hold secrets, so it is nowhere but in memory.
    #[serde(skip)]
    pub(crate) texts: BTreeMap<String, String>,
    /// What HEAD names.
    pub(crate) head: String,
    /// Refs but Enki's, and where they are.
    pub(crate) refs: BTreeMap<String, String>,
    pub(crate) index: Index,
    /// What makes programs run outside of the repository, as whoever knows tells it.
    #[serde(default)]
    pub(crate) outside: BTreeMap<String, String>,
}

/// What is staged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Index {
    /// What the file ends with, a checksum of it; it differs too when only stat data does.
    mark: String,
    /// A digest of the entries without stat data.
    pub(crate) entries: String,
}

/// Files of a git directory that say what git does, beside hooks and what a configuration includes.
const SETTINGS: [&str; 5] = ["commondir", "info/attributes", "info/exclude", "info/grafts", "objects/info/alternates"];
const CONFIGURATIONS: [&str; 2] = ["config", "config.worktree"];
/// Folders of refs that there may be without a folder, packed or in another format.
const REFS: [&str; 6] = ["heads", "notes", "remotes", "replace", "stash", "tags"];
/// Branches that only Enki moves.
const OURS: &str = "refs/heads/enki/";
const READ_LIMIT: u64 = 4 << 20;
const HOOKS_LIMIT: usize = 1000;

impl Seen {
    /// Looks. No process of git, unless the refs are not plain files; and one if the index is not the one of `last`.
    pub(crate) fn look(project: &GitProject, last: Option<&Self>) -> Result<Self, GitError> {
        let mut seen = Self::default();
        seen.look_at_settings(project.common_dir())?;
        if project.git_dir() != project.common_dir() {
            seen.add_text(project.git_dir(), "config.worktree", "config.worktree of the worktree")?;
        }
        seen.look_at_refs(project)?;
        seen.head = head(project)?;
        // Where there is no git but Enki's, nobody stages.
        if !project.is_folder() {
            seen.index = Index::look(project, last.map(|seen| &seen.index))?;
        }
        seen.outside = project.outside()?;
        Ok(seen)
    }

    fn look_at_settings(&mut self, dir: &Path) -> Result<(), GitError> {
        let id = fs::symlink_metadata(dir).map(|meta| format!("{}:{}", meta.dev(), meta.ino()));
        self.settings.insert("the git directory".to_owned(), id.unwrap_or_default());
        for name in SETTINGS {
            self.add(dir, name, name)?;
        }
        for name in CONFIGURATIONS {
            self.add_text(dir, name, name)?;
        }
        for name in included(self.texts.get("config").map_or("", String::as_str), dir) {
            self.add_text(dir, &name, &name)?;
        }
        let mut open = vec!["hooks".to_owned()];
        let mut left = HOOKS_LIMIT;
        while let Some(folder) = open.pop() {
            if fs::symlink_metadata(dir.join(&folder)).is_ok_and(|meta| meta.is_symlink()) {
                self.add(dir, &folder, &folder)?;
                continue;
            }
            let inside = match there::entries(&dir.join(&folder)) {
                Err(GitError::Io { source, .. }) if tells_what_it_is(&source) => {
                    self.settings.insert(folder, "no list".to_owned());
                    continue;
                }
                inside => inside?,
            };
            for entry in inside {
                let name = format!("{folder}/{}", entry.file_name().to_string_lossy());
                let Some(rest) = left.checked_sub(1) else { return Ok(()) };
                left = rest;
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    open.push(name);
                } else {
                    self.add(dir, &name, &name)?;
                }
            }
        }
        Ok(())
    }

    /// Takes in one configuration with its text, if it is there.
    fn add_text(&mut self, dir: &Path, path: &str, name: &str) -> Result<(), GitError> {
        if let Some(bytes) = self.add(dir, path, name)? {
            self.texts.insert(name.to_owned(), String::from_utf8_lossy(&bytes).into_owned());
        }
        Ok(())
    }

    /// Takes in one file, if it is there. Gives its contents.
    fn add(&mut self, dir: &Path, path: &str, name: &str) -> Result<Option<Vec<u8>>, GitError> {
        let file = dir.join(path);
        let unread = |e| GitError::io("read", &file, e);
        let meta = match fs::symlink_metadata(&file) {
            Ok(meta) => meta,
            Err(e) if tells_what_it_is(&e) => return Ok(None),
            Err(e) => return Err(unread(e)),
        };
        let mut what = String::new();
        if meta.is_symlink() {
            what = format!("link to {} ", fs::read_link(&file).unwrap_or_default().display());
        }
        let found = match contents(&file) {
            Ok(found) => found,
            Err(e) if tells_what_it_is(&e) => None,
            Err(e) => return Err(unread(e)),
        };
        match &found {
            Some((mode, bytes)) => {
                let digest = match name {
                    "info/exclude" => EffectId::of("file", &[&without_our_line(bytes)]),
                    _ => EffectId::of("file", &[bytes]),
                };
                let runs = if mode & 0o111 != 0 { "runs" } else { "plain" };
                what.push_str(&format!("{runs} {}", digest.hex()));
            }
            None => what.push_str("no file"),
        }
        self.settings.insert(name.to_owned(), what);
        Ok(found.map(|(_, bytes)| bytes))
    }

    fn look_at_refs(&mut self, project: &GitProject) -> Result<(), GitError> {
        let mut folders: Vec<String> = REFS.iter().map(|name| format!("refs/{name}")).collect();
        for entry in there::entries(&project.common_dir().join("refs"))? {
            let name = format!("refs/{}", entry.file_name().to_string_lossy());
            if name != "refs/enki" && !folders.contains(&name) {
                folders.push(name);
            }
        }
        if project.facts().ref_format == "files"
            && let Some(refs) = refs_in_files(project.common_dir(), &folders)
        {
            self.refs = refs;
            return Ok(());
        }
        let list = ["for-each-ref", "--format=%(refname) %(objectname) %(symref)"];
        let output = project.at_person().args(list).args(folders).ok()?;
        for line in output.stdout.split(|b| *b == b'\n') {
            let line = String::from_utf8_lossy(line);
            if let Some((name, rest)) = line.split_once(' ')
                && !name.starts_with(OURS)
            {
                self.refs.insert(name.to_owned(), rest.trim().to_owned());
            }
        }
        Ok(())
    }
}

impl Index {
    fn look(project: &GitProject, last: Option<&Self>) -> Result<Self, GitError> {
        let mark = index::mark(&project.git_dir().join("index"))?;
        if let Some(last) = last.filter(|last| last.mark == mark) {
            return Ok(last.clone());
        }
        let list = ["ls-files", "--stage", "-v", "-z", "--sparse"];
        let output = project.git().at(project.git_dir()).args(list).long().ok()?;
        Ok(Self { mark, entries: EffectId::of("index", &[&output.stdout]).hex() })
    }
}

/// What `git for-each-ref` tells of the refs in these folders, as files have it. `None`: something is unlike what git
/// writes, and git has to be asked.
fn refs_in_files(common: &Path, folders: &[String]) -> Option<BTreeMap<String, String>> {
    let mut loose = BTreeMap::new();
    let mut open = folders.to_vec();
    while let Some(name) = open.pop() {
        let file = common.join(&name);
        let meta = match fs::symlink_metadata(&file) {
            Ok(meta) => meta,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            Err(_) => return None,
        };
        let last = name.rsplit('/').next().unwrap_or_default();
        if name.ends_with(".lock") || last.starts_with('.') || name == OURS.trim_end_matches('/') {
            continue;
        }
        if meta.is_dir() {
            for entry in there::entries(&file).ok()? {
                open.push(format!("{name}/{}", entry.file_name().to_str()?));
            }
        } else if meta.is_file() {
            match fs::read_to_string(&file) {
                Ok(text) => loose.insert(name, text.strip_suffix('\n')?.to_owned()),
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(_) => return None,
            };
        } else {
            return None;
        }
    }
    // After the others: what is packed meanwhile goes into this one before its file goes.
    let packed = match fs::read_to_string(common.join("packed-refs")) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => String::new(),
        Err(_) => return None,
    };
    let mut refs = BTreeMap::new();
    for line in packed.lines().filter(|line| !line.starts_with(['#', '^'])) {
        let (id, name) = line.split_once(' ')?;
        let wanted =
            |folder: &String| name.strip_prefix(&folder[..]).is_some_and(|r| r.is_empty() || r.starts_with('/'));
        if folders.iter().any(wanted) && !name.starts_with(OURS) {
            refs.insert(name.to_owned(), id.parse::<CommitId>().ok()?.to_string());
        }
    }
    let (symbolic, plain): (Vec<_>, Vec<_>) = loose.into_iter().partition(|(_, text)| text.starts_with("ref: "));
    for (name, text) in plain {
        refs.insert(name, text.parse::<CommitId>().ok()?.to_string());
    }
    let ids = refs.clone();
    for (name, text) in symbolic {
        let target = text.strip_prefix("ref: ")?.trim();
        refs.insert(name, format!("{} {target}", ids.get(target)?));
    }
    Some(refs)
}

/// Enki hides its folder by a line of its own.
fn without_our_line(exclude: &[u8]) -> Vec<u8> {
    exclude.split(|b| *b == b'\n').filter(|line| *line != b"/.enki/").collect::<Vec<_>>().join(&b'\n')
}

fn head(project: &GitProject) -> Result<String, GitError> {
    let file = project.git_dir().join("HEAD");
    if project.facts().ref_format == "files" {
        let text = fs::read(&file).map_err(|e| GitError::io("read", &file, e))?;
        let text = String::from_utf8_lossy(&text).trim().to_owned();
        return Ok(text.strip_prefix("ref: ").map_or(text.clone(), str::to_owned));
    }
    let symbolic = project.git().at(project.git_dir()).args(["symbolic-ref", "-q", "HEAD"]).run()?;
    if symbolic.code == Some(0) {
        return Ok(symbolic.line());
    }
    Ok(project.git().at(project.git_dir()).args(["rev-parse", "--verify", "HEAD"]).ok()?.line())
}

/// Mode and contents of a regular file, links followed; the contents of a huge one are cut, with its size and times.
fn contents(path: &Path) -> io::Result<Option<(u32, Vec<u8>)>> {
    // NONBLOCK: a FIFO of that name must not hold us.
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(READ_LIMIT).read_to_end(&mut bytes)?;
    if meta.len() > READ_LIMIT {
        bytes.extend_from_slice(format!("{} {} {}", meta.len(), meta.mtime_nsec(), meta.ctime_nsec()).as_bytes());
    }
    Ok(Some((meta.mode(), bytes)))
}

/// The files in the git directory that a configuration includes by path.
fn included(config: &str, dir: &Path) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in config.lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            inside = section.to_lowercase().starts_with("include");
        }
        if let Some((key, value)) = line.rsplit(']').next().and_then(|line| line.split_once('='))
            && inside
            && key.trim().eq_ignore_ascii_case("path")
        {
            let path = PathBuf::from(value.trim().trim_matches('"'));
            let path = if path.is_absolute() { path } else { dir.join(path) };
            if let Some(name) = path.strip_prefix(dir).ok().and_then(Path::to_str)
                && !name.split('/').any(|part| part == "..")
                && name.len() < 256
            {
                found.push(name.to_owned());
            }
        }
    }
    found
}

/// Whether a key is one that a person's everyday commands write (`git push -u`, `git switch`, git LFS), and that cannot
/// make git run something.
pub(crate) fn is_everyday(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or_default();
    (key.starts_with("branch.") && last != "mergeoptions")
        || key == "lfs.repositoryformatversion"
        || (key.starts_with("lfs.") && matches!(last, "locksverify" | "access"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_configuration_includes_from_beside_it_is_found() {
        let text = "[core]\n\tpath = no\n[include]\n\tpath = more\n[includeIf \"gitdir:/x\"]\n\tPath = \"/g/sub/it\"\n\
                    [include] path = third\n[include]\n\tpath = ../out\n\tpath = /etc/x\n[a]\n path = b\n";
        assert_eq!(included(text, Path::new("/g")), ["more", "sub/it", "third"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_nobody_can_read_now_is_neither_removed_nor_changed() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let hooks = dir.path().join("hooks");
        fs::create_dir(&hooks).unwrap();
        fs::write(hooks.join("plain"), "exit 0").unwrap();
        symlink("loop", hooks.join("loop")).unwrap();
        let look = || {
            let mut seen = Seen::default();
            seen.look_at_settings(dir.path()).map(|()| seen.settings)
        };
        assert_eq!(look().unwrap()["hooks/loop"], "link to loop no file");
        // The memory of a process at its first page: an error of the disk is the same.
        symlink("/proc/self/mem", hooks.join("torn")).unwrap();
        let error = look().unwrap_err().to_string();
        assert!(error.starts_with(&format!("read {}: ", hooks.join("torn").display())), "{error}");
    }

    #[test]
    fn refs_are_read_from_files_as_git_tells_them_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let folders = ["refs/heads", "refs/remotes", "refs/tags", "refs/stash"].map(str::to_owned);
        let id = |digit: &str| digit.repeat(40);
        let write = |name: &str, text: String| {
            let file = dir.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        let read = || refs_in_files(dir.path(), &folders);
        assert_eq!(read(), Some(BTreeMap::new()));
        let packed = [
            ("1", "heads/main"),
            ("2", "heads/packed"),
            ("3", "remotes/o/main"),
            ("4", "heads/enki/x"),
            ("5", "enki/y"),
        ];
        let lines = packed.map(|(digit, name)| format!("{} refs/{name}\n", id(digit))).concat();
        write("packed-refs", format!("# pack-refs with: peeled\n{lines}{} refs/tags/t\n^{}\n", id("6"), id("7")));
        write("refs/heads/main", format!("{}\n", id("8")));
        write("refs/heads/deep/er", format!("{}\n", id("9")));
        write("refs/heads/main.lock", String::new());
        write("refs/heads/enki/z", format!("{}\n", id("a")));
        write("refs/remotes/o/HEAD", "ref: refs/remotes/o/main\n".to_owned());
        write("refs/stash", format!("{}\n", id("b")));
        let seen: Vec<(String, String)> = read().unwrap().into_iter().collect();
        let expected = [
            ("refs/heads/deep/er", id("9")),
            ("refs/heads/main", id("8")),
            ("refs/heads/packed", id("2")),
            ("refs/remotes/o/HEAD", format!("{} refs/remotes/o/main", id("3"))),
            ("refs/remotes/o/main", id("3")),
            ("refs/stash", id("b")),
            ("refs/tags/t", id("6")),
        ];
        assert_eq!(seen, expected.map(|(name, what)| (name.to_owned(), what)));
        for odd in ["ref: refs/heads/nowhere\n", "no id\n", ""] {
            write("refs/tags/odd", odd.to_owned());
            assert_eq!(read(), None, "{odd:?}");
        }
        fs::remove_file(dir.path().join("refs/tags/odd")).unwrap();
        std::os::unix::fs::symlink("main", dir.path().join("refs/heads/link")).unwrap();
        assert_eq!(read(), None);
    }

    #[test]
    fn only_keys_that_cannot_run_anything_are_everyday() {
        for key in ["branch.main.remote", "branch.a.b.merge", "lfs.https://x/y.locksverify"] {
            assert!(is_everyday(key), "{key}");
        }
        for key in ["branch.main.mergeoptions", "core.hookspath", "remote.origin.url", "lfs.customtransfer.x.path"] {
            assert!(!is_everyday(key), "{key}");
        }
    }
}
