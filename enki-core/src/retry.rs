//! Backoff as a pure function of the number of failures and a seed.

use std::time::Duration;

/// The wait before try number `failures + 1`: the matching entry of `table`, its last one from then on, lengthened by
/// up to a tenth. `seed` spreads what failed together; the same arguments give the same wait.
#[must_use]
pub fn backoff(table: &[Duration], failures: u32, seed: u64) -> Duration {
    let at = (failures.saturating_sub(1) as usize).min(table.len().saturating_sub(1));
    let Some(wait) = table.get(at) else { return Duration::ZERO };
    // SplitMix64's finaliser: neighbouring seeds give unrelated tenths.
    let mut mixed = seed.wrapping_add(u64::from(failures)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^= mixed >> 31;
    let spread = u128::from(mixed % 1000) * wait.as_millis() / 10_000;
    *wait + Duration::from_millis(u64::try_from(spread).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_follow_the_table_within_a_tenth() {
        let table = [Duration::from_secs(5), Duration::from_secs(20)];
        for (failures, floor) in [(1, 5_000), (2, 20_000), (3, 20_000), (99, 20_000)] {
            for seed in 0..100 {
                let wait = backoff(&table, failures, seed).as_millis();
                assert!((floor..=floor + floor / 10).contains(&wait), "{failures} {seed}: {wait}");
            }
        }
        assert_eq!(backoff(&[], 1, 0), Duration::ZERO);
        assert_ne!(backoff(&table, 1, 1), backoff(&table, 1, 2));
    }
}
