//! What one call costs on one core, nobody on the other: the parts of a latency that are not the
//! distance between two cores. `slipring bench` measures that distance.

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use slipring::{
    Consumer, ConsumerOptions, Observer, ObserverOptions, Producer, ProducerOptions, Ring, Start,
    Strategy,
};
use std::hint::black_box;

const SIZES: [usize; 4] = [32, 64, 1024, 16 << 10];

fn ring() -> Ring {
    Ring::heap().create().expect("memory for a ring")
}

fn producer(ring: &Ring) -> Producer {
    let options = ProducerOptions::new().strategy(Strategy::Spin);
    ring.producer_with(options).expect("the only producer")
}

fn consumer(ring: &Ring) -> Consumer {
    let options = ConsumerOptions::new()
        .strategy(Strategy::Spin)
        .keep_distance(false);
    ring.consumer_with(Start::Latest, options)
        .expect("a free row")
}

fn observer(ring: &Ring) -> Observer {
    let options = ObserverOptions::new()
        .strategy(Strategy::Spin)
        .keep_distance(false);
    ring.observer_with(Start::Latest, options).expect("a start")
}

fn publish(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish");
    for size in SIZES {
        let message = vec![7u8; size];
        group.throughput(Throughput::Bytes(size as u64));
        let ring = ring();
        let mut to = producer(&ring);
        group.bench_function(BenchmarkId::new("single", size), |b| {
            b.iter(|| to.publish(black_box(&message)));
        });
        group.bench_function(BenchmarkId::new("claim", size), |b| {
            b.iter(|| {
                let mut claim = to.claim(size).expect("nobody gates");
                claim.copy_from_slice(black_box(&message));
                claim.commit()
            });
        });
        group.bench_function(BenchmarkId::new("batch of 8", size), |b| {
            b.iter(|| {
                let mut batch = to.batch();
                for _ in 0..8 {
                    batch
                        .push(black_box(&message))
                        .expect("a batch of this size fits");
                }
                batch.commit()
            });
        });
    }
    group.finish();
}

fn receive(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish and receive");
    for size in SIZES {
        let message = vec![7u8; size];
        group.throughput(Throughput::Bytes(size as u64));
        let ring = ring();
        let mut to = producer(&ring);
        let mut from = consumer(&ring);
        group.bench_function(BenchmarkId::new("consumer", size), |b| {
            b.iter(|| {
                to.publish(black_box(&message)).expect("read at once");
                from.try_receive().map(|message| black_box(message[0]))
            });
        });
        drop(from);
        let mut from = observer(&ring);
        group.bench_function(BenchmarkId::new("observer", size), |b| {
            b.iter(|| {
                to.publish(black_box(&message)).expect("nobody gates");
                from.try_receive().is_ok()
            });
        });
    }
    group.finish();
}

fn empty_polls(c: &mut Criterion) {
    let ring = ring();
    let _to = producer(&ring);
    let mut from = consumer(&ring);
    c.bench_function("empty poll/consumer", |b| {
        b.iter(|| from.try_receive().is_err())
    });
    let mut from = observer(&ring);
    c.bench_function("empty poll/observer", |b| {
        b.iter(|| from.try_receive().is_err())
    });
}

fn attach(c: &mut Criterion) {
    let ring = ring();
    let mut to = producer(&ring);
    for _ in 0..20_000 {
        to.publish(&[7; 64]).expect("nobody gates");
    }
    let mut group = c.benchmark_group("attach");
    for (name, start) in [("latest", Start::Latest), ("oldest", Start::Oldest)] {
        group.bench_function(BenchmarkId::new("consumer", name), |b| {
            b.iter(|| ring.consumer(start).is_ok());
        });
        group.bench_function(BenchmarkId::new("observer", name), |b| {
            b.iter(|| ring.observer(start).is_ok());
        });
    }
    group.finish();
}

criterion_group!(benches, publish, receive, empty_polls, attach);
criterion_main!(benches);
