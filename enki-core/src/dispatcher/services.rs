//! When services that agents share may be asked again: after a limit that names its end, after an outage, which does not.
//!
//! Agents that find the service out at the same time are one outage, and wait for the same time. Each further one in a
//! row waits longer. What only one step meets, while others are served, is not the service: see
//! [`Services::next_try`].

use super::Place;
use crate::limits::Limits;
use crate::retry::backoff;
use crate::tier::Pool;
use crate::time::Timestamp;
use std::collections::{BTreeMap, HashMap};

/// What is known of the services, by the login that agents use.
#[derive(Clone, Debug, Default)]
pub struct Services {
    pools: BTreeMap<Pool, Service>,
    /// Steps whose last attempt found a service out.
    hit: HashMap<Place, Hit>,
}

#[derive(Clone, Debug, Default)]
struct Service {
    until: Option<Timestamp>,
    /// Outages since an attempt was served.
    outages: u32,
    /// Attempts that were served.
    served: u64,
}

#[derive(Clone, Copy, Debug)]
struct Hit {
    /// Attempts served by then.
    served: u64,
    /// Times that others had been served since the time before.
    alone: u32,
}

impl Services {
    /// Until when it may not be asked, if it may not now.
    #[must_use]
    pub fn waits(&self, pool: Pool, now: Timestamp) -> Option<Timestamp> {
        self.pools.get(&pool)?.until.filter(|until| *until > now)
    }

    /// When a service that an attempt of that step found out is asked again. `None` if that is no outage: others were
    /// served each time between the last ones of this step, so it is about what the step asks.
    #[must_use]
    pub fn next_try(&self, pool: Pool, place: Place, now: Timestamp, limits: &Limits) -> Option<Timestamp> {
        if self.hit_again(pool, place).alone > limits.lone_outages {
            return None;
        }
        let in_a_row = self.pools.get(&pool).map_or(0, |service| service.outages) + 1;
        let again = || now.plus(backoff(&limits.outage_backoff, in_a_row, now.0.unsigned_abs()));
        Some(self.waits(pool, now).unwrap_or_else(again))
    }

    fn hit_again(&self, pool: Pool, place: Place) -> Hit {
        let served = self.pools.get(&pool).map_or(0, |service| service.served);
        match self.hit.get(&place) {
            Some(hit) if served > hit.served => Hit { served, alone: hit.alone + 1 },
            Some(hit) => Hit { served, alone: hit.alone },
            None => Hit { served, alone: 1 },
        }
    }

    /// An attempt of that step found it out. To be told before [`Services::wait`].
    pub fn out(&mut self, pool: Pool, place: Place, now: Timestamp) {
        self.hit.insert(place, self.hit_again(pool, place));
        if self.waits(pool, now).is_none() {
            self.pools.entry(pool).or_default().outages += 1;
        }
    }

    /// An attempt of that step was served.
    pub fn served(&mut self, pool: Pool, place: Place) {
        self.hit.remove(&place);
        let service = self.pools.entry(pool).or_default();
        (service.outages, service.served) = (0, service.served + 1);
    }

    /// It may not be asked before that time. Of two such times the later one counts.
    pub fn wait(&mut self, pool: Pool, until: Timestamp) {
        let service = self.pools.entry(pool).or_default();
        service.until = service.until.max(Some(until));
    }

    /// All may be asked at once: a person says so.
    pub fn free(&mut self) {
        self.pools.values_mut().for_each(|service| service.until = None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ExecutionId, StepIx};
    use std::time::Duration;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn place(n: u32) -> Place {
        Place { execution: ExecutionId::new(1), step: StepIx(n) }
    }

    fn out(services: &mut Services, place: Place, now: Timestamp) -> Option<Duration> {
        let until = services.next_try(Pool::Worker, place, now, &Limits::default())?;
        services.out(Pool::Worker, place, now);
        services.wait(Pool::Worker, until);
        Some(until.since(now))
    }

    #[test]
    fn those_who_meet_one_outage_wait_for_the_same_time_and_the_next_one_is_longer() {
        let mut services = Services::default();
        let mut now = NOW;
        for floor in [30, 60, 120, 300, 600, 900, 900, 900] {
            let first = out(&mut services, place(0), now).unwrap();
            assert!((floor..=floor + floor / 10).contains(&first.as_secs()), "{floor}: {first:?}");
            let later = now.plus(Duration::from_secs(5));
            assert_eq!(out(&mut services, place(1), later).unwrap(), first - Duration::from_secs(5));
            assert_eq!(services.waits(Pool::Reviewer, now), None, "that is another login");
            now = now.plus(first);
            assert_eq!(services.waits(Pool::Worker, now), None, "it ends by itself");
        }
        services.served(Pool::Worker, place(0));
        assert!(out(&mut services, place(1), now).unwrap().as_secs() <= 33, "it was up in between");
    }

    #[test]
    fn what_one_step_alone_meets_while_others_are_served_is_no_outage() {
        let mut services = Services::default();
        let mut now = NOW;
        for _ in 0..Limits::default().lone_outages {
            assert!(out(&mut services, place(0), now).is_some());
            now = now.plus(Duration::from_secs(1000));
            services.served(Pool::Worker, place(1));
        }
        assert_eq!(out(&mut services, place(0), now), None);
        assert!(out(&mut services, place(2), now).is_some(), "another step has its own count");
        services.served(Pool::Worker, place(0));
        assert!(out(&mut services, place(0), now).is_some(), "and so has this one once it was served");
    }

    #[test]
    fn a_person_frees_what_waits() {
        let mut services = Services::default();
        services.wait(Pool::Worker, NOW.plus(Duration::from_secs(10)));
        services.wait(Pool::Worker, NOW.plus(Duration::from_secs(5)));
        assert_eq!(services.waits(Pool::Worker, NOW), Some(NOW.plus(Duration::from_secs(10))));
        services.free();
        assert_eq!(services.waits(Pool::Worker, NOW), None);
    }
}
