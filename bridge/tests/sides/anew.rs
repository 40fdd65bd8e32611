//! Sources that are made anew while no mirror runs: what others published in the copy meanwhile is not removed.

use crate::others::{is_found, other, Pair};
use crate::support::LONG;
use slipring::{registry, Ring, Start};
use slipring_bridge::mirror::OnRecreate;
use slipring_bridge::BridgeError;
use slipring_mirror::mirror::Stop;

/// A copy that a mirror left, whose source is another ring by now. Another program published so many messages in it meanwhile, and
/// closed it or did not.
fn anew(published: u64, closed: bool) -> (Pair, u64) {
    let pair = Pair::new();
    let copy = pair.mirror();
    let mut producer = pair.ring.producer().unwrap();
    pair.publish(&mut producer, 9);
    let next = producer.next_sequence();
    copy.end().unwrap();
    if published > 0 {
        let mut other = other(&pair.copy());
        for _ in 0..published {
            other.publish(b"of another").unwrap();
        }
        match closed {
            true => other.close(),
            false => other.detach(),
        }
    }
    producer.detach();
    let source = pair.directory.path().join("source");
    registry::remove_at(source.clone(), true).unwrap();
    let ring = Ring::builder(source).create().unwrap();
    ring.producer().unwrap().publish(b"newer").unwrap();
    pair.source.wait();
    (pair, next)
}

const EITHER: [OnRecreate; 2] = [OnRecreate::Stop, OnRecreate::Follow];

#[test]
fn a_copy_in_which_others_published_is_neither_removed_nor_closed() {
    for on_recreate in EITHER {
        for (published, closed) in [(1, false), (7, true)] {
            let (pair, next) = anew(published, closed);
            let copy = pair.copy();
            let before = copy.status().unwrap();
            let ended = pair.mirror_that(on_recreate).ended();
            assert!(
                is_found(&ended, &copy, next, published),
                "{on_recreate:?}: {ended:?}"
            );
            assert!(!copy.is_removed());
            let after = copy.status().unwrap();
            assert_eq!(
                (after.next_sequence, after.epoch, after.closed),
                (before.next_sequence, before.epoch, before.closed)
            );
            pair.source.end().unwrap();
        }
    }
}

/// Readers are at the end of what the earlier source had, whether its copy is removed or not.
#[test]
fn a_copy_in_which_nobody_published_is_closed() {
    for on_recreate in EITHER {
        let (pair, next) = anew(0, false);
        let copy = pair.copy();
        let mut consumer = copy.consumer(Start::Sequence(next)).unwrap();
        let mirror = pair.mirror_that(on_recreate);
        assert!(consumer.receive_until(LONG).unwrap().is_none());
        let follows = on_recreate == OnRecreate::Follow;
        assert_eq!(copy.is_removed(), follows);
        if follows {
            let mut consumer = pair.copy().consumer(Start::Oldest).unwrap();
            let message = consumer.receive_until(LONG).unwrap().unwrap();
            assert_eq!(&message[..], b"newer");
            mirror.end().unwrap();
        } else {
            let ended = mirror.ended();
            assert!(
                matches!(ended, Err(BridgeError::Stop(Stop::Recreated { .. }))),
                "{ended:?}"
            );
            assert_eq!(copy.status().unwrap().next_sequence, Some(next));
        }
        pair.source.end().unwrap();
    }
}

/// Whoever is its producer at that moment goes on.
#[test]
fn a_copy_that_has_a_producer_is_left_as_it_is() {
    let (pair, _) = anew(0, false);
    let copy = pair.copy();
    let mut producer = other(&copy);
    let ended = pair.mirror_that(OnRecreate::Stop).ended();
    assert!(
        matches!(ended, Err(BridgeError::Stop(Stop::Recreated { .. }))),
        "{ended:?}"
    );
    producer.publish(b"goes on").unwrap();
    assert!(!copy.is_removed() && !copy.status().unwrap().closed);
    pair.source.end().unwrap();
}
