//! For reference, those that work within one process only: two threads of it, the same loops.

use crate::{sized, words::of_bytes};
use disruptor::{
    BusySpin, EventPoller, Polling, Producer as _, SingleConsumerBarrier, SingleProducer,
    SingleProducerBarrier,
};
use slipring_cli::bench::channel::{Channel, Contender, End, Place};
use slipring_cli::bench::contenders::pairs;
use std::any::Any;
use std::hint::spin_loop;
use std::io;
use std::sync::Mutex;

pub const CONTENDERS: [Contender; 3] = [
    Contender {
        name: "rtrb",
        how: "two threads; push, pop, read_chunk in streams, busy spin",
        threads: true,
        capacity: true,
        suits: pairs,
        open: |place| sized!(place, Rtrb),
    },
    Contender {
        name: "disruptor",
        how: "two threads; single producer, publish, event poller in batches, busy spin",
        threads: true,
        capacity: true,
        suits: pairs,
        open: |place| sized!(place, Disruptor),
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
            for item in first.iter().chain(second) {
                if show(bytemuck::bytes_of(item)) {
                    return Ok(());
                }
            }
            chunk.commit_all();
        }
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
