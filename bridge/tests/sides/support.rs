//! Processes of the command, and threads that run a side in this one.

use rustix::process::{kill_process, Pid, Signal};
use slipring_bridge::engine::local::Network;
use slipring_bridge::engine::{Engine, Held, Lane, Outgoing, Question};
use slipring_mirror::frame::Stamp;
use slipring_mirror::Meta;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{mpsc, Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use crate::port::free_port;

pub const LONG: Duration = Duration::from_secs(60);

pub fn bridge(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipring-bridge"));
    command.args(arguments);
    command
}

/// Asks the source at this address for its state, however long it takes to answer.
pub fn status(address: &str) -> Command {
    bridge(&["status", "quotes", "--timeout", "60", "--connect", address])
}

/// A process whose lines on standard error are read. It is killed when this is dropped.
pub struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
    pub said: String,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let errors = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        Self {
            child,
            lines,
            said: String::new(),
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it says this.
    pub fn says(&mut self, text: &str) -> &mut Self {
        let end = Instant::now() + LONG;
        while !self.said.contains(text) {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.said += &(line + "\n"),
                Err(why) => panic!("{why} before {text:?}: {}", self.said),
            }
        }
        self
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has ended by itself; all that it said is in `said` then.
    pub fn ended(&mut self) -> ExitStatus {
        let end = Instant::now() + LONG;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                for line in self.lines.iter() {
                    self.said += &(line + "\n");
                }
                return status;
            }
            assert!(Instant::now() < end, "it does not end: {}", self.said);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A thread that is told to stop when this is dropped.
pub struct Side<T> {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<T>>,
    ready: mpsc::Receiver<()>,
}

impl<T: Send + 'static> Side<T> {
    pub fn start<F>(run: F) -> Self
    where
        F: FnOnce(&AtomicBool, &dyn Fn()) -> T + Send + 'static,
    {
        let stop = Arc::new(AtomicBool::new(false));
        let (is, ready) = mpsc::channel();
        let stops = stop.clone();
        let thread = std::thread::spawn(move || run(&stops, &move || is.send(()).unwrap_or(())));
        Self {
            stop,
            thread: Some(thread),
            ready,
        }
    }

    pub fn wait(&self) {
        self.ready.recv_timeout(LONG).expect("it never began");
    }

    pub fn end(mut self) -> T {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }

    /// Waits until it ends by itself.
    pub fn ended(mut self) -> T {
        let end = Instant::now() + LONG;
        let thread = self.thread.take().unwrap();
        while !thread.is_finished() {
            if Instant::now() >= end {
                self.stop.store(true, Ordering::Relaxed);
                panic!("it does not end");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        thread.join().unwrap()
    }
}

impl<T> Drop for Side<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A source that answers as it is told, and sends what it is given.
pub struct Fake {
    network: Network,
    pub meta: Arc<Mutex<Meta>>,
    pub stamp: Stamp,
    _held: Held,
}

impl Fake {
    pub fn new(network: &Network) -> Self {
        let meta = Meta {
            ring: 7,
            epoch: 1,
            epoch_first: 0,
            oldest: 0,
            next: 0,
            capacity: 1 << 16,
            frame_align: 8,
            max_readers: 4,
            longest: 1000,
            stamps: false,
            closed: false,
            required: false,
            taken: false,
            host: String::new(),
            name: "quotes".parse().unwrap(),
            schema: String::new(),
            opaque: None,
        };
        let stamp = Stamp {
            ring: 7,
            epoch: 1,
            epoch_first: 0,
            oldest: 0,
            wall_ns: 0,
        };
        let meta = Arc::new(Mutex::new(meta));
        let says = meta.clone();
        let sink = Box::new(move |question: Question| {
            let meta = says.lock().unwrap().encode();
            question.replies.reply(meta);
        });
        let held = network
            .answer("slipring/1/default/quotes/meta", sink)
            .unwrap();
        Self {
            network: network.clone(),
            meta,
            stamp,
            _held: held,
        }
    }

    pub fn send(&self, frame: &[u8]) {
        send(&self.network, frame);
    }
}

/// Sends a frame as the source that a [`Fake`] is.
pub fn send(network: &Network, frame: &[u8]) {
    let outgoing = Outgoing {
        key: &format!("slipring/1/default/quotes/{:032x}/data", 7),
        lane: Lane::Data,
        bytes: frame,
        encoding: None,
        attachment: None,
    };
    network.publish(outgoing).unwrap();
}

/// What a command says that is given up after some seconds with status 124. It has longer where it does not come so far that
/// it says this.
pub fn given_up(command: impl Fn() -> Command, text: &str) -> String {
    for timeout in ["3", "15", "60"] {
        let (status, _, said) = output(command().args(["--timeout", timeout]));
        assert_eq!(status.code(), Some(124), "{said}");
        if said.contains(text) {
            return said;
        }
        eprintln!("after {timeout} s: {said}");
    }
    panic!("it does not say {text:?}");
}

/// What a command prints on standard output, and its status.
pub fn output(command: &mut Command) -> (ExitStatus, String, String) {
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut errors = child.stderr.take().unwrap();
    let printed = std::thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).unwrap();
        text
    });
    let said = std::thread::spawn(move || {
        let mut text = String::new();
        errors.read_to_string(&mut text).unwrap();
        text
    });
    // It may have a minute of its own.
    let end = Instant::now() + 2 * LONG;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() >= end {
            let _ = child.kill();
            let _ = child.wait();
            panic!("it does not end: {}", said.join().unwrap());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    (status, printed.join().unwrap(), said.join().unwrap())
}
