//! Commands that run for this process, which holds something for them until they have ended: a permit,
//! a lock, a letter.
//!
//! A signal that would end this process is passed on to the command, and this process ends after the
//! command. A signal from a key at the terminal has reached the command already. If this process is killed,
//! the kernel kills the command, but not the command's own children, nor a program that changes its user.

#![allow(unsafe_code)]

use crate::failure::{Failure, FAILED, USAGE};
use crate::stop::{self, Taken};
use crate::Outcome;
use rustix::process::{
    getpid, getppid, kill_process, set_parent_process_death_signal, Pid, Signal,
};
use std::io::{self, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long output that a command left behind may take after a signal.
pub const REST: Duration = Duration::from_millis(200);

/// The command of a verb that ends in `-- COMMAND ARGUMENTS`.
pub fn command(words: &[String]) -> Result<Command, Failure> {
    let (program, rest) = words
        .split_first()
        .ok_or_else(|| Failure::new(USAGE, "a command is needed"))?;
    let mut command = Command::new(program);
    command.args(rest);
    Ok(command)
}

/// Asks the kernel to kill the child when this process dies, and restores the child's signal dispositions.
/// The thread that starts the child must live as long as this process.
pub fn tie(command: &mut Command) {
    let parent = getpid();
    // SAFETY: between fork and exec the closure makes system calls that are safe to make there, and takes
    // no memory: an error from the kernel is a number.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // The parent may have died before that call.
            if getppid() != Some(parent) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            stop::as_inherited()
        });
    }
}

/// A running command, with the signals that would end this process.
pub struct Running {
    pub child: Child,
    taken: Taken,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    /// The last signal that came for this process meanwhile.
    pub signal: Option<i32>,
}

impl Running {
    /// Starts it.
    pub fn start(command: &mut Command) -> Result<Self, Failure> {
        let taken = Taken::take(true)?;
        tie(command);
        let child = command.spawn().map_err(|error| {
            let program = command.get_program().to_string_lossy();
            Failure::new(FAILED, format!("{program}: {error}"))
        })?;
        Ok(Self { child, taken })
    }

    /// Waits until the command ends, however many signals ask this process to end.
    pub fn wait(mut self) -> Result<Ended, Failure> {
        let mut signal = None;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Ended { status, signal });
            }
            let Some(came) = self.taken.next(None) else {
                continue;
            };
            if came.number == libc::SIGCHLD {
                continue;
            }
            signal = Some(came.number);
            if !came.by_key {
                self.pass_on(came.number);
            }
        }
    }

    /// It has not been waited for, so its process id is still its own.
    fn pass_on(&self, signal: i32) {
        let pid = Pid::from_raw(self.child.id() as i32);
        if let (Some(pid), Some(signal)) = (pid, Signal::from_named_raw(signal)) {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Ended {
    /// How this process has to end: with the command's status, as a shell reports it, or by the signal that
    /// both were sent.
    pub fn outcome(&self) -> Outcome {
        match (self.status.code(), self.status.signal()) {
            (Some(0), _) => Ok(()),
            (Some(code), _) => Err(Failure::silent(u8::try_from(code).unwrap_or(FAILED))),
            (None, signal) if signal == self.signal => {
                Err(Failure::signal(signal.unwrap_or(libc::SIGTERM)))
            }
            (None, signal) => Err(Failure::silent(
                u8::try_from(128 + signal.unwrap_or(0)).unwrap_or(FAILED),
            )),
        }
    }
}

/// Runs a command with `input` on its standard input. Returns how it ended and what it printed.
pub fn filter(command: &mut Command, input: Vec<u8>) -> Result<(Ended, Vec<u8>), Failure> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = Running::start(command)?;
    if let Some(mut feed) = running.child.stdin.take() {
        // A command need not read its input.
        std::thread::spawn(move || feed.write_all(&input));
    }
    let (done, printed) = mpsc::channel();
    if let Some(mut output) = running.child.stdout.take() {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = done.send(output.read_to_end(&mut bytes).map(|_| bytes));
        });
    }
    let ended = running.wait()?;
    // Children of the command may keep its output open: they do not keep this process from ending.
    let bytes = match ended.signal {
        Some(_) => printed
            .recv_timeout(REST)
            .unwrap_or_else(|_| Ok(Vec::new())),
        None => printed.recv().unwrap_or_else(|_| Ok(Vec::new())),
    };
    Ok((ended, bytes?))
}
