//! The receiving side: from frames, in any order, to what is written to a ring.

mod contact;
mod epochs;
mod requests;
mod says;
mod settings;

pub use says::{Action, Counts, Path, Sent, Stop, Write};
pub use settings::Settings;

use crate::ack::Ack;
use crate::frame::{Content, Frame, FrameError, Messages};
use crate::hold::{Added, Done, First, Hold};
use crate::meta::Meta;
use crate::parts::Parts;
use crate::Moment;
use contact::Contact;
use core::time::Duration;
use epochs::Epochs;
use requests::Requests;
use slipring::endpoint::Why;
use std::collections::VecDeque;

/// The receiving side of one ring.
///
/// # Guarantees
/// - What it wants written are all sequences from its start on, in order, each once: as a message, or in a gap.
/// - A message that the source has when it is asked is never part of a gap, unless its ring does not take messages of that
///   length. What is gone there becomes one, whose reason is [`Why::Lost`]; gaps of the source keep their reason.
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
    epochs: Epochs,
    source_oldest: u64,
    now: Moment,
    contact: Contact,
    requests: Requests,
    actions: VecDeque<Action>,
    counts: Counts,
}

impl Mirror {
    /// A mirror of the described ring, whose own ring's next sequence is `next`.
    pub fn new(settings: Settings, meta: &Meta, next: u64, now: Moment) -> Self {
        let window = settings.window.max(2 * u64::from(settings.longest));
        let hold = Hold::new(next, window);
        let later = hold.place(meta.epoch_first).filter(|at| *at > 0);
        let mut mirror = Self {
            hold,
            settings,
            ring: meta.ring,
            streamed: Parts::default(),
            answered: Parts::default(),
            epochs: Epochs::new(meta.epoch, later),
            source_oldest: meta.oldest,
            now,
            contact: Contact::new(meta.required, now),
            requests: Requests::new(now),
            actions: VecDeque::new(),
            counts: Counts::default(),
        };
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
        self.contact.heard(self.now);
        self.epoch_is(frame.stamp.epoch, frame.stamp.epoch_first);
        self.source_oldest = frame.stamp.oldest;
        let sent = Sent {
            first: frame.first,
            end: frame.end(),
            wall_ns: frame.stamp.wall_ns,
        };
        let complete = match frame.content {
            Content::Messages(messages) => {
                self.messages(messages);
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

    fn epoch_is(&mut self, number: u64, first: u64) {
        let at = self.hold.place(first).unwrap_or(0);
        self.epochs.heard(number, at);
    }

    /// The source has sent everything before `next`, and is closed there or not.
    fn source_is_at(&mut self, epoch: u64, next: u64, closed: bool) {
        let Some(place) = self.hold.place(next) else {
            return;
        };
        self.hold.know(place);
        if closed {
            self.epochs.closed(epoch, place);
        }
    }

    fn messages(&mut self, messages: Messages<'_>) {
        let place = self.hold.place(messages.first());
        let fit = self.settings.fit(messages.shortest(), messages.longest());
        if place.is_some_and(|place| fit && self.hold.messages(place, messages)) {
            return;
        }
        for (sequence, payload) in messages {
            self.message(sequence, payload);
        }
    }

    fn message(&mut self, sequence: u64, payload: &[u8]) {
        let Some(place) = self.hold.place(sequence) else {
            self.counts.duplicates += 1;
            return;
        };
        if !self.fits(payload.len()) {
            self.hold.gap(place, place + 1, Why::Lost);
            return;
        }
        match self.hold.message(place, payload) {
            Added::Kept => {}
            Added::Known => self.counts.duplicates += 1,
            Added::NoRoom => self.counts.unheld += 1,
        }
    }

    fn fits(&self, len: usize) -> bool {
        u32::try_from(len).is_ok_and(|len| self.settings.fit(len, len))
    }

    /// Returns `true` if its message is complete with it.
    fn part(
        &mut self,
        path: Path,
        sequence: u64,
        (offset, total): (u32, u32),
        bytes: &[u8],
    ) -> bool {
        if !self.settings.fit(total, total) {
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
        let (hold, settings) = (&self.hold, &self.settings);
        self.requests.answered(id, hold, settings, self.now);
    }

    /// Takes the source's description. That of another ring is ignored unless there was [`silence`](Settings::silence): as
    /// long as frames of this ring come, its source lives, and the other one only has its name.
    ///
    /// # Errors
    /// [`Stop`], if it says that this mirror cannot go on.
    pub fn meta(&mut self, meta: &Meta) -> Result<(), Stop> {
        if meta.ring != self.ring {
            return match self.silent_for() < self.settings.silence {
                true => Ok(()),
                false => Err(Stop::Recreated { ring: meta.ring }),
            };
        }
        if meta.taken {
            return Err(Stop::NameTaken);
        }
        self.contact.required = meta.required;
        self.source_oldest = meta.oldest;
        self.epoch_is(meta.epoch, meta.epoch_first);
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
            Some(First::Message(payload)) => Some(Write::Message {
                sequence: self.hold.sequence(next),
                payload,
            }),
            Some(First::Gap { end, why }) => {
                // An epoch that begins inside of it comes between its parts.
                let epoch = self.epochs.coming_at().unwrap_or(end);
                Some(Write::Gap {
                    end: self.hold.sequence(end.min(epoch)),
                    why,
                })
            }
            None if self.epochs.closes(next) => Some(Write::Close),
            None => None,
        }
    }

    fn takes_over(&self) -> bool {
        let held = self.hold.first().is_some();
        self.epochs.takes_over(self.hold.next(), held)
    }

    /// What [`next_write`](Self::next_write) said has been written.
    pub fn wrote(&mut self) {
        let next = self.hold.next();
        if self.takes_over() {
            self.epochs.took_over(next);
            return;
        }
        let epoch = self.epochs.coming_at();
        let mut bytes = 0;
        match self.hold.written(epoch) {
            Some(Done::Message { len }) => {
                self.counts.messages += 1;
                bytes = len;
            }
            Some(Done::Gap { end, why }) => match why {
                Why::Lost => self.counts.lost += end - next,
                _ => self.counts.skipped += end - next,
            },
            None => self.epochs.wrote_close(next),
        }
        if self.contact.wrote(bytes, self.settings.window) {
            self.ack();
        }
    }

    /// Everything that is missing counts as lost: the source is gone for good. What is then to be written ends
    /// with what it is known to have sent.
    pub fn give_up(&mut self) {
        self.hold.give_up();
    }

    fn ack(&mut self) {
        self.contact.acked(self.hold.next(), self.now);
        self.actions.push_back(Action::Ack(Ack {
            ring: self.ring,
            name: self.settings.name.clone(),
            instance: self.settings.instance,
            next: self.hold.sequence(self.hold.next()),
            lost: self.counts.lost,
        }));
    }

    /// Does what is due: acknowledgements, requests, questions.
    pub fn tick(&mut self) {
        let asks = self.requests.tick(&self.hold, &self.settings, self.now);
        if let Some((id, request)) = asks {
            self.actions.push_back(Action::Fetch { id, request });
        }
        if self.contact.ack_at(self.hold.next()) <= self.now {
            self.ack();
        }
        if self.contact.ask_at(self.settings.silence) <= self.now {
            self.contact.asked(self.now);
            self.actions.push_back(Action::Ask);
        }
    }

    /// Returns when the next [`tick`](Self::tick) is due. A frame, and what is written, may make it earlier.
    pub fn due(&self) -> Moment {
        let ack = self.contact.ack_at(self.hold.next());
        let due = ack.min(self.contact.ask_at(self.settings.silence));
        let request = self.requests.due(&self.hold, &self.settings, self.now);
        request.map_or(due, |at| due.min(at))
    }

    /// Returns `true` if something is to be sent.
    pub fn has_action(&self) -> bool {
        !self.actions.is_empty()
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
        self.epochs.written()
    }

    /// How long no frame has come.
    pub fn silent_for(&self) -> Duration {
        self.contact.silent_for(self.now)
    }

    /// Whether the source's ring was closed, and this one's too.
    pub fn is_closed(&self) -> bool {
        self.epochs.is_closed()
    }

    /// What it has seen.
    pub fn counts(&self) -> Counts {
        Counts {
            fetches: self.requests.made(),
            fetches_failed: self.requests.failed(),
            ..self.counts
        }
    }
}

#[cfg(test)]
mod tests;
