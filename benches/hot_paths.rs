//! What one call costs on one core, with no process on the other: the parts of a latency that are not the
//! distance between two cores. `slipring bench` measures that distance. Last, what each way of waiting
//! makes of it between two threads.

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};
use slipring::{
    Consumer, ConsumerOptions, Observer, ObserverOptions, Producer, ProducerOptions, ReadPolicy,
    Ring, Start, Strategy,
};
use std::hint::black_box;
use std::time::{Duration, Instant};

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
        .read_policy(ReadPolicy::AtHead);
    ring.consumer_with(Start::Latest, options)
        .expect("a free row")
}

fn observer(ring: &Ring) -> Observer {
    let options = ObserverOptions::new()
        .strategy(Strategy::Spin)
        .read_policy(ReadPolicy::AtHead);
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
        // Published right after it was written, as most messages are: its bytes are not in the cache yet.
        let mut fresh = message.clone();
        let mut number = 0u64;
        group.bench_function(BenchmarkId::new("fresh", size), |b| {
            b.iter(|| {
                number += 1;
                for word in fresh.chunks_exact_mut(8) {
                    word.copy_from_slice(&number.to_le_bytes());
                }
                to.publish(black_box(&fresh))
            });
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

fn receive_in_batches(c: &mut Criterion) {
    let message = [7u8; 64];
    let ring = ring();
    let mut to = producer(&ring);
    let mut from = consumer(&ring);
    let mut group = c.benchmark_group("publish and receive");
    group.bench_function("consumer, 64 of 64 bytes in a batch", |b| {
        b.iter(|| {
            for _ in 0..64 {
                to.publish(black_box(&message)).expect("read at once");
            }
            let mut batch = from.try_receive_batch(64).expect("just published");
            while let Some(message) = batch.next() {
                black_box(message[0]);
            }
        });
    });
    group.finish();
}

/// Messages of lengths in no order: 16 to 128 bytes, so that nothing about the next one can be foreseen.
fn lengths_at_random(c: &mut Criterion) {
    let message = [7u8; 128];
    let mut state = 1u64;
    let lengths: Vec<usize> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        8 * (2 + (state >> 60) as usize % 15)
    })
    .take(1 << 16)
    .collect();
    let mut group = c.benchmark_group("publish and receive, lengths at random");
    group.throughput(Throughput::Elements(64));
    let ring = ring();
    let mut to = producer(&ring);
    let mut from = consumer(&ring);
    let mut turns = lengths.chunks_exact(64).cycle();
    group.bench_function("consumer", |b| {
        b.iter(|| {
            for &len in turns.next().expect("endless") {
                to.publish(&message[..len]).expect("read at once");
            }
            while let Ok(message) = from.try_receive() {
                black_box(message[0]);
            }
        });
    });
    drop(from);
    let mut from = observer(&ring);
    group.bench_function("observer", |b| {
        b.iter(|| {
            for &len in turns.next().expect("endless") {
                to.publish(&message[..len]).expect("nobody gates");
            }
            while from.try_receive().is_ok() {}
        });
    });
    group.finish();
}

fn typed(c: &mut Criterion) {
    slipring::message! {
        pub struct Quote { pub time_ns: u64, pub bid: f64, pub ask: f64 }
    }
    let ring = Ring::heap().schema(<Quote as slipring::Plain>::schema());
    let ring = ring.create().expect("memory for a ring");
    let ring = ring.typed::<Quote>().expect("its own schema");
    let options = ProducerOptions::new().strategy(Strategy::Spin);
    let mut to = ring.producer_with(options).expect("the only producer");
    let options = ConsumerOptions::new().strategy(Strategy::Spin);
    let mut from = ring
        .consumer_with(Start::Latest, options)
        .expect("a free row");
    let mut time_ns = 0;
    c.bench_function("publish and receive/typed, 24", |b| {
        b.iter(|| {
            time_ns += 1;
            let quote = Quote {
                time_ns,
                bid: 99.5,
                ask: 100.5,
            };
            to.publish(black_box(&quote)).expect("read at once");
            from.receive().map(|quote| quote.map(|quote| quote.time_ns))
        });
    });
}

/// What readers that are attached cost the producer. Consumers are level: they have read everything
/// whenever the producer looks, which it does every eighth of a ring of 4 KiB, 512 bytes.
fn readers(c: &mut Criterion) {
    let mut group = c.benchmark_group("publish 64 beside readers");
    for readers in [0usize, 1, 8, 32] {
        let ring = ring();
        let mut to = producer(&ring);
        let _observers: Vec<Observer> = (0..readers).map(|_| observer(&ring)).collect();
        group.bench_function(BenchmarkId::new("observers", readers), |b| {
            b.iter(|| to.publish(black_box(&[7; 64])));
        });
    }
    for readers in [1usize, 8, 32] {
        let ring = Ring::heap().capacity_bytes(4096).create();
        let ring = ring.expect("memory for a ring");
        let mut to = producer(&ring);
        let mut from: Vec<Consumer> = (0..readers).map(|_| consumer(&ring)).collect();
        group.bench_function(BenchmarkId::new("consumers, rescans", readers), |b| {
            b.iter_custom(|messages| {
                let mut took = Duration::ZERO;
                for _ in 0..messages.div_ceil(8) {
                    let start = Instant::now();
                    for _ in 0..8 {
                        to.publish(black_box(&[7; 64])).expect("all are level");
                    }
                    took += start.elapsed();
                    for reader in &mut from {
                        while reader.try_receive().is_ok() {}
                    }
                }
                took
            });
        });
    }
    group.finish();
}

/// A round trip between two threads, both of which wait in the same way.
fn wake(c: &mut Criterion) {
    let mut group = c.benchmark_group("round trip by strategy");
    group.sample_size(20);
    let strategies = [
        ("spin", Strategy::Spin),
        ("yield", Strategy::Yield),
        ("spin, then park", Strategy::default()),
        ("park", Strategy::Park),
    ];
    for (name, strategy) in strategies {
        let [forth, back] = [ring(), ring()];
        let producer_options = ProducerOptions::new().strategy(strategy);
        let consumer_options = ConsumerOptions::new().strategy(strategy);
        let open = |out: &Ring, inward: &Ring| {
            let to = out
                .producer_with(producer_options)
                .expect("the only producer");
            let from = inward.consumer_with(Start::Oldest, consumer_options);
            (to, from.expect("a free row"))
        };
        let (mut to, mut from) = open(&forth, &back);
        let (mut echo, mut heard) = open(&back, &forth);
        let other = std::thread::spawn(move || {
            while let Ok(Some(message)) = heard.receive() {
                echo.publish(&message).expect("read at once");
            }
        });
        group.bench_function(name, |b| {
            b.iter(|| {
                to.publish(black_box(&[7; 64])).expect("read at once");
                from.receive().map(|message| message.is_some())
            });
        });
        drop(to);
        other.join().expect("the other thread");
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

criterion_group!(
    benches,
    publish,
    receive,
    receive_in_batches,
    lengths_at_random,
    typed,
    readers,
    empty_polls,
    attach,
    wake
);
criterion_main!(benches);
