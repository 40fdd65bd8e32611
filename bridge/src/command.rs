//! The command `slipring-bridge`, which `slipring bridge` runs too.

use crate::encoding::{Encoding, EncodingError};
use crate::engine::zenoh::{Zenoh, ZenohOptions};
use crate::engine::{said, Engine};
use crate::error::BridgeError;
use crate::mirror::{self, OnRecreate};
use crate::serve::{self, default_realm};
use crate::show::show;
use crate::stat::place_beside;
use crate::{export, import};
use clap::{Args, Parser, Subcommand, ValueEnum};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use slipring::endpoint::{AttachError, PublishError, StatusError, TryPublishError};
use slipring::place::{CreateError, OpenError};
use slipring::schema::Schema;
use slipring::{Place, Ring, Start};
use slipring_mirror::{Name, NameError};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{mpsc, Arc};
use std::time::{Duration, Instant};

/// Rings of one host on other hosts.
#[derive(Parser)]
#[command(name = "slipring-bridge", version, propagate_version = true, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

const AFTER_HELP: &str = "\
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
enum Verb {
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
struct Addresses {
    /// Listen at this address; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Connect to this address, again and again; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    connect: Vec<String>,
    /// A configuration file of Zenoh: certificates, access control, tuning
    #[arg(long, value_name = "FILE")]
    zenoh_config: Option<PathBuf>,
}

#[derive(Args)]
struct Network {
    #[command(flatten)]
    addresses: Addresses,
    /// Separates deployments that share a network
    #[arg(long, default_value_t = default_realm())]
    realm: Name,
    /// The ring's name on the network [default: the last part of RING]
    #[arg(long)]
    name: Option<Name>,
}

#[derive(Args)]
struct ServeArguments {
    /// The ring
    ring: String,
    #[command(flatten)]
    network: Network,
    /// Hold the producer back rather than overwrite what was not sent
    #[arg(long)]
    lossless: bool,
    /// With --lossless: hold it back until this mirror has written it; may be repeated
    #[arg(long, value_name = "MIRROR", requires = "lossless")]
    require: Vec<Name>,
    /// Bytes that may be under way to required mirrors
    #[arg(long, value_name = "BYTES", default_value = "4M", value_parser = bytes)]
    window: u64,
    /// Where a lossless source begins the first time: latest, oldest, or a sequence
    #[arg(long, value_name = "START", default_value = "latest", value_parser = start, requires = "lossless")]
    from: Start,
    /// The name of the durable cursor of a lossless source
    #[arg(long, default_value = "bridge", requires = "lossless")]
    cursor: String,
    /// Count into a ring, once a second [default RING: bridge.NAME.stat beside the ring]
    #[arg(long, value_name = "RING", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    stat: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Recreated {
    /// Close the mirror and end with status 4
    Stop,
    /// Close and remove the mirror, and mirror the new ring
    Follow,
}

#[derive(Args)]
struct MirrorArguments {
    /// The mirror: it is created if it does not exist
    ring: String,
    #[command(flatten)]
    network: Network,
    /// Where a new mirror begins: latest, oldest, or a sequence
    #[arg(long, value_name = "START", default_value = "latest", value_parser = start)]
    from: Start,
    /// The name of this mirror, for --require [default: this host and process]
    #[arg(long = "as", value_name = "MIRROR")]
    mirror: Option<Name>,
    /// What to do when the source ring was removed and made again
    #[arg(long, value_enum, default_value = "stop")]
    on_recreate: Recreated,
    /// Bytes that are held until they can be written
    #[arg(long, value_name = "BYTES", default_value = "4M", value_parser = bytes)]
    window: u64,
    /// Permissions of a new mirror, in octal
    #[arg(long, default_value = "0600", value_parser = mode)]
    mode: u32,
    /// End with status 124 if no source answers within this time at first
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,
    /// Count into a ring, once a second [default RING: bridge.NAME.MIRROR.stat beside the mirror]
    #[arg(long, value_name = "RING", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    stat: Option<String>,
}

#[derive(Args)]
struct ExportArguments {
    /// The ring
    ring: String,
    /// The key of every message
    #[arg(long)]
    key: String,
    #[command(flatten)]
    addresses: Addresses,
    /// What is published of each message
    #[arg(long, value_enum, default_value = "raw")]
    encoding: Encoding,
    /// What receivers are told that it is, for example application/protobuf [default: by the encoding]
    #[arg(long, value_name = "TYPE")]
    media_type: Option<String>,
    /// Where to begin: latest, oldest, or a sequence
    #[arg(long, value_name = "START", default_value = "latest", value_parser = start)]
    from: Start,
}

#[derive(Args)]
struct ImportArguments {
    /// The ring: it is created if it does not exist
    ring: String,
    /// The keys that are received: * stands for one part, ** for any number of them
    #[arg(long)]
    key: String,
    #[command(flatten)]
    addresses: Addresses,
    /// How the messages are encoded that come; cdr and json need a ring with a schema
    #[arg(long, value_enum, default_value = "raw")]
    encoding: Encoding,
    /// The schema of a new ring, for example Quote{time_ns:u64,bid:f64}
    #[arg(long)]
    schema: Option<Schema>,
    /// Bytes of a new ring
    #[arg(long, value_name = "BYTES", default_value = "1M", value_parser = bytes)]
    capacity: u64,
    /// Permissions of a new ring, in octal
    #[arg(long, default_value = "0600", value_parser = mode)]
    mode: u32,
    /// Bytes that wait while readers of the ring hold it back
    #[arg(long, value_name = "BYTES", default_value = "4M", value_parser = bytes)]
    window: u64,
}

#[derive(Args)]
struct StatusArguments {
    /// The name of the served ring
    ring: Name,
    #[command(flatten)]
    network: Network,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// How long to look for the source
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    timeout: f64,
}

/// Bytes with an optional unit of 1024.
fn bytes(text: &str) -> Result<u64, String> {
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

fn mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "expected permission bits in octal, for example 0640".to_owned())
}

fn start(text: &str) -> Result<Start, String> {
    match text {
        "latest" => Ok(Start::Latest),
        "oldest" => Ok(Start::Oldest),
        number => number
            .parse()
            .map(Start::Sequence)
            .map_err(|_| "expected latest, oldest, or a sequence".to_owned()),
    }
}

/// A ring as named on the command line.
fn place(text: &str) -> Place {
    if text.starts_with('/') || text.starts_with("./") || text.starts_with("../") {
        PathBuf::from(text).into()
    } else {
        text.into()
    }
}

/// The ring that is counted into, if one is.
fn counted(stat: Option<String>, ring: &str, name: &str) -> Option<Place> {
    stat.map(|named| match named.as_str() {
        "" => place_beside(&place(ring), name),
        named => place(named),
    })
}

fn network_name(ring: &str, network: &Network) -> Result<Name, NameError> {
    match &network.name {
        Some(name) => Ok(name.clone()),
        None => ring.rsplit('/').next().unwrap_or_default().parse(),
    }
}

fn engine(network: &Addresses) -> Result<Arc<dyn Engine>, BridgeError> {
    if network.listen.is_empty() && network.connect.is_empty() && network.zenoh_config.is_none() {
        return Err(BridgeError::Settings(
            "no address: use --listen, --connect or --zenoh-config",
        ));
    }
    Ok(Arc::new(Zenoh::open(&ZenohOptions {
        listen: network.listen.clone(),
        connect: network.connect.clone(),
        config: network.zenoh_config.clone(),
    })?))
}

fn host() -> String {
    let system = rustix::system::uname();
    system.nodename().to_string_lossy().into_owned()
}

/// The name of a mirror that was given none.
fn unnamed() -> Result<Name, NameError> {
    let kept = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    let host: String = host().chars().filter(kept).take(40).collect();
    format!("any-{host}-{}", std::process::id()).parse()
}

fn stop() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    Ok(stop)
}

fn run(verb: Verb) -> Result<(), BridgeError> {
    match verb {
        Verb::Serve(arguments) => {
            let network = &arguments.network;
            let name = network_name(&arguments.ring, network)?;
            let options = serve::Options {
                realm: network.realm.clone(),
                host: host(),
                lossless: arguments.lossless,
                require: arguments.require,
                window: arguments.window,
                from: arguments.from,
                cursor: arguments.cursor,
                stat: counted(arguments.stat, &arguments.ring, name.as_str()),
                ..serve::Options::new(place(&arguments.ring), name)
            };
            let stop = stop()?;
            let engine = engine(&network.addresses)?;
            serve::serve(&engine, &options, &stop, |ring| {
                let addresses = engine.addresses().join(" ");
                eprintln!("serving {} at {addresses}", ring.path().display());
            })
        }
        Verb::Mirror(arguments) => {
            let network = &arguments.network;
            let name = network_name(&arguments.ring, network)?;
            let mirror = match arguments.mirror {
                Some(mirror) => mirror,
                None => unnamed()?,
            };
            let options = mirror::Options {
                realm: network.realm.clone(),
                from: match arguments.from {
                    Start::Oldest => mirror::From::Oldest,
                    Start::Sequence(sequence) => mirror::From::Sequence(sequence),
                    _ => mirror::From::Latest,
                },
                on_recreate: match arguments.on_recreate {
                    Recreated::Stop => OnRecreate::Stop,
                    Recreated::Follow => OnRecreate::Follow,
                },
                window: arguments.window,
                mode: arguments.mode,
                patience: arguments.timeout.map(seconds),
                stat: counted(arguments.stat, &arguments.ring, &format!("{name}.{mirror}")),
                ..mirror::Options::new(place(&arguments.ring), name, mirror)
            };
            let stop = stop()?;
            let engine = engine(&network.addresses)?;
            mirror::mirror(&engine, &options, &stop, |ring| {
                eprintln!("mirroring {}", ring.path().display());
            })
        }
        Verb::Export(arguments) => {
            let options = export::Options {
                place: place(&arguments.ring),
                key: arguments.key,
                encoding: arguments.encoding,
                media_type: arguments.media_type,
                from: arguments.from,
            };
            let stop = stop()?;
            let engine = engine(&arguments.addresses)?;
            export::export(&engine, &options, &stop, |ring| {
                eprintln!("exporting {}", ring.path().display());
            })
        }
        Verb::Import(arguments) => {
            let options = import::Options {
                place: place(&arguments.ring),
                key: arguments.key,
                encoding: arguments.encoding,
                schema: arguments.schema,
                capacity: arguments.capacity,
                mode: arguments.mode,
                window: arguments.window,
            };
            let stop = stop()?;
            let engine = engine(&arguments.addresses)?;
            let ready = |ring: &Ring| eprintln!("importing into {}", ring.path().display());
            // The first one tells what is wrong; readers of the ring are told how many there were.
            let mut said = false;
            import::import(&engine, &options, &stop, ready, |error| {
                if !std::mem::replace(&mut said, true) {
                    eprintln!("slipring-bridge: a message is left out, and so are others like it: {error}");
                }
            })
        }
        Verb::Status(arguments) => status(&arguments),
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

fn status(arguments: &StatusArguments) -> Result<(), BridgeError> {
    let network = &arguments.network;
    let engine = engine(&network.addresses)?;
    let name = network.name.clone().unwrap_or(arguments.ring.clone());
    let key = crate::keys::Keys::new(&network.realm, &name).status();
    let until = Instant::now() + seconds(arguments.timeout).min(Duration::from_secs(86_400));
    loop {
        let (said, says) = mpsc::channel();
        let sink = Box::new(move |reply| {
            let _ = said.send(reply);
        });
        let within = Duration::from_millis(500);
        engine.ask(&key, "", within, sink)?;
        let mut found = false;
        while let Ok(Some(bytes)) = says.recv_timeout(2 * within) {
            found = true;
            show(&bytes, arguments.json);
        }
        if found {
            return Ok(());
        }
        if Instant::now() >= until {
            let trouble = engine.trouble();
            return Err(BridgeError::NoSource { key, trouble });
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn code(error: &BridgeError) -> u8 {
    match error {
        BridgeError::Name(_)
        | BridgeError::Settings(_)
        | BridgeError::Evicts { .. }
        | BridgeError::Form { .. }
        | BridgeError::OtherSchema { .. }
        | BridgeError::Encoding(EncodingError::NoSchema { .. }) => 2,
        BridgeError::Open(OpenError::NotFound { .. }) => 3,
        BridgeError::Open(OpenError::Permission { .. })
        | BridgeError::Attach(AttachError::Permission { .. })
        | BridgeError::Create(CreateError::Permission { .. }) => 5,
        BridgeError::Publish(PublishError::Removed)
        | BridgeError::TryPublish(TryPublishError::Removed)
        | BridgeError::Status(StatusError::Removed { .. })
        | BridgeError::Attach(AttachError::Removed { .. }) => 8,
        BridgeError::Open(OpenError::Io { .. } | OpenError::Busy { .. }) => 1,
        BridgeError::Open(_)
        | BridgeError::Meta(_)
        | BridgeError::Stop(_)
        | BridgeError::NotAMirror { .. }
        | BridgeError::TooSmall { .. } => 4,
        BridgeError::NoSource { .. } => 124,
        _ => 1,
    }
}

/// What the command does.
pub fn main() -> ExitCode {
    let _ = slipring::place::guard_against_truncation();
    said::listen(|report| eprintln!("slipring-bridge: {report}"));
    match run(Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slipring-bridge: {error}");
            ExitCode::from(code(&error))
        }
    }
}
