//! `slipring queue`: message queues from a shell.

use crate::failure::{Failure, FAILED, TIMED_OUT};
use crate::text::{self, styled, Target, BOLD};
use crate::Outcome;
use serde_json::json;
use slipring::{
    queue::{QueueBuilder, TakeError},
    Deadline, Queue,
};
use std::io::{self, BufRead, Write};
use std::time::Duration;

#[derive(clap::Args)]
#[command(after_help = "\
EXAMPLES
  slipring queue create jobs --depth 256
  slipring queue send jobs 'sweep the yard' 'feed the cat'
  slipring queue send jobs --priority 7 'put out the fire'
  slipring queue receive jobs            # in as many terminals as you like
  slipring queue receive jobs -n 1 --timeout 5s")]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Create a queue and print its path
    Create(Create),
    /// Send each argument, or each line of standard input
    Send(Send),
    /// Print messages, one a line; each goes to one receiver
    Receive(Receive),
    /// Show the settings, and what is in it
    Stat(Stat),
}

#[derive(clap::Args)]
struct Create {
    /// Name of the queue, or a path that begins with / or ./
    name: String,
    /// How many unreceived messages each sender can have, per priority
    #[arg(long, value_name = "N", default_value_t = 1024)]
    depth: u32,
    /// The largest message
    #[arg(long, value_name = "BYTES", default_value = "1KiB", value_parser = text::bytes)]
    message_size: u64,
    /// Bound the bytes of messages of each sender and priority, a power of two [default: all that the depth needs]
    #[arg(long, value_name = "BYTES", value_parser = text::bytes)]
    lane_bytes: Option<u64>,
    /// How many receivers there can be at once
    #[arg(long, value_name = "N", default_value_t = 64)]
    receivers: u32,
    /// Give a message that is not acknowledged for this long to another receiver [default: never]
    #[arg(long, value_name = "TIME", value_parser = text::some_time)]
    lease: Option<Duration>,
    /// Permission bits in octal: write permission lets a class of users receive
    #[arg(long, value_name = "BITS", default_value = "0600", value_parser = text::mode)]
    mode: u32,
    /// Succeed if the queue exists already; settings that differ are reported
    #[arg(long)]
    if_missing: bool,
}

#[derive(clap::Args)]
struct Send {
    /// Name of the queue, or a path that begins with / or ./
    name: String,
    /// What to send; lines of standard input if there is nothing here
    messages: Vec<String>,
    /// From 0 to 7, the highest
    #[arg(long, short, value_name = "N", default_value_t = 0)]
    priority: u8,
    /// Give up with status 124 when the queue is full for this long
    #[arg(long, value_name = "TIME", value_parser = text::duration)]
    timeout: Option<Duration>,
}

#[derive(clap::Args)]
struct Receive {
    /// Name of the queue, or a path that begins with / or ./
    name: String,
    /// End after this many messages
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
    /// End with status 124 when no message comes for this long
    #[arg(long, value_name = "TIME", value_parser = text::duration)]
    timeout: Option<Duration>,
    /// Print a JSON object for each message, with its priority and whether it was redelivered
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Stat {
    /// Name of the queue, or a path that begins with / or ./
    name: String,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Outcome {
    match &arguments.verb {
        Verb::Create(arguments) => create(arguments),
        Verb::Send(arguments) => send(arguments),
        Verb::Receive(arguments) => receive(arguments),
        Verb::Stat(arguments) => show(&arguments.name, arguments.json),
    }
}

fn builder(target: &Target) -> QueueBuilder {
    match target {
        Target::Name(name) => Queue::builder(name),
        Target::Path(path) => Queue::builder(path),
    }
}

fn open(name: &str) -> Result<Queue, Failure> {
    let queue = match Target::parse(name) {
        Target::Name(name) => Queue::open(&name),
        Target::Path(path) => Queue::open(path),
    };
    queue.map_err(|error| Failure::opening(error, "queue", "queue"))
}

fn create(arguments: &Create) -> Outcome {
    let bytes = u32::try_from(arguments.message_size)
        .map_err(|_| Failure::new(crate::failure::USAGE, "--message-size is too large"))?;
    let builder = builder(&Target::parse(&arguments.name))
        .depth(arguments.depth)
        .max_message_bytes(bytes)
        .max_receivers(arguments.receivers)
        .lease(arguments.lease.unwrap_or_default())
        .mode(arguments.mode);
    let builder = match arguments.lane_bytes {
        Some(bytes) => builder.lane_bytes(bytes),
        None => builder,
    };
    let queue = if arguments.if_missing {
        builder.create_or_open()?
    } else {
        builder.create()?
    };
    text::say_differences(queue.path(), queue.differences());
    // Of one that may have been there, the memory is no news; stat says it.
    if !arguments.if_missing {
        let lane = text::size(queue.lane_bytes());
        eprintln!("slipring: each sender takes {lane} for each priority it uses");
    }
    println!("{}", queue.path().display());
    Ok(())
}

fn send(arguments: &Send) -> Outcome {
    let mut sender = open(&arguments.name)?.sender()?;
    let mut send = |message: &[u8]| -> Outcome {
        let deadline = arguments.timeout.map_or(Deadline::NEVER, Deadline::after);
        sender.send_until(message, arguments.priority, deadline)?;
        Ok(())
    };
    for message in &arguments.messages {
        send(message.as_bytes())?;
    }
    if !arguments.messages.is_empty() {
        return Ok(());
    }
    for (number, line) in io::stdin().lock().split(b'\n').enumerate() {
        let line = line?;
        send(&line).map_err(|failure| match failure.is(FAILED) {
            true => Failure::new(FAILED, format!("line {}: {}", number + 1, failure.text())),
            false => failure,
        })?;
    }
    Ok(())
}

fn receive(arguments: &Receive) -> Outcome {
    let mut receiver = open(&arguments.name)?.receiver()?;
    let mut out = io::stdout().lock();
    let mut left = arguments.count.unwrap_or(u64::MAX);
    while left > 0 {
        left -= 1;
        let deadline = arguments.timeout.map_or(Deadline::NEVER, Deadline::after);
        let delivery = match receiver.receive_until(deadline) {
            Ok(delivery) => delivery,
            Err(TakeError::TimedOut) => {
                return Err(Failure::new(TIMED_OUT, "no message came in time"))
            }
            Err(error) => return Err(error.into()),
        };
        if arguments.json {
            let object = json!({
                "message": String::from_utf8_lossy(&delivery),
                "priority": delivery.priority(),
                "lane": delivery.lane(),
                "number": delivery.sequence(),
                "redelivered": delivery.redelivered(),
            });
            writeln!(out, "{object}")?;
        } else {
            out.write_all(&delivery)?;
            out.write_all(b"\n")?;
        }
        // The message is finished once it is printed. If this process is killed before that, another
        // receiver gets it.
        out.flush()?;
        // One that came too late goes to another receiver as well.
        if let Err(error) = delivery.ack() {
            eprintln!("slipring: {error}");
        }
    }
    Ok(())
}

/// What `slipring stat` prints of a queue.
pub fn show(name: &str, as_json: bool) -> Outcome {
    let queue = open(name)?;
    let status = queue.status()?;
    let receivers = queue.receivers()?;
    let mut out = io::stdout().lock();
    if as_json {
        let object = json!({
            "name": name,
            "kind": "queue",
            "path": queue.path().display().to_string(),
            "depth": status.depth,
            "max_message_bytes": status.max_message_bytes,
            "waiting": status.waiting,
            "held": status.held,
            "senders": status.senders,
            "lanes": status.lanes,
            "receivers": status.receivers,
            "lane_bytes": status.lane_bytes,
            "lane_capacity": status.lane_capacity,
            "lease_ms": status.lease.map(|lease| lease.as_millis() as u64),
            "held_by": receivers.iter().map(|r| json!({
                "row": r.row, "pid": r.pid, "held": r.held, "alive": r.alive,
                "oldest": r.oldest.map(|of| json!({ "lane": of.lane, "number": of.sequence })),
            })).collect::<Vec<_>>(),
        });
        writeln!(out, "{object}")?;
        return Ok(());
    }
    let mut line = |label: &str, value: String| {
        writeln!(out, "{} {value}", styled(BOLD, &format!("{label:<14}")))
    };
    line("queue", queue.path().display().to_string())?;
    line(
        "depth",
        format!(
            "{} messages of up to {}, for each sender and priority",
            status.depth,
            text::size(u64::from(status.max_message_bytes))
        ),
    )?;
    line(
        "messages",
        format!(
            "{} wait, {} are being worked on",
            status.waiting, status.held
        ),
    )?;
    line(
        "senders",
        format!(
            "{} in {} lanes of {} each, {} of it for messages",
            status.senders,
            status.lanes,
            text::size(status.lane_bytes),
            text::size(status.lane_capacity)
        ),
    )?;
    if let Some(lease) = status.lease {
        let shown = text::nanos(lease.as_nanos() as f64);
        line("lease", format!("{shown} for each message that is taken"))?;
    }
    line("receivers", status.receivers.to_string())?;
    for receiver in receivers {
        let oldest = match receiver.oldest {
            Some(of) => format!(", the oldest is {} of lane {}", of.sequence, of.lane),
            None => String::new(),
        };
        let dead = if receiver.alive { "" } else { ", dead" };
        line(
            &format!("  row {}", receiver.row),
            format!(
                "process {} holds {}{oldest}{dead}",
                receiver.pid, receiver.held
            ),
        )?;
    }
    Ok(())
}
