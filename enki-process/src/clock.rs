//! The only place of this crate that reads a clock or waits for one.

use rustix::event::{PollFd, Timespec, poll};
use std::time::{Duration, Instant};

/// The monotonic clock. It stands still while the machine sleeps, and so does the child.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits for one of `fds`, at most until `deadline`. An interrupted or failed wait returns early: callers look again.
pub(crate) fn wait_until(fds: &mut [PollFd<'_>], deadline: Option<Instant>) {
    let timeout = deadline.map(|at| timespec(at.saturating_duration_since(now())));
    // EINTR, ENOMEM: the caller's loop comes back here.
    let _ = poll(fds, timeout.as_ref());
}

/// Pauses where there is no descriptor to wait for.
pub(crate) fn pause(time: Duration) {
    wait_until(&mut [], Some(now() + time));
}

fn timespec(time: Duration) -> Timespec {
    // Rounded up to a whole millisecond, so that nobody wakes just before a deadline and spins.
    let millis = i64::try_from(time.as_micros().div_ceil(1000)).unwrap_or(i64::MAX / 1_000_000);
    Timespec { tv_sec: millis / 1000, tv_nsec: (millis % 1000) * 1_000_000 }
}
