//! What follows from the state alone: due triggers, checkpoints, landings, and the end.

use super::event::{EndStatus, Event, HoldNo, HoldReason};
use super::step::{ClashKind, Run, Running, StepState};
use super::{Execution, Touched};
use crate::id::{RequestId, StepIx};
use crate::time::Timestamp;

impl Execution {
    /// The next facts that the state at `now` calls for; empty once nothing does. To be appended together with what
    /// led to them: a checkpoint's hold is durable with the step's end (R16).
    #[must_use]
    pub fn settle(&self, now: Timestamp) -> Vec<Event> {
        let mut events = Vec::new();
        if self.ended.is_some() {
            return events;
        }
        if self.cancelling {
            if self.landing.asked {
                events.extend(self.landing_event(false));
            }
            if !events.is_empty() {
                return events;
            }
            let over = self.counts.done + self.counts.cancelled == self.counts.total;
            if over && self.landing.in_flight.is_none() {
                events.push(Event::Ended { status: EndStatus::Cancelled });
            }
            return events;
        }
        if !self.triggered && self.predecessor_allows() && self.start_at.is_none_or(|at| at <= now) {
            events.push(Event::Triggered);
        }
        let mut hold = self.next_hold;
        for step in &self.due_checkpoints {
            events.push(Event::HoldOpened { hold: HoldNo(hold), reason: HoldReason::Checkpoint { step: *step } });
            hold += 1;
        }
        let budget = self.holds.iter().find(|(_, reason)| **reason == HoldReason::Budget).map(|(hold, _)| *hold);
        match (budget, self.over_budget().is_some() && self.wants_agents()) {
            (None, true) => {
                events.push(Event::HoldOpened { hold: HoldNo(hold), reason: HoldReason::Budget });
                hold += 1;
            }
            // There is more of it, or nothing more is needed.
            (Some(hold), false) => events.push(Event::HoldClosed { hold, answer: None }),
            (None, false) | (Some(_), true) => {}
        }
        events.extend(self.landing_gave_up(HoldNo(hold)));
        if events.is_empty() {
            events.extend(self.ask_again(now));
        }
        if events.is_empty() {
            events.extend(self.landing_event(self.landing.again.is_some_and(|wait| wait.is_over(now))));
        }
        if events.is_empty() {
            events.extend(self.end_event());
        }
        events
    }

    /// Settles, applying as it goes, until nothing more follows.
    pub fn settle_all(&mut self, now: Timestamp, touched: &mut Touched, mut record: impl FnMut(&Event)) {
        loop {
            let events = self.settle(now);
            if events.is_empty() {
                return;
            }
            for event in events {
                self.apply_noting(&event, touched);
                record(&event);
            }
        }
    }

    /// Before an agent is paid to resolve a conflict with a head that is not the head any more, the change asks to be
    /// merged once more: it may merge by now, and if it does not, the agent is told what conflicts now.
    fn ask_again(&self, now: Timestamp) -> Option<Event> {
        let ix = self.resolver().filter(|_| self.may_start())?;
        let step = self.step(ix);
        let due = match &step.state {
            StepState::Pending => true,
            StepState::Running(Running { run: Run::Wanted { wait }, .. }) => wait.is_over(now),
            _ => false,
        };
        let clash = step.clash.as_ref().filter(|_| due && step.work.is_some())?;
        // An interaction is seen by a check only, which may take long; its attempt starts at the present head anyway.
        let moved = matches!(clash.kind, ClashKind::Conflict { .. }) && clash.at != self.head;
        moved
            .then_some(Event::MergeRequested { step: ix, request: RequestId::of(self.id, Some(ix), step.requests + 1) })
    }

    pub(super) fn all_done(&self) -> bool {
        let counts = self.counts;
        counts.pending + counts.running + counts.merging + counts.failed == 0 && counts.done > 0
    }

    fn end_event(&self) -> Option<Event> {
        let counts = self.counts;
        let landing = self.landing.in_flight.is_some() || self.landing.resolver.is_some();
        let busy = counts.running + counts.merging > 0 || landing;
        if busy || self.paused || !self.holds.is_empty() {
            return None;
        }
        let status = if counts.failed > 0 && counts.pending == counts.blocked {
            EndStatus::Failed
        } else if self.all_done() && !self.landing_due() {
            EndStatus::Done
        } else if counts.cancelled == counts.total && !self.landing_due() {
            EndStatus::Cancelled
        } else {
            return None;
        };
        Some(Event::Ended { status })
    }

    /// Why nothing moves although the execution has not ended, in words for people; empty if something does (I17).
    #[must_use]
    pub fn waiting_for(&self) -> Vec<String> {
        let mut reasons: Vec<String> = self.holds.values().map(|reason| self.describe(reason)).collect();
        if self.paused {
            reasons.push("a person paused it".to_owned());
        }
        let stopped = |ix: &StepIx| {
            let step = self.step(*ix);
            step.paused && step.live().is_none() && !matches!(step.state, StepState::Merging { .. })
        };
        let paused = self.candidates().filter(stopped);
        reasons.extend(paused.map(|ix| format!("a person paused step {}", self.plan.step(ix).id)));
        if self.ended.is_some() || self.active.iter().any(|ix| !stopped(ix)) {
            return reasons;
        }
        if !self.triggered {
            reasons.push(match self.after {
                Some((execution, _)) => format!("the end of {execution}"),
                None => "its start time".to_owned(),
            });
        }
        for (n, (external, waiting)) in self.plan.externals().iter().enumerate() {
            let open = |(ix, condition): &&(StepIx, _)| {
                self.step(*ix).state == StepState::Pending && !self.externals[n].satisfies(*condition)
            };
            if let Some((ix, _)) = waiting.iter().find(open) {
                let step = external.step.map_or_else(String::new, |s| format!(" step {}", s.0 + 1));
                reasons.push(format!("{}{step}, which step {} needs", external.execution, self.plan.step(*ix).id));
            }
        }
        reasons
    }

    /// A hold in words for people.
    #[must_use]
    pub fn describe(&self, reason: &HoldReason) -> String {
        match reason {
            HoldReason::Checkpoint { step } => format!("checkpoint after step {}", self.plan.step(*step).id),
            HoldReason::Approval { point } => format!("approval of the {point}"),
            HoldReason::Budget => match self.over_budget() {
                Some(spent) => spent.to_string(),
                None => "the budget is used up".to_owned(),
            },
            HoldReason::Rewound => format!("{} was moved away from work that had landed on it", self.target),
            HoldReason::Landing { reason, command } => format!("landing on {}: {reason}; run: {command}", self.target),
            HoldReason::Trouble { reason } => reason.clone(),
            HoldReason::Note { step, reason } => {
                format!("the note of step {} cannot be read: {reason}", self.plan.step(*step).id)
            }
        }
    }
}
