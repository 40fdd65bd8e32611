//! What a mirror has come to, and its writing.

use super::copy::Copy;
use crate::clock::{wall_ns, Clock};
use crate::engine::{Engine, Lane, Outgoing};
use crate::error::BridgeError;
use crate::latency::Timing;
use crate::stat::MirrorStat;
use slipring::endpoint::{AttachError, PublishError, TryPublishError};
use slipring::Producer;
use slipring_mirror::mirror::{Path, Write};
use slipring_mirror::{Ack, Mirror};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest that a write waits for readers of the mirror before the network has its turn.
const HELD_BACK: Duration = Duration::from_millis(5);
/// Messages that are written at once.
const AT_ONCE: usize = 1000;

/// One mirror, from the finding of its source to the end.
pub(super) struct Work {
    pub engine: Arc<dyn Engine>,
    pub machine: Mirror,
    pub copy: Copy,
    /// None once the source was closed.
    pub producer: Option<Producer>,
    pub ack_key: String,
    pub started: Instant,
    pub clock: Clock,
    pub timing: Timing,
}

/// What became of writing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Written {
    /// Everything that could be.
    All,
    /// There is more.
    More,
    /// A reader of the mirror holds it back.
    Full,
}

impl Work {
    /// Says to the protocol what time it is.
    pub fn at_now(&mut self) {
        self.machine.at(self.started.elapsed());
    }

    /// Takes a frame. Bytes that are none are counted, and what they should have brought is asked for.
    pub fn frame(&mut self, bytes: &[u8]) {
        if let Ok(Some(sent)) = self.machine.frame(Path::Stream, bytes) {
            self.timing.came(sent, self.machine.next());
        }
    }

    /// Writes what can be written now, in so many steps at most. May wait for another process that attaches to the ring.
    pub fn write(&mut self, steps: usize) -> Result<Written, BridgeError> {
        let written = self.write_steps(steps)?;
        self.timing.written(self.machine.next(), &self.clock);
        Ok(written)
    }

    /// Writes messages and gaps, in so many steps at most. Never waits; what needs a producer that is not attached is left.
    pub fn write_stream(&mut self, steps: usize) -> Result<Written, BridgeError> {
        let written = self.write_messages_and_gaps(steps)?;
        self.timing.written(self.machine.next(), &self.clock);
        Ok(written)
    }

    /// Tells the source how far this mirror is.
    pub fn acknowledge(&self, ack: &Ack) -> Result<(), BridgeError> {
        Ok(self.engine.publish(Outgoing {
            key: &self.ack_key,
            lane: Lane::Control,
            bytes: &ack.encode(),
            encoding: None,
            attachment: None,
        })?)
    }

    /// Leaves the ring open, for the next producer.
    pub fn detach(&mut self) {
        if let Some(producer) = self.producer.take() {
            self.copy.detach(producer);
        }
    }

    /// Closes the ring.
    pub fn close(&mut self) {
        if let Some(producer) = self.producer.take() {
            self.copy.close(producer);
        }
    }

    fn producer(&mut self) -> Result<&mut Producer, BridgeError> {
        if self.producer.is_none() {
            self.producer = Some(self.copy.attach()?);
        }
        match &mut self.producer {
            Some(producer) => Ok(producer),
            None => Err(AttachError::Forked.into()),
        }
    }

    fn write_steps(&mut self, steps: usize) -> Result<Written, BridgeError> {
        for _ in 0..steps {
            match self.machine.next_write() {
                None => return Ok(Written::All),
                Some(Write::Message { .. } | Write::Gap { .. }) => {
                    self.producer()?;
                    if self.write_messages_and_gaps(1)? == Written::Full {
                        return Ok(Written::Full);
                    }
                    continue;
                }
                Some(Write::TakeOver) => {
                    self.detach();
                    self.producer()?;
                }
                Some(Write::Close) => {
                    self.close();
                }
            }
            self.machine.wrote();
        }
        Ok(self.all_or_more())
    }

    fn all_or_more(&self) -> Written {
        match self.machine.next_write() {
            None => Written::All,
            Some(_) => Written::More,
        }
    }

    /// What is published counts as written at once: if this process dies between the two, so does the machine that
    /// counts.
    fn write_messages_and_gaps(&mut self, steps: usize) -> Result<Written, BridgeError> {
        for _ in 0..steps {
            match (self.machine.next_write(), &mut self.producer) {
                (Some(Write::Message { .. }), Some(_)) => {
                    if !self.write_messages()? {
                        return Ok(Written::Full);
                    }
                }
                (Some(Write::Gap { end, why }), Some(producer)) => {
                    match producer.try_skip_to(end, why) {
                        Ok(_) => self.machine.wrote(),
                        Err(TryPublishError::Full { .. }) => return Ok(Written::Full),
                        Err(error) => return Err(error.into()),
                    }
                }
                _ => break,
            }
        }
        Ok(self.all_or_more())
    }

    /// Publishes messages, as many together as there are. Returns `false` if there is no room. What counts as written is published
    /// though there is an error behind it.
    fn write_messages(&mut self) -> Result<bool, BridgeError> {
        let Some(producer) = &mut self.producer else {
            return Ok(true);
        };
        let mut batch = producer.batch();
        let mut room = Ok(true);
        for _ in 0..AT_ONCE {
            let Some(Write::Message { payload, .. }) = self.machine.next_write() else {
                break;
            };
            match batch.try_push(payload) {
                Ok(_) => self.machine.wrote(),
                Err(TryPublishError::BatchFull) => break,
                Err(TryPublishError::Full { .. }) => {
                    room = Ok(false);
                    break;
                }
                Err(error) => {
                    room = Err(error.into());
                    break;
                }
            }
        }
        batch.commit();
        room
    }

    /// Waits a moment for the readers of the mirror, by writing what is next.
    pub fn wait_for_room(&mut self) -> Result<(), BridgeError> {
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

    /// What it has counted.
    pub fn stat(&self) -> MirrorStat {
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
}
