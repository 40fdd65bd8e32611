//! Handles in event loops: futures that are dropped at any time, descriptors by their edges, many handles, deaths,
//! forks, and that nothing calls the system while there is something to receive.
#![allow(unsafe_code, reason = "forks")]

use rustix::event::{epoll, poll, PollFd, PollFlags, Timespec};
use slipring::endpoint::{ReceiveError, TryReceiveError};
use slipring::events::{Async, Pollable};
use slipring::signals::SignalSet;
use slipring::{
    Consumer, ConsumerOptions, Latest, ProducerOptions, Queue, Received, Ring, Signals, Start,
    Strategy,
};
use std::future::Future;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::pin::{pin, Pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{mpsc, Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;
use testing::books::Random;
use testing::tracee::Tracee;
use testing::{say, text, Peer, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(peer; [
    tasks_receive_every_message_once,
    a_future_that_is_dropped_has_taken_nothing,
    a_producer_waits_for_room,
    a_full_ring_goes_on_without_a_dead_or_slow_consumer,
    each_form_is_awaited,
    an_end_is_an_end_of_the_wait,
    no_edge_is_lost,
    many_more_handles_than_the_kernel_takes,
    nothing_calls_the_system_while_messages_flow,
    a_fork_is_told_and_makes_its_own,
    a_fork_takes_no_wake_up_from_its_parent,
    a_waker_that_panics_harms_no_other,
    a_waker_that_owns_a_waiting_handle_is_dropped,
    a_spinning_handle_is_awaited_too,
]);

/// Sets a flag and wakes a thread.
struct Flag {
    raised: AtomicBool,
    thread: std::thread::Thread,
}

impl Flag {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            raised: AtomicBool::new(true),
            thread: std::thread::current(),
        })
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.raised.store(true, Relaxed);
        self.thread.unpark();
    }
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let flag = Flag::new();
    let waker = Waker::from(flag.clone());
    loop {
        if flag.raised.swap(false, Relaxed) {
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return output;
            }
        } else {
            std::thread::park();
        }
    }
}

/// Runs tasks in one thread, and polls only those that were woken.
pub fn run_all(tasks: Vec<Pin<Box<dyn Future<Output = ()> + '_>>>) {
    let mut tasks: Vec<_> = tasks
        .into_iter()
        .map(|task| (Some(task), Flag::new()))
        .collect();
    while tasks.iter().any(|(task, _)| task.is_some()) {
        let mut idle = true;
        for (task, flag) in &mut tasks {
            let Some(future) = task else { continue };
            if flag.raised.swap(false, Relaxed) {
                idle = false;
                let waker = Waker::from(flag.clone());
                if future
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_ready()
                {
                    *task = None;
                }
            }
        }
        if idle {
            std::thread::park();
        }
    }
}

/// Polls a future once.
pub fn once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn tasks_receive_every_message_once() {
    const RINGS: usize = 20;
    const MESSAGES: u64 = 300;
    let mut random = Random::new();
    let mut tasks: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    let mut publishers = Vec::new();
    for _ in 0..RINGS {
        let capacity = 4096 << random.below(3);
        let ring = Ring::heap()
            .capacity_bytes(capacity)
            .max_readers(4)
            .create()
            .unwrap();
        let consumer = ring.consumer(Start::Oldest).unwrap();
        let observer = ring.observer(Start::Oldest).unwrap();
        let mut producer = ring.producer().unwrap();
        let pauses: Vec<u64> = (0..MESSAGES)
            .map(|_| random.below(3).pow(3) * random.below(200))
            .collect();
        publishers.push(std::thread::spawn(move || {
            for (number, pause) in pauses.into_iter().enumerate() {
                producer.publish(&(number as u64).to_le_bytes()).unwrap();
                if pause > 300 {
                    std::thread::sleep(Duration::from_micros(pause));
                }
            }
            producer.close();
        }));
        tasks.push(Box::pin(async move {
            let mut consumer = Async::new(consumer).unwrap();
            for number in 0..MESSAGES {
                let message = consumer.receive().await.unwrap().unwrap();
                assert_eq!(&*message, number.to_le_bytes());
            }
            assert!(consumer.receive().await.unwrap().is_none());
        }));
        tasks.push(Box::pin(async move {
            let mut observer = Async::new(observer).unwrap();
            let mut next = 0u64;
            loop {
                match observer.receive().await.unwrap() {
                    Received::Message(message) => {
                        assert_eq!(&*message, next.to_le_bytes());
                        next += 1;
                    }
                    Received::Lapped { resumed_at, .. } => next = resumed_at,
                    Received::Closed => break,
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(next, MESSAGES);
        }));
    }
    run_all(tasks);
    for publisher in publishers {
        publisher.join().unwrap();
    }
}

fn a_future_that_is_dropped_has_taken_nothing() {
    let ring = Ring::heap().capacity_bytes(4096).create().unwrap();
    let mut producer = Async::new(ring.producer().unwrap()).unwrap();
    let mut consumer = Async::new(ring.consumer(Start::Oldest).unwrap()).unwrap();
    let mut random = Random::new();
    let (mut published, mut received) = (0u64, 0u64);
    for _ in 0..20_000 {
        match random.below(4) {
            // Dropped before it was ever polled.
            0 => drop(consumer.receive()),
            1 => drop(producer.publish(b"never")),
            2 => match once(producer.publish(&published.to_le_bytes())) {
                Some(sequence) => {
                    assert_eq!(sequence.unwrap(), published);
                    published += 1;
                }
                None => assert!(published - received > 100, "{published} {received}"),
            },
            _ => match once(consumer.receive()) {
                Some(message) => {
                    assert_eq!(&*message.unwrap().unwrap(), received.to_le_bytes());
                    received += 1;
                }
                None => assert_eq!(published, received),
            },
        }
    }
    assert!(received > 1000);
    producer.into_inner().close();
    while let Some(message) = block_on(consumer.receive()).unwrap() {
        assert_eq!(&*message, received.to_le_bytes());
        received += 1;
    }
    assert_eq!(published, received);
}

fn a_producer_waits_for_room() {
    let ring = Ring::heap().capacity_bytes(4096).create().unwrap();
    let producer = ring.producer().unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    let publishing = std::thread::spawn(move || {
        let mut producer = Async::new(producer).unwrap();
        block_on(async {
            for number in 0..3000u64 {
                assert_eq!(
                    producer.publish(&number.to_le_bytes()).await.unwrap(),
                    number
                );
            }
        });
        producer.into_inner().close();
    });
    let mut random = Random::new();
    let mut next = 0u64;
    while let Some(message) = consumer.receive().unwrap() {
        assert_eq!(&*message, next.to_le_bytes());
        drop(message);
        next += 1;
        if random.below(100) == 0 {
            std::thread::sleep(Duration::from_micros(random.below(3000)));
        }
    }
    assert_eq!(next, 3000);
    publishing.join().unwrap();
}

fn a_full_ring_goes_on_without_a_dead_or_slow_consumer() {
    for role in ["dead", "slow"] {
        let scratch = Scratch::new();
        let mut builder = Ring::builder(scratch.ring()).capacity_bytes(4096);
        if role == "slow" {
            builder = builder.evict_after(Duration::from_millis(20));
        }
        let ring = builder.create().unwrap();
        let peer = Peer::start("hold", &[text(&scratch.0)]);
        let mut producer = Async::new(ring.producer().unwrap()).unwrap();
        let mut published = 0;
        while once(producer.publish(&[7; 64])).is_some() {
            published += 1;
            if role == "slow" && published > 200 {
                break;
            }
        }
        let killed = (role == "dead").then(|| peer.kill());
        block_on(async {
            for _ in 0..200 {
                producer.publish(&[7; 64]).await.unwrap();
            }
        });
        assert!(killed.is_some() || role == "slow");
    }
}

fn peer(role: &str) {
    let directory = PathBuf::from(std::env::args().nth(1).unwrap());
    match role {
        "hold" => {
            let ring = Ring::open(directory.join("ring")).unwrap();
            let _consumer = ring.consumer(Start::Oldest).unwrap();
            say("ready");
            loop {
                std::thread::park();
            }
        }
        "publish" => {
            let ring = Ring::open(directory.join("ring")).unwrap();
            let mut producer = ring.producer().unwrap();
            producer.publish(b"last").unwrap();
            say("ready");
            loop {
                std::thread::park();
            }
        }
        "flow" => flow(),
        _ => panic!("no role {role}"),
    }
}

slipring::message! {
    /// A value.
    struct Value {
        number: u64,
    }
}

/// Forms that have no calls of their own here, by attempts and by streams.
fn each_form_is_awaited() {
    let scratch = Scratch::new();
    let queue = Queue::builder(scratch.0.join("queue"))
        .depth(4)
        .create()
        .unwrap();
    let latest = Latest::<Value>::builder(scratch.0.join("latest"))
        .create()
        .unwrap();
    let signals = Signals::builder(scratch.0.join("signals"))
        .create()
        .unwrap();
    let (mut sender, mut writer) = (queue.sender().unwrap(), latest.writer().unwrap());
    let mut receiver = Async::new(queue.receiver().unwrap()).unwrap();
    let mut reader = Async::new(latest.reader().unwrap()).unwrap();
    let mut listener = Async::new(signals.listener("me").unwrap()).unwrap();
    let mut target = signals.target("me").unwrap();
    let (go, went) = mpsc::channel();
    let causes = std::thread::spawn(move || {
        for number in went {
            sender.send(&u64::to_le_bytes(number)).unwrap();
            writer.set(&Value { number }).unwrap();
            target.send((number % 64) as u32).unwrap();
        }
    });
    block_on(async {
        for number in 0..200u64 {
            go.send(number).unwrap();
            let job = receiver.ready(|receiver| match receiver.try_receive() {
                Ok(job) => {
                    let bytes = job.to_vec();
                    job.ack().unwrap();
                    Poll::Ready(bytes)
                }
                Err(slipring::queue::TakeError::Empty) => Poll::Pending,
                Err(error) => panic!("{error}"),
            });
            assert_eq!(job.await, number.to_le_bytes());
            reader.readable().await;
            assert_eq!(reader.get().unwrap().unwrap().0.number, number);
            let noticed = listener.ready(|listener| match listener.try_wait(SignalSet::ALL) {
                Ok(Some(noticed)) => Poll::Ready(noticed.signal),
                Ok(None) => Poll::Pending,
                Err(error) => panic!("{error}"),
            });
            assert_eq!(u64::from(noticed.await), number % 64);
        }
    });
    drop(go);
    causes.join().unwrap();

    let ring = Ring::heap().create().unwrap();
    let mut producer = ring.producer().unwrap();
    let consumer = Async::new(ring.consumer(Start::Oldest).unwrap()).unwrap();
    let mut stream = consumer.into_stream(|consumer| match consumer.try_receive() {
        Ok(message) => Poll::Ready(Some(message.to_vec())),
        Err(TryReceiveError::Empty) => Poll::Pending,
        Err(_) => Poll::Ready(None),
    });
    let publishing = std::thread::spawn(move || {
        for number in 0..1000u64 {
            producer.publish(&number.to_le_bytes()).unwrap();
        }
        producer.close();
    });
    let mut next = 0u64;
    let poll_next = |stream: &mut _| {
        block_on(std::future::poll_fn(|context| {
            futures_core::Stream::poll_next(Pin::new(&mut *stream), context)
        }))
    };
    while let Some(message) = poll_next(&mut stream) {
        assert_eq!(message, next.to_le_bytes());
        next += 1;
    }
    assert_eq!(next, 1000);
    publishing.join().unwrap();
}

fn an_end_is_an_end_of_the_wait() {
    for by_task in [true, false] {
        let scratch = Scratch::new();
        let ring = Ring::builder(scratch.ring()).create().unwrap();
        let peer = Peer::start("publish", &[text(&scratch.0)]);
        let consumer = ring.consumer(Start::Oldest).unwrap();
        let mut killed = Some(peer);
        if by_task {
            let mut consumer = Async::new(consumer).unwrap();
            drop(block_on(consumer.receive()).unwrap().unwrap());
            let killing = std::thread::spawn(move || killed.take().unwrap().kill());
            let error = block_on(consumer.receive()).map(drop).unwrap_err();
            assert!(
                matches!(error, ReceiveError::ProducerGone { .. }),
                "{error}"
            );
            killing.join().unwrap();
            // And a removal is another.
            slipring::registry::remove_at(scratch.ring(), true).unwrap();
            let error = block_on(consumer.receive()).map(drop).unwrap_err();
            assert!(matches!(error, ReceiveError::Removed), "{error}");
        } else {
            let mut consumer = Pollable::new(consumer).unwrap();
            assert!(consumer.arm());
            drop(consumer.try_receive().unwrap());
            assert!(!consumer.arm());
            killed.take().unwrap().kill();
            while !consumer.arm() {
                poll(&mut [PollFd::new(&consumer, PollFlags::IN)], None).unwrap();
            }
            let error = consumer.try_receive().map(drop).unwrap_err();
            assert!(
                matches!(error, TryReceiveError::ProducerGone { .. }),
                "{error}"
            );
        }
    }
}

/// Many rings in one loop that goes by edges, with a look only when a descriptor says so, and none after a time:
/// one edge that is lost ends the loop for ever. `SLIPRING_EDGE_RINGS` and `SLIPRING_EDGE_MESSAGES` make it larger and
/// longer.
fn no_edge_is_lost() {
    edges(|_| {});
}

/// As the test says, with handles that `prepare` changes.
pub fn edges(prepare: fn(&mut Pollable<Consumer>)) {
    let set = |name: &str, usual: u64| {
        std::env::var(name).map_or(usual, |value| value.parse().expect("a number"))
    };
    let rings_wanted = set("SLIPRING_EDGE_RINGS", 150);
    let messages = set("SLIPRING_EDGE_MESSAGES", 20_000);
    slipring::events::never_look_without_a_reason();
    let mut random = Random::new();
    let rings: Vec<Ring> = (0..rings_wanted)
        .map(|_| {
            Ring::heap()
                .capacity_bytes(4096)
                .max_readers(1)
                .create()
                .unwrap()
        })
        .collect();
    let mut consumers: Vec<_> = rings
        .iter()
        .map(|ring| {
            let mut consumer = Pollable::new(ring.consumer(Start::Oldest).unwrap()).unwrap();
            prepare(&mut consumer);
            consumer
        })
        .collect();
    let events = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    for (at, consumer) in consumers.iter().enumerate() {
        let by_edges = epoll::EventFlags::IN | epoll::EventFlags::ET;
        let by_level = epoll::EventFlags::IN;
        let flags = [by_edges, by_level][at % 2];
        epoll::add(
            &events,
            consumer,
            epoll::EventData::new_u64(at as u64),
            flags,
        )
        .unwrap();
    }
    // The first sleep of each handle is short in any case; all others are not.
    for consumer in &mut consumers {
        for _ in 0..2 {
            while !consumer.arm() {
                if rustix::event::poll(
                    &mut [PollFd::new(&*consumer, PollFlags::IN)],
                    Some(&rustix::event::Timespec {
                        tv_sec: 0,
                        tv_nsec: 2_000_000,
                    }),
                )
                .unwrap()
                    == 0
                {
                    break;
                }
            }
        }
    }
    let producers: Vec<_> = rings.iter().map(|ring| ring.producer().unwrap()).collect();
    let seed = random.draw();
    let publishing = std::thread::spawn(move || {
        let mut random = Random::seeded(seed);
        let mut producers = producers;
        for number in 0..messages {
            let which = random.below(rings_wanted) as usize;
            producers[which].publish(&number.to_le_bytes()).unwrap();
            // Long enough for the loop to fall asleep now and then.
            match random.below(200) {
                0 => std::thread::sleep(Duration::from_micros(random.below(500))),
                1..20 => (0..random.below(2000)).for_each(|_| std::hint::spin_loop()),
                _ => {}
            }
        }
        producers
    });
    let mut last = vec![None; rings_wanted as usize];
    let mut received = 0;
    let mut found = Vec::with_capacity(64);
    while received < messages {
        found.clear();
        match epoll::wait(&events, rustix::buffer::spare_capacity(&mut found), None) {
            // The end of an io_uring, such as asks whether there is one, interrupts its thread.
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("{error}"),
        }
        for event in &found {
            let at = event.data.u64() as usize;
            loop {
                while let Ok(message) = consumers[at].try_receive() {
                    let number = u64::from_le_bytes((*message).try_into().unwrap());
                    assert!(last[at] < Some(number), "ring {at}");
                    last[at] = Some(number);
                    received += 1;
                }
                if !consumers[at].arm() {
                    break;
                }
            }
        }
    }
    drop(publishing.join().unwrap());
}

/// More rings than one call of the kernel takes, and many handles of one ring.
fn many_more_handles_than_the_kernel_takes() {
    const RINGS: usize = 300;
    const EACH: usize = 7;
    let counted = Arc::new(AtomicU64::new(0));
    let mut producers = Vec::new();
    let mut tasks: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    for _ in 0..RINGS {
        let ring = Ring::heap()
            .capacity_bytes(4096)
            .max_readers(EACH as u32)
            .create()
            .unwrap();
        producers.push(ring.producer().unwrap());
        for _ in 0..EACH {
            let consumer = ring.consumer(Start::Oldest).unwrap();
            let counted = counted.clone();
            tasks.push(Box::pin(async move {
                let mut consumer = Async::new(consumer).unwrap();
                for expected in 0..3u8 {
                    let message = consumer.receive().await.unwrap().unwrap();
                    assert_eq!(&*message, [expected]);
                    drop(message);
                    counted.fetch_add(1, Relaxed);
                }
            }));
        }
    }
    let counts = counted.clone();
    let publishing = std::thread::spawn(move || {
        for message in 0..3u8 {
            for producer in &mut producers {
                producer.publish(&[message]).unwrap();
            }
            let expected = (RINGS * EACH) as u64 * (u64::from(message) + 1);
            // The next round finds all of them asleep.
            while counts.load(Relaxed) < expected {
                std::thread::yield_now();
            }
        }
        producers
    });
    run_all(tasks);
    assert_eq!(counted.load(Relaxed), (RINGS * EACH * 3) as u64);
    drop(publishing.join().unwrap());
}

/// In a process of its own: publishes and receives so many messages between the marks.
fn flow() {
    let messages: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let ring = Ring::heap().create().unwrap();
    let mut producer = Async::new(ring.producer().unwrap()).unwrap();
    let mut consumer = Async::new(ring.consumer(Start::Oldest).unwrap()).unwrap();
    testing::tracee::begin();
    for number in 0..messages {
        let published = once(producer.publish(&number.to_le_bytes()));
        assert_eq!(published.unwrap().unwrap(), number);
        drop(once(consumer.receive()).unwrap().unwrap().unwrap());
    }
    testing::tracee::end();
}

fn nothing_calls_the_system_while_messages_flow() {
    // Some belong to the marks themselves.
    let stops = ["0", "1000"].map(|messages| {
        let mut flow = Tracee::start("flow", &[messages]);
        let mut stops = 0;
        flow.steps(1000, |flow| {
            stops += 1;
            flow.syscall()
        });
        flow.kill();
        stops
    });
    assert_eq!(stops[0], stops[1]);
}

fn a_fork_is_told_and_makes_its_own() {
    forks(|_| {});
}

/// Returns `true` if the descriptor is readable, within a time.
pub fn readable<H>(polled: &Pollable<H>, limit: Duration) -> bool {
    let limit = Timespec::try_from(limit).unwrap();
    let mut all = [PollFd::from_borrowed_fd(polled.as_fd(), PollFlags::IN)];
    poll(&mut all, Some(&limit)).unwrap() == 1
}

/// A child that arms what its parent armed does not take the wake-up from the parent, which shares the descriptor.
fn a_fork_takes_no_wake_up_from_its_parent() {
    takes_no_wake_up(|_| {});
}

/// As the test says, with a handle that `prepare` changes.
pub fn takes_no_wake_up(prepare: fn(&mut Pollable<Consumer>)) {
    let scratch = Scratch::new();
    let ring = Ring::builder(scratch.ring()).create().unwrap();
    let mut producer = ring.producer().unwrap();
    let mut polled = Pollable::new(ring.consumer(Start::Oldest).unwrap()).unwrap();
    prepare(&mut polled);
    assert!(!polled.arm());
    producer.publish(b"message").unwrap();
    assert!(readable(&polled, PATIENCE));
    // SAFETY: the child calls nothing that needs the threads of its parent, and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "no fork");
    if child == 0 {
        let ready = polled.arm();
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(i32::from(!ready)) };
    }
    let mut status = 0;
    // SAFETY: waits for the child just made.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0);
    assert!(readable(&polled, Duration::ZERO));
}

/// As the test says, with a handle that `prepare` changes.
pub fn forks(prepare: fn(&mut Pollable<Consumer>)) {
    let scratch = Scratch::new();
    let ring = Ring::builder(scratch.ring()).create().unwrap();
    let mut producer = ring.producer().unwrap();
    let mut waiting = Async::new(ring.consumer(Start::Oldest).unwrap()).unwrap();
    let mut polled = Pollable::new(ring.consumer(Start::Oldest).unwrap()).unwrap();
    prepare(&mut polled);
    // Both wait when the fork is made.
    assert!(once(waiting.receive()).is_none());
    assert!(once(waiting.readable()).is_none());
    assert!(!polled.arm());
    // SAFETY: the child calls nothing that needs the threads of its parent, and leaves by `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "no fork");
    if child == 0 {
        let told = [
            matches!(block_on(waiting.receive()), Err(ReceiveError::Forked)),
            polled.arm(),
            matches!(polled.try_receive(), Err(TryReceiveError::Forked)),
        ];
        drop((waiting, polled));
        let ring = Ring::open(scratch.ring()).unwrap();
        let mut own = Async::new(ring.consumer(Start::Oldest).unwrap()).unwrap();
        let got = block_on(own.receive()).map(|message| message.map(|message| message.to_vec()));
        eprintln!("the child: {told:?}, {got:?}");
        let got = got.is_ok_and(|message| message.is_some_and(|message| message == b"for both"));
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(i32::from(told != [true; 3] || !got)) };
    }
    ring.wait_for_readers(3, PATIENCE).unwrap();
    producer.publish(b"for both").unwrap();
    let mut status = 0;
    // SAFETY: waits for the child just made.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child");
    assert_eq!(&*block_on(waiting.receive()).unwrap().unwrap(), b"for both");
    while !polled.arm() {
        poll(&mut [PollFd::new(&polled, PollFlags::IN)], None).unwrap();
    }
    assert_eq!(&*polled.try_receive().unwrap(), b"for both");
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("the waker of a task of this test");
    }
}

fn a_waker_that_panics_harms_no_other() {
    let ring = Ring::heap().create().unwrap();
    let mut producer = ring.producer().unwrap();
    let mut bad = Async::new(ring.consumer(Start::Oldest).unwrap()).unwrap();
    let mut good = Async::new(ring.consumer(Start::Oldest).unwrap()).unwrap();
    let waker = Waker::from(Arc::new(Panics));
    let mut context = Context::from_waker(&waker);
    assert!(bad.poll_readable(&mut context).is_pending());
    let publishing = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(5));
        producer.publish(b"for both").unwrap();
        producer
    });
    assert_eq!(&*block_on(good.receive()).unwrap().unwrap(), b"for both");
    assert_eq!(&*block_on(bad.receive()).unwrap().unwrap(), b"for both");
    drop(publishing.join().unwrap());
}

/// Keeps a handle that waits.
struct Owner(#[allow(dead_code, reason = "it is dropped")] Mutex<Option<Async<Consumer>>>);

impl Wake for Owner {
    fn wake(self: Arc<Self>) {}
}

/// As of a task that waits for one handle and owns another one, and is dropped with its executor.
fn a_waker_that_owns_a_waiting_handle_is_dropped() {
    let ring = Ring::heap().create().unwrap();
    let waiting = || Async::new(ring.consumer(Start::Oldest).unwrap()).unwrap();
    let (mut one, mut other) = (waiting(), waiting());
    assert!(once(other.readable()).is_none());
    let mut context = Context::from_waker(Waker::noop());
    assert!(other.poll_readable(&mut context).is_pending());
    let waker = Waker::from(Arc::new(Owner(Mutex::new(Some(other)))));
    assert!(one
        .poll_readable(&mut Context::from_waker(&waker))
        .is_pending());
    drop(waker);
    drop(one);
}

/// Handles that never sleep are looked at each millisecond.
fn a_spinning_handle_is_awaited_too() {
    let ring = Ring::heap().capacity_bytes(4096).create().unwrap();
    let options = ProducerOptions::new().strategy(Strategy::Spin);
    let producer = ring.producer_with(options).unwrap();
    let options = ConsumerOptions::new().strategy(Strategy::Spin);
    let consumer = ring.consumer_with(Start::Oldest, options).unwrap();
    let done = Arc::new(Mutex::new(0));
    let count = done.clone();
    let receiving = std::thread::spawn(move || {
        let mut consumer = Async::new(consumer).unwrap();
        block_on(async {
            while let Some(message) = consumer.receive().await.unwrap() {
                drop(message);
                *count.lock().unwrap() += 1;
            }
        });
    });
    let mut producer = Async::new(producer).unwrap();
    block_on(async {
        for _ in 0..500 {
            producer.publish(&[1; 64]).await.unwrap();
        }
    });
    producer.into_inner().close();
    receiving.join().unwrap();
    assert_eq!(*done.lock().unwrap(), 500);
}
