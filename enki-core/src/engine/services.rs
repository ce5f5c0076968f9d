//! Services that attempts of all executions share: what one attempt is told, to wait, holds for all that use its login.
//!
//! Each open execution has the wait in its own log, so it is known after a restart whichever of them goes on, and
//! whoever looks at one is told.

use super::Engine;
use crate::dispatcher::Place;
use crate::execution::{self, Event, Outcome, Report, Running, ServiceWait, StepState};
use crate::id::{AttemptNo, ExecutionId, StepIx};
use crate::tier::Pool;
use crate::time::Timestamp;

/// What the end of an attempt says of the service that it used.
pub(super) enum Told {
    /// It served it.
    Served,
    /// It is out.
    Out(ServiceWait),
    /// It asked to wait.
    Limited(ServiceWait),
}

impl Engine {
    /// Whose login an attempt needs. Reviewers that are no other program share that of workers.
    pub(super) const fn login(&self, pool: Pool) -> Pool {
        match pool {
            Pool::Reviewer if !self.own_reviewer => Pool::Worker,
            Pool::Worker | Pool::Reviewer | Pool::Command => pool,
        }
    }

    /// Whose login the attempt that runs for a step uses.
    pub(super) fn login_of(&self, place: Place) -> Option<Pool> {
        let execution = self.execution(place.execution)?;
        match &execution.steps().get(place.step.index())?.state {
            StepState::Running(Running { purpose, .. }) => Some(self.login(execution.pool(place.step, *purpose))),
            _ => None,
        }
    }

    /// Says when a service that was found out, or at its limit, is asked again: only the engine knows how often it was. What
    /// is no outage is a failure of the attempt like others.
    pub(super) fn timed(&self, id: ExecutionId, mut report: Report, now: Timestamp) -> Report {
        if let Report::Ended { step, end, .. } = &mut report
            && let Outcome::RateLimited { until } = &mut end.outcome
            && let Some(pool) = self.login_of(Place { execution: id, step: *step })
        {
            *until = self.dispatcher.services().next_after_limit(pool, *until, now, &self.limits);
        }
        if let Report::Ended { step, end, .. } = &mut report
            && let Outcome::Unavailable { until, reason } = &mut end.outcome
            && let place = (Place { execution: id, step: *step })
            && let Some(pool) = self.login_of(place)
        {
            match self.dispatcher.services().next_try(pool, place, now, &self.limits) {
                Some(again) => *until = again,
                None => {
                    let message = std::mem::take(reason);
                    end.outcome = Outcome::AgentError { message, transient: true };
                }
            }
        }
        report
    }

    /// What an event says of a service, and of which. To be asked before it is applied.
    pub(super) fn told(&self, id: ExecutionId, event: &Event) -> Option<(StepIx, Pool, Told)> {
        let Event::AttemptEnded { step, end, .. } = event else { return None };
        let told = match &end.outcome {
            Outcome::RateLimited { until } => {
                Told::Limited(ServiceWait { until: *until, why: "its limit is reached".to_owned() })
            }
            Outcome::Unavailable { until, reason } => Told::Out(ServiceWait { until: *until, why: reason.clone() }),
            Outcome::Changed
            | Outcome::NoChange
            | Outcome::Artifact
            | Outcome::Reviewed(_)
            | Outcome::Asks { .. }
            | Outcome::Declined { .. }
            | Outcome::Void { .. }
            | Outcome::NoArtifact
            | Outcome::Unresolved { .. } => Told::Served,
            _ => return None,
        };
        Some((*step, self.login_of(Place { execution: id, step: *step })?, told))
    }

    /// Notes it, and tells every open execution what it has to wait for.
    pub(super) fn heed(&mut self, id: ExecutionId, step: StepIx, pool: Pool, told: Told, now: Timestamp) {
        let place = Place { execution: id, step };
        let services = self.dispatcher.services_mut();
        let wait = match told {
            Told::Served => return services.served(pool, place, now),
            Told::Limited(wait) => {
                services.limited(pool, now);
                wait
            }
            Told::Out(wait) => {
                services.out(pool, place, now);
                wait
            }
        };
        services.wait(pool, wait.until);
        self.tell_all(&Report::ServiceWaits(pool, wait), now);
    }

    /// The service of a live attempt answered it.
    pub(super) fn heard(&mut self, place: Place, attempt: AttemptNo, now: Timestamp) {
        let live = self.execution(place.execution).and_then(|e| e.steps().get(place.step.index())?.live());
        if live == Some(attempt)
            && let Some(pool) = self.login_of(place)
        {
            self.dispatcher.services_mut().answered(pool, now);
        }
    }

    /// A person lets the services be asked again, for one execution and so for all.
    pub(super) fn free_services(&mut self, now: Timestamp) {
        self.dispatcher.services_mut().free();
        self.tell_all(&Report::ServiceFreed, now);
    }

    /// A new execution is told what the others wait for.
    pub(super) fn tell_waits(&mut self, id: ExecutionId, now: Timestamp) {
        let longest = |pool| {
            let all = self.executions().flat_map(|e| e.service_waits(now)).filter(|(of, _)| *of == pool);
            all.map(|(_, wait)| wait).max_by_key(|wait| wait.until).cloned()
        };
        let waits = [Pool::Worker, Pool::Reviewer].map(|pool| (pool, longest(pool)));
        for (pool, wait) in waits {
            if let Some(wait) = wait {
                // Total on what it is told; one that has ended has no use for it.
                let _ = self.execution_input(id, &execution::Input::Report(Report::ServiceWaits(pool, wait)), now);
            }
        }
    }

    fn tell_all(&mut self, report: &Report, now: Timestamp) {
        let open: Vec<ExecutionId> = self.executions().filter(|e| e.ended().is_none()).map(|e| e.id()).collect();
        for id in open {
            // As above.
            let _ = self.execution_input(id, &execution::Input::Report(report.clone()), now);
        }
    }
}
