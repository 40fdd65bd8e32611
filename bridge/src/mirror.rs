//! The receiving side: one thread that writes a ring as its source has it.

use crate::clock::{wall_ns, Clock};
use crate::engine::{Engine, Lane, Outgoing, Sample};
use crate::error::BridgeError;
use crate::inbox::{Inbox, Sender};
use crate::keys::Keys;
use crate::latency::Timing;
use crate::serve::default_realm;
use crate::stat::{Counter, MirrorStat, EVERY};
use slipring::endpoint::{AttachError, Origin, PublishError, TryPublishError};
use slipring::place::OpenError;
use slipring::schema::{OpaqueSchema, Schema};
use slipring::{registry, Place, Producer, Ring};
use slipring_mirror::mirror::{Action, Path, Settings, Stop, Write};
use slipring_mirror::{Meta, Mirror, Name};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where a mirror that does not exist yet begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At what the source sends next.
    Latest,
    /// At the oldest message that the source still has.
    Oldest,
    /// At this sequence. What the source does not have any more is a gap.
    Sequence(u64),
}

/// What to do when the source ring was removed, and made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnRecreate {
    /// Close the mirror, and end.
    Stop,
    /// Close the mirror, remove it, and mirror the new ring under the same name.
    Follow,
}

/// What is mirrored, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The ring that is written.
    pub place: Place,
    /// The name of the source ring on the network.
    pub name: Name,
    /// The realm of the source.
    pub realm: Name,
    /// The name of this mirror.
    pub mirror: Name,
    /// Where to begin, if the ring does not exist yet.
    pub from: From,
    /// What to do when the source ring was made anew.
    pub on_recreate: OnRecreate,
    /// Bytes that are held until they can be written.
    pub window: u64,
    /// The permissions of the ring, if it does not exist yet.
    pub mode: u32,
    /// How long to wait for a source at first; without limit if not given.
    pub patience: Option<Duration>,
    /// The ring that it counts into, as [`MirrorStat`]s.
    pub stat: Option<Place>,
}

impl Options {
    /// A mirror with the usual settings.
    pub fn new(place: impl Into<Place>, name: Name, mirror: Name) -> Self {
        Self {
            place: place.into(),
            name,
            realm: default_realm(),
            mirror,
            from: From::Latest,
            on_recreate: OnRecreate::Stop,
            window: 4 << 20,
            mode: 0o600,
            patience: None,
            stat: None,
        }
    }
}

/// How long a question after the source waits for its answer.
const ASKED: Duration = Duration::from_millis(500);
/// How long an answer to a request may take: longer than the mirror waits for it.
const FETCHED: Duration = Duration::from_secs(2);
/// The longest that a write waits for readers of the mirror before the network has its turn.
const HELD_BACK: Duration = Duration::from_millis(5);
/// Messages that are written before the network has its turn.
const AT_ONCE: usize = 1000;

enum Event {
    Frame(Vec<u8>),
    Answer(Vec<u8>),
    Answered(u64),
    /// The time of the source, and when it was asked and how long that took.
    Clock(u64, u64, Duration),
    Meta(Vec<u8>),
    MetaOver,
}

/// Mirrors a ring until it is told to stop.
///
/// `ready` is called each time that a ring begins to be written.
///
/// # Errors
/// [`BridgeError`]. With [`BridgeError::Stop`] of a ring that was made anew, the mirror was closed behind all that
/// was known of its source.
pub fn mirror(
    engine: &Arc<dyn Engine>,
    options: &Options,
    stop: &AtomicBool,
    mut ready: impl FnMut(&Ring),
) -> Result<(), BridgeError> {
    let keys = Keys::new(&options.realm, &options.name);
    let window = usize::try_from(options.window).unwrap_or(usize::MAX);
    let mut inbox = Inbox::new(window.saturating_mul(2).max(1 << 20))?;
    let instance = random();
    let ask = format!("as={};instance={instance:x}", options.mirror);
    let started = Instant::now();
    let mut from = options.from;
    let mut counter = match &options.stat {
        Some(place) => Some(Counter::open(place)?),
        None => None,
    };
    loop {
        let Some(meta) = find(engine, options, &keys, &ask, &mut inbox, stop)? else {
            return Ok(());
        };
        let ring = open(options, &meta, from)?;
        let sender = inbox.sender();
        let frames = sender.clone();
        let _data = engine.subscribe(
            &keys.data(meta.ring),
            Box::new(move |sample: Sample| {
                let bytes = sample.bytes.len();
                frames.put(Event::Frame(sample.bytes), bytes);
            }),
        )?;
        let producer = ring.producer()?;
        let mut settings =
            Settings::new(options.mirror.clone(), instance, ring.max_message_bytes());
        settings.window = options.window;
        let next = producer.next_sequence();
        let machine = Mirror::new(settings, &meta, next, started.elapsed());
        ready(&ring);
        let mut mirrored = Mirrored {
            ack_key: keys.ack(meta.ring, &options.mirror),
            fetch_key: keys.fetch(meta.ring),
            meta_key: keys.meta(),
            clock_key: keys.clock(meta.ring),
            stat_key: keys.stat(meta.ring, &options.mirror),
            ask: &ask,
            engine,
            sender,
            machine,
            producer: Some(producer),
            ring,
            started,
            clock: Clock::default(),
            timing: Timing::new(next),
            report_at: Duration::ZERO,
            counter: &mut counter,
        };
        match mirrored.run(&mut inbox, stop) {
            Err(BridgeError::Stop(Stop::Recreated { .. }))
                if options.on_recreate == OnRecreate::Follow && !stop.load(Ordering::Relaxed) =>
            {
                drop(mirrored);
                registry::remove_at(options.place.clone(), true)?;
                // All of the new one, since its beginning was not seen.
                from = From::Oldest;
            }
            ended => return ended,
        }
    }
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(8) => u64::from_ne_bytes(bytes),
        // Unlike that of another process of this host at this moment, and of others most likely.
        _ => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(0, |now| now.as_nanos() as u64) ^ u64::from(std::process::id()) << 40
        }
    }
}

/// Asks for the source until one answers; `None` if it is told to stop.
fn find(
    engine: &Arc<dyn Engine>,
    options: &Options,
    keys: &Keys,
    ask: &str,
    inbox: &mut Inbox<Event>,
    stop: &AtomicBool,
) -> Result<Option<Meta>, BridgeError> {
    let began = Instant::now();
    let mut taken_since = None;
    while !stop.load(Ordering::Relaxed) {
        while inbox.take().is_some() {}
        ask_for_meta(engine, &keys.meta(), ask, &inbox.sender())?;
        let mut found: Vec<Meta> = Vec::new();
        let until = Instant::now() + ASKED;
        'answers: loop {
            while let Some(event) = inbox.take() {
                match event {
                    Event::Meta(bytes) => found.push(Meta::decode(&bytes)?),
                    Event::MetaOver => break 'answers,
                    _ => {}
                }
            }
            match until.checked_duration_since(Instant::now()) {
                Some(left) if !stop.load(Ordering::Relaxed) => {
                    inbox.wait(None, left.min(Duration::from_millis(50)));
                }
                _ => break,
            }
        }
        found.sort_by_key(|meta| meta.ring);
        found.dedup_by_key(|meta| meta.ring);
        match found.len() {
            0 => {
                let over = |patience| began.elapsed() >= patience;
                if options.patience.is_some_and(over) {
                    return Err(BridgeError::NoSource {
                        key: keys.meta(),
                        trouble: engine.trouble(),
                    });
                }
            }
            1 => {
                let meta = found.pop();
                if !meta.as_ref().is_some_and(|meta| meta.taken) {
                    return Ok(meta);
                }
                // One that was killed keeps its name for two seconds.
                let since = *taken_since.get_or_insert_with(Instant::now);
                if since.elapsed() >= Duration::from_secs(5) {
                    return Err(Stop::NameTaken.into());
                }
            }
            _ => {
                let rings = found.iter().map(|meta| meta.ring).collect();
                return Err(BridgeError::Ambiguous { rings });
            }
        }
        inbox.wait(None, Duration::from_millis(100));
    }
    Ok(None)
}

fn ask_for_meta(
    engine: &Arc<dyn Engine>,
    key: &str,
    ask: &str,
    sender: &Sender<Event>,
) -> Result<(), BridgeError> {
    let sender = sender.clone();
    let sink = move |reply: Option<Vec<u8>>| match reply {
        Some(bytes) => {
            let len = bytes.len();
            sender.put(Event::Meta(bytes), len);
        }
        None => sender.put(Event::MetaOver, 0),
    };
    Ok(engine.ask(key, ask, ASKED, Box::new(sink))?)
}

/// Opens the mirror's ring, or creates it as the source describes its own.
fn open(options: &Options, meta: &Meta, from: From) -> Result<Ring, BridgeError> {
    match Ring::open(options.place.clone()) {
        Ok(ring) => {
            let Some(origin) = ring.origin() else {
                let path = ring.path().to_owned();
                return Err(BridgeError::NotAMirror { path });
            };
            if origin.id != meta.ring {
                if options.on_recreate == OnRecreate::Stop {
                    return Err(Stop::Recreated { ring: meta.ring }.into());
                }
                // What it has is complete as far as any process knows: readers get it, and the end.
                ring.producer()?.close();
                drop(ring);
                registry::remove_at(options.place.clone(), true)?;
                return create(options, meta, From::Oldest);
            }
            let longest = ring.max_message_bytes();
            if longest < meta.longest {
                let needed = meta.longest;
                return Err(BridgeError::TooSmall { longest, needed });
            }
            Ok(ring)
        }
        Err(OpenError::NotFound { .. }) => create(options, meta, from),
        Err(error) => Err(error.into()),
    }
}

fn create(options: &Options, meta: &Meta, from: From) -> Result<Ring, BridgeError> {
    let first = match from {
        From::Latest => meta.next,
        From::Oldest => meta.oldest,
        From::Sequence(sequence) => sequence,
    };
    let mut builder = Ring::builder(options.place.clone())
        .capacity_bytes(meta.capacity)
        .frame_align(u64::from(meta.frame_align))
        .max_readers(meta.max_readers)
        .stamps(meta.stamps)
        .first_sequence(first)
        .mode(options.mode)
        .origin(Origin {
            id: meta.ring,
            epoch: meta.epoch,
            host: host(&meta.host),
        });
    if !meta.schema.is_empty() {
        let schema: Schema = meta
            .schema
            .parse()
            .map_err(|_| slipring_mirror::meta::MetaError::Damaged)?;
        builder = builder.schema(schema);
    }
    if let Some(opaque) = &meta.opaque {
        let damaged = |_| slipring_mirror::meta::MetaError::Damaged;
        let bytes = opaque.bytes.clone();
        let schema = OpaqueSchema::new(&opaque.kind, &opaque.name, bytes).map_err(damaged)?;
        builder = builder.opaque_schema(&schema);
    }
    Ok(builder.create()?)
}

/// The name of a host as a ring may store it.
fn host(text: &str) -> String {
    let mut host = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if host.len() + c.len_utf8() > 64 {
            break;
        }
        host.push(c);
    }
    host
}

struct Mirrored<'e> {
    engine: &'e Arc<dyn Engine>,
    sender: Sender<Event>,
    machine: Mirror,
    ring: Ring,
    /// None once the source was closed.
    producer: Option<Producer>,
    ack_key: String,
    fetch_key: String,
    meta_key: String,
    clock_key: String,
    stat_key: String,
    ask: &'e str,
    started: Instant,
    clock: Clock,
    timing: Timing,
    /// When the next report is due.
    report_at: Duration,
    counter: &'e mut Option<Counter<MirrorStat>>,
}

/// What became of writing.
#[derive(PartialEq)]
enum Written {
    /// Everything that could be.
    All,
    /// There is more.
    More,
    /// A reader of the mirror holds it back.
    Full,
}

impl Mirrored<'_> {
    fn run(&mut self, inbox: &mut Inbox<Event>, stop: &AtomicBool) -> Result<(), BridgeError> {
        loop {
            if stop.load(Ordering::Relaxed) {
                if let Some(producer) = self.producer.take() {
                    // Readers wait for the next run.
                    producer.detach();
                }
                return self.count();
            }
            self.machine.at(self.started.elapsed());
            while let Some(event) = inbox.take() {
                if let Err(error) = self.handle(event) {
                    return self.end(error, stop);
                }
            }
            let written = self.write()?;
            self.timing.written(self.machine.next(), &self.clock);
            self.machine.at(self.started.elapsed());
            self.machine.tick();
            self.act()?;
            if self.started.elapsed() >= self.report_at {
                self.report()?;
            }
            match written {
                Written::More => {}
                Written::Full => self.wait_for_room()?,
                Written::All => {
                    let due = self.machine.due();
                    let wait = due.saturating_sub(self.started.elapsed());
                    inbox.wait(None, wait.min(Duration::from_millis(100)));
                }
            }
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), BridgeError> {
        match event {
            // Bytes that are no frame are counted, and what they should have brought is asked for.
            Event::Frame(bytes) => {
                if let Ok(Some(sent)) = self.machine.frame(Path::Stream, &bytes) {
                    self.timing.came(sent, self.machine.next());
                }
            }
            Event::Answer(bytes) => drop(self.machine.frame(Path::Answer, &bytes)),
            Event::Answered(id) => self.machine.answered(id),
            Event::Clock(there, asked, took) => self.clock.answer(asked, took, there),
            Event::Meta(bytes) => match Meta::decode(&bytes) {
                Ok(meta) => self.machine.meta(&meta)?,
                Err(error @ slipring_mirror::meta::MetaError::Version { .. }) => {
                    return Err(error.into())
                }
                Err(_) => {}
            },
            Event::MetaOver => {}
        }
        Ok(())
    }

    /// Ends with the account complete, if the source is gone.
    fn end(&mut self, error: BridgeError, stop: &AtomicBool) -> Result<(), BridgeError> {
        if let BridgeError::Stop(Stop::Recreated { .. }) = error {
            self.machine.give_up();
            while self.machine.next_write().is_some() && !stop.load(Ordering::Relaxed) {
                if self.write()? == Written::Full {
                    self.wait_for_room()?;
                }
            }
            if let Some(producer) = self.producer.take() {
                producer.close();
            }
        }
        Err(error)
    }

    /// What it has counted.
    fn stat(&self) -> MirrorStat {
        let counts = self.machine.counts();
        let latencies = self.timing.latencies();
        let offset = self.clock.offset();
        MirrorStat {
            time_ns: wall_ns(),
            next_sequence: self.machine.next(),
            source_sequence: self.machine.source_next(),
            messages: counts.messages,
            lost: counts.lost,
            skipped: counts.skipped,
            duplicates: counts.duplicates,
            unheld: counts.unheld,
            fetches: counts.fetches,
            fetches_failed: counts.fetches_failed,
            held: self.machine.held(),
            measured: latencies.measured,
            latency_p50: latencies.p50,
            latency_p99: latencies.p99,
            latency_p999: latencies.p999,
            latency_longest: latencies.longest,
            clock_ahead: offset.map_or(0, |offset| offset.ns),
            clock_uncertainty: offset.map_or(u64::MAX, |offset| offset.uncertainty_ns),
        }
    }

    fn count(&mut self) -> Result<(), BridgeError> {
        let stat = self.stat();
        match self.counter {
            Some(counter) => counter.publish(self.started.elapsed(), &stat),
            None => Ok(()),
        }
    }

    /// Tells the source and the own ring what was counted, and asks for the source's time.
    fn report(&mut self) -> Result<(), BridgeError> {
        self.report_at = self.started.elapsed() + EVERY;
        self.count()?;
        self.engine.publish(Outgoing {
            key: &self.stat_key,
            lane: Lane::Control,
            bytes: self.stat().json().to_string().as_bytes(),
            encoding: Some("application/json"),
            attachment: None,
        })?;
        let sender = self.sender.clone();
        let (asked, began) = (wall_ns(), Instant::now());
        let sink = move |reply: Option<Vec<u8>>| {
            if let Some(Ok(there)) = reply.map(<[u8; 8]>::try_from) {
                let there = u64::from_le_bytes(there);
                sender.put(Event::Clock(there, asked, began.elapsed()), 0);
            }
        };
        Ok(self
            .engine
            .ask(&self.clock_key, "", EVERY, Box::new(sink))?)
    }

    fn producer(&mut self) -> Result<&mut Producer, BridgeError> {
        if self.producer.is_none() {
            self.producer = Some(self.ring.producer()?);
        }
        match &mut self.producer {
            Some(producer) => Ok(producer),
            None => Err(AttachError::Forked.into()),
        }
    }

    /// Writes what can be written now. What is published counts as written at once: if this process dies between
    /// the two, so does the machine that counts.
    fn write(&mut self) -> Result<Written, BridgeError> {
        for _ in 0..16 {
            match self.machine.next_write() {
                None => return Ok(Written::All),
                Some(Write::Message { .. }) => {
                    self.producer()?;
                    if !self.write_messages()? {
                        return Ok(Written::Full);
                    }
                    continue;
                }
                Some(Write::Gap { end, why }) => match self.producer()?.try_skip_to(end, why) {
                    Ok(_) => {}
                    Err(TryPublishError::Full { .. }) => return Ok(Written::Full),
                    Err(error) => return Err(error.into()),
                },
                Some(Write::TakeOver) => {
                    if let Some(producer) = self.producer.take() {
                        producer.detach();
                    }
                    self.producer()?;
                }
                Some(Write::Close) => {
                    if let Some(producer) = self.producer.take() {
                        producer.close();
                    }
                }
            }
            self.machine.wrote();
        }
        Ok(Written::More)
    }

    /// Publishes messages, as many together as there are. Returns `false` if there is no room.
    fn write_messages(&mut self) -> Result<bool, BridgeError> {
        let Some(producer) = &mut self.producer else {
            return Ok(true);
        };
        let mut batch = producer.batch();
        let mut room = true;
        for _ in 0..AT_ONCE {
            let Some(Write::Message { payload, .. }) = self.machine.next_write() else {
                break;
            };
            match batch.try_push(payload) {
                Ok(_) => self.machine.wrote(),
                Err(TryPublishError::BatchFull) => break,
                Err(TryPublishError::Full { .. }) => {
                    room = false;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        batch.commit();
        Ok(room)
    }

    /// Waits a moment for the readers of the mirror, by writing what is next.
    fn wait_for_room(&mut self) -> Result<(), BridgeError> {
        let Some(producer) = &mut self.producer else {
            return Ok(());
        };
        let written = match self.machine.next_write() {
            Some(Write::Message { payload, .. }) => {
                producer.publish_until(payload, HELD_BACK).map(drop)
            }
            Some(Write::Gap { end, why }) => producer.skip_to_until(end, why, HELD_BACK).map(drop),
            _ => return Ok(()),
        };
        match written {
            Ok(()) => self.machine.wrote(),
            Err(PublishError::TimedOut { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn act(&mut self) -> Result<(), BridgeError> {
        while let Some(action) = self.machine.next_action() {
            match action {
                Action::Ack(ack) => self.engine.publish(Outgoing {
                    key: &self.ack_key,
                    lane: Lane::Control,
                    bytes: &ack.encode(),
                    encoding: None,
                    attachment: None,
                })?,
                Action::Ask => {
                    ask_for_meta(self.engine, &self.meta_key, self.ask, &self.sender)?;
                }
                Action::Fetch { id, request } => {
                    let sender = self.sender.clone();
                    let sink = move |reply: Option<Vec<u8>>| match reply {
                        Some(bytes) => {
                            let len = bytes.len();
                            sender.put(Event::Answer(bytes), len);
                        }
                        None => sender.put(Event::Answered(id), 0),
                    };
                    let request = request.to_string();
                    self.engine
                        .ask(&self.fetch_key, &request, FETCHED, Box::new(sink))?;
                }
            }
        }
        Ok(())
    }
}
