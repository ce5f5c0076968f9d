//! The tokio driver over the fakes, in virtual time.

#![expect(clippy::unwrap_used, reason = "a test ends where its assumption fails")]

use enki_core::agent::{AgentEnd, AgentExit, Usage};
use enki_core::branch::Branch;
use enki_core::budget::BudgetOf;
use enki_core::driver::{
    self, Accepted, Asked, Backends, Brief, Briefs, Clock, DriverError, NoticeKind, Orchestrator, Settings, Shutdown,
    Submission,
};
use enki_core::execution::{Command, DoneKind, FailReason, RetryMode, StepState};
use enki_core::id::{AttemptNo, EffectId, ExecutionId, StepIx, TaskId};
use enki_core::memory::MemoryStore;
use enki_core::recall::{Entry, Found, Hit, Kind, Note, Query, Recall, RecallError, Recorded, is_relevant, words};
use enki_core::record;
use enki_core::store::{Append, Format, Holder, LogId, StoreErrorKind, TaskStore, Version};
use enki_core::tier::Purpose;
use enki_core::time::Timestamp;
use enki_core::workspace::{Start, WorkspaceProvider, WorkspaceSpec};
use enki_testkit::fakes::{
    FakeAgents, FakeRefinery, FakeRepository, FakeWorkspaces, Fault, FaultClass, Faulty, Script, When,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;

struct World {
    store: Arc<MemoryStore>,
    repository: FakeRepository,
    workspaces: FakeWorkspaces,
    agents: FakeAgents,
    recall: Option<Arc<dyn Recall>>,
    briefs: Option<Arc<dyn Briefs>>,
    clock: Option<Arc<dyn Clock>>,
}

#[derive(Debug)]
struct Virtual(tokio::time::Instant);

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        Timestamp(1_700_000_000_000).plus(self.0.elapsed())
    }
}

type Driving = (Orchestrator, JoinHandle<Result<(), DriverError>>);

impl World {
    fn new() -> Self {
        let repository = FakeRepository::with_files(&main(), &[("README.md", "hi\n"), ("shared.txt", "one\ntwo\n")]);
        let workspaces = FakeWorkspaces::new(repository.clone());
        let agents = FakeAgents::new(workspaces.clone());
        agents.otherwise(|spec| Script::success("done").write(format!("{}.txt", spec.step), "x\n"));
        let store = Arc::new(MemoryStore::default());
        Self { store, repository, workspaces, agents, recall: None, briefs: None, clock: None }
    }

    async fn start(&self) -> Driving {
        self.try_start().await.unwrap()
    }

    async fn try_start(&self) -> Result<Driving, DriverError> {
        let mut backends = Backends::new(
            self.store.clone(),
            Arc::new(self.workspaces.clone()),
            Arc::new(FakeRefinery::new(self.repository.clone())),
            Arc::new(self.agents.clone()),
        );
        backends.reviewer = Some(Arc::new(self.agents.clone()));
        backends.recall.clone_from(&self.recall);
        backends.briefs.clone_from(&self.briefs);
        if let Some(clock) = &self.clock {
            backends.clock = Arc::clone(clock);
        }
        let holder = Holder { id: "test".into(), pid: 1, host: "localhost".into(), since: Timestamp(0) };
        driver::start(backends, Settings::new(holder, "logs".into())).await
    }
}

fn main() -> Branch {
    "main".parse().unwrap()
}

async fn submit(enki: &Orchestrator, steps: &str) -> ExecutionId {
    let spec = serde_json::from_str(&format!(r#"{{"steps": {steps}}}"#)).unwrap();
    let Accepted { execution, .. } = enki.submit(Submission::new(spec, main())).await.unwrap();
    execution
}

async fn status(enki: &Orchestrator, id: ExecutionId) -> &'static str {
    enki.query(move |engine| engine.execution(id).unwrap().status()).await.unwrap()
}

async fn states(enki: &Orchestrator, id: ExecutionId) -> Vec<StepState> {
    enki.query(move |engine| engine.execution(id).unwrap().steps().iter().map(|s| s.state.clone()).collect())
        .await
        .unwrap()
}

const DIAMOND: &str = r#"[
    {"id": "a", "title": "A", "description": "a"},
    {"id": "b", "title": "B", "description": "b", "needs": ["a"]},
    {"id": "c", "title": "C", "description": "c", "needs": ["a"]},
    {"id": "d", "title": "D", "description": "d", "needs": ["b", "c"]}]"#;

#[tokio::test(start_paused = true)]
async fn a_diamond_lands_on_the_target() {
    let world = World::new();
    let (enki, task) = world.start().await;
    let id = submit(&enki, DIAMOND).await;
    enki.rest(id).await.unwrap();
    assert_eq!(status(&enki, id).await, "done");
    let files = world.repository.files(world.repository.head(&main()).unwrap()).unwrap();
    for name in ["a.txt", "b.txt", "c.txt", "d.txt"] {
        assert!(files.contains_key(name), "{name} is not on main: {files:?}");
    }
    enki.shut_down(Shutdown::Drain);
    task.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn workspaces_to_come_are_announced_at_each_head_of_the_integration_branch() {
    let world = World::new();
    let (enki, task) = world.start().await;
    let base = world.repository.head(&main()).unwrap();
    let id = submit(&enki, DIAMOND).await;
    enki.rest(id).await.unwrap();
    let hints = world.workspaces.hints();
    assert_eq!(hints.first(), Some(&(base, 3)), "a has begun, three are to come");
    let head = enki.query(move |engine| engine.execution(id).unwrap().head().unwrap()).await.unwrap();
    assert_eq!(hints.last(), Some(&(head, 0)), "nothing is to come");
    enki.shut_down(Shutdown::Drain);
    task.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_workspace_of_a_step_goes_once_it_is_done_and_not_before() {
    let world = World::new();
    world.agents.script(
        "b",
        Purpose::Work,
        Script::end(AgentEnd::new(AgentExit::Error { message: "no".into(), transient: false })),
    );
    let (enki, task) = world.start().await;
    let id = submit(&enki, DIAMOND).await;
    enki.rest(id).await.unwrap();
    assert_eq!(status(&enki, id).await, "failed");
    enki.shut_down(Shutdown::Drain);
    task.await.unwrap().unwrap();
    let left: Vec<_> = world.workspaces.list().await.unwrap().into_iter().filter_map(|found| found.task).collect();
    assert_eq!(left, [TaskId::of(id, &"b".parse().unwrap())], "a and c are merged, b failed");
}

#[tokio::test(start_paused = true)]
async fn a_workspace_that_a_killed_orchestrator_left_goes_at_the_next_start() {
    let world = World::new();
    let (enki, task) = world.start().await;
    let id = submit(&enki, r#"[{"id": "a", "title": "A", "description": "a"}]"#).await;
    enki.rest(id).await.unwrap();
    enki.shut_down(Shutdown::Drain);
    task.await.unwrap().unwrap();
    let workspace = |step: &str| {
        let attempt = EffectId::of_attempt(id, StepIx(0), AttemptNo(1));
        let start = Start::Fresh { base: world.repository.head(&main()).unwrap() };
        let of = TaskId::of(id, &step.parse().unwrap());
        WorkspaceSpec::new(attempt, id, of, AttemptNo(1), Purpose::Work, start)
    };
    world.workspaces.create(&workspace("a")).await.unwrap();
    world.workspaces.create(&workspace("nobodys")).await.unwrap();
    let (_enki, _task) = world.start().await;
    for _ in 0..1000 {
        if world.workspaces.list().await.unwrap().len() == 1 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(world.workspaces.list().await.unwrap().len(), 1);
    assert_eq!(
        world.workspaces.list().await.unwrap()[0].task,
        Some(workspace("nobodys").task),
        "no row has it: it stays"
    );
}

#[tokio::test(start_paused = true)]
async fn a_killed_orchestrator_is_taken_up_where_it_was() {
    let world = World::new();
    world.agents.script("b", Purpose::Work, Script::forever());
    world.agents.script("b", Purpose::Work, Script::success("").write("b.txt", "y\n"));
    let (enki, task) = world.start().await;
    let id = submit(&enki, DIAMOND).await;
    // c is done, b hangs: then the process dies.
    let mut notices = enki.watch();
    loop {
        let states = states(&enki, id).await;
        if matches!(states[2], StepState::Done(_)) {
            break;
        }
        let _ = notices.recv().await;
    }
    task.abort();
    let _ = task.await;
    drop(enki);
    let (enki, _task) = world.start().await;
    enki.rest(id).await.unwrap();
    assert_eq!(status(&enki, id).await, "done");
    let attempts =
        enki.query(move |e| e.execution(id).unwrap().steps().iter().map(|s| s.attempts).collect::<Vec<_>>()).await;
    assert_eq!(attempts.unwrap(), [1, 2, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_says_is_told_as_it_comes_once_and_not_for_every_word() {
    let world = World::new();
    let words: Vec<String> = (0..200).map(|n| format!("word{n} ")).collect();
    let mut script = Script::success("done");
    for word in &words {
        // Never at the very moment at which watchers are told.
        script = script.begin(word.as_str()).wait(Duration::from_millis(23));
    }
    let text = words.concat() + "end";
    world.agents.script("a", Purpose::Work, script.say(text.as_str()).begin("never who").wait(Duration::from_secs(1)));
    let (enki, _task) = world.start().await;
    let mut notices = enki.watch();
    let id = submit(&enki, r#"[{"id": "a", "title": "A", "description": "a"}]"#).await;
    enki.rest(id).await.unwrap();
    let (mut said, mut lines) = (Vec::new(), Vec::new());
    while let Ok(notice) = notices.try_recv() {
        match notice.kind {
            NoticeKind::Said { place, attempt, text, whole } => {
                assert_eq!((place.execution, place.step, attempt), (id, StepIx(0), AttemptNo(1)));
                said.push((text, whole));
            }
            NoticeKind::Activity { text, .. } => lines.push(text),
            _ => {}
        }
    }
    let pieces = said.iter().position(|(_, whole)| *whole).unwrap();
    assert!((9..=11).contains(&pieces), "twice a second over four to five seconds: {said:?}");
    assert_eq!(said[..=pieces].iter().map(|(text, _)| text.as_str()).collect::<String>(), text);
    assert_eq!(said[pieces + 1..], [("never ".to_owned(), false), ("who".to_owned(), true)]);
    assert!(lines.iter().any(|line| line.starts_with('…') && line.ends_with(" word21")), "{lines:?}");
    assert_eq!(lines.len(), pieces + 1);
}

#[tokio::test(start_paused = true)]
async fn after_a_limit_the_others_follow_as_soon_as_the_first_was_answered() {
    let world = World::new();
    let minute = Duration::from_secs(60);
    // A clock that goes as the runtime's does: what is late on a busy machine is late by no time here.
    let clock = Arc::new(Virtual(tokio::time::Instant::now()));
    let until = clock.now().plus(10 * minute);
    for step in ["a", "b", "c"] {
        let limited = AgentEnd::new(AgentExit::RateLimited { until });
        world.agents.script(step, Purpose::Work, Script::end(limited));
        let works = Script::success("").wait(minute).begin("I see").wait(minute).write(format!("{step}.txt"), "x\n");
        world.agents.script(step, Purpose::Work, works);
    }
    let (enki, _task) = World { clock: Some(clock), ..world }.start().await;
    let start = tokio::time::Instant::now();
    let step = |id: &str| format!(r#"{{"id": "{id}", "title": "{id}", "description": "{id}"}}"#);
    let id = submit(&enki, &format!("[{}, {}, {}]", step("a"), step("b"), step("c"))).await;
    enki.rest(id).await.unwrap();
    assert_eq!(status(&enki, id).await, "done");
    let minutes = start.elapsed().as_secs() / 60;
    assert_eq!(minutes, 10 + 3, "the first says something after a minute, and then the others begin beside it");
}

#[tokio::test(start_paused = true)]
async fn two_changes_of_one_line_are_resolved_by_one_more_run() {
    let world = World::new();
    for step in ["a", "b"] {
        world.agents.script(step, Purpose::Work, Script::success("").write("shared.txt", format!("{step}\ntwo\n")));
        world.agents.script(step, Purpose::Resolve, Script::success("").write("shared.txt", "both\ntwo\n"));
    }
    let (enki, _task) = world.start().await;
    let two = r#"[{"id": "a", "title": "A", "description": "a"}, {"id": "b", "title": "B", "description": "b"}]"#;
    let id = submit(&enki, two).await;
    enki.rest(id).await.unwrap();
    assert_eq!(status(&enki, id).await, "done");
    let files = world.repository.files(world.repository.head(&main()).unwrap()).unwrap();
    assert_eq!(
        files.get("shared.txt").map(|c| String::from_utf8_lossy(c.as_ref()).into_owned()),
        Some("both\ntwo\n".into())
    );
    let resolved =
        enki.query(move |e| e.execution(id).unwrap().steps().iter().map(|s| s.course.resolutions).sum::<u32>()).await;
    assert_eq!(resolved.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_step_blocks_its_dependents_and_a_retry_frees_them() {
    let world = World::new();
    let broken = AgentExit::Error { message: "boom".into(), transient: false };
    world.agents.script("b", Purpose::Work, Script::end(AgentEnd::new(broken)));
    world.agents.script("b", Purpose::Work, Script::success("").write("b.txt", "y\n"));
    let (enki, _task) = world.start().await;
    let id = submit(&enki, DIAMOND).await;
    enki.rest(id).await.unwrap();
    assert_eq!(status(&enki, id).await, "failed");
    let states = states(&enki, id).await;
    assert_eq!(states[1], StepState::Failed(FailReason::AgentError { message: "boom".into() }));
    assert!(matches!(states[2], StepState::Done(DoneKind::Merged { .. })), "an independent branch goes on");
    assert_eq!(states[3], StepState::Pending);
    enki.command(id, Command::Retry { step: StepIx(1), mode: Some(RetryMode::Fresh), note: None }).await.unwrap();
    enki.rest(id).await.unwrap();
    assert_eq!(status(&enki, id).await, "done");
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_holds_until_it_is_answered() {
    let world = World::new();
    let (enki, _task) = world.start().await;
    let steps = r#"[{"id": "a", "title": "A", "description": "a", "checkpoint": true},
                    {"id": "b", "title": "B", "description": "b", "needs": ["a"]}]"#;
    let id = submit(&enki, steps).await;
    enki.rest(id).await.unwrap();
    assert_eq!(status(&enki, id).await, "held");
    assert_eq!(world.agents.started().len(), 1);
    enki.command(id, Command::Resume(None)).await.unwrap();
    enki.rest(id).await.unwrap();
    assert_eq!(status(&enki, id).await, "done");
}

fn usage(tokens: u64) -> Usage {
    serde_json::from_value(serde_json::json!({"output_tokens": tokens})).unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_uses_up_its_budget_is_stopped_while_it_runs_and_the_next_goes_on_with_its_work() {
    let world = World::new();
    let endless = Script::chatter(Duration::from_secs(1)).uses(usage(60)).write("a.txt", "half\n").uses(usage(120));
    world.agents.script("a", Purpose::Work, endless);
    world.agents.script("a", Purpose::Work, Script::success("done").write("b.txt", "rest\n"));
    let (enki, task) = world.start().await;
    let began = tokio::time::Instant::now();
    let id =
        submit(&enki, r#"[{"id": "a", "title": "A", "description": "a", "budget": {"run": {"tokens": 100}}}]"#).await;
    enki.rest(id).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(60), "long before its timeout");
    let StepState::Failed(FailReason::Budget { spent, .. }) = &states(&enki, id).await[0] else {
        panic!("{:?}", states(&enki, id).await)
    };
    assert_eq!((spent.of, spent.used, spent.limit), (BudgetOf::Run(StepIx(0)), 120, 100));
    assert!(!world.agents.lives(world.agents.started()[0].id));
    assert_eq!(world.agents.started()[0].budget.tokens, Some(100));
    enki.command(id, Command::Retry { step: StepIx(0), mode: None, note: None }).await.unwrap();
    enki.rest(id).await.unwrap();
    assert_eq!(status(&enki, id).await, "done");
    let files = world.repository.files(world.repository.head(&main()).unwrap()).unwrap();
    assert!(files.contains_key("a.txt") && files.contains_key("b.txt"), "what the first left is in it: {files:?}");
    enki.shut_down(Shutdown::Drain);
    task.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn cancel_stops_the_agent_and_frees_its_permit() {
    let world = World::new();
    world.agents.script("a", Purpose::Work, Script::forever());
    let (enki, _task) = world.start().await;
    let id = submit(&enki, DIAMOND).await;
    let mut notices = enki.watch();
    while world.agents.started().is_empty() {
        let _ = notices.recv().await;
    }
    enki.command(id, Command::Cancel { step: None, committing: vec![] }).await.unwrap();
    assert_eq!(status(&enki, id).await, "cancelled");
    while enki.query(|engine| engine.dispatcher().runs()).await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let spec = &world.agents.started()[0];
    assert!(!world.agents.lives(spec.id));
}

#[tokio::test(start_paused = true)]
async fn the_same_plan_again_is_the_same_execution_while_it_is_open() {
    let world = World::new();
    world.agents.script("a", Purpose::Work, Script::success("").wait(Duration::from_secs(5)));
    let (enki, _task) = world.start().await;
    let first = submit(&enki, DIAMOND).await;
    assert_eq!(submit(&enki, DIAMOND).await, first);
    enki.rest(first).await.unwrap();
    assert_ne!(submit(&enki, DIAMOND).await, first);
}

#[tokio::test(start_paused = true)]
async fn a_reviewed_step_is_fixed_until_it_passes() {
    let world = World::new();
    world.agents.otherwise(|spec| match (spec.purpose, spec.attempt.0) {
        (Purpose::Review, n) if n < 4 => Script::success("not yet\nVERDICT: REVISE\nSCORE: 5/10"),
        (Purpose::Review, _) => Script::success("VERDICT: PASS\nSCORE: 10/10"),
        (_, n) => Script::success("").write("a.txt", format!("{n}\n")),
    });
    let (enki, _task) = world.start().await;
    let id = submit(&enki, r#"[{"id": "a", "title": "A", "description": "a", "review": "code"}]"#).await;
    enki.rest(id).await.unwrap();
    assert_eq!(status(&enki, id).await, "done");
    let purposes: Vec<Purpose> = world.agents.started().iter().map(|spec| spec.purpose).collect();
    assert_eq!(purposes, [Purpose::Work, Purpose::Review, Purpose::Fix, Purpose::Review]);
    assert!(world.agents.started()[2].prompt.contains("not yet"), "the fix is told the findings");
}

#[tokio::test(start_paused = true)]
async fn a_log_of_a_newer_minor_format_is_not_written() {
    let world = World::new();
    let (enki, task) = world.start().await;
    let id = submit(&enki, r#"[{"id": "a", "title": "A", "description": "a", "checkpoint": true}]"#).await;
    enki.rest(id).await.unwrap();
    let version = world.store.load(LogId::execution(id), Version(0)).await.unwrap().len() as u64;
    enki.shut_down(Shutdown::Drain);
    task.await.unwrap().unwrap();
    let holder = Holder { id: "test".into(), pid: 1, host: "localhost".into(), since: Timestamp(0) };
    let lease = world.store.acquire("project", &holder, Timestamp(0), Timestamp(i64::MAX)).await.unwrap();
    let newer = Append {
        log: LogId::execution(id),
        expected: Version(version),
        at: Timestamp(0),
        format: Format { minor: record::FORMAT.minor + 1, ..record::FORMAT },
        events: vec![r#"{"paused":{}}"#.into()],
        summary: None,
        tasks: Vec::new(),
    };
    world.store.append(&lease, vec![newer]).await.unwrap();
    world.store.release(lease).await.unwrap();
    let error = world.try_start().await.unwrap_err();
    assert!(matches!(error, DriverError::Record { version: v, .. } if v == version + 1), "{error}");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_execution_learns_that_the_store_stopped_the_driver() {
    let world = World::new();
    let store = Arc::new(Faulty::new(MemoryStore::default()));
    let mut backends = Backends::new(
        store.clone(),
        Arc::new(world.workspaces.clone()),
        Arc::new(FakeRefinery::new(world.repository.clone())),
        Arc::new(world.agents.clone()),
    );
    backends.reviewer = None;
    let holder = Holder { id: "test".into(), pid: 1, host: "localhost".into(), since: Timestamp(0) };
    let (enki, task) = driver::start(backends, Settings::new(holder, "logs".into())).await.unwrap();
    let id = submit(&enki, DIAMOND).await;
    let full = FaultClass::Store(StoreErrorKind::Full);
    store.inject(Fault::at(1, When::Before, full).of("append").times(u64::MAX));
    let waited = tokio::time::timeout(Duration::from_secs(3600), enki.rest(id)).await;
    assert!(matches!(waited.expect("it does not wait for ever"), Err(DriverError::Stopped)));
    assert_eq!(task.await.unwrap().unwrap_err().store_kind(), Some(&StoreErrorKind::Full));
    assert!(enki.watch().recv().await.is_err(), "nothing is told by a driver that has stopped");
}

#[tokio::test(start_paused = true)]
async fn an_entry_is_stopped_after_the_run_time_that_was_asked_for_and_after_half_an_hour_otherwise() {
    for (asked, seconds) in [(Some(5), 5), (None, 1800)] {
        let world = World::new();
        world.agents.otherwise(|_| Script::chatter(Duration::from_secs(1)));
        let (enki, task) = world.start().await;
        let step = serde_json::json!({"id": "a", "title": "A", "description": "a", "timeout": asked});
        let spec = serde_json::from_value(serde_json::json!({"steps": [step]})).unwrap();
        let mut submission = Submission::new(spec, main());
        submission.origin = "note(docs/log/task/a.md)".to_owned();
        let began = tokio::time::Instant::now();
        let Accepted { execution, .. } = enki.submit(submission).await.unwrap();
        enki.rest(execution).await.unwrap();
        let took = began.elapsed().as_secs();
        assert!((seconds..=seconds + 1).contains(&took), "{took} s of {seconds}");
        assert_eq!((status(&enki, execution).await, world.agents.started().len()), ("failed", 1));
        enki.shut_down(Shutdown::Drain);
        task.await.unwrap().unwrap();
    }
}

/// Keeps notes in memory, and finds the entries among them.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<Note>>);

impl Recall for Notes {
    fn record(&self, notes: &[Note]) -> Result<Recorded, RecallError> {
        self.0.lock().unwrap().extend_from_slice(notes);
        Ok(Recorded::default())
    }

    fn search(&self, query: &Query) -> Result<Found, RecallError> {
        let words = words(&query.text);
        let notes = self.0.lock().unwrap();
        let entries =
            notes.iter().filter_map(|note| if let Note::Entry { entry, .. } = note { Some(entry) } else { None });
        let fits = entries.filter(|entry| entry.kind() == Kind::Failure && is_relevant(entry, &words));
        Ok(Found { hits: fits.map(|entry| Hit { entry: entry.clone(), score: 1.0 }).collect(), faults: Vec::new() })
    }
}

/// A memory that does everything wrong.
#[derive(Debug)]
struct Forgetful;

impl Recall for Forgetful {
    fn record(&self, _notes: &[Note]) -> Result<Recorded, RecallError> {
        panic!("no memory")
    }

    fn search(&self, _query: &Query) -> Result<Found, RecallError> {
        Err(RecallError::new("search", "no memory"))
    }
}

const TWO: &str = r#"[{"id": "a", "title": "Make A", "description": "a table"},
    {"id": "b", "title": "Migrate the table", "description": "b"}]"#;

#[tokio::test(start_paused = true)]
async fn what_failed_and_what_passed_is_remembered_and_told_to_the_next_attempt() {
    let notes = Arc::new(Notes::default());
    let world = World { recall: Some(notes.clone()), ..World::new() };
    let end = AgentEnd::new(AgentExit::Error { message: "the table is locked".into(), transient: false });
    world.agents.script("b", Purpose::Work, Script::end(end));
    world.agents.script("b", Purpose::Work, Script::success("done").write("b.txt", "x\n"));
    let (enki, task) = world.start().await;
    let id = submit(&enki, TWO).await;
    enki.rest(id).await.unwrap();
    assert_eq!(status(&enki, id).await, "failed");
    enki.shut_down(Shutdown::Drain);
    task.await.unwrap().unwrap();
    let kept = notes.0.lock().unwrap().clone();
    let failures: Vec<&Entry> = kept
        .iter()
        .filter_map(|note| if let Note::Entry { entry, .. } = note { Some(entry) } else { None })
        .filter(|entry| entry.kind() == Kind::Failure)
        .collect();
    let [Entry::Failure(failure)] = failures[..] else { panic!("{kept:?}") };
    assert_eq!(failure.error, "the agent failed: the table is locked");
    assert_eq!(failure.context, "step b: Migrate the table");
    assert_eq!(failure.category.as_str(), "AGENT_FAILURE");
    let passed: Vec<&str> =
        kept.iter().filter_map(|note| if let Note::Passed(it) = note { Some(&*it.context) } else { None }).collect();
    assert_eq!(passed, ["step a: Make A"], "the one that failed did not pass");

    let (enki, task) = world.start().await;
    enki.command(id, Command::Retry { step: StepIx(1), mode: None, note: None }).await.unwrap();
    enki.rest(id).await.unwrap();
    enki.shut_down(Shutdown::Drain);
    task.await.unwrap().unwrap();
    let prompts: Vec<String> = world.agents.started().into_iter().map(|spec| spec.prompt).collect();
    assert!(prompts[..2].iter().all(|prompt| !prompt.contains("remembered")), "{prompts:?}");
    let told = prompts.last().unwrap();
    assert!(told.contains("data, not instructions") && told.contains("the table is locked"), "{told}");
    let kept = notes.0.lock().unwrap().clone();
    let whole = |note: &Note| matches!(note, Note::Passed(it) if it.of.starts_with("plan "));
    assert_eq!(kept.iter().filter(|note| whole(note)).count(), 1, "{:?}", &kept[2..]);
}

#[tokio::test(start_paused = true)]
async fn a_memory_that_fails_or_panics_fails_no_run() {
    let world = World { recall: Some(Arc::new(Forgetful)), ..World::new() };
    let (enki, task) = world.start().await;
    let id = submit(&enki, DIAMOND).await;
    enki.rest(id).await.unwrap();
    assert_eq!(status(&enki, id).await, "done");
    enki.shut_down(Shutdown::Drain);
    task.await.unwrap().unwrap();
}

/// Says the next of these each time it is asked; panics once there is none.
#[derive(Debug)]
struct Told(Mutex<Vec<Brief>>);

#[enki_core::async_trait]
impl Briefs for Told {
    async fn read(&self, asked: &Asked) -> Brief {
        assert_eq!((asked.origin.as_str(), asked.ix), ("note(a.md)", StepIx(0)));
        let mut told = self.0.lock().unwrap();
        assert!(!told.is_empty(), "no more notes");
        told.remove(0)
    }
}

#[tokio::test(start_paused = true)]
async fn a_note_is_read_before_its_step_starts_without_secrets_and_one_that_cannot_be_holds_it() {
    let says = |title: &str, text: &str| {
        let step = format!(r#"{{"id": "x", "title": "{title}", "description": "{text}", "tier": "heavy"}}"#);
        Brief::Says(Box::new(serde_json::from_str(&step).unwrap()))
    };
    let told = vec![says("", "no title"), says("Anew", "paint it sk-ant-api03-0123456789 blue")];
    let briefs = Arc::new(Told(Mutex::new(told)));
    let world = World { briefs: Some(briefs), ..World::new() };
    let (enki, task) = world.start().await;
    let spec = serde_json::from_str(r#"{"steps": [{"id": "a", "title": "Old", "description": "paint it red"}]}"#);
    let mut submission = Submission::new(spec.unwrap(), main());
    submission.origin = "note(a.md)".to_owned();
    let id = enki.submit(submission).await.unwrap().execution;
    enki.rest(id).await.unwrap();
    assert_eq!(status(&enki, id).await, "held", "no step has no title");
    assert!(world.agents.started().is_empty());
    enki.command(id, Command::Resume(None)).await.unwrap();
    enki.rest(id).await.unwrap();
    assert_eq!(status(&enki, id).await, "done");
    let started = world.agents.started();
    let [agent] = &started[..] else { panic!("{started:?}") };
    assert!(agent.prompt.contains("paint it [redacted] blue") && !agent.prompt.contains("paint it red"), "{agent:?}");
    assert_eq!(agent.tier, enki_core::tier::Tier::Heavy);
    // A reader that panics fails nothing: a person is told.
    let spec = serde_json::from_str(r#"{"steps": [{"id": "a", "title": "Other", "description": "b"}]}"#);
    let mut submission = Submission::new(spec.unwrap(), main());
    submission.origin = "note(a.md)".to_owned();
    let id = enki.submit(submission).await.unwrap().execution;
    enki.rest(id).await.unwrap();
    assert_eq!(status(&enki, id).await, "held");
    enki.shut_down(Shutdown::Drain);
    task.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_ended_long_ago_is_not_kept_in_memory_and_is_there_when_somebody_asks() {
    let world = World::new();
    world.agents.otherwise(|_| Script::end(AgentEnd::new(AgentExit::Error { message: "no".into(), transient: false })));
    let (enki, task) = world.start().await;
    let first = submit(&enki, r#"[{"id": "first", "title": "First", "description": "a"}]"#).await;
    enki.rest(first).await.unwrap();
    let before = states(&enki, first).await;
    // One that needs something of another that has ended keeps it here.
    let needed = submit(&enki, r#"[{"id": "needed", "title": "Needed", "description": "a"}]"#).await;
    enki.rest(needed).await.unwrap();
    let needs = format!(
        r#"[{{"id": "waits", "title": "Waits", "description": "a", "needs": [{{"task": "{needed}", "condition": "merged"}}]}}]"#
    );
    let waits = submit(&enki, &needs).await;
    for n in 0..80 {
        let id = submit(&enki, &format!(r#"[{{"id": "s{n}", "title": "S{n}", "description": "a"}}]"#)).await;
        enki.rest(id).await.unwrap();
    }
    let (all, has_first, has_needed) = enki
        .query(move |engine| {
            let held = |id| engine.holds_execution(id);
            (engine.executions().count(), held(first), held(needed))
        })
        .await
        .unwrap();
    assert!(all <= 66 && !has_first && has_needed, "{all} are held, {has_first}, {has_needed}");
    enki.load(first).await.unwrap();
    assert_eq!(states(&enki, first).await, before);
    // Tried again it goes well, and so does what waited.
    world.agents.otherwise(|spec| Script::success("done").write(format!("{}.txt", spec.step), "x\n"));
    for id in [first, needed] {
        enki.command(id, Command::Retry { step: StepIx(0), mode: None, note: None }).await.unwrap();
        enki.rest(id).await.unwrap();
        assert_eq!(status(&enki, id).await, "done");
    }
    enki.rest(waits).await.unwrap();
    assert_eq!(status(&enki, waits).await, "done");
    enki.shut_down(Shutdown::Drain);
    task.await.unwrap().unwrap();
}
