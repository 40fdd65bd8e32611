//! Requests in vain.

use super::{Action, Mirror, Path, Settings};
use crate::frame::Stamp;
use crate::meta::Meta;
use crate::pack::heartbeat;
use core::time::Duration;

/// A source that does not answer, or answers with nothing, is asked again with growing pauses, one request at a
/// time.
#[test]
fn requests_in_vain_become_seldom() {
    for answers in [true, false] {
        let meta = Meta {
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
        };
        let settings = Settings::new("m".parse().unwrap(), 1, 100);
        let mut mirror = Mirror::new(settings, &meta, 0, Duration::ZERO);
        let stamp = Stamp {
            ring: 1,
            epoch: 1,
            epoch_first: 0,
            oldest: 0,
            wall_ns: 0,
        };
        mirror
            .frame(Path::Stream, &heartbeat(&stamp, 9, false))
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
