//! The contenders, in the order of the tables: baselines, this library, the kernel.

use super::channel::{Contender, Opened};
use super::kernel::{Datagrams, Pipe, Queue, Unix};
use super::limit::Limit;
use super::load::Workload;
use super::queue::Queues;
use super::ring::{Fanned, Kind, Observed, Rings};
use super::slots::Slots;
use super::typed;
use std::io;

fn boxed(channel: io::Result<impl Opened + 'static>) -> io::Result<Box<dyn Opened>> {
    channel.map(|channel| Box::new(channel) as Box<dyn Opened>)
}

/// What two ends can do with each other without a loss.
pub fn pairs(workload: Workload, _: usize) -> bool {
    workload != Workload::Lossy && !workload.fans()
}

/// The contenders of `slipring bench`.
pub const CONTENDERS: &[Contender] = &[
    Contender {
        name: "limit",
        how: "no queue: sequence words and payloads packed in memory, written and read in place, nothing checked, nothing known but the number of the next message",
        threads: false,
        capacity: true,
        suits: pairs,
        open: |place| boxed(Limit::open(place)),
    },
    Contender {
        name: "slots",
        how: "a baseline: a sequence word and the payload in slots of whole cache lines, both copied word by word",
        threads: false,
        capacity: true,
        suits: pairs,
        open: |place| boxed(Slots::open(place, false)),
    },
    Contender {
        name: "futex",
        how: "the same, the receiver asleep until there is something to do",
        threads: false,
        capacity: true,
        // In a stream no end sleeps.
        suits: |workload, _| matches!(workload, Workload::RoundTrip | Workload::Paced),
        open: |place| boxed(Slots::open(place, true)),
    },
    Contender {
        name: "ring",
        how: "a ring, frames on 8 bytes, single publishes, consumer, both ends spin",
        threads: false,
        capacity: true,
        suits: |workload, size| workload.fans() || pairs(workload, size),
        open: |place| match place.load.workload.fans() {
            true => boxed(Fanned::open(place, false)),
            false => boxed(Rings::open(place, Kind::Plain)),
        },
    },
    Contender {
        name: "ring64",
        how: "the same with frames on 64 bytes",
        threads: false,
        capacity: true,
        suits: pairs,
        open: |place| boxed(Rings::open(place, Kind::Aligned)),
    },
    Contender {
        name: "at-head",
        how: "as ring, the consumer reading at the head: it neither stays behind nor flushes",
        threads: false,
        capacity: true,
        suits: pairs,
        open: |place| boxed(Rings::open(place, Kind::AtHead)),
    },
    Contender {
        name: "behind",
        how: "as ring, the consumer always staying 32 KiB behind, and never flushing",
        threads: false,
        capacity: true,
        suits: pairs,
        open: |place| boxed(Rings::open(place, Kind::Behind)),
    },
    Contender {
        name: "flushing",
        how: "as ring, the consumer always flushing what it has read, and never staying behind",
        threads: false,
        capacity: true,
        suits: pairs,
        open: |place| boxed(Rings::open(place, Kind::Flushing)),
    },
    Contender {
        name: "batch",
        how: "a ring, frames on 8 bytes, batches of 32",
        threads: false,
        capacity: true,
        // A batch of one is a single publish, and 32 must fit into half a ring.
        suits: |workload, size| workload.streams() && size <= 8192,
        open: |place| boxed(Rings::open(place, Kind::Batched)),
    },
    Contender {
        name: "claim",
        how: "a ring, frames on 8 bytes, messages made in claims one by one",
        threads: false,
        capacity: true,
        // What is copied in as it is, is a publish.
        suits: |workload, _| workload.streams(),
        open: |place| boxed(Rings::open(place, Kind::Claimed)),
    },
    Contender {
        name: "typed",
        how: "a ring of one type, messages of 16, 32, 64, 256 and 1024 bytes, TypedProducer and TypedConsumer, both ends spin",
        threads: false,
        capacity: true,
        suits: |workload, size| pairs(workload, size) && typed::SIZES.contains(&size),
        open: typed::open,
    },
    Contender {
        name: "stamped",
        how: "a ring whose messages carry stamps and whose consumer keeps a histogram, otherwise as ring",
        threads: false,
        capacity: true,
        suits: pairs,
        open: |place| boxed(Rings::open(place, Kind::Stamped)),
    },
    Contender {
        name: "observer",
        how: "a ring, frames on 8 bytes, single publishes, observer, both ends spin",
        threads: false,
        capacity: true,
        // A stream that nothing holds back would lose some.
        suits: |workload, _| matches!(workload, Workload::Lossy | Workload::Burst),
        open: |place| match place.load.workload.fans() {
            true => boxed(Fanned::open(place, true)),
            false => boxed(Observed::open(place)),
        },
    },
    Contender {
        name: "default",
        how: "a ring as it is by default: frames on 8 bytes, both ends spin for 20 us and then sleep",
        threads: false,
        capacity: true,
        suits: pairs,
        open: |place| boxed(Rings::open(place, Kind::Default)),
    },
    Contender {
        name: "membarrier",
        how: "the same, with the fences of those who wake left to those who sleep",
        threads: false,
        capacity: true,
        suits: pairs,
        open: |place| boxed(Rings::open(place, Kind::Unfenced)),
    },
    Contender {
        name: "park",
        how: "a ring, frames on 8 bytes, both ends asleep until there is something to do",
        threads: false,
        capacity: true,
        suits: |workload, _| matches!(workload, Workload::RoundTrip | Workload::Paced),
        open: |place| boxed(Rings::open(place, Kind::Parked)),
    },
    Contender {
        name: "queue",
        how: "a message queue of at most 65536 messages, each acknowledged, both ends spin",
        threads: false,
        capacity: true,
        suits: pairs,
        open: |place| boxed(Queues::open(place)),
    },
    Contender {
        name: "pipe",
        how: "the kernel's FIFO, blocking",
        threads: false,
        capacity: false,
        suits: pairs,
        open: |place| boxed(Pipe::open(place)),
    },
    Contender {
        name: "unix",
        how: "a Unix stream socket, blocking",
        threads: false,
        capacity: false,
        suits: pairs,
        open: |place| boxed(Unix::open(place)),
    },
    Contender {
        name: "dgram",
        how: "a Unix datagram socket each way, blocking",
        threads: false,
        capacity: false,
        suits: pairs,
        open: |place| boxed(Datagrams::open(place)),
    },
    Contender {
        name: "mq",
        how: "a POSIX message queue of ten messages, blocking",
        threads: false,
        capacity: false,
        // The kernel allows 8 KiB without privileges.
        suits: |workload, size| pairs(workload, size) && size <= 8192,
        open: |place| boxed(Queue::open(place)),
    },
];
