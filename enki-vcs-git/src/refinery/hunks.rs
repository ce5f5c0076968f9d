//! What conflicts, as text for whoever resolves it.

use crate::error::GitError;
use crate::isolation::scan::show;
use crate::project::GitProject;
use crate::workspaces::resolve::Merged;
use enki_core::id::CommitId;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Most bytes of the whole text.
const LIMIT: usize = 16 << 10;
/// Least bytes for one file, however many there are.
const LEAST: usize = 1 << 10;
/// Lines around a conflict.
const CONTEXT: usize = 3;
/// Most files that are looked at.
const FILES: usize = 50;
const CUT: &str = "(cut)\n";

/// The conflicts of a merge: what has no lines in git's words, then the lines in conflict, file by file, with markers
/// that say `the target` and `this change`. At most 16 KiB; of each file the head.
pub(crate) fn hunks(
    project: &GitProject,
    git_dir: &Path,
    merged: &Merged,
    ours: CommitId,
    theirs: CommitId,
) -> Result<String, GitError> {
    let named = |text: &str| text.replace(&ours.to_string(), "the target").replace(&theirs.to_string(), "this change");
    let mut text = Bounded { text: String::new(), limit: LIMIT };
    for message in &merged.words {
        text.push(&format!("{}\n", named(&shown(message))));
    }
    let paths: Vec<&[u8]> = merged.paths().into_iter().take(FILES).collect();
    let files = blobs(project, git_dir, merged, &paths)?;
    let each = (LIMIT / files.len().max(1)).max(LEAST);
    for (path, content) in files {
        let mut file = Bounded { text: String::new(), limit: each };
        for hunk in in_conflict(&String::from_utf8_lossy(&content), ours, theirs) {
            file.push(&format!("{}, line {}:\n", show(&path), hunk.line));
            file.push(&named(&shown(&hunk.lines)));
        }
        text.push(&file.text);
    }
    Ok(text.text)
}

/// Paths and contents.
type Files = Vec<(Vec<u8>, Vec<u8>)>;

/// The files of the merged tree at these paths that are text.
fn blobs(project: &GitProject, git_dir: &Path, merged: &Merged, paths: &[&[u8]]) -> Result<Files, GitError> {
    let listed = project
        .git()
        .at(git_dir)
        .args(["ls-tree", "-z", &merged.tree.to_string(), "--"])
        .args(paths.iter().map(|path| OsStr::from_bytes(path)))
        .ok()?;
    let (mut names, mut ids) = (Vec::new(), Vec::new());
    for entry in listed.stdout.split(|b| *b == 0) {
        // `<mode> <kind> <id>`, a tab, and the path.
        let Some(tab) = entry.iter().position(|b| *b == b'\t') else { continue };
        let meta = String::from_utf8_lossy(&entry[..tab]);
        if let [mode, "blob", id] = meta.split(' ').collect::<Vec<_>>()[..]
            && mode.starts_with("100")
        {
            names.push(entry[tab + 1..].to_vec());
            ids.push(id.to_owned());
        }
    }
    let contents = project.blobs(git_dir, &ids)?;
    Ok(names.into_iter().zip(contents).filter(|(_, content)| !content.contains(&0)).collect())
}

struct Hunk {
    /// Number of its first line.
    line: usize,
    lines: String,
}

/// The parts of a file between the markers of this merge, with some lines around.
fn in_conflict(content: &str, ours: CommitId, theirs: CommitId) -> Vec<Hunk> {
    let (open, close) = (ours.to_string(), theirs.to_string());
    let marker = |line: &str, sign: char, label: &str| {
        let rest = line.trim_start_matches(sign);
        line.len() - rest.len() >= 7 && rest.strip_prefix(' ').is_some_and(|text| text.starts_with(label))
    };
    let lines: Vec<&str> = content.lines().collect();
    let (mut hunks, mut begin) = (Vec::new(), None);
    for (n, line) in lines.iter().enumerate() {
        if marker(line, '<', &open) {
            begin = Some(n);
        } else if marker(line, '>', &close)
            && let Some(first) = begin.take()
        {
            let (from, to) = (first.saturating_sub(CONTEXT), (n + 1 + CONTEXT).min(lines.len()));
            let mut text = lines[from..to].join("\n");
            text.push('\n');
            hunks.push(Hunk { line: from + 1, lines: text });
        }
    }
    hunks
}

/// Text without what a terminal or a prompt could take for more than text.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }).collect()
}

/// A text that takes whole lines until it is full.
struct Bounded {
    text: String,
    limit: usize,
}

impl Bounded {
    fn push(&mut self, more: &str) {
        for line in more.split_inclusive('\n') {
            if self.text.ends_with(CUT) && self.text.len() + line.len() + CUT.len() > self.limit {
                return;
            }
            if self.text.len() + line.len() + CUT.len() > self.limit {
                self.text.push_str(CUT);
                return;
            }
            self.text.push_str(line);
        }
    }
}
