//! `slipring pipe`: a command in a child process, with a pipe to it and one back.

use crate::child::{self, Ended, Running, REST};
use crate::fifo::{print_all, write_all};
use crate::Outcome;
use slipring::pipe::{PipeReader, PipeWriter};
use std::io::{self, BufRead, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;

/// The names under which the child inherits its ends.
const INPUT: &str = "input";
const OUTPUT: &str = "output";

#[derive(clap::Args)]
#[command(after_help = "\
Standard input goes through one pipe to a child of this process, which runs the command and feeds it. The
command's output comes back through another pipe. The pipes have no name: the child inherits them. INT,
TERM and HUP are passed on to the command, and this process ends after it.

EXAMPLES
  seq 1000000 | slipring pipe -- wc -l")]
pub struct Arguments {
    /// Be that child
    #[arg(long, hide = true)]
    child: bool,
    /// The command and its arguments
    #[arg(required = true, last = true)]
    command: Vec<String>,
}

pub fn run(arguments: &Arguments) -> Outcome {
    if arguments.child {
        be_the_child(&arguments.command)
    } else {
        be_the_parent(&arguments.command)
    }
}

fn be_the_parent(command: &[String]) -> Outcome {
    let (their_input, to_them) = slipring::pipe()?;
    let (mut from_them, their_output) = slipring::pipe()?;
    let mut child = Command::new(std::env::current_exe()?);
    child.args(["pipe", "--child", "--"]).args(command);
    // It has its input from the pipe.
    child.stdin(Stdio::null());
    their_input
        .hand_to(&mut child, INPUT)
        .map_err(io::Error::from)?;
    their_output
        .hand_to(&mut child, OUTPUT)
        .map_err(io::Error::from)?;
    let running = Running::start(&mut child)?;
    // Dropping it closes this process's copies of the ends.
    drop(child);
    let (done, sent) = mpsc::channel();
    // Not joined: the thread may be waiting for input that is no longer needed.
    std::thread::spawn(move || {
        let _ = done.send(write_all(to_them));
    });
    let (done, printed) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = done.send(print_all(&mut from_them));
    });
    let ended = running.wait()?;
    let printed = rest(&ended, &printed);
    ended.outcome()?;
    printed?;
    match sent.try_recv() {
        // A command need not read all its input.
        Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// How the last output ended. After a signal the wait is short, because the output may go to a pipe without
/// a reader.
fn rest(ended: &Ended, done: &mpsc::Receiver<io::Result<()>>) -> io::Result<()> {
    match ended.signal {
        Some(_) => done.recv_timeout(REST).unwrap_or(Ok(())),
        None => done.recv().unwrap_or(Ok(())),
    }
}

fn be_the_child(words: &[String]) -> Outcome {
    let mut input = PipeReader::inherited(INPUT)?;
    let mut output = PipeWriter::inherited(OUTPUT)?;
    let mut command = child::command(words)?;
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = Running::start(&mut command)?;
    if let Some(mut feed) = running.child.stdin.take() {
        std::thread::spawn(move || -> io::Result<()> {
            loop {
                let there = input.fill_buf()?;
                if there.is_empty() {
                    return Ok(());
                }
                feed.write_all(there)?;
                let len = there.len();
                input.consume(len);
            }
        });
    }
    let (done, written) = mpsc::channel();
    if let Some(mut result) = running.child.stdout.take() {
        std::thread::spawn(move || {
            let mut copy = || -> io::Result<()> {
                let mut buffer = vec![0; 1 << 16];
                loop {
                    let n = result.read(&mut buffer)?;
                    if n == 0 {
                        return Ok(());
                    }
                    output.write_all(&buffer[..n])?;
                }
            };
            let copied = copy();
            // The output has ended, and no other thread knows it yet.
            drop(output);
            let _ = done.send(copied);
        });
    }
    let ended = running.wait()?;
    let written = rest(&ended, &written);
    ended.outcome()?;
    Ok(written?)
}
