//! Every form by tasks of one thread, both sides: what waits is woken by bells alone, futures are dropped at any
//! time, and nothing is lost, doubled or taken out of turn.

use crate::events::{block_on, once, run_all};
use rustix::event::{poll, PollFd, PollFlags};
use slipring::events::{Async, Pollable};
use slipring::link::{LinkError, LinkOptions};
use slipring::mailbox::{Answer, RequestError};
use slipring::pipe::{duplex_with, pipe_with, PipeOptions};
use slipring::queue::SendError;
use slipring::semaphore::AcquireError;
use slipring::signals::SignalSet;
use slipring::typed::TypedReceived;
use slipring::{Latest, Link, Mailbox, Queue, Ring, Semaphore, Shared, Signals, Start};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::pin::{pin, Pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::Arc;
use std::task::Poll;
use testing::books::Random;
use testing::{payload, say, text, Peer, Scratch};

pub const SUITE: testing::Suite = testing::suite!(peer; [
    queues_carry_every_message_once,
    requests_get_their_own_replies,
    a_request_that_was_dropped_is_late,
    links_carry_everything_both_ways,
    pipes_carry_every_byte,
    values_and_signals_are_noticed,
    permits_are_never_too_many_and_every_task_gets_them,
    a_task_that_wants_several_permits_gets_its_turn,
    changes_of_a_shared_value_are_one_at_a_time,
    typed_messages_are_values,
    what_the_dead_held_comes_back_to_tasks,
    senders_are_polled_by_their_descriptors,
]);

type Tasks = Vec<Pin<Box<dyn Future<Output = ()>>>>;

/// One source of chance for all tasks of a thread.
#[derive(Clone)]
struct Chance(Rc<RefCell<Random>>);

impl Chance {
    fn new() -> Self {
        Self(Rc::new(RefCell::new(Random::new())))
    }

    fn below(&self, n: u64) -> u64 {
        self.0.borrow_mut().below(n)
    }

    /// Awaits a future, or drops it if it has to wait: one in four.
    async fn perhaps<F: Future>(&self, future: F) -> Option<F::Output> {
        let patient = self.below(4) != 0;
        let mut future = pin!(future);
        std::future::poll_fn(|context| match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if patient => Poll::Pending,
            Poll::Pending => {
                context.waker().wake_by_ref();
                Poll::Ready(None)
            }
        })
        .await
    }

    /// Awaits what a call makes, again and again until it was not dropped.
    async fn at_last<T>(&self, mut call: impl AsyncFnMut() -> T) -> T {
        loop {
            if let Some(output) = self.perhaps(call()).await {
                return output;
            }
        }
    }
}

fn queues_carry_every_message_once() {
    slipring::events::never_look_without_a_reason();
    const EACH: u64 = 1500;
    let (scratch, chance) = (Scratch::new(), Chance::new());
    let depth = 1 + chance.below(6) as u32;
    let (senders, receivers) = (1 + chance.below(3), 1 + chance.below(3));
    println!("  depth {depth}, {senders} senders, {receivers} receivers");
    let queue = Queue::builder(scratch.0.join("queue"))
        .depth(depth)
        .create()
        .unwrap();
    let seen = Rc::new(RefCell::new(HashMap::<u64, u32>::new()));
    let done = Rc::new(Cell::new(0));
    let mut tasks: Tasks = Vec::new();
    for number in 0..senders {
        let (mut sender, chance) = (Async::new(queue.sender().unwrap()).unwrap(), chance.clone());
        tasks.push(Box::pin(async move {
            for at in 0..EACH {
                let message = (number * EACH + at).to_le_bytes();
                let priority = chance.below(3) as u8;
                chance
                    .at_last(async || sender.send_with_priority(&message, priority).await)
                    .await
                    .unwrap();
            }
        }));
    }
    for _ in 0..receivers {
        let mut receiver = Async::new(queue.receiver().unwrap()).unwrap();
        let (seen, chance, done) = (seen.clone(), chance.clone(), done.clone());
        // The last message may go to another receiver, which then tells this one by a message of its own.
        let mut ends = queue.sender().unwrap();
        tasks.push(Box::pin(async move {
            while done.get() < senders * EACH {
                let Some(job) = chance.perhaps(receiver.receive()).await else {
                    continue;
                };
                let job = job.unwrap();
                let number = u64::from_le_bytes(job[..].try_into().unwrap());
                if chance.below(5) == 0 {
                    continue; // given back
                }
                job.ack().unwrap();
                if number != u64::MAX {
                    *seen.borrow_mut().entry(number).or_default() += 1;
                    done.set(done.get() + 1);
                }
            }
            let _ = ends.try_send(&u64::MAX.to_le_bytes());
        }));
    }
    run_all(tasks);
    let seen = seen.borrow();
    assert_eq!(seen.len() as u64, senders * EACH);
    assert!(seen.values().all(|times| *times == 1));
}

fn requests_get_their_own_replies() {
    slipring::events::never_look_without_a_reason();
    const EACH: u64 = 400;
    let (scratch, chance) = (Scratch::new(), Chance::new());
    let mailbox = Mailbox::builder(scratch.0.join("mailbox"))
        .depth(1 + chance.below(4) as u32)
        .create()
        .unwrap();
    let clients = 1 + chance.below(4);
    let mut tasks: Tasks = Vec::new();
    let mut receiver = Async::new(mailbox.receiver().unwrap()).unwrap();
    let (letters, counted) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (luck, told) = (chance.clone(), letters.clone());
    tasks.push(Box::pin(async move {
        // The last letter of each client says so.
        let mut left = clients;
        while left > 0 {
            let Some(letter) = luck.perhaps(receiver.receive()).await else {
                continue;
            };
            let letter = letter.unwrap();
            if letter.wants_reply() {
                let mut body = letter.to_vec();
                body.reverse();
                letter.reply(&body).unwrap();
            } else {
                told.set(told.get() + u64::from(letter[0]));
                left -= u64::from(letter[0] == 0);
                letter.ack();
            }
        }
    }));
    for number in 0..clients {
        let client = mailbox.client(&format!("client-{number}")).unwrap();
        let mut client = Async::new(client).unwrap();
        let (chance, counted) = (chance.clone(), counted.clone());
        tasks.push(Box::pin(async move {
            for at in 0..EACH {
                if chance.below(3) == 0 {
                    chance
                        .at_last(async || client.send(&[1]).await)
                        .await
                        .unwrap();
                    counted.set(counted.get() + 1);
                    continue;
                }
                let body: Vec<u8> = [number, at].iter().flat_map(|n| n.to_le_bytes()).collect();
                let mut expected = body.clone();
                expected.reverse();
                // One that is dropped is asked again, and its late reply never comes.
                let reply = chance.at_last(async || {
                    let reply = client.request(&body).await?;
                    Ok::<_, RequestError>(reply.to_vec())
                });
                assert_eq!(reply.await.unwrap(), expected);
            }
            chance
                .at_last(async || client.send(&[0]).await)
                .await
                .unwrap();
        }));
    }
    run_all(tasks);
    assert_eq!(letters.get(), counted.get());
}

/// A receiver learns that nobody waits for its reply any more.
fn a_request_that_was_dropped_is_late() {
    let scratch = Scratch::new();
    let mailbox = Mailbox::builder(scratch.0.join("mailbox"))
        .create()
        .unwrap();
    let mut receiver = Async::new(mailbox.receiver().unwrap()).unwrap();
    let mut client = Async::new(mailbox.client("me").unwrap()).unwrap();
    assert!(once(client.request(b"first")).is_none());
    let letter = block_on(receiver.receive()).unwrap();
    assert_eq!(&*letter, b"first");
    assert_eq!(letter.reply(b"too late").unwrap(), Answer::Late);
    let asking = std::thread::spawn(move || {
        let reply = block_on(client.request(b"second")).unwrap();
        assert_eq!(&*reply, b"in time");
    });
    let letter = block_on(receiver.receive()).unwrap();
    assert_eq!(letter.reply(b"in time").unwrap(), Answer::Sent);
    asking.join().unwrap();
}

/// Both ends of a link, in this process.
fn linked(directory: &std::path::Path, capacity: u64) -> (Link, Link) {
    let builder = |me: &str, peer: &str| {
        Link::builder(me, peer)
            .directory(directory)
            .capacity_bytes(capacity)
    };
    let other = builder("bob", "alice");
    let other = std::thread::spawn(move || other.connect_with(LinkOptions::default()).unwrap());
    let one = builder("alice", "bob").connect().unwrap();
    (one, other.join().unwrap())
}

fn links_carry_everything_both_ways() {
    slipring::events::never_look_without_a_reason();
    const MESSAGES: u64 = 3000;
    let (scratch, chance) = (Scratch::new(), Chance::new());
    let (mut one, other) = linked(&scratch.0, 4096 << chance.below(2));
    // One sends and receives in two tasks; the other echoes, and waits for both with one handle.
    let lens: Rc<Vec<usize>> = Rc::new((0..MESSAGES).map(|_| chance.below(400) as usize).collect());
    let (sender, receiver) = one.split();
    let (mut sender, mut receiver) = (Async::new(sender).unwrap(), Async::new(receiver).unwrap());
    let mut other = Async::new(other).unwrap();
    let sending = async {
        for number in 0..MESSAGES {
            let message = payload(number, lens[number as usize]);
            chance
                .at_last(async || sender.send(&message).await)
                .await
                .unwrap();
        }
    };
    let receiving = async {
        for number in 0..MESSAGES {
            let message = receiver
                .ready(|receiver| match receiver.try_receive() {
                    Ok(message) => Poll::Ready(message.to_vec()),
                    Err(LinkError::Empty) => Poll::Pending,
                    Err(error) => panic!("{error}"),
                })
                .await;
            assert_eq!(message, payload(number, lens[number as usize]));
        }
    };
    let echoing = async {
        for _ in 0..MESSAGES {
            let message = chance
                .at_last(async || other.receive().await.map(|message| message.to_vec()))
                .await
                .unwrap();
            chance
                .at_last(async || other.send(&message).await)
                .await
                .unwrap();
        }
        drop(other);
    };
    run_all(vec![
        Box::pin(sending),
        Box::pin(receiving),
        Box::pin(echoing),
    ]);
    block_on(receiver.readable());
    assert!(matches!(receiver.try_receive(), Err(LinkError::PeerGone)));
    assert!(matches!(
        block_on(sender.send(b"x")),
        Err(LinkError::PeerGone)
    ));
}

fn pipes_carry_every_byte() {
    slipring::events::never_look_without_a_reason();
    let chance = Chance::new();
    let capacity = 4096 << chance.below(3);
    let bytes: Rc<Vec<u8>> = Rc::new(payload(7, 300_000));
    let (reader, writer) = pipe_with(capacity, PipeOptions::default()).unwrap();
    let (here, there) = duplex_with(capacity, PipeOptions::default()).unwrap();
    let mut tasks: Tasks = Vec::new();
    let mut writer = Async::new(writer).unwrap();
    let (all, luck) = (bytes.clone(), chance.clone());
    tasks.push(Box::pin(async move {
        let mut at = 0;
        while at < all.len() {
            let most = all.len().min(at + 1 + luck.below(3000) as usize);
            at += luck
                .at_last(async || writer.write(&all[at..most]).await)
                .await
                .unwrap();
        }
    }));
    let mut reader = Async::new(reader).unwrap();
    let (all, luck) = (bytes.clone(), chance.clone());
    tasks.push(Box::pin(async move {
        let mut read = Vec::new();
        loop {
            let mut out = vec![0; 1 + luck.below(2000) as usize];
            let len = luck
                .at_last(async || reader.read(&mut out).await)
                .await
                .unwrap();
            if len == 0 {
                break;
            }
            read.extend_from_slice(&out[..len]);
        }
        assert!(read == *all);
    }));
    let mut here = Async::new(here).unwrap();
    let (all, luck) = (bytes.clone(), chance.clone());
    tasks.push(Box::pin(async move {
        let mut at = 0;
        while at < all.len() {
            let most = all.len().min(at + 1 + luck.below(3000) as usize);
            at += luck
                .at_last(async || here.write(&all[at..most]).await)
                .await
                .unwrap();
        }
        let mut back = Vec::new();
        while back.len() < all.len() {
            let mut out = vec![0; 1 + luck.below(2000) as usize];
            let len = luck
                .at_last(async || here.read(&mut out).await)
                .await
                .unwrap();
            assert!(len > 0);
            back.extend_from_slice(&out[..len]);
        }
        assert!(back == *all);
    }));
    let mut there = Async::new(there).unwrap();
    let (many, luck) = (bytes.len(), chance.clone());
    tasks.push(Box::pin(async move {
        let mut all = vec![0; many];
        let mut read = 0;
        while read < many {
            let len = luck
                .at_last(async || there.read(&mut all[read..]).await)
                .await
                .unwrap();
            assert!(len > 0);
            read += len;
        }
        let mut sent = 0;
        while sent < many {
            sent += there.write(&all[sent..]).await.unwrap();
        }
        assert_eq!(there.read(&mut [0]).await.unwrap(), 0);
    }));
    run_all(tasks);
}

slipring::message! {
    pub struct Value { pub number: u64, pub twice: u64 }
}

fn values_and_signals_are_noticed() {
    slipring::events::never_look_without_a_reason();
    const ROUNDS: u64 = 500;
    let (scratch, chance) = (Scratch::new(), Chance::new());
    let latest = Latest::<Value>::builder(scratch.0.join("latest"))
        .cells(3)
        .create()
        .unwrap();
    let signals = Signals::builder(scratch.0.join("signals"))
        .create()
        .unwrap();
    let mut writer = latest.writer().unwrap();
    let mut reader = Async::new(latest.reader().unwrap()).unwrap();
    let mut listener = Async::new(signals.listener("me").unwrap()).unwrap();
    let mut target = signals.target("me").unwrap();
    let mut back = Async::new(signals.listener("you").unwrap()).unwrap();
    let mut answer = signals.target("you").unwrap();
    let luck = chance.clone();
    let writing = async move {
        for number in 1..=ROUNDS {
            let cell = luck.below(3) as u32;
            let twice = number * 2;
            writer.set_at(cell, &Value { number, twice }).unwrap();
            target.send(cell).unwrap();
            luck.at_last(async || back.wait(SignalSet::ALL).await)
                .await
                .unwrap();
        }
    };
    let reading = async move {
        let mut versions = [0; 3];
        for number in 1..=ROUNDS {
            let noticed = chance
                .at_last(async || listener.wait(SignalSet::ALL).await)
                .await
                .unwrap();
            let cell = noticed.signal;
            // It was set before the signal was sent.
            let before = versions[cell as usize];
            chance
                .at_last(async || reader.wait_at(cell, before).await)
                .await
                .unwrap();
            chance.at_last(async || reader.wait().await).await.unwrap();
            let (value, version) = reader.get_at(cell).unwrap().unwrap();
            assert_eq!((value.number, value.twice), (number, number * 2));
            versions[cell as usize] = version;
            answer.send(9).unwrap();
        }
    };
    run_all(vec![Box::pin(writing), Box::pin(reading)]);
}

fn permits_are_never_too_many_and_every_task_gets_them() {
    slipring::events::never_look_without_a_reason();
    let (scratch, chance) = (Scratch::new(), Chance::new());
    let path = scratch.0.join("semaphore");
    let permits = 1 + chance.below(4) as u32;
    let all = Semaphore::builder(&path).permits(permits).create().unwrap();
    let held = Rc::new(Cell::new(0));
    let mut tasks: Tasks = Vec::new();
    for _ in 0..2 + chance.below(6) {
        let mut semaphore = Async::new(Semaphore::open(&path).unwrap()).unwrap();
        let (chance, held) = (chance.clone(), held.clone());
        tasks.push(Box::pin(async move {
            let most = semaphore.max() + 1;
            let refused = semaphore.acquire_many(most).await.map(drop);
            assert!(matches!(refused, Err(AcquireError::TooMany { .. })));
            for _ in 0..150 {
                let many = chance.below(u64::from(permits) + 1) as u32;
                let permit = chance
                    .at_last(async || match many {
                        1 => semaphore.acquire().await,
                        many => semaphore.acquire_many(many).await,
                    })
                    .await
                    .unwrap();
                held.set(held.get() + many);
                assert!(held.get() <= permits && permit.count() == many);
                // Others run while it is held.
                for _ in 0..chance.below(4) {
                    pass().await;
                }
                held.set(held.get() - many);
                drop(permit);
            }
        }));
    }
    run_all(tasks);
    let status = all.status().unwrap();
    assert_eq!((status.free, status.held), (permits, 0));
}

/// Lets other tasks run.
async fn pass() {
    let mut passed = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut passed, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Threads take single permits all the time, so that the two are hardly ever free at once.
fn a_task_that_wants_several_permits_gets_its_turn() {
    slipring::events::never_look_without_a_reason();
    let scratch = Scratch::new();
    let path = scratch.0.join("semaphore");
    let semaphore = Semaphore::builder(&path).permits(2).create().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let greedy: Vec<_> = (0..3)
        .map(|_| {
            let (path, over) = (path.clone(), over.clone());
            std::thread::spawn(move || {
                let semaphore = Semaphore::open(&path).unwrap();
                let mut last = None;
                while !over.load(Relaxed) {
                    // The next one is taken before the last one is given back.
                    let next = semaphore.try_acquire().ok();
                    if next.is_some() {
                        last = next;
                        std::thread::yield_now();
                    } else {
                        last = None;
                    }
                }
                drop(last);
            })
        })
        .collect();
    let mut semaphore = Async::new(semaphore).unwrap();
    // One that no longer waits has no place in the order.
    let mut gave_up = Async::new(Semaphore::open(&path).unwrap()).unwrap();
    while once(gave_up.acquire_many(2)).is_some() {}
    for _ in 0..20 {
        let both = block_on(semaphore.acquire_many(2)).unwrap();
        assert_eq!(both.count(), 2);
    }
    over.store(true, Relaxed);
    for thread in greedy {
        thread.join().unwrap();
    }
    drop(gave_up);
}

fn changes_of_a_shared_value_are_one_at_a_time() {
    slipring::events::never_look_without_a_reason();
    const EACH: u64 = 200;
    let (scratch, chance) = (Scratch::new(), Chance::new());
    let path = scratch.0.join("shared");
    let value = Shared::<Value>::builder(&path).create().unwrap();
    let tasks_wanted = 2 + chance.below(5);
    let mut tasks: Tasks = Vec::new();
    for _ in 0..tasks_wanted {
        let mut shared = Async::new(Shared::<Value>::open(&path).unwrap()).unwrap();
        let chance = chance.clone();
        tasks.push(Box::pin(async move {
            let mut done = 0;
            while done < EACH {
                let Some(guard) = chance.perhaps(shared.lock()).await else {
                    continue;
                };
                let mut guard = guard.unwrap();
                let before = guard.number;
                // Held while other tasks run, which must not see half of it.
                guard.number += 1;
                pass().await;
                guard.twice = guard.number * 2;
                assert_eq!(guard.number, before + 1);
                guard.commit().unwrap();
                done += 1;
            }
        }));
    }
    let mut watching = Async::new(value).unwrap();
    tasks.push(Box::pin(async move {
        let mut seen = 0;
        while seen < tasks_wanted * EACH {
            chance
                .at_last(async || watching.wait(seen).await)
                .await
                .unwrap();
            let (value, version) = watching.get().unwrap();
            assert!(version > seen);
            assert_eq!((value.number, value.twice), (version, version * 2));
            seen = version;
        }
    }));
    run_all(tasks);
}

fn typed_messages_are_values() {
    slipring::events::never_look_without_a_reason();
    const MESSAGES: u64 = 4000;
    let chance = Chance::new();
    let ring = Ring::heap()
        .capacity_bytes(4096)
        .max_readers(4)
        .schema(<Value as slipring::typed::Plain>::schema())
        .create()
        .unwrap();
    let typed = ring.typed::<Value>().unwrap();
    let mut producer = Async::new(typed.producer().unwrap()).unwrap();
    let mut consumer = Async::new(typed.consumer(Start::Oldest).unwrap()).unwrap();
    let streamed = Async::new(typed.consumer(Start::Oldest).unwrap()).unwrap();
    let mut observer = Async::new(typed.observer(Start::Oldest).unwrap()).unwrap();
    let fits = |value: Value, number: u64| {
        assert_eq!((value.number, value.twice), (number, number * 2));
    };
    let publishing = async {
        for number in 0..MESSAGES {
            let twice = number * 2;
            let value = Value { number, twice };
            let sequence = chance.at_last(async || producer.publish(&value).await);
            assert_eq!(sequence.await.unwrap(), number);
            // A burst now and then, and a pause in which the readers come to wait.
            if chance.below(20) == 0 {
                pass().await;
            }
        }
        producer.into_inner().close();
    };
    let receiving = async {
        for number in 0..MESSAGES {
            let value = chance.at_last(async || {
                let message = consumer.receive().await.unwrap();
                message.map(|message| message.into_value())
            });
            fits(value.await.unwrap(), number);
        }
        assert!(consumer.receive().await.unwrap().is_none());
    };
    let streaming = async {
        let mut values = streamed.into_values();
        for number in 0..MESSAGES {
            let value = std::future::poll_fn(|context| {
                futures_core::Stream::poll_next(Pin::new(&mut values), context)
            });
            fits(value.await.unwrap().unwrap(), number);
        }
        let end = std::future::poll_fn(|context| {
            futures_core::Stream::poll_next(Pin::new(&mut values), context)
        });
        assert!(end.await.is_none());
    };
    let observing = async {
        let mut next = 0;
        loop {
            match chance.at_last(async || observer.receive().await).await {
                Ok(TypedReceived::Message(value, sequence)) => {
                    assert_eq!(sequence, next);
                    fits(value, next);
                    next += 1;
                }
                Ok(TypedReceived::Lapped { lost, resumed_at }) => {
                    assert_eq!(resumed_at, next + lost);
                    next = resumed_at;
                }
                Ok(TypedReceived::Closed) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(next, MESSAGES);
    };
    run_all(vec![
        Box::pin(publishing),
        Box::pin(receiving),
        Box::pin(streaming),
        Box::pin(observing),
    ]);
}

/// One loop that sends by three forms, and looks only at those whose descriptor says so.
fn senders_are_polled_by_their_descriptors() {
    slipring::events::never_look_without_a_reason();
    const MESSAGES: u64 = 2000;
    let (scratch, chance) = (Scratch::new(), Chance::new());
    let queue = Queue::builder(scratch.0.join("queue"))
        .depth(1 + chance.below(4) as u32)
        .create()
        .unwrap();
    let (mut reader, writer) = pipe_with(4096, PipeOptions::default()).unwrap();
    let (one, mut other) = linked(&scratch.0, 4096);
    let mut sender = Pollable::new(queue.sender().unwrap()).unwrap();
    let mut writer = Pollable::new(writer).unwrap();
    let mut link = Pollable::new(one).unwrap();
    let receiving = std::thread::spawn(move || {
        let mut receiver = queue.receiver().unwrap();
        for number in 0..MESSAGES {
            let job = receiver.receive().unwrap();
            assert_eq!(job[..], number.to_le_bytes());
            job.ack().unwrap();
        }
    });
    let reading = std::thread::spawn(move || {
        for number in 0..MESSAGES {
            let mut bytes = [0; 64];
            std::io::Read::read_exact(&mut reader, &mut bytes).unwrap();
            assert_eq!(bytes[..8], number.to_le_bytes());
        }
    });
    let linking = std::thread::spawn(move || {
        for number in 0..MESSAGES {
            let message = other.receive().unwrap();
            assert_eq!(message[..8], number.to_le_bytes());
        }
        other
    });
    // For each how many it has sent, and of the pipe how much of the next one.
    let (mut sent, mut part) = ([0; 3], 0);
    let mut waits = [false; 3];
    while sent.iter().any(|sent| *sent < MESSAGES) {
        for at in 0..3 {
            while !waits[at] && sent[at] < MESSAGES {
                let number = sent[at];
                let done = match at {
                    0 => sender.attempt(|sender| match sender.try_send(&number.to_le_bytes()) {
                        Err(SendError::Full { .. }) => Poll::Pending,
                        sent => Poll::Ready(sent.is_ok()),
                    }),
                    1 => writer.attempt(|writer| {
                        let message = number.to_le_bytes().repeat(8);
                        match writer.try_write(&message[part..]) {
                            Ok(len) => part += len,
                            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                                return Poll::Pending;
                            }
                            Err(error) => panic!("{error}"),
                        }
                        let whole = part == message.len();
                        part %= message.len();
                        Poll::Ready(whole)
                    }),
                    _ => link.attempt(|link| {
                        match link.try_send(&[number.to_le_bytes(); 12].concat()) {
                            Err(LinkError::Full) => Poll::Pending,
                            sent => Poll::Ready(sent.is_ok()),
                        }
                    }),
                };
                match done {
                    Some(true) => sent[at] += 1,
                    Some(false) => assert_eq!(at, 1, "an error"),
                    None => waits[at] = true,
                }
            }
        }
        if waits != [false; 3] && sent.iter().any(|sent| *sent < MESSAGES) {
            let mut polled = [
                PollFd::new(&sender, PollFlags::IN),
                PollFd::new(&writer, PollFlags::IN),
                PollFd::new(&link, PollFlags::IN),
            ];
            for (polled, waits) in polled.iter_mut().zip(waits) {
                if !waits {
                    polled.clear_revents();
                }
            }
            poll(&mut polled, None).unwrap();
            for (polled, waits) in polled.iter().zip(&mut waits) {
                *waits &= polled.revents().is_empty();
            }
        }
    }
    receiving.join().unwrap();
    reading.join().unwrap();
    drop(linking.join().unwrap());
}

/// A peer dies with a permit, with a lock and with the message that holds a lane back.
fn what_the_dead_held_comes_back_to_tasks() {
    let scratch = Scratch::new();
    let semaphore = Semaphore::builder(scratch.0.join("semaphore"))
        .permits(1)
        .create()
        .unwrap();
    let shared = Shared::<Value>::builder(scratch.0.join("shared"))
        .create()
        .unwrap();
    let queue = Queue::builder(scratch.0.join("queue"))
        .depth(2)
        .create()
        .unwrap();
    let mut sender = queue.sender().unwrap();
    sender.send(b"one").unwrap();
    let peer = Peer::start("hold", &[text(&scratch.0)]);
    while sender.try_send(b"more").is_ok() {}
    let mut semaphore = Async::new(semaphore).unwrap();
    let mut shared = Async::new(shared).unwrap();
    let mut sender = Async::new(sender).unwrap();
    let mut receiver = Async::new(queue.receiver().unwrap()).unwrap();
    let tasks: Vec<Pin<Box<dyn Future<Output = ()>>>> = vec![
        Box::pin(async { drop(semaphore.acquire().await.unwrap()) }),
        Box::pin(async {
            let guard = shared.lock().await.unwrap();
            assert!(guard.abandoned());
        }),
        // Room comes once the dead one's message is received by another.
        Box::pin(async {
            sender.send(b"last").await.unwrap();
        }),
        Box::pin(async {
            loop {
                let job = receiver.receive().await.unwrap();
                let bytes = job.to_vec();
                job.ack().unwrap();
                if bytes == b"last" {
                    break;
                }
            }
        }),
    ];
    let killing = std::thread::spawn(move || peer.kill());
    run_all(tasks);
    killing.join().unwrap();
}

fn peer(role: &str) {
    assert_eq!(role, "hold");
    let directory = PathBuf::from(std::env::args().nth(1).unwrap());
    let semaphore = Semaphore::open(directory.join("semaphore")).unwrap();
    let mut shared = Shared::<Value>::open(directory.join("shared")).unwrap();
    let queue = Queue::open(directory.join("queue")).unwrap();
    let mut receiver = queue.receiver().unwrap();
    let _permit = semaphore.acquire().unwrap();
    let _guard = shared.lock().unwrap();
    let _job = receiver.receive().unwrap();
    say("ready");
    loop {
        std::thread::park();
    }
}
