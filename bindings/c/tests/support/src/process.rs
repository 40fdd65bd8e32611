//! Processes that are waited for: each ends, or is killed and fails its test.

use crate::here;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A hang ends after this long.
pub const LONG: Duration = Duration::from_secs(120);

fn told(what: &str, output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    format!("{what}: {}\n{out}\n{err}", output.status)
}

/// Runs a command that has to succeed, and returns what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{}",
        told(&format!("{command:?}"), &output)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The command `slipring` of this tree.
pub fn slipring() -> Command {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        if let Some(path) = std::env::var_os("SLIPRING_COMMAND") {
            return path.into();
        }
        let root = here().join("../..");
        let target = root.join("target");
        run(Command::new("cargo")
            .args(["build", "--quiet", "--locked", "-p", "slipring-cli"])
            .current_dir(&root)
            .env("CARGO_TARGET_DIR", &target));
        target.join("debug/slipring")
    });
    Command::new(built)
}

/// A command with a slipring directory of its own.
pub fn in_directory(mut command: Command, directory: &Path) -> Command {
    command.env("SLIPRING_DIR", directory);
    command.env("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0");
    command
}

/// Runs a command to its end, or kills it and fails.
pub fn finish(mut command: Command) -> String {
    use std::process::Stdio;
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    finished(child, &format!("{command:?}"))
}

pub fn finished(mut child: std::process::Child, what: &str) -> String {
    use std::io::Read;
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = out.read_to_string(&mut text);
        text
    });
    let errors = std::thread::spawn(move || {
        let mut text = String::new();
        let _ = err.read_to_string(&mut text);
        text
    });
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begun.elapsed() > LONG {
            let _ = child.kill();
            break child.wait().unwrap();
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let (text, errors) = (read.join().unwrap(), errors.join().unwrap());
    assert!(status.success(), "{what}: {status}\n{text}\n{errors}");
    text
}
