//! The command in a directory of its own: run to success, to failure, with input, beside others.

use std::io::Write;
use std::process::{Child, Command, Output, Stdio};

/// A directory for rings, and the command in it.
pub struct Shell {
    pub directory: tempfile::TempDir,
}

impl Shell {
    pub fn new() -> Self {
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        Self { directory }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipring"));
        command
            .args(arguments)
            .env("SLIPRING_DIR", self.directory.path());
        command.stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs to success; what it printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs to failure with this status; its one line.
    pub fn fails(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            output.status.code(),
            Some(status),
            "{arguments:?}: {errors}"
        );
        assert!(output.stdout.is_empty());
        assert_eq!(errors.lines().count(), 1, "one line: {errors}");
        errors.trim().strip_prefix("slipring: ").unwrap().to_owned()
    }

    pub fn with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut feed = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // Beside reading, for there may be more of both than the pipes hold.
            scope.spawn(move || {
                // A command need not read everything.
                if let Err(error) = feed.write_all(input) {
                    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
                }
            });
            child.wait_with_output().unwrap()
        })
    }

    pub fn start(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// As another user, which only root can become. The binary may lie where that one cannot reach it.
    pub fn as_user(&self, uid: u32, arguments: &[&str], input: &[u8]) -> Output {
        use std::os::unix::process::CommandExt;
        let binary = self.directory.path().join("bin");
        if !binary.exists() {
            copy_command(&binary);
        }
        let mut child = Command::new(&binary)
            .args(arguments)
            .env("SLIPRING_DIR", self.directory.path())
            .env("SLIPRING_TRUST", "1001,1002")
            .uid(uid)
            .gid(uid)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    /// Waits until a reader is attached.
    pub fn attached(&self, name: &str) {
        let ring = slipring::Ring::open(self.directory.path().join(name)).unwrap();
        while ring.status().unwrap().readers.is_empty() {
            std::thread::yield_now();
        }
    }

    pub fn path(&self, name: &str) -> String {
        self.directory
            .path()
            .join(name)
            .to_str()
            .unwrap()
            .to_owned()
    }
}

/// Copies the command. Another process writes the copy: a process that a thread of this one starts meanwhile would have
/// it open for writing, and nothing could execute it until then.
pub fn copy_command(to: &std::path::Path) {
    let copied = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_slipring"))
        .arg(to)
        .status();
    assert!(copied.unwrap().success());
}

/// Writes a script that can be executed. Another process does so, for the reason of [`copy_command`].
pub fn write_script(to: &std::path::Path, text: &str) {
    let write = "printf %s \"$2\" >\"$1\" && chmod 755 \"$1\"";
    let mut command = Command::new("sh");
    let written = command.args(["-c", write, "sh"]).arg(to).arg(text).status();
    assert!(written.unwrap().success());
}

/// Returns `true` if this process was started with a signal ignored, as `nohup` does with HUP and a script with INT for
/// what runs in its background. Says that it is left out.
pub fn is_ignored(signal: rustix::process::Signal) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.unwrap().trim(), 16).unwrap();
    let is_ignored = ignored & 1 << (signal.as_raw() - 1) != 0;
    if is_ignored {
        println!("SKIPPED: {signal:?}, which is ignored here");
    }
    is_ignored
}
