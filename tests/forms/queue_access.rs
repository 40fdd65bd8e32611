//! Access to queues and mailboxes: mode, owner and group apply to every lane, also to later ones.

use slipring::{
    endpoint::StatusError,
    place::{CreateError, OpenError},
    queue::SendError,
    Mailbox, Queue,
};
use std::os::unix::fs::{chown, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use testing::{check, payload, say, text, Peer, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(victim; [
    another_user_receives_whether_it_came_first_or_second,
    root_sends_for_the_owner,
    another_user_receives_letters,
    who_may_only_read_is_told_so,
]);

const OTHER: u32 = 65534;
const OWNER: u32 = 1001;
const GROUP: u32 = 12345;

/// A process of this test as another user.
fn start(role: &str, directory: &Path, uid: u32, gid: u32) -> Peer {
    Peer::start_with(role, &[text(directory)], |command| {
        command.uid(uid).gid(gid).current_dir("/");
    })
}

fn victim(role: &str) {
    let directory = PathBuf::from(std::env::args().nth(1).unwrap());
    let at = directory.join("queue");
    match role {
        "create" => {
            Queue::builder(&at).depth(4).mode(0o600).create().unwrap();
            say("ready");
        }
        "receive" => {
            let queue = Queue::open(&at).unwrap();
            let mut receiver = queue.receiver().unwrap();
            say("ready");
            for number in 0..2 {
                let delivery = receiver.receive_until(PATIENCE).unwrap();
                check(&delivery, number);
                delivery.ack().unwrap();
                say("got it");
            }
            assert_eq!(queue.status().unwrap().lanes, 2);
            let sent = queue.sender().unwrap().try_send_with_priority(b"", 5);
            let owner = at.metadata().unwrap().uid() == rustix::process::geteuid().as_raw();
            match sent {
                Ok(_) => assert!(owner),
                Err(SendError::Create(CreateError::Permission { .. })) => assert!(!owner),
                Err(error) => panic!("{error}"),
            }
        }
        "letters" => {
            let mailbox = Mailbox::open(directory.join("mailbox")).unwrap();
            let mut receiver = mailbox.receiver().unwrap();
            say("ready");
            let letter = receiver.receive_until(PATIENCE).unwrap();
            assert_eq!(letter.sender(), "alice");
            letter.ack();
            say("got it");
        }
        "look" => {
            let status = Queue::open(&at).unwrap().status();
            assert!(
                matches!(status, Err(StatusError::Open(OpenError::Permission { .. }))),
                "{status:?}"
            );
            say("ready");
        }
        role => panic!("no role {role}"),
    }
}

/// A directory that every user may enter, and what is made in it belongs to a group.
fn shared_scratch() -> Scratch {
    let scratch = Scratch::new();
    chown(&scratch.0, None, Some(GROUP)).unwrap();
    let mode = std::fs::Permissions::from_mode(0o2755);
    std::fs::set_permissions(&scratch.0, mode).unwrap();
    scratch
}

/// That every file of what lies inside is for the same users as the file of that name on top.
fn expect_alike(top: &Path) {
    let who = |path: &Path| {
        let meta = path.metadata().unwrap();
        (meta.uid(), meta.gid(), meta.mode() & 0o777)
    };
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        assert_eq!(who(&folder), who(top), "{}", folder.display());
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let same = top.join(path.file_name().unwrap());
                assert_eq!(who(&path), who(&same), "{}", path.display());
            }
        }
    }
}

fn another_user_receives_whether_it_came_first_or_second() {
    if !testing::is_root() {
        return;
    }
    for (mode, uid, gid) in [
        (0o666, OTHER, OTHER),
        (0o660, OTHER, GROUP),
        (0o600, 0, GROUP),
    ] {
        for first in [true, false] {
            let scratch = shared_scratch();
            let queue = Queue::builder(scratch.0.join("queue"));
            let queue = queue.depth(4).mode(mode).create().unwrap();
            let mut sender = queue.sender().unwrap();
            let mut send = |number| {
                let priority = (number == 0).into();
                sender
                    .send_with_priority(&payload(number, 40), priority)
                    .unwrap()
            };
            if !first {
                send(0);
                send(1);
            }
            let mut receiver = start("receive", &scratch.0, uid, gid);
            for number in 0..2 {
                if first {
                    send(number);
                }
                assert_eq!(receiver.line(), "got it", "{mode:o}");
            }
            receiver.finish();
            expect_alike(queue.path());
        }
    }
}

fn root_sends_for_the_owner() {
    if !testing::is_root() {
        return;
    }
    let scratch = shared_scratch();
    chown(&scratch.0, Some(OWNER), None).unwrap();
    start("create", &scratch.0, OWNER, OWNER).finish();
    slipring::place::trust_owner(OWNER);
    let queue = Queue::open(scratch.0.join("queue")).unwrap();
    let mut sender = queue.sender().unwrap();
    for number in 0..2 {
        let priority = (number == 0).into();
        sender
            .send_with_priority(&payload(number, 40), priority)
            .unwrap();
    }
    expect_alike(queue.path());
    drop(sender);
    let mut receiver = start("receive", &scratch.0, OWNER, OWNER);
    for _ in 0..2 {
        assert_eq!(receiver.line(), "got it");
    }
    receiver.finish();
}

fn another_user_receives_letters() {
    if !testing::is_root() {
        return;
    }
    let scratch = shared_scratch();
    let mailbox = Mailbox::builder(scratch.0.join("mailbox"));
    let mailbox = mailbox.depth(4).mode(0o666).create().unwrap();
    let mut receiver = start("letters", &scratch.0, OTHER, OTHER);
    let mut alice = mailbox.client("alice").unwrap();
    alice.send(b"hello").unwrap();
    assert_eq!(receiver.line(), "got it");
    receiver.finish();
    expect_alike(mailbox.path());
}

fn who_may_only_read_is_told_so() {
    if !testing::is_root() {
        return;
    }
    let scratch = shared_scratch();
    let queue = Queue::builder(scratch.0.join("queue")).depth(4);
    let queue = queue.mode(0o644).create().unwrap();
    queue.sender().unwrap().send(b"").unwrap();
    start("look", &scratch.0, OTHER, OTHER).finish();
}
