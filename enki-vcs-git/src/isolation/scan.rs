//! The policy: what a change may not bring. It looks at what git stored, not at what was said about it.

use crate::error::GitError;
use crate::project::{GitProject, Policy};
use enki_core::id::TreeId;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// One path that differs between two trees.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Changed {
    pub(crate) path: Vec<u8>,
    /// Mode in the old tree; 0 if it is not there.
    pub(crate) old_mode: u32,
    /// Mode in the new tree; 0 if it is gone there.
    pub(crate) mode: u32,
    /// Object in the new tree.
    pub(crate) id: String,
    /// Object in the old tree; `None` if it was not there.
    pub(crate) old: Option<String>,
}

impl Changed {
    /// The object that the new tree has there, unless it is a commit of another repository.
    pub(crate) fn new_object(&self) -> Option<String> {
        (![0, SUBMODULE].contains(&self.mode)).then(|| self.id.clone())
    }

    /// Whether it is a folder, before and now as far as it is there.
    pub(crate) fn is_folder(&self) -> bool {
        [self.old_mode, self.mode].iter().all(|mode| [0, FOLDER].contains(mode))
    }
}

const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;
const SUBMODULE: u32 = 0o160_000;
/// Folders that are asked about one by one.
const FOLDERS_LIMIT: usize = 500;
/// Names that git knows for `diff=` without any configuration.
const BUILT_IN_DIFFS: [&str; 28] = [
    "ada", "bash", "bibtex", "cpp", "csharp", "css", "dts", "elixir", "fortran", "fountain", "golang", "html", "java",
    "kotlin", "markdown", "matlab", "objc", "pascal", "perl", "php", "python", "ruby", "rust", "scheme", "tex", "ini",
    "default", "true",
];
/// No link target is longer on the systems that we run on.
const LINK_LIMIT: usize = 4096;

impl GitProject {
    /// The paths that differ between two trees, in the order of git.
    pub(crate) fn diff(&self, git_dir: &Path, old: TreeId, new: TreeId) -> Result<Vec<Changed>, GitError> {
        let mut changed = self.diff_with_folders(git_dir, old, new)?;
        changed.retain(|change| !change.is_folder());
        Ok(changed)
    }

    /// The same, and the folders in which they are: each object that is new.
    pub(crate) fn diff_with_folders(&self, git_dir: &Path, old: TreeId, new: TreeId) -> Result<Vec<Changed>, GitError> {
        if old == new {
            return Ok(Vec::new());
        }
        let output = self
            .git()
            .at(git_dir)
            .args(["diff-tree", "-r", "-t", "-z", "--raw", "--no-renames", "--no-abbrev"])
            .args([old.to_string(), new.to_string()])
            .ok()?;
        let mut parts = output.stdout.split(|b| *b == 0);
        let mut changed = Vec::new();
        while let (Some(meta), Some(path)) = (parts.next(), parts.next()) {
            let meta = String::from_utf8_lossy(meta);
            let fields: Vec<&str> = meta.trim_start_matches(':').split(' ').collect();
            let [old_mode, mode, old, id, _] = fields[..] else {
                return Err(GitError::Unexpected { attempted: "git diff-tree".to_owned(), output: meta.into_owned() });
            };
            let octal = |mode: &str| u32::from_str_radix(mode, 8).unwrap_or(0);
            let (old_mode, mode) = (octal(old_mode), octal(mode));
            let old = (old_mode != 0).then(|| old.to_owned());
            changed.push(Changed { path: path.to_vec(), old_mode, mode, id: id.to_owned(), old });
        }
        Ok(changed)
    }

    /// What of these changes, which made `tree`, is against the policy: the rule and the path, one line each.
    pub(crate) fn inspect_changes(
        &self,
        git_dir: &Path,
        tree: TreeId,
        changed: &[Changed],
    ) -> Result<Vec<String>, GitError> {
        let mut findings = Vec::new();
        // What steers Enki or an agent, or judges its work, is not an agent's to change or to take away (bad input 34).
        let policy = self.policy();
        for change in changed.iter().filter(|change| !policy.allows(&change.path)) {
            let name = show(&change.path);
            if is_settings(&change.path) {
                findings.push(format!("{name} is settings of Enki or of an agent; only a person changes it"));
            } else if policy.protected.iter().any(|path| path.as_bytes() == change.path) {
                findings.push(format!("{name} is run by the check; only a person changes it"));
            }
        }
        findings.extend(self.same_but_for_case(git_dir, tree, changed)?);
        for change in changed {
            let name = show(&change.path);
            if change.mode == SUBMODULE || change.old_mode == SUBMODULE {
                findings.push(format!("{name} is a submodule or a repository of its own"));
            }
            if change.path == b".gitmodules" {
                findings.push(format!("{name} declares submodules"));
            }
            if change.mode != 0 && change.path.split(|b| *b == b'/').any(means_git_dir) {
                findings.push(format!("{name} has a part that some file system takes for .git"));
            }
        }
        let links: Vec<&Changed> = changed.iter().filter(|change| change.mode == LINK).collect();
        let targets = self.blobs(git_dir, &links.iter().map(|link| link.id.clone()).collect::<Vec<_>>())?;
        for (link, target) in links.iter().zip(targets) {
            if target.len() > LINK_LIMIT || escapes(&link.path, &target) {
                let target = show(&target[..target.len().min(200)]);
                findings
                    .push(format!("{} is a symbolic link that leaves the workspace, to {target}", show(&link.path)));
            }
        }
        Ok(findings)
    }

    /// New paths whose names another one has in other letters, which many file systems take for one (bad input 71).
    fn same_but_for_case(&self, git_dir: &Path, tree: TreeId, changed: &[Changed]) -> Result<Vec<String>, GitError> {
        let added = changed.iter().filter(|change| change.mode != 0 && change.old.is_none());
        // Each folder in which a name may be new.
        let mut folders: BTreeSet<&[u8]> = BTreeSet::new();
        for path in added.map(|change| &change.path[..]) {
            folders.extend((0..path.len()).filter(|at| path[*at] == b'/').map(|at| &path[..=at]));
            folders.insert(b"");
        }
        if folders.is_empty() {
            return Ok(Vec::new());
        }
        let list = || {
            let call = self.git().at(git_dir).args(["ls-tree", "-z", "--name-only", "--full-tree"]);
            if folders.len() > FOLDERS_LIMIT {
                call.args(["-r", "-t"]).arg(tree.to_string())
            } else {
                call.arg(tree.to_string())
            }
        };
        let mut listed = list().ok()?.stdout;
        let below: Vec<&OsStr> =
            folders.iter().filter(|name| !name.is_empty()).map(|name| OsStr::from_bytes(name)).collect();
        if !below.is_empty() && folders.len() <= FOLDERS_LIMIT {
            listed.extend(list().arg("--").args(below).ok()?.stdout);
        }
        Ok(twins(&listed, changed))
    }

    /// Drivers that the changes name in `.gitattributes` and that were not named there before. Enki runs none of them,
    /// but a person who has one configured does (bad input 67).
    pub(crate) fn named_drivers(&self, git_dir: &Path, changed: &[Changed]) -> Result<Vec<String>, GitError> {
        let is_attributes = |path: &[u8]| path.rsplit(|b| *b == b'/').next() == Some(b".gitattributes");
        let files: Vec<&Changed> = changed
            .iter()
            .filter(|change| {
                is_attributes(&change.path) && change.mode != 0 && change.mode != LINK && change.mode != SUBMODULE
            })
            .collect();
        let mut found = Vec::new();
        for change in files {
            let ids: Vec<String> = std::iter::once(change.id.clone()).chain(change.old.clone()).collect();
            let blobs = self.blobs(git_dir, &ids)?;
            let before = blobs.get(1).map_or_else(BTreeSet::new, |old| drivers(old));
            for driver in drivers(&blobs[0]).difference(&before) {
                let (path, driver) = (show(&change.path), show(driver.as_bytes()));
                found.push(format!("{path} names the driver {driver}: Enki does not run it, your git may"));
            }
        }
        Ok(found)
    }

    /// The contents of blobs.
    pub(crate) fn blobs(&self, git_dir: &Path, ids: &[String]) -> Result<Vec<Vec<u8>>, GitError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let output = self.git().at(git_dir).args(["cat-file", "--batch"]).stdin(ids.join("\n") + "\n").ok()?;
        let wrong = || GitError::Unexpected { attempted: "git cat-file --batch".to_owned(), output: String::new() };
        let mut rest = &output.stdout[..];
        let mut blobs = Vec::new();
        for _ in ids {
            let end = rest.iter().position(|b| *b == b'\n').ok_or_else(wrong)?;
            let header = String::from_utf8_lossy(&rest[..end]).into_owned();
            let size: usize = header.rsplit(' ').next().and_then(|n| n.parse().ok()).ok_or_else(wrong)?;
            let body = rest.get(end + 1..end + 1 + size).ok_or_else(wrong)?;
            blobs.push(body.to_vec());
            rest = rest.get(end + 2 + size..).ok_or_else(wrong)?;
        }
        Ok(blobs)
    }
}

impl Policy {
    /// Whether the person allows changes of that path.
    fn allows(&self, path: &[u8]) -> bool {
        self.allowed.iter().map(String::as_bytes).any(|allowed| match allowed {
            [folder @ .., b'/'] => path.strip_prefix(folder).is_some_and(|rest| rest.starts_with(b"/")),
            file => path == file,
        })
    }
}

/// Whether a path at the top of the project steers Enki or an agent.
fn is_settings(path: &[u8]) -> bool {
    let top = path.split(|b| *b == b'/').next().unwrap_or_default();
    [&b".enki"[..], b".claude", b".goodvibes"].contains(&top) || path == b"enki.toml" || path == b".mcp.json"
}

/// The programs that a `.gitattributes` names; what git has built in is none.
fn drivers(attributes: &[u8]) -> BTreeSet<String> {
    let text = String::from_utf8_lossy(attributes);
    let words =
        text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(|line| line.split_whitespace());
    words
        .filter(|word| match word.split_once('=') {
            Some(("filter", _)) => true,
            Some(("merge", name)) => !matches!(name, "text" | "binary" | "union"),
            Some(("diff", name)) => !BUILT_IN_DIFFS.contains(&name),
            _ => false,
        })
        .map(str::to_owned)
        .collect()
}

/// The new paths among `changed` that have a twin among the listed ones.
fn twins(listed: &[u8], changed: &[Changed]) -> Vec<String> {
    let fold = |path: &[u8]| String::from_utf8_lossy(path).to_lowercase();
    let mut spelt: BTreeMap<String, BTreeSet<&[u8]>> = BTreeMap::new();
    for path in listed.split(|b| *b == 0).filter(|path| !path.is_empty()) {
        spelt.entry(fold(path)).or_default().insert(path);
    }
    spelt.retain(|_, paths| paths.len() > 1);
    let mut found = BTreeSet::new();
    for path in changed.iter().filter(|change| change.mode != 0 && change.old.is_none()).map(|change| &change.path[..])
    {
        let ends = (0..path.len()).filter(|at| path[*at] == b'/').chain([path.len()]);
        for part in ends.map(|end| &path[..end]) {
            if let Some(other) = spelt.get(&fold(part)).and_then(|all| all.iter().find(|other| **other != part)) {
                found.insert(format!("{} differs from {} by case only", show(part), show(other)));
            }
        }
    }
    found.into_iter().collect()
}

/// A path for people: control characters escaped, what is not UTF-8 replaced.
pub(crate) fn show(path: &[u8]) -> String {
    String::from_utf8_lossy(path)
        .chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}

/// At most 50 paths, for people.
pub(crate) fn show_all<'a>(paths: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
    paths.into_iter().take(50).map(show).collect()
}

/// One line of several findings.
pub(crate) fn one_line(findings: &[String]) -> String {
    let shown = findings[..findings.len().min(20)].join("; ");
    if findings.len() > 20 { format!("{shown}; and {} more", findings.len() - 20) } else { shown }
}

/// Whether a name is `.git` to some file system: other case, NTFS short names, streams and trailing dots, characters
/// that HFS+ ignores. Git itself skips such files in silence.
pub(crate) fn means_git_dir(name: &[u8]) -> bool {
    let text = String::from_utf8_lossy(name).to_lowercase();
    let text: String = text.chars().filter(|c| !ignored_by_hfs(*c)).collect();
    let head = text.split([':', '\\']).next().unwrap_or_default().trim_end_matches(['.', ' ']);
    matches!(head, ".git" | "git~1") || name == b".." || name == b"."
}

fn ignored_by_hfs(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}')
}

/// Whether a link at `path` with that target leads out of the tree, or into a git directory.
fn escapes(path: &[u8], target: &[u8]) -> bool {
    if target.first() == Some(&b'/') {
        return true;
    }
    let mut depth = path.split(|b| *b == b'/').count() - 1;
    for part in target.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => match depth.checked_sub(1) {
                Some(up) => depth = up,
                None => return true,
            },
            part if means_git_dir(part) => return true,
            _ => depth += 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_leave_the_tree_are_found() {
        for (path, target) in
            [("a", "/etc/passwd"), ("a", "../x"), ("d/a", "../../x"), ("d/a", "b/../../../x"), ("a", ".git/config")]
        {
            assert!(escapes(path.as_bytes(), target.as_bytes()), "{path} -> {target}");
        }
        for (path, target) in [("a", "b"), ("d/a", "../b"), ("d/e/a", "../../x/y"), ("a", "./b/../c")] {
            assert!(!escapes(path.as_bytes(), target.as_bytes()), "{path} -> {target}");
        }
    }

    #[test]
    fn names_that_mean_dot_git_somewhere_are_found() {
        for name in
            [".git", ".GIT", "git~1", "GIT~1", ".git.", ".git ", ".git::$INDEX", ".g\u{200c}it", "..", ".git\\x"]
        {
            assert!(means_git_dir(name.as_bytes()), "{name:?}");
        }
        for name in [".gitignore", "git", ".github", "agit", ".gitmodules"] {
            assert!(!means_git_dir(name.as_bytes()), "{name:?}");
        }
    }
}
