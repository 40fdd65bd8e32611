//! One mirror at work: what came goes to the protocol, and what that says is done.

use super::event::{ask_for_meta, left_out, Event, REFUSED};
use super::shared::{Shared, Turn};
use super::work::{Work, Written};
use crate::clock::wall_ns;
use crate::engine::{Lane, Outgoing};
use crate::error::BridgeError;
use crate::inbox::{Inbox, Sender};
use crate::stat::{Counter, MirrorStat, EVERY};
use slipring_mirror::meta::MetaError;
use slipring_mirror::mirror::{Action, Path, Stop};
use slipring_mirror::Meta;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long an answer to a request may take: longer than the mirror waits for it.
const FETCHED: Duration = Duration::from_secs(2);
/// Steps of writing before the network has its turn.
const STEPS: usize = 16;
/// Frames and answers that are taken before writing has its turn, however few bytes they have.
const EVENTS: usize = 64;

/// Bytes that are taken from the network before writing has its turn, so that they and what is missing before them find
/// room: a part of those that may be held.
pub(super) fn turn(window: u64) -> usize {
    (window / 4).min(128 << 10) as usize
}

/// What the mirror's thread has for itself.
pub(super) struct Mirrored<'e> {
    pub sender: Sender<Event>,
    /// Bytes that are taken at once, at least one frame.
    pub turn: usize,
    pub fetch_key: String,
    pub meta_key: String,
    pub clock_key: String,
    pub stat_key: String,
    pub ask: &'e str,
    /// When the next report is due.
    pub report_at: Duration,
    pub counter: &'e mut Option<Counter<MirrorStat>>,
}

impl Mirrored<'_> {
    /// Writes what comes, until it is told to stop. There is work from beginning to end.
    pub fn run(
        &mut self,
        shared: &Shared,
        inbox: &mut Inbox<Event>,
        stop: &AtomicBool,
    ) -> Result<(), BridgeError> {
        loop {
            // While it is held, the engine's threads put what comes into the inbox.
            let mut held = shared.lock();
            let Some(Turn {
                work,
                sleeps_until,
                failed,
                ..
            }) = held.as_mut()
            else {
                return Ok(());
            };
            if stop.load(Ordering::Relaxed) {
                // Readers wait for the next run.
                work.detach();
                return self.count(work);
            }
            if let Some(error) = failed.take() {
                return Err(error);
            }
            if let Err(error) = self.receive(work, inbox) {
                return Self::end(work, error, stop);
            }
            let written = work.write(STEPS)?;
            work.at_now();
            work.machine.tick();
            self.act(work)?;
            if work.started.elapsed() >= self.report_at {
                self.report(work)?;
            }
            match written {
                Written::More => {}
                Written::Full => work.wait_for_room()?,
                Written::All => {
                    let now = work.started.elapsed();
                    let wait = work.machine.due().saturating_sub(now);
                    let wait = wait.min(Duration::from_millis(100));
                    *sleeps_until = now + wait;
                    drop(held);
                    inbox.wait(None, wait);
                }
            }
        }
    }

    /// Takes what came, but no more than may be held until it is written.
    fn receive(&self, work: &mut Work, inbox: &Inbox<Event>) -> Result<(), BridgeError> {
        work.at_now();
        let mut taken = 0;
        for _ in 0..EVENTS {
            let Some(event) = inbox.take() else {
                break;
            };
            taken += event.bytes();
            Self::handle(work, event)?;
            if taken >= self.turn {
                break;
            }
        }
        Ok(())
    }

    fn handle(work: &mut Work, event: Event) -> Result<(), BridgeError> {
        match event {
            Event::Frame(bytes) => work.frame(&bytes),
            Event::Answer(bytes) => drop(work.machine.frame(Path::Answer, &bytes)),
            Event::Answered(id) => work.machine.answered(id),
            Event::Clock(there, asked, took) => work.clock.answer(asked, took, there),
            Event::Meta(bytes) => match Meta::decode(&bytes) {
                Ok(meta) => work.machine.meta(&meta)?,
                // As long as frames come, its source speaks this version.
                Err(error @ MetaError::Version { .. }) if work.machine.silent_for() >= REFUSED => {
                    return Err(error.into())
                }
                Err(error) => left_out(error),
            },
            Event::MetaOver => {}
        }
        Ok(())
    }

    /// Ends with the account complete, if the source is gone.
    fn end(work: &mut Work, error: BridgeError, stop: &AtomicBool) -> Result<(), BridgeError> {
        if let BridgeError::Stop(Stop::Recreated { .. }) = error {
            work.machine.give_up();
            while work.machine.next_write().is_some() && !stop.load(Ordering::Relaxed) {
                if work.write(STEPS)? == Written::Full {
                    work.wait_for_room()?;
                }
            }
            work.close();
            // Before the ring is removed, for the next source.
            work.copy.check()?;
        }
        Err(error)
    }

    fn count(&mut self, work: &Work) -> Result<(), BridgeError> {
        match self.counter {
            Some(counter) => counter.publish(work.started.elapsed(), &work.stat()),
            None => Ok(()),
        }
    }

    /// Tells the source and the own ring what was counted, and asks for the source's time.
    fn report(&mut self, work: &Work) -> Result<(), BridgeError> {
        self.report_at = work.started.elapsed() + EVERY;
        self.count(work)?;
        if work.producer.is_none() {
            work.copy.check()?;
        }
        work.engine.publish(Outgoing {
            key: &self.stat_key,
            lane: Lane::Control,
            bytes: work.stat().json().to_string().as_bytes(),
            encoding: Some("application/json"),
            attachment: None,
        })?;
        let sender = self.sender.clone();
        // In this order: what comes between the two makes the answer less exact, and not wrong.
        let (began, asked) = (Instant::now(), wall_ns());
        let sink = move |reply: Option<Vec<u8>>| {
            if let Some(Ok(there)) = reply.map(<[u8; 8]>::try_from) {
                let there = u64::from_le_bytes(there);
                sender.put(Event::Clock(there, asked, began.elapsed()), 0);
            }
        };
        Ok(work
            .engine
            .ask(&self.clock_key, "", EVERY, Box::new(sink))?)
    }

    fn act(&self, work: &mut Work) -> Result<(), BridgeError> {
        while let Some(action) = work.machine.next_action() {
            match action {
                Action::Ack(ack) => work.acknowledge(&ack)?,
                Action::Ask => {
                    ask_for_meta(&work.engine, &self.meta_key, self.ask, &self.sender)?;
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
                    work.engine
                        .ask(&self.fetch_key, &request, FETCHED, Box::new(sink))?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
