//! The service that all agents share: while it has to be waited for nothing starts, and then one attempt, until it was
//! answered or ended well.

use super::Facts;
use enki_core::engine::Event;
use enki_core::execution::{Event as E, Outcome as O};
use enki_core::id::{ExecutionId, StepIx};
use enki_core::tier::{Pool, Purpose};
use enki_core::time::Timestamp;
use std::collections::BTreeMap;

/// Until when nobody may ask the service, and who goes ahead after that.
#[derive(Debug, Default)]
pub(super) struct Service {
    until: Timestamp,
    doubt: Doubt,
    /// Whether it was waited for, and nobody was answered since: also over a restart.
    unanswered: bool,
    /// What the log of each open execution says of it.
    told: BTreeMap<ExecutionId, Timestamp>,
    /// From then on a time to wait until says nothing.
    clock_was_set: bool,
}

/// What is known of it since the last wait.
#[derive(Debug, Default, Eq, PartialEq)]
enum Doubt {
    #[default]
    None,
    /// Nobody knows whether it answers.
    Unknown,
    /// That step asks ahead of all others.
    Asked(ExecutionId, StepIx),
}

impl Service {
    /// Looks at a batch: of one the ends come first, as permits are granted last. `tested` tells whether a command reviews
    /// that step, which needs no service.
    pub(super) fn appended(
        &mut self,
        batch: &[Facts<'_>],
        now: Timestamp,
        tested: impl Fn(ExecutionId, StepIx) -> bool,
    ) -> Result<(), String> {
        if self.clock_was_set {
            return Ok(());
        }
        let events = || {
            batch.iter().flat_map(|append| {
                let id = ExecutionId::new(append.log.id);
                append.events.iter().filter_map(move |e| if let Event::Execution(e) = e { Some((id, e)) } else { None })
            })
        };
        let (mut freed, mut served) = (false, false);
        for (id, event) in events() {
            match event {
                E::ServiceFreed => freed = true,
                E::AttemptEnded { step, .. } | E::AttemptStopped { step, .. } | E::StepCancelled { step }
                    if self.doubt == Doubt::Asked(id, *step) =>
                {
                    self.doubt = Doubt::Unknown;
                }
                // A new execution is told again what is known.
                E::ServiceWaits { pool: Pool::Worker, wait } => {
                    let told = self.told.entry(id).or_default();
                    *told = wait.until.max(*told);
                    if wait.until > self.until {
                        self.wait(wait.until);
                    }
                }
                E::Ended { .. } => drop(self.told.remove(&id)),
                _ => {}
            }
            let E::AttemptEnded { step, end, .. } = event else { continue };
            match &end.outcome {
                // What a command says of a service is of its own.
                O::RateLimited { .. } | O::Unavailable { .. } if tested(id, *step) => {}
                O::RateLimited { until } | O::Unavailable { until, .. } => self.wait(*until),
                O::Changed
                | O::NoChange
                | O::Artifact
                | O::Reviewed(_)
                | O::Asks { .. }
                | O::Declined { .. }
                | O::Void { .. }
                | O::NoArtifact
                | O::Unresolved { .. } => served = true,
                _ => {}
            }
        }
        if served {
            self.answered(now);
        }
        if freed {
            *self = Self::default();
        }
        for (id, event) in events() {
            let E::AttemptStarted { step, purpose, .. } = event else { continue };
            if *purpose == Purpose::Review && tested(id, *step) {
                continue;
            }
            self.starts(id, *step, now)?;
        }
        Ok(())
    }

    fn starts(&mut self, id: ExecutionId, step: StepIx, now: Timestamp) -> Result<(), String> {
        if now < self.until {
            return Err(format!("{id}: step {} starts, and the service has to be waited for", step.0));
        }
        match self.doubt {
            Doubt::None => {}
            Doubt::Unknown => self.doubt = Doubt::Asked(id, step),
            Doubt::Asked(of, ahead) => {
                return Err(format!(
                    "{id}: step {} starts, and step {} of {of} goes ahead without an answer",
                    step.0, ahead.0
                ));
            }
        }
        Ok(())
    }

    fn wait(&mut self, until: Timestamp) {
        (self.until, self.doubt, self.unanswered) = (self.until.max(until), Doubt::Unknown, true);
    }

    /// It answered an attempt that lives.
    pub(super) fn answered(&mut self, now: Timestamp) {
        if now >= self.until {
            (self.until, self.doubt, self.unanswered) = (Timestamp::default(), Doubt::None, false);
        }
    }

    /// Another process takes up what the open logs say, and no more: neither what only those know that have ended, nor
    /// that nobody was answered since.
    pub(super) fn restarted(&mut self) {
        let until = self.told.values().max().copied().unwrap_or_default();
        (self.until, self.doubt) = (self.until.min(until), Doubt::None);
    }

    pub(super) const fn clock_jumped(&mut self) {
        self.clock_was_set = true;
    }

    /// Whether who starts next may be chosen by who met the outage.
    pub(super) const fn chooses(&self) -> bool {
        self.clock_was_set || self.unanswered
    }
}
