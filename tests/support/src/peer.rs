//! Processes of a test: copies of its program in a role.

use crate::runner::command;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

/// A process of this test; killed when dropped.
pub struct Peer {
    pub child: Child,
    pub output: BufReader<std::process::ChildStdout>,
}

impl Peer {
    pub fn start(role: &str, arguments: &[&str]) -> Self {
        Self::start_with(role, arguments, |_| ())
    }

    /// As [`start`](Self::start), of a command that is changed first.
    pub fn start_with(role: &str, arguments: &[&str], change: impl FnOnce(&mut Command)) -> Self {
        let mut command = command(role);
        change(&mut command);
        let mut child = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut peer = Self { child, output };
        assert_eq!(peer.line(), "ready");
        peer
    }

    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Says a line and returns the answer.
    pub fn tell(&mut self, line: &str) -> String {
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
        self.line()
    }

    /// Waits until the process sleeps in the kernel.
    pub fn asleep(&self) {
        let stat = format!("/proc/{}/stat", self.child.id());
        loop {
            let text = std::fs::read_to_string(&stat).unwrap();
            let state = text.rsplit(") ").next().unwrap();
            if state.starts_with('S') {
                return;
            }
            assert!(!state.starts_with(['Z', 'X']), "it ended by itself");
            std::thread::yield_now();
        }
    }

    pub fn signal(&self, signal: i32) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        let signal = rustix::process::Signal::from_named_raw(signal).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Stops the process, and waits until every thread of it has stopped.
    pub fn stop(&self) {
        self.signal(libc::SIGSTOP);
        let tasks = format!("/proc/{}/task", self.child.id());
        let stopped = |task: std::io::Result<std::fs::DirEntry>| {
            let stat = std::fs::read_to_string(task.unwrap().path().join("stat"));
            let stat = stat.unwrap_or_default();
            let state = stat.rsplit(") ").next().unwrap_or_default();
            assert!(!state.starts_with('Z'), "it ended by itself");
            state.is_empty() || state.starts_with('T')
        };
        while !std::fs::read_dir(&tasks).unwrap().all(stopped) {
            std::thread::yield_now();
        }
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn finish(mut self) -> String {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success());
        rest.trim().to_owned()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends this process when the one that started it is gone, for a role that hears nothing else.
pub fn end_with_parent() {
    std::thread::spawn(|| {
        let mut rest = Vec::new();
        let _ = std::io::stdin().read_to_end(&mut rest);
        std::process::exit(0);
    });
}

pub fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().unwrap();
}
