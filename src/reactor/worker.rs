//! One thread that sleeps on up to 127 words, and the word that tells it of new ones.
//!
//! Layer 5.

use super::lock;
use super::notify::Notify;
use super::thread;
use crate::layout::lines::Bell;
use crate::segment::Memory;
use crate::sync::{FutexWord, Ordering::Relaxed};
use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::sync::Mutex;
use std::time::Instant;

/// How many words a thread sleeps on beside its own.
const WORDS: usize = FutexWord::MANY - 1;
/// How long a thread sleeps that has nothing to do.
const IDLE: Duration = Duration::from_secs(3600);

/// Which bell of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The one that is rung when there is something to read.
    Data,
    /// The one that is rung when there is room.
    Space,
}

/// A bell that was armed.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Keeps it mapped.
    pub memory: Memory,
    /// Which one it is.
    pub side: Side,
    /// What its word said when it was armed.
    pub seen: u32,
}

impl Watched {
    /// The bell; `None` where the ring is mapped without it.
    pub fn bell(&self) -> Option<&Bell> {
        let control = self.memory.control()?;
        Some(match self.side {
            Side::Data => &control.data,
            Side::Space => &control.space,
        })
    }

    fn word(&self) -> Option<&FutexWord> {
        self.bell().map(|bell| &bell.word)
    }

    /// Which word it is, among those of this process.
    pub fn address(&self) -> usize {
        self.word()
            .map_or(0, |word| core::ptr::from_ref(word) as usize)
    }

    /// What it says now.
    fn current(&self) -> Option<u32> {
        self.word().map(|word| word.load(Relaxed))
    }
}

/// One caller that waits.
struct Entry {
    watched: Vec<Watched>,
    due: Instant,
    notify: Notify,
}

/// A word, and the callers that watch it.
struct Word {
    /// The bell of one of them, which keeps it mapped.
    watched: Watched,
    /// What it said when each armed it, by the number of the caller.
    seen: BTreeMap<u64, u32>,
    /// What it said for all of them, unless they differ: then one has to be notified, and the next look finds which.
    all: Option<u32>,
}

#[derive(Default)]
struct State {
    next: u64,
    entries: HashMap<u64, Entry>,
    /// The words that are slept on, by their address.
    words: BTreeMap<usize, Word>,
    /// When each caller is due.
    dues: BTreeSet<(Instant, u64)>,
    /// Whether the thread was told that there is something new.
    told: bool,
}

impl State {
    /// Returns the number of the caller, and `true` if a thread that sleeps on what was here before has to look again.
    fn add(&mut self, entry: Entry) -> (u64, bool) {
        self.next += 1;
        let id = self.next;
        let mut news = self.dues.first().is_none_or(|(due, _)| *due > entry.due);
        for watched in &entry.watched {
            news |= !self.words.contains_key(&watched.address());
            let word = self.words.entry(watched.address()).or_insert_with(|| Word {
                watched: watched.clone(),
                seen: BTreeMap::new(),
                all: Some(watched.seen),
            });
            // Of a caller that leaves the same word twice, the older value is the one that tells of a ring.
            let before = word.seen.entry(id).or_insert(watched.seen);
            if *before != watched.seen || word.all != Some(watched.seen) {
                word.all = None;
                news = true;
            }
        }
        self.dues.insert((entry.due, id));
        self.entries.insert(id, entry);
        (id, news)
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        self.dues.remove(&(entry.due, id));
        for watched in &entry.watched {
            let address = watched.address();
            if let Some(word) = self.words.get_mut(&address) {
                word.seen.remove(&id);
                if word.seen.is_empty() {
                    self.words.remove(&address);
                }
            }
        }
        Some(entry)
    }

    /// Returns `true` if there is room for these words.
    fn takes(&self, watched: &[Watched]) -> bool {
        let new = watched
            .iter()
            .filter(|watched| !self.words.contains_key(&watched.address()));
        self.words.len() + new.count() <= WORDS
    }

    /// The callers that are due, and those of whose words one says something else by now. Afterwards, each word says
    /// the same for all that are left.
    fn over(&mut self, now: Instant) -> Vec<u64> {
        let mut over: Vec<u64> = self
            .dues
            .iter()
            .take_while(|(due, _)| *due <= now)
            .map(|(_, id)| *id)
            .collect();
        for word in self.words.values_mut() {
            let current = word.watched.current();
            if word.all == current {
                continue;
            }
            let rang = word.seen.iter().filter(|(_, seen)| Some(**seen) != current);
            over.extend(rang.map(|(id, _)| *id));
            word.all = current;
        }
        over
    }
}

/// A thread, and what it sleeps on.
pub struct Worker {
    /// Changes when there is something new to sleep on.
    control: FutexWord,
    state: Mutex<State>,
}

/// What a look of the thread found.
struct Look {
    fired: Vec<Notify>,
    /// One for each word that is slept on, with what it said.
    watched: Vec<(Watched, u32)>,
    /// When the next one is due.
    due: Option<Instant>,
}

impl Worker {
    /// Starts a thread that is never ended.
    pub fn start() -> io::Result<&'static Self> {
        let worker: &'static Self = Box::leak(Box::new(Self {
            control: FutexWord::new(0),
            state: Mutex::default(),
        }));
        thread::start(|| worker.run())?;
        Ok(worker)
    }

    fn run(&'static self) {
        loop {
            // Before the look, so that what is added after it is noticed by the kernel.
            let seen = self.control.load(Relaxed);
            let look = self.look(Instant::now());
            if !look.fired.is_empty() {
                look.fired.into_iter().for_each(Notify::fire);
                continue;
            }
            let mut words = vec![(&self.control, seen)];
            for (watched, seen) in &look.watched {
                words.extend(watched.word().map(|word| (word, *seen)));
            }
            let limit = look
                .due
                .map_or(IDLE, |due| due.saturating_duration_since(Instant::now()));
            FutexWord::wait_many(&words, limit);
        }
    }

    /// Takes out what is to be notified, and lists what is to be slept on.
    fn look(&self, now: Instant) -> Look {
        let mut state = lock(&self.state);
        state.told = false;
        let over = state.over(now);
        let fired = over
            .into_iter()
            .filter_map(|id| state.remove(id).map(|entry| entry.notify))
            .collect();
        let words = state.words.values();
        Look {
            fired,
            watched: words
                .filter_map(|word| Some((word.watched.clone(), word.all?)))
                .collect(),
            due: state.dues.first().map(|(due, _)| *due),
        }
    }

    /// How many callers wait here.
    pub fn waiting(&self) -> usize {
        lock(&self.state).entries.len()
    }

    /// Takes a caller's bells, or gives them back if there are too many.
    #[allow(clippy::result_large_err, reason = "it is given back")]
    pub fn accept(
        &'static self,
        (watched, notify): (Vec<Watched>, Notify),
        due: Instant,
    ) -> Result<Ticket, (Vec<Watched>, Notify)> {
        let mut state = lock(&self.state);
        if !state.takes(&watched) {
            return Err((watched, notify));
        }
        Ok(self.add(
            &mut state,
            Entry {
                watched,
                due,
                notify,
            },
        ))
    }

    /// Notifies at this time.
    pub fn remind(&'static self, notify: Notify, due: Instant) -> Ticket {
        let watched = Vec::new();
        self.add(
            &mut lock(&self.state),
            Entry {
                watched,
                due,
                notify,
            },
        )
    }

    fn add(&'static self, state: &mut State, entry: Entry) -> Ticket {
        let (id, news) = state.add(entry);
        // A thread that was told and has not looked yet will see this too.
        if news && !std::mem::replace(&mut state.told, true) {
            self.control.bump(Relaxed);
            self.control.wake_all();
        }
        Ticket { worker: self, id }
    }
}

/// A caller that waits. Dropping it ends that.
pub struct Ticket {
    worker: &'static Worker,
    id: u64,
}

impl Ticket {
    /// Returns `true` if it still waits, and will notify the same task or descriptor as this would.
    pub fn waits_for(&self, notify: &Notify) -> bool {
        let state = lock(&self.worker.state);
        let entry = state.entries.get(&self.id);
        entry.is_some_and(|entry| entry.notify.is_same(notify))
    }

    /// Forgets it in a fork, where the lock may be held by a thread that is not there.
    pub fn forget(self) {
        core::mem::forget(self);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // A waker may own a task that owns other tickets, so it is dropped without the lock.
        let entry = lock(&self.worker.state).remove(self.id);
        drop(entry);
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ticket").field(&self.id).finish()
    }
}
