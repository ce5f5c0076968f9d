//! The whole life of every step of a plan through the machines, in memory: decide, apply, dispatch, queues.

use enki_core::engine::{Effect, Engine, Input};
use enki_core::execution::{self, AttemptEnd, EndStatus, Outcome, ProjectKind, Submitted, Work};
use enki_core::id::{AttemptNo, CommitId, ExecutionId, TreeId};
use enki_core::limits::Limits;
use enki_core::merge_queue::{self, EffectKind};
use enki_core::plan::Plan;
use enki_core::refinery::{Build, Candidate};
use enki_core::time::Timestamp;
use std::sync::Arc;

/// What the agents of a run do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Agents {
    /// Nothing: the step is done without a merge.
    Idle,
    /// A change, which is built and merged, and lands at the end.
    Change,
}

/// Runs a plan to its end and gives the number of events it took.
///
/// # Panics
///
/// If the execution does not end as done: then there is nothing to measure.
#[must_use]
pub fn run(plan: Arc<Plan>, agents: Agents) -> usize {
    let now = Timestamp(1);
    let id = ExecutionId::new(1);
    let mut engine = Engine::new(Limits::default());
    let submitted = Submitted {
        id,
        target: "main".parse().expect("main is a branch"),
        land: enki_core::spec::Land::End,
        gate: None,
        origin: "bench".to_owned(),
        created: now,
        start_at: None,
        after: None,
        approval: false,
        project: ProjectKind::default(),
        plan,
    };
    engine.handle(Input::Submit(Box::new(submitted)), now).expect("the id is fresh");
    let mut events = 0;
    let mut commits: u64 = 1;
    loop {
        let turn = engine.turn(now);
        events += turn.appends.iter().map(|append| append.events.len()).sum::<usize>();
        if turn.start.is_empty() {
            break;
        }
        for effect in turn.start {
            let input = answer(&engine, id, effect, agents, &mut commits);
            engine.handle(input, now).expect("it was asked for");
        }
    }
    let ended = engine.execution(id).and_then(execution::Execution::ended);
    assert_eq!(ended, Some(EndStatus::Done), "the execution did not end");
    events
}

fn answer(engine: &Engine, id: ExecutionId, effect: Effect, agents: Agents, commits: &mut u64) -> Input {
    match effect {
        Effect::Open(id) => Input::Report(id, execution::Report::Opened(commit(0))),
        Effect::Attempt(place, attempt) => {
            let end = match agents {
                Agents::Idle => AttemptEnd::new(Outcome::NoChange),
                Agents::Change => {
                    *commits += 1;
                    let mut end = AttemptEnd::new(Outcome::Changed);
                    end.work = Some(Work {
                        base: commit(0),
                        commit: commit(*commits),
                        tree: tree(*commits),
                        attempt: AttemptNo(1),
                    });
                    end
                }
            };
            Input::Report(id, execution::Report::Ended { step: place.step, attempt, end: Box::new(end) })
        }
        Effect::Queue(queue, effect) => {
            let report = match effect.kind {
                EffectKind::Look => return Input::Queue(queue, merge_queue::Input::Seen(Some(commit(0)))),
                EffectKind::Import => merge_queue::Report::Imported,
                EffectKind::Build => {
                    *commits += 1;
                    let line = engine.queue_of(queue).and_then(|queue| queue.lines().next());
                    let base = line.map_or_else(|| commit(0), |line| line.base);
                    let candidate = Candidate { commit: commit(*commits), tree: tree(*commits), base };
                    let commits = vec![Some(candidate.commit)];
                    merge_queue::Report::Built(Build::Candidate { candidate, commits })
                }
                _ => merge_queue::Report::Published,
            };
            Input::Queue(queue, merge_queue::Input::Report(effect, report))
        }
    }
}

fn commit(n: u64) -> CommitId {
    format!("{n:040x}").parse().expect("forty hex digits")
}

fn tree(n: u64) -> TreeId {
    format!("{n:040x}").parse().expect("forty hex digits")
}
