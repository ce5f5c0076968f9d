//! A running child process, as its caller sees it.

use crate::ended::Ended;
use crate::feed::{Channel, ChildEvent};
use std::sync::Arc;
use std::time::Duration;

/// A running child process. Dropping it kills the whole tree, without waiting for it.
#[derive(Debug)]
pub struct Child {
    pub(crate) channel: Arc<Channel>,
    pub(crate) pid: u32,
    pub(crate) ended: bool,
}

impl Child {
    /// Its number, which is that of its process group too. For display: it may be another's by the time you use it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The next thing it did. Cancel-safe. Not to be called again after [`ChildEvent::Ended`]: it would wait for ever.
    pub async fn next(&mut self) -> ChildEvent {
        let event = self.channel.next().await;
        self.ended |= matches!(event, ChildEvent::Ended(_));
        event
    }

    /// Waits for its end; drops all other events.
    pub async fn wait(mut self) -> Ended {
        loop {
            if let ChildEvent::Ended(ended) = self.next().await {
                return ended;
            }
        }
    }

    /// Asks it to stop: politely, and after `grace` by force. Its end is an event as always, within `grace` + 5 s.
    /// Idempotent; the shortest grace counts. Never blocks.
    pub fn stop(&self, grace: Duration) {
        self.channel.stop(grace);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.ended {
            self.channel.abandon();
        }
    }
}
