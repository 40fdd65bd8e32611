//! iceoryx2: publish and subscribe, one service each way, payloads in place.
//!
//! Unsafe, because a loan is memory without a value, which its user says that it has written.
#![allow(
    unsafe_code,
    reason = "loans are written and then declared initialized"
)]

use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::*;
use slipring_cli::bench::channel::{Channel, Contender, End, Place};
use slipring_cli::bench::fan::{Fan, Fanning};
use slipring_cli::bench::load::Workload;
use slipring_cli::bench::message::Source;
use std::hint::spin_loop;
use std::io;

pub const CONTENDERS: [Contender; 1] = [Contender {
    name: "iceoryx2",
    how: "ipc service, one publisher and subscriber, no history, payloads on 64 bytes made in loans, retry until delivered (lossy: overflow), busy spin",
    threads: false,
    capacity: true,
    suits: |_, _| true,
    open: |place| match place.load.workload.fans() {
        true => crate::boxed(Readers::open(place)),
        false => crate::boxed(Services::open(place)),
    },
}];

struct Services {
    publisher: Publisher<ipc::Service, [u64], ()>,
    subscriber: Subscriber<ipc::Service, [u64], ()>,
    _node: Node<ipc::Service>,
}

fn other(error: impl std::fmt::Debug) -> io::Error {
    io::Error::other(format!("{error:?}"))
}

impl Services {
    fn open(place: &Place<'_>) -> io::Result<Self> {
        set_log_level(LogLevel::Fatal);
        let tag = place
            .directory
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let lossy = place.load.workload == Workload::Lossy;
        let node = NodeBuilder::new().create::<ipc::Service>().map_err(other)?;
        let service = |way: &str| {
            let name = format!("{tag}/{way}");
            node.service_builder(&name.as_str().try_into().map_err(other)?)
                .publish_subscribe::<[u64]>()
                .payload_alignment(Alignment::new(64).ok_or(io::ErrorKind::InvalidInput)?)
                .history_size(0)
                .max_publishers(1)
                .max_subscribers(1)
                .subscriber_max_buffer_size(place.slots() as usize)
                .enable_safe_overflow(lossy)
                .open_or_create()
                .map_err(other)
        };
        let (out, inward) = match place.end {
            End::First => (service("forth")?, service("back")?),
            End::Second => (service("back")?, service("forth")?),
        };
        let publisher = out
            .publisher_builder()
            .initial_max_slice_len(place.load.size / 8)
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered)
            .create()
            .map_err(other)?;
        let subscriber = inward.subscriber_builder().create().map_err(other)?;
        Ok(Self {
            publisher,
            subscriber,
            _node: node,
        })
    }
}

/// Sends a message that lies elsewhere.
#[inline(always)]
fn put(publisher: &Publisher<ipc::Service, [u64], ()>, words: &[u64]) -> io::Result<()> {
    let sample = publisher.loan_slice_uninit(words.len()).map_err(other)?;
    sample.write_from_slice(words).send().map_err(other)?;
    Ok(())
}

/// Sends the next message of a source, made in a loan.
#[inline(always)]
fn put_next(
    publisher: &Publisher<ipc::Service, [u64], ()>,
    source: &mut impl Source,
) -> io::Result<()> {
    let loan = publisher.loan_slice_uninit(source.size() / 8);
    let mut sample = loan.map_err(other)?;
    source.write_words(sample.payload_mut());
    // SAFETY: `write_words` has written every word.
    let sample = unsafe { sample.assume_init() };
    sample.send().map_err(other)?;
    Ok(())
}

fn words(message: &[u8]) -> io::Result<&[u64]> {
    bytemuck::try_cast_slice(message).map_err(|error| io::Error::other(error.to_string()))
}

impl Channel for Services {
    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        put(&self.publisher, words(message)?)
    }

    #[inline(always)]
    fn send_many(&mut self, count: usize, source: &mut impl Source) -> io::Result<()> {
        for _ in 0..count {
            put_next(&self.publisher, source)?;
        }
        Ok(())
    }

    #[inline(always)]
    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        loop {
            if let Some(sample) = self.subscriber.receive().map_err(other)? {
                return Ok(show(bytemuck::cast_slice(sample.payload())));
            }
            spin_loop();
        }
    }

    #[inline(always)]
    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        loop {
            if let Some(sample) = self.subscriber.receive().map_err(other)? {
                let goes_on = !last(bytemuck::cast_slice(sample.payload()));
                if goes_on {
                    put(&self.publisher, sample.payload())?;
                }
                return Ok(goes_on);
            }
            spin_loop();
        }
    }
}

/// One service: its publisher at the first end, subscribers at the second.
struct Readers {
    publisher: Option<Publisher<ipc::Service, [u64], ()>>,
    subscribers: Vec<Subscriber<ipc::Service, [u64], ()>>,
    _node: Node<ipc::Service>,
}

impl Readers {
    fn open(place: &Place<'_>) -> io::Result<Fanning<Self>> {
        set_log_level(LogLevel::Fatal);
        let tag = place
            .directory
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let node = NodeBuilder::new().create::<ipc::Service>().map_err(other)?;
        let name = format!("{tag}/fan");
        let service = node
            .service_builder(&name.as_str().try_into().map_err(other)?)
            .publish_subscribe::<[u64]>()
            .payload_alignment(Alignment::new(64).ok_or(io::ErrorKind::InvalidInput)?)
            .history_size(0)
            .max_publishers(1)
            .max_subscribers(place.load.readers.max(1))
            .subscriber_max_buffer_size(place.slots() as usize)
            .enable_safe_overflow(false)
            .open_or_create()
            .map_err(other)?;
        let (mut publisher, mut subscribers) = (None, Vec::new());
        match place.end {
            End::First => {
                let builder = service
                    .publisher_builder()
                    .initial_max_slice_len(place.load.size / 8)
                    .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered);
                publisher = Some(builder.create().map_err(other)?);
            }
            End::Second => {
                for _ in 0..place.load.readers {
                    subscribers.push(service.subscriber_builder().create().map_err(other)?);
                }
            }
        }
        Ok(Fanning(Self {
            publisher,
            subscribers,
            _node: node,
        }))
    }
}

impl Fan for Readers {
    #[inline(always)]
    fn publish(&mut self, message: &[u8]) -> io::Result<()> {
        let publisher = self.publisher.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        put(publisher, words(message)?)
    }

    #[inline(always)]
    fn publish_next(&mut self, source: &mut impl Source) -> io::Result<()> {
        let publisher = self.publisher.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        put_next(publisher, source)
    }

    #[inline(always)]
    fn poll(&mut self, reader: usize, mut show: impl FnMut(&[u8])) -> io::Result<()> {
        for _ in 0..256 {
            match self.subscribers[reader].receive().map_err(other)? {
                Some(sample) => show(bytemuck::cast_slice(sample.payload())),
                None => break,
            }
        }
        Ok(())
    }
}
