//! Which changes would conflict with each other: one process for all pairs, and nothing of it stays.

use crate::error::GitError;
use crate::git::Durable;
use crate::project::GitProject;
use enki_core::id::CommitId;

/// Whether each pair conflicts: what building the second on the first would say. The merged files go to a git
/// directory that is thrown away.
pub(crate) fn predict(project: &GitProject, pairs: &[(CommitId, CommitId)]) -> Result<Vec<bool>, GitError> {
    if pairs.is_empty() {
        return Ok(Vec::new());
    }
    let refinery = project.refinery_dir()?;
    let tmp = project.enki_dir().join("tmp");
    let scratch = tempfile::tempdir_in(&tmp).map_err(|e| GitError::io("make a folder in", &tmp, e))?;
    project.private_git_dir(scratch.path(), &[project.common_dir(), &refinery])?;
    let input: String = pairs.iter().map(|(ours, theirs)| format!("{ours} {theirs}\n")).collect();
    let output = project
        .git()
        .at(scratch.path())
        .durable(Durable::No)
        .args(["merge-tree", "--write-tree", "--stdin", "-z", "--no-messages", "--name-only"])
        .stdin(input)
        .long()
        .ok()?;
    let answers = read(&output.stdout);
    if answers.len() == pairs.len() { Ok(answers) } else { Err(output.into_error()) }
}

/// Each answer is a `1` for clean or a `0`, the tree, the paths in conflict, and an empty part.
fn read(output: &[u8]) -> Vec<bool> {
    let mut parts = output.split(|b| *b == 0);
    let mut answers = Vec::new();
    while let Some(clean) = parts.next().filter(|part| !part.is_empty()) {
        answers.push(clean != b"1");
        // Its tree and paths; a path is never empty.
        if parts.by_ref().all(|part| !part.is_empty()) {
            answers.pop();
        }
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn answers_are_read_in_order() {
        let tree = "a".repeat(40);
        let text = format!("1@{tree}@@0@{tree}@d/f1@1@0@@1@{tree}@@").replace('@', "\0");
        assert_eq!(read(text.as_bytes()), [false, true, false]);
        let cut = format!("1@{tree}@@0@{tree}@d/f").replace('@', "\0");
        assert_eq!(read(cut.as_bytes()), [false]);
        assert_eq!(read(b""), [false; 0]);
    }
}
