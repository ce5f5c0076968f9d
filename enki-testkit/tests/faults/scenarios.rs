//! The scenarios: what agents do, and what a person asks for on the way.

use crate::world::{GATE, World, main};
use enki_core::agent::{AgentEnd, AgentExit, Usage};
use enki_core::budget::{Budget, BudgetOf};
use enki_core::driver::{DriverError, NoticeKind, Orchestrator, Shutdown, Submission};
use enki_core::engine::Engine;
use enki_core::execution::{Answer, Command, RetryMode};
use enki_core::id::{ExecutionId, StepIx};
use enki_core::plan::PlanLimits;
use enki_core::refinery::Gate;
use enki_core::tier::Purpose;
use enki_core::time::Timestamp;
use enki_testkit::fakes::Script;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// What the fakes do.
    pub(crate) world: fn(&mut World),
    /// What a person does, in order.
    pub(crate) script: fn() -> Vec<Act>,
    pub(crate) executions: usize,
    /// Whether a person cancels something.
    pub(crate) cancels: bool,
}

/// Something a person does once its moment has come.
pub(crate) struct Act {
    pub(crate) name: &'static str,
    pub(crate) when: When,
    pub(crate) does: Do,
}

type When =
    Box<dyn for<'a> Fn(&'a Orchestrator, &'a [ExecutionId]) -> BoxFuture<'a, Result<bool, DriverError>> + Send + Sync>;
type Wanted = Arc<dyn Fn(&Engine, &[ExecutionId]) -> Option<(ExecutionId, Command)> + Send + Sync>;

pub(crate) enum Do {
    Submit(Box<dyn Fn() -> Submission + Send + Sync>),
    Command(Wanted),
    Outside(fn(&World)),
    Restart(Shutdown),
}

/// A look at an execution of the scenario, by its number.
type Look = fn(&Engine, ExecutionId) -> bool;

fn at_once() -> When {
    Box::new(|_, _| futures::future::ready(Ok(true)).boxed())
}

/// Once that is so; never, if everything rests before.
fn once(of: usize, so: Look) -> When {
    Box::new(move |enki, all| {
        async move {
            let mut notices = enki.watch();
            let Some(id) = all.get(of).copied() else { return Ok(false) };
            loop {
                let (now, rests) = enki
                    .query(move |engine| (engine.execution(id).is_some() && so(engine, id), engine.at_rest(id)))
                    .await?;
                if now || rests {
                    return Ok(now);
                }
                loop {
                    match notices.recv().await {
                        Ok(notice) if matches!(notice.kind, NoticeKind::Turn) => break,
                        Ok(_) => {}
                        Err(RecvError::Lagged(_)) => break,
                        Err(RecvError::Closed) => return Err(DriverError::Stopped),
                    }
                }
            }
        }
        .boxed()
    })
}

fn submit(plan: &'static str) -> Act {
    submit_as(plan, |_| {})
}

fn submit_as(plan: &'static str, change: fn(&mut Submission)) -> Act {
    let submission = move || {
        let mut submission = Submission::new(serde_json::from_str(plan).unwrap(), main());
        submission.gate = Some(Gate::new(GATE, Duration::from_secs(600)));
        change(&mut submission);
        submission
    };
    Act { name: "submit", when: at_once(), does: Do::Submit(Box::new(submission)) }
}

fn command(name: &'static str, of: usize, when: Look, command: fn(&Engine, ExecutionId) -> Option<Command>) -> Act {
    let wanted = move |engine: &Engine, all: &[ExecutionId]| {
        let id = *all.get(of)?;
        Some((id, command(engine, id)?))
    };
    Act { name, when: once(of, when), does: Do::Command(Arc::new(wanted)) }
}

fn outside(name: &'static str, when: Look, change: fn(&World)) -> Act {
    Act { name, when: once(0, when), does: Do::Outside(change) }
}

fn word(engine: &Engine, id: ExecutionId, step: u32) -> &'static str {
    engine.execution(id).map_or("", |execution| execution.word(StepIx(step)))
}

fn status(engine: &Engine, id: ExecutionId) -> &'static str {
    engine.execution(id).map_or("", enki_core::execution::Execution::status)
}

/// Whether the agent of that step has begun.
fn works(engine: &Engine, id: ExecutionId, step: u32) -> bool {
    engine.execution(id).is_some_and(|execution| execution.step(StepIx(step)).live().is_some())
}

fn fails(message: &str, transient: bool) -> Script {
    Script::end(AgentEnd::new(AgentExit::Error { message: message.to_owned(), transient }))
}

/// Work that takes a while, so that there is a moment to say something.
fn slowly(file: &str) -> Script {
    Script::success("done").say("I see").wait(Duration::from_secs(3)).write(file, "x\n").wait(Duration::from_secs(1))
}

const fn nothing(_: &mut World) {}

/// The step of that name writes a report.
fn reports(world: &mut World) {
    world.agents.otherwise(|spec| {
        let script = Script::success("done");
        if spec.step.as_str() == "report" {
            script.write(format!(".enki/artifacts/{}/report.md", spec.execution), "# Findings\n")
        } else {
            script.write(format!("{}.txt", spec.step), "x\n")
        }
    });
}

const ONE: &str = r#"{"steps": [{"id": "a", "title": "A", "description": "a"}]}"#;
const OTHER: &str = r#"{"steps": [{"id": "z", "title": "Z", "description": "z"}]}"#;
const TWO: &str = r#"{"steps": [
    {"id": "a", "title": "A", "description": "a"},
    {"id": "b", "title": "B", "description": "b", "needs": ["a"]}]}"#;
const BESIDE: &str = r#"{"steps": [
    {"id": "a", "title": "A", "description": "a"},
    {"id": "b", "title": "B", "description": "b"}]}"#;
const DIAMOND: &str = r#"{"steps": [
    {"id": "a", "title": "A", "description": "a"},
    {"id": "b", "title": "B", "description": "b", "needs": ["a"]},
    {"id": "c", "title": "C", "description": "c", "needs": ["a"]},
    {"id": "d", "title": "D", "description": "d", "needs": ["b", "c"]}]}"#;
const AT_THE_END: &str = r#"{"land": "end", "steps": [
    {"id": "a", "title": "A", "description": "a"},
    {"id": "b", "title": "B", "description": "b", "needs": ["a"]}]}"#;
const REVIEWED: &str = r#"{"steps": [{"id": "a", "title": "A", "description": "a", "review": "code"}]}"#;
const TESTED: &str = r#"{"steps": [{"id": "a", "title": "A", "description": "a",
    "review": {"kind": "fix_loop", "command": "true", "max_fixes": 1}}]}"#;
const STRICT: &str = r#"{"steps": [{"id": "a", "title": "A", "description": "a",
    "review": {"kind": "code", "max_fixes": 0}}]}"#;
const CHECKPOINT: &str = r#"{"steps": [
    {"id": "a", "title": "A", "description": "a", "checkpoint": true},
    {"id": "b", "title": "B", "description": "b", "needs": ["a"]}]}"#;
const REPORT: &str = r#"{"steps": [
    {"id": "report", "title": "R", "description": "r", "role": "researcher"},
    {"id": "e", "title": "E", "description": "e", "needs": ["report"]}]}"#;
const DEAR: &str = r#"{"steps": [
    {"id": "a", "title": "A", "description": "a", "budget": {"run": {"tokens": 100}}}]}"#;
const FOUR: &str = r#"{"steps": [
    {"id": "a", "title": "A", "description": "a"}, {"id": "b", "title": "B", "description": "b"},
    {"id": "c", "title": "C", "description": "c"}, {"id": "d", "title": "D", "description": "d"}]}"#;
const CONFLICT: &str = r#"{"steps": [
    {"id": "conflict1", "title": "A", "description": "a"},
    {"id": "conflict2", "title": "B", "description": "b"}]}"#;
const LANDS_IN_CONFLICT: &str = r#"{"land": "end", "steps": [
    {"id": "conflict1", "title": "A", "description": "a"},
    {"id": "b", "title": "B", "description": "b", "needs": ["conflict1"]}]}"#;

/// All of them.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "one step", world: nothing, script: || vec![submit(ONE)], executions: 1, cancels: false },
    Scenario { name: "a diamond", world: nothing, script: || vec![submit(DIAMOND)], executions: 1, cancels: false },
    Scenario {
        name: "landing at the end",
        world: nothing,
        script: || vec![submit(AT_THE_END)],
        executions: 1,
        cancels: false,
    },
    Scenario {
        name: "a review with a fix",
        world: |world| {
            world.agents.otherwise(|spec| match (spec.purpose, spec.attempt.0) {
                (Purpose::Review, n) if n < 4 => Script::success("not yet\nVERDICT: REVISE\nSCORE: 5/10"),
                (Purpose::Review, _) => Script::success("VERDICT: PASS\nSCORE: 10/10"),
                (_, n) => Script::success("").write("a.txt", format!("{n}\n")),
            });
        },
        script: || vec![submit(REVIEWED)],
        executions: 1,
        cancels: false,
    },
    Scenario {
        name: "a review by a command",
        world: nothing,
        script: || vec![submit(TESTED)],
        executions: 1,
        cancels: false,
    },
    Scenario {
        name: "an escalated review that a person accepts",
        world: |world| {
            world.agents.script("a", Purpose::Review, Script::success("no\nVERDICT: REVISE\nSCORE: 5/10"));
            world.agents.script("a", Purpose::Review, Script::success("VERDICT: PASS\nSCORE: 10/10"));
        },
        script: || {
            let accept = |engine: &Engine, id| {
                (word(engine, id, 0) == "failed").then(|| Command::Accept {
                    step: StepIx(0),
                    by: "somebody".to_owned(),
                    why: "it will do".to_owned(),
                })
            };
            vec![submit(STRICT), command("accept", 0, |engine, id| word(engine, id, 0) == "failed", accept)]
        },
        executions: 1,
        cancels: false,
    },
    Scenario {
        name: "a checkpoint",
        world: nothing,
        script: || {
            let resume = |_: &Engine, _| Some(Command::Resume(None));
            vec![submit(CHECKPOINT), command("resume", 0, |engine, id| status(engine, id) == "held", resume)]
        },
        executions: 1,
        cancels: false,
    },
    Scenario {
        name: "steps added at a checkpoint",
        world: nothing,
        script: || {
            let held: Look = |engine, id| status(engine, id) == "held";
            let add = |engine: &Engine, id: ExecutionId| {
                let steps = serde_json::from_str::<Vec<_>>(
                    r#"[{"id": "c", "title": "C", "description": "c", "needs": ["a", "b"]}]"#,
                );
                let plan = engine.execution(id)?.plan();
                plan.check_added(&steps.unwrap(), &PlanLimits::default(), &HashMap::new()).ok().map(Command::AddSteps)
            };
            let approve = |engine: &Engine, id: ExecutionId| {
                let hold = *engine.execution(id)?.holds().keys().next()?;
                Some(Command::Decide { hold, answer: Answer::Approve, committing: Vec::new() })
            };
            vec![submit(CHECKPOINT), command("add", 0, held, add), command("approve", 0, held, approve)]
        },
        executions: 1,
        cancels: false,
    },
    Scenario {
        name: "a checkpoint that is rejected",
        world: nothing,
        script: || {
            let reject = |engine: &Engine, id: ExecutionId| {
                let hold = *engine.execution(id)?.holds().keys().next()?;
                Some(Command::Decide { hold, answer: Answer::Reject, committing: Vec::new() })
            };
            vec![submit(CHECKPOINT), command("reject", 0, |engine, id| status(engine, id) == "held", reject)]
        },
        executions: 1,
        cancels: true,
    },
    Scenario {
        name: "an approval before anything starts",
        world: nothing,
        script: || {
            let approve = |engine: &Engine, id: ExecutionId| {
                let hold = *engine.execution(id)?.holds().keys().next()?;
                Some(Command::Decide { hold, answer: Answer::Approve, committing: Vec::new() })
            };
            let held: Look = |engine, id| !engine.execution(id).is_none_or(|execution| execution.holds().is_empty());
            vec![submit_as(TWO, |submission| submission.approval = true), command("approve", 0, held, approve)]
        },
        executions: 1,
        cancels: false,
    },
    Scenario {
        name: "a step that fails and is tried again",
        world: |world| {
            world.agents.script("b", Purpose::Work, fails("boom", false));
            world.agents.script("b", Purpose::Work, Script::success("").write("b.txt", "y\n"));
        },
        script: || {
            let retry = |_: &Engine, _| {
                Some(Command::Retry { step: StepIx(1), mode: Some(RetryMode::Fresh), note: Some("mind".to_owned()) })
            };
            vec![submit(DIAMOND), command("retry", 0, |engine, id| word(engine, id, 1) == "failed", retry)]
        },
        executions: 1,
        cancels: false,
    },
    Scenario {
        name: "an agent that has bad luck",
        world: |world| {
            world.agents.script("a", Purpose::Work, fails("the network is down", true));
            world.agents.script("a", Purpose::Work, Script::success("").write("a.txt", "y\n"));
        },
        script: || vec![submit(TWO)],
        executions: 1,
        cancels: false,
    },
    Scenario {
        name: "a limit of the service",
        world: |world| {
            let until = Timestamp(1_700_000_000_000).plus(Duration::from_secs(60));
            for step in ["a", "b"] {
                let limited = AgentEnd::new(AgentExit::RateLimited { until });
                world.agents.script(step, Purpose::Work, Script::end(limited));
                world.agents.script(step, Purpose::Work, slowly(if step == "a" { "a.txt" } else { "b.txt" }));
            }
        },
        script: || vec![submit(BESIDE)],
        executions: 1,
        cancels: false,
    },
    Scenario {
        name: "a pause while a step runs",
        world: |world| {
            world.agents.script("a", Purpose::Work, slowly("a.txt"));
        },
        script: || {
            vec![
                submit(TWO),
                command("pause", 0, |engine, id| works(engine, id, 0), |_, _| Some(Command::Pause(None))),
                command(
                    "resume",
                    0,
                    |engine, id| status(engine, id) == "paused" && word(engine, id, 0) == "done",
                    |_, _| Some(Command::Resume(None)),
                ),
            ]
        },
        executions: 1,
        cancels: false,
    },
    Scenario {
        name: "a stop while a step runs",
        world: |world| {
            world.agents.script("a", Purpose::Work, slowly("a.txt"));
        },
        script: || {
            vec![
                submit(TWO),
                command("stop", 0, |engine, id| works(engine, id, 0), |_, _| Some(Command::Stop)),
                command(
                    "resume",
                    0,
                    |engine, id| engine.execution(id).is_some_and(|e| e.is_paused()) && !works(engine, id, 0),
                    |_, _| Some(Command::Resume(None)),
                ),
            ]
        },
        executions: 1,
        cancels: false,
    },
    Scenario {
        name: "a step that is given up",
        world: |world| {
            world.agents.script("b", Purpose::Work, slowly("b.txt"));
        },
        script: || {
            let cancel = |_: &Engine, _| Some(Command::Cancel { step: Some(StepIx(1)), committing: Vec::new() });
            vec![submit(BESIDE), command("cancel", 0, |engine, id| works(engine, id, 1), cancel)]
        },
        executions: 1,
        cancels: true,
    },
    Scenario {
        name: "an execution that is given up",
        world: |world| {
            world.agents.script("b", Purpose::Work, slowly("b.txt"));
        },
        script: || {
            let cancel = |_: &Engine, _| Some(Command::Cancel { step: None, committing: Vec::new() });
            vec![submit(TWO), command("cancel", 0, |engine, id| works(engine, id, 1), cancel)]
        },
        executions: 1,
        cancels: true,
    },
    Scenario {
        name: "a batch of four",
        world: |world| {
            world.limits.max_batch = 4;
            world.limits.adaptive_batch = false;
            world.limits.window = 2;
        },
        script: || vec![submit(FOUR)],
        executions: 1,
        cancels: false,
    },
    Scenario {
        name: "a batch with one that breaks the gate",
        world: |world| {
            world.limits.max_batch = 4;
            world.limits.adaptive_batch = false;
            world.agents.script("c", Purpose::Work, Script::success("").write("c.txt", "BAD\n"));
            world.agents.script("c", Purpose::Work, Script::success("").write("c.txt", "good\n"));
        },
        script: || vec![submit(FOUR)],
        executions: 1,
        cancels: false,
    },
    Scenario {
        name: "a conflict between two steps",
        world: |world| {
            for step in ["conflict1", "conflict2"] {
                let text = format!("{step}\ntwo\n");
                world.agents.script(step, Purpose::Work, Script::success("").write("shared.txt", text));
                world.agents.script(step, Purpose::Resolve, Script::success("").write("shared.txt", "both\ntwo\n"));
            }
        },
        script: || vec![submit(CONFLICT)],
        executions: 1,
        cancels: false,
    },
    Scenario {
        name: "a landing in conflict with what a person did",
        world: |world| {
            world.agents.script("conflict1", Purpose::Work, Script::success("").write("shared.txt", "ours\ntwo\n"));
            world.agents.script("b", Purpose::Work, slowly("b.txt"));
            world.agents.otherwise(|spec| match spec.purpose {
                Purpose::Resolve => Script::success("").write("shared.txt", "both\ntwo\n"),
                _ => Script::success("").write(format!("{}.txt", spec.step), "x\n"),
            });
        },
        script: || {
            let moves: fn(&World) = |world| {
                world.repository.edit(&main(), &[("shared.txt", Some("theirs\ntwo\n"))], "by a person");
            };
            vec![submit(LANDS_IN_CONFLICT), outside("move main", |engine, id| works(engine, id, 1), moves)]
        },
        executions: 1,
        cancels: false,
    },
    Scenario {
        name: "a target that a person has checked out",
        world: |world| world.judge.checked_out.store(true, Ordering::Relaxed),
        script: || {
            let held: Look = |engine, id| !engine.execution(id).is_none_or(|execution| execution.holds().is_empty());
            let put_away: fn(&World) = |world| world.judge.checked_out.store(false, Ordering::Relaxed);
            vec![submit(TWO), outside("put the changes away", held, put_away)]
        },
        executions: 1,
        cancels: false,
    },
    Scenario {
        name: "an artifact that another step builds on",
        world: reports,
        script: || vec![submit(REPORT)],
        executions: 1,
        cancels: false,
    },
    Scenario {
        name: "a budget that is used up, and raised",
        world: |world| {
            let usage = |tokens: u64| -> Usage {
                serde_json::from_value(serde_json::json!({ "output_tokens": tokens })).unwrap()
            };
            let endless = Script::chatter(Duration::from_secs(1)).uses(usage(60)).write("a.txt", "half\n");
            world.agents.script("a", Purpose::Work, endless.uses(usage(120)));
            world.agents.script("a", Purpose::Work, Script::success("done").write("a.txt", "whole\n"));
        },
        script: || {
            let more = |_: &Engine, _| {
                let budget = Budget { tokens: Some(1000), ..Budget::default() };
                Some(Command::Budget { of: BudgetOf::Run(StepIx(0)), budget })
            };
            let retry = |_: &Engine, _| Some(Command::Retry { step: StepIx(0), mode: None, note: None });
            let failed: Look = |engine, id| word(engine, id, 0) == "failed";
            vec![submit(DEAR), command("raise", 0, failed, more), command("retry", 0, failed, retry)]
        },
        executions: 1,
        cancels: false,
    },
    Scenario {
        name: "three executions at once",
        world: |world| {
            world.limits.runs = 2;
            reports(world);
        },
        script: || vec![submit(TWO), submit(REPORT), submit(OTHER)],
        executions: 3,
        cancels: false,
    },
    Scenario {
        name: "an orchestrator that is shut down and another one",
        world: |world| {
            world.agents.script("a", Purpose::Work, slowly("a.txt"));
        },
        script: || {
            let restart = |how| Act { name: "restart", when: once(0, |e, id| works(e, id, 0)), does: Do::Restart(how) };
            vec![submit(TWO), restart(Shutdown::Kill), restart(Shutdown::Drain)]
        },
        executions: 1,
        cancels: false,
    },
    Scenario {
        name: "what was learnt is told to the next",
        world: |world| {
            world.agents.script("b", Purpose::Work, fails("the table is locked", false));
            world.agents.script("b", Purpose::Work, Script::success("done").write("b.txt", "x\n"));
        },
        script: || {
            let retry = |_: &Engine, _| Some(Command::Retry { step: StepIx(1), mode: None, note: None });
            vec![submit(TWO), command("retry", 0, |engine, id| word(engine, id, 1) == "failed", retry), submit(OTHER)]
        },
        executions: 2,
        cancels: false,
    },
];
