//! The block index: from a place in the ring, or a sequence, to a frame that begins there.
//!
//! Layer 3, no unsafe code. Entries are written before their frame is committed but never ahead of an
//! uncommitted batch, so a frame found by an entry lies in the committed stream or at its end. Loads are
//! relaxed and followed by fences, because readers may map the stream read-only and only such loads are
//! guaranteed there. Every answer here was intact when it was checked; it stays so only behind a gate.

use super::gap::{checked, claimed};
use super::{ahead, Boundary, Corrupt, Frame, Kind, Start};
use crate::layout::frame::CommitWord;
use crate::layout::gap::Gap;
use crate::layout::lines::RowState;
use crate::segment::Memory;
use crate::sync::{edge_fence, ord, Ordering::Relaxed};

/// No stream is longer. Larger positions are refused, so sums of positions cannot overflow.
const FARTHEST: u64 = 1 << 62;

/// How often a search starts again because the producer overtook it.
const ATTEMPTS: u32 = 8;

/// Writes the entry of the block in which `boundary` lies. For the producer only.
pub fn record(memory: &Memory, boundary: Boundary) {
    let entry = memory.index_entry(memory.geometry().block_of(boundary.position));
    entry.sequence.store(boundary.sequence, Relaxed);
    entry
        .position
        .store(boundary.position, ord!(entry record: Release));
}

/// Returns `true` if any byte from `position` on, one lap back, may have been overwritten. Call after an
/// acquire fence that follows the reads in question.
#[inline(always)]
pub fn overtaken(memory: &Memory, position: u64) -> bool {
    memory.producer().reserve.position.load(Relaxed) > position + memory.geometry().capacity
}

/// The first frame that begins in `block`, counted over all laps, if one does and it is intact.
fn entry(memory: &Memory, block: u64) -> Option<Boundary> {
    let entry = memory.index_entry(block);
    let position = entry.position.load(Relaxed);
    edge_fence!(entry index: Acquire);
    let sequence = entry.sequence.load(Relaxed);
    edge_fence!(overwrite index: Acquire);
    let geometry = memory.geometry();
    // No message has a lower number than the first one.
    let begins_here = geometry.block_of(position) == block
        && position.is_multiple_of(geometry.align)
        && ahead(sequence, geometry.first_sequence) >= 0;
    let intact = begins_here && !overtaken(memory, position);
    intact.then_some(Boundary { position, sequence })
}

/// The blocks that may hold intact frames, oldest first.
fn blocks(memory: &Memory) -> core::ops::RangeInclusive<u64> {
    let geometry = memory.geometry();
    let reserve = memory.producer().reserve.position.load(Relaxed);
    let last = geometry.block_of(reserve.saturating_sub(1).min(FARTHEST));
    (last + 1).saturating_sub(geometry.blocks())..=last
}

/// The newest indexed frame; at most a few blocks behind the end of the stream.
///
/// `None` while the producer keeps overtaking the search.
pub fn newest(memory: &Memory) -> Option<Boundary> {
    (0..ATTEMPTS).find_map(|_| blocks(memory).rev().find_map(|block| entry(memory, block)))
}

/// The oldest indexed frame at or behind `floor`, else the newest one.
pub fn oldest(memory: &Memory, floor: u64) -> Option<Boundary> {
    let from = |block| entry(memory, block).filter(|found| found.position >= floor);
    (0..ATTEMPTS)
        .find_map(|_| blocks(memory).find_map(from))
        .or_else(|| newest(memory))
}

/// What follows a boundary.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// A committed frame; the next one begins here.
    Next(Boundary),
    /// A gap; the next frame begins here.
    Gap(Gap, Boundary),
    /// Nothing yet.
    End,
    /// The frame is gone.
    Overtaken,
}

impl Step {
    /// Where the next frame begins, if a frame follows.
    pub fn next(self) -> Option<Boundary> {
        match self {
            Self::Next(next) | Self::Gap(_, next) => Some(next),
            Self::End | Self::Overtaken => None,
        }
    }
}

/// Steps over the frame at `from` without reading its payload, unless it is a gap.
pub fn step(memory: &Memory, from: Boundary) -> Result<Step, Corrupt> {
    let word = CommitWord::from_raw(memory.words().at(from.position).load(Relaxed));
    edge_fence!(publish step: Acquire);
    if overtaken(memory, from.position) {
        return Ok(Step::Overtaken);
    }
    if !word.commits(from.sequence) {
        return Ok(Step::End);
    }
    let frame = Frame::decode(memory.geometry(), from.position, word)?;
    let next = |sequence| Boundary {
        position: frame.end,
        sequence,
    };
    match frame.kind {
        Kind::Message => Ok(Step::Next(next(from.sequence.wrapping_add(1)))),
        Kind::Pad => Ok(Step::Next(next(from.sequence))),
        Kind::Gap => {
            let gap = claimed(memory, from.position, word);
            edge_fence!(overwrite step: Acquire);
            if overtaken(memory, from.position) {
                return Ok(Step::Overtaken);
            }
            let gap = checked(memory, from, gap)?;
            Ok(Step::Gap(gap, next(gap.end)))
        }
    }
}

/// Why a start could not be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nowhere {
    /// The message is no longer in the ring.
    Gone {
        /// The oldest that is.
        oldest: u64,
    },
    /// The message has not been published.
    Ahead {
        /// The next that will be.
        next: u64,
    },
    /// The producer overtook every attempt.
    Overtaken,
    /// The ring is damaged.
    Corrupt(Corrupt),
}

/// The place where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The boundary. Behind a gap, if the reader asked for a sequence in the middle of one.
    pub at: Boundary,
    /// That gap.
    pub within: Option<Within>,
}

/// The gap in which a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within {
    /// Where its frame begins.
    pub position: u64,
    /// What is missing for the reader: from the sequence that it asked for on.
    pub gap: Gap,
}

impl Found {
    /// A boundary with nothing missing before it.
    pub fn exactly(at: Boundary) -> Self {
        Self { at, within: None }
    }
}

/// The boundary of [`find`].
pub fn place(memory: &Memory, start: Start, floor: u64) -> Result<Boundary, Nowhere> {
    find(memory, start, floor).map(|found| found.at)
}

/// The boundary where a reader that wants `start` begins, at or behind `floor`.
///
/// For [`Start::Latest`] it is the end of the stream at some instant during the call: the walk from the
/// newest index entry ends where nothing is committed, or at the end of what the producer had announced
/// when the walk began. For the first sequence of a gap it is the frame of the gap, and for another sequence of
/// it the frame behind.
pub fn find(memory: &Memory, start: Start, floor: u64) -> Result<Found, Nowhere> {
    for _ in 0..ATTEMPTS {
        let from = match start {
            Start::Latest => newest(memory),
            Start::Oldest => oldest(memory, floor),
            Start::Sequence(sequence) => before(memory, sequence, floor)?,
        };
        let Some(from) = from else { continue };
        let until = memory.producer().reserve.position.load(Relaxed);
        if let Some(found) = walk(memory, from, start, floor, until)? {
            return Ok(found);
        }
    }
    Err(Nowhere::Overtaken)
}

/// Walks from an indexed frame to the one that `start` names; `None` if the walk was overtaken.
fn walk(
    memory: &Memory,
    from: Boundary,
    start: Start,
    floor: u64,
    until: u64,
) -> Result<Option<Found>, Nowhere> {
    let mut at = from;
    // The announced end is never farther from an indexed frame.
    let farthest = from.position + memory.geometry().capacity;
    let until = until.min(farthest);
    while at.position <= farthest {
        let arrived = match start {
            Start::Oldest => at.position >= floor,
            Start::Latest => at.position >= until,
            Start::Sequence(sequence) => at.sequence == sequence,
        };
        if arrived {
            return Ok(Some(Found::exactly(at)));
        }
        match (step(memory, at).map_err(Nowhere::Corrupt)?, start) {
            (Step::Next(next), _) => at = next,
            (Step::Gap(gap, next), Start::Sequence(wanted)) if ahead(gap.end, wanted) > 0 => {
                let within = Within {
                    position: at.position,
                    gap: Gap::new(wanted, gap.end, gap.why),
                };
                return Ok(Some(Found {
                    at: next,
                    within: Some(within),
                }));
            }
            (Step::Gap(_, next), _) => at = next,
            (Step::Overtaken, _) => return Ok(None),
            (Step::End, Start::Sequence(_)) => return Err(Nowhere::Ahead { next: at.sequence }),
            (Step::End, _) => return Ok(Some(Found::exactly(at))),
        }
    }
    Ok(None)
}

/// The boundary at `position`, if one is there and nothing behind it is gone.
///
/// The position comes from another process, so it is checked against the stream: the walk from the nearest
/// indexed frame before it must arrive exactly there. If that frame is gone, the walk from the position
/// must arrive exactly at the next indexed frame; this finds frames of the oldest block, whose first frame
/// is gone.
///
/// `None` if the producer overtook the position, moved the index under the search, or if no frame
/// begins there.
pub fn boundary_at(memory: &Memory, position: u64) -> Option<Boundary> {
    let geometry = memory.geometry();
    if !position.is_multiple_of(geometry.align) || overtaken(memory, position) {
        return None;
    }
    let block = geometry.block_of(position);
    let indexed = |block| entry(memory, block);
    let before = blocks(memory)
        .rev()
        .skip_while(|at| *at > block)
        .find_map(|at| indexed(at).filter(|found| found.position <= position));
    if let Some(from) = before {
        return advance(memory, from, position);
    }
    let to = blocks(memory)
        .skip_while(|at| *at < block)
        .find_map(|at| indexed(at).filter(|found| found.position > position))?;
    let from = Boundary {
        position,
        sequence: sequence_at(memory, position, to)?,
    };
    (advance(memory, from, to.position)? == to).then_some(from)
}

/// The sequence of the frame at `position`, if frames lead from there to `to`, or to a gap before it. To be
/// checked by walking there.
///
/// A commit word carries half of its sequence. The other half follows from the next sequence that is known
/// whole: that of `to`, less than half of all halves away, or, however far it leads, that of a gap.
fn sequence_at(memory: &Memory, position: u64, to: Boundary) -> Option<u64> {
    let word = |position| CommitWord::from_raw(memory.words().at(position).load(Relaxed));
    let near = word(position).sequence_near(to.sequence);
    let mut at = Boundary {
        position,
        sequence: near,
    };
    while at.position < to.position {
        let word = word(at.position);
        if !word.commits(at.sequence) {
            return None;
        }
        let frame = Frame::decode(memory.geometry(), at.position, word).ok()?;
        match frame.kind {
            Kind::Message => at.sequence = at.sequence.wrapping_add(1),
            Kind::Pad => {}
            Kind::Gap => {
                let whole = claimed(memory, at.position, word).first;
                return Some(near.wrapping_add(whole.wrapping_sub(at.sequence)));
            }
        }
        at.position = frame.end;
    }
    Some(near)
}

/// Walks from a boundary to the one at `position`, if there is one.
fn advance(memory: &Memory, from: Boundary, position: u64) -> Option<Boundary> {
    first_behind(memory, from, position).filter(|at| at.position == position)
}

/// The first boundary at or behind `floor` that follows `from`, if what lies between is intact.
pub fn first_behind(memory: &Memory, from: Boundary, floor: u64) -> Option<Boundary> {
    let mut at = from;
    while at.position < floor {
        at = step(memory, at).ok()?.next()?;
    }
    Some(at)
}

/// The boundary of the message `sequence` that follows `from`, if what lies between is intact.
pub fn message_behind(memory: &Memory, from: Boundary, sequence: u64) -> Option<Boundary> {
    let mut at = from;
    while at.sequence != sequence {
        at = step(memory, at).ok()?.next()?;
        if ahead(at.sequence, sequence) > 0 {
            return None;
        }
    }
    Some(at)
}

/// The frame nearest before `sequence` that is indexed, or else where a consumer stands; `None` if the index moved under the
/// search.
fn before(memory: &Memory, sequence: u64, floor: u64) -> Result<Option<Boundary>, Nowhere> {
    let Some(first) = oldest(memory, floor) else {
        return Ok(None);
    };
    if ahead(first.sequence, sequence) > 0 {
        let gone = Nowhere::Gone {
            oldest: first.sequence,
        };
        return held_before(memory, sequence, floor).ok_or(gone).map(Some);
    }
    let found = blocks(memory)
        .rev()
        .filter_map(|block| entry(memory, block))
        .find(|at| ahead(at.sequence, sequence) <= 0 && at.position >= floor);
    Ok(Some(found.unwrap_or(first)))
}

/// The nearest frame before `sequence` at which a consumer or a cursor stands, if the stream confirms it. The index does not
/// lead to the frames of a block whose first frame was overwritten, and a consumer may still hold those.
fn held_before(memory: &Memory, sequence: u64, floor: u64) -> Option<Boundary> {
    let rows = (0..memory.geometry().rows).filter_map(|at| memory.row(at));
    let held = rows.filter_map(|row| match RowState::from_raw(row.state.load(Relaxed)) {
        RowState::Consumer | RowState::Away => Some(row.position.load(Relaxed)),
        RowState::Free | RowState::Observer => None,
    });
    let found = held.filter(|position| *position >= floor);
    let found = found.filter_map(|position| boundary_at(memory, position));
    let found = found.filter(|at| ahead(at.sequence, sequence) <= 0);
    found.max_by_key(|at| at.position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::geometry::Geometry;
    use crate::ring::producer::Producer;

    #[test]
    fn overtaken_means_one_byte_more_than_a_lap() {
        let geometry = Geometry::new(4096, 8, 1, 0, false).unwrap();
        let memory = Memory::local(geometry);
        let reserve = &memory.producer().reserve.position;
        reserve.store(4096 + 64, Relaxed);
        assert!(overtaken(&memory, 63) && !overtaken(&memory, 64));
    }

    #[test]
    fn what_no_producer_writes_is_passed_over() {
        let geometry = Geometry::new(4096, 8, 1, 0, false).unwrap();
        let memory = Memory::local(geometry);
        let mut producer = Producer::attach(memory.clone(), 1).unwrap();
        for _ in 0..20 {
            producer.try_publish(&[0; 56]).unwrap();
        }
        let last = newest(&memory).unwrap();
        assert_eq!(oldest(&memory, last.position + 1), Some(last));
        let entry = memory.index_entry(geometry.block_of(last.position));
        // Entries of no frame, of another block, of another lap.
        for lie in [last.position + 4, 0, last.position + 4096] {
            entry.position.store(lie, Relaxed);
            let found = newest(&memory).unwrap();
            assert!(geometry.block_of(found.position) < geometry.block_of(last.position));
        }
        assert_eq!(boundary_at(&memory, 4), None);
        // Of a sequence below the first one, which no message has.
        entry.position.store(last.position, Relaxed);
        for (lie, believed) in [(u64::MAX, false), (1 << 63, false), (0, true)] {
            entry.sequence.store(lie, Relaxed);
            let found = newest(&memory).unwrap();
            assert_eq!(found.position == last.position, believed, "{lie}");
        }
        entry.position.store(0, Relaxed);
        assert_eq!(boundary_at(&memory, 72), None);
        let second = Boundary {
            position: 64,
            sequence: 1,
        };
        assert_eq!(boundary_at(&memory, 64), Some(second));
        // One byte too far.
        memory.producer().reserve.position.store(4096 + 65, Relaxed);
        assert_eq!(boundary_at(&memory, 64), None);
        assert!(matches!(step(&memory, second), Ok(Step::Overtaken)));
    }

    /// Frames of many lengths over several laps, and where each of them begins, pads included.
    fn published(count: u32) -> (Memory, Vec<Boundary>) {
        let geometry = Geometry::new(4096, 8, 1, 0, false).unwrap();
        let memory = Memory::local(geometry);
        let mut producer = Producer::attach(memory.clone(), 1).unwrap();
        let mut begins = Vec::new();
        for n in 0..count {
            // Some fill their blocks to the byte.
            let len = [56, 120, 0, 248, 24, 504][n as usize % 6];
            let before = producer.position();
            producer.try_publish(&vec![0; len]).unwrap();
            let frame = crate::layout::frame::frame_bytes(len as u64, 8);
            let position = producer.position() - frame;
            let sequence = u64::from(n);
            if position != before {
                let position = before;
                begins.push(Boundary { position, sequence });
            }
            begins.push(Boundary { position, sequence });
        }
        let (position, sequence) = (producer.position(), u64::from(count));
        begins.push(Boundary { position, sequence });
        (memory, begins)
    }

    fn intact(memory: &Memory, begins: &[Boundary]) -> Vec<Boundary> {
        let intact = begins.iter().filter(|at| !overtaken(memory, at.position));
        intact.copied().collect()
    }

    #[test]
    fn every_boundary_is_found_by_its_position_and_nothing_else_is() {
        let mut behind_an_overwritten_one = 0;
        for count in (1..180).chain([1000, 1001, 1002, 1003]) {
            let (memory, begins) = published(count);
            let intact = intact(&memory, &begins);
            let (first, last) = (intact[0].position, intact.last().unwrap().position);
            let oldest = place(&memory, Start::Oldest, 0).unwrap();
            for position in (first..=last).step_by(8) {
                let expected = intact.iter().find(|at| at.position == position);
                let found = boundary_at(&memory, position);
                assert_eq!(found, expected.copied(), "{count} messages");
                behind_an_overwritten_one +=
                    u32::from(found.is_some_and(|at| at.position < oldest.position));
            }
            let gone = begins.iter().filter(|at| at.position < first);
            for at in gone {
                assert_eq!(boundary_at(&memory, at.position), None, "{count} messages");
            }
        }
        assert!(behind_an_overwritten_one > 0);
    }

    #[test]
    fn the_oldest_is_the_first_whole_one_that_begins_a_block() {
        for count in (1..180).chain([1000, 1001, 1002, 1003]) {
            let (memory, begins) = published(count);
            let geometry = memory.geometry();
            let block = |at: &Boundary| geometry.block_of(at.position);
            let opens = |at: &&Boundary| {
                let same = |other: &&Boundary| block(other) == block(at);
                begins.iter().find(same) == Some(*at)
            };
            let opening: Vec<_> = begins.iter().filter(opens).copied().collect();
            // The place of a block's entry is that of the block a lap later, from its announcement on.
            let reserve = memory.producer().reserve.position.load(Relaxed);
            let listed =
                |at: &&Boundary| block(at) + geometry.blocks() > (reserve - 1) / geometry.block;
            let oldest = opening
                .iter()
                .filter(listed)
                .find(|at| !overtaken(&memory, at.position));
            assert_eq!(
                place(&memory, Start::Oldest, 0).ok(),
                oldest.copied(),
                "{count}"
            );
            // And the first of them can be asked for by its number.
            let sequence = oldest.unwrap().sequence;
            let by_number = place(&memory, Start::Sequence(sequence), 0).unwrap();
            assert_eq!(by_number, *oldest.unwrap());
        }
    }

    #[test]
    fn a_message_is_found_from_any_place_before_it_and_from_none_behind() {
        let (memory, begins) = published(100);
        let intact = intact(&memory, &begins);
        for (at, from) in intact.iter().enumerate() {
            for sequence in intact[0].sequence..=102 {
                let expected = intact[at..].iter().find(|to| to.sequence == sequence);
                let found = message_behind(&memory, *from, sequence);
                assert_eq!(found, expected.copied(), "{from:?}, {sequence}");
            }
        }
    }

    #[test]
    fn positions_at_the_end_of_numbers_are_not_believed() {
        let (memory, _) = published(3);
        let geometry = memory.geometry();
        memory.producer().reserve.position.store(u64::MAX, Relaxed);
        for back in 0..geometry.blocks() {
            let position = !7 - back * geometry.block;
            let entry = memory.index_entry(geometry.block_of(position));
            entry.position.store(position, Relaxed);
        }
        assert_eq!(newest(&memory), None);
        assert_eq!(oldest(&memory, 0), None);
        let nowhere = place(&memory, Start::Latest, 0);
        assert_eq!(nowhere, Err(Nowhere::Overtaken));
    }

    #[test]
    fn a_floor_is_never_gone_below() {
        let geometry = Geometry::new(4096, 8, 1, 0, false).unwrap();
        let memory = Memory::local(geometry);
        let mut producer = Producer::attach(memory.clone(), 1).unwrap();
        for _ in 0..200 {
            producer.try_publish(&[0; 56]).unwrap();
        }
        let oldest = place(&memory, Start::Oldest, 0).unwrap();
        let latest = place(&memory, Start::Latest, 0).unwrap();
        assert_eq!(latest.sequence, 200);
        // Everything that was not announced as overwritten, to the block.
        let reserve = memory.producer().reserve.position.load(Relaxed);
        assert!(oldest.position <= reserve - 4096 + geometry.block);
        // A floor never lies beyond the newest entry: it is most of a lap behind the end.
        let newest = newest(&memory).unwrap();
        for floor in (oldest.position..newest.position).step_by(64) {
            let from = place(&memory, Start::Oldest, floor).unwrap();
            assert!(from.position >= floor && from.position < floor + geometry.block + 72);
            let found = place(&memory, Start::Sequence(from.sequence), floor).unwrap();
            assert_eq!(found, from);
            if from.sequence > oldest.sequence {
                let before = Start::Sequence(from.sequence - 1);
                let gone = place(&memory, before, from.position);
                assert!(
                    !matches!(gone, Ok(at) if at.position < from.position),
                    "{gone:?}"
                );
            }
        }
        assert!(matches!(
            place(&memory, Start::Sequence(oldest.sequence - 1), 0),
            Err(Nowhere::Gone { oldest: at }) if at == oldest.sequence
        ));
        assert_eq!(
            place(&memory, Start::Sequence(201), 0),
            Err(Nowhere::Ahead { next: 200 })
        );
    }
}
