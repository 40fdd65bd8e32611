//! `slipring pipe`: a command in a child process, with a pipe to it and one back.

use crate::failure::{Failure, FAILED, USAGE};
use crate::fifo::{print_all, write_all};
use crate::Outcome;
use slipring::{PipeReader, PipeWriter};
use std::io::{self, BufRead, Read, Write};
use std::process::{Command, Stdio};

/// The names under which the child inherits its ends.
const INPUT: &str = "input";
const OUTPUT: &str = "output";

#[derive(clap::Args)]
#[command(after_help = "\
Standard input goes through one pipe to a child of this process, which runs the command and feeds it; what
the command prints comes back through another. The pipes have no name: the child inherits them.

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
    their_input.hand_to(&mut child, INPUT)?;
    their_output.hand_to(&mut child, OUTPUT)?;
    let mut running = child.spawn()?;
    // With it go this process's copies of the ends.
    drop(child);
    let (done, sent) = std::sync::mpsc::channel();
    // Not joined: it may wait for input that nobody needs any more.
    std::thread::spawn(move || {
        let _ = done.send(write_all(to_them));
    });
    let printed = print_all(&mut from_them);
    drop(from_them);
    let status = running.wait()?;
    Failure::of_command(status)?;
    printed?;
    match sent.try_recv() {
        // A command need not read everything.
        Ok(Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn be_the_child(command: &[String]) -> Outcome {
    let mut input = PipeReader::inherited(INPUT)?;
    let mut output = PipeWriter::inherited(OUTPUT)?;
    let (program, rest) = command
        .split_first()
        .ok_or_else(|| Failure::new(USAGE, "a command is needed"))?;
    let failed = |error: io::Error| Failure::new(FAILED, format!("{program}: {error}"));
    let mut running = Command::new(program)
        .args(rest)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut feed) = running.stdin.take() {
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
    if let Some(mut result) = running.stdout.take() {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let n = result.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            output.write_all(&buffer[..n])?;
        }
    }
    drop(output);
    Failure::of_command(running.wait().map_err(failed)?)
}
