//! The receiving side: from frames, in any order, to what is written to a ring.

use crate::ack::Ack;
use crate::frame::{Content, Frame, FrameError, Stamp};
use crate::hold::{Added, Hold, Item};
use crate::meta::Meta;
use crate::name::Name;
use crate::parts::Parts;
use crate::request::{Request, ANSWER_BYTES};
use crate::Moment;
use core::fmt;
use core::time::Duration;
use slipring::endpoint::Why;
use std::collections::VecDeque;

/// The settings of a mirror.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name.
    pub name: Name,
    /// A number that no other mirror of this name has: a random one.
    pub instance: u64,
    /// Bytes that are held until they can be written. At least twice the longest message.
    pub window: u64,
    /// The longest message that its ring takes. Longer ones count as lost.
    pub longest: u32,
    /// How long a hole may close by itself before it is asked for.
    pub patience: Duration,
    /// How long to wait for an answer.
    pub timeout: Duration,
    /// The longest pause between requests that are not answered.
    pub pause: Duration,
    /// After how long without a frame to ask what became of the source.
    pub silence: Duration,
}

impl Settings {
    /// The usual settings, for a ring whose messages have at most so many bytes.
    pub fn new(name: Name, instance: u64, longest: u32) -> Self {
        Self {
            name,
            instance,
            window: (4 << 20).max(2 * u64::from(longest)),
            longest,
            patience: Duration::from_millis(1),
            timeout: Duration::from_millis(500),
            pause: Duration::from_secs(1),
            silence: Duration::from_secs(1),
        }
    }
}

/// Between acknowledgements to a source that waits, as long as there is something new to acknowledge.
const SOON: Duration = Duration::from_millis(10);
/// Between acknowledgements to a source that waits, if there is nothing new.
const REGULARLY: Duration = Duration::from_millis(250);
/// Between acknowledgements to a source that does not wait.
const SELDOM: Duration = Duration::from_secs(1);
/// Between two questions whether this is still the mirror of its name.
const RENEWED: Duration = Duration::from_secs(2);
/// The first pause between requests that are not answered.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// What a mirror wants sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask for these sequences. The answers go to [`Mirror::frame`], as [`Path::Answer`]; after the last one, or if
    /// there is none, [`Mirror::answered`] is told of this number.
    Fetch {
        /// Which request.
        id: u64,
        /// What it asks for.
        request: Request,
    },
    /// Tell the source how far this mirror is.
    Ack(Ack),
    /// Ask for the source's description, with this mirror's name and instance. The answers go to [`Mirror::meta`].
    Ask,
}

/// What is to be written to the mirror's ring next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write<'m> {
    /// Another producer took over the source: take over the ring anew, so that its readers learn of it.
    TakeOver,
    /// Publish this.
    Message {
        /// The sequence that it gets.
        sequence: u64,
        /// Its bytes.
        payload: &'m [u8],
    },
    /// Skip to this sequence.
    Gap {
        /// The first sequence behind the gap.
        end: u64,
        /// Why.
        why: Why,
    },
    /// Close the ring: its source was closed there.
    Close,
}

/// Which way a frame came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Sent to all mirrors.
    Stream,
    /// As an answer to this one.
    Answer,
}

/// Messages that came as the source sent them first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The first sequence.
    pub first: u64,
    /// The first behind them.
    pub end: u64,
    /// When they were sent, in nanoseconds since 1970, by the clock of the source's host.
    pub wall_ns: u64,
}

/// Why a mirror cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// The source's ring is another one than the mirrored: it was removed, and made again.
    Recreated {
        /// The identity of the new one.
        ring: u128,
    },
    /// Another mirror of this name is alive.
    NameTaken,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recreated { ring } => write!(
                f,
                "the source ring was made anew, as {ring:032x}: remove the mirror, or let it follow"
            ),
            Self::NameTaken => f.write_str(
                "another mirror of this name is alive: give each mirror of a ring a name of its own",
            ),
        }
    }
}

impl std::error::Error for Stop {}

/// What a mirror has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages written.
    pub messages: u64,
    /// Sequences that were lost on the way, and became gaps.
    pub lost: u64,
    /// Sequences that the source itself did not have.
    pub skipped: u64,
    /// Messages that came again.
    pub duplicates: u64,
    /// Messages that came too early, with no room to hold them.
    pub unheld: u64,
    /// Requests for what was missing.
    pub fetches: u64,
    /// Requests without an answer in time, or with one of no use.
    pub fetches_failed: u64,
    /// Frames of other rings.
    pub foreign: u64,
    /// Frames that were none.
    pub damaged: u64,
}

#[derive(Clone, Copy, Debug)]
struct Fetch {
    id: u64,
    from: u64,
    until: Moment,
}

/// The receiving side of one ring.
///
/// # Guarantees
/// - What it wants written are all sequences from its start on, in order, each once: as a message, or in a gap.
/// - A message that the source has when it is asked is never part of a gap. What is gone there becomes one, whose
///   reason is [`Why::Lost`]; gaps of the source keep their reason.
/// - It holds at most its window, and one message.
/// - At most one request is under way. Requests that are not answered are repeated, with growing pauses.
///
/// Where it was is not kept anywhere else: a mirror that is started again begins at the next sequence of its ring.
#[derive(Debug)]
pub struct Mirror {
    settings: Settings,
    ring: u128,
    hold: Hold,
    streamed: Parts,
    answered: Parts,
    /// The epoch that was written last.
    epoch: u64,
    /// A later one, and the place where it begins.
    coming: Option<(u64, u64)>,
    /// Where the source was closed, in the latest epoch that is known.
    closed: Option<u64>,
    close_written: bool,
    required: bool,
    source_oldest: u64,
    now: Moment,
    heard: Moment,
    asked: Moment,
    acked: Moment,
    /// What the last acknowledgement said, and bytes written since.
    acked_next: u64,
    acked_bytes: u64,
    /// Where the first hole ended when it was seen first, and when that was.
    hole: Option<(u64, Moment)>,
    fetch: Option<Fetch>,
    next_fetch: u64,
    pause: Duration,
    paused_until: Moment,
    actions: VecDeque<Action>,
    counts: Counts,
}

impl Mirror {
    /// A mirror of the described ring, whose own ring's next sequence is `next`.
    pub fn new(settings: Settings, meta: &Meta, next: u64, now: Moment) -> Self {
        let window = settings.window.max(2 * u64::from(settings.longest));
        let mut mirror = Self {
            hold: Hold::new(next, window),
            settings,
            ring: meta.ring,
            streamed: Parts::default(),
            answered: Parts::default(),
            epoch: 0,
            coming: None,
            closed: None,
            close_written: false,
            required: meta.required,
            source_oldest: meta.oldest,
            now,
            heard: now,
            asked: now,
            acked: now,
            acked_next: 0,
            acked_bytes: 0,
            hole: None,
            fetch: None,
            next_fetch: 0,
            pause: Duration::ZERO,
            paused_until: now,
            actions: VecDeque::new(),
            counts: Counts::default(),
        };
        // Its ring was just taken over, which begins an epoch: that of the source, unless that begins later.
        let later = mirror.hold.place(meta.epoch_first).filter(|at| *at > 0);
        match later {
            Some(at) => mirror.coming = Some((meta.epoch, at)),
            None => mirror.epoch = meta.epoch,
        }
        mirror.source_is_at(meta.epoch, meta.next, meta.closed);
        mirror.ack();
        mirror
    }

    /// Says what time it is. All other calls happen then.
    pub fn at(&mut self, now: Moment) {
        self.now = self.now.max(now);
    }

    /// Takes a frame. What is not new is ignored, and so are frames of other rings. Returns which messages are complete
    /// with it, new or not, if it came as the source sent it first.
    ///
    /// # Errors
    /// [`FrameError`] of bytes that are no frame. Nothing has changed then, but the count.
    pub fn frame(&mut self, path: Path, bytes: &[u8]) -> Result<Option<Sent>, FrameError> {
        let frame = Frame::decode(bytes).inspect_err(|_| self.counts.damaged += 1)?;
        if frame.stamp.ring != self.ring {
            self.counts.foreign += 1;
            return Ok(None);
        }
        self.heard = self.now;
        self.epoch_is(&frame.stamp);
        self.source_oldest = frame.stamp.oldest;
        let sent = Sent {
            first: frame.first,
            end: frame.end(),
            wall_ns: frame.stamp.wall_ns,
        };
        let complete = match frame.content {
            Content::Messages(messages) => {
                for (sequence, payload) in messages {
                    self.message(sequence, payload);
                }
                true
            }
            Content::Part {
                offset,
                total,
                bytes,
            } => self.part(path, frame.first, (offset, total), bytes),
            Content::Gap { end, why } => {
                self.gap(frame.first, end, why);
                false
            }
            Content::Heartbeat { closed } => {
                self.source_is_at(frame.stamp.epoch, frame.first, closed);
                false
            }
        };
        Ok(Some(sent).filter(|_| complete && path == Path::Stream))
    }

    fn epoch_is(&mut self, stamp: &Stamp) {
        let latest = self.latest_epoch();
        if stamp.epoch > latest {
            let at = self.hold.place(stamp.epoch_first).unwrap_or(0);
            // What came before the one that is coming, and was not written yet, belongs to it: readers are told
            // of the latest change only.
            self.coming = Some((stamp.epoch, at));
            self.closed = None;
        }
    }

    /// The latest epoch that is known.
    fn latest_epoch(&self) -> u64 {
        self.coming.map_or(self.epoch, |(number, _)| number)
    }

    /// The source has sent everything before `next`, and is closed there or not.
    fn source_is_at(&mut self, epoch: u64, next: u64, closed: bool) {
        let Some(place) = self.hold.place(next) else {
            return;
        };
        self.hold.know(place);
        if closed && epoch == self.latest_epoch() {
            self.closed = Some(place);
        }
    }

    fn message(&mut self, sequence: u64, payload: &[u8]) {
        let Some(place) = self.hold.place(sequence) else {
            self.counts.duplicates += 1;
            return;
        };
        if payload.len() > self.settings.longest as usize {
            self.hold.gap(place, place + 1, Why::Lost);
            return;
        }
        match self.hold.message(place, payload) {
            Added::Kept => {}
            Added::Known => self.counts.duplicates += 1,
            Added::NoRoom => self.counts.unheld += 1,
        }
    }

    /// Returns `true` if its message is complete with it.
    fn part(
        &mut self,
        path: Path,
        sequence: u64,
        (offset, total): (u32, u32),
        bytes: &[u8],
    ) -> bool {
        if total > self.settings.longest {
            // Its bytes need not come.
            self.gap(sequence, sequence.wrapping_add(1), Why::Lost);
            return false;
        }
        if let Some(place) = self.hold.place(sequence) {
            self.hold.know(place + 1);
        }
        let parts = match path {
            Path::Stream => &mut self.streamed,
            Path::Answer => &mut self.answered,
        };
        let complete = parts.add(sequence, offset, total, bytes);
        if let Some(message) = &complete {
            self.message(sequence, message);
        }
        complete.is_some()
    }

    fn gap(&mut self, first: u64, end: u64, why: Why) {
        // One that ends at the start or before it is known.
        let Some(end) = self.hold.place(end) else {
            return;
        };
        let from = self.hold.place(first).unwrap_or(0);
        if self.hold.gap(from, end, why) == Added::NoRoom {
            self.counts.unheld += 1;
        }
    }

    /// All answers to a request have come, or it is known that none will.
    pub fn answered(&mut self, id: u64) {
        if self.fetch.is_some_and(|fetch| fetch.id == id) {
            self.fetch_over();
        }
    }

    fn fetch_over(&mut self) {
        let Some(fetch) = self.fetch.take() else {
            return;
        };
        if self.hold.contiguous() > fetch.from {
            self.pause = Duration::ZERO;
            return;
        }
        self.counts.fetches_failed += 1;
        self.pause = (self.pause * 2).max(FIRST_PAUSE).min(self.settings.pause);
        self.paused_until = self.now + self.pause;
    }

    /// Takes the source's description.
    ///
    /// # Errors
    /// [`Stop`], if it says that this mirror cannot go on.
    pub fn meta(&mut self, meta: &Meta) -> Result<(), Stop> {
        if meta.ring != self.ring {
            return Err(Stop::Recreated { ring: meta.ring });
        }
        if meta.taken {
            return Err(Stop::NameTaken);
        }
        self.required = meta.required;
        self.source_oldest = meta.oldest;
        self.epoch_is(&Stamp {
            ring: meta.ring,
            epoch: meta.epoch,
            epoch_first: meta.epoch_first,
            oldest: meta.oldest,
            wall_ns: 0,
        });
        self.source_is_at(meta.epoch, meta.next, meta.closed);
        Ok(())
    }

    /// What is to be written next, if anything. It stays so until [`wrote`](Self::wrote).
    pub fn next_write(&self) -> Option<Write<'_>> {
        let next = self.hold.next();
        if self.takes_over() {
            return Some(Write::TakeOver);
        }
        match self.hold.first() {
            Some(Item::Message(payload)) => Some(Write::Message {
                sequence: self.hold.sequence(next),
                payload,
            }),
            Some(Item::Gap { end, why }) => {
                // An epoch that begins inside of it comes between its parts.
                let epoch = self.coming.map_or(*end, |(_, at)| at);
                Some(Write::Gap {
                    end: self.hold.sequence((*end).min(epoch)),
                    why: *why,
                })
            }
            None if self.closed == Some(next) && !self.close_written => Some(Write::Close),
            None => None,
        }
    }

    /// Whether the next that is written begins an epoch: one that begins there, or one of which nothing else is known
    /// but that it followed the closing.
    fn takes_over(&self) -> bool {
        let next = self.hold.next();
        self.coming.is_some_and(|(_, at)| at <= next)
            || self.close_written && self.hold.first().is_some()
    }

    /// What [`next_write`](Self::next_write) said has been written.
    pub fn wrote(&mut self) {
        let next = self.hold.next();
        if self.takes_over() {
            if let Some((number, _)) = self.coming.take_if(|(_, at)| *at <= next) {
                self.epoch = number;
            }
            self.close_written = false;
            return;
        }
        let epoch = self.coming.map(|(_, at)| at);
        match self.hold.written(epoch) {
            Some(Item::Message(payload)) => {
                self.counts.messages += 1;
                self.acked_bytes += payload.len() as u64;
            }
            Some(Item::Gap { end, why }) => match why {
                Why::Lost => self.counts.lost += end - next,
                _ => self.counts.skipped += end - next,
            },
            None => self.close_written |= self.closed == Some(next),
        }
        if self.required && self.acked_bytes >= self.settings.window / 4 {
            self.ack();
        }
    }

    /// Everything that is missing counts as lost: the source is gone for good. What is then to be written ends
    /// with what it is known to have sent.
    pub fn give_up(&mut self) {
        self.hold.give_up();
    }

    fn ack(&mut self) {
        self.acked = self.now;
        self.acked_next = self.hold.next();
        self.acked_bytes = 0;
        self.actions.push_back(Action::Ack(Ack {
            ring: self.ring,
            name: self.settings.name.clone(),
            instance: self.settings.instance,
            next: self.hold.sequence(self.hold.next()),
            lost: self.counts.lost,
        }));
    }

    fn ack_at(&self) -> Moment {
        let every = match self.required {
            true if self.acked_next != self.hold.next() => SOON,
            true => REGULARLY,
            false => SELDOM,
        };
        self.acked + every
    }

    fn ask_at(&self) -> Moment {
        let silent = self.heard.max(self.asked) + self.settings.silence;
        silent.min(self.asked + RENEWED)
    }

    /// When to ask for what is missing: not while much waits to be written, or one is under way.
    fn fetch_at(&self) -> Option<Moment> {
        let (_, since) = self.hole?;
        let busy = self.fetch.is_some() || self.hold.ready() > self.settings.window / 2;
        (!busy).then(|| (since + self.settings.patience).max(self.paused_until))
    }

    /// Does what is due: acknowledgements, requests, questions.
    pub fn tick(&mut self) {
        if self.fetch.is_some_and(|fetch| fetch.until <= self.now) {
            self.fetch_over();
        }
        let hole = self.hold.hole();
        if !self.knows(hole) {
            self.hole = hole.map(|(_, end)| (end, self.now));
        }
        if let (Some((from, to)), Some(at)) = (hole, self.fetch_at()) {
            if at <= self.now {
                self.ask_for(from, to);
            }
        }
        if self.ack_at() <= self.now {
            self.ack();
        }
        if self.ask_at() <= self.now {
            self.asked = self.now;
            self.actions.push_back(Action::Ask);
        }
    }

    /// Returns `true` if the first hole is the one that was seen before, or what is left of it.
    fn knows(&self, hole: Option<(u64, u64)>) -> bool {
        match (hole, self.hole) {
            (None, None) => true,
            (Some((from, _)), Some((end, _))) => from < end,
            _ => false,
        }
    }

    fn ask_for(&mut self, from: u64, to: u64) {
        let id = self.next_fetch;
        self.next_fetch += 1;
        self.counts.fetches += 1;
        self.fetch = Some(Fetch {
            id,
            from,
            until: self.now + self.settings.timeout,
        });
        let quarter = (self.settings.window / 4).min(u64::from(ANSWER_BYTES));
        let request = Request {
            from: self.hold.sequence(from),
            to: self.hold.sequence(to),
            bytes: quarter as u32,
        };
        self.actions.push_back(Action::Fetch { id, request });
    }

    /// Returns when the next [`tick`](Self::tick) is due. A frame, and what is written, may make it earlier.
    pub fn due(&self) -> Moment {
        let mut due = self.ack_at().min(self.ask_at());
        if let Some(fetch) = &self.fetch {
            due = due.min(fetch.until);
        }
        if !self.knows(self.hold.hole()) {
            return self.now;
        }
        self.fetch_at().map_or(due, |at| due.min(at))
    }

    /// What is to be sent next.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The first sequence that was not written yet.
    pub fn next(&self) -> u64 {
        self.hold.sequence(self.hold.next())
    }

    /// The sequence behind the last one that the source is known to have sent.
    pub fn source_next(&self) -> u64 {
        self.hold.sequence(self.hold.known().max(self.hold.next()))
    }

    /// The oldest sequence that the source said it still has.
    pub fn source_oldest(&self) -> u64 {
        self.source_oldest
    }

    /// Bytes that are held.
    pub fn held(&self) -> u64 {
        self.hold.held()
    }

    /// The identity of the source's ring.
    pub fn ring(&self) -> u128 {
        self.ring
    }

    /// The epoch of the source that was written last.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// How long no frame has come.
    pub fn silent_for(&self) -> Duration {
        self.now.saturating_sub(self.heard)
    }

    /// Whether the source's ring was closed, and this one's too.
    pub fn is_closed(&self) -> bool {
        self.close_written
    }

    /// What it has seen.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

#[cfg(test)]
mod tests {
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
}
