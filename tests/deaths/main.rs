//! Deaths at every instruction and at random, and long runs, against exact accounts.

mod chaos;
mod recovery;
mod removal;
mod soak;
mod sweep;
mod sweep_forms;

fn main() -> std::process::ExitCode {
    testing::main(&[
        chaos::SUITE,
        recovery::SUITE,
        removal::SUITE,
        soak::SUITE,
        sweep::SUITE,
        sweep_forms::SUITE,
    ])
}
