//! Each form against its oracle, between processes, and under random deaths.

mod check;
mod connecting;
mod events;
mod every;
mod kinds;
mod latest;
mod link;
mod mailbox;
mod moments;
mod pattern;
mod pipe;
mod queue;
mod queue_access;
mod queue_bytes;
mod queue_deaths;
mod queue_faults;
mod queue_lease;
mod queue_many;
mod queue_stopped;
mod semaphore;
mod set_pairs;
mod sets;
mod shared;
mod signals;
mod strategies;
mod tasks;
mod typed;
mod uring;
mod values;
mod vectors;

fn main() -> std::process::ExitCode {
    testing::main(&[
        check::SUITE,
        connecting::SUITE,
        events::SUITE,
        every::SUITE,
        kinds::SUITE,
        latest::SUITE,
        link::SUITE,
        mailbox::SUITE,
        moments::SUITE,
        pattern::SUITE,
        pipe::SUITE,
        queue::SUITE,
        queue_access::SUITE,
        queue_bytes::SUITE,
        queue_deaths::SUITE,
        queue_faults::SUITE,
        queue_lease::SUITE,
        queue_many::SUITE,
        queue_stopped::SUITE,
        semaphore::SUITE,
        set_pairs::SUITE,
        set_pairs::BY_DESCRIPTOR,
        set_pairs::BY_IO_URING,
        sets::SUITE,
        sets::BY_DESCRIPTOR,
        sets::BY_IO_URING,
        shared::SUITE,
        signals::SUITE,
        strategies::SUITE,
        tasks::SUITE,
        typed::SUITE,
        uring::SUITE,
        values::SUITE,
        vectors::SUITE,
    ])
}
