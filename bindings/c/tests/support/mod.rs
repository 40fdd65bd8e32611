//! An installation of the libraries, compilers, and programs made with both.
#![allow(dead_code, reason = "each test uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A hang ends after this long.
pub const LONG: Duration = Duration::from_secs(120);

pub fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

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

/// The prefix that the libraries are installed under, for all tests of this process.
pub fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let prefix = target().join("prefix");
        run(Command::new(here().join("install"))
            .arg(&prefix)
            .env("SLIPRING_PROFILE", "dev"));
        prefix
    })
}

/// The folder in which the tests were built.
fn target() -> PathBuf {
    let me = std::env::current_exe().unwrap();
    me.ancestors().nth(3).unwrap().to_owned()
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

/// The words that pkg-config has for the installed library.
fn flags(arguments: &[&str]) -> Vec<String> {
    let path = prefix().join("lib/pkgconfig");
    let mut command = Command::new("pkg-config");
    let text = run(command
        .args(arguments)
        .arg("slipring")
        .env("PKG_CONFIG_PATH", path));
    text.split_whitespace().map(str::to_owned).collect()
}

/// A compiler and the language it is to take.
#[derive(Clone, Copy, Debug)]
pub struct Compiler {
    pub program: &'static str,
    pub standard: &'static str,
    /// Whether it can check addresses and undefined behaviour.
    pub checks: bool,
}

pub const C: Compiler = Compiler {
    program: "gcc",
    standard: "-std=c11",
    checks: true,
};

pub const CXX: Compiler = Compiler {
    program: "g++",
    standard: "-std=c++17",
    checks: true,
};

impl Compiler {
    /// Whether it is there; says so if not.
    pub fn found(&self) -> bool {
        let found = Command::new(self.program).arg("--version").output().is_ok();
        if !found {
            println!("LEFT OUT: there is no {}", self.program);
        }
        found
    }

    /// Compiles a program against the installation, outside of the tree.
    pub fn program(&self, source: &Path, scratch: &Path, statically: bool) -> PathBuf {
        let name = source.file_stem().unwrap().to_str().unwrap();
        let link = if statically { "static" } else { "shared" };
        let to = scratch.join(format!("{name}-{}-{link}", self.program));
        let mut command = Command::new(self.program);
        command
            .args([
                self.standard,
                "-g",
                "-O1",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-pedantic",
            ])
            .args(["-D_GNU_SOURCE", "-pthread"])
            .args(flags(&["--cflags"]))
            .arg("-o")
            .arg(&to)
            .arg(source)
            .current_dir(scratch);
        if self.checks {
            command.args(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]);
        }
        if statically {
            command.arg(prefix().join("lib/libslipring.a"));
            let rest = flags(&["--static", "--libs-only-l"]);
            command.args(rest.iter().filter(|word| *word != "-lslipring"));
        } else {
            command.args(flags(&["--libs"]));
            command.arg(format!("-Wl,-rpath,{}", prefix().join("lib").display()));
        }
        run(&mut command);
        to
    }
}

/// The program of a source of the tests, compiled once for all tests of this process.
pub fn compiled(name: &str) -> PathBuf {
    static MADE: Mutex<Vec<(String, PathBuf)>> = Mutex::new(Vec::new());
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().unwrap());
    let mut made = MADE.lock().unwrap_or_else(|poison| poison.into_inner());
    if let Some((_, path)) = made.iter().find(|(of, _)| of == name) {
        return path.clone();
    }
    let source = here().join("tests/c").join(name);
    let compiler = if name.ends_with(".c") { C } else { CXX };
    let path = compiler.program(&source, folder.path(), false);
    made.push((name.to_owned(), path.clone()));
    path
}

/// Whether tests of io_uring test it; the kernel may refuse it to this process.
pub fn has_io_uring() -> bool {
    match slipring::events::PollableSet::new().unwrap().use_io_uring() {
        Ok(()) => true,
        Err(error) => {
            println!("SKIPPED: io_uring: {error}");
            false
        }
    }
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
