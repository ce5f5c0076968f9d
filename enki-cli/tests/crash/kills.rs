//! Kills at random moments.

use crate::oracle;
use crate::place::{Kill, Kind, Place};
use std::time::Duration;

#[test]
fn killed_at_random_moments_nothing_is_lost_or_doubled() {
    let number = |name: &str, default: u64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (wanted, seed) = (number("ENKI_KILLS", 100), number("ENKI_SEED", 1));
    let mut random = Random(seed);
    let (mut kills, mut with_gits, mut plans) = (0, 0, 0);
    while kills < wanted {
        let kind =
            Kind { checked_out: random.below(2) == 0, old_store: random.below(8) == 0, more_steps: 3, ..Kind::AWAY };
        // Its own plan's first kills; the last ones of all may hit nothing any more.
        let mut left = 1 + random.below(8);
        let place = Place::new(kind);
        let ended = place.to_the_end(|place, args| {
            left = left.checked_sub(1)?;
            // A fast-forward of a person's files is made by the person's own git: a half of it calls for the person.
            let gits = !kind.checked_out && random.below(3) == 0;
            let kill = Kill { after: Duration::from_micros(random.below(900_000)), gits };
            let run = place.run(args, None, Some(&kill));
            kills += u64::from(run.was_killed());
            with_gits += u64::from(run.was_killed() && gits);
            Some(run)
        });
        let well = ended.and_then(|_| oracle::look(&place));
        assert!(well.is_ok(), "after {kills} kills, seed {seed}, {kind:?}: {}", well.unwrap_err());
        plans += 1;
        println!("seed {seed}: {kills} kills over {plans} plans so far");
    }
    println!(
        "seed {seed}: {kills} kills, {with_gits} of them with all gits, over {plans} plans: nothing lost or doubled"
    );
}

/// A linear congruential generator: kills need no better one.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
