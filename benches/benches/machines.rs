//! Deciding and applying, in memory: the whole life of every step.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use enki_benches::life::{self, Agents};
use enki_benches::plans::{Shape, plan};
use std::time::Duration;

fn machines(c: &mut Criterion) {
    for (name, shape) in [("chain", Shape::Chain), ("fan", Shape::Fan), ("layers", Shape::Layers(10))] {
        let mut group = c.benchmark_group(format!("life/{name}"));
        group.sample_size(10).measurement_time(Duration::from_secs(3)).warm_up_time(Duration::from_millis(500));
        for n in [10usize, 1_000, 10_000, 100_000] {
            group.throughput(Throughput::Elements(n as u64));
            let plan = plan(shape, n);
            group.bench_with_input(BenchmarkId::from_parameter(n), &plan, |b, plan| {
                b.iter_batched(|| plan.clone(), |plan| life::run(plan, Agents::Idle), BatchSize::PerIteration);
            });
        }
        group.finish();
    }
    let plan = plan(Shape::Layers(10), 1_000);
    c.bench_function("life/merged/1000", |b| {
        b.iter_batched(|| plan.clone(), |plan| life::run(plan, Agents::Change), BatchSize::PerIteration);
    });
}

criterion_group!(benches, machines);
criterion_main!(benches);
