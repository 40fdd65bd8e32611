//! Creation and opening of every form: complete or not at all, at every refusal on the way, and opened
//! rather than built where it exists.
#![allow(
    unsafe_code,
    reason = "limits, mounts and users of a process of our own"
)]

use slipring::{
    endpoint::AttachError,
    place::{CreateError, OpenError, RemoveError},
    Broker, Fifo, Latest, Link, Mailbox, Queue, Ring, Semaphore, Shared, Signals, Start,
};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use testing::{say, text, Peer, Scratch, PATIENCE};

pub const SUITE: testing::Suite = testing::suite!(peer; [
    what_exists_is_opened_on_a_full_disk,
    a_large_ring_is_not_built_twice,
    what_was_created_can_be_used,
    a_read_only_file_system_can_be_looked_at,
    a_removal_is_never_in_the_way,
    a_clean_up_is_never_in_the_way,
    memory_that_is_refused_leaves_nothing,
    descriptors_that_run_out_leave_nothing,
    a_limit_of_file_sizes_is_an_error,
    the_last_directory_is_made,
]);

fn what_exists_is_opened_on_a_full_disk() {
    in_a_namespace("full");
}

fn a_large_ring_is_not_built_twice() {
    in_a_namespace("half");
}

fn what_was_created_can_be_used() {
    in_a_namespace("usable");
}

fn a_read_only_file_system_can_be_looked_at() {
    in_a_namespace("read-only");
}

fn memory_that_is_refused_leaves_nothing() {
    apart("memory");
}

fn descriptors_that_run_out_leave_nothing() {
    apart("descriptors");
}

fn a_limit_of_file_sizes_is_an_error() {
    apart("sizes");
}

fn peer(role: &str) {
    let argument = std::env::args().nth(1).unwrap_or_default();
    let directory = Path::new(&argument);
    say("ready");
    match role {
        "full" => on_a_full_disk(directory),
        "half" => on_half_a_disk(directory),
        "usable" => usable(directory),
        "read-only" => on_a_read_only_file_system(directory),
        "memory" => without_memory(directory),
        "descriptors" => without_descriptors(directory),
        "sizes" => with_small_files(directory),
        "named" => named(),
        role => panic!("{role}?"),
    }
    say("done");
}

/// Runs a role in a process of its own, which leaves nothing.
fn apart(role: &str) {
    let scratch = Scratch::new();
    assert_eq!(Peer::start(role, &[text(&scratch.0)]).finish(), "done");
    assert_eq!(names(&scratch.0), [""; 0]);
}

/// Runs a role that mounts file systems of its own.
fn in_a_namespace(role: &str) {
    let scratch = Scratch::new();
    let said = Peer::start(role, &[text(&scratch.0)]).finish();
    if said.contains("SKIPPED") {
        println!("  {said}");
    } else {
        assert_eq!(said, "done");
    }
}

/// Mounts memory at a directory, for this process only; ends the process where it may not.
fn mount_memory(directory: &Path, options: &str) {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    let target = CString::new(directory.as_os_str().as_bytes()).unwrap();
    let options = CString::new(options).unwrap();
    // SAFETY: valid strings; the mounts are those of a namespace of our own.
    let mounted = unsafe {
        let private = libc::MS_REC | libc::MS_PRIVATE;
        let (root, none) = (c"/".as_ptr(), core::ptr::null());
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(c"none".as_ptr(), root, none, private, none.cast()) == 0
            && libc::mount(
                c"tmpfs".as_ptr(),
                target.as_ptr(),
                c"tmpfs".as_ptr(),
                0,
                options.as_ptr().cast(),
            ) == 0
    };
    if !mounted {
        say("SKIPPED: may not mount file systems");
        std::process::exit(0);
    }
}

/// Takes all the room there is, but for some bytes.
fn fill(directory: &Path, but: usize) -> PathBuf {
    let filler = directory.join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    let len = file.metadata().unwrap().len();
    file.set_len(len.saturating_sub(but as u64)).unwrap();
    filler
}

/// What a directory holds, hidden names too.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name();
    let names = entries.map(|entry| name(entry).into_string().unwrap());
    names.filter(|name| name != "filler").collect()
}

slipring::message! { struct Value { number: u64 } }

/// A form: its name, and how it is created, or created unless it exists.
type Form = (&'static str, fn(&Path, bool) -> Result<(), CreateError>);

const FORMS: [Form; 9] = [
    ("ring", |path, open| {
        let builder = Ring::builder(path).capacity_bytes(65536);
        made(open, builder, |b| b.create(), |b| b.create_or_open())
    }),
    ("queue", |path, open| {
        let builder = Queue::builder(path).depth(16).max_message_bytes(64);
        made(open, builder, |b| b.create(), |b| b.create_or_open())
    }),
    ("mailbox", |path, open| {
        let builder = Mailbox::builder(path).depth(16).max_message_bytes(64);
        made(open, builder, |b| b.create(), |b| b.create_or_open())
    }),
    ("fifo", |path, open| {
        let builder = Fifo::builder(path);
        made(open, builder, |b| b.create(), |b| b.create_or_open())
    }),
    ("fifo both ways", |path, open| {
        let builder = Fifo::builder(path).both_ways(true);
        made(open, builder, |b| b.create(), |b| b.create_or_open())
    }),
    ("latest", |path, open| {
        let builder = Latest::<Value>::builder(path);
        made(open, builder, |b| b.create(), |b| b.create_or_open())
    }),
    ("shared", |path, open| {
        let builder = Shared::<Value>::builder(path);
        made(open, builder, |b| b.create(), |b| b.create_or_open())
    }),
    ("semaphore", |path, open| {
        let builder = Semaphore::builder(path).permits(2);
        made(open, builder, |b| b.create(), |b| b.create_or_open())
    }),
    ("signals", |path, open| {
        let builder = Signals::builder(path);
        made(open, builder, |b| b.create(), |b| b.create_or_open())
    }),
];

fn made<B, T>(
    open: bool,
    builder: B,
    create: impl FnOnce(B) -> Result<T, CreateError>,
    create_or_open: impl FnOnce(B) -> Result<T, CreateError>,
) -> Result<(), CreateError> {
    let made = if open {
        create_or_open(builder)
    } else {
        create(builder)
    };
    made.map(drop)
}

// --- Full disks.

fn on_a_full_disk(directory: &Path) {
    mount_memory(directory, "size=8m");
    for (form, make) in FORMS {
        make(&directory.join(form.replace(' ', "-")), false).unwrap();
    }
    let mailbox = Mailbox::open(directory.join("mailbox")).unwrap();
    mailbox.client("me").unwrap().send(b"a letter").unwrap();
    drop(mailbox);
    connect_both(directory);
    let filler = fill(directory, 0);
    assert!(std::fs::write(directory.join("more"), [1; 4096]).is_err());
    for (form, make) in FORMS {
        let opened = make(&directory.join(form.replace(' ', "-")), true);
        opened.unwrap_or_else(|error| panic!("{form}: {error}"));
    }
    let mailbox = Mailbox::open(directory.join("mailbox")).unwrap();
    let mut receiver = mailbox.receiver().unwrap();
    assert_eq!(&*receiver.try_receive().unwrap(), b"a letter");
    connect_both(directory);
    drop(filler);
}

/// Connects a link and a named pipe that goes both ways.
fn connect_both(directory: &Path) {
    let deadline = Instant::now() + PATIENCE;
    std::thread::scope(|scope| {
        for (me, peer) in [("a", "b"), ("b", "a")] {
            scope.spawn(move || {
                let link = Link::builder(me, peer).directory(directory);
                let mut link = link.connect_until(deadline).unwrap();
                link.send(b"hello").unwrap();
                assert_eq!(&*link.receive_until(deadline).unwrap(), b"hello");
            });
            scope.spawn(move || {
                let fifo = Fifo::open(directory.join("fifo-both-ways")).unwrap();
                let mut end = fifo.connect_until(deadline).unwrap();
                end.write_all(b"hello").unwrap();
                let mut read = [0; 5];
                end.read_exact(&mut read).unwrap();
                assert_eq!(&read, b"hello");
            });
        }
    });
}

/// A ring of more than half the disk is there; opening it needs no second one.
fn on_half_a_disk(directory: &Path) {
    mount_memory(directory, "size=8m");
    let path = directory.join("ring");
    let builder = || Ring::builder(&path).capacity_bytes(4 << 20);
    let ring = builder().create_or_open().unwrap();
    assert_eq!(builder().create_or_open().unwrap().id(), ring.id());
    assert_eq!(names(directory), ["ring"]);
}

/// With any room at all, what could be created can be used, and what could not has left nothing.
fn usable(directory: &Path) {
    mount_memory(directory, "size=2m");
    let (mut refused, mut worked) = (0, 0);
    for form in ["queue", "mailbox", "one-way"] {
        for room in (0..2 << 20).step_by(20 << 10) {
            let filler = fill(directory, room);
            let path = directory.join(form);
            let used = match form {
                "queue" => {
                    let builder = Queue::builder(&path).depth(64);
                    builder.create().map(|queue| {
                        queue.sender().unwrap().send(b"first").unwrap();
                    })
                }
                _ => {
                    let builder = Mailbox::builder(&path).depth(64);
                    let builder = match form {
                        "mailbox" => builder,
                        _ => builder.one_way(),
                    };
                    builder.create().map(|mailbox| {
                        mailbox.client("me").unwrap().send(b"first").unwrap();
                    })
                }
            };
            match used {
                Ok(()) => {
                    worked += 1;
                    slipring::registry::remove_at(&path, false).unwrap();
                }
                Err(CreateError::NoSpace { .. }) => refused += 1,
                Err(error) => panic!("{form} with {room} bytes: {error}"),
            }
            assert_eq!(names(directory), [""; 0], "{form} with {room} bytes");
            std::fs::remove_file(filler).unwrap();
        }
    }
    assert!(
        refused > 0 && worked > 0,
        "{refused} refused, {worked} worked"
    );
}

/// What needs only permission to read works where nothing can be written.
fn on_a_read_only_file_system(directory: &Path) {
    use std::os::unix::ffi::OsStrExt;
    mount_memory(directory, "size=8m");
    for (form, make) in FORMS {
        make(&directory.join(form.replace(' ', "-")), false).unwrap();
    }
    let ring = Ring::open(directory.join("ring")).unwrap();
    ring.producer().unwrap().publish(b"before").unwrap();
    let latest = Latest::<Value>::open(directory.join("latest")).unwrap();
    let mut writer = latest.writer().unwrap();
    writer.set(&Value { number: 7 }).unwrap();
    drop((ring, writer, latest));
    let target = std::ffi::CString::new(directory.as_os_str().as_bytes()).unwrap();
    // SAFETY: valid strings; the mount is that of a namespace of our own.
    let mounted = unsafe {
        let none = core::ptr::null();
        let flags = libc::MS_REMOUNT | libc::MS_RDONLY;
        libc::mount(c"none".as_ptr(), target.as_ptr(), none, flags, none.cast())
    };
    assert_eq!(mounted, 0);
    let listed = slipring::registry::list_in(directory).unwrap();
    assert_eq!(listed.len(), FORMS.len());
    for entry in listed {
        let ring = entry.ring.unwrap_or_else(|error| panic!("{error}"));
        assert!(!ring.may_consume());
        ring.status().unwrap();
        let refused = slipring::registry::remove_at(ring.path(), false).unwrap_err();
        assert!(
            matches!(
                refused,
                RemoveError::Permission { .. } | RemoveError::Open(OpenError::Permission { .. })
            ),
            "{refused}"
        );
        let refused = slipring::registry::remove_at(ring.path(), true).unwrap_err();
        assert!(
            matches!(refused, RemoveError::Permission { .. }),
            "{refused}"
        );
    }
    let ring = Ring::open(directory.join("ring")).unwrap();
    let mut observer = ring.observer(Start::Oldest).unwrap();
    match observer.receive().unwrap() {
        slipring::Received::Message(message) => assert_eq!(&*message, b"before"),
        other => panic!("{other:?}"),
    }
    let refused = ring.consumer(Start::Oldest).map(drop).unwrap_err();
    assert!(
        matches!(refused, AttachError::Permission { .. }),
        "{refused}"
    );
    ring.producer().map(drop).unwrap_err();
    let latest = Latest::<Value>::open(directory.join("latest")).unwrap();
    let mut reader = latest.reader().unwrap();
    assert_eq!(reader.get().unwrap().unwrap().0.number, 7);
    let refused = Ring::builder(directory.join("new")).create().unwrap_err();
    assert!(
        matches!(refused, CreateError::Permission { .. }),
        "{refused}"
    );
    let again = Ring::builder(directory.join("ring")).create_or_open();
    again.unwrap();
    assert!(slipring::registry::leftovers_in(directory)
        .unwrap()
        .is_empty());
}

// --- Others at work.

/// Each form is created or opened while others remove it all the time.
fn a_removal_is_never_in_the_way() {
    for (form, make) in FORMS {
        let scratch = Scratch::new();
        let path = scratch.ring();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !over.load(Relaxed) {
                        let _ = slipring::registry::remove_at(&path, true);
                    }
                });
            }
            let opener = scope.spawn(|| {
                while !over.load(Relaxed) {
                    match slipring::registry::look_at(&path) {
                        Ok(_) | Err(OpenError::NotFound { .. }) => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            });
            let makers: Vec<_> = (0..2)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..100 {
                            make(&path, true)?;
                        }
                        Ok(())
                    })
                })
                .collect();
            let made: Vec<Result<(), CreateError>> =
                makers.into_iter().map(|t| t.join().unwrap()).collect();
            over.store(true, Relaxed);
            for made in made {
                made.unwrap_or_else(|error| panic!("{form}: {error}"));
            }
            let opened = opener.join().unwrap();
            opened.unwrap_or_else(|error| panic!("{form}: {error}"));
        });
    }
}

/// Rings are created while other processes clean up everything that seems abandoned.
fn a_clean_up_is_never_in_the_way() {
    let scratch = Scratch::new();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    for left in slipring::registry::leftovers_in(&scratch.0).unwrap() {
                        if left.why == slipring::registry::Why::Half {
                            left.remove().unwrap();
                        }
                    }
                }
            });
        }
        let maker = scope.spawn(|| {
            for _ in 0..300 {
                let ring = Ring::builder(scratch.ring()).capacity_bytes(4096);
                ring.create().map_err(|error| error.to_string())?;
                slipring::registry::remove_at(scratch.ring(), false)
                    .map_err(|error| error.to_string())?;
            }
            Ok::<(), String>(())
        });
        let made = maker.join().unwrap();
        over.store(true, Relaxed);
        made.unwrap();
    });
    assert_eq!(names(&scratch.0), [""; 0]);
}

// --- Limits of the process.

fn limit(resource: u32, soft: u64) {
    // SAFETY: valid structures; only the soft limit of this process changes.
    unsafe {
        let mut limit: libc::rlimit = core::mem::zeroed();
        assert_eq!(libc::getrlimit(resource, &raw mut limit), 0);
        limit.rlim_cur = soft.min(limit.rlim_max);
        assert_eq!(libc::setrlimit(resource, &raw const limit), 0);
    }
}

/// Becomes a user without privileges, where this process may.
fn become_nobody(directory: &Path) {
    let _ = std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o777));
    // SAFETY: changes the user of this process only; without privileges it fails, harmlessly.
    unsafe { libc::setuid(65534) };
}

/// Memory that may not be locked, and address space that runs out at each size.
fn without_memory(directory: &Path) {
    become_nobody(directory);
    limit(libc::RLIMIT_MEMLOCK, 4096);
    let ring = Ring::builder(directory.join("locked")).lock_memory(true);
    let refused = ring.create().map(drop).unwrap_err();
    assert!(
        matches!(refused, CreateError::Open(OpenError::Io { .. })),
        "{refused}"
    );
    assert_eq!(names(directory), [""; 0]);
    let (mut refused, mut worked) = (0, 0);
    for (form, make) in FORMS {
        let path = directory.join(form.replace(' ', "-"));
        for more in (0..2 << 20).step_by(96 << 10) {
            limit(libc::RLIMIT_AS, address_space() + more);
            let made = make(&path, false);
            limit(libc::RLIMIT_AS, u64::MAX);
            match made {
                Ok(()) => {
                    worked += 1;
                    slipring::registry::remove_at(&path, false).unwrap();
                }
                Err(_) => refused += 1,
            }
            assert_eq!(names(directory), [""; 0], "{form} with {more} bytes");
        }
    }
    assert!(
        refused > 0 && worked > 0,
        "{refused} refused, {worked} worked"
    );
}

/// Bytes that are mapped.
fn address_space() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split(' ').next().unwrap().parse().unwrap();
    pages * 4096
}

fn without_descriptors(directory: &Path) {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1;
    for (form, make) in FORMS {
        let path = directory.join(form.replace(' ', "-"));
        let mut made = false;
        for more in 0..40 {
            limit(libc::RLIMIT_NOFILE, open + more);
            made = make(&path, false).is_ok();
            limit(libc::RLIMIT_NOFILE, 1024);
            if made {
                slipring::registry::remove_at(&path, false).unwrap();
            }
            // With too few descriptors to clear up, a hidden half may stay, but never a name.
            for name in names(directory) {
                assert!(
                    name.starts_with('.'),
                    "{form} with {more} descriptors: {name}"
                );
                std::fs::remove_dir_all(directory.join(name)).unwrap();
            }
        }
        assert!(made, "{form}");
    }
}

/// The signal for a file that is too large keeps its disposition.
fn with_small_files(directory: &Path) {
    let path = directory.join("ring");
    let whole = {
        let ring = Ring::builder(&path).create().unwrap();
        let bytes = std::fs::metadata(path.join("stream")).unwrap().len();
        drop(ring);
        slipring::registry::remove_at(&path, false).unwrap();
        bytes
    };
    let queue_path = directory.join("queue");
    let queue = Queue::builder(&queue_path)
        .max_message_bytes(64 << 10)
        .create()
        .unwrap();
    let ring = || Ring::builder(&path);
    let too_large = |error: &CreateError| matches!(error, CreateError::FileTooLarge { .. });
    for bytes in [0, 1, 4095, 4096, 8192, whole / 2, whole - 1] {
        limit(libc::RLIMIT_FSIZE, bytes);
        let made = [
            ring().create().map(drop),
            ring().create_or_open().map(drop),
            Ring::anonymous().create().map(drop),
        ];
        for made in made {
            let error = made.unwrap_err();
            assert!(too_large(&error), "{bytes} bytes: {error}");
        }
        let socket = directory.join("socket");
        let access = slipring::broker::Access::own_user();
        let mut broker = Broker::bind(&socket, Ring::anonymous(), access).unwrap();
        std::thread::scope(|scope| {
            let client = scope.spawn(|| Ring::connect_producer(&socket, PATIENCE).map(drop));
            while !client.is_finished() {
                broker.serve(Duration::from_millis(10)).unwrap();
            }
            assert!(client.join().unwrap().is_err());
        });
        drop(broker);
        let _ = std::fs::remove_file(&socket);
        let sent = queue
            .sender()
            .map(|mut sender| sender.send(b"a lane is a file").map(drop));
        assert!(!matches!(sent, Ok(Ok(()))), "{bytes} bytes");
        assert_eq!(names(directory), ["queue"], "{bytes} bytes");
        assert_eq!(queue.status().unwrap().lanes, 0);
        limit(libc::RLIMIT_FSIZE, u64::MAX);
    }
    limit(libc::RLIMIT_FSIZE, whole);
    ring().create().unwrap();
    limit(libc::RLIMIT_FSIZE, u64::MAX);
    slipring::registry::remove_at(&path, false).unwrap();
    slipring::registry::remove_at(&queue_path, false).unwrap();
}

// --- Directories.

/// Creates by name, and says the mode of the directory.
fn named() {
    let umask = std::env::args().nth(2).unwrap();
    let umask = u32::from_str_radix(&umask, 8).unwrap();
    if let Some(memory) = std::env::args().nth(3) {
        mount_memory(Path::new(&memory), "mode=1777");
    }
    become_nobody(Path::new(&std::env::args().nth(1).unwrap()));
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
    for (at, name) in ["first", "second"].iter().enumerate() {
        match at {
            0 => drop(Ring::builder(*name).create().unwrap()),
            _ => drop(Mailbox::builder(*name).create_or_open().unwrap()),
        }
        let directory = slipring::registry::default_directory();
        slipring::registry::look_at(directory.join(name)).unwrap();
        let mode = std::fs::metadata(directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{mode:o}");
    }
}

fn the_last_directory_is_made() {
    for umask in ["000", "022", "077", "177", "277", "777"] {
        // The one that is named, when only that is missing; of any umask.
        let scratch = Scratch::new();
        let rings = scratch.0.join("rings");
        let peer = Peer::start_with("named", &[text(&scratch.0), umask], |command| {
            command.env("SLIPRING_DIR", &rings);
        });
        assert_eq!(peer.finish(), "done", "{umask}");
        assert_eq!(names(&rings).len(), 2);
        // The default.
        let scratch = Scratch::new();
        let arguments = [text(&scratch.0), umask, "/dev/shm"];
        let peer = Peer::start_with("named", &arguments, |command| {
            command.env_remove("SLIPRING_DIR");
        });
        let said = peer.finish();
        if said.contains("SKIPPED") {
            println!("  {said}");
        } else {
            assert_eq!(said, "done", "{umask}");
        }
    }
}
