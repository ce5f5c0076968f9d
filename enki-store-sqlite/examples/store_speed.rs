//! Measures a store: `cargo run --release -p enki-store-sqlite --example store_speed -- [folder]`.
//!
//! Prints what one durable append costs beside the disk's own sync, how group commit grows with load, and how fast a
//! log of 10,000 and of 100,000 steps is read back with its chain checked.

use enki_core::id::{ExecutionId, StepId, StepIx, TaskId};
use enki_core::store::{
    Append, Counts, Format, Holder, Lease, ListFilter, LogId, Summary, TaskRow, TaskStore, Version,
};
use enki_core::time::Timestamp;
use enki_store_sqlite::{OpenOptions, SqliteStore};
use futures::future::join_all;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let folder = match std::env::args_os().nth(1) {
        Some(parent) => tempfile::tempdir_in(parent)?,
        None => tempfile::tempdir()?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    raw(folder.path())?;
    runtime.block_on(appends(folder.path()))?;
    for steps in [10_000, 100_000] {
        runtime.block_on(logs(folder.path(), steps))?;
    }
    Ok(())
}

fn raw(folder: &Path) -> Result<(), Failed> {
    let mut file = File::create(folder.join("raw"))?;
    let took = timed(|| {
        (0..2000).try_for_each(|_| {
            file.write_all(&[7; 4096])?;
            file.sync_data()
        })
    })?;
    println!("raw append of 4 KiB and fdatasync   {:>9.0} /s", 2000.0 / took.as_secs_f64());
    Ok(())
}

async fn appends(folder: &Path) -> Result<(), Failed> {
    let store = SqliteStore::open(folder.join("appends.db"), &OpenOptions::new())?;
    let lease = lease(&store).await?;
    for (width, rounds) in [(1_usize, 2000_u64), (8, 1000), (100, 200)] {
        let logs: Vec<u128> = (0..width as u128).map(|n| (width as u128) << 32 | n).collect();
        let submits = logs.iter().map(|id| submit(*id, 1)).collect();
        store.append(&lease, submits).await?;
        let (start, before) = (now(), store.stats());
        for round in 0..rounds {
            let appends = logs.iter().map(|id| store.append(&lease, vec![event(*id, round + 1, 1)]));
            for result in join_all(appends).await {
                result?;
            }
        }
        let requests = rounds as f64 * width as f64;
        let commits = store.stats().commits - before.commits;
        let per_second = requests / start.elapsed().as_secs_f64();
        println!("{width:>3} appends at once                 {per_second:>9.0} /s in {commits} commits");
    }
    for events in [1_usize, 32, 400] {
        let id = 0xffff_0000 + events as u128;
        store.append(&lease, vec![submit(id, 1)]).await?;
        let rounds = 500_u64;
        let start = now();
        for round in 0..rounds {
            store.append(&lease, vec![event(id, 1 + round * events as u64, events)]).await?;
        }
        let per_second = rounds as f64 * events as f64 / start.elapsed().as_secs_f64();
        println!("appends of {events:>3} events               {per_second:>9.0} events/s");
    }
    Ok(())
}

async fn logs(folder: &Path, steps: usize) -> Result<(), Failed> {
    let path = folder.join(format!("{steps}.db"));
    let store = SqliteStore::open(&path, &OpenOptions::new())?;
    let lease = lease(&store).await?;
    let start = now();
    store.append(&lease, vec![submit(1, steps)]).await?;
    println!("{steps} steps: submit                 {:>7.1} ms", ms(start.elapsed()));
    let mut version = 1;
    while version < 4 * steps as u64 {
        store.append(&lease, vec![event(1, version, 100)]).await?;
        version += 100;
    }
    let other = submit(2, 10);
    store.append(&lease, vec![other]).await?;
    drop(store);
    println!("{steps} steps: file                   {:>7.1} MiB", std::fs::metadata(&path)?.len() as f64 / 1048576.0);
    let mut samples = Samples::default();
    for _ in 0..11 {
        let start = now();
        let store = SqliteStore::open(&path, &OpenOptions::new())?;
        samples.open.push(start.elapsed());
        let start = now();
        let rows = store.load(LogId { kind: enki_core::store::LogKind::Execution, id: 1 }, Version(0)).await?;
        samples.load.push(start.elapsed());
        assert_eq!(rows.len() as u64, version);
        drop(store);
        let start = now();
        let store = SqliteStore::open_read_only(&path)?;
        store.list(&ListFilter::default()).await?;
        store.find("task-abcd").await?;
        drop(store);
        samples.status.push(start.elapsed());
    }
    println!("{steps} steps: open to write          {:>7.1} ms", median(samples.open));
    println!("{steps} steps: load {version:>6} events     {:>7.1} ms", median(samples.load));
    println!("{steps} steps: open, list, find, close{:>7.1} ms", median(samples.status));
    Ok(())
}

#[derive(Default)]
struct Samples {
    open: Vec<Duration>,
    load: Vec<Duration>,
    status: Vec<Duration>,
}

fn timed(run: impl FnOnce() -> std::io::Result<()>) -> std::io::Result<Duration> {
    let start = now();
    run()?;
    Ok(start.elapsed())
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn now() -> Instant {
    Instant::now()
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn median(mut samples: Vec<Duration>) -> f64 {
    samples.sort();
    ms(samples[samples.len() / 2])
}

async fn lease(store: &SqliteStore) -> Result<Lease, Failed> {
    let holder = Holder { id: "measure".to_owned(), pid: 1, host: "here".to_owned(), since: Timestamp(0) };
    Ok(store.acquire("project", &holder, Timestamp(0), Timestamp(i64::MAX)).await?)
}

fn submit(id: u128, steps: usize) -> Append {
    let execution = ExecutionId::new(id);
    let ids = (0..steps).map(|n| format!("step-{n}").parse::<StepId>().expect("a slug"));
    let tasks =
        ids.enumerate().map(|(n, step)| TaskRow { task: TaskId::of(execution, &step), ix: StepIx::at(n), step });
    Append { tasks: tasks.collect(), ..event(id, 0, 1) }
}

fn event(id: u128, version: u64, events: usize) -> Append {
    let execution = ExecutionId::new(id);
    let body = r#"{"kind":"agent_finished","step":4711,"attempt":1,"outcome":"done","summary":"as it was asked for"}"#;
    Append {
        log: LogId::execution(execution),
        expected: Version(version),
        at: Timestamp(1_700_000_000_000),
        format: Format { major: 1, minor: 0 },
        events: vec![body.to_owned(); events],
        summary: Some(Summary {
            execution,
            title: "measured".to_owned(),
            status: "running".to_owned(),
            open: true,
            created: Timestamp(0),
            updated: Timestamp(1_700_000_000_000),
            counts: Counts::default(),
            request_id: None,
            fingerprint: execution.hex(),
        }),
        tasks: Vec::new(),
    }
}
