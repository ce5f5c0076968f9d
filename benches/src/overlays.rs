//! V8: workspaces as overlays over one prepared tree: handed out, captured and made ready again, against
//! `git worktree add` and captures of plain files in the same run.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use crate::repository::Repository;
use crate::workspaces::{commit, edit, head, ready, since, spec};
use enki_core::id::CommitId;
use enki_core::time::Timestamp;
use enki_core::workspace::{Capture, CaptureSpec, Expect, WorkspaceProvider, WorkspaceSpec};
use enki_vcs_git::{GitOptions, GitWorkspaces, WorkspaceMethod};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Milliseconds of each run.
#[derive(Debug, Default)]
pub struct Times {
    /// `git worktree add`.
    pub worktree: Vec<f64>,
    /// A workspace over a tree that is there.
    pub handed_out: Vec<f64>,
    /// One in which ten files were changed and kept, given back, until the next may be handed out.
    pub again: Vec<f64>,
    /// The tree below, when nobody uses it, brought to a commit of ten other files.
    pub brought: Vec<f64>,
    /// A capture of ten changed files.
    pub captured: Vec<f64>,
    /// The same of plain files.
    pub captured_plain: Vec<f64>,
}

/// Measures so many rounds on a repository; nothing where no overlay can be mounted.
///
/// # Panics
///
/// If anything fails.
pub async fn measure(repository: &Repository, rounds: usize) -> Option<Times> {
    let overlaid = |options: &mut GitOptions| options.method = WorkspaceMethod::Overlay;
    let overlaid = repository.project().with_options(overlaid).workspaces();
    let plain = repository.project().with_options(|options| options.pool = 1).workspaces();
    let (mut times, mut base) = (Times::default(), head(repository));
    for round in 0..rounds {
        let folder = repository.beside(&format!("worktree-overlay-{round}"));
        let start = Instant::now();
        repository.git(&["worktree", "add", "-q", "--detach", folder.to_str().expect("it is plain"), "main"]);
        times.worktree.push(since(start));

        ready(&plain, base).await;
        let one = spec(&format!("plain-{round}"), base);
        let place = plain.create(&one).await.expect("a workspace can be made").path;
        edit(repository, &place, round);
        let start = Instant::now();
        captured(&plain, &one).await;
        times.captured_plain.push(since(start));

        ready(&overlaid, base).await;
        let start = Instant::now();
        let two = spec(&format!("overlay-{round}"), base);
        let place = overlaid.create(&two).await.expect("a workspace can be made").path;
        times.handed_out.push(since(start));
        if !is_mounted(&place) {
            return None;
        }
        edit(repository, &place, round);
        // The last words of an agent come a while after its last write.
        std::thread::sleep(Duration::from_millis(100));
        let start = Instant::now();
        let landed = captured(&overlaid, &two).await;
        times.captured.push(since(start));
        repository.git(&["update-ref", "refs/heads/main", &landed.to_string()]);
        let start = Instant::now();
        overlaid.remove(two.task).await.expect("it has landed");
        times.again.push(since(start));
        base = commit(repository, &folder, landed, rounds + round);
        let start = Instant::now();
        ready(&overlaid, base).await;
        times.brought.push(since(start));
        let all = [&times.worktree, &times.handed_out, &times.again, &times.brought];
        let all = [&all[..], &[&times.captured, &times.captured_plain]].concat();
        let last: Vec<String> = all.iter().map(|times| format!("{:.1}", times[round])).collect();
        println!(
            "  round {round}, ms: worktree add / overlay / again / brought / capture / plain: {}",
            last.join(" / ")
        );
    }
    Some(times)
}

async fn captured(workspaces: &GitWorkspaces, spec: &WorkspaceSpec) -> CommitId {
    let capture = CaptureSpec::new(spec.clone(), Expect::Change, "Ten files", Timestamp(1_700_000_000_000));
    match workspaces.capture(&capture).await.expect("it can be captured").apart().0 {
        Capture::Change { commit, .. } => commit,
        other => panic!("{other:?}"),
    }
}

fn is_mounted(folder: &Path) -> bool {
    let device = |path: &Path| std::fs::metadata(path).expect("it is there").dev();
    folder.parent().is_some_and(|parent| device(parent) != device(folder))
}
