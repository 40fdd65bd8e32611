//! outcry: a broadcast queue whose writer waits for no reader; an overrun reader begins anew at the head.

use crate::lossy::Heard;
use outcry::{Consumer, Error, Producer, Queue};
use slipring_cli::bench::channel::{Channel, Contender, End, Place};
use slipring_cli::bench::load::Workload;
use std::hint::spin_loop;
use std::io;
use std::path::PathBuf;

pub const CONTENDERS: [Contender; 1] = [Contender {
    name: "outcry",
    how: "write from where messages lie, try_read, resync when overrun, busy spin",
    threads: false,
    capacity: true,
    // A single message under way cannot be overrun; a stream can.
    suits: |workload, _| matches!(workload, Workload::RoundTrip | Workload::Lossy),
    open: |place| crate::boxed(Queues::open(place)),
}];

struct Queues {
    producer: Producer,
    /// The queue of the other end; opened once that exists.
    consumer: Option<Consumer>,
    inward: PathBuf,
    heard: Heard,
    lossy: bool,
    buffer: Vec<u8>,
}

fn other(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

impl Queues {
    fn open(place: &Place<'_>) -> io::Result<Self> {
        let (out, inward) = place.ways();
        let queue = Queue::create(out, place.capacity).map_err(other)?;
        let mut queues = Self {
            producer: queue.producer().map_err(other)?,
            consumer: None,
            inward,
            heard: Heard::new(place),
            lossy: place.load.workload == Workload::Lossy,
            buffer: vec![0; place.load.size],
        };
        if place.end == End::Second {
            queues.start()?;
        }
        Ok(queues)
    }

    /// Waits for a message in `buffer`.
    #[inline(always)]
    fn next(&mut self) -> io::Result<()> {
        let consumer = self.consumer.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        loop {
            match consumer.try_read(&mut self.buffer) {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => spin_loop(),
                Err(Error::Overrun { .. }) => {
                    consumer.resync();
                }
                Err(error) => return Err(other(error)),
            }
        }
    }
}

impl Channel for Queues {
    fn start(&mut self) -> io::Result<()> {
        let queue = Queue::open(&self.inward).map_err(other)?;
        self.consumer = Some(queue.consumer());
        Ok(())
    }

    /// The last message of a run is sent until it is heard, so that more of them may be on their way.
    fn renew(&mut self) -> io::Result<()> {
        if self.lossy {
            let consumer = self.consumer.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            consumer.resync();
            self.heard.forget()?;
        }
        Ok(())
    }

    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.producer.write(message).map_err(other)
    }

    fn send_last(&mut self, message: &[u8]) -> io::Result<()> {
        let producer = &mut self.producer;
        match self.lossy {
            true => self.heard.repeat(|| producer.write(message).map_err(other)),
            false => producer.write(message).map_err(other),
        }
    }

    #[inline(always)]
    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        self.next()?;
        Ok(show(&self.buffer))
    }

    #[inline(always)]
    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        self.next()?;
        let goes_on = !last(&self.buffer);
        if goes_on {
            self.producer.write(&self.buffer).map_err(other)?;
        }
        Ok(goes_on)
    }

    #[inline(always)]
    fn receive_many(&mut self, mut show: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        loop {
            self.next()?;
            if show(&self.buffer) {
                return self.heard.tell();
            }
        }
    }
}
