//! Zenoh between two peers of one host, payloads in its shared memory, which is what users compare: a publisher and a
//! subscriber each way, nothing lost (`CongestionControl::Block`), at once (`express`) where one message is waited for.
//!
//! The samples themselves go over a Unix socket; only what they carry lies in shared memory.

use ::zenoh::handlers::{FifoChannel, FifoChannelHandler};
use ::zenoh::pubsub::{Publisher, Subscriber};
use ::zenoh::qos::CongestionControl;
use ::zenoh::sample::Sample;
use ::zenoh::shm::{
    BlockOn, GarbageCollect, PosixShmProviderBackend, ShmProvider, ShmProviderBuilder,
};
use ::zenoh::{Config, Session, Wait};
use slipring_cli::bench::channel::{Channel, Contender, End, Place};
use slipring_cli::bench::contenders::pairs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

pub const CONTENDERS: [Contender; 1] = [Contender {
    name: "zenoh",
    how: "peers over a Unix socket, payloads in its shared memory, blocking",
    threads: false,
    capacity: true,
    suits: pairs,
    open: |place| crate::boxed(Peers::open(place)),
}];

/// How long the two ends look for each other.
const MEET: Duration = Duration::from_secs(20);

struct Peers {
    provider: ShmProvider<PosixShmProviderBackend>,
    publisher: Publisher<'static>,
    subscriber: Subscriber<FifoChannelHandler<Sample>>,
    /// Closed last.
    _session: Session,
}

fn other(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

fn config(place: &Place<'_>) -> Result<Config, ::zenoh::Error> {
    let mut config = Config::default();
    let socket = socket(place.directory);
    let role = match place.end {
        End::First => "listen/endpoints",
        End::Second => "connect/endpoints",
    };
    for (key, value) in [
        ("mode", "\"peer\""),
        ("scouting/multicast/enabled", "false"),
        ("listen/endpoints", "[]"),
        (role, socket.as_str()),
        ("transport/shared_memory/enabled", "true"),
    ] {
        config.insert_json5(key, value)?;
    }
    Ok(config)
}

fn socket(directory: &Path) -> String {
    format!("[\"unixsock-stream/{}/zenoh\"]", directory.display())
}

impl Peers {
    fn open(place: &Place<'_>) -> io::Result<Self> {
        let session = ::zenoh::open(config(place).map_err(other)?)
            .wait()
            .map_err(other)?;
        let (out, inward) = match place.end {
            End::First => ("bench/forth", "bench/back"),
            End::Second => ("bench/back", "bench/forth"),
        };
        let subscriber = session
            .declare_subscriber(inward)
            .with(FifoChannel::new(1024))
            .wait()
            .map_err(other)?;
        let publisher = session
            .declare_publisher(out)
            .congestion_control(CongestionControl::Block)
            .express(!place.load.workload.streams())
            .wait()
            .map_err(other)?;
        let provider = ShmProviderBuilder::default_backend(place.capacity as usize)
            .wait()
            .map_err(other)?;
        Ok(Self {
            provider,
            publisher,
            subscriber,
            _session: session,
        })
    }

    fn receive_sample(&self) -> io::Result<Sample> {
        self.subscriber.recv().map_err(other)
    }
}

impl Channel for Peers {
    fn start(&mut self) -> io::Result<()> {
        let began = Instant::now();
        while !self
            .publisher
            .matching_status()
            .wait()
            .map_err(other)?
            .matching()
        {
            if began.elapsed() > MEET {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let lent = self.provider.alloc(message.len());
        let mut lent = lent
            .with_policy::<BlockOn<GarbageCollect>>()
            .wait()
            .map_err(other)?;
        lent.copy_from_slice(message);
        self.publisher.put(lent).wait().map_err(other)
    }

    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        Ok(show(&self.receive_sample()?.payload().to_bytes()))
    }

    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        let sample = self.receive_sample()?;
        let message = sample.payload().to_bytes();
        let goes_on = !last(&message);
        if goes_on {
            self.send(&message)?;
        }
        Ok(goes_on)
    }
}
