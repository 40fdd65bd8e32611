//! The handshake of two sides: both agree on a session before either sends anything.
//!
//! Layer 3, no unsafe code. Each side has a word, which only it writes: its token, new for each session,
//! and the token of the other side that it has agreed to, or 0. A side agrees to another only while that
//! one is in no pact or has agreed to this token, so a side of an older pact is never taken for a partner.
//! It sends only once it sees that the other side has agreed too. What is sent in a pact is therefore
//! received in that pact or never. A side may send and leave before the other side notices that both had
//! agreed. So before it sends, it notes the token of the side it met, and a side that finds its own token
//! noted was in that pact.

use crate::segment::Memory;
use crate::sync::{ord, AtomicU64, Ordering::Relaxed};

/// Words of a side; each has a line of its own.
const SIDE_WORDS: u32 = 16;
/// Words of a board with a pact.
pub const BOARD_WORDS: u32 = 2 * SIDE_WORDS;

/// One of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that is named first, or writes.
    First,
    /// The other.
    Second,
}

impl Side {
    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }

    const fn base(self) -> u32 {
        match self {
            Self::First => 0,
            Self::Second => SIDE_WORDS,
        }
    }
}

/// The word of a side: its token, and the token of the other side that it has agreed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Said {
    token: u32,
    agreed: u32,
}

impl Said {
    const fn raw(self) -> u64 {
        (self.token as u64) << 32 | self.agreed as u64
    }

    const fn from_raw(raw: u64) -> Self {
        Self {
            token: (raw >> 32) as u32,
            agreed: raw as u32,
        }
    }
}

/// What one side knows. Its owner holds the lock of the side.
#[derive(Debug)]
pub struct Pact {
    memory: Memory,
    side: Side,
    token: u32,
    /// The token of the other side that this one has agreed to, or 0.
    other: u32,
}

/// The progress of the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The other side is not there, or still in another pact.
    Alone,
    /// The other side is there: attach to its messages, and then [`agree`](Pact::agree).
    Offered,
    /// This side has agreed, the other not yet.
    Waiting,
    /// Both have agreed.
    Agreed,
}

impl Pact {
    /// Begins a new session, in no pact. A peer that was in a pact with the last owner of this side sees
    /// that it is broken.
    pub fn begin(memory: Memory, side: Side, pid: u32) -> Self {
        let mut pact = Self {
            memory,
            side,
            token: 0,
            other: 0,
        };
        if let Some(word) = pact.memory.board(side.base() + 1) {
            word.store(u64::from(pid), Relaxed);
        }
        pact.restart();
        pact
    }

    /// Makes a pact between both sides of a board that no other process knows yet.
    pub fn make(memory: &Memory) {
        for side in [Side::First, Side::Second] {
            Self::made(memory.clone(), side).say();
        }
    }

    /// A side of a pact that was [made](Self::make) for both.
    pub fn made(memory: Memory, side: Side) -> Self {
        Self {
            memory,
            side,
            token: 1,
            other: 1,
        }
    }

    /// Leaves the pact, if there is one, and is ready for another.
    pub fn restart(&mut self) {
        let last = self.said(self.side).token;
        // 0 would mean no token.
        self.token = last.wrapping_add(1).max(1);
        self.other = 0;
        self.say();
    }

    /// The token of this side, which is another one each time it begins anew.
    pub fn token(&self) -> u32 {
        self.token
    }

    fn word(&self, side: Side) -> Option<&AtomicU64> {
        self.memory.board(side.base())
    }

    fn said(&self, side: Side) -> Said {
        let word = self.word(side);
        Said::from_raw(word.map_or(0, |word| word.load(ord!(handshake said: Acquire))))
    }

    fn say(&self) {
        let said = Said {
            token: self.token,
            agreed: self.other,
        };
        if let Some(word) = self.word(self.side) {
            word.store(said.raw(), ord!(handshake say: Release));
        }
    }

    /// Where a side notes the token of the last one it met.
    fn met(&self, side: Side) -> Option<&AtomicU64> {
        self.memory.board(side.base() + 2)
    }

    /// The progress of the handshake. What the other side did before it stored its word is visible.
    /// [`Agreed`](Progress::Agreed) holds even if the other side has left since; then the pact is
    /// [`broken`](Self::broken) already.
    pub fn progress(&mut self) -> Progress {
        let said = self.said(self.side.other());
        if self.other != 0 && said.token != self.other {
            // Visible: it was noted before the other side left, which was seen just now.
            let met = self.met(self.side.other());
            if met.is_some_and(|met| met.load(Relaxed) == u64::from(self.token)) {
                return Progress::Agreed;
            }
            // The other side began anew and never knew of this one, so this side begins anew too.
            self.restart();
        }
        if self.other != 0 && said.agreed == self.token {
            if let Some(met) = self.met(self.side) {
                met.store(u64::from(self.other), Relaxed);
            }
            return Progress::Agreed;
        }
        let available = said.token != 0 && (said.agreed == 0 || said.agreed == self.token);
        match (self.other != 0, available) {
            (true, _) => Progress::Waiting,
            (false, true) => Progress::Offered,
            (false, false) => Progress::Alone,
        }
    }

    /// Agrees to the other side as it is now. Returns `false` if it is no longer available. What this side
    /// did before is visible to the other one once it sees the agreement.
    pub fn agree(&mut self) -> bool {
        let said = self.said(self.side.other());
        if said.token == 0 || said.agreed != 0 && said.agreed != self.token {
            return false;
        }
        self.other = said.token;
        self.say();
        true
    }

    /// What the other side says now. It changes when the other side leaves, and when another process takes its
    /// place.
    pub fn others_word(&self) -> u64 {
        self.said(self.side.other()).raw()
    }

    /// Returns `true` if the other side is no longer in this pact. What it sent before it left is visible.
    #[inline(always)]
    pub fn broken(&self) -> bool {
        let said = self.said(self.side.other());
        said.token != self.other || said.agreed != self.token
    }

    /// The process that last owned a side, for display.
    pub fn pid(memory: &Memory, side: Side) -> u32 {
        let word = memory.board(side.base() + 1);
        word.map_or(0, |word| word.load(Relaxed) as u32)
    }

    /// Returns `true` if a side is in a pact, by its own word.
    pub fn engaged(memory: &Memory, side: Side) -> bool {
        let word = memory.board(side.base());
        word.is_some_and(|word| Said::from_raw(word.load(Relaxed)).agreed != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::geometry::Geometry;

    fn sides() -> [Pact; 2] {
        let geometry = Geometry::new(4096, 8, 1, 0, false).unwrap();
        let memory = Memory::local(geometry.with_board(BOARD_WORDS).unwrap());
        [Side::First, Side::Second].map(|side| Pact::begin(memory.clone(), side, 1))
    }

    #[test]
    fn who_speaks_and_leaves_before_the_other_notices_was_in_the_pact() {
        for rounds in 1..4 {
            let [mut first, mut second] = sides();
            for _ in 0..rounds {
                assert_eq!(second.progress(), Progress::Offered);
                assert!(second.agree());
                assert_eq!(first.progress(), Progress::Offered);
                assert!(first.agree());
                assert_eq!(first.progress(), Progress::Agreed);
                // Here it sends, and leaves. Another process may even have taken its place.
                for _ in 0..rounds {
                    first.restart();
                }
                assert_eq!(second.progress(), Progress::Agreed);
                assert!(second.broken());
                second.restart();
            }
        }
    }

    #[test]
    fn who_leaves_without_having_noticed_was_in_no_pact() {
        let [mut first, mut second] = sides();
        assert_eq!(first.progress(), Progress::Offered);
        assert!(first.agree());
        assert_eq!(second.progress(), Progress::Offered);
        assert!(second.agree());
        // Both have agreed, and the first one leaves before it knows.
        first.restart();
        assert_eq!(second.progress(), Progress::Offered);
    }
}
