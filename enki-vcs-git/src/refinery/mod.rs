//! [`GitRefinery`]: the five mechanisms below the merge queue.

pub(crate) mod adopt;
pub(crate) mod build;
pub(crate) mod chain;
pub(crate) mod check;
pub(crate) mod checkout;
pub(crate) mod hunks;
pub(crate) mod lost;
pub(crate) mod predict;
pub(crate) mod publish;

use crate::error::GitError;
use crate::git::objects::{Kept, New, Old, Swap};
use crate::isolation::scan::one_line;
use crate::project::GitProject;
use enki_core::async_trait;
use enki_core::branch::Branch;
use enki_core::crash_point;
use enki_core::id::{CommitId, EffectId, TreeId};
use enki_core::refinery::{
    Build, Candidate, Change, ChangeKind, Check, Gate, Import, Publish, Refinery, RefineryError, TargetState,
};
use std::sync::Arc;

/// [`Refinery`] on git. Merges are built in the bare repository `.enki/refinery.git`, which borrows the objects of
/// the person's repository and has no configuration but ours; the person's files are touched only when their
/// checked-out branch is fast-forwarded, by their own git.
#[derive(Clone, Debug)]
pub struct GitRefinery {
    project: GitProject,
    commit_suffix: Arc<str>,
}

impl GitRefinery {
    pub(crate) fn new(project: GitProject) -> Self {
        Self { project, commit_suffix: "".into() }
    }

    /// The same with a line that the message of each step's commit gets between summary and trailers; an empty one is
    /// left out, as by default.
    ///
    /// It is part of what a candidate is made of: another suffix makes another commit of the same changes.
    #[must_use]
    pub fn commit_suffix(mut self, suffix: &str) -> Self {
        self.commit_suffix = suffix.into();
        self
    }

    async fn on_thread<T: Send + 'static>(
        &self,
        attempted: String,
        work: impl FnOnce(&GitProject) -> Result<T, GitError> + Send + 'static,
    ) -> Result<T, RefineryError> {
        let project = self.project.clone();
        match tokio::task::spawn_blocking(move || work(&project)).await {
            Ok(result) => result.map_err(|e| e.refinery(attempted)),
            Err(e) => Err(RefineryError::new(attempted, e.to_string(), false)),
        }
    }
}

impl GitRefinery {
    /// An error may be there because the candidate is not: then it says so.
    async fn or_lost<T: Send>(
        &self,
        candidate: &Candidate,
        result: Result<T, RefineryError>,
    ) -> Result<T, RefineryError> {
        let error = match result {
            Err(error) if !error.transient => error,
            result => return result,
        };
        let candidate = *candidate;
        let looked = self.on_thread(String::new(), move |project| lost::put_aside(project, candidate)).await;
        Err(if looked.unwrap_or(false) { error.of_lost_candidate() } else { error })
    }
}

/// Every method runs on a thread for blocking work, to its end: a caller that stops waiting interrupts nothing.
#[async_trait]
impl Refinery for GitRefinery {
    async fn open(&self, target: &Branch, integration: &Branch) -> Result<CommitId, RefineryError> {
        let (target, integration) = (target.clone(), integration.clone());
        let attempted = format!("make the branch {integration} at the head of {target}");
        self.on_thread(attempted, move |project| open(project, &target, &integration)).await
    }

    async fn import(&self, change: &Change) -> Result<Import, RefineryError> {
        let change = change.clone();
        let attempted = format!("bring in {} for {}", change.commit, change.request);
        self.on_thread(attempted, move |project| import(project, &change)).await
    }

    async fn build(&self, base: CommitId, changes: &[Change], id: EffectId) -> Result<Build, RefineryError> {
        let (changes, suffix) = (changes.to_vec(), Arc::clone(&self.commit_suffix));
        let attempted = format!("build {} changes on {base} ({id})", changes.len());
        self.on_thread(attempted, move |project| match build::build(project, base, &changes, &suffix) {
            Err(_) if mend(project, &changes)? => build::build(project, base, &changes, &suffix),
            built => built,
        })
        .await
    }

    async fn predict(&self, pairs: &[(CommitId, CommitId)]) -> Result<Vec<bool>, RefineryError> {
        let pairs = pairs.to_vec();
        let attempted = format!("look for conflicts between {} pairs of changes", pairs.len());
        self.on_thread(attempted, move |project| predict::predict(project, &pairs)).await
    }

    async fn check(&self, candidate: &Candidate, gate: &Gate, id: EffectId) -> Result<Check, RefineryError> {
        let checked = check::check(&self.project, *candidate, gate, id).await;
        self.or_lost(candidate, checked).await
    }

    async fn publish(
        &self,
        target: &Branch,
        expected: CommitId,
        candidate: &Candidate,
    ) -> Result<Publish, RefineryError> {
        let (target, candidate) = (target.clone(), *candidate);
        let attempted = format!("move {target} from {expected} to {}", candidate.commit);
        let published =
            self.on_thread(attempted, move |project| publish::publish(project, &target, expected, candidate)).await;
        self.or_lost(&candidate, published).await
    }

    async fn inspect(&self, target: &Branch, candidate: Option<CommitId>) -> Result<TargetState, RefineryError> {
        let target = target.clone();
        let attempted = format!("look at {target}");
        self.on_thread(attempted, move |project| publish::inspect(project, &target, candidate)).await
    }
}

fn open(project: &GitProject, target: &Branch, integration: &Branch) -> Result<CommitId, GitError> {
    let full_ref = integration.full_ref();
    if project.memo().spares.first_time() {
        project.look_again()?;
    }
    if project.commit_at(&full_ref)?.is_none() {
        // The work begins with what the person sees.
        project.record_folder()?;
        let head = project.resolve_branch(target.as_str())?.1;
        let lock = project.write_lock()?;
        if project.swap(&lock, &full_ref, head, Old::Absent)? == Swap::Done {
            project.sync_ref(&full_ref)?;
            return Ok(head);
        }
    }
    first_base(project, &full_ref)
}

/// Where a branch that is there already began: its oldest reflog entry, else its head.
fn first_base(project: &GitProject, full_ref: &str) -> Result<CommitId, GitError> {
    let log = project.at_person().args(["rev-list", "-g", full_ref, "--"]).run()?;
    let oldest = String::from_utf8_lossy(&log.stdout).lines().last().and_then(|id| id.parse().ok());
    match oldest {
        Some(id) if log.code == Some(0) => Ok(id),
        _ => project
            .commit_at(full_ref)?
            .ok_or_else(|| GitError::Gone(format!("{full_ref} was there and is gone: somebody deletes it meanwhile"))),
    }
}

fn import(project: &GitProject, change: &Change) -> Result<Import, GitError> {
    crash_point!("merge.2.before");
    let full_ref = format!("refs/enki/kept/{}", change.request.hex());
    let commit = change.commit;
    // Capture inspected it and keeps it, or it is a candidate of ours behind its anchor.
    if project.is_kept(commit) {
        crash_point!("merge.2.after");
        return Ok(Import::Imported);
    }
    let mut facts = look(project, commit)?;
    if facts.is_none()
        && let ChangeKind::Step { task, .. } = &change.kind
    {
        // The person's repository lost it, by hand: the workspace may have it still.
        let capture = project.enki_dir().join("capture").join(format!("{task}.git"));
        if capture.is_dir() {
            if let Kept::Refused(words) = project.keep(&capture, commit, &New::All, &full_ref)? {
                return Ok(Import::Refused { reason: format!("git refuses {words}") });
            }
            facts = look(project, commit)?;
        }
    }
    let Some((tree, parent)) = facts else {
        return Err(GitError::Gone(format!("commit {commit} is neither in the repository nor in its workspace")));
    };
    if matches!(change.kind, ChangeKind::Step { .. }) {
        let Some(parent) = parent else {
            return Ok(Import::Refused { reason: format!("{commit} has no parent: it is not made on a base of Enki") });
        };
        let changed = project.diff(project.common_dir(), parent, tree)?;
        let findings = project.inspect_changes(project.common_dir(), tree, &changed)?;
        if !findings.is_empty() {
            return Ok(Import::Refused { reason: one_line(&findings) });
        }
    }
    let lock = project.write_lock()?;
    if project.create_ref(&lock, &full_ref, commit)? {
        project.sync_ref(&full_ref)?;
        crash_point!("merge.2.after");
        Ok(Import::Imported)
    } else {
        Err(GitError::Gone(format!("{full_ref} keeps another commit than {commit}: this request was another's before")))
    }
}

/// Brings in again what the person's repository lost of changes that were kept there, from where they were captured: a
/// `gc --prune=now` that began before their refs were made may take objects away afterwards. Says whether it did.
fn mend(project: &GitProject, changes: &[Change]) -> Result<bool, GitError> {
    // What was published lately, and is built on, may be gone in the same way.
    let mut mended = project.look_again()? > 0;
    for change in changes {
        let ChangeKind::Step { task, .. } = &change.kind else { continue };
        let capture = project.enki_dir().join("capture").join(format!("{task}.git"));
        if !capture.is_dir() {
            continue;
        }
        let parent = project.git().look_up(&capture, &[format!("{}^1", change.commit)])?[0].commit();
        let new = parent.map_or(New::All, New::Since);
        if project.complete(change.commit, &new)?.is_none() {
            let full_ref = format!("refs/enki/kept/{}", change.request.hex());
            mended |= matches!(project.keep(&capture, change.commit, &new, &full_ref)?, Kept::Yes);
        }
    }
    Ok(mended)
}

/// The tree of a commit and that of its first parent.
fn look(project: &GitProject, commit: CommitId) -> Result<Option<(TreeId, Option<TreeId>)>, GitError> {
    let names = [commit.to_string(), format!("{commit}^{{tree}}"), format!("{commit}^1^{{tree}}")];
    let found = project.git().look_up(project.common_dir(), &names)?;
    Ok(found[0].commit().and(found[1].id()).map(|tree| (tree, found[2].id())))
}
