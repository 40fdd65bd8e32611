//! What a contender is: a two-way channel of messages of one size.

use super::workload::Workload;
use std::io;

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
    /// Sends one message.
    fn send(&mut self, message: &[u8]) -> io::Result<()>;

    /// Sends `count` messages, each written into `message` by `fill` first.
    fn send_many(
        &mut self,
        count: usize,
        message: &mut [u8],
        mut fill: impl FnMut(&mut [u8]),
    ) -> io::Result<()> {
        for _ in 0..count {
            fill(message);
            self.send(message)?;
        }
        Ok(())
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
}

/// Whether a contender means something for a workload.
pub fn takes_part(contender: &str, workload: Workload, size: usize) -> bool {
    match (contender, workload) {
        // A batch of one is a single publish.
        ("batch", Workload::RoundTrip | Workload::Paced) => false,
        // A stream keeps nobody asleep.
        ("park", Workload::OneWay) => false,
        // POSIX queues take 8 KiB without privileges, slots are for small messages.
        ("mq", _) => size <= 8192,
        _ => true,
    }
}
