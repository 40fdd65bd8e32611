//! What `receive`, `claim` and `publish` run: the fast paths of consumers, observers and the producer,
//! pads, and walks. The slow paths are in `frames`.

use slipring::layout::frame::CommitWord;
use slipring::ring::consumer::Consumer;
use slipring::ring::index::step;
use slipring::ring::observer::{Copied, Observed, Observer};
use slipring::ring::producer::Producer;
use slipring::ring::{Boundary, Start};
use slipring::segment::Memory;
use slipring::sync::Ordering::Relaxed;
use slipring_loom_tests::*;

/// A producer, and a reader that has got one message and so expects more of that length.
fn steady() -> (Memory, Producer, Consumer) {
    let memory = roomy(1);
    let mut to = producer(&memory);
    let mut from = consumer(&memory, 0, Start::Oldest);
    publish(&mut to);
    assert_eq!(take(&mut from), 0);
    (memory, to, from)
}

/// The next message takes the fast path.
fn publish_near(to: &mut Producer) {
    let bytes = message(to.sequence());
    to.publish_near(&bytes).expect("room the short way");
}

fn show(taken: Option<u64>) -> String {
    taken.map_or("nothing".into(), |sequence| format!("read {sequence}"))
}

const SECOND: &[&str] = &["nothing", "read 1"];

/// The fast path at both ends: `publish` and `receive`.
fn received() -> String {
    let (_, mut to, mut from) = steady();
    let writer = thread::spawn(move || publish_near(&mut to));
    let reader = thread::spawn(move || {
        let arrived = from.take()?;
        let sequence = check(&from, arrived);
        from.release();
        Some(sequence)
    });
    writer.join().unwrap();
    show(reader.join().unwrap())
}

#[test]
fn a_message_of_the_expected_length_is_whole() {
    assert_outcomes(None, SECOND, received);
}

#[test]
fn without_either_end_of_the_short_way_it_is_not() {
    for tag in ["publish commit:Release", "publish expected:Acquire"] {
        assert_notices(tag, None, SECOND, received);
    }
}

/// Two messages in a batch, the first of which takes the fast path.
fn batched() -> String {
    let (_, mut to, mut from) = steady();
    let writer = thread::spawn(move || {
        let mut batch = to.batch();
        let staged = to.stage_near(&mut batch, &message(1));
        assert_eq!(staged, Some(1), "room the short way");
        to.try_stage(&mut batch, &message(2)).expect("room");
        assert_eq!(to.commit(&batch), 2);
    });
    let reader = thread::spawn(move || {
        let taken = [(); 2].map(|()| from.take().map(|arrived| check(&from, arrived)));
        taken.map(show).join(", ")
    });
    writer.join().unwrap();
    reader.join().unwrap()
}

const BATCHED: &[&str] = &["nothing, nothing", "nothing, read 1", "read 1, read 2"];

#[test]
fn a_batch_that_goes_the_short_way_is_whole() {
    assert_outcomes(None, BATCHED, batched);
}

#[test]
fn without_either_end_of_its_commit_it_is_not() {
    for tag in ["publish commit:Release", "publish expected:Acquire"] {
        assert_notices(tag, None, BATCHED, batched);
    }
}

/// As above, for a consumer that first looks at the commit word, and then accepts what it saw.
fn accepted() -> String {
    let (_, mut to, mut from) = steady();
    let writer = thread::spawn(move || publish_near(&mut to));
    let reader = thread::spawn(move || {
        let word = from.peek()?;
        let arrived = from.accept(word).expect("a sound ring")?;
        Some(check(&from, arrived))
    });
    writer.join().unwrap();
    show(reader.join().unwrap())
}

#[test]
fn a_message_that_was_peeked_at_is_whole() {
    assert_outcomes(None, SECOND, accepted);
}

#[test]
fn without_the_fence_of_what_is_expected_it_is_not() {
    assert_notices("publish expected:Acquire", None, SECOND, accepted);
}

/// A consumer without an expected length takes a message by the fast path.
fn unexpected() -> String {
    let memory = roomy(1);
    let mut to = producer(&memory);
    let mut from = consumer(&memory, 0, Start::Oldest);
    let writer = thread::spawn(move || publish(&mut to));
    let reader = thread::spawn(move || {
        let arrived = from.take()?;
        Some(check(&from, arrived))
    });
    writer.join().unwrap();
    show(reader.join().unwrap())
}

const FIRST: &[&str] = &["nothing", "read 0"];

#[test]
fn a_message_of_another_length_is_whole() {
    assert_outcomes(None, FIRST, unexpected);
}

#[test]
fn without_the_fence_of_any_length_it_is_not() {
    assert_notices("publish consume:Acquire", None, FIRST, unexpected);
}

/// A message is written in place, and committed.
fn claimed() -> String {
    let (memory, mut to, mut from) = steady();
    let writer = thread::spawn(move || {
        let at = to.claim_near(LEN).expect("room the short way");
        for (part, bytes) in message(1).chunks(8).enumerate() {
            let word = u64::from_le_bytes(bytes.try_into().expect("a word"));
            memory.words().at(at + 8 * part as u64).store(word, Relaxed);
        }
        assert_eq!(to.commit_claim(LEN as u32), 1);
    });
    let reader = thread::spawn(move || {
        let arrived = from.take()?;
        Some(check(&from, arrived))
    });
    writer.join().unwrap();
    show(reader.join().unwrap())
}

#[test]
fn a_claim_that_is_committed_is_whole() {
    assert_outcomes(None, SECOND, claimed);
}

#[test]
fn without_the_release_of_its_commit_it_is_not() {
    assert_notices("publish claim:Release", None, SECOND, claimed);
}

/// The message that an observer took by the fast path; checks that it is complete.
fn copied(from: &Observer, copied: Option<Copied>) -> String {
    let Some(copied) = copied else {
        return "nothing".into();
    };
    let expected = message(copied.sequence);
    assert_eq!(from.payload(copied, 0), expected, "torn");
    format!("read {}", copied.sequence)
}

/// An observer takes a message of the length that it expects.
fn observed() -> String {
    let (memory, mut to, _) = steady();
    let mut from = observer(&memory, Start::Oldest);
    assert_eq!(look(&mut from), "read 0");
    let writer = thread::spawn(move || publish_near(&mut to));
    let reader = thread::spawn(move || {
        let taken = from.take(|| true);
        copied(&from, taken)
    });
    writer.join().unwrap();
    reader.join().unwrap()
}

#[test]
fn what_an_observer_expects_is_whole() {
    assert_outcomes(None, SECOND, observed);
}

#[test]
fn without_the_fence_of_what_it_expects_it_is_not() {
    assert_notices("publish observe_expected:Acquire", None, SECOND, observed);
}

/// An observer takes a message of any length.
fn observed_any() -> String {
    let memory = roomy(1);
    let mut to = producer(&memory);
    let mut from = observer(&memory, Start::Oldest);
    let writer = thread::spawn(move || publish(&mut to));
    let reader = thread::spawn(move || {
        let taken = from.take_any(|| true);
        copied(&from, taken)
    });
    writer.join().unwrap();
    reader.join().unwrap()
}

#[test]
fn what_an_observer_does_not_expect_is_whole() {
    assert_outcomes(None, FIRST, observed_any);
}

#[test]
fn without_the_fence_of_what_it_does_not_expect_it_is_not() {
    assert_notices("publish observe_any:Acquire", None, FIRST, observed_any);
}

/// An observer takes a message by the fast path while the producer overwrites it.
fn overtaken() -> String {
    let memory = tiny(1);
    let mut to = producer(&memory);
    publish(&mut to);
    publish(&mut to);
    let mut from = observer(&memory, Start::Oldest);
    assert_eq!(look(&mut from), "read 0");
    let writer = thread::spawn(move || {
        publish(&mut to);
        publish(&mut to);
    });
    let reader = thread::spawn(move || {
        let taken = from.take(|| true);
        copied(&from, taken)
    });
    writer.join().unwrap();
    reader.join().unwrap()
}

#[test]
fn an_overtaken_copy_of_the_short_way_is_detected() {
    assert_outcomes(Some(3), SECOND, overtaken);
}

#[test]
fn without_the_fence_behind_the_copy_it_is_not() {
    assert_notices("overwrite copy:Acquire", Some(3), SECOND, overtaken);
}

/// A lap ends with a pad while a consumer reads on, and where the next one begins lies a word that
/// passes for the commit word of the next message, as one of 2^32 messages ago would.
fn padded() -> String {
    let memory = tiny(1);
    let mut to = producer(&memory);
    let mut from = consumer(&memory, 0, Start::Oldest);
    for expected in 0..2 {
        publish(&mut to);
        assert_eq!(take(&mut from), expected);
    }
    let stale = CommitWord::message(LEN as u32, 2).raw();
    memory.words().at(64).store(stale, Relaxed);
    let writer = thread::spawn(move || publish(&mut to));
    let reader = thread::spawn(move || {
        // Steps over the pad, then looks behind it.
        let first = from.take();
        let arrived = first.or_else(|| from.take())?;
        Some(check(&from, arrived))
    });
    writer.join().unwrap();
    show(reader.join().unwrap())
}

const PADDED: &[&str] = &["nothing", "read 2"];

#[test]
fn what_lies_behind_a_pad_is_never_mistaken() {
    assert_outcomes(None, PADDED, padded);
}

#[test]
fn without_the_release_of_the_pad_it_is() {
    assert_notices("publish pad:Release", None, PADDED, padded);
}

/// Three messages of one word, and a fourth that is written over the second one with a word that spells a
/// commit word of the second one, of a length that no message has.
fn spelling() -> (Memory, Producer, impl FnOnce(&mut Producer)) {
    let memory = tiny(1);
    let mut to = producer(&memory);
    for sequence in 0..3u64 {
        to.try_publish(&sequence.to_le_bytes()).expect("room");
    }
    let spelled = CommitWord::message(1000, 1).raw();
    let fourth = [0, spelled].map(u64::to_le_bytes).concat();
    let write = move |to: &mut Producer| {
        to.try_publish(&fourth).expect("room");
    };
    (memory, to, write)
}

/// An observer stands where a payload spells a damaged frame.
fn spelled() -> String {
    let (memory, mut to, write) = spelling();
    let mut from = observer(&memory, Start::Sequence(1));
    let writer = thread::spawn(move || write(&mut to));
    let reader = thread::spawn(move || match from.try_next() {
        Ok(Observed::Message(copied)) => {
            let expected = copied.sequence.to_le_bytes();
            assert_eq!(from.payload(copied, 0), expected, "torn");
            format!("read {}", copied.sequence)
        }
        Ok(Observed::Lapped { lost, .. }) => format!("lost {lost}"),
        Ok(Observed::Empty) => "nothing".into(),
        Ok(skipped) => panic!("{skipped:?}"),
        Err(corrupt) => corrupt.to_string(),
    });
    writer.join().unwrap();
    reader.join().unwrap()
}

const SPELLED: &[&str] = &["read 1", "lost 2"];

#[test]
fn a_payload_is_never_taken_for_damage() {
    assert_outcomes(Some(3), SPELLED, spelled);
}

/// A walk steps over a frame where a payload spells a damaged one.
fn walked() -> String {
    let (memory, mut to, write) = spelling();
    let writer = thread::spawn(move || write(&mut to));
    let from = Boundary {
        position: 16,
        sequence: 1,
    };
    let reader = thread::spawn(move || format!("{:?}", step(&memory, from)));
    writer.join().unwrap();
    reader.join().unwrap()
}

const WALKED: &[&str] = &[
    "Ok(Next(Boundary { position: 32, sequence: 2 }))",
    "Ok(Overtaken)",
];

#[test]
fn a_walk_never_takes_a_payload_for_damage() {
    assert_outcomes(Some(3), WALKED, walked);
}

#[test]
fn without_the_fence_of_a_step_it_does() {
    assert_notices("publish step:Acquire", Some(3), WALKED, walked);
}
