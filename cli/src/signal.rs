//! `slipring signal`: signals from a shell.

use crate::failure::{Failure, FAILED, INCOMPATIBLE, NOT_FOUND, TIMED_OUT, USAGE};
use crate::text::{self, styled, Target, BOLD};
use crate::Outcome;
use serde_json::json;
use slipring::{
    signals::{SignalError, SignalSet, SignalsBuilder},
    Deadline, Signals,
};
use std::io::Write;
use std::time::Duration;

#[derive(clap::Args)]
#[command(after_help = "\
Signals are numbers from 0 to 63. A signal that was sent several times before it is noticed is
printed once, with the count.

EXAMPLES
  slipring signal create control
  slipring signal listen control --as engine      # prints what it notices
  slipring signal send control 1 --to engine
  slipring signal send control 9 --to-all")]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Create a signals object and print its path
    Create(Create),
    /// Print each signal when it is received: number and count
    Listen(Listen),
    /// Send a signal to one listener or to all
    Send(Send),
    /// Show the listeners
    Stat(Stat),
}

#[derive(clap::Args)]
struct Create {
    /// Name of the signals object, or a path that begins with / or ./
    name: String,
    /// How many listeners there can be at once
    #[arg(long, value_name = "N", default_value_t = 32)]
    listeners: u32,
    /// Permission bits in octal
    #[arg(long, value_name = "BITS", default_value = "0600", value_parser = text::mode)]
    mode: u32,
    /// Succeed if it exists already; settings that differ are reported
    #[arg(long)]
    if_missing: bool,
}

#[derive(clap::Args)]
struct Listen {
    /// Name of the signals object, or a path that begins with / or ./
    name: String,
    /// Name to listen under
    #[arg(long = "as", value_name = "LISTENER")]
    listener: String,
    /// Only these signals
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    only: Vec<u32>,
    /// End after this many lines
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
    /// End with status 124 when none comes for this long
    #[arg(long, value_name = "TIME", value_parser = text::duration)]
    timeout: Option<Duration>,
}

#[derive(clap::Args)]
struct Send {
    /// Name of the signals object, or a path that begins with / or ./
    name: String,
    /// The signal, from 0 to 63
    signal: u32,
    /// Name of the listener
    #[arg(long, value_name = "LISTENER", required_unless_present = "to_all")]
    to: Option<String>,
    /// Send to all present listeners
    #[arg(long, conflicts_with = "to")]
    to_all: bool,
}

#[derive(clap::Args)]
struct Stat {
    /// Name of the signals object, or a path that begins with / or ./
    name: String,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Outcome {
    match &arguments.verb {
        Verb::Create(arguments) => create(arguments),
        Verb::Listen(arguments) => listen(arguments),
        Verb::Send(arguments) => send(arguments),
        Verb::Stat(arguments) => show(&arguments.name, arguments.json),
    }
}

fn builder(name: &str) -> SignalsBuilder {
    match Target::parse(name) {
        Target::Name(name) => Signals::builder(&name),
        Target::Path(path) => Signals::builder(path),
    }
}

fn open(name: &str) -> Result<Signals, Failure> {
    let signals = match Target::parse(name) {
        Target::Name(name) => Signals::open(&name),
        Target::Path(path) => Signals::open(path),
    };
    signals.map_err(|error| Failure::opening(error, "signals object", "signal"))
}

fn create(arguments: &Create) -> Outcome {
    let builder = builder(&arguments.name)
        .max_listeners(arguments.listeners)
        .mode(arguments.mode);
    let signals = if arguments.if_missing {
        builder.create_or_open()?
    } else {
        builder.create()?
    };
    text::say_differences(signals.path(), signals.differences());
    println!("{}", signals.path().display());
    Ok(())
}

fn listen(arguments: &Listen) -> Outcome {
    let signals = open(&arguments.name)?;
    let mut listener = signals.listener(&arguments.listener)?;
    let only = arguments.only.iter().copied();
    let set = if arguments.only.is_empty() {
        SignalSet::ALL
    } else {
        only.map(SignalSet::of)
            .fold(SignalSet::NONE, SignalSet::union)
    };
    let mut out = std::io::stdout().lock();
    for _ in 0..arguments.count.unwrap_or(u64::MAX) {
        let deadline = arguments.timeout.map_or(Deadline::NEVER, Deadline::after);
        let noticed = listener.wait_until(set, deadline)?;
        writeln!(out, "{} {}", noticed.signal, noticed.count)?;
        out.flush()?;
    }
    Ok(())
}

fn send(arguments: &Send) -> Outcome {
    let signals = open(&arguments.name)?;
    match &arguments.to {
        Some(listener) => signals.target(listener)?.send(arguments.signal)?,
        None => signals.broadcast(arguments.signal)?,
    }
    Ok(())
}

/// What `slipring stat` prints of a signals object.
pub fn show(name: &str, as_json: bool) -> Outcome {
    let signals = open(name)?;
    let listeners = signals.status()?.listeners;
    let mut out = std::io::stdout().lock();
    if as_json {
        let object = json!({
            "name": name,
            "kind": "signals",
            "path": signals.path().display().to_string(),
            "listeners": listeners,
        });
        return Ok(writeln!(out, "{object}")?);
    }
    let mut line = |label: &str, value: String| {
        writeln!(out, "{} {value}", styled(BOLD, &format!("{label:<14}")))
    };
    line("signals", signals.path().display().to_string())?;
    line("listeners", listeners.join(" "))?;
    Ok(())
}

impl From<SignalError> for Failure {
    fn from(error: SignalError) -> Self {
        let code = match error {
            SignalError::TimedOut => return Self::new(TIMED_OUT, "no signal came in time"),
            SignalError::Name(_) | SignalError::Number { .. } => USAGE,
            SignalError::NoListener { .. } => NOT_FOUND,
            SignalError::Poisoned => INCOMPATIBLE,
            SignalError::Removed => crate::failure::REMOVED,
            _ => FAILED,
        };
        Self::new(code, error)
    }
}
