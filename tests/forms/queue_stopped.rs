//! Queues and mailboxes whose senders, receivers, clients and desks are stopped, forked, or lose the files
//! under them: the others get typed outcomes in bounded time, and what was stopped goes on.
#![allow(unsafe_code, reason = "fork")]

use slipring::{
    mailbox::{Answer, RequestError},
    place::OpenError,
    queue::{AckError, Holder, SendError, TakeError},
    Mailbox, Queue,
};
use std::path::{Path, PathBuf};
use std::time::Duration;
use testing::{check, payload, say, text, Peer, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(victim; [
    a_receiver_stopped_with_a_message_is_named,
    a_receiver_stopped_while_it_waits_holds_nobody_up,
    a_stopped_sender_holds_nobody_up,
    a_sender_stopped_while_it_waits_goes_on,
    a_stopped_client_holds_no_desk_up,
    a_stopped_desk_costs_a_request_its_time,
    forked_handles_are_refused_by_name,
    a_queue_removed_under_everybody_hangs_nobody,
]);

/// A deadline that is meant to pass.
const SHORT: Duration = Duration::from_millis(50);

fn queue(directory: &Path) -> Queue {
    Queue::open(directory.join("queue")).unwrap()
}

fn new_queue(scratch: &Scratch) -> Queue {
    let builder = Queue::builder(scratch.0.join("queue"));
    builder.depth(2).max_message_bytes(64).create().unwrap()
}

fn mailbox(directory: &Path) -> Mailbox {
    Mailbox::open(directory.join("mailbox")).unwrap()
}

fn new_mailbox(scratch: &Scratch) -> Mailbox {
    let builder = Mailbox::builder(scratch.0.join("mailbox"));
    builder.depth(8).max_message_bytes(64).create().unwrap()
}

fn tell() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

fn victim(role: &str) {
    let directory = PathBuf::from(std::env::args().nth(1).unwrap());
    match role {
        "hold" => {
            let mut receiver = queue(&directory).receiver().unwrap();
            let delivery = receiver.receive_until(PATIENCE).unwrap();
            say("ready");
            tell();
            delivery.ack().unwrap();
            say("done");
        }
        "wait for a message" => {
            let mut receiver = queue(&directory).receiver().unwrap();
            say("ready");
            check(&receiver.receive_until(PATIENCE).unwrap(), 1);
            say("got it");
        }
        "send" => {
            let mut sender = queue(&directory).sender().unwrap();
            sender.send(&payload(0, 40)).unwrap();
            say("ready");
            tell();
            sender.send(&payload(2, 40)).unwrap();
            say("sent");
        }
        "wait for room" => {
            let mut sender = queue(&directory).sender().unwrap();
            sender.send(&payload(0, 40)).unwrap();
            sender.send(&payload(1, 40)).unwrap();
            say("ready");
            sender.send_until(&payload(2, 40), 0, PATIENCE).unwrap();
            say("sent");
        }
        "ask" => {
            let mut client = mailbox(&directory).client("bob").unwrap();
            say("ready");
            let reply = client.request_until(b"question", PATIENCE).unwrap();
            assert_eq!(&*reply, b"answer");
            say("answered");
        }
        "answer" => {
            let mut receiver = mailbox(&directory).receiver().unwrap();
            say("ready");
            let letter = receiver.receive_until(PATIENCE).unwrap();
            say("got it");
            tell();
            assert_eq!(letter.reply(b"late").unwrap(), Answer::Late);
            say("replied");
        }
        role => panic!("no role {role}"),
    }
}

fn stop(peer: &Peer) {
    peer.signal(libc::SIGSTOP);
    let stat = format!("/proc/{}/stat", peer.child.id());
    let stopped = || {
        let text = std::fs::read_to_string(&stat).unwrap();
        text.rsplit(") ").next().unwrap().starts_with('T')
    };
    while !stopped() {
        std::thread::yield_now();
    }
}

fn go_on(peer: &Peer) {
    peer.signal(libc::SIGCONT);
}

fn a_receiver_stopped_with_a_message_is_named() {
    let scratch = Scratch::new();
    let queue = new_queue(&scratch);
    let mut sender = queue.sender().unwrap();
    sender.send(&payload(0, 40)).unwrap();
    let mut holder = Peer::start("hold", &[text(&scratch.0)]);
    stop(&holder);
    sender.send(&payload(1, 40)).unwrap();
    let pid = holder.child.id();
    let is_it = |who: Option<Holder>| who == Some(Holder { row: 0, pid });
    let full = sender.try_send(b"");
    assert!(
        matches!(full, Err(SendError::Full { holder }) if is_it(holder)),
        "{full:?}"
    );
    let said = full.unwrap_err().to_string();
    assert!(said.contains(&format!("process {pid}")), "{said}");
    let late = sender.send_until(b"", 0, SHORT);
    assert!(
        matches!(late, Err(SendError::TimedOut { holder }) if is_it(holder)),
        "{late:?}"
    );
    let entry = queue.receivers().unwrap()[0];
    assert_eq!((entry.pid, entry.held, entry.alive), (pid, 1, true));
    // Others get the rest, but not the messages it holds.
    let mut other = queue.receiver().unwrap();
    let delivery = other.receive_until(PATIENCE).unwrap();
    check(&delivery, 1);
    delivery.ack().unwrap();
    assert!(matches!(
        other.receive_until(SHORT),
        Err(TakeError::TimedOut)
    ));
    go_on(&holder);
    assert_eq!(holder.tell("go"), "done");
    sender.send(&payload(2, 40)).unwrap();
    check(&other.receive_until(PATIENCE).unwrap(), 2);
}

fn a_receiver_stopped_while_it_waits_holds_nobody_up() {
    let scratch = Scratch::new();
    let queue = new_queue(&scratch);
    let mut waiter = Peer::start("wait for a message", &[text(&scratch.0)]);
    waiter.asleep();
    stop(&waiter);
    let mut sender = queue.sender().unwrap();
    let mut other = queue.receiver().unwrap();
    for _ in 0..10 {
        sender.send(&payload(0, 40)).unwrap();
        other.receive_until(PATIENCE).unwrap().ack().unwrap();
    }
    sender.send(&payload(1, 40)).unwrap();
    go_on(&waiter);
    assert_eq!(waiter.line(), "got it");
}

fn a_stopped_sender_holds_nobody_up() {
    let scratch = Scratch::new();
    let queue = new_queue(&scratch);
    let mut stopped = Peer::start("send", &[text(&scratch.0)]);
    stop(&stopped);
    let mut receiver = queue.receiver().unwrap();
    let mut sender = queue.sender().unwrap();
    sender.send(&payload(1, 40)).unwrap();
    for number in 0..2 {
        let delivery = receiver.receive_until(PATIENCE).unwrap();
        check(&delivery, number);
        delivery.ack().unwrap();
    }
    let status = queue.status().unwrap();
    assert_eq!(
        (status.senders, status.lanes),
        (2, 2),
        "nobody takes its lane"
    );
    go_on(&stopped);
    assert_eq!(stopped.tell("go"), "sent");
    check(&receiver.receive_until(PATIENCE).unwrap(), 2);
}

fn a_sender_stopped_while_it_waits_goes_on() {
    let scratch = Scratch::new();
    let queue = new_queue(&scratch);
    let mut stopped = Peer::start("wait for room", &[text(&scratch.0)]);
    stopped.asleep();
    stop(&stopped);
    let mut receiver = queue.receiver().unwrap();
    for number in 0..2 {
        let delivery = receiver.receive_until(PATIENCE).unwrap();
        check(&delivery, number);
        delivery.ack().unwrap();
    }
    assert!(matches!(
        receiver.receive_until(SHORT),
        Err(TakeError::TimedOut)
    ));
    go_on(&stopped);
    assert_eq!(stopped.line(), "sent");
    check(&receiver.receive_until(PATIENCE).unwrap(), 2);
}

fn a_stopped_client_holds_no_desk_up() {
    let scratch = Scratch::new();
    let mailbox = new_mailbox(&scratch);
    let mut client = Peer::start("ask", &[text(&scratch.0)]);
    let mut receiver = mailbox.receiver().unwrap();
    let letter = receiver.receive_until(PATIENCE).unwrap();
    stop(&client);
    assert_eq!(letter.reply(b"answer").unwrap(), Answer::Sent);
    // Its name is taken as long as it lives, and others are served.
    assert!(mailbox.client("bob").is_err());
    mailbox.client("carol").unwrap().send(b"letter").unwrap();
    receiver.receive_until(PATIENCE).unwrap().ack();
    go_on(&client);
    assert_eq!(client.line(), "answered");
}

fn a_stopped_desk_costs_a_request_its_time() {
    let scratch = Scratch::new();
    let mailbox = new_mailbox(&scratch);
    let mut desk = Peer::start("answer", &[text(&scratch.0)]);
    let mut alice = mailbox.client("alice").unwrap();
    let first = alice
        .request_until(b"first", Duration::ZERO)
        .map(|r| r.len());
    assert!(matches!(first, Err(RequestError::TimedOut)), "{first:?}");
    assert_eq!(desk.line(), "got it");
    stop(&desk);
    // It is alive, so no call reports that it is gone.
    let second = alice.request_until(b"second", SHORT).map(|r| r.len());
    assert!(matches!(second, Err(RequestError::TimedOut)), "{second:?}");
    go_on(&desk);
    assert_eq!(desk.tell("go"), "replied");
    assert_eq!(mailbox.status().unwrap().late, 1);
}

/// Runs in a fork of this process. Returns the result.
fn in_a_fork(child: impl FnOnce() -> bool) -> bool {
    // SAFETY: this process has one thread, so its fork may do anything; it never returns from here.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child));
        // SAFETY: ends the process without running anything of its parent's.
        unsafe { libc::_exit(i32::from(!done.unwrap_or(false))) };
    }
    let mut status = 1;
    // SAFETY: our own child; `status` is valid for the call.
    unsafe { libc::waitpid(pid, &raw mut status, 0) };
    status == 0
}

fn forked_handles_are_refused_by_name() {
    let scratch = Scratch::new();
    let queue = new_queue(&scratch);
    let mailbox = new_mailbox(&scratch);
    let mut sender = queue.sender().unwrap();
    let mut receiver = queue.receiver().unwrap();
    let mut client = mailbox.client("alice").unwrap();
    let mut desk = mailbox.receiver().unwrap();
    sender.send(&payload(0, 40)).unwrap();
    client.send(b"letter").unwrap();
    assert!(in_a_fork(|| {
        matches!(sender.try_send(b""), Err(SendError::Forked))
            && matches!(
                sender.try_send_with_priority(b"", 3),
                Err(SendError::Forked)
            )
            && matches!(receiver.try_receive(), Err(TakeError::Forked))
            && matches!(receiver.receive_until(SHORT), Err(TakeError::Forked))
            && matches!(client.try_send(b""), Err(SendError::Forked))
            && matches!(
                client.request_until(b"", SHORT),
                Err(RequestError::Send(SendError::Forked))
            )
            && matches!(desk.try_receive(), Err(TakeError::Forked))
    }));
    // The parent's go on as if nothing had been.
    let delivery = receiver.try_receive().unwrap();
    check(&delivery, 0);
    // A delivery is not the child's: neither to end nor to give back.
    let mut delivery = Some(delivery);
    let mut letter = Some(desk.try_receive().unwrap());
    assert!(in_a_fork(|| {
        assert_eq!(delivery.take().unwrap().ack(), Err(AckError::Forked));
        drop(letter.take());
        queue.status().is_err() && queue.receivers().is_err() && queue.receiver().is_err()
    }));
    assert!(in_a_fork(|| {
        drop(delivery.take());
        letter.take().unwrap().ack();
        true
    }));
    assert_eq!(queue.status().unwrap().held, 1);
    assert_eq!(mailbox.status().unwrap().letters.held, 1);
    delivery.unwrap().ack().unwrap();
    letter.unwrap().ack();
    let status = queue.status().unwrap();
    assert_eq!((status.waiting, status.held, status.receivers), (0, 0, 1));
}

fn a_queue_removed_under_everybody_hangs_nobody() {
    let scratch = Scratch::new();
    let queue = new_queue(&scratch);
    let mailbox = new_mailbox(&scratch);
    let mut sender = queue.sender().unwrap();
    let mut receiver = queue.receiver().unwrap();
    let mut client = mailbox.client("alice").unwrap();
    let mut desk = mailbox.receiver().unwrap();
    sender.send(&payload(0, 40)).unwrap();
    slipring::registry::remove_at(queue.path(), true).unwrap();
    slipring::registry::remove_at(mailbox.path(), true).unwrap();
    // What is there may still be received; nothing waits beyond its deadline.
    for _ in 0..4 {
        let _ = receiver.receive_until(SHORT).map(|delivery| delivery.ack());
        let _ = sender.send_until(b"", 0, SHORT);
        let _ = client.request_until(b"", SHORT).map(|reply| reply.len());
        let _ = desk.receive_until(SHORT).map(|letter| letter.reply(b""));
    }
    // What needs a new lane cannot be.
    assert!(sender.try_send_with_priority(b"", 7).is_err());
    let gone = Queue::open(queue.path());
    assert!(matches!(gone, Err(OpenError::NotFound { .. })), "{gone:?}");
    assert!(Mailbox::open(mailbox.path()).is_err());
}
