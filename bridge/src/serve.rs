//! The source side: one thread that reads a ring, sends it, and answers mirrors.

mod gate;
mod options;
mod reply;

pub use options::{default_realm, Options};

use crate::clock::wall_ns;
use crate::engine::{Engine, Held, Lane, Outgoing, Question};
use crate::error::{open_source, BridgeError};
use crate::inbox::{Inbox, Sender};
use crate::keys::Keys;
use crate::punctual::Punctual;
use crate::report::{self, Told};
use crate::stat::{Counter, SourceStat};
use gate::{before, Gate};
use slipring::endpoint::{AttachError, TryReceiveError};
use slipring::place::OpenError;
use slipring::{Observer, Received, Ring, Start};
use slipring_mirror::source::{Action, Settings, Source};
use slipring_mirror::Ack;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Messages that are read before other work has its turn.
const AT_ONCE: usize = 1000;
/// Acknowledgements and questions that are taken before messages have their turn.
const EVENTS: usize = 64;
/// Bytes that a fast producer publishes in a microsecond. A ring that it fills while a frame waits for more messages is looked at
/// all the time.
const FAST: u128 = 5_200;
/// Bytes of acknowledgements and questions that wait for their turn.
const INBOX: usize = 4 << 20;
/// Between two attempts to open a ring that is not there.
const AGAIN: Duration = Duration::from_millis(50);

enum Event {
    Ack(Vec<u8>),
    Fetch(Question),
    Meta(Question),
    Status(Question),
    /// Under which key, and what a mirror says of itself.
    Stat(String, Vec<u8>),
}

/// An observer at a sequence, or at the first one behind it that can be found.
fn observer_at(ring: &Ring, mut sequence: u64) -> Result<Observer, BridgeError> {
    loop {
        match ring.observer(Start::Sequence(sequence)) {
            Err(AttachError::Gone { oldest, .. }) if oldest != sequence => sequence = oldest,
            attached => return Ok(attached?),
        }
    }
}

/// A ring that is open, and what belongs to it.
struct Served {
    ring: Ring,
    source: Source,
    observer: Observer,
    /// Asked for new epochs while a message of the other is looked at.
    watch: Observer,
    gate: Option<Gate>,
    /// Whether the ring may be left alone while a frame waits for more messages.
    naps: bool,
    keys: Keys,
    data_key: String,
    told: Told,
    _held: [Held; 4],
}

/// Serves a ring until it is told to stop. A ring that is removed is waited for, and served anew.
///
/// `ready` is called each time that a ring begins to be served.
///
/// # Errors
/// [`BridgeError`].
pub fn serve(
    engine: &Arc<dyn Engine>,
    options: &Options,
    stop: &AtomicBool,
    mut ready: impl FnMut(&Ring),
) -> Result<(), BridgeError> {
    if !options.require.is_empty() && !options.lossless {
        return Err(BridgeError::Settings(
            "a source can wait for mirrors only if it is lossless: use --lossless with --require",
        ));
    }
    let keys = Keys::new(&options.realm, &options.name);
    let mut inbox = Inbox::new(INBOX)?;
    let sender = inbox.sender();
    let _meta = engine.answer(&keys.meta(), questions(&sender, Event::Meta))?;
    let _status = engine.answer(&keys.status(), questions(&sender, Event::Status))?;
    let mut counter = match &options.stat {
        Some(place) => Some(Counter::open(place)?),
        None => None,
    };
    let _punctual = Punctual::new();
    let started = Instant::now();
    let mut first = true;
    while !stop.load(Ordering::Relaxed) {
        let ring = match open_source(&options.place) {
            Ok(ring) => ring,
            // Removed, to be made again.
            Err(BridgeError::Open(OpenError::NotFound { .. })) if !first => {
                inbox.clear();
                inbox.wait(None, AGAIN);
                continue;
            }
            Err(error) => return Err(error),
        };
        first = false;
        let mut served = match Served::begin(engine, options, &keys, ring, &sender) {
            // It was removed again, or its producer overtook the search for a beginning.
            Err(BridgeError::Attach(AttachError::Overtaken)) => continue,
            Err(error) if error.is_removal() => continue,
            begun => begun?,
        };
        ready(&served.ring);
        match served.run(engine, options, &mut inbox, stop, started, &mut counter) {
            // Whichever call noticed it first.
            Err(error) if error.is_removal() => {}
            ended => ended?,
        }
    }
    Ok(())
}

fn questions(sender: &Sender<Event>, event: fn(Question) -> Event) -> crate::engine::QuestionSink {
    let sender = sender.clone();
    Box::new(move |question| {
        let bytes = question.parameters.len();
        sender.put(event(question), bytes);
    })
}

impl Served {
    fn begin(
        engine: &Arc<dyn Engine>,
        options: &Options,
        keys: &Keys,
        ring: Ring,
        sender: &Sender<Event>,
    ) -> Result<Self, BridgeError> {
        let mut gate = match options.lossless {
            true if ring.evicts_after().is_some() => {
                let path = ring.path().to_owned();
                return Err(BridgeError::Evicts { path });
            }
            true => Some(Gate::new(&ring, &options.cursor, options.from)?),
            false => None,
        };
        let observer = match &gate {
            Some(gate) => observer_at(&ring, gate.next_sequence())?,
            None => ring.observer(Start::Latest)?,
        };
        let watch = ring.observer_with(Start::Latest, reply::rowless())?;
        let epoch = ring.status()?.epoch;
        let mut settings = Settings::new(ring.id());
        settings.lossless = options.lossless;
        settings.required = options.require.clone();
        settings.window = options.window;
        settings.linger = options.linger;
        let next = observer.next_sequence();
        if let Some(gate) = &mut gate {
            gate.skip(next);
        }
        let source = Source::new(settings, epoch.number, epoch.first_sequence, next);
        let acks = sender.clone();
        let acks = engine.subscribe(
            &keys.acks(ring.id()),
            Box::new(move |sample| {
                let bytes = sample.bytes.len();
                acks.put(Event::Ack(sample.bytes.to_vec()), bytes);
            }),
        )?;
        let fetches = engine.answer(&keys.fetch(ring.id()), questions(sender, Event::Fetch))?;
        let stats = sender.clone();
        let stats = engine.subscribe(
            &keys.stats(ring.id()),
            Box::new(move |sample| {
                let bytes = sample.bytes.len() + sample.key.len();
                let event = Event::Stat(sample.key.to_owned(), sample.bytes.to_vec());
                stats.put(event, bytes);
            }),
        )?;
        // At once: what waits makes the answer less exact.
        let clock = engine.answer(
            &keys.clock(ring.id()),
            Box::new(|question| question.replies.reply(wall_ns().to_le_bytes().to_vec())),
        )?;
        Ok(Self {
            data_key: keys.data(ring.id()),
            naps: u128::from(ring.capacity_bytes()) > options.linger.as_micros() * FAST,
            ring,
            source,
            observer,
            watch,
            gate,
            keys: keys.clone(),
            told: Told::default(),
            _held: [acks, fetches, stats, clock],
        })
    }

    /// Serves until the ring is removed, or it is told to stop.
    fn run(
        &mut self,
        engine: &Arc<dyn Engine>,
        options: &Options,
        inbox: &mut Inbox<Event>,
        stop: &AtomicBool,
        started: Instant,
        counter: &mut Option<Counter<SourceStat>>,
    ) -> Result<(), BridgeError> {
        let mut looked = Duration::ZERO;
        while !stop.load(Ordering::Relaxed) {
            self.source.at(started.elapsed(), wall_ns());
            for _ in 0..EVENTS {
                let Some(event) = inbox.take() else {
                    break;
                };
                // The answer may be long, so one is enough for a turn.
                let last = matches!(event, Event::Fetch(_));
                self.handle(event, options)?;
                if last {
                    break;
                }
            }
            let Some(more) = self.read()? else {
                return Ok(());
            };
            let now = started.elapsed();
            self.source.at(now, wall_ns());
            self.source.tick();
            self.act(engine)?;
            if let Some(counter) = counter.as_mut().filter(|counter| counter.is_due(now)) {
                counter.publish(now, &report::counted(&self.source, wall_ns()))?;
            }
            if more {
                continue;
            }
            if let Some(gate) = &mut self.gate {
                if gate.caught_up(self.source.next())? {
                    continue;
                }
            }
            if now - looked >= Duration::from_millis(100) {
                looked = now;
                // An error if the ring was removed, also where nothing else would show that.
                if let Some(oldest) = self.oldest()? {
                    self.source.oldest(oldest);
                }
            }
            let wait = self.source.due().saturating_sub(started.elapsed());
            let looks = self.source.may_send() && !(self.naps && self.source.rests());
            let observer = looks.then_some(&mut self.observer);
            inbox.wait(observer, wait.min(Duration::from_millis(100)));
        }
        // What was published before it was told to stop.
        self.source.at(started.elapsed(), wall_ns());
        self.read()?;
        self.source.flush();
        self.act(engine)?;
        if let Some(counter) = counter {
            let counted = report::counted(&self.source, wall_ns());
            counter.publish(started.elapsed(), &counted)?;
        }
        Ok(())
    }

    /// Sends what is to be sent, and gives back what is not needed any more.
    fn act(&mut self, engine: &Arc<dyn Engine>) -> Result<(), BridgeError> {
        while let Some(action) = self.source.next_action() {
            match action {
                Action::Send(frame) => engine.publish(Outgoing {
                    key: &self.data_key,
                    lane: Lane::Data,
                    bytes: &frame,
                    encoding: None,
                    attachment: None,
                })?,
                Action::Release(through) => {
                    if let Some(gate) = &mut self.gate {
                        gate.release(through)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads what the ring has. Returns whether there is more; nothing if the ring was removed.
    fn read(&mut self) -> Result<Option<bool>, BridgeError> {
        for _ in 0..AT_ONCE {
            if !self.source.may_send() {
                return Ok(Some(false));
            }
            let received = self.observer.try_receive();
            // Asked after the message was read, so that its epoch is known before it is sent.
            let began = self.watch.new_epoch();
            if let Some(epoch) = began {
                self.source.epoch(epoch.number, epoch.first_sequence);
            }
            match received {
                Ok(Received::Message(message)) => {
                    if let Some(gate) = &mut self.gate {
                        gate.message(message.sequence());
                    }
                    self.source.message(message.sequence(), &message);
                }
                Ok(Received::Skipped {
                    resumed_at, why, ..
                }) => {
                    if let Some(gate) = &mut self.gate {
                        gate.skip(resumed_at);
                    }
                    self.source.gap(resumed_at, why);
                }
                Ok(Received::Lapped { resumed_at, .. }) => {
                    self.lapped(resumed_at)?;
                }
                Ok(Received::Closed) | Err(TryReceiveError::Closed) => {
                    // Another producer may have taken over since.
                    if began.is_none() {
                        self.source.close();
                    }
                    return Ok(Some(false));
                }
                Ok(_) | Err(TryReceiveError::Empty | TryReceiveError::ProducerGone { .. }) => {
                    return Ok(Some(false));
                }
                Err(TryReceiveError::Removed) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(true))
    }

    /// The observer was overtaken, and found this sequence by the index. That may not lead to the first one that is held.
    fn lapped(&mut self, mut resumed_at: u64) -> Result<(), BridgeError> {
        if let Some(gate) = &mut self.gate {
            if before(gate.next_sequence(), resumed_at) {
                match observer_at(&self.ring, gate.next_sequence()) {
                    Ok(observer) => {
                        resumed_at = observer.next_sequence();
                        self.observer = observer;
                    }
                    // Mirrors ask for what lies between.
                    Err(BridgeError::Attach(AttachError::Overtaken)) => {}
                    Err(error) => return Err(error),
                }
            }
            gate.skip(resumed_at);
        }
        self.source.lapped(resumed_at);
        Ok(())
    }

    /// The oldest sequence that can be found in the ring: by its index, or since it is held for mirrors.
    fn oldest(&self) -> Result<Option<u64>, BridgeError> {
        let indexed = self.ring.status()?.oldest_sequence;
        let held = self.gate.as_ref().map(Gate::next_sequence);
        Ok(match (indexed, held) {
            (Some(indexed), Some(held)) if before(held, indexed) => Some(held),
            (indexed, held) => indexed.or(held),
        })
    }

    fn handle(&mut self, event: Event, options: &Options) -> Result<(), BridgeError> {
        match event {
            Event::Ack(bytes) => {
                if let Some(ack) = Ack::decode(&bytes) {
                    self.source.ack(&ack);
                }
            }
            Event::Fetch(question) => {
                let held = self.gate.as_ref().map(Gate::next_sequence);
                reply::fetch(&self.ring, &self.source, held, &question)?;
            }
            Event::Meta(question) => {
                let oldest = self.oldest()?;
                let meta = reply::meta(&self.ring, &mut self.source, oldest, &question, options)?;
                question.replies.reply(meta.encode());
            }
            Event::Status(question) => {
                let state = reply::state(&self.ring, &self.source, &self.keys, &self.told, options);
                question.replies.reply(state.to_string().into_bytes());
            }
            Event::Stat(key, bytes) => self.told.note(&key, &bytes),
        }
        Ok(())
    }
}
