//! What a log tells of the rules of orchestration: a true one keeps them, and each kind of forgery is found.

use super::{reviewed, running};
use crate::world::World;
use enki_core::audit::{Kept, audit, overrides};
use enki_core::execution::{Command, Event, Outcome};
use enki_core::id::{ExecutionId, StepIx};
use enki_core::limits::Limits;
use enki_core::tier::Purpose;
use enki_core::verdict::Gate;

/// A step that is worked on, reviewed, fixed and passes.
fn reviewed_once() -> (World, ExecutionId) {
    let (mut world, id) = running(&[reviewed("a", 3)]);
    for gate in [Gate::Revise, Gate::Pass] {
        world.end(id, "a", Outcome::Changed);
        world.reviewed(id, "a", gate);
    }
    world.drain();
    (world, id)
}

/// The numbers of the rules that a log breaks.
fn broken(log: &[Event]) -> Vec<u8> {
    let answers = audit(log, &Limits::default());
    answers.iter().filter(|answer| matches!(answer.kept, Kept::No(_))).map(|answer| answer.rule).collect()
}

#[test]
fn a_true_log_keeps_the_rules_and_says_what_does_not_apply() {
    let (world, id) = reviewed_once();
    let answers = audit(&world.log(id), &Limits::default());
    let word = |kept: &Kept| match kept {
        Kept::Yes => 'y',
        Kept::NotApplicable(_) => '-',
        Kept::No(_) => 'n',
    };
    // The plan names no skills, and the outputs of this world are one word.
    let words: String = answers.iter().map(|answer| word(&answer.kept)).collect();
    assert_eq!(words, "y-yynyyy", "{answers:#?}");
}

#[test]
fn each_forgery_is_found() {
    let (world, id) = reviewed_once();
    let log = world.log(id);
    let forged = |change: &dyn Fn(&mut Event) -> bool| {
        let mut log = log.clone();
        let changed = log.iter_mut().filter_map(|event| change(event).then_some(())).count();
        assert!(changed > 0, "something was forged");
        broken(&log)
    };
    assert_eq!(broken(&log), [5], "but for the outputs, all is well");
    assert_eq!(broken(&log[1..])[0], 1, "no plan");
    let proof = forged(&|event| match event {
        Event::AttemptEnded { end, .. } if end.outcome == Outcome::Changed => end.work.take().is_some(),
        _ => false,
    });
    assert!(proof.contains(&3), "{proof:?}");
    let order = forged(&|event| match event {
        Event::AttemptStarted { attempt, .. } if attempt.0 == 3 => {
            attempt.0 = 7;
            true
        }
        _ => false,
    });
    assert!(order.contains(&7), "{order:?}");
    let unasked = forged(&|event| match event {
        Event::AttemptStarted { purpose, .. } if *purpose == Purpose::Fix => {
            *purpose = Purpose::Review;
            true
        }
        _ => false,
    });
    assert!(unasked.contains(&8), "{unasked:?}");
    let mut few = Limits::default();
    few.chains = 0;
    let answers = audit(&log, &few);
    assert!(matches!(answers[3].kept, Kept::No(_)), "more chains than may be");
}

#[test]
fn a_persons_pass_is_told_apart_from_a_reviews_and_one_that_nobody_was_asked_for_is_found() {
    let (mut world, id) = running(&[reviewed("a", 0)]);
    world.end(id, "a", Outcome::Changed);
    world.reviewed(id, "a", Gate::Revise);
    let accept = Command::Accept { step: StepIx(0), by: "Ada".to_owned(), why: "a matter of taste".to_owned() };
    world.command(id, accept).unwrap();
    world.drain();
    let log = world.log(id);
    assert_eq!(broken(&log), [5], "but for the outputs, all is well");
    let told = overrides(&log);
    assert!(
        told.len() == 1 && told[0].ends_with("by Ada: a matter of taste") && told[0].contains("(tree "),
        "{told:?}"
    );
    let (other, other_id) = reviewed_once();
    assert!(overrides(&other.log(other_id)).is_empty());
    let unasked: Vec<Event> = log
        .iter()
        .filter(
            |event| !matches!(event, Event::AttemptEnded { end, .. } if matches!(end.outcome, Outcome::Reviewed(_))),
        )
        .cloned()
        .collect();
    assert!(broken(&unasked).contains(&7), "{:?}", broken(&unasked));
}
