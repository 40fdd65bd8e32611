//! What a handle is to an event loop: bells, and how long it may sleep on them.
//!
//! Layer 6.

use crate::endpoint::{Inside, Producer, Sealed, Source, INSIDE};
use crate::reactor::Side;
use crate::segment::Memory;
use crate::wait::bell::LONGEST_SLEEP;
use core::time::Duration;

/// How a handle is slept for.
#[derive(Debug)]
pub struct Sleep {
    /// The bells that are rung for it.
    pub bells: Vec<(Memory, Side)>,
    /// Whether it may sleep on them; it polls otherwise.
    pub parks: bool,
    /// The longest sleep between two looks.
    pub longest: Duration,
}

impl Sleep {
    /// That of several handles.
    pub fn of_all(all: impl IntoIterator<Item = Self>) -> Self {
        let nothing = Self {
            bells: Vec::new(),
            parks: true,
            longest: LONGEST_SLEEP,
        };
        all.into_iter().fold(nothing, |mut sleep, other| {
            sleep.bells.extend(other.bells);
            sleep.parks &= other.parks;
            sleep.longest = sleep.longest.min(other.longest);
            sleep
        })
    }
}

/// A handle that an event loop can wait for: every [`Source`], which has something to read, senders, which wait for
/// room, and handles that wait for permits.
pub trait Event: Sealed {
    #[doc(hidden)]
    fn sleep(&self, asker: Inside) -> Sleep;
}

/// It may be waited for by attempts to send too.
impl<S: Source + ?Sized> Event for S {
    fn sleep(&self, asker: Inside) -> Sleep {
        let mut sleep = sleep_of_source(self);
        let room = self.room(asker);
        sleep
            .bells
            .extend(room.map(|memory| (memory.clone(), Side::Space)));
        sleep
    }
}

/// How a source is slept for that waits for something to report.
pub(super) fn sleep_of_source<S: Source + ?Sized>(source: &S) -> Sleep {
    let memories = [Some(source.memory(INSIDE)), source.also(INSIDE)];
    let bells = memories.into_iter().flatten();
    Sleep {
        bells: bells.map(|memory| (memory.clone(), Side::Data)).collect(),
        parks: source.parks(),
        longest: source.longest_sleep(INSIDE),
    }
}

impl Event for Producer {
    fn sleep(&self, _: Inside) -> Sleep {
        let (memory, parks) = self.room();
        Sleep {
            bells: vec![(memory.clone(), Side::Space)],
            parks,
            longest: Self::LONGEST_WAIT,
        }
    }
}

/// How a handle is slept for.
pub(super) fn sleep_of<H: Event + ?Sized>(handle: &H) -> Sleep {
    handle.sleep(INSIDE)
}
