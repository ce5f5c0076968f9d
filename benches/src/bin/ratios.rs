//! The figures of Enki as ratios against named baselines, measured side by side in one run:
//! `cargo run --release -p enki-benches --bin ratios`, with `V1` to `V5` after `--` for one group. `V5` runs only
//! alone: it is the peak of the whole process.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time and starts its baseline")]

use enki_benches::durable::{self, Nothing};
use enki_benches::life::{self, Agents};
use enki_benches::plans::{Shape, plan, spec};
use enki_benches::{baseline, plans};
use enki_core::driver::{Shutdown, Submission};
use enki_core::store::{LogId, TaskStore, Version};
use enki_store_sqlite::{OpenOptions, SqliteStore};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("{:<58} {:>12} {:>12} {:>8}  goal", "figure", "enki", "baseline", "ratio");
    let only = std::env::args().nth(1);
    let wanted = |group: &str| only.as_deref().is_none_or(|only| only == group);
    if wanted("V1") {
        machines()?;
    }
    if wanted("V2") {
        durable_runs()?;
    }
    if wanted("V3") {
        submit_to_start()?;
    }
    if wanted("V4") {
        recovery()?;
    }
    if only.as_deref() == Some("V5") {
        memory()?;
    }
    Ok(())
}

/// Peak memory of this process, which ran one plan end to end.
fn memory() -> Result<(), Box<dyn std::error::Error>> {
    durable_seconds(Shape::Layers(10), 10_000, 10)?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    match peak {
        Some(kilobytes) => {
            row("V5 peak memory of 10k steps end to end (MB), against make", kilobytes / 1024.0, 22.0, "<= 1.0")
        }
        None => println!("skipped: the peak of memory cannot be read here"),
    }
    Ok(())
}

fn row(name: &str, ours: f64, theirs: f64, goal: &str) {
    println!("{name:<58} {ours:>12.1} {theirs:>12.1} {:>8.2}  {goal}", ours / theirs);
}

/// Seconds of the fastest of `times` runs: what is left when the machine is not doing something else.
fn best(times: usize, mut run: impl FnMut()) -> f64 {
    let one = |_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    };
    (0..times).map(one).fold(f64::INFINITY, f64::min)
}

fn life_rate(n: usize, agents: Agents) -> f64 {
    let plan = plan(Shape::Layers(10), n);
    let mut copies: Vec<_> = (0..5).map(|_| plan.clone()).collect();
    let seconds = best(5, || {
        let plan = copies.pop().expect("one for each run");
        assert!(life::run(plan, agents) > n);
    });
    n as f64 / seconds
}

fn machines() -> Result<(), Box<dyn std::error::Error>> {
    let n = 10_000;
    let ours = life_rate(n, Agents::Idle);
    let task = n as f64 / best(5, || baseline::task_per_step(Shape::Layers(10), n));
    row("V1 steps/s in memory, 10k, against a goal of 300,000", ours, 300_000.0, ">= 1.0");
    row("V1 steps/s in memory, 10k, against a tokio task per step", ours, task, ">= 0.25");
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("Makefile"), baseline::makefile(Shape::Layers(10), n))?;
    let make =
        || Command::new("make").args(["-j2", "-s", "all"]).current_dir(folder.path()).stdout(Stdio::null()).status();
    if make().is_ok_and(|status| status.success()) {
        let seconds = best(3, || assert!(make().is_ok_and(|status| status.success())));
        row("V1 steps/s in memory, 10k, against make -j2", ours, n as f64 / seconds, "> 1.0");
    } else {
        println!("skipped: make is not installed");
    }
    let (small, large) = (life_rate(1_000, Agents::Idle), life_rate(100_000, Agents::Idle));
    row("V1 cost per step (us), 100k against 1k", 1e6 / large, 1e6 / small, "<= 1.3");
    let (small, large) = (life_rate(1_000, Agents::Change), life_rate(100_000, Agents::Change));
    row("V1 the same with every step merged", 1e6 / large, 1e6 / small, "<= 1.3");
    Ok(())
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn durable_seconds(shape: Shape, n: usize, width: u32) -> Result<f64, std::io::Error> {
    let (runtime, folder, spec) = (runtime()?, tempfile::tempdir()?, spec(shape, n));
    let start = Instant::now();
    runtime.block_on(durable::run(folder.path(), spec, width));
    Ok(start.elapsed().as_secs_f64())
}

fn durable_runs() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let n = 2_000;
    let (mut chain, mut raw) = (f64::INFINITY, f64::INFINITY);
    for _ in 0..3 {
        raw = raw.min(best(1, || baseline::raw_appends(folder.path(), n).expect("a temporary folder can be written")));
        chain = chain.min(durable_seconds(Shape::Chain, n, 1)?);
    }
    row("V2 durable chain, steps/s, against appends + fdatasync", n as f64 / chain, n as f64 / raw, ">= 0.4");
    let n = 10_000;
    let (mut wide, mut bare, mut small) = (f64::INFINITY, f64::INFINITY, f64::INFINITY);
    for _ in 0..3 {
        let scratch = tempfile::tempdir()?;
        bare =
            bare.min(best(1, || baseline::bare_rows(scratch.path(), n, 8).expect("a temporary folder can be written")));
        wide = wide.min(durable_seconds(Shape::Layers(8), n, 8)?);
        small = small.min(durable_seconds(Shape::Layers(8), 1_000, 8)?);
    }
    row("V2 durable width 8, steps/s, against a bare loop of rows", n as f64 / wide, n as f64 / bare, ">= 0.5");
    row("V2 time of 10k steps against 1k (ms)", wide * 1e3, small * 1e3, "<= 10.5");
    Ok(())
}

fn nanoseconds() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn submit_to_start() -> Result<(), Box<dyn std::error::Error>> {
    let (runtime, folder) = (runtime()?, tempfile::tempdir()?);
    let mut waits = runtime.block_on(async {
        let store = Arc::new(SqliteStore::open(folder.path().join("enki.db"), &OpenOptions::default())?);
        let world = Arc::new(Nothing::noting(nanoseconds));
        let enki = durable::start(store, Arc::clone(&world), 1, 10).await;
        let mut waits = Vec::new();
        for _ in 0..200 {
            let before = nanoseconds();
            let accepted = enki.submit(Submission::new(plans::spec(Shape::Chain, 1), "main".parse()?)).await?;
            enki.rest(accepted.execution).await?;
            waits.push((world.started.load(Ordering::Acquire).saturating_sub(before)) as f64 / 1e6);
        }
        enki.shut_down(Shutdown::Drain);
        Ok::<_, Box<dyn std::error::Error>>(waits)
    })?;
    waits.sort_by(f64::total_cmp);
    row("V3 submit to agent start, p50 (ms), against 3 ms", waits[waits.len() / 2], 3.0, "<= 1.0");
    row("V3 submit to agent start, p99 (ms), against 15 ms", waits[waits.len() * 99 / 100], 15.0, "<= 1.0");
    Ok(())
}

fn recovery() -> Result<(), Box<dyn std::error::Error>> {
    for (n, goal) in [(10_000, 100.0), (100_000, 1_000.0)] {
        let (runtime, folder) = (runtime()?, tempfile::tempdir()?);
        let id = runtime.block_on(durable::half_done(folder.path(), spec(Shape::Layers(10), n)));
        let open = |path: &Path| SqliteStore::open(path.join("enki.db"), &OpenOptions::default());
        let rows = best(3, || {
            let store = open(folder.path()).expect("it was just written");
            let rows = runtime.block_on(store.load(LogId::execution(id), Version(0)));
            assert!(rows.is_ok_and(|rows| rows.len() > n / 2));
        });
        let whole = best(3, || {
            let store = Arc::new(open(folder.path()).expect("it was just written"));
            runtime.block_on(async {
                let enki = durable::start(store, Arc::default(), 0, n).await;
                let there = enki.query(move |e| e.holds_execution(id)).await;
                assert!(there.is_ok_and(|there| there));
                enki.shut_down(Shutdown::Drain);
            });
        });
        row(&format!("V4 recovery of {n} steps (ms), against reading the rows"), whole * 1e3, rows * 1e3, "-");
        row(&format!("V4 recovery of {n} steps (ms), against {goal} ms"), whole * 1e3, goal, "<= 1.0");
    }
    Ok(())
}
