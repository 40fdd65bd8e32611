//! Processes of the command, and of this program itself, that end with the test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

pub use crate::port::free_port;

/// Only ends a hang.
pub const LONG: Duration = Duration::from_secs(60);

/// A process that is killed when it is dropped.
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts it, and waits until it says that it has begun.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let mut said = String::new();
        while !line.starts_with("serving ") && !line.starts_with("mirroring ") {
            // Before, it may say that it has no link yet.
            said.push_str(&std::mem::take(&mut line));
            assert!(lines.read_line(&mut line).unwrap() > 0, "it ended: {said}");
        }
        // What else it says is shown, and never fills the pipe.
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                eprintln!("{line}");
            }
        });
        Self { child }
    }

    /// Starts it, and does not wait for anything.
    pub fn spawn(command: &mut Command) -> Self {
        let child = command.spawn().unwrap();
        Self { child }
    }

    /// Starts it. Returns also what it prints.
    pub fn piped(command: &mut Command) -> (Self, ChildStdout) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = child.stdout.take().unwrap();
        (Self { child }, output)
    }

    /// Starts it. Returns also all that it says on standard error, once it has ended.
    pub fn said(command: &mut Command) -> (Self, JoinHandle<String>) {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let errors = child.stderr.take().unwrap();
        let said = std::thread::spawn(move || std::io::read_to_string(errors).unwrap());
        (Self { child }, said)
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Panics if it has ended.
    pub fn still_runs(&mut self, what: &str) {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "{what} has ended: {ended:?}");
    }

    /// Waits until it ends. Returns its exit code.
    pub fn ended(&mut self) -> Option<i32> {
        let end = std::time::Instant::now() + LONG;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(std::time::Instant::now() < end, "it goes on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command of the bridge.
pub fn bridge(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipring-bridge"));
    command.args(arguments);
    command
}

/// Asks the source at this address for its state, however long it takes to answer.
pub fn status(address: &str, more: &[&str]) -> Command {
    let mut command = bridge(&["status", "quotes", "--timeout", "60", "--connect", address]);
    command.args(more);
    command
}

/// Runs one test of this program as a process of its own.
pub fn itself(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]);
    command.stdout(Stdio::null());
    command
}

/// A source ring, two mirrors of it, and the port at which it is served.
pub struct Hosts {
    pub directory: tempfile::TempDir,
    pub source: PathBuf,
    pub copies: [PathBuf; 2],
    pub port: u16,
}

pub fn hosts() -> Hosts {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    Hosts {
        source: at("quotes"),
        copies: [at("copy-0"), at("copy-1")],
        port: free_port(),
        directory,
    }
}

pub fn serving(ring: &Path, port: u16, more: &[&str]) -> Command {
    let address = format!("tcp/127.0.0.1:{port}");
    let mut command = bridge(&["serve", ring.to_str().unwrap()]);
    command.args(["--listen", &address]).args(more);
    command
}

pub fn mirroring(ring: &Path, port: u16, more: &[&str]) -> Command {
    let address = format!("tcp/127.0.0.1:{port}");
    let mut command = bridge(&["mirror", ring.to_str().unwrap()]);
    command.args(["--name", "quotes", "--connect", &address]);
    command.args(more);
    command
}

impl Hosts {
    pub fn serve(&self, more: &[&str]) -> Running {
        Running::start(&mut serving(&self.source, self.port, more))
    }

    pub fn mirror_by(&self, n: usize, port: u16, more: &[&str]) -> Running {
        Running::start(&mut mirroring(&self.copies[n], port, more))
    }

    pub fn mirror(&self, n: usize, more: &[&str]) -> Running {
        self.mirror_by(n, self.port, more)
    }
}
