//! What a mirror does with more than it can hold.

use super::{turn, Event, Mirrored};
use crate::clock::Clock;
use crate::engine::{local::Network, Engine};
use crate::inbox::{Inbox, Sender};
use crate::latency::Timing;
use crate::stat::{Counter, MirrorStat};
use slipring::Ring;
use slipring_mirror::mirror::Settings;
use slipring_mirror::source::{self, Action};
use slipring_mirror::{Meta, Mirror, Source};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Frames of so many messages each, from the first sequence on.
fn frames(ring: u128, messages: u64, each: usize) -> Vec<Vec<u8>> {
    let mut source = Source::new(source::Settings::new(ring), 1, 0, 0);
    let mut frames = Vec::new();
    for sequence in 0..messages {
        source.message(sequence, &vec![sequence as u8; each]);
    }
    source.flush();
    while let Some(action) = source.next_action() {
        if let Action::Send(frame) = action {
            frames.push(frame);
        }
    }
    frames
}

fn meta(ring: &Ring) -> Meta {
    Meta {
        ring: 7,
        epoch: 1,
        epoch_first: 0,
        oldest: 0,
        next: 0,
        capacity: ring.capacity_bytes(),
        frame_align: 8,
        max_readers: 1,
        longest: ring.max_message_bytes(),
        stamps: false,
        closed: false,
        required: false,
        taken: false,
        host: String::new(),
        name: "ring".parse().unwrap(),
        schema: String::new(),
        opaque: None,
    }
}

fn mirrored<'e>(
    engine: &'e Arc<dyn Engine>,
    sender: Sender<Event>,
    ring: Ring,
    machine: Mirror,
    window: u64,
    counter: &'e mut Option<Counter<MirrorStat>>,
) -> Mirrored<'e> {
    Mirrored {
        engine,
        sender,
        machine,
        producer: Some(ring.producer().unwrap()),
        ring,
        turn: turn(window),
        ack_key: "ack".to_owned(),
        fetch_key: "fetch".to_owned(),
        meta_key: "meta".to_owned(),
        clock_key: "clock".to_owned(),
        stat_key: "stat".to_owned(),
        ask: "",
        started: Instant::now(),
        clock: Clock::default(),
        timing: Timing::new(0),
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
        let engine: Arc<dyn Engine> = Arc::new(Network::default());
        let machine = Mirror::new(settings, &meta, 0, Duration::ZERO);
        let mut counter = None;
        let mut mirrored = mirrored(&engine, sender, ring, machine, window, &mut counter);
        let mut before = None;
        while before != Some(mirrored.machine.next()) {
            before = Some(mirrored.machine.next());
            mirrored.receive(&inbox).unwrap();
            mirrored.write().unwrap();
        }
        let counts = mirrored.machine.counts();
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
        let machine = Mirror::new(settings, &meta(&ring), 0, Duration::ZERO);
        let inbox = Inbox::new(1 << 20).unwrap();
        let sender = inbox.sender();
        for _ in 0..1000 {
            sender.put(event(), 1);
        }
        let engine: Arc<dyn Engine> = Arc::new(Network::default());
        let mut counter = None;
        let mut mirrored = mirrored(&engine, sender, ring, machine, 4 << 20, &mut counter);
        mirrored.receive(&inbox).unwrap();
        let left = std::iter::from_fn(|| inbox.take()).count();
        assert!((1..1000).contains(&left), "{left}");
    }
}
