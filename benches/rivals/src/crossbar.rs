//! crossbar: a broadcast ring of typed slots (`PodBus`), bounded or lossy, one each way.

use crate::{sized, words::of_bytes};
use crossbar::{BusSubscriber, PodBus};
use slipring_cli::bench::channel::{Channel, Contender, End, Place};
use slipring_cli::bench::fan::{Fan, Fanning};
use slipring_cli::bench::load::Workload;
use std::hint::spin_loop;
use std::io;

pub const CONTENDERS: [Contender; 1] = [Contender {
    name: "crossbar",
    how: "PodBus, bounded without headroom (lossy: unbounded), publish, try_recv, busy spin",
    threads: false,
    capacity: true,
    // It passes values by value; what is larger goes through its pool of blocks, which may lose any.
    suits: |_, size| size <= 1024,
    open: |place| match place.load.workload.fans() {
        true => sized!(place, Readers, 16, 32, 64, 256, 1024),
        false => sized!(place, Buses, 16, 32, 64, 256, 1024),
    },
}];

struct Buses<const N: usize> {
    out: PodBus<[u64; N]>,
    /// The bus of the other end; connected once that exists.
    inward: Option<BusSubscriber<[u64; N]>>,
    name: String,
}

fn other(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

impl<const N: usize> Buses<N> {
    fn open(place: &Place<'_>) -> io::Result<Self> {
        let tag = place.directory.file_name().unwrap_or_default();
        let name = |way: &str| format!("{}-{way}", tag.to_string_lossy());
        let (out, inward) = match place.end {
            End::First => (name("forth"), name("back")),
            End::Second => (name("back"), name("forth")),
        };
        let slots = place.slots() as usize;
        let out = match place.load.workload {
            Workload::Lossy => PodBus::create(&out, slots),
            _ => PodBus::create_bounded(&out, slots, 0),
        };
        let mut buses = Self {
            out: out.map_err(other)?,
            inward: None,
            name: inward,
        };
        if place.end == End::Second {
            buses.start()?;
        }
        Ok(buses)
    }

    #[inline(always)]
    fn next(&mut self) -> io::Result<[u64; N]> {
        let inward = self.inward.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        loop {
            if let Some(item) = inward.try_recv() {
                return Ok(item);
            }
            spin_loop();
        }
    }
}

impl<const N: usize> Channel for Buses<N> {
    fn start(&mut self) -> io::Result<()> {
        self.inward = Some(BusSubscriber::connect(&self.name).map_err(other)?);
        Ok(())
    }

    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.out.publish(*of_bytes(message)?);
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
            self.out.publish(item);
        }
        Ok(goes_on)
    }
}

/// One bus: its producer at the first end, subscribers at the second.
struct Readers<const N: usize> {
    bus: Option<PodBus<[u64; N]>>,
    subscribers: Vec<BusSubscriber<[u64; N]>>,
}

impl<const N: usize> Readers<N> {
    fn open(place: &Place<'_>) -> io::Result<Fanning<Self>> {
        let tag = place.directory.file_name().unwrap_or_default();
        let name = format!("{}-fan", tag.to_string_lossy());
        let mut readers = Self {
            bus: None,
            subscribers: Vec::new(),
        };
        match place.end {
            End::First => {
                let bus = PodBus::create_bounded(&name, place.slots() as usize, 0);
                readers.bus = Some(bus.map_err(other)?);
            }
            End::Second => {
                for _ in 0..place.load.readers {
                    let subscriber = BusSubscriber::connect(&name).map_err(other)?;
                    readers.subscribers.push(subscriber);
                }
            }
        }
        Ok(Fanning(readers))
    }
}

impl<const N: usize> Fan for Readers<N> {
    #[inline(always)]
    fn publish(&mut self, message: &[u8]) -> io::Result<()> {
        let bus = self.bus.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        bus.publish(*of_bytes(message)?);
        Ok(())
    }

    #[inline(always)]
    fn poll(&mut self, reader: usize, mut show: impl FnMut(&[u8])) -> io::Result<()> {
        for _ in 0..256 {
            match self.subscribers[reader].try_recv() {
                Some(item) => show(bytemuck::bytes_of(&item)),
                None => break,
            }
        }
        Ok(())
    }
}
