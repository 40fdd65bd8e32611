//! What a mirror does with more than it can hold.

use super::{turn, Event, Mirrored};
use crate::clock::Clock;
use crate::engine::{local::Network, Engine};
use crate::inbox::Inbox;
use crate::latency::Timing;
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
        let meta = Meta {
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
        };
        let mut settings = Settings::new("m".parse().unwrap(), 1, 4000);
        settings.window = window;
        let inbox = Inbox::new(2 * window as usize).unwrap();
        let sender = inbox.sender();
        for frame in frames(meta.ring, messages, each) {
            let bytes = frame.len();
            sender.put(Event::Frame(frame), bytes);
        }
        let engine: Arc<dyn Engine> = Arc::new(Network::default());
        let mut mirrored = Mirrored {
            engine: &engine,
            sender,
            machine: Mirror::new(settings, &meta, 0, Duration::ZERO),
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
            counter: &mut None,
        };
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
