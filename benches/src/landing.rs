//! V10: a plan of one-file steps with real git and a real store, from submission to the last merge, against a shell
//! loop; and the same on a large repository.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use crate::durable::limits;
use crate::merges::Captured;
use crate::plans::{Shape, spec};
use crate::repository::Repository;
use enki_core::agent::{AgentEnd, AgentError, AgentEvent, AgentExit, AgentRunner, AgentSession, AgentSpec};
use enki_core::async_trait;
use enki_core::driver::{self, Backends, Orchestrator, Settings, Shutdown, Submission};
use enki_core::id::{CommitId, TaskId};
use enki_core::refinery::{
    Build, Candidate, Change, Check, Gate, Import, Publish, Refinery, RefineryError, TargetState,
};
use enki_core::spec::{Land, PlanSpec};
use enki_core::store::Holder;
use enki_core::time::Timestamp;
use enki_core::workspace::{
    Capture, CaptureSpec, Workspace, WorkspaceError, WorkspaceInfo, WorkspaceProvider, WorkspaceSpec,
};
use enki_core::{branch::Branch, id::EffectId};
use enki_store_sqlite::{OpenOptions, SqliteStore};
use enki_vcs_git::{GitProject, GitRefinery, GitWorkspaces};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// An agent that adds one line to the file of its step, at once.
#[derive(Debug)]
struct OneLine {
    /// The path of each step's file, relative.
    files: Vec<String>,
}

#[derive(Debug)]
struct Over;

#[async_trait]
impl AgentRunner for OneLine {
    async fn start(&self, spec: AgentSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        let n: usize = spec.step.as_str()[1..].parse().expect("steps are called s and a number");
        let file = spec.workspace.join(&self.files[n]);
        let text = fs::read_to_string(&file).expect("the workspace was checked out");
        fs::write(&file, format!("{text}line of step {n}\n")).expect("the workspace can be written");
        Ok(Box::new(Over))
    }
    async fn attach(&self, _: AgentSpec) -> Result<Option<Box<dyn AgentSession>>, AgentError> {
        Ok(None)
    }
}

/// An agent that did everything before it was asked.
#[async_trait]
impl AgentRunner for Over {
    async fn start(&self, _: AgentSpec) -> Result<Box<dyn AgentSession>, AgentError> {
        Ok(Box::new(Self))
    }
    async fn attach(&self, _: AgentSpec) -> Result<Option<Box<dyn AgentSession>>, AgentError> {
        Ok(None)
    }
}

#[async_trait]
impl AgentSession for Over {
    async fn next(&mut self) -> AgentEvent {
        AgentEvent::Ended(AgentEnd::new(AgentExit::Success))
    }
    async fn stop(&mut self, _: Duration) {}
}

/// Seconds that calls took, by their name.
#[derive(Clone, Debug, Default)]
pub struct Phases(Arc<Mutex<Vec<(&'static str, f64)>>>);

impl Phases {
    async fn time<T>(&self, name: &'static str, call: impl Future<Output = T>) -> T {
        let start = Instant::now();
        let answer = call.await;
        let took = start.elapsed().as_secs_f64();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((name, took));
        answer
    }

    /// Number of calls of that name, and the median and the sum of their seconds.
    #[must_use]
    pub fn of(&self, name: &str) -> (usize, f64, f64) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of: Vec<f64> = all.iter().filter(|(of, _)| *of == name).map(|(_, took)| *took).collect();
        if of.is_empty() { (0, 0.0, 0.0) } else { (of.len(), crate::merges::median(&of), of.iter().sum()) }
    }
}

/// A backend with a clock beside it.
#[derive(Debug)]
struct Timed<B> {
    inner: B,
    phases: Phases,
}

#[async_trait]
impl WorkspaceProvider for Timed<GitWorkspaces> {
    async fn create(&self, spec: &WorkspaceSpec) -> Result<Workspace, WorkspaceError> {
        self.phases.time("workspace", self.inner.create(spec)).await
    }
    async fn capture(&self, spec: &CaptureSpec) -> Result<Capture, WorkspaceError> {
        self.phases.time("capture", self.inner.capture(spec)).await
    }
    async fn remove(&self, task: TaskId) -> Result<(), WorkspaceError> {
        self.phases.time("remove", self.inner.remove(task)).await
    }
    async fn list(&self) -> Result<Vec<WorkspaceInfo>, WorkspaceError> {
        self.inner.list().await
    }
    async fn prepare(&self, base: CommitId, wanted: u32) {
        self.phases.time("prepare", self.inner.prepare(base, wanted)).await;
    }
}

#[async_trait]
impl Refinery for Timed<GitRefinery> {
    async fn open(&self, target: &Branch, integration: &Branch) -> Result<CommitId, RefineryError> {
        self.inner.open(target, integration).await
    }
    async fn import(&self, change: &Change) -> Result<Import, RefineryError> {
        self.phases.time("import", self.inner.import(change)).await
    }
    async fn build(&self, base: CommitId, changes: &[Change], id: EffectId) -> Result<Build, RefineryError> {
        self.phases.time("build", self.inner.build(base, changes, id)).await
    }
    async fn predict(&self, pairs: &[(CommitId, CommitId)]) -> Result<Vec<bool>, RefineryError> {
        self.phases.time("predict", self.inner.predict(pairs)).await
    }
    async fn check(&self, candidate: &Candidate, gate: &Gate, id: EffectId) -> Result<Check, RefineryError> {
        self.phases.time("check", self.inner.check(candidate, gate, id)).await
    }
    async fn publish(
        &self,
        target: &Branch,
        expected: CommitId,
        candidate: &Candidate,
    ) -> Result<Publish, RefineryError> {
        self.phases.time("publish", self.inner.publish(target, expected, candidate)).await
    }
    async fn inspect(&self, target: &Branch, candidate: Option<CommitId>) -> Result<TargetState, RefineryError> {
        self.inner.inspect(target, candidate).await
    }
}

/// Hands out commits that were captured before: step `s7` brings the seventh.
#[derive(Debug)]
struct Replay(Vec<Capture>);

#[async_trait]
impl WorkspaceProvider for Replay {
    async fn create(&self, _: &WorkspaceSpec) -> Result<Workspace, WorkspaceError> {
        Ok(Workspace::at(std::path::PathBuf::new()))
    }
    async fn capture(&self, spec: &CaptureSpec) -> Result<Capture, WorkspaceError> {
        let n = spec.title.rsplit(' ').next().and_then(|n| n.parse::<usize>().ok());
        Ok(self.0[n.expect("titles end in the number of the step")].clone())
    }
    async fn remove(&self, _: TaskId) -> Result<(), WorkspaceError> {
        Ok(())
    }
    async fn list(&self) -> Result<Vec<WorkspaceInfo>, WorkspaceError> {
        Ok(Vec::new())
    }
}

/// Lands captured changes as steps of one plan through the whole engine, with a store; agents and workspaces cost
/// nothing. Gives the seconds from submission to the end of the plan.
///
/// # Panics
///
/// If the plan does not end as done, with every change on its target.
pub async fn replay(captured: &Captured, changes: &[Change], width: u32) -> f64 {
    let answers = changes
        .iter()
        .map(|change| Capture::Change {
            commit: change.commit,
            tree: tree_of(captured, change.commit),
            files: 1,
            paths: Vec::new(),
        })
        .collect();
    let store = captured.repository.beside("replay.db");
    let backends = Backends::new(
        Arc::new(SqliteStore::open(store, &OpenOptions::default()).expect("a fresh store opens")),
        Arc::new(Replay(answers)),
        Arc::new(captured.project.refinery()),
        Arc::new(Over),
    );
    let enki = start(backends, width).await;
    let seconds = run(&enki, changes.len(), Land::End).await;
    enki.shut_down(Shutdown::Drain);
    let count = captured.repository.git(&["rev-list", "--count", "--no-merges", &format!("{}..main", captured.base)]);
    assert_eq!(count, changes.len().to_string(), "not every change is on its target, once");
    seconds
}

fn tree_of(captured: &Captured, commit: CommitId) -> enki_core::id::TreeId {
    captured.repository.git(&["rev-parse", &format!("{commit}^{{tree}}")]).parse().expect("git prints an id")
}

async fn start(backends: Backends, width: u32) -> Orchestrator {
    let holder = Holder { id: "bench".to_owned(), pid: 1, host: "bench".to_owned(), since: Timestamp(0) };
    let mut settings = Settings::new(holder, std::path::PathBuf::new());
    settings.limits = limits(width, 10_000);
    settings.limits.chains = width;
    driver::start(backends, settings).await.expect("the store is fresh").0
}

async fn run(enki: &Orchestrator, steps: usize, land: Land) -> f64 {
    let begin = Instant::now();
    let plan = PlanSpec { land: Some(land), ..spec(Shape::Layers(steps), steps) };
    let submission = Submission::new(plan, "main".parse().expect("a fine name"));
    let execution = enki.submit(submission).await.expect("the plan is good").execution;
    enki.rest(execution).await.expect("the driver drives");
    let seconds = begin.elapsed().as_secs_f64();
    let status = enki.query(move |e| e.execution(execution).map(|e| e.status())).await;
    assert_eq!(status.expect("the driver drives"), Some("done"));
    seconds
}

/// Runs a plan of so many one-file steps through the real stack: workspaces, an instant agent, captures, merges, store.
/// Gives the seconds from submission to the end, and those of each kind of call.
///
/// # Panics
///
/// If not every step is one commit on the target with the right content.
pub async fn plan(repository: &Repository, files: usize, steps: usize, width: u32) -> (f64, Phases) {
    // As a person has it: the branch is checked out, and moves along with its files.
    repository.git(&["checkout", "-q", "main"]);
    let project = repository.project();
    let base = repository.git(&["rev-parse", "main"]);
    let paths: Vec<String> = (0..steps).map(|n| repository.file(n * files / steps)).collect();
    let (enki, phases) = whole(&project, &repository.beside("plan.db"), paths.clone(), width).await;
    let seconds = run(&enki, steps, Land::Each).await;
    enki.shut_down(Shutdown::Drain);
    let count = repository.git(&["rev-list", "--count", "--no-merges", &format!("{base}..main")]);
    assert_eq!(count, steps.to_string(), "not every step is one commit");
    for (n, path) in paths.iter().enumerate() {
        let last = repository.shell("git show main:\"$1\" | tail -n 1", &[path]);
        assert_eq!(last, format!("line of step {n}"), "{path} has other content");
    }
    repository.git(&["fsck", "--connectivity-only", "--no-dangling"]);
    (seconds, phases)
}

async fn whole(project: &GitProject, store: &Path, files: Vec<String>, width: u32) -> (Orchestrator, Phases) {
    let phases = Phases::default();
    let backends = Backends::new(
        Arc::new(SqliteStore::open(store, &OpenOptions::default()).expect("a fresh store opens")),
        Arc::new(Timed { inner: project.workspaces(), phases: phases.clone() }),
        Arc::new(Timed { inner: project.refinery(), phases: phases.clone() }),
        Arc::new(OneLine { files }),
    );
    (start(backends, width).await, phases)
}

/// The same steps by a shell loop, one after the other, with the settings of a plain git: worktree, commit, merge,
/// remove. Gives the seconds it took.
///
/// # Panics
///
/// If git fails.
#[must_use]
pub fn shell_loop(repository: &Repository, files: usize, steps: usize) -> f64 {
    const SCRIPT: &str = r#"
        trees=$1; shift; n=0
        git checkout -q main
        for file; do
            git worktree add -q -b "b$n" "$trees/$n" main 2>/dev/null
            echo "line of step $n" >>"$trees/$n/$file"
            git -C "$trees/$n" commit -qam "Step $n"
            git merge -q --no-edit "b$n"
            git worktree remove "$trees/$n"
            git branch -q -d "b$n"
            n=$((n+1))
        done
    "#;
    let trees = repository.beside("trees").display().to_string();
    let paths: Vec<String> = (0..steps).map(|n| repository.file(n * files / steps)).collect();
    let args: Vec<&str> = std::iter::once(&trees[..]).chain(paths.iter().map(|path| &path[..])).collect();
    let begin = Instant::now();
    repository.shell(SCRIPT, &args);
    begin.elapsed().as_secs_f64()
}
