//! One side of a pact between two processes: its ownership, waiting for the other side, and noticing its
//! end.
//!
//! Layer 5. The pact itself is `ring::pact`. A side is owned by holding its lock, so the other side notices
//! a death as it notices a departure, only later.

use crate::attach::{AttachError, Attachment};
use crate::layout::lines::Bell;
use crate::ring::pact::{Pact, Progress, Side};
use crate::segment::{Held, Role, Trouble};
use crate::wait::{bell, until, Again, Deadline, Outcome, Strategy, Waited};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// For how long a dying process may be found to have locks once it has lost one; far longer than it takes in practice.
const LAST_BREATH: Duration = Duration::from_secs(1);

/// The most that passes between two tries, as far as it counts. A caller that did other things for longer, or was stopped,
/// does not know what the dying process did meanwhile.
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// The most turns of a handshake: more than two sides that follow the protocol need, even if one is
/// replaced meanwhile.
const FEW_TURNS: u32 = 16;

/// Attaches the owner of a side to its rings. The last owner may still be dying: the kernel releases the locks of a process one
/// after the other, the side's first. What is attached once and kept is attached before what is attached anew each time.
#[derive(Debug, Default)]
pub(crate) struct Heir {
    /// When it was refused last.
    refused: Option<Instant>,
    /// For how long it has been refused.
    tried: Duration,
}

impl Heir {
    /// Attaches; `None` while the last owner may still let go of what it had.
    ///
    /// # Errors
    /// The error of `attach`, if it has another cause or lasts too long.
    pub(crate) fn attach<T>(
        &mut self,
        attach: impl FnOnce() -> Result<T, AttachError>,
    ) -> Result<Option<T>, AttachError> {
        let attached = attach();
        if let Err(AttachError::AlreadyOwned { .. } | AttachError::NoRow { .. }) = attached {
            let now = Instant::now();
            if let Some(before) = self.refused.replace(now) {
                self.tried += now.duration_since(before).min(BETWEEN_TRIES);
            }
            if self.tried < LAST_BREATH {
                return Ok(None);
            }
        }
        *self = Self::default();
        attached.map(Some)
    }
}

/// A side of a pact that this process owns.
#[derive(Debug)]
pub(crate) struct Meeting {
    pact: Pact,
    side: Side,
    ring: Attachment,
    slept: bool,
    heir: Heir,
    /// Whether the last [`try_meet`](Self::try_meet) found something that a dying process still has.
    held_up: bool,
    /// Freed last.
    tenure: Mutex<Tenure>,
}

/// What makes this process the owner of a side.
#[derive(Debug)]
enum Tenure {
    /// A lock that only this process holds.
    Own { _held: Held },
    /// A lock that is passed on with its descriptor, for example to a child.
    Descriptor(OwnedFd),
    /// The descriptor was handed on: this process owns nothing any more.
    HandedOn,
}

/// How waiting for the other side ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// Both have agreed.
    Yes,
    /// The other side did not come until the deadline.
    TimedOut,
    /// Something happened to the files.
    Trouble(Trouble),
}

const fn role(side: Side) -> Role {
    match side {
        Side::First => Role::End(0),
        Side::Second => Role::End(1),
    }
}

impl Meeting {
    /// Becomes the owner of a side, in no pact yet; `None` if a live process owns it.
    pub(crate) fn begin(ring: &Attachment, side: Side) -> Result<Option<Self>, AttachError> {
        ring.undisturbed()?;
        let Some(held) = ring.acquire(role(side))? else {
            return Ok(None);
        };
        let memory = ring.segment().reader().clone();
        let meeting = Self {
            pact: Pact::begin(memory, side, std::process::id()),
            side,
            ring: ring.clone(),
            slept: false,
            heir: Heir::default(),
            held_up: false,
            tenure: Mutex::new(Tenure::Own { _held: held }),
        };
        meeting.announce();
        Ok(Some(meeting))
    }

    /// What attaches the owner of this side to its rings.
    pub(crate) fn heir(&mut self) -> &mut Heir {
        &mut self.heir
    }

    /// Both sides of a pact on a new board. Each can be handed to another process.
    pub(crate) fn both(ring: &Attachment) -> io::Result<[Self; 2]> {
        let locks = ring.segment().locks();
        let locks = locks.ok_or(io::ErrorKind::PermissionDenied)?;
        Pact::make(ring.segment().reader());
        let side = |side| -> io::Result<Self> {
            let tenure = locks.acquire_as_descriptor(role(side))?;
            let tenure = tenure.ok_or(io::ErrorKind::AlreadyExists)?;
            Ok(Self::handed_over(ring, side, tenure))
        };
        Ok([side(Side::First)?, side(Side::Second)?])
    }

    /// A side whose descriptor came from another process.
    pub(crate) fn handed_over(ring: &Attachment, side: Side, tenure: OwnedFd) -> Self {
        Self {
            pact: Pact::made(ring.segment().reader().clone(), side),
            side,
            ring: ring.clone(),
            slept: false,
            heir: Heir::default(),
            held_up: false,
            tenure: Mutex::new(Tenure::Descriptor(tenure)),
        }
    }

    /// The descriptor that makes its holder the owner of this side; `None` if the side cannot be
    /// handed on, and is as it was. This process owns it no longer.
    pub(crate) fn hand_on(&self) -> Option<OwnedFd> {
        let mut kept = self.tenure.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *kept, Tenure::HandedOn) {
            Tenure::Descriptor(tenure) => Some(tenure),
            own => {
                *kept = own;
                None
            }
        }
    }

    /// Which side this is.
    pub(crate) fn side(&self) -> Side {
        self.side
    }

    /// The process that owns a side, if a live one does. `None` in a forked child.
    pub(crate) fn owner(ring: &Attachment, side: Side) -> Option<u32> {
        if ring.canary().forked() {
            return None;
        }
        let held = ring.is_held(role(side)) != Some(false);
        held.then(|| Pact::pid(ring.segment().reader(), side))
    }

    /// The processes that own the two sides, if live ones do.
    pub(crate) fn owners(ring: &Attachment) -> [Option<u32>; 2] {
        [Side::First, Side::Second].map(|side| Self::owner(ring, side))
    }

    /// The ring on whose board the pact is.
    pub(crate) fn ring(&self) -> &Attachment {
        &self.ring
    }

    /// The progress of the handshake. This side may begin anew in it, which the other side may wait for.
    fn look(&mut self) -> Progress {
        let token = self.pact.token();
        let progress = self.pact.progress();
        if self.pact.token() != token {
            self.announce();
        }
        progress
    }

    /// Waits until both sides have agreed. Each time the other side offers a pact, `get_ready` attaches
    /// this one to its messages, or returns `false` if it has to be asked again.
    pub(crate) fn meet<E>(
        &mut self,
        strategy: Strategy,
        deadline: Deadline,
        mut get_ready: impl FnMut(&mut Heir) -> Result<bool, E>,
    ) -> Result<Met, E> {
        let memory = self.ring.segment().reader().clone();
        let bell: Option<&Bell> = memory.control().map(|control| &control.data);
        let mut again = Again::default();
        let mut turns = 0;
        loop {
            let before = self.look();
            turns = u32::min(turns + 1, FEW_TURNS + 1);
            if turns > FEW_TURNS && before != Progress::Agreed {
                // The other side changes its word at every turn, or a process dies slowly.
                let mut change = Change {
                    meeting: self,
                    before,
                };
                match again.ends(&mut change, deadline) {
                    Some(Outcome::Gone) => return Ok(Met::Trouble(self.ring.trouble_found())),
                    Some(_) => return Ok(Met::TimedOut),
                    None => {}
                }
            }
            match before {
                Progress::Agreed => return Ok(Met::Yes),
                Progress::Offered => match get_ready(&mut self.heir)? {
                    true => self.agree(),
                    false => std::thread::yield_now(),
                },
                Progress::Alone | Progress::Waiting => {
                    // A side that changes the pact always rings, so sleepers need not announce themselves
                    // here.
                    let mut slept = self.slept;
                    let mut change = Change {
                        meeting: self,
                        before,
                    };
                    let outcome = until(&mut change, strategy, bell, deadline, &mut slept);
                    self.slept = slept;
                    match outcome {
                        Outcome::TimedOut => return Ok(Met::TimedOut),
                        Outcome::Gone => return Ok(Met::Trouble(self.ring.trouble_found())),
                        Outcome::Ready | Outcome::Over => {}
                    }
                }
            }
        }
    }

    /// As [`meet`](Self::meet), without waiting: `None` if the other side has something to do first, and rings the bell of data
    /// then, or if a process is dying slowly.
    pub(crate) fn try_meet<E>(
        &mut self,
        mut get_ready: impl FnMut(&mut Heir) -> Result<bool, E>,
    ) -> Result<Option<Met>, E> {
        let before = std::mem::take(&mut self.held_up);
        for _ in 0..FEW_TURNS {
            match self.look() {
                Progress::Agreed => return Ok(Some(Met::Yes)),
                Progress::Offered => match get_ready(&mut self.heir)? {
                    true => self.agree(),
                    false => {
                        self.held_up = true;
                        if !before {
                            // A caller that was about to sleep for long learns that it has to come back soon.
                            self.announce();
                        }
                        return Ok(None);
                    }
                },
                Progress::Alone | Progress::Waiting => {
                    return Ok(self.ring.trouble().map(Met::Trouble));
                }
            }
        }
        // The other side changes its word at every turn: the caller has others to look at, too.
        Ok(None)
    }

    /// Returns `true` if [`try_meet`](Self::try_meet) would do something. Loads, unless this side has to begin anew.
    pub(crate) fn has_to_act(&mut self) -> bool {
        match self.look() {
            Progress::Agreed => true,
            Progress::Offered => !self.held_up,
            Progress::Alone | Progress::Waiting => false,
        }
    }

    /// Returns `true` if [`try_meet`](Self::try_meet) has to be called again soon without a cause.
    pub(crate) fn held_up(&self) -> bool {
        self.held_up
    }

    fn agree(&mut self) {
        if self.pact.agree() {
            self.announce();
        }
    }

    /// Returns `true` if the other side has left the pact or begun anew. One load. What it sent before is
    /// visible.
    #[inline(always)]
    pub(crate) fn broken(&self) -> bool {
        self.pact.broken()
    }

    /// Returns `true` if the other side has left the pact, or is dead. A system call.
    #[cold]
    pub(crate) fn gone(&self) -> bool {
        self.broken() || self.ring.is_held(role(self.side.other())) == Some(false)
    }

    /// What the other side says now; see [`Pact::others_word`].
    pub(crate) fn others_word(&self) -> u64 {
        self.pact.others_word()
    }

    /// Returns `true` if this process is a fork of the one that owns the side, which may not touch the
    /// pact.
    #[inline(always)]
    pub(crate) fn forked(&self) -> bool {
        self.ring.canary().forked()
    }

    /// The process on the other side, for display; 0 in a forked child.
    pub(crate) fn other_pid(&self) -> u32 {
        if self.forked() {
            return 0;
        }
        Pact::pid(self.ring.segment().reader(), self.side.other())
    }

    /// Leaves the pact, to enter another.
    pub(crate) fn restart(&mut self) {
        self.pact.restart();
        self.announce();
    }

    /// Wakes a process that waits for this side's word to change.
    fn announce(&self) {
        if let Some(control) = self.ring.segment().reader().control() {
            bell::ring_now(&control.data);
            bell::ring_now(&control.space);
        }
    }
}

impl Drop for Meeting {
    fn drop(&mut self) {
        let tenure = self
            .tenure
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let handed_on = matches!(tenure, Tenure::HandedOn);
        if !handed_on && !self.forked() {
            self.restart();
        }
    }
}

/// Waiting for the other side's word to change.
struct Change<'m> {
    meeting: &'m mut Meeting,
    before: Progress,
}

impl Waited for Change<'_> {
    fn ready(&mut self) -> bool {
        self.meeting.look() != self.before
    }

    fn over(&mut self) -> bool {
        false
    }

    fn gone(&mut self) -> bool {
        self.meeting.ring.trouble().is_some()
    }
}
