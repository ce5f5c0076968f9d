//! Appending, recovering, and a plan end to end over SQLite with agents that do nothing.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use enki_benches::durable;
use enki_benches::plans::{Shape, spec};
use enki_core::driver::Shutdown;
use enki_core::id::ExecutionId;
use enki_core::record::FORMAT;
use enki_core::store::{Append, Holder, LogId, TaskStore, Version};
use enki_core::time::Timestamp;
use enki_store_sqlite::{OpenOptions, SqliteStore};
use std::sync::Arc;
use std::time::Duration;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made")
}

fn append(c: &mut Criterion) {
    let (runtime, folder) = (runtime(), tempfile::tempdir().expect("a temporary folder"));
    let store = SqliteStore::open(folder.path().join("enki.db"), &OpenOptions::default()).expect("a fresh store opens");
    let holder = Holder { id: "bench".to_owned(), pid: 1, host: "bench".to_owned(), since: Timestamp(0) };
    let lease =
        runtime.block_on(store.acquire("project", &holder, Timestamp(0), Timestamp(i64::MAX))).expect("it is free");
    let mut group = c.benchmark_group("append");
    for (log, batch) in [1usize, 10, 100].into_iter().enumerate() {
        let mut version = Version(0);
        group.throughput(Throughput::Elements(batch as u64));
        group.bench_function(batch.to_string(), |b| {
            b.iter(|| {
                let append = Append {
                    log: LogId::execution(ExecutionId::new(log as u128 + 1)),
                    expected: version,
                    at: Timestamp(0),
                    format: FORMAT,
                    events: vec![r#"{"attempt_live":{"step":1,"attempt":1}}"#.to_owned(); batch],
                    summary: None,
                    tasks: Vec::new(),
                };
                version = runtime.block_on(store.append(&lease, vec![append])).expect("nothing else writes")[0];
            });
        });
    }
    group.finish();
}

fn end_to_end(c: &mut Criterion) {
    let runtime = runtime();
    let mut group = c.benchmark_group("end_to_end");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    for (name, shape, width) in [("chain/500", Shape::Chain, 1), ("width8/500", Shape::Layers(8), 8)] {
        group.throughput(Throughput::Elements(500));
        group.bench_function(name, |b| {
            b.iter_batched(
                || (tempfile::tempdir().expect("a temporary folder"), spec(shape, 500)),
                |(folder, spec)| {
                    runtime.block_on(durable::run(folder.path(), spec, width));
                    folder
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn recovery(c: &mut Criterion) {
    let (runtime, folder) = (runtime(), tempfile::tempdir().expect("a temporary folder"));
    runtime.block_on(durable::half_done(folder.path(), spec(Shape::Layers(10), 10_000)));
    let mut group = c.benchmark_group("recovery");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    group.bench_function("10000", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let store = SqliteStore::open(folder.path().join("enki.db"), &OpenOptions::default());
                let enki = durable::start(Arc::new(store.expect("it is there")), Arc::default(), 0, 10_000).await;
                enki.shut_down(Shutdown::Drain);
            });
        });
    });
    group.finish();
}

criterion_group!(benches, append, end_to_end, recovery);
criterion_main!(benches);
