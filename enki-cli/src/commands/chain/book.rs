//! The log of an outside coordinator: what it said, decided, appended, and only then told.

use crate::error::CliError;
use crate::exit::Exit;
use enki_core::chain::outside::{Input, Outside, Rejected};
use enki_core::id::EffectId;
use enki_core::limits::Limits;
use enki_core::record;
use enki_core::store::{Append, Holder, Lease, LogId, LogKind, Recorded, TaskStore, Version};
use enki_core::time::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The folder of what belongs to coordinators: one each, with its lock.
pub(super) fn folder(state_dir: &Path) -> PathBuf {
    state_dir.join("coordinators")
}

/// The log of the coordinator of that name.
pub(super) fn log_of(name: &str) -> LogId {
    let hex = EffectId::of("coordinator", &[name.as_bytes()]).hex();
    LogId { kind: LogKind::Chains, id: u128::from_str_radix(&hex, 16).expect("an effect id is 32 hex digits") }
}

/// Folds the log of a coordinator. `each` sees the state after every fact.
pub(super) async fn read(
    store: &dyn TaskStore,
    name: &str,
    mut each: impl FnMut(&Outside, &Recorded),
) -> Result<Outside, CliError> {
    let mut state = Outside::default();
    for row in store.load(log_of(name), Version(0)).await? {
        let event = record::decode_chains(row.format, &row.body).map_err(|error| unreadable(name, &row, &error))?;
        state.apply(&event);
        each(&state, &row);
    }
    Ok(state)
}

/// The chains of a coordinator with the right to write their log.
#[derive(Debug)]
pub(super) struct Book {
    store: Arc<dyn TaskStore>,
    log: LogId,
    lease: Lease,
    clock: fn() -> Timestamp,
    limits: Limits,
    pub(super) state: Outside,
}

impl Book {
    /// Takes the lease and folds the log. The caller holds the coordinator's lock, so that nobody else has the lease.
    pub(super) async fn open(
        store: Arc<dyn TaskStore>,
        name: &str,
        holder: &Holder,
        limits: Limits,
        clock: fn() -> Timestamp,
    ) -> Result<Self, CliError> {
        let now = clock();
        let lease =
            store.acquire(&format!("coordinator/{name}"), holder, now, now.plus(Duration::from_secs(30))).await?;
        let mut newer = None;
        let state = read(store.as_ref(), name, |_, row| {
            if let Err(error) = record::check_writable(row.format) {
                newer.get_or_insert_with(|| unreadable(name, row, &error));
            }
        })
        .await?;
        match newer {
            Some(error) => Err(error),
            None => Ok(Self { store, log: log_of(name), lease, clock, limits, state }),
        }
    }

    /// Decides, appends, and only then changes the state. Gives what should be known of how an answer was read.
    pub(super) async fn say(&mut self, input: &Input) -> Result<Result<Vec<String>, Rejected>, CliError> {
        let decided = match self.state.decide(input, &self.limits) {
            Ok(decided) => decided,
            Err(rejected) => return Ok(Err(rejected)),
        };
        if !decided.events.is_empty() {
            let append = Append {
                log: self.log,
                expected: Version(self.state.facts()),
                at: (self.clock)(),
                format: record::FORMAT,
                events: decided.events.iter().map(record::encode_chains).collect(),
                summary: None,
                tasks: Vec::new(),
            };
            // Whoever is killed after this is told the same directives at the next start.
            self.store.append(&self.lease, vec![append]).await?;
            decided.events.iter().for_each(|event| self.state.apply(event));
        }
        Ok(Ok(decided.notices))
    }

    /// Gives the lease back.
    pub(super) async fn close(self) -> Result<(), CliError> {
        Ok(self.store.release(self.lease).await?)
    }
}

fn unreadable(name: &str, row: &Recorded, error: &record::RecordError) -> CliError {
    let message = format!("the log of coordinator {name} cannot be used at event {}: {error}", row.version.0);
    CliError::new(Exit::Store, message).hint("use a newer enki, or a backup: enki.db.backup-* beside the store")
}
