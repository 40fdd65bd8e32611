//! One pattern for every form that lies at a place: it is created, opened, waited for, compared and removed by the
//! same calls, with the same errors.
//!
//! The table below is made of calls by name, so a form that lacks one does not compile. Three forms are not
//! in it, as they have no place of their own: a link has two names, a pipe is inherited, and an isolated reader
//! connects to a socket.
#![allow(unsafe_code, reason = "forks")]

use slipring::{
    endpoint::{Difference, StatusError},
    place::{CreateError, OpenError, RemoveError},
    Deadline, Fifo, Form, Latest, Mailbox, Place, Queue, Ring, Semaphore, Shared, Signals,
};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testing::{Scratch, PATIENCE};

slipring::message! {
    /// A value.
    pub struct Value {
        /// Anything.
        pub number: u64,
    }
}

pub const SUITE: testing::Suite = testing::suite!(testing::no_role; [
    each_form_is_created_opened_and_removed_at_a_name_and_at_a_path,
    each_form_can_be_waited_for,
    each_form_says_how_an_existing_one_differs,
    each_form_refuses_what_is_no_name,
    each_form_learns_that_it_was_removed,
    each_form_says_its_state_or_why_it_cannot,
    each_form_has_the_mode_that_was_asked_for,
]);

/// An open object of any form.
trait Object: Send {
    fn path(&self) -> PathBuf;
    fn is_removed(&self) -> bool;
    fn differences(&self) -> Vec<Difference>;
    fn state(&self) -> Result<(), StatusError>;
}

/// The errors of opening that creating also has.
fn of_opening(error: CreateError) -> OpenError {
    match error {
        CreateError::Open(error) => error,
        CreateError::Name(error) => OpenError::Name(error),
        error => panic!("not of opening: {error}"),
    }
}

type Boxed = Box<dyn Object>;
type Make = fn(&Place) -> Result<Boxed, CreateError>;

/// The calls of one form.
struct Pattern {
    form: Form,
    create: Make,
    create_or_open: Make,
    /// With settings other than those of `create`; `None` where there are no others.
    create_or_open_otherwise: Option<Make>,
    /// With a mode that lets others read; `None` where every process that opens one also writes.
    create_for_others: Option<Make>,
    open: fn(&Place) -> Result<Boxed, OpenError>,
    open_until: fn(&Place, Deadline) -> Result<Boxed, OpenError>,
    remove: fn(&Place) -> Result<(), RemoveError>,
}

/// What others may do with it, in the modes of the test.
const FOR_OTHERS: u32 = 0o644;

macro_rules! objects {
    ($($type:ty),*) => {$(
        impl Object for $type {
            fn path(&self) -> PathBuf {
                self.path().to_owned()
            }

            fn is_removed(&self) -> bool {
                self.is_removed()
            }

            fn differences(&self) -> Vec<Difference> {
                self.differences().to_vec()
            }

            fn state(&self) -> Result<(), StatusError> {
                self.status().map(|_| ())
            }
        }
    )*};
}

// The inherent methods, not these.
objects!(
    Ring,
    Queue,
    Mailbox,
    Fifo,
    Latest<Value>,
    Shared<Value>,
    Semaphore,
    Signals
);

macro_rules! pattern {
    ($form:ident, $type:ty, |$builder:ident| $settings:expr, $otherwise:expr, $others:expr) => {
        Pattern {
            form: Form::$form,
            create: |at| {
                let $builder = <$type>::builder(at);
                Ok(Box::new($settings.create()?))
            },
            create_or_open: |at| {
                let $builder = <$type>::builder(at);
                Ok(Box::new($settings.create_or_open()?))
            },
            create_or_open_otherwise: $otherwise,
            create_for_others: $others,
            open: |at| Ok(Box::new(<$type>::open(at)?)),
            open_until: |at, deadline| Ok(Box::new(<$type>::open_until(at, deadline)?)),
            remove: |at| <$type>::remove(at),
        }
    };
}

/// Creates or opens with these settings.
macro_rules! otherwise {
    ($type:ty, |$builder:ident| $settings:expr) => {
        Some(|at| {
            let $builder = <$type>::builder(at);
            Ok(Box::new($settings.create_or_open()?))
        })
    };
}

fn patterns() -> Vec<Pattern> {
    vec![
        pattern!(
            Ring,
            Ring,
            |new| new.capacity_bytes(4096),
            otherwise!(Ring, |new| new.capacity_bytes(8192)),
            otherwise!(Ring, |new| new.mode(FOR_OTHERS))
        ),
        pattern!(
            Queue,
            Queue,
            |new| new.depth(4).max_message_bytes(64),
            otherwise!(Queue, |new| new.depth(8).max_message_bytes(64)),
            otherwise!(Queue, |new| new.mode(FOR_OTHERS))
        ),
        pattern!(
            Mailbox,
            Mailbox,
            |new| new.depth(4).max_message_bytes(64),
            otherwise!(Mailbox, |new| new.depth(8).max_message_bytes(64)),
            otherwise!(Mailbox, |new| new.mode(FOR_OTHERS))
        ),
        pattern!(
            Pipe,
            Fifo,
            |new| new.capacity_bytes(4096),
            otherwise!(Fifo, |new| new.capacity_bytes(8192)),
            otherwise!(Fifo, |new| new.mode(FOR_OTHERS))
        ),
        pattern!(
            Latest,
            Latest<Value>,
            |new| new.cells(3),
            otherwise!(Latest<Value>, |new| new.cells(4)),
            otherwise!(Latest<Value>, |new| new.mode(FOR_OTHERS))
        ),
        pattern!(
            Shared,
            Shared<Value>,
            |new| new.max_handles(4),
            otherwise!(Shared<Value>, |new| new.max_handles(5)),
            None
        ),
        pattern!(
            Semaphore,
            Semaphore,
            |new| new.permits(3),
            otherwise!(Semaphore, |new| new.permits(3).max_permits(5)),
            otherwise!(Semaphore, |new| new.mode(0o666))
        ),
        pattern!(
            Signals,
            Signals,
            |new| new.max_listeners(4),
            otherwise!(Signals, |new| new.max_listeners(5)),
            otherwise!(Signals, |new| new.mode(0o666))
        ),
    ]
}

/// Both ways to say where something lies: a name, in the directory that `SLIPRING_DIR` names, and a path. Each
/// test is a process of its own, and has no threads yet when this is called.
fn places(scratch: &Scratch) -> [Place; 2] {
    std::env::set_var("SLIPRING_DIR", &scratch.0);
    [Place::from("named"), scratch.0.join("elsewhere").into()]
}

fn of<T>(opened: Result<T, OpenError>) -> OpenError {
    match opened {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

#[track_caller]
fn is_missing(error: &OpenError, path: &Path) {
    let OpenError::NotFound { path: of, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(of, path);
}

fn each_form_is_created_opened_and_removed_at_a_name_and_at_a_path() {
    let scratch = Scratch::new();
    for place in places(&scratch) {
        let path = place.path().unwrap();
        for pattern in patterns() {
            let form = pattern.form;
            is_missing(&of((pattern.open)(&place)), &path);
            let created = (pattern.create)(&place).unwrap();
            assert_eq!(created.path(), path, "{form}");
            assert!(path.join("stream").exists(), "{form}");
            match (pattern.create)(&place).err() {
                Some(CreateError::Exists { path: taken }) => assert_eq!(taken, path),
                other => panic!("{form}: {other:?}"),
            }
            let opened = (pattern.open)(&place).unwrap();
            assert_eq!(opened.path(), path, "{form}");
            drop((created, opened));
            let again = (pattern.create_or_open)(&place).unwrap();
            assert_eq!(again.path(), path, "{form}");
            drop(again);
            (pattern.remove)(&place).unwrap();
            assert!(!path.exists(), "{form}");
            match (pattern.remove)(&place) {
                Err(RemoveError::Open(error)) => is_missing(&error, &path),
                other => panic!("{form}: {other:?}"),
            }
            // What does not exist yet is created.
            let created = (pattern.create_or_open)(&place).unwrap();
            assert_eq!(created.differences(), [], "{form}");
            drop(created);
            (pattern.remove)(&place).unwrap();
        }
    }
}

fn each_form_can_be_waited_for() {
    let scratch = Scratch::new();
    for place in places(&scratch) {
        let path = place.path().unwrap();
        for pattern in patterns() {
            let moment = Deadline::from(Duration::from_millis(1));
            is_missing(&of((pattern.open_until)(&place, moment)), &path);
            let created = std::thread::scope(|scope| {
                let waits = scope.spawn(|| {
                    let opened = (pattern.open_until)(&place, PATIENCE.into());
                    opened.map(|opened| opened.path())
                });
                let created = (pattern.create)(&place).unwrap();
                assert_eq!(waits.join().unwrap().unwrap(), path, "{}", pattern.form);
                created
            });
            drop(created);
            (pattern.remove)(&place).unwrap();
        }
        // What is of another form will not become what is waited for.
        drop(Ring::builder(&place).capacity_bytes(4096).create().unwrap());
        for pattern in patterns().into_iter().skip(1) {
            let error = of((pattern.open_until)(&place, Deadline::NEVER));
            let OpenError::Form {
                found, expected, ..
            } = error
            else {
                panic!("{error}");
            };
            assert_eq!((found, expected), (Form::Ring, pattern.form));
        }
        Ring::remove(&place).unwrap();
    }
}

fn each_form_says_how_an_existing_one_differs() {
    let scratch = Scratch::new();
    let [place, _] = places(&scratch);
    for pattern in patterns() {
        let form = pattern.form;
        let created = (pattern.create)(&place).unwrap();
        let same = (pattern.create_or_open)(&place).unwrap();
        assert_eq!(same.differences(), [], "{form}");
        let otherwise = pattern.create_or_open_otherwise.unwrap();
        let other = otherwise(&place).unwrap();
        let said: Vec<String> = other
            .differences()
            .iter()
            .map(Difference::to_string)
            .collect();
        let expected = match form {
            Form::Ring | Form::Pipe => "capacity: 4096, not 8192",
            Form::Queue | Form::Mailbox => "depth: 4, not 8",
            Form::Latest => "cells: 3, not 4",
            Form::Shared => "handles: 4, not 5",
            Form::Semaphore => "most permits: 3, not 5",
            Form::Signals => "listeners: 4, not 5",
            _ => "",
        };
        assert_eq!(said, [expected], "{form}");
        // The existing one keeps its own.
        assert_eq!((pattern.create_or_open)(&place).unwrap().differences(), []);
        drop((created, same, other));
        (pattern.remove)(&place).unwrap();
    }
}

fn each_form_refuses_what_is_no_name() {
    let scratch = Scratch::new();
    places(&scratch);
    let long = "n".repeat(65);
    // None of these is opened as a path, although there is a ring at the first.
    drop(Ring::builder(scratch.0.join("there")).create().unwrap());
    let there = format!("{}/there", scratch.0.display());
    for text in [
        &*there, "../there", "./there", "a/b", "", ".hidden", "ü", &long,
    ] {
        let place = Place::from(text);
        for pattern in patterns() {
            let form = pattern.form;
            let refused = [
                (pattern.create)(&place).err().map(of_opening),
                (pattern.create_or_open)(&place).err().map(of_opening),
                (pattern.open)(&place).err(),
                (pattern.open_until)(&place, Deadline::NEVER).err(),
                match (pattern.remove)(&place) {
                    Err(RemoveError::Open(error)) => Some(error),
                    other => panic!("{form}: {other:?}"),
                },
            ];
            for error in refused {
                let Some(OpenError::Name(error)) = error else {
                    panic!("{form} at {text:?}: {error:?}");
                };
                assert_eq!(error.name, text);
            }
        }
    }
}

fn each_form_learns_that_it_was_removed() {
    let scratch = Scratch::new();
    for place in places(&scratch) {
        for pattern in patterns() {
            let form = pattern.form;
            let old = (pattern.create)(&place).unwrap();
            assert!(!old.is_removed(), "{form}");
            slipring::registry::remove_at(&place, true).unwrap();
            assert!(old.is_removed(), "{form}");
            // Also if there is another one by then.
            let new = (pattern.create)(&place).unwrap();
            assert!(old.is_removed(), "{form}");
            assert!(!new.is_removed(), "{form}");
            assert!(!(pattern.open)(&place).unwrap().is_removed(), "{form}");
            drop((old, new));
            (pattern.remove)(&place).unwrap();
        }
    }
}

/// Nothing that is read where pages are missing, or of another object, passes for the state of this one.
fn each_form_says_its_state_or_why_it_cannot() {
    slipring::place::guard_against_truncation().unwrap();
    let scratch = Scratch::new();
    for place in places(&scratch) {
        let path = place.path().unwrap();
        for pattern in patterns() {
            let form = pattern.form;
            let object = (pattern.create)(&place).unwrap();
            object.state().unwrap();
            in_a_fork(|| match object.state() {
                Err(StatusError::Forked { path: of }) => of == path,
                _ => false,
            });
            object.state().unwrap();
            slipring::registry::remove_at(&place, true).unwrap();
            let new = (pattern.create)(&place).unwrap();
            match object.state() {
                Err(StatusError::Removed { path: of }) => assert_eq!(of, path),
                other => panic!("{form}: {other:?}"),
            }
            new.state().unwrap();
            for file in ["control", "stream"] {
                let file = std::fs::File::options().write(true).open(path.join(file));
                file.unwrap().set_len(4096).unwrap();
                match new.state() {
                    Err(StatusError::Poisoned { path: of }) => assert_eq!(of, path),
                    other => panic!("{form}: {other:?}"),
                }
            }
            drop((object, new));
            slipring::registry::remove_at(&place, true).unwrap();
        }
    }
}

/// The child says whether it saw what it had to see.
fn in_a_fork(saw: impl FnOnce() -> bool) {
    // SAFETY: this process has one thread. The child ends without running what belongs to its parent.
    let child = unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::_exit(i32::from(!saw()));
        }
        child
    };
    let mut status = 0;
    // SAFETY: waits for the child just made.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(status, 0, "the child was not told");
}

/// Every file and directory of an object, from itself on, with its permissions.
fn modes(of: &Path, found: &mut Vec<(PathBuf, u32)>) {
    let metadata = std::fs::symlink_metadata(of).unwrap();
    found.push((of.to_owned(), metadata.permissions().mode() & 0o777));
    if metadata.is_dir() {
        for entry in std::fs::read_dir(of).unwrap() {
            modes(&entry.unwrap().path(), found);
        }
    }
}

fn each_form_has_the_mode_that_was_asked_for() {
    let scratch = Scratch::new();
    let [place, _] = places(&scratch);
    let path = place.path().unwrap();
    let look = || {
        let mut found = Vec::new();
        modes(&path, &mut found);
        // The object, its stream, its control file and its lock file at least.
        assert!(found.len() >= 4, "{found:?}");
        found
    };
    for pattern in patterns() {
        let form = pattern.form;
        drop((pattern.create)(&place).unwrap());
        for (file, mode) in look() {
            assert_eq!(
                mode & 0o077,
                0,
                "{form}, {file:?}: private unless asked for"
            );
        }
        (pattern.remove)(&place).unwrap();
        let Some(create) = pattern.create_for_others else {
            assert_eq!(form, Form::Shared);
            continue;
        };
        drop(create(&place).unwrap());
        let others_write = matches!(form, Form::Semaphore | Form::Signals);
        for (file, mode) in look() {
            let expected = match file.file_name().and_then(|name| name.to_str()) {
                _ if file.is_dir() => 0o755,
                Some("stream") => 0o644,
                _ if others_write => 0o666,
                _ => 0o600,
            };
            assert_eq!(mode, expected, "{form}, {file:?}: {mode:o}");
        }
        (pattern.remove)(&place).unwrap();
    }
}
