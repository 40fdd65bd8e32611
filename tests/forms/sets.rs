//! Sets of handles of every kind that can be waited for: what ends a wait, and that nothing is missed.
#![allow(unsafe_code, reason = "installs a handler of a signal")]

use slipring::{
    endpoint::{Interrupter, Interruption, Source},
    latest::{LatestReader, LatestWriter},
    mailbox::{MailboxClient, MailboxReceiver},
    queue::{Receiver, Sender, TakeError},
    signals::{Listener, SignalSet, Target},
    Consumer, Deadline, Latest, Mailbox, Observer, Producer, Queue, Ring, Semaphore, Shared,
    Signals, Start,
};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;
use testing::books::Random;
use testing::waiter::Waiter;
use testing::{say, text, Peer, Scratch, PATIENCE};

testing::suites_of_sets!(peer; [
    each_kind_ends_the_wait_of_a_set,
    each_kind_says_that_it_was_removed,
    short_waits_learn_of_a_removal,
    short_waits_for_permits_and_changes_learn_of_a_removal,
    a_message_of_a_dead_receiver_is_reported,
    a_request_is_kept_until_it_is_taken,
    a_handler_of_a_signal_interrupts,
]);

slipring::message! {
    /// A value.
    pub struct Value {
        /// Which.
        pub number: u64,
    }
}

/// What makes each source ready.
struct Causes {
    quotes: Producer,
    trades: Producer,
    jobs: Sender,
    letters: MailboxClient,
    latest: LatestWriter<Value>,
    signals: Target,
    interrupter: Interrupter,
}

struct Sources {
    consumer: Consumer,
    observer: Observer,
    receiver: Receiver,
    letters: MailboxReceiver,
    latest: LatestReader<Value>,
    listener: Listener,
    interruption: Interruption,
}

/// How many kinds there are; all but the last have files.
const KINDS: usize = 7;
const NAMES: [&str; KINDS - 1] = ["quotes", "trades", "jobs", "letters", "latest", "signals"];

fn made(directory: &Path) -> (Causes, Sources) {
    let at = |name: &str| directory.join(name);
    let ring = |name: &str| {
        let builder = Ring::builder(at(name)).capacity_bytes(8192);
        builder.create().unwrap()
    };
    let (quotes, trades) = (ring("quotes"), ring("trades"));
    let jobs = Queue::builder(at("jobs")).depth(8).create().unwrap();
    let letters = Mailbox::builder(at("letters")).create().unwrap();
    let latest = Latest::<Value>::builder(at("latest")).create().unwrap();
    let signals = Signals::builder(at("signals")).create().unwrap();
    let sources = Sources {
        consumer: quotes.consumer(Start::Oldest).unwrap(),
        observer: trades.observer(Start::Oldest).unwrap(),
        receiver: jobs.receiver().unwrap(),
        letters: letters.receiver().unwrap(),
        latest: latest.reader().unwrap(),
        listener: signals.listener("me").unwrap(),
        interruption: Interruption::new().unwrap(),
    };
    let causes = Causes {
        quotes: quotes.producer().unwrap(),
        trades: trades.producer().unwrap(),
        jobs: jobs.sender().unwrap(),
        letters: letters.client("they").unwrap(),
        latest: latest.writer().unwrap(),
        signals: signals.target("me").unwrap(),
        interrupter: sources.interruption.interrupter(),
    };
    (causes, sources)
}

impl Causes {
    fn cause(&mut self, kind: usize, number: u64) {
        let bytes = number.to_le_bytes();
        match kind {
            0 => drop(self.quotes.publish(&bytes).unwrap()),
            1 => drop(self.trades.publish(&bytes).unwrap()),
            2 => drop(self.jobs.send(&bytes).unwrap()),
            3 => self.letters.send(&bytes).unwrap(),
            4 => drop(self.latest.set(&Value { number }).unwrap()),
            5 => self.signals.send((number % 64) as u32).unwrap(),
            _ => self.interrupter.interrupt(),
        }
    }
}

impl Sources {
    fn all(&mut self) -> [&mut dyn Source; KINDS] {
        [
            &mut self.consumer,
            &mut self.observer,
            &mut self.receiver,
            &mut self.letters,
            &mut self.latest,
            &mut self.listener,
            &mut self.interruption,
        ]
    }

    /// Takes what is there, which must be what was caused.
    fn take(&mut self, kind: usize, number: u64) {
        let bytes = number.to_le_bytes();
        match kind {
            0 => assert_eq!(&*self.consumer.try_receive().unwrap(), &bytes),
            1 => match self.observer.try_receive().unwrap() {
                slipring::Received::Message(message) => assert_eq!(&*message, &bytes),
                other => panic!("{other:?}"),
            },
            2 => {
                let job = self.receiver.try_receive().unwrap();
                assert_eq!(&*job, &bytes);
                job.ack().unwrap();
            }
            3 => {
                let letter = self.letters.try_receive().unwrap();
                assert_eq!(&*letter, &bytes);
                letter.ack();
            }
            4 => assert_eq!(self.latest.get().unwrap().unwrap().0.number, number),
            5 => {
                let noticed = self.listener.try_wait(SignalSet::ALL).unwrap().unwrap();
                let expected = ((number % 64) as u32, 1);
                assert_eq!((noticed.signal, noticed.count), expected);
            }
            _ => assert!(self.interruption.take()),
        }
    }

    /// The error of the next call.
    fn trouble(&mut self, kind: usize) -> String {
        let said = match kind {
            0 => self.consumer.receive_until(MOMENT).unwrap_err().to_string(),
            1 => self.observer.receive_until(MOMENT).unwrap_err().to_string(),
            2 => self.receiver.receive_until(MOMENT).unwrap_err().to_string(),
            3 => self.letters.receive_until(MOMENT).unwrap_err().to_string(),
            4 => self.latest.wait_until(MOMENT).unwrap_err().to_string(),
            _ => {
                let noticed = self.listener.wait_until(SignalSet::ALL, MOMENT);
                noticed.unwrap_err().to_string()
            }
        };
        assert!(said.contains("removed"), "{kind}: {said}");
        said
    }
}

const MOMENT: Duration = Duration::from_millis(1);

fn each_kind_ends_the_wait_of_a_set() {
    let scratch = Scratch::new();
    let (mut causes, mut sources) = made(&scratch.0);
    let mut random = Random::new();
    for number in 0..600u64 {
        let spin = Duration::from_micros([0, 20][random.below(2) as usize]);
        let mut set = Waiter::with_spin(spin);
        // As long as a set polls, falls asleep, or has slept; and before it begins.
        let delay = Duration::from_micros(random.below(4).pow(2) * random.below(300));
        let kind = random.below(KINDS as u64) as usize;
        let causes = &mut causes;
        let ready = std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(delay);
                causes.cause(kind, number);
            });
            set.wait(&mut sources.all(), PATIENCE)
        });
        assert_eq!(ready, Some(kind), "number {number}, after {delay:?}");
        sources.take(kind, number);
        let more = set.wait(&mut sources.all(), Duration::ZERO);
        assert_eq!(more, None, "number {number}");
    }
}

fn each_kind_says_that_it_was_removed() {
    for (kind, name) in NAMES.iter().enumerate() {
        let scratch = Scratch::new();
        let (_causes, mut sources) = made(&scratch.0);
        let path = scratch.0.join(name);
        let ready = std::thread::scope(|scope| {
            scope.spawn(|| slipring::registry::remove_at(&path, true).unwrap());
            Waiter::new().wait(&mut sources.all(), PATIENCE)
        });
        assert_eq!(ready, Some(kind), "{name}");
        sources.trouble(kind);
    }
}

fn short_waits_learn_of_a_removal() {
    for (kind, name) in NAMES.iter().enumerate().skip(4) {
        let scratch = Scratch::new();
        let (_causes, mut sources) = made(&scratch.0);
        slipring::registry::remove_at(scratch.0.join(name), true).unwrap();
        let started = std::time::Instant::now();
        loop {
            let said = match kind {
                4 => sources
                    .latest
                    .wait_until(Duration::ZERO)
                    .unwrap_err()
                    .to_string(),
                _ => {
                    let noticed = sources.listener.wait_until(SignalSet::ALL, Duration::ZERO);
                    noticed.unwrap_err().to_string()
                }
            };
            if said.contains("removed") {
                break;
            }
            assert!(started.elapsed() < PATIENCE, "{name}: {said}");
        }
    }
}

/// As the forms of the sets do, though these are waited for alone.
fn short_waits_for_permits_and_changes_learn_of_a_removal() {
    // Fewer calls than after which any call asks.
    const FEW: usize = 32;
    // Shorter than the time after which a wait asks by itself.
    let moment = Duration::from_millis(1);
    let scratch = Scratch::new();
    let path = scratch.0.join("permits");
    let permits = Semaphore::builder(&path).permits(1).create().unwrap();
    let held = permits.acquire().unwrap();
    slipring::registry::remove_at(&path, true).unwrap();
    let mut told = (0..FEW).map(|_| permits.acquire_until(moment).unwrap_err().to_string());
    assert!(told.any(|said| said.contains("removed")), "a semaphore");
    drop(held);
    let path = scratch.0.join("value");
    let mut value = Shared::<Value>::builder(&path).create().unwrap();
    let mut other = Shared::<Value>::open(&path).unwrap();
    let guard = other.lock().unwrap();
    slipring::registry::remove_at(&path, true).unwrap();
    let mut told = (0..FEW).map(|_| value.wait_until(0, moment).unwrap_err().to_string());
    assert!(told.any(|said| said.contains("removed")), "a change");
    let mut told = (0..FEW).map(|_| value.lock_until(moment).unwrap_err().to_string());
    assert!(told.any(|said| said.contains("removed")), "a lock");
    drop(guard);
}

fn a_message_of_a_dead_receiver_is_reported() {
    let scratch = Scratch::new();
    let (mut causes, mut sources) = made(&scratch.0);
    causes.cause(2, 7);
    let holder = Peer::start("hold", &[text(&scratch.0)]);
    let mut set = Waiter::new();
    // There may be a message, but another receiver has it; that is said once.
    let maybe = set.wait(&mut sources.all(), MOMENT);
    assert!(matches!(maybe, None | Some(2)), "{maybe:?}");
    assert!(matches!(
        sources.receiver.try_receive(),
        Err(TakeError::Empty)
    ));
    assert_eq!(
        set.wait(&mut sources.all(), Duration::from_millis(20)),
        None
    );
    holder.kill();
    assert_eq!(set.wait(&mut sources.all(), PATIENCE), Some(2));
    let job = sources.receiver.try_receive().unwrap();
    assert!(job.redelivered());
    job.ack().unwrap();
}

/// Takes a job and keeps it.
fn peer(role: &str) {
    assert_eq!(role, "hold");
    let directory = PathBuf::from(std::env::args().nth(1).unwrap());
    let queue = Queue::open(directory.join("jobs")).unwrap();
    let mut receiver = queue.receiver().unwrap();
    let _job = receiver.receive_until(PATIENCE).unwrap();
    say("ready");
    loop {
        std::thread::park();
    }
}

fn a_request_is_kept_until_it_is_taken() {
    let mut interruption = Interruption::new().unwrap();
    let interrupter = interruption.interrupter();
    let mut set = Waiter::with_spin(Duration::ZERO);
    assert!(!interruption.take());
    interrupter.interrupt();
    interrupter.clone().interrupt();
    for _ in 0..2 {
        let ready = set.wait(&mut [&mut interruption], Deadline::NEVER);
        assert_eq!(ready, Some(0));
    }
    assert!(interruption.take());
    assert!(!interruption.take());
    assert_eq!(set.wait(&mut [&mut interruption], MOMENT), None);
}

static INTERRUPTER: OnceLock<Interrupter> = OnceLock::new();

extern "C" fn interrupt(_: libc::c_int) {
    if let Some(interrupter) = INTERRUPTER.get() {
        interrupter.interrupt();
    }
}

fn a_handler_of_a_signal_interrupts() {
    let mut interruption = Interruption::new().unwrap();
    INTERRUPTER.get_or_init(|| interruption.interrupter());
    // SAFETY: a handler that does what a handler may: stores, and a system call.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = interrupt as *const () as usize;
        // The kernel goes on with a wait that was cut short where it can.
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGUSR1, &raw const action, core::ptr::null_mut());
    }
    let mut random = Random::new();
    let mut set = Waiter::with_spin(Duration::ZERO);
    for _ in 0..200 {
        let delay = Duration::from_micros(random.below(2000));
        let ready = std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(delay);
                // SAFETY: sends a signal that is handled.
                unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
            });
            set.wait(&mut [&mut interruption], Deadline::NEVER)
        });
        assert_eq!(ready, Some(0));
        assert!(interruption.take());
    }
}
