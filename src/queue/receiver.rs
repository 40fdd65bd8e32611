//! The receiving side of a queue.
//!
//! Layer 7. A receiver holds a row of the queue, whose number is its taker number in every lane. It
//! goes through the lanes from the highest priority down, and within one priority in turn.

use super::delivery::{Delivery, Taking};
use super::error::TakeError;
use super::{Queue, PRIORITIES};
use crate::endpoint::{AttachError, ConsumerOptions, Ring};
use crate::layout::frame::WORD;
use crate::layout::lines::{Bell, RowState};
use crate::ring::lanes;
use crate::ring::take::{return_all, Taken, Taker};
use crate::ring::Corrupt;
use crate::segment::{Canary, Held, Role};
use crate::sync::Ordering::Relaxed;
use crate::wait::{bell, until, Deadline, Outcome, Pace, Read, Waited, Waker};
use std::marker::PhantomData;

/// Takes messages out of a queue.
///
/// # Guarantees
/// - Whatever it gets, nobody else has, until it is acknowledged or given back.
/// - Messages are read in place; the bytes stay as they are for as long as it has them.
/// - Receiving makes no system call unless it sleeps.
///
/// # What others may change meanwhile
/// Other receivers may take a message that was there a moment ago.
#[derive(Debug)]
pub struct Receiver {
    /// By priority, highest first.
    groups: Vec<Group>,
    version: u64,
    pub(super) row: u32,
    pace: Pace,
    /// What it finished, of all lanes.
    read: Read,
    canary: Canary,
    pub(super) queue: Queue,
    options: ConsumerOptions,
    slept: bool,
    /// What the delivery that is out is about.
    pub(super) found: Found,
    /// Freed last.
    held: Option<Held>,
    one_thread: PhantomData<std::cell::Cell<()>>,
}

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
    space: Waker,
    _ring: Ring,
}

/// Where a message was found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    pub(super) group: usize,
    pub(super) lane: usize,
    pub(super) taken: Taken,
}

impl Receiver {
    pub(super) fn attach(queue: &Queue, options: ConsumerOptions) -> Result<Self, AttachError> {
        queue.ring.undisturbed()?;
        let (row, held) = queue.ring.acquire_row()?;
        let memory = queue.ring.segment().reader();
        let parks = options.strategy.parks();
        if let Some(row) = memory.row(row) {
            row.pid.store(std::process::id(), Relaxed);
            row.may_park.store(u32::from(parks), Relaxed);
            row.state.store(RowState::Consumer as u32, Relaxed);
        }
        if let (true, Some(control)) = (parks, memory.control()) {
            bell::allow(&control.data);
        }
        let mut receiver = Self {
            groups: Vec::new(),
            version: 0,
            row,
            // One lane's capacity stands for all.
            pace: Pace::new(
                options.keep_distance,
                u64::from(queue.depth()) * 64,
                Read::default(),
                false,
            ),
            read: Read::default(),
            canary: queue.ring.canary(),
            queue: queue.clone(),
            options,
            slept: false,
            found: Found::default(),
            held: Some(held),
            one_thread: PhantomData,
        };
        receiver.refresh().map_err(|error| match error {
            TakeError::Open(error) => AttachError::from(error),
            TakeError::Corrupt(corrupt) => AttachError::Corrupt(corrupt),
            _ => AttachError::Forked,
        })?;
        // Whoever had the row before may have died holding something.
        receiver.return_what_is_held_by(row);
        receiver.sweep();
        Ok(receiver)
    }

    /// Waits for a message and takes it.
    ///
    /// # Errors
    /// [`TakeError`], but neither `Empty` nor `TimedOut`.
    #[inline(always)]
    pub fn receive(&mut self) -> Result<Delivery<'_>, TakeError> {
        self.receive_until(Deadline::NEVER)
    }

    /// As [`receive`](Self::receive), until a deadline.
    ///
    /// # Errors
    /// As [`receive`](Self::receive), and [`TakeError::TimedOut`].
    #[inline(always)]
    pub fn receive_until(
        &mut self,
        deadline: impl Into<Deadline>,
    ) -> Result<Delivery<'_>, TakeError> {
        if !self.take_at_once() {
            self.wait_for_next(deadline.into())?;
        }
        Ok(Delivery::new(self))
    }

    /// Takes a message if there is one.
    ///
    /// # Errors
    /// [`TakeError::Empty`].
    #[inline(always)]
    pub fn try_receive(&mut self) -> Result<Delivery<'_>, TakeError> {
        if !self.take_at_once() {
            self.look_again()?;
        }
        Ok(Delivery::new(self))
    }

    /// Takes the first message that is wanted; those before it are done with.
    pub(crate) fn take_wanted(
        &mut self,
        deadline: Deadline,
        mut wanted: impl FnMut(&[u8]) -> bool,
    ) -> Result<Taking, TakeError> {
        loop {
            if !self.take_at_once() {
                self.wait_for_next(deadline)?;
            }
            let delivery = Delivery::new(self);
            if wanted(&delivery) {
                return Ok(delivery.keep());
            }
            delivery.ack();
        }
    }

    /// The message that was taken last.
    pub(crate) fn taken(&mut self, _: Taking) -> Delivery<'_> {
        Delivery::new(self)
    }

    #[inline(never)]
    fn look_again(&mut self) -> Result<(), TakeError> {
        if self.poll()? {
            return Ok(());
        }
        self.pace.empty(self.read);
        Err(TakeError::Empty)
    }

    /// Waits until there may be a message, without taking it. What is there then may be gone a
    /// moment later, if there are other receivers.
    ///
    /// # Errors
    /// [`TakeError::TimedOut`].
    pub fn wait_until(&mut self, deadline: impl Into<Deadline>) -> Result<(), TakeError> {
        match self.wait(deadline.into()) {
            Outcome::TimedOut => Err(TakeError::TimedOut),
            Outcome::Gone => Err(TakeError::Poisoned),
            Outcome::Ready | Outcome::Over => Ok(()),
        }
    }

    /// The row this receiver holds, as [`SendError::Full`](crate::SendError::Full) names it.
    pub fn row(&self) -> u32 {
        self.row
    }

    /// Takes a message if there is one and nothing needs a closer look.
    #[inline(always)]
    fn take_at_once(&mut self) -> bool {
        !self.canary.disturbed()
            && lanes::version(self.queue.ring.segment().reader()) == self.version
            && self.search() == Ok(true)
    }

    /// Takes a message if there is one.
    fn poll(&mut self) -> Result<bool, TakeError> {
        if self.canary.disturbed() {
            self.look_into_it()?;
        }
        if lanes::version(self.queue.ring.segment().reader()) != self.version {
            self.refresh()?;
        }
        Ok(self.search()?)
    }

    /// Goes through the lanes. What it takes is in `found`, not returned, so that nothing is copied
    /// about.
    #[inline(always)]
    fn search(&mut self) -> Result<bool, Corrupt> {
        for (at, group) in self.groups.iter_mut().enumerate() {
            for _ in 0..group.lanes.len() {
                let lane = group.turn;
                group.turn += 1;
                if group.turn == group.lanes.len() {
                    group.turn = 0;
                }
                if let Some(taken) = group.lanes[lane].taker.try_take()? {
                    self.found.group = at;
                    self.found.lane = lane;
                    self.found.taken = taken;
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    #[cold]
    fn look_into_it(&self) -> Result<(), TakeError> {
        if self.canary.forked() {
            Err(TakeError::Forked)
        } else if self.queue.ring.is_poisoned() || self.lanes().any(|lane| lane._ring.is_poisoned())
        {
            Err(TakeError::Poisoned)
        } else {
            Ok(())
        }
    }

    fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.groups.iter().flat_map(|group| &group.lanes)
    }

    /// Opens lanes that were added.
    #[cold]
    fn refresh(&mut self) -> Result<(), TakeError> {
        let memory = self.queue.ring.segment().reader().clone();
        let version = lanes::version_before(&memory);
        for (number, priority) in lanes::listed(&memory) {
            if self.lanes().any(|lane| lane.number == number) {
                continue;
            }
            let ring = self.queue.open_lane(number)?;
            let taker = Taker::attach(ring.segment().reader(), self.row)?;
            let lane = Lane {
                number,
                taker,
                space: Waker::default(),
                _ring: ring,
            };
            match self.groups.iter_mut().find(|g| g.priority == priority) {
                Some(group) => group.lanes.push(lane),
                None => self.groups.push(Group {
                    lanes: vec![lane],
                    turn: 0,
                    priority,
                }),
            }
        }
        self.groups.sort_by_key(|group| PRIORITIES - group.priority);
        self.version = version;
        Ok(())
    }

    /// Returns what receivers hold that are no longer alive.
    fn sweep(&mut self) {
        if lanes::version(self.queue.ring.segment().reader()) != self.version {
            // A lane that cannot be opened is reported by the next receive.
            let _ = self.refresh();
        }
        let dead =
            |row: &u32| *row != self.row && self.queue.ring.is_held(Role::Row(*row)) == Some(false);
        let rows: Vec<u32> = self.queue.ring.taken_rows().filter(dead).collect();
        for row in rows {
            // Nobody can take the row while its leftovers are being returned.
            if let Ok(Some(_held)) = self.queue.ring.acquire(Role::Row(row)) {
                self.return_what_is_held_by(row);
                if let Some(row) = self.queue.ring.segment().reader().row(row) {
                    row.state.store(RowState::Free as u32, Relaxed);
                }
            }
        }
    }

    fn return_what_is_held_by(&self, row: u32) {
        let returned: u32 = self
            .lanes()
            .map(|lane| return_all(lane.taker.memory(), row))
            .sum();
        if returned > 0 {
            self.wake_receivers();
        }
    }

    pub(super) fn wake_receivers(&self) {
        if let Some(control) = self.queue.ring.segment().reader().control() {
            bell::ring_now(&control.data);
        }
    }

    #[inline(never)]
    fn wait_for_next(&mut self, deadline: Deadline) -> Result<(), TakeError> {
        if self.poll()? {
            return Ok(());
        }
        self.pace.empty(self.read);
        loop {
            let outcome = self.wait(deadline);
            if self.poll()? {
                return Ok(());
            }
            match outcome {
                Outcome::TimedOut => return Err(TakeError::TimedOut),
                Outcome::Gone => return Err(TakeError::Poisoned),
                Outcome::Ready | Outcome::Over => crate::sync::spin_hint(),
            }
        }
    }

    fn wait(&mut self, deadline: Deadline) -> Outcome {
        let memory = self.queue.ring.segment().reader().clone();
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

    pub(super) fn priority(&self) -> u8 {
        self.groups[self.found.group].priority
    }

    /// The message is done: its space may be used.
    #[inline(always)]
    pub(super) fn finish(&mut self) {
        let found = &self.found;
        let lane = &mut self.groups[found.group].lanes[found.lane];
        lane.taker.finish(found.taken);
        if let Some(control) = lane.taker.memory().control() {
            lane.space.ring(&control.space);
        }
        self.read.messages += 1;
        self.read.bytes += u64::from(found.taken.len) + WORD;
        if self.pace.is_due(self.read.bytes) {
            let ahead = lane.taker.lag();
            self.pace.look(self.read, ahead);
        }
    }
}

impl Waited for Receiver {
    fn ready(&mut self) -> bool {
        self.lanes().any(|lane| lane.taker.ready())
            || lanes::version(self.queue.ring.segment().reader()) != self.version
    }

    fn over(&mut self) -> bool {
        false
    }

    fn gone(&mut self) -> bool {
        self.sweep();
        self.queue.ring.is_poisoned()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if self.canary.forked() {
            return;
        }
        let memory = self.queue.ring.segment().reader();
        if let Some(row) = memory.row(self.row) {
            row.state.store(RowState::Free as u32, Relaxed);
        }
        if let (true, Some(control)) = (self.options.strategy.parks(), memory.control()) {
            bell::quiet(&control.data, || self.queue.ring.anyone_may_park());
        }
        self.held = None;
    }
}
