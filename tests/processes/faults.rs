//! What happens to the others when one process dies, stops, or takes the ground from under them:
//! eviction, takeover, durable cursors, files cut short.

#![allow(unsafe_code, reason = "maps a file to fault on it")]

use slipring::{
    endpoint::{
        AttachError, Builder, PublishError, ReceiveError, TryPublishError, TryReceiveError,
    },
    Consumer, ConsumerOptions, Received, Ring, Start, Strategy,
};
use std::fs::OpenOptions;
use std::io::BufRead;
use std::path::Path;
use std::time::{Duration, Instant};
use testing::{check, payload, say, text, Peer, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(peer; [
    a_stopped_consumer_is_evicted_and_told_exactly,
    a_publish_takes_no_longer_than_it_may,
    a_freeze_of_both_sides_evicts_nobody,
    an_impatient_producer_expels_who_never_reads,
    evicted_readers_never_see_torn_messages,
    readers_learn_of_a_new_producer,
    a_stopped_producer_cannot_be_replaced,
    a_cursor_goes_on_behind_the_last_acknowledged,
    a_cursor_says_what_is_gone,
    a_cursor_belongs_to_one_at_a_time,
    a_cursor_belongs_to_its_ring,
    a_killed_consumer_holds_nobody_for_long,
    liveness_crosses_pid_namespaces,
    killed_sleepers_cost_one_wake,
    a_file_cut_short_is_an_error,
    without_the_guard_it_ends_the_process,
    faults_elsewhere_reach_their_own_handler,
]);

fn peer(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let open = || Ring::open(Path::new(&arguments[0])).unwrap();
    match role {
        // Consumes under a name, when told to.
        "cursor" => {
            let ring = open();
            let mut consumer = ring.durable_consumer("archive", Start::Oldest).unwrap();
            say("ready");
            for _ in std::io::stdin().lock().lines() {
                let message = consumer.receive_until(PATIENCE).unwrap().unwrap();
                let (sequence, missed) = (message.sequence(), message.missed());
                match missed {
                    0 => say(&sequence.to_string()),
                    _ => say(&format!("{sequence} behind {missed}")),
                }
            }
        }
        // Consumes to the end; accounts for everything.
        "consume" => {
            let ring = open();
            let options = ConsumerOptions::new().strategy(match arguments.get(1) {
                Some(_) => Strategy::Park,
                None => Strategy::default(),
            });
            let consumer = ring.consumer_with(Start::Oldest, options).unwrap();
            say("ready");
            say(&account(consumer));
        }
        // Consumes in a pid and time namespace of its own, as long as this process lives.
        "elsewhere" => {
            use std::os::unix::process::CommandExt;
            // SAFETY: affects the children of this process only.
            if unsafe { libc::unshare(libc::CLONE_NEWPID | libc::CLONE_NEWTIME) } != 0 {
                say("ready");
                say("SKIPPED: may not make a namespace");
                return;
            }
            let mut inner = testing::command("held");
            inner.arg(&arguments[0]);
            // SAFETY: one system call, which is allowed between fork and exec.
            unsafe {
                inner.pre_exec(|| {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    Ok(())
                });
            }
            inner.status().unwrap();
        }
        // Holds a row and says under which process id.
        "held" => {
            let ring = open();
            let _consumer = ring.consumer(Start::Oldest).unwrap();
            say("ready");
            say(&std::process::id().to_string());
            std::thread::park();
        }
        // Takes its time for each of some messages; says how often it was evicted.
        "slow" => {
            let mut consumer = open().consumer(Start::Latest).unwrap();
            say("ready");
            let (mut received, mut evicted) = (0, 0);
            while received < 150 {
                let message = consumer.receive_until(PATIENCE).unwrap().unwrap();
                evicted += u32::from(message.missed() > 0);
                std::thread::sleep(Duration::from_millis(10));
                received += 1;
            }
            say(&evicted.to_string());
        }
        // Publishes as fast as it may.
        "flood" => {
            let mut producer = open().producer().unwrap();
            say("ready");
            while producer.publish(&[1; 200]).is_ok() {}
        }
        // Holds the ring until its input ends.
        "produce" => {
            let ring = open();
            let mut producer = ring.producer().unwrap();
            say("ready");
            for line in std::io::stdin().lock().lines() {
                for _ in 0..line.unwrap().parse::<u64>().unwrap() {
                    let next = producer.next_sequence();
                    producer
                        .publish_until(&payload(next, 40), PATIENCE)
                        .unwrap();
                }
                say(&producer.next_sequence().to_string());
            }
        }
        // Accesses a truncated ring in every way.
        "touch" => {
            if arguments.get(1).map(String::as_str) == Some("guarded") {
                slipring::place::guard_against_truncation().unwrap();
            }
            touch();
        }
        "foreign fault" => {
            slipring::place::guard_against_truncation().unwrap();
            let file = tempfile::tempfile().unwrap();
            file.set_len(4096).unwrap();
            // SAFETY: mapped only to be faulted on.
            let map = unsafe { memmap2::Mmap::map(&file) }.unwrap();
            file.set_len(0).unwrap();
            say("ready");
            println!("{}", map[0]);
        }
        role => panic!("no role {role}"),
    }
}

/// Receives to the end: how much came, how much was missed, and in how many evictions.
fn account(mut consumer: Consumer) -> String {
    let mut next = consumer.next_sequence();
    let (mut received, mut missed, mut evictions) = (0u64, 0u64, 0u64);
    loop {
        match consumer.receive_until(PATIENCE) {
            Ok(Some(message)) => {
                let n = message.missed();
                next += n;
                missed += n;
                evictions += u64::from(n > 0);
                assert_eq!(message.sequence(), next);
                check(&message, next);
                next += 1;
                received += 1;
            }
            Ok(None) => break,
            Err(ReceiveError::Expelled { .. }) => return "expelled".into(),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(consumer.losses().evicted, missed);
    format!("{received} {missed} {evictions}")
}

fn small(scratch: &Scratch) -> Builder {
    Ring::builder(scratch.ring()).capacity_bytes(4096)
}

fn evicting(scratch: &Scratch, patience: Duration) -> Ring {
    small(scratch).evict_after(patience).create().unwrap()
}

fn numbers(line: &str) -> Vec<u64> {
    line.split(' ').map(|n| n.parse().unwrap()).collect()
}

fn a_stopped_consumer_is_evicted_and_told_exactly() {
    let scratch = Scratch::new();
    let ring = evicting(&scratch, Duration::from_millis(20));
    let mut producer = ring.producer().unwrap();
    let mut honest = ring.consumer(Start::Oldest).unwrap();
    let peer = Peer::start("consume", &[text(&scratch.ring())]);
    peer.stop();
    for n in 0..500 {
        producer.publish_until(&payload(n, 40), PATIENCE).unwrap();
        // The one that keeps up notices nothing.
        assert_eq!(honest.receive().unwrap().unwrap().sequence(), n);
    }
    let status = ring.status().unwrap();
    assert_eq!(status.readers.iter().filter(|r| r.evicted).count(), 1);
    peer.signal(libc::SIGCONT);
    producer.close();
    let account = numbers(&peer.finish());
    assert_eq!(account[0] + account[1], 500);
    assert!(account[1] > 300 && account[2] >= 1, "{account:?}");
}

fn a_publish_takes_no_longer_than_it_may() {
    let scratch = Scratch::new();
    // Of time in which the producer did not run only a part counts: no few looks are as long as this.
    let patience = Duration::from_millis(300);
    let ring = evicting(&scratch, patience);
    let mut producer = ring.producer().unwrap();
    let mut stuck = ring.consumer(Start::Oldest).unwrap();
    // Without time to wait, the refusal names the row.
    let row = loop {
        match producer.try_publish(&[1; 100]) {
            Ok(_) => {}
            Err(TryPublishError::Full { row }) => break row,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(row, stuck.row());
    // A deadline before the patience ends belongs to the caller.
    let soon = producer.publish_until(&[1; 100], Duration::from_millis(1));
    assert_eq!(soon, Err(PublishError::TimedOut { row }));
    let before = producer.next_sequence();
    let started = Instant::now();
    producer.publish(&[1; 100]).unwrap();
    assert!(started.elapsed() < PATIENCE);
    told(&mut stuck, before);
    drop(stuck);
    // Trying long enough does it too.
    let mut stuck = ring.consumer(Start::Latest).unwrap();
    while producer.try_publish(&[1; 100]).is_ok() {}
    let before = producer.next_sequence();
    let started = Instant::now();
    while producer.try_publish(&[1; 100]).is_err() {
        assert!(started.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    told(&mut stuck, before);
}

/// Both are stopped for three times the patience, as by a freezer of containers, and the producer comes
/// back a little sooner. The consumer was always fast enough.
fn a_freeze_of_both_sides_evicts_nobody() {
    let scratch = Scratch::new();
    let ring = evicting(&scratch, Duration::from_secs(1));
    let mut slow = Peer::start("slow", &[text(&scratch.ring())]);
    let flood = Peer::start("flood", &[text(&scratch.ring())]);
    // So many do not fit: from now on the producer is held back.
    while ring
        .status()
        .unwrap()
        .next_sequence
        .is_none_or(|next| next < 60)
    {
        std::thread::yield_now();
    }
    for peer in [&flood, &slow] {
        peer.stop();
    }
    std::thread::sleep(Duration::from_secs(3));
    flood.signal(libc::SIGCONT);
    std::thread::sleep(Duration::from_millis(5));
    slow.signal(libc::SIGCONT);
    assert_eq!(slow.line(), "0", "evictions");
    flood.kill();
}

/// An evicted consumer is told, and comes back within what was published up to now.
fn told(consumer: &mut Consumer, published: u64) {
    let found = match consumer.try_receive() {
        Ok(message) => Some(message.sequence()),
        Err(TryReceiveError::Empty) => None,
        Err(error) => panic!("{error}"),
    };
    assert!(found.unwrap_or(consumer.next_sequence()) <= published + 1);
    assert!(consumer.losses().evicted > 0);
}

fn an_impatient_producer_expels_who_never_reads() {
    let scratch = Scratch::new();
    let ring = evicting(&scratch, Duration::from_millis(1));
    let mut producer = ring.producer().unwrap();
    let mut slow = ring.consumer(Start::Oldest).unwrap();
    let started = Instant::now();
    let mut evictions = 0;
    while evictions <= 16 {
        for _ in 0..40 {
            producer.publish_until(&[7; 200], PATIENCE).unwrap();
        }
        match slow.try_receive() {
            Err(TryReceiveError::Expelled { .. }) => break,
            Ok(message) => {
                evictions += u32::from(message.missed() > 0);
                // Not given back: it holds the producer up as one that reads nothing does.
                std::mem::forget(message);
            }
            result => panic!("{result:?}"),
        }
        assert!(started.elapsed() < PATIENCE);
    }
    assert_eq!(evictions, 16);
    // For good, until it attaches anew.
    assert!(matches!(
        slow.try_receive(),
        Err(TryReceiveError::Expelled { .. })
    ));
    drop(slow);
    let mut again = ring.consumer(Start::Latest).unwrap();
    producer.publish(b"x").unwrap();
    assert_eq!(&*again.receive().unwrap().unwrap(), b"x");
}

fn evicted_readers_never_see_torn_messages() {
    let scratch = Scratch::new();
    let ring = evicting(&scratch, Duration::from_nanos(1));
    let mut producer = ring.producer().unwrap();
    let peers: Vec<Peer> = (0..3)
        .map(|_| Peer::start("consume", &[text(&scratch.ring())]))
        .collect();
    for n in 0..200_000 {
        let len = (n * 7 % 900) as usize;
        producer.publish_until(&payload(n, len), PATIENCE).unwrap();
    }
    assert_eq!(producer.violations(), 0);
    producer.close();
    for peer in peers {
        let account = peer.finish();
        if account != "expelled" {
            let account = numbers(&account);
            assert_eq!(account[0] + account[1], 200_000);
        }
    }
}

fn readers_learn_of_a_new_producer() {
    let scratch = Scratch::new();
    let ring = small(&scratch).create().unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    let mut observer = ring.observer(Start::Oldest).unwrap();
    let mut first = Peer::start("produce", &[text(&scratch.ring())]);
    first.tell("7");
    first.kill();
    assert_eq!(consumer.new_epoch().unwrap().number, 1);
    assert_eq!(consumer.new_epoch(), None);
    for n in 0..7 {
        assert_eq!(consumer.receive().unwrap().unwrap().sequence(), n);
    }
    let gone = consumer.receive_until(PATIENCE).unwrap_err();
    assert_eq!(gone, ReceiveError::ProducerGone { next: 7 });
    let mut second = Peer::start("produce", &[text(&scratch.ring())]);
    assert_eq!(second.tell("3"), "10");
    for epoch in [consumer.new_epoch(), observer.new_epoch()] {
        let epoch = epoch.unwrap();
        assert_eq!((epoch.number, epoch.first_sequence), (2, 7));
    }
    assert_eq!((consumer.new_epoch(), observer.new_epoch()), (None, None));
    assert_eq!(consumer.receive().unwrap().unwrap().sequence(), 7);
}

fn a_stopped_producer_cannot_be_replaced() {
    let scratch = Scratch::new();
    let ring = small(&scratch).create().unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    let mut peer = Peer::start("produce", &[text(&scratch.ring())]);
    assert_eq!(peer.tell("1"), "1");
    peer.stop();
    for _ in 0..100 {
        let refused = ring.producer().unwrap_err();
        assert!(matches!(refused, AttachError::AlreadyOwned { .. }));
    }
    assert_eq!(consumer.receive().unwrap().unwrap().sequence(), 0);
    // It counts as alive: waiting ends by the deadline, not by its death.
    let waited = consumer.receive_until(Duration::from_millis(250));
    assert_eq!(waited.unwrap_err(), ReceiveError::TimedOut);
    peer.signal(libc::SIGCONT);
    assert_eq!(peer.tell("1"), "2");
    assert_eq!(consumer.receive().unwrap().unwrap().sequence(), 1);
}

fn a_cursor_goes_on_behind_the_last_acknowledged() {
    let scratch = Scratch::new();
    let ring = small(&scratch).create().unwrap();
    let mut producer = ring.producer().unwrap();
    for n in 0..20 {
        producer.publish(&payload(n, 40)).unwrap();
    }
    let start = || Peer::start("cursor", &[text(&scratch.ring())]);
    let mut expected = 0;
    for round in 0..6 {
        let mut peer = start();
        for _ in 0..3 {
            assert_eq!(peer.tell("next"), expected.to_string(), "round {round}");
            expected += 1;
        }
        // It has acknowledged the last one by the time it reads the next line; a kill before that
        // brings the message again.
        peer.kill();
        let cursor = ring
            .status()
            .unwrap()
            .readers
            .into_iter()
            .find(|r| r.cursor.is_some());
        let cursor = cursor.unwrap();
        assert_eq!(cursor.cursor.as_deref(), Some("archive"));
        let next = cursor.next_sequence.unwrap();
        assert!(next == expected || next == expected - 1);
        expected = next;
    }
    // While it is away it does not hold the producer back.
    for n in 20..500 {
        producer.publish_until(&payload(n, 40), PATIENCE).unwrap();
    }
    assert!(ring.forget_cursor("archive").unwrap());
    assert!(!ring.forget_cursor("archive").unwrap());
    assert!(ring.status().unwrap().readers.is_empty());
}

fn a_cursor_says_what_is_gone() {
    let scratch = Scratch::new();
    let ring = small(&scratch).create().unwrap();
    let mut producer = ring.producer().unwrap();
    producer.publish(&payload(0, 40)).unwrap();
    let start = || Peer::start("cursor", &[text(&scratch.ring())]);
    let mut peer = start();
    assert_eq!(peer.tell("next"), "0");
    peer.kill();
    let saved = ring.status().unwrap().readers[0].next_sequence.unwrap();
    for n in 1..400 {
        producer.publish_until(&payload(n, 40), PATIENCE).unwrap();
    }
    // Twice: a process that dies before it was told is told again.
    for told in [false, true] {
        let mut peer = start();
        if told {
            let report = peer.tell("next");
            let after: u64 = peer.tell("next").parse().unwrap();
            let missed = after - 1 - saved;
            assert!(missed > 300);
            assert_eq!(report, format!("{} behind {missed}", after - 1));
        }
        peer.kill();
    }
    assert!(ring.status().unwrap().readers[0].next_sequence.unwrap() > saved + 300);
}

fn a_cursor_belongs_to_one_at_a_time() {
    let scratch = Scratch::new();
    let ring = small(&scratch).create().unwrap();
    let peer = Peer::start("cursor", &[text(&scratch.ring())]);
    let refused = ring.durable_consumer("archive", Start::Oldest).unwrap_err();
    let pid = peer.child.id();
    assert!(
        matches!(&refused, AttachError::CursorInUse { name, pid: p } if name == "archive" && *p == pid)
    );
    assert!(matches!(
        ring.forget_cursor("archive"),
        Err(AttachError::CursorInUse { .. })
    ));
    drop(ring.durable_consumer("other", Start::Oldest).unwrap());
    peer.kill();
    drop(ring.durable_consumer("archive", Start::Oldest).unwrap());
    let bad = ring.durable_consumer("a/b", Start::Oldest).unwrap_err();
    assert!(matches!(bad, AttachError::Name(_)));
    // Cursors keep their rows; the rest is for the others.
    let _held: Vec<Consumer> = (0..ring.max_readers() - 2)
        .map(|_| ring.consumer(Start::Latest).unwrap())
        .collect();
    let full = ring.consumer(Start::Latest).unwrap_err();
    assert!(matches!(full, AttachError::NoRow { .. }));
}

fn a_cursor_belongs_to_its_ring() {
    let scratch = Scratch::new();
    let first = small(&scratch).create().unwrap();
    let mut producer = first.producer().unwrap();
    for n in 0..5 {
        producer.publish(&payload(n, 40)).unwrap();
    }
    let mut consumer = first.durable_consumer("archive", Start::Oldest).unwrap();
    consumer.receive().unwrap();
    drop((consumer, producer, first));
    slipring::registry::remove_at(scratch.ring(), false).unwrap();
    // Another ring under the same name knows nothing of it.
    let second = small(&scratch).create().unwrap();
    let mut producer = second.producer().unwrap();
    producer.publish(&payload(0, 40)).unwrap();
    let mut consumer = second.durable_consumer("archive", Start::Oldest).unwrap();
    assert_eq!(consumer.receive().unwrap().unwrap().sequence(), 0);
}

fn a_killed_consumer_holds_nobody_for_long() {
    let scratch = Scratch::new();
    let ring = small(&scratch).create().unwrap();
    let mut producer = ring.producer().unwrap();
    for _ in 0..20 {
        let peer = Peer::start("consume", &[text(&scratch.ring())]);
        peer.stop();
        let row = loop {
            match producer.try_publish(&payload(producer.next_sequence(), 40)) {
                Ok(_) => {}
                Err(TryPublishError::Full { row }) => break row,
                Err(error) => panic!("{error}"),
            }
        };
        peer.kill();
        let next = producer.next_sequence();
        producer
            .publish_until(&payload(next, 40), PATIENCE)
            .unwrap();
        assert!(ring.status().unwrap().readers.iter().all(|r| r.row != row));
    }
}

fn liveness_crosses_pid_namespaces() {
    let scratch = Scratch::new();
    let ring = small(&scratch).create().unwrap();
    let mut producer = ring.producer().unwrap();
    let mut peer = Peer::start("elsewhere", &[text(&scratch.ring())]);
    let pid = peer.line();
    if pid.starts_with("SKIPPED") {
        println!("  {pid}");
        return;
    }
    // The first process of its namespace, which says nothing about whether it lives.
    assert_eq!(pid, "1");
    while producer.try_publish(&[0; 100]).is_ok() {}
    let status = ring.status().unwrap();
    assert!(status.readers[0].alive && status.readers[0].pid == 1);
    let waited = producer.publish_until(&[0; 100], Duration::from_millis(50));
    assert!(matches!(waited, Err(PublishError::TimedOut { .. })));
    peer.kill();
    producer.publish_until(&[0; 100], PATIENCE).unwrap();
}

fn killed_sleepers_cost_one_wake() {
    let scratch = Scratch::new();
    let ring = small(&scratch).create().unwrap();
    let mut producer = ring.producer().unwrap();
    for _ in 0..20 {
        let peer = Peer::start("consume", &[text(&scratch.ring()), "park"]);
        peer.asleep();
        peer.kill();
        for _ in 0..200 {
            let next = producer.next_sequence();
            producer
                .publish_until(&payload(next, 40), PATIENCE)
                .unwrap();
        }
    }
    // No process sleeps any more: after one useless wake per death the flag stays down.
    let before = producer.wakes();
    assert!(before <= 2 * 20, "{before} wakes for 20 sleepers");
    for _ in 0..1000 {
        let next = producer.next_sequence();
        producer
            .publish_until(&payload(next, 40), PATIENCE)
            .unwrap();
    }
    assert_eq!(producer.wakes(), before);
}

fn cut(ring: &Path, file: &str, len: u64) {
    let file = OpenOptions::new().write(true).open(ring.join(file));
    file.unwrap().set_len(len).unwrap();
}

/// Every kind of call on a ring that is cut at every interesting place: an error, and no more.
fn touch() {
    say("ready");
    let stream = [0, 1, 4095, 4096, 5000, 8192, 12288, 16383].map(|len| ("stream", len));
    let control = [0, 1, 4095, 4096, 5000].map(|len| ("control", len));
    let cases = stream.into_iter().chain(control);
    for (file, len) in cases {
        for call in 0..6 {
            let scratch = Scratch::new();
            let ring = small(&scratch).create().unwrap();
            let mut producer = ring.producer().unwrap();
            let mut consumer = ring.consumer(Start::Oldest).unwrap();
            let mut observer = ring.observer(Start::Oldest).unwrap();
            producer.publish(&payload(0, 40)).unwrap();
            cut(&scratch.ring(), file, len);
            let case = format!("{file} at {len}, call {call}");
            match call {
                0 => {
                    // Until it notices, it may believe in zeroes; it ends with the error.
                    let mut result = Ok(0);
                    for _ in 0..1000 {
                        result = producer.publish_until(&payload(0, 40), PATIENCE);
                        if result.is_err() {
                            break;
                        }
                    }
                    assert_eq!(result, Err(PublishError::Poisoned), "{case}");
                }
                1 => loop {
                    match consumer.receive_until(PATIENCE) {
                        Err(ReceiveError::Poisoned) => break,
                        Ok(Some(message)) if file == "control" => check(&message, 0),
                        // In place, the first message may turn to zeroes while it is read.
                        Ok(Some(_)) => {}
                        result => panic!("{case}: {result:?}"),
                    }
                },
                2 => loop {
                    match observer.receive_until(PATIENCE) {
                        Err(ReceiveError::Poisoned) => break,
                        Ok(Received::Message(message)) => check(&message, 0),
                        result => panic!("{case}: {result:?}"),
                    }
                },
                3 => assert!(matches!(
                    ring.consumer(Start::Oldest),
                    Err(AttachError::Poisoned { .. })
                )),
                4 => assert!(matches!(
                    ring.observer(Start::Oldest),
                    Err(AttachError::Poisoned { .. })
                )),
                _ => {
                    let _ = ring.status();
                }
            }
        }
    }
    say("done");
}

fn a_file_cut_short_is_an_error() {
    let peer = Peer::start("touch", &["-", "guarded"]);
    assert_eq!(peer.finish(), "done");
}

fn killed_by_sigbus(mut peer: Peer) {
    use std::os::unix::process::ExitStatusExt;
    let status = peer.child.wait().unwrap();
    assert_eq!(status.signal(), Some(libc::SIGBUS));
}

fn without_the_guard_it_ends_the_process() {
    killed_by_sigbus(Peer::start("touch", &["-"]));
}

fn faults_elsewhere_reach_their_own_handler() {
    killed_by_sigbus(Peer::start("foreign fault", &[]));
}
