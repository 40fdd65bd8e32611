//! Competing readers: each message of a ring goes to exactly one of them, and comes back if that one
//! dies.
//!
//! Layer 3, no unsafe code. Every message has a *take word* on the board, and its whole fate is in
//! that one word: open, taken by a certain taker, returned, or done. Takers follow the stream like
//! observers and compete for a message by one compare-and-swap of its word; a word changes hands only
//! that way, so whoever dies leaves behind exactly the words that name it, and whoever holds its row
//! returns them. The producer's process keeps a consumer that stands before the oldest message that
//! is not done, so nothing is overwritten that is open, held, or returned.

use super::consumer::{Consumer, Joining};
use super::index::{overtaken, place, Nowhere};
use super::{Boundary, Corrupt, Frame, Start};
use crate::layout::frame::{CommitWord, WORD};
use crate::segment::{prefetch_for_write, Memory};
use crate::sync::{edge_fence, ord, AtomicU64, Ordering::Relaxed};

/// Word 0 counts returned messages; the take words begin on a line of their own.
const FIRST_WORD: u32 = 16;

/// How many words a board with take words for `depth` messages has; `depth` is a power of two.
pub const fn board_words(depth: u32) -> u32 {
    FIRST_WORD + depth
}

/// The fate of one message.
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
/// what is looked for between two claims would wait for its lines one by one.
const AT_ONCE: usize = 16;
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

    /// Who holds it, if anybody does.
    const fn taker(self) -> Option<u32> {
        if self.0 & 3 == TAKEN {
            Some((self.0 >> 2) as u32 & (MAX_TAKERS - 1))
        } else {
            None
        }
    }

    /// Whether a message of this lap waits for a taker.
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
    /// Joins with a number of which the caller holds the lock, at the oldest message there is.
    ///
    /// # Errors
    /// [`Nowhere`], also for a ring without take words.
    pub fn attach(memory: &Memory, number: u32) -> Result<Self, Nowhere> {
        let board = Board::new(memory).filter(|_| number < MAX_TAKERS);
        let board = board.ok_or(Nowhere::Corrupt(Corrupt::Index))?;
        let returns = board.returns().map_or(0, |returns| returns.load(Relaxed));
        let at = place(memory, Start::Oldest, 0)?;
        Ok(Self {
            board,
            number,
            position: at.position,
            sequence: at.sequence,
            returns,
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

    /// Whether it may be worth a try. May be true where others turn out to have been faster.
    #[inline(always)]
    pub fn ready(&self) -> bool {
        let word = self.memory().words().at(self.position).load(Relaxed);
        self.next != self.seen
            || CommitWord::from_raw(word).commits(self.sequence)
            || self.returned()
            || overtaken(self.memory(), self.position)
    }

    /// Whether a message came back since the last look for one.
    #[inline(always)]
    fn returned(&self) -> bool {
        let returns = self.board.returns();
        returns.is_some_and(|returns| returns.load(Relaxed) != self.returns)
    }

    /// Takes the first message that waits, if there is one. Its payload stays as it is until
    /// [`finish`](Self::finish) or [`give_back`](Self::give_back).
    #[inline(always)]
    pub fn try_take(&mut self) -> Result<Option<Taken>, Corrupt> {
        if self.returned() {
            self.rewind();
        }
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
        }
    }

    /// Looks for messages from the current position on; whether there is any news. What was seen may be
    /// done and overwritten when its turn comes, but then it cannot be claimed.
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
            let frame = match Frame::decode(self.memory().geometry(), self.position, word) {
                Ok(frame) => frame,
                Err(corrupt) => {
                    damage = Some(corrupt);
                    break;
                }
            };
            if !frame.pad {
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
        edge_fence!(E1 take: Acquire);
        if overtaken(self.memory(), first) {
            // A whole lap went to others.
            (self.position, self.sequence) = (first, first_sequence);
            return Ok(self.catch_up());
        }
        if self.seen == AT_ONCE {
            self.prefetch(self.position - first);
        }
        match damage {
            Some(corrupt) if self.position == first => Err(corrupt),
            _ => Ok(self.position != first),
        }
    }

    /// Asks for what the next look will find, if it finds as much as this one: each frame says where the
    /// next one begins, so nothing else overlaps their misses.
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

    /// Makes a message this taker's, unless it is somebody else's. Nobody overwrites it from then on, nor
    /// since it was seen: it was not done.
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

    /// Looks at everything there is once more.
    #[cold]
    fn rewind(&mut self) {
        if let Some(returns) = self.board.returns() {
            self.returns = returns.load(ord!(E11: Acquire));
        }
        self.catch_up();
    }

    /// Goes to the oldest message there is; everything before is done.
    #[cold]
    fn catch_up(&mut self) -> bool {
        let found = place(self.memory(), Start::Oldest, 0);
        (self.next, self.seen) = (0, 0);
        if let Ok(at) = found {
            (self.position, self.sequence) = (at.position, at.sequence);
        }
        found.is_ok()
    }

    /// How many bytes the producer is ahead, rounded up to a block. May be out of date.
    pub fn lag(&self) -> u64 {
        let reserve = self.memory().producer().reserve.position.load(Relaxed);
        reserve.saturating_sub(self.position)
    }

    /// The message will never come again, and its space may be used.
    #[inline(always)]
    pub fn finish(&self, taken: Taken) {
        if let Some((word, lap)) = self.board.word(taken.sequence) {
            let done = TakeWord::open(lap.wrapping_add(1));
            word.store(done.0, ord!(E12: Release));
        }
    }

    /// Somebody else may take the message.
    pub fn give_back(&self, taken: Taken) {
        if let Some((word, _)) = self.board.word(taken.sequence) {
            let mine = TakeWord(word.load(Relaxed));
            if mine.taker() == Some(self.number) {
                word.store(mine.returned().0, Relaxed);
                announce(&self.board);
            }
        }
    }
}

/// Makes takers look for a message that came back.
fn announce(board: &Board) {
    if let Some(returns) = board.returns() {
        returns.fetch_add(1, ord!(E11: Release));
    }
}

/// Returns everything that a taker holds, who is dead or about to begin: the caller holds its lock.
/// How many messages those are.
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
    if count > 0 {
        announce(&board);
    }
    count
}

/// How many messages wait, and how many are held, at some moment during the call.
pub fn census(memory: &Memory) -> (u64, u64) {
    let Some(board) = Board::new(memory) else {
        return (0, 0);
    };
    let (oldest, latest) = (
        place(memory, Start::Oldest, 0),
        place(memory, Start::Latest, 0),
    );
    let (Ok(oldest), Ok(latest)) = (oldest, latest) else {
        return (0, 0);
    };
    let (mut waiting, mut held) = (0, 0);
    let published = latest.sequence.wrapping_sub(oldest.sequence);
    for offset in 0..published.min(u64::from(board.depth)) {
        // Nothing older than the depth can be anything but done.
        let sequence = latest.sequence.wrapping_sub(offset + 1);
        if let Some((word, lap)) = board.word(sequence) {
            let word = TakeWord(word.load(Relaxed));
            if word.lap() == lap & LAP_BITS {
                held += u64::from(word.taker().is_some());
                waiting += u64::from(word.waits(lap));
            }
        }
    }
    (waiting, held)
}

/// What the producer's process keeps so that nothing is overwritten that is not done: a consumer in
/// the place of all takers, and where each message ends.
#[derive(Debug)]
pub struct Keeper {
    board: Board,
    consumer: Consumer,
    ends: Box<[u64]>,
}

impl Keeper {
    /// Takes a row and stands before the oldest message that is not done. Call as the producer,
    /// before anything is published, with the row's lock held. Allocates once.
    ///
    /// # Errors
    /// [`Nowhere`], also for a ring without take words.
    pub fn attach(memory: Memory, row: u32) -> Result<Self, Nowhere> {
        let board = Board::new(&memory).ok_or(Nowhere::Corrupt(Corrupt::Index))?;
        let consumer = Consumer::attach(memory, Joining::at(row, Start::Oldest))?;
        let ends = vec![0; board.depth as usize].into_boxed_slice();
        let oldest = Boundary {
            position: consumer.position(),
            sequence: consumer.sequence(),
        };
        let mut keeper = Self {
            board,
            consumer,
            ends,
        };
        // There may be more than there are words: whatever lost its word is done.
        loop {
            match keeper.consumer.try_next() {
                Ok(Some(arrived)) => {
                    let end = keeper.consumer.position();
                    keeper.sent(arrived.sequence, end);
                }
                Ok(None) => break,
                Err(corrupt) => {
                    keeper.consumer.leave();
                    return Err(Nowhere::Corrupt(corrupt));
                }
            }
        }
        let next = keeper.consumer.sequence();
        let first_with_word = next.saturating_sub(u64::from(keeper.board.depth));
        keeper.consumer.skip_to(oldest);
        while keeper.consumer.sequence() < first_with_word {
            let stepped = keeper.consumer.try_next();
            stepped.map_err(Nowhere::Corrupt)?;
        }
        keeper.reclaim(next);
        Ok(keeper)
    }

    /// Whether one more message, the one with this number, has a take word.
    #[inline(always)]
    pub fn has_word(&self, next: u64) -> bool {
        next.wrapping_sub(self.consumer.sequence()) < u64::from(self.board.depth)
    }

    /// Notes where a message ends.
    #[inline(always)]
    pub fn sent(&mut self, sequence: u64, end: u64) {
        let at = self.board.at(sequence);
        if let Some(entry) = self.ends.get_mut(at) {
            *entry = end;
        }
    }

    /// Gives back the space of whatever is done, up to the oldest message that is not, or to the next
    /// one; how many messages that was.
    pub fn reclaim(&mut self, next: u64) -> u64 {
        let before = self.consumer.sequence();
        let mut sequence = before;
        while sequence != next && self.is_done(sequence) {
            sequence = sequence.wrapping_add(1);
        }
        if sequence != before {
            let position = self.ends[self.board.at(sequence.wrapping_sub(1))];
            self.consumer.skip_to(Boundary { position, sequence });
            self.consumer.release();
        }
        sequence.wrapping_sub(before)
    }

    #[inline(always)]
    fn is_done(&self, sequence: u64) -> bool {
        self.board.word(sequence).is_some_and(|(word, lap)| {
            word.load(ord!(E12: Acquire)) == TakeWord::open(lap.wrapping_add(1)).0
        })
    }

    /// The number of the oldest message that is not done, and who holds it, if anybody does.
    pub fn oldest(&self) -> (u64, Option<u32>) {
        let sequence = self.consumer.sequence();
        let word = self.board.word(sequence);
        let holder = word.and_then(|(word, _)| TakeWord(word.load(Relaxed)).taker());
        (sequence, holder)
    }

    /// The row it stands in.
    pub fn row(&self) -> u32 {
        self.consumer.row()
    }

    /// Gives the row back.
    pub fn leave(&mut self) {
        self.consumer.leave();
    }
}
