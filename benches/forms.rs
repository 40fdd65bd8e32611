//! What each form costs beside the kernel's own. One call on one core with nobody on the other side; for
//! what needs two, another thread that reads or answers.

use criterion::{criterion_group, criterion_main, Criterion, Throughput};
use slipring::{ConsumerOptions, Link, ProducerOptions, Queue, Semaphore, Strategy};
use std::hint::black_box;
use std::io::{BufRead, Read, Write};
use std::os::unix::net::UnixStream;

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").expect("room in /dev/shm")
}

fn queue(c: &mut Criterion) {
    let mut group = c.benchmark_group("a message of 64 bytes, there and done");
    let message = [7u8; 64];
    let directory = scratch();
    let queue = Queue::builder_at(directory.path().join("queue")).create();
    let queue = queue.expect("a queue");
    let options = ProducerOptions::new().strategy(Strategy::Spin);
    let mut sender = queue.sender_with(options).expect("a lane");
    let options = ConsumerOptions::new()
        .strategy(Strategy::Spin)
        .keep_distance(false);
    let mut receiver = queue.receiver_with(options).expect("a row");
    group.bench_function("queue", |b| {
        b.iter(|| {
            sender.send(black_box(&message)).expect("room");
            let delivery = receiver.receive().expect("a message");
            black_box(delivery[0]);
            delivery.ack();
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
    let semaphore = Semaphore::builder_at(directory.path().join("semaphore")).create();
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
            // One byte of each line, as somebody who looks at it would.
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
    group.finish();
}

/// 64 bytes to another thread and back.
fn links(c: &mut Criterion) {
    let mut group = c.benchmark_group("64 bytes there and back between two threads");
    let directory = scratch();
    let side = |me: &str, peer: &str| {
        let builder = Link::builder(me, peer).directory(directory.path());
        builder.strategy(Strategy::Spin)
    };
    let there = side("b", "a");
    let echo = std::thread::spawn(move || {
        let mut link = there.connect().expect("a link");
        while let Ok(message) = link.receive().map(|m| <[u8; 64]>::try_from(&*m)) {
            if link.send(&message.expect("64 bytes")).is_err() {
                break;
            }
        }
    });
    let mut link = side("a", "b").connect().expect("a link");
    group.bench_function("link", |b| {
        b.iter(|| {
            link.send(black_box(&[7; 64])).expect("a peer");
            black_box(link.receive().expect("an answer")[0]);
        });
    });
    drop(link);
    echo.join().expect("an echo");
    let (mut here, mut there) = UnixStream::pair().expect("a pair");
    let echo = std::thread::spawn(move || {
        let mut message = [0; 64];
        while there.read_exact(&mut message).is_ok() {
            if there.write_all(&message).is_err() {
                break;
            }
        }
    });
    group.bench_function("Unix socket pair", |b| {
        let mut message = [7; 64];
        b.iter(|| {
            here.write_all(black_box(&message)).expect("a peer");
            here.read_exact(&mut message).expect("an answer");
        });
    });
    drop(here);
    echo.join().expect("an echo");
    group.finish();
}

#[allow(unsafe_code, reason = "the kernel's own forms, by their calls")]
mod kernel {
    use std::ffi::CString;

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

    pub struct Semaphore(i32);

    impl Semaphore {
        pub fn new() -> Self {
            // SAFETY: takes no pointers; the value is set before anybody uses it.
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

criterion_group!(benches, queue, semaphore, pipes, links);
criterion_main!(benches);
