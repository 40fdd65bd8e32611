//! A producer that leaves out sequences.
//!
//! Layer 5.

use super::Producer;
use crate::endpoint::error::{PublishError, TryPublishError};
use crate::layout::frame::GAP_BYTES;
use crate::layout::gap::Why;
use crate::ring::producer::NotSkipped;
use crate::wait::Deadline;

impl Producer {
    /// Says that the sequences from the next one on, before `sequence`, do not exist, waiting for room as
    /// [`publish`](Self::publish) does. `sequence` is then the next one. Returns how many were skipped: 0 if
    /// `sequence` is the next one already, and then nothing is written.
    ///
    /// # Guarantees
    /// - The gap is a publish of its own: all readers see it, in its place between the messages, or, if this
    ///   process dies meanwhile, none does.
    /// - Every reader is told exactly which sequences do not exist, and why: an [`Observer`](crate::Observer) by
    ///   [`Received::Skipped`](crate::Received::Skipped), a [`Consumer`](crate::Consumer) by the
    ///   [`gap`](crate::Message::gap) of the message that follows, by [`last_gap`](crate::Consumer::last_gap), and
    ///   all in all by its [`losses`](crate::Consumer::losses). A reader that is overtaken before it comes there is told of
    ///   them as of messages that it missed.
    /// - Several gaps may follow each other. A gap takes the room of a message of 16 bytes, stamp or not.
    ///
    /// # What others may change meanwhile
    /// As for [`publish`](Self::publish).
    ///
    /// # Errors
    /// [`PublishError::Behind`] and [`PublishError::TooFar`] if `sequence` cannot follow;
    /// [`PublishError::Forked`], [`PublishError::Removed`] as for [`publish`](Self::publish). Nothing has changed
    /// then.
    ///
    /// # Range
    /// `sequence` is at most 2^62 ahead of the ring's first sequence.
    ///
    /// ```
    /// use slipring::{endpoint::Why, Ring, Start};
    ///
    /// let ring = Ring::heap().create()?;
    /// let mut producer = ring.producer()?;
    /// let mut consumer = ring.consumer(Start::Oldest)?;
    /// producer.publish(b"kept")?; // 0
    /// assert_eq!(producer.skip_to(1000, Why::Lost)?, 999);
    /// assert_eq!(producer.publish(b"next")?, 1000);
    ///
    /// drop(consumer.try_receive()?);
    /// let message = consumer.try_receive()?;
    /// let gap = message.gap().unwrap();
    /// assert_eq!((gap.first, gap.end, gap.why), (1, 1000, Why::Lost));
    /// assert_eq!(message.sequence(), 1000);
    /// drop(message);
    /// assert_eq!(consumer.losses().skipped, 999);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn skip_to(&mut self, sequence: u64, why: Why) -> Result<u64, PublishError> {
        self.skip_to_until(sequence, why, Deadline::NEVER)
    }

    /// Like [`skip_to`](Self::skip_to), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`skip_to`](Self::skip_to), and [`PublishError::TimedOut`] with the row of the consumer that held it
    /// back; nothing was published then.
    pub fn skip_to_until(
        &mut self,
        sequence: u64,
        why: Why,
        deadline: impl Into<Deadline>,
    ) -> Result<u64, PublishError> {
        let deadline = deadline.into();
        self.begin()?;
        loop {
            match self.core.try_skip_to(sequence, why) {
                Ok(skipped) => return Ok(self.skipped(skipped)),
                Err(NotSkipped::Behind { next }) => return Err(PublishError::Behind { next }),
                Err(NotSkipped::TooFar { last }) => return Err(PublishError::TooFar { last }),
                Err(NotSkipped::Refused(refused)) => {
                    let mut batch = self.core.batch();
                    self.wait_for_room(&mut batch, refused, GAP_BYTES as usize, deadline)?;
                }
            }
        }
    }

    /// Like [`skip_to`](Self::skip_to), if there is room now.
    ///
    /// # Errors
    /// [`TryPublishError::Behind`] and [`TryPublishError::TooFar`] if `sequence` cannot follow; else as
    /// [`try_publish`](Self::try_publish).
    pub fn try_skip_to(&mut self, sequence: u64, why: Why) -> Result<u64, TryPublishError> {
        self.begin()?;
        loop {
            match self.core.try_skip_to(sequence, why) {
                Ok(skipped) => return Ok(self.skipped(skipped)),
                Err(NotSkipped::Behind { next }) => return Err(TryPublishError::Behind { next }),
                Err(NotSkipped::TooFar { last }) => return Err(TryPublishError::TooFar { last }),
                Err(NotSkipped::Refused(refused)) => {
                    self.refuse(&self.core.batch(), refused, GAP_BYTES as usize)?
                }
            }
        }
    }

    fn skipped(&mut self, skipped: u64) -> u64 {
        if skipped > 0 {
            self.ring_data();
        }
        skipped
    }
}

#[cfg(test)]
mod tests {
    use super::Why;
    use crate::endpoint::{Conflation, TryPublishError, TryReceiveError};
    use crate::ring::Corrupt;
    use crate::{Received, Ring, Start};
    use core::time::Duration;

    /// Of every kind: read in place, copied, with a stamp.
    fn rings() -> [Ring; 4] {
        [(false, 0), (true, 0), (false, 1), (true, 1)].map(|(stamps, evict_after)| {
            let ring = Ring::heap().capacity_bytes(4096).stamps(stamps);
            let ring = ring.evict_after(Duration::from_secs(3600 * evict_after));
            ring.create().unwrap()
        })
    }

    /// A consumer gives back gaps though no message follows, or the ring would be full for ever.
    #[test]
    fn a_consumer_that_finds_nothing_but_gaps_holds_nothing_back() {
        for ring in rings() {
            let mut producer = ring.producer().unwrap();
            let mut consumer = ring.consumer(Start::Oldest).unwrap();
            for n in 1..=1000u64 {
                assert_eq!(producer.try_skip_to(7 * n, Why::Lost), Ok(7));
                // Twice, since a call that finds nothing gives back once.
                for _ in 0..n % 3 {
                    assert_eq!(consumer.try_receive().unwrap_err(), TryReceiveError::Empty);
                    assert_eq!(consumer.losses().skipped, 7 * n);
                }
            }
            let held = loop {
                match producer.try_skip_to(producer.next_sequence() + 1, Why::Lost) {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert_eq!(
                held,
                TryPublishError::Full {
                    row: consumer.row()
                }
            );
            assert!(consumer.receive_until(Duration::ZERO).is_err());
            assert_eq!(
                producer.try_skip_to(producer.next_sequence() + 1, Why::Lost),
                Ok(1)
            );
            producer.publish(b"next").unwrap();
            let message = consumer.receive().unwrap().unwrap();
            assert_eq!(message.gap().unwrap().end, message.sequence());
        }
    }

    /// Several gaps in a row, before, between and behind messages, and a pad between gaps.
    #[test]
    fn gaps_end_no_batch() {
        for ring in rings() {
            let mut producer = ring.producer().unwrap();
            let mut consumer = ring.consumer(Start::Oldest).unwrap();
            for round in 0..200 {
                let began = producer.next_sequence();
                let mut published = Vec::new();
                for n in 0..10 {
                    for _ in 0..(round + n) % 4 {
                        producer
                            .skip_to(producer.next_sequence() + (1 << 32), Why::Lost)
                            .unwrap();
                    }
                    published.push(producer.publish(&[7; 100]).unwrap());
                }
                let before = consumer.losses().skipped;
                let mut batch = consumer.try_receive_batch(100).unwrap();
                let mut seen = Vec::new();
                while let Some(message) = batch.next() {
                    seen.push(message.sequence());
                }
                drop(batch);
                assert_eq!(seen, published);
                let passed = producer.next_sequence() - began;
                assert_eq!(consumer.losses().skipped - before, passed - 10);
            }
            // A gap has no stamp.
            let status = ring.status().unwrap();
            let latencies = status
                .readers
                .into_iter()
                .find_map(|reader| reader.latencies);
            assert_eq!(latencies.is_some(), ring.stamps());
            assert!(latencies.is_none_or(|latencies| latencies.count() == 2000));
        }
    }

    #[test]
    fn a_conflated_reader_accounts_for_every_sequence() {
        let ring = Ring::heap().capacity_bytes(4096).create().unwrap();
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer(Start::Oldest).unwrap().conflated(|m| m[0]);
        let mut observer = ring.observer(Start::Oldest).unwrap().conflated(|m| m[0]);
        let mut told = 0;
        for round in 0..300u64 {
            for n in 0..round % 5 {
                producer
                    .skip_to(producer.next_sequence() + n * n, Why::Restored)
                    .unwrap();
                producer.publish(&[n as u8 % 3]).unwrap();
            }
            if round % 7 == 0 {
                // An observer is lapped now and then.
                for _ in 0..600 {
                    while consumer.try_receive().is_ok() {}
                    producer.publish(&[9]).unwrap();
                }
            }
            while consumer.try_receive().is_ok() {}
            loop {
                match observer.try_receive() {
                    Ok(Conflation::Gap { missing, why, .. }) => {
                        assert_eq!(why, Why::Restored);
                        told += missing;
                    }
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
            let all = producer.next_sequence();
            let sum = consumer.handed_out_count() + consumer.skipped_count();
            assert_eq!(sum + consumer.missing_count(), all);
            let sum = observer.handed_out_count() + observer.skipped_count();
            assert_eq!(sum + observer.missing_count() + observer.lost_count(), all);
            assert_eq!(observer.missing_count(), told);
        }
        assert!(told > 0 && observer.lost_count() > 0 && consumer.missing_count() > told);
    }

    /// The producer of a link or a pipe skips nothing; one that breaks the protocol does.
    #[test]
    fn a_reader_of_a_form_without_gaps_says_that_there_is_one() {
        for ring in rings() {
            let mut producer = ring.producer().unwrap();
            let mut consumer = ring.consumer(Start::Oldest).unwrap();
            consumer.refuse_gaps();
            producer.skip_to(5, Why::Lost).unwrap();
            producer.publish(b"behind").unwrap();
            let damage = Corrupt::NoGaps { position: 0 };
            for _ in 0..3 {
                assert!(consumer.take_soon().is_none());
                assert_eq!(
                    consumer.try_receive().unwrap_err(),
                    TryReceiveError::Corrupt(damage)
                );
                assert!(consumer.receive_until(Duration::from_millis(1)).is_err());
            }
        }
    }

    #[test]
    fn an_observer_adds_up() {
        let ring = Ring::heap()
            .capacity_bytes(4096)
            .first_sequence(9)
            .create()
            .unwrap();
        let mut producer = ring.producer().unwrap();
        producer.skip_to(100, Why::Other(4)).unwrap();
        producer.publish(b"first").unwrap();
        producer.close();
        let mut observer = ring.observer(Start::Sequence(30)).unwrap();
        assert_eq!(
            (observer.next_sequence(), observer.received_count()),
            (30, 0)
        );
        match observer.receive().unwrap() {
            Received::Skipped {
                skipped,
                resumed_at,
                why,
            } => assert_eq!((skipped, resumed_at, why), (70, 100, Why::Other(4))),
            received => panic!("{received:?}"),
        }
        assert!(matches!(observer.receive(), Ok(Received::Message(_))));
        assert!(matches!(observer.receive(), Ok(Received::Closed)));
        let counts = [
            observer.received_count(),
            observer.skipped_count(),
            observer.lost_count(),
        ];
        assert_eq!(counts, [1, 70, 0]);
    }
}
