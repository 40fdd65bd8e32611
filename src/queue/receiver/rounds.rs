//! When a receiver that always finds a message looks after receivers that died.
//!
//! Layer 7. No wait of such a receiver makes that check. The end of a message compares one number anyway, how many
//! bytes were read, so a look is due by bytes, and a message costs nothing more. How many bytes pass between two readings
//! of the clock adapts to how fast they come:
//!
//! | the receiver takes | a reading of the clock every | a look every |
//! |---|---|---|
//! | [`MOST_BYTES`] in less than 125 ms | [`MOST_BYTES`] | 500 to 625 ms |
//! | less | 125 to 250 ms, or message if that takes longer | 500 to 750 ms, or message |
//!
//! A receiver that becomes slower than it was looks [`MOST_BYTES`] later at the latest, each message with its frame of 8
//! bytes, and then as the table says.

use core::time::Duration;
use std::time::Instant;

/// Time between two looks. A look loads the state of every row, and asks the kernel for each that is taken.
const EVERY: Duration = Duration::from_millis(500);
/// Bytes between two readings of the clock.
const MOST_BYTES: u64 = 4096;

/// When a receiver looks next.
#[derive(Debug)]
pub(super) struct Rounds {
    looked: Instant,
    /// The last reading of the clock.
    read: Instant,
    /// Bytes from one reading to the next.
    step: u64,
    at: u64,
}

impl Rounds {
    /// Of a receiver that has looked now.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            looked: now,
            read: now,
            step: 0,
            at: 0,
        }
    }

    /// The bytes read from which on the clock is to be read.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Returns `true` if a look is due, and counts as looking then. `bytes` is how many were read.
    pub(super) fn due(&mut self, bytes: u64, now: Instant) -> bool {
        let since = now - self.read;
        self.read = now;
        if since < EVERY / 4 {
            self.step = (2 * self.step).clamp(8, MOST_BYTES);
        } else if since > EVERY / 2 {
            self.step /= 2;
        }
        self.at = bytes.saturating_add(self.step);
        let due = now - self.looked >= EVERY;
        if due {
            self.looked = now;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often the clock is read, and the longest time between two looks, of a receiver that takes so many messages.
    fn run(
        rounds: &mut Rounds,
        now: &mut Instant,
        messages: u64,
        bytes: u64,
        each: Duration,
    ) -> (u64, Duration) {
        let (mut read, mut readings, mut longest, mut looked) =
            (rounds.at, 0, Duration::ZERO, *now);
        for _ in 0..messages {
            read += bytes;
            *now += each;
            if read >= rounds.at() {
                readings += 1;
                if rounds.due(read, *now) {
                    longest = longest.max(*now - looked);
                    looked = *now;
                }
            }
        }
        (readings, longest.max(*now - looked))
    }

    #[test]
    fn looks_come_in_time_at_every_pace() {
        for bytes in [8, 16, 72, 600, 4096, 1 << 20] {
            for each in [
                40,
                1000,
                30_000,
                1_000_000,
                9_000_000,
                30_000_000,
                70_000_000,
                1_000_000_000,
            ] {
                let each = Duration::from_nanos(each);
                let mut now = Instant::now();
                let mut rounds = Rounds::new(now);
                run(&mut rounds, &mut now, 2000, bytes, each);
                let (_, longest) = run(&mut rounds, &mut now, 100_000, bytes, each);
                let bound = (EVERY + EVERY / 2).max(EVERY + each);
                assert!(longest <= bound, "{bytes} bytes each {each:?}: {longest:?}");
            }
        }
    }

    #[test]
    fn a_fast_receiver_seldom_reads_the_clock() {
        for bytes in [8, 72, 600] {
            let mut now = Instant::now();
            let mut rounds = Rounds::new(now);
            let each = Duration::from_nanos(40);
            let (readings, _) = run(&mut rounds, &mut now, 1_000_000, bytes, each);
            let most = 1_000_000 * bytes / (MOST_BYTES - 600) + 20;
            assert!(readings <= most, "{bytes}: {readings}");
        }
    }

    #[test]
    fn a_receiver_that_becomes_slow_looks_after_so_many_bytes() {
        for bytes in [8, 72, 600, 5000] {
            let mut now = Instant::now();
            let mut rounds = Rounds::new(now);
            run(
                &mut rounds,
                &mut now,
                100_000,
                bytes,
                Duration::from_nanos(40),
            );
            let slow = EVERY * 2;
            let many = MOST_BYTES / bytes + 1;
            let (_, longest) = run(&mut rounds, &mut now, many, bytes, slow);
            assert!(longest <= slow * many as u32);
            assert_ne!(rounds.looked, now - slow * many as u32, "did not look");
        }
    }
}
