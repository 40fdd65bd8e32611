//! `slipring sub`.

mod printer;
mod reader;

use crate::failure::{Failure, NOT_FOUND, PRODUCER_GONE, TIMED_OUT};
use crate::render::Format;
use crate::stop::{Stop, GRACE};
use crate::text::{self, count, Target};
use crate::Outcome;
use printer::Printer;
use reader::{Got, Reader};
use slipring::{place::OpenError, Deadline, Ring, Start};
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

/// How long a wait is: short enough for a signal to be noticed.
const STEP: Duration = Duration::from_millis(100);

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
    let cursor = arguments.cursor.as_deref();
    let mut reader = Reader::attach(&ring, arguments.observe, cursor, arguments.from)?;
    let by_schema = if ring.schema().is_some() {
        Format::Json
    } else {
        Format::Text
    };
    let mut printer = Printer::new(
        ring.schema().cloned(),
        arguments.format.unwrap_or(by_schema),
        arguments.cursor.is_some(),
    );
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
        reader = Reader::attach(&ring, arguments.observe, cursor, start)?;
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
