//! `slipring fifo`: named pipes from a shell.

use crate::failure::{Failure, FAILED, TIMED_OUT, USAGE};
use crate::text::{self, styled, Target, BOLD};
use crate::Outcome;
use serde_json::json;
use slipring::{
    fifo::FifoBuilder,
    pipe::{Duplex, PipeReader, PipeWriter},
    Deadline, Fifo,
};
use std::io::{self, BufRead, Read, Write};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

#[derive(clap::Args)]
#[command(after_help = "\
Each end waits for the other one. When one end has gone, the other one reads the rest and ends too.
'connect' ends when the input has ended on both sides, or the other side has gone.

EXAMPLES
  slipring fifo create backup
  slipring fifo write backup < disk.img     # in one terminal
  slipring fifo read backup | gzip > out.gz # in another
  slipring fifo create chat --both-ways
  slipring fifo connect chat                # in two terminals")]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Create a named pipe and print its path
    Create(Create),
    /// Write what comes in on standard input
    Write(End),
    /// Print what is written at the other end
    Read(End),
    /// Write and read, with a pipe that goes both ways
    Connect(End),
}

#[derive(clap::Args)]
struct Create {
    /// Name of the pipe, or a path that begins with / or ./
    name: String,
    /// How many bytes can be under way, in each direction
    #[arg(long, value_name = "BYTES", default_value = "1MiB", value_parser = text::bytes)]
    capacity: u64,
    /// Make one that goes both ways, for its owner only
    #[arg(long)]
    both_ways: bool,
    /// Who may read, in octal: reading and writing means reading; with --both-ways, 0600 only
    #[arg(long, value_name = "BITS", default_value = "0600", value_parser = text::mode)]
    mode: u32,
    /// Succeed if it exists already; settings that differ are reported
    #[arg(long)]
    if_missing: bool,
}

#[derive(clap::Args)]
struct End {
    /// Name of the pipe, or a path that begins with / or ./
    name: String,
    /// Give up with status 124 if no process opens the other end for this long
    #[arg(long, value_name = "TIME", value_parser = text::duration)]
    timeout: Option<Duration>,
}

pub fn run(arguments: &Arguments) -> Outcome {
    match &arguments.verb {
        Verb::Create(arguments) => create(arguments),
        Verb::Write(end) => {
            let writer = opened(open(&end.name)?.writer_until(end.deadline()))?;
            Ok(write_all(writer)?)
        }
        Verb::Read(end) => {
            let mut reader = opened(open(&end.name)?.reader_until(end.deadline()))?;
            Ok(print_all(&mut reader)?)
        }
        Verb::Connect(end) => {
            let fifo = open(&end.name)?;
            let duplex = opened(fifo.connect_until(end.deadline()))?;
            converse(&fifo, duplex)
        }
    }
}

impl End {
    fn deadline(&self) -> Deadline {
        self.timeout.map_or(Deadline::NEVER, Deadline::after)
    }
}

/// An end of the pipe, or why there is none. A timeout has a status of its own.
fn opened<T>(end: io::Result<T>) -> Result<T, Failure> {
    end.map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => {
            Failure::new(TIMED_OUT, "no process opened the other end in time")
        }
        io::ErrorKind::Unsupported => Failure::new(USAGE, error),
        _ => Failure::new(FAILED, error),
    })
}

fn builder(name: &str) -> FifoBuilder {
    match Target::parse(name) {
        Target::Name(name) => Fifo::builder(&name),
        Target::Path(path) => Fifo::builder(path),
    }
}

fn open(name: &str) -> Result<Fifo, Failure> {
    let fifo = match Target::parse(name) {
        Target::Name(name) => Fifo::open(&name),
        Target::Path(path) => Fifo::open(path),
    };
    fifo.map_err(|error| Failure::opening(error, "named pipe", "fifo"))
}

fn create(arguments: &Create) -> Outcome {
    let builder = builder(&arguments.name)
        .capacity_bytes(arguments.capacity)
        .both_ways(arguments.both_ways)
        .mode(arguments.mode);
    let fifo = if arguments.if_missing {
        builder.create_or_open()?
    } else {
        builder.create()?
    };
    text::say_differences(fifo.path(), fifo.differences());
    println!("{}", fifo.path().display());
    Ok(())
}

/// Writes standard input to a pipe until it ends.
pub fn write_all(mut writer: PipeWriter) -> io::Result<()> {
    copy_input(&mut writer)
}

fn copy_input(to: &mut impl Write) -> io::Result<()> {
    let (mut input, mut buffer) = (io::stdin().lock(), vec![0; 1 << 16]);
    loop {
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => to.write_all(&buffer[..n])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Prints what it reads from a pipe until the pipe ends, piece by piece as it arrives.
pub fn print_all(reader: &mut PipeReader) -> io::Result<()> {
    let mut out = io::stdout().lock();
    loop {
        let there = reader.fill_buf()?;
        if there.is_empty() {
            return Ok(());
        }
        out.write_all(there)?;
        out.flush()?;
        let len = there.len();
        reader.consume(len);
    }
}

/// Sends standard input and prints what comes, until both inputs have ended or the other side is gone.
fn converse(fifo: &Fifo, duplex: Duplex) -> Outcome {
    let (mut reader, writer) = duplex.into_halves();
    let (done, sent) = std::sync::mpsc::channel();
    // Not joined: the thread may be waiting for a terminal when the other side has gone.
    std::thread::spawn(move || {
        // The writer goes with it: the other side reads the end of this input.
        let _ = done.send(write_all(writer));
    });
    print_all(&mut reader)?;
    loop {
        match sent.recv_timeout(Duration::from_millis(100)) {
            Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
            Err(RecvTimeoutError::Timeout) if fifo.status()?.ends.iter().all(Option::is_some) => {}
            _ => return Ok(()),
        }
    }
}

/// What `slipring stat` prints of a named pipe.
pub fn show(name: &str, as_json: bool) -> Outcome {
    let fifo = open(name)?;
    let [first, second] = fifo.status()?.ends;
    let mut out = io::stdout().lock();
    if as_json {
        let object = json!({
            "name": name,
            "kind": "pipe",
            "path": fifo.path().display().to_string(),
            "capacity": fifo.capacity_bytes(),
            "both_ways": fifo.both_ways(),
            "pids": [first, second],
        });
        return Ok(writeln!(out, "{object}")?);
    }
    let ends = if fifo.both_ways() {
        ["one side", "other side"]
    } else {
        ["writer", "reader"]
    };
    let mut line = |label: &str, value: String| {
        writeln!(out, "{} {value}", styled(BOLD, &format!("{label:<14}")))
    };
    line("pipe", fifo.path().display().to_string())?;
    line("capacity", text::size(fifo.capacity_bytes()))?;
    for (end, pid) in ends.into_iter().zip([first, second]) {
        line(
            end,
            pid.map_or("none".into(), |pid| format!("process {pid}")),
        )?;
    }
    Ok(())
}
