//! Whose turn it is with a handle: one thread at a time, and a second one is refused.
//!
//! A handle belongs to the thread that used it last. That thread says in a word of its own which handle it is in, with
//! two plain stores for each call. Another thread that wants the handle writes itself down as its owner, makes the last owner's
//! stores visible by `membarrier`, and looks whether that one is in it. So a handle may go from thread to thread, and only the
//! first call of each turn costs a system call. Where the kernel has no `membarrier`, each call has a full fence instead.

use crate::failure::Failure;
use crate::status::SLIPRING_E_BUSY;
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{
    compiler_fence, fence, AtomicBool, AtomicPtr, AtomicU32, AtomicU8,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};

/// What a thread is in. Slots are made once and used again, by one thread at a time.
pub struct Slot {
    used: AtomicBool,
    inside: AtomicPtr<Head>,
    next: *const Slot,
}

/// What every handle that threads take turns with begins with.
pub struct Head {
    owner: AtomicPtr<Slot>,
    /// Whether a call holds it together with others.
    held: AtomicBool,
}

static SLOTS: AtomicPtr<Slot> = AtomicPtr::new(ptr::null_mut());
/// The process that takes a handle from one thread for another. A fork may find its parent there.
static TAKING: AtomicU32 = AtomicU32::new(0);
static FENCES: AtomicU8 = AtomicU8::new(UNKNOWN);
const UNKNOWN: u8 = 0;
const LIGHT: u8 = 1;
const FULL: u8 = 2;

/// What a thread is in while it holds several.
static SEVERAL: Head = Head {
    owner: AtomicPtr::new(ptr::null_mut()),
    held: AtomicBool::new(false),
};

thread_local! {
    // Without a destructor, so that it is there while the thread ends too.
    static MINE: Cell<*const Slot> = const { Cell::new(ptr::null()) };
    static LEASE: Lease = const { Lease(Cell::new(ptr::null())) };
}

struct Lease(Cell<*const Slot>);

impl Drop for Lease {
    fn drop(&mut self) {
        // SAFETY: slots are never freed.
        if let Some(slot) = unsafe { self.0.get().as_ref() } {
            MINE.set(ptr::null());
            slot.inside.store(ptr::null_mut(), Release);
            slot.used.store(false, Release);
        }
    }
}

#[inline(always)]
fn mine() -> &'static Slot {
    // SAFETY: slots are never freed.
    match unsafe { MINE.get().as_ref() } {
        Some(slot) => slot,
        None => claim(),
    }
}

#[cold]
fn claim() -> &'static Slot {
    let mut at: *const Slot = SLOTS.load(Acquire);
    // SAFETY: slots are never freed.
    while let Some(slot) = unsafe { at.as_ref() } {
        // Acquires what its last thread did with the handles that it leaves to this one.
        if !slot.used.load(Relaxed) && !slot.used.swap(true, Acquire) {
            return keep(slot);
        }
        at = slot.next;
    }
    let made = Box::into_raw(Box::new(Slot {
        used: AtomicBool::new(true),
        inside: AtomicPtr::new(ptr::null_mut()),
        next: ptr::null(),
    }));
    let mut first = SLOTS.load(Relaxed);
    loop {
        // SAFETY: no other thread knows it yet.
        unsafe { (*made).next = first };
        match SLOTS.compare_exchange_weak(first, made, Release, Relaxed) {
            // SAFETY: slots are never freed.
            Ok(_) => return keep(unsafe { &*made }),
            Err(now) => first = now,
        }
    }
}

fn keep(slot: &'static Slot) -> &'static Slot {
    MINE.set(slot);
    // In a thread that ends already nothing would give the slot back: it stays used.
    let _ = LEASE.try_with(|lease| lease.0.set(slot));
    slot
}

fn membarrier(command: i32) -> bool {
    // SAFETY: the call reads no memory of this process.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

const EXPEDITED: i32 = libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED;
const REGISTER: i32 = libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED;

impl Head {
    pub fn new() -> Self {
        if FENCES.load(Relaxed) == UNKNOWN {
            let light = membarrier(REGISTER);
            FENCES.store(if light { LIGHT } else { FULL }, Relaxed);
        }
        Self {
            owner: AtomicPtr::new(ptr::null_mut()),
            held: AtomicBool::new(false),
        }
    }

    /// Begins a call with this handle.
    #[inline(always)]
    pub fn enter(&self) -> Result<Turn, Failure> {
        let mine = mine();
        if !mine.inside.load(Relaxed).is_null() {
            return Err(busy());
        }
        mine.inside.store(ptr::from_ref(self).cast_mut(), Release);
        if FENCES.load(Relaxed) == LIGHT {
            compiler_fence(SeqCst);
        } else {
            fence(SeqCst);
        }
        if !ptr::eq(self.owner.load(Relaxed), mine) {
            take(self, mine)?;
        }
        Ok(Turn(mine))
    }
}

/// A call, until it ends.
pub struct Turn(&'static Slot);

impl Drop for Turn {
    #[inline(always)]
    fn drop(&mut self) {
        self.0.inside.store(ptr::null_mut(), Release);
    }
}

#[cold]
pub fn busy() -> Failure {
    Failure::fixed(
        SLIPRING_E_BUSY,
        "the handle is in a call already, of another thread or of the one that a handler of a signal interrupted: a handle is for one thread at a time",
    )
}

#[cold]
fn take(head: &Head, mine: &'static Slot) -> Result<(), Failure> {
    let taken = {
        let _lock = Taking::begin();
        owned(head, mine)
    };
    if !taken {
        mine.inside.store(ptr::null_mut(), Release);
        return Err(busy());
    }
    Ok(())
}

/// Makes this thread the owner unless another one is in the handle. Called with the lock.
fn owned(head: &Head, mine: &'static Slot) -> bool {
    if head.held.load(Relaxed) {
        return false;
    }
    let last = head.owner.load(Relaxed);
    head.owner.store(ptr::from_ref(mine).cast_mut(), Relaxed);
    // SAFETY: slots are never freed.
    let Some(owner) = (unsafe { last.cast_const().as_ref() }) else {
        return true;
    };
    if ptr::eq(owner, mine) {
        return true;
    }
    let seen = if FENCES.load(Relaxed) == LIGHT {
        // A fork may have to say anew that it uses the call.
        membarrier(EXPEDITED) || (membarrier(REGISTER) && membarrier(EXPEDITED))
    } else {
        fence(SeqCst);
        true
    };
    if seen && !ptr::eq(owner.inside.load(Acquire), head) {
        return true;
    }
    head.owner.store(last, Relaxed);
    false
}

struct Taking;

impl Taking {
    fn begin() -> Self {
        let me = std::process::id();
        loop {
            match TAKING.compare_exchange_weak(0, me, Acquire, Relaxed) {
                Ok(_) => return Self,
                // Of the parent's thread only a copy of its word came along.
                Err(other) if other != 0 && other != me => {
                    if TAKING.compare_exchange(other, me, Acquire, Relaxed).is_ok() {
                        return Self;
                    }
                }
                Err(_) => std::thread::yield_now(),
            }
        }
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        TAKING.store(0, Release);
    }
}

/// A call with several handles at once, until it ends.
pub struct Several<'h> {
    mine: &'static Slot,
    heads: Vec<&'h Head>,
}

impl<'h> Several<'h> {
    /// Begins a call with all of these, or with none. One that is there twice is refused.
    pub fn enter(heads: impl Iterator<Item = &'h Head>) -> Result<Self, Failure> {
        let mine = mine();
        if !mine.inside.load(Relaxed).is_null() {
            return Err(busy());
        }
        let mut several = Self {
            mine,
            heads: Vec::new(),
        };
        mine.inside
            .store(ptr::from_ref(&SEVERAL).cast_mut(), Release);
        let lock = Taking::begin();
        for head in heads {
            if !owned(head, mine) {
                drop(lock);
                return Err(busy());
            }
            head.held.store(true, Relaxed);
            several.heads.push(head);
        }
        Ok(several)
    }
}

impl Drop for Several<'_> {
    fn drop(&mut self) {
        {
            let _lock = Taking::begin();
            for head in &self.heads {
                head.held.store(false, Relaxed);
            }
        }
        self.mine.inside.store(ptr::null_mut(), Release);
    }
}
