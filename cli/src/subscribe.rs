//! `slipring sub`.

use crate::failure::{Failure, FAILED, NOT_FOUND, PRODUCER_GONE, TIMED_OUT};
use crate::render::{self, Format};
use crate::stop::{Stop, GRACE};
use crate::text::{self, count, Target};
use crate::Outcome;
use slipring::{
    endpoint::{AttachError, Epoch, Gap, ReceiveError, TryReceiveError},
    place::OpenError,
    schema::Schema,
    Consumer, Deadline, Message, Received, Ring, Start,
};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[derive(clap::Args)]
#[command(after_help = "\
By default 'sub' is a consumer: it misses nothing, and holds the producer back when it is a whole ring
behind, for example because it is stopped or its output is in a pager. To look at a ring in production use
--observe: an observer never holds the producer back. Missed messages are reported on standard error, and
with --format json as an object with the key \"lapped\". Sequences that the producer skipped are reported
likewise, with the key \"skipped\", before the message that follows them. Ends when the producer closes the ring, and with
status 7 when it died; with --follow it waits for the next producer instead.

With --cursor NAME the place in the ring is kept when this command ends. Run again with the same name, it
goes on behind the last message that was printed, or reports how many messages are gone. --from then
matters only the first time.

EXAMPLES
  slipring sub ticks
  slipring sub ticks --from oldest --count 10
  slipring sub ticks --cursor archive >> ticks.log
  slipring sub ticks --wait --follow   # whenever there is something
  slipring sub quotes --observe --format json | jq .bid")]
pub struct Arguments {
    /// Name of the ring, or a path that begins with / or ./
    #[arg(required_unless_present = "via")]
    name: Option<String>,
    /// Read the isolated ring that a broker ('slipring share') hands out at this socket
    #[arg(long, value_name = "SOCKET", conflicts_with = "name")]
    via: Option<PathBuf>,
    /// Never hold the producer back; report what is lost
    #[arg(long)]
    observe: bool,
    /// Go on after the producer has closed the ring or died, and wait for the next one
    #[arg(long, conflicts_with = "via")]
    follow: bool,
    /// Wait for the ring, if it does not exist yet
    #[arg(long, conflicts_with = "via")]
    wait: bool,
    /// Keep the place in the ring under this name
    #[arg(long, value_name = "NAME", conflicts_with = "observe")]
    cursor: Option<String>,
    /// Where to begin: 'latest' (from now on), 'oldest', or the number of a message
    #[arg(long, value_name = "START", default_value = "latest", value_parser = start)]
    from: Start,
    /// End after this many messages
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
    /// How to print; json where the ring has a schema, else text
    #[arg(long, short, value_enum)]
    format: Option<Format>,
    /// End with status 124 when no message comes for this long
    #[arg(long, value_name = "TIME", value_parser = text::duration)]
    timeout: Option<Duration>,
}

fn start(text: &str) -> Result<Start, String> {
    match text {
        "latest" => Ok(Start::Latest),
        "oldest" => Ok(Start::Oldest),
        number => number
            .parse()
            .map(Start::Sequence)
            .map_err(|_| "expected latest, oldest, or the number of a message".into()),
    }
}

/// Prints messages. All output is flushed before the reader waits for more.
struct Printer {
    schema: Option<Schema>,
    format: Format,
    pending: Vec<u8>,
    /// Whether each message must be out before it is given back.
    at_once: bool,
    received: u64,
    lost: u64,
    skipped: u64,
    /// What a consumer has counted as skipped when it was last asked.
    counted: u64,
}

impl Printer {
    fn message(&mut self, sequence: u64, bytes: &[u8]) -> io::Result<()> {
        self.received += 1;
        render::message(
            self.format,
            self.schema.as_ref(),
            sequence,
            bytes,
            &mut self.pending,
        );
        if self.at_once || self.pending.len() >= 64 << 10 {
            self.flush()?;
        }
        Ok(())
    }

    fn lapped(&mut self, lost: u64, resumed_at: u64) -> io::Result<()> {
        self.lost += lost;
        eprintln!(
            "slipring: lost {} messages, going on at {resumed_at}",
            count(lost)
        );
        if self.format == Format::Json {
            let object =
                serde_json::json!({ "lapped": { "lost": lost, "resumed_at": resumed_at } });
            writeln!(self.pending, "{object}")?;
        }
        Ok(())
    }

    fn evicted(&mut self, missed: u64, resumed_at: u64) -> io::Result<()> {
        self.lost += missed;
        eprintln!(
            "slipring: evicted by the producer; missed {} messages, going on at {resumed_at}",
            count(missed)
        );
        if self.format == Format::Json {
            let object =
                serde_json::json!({ "evicted": { "missed": missed, "resumed_at": resumed_at } });
            writeln!(self.pending, "{object}")?;
        }
        Ok(())
    }

    /// Reports sequences that do not exist: all of them, and the last gap.
    fn skipped(&mut self, skipped: u64, gap: Gap) -> io::Result<()> {
        self.skipped = self.skipped.wrapping_add(skipped);
        eprintln!(
            "slipring: {} sequences up to {} do not exist: {}",
            count(skipped),
            gap.end.wrapping_sub(1),
            gap.why
        );
        if self.format == Format::Json {
            let object = serde_json::json!({ "skipped": {
                "skipped": skipped, "resumed_at": gap.end, "why": gap.why.code()
            } });
            writeln!(self.pending, "{object}")?;
        }
        Ok(())
    }

    /// Reports what a consumer has skipped since this was last asked.
    fn passed(&mut self, skipped: u64, gap: Option<Gap>) -> io::Result<()> {
        let more = skipped.wrapping_sub(self.counted);
        match gap {
            Some(gap) if more > 0 => {
                self.counted = skipped;
                self.skipped(more, gap)
            }
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(&self.pending)?;
        self.pending.clear();
        out.flush()
    }
}

/// How long a wait is: short enough for a signal to be noticed.
const STEP: Duration = Duration::from_millis(100);

/// The outcome of one receive, with the message already printed.
enum Got {
    Something,
    Nothing,
    End,
}

/// Either kind of reader.
enum Reader {
    Consumer(Box<Consumer>, Told),
    Observer(Box<slipring::Observer>),
}

/// The losses of a consumer that were printed, and those before the last message. A loss is printed when it is found,
/// or with the message behind it.
#[derive(Default)]
struct Told {
    printed: u64,
    passed: u64,
}

impl Told {
    /// Prints a message of a consumer that was at `next`, behind what it lost and what was skipped since.
    fn message(
        &mut self,
        next: u64,
        message: &Message<'_>,
        printer: &mut Printer,
    ) -> io::Result<()> {
        self.passed += message.missed();
        let lost = self.passed.saturating_sub(self.printed);
        self.print(self.passed, message.sequence(), printer)?;
        let skipped = message.sequence().wrapping_sub(next).wrapping_sub(lost);
        if let Some(gap) = message.gap().filter(|_| skipped > 0) {
            printer.counted = printer.counted.wrapping_add(skipped);
            printer.skipped(skipped, gap)?;
        }
        printer.message(message.sequence(), message)
    }

    /// Returns `true` if there was something to print.
    fn no_message(&mut self, consumer: &Consumer, printer: &mut Printer) -> io::Result<bool> {
        let before = self.printed;
        self.print(consumer.losses().evicted, consumer.next_sequence(), printer)?;
        printer.passed(consumer.losses().skipped, consumer.last_gap())?;
        Ok(self.printed > before)
    }

    fn print(&mut self, lost: u64, resumed_at: u64, printer: &mut Printer) -> io::Result<()> {
        if lost > self.printed {
            printer.evicted(lost - self.printed, resumed_at)?;
            self.printed = lost;
        }
        Ok(())
    }
}

impl Reader {
    fn attach(ring: &Ring, arguments: &Arguments, start: Start) -> Result<Self, Failure> {
        if arguments.observe {
            return Ok(Self::Observer(Box::new(ring.observer(start)?)));
        }
        let consumer = match &arguments.cursor {
            Some(cursor) => ring.durable_consumer(cursor, start),
            None => ring.consumer(start),
        };
        match consumer {
            Ok(consumer) => Ok(Self::Consumer(Box::new(consumer), Told::default())),
            Err(AttachError::Permission { path }) => Err(Failure::permission(
                "consume from",
                &path,
                "observe it (--observe), or ask for a mode that includes writing",
            )),
            Err(error) => Err(error.into()),
        }
    }

    fn next_sequence(&self) -> u64 {
        match self {
            Self::Consumer(consumer, _) => consumer.next_sequence(),
            Self::Observer(observer) => observer.next_sequence(),
        }
    }

    fn poll(&mut self, printer: &mut Printer) -> Result<Got, Failure> {
        let next = self.next_sequence();
        let error = match self {
            Self::Consumer(consumer, told) => {
                let error = match consumer.try_receive() {
                    Ok(message) => {
                        told.message(next, &message, printer)?;
                        return Ok(Got::Something);
                    }
                    Err(error) => error,
                };
                let printed = told.no_message(consumer, printer)?;
                if printed && error == TryReceiveError::Empty {
                    return Ok(Got::Something);
                }
                error
            }
            Self::Observer(observer) => match observer.try_receive() {
                Ok(received) => return print(received, printer),
                Err(error) => error,
            },
        };
        match error {
            TryReceiveError::Empty => Ok(Got::Nothing),
            TryReceiveError::Closed => Ok(Got::End),
            error => Err(error.into()),
        }
    }

    fn wait(&mut self, printer: &mut Printer, step: Duration) -> Result<Got, Failure> {
        let deadline = Deadline::after(step);
        let next = self.next_sequence();
        let error = match self {
            Self::Consumer(consumer, told) => {
                let error = match consumer.receive_until(deadline) {
                    Ok(Some(message)) => {
                        told.message(next, &message, printer)?;
                        return Ok(Got::Something);
                    }
                    Ok(None) => None,
                    Err(error) => Some(error),
                };
                let printed = told.no_message(consumer, printer)?;
                match error {
                    None => return Ok(Got::End),
                    Some(ReceiveError::TimedOut) if printed => return Ok(Got::Something),
                    Some(error) => error,
                }
            }
            Self::Observer(observer) => match observer.receive_until(deadline) {
                Ok(received) => return print(received, printer),
                Err(error) => error,
            },
        };
        match error {
            ReceiveError::TimedOut => Ok(Got::Nothing),
            error => Err(error.into()),
        }
    }

    /// Waits for the next producer, for at most one step.
    fn await_producer(&mut self, step: Duration) -> Result<(), Failure> {
        let came = match self {
            Self::Consumer(consumer, _) => consumer.wait_for_producer(step),
            Self::Observer(observer) => observer.wait_for_producer(step),
        };
        match came {
            Ok(()) | Err(ReceiveError::TimedOut) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reports what a consumer has skipped that no message follows yet, or in the middle of which it began.
    fn passed(&self, printer: &mut Printer) -> io::Result<()> {
        match self {
            Self::Consumer(consumer, _) => {
                printer.passed(consumer.losses().skipped, consumer.last_gap())
            }
            Self::Observer(_) => Ok(()),
        }
    }

    fn new_epoch(&mut self) -> Option<Epoch> {
        match self {
            Self::Consumer(consumer, _) => consumer.new_epoch(),
            Self::Observer(observer) => observer.new_epoch(),
        }
    }
}

fn print(received: Received<'_>, printer: &mut Printer) -> Result<Got, Failure> {
    match received {
        Received::Message(message) => printer.message(message.sequence(), &message)?,
        Received::Lapped { lost, resumed_at } => printer.lapped(lost, resumed_at)?,
        Received::Skipped {
            skipped,
            resumed_at,
            why,
        } => {
            let first = resumed_at.wrapping_sub(skipped);
            printer.skipped(skipped, Gap::new(first, resumed_at, why))?;
        }
        Received::Closed => return Ok(Got::End),
        other => return Err(Failure::new(FAILED, format!("{other:?} is not known here"))),
    }
    Ok(Got::Something)
}

fn patience(arguments: &Arguments) -> Deadline {
    arguments.timeout.map_or(Deadline::NEVER, Deadline::after)
}

/// Waits for the broker's ring to have a producer.
fn connect(socket: &Path, arguments: &Arguments) -> Result<Ring, Failure> {
    let deadline = patience(arguments);
    let ring = match &arguments.cursor {
        Some(cursor) => Ring::connect_cursor(socket, cursor, deadline)?,
        None => Ring::connect(socket, deadline)?,
    };
    Ok(ring)
}

/// Opens the ring; with `--wait` once it is there.
fn open(arguments: &Arguments) -> Result<Ring, Failure> {
    let target = Target::parse(arguments.name.as_deref().unwrap_or_default());
    match target.open() {
        Err(failure) if arguments.wait && failure.is(NOT_FOUND) => {}
        opened => return opened,
    }
    eprintln!("slipring: waiting for {}", target.path().display());
    let deadline = patience(arguments);
    let opened = match &target {
        Target::Name(name) => Ring::open_until(name, deadline),
        Target::Path(path) => Ring::open_until(path, deadline),
    };
    opened.map_err(|error| match error {
        OpenError::NotFound { .. } => Failure::new(TIMED_OUT, "the ring did not appear in time"),
        error => error.into(),
    })
}

/// Reports why nothing was printed: the ring was closed before this reader attached, or with nothing more
/// in it.
fn nothing(ring: &Ring) {
    let status = match ring.status() {
        Ok(status) => status,
        Err(error) => return eprintln!("slipring: {error}"),
    };
    match status.next_sequence {
        Some(next) if status.oldest_sequence != Some(next) => eprintln!(
            "slipring: the ring was closed after message {}: --from oldest prints what is in it, --follow \
             waits for the next producer",
            next.wrapping_sub(1)
        ),
        _ => eprintln!("slipring: the ring was closed with nothing in it: --follow waits for the next producer"),
    }
}

pub fn run(arguments: &Arguments) -> Outcome {
    let mut ring = match &arguments.via {
        Some(socket) => connect(socket, arguments)?,
        None => open(arguments)?,
    };
    let stop = Stop::begin(GRACE, || {})?;
    let mut reader = Reader::attach(&ring, arguments, arguments.from)?;
    let by_schema = if ring.schema().is_some() {
        Format::Json
    } else {
        Format::Text
    };
    let mut printer = Printer {
        schema: ring.schema().cloned(),
        format: arguments.format.unwrap_or(by_schema),
        pending: Vec::new(),
        at_once: arguments.cursor.is_some(),
        received: 0,
        lost: 0,
        skipped: 0,
        counted: 0,
    };
    let mut result = follow(arguments, &mut reader, &mut printer, &stop);
    // When the producer of an isolated ring leaves it open, the next producer gets a stream of its own.
    while let (Some(_), Err(failure)) = (&arguments.via, &result) {
        if !failure.is(PRODUCER_GONE) || ring.status()?.abandoned {
            break;
        }
        let (before, next) = (ring.id(), reader.next_sequence());
        drop(reader);
        ring = ring.reconnect(patience(arguments))?;
        // A restarted broker has another ring, whose sequences start again.
        let start = if ring.id() == before {
            Start::Sequence(next)
        } else {
            eprintln!(
                "slipring: the broker was restarted: reading its new ring from the oldest message"
            );
            Start::Oldest
        };
        reader = Reader::attach(&ring, arguments, start)?;
        result = follow(arguments, &mut reader, &mut printer, &stop);
    }
    printer.flush()?;
    if result.is_ok() && printer.received == 0 && arguments.count != Some(0) {
        nothing(&ring);
    }
    if arguments.observe || matches!(result, Err(ref f) if f.is_signal()) {
        let skipped = match printer.skipped {
            0 => String::new(),
            skipped => format!(", skipped {}", count(skipped)),
        };
        eprintln!(
            "slipring: received {}, lost {}{skipped}",
            count(printer.received),
            count(printer.lost)
        );
    }
    result
}

/// Tracks the ends of producers, after which `--follow` goes on.
struct Ends {
    pass_over: bool,
    /// Set once the death of the last producer was reported.
    died: bool,
}

impl Ends {
    fn pass(&mut self, reader: &mut Reader, got: Result<Got, Failure>) -> Result<Got, Failure> {
        match got {
            Ok(Got::End) if self.pass_over => Ok(Got::Nothing),
            Err(failure) if self.pass_over && failure.is(PRODUCER_GONE) => {
                if !self.died {
                    self.died = true;
                    failure.say();
                    eprintln!("slipring: waiting for the next producer");
                }
                // Every call reports it.
                reader.await_producer(STEP)?;
                Ok(Got::Nothing)
            }
            Ok(Got::Something) => {
                self.died = false;
                Ok(Got::Something)
            }
            got => got,
        }
    }
}

fn follow(
    arguments: &Arguments,
    reader: &mut Reader,
    printer: &mut Printer,
    stop: &Stop,
) -> Outcome {
    printer.counted = 0;
    reader.passed(printer)?;
    let mut last = Instant::now();
    let mut ends = Ends {
        pass_over: arguments.follow,
        died: false,
    };
    while arguments
        .count
        .is_none_or(|wanted| printer.received < wanted)
    {
        stop.check()?;
        let mut got = {
            let got = reader.poll(printer);
            ends.pass(reader, got)?
        };
        if let Got::Nothing = got {
            printer.flush()?;
            if let Some(epoch) = reader.new_epoch().filter(|epoch| epoch.number > 1) {
                eprintln!(
                    "slipring: producer number {} took over at message {}",
                    epoch.number, epoch.first_sequence
                );
            }
            got = {
                let got = reader.wait(printer, STEP);
                ends.pass(reader, got)?
            };
        }
        match got {
            Got::Something => last = Instant::now(),
            Got::End => return Ok(()),
            Got::Nothing => {
                if arguments
                    .timeout
                    .is_some_and(|timeout| last.elapsed() >= timeout)
                {
                    return Err(Failure::new(TIMED_OUT, "no message came in time"));
                }
            }
        }
    }
    Ok(())
}
