//! A set of handles, waited for asleep or by its descriptor: every test of sets is made to run both ways.

use rustix::event::{poll, PollFd, PollFlags, Timespec};
use slipring::endpoint::Source;
use slipring::events::PollableSet;
use slipring::{Deadline, WaitSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

static BY_DESCRIPTOR: AtomicBool = AtomicBool::new(false);

/// From now on, the sets of this process are waited for by their descriptors.
pub fn by_descriptor() {
    BY_DESCRIPTOR.store(true, Relaxed);
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
        match BY_DESCRIPTOR.load(Relaxed) {
            true => Self::ByDescriptor(PollableSet::new().unwrap()),
            false => Self::Asleep(WaitSet::new()),
        }
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

/// The suite of a module, and once more with its sets waited for by their descriptors.
#[macro_export]
macro_rules! suites_of_sets {
    ($role:path; [$($test:ident),* $(,)?]) => {
        pub const SUITE: $crate::Suite = $crate::suite!($role; [$($test),*]);
        pub const BY_DESCRIPTOR: $crate::Suite = $crate::Suite {
            path: concat!(module_path!(), "_by_descriptor"),
            role: $role,
            tests: by_descriptor::TESTS,
        };

        /// Each test of this module.
        mod by_descriptor {
            pub const TESTS: &[(&str, fn())] = &[$((stringify!($test), $test as fn())),*];
            $(fn $test() {
                $crate::waiter::by_descriptor();
                super::$test();
            })*
        }
    };
}
