//! Cases for [`WorkspaceProvider`].

use super::Skips;
use super::project::{Edit, Project, main};
use enki_core::id::{AttemptNo, CommitId, EffectId, ExecutionId, StepId, StepIx, TaskId};
use enki_core::tier::Purpose;
use enki_core::time::Timestamp;
use enki_core::workspace::{
    ArtifactRef, Capture, CaptureSpec, Expect, Start, Workspace, WorkspaceErrorKind, WorkspaceProvider, WorkspaceSpec,
};
use std::future::Future;
use std::path::Path;

/// How to make the projects and providers that the cases work on.
///
/// The defaults are for workspaces that are folders on disk.
pub trait WorkspaceFixture {
    /// The provider under test.
    type Provider: WorkspaceProvider;
    /// The project it makes workspaces of.
    type Project: Project;

    /// A new project whose `main` has these files, and a provider for it.
    fn project(&self, files: &[(&str, &str)]) -> impl Future<Output = (Self::Project, Self::Provider)>;

    /// The content of a file in the project's own folder, where artifacts are put.
    fn artifact(
        &self,
        project: &Self::Project,
        provider: &Self::Provider,
        path: &str,
    ) -> impl Future<Output = Option<String>>;

    /// The content of a file in a workspace.
    fn read(&self, provider: &Self::Provider, workspace: &Path, path: &str) -> impl Future<Output = Option<String>> {
        let _ = provider;
        let content = std::fs::read_to_string(workspace.join(path)).ok();
        async { content }
    }

    /// Changes files in a workspace, as an agent does.
    fn edit(&self, provider: &Self::Provider, workspace: &Path, edits: &[Edit<'_>]) -> impl Future<Output = ()> {
        let _ = provider;
        for (path, content) in edits {
            let path = workspace.join(path);
            std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("folders can be made");
            match content {
                Some(content) => std::fs::write(path, content).expect("a workspace can be written"),
                None => std::fs::remove_file(path).expect("a file of a workspace can be deleted"),
            }
        }
        async {}
    }

    /// The rules that the backend cannot be put to, with the reason. Each is said when the suite runs.
    fn skips(&self) -> Skips {
        &[]
    }

    /// Runs a case to its end.
    fn run<F: Future>(&self, case: F) -> F::Output {
        super::run(case)
    }
}

/// A fresh workspace has the files of its base, whatever became of the branch since.
pub async fn a_fresh_workspace_has_the_files_of_its_base(fixture: &impl WorkspaceFixture) {
    let bed = Bed::new(fixture).await;
    bed.project.commit(&main(), &[("a.txt", Some("later\n"))]).await;
    let workspace = bed.create(&bed.fresh("one", 1)).await;
    assert!(workspace.path.is_absolute() && workspace.conflicts.is_empty(), "{workspace:?}");
    assert_eq!(bed.read(&workspace, "a.txt").await.as_deref(), Some("a\n"));
    assert_eq!(bed.read(&workspace, "src/b.txt").await.as_deref(), Some("b\n"));
}

/// The same spec again gives the same workspace, with what was done in it: a start is repeated after a crash.
pub async fn the_same_spec_again_gives_the_same_workspace(fixture: &impl WorkspaceFixture) {
    let bed = Bed::new(fixture).await;
    let spec = bed.fresh("one", 1);
    let workspace = bed.create(&spec).await;
    bed.edit(&workspace, &[("a.txt", Some("edited\n")), ("new.txt", Some("n\n"))]).await;
    assert_eq!(bed.create(&spec).await, workspace);
    assert_eq!(bed.read(&workspace, "a.txt").await.as_deref(), Some("edited\n"));
    assert_eq!(bed.read(&workspace, "new.txt").await.as_deref(), Some("n\n"));
}

/// What is done in one workspace is seen in no other, and not in the project.
pub async fn workspaces_are_apart(fixture: &impl WorkspaceFixture) {
    let bed = Bed::new(fixture).await;
    let one = bed.create(&bed.fresh("one", 1)).await;
    let two = bed.create(&bed.fresh("two", 1)).await;
    assert_ne!(one.path, two.path);
    bed.edit(&one, &[("a.txt", Some("edited\n")), ("src/b.txt", None)]).await;
    assert_eq!(bed.read(&two, "a.txt").await.as_deref(), Some("a\n"));
    assert_eq!(bed.read(&two, "src/b.txt").await.as_deref(), Some("b\n"));
    assert_eq!(bed.project.head(&main()).await, Some(bed.base));
    assert_eq!(bed.read(&bed.create(&bed.fresh("three", 1)).await, "a.txt").await.as_deref(), Some("a\n"));
}

/// A captured change is a commit on the base with new, changed and deleted files, and a ref keeps it (R1).
pub async fn a_captured_change_is_a_kept_commit_on_its_base(fixture: &impl WorkspaceFixture) {
    let bed = Bed::new(fixture).await;
    let spec = bed.fresh("one", 1);
    let workspace = bed.create(&spec).await;
    let edits =
        [("a.txt", Some("edited\n")), ("src/b.txt", None), ("src/deep/er/c.txt", Some("ü 🙂")), ("empty", Some(""))];
    bed.edit(&workspace, &edits).await;
    let Capture::Change { commit, tree: _, files, paths } = bed.capture(&spec, Expect::Change).await else {
        panic!("four files were changed");
    };
    assert_eq!((files, paths), (4, ["a.txt", "empty", "src/b.txt", "src/deep/er/c.txt"].map(Into::into).into()));
    assert_eq!(bed.project.parents(commit).await, [bed.base]);
    assert!(bed.project.reachable(commit).await, "captured work is kept");
    for (path, content) in edits {
        assert_eq!(bed.project.file(commit, path).await.as_deref(), content, "{path}");
    }
    assert_eq!(bed.project.file(commit, "other.txt").await.as_deref(), Some("o\n"));
    assert_eq!(bed.project.head(&main()).await, Some(bed.base), "a capture moves no branch");
}

/// Files that equal the base are no change, also after a detour.
pub async fn files_that_equal_the_base_are_no_change(fixture: &impl WorkspaceFixture) {
    let bed = Bed::new(fixture).await;
    let spec = bed.fresh("one", 1);
    let workspace = bed.create(&spec).await;
    assert_eq!(bed.capture(&spec, Expect::Change).await, Capture::NoChange);
    bed.edit(&workspace, &[("a.txt", Some("edited\n")), ("new.txt", Some("n\n"))]).await;
    bed.edit(&workspace, &[("a.txt", Some("a\n")), ("new.txt", None)]).await;
    assert_eq!(bed.capture(&spec, Expect::Change).await, Capture::NoChange);
}

/// The same capture again gives the same commit.
pub async fn the_same_capture_again_gives_the_same_commit(fixture: &impl WorkspaceFixture) {
    let bed = Bed::new(fixture).await;
    let spec = bed.fresh("one", 1);
    let workspace = bed.create(&spec).await;
    bed.edit(&workspace, &[("a.txt", Some("edited\n"))]).await;
    let first = bed.capture(&spec, Expect::Change).await;
    assert!(matches!(first, Capture::Change { .. }), "{first:?}");
    assert_eq!(bed.capture(&spec, Expect::Change).await, first);
}

/// A review and a fix go on in the same folder, with the files as they were captured; the fix builds on that commit.
pub async fn a_fix_goes_on_where_the_work_was_captured(fixture: &impl WorkspaceFixture) {
    let bed = Bed::new(fixture).await;
    let (workspace, head) = bed.worked("one", &[("a.txt", Some("worked\n")), ("new.txt", Some("n\n"))]).await;

    let review = bed.continued("one", 2, Purpose::Review, head);
    let reviewed = bed.create(&review).await;
    assert_eq!(reviewed.path, workspace.path);
    assert_eq!(bed.read(&reviewed, "a.txt").await.as_deref(), Some("worked\n"));
    assert_eq!(bed.capture(&review, Expect::Nothing).await, Capture::NoChange);

    let fix = bed.continued("one", 3, Purpose::Fix, head);
    let fixed = bed.create(&fix).await;
    assert_eq!(fixed.path, workspace.path);
    assert_eq!(bed.read(&fixed, "new.txt").await.as_deref(), Some("n\n"));
    bed.edit(&fixed, &[("a.txt", Some("fixed\n"))]).await;
    let Capture::Change { commit, files, .. } = bed.capture(&fix, Expect::Change).await else {
        panic!("a file was changed");
    };
    assert_eq!(bed.project.parents(commit).await, [head]);
    assert_eq!(files, 2, "files are counted against the base");
    assert_eq!(bed.project.file(commit, "a.txt").await.as_deref(), Some("fixed\n"));
    assert_eq!(bed.project.file(commit, "new.txt").await.as_deref(), Some("n\n"));
}

/// A fix that changes nothing more says so, although the step as a whole has a change.
pub async fn a_fix_that_changes_nothing_keeps_the_captured_work(fixture: &impl WorkspaceFixture) {
    let bed = Bed::new(fixture).await;
    let (_, head) = bed.worked("one", &[("a.txt", Some("worked\n"))]).await;
    let fix = bed.continued("one", 2, Purpose::Fix, head);
    let workspace = bed.create(&fix).await;
    let captured = bed.capture(&fix, Expect::Change).await;
    // Either nothing is new, or the same files once more: both lose nothing.
    if let Capture::Change { commit, .. } = captured {
        assert_eq!(bed.project.file(commit, "a.txt").await.as_deref(), Some("worked\n"));
    } else {
        assert_eq!(captured, Capture::NoChange);
    }
    assert_eq!(bed.read(&workspace, "a.txt").await.as_deref(), Some("worked\n"));
    assert!(bed.project.reachable(head).await);
}

/// A retry that continues in a new folder or after a loss has the files of the captured commit.
pub async fn continuing_gives_the_captured_files_even_if_the_folder_was_left_dirty(fixture: &impl WorkspaceFixture) {
    let bed = Bed::new(fixture).await;
    let (_, head) = bed.worked("one", &[("a.txt", Some("worked\n"))]).await;
    let failed = bed.continued("one", 2, Purpose::Fix, head);
    let workspace = bed.create(&failed).await;
    bed.edit(&workspace, &[("a.txt", Some("half done\n")), ("junk.txt", Some("junk\n"))]).await;
    let again = bed.create(&bed.continued("one", 3, Purpose::Fix, head)).await;
    assert_eq!(bed.read(&again, "a.txt").await.as_deref(), Some("worked\n"));
    assert_eq!(bed.read(&again, "junk.txt").await, None);
}

/// A fresh start after a failure has the files of its base, and what was captured before stays kept (R1).
pub async fn a_fresh_start_keeps_what_was_captured_before(fixture: &impl WorkspaceFixture) {
    let bed = Bed::new(fixture).await;
    let (workspace, old) = bed.worked("one", &[("a.txt", Some("old work\n")), ("old.txt", Some("o\n"))]).await;
    bed.edit(&workspace, &[("a.txt", Some("not captured\n"))]).await;
    let retry = bed.fresh("one", 2);
    let fresh = bed.create(&retry).await;
    assert_eq!(bed.read(&fresh, "a.txt").await.as_deref(), Some("a\n"));
    assert_eq!(bed.read(&fresh, "old.txt").await, None);
    bed.edit(&fresh, &[("a.txt", Some("new work\n"))]).await;
    let Capture::Change { commit, .. } = bed.capture(&retry, Expect::Change).await else {
        panic!("a file was changed");
    };
    assert_eq!(bed.project.parents(commit).await, [bed.base]);
    for kept in [old, commit] {
        assert!(bed.project.reachable(kept).await, "captured work is kept");
    }
}

/// A fresh start at a newer base has that one's files.
pub async fn a_fresh_start_at_a_newer_base_has_its_files(fixture: &impl WorkspaceFixture) {
    let bed = Bed::new(fixture).await;
    bed.worked("one", &[("a.txt", Some("old work\n"))]).await;
    let base = bed.project.commit(&main(), &[("a.txt", Some("newer\n"))]).await;
    let spec = bed.spec("one", 2, Purpose::Work, Start::Fresh { base });
    assert_eq!(bed.read(&bed.create(&spec).await, "a.txt").await.as_deref(), Some("newer\n"));
}

/// An artifact is put below the project, and in the workspaces of those who need it.
pub async fn an_artifact_reaches_the_project_and_its_dependents(fixture: &impl WorkspaceFixture) {
    let bed = Bed::new(fixture).await;
    let artifact = bed.artifact("one");
    let spec = bed.fresh("one", 1);
    let workspace = bed.create(&spec).await;
    bed.edit(&workspace, &[(&artifact.path(), Some("# Report\n"))]).await;
    assert_eq!(bed.capture(&spec, Expect::Artifact).await, Capture::Artifact);
    let stored = fixture.artifact(&bed.project, &bed.provider, &artifact.path()).await;
    assert_eq!(stored.as_deref(), Some("# Report\n"));
    assert_eq!(bed.capture(&spec, Expect::Artifact).await, Capture::Artifact, "the same again");

    let mut dependent = bed.fresh("two", 1);
    dependent.artifacts.push(artifact.clone());
    let workspace = bed.create(&dependent).await;
    assert_eq!(bed.read(&workspace, &artifact.path()).await.as_deref(), Some("# Report\n"));
    assert_eq!(bed.capture(&dependent, Expect::Change).await, Capture::NoChange, "artifacts are no change");
}

/// An artifact that is missing or empty is none.
pub async fn an_artifact_that_is_missing_or_empty_is_none(fixture: &impl WorkspaceFixture) {
    let bed = Bed::new(fixture).await;
    let spec = bed.fresh("one", 1);
    let workspace = bed.create(&spec).await;
    assert_eq!(bed.capture(&spec, Expect::Artifact).await, Capture::NoArtifact);
    bed.edit(&workspace, &[(&bed.artifact("one").path(), Some(""))]).await;
    assert_eq!(bed.capture(&spec, Expect::Artifact).await, Capture::NoArtifact);
}

/// An artifact step that changed source is told what it changed.
pub async fn an_artifact_step_that_changed_source_is_found_out(fixture: &impl WorkspaceFixture) {
    let bed = Bed::new(fixture).await;
    let spec = bed.fresh("one", 1);
    let workspace = bed.create(&spec).await;
    bed.edit(&workspace, &[(&bed.artifact("one").path(), Some("# Report\n")), ("a.txt", Some("edited\n"))]).await;
    assert_eq!(bed.capture(&spec, Expect::Artifact).await, Capture::Altered { paths: vec!["a.txt".into()] });
}

/// A review that changed source is found out, and what it changed is dropped before the next attempt.
pub async fn what_a_review_changed_is_found_out_and_dropped(fixture: &impl WorkspaceFixture) {
    let bed = Bed::new(fixture).await;
    let (_, head) = bed.worked("one", &[("a.txt", Some("worked\n"))]).await;
    let review = bed.continued("one", 2, Purpose::Review, head);
    let workspace = bed.create(&review).await;
    bed.edit(&workspace, &[("a.txt", Some("meddled\n")), ("note.txt", Some("n\n")), ("other.txt", None)]).await;
    let captured = bed.capture(&review, Expect::Nothing).await;
    let Capture::Altered { mut paths } = captured else { panic!("three files were changed, not {captured:?}") };
    paths.sort();
    assert_eq!(paths, ["a.txt", "note.txt", "other.txt"]);
    let next = bed.create(&bed.continued("one", 3, Purpose::Fix, head)).await;
    assert_eq!(bed.read(&next, "a.txt").await.as_deref(), Some("worked\n"));
    assert_eq!(bed.read(&next, "other.txt").await.as_deref(), Some("o\n"));
    assert_eq!(bed.read(&next, "note.txt").await, None);
}

/// A workspace to resolve a conflict has the files of the new base, the change on top, and markers where they clash.
pub async fn a_conflict_is_laid_out_with_markers(fixture: &impl WorkspaceFixture) {
    let bed = Bed::new(fixture).await;
    let (spec, _) = bed.conflict().await;
    let workspace = bed.create(&spec).await;
    assert_eq!(workspace.conflicts, ["a.txt"]);
    let text = bed.read(&workspace, "a.txt").await.expect("the file in conflict is there");
    for part in ["<<<<<<<", "mine", "=======", "theirs", ">>>>>>>"] {
        assert!(text.contains(part), "{part} is not in {text:?}");
    }
    assert_eq!(bed.read(&workspace, "new.txt").await.as_deref(), Some("n\n"), "what does not clash is merged");
    assert_eq!(bed.read(&workspace, "other.txt").await.as_deref(), Some("moved on\n"));
    assert_eq!(bed.create(&spec).await, workspace, "the same spec again gives the same workspace");
}

/// With a marker left in a file nothing is captured; the file is named.
pub async fn a_conflict_with_markers_left_is_unresolved(fixture: &impl WorkspaceFixture) {
    let bed = Bed::new(fixture).await;
    let (spec, _) = bed.conflict().await;
    bed.create(&spec).await;
    let unresolved = Capture::Unresolved { paths: vec!["a.txt".into()] };
    assert_eq!(bed.capture(&spec, Expect::Change).await, unresolved);
}

/// A resolved conflict is captured on the new base, and both it and the first change stay kept.
pub async fn a_resolved_conflict_is_a_change_on_the_new_base(fixture: &impl WorkspaceFixture) {
    let bed = Bed::new(fixture).await;
    let (spec, change) = bed.conflict().await;
    let workspace = bed.create(&spec).await;
    bed.edit(&workspace, &[("a.txt", Some("both\n"))]).await;
    let captured = bed.capture(&spec, Expect::Change).await;
    let Capture::Change { commit, .. } = captured else { panic!("the conflict is resolved, not {captured:?}") };
    let Start::Resolve { onto, .. } = spec.start else { unreachable!("a conflict starts so") };
    assert_eq!(bed.project.parents(commit).await, [onto]);
    for (path, content) in [("a.txt", "both\n"), ("new.txt", "n\n"), ("other.txt", "moved on\n")] {
        assert_eq!(bed.project.file(commit, path).await.as_deref(), Some(content), "{path}");
    }
    for kept in [change, commit] {
        assert!(bed.project.reachable(kept).await, "captured work is kept");
    }
}

/// A resolution that touches files outside the conflict is unresolved; those files are named.
pub async fn a_resolution_that_goes_beyond_the_conflict_is_unresolved(fixture: &impl WorkspaceFixture) {
    let bed = Bed::new(fixture).await;
    let (spec, _) = bed.conflict().await;
    let workspace = bed.create(&spec).await;
    bed.edit(&workspace, &[("a.txt", Some("both\n")), ("src/b.txt", Some("sneaked in\n"))]).await;
    let unresolved = Capture::Unresolved { paths: vec!["src/b.txt".into()] };
    assert_eq!(bed.capture(&spec, Expect::Change).await, unresolved);
}

/// A workspace with captured work that is nowhere merged is not removed, and loses nothing by the refusal (R1).
pub async fn unmerged_work_is_not_removed(fixture: &impl WorkspaceFixture) {
    let bed = Bed::new(fixture).await;
    let (workspace, head) = bed.worked("one", &[("a.txt", Some("worked\n"))]).await;
    let error = bed.provider.remove(bed.task("one")).await.expect_err("its work is nowhere else");
    assert_eq!(error.kind, WorkspaceErrorKind::Unmerged);
    assert!(bed.project.reachable(head).await);
    assert_eq!(bed.read(&workspace, "a.txt").await.as_deref(), Some("worked\n"));
}

/// A workspace whose captured work is on a branch is removed; removing again, or what never was, is no error.
pub async fn merged_work_is_removed(fixture: &impl WorkspaceFixture) {
    let bed = Bed::new(fixture).await;
    let (_, head) = bed.worked("one", &[("a.txt", Some("worked\n"))]).await;
    bed.create(&bed.fresh("two", 1)).await;
    bed.project.set(&main(), Some(head)).await;
    for task in ["one", "one", "two", "never"] {
        bed.provider.remove(bed.task(task)).await.expect("nothing is lost");
    }
    assert!(bed.project.reachable(head).await, "it is on main");
    assert_eq!(bed.provider.list().await.expect("a list"), []);
}

/// The list names each workspace with its task and its last captured commit.
pub async fn list_names_task_and_captured_commit(fixture: &impl WorkspaceFixture) {
    let bed = Bed::new(fixture).await;
    assert_eq!(bed.provider.list().await.expect("a list"), []);
    let (one, head) = bed.worked("one", &[("a.txt", Some("worked\n"))]).await;
    let two = bed.create(&bed.fresh("two", 1)).await;
    let list = bed.provider.list().await.expect("a list");
    let of = |task| list.iter().find(|info| info.task == Some(bed.task(task))).expect("the task has a workspace");
    assert_eq!((&of("one").path, of("one").head), (&one.path, Some(head)));
    assert_eq!((&of("two").path, of("two").head), (&two.path, None));
    assert_eq!(list.len(), 2);
}

/// What a case works on.
struct Bed<'a, F: WorkspaceFixture> {
    fixture: &'a F,
    project: F::Project,
    provider: F::Provider,
    base: CommitId,
}

const EXECUTION: ExecutionId = ExecutionId::new(0x0190_0000_0000_7000_8000_0000_0000_0001);

impl<'a, F: WorkspaceFixture> Bed<'a, F> {
    async fn new(fixture: &'a F) -> Self {
        let files = [("a.txt", "a\n"), ("src/b.txt", "b\n"), ("other.txt", "o\n")];
        let (project, provider) = fixture.project(&files).await;
        let base = project.head(&main()).await.expect("main is there from the start");
        Self { fixture, project, provider, base }
    }

    fn task(&self, step: &str) -> TaskId {
        TaskId::of(EXECUTION, &id(step))
    }

    fn artifact(&self, step: &str) -> ArtifactRef {
        ArtifactRef { execution: EXECUTION, step: id(step) }
    }

    fn spec(&self, step: &str, attempt: u32, purpose: Purpose, start: Start) -> WorkspaceSpec {
        let ix = StepIx(step.bytes().map(u32::from).sum());
        let attempt = AttemptNo(attempt);
        let effect = EffectId::of_attempt(EXECUTION, ix, attempt);
        WorkspaceSpec::new(effect, EXECUTION, self.task(step), attempt, purpose, start)
    }

    fn fresh(&self, step: &str, attempt: u32) -> WorkspaceSpec {
        self.spec(step, attempt, Purpose::Work, Start::Fresh { base: self.base })
    }

    fn continued(&self, step: &str, attempt: u32, purpose: Purpose, head: CommitId) -> WorkspaceSpec {
        self.spec(step, attempt, purpose, Start::Continue { base: self.base, head })
    }

    async fn create(&self, spec: &WorkspaceSpec) -> Workspace {
        self.provider.create(spec).await.expect("a workspace can be made")
    }

    async fn capture(&self, spec: &WorkspaceSpec, expect: Expect) -> Capture {
        let at = Timestamp(1_700_000_000_000 + i64::from(spec.attempt.0) * 1000);
        let spec = CaptureSpec::new(spec.clone(), expect, "Do the step", at);
        self.provider.capture(&spec).await.expect("a workspace can be captured")
    }

    async fn read(&self, workspace: &Workspace, path: &str) -> Option<String> {
        self.fixture.read(&self.provider, &workspace.path, path).await
    }

    async fn edit(&self, workspace: &Workspace, edits: &[Edit<'_>]) {
        self.fixture.edit(&self.provider, &workspace.path, edits).await;
    }

    /// The first attempt of a step, done and captured.
    async fn worked(&self, step: &str, edits: &[Edit<'_>]) -> (Workspace, CommitId) {
        let spec = self.fresh(step, 1);
        let workspace = self.create(&spec).await;
        self.edit(&workspace, edits).await;
        match self.capture(&spec, Expect::Change).await {
            Capture::Change { commit, .. } => (workspace, commit),
            other => panic!("files were changed, not {other:?}"),
        }
    }

    /// A change and a branch that moved on both touched `a.txt`: the spec of the attempt to resolve it, and the change.
    async fn conflict(&self) -> (WorkspaceSpec, CommitId) {
        let (_, change) = self.worked("one", &[("a.txt", Some("mine\n")), ("new.txt", Some("n\n"))]).await;
        let edits = [("a.txt", Some("theirs\n")), ("other.txt", Some("moved on\n"))];
        let onto = self.project.commit(&main(), &edits).await;
        (self.spec("one", 2, Purpose::Resolve, Start::Resolve { onto, change }), change)
    }
}

fn id(step: &str) -> StepId {
    step.parse().expect("a step id")
}
