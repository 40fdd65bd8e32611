//! For reference, those that work within one process only: two threads of it, the same loops.

use crate::{sized, words::of_bytes};
use disruptor::{
    BusySpin, EventPoller, Polling, Producer as _, SingleConsumerBarrier, SingleProducer,
    SingleProducerBarrier,
};
use slipring_cli::bench::channel::{Channel, Contender, End, Place};
use slipring_cli::bench::contenders::pairs;
use slipring_cli::bench::message::Source;
use std::any::Any;
use std::hint::spin_loop;
use std::io;
use std::sync::Mutex;

pub const CONTENDERS: [Contender; 5] = [
    Contender {
        name: "rtrb",
        how: "two threads; push, pop, read_chunk in streams, busy spin",
        threads: true,
        capacity: true,
        suits: pairs,
        open: |place| sized!(place, Rtrb),
    },
    Contender {
        name: "rtrb32",
        how: "the same, write_chunk_uninit of 32",
        threads: true,
        capacity: true,
        suits: |workload, size| workload.streams() && size <= 8192,
        open: |place| sized!(place, RtrbChunks, 16, 32, 64, 256, 1024),
    },
    Contender {
        name: "disruptor",
        how: "two threads; single producer, publish in place, event poller in batches, busy spin",
        threads: true,
        capacity: true,
        suits: pairs,
        open: |place| sized!(place, Disruptor),
    },
    Contender {
        name: "disruptor32",
        how: "the same, batch_publish of 32",
        threads: true,
        capacity: true,
        suits: |workload, size| workload.streams() && size <= 8192,
        open: |place| sized!(place, Disruptors, 16, 32, 64, 256, 1024),
    },
    Contender {
        name: "crossbeam",
        how: "two threads; bounded channel, try_send, try_recv, busy spin",
        threads: true,
        capacity: true,
        suits: pairs,
        open: |place| sized!(place, Crossbeam),
    },
];

/// What the first end made for the second.
static OTHER: Mutex<Option<Box<dyn Any + Send>>> = Mutex::new(None);

/// Makes both ends at the first, keeps the second's for it.
fn share<T: Send + 'static>(place: &Place<'_>, both: impl FnOnce() -> (T, T)) -> io::Result<T> {
    let mut other = OTHER
        .lock()
        .map_err(|_| io::Error::other("an end panicked"))?;
    match place.end {
        End::First => {
            let (mine, theirs) = both();
            *other = Some(Box::new(theirs));
            Ok(mine)
        }
        End::Second => {
            let theirs = other.take().and_then(|any| any.downcast().ok());
            Ok(*theirs.ok_or(io::ErrorKind::NotConnected)?)
        }
    }
}

/// How many at once, where that is asked for.
const BATCH: usize = 32;

struct Rtrb<const N: usize> {
    out: rtrb::Producer<[u64; N]>,
    inward: rtrb::Consumer<[u64; N]>,
}

impl<const N: usize> Rtrb<N> {
    fn open(place: &Place<'_>) -> io::Result<Self> {
        share(place, || {
            let (forth_in, forth_out) = rtrb::RingBuffer::new(place.slots() as usize);
            let (back_in, back_out) = rtrb::RingBuffer::new(place.slots() as usize);
            let first = Self {
                out: forth_in,
                inward: back_out,
            };
            (
                first,
                Self {
                    out: back_in,
                    inward: forth_out,
                },
            )
        })
    }

    #[inline(always)]
    fn put(&mut self, item: [u64; N]) {
        let mut item = item;
        while let Err(rtrb::PushError::Full(back)) = self.out.push(item) {
            item = back;
            spin_loop();
        }
    }

    #[inline(always)]
    fn next(&mut self) -> [u64; N] {
        loop {
            if let Ok(item) = self.inward.pop() {
                return item;
            }
            spin_loop();
        }
    }
}

impl<const N: usize> Channel for Rtrb<N> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.put(*of_bytes(message)?);
        Ok(())
    }

    #[inline(always)]
    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        Ok(show(bytemuck::bytes_of(&self.next())))
    }

    #[inline(always)]
    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        let item = self.next();
        let goes_on = !last(bytemuck::bytes_of(&item));
        if goes_on {
            self.put(item);
        }
        Ok(goes_on)
    }

    #[inline(always)]
    fn receive_many(&mut self, mut show: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        loop {
            let ready = self.inward.slots().min(256);
            if ready == 0 {
                spin_loop();
                continue;
            }
            let Ok(chunk) = self.inward.read_chunk(ready) else {
                continue;
            };
            let (first, second) = chunk.as_slices();
            let mut items = first.iter().chain(second);
            // Nothing is behind the last message.
            let last = items.any(|item| show(bytemuck::bytes_of(item)));
            chunk.commit_all();
            if last {
                return Ok(());
            }
        }
    }
}

/// Those that write in chunks.
struct RtrbChunks<const N: usize>(Rtrb<N>);

impl<const N: usize> RtrbChunks<N> {
    fn open(place: &Place<'_>) -> io::Result<Self> {
        Rtrb::open(place).map(Self)
    }
}

impl<const N: usize> Channel for RtrbChunks<N> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.0.send(message)
    }

    #[inline(always)]
    fn send_many(&mut self, count: usize, source: &mut impl Source) -> io::Result<()> {
        let mut left = count;
        while left > 0 {
            let Ok(chunk) = self.0.out.write_chunk_uninit(left.min(BATCH)) else {
                spin_loop();
                continue;
            };
            let mut wrong = None;
            left -= chunk.fill_from_iter(std::iter::from_fn(|| match of_bytes(source.next()) {
                Ok(item) => Some(*item),
                Err(error) => {
                    wrong = Some(error);
                    None
                }
            }));
            if let Some(error) = wrong {
                return Err(error);
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        self.0.receive(show)
    }

    #[inline(always)]
    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        self.0.echo(last)
    }

    #[inline(always)]
    fn receive_many(&mut self, show: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        self.0.receive_many(show)
    }
}

struct Event<const N: usize>([u64; N]);

type Poller<const N: usize> = EventPoller<Event<N>, SingleProducerBarrier>;

struct Disruptor<const N: usize> {
    out: SingleProducer<Event<N>, SingleConsumerBarrier>,
    inward: Poller<N>,
}

impl<const N: usize> Disruptor<N> {
    fn open(place: &Place<'_>) -> io::Result<Self> {
        share(place, || {
            let make = || {
                let slots = place.slots() as usize;
                let builder = disruptor::build_single_producer(slots, || Event([0; N]), BusySpin);
                let (poller, builder) = builder.new_event_poller();
                (builder.build(), poller)
            };
            let ((forth_in, forth_out), (back_in, back_out)) = (make(), make());
            let first = Self {
                out: forth_in,
                inward: back_out,
            };
            (
                first,
                Self {
                    out: back_in,
                    inward: forth_out,
                },
            )
        })
    }
}

fn gone() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

/// Shows one event.
#[inline(always)]
fn take_one<const N: usize, R>(
    poller: &mut Poller<N>,
    show: impl FnOnce(&[u64; N]) -> R,
) -> io::Result<R> {
    loop {
        match poller.take(1) {
            Ok(mut events) => {
                if let Some(event) = (&mut events).next() {
                    return Ok(show(&event.0));
                }
            }
            Err(Polling::NoEvents) => spin_loop(),
            Err(Polling::Shutdown) => return Err(gone()),
        }
    }
}

impl<const N: usize> Channel for Disruptor<N> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let item = of_bytes(message)?;
        self.out.publish(|event| event.0 = *item);
        Ok(())
    }

    #[inline(always)]
    fn send_many(&mut self, count: usize, source: &mut impl Source) -> io::Result<()> {
        for _ in 0..count {
            let write = |event: &mut Event<N>| source.write(bytemuck::bytes_of_mut(&mut event.0));
            self.out.publish(write);
        }
        Ok(())
    }

    #[inline(always)]
    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        take_one(&mut self.inward, |item| show(bytemuck::bytes_of(item)))
    }

    #[inline(always)]
    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        let Self { out, inward } = self;
        take_one(inward, |item| {
            let goes_on = !last(bytemuck::bytes_of(item));
            if goes_on {
                out.publish(|event| event.0 = *item);
            }
            goes_on
        })
    }

    #[inline(always)]
    fn receive_many(&mut self, mut show: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        loop {
            match self.inward.poll() {
                Ok(mut events) => {
                    for event in &mut events {
                        if show(bytemuck::bytes_of(&event.0)) {
                            return Ok(());
                        }
                    }
                }
                Err(Polling::NoEvents) => spin_loop(),
                Err(Polling::Shutdown) => return Err(gone()),
            }
        }
    }
}

/// Those that publish in batches.
struct Disruptors<const N: usize>(Disruptor<N>);

impl<const N: usize> Disruptors<N> {
    fn open(place: &Place<'_>) -> io::Result<Self> {
        Disruptor::open(place).map(Self)
    }
}

impl<const N: usize> Channel for Disruptors<N> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.0.send(message)
    }

    #[inline(always)]
    fn send_many(&mut self, count: usize, source: &mut impl Source) -> io::Result<()> {
        for start in (0..count).step_by(BATCH) {
            self.0
                .out
                .batch_publish(BATCH.min(count - start), |events| {
                    for event in events {
                        source.write(bytemuck::bytes_of_mut(&mut event.0));
                    }
                });
        }
        Ok(())
    }

    #[inline(always)]
    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        self.0.receive(show)
    }

    #[inline(always)]
    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        self.0.echo(last)
    }

    #[inline(always)]
    fn receive_many(&mut self, show: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        self.0.receive_many(show)
    }
}

struct Crossbeam<const N: usize> {
    out: crossbeam_channel::Sender<[u64; N]>,
    inward: crossbeam_channel::Receiver<[u64; N]>,
}

impl<const N: usize> Crossbeam<N> {
    fn open(place: &Place<'_>) -> io::Result<Self> {
        share(place, || {
            let (forth_in, forth_out) = crossbeam_channel::bounded(place.slots() as usize);
            let (back_in, back_out) = crossbeam_channel::bounded(place.slots() as usize);
            let first = Self {
                out: forth_in,
                inward: back_out,
            };
            (
                first,
                Self {
                    out: back_in,
                    inward: forth_out,
                },
            )
        })
    }

    #[inline(always)]
    fn put(&mut self, item: [u64; N]) -> io::Result<()> {
        let mut item = item;
        loop {
            match self.out.try_send(item) {
                Ok(()) => return Ok(()),
                Err(crossbeam_channel::TrySendError::Full(back)) => item = back,
                Err(crossbeam_channel::TrySendError::Disconnected(_)) => return Err(gone()),
            }
            spin_loop();
        }
    }

    #[inline(always)]
    fn next(&mut self) -> io::Result<[u64; N]> {
        loop {
            match self.inward.try_recv() {
                Ok(item) => return Ok(item),
                Err(crossbeam_channel::TryRecvError::Empty) => spin_loop(),
                Err(crossbeam_channel::TryRecvError::Disconnected) => return Err(gone()),
            }
        }
    }
}

impl<const N: usize> Channel for Crossbeam<N> {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.put(*of_bytes(message)?)
    }

    #[inline(always)]
    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        Ok(show(bytemuck::bytes_of(&self.next()?)))
    }

    #[inline(always)]
    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        let item = self.next()?;
        let goes_on = !last(bytemuck::bytes_of(&item));
        if goes_on {
            self.put(item)?;
        }
        Ok(goes_on)
    }
}
