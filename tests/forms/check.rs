//! Checking objects: each rule is seen broken by a change that breaks it alone, damage of any byte is survived and told
//! where the page says so, and no object that follows the protocol is called wrong, even while others use it.

use crate::kinds::{kept, Kept, KINDS};
use slipring::endpoint::Why;
use slipring::layout::schema::fnv1a;
use slipring::registry::{check, check_in, Report, Verdict, RULES};
use slipring::schema::OpaqueSchema;
use slipring::{
    ConsumerOptions, Fifo, Latest, ObserverOptions, Queue, Ring, Semaphore, Shared, Signals, Start,
    Strategy,
};
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use testing::books::Random;
use testing::{payload, say, text, Parties, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(peer; [
    each_form_is_sound_new_and_in_use,
    each_rule_is_seen_broken,
    damage_of_an_index_entry_is_told,
    any_damage_is_survived_and_told_where_it_can_be,
    a_file_that_is_cut_meanwhile_is_no_fault,
    what_is_no_object_is_said,
    a_busy_ring_is_never_called_wrong,
    busy_forms_are_never_called_wrong,
]);

slipring::message! {
    /// A value.
    struct Value {
        number: u64,
        other: u64,
    }
}

/// Fails if anything is wrong.
#[track_caller]
fn sound(report: &Report) {
    let wrong = report.wrong();
    assert!(wrong.is_empty(), "{}", shown(report));
}

fn shown(report: &Report) -> String {
    let lines = report.wrong().into_iter();
    lines
        .map(|(path, finding)| format!("{}: {finding}\n", path.display()))
        .collect()
}

fn each_form_is_sound_new_and_in_use() {
    for kind in KINDS {
        let scratch = Scratch::new();
        let path = scratch.0.join(kind.name);
        (kind.make)(&path);
        let report = check(&path).unwrap();
        sound(&report);
        assert_eq!(report.form, Some(kind.form));
        let told = |report: &Report| {
            let untold = report.findings.iter();
            let mut untold = untold.filter(|it| !matches!(it.verdict, Verdict::Ok { .. }));
            assert!(untold.next().is_none(), "{report:?}");
        };
        told(&report);
        for (role, hold) in kind.roles {
            let held = hold(&path);
            let report = check(&path).unwrap();
            println!(
                "  {} with a {role}: {} rules",
                kind.name,
                report.findings.len()
            );
            sound(&report);
            told(&report);
            drop(held);
            sound(&check(&path).unwrap());
        }
    }
}

// --- Each rule.

/// Makes an object, and keeps what has to be held while it is checked.
type Make = fn(&Path) -> Kept;

/// A change that breaks one rule.
struct Break {
    rule: &'static str,
    /// The ring inside the object that has the rule; empty for the object itself.
    inside: &'static str,
    make: Make,
    spoil: fn(&Path),
    /// Whether the rule is reported as wrong, or as one that cannot be told.
    wrong: bool,
}

const fn breaks(rule: &'static str, make: Make, spoil: fn(&Path)) -> Break {
    Break {
        rule,
        inside: "",
        make,
        spoil,
        wrong: true,
    }
}

const fn breaks_inside(
    rule: &'static str,
    inside: &'static str,
    make: Make,
    spoil: fn(&Path),
) -> Break {
    Break {
        inside,
        ..breaks(rule, make, spoil)
    }
}

const fn doubts(rule: &'static str, make: Make, spoil: fn(&Path)) -> Break {
    Break {
        wrong: false,
        ..breaks(rule, make, spoil)
    }
}

fn poke(path: &Path, file: &str, offset: u64, bytes: &[u8]) {
    let file = OpenOptions::new()
        .write(true)
        .open(path.join(file))
        .unwrap();
    file.write_all_at(bytes, offset).unwrap();
}

fn peek(path: &Path, file: &str, offset: u64) -> u64 {
    let mut word = [0; 8];
    let file = std::fs::File::open(path.join(file)).unwrap();
    file.read_exact_at(&mut word, offset).unwrap();
    u64::from_le_bytes(word)
}

fn byte_at(path: &Path, file: &str, offset: u64) -> u8 {
    let mut byte = [0];
    let file = std::fs::File::open(path.join(file)).unwrap();
    file.read_exact_at(&mut byte, offset).unwrap();
    byte[0]
}

fn word(path: &Path, file: &str, offset: u64, word: u64) {
    poke(path, file, offset, &word.to_le_bytes());
}

/// Changes the description, and makes its checksum right again.
fn describe(path: &Path, offset: u64, bytes: &[u8]) {
    poke(path, "stream", offset, bytes);
    let mut page = [0; 4088];
    let file = std::fs::File::open(path.join("stream")).unwrap();
    file.read_exact_at(&mut page, 0).unwrap();
    word(path, "stream", 4088, fnv1a(&page));
}

/// Adds to a number of four bytes of the description.
fn more(path: &Path, offset: u64, by: u32) {
    let number = peek(path, "stream", offset) as u32 + by;
    describe(path, offset, &number.to_le_bytes());
}

/// Where the data of a ring begins.
fn data(path: &Path) -> u64 {
    peek(path, "stream", 88)
}

/// Bytes of each message of [`plain`], and of its frame.
const LEN: u64 = 24;
const FRAME: u64 = 32;
/// How many messages it has: they fill more than half of the capacity.
const COUNT: u64 = 1200;

/// A ring with messages whose producer has left.
fn plain(path: &Path) -> Kept {
    let ring = Ring::builder(path).capacity_bytes(1 << 16).max_readers(8);
    let ring = ring.create().unwrap();
    let mut producer = ring.producer().unwrap();
    for sequence in 0..COUNT {
        producer.publish(&payload(sequence, LEN as usize)).unwrap();
    }
    producer.detach();
    kept(ring)
}

/// The same, more than a lap.
fn wrapped(path: &Path) -> Kept {
    let ring = Ring::builder(path)
        .capacity_bytes(1 << 14)
        .create()
        .unwrap();
    let mut producer = ring.producer().unwrap();
    for sequence in 0..COUNT {
        producer
            .publish(&payload(sequence, (sequence % 90) as usize))
            .unwrap();
    }
    producer.detach();
    kept(ring)
}

fn fresh(path: &Path) -> Kept {
    kept(
        Ring::builder(path)
            .capacity_bytes(1 << 16)
            .create()
            .unwrap(),
    )
}

fn typed(path: &Path) -> Kept {
    let schema = "Value{number:u64,other:u64}".parse().unwrap();
    let ring = Ring::builder(path).schema(schema).frame_align(64);
    let ring = ring.create().unwrap();
    ring.producer().unwrap().publish(&[0; 16]).unwrap();
    kept(ring)
}

fn described(path: &Path) -> Kept {
    let schema = OpaqueSchema::new("sbe", "orders.xml", *b"<xml/>").unwrap();
    kept(Ring::builder(path).opaque_schema(&schema).create().unwrap())
}

fn stamped(path: &Path) -> Kept {
    let ring = Ring::builder(path)
        .stamps(true)
        .frame_align(64)
        .max_readers(2);
    let ring = ring.create().unwrap();
    ring.producer().unwrap().publish(&[7; 8]).unwrap();
    kept(ring)
}

/// A message of 8 bytes, a gap, and another message.
fn gapped(path: &Path) -> Kept {
    let ring = Ring::builder(path).create().unwrap();
    let mut producer = ring.producer().unwrap();
    producer.publish(&[1; 8]).unwrap();
    producer.skip_to(100, Why::Lost).unwrap();
    producer.publish(&[2; 8]).unwrap();
    drop(producer);
    kept(ring)
}

fn consumed(path: &Path) -> Kept {
    let ring = plain(path);
    let consumer = Ring::open(path).unwrap().consumer(Start::Oldest).unwrap();
    Box::new((ring, consumer))
}

fn with_cursors(path: &Path) -> Kept {
    let ring = plain(path);
    for name in ["one", "two"] {
        let opened = Ring::open(path).unwrap();
        drop(opened.durable_consumer(name, Start::Oldest).unwrap());
    }
    ring
}

fn queue(path: &Path) -> Kept {
    let queue = Queue::builder(path)
        .depth(8)
        .max_message_bytes(9)
        .max_receivers(4);
    let queue = queue.create().unwrap();
    let mut sender = queue.sender().unwrap();
    sender.send(&[1; 9]).unwrap();
    sender.send(&[2; 9]).unwrap();
    kept(sender)
}

/// A queue with a message that looks like a gap once one bit of it is set.
fn queue_of_16(path: &Path) -> Kept {
    let queue = Queue::builder(path)
        .depth(8)
        .max_message_bytes(16)
        .create()
        .unwrap();
    let mut sender = queue.sender().unwrap();
    let mut message = [0; 16];
    message[0] = 1;
    message[8] = 1;
    sender.send(&message).unwrap();
    kept(sender)
}

fn semaphore(path: &Path) -> Kept {
    kept(Semaphore::builder(path).permits(2).create().unwrap())
}

fn signals(path: &Path) -> Kept {
    let signals = Signals::builder(path).create().unwrap();
    kept(signals.listener("me").unwrap())
}

fn fifo(path: &Path) -> Kept {
    kept(Fifo::builder(path).create().unwrap())
}

/// A pipe with one piece.
fn written(path: &Path) -> Kept {
    let fifo = Fifo::builder(path).create().unwrap();
    let other = Fifo::open(path).unwrap();
    let reader = std::thread::spawn(move || other.reader_until(PATIENCE).unwrap());
    let mut writer = fifo.writer_until(PATIENCE).unwrap();
    writer.write_all(&[0xff; 8]).unwrap();
    let reader = reader.join().unwrap();
    Box::new((writer, reader))
}

/// Holds a lock byte that is reserved.
fn locked(path: &Path) -> Kept {
    let ring = fresh(path);
    let mut options = OpenOptions::new();
    let lock = options
        .read(true)
        .write(true)
        .open(path.join("lock"))
        .unwrap();
    #[allow(
        unsafe_code,
        reason = "locks of open file descriptions are in no crate"
    )]
    // SAFETY: all-zero is a valid `flock`, the descriptor is open, and the pointer is valid for the call.
    let taken = unsafe {
        let mut range: libc::flock = std::mem::zeroed();
        range.l_type = libc::F_WRLCK as i16;
        range.l_start = 9;
        range.l_len = 1;
        let fd = std::os::fd::AsRawFd::as_raw_fd(&lock);
        libc::fcntl(fd, libc::F_OFD_SETLK, &raw const range)
    };
    assert_eq!(taken, 0);
    Box::new((ring, lock))
}

/// The frame of [`plain`] with this sequence, as an offset in `stream`.
fn frame(path: &Path, sequence: u64) -> u64 {
    data(path) + sequence * FRAME
}

/// The offset of the first word of the board in `control`.
fn board(path: &Path) -> u64 {
    4096 + 128 * u64::from(peek(path, "stream", 60) as u32)
}

fn board_word(path: &Path, at: u64, value: u64) {
    word(path, "control", board(path) + 8 * at, value);
}

fn lane(path: &Path) -> PathBuf {
    path.join("lane-0")
}

const BREAKS: &[Break] = &[
    breaks("files.names", plain, |path| {
        std::fs::write(path.join("other"), "").unwrap();
    }),
    breaks("files.inside", queue, |path| {
        drop(fresh(&path.join("lane-5")))
    }),
    breaks("files.regular", plain, |path| {
        std::fs::hard_link(path.join("stream"), path.with_extension("link")).unwrap();
    }),
    breaks("files.owner", plain, |path| {
        if testing::is_root() {
            std::os::unix::fs::chown(path.join("lock"), Some(4321), None).unwrap();
        }
    }),
    breaks("files.mode", plain, |path| {
        let mode = std::fs::Permissions::from_mode(0o620);
        std::fs::set_permissions(path.join("stream"), mode).unwrap();
    }),
    breaks("files.stream_bytes", plain, |path| {
        cut(path, "stream", 1 << 14)
    }),
    breaks("files.control_bytes", plain, |path| {
        cut(path, "control", 4100)
    }),
    breaks("files.lock_empty", plain, |path| {
        poke(path, "lock", 0, b"x")
    }),
    breaks("locks.reserved", locked, |_| ()),
    breaks("description.magic", plain, |path| describe(path, 0, b"s")),
    breaks("description.byte_order", plain, |path| {
        describe(path, 13, &[7])
    }),
    breaks("description.version", plain, |path| describe(path, 8, &[4])),
    breaks("description.checksum", plain, |path| {
        word(path, "stream", 4088, 7)
    }),
    breaks("description.features", plain, |path| {
        describe(path, 21, &[1])
    }),
    doubts("description.other_features", plain, |path| {
        describe(path, 24, &[1])
    }),
    breaks("description.form", semaphore, |path| {
        describe(path, 164, &[12])
    }),
    breaks("description.capacity", plain, |path| {
        describe(path, 40, &[1])
    }),
    breaks("description.block", plain, |path| {
        describe(path, 48, &[0, 8])
    }),
    breaks("description.align", plain, |path| describe(path, 56, &[16])),
    breaks("description.rows", plain, |path| describe(path, 60, &[0])),
    breaks("description.rows", queue_of_16, |path| {
        describe(path, 61, &[8])
    }),
    breaks("description.largest", plain, |path| more(path, 64, 1)),
    breaks("description.board", plain, |path| describe(path, 68, &[1])),
    breaks("description.index_offset", plain, |path| {
        describe(path, 80, &[8])
    }),
    breaks("description.data_offset", plain, |path| {
        more(path, 88, 4096)
    }),
    breaks("description.stream_bytes", plain, |path| {
        more(path, 96, 4096)
    }),
    breaks("description.control_bytes", plain, |path| {
        more(path, 104, 4096)
    }),
    breaks("description.eviction", plain, |path| {
        describe(path, 16, &[2])
    }),
    breaks("description.form_bit", plain, |path| {
        describe(path, 16, &[4])
    }),
    breaks("description.stamps", semaphore, |path| {
        describe(path, 16, &[12])
    }),
    breaks("description.parameters", plain, |path| {
        describe(path, 176, &[1])
    }),
    breaks("description.parameters", queue, |path| {
        describe(path, 176, &[9])
    }),
    breaks("description.parameters", fifo, |path| {
        describe(path, 176, &[3])
    }),
    breaks("description.parameters", signals, |path| {
        describe(path, 176, &[63])
    }),
    breaks("description.value", latest, |path| {
        describe(path, 184, &[24])
    }),
    breaks("description.value", latest, |path| {
        describe(path, 177, &[1])
    }),
    breaks("description.maker", plain, |path| {
        describe(path, 192, b"\x1b")
    }),
    breaks("description.origin", plain, |path| {
        describe(path, 240, &[1])
    }),
    breaks("description.schema", typed, |path| {
        describe(path, 512, b"1")
    }),
    breaks("description.schema_hash", typed, |path| {
        describe(path, 152, &[0; 8])
    }),
    breaks("description.schema_end", typed, |path| {
        describe(path, 4087, b"x")
    }),
    breaks("description.schema_file", plain, |path| {
        describe(path, 320, &[24])
    }),
    breaks("description.reserved", plain, |path| {
        describe(path, 324, &[1])
    }),
    breaks("description.reserved", plain, |path| {
        describe(path, 415, &[1])
    }),
    doubts("description.ignored", plain, |path| {
        describe(path, 416, &[1])
    }),
    doubts("description.ignored", plain, |path| {
        describe(path, 511, &[1])
    }),
    breaks("schema_file.present", described, |path| {
        std::fs::remove_file(path.join("schema")).unwrap();
    }),
    breaks("schema_file.bytes", described, |path| {
        let bytes = peek(path, "stream", 320) & 0xffff_ffff;
        poke(path, "schema", bytes, b"x");
    }),
    breaks("schema_file.hash", described, |path| {
        let bytes = peek(path, "stream", 320) & 0xffff_ffff;
        poke(path, "schema", bytes - 1, b"x");
    }),
    breaks("schema_file.format", described, |path| {
        poke(path, "schema", 20, &[1]);
        let file = std::fs::read(path.join("schema")).unwrap();
        describe(path, 312, &fnv1a(&file).to_le_bytes());
    }),
    breaks("stream.reserved", plain, |path| {
        poke(path, "stream", 4104, &[1])
    }),
    breaks("stream.reserved", plain, |path| {
        poke(path, "stream", 8191, &[1])
    }),
    breaks("stream.reserved", plain, |path| {
        poke(path, "stream", data(path) - 1, &[1]);
    }),
    breaks("stream.new", fresh, |path| {
        poke(path, "stream", data(path) + 99, &[1])
    }),
    breaks("stream.new", fresh, |path| poke(path, "stream", 8200, &[1])),
    breaks("stream.new", semaphore, |path| {
        poke(path, "stream", 4368, &[1])
    }),
    breaks("producer.state", plain, |path| {
        poke(path, "stream", 4360, &[3])
    }),
    breaks("producer.beginnings", plain, |path| {
        word(path, "stream", 4376, COUNT + 1)
    }),
    breaks("producer.beginnings", plain, |path| {
        word(path, "stream", 4376, u64::MAX)
    }),
    breaks("producer.evictions", plain, |path| {
        poke(path, "stream", 4384, &[1])
    }),
    breaks("reserve.head", plain, |path| {
        word(path, "stream", 4096, COUNT * FRAME - 8)
    }),
    breaks("reserve.limit", plain, |path| word(path, "stream", 4224, 8)),
    breaks("limit.head", plain, |path| {
        word(path, "stream", 4224, COUNT * FRAME + (1 << 16) + 8);
    }),
    breaks("evictions.entry", plain, |path| {
        let blocks = (1 << 16) / 4096;
        poke(path, "stream", 8192 + 16 * blocks, &[1]);
    }),
    breaks("index.place", plain, |path| {
        word(path, "stream", 8192 + 16 * 3, 4)
    }),
    breaks("index.place", plain, |path| {
        let position = peek(path, "stream", 8192 + 16 * 3);
        word(path, "stream", 8192 + 16 * 3, position + (1 << 16));
    }),
    breaks("index.entry", plain, |path| {
        let sequence = peek(path, "stream", 8192 + 16 * 3 + 8);
        word(path, "stream", 8192 + 16 * 3 + 8, sequence + 1);
    }),
    breaks("index.entry", plain, |path| {
        let position = peek(path, "stream", 8192 + 16 * 3);
        word(path, "stream", 8192 + 16 * 3, position + 8);
    }),
    breaks("index.entry", wrapped, |path| {
        word(path, "stream", 8192 + 8, u64::MAX);
    }),
    breaks("index.intact", wrapped, |path| {
        // Of the first lap, all of which was overwritten.
        for slot in 0..16 {
            let position = peek(path, "stream", 8192 + 16 * slot);
            word(path, "stream", 8192 + 16 * slot, position % (1 << 14));
        }
    }),
    breaks("frame.length", plain, |path| {
        word(path, "stream", frame(path, 99), 99 << 32 | 16386);
    }),
    breaks("frame.pad", plain, |path| {
        word(path, "stream", frame(path, 99), 99 << 32 | 1 << 31 | 33);
    }),
    breaks("frame.gap", gapped, |path| {
        word(path, "stream", data(path) + 24, 1)
    }),
    breaks_inside("frame.no_gap", "lane-0", queue_of_16, |path| {
        let lane = lane(path);
        word(&lane, "stream", data(&lane), 1 << 31 | 17);
    }),
    breaks("frame.sequence", plain, |path| {
        word(path, "stream", frame(path, 99), 98 << 32 | (LEN + 1));
    }),
    breaks("frame.sequence", plain, |path| {
        word(path, "stream", frame(path, 99), 0)
    }),
    breaks("frame.fill", typed_tail, |path| {
        poke(path, "stream", data(path) + 15, &[1])
    }),
    breaks("frame.schema", typed, |path| {
        poke(path, "stream", data(path), &[9]);
    }),
    breaks("frame.stamp", stamped, |path| {
        poke(path, "stream", data(path), &[1])
    }),
    breaks_inside("frame.lane", "lane-0", queue, |path| {
        let lane = lane(path);
        poke(&lane, "stream", data(&lane), &[17]);
    }),
    breaks("frame.piece", written, |path| {
        poke(path, "stream", data(path), &[1])
    }),
    breaks("control.identity", plain, |path| {
        let low = peek(path, "control", 0);
        word(path, "control", 0, !low);
    }),
    breaks("control.reserved", plain, |path| {
        poke(path, "control", 16, &[1])
    }),
    breaks("control.reserved", plain, |path| {
        poke(path, "control", 4095, &[1])
    }),
    breaks("control.reserved", plain, |path| {
        poke(path, "control", 4096 + 128 + 36, &[1])
    }),
    breaks("control.reserved", plain, |path| {
        poke(path, "control", 8191, &[1])
    }),
    breaks("bell.flags", plain, |path| poke(path, "control", 132, &[2])),
    breaks("bell.flags", plain, |path| poke(path, "control", 268, &[2])),
    breaks("row.state", consumed, |path| {
        poke(path, "control", 4096, &[4])
    }),
    breaks("row.may_park", consumed, |path| {
        poke(path, "control", 4100, &[2])
    }),
    breaks("row.generation", consumed, |path| {
        poke(path, "control", 4120, &[0; 8])
    }),
    breaks("row.position", consumed, |path| {
        word(path, "control", 4104, 1 << 40)
    }),
    breaks("row.position", consumed, |path| {
        word(path, "control", 4104, 4)
    }),
    breaks("row.position", with_cursors, |path| {
        word(path, "control", 4104, 1 << 40)
    }),
    breaks("row.boundary", consumed, |path| {
        word(path, "control", 4104, 8)
    }),
    breaks("row.boundary", with_cursors, |path| {
        word(path, "control", 4104 + 128, 8)
    }),
    breaks("row.sequence", with_cursors, |path| {
        word(path, "control", 4112, COUNT + 1)
    }),
    breaks("row.sequence", with_cursors, |path| {
        word(path, "control", 4112, u64::MAX)
    }),
    breaks("row.name", with_cursors, |path| {
        poke(path, "control", 4096 + 48, b"/")
    }),
    breaks("row.name", with_cursors, |path| {
        poke(path, "control", 4096 + 111, b"x")
    }),
    breaks("row.name", signals, |path| {
        poke(path, "control", 4096 + 49, b"/")
    }),
    breaks("row.unique", with_cursors, |path| {
        poke(path, "control", 4096 + 128 + 48, b"one")
    }),
    breaks("row.epoch", with_cursors, |path| {
        poke(path, "control", 4096 + 40, &[2])
    }),
    breaks("stamps.board", stamped, |path| board_word(path, 594, 1)),
    breaks("stamps.board", stamped, |path| board_word(path, 1215, 1)),
    breaks("queue.list", queue, |path| board_word(path, 15, 1)),
    breaks("queue.list", queue, |path| board_word(path, 16, 17)),
    breaks("queue.lanes", queue, |path| board_word(path, 16 + 1023, 1)),
    breaks_inside("lane.take", "lane-0", queue, |path| {
        board_word(&lane(path), 16, 3)
    }),
    breaks_inside("lane.take", "lane-0", queue, |path| {
        board_word(&lane(path), 16, 2 << 24)
    }),
    breaks_inside("lane.take", "lane-0", queue, |path| {
        // A message that was not sent yet.
        board_word(&lane(path), 16 + 5, 1 << 16 | 1);
    }),
    breaks_inside("lane.row", "lane-0", queue, |path| {
        board_word(&lane(path), 16, 1 << 16 | 4 << 2 | 1);
    }),
    breaks_inside("lane.keeper", "lane-0", queue, |path| {
        let lane = lane(path);
        let second = 8 + 16;
        word(&lane, "control", 4104, second);
    }),
    breaks_inside("lane.board", "lane-0", queue, |path| {
        board_word(&lane(path), 1, 1)
    }),
    breaks("semaphore.permit", semaphore, |path| {
        board_word(path, 17, 1 << 20)
    }),
    breaks("semaphore.turn", semaphore, |path| {
        board_word(path, 0, 1 << 20)
    }),
    breaks("semaphore.board", semaphore, |path| board_word(path, 8, 1)),
    breaks("semaphore.board", shared, |path| board_word(path, 8, 2)),
    breaks("signals.counter", signals, |path| {
        board_word(path, 64 + 63, 7 << 40)
    }),
    breaks("pact.board", fifo, |path| board_word(path, 3, 1)),
    breaks("pact.board", fifo, |path| board_word(path, 16, 1)),
    breaks("pact.board", fifo, |path| board_word(path, 18, 1 << 32)),
];

fn latest(path: &Path) -> Kept {
    kept(Latest::<Value>::builder(path).create().unwrap())
}

fn shared(path: &Path) -> Kept {
    kept(Shared::<Value>::builder(path).create().unwrap())
}

/// A message of five bytes.
fn typed_tail(path: &Path) -> Kept {
    let ring = Ring::builder(path).create().unwrap();
    ring.producer().unwrap().publish(&[1; 5]).unwrap();
    kept(ring)
}

fn cut(path: &Path, file: &str, bytes: u64) {
    let file = OpenOptions::new()
        .write(true)
        .open(path.join(file))
        .unwrap();
    file.set_len(bytes).unwrap();
}

fn each_rule_is_seen_broken() {
    let mut failures = Vec::new();
    for (number, each) in BREAKS.iter().enumerate() {
        let scratch = Scratch::new();
        let path = scratch.ring();
        let held = (each.make)(&path);
        let before = check(&path).unwrap();
        if each.rule != "locks.reserved" {
            sound(&before);
        }
        (each.spoil)(&path);
        if each.rule == "files.owner" && !rustix::process::geteuid().is_root() {
            continue;
        }
        let report = check(&path).unwrap();
        let place = path.join(each.inside);
        let mut seen = report.wrong();
        if !each.wrong {
            let findings = report.findings.iter();
            let untold = findings.filter(|it| matches!(it.verdict, Verdict::CannotTell { .. }));
            seen.extend(untold.map(|finding| (&report.path, finding)));
        }
        let names: Vec<_> = seen
            .iter()
            .map(|(path, it)| (path.as_path(), it.rule.name))
            .collect();
        let place = if each.inside.is_empty() {
            path.as_path()
        } else {
            place.as_path()
        };
        if names != [(place, each.rule)] {
            let rule = each.rule;
            failures.push(format!("{number} {rule}: {}{names:?}", shown(&report)));
        }
        drop(held);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    let broken: BTreeSet<&str> = BREAKS.iter().map(|each| each.rule).collect();
    let rules: BTreeSet<&str> = RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(broken, rules, "rules that nothing here breaks");
    assert_eq!(rules.len(), RULES.len(), "a name is there twice");
}

// --- Damage.

/// Returns `true` if the page promises that damage of this byte is told: `docs/reference/check.md`, "What is told".
fn is_told(path: &Path, file: &str, at: u64, bit: u32) -> bool {
    let (data, capacity) = (data(path), peek(path, "stream", 40));
    let entries = 8192..8192 + 16 * (capacity / 4096);
    match file {
        // What only a later version may use is doubted, and the checksum covers it.
        "stream" if at < 4096 => true,
        "stream" if at < 8192 => ![4096, 4224, 4352, 4360, 4368, 4376, 4384, 4392]
            .iter()
            .any(|field| (*field..field + 8).contains(&at)),
        // Of entries of this lap: the ring of this test has not wrapped, so its last messages tell which those are.
        // One whose position is zero now looks like one that was never used.
        "stream"
            if entries.contains(&at) && at >= 8208 && peek(path, "stream", at / 16 * 16) == 0 =>
        {
            false
        }
        "stream" if entries.contains(&at) => at < 8192 + 16 * (COUNT * FRAME / 4096),
        "stream" if at < data && at >= entries.end + 8 * 8 => true,
        // The table of a ring that does not evict.
        "stream" if at < data => true,
        "stream" => {
            let newest = COUNT * FRAME / 4096 * 4096;
            let (place, frame) = ((at - data) % FRAME, (at - data) / FRAME * FRAME);
            // The commit word, but for the bits of the length that another message of as many words has.
            frame < newest && place < 8 && (place, bit) != (0, 31)
        }
        "schema" => true,
        "control" => at < 16 || (16..128).contains(&at) || (400..4096).contains(&at),
        _ => false,
    }
}

/// Each bit of each entry of this lap.
fn damage_of_an_index_entry_is_told() {
    let scratch = Scratch::new();
    let path = scratch.ring();
    let held = plain(&path);
    let mut untold = Vec::new();
    for at in 8192..8192 + 16 * (COUNT * FRAME / 4096) {
        for bit in 0..8 {
            let byte = byte_at(&path, "stream", at);
            poke(&path, "stream", at, &[byte ^ 1 << bit]);
            let told = !check(&path).unwrap().wrong().is_empty();
            if told != is_told(&path, "stream", at, bit) {
                untold.push((at - 8192, bit));
            }
            poke(&path, "stream", at, &[byte]);
        }
    }
    assert!(untold.is_empty(), "bits of bytes of the index: {untold:?}");
    drop(held);
}

fn any_damage_is_survived_and_told_where_it_can_be() {
    let mut random = Random::new();
    let makers: [(&str, Make); 9] = [
        ("plain", plain),
        ("wrapped", wrapped),
        ("described", described),
        ("stamped", stamped),
        ("cursors", with_cursors),
        ("queue", queue),
        ("fifo", written),
        ("signals", signals),
        ("shared", shared),
    ];
    for (name, make) in makers {
        let scratch = Scratch::new();
        let path = scratch.ring();
        let held = make(&path);
        let inside = if name == "queue" {
            lane(&path)
        } else {
            path.clone()
        };
        let (mut told, mut untold) = (0, 0);
        for _ in 0..150 {
            let files = ["stream", "control", "schema"];
            let files = files.into_iter().filter(|file| inside.join(file).exists());
            let files: Vec<&str> = files.collect();
            let file = files[random.below(files.len() as u64) as usize];
            let len = inside.join(file).metadata().unwrap().len();
            // Half of the flips in the first pages, where the fields are.
            let most = if random.below(2) == 0 {
                len
            } else {
                len.min(16384)
            };
            let (at, bit) = (random.below(most), random.below(8) as u32);
            let byte = byte_at(&inside, file, at);
            poke(&inside, file, at, &[byte ^ 1 << bit]);
            let report = check(&path).unwrap();
            match report.wrong().is_empty() {
                false => told += 1,
                true => {
                    untold += 1;
                    let promised = ["plain", "described"].contains(&name);
                    let is_told = promised && is_told(&inside, file, at, bit);
                    assert!(!is_told, "{name}: bit {bit} of byte {at} of {file}");
                }
            }
            poke(&inside, file, at, &[byte]);
        }
        sound(&check(&path).unwrap());
        // Anything at all, and files of any length.
        for _ in 0..60 {
            let file = ["stream", "control", "lock", "schema"][random.below(4) as usize];
            let len = inside.join(file).metadata().map_or(0, |file| file.len());
            let at = random.below(len.max(1));
            match random.below(3) {
                0 => cut(&inside, "stream", random.below(1 << 17)),
                _ if !inside.join(file).exists() => continue,
                1 => cut(&inside, file, at),
                _ => poke(&inside, file, at, &payload(at, random.below(300) as usize)),
            }
            check(&path).unwrap();
        }
        println!("  {name}: {told} flips told, {untold} not");
        // Its owner would find pages that are gone.
        std::mem::forget(held);
    }
}

/// Another process cuts and mends the files all the time.
fn a_file_that_is_cut_meanwhile_is_no_fault() {
    let scratch = Scratch::new();
    let path = scratch.ring();
    drop(wrapped(&path));
    let bytes = |file: &str| path.join(file).metadata().unwrap().len();
    let whole = [("stream", bytes("stream")), ("control", bytes("control"))];
    let stop = AtomicBool::new(false);
    let (mut cuts, mut told) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::new();
            while !stop.load(Relaxed) {
                let (file, bytes) = whole[random.below(2) as usize];
                cut(&path, file, random.below(bytes));
                cut(&path, file, bytes);
            }
        });
        for _ in 0..2000 {
            cuts += 1;
            told += usize::from(!check(&path).unwrap().wrong().is_empty());
        }
        stop.store(true, Relaxed);
    });
    println!("  {told} of {cuts} checks told it");
    assert!(told > 0);
}

fn what_is_no_object_is_said() {
    use slipring::place::OpenError;
    let scratch = Scratch::new();
    let missing = check(scratch.ring());
    assert!(
        matches!(missing, Err(OpenError::NotFound { .. })),
        "{missing:?}"
    );
    assert!(matches!(check("a/b"), Err(OpenError::Name(_))));
    let file = scratch.0.join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(check(&file), Err(OpenError::Untrusted { .. })));
    let link = scratch.0.join("link");
    std::os::unix::fs::symlink("ring", &link).unwrap();
    drop(plain(&scratch.ring()));
    assert!(matches!(check(&link), Err(OpenError::Untrusted { .. })));
    std::fs::create_dir(scratch.0.join("empty")).unwrap();
    let empty = check(scratch.0.join("empty")).unwrap();
    let names: Vec<&str> = empty.wrong().iter().map(|(_, it)| it.rule.name).collect();
    assert_eq!(names, ["files.names"]);
    // What is being made is passed over.
    std::fs::create_dir(scratch.0.join(".ring.0123456789abcdef")).unwrap();
    let checked = check_in(&scratch.0).unwrap();
    let of: Vec<(&str, bool)> = checked
        .iter()
        .map(|checked| (&*checked.name, checked.report.is_ok()))
        .collect();
    let expected = [
        ("empty", true),
        ("file", false),
        ("link", false),
        ("ring", true),
    ];
    assert_eq!(of, expected);
    // Files that are of no use: a pipe that nothing writes to, a directory, a link.
    for file in ["stream", "control", "lock"] {
        for kind in 0..3 {
            let path = scratch.0.join(format!("{file}{kind}"));
            drop(plain(&path));
            let file = path.join(file);
            std::fs::remove_file(&file).unwrap();
            match kind {
                0 => {
                    let mode = rustix::fs::Mode::from_raw_mode(0o600);
                    let kind = rustix::fs::FileType::Fifo;
                    rustix::fs::mknodat(rustix::fs::CWD, &file, kind, mode, 0).unwrap();
                }
                1 => std::fs::create_dir(&file).unwrap(),
                _ => std::os::unix::fs::symlink("/dev/zero", &file).unwrap(),
            }
            let report = check(&path).unwrap();
            let untold =
                |it: &slipring::registry::Finding| !matches!(it.verdict, Verdict::Ok { .. });
            assert!(report.findings.iter().any(untold), "{report:?}");
        }
    }
}

// --- Objects in use.

fn peer(role: &str) {
    let path = PathBuf::from(std::env::args().nth(1).unwrap());
    let mut random = Random::seeded(u64::from(std::process::id()) << 1 | 1);
    let ring = || Ring::open(path.join("ring")).unwrap();
    let spin = Strategy::default();
    match role {
        "produce" => {
            let ring = ring();
            // The last one may be stopped, and is killed later.
            let mut producer = loop {
                if let Ok(producer) = ring.producer() {
                    break producer;
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            say("ready");
            loop {
                let sequence = producer.next_sequence();
                match random.below(200) {
                    0 => {
                        let to = sequence + 1 + random.below(1 << 33);
                        let _ = producer.skip_to(to, Why::Lost);
                    }
                    1 => {
                        let mut batch = producer.batch();
                        for _ in 0..random.below(20) {
                            let _ = batch.push(&[1; 40]);
                        }
                        batch.commit();
                    }
                    _ => {
                        let len = random.below(300) as usize;
                        let _ = producer.publish(&payload(sequence, len));
                    }
                }
            }
        }
        "consume" | "durable" => {
            let ring = ring();
            let options = ConsumerOptions::new().strategy(spin);
            let durable = role == "durable";
            let mut consumer = loop {
                let start = if random.below(2) == 0 {
                    Start::Oldest
                } else {
                    Start::Latest
                };
                let consumer = match durable {
                    true => ring.durable_consumer_with("me", start, options),
                    false => ring.consumer_with(start, options),
                };
                if let Ok(consumer) = consumer {
                    break consumer;
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            say("ready");
            loop {
                let _ = consumer.receive().map(drop);
                if random.below(1000) == 0 {
                    std::thread::sleep(Duration::from_millis(random.below(8)));
                }
            }
        }
        "observe" => {
            let ring = ring();
            let options = ObserverOptions::new().strategy(spin);
            let mut observer = ring.observer_with(Start::Oldest, options).unwrap();
            say("ready");
            loop {
                let _ = observer.receive().map(drop);
            }
        }
        "send" | "lend" => {
            let name = if role == "send" { "queue" } else { "leased" };
            let queue = Queue::open(path.join(name)).unwrap();
            let mut sender = queue.sender().unwrap();
            say("ready");
            loop {
                let len = random.below(60) as usize;
                let _ = sender.send_with_priority(&vec![7; len], random.below(3) as u8);
            }
        }
        "take" | "hold" => {
            let name = if role == "take" { "queue" } else { "leased" };
            let queue = Queue::open(path.join(name)).unwrap();
            let mut receiver = queue.receiver().unwrap();
            say("ready");
            loop {
                if let Ok(delivery) = receiver.receive_until(Duration::from_millis(5)) {
                    if role == "hold" && random.below(20) == 0 {
                        std::thread::sleep(Duration::from_millis(random.below(8)));
                    }
                    if random.below(3) > 0 {
                        let _ = delivery.ack();
                    }
                }
            }
        }
        "permits" => {
            let semaphore = Semaphore::open(path.join("semaphore")).unwrap();
            say("ready");
            loop {
                let many = 1 + random.below(3) as u32;
                drop(semaphore.acquire_many(many));
            }
        }
        "change" => {
            let mut shared = Shared::<Value>::open(path.join("shared")).unwrap();
            say("ready");
            loop {
                if let Ok(mut guard) = shared.lock() {
                    guard.number += 1;
                }
            }
        }
        "set" => {
            let latest = Latest::<Value>::open(path.join("latest")).unwrap();
            let mut writer = loop {
                if let Ok(writer) = latest.writer() {
                    break writer;
                }
                std::thread::yield_now();
            };
            say("ready");
            for number in 0.. {
                let _ = writer.set(&Value { number, other: 0 });
            }
        }
        "signal" => {
            let signals = Signals::open(path.join("signals")).unwrap();
            say("ready");
            loop {
                let _ = signals.broadcast(3);
                if let Ok(mut target) = signals.target("me") {
                    let _ = target.send(random.below(64) as u32);
                }
            }
        }
        "listen" => {
            let signals = Signals::open(path.join("signals")).unwrap();
            say("ready");
            loop {
                if let Ok(mut listener) = signals.listener("me") {
                    for _ in 0..random.below(50) {
                        let all = slipring::signals::SignalSet::ALL;
                        let _ = listener.wait_until(all, Duration::from_millis(1));
                    }
                }
            }
        }
        "write" | "read" => {
            let fifo = Fifo::open(path.join("fifo")).unwrap();
            say("ready");
            loop {
                match role {
                    "write" => {
                        if let Ok(mut writer) = fifo.writer() {
                            while writer.write_all(&[9; 100]).is_ok() {}
                        }
                    }
                    _ => {
                        if let Ok(mut reader) = fifo.reader() {
                            let mut bytes = [0; 64];
                            while reader.read(&mut bytes).is_ok_and(|len| len > 0) {}
                        }
                    }
                }
            }
        }
        other => panic!("no role {other}"),
    }
}

/// Checks beside the parties, of which one after the other is killed.
fn never_wrong(directory: &Path, roles: &[&'static str], checks: u32) {
    let arguments = |_| vec![text(directory).to_owned()];
    let roles: Vec<_> = roles.iter().map(|role| (*role, arguments(()))).collect();
    let mut parties = Parties::start(roles);
    let mut random = Random::new();
    let (mut rules, mut untold) = (0, 0);
    for turn in 0..checks {
        for checked in check_in(directory).unwrap() {
            let report = checked.report.unwrap();
            assert!(report.wrong().is_empty(), "turn {turn}: {}", shown(&report));
            rules += report.findings.len();
            let findings = report.findings.iter();
            let unknown = |it: &&slipring::registry::Finding| {
                matches!(it.verdict, Verdict::CannotTell { .. })
            };
            untold += findings.filter(unknown).count();
        }
        if turn % 5 == 4 {
            let party = parties.any(&mut random);
            parties.kill(party, &mut random, 3);
            for checked in check_in(directory).unwrap() {
                sound(&checked.report.unwrap());
            }
            parties.replace(party);
        }
    }
    println!("  {rules} rules, {untold} of them not told");
    assert!(untold * 5 < rules, "{untold} of {rules}");
}

fn a_busy_ring_is_never_called_wrong() {
    for (capacity, evicts, stamps) in [
        (1 << 12, true, false),
        (1 << 16, false, true),
        (1 << 20, true, true),
    ] {
        let scratch = Scratch::new();
        let ring = Ring::builder(scratch.ring())
            .capacity_bytes(capacity)
            .stamps(stamps);
        let ring = match evicts {
            true => ring.evict_after(Duration::from_millis(2)),
            false => ring,
        };
        drop(ring.create().unwrap());
        never_wrong(
            &scratch.0,
            &["produce", "consume", "durable", "observe"],
            600,
        );
    }
}

fn busy_forms_are_never_called_wrong() {
    let scratch = Scratch::new();
    let at = |name: &str| scratch.0.join(name);
    drop(
        Queue::builder(at("queue"))
            .depth(16)
            .max_message_bytes(64)
            .create()
            .unwrap(),
    );
    // Receivers pause for longer than its lease.
    drop(
        Queue::builder(at("leased"))
            .depth(4)
            .max_message_bytes(64)
            .lease(Duration::from_millis(2))
            .create()
            .unwrap(),
    );
    drop(
        Semaphore::builder(at("semaphore"))
            .permits(3)
            .create()
            .unwrap(),
    );
    drop(Shared::<Value>::builder(at("shared")).create().unwrap());
    drop(Latest::<Value>::builder(at("latest")).create().unwrap());
    drop(Signals::builder(at("signals")).create().unwrap());
    drop(Fifo::builder(at("fifo")).create().unwrap());
    let roles = [
        "send", "send", "lend", "hold", "hold", "take", "take", "permits", "permits", "change",
        "set", "signal", "listen", "write", "read",
    ];
    never_wrong(&scratch.0, &roles, 150);
}
