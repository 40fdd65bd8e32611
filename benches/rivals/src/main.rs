//! Slipring beside other projects. The harness is that of `slipring bench`: two pinned processes, the
//! same loops for everybody, one after the other in rounds, each sample bracketed by a probe of the
//! machine, every word checked. A file here says how one project is set: as its own documentation says is
//! fastest, on as much memory as a ring gets. What could be unfair to anybody stands in
//! `docs/measurements/method.md`.

#[cfg(feature = "aeron")]
mod aeron;
mod bcast;
mod crossbar;
#[cfg(feature = "iceoryx2")]
mod iceoryx2;
mod ipc_channel;
mod local;
mod lossy;
mod outcry;
mod ringfire;
#[cfg(feature = "seqlock")]
mod seqlock;
#[cfg(feature = "tachyon")]
mod tachyon;
mod words;
#[cfg(feature = "zenoh")]
mod zenoh;

use slipring_cli::bench::channel::{Contender, Opened};
use slipring_cli::bench::contenders::CONTENDERS;
use slipring_cli::bench::Suite;
use std::io;
use std::process::ExitCode;

fn boxed(channel: io::Result<impl Opened + 'static>) -> io::Result<Box<dyn Opened>> {
    channel.map(|channel| Box::new(channel) as Box<dyn Opened>)
}

fn main() -> ExitCode {
    let mut contenders: Vec<Contender> = CONTENDERS.to_vec();
    #[cfg(feature = "aeron")]
    contenders.extend(aeron::CONTENDERS);
    contenders.extend(bcast::CONTENDERS);
    contenders.extend(crossbar::CONTENDERS);
    #[cfg(feature = "iceoryx2")]
    contenders.extend(iceoryx2::CONTENDERS);
    contenders.extend(ipc_channel::CONTENDERS);
    contenders.extend(outcry::CONTENDERS);
    contenders.extend(ringfire::CONTENDERS);
    #[cfg(feature = "seqlock")]
    contenders.extend(seqlock::CONTENDERS);
    #[cfg(feature = "tachyon")]
    contenders.extend(tachyon::CONTENDERS);
    #[cfg(feature = "zenoh")]
    contenders.extend(zenoh::CONTENDERS);
    contenders.extend(local::CONTENDERS);
    slipring_cli::bench::main(&Suite {
        // For the rest of the program, as the suite of the command is.
        contenders: contenders.leak(),
        verb: &[],
    })
}
