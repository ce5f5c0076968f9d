//! Cases for [`AgentRunner`].

use super::{Skips, skipped};
use enki_core::agent::{AgentEnd, AgentEvent, AgentExit, AgentRunner, AgentSession, AgentSpec};
use enki_core::id::{AttemptNo, EffectId, ExecutionId, StepIx};
use enki_core::tier::Purpose;
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How to make the runners that the cases work on, and agents that behave as wanted.
pub trait AgentFixture {
    /// The runner under test.
    type Runner: AgentRunner;

    /// A new runner, as each start of a host makes one.
    fn runner(&self) -> impl Future<Output = Self::Runner>;

    /// Completes a spec so that its agent behaves so: workspace, log, and whatever else the behaviour needs. Identity
    /// and limits are given and stay. `Err` with the reason if the backend has no agent that behaves so.
    fn spec(&self, spec: AgentSpec, behaviour: &Behaviour) -> Result<AgentSpec, &'static str>;

    /// The processes of an attempt that still live. `None` if that cannot be seen.
    fn processes(&self, attempt: EffectId) -> Option<Vec<Process>>;

    /// The rules that the backend cannot be put to, with the reason. Each is said when the suite runs.
    fn skips(&self) -> Skips {
        &[]
    }

    /// Runs a case to its end.
    fn run<F: Future>(&self, case: F) -> F::Output {
        super::run(case)
    }
}

/// What an agent does.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Behaviour {
    /// Ends soon and well, and this is its final message.
    Succeed(String),
    /// Puts these lines out one after the other, with some time in between, and ends well with the last.
    Say(Vec<String>),
    /// Puts out a final message that claims success, and ends as a failure.
    FailThoughItClaimsSuccess,
    /// Ends well by its exit code, without the final result that its protocol asks for.
    EndWithoutResult,
    /// Does nothing, for ever. Ends when asked politely.
    Sleep,
    /// Does nothing, for ever, and ignores a polite request to stop.
    IgnorePoliteStop,
    /// Gives a sign of life at least five times a second, for ever.
    Chatter,
    /// Ends well, and leaves a child in a session of its own that holds the output open for ever.
    LeaveChild,
    /// Ends well with a final message of that many bytes.
    LongMessage(usize),
    /// Puts out without end, as fast as it can.
    Flood,
    /// Ends well, and its final message lists its environment, `NAME=value` a line.
    ShowEnvironment,
    /// Ends well, and its final message is its working directory.
    ShowDirectory,
    /// Cannot be started: the program is not there.
    Missing,
}

/// A living process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// The id of its parent.
    pub parent: u32,
}

/// The processes that carry `ENKI_RUN=<attempt>` in their environment, from `/proc`, the attempt alone or behind outer
/// ones and a `:`. `None` where there is no `/proc`.
///
/// For fixtures whose runner marks what it starts in this way.
#[must_use]
pub fn processes_marked(attempt: EffectId) -> Option<Vec<Process>> {
    let mark = attempt.hex();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Both may fail for a process that ends meanwhile, and for those of others: those are none of ours.
        let Ok(environment) = std::fs::read(entry.path().join("environ")) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let mut after_name = stat.rsplit(')').next().unwrap_or("").split_whitespace();
        let (state, parent) = (after_name.next(), after_name.next().and_then(|p| p.parse().ok()));
        let marked = environment
            .split(|b| *b == 0)
            .any(|variable| variable.strip_prefix(b"ENKI_RUN=").is_some_and(|value| value.ends_with(mark.as_bytes())));
        if let (true, Some(parent)) = (marked && state != Some("Z"), parent) {
            found.push(Process { pid, parent });
        }
    }
    Some(found)
}

/// A run that ends well gives `Success` and its final message.
pub async fn a_run_that_ends_well_gives_its_final_message(fixture: &impl AgentFixture) {
    let text = "first line\nüñí 🙂 \"quoted\"\nlast line";
    let Some(spec) = spec(fixture, 1, &Behaviour::Succeed(text.into())) else { return };
    let end = finish(start(fixture, spec).await.as_mut()).await.end;
    assert_eq!(end.exit, AgentExit::Success);
    assert!(end.text.contains(text), "{:?}", end.text);
}

/// What was put out comes as events in its order, before the end.
pub async fn text_comes_in_order_before_the_end(fixture: &impl AgentFixture) {
    let lines = lines();
    let Some(spec) = spec(fixture, 1, &Behaviour::Say(lines.clone())) else { return };
    let run = finish(start(fixture, spec).await.as_mut()).await;
    assert_in_order(&run.text, &lines);
}

/// A failure is judged from the process, never from what the text claims.
pub async fn a_failure_is_not_talked_away(fixture: &impl AgentFixture) {
    let Some(spec) = spec(fixture, 1, &Behaviour::FailThoughItClaimsSuccess) else { return };
    let end = finish(start(fixture, spec).await.as_mut()).await.end;
    assert!(matches!(end.exit, AgentExit::Error { .. }), "{:?}", end.exit);
}

/// An exit of zero without a final result is no success.
pub async fn an_end_without_a_result_is_no_success(fixture: &impl AgentFixture) {
    let Some(spec) = spec(fixture, 1, &Behaviour::EndWithoutResult) else { return };
    let end = finish(start(fixture, spec).await.as_mut()).await.end;
    assert_eq!(end.exit, AgentExit::NoResult);
}

/// A stopped agent ends as `Killed`, soon, and nothing of it is left.
pub async fn stop_ends_an_agent(fixture: &impl AgentFixture) {
    let Some(spec) = spec(fixture, 1, &Behaviour::Sleep) else { return };
    let id = spec.id;
    let mut session = start(fixture, spec).await;
    let end = stop(session.as_mut(), GRACE).await;
    assert_eq!(end.exit, AgentExit::Killed);
    assert_gone(fixture, id);
}

/// An agent that ignores the polite request is killed after the grace, within 5 seconds more (section 14).
pub async fn an_agent_that_ignores_a_polite_stop_is_killed(fixture: &impl AgentFixture) {
    let Some(spec) = spec(fixture, 1, &Behaviour::IgnorePoliteStop) else { return };
    let id = spec.id;
    let mut session = start(fixture, spec).await;
    // Give it the time to set its trap.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let end = stop(session.as_mut(), GRACE).await;
    assert_eq!(end.exit, AgentExit::Killed);
    assert_gone(fixture, id);
}

/// Stopping twice, and once more when it is over, is the same as stopping once.
pub async fn stop_is_idempotent(fixture: &impl AgentFixture) {
    let Some(spec) = spec(fixture, 1, &Behaviour::Sleep) else { return };
    let mut session = start(fixture, spec).await;
    session.stop(GRACE).await;
    let end = stop(session.as_mut(), GRACE).await;
    assert_eq!(end.exit, AgentExit::Killed);
    timeout(SLACK, session.stop(GRACE)).await.expect("stopping what is over returns");
}

/// An agent that runs longer than its limit ends as `TimedOut`, and nothing of it is left.
pub async fn a_run_over_its_time_limit_is_ended(fixture: &impl AgentFixture) {
    let Some(mut spec) = spec(fixture, 1, &Behaviour::Sleep) else { return };
    spec.timeout = Duration::from_millis(700);
    let id = spec.id;
    let end = finish(start(fixture, spec).await.as_mut()).await.end;
    assert_eq!(end.exit, AgentExit::TimedOut);
    assert_gone(fixture, id);
}

/// An agent without a sign of life ends as `Stuck`, and nothing of it is left.
pub async fn a_run_without_a_sign_of_life_is_ended(fixture: &impl AgentFixture) {
    let Some(mut spec) = spec(fixture, 1, &Behaviour::Sleep) else { return };
    spec.idle_timeout = Duration::from_millis(700);
    let id = spec.id;
    let end = finish(start(fixture, spec).await.as_mut()).await.end;
    assert_eq!(end.exit, AgentExit::Stuck);
    assert_gone(fixture, id);
}

/// A sign of life starts the idle time anew: a busy agent ends by its time limit, not as stuck.
pub async fn signs_of_life_keep_a_run_from_being_stuck(fixture: &impl AgentFixture) {
    let Some(mut spec) = spec(fixture, 1, &Behaviour::Chatter) else { return };
    (spec.idle_timeout, spec.timeout) = (Duration::from_millis(1500), Duration::from_secs(3));
    let end = finish(start(fixture, spec).await.as_mut()).await.end;
    assert_eq!(end.exit, AgentExit::TimedOut);
}

/// A dropped call of `next` loses no event.
pub async fn next_is_cancel_safe(fixture: &impl AgentFixture) {
    let lines = lines();
    let Some(spec) = spec(fixture, 1, &Behaviour::Say(lines.clone())) else { return };
    let mut session = start(fixture, spec).await;
    let mut run = Run::default();
    let started = Instant::now();
    let ended = loop {
        assert!(started.elapsed() < LONG, "the run did not end; so far it said {:?}", run.text);
        if let Ok(event) = timeout(Duration::from_millis(2), session.next()).await
            && run.take(event)
        {
            break run;
        }
    };
    assert_eq!(ended.end.exit, AgentExit::Success);
    assert!(ended.end.text.contains(&lines[lines.len() - 1]), "{:?}", ended.end.text);
    assert_in_order(&ended.text, &lines);
}

/// Two attempts run side by side: each has its own end, and stopping one leaves the other alone.
pub async fn two_runs_side_by_side_do_not_mix(fixture: &impl AgentFixture) {
    let (one, two) = (Behaviour::Sleep, Behaviour::Say(lines()));
    let (Some(one), Some(two)) = (spec(fixture, 1, &one), spec(fixture, 2, &two)) else { return };
    let runner = fixture.runner().await;
    let mut one = runner.start(one).await.expect("the first agent starts");
    let mut two = runner.start(two).await.expect("the second agent starts");
    let end = stop(one.as_mut(), GRACE).await;
    assert_eq!(end.exit, AgentExit::Killed);
    let run = finish(two.as_mut()).await;
    assert_eq!(run.end.exit, AgentExit::Success);
    assert_in_order(&run.text, &lines());
}

/// Two agents of one attempt never live at once: the same id again attaches, or stops the first one.
pub async fn two_agents_of_one_attempt_never_live_at_once(fixture: &impl AgentFixture) {
    let Some(spec) = spec(fixture, 1, &Behaviour::Sleep) else { return };
    let id = spec.id;
    let runner = fixture.runner().await;
    let mut one = runner.start(spec.clone()).await.expect("the agent starts");
    let mut two = timeout(LONG, runner.start(spec)).await.expect("a start returns").expect("the same id starts");
    match fixture.processes(id) {
        Some(living) => {
            let root = |p: &&Process| living.iter().all(|other| other.pid != p.parent);
            let roots: Vec<_> = living.iter().filter(root).collect();
            assert!(roots.len() <= 1, "{roots:?} of {living:?}");
        }
        None => skipped("that only one lives: the processes of an attempt cannot be seen"),
    }
    stop(two.as_mut(), GRACE).await;
    stop(one.as_mut(), GRACE).await;
    assert_gone(fixture, id);
}

/// The end is told only when all that the agent started is gone, and does not wait for output a stray child holds.
pub async fn the_end_is_told_when_the_whole_tree_is_gone(fixture: &impl AgentFixture) {
    let Some(spec) = spec(fixture, 1, &Behaviour::LeaveChild) else { return };
    let id = spec.id;
    let end = finish(start(fixture, spec).await.as_mut()).await.end;
    assert_eq!(end.exit, AgentExit::Success);
    assert_gone(fixture, id);
}

/// The final message is capped at 256 KiB.
pub async fn the_final_message_is_capped(fixture: &impl AgentFixture) {
    let Some(spec) = spec(fixture, 1, &Behaviour::LongMessage(1 << 20)) else { return };
    let end = finish(start(fixture, spec).await.as_mut()).await.end;
    assert!((1..=256 * 1024).contains(&end.text.len()), "{} bytes", end.text.len());
}

/// Output without end ends the run as `OutputLimit` (R12).
pub async fn output_without_end_ends_the_run(fixture: &impl AgentFixture) {
    let Some(spec) = spec(fixture, 1, &Behaviour::Flood) else { return };
    let id = spec.id;
    let end = finish(start(fixture, spec).await.as_mut()).await.end;
    assert_eq!(end.exit, AgentExit::OutputLimit);
    assert_gone(fixture, id);
}

/// The agent gets an allow-list of the host's environment, not all of it (S9).
pub async fn the_environment_is_an_allow_list(fixture: &impl AgentFixture) {
    let Some(spec) = spec(fixture, 1, &Behaviour::ShowEnvironment) else { return };
    let end = finish(start(fixture, spec).await.as_mut()).await.end;
    assert_eq!(end.exit, AgentExit::Success);
    assert!(end.text.contains("PATH="), "{}", end.text);
    // Cargo sets these for the tests it runs, so they are in the environment of this host.
    for secret in ["CARGO_MANIFEST_DIR=", "CARGO_PKG_NAME="] {
        assert!(!end.text.contains(secret), "{secret} came through:\n{}", end.text);
    }
}

/// The agent works in the workspace it was given.
pub async fn the_working_directory_is_the_workspace(fixture: &impl AgentFixture) {
    let Some(spec) = spec(fixture, 1, &Behaviour::ShowDirectory) else { return };
    let workspace = spec.workspace.canonicalize().unwrap_or_else(|_| spec.workspace.clone());
    let end = finish(start(fixture, spec).await.as_mut()).await.end;
    assert!(end.text.contains(&*workspace.to_string_lossy()), "{:?} is not {workspace:?}", end.text);
}

/// An agent that cannot be started is an error, and another try of the same id may succeed.
pub async fn an_agent_that_cannot_start_is_an_error(fixture: &impl AgentFixture) {
    let Some(missing) = spec(fixture, 1, &Behaviour::Missing) else { return };
    let id = missing.id;
    let runner = fixture.runner().await;
    runner.start(missing).await.expect_err("nothing can be started");
    assert_gone(fixture, id);
}

/// There is nothing to attach to where nothing was started, and where it is over.
pub async fn attach_finds_nothing_where_nothing_lives(fixture: &impl AgentFixture) {
    let Some(spec) = spec(fixture, 1, &Behaviour::Succeed("done".into())) else { return };
    let runner = fixture.runner().await;
    assert!(runner.attach(spec.clone()).await.expect("it can be known").is_none(), "nothing was started");
    let mut session = runner.start(spec.clone()).await.expect("the agent starts");
    finish(session.as_mut()).await;
    drop(session);
    assert!(runner.attach(spec).await.expect("it can be known").is_none(), "it is over");
}

/// A later host finds the living agent, or everything of it is dead once `attach` returns.
pub async fn attach_gives_the_living_agent_or_leaves_nothing(fixture: &impl AgentFixture) {
    let Some(spec) = spec(fixture, 1, &Behaviour::Sleep) else { return };
    let id = spec.id;
    let first = fixture.runner().await;
    let lost = first.start(spec.clone()).await.expect("the agent starts");
    let second = fixture.runner().await;
    let attached = timeout(LONG, second.attach(spec)).await.expect("attach returns").expect("it can be known");
    if let Some(mut session) = attached {
        assert_eq!(stop(session.as_mut(), GRACE).await.exit, AgentExit::Killed);
    }
    assert_gone(fixture, id);
    drop(lost);
}

const GRACE: Duration = Duration::from_millis(500);
/// What a stop may take beyond its grace.
const SLACK: Duration = Duration::from_secs(5);
/// Longer than any run of these cases, on a loaded machine.
const LONG: Duration = Duration::from_secs(60);

/// What a run did.
#[derive(Debug, Default)]
struct Run {
    text: String,
    end: AgentEnd,
}

impl Run {
    /// Takes the next event; tells whether it was the last.
    fn take(&mut self, event: AgentEvent) -> bool {
        match event {
            AgentEvent::Text(text) => self.text.push_str(&text),
            AgentEvent::Ended(end) => {
                self.end = end;
                return true;
            }
            _ => {}
        }
        false
    }
}

fn lines() -> Vec<String> {
    (1..=10).map(|n| format!("line number {n}.")).collect()
}

fn assert_in_order(text: &str, lines: &[String]) {
    if text.is_empty() {
        return skipped("that text comes in order: the runner gives no text while it runs");
    }
    let mut rest = text;
    for line in lines {
        let at = rest.find(line.as_str()).unwrap_or_else(|| panic!("{line:?} is missing or too early in {text:?}"));
        rest = &rest[at + line.len()..];
    }
}

fn spec(fixture: &impl AgentFixture, n: u32, behaviour: &Behaviour) -> Option<AgentSpec> {
    // Random ids, so that a marker of an earlier run that was killed is not taken for ours.
    let execution = ExecutionId::new(rand_u128());
    let id = EffectId::of_attempt(execution, StepIx(n), AttemptNo(1));
    let step = format!("step-{n}").parse().expect("a step id");
    let mut spec = AgentSpec::new(id, execution, step, AttemptNo(1), Purpose::Work);
    (spec.timeout, spec.idle_timeout) = (LONG, LONG);
    match fixture.spec(spec, behaviour) {
        Ok(spec) => Some(spec),
        Err(why) => {
            skipped(&format!("no agent for {behaviour:?}: {why}"));
            None
        }
    }
}

/// Different in each process and call, which is all that is asked of it.
fn rand_u128() -> u128 {
    use std::hash::{BuildHasher, RandomState};
    (u128::from(RandomState::new().hash_one(0)) << 64) | u128::from(RandomState::new().hash_one(1))
}

async fn start(fixture: &impl AgentFixture, spec: AgentSpec) -> Box<dyn AgentSession> {
    let runner = fixture.runner().await;
    runner.start(spec).await.expect("the agent starts")
}

async fn finish(session: &mut dyn AgentSession) -> Run {
    let mut run = Run::default();
    timeout(LONG, async { while !run.take(session.next().await) {} }).await.expect("every run ends");
    run
}

/// Stops and waits for the end, which has to come within the grace and 5 seconds.
async fn stop(session: &mut dyn AgentSession, grace: Duration) -> AgentEnd {
    let stopped = async {
        session.stop(grace).await;
        let mut run = Run::default();
        while !run.take(session.next().await) {}
        run.end
    };
    timeout(grace + SLACK, stopped).await.expect("a stopped agent ends within its grace and 5 seconds")
}

fn assert_gone(fixture: &impl AgentFixture, attempt: EffectId) {
    match fixture.processes(attempt) {
        Some(living) => assert_eq!(living, [], "processes of the attempt survived it"),
        None => skipped("that nothing is left: the processes of an attempt cannot be seen"),
    }
}
