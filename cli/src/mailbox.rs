//! `slipring mailbox`: letters and requests from a shell.

use crate::child;
use crate::failure::{Failure, FAILED, PRODUCER_GONE, TIMED_OUT, USAGE};
use crate::text::{self, styled, Target, BOLD};
use crate::Outcome;
use serde_json::json;
use slipring::{
    mailbox::{Letter, MailboxBuilder, MailboxReceiver, ReplyError, RequestError},
    queue::TakeError,
    Deadline, Mailbox,
};
use std::io::{self, BufRead, Write};
use std::time::Duration;

#[derive(clap::Args)]
#[command(after_help = "\
EXAMPLES
  slipring mailbox create office
  slipring mailbox send office --from alice 'the roof leaks'
  slipring mailbox receive office -n 1               # alice: the roof leaks
  slipring mailbox serve office -- tr a-z A-Z        # in another terminal
  slipring mailbox request office 'how are you?'     # HOW ARE YOU?")]
pub struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(clap::Subcommand)]
enum Verb {
    /// Create a mailbox and print its path
    Create(Create),
    /// Send each argument, or each line of standard input, as a letter that expects no reply
    Send(Send),
    /// Ask, and print the reply
    Request(Request),
    /// Print letters, one a line, each with its sender; requests are declined
    Receive(Receive),
    /// Reply to each letter with what a command prints; the command gets the letter on standard input
    Serve(Serve),
    /// Show the settings, the attached processes, and what is in it
    Stat(Stat),
}

#[derive(clap::Args)]
struct Create {
    /// Name of the mailbox, or a path that begins with / or ./
    name: String,
    /// How many unreceived letters each client can have
    #[arg(long, value_name = "N", default_value_t = 256)]
    depth: u32,
    /// The largest letter and the largest reply
    #[arg(long, value_name = "BYTES", default_value = "1KiB", value_parser = text::bytes)]
    message_size: u64,
    /// How many clients there can be at once
    #[arg(long, value_name = "N", default_value_t = 64)]
    clients: u32,
    /// How many receivers there can be at once
    #[arg(long, value_name = "N", default_value_t = 64)]
    receivers: u32,
    /// No requests, only letters
    #[arg(long)]
    one_way: bool,
    /// Succeed if the mailbox exists already; settings that differ are reported
    #[arg(long)]
    if_missing: bool,
}

#[derive(clap::Args)]
struct Send {
    /// Name of the mailbox, or a path that begins with / or ./
    name: String,
    /// What to send; lines of standard input if there is nothing here
    letters: Vec<String>,
    /// The name to send under; only one client at a time can use it [default: cli-PID]
    #[arg(long, value_name = "NAME")]
    from: Option<String>,
    /// Give up with status 124 when there is no room for this long
    #[arg(long, value_name = "TIME", value_parser = text::duration)]
    timeout: Option<Duration>,
}

#[derive(clap::Args)]
struct Request {
    /// Name of the mailbox, or a path that begins with / or ./
    name: String,
    /// What to ask
    letter: String,
    /// The name to ask under; only one client at a time can use it [default: cli-PID]
    #[arg(long, value_name = "NAME")]
    from: Option<String>,
    /// Give up with status 124 when no reply comes for this long
    #[arg(long, value_name = "TIME", value_parser = text::duration)]
    timeout: Option<Duration>,
}

#[derive(clap::Args)]
struct Receive {
    /// Name of the mailbox, or a path that begins with / or ./
    name: String,
    /// End after this many letters
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
    /// End with status 124 when no letter comes for this long
    #[arg(long, value_name = "TIME", value_parser = text::duration)]
    timeout: Option<Duration>,
    /// Print a JSON object for each letter
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Serve {
    /// Name of the mailbox, or a path that begins with / or ./
    name: String,
    /// End after this many letters
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
    /// End with status 124 when no letter comes for this long
    #[arg(long, value_name = "TIME", value_parser = text::duration)]
    timeout: Option<Duration>,
    /// The command and its arguments; SLIPRING_SENDER holds the name of the sender
    #[arg(required = true, last = true)]
    command: Vec<String>,
}

#[derive(clap::Args)]
struct Stat {
    /// Name of the mailbox, or a path that begins with / or ./
    name: String,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Outcome {
    match &arguments.verb {
        Verb::Create(arguments) => create(arguments),
        Verb::Send(arguments) => send(arguments),
        Verb::Request(arguments) => request(arguments),
        Verb::Receive(arguments) => receive(arguments),
        Verb::Serve(arguments) => serve(arguments),
        Verb::Stat(arguments) => show(&arguments.name, arguments.json),
    }
}

fn builder(target: &Target) -> MailboxBuilder {
    match target {
        Target::Name(name) => Mailbox::builder(name),
        Target::Path(path) => Mailbox::builder(path),
    }
}

fn open(name: &str) -> Result<Mailbox, Failure> {
    let mailbox = match Target::parse(name) {
        Target::Name(name) => Mailbox::open(&name),
        Target::Path(path) => Mailbox::open(path),
    };
    mailbox.map_err(|error| Failure::opening(error, "mailbox", "mailbox"))
}

fn deadline(timeout: Option<Duration>) -> Deadline {
    timeout.map_or(Deadline::NEVER, Deadline::after)
}

fn name_of_client(from: Option<&str>) -> String {
    from.map_or_else(|| format!("cli-{}", std::process::id()), str::to_owned)
}

fn create(arguments: &Create) -> Outcome {
    let bytes = u32::try_from(arguments.message_size)
        .map_err(|_| Failure::new(USAGE, "--message-size is too large"))?;
    let mut builder = builder(&Target::parse(&arguments.name))
        .depth(arguments.depth)
        .max_message_bytes(bytes)
        .max_clients(arguments.clients)
        .max_receivers(arguments.receivers);
    if arguments.one_way {
        builder = builder.one_way();
    }
    let mailbox = if arguments.if_missing {
        builder.create_or_open()?
    } else {
        builder.create()?
    };
    text::say_differences(mailbox.path(), mailbox.differences());
    println!("{}", mailbox.path().display());
    Ok(())
}

fn send(arguments: &Send) -> Outcome {
    let name = name_of_client(arguments.from.as_deref());
    let mut client = open(&arguments.name)?.client(&name)?;
    let mut send =
        |letter: &[u8]| -> Outcome { Ok(client.send_until(letter, deadline(arguments.timeout))?) };
    for letter in &arguments.letters {
        send(letter.as_bytes())?;
    }
    if !arguments.letters.is_empty() {
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

fn request(arguments: &Request) -> Outcome {
    let name = name_of_client(arguments.from.as_deref());
    let mut client = open(&arguments.name)?.client(&name)?;
    let asked = client.request_until(arguments.letter.as_bytes(), deadline(arguments.timeout));
    let reply = asked.map_err(|error| match error {
        RequestError::TimedOut => Failure::new(TIMED_OUT, "no reply came in time"),
        RequestError::PeerGone => Failure::new(PRODUCER_GONE, error),
        RequestError::Send(error) => error.into(),
        RequestError::Take(error) => error.into(),
        error => Failure::new(FAILED, error),
    })?;
    let mut out = io::stdout().lock();
    out.write_all(&reply)?;
    if reply.last() != Some(&b'\n') {
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// The next letter, or a failure with status 124 if none comes in time.
fn next(receiver: &mut MailboxReceiver, timeout: Option<Duration>) -> Result<Letter<'_>, Failure> {
    match receiver.receive_until(deadline(timeout)) {
        Err(TakeError::TimedOut) => Err(Failure::new(TIMED_OUT, "no letter came in time")),
        result => Ok(result?),
    }
}

fn receive(arguments: &Receive) -> Outcome {
    let mut receiver = open(&arguments.name)?.receiver()?;
    let mut out = io::stdout().lock();
    for _ in 0..arguments.count.unwrap_or(u64::MAX) {
        let letter = next(&mut receiver, arguments.timeout)?;
        if arguments.json {
            let object = json!({
                "sender": letter.sender(),
                "letter": String::from_utf8_lossy(&letter),
                "wants_reply": letter.wants_reply(),
                "redelivered": letter.redelivered(),
            });
            writeln!(out, "{object}")?;
        } else {
            write!(out, "{}: ", letter.sender())?;
            out.write_all(&letter)?;
            out.write_all(b"\n")?;
        }
        // The letter is finished once it is printed. If this process is killed before that, another
        // receiver gets it.
        out.flush()?;
        letter.ack();
    }
    Ok(())
}

fn serve(arguments: &Serve) -> Outcome {
    let mut receiver = open(&arguments.name)?.receiver()?;
    for _ in 0..arguments.count.unwrap_or(u64::MAX) {
        let letter = next(&mut receiver, arguments.timeout)?;
        let mut command = child::command(&arguments.command)?;
        command.env("SLIPRING_SENDER", letter.sender());
        let (ended, answer) = child::filter(&mut command, letter.to_vec())?;
        match ended.signal {
            // The letter was not answered. It is returned, and another receiver gets it.
            Some(signal) if !ended.status.success() => return Err(Failure::signal(signal)),
            _ => {}
        }
        if ended.status.success() && letter.wants_reply() {
            match letter.reply(&answer) {
                Ok(_) => {}
                Err(ReplyError::Open(error)) => return Err(error.into()),
                Err(ReplyError::Send(error)) => return Err(error.into()),
                Err(error) => return Err(Failure::new(FAILED, error)),
            }
        } else {
            letter.ack();
        }
        if let Some(signal) = ended.signal {
            return Err(Failure::signal(signal));
        }
    }
    Ok(())
}

/// What `slipring stat` prints of a mailbox.
pub fn show(name: &str, as_json: bool) -> Outcome {
    let mailbox = open(name)?;
    let status = mailbox.status()?;
    let letters = &status.letters;
    let mut out = io::stdout().lock();
    if as_json {
        let object = json!({
            "name": name,
            "kind": "mailbox",
            "path": mailbox.path().display().to_string(),
            "depth": letters.depth,
            "max_message_bytes": status.max_message_bytes,
            "one_way": status.one_way,
            "waiting": letters.waiting,
            "held": letters.held,
            "clients": status.clients,
            "receivers": letters.receivers,
            "late_replies": status.late,
        });
        writeln!(out, "{object}")?;
        return Ok(());
    }
    let mut line = |label: &str, value: String| {
        writeln!(out, "{} {value}", styled(BOLD, &format!("{label:<14}")))
    };
    line("mailbox", mailbox.path().display().to_string())?;
    let replies = if status.one_way {
        "letters only"
    } else {
        "letters and replies"
    };
    let largest = text::size(u64::from(status.max_message_bytes));
    line(
        "carries",
        format!(
            "{replies} of up to {largest}, {} for each client",
            letters.depth
        ),
    )?;
    line(
        "letters",
        format!(
            "{} wait, {} are being worked on",
            letters.waiting, letters.held
        ),
    )?;
    line("late replies", status.late.to_string())?;
    line(
        "clients",
        match status.clients.len() {
            0 => "none".into(),
            _ => status.clients.join(", "),
        },
    )?;
    line("receivers", letters.receivers.to_string())?;
    Ok(())
}
