//! Runs simulated histories: `simulate --seed N` tells one of them in full, `simulate --count N [--from N]` many.

use enki_testkit::sim::{Report, simulate, simulate_aloud};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (mut seed, mut count, mut from) = (None, 2000, 0);
    while let Some(arg) = args.next() {
        let value = args.next().and_then(|value| value.parse::<u64>().ok());
        match (arg.as_str(), value) {
            ("--seed", Some(n)) => seed = Some(n),
            ("--count", Some(n)) => count = n,
            ("--from", Some(n)) => from = n,
            _ => {
                eprintln!("usage: simulate --seed N | simulate --count N [--from N]");
                return ExitCode::from(2);
            }
        }
    }
    match seed {
        Some(seed) => one(seed),
        None => many(from, count),
    }
}

fn one(seed: u64) -> ExitCode {
    let (result, transcript) = simulate_aloud(seed);
    for line in transcript {
        println!("{line}");
    }
    match result {
        Ok(report) => {
            println!("{report:#?}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "it measures itself")]
fn many(from: u64, count: u64) -> ExitCode {
    let started = std::time::Instant::now();
    let (mut total, mut failures) = (Report::default(), 0);
    for seed in from..from.saturating_add(count) {
        match simulate(seed) {
            Ok(report) => total = total.plus(report),
            Err(failure) => {
                failures += 1;
                if failures <= 10 {
                    println!("{failure}\n");
                }
            }
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{total:#?}");
    println!("{count} histories in {seconds:.1} s, {failures} failed");
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
