//! The parts of `slipring demo --mixed` that are in other languages: the strategy, in C, and the dashboard, in Python.
//!
//! The sources are in this program. The strategy is compiled when the demo begins, against the installed library for C.

use crate::failure::{Failure, FAILED};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const STRATEGY: &str = include_str!("programs/strategy.c");
const DASHBOARD: &str = include_str!("programs/dashboard.py");
const COMPILER: &str = "cc";

/// A C compiler's result, and an interpreter that has the package.
pub struct Mixed {
    /// Holds the compiled program; removed with this.
    folder: PathBuf,
    python: OsString,
}

impl Mixed {
    /// Where the strategy is compiled: memory may be mounted so that nothing in it can be run.
    pub fn folder() -> PathBuf {
        std::env::temp_dir().join(format!("slipring-demo-{}", std::process::id()))
    }

    /// Looks for what it needs, and compiles in a new folder. The error says all that is missing, and how to get it.
    pub fn begin(folder: PathBuf) -> Result<Self, Failure> {
        let or = |name: &str, usual: &str| std::env::var_os(name).unwrap_or_else(|| usual.into());
        std::fs::create_dir(&folder)?;
        let mixed = Self {
            folder,
            python: or("PYTHON", "python3"),
        };
        let compiler = Compiler::of(&or("CC", COMPILER));
        let missing: Vec<String> = [mixed.compile(&compiler), mixed.interpreter()]
            .into_iter()
            .filter_map(Result::err)
            .collect();
        if missing.is_empty() {
            return Ok(mixed);
        }
        let text = format!(
            "the demo in three languages cannot run here:\n  {}",
            missing.join("\n  ")
        );
        Err(Failure::new(FAILED, text))
    }

    /// The command of a part that is in another language.
    pub fn command(&self, part: &str, ring: &Path, ticks: u64) -> Option<Command> {
        match part {
            "strategy" => {
                let mut command = Command::new(self.folder.join("strategy"));
                command.arg(ring);
                Some(command)
            }
            "dashboard" => {
                let mut command = Command::new(&self.python);
                command
                    .args(["-c", DASHBOARD])
                    .arg(ring)
                    .arg(ticks.to_string());
                Some(command)
            }
            _ => None,
        }
    }

    fn compile(&self, compiler: &Compiler) -> Result<(), String> {
        let shown = compiler.program.to_string_lossy();
        ran(compiler.command().arg("--version")).map_err(|error| {
            format!("no C compiler ({shown}: {error}): install one, as the package build-essential does, or name it in CC")
        })?;
        let library = || {
            let flags = ran(Command::new("pkg-config").args(["--cflags", "--libs", "slipring"]))?;
            let at = ran(Command::new("pkg-config").args(["--variable=libdir", "slipring"]))?;
            Ok((flags, at))
        };
        let (flags, at) = library().map_err(|error: String| {
            format!(
                "no library for C (pkg-config: {error}): run bindings/c/install PREFIX in the repository, install pkg-config, and \
                 have PKG_CONFIG_PATH name PREFIX/lib/pkgconfig"
            )
        })?;
        let source = self.folder.join("strategy.c");
        std::fs::write(&source, STRATEGY)
            .map_err(|error| format!("{}: {error}", source.display()))?;
        let mut command = compiler.command();
        command.args(["-std=gnu11", "-O2", "-o"]);
        command.arg(self.folder.join("strategy")).arg(&source);
        command.args(flags.split_whitespace());
        command.arg(format!("-Wl,-rpath,{}", at.trim()));
        ran(&mut command).map_err(|error| format!("the strategy does not compile: {error}"))?;
        Ok(())
    }

    fn interpreter(&self) -> Result<(), String> {
        let shown = self.python.to_string_lossy();
        ran(Command::new(&self.python).arg("--version")).map_err(|error| {
            format!("no Python ({shown}: {error}): install Python 3.11 or newer, or name its interpreter in PYTHON")
        })?;
        ran(Command::new(&self.python).args(["-c", "import slipring; slipring.Ring"])).map_err(|error| {
            format!(
                "no package slipring in {shown} ({error}): build its wheel in the repository (maturin build --release \
                 --manifest-path bindings/python/Cargo.toml --out wheels), install that (pip install wheels/slipring-*.whl), or name \
                 the interpreter that has it in PYTHON"
            )
        })?;
        Ok(())
    }
}

impl Drop for Mixed {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A C compiler and its first arguments.
struct Compiler {
    program: OsString,
    arguments: Vec<OsString>,
}

impl Compiler {
    /// Reads `CC` as `make` does: words between white space. A value that is the path of a file is one program, white space included.
    fn of(value: &OsStr) -> Self {
        if Path::new(value).is_file() {
            return Self {
                program: value.to_owned(),
                arguments: Vec::new(),
            };
        }
        let words = value.as_bytes().split(u8::is_ascii_whitespace);
        let words = words.filter(|word| !word.is_empty());
        let mut words = words.map(|word| OsStr::from_bytes(word).to_owned());
        Self {
            program: words.next().unwrap_or_else(|| COMPILER.into()),
            arguments: words.collect(),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }
}

/// What a command prints. If it fails, the first line of its errors that says so, as a compiler's does, or else the last, as an
/// interpreter's does.
fn ran(command: &mut Command) -> Result<String, String> {
    let output: Output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().find(|line| line.contains("error: "));
    let last = || said.lines().rev().find(|line| !line.trim().is_empty());
    let told = first.or_else(last);
    Err(told.map_or_else(|| output.status.to_string(), |line| line.trim().to_owned()))
}
