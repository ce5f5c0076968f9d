//! What must hold after every input (model section 15). Unit, property and simulation tests call the same function.

use super::{Execution, HoldReason, NeedState, Run, Running, StepRun, StepState};
use crate::agent::Usage;
use crate::id::StepIx;
use crate::limits::Limits;
use crate::plan::NeedOn;
use crate::store::Counts;
use crate::tier::Purpose;
use crate::time::Timestamp;

/// Checks the state against itself, recomputing from scratch what is kept incrementally.
///
/// # Errors
///
/// The invariant that is broken, with the step.
pub fn check(execution: &Execution, limits: &Limits) -> Result<(), String> {
    let mut counts = Counts::default();
    for (at, step) in execution.steps.iter().enumerate() {
        let ix = StepIx::at(at);
        let name = &execution.plan.step(ix).id;
        let (unmet, dead) = edges(execution, ix);
        if (step.unmet, step.dead) != (unmet, dead) {
            return Err(format!("I2: step {name} counts {}/{} edges, not {unmet}/{dead}", step.unmet, step.dead));
        }
        let pending = step.state == StepState::Pending;
        let running = matches!(step.state, StepState::Running(_));
        let merging = matches!(step.state, StepState::Merging { .. });
        let counted = step.landing.is_none();
        counts.total += u32::from(counted);
        counts.pending += u32::from(pending && counted);
        counts.running += u32::from(running && counted);
        counts.merging += u32::from(merging && counted);
        counts.done += u32::from(matches!(step.state, StepState::Done(_)) && counted);
        counts.failed += u32::from(matches!(step.state, StepState::Failed(_)) && counted);
        counts.cancelled += u32::from(step.state == StepState::Cancelled && counted);
        counts.blocked += u32::from(pending && dead > 0 && counted);
        if execution.ready.contains(&ix) != (pending && unmet == 0 && dead == 0) {
            return Err(format!("the ready set is wrong about step {name}"));
        }
        if execution.active.contains(&ix) != (running || merging) {
            return Err(format!("the active set is wrong about step {name}"));
        }
        timers(execution, ix, step)?;
        clash(execution, ix)?;
        bounds(execution, ix, limits)?;
        if execution.ended.is_some() && (running || merging) {
            return Err(format!("I8: the execution has ended while step {name} is {}", execution.word(ix)));
        }
    }
    if counts != execution.counts {
        return Err(format!("the counts {:?} should be {counts:?}", execution.counts));
    }
    budgets(execution)?;
    landing(execution, limits)
}

/// What is used is the sum over the steps, and nothing waits for an agent that may not be paid.
fn budgets(execution: &Execution) -> Result<(), String> {
    let sum = execution.steps.iter().fold(Usage::default(), |sum, step| sum.plus(step.usage));
    if sum != execution.usage {
        return Err(format!("the execution used {:?}, its steps {sum:?}", execution.usage));
    }
    for (at, step) in execution.steps.iter().enumerate() {
        let wanted = matches!(step.state, StepState::Running(Running { run: Run::Wanted { .. }, .. }));
        if let Some(spent) = execution.step_is_over(StepIx::at(at)).filter(|_| wanted) {
            return Err(format!(
                "step {} wants another attempt, and {spent}",
                execution.plan().step(StepIx::at(at)).id
            ));
        }
    }
    let held = execution.holds.values().any(|reason| *reason == HoldReason::Budget);
    let open = execution.ended.is_none() && !execution.cancelling;
    if open && held != (execution.over_budget().is_some() && execution.wants_agents()) {
        return Err(format!("held for its budget: {held}, used {:?}", execution.usage));
    }
    Ok(())
}

/// A conflict of a landing is resolved by one step, while nothing asks to land, and boundedly often.
fn landing(execution: &Execution, limits: &Limits) -> Result<(), String> {
    let landing = &execution.landing;
    let open = |step: &StepRun| matches!(step.state, StepState::Pending | StepState::Running(_));
    let of_enki = execution.steps.iter().enumerate().filter(|(_, step)| step.landing.is_some());
    let at_work: Vec<StepIx> = of_enki.filter(|(_, step)| open(step)).map(|(at, _)| StepIx::at(at)).collect();
    if at_work != landing.resolver.into_iter().collect::<Vec<_>>() {
        return Err(format!("a landing is resolved by {at_work:?}, not by {:?}", landing.resolver));
    }
    if landing.resolver.is_some() && (landing.in_flight.is_some() || landing.resolved.is_some()) {
        return Err(format!("a landing is resolved while another one goes on: {landing:?}"));
    }
    if landing.resolutions > limits.resolutions {
        return Err(format!("I5: {} conflicts of landings were resolved in a row", landing.resolutions));
    }
    Ok(())
}

fn edges(execution: &Execution, ix: StepIx) -> (u32, u32) {
    let (mut unmet, mut dead) = (0, 0);
    for need in &execution.plan.step(ix).needs {
        let (satisfied, is_dead) = match need.on {
            NeedOn::Step(on) => {
                let view = execution.step(on).view();
                (view.satisfies(need.condition), view.dead)
            }
            NeedOn::External(external) => {
                let at = execution.plan.externals().iter().position(|(known, _)| *known == external);
                let state = at.map_or(NeedState::Waiting, |at| execution.externals[at]);
                (state.satisfies(need.condition), state == NeedState::Dead)
            }
        };
        unmet += u32::from(!satisfied);
        dead += u32::from(is_dead);
    }
    (unmet, dead)
}

fn timers(execution: &Execution, ix: StepIx, step: &StepRun) -> Result<(), String> {
    let expected = match &step.state {
        StepState::Running(Running { run: Run::Wanted { wait }, .. }) if wait.until > Timestamp::default() => {
            Some(wait.until)
        }
        _ => None,
    };
    let set: Vec<Timestamp> = execution.timers.iter().filter(|(_, of)| *of == ix).map(|(at, _)| *at).collect();
    if set == expected.into_iter().collect::<Vec<_>>() {
        Ok(())
    } else {
        Err(format!("timers of step {}: {set:?}", ix.0))
    }
}

/// Conflicts are resolved one at a time.
fn clash(execution: &Execution, ix: StepIx) -> Result<(), String> {
    let (step, name) = (execution.step(ix), &execution.plan.step(ix).id);
    let known = execution.clashes.iter().find(|(_, of)| *of == ix).map(|(no, _)| *no);
    if known != step.waits_for_turn() {
        return Err(format!("step {name} waits at place {known:?}, not {:?}", step.waits_for_turn()));
    }
    let resolves =
        matches!(&step.state, StepState::Running(Running { purpose: Purpose::Resolve, run: Run::Live { .. } }));
    if resolves && step.landing.is_none() && execution.turn != Some(ix) {
        return Err(format!("step {name} is resolved although it is the turn of {:?}", execution.turn));
    }
    if execution.turn == Some(ix) && !step.keeps_turn() {
        return Err(format!("it is the turn of step {name}, which is {}", execution.word(ix)));
    }
    Ok(())
}

/// I5: budgets are never exceeded.
fn bounds(execution: &Execution, ix: StepIx, limits: &Limits) -> Result<(), String> {
    let (step, plan) = (execution.step(ix), execution.plan.step(ix));
    let (max_fixes, max_moves) = plan.review.as_ref().map_or((0, u32::MAX), |r| (r.max_fixes, r.max_moves));
    let course = &step.course;
    let within = course.fixes <= max_fixes
        && course.moves <= max_moves
        && course.infra <= limits.infra_retries
        && course.resolutions <= limits.resolutions
        && course.voids <= 1;
    if let (StepState::Merging { .. }, Some(work), Some(_)) = (&step.state, &step.work, &plan.review)
        && course.rounds.last().and_then(|round| round.tree) != Some(work.tree)
        // A person may take what no review passed, and then exactly that.
        && step.accepted != Some(work.tree)
    {
        return Err(format!("S8: step {} hands in a tree that no review saw and no person took: {step:?}", plan.id));
    }
    if within { Ok(()) } else { Err(format!("I5: step {} is over a budget: {step:?}", plan.id)) }
}
