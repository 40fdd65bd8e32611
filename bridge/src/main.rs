//! The command `slipring-bridge`; the library beside it does the work.

use std::process::ExitCode;

fn main() -> ExitCode {
    slipring_bridge::command::main()
}
