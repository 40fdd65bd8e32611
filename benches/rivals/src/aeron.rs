//! Aeron through its C client: an exclusive publication and a subscription each way, over a media driver
//! that runs for as long as the sample does.

use rusteron_client::{
    Aeron, AeronContext, AeronExclusivePublication, AeronOfferError, AeronSubscription, Handlers,
};
use rusteron_media_driver::{AeronDriver, AeronDriverContext, EmbeddedMediaDriver};
use rustix::thread::{sched_getaffinity, sched_setaffinity, CpuSet};
use slipring_cli::bench::channel::{Channel, Contender, End, Place};
use slipring_cli::bench::contenders::pairs;
use std::ffi::CString;
use std::hint::spin_loop;
use std::io;
use std::time::Duration;

pub const CONTENDERS: [Contender; 1] = [Contender {
    name: "aeron",
    how: "IPC, exclusive publication, try_claim, poll of 1 (256 in streams), busy spin; driver in one thread that backs off, on all cores",
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
    _client: Aeron,
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
            _client: client,
            _driver: driver,
        })
    }
}

#[inline(always)]
fn put(publication: &AeronExclusivePublication, message: &[u8]) -> io::Result<()> {
    loop {
        match publication.try_claim_owned(message.len()) {
            Ok(mut claim) => {
                claim.data().copy_from_slice(message);
                claim.commit().map_err(other)?;
                return Ok(());
            }
            Err(error) if retry(&error) => spin_loop(),
            Err(error) => return Err(other(error)),
        }
    }
}

fn retry(error: &AeronOfferError) -> bool {
    error.is_retryable()
}

/// Shows one message.
#[inline(always)]
fn take_one<R>(subscription: &AeronSubscription, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
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
        spin_loop();
    }
}

impl Channel for Streams {
    fn start(&mut self) -> io::Result<()> {
        while !self.publication.is_connected() || !self.subscription.is_connected() {
            std::thread::yield_now();
        }
        Ok(())
    }

    #[inline(always)]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        put(&self.publication, message)
    }

    #[inline(always)]
    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        take_one(&self.subscription, show)
    }

    #[inline(always)]
    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        let publication = &self.publication;
        take_one(&self.subscription, |bytes| {
            if last(bytes) {
                return Ok(false);
            }
            put(publication, bytes).map(|()| true)
        })?
    }

    #[inline(always)]
    fn receive_many(&mut self, mut show: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        let mut over = false;
        while !over {
            let fragment = |bytes: &[u8], _| {
                if !over {
                    over = show(bytes);
                }
            };
            if self.subscription.poll_fn(fragment, 256).map_err(other)? == 0 {
                spin_loop();
            }
        }
        Ok(())
    }
}
