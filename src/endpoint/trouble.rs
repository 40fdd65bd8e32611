//! What may have happened to this process, or to the producer.
//!
//! Layer 5. Consumers and observers ask when no message comes.

use super::interrupted::Interrupted;
use crate::attach::Attachment;
use crate::layout::lines::ProducerState;
use crate::segment::{Canary, Memory, Role};

/// What happened to a process whose canary has changed, with respect to one memory.
pub(super) fn disturbance(canary: Canary, memory: &Memory) -> Result<(), Interrupted> {
    if canary.forked() {
        Err(Interrupted::Forked)
    } else if memory.poisoned() {
        Err(Interrupted::Poisoned)
    } else {
        Ok(())
    }
}

/// Returns `true` if no producer will go on with this stream: it died without leaving in order, and its
/// lock is free; or it left, and no other process can ever write the stream. The state is read again last,
/// in case it left in order in between.
pub(super) fn producer_gone(ring: &Attachment, state: ProducerState) -> bool {
    let lost = |state| match state {
        ProducerState::Attached => true,
        ProducerState::Absent => ring.segment().has_one_producer(),
        ProducerState::Closed => false,
    };
    lost(state)
        && ring.is_held(Role::Producer) == Some(false)
        && lost(crate::ring::consumer::producer_state(
            ring.segment().reader(),
        ))
        && ring.is_held(Role::Producer) == Some(false)
}
