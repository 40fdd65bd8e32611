//! What goes wrong around a bridge: a full disk, two mirrors of one name, a source that is made anew, another version.

use crate::process::{hosts, mirroring, status, Hosts, Running, LONG};
use slipring::{Consumer, Ring, Start};
use slipring_bridge::engine::zenoh::{Zenoh, ZenohOptions};
use slipring_bridge::engine::{Engine, Lane, Outgoing, Question, Sample};
use slipring_mirror::frame::HEADER;
use slipring_mirror::{Ack, Meta};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

fn opened(path: &Path) -> Ring {
    let until = Instant::now() + LONG;
    loop {
        match Ring::open(path.to_owned()) {
            Ok(ring) => return ring,
            Err(error) if Instant::now() > until => panic!("{error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

fn consumer(path: &Path) -> Consumer {
    opened(path).consumer(Start::Oldest).unwrap()
}

/// The next message; one of a mirror whose process is away for a moment, too.
fn next(consumer: &mut Consumer) -> Option<(u64, Vec<u8>)> {
    let until = Instant::now() + LONG;
    loop {
        match consumer.receive_until(LONG) {
            Ok(Some(message)) => return Some((message.sequence(), message.to_vec())),
            Ok(None) => return None,
            Err(slipring::endpoint::ReceiveError::ProducerGone { .. }) => {
                assert!(Instant::now() < until);
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A mirror that ends by itself. Returns its status, and what it said.
fn refused(hosts: &Hosts, ring: &Path, more: &[&str]) -> (Option<i32>, String) {
    let output = mirroring(ring, hosts.port, more).output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// A file system of so many bytes, unmounted when it is dropped.
struct Tiny(PathBuf);

impl Tiny {
    fn mount(at: PathBuf, bytes: u32) -> Option<Self> {
        std::fs::create_dir(&at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]);
        match mount.arg(&at).output() {
            Ok(output) if output.status.success() => Some(Self(at)),
            refused => {
                println!("SKIPPED: nothing can be mounted here: {refused:?}");
                eprintln!("SKIPPED: nothing can be mounted here: {refused:?}");
                None
            }
        }
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A mirror that has no room for its ring says so and leaves nothing behind; another one is as before. One that has just
/// enough keeps it, however full the disk becomes.
#[test]
fn a_mirror_on_a_full_disk() {
    let hosts = hosts();
    let Some(tiny) = Tiny::mount(hosts.directory.path().join("tiny"), 1 << 20) else {
        return;
    };
    let ring = Ring::builder(hosts.source.clone())
        .capacity_bytes(512 << 10)
        .create()
        .unwrap();
    let mut producer = ring.producer().unwrap();
    let _serve = hosts.serve(&[]);
    let _other = hosts.mirror(1, &["--from", "oldest"]);
    let mut other = consumer(&hosts.copies[1]);
    std::fs::write(tiny.0.join("full"), vec![1; 700 << 10]).unwrap();
    let (code, said) = refused(&hosts, &tiny.0.join("copy"), &["--from", "oldest"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("space") && said.contains("copy"), "{said}");
    let left: Vec<_> = std::fs::read_dir(&tiny.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["full"]);
    std::fs::remove_file(tiny.0.join("full")).unwrap();
    let _mirror = Running::start(&mut mirroring(
        &tiny.0.join("copy"),
        hosts.port,
        &["--from", "oldest"],
    ));
    let mut mirrored = consumer(&tiny.0.join("copy"));
    // Writes until nothing more fits.
    let mut file = std::fs::File::create(tiny.0.join("full")).unwrap();
    while std::io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
    for n in 0..3000u64 {
        producer.publish(&[n as u8; 1000]).unwrap();
        for consumer in [&mut other, &mut mirrored] {
            assert_eq!(next(consumer).unwrap(), (n, vec![n as u8; 1000]));
        }
    }
}

#[test]
fn two_mirrors_of_one_name() {
    let hosts = hosts();
    let ring = Ring::builder(hosts.source.clone()).create().unwrap();
    let mut producer = ring.producer().unwrap();
    let _serve = hosts.serve(&["--lossless", "--require", "london", "--from", "oldest"]);
    let named = ["--from", "oldest", "--as", "london"];
    // One that gets no processor for so long that it says nothing for two seconds has lost its name to the next one, and
    // ends. Both are tried again then.
    let first = (0..20).find_map(|_| {
        let mut first = hosts.mirror(0, &named);
        let mut second = mirroring(&hosts.copies[1], hosts.port, &named);
        let (mut second, said) = Running::said(&mut second);
        while !second.has_ended() {
            if first.has_ended() {
                drop(second);
                // It may have been about to make it.
                let _ = slipring::registry::remove_at(hosts.copies[1].clone(), true);
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let said = said.join().unwrap();
        assert_eq!(second.ended(), Some(4), "{said}");
        assert!(
            said.contains("another mirror of this name is alive"),
            "{said}"
        );
        assert!(!hosts.copies[1].exists());
        Some(first)
    });
    let first = first.expect("each of twenty took the name of one that lives");
    producer.publish(b"one").unwrap();
    let mut mirrored = consumer(&hosts.copies[0]);
    assert_eq!(next(&mut mirrored), Some((0, b"one".to_vec())));
    // The name is free again soon after a death.
    drop(first);
    let _second = hosts.mirror(1, &named);
    producer.publish(b"two").unwrap();
    let mut mirrored = consumer(&hosts.copies[1]);
    assert_eq!(next(&mut mirrored), Some((0, b"one".to_vec())));
    assert_eq!(next(&mut mirrored), Some((1, b"two".to_vec())));
}

/// The source's ring is removed and made again, while both sides run, and while the mirror is away.
#[test]
fn a_source_that_is_made_anew() {
    for (follow, away) in [(true, false), (true, true), (false, false), (false, true)] {
        let hosts = hosts();
        let on = ["stop", "follow"][usize::from(follow)];
        let more = ["--from", "oldest", "--as", "london", "--on-recreate", on];
        let ring = Ring::builder(hosts.source.clone()).create().unwrap();
        let mut producer = ring.producer().unwrap();
        let _serve = hosts.serve(&[]);
        let mut mirror = hosts.mirror(0, &more);
        let mut old = consumer(&hosts.copies[0]);
        producer.publish(b"old").unwrap();
        assert_eq!(next(&mut old), Some((0, b"old".to_vec())));
        if away {
            drop(mirror);
            mirror = Running::spawn(&mut Command::new("true"));
        }
        drop(producer);
        slipring::registry::remove_at(hosts.source.clone(), true).unwrap();
        let ring = Ring::builder(hosts.source.clone()).create().unwrap();
        ring.producer().unwrap().publish(b"new").unwrap();
        if away {
            mirror = Running::spawn(&mut mirroring(&hosts.copies[0], hosts.port, &more));
        }
        if follow {
            let until = Instant::now() + LONG;
            while opened(&hosts.copies[0]).origin().unwrap().id != ring.id() {
                assert!(Instant::now() < until);
                std::thread::sleep(Duration::from_millis(2));
            }
            assert_eq!(
                next(&mut consumer(&hosts.copies[0])),
                Some((0, b"new".to_vec()))
            );
            mirror.still_runs("the mirror");
        } else {
            assert_eq!(mirror.ended(), Some(4));
            assert_ne!(opened(&hosts.copies[0]).origin().unwrap().id, ring.id());
        }
        // What follows is the end of the old one: its closing, or its removal if it was away and did not close.
        if follow || !away {
            assert_eq!(next(&mut old), None, "{follow} {away}");
        }
    }
}

/// A host of this program itself, at the end of a link.
fn session(port: u16, listens: bool) -> Zenoh {
    let address = vec![format!("tcp/127.0.0.1:{port}")];
    let (listen, connect) = match listens {
        true => (address, Vec::new()),
        false => (Vec::new(), address),
    };
    let options = ZenohOptions {
        listen,
        connect,
        ..ZenohOptions::default()
    };
    Zenoh::open(&options).unwrap()
}

/// Says another version in the header of a frame, an acknowledgement or a description.
fn of_version(mut bytes: Vec<u8>, version: u16, sum_at: usize) -> Vec<u8> {
    bytes[4..6].copy_from_slice(&version.to_le_bytes());
    let rest = [&bytes[..sum_at], &bytes[sum_at + 4..]].concat();
    let sum = crc32fast::hash(&rest);
    bytes[sum_at..sum_at + 4].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// A mirror of another version is not heard, and a source of another version is refused with the reason. A frame of another
/// version among others is none.
#[test]
fn another_version_is_refused_on_both_sides() {
    let hosts = hosts();
    let ring = Ring::builder(hosts.source.clone()).create().unwrap();
    let mut producer = ring.producer().unwrap();
    producer.publish(b"one").unwrap();
    let _serve = hosts.serve(&["--lossless", "--require", "london", "--from", "oldest"]);
    let mirror = hosts.mirror(0, &["--from", "oldest", "--as", "london"]);
    let mut mirrored = consumer(&hosts.copies[0]);
    assert_eq!(next(&mut mirrored), Some((0, b"one".to_vec())));
    let newer = session(hosts.port, false);
    let prefix = format!("slipring/1/default/quotes/{:032x}", ring.id());
    let (heard, frames) = mpsc::channel();
    let sink = move |sample: Sample<'_>| heard.send(sample.bytes.to_vec()).unwrap_or(());
    let _held = newer
        .subscribe(&format!("{prefix}/data"), Box::new(sink))
        .unwrap();
    let publish = |key: &str, lane: Lane, bytes: &[u8]| {
        let outgoing = Outgoing {
            key,
            lane,
            bytes,
            encoding: None,
            attachment: None,
        };
        newer.publish(outgoing).unwrap();
    };
    // A heartbeat that says that much more was sent, of this version and of the next: only the first is believed.
    let mut frame = frames.recv_timeout(LONG).unwrap();
    while frame.len() != HEADER {
        frame = frames.recv_timeout(LONG).unwrap();
    }
    frame[40..48].copy_from_slice(&5u64.to_le_bytes());
    let status = || {
        let address = format!("tcp/127.0.0.1:{}", hosts.port);
        let output = status(&address, &["--json"]).output().unwrap();
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    // What it has written is acknowledged a little later.
    let until = Instant::now() + LONG;
    while status()["mirrors"][0]["next_sequence"] != 1 {
        assert!(Instant::now() < until, "{}", status());
    }
    drop(mirror);
    let direct = crate::process::free_port();
    let source = session(direct, true);
    let mut asked = Vec::new();
    for version in [2, 1] {
        let meta = meta_of(&newer, "slipring/1/default/quotes/meta");
        let bytes = of_version(meta.encode(), version, meta.encode().len() - 4);
        let (ask, asks) = mpsc::channel();
        let sink = move |question: Question| {
            question.replies.reply(bytes.clone());
            ask.send(()).unwrap_or(());
        };
        let _answering = source
            .answer("slipring/1/default/quotes/meta", Box::new(sink))
            .unwrap();
        let place = hosts.directory.path().join(format!("of-{version}"));
        let more = ["--from", "oldest", "--as", "paris"];
        if version == 2 {
            let output = mirroring(&place, direct, &more).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(4), "{said}");
            assert!(
                said.contains("speaks version 2, and this program version 1"),
                "{said}"
            );
            assert!(!place.exists());
            continue;
        }
        let (fetch, fetches) = mpsc::channel();
        let sink = move |question: Question| fetch.send(question.parameters).unwrap_or(());
        let _fetching = source
            .answer(&format!("{prefix}/fetch"), Box::new(sink))
            .unwrap();
        let _mirror = Running::start(&mut mirroring(&place, direct, &more));
        asks.recv_timeout(LONG).unwrap();
        let until = Instant::now() + LONG;
        for (version, to) in [(2, 9), (1, 5)] {
            let mut frame = frame.clone();
            frame[40..48].copy_from_slice(&u64::to_le_bytes(to));
            let frame = of_version(frame, version, 84);
            let outgoing = Outgoing {
                key: &format!("{prefix}/data"),
                lane: Lane::Data,
                bytes: &frame,
                encoding: None,
                attachment: None,
            };
            // It asks for what it knows of: one message so far, and five by the frame of its version.
            loop {
                assert!(Instant::now() < until);
                source.publish(outgoing).unwrap();
                asked.push(fetches.recv_timeout(LONG).unwrap());
                if version == 2 && asked.len() > 3 || asked.last().unwrap().contains("to=5;") {
                    break;
                }
            }
        }
    }
    assert!(
        asked.iter().all(|asked| !asked.contains("to=9;")),
        "{asked:?}"
    );
    assert!(asked[0].contains("from=0;to=1;"), "{asked:?}");
    // What the newer one says it has written counts for nothing: the source still waits for the one it requires.
    let ack = Ack {
        ring: ring.id(),
        name: "london".parse().unwrap(),
        instance: 7,
        next: 1 << 40,
        lost: 0,
    };
    let bytes = ack.encode();
    let ack = of_version(bytes.clone(), 2, bytes.len() - 4);
    producer.publish(b"two").unwrap();
    for _ in 0..3 {
        publish(&format!("{prefix}/ack/london"), Lane::Control, &ack);
        let state = status();
        assert_eq!(state["mirrors"][0]["next_sequence"], 1, "{state}");
        assert!(state["in_flight_bytes"].as_u64().unwrap() > 0, "{state}");
    }
}

fn meta_of(engine: &Zenoh, key: &str) -> Meta {
    let (answer, answers) = mpsc::channel();
    let until = Instant::now() + LONG;
    loop {
        let answer = answer.clone();
        let sink = move |bytes: Option<Vec<u8>>| answer.send(bytes).unwrap_or(());
        engine
            .ask(key, "", Duration::from_secs(5), Box::new(sink))
            .unwrap();
        if let Ok(Some(bytes)) = answers.recv_timeout(LONG) {
            return Meta::decode(&bytes).unwrap();
        }
        assert!(Instant::now() < until);
    }
}
