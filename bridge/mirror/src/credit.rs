//! How far the mirrors of a source are, and how much may be sent ahead of those that it waits for.
//!
//! Sequences count from the one at which the source began, so that they compare though they wrap.

use crate::ack::Ack;
use crate::frame::FARTHEST;
use crate::name::Name;
use crate::Moment;
use std::collections::{BTreeMap, VecDeque};

/// Mirrors that are kept in mind, beside those that the source waits for. More are served as well; two of one name
/// among them are not told apart.
pub const KNOWN: usize = 4096;

/// One mirror, as its source knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follower {
    /// Its name.
    pub name: Name,
    /// Whether the source waits for it.
    pub required: bool,
    /// Whether it was heard of lately.
    pub alive: bool,
    /// The first sequence that it has not written; that of the source's start if it was not heard of.
    pub next: u64,
    /// How many sequences it wrote gaps for, because they were lost.
    pub lost: u64,
}

#[derive(Debug, Default)]
struct Member {
    required: bool,
    /// Which one uses the name, and when it was last heard of.
    heard: Option<(u64, Moment)>,
    place: u64,
    lost: u64,
}

#[derive(Debug)]
pub(crate) struct Credit {
    base: u64,
    /// How long a mirror keeps its name without a word.
    alive: Moment,
    members: BTreeMap<Name, Member>,
    /// The ends of frames that not all required mirrors have written, and the bytes sent up to there.
    sent: VecDeque<(u64, u64)>,
    total: u64,
    acked: u64,
    acked_total: u64,
    waits: bool,
}

impl Credit {
    pub fn new(base: u64, required: &[Name], alive: Moment) -> Self {
        let member = |name: &Name| {
            let member = Member {
                required: true,
                ..Member::default()
            };
            (name.clone(), member)
        };
        Self {
            base,
            alive,
            members: required.iter().map(member).collect(),
            sent: VecDeque::new(),
            total: 0,
            acked: 0,
            acked_total: 0,
            waits: !required.is_empty(),
        }
    }

    /// How many sequences lie before this one since the start; 0 of one before the start.
    fn place(&self, sequence: u64) -> u64 {
        let place = sequence.wrapping_sub(self.base);
        if place > FARTHEST {
            0
        } else {
            place
        }
    }

    pub fn waits(&self) -> bool {
        self.waits
    }

    /// Bytes that were sent and not written by all that are waited for.
    pub fn in_flight(&self) -> u64 {
        self.total - self.acked_total
    }

    /// A frame was sent, up to this sequence. Returns the first sequence that not all required mirrors have written,
    /// if that has changed: they may be ahead of a source that was started again.
    pub fn sent(&mut self, end: u64, bytes: usize) -> Option<u64> {
        if !self.waits {
            return None;
        }
        self.total += bytes as u64;
        self.sent.push_back((self.place(end), self.total));
        self.settle(end)
    }

    fn settle(&mut self, sent: u64) -> Option<u64> {
        let required = self.members.values().filter(|member| member.required);
        let slowest = required.map(|member| member.place).min()?;
        let slowest = slowest.min(self.place(sent));
        if slowest <= self.acked {
            return None;
        }
        self.acked = slowest;
        while let Some((_, total)) = self.sent.front().filter(|(end, _)| *end <= slowest) {
            self.acked_total = *total;
            self.sent.pop_front();
        }
        Some(self.base.wrapping_add(slowest))
    }

    fn is_alive(&self, member: &Member, now: Moment) -> bool {
        let heard = |(_, at): (u64, Moment)| now.saturating_sub(at) < self.alive;
        member.heard.is_some_and(heard)
    }

    /// Notes that a mirror spoke. Returns `false` if another one of its name is alive.
    fn hear(&mut self, name: &Name, instance: u64, now: Moment) -> bool {
        if let Some(member) = self.members.get(name) {
            let other = member.heard.is_some_and(|(id, _)| id != instance);
            if other && self.is_alive(member, now) {
                return false;
            }
        } else if self.members.len() >= KNOWN {
            let alive = self.alive;
            self.members.retain(|_, member| {
                let silent = |(_, at)| now.saturating_sub(at) >= alive;
                member.required || !member.heard.is_none_or(silent)
            });
            if self.members.len() >= KNOWN {
                return true;
            }
        }
        self.members.entry(name.clone()).or_default().heard = Some((instance, now));
        true
    }

    /// A mirror introduces itself. Returns whether the source waits for it, and whether its name is taken.
    pub fn hello(&mut self, name: &Name, instance: u64, now: Moment) -> (bool, bool) {
        let taken = !self.hear(name, instance, now);
        let required = self.members.get(name).is_some_and(|member| member.required);
        (required, taken)
    }

    /// An acknowledgement, where everything before `sent` was sent. Returns the first sequence that not all required
    /// mirrors have written, if that has changed.
    pub fn ack(&mut self, ack: &Ack, sent: u64, now: Moment) -> Option<u64> {
        if !self.hear(&ack.name, ack.instance, now) {
            return None;
        }
        let place = self.place(ack.next);
        let member = self.members.get_mut(&ack.name)?;
        (member.place, member.lost) = (place, ack.lost);
        self.settle(sent)
    }

    pub fn followers(&self, now: Moment) -> Vec<Follower> {
        let follower = |(name, member): (&Name, &Member)| Follower {
            name: name.clone(),
            required: member.required,
            alive: self.is_alive(member, now),
            next: self.base.wrapping_add(member.place),
            lost: member.lost,
        };
        self.members.iter().map(follower).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Credit;
    use crate::ack::Ack;
    use core::time::Duration;

    const NOW: Duration = Duration::from_secs(1);

    fn ack(name: &str, next: u64) -> Ack {
        Ack {
            ring: 1,
            name: name.parse().unwrap(),
            instance: 7,
            next,
            lost: 0,
        }
    }

    /// Mirrors may be ahead of a source that was started again. What it has not sent itself is not written by that.
    #[test]
    fn a_mirror_that_is_ahead_settles_what_is_sent_and_no_more() {
        for base in [0u64, u64::MAX - 15] {
            let at = |place: u64| base.wrapping_add(place);
            let mut credit = Credit::new(base, &["m".parse().unwrap()], Duration::from_secs(2));
            assert_eq!(credit.sent(at(10), 100), None);
            assert_eq!(credit.in_flight(), 100);
            let ahead = ack("m", at(50));
            assert_eq!(credit.ack(&ahead, at(10), NOW), Some(at(10)));
            assert_eq!(credit.in_flight(), 0);
            assert_eq!(credit.ack(&ahead, at(10), NOW), None);
            // No acknowledgement comes for what a mirror has already.
            assert_eq!(credit.sent(at(20), 100), Some(at(20)));
            assert_eq!(credit.in_flight(), 0);
            assert_eq!(credit.sent(at(60), 100), Some(at(50)));
            assert_eq!(credit.in_flight(), 100);
            assert_eq!(credit.ack(&ack("m", at(59)), at(60), NOW), Some(at(59)));
            assert_eq!(credit.in_flight(), 100);
            assert_eq!(credit.ack(&ack("m", at(60)), at(60), NOW), Some(at(60)));
            assert_eq!(credit.in_flight(), 0);
        }
    }

    /// The slowest counts, and the ones that are not waited for do not.
    #[test]
    fn what_all_required_mirrors_have_is_settled() {
        let names = ["a".parse().unwrap(), "b".parse().unwrap()];
        let mut credit = Credit::new(0, &names, Duration::from_secs(2));
        for end in [10, 20, 30] {
            assert_eq!(credit.sent(end, 100), None);
        }
        assert_eq!(credit.ack(&ack("c", 30), 30, NOW), None);
        assert_eq!(credit.ack(&ack("a", 30), 30, NOW), None);
        assert_eq!(credit.in_flight(), 300);
        assert_eq!(credit.ack(&ack("b", 20), 30, NOW), Some(20));
        assert_eq!(credit.in_flight(), 100);
    }
}
