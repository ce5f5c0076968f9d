//! Runs simulated histories: `simulate --count N [--from N]` many, `simulate --seed N` tells one of them in full, and
//! `simulate --seed N --shrink` seeks the shortest one that breaks the same promise.

use enki_testkit::sim::{Failure, Faults, History, Report};
use std::process::ExitCode;

const USAGE: &str = "usage: simulate [--count N] [--from N]
       simulate --seed N [--turmoil MS] [--without FAULT]... [--shrink]";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (mut history, mut one, mut shrink, mut count, mut from) = (History::new(0), false, false, 2000, 0);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|value| value.parse::<u64>().ok());
        let known = match arg.as_str() {
            "--seed" => number().map(|n| (history.seed, one) = (n, true)),
            "--turmoil" => number().and_then(|n| n.try_into().ok()).map(|ms| history.turmoil = ms),
            "--count" => number().map(|n| count = n),
            "--from" => number().map(|n| from = n),
            "--without" => {
                let name = args.next().filter(|name| Faults::NAMES.contains(&name.as_str()));
                name.map(|name| history.without.extend([name]))
            }
            "--shrink" => {
                shrink = true;
                Some(())
            }
            _ => None,
        };
        if known.is_none() {
            eprintln!("{USAGE}\nfaults: {}", Faults::NAMES.join(", "));
            return ExitCode::from(2);
        }
    }
    match (one, shrink) {
        (true, true) => tell(&history.shrink()),
        (true, false) => tell(&history),
        (false, _) => many(from, count),
    }
}

fn tell(history: &History) -> ExitCode {
    let (result, transcript) = history.run_aloud();
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
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let part = |thread: u64| {
        let seeds = (from..from.saturating_add(count)).filter(move |seed| seed % threads == thread);
        seeds.map(|seed| History::new(seed).run()).fold((Report::default(), Vec::new()), add)
    };
    let (total, failures) = std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads).map(|thread| scope.spawn(move || part(thread))).collect();
        let parts = parts.into_iter().map(|part| part.join().unwrap_or_else(|why| std::panic::resume_unwind(why)));
        parts.fold((Report::default(), Vec::new()), |(total, mut all), (report, failures)| {
            all.extend(failures);
            (total.plus(report), all)
        })
    });
    let seconds = started.elapsed().as_secs_f64();
    for failure in failures.iter().take(10) {
        println!("{failure}\nshorter:   {} --shrink\n", failure.history);
    }
    println!("{total:#?}");
    println!("{count} histories in {seconds:.1} s, {:.0}/s: {} failed", count as f64 / seconds, failures.len());
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn add((total, mut failures): (Report, Vec<Failure>), result: Result<Report, Failure>) -> (Report, Vec<Failure>) {
    match result {
        Ok(report) => (total.plus(report), failures),
        Err(failure) => {
            failures.push(failure);
            (total, failures)
        }
    }
}
