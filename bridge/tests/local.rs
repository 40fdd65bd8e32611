//! Both sides in one process, over an engine that loses what it is told to lose, with real rings.

use slipring::endpoint::Why;
use slipring::schema::OpaqueSchema;
use slipring::{Received, Ring, Start};
use slipring_bridge::encoding::Encoding;
use slipring_bridge::engine::local::Network;
use slipring_bridge::engine::{Engine, Lane, Outgoing, Sample};
use slipring_bridge::mirror::{self, From, OnRecreate};
use slipring_bridge::{export, import, serve, BridgeError};
use slipring_mirror::mirror::Stop;
use slipring_mirror::Name;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A thread that serves or mirrors, until it is dropped.
struct Side {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<(), BridgeError>>>,
    ready: mpsc::Receiver<()>,
}

impl Side {
    fn serve(network: &Network, options: serve::Options) -> Self {
        let engine: Arc<dyn Engine> = Arc::new(network.clone());
        Self::start(move |stop, ready| {
            serve::serve(&engine, &options, stop, |_| ready.send(()).unwrap_or(()))
        })
    }

    fn mirror(network: &Network, options: mirror::Options) -> Self {
        let engine: Arc<dyn Engine> = Arc::new(network.clone());
        Self::start(move |stop, ready| {
            mirror::mirror(&engine, &options, stop, |_| ready.send(()).unwrap_or(()))
        })
    }

    fn start<F>(run: F) -> Self
    where
        F: FnOnce(&AtomicBool, mpsc::Sender<()>) -> Result<(), BridgeError> + Send + 'static,
    {
        let stop = Arc::new(AtomicBool::new(false));
        let (is, ready) = mpsc::channel();
        let stops = stop.clone();
        Self {
            stop,
            thread: Some(std::thread::spawn(move || run(&stops, is))),
            ready,
        }
    }

    fn wait(&mut self) {
        if self.ready.recv_timeout(LONG).is_err() {
            let ended = self.thread.take().map(JoinHandle::join);
            panic!("it never began: {ended:?}");
        }
    }

    fn end(mut self) -> Result<(), BridgeError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }

    /// Waits until it ends by itself.
    fn ended(mut self) -> Result<(), BridgeError> {
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Scratch {
    _directory: tempfile::TempDir,
    source: PathBuf,
    copy: PathBuf,
}

fn scratch() -> Scratch {
    let directory = tempfile::tempdir().unwrap();
    Scratch {
        source: directory.path().join("source"),
        copy: directory.path().join("copy"),
        _directory: directory,
    }
}

fn serving(at: &Scratch) -> serve::Options {
    serve::Options {
        host: "exchange-3".to_owned(),
        ..serve::Options::new(at.source.clone(), name("quotes"))
    }
}

fn mirroring(place: &Path) -> mirror::Options {
    mirror::Options {
        patience: Some(LONG),
        ..mirror::Options::new(place.to_owned(), name("quotes"), name("london"))
    }
}

fn opened(path: &Path) -> Ring {
    let until = Instant::now() + LONG;
    loop {
        match Ring::open(path.to_owned()) {
            Ok(ring) => return ring,
            Err(error) if Instant::now() > until => panic!("{error}"),
            Err(_) => std::thread::yield_now(),
        }
    }
}

fn payload(sequence: u64) -> Vec<u8> {
    let len = match sequence % 97 {
        0 => 100_000,
        n => n as usize,
    };
    let mut bytes = vec![sequence as u8; len.max(8)];
    bytes[..8].copy_from_slice(&sequence.to_le_bytes());
    bytes
}

#[test]
fn a_mirror_has_the_messages_the_sequences_and_the_description_of_its_source() {
    let at = scratch();
    let schema: slipring::schema::Schema = "Quote { bid: f64, ask: f64 }".parse().unwrap();
    let opaque = OpaqueSchema::new("protobuf", "q.proto", *b"message Quote {}").unwrap();
    let ring = Ring::builder(at.source.clone())
        .capacity_bytes(64 << 10)
        .frame_align(64)
        .max_readers(7)
        .stamps(true)
        .first_sequence(u64::MAX - 100)
        .schema(schema.clone())
        .opaque_schema(&opaque)
        .create()
        .unwrap();
    let mut producer = ring.producer().unwrap();
    let network = Network::default();
    let mut source = Side::serve(&network, serving(&at));
    source.wait();
    let mut copy = Side::mirror(&network, mirroring(&at.copy));
    copy.wait();
    let mirror = opened(&at.copy);
    let mut consumer = mirror.consumer(Start::Oldest).unwrap();
    for n in 0..300u64 {
        let sequence = producer.publish(&[n as u8; 16]).unwrap();
        let message = consumer.receive_until(LONG).unwrap().unwrap();
        assert_eq!(
            (message.sequence(), &message[..]),
            (sequence, &[n as u8; 16][..])
        );
    }
    let origin = mirror.origin().unwrap();
    assert_eq!((origin.id, origin.host.as_str()), (ring.id(), "exchange-3"));
    assert_eq!(mirror.schema(), Some(&schema));
    assert_eq!(mirror.opaque_schema().unwrap(), Some(opaque));
    assert_eq!(mirror.capacity_bytes(), 64 << 10);
    assert_eq!(
        (mirror.frame_align(), mirror.max_readers(), mirror.stamps()),
        (64, 7, true)
    );
    // Gaps keep their reason, another producer is an epoch, and the end is the end.
    let next = producer.next_sequence();
    producer.skip_to(next + 1000, Why::NotRecorded).unwrap();
    producer.publish(&[1; 16]).unwrap();
    let message = consumer.receive_until(LONG).unwrap().unwrap();
    let gap = message.gap().unwrap();
    assert_eq!(
        (gap.first, gap.end, gap.why),
        (next, next + 1000, Why::NotRecorded)
    );
    drop(message);
    producer.detach();
    assert!(consumer.new_epoch().is_none());
    let mut producer = ring.producer().unwrap();
    let began = producer.publish(&[2; 16]).unwrap();
    assert_eq!(
        consumer.receive_until(LONG).unwrap().unwrap().sequence(),
        began
    );
    assert_eq!(consumer.new_epoch().unwrap().first_sequence, began);
    producer.close();
    assert!(consumer.receive_until(LONG).unwrap().is_none());
    // Open again.
    let mut producer = ring.producer().unwrap();
    let began = producer.publish(&[3; 16]).unwrap();
    assert_eq!(
        consumer.receive_until(LONG).unwrap().unwrap().sequence(),
        began
    );
    copy.end().unwrap();
    source.end().unwrap();
}

/// What is lost on the way is asked for; messages longer than frames go in parts.
#[test]
fn a_network_that_loses_one_thing_in_three_loses_nothing_for_good() {
    let at = scratch();
    let ring = Ring::builder(at.source.clone())
        .capacity_bytes(16 << 20)
        .create()
        .unwrap();
    let mut producer = ring.producer().unwrap();
    for n in 0..500 {
        producer.publish(&payload(n)).unwrap();
    }
    let network = Network::default();
    let mut source = Side::serve(&network, serving(&at));
    source.wait();
    network.lose_one_in(3);
    let options = mirror::Options {
        from: From::Oldest,
        ..mirroring(&at.copy)
    };
    let mut copy = Side::mirror(&network, options);
    copy.wait();
    let mut consumer = opened(&at.copy).consumer(Start::Oldest).unwrap();
    for n in 500..3000 {
        producer.publish(&payload(n)).unwrap();
        if n.is_multiple_of(50) {
            std::thread::yield_now();
        }
    }
    producer.close();
    for n in 0..3000 {
        let message = consumer.receive_until(LONG).unwrap().unwrap();
        assert_eq!((message.sequence(), &message[..]), (n, &payload(n)[..]));
    }
    assert!(consumer.receive_until(LONG).unwrap().is_none());
    assert_eq!(consumer.losses().total(), 0);
    copy.end().unwrap();
    source.end().unwrap();
}

/// A source that waits for no mirror goes on; what it overwrote is a gap, exactly.
#[test]
fn a_mirror_that_was_away_too_long_is_told_exactly_what_is_gone() {
    let at = scratch();
    let ring = Ring::builder(at.source.clone())
        .capacity_bytes(4096)
        .create()
        .unwrap();
    let mut producer = ring.producer().unwrap();
    let network = Network::default();
    let mut source = Side::serve(&network, serving(&at));
    source.wait();
    let mut copy = Side::mirror(&network, mirroring(&at.copy));
    copy.wait();
    let mut consumer = opened(&at.copy).consumer(Start::Oldest).unwrap();
    producer.publish(&0u64.to_le_bytes()).unwrap();
    assert_eq!(consumer.receive_until(LONG).unwrap().unwrap().sequence(), 0);
    copy.end().unwrap();
    for n in 1..10_000u64 {
        producer.publish(&n.to_le_bytes()).unwrap();
    }
    let options = mirror::Options {
        mirror: name("other"),
        ..mirroring(&at.copy)
    };
    let mut copy = Side::mirror(&network, options);
    copy.wait();
    producer.close();
    let mut next = 1;
    while let Some(message) = consumer.receive_until(LONG).unwrap() {
        if let Some(gap) = message.gap() {
            assert_eq!((gap.first, gap.why), (next, Why::Lost));
            next = gap.end;
        }
        assert_eq!(message.sequence(), next);
        assert_eq!(message[..], next.to_le_bytes());
        next += 1;
    }
    assert_eq!(next, 10_000);
    let losses = consumer.losses();
    assert!(losses.skipped > 5000 && losses.evicted == 0, "{losses:?}");
    copy.end().unwrap();
    source.end().unwrap();
}

/// With a mirror that is waited for, the producer waits; so nothing is lost, if either side is away.
#[test]
fn a_lossless_source_keeps_what_its_mirror_has_not_written() {
    let at = scratch();
    let ring = Ring::builder(at.source.clone())
        .capacity_bytes(16 << 10)
        .create()
        .unwrap();
    let mut producer = ring.producer().unwrap();
    let network = Network::default();
    network.lose_one_in(7);
    let lossless = || serve::Options {
        lossless: true,
        require: vec![name("london")],
        window: 5000,
        from: Start::Oldest,
        ..serving(&at)
    };
    let options = || mirror::Options {
        from: From::Oldest,
        ..mirroring(&at.copy)
    };
    let mut sides = (
        Some(Side::serve(&network, lossless())),
        Some(Side::mirror(&network, options())),
    );
    sides.0.as_mut().unwrap().wait();
    sides.1.as_mut().unwrap().wait();
    let consumer = opened(&at.copy).consumer(Start::Oldest).unwrap();
    let reader = std::thread::spawn(move || {
        let mut consumer = consumer;
        for n in 0..20_000u64 {
            let message = loop {
                // The mirror may be away for a moment.
                match consumer.receive_until(LONG) {
                    Ok(Some(message)) => {
                        assert_eq!((message.gap(), message.missed()), (None, 0));
                        break message.sequence();
                    }
                    Ok(None) | Err(slipring::endpoint::ReceiveError::ProducerGone { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            };
            assert_eq!(message, n);
        }
        assert_eq!(consumer.losses().total(), 0);
    });
    for n in 0..20_000u64 {
        if n % 4000 == 1000 {
            sides.0.take().unwrap().end().unwrap();
            // With no source, the cursor does not hold the producer back: it is not to publish much meanwhile.
            sides.0 = Some(Side::serve(&network, lossless()));
            sides.0.as_mut().unwrap().wait();
        }
        if n % 4000 == 3000 {
            sides.1.take().unwrap().end().unwrap();
            sides.1 = Some(Side::mirror(&network, options()));
        }
        let published = producer.publish_until(&n.to_le_bytes(), LONG);
        assert_eq!(published.unwrap(), n);
    }
    reader.join().unwrap();
}

#[test]
fn a_source_that_was_made_anew_is_followed_or_ends_the_mirror() {
    for follow in [true, false] {
        let at = scratch();
        let network = Network::default();
        let ring = Ring::builder(at.source.clone()).create().unwrap();
        let mut producer = ring.producer().unwrap();
        let mut source = Side::serve(&network, serving(&at));
        source.wait();
        let options = mirror::Options {
            on_recreate: match follow {
                true => OnRecreate::Follow,
                false => OnRecreate::Stop,
            },
            ..mirroring(&at.copy)
        };
        let mut copy = Side::mirror(&network, options);
        copy.wait();
        let old = opened(&at.copy);
        let mut consumer = old.consumer(Start::Oldest).unwrap();
        producer.publish(b"old").unwrap();
        assert_eq!(&consumer.receive_until(LONG).unwrap().unwrap()[..], b"old");
        drop(producer);
        slipring::registry::remove_at(at.source.clone(), true).unwrap();
        // A source that is asked before it has noticed goes on, too.
        for key in ["meta", "status"] {
            let key = format!("slipring/1/default/quotes/{key}");
            network.ask(&key, "", LONG, Box::new(|_| ())).unwrap();
        }
        let ring = Ring::builder(at.source.clone()).create().unwrap();
        let mut producer = ring.producer().unwrap();
        producer.publish(b"new").unwrap();
        source.wait();
        assert!(consumer.receive_until(LONG).is_ok_and(|end| end.is_none()));
        if follow {
            copy.wait();
            let new = opened(&at.copy);
            assert_eq!(new.origin().unwrap().id, ring.id());
            let mut observer = new.observer(Start::Oldest).unwrap();
            match observer.receive_until(LONG).unwrap() {
                Received::Message(message) => assert_eq!(&message[..], b"new"),
                other => panic!("{other:?}"),
            }
        } else {
            let stop = Stop::Recreated { ring: ring.id() };
            match copy.ended() {
                Err(BridgeError::Stop(found)) => assert_eq!(found, stop),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn what_cannot_be_mirrored_is_refused() {
    let at = scratch();
    let network = Network::default();
    let engine: Arc<dyn Engine> = Arc::new(network.clone());
    let stop = AtomicBool::new(false);
    let ready = |_: &Ring| panic!("it is refused");
    let mut options = mirror::Options {
        patience: Some(Duration::ZERO),
        ..mirroring(&at.copy)
    };
    assert!(matches!(
        mirror::mirror(&engine, &options, &stop, ready),
        Err(BridgeError::NoSource { .. })
    ));
    assert!(matches!(
        serve::serve(&engine, &serving(&at), &stop, ready),
        Err(BridgeError::Open(_))
    ));
    let evicting = Ring::builder(at.source.clone()).evict_after(Duration::from_secs(1));
    evicting.create().unwrap();
    let lossless = serve::Options {
        lossless: true,
        ..serving(&at)
    };
    assert!(matches!(
        serve::serve(&engine, &lossless, &stop, ready),
        Err(BridgeError::Evicts { .. })
    ));
    let required = serve::Options {
        require: vec![name("london")],
        ..serving(&at)
    };
    assert!(matches!(
        serve::serve(&engine, &required, &stop, ready),
        Err(BridgeError::Settings(_))
    ));
    options.patience = Some(LONG);
    let mut source = Side::serve(&network, serving(&at));
    source.wait();
    Ring::builder(at.copy.clone()).create().unwrap();
    assert!(matches!(
        mirror::mirror(&engine, &options, &stop, ready),
        Err(BridgeError::NotAMirror { .. })
    ));
    slipring::registry::remove_at(at.copy.clone(), true).unwrap();
    let first_of = options.clone();
    options.place = at.source.with_file_name("second").into();
    // A mirror that gets no processor for so long that it says nothing for two seconds has lost its name to the next one.
    let refused = (0..20).find_map(|_| {
        let mut first = Side::mirror(&network, first_of.clone());
        first.wait();
        let stop = AtomicBool::new(false);
        let begun = |_: &Ring| stop.store(true, Ordering::Relaxed);
        match mirror::mirror(&engine, &options, &stop, begun) {
            Err(BridgeError::Stop(Stop::NameTaken)) => Some(first),
            other => other.map(|()| None).unwrap(),
        }
    });
    let _first = refused.expect("each of twenty took the name of one that lives");
    // Another ring under the same name.
    let other = scratch();
    Ring::builder(other.source.clone()).create().unwrap();
    let mut second = Side::serve(&network, serving(&other));
    second.wait();
    assert!(matches!(
        mirror::mirror(&engine, &options, &stop, ready),
        Err(BridgeError::Ambiguous { .. })
    ));
}

#[test]
fn other_programs_publish_into_a_ring_and_receive_from_one() {
    let at = scratch();
    let network = Network::default();
    let engine: Arc<dyn Engine> = Arc::new(network.clone());
    let into = import::Options {
        place: at.source.clone().into(),
        key: "market/**".to_owned(),
        capacity: 4096,
        encoding: Encoding::Raw,
        schema: None,
        mode: 0o600,
        window: 20_000,
    };
    let mut importing = Side::start(move |stop, ready| {
        import::import(
            &engine,
            &into,
            stop,
            |_| ready.send(()).unwrap_or(()),
            |_| {},
        )
    });
    importing.wait();
    let ring = opened(&at.source);
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    let engine: Arc<dyn Engine> = Arc::new(network.clone());
    let out = export::Options {
        place: at.source.clone().into(),
        key: "elsewhere/ticks".to_owned(),
        encoding: Encoding::Raw,
        media_type: None,
        from: Start::Oldest,
    };
    let mut exporting = Side::start(move |stop, ready| {
        export::export(&engine, &out, stop, |_| ready.send(()).unwrap_or(()))
    });
    exporting.wait();
    let (heard, hears) = mpsc::channel();
    let sink = Box::new(move |sample: Sample<'_>| heard.send(sample.bytes.to_vec()).unwrap_or(()));
    let _held = network.subscribe("elsewhere/*", sink).unwrap();
    let publish = |bytes: &[u8]| {
        let outgoing = Outgoing {
            key: "market/a/b",
            lane: Lane::Plain,
            bytes,
            encoding: None,
            attachment: None,
        };
        network.publish(outgoing).unwrap();
    };
    publish(b"first");
    assert_eq!(
        &consumer.receive_until(LONG).unwrap().unwrap()[..],
        b"first"
    );
    assert_eq!(hears.recv_timeout(LONG).unwrap(), b"first");
    // More than a ring and a window, at once: what has no room is a gap, and so is what is too large.
    publish(&[0; 2000]);
    for n in 0..1000u64 {
        publish(&n.to_le_bytes());
    }
    let message = consumer.receive_until(LONG).unwrap().unwrap();
    let gap = message.gap().unwrap();
    assert_eq!((gap.first, gap.end, gap.why), (1, 2, Why::NotRecorded));
    assert_eq!(message[..], 0u64.to_le_bytes());
    drop(message);
    for n in 1..50u64 {
        let message = consumer.receive_until(LONG).unwrap().unwrap();
        assert_eq!(
            (message.sequence(), &message[..]),
            (n + 2, &n.to_le_bytes()[..])
        );
    }
    // Once there is room, the next message comes behind the gap.
    let mut next = 52;
    loop {
        publish(&u64::MAX.to_le_bytes());
        let message = consumer.receive_until(LONG).unwrap().unwrap();
        let sequence = message.sequence();
        if let Some(gap) = message.gap() {
            assert_eq!((gap.first, gap.end, gap.why), (next, sequence, Why::Lost));
            break;
        }
        assert_eq!(sequence, next);
        assert_eq!(message[..], (next - 2).to_le_bytes());
        next += 1;
    }
    importing.end().unwrap();
    exporting.end().unwrap();
}
