//! Makes every vector of a ring: real rings, as processes leave them, with what differs from run to run replaced.

use super::file::{Expected, Files, Json};
use slipring::endpoint::{Builder, Origin, Why};
use slipring::layout::schema::fnv1a;
use slipring::schema::OpaqueSchema;
use slipring::{Observer, Producer, Received, Ring, Start};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use testing::{payload, Scratch};

/// Each vector by its name: its files, what it is about, and what must be read.
#[derive(Default)]
pub struct Vectors(pub BTreeMap<String, (Files, String, Expected)>);

impl Vectors {
    pub fn add(&mut self, name: &str, about: &str, files: Files, expected: Expected) {
        let before = self
            .0
            .insert(name.to_owned(), (files, about.to_owned(), expected));
        assert!(before.is_none(), "{name} is there twice");
    }
}

/// The files of an object with fixed numbers where they differ from run to run.
pub fn fixed(vector: &str, directory: &Path) -> Files {
    let mut files = Files::of(directory);
    let paths: Vec<String> = files.0.iter().map(|(path, _)| path.clone()).collect();
    for path in &paths {
        let Some(ring) = path.strip_suffix("stream") else {
            continue;
        };
        let name = format!("{vector}/{ring}");
        let mut identity = fnv1a(name.as_bytes()).to_le_bytes().to_vec();
        identity.extend(fnv1a(name.to_uppercase().as_bytes()).to_le_bytes());
        let stream = files.file(path);
        stream[112..128].copy_from_slice(&identity);
        stream[128..152].fill(0);
        stream[192..224].fill(0);
        stream[192..199].copy_from_slice(b"vectors");
        stream[4364..4368].fill(0);
        seal(stream);
        let form = stream[164];
        let rows = u32::from_le_bytes(stream[60..64].try_into().unwrap());
        let control = files.file(&format!("{ring}control"));
        control[..16].copy_from_slice(&identity);
        // Bells: how often a process slept is a matter of chance.
        control[128..144].fill(0);
        control[256..272].fill(0);
        for row in 0..rows as usize {
            let row = 4096 + 128 * row;
            control[row + 32..row + 36].fill(0);
            if let 4 | 5 = form {
                // Whether the other side was a producer already when this one attached is a matter of chance.
                control[row + 40..row + 48].fill(0);
            }
        }
        let board = 4096 + 128 * rows as usize;
        if let (4 | 5, true) = (form, control.len() > board + 8 * 18) {
            for word in [1, 17] {
                control[board + 8 * word..board + 8 * word + 8].fill(0);
            }
        }
    }
    files
}

/// Writes the checksum of a description.
pub fn seal(stream: &mut [u8]) {
    let sum = fnv1a(&stream[..4088]);
    stream[4088..4096].copy_from_slice(&sum.to_le_bytes());
}

/// What was done to a ring, and what a reader must find.
pub struct Made {
    pub scratch: Scratch,
    pub ring: Ring,
    /// What was published, with the sequence of each.
    items: Vec<(u64, Json)>,
    producer: Json,
    next: u64,
    cursors: Vec<Json>,
}

/// A message as readers get it.
pub fn message(sequence: u64, bytes: &[u8]) -> Json {
    Json::Object(vec![
        ("sequence", sequence.into()),
        ("bytes", Json::bytes(bytes)),
    ])
}

/// A gap as readers get it.
pub fn gap(first: u64, next: u64, why: u32) -> Json {
    Json::Object(vec![
        ("gap", first.into()),
        ("next", next.into()),
        ("why", why.into()),
    ])
}

/// What is said about the producer of a ring.
pub fn producer(state: &str, epoch: u64, began: u64) -> Json {
    Json::Object(vec![
        ("state", state.into()),
        ("epoch", epoch.into()),
        ("began", began.into()),
    ])
}

/// Where a reader stands.
pub fn place(sequence: u64, position: u64) -> Json {
    Json::Object(vec![
        ("sequence", sequence.into()),
        ("position", position.into()),
    ])
}

/// What the description says, as every vector has it.
pub fn described(form: &str, numbers: [u64; 4], board: u64, parameters: [u64; 2]) -> Expected {
    let [capacity, alignment, rows, first] = numbers;
    let description = Json::Object(vec![
        ("capacity", capacity.into()),
        ("alignment", alignment.into()),
        ("rows", rows.into()),
        ("first", first.into()),
        ("board", board.into()),
        ("parameters", Json::numbers(parameters)),
    ]);
    Expected::default()
        .with("form", form)
        .with("description", description)
}

/// The members about the schema of an object.
pub fn with_schema(expected: Expected, text: &str, hash: u64) -> Expected {
    let schema = Json::Object(vec![
        ("text", text.into()),
        ("hash", Json::Text(format!("{hash:016x}"))),
    ]);
    expected.with("schema", schema)
}

/// The members that every vector of a ring begins with: its description, schemas and origin.
pub fn described_ring(ring: &Ring, first: u64) -> Expected {
    let numbers = [
        ring.capacity_bytes(),
        ring.frame_align(),
        ring.max_readers().into(),
        first,
    ];
    let board = if ring.stamps() { 608 * numbers[2] } else { 0 };
    let mut expected = described("ring", numbers, board, [0; 2]);
    if let Some(schema) = ring.schema() {
        expected = with_schema(expected, &schema.to_string(), schema.hash());
    }
    if let Some(file) = ring.opaque_schema().unwrap() {
        let file = Json::Object(vec![
            ("kind", file.kind().into()),
            ("name", file.name().into()),
            ("bytes", Json::bytes(file.bytes())),
        ]);
        expected = expected.with("schema_file", file);
    }
    if let Some(origin) = ring.origin() {
        let origin = Json::Object(vec![
            ("identity", Json::Text(format!("{:032x}", origin.id))),
            ("epoch", origin.epoch.into()),
            ("host", origin.host.as_str().into()),
        ]);
        expected = expected.with("origin", origin);
    }
    expected
}

impl Made {
    fn new(build: impl FnOnce(Builder) -> Builder) -> Self {
        let scratch = Scratch::new();
        let builder = Ring::builder(scratch.ring())
            .capacity_bytes(4096)
            .max_readers(4);
        let ring = build(builder).create().unwrap();
        let next = ring.status().unwrap().next_sequence.unwrap();
        Self {
            scratch,
            ring,
            items: Vec::new(),
            producer: producer("none", 0, 0),
            next,
            cursors: Vec::new(),
        }
    }

    fn publish(&mut self, producer: &mut Producer, message: &[u8]) {
        let sequence = producer.publish(message).unwrap();
        self.items
            .push((sequence, self::message(sequence, message)));
        self.next = sequence.wrapping_add(1);
    }

    /// Publishes messages of these sizes.
    fn publish_all(&mut self, producer: &mut Producer, sizes: impl IntoIterator<Item = usize>) {
        for size in sizes {
            let bytes = payload(producer.next_sequence(), size);
            self.publish(producer, &bytes);
        }
    }

    fn skip(&mut self, producer: &mut Producer, many: u64, why: u32) {
        let first = producer.next_sequence();
        let next = first.wrapping_add(many);
        producer.skip_to(next, Why::from_code(why)).unwrap();
        self.items.push((first, gap(first, next, why)));
        self.next = next;
    }

    /// Notes how the last producer ended.
    fn ended(&mut self, state: &str, epoch: u64, began: u64) {
        self.producer = producer(state, epoch, began);
    }

    fn cursor(&mut self, name: &str, state: &str, next: u64, begins: u64) {
        self.cursors.push(Json::Object(vec![
            ("name", name.into()),
            ("state", state.into()),
            ("next", next.into()),
            ("begins", begins.into()),
        ]));
    }

    /// What must be read.
    fn expected(&self) -> Expected {
        let status = self.ring.status().unwrap();
        let oldest = status.oldest_sequence.unwrap();
        assert_eq!(status.next_sequence, Some(self.next));
        let first_there = self.items.iter().position(|(first, _)| *first == oldest);
        let there = first_there.map_or(&[][..], |at| &self.items[at..]);
        assert_eq!(there.is_empty(), oldest == self.next);
        let read = there.iter().map(|(_, item)| item.clone()).collect();
        let first = self.items.first().map_or(self.next, |(first, _)| *first);
        described_ring(&self.ring, first)
            .with("producer", self.producer.clone())
            .with("next", place(self.next, status.position.unwrap()))
            .with("oldest", oldest)
            .with("read", Json::List(read))
            .with("cursors", Json::List(self.cursors.clone()))
    }

    fn add(&self, all: &mut Vectors, name: &str, about: &str) {
        let files = fixed(name, &self.scratch.ring());
        all.add(name, about, files, self.expected());
    }
}

/// Whether what an observer finds first is a gap.
fn begins_with_a_gap(ring: &Ring) -> bool {
    let mut observer: Observer = ring.observer(Start::Oldest).unwrap();
    matches!(observer.try_receive(), Ok(Received::Skipped { .. }))
}

/// Every vector of a ring.
pub fn rings(all: &mut Vectors) {
    beginnings(all);
    wrapped(all);
    deaths(all);
    gaps(all);
    cursors(all);
    described_more(all);
}

fn beginnings(all: &mut Vectors) {
    let made = Made::new(|builder| builder.first_sequence(7));
    made.add(all, "empty", "no producer yet; the first message will be 7");

    let mut made = Made::new(|builder| builder.first_sequence(7));
    let mut producer = made.ring.producer().unwrap();
    for message in [&b"hello"[..], b"slipring", b""] {
        made.publish(&mut producer, message);
    }
    producer.close();
    made.ended("closed", 1, 7);
    made.add(
        all,
        "three",
        "three messages from 7 on, the last one empty; closed",
    );

    let mut made = Made::new(|builder| builder.huge_pages(true));
    let mut producer = made.ring.producer().unwrap();
    made.publish_all(&mut producer, [1, 2, 3]);
    producer.close();
    made.ended("closed", 1, 0);
    made.add(
        all,
        "huge",
        "laid out for huge pages: data and files begin and end at multiples of 2 MiB",
    );
}

fn wrapped(all: &mut Vectors) {
    for align in [8, 64] {
        let first = (1 << 32) - 20;
        let mut made = Made::new(|builder| builder.frame_align(align).first_sequence(first));
        let mut producer = made.ring.producer().unwrap();
        made.publish_all(&mut producer, (0..60).map(|n| n * 397 % 1025));
        producer.detach();
        made.ended("left", 1, first);
        let about =
            format!("several laps with pads, frames at multiples of {align} bytes, sequences beyond 2^32; left open");
        made.add(all, &format!("wrapped-{align}"), &about);
    }
    let first = u64::MAX - 5;
    let mut made = Made::new(|builder| builder.first_sequence(first));
    let mut producer = made.ring.producer().unwrap();
    made.publish_all(&mut producer, (0..12).map(|n| n * 10));
    producer.close();
    made.ended("closed", 1, first);
    made.add(
        all,
        "sequences-wrapped",
        "behind message 2^64 - 1 comes message 0",
    );

    // Payloads that look like commit words of what comes a lap later.
    let mut made = Made::new(|builder| builder);
    let mut producer = made.ring.producer().unwrap();
    for n in 0..40u64 {
        let words = (0..20).flat_map(|at| (9 | (n + 30 + at) << 32).to_le_bytes());
        made.publish(&mut producer, &words.collect::<Vec<_>>());
    }
    producer.detach();
    made.ended("left", 1, 0);
    made.add(
        all,
        "alike",
        "old payloads that look like commit words, where they are and behind the end",
    );
}

fn deaths(all: &mut Vectors) {
    let mut made = Made::new(|builder| builder);
    let mut producer = made.ring.producer().unwrap();
    made.publish_all(&mut producer, [100, 200, 300]);
    let mut claim = producer.claim(40).unwrap();
    claim.copy_from_slice(&payload(3, 40));
    // What a death in it leaves, too.
    drop(claim);
    made.ended("died", 1, 0);
    made.add(
        all,
        "half",
        "the producer died in its fourth message: payload without commit word",
    );
    std::mem::forget(producer);

    let mut made = Made::new(|builder| builder);
    let mut producer = made.ring.producer().unwrap();
    made.publish_all(&mut producer, [100, 200, 300]);
    let mut batch = producer.batch();
    for n in 0..30u8 {
        batch.push(&[n; 40]).unwrap();
    }
    drop(batch);
    made.ended("died", 1, 0);
    made.add(
        all,
        "batch",
        "the producer died in a batch over several blocks: all of it is written but its first commit word",
    );
    std::mem::forget(producer);

    let mut made = Made::new(|builder| builder);
    for (at, sizes) in [[10, 20, 30], [40, 50, 60], [70, 80, 90]]
        .into_iter()
        .enumerate()
    {
        let mut producer = made.ring.producer().unwrap();
        made.publish_all(&mut producer, sizes);
        producer.detach();
        made.ended("left", at as u64 + 1, 3 * at as u64);
    }
    made.add(
        all,
        "takeover",
        "three producers, the second and the third of which began within a block",
    );

    // A copy of what a producer leaves that died in a message: the copy has no owner.
    let died = Made::new(|builder| builder);
    let mut producer = died.ring.producer().unwrap();
    let mut made = Made::new(|builder| builder);
    made.publish_all(&mut producer, [600, 700]);
    let mut batch = producer.batch();
    for n in 0..3u8 {
        batch.push(&[n; 300]).unwrap();
    }
    drop(batch);
    let left = Files::of(&died.scratch.ring());
    std::mem::forget(producer);
    std::fs::remove_dir_all(made.scratch.ring()).unwrap();
    left.write(&made.scratch.ring()).unwrap();
    made.ring = Ring::open(made.scratch.ring()).unwrap();
    let mut producer = made.ring.producer().unwrap();
    assert_eq!((producer.epoch(), producer.next_sequence()), (2, 2));
    made.publish_all(&mut producer, [50]);
    producer.close();
    made.ended("closed", 2, 2);
    made.add(
        all,
        "takeover-of-the-dead",
        "the first producer died in a batch, the second went on where it began; closed",
    );
}

fn gaps(all: &mut Vectors) {
    let mut made = Made::new(|builder| builder.first_sequence(100));
    let mut producer = made.ring.producer().unwrap();
    for (size, many, why) in [(8, 1, 1), (16, 5, 2), (1, 1000, 3), (0, 3, 77)] {
        made.publish_all(&mut producer, [size]);
        made.skip(&mut producer, many, why);
    }
    made.skip(&mut producer, 2, u32::MAX);
    made.publish_all(&mut producer, [30]);
    producer.close();
    made.ended("closed", 1, 100);
    made.add(
        all,
        "gaps",
        "gaps of every reason, two of them directly behind each other",
    );

    let first = (1 << 32) - 3;
    let mut made = Made::new(|builder| builder.first_sequence(first));
    let mut producer = made.ring.producer().unwrap();
    for many in [1 << 31, 1 << 32, (1 << 32) - 1, (3 << 32) + 1, 1 << 61] {
        made.publish_all(&mut producer, [20]);
        made.skip(&mut producer, many, 1);
    }
    made.publish_all(&mut producer, [20]);
    producer.detach();
    made.ended("left", 1, first);
    made.add(
        all,
        "gaps-large",
        "gaps after which the lower half of the sequence is lower, the same, or nearly so",
    );

    let mut made = Made::new(|builder| builder.first_sequence(50));
    let mut producer = made.ring.producer().unwrap();
    made.skip(&mut producer, 25, 3);
    made.publish_all(&mut producer, [5, 6]);
    made.skip(&mut producer, 25, 2);
    producer.close();
    made.ended("closed", 1, 50);
    made.add(
        all,
        "gap-at-the-start",
        "begins with a gap and ends with one, which no message follows",
    );

    let mut made = Made::new(|builder| builder);
    let archive = made
        .ring
        .durable_consumer("archive", Start::Oldest)
        .unwrap();
    drop(archive);
    let mut producer = made.ring.producer().unwrap();
    let mut rounds = 0;
    while rounds < 20 || !begins_with_a_gap(&made.ring) {
        made.publish_all(&mut producer, [470]);
        made.skip(&mut producer, 10, 1);
        rounds += 1;
        assert!(rounds < 100, "no gap comes to be the oldest");
    }
    producer.detach();
    made.ended("left", 1, 0);
    let oldest = made.ring.status().unwrap().oldest_sequence.unwrap();
    made.cursor("archive", "kept", 0, oldest);
    made.add(
        all,
        "gap-behind-a-loss",
        "what the cursor has not read is gone, and what comes next is a gap",
    );
}

fn cursors(all: &mut Vectors) {
    let mut made = Made::new(|builder| builder.first_sequence(10));
    let mut producer = made.ring.producer().unwrap();
    made.publish_all(&mut producer, [10; 8]);
    let mut kept = made.ring.durable_consumer("kept", Start::Oldest).unwrap();
    for _ in 0..3 {
        drop(kept.try_receive().unwrap());
    }
    drop(kept);
    let mut died = made.ring.durable_consumer("died", Start::Oldest).unwrap();
    for _ in 0..5 {
        drop(died.try_receive().unwrap());
    }
    producer.detach();
    made.ended("left", 1, 10);
    made.cursor("kept", "kept", 13, 13);
    made.cursor("died", "consumer", 15, 15);
    made.add(
        all,
        "cursors",
        "two durable cursors: the owner of the first has left, that of the second died",
    );
    drop(died);

    let mut made = Made::new(|builder| builder.evict_after(Duration::from_millis(1)));
    let mut producer = made.ring.producer().unwrap();
    made.publish_all(&mut producer, [100]);
    let evicted = made.ring.durable_consumer("slow", Start::Oldest).unwrap();
    made.publish_all(&mut producer, [100; 100]);
    producer.close();
    made.ended("closed", 1, 0);
    let oldest = made.ring.status().unwrap().oldest_sequence.unwrap();
    made.cursor("slow", "consumer", 0, oldest);
    made.add(
        all,
        "evicted",
        "a consumer with a cursor was evicted and died before it noticed",
    );
    drop(evicted);
}

fn described_more(all: &mut Vectors) {
    let text = "Trade{time_ns:u64(time),price:i64(exponent=-4;unit=USD),symbol:u8[7](text),side:u8(0=buy;1=sell),seen_ns:u64(monotonic),size:f64}";
    let mut made = Made::new(|builder| builder.schema(text.parse().unwrap()));
    let mut producer = made.ring.producer().unwrap();
    made.publish_all(&mut producer, [40, 40]);
    producer.close();
    made.ended("closed", 1, 0);
    made.add(
        all,
        "schema",
        "a schema with every hint; its hash is that of the text without them",
    );

    let file = OpaqueSchema::new(
        "protobuf",
        "quotes.proto, 3rd edition",
        b"message Quote { double bid = 1; }".to_vec(),
    );
    let file = file.unwrap();
    let mut made = Made::new(|builder| builder.opaque_schema(&file));
    let mut producer = made.ring.producer().unwrap();
    made.publish(&mut producer, &[9, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
    producer.close();
    made.ended("closed", 1, 0);
    made.add(
        all,
        "schema-file",
        "a schema in the language of another system",
    );

    let origin = Origin {
        id: 0x0123_4567_89ab_cdef_0011_2233_4455_6677,
        epoch: 4,
        host: "exchange-3".to_owned(),
    };
    let mut made = Made::new(|builder| builder.origin(origin).first_sequence(1 << 40));
    let mut producer = made.ring.producer().unwrap();
    made.publish_all(&mut producer, [12]);
    producer.detach();
    made.ended("left", 1, 1 << 40);
    made.add(all, "origin", "the copy of a ring of another host");

    let mut made = Made::new(|builder| builder.stamps(true).first_sequence(1));
    let mut producer = made.ring.producer().unwrap();
    for n in 0..5u64 {
        let bytes = payload(n, 8 * n as usize);
        let sequence = producer.publish(&bytes).unwrap();
        let item = Json::Object(vec![
            ("sequence", sequence.into()),
            ("stamp", (1000 * sequence).into()),
            ("bytes", Json::bytes(&bytes)),
        ]);
        made.items.push((sequence, item));
    }
    producer.close();
    made.next = 6;
    made.ended("closed", 1, 1);
    let mut files = fixed("stamps", &made.scratch.ring());
    let stream = files.file("stream");
    let data = u64::from_le_bytes(stream[88..96].try_into().unwrap());
    let mut at = data as usize;
    for n in 0..5u64 {
        stream[at + 8..at + 16].copy_from_slice(&(1000 * (n + 1)).to_le_bytes());
        at += 16 + 8 * n as usize;
    }
    let about = "messages with stamps, which are 1000, 2000 and so on";
    all.add("stamps", about, files, made.expected());
}
