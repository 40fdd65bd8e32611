//! One mirror at work: what came goes to the protocol, and what that says is done.

use super::event::{ask_for_meta, left_out, Event, REFUSED};
use crate::clock::{wall_ns, Clock};
use crate::engine::{Engine, Lane, Outgoing};
use crate::error::BridgeError;
use crate::inbox::{Inbox, Sender};
use crate::latency::Timing;
use crate::stat::{Counter, MirrorStat, EVERY};
use slipring::endpoint::{AttachError, PublishError, TryPublishError};
use slipring::{Producer, Ring};
use slipring_mirror::meta::MetaError;
use slipring_mirror::mirror::{Action, Path, Stop, Write};
use slipring_mirror::{Meta, Mirror};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an answer to a request may take: longer than the mirror waits for it.
const FETCHED: Duration = Duration::from_secs(2);
/// The longest that a write waits for readers of the mirror before the network has its turn.
const HELD_BACK: Duration = Duration::from_millis(5);
/// Messages that are written before the network has its turn.
const AT_ONCE: usize = 1000;
/// Frames and answers that are taken before writing has its turn, however few bytes they have.
const EVENTS: usize = 64;

/// Bytes that are taken from the network before writing has its turn, so that they and what is missing before them find
/// room: a part of those that may be held.
pub(super) fn turn(window: u64) -> usize {
    (window / 4).min(128 << 10) as usize
}

/// One mirror, from the finding of its source to the end.
pub(super) struct Mirrored<'e> {
    pub engine: &'e Arc<dyn Engine>,
    pub sender: Sender<Event>,
    pub machine: Mirror,
    pub ring: Ring,
    /// Bytes that are taken at once, at least one frame.
    pub turn: usize,
    /// None once the source was closed.
    pub producer: Option<Producer>,
    pub ack_key: String,
    pub fetch_key: String,
    pub meta_key: String,
    pub clock_key: String,
    pub stat_key: String,
    pub ask: &'e str,
    pub started: Instant,
    pub clock: Clock,
    pub timing: Timing,
    /// When the next report is due.
    pub report_at: Duration,
    pub counter: &'e mut Option<Counter<MirrorStat>>,
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
    /// Writes what comes, until it is told to stop.
    pub fn run(&mut self, inbox: &mut Inbox<Event>, stop: &AtomicBool) -> Result<(), BridgeError> {
        loop {
            if stop.load(Ordering::Relaxed) {
                if let Some(producer) = self.producer.take() {
                    // Readers wait for the next run.
                    producer.detach();
                }
                return self.count();
            }
            if let Err(error) = self.receive(inbox) {
                return self.end(error, stop);
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

    /// Takes what came, but no more than may be held until it is written.
    fn receive(&mut self, inbox: &Inbox<Event>) -> Result<(), BridgeError> {
        self.machine.at(self.started.elapsed());
        let mut taken = 0;
        for _ in 0..EVENTS {
            let Some(event) = inbox.take() else {
                break;
            };
            taken += event.bytes();
            self.handle(event)?;
            if taken >= self.turn {
                break;
            }
        }
        Ok(())
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
                // As long as frames come, its source speaks this version.
                Err(error @ MetaError::Version { .. }) if self.machine.silent_for() >= REFUSED => {
                    return Err(error.into())
                }
                Err(error) => left_out(error),
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

#[cfg(test)]
mod tests;
