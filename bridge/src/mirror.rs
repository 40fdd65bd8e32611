//! The receiving side, which writes a ring as its source has it: one thread, which those that bring frames help.

mod copy;
mod event;
mod find;
mod note;
mod open;
mod options;
mod run;
mod shared;
#[cfg(test)]
mod trial;
mod work;

pub use options::{From, OnRecreate, Options};

use crate::clock::Clock;
use crate::engine::{Engine, Sample};
use crate::error::BridgeError;
use crate::inbox::Inbox;
use crate::keys::Keys;
use crate::latency::Timing;
use crate::stat::Counter;
use copy::Copy;
use find::find;
use open::open;
use run::{turn, Mirrored};
use shared::Shared;
use slipring::schema::Schema;
use slipring::{registry, Ring};
use slipring_mirror::mirror::{Settings, Stop};
use slipring_mirror::Mirror;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use work::Work;

/// Mirrors a ring until it is told to stop.
///
/// `ready` is called each time that a ring begins to be written.
///
/// # Errors
/// [`BridgeError`]. With [`BridgeError::Stop`] of a ring that was made anew, the mirror was closed behind all that
/// was known of its source, unless another process was its producer. With any other, it was left as it was: its readers wait for
/// the next mirror.
pub fn mirror(
    engine: &Arc<dyn Engine>,
    options: &Options,
    stop: &AtomicBool,
    mut ready: impl FnMut(&Ring),
) -> Result<(), BridgeError> {
    let keys = Keys::new(&options.realm, &options.name);
    let window = usize::try_from(options.window).unwrap_or(usize::MAX);
    let mut inbox = Inbox::new(window.saturating_mul(2).max(1 << 20))?;
    let instance = random();
    let ask = format!("as={};instance={instance:x}", options.mirror);
    let started = Instant::now();
    let mut from = options.from;
    let mut counter = match &options.stat {
        Some(place) => Some(Counter::open(place)?),
        None => None,
    };
    loop {
        let Some(meta) = find(engine, options, &keys, &ask, &mut inbox, stop)? else {
            return Ok(());
        };
        let ring = open(options, &meta, from)?;
        let shared = Shared::new(inbox.sender());
        let frames = shared.clone();
        let _data = engine.subscribe(
            &keys.data(meta.ring),
            Box::new(move |sample: Sample<'_>| frames.frame(sample.bytes)),
        )?;
        let mut copy = Copy::new(ring.clone())?;
        let producer = copy.attach()?;
        let mut settings =
            Settings::new(options.mirror.clone(), instance, ring.max_message_bytes());
        settings.window = options.window;
        settings.size = ring.schema().map(Schema::bytes);
        let next = producer.next_sequence();
        let machine = Mirror::new(settings, &meta, next, started.elapsed());
        ready(&ring);
        shared.begin(Work {
            engine: engine.clone(),
            machine,
            producer: Some(producer),
            copy,
            ack_key: keys.ack(meta.ring, &options.mirror),
            started,
            clock: Clock::default(),
            timing: Timing::new(next),
        });
        let mut mirrored = Mirrored {
            sender: inbox.sender(),
            turn: turn(options.window),
            fetch_key: keys.fetch(meta.ring),
            meta_key: keys.meta(),
            clock_key: keys.clock(meta.ring),
            stat_key: keys.stat(meta.ring, &options.mirror),
            ask: &ask,
            report_at: Duration::ZERO,
            counter: &mut counter,
        };
        let ended = mirrored.run(&shared, &mut inbox, stop);
        if let Some(mut work) = shared.end() {
            // Only the end of the source is that of its readers.
            work.detach();
        }
        match ended {
            Err(BridgeError::Stop(Stop::Recreated { .. }))
                if options.on_recreate == OnRecreate::Follow && !stop.load(Ordering::Relaxed) =>
            {
                registry::remove_at(options.place.clone(), true)?;
                // All of the new one, since its beginning was not seen.
                from = From::Oldest;
            }
            ended => return ended,
        }
    }
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(8) => u64::from_ne_bytes(bytes),
        // Unlike that of another process of this host at this moment, and of others most likely.
        _ => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(0, |now| now.as_nanos() as u64) ^ u64::from(std::process::id()) << 40
        }
    }
}
