//! What a mirror does with more than it can hold.

use super::{turn, Event, Mirrored, STEPS};
use crate::error::BridgeError;
use crate::inbox::{Inbox, Sender};
use crate::mirror::shared::Shared;
use crate::mirror::trial::{frames, meta, work};
use crate::stat::{Counter, MirrorStat};
use slipring::Ring;
use slipring_mirror::mirror::{Settings, Stop};
use slipring_mirror::Mirror;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn mirrored(
    sender: Sender<Event>,
    window: u64,
    counter: &mut Option<Counter<MirrorStat>>,
) -> Mirrored<'_> {
    Mirrored {
        sender,
        turn: turn(window),
        fetch_key: "fetch".to_owned(),
        meta_key: "meta".to_owned(),
        clock_key: "clock".to_owned(),
        stat_key: "stat".to_owned(),
        ask: "",
        report_at: Duration::ZERO,
        counter,
    }
}

/// While its thread was away, more came than it may hold. It takes as much as it can write, and then the rest: nothing of
/// it is given up, to be asked for again.
#[test]
fn what_waits_for_a_slow_mirror_is_written_and_not_asked_for_again() {
    for (window, each) in [
        (256 << 10, 1),
        (256 << 10, 64),
        (1 << 20, 64),
        (1 << 20, 3000),
    ] {
        let messages = 2 * window / (each as u64 + 12) * 9 / 10;
        let ring = Ring::heap().capacity_bytes(16 << 20).create().unwrap();
        let meta = meta(&ring);
        let mut settings = Settings::new("m".parse().unwrap(), 1, 4000);
        settings.window = window;
        let inbox = Inbox::new(2 * window as usize).unwrap();
        let sender = inbox.sender();
        for frame in frames(meta.ring, messages, each) {
            let bytes = frame.len();
            sender.put(Event::Frame(frame), bytes);
        }
        let mut work = work(ring, Mirror::new(settings, &meta, 0, Duration::ZERO));
        let mut counter = None;
        let mirrored = mirrored(sender, window, &mut counter);
        let mut before = None;
        while before != Some(work.machine.next()) {
            before = Some(work.machine.next());
            mirrored.receive(&mut work, &inbox).unwrap();
            work.write(STEPS).unwrap();
        }
        let counts = work.machine.counts();
        assert_eq!(
            (counts.messages, counts.unheld),
            (messages, 0),
            "{window} {each}"
        );
    }
}

/// What comes without an end, and has hardly a byte, leaves writing its turn.
#[test]
fn a_turn_is_bounded_whatever_comes() {
    for event in [
        || Event::Frame(Vec::new()),
        || Event::Answer(vec![7]),
        || Event::Answered(9),
        || Event::Clock(1, 1, Duration::ZERO),
        || Event::Meta(Vec::new()),
        || Event::MetaOver,
    ] {
        let ring = Ring::heap().create().unwrap();
        let settings = Settings::new("m".parse().unwrap(), 1, ring.max_message_bytes());
        let meta = meta(&ring);
        let mut work = work(ring, Mirror::new(settings, &meta, 0, Duration::ZERO));
        let inbox = Inbox::new(1 << 20).unwrap();
        let sender = inbox.sender();
        for _ in 0..1000 {
            sender.put(event(), 1);
        }
        let mut counter = None;
        let mirrored = mirrored(sender, 4 << 20, &mut counter);
        mirrored.receive(&mut work, &inbox).unwrap();
        let left = std::iter::from_fn(|| inbox.take()).count();
        assert!((1..1000).contains(&left), "{left}");
    }
}

/// Who brings a frame has to know until when the thread sleeps.
#[test]
fn the_thread_says_until_when_it_sleeps() {
    let ring = Ring::heap().create().unwrap();
    let meta = meta(&ring);
    let settings = Settings::new("m".parse().unwrap(), 1, ring.max_message_bytes());
    let work = work(ring, Mirror::new(settings, &meta, 0, Duration::ZERO));
    let mut inbox = Inbox::new(1 << 20).unwrap();
    let sender = inbox.sender();
    let shared = Shared::new(sender.clone());
    shared.begin(work);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut counter = None;
            mirrored(sender.clone(), 4 << 20, &mut counter).run(&shared, &mut inbox, &stop)
        });
        let end = Instant::now() + Duration::from_secs(60);
        while shared.lock().as_ref().unwrap().sleeps_until.is_zero() {
            if Instant::now() > end {
                stop.store(true, Ordering::Relaxed);
                panic!("it does not sleep, or does not say so");
            }
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        sender.interrupt();
        thread.join().unwrap().unwrap();
    });
}

/// The source was closed, and is found to be another ring before it is found that another program published in the copy.
#[test]
fn a_source_that_is_made_anew_hides_nothing_that_others_published() {
    for published in [0, 1] {
        let ring = Ring::heap().create().unwrap();
        let meta = meta(&ring);
        let settings = Settings::new("m".parse().unwrap(), 1, ring.max_message_bytes());
        let mut work = work(
            ring.clone(),
            Mirror::new(settings, &meta, 0, Duration::ZERO),
        );
        work.close();
        let mut other = ring.producer().unwrap();
        for _ in 0..published {
            other.publish(b"of another").unwrap();
        }
        other.close();
        let stop = AtomicBool::new(false);
        let ended = Mirrored::end(&mut work, Stop::Recreated { ring: 8 }.into(), &stop);
        match published {
            0 => assert!(matches!(ended, Err(BridgeError::Stop(_))), "{ended:?}"),
            _ => assert!(
                matches!(ended, Err(BridgeError::WrittenByOther { .. })),
                "{ended:?}"
            ),
        }
    }
}
