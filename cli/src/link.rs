//! `slipring link`: direct communication from a shell.

use crate::failure::{Failure, FAILED, TIMED_OUT, USAGE};
use crate::text::{self, styled, Target, BOLD};
use crate::Outcome;
use serde_json::json;
use slipring::{link::LinkError, Deadline, Link};
use std::io::{self, BufRead, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

#[derive(clap::Args)]
#[command(after_help = "\
Sends each line of standard input to the other side, and prints each message that the other side sends.
Ends when the input has ended on both sides, or when the other side has gone and all its messages are
printed; with --one-way after the last line. The end of the input is announced to the other side by a
message that no line can be: the bytes 4 and 10.

EXAMPLES
  slipring link alice bob      # in one terminal
  slipring link bob alice      # in another: now they talk
  slipring link stat alice bob # who is there")]
pub struct Arguments {
    /// The name of this side, or 'stat'
    me: String,
    /// The name of the other side
    peer: String,
    /// With 'stat': the name of the third argument
    other: Option<String>,
    /// Give up with status 124 if the other side does not connect for this long
    #[arg(long, value_name = "TIME", value_parser = text::duration)]
    timeout: Option<Duration>,
    /// Leave after the last line, without waiting for the other side
    #[arg(long)]
    one_way: bool,
    /// With 'stat': print a JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Outcome {
    match (&*arguments.me, &arguments.other) {
        ("stat", Some(other)) => {
            let name = name(&arguments.peer, other);
            show(&name, arguments.json)
        }
        (_, Some(_)) => Err(Failure::new(USAGE, "two names are enough")),
        _ => connect(arguments),
    }
}

/// Tells the other side that no more lines follow: end of transmission and end of line, which no line
/// contains.
const END_OF_INPUT: &[u8] = b"\x04\n";

/// Which of the two inputs have ended.
#[derive(Default)]
struct Ends {
    mine: AtomicBool,
    theirs: AtomicBool,
}

impl Ends {
    /// Ends the process once both inputs have ended, because the other thread waits for input that will not
    /// come. What was sent can still be received.
    fn check(&self) {
        if self.mine.load(Ordering::SeqCst) && self.theirs.load(Ordering::SeqCst) {
            std::process::exit(0);
        }
    }
}

/// The name of the link between two names.
fn name(one: &str, other: &str) -> String {
    let (low, high) = if one < other {
        (one, other)
    } else {
        (other, one)
    };
    format!("{low}..{high}")
}

fn connect(arguments: &Arguments) -> Outcome {
    let deadline = arguments.timeout.map_or(Deadline::NEVER, Deadline::after);
    let mut link = Link::builder(&arguments.me, &arguments.peer).connect_until(deadline)?;
    let (mut sender, mut receiver) = link.split();
    if arguments.one_way {
        return send_lines(|line| sender.send(line));
    }
    let ends = &Ends::default();
    std::thread::scope(|scope| {
        let receiving = scope.spawn(move || -> Outcome {
            let mut out = io::stdout().lock();
            loop {
                let result = receiver.receive().map(|message| message.to_vec());
                match result {
                    Ok(message) if message == END_OF_INPUT => {
                        ends.theirs.store(true, Ordering::SeqCst);
                        ends.check();
                    }
                    Ok(message) => {
                        out.write_all(&message)?;
                        out.write_all(b"\n")?;
                        out.flush()?;
                    }
                    Err(LinkError::PeerGone) => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
        });
        // Not waited for: it may be reading from a terminal when the other side has left.
        let (done, finished) = std::sync::mpsc::channel();
        let sending = scope.spawn(move || {
            let mut sent = send_lines(|line| sender.send(line));
            if sent.is_ok() {
                sent = match sender.send(END_OF_INPUT) {
                    Ok(_) | Err(LinkError::PeerGone) => Ok(()),
                    Err(error) => Err(error.into()),
                };
                ends.mine.store(true, Ordering::SeqCst);
                ends.check();
            }
            let _ = done.send(sent);
        });
        let received = receiving.join().unwrap_or(Ok(()));
        match finished.try_recv() {
            Ok(sent) => {
                let _ = sending.join();
                sent.and(received)
            }
            // The thread goes on reading lines, but they are not sent.
            Err(_) => match received {
                Ok(()) => std::process::exit(0),
                Err(failure) => {
                    let _ = failure.report();
                    std::process::exit(i32::from(FAILED))
                }
            },
        }
    })
}

fn send_lines(mut send: impl FnMut(&[u8]) -> Result<u64, LinkError>) -> Outcome {
    for (number, line) in io::stdin().lock().split(b'\n').enumerate() {
        match send(&line?) {
            Ok(_) => {}
            // What the other side sent is still to be printed.
            Err(LinkError::PeerGone) => return Ok(()),
            Err(error) => {
                return Err(Failure::new(
                    FAILED,
                    format!("line {}: {error}", number + 1),
                ))
            }
        }
    }
    Ok(())
}

/// What `slipring stat` prints of a link.
pub fn show(name: &str, as_json: bool) -> Outcome {
    let path = Target::parse(name).path();
    let sides = slipring::link::link_status(&path)?.sides;
    let shown = path.file_name().map(|name| name.to_string_lossy());
    let shown = shown.unwrap_or_default();
    let (low, high) = shown.split_once("..").unwrap_or((&shown, "?"));
    let mut out = io::stdout().lock();
    if as_json {
        let object = json!({
            "name": name,
            "kind": "link",
            "path": path.display().to_string(),
            "sides": [low, high],
            "pids": sides,
        });
        return Ok(writeln!(out, "{object}")?);
    }
    writeln!(
        out,
        "{} {}",
        styled(BOLD, &format!("{:<14}", "link")),
        path.display()
    )?;
    for (side, pid) in [low, high].iter().zip(sides) {
        let who = pid.map_or("not there".into(), |pid| format!("process {pid}"));
        writeln!(out, "{} {who}", styled(BOLD, &format!("{side:<14}")))?;
    }
    Ok(())
}

impl From<LinkError> for Failure {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::TimedOut => Self::new(TIMED_OUT, "the other side did not connect in time"),
            LinkError::Name { .. } => Self::new(USAGE, error),
            LinkError::Create(error) => error.into(),
            LinkError::Attach(error) => error.into(),
            LinkError::Removed => Self::new(crate::failure::REMOVED, error),
            LinkError::Remove(error) => error.into(),
            LinkError::Corrupt(_) | LinkError::Poisoned => {
                Self::new(crate::failure::INCOMPATIBLE, error)
            }
            error => Self::new(FAILED, error),
        }
    }
}
