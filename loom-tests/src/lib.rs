//! What the models share: rings of a few words, messages that show when they are torn, and the two
//! ways to run a model.
//!
//! With `RUSTFLAGS="--cfg slipring_loom"` loom runs every interleaving of a model (up to a bound on
//! preemptions) against the shipped protocol code, and the set of outcomes must be exactly the
//! table. Without, the same model runs many times on real threads, and every outcome must be in the
//! table.

use slipring::layout::gap::Why;
use slipring::layout::geometry::Geometry;
use slipring::ring::consumer::{Arrived, Consumer, Joining};
use slipring::ring::observer::{Observed, Observer, Resume};
use slipring::ring::producer::{Producer, Refused};
use slipring::ring::Start;
use slipring::segment::Memory;
use slipring::sync::spin_hint;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

#[cfg(slipring_loom)]
pub use loom::{sync::Mutex as Lock, thread};
#[cfg(not(slipring_loom))]
pub use std::{sync::Mutex as Lock, thread};

/// Payload bytes of every message here: two words, so that a frame can be torn.
pub const LEN: usize = 16;

/// A ring of 64 bytes: two frames and a pad a lap.
pub fn tiny(rows: u32) -> Memory {
    let geometry = Geometry::check(64, 16, 8, rows, 0, false).expect("a valid geometry");
    Memory::local(geometry)
}

/// As [`tiny`], of a producer that evicts.
pub fn evicting(rows: u32) -> Memory {
    let geometry = Geometry::check(64, 16, 8, rows, 0, false).expect("a valid geometry");
    Memory::local(geometry.evicting_after(1))
}

/// A ring of 512 bytes in blocks that hold more than one frame, so that messages can take the fast path.
pub fn roomy(rows: u32) -> Memory {
    let geometry = Geometry::check(512, 64, 8, rows, 0, false).expect("a valid geometry");
    Memory::local(geometry)
}

/// A ring of 128 bytes: four frames and a pad a lap.
pub fn small(rows: u32) -> Memory {
    let geometry = Geometry::check(128, 32, 8, rows, 0, false).expect("a valid geometry");
    Memory::local(geometry)
}

/// The message with this sequence; both words depend on it.
pub fn message(sequence: u64) -> [u8; LEN] {
    let mut bytes = [0; LEN];
    bytes[..8].copy_from_slice(&(sequence + 100).to_le_bytes());
    bytes[8..].copy_from_slice(&(sequence + 200).to_le_bytes());
    bytes
}

/// Becomes the producer.
pub fn producer(memory: &Memory) -> Producer {
    Producer::attach(memory.clone(), 1).expect("a sound ring")
}

/// Becomes a consumer.
pub fn consumer(memory: &Memory, row: u32, start: Start) -> Consumer {
    Consumer::attach(memory.clone(), Joining::at(row, start)).expect("a start")
}

/// Becomes an observer.
pub fn observer(memory: &Memory, start: Start) -> Observer {
    Observer::attach(memory.clone(), start, Resume::Newest).expect("a start")
}

/// Publishes the next message, or returns the row that is in the way.
pub fn try_publish(producer: &mut Producer) -> Result<u64, Refused> {
    let next = producer.sequence();
    producer.try_publish(&message(next))
}

/// The reason of every gap here.
pub const WHY: Why = Why::Other(300);

/// Skips to a sequence, for which there is room.
pub fn skip_to(producer: &mut Producer, sequence: u64) {
    producer.try_skip_to(sequence, WHY).expect("room");
}

/// Publishes the next message, waiting for room.
pub fn publish(producer: &mut Producer) {
    while try_publish(producer).is_err() {
        spin_hint();
    }
}

/// Checks that a message in place is whole and the one it says it is.
pub fn check(consumer: &Consumer, arrived: Arrived) -> u64 {
    let mut words = [0; LEN / 8];
    consumer
        .memory()
        .words()
        .copy_out(arrived.payload, &mut words);
    let expected = [arrived.sequence + 100, arrived.sequence + 200];
    assert_eq!(words, expected, "torn or overwritten");
    arrived.sequence
}

/// Takes, checks and releases one message, if it is there.
pub fn try_take(consumer: &mut Consumer) -> Option<u64> {
    let arrived = consumer.try_next().expect("a sound ring")?;
    let sequence = check(consumer, arrived);
    consumer.release();
    Some(sequence)
}

/// Takes one message, waiting for it.
pub fn take(consumer: &mut Consumer) -> u64 {
    loop {
        if let Some(sequence) = try_take(consumer) {
            return sequence;
        }
        spin_hint();
    }
}

/// Looks once; checks that a message is complete. The words of the result say what was seen.
pub fn look(observer: &mut Observer) -> String {
    match observer.try_next().expect("a sound ring") {
        Observed::Message(copied) => {
            let sequence = copied.sequence;
            let expected = [sequence + 100, sequence + 200].map(u64::to_le_bytes);
            assert_eq!(observer.payload(copied, 0), expected.concat(), "torn");
            format!("read {sequence}")
        }
        Observed::Lapped { lost, resumed_at } => format!("lost {lost} at {resumed_at}"),
        Observed::Skipped {
            skipped,
            resumed_at,
            why,
        } => {
            assert_eq!(why, WHY, "torn");
            format!("skipped {skipped} at {resumed_at}")
        }
        Observed::Empty => "nothing".into(),
    }
}

/// Runs a model in every interleaving, or many times. Returns the set of its outcomes.
pub fn outcomes<M>(preemptions: Option<usize>, model: M) -> BTreeSet<String>
where
    M: Fn() -> String + Send + Sync + 'static,
{
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let record = seen.clone();
    run(preemptions, move || {
        let outcome = model();
        record
            .lock()
            .expect("no panic while recording")
            .insert(outcome);
    });
    let seen = seen.lock().expect("no panic while recording");
    seen.clone()
}

#[cfg(slipring_loom)]
fn run(preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.max_branches = 20_000;
    builder.check(model);
}

#[cfg(not(slipring_loom))]
fn run(_preemptions: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    for _ in 0..500 {
        model();
    }
}

/// Asserts that a model's outcomes are exactly `table` (in the model build), or are all in it.
pub fn assert_outcomes<M>(preemptions: Option<usize>, table: &[&str], model: M)
where
    M: Fn() -> String + Send + Sync + 'static,
{
    let seen = outcomes(preemptions, model);
    let table: BTreeSet<String> = table.iter().map(|text| (*text).to_owned()).collect();
    if slipring::sync::MODELLED {
        assert_eq!(seen, table);
    } else {
        assert!(seen.is_subset(&table), "{:?}", seen.difference(&table));
    }
}

/// Asserts that a model notices when one site is weakened: one of its own assertions fails, or it returns
/// something outside `table`. A limit of the model checker, a deadlock or a panic of the library is no
/// notice. Means something in the model build only.
pub fn assert_notices<M>(tag: &'static str, preemptions: Option<usize>, table: &[&str], model: M)
where
    M: Fn() -> String + Send + Sync + 'static,
{
    #[cfg(slipring_loom)]
    {
        let table: BTreeSet<String> = table.iter().map(|text| (*text).to_owned()).collect();
        let checked = move || {
            let outcome = model();
            assert!(table.contains(&outcome), "{outcome:?} is not in the table");
            outcome
        };
        let failed = mutant::first_panic(tag, preemptions, checked);
        let failed = failed.unwrap_or_else(|| panic!("no model noticed that {tag} was weakened"));
        assert!(failed.is_of_a_model(), "{tag}: {failed:?}");
    }
    #[cfg(not(slipring_loom))]
    let _ = (tag, preemptions, table, model);
}

/// Asserts that every thread of a model sleeps for ever, in one interleaving at least, when one site is
/// weakened. Means something in the model build only.
pub fn assert_sleeps_for_ever<M>(tag: &'static str, preemptions: Option<usize>, model: M)
where
    M: Fn() -> String + Send + Sync + 'static,
{
    #[cfg(slipring_loom)]
    {
        let failed = mutant::first_panic(tag, preemptions, model);
        let failed = failed.unwrap_or_else(|| panic!("nothing sleeps for ever without {tag}"));
        assert!(failed.is_a_deadlock(), "{tag}: {failed:?}");
    }
    #[cfg(not(slipring_loom))]
    let _ = (tag, preemptions, model);
}

/// Asserts that every thread of a model sleeps for ever, in one interleaving at least. The model breaks a rule of
/// sleeping by itself. Means something in the model build only.
pub fn assert_hangs<M>(preemptions: Option<usize>, model: M)
where
    M: Fn() -> String + Send + Sync + 'static,
{
    assert_sleeps_for_ever("no site", preemptions, model);
}

/// Runs of models in which one site is weakened.
#[cfg(slipring_loom)]
mod mutant {
    use std::cell::RefCell;
    use std::panic::{catch_unwind, set_hook, take_hook, AssertUnwindSafe};
    use std::sync::Once;

    /// The text of the first panic of a model.
    #[derive(Clone, Debug)]
    pub struct Failed {
        file: String,
        message: String,
    }

    impl Failed {
        /// Whether it is an assertion of this crate. The compiler names files from the root of the workspace.
        pub fn is_of_a_model(&self) -> bool {
            let here = file!().trim_end_matches("src/lib.rs");
            self.file.starts_with(here)
        }

        /// Whether the model checker says that no thread can run any more.
        pub fn is_a_deadlock(&self) -> bool {
            !self.is_of_a_model() && self.message.starts_with("deadlock; threads = ")
        }
    }

    thread_local! {
        // All threads of a model run on one thread of the operating system. Panics of other tests are
        // ignored.
        static LISTENING: RefCell<Option<Option<Failed>>> = const { RefCell::new(None) };
    }

    fn said(payload: &(dyn std::any::Any + Send)) -> Option<String> {
        let literal = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned());
        literal.or_else(|| payload.downcast_ref::<String>().cloned())
    }

    /// Records the first panic of a registered thread, and leaves all others to the previous hook.
    fn listen() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let before = take_hook();
            set_hook(Box::new(move |info| {
                let listens = LISTENING.with(|listening| {
                    let mut listening = listening.borrow_mut();
                    let first = listening.as_mut()?;
                    // A panic without a text is how the model checker ends a thread that it no longer
                    // needs.
                    if let Some(message) = said(info.payload()) {
                        let file = info.location().map_or("", |at| at.file()).to_owned();
                        first.get_or_insert(Failed { file, message });
                    }
                    Some(())
                });
                if listens.is_none() {
                    before(info);
                }
            }));
        });
    }

    /// Runs a model with one site weakened. Returns its first panic.
    pub fn first_panic<M>(tag: &'static str, preemptions: Option<usize>, model: M) -> Option<Failed>
    where
        M: Fn() -> String + Send + Sync + 'static,
    {
        listen();
        LISTENING.set(Some(None));
        let run = AssertUnwindSafe(|| super::outcomes(preemptions, model));
        let ended = slipring::sync::weaken(tag, || catch_unwind(run));
        let failed = LISTENING.take().flatten();
        assert_eq!(ended.is_err(), failed.is_some(), "{tag}: {failed:?}");
        failed
    }
}
