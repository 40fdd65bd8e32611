//! What the command line says.

use crate::encoding::Encoding;
use crate::serve::default_realm;
use clap::{Args, Parser, Subcommand, ValueEnum};
use slipring::schema::Schema;
use slipring::Start;
use slipring_mirror::Name;
use std::path::PathBuf;
use std::time::Duration;

/// Rings of one host on other hosts.
#[derive(Parser)]
#[command(name = "slipring-bridge", version, propagate_version = true, after_help = AFTER_HELP)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub verb: Verb,
}

pub(super) const AFTER_HELP: &str = "\
A RING is a name in $SLIPRING_DIR, or a path that begins with / or ./. An ADDRESS is tcp/HOST:PORT, or
tls/HOST:PORT where the program was built with the feature tls. Either side may listen, and either may
connect.

EXIT STATUS
  0  done, or ended by a signal        4  damaged, foreign, another version,
  1  failed for another reason            or the source ring was made anew
  2  wrong usage                       5  no permission
  3  no such ring                      8  the mirror was removed
                                     124  no source answers in time

EXAMPLES
  slipring-bridge serve quotes --listen tcp/0.0.0.0:7447
  slipring-bridge mirror quotes --connect tcp/exchange-3:7447
  slipring-bridge serve orders --listen tcp/0.0.0.0:7448 --lossless --require london
  slipring-bridge mirror orders --connect tcp/exchange-3:7448 --as london --from oldest
  slipring-bridge status quotes --connect tcp/exchange-3:7447 --json";

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Let other hosts mirror a ring
    Serve(ServeArguments),
    /// Write a ring as a served ring of another host has it
    Mirror(MirrorArguments),
    /// Publish each message of a ring under a key, for programs that know nothing of rings
    Export(ExportArguments),
    /// Put what any program publishes into a ring
    Import(ImportArguments),
    /// Show the state of a served ring, and its mirrors
    Status(StatusArguments),
}

#[derive(Args)]
pub(super) struct Addresses {
    /// Listen at this address; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Vec<String>,
    /// Connect to this address, again and again; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub connect: Vec<String>,
    /// A configuration file of Zenoh: certificates, access control, tuning
    #[arg(long, value_name = "FILE")]
    pub zenoh_config: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct Network {
    #[command(flatten)]
    pub addresses: Addresses,
    /// Separates deployments that share a network
    #[arg(long, default_value_t = default_realm())]
    pub realm: Name,
    /// The ring's name on the network [default: the last part of RING]
    #[arg(long)]
    pub name: Option<Name>,
}

#[derive(Args)]
pub(super) struct ServeArguments {
    /// The ring
    pub ring: String,
    #[command(flatten)]
    pub network: Network,
    /// Hold the producer back rather than overwrite what was not sent
    #[arg(long)]
    pub lossless: bool,
    /// With --lossless: hold it back until this mirror has written it; may be repeated
    #[arg(long, value_name = "MIRROR", requires = "lossless")]
    pub require: Vec<Name>,
    /// Bytes that may be under way to required mirrors
    #[arg(long, value_name = "BYTES", default_value = "4M", value_parser = bytes)]
    pub window: u64,
    /// Microseconds after a frame for which messages wait for others, to share the next one [0 to 1000000]
    #[arg(long, value_name = "MICROSECONDS", default_value = "50", value_parser = linger)]
    pub linger: Duration,
    /// Where a lossless source begins the first time: latest, oldest, or a sequence
    #[arg(long, value_name = "START", default_value = "latest", value_parser = start, requires = "lossless")]
    pub from: Start,
    /// The name of the durable cursor of a lossless source
    #[arg(long, default_value = "bridge", requires = "lossless")]
    pub cursor: String,
    /// Count into a ring, once a second [default RING: bridge.NAME.stat beside the ring]
    #[arg(long, value_name = "RING", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub stat: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Recreated {
    /// Close the mirror and end with status 4
    Stop,
    /// Close and remove the mirror, and mirror the new ring
    Follow,
}

#[derive(Args)]
pub(super) struct MirrorArguments {
    /// The mirror: it is created if it does not exist
    pub ring: String,
    #[command(flatten)]
    pub network: Network,
    /// Where a new mirror begins: latest, oldest, or a sequence
    #[arg(long, value_name = "START", default_value = "latest", value_parser = start)]
    pub from: Start,
    /// The name of this mirror, for --require [default: this host and process]
    #[arg(long = "as", value_name = "MIRROR")]
    pub mirror: Option<Name>,
    /// What to do when the source ring was removed and made again
    #[arg(long, value_enum, default_value = "stop")]
    pub on_recreate: Recreated,
    /// Bytes that are held until they can be written
    #[arg(long, value_name = "BYTES", default_value = "4M", value_parser = bytes)]
    pub window: u64,
    /// Permissions of a new mirror, in octal
    #[arg(long, default_value = "0600", value_parser = mode)]
    pub mode: u32,
    /// End with status 124 if no source answers within this time at first
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<f64>,
    /// Count into a ring, once a second [default RING: bridge.NAME.MIRROR.stat beside the mirror]
    #[arg(long, value_name = "RING", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub stat: Option<String>,
}

#[derive(Args)]
pub(super) struct ExportArguments {
    /// The ring
    pub ring: String,
    /// The key of every message
    #[arg(long)]
    pub key: String,
    #[command(flatten)]
    pub addresses: Addresses,
    /// What is published of each message
    #[arg(long, value_enum, default_value = "raw")]
    pub encoding: Encoding,
    /// What receivers are told that it is, for example application/protobuf [default: by the encoding]
    #[arg(long, value_name = "TYPE")]
    pub media_type: Option<String>,
    /// Where to begin: latest, oldest, or a sequence
    #[arg(long, value_name = "START", default_value = "latest", value_parser = start)]
    pub from: Start,
}

#[derive(Args)]
pub(super) struct ImportArguments {
    /// The ring: it is created if it does not exist
    pub ring: String,
    /// The keys that are received: * stands for one part, ** for any number of them
    #[arg(long)]
    pub key: String,
    #[command(flatten)]
    pub addresses: Addresses,
    /// How the messages are encoded that come; cdr and json need a ring with a schema
    #[arg(long, value_enum, default_value = "raw")]
    pub encoding: Encoding,
    /// The schema of a new ring, for example Quote{time_ns:u64,bid:f64}
    #[arg(long)]
    pub schema: Option<Schema>,
    /// Bytes of a new ring
    #[arg(long, value_name = "BYTES", default_value = "1M", value_parser = bytes)]
    pub capacity: u64,
    /// Permissions of a new ring, in octal
    #[arg(long, default_value = "0600", value_parser = mode)]
    pub mode: u32,
    /// Bytes that wait while readers of the ring hold it back
    #[arg(long, value_name = "BYTES", default_value = "4M", value_parser = bytes)]
    pub window: u64,
}

#[derive(Args)]
pub(super) struct StatusArguments {
    /// The name of the served ring
    pub ring: Name,
    #[command(flatten)]
    pub network: Network,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// How long to look for the source
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    pub timeout: f64,
}

/// Bytes with an optional unit of 1024.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return Err(format!("unknown unit {unit:?}: use K, M or G (of 1024)")),
    };
    let number: Option<u64> = number.parse().ok();
    let bytes = number.and_then(|number| number.checked_mul(1 << shift));
    bytes.ok_or_else(|| "expected a number of bytes, for example 64K or 4MiB".to_owned())
}

pub(super) fn mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "expected permission bits in octal, for example 0640".to_owned())
}

fn linger(text: &str) -> Result<Duration, String> {
    let number: Option<u64> = text.parse().ok();
    let number = number.filter(|number| *number <= 1_000_000);
    let number = number.ok_or("expected a number of microseconds, of 1000000 at most")?;
    Ok(Duration::from_micros(number))
}

pub(super) fn start(text: &str) -> Result<Start, String> {
    match text {
        "latest" => Ok(Start::Latest),
        "oldest" => Ok(Start::Oldest),
        number => number
            .parse()
            .map(Start::Sequence)
            .map_err(|_| "expected latest, oldest, or a sequence".to_owned()),
    }
}
