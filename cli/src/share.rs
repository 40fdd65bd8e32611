//! `slipring share`: a broker for an isolated ring.

use crate::failure::Failure;
use crate::stop::{Stop, GRACE};
use crate::text;
use crate::Outcome;
use slipring::{broker::Access, schema::Schema, Broker, Ring};
use std::path::PathBuf;
use std::time::Duration;

#[derive(clap::Args)]
#[command(after_help = "\
Makes a ring without a name, and hands its descriptors over the socket to the clients that are let in. A
reader can neither write the stream, nor resize it, nor affect another reader, nor hold the producer back
for longer than --evict-after. Runs until a signal ends it; connected readers then go on.

EXAMPLES
  slipring share /run/user/1000/ticks.sock &
  seq 1000 | slipring pub --via /run/user/1000/ticks.sock &
  slipring sub --via /run/user/1000/ticks.sock --from oldest
  slipring share /run/ticks.sock --user 1001 --group 2000")]
pub struct Arguments {
    /// Where to listen
    socket: PathBuf,
    /// Let this user read, besides the broker's own; may be given several times
    #[arg(long, value_name = "UID")]
    user: Vec<u32>,
    /// Let users with this primary group read; may be given several times
    #[arg(long, value_name = "GID")]
    group: Vec<u32>,
    /// Bytes of data, a power of two
    #[arg(long, value_name = "BYTES", default_value = "1MiB", value_parser = text::bytes)]
    capacity: u64,
    /// How many readers can be connected at once, shared out evenly: the broker's own user and root
    /// together, each --user and each --group have the same part
    #[arg(long, value_name = "N", default_value_t = 32)]
    readers: u32,
    /// Evict readers that hold one publish back for longer than this
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = text::duration)]
    evict_after: Duration,
    /// Fields of a message: 'name:type,...' or 'Type{name:type,...}'
    #[arg(long, value_name = "FIELDS")]
    schema: Option<String>,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let mut builder = Ring::anonymous()
        .capacity_bytes(arguments.capacity)
        .max_readers(arguments.readers)
        .evict_after(arguments.evict_after);
    if let Some(text) = &arguments.schema {
        let schema: Schema = text
            .parse()
            .map_err(|error| Failure::new(crate::failure::USAGE, error))?;
        builder = builder.schema(schema);
    }
    let mut access = Access::own_user();
    for uid in &arguments.user {
        access = access.user(*uid);
    }
    for gid in &arguments.group {
        access = access.group(*gid);
    }
    let mut broker = Broker::bind(&arguments.socket, builder, access)?;
    let stop = Stop::begin(GRACE, || {})?;
    println!("{}", broker.path().display());
    loop {
        stop.check()?;
        // Short enough for a signal to be noticed.
        broker.serve(Duration::from_millis(200))?;
    }
}
