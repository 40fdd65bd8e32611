//! The sending side: what a ring has published, as frames for any number of mirrors.

use crate::ack::Ack;
use crate::answer::Answer;
use crate::credit::Credit;
pub use crate::credit::Follower;
use crate::frame::{Stamp, FARTHEST};
use crate::name::Name;
use crate::pack::{heartbeat, Packed, Packer};
use crate::request::Request;
use crate::Moment;
use core::time::Duration;
use slipring::endpoint::Why;
use std::collections::VecDeque;

/// The settings of a source.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Identity of its ring.
    pub ring: u128,
    /// Whether the ring keeps what mirrors need: all that was not sent, or, with required mirrors, all that one of
    /// them has not written.
    pub lossless: bool,
    /// The mirrors that it waits for. Only a lossless source may have some.
    pub required: Vec<Name>,
    /// Bytes that may be sent and not written by all required mirrors, and one message more.
    pub window: u64,
    /// The shortest time between two frames of messages, unless they are full: 50 microseconds if nothing else is set.
    pub linger: Duration,
    /// The time between two heartbeats, if nothing else is sent. Behind messages they come sooner at first.
    pub heartbeat: Duration,
    /// How long a mirror keeps its name without a word.
    pub alive: Duration,
}

impl Settings {
    /// The settings of a source that waits for no mirror.
    pub fn new(ring: u128) -> Self {
        Self {
            ring,
            lossless: false,
            required: Vec::new(),
            window: 4 << 20,
            linger: Duration::from_micros(50),
            heartbeat: Duration::from_millis(100),
            alive: Duration::from_secs(2),
        }
    }
}

/// The first heartbeat behind messages.
const FIRST_HEARTBEAT: Duration = Duration::from_millis(5);

/// What a source wants done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this frame to all mirrors.
    Send(Vec<u8>),
    /// The ring need not keep what lies before this sequence.
    Release(u64),
}

/// The sending side of one ring.
///
/// # Guarantees
/// - Every sequence that it was told of is sent in a frame, or lies before what a later heartbeat says was sent, so
///   that mirrors ask for it.
/// - With required mirrors, no more than the window, and one message, is sent ahead of the slowest of them, alive
///   or not. Other mirrors never hold it back.
/// - It keeps nothing that grows with the number of messages: what was sent is in the ring.
///
/// ```
/// use slipring_mirror::source::{Action, Settings, Source};
/// use slipring_mirror::Frame;
/// use std::time::Duration;
///
/// let mut source = Source::new(Settings::new(1), 1, 0, 0);
/// source.at(Duration::ZERO, 0);
/// source.message(0, b"hello");
/// source.at(Duration::from_micros(50), 0);
/// source.tick();
/// let Some(Action::Send(frame)) = source.next_action() else { panic!() };
/// assert_eq!(Frame::decode(&frame).unwrap().end(), 1);
/// ```
#[derive(Debug)]
pub struct Source {
    settings: Settings,
    epoch: u64,
    epoch_first: u64,
    oldest: u64,
    /// The sequence behind the last one it was told of, and behind the last one that was sent.
    next: u64,
    sent: u64,
    closed: bool,
    now: Moment,
    wall_ns: u64,
    packer: Packer,
    packed: Vec<Packed>,
    actions: VecDeque<Action>,
    credit: Credit,
    last_sent: Option<Moment>,
    /// Whether messages come faster than frames may: the last frame had several.
    dense: bool,
    heartbeat_at: Moment,
    heartbeat_gap: Duration,
    counts: Counts,
}

/// What a source has sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages.
    pub messages: u64,
    /// Frames with messages or gaps.
    pub frames: u64,
    /// Heartbeats.
    pub heartbeats: u64,
    /// Bytes of all frames.
    pub bytes: u64,
}

impl Source {
    /// A source whose ring is read from `next` on, in an epoch that began at `epoch_first`.
    pub fn new(settings: Settings, epoch: u64, epoch_first: u64, next: u64) -> Self {
        Self {
            credit: Credit::new(next, &settings.required, settings.alive),
            settings,
            epoch,
            epoch_first,
            oldest: next,
            next,
            sent: next,
            closed: false,
            now: Moment::ZERO,
            wall_ns: 0,
            packer: Packer::default(),
            packed: Vec::new(),
            actions: VecDeque::new(),
            last_sent: None,
            dense: false,
            heartbeat_at: Moment::ZERO,
            heartbeat_gap: FIRST_HEARTBEAT,
            counts: Counts::default(),
        }
    }

    /// Says what time it is. All other calls happen then.
    pub fn at(&mut self, now: Moment, wall_ns: u64) {
        self.now = self.now.max(now);
        self.wall_ns = wall_ns;
    }

    fn stamp(&self) -> Stamp {
        Stamp {
            ring: self.settings.ring,
            epoch: self.epoch,
            epoch_first: self.epoch_first,
            oldest: self.oldest,
            wall_ns: self.wall_ns,
        }
    }

    /// The sequence behind the last one it was told of: where to go on reading the ring.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The sequence behind the last one that was sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Returns `true` if a message may be read from the ring and passed on now.
    pub fn may_send(&self) -> bool {
        // Of a window without a byte, too, one message is under way.
        !self.credit.waits() || self.credit.in_flight() < self.settings.window.max(1)
    }

    /// The ring has this message. If its sequence is not the next one, those between were not read in time: mirrors
    /// will ask for them.
    pub fn message(&mut self, sequence: u64, payload: &[u8]) {
        self.counts.messages += 1;
        let stamp = self.stamp();
        self.packer
            .message(&stamp, sequence, payload, &mut self.packed);
        self.next = sequence.wrapping_add(1);
        self.send();
    }

    /// The ring has a gap, from the next sequence to this one.
    pub fn gap(&mut self, end: u64, why: Why) {
        let stamp = self.stamp();
        self.packer
            .gap(&stamp, self.next, end, why, &mut self.packed);
        self.next = end;
        self.send();
    }

    /// The reader of the ring was overtaken, and goes on at this sequence. Mirrors will ask for what lies between,
    /// of which the ring may still have some.
    pub fn lapped(&mut self, next: u64) {
        self.flush();
        self.next = next;
        self.sent = next;
        self.heartbeat_soon();
    }

    /// Another producer has taken over the ring.
    pub fn epoch(&mut self, number: u64, first: u64) {
        if number != self.epoch {
            self.flush();
            (self.epoch, self.epoch_first) = (number, first);
            self.closed = false;
            self.heartbeat_soon();
        }
    }

    /// The latest epoch that it was told of, and its first sequence.
    pub fn latest_epoch(&self) -> (u64, u64) {
        (self.epoch, self.epoch_first)
    }

    /// The producer closed the ring, and everything was read.
    pub fn close(&mut self) {
        if !self.closed {
            self.flush();
            self.closed = true;
            self.heartbeat_soon();
        }
    }

    /// The oldest sequence that the ring still has.
    pub fn oldest(&mut self, oldest: u64) {
        self.oldest = oldest;
    }

    /// A mirror introduces itself. Returns whether this source waits for it, and whether another mirror of its name
    /// is alive.
    pub fn hello(&mut self, name: &Name, instance: u64) -> (bool, bool) {
        self.credit.hello(name, instance, self.now)
    }

    /// A mirror says how far it is. Acknowledgements of another ring are ignored.
    pub fn ack(&mut self, ack: &Ack) {
        if ack.ring != self.settings.ring {
            return;
        }
        if let Some(through) = self.credit.ack(ack, self.sent, self.now) {
            self.actions.push_back(Action::Release(through));
        }
    }

    /// Begins the answer to a mirror that asks for what it lacks. It goes no further than what was sent: what lies
    /// behind that may belong to an epoch of which this source was not told.
    pub fn answer(&self, request: Request) -> Answer {
        let sent = self.sent.wrapping_sub(request.from);
        let asked = request.to.wrapping_sub(request.from);
        let given = match sent.max(asked) > FARTHEST {
            true => 0,
            false => sent.min(asked),
        };
        let to = request.from.wrapping_add(given);
        Answer::new(self.stamp(), Request { to, ..request })
    }

    fn heartbeat_soon(&mut self) {
        self.heartbeat_gap = FIRST_HEARTBEAT.min(self.settings.heartbeat);
        self.heartbeat_at = self.now;
    }

    fn send(&mut self) {
        for packed in self.packed.drain(..) {
            self.counts.frames += 1;
            self.counts.bytes += packed.bytes.len() as u64;
            let through = self.credit.sent(packed.end, packed.bytes.len());
            self.sent = packed.end;
            self.last_sent = Some(self.now);
            self.heartbeat_gap = FIRST_HEARTBEAT.min(self.settings.heartbeat);
            self.heartbeat_at = self.now + self.heartbeat_gap;
            self.actions.push_back(Action::Send(packed.bytes));
            let all = self.settings.lossless && !self.credit.waits() && packed.whole;
            let through = through.or(all.then_some(packed.end));
            self.actions.extend(through.map(Action::Release));
        }
    }

    /// Sends what waits for more.
    pub fn flush(&mut self) {
        let stamp = self.stamp();
        self.packer.flush(&stamp, &mut self.packed);
        self.send();
    }

    /// Returns `true` if a message that comes now would not be sent before [`due`](Self::due), so that it need not be
    /// looked at before: one waits for more, or messages have been coming faster than frames are sent. Whoever reads the
    /// ring then sleeps for a time, instead of being woken for each message.
    pub fn rests(&self) -> bool {
        self.dense || !self.packer.is_empty()
    }

    fn flush_at(&self) -> Option<Moment> {
        let last = |last| last + self.settings.linger;
        self.rests()
            .then(|| self.last_sent.map_or(Moment::ZERO, last))
    }

    /// Does what is due: sends what has waited long enough, and heartbeats.
    pub fn tick(&mut self) {
        if self.flush_at().is_some_and(|at| at <= self.now) {
            self.dense = self.packer.count() > 1;
            self.flush();
        }
        if self.heartbeat_at <= self.now {
            self.heartbeat_at = self.now + self.heartbeat_gap;
            self.heartbeat_gap = (self.heartbeat_gap * 2).min(self.settings.heartbeat);
            let bytes = heartbeat(&self.stamp(), self.sent, self.closed);
            self.counts.heartbeats += 1;
            self.counts.bytes += bytes.len() as u64;
            self.actions.push_back(Action::Send(bytes));
        }
    }

    /// Returns when the next [`tick`](Self::tick) is due, and before it a look at the ring.
    pub fn due(&self) -> Moment {
        let flush = self.flush_at().unwrap_or(self.heartbeat_at);
        flush.min(self.heartbeat_at)
    }

    /// What is to be done next.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What it has sent.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Bytes that were sent and not written by all required mirrors.
    pub fn in_flight(&self) -> u64 {
        self.credit.in_flight()
    }

    /// Whether the producer closed the ring.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The mirrors it knows.
    pub fn followers(&self) -> Vec<Follower> {
        self.credit.followers(self.now)
    }
}

#[cfg(test)]
mod tests;
