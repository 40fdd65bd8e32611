//! bcast, the release candidate of 1.0: a broadcast ring whose writer waits for no reader; an overrun reader
//! begins anew at the writer's place.

use crate::lossy::Heard;
use bcast::{
    Error, MappedReader, MappedWriter, MmapMutStorage, MmapStorage, StorageExt, HEADER_SIZE,
};
use slipring_cli::bench::channel::{Channel, Contender, End, Place};
use slipring_cli::bench::load::Workload;
use slipring_cli::bench::message::Source;
use std::hint::spin_loop;
use std::io;
use std::path::PathBuf;

pub const CONTENDERS: [Contender; 1] = [Contender {
    name: "bcast",
    how: "1.0 release candidate, mapped and locked; publish in place, receive_next (read_batch in streams), reset when overrun, busy spin",
    threads: false,
    capacity: true,
    // A single message under way cannot be overrun; a stream can.
    suits: |workload, _| matches!(workload, Workload::RoundTrip | Workload::Lossy),
    open: |place| crate::boxed(Rings::open(place)),
}];

struct Rings {
    writer: MappedWriter,
    /// The ring of the other end; attached once that exists.
    reader: Option<MappedReader>,
    inward: PathBuf,
    heard: Heard,
    lossy: bool,
    buffer: Vec<u8>,
}

fn other(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

impl Rings {
    fn open(place: &Place<'_>) -> io::Result<Self> {
        let (out, inward) = place.ways();
        let storage = MmapMutStorage::new(out, HEADER_SIZE + place.capacity as usize)?;
        let mut rings = Self {
            writer: storage.into_writer(),
            reader: None,
            inward,
            heard: Heard::new(place),
            lossy: place.load.workload == Workload::Lossy,
            buffer: vec![0; place.load.size],
        };
        if place.end == End::Second {
            rings.start()?;
        }
        Ok(rings)
    }

    /// Waits for a message in `buffer`.
    #[inline(always)]
    fn next(&mut self) -> io::Result<()> {
        let reader = self.reader.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        loop {
            match reader.receive_next(&mut self.buffer) {
                Some(Ok(_)) => return Ok(()),
                None => spin_loop(),
                Some(Err(Error::Overrun(_))) => reader.reset(),
                Some(Err(error)) => return Err(other(error)),
            }
        }
    }
}

impl Channel for Rings {
    fn start(&mut self) -> io::Result<()> {
        self.reader = Some(MmapStorage::attach(&self.inward)?.into_reader_at(0));
        Ok(())
    }

    /// The last message of a run is sent until it is heard, so that more of them may be on their way.
    fn renew(&mut self) -> io::Result<()> {
        if self.lossy {
            let reader = self.reader.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            reader.reset();
            self.heard.forget()?;
        }
        Ok(())
    }

    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.writer.send(message, true);
        Ok(())
    }

    #[inline(always)]
    fn send_many(&mut self, count: usize, source: &mut impl Source) -> io::Result<()> {
        let size = source.size();
        for _ in 0..count {
            self.writer
                .publish(size, true, |payload| source.write(payload));
        }
        Ok(())
    }

    fn send_last(&mut self, message: &[u8]) -> io::Result<()> {
        let writer = &mut self.writer;
        let mut send = || {
            writer.send(message, true);
            Ok(())
        };
        match self.lossy {
            true => self.heard.repeat(send),
            false => send(),
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
            self.writer.send(&self.buffer, true);
        }
        Ok(goes_on)
    }

    #[inline(always)]
    fn receive_many(&mut self, mut show: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        let reader = self.reader.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        loop {
            let Some(mut batch) = reader.read_batch() else {
                spin_loop();
                continue;
            };
            while let Some(message) = batch.receive_next(&mut self.buffer) {
                match message {
                    Ok(message) if show(message.payload) => return self.heard.tell(),
                    Ok(_) => {}
                    Err(Error::Overrun(_)) => {
                        batch.reset();
                        break;
                    }
                    Err(error) => return Err(other(error)),
                }
            }
        }
    }
}
