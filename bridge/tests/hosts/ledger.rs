//! An exact account of a stream that crosses hosts: what every sequence of the source is follows from its number, so any
//! process can say what another should have received.
//!
//! The producer and the reader are this program again, by the tests [`as_a_producer`] and [`as_a_reader`]. The reader
//! notes each message in a file before it gives it back, so that its death loses no note; one that dies between the two
//! receives that message again, and only then may a message come twice.

use crate::notes::{Note, BEGAN, EPOCH, NOTE, RECEIVED};
use crate::process::{itself, LONG};
use slipring::endpoint::{ReceiveError, Why};
use slipring::place::OpenError;
use slipring::{Producer, Ring, Start};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The longest message: more than a frame of the bridge.
const LONGEST: u64 = 70_000;

/// What the source has at a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Has {
    /// A message of so many bytes.
    Message(usize),
    /// A gap of so many sequences.
    Gap(u64),
}

/// A number that looks random.
fn mixed(n: u64) -> u64 {
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

/// The plan of a source: what it has at a sequence that is in no gap.
pub fn plan(sequence: u64, longest: u64) -> Has {
    let random = mixed(sequence + 1);
    let longest = longest.min(LONGEST);
    match random % 2048 {
        0 => Has::Message((16 + (random >> 32) % (longest - 15)) as usize),
        1 => Has::Message(longest as usize),
        2..6 => Has::Gap(1 + (random >> 32) % 300),
        _ => Has::Message(16 + (random >> 32) as usize % 200),
    }
}

/// The bytes of a message.
pub fn payload(sequence: u64, len: usize, into: &mut Vec<u8>) {
    into.clear();
    into.extend(sequence.to_le_bytes());
    while into.len() < len {
        let next = mixed(sequence << 16 | into.len() as u64);
        into.extend(next.to_le_bytes());
    }
    into.truncate(len);
}

/// Publishes what comes next by the plan.
pub fn produce(producer: &mut Producer, longest: u64, bytes: &mut Vec<u8>) -> Has {
    let next = producer.next_sequence();
    let has = plan(next, longest);
    match has {
        Has::Message(len) => {
            payload(next, len, bytes);
            assert_eq!(producer.publish(bytes).unwrap(), next);
        }
        Has::Gap(len) => {
            producer.skip_to(next + len, Why::NotRecorded).unwrap();
        }
    }
    has
}

/// Publishes so often, or until it is killed.
#[test]
fn as_a_producer() {
    let Ok(path) = std::env::var("SLIPRING_BRIDGE_PRODUCER") else {
        return;
    };
    let rate: u64 =
        std::env::var("SLIPRING_BRIDGE_RATE").map_or(10_000, |rate| rate.parse().unwrap());
    let often = std::env::var("SLIPRING_BRIDGE_OFTEN").map_or(u32::MAX, |n| n.parse().unwrap());
    let ring = Ring::open(PathBuf::from(path)).unwrap();
    let longest = u64::from(ring.max_message_bytes());
    let mut producer = ring.producer().unwrap();
    let mut bytes = Vec::new();
    let started = Instant::now();
    for n in 0..often {
        produce(&mut producer, longest, &mut bytes);
        while started.elapsed() < Duration::from_nanos(1_000_000_000 / rate) * n {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A process that publishes so many messages in a second.
pub fn producing(path: &Path, rate: u32) -> Command {
    let mut command = itself("ledger::as_a_producer");
    command.env("SLIPRING_BRIDGE_PRODUCER", path);
    command.env("SLIPRING_BRIDGE_RATE", rate.to_string());
    command
}

/// One that ends after so many messages and gaps: what it published does not depend on how fast others are.
pub fn producing_so_often(path: &Path, rate: u32, often: u32) -> Command {
    let mut command = producing(path, rate);
    command.env("SLIPRING_BRIDGE_OFTEN", often.to_string());
    command
}

/// A process that reads a mirror with a durable cursor, and notes in a file what it received.
pub fn reading(copy: &Path, source: &Path, notes: &Path) -> Command {
    let mut command = itself("ledger::as_a_reader");
    command.env("SLIPRING_BRIDGE_READER", copy);
    command.env("SLIPRING_BRIDGE_SOURCE", source);
    command.env("SLIPRING_BRIDGE_NOTES", notes);
    command
}

/// Reads until it is killed. What one consumer is told has to be complete, and every message has to be that of the plan.
#[test]
fn as_a_reader() {
    let Some(path) = std::env::var_os("SLIPRING_BRIDGE_READER").map(PathBuf::from) else {
        return;
    };
    let variable = |name| PathBuf::from(std::env::var_os(name).unwrap());
    let path_of_notes = variable("SLIPRING_BRIDGE_NOTES");
    let mut options = File::options();
    let mut notes = options
        .append(true)
        .create(true)
        .open(path_of_notes)
        .unwrap();
    let source = Ring::open(variable("SLIPRING_BRIDGE_SOURCE")).unwrap();
    let ring = loop {
        match Ring::open(path.clone()) {
            Ok(ring) => break ring,
            Err(OpenError::NotFound { .. }) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => panic!("{error}"),
        }
    };
    let longest = u64::from(source.max_message_bytes());
    let mut consumer = ring.durable_consumer("ledger", Start::Oldest).unwrap();
    notes.write_all(&Note::new(BEGAN, 0).bytes()).unwrap();
    let mut expected = None;
    let mut told = 0;
    let mut bytes = Vec::new();
    loop {
        let message = match consumer.receive_until(LONG) {
            Ok(Some(message)) => message,
            // The mirror comes again.
            Ok(None) | Err(ReceiveError::ProducerGone { .. }) => {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            Err(ReceiveError::TimedOut) => continue,
            Err(error) => panic!("{error}"),
        };
        let sequence = message.sequence();
        match plan(sequence, longest) {
            Has::Message(len) => payload(sequence, len, &mut bytes),
            Has::Gap(len) => panic!("message {sequence}, where the source has a gap of {len}"),
        }
        assert_eq!(message[..], bytes[..], "message {sequence}");
        let mut note = Note::new(RECEIVED, sequence);
        note.missed = message.missed();
        if let Some(gap) = message.gap() {
            assert_eq!(gap.end, sequence);
            assert!(matches!(gap.why, Why::Lost | Why::NotRecorded), "{gap:?}");
            (note.gap, note.lost) = (gap.first, u64::from(gap.why == Why::Lost));
        }
        if expected != Some(sequence) {
            note.source = source.status().unwrap().next_sequence.unwrap();
        }
        notes.write_all(&note.bytes()).unwrap();
        drop(message);
        let losses = consumer.losses();
        if let Some(expected) = expected {
            let hole = sequence - expected;
            assert_eq!(losses.total() - told, hole, "before {sequence}: {losses:?}");
            assert!(note.missed <= hole);
        }
        told = losses.total();
        expected = Some(sequence + 1);
        if let Some(epoch) = consumer.new_epoch() {
            let note = Note::new(EPOCH, epoch.first_sequence);
            notes.write_all(&note.bytes()).unwrap();
        }
    }
}

/// The account of one mirror, from the notes of its readers.
#[derive(Debug)]
pub struct Ledger {
    notes: PathBuf,
    file: Option<File>,
    unread: Vec<u8>,
    capacity: u64,
    longest: u64,
    /// Everything before it is accounted for.
    pub next: u64,
    began: bool,
    pub received: u64,
    /// Messages of the source that were not received: lost on the way, and overwritten in the mirror.
    pub lost: u64,
    pub missed: u64,
    /// Sequences that the source never had.
    pub never: u64,
    pub again: u64,
    pub epochs: u64,
}

impl Ledger {
    /// The account of readers that write to this file, of a source with such a capacity that begins with sequence 0.
    pub fn new(notes: PathBuf, ring: &Ring) -> Self {
        Self {
            notes,
            file: None,
            unread: Vec::new(),
            capacity: ring.capacity_bytes(),
            longest: u64::from(ring.max_message_bytes()),
            next: 0,
            began: false,
            received: 0,
            lost: 0,
            missed: 0,
            never: 0,
            again: 0,
            epochs: 0,
        }
    }

    /// Waits until a reader has attached: before, a mirror overwrites what nobody has read.
    pub fn attached(&mut self) {
        let until = Instant::now() + LONG;
        while !self.began {
            assert!(Instant::now() < until, "no reader: {self:?}");
            std::thread::sleep(Duration::from_millis(2));
            self.look();
        }
    }

    /// Checks what was noted since.
    pub fn look(&mut self) {
        if self.file.is_none() {
            self.file = File::open(&self.notes).ok();
        }
        if let Some(file) = &mut self.file {
            file.read_to_end(&mut self.unread).unwrap();
        }
        let whole = self.unread.len() / NOTE * NOTE;
        let notes: Vec<u8> = self.unread.drain(..whole).collect();
        for note in notes.chunks(NOTE) {
            self.take(Note::of(note));
        }
    }

    fn take(&mut self, note: Note) {
        match note.kind {
            BEGAN => self.began = true,
            EPOCH => self.epochs += 1,
            _ => {
                let began = std::mem::take(&mut self.began);
                if began && note.sequence + 1 == self.next {
                    // Its reader died before it gave it back.
                    self.again += 1;
                    return;
                }
                assert!(
                    note.sequence >= self.next,
                    "{} again, before {}: {note:?}",
                    note.sequence,
                    self.next
                );
                self.hole(&note, began);
                self.received += 1;
                self.next = note.sequence + 1;
            }
        }
    }

    /// Everything between the last message and this one: the source never had it, or the account says truly that it is
    /// gone.
    fn hole(&mut self, note: &Note, began: bool) {
        let mut at = self.next;
        while at < note.sequence {
            match plan(at, self.longest) {
                Has::Gap(len) => {
                    self.never += len.min(note.sequence - at);
                    at += len;
                }
                Has::Message(_) => {
                    assert!(
                        note.missed > 0
                            || note.gap == note.sequence
                            || note.lost == 1
                            || at < note.gap,
                        "{at} is missing as one that never was: {note:?}, {self:?}"
                    );
                    assert!(
                        self.was_overwritten(at, note.source),
                        "{at} was lost though the source had it: {note:?}, {self:?}"
                    );
                    match note.missed > 0 {
                        true => self.missed += 1,
                        false => self.lost += 1,
                    }
                    at += 1;
                }
            }
        }
        assert!(
            at == note.sequence,
            "{} lies in a gap of the source, {self:?}",
            note.sequence
        );
        assert!(
            began || note.missed == 0,
            "a reader that lives has missed some: {note:?}, {self:?}"
        );
    }

    /// Whether a source that has reached `end` may count this message as gone: it announces up to an eighth of the ring
    /// as overwritten soon, finds messages by blocks, and leaves the room at the end of a lap that the next message has
    /// no place in, which is less than the longest.
    fn was_overwritten(&self, message: u64, end: u64) -> bool {
        let mut at = message;
        let (mut bytes, mut longest) = (0, 0);
        while at < end && bytes + longest < self.capacity * 3 / 4 {
            match plan(at, self.longest) {
                Has::Message(len) => {
                    let frame = (8 + len as u64).next_multiple_of(8);
                    bytes += frame;
                    longest = longest.max(frame);
                    at += 1;
                }
                Has::Gap(len) => {
                    bytes += 24;
                    at += len;
                }
            }
        }
        bytes + longest >= self.capacity * 3 / 4
    }

    /// Waits until everything before a sequence is accounted for.
    pub fn reach(&mut self, end: u64, mut check: impl FnMut()) {
        let until = Instant::now() + LONG;
        loop {
            self.look();
            if self.next >= end {
                return;
            }
            check();
            assert!(Instant::now() < until, "it hangs before {end}: {self:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Publishes by the plan until a message is the last, so that no gap is at the end. Returns the next sequence.
pub fn finish(ring: &Ring) -> u64 {
    let mut producer = ring.producer().unwrap();
    let longest = u64::from(ring.max_message_bytes());
    let mut bytes = Vec::new();
    while matches!(produce(&mut producer, longest, &mut bytes), Has::Gap(_)) {}
    let end = producer.next_sequence();
    producer.detach();
    end
}
