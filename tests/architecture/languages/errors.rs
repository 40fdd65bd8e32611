//! Errors: their numbers with the names that they have in Rust, and what some of them say.

use super::{Entry, Kind};
use crate::errors::codes;
use slipring::endpoint::{PublishError, ReceiveError};
use slipring::{Queue, Ring, Start};
use std::path::Path;
use std::time::Duration;
use testing::Scratch;

const MOMENT: Duration = Duration::from_millis(1);

/// What went wrong in a directory of its own: the number and the sentence.
type Failed = (u32, String);

/// A failure: its name, and what leads to it.
type Failure = (&'static str, fn(&Path) -> Failed);

/// What leads to each is done in the other languages too, by its name.
pub(super) const FAILURES: [Failure; 18] = [
    ("open-missing", |at| {
        of(Ring::open(at.join("ring").as_path()))
    }),
    ("open-another-form", |at| {
        let _queue = Queue::builder(at.join("ring").as_path()).create().unwrap();
        of(Ring::open(at.join("ring").as_path()))
    }),
    ("create-existing", |at| {
        let _ring = small(at);
        of(Ring::builder(at.join("ring").as_path()).create())
    }),
    ("create-capacity-5000", |at| {
        of(Ring::builder(at.join("ring").as_path())
            .capacity_bytes(5000)
            .create())
    }),
    ("create-nowhere", |at| {
        of(Ring::builder(at.join("nowhere/ring").as_path()).create())
    }),
    ("remove-in-use", |at| {
        let ring = small(at);
        let _producer = ring.producer().unwrap();
        of(Ring::remove(at.join("ring").as_path()))
    }),
    ("second-producer", |at| {
        let ring = small(at);
        let _producer = ring.producer().unwrap();
        of(ring.producer())
    }),
    ("no-row-of-1", |at| {
        let ring = small(at);
        let _consumer = ring.consumer(Start::Oldest).unwrap();
        of(ring.consumer(Start::Oldest))
    }),
    ("consumer-gone-7", |at| {
        let ring = Ring::builder(at.join("ring").as_path())
            .capacity_bytes(4096)
            .first_sequence(10)
            .create()
            .unwrap();
        of(ring.consumer(Start::Sequence(7)))
    }),
    ("consumer-ahead-7", |at| {
        of(small(at).consumer(Start::Sequence(7)))
    }),
    ("cursor-in-use", |at| {
        let ring = Ring::builder(at.join("ring").as_path())
            .capacity_bytes(4096)
            .create()
            .unwrap();
        let _consumer = ring.durable_consumer("mine", Start::Oldest).unwrap();
        of(ring.durable_consumer("mine", Start::Oldest))
    }),
    ("cursor-name-with-a-slash", |at| {
        of(small(at).durable_consumer("a/b", Start::Oldest))
    }),
    ("publish-too-large-5000", |at| {
        of(small(at).producer().unwrap().publish(&[0; 5000]))
    }),
    ("publish-wrong-size-3", |at| {
        let ring = Ring::builder(at.join("ring").as_path())
            .schema("P{a:u64}".parse().unwrap())
            .create()
            .unwrap();
        let mut producer = ring.producer().unwrap();
        of(producer.publish(&[0; 3]))
    }),
    ("publish-timed-out", |at| {
        let ring = small(at);
        let _consumer = ring.consumer(Start::Oldest).unwrap();
        let mut producer = ring.producer().unwrap();
        loop {
            match producer.publish_until(&[0; 100], MOMENT) {
                Ok(_) => {}
                Err(error @ PublishError::TimedOut { .. }) => break of(Err::<(), _>(error)),
                Err(error) => panic!("{error}"),
            }
        }
    }),
    ("receive-nothing", |at| {
        let ring = small(at);
        let _producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(Start::Oldest).unwrap();
        of(consumer.try_receive())
    }),
    ("receive-timed-out", |at| {
        let ring = small(at);
        let _producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(Start::Oldest).unwrap();
        let received: Result<_, ReceiveError> = consumer.receive_until(MOMENT);
        of(received)
    }),
    ("receive-closed", |at| {
        let ring = small(at);
        ring.producer().unwrap().close();
        of(ring.consumer(Start::Oldest).unwrap().try_receive())
    }),
];

/// Errors with numbers, whichever type they have.
trait Numbered: std::fmt::Display {
    fn number(&self) -> u32;
}

macro_rules! numbered {
    ($($error:ty),*) => {$(
        impl Numbered for $error {
            fn number(&self) -> u32 {
                self.code()
            }
        }
    )*};
}
numbered!(
    slipring::place::OpenError,
    slipring::place::CreateError,
    slipring::place::RemoveError,
    slipring::endpoint::AttachError,
    PublishError,
    ReceiveError,
    slipring::endpoint::TryReceiveError
);

fn of<T, E: Numbered>(result: Result<T, E>) -> Failed {
    match result {
        Ok(_) => panic!("nothing went wrong"),
        Err(error) => (error.number(), error.to_string()),
    }
}

fn small(at: &Path) -> Ring {
    Ring::builder(at.join("ring").as_path())
        .capacity_bytes(4096)
        .max_readers(1)
        .create()
        .unwrap()
}

/// What a failure says, with words in place of what differs from run to run.
fn failed(failure: fn(&Path) -> Failed) -> (u32, String) {
    let scratch = Scratch::new();
    let (code, says) = failure(&scratch.0);
    let says = says.replace(testing::text(&scratch.0), "{dir}");
    (code, says.replace(&std::process::id().to_string(), "{pid}"))
}

/// The numbers in the code, and the names of each.
pub(super) fn numbers() -> Vec<(u32, String)> {
    let codes = codes().into_iter();
    codes
        .map(|(code, names)| (code, names.into_iter().collect::<Vec<_>>().join(" ")))
        .collect()
}

/// Every entry.
pub(super) fn make() -> Vec<Entry> {
    let line = |word: &str, rest: String| (word.to_owned(), rest);
    let errors = numbers()
        .into_iter()
        .map(|(code, names)| vec![line("error", format!("{code} {names}"))]);
    let failures = FAILURES.iter().map(|(name, failure)| {
        let (code, says) = failed(*failure);
        vec![
            line("failure", format!("{code} {name}")),
            line("says", says),
        ]
    });
    errors.chain(failures).collect()
}

pub(super) fn read(entry: &Entry) -> Kind {
    let [(_, said)] = &entry[..] else {
        panic!("{entry:?}")
    };
    let (code, names) = said.split_once(' ').unwrap();
    let found = numbers()
        .into_iter()
        .find(|(number, _)| number.to_string() == code);
    assert_eq!(
        found.map(|(_, names)| names),
        Some(names.to_owned()),
        "{code}"
    );
    Kind::Error
}

pub(super) fn read_failure(entry: &Entry) -> Kind {
    let [(_, said), (_, says)] = &entry[..] else {
        panic!("{entry:?}")
    };
    let (code, name) = said.split_once(' ').unwrap();
    let (_, failure) = FAILURES
        .iter()
        .find(|(known, _)| *known == name)
        .unwrap_or_else(|| panic!("no failure {name}"));
    let (number, sentence) = failed(*failure);
    assert_eq!(
        (number.to_string().as_str(), &sentence),
        (code, says),
        "{name}"
    );
    Kind::Failure
}
