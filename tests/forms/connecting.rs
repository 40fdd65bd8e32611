//! Handles that wait for their other side in an event loop: against others that wait in a call or in a loop, in any order, dropped,
//! killed, forked and removed meanwhile. What two sides that met say to each other arrives, and nothing else.
#![allow(unsafe_code, reason = "forks, and locks as of a dying process")]

use crate::events::{block_on, once, readable, run_all};
use rustix::event::{epoll, poll, PollFd, PollFlags, Timespec};
use slipring::endpoint::{Connecting, Meets, Source};
use slipring::events::{Async, Pollable, PollableSet};
use slipring::link::{LinkError, LinkOptions};
use slipring::pipe::{Duplex, PipeOptions, PipeReader, PipeWriter};
use slipring::{Fifo, Link, Ring, Start, Strategy, WaitSet};
use std::cell::Cell;
use std::fs::File;
use std::future::Future;
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use testing::books::{kills_wanted, Books, Random};
use testing::tracee::Tracee;
use testing::waiter::{by_descriptor, has_io_uring, Waiter};
use testing::{say, text, Parties, Peer, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(peer; [
    sides_meet_in_any_order_and_waiting_in_any_way,
    a_process_that_comes_late_is_met,
    both_sides_in_one_loop_beside_others,
    both_sides_as_tasks_of_one_thread,
    whatever_comes_and_goes_two_that_stay_meet,
    a_side_that_begins_anew_wakes_the_other,
    nobody_comes,
    a_future_that_is_dropped_leaves_its_place,
    a_link_begins_to_reconnect,
    a_fork_is_told_and_changes_nothing,
    a_removal_ends_the_wait,
    a_side_that_dies_anywhere_is_no_obstacle,
    what_a_dying_process_still_has_is_not_waited_for_in_a_call,
    random_deaths_in_event_loops,
]);

// --- What meets.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Link,
    /// A named pipe from side 0 to side 1.
    OneWay,
    BothWays,
}

const KINDS: [Kind; 3] = [Kind::Link, Kind::OneWay, Kind::BothWays];

/// An object for two.
#[derive(Clone, Debug)]
struct Place {
    kind: Kind,
    directory: PathBuf,
    strategy: Strategy,
}

/// One of the two sides, which waits for the other.
#[derive(Debug)]
enum Begun {
    Link(Connecting<Link>),
    Writer(Connecting<PipeWriter>),
    Reader(Connecting<PipeReader>),
    Both(Connecting<Duplex>),
}

/// Does the same with each kind.
macro_rules! each {
    ($begun:expr, $one:ident => $does:expr) => {
        match $begun {
            Begun::Link($one) => $does,
            Begun::Writer($one) => $does,
            Begun::Reader($one) => $does,
            Begun::Both($one) => $does,
        }
    };
}

impl Place {
    fn new(kind: Kind, directory: &Path) -> Self {
        let place = Self {
            kind,
            directory: directory.to_owned(),
            strategy: Strategy::default(),
        };
        if kind != Kind::Link {
            let builder = Fifo::builder(place.path()).capacity_bytes(8192);
            let both_ways = kind == Kind::BothWays;
            builder.both_ways(both_ways).create_or_open().unwrap();
        }
        place
    }

    fn path(&self) -> PathBuf {
        let name = match self.kind {
            Kind::Link => "alice..bob",
            Kind::OneWay => "one-way",
            Kind::BothWays => "both-ways",
        };
        self.directory.join(name)
    }

    fn begin(&self, side: usize) -> Result<Begun, String> {
        if self.kind == Kind::Link {
            let (me, peer) = [("alice", "bob"), ("bob", "alice")][side];
            let builder = Link::builder(me, peer).directory(&self.directory);
            let options = LinkOptions::default().strategy(self.strategy);
            let begun = builder.capacity_bytes(8192).begin_connect_with(options);
            return begun.map(Begun::Link).map_err(|error| error.to_string());
        }
        let fifo = Fifo::open(self.path()).map_err(|error| error.to_string())?;
        let options = PipeOptions::default().strategy(self.strategy);
        let begun = match (self.kind, side) {
            (Kind::BothWays, _) => fifo.begin_connect_with(options).map(Begun::Both),
            (_, 0) => fifo.begin_writer_with(options).map(Begun::Writer),
            _ => fifo.begin_reader_with(options).map(Begun::Reader),
        };
        begun.map_err(|error| error.to_string())
    }
}

impl Begun {
    fn source(&mut self) -> &mut dyn Source {
        each!(self, one => one)
    }

    fn try_meet(&mut self) -> Result<bool, String> {
        each!(self, one => one.try_meet().map_err(|error| error.to_string()))
    }

    fn finish_until(self, limit: Duration) -> Result<Met, String> {
        self.by(Way::Call(limit))
    }

    /// Waits in one of the ways.
    fn by(self, way: Way) -> Result<Met, String> {
        match self {
            Self::Link(link) => by(link, way).map(Met::from),
            Self::Writer(writer) => by(writer, way).map(Met::from),
            Self::Reader(reader) => by(reader, way).map(Met::from),
            Self::Both(both) => by(both, way).map(Met::from),
        }
    }
}

/// How a side waits for the other.
#[derive(Clone, Copy, Debug)]
enum Way {
    Call(Duration),
    Set,
    Descriptor,
    IoUring,
    Edges,
    Future,
    Readable,
}

fn any_way(random: &mut Random) -> Way {
    let ways = [
        Way::Call(PATIENCE),
        Way::Set,
        Way::Descriptor,
        Way::IoUring,
        Way::Edges,
        Way::Future,
        Way::Readable,
    ];
    ways[random.below(ways.len() as u64) as usize]
}

/// Mostly one that sleeps.
fn any_strategy(random: &mut Random) -> Strategy {
    match random.below(6) {
        0 => Strategy::Spin,
        1 => Strategy::Yield,
        2 => Strategy::Park,
        _ => Strategy::default(),
    }
}

fn by<H: Meets>(mut waits: Connecting<H>, way: Way) -> Result<H, String> {
    let met = match way {
        Way::Call(limit) => waits.finish_until(limit),
        Way::Set => {
            let mut set = WaitSet::new();
            while !waits.try_meet().map_err(|error| error.to_string())? {
                assert_eq!(set.wait(&mut [&mut waits], PATIENCE), Some(0));
            }
            waits.finish()
        }
        Way::Descriptor | Way::IoUring => {
            let mut polled = Pollable::new(waits).unwrap();
            if matches!(way, Way::IoUring) && has_io_uring() {
                polled.use_io_uring().unwrap();
            }
            while !polled.try_meet().map_err(|error| error.to_string())? {
                if !polled.arm() {
                    assert!(readable(&polled, PATIENCE), "a wake-up was lost");
                }
            }
            polled.into_inner().finish()
        }
        Way::Edges => {
            let mut set = PollableSet::new().unwrap();
            let events = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
            let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
            epoll::add(&events, &set, epoll::EventData::new_u64(0), flags).unwrap();
            while !waits.try_meet().map_err(|error| error.to_string())? {
                if set.arm(&mut [&mut waits]).is_none() {
                    let mut found = Vec::with_capacity(1);
                    let limit = Timespec::try_from(PATIENCE).unwrap();
                    let room = rustix::buffer::spare_capacity(&mut found);
                    match epoll::wait(&events, room, Some(&limit)) {
                        Ok(events) => assert_eq!(events, 1, "an edge was lost"),
                        Err(error) => assert_eq!(error, rustix::io::Errno::INTR),
                    }
                }
            }
            waits.finish()
        }
        Way::Future => block_on(Async::new(waits).unwrap().finish()),
        Way::Readable => {
            let mut task = Async::new(waits).unwrap();
            let met = block_on(async {
                while !task.try_meet()? {
                    task.readable().await;
                }
                Ok::<_, H::Error>(())
            });
            met.map_err(|error| error.to_string())?;
            task.into_inner().finish()
        }
    };
    met.map_err(|error| error.to_string())
}

/// What becomes of a side that has met the other. It says numbers and hears them.
#[derive(Debug)]
struct Met {
    link: Option<Link>,
    writer: Option<PipeWriter>,
    reader: Option<PipeReader>,
    /// What was not written yet, and what was read of the next number.
    rest: Vec<u8>,
    part: Vec<u8>,
}

impl From<Link> for Met {
    fn from(link: Link) -> Self {
        Self::new(Some(link), None, None)
    }
}

impl From<PipeWriter> for Met {
    fn from(writer: PipeWriter) -> Self {
        Self::new(None, Some(writer), None)
    }
}

impl From<PipeReader> for Met {
    fn from(reader: PipeReader) -> Self {
        Self::new(None, None, Some(reader))
    }
}

impl From<Duplex> for Met {
    fn from(both: Duplex) -> Self {
        let (reader, writer) = both.into_halves();
        Self::new(None, Some(writer), Some(reader))
    }
}

/// The other side is gone.
#[derive(Debug)]
struct Gone;

impl Met {
    fn new(link: Option<Link>, writer: Option<PipeWriter>, reader: Option<PipeReader>) -> Self {
        Self {
            link,
            writer,
            reader,
            rest: Vec::new(),
            part: Vec::new(),
        }
    }

    fn says(&self) -> bool {
        self.link.is_some() || self.writer.is_some()
    }

    fn hears(&self) -> bool {
        self.link.is_some() || self.reader.is_some()
    }

    /// Says two numbers; `false` if there is no room.
    fn try_say(&mut self, numbers: [u64; 2]) -> Result<bool, Gone> {
        let bytes = numbers.map(u64::to_le_bytes).concat();
        if let Some(link) = &mut self.link {
            return match link.try_send(&bytes) {
                Ok(_) => Ok(true),
                Err(LinkError::Full) => Ok(false),
                Err(LinkError::PeerGone) => Err(Gone),
                Err(error) => panic!("{error}"),
            };
        }
        let Some(writer) = &mut self.writer else {
            return Ok(false);
        };
        let fresh = self.rest.is_empty();
        if fresh {
            self.rest = bytes;
        }
        while !self.rest.is_empty() {
            match writer.try_write(&self.rest) {
                Ok(written) => drop(self.rest.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Err(Gone),
                Err(error) => panic!("{error}"),
            }
        }
        Ok(fresh)
    }

    /// The next two numbers; `None` if they are not there.
    fn try_hear(&mut self) -> Result<Option<[u64; 2]>, Gone> {
        if let Some(link) = &mut self.link {
            match link.try_receive() {
                Ok(message) => self.part.extend_from_slice(&message),
                Err(LinkError::Empty) => return Ok(None),
                Err(LinkError::PeerGone) => return Err(Gone),
                Err(error) => panic!("{error}"),
            }
        }
        if let Some(reader) = &mut self.reader {
            while self.part.len() < 16 {
                let mut bytes = [0; 16];
                let room = 16 - self.part.len();
                match reader.try_read(&mut bytes[..room]) {
                    Ok(0) => return Err(Gone),
                    Ok(read) => self.part.extend_from_slice(&bytes[..read]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                    Err(error) => panic!("{error}"),
                }
            }
        }
        let bytes = std::mem::take(&mut self.part);
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        Ok((!bytes.is_empty()).then(|| [word(0), word(8)]))
    }

    /// What the other side says next.
    fn hear(&mut self) -> Result<[u64; 2], Gone> {
        loop {
            if let Some(numbers) = self.try_hear()? {
                return Ok(numbers);
            }
            std::thread::yield_now();
        }
    }
}

/// Each hears what the other says, and nothing else.
fn talk(one: &mut Met, other: &mut Met, number: u64) -> Result<(), Gone> {
    for (sayer, hearer) in [(0, 1), (1, 0)] {
        let sides = [&mut *one, &mut *other];
        if sides[sayer].says() {
            assert!(sides[sayer].try_say([number, sayer as u64])?);
            assert_eq!(sides[hearer].hear()?, [number, sayer as u64]);
        }
    }
    Ok(())
}

/// Mostly short, and long enough for a waiter to have slept more than once.
fn pause(random: &mut Random) -> Duration {
    Duration::from_micros(random.below(5).pow(3) * random.below(60))
}

// --- Both sides.

fn sides_meet_in_any_order_and_waiting_in_any_way() {
    slipring::events::never_look_without_a_reason();
    let mut random = Random::new();
    let scratch = Scratch::new();
    let places = KINDS.map(|kind| Place::new(kind, &scratch.0));
    for turn in 0..400u64 {
        let place = &places[random.below(3) as usize];
        let first = random.below(2) as usize;
        let ways = [any_way(&mut random), any_way(&mut random)];
        let pauses: Vec<Duration> = (0..4).map(|_| pause(&mut random)).collect();
        let strategies = [any_strategy(&mut random), any_strategy(&mut random)];
        let side = |side: usize, at: usize| {
            std::thread::sleep(pauses[at]);
            let mut place = place.clone();
            place.strategy = strategies[at / 2];
            let begun = place.begin(side).unwrap();
            std::thread::sleep(pauses[at + 1]);
            begun.by(ways[at / 2]).unwrap()
        };
        let (mut one, mut other) = std::thread::scope(|scope| {
            let other = scope.spawn(|| side(1 - first, 2));
            (side(first, 0), other.join().unwrap())
        });
        if talk(&mut one, &mut other, turn).is_err() {
            panic!("turn {turn}: {place:?} {ways:?} {pauses:?}");
        }
    }
}

fn peer(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments[at].parse::<usize>().unwrap();
    let place = Place::new(KINDS[number(1)], Path::new(&arguments[0]));
    let side = number(2);
    match role {
        "meet" => {
            say("ready");
            let way = [Way::Call(PATIENCE), Way::Descriptor][number(3)];
            let mut met = place.begin(side).unwrap().by(way).unwrap();
            if met.says() {
                assert!(met.try_say([7, side as u64]).unwrap());
            }
            if met.hears() {
                assert_eq!(met.hear().unwrap(), [7, 1 - side as u64]);
            }
            // It leaves when the other side has heard it.
            std::io::stdin().read_line(&mut String::new()).unwrap();
        }
        "step" => {
            testing::tracee::begin();
            let mut begun = place.begin(side).unwrap();
            for _ in 0..200 {
                if begun.try_meet().unwrap() {
                    let mut met = begun.finish_until(Duration::ZERO).unwrap();
                    let _ = met.try_say([13, 13]);
                    break;
                }
            }
            testing::tracee::end();
        }
        _ => chatter(&place, side),
    }
}

fn a_process_that_comes_late_is_met() {
    let mut random = Random::new();
    for turn in 0..24 {
        let scratch = Scratch::new();
        let (kind, side, way) = (turn % 3, turn / 3 % 2, turn / 6 % 2);
        let place = Place::new(KINDS[kind], &scratch.0);
        let begun = place.begin(side).unwrap();
        let arguments = [kind, 1 - side, way].map(|number| number.to_string());
        let path = text(&scratch.0).to_owned();
        let starting = std::thread::spawn(move || {
            let [kind, side, way] = &arguments;
            Peer::start("meet", &[&path, kind, side, way])
        });
        let mut met = begun.by(any_way(&mut random)).unwrap();
        if met.says() {
            assert!(met.try_say([7, side as u64]).unwrap());
        }
        if met.hears() {
            assert_eq!(met.hear().unwrap(), [7, 1 - side as u64]);
        }
        let mut peer = starting.join().unwrap();
        drop(peer.child.stdin.take());
        peer.finish();
    }
}

/// A loop of one thread, with both sides and a consumer that has messages all the time. The set is a sleep, or a descriptor.
fn both_sides_in_one_loop_beside_others() {
    slipring::events::never_look_without_a_reason();
    let mut random = Random::new();
    let scratch = Scratch::new();
    let places = KINDS.map(|kind| Place::new(kind, &scratch.0));
    let ring = Ring::heap().capacity_bytes(1 << 16).create().unwrap();
    let mut producer = ring.producer().unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    let mut numbers = 0..;
    for by_descriptors in [false, true] {
        if by_descriptors {
            by_descriptor();
        }
        let mut set = Waiter::new();
        for turn in 0..60 {
            let place = &places[turn % 3];
            // One side begins, and the other one when some messages have come.
            let first = random.below(2) as usize;
            let mut sides = vec![place.begin(first).unwrap()];
            let mut left = random.below(20);
            let mut met = [false; 2];
            let mut heard = 0;
            while met != [true; 2] {
                if left > 0 {
                    let number: u64 = numbers.next().unwrap();
                    producer.publish(&number.to_le_bytes()).unwrap();
                    left -= 1;
                } else if sides.len() == 1 {
                    sides.push(place.begin(1 - first).unwrap());
                }
                let mut sources: Vec<&mut dyn Source> = vec![&mut consumer];
                sources.extend(sides.iter_mut().map(Begun::source));
                match set.wait(&mut sources, PATIENCE) {
                    Some(0) => {
                        assert_eq!(consumer.try_receive().unwrap().len(), 8);
                        heard += 1;
                    }
                    Some(at) => met[at - 1] |= sides[at - 1].try_meet().unwrap(),
                    None => panic!("nothing to do in turn {turn}, with {met:?}, {heard} heard"),
                }
            }
            while consumer.try_receive().is_ok() {}
            let mut both = sides
                .into_iter()
                .map(|side| side.finish_until(Duration::ZERO).unwrap());
            let (mut one, mut other) = (both.next().unwrap(), both.next().unwrap());
            talk(&mut one, &mut other, turn as u64).unwrap();
        }
    }
}

fn both_sides_as_tasks_of_one_thread() {
    slipring::events::never_look_without_a_reason();
    let mut random = Random::new();
    let scratch = Scratch::new();
    let places = KINDS.map(|kind| Place::new(kind, &scratch.0));
    for turn in 0..200u64 {
        let place = &places[random.below(3) as usize];
        let met = [Cell::new(None), Cell::new(None)];
        let passes = [random.below(3), random.below(3)];
        let tasks = [0, 1].map(|side| {
            let (met, passes) = (&met[side], passes[side]);
            let task = async move {
                for _ in 0..passes {
                    pass().await;
                }
                let begun = place.begin(side).unwrap();
                let done = each!(begun, one => Async::new(one).unwrap().finish().await.map(Met::from).map_err(|error| error.to_string()));
                met.set(Some(done.unwrap()));
            };
            Box::pin(task) as Pin<Box<dyn Future<Output = ()> + '_>>
        });
        run_all(tasks.into());
        let [mut one, mut other] = met.map(|met| met.into_inner().unwrap());
        talk(&mut one, &mut other, turn).unwrap();
    }
}

/// Lets other tasks run.
async fn pass() {
    let mut passed = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut passed, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

// --- Sides that come and go.

/// A side, and when it began and met.
struct Present {
    begun: Begun,
    since: u64,
    met: Option<u64>,
}

/// One thread has any side begin, look, and leave at any time. In the end two that stay meet and talk. One that met another which
/// left says that it is gone, and nothing else.
fn whatever_comes_and_goes_two_that_stay_meet() {
    let mut random = Random::new();
    let scratch = Scratch::new();
    let places = KINDS.map(|kind| Place::new(kind, &scratch.0));
    for turn in 0..1500u64 {
        let place = &places[random.below(3) as usize];
        let mut sides: [Option<Present>; 2] = [None, None];
        // When the last one left that had met the other.
        let mut left = [0; 2];
        let mut now = 0;
        for _ in 0..random.below(25) {
            now += 1;
            let side = random.below(2) as usize;
            match (random.below(4), &mut sides[side]) {
                (0, Some(present)) => {
                    left[side] = present.met.map_or(left[side], |_| now);
                    sides[side] = None;
                }
                (1, Some(_)) if place.kind != Kind::BothWays => {
                    let refused = place.begin(side).unwrap_err();
                    assert!(refused.contains("already"), "{refused}");
                }
                (_, Some(present)) => present.look(now),
                (_, none) => *none = Some(Present::new(place, side, now)),
            }
        }
        // Now nobody leaves but who met one that has left.
        loop {
            for (side, present) in sides.iter_mut().enumerate() {
                now += 1;
                present.get_or_insert_with(|| Present::new(place, side, now));
            }
            if place.kind == Kind::BothWays {
                let refused = place.begin(0).unwrap_err();
                assert!(refused.contains("already"), "{refused}");
            }
            // Each has to agree, and to see that the other has; a side that agreed to one that left, to begin anew before.
            for _ in 0..6 {
                for present in sides.iter_mut().flatten() {
                    now += 1;
                    present.look(now);
                }
            }
            let met = sides
                .each_ref()
                .map(|side| side.as_ref().and_then(|side| side.met));
            if met == [None; 2] {
                panic!("turn {turn}: {place:?}");
            }
            if let Some(at) = met.iter().position(Option::is_none).map(|at| 1 - at) {
                // It met one that has left, which had noticed it before or not, and is in the way of who came after that.
                let Present { begun, since, met } = sides[at].take().unwrap();
                let other = sides[1 - at].as_ref().unwrap();
                assert!(
                    met < Some(other.since) || left[1 - at] > since,
                    "turn {turn}"
                );
                begun.finish_until(Duration::ZERO).unwrap().is_alone();
                continue;
            }
            let [mut one, mut other] =
                sides.map(|side| side.unwrap().begun.finish_until(Duration::ZERO).unwrap());
            talk(&mut one, &mut other, turn).unwrap();
            break;
        }
    }
}

impl Present {
    fn new(place: &Place, side: usize, now: u64) -> Self {
        let begun = place.begin(side).unwrap();
        Self {
            begun,
            since: now,
            met: None,
        }
    }

    fn look(&mut self, now: u64) {
        let met = self.begun.try_meet().unwrap();
        assert!(met || self.met.is_none(), "they had met");
        if met {
            self.met.get_or_insert(now);
        }
    }
}

impl Met {
    /// Returns `false` if the other side has gone. Says these numbers to find out.
    fn still_there(&mut self, numbers: [u64; 2]) -> bool {
        match self.says() {
            true => self.try_say(numbers).is_ok(),
            false => self.try_hear().is_ok(),
        }
    }

    /// The other side has left, and said nothing.
    fn is_alone(&mut self) {
        if self.hears() {
            self.hear().unwrap_err();
        }
        if self.says() {
            self.try_say([0; 2]).unwrap_err();
        }
    }
}

/// One that had agreed to another which left may notice that by a mere look, and is waited for then.
fn a_side_that_begins_anew_wakes_the_other() {
    slipring::events::never_look_without_a_reason();
    let scratch = Scratch::new();
    let is_readable = |set: &PollableSet, limit: Duration| {
        let limit = Timespec::try_from(limit).unwrap();
        poll(&mut [PollFd::new(set, PollFlags::IN)], Some(&limit)).unwrap() == 1
    };
    for kind in KINDS {
        let place = Place::new(kind, &scratch.0);
        let leaves = place.begin(0).unwrap();
        let mut stays = place.begin(1).unwrap();
        assert!(!stays.try_meet().unwrap());
        drop(leaves);
        let mut next = place.begin(0).unwrap();
        assert!(!next.try_meet().unwrap());
        let mut set = PollableSet::new().unwrap();
        // The first sleep is short in any case.
        assert_eq!(set.arm(&mut [next.source()]), None);
        assert!(is_readable(&set, PATIENCE));
        assert_eq!(set.arm(&mut [next.source()]), None);
        assert!(!is_readable(&set, Duration::ZERO));
        let looked = WaitSet::new().wait(&mut [stays.source()], Duration::ZERO);
        assert_eq!(looked, Some(0));
        assert!(is_readable(&set, PATIENCE), "{kind:?}");
        while !(next.try_meet().unwrap() & stays.try_meet().unwrap()) {}
    }
}

fn nobody_comes() {
    let scratch = Scratch::new();
    for kind in KINDS {
        let place = Place::new(kind, &scratch.0);
        for side in [0, 1] {
            let mut begun = place.begin(side).unwrap();
            assert!(!begun.try_meet().unwrap());
            if kind != Kind::BothWays {
                let refused = place.begin(side).unwrap_err();
                assert!(
                    refused.contains(&std::process::id().to_string()),
                    "{refused}"
                );
            }
            let nothing = Waiter::new().wait(&mut [begun.source()], Duration::from_millis(3));
            assert_eq!(nothing, None);
            let late = begun.finish_until(Duration::from_millis(3)).unwrap_err();
            assert!(late.contains("until the deadline"), "{late}");
            // The place is free.
            drop(place.begin(side).unwrap());
        }
    }
}

/// Runtimes move tasks to other threads.
fn for_any_thread<F: Future + Send>(future: F) -> F {
    future
}

fn a_future_that_is_dropped_leaves_its_place() {
    slipring::events::never_look_without_a_reason();
    let mut random = Random::new();
    let scratch = Scratch::new();
    let places = KINDS.map(|kind| Place::new(kind, &scratch.0));
    for turn in 0..150u64 {
        let place = places[random.below(3) as usize].clone();
        let side = random.below(2) as usize;
        let (theirs, begins, waits) = (place.clone(), pause(&mut random), any_way(&mut random));
        let over = Arc::new(AtomicBool::new(false));
        let stop = over.clone();
        let other = std::thread::spawn(move || {
            std::thread::sleep(begins);
            loop {
                // It may meet a future that has not noticed yet, and is dropped.
                let mut met = theirs.begin(1 - side).unwrap().by(waits).unwrap();
                while met.still_there([turn, 1 - side as u64]) {
                    if stop.load(SeqCst) {
                        return met;
                    }
                    std::thread::yield_now();
                }
            }
        });
        // Futures that are dropped at once, or when the other side has begun perhaps. One may have met it, and tells.
        let mut met = None;
        for _ in 0..random.below(20) {
            let begun = place.begin(side).unwrap();
            std::thread::sleep(Duration::from_micros(random.below(100)));
            let done = each!(begun, one => once(for_any_thread(Async::new(one).unwrap().finish())).map(|done| done.map(Met::from).map_err(|error| error.to_string())));
            met = done.transpose().unwrap();
            if met.is_some() {
                break;
            }
        }
        // What only waits until there is something to do has left nothing when it is dropped.
        let mut met = met.unwrap_or_else(|| {
            let begun = place.begin(side).unwrap();
            each!(begun, one => {
                let mut task = Async::new(one).unwrap();
                let _ = once(task.readable());
                block_on(task.finish()).map(Met::from).map_err(|error| error.to_string())
            })
            .unwrap()
        });
        over.store(true, SeqCst);
        let mut other = other.join().unwrap();
        // The other may have filled the pipe, and have a part of a record left.
        loop {
            while let Some(numbers) = met.try_hear().unwrap() {
                assert_eq!(numbers, [turn, 1 - side as u64]);
            }
            if other.rest.is_empty() {
                break;
            }
            assert!(!other.try_say([0; 2]).unwrap(), "the part only");
        }
        let sides = if side == 0 {
            [&mut met, &mut other]
        } else {
            [&mut other, &mut met]
        };
        let [one, other] = sides;
        talk(one, other, turn).unwrap();
    }
}

fn a_link_begins_to_reconnect() {
    slipring::events::never_look_without_a_reason();
    let mut random = Random::new();
    let scratch = Scratch::new();
    let place = Place::new(Kind::Link, &scratch.0);
    let link = |met: Met| met.link.unwrap();
    let mut sides = std::thread::scope(|scope| {
        let other = scope.spawn(|| place.begin(1).unwrap().by(Way::Call(PATIENCE)).unwrap());
        let one = place.begin(0).unwrap().by(Way::Call(PATIENCE)).unwrap();
        [one, other.join().unwrap()].map(link)
    });
    for turn in 0..200u64 {
        // What is under way goes with this link.
        sides[0].send(b"old").unwrap();
        sides[1].send(b"old").unwrap();
        let ways = [any_way(&mut random), any_way(&mut random)];
        let pauses = [pause(&mut random), pause(&mut random)];
        let blocks = random.below(3) as usize;
        let again = |mut link: Link, at: usize| {
            std::thread::sleep(pauses[at]);
            if blocks == at {
                link.reconnect_until(PATIENCE).unwrap();
                return link;
            }
            let begun = Begun::Link(link.begin_reconnect());
            let refused = place.begin(at).unwrap_err();
            assert!(refused.contains("already"), "{refused}");
            begun.by(ways[at]).unwrap().link.unwrap()
        };
        let [one, other] = sides;
        let [mut one, mut other] = std::thread::scope(|scope| {
            let other = scope.spawn(|| again(other, 1));
            [again(one, 0), other.join().unwrap()].map(Met::from)
        });
        talk(&mut one, &mut other, turn).unwrap();
        sides = [one, other].map(link);
    }
    // A new process meets one that stays, which is told first.
    let [one, other] = sides;
    drop(one);
    let mut other = Begun::Link(other.begin_reconnect());
    let mut one = place.begin(0).unwrap();
    while !(one.try_meet().unwrap() & other.try_meet().unwrap()) {}
    let [mut one, mut other] = [one, other].map(|side| side.finish_until(Duration::ZERO).unwrap());
    talk(&mut one, &mut other, 0).unwrap();
    // And one that is dropped meanwhile has left.
    drop(other.link.take().unwrap().begin_reconnect());
    one.is_alone();
    drop(place.begin(1).unwrap());
}

// --- Forks, removals, deaths.

fn a_fork_is_told_and_changes_nothing() {
    for kind in KINDS {
        for side in [0, 1] {
            let scratch = Scratch::new();
            let place = Place::new(kind, &scratch.0);
            let mut begun = place.begin(side).unwrap();
            assert!(!begun.try_meet().unwrap());
            // SAFETY: the child calls nothing that needs the threads of its parent, and leaves by `_exit`.
            let child = unsafe { libc::fork() };
            assert!(child >= 0, "no fork");
            if child == 0 {
                let reported = WaitSet::new().wait(&mut [begun.source()], PATIENCE);
                let told = begun.try_meet().unwrap_err();
                let finished = begun.finish_until(PATIENCE).unwrap_err();
                eprintln!("the child: {reported:?}, {told}, {finished}");
                let right = reported == Some(0) && told.contains("fork") && finished == told;
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(i32::from(!right)) };
            }
            let mut status = 0;
            // SAFETY: waits for the child just made.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0, "the child");
            // The parent has its place, and meets who comes.
            if kind != Kind::BothWays {
                place.begin(side).unwrap_err();
            }
            let mut other = place.begin(1 - side).unwrap();
            while !(begun.try_meet().unwrap() & other.try_meet().unwrap()) {}
            // SAFETY: as above.
            let child = unsafe { libc::fork() };
            assert!(child >= 0, "no fork");
            if child == 0 {
                // Also when both have met, and a drop leaves the parent's as it is.
                let told = begun.try_meet().unwrap_err();
                let finished = begun.finish_until(PATIENCE).unwrap_err();
                drop(other);
                let right = told.contains("fork") && finished == told;
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(i32::from(!right)) };
            }
            // SAFETY: waits for the child just made.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0, "the child");
            let mut sides = [begun, other].map(|side| side.finish_until(Duration::ZERO).unwrap());
            sides.rotate_left(side);
            let [mut one, mut other] = sides;
            talk(&mut one, &mut other, 3).unwrap();
        }
    }
}

fn a_removal_ends_the_wait() {
    let ways = [
        Way::Call(PATIENCE),
        Way::Set,
        Way::Descriptor,
        Way::Edges,
        Way::Future,
        Way::Readable,
    ];
    for (turn, way) in ways.into_iter().enumerate() {
        for kind in KINDS {
            let scratch = Scratch::new();
            let place = Place::new(kind, &scratch.0);
            let begun = place.begin(turn % 2).unwrap();
            let path = place.path();
            let removing = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(2));
                slipring::registry::remove_at(&path, true).unwrap();
            });
            let told = begun.by(way).unwrap_err();
            assert!(told.contains("removed"), "{kind:?} {way:?}: {told}");
            removing.join().unwrap();
        }
    }
}

/// A process is killed at any instruction between its beginning and the first that it says.
fn a_side_that_dies_anywhere_is_no_obstacle() {
    let mut random = Random::new();
    let mut heard = 0;
    for turn in 0..60u64 {
        let scratch = Scratch::new();
        let kind = turn as usize % 3;
        let place = Place::new(KINDS[kind], &scratch.0);
        let side = random.below(2) as usize;
        let arguments = [kind, 1 - side].map(|number| number.to_string());
        let mut ours = Some(place.begin(side).unwrap());
        let mut victim = Tracee::start("step", &[text(&scratch.0), &arguments[0], &arguments[1]]);
        let mut met = false;
        let mut look = |ours: &mut Option<Begun>| {
            met = met || ours.as_mut().is_some_and(|ours| ours.try_meet().unwrap());
        };
        // To a call of the system, and on to an instruction, unless it comes to its end before.
        let goes = (0..random.below(300)).all(|_| {
            if random.below(3) == 0 {
                look(&mut ours);
            }
            victim.steps(1, Tracee::syscall)
        });
        if goes {
            victim.steps(random.below(300), Tracee::step);
        }
        if random.below(2) == 0 {
            look(&mut ours);
        }
        victim.kill();
        drop(victim);
        // One that met the dead one says that it is gone, after what it said perhaps.
        let mut leave = |ours: Begun| {
            let mut ours = ours.finish_until(Duration::ZERO).unwrap();
            while let Some(numbers) = ours.hears().then(|| ours.hear().ok()).flatten() {
                assert_eq!(numbers, [13, 13]);
                heard += 1;
            }
        };
        if met {
            leave(ours.take().unwrap());
        }
        let mut ours = ours.unwrap_or_else(|| place.begin(side).unwrap());
        let mut next = place.begin(1 - side).unwrap();
        let settle = |ours: &mut Begun, next: &mut Begun| {
            let looks = (0..6).map(|_| [ours.try_meet().unwrap(), next.try_meet().unwrap()]);
            looks.last()
        };
        let mut both = settle(&mut ours, &mut next);
        if both == Some([true, false]) && !met {
            // It notices only now that it had met the dead one.
            leave(ours);
            ours = place.begin(side).unwrap();
            both = settle(&mut ours, &mut next);
        }
        if both != Some([true, true]) {
            panic!("turn {turn}, {place:?}, side {side}: {both:?}");
        }
        let [mut ours, mut next] =
            [ours, next].map(|side| side.finish_until(Duration::ZERO).unwrap());
        talk(&mut ours, &mut next, turn).unwrap();
        drop((ours, next));
        testing::sound(&place.path());
    }
    println!("  heard {heard} times what one said before it died");
}

/// A lock of a process that dies, whose place is free already: of a producer (byte 0), or of a row (16 and higher).
fn lock(path: &Path, byte: i64) -> File {
    let file = File::options()
        .read(true)
        .write(true)
        .open(path.join("lock"));
    let file = file.unwrap();
    // SAFETY: all-zero is a valid value, and the call reads it only.
    unsafe {
        let mut lock: libc::flock = core::mem::zeroed();
        lock.l_type = libc::F_WRLCK as i16;
        lock.l_start = byte;
        lock.l_len = 1;
        let done = libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw mut lock);
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }
    file
}

fn what_a_dying_process_still_has_is_not_waited_for_in_a_call() {
    slipring::events::never_look_without_a_reason();
    let mut random = Random::new();
    for turn in 0..36u64 {
        let scratch = Scratch::new();
        let place = Place::new(KINDS[turn as usize % 3], &scratch.0);
        // The first makes the link.
        drop((place.begin(0).unwrap(), place.begin(1).unwrap()));
        let mut at = vec![(place.path(), 0), (place.path(), 16)];
        if place.kind != Kind::OneWay {
            let back = place.path().join("back");
            at.extend([(back.clone(), 0), (back, 16)]);
        }
        let (path, byte) = at[random.below(at.len() as u64) as usize].clone();
        let dying = lock(&path, byte);
        let mut sides = [place.begin(0).unwrap(), place.begin(1).unwrap()];
        for _ in 0..8 {
            let met = [0, 1].map(|side| sides[side].try_meet().unwrap());
            assert_eq!(met, [false; 2], "it has {byte} of {path:?}");
        }
        let side = random.below(2) as usize;
        if place.kind == Kind::OneWay {
            // A deadline is kept.
            let [one, other] = sides;
            let (gives_up, stays) = if side == 0 {
                (one, other)
            } else {
                (other, one)
            };
            let late = gives_up.finish_until(Duration::from_millis(2)).unwrap_err();
            assert!(late.contains("until the deadline"), "{late}");
            let again = place.begin(side).unwrap();
            sides = if side == 0 {
                [again, stays]
            } else {
                [stays, again]
            };
        }
        if turn % 12 == 0 {
            // One that stays is told of, and met once it has gone.
            let told = loop {
                let mut errors = sides.iter_mut().filter_map(|side| side.try_meet().err());
                if let Some(told) = errors.next() {
                    break told;
                }
                Waiter::new().wait(&mut sides.each_mut().map(Begun::source), PATIENCE);
            };
            println!("  {told}");
        }
        let release = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(turn % 4));
            drop(dying);
        });
        let [one, other] = sides;
        let way = any_way(&mut random);
        let (mut one, mut other) = std::thread::scope(|scope| {
            let other = scope.spawn(|| other.by(Way::Descriptor).unwrap());
            (one.by(way).unwrap(), other.join().unwrap())
        });
        release.join().unwrap();
        talk(&mut one, &mut other, turn).unwrap();
    }
}

// --- Chaos.

const STOP: usize = 40;

/// Meets the next one again and again, waiting in any way, and gives up at any time. Says its incarnation and a number, and checks that
/// what it hears is of one incarnation, from 0 on, without a gap.
fn chatter(place: &Place, side: usize) {
    let books = Books::open(&place.directory, 64, 0);
    let stops = || books.word(STOP).load(SeqCst) != 0;
    let mut random = Random::seeded(u64::from(std::process::id()));
    say("ready");
    let process = u64::from(std::process::id());
    for pact in 0u64.. {
        let mut set = PollableSet::new().unwrap();
        let met = loop {
            if stops() {
                return;
            }
            let mut begun = match place.begin(side) {
                Ok(begun) => begun,
                // Where either side can be free, the last one of a dead process may not be yet.
                Err(_) if place.kind == Kind::BothWays => continue,
                Err(error) => panic!("{error}"),
            };
            let mut looks = 1 + random.below(40);
            while looks > 0 && !begun.try_meet().unwrap() {
                looks -= 1;
                if set.arm(&mut [begun.source()]).is_none() {
                    let limit = Timespec::try_from(Duration::from_millis(50)).unwrap();
                    poll(&mut [PollFd::new(&set, PollFlags::IN)], Some(&limit)).unwrap();
                }
            }
            if looks > 0 {
                break begun.finish_until(Duration::ZERO).unwrap();
            }
        };
        let mut met = met;
        books.word(20 + side).fetch_add(1, SeqCst);
        let (mut said, mut heard, mut from) = (0, 0, None);
        let incarnation = process << 32 | pact;
        let talks = random.below(200);
        while let Ok(done) = met.try_say([incarnation, said]) {
            said += u64::from(done);
            match met.try_hear() {
                Ok(Some(numbers)) => {
                    let of = *from.get_or_insert(numbers[0]);
                    assert_eq!(numbers, [of, heard], "lost, doubled, or of another");
                    heard += 1;
                }
                Ok(None) => std::thread::yield_now(),
                Err(Gone) => break,
            }
            books.word(16 + side).fetch_add(1, SeqCst);
            if stops() || said + heard > talks {
                break;
            }
        }
    }
}

fn random_deaths_in_event_loops() {
    for (number, kind) in KINDS.into_iter().enumerate() {
        let scratch = Scratch::new();
        let place = Place::new(kind, &scratch.0);
        let books = Books::open(&scratch.0, 64, 0);
        let mut random = Random::new();
        let arguments = |side: usize| {
            let numbers = [number, side].map(|number| number.to_string());
            [vec![text(&scratch.0).to_owned()], numbers.to_vec()].concat()
        };
        let mut parties = Parties::start([0, 1].map(|side| ("chatter", arguments(side))).to_vec());
        for _ in 0..kills_wanted() {
            let party = parties.any(&mut random);
            parties.kill(party, &mut random, 12);
            parties.replace(party);
        }
        for beats in [20, 16] {
            parties.get_on(|side| books.word(beats + side).load(SeqCst));
        }
        books.word(STOP).store(1, SeqCst);
        parties.finish_all();
        let all = |at: usize| {
            (0..2)
                .map(|side| books.word(at + side).load(SeqCst))
                .sum::<u64>()
        };
        println!("  {kind:?}: {} times met, {} turns", all(20), all(16));
        testing::sound(&place.path());
        slipring::registry::remove_at(place.path(), false).unwrap();
    }
}
