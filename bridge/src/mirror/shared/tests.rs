//! Who writes a frame, and who is woken for it.

use super::{Shared, Turn};
use crate::error::BridgeError;
use crate::inbox::Inbox;
use crate::mirror::event::Event;
use crate::mirror::trial::{frames, frames_of, meta, work};
use slipring::endpoint::{TryReceiveError, Why};
use slipring::{Consumer, Ring, Start};
use slipring_mirror::mirror::Settings;
use slipring_mirror::source::{self, Source};
use slipring_mirror::Mirror;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A mirror whose thread sleeps, so far as others know, and whoever reads its ring.
struct Sleeping {
    shared: Shared,
    inbox: Inbox<Event>,
    consumer: Consumer,
}

impl Sleeping {
    fn new(required: bool, capacity: u64) -> Self {
        let ring = Ring::heap().capacity_bytes(capacity).create().unwrap();
        let longest = ring.max_message_bytes();
        Self::of(required, ring, longest)
    }

    /// Of a source whose messages have so many bytes at most.
    fn of(required: bool, ring: Ring, longest: u32) -> Self {
        let consumer = ring.consumer(Start::Oldest).unwrap();
        let mut meta = meta(&ring);
        meta.required = required;
        let mut settings = Settings::new("m".parse().unwrap(), 1, longest);
        settings.window = 4 << 20;
        let mut machine = Mirror::new(settings, &meta, 0, Duration::ZERO);
        // That it is there.
        while machine.next_action().is_some() {}
        let inbox = Inbox::new(1 << 20).unwrap();
        let shared = Shared::new(inbox.sender());
        shared.begin(work(ring, machine));
        Self {
            shared,
            inbox,
            consumer,
        }
    }

    fn with<R>(&self, with: impl FnOnce(&mut Turn) -> R) -> R {
        with(self.shared.lock().as_mut().unwrap())
    }

    /// How many messages the ring has that were not received yet.
    fn received(&mut self) -> usize {
        let mut count = 0;
        while self.consumer.try_receive().is_ok() {
            count += 1;
        }
        count
    }

    /// How many frames wait for the thread.
    fn waiting(&self) -> usize {
        std::iter::from_fn(|| self.inbox.take()).count()
    }

    /// Returns `true` if the thread's next sleep ends at once.
    fn is_woken(&mut self) -> bool {
        self.inbox.is_interrupted()
    }
}

#[test]
fn a_frame_is_written_by_who_brings_it() {
    let mut mirror = Sleeping::new(false, 1 << 20);
    for (at, frame) in frames(7, 5000, 64).iter().enumerate() {
        mirror.shared.frame(frame);
        assert!(mirror.received() > 100, "{at}");
        assert_eq!(mirror.waiting(), 0);
    }
    assert!(!mirror.is_woken());
    assert_eq!(mirror.with(|turn| turn.work.machine.next()), 5000);
}

/// A frame that comes while somebody is at work, or behind others that wait, waits with them, and the thread is woken.
#[test]
fn a_frame_waits_behind_others() {
    let mut mirror = Sleeping::new(false, 1 << 20);
    let frames = frames(7, 5000, 64);
    let shared = mirror.shared.clone();
    let busy = shared.lock();
    mirror.shared.frame(&frames[0]);
    drop(busy);
    assert!(mirror.is_woken());
    mirror.shared.frame(&frames[1]);
    assert_eq!(mirror.received(), 0);
    assert_eq!(mirror.waiting(), 2);
    mirror.shared.frame(&frames[0]);
    assert!(mirror.received() > 100);
}

/// However many frames come, the mirror's thread has the next turn once it waits for one.
#[test]
fn frames_without_an_end_leave_the_thread_its_turn() {
    let mut mirror = Sleeping::new(false, 1 << 20);
    let frames = frames(7, 5000, 64);
    mirror.shared.wanted.store(true, Ordering::Relaxed);
    mirror.shared.frame(&frames[0]);
    assert_eq!(mirror.received(), 0);
    drop(mirror.shared.lock());
    assert_eq!(mirror.waiting(), 1);
    mirror.shared.frame(&frames[0]);
    assert!(mirror.received() > 100);
}

/// Before the beginning and behind the end, too.
#[test]
fn a_frame_waits_for_work() {
    let mut mirror = Sleeping::new(false, 1 << 20);
    let frame = &frames(7, 10, 64)[0];
    let work = mirror.shared.end().unwrap();
    mirror.shared.frame(frame);
    assert_eq!((mirror.received(), mirror.waiting()), (0, 1));
    mirror.shared.begin(work);
    mirror.shared.frame(frame);
    assert_eq!((mirror.received(), mirror.waiting()), (10, 0));
}

/// What readers of the mirror hold back is left to the thread, and all that comes behind it.
#[test]
fn what_has_no_room_in_the_ring_is_left_to_the_thread() {
    let mut mirror = Sleeping::new(false, 4096);
    let frames = frames(7, 2000, 64);
    mirror.shared.frame(&frames[0]);
    assert!(mirror.is_woken());
    assert_eq!(mirror.waiting(), 0);
    mirror.shared.frame(&frames[1]);
    assert_eq!(mirror.waiting(), 1);
    let room = mirror.received();
    assert!((10..100).contains(&room), "{room}");
}

/// An acknowledgement that becomes due before the thread would wake up, or is due at once.
#[test]
fn the_thread_is_woken_for_what_is_due() {
    for (required, sleeps, woken) in [
        // A source that waits is told within ten milliseconds.
        (true, 100, true),
        (true, 0, false),
        (false, 100, false),
    ] {
        let mut mirror = Sleeping::new(required, 16 << 20);
        mirror.with(|turn| {
            turn.sleeps_until = Duration::from_millis(sleeps);
        });
        mirror.shared.frame(&frames(7, 10, 64)[0]);
        assert_eq!(mirror.is_woken(), woken, "{required} {sleeps}");
        // A quarter of the window was written.
        for frame in frames(7, 20_000, 64) {
            mirror.shared.frame(&frame);
        }
        assert_eq!(mirror.received(), 20_000);
        assert_eq!(mirror.is_woken(), required, "{required} {sleeps}");
    }
}

/// An error ends the mirror, as soon as its thread looks. What counts as written before it is published, and nothing behind it.
#[test]
fn an_error_is_left_to_the_thread() {
    let ring = Ring::heap().capacity_bytes(4096).create().unwrap();
    let mut mirror = Sleeping::of(false, ring, 2000);
    mirror.shared.frame(&frames_of(7, [10, 10, 2000, 10])[0]);
    assert!(mirror.is_woken());
    assert_eq!(mirror.received(), 2);
    mirror.with(|turn| {
        assert!(turn.failed.is_some());
        assert_eq!(turn.work.machine.next(), 2);
        // Whatever it was, it is over.
        turn.work.machine.give_up();
    });
    mirror.shared.frame(&frames(7, 10, 10)[0]);
    assert_eq!((mirror.received(), mirror.waiting()), (0, 1));
}

/// Once the mirror's thread has detached its producer, to end, or closed the ring, no other one attaches another.
#[test]
fn only_the_thread_attaches_a_producer() {
    let mut mirror = Sleeping::new(false, 1 << 20);
    mirror.with(|turn| turn.work.producer.take().unwrap().detach());
    mirror.shared.frame(&frames(7, 10, 64)[0]);
    assert_eq!((mirror.received(), mirror.waiting()), (0, 1));
    drop(mirror.shared.end());
    assert_eq!(
        mirror.consumer.try_receive().err(),
        Some(TryReceiveError::Empty)
    );
}

/// A panic would end a thread that the engine needs, and be seen by nobody.
#[test]
fn a_panic_is_an_error_that_is_left_to_the_thread() {
    let mut mirror = Sleeping::new(false, 1 << 20);
    let frames = frames(7, 5000, 64);
    mirror.shared.frame(&frames[0]);
    assert!(mirror.received() > 100);
    mirror.with(|turn| turn.panics = true);
    mirror.shared.frame(&frames[1]);
    assert!(mirror.is_woken());
    assert_eq!((mirror.received(), mirror.waiting()), (0, 0));
    mirror.with(|turn| {
        turn.panics = false;
        assert!(
            matches!(&turn.failed, Some(BridgeError::Panicked(text)) if text.contains("a fault"))
        );
    });
    // Whatever it left behind is not used.
    mirror.shared.frame(&frames[1]);
    assert_eq!((mirror.received(), mirror.waiting()), (0, 1));
}

/// A thread of the engine has others to serve, however much can be written with the frame that it brings.
#[test]
fn a_thread_of_the_engine_writes_a_little_and_leaves_the_rest() {
    for gaps in 1..6u64 {
        let mut source = Source::new(source::Settings::new(7), 1, 0, 0);
        for n in 0..gaps {
            source.gap(3 * (n + 1), Why::Other(100 + n as u32));
        }
        let mut frames = Vec::new();
        while let Some(action) = source.next_action() {
            if let source::Action::Send(frame) = action {
                frames.push(frame);
            }
        }
        let mut mirror = Sleeping::new(false, 1 << 20);
        // All but the first are held until it comes.
        for frame in frames.iter().rev() {
            assert_eq!(mirror.with(|turn| turn.work.machine.next()), 0);
            mirror.shared.frame(frame);
        }
        assert_eq!(
            mirror.with(|turn| turn.work.machine.next()),
            3 * gaps.min(2)
        );
        assert_eq!(mirror.is_woken(), gaps > 2, "{gaps}");
    }
}
