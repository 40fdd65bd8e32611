//! What any Zenoh program receives of a ring, and what becomes of what any program publishes.
//!
//! The reader here knows nothing of rings: it decodes CDR by the rules of its specification, and JSON as JSON.

use crate::support::{bridge, free_port, output, Running, Side, LONG};
use proptest::prelude::*;
use slipring::schema::{Field, Kind, OpaqueSchema, Schema};
use slipring::{Ring, Start};
use slipring_bridge::encoding::{Encoding, EncodingError};
use slipring_bridge::engine::local::Network;
use slipring_bridge::engine::{Engine, Lane, Outgoing, Sample};
use slipring_bridge::{export, import, BridgeError};
use std::path::Path;
use std::sync::{mpsc, Arc};
use zenoh::Wait;

/// Reads plain CDR: numbers in the order that the header names, each at a multiple of its size, counted behind the header.
struct Cdr<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Cdr<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        assert_eq!(bytes[..4], [0, 1, 0, 0], "not plain CDR, little-endian");
        Self {
            body: &bytes[4..],
            at: 0,
        }
    }

    fn number(&mut self, kind: Kind) -> &'a [u8] {
        let size = kind.bytes() as usize;
        self.at = self.at.next_multiple_of(size);
        self.at += size;
        &self.body[self.at - size..self.at]
    }
}

/// A number as JSON has it.
fn shown(kind: Kind, bytes: &[u8]) -> serde_json::Value {
    macro_rules! of {
        ($($kind:ident $type:ty),*) => {
            match kind {
                $(Kind::$kind => <$type>::from_le_bytes(bytes.try_into().unwrap()).into(),)*
            }
        };
    }
    of!(U8 u8, U16 u16, U32 u32, U64 u64, I8 i8, I16 i16, I32 i32, I64 i64, F32 f32, F64 f64)
}

/// Fields of random kinds and lengths, in an order that leaves no gap, as a schema demands.
fn schemas() -> impl Strategy<Value = Schema> {
    let field = (0..10usize, 1..5u32);
    prop::collection::vec(field, 1..12).prop_map(|mut fields| {
        fields.sort_by_key(|(kind, _)| std::cmp::Reverse(Kind::ALL[*kind].bytes()));
        let mut schema = Schema::builder("Any");
        for (n, (kind, count)) in fields.into_iter().enumerate() {
            schema = schema.push(Field::new(format!("f{n}"), Kind::ALL[kind], count));
        }
        schema.build().unwrap()
    })
}

fn out(path: &Path, encoding: Encoding) -> export::Options {
    export::Options {
        place: path.to_owned().into(),
        key: "out/ticks".to_owned(),
        encoding,
        media_type: None,
        from: Start::Oldest,
    }
}

fn into(path: &Path, encoding: Encoding, schema: Option<Schema>) -> import::Options {
    import::Options {
        place: path.to_owned().into(),
        key: "out/*".to_owned(),
        encoding,
        schema,
        capacity: 1 << 16,
        mode: 0o600,
        window: 1 << 20,
    }
}

fn importing(
    network: &Network,
    options: import::Options,
) -> (Side<Result<(), BridgeError>>, mpsc::Receiver<EncodingError>) {
    let engine: Arc<dyn Engine> = Arc::new(network.clone());
    let (why, refused) = mpsc::channel();
    let side = Side::start(move |stop, ready| {
        let refused = |error: &EncodingError| why.send(error.clone()).unwrap();
        import::import(&engine, &options, stop, |_| ready(), refused)
    });
    (side, refused)
}

fn publish(network: &Network, bytes: &[u8]) {
    let outgoing = Outgoing {
        key: "out/x",
        lane: Lane::Plain,
        bytes,
        encoding: None,
        attachment: None,
    };
    network.publish(outgoing).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every kind of field, at every place: what is exported means what is in the ring, and importing it gives the same bytes.
    #[test]
    fn any_message_goes_there_and_back(
        schema in schemas(),
        seed in any::<u64>(),
        edge in 0..4u8,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let (path, copy) = (directory.path().join("ring"), directory.path().join("copy"));
        let ring = Ring::builder(path.clone()).schema(schema.clone()).create().unwrap();
        let mut random = seed | 1;
        let mut message: Vec<u8> = (0..schema.bytes())
            .map(|_| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                [0, 0xff, (random >> 56) as u8, (random >> 48) as u8][usize::from(edge)]
            })
            .collect();
        // JSON has no numbers that are infinite or none.
        let mut at = 0;
        for field in schema.fields() {
            for _ in 0..field.count {
                let size = field.kind.bytes() as usize;
                if matches!(field.kind, Kind::F32 | Kind::F64) {
                    message[at + size - 1] &= 0xbf;
                }
                at += size;
            }
        }
        ring.producer().unwrap().publish(&message).unwrap();
        for encoding in [Encoding::Raw, Encoding::Cdr, Encoding::Json] {
            let network = Network::default();
            let (heard, hears) = mpsc::channel();
            let sink = Box::new(move |sample: Sample<'_>| heard.send(sample.bytes.to_vec()).unwrap_or(()));
            let _held = network.subscribe("out/*", sink).unwrap();
            let (side, refused) = importing(&network, into(&copy, encoding, Some(schema.clone())));
            side.wait();
            let mut back = Ring::open(copy.clone()).unwrap().consumer(Start::Latest).unwrap();
            let engine: Arc<dyn Engine> = Arc::new(network.clone());
            let options = out(&path, encoding);
            let from = Side::start(move |stop, ready| {
                export::export(&engine, &options, stop, |_| ready())
            });
            let bytes = hears.recv_timeout(LONG).unwrap();
            match encoding {
                Encoding::Raw => prop_assert_eq!(&bytes, &message),
                Encoding::Cdr => {
                    let (mut reader, mut at) = (Cdr::new(&bytes), 0);
                    for field in schema.fields() {
                        for _ in 0..field.count {
                            let size = field.kind.bytes() as usize;
                            prop_assert_eq!(reader.number(field.kind), &message[at..at + size]);
                            at += size;
                        }
                    }
                    prop_assert_eq!(reader.at, reader.body.len());
                }
                Encoding::Json => {
                    let object: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
                    prop_assert_eq!(&object["sequence"], 0);
                    let mut at = 0;
                    for field in schema.fields() {
                        let size = field.kind.bytes() as usize;
                        let mut numbers = Vec::new();
                        for _ in 0..field.count {
                            numbers.push(shown(field.kind, &message[at..at + size]));
                            at += size;
                        }
                        let expected = match numbers.len() {
                            1 => numbers.remove(0),
                            _ => numbers.into(),
                        };
                        prop_assert_eq!(&object[&field.name].to_string(), &expected.to_string());
                    }
                }
            }
            let came = back.receive_until(LONG).unwrap().unwrap();
            prop_assert_eq!(&came[..], &message[..]);
            prop_assert!(came.gap().is_none() && refused.try_recv().is_err());
            drop(came);
            from.end().unwrap();
            side.end().unwrap();
        }
    }
}

/// With hints, what is published is the line that `slipring sub --format json` prints, and it is understood again.
#[test]
fn hints_are_heeded() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("ring"), directory.path().join("copy"));
    let schema: Schema =
        "T{t:u64(time),p:i64(exponent=-4;unit=USD),m:u64(monotonic),f:f64,s:u8[7](text),k:u8(0=buy;1=sell)}"
            .parse()
            .unwrap();
    let ring = Ring::builder(path.clone())
        .schema(schema.clone())
        .create()
        .unwrap();
    let mut producer = ring.producer().unwrap();
    let message = |price: i64, number: f64, text: &[u8; 7], side: u8| {
        let mut bytes = 1u64.to_le_bytes().to_vec();
        bytes.extend(price.to_le_bytes());
        bytes.extend(1_500_000_000u64.to_le_bytes());
        bytes.extend(number.to_le_bytes());
        bytes.extend(text);
        bytes.push(side);
        bytes
    };
    let messages = [
        message(995_000, 0.1, b"SLIP\0\0\0", 0),
        message(i64::MIN, -0.0, b"\xff\0\0\0\0\0\0", 9),
        message(-1, f64::NAN, b"1234567", 1),
    ];
    for bytes in &messages {
        producer.publish(bytes).unwrap();
    }
    let network = Network::default();
    let (heard, hears) = mpsc::channel();
    let sink = Box::new(move |sample: Sample<'_>| heard.send(sample.bytes.to_vec()).unwrap_or(()));
    let _held = network.subscribe("out/*", sink).unwrap();
    let (side, refused) = importing(&network, into(&copy, Encoding::Json, Some(schema)));
    side.wait();
    let mut back = Ring::open(copy).unwrap().consumer(Start::Oldest).unwrap();
    let engine: Arc<dyn Engine> = Arc::new(network.clone());
    let options = out(&path, Encoding::Json);
    let _from =
        Side::start(move |stop, ready| export::export(&engine, &options, stop, |_| ready()));
    for expected in [
        r#"{"sequence":0,"t":"1970-01-01T00:00:00.000000001Z","p":99.5,"m":1.5,"f":0.1,"s":"SLIP","k":"buy"}"#,
        r#"{"sequence":1,"t":"1970-01-01T00:00:00.000000001Z","p":-922337203685477.5808,"m":1.5,"f":-0.0,"s":[255,0,0,0,0,0,0],"k":9}"#,
        r#"{"sequence":2,"t":"1970-01-01T00:00:00.000000001Z","p":-0.0001,"m":1.5,"f":null,"s":"1234567","k":"sell"}"#,
    ] {
        let bytes = hears.recv_timeout(LONG).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), expected);
    }
    for expected in &messages[..2] {
        let came = back.receive_until(LONG).unwrap().unwrap();
        assert_eq!(&came[..], &expected[..]);
    }
    // JSON has no word for the last one's number.
    let why = refused.recv_timeout(LONG).unwrap();
    assert!(why.to_string().contains("field \"f\""), "{why}");
    side.end().unwrap();
    assert_eq!(back.losses().skipped, 0);
}

/// What is no message of the schema is a gap of exactly one, and is told.
#[test]
fn what_cannot_be_decoded_is_a_gap() {
    let directory = tempfile::tempdir().unwrap();
    let schema: Schema = "Q{a:u32,b:u8}".parse().unwrap();
    let good: [&[u8]; 2] = [&[0, 1, 0, 0, 1, 2, 3, 4, 5], b"{\"a\":67305985,\"b\":5}"];
    let padded: [u8; 12] = [0, 1, 0, 3, 1, 2, 3, 4, 5, 0, 0, 0];
    let bad: [Vec<&[u8]>; 2] = [
        vec![
            b"",
            &[0, 1],
            &[0, 1, 0, 0],
            &[0, 0, 0, 0, 1, 2, 3, 4, 5],
            &[0, 3, 0, 0, 1, 2, 3, 4, 5],
            &[0, 1, 0, 0, 1, 2, 3, 4],
            &[0, 1, 0, 0, 1, 2, 3, 4, 5, 6],
            b"{\"a\":1,\"b\":5}",
        ],
        vec![
            b"",
            b"[]",
            b"{\"a\":1}",
            b"{\"a\":4294967296,\"b\":5}",
            b"{\"a\":-1,\"b\":5}",
            b"{\"a\":1,\"b\":5,\"c\":6}",
            b"{\"a\":1,\"b\":5}}",
            &[0xff],
            &[0, 1, 0, 0, 1, 2, 3, 4, 5],
        ],
    ];
    for (which, encoding) in [Encoding::Cdr, Encoding::Json].into_iter().enumerate() {
        let path = directory.path().join(encoding.to_string());
        let network = Network::default();
        let options = into(&path, encoding, Some(schema.clone()));
        let (side, refused) = importing(&network, options);
        side.wait();
        let mut reader = Ring::open(path).unwrap().consumer(Start::Oldest).unwrap();
        let mut next = 0;
        for bytes in &bad[which] {
            publish(&network, bytes);
            publish(&network, good[which]);
            let why = refused.recv_timeout(LONG).unwrap();
            let came = reader.receive_until(LONG).unwrap().unwrap();
            assert_eq!(came.sequence(), next + 1, "{why}");
            let gap = came.gap().unwrap();
            assert_eq!((gap.first, gap.end), (next, next + 1));
            assert_eq!(gap.why, slipring::endpoint::Why::NotRecorded);
            assert_eq!(came[..], [1, 2, 3, 4, 5]);
            next += 2;
        }
        if encoding == Encoding::Cdr {
            publish(&network, &padded);
            let came = reader.receive_until(LONG).unwrap().unwrap();
            assert_eq!((came.sequence(), &came[..]), (next, &[1, 2, 3, 4, 5][..]));
        }
        side.end().unwrap();
        assert!(refused.try_recv().is_err());
    }
}

#[test]
fn a_ring_whose_fields_are_not_known_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (plain, other) = (directory.path().join("plain"), directory.path().join("sbe"));
    Ring::builder(plain.clone()).create().unwrap();
    let opaque = OpaqueSchema::new("sbe", "orders.xml", *b"<xml/>").unwrap();
    Ring::builder(other.clone())
        .opaque_schema(&opaque)
        .create()
        .unwrap();
    let listen = format!("tcp/127.0.0.1:{}", free_port());
    let missing = directory.path().join("missing");
    for encoding in ["cdr", "json"] {
        let options = ["--key", "a", "--encoding", encoding, "--listen", &listen];
        for verb in ["export", "import"] {
            for (path, word) in [(&plain, "create it with a schema"), (&other, "of kind sbe")] {
                let arguments = [verb, path.to_str().unwrap()];
                let (status, _, said) = output(bridge(&arguments).args(options));
                assert_eq!(status.code(), Some(2), "{said}");
                assert!(
                    said.contains(word) && said.contains("--encoding raw"),
                    "{said}"
                );
            }
        }
        let arguments = ["import", missing.to_str().unwrap()];
        let (status, _, said) = output(bridge(&arguments).args(options));
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(said.contains("--schema"), "{said}");
        assert!(!missing.exists());
    }
    // Another schema than the ring has.
    let options = ["--key", "a", "--schema", "Q{a:u8}", "--listen", &listen];
    let arguments = ["import", plain.to_str().unwrap()];
    let (status, _, said) = output(bridge(&arguments).args(options));
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("has no schema"), "{said}");
}

/// Two processes of the command and a Zenoh program between them, over TCP.
#[test]
fn any_zenoh_program_reads_and_writes_messages() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("ring"), directory.path().join("copy"));
    let text = "Quote{time_ns:u64(time),bid:f64,size:u32,side:u8[4](text)}";
    let ring = Ring::builder(path.clone())
        .schema(text.parse().unwrap())
        .create()
        .unwrap();
    let port = free_port();
    let mut config = zenoh::Config::default();
    for (key, value) in [
        ("mode", "\"peer\"".to_owned()),
        ("scouting/multicast/enabled", "false".to_owned()),
        ("scouting/gossip/enabled", "false".to_owned()),
        ("listen/endpoints", format!("[\"tcp/127.0.0.1:{port}\"]")),
    ] {
        config.insert_json5(key, &value).unwrap();
    }
    let session = zenoh::open(config).wait().unwrap();
    let (heard, hears) = mpsc::channel();
    let _subscriber = session
        .declare_subscriber("market/quotes/*")
        .callback(move |sample| {
            let attachment = sample
                .attachment()
                .map(|bytes| bytes.to_bytes().into_owned());
            let what = sample.encoding().to_string();
            let key = sample.key_expr().as_str().to_owned();
            heard
                .send((
                    key,
                    what,
                    sample.payload().to_bytes().into_owned(),
                    attachment,
                ))
                .unwrap_or(());
        })
        .wait()
        .unwrap();
    let address = format!("tcp/127.0.0.1:{port}");
    let mut message = 7u64.to_le_bytes().to_vec();
    message.extend(99.5f64.to_le_bytes());
    message.extend(12u32.to_le_bytes());
    message.extend(b"buy\0");
    let mut producer = ring.producer().unwrap();
    let json = r#"{"sequence":0,"time_ns":"1970-01-01T00:00:00.000000007Z","bid":99.5,"size":12,"side":"buy"}"#;
    producer.publish(&message).unwrap();
    for (encoding, what, expected) in [
        ("raw", "zenoh/bytes", message.clone()),
        (
            "cdr",
            "application/cdr",
            [&[0, 1, 0, 0], &message[..]].concat(),
        ),
        ("json", "application/json", json.as_bytes().to_vec()),
    ] {
        // A program that is not linked yet receives nothing: each message is published again until one comes.
        let key = format!("market/quotes/{encoding}");
        let mut exporting = bridge(&["export", path.to_str().unwrap(), "--key", &key]);
        exporting.args([
            "--encoding",
            encoding,
            "--from",
            "oldest",
            "--connect",
            &address,
        ]);
        let mut exporting = Running::start(&mut exporting);
        exporting.says("exporting");
        let (came, kind, bytes, attachment) = loop {
            match hears.recv_timeout(std::time::Duration::from_millis(100)) {
                Ok(came) if came.0 == key => break came,
                Ok(_) => {}
                Err(_) => {
                    producer.publish(&message).unwrap();
                }
            }
        };
        assert_eq!((came, kind.as_str()), (key, what));
        let attachment = attachment.unwrap();
        let sequence = u64::from_le_bytes(attachment[..8].try_into().unwrap());
        assert_eq!(attachment.len(), 16);
        match encoding {
            "json" => {
                let mut expected: serde_json::Value = serde_json::from_slice(&expected).unwrap();
                expected["sequence"] = sequence.into();
                assert_eq!(bytes, expected.to_string().into_bytes());
            }
            _ => assert_eq!(bytes, expected),
        }
    }
    let mut importing = bridge(&["import", copy.to_str().unwrap(), "--key", "in/*"]);
    importing.args([
        "--encoding",
        "json",
        "--schema",
        text,
        "--connect",
        &address,
    ]);
    let mut importing = Running::start(&mut importing);
    importing.says("importing");
    let mut reader = Ring::open(copy).unwrap().consumer(Start::Oldest).unwrap();
    loop {
        session.put("in/x", json).wait().unwrap();
        if let Ok(Some(came)) = reader.receive_until(std::time::Duration::from_millis(100)) {
            assert_eq!(came[..], message);
            break;
        }
    }
    session.put("in/x", "nonsense").wait().unwrap();
    importing.says("a message is left out");
    importing.signal(rustix::process::Signal::TERM);
    assert_eq!(importing.ended().code(), Some(0), "{}", importing.said);
}
