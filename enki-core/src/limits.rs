//! Limits and budgets, passed to the machines as arguments.

use crate::tier::Tier;
use std::time::Duration;

/// Limits that decisions depend on. The default is model section 3 to 5.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Agent processes at once, of all tiers.
    pub runs: u32,
    /// Agent processes at once of light, standard and heavy tier.
    pub runs_by_tier: [u32; 3],
    /// Review chains open at once.
    pub chains: u32,
    /// Infrastructure failures of a step before it fails; cleared by the next success.
    pub infra_retries: u32,
    /// Times a runtime may be unable to start an agent before the step fails.
    pub spawn_failures: u32,
    /// Times a step may run again because another change landed in its way, and times in a row that a conflict of a
    /// landing is resolved without a person's word.
    pub resolutions: u32,
    /// Times a change is built anew because its target moved, before a person is asked.
    pub rebuilds: u32,
    /// Most changes in one candidate. How many it really is follows from the share of changes that fail.
    pub max_batch: u32,
    /// Whether it does; else each batch is as large as it may be.
    pub adaptive_batch: bool,
    /// A batch of at most so many that fails is tried one by one, a larger one in halves.
    pub split_to_singles: u32,
    /// Most candidates of one queue in the works at once, each built on the one before.
    pub window: u32,
    /// How long a change waits until it goes before a newer one of the next higher priority.
    pub age_step: Duration,
    /// How long a passed check may be used again for the same tree.
    pub verdict_age: Duration,
    /// Whether a change that fails is checked alone on the base it was queued on, if others were merged since.
    pub interactions: bool,
    /// Waits before infrastructure retries; the last one repeats.
    pub backoff: Vec<Duration>,
    /// Waits before a service that is out is asked again; the last one repeats.
    pub outage_backoff: Vec<Duration>,
    /// Times an attempt of a step may find the service out, while others are served in between, before it is charged.
    pub lone_outages: u32,
    /// Waits before a check without an answer is tried again; after the last the queue pauses.
    pub check_backoff: Vec<Duration>,
    /// Waits before a landing that something of a person's is in the way of is tried again; the last one repeats.
    pub landing_backoff: Vec<Duration>,
    /// Times a refused landing is tried again by itself; after that at the next start, or when a person asks.
    pub landing_tries: u32,
    /// Largest number of steps of an execution.
    pub max_steps: usize,
    /// How far agents are held back here, by the number of the sandbox's level: decides nothing, and is recorded with each
    /// attempt. `None` where nobody says.
    pub sandbox: Option<u8>,
}

impl Limits {
    /// The limit of that tier.
    #[must_use]
    pub const fn tier(&self, tier: Tier) -> u32 {
        self.runs_by_tier[tier as usize]
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            runs: 10,
            runs_by_tier: [10, 5, 5],
            chains: 6,
            infra_retries: 2,
            spawn_failures: 2,
            resolutions: 3,
            rebuilds: 5,
            max_batch: 1,
            adaptive_batch: true,
            split_to_singles: 4,
            window: 1,
            age_step: Duration::from_secs(30 * 60),
            verdict_age: Duration::from_secs(24 * 3600),
            interactions: true,
            backoff: vec![Duration::from_secs(5), Duration::from_secs(20)],
            check_backoff: vec![Duration::from_secs(10), Duration::from_secs(60), Duration::from_secs(300)],
            outage_backoff: [30, 60, 120, 300, 600, 900].map(Duration::from_secs).to_vec(),
            lone_outages: 3,
            landing_tries: 24,
            landing_backoff: [1, 5, 15, 60].map(|minutes| Duration::from_secs(minutes * 60)).to_vec(),
            max_steps: 1000,
            sandbox: None,
        }
    }
}
