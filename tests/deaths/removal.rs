//! An object is removed while another process opens or creates it, or makes something inside it: at every system call
//! of the one, after every step of the other.

use rustix::fs::{renameat_with, RenameFlags, CWD};
use slipring::place::{OpenError, RemoveError};
use slipring::queue::SendError;
use slipring::{registry, Fifo, Latest, Mailbox, Queue, Ring, Semaphore, Shared, Signals};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use testing::books::Random;
use testing::tracee::{Step, Tracee};
use testing::{say, text, Scratch};

pub const SUITE: testing::Suite = testing::suite!(peer; [
    what_is_removed_while_it_is_opened_was_not_found,
    what_is_removed_while_it_is_opened_or_created_is_created,
    what_is_made_inside_meanwhile_stops_no_removal,
    what_is_sent_while_it_is_removed_is_not_lost,
]);

slipring::message! { struct Value { number: u64 } }

/// How an object of a form is opened, and how it is opened or created.
type Form = (
    &'static str,
    fn(&Path) -> Result<(), OpenError>,
    fn(&Path) -> Result<(), slipring::place::CreateError>,
);

const FORMS: [Form; 9] = [
    (
        "ring",
        |path| Ring::open(path).map(drop),
        |path| {
            Ring::builder(path)
                .capacity_bytes(4096)
                .create_or_open()
                .map(drop)
        },
    ),
    (
        "queue",
        |path| Queue::open(path).map(drop),
        |path| Queue::builder(path).depth(4).create_or_open().map(drop),
    ),
    (
        "mailbox",
        |path| Mailbox::open(path).map(drop),
        |path| Mailbox::builder(path).depth(4).create_or_open().map(drop),
    ),
    (
        "pipe",
        |path| Fifo::open(path).map(drop),
        |path| Fifo::builder(path).create_or_open().map(drop),
    ),
    (
        "pipe-both-ways",
        |path| Fifo::open(path).map(drop),
        |path| {
            Fifo::builder(path)
                .both_ways(true)
                .create_or_open()
                .map(drop)
        },
    ),
    (
        "latest",
        |path| Latest::<Value>::open(path).map(drop),
        |path| Latest::<Value>::builder(path).create_or_open().map(drop),
    ),
    (
        "shared",
        |path| Shared::<Value>::open(path).map(drop),
        |path| Shared::<Value>::builder(path).create_or_open().map(drop),
    ),
    (
        "semaphore",
        |path| Semaphore::open(path).map(drop),
        |path| {
            Semaphore::builder(path)
                .permits(2)
                .create_or_open()
                .map(drop)
        },
    ),
    (
        "signals",
        |path| Signals::open(path).map(drop),
        |path| Signals::builder(path).create_or_open().map(drop),
    ),
];

fn peer(role: &str) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (path, form) = (PathBuf::from(&arguments[0]), &arguments[1]);
    match role {
        "remove" => return removes(&path, form),
        "make" => return makes(&path, form),
        _ => {}
    }
    let (_, open, create) = FORMS.into_iter().find(|(name, ..)| name == form).unwrap();
    testing::tracee::begin();
    let said = match role {
        "open" => match open(&path) {
            Ok(()) => "opened".to_owned(),
            Err(OpenError::NotFound { .. }) => "not found".to_owned(),
            Err(error) => format!("{error:?}"),
        },
        "create" => create(&path).map_or_else(|error| format!("{error:?}"), |()| "opened".into()),
        role => panic!("{role}?"),
    };
    testing::tracee::end();
    say(&said);
}

/// Takes this many steps of a removal: first the name goes, then the files in order, those of a directory before
/// it.
fn remove(path: &Path, steps: usize) {
    let hidden = path.with_file_name(".removed");
    let files = removed_in_order(path);
    renameat_with(CWD, path, CWD, &hidden, RenameFlags::NOREPLACE).unwrap();
    for file in &files[..steps - 1] {
        let file = hidden.join(file);
        // What the other process makes in there meanwhile may keep a directory.
        let _ = fs::remove_file(&file).or_else(|_| fs::remove_dir(&file));
    }
}

fn removed_in_order(path: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    listed(path, Path::new(""), &mut files);
    files.push(PathBuf::new());
    files
}

fn listed(path: &Path, prefix: &Path, files: &mut Vec<PathBuf>) {
    let mut names: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap())
        .collect();
    names.sort_by_key(fs::DirEntry::file_name);
    for entry in names {
        let name = prefix.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            listed(&entry.path(), &name, files);
        }
        files.push(name);
    }
}

/// Stops of a process in a role at its system calls, with every number of steps of a removal there; calls with what
/// the process said. One moment in six is tried, or each, by `SLIPRING_EVERY_MOMENT`.
fn moments(role: &str, mut said: impl FnMut(&str, &str)) {
    let mut random = Random::new();
    let every = std::env::var_os("SLIPRING_EVERY_MOMENT").is_some();
    for (form, _, create) in FORMS {
        let prepared = || {
            let scratch = Scratch::new();
            let path = scratch.0.join("object");
            create(&path).unwrap();
            (scratch, path)
        };
        let (_scratch, path) = prepared();
        let mut all = Tracee::start(role, &[text(&path), form]);
        let stops = (0..).take_while(|_| all.syscall() == Step::Done).count() as u64;
        let steps = 1 + removed_in_order(&path).len();
        drop(all);
        let mut tried = 0;
        for (steps, point) in (1..=steps).flat_map(|steps| (0..=stops).map(move |p| (steps, p))) {
            if !every && random.below(6) != 0 {
                continue;
            }
            let (_scratch, path) = prepared();
            let mut tracee = Tracee::start(role, &[text(&path), form]);
            tracee.steps(point, Tracee::syscall);
            remove(&path, steps);
            let answer = tracee.release();
            said(
                &answer,
                &format!("{form}: {steps} steps at stop {point} of {stops}"),
            );
            tried += 1;
        }
        println!(
            "  {form}: {tried} moments of {}",
            steps as u64 * (stops + 1)
        );
        assert!(tried > 30);
    }
}

fn what_is_removed_while_it_is_opened_was_not_found() {
    let (mut opened, mut not_found) = (0, 0);
    moments("open", |said, context| match said {
        "opened" => opened += 1,
        "not found" => not_found += 1,
        said => panic!("{context}: {said}"),
    });
    assert!(opened > 30 && not_found > 30, "{opened}, {not_found}");
}

fn what_is_removed_while_it_is_opened_or_created_is_created() {
    moments("create", |said, context| {
        assert_eq!(said, "opened", "{context}")
    });
}

fn removes(path: &Path, how: &str) {
    testing::tracee::begin();
    let said = match registry::remove_at(path, how == "forced") {
        Ok(()) => "removed".to_owned(),
        Err(RemoveError::InUse { .. }) => "in use".to_owned(),
        Err(error) => format!("{error:?}"),
    };
    testing::tracee::end();
    say(&said);
}

/// Makes a lane inside an object, and keeps it.
fn makes(path: &Path, form: &str) {
    let mut send: Box<dyn FnMut() -> Result<(), SendError>> = match form {
        "queue" => {
            let mut sender = Queue::open(path).unwrap().sender().unwrap();
            Box::new(move || sender.try_send(b"x").map(drop))
        }
        "mailbox" => {
            let mut client = Mailbox::open(path).unwrap().client("me").unwrap();
            Box::new(move || client.try_send(b"x"))
        }
        form => panic!("{form}?"),
    };
    testing::tracee::begin();
    let sent = send();
    testing::tracee::end();
    say(&match sent {
        Ok(()) => "sent".to_owned(),
        Err(SendError::Removed) => "removed".to_owned(),
        Err(error) => format!("{error:?}"),
    });
}

/// A process that makes a lane is stopped at its system calls, and one that removes the object at those of its own;
/// then the first goes on to its end, and then the second. The object is removed, and nothing of it is left over.
fn what_is_made_inside_meanwhile_stops_no_removal() {
    let mut random = Random::new();
    let every = std::env::var_os("SLIPRING_EVERY_MOMENT").is_some();
    for form in ["queue", "mailbox"] {
        let (_, _, create) = FORMS.into_iter().find(|(name, ..)| *name == form).unwrap();
        let prepared = || {
            let scratch = Scratch::new();
            let path = scratch.0.join("object");
            create(&path).unwrap();
            let maker = Tracee::start("make", &[text(&path), form]);
            (scratch, path, maker)
        };
        let count = |mut tracee: Tracee| {
            (0..).take_while(|_| tracee.syscall() == Step::Done).count() as u64
        };
        let (_scratch, path, maker) = prepared();
        let made = count(maker);
        let removed = count(Tracee::start("remove", &[text(&path), "forced"]));
        let (mut tried, mut sent) = (0, 0);
        for (make, remove) in (0..=made).flat_map(|m| (0..=removed).map(move |r| (m, r))) {
            if !every && random.below(40) != 0 {
                continue;
            }
            let (scratch, path, mut maker) = prepared();
            maker.steps(make, Tracee::syscall);
            let mut remover = Tracee::start("remove", &[text(&path), "forced"]);
            remover.steps(remove, Tracee::syscall);
            let maker = maker.release();
            let context = format!(
                "{form}: made to stop {make} of {made}, removed to {remove} of {removed}: {maker}"
            );
            assert!(["sent", "removed"].contains(&maker.as_str()), "{context}");
            assert_eq!(remover.release(), "removed", "{context}");
            let left: Vec<_> = fs::read_dir(&scratch.0).unwrap().collect();
            assert!(left.is_empty(), "{context}: {left:?}");
            sent += u32::from(maker == "sent");
            tried += 1;
        }
        println!(
            "  {form}: {tried} moments of {}, sent in {sent}",
            (made + 1) * (removed + 1)
        );
        assert!(sent > 3 && sent < tried);
    }
}

/// A process that sends its first message and one that removes the object if it is unused are stopped each at one of
/// its system calls, and go on together. Either the message is sent and the object is in use, or it is removed and the
/// sender is told.
fn what_is_sent_while_it_is_removed_is_not_lost() {
    let mut random = Random::new();
    let prepared = || {
        let scratch = Scratch::new();
        let path = scratch.0.join("object");
        Queue::builder(&path).depth(4).create().unwrap();
        let maker = Tracee::start("make", &[text(&path), "queue"]);
        let remover = Tracee::start("remove", &[text(&path), "asked"]);
        (scratch, maker, remover)
    };
    let stops =
        |mut tracee: Tracee| (0..).take_while(|_| tracee.syscall() == Step::Done).count() as u64;
    let (_scratch, _maker, remover) = prepared();
    let removed = stops(remover);
    let (_scratch, maker, _remover) = prepared();
    let made = stops(maker);
    let mut counts = [0, 0];
    for _ in 0..400 {
        let (_scratch, mut maker, mut remover) = prepared();
        let (make, remove) = (random.below(made + 1), random.below(removed + 1));
        maker.steps(make, Tracee::syscall);
        remover.steps(remove, Tracee::syscall);
        // The sender is still there when the other ends.
        let began = Instant::now();
        maker.begin_to_run();
        remover.begin_to_run();
        maker.await_end();
        // Who attaches waits a second for a removal, and this machine may be busy.
        let outlasted = began.elapsed() >= Duration::from_secs(1);
        remover.await_end();
        let answers = (remover.release(), maker.release());
        let context = format!("made to stop {make} of {made}, removed to {remove} of {removed}");
        match (answers.0.as_str(), answers.1.as_str()) {
            ("in use", "sent") => counts[0] += 1,
            ("removed", "removed") => counts[1] += 1,
            _ if outlasted => {}
            answers => panic!("{context}: {answers:?}"),
        }
    }
    println!("  sent {}, removed {}", counts[0], counts[1]);
    assert!(counts.iter().all(|count| *count > 20));
}
