//! Competing readers: each message of a ring goes to exactly one of them, and comes back if that one
//! dies.
//!
//! Layer 3, no unsafe code. Every message has a *take word* on the board, which is its whole state: open,
//! taken by a certain taker, returned, or done. Takers follow the stream like observers and compete for a
//! message by one compare-and-swap of its word. A word changes hands only that way, so a taker that dies
//! leaves exactly the words that name it, and the process that then holds its lock returns them.
//!
//! The producer's process keeps a consumer whose row stands before the oldest unfinished message, so no
//! message that is open, held or returned is overwritten. Takers and the next keeper find the oldest
//! message by this row, which the next keeper takes over as it is: the index knows only the first frame of
//! each block, and in a full ring that of the oldest block is gone.

mod census;
mod holds;
mod keeper;

pub use census::{census, held, is_empty};
pub use holds::{revoke, Hold, Watch};
pub use keeper::Keeper;

use super::index::{boundary_at, overtaken};
use super::{Boundary, Corrupt, Frame, Kind};
use crate::layout::frame::{CommitWord, WORD};
use crate::segment::{prefetch_for_write, Memory};
use crate::sync::{edge_fence, ord, AtomicU64, Ordering::Relaxed, MODELLED};

/// Word 0 counts returned messages; the take words begin on a line of their own.
const FIRST_WORD: u32 = 16;

/// How many words a board with take words for `depth` messages has; `depth` is a power of two.
pub const fn board_words(depth: u32) -> u32 {
    FIRST_WORD + depth
}

/// The state of one message.
///
/// | bits   | field  | meaning                                                     |
/// |--------|--------|-------------------------------------------------------------|
/// | 0..2   | state  | 0 open, 1 taken, 2 returned                                 |
/// | 2..16  | taker  | who took it last                                            |
/// | 16..24 | tries  | how often it was taken, at most 255                         |
/// | 24..64 | lap    | how many messages used the word before this one             |
///
/// A message that is done is a word open for the next lap, so a fresh board is all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TakeWord(u64);

/// How many messages a taker looks for at once, before it claims the first. A claim is a full fence, so
/// loads between two claims would wait for their cache lines one by one.
const AT_ONCE: usize = 16;
/// The row of the keeper, whose lock it holds.
pub const KEEPER_ROW: u32 = 0;
/// How often a search starts again because the keeper moved on meanwhile.
const ATTEMPTS: u32 = if MODELLED { 2 } else { 8 };
/// The most bytes that are asked for ahead, and in which steps.
const MOST_AHEAD: u64 = 2048;
const LINE: u64 = 64;

const TAKEN: u64 = 1;
const RETURNED: u64 = 2;
/// Takers are numbered below this.
pub const MAX_TAKERS: u32 = 1 << 14;
const LAP_BITS: u64 = (1 << 40) - 1;

impl TakeWord {
    const fn open(lap: u64) -> Self {
        Self((lap & LAP_BITS) << 24)
    }

    const fn lap(self) -> u64 {
        self.0 >> 24
    }

    const fn tries(self) -> u64 {
        self.0 >> 16 & 255
    }

    /// The taker that holds it, if any.
    const fn taker(self) -> Option<u32> {
        if self.0 & 3 == TAKEN {
            Some((self.0 >> 2) as u32 & (MAX_TAKERS - 1))
        } else {
            None
        }
    }

    /// Returns `true` if the message of this lap waits for a taker.
    const fn waits(self, lap: u64) -> bool {
        self.lap() == lap & LAP_BITS && (self.0 & 3 == RETURNED || self.0 & 0xff_ffff == 0)
    }

    const fn taken_by(self, taker: u32) -> Self {
        let tries = if self.tries() < 255 {
            self.tries() + 1
        } else {
            255
        };
        Self(self.lap() << 24 | tries << 16 | (taker as u64) << 2 | TAKEN)
    }

    /// As a taker leaves it that took the message of this lap, as the taking with this number.
    const fn held(lap: u64, taker: u32, tries: u32) -> Self {
        let tries = tries as u64 & 255;
        Self((lap & LAP_BITS) << 24 | tries << 16 | (taker as u64) << 2 | TAKEN)
    }

    const fn returned(self) -> Self {
        Self(self.0 & !3 | RETURNED)
    }
}

/// Where the take words of a ring are.
#[derive(Clone, Debug)]
struct Board {
    memory: Memory,
    first_sequence: u64,
    depth: u32,
}

impl Board {
    fn new(memory: &Memory) -> Option<Self> {
        let geometry = memory.geometry();
        let depth = geometry.board.checked_sub(FIRST_WORD)?;
        depth.is_power_of_two().then(|| Self {
            memory: memory.clone(),
            first_sequence: geometry.first_sequence,
            depth,
        })
    }

    /// Which of the words a message has.
    #[inline(always)]
    fn at(&self, sequence: u64) -> usize {
        (sequence.wrapping_sub(self.first_sequence) & u64::from(self.depth - 1)) as usize
    }

    /// The word of a message, and in which lap that message uses it.
    #[inline(always)]
    fn word(&self, sequence: u64) -> Option<(&AtomicU64, u64)> {
        let lap = sequence.wrapping_sub(self.first_sequence) >> self.depth.trailing_zeros();
        let word = self.memory.board(FIRST_WORD + self.at(sequence) as u32)?;
        Some((word, lap))
    }

    fn returns(&self) -> Option<&AtomicU64> {
        self.memory.board(0)
    }
}

/// A message that was taken and is neither done nor returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Position of the payload.
    pub payload: u64,
    /// Payload bytes.
    pub len: u32,
    /// Number of the message.
    pub sequence: u64,
    /// How often it was taken, this time included; at most 255.
    pub tries: u32,
}

/// The private state of one taker.
#[derive(Debug)]
pub struct Taker {
    board: Board,
    number: u32,
    /// Where the next frame to look at begins.
    position: u64,
    sequence: u64,
    /// How many returns it has looked for.
    returns: u64,
    /// Messages that were seen and not tried, from `next` to `seen`.
    ahead: [Seen; AT_ONCE],
    next: usize,
    seen: usize,
}

/// A message that was there when it was looked for.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    payload: u64,
    sequence: u64,
    len: u32,
}

impl Taker {
    /// Joins with a number of which the caller holds the lock. Begins, at its first try, at the oldest
    /// message that is not done.
    ///
    /// # Errors
    /// [`Corrupt`] for a ring without take words.
    pub fn attach(memory: &Memory, number: u32) -> Result<Self, Corrupt> {
        let board = Board::new(memory).filter(|_| number < MAX_TAKERS);
        let board = board.ok_or(Corrupt::Index)?;
        let returns = board.returns().map_or(0, |returns| returns.load(Relaxed));
        Ok(Self {
            board,
            number,
            position: 0,
            sequence: 0,
            // As if a message had been returned, so that the first try finds the taker's place.
            returns: returns.wrapping_sub(1),
            ahead: [Seen::default(); AT_ONCE],
            next: 0,
            seen: 0,
        })
    }

    /// The memory this taker reads.
    #[inline(always)]
    pub fn memory(&self) -> &Memory {
        &self.board.memory
    }

    /// Returns `true` if a message may be available. It may turn out that other takers were faster.
    #[inline(always)]
    pub fn ready(&self) -> bool {
        let word = self.memory().words().at(self.position).load(Relaxed);
        self.next != self.seen
            || CommitWord::from_raw(word).commits(self.sequence)
            || self.returned()
            || overtaken(self.memory(), self.position)
    }

    /// Returns `true` if a message came back since the last look for one.
    #[inline(always)]
    fn returned(&self) -> bool {
        let returns = self.board.returns();
        returns.is_some_and(|returns| returns.load(Relaxed) != self.returns)
    }

    /// Takes the first message that waits, if there is one. Its payload stays as it is until
    /// [`finish`](Self::finish) or [`give_back`](Self::give_back).
    #[inline(always)]
    pub fn try_take(&mut self) -> Result<Option<Taken>, Corrupt> {
        if self.returned() && !self.rewind()? {
            return Ok(None);
        }
        let mut vain = 0;
        loop {
            while self.next != self.seen {
                let message = self.ahead[self.next & (AT_ONCE - 1)];
                self.next += 1;
                if let Some(taken) = self.claim(message) {
                    return Ok(Some(taken));
                }
            }
            if !self.look()? {
                return Ok(None);
            }
            // Lapped, or a pad. The loop is bounded even if the producer laps this taker repeatedly.
            vain += u32::from(self.seen == 0);
            if vain > ATTEMPTS {
                return Ok(None);
            }
        }
    }

    /// Looks for messages from the current position on. Returns `true` if anything changed. A message that
    /// was seen may be done and overwritten before it is tried, but then it cannot be claimed.
    #[inline(always)]
    fn look(&mut self) -> Result<bool, Corrupt> {
        let (first, first_sequence) = (self.position, self.sequence);
        (self.next, self.seen) = (0, 0);
        let mut damage = None;
        while self.seen < AT_ONCE {
            let word = self.memory().words().at(self.position).load(Relaxed);
            let word = CommitWord::from_raw(word);
            if !word.commits(self.sequence) {
                break;
            }
            let position = self.position;
            let frame = match Frame::decode(self.memory().geometry(), position, word) {
                // The sender of a lane leaves none.
                Ok(frame) if frame.kind == Kind::Gap => {
                    damage = Some(Corrupt::NoGaps { position });
                    break;
                }
                Ok(frame) => frame,
                Err(corrupt) => {
                    damage = Some(corrupt);
                    break;
                }
            };
            if frame.kind == Kind::Message {
                self.ahead[self.seen & (AT_ONCE - 1)] = Seen {
                    payload: self.position + WORD,
                    sequence: self.sequence,
                    len: frame.len,
                };
                self.seen += 1;
                self.sequence = self.sequence.wrapping_add(1);
            }
            self.position = frame.end;
        }
        edge_fence!(publish take: Acquire);
        if overtaken(self.memory(), first) {
            // A whole lap went to others.
            (self.position, self.sequence) = (first, first_sequence);
            return self.catch_up();
        }
        if self.seen == AT_ONCE {
            self.prefetch(self.position - first);
        }
        match damage {
            Some(corrupt) if self.position == first => Err(corrupt),
            _ => Ok(self.position != first),
        }
    }

    /// Prefetches what the next look will find, if it finds as much as this one. Each frame says where the
    /// next one begins, so without this their cache misses would not overlap.
    #[inline(always)]
    fn prefetch(&self, bytes: u64) {
        let words = self.memory().words();
        let mut at = self.position;
        while at < self.position + bytes.min(MOST_AHEAD) {
            words.prefetch(at);
            at += LINE;
        }
        for ahead in [0, AT_ONCE as u64 / 2] {
            if let Some((word, _)) = self.board.word(self.sequence.wrapping_add(ahead)) {
                prefetch_for_write(word);
            }
        }
    }

    /// Claims a message for this taker, unless another taker has it. It is not overwritten from then on,
    /// and was not since it was seen, because it was not done.
    #[inline(always)]
    fn claim(&self, message: Seen) -> Option<Taken> {
        let (word, lap) = self.board.word(message.sequence)?;
        let seen = word.load(Relaxed);
        let waiting = TakeWord(seen);
        if !waiting.waits(lap) {
            return None;
        }
        let mine = waiting.taken_by(self.number);
        word.compare_exchange(seen, mine.0, Relaxed, Relaxed).ok()?;
        Some(Taken {
            payload: message.payload,
            len: message.len,
            sequence: message.sequence,
            tries: mine.tries() as u32,
        })
    }

    /// Starts again at the oldest message. Returns `false` if there is no beginning to be found.
    #[cold]
    fn rewind(&mut self) -> Result<bool, Corrupt> {
        let returns = self.board.returns();
        let returns = returns.map_or(0, |returns| returns.load(ord!(returned rewind: Acquire)));
        let found = self.catch_up()?;
        if found {
            self.returns = returns;
        }
        Ok(found)
    }

    /// Goes to the oldest message that is not done. Returns `false` if the keeper moved too fast.
    #[cold]
    fn catch_up(&mut self) -> Result<bool, Corrupt> {
        (self.next, self.seen) = (0, 0);
        let found = oldest(&self.board.memory)?;
        if let Some(at) = found {
            (self.position, self.sequence) = (at.position, at.sequence);
        }
        Ok(found.is_some())
    }

    /// How many bytes the producer is ahead, rounded up to a block. May be out of date.
    pub fn lag(&self) -> u64 {
        let reserve = self.memory().producer().reserve.position.load(Relaxed);
        reserve.saturating_sub(self.position)
    }

    /// Takes what lies before `end` out of the caches, at most so many bytes from `flushed` on, and nothing that
    /// the producer may have come round to. `flushed` says then how far that went.
    pub fn flush(&self, flushed: &mut u64, end: u64, most: u64) {
        let capacity = self.memory().geometry().capacity;
        let from = (*flushed).max(end.saturating_sub(capacity - capacity / 8));
        let to = end.min(from.saturating_add(most));
        if from < to {
            self.memory().words().flush(from..to);
            *flushed = to;
        }
    }

    /// Finishes a message: it is never delivered again, and its space may be reused.
    #[inline(always)]
    pub fn finish(&self, taken: Taken) {
        if let Some((word, lap)) = self.board.word(taken.sequence) {
            let done = TakeWord::open(lap.wrapping_add(1));
            word.store(done.0, ord!(taken finish: Release));
        }
    }

    /// As [`finish`](Self::finish), where other takers may [`revoke`] what this one holds: returns `false`, and
    /// finishes nothing, if that has happened.
    #[must_use]
    pub fn finish_if_held(&self, taken: Taken) -> bool {
        self.board.word(taken.sequence).is_some_and(|(word, lap)| {
            let held = TakeWord::held(lap, self.number, taken.tries);
            let done = TakeWord::open(lap.wrapping_add(1));
            let finished =
                word.compare_exchange(held.0, done.0, ord!(taken finish_if_held: Release), Relaxed);
            finished.is_ok()
        })
    }

    /// Returns `true` if no other taker has [revoked](revoke) what this one holds. What was copied of the message
    /// before is its own then: nothing of it was overwritten.
    #[must_use]
    pub fn still_holds(&self, taken: Taken) -> bool {
        edge_fence!(revoked copy: Acquire);
        self.board.word(taken.sequence).is_some_and(|(word, lap)| {
            word.load(Relaxed) == TakeWord::held(lap, self.number, taken.tries).0
        })
    }

    /// Returns a message, so that another taker may take it, if this one still holds it.
    pub fn give_back(&self, taken: Taken) {
        if let Some((word, lap)) = self.board.word(taken.sequence) {
            let held = TakeWord::held(lap, self.number, taken.tries);
            let returned = word.compare_exchange(held.0, held.returned().0, Relaxed, Relaxed);
            if returned.is_ok() {
                announce(&self.board);
            }
        }
    }
}

/// Where the oldest message that is not done begins: where the keeper's row says, if the stream agrees.
/// `None` if the keeper moved on too fast.
///
/// The row gates even while no keeper lives: nothing behind it is overwritten. A process that sees the
/// overwriting of a position in the row announced also sees the position to which the row had moved before
/// (`gate`, look), so a row that stays where nothing is intact is damaged.
fn oldest(memory: &Memory) -> Result<Option<Boundary>, Corrupt> {
    let row = memory.row(KEEPER_ROW).ok_or(Corrupt::Index)?;
    let (mut moved, mut before) = (false, None);
    for _ in 0..ATTEMPTS {
        let position = row.position.load(ord!(consumed oldest: Acquire));
        if let Some(at) = boundary_at(memory, position) {
            return Ok(Some(at));
        }
        moved |= before.is_some_and(|before| before != position);
        before = Some(position);
        edge_fence!(gate oldest: Acquire);
    }
    if moved {
        Ok(None)
    } else {
        Err(Corrupt::Index)
    }
}

/// Makes takers look for a message that came back.
fn announce(board: &Board) {
    if let Some(returns) = board.returns() {
        returns.fetch_add(1, ord!(returned announce: Release));
    }
}

/// Returns the messages of a taker that is dead or about to begin; the caller holds its lock. The result is
/// how many messages those are.
///
/// Always makes takers look: the last owner of the number may have died between returning a message and
/// announcing it.
pub fn return_all(memory: &Memory, taker: u32) -> u32 {
    let Some(board) = Board::new(memory) else {
        return 0;
    };
    let mut count = 0;
    for at in 0..board.depth {
        let Some(word) = memory.board(FIRST_WORD + at) else {
            break;
        };
        let seen = TakeWord(word.load(Relaxed));
        if seen.taker() == Some(taker) {
            let returned = seen.returned().0;
            let done = word.compare_exchange(seen.0, returned, Relaxed, Relaxed);
            count += u32::from(done.is_ok());
        }
    }
    announce(&board);
    count
}
