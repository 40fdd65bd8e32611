//! How much a source keeps of its ring, and how long: no more than it says, whatever the ring is like.

use crate::support::{Side, LONG};
use slipring::{Ring, Start};
use slipring_bridge::engine::local::Network;
use slipring_bridge::engine::Engine;
use slipring_bridge::{mirror, serve, BridgeError};
use slipring_mirror::Name;
use std::path::Path;
use std::sync::Arc;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn lossless(
    network: &Network,
    ring: &Path,
    require: &[&str],
    window: u64,
) -> Side<Result<(), BridgeError>> {
    let engine: Arc<dyn Engine> = Arc::new(network.clone());
    let options = serve::Options {
        lossless: true,
        require: require.iter().map(|text| name(text)).collect(),
        window,
        from: Start::Oldest,
        ..serve::Options::new(ring.to_owned(), name("quotes"))
    };
    Side::start(move |stop, ready| serve::serve(&engine, &options, stop, |_| ready()))
}

fn mirroring(network: &Network, copy: &Path, window: u64) -> Side<Result<(), BridgeError>> {
    let engine: Arc<dyn Engine> = Arc::new(network.clone());
    let options = mirror::Options {
        from: mirror::From::Oldest,
        window,
        ..mirror::Options::new(copy.to_owned(), name("quotes"), name("london"))
    };
    Side::start(move |stop, ready| mirror::mirror(&engine, &options, stop, |_| ready()))
}

/// A window of no bytes, or of fewer than a message has, lets one go after the other.
#[test]
fn a_window_smaller_than_a_message_lets_one_at_a_time_go() {
    for window in [0, 1, 50] {
        let directory = tempfile::tempdir().unwrap();
        let (path, copy) = (directory.path().join("ring"), directory.path().join("copy"));
        let ring = Ring::builder(path.clone()).create().unwrap();
        let mut producer = ring.producer().unwrap();
        let network = Network::default();
        let source = lossless(&network, &path, &["london"], window);
        source.wait();
        let side = mirroring(&network, &copy, 0);
        side.wait();
        let mut consumer = Ring::open(copy).unwrap().consumer(Start::Oldest).unwrap();
        for n in 0..20 {
            producer.publish(&[n as u8; 100]).unwrap();
        }
        for n in 0..20 {
            let message = consumer.receive_until(LONG).unwrap().unwrap();
            assert_eq!((message.sequence(), message[0]), (n, n as u8));
        }
        side.end().unwrap();
        source.end().unwrap();
    }
}
