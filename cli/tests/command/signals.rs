//! Signals that end the command, in each wait of a verb, and while a verb holds something for a command.

use super::shell::{is_ignored, Shell};
use rustix::process::{kill_process, Pid, Signal};
use std::io::{BufRead, BufReader, Read, Write};
use std::ops::{Deref, DerefMut};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The signals that end the command, but for those that these tests were started with ignored: the command goes on
/// ignoring them.
fn ending() -> Vec<Signal> {
    let mut signals = vec![Signal::INT, Signal::TERM, Signal::HUP];
    signals.retain(|signal| !is_ignored(*signal));
    signals
}

/// Ends a test that hangs.
const HANG: Duration = Duration::from_secs(60);

fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
}

/// Waits for a process to end, within a generous limit.
fn end(child: &mut Child, what: &str) -> ExitStatus {
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if began.elapsed() > HANG {
            child.kill().unwrap();
            panic!("{what}: did not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The state of each thread of a process, as the kernel's letters.
fn states(pid: u32) -> Vec<char> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let letter = |stat: String| {
        stat.rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next())
    };
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok())
        .filter_map(letter)
        .collect()
}

/// Waits until a process has looked asleep for a while, as one does that waits. What is tested holds at
/// every other moment too.
fn settled(pid: u32) {
    let mut calm = 0;
    let began = Instant::now();
    while calm < 20 && began.elapsed() < HANG {
        let states = states(pid);
        let asleep = states.iter().all(|state| matches!(state, 'S' | 'Z' | 'X'));
        calm = if asleep { calm + 1 } else { 0 };
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Returns `true` if a process has ended, though its parent may not have waited for it yet.
fn dead(pid: u32) -> bool {
    states(pid)
        .iter()
        .all(|state| *state == 'Z' || *state == 'X')
}

fn number_of(line: &str) -> u32 {
    line.trim().parse().unwrap()
}

/// A process that does not outlive its test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Deref for Killed {
    type Target = Child;
    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Killed {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

fn start(shell: &Shell, arguments: &[&str]) -> Killed {
    Killed(shell.start(arguments))
}

struct Lines {
    child: Killed,
    /// Open as long as this lives.
    _input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Lines {
    fn start(shell: &Shell, arguments: &[&str]) -> Self {
        let mut child = start(shell, arguments);
        let output = BufReader::new(child.stdout.take().unwrap());
        let input = child.stdin.take();
        Self {
            child,
            _input: input,
            output,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

/// A command that says when it runs and when a signal comes, and ends when a file is there. It looks for the file again and again
/// and does not wait for a line: a signal that comes just before a shell begins to read is heard only after the line.
const STUBBORN: &str = "trap 'echo heard' INT TERM HUP; echo on
until [ -e \"$0\" ]; do sleep 0.01; done; echo over; exit 5";

#[test]
fn a_permit_is_held_until_the_command_has_ended() {
    let shell = Shell::new();
    shell.ok(&["sem", "create", "gpu"]);
    for signal in ending() {
        let over = shell.path(&format!("over-{}", signal.as_raw()));
        let run = ["sem", "run", "gpu", "--", "sh", "-c", STUBBORN, &over];
        let mut holder = Lines::start(&shell, &run);
        assert_eq!(holder.line(), "on");
        for _ in 0..2 {
            send(holder.child.id(), signal);
            assert_eq!(holder.line(), "heard", "{signal:?} goes on to the command");
            shell.fails(
                124,
                &["sem", "run", "gpu", "--timeout", "20ms", "--", "true"],
            );
        }
        std::fs::write(&over, "").unwrap();
        assert_eq!(holder.line(), "over");
        assert_eq!(end(&mut holder.child, "sem run").code(), Some(5));
        shell.ok(&["sem", "run", "gpu", "--timeout", "60s", "--", "true"]);
    }
}

#[test]
fn a_command_ends_by_the_signal_and_what_ran_it_too() {
    let shell = Shell::new();
    shell.ok(&["sem", "create", "gpu"]);
    shell.ok(&["shared", "create", "value"]);
    shell.ok(&["shared", "set", "value", "old"]);
    shell.ok(&["mailbox", "create", "office"]);
    let cases: [&[&str]; 4] = [
        &["sem", "run", "gpu"],
        &["shared", "update", "value"],
        &["pipe"],
        &["mailbox", "serve", "office"],
    ];
    for case in cases {
        for signal in ending() {
            if case[0] == "mailbox" {
                shell.ok(&["mailbox", "send", "office", "--from", "test", "letter"]);
            }
            let run = ["--", "sh", "-c", "echo $$ >&2; exec sleep 600"];
            let mut child = start(&shell, &[case, &run].concat());
            let mut errors = BufReader::new(child.stderr.take().unwrap());
            let mut line = String::new();
            errors.read_line(&mut line).unwrap();
            send(child.id(), signal);
            let status = end(&mut child, &format!("{case:?} {signal:?}"));
            assert_eq!(
                status.signal(),
                Some(signal.as_raw()),
                "{case:?} {signal:?}: {status}"
            );
            assert!(dead(number_of(&line)), "{case:?} {signal:?}");
            if case[0] == "mailbox" {
                let again = shell.ok(&["mailbox", "receive", "office", "-n", "1"]);
                assert_eq!(again, "test: letter\n", "not answered, so not gone");
            }
        }
    }
    assert_eq!(shell.ok(&["shared", "get", "value"]), "old\n");
    shell.ok(&["shared", "set", "value", "new", "--timeout", "60s"]);
}

#[test]
fn a_command_dies_with_what_ran_it() {
    let shell = Shell::new();
    shell.ok(&["sem", "create", "gpu"]);
    shell.ok(&["shared", "create", "value"]);
    shell.ok(&["mailbox", "create", "office"]);
    shell.ok(&["mailbox", "send", "office", "letter"]);
    let cases: [&[&str]; 4] = [
        &["sem", "run", "gpu"],
        &["shared", "update", "value"],
        &["pipe"],
        &["mailbox", "serve", "office"],
    ];
    for case in cases {
        let run = [
            "--",
            "sh",
            "-c",
            "trap '' INT TERM HUP; echo $$ >&2; exec sleep 600",
        ];
        let mut child = start(&shell, &[case, &run].concat());
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        errors.read_line(&mut line).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let began = Instant::now();
        while !dead(number_of(&line)) {
            assert!(began.elapsed() < HANG, "{case:?}: its command lives on");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[test]
fn the_demo_leaves_nothing_behind() {
    let shell = Shell::new();
    for signal in ending() {
        let mut demo = start(&shell, &["demo", "--ticks", "1000000000", "--rate", "1000"]);
        let directory = format!("/dev/shm/slipring-demo-{}", demo.id());
        // The feed is the last part to come.
        let began = Instant::now();
        let feed = loop {
            if let Ok(ring) = slipring::Ring::open(Path::new(&directory).join("ticks")) {
                let status = ring.status().unwrap();
                if status.producer_alive == Some(true) {
                    break status.producer_pid;
                }
            }
            assert!(began.elapsed() < HANG);
            std::thread::sleep(Duration::from_millis(1));
        };
        send(demo.id(), signal);
        let status = end(&mut demo, "demo");
        assert_eq!(status.signal(), Some(signal.as_raw()), "{status}");
        assert!(!std::path::Path::new(&directory).exists());
        // Its ring is gone and says nothing any more.
        let runs = || {
            let stat = std::fs::read_to_string(format!("/proc/{feed}/stat"));
            stat.is_ok_and(|stat| !stat.contains(") Z"))
        };
        while runs() {
            assert!(began.elapsed() < HANG, "the feed lives on");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Every verb that can wait without end.
#[test]
fn the_first_signal_ends_whatever_waits() {
    let shell = Shell::new();
    shell.ok(&["create", "quiet"]);
    shell.ok(&["create", "closed"]);
    shell.ok(&["create", "full", "--capacity", "4K"]);
    let ring = slipring::Ring::open(Path::new(&shell.path("full"))).unwrap();
    // It never reads.
    let _consumer = ring.consumer(slipring::Start::Latest).unwrap();
    shell.ok(&["queue", "create", "empty"]);
    shell.ok(&["queue", "create", "crowded", "--depth", "1"]);
    shell.ok(&["queue", "send", "crowded", "x"]);
    shell.ok(&["mailbox", "create", "office"]);
    shell.ok(&["mailbox", "create", "stuffed", "--depth", "1"]);
    shell.ok(&["mailbox", "create", "unread"]);
    let asks = Lines::start(&shell, &["mailbox", "request", "stuffed", "x"]);
    settled(asks.child.id());
    shell.ok(&["sem", "create", "taken"]);
    let mut holder = Lines::start(
        &shell,
        &["sem", "run", "taken", "--", "sh", "-c", "echo on; read x"],
    );
    assert_eq!(holder.line(), "on");
    shell.ok(&["latest", "create", "config"]);
    shell.ok(&["shared", "create", "value"]);
    shell.ok(&["shared", "create", "locked"]);
    let update = ["shared", "update", "locked", "--", "sh", "-c"];
    let mut locker = start(
        &shell,
        &[&update[..], &["echo on >&2; exec sleep 600"]].concat(),
    );
    let mut line = String::new();
    let mut errors = BufReader::new(locker.stderr.take().unwrap());
    errors.read_line(&mut line).unwrap();
    shell.ok(&["signal", "create", "control"]);
    for fifo in ["in", "out"] {
        shell.ok(&["fifo", "create", fifo]);
    }
    shell.ok(&["fifo", "create", "chat", "--both-ways"]);
    let socket = shell.path("socket");
    let other = shell.path("other");
    let mut broker = Lines::start(&shell, &["share", &other]);
    broker.line();

    let many = b"0123456789\n".repeat(100_000);
    let cases: &[(&[&str], &[u8])] = &[
        (&["pub", "closed"], b""),
        (&["pub", "full"], &many),
        (&["sub", "quiet"], b""),
        (&["sub", "quiet", "--observe"], b""),
        (&["sub", "quiet", "--cursor", "me"], b""),
        (&["sub", "--via", &other], b""),
        (&["pub", "--via", &other], b""),
        (&["queue", "receive", "empty"], b""),
        (&["queue", "send", "crowded", "--", "y", "z"], b""),
        (&["queue", "send", "empty"], b""),
        (&["mailbox", "receive", "office"], b""),
        (&["mailbox", "request", "unread", "anyone?"], b""),
        (&["mailbox", "send", "unread"], b""),
        (&["mailbox", "serve", "office", "--", "cat"], b""),
        (&["sem", "run", "taken", "--", "true"], b""),
        (&["latest", "watch", "config"], b""),
        (&["latest", "set", "config", "-"], b""),
        (&["shared", "watch", "value", "-n", "9"], b""),
        (&["shared", "set", "locked", "x"], b""),
        (&["shared", "update", "locked", "--", "true"], b""),
        (&["signal", "listen", "control", "--as", "me"], b""),
        (&["link", "alice", "bob"], b""),
        (&["fifo", "read", "in"], b""),
        (&["fifo", "write", "out"], b""),
        (&["fifo", "connect", "chat"], b""),
        (&["share", &socket], b""),
        (&["pipe", "--", "cat"], b""),
        (&["bench", "--sizes", "8", "--sample", "600s"], b""),
    ];
    for (arguments, input) in cases {
        for signal in ending() {
            let mut child = start(&shell, arguments);
            let mut feed = child.stdin.take().unwrap();
            let input = input.to_vec();
            let feeding = std::thread::spawn(move || {
                let _ = feed.write_all(&input);
                feed
            });
            if arguments[0] != "bench" {
                settled(child.id());
            }
            send(child.id(), signal);
            let what = format!("{arguments:?} {signal:?}");
            let status = end(&mut child, &what);
            let mut errors = String::new();
            let _ = child.stderr.take().unwrap().read_to_string(&mut errors);
            assert_eq!(
                status.signal(),
                Some(signal.as_raw()),
                "{what}: {status}: {errors}"
            );
            drop(feeding.join().unwrap());
        }
    }
}

#[test]
fn a_publisher_that_a_slow_consumer_holds_back_closes_the_ring_and_ends() {
    let shell = Shell::new();
    for signal in ending() {
        shell.ok(&["create", "slow", "--capacity", "4K"]);
        let ring = slipring::Ring::open(Path::new(&shell.path("slow"))).unwrap();
        let mut consumer = ring.consumer(slipring::Start::Latest).unwrap();
        let mut child = start(&shell, &["pub", "slow"]);
        let mut feed = child.stdin.take().unwrap();
        let feeding = std::thread::spawn(move || {
            let _ = feed.write_all(&b"0123456789\n".repeat(200_000));
            feed
        });
        // Every publish waits, but none for long.
        for n in 0..300 {
            let Some(message) = consumer.receive().unwrap() else {
                assert!(n > 250, "it ends before it is told to");
                break;
            };
            drop(message);
            if n == 250 {
                send(child.id(), signal);
            }
        }
        let status = loop {
            let step = Duration::from_millis(20);
            let _ = consumer.receive_until(step).map(drop);
            std::thread::sleep(step);
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            assert!(
                ring.status().unwrap().next_sequence.unwrap_or(0) < 5000,
                "{signal:?}"
            );
        };
        assert_eq!(status.signal(), Some(signal.as_raw()), "{status}");
        assert!(ring.status().unwrap().closed, "in order");
        drop(feeding.join().unwrap());
        drop(consumer);
        drop(ring);
        shell.ok(&["rm", "slow"]);
    }
}

#[test]
fn a_subscriber_whose_output_is_stuck_ends() {
    let shell = Shell::new();
    shell.ok(&["create", "log"]);
    let lines = b"0123456789\n".repeat(10_000);
    assert!(shell.with_input(&["pub", "log"], &lines).status.success());
    for signal in ending() {
        let cursor = format!("of-{}", signal.as_raw());
        let flags: [&[&str]; 3] = [&[], &["--observe"], &["--cursor", &cursor]];
        for flags in flags {
            let arguments = [&["sub", "log", "--from", "oldest"], flags].concat();
            let mut child = start(&shell, &arguments);
            // No process reads its output, which is more than a pipe holds.
            settled(child.id());
            send(child.id(), signal);
            let status = end(&mut child, &format!("{arguments:?} {signal:?}"));
            assert_eq!(status.signal(), Some(signal.as_raw()), "{status}");
        }
    }
}

#[test]
fn a_script_may_start_it_in_the_background_and_end_it() {
    let shell = Shell::new();
    shell.ok(&["create", "x"]);
    // A shell without job control has what it starts in the background ignore INT.
    let script = format!(
        "{} sub x & echo $!; wait $!; echo $?",
        env!("CARGO_BIN_EXE_slipring")
    );
    let run = std::process::Command::new("sh")
        .args(["-c", &script])
        .env("SLIPRING_DIR", shell.directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut run = Killed(run);
    let mut output = BufReader::new(run.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    shell.attached("x");
    send(number_of(&line), Signal::INT);
    line.clear();
    output.read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "130", "as a shell says it");
    run.wait().unwrap();
}
