//! `slipring create`.

use crate::failure::{Failure, FAILED, USAGE};
use crate::text::{self, Target};
use crate::Outcome;
use slipring::schema::{OpaqueSchema, OpaqueSchemaError, Schema};
use slipring::Ring;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
#[command(after_help = "\
EXAMPLES
  slipring create ticks
  slipring create quotes --capacity 4MiB --schema 'Quote{time_ns:u64,bid:f64,ask:f64}'
  slipring create orders --schema-file orders.xml --schema-kind sbe
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
    /// A schema in the language of another system, to lie beside the messages
    #[arg(long, value_name = "PATH", requires = "schema_kind")]
    schema_file: Option<PathBuf>,
    /// Its language: sbe, flatbuffers, protobuf, capnp, or another word
    #[arg(long, value_name = "KIND", requires = "schema_file")]
    schema_kind: Option<String>,
    /// Its name, instead of that of its file
    #[arg(long, value_name = "NAME", requires = "schema_file")]
    schema_name: Option<String>,
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
        let schema: Schema = text.parse().map_err(|error| Failure::new(USAGE, error))?;
        builder = builder.schema(schema);
    }
    if let Some(path) = &arguments.schema_file {
        builder = builder.opaque_schema(&schema_file(arguments, path)?);
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

/// Reads a schema file; no more of it than a ring may have.
fn schema_file(arguments: &Arguments, path: &Path) -> Result<OpaqueSchema, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| {
            let limit = OpaqueSchema::MAX_BYTES as u64 + 1;
            file.take(limit).read_to_end(&mut bytes)
        })
        .map_err(|error| Failure::new(FAILED, format!("{}: {error}", path.display())))?;
    let file_name = || {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let name = arguments.schema_name.clone().unwrap_or_else(file_name);
    let kind = arguments.schema_kind.clone().unwrap_or_default();
    OpaqueSchema::new(kind, name, bytes).map_err(|error| match error {
        // The file was not read to its end.
        OpaqueSchemaError::TooLarge { max, .. } => Failure::new(
            USAGE,
            format!(
                "{} has more than the {max} bytes that a schema may have",
                path.display()
            ),
        ),
        error => Failure::new(USAGE, error),
    })
}
