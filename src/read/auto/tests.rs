//! The rule on streams that are made up, and on clocks that are.

use super::super::progress::LONG_RUN;
use super::super::{ReadControl, ReadPolicy};
use super::*;
use crate::wait::Deadline;

/// A reader in calls that may wait.
struct Reader {
    control: ReadControl,
    read: Progress,
}

impl Reader {
    fn new(policy: ReadPolicy) -> Self {
        // Where it began must not matter.
        let read = Progress {
            bytes: 1 << 40,
            messages: u64::MAX - 100,
        };
        let control = ReadControl::new(policy, 1 << 20, read, true);
        Self { control, read }
    }

    fn auto(&mut self) -> &mut Auto {
        self.control.auto()
    }

    fn take(&mut self, bytes: u64, ahead: u64) {
        self.read.bytes += bytes;
        self.read.messages = self.read.messages.wrapping_add(1);
        if self.control.is_due(self.read.bytes) && self.control.look(self.read, |_| (), || ahead) {
            self.control.pause(self.read, Deadline::NEVER);
        }
    }

    fn empty(&mut self) {
        if self.control.empty(self.read) {
            self.control.pause(self.read, Deadline::NEVER);
        }
    }

    /// An empty poll after two messages in a row.
    fn empty_after_two(&mut self) {
        let two = Progress {
            messages: self.read.messages.wrapping_sub(2),
            ..self.read
        };
        self.control.begin_run(two);
        self.empty();
    }
}

fn feed(reader: &mut Reader, messages: u64, bytes: u64, ahead: u64) {
    for _ in 0..messages {
        reader.take(bytes, ahead);
    }
}

fn stands_back(pace: &Auto) -> bool {
    matches!(pace.state, State::Back { .. })
}

/// Messages of 72 bytes in a window.
const MESSAGES: u64 = 64;

/// Ends a window in which so many messages arrived in so many nanoseconds.
fn window(pace: &mut Auto, messages: u64, nanos: u64, run: u64, ahead: u64) {
    pace.window.messages = messages;
    pace.window.bytes = messages * 72;
    pace.judge(nanos, run, ahead);
    pace.window = Window::default();
}

/// A window of a stream that comes at so many nanoseconds a message, independent of the reader, and lasts as
/// long as its pauses if they are longer.
fn paced(pace: &mut Auto, nanos: u64) {
    let mut messages = MESSAGES;
    if stands_back(pace) {
        let pause = pace.pause.as_nanos() as u64;
        (pace.window.pauses, pace.window.paused) = (1, pause);
        messages = messages.max(pause / nanos);
    }
    window(pace, messages, messages * nanos, RUN, 0);
}

/// A window of a stream that is slow only while the reader is close.
fn hindered(pace: &mut Auto) {
    if stands_back(pace) {
        (pace.window.pauses, pace.window.paused) = (1, 1500);
        window(pace, 4 * MESSAGES, 3000, LONG_RUN, 0);
    } else {
        window(pace, MESSAGES, MESSAGES * 230, 0, 0);
    }
}

/// Does what is due: a probe in which so many messages arrive.
fn probe(reader: &mut Reader, messages: u64) -> bool {
    let due = reader.auto().state == State::Due;
    if due {
        reader.empty_after_two();
        for _ in 0..messages {
            reader.take(72, u64::MAX);
        }
        reader.empty_after_two();
    }
    due
}

#[test]
fn a_flat_out_stream_is_kept_at_a_distance() {
    let mut reader = Reader::new(ReadPolicy::Auto);
    // Counting is far faster than 38 ns a message on any machine that can run this, and what is never
    // far ahead and never polled for in vain has to come no faster than it does.
    for _ in 0..1_000 {
        feed(&mut reader, 64, 4096, 0);
        if stands_back(reader.auto()) {
            return;
        }
    }
    panic!("stayed close");
}

#[test]
fn a_paced_stream_is_probed_rarely_and_never_kept_waiting() {
    // A message in 15 us, and one in 200, 100 and 50 ns, of which a probe finds so many.
    for (nanos, found) in [(15_000, 1), (200, 5), (100, 10), (50, 21)] {
        let mut reader = Reader::new(ReadPolicy::Auto);
        let mut probes = 0;
        for _ in 0..16_384 {
            paced(reader.auto(), nanos);
            probes += u32::from(probe(&mut reader, found));
            assert!(!stands_back(reader.auto()), "{nanos}");
        }
        assert!((1..=12).contains(&probes), "{nanos}: {probes}");
    }
}

#[test]
fn a_paced_stream_that_was_held_up_is_not_kept_waiting_for_long() {
    // Up to 40 million a second, which is above what counts as fast.
    for nanos in [500, 200, 100, 25] {
        let mut reader = Reader::new(ReadPolicy::Auto);
        let mut waited = 0;
        for n in 1..=20_000 {
            if n % 1000 == 0 {
                // The reader was away for a while, and works off what has come meanwhile, the last of it
                // within its lag.
                for ahead in [u64::MAX, u64::MAX, 0, 0, 0, 0, 0, 0] {
                    window(reader.auto(), MESSAGES, MESSAGES * 4, LONG_RUN, ahead);
                }
                // Now and then it took that for a stream that it hinders.
                if n % 5000 == 0 {
                    reader.auto().state = BACK;
                }
            }
            paced(reader.auto(), nanos);
            probe(&mut reader, 1000 / nanos);
            waited += u32::from(stands_back(reader.auto()));
        }
        assert!(waited <= 20_000 / 40, "{nanos}: {waited} windows");
    }
}

#[test]
fn a_hindered_stream_is_found_out_and_kept_at_a_distance() {
    let mut reader = Reader::new(ReadPolicy::Auto);
    let mut close = 0;
    for n in 0..20_000 {
        hindered(reader.auto());
        probe(&mut reader, 100);
        close += u32::from(!stands_back(reader.auto()));
        if n % 500 == 499 {
            // An interrupt, in any window.
            reader.auto().window.pauses = 1;
            window(reader.auto(), MESSAGES, 1_000_000, RUN, 0);
        }
    }
    // All but the first windows, and a few every now and then to measure afresh.
    assert!(close <= 20_000 / 50, "{close}");
    // Pauses that collect next to nothing end it.
    while !stands_back(reader.auto()) {
        hindered(reader.auto());
        probe(&mut reader, 100);
    }
    reader.auto().window.pauses = 60;
    window(reader.auto(), MESSAGES, 1_000_000, RUN, 0);
    assert!(!stands_back(reader.auto()));
}

#[test]
fn who_stands_back_comes_close_again_now_and_then() {
    let mut reader = Reader::new(ReadPolicy::Auto);
    while !stands_back(reader.auto()) {
        hindered(reader.auto());
        probe(&mut reader, 100);
    }
    let mut windows = 0;
    while stands_back(reader.auto()) {
        hindered(reader.auto());
        windows += 1;
    }
    assert!((RECHECK..RECHECK + 64).contains(&windows), "{windows}");
    let again = State::Close { windows: CLOSE_BY };
    assert_eq!(
        (reader.auto().state, reader.auto().pause),
        (again, SHORTEST)
    );
}

#[test]
fn round_trips_never_pause_however_many_and_however_large() {
    for bytes in [72, 4096] {
        let mut reader = Reader::new(ReadPolicy::Auto);
        for _ in 0..1_000_000 {
            // The producer is never ahead of a reader it waits for.
            reader.take(bytes, 0);
            reader.empty();
            // Nothing is collected by pausing, and nothing gets faster by flushing.
            assert_eq!(reader.auto().window.pauses, 0);
            let close = matches!(reader.auto().state, State::Close { .. } | State::Due);
            assert!(close, "stood back");
        }
        // A reader that took them for a stream, because of a few that came together, sees through it.
        reader.auto().state = BACK;
        for _ in 0..256 {
            reader.take(bytes, 0);
            reader.empty();
        }
        assert!(!stands_back(reader.auto()));
    }
}

#[test]
fn messages_one_at_a_time_and_a_reader_at_the_head_never_pause() {
    let mut reader = Reader::new(ReadPolicy::Auto);
    reader.auto().state = State::Due;
    reader.take(72, u64::MAX);
    reader.empty();
    assert_eq!(reader.auto().state, State::Due, "nothing was tried");
    let mut off = Reader::new(ReadPolicy::AtHead);
    feed(&mut off, 10_000, 4096, 0);
    assert_eq!(off.control.pauses(), 0);
}

#[test]
fn a_reader_that_is_led_astray_goes_on() {
    let mut reader = Reader::new(ReadPolicy::Auto);
    for bytes in [1 << 62, u64::MAX, 0, 1 << 63] {
        for messages in [0, 1, u64::MAX] {
            reader.auto().state = State::Counting { bytes, messages };
            let read = Progress { bytes, messages };
            let _ = reader.control.look(read, |_| (), || u64::MAX);
            let _ = reader.control.empty(read);
            reader.control.moved(read);
        }
    }
}

#[test]
fn what_was_skipped_is_not_counted_as_read() {
    let mut reader = Reader::new(ReadPolicy::Auto);
    feed(&mut reader, 20, 72, u64::MAX);
    let before = reader.auto().window.bytes;
    reader.read.bytes += 1 << 20;
    reader.read.messages = reader.read.messages.wrapping_add(1 << 14);
    reader.control.moved(reader.read);
    assert!(!reader.control.is_due(reader.read.bytes));
    feed(&mut reader, 29, 72, u64::MAX);
    assert!(reader.auto().window.bytes - before <= 30 * 72);
}
