//! Which attempts have a living agent, so that none ever has two.

use crate::child::Child;
use crate::feed::Channel;
use crate::hunt;
use crate::marker::Marker;
use enki_core::id::EffectId;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::OnceCell;

/// The agents a runner has started, and those that lived before its first start.
///
/// Of the latter a list is made once: one orchestrator drives a project at a time, so no later start of another can
/// concern the same attempts.
#[derive(Debug, Default)]
pub(crate) struct LiveAgents {
    slots: Mutex<HashMap<EffectId, Arc<tokio::sync::Mutex<Slot>>>>,
    before: OnceCell<HashSet<String>>,
}

/// The place of one attempt; locked while its agent is being started.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    agent: Weak<Channel>,
    used: bool,
}

/// Enough for the kill of anything that can be killed.
const LIMIT: Duration = Duration::from_secs(5);

impl Slot {
    pub(crate) fn set(&mut self, child: &Child) {
        self.agent = Arc::downgrade(&child.channel);
        self.used = true;
    }
}

impl LiveAgents {
    pub(crate) fn slot(&self, id: EffectId) -> Arc<tokio::sync::Mutex<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= 64 && slots.len().is_power_of_two() {
            // Keep what is locked, waited for, or has an agent.
            slots.retain(|_, slot| {
                Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|s| s.agent.strong_count() > 0)
            });
        }
        Arc::clone(slots.entry(id).or_default())
    }

    /// Stops an agent of that attempt that is known to live, or to have lived before.
    pub(crate) async fn stop_left(&self, slot: &mut Slot, id: EffectId) -> Result<(), String> {
        let before = self.before.get_or_init(|| async { blocking(hunt::marked_runs).await.unwrap_or_default() }).await;
        if slot.agent.strong_count() > 0 || (!slot.used && before.contains(&id.hex())) {
            self.stop_any(slot, id).await?;
        }
        Ok(())
    }

    /// Stops whatever carries the mark of that attempt.
    pub(crate) async fn stop_any(&self, slot: &mut Slot, id: EffectId) -> Result<(), String> {
        if let Some(agent) = slot.agent.upgrade() {
            agent.stop(Duration::ZERO);
        }
        slot.used = true;
        let hunted = blocking(move || hunt::kill_marked(&[Marker::run(id)], LIMIT)).await?;
        match hunted.survivors {
            0 => Ok(()),
            n => {
                Err(format!("{n} processes of an earlier agent of this attempt cannot be killed; look at them with ps"))
            }
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|e| format!("a look at the running processes failed: {e}"))
}
