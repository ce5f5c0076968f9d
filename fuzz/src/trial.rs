//! One input, put to a target under the limits of S12.

use crate::target::Target;
use rustix::time::{ClockId, clock_gettime};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// An input may take so much memory, or this for each of its bytes.
const MEMORY: u64 = 64 << 20;

/// Puts an input to a target.
///
/// # Errors
///
/// Which rule it broke: one of the target's, no panic, a second, 64 MB.
pub fn trial(target: &Target, input: &[u8]) -> Result<(), String> {
    // One at a time: the memory is that of the process.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // Resetting the peak costs more than most inputs; only large ones can use much.
    let before = (input.len() >= 64 << 10).then(reset_peak).flatten();
    let began = spent();
    let read = catch_unwind(AssertUnwindSafe(|| (target.read)(input)));
    let took = spent() - began;
    match read {
        Ok(Ok(())) => {}
        Ok(Err(broken)) => return Err(broken),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
            return Err(format!("it panicked: {}", text.unwrap_or("no message")));
        }
    }
    // Without optimisation the same work takes ten times as long.
    let limit = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 });
    if took > limit.mul_f64((input.len() as f64 / f64::from(1 << 20)).max(1.0)) {
        return Err(format!("{} bytes took {took:?}", input.len()));
    }
    let grown = before.and_then(|before| Some(status("VmHWM:")?.saturating_sub(before))).unwrap_or(0);
    if grown > MEMORY {
        return Err(format!("{} bytes took {} MiB of memory", input.len(), grown >> 20));
    }
    Ok(())
}

/// What this thread used of the processor: a machine that is busy with others does no harm.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// Begins to measure the peak of memory anew, and gives where it begins. `None` where the system does not tell.
fn reset_peak() -> Option<u64> {
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    status("VmRSS:")
}

/// Of this process, in bytes.
fn status(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn target(read: fn(&[u8]) -> Result<(), String>) -> Target {
        Target { name: "one of a test", corpora: &[], read }
    }

    #[test]
    fn what_panics_or_breaks_a_rule_is_told() {
        let panics = target(|bytes| {
            assert!(bytes.is_empty(), "there is something");
            Ok(())
        });
        assert_eq!(trial(&panics, b""), Ok(()));
        assert_eq!(trial(&panics, b"x"), Err("it panicked: there is something".into()));
        assert_eq!(trial(&target(|_| Err("a rule".into())), b""), Err("a rule".into()));
    }

    #[test]
    fn who_takes_too_much_memory_is_found_though_all_of_it_is_given_back() {
        let hungry = target(|_| {
            let all = vec![1_u8; 100 << 20];
            (all.iter().map(|byte| u64::from(*byte)).sum::<u64>() > 0).then_some(()).ok_or_else(String::new)
        });
        let input = vec![b'x'; 64 << 10];
        let told = trial(&hungry, &input).expect_err("100 MiB are too much");
        assert!(told.contains("MiB of memory"), "{told}");
    }
}
