//! An installation of the libraries, compilers, and programs that are made with both. Runs commands by `process`.

use crate::here;
use crate::process::run;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};
use tempfile::TempDir;

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
        self.program_of(&[source.to_owned()], scratch, statically)
    }

    /// The same of several sources. It has the name of the first.
    pub fn program_of(&self, sources: &[PathBuf], scratch: &Path, statically: bool) -> PathBuf {
        let name = sources[0].file_stem().unwrap().to_str().unwrap();
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
            .args(sources)
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
