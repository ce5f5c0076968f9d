//! Candidates: what would be published, made without a checkout, and the same each time.

use crate::error::GitError;
use crate::git::message;
use crate::isolation::scan::show_all;
use crate::project::GitProject;
use crate::refinery::chain::{Chain, chain};
use crate::refinery::hunks::hunks;
use enki_core::crash_point;
use enki_core::id::{CommitId, TreeId};
use enki_core::refinery::{Build, Candidate, Change, ChangeKind};
use std::path::Path;

pub(crate) fn build(project: &GitProject, base: CommitId, changes: &[Change], suffix: &str) -> Result<Build, GitError> {
    crash_point!("merge.3.before");
    let refinery = project.refinery_dir()?;
    resolve(project, &refinery, base, changes)?;
    let known = |commit| tree_of(project, commit);
    let base_tree = known(base)?;
    if changes.len() > 1
        && let Some(chain) = chain(project, &refinery, base, changes, suffix)?
    {
        for (change, made) in changes.iter().zip(&chain.commits) {
            if let (ChangeKind::Step { task, attempt, .. }, Some((commit, _))) = (&change.kind, made) {
                project.memo().built((*task, *attempt), *commit);
            }
        }
        return Ok(from_chain(project, base, base_tree, &chain));
    }
    let (mut tip, mut tree) = (base, base_tree);
    let mut commits = Vec::with_capacity(changes.len());
    for change in changes {
        let (next, next_tree) = match &change.kind {
            ChangeKind::Landing { .. } => match relation(project, &refinery, tip, change.commit)? {
                Relation::Contained => {
                    commits.push(None);
                    continue;
                }
                Relation::Ahead => (change.commit, known(change.commit)?),
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
                    let made = project.commit_tree(&refinery, merged, &[tip], &text, change.at)?;
                    project.memo().built((*task, *attempt), made);
                    (made, merged)
                }
                On::Conflict(conflict) => return Ok(conflict),
            },
        };
        if next != change.commit {
            project.memo().put(next, next_tree, Some(tip));
        }
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

/// The candidate that a chain on `base` ends in.
fn from_chain(project: &GitProject, base: CommitId, base_tree: TreeId, chain: &Chain) -> Build {
    let mut candidate = Candidate { commit: base, tree: base_tree, base };
    for (commit, tree) in chain.commits.iter().flatten() {
        project.memo().put(*commit, *tree, Some(candidate.commit));
        (candidate.commit, candidate.tree) = (*commit, *tree);
    }
    if candidate.commit == base {
        return Build::Empty;
    }
    if let Some(pack) = &chain.pack {
        for (commit, _) in chain.commits.iter().flatten() {
            project.memo().packed(*commit, pack, candidate.commit);
        }
    }
    crash_point!("merge.3.after");
    Build::Candidate { candidate, commits: chain.commits.iter().map(|made| made.map(|(commit, _)| commit)).collect() }
}

/// Sees to it that all commits are there before git is asked to merge them (F11), and that their trees and parents are
/// known. What this process saw before is not looked for again: if it is gone since, git gives no tree and says so.
fn resolve(project: &GitProject, refinery: &Path, base: CommitId, changes: &[Change]) -> Result<(), GitError> {
    let memo = project.memo();
    let commits = std::iter::once(base).chain(changes.iter().map(|change| change.commit));
    let unknown: Vec<CommitId> = commits.filter(|id| memo.get(*id).is_none()).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let names: Vec<String> =
        unknown.iter().flat_map(|id| [id.to_string(), format!("{id}^{{tree}}"), format!("{id}^1")]).collect();
    let found = project.git().look_up(refinery, &names)?;
    for (commit, facts) in unknown.into_iter().zip(found.chunks_exact(3)) {
        // Both, because a tag has a tree too.
        let Some(tree) = facts[0].commit().and(facts[1].id()) else {
            return Err(GitError::Gone(format!("commit {commit} is not in the repository {}", refinery.display())));
        };
        memo.put(commit, tree, facts[2].commit());
    }
    Ok(())
}

fn tree_of(project: &GitProject, commit: CommitId) -> Result<TreeId, GitError> {
    let known = project.memo().get(commit).map(|known| known.tree);
    known.ok_or_else(|| GitError::Gone(format!("commit {commit} was not looked at")))
}

enum On {
    Tree(TreeId),
    Conflict(Build),
}

fn put_on(project: &GitProject, refinery: &Path, tip: CommitId, change: &Change) -> Result<On, GitError> {
    if let Some(known) = project.memo().get(change.commit)
        && known.parent == Some(tip)
    {
        return Ok(On::Tree(known.tree));
    }
    let merged = project.merge(refinery, tip, change.commit)?;
    if merged.stages.is_empty() {
        return Ok(On::Tree(merged.tree));
    }
    let paths = show_all(merged.paths());
    let hunks = hunks(project, refinery, &merged, tip, change.commit)?;
    Ok(On::Conflict(Build::Conflict { request: change.request, paths, hunks }))
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
    if commit == tip {
        return Ok(Relation::Contained);
    }
    if project.memo().line(tip, commit).is_some() {
        return Ok(Relation::Ahead);
    }
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
