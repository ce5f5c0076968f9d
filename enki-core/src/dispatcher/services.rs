//! When services that agents share may be asked again: after a limit that names its end, after an outage, which does not.
//!
//! Agents that find the service out at the same time are one outage, and wait for the same time. Each further one in a
//! row waits longer. What only one step meets, while others are served, is not the service: see
//! [`Services::next_try`].
//!
//! After a wait nobody knows whether the service is back: one attempt goes ahead, and the others follow once it was
//! answered, or ended well. If it meets the same again, only it did.

use super::Place;
use crate::limits::Limits;
use crate::retry::backoff;
use crate::tier::Pool;
use crate::time::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// A limit that lasts longer was named by the service, which knows best.
const SHORT: Duration = Duration::from_secs(120);

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
    /// Outages and limits since an attempt was served.
    in_a_row: u32,
    after: After,
    /// Attempts that were served.
    served: u64,
}

/// What is known since the last wait.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum After {
    /// It answers; or it never had to be waited for.
    #[default]
    Answers,
    /// Nothing, and nobody asks.
    Unknown,
    /// Nothing, and that attempt asks, ahead of all others.
    Asked(Place),
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

    /// Whether an attempt may start that needs it: it may be asked, and nobody goes ahead whose answer is awaited.
    #[must_use]
    pub fn opens(&self, pool: Pool, now: Timestamp) -> bool {
        let asked = self.pools.get(&pool).is_some_and(|service| matches!(service.after, After::Asked(_)));
        !asked && self.waits(pool, now).is_none()
    }

    /// Whether it is not known if it answers again.
    pub(super) fn is_in_doubt(&self, pool: Pool) -> bool {
        self.pools.get(&pool).is_some_and(|service| service.after != After::Answers)
    }

    /// Whether the last attempt of that step found a service out.
    pub(super) fn met(&self, place: Place) -> bool {
        self.hit.contains_key(&place)
    }

    /// An attempt of that step starts: after a wait it goes ahead.
    pub(super) fn starts(&mut self, pool: Pool, place: Place) {
        if let Some(service) = self.pools.get_mut(&pool)
            && service.after == After::Unknown
        {
            service.after = After::Asked(place);
        }
    }

    /// The attempt of that step is over. If it went ahead and nothing was heard, another one has to.
    pub(super) fn ends(&mut self, place: Place) {
        for service in self.pools.values_mut().filter(|service| service.after == After::Asked(place)) {
            service.after = After::Unknown;
        }
    }

    /// It answered an attempt: those who wait need not any more. While it may not be asked, an answer to those who began
    /// before says nothing of later.
    pub fn answered(&mut self, pool: Pool, now: Timestamp) {
        if self.waits(pool, now).is_none()
            && let Some(service) = self.pools.get_mut(&pool)
        {
            // A clock that is set back does not bring the wait again (R14).
            (service.until, service.after) = (None, After::Answers);
        }
    }

    /// When a service whose limit an attempt met is asked again. A short wait that was not enough grows.
    #[must_use]
    pub fn next_after_limit(&self, pool: Pool, told: Timestamp, now: Timestamp, limits: &Limits) -> Timestamp {
        let before = self.pools.get(&pool).map_or(0, |service| service.in_a_row);
        if before == 0 || told.since(now) > SHORT || self.waits(pool, now).is_some() {
            return told;
        }
        told.max(now.plus(backoff(&limits.outage_backoff, before + 1, now.0.unsigned_abs())))
    }

    /// When a service that an attempt of that step found out is asked again. `None` if that is no outage: others were
    /// served each time between the last ones of this step, so it is about what the step asks.
    #[must_use]
    pub fn next_try(&self, pool: Pool, place: Place, now: Timestamp, limits: &Limits) -> Option<Timestamp> {
        if self.hit_again(pool, place).alone > limits.lone_outages {
            return None;
        }
        let in_a_row = self.pools.get(&pool).map_or(0, |service| service.in_a_row) + 1;
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
        self.limited(pool, now);
    }

    /// An attempt met its limit. To be told before [`Services::wait`].
    pub fn limited(&mut self, pool: Pool, now: Timestamp) {
        if self.waits(pool, now).is_none() {
            self.pools.entry(pool).or_default().in_a_row += 1;
        }
    }

    /// An attempt of that step was served.
    pub fn served(&mut self, pool: Pool, place: Place, now: Timestamp) {
        self.hit.remove(&place);
        let service = self.pools.entry(pool).or_default();
        (service.in_a_row, service.served) = (0, service.served + 1);
        self.answered(pool, now);
    }

    /// It may not be asked before that time. Of two such times the later one counts.
    pub fn wait(&mut self, pool: Pool, until: Timestamp) {
        let service = self.pools.entry(pool).or_default();
        service.until = service.until.max(Some(until));
        service.after = After::Unknown;
    }

    /// All may be asked at once, by all: a person says so.
    pub fn free(&mut self) {
        self.pools.values_mut().for_each(|service| (service.until, service.after) = (None, After::Answers));
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
        services.served(Pool::Worker, place(0), now);
        assert!(out(&mut services, place(1), now).unwrap().as_secs() <= 33, "it was up in between");
    }

    #[test]
    fn a_clock_that_is_set_back_brings_no_wait_again_that_was_answered() {
        let mut services = Services::default();
        services.wait(Pool::Worker, NOW);
        services.answered(Pool::Worker, NOW);
        assert_eq!(services.waits(Pool::Worker, Timestamp(0)), None);
    }

    #[test]
    fn what_one_step_alone_meets_while_others_are_served_is_no_outage() {
        let mut services = Services::default();
        let mut now = NOW;
        for _ in 0..Limits::default().lone_outages {
            assert!(out(&mut services, place(0), now).is_some());
            now = now.plus(Duration::from_secs(1000));
            services.served(Pool::Worker, place(1), now);
        }
        assert_eq!(out(&mut services, place(0), now), None);
        assert!(out(&mut services, place(2), now).is_some(), "another step has its own count");
        services.served(Pool::Worker, place(0), now);
        assert!(out(&mut services, place(0), now).is_some(), "and so has this one once it was served");
    }

    #[test]
    fn a_short_limit_that_was_not_enough_grows_and_a_long_one_is_the_services_own() {
        let (mut services, limits) = (Services::default(), Limits::default());
        let mut now = NOW;
        let mut limited = |seconds: u64, now: Timestamp| {
            let told = now.plus(Duration::from_secs(seconds));
            let until = services.next_after_limit(Pool::Worker, told, now, &limits);
            services.limited(Pool::Worker, now);
            services.wait(Pool::Worker, until);
            until.since(now)
        };
        for floor in [30, 60, 120, 300, 600, 900, 900] {
            let wait = limited(30, now);
            assert!((floor..=floor + floor / 10).contains(&wait.as_secs()), "{floor}: {wait:?}");
            now = now.plus(wait);
        }
        assert!(limited(120, now).as_secs() >= 900, "two minutes are short");
        now = now.plus(Duration::from_secs(1000));
        assert_eq!(limited(3600, now).as_secs(), 3600);
        now = now.plus(Duration::from_secs(3600));
        services.served(Pool::Worker, place(0), now);
        assert_eq!(
            services
                .next_after_limit(Pool::Worker, now.plus(Duration::from_secs(5)), now, &limits)
                .since(now)
                .as_secs(),
            5
        );
    }

    #[test]
    fn one_goes_ahead_until_it_was_answered_and_another_if_it_ends_without() {
        let mut services = Services::default();
        let until = NOW.plus(Duration::from_secs(10));
        let open = |services: &Services, now| services.opens(Pool::Worker, now);
        services.starts(Pool::Worker, place(0));
        assert!(open(&services, NOW), "there was nothing to wait for");
        services.wait(Pool::Worker, until);
        services.answered(Pool::Worker, NOW);
        assert!(!open(&services, NOW));
        services.starts(Pool::Worker, place(1));
        assert!(!open(&services, until), "its answer is awaited, an earlier one says nothing");
        services.ends(place(0));
        assert!(!open(&services, until), "another one's end says nothing");
        services.ends(place(1));
        assert!(open(&services, until));
        services.starts(Pool::Worker, place(2));
        assert!(!open(&services, until));
        assert!(services.opens(Pool::Reviewer, until), "that is another login");
        services.answered(Pool::Worker, until);
        assert!(open(&services, until));
        services.ends(place(2));
        services.starts(Pool::Worker, place(3));
        assert!(open(&services, until), "it answers, so nobody goes ahead");
        services.wait(Pool::Worker, until);
        services.starts(Pool::Worker, place(4));
        services.free();
        assert!(open(&services, until));
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
