//! The figures of Enki as ratios against named baselines, measured side by side in one run:
//! `cargo run --release -p enki-benches --bin ratios`, with `V1` to `V12` after `--` for one group. `V5` runs only
//! alone: it is the peak of the whole process. So does `NOTES`, which starts the `enki` that was built beside this program
//! (`cargo build --release -p enki-cli`) among ten thousand notes, and `BIG`, which is no ratio: twenty steps on a repository of 30,000
//! files and 270 MB, with the time of each phase.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time and starts its baseline")]

use enki_benches::durable::{self, Nothing};
use enki_benches::life::{self, Agents};
use enki_benches::merges::{Captured, median};
use enki_benches::notes::Noted;
use enki_benches::plans::{Shape, plan, spec};
use enki_benches::repository::Repository;
use enki_benches::{baseline, decoding, landing, overlays, plans, verdicts, workspaces};
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
    if wanted("V8") {
        prepared()?;
    }
    if wanted("V9") {
        merges()?;
    }
    if wanted("V10") {
        landings()?;
    }
    if wanted("V11") {
        verdict_to_fix()?;
    }
    if wanted("V12") {
        decoded()?;
    }
    if only.as_deref() == Some("NOTES") {
        notes()?;
    }
    if only.as_deref() == Some("V5") {
        memory()?;
    }
    if only.as_deref() == Some("BIG") {
        large()?;
    }
    Ok(())
}

fn decoded() -> Result<(), Box<dyn std::error::Error>> {
    let (all, pieces) = decoding::measure()?;
    row("V12 Claude's recorded streams (MB/s), against 200 MB/s", all.decoder, 200.0, ">= 1.0");
    row("V12 the same, against serde_json values", all.decoder, all.values, ">= 1.0");
    row("V12 texts in pieces (MB/s), against serde_json values", pieces.decoder, pieces.values, ">= 1.0");
    Ok(())
}

fn prepared() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?;
    // One for all: on ext4 making files is slow for minutes after many were deleted.
    let repository = Repository::new(30_000, 1_000);
    let times = runtime.block_on(workspaces::measure(&repository, 3));
    let worktree = median(&times.worktree);
    row("V8 workspace from the pool, p50 (ms), against 20 ms", median(&times.pooled), 20.0, "<= 1.0");
    row("V8 capture of no change (ms), against git status", median(&times.quiet), median(&times.status), "-");
    row("V8 workspace from nothing (ms), against git worktree add", median(&times.cold), worktree, "<= 1.0");
    row("V8 ready again after 10 files, used (ms), the same", median(&times.reused), worktree, "<= 0.2");
    row("V8 ready again after 10 files, unused (ms), the same", median(&times.refreshed), worktree, "<= 0.2");
    match runtime.block_on(overlays::measure(&repository, 5)) {
        Some(times) => {
            let worktree = median(&times.worktree);
            row("V8 overlay handed out, p50 (ms), against 20 ms", median(&times.handed_out), 20.0, "<= 1.0");
            row("V8 overlay ready again after 10 files (ms), worktree add", median(&times.again), worktree, "<= 0.02");
            row("V8 tree below brought along by 10 files (ms), the same", median(&times.brought), worktree, "<= 0.2");
            let plain = median(&times.captured_plain);
            row("V8 capture of an overlay (ms), against plain files", median(&times.captured), plain, "<= 1.0");
        }
        None => println!("skipped: V8 of overlays, because none can be mounted here"),
    }
    Ok(())
}

/// The program among ten thousand notes: against what a person would use instead, and against itself among ten.
fn notes() -> Result<(), Box<dyn std::error::Error>> {
    const TIMES: usize = 7;
    let program = std::env::current_exe()?.with_file_name("enki");
    if !program.exists() {
        return Err(format!("{} is not there; cargo build --release -p enki-cli", program.display()).into());
    }
    let (few, some, many) = (Noted::new(10), Noted::new(1_000), Noted::new(10_000));
    let of = |noted: &Noted, args: &[&str]| noted.enki(&program, TIMES, args);
    let grep = many.shell(TIMES, "grep -rl zebra docs/log");
    let titles = many.shell(TIMES, "grep -rh ^title: docs/log");
    let all = ["notes", "--status", "all"];
    row("NOTES list of 10,000 (ms), against grep of their titles", of(&many, &all), titles, "<= 4");
    row("NOTES the same, against ten times that of 1,000", of(&many, &all), 10.0 * of(&some, &all), "<= 1.2");
    let search = ["search", "zebra"];
    let first = median(&[0, 1, 2].map(|_| {
        many.forget();
        many.enki(&program, 1, &search)
    }));
    row("NOTES search that makes its index (ms), against grep", first, grep, "-");
    let again = of(&many, &search);
    row("NOTES search again (ms), against grep", again, grep, "<= 1.0");
    row("NOTES search of a word in half of them (ms), against grep", of(&many, &["search", "lock"]), grep, "-");
    let (queue, ls) = (["queue", "list"], many.shell(TIMES, "ls -f docs/log/*"));
    row("NOTES queue list (ms), against ls of the notes", of(&many, &queue), ls, "-");
    let task = "task-ada-20260101-000200-000002.md";
    let names_it = many.shell(TIMES, &format!("grep -rl {task} docs/log; true"));
    row("NOTES trace of a task (ms), against grep of what names it", of(&many, &["trace", task]), names_it, "-");
    for (name, args) in [
        ("note", vec!["note", "The lock is slow"]),
        ("queue list", queue.to_vec()),
        ("queue run", vec!["queue", "run"]),
    ] {
        let (ours, theirs) = (of(&many, &args), of(&few, &args));
        row(&format!("NOTES {name} among 10,000 (ms), against among 10"), ours, theirs, "<= 2");
    }
    let up = (many.up(&program, TIMES), few.up(&program, TIMES));
    row("NOTES up until it takes calls among 10,000 (ms), against among 10", up.0, up.1, "<= 2");
    let promote = |noted: &Noted| noted.promote(&program, 3);
    row("NOTES promote among 10,000 (ms), against among 10", promote(&many), promote(&few), "-");
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

fn verdict_to_fix() -> Result<(), Box<dyn std::error::Error>> {
    let (runtime, folder) = (runtime()?, tempfile::tempdir()?);
    let store = Arc::new(SqliteStore::open(folder.path().join("enki.db"), &OpenOptions::default())?);
    let waits = runtime.block_on(verdicts::waits(store, nanoseconds));
    let mut waits: Vec<f64> = waits.into_iter().map(|wait| wait as f64 / 1e6).collect();
    waits.sort_by(f64::total_cmp);
    row("V11 verdict to the next start, p50 (ms), against 3 ms", waits[waits.len() / 2], 3.0, "<= 1.0");
    row("V11 verdict to the next start, p99 (ms), against 15 ms", waits[waits.len() * 99 / 100], 15.0, "<= 1.0");
    Ok(())
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

/// Changes merged one by one and eight at a time, and two loops of git, in turns.
fn merges() -> Result<(), Box<dyn std::error::Error>> {
    const BATCH: usize = 8;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let per_second = |times: &[f64]| times.len() as f64 / times.iter().sum::<f64>();
    let mut p50 = Vec::new();
    for (files, bytes, single, batches) in [(240, 4_000, 48, 12), (30_000, 9_000, 16, 4)] {
        // Every contender has changes of its own: a tree that is there already is not written again.
        let captured = runtime.block_on(Captured::new(files, bytes, 2 * single + batches * BATCH));
        let (alone, others) = captured.changes.split_at(single);
        let (replayed, together) = others.split_at(single);
        let (mut line, mut batch_line) = (captured.line("serial"), captured.line("batches"));
        let (mut mirror, mut worktrees) = (captured.mirror("mirror.git"), captured.mirror("worktrees.git"));
        let (mut serial, mut three, mut batch, mut trees) = (vec![], vec![], vec![], vec![]);
        for (n, change) in alone.iter().enumerate() {
            serial.push(runtime.block_on(line.land(std::slice::from_ref(change))));
            three.push(mirror.three_processes(change.commit));
            if n % (single / batches) == 0
                && let Some(members) = together.chunks(BATCH).nth(batch.len())
            {
                batch.push(runtime.block_on(batch_line.land(members)));
            }
            if trees.len() < 5 {
                trees.push(worktrees.worktree(change.commit));
            }
        }
        let name = |what: &str| format!("V9 {what}, {files} files");
        let (ours, eight) = (per_second(&serial), BATCH as f64 * per_second(&batch));
        row(&name("serial merges/s, against three processes"), ours, per_second(&three), ">= 0.5");
        row(&name("batch of 8 merges/s, against serial"), eight, ours, ">= 4");
        let goal = if files > 1000 { ">= 150" } else { "-" };
        row(&name("serial merges/s, against a worktree each"), ours, per_second(&trees), goal);
        p50.push(median(&serial) * 1e3);
        if files < 1000 {
            let seconds = runtime.block_on(landing::replay(&captured, replayed, 10));
            let whole = replayed.len() as f64 / seconds;
            row(&name("whole engine merges/s, against three processes"), whole, per_second(&three), ">= 0.5");
        }
    }
    row("V9 p50 of a merge (ms), 30,000 files, against 240", p50[1], p50[0], "<= 2.0");
    Ok(())
}

/// A plan of one-file steps, and a shell loop, in turns.
fn landings() -> Result<(), Box<dyn std::error::Error>> {
    const STEPS: usize = 100;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (mut ours, mut shell) = (vec![], vec![]);
    // Deleted at the end: on ext4 making a tree right after one was deleted is slow.
    let mut used = Vec::new();
    for round in 0..3 {
        let (one, other) = (Repository::new(240, 4_000), Repository::new(240, 4_000));
        let (seconds, phases) = runtime.block_on(landing::plan(&one, 240, STEPS, 10));
        ours.push(STEPS as f64 / seconds);
        shell.push(STEPS as f64 / landing::shell_loop(&other, 240, STEPS));
        if round == 0 {
            show(&phases);
        }
        used.push((one, other));
    }
    row("V10 one-file steps/s landed, width 10, against a shell loop", median(&ours), median(&shell), ">= 2.0");
    row("V10 one-file steps/s landed, against 25", median(&ours), 25.0, "-");
    Ok(())
}

/// Twenty steps on a large repository.
fn large() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let repository = Repository::new(30_000, 9_000);
    let (steps, width) = (20, 10);
    let (seconds, phases) = runtime.block_on(landing::plan(&repository, 30_000, steps, width));
    println!("BIG: {steps} steps on 30,000 files, {width} at once: {seconds:.1} s, {steps} commits, content right");
    show(&phases);
    Ok(())
}

fn show(phases: &landing::Phases) {
    for name in ["prepare", "workspace", "capture", "import", "predict", "build", "publish", "remove"] {
        let (calls, median, sum) = phases.of(name);
        println!("    {name:<10} {calls:>5} calls, median {:>9.1} ms, in all {sum:>7.2} s", median * 1e3);
    }
}
