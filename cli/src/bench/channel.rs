//! What a contender is: a two-way channel of messages of one size, and how to open an end of it.

use super::load::{Load, Measured, Workload};
use super::message::{fill, Source, LAST};
use std::io;
use std::path::{Path, PathBuf};

/// Which end of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The process that measures round trips and sends one-way streams; creates what has a name.
    First,
    /// The process that echoes, and receives streams.
    Second,
}

/// Sends and receives, both in order, both waiting as long as it takes.
pub trait Channel {
    /// What is left to do once the other end is open too; called at the first end only.
    fn start(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Forgets what an earlier run left on its way; called at the second end before each run, while the first end
    /// sends nothing.
    fn renew(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Sends one message.
    fn send(&mut self, message: &[u8]) -> io::Result<()>;

    /// Sends the next `count` messages of a source: made in place where the channel lends memory, copied from where
    /// they lie where it does not.
    #[inline(always)]
    fn send_many(&mut self, count: usize, source: &mut impl Source) -> io::Result<()> {
        for _ in 0..count {
            self.send(source.next())?;
        }
        Ok(())
    }

    /// Sends the last message. A channel that may lose it goes on until the other end has it.
    fn send_last(&mut self, message: &[u8]) -> io::Result<()> {
        self.send(message)
    }

    /// Receives one message and shows it where it lies.
    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R>;

    /// Receives one message and sends it back from where it lies, unless `last` says not to; whether
    /// it was sent back.
    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool>;

    /// Receives messages and shows them until `show` says that it was the last.
    fn receive_many(&mut self, mut show: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        while !self.receive(&mut show)? {}
        Ok(())
    }

    /// How many messages the receiver was told that it missed, where it is told.
    fn missed(&self) -> Option<u64> {
        None
    }
}

/// One end of a channel, opened and not started. The loops are compiled for each channel by itself;
/// nothing is looked up while they run.
pub trait Opened {
    /// What is left to do once the other end is open too; called at the first end only, before it is run for
    /// the first time.
    fn begin(&mut self, _end: End) -> io::Result<()> {
        Ok(())
    }

    /// Called at the second end before each run, while the first end sends nothing.
    fn renew(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Runs a load once; may be called again and again.
    fn run(&mut self, end: End, load: Load) -> io::Result<Measured>;
}

/// Sends the message that ends a run.
pub fn message_last<C: Channel>(channel: &mut C, size: usize) -> io::Result<()> {
    let mut message = vec![0u8; size];
    fill(&mut message, LAST);
    channel.send_last(&message)
}

/// Which end of what to open.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// A directory in memory that both processes share; emptied before each sample.
    pub directory: &'a Path,
    pub end: End,
    pub load: Load,
    /// Bytes of data that a ring shall hold, a power of two.
    pub capacity: u64,
}

impl Place<'_> {
    /// How many messages of this size, each with a header of eight bytes, the capacity holds; a power
    /// of two.
    pub fn slots(&self) -> u64 {
        let slot = (self.load.size as u64 + 8).next_power_of_two();
        (self.capacity / slot).clamp(16, 1 << 24)
    }

    /// Files for what goes from this end to the other, and for what comes from there.
    pub fn ways(&self) -> (PathBuf, PathBuf) {
        let path = |name: &str| self.directory.join(name);
        match self.end {
            End::First => (path("forth"), path("back")),
            End::Second => (path("back"), path("forth")),
        }
    }
}

/// Who takes part in a benchmark.
#[derive(Clone, Copy)]
pub struct Contender {
    pub name: &'static str,
    /// What it is and how it is set, in a few words.
    pub how: &'static str,
    /// Whether its ends are two threads of the first process, because it knows no processes.
    pub threads: bool,
    /// Whether it is as large as it is asked to be; the kernel's forms are as large as they are.
    pub capacity: bool,
    /// Whether a workload means something for it, at this size.
    pub suits: fn(Workload, usize) -> bool,
    pub open: fn(&Place<'_>) -> io::Result<Box<dyn Opened>>,
}
