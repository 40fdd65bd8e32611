//! How a handle waits and reads: one structure for every role.

use crate::failure::Failure;
use crate::given::{argument, flag, options, Sized0};
use slipring::{
    endpoint::Resume, latest, link, mailbox, pipe, queue, semaphore, shared, signals,
    ConsumerOptions, ObserverOptions, ProducerOptions, ReadPolicy, Strategy,
};
use std::time::Duration;

/// How a handle waits. The values of `slipring_options.strategy`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(dead_code, reason = "names of numbers, for the header")]
pub enum slipring_strategy {
    /// Polls for 20 microseconds, then sleeps.
    SLIPRING_STRATEGY_DEFAULT = 0,
    /// Polls without pause. Lowest latency; takes a whole core.
    SLIPRING_STRATEGY_SPIN = 1,
    /// Polls, and yields the core to other threads between polls.
    SLIPRING_STRATEGY_YIELD = 2,
    /// Polls for `spin_ns`, then sleeps.
    SLIPRING_STRATEGY_SPIN_THEN_PARK = 3,
    /// Sleeps until woken.
    SLIPRING_STRATEGY_PARK = 4,
}

/// Where a reader reads. The values of `slipring_options.read_policy`.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(dead_code, reason = "names of numbers, for the header")]
pub enum slipring_read_policy {
    /// Finds out by trying what makes the stream faster.
    SLIPRING_READ_AUTO = 0,
    /// Reads each message at once, and neither pauses nor flushes.
    SLIPRING_READ_AT_HEAD = 1,
    /// Stays `lag_bytes` behind its producer, pausing for `pause_ns`.
    SLIPRING_READ_BEHIND = 2,
}

/// How a handle behaves. NULL in its place means all defaults, and so does zero in any member but the first. What does not apply
/// to a handle is refused, unless it is zero.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct slipring_options {
    /// The size of this structure: set by the caller, with `sizeof`.
    pub struct_size: usize,
    /// How it waits, of `enum slipring_strategy`.
    pub strategy: u32,
    /// Of consumers, observers and receivers: where it reads, of `enum slipring_read_policy`.
    pub read_policy: u32,
    /// With `SLIPRING_STRATEGY_SPIN_THEN_PARK`: how long it polls before each sleep, in nanoseconds.
    pub spin_ns: u64,
    /// With `SLIPRING_READ_BEHIND`: how many bytes it tries to stay behind.
    pub lag_bytes: u64,
    /// With `SLIPRING_READ_BEHIND`: how long it pauses, in nanoseconds.
    pub pause_ns: u64,
    /// With `SLIPRING_READ_BEHIND`: 1 if it takes what it has read out of the caches.
    pub flush: u8,
    /// Of producers and consumers: 1 if the side that goes to sleep pays for fences.
    pub membarrier: u8,
    /// Of observers: 1 to go on at the oldest message after a lap, and not near the newest.
    pub resume_at_oldest: u8,
    /// Zero.
    pub reserved: [u8; 5],
}

impl Sized0 for slipring_options {
    const NAME: &'static str = "slipring_options";
    fn struct_size(&self) -> usize {
        self.struct_size
    }
    fn reserved_is_zero(&self) -> bool {
        self.reserved == [0; 5]
    }
}

/// What the options of a role can say.
pub trait Role: Default {
    fn strategy(self, strategy: Strategy) -> Self;
    fn read_policy(self, _: ReadPolicy) -> Option<Self> {
        None
    }
    fn membarrier(self) -> Option<Self> {
        None
    }
    fn resume(self) -> Option<Self> {
        None
    }
}

macro_rules! role {
    ($type:ty $(, $name:ident)*) => {
        impl Role for $type {
            fn strategy(self, strategy: Strategy) -> Self {
                self.strategy(strategy)
            }
            $(role!(@ $name);)*
        }
    };
    (@ read) => {
        fn read_policy(self, policy: ReadPolicy) -> Option<Self> {
            Some(self.read_policy(policy))
        }
    };
    (@ membarrier) => {
        fn membarrier(self) -> Option<Self> {
            Some(self.membarrier(true))
        }
    };
    (@ resume) => {
        fn resume(self) -> Option<Self> {
            Some(self.resume(Resume::Oldest))
        }
    };
}
role!(ProducerOptions, membarrier);
role!(ConsumerOptions, read, membarrier);
role!(ObserverOptions, read, resume);
role!(queue::SenderOptions);
role!(queue::ReceiverOptions, read);
role!(mailbox::ClientOptions);
role!(link::LinkOptions);
role!(pipe::PipeOptions);
role!(latest::ReaderOptions);
role!(shared::SharedOptions);
role!(semaphore::SemaphoreOptions);
role!(signals::ListenerOptions);

/// # Safety
/// As for [`options`].
pub unsafe fn of_role<R: Role>(given: *const slipring_options) -> Result<R, Failure> {
    // SAFETY: as the caller says.
    let Some(given) = (unsafe { options(given) })? else {
        return Ok(R::default());
    };
    let refused = |what: &str| argument(format!("{what} does not apply to this kind of handle"));
    let spin = Duration::from_nanos(given.spin_ns);
    let strategy = match given.strategy {
        0 => Strategy::default(),
        1 => Strategy::Spin,
        2 => Strategy::Yield,
        3 => Strategy::SpinThenPark { spin },
        4 => Strategy::Park,
        other => return Err(argument(format!("there is no strategy {other}"))),
    };
    if given.strategy != 3 && given.spin_ns != 0 {
        return Err(argument(
            "spin_ns is of SLIPRING_STRATEGY_SPIN_THEN_PARK only".to_owned(),
        ));
    }
    let mut role = R::default().strategy(strategy);
    let flush = flag(given.flush, "flush")?;
    if given.read_policy != 2 && (flush || given.lag_bytes != 0 || given.pause_ns != 0) {
        return Err(argument(
            "lag_bytes, pause_ns and flush are of SLIPRING_READ_BEHIND only".to_owned(),
        ));
    }
    let policy = match given.read_policy {
        0 => None,
        1 => Some(ReadPolicy::AtHead),
        2 => Some(ReadPolicy::Behind(pacing(&given, flush))),
        other => return Err(argument(format!("there is no read_policy {other}"))),
    };
    if let Some(policy) = policy {
        role = role
            .read_policy(policy)
            .ok_or_else(|| refused("read_policy"))?;
    }
    if flag(given.membarrier, "membarrier")? {
        role = role.membarrier().ok_or_else(|| refused("membarrier"))?;
    }
    if flag(given.resume_at_oldest, "resume_at_oldest")? {
        role = role.resume().ok_or_else(|| refused("resume_at_oldest"))?;
    }
    Ok(role)
}

fn pacing(given: &slipring_options, flush: bool) -> slipring::endpoint::Pacing {
    slipring::endpoint::Pacing {
        lag_bytes: given.lag_bytes,
        pause_ns: given.pause_ns,
        flush,
    }
}
