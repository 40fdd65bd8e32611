//! A world of rings, sources and mirrors, with a network that loses, repeats and reorders, and an oracle that looks at
//! every write.
//!
//! Time goes in steps of a millisecond. Rings are models: what is kept, what is gone, what never existed.

use slipring::endpoint::Why;
use slipring_mirror::mirror::{self, Mirror, Path, Stop, Write};
use slipring_mirror::source::{self, Source};
use slipring_mirror::{Ack, Meta, Moment, Name, Request};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// A sequence of numbers that looks random.
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
}

/// The message of a sequence of a ring: its bytes say which it is.
pub fn payload(ring: u128, sequence: u64, longest: usize) -> Vec<u8> {
    let mut dice = Dice(sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ ring as u64 | 1);
    let len = match dice.below(20) {
        0 => dice.below(longest as u64 + 1),
        _ => dice.below(64.min(longest as u64 + 1)),
    };
    let mut bytes = vec![dice.next() as u8; len as usize];
    for (to, from) in bytes.iter_mut().zip(sequence.to_le_bytes()) {
        *to = from;
    }
    bytes
}

pub enum Entry {
    Message(Vec<u8>),
    Gap { end: u64, why: Why },
}

/// A ring, by its sequences counted from the first.
pub struct ModelRing {
    pub id: u128,
    /// The identity of the ring that it mirrors; 0 if none is known yet.
    pub origin: u128,
    /// The identity of the ring in which its messages were first published.
    pub root: u128,
    /// The sequence of place 0.
    pub base: u64,
    pub entries: BTreeMap<u64, Entry>,
    /// What lay at each place for which the ring had no message.
    pub gaps: BTreeMap<u64, (u64, Why)>,
    pub oldest: u64,
    pub next: u64,
    pub capacity: usize,
    pub epoch: u64,
    pub epoch_first: u64,
    pub closed: bool,
    /// What lies from here on may not be overwritten.
    pub gate: Option<u64>,
    /// How often it was closed.
    pub closings: u64,
}

impl ModelRing {
    pub fn new(id: u128, base: u64, capacity: usize) -> Self {
        Self {
            id,
            origin: id,
            root: id,
            base,
            entries: BTreeMap::new(),
            gaps: BTreeMap::new(),
            oldest: 0,
            next: 0,
            capacity,
            epoch: 1,
            epoch_first: 0,
            closed: false,
            gate: None,
            closings: 0,
        }
    }

    fn push(&mut self, end: u64, entry: Entry) -> bool {
        while self.entries.len() >= self.capacity {
            let first = *self.entries.keys().next().unwrap();
            if self.gate.is_some_and(|gate| first >= gate) {
                return false;
            }
            self.entries.pop_first();
            self.oldest = self.entries.keys().next().copied().unwrap_or(self.next);
        }
        self.entries.insert(self.next, entry);
        self.next = end;
        true
    }

    pub fn publish(&mut self, payload: Vec<u8>) -> bool {
        self.push(self.next + 1, Entry::Message(payload))
    }

    pub fn skip(&mut self, end: u64, why: Why) -> bool {
        let first = self.next;
        let pushed = self.push(end, Entry::Gap { end, why });
        if pushed {
            self.gaps.insert(first, (end, why));
        }
        pushed
    }

    pub fn take_over(&mut self) {
        self.epoch += 1;
        self.epoch_first = self.next;
        self.closed = false;
    }

    pub fn sequence(&self, place: u64) -> u64 {
        self.base.wrapping_add(place)
    }

    pub fn place(&self, sequence: u64) -> u64 {
        sequence.wrapping_sub(self.base)
    }

    /// The gap at a place, if there is one.
    pub fn gap_at(&self, place: u64) -> Option<(u64, Why)> {
        let (_, gap) = self.gaps.range(..=place).next_back()?;
        Some(*gap).filter(|(end, _)| *end > place)
    }
}

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
        let mut settings = source::Settings::new(id);
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

    fn source_of(&mut self, node: usize) -> Option<&mut Source> {
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

    fn answer(&mut self, node: usize, from: usize, id: u64, request: Request) {
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

    fn step_source(&mut self, node: usize) {
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

    fn step_mirror(&mut self, node: usize) {
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

    /// The oracle: does what a mirror wants written, and says whether it may.
    fn write(&mut self, node: usize, write: Write<'_>, gone: bool) -> bool {
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
    fn took_over(&mut self, node: usize, number: u64) {
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
