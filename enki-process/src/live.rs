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
    /// A hunt for what is left of it began and did not end well.
    unsure: bool,
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
            // Keep what is locked, waited for, or has or may have an agent.
            slots.retain(|_, slot| {
                Arc::strong_count(slot) > 1 || slot.try_lock().is_ok_and(|s| s.unsure || s.agent.strong_count() > 0)
            });
        }
        Arc::clone(slots.entry(id).or_default())
    }

    /// Stops an agent of that attempt that may live, or is known to have lived before.
    pub(crate) async fn stop_left(&self, slot: &mut Slot, id: EffectId) -> Result<(), String> {
        let list = || async { blocking(hunt::marked_runs).await?.map_err(|error| error.to_string()) };
        // While there is no list, each attempt may be on it.
        let lived = self.before.get_or_try_init(list).await.map_or(true, |before| before.contains(&id.hex()));
        if slot.unsure || slot.agent.strong_count() > 0 || (!slot.used && lived) {
            self.stop_any(slot, id).await?;
        }
        Ok(())
    }

    /// Stops whatever carries the mark of that attempt.
    pub(crate) async fn stop_any(&self, slot: &mut Slot, id: EffectId) -> Result<(), String> {
        if let Some(agent) = slot.agent.upgrade() {
            agent.stop(Duration::ZERO);
        }
        slot.unsure = true;
        let hunted = blocking(move || hunt::kill_marked(&[Marker::run(id)], LIMIT)).await?;
        if let Some(trouble) = hunted.trouble() {
            return Err(format!("processes of an earlier agent of this attempt {trouble}"));
        }
        (slot.used, slot.unsure) = (true, false);
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|e| format!("a look at the running processes failed: {e}"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::marker::RUN_MARKER;
    use std::os::unix::process::ExitStatusExt;

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "a test starts what is left of an agent")]
    async fn an_attempt_whose_hunt_did_not_end_is_hunted_again() {
        let (live, id) = (LiveAgents::default(), EffectId::of("live", &[&std::process::id().to_be_bytes()]));
        let slot = live.slot(id);
        let mut slot = slot.lock().await;
        // The list is made, and the attempt is not on it.
        live.stop_left(&mut slot, id).await.unwrap();
        tokio::select! {
            biased;
            _ = live.stop_any(&mut slot, id) => panic!("it is to be cut off"),
            () = std::future::ready(()) => {}
        }
        let mut left = std::process::Command::new("sleep").arg("1000").env(RUN_MARKER, id.hex()).spawn().unwrap();
        live.stop_left(&mut slot, id).await.unwrap();
        let end = left.try_wait().unwrap();
        let _ = left.kill();
        left.wait().unwrap();
        assert_eq!(end.and_then(|end| end.signal()), Some(9));
        assert!(!slot.unsure);
    }
}
