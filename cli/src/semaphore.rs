//! `slipring sem`: semaphores from a shell.

use crate::child::{self, Running};
use crate::failure::Failure;
use crate::text::{self, styled, Target, BOLD};
use crate::Outcome;
use serde_json::json;
use slipring::{Deadline, Semaphore};
use std::io::Write;
use std::time::Duration;

#[derive(clap::Args)]
#[command(after_help = "\
'run' holds permits until the command has ended: INT, TERM and HUP are passed on to it, and 'run' ends
after it. If 'run' itself is killed, the permits come back at once and the kernel kills the command with
it, but not the command's own children, nor a program that changes its user.

EXAMPLES
  slipring sem create gpu --permits 2
  slipring sem run gpu -- ./train.sh          # at most two at a time
  slipring sem run lock --create -- make      # one at a time")]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Create a semaphore and print its path
    Create(Create),
    /// Run a command while holding permits; ends with its status
    Run(Run),
    /// Add a permit
    Add(Add),
    /// Show how many permits are free, and how many are held
    Stat(Stat),
}

#[derive(clap::Args)]
struct Create {
    /// Name of the semaphore, or a path that begins with / or ./
    name: String,
    /// How many permits there are
    #[arg(long, value_name = "N", default_value_t = 1)]
    permits: u32,
    /// How many permits there can ever be [default: as many as at the beginning]
    #[arg(long, value_name = "N")]
    max: Option<u32>,
    /// How many processes can have it open at once
    #[arg(long, value_name = "N", default_value_t = 32)]
    handles: u32,
    /// Permission bits in octal
    #[arg(long, value_name = "BITS", default_value = "0600", value_parser = text::mode)]
    mode: u32,
    /// Succeed if the semaphore exists already; settings that differ are reported
    #[arg(long)]
    if_missing: bool,
}

#[derive(clap::Args)]
struct Run {
    /// Name of the semaphore, or a path that begins with / or ./
    name: String,
    /// How many permits to hold
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1)]
    permits: u32,
    /// Give up with status 124 if the permits do not become free for this long
    #[arg(long, value_name = "TIME", value_parser = text::duration)]
    timeout: Option<Duration>,
    /// Create the semaphore, with one permit, if it does not exist
    #[arg(long)]
    create: bool,
    /// The command and its arguments
    #[arg(required = true, last = true)]
    command: Vec<String>,
}

#[derive(clap::Args)]
struct Add {
    /// Name of the semaphore, or a path that begins with / or ./
    name: String,
}

#[derive(clap::Args)]
struct Stat {
    /// Name of the semaphore, or a path that begins with / or ./
    name: String,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Outcome {
    match &arguments.verb {
        Verb::Create(arguments) => create(arguments),
        Verb::Run(arguments) => hold(arguments),
        Verb::Add(arguments) => Ok(open(&arguments.name)?.add()?),
        Verb::Stat(arguments) => show(&arguments.name, arguments.json),
    }
}

fn builder(name: &str) -> slipring::semaphore::SemaphoreBuilder {
    match Target::parse(name) {
        Target::Name(name) => Semaphore::builder(&name),
        Target::Path(path) => Semaphore::builder(path),
    }
}

fn open(name: &str) -> Result<Semaphore, Failure> {
    let semaphore = match Target::parse(name) {
        Target::Name(name) => Semaphore::open(&name),
        Target::Path(path) => Semaphore::open(path),
    };
    semaphore.map_err(|error| Failure::opening(error, "semaphore", "sem"))
}

fn create(arguments: &Create) -> Outcome {
    let mut builder = builder(&arguments.name)
        .permits(arguments.permits)
        .max_handles(arguments.handles)
        .mode(arguments.mode);
    if let Some(max) = arguments.max {
        builder = builder.max_permits(max);
    }
    let semaphore = if arguments.if_missing {
        builder.create_or_open()?
    } else {
        builder.create()?
    };
    text::say_differences(semaphore.path(), semaphore.differences());
    println!("{}", semaphore.path().display());
    Ok(())
}

fn hold(arguments: &Run) -> Outcome {
    let semaphore = if arguments.create {
        builder(&arguments.name).create_or_open()?
    } else {
        open(&arguments.name)?
    };
    let deadline = arguments.timeout.map_or(Deadline::NEVER, Deadline::after);
    let permits = semaphore.acquire_many_until(arguments.permits, deadline)?;
    let ended = Running::start(&mut child::command(&arguments.command)?)?.wait()?;
    drop(permits);
    ended.outcome()
}

/// What `slipring stat` prints of a semaphore.
pub fn show(name: &str, as_json: bool) -> Outcome {
    let semaphore = open(name)?;
    let status = semaphore.status()?;
    // Not counting this one.
    let handles = status.handles.saturating_sub(1);
    let mut out = std::io::stdout().lock();
    if as_json {
        let object = json!({
            "name": name,
            "kind": "semaphore",
            "path": semaphore.path().display().to_string(),
            "free": status.free,
            "held": status.held,
            "retired": status.retired,
            "max": status.max,
            "handles": handles,
        });
        writeln!(out, "{object}")?;
        return Ok(());
    }
    let mut line = |label: &str, value: String| {
        writeln!(out, "{} {value}", styled(BOLD, &format!("{label:<14}")))
    };
    line("semaphore", semaphore.path().display().to_string())?;
    line(
        "permits",
        format!(
            "{} free, {} held, {} not in use",
            status.free, status.held, status.retired
        ),
    )?;
    line("handles", handles.to_string())?;
    Ok(())
}
