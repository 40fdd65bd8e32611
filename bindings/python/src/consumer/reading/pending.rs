//! What a consumer took and has still to hand out: messages, and the losses between them.

use crate::message::Loss;
use slipring::endpoint::{Gap, Payload};
use std::collections::VecDeque;

/// Handed out by the next calls.
pub enum Pending {
    /// A loss.
    Loss(Loss),
    /// A message and its sequence.
    Message(Vec<u8>, u64),
    /// Of a message that is not of the ring's size: its sequence, its size, and that of the ring.
    WrongSize(u64, u32, u32),
}

/// The losses right before a message.
pub fn losses_before(
    sequence: u64,
    missed: u64,
    gap: Option<Gap>,
    pending: &mut VecDeque<Pending>,
) {
    if missed > 0 {
        let next = gap.map_or(sequence, |gap| gap.first);
        pending.push_back(Pending::Loss(Loss::Missed(missed, next)));
    }
    if let Some(gap) = gap {
        let loss = Loss::Skipped(gap.skipped(), gap.end, gap.why);
        pending.push_back(Pending::Loss(loss));
    }
}

/// A message, and the losses before it.
pub fn pend(payload: &Payload<'_>, fixed: Option<u32>, pending: &mut VecDeque<Pending>) {
    losses_before(payload.sequence(), payload.missed(), payload.gap(), pending);
    let len = payload.len() as u32;
    pending.push_back(match fixed {
        Some(expected) if expected != len => Pending::WrongSize(payload.sequence(), len, expected),
        _ => Pending::Message(payload.to_vec(), payload.sequence()),
    });
}
