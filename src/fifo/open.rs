//! Opening the ends of a named pipe: at once, and waiting for the other side.
//!
//! Layer 7.

use super::{back, Fifo};
use crate::attach::Attachment;
use crate::endpoint::{
    AttachError, Connecting, Consumer, ConsumerOptions, Heir, Incoming, Meeting, Meets, Met,
    Opening, Outgoing, Producer, ProducerOptions, PublishError,
};
use crate::pipe::{Duplex, PipeOptions, PipeReader, PipeWriter};
use crate::ring::pact::Side;
use crate::ring::Start;
use crate::segment::Trouble;
use crate::wait::Deadline;
use std::io;
use std::sync::Arc;

impl Fifo {
    /// Becomes the writer, and waits for a reader.
    ///
    /// # Errors
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) while another writer lives;
    /// [`Unsupported`](io::ErrorKind::Unsupported) if it goes both ways.
    pub fn writer(&self) -> io::Result<PipeWriter> {
        self.writer_until(Deadline::NEVER)
    }

    /// Like [`writer`](Self::writer), with options.
    ///
    /// # Errors
    /// As [`writer`](Self::writer).
    pub fn writer_with(&self, options: PipeOptions) -> io::Result<PipeWriter> {
        self.writer_until_with(Deadline::NEVER, options)
    }

    /// Like [`writer`](Self::writer), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`writer`](Self::writer), and [`TimedOut`](io::ErrorKind::TimedOut).
    pub fn writer_until(&self, deadline: impl Into<Deadline>) -> io::Result<PipeWriter> {
        self.writer_until_with(deadline, PipeOptions::default())
    }

    /// Like [`writer_until`](Self::writer_until), with options.
    ///
    /// # Errors
    /// As [`writer_until`](Self::writer_until).
    pub fn writer_until_with(
        &self,
        deadline: impl Into<Deadline>,
        options: PipeOptions,
    ) -> io::Result<PipeWriter> {
        self.begin_writer_with(options)?.finish_until(deadline)
    }

    /// Becomes the writer, and does not wait for a reader: for event loops.
    ///
    /// # Errors
    /// As [`writer`](Self::writer).
    pub fn begin_writer(&self) -> io::Result<Connecting<PipeWriter>> {
        self.begin_writer_with(PipeOptions::default())
    }

    /// Like [`begin_writer`](Self::begin_writer), with options.
    ///
    /// # Errors
    /// As [`writer`](Self::writer).
    pub fn begin_writer_with(&self, options: PipeOptions) -> io::Result<Connecting<PipeWriter>> {
        self.expect_ways(1)?;
        let mut meeting = self.begin(Side::First)?;
        let writing = Writing::new(&self.ring, options, &mut meeting)?;
        Ok(Connecting::new(meeting, options.strategy, writing))
    }

    /// Becomes the reader, and waits for a writer.
    ///
    /// # Errors
    /// As [`writer`](Self::writer).
    pub fn reader(&self) -> io::Result<PipeReader> {
        self.reader_until(Deadline::NEVER)
    }

    /// Like [`reader`](Self::reader), with options.
    ///
    /// # Errors
    /// As [`reader`](Self::reader).
    pub fn reader_with(&self, options: PipeOptions) -> io::Result<PipeReader> {
        self.reader_until_with(Deadline::NEVER, options)
    }

    /// Like [`reader`](Self::reader), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`reader`](Self::reader), and [`TimedOut`](io::ErrorKind::TimedOut).
    pub fn reader_until(&self, deadline: impl Into<Deadline>) -> io::Result<PipeReader> {
        self.reader_until_with(deadline, PipeOptions::default())
    }

    /// Like [`reader_until`](Self::reader_until), with options.
    ///
    /// # Errors
    /// As [`reader_until`](Self::reader_until).
    pub fn reader_until_with(
        &self,
        deadline: impl Into<Deadline>,
        options: PipeOptions,
    ) -> io::Result<PipeReader> {
        self.begin_reader_with(options)?.finish_until(deadline)
    }

    /// Becomes the reader, and does not wait for a writer: for event loops.
    ///
    /// # Errors
    /// As [`writer`](Self::writer).
    pub fn begin_reader(&self) -> io::Result<Connecting<PipeReader>> {
        self.begin_reader_with(PipeOptions::default())
    }

    /// Like [`begin_reader`](Self::begin_reader), with options.
    ///
    /// # Errors
    /// As [`writer`](Self::writer).
    pub fn begin_reader_with(&self, options: PipeOptions) -> io::Result<Connecting<PipeReader>> {
        self.expect_ways(1)?;
        let meeting = self.begin(Side::Second)?;
        let reading = Reading::new(&self.ring, options);
        Ok(Connecting::new(meeting, options.strategy, reading))
    }

    /// Becomes one of the two sides of a named pipe that goes both ways, and waits for the other.
    ///
    /// # Errors
    /// [`AddrInUse`](io::ErrorKind::AddrInUse) while both sides are taken;
    /// [`Unsupported`](io::ErrorKind::Unsupported) if it goes one way only.
    pub fn connect(&self) -> io::Result<Duplex> {
        self.connect_until(Deadline::NEVER)
    }

    /// Like [`connect`](Self::connect), with options.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_with(&self, options: PipeOptions) -> io::Result<Duplex> {
        self.connect_until_with(Deadline::NEVER, options)
    }

    /// Like [`connect`](Self::connect), but waits at most until a deadline.
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and [`TimedOut`](io::ErrorKind::TimedOut).
    pub fn connect_until(&self, deadline: impl Into<Deadline>) -> io::Result<Duplex> {
        self.connect_until_with(deadline, PipeOptions::default())
    }

    /// Like [`connect_until`](Self::connect_until), with options.
    ///
    /// # Errors
    /// As [`connect_until`](Self::connect_until).
    pub fn connect_until_with(
        &self,
        deadline: impl Into<Deadline>,
        options: PipeOptions,
    ) -> io::Result<Duplex> {
        self.begin_connect_with(options)?.finish_until(deadline)
    }

    /// Becomes one of the two sides, and does not wait for the other: for event loops.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn begin_connect(&self) -> io::Result<Connecting<Duplex>> {
        self.begin_connect_with(PipeOptions::default())
    }

    /// Like [`begin_connect`](Self::begin_connect), with options.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn begin_connect_with(&self, options: PipeOptions) -> io::Result<Connecting<Duplex>> {
        self.expect_ways(2)?;
        let back = back(&self.location, self.ring.capacity_bytes())
            .make_or_open()
            .map_err(|error| attach_error(self.ring.explain(error.into())))?;
        let in_place = self.ring.in_place();
        in_place.map_err(|error| attach_error(self.ring.explain(error.into())))?;
        let mut meeting = match self.begin(Side::First) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => self.begin(Side::Second)?,
            meeting => meeting?,
        };
        let (out, back) = match meeting.side() {
            Side::First => (self.ring.clone(), back),
            Side::Second => (back, self.ring.clone()),
        };
        let both = Both {
            writing: Writing::new(&out, options, &mut meeting)?,
            reading: Reading::new(&back, options),
        };
        Ok(Connecting::new(meeting, options.strategy, both))
    }

    fn expect_ways(&self, ways: u64) -> io::Result<()> {
        let why = match (ways, self.both_ways()) {
            (1, true) => "this named pipe goes both ways: connect to it",
            (2, false) => "this named pipe goes one way: write to it, or read from it",
            _ => return Ok(()),
        };
        Err(io::Error::new(io::ErrorKind::Unsupported, why))
    }

    fn begin(&self, side: Side) -> io::Result<Meeting> {
        let meeting = Meeting::begin(&self.ring, side).map_err(attach_error)?;
        meeting.ok_or_else(|| {
            let end = match (side, self.both_ways()) {
                (Side::First, false) => "writes to it",
                (Side::Second, false) => "reads from it",
                _ => "and another are connected to it",
            };
            let pid = Meeting::owner(&self.ring, side).unwrap_or(0);
            let why = format!("{}: process {pid} {end} already", self.path().display());
            io::Error::new(io::ErrorKind::AddrInUse, why)
        })
    }
}

fn attach_error(error: AttachError) -> io::Error {
    match error {
        AttachError::Removed { .. } => io::Error::new(io::ErrorKind::NotFound, error),
        error => io::Error::other(error),
    }
}

fn failed(met: Met) -> io::Error {
    match met {
        Met::Trouble(Trouble::Forked) => io::Error::other(PublishError::Forked),
        Met::Trouble(Trouble::Poisoned) => {
            io::Error::other("a file of the named pipe was cut short: create it anew")
        }
        Met::Trouble(Trouble::Removed) => io::Error::new(
            io::ErrorKind::NotFound,
            "the named pipe was removed while it was open: open the one that has its name now",
        ),
        _ => io::Error::new(
            io::ErrorKind::TimedOut,
            "no process opened the other end until the deadline",
        ),
    }
}

impl Meets for PipeWriter {
    type Error = io::Error;
}

impl Meets for PipeReader {
    type Error = io::Error;
}

impl Meets for Duplex {
    type Error = io::Error;
}

/// A writer whose reader has not come yet.
struct Writing {
    ring: Attachment,
    producer: Option<Producer>,
    options: PipeOptions,
}

impl Writing {
    fn new(ring: &Attachment, options: PipeOptions, meeting: &mut Meeting) -> io::Result<Self> {
        let mut writing = Self {
            ring: ring.clone(),
            producer: None,
            options,
        };
        // What is refused for good is refused now.
        writing.attach(meeting.heir())?;
        Ok(writing)
    }

    fn attach(&mut self, heir: &mut Heir) -> io::Result<bool> {
        if self.producer.is_none() {
            let options = ProducerOptions::default().strategy(self.options.strategy);
            let attached = heir.attach(|| Producer::attach(&self.ring, options));
            self.producer = attached.map_err(attach_error)?;
        }
        Ok(self.producer.is_some())
    }

    fn writer(self, meeting: Arc<Meeting>) -> io::Result<PipeWriter> {
        let producer = self.producer.ok_or(io::ErrorKind::NotConnected)?;
        let outgoing = Some(Outgoing::new(producer, self.ring.capacity_bytes()));
        Ok(PipeWriter::new(self.ring, meeting, outgoing, self.options))
    }
}

/// A reader whose writer has not come yet.
struct Reading {
    ring: Attachment,
    consumer: Option<Consumer>,
    options: PipeOptions,
}

impl Reading {
    fn new(ring: &Attachment, options: PipeOptions) -> Self {
        Self {
            ring: ring.clone(),
            consumer: None,
            options,
        }
    }

    fn attach(&mut self, heir: &mut Heir) -> io::Result<bool> {
        // The ring has one row only.
        drop(self.consumer.take());
        let options = ConsumerOptions::default().strategy(self.options.strategy);
        let attach = || Consumer::attach(&self.ring, Start::Latest, options, None);
        self.consumer = heir.attach(attach).map_err(attach_error)?;
        Ok(self.consumer.is_some())
    }

    fn reader(self, meeting: Arc<Meeting>) -> io::Result<PipeReader> {
        let consumer = self.consumer.ok_or(io::ErrorKind::NotConnected)?;
        let incoming = Some(Incoming::new(consumer));
        Ok(PipeReader::new(self.ring, meeting, incoming, self.options))
    }
}

/// Both ends of one side.
struct Both {
    writing: Writing,
    reading: Reading,
}

impl Opening<PipeWriter> for Writing {
    fn get_ready(&mut self, heir: &mut Heir) -> io::Result<bool> {
        self.attach(heir)
    }

    fn finish(self: Box<Self>, meeting: Meeting) -> io::Result<PipeWriter> {
        self.writer(Arc::new(meeting))
    }

    fn failed(&self, met: Met) -> io::Error {
        failed(met)
    }
}

impl Opening<PipeReader> for Reading {
    fn get_ready(&mut self, heir: &mut Heir) -> io::Result<bool> {
        self.attach(heir)
    }

    fn finish(self: Box<Self>, meeting: Meeting) -> io::Result<PipeReader> {
        self.reader(Arc::new(meeting))
    }

    fn failed(&self, met: Met) -> io::Error {
        failed(met)
    }
}

impl Opening<Duplex> for Both {
    fn get_ready(&mut self, heir: &mut Heir) -> io::Result<bool> {
        Ok(self.writing.attach(heir)? && self.reading.attach(heir)?)
    }

    fn finish(self: Box<Self>, meeting: Meeting) -> io::Result<Duplex> {
        let meeting = Arc::new(meeting);
        Ok(Duplex {
            reader: self.reading.reader(meeting.clone())?,
            writer: self.writing.writer(meeting)?,
        })
    }

    fn failed(&self, met: Met) -> io::Error {
        failed(met)
    }
}
