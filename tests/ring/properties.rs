//! Any sequence of operations does to a ring what it does to the oracle.

use proptest::prelude::*;
use testing::oracle::{queue, From, Operation, Subject};

/// How many cases are run: `PROPTEST_CASES`, if that is set.
fn cases(usual: u32) -> u32 {
    let wanted = std::env::var("PROPTEST_CASES").ok();
    wanted.map_or(usual, |cases| cases.parse().expect("a number of cases"))
}

fn from() -> impl Strategy<Value = From> {
    prop_oneof![
        Just(From::Latest),
        Just(From::Oldest),
        (-3i16..40).prop_map(From::Back),
        (any::<u8>(), prop_oneof![0..4u64, any::<u64>()])
            .prop_map(|(which, behind)| From::Within(which, behind)),
    ]
}

/// Lengths around every boundary of a ring of this capacity.
fn len(capacity: u32) -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0..80u32,
        2 => 0..capacity / 8,
        1 => capacity / 4 - 20..capacity / 4 + 2,
    ]
}

/// How many sequences are skipped: few, about as many as a half of a sequence can tell apart or a multiple of
/// that, and any number that may be skipped, or may not.
fn skipped() -> impl Strategy<Value = u64> {
    let around = |near: u64| (near.saturating_sub(70)..=near + 70).boxed();
    prop_oneof![
        3 => 0..4u64,
        1 => 0..2000u64,
        2 => around(1 << 31),
        3 => (1..64u64).prop_flat_map(move |times| around(times << 32)),
        1 => 0..1u64 << 50,
        1 => prop_oneof![around(1 << 62), any::<u64>().boxed()],
    ]
}

fn operation(capacity: u32) -> impl Strategy<Value = Operation> {
    prop_oneof![
        8 => len(capacity).prop_map(Operation::Publish),
        3 => skipped().prop_map(Operation::Skip),
        3 => (prop::collection::vec(len(capacity), 0..12), any::<bool>())
            .prop_map(|(lens, commit)| Operation::Batch { lens, commit }),
        2 => (len(capacity), prop::option::of(len(capacity)))
            .prop_map(|(len, commit)| Operation::Claim { len, commit }),
        1 => from().prop_map(Operation::Consume),
        1 => (any::<u8>(), from()).prop_map(|(name, from)| Operation::Durable { name, from }),
        1 => any::<u8>().prop_map(Operation::Forget),
        1 => (from(), any::<bool>()).prop_map(|(from, oldest)| Operation::Observe { from, oldest }),
        8 => any::<u8>().prop_map(Operation::Receive),
        3 => (any::<u8>(), 0..20u8).prop_map(|(which, max)| Operation::ReceiveBatch(which, max)),
        5 => any::<u8>().prop_map(Operation::Look),
        1 => any::<u8>().prop_map(Operation::Leave),
        1 => any::<u8>().prop_map(Operation::LookAway),
        1 => any::<bool>().prop_map(|close| Operation::Takeover { close }),
    ]
}

fn ring() -> impl Strategy<Value = (u32, u64, u64)> {
    let capacities = prop::sample::select(vec![4096u32, 4096, 8192, 65536]);
    let aligns = prop::sample::select(vec![8u64, 64]);
    let firsts = prop::sample::select(vec![
        0,
        (1 << 32) - 20,
        (1 << 63) - 20,
        u64::MAX - 20,
        u64::MAX,
    ]);
    (capacities, aligns, firsts)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(10_000), max_shrink_time: 120_000, ..ProptestConfig::default() })]

    #[test]
    fn a_ring_does_what_the_oracle_says(
        evicts: bool,
        ((capacity, align, first), operations) in ring().prop_flat_map(|ring| {
            (Just(ring), prop::collection::vec(operation(ring.0), 1..160))
        })
    ) {
        let mut subject = Subject::new(u64::from(capacity), align, first, evicts);
        for operation in &operations {
            subject.apply(operation);
        }
        subject.finish();
    }
}

/// The generator above must reach what it is there for.
#[test]
fn the_operations_reach_delivery_and_loss() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let (mut delivered, mut lost, mut missed, mut gaps) = (0, 0, 0, 0);
    for round in 0..200 {
        let operations = prop::collection::vec(operation(4096), 200);
        let operations = operations.new_tree(&mut runner).unwrap().current();
        let mut subject = Subject::new(4096, 8, 0, round % 2 == 0);
        operations
            .iter()
            .for_each(|operation| subject.apply(operation));
        subject.finish();
        delivered += subject.delivered;
        lost += subject.lost;
        missed += subject.missed;
        gaps += subject.gaps;
    }
    assert!(
        delivered > 1000 && lost > 100 && missed > 100 && gaps > 1000,
        "{delivered} delivered, {lost} lost, {missed} missed, {gaps} gaps"
    );
}

/// Depths and sizes of which the longest messages fill from half to all of a lane, and often nearly all.
fn lane() -> impl Strategy<Value = (u32, u32)> {
    let fill = prop_oneof![0.5..1.0f64, 0.9..1.0f64, Just(1.0)];
    (1..8u32, 12..17u32, fill).prop_map(|(depth, capacity, fill)| {
        let (depth, capacity) = (1 << depth, 1u64 << capacity);
        let frame = (capacity as f64 * fill) as u64 / (u64::from(depth) + 2);
        let longest = (frame & !7).saturating_sub(8).min(capacity / 4);
        (depth, longest.max(4) as u32)
    })
}

fn queue_operation() -> impl Strategy<Value = queue::Operation> {
    use queue::Operation;
    prop_oneof![
        6 => (any::<u8>(), prop_oneof![3 => Just(0), 1 => 0..64u32, 1 => any::<u32>()])
            .prop_map(|(slot, shorter)| Operation::Send { slot, shorter }),
        2 => any::<u8>().prop_map(Operation::Fill),
        8 => (any::<u8>(), prop::bool::weighted(0.6))
            .prop_map(|(receiver, ack)| Operation::Receive { receiver, ack }),
        3 => (any::<u8>(), 0..40u8)
            .prop_map(|(receiver, count)| Operation::Drain { receiver, count }),
        1 => any::<u8>().prop_map(Operation::ReplaceReceiver),
        1 => any::<u8>().prop_map(Operation::ReplaceSender),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(1_500),
        // A shorter failing case is worth some minutes to the person who debugs it, but not in every run.
        max_shrink_time: 120_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_queue_does_what_the_oracle_says(
        (depth, longest) in lane(),
        operations in prop::collection::vec(queue_operation(), 1..150)
    ) {
        let mut subject = queue::Subject::new(depth, longest);
        for operation in &operations {
            subject.apply(operation);
        }
        subject.finish();
    }
}

/// What was lost is told with the next message, also if a gap lies between, and the consumer is evicted once more behind that,
/// which costs it nothing: a case that was found.
#[test]
fn a_loss_before_a_gap_is_told_whatever_comes_behind_it() {
    use testing::oracle::{From::*, Operation::*};
    let operations = vec![
        Consume(Latest),
        Skip(1),
        Publish(249),
        Receive(0),
        Claim {
            len: 0,
            commit: Some(0),
        },
        Receive(0),
        Consume(Latest),
        Publish(441),
        Receive(20),
        Batch {
            lens: vec![57],
            commit: true,
        },
        Durable {
            name: 0,
            from: Latest,
        },
        Batch {
            lens: vec![0, 0, 1004, 0, 0, 121, 0, 0],
            commit: true,
        },
        Batch {
            lens: vec![57, 57, 0, 249, 0, 121, 0, 57, 0, 185],
            commit: true,
        },
        Consume(Latest),
        Receive(52),
        ReceiveBatch(37, 6),
        Consume(Latest),
        Publish(377),
        Publish(0),
        Claim {
            len: 0,
            commit: Some(0),
        },
        Claim {
            len: 0,
            commit: None,
        },
        Publish(57),
        Takeover { close: false },
        Publish(0),
        Batch {
            lens: vec![57],
            commit: false,
        },
        Publish(313),
        Takeover { close: false },
        Batch {
            lens: vec![57, 249, 0, 0, 249],
            commit: true,
        },
        Publish(121),
        Publish(57),
        Publish(1004),
        Skip(1),
        ReceiveBatch(11, 5),
        Publish(1004),
        Skip(0),
        Publish(0),
        ReceiveBatch(0, 4),
        Publish(0),
        Publish(0),
        Publish(1004),
        Claim {
            len: 0,
            commit: None,
        },
        Publish(0),
        Publish(0),
        ReceiveBatch(29, 0),
        ReceiveBatch(90, 4),
        Publish(0),
        Publish(185),
        Publish(313),
        Publish(57),
    ];
    let mut subject = Subject::new(4096, 64, u64::MAX, true);
    for operation in &operations {
        subject.apply(operation);
    }
    subject.finish();
}
