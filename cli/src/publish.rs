//! `slipring pub`.

use crate::failure::{Failure, FAILED};
use crate::stop::{Stop, GRACE};
use crate::text::{self, Target};
use crate::Outcome;
use slipring::{
    endpoint::{AttachError, PublishError, ReadersError, Why},
    schema::Schema,
    Deadline, Producer, Ring,
};
use std::io::{self, BufRead, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(clap::Args)]
#[command(after_help = "\
Waits while the slowest consumer is a whole ring behind. At the end of the input, or after a signal, the
ring is closed, so readers end too; with --keep-open they wait for the next producer. If it fails,
because the input is no message or by --timeout, readers are told that the producer died (status 7).

EXAMPLES
  seq 1000 | slipring pub ticks
  tail -f app.log | slipring pub log --create
  slipring pub jobs --wait-readers 2 < jobs.txt
  slipring pub samples --record-size 64 < samples.bin
  slipring pub mirror --skip-to 5000 < rest.log   # 5000 is the first; those before it are reported as lost")]
pub struct Arguments {
    /// Name of the ring, or a path that begins with / or ./
    #[arg(required_unless_present = "via")]
    name: Option<String>,
    /// Write the isolated ring that a broker ('slipring share') hands out at this socket
    #[arg(long, value_name = "SOCKET", conflicts_with_all = ["name", "create"])]
    via: Option<PathBuf>,
    /// Each message has this many bytes
    #[arg(long, value_name = "BYTES", conflicts_with_all = ["length_prefixed", "json"], value_parser = text::bytes)]
    record_size: Option<u64>,
    /// Each message follows its length, four bytes, little-endian
    #[arg(long, conflicts_with = "json")]
    length_prefixed: bool,
    /// Each line is a JSON object with the fields of the ring's schema
    #[arg(long)]
    json: bool,
    /// Leave the ring open at the end of the input
    #[arg(long)]
    keep_open: bool,
    /// Create the ring if it does not exist
    #[arg(long)]
    create: bool,
    /// Begin with this sequence: say to readers that those before it do not exist
    #[arg(long, value_name = "N")]
    skip_to: Option<u64>,
    /// Why they do not exist, for --skip-to: 'lost' by the source, 'not-recorded', 'restored', or a number
    #[arg(long, value_name = "REASON", default_value = "lost", value_parser = why)]
    why: Why,
    /// Publish nothing until at least this many readers are there
    #[arg(long, value_name = "COUNT")]
    wait_readers: Option<u32>,
    /// Give up when a consumer holds a message back, or readers are waited for, for this long
    #[arg(long, value_name = "TIME", value_parser = text::duration)]
    timeout: Option<Duration>,
}

fn why(text: &str) -> Result<Why, String> {
    match text {
        "lost" => Ok(Why::Lost),
        "not-recorded" => Ok(Why::NotRecorded),
        "restored" => Ok(Why::Restored),
        number => number
            .parse()
            .map(Why::from_code)
            .map_err(|_| "expected lost, not-recorded, restored, or a number".into()),
    }
}

/// How long a broker may take to answer.
const BROKER_ANSWERS: Duration = Duration::from_secs(5);

pub fn run(arguments: &Arguments) -> Outcome {
    let target = Target::parse(arguments.name.as_deref().unwrap_or_default());
    let ring = if let Some(socket) = &arguments.via {
        Ring::connect_producer(socket, BROKER_ANSWERS)?
    } else if arguments.create {
        target.builder().create_or_open()?
    } else {
        target.open()?
    };
    let stop = Stop::begin(GRACE, || {})?;
    let mut producer = ring.producer().map_err(|error| match error {
        AttachError::Permission { path } => {
            Failure::permission("publish in", &path, "only its owner publishes")
        }
        error => error.into(),
    })?;
    let result = wait_for_readers(arguments, &mut producer, &stop)
        .and_then(|()| feed(arguments, &ring, &mut producer, &stop));
    let failed = matches!(&result, Err(failure) if !failure.is_signal());
    match (arguments.keep_open, failed) {
        (true, _) => producer.detach(),
        (false, false) => producer.close(),
        // The ring is neither closed nor left in order. Messages are missing, and readers are told that the
        // producer died.
        (false, true) => std::mem::forget(producer),
    }
    result
}

/// Waits in steps that are short enough for a signal to be noticed.
fn wait_for_readers(arguments: &Arguments, producer: &mut Producer, stop: &Stop) -> Outcome {
    let Some(readers) = arguments.wait_readers else {
        return Ok(());
    };
    let give_up = arguments.timeout.map(|timeout| Instant::now() + timeout);
    loop {
        let step = Duration::from_millis(100);
        let left = give_up.map_or(step, |at| {
            at.saturating_duration_since(Instant::now()).min(step)
        });
        let waited = producer.wait_for_readers(readers, left);
        stop.check()?;
        match waited {
            Ok(_) => return Ok(()),
            Err(ReadersError::TimedOut { .. }) if give_up.is_none_or(|at| Instant::now() < at) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Standard input that ends when a signal comes.
struct Input<'s> {
    stop: &'s Stop,
}

impl Read for Input<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        use rustix::event::{poll, PollFd, PollFlags};
        let stdin = rustix::stdio::stdin();
        loop {
            let mut both = [
                PollFd::new(&stdin, PollFlags::IN),
                PollFd::from_borrowed_fd(self.stop.wake(), PollFlags::IN),
            ];
            match poll(&mut both, None) {
                _ if self.stop.came() => return Err(io::Error::other("a signal came")),
                Ok(_) => return Ok(rustix::io::read(stdin, out)?),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn feed(arguments: &Arguments, ring: &Ring, producer: &mut Producer, stop: &Stop) -> Outcome {
    let mut input = io::BufReader::with_capacity(64 << 10, Input { stop });
    if let Some(sequence) = arguments.skip_to {
        in_steps(arguments, stop, |deadline| {
            producer.skip_to_until(sequence, arguments.why, deadline)
        })?;
    }
    let mut message = Vec::new();
    let mut number = 0u64;
    loop {
        message.clear();
        let there = read(arguments, ring, &mut input, &mut message);
        // Once per message: what was read ahead is not published any more.
        stop.check()?;
        match there {
            Ok(true) => number += 1,
            Ok(false) => return Ok(()),
            Err(error) => {
                return Err(Failure::new(
                    FAILED,
                    format!("message {}: {error}", number + 1),
                ))
            }
        }
        if arguments.json {
            message = json(ring, &message)
                .map_err(|error| Failure::new(FAILED, format!("message {number}: {error}")))?;
        }
        let published = in_steps(arguments, stop, |deadline| {
            producer.publish_until(&message, deadline)
        });
        published.map_err(|error| match error {
            PublishError::TooLarge { .. } => {
                Failure::new(FAILED, format!("message {number}: {error}"))
            }
            PublishError::WrongSize { .. } => Failure::new(
                FAILED,
                format!("message {number}: {error} (--json publishes fields by name)"),
            ),
            error => error.into(),
        })?;
    }
}

fn json(ring: &Ring, line: &[u8]) -> Result<Vec<u8>, String> {
    let schema = ring
        .schema()
        .ok_or("the ring has no schema: create it with --schema to publish JSON")?;
    let text = std::str::from_utf8(line).map_err(|error| error.to_string())?;
    slipring_fields::encode(schema, text)
}

/// Publishes in steps that are short enough for a signal to be noticed. Publishes nothing once a signal
/// came.
fn in_steps(
    arguments: &Arguments,
    stop: &Stop,
    mut publish: impl FnMut(Deadline) -> Result<u64, PublishError>,
) -> Result<(), PublishError> {
    let give_up = arguments.timeout.map(|timeout| Instant::now() + timeout);
    loop {
        let step = Duration::from_millis(100);
        let left = give_up.map_or(step, |at| {
            at.saturating_duration_since(Instant::now()).min(step)
        });
        match publish(Deadline::after(left)) {
            Ok(_) => return Ok(()),
            // The caller asks before the next one.
            Err(PublishError::TimedOut { .. }) if stop.came() => return Ok(()),
            Err(PublishError::TimedOut { .. }) if give_up.is_none_or(|at| Instant::now() < at) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads one message. Returns `false` at the end of the input.
fn read(
    arguments: &Arguments,
    ring: &Ring,
    input: &mut impl BufRead,
    message: &mut Vec<u8>,
) -> io::Result<bool> {
    let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
    let largest = u64::from(ring.max_message_bytes());
    if let Some(size) = arguments.record_size {
        if size == 0 || size > largest {
            return Err(invalid(format!(
                "--record-size must be from 1 to {largest}"
            )));
        }
        let fixed = ring.schema().map(Schema::bytes);
        if let Some(expected) = fixed.filter(|expected| u64::from(*expected) != size) {
            return Err(invalid(format!(
                "--record-size must be {expected}, the size of the ring's schema"
            )));
        }
        return exactly(input, size, message);
    }
    if arguments.length_prefixed {
        let mut prefix = Vec::new();
        if !exactly(input, 4, &mut prefix)? {
            return Ok(false);
        }
        let len = prefix
            .iter()
            .rev()
            .fold(0, |n, byte| n << 8 | u64::from(*byte));
        if len > largest {
            return Err(invalid(format!(
                "its prefix says {len} bytes, more than {largest}: create the ring larger"
            )));
        }
        if len > 0 && !exactly(input, len, message)? {
            return Err(invalid("the input ends behind its prefix".into()));
        }
        return Ok(true);
    }
    // A little more than can be published, so that a line that is too long is known as such
    // without being read to its end.
    let taken = input.take(largest + 2).read_until(b'\n', message)?;
    if message.last() == Some(&b'\n') {
        message.pop();
    }
    if message.len() as u64 > largest {
        return Err(invalid(format!(
            "the line is longer than the {largest} bytes a message may have: create the ring larger"
        )));
    }
    Ok(taken > 0)
}

/// Reads `len` bytes. Returns `false` if the input ends before the first.
fn exactly(input: &mut impl BufRead, len: u64, out: &mut Vec<u8>) -> io::Result<bool> {
    let got = input.take(len).read_to_end(out)? as u64;
    if got == 0 || got == len {
        return Ok(got == len);
    }
    let text = format!("the input ends after {got} of its {len} bytes");
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, text))
}
