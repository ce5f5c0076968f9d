//! The crash points around an append, named by what is appended.

use crate::crash_point;
use crate::engine::{Event, LogAppend};
use crate::execution::{Event as Fact, HoldReason, Outcome};
use crate::merge_queue::Event as Step;

/// Just before the batch is appended.
pub(super) fn before(appends: &[LogAppend]) {
    for event in appends.iter().flat_map(|append| &append.events) {
        match event {
            Event::Queue(Step::BatchFormed { .. }) => crash_point!("merge.1.before"),
            Event::Queue(Step::Verified { .. }) => crash_point!("merge.5.before"),
            Event::Queue(Step::Merged { .. }) => crash_point!("merge.9.before"),
            Event::Execution(Fact::HoldClosed { .. }) => crash_point!("checkpoint.resume"),
            Event::Execution(Fact::AttemptEnded { end, .. }) if matches!(end.outcome, Outcome::Reviewed(_)) => {
                crash_point!("verdict.record");
            }
            Event::Queue(_) | Event::Execution(_) => {}
        }
    }
}

/// Once the batch is durable, before anybody is told or anything starts.
pub(super) fn after(appends: &[LogAppend]) {
    for event in appends.iter().flat_map(|append| &append.events) {
        match event {
            Event::Queue(Step::BatchFormed { .. }) => crash_point!("merge.1.after"),
            Event::Queue(Step::Committing { .. }) => crash_point!("merge.6.after"),
            Event::Queue(Step::Merged { .. }) => crash_point!("merge.9.after"),
            Event::Execution(Fact::HoldOpened { reason: HoldReason::Checkpoint { .. }, .. }) => {
                crash_point!("checkpoint.reach");
            }
            Event::Execution(Fact::AttemptEnded { end, .. }) if matches!(end.outcome, Outcome::Reviewed(_)) => {
                crash_point!("verdict.apply");
            }
            Event::Queue(_) | Event::Execution(_) => {}
        }
    }
}
