//! The way of a child's events from its keeper thread to the caller.

use crate::ended::Ended;
use std::collections::VecDeque;
use std::io::{PipeWriter, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// What of its output a child's caller wants to see while it runs. The log and the tails have it in any case.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Feed {
    /// Nothing.
    Silent,
    /// All of stdout and stderr, in pieces as they come.
    Chunks,
    /// Stdout line by line, without newlines; of a longer line the first `longest` bytes. Stderr is not fed.
    Lines {
        /// Longest line in bytes.
        longest: usize,
    },
    /// The latest line of stdout, at most one in `every`; for a display.
    Latest {
        /// Shortest time between two.
        every: Duration,
    },
}

/// One of a child's two output streams.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What a child did.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ChildEvent {
    /// It put out something, see [`Feed`].
    Output {
        /// Where.
        stream: Stream,
        /// The line or piece.
        bytes: Vec<u8>,
        /// Whether it is only the beginning of a line that was too long.
        cut: bool,
    },
    /// The caller took nothing for a second, so the oldest output waiting for it was dropped.
    Lost {
        /// How many events.
        events: u64,
        /// How much they held, line ends not counted.
        bytes: u64,
    },
    /// It is over; its tree is gone. The last event.
    Ended(Ended),
}

/// What the caller wants of the keeper.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) stop: Option<Duration>,
    pub(crate) dropped: bool,
    /// How many events the caller has taken.
    pub(crate) taken: u64,
    pub(crate) full: bool,
}

/// Shared by keeper and caller. Bounded by bytes; the caller's side never blocks.
#[derive(Debug)]
pub(crate) struct Channel {
    state: Mutex<State>,
    notify: Notify,
    wake: PipeWriter,
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<ChildEvent>,
    bytes: usize,
    lost: (u64, u64),
    ended: Option<Ended>,
    wishes: Wishes,
    woken: bool,
    keeper_waits: bool,
}

/// What an event costs beyond its bytes.
const OVERHEAD: usize = 64;

impl Channel {
    pub(crate) fn new(wake: PipeWriter, capacity: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), notify: Notify::new(), wake, capacity })
    }

    /// Adds an event. Never refused: the keeper asks [`Wishes::full`] before it reads on.
    pub(crate) fn push(&self, stream: Stream, bytes: Vec<u8>, cut: bool) {
        let mut state = self.lock();
        state.bytes += bytes.len() + OVERHEAD;
        state.queue.push_back(ChildEvent::Output { stream, bytes, cut });
        drop(state);
        self.notify.notify_one();
    }

    /// Replaces whatever waits by this event.
    pub(crate) fn replace(&self, stream: Stream, bytes: Vec<u8>) {
        let mut state = self.lock();
        state.queue.clear();
        state.bytes = bytes.len() + OVERHEAD;
        state.queue.push_back(ChildEvent::Output { stream, bytes, cut: false });
        drop(state);
        self.notify.notify_one();
    }

    /// Drops the oldest events until half the room is free.
    pub(crate) fn make_room(&self) {
        let mut state = self.lock();
        while state.bytes > self.capacity / 2
            && let Some(event) = state.queue.pop_front()
        {
            state.forget(&event);
            if let ChildEvent::Output { bytes, .. } = event {
                state.lost = (state.lost.0 + 1, state.lost.1 + bytes.len() as u64);
            }
        }
    }

    pub(crate) fn end(&self, ended: Ended) {
        self.lock().ended = Some(ended);
        self.notify.notify_one();
    }

    /// The caller's wishes. Called by the keeper after each wait; from then on a new wish wakes it again.
    pub(crate) fn wishes(&self) -> Wishes {
        let mut state = self.lock();
        state.woken = false;
        state.keeper_waits = state.bytes >= self.capacity;
        state.wishes.full = state.keeper_waits;
        state.wishes
    }

    pub(crate) async fn next(&self) -> ChildEvent {
        loop {
            if let Some(event) = self.take() {
                return event;
            }
            self.notify.notified().await;
        }
    }

    pub(crate) fn stop(&self, grace: Duration) {
        let mut state = self.lock();
        state.wishes.stop = Some(state.wishes.stop.map_or(grace, |earlier| earlier.min(grace)));
        self.wake(state);
    }

    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.wishes.dropped = true;
        self.wake(state);
    }

    fn take(&self) -> Option<ChildEvent> {
        let mut state = self.lock();
        if state.lost.0 > 0 {
            let (events, bytes) = std::mem::take(&mut state.lost);
            return Some(ChildEvent::Lost { events, bytes });
        }
        let Some(event) = state.queue.pop_front() else { return state.ended.take().map(ChildEvent::Ended) };
        state.forget(&event);
        state.wishes.taken += 1;
        if state.keeper_waits && state.bytes <= self.capacity / 2 {
            self.wake(state);
        }
        Some(event)
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        // One byte is enough, and the pipe can never fill up.
        if !std::mem::replace(&mut state.woken, true) {
            drop(state);
            // The keeper is gone if this fails, and then nobody need be woken.
            let _ = (&self.wake).write(&[0]);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, event: &ChildEvent) {
        if let ChildEvent::Output { bytes, .. } = event {
            self.bytes = self.bytes.saturating_sub(bytes.len() + OVERHEAD);
        }
    }
}
