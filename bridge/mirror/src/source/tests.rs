//! When a source sends, and what it answers.

use super::{Action, Settings, Source};
use crate::frame::Frame;
use crate::request::Request;
use core::time::Duration;

/// What was not sent may belong to an epoch that the source does not know yet.
#[test]
fn an_answer_goes_no_further_than_what_was_sent() {
    for base in [0, u64::MAX - 2] {
        let mut source = Source::new(Settings::new(1), 1, base, base);
        for n in 0..5 {
            source.message(base.wrapping_add(n), b"m");
        }
        let request = |from: u64, to: u64| Request {
            from: base.wrapping_add(from),
            to: base.wrapping_add(to),
            bytes: 1000,
        };
        assert!(!source.answer(request(0, 9)).is_wanted());
        source.flush();
        let mut answer = source.answer(request(0, 9));
        for n in 0..5 {
            assert!(answer.is_wanted());
            answer.message(base.wrapping_add(n), b"m");
        }
        assert!(!answer.is_wanted());
        assert!(!source.answer(request(5, 9)).is_wanted());
        assert!(!source.answer(request(6, 9)).is_wanted());
        assert!(!source.answer(request(3, 2)).is_wanted());
    }
}

#[test]
fn heartbeats_follow_messages_soon_and_then_seldom() {
    let mut source = Source::new(Settings::new(1), 1, 0, 0);
    source.message(0, b"m");
    source.flush();
    let mut beats = Vec::new();
    for ms in 0..1000 {
        source.at(Duration::from_millis(ms), 0);
        source.tick();
        while let Some(Action::Send(_)) = source.next_action() {
            beats.push(ms);
        }
    }
    // The first is the frame itself.
    assert_eq!(beats[..7], [0, 5, 10, 20, 40, 80, 160]);
    assert_eq!(beats[7..], [260, 360, 460, 560, 660, 760, 860, 960]);
}

/// A message that comes alone is sent at once. Where several came while a frame had to wait, the ring is left alone
/// until the next is due, and no longer than that once nothing comes.
#[test]
fn fast_messages_are_looked_at_once_a_frame() {
    let micros = Duration::from_micros;
    let mut source = Source::new(Settings::new(1), 1, 0, 0);
    let mut next = 0;
    let mut step = |source: &mut Source, at: u64, messages: u64| {
        source.at(micros(at), 0);
        for _ in 0..messages {
            source.message(next, b"m");
            next += 1;
        }
        source.tick();
        let sent = std::iter::from_fn(|| source.next_action())
            .filter_map(|action| match action {
                Action::Send(frame) => Some(frame),
                Action::Release(_) => None,
            })
            .map(|frame| Frame::decode(&frame).unwrap().end())
            .last();
        (sent, source.rests())
    };
    // The first actions are of the beginning: a heartbeat.
    step(&mut source, 0, 0);
    assert_eq!(step(&mut source, 1000, 1), (Some(1), false));
    assert_eq!(step(&mut source, 1100, 1), (Some(2), false));
    assert_eq!(step(&mut source, 1110, 1), (None, true));
    assert_eq!(source.due(), micros(1150));
    assert_eq!(step(&mut source, 1150, 3), (Some(6), true));
    assert_eq!(source.due(), micros(1200));
    assert_eq!(step(&mut source, 1200, 2), (Some(8), true));
    assert_eq!(source.due(), micros(1250));
    assert_eq!(step(&mut source, 1250, 0), (None, false));
    assert!(source.due() > micros(1250));
    assert_eq!(step(&mut source, 1300, 1), (Some(9), false));
}
