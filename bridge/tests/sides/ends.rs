//! Commands end: with their error, by a signal, and whatever the other side does.

use crate::support::{bridge, free_port, given_up, output, status, Running};
use rustix::process::Signal;
use slipring::{Latest, Mailbox, Queue, Ring};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

/// A port at which nothing listens, one at which connections are accepted and nothing is ever said, and one at which they are
/// closed at once.
fn peers() -> Vec<(&'static str, String, Option<TcpListener>)> {
    let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
    let address = |port: u16| format!("tcp/127.0.0.1:{port}");
    let (silent, closing) = (listener(), listener());
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let closes = closing.try_clone().unwrap();
    std::thread::spawn(move || closes.incoming().for_each(drop));
    vec![
        ("nothing", address(free_port()), None),
        ("silent", address(port(&silent)), Some(silent)),
        ("closing", address(port(&closing)), Some(closing)),
    ]
}

fn scratch(name: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    (directory, path)
}

#[test]
fn without_a_source_there_is_an_error_and_an_end() {
    for (peer, address, _held) in peers() {
        let (_directory, path) = scratch("copy");
        let path = path.to_str().unwrap();
        for mut command in [
            bridge(&[
                "status",
                "quotes",
                "--connect",
                &address,
                "--timeout",
                "0.5",
            ]),
            bridge(&["mirror", path, "--connect", &address, "--timeout", "0.5"]),
        ] {
            let (status, printed, said) = output(&mut command);
            assert_eq!(status.code(), Some(124), "{peer}: {said}");
            assert!(said.contains("no source answers"), "{peer}: {said}");
            assert_eq!(printed, "");
        }
    }
}

#[test]
fn a_refused_connection_is_named() {
    let address = format!("tcp/127.0.0.1:{}", free_port());
    let ask = || bridge(&["status", "quotes", "--connect", &address]);
    given_up(ask, "onnection refused");
}

#[test]
fn a_signal_ends_every_command_whatever_the_other_side_does() {
    for (peer, address, _held) in peers() {
        for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
            let (_directory, path) = scratch("quotes");
            Ring::builder(path.clone()).create().unwrap();
            let other = path.with_file_name("copy");
            let (path, other) = (path.to_str().unwrap(), other.to_str().unwrap());
            let connect = ["--connect", &address];
            for (arguments, begins) in [
                (vec!["serve", path], "serving"),
                (vec!["export", path, "--key", "a"], "exporting"),
                (vec!["import", other, "--key", "a"], "importing"),
                // It says nothing before a source answers; whether it has begun shows in the refused connection.
                (vec!["mirror", other], ""),
                (vec!["status", "quotes", "--timeout", "600"], ""),
            ] {
                let verb = arguments[0];
                let mut running = Running::start(bridge(&arguments).args(connect));
                if begins.is_empty() {
                    if peer != "nothing" {
                        continue;
                    }
                    running.says("refused");
                } else {
                    running.says(begins);
                }
                running.signal(signal);
                let status = running.ended();
                // A question that was not answered ends by the signal itself.
                let code = (verb != "status").then_some(0);
                assert_eq!(status.code(), code, "{verb} {peer}: {}", running.said);
            }
        }
    }
}

#[test]
fn a_source_that_is_stopped_or_killed_holds_no_command_up() {
    let (_directory, path) = scratch("quotes");
    Ring::builder(path.clone()).create().unwrap();
    let address = format!("tcp/127.0.0.1:{}", free_port());
    let mut arguments = bridge(&["serve", path.to_str().unwrap(), "--listen", &address]);
    let mut source = Running::start(&mut arguments);
    source.says("serving");
    let copy = path.with_file_name("copy");
    let mut mirror = bridge(&["mirror", copy.to_str().unwrap(), "--name", "quotes"]);
    let mut mirror = Running::start(mirror.args(["--connect", &address]));
    mirror.says("mirroring");
    let (ended, _, said) = output(&mut status(&address));
    assert_eq!(ended.code(), Some(0), "{said}");
    let status = [
        "status",
        "quotes",
        "--connect",
        &address,
        "--timeout",
        "0.5",
    ];
    source.signal(Signal::STOP);
    let (ended, _, said) = output(&mut bridge(&status));
    assert_eq!(ended.code(), Some(124), "{said}");
    mirror.signal(Signal::TERM);
    assert_eq!(mirror.ended().code(), Some(0), "{}", mirror.said);
    drop(source);
    let (ended, _, said) = output(&mut bridge(&status));
    assert_eq!(ended.code(), Some(124), "{said}");
}

#[test]
fn wrong_addresses_are_errors() {
    let (_directory, path) = scratch("quotes");
    Ring::builder(path.clone()).create().unwrap();
    let (ring, other) = (path.to_str().unwrap(), path.with_file_name("copy"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("tcp/{}", taken.local_addr().unwrap());
    let missing = path.with_file_name("none.json5");
    for arguments in [
        vec!["--connect", "nonsense"],
        vec!["--connect", ""],
        vec!["--connect", "tcp/127.0.0.1"],
        vec!["--connect", "tcp/127.0.0.1:99999"],
        vec!["--connect", "ftp/127.0.0.1:7"],
        vec!["--listen", "nonsense"],
        vec!["--listen", "tcp/203.0.113.1:7"],
        vec!["--listen", &taken],
        vec!["--zenoh-config", missing.to_str().unwrap()],
        vec!["--zenoh-config", ring],
    ] {
        for verb in [
            vec!["serve", ring],
            vec!["export", ring, "--key", "a"],
            vec!["import", other.to_str().unwrap(), "--key", "a"],
            vec!["mirror", other.to_str().unwrap(), "--timeout", "1"],
            vec!["status", "quotes", "--timeout", "1"],
        ] {
            let (status, _, said) = output(bridge(&verb).args(&arguments));
            assert!(
                matches!(status.code(), Some(1 | 2 | 124)),
                "{verb:?} {arguments:?}: {said}"
            );
            assert!(
                said.starts_with("slipring-bridge: "),
                "{verb:?} {arguments:?}: {said}"
            );
            assert!(!said.contains("panicked"), "{verb:?} {arguments:?}: {said}");
        }
    }
}

/// What is no ring is refused, with what to use instead.
#[test]
fn other_forms_are_refused() {
    let (_directory, path) = scratch("orders");
    let queue = path.with_file_name("jobs");
    let mailbox = path.with_file_name("desk");
    let latest = path.with_file_name("price");
    let _queue = Queue::builder(queue.clone()).create().unwrap();
    let _mailbox = Mailbox::builder(mailbox.clone()).create().unwrap();
    let _latest = Latest::<slipring_bridge::stat::SourceStat>::builder(latest.clone())
        .create()
        .unwrap();
    for (place, words) in [
        (&queue, ["is a queue", "slipring queue receive"]),
        (&mailbox, ["is a mailbox", "replies in a ring"]),
        (&latest, ["is a latest value", "only rings"]),
    ] {
        let place = place.to_str().unwrap();
        for (verb, refused) in [
            (vec!["serve", place], true),
            (vec!["serve", place, "--lossless"], true),
            (vec!["export", place, "--key", "a"], true),
            (vec!["import", place, "--key", "a"], false),
        ] {
            let listen = format!("tcp/127.0.0.1:{}", free_port());
            let (status, _, said) = output(bridge(&verb).args(["--listen", &listen]));
            assert!(said.contains(words[0]), "{said}");
            match refused {
                true => {
                    assert_eq!(status.code(), Some(2), "{said}");
                    assert!(said.contains(words[1]), "{said}");
                }
                false => assert_eq!(status.code(), Some(4), "{said}"),
            }
        }
    }
    // What does not exist, and what is nothing at all.
    std::fs::write(&path, "text").unwrap();
    let nothing = path.with_file_name("nothing");
    for (place, codes) in [(&nothing, [3, 3]), (&path, [4, 1])] {
        let place = place.to_str().unwrap();
        for verb in [vec!["serve", place], vec!["export", place, "--key", "a"]] {
            let listen = format!("tcp/127.0.0.1:{}", free_port());
            let (status, _, said) = output(bridge(&verb).args(["--listen", &listen]));
            let code = status.code().unwrap();
            assert!(codes.contains(&code), "{verb:?} {code}: {said}");
        }
    }
}

/// Nothing listens to it, so the command has to notice by itself that the ring was removed.
#[test]
fn an_export_ends_with_its_ring() {
    let (_directory, path) = scratch("quotes");
    Ring::builder(path.clone()).create().unwrap();
    let listen = format!("tcp/127.0.0.1:{}", free_port());
    let arguments = [
        "export",
        path.to_str().unwrap(),
        "--key",
        "a",
        "--listen",
        &listen,
    ];
    let mut running = Running::start(&mut bridge(&arguments));
    running.says("exporting");
    slipring::registry::remove_at(path, true).unwrap();
    assert_eq!(running.ended().code(), Some(0), "{}", running.said);
}

/// Zenoh panics on what it cannot read.
#[test]
fn an_environment_that_zenoh_does_not_take_is_an_error() {
    let (_directory, path) = scratch("quotes");
    Ring::builder(path.clone()).create().unwrap();
    let place = path.to_str().unwrap();
    let listen = format!("tcp/127.0.0.1:{}", free_port());
    for (value, why) in [
        ("", "Expected"),
        ("4", "Expected"),
        ("(app: (threads: 4))", "threads"),
        ("(tx: (worker_threads: 0))", "worker_threads of tx is 0"),
    ] {
        for verb in [
            vec!["serve", place],
            vec!["mirror", "./none", "--timeout", "1"],
            vec!["export", place, "--key", "a"],
            vec!["import", place, "--key", "a"],
            vec!["status", "quotes", "--timeout", "1"],
        ] {
            let mut command = bridge(&verb);
            command.args(["--listen", &listen]);
            command.env("ZENOH_RUNTIME", value);
            let (status, printed, said) = output(&mut command);
            assert_eq!(status.code(), Some(2), "{verb:?} {value:?}: {said}");
            let told = said.lines().last().unwrap_or_default();
            let value = format!("ZENOH_RUNTIME is {value:?}");
            for part in [
                "slipring-bridge: ",
                &value,
                why,
                "worker_threads",
                "unset it",
            ] {
                assert!(told.contains(part), "{part:?}: {said}");
            }
            assert_eq!(printed, "");
        }
    }
}

/// It may have what it lacks when it is started again, so the status is not that of wrong usage.
#[test]
fn a_process_without_room_for_threads_or_files_may_be_started_again() {
    let run = |shell: &str, value: &str| {
        let listen = format!("tcp/127.0.0.1:{}", free_port());
        let mut command = Command::new("sh");
        let text = format!("{shell} exec \"$@\"");
        command.args(["-c", &text, "sh", env!("CARGO_BIN_EXE_slipring-bridge")]);
        command.args(["status", "quotes", "--timeout", "0.1", "--listen", &listen]);
        let (status, _, said) = output(command.env("ZENOH_RUNTIME", value));
        (status.code(), said)
    };
    // More threads than a process has room for.
    let (code, said) = run("", "(app: (worker_threads: 18446744073709551615))");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot start the threads of Zenoh"), "{said}");
    // Too few files for them, or just as many.
    let mut refused = 0;
    for files in 4..24 {
        let (code, said) = run(&format!("ulimit -n {files};"), "()");
        // The system's loader has its own.
        assert_ne!(code, Some(2), "{files}: {said}");
        refused += u32::from(said.contains("cannot start the threads of Zenoh"));
    }
    assert!(refused > 0);
}
