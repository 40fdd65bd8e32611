//! What can be read of a stream that outlived a crash of the machine.
//!
//! Layer 3, no unsafe code. Each page of the stream is as old as its last way to the disk, so any page may be
//! older than any other. What is believed is a chain: committed frames that follow each other from an indexed
//! frame on and meet every later index entry exactly. A message of the chain is kept if no page that it touches is
//! older than its bytes: each holds a commit word of the chain at or behind its own, which was stored after them.
//! That a page is not newer, and the producer a lap ahead, cannot be seen. So only the newest half of the ring is
//! kept. Its messages are whole if the producer had written less than half a ring behind the end of the chain.

use super::consumer::{renew, Arrived};
use super::gap::{checked, claimed};
use super::losses;
use super::producer::Producer;
use super::tenure::read_name;
use super::{ahead, Boundary, Frame, Kind};
use crate::layout::frame::{CommitWord, WORD};
use crate::layout::gap::Gap;
use crate::layout::geometry::PAGE;
use crate::layout::lines::{ProducerState, RowState};
use crate::segment::Memory;
use crate::sync::Ordering::Relaxed;

/// No stream is longer.
const FARTHEST: u64 = 1 << 62;

/// What was found in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Salvaged {
    /// The messages that are whole and follow each other, and the gaps between them, oldest first.
    pub kept: Vec<Kept>,
    /// The sequence behind them.
    pub next: u64,
    /// How many other messages of the chain were committed.
    pub given_up: u64,
}

/// What is published again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// A message.
    Message(Arrived),
    /// Sequences that do not exist.
    Gap(Gap),
}

impl Salvaged {
    /// Sequence of the first message that was kept, or of the next one.
    pub fn first(&self) -> u64 {
        match self.kept.first() {
            None => self.next,
            Some(Kept::Message(message)) => message.sequence,
            Some(Kept::Gap(gap)) => gap.first,
        }
    }

    /// The messages that were kept.
    pub fn messages(&self) -> impl Iterator<Item = Arrived> + '_ {
        self.kept.iter().filter_map(|kept| match kept {
            Kept::Message(message) => Some(*message),
            Kept::Gap(_) => None,
        })
    }
}

/// Searches a stream that no process writes. `None` if no index entry is one.
pub fn salvage(memory: &Memory) -> Option<Salvaged> {
    let entries = entries(memory);
    let newest = *entries.last()?;
    let mut empty = Salvaged {
        kept: Vec::new(),
        next: newest.sequence,
        given_up: 0,
    };
    let mut until = entries.len();
    let reserve = memory.producer().reserve.position.load(Relaxed);
    while until > 0 {
        let (from, chain) = chain(memory, &entries[..until]);
        let end = chain.last().map_or(0, |link| link.frame.end);
        let known = end.max(newest.position).max(reserve.min(FARTHEST));
        let floor = known.saturating_sub(memory.geometry().capacity / 2);
        let found = whole_ones(&chain, floor);
        if !found.kept.is_empty() {
            return Some(found);
        }
        empty.given_up += found.given_up;
        until = from;
    }
    Some(empty)
}

/// The index entries that can be one, in order of position.
fn entries(memory: &Memory) -> Vec<Boundary> {
    let geometry = memory.geometry();
    let mut entries: Vec<_> = (0..geometry.blocks())
        .filter_map(|block| {
            let entry = memory.index_entry(block);
            let (position, sequence) = (entry.position.load(Relaxed), entry.sequence.load(Relaxed));
            let is_one = position < FARTHEST
                && position.is_multiple_of(geometry.align)
                && geometry.block_of(position) % geometry.blocks() == block
                && ahead(sequence, geometry.first_sequence) >= 0;
            is_one.then_some(Boundary { position, sequence })
        })
        .collect();
    entries.sort_by_key(|entry| entry.position);
    entries
}

/// One frame of a chain.
#[derive(Clone, Copy, Debug)]
struct Link {
    at: Boundary,
    frame: Frame,
    /// The boundary behind it.
    next: Boundary,
    /// What it says, if it is a gap.
    gap: Option<Gap>,
}

/// The chain in which the last of these entries is, and the number of the entry that it begins at. Each entry
/// is walked from once, up to the next one.
fn chain(memory: &Memory, entries: &[Boundary]) -> (usize, Vec<Link>) {
    let capacity = memory.geometry().capacity;
    let last = entries.len() - 1;
    let (links, behind) = walk(memory, entries[last], entries[last].position + capacity);
    let (mut parts, end) = (vec![links], behind.position);
    let mut from = last;
    while from > 0 {
        let (before, here) = (entries[from - 1], entries[from]);
        let (more, reached) = walk(memory, before, here.position);
        // A chain is no longer than the ring.
        if reached != here || end - before.position > capacity {
            break;
        }
        parts.push(more);
        from -= 1;
    }
    (from, parts.into_iter().rev().flatten().collect())
}

/// The committed frames from a boundary on that end at or before a position, and the boundary behind them.
fn walk(memory: &Memory, from: Boundary, until: u64) -> (Vec<Link>, Boundary) {
    let (mut at, mut links) = (from, Vec::new());
    while at.position < until {
        match link(memory, at) {
            Some(link) if link.frame.end <= until => {
                links.push(link);
                at = link.next;
            }
            _ => break,
        }
    }
    (links, at)
}

/// The frame at a boundary, if one is committed there.
fn link(memory: &Memory, at: Boundary) -> Option<Link> {
    let word = CommitWord::from_raw(memory.words().at(at.position).load(Relaxed));
    if !word.commits(at.sequence) {
        return None;
    }
    let frame = Frame::decode(memory.geometry(), at.position, word).ok()?;
    let (gap, sequence) = match frame.kind {
        Kind::Message => (None, at.sequence.wrapping_add(1)),
        Kind::Pad => (None, at.sequence),
        Kind::Gap => {
            let gap = checked(memory, at, claimed(memory, at.position, word)).ok()?;
            (Some(gap), gap.end)
        }
    };
    let next = Boundary {
        position: frame.end,
        sequence,
    };
    Some(Link {
        at,
        frame,
        next,
        gap,
    })
}

/// The last run of messages in a chain that are whole and begin at or behind `floor`, with the gaps between them.
fn whole_ones(chain: &[Link], floor: u64) -> Salvaged {
    let page = |position: u64| position / PAGE;
    let whole = |at: usize| {
        let Link {
            at: begin, frame, ..
        } = chain[at];
        let last = page(begin.position + WORD - 1 + u64::from(frame.len));
        let next = chain.get(at + 1).map(|next| page(next.at.position));
        let goes_on = last == page(begin.position) + 1 && next == Some(last);
        begin.position >= floor && (last == page(begin.position) || goes_on)
    };
    let mut found = Salvaged {
        kept: Vec::new(),
        next: 0,
        given_up: 0,
    };
    let mut ended = false;
    for (at, link) in chain.iter().enumerate().rev() {
        if link.frame.kind == Kind::Pad {
            continue;
        }
        if ended || !whole(at) {
            ended = !found.kept.is_empty();
            found.given_up += u64::from(link.gap.is_none());
            continue;
        }
        if found.kept.is_empty() {
            found.next = link.next.sequence;
        }
        found.kept.push(match link.gap {
            Some(gap) => Kept::Gap(gap),
            None => Kept::Message(Arrived {
                payload: link.at.position + WORD,
                len: link.frame.len,
                sequence: link.at.sequence,
            }),
        });
    }
    found.kept.reverse();
    found
}

/// Publishes what was found in an empty ring whose first sequence is that of the first message found, as a
/// producer that follows the last one of the old ring, and leaves it as that one left the old ring. Returns
/// `false` if not all of it could be published.
pub fn restore(old: &Memory, found: &Salvaged, new: &Memory, pid: u32) -> bool {
    let from = &old.producer().state;
    new.producer()
        .state
        .epoch
        .store(from.epoch.load(Relaxed), Relaxed);
    losses::go_on_counting(old, new);
    let closed = ProducerState::from_raw(from.state.load(Relaxed)) == ProducerState::Closed;
    let Ok(mut producer) = Producer::attach(new.clone(), pid) else {
        return false;
    };
    let mut words = vec![0u64; (old.geometry().max_message as usize).div_ceil(WORD as usize)];
    for kept in &found.kept {
        let published = match kept {
            Kept::Gap(gap) => producer.try_skip_to(gap.end, gap.why).is_ok(),
            Kept::Message(message) => {
                let len = message.len as usize;
                let out = &mut words[..len.div_ceil(WORD as usize)];
                old.words().copy_out(message.payload, out);
                let bytes: &[u8] = bytemuck::cast_slice(out);
                producer.try_publish(&bytes[..len]) == Ok(message.sequence)
            }
        };
        if !published {
            return false;
        }
    }
    producer.leave(closed);
    producer.sequence() == found.next
}

/// Gives each durable cursor of the old ring its row in the new one. A cursor behind the last message that was
/// found goes on there. Returns how many cursors there are.
pub fn restore_cursors(old: &Memory, found: &Salvaged, new: &Memory) -> u32 {
    let mut cursors = 0;
    for at in 0..old.geometry().rows {
        let (Some(from), Some(to)) = (old.row(at), new.row(at)) else {
            break;
        };
        let state = RowState::from_raw(from.state.load(Relaxed));
        let name = read_name(from);
        if name[0] == 0 || !matches!(state, RowState::Consumer | RowState::Away) {
            continue;
        }
        let said = from.sequence.load(Relaxed);
        let sequence = if ahead(said, found.next) > 0 {
            found.next
        } else {
            said
        };
        let generation = from.generation.load(Relaxed).wrapping_add(1);
        let epoch = from.epoch.load(Relaxed);
        renew(to, generation, Some((name, sequence, epoch)));
        cursors += 1;
    }
    cursors
}

#[cfg(test)]
mod tests;
