//! Requests in vain, answers of others, and messages that fit into no ring of the mirror's kind.

use super::{Action, Mirror, Path, Settings, Stop, Write};
use crate::frame::Stamp;
use crate::meta::Meta;
use crate::pack::{heartbeat, Packer};
use core::time::Duration;
use slipring::endpoint::Why;

const STAMP: Stamp = Stamp {
    ring: 1,
    epoch: 1,
    epoch_first: 0,
    oldest: 0,
    wall_ns: 0,
};

fn meta() -> Meta {
    Meta {
        ring: 1,
        epoch: 1,
        epoch_first: 0,
        oldest: 0,
        next: 0,
        capacity: 4096,
        frame_align: 8,
        max_readers: 1,
        longest: 100,
        stamps: false,
        closed: false,
        required: false,
        taken: false,
        host: String::new(),
        name: "ring".parse().unwrap(),
        schema: String::new(),
        opaque: None,
    }
}

/// A source that does not answer, or answers with nothing, is asked again with growing pauses, one request at a
/// time.
#[test]
fn requests_in_vain_become_seldom() {
    for answers in [true, false] {
        let meta = meta();
        let settings = Settings::new("m".parse().unwrap(), 1, 100);
        let mut mirror = Mirror::new(settings, &meta, 0, Duration::ZERO);
        mirror
            .frame(Path::Stream, &heartbeat(&STAMP, 9, false))
            .unwrap();
        let (mut asked, mut open) = (Vec::new(), 0);
        for ms in 0..60_000 {
            mirror.at(Duration::from_millis(ms));
            mirror.tick();
            while let Some(action) = mirror.next_action() {
                if let Action::Fetch { id, request } = action {
                    assert_eq!((request.from, request.to), (0, 9));
                    asked.push(ms);
                    if answers {
                        mirror.answered(id);
                    } else {
                        open += 1;
                    }
                }
            }
        }
        let pauses: Vec<u64> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let least = if answers { 5 } else { 500 };
        assert!(pauses.iter().all(|pause| *pause >= least), "{pauses:?}");
        let last = *pauses.last().unwrap();
        assert_eq!(last, if answers { 1000 } else { 1500 });
        assert!(answers || open == asked.len());
    }
}

/// Another ring of the same name is believed when no frame of its own has come for a time, however it came about.
#[test]
fn another_ring_ends_a_mirror_only_in_silence() {
    let settings = Settings::new("m".parse().unwrap(), 1, 100);
    let silence = settings.silence;
    let mut mirror = Mirror::new(settings, &meta(), 0, Duration::ZERO);
    let other = Meta {
        ring: 2,
        taken: true,
        ..meta()
    };
    let step = silence / 8;
    for n in 1..100 {
        mirror.at(step * n);
        if n % 8 == 7 {
            let frame = heartbeat(&STAMP, 0, false);
            mirror.frame(Path::Stream, &frame).unwrap();
        }
        assert_eq!(mirror.meta(&other), Ok(()), "{n}");
    }
    // Frames of the other one are no sign of life.
    let heard = step * 95;
    let stamp = Stamp { ring: 2, ..STAMP };
    mirror.at(heard + silence - Duration::from_nanos(1));
    mirror
        .frame(Path::Stream, &heartbeat(&stamp, 0, false))
        .unwrap();
    assert_eq!(mirror.meta(&other), Ok(()));
    mirror.at(heard + silence);
    assert_eq!(mirror.meta(&other), Err(Stop::Recreated { ring: 2 }));
}

/// A message whose length the ring does not take is a gap of one, in a frame with others, alone, or in parts.
#[test]
fn what_the_ring_does_not_take_is_a_gap() {
    for (size, lens) in [
        (Some(8), vec![8, 8, 9, 8, 7, 0, 100_000, 8, 100_001, 8, 16]),
        (Some(100_000), vec![100_000, 8, 99_999, 100_000, 100_001]),
        (Some(0), vec![0, 1, 0]),
        (None, vec![8, 0, 100_001, 100_000, 9]),
    ] {
        let mut settings = Settings::new("m".parse().unwrap(), 1, 100_000);
        settings.size = size;
        let mut mirror = Mirror::new(settings, &meta(), 0, Duration::ZERO);
        let (mut packer, mut packed) = (Packer::default(), Vec::new());
        for (n, len) in lens.iter().enumerate() {
            packer.message(&STAMP, n as u64, &vec![n as u8; *len], &mut packed);
        }
        packer.flush(&STAMP, &mut packed);
        for frame in packed {
            mirror.frame(Path::Stream, &frame.bytes).unwrap();
        }
        let fits = |len: usize| len <= 100_000 && size.is_none_or(|size| size as usize == len);
        let mut next = 0;
        while let Some(write) = mirror.next_write() {
            match write {
                Write::Message { sequence, payload } => {
                    let len = lens[sequence as usize];
                    assert!(fits(len) && payload == vec![sequence as u8; len]);
                    assert_eq!(sequence, next);
                    next += 1;
                }
                Write::Gap { end, why } => {
                    assert_eq!(why, Why::Lost);
                    assert!((next..end).all(|n| !fits(lens[n as usize])));
                    next = end;
                }
                other => panic!("{other:?}"),
            }
            mirror.wrote();
        }
        assert_eq!(next, lens.len() as u64);
        let counts = mirror.counts();
        let misfits = lens.iter().filter(|len| !fits(**len)).count();
        assert_eq!((counts.lost, counts.fetches), (misfits as u64, 0));
    }
}
