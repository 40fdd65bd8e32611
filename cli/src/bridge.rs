//! `slipring bridge`: the command `slipring-bridge`, which is a program of its own, because of what its network brings
//! along.

use crate::failure::{Failure, FAILED};
use crate::Outcome;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

const PROGRAM: &str = "slipring-bridge";

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub struct Arguments {
    /// What slipring-bridge is to do: see `slipring bridge --help`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Becomes that program.
pub fn run(arguments: &Arguments) -> Outcome {
    let error = command().args(&arguments.arguments).exec();
    Err(failure(&error))
}

/// The program: the one beside this one, or else on the PATH.
pub fn command() -> Command {
    let here = std::env::current_exe().ok();
    let beside = here.as_deref().and_then(Path::parent);
    let beside = beside.map(|folder| folder.join(PROGRAM));
    match beside.filter(|path| path.exists()) {
        Some(path) => Command::new(path),
        None => Command::new(PROGRAM),
    }
}

/// Why it cannot be run, and what to do.
pub fn failure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::NotFound => Failure::new(
            FAILED,
            "slipring-bridge is not installed: build it in the folder bridge of the repository (cargo install --path bridge), and put it beside slipring or on the PATH",
        ),
        _ => Failure::new(FAILED, format!("{PROGRAM}: {error}")),
    }
}
