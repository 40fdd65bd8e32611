//! The model half of the facade: loom's atomics, and a futex made of its lock and condition.
//!
//! Layer 0. Rule: the model may never be stronger than the product, apart from the one lock inside
//! `FutexWord`, which adds visibility the kernel does not promise. No edge is therefore proved by a model
//! that parks; parking models only show that no thread sleeps forever.
use core::time::Duration;
use std::cell::RefCell;
use std::sync::Arc;

pub use loom::sync::atomic::{fence, AtomicU32, AtomicU64};
use loom::sync::{Condvar, Mutex};

use super::Ordering;

thread_local! {
    // A std thread-local: loom runs all threads of a model on one OS thread.
    static WEAKENED: RefCell<Option<&'static str>> = const { RefCell::new(None) };
}

/// Runs `body` with one site weakened: its ordering becomes `Relaxed`, its fence vanishes. The tag is the
/// text inside `ord!` or `edge_fence!`, without the blank behind the colon: `"publish commit:Release"`.
pub fn weaken<R>(tag: &'static str, body: impl FnOnce() -> R) -> R {
    struct Restore;
    impl Drop for Restore {
        fn drop(&mut self) {
            WEAKENED.with(|w| *w.borrow_mut() = None);
        }
    }
    WEAKENED.with(|w| *w.borrow_mut() = Some(tag));
    let _restore = Restore;
    body()
}

fn weakened(tag: &str) -> bool {
    WEAKENED.with(|w| *w.borrow() == Some(tag))
}

/// The ordering, or `Relaxed` where a test weakened this tag.
pub fn order(tag: &str, order: Ordering) -> Ordering {
    if weakened(tag) {
        Ordering::Relaxed
    } else {
        order
    }
}

/// The fence, or nothing where a test weakened this tag.
pub fn tagged_fence(tag: &str, order: Ordering) {
    if !weakened(tag) {
        fence(order);
    }
}

/// Always fails: the model has no fence that one thread executes for another, so no caller can rely on one.
///
/// # Errors
/// Always.
pub fn accept_fences() -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// A fence of the caller alone. No caller relies on more, because `accept_fences` always fails.
pub fn fence_everywhere() -> bool {
    fence(Ordering::SeqCst);
    true
}

/// Never called in the model.
pub fn fence_by_others() {}

/// Lets another modelled thread run: every retry loop must call it.
pub fn spin_hint() {
    loom::thread::yield_now();
}

/// The model of a futex word: compare and sleep are one step with respect to `wake_all`.
#[derive(Debug, Default)]
pub struct FutexWord {
    value: AtomicU32,
    /// Those that sleep on several words, this one included.
    gate: Mutex<Vec<Arc<Sleeper>>>,
    bell: Condvar,
}

/// A thread that sleeps on several words.
#[derive(Debug, Default)]
struct Sleeper {
    woken: Mutex<bool>,
    bell: Condvar,
}

impl FutexWord {
    /// A word with the given value.
    pub fn new(value: u32) -> Self {
        Self {
            value: AtomicU32::new(value),
            gate: Mutex::default(),
            bell: Condvar::new(),
        }
    }

    /// The current value.
    pub fn load(&self, order: Ordering) -> u32 {
        self.value.load(order)
    }

    /// Adds one, wrapping, and returns the old value.
    pub fn bump(&self, order: Ordering) -> u32 {
        self.value.fetch_add(1, order)
    }

    /// Sleeps while the word holds `expected`. The limit never runs out in the model, so a lost
    /// wake-up is a deadlock that loom reports.
    pub fn wait(&self, expected: u32, _limit: Duration) {
        let gate = self.gate.lock().unwrap();
        if self.value.load(Ordering::Relaxed) == expected {
            drop(self.bell.wait(gate).unwrap());
        }
    }

    /// Wakes every sleeper. The number of sleepers is not modelled: it is assumed to be one.
    pub fn wake_all(&self) -> usize {
        let mut gate = self.gate.lock().unwrap();
        self.bell.notify_all();
        for sleeper in gate.drain(..) {
            *sleeper.woken.lock().unwrap() = true;
            sleeper.bell.notify_all();
        }
        1
    }

    /// Sleeps until one of the words is another one. As in the kernel, one word after the other is compared and
    /// joined, and the thread sleeps only if no word woke it meanwhile.
    pub fn wait_many(seen: &[(&Self, u32)], limit: Duration) {
        if let [(word, expected)] = seen {
            return word.wait(*expected, limit);
        }
        let sleeper = Arc::new(Sleeper::default());
        if seen
            .iter()
            .all(|(word, expected)| word.join(&sleeper, *expected))
        {
            let mut woken = sleeper.woken.lock().unwrap();
            while !*woken {
                woken = sleeper.bell.wait(woken).unwrap();
            }
        }
        for (word, _) in seen {
            let mut gate = word.gate.lock().unwrap();
            gate.retain(|other| !Arc::ptr_eq(other, &sleeper));
        }
    }

    /// Lets this word wake a sleeper. Returns `false` if it does not hold `expected`.
    fn join(&self, sleeper: &Arc<Sleeper>, expected: u32) -> bool {
        let mut gate = self.gate.lock().unwrap();
        let unchanged = self.value.load(Ordering::Relaxed) == expected;
        if unchanged {
            gate.push(sleeper.clone());
        }
        unchanged
    }

    /// The most words one `wait_many` takes.
    pub const MANY: usize = 128;
}
