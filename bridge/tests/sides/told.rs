//! What a bridge counts and says of itself; and the end of a mirror whose source was made anew.

use crate::support::{bridge, free_port, output, status, Fake, Running, Side, LONG};
use slipring::{Consumer, Ring, Start};
use slipring_bridge::engine::local::Network;
use slipring_bridge::engine::Engine;
use slipring_bridge::mirror::{self, From};
use slipring_bridge::stat::{MirrorStat, SourceStat};
use slipring_bridge::BridgeError;
use slipring_mirror::mirror::Stop;
use slipring_mirror::pack::{heartbeat, Packer};
use slipring_mirror::Name;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn reader(path: &Path) -> Consumer {
    let end = Instant::now() + LONG;
    loop {
        match Ring::open(path.to_owned()) {
            Ok(ring) => return ring.consumer(Start::Oldest).unwrap(),
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
    }
}

/// Both sides count into rings that any tool can read, and the source tells what its mirror says: all of it is true.
#[test]
fn counters_are_rings_and_times_are_told_with_their_uncertainty() {
    const MANY: u64 = 5000;
    let directory = tempfile::tempdir().unwrap();
    let (source, copy) = (
        directory.path().join("quotes"),
        directory.path().join("copy"),
    );
    let ring = Ring::builder(source.clone()).create().unwrap();
    let mut producer = ring.producer().unwrap();
    let address = format!("tcp/127.0.0.1:{}", free_port());
    let serve = [
        "serve",
        source.to_str().unwrap(),
        "--listen",
        &address,
        "--stat",
    ];
    let mut serving = Running::start(&mut bridge(&serve));
    serving.says("serving");
    let named = directory.path().join("counts");
    let stat = format!("--stat={}", named.display());
    let arguments = [
        "mirror",
        copy.to_str().unwrap(),
        "--name",
        "quotes",
        "--as",
        "london",
    ];
    let mut mirroring = bridge(&arguments);
    mirroring.args(["--from", "oldest", "--connect", &address, &stat]);
    let mut mirroring = Running::start(&mut mirroring);
    mirroring.says("mirroring");
    let mut counts = Ring::open(named.clone())
        .unwrap()
        .typed::<MirrorStat>()
        .unwrap()
        .consumer(Start::Latest)
        .unwrap();
    let mut next = |until: &dyn Fn(&MirrorStat) -> bool| {
        let end = Instant::now() + LONG;
        loop {
            let stat = *counts.receive_until(LONG).unwrap().unwrap();
            if until(&stat) {
                return stat;
            }
            assert!(Instant::now() < end, "{stat:?}");
        }
    };
    // Once the clock is known, every message is timed.
    let begun = next(&|stat| stat.clock_uncertainty < u64::MAX);
    assert_eq!((begun.messages, begun.measured), (0, 0));
    let mut consumer = reader(&copy);
    let mut many = 0;
    let stat = loop {
        for n in many..many + MANY {
            producer.publish(&n.to_le_bytes()).unwrap();
        }
        for n in many..many + MANY {
            let message = consumer.receive_until(LONG).unwrap().unwrap();
            assert_eq!(message.sequence(), n);
        }
        many += MANY;
        let stat = next(&|stat| stat.next_sequence == many);
        // Where processes get no processor, all may come as answers, which are not timed.
        if stat.measured > 0 {
            break stat;
        }
        assert!(stat.fetches > 0 && many < 20 * MANY, "{stat:?}");
    };
    assert_eq!(
        (stat.messages, stat.source_sequence, stat.lost),
        (many, many, 0)
    );
    // A frame that came only as an answer is not timed.
    assert!(
        stat.measured <= many && (stat.measured == many || stat.fetches > 0),
        "{stat:?}"
    );
    // Both sides have one clock here.
    assert!(
        stat.clock_ahead.unsigned_abs() <= stat.clock_uncertainty,
        "{stat:?}"
    );
    let times = [
        stat.latency_p50,
        stat.latency_p99,
        stat.latency_p999,
        stat.latency_longest,
    ];
    assert!(times.is_sorted() && times[0] > 0, "{stat:?}");
    assert!(Duration::from_nanos(times[3]) < LONG, "{stat:?}");
    // What the source says.
    let end = Instant::now() + LONG;
    let state = loop {
        let (_, printed, said) = output(status(&address).arg("--json"));
        let state: serde_json::Value = serde_json::from_str(&printed).expect(&said);
        if state["mirrors"][0]["says"]["messages"] == many {
            break state;
        }
        assert!(Instant::now() < end, "{state}");
    };
    let says = &state["mirrors"][0]["says"];
    assert_eq!(says["latency_ns"]["measured"], stat.measured);
    assert!(
        says["clock_ns"]["uncertainty"].as_u64().unwrap() > 0,
        "{says}"
    );
    assert_eq!(says["lost"], 0);
    let (_, text, _) = output(&mut status(&address));
    assert!(
        text.contains("from sending to writing: half within"),
        "{text}"
    );
    assert!(text.contains("give or take"), "{text}");
    let beside = directory.path().join("bridge.quotes.stat");
    let mut counts = Ring::open(beside)
        .unwrap()
        .typed::<SourceStat>()
        .unwrap()
        .consumer(Start::Latest)
        .unwrap();
    let end = Instant::now() + LONG;
    loop {
        let stat = *counts.receive_until(LONG).unwrap().unwrap();
        assert_eq!((stat.next_sequence, stat.messages), (many, many));
        assert!(stat.bytes > 8 * many && stat.frames > 0);
        // One that gets no processor for two seconds does not count, until it is heard again.
        assert!(stat.mirrors <= 1, "{stat:?}");
        if (stat.behind, stat.mirrors) == (0, 1) {
            break;
        }
        assert!(Instant::now() < end, "{stat:?}");
    }
    // The ring stays, and the next one goes on in it; a second one at the same time is refused.
    let mut second = bridge(&[
        "mirror",
        copy.to_str().unwrap(),
        "--name",
        "quotes",
        "--as",
        "paris",
    ]);
    second.args(["--connect", &address, &stat_of(&named), "--timeout", "60"]);
    let (status, _, said) = output(&mut second);
    assert_eq!(status.code(), Some(1), "{said}");
    mirroring.signal(rustix::process::Signal::TERM);
    assert_eq!(mirroring.ended().code(), Some(0), "{}", mirroring.said);
    let before = Ring::open(named.clone())
        .unwrap()
        .status()
        .unwrap()
        .next_sequence;
    let mut again = bridge(&arguments);
    let mut again = Running::start(again.args(["--connect", &address, &stat_of(&named)]));
    again.says("mirroring");
    let end = Instant::now() + LONG;
    while Ring::open(named.clone())
        .unwrap()
        .status()
        .unwrap()
        .next_sequence
        == before
    {
        assert!(Instant::now() < end);
    }
}

fn stat_of(path: &Path) -> String {
    format!("--stat={}", path.display())
}

/// The source says that it has sent nine, gives three of them, answers no request, and is made anew: the mirror ends behind an
/// exact gap of the other six.
#[test]
fn a_mirror_ends_with_all_that_was_known_of_a_source_that_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let copy: PathBuf = directory.path().join("copy");
    let network = Network::default();
    let fake = Fake::new(&network);
    let engine: Arc<dyn Engine> = Arc::new(network.clone());
    let name = |text: &str| text.parse::<Name>().unwrap();
    let options = mirror::Options {
        from: From::Oldest,
        patience: Some(LONG),
        ..mirror::Options::new(copy.clone(), name("quotes"), name("london"))
    };
    let side = Side::start(move |stop, ready| mirror::mirror(&engine, &options, stop, |_| ready()));
    side.wait();
    let (mut packer, mut packed) = (Packer::default(), Vec::new());
    for n in 0..3u64 {
        packer.message(&fake.stamp, n, &n.to_le_bytes(), &mut packed);
    }
    packer.flush(&fake.stamp, &mut packed);
    for frame in packed {
        fake.send(&frame.bytes);
    }
    fake.send(&heartbeat(&fake.stamp, 9, false));
    let mut consumer = reader(&copy);
    for n in 0..3u64 {
        assert_eq!(
            consumer.receive_until(LONG).unwrap().unwrap()[..],
            n.to_le_bytes()
        );
    }
    // Silence makes it ask.
    fake.meta.lock().unwrap().ring = 8;
    let ended = side.ended();
    assert!(
        matches!(ended, Err(BridgeError::Stop(Stop::Recreated { ring: 8 }))),
        "{ended:?}"
    );
    let status = Ring::open(copy).unwrap().status().unwrap();
    assert_eq!(status.next_sequence, Some(9));
    assert!(
        consumer.receive_until(LONG).unwrap().is_none(),
        "it is not closed"
    );
    assert_eq!(
        (consumer.losses().skipped, consumer.next_sequence()),
        (6, 9)
    );
}
