//! Signals: against an oracle, between processes, under random deaths, and beside POSIX signals.
#![allow(unsafe_code, reason = "sets an interval timer")]

use proptest::prelude::*;
use slipring::{
    endpoint::AttachError,
    signals::{Listener, ListenerOptions, Noticed, SignalError, SignalSet, Target},
    Signals,
};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::{Duration, Instant};
use testing::books::{kills_wanted, Books, Random};
use testing::{say, text, Parties, Peer, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(victim; [
    it_does_what_the_oracle_does,
    what_is_refused_is_refused_with_its_numbers,
    a_sleeper_wakes_for_its_signal,
    a_handler_runs_on_a_thread_of_ours,
    posix_signals_do_not_end_a_wait,
    a_dead_listener_is_nobody,
    random_deaths_lose_no_signal,
]);

fn path(directory: &Path) -> PathBuf {
    directory.join("signals")
}

fn create(scratch: &Scratch) -> Signals {
    Signals::builder(path(&scratch.0))
        .max_listeners(8)
        .create()
        .unwrap()
}

fn open(directory: &Path) -> Signals {
    Signals::open(path(directory)).unwrap()
}

// --- The oracle.

const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];

fn it_does_what_the_oracle_does() {
    let mut runner = testing::runner(200);
    // What, whose name, which signal, which set.
    let steps = prop::collection::vec((0..10u8, 0..NAMES.len(), 0..66u32, any::<u64>()), 1..150);
    runner
        .run(&steps, |steps| {
            follow(&steps);
            Ok(())
        })
        .unwrap();
}

/// What a listener has to notice: how often each signal was sent.
#[derive(Default)]
struct Waiting {
    listener: Option<Listener>,
    counts: std::collections::BTreeMap<u32, u64>,
}

fn follow(steps: &[(u8, usize, u32, u64)]) {
    let scratch = Scratch::new();
    let signals = create(&scratch);
    let mut waiting: [Waiting; NAMES.len()] = Default::default();
    for &(what, who, signal, mask) in steps {
        let name = NAMES[who];
        match what {
            0 => {
                let taken = waiting[who].listener.is_some();
                match open(&scratch.0).listener(name) {
                    Ok(listener) => {
                        assert!(!taken);
                        waiting[who] = Waiting {
                            listener: Some(listener),
                            ..Waiting::default()
                        };
                    }
                    Err(AttachError::CursorInUse { .. }) => assert!(taken),
                    Err(error) => panic!("{error}"),
                }
            }
            1 => waiting[who] = Waiting::default(),
            2..=4 => match signals
                .target(name)
                .and_then(|mut target| target.send(signal))
            {
                Ok(()) => {
                    assert!(waiting[who].listener.is_some());
                    *waiting[who].counts.entry(signal).or_default() += 1;
                }
                Err(SignalError::NoListener { .. }) => assert!(waiting[who].listener.is_none()),
                Err(SignalError::Number { signal }) => assert!(signal >= 64),
                Err(error) => panic!("{error}"),
            },
            5 => match signals.broadcast(signal) {
                Ok(()) => {
                    for waiting in waiting.iter_mut().filter(|w| w.listener.is_some()) {
                        *waiting.counts.entry(signal).or_default() += 1;
                    }
                }
                Err(error) => assert_eq!(error, SignalError::Number { signal }),
            },
            _ => {
                let Waiting {
                    listener: Some(listener),
                    counts,
                } = &mut waiting[who]
                else {
                    continue;
                };
                let chosen = (0..64).filter(|signal| mask >> signal & 1 != 0);
                let set = chosen
                    .map(SignalSet::of)
                    .fold(SignalSet::NONE, |a, b| a | b);
                let first = counts.keys().copied().find(|signal| set.contains(*signal));
                let expected = first.map(|signal| Noticed {
                    signal,
                    count: counts.remove(&signal).unwrap_or_default(),
                });
                assert_eq!(listener.try_wait(set).unwrap(), expected);
            }
        }
        let mut listening: Vec<&str> = NAMES.to_vec();
        listening.retain(|name| {
            let at = NAMES.iter().position(|n| n == name).unwrap();
            waiting[at].listener.is_some()
        });
        assert_eq!(signals.status().unwrap().listeners, listening);
    }
}

fn what_is_refused_is_refused_with_its_numbers() {
    let scratch = Scratch::new();
    let signals = create(&scratch);
    let mut listener = signals.listener("one").unwrap();
    let second = signals.listener("one").unwrap_err();
    assert!(
        matches!(second, AttachError::CursorInUse { .. }),
        "{second}"
    );
    assert!(signals.listener("no name").is_err());
    assert!(
        matches!(signals.target("two").unwrap_err(), SignalError::NoListener { name } if name == "two")
    );
    let mut target = signals.target("one").unwrap();
    assert_eq!(target.send(64), Err(SignalError::Number { signal: 64 }));
    assert_eq!(
        signals.broadcast(64),
        Err(SignalError::Number { signal: 64 })
    );
    let late = listener.wait_until(SignalSet::ALL, Duration::from_millis(5));
    assert_eq!(late, Err(SignalError::TimedOut));
    // What comes for others stays.
    target.send(1).unwrap();
    assert_eq!(listener.try_wait(SignalSet::of(2)).unwrap(), None);
    let others: Vec<Listener> = (0..7)
        .map(|n| signals.listener(&format!("x{n}")).unwrap())
        .collect();
    let full = signals.listener("ninth").unwrap_err();
    assert!(matches!(full, AttachError::NoRow { rows: 8 }), "{full}");
    drop(others);
    assert_eq!(
        listener.try_wait(SignalSet::ALL).unwrap(),
        Some(Noticed {
            signal: 1,
            count: 1
        })
    );
    drop(listener);
    assert!(matches!(
        target.send(1),
        Err(SignalError::NoListener { .. })
    ));
    // Nor does the next one of the same name, in the same row, get it.
    let mut next = signals.listener("one").unwrap();
    assert!(matches!(
        target.send(1),
        Err(SignalError::NoListener { .. })
    ));
    assert_eq!(next.try_wait(SignalSet::ALL).unwrap(), None);
}

fn a_handler_runs_on_a_thread_of_ours() {
    let scratch = Scratch::new();
    let signals = create(&scratch);
    let (say, heard) = std::sync::mpsc::channel();
    let background = signals
        .listener("worker")
        .unwrap()
        .in_background(SignalSet::of(1) | SignalSet::of(9), move |noticed| {
            say.send(noticed).unwrap();
            match noticed.signal {
                9 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        })
        .unwrap();
    let mut target: Target = signals.target("worker").unwrap();
    for _ in 0..3 {
        target.send(1).unwrap();
        assert_eq!(heard.recv_timeout(PATIENCE).unwrap().signal, 1);
    }
    target.send(9).unwrap();
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap().signal, 9);
    background.join().unwrap();
    // Dropped, it stops by itself.
    let idle = signals.listener("idle").unwrap();
    drop(
        idle.in_background(SignalSet::ALL, |_| ControlFlow::Continue(()))
            .unwrap(),
    );
    assert!(signals.status().unwrap().listeners.is_empty());
}

/// An alarm every millisecond interrupts every system call the wait makes.
fn posix_signals_do_not_end_a_wait() {
    let scratch = Scratch::new();
    let signals = create(&scratch);
    extern "C" fn nothing(_: i32) {}
    // SAFETY: the handler does nothing; both structures are valid for the calls. Without SA_RESTART
    // every sleep is cut short.
    unsafe {
        let mut action: libc::sigaction = core::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        libc::sigaction(libc::SIGALRM, &raw const action, core::ptr::null_mut());
        let often = libc::timeval {
            tv_sec: 0,
            tv_usec: 1000,
        };
        let timer = libc::itimerval {
            it_interval: often,
            it_value: often,
        };
        libc::setitimer(libc::ITIMER_REAL, &raw const timer, core::ptr::null_mut());
    }
    let options = ListenerOptions::new().strategy(slipring::Strategy::Park);
    let mut listener = signals.listener_with("steady", options).unwrap();
    let started = Instant::now();
    let late = listener.wait_until(SignalSet::ALL, Duration::from_millis(60));
    assert_eq!(late, Err(SignalError::TimedOut));
    assert!(started.elapsed() >= Duration::from_millis(60));
    let mut target = signals.target("steady").unwrap();
    let sender = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        target.send(3).unwrap();
    });
    let noticed = listener.wait_until(SignalSet::ALL, PATIENCE).unwrap();
    assert_eq!(
        noticed,
        Noticed {
            signal: 3,
            count: 1
        }
    );
    sender.join().unwrap();
    // SAFETY: as above; the timer ends.
    unsafe {
        let timer: libc::itimerval = core::mem::zeroed();
        libc::setitimer(libc::ITIMER_REAL, &raw const timer, core::ptr::null_mut());
    }
}

// --- Processes.

fn victim(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let directory = PathBuf::from(&arguments[0]);
    let signals = open(&directory);
    match role {
        "sleep" => {
            let options = ListenerOptions::new().strategy(slipring::Strategy::Park);
            let mut listener = signals.listener_with("sleeper", options).unwrap();
            say("ready");
            for _ in 0..3 {
                let noticed = listener.wait_until(SignalSet::of(4) | SignalSet::of(6), PATIENCE);
                say(&noticed.unwrap().signal.to_string());
            }
        }
        "listener" => listen(
            &signals,
            &open_books(&directory),
            arguments[1].parse().unwrap(),
        ),
        "sender" => send_for_ever(
            &signals,
            &open_books(&directory),
            arguments[1].parse().unwrap(),
        ),
        role => panic!("no role {role}"),
    }
}

fn a_sleeper_wakes_for_its_signal() {
    let scratch = Scratch::new();
    let signals = create(&scratch);
    let mut sleeper = Peer::start("sleep", &[text(&scratch.0)]);
    let mut target = signals.target("sleeper").unwrap();
    for signal in [4, 6, 4] {
        sleeper.asleep();
        // Not its signal: it sleeps on.
        target.send(5).unwrap();
        sleeper.asleep();
        match signal {
            6 => signals.broadcast(6).unwrap(),
            _ => target.send(signal).unwrap(),
        }
        assert_eq!(sleeper.line(), signal.to_string());
    }
    sleeper.finish();
}

fn a_dead_listener_is_nobody() {
    let scratch = Scratch::new();
    let signals = create(&scratch);
    let sleeper = Peer::start("sleep", &[text(&scratch.0)]);
    let mut target = signals.target("sleeper").unwrap();
    target.send(1).unwrap();
    sleeper.kill();
    assert!(matches!(
        signals.target("sleeper"),
        Err(SignalError::NoListener { .. })
    ));
    assert!(signals.status().unwrap().listeners.is_empty());
    let started = Instant::now();
    while target.send(1).is_ok() {
        assert!(started.elapsed() < PATIENCE, "believed for ever");
    }
    // The name is free, and what was for the dead is not for the living.
    let mut listener = signals.listener("sleeper").unwrap();
    assert_eq!(listener.try_wait(SignalSet::ALL).unwrap(), None);
    assert!(matches!(
        target.send(1),
        Err(SignalError::NoListener { .. })
    ));
}

// --- Chaos.

const PARTIES: [&str; 4] = ["listener", "listener", "sender", "sender"];

fn open_books(directory: &Path) -> Books {
    Books::open(directory, 256, 0)
}

/// Words that say who is to stop: senders first, so that nothing is sent that no listener notices.
const NO_MORE_SENDING: usize = 40;
const NO_MORE_LISTENING: usize = 41;

/// A listener counts what it notices for as long as it lives; its incarnation is its name.
fn listen(signals: &Signals, books: &Books, party: usize) {
    let incarnation = books.word(32 + party).fetch_add(1, SeqCst) + 1;
    let mut listener = signals
        .listener(&format!("l{party}-{incarnation}"))
        .unwrap();
    books.word(64 + party).store(0, SeqCst);
    books.word(48 + party).store(incarnation, SeqCst);
    say("ready");
    loop {
        // Before the wait: what was sent by then is found in it, however long this process takes to return from it.
        let is_last = books.word(NO_MORE_LISTENING).load(SeqCst) != 0;
        match listener.wait_until(SignalSet::of(3), Duration::from_millis(20)) {
            Ok(noticed) => {
                books.word(64 + party).fetch_add(noticed.count, SeqCst);
            }
            Err(SignalError::TimedOut) if is_last => return,
            Err(SignalError::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
        books.word(16 + party).fetch_add(1, Relaxed);
    }
}

/// Sends to each listener; what was sent to the present incarnation is in the books, by sender.
fn send_for_ever(signals: &Signals, books: &Books, party: usize) {
    say("ready");
    let mut targets: [Option<(u64, Target)>; 2] = [None, None];
    while books.word(NO_MORE_SENDING).load(SeqCst) == 0 {
        for (to, slot) in targets.iter_mut().enumerate() {
            let incarnation = books.word(48 + to).load(SeqCst);
            let known = slot.as_ref().map(|(known, _)| *known);
            if known != Some(incarnation) {
                let found = signals.target(&format!("l{to}-{incarnation}"));
                *slot = found.ok().map(|target| (incarnation, target));
            }
            let Some((_, target)) = slot else {
                continue;
            };
            // Two words for each sender and listener: tried, and done; both begin anew with an
            // incarnation, which is in their high half.
            let base = 128 + 4 * (party * 2 + to);
            let count = |word: u64| match word >> 40 == incarnation {
                true => word & ((1 << 40) - 1),
                false => 0,
            };
            let tried = count(books.word(base).load(SeqCst)) + 1;
            books.word(base).store(incarnation << 40 | tried, SeqCst);
            match target.send(3) {
                Ok(()) => {
                    let done = count(books.word(base + 1).load(SeqCst)) + 1;
                    books.word(base + 1).store(incarnation << 40 | done, SeqCst);
                }
                Err(SignalError::NoListener { .. }) => *slot = None,
                Err(error) => panic!("{error}"),
            }
        }
        books.word(16 + party).fetch_add(1, Relaxed);
    }
}

fn random_deaths_lose_no_signal() {
    let scratch = Scratch::new();
    let _signals = create(&scratch);
    let books = open_books(&scratch.0);
    let mut random = Random::new();
    let mut parties = Parties::numbered(&PARTIES, text(&scratch.0));
    for _ in 0..kills_wanted() {
        let party = parties.any(&mut random);
        parties.kill(party, &mut random, 8);
        parties.replace(party);
    }
    parties.get_on(|party| books.word(16 + party).load(Relaxed));
    for (stop, of_it) in [(NO_MORE_SENDING, 2..4), (NO_MORE_LISTENING, 0..2)] {
        books.word(stop).store(1, SeqCst);
        parties.finish(of_it);
    }
    let sender_kills = parties.kills(2) + parties.kills(3);
    // For each listener that lived to the end: what it noticed is what was sent to it.
    for to in 0..2 {
        let incarnation = books.word(48 + to).load(SeqCst);
        let noticed = books.word(64 + to).load(SeqCst);
        let sum = |which: usize| -> u64 {
            let words =
                (2..4).map(|party| books.word(128 + 4 * (party * 2 + to) + which).load(SeqCst));
            let mine = words.filter(|word| word >> 40 == incarnation);
            mine.map(|word| word & ((1 << 40) - 1)).sum()
        };
        let (tried, done) = (sum(0), sum(1));
        // Each death of a sender can leave one sent and not written down.
        assert!(
            noticed >= done && noticed <= done + sender_kills,
            "{noticed} of {done} to {tried}"
        );
        println!("  listener {to}: {noticed} noticed of {done} to {tried} sent");
    }
    println!("  {} kills", kills_wanted());
}
