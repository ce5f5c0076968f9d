//! Which ready step starts next, across executions: permits, and the priority order of model section 5.
//!
//! It has no log: everything in it follows from what the executions demand. Two permits, both must allow a start: a
//! run permit while one agent process lives, a chain permit while the chain of a gated step is open. The chain permit
//! is taken first and nobody holds a run permit while waiting, so there is no deadlock.
//!
//! Of the steps that may begin, with the same priority, one whose files nobody is on comes before one whose declared
//! scope overlaps that of a step at work for the same target. It is an order, not a ban: if only overlapping work is
//! ready, it starts. [`Dispatcher::next`] looks at the first [`LOOK_AHEAD`] of each queue only, so that its cost does
//! not grow with the plan; where no scopes are declared it looks at one.

mod claims;
mod services;

pub use services::Services;

use crate::execution::{Claim, Demand, StartOrder};
use crate::id::{ExecutionId, StepIx};
use crate::limits::Limits;
use crate::tier::{Pool, Priority, Tier};
use crate::time::{Timestamp, Wait};
use claims::Claims;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// How many of those who wait in one queue are asked whether their files are free.
pub const LOOK_AHEAD: usize = 64;

const POOLS: [Pool; 3] = [Pool::Worker, Pool::Reviewer, Pool::Command];

/// Names a step across executions. Ordered by age of the execution, then by position in the plan.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// Which execution; ids are ordered by time.
    pub execution: ExecutionId,
    /// Which step.
    pub step: StepIx,
}

/// Permits and queues of those who wait for them.
#[derive(Clone, Debug, Default)]
pub struct Dispatcher {
    /// Who waits, by whose login is needed, by tier and by whether a chain permit is still needed.
    queues: [[[Queue; 2]; 3]; 3],
    waiting: HashMap<Place, Waiter>,
    live: HashMap<Place, Tier>,
    chains: BTreeSet<Place>,
    /// Processes that are being stopped: not wanted any more, but not gone.
    stopping: BTreeMap<Place, Tier>,
    used: [u32; 3],
    claims: Claims,
    disk: Wait,
    services: Services,
}

type Queue = BTreeSet<(StartOrder, Place)>;

#[derive(Clone, Copy, Debug)]
struct Waiter {
    pool: Pool,
    tier: Tier,
    chain: bool,
    order: StartOrder,
}

/// Who starts first of one queue, in the order of the fields.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
struct Candidate {
    /// After a wait: whether it met the outage itself, and there may be others who did not.
    met: bool,
    fresh: bool,
    priority: Priority,
    overlaps: bool,
    order: StartOrder,
    place: Place,
}

impl Dispatcher {
    /// Takes over what a step demands now. To be called whenever that may have changed.
    pub fn update(&mut self, place: Place, demand: Demand) {
        let waited = self.waiting.remove(&place);
        if let Some(old) = waited {
            self.queues[old.pool as usize][old.tier as usize][usize::from(old.chain)].remove(&(old.order, place));
        }
        if !matches!(demand, Demand::Live { .. })
            && let Some(tier) = self.live.remove(&place)
        {
            self.used[tier as usize] -= 1;
            self.services.ends(place);
        }
        match demand {
            Demand::Idle | Demand::Open { yields: true } => {
                self.chains.remove(&place);
            }
            Demand::Open { yields: false } => {}
            Demand::Wants { tier, chain, pool, order } => {
                let chain = chain && !self.chains.contains(&place);
                self.queues[pool as usize][tier as usize][usize::from(chain)].insert((order, place));
                self.waiting.insert(place, Waiter { pool, tier, chain, order });
            }
            Demand::Live { tier, chain } => {
                if chain {
                    self.chains.insert(place);
                }
                if self.live.insert(place, tier).is_none() {
                    self.used[tier as usize] += 1;
                    if let Some(waited) = waited {
                        self.services.starts(waited.pool, place);
                    }
                }
            }
        }
    }

    /// Takes the permit of a chain that is open already, if one is free: after a start only its step knows that it had
    /// one. To be called once, after the demands of all that live.
    pub fn reclaim(&mut self, place: Place, limits: &Limits) {
        if self.chains.len() >= limits.chains as usize || !self.chains.insert(place) {
            return;
        }
        if let Some(Waiter { pool, tier, chain, order }) = self.waiting.get(&place).copied() {
            // From those that need a permit to those that have one.
            self.update(place, Demand::Wants { tier, chain, pool, order });
        }
    }

    /// Takes over which files a step says it changes, and whether it is on them. To be called whenever that may have
    /// changed.
    pub fn claim(&mut self, place: Place, claim: Option<Claim>, held: bool) {
        self.claims.set(place, claim, held);
    }

    /// The step that starts next, if permits allow any. The caller grants it and updates its demand.
    #[must_use]
    pub fn next(&self, limits: &Limits, now: Timestamp) -> Option<Place> {
        if self.runs() >= limits.runs || !self.disk.is_over(now) {
            return None;
        }
        let chain_free = u32::try_from(self.chains.len()).unwrap_or(u32::MAX) < limits.chains;
        let open = |tier: &Tier| self.used[*tier as usize] < limits.tier(*tier);
        let asks = |pool: &Pool| self.services.opens(*pool, now);
        let heads = POOLS.into_iter().filter(asks).flat_map(|pool| {
            Tier::ALL.into_iter().filter(open).flat_map(move |tier| {
                let queues = &self.queues[pool as usize][tier as usize];
                [self.best(pool, &queues[0]), self.best(pool, &queues[1]).filter(|_| chain_free)]
            })
        });
        heads.flatten().min().map(|candidate| candidate.place)
    }

    /// Who of one queue starts first: of those with the priority of the first, one whose files are free, if there is.
    fn best(&self, pool: Pool, queue: &Queue) -> Option<Candidate> {
        let (first, _) = queue.first()?;
        // Who goes ahead after a wait: if it is what one step asks that the service cannot bear, the others are not to wait
        // for that step each time.
        let met = |place: Place| self.services.is_in_doubt(pool) && self.services.met(place);
        if queue.first().is_some_and(|(_, place)| met(*place))
            && let Some((order, place)) = queue.iter().take(LOOK_AHEAD).find(|(_, place)| !met(*place)).copied()
        {
            let StartOrder { fresh, priority, .. } = order;
            let overlaps = fresh && self.claims.overlaps(place);
            return Some(Candidate { met: false, fresh, priority, overlaps, order, place });
        }
        let equal = |(order, _): &&(StartOrder, Place)| (order.fresh, order.priority) == (first.fresh, first.priority);
        // What is begun already is on its files itself.
        let free = |(order, place): &&(StartOrder, Place)| !order.fresh || !self.claims.overlaps(*place);
        let found = queue.iter().take(LOOK_AHEAD).take_while(equal).find(free);
        let (order, place) = *found.or(queue.first())?;
        let StartOrder { fresh, priority, .. } = order;
        Some(Candidate { met: met(place), fresh, priority, overlaps: found.is_none(), order, place })
    }

    /// Agent processes that live or are being stopped.
    #[must_use]
    pub fn runs(&self) -> u32 {
        self.used.iter().sum()
    }

    /// Agent processes of each tier.
    #[must_use]
    pub const fn runs_by_tier(&self) -> [u32; 3] {
        self.used
    }

    /// Chain permits taken.
    #[must_use]
    pub fn chains(&self) -> usize {
        self.chains.len()
    }

    /// Steps that wait for a permit.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Keeps the run permit of a process that is being stopped until [`Dispatcher::stopped`].
    pub fn stopping(&mut self, place: Place, tier: Tier) {
        if self.stopping.insert(place, tier).is_none() {
            self.used[tier as usize] += 1;
        }
    }

    /// A process that was being stopped is gone.
    pub fn stopped(&mut self, place: Place) {
        if let Some(tier) = self.stopping.remove(&place) {
            self.used[tier as usize] -= 1;
        }
    }

    /// No attempt starts before that is over: the disk is full. The later of two such waits counts.
    pub fn wait_for_disk(&mut self, wait: Wait) {
        self.disk = self.disk.max(wait);
    }

    /// The services that agents use: nothing starts that needs one which may not be asked.
    #[must_use]
    pub const fn services(&self) -> &Services {
        &self.services
    }

    /// The same, to be told something.
    pub const fn services_mut(&mut self) -> &mut Services {
        &mut self.services
    }

    /// When the first thing that keeps somebody from starting ends, if it is only a matter of time.
    #[must_use]
    pub fn next_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        let waits = |pool: &Pool| self.queues[*pool as usize].iter().flatten().any(|queue| !queue.is_empty());
        let services = POOLS.into_iter().filter(waits).filter_map(|pool| self.services.waits(pool, now));
        let disk = Some(self.disk.until).filter(|until| *until > now && !self.waiting.is_empty());
        services.chain(disk).min()
    }

    /// Checks the permits against the limits (I4).
    ///
    /// # Errors
    ///
    /// The limit that is exceeded.
    pub fn check(&self, limits: &Limits) -> Result<(), String> {
        let mut used = [0; 3];
        for tier in self.live.values().chain(self.stopping.values()) {
            used[*tier as usize] += 1;
        }
        if used != self.used {
            return Err(format!("I4: {:?} permits are counted, {used:?} are held", self.used));
        }
        let over = Tier::ALL.into_iter().find(|tier| used[*tier as usize] > limits.tier(*tier));
        if self.runs() > limits.runs || over.is_some() || self.chains.len() > limits.chains as usize {
            return Err(format!("I4: over a limit: runs {used:?}, chains {}", self.chains.len()));
        }
        self.claims.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(n: u32) -> Place {
        Place { execution: ExecutionId::new(1), step: StepIx(n) }
    }

    fn order() -> StartOrder {
        StartOrder { fresh: true, priority: Priority::Normal, fan: 0, below: 0 }
    }

    /// Grants until nothing starts any more; gives the order.
    fn drain(dispatcher: &mut Dispatcher, demands: &[Demand]) -> Vec<u32> {
        for (n, demand) in demands.iter().enumerate() {
            dispatcher.update(place(u32::try_from(n).unwrap()), *demand);
        }
        let mut started = Vec::new();
        let limits = Limits::default();
        while let Some(next) = dispatcher.next(&limits, Timestamp(0)) {
            let Demand::Wants { tier, chain, .. } = demands[next.step.index()] else {
                panic!("granted without demand")
            };
            dispatcher.update(next, Demand::Live { tier, chain });
            dispatcher.check(&limits).unwrap();
            started.push(next.step.0);
        }
        started
    }

    #[test]
    fn thirty_light_steps_run_ten_at_once_and_thirty_heavy_ones_five() {
        let of = |tier| vec![Demand::Wants { tier, chain: false, pool: Pool::Worker, order: order() }; 30];
        assert_eq!(drain(&mut Dispatcher::default(), &of(Tier::Light)).len(), 10);
        assert_eq!(drain(&mut Dispatcher::default(), &of(Tier::Heavy)).len(), 5);
        let mixed: Vec<Demand> = of(Tier::Light).into_iter().chain(of(Tier::Standard)).chain(of(Tier::Heavy)).collect();
        assert_eq!(drain(&mut Dispatcher::default(), &mixed).len(), 10);
    }

    #[test]
    fn chains_are_limited_and_ungated_steps_pass_them_by() {
        let mut demands = vec![Demand::Wants { tier: Tier::Light, chain: true, pool: Pool::Worker, order: order() }; 8];
        demands.push(Demand::Wants {
            tier: Tier::Light,
            pool: Pool::Worker,
            chain: false,
            order: StartOrder { priority: Priority::Low, ..order() },
        });
        assert_eq!(drain(&mut Dispatcher::default(), &demands), [0, 1, 2, 3, 4, 5, 8]);
    }

    #[test]
    fn the_order_is_open_chain_priority_fan_path_position() {
        let want = |order| Demand::Wants { tier: Tier::Light, chain: false, pool: Pool::Worker, order };
        let demands = [
            want(order()),
            want(StartOrder { below: -5, ..order() }),
            want(StartOrder { fan: -1, ..order() }),
            want(StartOrder { priority: Priority::High, ..order() }),
            want(StartOrder { fresh: false, priority: Priority::Low, ..order() }),
            want(order()),
        ];
        assert_eq!(drain(&mut Dispatcher::default(), &demands), [4, 3, 2, 1, 0, 5]);
    }

    #[test]
    fn who_needs_a_service_that_waits_lets_others_pass() {
        let limits = Limits::default();
        let mut dispatcher = Dispatcher::default();
        for (n, pool) in POOLS.into_iter().enumerate() {
            let at = place(u32::try_from(n).unwrap());
            dispatcher.update(at, Demand::Wants { tier: Tier::Light, chain: false, pool, order: order() });
        }
        dispatcher.services_mut().wait(Pool::Worker, Timestamp(10));
        dispatcher.services_mut().wait(Pool::Reviewer, Timestamp(5));
        let mut next = |now| {
            let next = dispatcher.next(&limits, Timestamp(now));
            let deadline = dispatcher.next_deadline(Timestamp(now));
            if let Some(next) = next {
                dispatcher.update(next, Demand::Live { tier: Tier::Light, chain: false });
            }
            (next.map(|place| place.step.0), deadline)
        };
        assert_eq!(next(0), (Some(2), Some(Timestamp(5))), "a command needs no service");
        assert_eq!(next(0), (None, Some(Timestamp(5))));
        assert_eq!(next(5), (Some(1), Some(Timestamp(10))));
        assert_eq!(next(9), (None, Some(Timestamp(10))));
        assert_eq!(next(10), (Some(0), None));
    }

    #[test]
    fn after_a_wait_one_starts_and_the_others_once_it_was_answered() {
        let limits = Limits::default();
        let mut dispatcher = Dispatcher::default();
        for n in 0..4 {
            let demand = Demand::Wants { tier: Tier::Light, chain: false, pool: Pool::Worker, order: order() };
            dispatcher.update(place(n), demand);
        }
        dispatcher.services_mut().wait(Pool::Worker, Timestamp(10));
        let live = Demand::Live { tier: Tier::Light, chain: false };
        let start = |dispatcher: &mut Dispatcher| -> Vec<u32> {
            std::iter::from_fn(|| {
                let next = dispatcher.next(&limits, Timestamp(10))?;
                dispatcher.update(next, live);
                Some(next.step.0)
            })
            .collect()
        };
        assert_eq!(start(&mut dispatcher), [0]);
        assert_eq!(dispatcher.next_deadline(Timestamp(10)), None, "it is no matter of time");
        dispatcher.update(place(0), live);
        assert!(start(&mut dispatcher).is_empty(), "looked at again, it is still the same attempt");
        dispatcher.update(place(0), Demand::Idle);
        assert_eq!(start(&mut dispatcher), [1], "it was not answered, so another one goes ahead");
        dispatcher.services_mut().answered(Pool::Worker, Timestamp(10));
        assert_eq!(start(&mut dispatcher), [2, 3]);
    }

    #[test]
    fn a_chain_keeps_its_permit_between_attempts_and_yields_it_while_held() {
        let mut dispatcher = Dispatcher::default();
        dispatcher.update(place(0), Demand::Live { tier: Tier::Light, chain: true });
        dispatcher.update(place(0), Demand::Open { yields: false });
        assert_eq!((dispatcher.runs(), dispatcher.chains()), (0, 1));
        dispatcher.update(place(0), Demand::Open { yields: true });
        assert_eq!(dispatcher.chains(), 0);
    }

    #[test]
    fn a_process_being_stopped_keeps_its_run_permit() {
        let mut dispatcher = Dispatcher::default();
        dispatcher.update(place(0), Demand::Live { tier: Tier::Heavy, chain: false });
        dispatcher.update(place(0), Demand::Idle);
        dispatcher.stopping(place(0), Tier::Heavy);
        assert_eq!(dispatcher.runs(), 1);
        dispatcher.stopped(place(0));
        assert_eq!(dispatcher.runs(), 0);
    }

    fn wants(tier: Tier, chain: bool) -> Demand {
        Demand::Wants { tier, chain, pool: Pool::Worker, order: order() }
    }

    #[test]
    fn a_chain_that_was_open_before_a_start_goes_on_and_takes_the_permit_of_no_other() {
        let limits = Limits { chains: 1, ..Limits::default() };
        let mut dispatcher = Dispatcher::default();
        (0..3).for_each(|n| dispatcher.update(place(n), wants(Tier::Light, true)));
        dispatcher.reclaim(place(1), &limits);
        dispatcher.reclaim(place(2), &limits);
        assert_eq!(dispatcher.chains(), 1);
        assert_eq!(dispatcher.next(&limits, Timestamp(0)), Some(place(1)));
        dispatcher.update(place(1), Demand::Live { tier: Tier::Light, chain: true });
        assert_eq!(dispatcher.next(&limits, Timestamp(0)), None);
    }

    /// Two light steps and a heavy one that want the same service, which the first of them found out.
    fn after_an_outage() -> Dispatcher {
        let mut dispatcher = Dispatcher::default();
        dispatcher.services_mut().out(Pool::Worker, place(0), Timestamp(0));
        dispatcher.services_mut().wait(Pool::Worker, Timestamp(10));
        for (n, tier) in [Tier::Light, Tier::Light, Tier::Heavy].into_iter().enumerate() {
            dispatcher.update(place(u32::try_from(n).unwrap()), wants(tier, false));
        }
        dispatcher
    }

    #[test]
    fn after_an_outage_one_that_did_not_meet_it_goes_ahead_and_then_all_in_their_order() {
        let limits = Limits::default();
        let mut dispatcher = after_an_outage();
        assert_eq!(dispatcher.next(&limits, Timestamp(10)), Some(place(1)));
        dispatcher.services_mut().answered(Pool::Worker, Timestamp(10));
        assert_eq!(dispatcher.next(&limits, Timestamp(10)), Some(place(0)));
    }

    #[test]
    fn the_next_deadline_is_when_somebody_who_waits_may_start() {
        let mut dispatcher = Dispatcher::default();
        dispatcher.wait_for_disk(Wait { until: Timestamp(20), since: Timestamp(0) });
        dispatcher.services_mut().wait(Pool::Reviewer, Timestamp(5));
        assert_eq!(dispatcher.next_deadline(Timestamp(0)), None, "nobody waits");
        dispatcher.update(place(0), wants(Tier::Light, false));
        assert_eq!(dispatcher.next_deadline(Timestamp(0)), Some(Timestamp(20)), "nobody waits for a reviewer");
        dispatcher.services_mut().wait(Pool::Worker, Timestamp(10));
        assert_eq!(dispatcher.next_deadline(Timestamp(0)), Some(Timestamp(10)));
        assert_eq!(dispatcher.next_deadline(Timestamp(10)), Some(Timestamp(20)));
        assert_eq!(dispatcher.next(&Limits::default(), Timestamp(19)), None);
        assert_eq!(dispatcher.next_deadline(Timestamp(20)), None, "it is there");
        assert_eq!(dispatcher.next_deadline(Timestamp(21)), None, "it is over");
    }

    #[test]
    fn permits_that_are_wrong_or_too_many_are_noticed() {
        let limits = Limits::default();
        let mut dispatcher = Dispatcher::default();
        dispatcher.update(place(0), Demand::Live { tier: Tier::Heavy, chain: true });
        assert_eq!(dispatcher.runs_by_tier()[Tier::Heavy as usize], 1);
        assert_eq!(dispatcher.runs_by_tier().iter().sum::<u32>(), 1);
        assert_eq!(dispatcher.check(&limits), Ok(()));
        for narrow in [
            Limits { runs: 0, ..limits.clone() },
            Limits { chains: 0, ..limits.clone() },
            Limits { runs_by_tier: [9, 9, 0], ..limits.clone() },
        ] {
            assert!(dispatcher.check(&narrow).unwrap_err().contains("over a limit"));
        }
        dispatcher.used = [0; 3];
        assert!(dispatcher.check(&limits).unwrap_err().contains("are counted"));
    }
}
