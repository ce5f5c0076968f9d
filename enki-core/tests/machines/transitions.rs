//! Transition tables in `docs/transitions`, made by asking the machines themselves: every state with every input, so
//! that each pair is seen to be defined (R7). `UPDATE_SNAPSHOTS=1` rewrites them.

use crate::rules::{after, plain, reviewed};
use crate::world::{World, step};
use enki_core::branch::Branch;
use enki_core::dispatcher::{Dispatcher, Place};
use enki_core::engine::Effect;
use enki_core::execution::{
    Answer, AttemptEnd, Claim, Command, Demand, Execution, HoldNo, HoldReason, Input, NeedState, Outcome, Refusal,
    Rejected, Report, Run, StartOrder, StepState, Touched, Work,
};
use enki_core::id::{AttemptNo, CommitId, ExecutionId, RequestId, StepIx};
use enki_core::limits::Limits;
use enki_core::merge_queue::{self, EffectKind, Entry, LineNo, MergeQueue, QueuePause};
use enki_core::refinery::{Build, Candidate, Change, ChangeKind, Check, Gate, TargetState};
use enki_core::tier::{Pool, Priority, Tier};
use enki_core::time::Timestamp;
use enki_core::verdict::{self, Verdict};
use serde_json::json;
use std::fmt::{Debug, Write};
use std::path::Path;
use std::time::Duration;

/// Compares with the file, or writes it.
#[expect(clippy::disallowed_methods, reason = "a switch of the test itself")]
fn snapshot(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/transitions").join(name);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(known, text, "{} is stale; run with UPDATE_SNAPSHOTS=1 and look at the difference", path.display());
}

/// A table with a line for each input and a column for each state.
fn table<S, I>(states: &[(&str, S)], inputs: &[(String, I)], cell: impl Fn(&S, &I) -> String) -> String {
    let mut text = String::from("| |");
    for (name, _) in states {
        let _ = write!(text, " {name} |");
    }
    let _ = write!(text, "\n|---|{}\n", "---|".repeat(states.len()));
    for (name, input) in inputs {
        let _ = write!(text, "| {name} |");
        for (_, state) in states {
            let _ = write!(text, " {} |", cell(state, input));
        }
        text.push('\n');
    }
    text
}

/// The name of a variant.
fn name(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    text.chars().take_while(char::is_ascii_alphanumeric).collect()
}

fn refused(rejected: &Rejected) -> String {
    match rejected {
        Rejected::Stale { .. } => "*stale*".to_owned(),
        other => format!("*{}*", name(other)),
    }
}

/// An execution at some point, its step `x`, the requests of it, and the time.
struct At {
    execution: Execution,
    now: Timestamp,
}

const GATED: bool = true;

/// `x` needs `n`; `slow` keeps the execution alive.
fn start(gated: bool, runs: u32) -> (World, ExecutionId) {
    let mut limits = Limits::default();
    limits.runs = runs;
    let mut world = World::new(limits);
    let mut x = if gated { reviewed("x", 1) } else { plain("x") };
    x["needs"] = json!(["n"]);
    let id = world.start(json!({"steps": [x, plain("n"), plain("slow"), after("y", "x", "merged")]}));
    (world, id)
}

fn conflict(world: &mut World, id: ExecutionId) {
    world.builds = vec![vec!["src/lib.rs".to_owned()]];
    world.work(id, "x");
    world.queues();
}

fn step_states(gated: bool) -> Vec<(&'static str, At)> {
    let declined = || Outcome::Declined { message: "no".to_owned() };
    let mut states: Vec<(&'static str, At)> = Vec::new();
    let mut put = |name, runs: u32, reach: &dyn Fn(&mut World, ExecutionId)| {
        let (mut world, id) = start(gated, runs);
        reach(&mut world, id);
        states.push((name, At { execution: world.of(id).clone(), now: world.now }));
    };
    let working = |world: &mut World, id| {
        world.done(id, "n");
        assert_eq!(world.word(id, "x"), "running");
    };
    put("pending", 10, &|_, _| {});
    put("blocked", 10, &|w, id| w.end(id, "n", declined()));
    put("ready", 1, &|w, id| {
        w.done(id, "n");
        assert_eq!(w.word(id, "x"), "ready");
    });
    put("working", 10, &working);
    put("waits to work again", 10, &|w, id| {
        working(w, id);
        w.end(id, "x", Outcome::TimedOut);
    });
    if gated {
        put("reviewing", 10, &|w, id| {
            working(w, id);
            w.end(id, "x", Outcome::Changed);
        });
        put("fixing", 10, &|w, id| {
            working(w, id);
            w.end(id, "x", Outcome::Changed);
            w.reviewed(id, "x", verdict::Gate::Revise);
        });
    }
    put("resolving", 10, &|w, id| {
        working(w, id);
        conflict(w, id);
        assert_eq!(w.purpose(id, "x"), Some(enki_core::tier::Purpose::Resolve));
    });
    put("merging", 10, &|w, id| {
        working(w, id);
        w.work(id, "x");
        assert_eq!(w.word(id, "x"), "merging");
    });
    put("done", 10, &|w, id| {
        working(w, id);
        w.done(id, "x");
    });
    put("failed", 10, &|w, id| {
        working(w, id);
        w.end(id, "x", declined());
    });
    put("cancelled", 10, &|w, id| {
        let step = Some(w.ix(id, "x"));
        w.command(id, Command::Cancel { step, committing: vec![] }).unwrap();
    });
    states
}

fn outcomes() -> Vec<(&'static str, Outcome)> {
    let text = || "x".to_owned();
    vec![
        ("changed", Outcome::Changed),
        ("no change", Outcome::NoChange),
        ("artifact", Outcome::Artifact),
        ("review: pass", Outcome::Reviewed(Verdict::of(verdict::Gate::Pass))),
        ("review: revise", Outcome::Reviewed(Verdict::of(verdict::Gate::Revise))),
        ("review: fail", Outcome::Reviewed(Verdict::of(verdict::Gate::Fail))),
        ("review: nothing understood", Outcome::Reviewed(Verdict::default())),
        ("agent error, transient", Outcome::AgentError { message: text(), transient: true }),
        ("agent error, final", Outcome::AgentError { message: text(), transient: false }),
        ("no result", Outcome::NoResult),
        ("declined", Outcome::Declined { message: text() }),
        ("timed out", Outcome::TimedOut),
        ("stuck", Outcome::Stuck),
        ("lost", Outcome::Lost),
        ("killed", Outcome::Killed),
        ("rate limited", Outcome::RateLimited { until: Timestamp(i64::MAX) }),
        ("service out", Outcome::Unavailable { until: Timestamp(i64::MAX), reason: text() }),
        ("disk low", Outcome::DiskLow { until: Timestamp(i64::MAX), reason: "8 MB are free".to_owned() }),
        ("output limit", Outcome::OutputLimit),
        ("void", Outcome::Void { paths: vec![text()] }),
        ("not started", Outcome::NotStarted { reason: text() }),
        ("workspace", Outcome::Workspace { reason: text() }),
        ("policy", Outcome::Policy { reason: text() }),
        ("tampered", Outcome::Tampered { what: vec![text()] }),
        ("no artifact", Outcome::NoArtifact),
        ("unresolved", Outcome::Unresolved { paths: vec![text()] }),
    ]
}

fn refusals() -> Vec<(&'static str, Refusal)> {
    let text = || "x".to_owned();
    vec![
        ("check", Refusal::Check { log: text() }),
        ("conflict", Refusal::Conflict { paths: vec![text()], hunks: text(), onto: Some(commit(6)) }),
        ("interaction", Refusal::Interaction { with: text(), log: text() }),
        ("empty", Refusal::Empty),
        ("policy", Refusal::Policy { reason: text() }),
        ("moved", Refusal::Moved),
        ("blocked", Refusal::Blocked { reason: text(), command: text() }),
        ("rewound", Refusal::Rewound),
        ("withdrawn", Refusal::Withdrawn),
    ]
}

fn commit(n: u32) -> CommitId {
    format!("{n:040x}").parse().unwrap()
}

/// A command about step `x` and its request.
type Asked = fn(StepIx, RequestId) -> Command;

/// What happens to step `x`, made for the state it is in.
type Happening = Box<dyn Fn(&Execution, StepIx, AttemptNo, RequestId) -> Input>;

fn step_inputs() -> Vec<(String, Happening)> {
    let mut inputs: Vec<(String, Happening)> = vec![
        ("permits granted".to_owned(), Box::new(|_, x, _, _| Input::Grant(x))),
        (
            "agent lives".to_owned(),
            Box::new(|_, step, attempt, _| Input::Report(Report::Live { step, attempt, session: None })),
        ),
    ];
    for (name, outcome) in outcomes() {
        let ended = move |_: &Execution, step, attempt, _| {
            let mut end = AttemptEnd::new(outcome.clone());
            if end.outcome == Outcome::Changed {
                let tree = "1".repeat(40).parse().unwrap();
                end.work = Some(Work { base: commit(7), commit: commit(8), tree, attempt });
            }
            Input::Report(Report::Ended { step, attempt, end: Box::new(end) })
        };
        inputs.push((format!("ended: {name}"), Box::new(ended)));
    }
    inputs.push((
        "merged".to_owned(),
        Box::new(|_, _, _, request| Input::Report(Report::Merged { request, commit: commit(9) })),
    ));
    for (name, reason) in refusals() {
        let refused =
            move |_: &Execution, _, _, request| Input::Report(Report::Refused { request, reason: reason.clone() });
        inputs.push((format!("merge refused: {name}"), Box::new(refused)));
    }
    let commands: [(&str, Asked); 7] = [
        ("pause step", |x, _| Command::Pause(Some(x))),
        ("resume step", |x, _| Command::Resume(Some(x))),
        ("cancel step", |x, _| Command::Cancel { step: Some(x), committing: vec![] }),
        ("cancel step, being committed", |x, r| Command::Cancel { step: Some(x), committing: vec![r] }),
        ("retry step", |step, _| Command::Retry { step, mode: None, note: None }),
        ("cancel execution", |_, _| Command::Cancel { step: None, committing: vec![] }),
        ("stop", |_, _| Command::Stop),
    ];
    for (name, make) in commands {
        inputs.push((name.to_owned(), Box::new(move |_, x, _, request| Input::Command(make(x, request)))));
    }
    inputs
}

/// Decides and applies; what it records and where that leads, or why it is refused.
fn cell(at: &At, make: &Happening) -> String {
    cell_of("x", at, make)
}

fn cell_of(step: &str, at: &At, make: &Happening) -> String {
    let x = at.execution.plan().find(step).unwrap();
    let run = at.execution.step(x);
    let attempt = run.live().unwrap_or(AttemptNo(run.attempts));
    let request = match &run.state {
        StepState::Merging { request } => *request,
        _ => RequestId::of(at.execution.id(), Some(x), run.requests),
    };
    let input = make(&at.execution, x, attempt, request);
    match at.execution.decide(&input, at.now, &Limits::default()) {
        Err(rejected) => refused(&rejected),
        Ok(events) if events.is_empty() => "=".to_owned(),
        Ok(events) => {
            let mut then = at.execution.clone();
            for event in &events {
                then.apply(event);
            }
            then.settle_all(at.now, &mut Touched::default(), |_| {});
            describe(&then, x, at.now) + &of_landing(&then, x)
        }
    }
}

/// What the execution makes of a step of Enki's own.
fn of_landing(execution: &Execution, x: StepIx) -> String {
    let asks = execution.open_requests().any(|(step, _)| step.is_none());
    let asks = asks.then(|| "landing".to_owned());
    let holds: Vec<String> = execution.holds().values().map(name).chain(asks).collect();
    let own = execution.step(x).landing.is_some() && !holds.is_empty();
    if own { format!(" [{}]", holds.join(", ")) } else { String::new() }
}

fn describe(execution: &Execution, x: StepIx, now: Timestamp) -> String {
    let step = execution.step(x);
    let paused = if step.paused { ", paused" } else { "" };
    let state = match &step.state {
        StepState::Pending => execution.word(x).to_owned(),
        StepState::Running(running) => match &running.run {
            Run::Live { .. } => running.purpose.to_string(),
            Run::Wanted { wait } if !wait.is_over(now) => format!("{} later", running.purpose),
            Run::Wanted { .. } => format!("{} next", running.purpose),
        },
        StepState::Merging { .. } => "merging".to_owned(),
        StepState::Done(kind) => format!("done ({})", name(kind)),
        StepState::Failed(reason) => format!("failed ({})", name(reason)),
        StepState::Cancelled => "cancelled".to_owned(),
    };
    format!("{state}{paused}")
}

#[test]
fn the_table_of_a_step_is_up_to_date() {
    let mut text = String::from(
        "# A step\n\nMade by the test `transitions` of `enki-core`; never edited by hand. A cell says where the input leads: \
         *stale* and others in italics are refusals, which change nothing; = is accepted and changes nothing; *next* is \
         an attempt wanted as soon as permits allow, *later* one after a wait. Step `x` needs `n`, and `y` needs `x`.\n",
    );
    let inputs = step_inputs();
    for (title, gated) in [("Without a review", !GATED), ("With a review, one fix allowed", GATED)] {
        let _ = write!(text, "\n## {title}\n\n{}", table(&step_states(gated), &inputs, cell));
    }
    let landing = |at: &At, make: &Happening| cell_of("land-1", at, make);
    let _ = write!(
        text,
        "\n## A step of Enki's own\n\nIt solves the conflict of a landing. What follows for the execution is in brackets: \
         open holds, and whether its merge asks to land.\n\n{}",
        table(&landing_states(), &step_inputs(), |at, make| landing(at, make))
    );
    snapshot("step.md", &text);
}

/// Step `x` is merged, and its landing conflicts.
fn landing_states() -> Vec<(&'static str, At)> {
    let mut states: Vec<(&'static str, At)> = Vec::new();
    let mut put = |name, reach: &dyn Fn(&mut World, ExecutionId)| {
        let mut world = World::new(Limits::default());
        let id = world.start(json!({"steps": [plain("x")]}));
        world.work(id, "x");
        let own = enki_core::engine::QueueId::of(&Branch::integration(id));
        while let Some(effect) = world.flying.iter().find(|e| matches!(e, Effect::Queue(q, _) if *q == own)).copied() {
            world.answer(effect);
        }
        if name == "ready" {
            world.command(id, Command::Pause(None)).unwrap();
        }
        world.builds = vec![vec!["src/lib.rs".to_owned()]];
        world.queues();
        reach(&mut world, id);
        let mut execution = world.of(id).clone();
        if name == "ready" {
            // Only the machine: in the engine its permit is granted at once.
            execution.apply(&enki_core::execution::Event::Resumed { step: None });
        }
        states.push((name, At { execution, now: world.now }));
    };
    put("ready", &|_, _| {});
    put("resolving", &|_, _| {});
    put("waits to resolve again", &|w, id| w.end(id, "land-1", Outcome::TimedOut));
    put("done", &|w, id| w.end(id, "land-1", Outcome::Changed));
    put("failed", &|w, id| w.end(id, "land-1", Outcome::NoChange));
    put("cancelled", &|w, id| {
        let step = Some(w.ix(id, "land-1"));
        w.command(id, Command::Cancel { step, committing: vec![] }).unwrap();
    });
    states
}

fn execution_states() -> Vec<(&'static str, At)> {
    let mut states: Vec<(&'static str, At)> = Vec::new();
    let spec = || json!({"steps": [step("c", json!({"checkpoint": true})), plain("a"), after("b", "a", "merged")]});
    let mut put = |name, open: bool, reach: &dyn Fn(&mut World, ExecutionId)| {
        let mut world = World::new(Limits::default());
        let mut submitted = world.submission(spec(), &[]);
        if name == "scheduled" {
            submitted.start_at = Some(world.now.plus(Duration::from_secs(60)));
        }
        if name == "blocked" {
            submitted.after = Some((ExecutionId::new(99), enki_core::spec::AfterWhen::Success));
        }
        let id = world.submit_as(submitted);
        if open {
            world.open(id);
        }
        reach(&mut world, id);
        states.push((name, At { execution: world.of(id).clone(), now: world.now }));
    };
    let declined = || Outcome::Declined { message: "no".to_owned() };
    put("scheduled", false, &|_, _| {});
    put("blocked", false, &|w, id| w.report(id, Report::Predecessor(NeedState::Dead)).unwrap());
    put("running, not open", false, &|_, _| {});
    put("running", true, &|_, _| {});
    put("landing", true, &|w, id| {
        w.work(id, "a");
        let own = enki_core::engine::QueueId::of(&Branch::integration(id));
        while let Some(effect) = w.flying.iter().find(|e| matches!(e, Effect::Queue(q, _) if *q == own)).copied() {
            w.answer(effect);
        }
    });
    put("resolving its landing", true, &|w, id| {
        w.work(id, "a");
        w.builds = vec![vec![], vec!["src/lib.rs".to_owned()]];
        w.queues();
        assert!(w.attempt(id, "land-1").is_some());
    });
    put("held: checkpoint", true, &|w, id| w.end(id, "c", Outcome::NoChange));
    put("landing refused", true, &|w, id| {
        w.work(id, "a");
        while w.of(id).holds().is_empty() {
            let effect = w.flying.iter().find(|e| matches!(e, Effect::Queue(..))).copied().unwrap();
            let Effect::Queue(queue, inner) = effect else { unreachable!() };
            if inner.kind == EffectKind::Publish && w.engine.queue(&w.main()).is_some() {
                w.flying.retain(|e| *e != effect);
                let (reason, command) = ("x".to_owned(), "git merge x".to_owned());
                let blocked = merge_queue::Report::Blocked { reason, command };
                w.input(crate::world::report(queue, inner, blocked)).unwrap();
            } else {
                w.answer(effect);
            }
        }
    });
    put("paused", true, &|w, id| w.command(id, Command::Pause(None)).unwrap());
    put("cancelling", true, &|w, id| {
        w.work(id, "a");
        assert_eq!(w.word(id, "a"), "merging");
    });
    put("done", true, &|w, id| {
        w.drain();
        w.command(id, Command::Resume(None)).unwrap();
        w.drain();
    });
    put("failed", true, &|w, id| {
        w.end(id, "c", declined());
        w.end(id, "a", declined());
    });
    put("cancelled", true, &|w, id| w.command(id, Command::Cancel { step: None, committing: vec![] }).unwrap());
    for (name, at) in &mut states {
        if *name == "cancelling" {
            // Only the machine: in the engine nothing is being committed yet.
            let request = at.execution.open_requests().next().unwrap().1;
            let cancel = Input::Command(Command::Cancel { step: None, committing: vec![request] });
            for event in at.execution.decide(&cancel, at.now, &Limits::default()).unwrap() {
                at.execution.apply(&event);
            }
        }
    }
    states
}

fn execution_inputs() -> Vec<(String, Happening)> {
    fn command(make: impl Fn(&Execution) -> Command + 'static) -> Happening {
        Box::new(move |execution, _, _, _| Input::Command(make(execution)))
    }
    fn landing(make: impl Fn(RequestId) -> Report + 'static) -> Happening {
        Box::new(move |execution, _, _, none| {
            let request = execution.open_requests().find(|(step, _)| step.is_none());
            Input::Report(make(request.map_or(none, |(_, request)| request)))
        })
    }
    let decide = |answer: Answer| {
        command(move |execution| {
            let hold = execution.holds().keys().next().copied().unwrap_or(HoldNo(99));
            Command::Decide { hold, answer: answer.clone(), committing: vec![] }
        })
    };
    let added = |execution: &Execution| {
        let spec = serde_json::from_value(plain("new")).unwrap();
        execution
            .plan()
            .check_added(&[spec], &enki_core::plan::PlanLimits::default(), &std::collections::HashMap::new())
            .unwrap()
    };
    let mut inputs: Vec<(String, Happening)> = vec![
        ("pause".to_owned(), command(|_| Command::Pause(None))),
        ("resume".to_owned(), command(|_| Command::Resume(None))),
        ("stop".to_owned(), command(|_| Command::Stop)),
        ("land".to_owned(), command(|_| Command::Land)),
        ("cancel".to_owned(), command(|_| Command::Cancel { step: None, committing: vec![] })),
        ("add steps".to_owned(), command(move |execution| Command::AddSteps(added(execution)))),
        ("approve the first hold".to_owned(), decide(Answer::Approve)),
        ("reject the first hold".to_owned(), decide(Answer::Reject)),
        ("branch is open".to_owned(), Box::new(|_, _, _, _| Input::Report(Report::Opened(commit(1))))),
        (
            "branch cannot be opened".to_owned(),
            Box::new(|_, _, _, _| Input::Report(Report::OpenFailed("x".to_owned()))),
        ),
        (
            "predecessor is done".to_owned(),
            Box::new(|_, _, _, _| Input::Report(Report::Predecessor(NeedState::Landed))),
        ),
        ("predecessor failed".to_owned(), Box::new(|_, _, _, _| Input::Report(Report::Predecessor(NeedState::Dead)))),
        ("trouble with a queue".to_owned(), Box::new(|_, _, _, _| Input::Report(Report::Trouble("x".to_owned())))),
        ("landed".to_owned(), landing(|request| Report::Landed { request, commit: commit(9) })),
    ];
    for (name, reason) in refusals() {
        let refused = landing(move |request| Report::Refused { request, reason: reason.clone() });
        inputs.push((format!("landing refused: {name}"), refused));
    }
    inputs
}

#[test]
fn the_table_of_an_execution_is_up_to_date() {
    let of = |at: &At, make: &Happening| {
        let none = RequestId::of(ExecutionId::new(77), None, 1);
        let input = make(&at.execution, StepIx(0), AttemptNo(1), none);
        match at.execution.decide(&input, at.now, &Limits::default()) {
            Err(rejected) => refused(&rejected),
            Ok(events) if events.is_empty() => "=".to_owned(),
            Ok(events) => {
                let mut then = at.execution.clone();
                for event in &events {
                    then.apply(event);
                }
                then.settle_all(at.now, &mut Touched::default(), |_| {});
                let holds: Vec<String> = then.holds().values().map(|hold: &HoldReason| name(hold)).collect();
                let asks = then.open_requests().any(|(step, _)| step.is_none());
                let landing = match then.landing_resolver() {
                    Some(_) => ", resolving",
                    None if asks => ", landing",
                    None => "",
                };
                let holds = if holds.is_empty() { String::new() } else { format!(" [{}]", holds.join(", ")) };
                format!("{}{holds}{landing}", then.status())
            }
        }
    };
    let states = execution_states();
    let text = format!(
        "# An execution\n\nMade by the test `transitions` of `enki-core`; never edited by hand. A cell gives the status \
         the input leads to, with open holds in brackets; refusals, which change nothing, are in italics; = is accepted and \
         changes nothing. The plan: a checkpoint step `c`, a step `a`, and `b` that needs `a`.\n\n{}",
        table(&states, &execution_inputs(), of)
    );
    snapshot("execution.md", &text);
}

fn entry(n: u32) -> Entry {
    let kind = ChangeKind::Landing { execution: ExecutionId::new(1), title: "x".to_owned() };
    let request = RequestId::of(ExecutionId::new(1), None, n);
    let change = Change { request, kind, commit: commit(n + 10), at: Timestamp(0) };
    Entry::new(change, Some(Gate::new("make check", Duration::from_secs(60))))
}

fn queue_states() -> Vec<(&'static str, MergeQueue)> {
    use merge_queue::Report;
    let target: Branch = "main".parse().unwrap();
    let candidate = Candidate { commit: commit(2), tree: "2".repeat(40).parse().unwrap(), base: commit(1) };
    let failed = || Check::Failed { log: "x".to_owned() };
    let empty = MergeQueue::new(target.clone(), Some(commit(1)));
    let mut states = vec![("empty", empty.clone())];
    let mut queue = empty;
    let go = |queue: &mut MergeQueue, input: merge_queue::Input| {
        for event in queue.decide(&input, Timestamp(0), &Limits::default()).unwrap() {
            queue.apply(&event);
        }
        for event in queue.settle(&Limits::default()) {
            queue.apply(&event);
        }
    };
    let answer = |queue: &mut MergeQueue, report| {
        let effect = queue.effects(Timestamp(0)).next().unwrap();
        go(queue, merge_queue::Input::Report(effect, report));
    };
    go(&mut queue, merge_queue::Input::Enqueue(Box::new(entry(1))));
    states.push(("looking", queue.clone()));
    go(&mut queue, merge_queue::Input::Seen(Some(commit(1))));
    states.push(("importing", queue.clone()));
    let mut paused = queue.clone();
    go(&mut paused, merge_queue::Input::Pause(QueuePause::Person));
    states.push(("importing, paused", paused));
    answer(&mut queue, Report::Imported);
    states.push(("building", queue.clone()));
    answer(&mut queue, Report::Built(Build::Candidate { candidate, commits: vec![Some(candidate.commit)] }));
    states.push(("checking", queue.clone()));
    let mut publishing = queue.clone();
    answer(&mut publishing, Report::Checked(Check::Passed));
    let mut deferred = queue.clone();
    answer(&mut deferred, Report::Checked(Check::Unknown { reason: "x".to_owned() }));
    states.push(("checking, deferred", deferred));
    answer(&mut queue, Report::Checked(failed()));
    states.push(("confirming", queue.clone()));
    answer(&mut queue, Report::Checked(failed()));
    states.push(("checking the base", queue.clone()));
    answer(&mut queue, Report::BaseChecked(failed()));
    states.push(("stopped: base red", queue));
    states.push(("publishing", publishing));
    states
}

fn queue_inputs() -> Vec<(String, merge_queue::Input)> {
    use merge_queue::{Input, Report};
    let text = || "x".to_owned();
    let candidate = Candidate { commit: commit(2), tree: "2".repeat(40).parse().unwrap(), base: commit(1) };
    let request = entry(1).change.request;
    let conflict = Build::Conflict { request, paths: vec![text()], hunks: text() };
    let moved = |head: Option<CommitId>, contains, was_there| Report::Moved(TargetState { head, contains, was_there });
    let checks = || {
        [
            ("passed", Check::Passed),
            ("failed", Check::Failed { log: text() }),
            ("timed out", Check::TimedOut { log: text() }),
            ("unknown", Check::Unknown { reason: text() }),
        ]
    };
    let of = |line| merge_queue::Effect { line: LineNo(line), kind: EffectKind::Look, attempt: 0 };
    let mut inputs = vec![
        ("enqueue another", Input::Enqueue(Box::new(entry(2)))),
        ("enqueue the same", Input::Enqueue(Box::new(entry(1)))),
        ("withdraw", Input::Withdraw(request)),
        ("withdraw an unknown one", Input::Withdraw(entry(9).change.request)),
        ("pause", Input::Pause(QueuePause::Person)),
        ("resume", Input::Resume),
        ("target seen, as known", Input::Seen(Some(commit(1)))),
        ("target seen, elsewhere", Input::Seen(Some(commit(5)))),
        ("target gone", Input::Seen(None)),
        (
            "last merge inspected",
            Input::Inspected { state: TargetState { head: None, contains: false, was_there: false }, rebooted: false },
        ),
    ];
    let mut reports = vec![
        ("imported".to_owned(), Report::Imported),
        ("import refused".to_owned(), Report::ImportRefused { request, policy: text() }),
        (
            "built: candidate".to_owned(),
            Report::Built(Build::Candidate { candidate, commits: vec![Some(candidate.commit)] }),
        ),
        ("built: conflict".to_owned(), Report::Built(conflict)),
        ("built: empty".to_owned(), Report::Built(Build::Empty)),
    ];
    reports.extend(checks().map(|(name, check)| (format!("checked: {name}"), Report::Checked(check))));
    reports.extend(checks().map(|(name, check)| (format!("base checked: {name}"), Report::BaseChecked(check))));
    reports.extend([
        ("published".to_owned(), Report::Published),
        ("moved: contains it".to_owned(), moved(Some(commit(5)), true, false)),
        ("moved: gone".to_owned(), moved(None, false, false)),
        ("moved: was there".to_owned(), moved(Some(commit(5)), false, true)),
        ("moved: back at the base".to_owned(), moved(Some(commit(1)), false, false)),
        ("moved: elsewhere".to_owned(), moved(Some(commit(5)), false, false)),
        ("target blocked".to_owned(), Report::Blocked { reason: text(), command: text() }),
        ("could not be tried".to_owned(), Report::Failed(text())),
    ]);
    let mut all: Vec<(String, Input)> = inputs.drain(..).map(|(name, input)| (name.to_owned(), input)).collect();
    all.push(("report of another line".to_owned(), Input::Report(of(7), Report::Published)));
    all.extend(reports.into_iter().map(|(name, report)| (name, Input::Report(of(1), report))));
    all
}

#[test]
fn the_table_of_a_merge_queue_is_up_to_date() {
    let of = |queue: &MergeQueue, input: &merge_queue::Input| {
        let now = Timestamp(100_000_000);
        // A report names the try it answers, here always the present one.
        let tries = (0..20).map(|attempt| match input {
            merge_queue::Input::Report(of, report) => {
                merge_queue::Input::Report(merge_queue::Effect { attempt, ..*of }, report.clone())
            }
            other => other.clone(),
        });
        let decided: Vec<_> = tries.map(|input| queue.decide(&input, now, &Limits::default())).collect();
        let best = decided.iter().find(|decided| decided.is_ok()).unwrap_or(&decided[0]).clone();
        match best {
            Err(rejected) => format!("*{}*", name(&rejected)),
            Ok(events) if events.is_empty() => "=".to_owned(),
            Ok(events) => {
                let mut then = queue.clone();
                let mut names: Vec<String> = Vec::new();
                for event in &events {
                    names.push(name(event));
                    then.apply(event);
                }
                for event in then.settle(&Limits::default()) {
                    names.push(name(&event));
                    then.apply(&event);
                }
                then.check().unwrap();
                let wants =
                    then.effects(now).next().map_or("nothing".to_owned(), |effect| format!("{:?}", effect.kind));
                format!("{} → {}", names.join(", "), wants.to_lowercase())
            }
        }
    };
    let text = format!(
        "# A merge queue\n\nMade by the test `transitions` of `enki-core`; never edited by hand. A cell gives the recorded \
         events, then what is wanted in flight; refusals, which change nothing, are in italics; = is accepted and \
         changes nothing.\n\n{}",
        table(&queue_states(), &queue_inputs(), of)
    );
    snapshot("merge-queue.md", &text);
}

#[test]
fn the_table_of_the_dispatcher_is_up_to_date() {
    let place = Place { execution: ExecutionId::new(1), step: StepIx(0) };
    let order = StartOrder { fresh: true, priority: Priority::Normal, fan: 0, below: 0 };
    let tier = Tier::Standard;
    let demands = [
        ("idle", Demand::Idle),
        ("open chain", Demand::Open { yields: false }),
        ("open chain, suspended", Demand::Open { yields: true }),
        ("wants", Demand::Wants { tier, chain: false, pool: Pool::Worker, order }),
        ("wants, with a chain", Demand::Wants { tier, chain: true, pool: Pool::Worker, order }),
        ("live", Demand::Live { tier, chain: false }),
        ("live, with a chain", Demand::Live { tier, chain: true }),
    ];
    let show = |dispatcher: &Dispatcher| {
        dispatcher.check(&Limits::default()).unwrap();
        format!("run {}, chain {}, waits {}", dispatcher.runs(), dispatcher.chains(), dispatcher.waiting())
    };
    let states: Vec<(&str, Dispatcher)> = demands
        .iter()
        .map(|(name, demand)| {
            let mut dispatcher = Dispatcher::default();
            if matches!(demand, Demand::Open { yields: false }) {
                dispatcher.update(place, Demand::Live { tier, chain: true });
            }
            dispatcher.update(place, *demand);
            (*name, dispatcher)
        })
        .collect();
    type Change = Box<dyn Fn(&mut Dispatcher)>;
    let mut inputs: Vec<(String, Change)> = Vec::new();
    for (name, demand) in demands {
        inputs.push((format!("now {name}"), Box::new(move |d| d.update(place, demand))));
    }
    inputs.push((
        "its process is being stopped".to_owned(),
        Box::new(move |d| {
            d.update(place, Demand::Idle);
            d.stopping(place, tier);
        }),
    ));
    inputs.push(("its process is gone".to_owned(), Box::new(move |d| d.stopped(place))));
    let of = |before: &Dispatcher, change: &Change| {
        let mut dispatcher = before.clone();
        change(&mut dispatcher);
        show(&dispatcher)
    };
    let text = format!(
        "# The dispatcher\n\nMade by the test `transitions` of `enki-core`; never edited by hand. What one step holds of the \
         permits after its demand changed from the column to the line.\n\n{}\n{}",
        table(&states, &inputs, of),
        order_of_overlaps()
    );
    snapshot("dispatcher.md", &text);
}

/// Which of two steps starts first, while a third is on `src/a`.
fn order_of_overlaps() -> String {
    let place = |n| Place { execution: ExecutionId::new(1), step: StepIx(n) };
    let scope = |path: &str| {
        let spec = json!({"steps": [step("x", json!({"scope": {"files": [path]}}))]});
        World::new(Limits::default()).submission(spec, &[]).plan.scope(StepIx(0)).cloned()
    };
    let claim = |path: &str| scope(path).map(|scope| Claim { target: "main".parse().unwrap(), scope });
    let wants = |priority, fresh| Demand::Wants {
        tier: Tier::Standard,
        chain: false,
        pool: Pool::Worker,
        order: StartOrder { fresh, priority, fan: 0, below: 0 },
    };
    let firsts = [
        ("src/a", ("src/a", wants(Priority::Normal, true))),
        ("src", ("src", wants(Priority::Normal, true))),
        ("src/a, high", ("src/a", wants(Priority::High, true))),
        ("src/a, begun already", ("src/a", wants(Priority::Normal, false))),
    ];
    let seconds = [
        ("no scope", ("", wants(Priority::Normal, true))),
        ("src/b", ("src/b", wants(Priority::Normal, true))),
        ("src/b, low", ("src/b", wants(Priority::Low, true))),
        ("src/a/deep", ("src/a/deep", wants(Priority::Normal, true))),
    ]
    .map(|(name, second)| (name.to_owned(), second));
    let of = |first: &(&str, Demand), second: &(&str, Demand)| {
        let mut dispatcher = Dispatcher::default();
        dispatcher.claim(place(0), claim("src/a"), true);
        for (n, (path, demand)) in [(1, first), (2, second)] {
            dispatcher.claim(place(n), claim(path), false);
            dispatcher.update(place(n), *demand);
        }
        let next = dispatcher.next(&Limits::default(), Timestamp(0)).unwrap();
        if next == place(1) { "the first".to_owned() } else { "the second".to_owned() }
    };
    format!(
        "Which of two steps starts first while a third is on `src/a`: the column is the first in the order otherwise, \
         the line the second.\n\n{}",
        table(&firsts, &seconds, of)
    )
}
