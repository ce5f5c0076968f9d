//! Conflicts as files with markers, and the look whether an agent solved all of them and nothing else.

use crate::error::GitError;
use crate::git::Durable;
use crate::project::{GitProject, put};
use crate::workspaces::place::{Place, State};
use enki_core::id::{CommitId, TreeId};
use std::collections::BTreeSet;
use std::path::Path;

/// What git makes of merging two commits.
#[derive(Debug)]
pub(crate) struct Merged {
    /// The merged files; those in conflict have markers, or one side.
    pub(crate) tree: TreeId,
    /// The paths in conflict, with their sides as `update-index --index-info` takes them. Empty: it merged cleanly.
    pub(crate) stages: Vec<(Vec<u8>, Vec<u8>)>,
    /// What git says of conflicts that are not between lines.
    pub(crate) words: Vec<String>,
}

impl Merged {
    /// The paths in conflict, each once, in order.
    pub(crate) fn paths(&self) -> BTreeSet<&[u8]> {
        self.stages.iter().map(|(path, _)| &path[..]).collect()
    }
}

impl GitProject {
    /// Merges `theirs` into `ours` in a git directory of ours, where no merge driver is configured (F4), without a
    /// checkout. Both must be commits that are there: git says "conflict" of what it cannot find (F11).
    pub(crate) fn merge(&self, git_dir: &Path, ours: CommitId, theirs: CommitId) -> Result<Merged, GitError> {
        let output = self
            .git()
            .at(git_dir)
            .durable(Durable::Committed)
            .args(["merge-tree", "--write-tree", "-z"])
            .args([ours.to_string(), theirs.to_string()])
            .long()
            .run()?;
        if !matches!(output.code, Some(0 | 1)) {
            return Err(output.into_error());
        }
        let mut parts = output.stdout.split(|b| *b == 0);
        let tree = parts.next().map(|id| String::from_utf8_lossy(id).trim().to_owned()).unwrap_or_default();
        let tree = match tree.parse() {
            Ok(tree) => tree,
            Err(_) => return Err(output.into_error()),
        };
        let mut stages = Vec::new();
        for entry in parts.by_ref().take_while(|entry| !entry.is_empty()) {
            if let Some(tab) = entry.iter().position(|b| *b == b'\t') {
                stages.push((entry[tab + 1..].to_vec(), entry.to_vec()));
            }
        }
        if output.code == Some(1) && stages.is_empty() {
            return Err(output.into_error());
        }
        let words = words(parts);
        Ok(Merged { tree, stages, words })
    }
}

/// The messages of `merge-tree` that are about conflicts, but not about lines. Each message is a number of paths, these
/// paths, its kind, and its text.
fn words<'a>(mut parts: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    let text = |part: &[u8]| String::from_utf8_lossy(part).trim_end().to_owned();
    let mut words = Vec::new();
    while let Some(paths) = parts.next().and_then(|part| text(part).parse::<usize>().ok()) {
        let mut rest = parts.by_ref().skip(paths);
        let (Some(kind), Some(message)) = (rest.next(), rest.next()) else { break };
        if kind.starts_with(b"CONFLICT") && kind != b"CONFLICT (contents)" {
            words.push(text(message));
        }
    }
    words
}

/// Tells the agent's git about the conflict, so that its `git status` does.
pub(crate) fn announce(project: &GitProject, place: &Place, merged: &Merged, change: CommitId) -> Result<(), GitError> {
    if merged.stages.is_empty() {
        return Ok(());
    }
    let zero = project.zero();
    let mut input = Vec::new();
    for path in merged.paths() {
        input.extend_from_slice(format!("0 {zero}\t").as_bytes());
        input.extend_from_slice(path);
        input.push(0);
    }
    for (_, stage) in &merged.stages {
        input.extend_from_slice(stage);
        input.push(0);
    }
    project
        .git()
        .at(&place.capture)
        .durable(Durable::No)
        .index(&place.work.join(".git/index"))
        .args(["update-index", "-z", "--index-info"])
        .stdin(input)
        .ok()?;
    put(&place.work.join(".git/MERGE_HEAD"), format!("{change}\n").as_bytes())?;
    put(&place.work.join(".git/MERGE_MSG"), b"Solve the conflict\n")
}

/// The paths that speak against taking `tree` as the solution: still with markers, or changed although git had merged
/// them. All of the conflict, if nothing was touched: one side taken silently is no solution.
pub(crate) fn unresolved(
    project: &GitProject,
    place: &Place,
    state: &State,
    onto: CommitId,
    change: CommitId,
    tree: TreeId,
) -> Result<BTreeSet<Vec<u8>>, GitError> {
    let merged = project.merge(&place.capture, onto, change)?;
    let conflicts = merged.paths();
    if conflicts.is_empty() {
        return Ok(BTreeSet::new());
    }
    if tree == merged.tree || tree == state.populated {
        return Ok(conflicts.into_iter().map(<[u8]>::to_vec).collect());
    }
    let touched = project.diff(&place.capture, merged.tree, tree)?;
    let mut wrong: BTreeSet<Vec<u8>> =
        touched.iter().map(|c| &c.path).filter(|path| !conflicts.contains(&path[..])).cloned().collect();
    // A file in conflict that was not touched may still be one with markers: look at all of the new tree.
    let files: Vec<_> = project
        .diff(&place.capture, empty_tree(project, &place.capture)?, tree)?
        .into_iter()
        .filter(|file| conflicts.contains(&file.path[..]) && file.mode & 0o170_000 == 0o100_000)
        .collect();
    let ids: Vec<String> = files.iter().map(|file| file.id.clone()).collect();
    for (file, content) in files.iter().zip(project.blobs(&place.capture, &ids)?) {
        if has_markers(&content, onto, change) {
            wrong.insert(file.path.clone());
        }
    }
    Ok(wrong)
}

fn empty_tree(project: &GitProject, git_dir: &Path) -> Result<TreeId, GitError> {
    project.git().at(git_dir).durable(Durable::No).arg("mktree").ok()?.id()
}

/// Whether a line begins with a marker that git wrote for this merge. Git labels the sides with the full ids, so
/// texts about markers are no false alarm.
fn has_markers(content: &[u8], onto: CommitId, change: CommitId) -> bool {
    let (ours, theirs) = (onto.to_string(), change.to_string());
    let starts = |line: &[u8], sign: u8, label: &str| {
        let rest = line.iter().position(|b| *b != sign).unwrap_or(line.len());
        rest >= 7 && line[rest..].strip_prefix(b" ").is_some_and(|text| text.starts_with(label.as_bytes()))
    };
    content.split(|b| *b == b'\n').any(|line| starts(line, b'<', &ours) || starts(line, b'>', &theirs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_markers_of_this_merge_count() {
        let (ours, theirs): (CommitId, CommitId) = ("a".repeat(40).parse().unwrap(), "b".repeat(40).parse().unwrap());
        let with = |line: String| has_markers(format!("x\n{line}\ny").as_bytes(), ours, theirs);
        assert!(with(format!("<<<<<<< {ours}")));
        assert!(with(format!(">>>>>>> {theirs}:old/name.rs\r")));
        assert!(with(format!("<<<<<<<<<<< {ours}")));
        assert!(!with("<<<<<<< HEAD".to_owned()));
        assert!(!with(format!("<<<<<< {ours}")));
        assert!(!with("=======".to_owned()));
    }
}
