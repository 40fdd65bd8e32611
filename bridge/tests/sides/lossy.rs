//! A source that sends hardly anything ahead, over a network that loses at random.

use crate::support::{Side, LONG};
use proptest::prelude::*;
use slipring::endpoint::Why;
use slipring::{Ring, Start};
use slipring_bridge::engine::local::Network;
use slipring_bridge::engine::{
    Engine, EngineError, Held, Outgoing, QuestionSink, ReplySink, SampleSink,
};
use slipring_bridge::mirror::{self, From};
use slipring_bridge::serve;
use slipring_mirror::Name;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// A network of which each thing is lost with a probability, whatever was lost before: what is lost by turns may be the same
/// thing each time that it is sent.
struct Losing {
    network: Network,
    one_in: u64,
    random: Arc<Mutex<u64>>,
}

fn loses(random: &Mutex<u64>, one_in: u64) -> bool {
    let mut random = random.lock().unwrap();
    *random = random
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    (*random >> 33).is_multiple_of(one_in)
}

impl Engine for Losing {
    fn publish(&self, outgoing: Outgoing<'_>) -> Result<(), EngineError> {
        match loses(&self.random, self.one_in) {
            true => Ok(()),
            false => self.network.publish(outgoing),
        }
    }

    fn subscribe(&self, key: &str, sink: SampleSink) -> Result<Held, EngineError> {
        self.network.subscribe(key, sink)
    }

    fn answer(&self, key: &str, sink: QuestionSink) -> Result<Held, EngineError> {
        self.network.answer(key, sink)
    }

    fn ask(
        &self,
        key: &str,
        parameters: &str,
        within: Duration,
        sink: ReplySink,
    ) -> Result<(), EngineError> {
        let (random, one_in) = (self.random.clone(), self.one_in);
        let sink = move |reply: Option<Vec<u8>>| {
            if reply.is_none() || !loses(&random, one_in) {
                sink(reply);
            }
        };
        self.network.ask(key, parameters, within, Box::new(sink))
    }

    fn addresses(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A message of so many bytes, or a gap of so many sequences.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Message(usize),
    Gap(u64),
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = prop_oneof![
        4 => prop_oneof![3 => 0..=64usize, 1 => 0..=1016usize].prop_map(Turn::Message),
        1 => prop_oneof![1..9u64, Just(1 << 40)].prop_map(Turn::Gap),
    ];
    prop::collection::vec(turn, 20..100)
}

proptest! {
    // A case that fails does so after a minute, so none is made smaller.
    #![proptest_config(ProptestConfig {
        cases: 8,
        max_shrink_iters: 0,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_small_window_over_a_network_that_loses_one_thing_in_five_loses_no_message(
        window in prop::sample::select(vec![0u64, 1, 2, 9, 70, 300, 2000]),
        capacity in prop::sample::select(vec![4096u64, 8192, 64 << 10]),
        held in prop::sample::select(vec![0u64, 4096, 4 << 20]),
        seed in any::<u64>(),
        turns in turns(),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let (path, copy) = (directory.path().join("ring"), directory.path().join("copy"));
        let ring = Ring::builder(path.clone()).capacity_bytes(capacity).create().unwrap();
        let mut producer = ring.producer().unwrap();
        let losing: Arc<dyn Engine> = Arc::new(Losing {
            network: Network::default(),
            one_in: 5,
            random: Arc::new(Mutex::new(seed)),
        });
        let options = serve::Options {
            lossless: true,
            require: vec![name("london")],
            window,
            from: Start::Oldest,
            ..serve::Options::new(path, name("quotes"))
        };
        let engine = losing.clone();
        let source = Side::start(move |stop, ready| serve::serve(&engine, &options, stop, |_| ready()));
        source.wait();
        let options = mirror::Options {
            from: From::Oldest,
            window: held,
            ..mirror::Options::new(copy.clone(), name("quotes"), name("london"))
        };
        let side = Side::start(move |stop, ready| mirror::mirror(&losing, &options, stop, |_| ready()));
        side.wait();
        // It holds the mirror back from before the first message on: the copy may be as small as the source.
        let mut consumer = Ring::open(copy).unwrap().consumer(Start::Oldest).unwrap();
        let reading = std::thread::spawn(move || {
            let mut received = Vec::new();
            while let Some(message) = consumer.receive_until(LONG).unwrap() {
                assert_eq!(message.missed(), 0);
                if let Some(gap) = message.gap() {
                    assert_eq!((gap.end, gap.why), (message.sequence(), Why::NotRecorded));
                }
                received.push((message.sequence(), message.to_vec()));
            }
            received
        });
        let mut sent = Vec::new();
        for (n, turn) in turns.into_iter().enumerate() {
            match turn {
                Turn::Message(len) => {
                    let payload = vec![n as u8; len];
                    let sequence = producer.publish_until(&payload, LONG).unwrap();
                    sent.push((sequence, payload));
                }
                Turn::Gap(many) => {
                    let end = producer.next_sequence().wrapping_add(many);
                    producer.skip_to_until(end, Why::NotRecorded, LONG).unwrap();
                }
            }
        }
        producer.close();
        prop_assert_eq!(reading.join().unwrap(), sent);
        side.end().unwrap();
        source.end().unwrap();
    }
}
