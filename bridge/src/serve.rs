//! The source side: one thread that reads a ring, sends it, and answers mirrors.

use crate::clock::wall_ns;
use crate::engine::{Engine, Held, Lane, Outgoing, Question, Sample};
use crate::error::{open_source, BridgeError};
use crate::inbox::{Inbox, Sender};
use crate::keys::Keys;
use crate::report::{self, Told};
use crate::stat::{Counter, SourceStat};
use slipring::endpoint::{AttachError, ObserverOptions, Resume, TryReceiveError};
use slipring::place::OpenError;
use slipring::{Consumer, Observer, Place, Received, Ring, Start, Strategy};
use slipring_mirror::meta::Opaque;
use slipring_mirror::request::parameter;
use slipring_mirror::source::{Action, Settings, Source};
use slipring_mirror::{Ack, Meta, Name, Request};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is served, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The ring.
    pub place: Place,
    /// Its name on the network.
    pub name: Name,
    /// The realm, which separates deployments that share a network.
    pub realm: Name,
    /// The name of this host, for descriptions.
    pub host: String,
    /// Whether the ring keeps what was not sent or, with `require`, not written by those mirrors.
    pub lossless: bool,
    /// Mirrors that the source waits for.
    pub require: Vec<Name>,
    /// Bytes that may be sent and not written by all of them.
    pub window: u64,
    /// Where a lossless source begins the first time; later at its durable cursor.
    pub from: Start,
    /// The name of that cursor.
    pub cursor: String,
    /// The ring that it counts into, as [`SourceStat`]s.
    pub stat: Option<Place>,
}

impl Options {
    /// A source that waits for no mirror.
    pub fn new(place: impl Into<Place>, name: Name) -> Self {
        Self {
            place: place.into(),
            name,
            realm: default_realm(),
            host: String::new(),
            lossless: false,
            require: Vec::new(),
            window: 4 << 20,
            from: Start::Latest,
            cursor: "bridge".to_owned(),
            stat: None,
        }
    }
}

/// The realm that is used if none is given.
pub fn default_realm() -> Name {
    match "default".parse() {
        Ok(name) => name,
        Err(_) => unreachable!("a name"),
    }
}

/// Messages that are read before other work has its turn.
const AT_ONCE: usize = 1000;
/// Bytes of acknowledgements and questions that wait for their turn.
const INBOX: usize = 4 << 20;
/// Between two attempts to open a ring that is not there.
const AGAIN: Duration = Duration::from_millis(50);

enum Event {
    Ack(Vec<u8>),
    Fetch(Question),
    Meta(Question),
    Status(Question),
    Stat(Sample),
}

/// The row of a lossless source: it keeps the producer from overwriting what is still needed.
///
/// Messages are found from the first one of their block, so it keeps a block more than that.
struct Gate {
    consumer: Consumer,
    /// Some of the messages that were sent, each with the bytes up to it.
    sent: VecDeque<(u64, u64)>,
    bytes: u64,
    block: u64,
}

impl Gate {
    fn new(ring: &Ring, options: &Options) -> Result<Self, BridgeError> {
        Ok(Self {
            consumer: ring.durable_consumer(&options.cursor, options.from)?,
            sent: VecDeque::new(),
            bytes: 0,
            block: (ring.capacity_bytes() / 8).min(4096),
        })
    }

    /// A message was read from the ring, to be sent.
    fn pass(&mut self, sequence: u64, len: usize) {
        self.bytes += len as u64 + 8;
        let last = self.sent.back().map(|(_, bytes)| *bytes);
        if last.is_none_or(|last| self.bytes - last >= self.block / 4) {
            self.sent.push_back((sequence, self.bytes));
        }
    }

    /// Gives back messages before a sequence.
    fn release(&mut self, through: u64) -> Result<(), BridgeError> {
        let before = |sequence: u64, other: u64| (sequence.wrapping_sub(other) as i64) < 0;
        let written = self
            .sent
            .partition_point(|(sequence, _)| before(*sequence, through));
        let Some((_, reached)) = written.checked_sub(1).and_then(|at| self.sent.get(at)) else {
            return Ok(());
        };
        let reached = *reached;
        let mut last = None;
        while let Some((sequence, bytes)) = self.sent.front().copied() {
            if bytes + 2 * self.block > reached {
                break;
            }
            last = Some(sequence);
            self.sent.pop_front();
        }
        let Some(last) = last else {
            return Ok(());
        };
        // That message exists, so what comes next is it, or lies before it.
        while !before(last, self.consumer.next_sequence()) {
            match self.consumer.try_receive() {
                Ok(message) => drop(message),
                Err(
                    TryReceiveError::Empty
                    | TryReceiveError::Closed
                    | TryReceiveError::ProducerGone { .. },
                ) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
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
    keys: Keys,
    data_key: String,
    fetch_key: String,
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
    let started = Instant::now();
    let mut first = true;
    while !stop.load(Ordering::Relaxed) {
        let ring = match open_source(&options.place) {
            Ok(ring) => ring,
            // Removed, to be made again.
            Err(BridgeError::Open(OpenError::NotFound { .. })) if !first => {
                while inbox.take().is_some() {}
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

/// The options of an observer that never waits, and so needs no row.
fn rowless() -> ObserverOptions {
    ObserverOptions::new()
        .strategy(Strategy::Spin)
        .resume(Resume::Oldest)
}

impl Served {
    fn begin(
        engine: &Arc<dyn Engine>,
        options: &Options,
        keys: &Keys,
        ring: Ring,
        sender: &Sender<Event>,
    ) -> Result<Self, BridgeError> {
        let gate = match options.lossless {
            true if ring.evicts_after().is_some() => {
                let path = ring.path().to_owned();
                return Err(BridgeError::Evicts { path });
            }
            true => Some(Gate::new(&ring, options)?),
            false => None,
        };
        let observer = match &gate {
            Some(gate) => observer_at(&ring, gate.consumer.next_sequence())?,
            None => ring.observer(Start::Latest)?,
        };
        let watch = ring.observer_with(Start::Latest, rowless())?;
        let epoch = ring.status()?.epoch;
        let mut settings = Settings::new(ring.id());
        settings.lossless = options.lossless;
        settings.required = options.require.clone();
        settings.window = options.window;
        let next = observer.next_sequence();
        let source = Source::new(settings, epoch.number, epoch.first_sequence, next);
        let acks = sender.clone();
        let acks = engine.subscribe(
            &keys.acks(ring.id()),
            Box::new(move |sample| {
                let bytes = sample.bytes.len();
                acks.put(Event::Ack(sample.bytes), bytes);
            }),
        )?;
        let fetch_key = keys.fetch(ring.id());
        let fetches = engine.answer(&fetch_key, questions(sender, Event::Fetch))?;
        let stats = sender.clone();
        let stats = engine.subscribe(
            &keys.stats(ring.id()),
            Box::new(move |sample| {
                let bytes = sample.bytes.len() + sample.key.len();
                stats.put(Event::Stat(sample), bytes);
            }),
        )?;
        // At once: what waits makes the answer less exact.
        let clock = engine.answer(
            &keys.clock(ring.id()),
            Box::new(|question| question.replies.reply(wall_ns().to_le_bytes().to_vec())),
        )?;
        Ok(Self {
            data_key: keys.data(ring.id()),
            ring,
            source,
            observer,
            watch,
            gate,
            keys: keys.clone(),
            fetch_key,
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
            while let Some(event) = inbox.take() {
                self.handle(event, options)?;
            }
            let Some(more) = self.read()? else {
                return Ok(());
            };
            let now = started.elapsed();
            self.source.at(now, wall_ns());
            self.source.tick();
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
            if let Some(counter) = counter.as_mut().filter(|counter| counter.is_due(now)) {
                counter.publish(now, &report::counted(&self.source, wall_ns()))?;
            }
            if more {
                continue;
            }
            if now - looked >= Duration::from_millis(100) {
                looked = now;
                if self.ring.is_removed() {
                    return Ok(());
                }
                if let Some(oldest) = self.ring.status()?.oldest_sequence {
                    self.source.oldest(oldest);
                }
            }
            let wait = self.source.due().saturating_sub(started.elapsed());
            let observer = self.source.may_send().then_some(&mut self.observer);
            inbox.wait(observer, wait.min(Duration::from_millis(100)));
        }
        self.source.flush();
        if let Some(counter) = counter {
            let counted = report::counted(&self.source, wall_ns());
            counter.publish(started.elapsed(), &counted)?;
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
                        gate.pass(message.sequence(), message.len());
                    }
                    self.source.message(message.sequence(), &message);
                }
                Ok(Received::Skipped {
                    resumed_at, why, ..
                }) => {
                    self.source.gap(resumed_at, why);
                }
                Ok(Received::Lapped { resumed_at, .. }) => {
                    self.source.lapped(resumed_at);
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

    fn handle(&mut self, event: Event, options: &Options) -> Result<(), BridgeError> {
        match event {
            Event::Ack(bytes) => {
                if let Some(ack) = Ack::decode(&bytes) {
                    self.source.ack(&ack);
                }
            }
            Event::Fetch(question) => self.answer(&question)?,
            Event::Meta(question) => {
                let meta = self.meta(&question, options)?;
                question.replies.reply(meta.encode());
            }
            Event::Status(question) => {
                let state = self.state(options);
                question.replies.reply(state.to_string().into_bytes());
            }
            Event::Stat(sample) => self.told.note(&sample.key, &sample.bytes),
        }
        Ok(())
    }

    /// Answers with what the ring still has of what was asked for.
    fn answer(&mut self, question: &Question) -> Result<(), BridgeError> {
        let Ok(request) = question.parameters.parse::<Request>() else {
            return Ok(());
        };
        let mut answer = self.source.answer(request);
        let mut attempts = 0;
        let mut observer = loop {
            if !answer.is_wanted() {
                break None;
            }
            attempts += 1;
            match self
                .ring
                .observer_with(Start::Sequence(answer.from()), rowless())
            {
                Ok(observer) => break Some(observer),
                Err(AttachError::Gone { oldest, .. }) => answer.gone_before(oldest),
                Err(AttachError::Ahead { .. } | AttachError::Removed { .. }) => break None,
                // The producer is faster than this. The mirror asks again.
                Err(AttachError::Overtaken) if attempts > 10 => break None,
                Err(AttachError::Overtaken) => {}
                Err(error) => return Err(error.into()),
            }
        };
        while let Some(observer) = observer.as_mut().filter(|_| answer.is_wanted()) {
            match observer.try_receive() {
                Ok(Received::Message(message)) => answer.message(message.sequence(), &message),
                Ok(Received::Skipped {
                    resumed_at, why, ..
                }) => answer.gap(resumed_at, why),
                Ok(Received::Lapped { resumed_at, .. }) => answer.gone_before(resumed_at),
                _ => break,
            }
        }
        for frame in answer.finish() {
            question.replies.reply(frame);
        }
        Ok(())
    }

    fn meta(&mut self, question: &Question, options: &Options) -> Result<Meta, BridgeError> {
        let text = &question.parameters;
        let name = parameter(text, "as").and_then(|name| name.parse::<Name>().ok());
        let instance = parameter(text, "instance").and_then(|n| u64::from_str_radix(n, 16).ok());
        let (required, taken) = match (name, instance) {
            (Some(name), Some(instance)) => self.source.hello(&name, instance),
            _ => (false, false),
        };
        let status = self.ring.status()?;
        let opaque = self.ring.opaque_schema().ok().flatten();
        let (epoch, epoch_first) = self.source.latest_epoch();
        Ok(Meta {
            ring: self.ring.id(),
            epoch,
            epoch_first,
            oldest: status.oldest_sequence.unwrap_or(self.source.sent()),
            next: self.source.sent(),
            capacity: self.ring.capacity_bytes(),
            frame_align: self.ring.frame_align() as u32,
            max_readers: self.ring.max_readers(),
            longest: self.ring.max_message_bytes(),
            stamps: self.ring.stamps(),
            closed: self.source.is_closed(),
            required,
            taken,
            host: options.host.clone(),
            name: options.name.clone(),
            schema: self
                .ring
                .schema()
                .map_or_else(String::new, ToString::to_string),
            opaque: opaque.map(|schema| Opaque {
                kind: schema.kind().to_owned(),
                name: schema.name().to_owned(),
                bytes: schema.into_bytes(),
            }),
        })
    }

    /// The state of the source, for people and for programs that watch it.
    fn state(&self, options: &Options) -> serde_json::Value {
        let mut state = serde_json::json!({
            "ring": options.name.as_str(),
            "realm": options.realm.as_str(),
            "host": options.host,
            "path": self.ring.path().display().to_string(),
            "id": format!("{:032x}", self.ring.id()),
            "keys": [self.keys.meta(), self.data_key, self.fetch_key],
            "lossless": options.lossless,
            "window_bytes": options.window,
        });
        let changing = report::state(&self.source, &self.told);
        if let (Some(state), serde_json::Value::Object(changing)) =
            (state.as_object_mut(), changing)
        {
            state.extend(changing);
        }
        state
    }
}
