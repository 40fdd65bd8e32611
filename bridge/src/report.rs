//! The state of a source, for programs that watch it.

use crate::stat::SourceStat;
use serde_json::{json, Value};
use slipring_mirror::source::{Follower, Source};
use slipring_mirror::Name;
use std::collections::HashMap;

/// The longest report of a mirror.
const LONGEST: usize = 4096;
/// Mirrors whose reports are kept.
const KEPT: usize = 4096;

/// What mirrors say of themselves.
#[derive(Default)]
pub(crate) struct Told {
    by: HashMap<Name, Value>,
}

impl Told {
    /// A report came under this key, whose last part is the mirror's name. What is none is ignored.
    pub fn note(&mut self, key: &str, bytes: &[u8]) {
        let name = key.rsplit('/').next().and_then(|name| name.parse().ok());
        let Some(name) = name.filter(|_: &Name| bytes.len() <= LONGEST) else {
            return;
        };
        let Ok(told @ Value::Object(_)) = serde_json::from_slice(bytes) else {
            return;
        };
        if self.by.len() >= KEPT && !self.by.contains_key(&name) {
            // Those that live report again in a second.
            self.by.clear();
        }
        self.by.insert(name, told);
    }
}

/// What changes while a ring is served.
pub(crate) fn state(source: &Source, told: &Told) -> Value {
    let counts = source.counts();
    let (epoch, epoch_first) = source.latest_epoch();
    let mirror = |follower: &Follower| {
        json!({
            "name": follower.name.as_str(),
            "required": follower.required,
            "alive": follower.alive,
            "next_sequence": follower.next,
            "behind": source.sent().wrapping_sub(follower.next),
            "lost": follower.lost,
            "says": told.by.get(&follower.name),
        })
    };
    json!({
        "epoch": epoch,
        "epoch_first_sequence": epoch_first,
        "closed": source.is_closed(),
        "next_sequence": source.sent(),
        "in_flight_bytes": source.in_flight(),
        "messages": counts.messages,
        "frames": counts.frames,
        "heartbeats": counts.heartbeats,
        "bytes": counts.bytes,
        "mirrors": source.followers().iter().map(mirror).collect::<Vec<_>>(),
    })
}

/// The numbers of it.
pub(crate) fn counted(source: &Source, time_ns: u64) -> SourceStat {
    let counts = source.counts();
    let followers = source.followers();
    let alive = followers.iter().filter(|follower| follower.alive);
    let behind = |follower: &Follower| source.sent().wrapping_sub(follower.next);
    SourceStat {
        time_ns,
        next_sequence: source.sent(),
        messages: counts.messages,
        frames: counts.frames,
        heartbeats: counts.heartbeats,
        bytes: counts.bytes,
        in_flight: source.in_flight(),
        mirrors: alive.clone().count() as u64,
        behind: alive.map(behind).max().unwrap_or(0),
        lost: followers
            .iter()
            .fold(0, |sum, follower| sum.saturating_add(follower.lost)),
    }
}

#[cfg(test)]
mod tests {
    use super::{state, Told, KEPT, LONGEST};
    use slipring_mirror::source::{Settings, Source};

    #[test]
    fn what_is_no_report_is_ignored() {
        let mut source = Source::new(Settings::new(1), 1, 0, 0);
        source.hello(&"london".parse().unwrap(), 7);
        let mut told = Told::default();
        told.note("slipring/1/r/q/0/stat/london", b"{\"messages\":3}");
        told.note("slipring/1/r/q/0/stat/london", b"[3]");
        told.note("slipring/1/r/q/0/stat/london", b"{\"messages\":4");
        let long = format!("{{\"messages\":{}5}}", " ".repeat(LONGEST));
        told.note("slipring/1/r/q/0/stat/london", long.as_bytes());
        told.note("slipring/1/r/q/0/stat/*", b"{}");
        assert_eq!(told.by.len(), 1);
        let state = state(&source, &told);
        assert_eq!(state["mirrors"][0]["says"]["messages"], 3);
        for n in 0..2 * KEPT {
            told.note(&format!("stat/m{n}"), b"{}");
            assert!(told.by.len() <= KEPT);
        }
    }
}
