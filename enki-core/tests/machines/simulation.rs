//! Random plans, random inputs, random answers and crashes: the invariants hold after every input, and once the faults
//! end, everything comes to an end.

use crate::world::{World, report, step, tokens_of};
use enki_core::budget::{Budget, BudgetOf, Unit};
use enki_core::engine::{Effect, Input, QueueJob};
use enki_core::execution::{Answer, Command, EndStatus, HoldReason, NeedState, Outcome, Report, RetryMode};
use enki_core::id::{ExecutionId, StepIx};
use enki_core::limits::Limits;
use enki_core::merge_queue::{self, QueuePause};
use enki_core::plan::External;
use enki_core::refinery::{Build, Check, TargetState};
use enki_core::verdict::{self, Verdict};
use proptest::prelude::*;
use serde_json::json;
use std::time::Duration;

/// Something that happens. The numbers choose among what there is at that moment.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// What is in flight is answered as it should be.
    Succeed(u8),
    /// What is in flight is answered in some other way.
    Fault(u8, u8),
    Live(u8),
    /// A live attempt used so many tokens more.
    Spend(u8, u8),
    /// Somebody gives more, to an execution, a step or its runs.
    Raise(u8, u8, u8),
    /// A report that nobody waits for.
    Late(u8, u8),
    Wait(u16),
    Pause(u8, Option<u8>),
    Resume(u8, Option<u8>),
    Cancel(u8, Option<u8>),
    Retry(u8, u8, u8),
    Decide(u8, u8),
    Accept(u8, u8),
    Stop(u8),
    Land(u8),
    Add(u8, u8),
    Push,
    Queue(u8),
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    let byte = any::<u8>;
    let step = || prop::option::of(any::<u8>());
    prop_oneof![
        30 => byte().prop_map(Op::Succeed),
        12 => (byte(), byte()).prop_map(|(a, b)| Op::Fault(a, b)),
        4 => byte().prop_map(Op::Live),
        6 => (byte(), byte()).prop_map(|(a, b)| Op::Spend(a, b)),
        2 => (byte(), byte(), byte()).prop_map(|(a, b, c)| Op::Raise(a, b, c)),
        2 => (byte(), byte()).prop_map(|(a, b)| Op::Late(a, b)),
        5 => any::<u16>().prop_map(Op::Wait),
        2 => (byte(), step()).prop_map(|(a, b)| Op::Pause(a, b)),
        4 => (byte(), step()).prop_map(|(a, b)| Op::Resume(a, b)),
        1 => (byte(), step()).prop_map(|(a, b)| Op::Cancel(a, b)),
        5 => (byte(), byte(), byte()).prop_map(|(a, b, c)| Op::Retry(a, b, c)),
        2 => (byte(), byte()).prop_map(|(a, b)| Op::Decide(a, b)),
        4 => (byte(), byte()).prop_map(|(a, b)| Op::Accept(a, b)),
        1 => byte().prop_map(Op::Stop),
        2 => byte().prop_map(Op::Land),
        2 => (byte(), byte()).prop_map(|(a, b)| Op::Add(a, b)),
        1 => Just(Op::Push),
        1 => byte().prop_map(Op::Queue),
        2 => Just(Op::Crash),
    ]
}

/// A step of a random plan: what it needs among those before it, and its kind.
type Shape = (Vec<(u8, u8)>, u8);

fn shape() -> impl Strategy<Value = Vec<Shape>> {
    prop::collection::vec((prop::collection::vec((any::<u8>(), 0u8..4), 0..3), any::<u8>()), 1..7)
}

fn condition(n: u8) -> &'static str {
    ["started", "completed", "merged", "merged"][usize::from(n) % 4]
}

fn plan(shapes: &[Shape], end: bool, outside: Option<&str>) -> serde_json::Value {
    let steps: Vec<_> = shapes
        .iter()
        .enumerate()
        .map(|(n, (needs, kind))| {
            let mut more = json!({});
            let mut on: Vec<(usize, u8)> = Vec::new();
            for (which, condition) in needs.iter().filter(|_| n > 0) {
                let which = usize::from(*which) % n;
                if on.iter().all(|(known, _)| *known != which) {
                    on.push((which, *condition));
                }
            }
            let mut needs: Vec<_> =
                on.iter().map(|(w, c)| json!({"step": format!("s{w}"), "condition": condition(*c)})).collect();
            if let Some(task) = outside.filter(|_| kind % 5 == 4) {
                needs.push(json!({"task": task, "condition": condition(*kind / 5)}));
            }
            more["needs"] = json!(needs);
            if kind % 3 == 0 {
                more["review"] = json!({"max_fixes": kind / 3 % 3});
            }
            if kind % 7 == 0 {
                more["checkpoint"] = json!(true);
            }
            if kind % 11 == 0 {
                more["role"] = json!("researcher");
            }
            if kind % 4 == 0 {
                more["done_when"] = json!("it works");
            }
            if kind % 6 == 5 {
                more["budget"] = json!({"tokens": 60 + u64::from(*kind), "run": {"tokens": 40 + u64::from(*kind)}});
            }
            more["tier"] = json!(["light", "standard", "heavy"][usize::from(*kind) % 3]);
            step(&format!("s{n}"), more)
        })
        .collect();
    let budget = shapes.len().is_multiple_of(2).then(|| json!({"tokens": 100 * shapes.len()}));
    json!({"title": "a plan", "budget": budget, "land": if end { "end" } else { "each" }, "steps": steps})
}

fn pick<T: Copy>(all: &[T], n: u8) -> Option<T> {
    (!all.is_empty()).then(|| all[usize::from(n) % all.len()])
}

fn perform(world: &mut World, ids: &[ExecutionId], op: Op) {
    let execution = |n: u8| ids[usize::from(n) % ids.len()];
    let at = |world: &World, id: ExecutionId, n: u8| StepIx::at(usize::from(n) % world.of(id).steps().len());
    match op {
        Op::Succeed(n) => {
            if let Some(effect) = pick(&world.flying, n) {
                world.answer(effect);
            }
        }
        Op::Fault(n, how) => {
            if let Some(effect) = pick(&world.flying, n) {
                fault(world, effect, how);
            }
        }
        Op::Live(n) => {
            if let Some(Effect::Attempt(place, attempt)) = pick(&world.flying, n) {
                let session = (n % 2 == 0).then(|| format!("session {n}"));
                world.report(place.execution, Report::Live { step: place.step, attempt, session }).unwrap();
            }
        }
        Op::Spend(n, tokens) => {
            if let Some(Effect::Attempt(place, attempt)) = pick(&world.flying, n) {
                let used = world.of(place.execution).step(place.step).spent;
                let usage = used.plus(tokens_of(u64::from(tokens)));
                world.report(place.execution, Report::Spent { step: place.step, attempt, usage }).unwrap();
            }
        }
        Op::Raise(n, step, by) => {
            let id = execution(n);
            let step = at(world, id, step);
            let of = [BudgetOf::Execution, BudgetOf::Step(step), BudgetOf::Run(step)][usize::from(by) % 3];
            raise(world, id, of, u64::from(by));
        }
        Op::Late(n, how) => {
            let id = execution(n);
            let step = at(world, id, how);
            let attempt = enki_core::id::AttemptNo(world.of(id).step(step).attempts + 1);
            let end = world.ending(Outcome::Changed, attempt);
            let before = world.logs.clone();
            assert!(world.ended(id, step, attempt, end).unwrap_err().is_stale());
            assert!(world.logs == before || world.engine.stale_reports() > 0);
        }
        Op::Wait(seconds) => world.wait(Duration::from_millis(u64::from(seconds) * 10)),
        Op::Pause(n, step) => {
            let id = execution(n);
            let step = step.map(|s| at(world, id, s));
            let _ = world.command(id, Command::Pause(step));
        }
        Op::Resume(n, step) => {
            let id = execution(n);
            let step = step.map(|s| at(world, id, s));
            let _ = world.command(id, Command::Resume(step));
        }
        Op::Cancel(n, step) => {
            let id = execution(n);
            let step = step.map(|s| at(world, id, s));
            let _ = world.command(id, Command::Cancel { step, committing: vec![] });
        }
        Op::Retry(n, step, mode) => {
            let id = execution(n);
            let step = at(world, id, step);
            let mode = [None, Some(RetryMode::Continue), Some(RetryMode::Fresh)][usize::from(mode) % 3];
            let _ = world.command(id, Command::Retry { step, mode, note: None });
        }
        Op::Decide(n, how) => {
            let id = execution(n);
            let holds: Vec<_> = world.of(id).holds().keys().copied().collect();
            if let Some(hold) = pick(&holds, n) {
                let answer = match how % 8 {
                    0 => Answer::Reject,
                    1 => Answer::Text("go on".to_owned()),
                    _ => Answer::Approve,
                };
                let money = world.of(id).holds()[&hold] == HoldReason::Budget && answer != Answer::Reject;
                let answered = world.command(id, Command::Decide { hold, answer, committing: vec![] });
                assert_eq!(answered.is_err(), money, "only more of a budget answers its hold: {answered:?}");
            }
        }
        Op::Accept(n, step) => {
            let id = execution(n);
            let (step, by, why) = (at(world, id, step), "somebody".to_owned(), "it will do".to_owned());
            let _ = world.command(id, Command::Accept { step, by, why });
        }
        Op::Stop(n) => {
            let _ = world.command(execution(n), Command::Stop);
        }
        Op::Land(n) => {
            let _ = world.command(execution(n), Command::Land);
        }
        Op::Add(n, on) => add(world, execution(n), on),
        Op::Push => {
            let main = world.main();
            world.push_to(&main);
        }
        Op::Queue(how) => {
            let id = enki_core::engine::QueueId::of(&world.main());
            let input = match how % 3 {
                0 => merge_queue::Input::Pause(QueuePause::Person),
                1 => merge_queue::Input::Resume,
                _ => merge_queue::Input::Seen(world.head(&world.main())),
            };
            // News of the target that comes while it is looked at is the answer to that.
            if matches!(input, merge_queue::Input::Seen(_)) {
                let look = merge_queue::EffectKind::Look;
                world.flying.retain(|e| !matches!(e, Effect::Queue(q, effect) if *q == id && effect.kind == look));
            }
            let _ = world.input(Input::Queue(id, input));
        }
        Op::Crash => world.crash(),
    }
}

/// Gives so much more than is used now.
fn raise(world: &mut World, id: ExecutionId, of: BudgetOf, more: u64) {
    let used = match of {
        BudgetOf::Execution => world.of(id).usage(),
        BudgetOf::Step(step) | BudgetOf::Run(step) => world.of(id).step(step).usage,
    };
    let tokens = Some(used.of(Unit::Tokens) + 1 + more);
    let _ = world.command(id, Command::Budget { of, budget: Budget { tokens, cost_micro_usd: None } });
}

/// A little chain of new steps below an old one, the last of them given first.
fn add(world: &mut World, id: ExecutionId, on: u8) {
    let count = world.of(id).steps().len();
    if count > 12 {
        return;
    }
    let old = world.of(id).plan().steps()[usize::from(on) % count].id.to_string();
    let name = |n: usize| format!("added{}", count + n);
    let steps = json!([
        step(&name(0), json!({"needs": [name(1)]})),
        step(&name(1), json!({"needs": [{"step": old, "condition": condition(on / 16)}]})),
    ]);
    let steps = world.added(id, steps);
    let _ = world.command(id, Command::AddSteps(steps));
}

fn fault(world: &mut World, effect: Effect, how: u8) {
    let text = || format!("fault {how}");
    match effect {
        Effect::Open(id) => {
            world.flying.retain(|flying| *flying != effect);
            world.report(id, Report::OpenFailed(text())).unwrap();
        }
        Effect::Attempt(place, attempt) => {
            let review = Outcome::Reviewed(match how % 4 {
                0 => Verdict::of(verdict::Gate::Fail),
                1 => Verdict::default(),
                _ => Verdict::of(verdict::Gate::Revise),
            });
            let outcome = match how % 20 {
                0 => Outcome::NoChange,
                1 => Outcome::AgentError { message: text(), transient: how > 40 },
                2 => Outcome::NoResult,
                3 => Outcome::Declined { message: text() },
                4 => Outcome::TimedOut,
                5 => Outcome::Stuck,
                6 => Outcome::Lost,
                7 => Outcome::Killed,
                8 => Outcome::RateLimited { until: world.now.plus(Duration::from_secs(u64::from(how))) },
                9 => Outcome::OutputLimit,
                10 => Outcome::Void { paths: vec![text()] },
                11 => Outcome::NotStarted { reason: text() },
                12 => Outcome::Workspace { reason: text() },
                13 => Outcome::Policy { reason: text() },
                14 => Outcome::NoArtifact,
                15 => Outcome::Unresolved { paths: vec![text()] },
                16 => Outcome::Tampered { what: vec![text()] },
                17 => Outcome::Unavailable { until: enki_core::time::Timestamp::default(), reason: text() },
                _ => review,
            };
            let end = world.ending(outcome, attempt);
            world.ended(place.execution, place.step, attempt, end).unwrap();
        }
        Effect::Queue(id, inner) => {
            let Some(job) = world.engine.queue_job(id, inner) else { return };
            world.flying.retain(|flying| *flying != effect);
            let failed = Check::Failed { log: text() };
            let answer = match (&job, how % 4) {
                (QueueJob::Inspect(branch, candidate), _) => {
                    let state = TargetState { head: world.head(branch), contains: how % 4 < 2, was_there: false };
                    let _ = candidate;
                    world.input(Input::Queue(id, merge_queue::Input::Inspected { state, rebooted: false })).unwrap();
                    return;
                }
                (QueueJob::Predict(_, of, others), _) => {
                    let all: Vec<_> = of.iter().chain(others).map(|(request, _)| *request).collect();
                    let known: Vec<_> = of.iter().map(|(request, _)| *request).collect();
                    let clashes = if all.len() > 1 { vec![(all[0], all[all.len() - 1])] } else { Vec::new() };
                    let off = if how.is_multiple_of(2) { vec![known[0]] } else { Vec::new() };
                    merge_queue::Report::Predicted { of: known, clashes, off }
                }
                (QueueJob::Try(_, change, _), _) => {
                    let (request, paths) = (change.request, vec![text()]);
                    merge_queue::Report::Tried(request, Build::Conflict { request, paths, hunks: text() })
                }
                (QueueJob::Look(_), _) => {
                    world.input(Input::Queue(id, merge_queue::Input::Seen(None))).unwrap();
                    return;
                }
                (_, 0) => merge_queue::Report::Failed(text()),
                (QueueJob::Import(_, changes), _) => {
                    merge_queue::Report::ImportRefused { request: changes[0].request, policy: text() }
                }
                (QueueJob::Build(.., changes, _), 1 | 2) => {
                    let (request, paths) = (changes[usize::from(how) % changes.len()].request, vec![text()]);
                    merge_queue::Report::Built(Build::Conflict { request, paths, hunks: text() })
                }
                (QueueJob::Build(..), _) => merge_queue::Report::Built(Build::Empty),
                (QueueJob::Check(..), 1) => merge_queue::Report::Checked(Check::Unknown { reason: text() }),
                (QueueJob::Check(..), 2) => merge_queue::Report::Checked(Check::TimedOut { log: text() }),
                (QueueJob::Check(..), _) => merge_queue::Report::Checked(failed),
                (QueueJob::CheckBase(..), 1) => merge_queue::Report::BaseChecked(Check::Unknown { reason: text() }),
                (QueueJob::CheckBase(..), _) => merge_queue::Report::BaseChecked(failed),
                (QueueJob::CheckOldBase(..), 1) => {
                    merge_queue::Report::OldBaseChecked(Check::Unknown { reason: text() })
                }
                (QueueJob::CheckOldBase(..), _) => merge_queue::Report::OldBaseChecked(failed),
                (QueueJob::Publish(..), 1) => {
                    merge_queue::Report::Blocked { reason: text(), command: "git merge".to_owned() }
                }
                (QueueJob::Publish(_, branch, ..), how) => {
                    let head = world.head(branch).filter(|_| how == 2);
                    merge_queue::Report::Moved(TargetState { head, contains: false, was_there: how == 3 })
                }
                (job, _) => unreachable!("{job:?}"),
            };
            world.input(report(id, inner, answer)).unwrap();
        }
    }
}

fn run(shapes: &[Vec<Shape>], land_end: bool, after: u8, ops: &[Op], narrow: bool) -> World {
    let mut limits = Limits::default();
    if narrow {
        (limits.runs, limits.runs_by_tier, limits.chains) = (2, [2, 1, 1], 1);
    }
    (limits.max_batch, limits.window) = (1 + u32::from(after % 4), 1 + u32::from(after / 4 % 3));
    limits.adaptive_batch = after.is_multiple_of(7);
    let mut world = World::new(limits);
    let mut ids: Vec<ExecutionId> = Vec::new();
    for shapes in shapes {
        let before = ids.last().copied();
        let outside = before.map(|execution| {
            let step =
                after.is_multiple_of(2).then(|| StepIx::at(usize::from(after) % world.of(execution).steps().len()));
            ("outside", External { execution, step })
        });
        let mut submitted = world.submission(plan(shapes, land_end, outside.map(|(name, _)| name)), outside.as_slice());
        submitted.approval = after % 9 == 8;
        if after % 5 == 1 {
            submitted.start_at = Some(world.now.plus(Duration::from_secs(30)));
        }
        if let Some(before) = before.filter(|_| after % 3 == 2) {
            let when =
                if after % 4 < 2 { enki_core::spec::AfterWhen::Any } else { enki_core::spec::AfterWhen::Success };
            submitted.after = Some((before, when));
        }
        ids.push(world.submit_as(submitted));
    }
    for op in ops {
        perform(&mut world, &ids, *op);
    }
    world
}

/// Takes away all that people or faults put in the way, and lets it go on until nothing happens any more.
fn heal(world: &mut World) {
    let ids: Vec<ExecutionId> = world.engine.executions().map(|e| e.id()).collect();
    for _ in 0..20 {
        let main = enki_core::engine::QueueId::of(&world.main());
        let _ = world.input(Input::Queue(main, merge_queue::Input::Resume));
        for id in &ids {
            for n in 0..world.of(*id).steps().len() {
                let _ = world.command(*id, Command::Resume(Some(StepIx::at(n))));
            }
            raise(world, *id, BudgetOf::Execution, 1_000);
            let _ = world.command(*id, Command::Resume(None));
        }
        world.drain();
    }
    let dead = |world: &World, id: ExecutionId| {
        let execution = world.of(id);
        let before = execution.after().is_some_and(|(b, _)| world.of(b).ended() != Some(EndStatus::Done));
        let mut outside = execution.plan().externals().iter().zip(execution.externals());
        let lost = |(external, _): &(External, Vec<_>), state: NeedState| {
            let done = world.of(external.execution).ended() == Some(EndStatus::Done);
            state == NeedState::Dead || (state != NeedState::Landed && !done)
        };
        before || outside.any(|(external, state)| lost(external, *state))
    };
    for id in ids {
        let execution = world.of(id);
        if execution.ended().is_none() {
            assert!(dead(world, id), "R8: {} steps {:?}", execution.status(), world.words(id));
            assert!(
                !execution.waiting_for().is_empty(),
                "I17: {} is silent, steps {:?}",
                execution.status(),
                world.words(id)
            );
        }
    }
    assert_eq!(world.engine.dispatcher().runs(), 0, "I4: a permit was not returned");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_iters: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_after_every_input_and_everything_ends(
        shapes in prop::collection::vec(shape(), 1..3),
        land_end in any::<bool>(),
        after in any::<u8>(),
        narrow in any::<bool>(),
        ops in prop::collection::vec(op(), 0..150),
    ) {
        let mut world = run(&shapes, land_end, after, &ops, narrow);
        heal(&mut world);
    }

    #[test]
    fn the_same_inputs_give_the_same_bytes(
        shapes in prop::collection::vec(shape(), 1..3),
        after in any::<u8>(),
        ops in prop::collection::vec(op(), 0..60),
    ) {
        let (one, other) = (run(&shapes, false, after, &ops, true), run(&shapes, false, after, &ops, true));
        prop_assert_eq!(one.logs, other.logs);
        prop_assert_eq!(one.flying, other.flying);
    }
}

/// The queue that a closed hold lets go on is told once the whole answer is recorded: else the execution, whose only step
/// is cancelled, ends in between.
#[test]
fn an_answer_is_recorded_as_a_whole_before_anything_follows_from_it() {
    let ops = [Op::Succeed(0), Op::Succeed(0), Op::Fault(0, 0), Op::Cancel(0, Some(0)), Op::Decide(0, 0)];
    let mut world = run(&[vec![(vec![], 4)]], false, 2, &ops, false);
    heal(&mut world);
    let id = world.engine.executions().next().unwrap().id();
    assert_eq!(world.of(id).ended(), Some(EndStatus::Cancelled));
}
