//! Waiting for readers to attach.
//!
//! Layer 5. A reader that takes a row rings the bell that a producer sleeps on for room. What is alive is asked only
//! when the rows have changed.

use super::producer::Producer;
use super::ring::Ring;
use crate::attach::{poisoned, removed, Attachment, FORKED};
use crate::layout::lines::Bell;
use crate::segment::Trouble;
use crate::sync::Ordering::Relaxed;
use crate::wait::{until, Deadline, Outcome, Strategy, Waited};
use core::fmt;

/// Why the readers that were waited for did not come.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadersError {
    /// There were fewer until the deadline.
    TimedOut {
        /// How many there were at the end.
        readers: u32,
        /// How many were waited for.
        wanted: u32,
    },
    /// There cannot be so many: each needs a row.
    TooMany {
        /// How many were waited for.
        wanted: u32,
        /// How many rows the ring has.
        rows: u32,
    },
    /// A file of the ring was cut short while it was mapped.
    Poisoned,
    /// The ring was removed. Its name may belong to another one by now.
    Removed,
    /// This process is a fork of the one that opened the ring; open it again.
    Forked,
}

impl ReadersError {
    /// A number for this kind of error that never changes, for other languages.
    pub fn code(&self) -> u32 {
        match self {
            Self::TimedOut { .. } => 414,
            Self::TooMany { .. } => 415,
            Self::Poisoned => 411,
            Self::Removed => 413,
            Self::Forked => 408,
        }
    }
}

impl fmt::Display for ReadersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { readers, wanted } => {
                write!(
                    f,
                    "timed out waiting for readers: {readers} of {wanted} came"
                )
            }
            Self::TooMany { wanted, rows } => write!(
                f,
                "{wanted} readers cannot come: the ring has {rows} rows; create it with more"
            ),
            Self::Poisoned => poisoned(f, &"the ring"),
            Self::Removed => removed(f, &"the ring"),
            Self::Forked => f.write_str(FORKED),
        }
    }
}

impl std::error::Error for ReadersError {}

impl Ring {
    /// Waits until at least `readers` rows are taken by readers that are alive. Returns how many are.
    ///
    /// | counts | does not |
    /// |---|---|
    /// | each [`Consumer`](crate::Consumer), in any process | cursors whose consumer is away |
    /// | each [`Observer`](crate::Observer) that may sleep and found a row free | observers that spin or yield, may only read, or found all rows taken |
    /// | | readers that have died |
    ///
    /// A process that may write `control` sleeps until a reader that attaches wakes it, and looks at least every
    /// 100 milliseconds. Any other looks at least once a millisecond, and counts rows of dead readers that it may not
    /// ask about.
    ///
    /// # Guarantees
    /// A consumer that has attached is counted, and gets every message that is published after this returned.
    ///
    /// One that is still attaching may be counted too. If it takes over the row of a consumer that died, it may be
    /// counted before it has its start, and then starts behind what is published meanwhile, or fails to attach.
    ///
    /// # What others may change meanwhile
    /// Readers may be gone again by the time this returns.
    ///
    /// # Errors
    /// [`ReadersError`]. [`ReadersError::TooMany`] at once, if the ring has fewer rows.
    ///
    /// ```
    /// use slipring::endpoint::ReadersError;
    /// use slipring::{Ring, Start};
    /// use std::time::Duration;
    ///
    /// let ring = Ring::heap().create()?;
    /// let waited = ring.wait_for_readers(1, Duration::from_millis(1));
    /// assert!(matches!(waited, Err(ReadersError::TimedOut { readers: 0, wanted: 1 })));
    /// let consumer = ring.consumer(Start::Oldest)?;
    /// assert_eq!(ring.wait_for_readers(1, Duration::from_secs(60))?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_for_readers(
        &self,
        readers: u32,
        deadline: impl Into<Deadline>,
    ) -> Result<u32, ReadersError> {
        wait_for_readers(self.object(), readers, Strategy::default(), deadline.into())
    }
}

impl Producer {
    /// Like [`Ring::wait_for_readers`], in the way this producer waits.
    ///
    /// The producer of an isolated ring looks at least once a millisecond.
    ///
    /// # Errors
    /// As [`Ring::wait_for_readers`].
    ///
    /// ```
    /// use slipring::{Deadline, Ring, Start};
    ///
    /// let ring = Ring::heap().create()?;
    /// let mut producer = ring.producer()?;
    /// let elsewhere = ring.clone();
    /// let reader = std::thread::spawn(move || {
    ///     let mut consumer = elsewhere.consumer(Start::Latest).unwrap();
    ///     let message = consumer.receive().unwrap().unwrap().to_vec();
    ///     message
    /// });
    /// producer.wait_for_readers(1, Deadline::NEVER)?;
    /// producer.publish(b"for all")?; // the row was free before, so the consumer gets it
    /// assert_eq!(reader.join().unwrap(), b"for all");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_for_readers(
        &mut self,
        readers: u32,
        deadline: impl Into<Deadline>,
    ) -> Result<u32, ReadersError> {
        let (ring, strategy) = self.waits();
        wait_for_readers(ring, readers, strategy, deadline.into())
    }
}

/// Waiting for readers.
struct Readers<'r> {
    ring: &'r Attachment,
    wanted: u32,
    /// How many were alive when it last asked.
    alive: u32,
    /// Of which rows it asked then, with their generations. Asked again, there would not be more.
    asked: Option<Vec<(u32, u64)>>,
}

impl Readers<'_> {
    /// The rows that are taken by their own account, and their generations. Loads only.
    fn taken(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let memory = self.ring.segment().reader();
        let generation = |at| memory.row(at).map(|row| row.generation.load(Relaxed));
        let rows = self.ring.taken_rows();
        rows.filter_map(move |at| Some((at, generation(at)?)))
    }

    /// Counts the live readers.
    fn ask(&mut self) -> bool {
        let taken = self.taken().collect();
        self.alive = self.ring.live_rows();
        self.asked = Some(taken);
        self.alive >= self.wanted
    }
}

impl Waited for Readers<'_> {
    fn ready(&mut self) -> bool {
        if self.taken().count() < self.wanted as usize {
            return false;
        }
        let known = self.asked.as_ref();
        let same = known.is_some_and(|asked| self.taken().eq(asked.iter().copied()));
        !same && self.ask()
    }

    fn over(&mut self) -> bool {
        false
    }

    fn gone(&mut self) -> bool {
        self.ring.trouble().is_some()
    }
}

fn wait_for_readers(
    ring: &Attachment,
    wanted: u32,
    strategy: Strategy,
    deadline: Deadline,
) -> Result<u32, ReadersError> {
    let rows = ring.max_readers();
    if wanted > rows {
        return Err(ReadersError::TooMany { wanted, rows });
    }
    let why = |trouble| match trouble {
        Trouble::Forked => ReadersError::Forked,
        Trouble::Poisoned => ReadersError::Poisoned,
        Trouble::Removed => ReadersError::Removed,
    };
    if let Some(trouble) = ring.trouble() {
        return Err(why(trouble));
    }
    let memory = ring.segment().reader().clone();
    // A reader that attaches always rings, so sleepers need not announce themselves here.
    let bell: Option<&Bell> = memory.control().map(|control| &control.space);
    let mut readers = Readers {
        ring,
        wanted,
        alive: 0,
        asked: None,
    };
    match until(&mut readers, strategy, bell, deadline, &mut false) {
        Outcome::Ready => Ok(readers.alive),
        Outcome::Over | Outcome::Gone => Err(why(ring.trouble_found())),
        Outcome::TimedOut => Err(ReadersError::TimedOut {
            readers: ring.live_rows(),
            wanted,
        }),
    }
}
