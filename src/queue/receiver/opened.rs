//! Which lanes a receiver has open, and what becomes of the others: those that were added, removed, damaged, or
//! whose receivers have died.
//!
//! Layer 7.

use super::{Group, Lane, Receiver, KEPT};
use crate::queue::error::TakeError;
use crate::queue::PRIORITIES;
use crate::ring::lanes;
use crate::ring::take::{return_all, Taker, Watch};
use crate::segment::OpenError;
use crate::wait::Waker;
use std::collections::BTreeMap;

impl Receiver {
    /// Goes on without a lane, and reports why once.
    #[cold]
    pub(super) fn set_aside(&mut self, group: usize, lane: usize, why: TakeError) {
        let group = &mut self.groups[group];
        self.damaged.insert(group.lanes.remove(lane).number);
        group.turn = 0;
        self.groups.retain(|group| !group.lanes.is_empty());
        self.report(why);
    }

    /// Has the next call report this, if it has nothing else to report.
    pub(super) fn report(&mut self, why: TakeError) {
        self.report.get_or_insert(why);
        self.leave_the_short_way();
    }

    /// The short way is for receivers that know the list.
    fn leave_the_short_way(&mut self) {
        let version = lanes::version(self.queue.attachment.segment().reader());
        self.version = version.wrapping_sub(1);
    }

    /// Sets aside lanes of which this is true.
    pub(super) fn set_aside_if(
        &mut self,
        is_bad: impl Fn(&Lane) -> bool,
        why: impl Fn() -> TakeError,
    ) -> bool {
        let mut any = false;
        while let Some((group, lane)) = self.find_lane(&is_bad) {
            self.set_aside(group, lane, why());
            any = true;
        }
        any
    }

    fn find_lane(&self, is_it: impl Fn(&Lane) -> bool) -> Option<(usize, usize)> {
        let groups = self.groups.iter().enumerate();
        let mut found = groups.map(|(at, group)| (at, group.lanes.iter().position(&is_it)));
        found.find_map(|(group, lane)| Some((group, lane?)))
    }

    pub(super) fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.groups.iter().flat_map(|group| &group.lanes)
    }

    /// Opens lanes that were added, and those that could not be opened before, and closes those that are no
    /// longer listed. One that cannot be opened is reported once and stops no other.
    #[cold]
    pub(crate) fn refresh(&mut self) {
        let memory = self.queue.attachment.segment().reader().clone();
        self.version = lanes::version_before(&memory);
        let mut wanted: BTreeMap<u32, u8> = lanes::listed(&memory).collect();
        let mut moved = Vec::new();
        for group in &mut self.groups {
            group.turn = 0;
            let changed = |lane: &mut Lane| wanted.get(&lane.number) != Some(&group.priority);
            moved.extend(group.lanes.extract_if(.., changed));
        }
        self.groups.retain(|group| !group.lanes.is_empty());
        for lane in moved {
            if let Some(priority) = wanted.get(&lane.number) {
                self.insert(lane, *priority);
            }
        }
        wanted.retain(|number, _| !self.lanes().any(|lane| lane.number == *number));
        self.unopened.retain(|number| wanted.contains_key(number));
        for (number, priority) in wanted {
            if self.damaged.contains(&number) {
                continue;
            }
            match self.open(number) {
                Ok(lane) => {
                    self.unopened.remove(&number);
                    lane.into_iter()
                        .for_each(|lane| self.insert(lane, priority));
                }
                // The wait, which asks, says that the queue was removed.
                Err(_) if self.queue.is_removed() => {}
                Err(error) => {
                    if self.unopened.insert(number) {
                        let unnamed = self.queue.attachment.is_unnamed();
                        self.report(if unnamed { TakeError::Removed } else { error });
                    }
                }
            }
        }
        if self.report.is_some() {
            self.leave_the_short_way();
        }
    }

    /// Opens a lane, of which only the memory is kept: it costs no descriptor. `None` if there are many and
    /// no receiver needed it.
    fn open(&self, number: u32) -> Result<Option<Lane>, TakeError> {
        let attachment = self.queue.open_lane(number)?;
        if self.lanes().count() >= KEPT && self.queue.retire_lane(number, &attachment) {
            return Ok(None);
        }
        let taker = Taker::attach(attachment.segment().reader(), self.lease.row())?;
        Ok(Some(Lane {
            number,
            watch: Watch::new(&taker),
            taker,
            space: Waker::default(),
            foreign: attachment.segment().must_copy(),
            flushed: 0,
        }))
    }

    /// Looks at one of the lanes, another one each time: whether its files are still whole, and, if there
    /// are many, whether it is needed.
    pub(super) fn look_after_a_lane(&mut self) {
        let count = self.lanes().count();
        self.looked = self.looked.wrapping_add(1);
        let Some(number) = self
            .lanes()
            .nth(self.looked % count.max(1))
            .map(|lane| lane.number)
        else {
            return;
        };
        match self.queue.look_at_lane(number) {
            Ok(attachment) if count > KEPT => {
                self.queue.retire_lane(number, &attachment);
            }
            Err(OpenError::Truncated { .. }) => {
                self.set_aside_if(|lane| lane.number == number, || TakeError::Poisoned);
            }
            // What cannot be opened now is mapped all the same.
            Ok(_) | Err(_) => {}
        }
    }

    fn insert(&mut self, lane: Lane, priority: u8) {
        self.copies |= lane.foreign;
        match self.groups.iter_mut().find(|g| g.priority == priority) {
            Some(group) => group.lanes.push(lane),
            None => self.groups.push(Group {
                lanes: vec![lane],
                turn: 0,
                priority,
            }),
        }
        self.groups.sort_by_key(|group| PRIORITIES - group.priority);
    }

    /// Returns what receivers hold that are no longer alive.
    pub(super) fn sweep(&mut self) {
        let version = lanes::version(self.queue.attachment.segment().reader());
        if version != self.version || !self.unopened.is_empty() {
            // A lane that cannot be opened is reported by the next receive.
            self.refresh();
        }
        // No process can take a row while its leftovers are being returned.
        self.queue
            .attachment
            .free_dead_rows(self.lease.row(), |row| self.return_what_is_held_by(row));
    }

    pub(super) fn return_what_is_held_by(&self, row: u32) {
        let returned: u32 = self
            .lanes()
            .map(|lane| return_all(lane.taker.memory(), row))
            .sum();
        if returned > 0 {
            self.wake_receivers();
        }
    }
}
