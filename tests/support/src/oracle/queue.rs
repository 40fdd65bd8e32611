//! The oracle of queues: every message is waiting, held or done, and the queue must say the same.
//!
//! It knows what is still there, so a receiver that finds nothing while something waits is wrong, and so is
//! a sender that is refused before its lane is as deep as it was promised to be. Held messages are compared
//! byte by byte behind every step. Each slot sends at a priority of its own, so a slot is a lane.
#![allow(
    unsafe_code,
    reason = "holds deliveries beside the receivers they came from"
)]

use slipring::{
    queue::{Delivery, Receiver, SendError, Sender, TakeError},
    Queue,
};
use std::mem::ManuallyDrop;

/// How many senders, and how many receivers, there are at most.
pub const SLOTS: usize = 3;

/// One step. Small numbers are taken modulo what exists.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Send one message, this many bytes shorter than the longest.
    Send { slot: u8, shorter: u32 },
    /// Send longest messages until the lane is full.
    Fill(u8),
    /// Take a message and hold it, or do the second step with the one that is held.
    Receive { receiver: u8, ack: bool },
    /// Take and acknowledge this many messages.
    Drain { receiver: u8, count: u8 },
    /// A receiver goes, with what it holds, and another one comes.
    ReplaceReceiver(u8),
    /// A sender goes and another one comes.
    ReplaceSender(u8),
}

/// A message as the oracle knows it.
struct Message {
    slot: usize,
    bytes: Vec<u8>,
    state: State,
    tries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waits,
    Held,
    Done,
}

/// A receiver, and which message it holds.
struct Holder {
    // Dropped before the receiver it borrows.
    delivery: Option<(Delivery<'static>, usize)>,
    receiver: ManuallyDrop<Box<Receiver>>,
}

impl Holder {
    fn new(queue: &Queue) -> Self {
        Self {
            delivery: None,
            receiver: ManuallyDrop::new(Box::new(queue.receiver().expect("a row is free"))),
        }
    }

    fn take(&mut self) -> Result<Delivery<'static>, TakeError> {
        assert!(self.delivery.is_none());
        let receiver: *mut Receiver = &mut **self.receiver;
        // SAFETY: the receiver is boxed, so it stays where it is; nothing else uses it before the delivery
        // is gone, which `delivery` and `Drop` see to.
        unsafe { &mut *receiver }.try_receive()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.delivery = None;
        // SAFETY: this is the only place where it is dropped, and nothing borrows it any more.
        unsafe { ManuallyDrop::drop(&mut self.receiver) }
    }
}

/// The queue under test beside what the oracle knows.
pub struct Subject {
    holders: Vec<Holder>,
    senders: Vec<Option<Sender>>,
    queue: Queue,
    messages: Vec<Message>,
    depth: u64,
    longest: u32,
    _scratch: tempfile::TempDir,
    /// For statistics.
    pub delivered: u64,
    pub refused: u64,
    pub redelivered: u64,
}

impl Subject {
    pub fn new(depth: u32, longest: u32) -> Self {
        let scratch = tempfile::tempdir_in("/dev/shm").expect("memory for files");
        let queue = Queue::builder(scratch.path().join("queue"))
            .depth(depth)
            .max_message_bytes(longest)
            .max_receivers(8)
            .create()
            .expect("a queue");
        let senders = (0..SLOTS)
            .map(|_| Some(queue.sender().expect("a sender")))
            .collect();
        Self {
            holders: (0..SLOTS).map(|_| Holder::new(&queue)).collect(),
            senders,
            queue,
            messages: Vec::new(),
            depth: u64::from(depth),
            longest,
            _scratch: scratch,
            delivered: 0,
            refused: 0,
            redelivered: 0,
        }
    }

    pub fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Send { slot, shorter } => {
                self.send(
                    usize::from(*slot) % SLOTS,
                    self.longest - shorter % (self.longest + 1),
                );
            }
            Operation::Fill(slot) => {
                let slot = usize::from(*slot) % SLOTS;
                while self.send(slot, self.longest) {}
            }
            Operation::Receive { receiver, ack } => {
                let receiver = usize::from(*receiver) % SLOTS;
                if self.holders[receiver].delivery.is_some() {
                    self.end(receiver, *ack);
                } else {
                    self.receive(receiver);
                }
            }
            Operation::Drain { receiver, count } => {
                let receiver = usize::from(*receiver) % SLOTS;
                if self.holders[receiver].delivery.is_some() {
                    self.end(receiver, true);
                }
                for _ in 0..*count {
                    if !self.receive(receiver) {
                        break;
                    }
                    self.end(receiver, true);
                }
            }
            Operation::ReplaceReceiver(receiver) => {
                let receiver = usize::from(*receiver) % SLOTS;
                if self.holders[receiver].delivery.is_some() {
                    self.end(receiver, false);
                }
                self.holders[receiver] = Holder::new(&self.queue);
            }
            Operation::ReplaceSender(slot) => {
                let slot = usize::from(*slot) % SLOTS;
                self.senders[slot] = None;
                self.senders[slot] = Some(self.queue.sender().expect("a sender"));
            }
        }
        self.check();
    }

    /// Whether it was sent.
    fn send(&mut self, slot: usize, len: u32) -> bool {
        let id = self.messages.len();
        let mut bytes = vec![0; len as usize];
        for (at, byte) in bytes.iter_mut().enumerate() {
            // A tail that no other message of the last few has, and a head that says which it is.
            *byte = match at {
                0..4 => (id as u32).to_le_bytes()[at],
                _ => (id.wrapping_mul(151) + at) as u8,
            };
        }
        let sender = self.senders[slot].as_mut().expect("a sender");
        let sent = sender.try_send_with_priority(&bytes, slot as u8);
        let of_slot = || self.messages.iter().filter(|message| message.slot == slot);
        // The oldest that is not done and everything behind it take a place each.
        let taken = of_slot()
            .skip_while(|message| message.state == State::Done)
            .count() as u64;
        match sent {
            Ok(_) => {
                assert!(taken < self.depth, "deeper than promised");
                self.messages.push(Message {
                    slot,
                    bytes,
                    state: State::Waits,
                    tries: 0,
                });
                true
            }
            Err(SendError::Full { .. }) => {
                assert_eq!(taken, self.depth, "full too soon");
                self.refused += 1;
                false
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Whether there was a message.
    fn receive(&mut self, receiver: usize) -> bool {
        let waiting: Vec<usize> = (0..self.messages.len())
            .filter(|id| self.messages[*id].state == State::Waits)
            .collect();
        let delivery = match self.holders[receiver].take() {
            Ok(delivery) => delivery,
            Err(TakeError::Empty) => {
                assert_eq!(waiting, [], "these wait, and the receiver found nothing");
                return false;
            }
            Err(error) => panic!("{error}"),
        };
        let id = waiting.iter().copied().find(|id| {
            let message = &self.messages[*id];
            message.bytes == *delivery && message.slot == usize::from(delivery.priority())
        });
        let id = id.unwrap_or_else(|| panic!("not a message that waits: {:?}", &*delivery));
        let highest = waiting.iter().map(|id| self.messages[*id].slot).max();
        assert_eq!(highest, Some(self.messages[id].slot), "priority");
        let earlier = waiting
            .iter()
            .find(|other| self.messages[**other].slot == self.messages[id].slot);
        if self.messages[id].tries == 0 {
            // Redelivered messages may come later, but all others come in order.
            let first = waiting.iter().copied().find(|other| {
                let other = &self.messages[*other];
                other.slot == self.messages[id].slot && other.tries == 0
            });
            assert_eq!(first, Some(id), "out of order; {earlier:?} waits");
        }
        let message = &mut self.messages[id];
        message.tries += 1;
        message.state = State::Held;
        assert_eq!(delivery.tries(), message.tries.min(255));
        self.redelivered += u64::from(delivery.redelivered());
        self.delivered += 1;
        self.holders[receiver].delivery = Some((delivery, id));
        true
    }

    fn end(&mut self, receiver: usize, ack: bool) {
        let (delivery, id) = self.holders[receiver].delivery.take().expect("holds one");
        if ack {
            delivery.ack().unwrap();
            self.messages[id].state = State::Done;
        } else {
            drop(delivery);
            self.messages[id].state = State::Waits;
        }
    }

    fn count(&self, state: State) -> u64 {
        let in_state = |message: &&Message| message.state == state;
        self.messages.iter().filter(in_state).count() as u64
    }

    fn check(&self) {
        for (delivery, id) in self.holders.iter().filter_map(|h| h.delivery.as_ref()) {
            assert!(
                **delivery == *self.messages[*id].bytes,
                "message {id} changed while it was held"
            );
        }
    }

    /// All waiting messages are delivered in the end, and the queue reports how many they are.
    pub fn finish(&mut self) {
        let status = self.queue.status().expect("a sound queue");
        assert_eq!(status.waiting, self.count(State::Waits));
        assert_eq!(status.held, self.count(State::Held));
        for receiver in 0..SLOTS {
            if self.holders[receiver].delivery.is_some() {
                self.end(receiver, false);
            }
        }
        self.holders.truncate(1);
        while self.receive(0) {
            self.end(0, true);
        }
        assert_eq!(self.count(State::Done), self.messages.len() as u64);
        for slot in 0..SLOTS {
            assert!(self.send(slot, self.longest), "an empty lane has room");
        }
    }
}
