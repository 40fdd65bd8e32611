//! The `slipring` command; the library beside it does the work.

use std::process::ExitCode;

fn main() -> ExitCode {
    slipring_cli::main()
}
