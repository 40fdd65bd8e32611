//! The oracle: what a mirror may write, and when all is as it has to be.

use super::ring::payload;
use super::{Faults, Traffic, World};
use slipring::endpoint::Why;
use slipring_mirror::mirror::Write;

impl World {
    /// The oracle: does what a mirror wants written, and says whether it may.
    pub(super) fn write(&mut self, node: usize, write: Write<'_>, gone: bool) -> bool {
        let parent = self.nodes[node].mirror.as_ref().unwrap().parent;
        let (id, longest) = (self.nodes[node].ring.root, self.longest);
        let fixed = self.fixed;
        let (before, rest) = self.nodes.split_at_mut(node);
        let source = &before[parent].ring;
        let ring = &mut rest[0].ring;
        match write {
            Write::Message {
                sequence,
                payload: bytes,
            } => {
                assert_eq!(sequence, ring.sequence(ring.next), "out of order");
                assert!(!ring.closed, "a message behind the end");
                if fixed {
                    assert_eq!(bytes[..8], sequence.to_le_bytes(), "other bytes");
                } else {
                    assert_eq!(bytes, payload(id, sequence, longest), "other bytes");
                }
                ring.publish(bytes.to_vec())
            }
            Write::Gap { end, why } => {
                let (first, end) = (ring.next, ring.place(end));
                assert!(end > first && !ring.closed);
                let behind = source.place(ring.sequence(end));
                if source.id == ring.origin && !gone {
                    let mut at = source.place(ring.sequence(first));
                    assert!(behind <= source.next, "a gap of what is not there yet");
                    while at < behind && at <= source.next {
                        match source.gap_at(at) {
                            // What the source lost itself, or never had.
                            Some((end, reason)) => {
                                assert!(why == Why::Lost || why == reason);
                                at = end;
                            }
                            None => {
                                assert_eq!(why, Why::Lost);
                                assert!(at < source.oldest, "a gap of what is still there");
                                at += 1;
                            }
                        }
                    }
                }
                ring.skip(end, why)
            }
            Write::TakeOver => {
                ring.take_over();
                true
            }
            Write::Close => {
                assert!(!ring.closed);
                ring.closed = true;
                ring.closings += 1;
                true
            }
        }
    }

    /// A mirror has taken over its ring anew, which now has the source's epoch with this number.
    pub(super) fn took_over(&mut self, node: usize, number: u64) {
        let parent = self.nodes[node].mirror.as_ref().unwrap().parent;
        let (before, rest) = self.nodes.split_at_mut(node);
        let (source, ring) = (&before[parent].ring, &mut rest[0].ring);
        if number == source.epoch && source.id == ring.origin {
            let began = source.sequence(source.epoch_first);
            let told = ring.sequence(ring.epoch_first);
            assert_eq!(began, told, "an epoch that begins elsewhere");
        }
    }

    /// Everything runs, and nothing is lost any more, until all mirrors are where the root is.
    pub fn settle(&mut self) {
        self.faults = Faults::default();
        self.cut.clear();
        for node in 0..self.nodes.len() {
            let at = &mut self.nodes[node];
            if let Some(mirror) = &mut at.mirror {
                mirror.frozen = false;
                mirror.pace = usize::MAX;
            }
            if let Some(source) = &mut at.source {
                source.pace = usize::MAX;
            }
            if self.nodes[node].mirror.is_some() {
                self.start_mirror(node);
            }
        }
        for _ in 0..60_000 {
            for node in 0..self.nodes.len() {
                let source = self.nodes[node].source.as_ref();
                if source.is_some_and(|source| source.machine.is_none()) {
                    self.start_source(node);
                }
            }
            self.step();
            if self.is_settled() {
                return;
            }
        }
        for (at, node) in self.nodes.iter().enumerate() {
            let ring = &node.ring;
            let machine = node
                .mirror
                .as_ref()
                .map(|mirror| (&mirror.stopped, &mirror.machine));
            eprintln!(
                "{at}: origin {:x} base {} next {} oldest {} epoch {} closed {} gate {:?} {machine:?}",
                ring.origin, ring.base, ring.next, ring.oldest, ring.epoch, ring.closed, ring.gate
            );
        }
        panic!("it never settles");
    }

    pub fn is_settled(&self) -> bool {
        let root = &self.nodes[0].ring;
        self.nodes.iter().skip(1).all(|node| {
            let ring = &node.ring;
            node.mirror.as_ref().unwrap().stopped.is_some()
                || ring.root == root.id
                    && ring.sequence(ring.next) == root.sequence(root.next)
                    && ring.closed == root.closed
                    && node.mirror_epoch() == Some(self.nodes[node.parent()].ring.epoch)
        })
    }

    /// The traffic of all links.
    pub fn total(&self) -> Traffic {
        let mut total = Traffic::default();
        for link in &self.traffic {
            total.deliveries += link.deliveries;
            total.delivered_bytes += link.delivered_bytes;
            total.acks += link.acks;
            total.fetches += link.fetches;
            total.answer_bytes += link.answer_bytes;
            total.asks += link.asks;
        }
        total
    }

    pub fn lost(&self, node: usize) -> u64 {
        let lost = |(first, (end, why)): (&u64, &(u64, Why))| match why {
            Why::Lost => end - first,
            _ => 0,
        };
        self.nodes[node].ring.gaps.iter().map(lost).sum()
    }
}
