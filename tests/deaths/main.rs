//! Deaths at every instruction and at random, and long runs, against exact accounts.

mod chaos;
mod recovery;
mod soak;
mod sweep;
mod sweep_forms;

fn main() -> std::process::ExitCode {
    testing::main(&[
        chaos::SUITE,
        recovery::SUITE,
        soak::SUITE,
        sweep::SUITE,
        sweep_forms::SUITE,
    ])
}
