//! What came from the network, until the thread of a bridge looks.
//!
//! Putting never waits: what there is no room for is lost, as if the network had lost it.

use slipring::endpoint::{Interrupter, Interruption};
use slipring::place::CreateError;
use slipring::{Deadline, Observer, WaitSet};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

struct Queue<T> {
    /// What came, its bytes, and how many had found no room by then.
    items: VecDeque<(T, usize, u64)>,
    bytes: usize,
    refused: u64,
}

/// The putting end. Cheap to clone.
pub(crate) struct Sender<T> {
    queue: Arc<Mutex<Queue<T>>>,
    interrupter: Interrupter,
    limit: usize,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            interrupter: self.interrupter.clone(),
            limit: self.limit,
        }
    }
}

/// The taking end.
pub(crate) struct Inbox<T> {
    sender: Sender<T>,
    interruption: Interruption,
    set: WaitSet,
}

/// What an item costs beside its bytes.
const OVERHEAD: usize = 128;

impl<T> Sender<T> {
    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns `true` if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.queue().items.is_empty()
    }

    /// Ends the wait of the taking end, or the next one, though nothing is there.
    pub fn interrupt(&self) {
        self.interrupter.interrupt();
    }

    pub fn put(&self, item: T, bytes: usize) {
        let cost = bytes + OVERHEAD;
        let mut queue = self.queue();
        if queue.bytes + cost > self.limit {
            queue.refused += 1;
            return;
        }
        queue.bytes += cost;
        let refused = queue.refused;
        queue.items.push_back((item, cost, refused));
        let first = queue.items.len() == 1;
        drop(queue);
        if first {
            self.interrupter.interrupt();
        }
    }
}

impl<T> Inbox<T> {
    /// An inbox for so many bytes.
    pub fn new(limit: usize) -> Result<Self, CreateError> {
        let interruption = Interruption::new()?;
        let queue = Queue {
            items: VecDeque::new(),
            bytes: 0,
            refused: 0,
        };
        Ok(Self {
            sender: Sender {
                queue: Arc::new(Mutex::new(queue)),
                interrupter: interruption.interrupter(),
                limit,
            },
            interruption,
            // What is waited for takes longer to come than a sleep costs, and the processor may have other work.
            set: WaitSet::with_spin(Duration::ZERO),
        })
    }

    pub fn sender(&self) -> Sender<T> {
        self.sender.clone()
    }

    /// Returns `true` if the next wait ends at once though nothing may be there. It does so no more then.
    #[cfg(test)]
    pub fn is_interrupted(&mut self) -> bool {
        self.interruption.take()
    }

    pub fn take(&self) -> Option<T> {
        self.take_behind().map(|(item, _)| item)
    }

    /// Drops what is there, and nothing that comes meanwhile.
    pub fn clear(&self) {
        let mut queue = self.sender.queue();
        let items = std::mem::take(&mut queue.items);
        queue.bytes = 0;
        drop(queue);
        // To drop a question is a call of the engine, which may put something here.
        drop(items);
    }

    /// What came first, and how many before it found no room since the beginning.
    pub fn take_behind(&self) -> Option<(T, u64)> {
        let mut queue = self.sender.queue();
        let (item, cost, refused) = queue.items.pop_front()?;
        queue.bytes -= cost;
        Some((item, refused))
    }

    /// Waits until something is there, the observer has something to report, or the time is over.
    pub fn wait(&mut self, observer: Option<&mut Observer>, time: Duration) {
        if !self.sender.queue().items.is_empty() {
            return;
        }
        let deadline = Deadline::after(time);
        match observer {
            Some(observer) => {
                self.set
                    .wait(&mut [&mut self.interruption, observer], deadline);
            }
            None => {
                self.set.wait(&mut [&mut self.interruption], deadline);
            }
        }
        self.interruption.take();
    }
}

#[cfg(test)]
mod tests {
    use super::Inbox;

    #[test]
    fn what_has_no_room_is_counted() {
        let inbox = Inbox::new(1000).unwrap();
        let sender = inbox.sender();
        for n in 0..10 {
            sender.put(n, 100);
        }
        let taken: Vec<_> = std::iter::from_fn(|| inbox.take_behind()).collect();
        assert_eq!(taken, [(0, 0), (1, 0), (2, 0), (3, 0)]);
        sender.put(7, 872);
        sender.put(8, 0);
        assert_eq!(inbox.take_behind(), Some((7, 6)));
        sender.put(9, 0);
        assert_eq!(inbox.take_behind(), Some((9, 7)));
        assert_eq!(inbox.take(), None);
    }

    /// Puts itself into an inbox again when it is dropped.
    struct Again(Option<super::Sender<Again>>);

    impl Drop for Again {
        fn drop(&mut self) {
            if let Some(sender) = self.0.take() {
                sender.put(Again(Some(sender.clone())), 100);
            }
        }
    }

    #[test]
    fn an_inbox_is_cleared_though_more_comes_meanwhile() {
        let inbox = Inbox::new(1000).unwrap();
        let sender = inbox.sender();
        for _ in 0..4 {
            sender.put(Again(Some(sender.clone())), 100);
        }
        inbox.clear();
        // All of the room is there again, and what came takes it.
        let mut left: Vec<_> = std::iter::from_fn(|| inbox.take_behind()).collect();
        assert_eq!(left.len(), 4);
        assert!(left.iter().all(|(_, refused)| *refused == 0));
        for (again, _) in &mut left {
            again.0 = None;
        }
    }
}
