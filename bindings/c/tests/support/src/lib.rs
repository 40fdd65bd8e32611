//! What the tests share: an installation of the libraries, compilers, programs made with both, and processes that are waited for.

mod compile;
mod process;

pub use compile::{compiled, prefix, Compiler, C, CXX};
pub use process::{finish, finished, in_directory, run, slipring, LONG};

use std::path::Path;

/// The folder `bindings/c`.
pub fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
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
