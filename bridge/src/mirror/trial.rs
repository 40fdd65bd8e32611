//! A source and a mirror for tests, without a network.

use super::copy::Copy;
use super::work::Work;
use crate::clock::Clock;
use crate::engine::{local::Network, Engine};
use crate::latency::Timing;
use slipring::Ring;
use slipring_mirror::source::{self, Action};
use slipring_mirror::{Meta, Mirror, Source};
use std::sync::Arc;
use std::time::Instant;

/// Frames of so many messages each, from the first sequence on.
pub fn frames(ring: u128, messages: u64, each: usize) -> Vec<Vec<u8>> {
    frames_of(ring, (0..messages).map(|_| each))
}

/// Frames of messages of these lengths, from the first sequence on.
pub fn frames_of(ring: u128, lens: impl IntoIterator<Item = usize>) -> Vec<Vec<u8>> {
    let mut source = Source::new(source::Settings::new(ring), 1, 0, 0);
    let mut frames = Vec::new();
    for (sequence, len) in (0..).zip(lens) {
        source.message(sequence, &vec![sequence as u8; len]);
    }
    source.flush();
    while let Some(action) = source.next_action() {
        if let Action::Send(frame) = action {
            frames.push(frame);
        }
    }
    frames
}

pub fn meta(ring: &Ring) -> Meta {
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

pub fn work(ring: Ring, machine: Mirror) -> Work {
    let engine: Arc<dyn Engine> = Arc::new(Network::default());
    let mut copy = Copy::unknown(ring);
    Work {
        engine,
        machine,
        producer: Some(copy.attach().unwrap()),
        copy,
        ack_key: "ack".to_owned(),
        started: Instant::now(),
        clock: Clock::default(),
        timing: Timing::new(0),
    }
}
