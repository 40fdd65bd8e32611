//! ringfire: rings of typed slots in shared memory, lossless or lossy, one producer each way.

use crate::{sized, words::of_bytes};
use ringfire::{FlowControl, RingConsumer, RingProducer, RingProducerBuilder};
use slipring_cli::bench::channel::{Channel, Contender, End, Place};
use slipring_cli::bench::fan::{Fan, Fanning};
use slipring_cli::bench::load::Workload;
use slipring_cli::bench::message::Source;
use std::hint::spin_loop;
use std::io;

pub const CONTENDERS: [Contender; 2] = [Contender {
    name: "ringfire",
    how: "lossless flow control (lossy: latest wins), push from where messages lie, recv_batch of 32 in streams, busy spin",
    threads: false,
    capacity: true,
    suits: |_, _| true,
    open: |place| match place.load.workload.fans() {
        true => sized!(place, Readers),
        false => sized!(place, Rings),
    },
}, Contender {
    name: "ringfire32",
    how: "the same, push_batch of 32",
    threads: false,
    capacity: true,
    suits: |workload, size| workload.streams() && size <= 8192,
    open: |place| sized!(place, Batches, 16, 32, 64, 256, 1024),
}];

const BATCH: usize = 32;

struct Rings<const N: usize> {
    producer: RingProducer<[u64; N]>,
    /// The ring of the other end; attached once that exists.
    consumer: Option<RingConsumer<[u64; N]>>,
    inward: std::path::PathBuf,
    batch: Vec<[u64; N]>,
}

fn other(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

impl<const N: usize> Rings<N> {
    fn open(place: &Place<'_>) -> io::Result<Self> {
        let path = |name: &str| place.directory.join(name);
        let (out, inward) = match place.end {
            End::First => (path("forth"), path("back")),
            End::Second => (path("back"), path("forth")),
        };
        let flow = match place.load.workload {
            Workload::Lossy => FlowControl::LossyLatestWins,
            _ => FlowControl::LosslessBackpressure,
        };
        let options = RingProducerBuilder::new(place.slots()).flow_control(flow);
        let mut rings = Self {
            producer: options.build(out).map_err(other)?,
            consumer: None,
            inward,
            batch: vec![[0; N]; BATCH],
        };
        if place.end == End::Second {
            rings.start()?;
        }
        Ok(rings)
    }

    #[inline(always)]
    fn next(&mut self) -> io::Result<[u64; N]> {
        let consumer = self.consumer.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        loop {
            if let Some(item) = consumer.try_recv() {
                return Ok(item);
            }
            spin_loop();
        }
    }
}

impl<const N: usize> Channel for Rings<N> {
    fn start(&mut self) -> io::Result<()> {
        self.consumer = Some(RingConsumer::attach(&self.inward).map_err(other)?);
        Ok(())
    }

    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.producer.push(of_bytes(message)?);
        Ok(())
    }

    #[inline(always)]
    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        let item = self.next()?;
        Ok(show(bytemuck::bytes_of(&item)))
    }

    #[inline(always)]
    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        let item = self.next()?;
        let goes_on = !last(bytemuck::bytes_of(&item));
        if goes_on {
            self.producer.push(&item);
        }
        Ok(goes_on)
    }

    #[inline(always)]
    fn receive_many(&mut self, mut show: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        let consumer = self.consumer.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        loop {
            let got = consumer.recv_batch(&mut self.batch);
            for item in &self.batch[..got] {
                if show(bytemuck::bytes_of(item)) {
                    return Ok(());
                }
            }
            if got == 0 {
                spin_loop();
            }
        }
    }
}

/// Rings that are given 32 messages at once, made in the array that is handed over.
struct Batches<const N: usize> {
    rings: Rings<N>,
    outgoing: [[u64; N]; BATCH],
}

impl<const N: usize> Batches<N> {
    fn open(place: &Place<'_>) -> io::Result<Self> {
        Ok(Self {
            rings: Rings::open(place)?,
            outgoing: [[0; N]; BATCH],
        })
    }
}

impl<const N: usize> Channel for Batches<N> {
    fn start(&mut self) -> io::Result<()> {
        self.rings.start()
    }

    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.rings.send(message)
    }

    #[inline(always)]
    fn send_many(&mut self, count: usize, source: &mut impl Source) -> io::Result<()> {
        for start in (0..count).step_by(BATCH) {
            let items = &mut self.outgoing[..BATCH.min(count - start)];
            for item in &mut *items {
                source.write(bytemuck::bytes_of_mut(item));
            }
            self.rings.producer.push_batch(items);
        }
        Ok(())
    }

    #[inline(always)]
    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        self.rings.receive(show)
    }

    #[inline(always)]
    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        self.rings.echo(last)
    }

    #[inline(always)]
    fn receive_many(&mut self, show: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        self.rings.receive_many(show)
    }
}

/// One ring: its producer at the first end, consumers at the second.
struct Readers<const N: usize> {
    producer: Option<RingProducer<[u64; N]>>,
    consumers: Vec<RingConsumer<[u64; N]>>,
    batch: Vec<[u64; N]>,
}

impl<const N: usize> Readers<N> {
    fn open(place: &Place<'_>) -> io::Result<Fanning<Self>> {
        let path = place.directory.join("forth");
        let mut readers = Self {
            producer: None,
            consumers: Vec::new(),
            batch: vec![[0; N]; BATCH],
        };
        match place.end {
            End::First => {
                let options = RingProducerBuilder::new(place.slots())
                    .flow_control(FlowControl::LosslessBackpressure);
                readers.producer = Some(options.build(path).map_err(other)?);
            }
            End::Second => {
                for _ in 0..place.load.readers {
                    readers
                        .consumers
                        .push(RingConsumer::attach(&path).map_err(other)?);
                }
            }
        }
        Ok(Fanning(readers))
    }
}

impl<const N: usize> Fan for Readers<N> {
    #[inline(always)]
    fn publish(&mut self, message: &[u8]) -> io::Result<()> {
        let producer = self.producer.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        producer.push(of_bytes(message)?);
        Ok(())
    }

    #[inline(always)]
    fn poll(&mut self, reader: usize, mut show: impl FnMut(&[u8])) -> io::Result<()> {
        let got = self.consumers[reader].recv_batch(&mut self.batch);
        for item in &self.batch[..got] {
            show(bytemuck::bytes_of(item));
        }
        Ok(())
    }
}
