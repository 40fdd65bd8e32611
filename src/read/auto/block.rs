//! What arrives while a reader is close and while it stands back, and whether that is worth the wait.
//!
//! Layer 4, all decision and no clock.

/// Windows over which a rate is measured: pauses come in some and not in others.
const BLOCK: u32 = 32;
/// A window that was slower than this part of close by, pauses aside, had something else in it, an interrupt or the end of a
/// burst, and is left out, unless there are so many in a row.
const GAP: f64 = 0.25;
const GAPS: u32 = 4;
/// So many blocks in a row that were no better end it. One may be the fault of an interrupt.
const STRIKES: u32 = 2;

/// How much faster a stream has to be behind a reader that stands back than it was close by.
const BETTER: f64 = 1.15;
/// And where the reader close by hardly ever polled in vain, so that it cannot wait for anything.
const LEVEL: f64 = 0.95;

/// What arrived while the reader was close.
#[derive(Clone, Copy, Debug)]
pub struct CloseBy {
    /// The last windows that began and ended close by: bytes per nanosecond, and whether there was an
    /// empty poll.
    windows: [(f64, bool); 4],
    /// Whether the last one ended there.
    there: bool,
}

impl Default for CloseBy {
    fn default() -> Self {
        Self {
            windows: [(0.0, true); 4],
            there: false,
        }
    }
}

impl CloseBy {
    /// Comes from somewhere else.
    pub fn begin(&mut self) {
        self.there = false;
    }

    /// Adds a window; whether it counts. A reader that works off a backlog finds more than comes, and hinders
    /// no producer.
    pub fn add(&mut self, window: Window, idle: bool, near: bool) -> bool {
        let there = idle || near;
        if !core::mem::replace(&mut self.there, there) || !there {
            return false;
        }
        self.windows.rotate_right(1);
        self.windows[0] = (window.rate(), idle);
        true
    }

    /// The mean but for the worst, which may have had an interrupt in it.
    pub fn rate(&self) -> f64 {
        let rates = self.windows.map(|(rate, _)| rate);
        let worst = rates.into_iter().fold(f64::MAX, f64::min);
        (rates.iter().sum::<f64>() - worst) / 3.0
    }

    /// What has to arrive behind a reader that stands back.
    fn enough(&self) -> f64 {
        let idle = self.windows.iter().filter(|(_, idle)| *idle).count();
        self.rate() * if idle > 1 { BETTER } else { LEVEL }
    }
}

/// What arrived behind a reader that stands back, over some windows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Block {
    windows: u32,
    bytes: u64,
    nanos: u64,
    pauses: u64,
    /// Windows in a row that were left out.
    gaps: u32,
    /// Blocks in a row that were no better than close by. The first block is a trial: only one that was
    /// better makes this a number.
    strikes: Option<u32>,
}

impl Block {
    /// The first one.
    pub const TRIAL: Self = Self {
        windows: 0,
        bytes: 0,
        nanos: 0,
        pauses: 0,
        gaps: 0,
        strikes: None,
    };

    /// Whether it is not known yet that standing back helps.
    pub fn is_trial(&self) -> bool {
        self.strikes.is_none()
    }

    /// Adds a window; whether to go on.
    pub fn add(&mut self, window: Window, close: &CloseBy) -> bool {
        if window.busy_rate() < GAP * close.rate() {
            self.gaps += 1;
            return self.gaps < GAPS;
        }
        self.gaps = 0;
        self.windows += 1;
        self.bytes = self.bytes.saturating_add(window.bytes);
        self.nanos = self.nanos.saturating_add(window.nanos);
        self.pauses += window.pauses;
        if self.windows < BLOCK {
            return true;
        }
        let rate = self.bytes as f64 / self.nanos.max(1) as f64;
        // Where the reader is the slower side it keeps nothing waiting.
        let better = self.pauses == 0 || rate >= close.enough();
        let strikes = match self.strikes {
            _ if better => 0,
            None => return false,
            Some(strikes) => strikes + 1,
        };
        *self = Self {
            strikes: Some(strikes),
            ..Self::TRIAL
        };
        strikes < STRIKES
    }
}

/// What arrived between every second look and the next but one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Window {
    pub bytes: u64,
    pub messages: u64,
    /// How often the reader stood back meanwhile, and for how long altogether.
    pub pauses: u64,
    pub paused: u64,
    /// How long it took, pauses included.
    pub nanos: u64,
}

impl Window {
    /// Bytes per nanosecond.
    pub fn rate(self) -> f64 {
        self.bytes as f64 / self.nanos.max(1) as f64
    }

    /// The same without the pauses.
    fn busy_rate(self) -> f64 {
        self.bytes as f64 / self.nanos.saturating_sub(self.paused).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A window of so many bytes in a microsecond, after one pause of half of it.
    fn window(bytes: u64) -> Window {
        Window {
            bytes,
            messages: 64,
            pauses: 1,
            paused: 500,
            nanos: 1000,
        }
    }

    /// What came at a thousand bytes in a microsecond.
    fn close_by(idle: bool) -> CloseBy {
        let mut close = CloseBy::default();
        for _ in 0..5 {
            close.add(window(1000), idle, true);
        }
        close
    }

    /// A block that was found to help.
    fn settled(close: &CloseBy) -> Block {
        let mut block = Block::TRIAL;
        assert!(add(&mut block, 2000, BLOCK, close) && !block.is_trial());
        block
    }

    fn add(block: &mut Block, bytes: u64, windows: u32, close: &CloseBy) -> bool {
        (0..windows).all(|_| block.add(window(bytes), close))
    }

    #[test]
    fn a_backlog_is_not_what_comes() {
        let mut close = close_by(true);
        assert!(!close.add(window(9000), false, false));
        assert!(!close.add(window(9000), true, true), "it began elsewhere");
        assert!((close.rate() - 1.0).abs() < 1e-9);
        assert!(close.add(window(2000), true, false));
        close.begin();
        assert!(!close.add(window(9000), true, true));
        // The worst does not count.
        assert!((close.rate() - 4.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn only_who_waits_for_something_has_to_gain() {
        for (idle, bytes, helps) in [
            (true, 1149, false),
            (true, 1151, true),
            (false, 949, false),
            (false, 951, true),
        ] {
            let mut trial = Block::TRIAL;
            let goes_on = add(&mut trial, bytes, BLOCK, &close_by(idle));
            assert_eq!(
                (goes_on, !trial.is_trial()),
                (helps, helps),
                "{idle} {bytes}"
            );
        }
        // Nor does a reader that has never stood back for a moment.
        let mut block = Block::TRIAL;
        for _ in 0..BLOCK {
            let pauses = 0;
            let window = Window {
                pauses,
                ..window(1000)
            };
            assert!(block.add(window, &close_by(true)));
        }
        assert!(!block.is_trial());
    }

    #[test]
    fn one_bad_block_is_nothing_and_two_are_the_end() {
        let close = close_by(true);
        let mut block = settled(&close);
        for bytes in [1000, 2000, 1000] {
            assert!(add(&mut block, bytes, BLOCK, &close), "{bytes}");
        }
        assert!(!add(&mut block, 1000, BLOCK, &close));
    }

    #[test]
    fn interrupts_are_left_out_and_pauses_are_not() {
        let close = close_by(true);
        let mut block = settled(&close);
        for n in 0..4 * BLOCK {
            assert!(block.add(window(2000), &close));
            // Busy for 500 ns with what comes in 100.
            assert!(n % 2 == 0 || block.add(window(100), &close), "{n}");
        }
        assert!(!add(&mut block, 100, GAPS, &close));
        // As slow, but only because of its pauses.
        let mut block = settled(&close);
        let slow = Window {
            paused: 950,
            ..window(100)
        };
        let added = (0..2 * BLOCK).take_while(|_| block.add(slow, &close));
        assert_eq!(added.count() as u32, 2 * BLOCK - 1);
    }
}
