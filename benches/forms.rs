//! What one call of each form costs on one core, beside the kernel's own, nobody on the other side.

use criterion::{criterion_group, criterion_main, Criterion};
use slipring::{ConsumerOptions, ProducerOptions, Queue, Semaphore, Strategy};
use std::hint::black_box;

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

criterion_group!(benches, queue, semaphore);
criterion_main!(benches);
