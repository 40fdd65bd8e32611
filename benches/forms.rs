//! What each form costs, compared with the kernel's own. One call on one core with no process on the other
//! side; for what needs two, another thread that reads or answers.

use criterion::measurement::WallTime;
use criterion::{criterion_group, criterion_main, BenchmarkGroup, Criterion, Throughput};
use slipring::{
    link::LinkOptions,
    mailbox::ClientOptions,
    queue::{ReceiverOptions, SenderOptions},
    signals::SignalSet,
    Deadline, Latest, Link, Mailbox, Queue, ReadPolicy, Semaphore, Shared, Signals, Strategy,
};
use std::hint::black_box;
use std::io::{BufRead, Read, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").expect("room in /dev/shm")
}

fn queue(c: &mut Criterion) {
    let mut group = c.benchmark_group("a message of 64 bytes, there and done");
    let message = [7u8; 64];
    let directory = scratch();
    let queue = Queue::builder(directory.path().join("queue")).create();
    let queue = queue.expect("a queue");
    let options = SenderOptions::new().strategy(Strategy::Spin);
    let mut sender = queue.sender_with(options).expect("a lane");
    let options = ReceiverOptions::new()
        .strategy(Strategy::Spin)
        .read_policy(ReadPolicy::AtHead);
    let mut receiver = queue.receiver_with(options).expect("a row");
    group.bench_function("queue", |b| {
        b.iter(|| {
            sender.send(black_box(&message)).expect("room");
            let delivery = receiver.receive().expect("a message");
            black_box(delivery[0]);
            delivery.ack().expect("it is held");
        });
    });
    let kernel = kernel::Queue::open();
    group.bench_function("POSIX message queue", |b| {
        b.iter(|| black_box(kernel.there_and_back(black_box(&message))));
    });
    group.finish();
}

fn semaphore(c: &mut Criterion) {
    let mut group = c.benchmark_group("a permit taken and given back");
    let directory = scratch();
    let semaphore = Semaphore::builder(directory.path().join("semaphore")).create();
    let semaphore = semaphore.expect("a semaphore");
    group.bench_function("semaphore", |b| {
        b.iter(|| drop(black_box(semaphore.acquire())));
    });
    let kernel = kernel::Semaphore::new();
    group.bench_function("System V semaphore that undoes", |b| {
        b.iter(|| {
            kernel.change(-1);
            kernel.change(1);
        });
    });
    group.finish();
}

/// Writes of 64 KiB while another thread reads as much.
fn pipes(c: &mut Criterion) {
    const PIECE: usize = 1 << 16;
    let mut group = c.benchmark_group("64 KiB into a pipe that somebody reads");
    group.throughput(Throughput::Bytes(PIECE as u64));
    let piece = vec![7u8; PIECE];
    let (mut reader, mut writer) = slipring::pipe().expect("a pipe");
    let reading = std::thread::spawn(move || {
        let (mut out, mut sum) = (vec![0; PIECE], 0);
        while let Ok(n @ 1..) = reader.read(&mut out) {
            sum += n;
        }
        sum
    });
    group.bench_function("pipe, read into a buffer", |b| {
        b.iter(|| writer.write_all(black_box(&piece)).expect("a reader"));
    });
    drop(writer);
    black_box(reading.join().expect("a reader"));
    let (mut reader, mut writer) = slipring::pipe().expect("a pipe");
    let reading = std::thread::spawn(move || {
        let mut sum = 0u64;
        loop {
            let there = reader.fill_buf().expect("a writer");
            if there.is_empty() {
                return sum;
            }
            // One byte of each line, as a program that reads it would.
            sum += there.iter().step_by(64).map(|b| u64::from(*b)).sum::<u64>();
            let len = there.len();
            reader.consume(len);
        }
    });
    group.bench_function("pipe, read in place", |b| {
        b.iter(|| writer.write_all(black_box(&piece)).expect("a reader"));
    });
    drop(writer);
    black_box(reading.join().expect("a reader"));
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    let reading = std::thread::spawn(move || {
        let (mut out, mut sum) = (vec![0; PIECE], 0);
        while let Ok(n @ 1..) = reader.read(&mut out) {
            sum += n;
        }
        sum
    });
    group.bench_function("kernel's pipe", |b| {
        b.iter(|| writer.write_all(black_box(&piece)).expect("a reader"));
    });
    drop(writer);
    black_box(reading.join().expect("a reader"));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let (mut reader, mut writer) = (kernel::Spinning::new(reader), kernel::Spinning::new(writer));
    let reading = std::thread::spawn(move || {
        let (mut out, mut sum) = (vec![0; PIECE], 0);
        while let Ok(n @ 1..) = reader.read(&mut out) {
            sum += n;
        }
        sum
    });
    group.bench_function("kernel's pipe, spinning", |b| {
        b.iter(|| writer.write_all(black_box(&piece)).expect("a reader"));
    });
    drop(writer);
    black_box(reading.join().expect("a reader"));
    group.finish();
}

/// 64 bytes to another thread and back.
fn links(c: &mut Criterion) {
    let mut group = c.benchmark_group("64 bytes there and back between two threads");
    let directory = scratch();
    let side = |me: &str, peer: &str| Link::builder(me, peer).directory(directory.path());
    let options = LinkOptions::new().strategy(Strategy::Spin);
    let there = side("b", "a");
    let echo = std::thread::spawn(move || {
        let mut link = there.connect_with(options).expect("a link");
        while let Ok(message) = link.receive().map(|m| <[u8; 64]>::try_from(&*m)) {
            if link.send(&message.expect("64 bytes")).is_err() {
                break;
            }
        }
    });
    let mut link = side("a", "b").connect_with(options).expect("a link");
    group.bench_function("link", |b| {
        b.iter(|| {
            link.send(black_box(&[7; 64])).expect("a peer");
            black_box(link.receive().expect("an answer")[0]);
        });
    });
    drop(link);
    echo.join().expect("an echo");
    let (here, there) = UnixStream::pair().expect("a pair");
    echo_between(&mut group, "Unix socket pair", here, there);
    let (here, there) = UnixStream::pair().expect("a pair");
    let (here, there) = (kernel::Spinning::new(here), kernel::Spinning::new(there));
    echo_between(&mut group, "Unix socket pair, spinning", here, there);
    group.finish();
}

fn echo_between<S: Read + Write + Send + 'static>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    mut here: S,
    mut there: S,
) {
    let echo = std::thread::spawn(move || {
        let mut message = [0; 64];
        while there.read_exact(&mut message).is_ok() && message[0] != 0 {
            there.write_all(&message).expect("a peer");
        }
    });
    group.bench_function(name, |b| {
        let mut message = [7; 64];
        b.iter(|| {
            here.write_all(black_box(&message)).expect("a peer");
            here.read_exact(&mut message).expect("an answer");
        });
    });
    // Datagrams know no end.
    here.write_all(&[0; 64]).expect("a peer");
    echo.join().expect("an echo");
}

/// 64 bytes asked, 64 bytes answered, by another thread.
fn mailboxes(c: &mut Criterion) {
    let mut group = c.benchmark_group("a request of 64 bytes and its reply");
    let directory = scratch();
    let office = Mailbox::builder(directory.path().join("office"));
    let office = office.create().expect("a mailbox");
    let options = ClientOptions::new().strategy(Strategy::Spin);
    let mut client = office.client_with("alice", options).expect("a row");
    let options = ReceiverOptions::new().strategy(Strategy::Spin);
    let mut desk = office.receiver_with(options).expect("a row");
    let clerk = std::thread::spawn(move || {
        while let Ok(letter) = desk.receive() {
            if letter[0] == 0 {
                return letter.ack();
            }
            let body = <[u8; 64]>::try_from(&*letter).expect("64 bytes");
            letter.reply(&body).expect("a client");
        }
    });
    group.bench_function("mailbox", |b| {
        b.iter(|| {
            let reply = client.request_until(black_box(&[7; 64]), Deadline::NEVER);
            black_box(reply.expect("a clerk")[0]);
        });
    });
    client.send(&[0; 64]).expect("room");
    clerk.join().expect("a clerk");
    let (here, there) = UnixDatagram::pair().expect("a pair");
    let (here, there) = (kernel::Spinning::new(here), kernel::Spinning::new(there));
    echo_between(&mut group, "Unix datagrams, spinning", here, there);
    group.finish();
}

slipring::message! {
    /// A line.
    pub struct Value {
        /// The words.
        pub words: [u64; 8],
    }
}

/// What a writer, a reader, a holder of the lock and a sender of signals pay when no other process disturbs
/// them.
fn values(c: &mut Criterion) {
    let directory = scratch();
    let mut group = c.benchmark_group("a value of 64 bytes");
    let latest = Latest::<Value>::builder(directory.path().join("latest"));
    let latest = latest.create().expect("a value");
    let mut writer = latest.writer().expect("nobody else writes");
    let mut reader = latest.reader().expect("a reader");
    group.bench_function("newest value, set", |b| {
        b.iter(|| {
            writer
                .set(black_box(&Value { words: [7; 8] }))
                .expect("ours")
        });
    });
    group.bench_function("newest value, read", |b| {
        b.iter(|| black_box(reader.get().expect("a value")));
    });
    let shared = Shared::<Value>::builder(directory.path().join("shared"));
    let mut shared = shared.create().expect("a value");
    group.bench_function("shared value, changed under its lock", |b| {
        b.iter(|| {
            let mut value = shared.lock().expect("the lock");
            value.words[0] += 1;
            value.commit().expect("a version");
        });
    });
    let mut kernel = kernel::Locked::new();
    group.bench_function("robust mutex around a value", |b| {
        b.iter(|| kernel.change(|value| value[0] += 1));
    });
    group.finish();

    let mut group = c.benchmark_group("a signal sent and noticed");
    let control = Signals::builder(directory.path().join("control"));
    let control = control.create().expect("a place");
    let mut listener = control.listener("engine").expect("a row");
    let mut target = control.target("engine").expect("it listens");
    group.bench_function("signals", |b| {
        b.iter(|| {
            target.send(black_box(5)).expect("it listens");
            black_box(
                listener
                    .try_wait(SignalSet::ALL)
                    .unwrap()
                    .expect("a signal"),
            );
        });
    });
    group.bench_function("POSIX real-time signal", |b| {
        let kernel = kernel::RealTimeSignal::block();
        b.iter(|| kernel.there_and_back());
    });
    group.finish();
}

#[allow(unsafe_code, reason = "the kernel's own forms, by their calls")]
mod kernel {
    use std::ffi::CString;
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};

    pub struct Queue(libc::mqd_t);

    impl Queue {
        pub fn open() -> Self {
            let name = CString::new(format!("/slipring-bench-{}", std::process::id()));
            let name = name.expect("no zero byte");
            // SAFETY: an all-zero attribute is valid; the name is a string that lives.
            unsafe {
                let mut attributes: libc::mq_attr = core::mem::zeroed();
                attributes.mq_maxmsg = 8;
                attributes.mq_msgsize = 64;
                let flags = libc::O_CREAT | libc::O_RDWR;
                let queue = libc::mq_open(name.as_ptr(), flags, 0o600, &raw mut attributes);
                assert!(queue >= 0, "{}", std::io::Error::last_os_error());
                libc::mq_unlink(name.as_ptr());
                Self(queue)
            }
        }

        pub fn there_and_back(&self, message: &[u8; 64]) -> [u8; 64] {
            let mut out = [0u8; 64];
            let (mut priority, out_at) = (0, out.as_mut_ptr().cast());
            // SAFETY: both buffers are 64 bytes long and live during the calls.
            unsafe {
                let sent = libc::mq_send(self.0, message.as_ptr().cast(), 64, 0);
                let got = libc::mq_receive(self.0, out_at, 64, &raw mut priority);
                assert!(sent == 0 && got == 64);
            }
            out
        }
    }

    /// A descriptor that is asked again until it has something to say.
    pub struct Spinning(OwnedFd);

    impl Spinning {
        pub fn new(end: impl Into<OwnedFd>) -> Self {
            let end = end.into();
            // SAFETY: the descriptor is open.
            let done = unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
            assert_eq!(done, 0);
            Self(end)
        }
    }

    fn until_ready(mut call: impl FnMut() -> isize) -> io::Result<usize> {
        loop {
            match usize::try_from(call()) {
                Ok(n) => return Ok(n),
                Err(_) => match io::Error::last_os_error() {
                    error if error.kind() == io::ErrorKind::WouldBlock => std::hint::spin_loop(),
                    error => return Err(error),
                },
            }
        }
    }

    impl io::Read for Spinning {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            // SAFETY: the buffer is as long as is said.
            until_ready(|| unsafe {
                libc::read(self.0.as_raw_fd(), out.as_mut_ptr().cast(), out.len())
            })
        }
    }

    impl io::Write for Spinning {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // SAFETY: the buffer is as long as is said.
            until_ready(|| unsafe {
                libc::write(self.0.as_raw_fd(), bytes.as_ptr().cast(), bytes.len())
            })
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A value behind a mutex that survives its holder.
    pub struct Locked(Box<(libc::pthread_mutex_t, [u64; 8])>);

    impl Locked {
        pub fn new() -> Self {
            let mut locked = Box::new((libc::PTHREAD_MUTEX_INITIALIZER, [0; 8]));
            // SAFETY: the attributes live during the calls; the mutex stays where it is, in its box.
            unsafe {
                let mut attributes: libc::pthread_mutexattr_t = core::mem::zeroed();
                libc::pthread_mutexattr_init(&raw mut attributes);
                let (shared, robust) = (libc::PTHREAD_PROCESS_SHARED, libc::PTHREAD_MUTEX_ROBUST);
                libc::pthread_mutexattr_setpshared(&raw mut attributes, shared);
                libc::pthread_mutexattr_setrobust(&raw mut attributes, robust);
                let done = libc::pthread_mutex_init(&raw mut locked.0, &raw const attributes);
                assert_eq!(done, 0);
            }
            Self(locked)
        }

        pub fn change(&mut self, change: impl FnOnce(&mut [u64; 8])) {
            let (mutex, value) = &mut *self.0;
            // SAFETY: initialized, and unlocked by the thread that locked it.
            unsafe {
                assert_eq!(libc::pthread_mutex_lock(mutex), 0);
                change(value);
                assert_eq!(libc::pthread_mutex_unlock(mutex), 0);
            }
        }
    }

    /// A signal to this thread, blocked and waited for.
    pub struct RealTimeSignal(libc::sigset_t);

    impl RealTimeSignal {
        pub fn block() -> Self {
            // SAFETY: the set lives during the calls.
            unsafe {
                let mut set: libc::sigset_t = core::mem::zeroed();
                libc::sigemptyset(&raw mut set);
                libc::sigaddset(&raw mut set, libc::SIGRTMIN());
                let unused = core::ptr::null_mut();
                let done = libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, unused);
                assert_eq!(done, 0);
                Self(set)
            }
        }

        pub fn there_and_back(&self) {
            // SAFETY: the set lives during the calls; the signal is blocked.
            unsafe {
                let sent = libc::pthread_kill(libc::pthread_self(), libc::SIGRTMIN());
                let got = libc::sigwaitinfo(&raw const self.0, core::ptr::null_mut());
                assert!(sent == 0 && got == libc::SIGRTMIN());
            }
        }
    }

    pub struct Semaphore(i32);

    impl Semaphore {
        pub fn new() -> Self {
            // SAFETY: takes no pointers; the value is set before any use.
            unsafe {
                let id = libc::semget(libc::IPC_PRIVATE, 1, 0o600);
                assert!(id >= 0, "{}", std::io::Error::last_os_error());
                assert_eq!(libc::semctl(id, 0, libc::SETVAL, 1), 0);
                Self(id)
            }
        }

        pub fn change(&self, by: i16) {
            let mut operation = libc::sembuf {
                sem_num: 0,
                sem_op: by,
                sem_flg: libc::SEM_UNDO as i16,
            };
            // SAFETY: one operation, which lives during the call.
            let done = unsafe { libc::semop(self.0, &raw mut operation, 1) };
            assert_eq!(done, 0);
        }
    }

    impl Drop for Semaphore {
        fn drop(&mut self) {
            // SAFETY: takes no pointers.
            unsafe {
                libc::semctl(self.0, 0, libc::IPC_RMID);
            }
        }
    }
}

criterion_group!(benches, queue, semaphore, pipes, links, mailboxes, values);
criterion_main!(benches);
