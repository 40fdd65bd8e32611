//! What every form owes as one kind of object among others: it is not removed while a role of it is held, it
//! is opened, removed and published to as what it is only, and it says what it is.

use slipring::{
    broker::{BrokerError, ConnectError},
    endpoint::{AttachError, StatusError},
    link::LinkError,
    mailbox::{ReplyError, RequestError},
    place::{Corrupt, CreateError, OpenError, RemoveError},
    queue::{SendError, TakeError},
    registry::{leftovers_in, look_at},
    signals::SignalSet,
    Fifo, Form, Latest, Link, Mailbox, ObserverOptions, Place, Queue, Ring, Semaphore, Shared,
    Signals, Start, Strategy,
};
use std::any::Any;
use std::error::Error;
use std::fmt::Debug;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use testing::{Scratch, PATIENCE};

slipring::message! {
    /// A value.
    pub struct Value {
        /// Anything.
        pub number: u64,
    }
}

pub const SUITE: testing::Suite = testing::suite!(testing::no_role; [
    a_held_role_keeps_its_object_from_being_removed,
    each_form_is_opened_as_what_it_is_only,
    each_form_removes_its_own_kind_only,
    no_reader_and_no_producer_of_a_ring_is_made_on_another_form,
    guards_print_themselves_in_a_line,
    a_chain_of_errors_says_nothing_twice,
    a_message_that_is_no_letter_is_said_by_its_number,
]);

pub(crate) type Kept = Box<dyn Any>;
/// Takes a role of the object at a path, until what it returns is dropped.
pub(crate) type Hold = fn(&Path) -> Kept;

/// A form, how one is made, and every role that it has.
pub(crate) struct Kind {
    pub(crate) form: Form,
    /// What the name of one of it looks like.
    pub(crate) name: &'static str,
    pub(crate) make: fn(&Path),
    pub(crate) roles: &'static [(&'static str, Hold)],
}

/// Handles print themselves in a line, without what they hold inside.
pub(crate) fn kept(role: impl Any + Debug) -> Kept {
    let shown = format!("{role:?}");
    assert!(shown.len() < 250, "{} bytes: {shown}", shown.len());
    Box::new(role)
}

fn link(path: &Path, me: &str, peer: &str) -> slipring::link::LinkBuilder {
    let builder = Link::builder(me, peer).directory(path.parent().unwrap());
    builder.capacity_bytes(4096)
}

/// One that waits for a peer, which comes when the result is dropped.
struct Waiting {
    waits: Option<std::thread::JoinHandle<()>>,
    /// Lets it go.
    join: Option<Box<dyn FnOnce()>>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.join.take().unwrap()();
        self.waits.take().unwrap().join().unwrap();
    }
}

fn waiting(
    there: impl Fn() -> bool,
    waits: impl FnOnce() + Send + 'static,
    join: impl FnOnce() + 'static,
) -> Kept {
    let waits = std::thread::spawn(waits);
    while !there() {
        std::thread::yield_now();
    }
    Box::new(Waiting {
        waits: Some(waits),
        join: Some(Box::new(join)),
    })
}

fn ring(path: &Path) -> Ring {
    Ring::open(path).unwrap()
}

fn fifo(path: &Path) -> Fifo {
    Fifo::open(path).unwrap()
}

fn semaphore(path: &Path) -> Semaphore {
    Semaphore::open(path).unwrap()
}

fn latest(path: &Path) -> Latest<Value> {
    Latest::open(path).unwrap()
}

fn shared(path: &Path) -> Shared<Value> {
    Shared::open(path).unwrap()
}

fn signals(path: &Path) -> Signals {
    Signals::open(path).unwrap()
}

pub(crate) const KINDS: &[Kind] = &[
    Kind {
        form: Form::Ring,
        name: "ring",
        make: |path| drop(Ring::builder(path).capacity_bytes(4096).create().unwrap()),
        roles: &[
            ("producer", |path| kept(ring(path).producer().unwrap())),
            ("consumer", |path| {
                kept(ring(path).consumer(Start::Latest).unwrap())
            }),
            ("durable consumer", |path| {
                kept(ring(path).durable_consumer("me", Start::Latest).unwrap())
            }),
            ("observer", |path| {
                kept(ring(path).observer(Start::Latest).unwrap())
            }),
            ("observer that parks", |path| {
                let options = ObserverOptions::new().strategy(Strategy::Park);
                kept(ring(path).observer_with(Start::Latest, options).unwrap())
            }),
        ],
    },
    Kind {
        form: Form::Queue,
        name: "queue",
        make: |path| drop(Queue::builder(path).depth(4).create().unwrap()),
        roles: &[
            // A sender holds nothing before it sends: it has no lane.
            ("sender that has sent", |path| {
                let mut sender = Queue::open(path).unwrap().sender().unwrap();
                sender.send(b"one").unwrap();
                kept(sender)
            }),
            ("receiver", |path| {
                kept(Queue::open(path).unwrap().receiver().unwrap())
            }),
        ],
    },
    Kind {
        form: Form::Mailbox,
        name: "mailbox",
        make: |path| drop(Mailbox::builder(path).depth(4).create().unwrap()),
        roles: &[
            ("client", |path| {
                kept(Mailbox::open(path).unwrap().client("me").unwrap())
            }),
            ("client that has sent", |path| {
                let mut client = Mailbox::open(path).unwrap().client("me").unwrap();
                client.send(b"one").unwrap();
                kept(client)
            }),
            ("receiver", |path| {
                kept(Mailbox::open(path).unwrap().receiver().unwrap())
            }),
        ],
    },
    Kind {
        form: Form::Link,
        name: "a..b",
        make: |path| {
            let other = link(path, "b", "a");
            let other = std::thread::spawn(move || drop(other.connect_until(PATIENCE).unwrap()));
            drop(link(path, "a", "b").connect_until(PATIENCE).unwrap());
            other.join().unwrap();
        },
        roles: &[
            ("side that waits", |path| {
                let (waits, joins) = (link(path, "b", "a"), link(path, "a", "b"));
                let sides =
                    || slipring::link::link_status(path).is_ok_and(|link| link.sides[1].is_some());
                waiting(
                    sides,
                    move || drop(waits.connect_until(PATIENCE).unwrap()),
                    move || drop(joins.connect_until(PATIENCE).unwrap()),
                )
            }),
            ("two sides", |path| {
                let other = link(path, "b", "a");
                let other = std::thread::spawn(move || other.connect_until(PATIENCE).unwrap());
                let one = link(path, "a", "b").connect_until(PATIENCE).unwrap();
                kept((one, other.join().unwrap()))
            }),
            ("one side alone", |path| {
                let other = link(path, "b", "a");
                let other =
                    std::thread::spawn(move || drop(other.connect_until(PATIENCE).unwrap()));
                let one = link(path, "a", "b").connect_until(PATIENCE).unwrap();
                other.join().unwrap();
                kept(one)
            }),
        ],
    },
    Kind {
        form: Form::Pipe,
        name: "one-way",
        make: |path| drop(Fifo::builder(path).create().unwrap()),
        roles: &[
            ("waiting reader", |path| {
                let (waits, joins) = (fifo(path), fifo(path));
                let there = || fifo(path).status().unwrap().ends[1].is_some();
                waiting(
                    there,
                    move || drop(waits.reader_until(PATIENCE).unwrap()),
                    move || drop(joins.writer_until(PATIENCE).unwrap()),
                )
            }),
            ("waiting writer", |path| {
                let (waits, joins) = (fifo(path), fifo(path));
                let there = || fifo(path).status().unwrap().ends[0].is_some();
                waiting(
                    there,
                    move || drop(waits.writer_until(PATIENCE).unwrap()),
                    move || drop(joins.reader_until(PATIENCE).unwrap()),
                )
            }),
            ("reader that is left", |path| {
                let there = fifo(path);
                let wrote = std::thread::spawn(move || {
                    let mut writer = there.writer_until(PATIENCE).unwrap();
                    writer.write_all(b"bytes").unwrap();
                });
                let reader = fifo(path).reader_until(PATIENCE).unwrap();
                wrote.join().unwrap();
                kept(reader)
            }),
            ("writer that is left", |path| {
                let there = fifo(path);
                let read = std::thread::spawn(move || drop(there.reader_until(PATIENCE).unwrap()));
                let writer = fifo(path).writer_until(PATIENCE).unwrap();
                read.join().unwrap();
                kept(writer)
            }),
        ],
    },
    Kind {
        form: Form::Pipe,
        name: "both-ways",
        make: |path| drop(Fifo::builder(path).both_ways(true).create().unwrap()),
        roles: &[
            ("side that waits", |path| {
                let (waits, joins) = (fifo(path), fifo(path));
                let there = || fifo(path).status().unwrap().ends[0].is_some();
                waiting(
                    there,
                    move || drop(waits.connect_until(PATIENCE).unwrap()),
                    move || drop(joins.connect_until(PATIENCE).unwrap()),
                )
            }),
            ("side that is left", |path| {
                let there = fifo(path);
                let other =
                    std::thread::spawn(move || drop(there.connect_until(PATIENCE).unwrap()));
                let one = fifo(path).connect_until(PATIENCE).unwrap();
                other.join().unwrap();
                kept(one)
            }),
        ],
    },
    Kind {
        form: Form::Latest,
        name: "latest",
        make: |path| drop(Latest::<Value>::builder(path).create().unwrap()),
        roles: &[
            ("writer", |path| kept(latest(path).writer().unwrap())),
            ("reader", |path| kept(latest(path).reader().unwrap())),
        ],
    },
    Kind {
        form: Form::Shared,
        name: "shared",
        make: |path| drop(Shared::<Value>::builder(path).create().unwrap()),
        roles: &[("handle", |path| kept(shared(path)))],
    },
    Kind {
        form: Form::Semaphore,
        name: "semaphore",
        make: |path| drop(Semaphore::builder(path).permits(2).create().unwrap()),
        roles: &[
            ("handle", |path| kept(semaphore(path))),
            ("permit holder", |path| {
                kept(semaphore(path).acquire().unwrap())
            }),
        ],
    },
    Kind {
        form: Form::Signals,
        name: "signals",
        make: |path| drop(Signals::builder(path).create().unwrap()),
        roles: &[
            ("listener", |path| {
                kept(signals(path).listener("me").unwrap())
            }),
            ("listener of a thread", |path| {
                let listener = signals(path).listener("me").unwrap();
                let on = |_| ControlFlow::Continue(());
                kept(listener.in_background(SignalSet::ALL, on).unwrap())
            }),
        ],
    },
];

/// One of each, in a directory.
fn one_of_each(scratch: &Scratch) {
    for kind in KINDS {
        (kind.make)(&scratch.0.join(kind.name));
    }
}

/// Every file and directory.
fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

fn a_held_role_keeps_its_object_from_being_removed() {
    let scratch = Scratch::new();
    for kind in KINDS {
        let path = scratch.0.join(kind.name);
        for (role, hold) in kind.roles {
            let context = format!("{}, {role}", kind.name);
            (kind.make)(&path);
            let held = hold(&path);
            let refused = slipring::registry::remove_at(&path, false);
            assert!(
                matches!(refused, Err(RemoveError::InUse { .. })),
                "{context}: {refused:?}"
            );
            let left = leftovers_in(&scratch.0).unwrap();
            assert!(left.is_empty(), "{context}: {left:?}");
            drop(held);
            // A process of another test may have been forked with what this one held.
            let left = leftovers_in(&scratch.0).unwrap();
            assert_eq!(left.len(), 1, "{context}");
            assert_eq!(left[0].path, path, "{context}");
            assert!(left[0].remove().unwrap(), "{context}");
            assert!(!path.exists(), "{context}");
        }
    }
}

/// Opens what lies at a path as one form.
type Open = fn(&Path) -> Result<(), OpenError>;
const OPENERS: &[(Form, Open)] = &[
    (Form::Ring, |path| Ring::open(path).map(drop)),
    (Form::Queue, |path| Queue::open(path).map(drop)),
    (Form::Mailbox, |path| Mailbox::open(path).map(drop)),
    (Form::Link, |path| match slipring::link::link_status(path) {
        Ok(_) => Ok(()),
        Err(StatusError::Open(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }),
    (Form::Pipe, |path| Fifo::open(path).map(drop)),
    (Form::Latest, |path| Latest::<Value>::open(path).map(drop)),
    (Form::Shared, |path| Shared::<Value>::open(path).map(drop)),
    (Form::Semaphore, |path| Semaphore::open(path).map(drop)),
    (Form::Signals, |path| Signals::open(path).map(drop)),
];

/// How a form is called where another one was expected.
fn called(form: Form) -> &'static str {
    match form {
        Form::Ring => "a ring",
        Form::Queue => "a queue",
        Form::Mailbox => "a mailbox",
        Form::Link => "a link",
        Form::Pipe => "a pipe",
        Form::Latest => "a latest value",
        Form::Shared => "a shared value",
        Form::Semaphore => "a semaphore",
        Form::Signals => "a signals object",
        form => panic!("{form} has no name of its own"),
    }
}

#[track_caller]
fn is_another(error: &OpenError, path: &Path, found: Form, expected: Form) {
    let OpenError::Form {
        path: of,
        found: is,
        expected: wanted,
    } = error
    else {
        panic!("{found} as {expected}: {error}");
    };
    assert_eq!((&**of, *is, *wanted), (path, found, expected));
    let said = error.to_string();
    let expected = format!(
        "{} is {}, not {}: ",
        path.display(),
        called(found),
        called(expected)
    );
    assert!(said.starts_with(&expected), "{said}");
}

fn each_form_is_opened_as_what_it_is_only() {
    let scratch = Scratch::new();
    one_of_each(&scratch);
    for kind in KINDS {
        let path = scratch.0.join(kind.name);
        for (form, open) in OPENERS {
            match open(&path) {
                Ok(()) => assert_eq!(kind.form, *form),
                Err(error) => is_another(&error, &path, kind.form, *form),
            }
        }
    }
    for (form, open) in OPENERS {
        let path = scratch.0.join("none");
        let error = open(&path).unwrap_err();
        let said = error.to_string();
        let expected = format!("no {} at {}: ", &called(*form)[2..], path.display());
        assert!(said.starts_with(&expected), "{said}");
    }
}

/// Removes what lies at a place, as one form.
type Remove = fn(&Place) -> Result<(), RemoveError>;

/// Links are removed by the names of their sides.
fn remove_link(place: &Place) -> Result<(), RemoveError> {
    let path = place.path().unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let Some((one, other)) = name.split_once("..") else {
        let source = std::io::ErrorKind::Unsupported.into();
        let what = "name";
        return Err(RemoveError::Io { what, path, source });
    };
    Link::remove(one, other).map_err(|error| match error {
        LinkError::Remove(error) => error,
        error => panic!("{error}"),
    })
}

fn each_form_removes_its_own_kind_only() {
    let scratch = Scratch::new();
    // Names lead into this directory. Each test is a process of its own, and this one has no threads yet.
    std::env::set_var("SLIPRING_DIR", &scratch.0);
    let removers: &[(Form, Remove)] = &[
        (Form::Ring, |at| Ring::remove(at)),
        (Form::Queue, |at| Queue::remove(at)),
        (Form::Mailbox, |at| Mailbox::remove(at)),
        (Form::Link, remove_link),
        (Form::Pipe, |at| Fifo::remove(at)),
        (Form::Latest, |at| Latest::<Value>::remove(at)),
        (Form::Shared, |at| Shared::<Value>::remove(at)),
        (Form::Semaphore, |at| Semaphore::remove(at)),
        (Form::Signals, |at| Signals::remove(at)),
    ];
    remove_each(&scratch, removers, |name, _| name.into());
    remove_each(&scratch, removers, |_, path| path.into());
}

fn remove_each(scratch: &Scratch, removers: &[(Form, Remove)], of: fn(&str, &Path) -> Place) {
    one_of_each(scratch);
    // What has the name of a link and is none.
    drop(Ring::builder(scratch.0.join("c..d")).create().unwrap());
    let named = KINDS.iter().map(|kind| (kind.form, kind.name));
    for (found, name) in named.chain([(Form::Ring, "c..d")]) {
        let path = scratch.0.join(name);
        let place = of(name, &path);
        let before = files(&path);
        for (form, remove) in removers {
            if *form == found {
                continue;
            }
            match remove(&place) {
                Err(RemoveError::Open(error)) => is_another(&error, &path, found, *form),
                Err(RemoveError::Io { .. }) if *form == Form::Link && !name.contains("..") => {}
                other => panic!("{name} as {form}: {other:?}"),
            }
        }
        assert_eq!(files(&path), before, "{name}");
        let (_, remove) = removers.iter().find(|(form, _)| *form == found).unwrap();
        remove(&place).unwrap();
        assert!(!path.exists(), "{name}");
        // And there is none of the form that was asked for.
        for (form, remove) in removers {
            let said = match remove(&place) {
                Err(RemoveError::Open(error)) => error.to_string(),
                Err(RemoveError::Io { .. }) if *form == Form::Link => continue,
                other => panic!("{name} as {form}: {other:?}"),
            };
            let expected = format!("no {} at ", &called(*form)[2..]);
            assert!(said.starts_with(&expected), "{said}");
        }
    }
}

fn no_reader_and_no_producer_of_a_ring_is_made_on_another_form() {
    let scratch = Scratch::new();
    one_of_each(&scratch);
    let queue = Queue::open(scratch.0.join("queue")).unwrap();
    queue.sender().unwrap().send(b"one").unwrap();
    let lane = scratch.0.join("queue/lane-0");
    let listed = slipring::registry::list_in(&scratch.0).unwrap();
    let listed = listed.into_iter().map(|entry| entry.ring.unwrap());
    let found = KINDS.iter().map(|kind| scratch.0.join(kind.name));
    let found = found.chain([lane]).map(|path| look_at(path).unwrap());
    let mut forms = 0;
    for ring in listed.chain(found) {
        if ring.form() == Form::Ring {
            continue;
        }
        forms += 1;
        let before: Vec<_> = ["stream", "control"]
            .map(|name| std::fs::read(ring.path().join(name)).unwrap())
            .into();
        let attempts = [
            ("producer", ring.producer().err()),
            ("consumer", ring.consumer(Start::Oldest).err()),
            (
                "durable consumer",
                ring.durable_consumer("me", Start::Oldest).err(),
            ),
            ("observer", ring.observer(Start::Oldest).err()),
            ("forgetting a cursor", ring.forget_cursor("me").err()),
        ];
        for (what, error) in attempts {
            let Some(AttachError::Open(OpenError::Form {
                found, expected, ..
            })) = error
            else {
                panic!("{what} of a {}: {error:?}", ring.form());
            };
            assert_eq!((found, expected), (ring.form(), Form::Ring));
        }
        if let Ok(typed) = ring.typed::<Value>() {
            assert!(typed.producer().is_err());
            assert!(typed.observer(Start::Oldest).is_err());
        }
        let after: Vec<_> = ["stream", "control"]
            .map(|name| std::fs::read(ring.path().join(name)).unwrap())
            .into();
        assert!(before == after, "{} was changed", ring.path().display());
    }
    assert!(forms >= 2 * (KINDS.len() - 1));
}

#[track_caller]
fn short(guard: &dyn Debug) {
    let shown = format!("{guard:?}");
    assert!(shown.len() < 250, "{} bytes: {shown}", shown.len());
}

fn guards_print_themselves_in_a_line() {
    let scratch = Scratch::new();
    let ring = Ring::builder(scratch.0.join("ring")).create().unwrap();
    short(&ring);
    let mut producer = ring.producer().unwrap();
    let mut consumer = ring.consumer(Start::Latest).unwrap();
    let mut observer = ring.observer(Start::Latest).unwrap();
    let mut claim = producer.claim(20_000).unwrap();
    claim.fill(7);
    short(&claim);
    claim.commit();
    let mut batch = producer.batch();
    batch.push(&[7; 20_000]).unwrap();
    short(&batch);
    batch.commit();
    short(&observer.receive().unwrap());
    short(&consumer.receive_batch(2).unwrap());
    short(&consumer.receive().unwrap());

    let mailbox = Mailbox::builder(scratch.0.join("mailbox"));
    let mailbox = mailbox.create().unwrap();
    let mut client = mailbox.client("me").unwrap();
    let mut receiver = mailbox.receiver().unwrap();
    client.send(&[7; 1000]).unwrap();
    short(&receiver.receive().unwrap());
    let queue = Queue::builder(scratch.0.join("queue")).create().unwrap();
    queue.sender().unwrap().send(&[7; 1000]).unwrap();
    short(&queue.receiver().unwrap().receive().unwrap());
    let mut shared = Shared::<Value>::builder(scratch.0.join("shared"));
    shared = shared.max_handles(2);
    short(&shared.create().unwrap().lock().unwrap());
}

/// What the kernel says, and why.
#[derive(Debug)]
struct Outer(std::fmt::Error);

impl std::fmt::Display for Outer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the outer reason")
    }
}

impl Error for Outer {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

fn a_chain_of_errors_says_nothing_twice() {
    let source = || std::io::Error::other(Outer(std::fmt::Error));
    let (what, path) = ("open", || std::path::PathBuf::from("/p"));
    let open = || OpenError::Io {
        what,
        path: path(),
        source: source(),
    };
    let create = || CreateError::Open(open());
    let attach = || AttachError::Open(open());
    let errors: Vec<Box<dyn Error>> = vec![
        Box::new(open()),
        Box::new(create()),
        Box::new(CreateError::Io {
            what,
            path: path(),
            source: source(),
        }),
        Box::new(RemoveError::Open(open())),
        Box::new(RemoveError::Io {
            what,
            path: path(),
            source: source(),
        }),
        Box::new(attach()),
        Box::new(AttachError::Create(create())),
        Box::new(AttachError::Membarrier { source: source() }),
        Box::new(AttachError::Io {
            path: path(),
            source: source(),
        }),
        Box::new(SendError::Attach(attach())),
        Box::new(SendError::Create(create())),
        Box::new(TakeError::Open(open())),
        Box::new(RequestError::Send(SendError::Attach(attach()))),
        Box::new(RequestError::Take(TakeError::Open(open()))),
        Box::new(ReplyError::Open(open())),
        Box::new(ReplyError::Send(SendError::Create(create()))),
        Box::new(LinkError::Create(create())),
        Box::new(LinkError::Attach(attach())),
        Box::new(LinkError::Remove(RemoveError::Open(open()))),
        Box::new(BrokerError::Create(create())),
        Box::new(BrokerError::Io {
            what,
            path: path(),
            source: source(),
        }),
        Box::new(ConnectError::Open(open())),
        Box::new(ConnectError::Exhausted {
            path: path(),
            source: source(),
        }),
        Box::new(ConnectError::Io {
            what,
            path: path(),
            source: source(),
        }),
    ];
    for error in errors {
        let said = error.to_string();
        assert!(said.contains("the outer reason"), "{error:?}");
        let below = error.source().expect("what the reason has");
        assert!(below.is::<std::fmt::Error>(), "{error:?}");
    }
    // What has nothing below has no source.
    let name = Ring::open("no/name").unwrap_err();
    assert!(name.source().is_none());
    assert!(AttachError::from(name).source().is_none());
}

fn a_message_that_is_no_letter_is_said_by_its_number() {
    let scratch = Scratch::new();
    let path = scratch.0.join("mailbox");
    let mailbox = Mailbox::builder(&path).create().unwrap();
    let letters = Queue::open(path.join("letters")).unwrap();
    let mut sender = letters.sender().unwrap();
    let number = sender.send(b"no letter").unwrap();
    let refused = mailbox.receiver().unwrap().try_receive().map(drop);
    let Err(TakeError::Corrupt(Corrupt::Message { sequence, len: 9 })) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(sequence, number);
}
