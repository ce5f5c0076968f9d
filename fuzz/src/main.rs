//! Throws mutated inputs at a target, or at each in turn:
//!
//! `cargo run --release -p enki-fuzz -- [--target NAME] [--seconds N] [--seed N]`
//!
//! It begins with the corpus of the target. What breaks a rule is written there, where `cargo test -p enki-fuzz` plays it
//! from then on, and the run ends with exit code 1. The same seed plays the same inputs. Memory may not grow over a run.

#![expect(clippy::disallowed_methods, reason = "a fuzzer measures time")]

use enki_fuzz::mutate::{Random, mutated};
use enki_fuzz::{TARGETS, Target, corpus, root, trial};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn main() -> ExitCode {
    let text = |name: &str| std::env::args().skip_while(|arg| arg != name).nth(1);
    let number = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_secs());
    let seed = number("--seed").unwrap_or_else(clock);
    let time = Duration::from_secs(number("--seconds").unwrap_or(60));
    let wanted = text("--target");
    let chosen: Vec<&Target> = TARGETS.iter().filter(|t| wanted.as_deref().is_none_or(|name| name == t.name)).collect();
    if chosen.is_empty() {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!(
            "error: there is no target {}\nhint: --target takes one of {}",
            wanted.unwrap_or_default(),
            names.join(", ")
        );
        return ExitCode::from(2);
    }
    // What panics is told once, below.
    std::panic::set_hook(Box::new(|_| {}));
    // Each target has its say, also after one that broke a rule.
    let broken = chosen.into_iter().filter(|target| !survives(target, seed, time)).count();
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether a target keeps its rules that long.
fn survives(target: &Target, seed: u64, time: Duration) -> bool {
    let inputs: Vec<Vec<u8>> = corpus(target).into_iter().map(|(_, bytes)| bytes).collect();
    let mut random = Random::new(seed);
    let start = Instant::now();
    let (mut inputs_seen, mut bytes, mut slowest, mut settled) = (0_u64, 0_u64, Duration::ZERO, None);
    while start.elapsed() < time {
        let input = mutated(&mut random, &inputs);
        let began = Instant::now();
        let tried = trial(target, &input);
        slowest = slowest.max(began.elapsed());
        (inputs_seen, bytes) = (inputs_seen + 1, bytes + input.len() as u64);
        if let Err(fault) = tried {
            let kept = keep(target, &input);
            println!("{}: after {inputs_seen} inputs of seed {seed}: {fault}\nkept as {kept}", target.name);
            return false;
        }
        if inputs_seen.is_multiple_of(2_000) {
            let now = resident();
            let first = *settled.get_or_insert(now);
            if now > first + (64 << 10) {
                println!(
                    "{}: after {inputs_seen} inputs of seed {seed}: memory grew from {first} to {now} KiB",
                    target.name
                );
                return false;
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{}: {inputs_seen} inputs of seed {seed}, {:.0} MB in {seconds:.0} s: {:.0} inputs/s, the slowest took {slowest:?}, {} KiB resident; nothing was found",
        target.name,
        bytes as f64 / 1e6,
        inputs_seen as f64 / seconds,
        resident(),
    );
    true
}

fn keep(target: &Target, input: &[u8]) -> String {
    let mut digest = DefaultHasher::new();
    input.hash(&mut digest);
    let end = if target.name == "agent-stream" { ".jsonl" } else { "" };
    let file = format!("{}/{:016x}{end}", target.corpora[0], digest.finish());
    std::fs::write(root().join(&file), input).expect("the corpus takes another file");
    file
}

/// Of this process, in KiB; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
