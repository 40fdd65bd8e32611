//! The command `slipring-bridge`, which `slipring bridge` runs too.

mod arguments;

use crate::encoding::EncodingError;
use crate::engine::threads::{check_threads, share_threads};
use crate::engine::zenoh::{Zenoh, ZenohOptions};
use crate::engine::{said, Engine};
use crate::error::BridgeError;
use crate::mirror::{self, OnRecreate};
use crate::serve;
use crate::show::show;
use crate::stat::place_beside;
use crate::{export, import};
use arguments::{Addresses, Arguments, Network, Recreated, StatusArguments, Verb};
use clap::Parser;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use slipring::endpoint::{AttachError, PublishError, StatusError, TryPublishError};
use slipring::place::{CreateError, OpenError};
use slipring::{Place, Ring, Start};
use slipring_mirror::{Name, NameError};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::{mpsc, Arc};
use std::time::{Duration, Instant};

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
    check_threads()?;
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
                linger: arguments.linger,
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
        | BridgeError::Threads(_)
        | BridgeError::Settings(_)
        | BridgeError::Evicts { .. }
        | BridgeError::Form { .. }
        | BridgeError::OtherSchema { .. }
        | BridgeError::Encoding(EncodingError::NoSchema { .. }) => 2,
        BridgeError::Open(OpenError::NotFound { .. }) => 3,
        BridgeError::Note { error, .. } if error.kind() == ErrorKind::PermissionDenied => 5,
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
        | BridgeError::WrittenByOther { .. }
        | BridgeError::Note { .. }
        | BridgeError::TooSmall { .. } => 4,
        BridgeError::NoSource { .. } => 124,
        _ => 1,
    }
}

/// What the command does.
pub fn main() -> ExitCode {
    share_threads();
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

#[cfg(test)]
mod tests {
    use super::code;
    use crate::error::BridgeError;
    use std::io::{Error, ErrorKind};

    /// A service is not started again if what lies beside its ring cannot be used, and is if the system lacks something.
    #[test]
    fn a_note_that_cannot_be_used_has_a_status_by_which_a_service_stays_stopped() {
        let note = |error: Error| BridgeError::Note {
            path: ".quotes.mirror".into(),
            error,
        };
        for (error, status) in [
            (note(ErrorKind::PermissionDenied.into()), 5),
            (note(ErrorKind::IsADirectory.into()), 4),
            (note(Error::other("it belongs to another user")), 4),
            (Error::from(ErrorKind::OutOfMemory).into(), 1),
        ] {
            assert_eq!(code(&error), status, "{error}");
        }
    }
}
