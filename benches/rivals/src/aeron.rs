//! Aeron through its C client: an exclusive publication and a subscription each way, over a media driver
//! that runs for as long as the sample does.
//!
//! Set as its authors advise where there are no cores to spare: one thread for the whole driver, and no thread for
//! the conductor of a client, which its user calls instead.

use rusteron_client::{
    Aeron, AeronContext, AeronExclusivePublication, AeronOfferError, AeronSubscription, Handlers,
};
use rusteron_media_driver::bindings::aeron_threading_mode_enum::AERON_THREADING_MODE_SHARED;
use rusteron_media_driver::{AeronDriver, AeronDriverContext, EmbeddedMediaDriver};
use rustix::thread::{sched_getaffinity, sched_setaffinity, CpuSet};
use slipring_cli::bench::channel::{Channel, Contender, End, Place};
use slipring_cli::bench::contenders::pairs;
use slipring_cli::bench::message::Source;
use std::ffi::CString;
use std::hint::spin_loop;
use std::io;
use std::time::Duration;

pub const CONTENDERS: [Contender; 1] = [Contender {
    name: "aeron",
    how: "IPC, exclusive publication, try_claim, poll of 1 (256 in streams), busy spin, each client runs its own conductor; media driver SHARED, one more thread on all cores that sleeps a millisecond",
    threads: false,
    capacity: true,
    // A claim takes what fits a frame of the largest unit of transfer.
    suits: |workload, size| pairs(workload, size) && size <= 32 << 10,
    open: |place| crate::boxed(Streams::open(place)),
}];

struct Streams {
    publication: AeronExclusivePublication,
    subscription: AeronSubscription,
    // Dropped in this order: the driver outlives its client.
    client: Aeron,
    _driver: Option<EmbeddedMediaDriver>,
}

fn other(error: impl std::fmt::Debug) -> io::Error {
    io::Error::other(format!("{error:?}"))
}

fn c_string(text: String) -> io::Result<CString> {
    CString::new(text).map_err(other)
}

/// Starts the driver. Its thread may run on any core.
fn drive(directory: &CString) -> io::Result<EmbeddedMediaDriver> {
    let context = AeronDriverContext::new().map_err(other)?;
    context.set_dir(directory).map_err(other)?;
    context.set_dir_delete_on_start(true).map_err(other)?;
    context.set_dir_delete_on_shutdown(true).map_err(other)?;
    context
        .set_threading_mode(AERON_THREADING_MODE_SHARED)
        .map_err(other)?;
    context
        .set_shared_idle_strategy(c"sleep-ns")
        .map_err(other)?;
    context
        .set_shared_idle_strategy_init_args(c"1ms")
        .map_err(other)?;
    let mine = sched_getaffinity(None)?;
    let mut everywhere = CpuSet::new();
    for core in 0..CpuSet::MAX_CPU {
        everywhere.set(core);
    }
    sched_setaffinity(None, &everywhere)?;
    let driver = AeronDriver::launch_embedded_guard(context, false);
    sched_setaffinity(None, &mine)?;
    Ok(driver)
}

impl Streams {
    fn open(place: &Place<'_>) -> io::Result<Self> {
        let directory = c_string(format!("{}-aeron", place.directory.display()))?;
        let driver = match place.end {
            End::First => Some(drive(&directory)?),
            End::Second => None,
        };
        let context = AeronContext::new().map_err(other)?;
        context.set_dir(&directory).map_err(other)?;
        context
            .set_use_conductor_agent_invoker(true)
            .map_err(other)?;
        let client = Aeron::new(&context).map_err(other)?;
        client.start().map_err(other)?;
        // The publisher may be half a term ahead.
        let term = (2 * place.capacity).clamp(64 << 10, 1 << 30);
        let channel = c_string(format!("aeron:ipc?term-length={term}|mtu=65504"))?;
        let (out, inward) = match place.end {
            End::First => (1, 2),
            End::Second => (2, 1),
        };
        let patience = Duration::from_secs(10);
        let publication = client
            .async_add_exclusive_publication(&channel, out)
            .and_then(|waiting| waiting.poll_blocking(patience))
            .map_err(other)?;
        let subscription = client
            .async_add_subscription(&channel, inward, Handlers::NONE, Handlers::NONE)
            .and_then(|waiting| waiting.poll_blocking(patience))
            .map_err(other)?;
        Ok(Self {
            publication,
            subscription,
            client,
            _driver: driver,
        })
    }
}

/// A client's conductor hears of new publications and says that the client lives. Whoever waits calls it, in one of
/// so many turns.
const CONDUCT_EVERY: u32 = 1024;

/// Waits, turn by turn.
struct Patience<'c> {
    client: &'c Aeron,
    turns: u32,
}

impl<'c> Patience<'c> {
    fn new(client: &'c Aeron) -> Self {
        Self { client, turns: 0 }
    }

    #[inline(always)]
    fn turn(&mut self) -> io::Result<()> {
        self.turns += 1;
        if self.turns.is_multiple_of(CONDUCT_EVERY) {
            self.client.main_do_work().map_err(other)?;
        }
        spin_loop();
        Ok(())
    }
}

/// Claims room for a message and has it written there.
#[inline(always)]
fn put(
    client: &Aeron,
    publication: &AeronExclusivePublication,
    size: usize,
    write: impl FnOnce(&mut [u8]),
) -> io::Result<()> {
    let mut patience = Patience::new(client);
    loop {
        match publication.try_claim_owned(size) {
            Ok(mut claim) => {
                write(claim.data());
                claim.commit().map_err(other)?;
                return Ok(());
            }
            Err(error) if retry(&error) => patience.turn()?,
            Err(error) => return Err(other(error)),
        }
    }
}

fn retry(error: &AeronOfferError) -> bool {
    error.is_retryable()
}

/// Shows one message.
#[inline(always)]
fn take_one<R>(
    client: &Aeron,
    subscription: &AeronSubscription,
    show: impl FnOnce(&[u8]) -> R,
) -> io::Result<R> {
    let mut patience = Patience::new(client);
    let (mut show, mut shown) = (Some(show), None);
    loop {
        let fragment = |bytes: &[u8], _| {
            if let Some(show) = show.take() {
                shown = Some(show(bytes));
            }
        };
        subscription.poll_fn(fragment, 1).map_err(other)?;
        if let Some(shown) = shown.take() {
            return Ok(shown);
        }
        patience.turn()?;
    }
}

impl Channel for Streams {
    fn start(&mut self) -> io::Result<()> {
        while !self.publication.is_connected() || !self.subscription.is_connected() {
            self.client.main_do_work().map_err(other)?;
            std::thread::yield_now();
        }
        Ok(())
    }

    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let write = |place: &mut [u8]| place.copy_from_slice(message);
        put(&self.client, &self.publication, message.len(), write)
    }

    #[inline(always)]
    fn send_many(&mut self, count: usize, source: &mut impl Source) -> io::Result<()> {
        let size = source.size();
        for _ in 0..count {
            let write = |place: &mut [u8]| source.write(place);
            put(&self.client, &self.publication, size, write)?;
        }
        // A sender that never waits has to call it too.
        self.client.main_do_work().map_err(other)?;
        Ok(())
    }

    #[inline(always)]
    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        take_one(&self.client, &self.subscription, show)
    }

    #[inline(always)]
    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        let (client, publication) = (&self.client, &self.publication);
        take_one(client, &self.subscription, |bytes| {
            if last(bytes) {
                return Ok(false);
            }
            let write = |place: &mut [u8]| place.copy_from_slice(bytes);
            put(client, publication, bytes.len(), write).map(|()| true)
        })?
    }

    #[inline(always)]
    fn receive_many(&mut self, mut show: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        let mut over = false;
        let mut patience = Patience::new(&self.client);
        while !over {
            let fragment = |bytes: &[u8], _| {
                if !over {
                    over = show(bytes);
                }
            };
            if self.subscription.poll_fn(fragment, 256).map_err(other)? == 0 {
                patience.turn()?;
            }
        }
        Ok(())
    }
}
