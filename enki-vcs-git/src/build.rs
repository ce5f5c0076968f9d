//! Candidates: what would be published, made without a checkout, and the same each time.

use crate::error::GitError;
use crate::message;
use crate::project::GitProject;
use crate::scan::show_all;
use enki_core::crash_point;
use enki_core::id::{CommitId, TreeId};
use enki_core::refinery::{Build, Candidate, Change, ChangeKind};
use std::path::Path;

pub(crate) fn build(project: &GitProject, base: CommitId, changes: &[Change], suffix: &str) -> Result<Build, GitError> {
    crash_point!("merge.3.before");
    let refinery = project.refinery_dir()?;
    let (base_tree, trees) = resolve(project, &refinery, base, changes)?;
    let (mut tip, mut tree) = (base, base_tree);
    let mut commits = Vec::with_capacity(changes.len());
    for (change, own_tree) in changes.iter().zip(trees) {
        let (next, next_tree) = match &change.kind {
            ChangeKind::Landing { .. } => match relation(project, &refinery, tip, change.commit)? {
                Relation::Contained => {
                    commits.push(None);
                    continue;
                }
                Relation::Ahead => (change.commit, own_tree),
                Relation::Apart => match put_on(project, &refinery, tip, change)? {
                    On::Tree(merged) => (merge_commit(project, &refinery, tip, change, merged)?, merged),
                    On::Conflict(conflict) => return Ok(conflict),
                },
            },
            ChangeKind::Step { task, attempt, title, summary } => match put_on(project, &refinery, tip, change)? {
                On::Tree(merged) if merged == tree => {
                    commits.push(None);
                    continue;
                }
                On::Tree(merged) => {
                    let text = message::step(title, summary, suffix, *task, *attempt);
                    (project.commit_tree(&refinery, merged, &[tip], &text, change.at)?, merged)
                }
                On::Conflict(conflict) => return Ok(conflict),
            },
        };
        (tip, tree) = (next, next_tree);
        commits.push(Some(tip));
    }
    if tree == base_tree && !changes.is_empty() {
        Ok(Build::Empty)
    } else {
        crash_point!("merge.3.after");
        Ok(Build::Candidate { candidate: Candidate { commit: tip, tree, base }, commits })
    }
}

/// Sees to it that all commits are there before git is asked to merge them (F11). Gives their trees.
fn resolve(
    project: &GitProject,
    refinery: &Path,
    base: CommitId,
    changes: &[Change],
) -> Result<(TreeId, Vec<TreeId>), GitError> {
    let commits: Vec<CommitId> = std::iter::once(base).chain(changes.iter().map(|change| change.commit)).collect();
    let mut trees = project.trees_of(refinery, &commits)?;
    let base_tree = trees.remove(0);
    Ok((base_tree, trees))
}

enum On {
    Tree(TreeId),
    Conflict(Build),
}

fn put_on(project: &GitProject, refinery: &Path, tip: CommitId, change: &Change) -> Result<On, GitError> {
    let merged = project.merge(refinery, tip, change.commit)?;
    if merged.stages.is_empty() {
        return Ok(On::Tree(merged.tree));
    }
    let paths = show_all(merged.paths());
    Ok(On::Conflict(Build::Conflict { request: change.request, paths, hunks: String::new() }))
}

fn merge_commit(
    project: &GitProject,
    refinery: &Path,
    tip: CommitId,
    change: &Change,
    tree: TreeId,
) -> Result<CommitId, GitError> {
    let title = match &change.kind {
        ChangeKind::Landing { title, .. } | ChangeKind::Step { title, .. } => title,
    };
    project.commit_tree(refinery, tree, &[tip, change.commit], &message::line(title), change.at)
}

/// How a commit stands to a tip.
enum Relation {
    /// The tip has it.
    Contained,
    /// It has the tip.
    Ahead,
    Apart,
}

fn relation(project: &GitProject, refinery: &Path, tip: CommitId, commit: CommitId) -> Result<Relation, GitError> {
    let range = format!("{tip}...{commit}");
    let output = project.git().at(refinery).args(["rev-list", "--left-right", "--count", &range]).ok()?;
    let line = output.line();
    match line.split_once('\t') {
        Some((_, "0")) => Ok(Relation::Contained),
        Some(("0", _)) => Ok(Relation::Ahead),
        Some(_) => Ok(Relation::Apart),
        None => Err(GitError::Unexpected { attempted: format!("git rev-list {range}"), output: line }),
    }
}
