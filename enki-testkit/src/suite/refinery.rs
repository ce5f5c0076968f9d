//! Cases for [`Refinery`].

use super::project::{Edit, Project, main};
use super::{Skips, skipped};
use enki_core::branch::Branch;
use enki_core::id::{AttemptNo, CommitId, EffectId, ExecutionId, RequestId, StepId, StepIx, TaskId};
use enki_core::refinery::{Build, Candidate, Change, ChangeKind, Check, Gate, Import, Publish, Refinery};
use enki_core::time::Timestamp;
use std::future::Future;
use std::time::Duration;

/// How to make the projects and refineries that the cases work on.
pub trait RefineryFixture {
    /// The refinery under test.
    type Refinery: Refinery;
    /// The project it publishes to.
    type Project: Project;

    /// A new project whose `main` has these files, and a refinery for it.
    fn project(&self, files: &[(&str, &str)]) -> impl Future<Output = (Self::Project, Self::Refinery)>;

    /// A commit on `base` with these edits, where a capture would have left it for the refinery. On no branch.
    fn captured(
        &self,
        project: &Self::Project,
        refinery: &Self::Refinery,
        base: CommitId,
        edits: &[Edit<'_>],
    ) -> impl Future<Output = CommitId>;

    /// A gate that behaves so. `Err` with the reason if the backend has none. The default is for shell commands.
    fn gate(&self, wish: &Wish) -> Result<Gate, &'static str> {
        let (command, timeout) = match wish {
            Wish::Pass => ("true".to_owned(), 60),
            Wish::Fail => ("echo this is the reason; exit 1".to_owned(), 60),
            Wish::FileIs { path, content } => (format!("test \"$(cat '{path}')\" = '{}'", content.trim_end()), 60),
            Wish::Hang => ("echo before the hang; sleep 1000".to_owned(), 1),
            Wish::KilledFromOutside => ("kill -KILL $$".to_owned(), 60),
        };
        Ok(Gate::new(command, Duration::from_secs(timeout)))
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

/// What a gate does.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Wish {
    /// Says yes.
    Pass,
    /// Says no, and puts out `this is the reason`.
    Fail,
    /// Says yes exactly if that file of the tree has that content.
    FileIs {
        /// Which file.
        path: &'static str,
        /// Its content.
        content: &'static str,
    },
    /// Says nothing for ever; its limit is short.
    Hang,
    /// Gets killed by a signal that is not ours.
    KilledFromOutside,
}

/// An integration branch starts at the head of its target.
pub async fn open_starts_the_branch_at_the_targets_head(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    assert_eq!(bed.refinery.open(&main(), &integration()).await.expect("the target is there"), bed.base);
    assert_eq!(bed.project.head(&integration()).await, Some(bed.base));
    assert_eq!(bed.project.head(&main()).await, Some(bed.base));
}

/// Opening again moves nothing and gives the first base, whatever moved since.
pub async fn open_again_gives_the_first_base(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    bed.refinery.open(&main(), &integration()).await.expect("the target is there");
    bed.project.commit(&main(), &[("a.txt", Some("moved on\n"))]).await;
    assert_eq!(bed.refinery.open(&main(), &integration()).await.expect("it is open"), bed.base);
    let candidate = bed.candidate(bed.base, &[bed.step(1, &[("new.txt", Some("n\n"))]).await]).await;
    let published = bed.refinery.publish(&integration(), bed.base, &candidate).await;
    assert_eq!(published.expect("it can be published"), Publish::Published);
    assert_eq!(bed.refinery.open(&main(), &integration()).await.expect("it is open"), bed.base);
    assert_eq!(bed.project.head(&integration()).await, Some(candidate.commit));
}

/// A target that does not exist cannot be opened, and no branch is made.
pub async fn open_of_a_missing_target_is_an_error(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let missing = "no-such-branch".parse().expect("a branch name");
    bed.refinery.open(&missing, &integration()).await.expect_err("there is nothing to start from");
    assert_eq!(bed.project.head(&integration()).await, None);
}

/// A change is imported once or twice with the same answer, and a ref keeps it.
pub async fn an_imported_change_is_kept(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let change = bed.step(1, &[("a.txt", Some("edited\n"))]).await;
    for _ in 0..2 {
        assert_eq!(bed.refinery.import(&change).await.expect("it can be tried"), Import::Imported);
        assert!(bed.project.reachable(change.commit).await);
    }
}

/// A step becomes one commit on the base, with the change's files and date and the trailers of its task and attempt.
pub async fn a_step_becomes_one_commit_on_the_base(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let first = bed.captured(bed.base, &[("a.txt", Some("worked\n"))]).await;
    let second = bed.captured(first, &[("new.txt", Some("fixed\n"))]).await;
    let change = bed.import(change_of(1, second)).await;
    let candidate = bed.candidate(bed.base, &[change]).await;
    assert_eq!(candidate.base, bed.base);
    assert_eq!(bed.project.parents(candidate.commit).await, [bed.base], "two captures are squashed into one");
    assert_eq!(bed.file(candidate, "a.txt").await.as_deref(), Some("worked\n"));
    assert_eq!(bed.file(candidate, "new.txt").await.as_deref(), Some("fixed\n"));
    assert_eq!(bed.file(candidate, "other.txt").await.as_deref(), Some("o\n"));
    let message = bed.project.message(candidate.commit).await;
    let task = format!("Enki-Task: {}", task(1));
    for part in ["Step 1", "What was done.", &task, "Enki-Attempt: 1"] {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

/// The same build again gives the same commit; another base gives another one.
pub async fn building_is_deterministic(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let change = bed.step(1, &[("a.txt", Some("edited\n"))]).await;
    let first = bed.candidate(bed.base, std::slice::from_ref(&change)).await;
    assert_eq!(bed.candidate(bed.base, std::slice::from_ref(&change)).await, first);
    let newer = bed.project.commit(&main(), &[("other.txt", Some("moved on\n"))]).await;
    let second = bed.candidate(newer, &[change]).await;
    assert_ne!(second.commit, first.commit);
    assert_eq!(bed.project.parents(second.commit).await, [newer]);
}

/// A change merges with what landed since it began, as long as they do not touch.
pub async fn a_change_merges_with_a_base_that_moved(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let change = bed.step(1, &[("a.txt", Some("edited\n"))]).await;
    let newer = bed.project.commit(&main(), &[("other.txt", Some("moved on\n")), ("src/b.txt", None)]).await;
    let candidate = bed.candidate(newer, &[change]).await;
    assert_eq!(bed.file(candidate, "a.txt").await.as_deref(), Some("edited\n"));
    assert_eq!(bed.file(candidate, "other.txt").await.as_deref(), Some("moved on\n"));
    assert_eq!(bed.file(candidate, "src/b.txt").await, None);
}

/// Several changes become one candidate with the files of all, one commit each, in their order.
pub async fn several_changes_become_one_candidate(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let one = bed.step(1, &[("one.txt", Some("1\n"))]).await;
    let two = bed.step(2, &[("two.txt", Some("2\n"))]).await;
    let candidate = bed.candidate(bed.base, &[one.clone(), two]).await;
    assert_eq!(bed.file(candidate, "one.txt").await.as_deref(), Some("1\n"));
    assert_eq!(bed.file(candidate, "two.txt").await.as_deref(), Some("2\n"));
    let first = bed.candidate(bed.base, &[one]).await;
    assert_eq!(bed.project.parents(candidate.commit).await, [first.commit]);
}

/// A build says which commit is whose, and which change brings nothing that those before it did not.
pub async fn each_change_of_a_batch_has_its_own_commit(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let one = bed.step(1, &[("one.txt", Some("1\n"))]).await;
    let same = bed.step(2, &[("one.txt", Some("1\n"))]).await;
    let two = bed.step(3, &[("two.txt", Some("2\n"))]).await;
    let Build::Candidate { candidate, commits } = bed.build(bed.base, &[one, same, two]).await else {
        panic!("they merge")
    };
    let [Some(first), None, Some(last)] = commits[..] else { panic!("{commits:?}") };
    assert_eq!(last, candidate.commit);
    assert_eq!(bed.project.parents(last).await, [first]);
    assert_eq!(bed.project.parents(first).await, [bed.base]);
    for (commit, of) in [(first, task(1)), (last, task(3))] {
        let message = bed.project.message(commit).await;
        assert!(message.contains(&format!("Enki-Task: {of}")), "{message:?}");
    }
}

/// A prediction never claims a conflict that building would not find. It may miss some.
pub async fn a_predicted_conflict_is_one(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let one = bed.step(1, &[("a.txt", Some("mine\n"))]).await;
    let other = bed.step(2, &[("a.txt", Some("theirs\n"))]).await;
    let apart = bed.step(3, &[("other.txt", Some("o2\n"))]).await;
    let newer = bed.project.commit(&main(), &[("a.txt", Some("moved on\n"))]).await;
    let pairs = [
        (one.commit, other.commit),
        (one.commit, apart.commit),
        (newer, one.commit),
        (newer, apart.commit),
        (bed.base, one.commit),
    ];
    let answers = bed.refinery.predict(&pairs).await.expect("it can be tried");
    assert_eq!(answers.len(), pairs.len());
    let true_conflicts = [true, false, true, false, false];
    for (answer, (truth, pair)) in answers.into_iter().zip(true_conflicts.into_iter().zip(pairs)) {
        assert!(!answer || truth, "{pair:?} does not conflict");
    }
    assert_eq!(bed.refinery.predict(&[]).await.expect("it can be tried"), Vec::<bool>::new());
}

/// A conflict names the first change that does not merge, and the files.
pub async fn a_conflict_names_the_change_and_the_files(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let fine = bed.step(1, &[("new.txt", Some("n\n"))]).await;
    let clash = bed.step(2, &[("a.txt", Some("mine\n")), ("src/b.txt", Some("mine\n"))]).await;
    let edits = [("a.txt", Some("theirs\n")), ("src/b.txt", Some("theirs\n"))];
    let newer = bed.project.commit(&main(), &edits).await;
    let expected = (clash.request, vec!["a.txt".to_owned(), "src/b.txt".to_owned()]);
    assert_eq!(conflict(bed.build(newer, &[fine.clone(), clash.clone()]).await), expected);
    assert_eq!(conflict(bed.build(newer, &[fine.clone(), clash.clone()]).await), expected, "the same again");
    // On the old base it clashes with nothing, and a clash between changes names the later one.
    assert!(matches!(bed.build(bed.base, &[fine, clash.clone()]).await, Build::Candidate { .. }));
    let other = bed.step(3, &[("a.txt", Some("of another\n"))]).await;
    let expected = (other.request, vec!["a.txt".to_owned()]);
    assert_eq!(conflict(bed.build(bed.base, &[clash, other]).await), expected);
}

/// What is on the base already gives an empty build: the same commit, or the same files by another way.
pub async fn what_is_there_already_is_empty(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let change = bed.step(1, &[("a.txt", Some("edited\n"))]).await;
    let newer = bed.project.commit(&main(), &[("a.txt", Some("edited\n"))]).await;
    assert_eq!(bed.build(newer, &[change]).await, Build::Empty);
}

/// Building nothing gives the base itself, so that it can be checked as it is.
pub async fn building_nothing_gives_the_base_itself(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let candidate = bed.candidate(bed.base, &[]).await;
    assert_eq!((candidate.commit, candidate.base), (bed.base, bed.base));
    if let Some(check) = bed.check(&candidate, &Wish::FileIs { path: "a.txt", content: "a\n" }).await {
        assert_eq!(check, Check::Passed);
    }
}

/// A gate that says yes passes, one that says no fails with its last output.
pub async fn a_gate_passes_or_fails(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let candidate = bed.candidate(bed.base, &[bed.step(1, &[("a.txt", Some("edited\n"))]).await]).await;
    if let Some(check) = bed.check(&candidate, &Wish::Pass).await {
        assert_eq!(check, Check::Passed);
    }
    match bed.check(&candidate, &Wish::Fail).await {
        Some(Check::Failed { log }) => assert!(log.contains("this is the reason"), "{log:?}"),
        None => {}
        other => panic!("{other:?} instead of a failure"),
    }
    if let Some(check) = bed.check(&candidate, &Wish::Pass).await {
        assert_eq!(check, Check::Passed, "a failure leaves nothing behind");
    }
}

/// The gate sees exactly the candidate's files: not those of the base, the target or another candidate.
pub async fn a_gate_sees_exactly_the_candidates_files(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let one = bed.candidate(bed.base, &[bed.step(1, &[("a.txt", Some("one\n"))]).await]).await;
    let two = bed.candidate(bed.base, &[bed.step(2, &[("a.txt", Some("two\n"))]).await]).await;
    bed.project.commit(&main(), &[("a.txt", Some("main\n"))]).await;
    for (candidate, content, passes) in [(one, "one\n", true), (two, "one\n", false), (two, "two\n", true)] {
        if let Some(check) = bed.check(&candidate, &Wish::FileIs { path: "a.txt", content }).await {
            assert_eq!(check == Check::Passed, passes, "{check:?} for {content:?}");
        }
    }
}

/// A gate over its time limit is ended and told apart from a failure.
pub async fn a_gate_over_its_time_limit_has_timed_out(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let candidate = bed.candidate(bed.base, &[bed.step(1, &[("a.txt", Some("edited\n"))]).await]).await;
    if let Some(check) = bed.check(&candidate, &Wish::Hang).await {
        assert!(matches!(check, Check::TimedOut { .. }), "{check:?}");
    }
}

/// A gate killed by a signal that is not ours says nothing about the change.
pub async fn a_gate_killed_from_outside_is_unknown(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let candidate = bed.candidate(bed.base, &[bed.step(1, &[("a.txt", Some("edited\n"))]).await]).await;
    if let Some(check) = bed.check(&candidate, &Wish::KilledFromOutside).await {
        assert!(matches!(check, Check::Unknown { .. }), "{check:?}");
    }
}

/// Publishing moves the target to the candidate; publishing again, also after the target went on, is the same.
pub async fn publishing_twice_is_publishing_once(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let candidate = bed.candidate(bed.base, &[bed.step(1, &[("a.txt", Some("edited\n"))]).await]).await;
    assert_eq!(bed.project.head(&main()).await, Some(bed.base), "nothing moves before");
    assert_eq!(bed.publish(&candidate).await, Publish::Published);
    assert_eq!(bed.project.head(&main()).await, Some(candidate.commit));
    assert_eq!(bed.publish(&candidate).await, Publish::Published);
    assert_eq!(bed.project.head(&main()).await, Some(candidate.commit));
    let newer = bed.project.commit(&main(), &[("other.txt", Some("moved on\n"))]).await;
    assert_eq!(bed.publish(&candidate).await, Publish::Published, "the target contains it");
    assert_eq!(bed.project.head(&main()).await, Some(newer));
}

/// A target that moved is left alone, and where it is now is told. The candidate is kept.
pub async fn a_target_that_moved_is_left_alone(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let candidate = bed.candidate(bed.base, &[bed.step(1, &[("a.txt", Some("edited\n"))]).await]).await;
    let newer = bed.project.commit(&main(), &[("other.txt", Some("moved on\n"))]).await;
    assert_eq!(bed.publish(&candidate).await, Publish::Moved { now: Some(newer) });
    assert_eq!(bed.project.head(&main()).await, Some(newer));
    bed.project.set(&main(), None).await;
    assert_eq!(bed.publish(&candidate).await, Publish::Moved { now: None });
    assert_eq!(bed.project.head(&main()).await, None, "a deleted branch is not made anew");
}

/// Of two candidates on one base exactly one is published.
pub async fn of_two_candidates_on_one_base_one_is_published(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let one = bed.candidate(bed.base, &[bed.step(1, &[("one.txt", Some("1\n"))]).await]).await;
    let two = bed.candidate(bed.base, &[bed.step(2, &[("two.txt", Some("2\n"))]).await]).await;
    let (one, two) = futures::future::join(bed.publish(&one), bed.publish(&two)).await;
    let published = [&one, &two].into_iter().filter(|p| **p == Publish::Published).count();
    assert_eq!(published, 1, "{one:?} and {two:?}");
}

/// Looking tells where the target is and whether the candidate is on it.
pub async fn inspect_tells_whether_the_candidate_is_on_the_target(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let candidate = bed.candidate(bed.base, &[bed.step(1, &[("a.txt", Some("edited\n"))]).await]).await;
    let state = bed.inspect(Some(candidate)).await;
    assert_eq!((state.head, state.contains, state.was_there), (Some(bed.base), false, false));
    bed.publish(&candidate).await;
    let state = bed.inspect(Some(candidate)).await;
    assert_eq!((state.head, state.contains), (Some(candidate.commit), true));
    let newer = bed.project.commit(&main(), &[("other.txt", Some("moved on\n"))]).await;
    let state = bed.inspect(Some(candidate)).await;
    assert_eq!((state.head, state.contains), (Some(newer), true));
    let state = bed.inspect(None).await;
    assert_eq!((state.head, state.contains), (Some(newer), false));
}

/// Looking tells a target that was moved away from the candidate from one that never had it.
pub async fn inspect_tells_whether_the_candidate_was_ever_there(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let published = bed.candidate(bed.base, &[bed.step(1, &[("a.txt", Some("one\n"))]).await]).await;
    let other = bed.candidate(bed.base, &[bed.step(2, &[("a.txt", Some("two\n"))]).await]).await;
    bed.publish(&published).await;
    bed.project.set(&main(), Some(bed.base)).await;
    let state = bed.inspect(Some(published)).await;
    assert_eq!((state.head, state.contains, state.was_there), (Some(bed.base), false, true));
    let state = bed.inspect(Some(other)).await;
    assert_eq!((state.head, state.contains, state.was_there), (Some(bed.base), false, false));
    bed.project.set(&main(), None).await;
    assert_eq!(bed.inspect(Some(other)).await.head, None);
}

/// A landing that can be a fast-forward is the integration tip itself.
pub async fn a_landing_that_can_be_a_fast_forward_is_the_same_commit(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let (tip, landing) = bed.integrated(&[("a.txt", Some("edited\n"))]).await;
    let candidate = bed.candidate(bed.base, &[landing]).await;
    assert_eq!((candidate.commit, candidate.base), (tip, bed.base));
    assert_eq!(bed.publish(&candidate).await, Publish::Published);
    assert_eq!(bed.project.head(&main()).await, Some(tip));
}

/// A landing on a target that went on is a merge of both.
pub async fn a_landing_on_a_target_that_went_on_is_a_merge(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let (tip, landing) = bed.integrated(&[("a.txt", Some("edited\n"))]).await;
    let newer = bed.project.commit(&main(), &[("other.txt", Some("moved on\n"))]).await;
    let candidate = bed.candidate(newer, std::slice::from_ref(&landing)).await;
    assert_eq!(bed.project.parents(candidate.commit).await, [newer, tip]);
    assert_eq!(bed.file(candidate, "a.txt").await.as_deref(), Some("edited\n"));
    assert_eq!(bed.file(candidate, "other.txt").await.as_deref(), Some("moved on\n"));
    assert_eq!(bed.candidate(newer, &[landing]).await, candidate, "the same build again gives the same commit");
}

/// A landing that clashes with the target names the files.
pub async fn a_landing_that_clashes_names_the_files(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let (_, landing) = bed.integrated(&[("a.txt", Some("edited\n"))]).await;
    let newer = bed.project.commit(&main(), &[("a.txt", Some("moved on\n"))]).await;
    let expected = (landing.request, vec!["a.txt".to_owned()]);
    assert_eq!(conflict(bed.build(newer, &[landing]).await), expected);
}

/// What has landed already is an empty landing.
pub async fn what_has_landed_already_is_an_empty_landing(fixture: &impl RefineryFixture) {
    let bed = Bed::new(fixture).await;
    let (tip, landing) = bed.integrated(&[("a.txt", Some("edited\n"))]).await;
    assert_eq!(bed.build(tip, std::slice::from_ref(&landing)).await, Build::Empty);
    bed.project.set(&main(), Some(tip)).await;
    let newer = bed.project.commit(&main(), &[("other.txt", Some("moved on\n"))]).await;
    assert_eq!(bed.build(newer, &[landing]).await, Build::Empty);
}

/// What a case works on.
struct Bed<'a, F: RefineryFixture> {
    fixture: &'a F,
    project: F::Project,
    refinery: F::Refinery,
    base: CommitId,
}

const EXECUTION: ExecutionId = ExecutionId::new(0x0190_0000_0000_7000_8000_0000_0000_0002);
const AT: Timestamp = Timestamp(1_700_000_000_000);

fn integration() -> Branch {
    Branch::integration(EXECUTION)
}

fn task(n: u32) -> TaskId {
    let step: StepId = format!("step-{n}").parse().expect("a step id");
    TaskId::of(EXECUTION, &step)
}

fn change_of(n: u32, commit: CommitId) -> Change {
    let kind = ChangeKind::Step {
        task: task(n),
        attempt: AttemptNo(1),
        title: format!("Step {n}"),
        summary: "What was done.".into(),
    };
    Change { request: RequestId::of(EXECUTION, Some(StepIx(n)), 1), kind, commit, at: AT }
}

impl<'a, F: RefineryFixture> Bed<'a, F> {
    async fn new(fixture: &'a F) -> Self {
        let files = [("a.txt", "a\n"), ("src/b.txt", "b\n"), ("other.txt", "o\n")];
        let (project, refinery) = fixture.project(&files).await;
        let base = project.head(&main()).await.expect("main is there from the start");
        Self { fixture, project, refinery, base }
    }

    async fn captured(&self, base: CommitId, edits: &[Edit<'_>]) -> CommitId {
        self.fixture.captured(&self.project, &self.refinery, base, edits).await
    }

    async fn import(&self, change: Change) -> Change {
        assert_eq!(self.refinery.import(&change).await.expect("it can be tried"), Import::Imported);
        change
    }

    /// An imported change of one step, on the first base.
    async fn step(&self, n: u32, edits: &[Edit<'_>]) -> Change {
        let commit = self.captured(self.base, edits).await;
        self.import(change_of(n, commit)).await
    }

    /// An integration branch with one published step, and the landing of it.
    async fn integrated(&self, edits: &[Edit<'_>]) -> (CommitId, Change) {
        self.refinery.open(&main(), &integration()).await.expect("the target is there");
        let candidate = self.candidate(self.base, &[self.step(1, edits).await]).await;
        let published = self.refinery.publish(&integration(), self.base, &candidate).await;
        assert_eq!(published.expect("it can be tried"), Publish::Published);
        let kind = ChangeKind::Landing { execution: EXECUTION, title: "Land the plan".into() };
        let request = RequestId::of(EXECUTION, None, 1);
        let landing = self.import(Change { request, kind, commit: candidate.commit, at: AT }).await;
        (candidate.commit, landing)
    }

    async fn build(&self, base: CommitId, changes: &[Change]) -> Build {
        let mut parts = vec![base.to_string()];
        parts.extend(changes.iter().map(|c| c.request.hex()));
        let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
        self.refinery.build(base, changes, EffectId::of("build", &parts)).await.expect("it can be tried")
    }

    async fn candidate(&self, base: CommitId, changes: &[Change]) -> Candidate {
        match self.build(base, changes).await {
            Build::Candidate { candidate, .. } => candidate,
            other => panic!("these changes merge, but the build gave {other:?}"),
        }
    }

    async fn check(&self, candidate: &Candidate, wish: &Wish) -> Option<Check> {
        let gate = match self.fixture.gate(wish) {
            Ok(gate) => gate,
            Err(why) => {
                skipped(&format!("no gate for {wish:?}: {why}"));
                return None;
            }
        };
        let id = EffectId::of("check", &[candidate.commit.to_string().as_bytes(), gate.command.as_bytes()]);
        Some(self.refinery.check(candidate, &gate, id).await.expect("it can be tried"))
    }

    async fn publish(&self, candidate: &Candidate) -> Publish {
        self.refinery.publish(&main(), self.base, candidate).await.expect("it can be tried")
    }

    async fn inspect(&self, candidate: Option<Candidate>) -> enki_core::refinery::TargetState {
        self.refinery.inspect(&main(), candidate.map(|c| c.commit)).await.expect("the target can be read")
    }

    async fn file(&self, candidate: Candidate, path: &str) -> Option<String> {
        self.project.file(candidate.commit, path).await
    }
}

fn conflict(build: Build) -> (RequestId, Vec<String>) {
    match build {
        Build::Conflict { request, paths, .. } => (request, paths),
        other => panic!("{other:?}"),
    }
}
