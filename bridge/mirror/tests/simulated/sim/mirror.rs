//! What a mirror does: beginning, and a step of receiving and writing.

use super::ring::ModelRing;
use super::{Node, Packet, World};
use slipring_mirror::mirror::{self, Mirror, Path, Stop, Write};
use slipring_mirror::Meta;

impl World {
    pub(super) fn step_mirror(&mut self, node: usize) {
        let now = self.now();
        let now_ms = self.now_ms;
        let Some(side) = &mut self.nodes[node].mirror else {
            return;
        };
        if side.frozen {
            return;
        }
        let parent = side.parent;
        if side.starting && side.machine.is_none() {
            self.begin_mirror(node);
        }
        let side = self.nodes[node].mirror.as_mut().unwrap();
        let Some(mut mirror) = side.machine.take() else {
            if side.starting && now_ms.is_multiple_of(20) {
                if side.instance == 0 {
                    self.instances += 1;
                    side.instance = self.instances;
                }
                let ask = side.ask(node);
                self.send(node, parent, ask);
            }
            return;
        };
        mirror.at(now);
        let mut stop = None;
        for packet in core::mem::take(&mut side.inbox) {
            match packet {
                Packet::Frame(bytes) => drop(mirror.frame(Path::Stream, &bytes).unwrap()),
                Packet::Answer(bytes) => drop(mirror.frame(Path::Answer, &bytes).unwrap()),
                Packet::Answered(id) => mirror.answered(id),
                Packet::Meta(_, bytes) => {
                    if let Err(why) = mirror.meta(&Meta::decode(&bytes).unwrap()) {
                        stop = Some(why);
                    }
                }
                _ => unreachable!(),
            }
        }
        let limit = side.window.max(2 * self.longest as u64) + self.longest as u64 + 64;
        assert!(mirror.held() <= limit, "{} of {limit}", mirror.held());
        let gone = matches!(stop, Some(Stop::Recreated { .. }));
        let pace = if gone { usize::MAX } else { side.pace };
        if gone {
            mirror.give_up();
        }
        for _ in 0..pace {
            match mirror.next_write() {
                Some(write) => {
                    if !self.write(node, write, gone) {
                        break;
                    }
                }
                None => break,
            }
            let takes_over = matches!(mirror.next_write(), Some(Write::TakeOver));
            mirror.wrote();
            if takes_over {
                self.took_over(node, mirror.epoch());
            }
        }
        mirror.tick();
        assert!(mirror.due() > now || mirror.next_write().is_some());
        while let Some(action) = mirror.next_action() {
            match action {
                mirror::Action::Fetch { id, request } => {
                    self.send(node, parent, Packet::Fetch(node, id, request));
                }
                mirror::Action::Ack(ack) => {
                    self.traffic[node].acks += 1;
                    self.send(node, parent, Packet::Ack(ack.encode()));
                }
                mirror::Action::Ask => {
                    self.traffic[node].asks += 1;
                    let ask = self.nodes[node].mirror.as_mut().unwrap().ask(node);
                    self.send(node, parent, ask);
                }
            }
        }
        let Node {
            ring, mirror: side, ..
        } = &mut self.nodes[node];
        let side = side.as_mut().unwrap();
        match stop {
            None => side.machine = Some(mirror),
            Some(Stop::Recreated { .. }) if side.follows => {
                let known = mirror.source_next();
                assert_eq!(ring.sequence(ring.next), known, "an end without account");
                side.starting = true;
                ring.origin = 0;
            }
            Some(why) => side.stopped = Some(why),
        }
    }

    /// Starts a mirror once the source has answered.
    fn begin_mirror(&mut self, node: usize) {
        let now = self.now();
        let side = self.nodes[node].mirror.as_mut().unwrap();
        let found = side.inbox.iter().find_map(|packet| match packet {
            Packet::Meta(_, bytes) => Some(Meta::decode(bytes).unwrap()),
            _ => None,
        });
        side.inbox.clear();
        let Some(meta) = found.filter(|meta| !meta.taken) else {
            return;
        };
        let mut settings =
            mirror::Settings::new(side.name.clone(), side.instance, self.longest as u32);
        settings.window = side.window;
        side.starting = false;
        let parent = side.parent;
        let root = self.nodes[parent].ring.root;
        if self.nodes[parent].ring.id != meta.ring {
            // An answer of the ring that was there before.
            self.nodes[node].mirror.as_mut().unwrap().starting = true;
            return;
        }
        let Node {
            ring,
            mirror,
            source,
        } = &mut self.nodes[node];
        let side = mirror.as_mut().unwrap();
        if ring.origin != meta.ring {
            // A new one, from the beginning of what the source has.
            *ring = ModelRing::new(ring.id + (1 << 100), meta.oldest, ring.capacity);
            (ring.origin, ring.root) = (meta.ring, root);
            if let Some(source) = source {
                source.machine = None;
            }
        }
        side.settled = side.asked;
        ring.closed = false;
        let next = ring.sequence(ring.next);
        ring.take_over();
        side.machine = Some(Mirror::new(settings, &meta, next, now));
    }
}
