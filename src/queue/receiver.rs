//! The receiving side of a queue.
//!
//! Layer 7. A receiver holds a row of the queue, whose number is its taker number in every lane. It
//! goes through the lanes from the highest priority down, and within one priority in turn.

mod expiry;
mod noted;
mod opened;
mod ready;
mod rounds;

use super::error::{AckError, TakeError};
use super::found::{First, Found};
use super::Queue;
use super::ReceiverOptions;
use crate::attach::{shown, Lease};
use crate::endpoint::AttachError;
use crate::layout::frame::WORD;
use crate::layout::lines::{Bell, RowState};
use crate::read::{Progress, ReadControl, ReadPolicy};
use crate::ring::lanes;
use crate::ring::take::{Taker, Watch};
use crate::ring::Corrupt;
use crate::segment::{can_flush, Canary, Trouble};
use crate::wait::{bell, until, Deadline, Outcome, Since, Waited, Waker};
use noted::Expiry;
use rounds::Rounds;
use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::ops::Range;
use std::time::Instant;

/// Takes messages out of a queue.
///
/// # Guarantees
/// - A message that it gets is with no other receiver until it is acknowledged or given back.
/// - Messages are read in place; the bytes stay as they are for as long as it has them. Those of another
///   user's queue ([`trust_owner`](crate::place::trust_owner)), and of a queue with a
///   [lease](crate::queue::QueueBuilder::lease), are copied to private memory first.
/// - In a queue with a lease it returns what other receivers have held for longer, whether it waits, polls or
///   always finds a message.
/// - What a receiver that died held goes back to the queue within 100 ms if another one waits, and within 750 ms, or
///   messages of 4 KiB, if that always finds a message.
/// - Receiving makes no system call unless it sleeps, or looks after the dead: every 10 ms if it polls, and every 500 if it
///   always finds a message.
///
/// # What others may change meanwhile
/// Other receivers may take a message that was there a moment ago.
pub struct Receiver {
    /// Its row, left before its lanes are unmapped.
    pub(super) lease: Lease,
    /// By priority, highest first.
    groups: Vec<Group>,
    version: u64,
    /// Lanes that are damaged, and lanes that could not be opened yet. Each is reported once, and stops no
    /// other.
    damaged: BTreeSet<u32>,
    unopened: BTreeSet<u32>,
    report: Option<TakeError>,
    /// Which lane was looked after last.
    looked: usize,
    pub(super) reading: ReadControl,
    /// What it finished, of all lanes.
    read: Progress,
    canary: Canary,
    pub(super) queue: Queue,
    options: ReceiverOptions,
    slept: bool,
    /// What the delivery that is out is about.
    pub(super) found: Found,
    /// What the next call does first.
    first: First,
    /// When it last looked for what the dead hold.
    asked: Since,
    /// For one that always finds a message, and gives each back or has a lease.
    busy: Since,
    /// For one that always finds a message.
    rounds: Rounds,
    /// Whether messages are copied before they are lent: another user may write a lane, or the lease may end.
    pub(super) copies: bool,
    /// What others hold, in a queue with a lease.
    expiry: Option<Box<Expiry>>,
    /// Bytes read from which on the end of a message takes the slow way: as [`ReadControl`] or [`Rounds`] say, and always
    /// in a queue with a lease.
    slow_at: u64,
    private: Vec<u64>,
    one_thread: PhantomData<std::cell::Cell<()>>,
}

shown!([] Receiver, "Receiver", |receiver| path = receiver.queue.path(), row = receiver.lease.row());

/// The lanes of one priority.
#[derive(Debug)]
struct Group {
    lanes: Vec<Lane>,
    /// Which is asked first.
    turn: usize,
    priority: u8,
}

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) number: u32,
    pub(super) taker: Taker,
    watch: Watch,
    space: Waker,
    /// Whether another user may write it.
    foreign: bool,
    /// Everything before was flushed, or will not be.
    flushed: u64,
}

/// As many lanes are kept open though they are empty and have no owner: a sender that comes back finds its
/// receivers ready.
const KEPT: usize = 16;
/// After how many turns in a row that found nothing a lane that is still a lap behind counts as damaged.
const FRUITLESS: u32 = 1000;

/// Whether a lane says that a whole lap went by unseen. Of a sound one that is true for no longer than a
/// search takes.
fn is_overtaken(lane: &Lane) -> bool {
    lane.taker.lag() > lane.taker.memory().geometry().capacity
}

/// The capacity of which the lag may be a part: of one lane, which stands for all. Under `Auto` as if each
/// message were a line long: staying 64 large messages behind took a quarter to a third longer than reading at the
/// head (4 and 16 KiB, near).
fn lag_room(queue: &Queue, policy: ReadPolicy) -> u64 {
    match policy {
        ReadPolicy::Auto => u64::from(queue.depth()) * 64,
        _ => queue.lane_capacity(),
    }
}

impl Lane {
    /// Wakes its sender: there is room now.
    #[inline(always)]
    fn ring_for_space(&mut self) {
        if let Some(control) = self.taker.memory().control() {
            self.space.ring(&control.space);
        }
    }
}

impl Receiver {
    pub(super) fn attach(queue: &Queue, options: ReceiverOptions) -> Result<Self, AttachError> {
        queue.attachment.undisturbed()?;
        let mut lease = Lease::take(&queue.attachment)?;
        let row = lease.row();
        lease.begin(RowState::Consumer, options.strategy.parks());
        let mut receiver = Self {
            lease,
            groups: Vec::new(),
            version: 0,
            damaged: BTreeSet::new(),
            unopened: BTreeSet::new(),
            report: None,
            looked: 0,
            reading: ReadControl::new(
                options.read_policy,
                lag_room(queue, options.read_policy),
                Progress::default(),
                // A trial takes four laps of a lane, which has not been shown to pay here.
                can_flush() && options.read_policy != ReadPolicy::Auto,
            ),
            read: Progress::default(),
            canary: queue.attachment.canary(),
            queue: queue.clone(),
            options,
            slept: false,
            found: Found::default(),
            first: First::Nothing,
            asked: Since::default(),
            busy: Since::default(),
            rounds: Rounds::new(Instant::now()),
            copies: queue.lease().is_some(),
            expiry: queue.lease().map(Expiry::new).map(Box::new),
            slow_at: 0,
            private: Vec::new(),
            one_thread: PhantomData,
        };
        receiver.first = receiver.nothing_first();
        receiver.note_next_look();
        receiver.refresh();
        // The process that had the row before may have died holding something.
        receiver.return_what_is_held_by(row);
        receiver.sweep();
        Ok(receiver)
    }

    #[inline(never)]
    pub(super) fn look_again(&mut self) -> Result<(), TakeError> {
        if self.first == First::Pause {
            self.first = self.nothing_first();
        }
        if self.poll()? || self.look_after_the_dead()? {
            return Ok(());
        }
        self.reading.empty_without_pause(self.read);
        Err(TakeError::Empty)
    }

    /// Waits until there may be a message, without taking it. What is there then may be gone a
    /// moment later, if there are other receivers.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn wait(&mut self) -> Result<(), TakeError> {
        self.wait_until(Deadline::NEVER)
    }

    /// Like [`wait`](Self::wait), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and [`TakeError::TimedOut`].
    pub fn wait_until(&mut self, deadline: impl Into<Deadline>) -> Result<(), TakeError> {
        if self.canary.disturbed() {
            self.look_into_it()?;
        }
        match self.wait_for_any(deadline.into()) {
            // Many short waits learn of it, and get back what the dead held, as one long wait does.
            Outcome::TimedOut if self.asked.due() => match self.gone() {
                true => Err(self.queue.attachment.trouble_found().into()),
                false if self.ready() => Ok(()),
                false => Err(TakeError::TimedOut),
            },
            Outcome::TimedOut => Err(TakeError::TimedOut),
            Outcome::Gone => Err(self.queue.attachment.trouble_found().into()),
            Outcome::Ready | Outcome::Over => Ok(()),
        }
    }

    /// The row this receiver holds, as [`SendError::Full`](crate::queue::SendError::Full) names it.
    pub fn row(&self) -> u32 {
        self.lease.row()
    }

    /// Copies the message that was taken, where another user may write it. What is looked at afterwards
    /// is the copy.
    #[inline(always)]
    pub(super) fn settle(&mut self) {
        if self.copies {
            self.copy_foreign();
        }
    }

    /// Unless it was copied when it was taken.
    #[cold]
    #[inline(never)]
    fn copy_foreign(&mut self) {
        if self.expiry.is_none() {
            self.copy();
        }
    }

    #[cold]
    #[inline(never)]
    fn copy(&mut self) {
        let taken = self.found.taken;
        let mut private = std::mem::take(&mut self.private);
        private.resize((taken.len as usize).div_ceil(WORD as usize), 0);
        let words = self.lane().taker.memory().words();
        words.copy_out(taken.payload, &mut private);
        self.private = private;
    }

    /// The first bytes of the copy.
    #[cold]
    pub(super) fn copied(&self, len: usize) -> &[u8] {
        let bytes: &[u8] = bytemuck::cast_slice(&self.private);
        bytes.get(..len).unwrap_or_default()
    }

    /// Takes a message if there is one and nothing needs a closer look.
    #[inline(always)]
    pub(super) fn take_at_once(&mut self) -> bool {
        !self.canary.disturbed()
            && self.first == First::Nothing
            && lanes::version(self.queue.attachment.segment().reader()) == self.version
            && self.search()
    }

    /// Takes a message if there is one.
    fn poll(&mut self) -> Result<bool, TakeError> {
        if self.canary.disturbed() {
            self.look_into_it()?;
        }
        if self.first == First::GiveBack {
            self.give_back();
        }
        if lanes::version(self.queue.attachment.segment().reader()) != self.version {
            self.refresh();
        }
        if self.first == First::Look {
            self.look_when_busy();
        }
        let found = match self.expiry.is_some() {
            _ if self.report.is_some() => false,
            true => self.search_and_copy(),
            false => self.search(),
        };
        if found {
            return Ok(true);
        }
        self.report.take().map_or(Ok(false), Err)
    }

    /// What a wait does now and then, for callers that never wait long enough: asks whether what others
    /// hold can come back. Whether it then took a message.
    #[inline(never)]
    fn look_after_the_dead(&mut self) -> Result<bool, TakeError> {
        if !self.asked.due() {
            return Ok(false);
        }
        let gone = self.gone();
        match self.poll()? {
            false if gone => Err(self.queue.attachment.trouble_found().into()),
            found => Ok(found),
        }
    }

    /// Goes through the lanes. What it takes is in `found`, not returned, so that nothing is copied
    /// about. A lane that turns out to be damaged is set aside.
    #[inline(always)]
    fn search(&mut self) -> bool {
        let mut damaged = None;
        'lanes: for (at, group) in self.groups.iter_mut().enumerate() {
            for _ in 0..group.lanes.len() {
                let lane = group.turn;
                group.turn += 1;
                if group.turn == group.lanes.len() {
                    group.turn = 0;
                }
                match group.lanes[lane].taker.try_take() {
                    Ok(Some(taken)) => {
                        self.found.group = at;
                        self.found.lane = lane;
                        self.found.taken = taken;
                        self.first = First::GiveBack;
                        return true;
                    }
                    Ok(None) => {}
                    Err(corrupt) => {
                        damaged = Some((at, lane, corrupt));
                        break 'lanes;
                    }
                }
            }
        }
        if let Some((group, lane, corrupt)) = damaged {
            self.set_aside(group, lane, corrupt.into());
        }
        false
    }

    #[cold]
    fn look_into_it(&mut self) -> Result<(), TakeError> {
        if self.canary.forked() {
            Err(TakeError::Forked)
        } else if self.queue.attachment.trouble() == Some(Trouble::Poisoned) {
            Err(TakeError::Poisoned)
        } else {
            self.set_aside_if(
                |lane| lane.taker.memory().poisoned(),
                || TakeError::Poisoned,
            );
            Ok(())
        }
    }

    pub(super) fn wake_receivers(&self) {
        if let Some(control) = self.queue.attachment.segment().reader().control() {
            bell::ring_now(&control.data);
        }
    }

    #[inline(never)]
    pub(super) fn wait_for_next(&mut self, deadline: Deadline) -> Result<(), TakeError> {
        if self.first == First::Pause {
            self.first = self.nothing_first();
            self.reading.pause(self.read, deadline);
        }
        if self.poll()? {
            return Ok(());
        }
        if self.reading.empty(self.read) {
            self.reading.pause(self.read, deadline);
            if self.poll()? {
                return Ok(());
            }
        }
        let mut fruitless = 0;
        loop {
            let outcome = self.wait_for_any(deadline);
            if self.poll()? {
                return Ok(());
            }
            match outcome {
                Outcome::Gone => return Err(self.queue.attachment.trouble_found().into()),
                Outcome::Ready | Outcome::Over if !deadline.passed() => {
                    // Others were faster, or a lane promises what it does not hold.
                    let stuck = self.lanes().any(is_overtaken);
                    fruitless = if stuck { fruitless + 1 } else { 0 };
                    if fruitless == FRUITLESS {
                        self.set_aside_if(is_overtaken, || Corrupt::Index.into());
                    }
                    if self.look_after_the_dead()? {
                        return Ok(());
                    }
                    crate::sync::spin_hint();
                }
                _ if self.look_after_the_dead()? => return Ok(()),
                _ => return Err(TakeError::TimedOut),
            }
        }
    }

    fn wait_for_any(&mut self, deadline: Deadline) -> Outcome {
        let memory = self.queue.attachment.segment().reader().clone();
        let bell: Option<&Bell> = memory.control().map(|control| &control.data);
        let (strategy, mut slept) = (self.options.strategy, self.slept);
        let outcome = until(self, strategy, bell, deadline, &mut slept);
        self.slept = slept;
        outcome
    }

    #[inline(always)]
    pub(super) fn lane(&self) -> &Lane {
        &self.groups[self.found.group].lanes[self.found.lane]
    }

    /// As the list says it: as long as a message of it is held the lane stays what it is, while this
    /// receiver may not know yet that the lane has changed its priority before.
    pub(super) fn priority(&self) -> u8 {
        let group = &self.groups[self.found.group];
        let number = group.lanes[self.found.lane].number;
        let said = lanes::priority(self.queue.attachment.segment().reader(), number);
        said.unwrap_or(group.priority)
    }

    /// The message goes back to the queue. A receiver that does nothing else looks after the dead too.
    #[inline(always)]
    pub(super) fn give_back(&mut self) {
        self.first = First::Look;
        // What a fork inherits is its parent's, and the memory is not there.
        if self.canary.forked() {
            return;
        }
        self.lane().taker.give_back(self.found.taken);
        self.wake_receivers();
    }

    /// The message is done: its space may be used.
    #[inline(always)]
    pub(super) fn finish(&mut self) -> Result<(), AckError> {
        self.first = First::Nothing;
        if self.canary.forked() {
            return Err(AckError::Forked);
        }
        self.read.messages += 1;
        self.read.bytes += u64::from(self.found.taken.len) + WORD;
        if self.read.bytes >= self.slow_at {
            return self.finish_slowly();
        }
        let found = &self.found;
        let lane = &mut self.groups[found.group].lanes[found.lane];
        lane.taker.finish(found.taken);
        lane.ring_for_space();
        Ok(())
    }

    fn note_next_look(&mut self) {
        self.slow_at = match self.expiry {
            Some(_) => 0,
            None => self.reading.look_at().min(self.rounds.at()),
        };
    }

    #[cold]
    #[inline(never)]
    fn look_back(&mut self) {
        let found = &self.found;
        let lane = &mut self.groups[found.group].lanes[found.lane];
        let end = found.taken.payload + u64::from(found.taken.len);
        let Lane { taker, flushed, .. } = lane;
        let flush = |what: Range<u64>| {
            if !what.is_empty() {
                taker.flush(flushed, end, what.end - what.start);
            }
        };
        // The next call learns of it without a question of its own.
        if self.reading.look(self.read, flush, || taker.lag()) {
            self.first = First::Pause;
        }
        self.note_next_look();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if self.canary.forked() {
            return;
        }
        if self.first == First::GiveBack {
            self.give_back();
        }
    }
}
