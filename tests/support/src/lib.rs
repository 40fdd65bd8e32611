//! What the tests share: a runner, processes in roles, processes that are run one instruction at a time, books
//! that outlive them, the oracle, payloads that show when they are torn, and directories that go away.
//!
//! A test program with several processes has no harness of the compiler's, but a `main` that calls [`main`] with its
//! suites. That runs the tests or, with a role in the environment, the role of a peer. To `cargo test` and to
//! other runners such a program is a test like others.
#![allow(missing_docs, reason = "read by the tests of this project only")]

pub mod books;
pub mod boots;
pub mod oracle;
mod parties;
mod peer;
mod runner;
pub mod tracee;
pub mod waiter;

pub use parties::Parties;
pub use peer::{end_with_parent, say, Peer};
pub use runner::{command, main, no_role, role, runner, Suite};

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Long enough for anything on a loaded machine, short enough to end a hang.
pub const PATIENCE: Duration = Duration::from_secs(60);

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

/// Fails if an object breaks a rule of the specification.
pub fn sound(path: &Path) {
    let report = slipring::registry::check(path).unwrap();
    let wrong = report.wrong().into_iter();
    let lines = wrong.map(|(path, finding)| format!("\n{}: {finding}", path.display()));
    let lines: String = lines.collect();
    assert!(lines.is_empty(), "{lines}");
}

/// Fails if an object of a directory breaks a rule of the specification.
pub fn all_sound(directory: &Path) {
    for entry in slipring::registry::list_in(directory).unwrap() {
        if entry.ring.is_ok() {
            sound(&directory.join(entry.name));
        }
    }
}

/// A directory of this test; removed when dropped.
pub struct Scratch(pub PathBuf);

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

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

/// Returns `true` if this process is root's. Says that a test is left out otherwise: it needs several users.
pub fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("  left out: needs to be root, to be several users");
    }
    root
}
