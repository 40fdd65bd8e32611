//! What processes do to each other: killed, stopped, forked and hostile peers, other users, full disks.

mod broker;
mod creation;
mod faults;
mod forks;
mod hostile;
mod isolated;
mod owners;
mod peers;
mod second;
mod second_forms;
mod truncation;

fn main() -> std::process::ExitCode {
    testing::main(&[
        broker::SUITE,
        creation::SUITE,
        faults::SUITE,
        forks::SUITE,
        hostile::SUITE,
        isolated::SUITE,
        owners::SUITE,
        peers::SUITE,
        second::SUITE,
        second_forms::SUITE,
        truncation::SUITE,
    ])
}
