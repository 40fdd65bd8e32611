//! `slipring create`.

use crate::text::{self, Target};
use crate::Outcome;
use slipring::{schema::Schema, Ring};

#[derive(clap::Args)]
#[command(after_help = "\
EXAMPLES
  slipring create ticks
  slipring create quotes --capacity 4MiB --schema 'Quote{time_ns:u64,bid:f64,ask:f64}'
  slipring create timed --stamps          # slipring stat timed shows latencies
  slipring create shared --mode 0660      # the group may consume, not only observe")]
pub struct Arguments {
    /// Name of the ring, or a path that begins with / or ./
    name: String,
    /// Bytes of data, a power of two; the largest message is a quarter of it
    #[arg(long, value_name = "BYTES", default_value = "1MiB", value_parser = text::bytes)]
    capacity: u64,
    /// Frame alignment: 8 for throughput, 64 for the latency of messages up to 56 bytes
    #[arg(long, value_name = "BYTES", default_value_t = 8)]
    align: u64,
    /// How many consumers, and observers that sleep, can be attached at once
    #[arg(long, value_name = "N", default_value_t = 32)]
    readers: u32,
    /// Permission bits in octal: read permission lets a class of users observe, write permission lets it
    /// consume
    #[arg(long, value_name = "BITS", default_value = "0600", value_parser = text::mode)]
    mode: u32,
    /// Fields of a message: 'Type{name:type,...}', or 'name:type,...' for a type called Message
    #[arg(long, value_name = "FIELDS")]
    schema: Option<String>,
    /// Number of the first message
    #[arg(long, value_name = "N", default_value_t = 0)]
    first_sequence: u64,
    /// Evict consumers that hold one publish back for longer than this
    #[arg(long, value_name = "TIME", value_parser = text::duration)]
    evict_after: Option<std::time::Duration>,
    /// Stamp each message, and have each consumer keep a histogram of latencies: see stat
    #[arg(long)]
    stamps: bool,
    /// Lay out for huge pages
    #[arg(long)]
    huge: bool,
    /// Succeed if the ring exists already (its schema must agree; other settings that differ are reported)
    #[arg(long)]
    if_missing: bool,
}

pub fn run(arguments: &Arguments) -> Outcome {
    let mut builder = Target::parse(&arguments.name)
        .builder()
        .capacity_bytes(arguments.capacity)
        .frame_align(arguments.align)
        .max_readers(arguments.readers)
        .first_sequence(arguments.first_sequence)
        .mode(arguments.mode)
        .stamps(arguments.stamps)
        .huge_pages(arguments.huge);
    if let Some(patience) = arguments.evict_after {
        builder = builder.evict_after(patience);
    }
    if let Some(text) = &arguments.schema {
        let schema: Schema = text
            .parse()
            .map_err(|error| crate::Failure::new(crate::failure::USAGE, error))?;
        builder = builder.schema(schema);
    }
    let ring: Ring = if arguments.if_missing {
        builder.create_or_open()?
    } else {
        builder.create()?
    };
    text::say_differences(ring.path(), ring.differences());
    println!("{}", ring.path().display());
    Ok(())
}
