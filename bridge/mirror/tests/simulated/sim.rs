//! A world of rings, sources and mirrors, with a network that loses, repeats and reorders, and an oracle that looks at
//! every write.
//!
//! Time goes in steps of a millisecond. Rings are models.

mod mirror;
mod oracle;
mod ring;
mod source;

use ring::{payload, Dice, ModelRing};
use slipring::endpoint::Why;
use slipring_mirror::mirror::{Mirror, Stop};
use slipring_mirror::source::{Settings, Source};
use slipring_mirror::{Ack, Moment, Name, Request};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

pub struct SourceNode {
    pub machine: Option<Source>,
    pub lossless: bool,
    pub required: Vec<Name>,
    pub window: u64,
    /// Messages that it reads in a step.
    pub pace: usize,
}

pub struct MirrorNode {
    pub parent: usize,
    pub name: Name,
    pub machine: Option<Mirror>,
    pub frozen: bool,
    /// Messages that it writes in a step.
    pub pace: usize,
    pub inbox: VecDeque<Packet>,
    pub window: u64,
    pub instance: u64,
    /// How many questions it has asked, and how many of them it does not wait for any more: those of a process that ended,
    /// and those with which a mirror looked for its source.
    pub asked: u64,
    pub settled: u64,
    pub follows: bool,
    pub stopped: Option<Stop>,
    pub starting: bool,
}

impl MirrorNode {
    /// The next question to its source.
    fn ask(&mut self, node: usize) -> Packet {
        self.asked += 1;
        Packet::Ask(node, self.name.clone(), self.instance, self.asked)
    }
}

pub struct Node {
    pub ring: ModelRing,
    pub source: Option<SourceNode>,
    pub mirror: Option<MirrorNode>,
}

impl Node {
    fn parent(&self) -> usize {
        self.mirror.as_ref().unwrap().parent
    }

    fn mirror_epoch(&self) -> Option<u64> {
        let machine = self.mirror.as_ref()?.machine.as_ref()?;
        Some(machine.epoch())
    }
}

#[derive(Clone)]
pub enum Packet {
    Frame(Vec<u8>),
    Answer(Vec<u8>),
    Answered(u64),
    /// The answer to a question.
    Meta(u64, Vec<u8>),
    Fetch(usize, u64, Request),
    Ack(Vec<u8>),
    /// Who asks, with its name and instance, and the number of the question.
    Ask(usize, Name, u64, u64),
}

#[derive(Clone, Copy, Default)]
pub struct Faults {
    /// Of a thousand packets, how many are lost, or come twice.
    pub loss: u64,
    pub repeats: u64,
    /// Most milliseconds that a packet takes beyond the first.
    pub delay: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Frames of sources, once for each mirror that they are sent to, and their bytes.
    pub deliveries: u64,
    pub delivered_bytes: u64,
    pub acks: u64,
    pub fetches: u64,
    pub answer_bytes: u64,
    pub asks: u64,
}

pub struct World {
    pub nodes: Vec<Node>,
    pub now_ms: u64,
    pub faults: Faults,
    pub cut: BTreeSet<usize>,
    pub dice: Dice,
    pub longest: usize,
    /// Whether messages are not what `payload` says.
    pub fixed: bool,
    pub traffic: Vec<Traffic>,
    wire: BTreeMap<(u64, u64), (usize, Packet)>,
    sent: u64,
    instances: u64,
}

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

impl World {
    /// A ring at the root, with a source.
    pub fn new(seed: u64, base: u64, capacity: usize, longest: usize) -> Self {
        Self {
            nodes: vec![Node {
                ring: ModelRing::new(1 << 64 | u128::from(seed), base, capacity),
                source: None,
                mirror: None,
            }],
            now_ms: 1,
            faults: Faults::default(),
            cut: BTreeSet::new(),
            dice: Dice(seed.max(1)),
            longest,
            fixed: false,
            traffic: vec![Traffic::default()],
            wire: BTreeMap::new(),
            sent: 0,
            instances: 0,
        }
    }

    pub fn source(&mut self, node: usize, lossless: bool, required: Vec<Name>, window: u64) {
        self.nodes[node].source = Some(SourceNode {
            machine: None,
            lossless,
            required,
            window,
            pace: usize::MAX,
        });
        if lossless {
            self.nodes[node].ring.gate = Some(self.nodes[node].ring.next);
        }
        self.start_source(node);
    }

    pub fn mirror(&mut self, parent: usize, name: Name, capacity: usize, window: u64) -> usize {
        let node = self.nodes.len();
        let from = &self.nodes[parent].ring;
        let base = from.sequence(from.next);
        let (origin, root) = (from.id, from.root);
        let mut ring = ModelRing::new(u128::from(self.dice.next()) << 1 | 1, base, capacity);
        (ring.origin, ring.root) = (origin, root);
        self.nodes.push(Node {
            ring,
            source: None,
            mirror: Some(MirrorNode {
                parent,
                name,
                machine: None,
                frozen: false,
                pace: usize::MAX,
                inbox: VecDeque::new(),
                window,
                instance: 0,
                asked: 0,
                settled: 0,
                follows: true,
                stopped: None,
                starting: true,
            }),
        });
        self.traffic.push(Traffic::default());
        node
    }

    pub fn now(&self) -> Moment {
        Duration::from_millis(self.now_ms)
    }

    pub fn start_source(&mut self, node: usize) {
        let now = self.now();
        let ring = &self.nodes[node].ring;
        let (id, epoch) = (ring.id, (ring.epoch, ring.epoch_first));
        let next = ring.gate.unwrap_or(ring.next);
        let (next, first) = (ring.sequence(next), ring.sequence(epoch.1));
        let side = self.nodes[node].source.as_mut().unwrap();
        let mut settings = Settings::new(id);
        settings.lossless = side.lossless;
        settings.required = side.required.clone();
        settings.window = side.window;
        let mut machine = Source::new(settings, epoch.0, first, next);
        machine.at(now, 0);
        side.machine = Some(machine);
    }

    pub fn stop_source(&mut self, node: usize) {
        self.nodes[node].source.as_mut().unwrap().machine = None;
    }

    pub fn stop_mirror(&mut self, node: usize) {
        let mirror = self.nodes[node].mirror.as_mut().unwrap();
        mirror.machine = None;
        mirror.instance = 0;
        mirror.settled = mirror.asked;
        mirror.inbox.clear();
        mirror.starting = false;
    }

    pub fn start_mirror(&mut self, node: usize) {
        let mirror = self.nodes[node].mirror.as_mut().unwrap();
        if mirror.machine.is_none() && mirror.stopped.is_none() {
            mirror.starting = true;
        }
    }

    /// Publishes at the root; `false` if the ring is full.
    pub fn publish(&mut self) -> bool {
        let ring = &mut self.nodes[0].ring;
        if ring.closed {
            ring.take_over();
        }
        let sequence = ring.sequence(ring.next);
        ring.publish(payload(ring.id, sequence, self.longest))
    }

    pub fn skip(&mut self, by: u64, why: Why) -> bool {
        let ring = &mut self.nodes[0].ring;
        if ring.closed {
            ring.take_over();
        }
        ring.skip(ring.next + by, why)
    }

    pub fn close(&mut self) {
        let ring = &mut self.nodes[0].ring;
        ring.closings += u64::from(!ring.closed);
        ring.closed = true;
    }

    /// The root's ring is removed and made again; its source is started again.
    pub fn recreate(&mut self) {
        let running = self.nodes[0].source.as_ref().unwrap().machine.is_some();
        let old = &self.nodes[0].ring;
        let mut ring = ModelRing::new(old.id + (1 << 100), self.dice.next(), old.capacity);
        ring.gate = old.gate.map(|_| 0);
        self.nodes[0].ring = ring;
        if running {
            self.start_source(0);
        }
    }

    fn send(&mut self, link: usize, to: usize, packet: Packet) {
        if self.cut.contains(&link) || self.dice.below(1000) < self.faults.loss {
            return;
        }
        let times = 1 + u64::from(self.dice.below(1000) < self.faults.repeats);
        for _ in 0..times {
            self.sent += 1;
            let at = self.now_ms + 1 + self.dice.below(self.faults.delay + 1);
            self.wire.insert((at, self.sent), (to, packet.clone()));
        }
    }

    fn children(&self, node: usize) -> Vec<usize> {
        let of = |(at, child): (usize, &Node)| {
            let mirror = child.mirror.as_ref()?;
            (mirror.parent == node).then_some(at)
        };
        let all = self.nodes.iter().enumerate();
        all.filter_map(of).collect()
    }

    pub fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.step();
        }
    }

    pub fn step(&mut self) {
        self.now_ms += 1;
        while let Some(entry) = self.wire.first_entry() {
            if entry.key().0 > self.now_ms {
                break;
            }
            let (_, (to, packet)) = entry.remove_entry();
            self.deliver(to, packet);
        }
        for node in 0..self.nodes.len() {
            self.step_source(node);
            self.step_mirror(node);
        }
    }

    fn deliver(&mut self, to: usize, packet: Packet) {
        match packet {
            Packet::Fetch(from, id, request) => self.answer(to, from, id, request),
            Packet::Ack(bytes) => {
                let ack = Ack::decode(&bytes).unwrap();
                if let Some(source) = self.source_of(to) {
                    source.ack(&ack);
                }
            }
            Packet::Ask(from, name, instance, question) => {
                let meta = self.meta(to, &name, instance);
                if let Some(meta) = meta {
                    self.send(from, from, Packet::Meta(question, meta.encode()));
                }
            }
            packet => {
                let mirror = self.nodes[to].mirror.as_mut().unwrap();
                if matches!(packet, Packet::Meta(question, _) if question <= mirror.settled) {
                    return;
                }
                // A process that is not there receives nothing; one that is stopped, only what fits.
                if (mirror.machine.is_some() || mirror.starting) && mirror.inbox.len() < 1000 {
                    mirror.inbox.push_back(packet);
                }
            }
        }
    }
}
