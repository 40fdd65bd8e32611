//! What tests with several processes share: starting a copy of the test in a role, payloads that show
//! when they are torn, directories that go away, and runners of tests and of properties.
//!
//! Such a test has a `main` of its own, which is the runner or, with a role in the environment, a peer. To
//! `cargo test` and to other runners it is a test like others.
#![allow(dead_code, reason = "each test uses a part of it")]

use proptest::test_runner::{Config, TestRunner};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

pub const ROLE: &str = "SLIPRING_TEST_ROLE";
/// Long enough for anything on a loaded machine, short enough to end a hang.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The role of this process, if it is a peer.
pub fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// The functions that are named, each as a test of its own name, for [`run`].
macro_rules! tests {
    ($($test:ident),* $(,)?) => {
        vec![$((stringify!($test), $test as fn())),*]
    };
}
pub(crate) use tests;

/// Runs the tests that the arguments ask for, as the standard harness takes them (`--list`, `--exact`,
/// `--skip`, a filter). One after the other and in this thread, unless `--test-threads` says otherwise: they
/// fork, and each fills both cores.
pub fn run(tests: Vec<(&'static str, fn())>) -> ExitCode {
    let mut arguments = libtest_mimic::Arguments::from_args();
    arguments.test_threads.get_or_insert(1);
    let tests = tests.into_iter().map(|(name, test)| {
        libtest_mimic::Trial::test(name, move || {
            let started = std::time::Instant::now();
            test();
            println!("  {name}: {:.1} s", started.elapsed().as_secs_f64());
            Ok(())
        })
    });
    libtest_mimic::run(&arguments, tests.collect()).exit_code()
}

/// What runs so many cases of a property, or as many as `PROPTEST_CASES` says. A failing case is made shorter
/// for a minute: where each attempt waits in vain, all of them would take hours.
pub fn runner(cases: u32) -> TestRunner {
    let cases = std::env::var("PROPTEST_CASES").map_or(cases, |n| n.parse().unwrap());
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_time: 60_000,
        ..Config::default()
    })
}

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
        let mut command = Command::new(std::env::current_exe().unwrap());
        change(&mut command);
        let mut child = command
            .args(arguments)
            .env(ROLE, role)
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

/// Bytes of which every word depends on the sequence, the length and the place.
pub fn payload(sequence: u64, len: usize) -> Vec<u8> {
    // Odd, so never zero, and another one for each sequence.
    let mut state = (sequence << 1 | 1) ^ (len as u64) << 40;
    let mut bytes = vec![0; len];
    for chunk in bytes.chunks_mut(8) {
        // xorshift64 (Marsaglia, 2003)
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
    bytes
}

pub fn check(bytes: &[u8], sequence: u64) {
    assert_eq!(
        bytes,
        payload(sequence, bytes.len()),
        "message {sequence} is torn"
    );
}

/// A directory of this test; removed when dropped.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("slipring-test-")
            .tempdir_in("/dev/shm");
        Self(directory.unwrap().keep())
    }

    pub fn ring(&self) -> PathBuf {
        self.0.join("ring")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
