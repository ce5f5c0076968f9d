//! A batch whose members do not touch each other, as one chain of commits, by one process instead of two for each.
//!
//! Only where the outcome of merging one after the other is known without merging: nobody deletes anything, so that
//! nothing can have been renamed, and no path of a member, or folder of one, is a path of another member or of what the
//! target brought since the member began. Then each merge takes the member's files as they are. The commits are the
//! same, byte by byte, as those of the long way; whatever is unlike this goes the long way.

use crate::error::GitError;
use crate::git::Durable;
use crate::git::message;
use crate::project::GitProject;
use enki_core::id::{CommitId, TreeId};
use enki_core::refinery::{Change, ChangeKind};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What was made of a batch.
#[derive(Debug)]
pub(crate) struct Chain {
    /// A commit for each change, and its tree; `None` for a change of nothing.
    pub(crate) commits: Vec<Option<(CommitId, TreeId)>>,
    /// The pack that holds what is new in them, without its ending.
    pub(crate) pack: Option<PathBuf>,
}

const SUBMODULE: &str = "160000";

/// Makes the chain of these changes on `base`; `None` if they have to be merged one by one.
pub(crate) fn chain(
    project: &GitProject,
    refinery: &Path,
    base: CommitId,
    changes: &[Change],
    suffix: &str,
) -> Result<Option<Chain>, GitError> {
    let Some(edits) = separate_edits(project, refinery, base, changes)? else { return Ok(None) };
    if edits.iter().all(Vec::is_empty) {
        return Ok(Some(Chain { commits: vec![None; changes.len()], pack: None }));
    }
    let mut input = b"feature done\n".to_vec();
    // A name is needed while the commits are made; in the end it is of nothing, so that none is left.
    let name = format!("refs/enki/chain/{}", changes[0].commit);
    let mut from = base.to_string();
    for (n, (change, edits)) in changes.iter().zip(&edits).enumerate() {
        let ChangeKind::Step { task, attempt, title, summary } = &change.kind else { return Ok(None) };
        if edits.is_empty() {
            continue;
        }
        let text = message::step(title, summary, suffix, *task, *attempt);
        let who = format!("Enki <enki@localhost> {} +0000", change.at.0.max(0) / 1000);
        input.extend_from_slice(
            format!(
                "commit {name}\nmark :{mark}\nauthor {who}\ncommitter {who}\ndata {}\n{text}\nfrom {from}\n",
                text.len(),
                mark = n + 1
            )
            .as_bytes(),
        );
        for edit in edits {
            input.extend_from_slice(format!("M {} {} {}\n", edit.mode, edit.id, quoted(&edit.path)).as_bytes());
        }
        input.extend_from_slice(format!("get-mark :{mark}\nls :{mark} \"\"\n", mark = n + 1).as_bytes());
        from = format!(":{}", n + 1);
    }
    input.extend_from_slice(format!("reset {name}\nfrom {}\n\ndone\n", project.zero()).as_bytes());
    let tmp = project.enki_dir().join("tmp");
    let edges = tempfile::NamedTempFile::new_in(&tmp).map_err(|e| GitError::io("make a file in", &tmp, e))?;
    let output = project
        .git()
        .at(refinery)
        .durable(Durable::Committed)
        // One pack for all: two files to make durable, instead of some for each member.
        .config("fastimport.unpackLimit=0")
        .args(["fast-import", "--quiet", "--date-format=raw"])
        .arg(format!("--export-pack-edges={}", edges.path().display()))
        .stdin(input)
        .run()?;
    if output.code != Some(0) {
        tracing::debug!(stderr = output.stderr, "a batch is merged one by one");
        return Ok(None);
    }
    // `<path of the pack>: ` and the branches in it.
    let told = std::fs::read_to_string(edges.path()).unwrap_or_default();
    let name = told.split_once(':').and_then(|(path, _)| Path::new(path).file_stem().map(OsStr::to_owned));
    let pack = name.map(|name| refinery.join("objects/pack").join(name));
    let commits = answers(&String::from_utf8_lossy(&output.stdout), &edits);
    Ok(commits.map(|commits| Chain { commits, pack }))
}

/// The commits and trees that were made, in order: a line with the commit, a line `040000 tree <id>` and a tab.
fn answers(text: &str, edits: &[Vec<Edit>]) -> Option<Vec<Option<(CommitId, TreeId)>>> {
    let mut lines = text.lines();
    let mut made = |edits: &Vec<Edit>| {
        if edits.is_empty() {
            return Some(None);
        }
        let commit = lines.next()?.parse().ok()?;
        let tree = lines.next()?.strip_prefix("040000 tree ")?.trim_end().parse().ok()?;
        Some(Some((commit, tree)))
    };
    edits.iter().map(&mut made).collect()
}

/// A path that a change sets.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Edit {
    path: Vec<u8>,
    mode: String,
    id: String,
}

/// What each change sets, if none of it touches another's or what the target brought meanwhile.
fn separate_edits(
    project: &GitProject,
    refinery: &Path,
    base: CommitId,
    changes: &[Change],
) -> Result<Option<Vec<Vec<Edit>>>, GitError> {
    let memo = project.memo();
    let Some(base_tree) = memo.get(base).map(|known| known.tree) else { return Ok(None) };
    let (mut own, mut meanwhile) = (Vec::new(), BTreeMap::new());
    for change in changes {
        let known = memo.get(change.commit).and_then(|known| Some((known.tree, known.parent?)));
        let Some((tree, parent)) = known else { return Ok(None) };
        let (Some(before), Some(_)) = (memo.get(parent), memo.line(parent, base)) else { return Ok(None) };
        own.push((before.tree, tree));
        meanwhile.insert(before.tree, (before.tree, base_tree));
    }
    let starts: Vec<TreeId> = own.iter().map(|(before, _)| *before).collect();
    let pairs: Vec<(TreeId, TreeId)> = own.into_iter().chain(meanwhile.values().copied()).collect();
    let Some(mut edits) = edits(project, refinery, &pairs)? else { return Ok(None) };
    let brought: BTreeMap<TreeId, Paths> =
        meanwhile.keys().copied().zip(edits.split_off(changes.len()).iter().map(|edits| Paths::of(edits))).collect();
    let mut taken = Paths::default();
    for (edits, start) in edits.iter().zip(starts) {
        let touches = |edit: &Edit| taken.touch(&edit.path) || brought.get(&start).is_none_or(|b| b.touch(&edit.path));
        if edits.iter().any(touches) {
            return Ok(None);
        }
        taken.0.extend(edits.iter().map(|edit| edit.path.clone()));
    }
    Ok(Some(edits))
}

/// What differs between the trees of each pair; `None` if anything is deleted, or a submodule.
fn edits(
    project: &GitProject,
    refinery: &Path,
    pairs: &[(TreeId, TreeId)],
) -> Result<Option<Vec<Vec<Edit>>>, GitError> {
    let input: String = pairs.iter().map(|(old, new)| format!("{old} {new}\n")).collect();
    let output = project
        .git()
        .at(refinery)
        .args(["diff-tree", "--stdin", "-r", "-z", "--raw", "--no-renames", "--no-abbrev"])
        .stdin(input)
        .ok()?;
    let mut found: Vec<Vec<Edit>> = Vec::new();
    let mut parts = output.stdout.split(|b| *b == 0).peekable();
    // A pair without a difference is its line alone.
    while let Some(part) = parts.next() {
        let text = String::from_utf8_lossy(part);
        let mut lines = text.split('\n').peekable();
        while let Some(line) = lines.next_if(|line| !line.is_empty() && !line.starts_with(':')) {
            let known = pairs.get(found.len()).is_some_and(|(old, new)| line == format!("{old} {new}"));
            if !known {
                return Ok(None);
            }
            found.push(Vec::new());
        }
        let Some(entry) = lines.next().and_then(|entry| entry.strip_prefix(':')) else { continue };
        let (Some(path), Some(edits)) = (parts.next(), found.last_mut()) else { return Ok(None) };
        let [old_mode, mode, _, id, letter] = entry.split(' ').collect::<Vec<_>>()[..] else { return Ok(None) };
        if letter == "D" || mode == SUBMODULE || old_mode == SUBMODULE {
            return Ok(None);
        }
        edits.push(Edit { path: path.to_vec(), mode: mode.to_owned(), id: id.to_owned() });
    }
    Ok((found.len() == pairs.len()).then_some(found))
}

/// Paths of files.
#[derive(Debug, Default)]
struct Paths(BTreeSet<Vec<u8>>);

impl Paths {
    fn of(edits: &[Edit]) -> Self {
        Self(edits.iter().map(|edit| edit.path.clone()).collect())
    }

    /// Whether a path is one of these, or a folder of one, or one is a folder of it.
    fn touch(&self, path: &[u8]) -> bool {
        let above = |(n, byte): (usize, &u8)| *byte == b'/' && self.0.contains(&path[..n]);
        let mut inside = path.to_vec();
        inside.push(b'/');
        let below = self.0.range(inside.clone()..).next().is_some_and(|next| next.starts_with(&inside));
        self.0.contains(path) || below || path.iter().enumerate().any(above)
    }
}

/// A path as `fast-import` takes it: in quotes, whatever is not plain as three octal digits.
fn quoted(path: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in path {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            other => text.push_str(&format!("\\{other:03o}")),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_touches_itself_its_folders_and_what_would_be_in_it() {
        let paths = Paths(["a/b/c", "d", "e.txt"].iter().map(|path| path.as_bytes().to_vec()).collect());
        for path in ["a/b/c", "a/b", "a", "d", "d/x", "a/b/c/x/y"] {
            assert!(paths.touch(path.as_bytes()), "{path}");
        }
        for path in ["a/b/d", "a/x", "e", "e.txt2", "b/c", "a/b/c2", "d2/x"] {
            assert!(!paths.touch(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn paths_are_quoted_byte_by_byte() {
        assert_eq!(quoted("a b/\"c\\\n\u{e4}".as_bytes()), r#""a b/\"c\\\012\303\244""#);
    }
}
