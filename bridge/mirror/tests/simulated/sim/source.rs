//! What a source does: answers, and a step of reading and sending.

use super::ring::Entry;
use super::{Node, Packet, World};
use slipring_mirror::source::{self, Source};
use slipring_mirror::{Meta, Name, Request};

impl World {
    pub(super) fn source_of(&mut self, node: usize) -> Option<&mut Source> {
        let now = self.now();
        let source = self.nodes[node].source.as_mut()?.machine.as_mut()?;
        source.at(now, 0);
        Some(source)
    }

    pub fn meta(&mut self, node: usize, name: &Name, instance: u64) -> Option<Meta> {
        let source = self.source_of(node)?;
        let (required, taken) = source.hello(name, instance);
        let (next, closed) = (source.sent(), source.is_closed());
        // Of one moment: the ring may have another producer by now, of which the source was not told yet.
        let (epoch, epoch_first) = source.latest_epoch();
        let ring = &self.nodes[node].ring;
        Some(Meta {
            ring: ring.id,
            epoch,
            epoch_first,
            oldest: ring.sequence(ring.oldest),
            next,
            capacity: 1 << 20,
            frame_align: 8,
            max_readers: 32,
            longest: self.longest as u32,
            stamps: false,
            closed,
            required,
            taken,
            host: "here".into(),
            name: "ring".parse().unwrap(),
            schema: String::new(),
            opaque: None,
        })
    }

    pub(super) fn answer(&mut self, node: usize, from: usize, id: u64, request: Request) {
        self.traffic[from].fetches += 1;
        let Some(source) = self.source_of(node) else {
            return;
        };
        let mut answer = source.answer(request);
        let ring = &self.nodes[node].ring;
        let place = ring.place(answer.from());
        if place < ring.next {
            if place < ring.oldest {
                answer.gone_before(ring.sequence(ring.oldest));
            }
            // What begins in the middle of a gap is told of its rest.
            let begin = ring.gap_at(ring.place(answer.from()));
            if let Some((end, why)) = begin {
                answer.gap(ring.sequence(end), why);
            }
            let from = ring.place(answer.from());
            for (at, entry) in ring.entries.range(from..) {
                if !answer.is_wanted() {
                    break;
                }
                match entry {
                    Entry::Message(bytes) => answer.message(ring.sequence(*at), bytes),
                    Entry::Gap { end, why } => answer.gap(ring.sequence(*end), *why),
                }
            }
        }
        for frame in answer.finish() {
            self.traffic[from].answer_bytes += frame.len() as u64;
            self.send(from, from, Packet::Answer(frame));
        }
        self.send(from, from, Packet::Answered(id));
    }

    pub(super) fn step_source(&mut self, node: usize) {
        let now = self.now();
        let Node { ring, source, .. } = &mut self.nodes[node];
        let Some(side) = source else {
            return;
        };
        let pace = side.pace;
        let Some(source) = &mut side.machine else {
            return;
        };
        source.at(now, 0);
        source.oldest(ring.sequence(ring.oldest));
        source.epoch(ring.epoch, ring.sequence(ring.epoch_first));
        let mut at = ring.place(source.next());
        let mut left = pace;
        while at < ring.next && left > 0 && source.may_send() {
            left -= 1;
            if at < ring.oldest {
                // As an observer, it goes on near the newest.
                at = ring.oldest.max(ring.next.saturating_sub(3));
                let found = ring.entries.range(at..).next();
                at = found.map_or(ring.next, |(at, _)| *at);
                source.lapped(ring.sequence(at));
                continue;
            }
            match &ring.entries.get(&at) {
                Some(Entry::Message(bytes)) => {
                    source.message(ring.sequence(at), bytes);
                    at += 1;
                }
                Some(Entry::Gap { end, why }) => {
                    source.gap(ring.sequence(*end), *why);
                    at = *end;
                }
                None => unreachable!("a ring without what lies between its ends"),
            }
        }
        if ring.closed && at == ring.next {
            source.close();
        }
        source.tick();
        let mut frames = Vec::new();
        let mut release = None;
        while let Some(action) = source.next_action() {
            match action {
                source::Action::Send(frame) => frames.push(frame),
                source::Action::Release(sequence) => release = Some(sequence),
            }
        }
        let ring = &mut self.nodes[node].ring;
        if let (Some(gate), Some(sequence)) = (ring.gate, release) {
            let place = ring.place(sequence);
            assert!(place >= gate && place <= ring.next, "{gate} {place}");
            ring.gate = Some(place);
        }
        if frames.is_empty() {
            return;
        }
        for child in self.children(node) {
            for frame in &frames {
                self.traffic[child].deliveries += 1;
                self.traffic[child].delivered_bytes += frame.len() as u64;
                self.send(child, child, Packet::Frame(frame.clone()));
            }
        }
    }
}
