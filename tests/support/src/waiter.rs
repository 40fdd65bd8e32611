//! A set of handles, waited for asleep, by its descriptor: or by one that the kernel makes readable itself: every
//! test of sets is made to run in each way.

use rustix::event::{poll, PollFd, PollFlags, Timespec};
use slipring::endpoint::Source;
use slipring::events::PollableSet;
use slipring::{Deadline, WaitSet};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;

const ASLEEP: u8 = 0;
const BY_DESCRIPTOR: u8 = 1;
const BY_IO_URING: u8 = 2;

static WAY: AtomicU8 = AtomicU8::new(ASLEEP);

/// From now on, the sets of this process are waited for by their descriptors.
pub fn by_descriptor() {
    WAY.store(BY_DESCRIPTOR, Relaxed);
}

/// From now on, the sets of this process are waited for by their descriptors, which the kernel makes readable itself.
pub fn by_io_uring() {
    WAY.store(BY_IO_URING, Relaxed);
}

/// Whether tests of io_uring test it; the kernel may refuse it to this process.
pub fn has_io_uring() -> bool {
    match PollableSet::new().unwrap().use_io_uring() {
        Ok(()) => true,
        Err(error) => {
            eprintln!("SKIPPED: io_uring: {error}");
            false
        }
    }
}

/// Waits for several sources.
#[derive(Debug)]
pub enum Waiter {
    Asleep(WaitSet),
    ByDescriptor(PollableSet),
}

impl Default for Waiter {
    fn default() -> Self {
        Self::new()
    }
}

impl Waiter {
    pub fn new() -> Self {
        let way = WAY.load(Relaxed);
        if way == ASLEEP {
            return Self::Asleep(WaitSet::new());
        }
        let mut set = PollableSet::new().unwrap();
        if way == BY_IO_URING && has_io_uring() {
            set.use_io_uring().unwrap();
        }
        Self::ByDescriptor(set)
    }

    pub fn with_spin(spin: Duration) -> Self {
        match Self::new() {
            Self::Asleep(_) => Self::Asleep(WaitSet::with_spin(spin)),
            polled => polled,
        }
    }

    pub fn wait(
        &mut self,
        sources: &mut [&mut dyn Source],
        deadline: impl Into<Deadline>,
    ) -> Option<usize> {
        let deadline = deadline.into();
        let set = match self {
            Self::Asleep(set) => return set.wait(sources, deadline),
            Self::ByDescriptor(set) => set,
        };
        loop {
            if let Some(at) = set.arm(sources) {
                return Some(at);
            }
            if deadline.passed() {
                return None;
            }
            let left = deadline.remaining();
            let left = left.map(|left| Timespec::try_from(left).unwrap());
            match poll(&mut [PollFd::new(&*set, PollFlags::IN)], left.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// The suite of a module, and once more with its sets waited for in each other way.
#[macro_export]
macro_rules! suites_of_sets {
    ($role:path; [$($test:ident),* $(,)?]) => {
        pub const SUITE: $crate::Suite = $crate::suite!($role; [$($test),*]);
        pub const BY_DESCRIPTOR: $crate::Suite = $crate::Suite {
            path: concat!(module_path!(), "_by_descriptor"),
            role: $role,
            tests: by_descriptor::TESTS,
        };
        pub const BY_IO_URING: $crate::Suite = $crate::Suite {
            path: concat!(module_path!(), "_by_io_uring"),
            role: $role,
            tests: by_io_uring::TESTS,
        };

        /// Each test of this module.
        mod by_descriptor {
            pub const TESTS: &[(&str, fn())] = &[$((stringify!($test), $test as fn())),*];
            $(fn $test() {
                $crate::waiter::by_descriptor();
                super::$test();
            })*
        }

        /// Each test of this module.
        mod by_io_uring {
            pub const TESTS: &[(&str, fn())] = &[$((stringify!($test), $test as fn())),*];
            $(fn $test() {
                $crate::waiter::by_io_uring();
                super::$test();
            })*
        }
    };
}
