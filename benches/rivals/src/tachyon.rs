//! tachyon-ipc: a ring of bytes between two processes that meet at a socket, one each way.

use slipring_cli::bench::channel::{Channel, Contender, End, Place};
use slipring_cli::bench::contenders::pairs;
use slipring_cli::bench::message::Source;
use std::hint::spin_loop;
use std::io;
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;
use tachyon_ipc::{Bus, TachyonError};

pub const CONTENDERS: [Contender; 2] = [
    Contender {
        name: "tachyon",
        how: "acquire, write, commit; drain_batch of 256 in streams, polling mode",
        threads: false,
        capacity: true,
        suits: pairs,
        open: |place| crate::boxed(Buses::open(place, 1)),
    },
    Contender {
        name: "tachyon32",
        how: "the same, 32 messages to a flush",
        threads: false,
        capacity: true,
        suits: |workload, _| workload.streams(),
        open: |place| crate::boxed(Buses::open(place, 32)),
    },
];

enum Side {
    /// Listening, until the other end has connected.
    Awaited(Option<JoinHandle<Result<Bus, TachyonError>>>),
    Open(Bus),
}

struct Buses {
    out: Side,
    inward: Side,
    batch: usize,
}

const FOR_EVER: u32 = u32::MAX;

fn other(error: TachyonError) -> io::Error {
    io::Error::other(format!("{error:?}"))
}

fn listen(path: &Path, capacity: u64) -> io::Result<Side> {
    let path = path.to_str().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    // It blocks until somebody comes.
    let listening = std::thread::spawn(move || Bus::listen(&path, capacity as usize));
    Ok(Side::Awaited(Some(listening)))
}

fn connect(path: &Path) -> io::Result<Side> {
    let path = path.to_str().ok_or(io::ErrorKind::InvalidInput)?;
    let mut tries = 0;
    loop {
        match Bus::connect(path) {
            Ok(bus) => {
                bus.set_polling_mode(1);
                return Ok(Side::Open(bus));
            }
            Err(error) if tries == 1000 => return Err(other(error)),
            // The other end listens in a thread, which may not have got there; there is nothing to
            // wait on.
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
        tries += 1;
    }
}

impl Side {
    fn finish(&mut self) -> io::Result<()> {
        if let Self::Awaited(listening) = self {
            let listening = listening.take().ok_or(io::ErrorKind::NotConnected)?;
            let bus = listening
                .join()
                .map_err(|_| io::Error::other("the listening thread panicked"))?
                .map_err(other)?;
            bus.set_polling_mode(1);
            *self = Self::Open(bus);
        }
        Ok(())
    }

    #[inline(always)]
    fn bus(&self) -> io::Result<&Bus> {
        match self {
            Self::Open(bus) => Ok(bus),
            Self::Awaited(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Buses {
    fn open(place: &Place<'_>, batch: usize) -> io::Result<Self> {
        let (forth, back) = (place.directory.join("forth"), place.directory.join("back"));
        Ok(match place.end {
            End::First => Self {
                out: listen(&forth, place.capacity)?,
                inward: listen(&back, place.capacity)?,
                batch,
            },
            End::Second => Self {
                inward: connect(&forth)?,
                out: connect(&back)?,
                batch,
            },
        })
    }
}

#[inline(always)]
fn put(bus: &Bus, message: &[u8], flush: bool) -> io::Result<()> {
    loop {
        match bus.acquire_tx(message.len()) {
            Ok(claim) => {
                claim.write(message);
                let done = if flush {
                    claim.commit(message.len(), 1)
                } else {
                    claim.commit_unflushed(message.len(), 1)
                };
                return done.map_err(other);
            }
            Err(TachyonError::BufferFull) => {
                // What was not flushed cannot be read.
                bus.flush();
                spin_loop();
            }
            Err(error) => return Err(other(error)),
        }
    }
}

impl Channel for Buses {
    fn start(&mut self) -> io::Result<()> {
        self.out.finish()?;
        self.inward.finish()
    }

    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        put(self.out.bus()?, message, true)
    }

    #[inline(always)]
    fn send_many(&mut self, count: usize, source: &mut impl Source) -> io::Result<()> {
        let bus = self.out.bus()?;
        for n in 1..=count {
            // A claim is written by a copy; it does not show its bytes.
            put(bus, source.next(), n % self.batch == 0 || n == count)?;
        }
        Ok(())
    }

    #[inline(always)]
    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        let message = self.inward.bus()?.acquire_rx(FOR_EVER).map_err(other)?;
        let shown = show(message.data());
        message.commit().map_err(other)?;
        Ok(shown)
    }

    #[inline(always)]
    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        let message = self.inward.bus()?.acquire_rx(FOR_EVER).map_err(other)?;
        let goes_on = !last(message.data());
        if goes_on {
            put(self.out.bus()?, message.data(), true)?;
        }
        message.commit().map_err(other)?;
        Ok(goes_on)
    }

    #[inline(always)]
    fn receive_many(&mut self, mut show: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        let bus = self.inward.bus()?;
        loop {
            let batch = bus.drain_batch(256, FOR_EVER).map_err(other)?;
            let mut over = false;
            for message in &batch {
                if show(message.data()) {
                    over = true;
                    break;
                }
            }
            batch.commit().map_err(other)?;
            if over {
                return Ok(());
            }
        }
    }
}
