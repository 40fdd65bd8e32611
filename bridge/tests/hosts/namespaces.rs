//! Hosts as network namespaces of their own, with links between them that go down, are slow, or lead over a third host.
//!
//! Needs root and the command `ip`, and says SKIPPED without. This kernel's `tbf` makes a link slow where there is `tc`.

use crate::ledger::{finish, producing, producing_so_often, reading, Ledger};
use crate::process::{bridge, hosts, Hosts, Running, LONG};
use slipring::Ring;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Hosts, which are gone when this is dropped.
struct Network {
    hosts: Vec<String>,
}

fn run(program: &str, arguments: &str) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments.split_whitespace())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{program} {arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

fn ip(arguments: &str) {
    run("ip", arguments).unwrap();
}

impl Network {
    /// So many hosts without links; `None` without the permission.
    fn of(count: usize) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = |host| format!("slipring-{}-{n}-{host}", std::process::id());
        let mut network = Self { hosts: Vec::new() };
        for host in 0..count {
            if let Err(why) = run("ip", &format!("netns add {}", name(host))) {
                println!("SKIPPED: no network namespaces here: {why}");
                eprintln!("SKIPPED: no network namespaces here: {why}");
                return None;
            }
            network.hosts.push(name(host));
            ip(&format!("-n {} link set lo up", name(host)));
        }
        Some(network)
    }

    /// A link between two of them, in a network of its own; the first has address 1 there, the second has 2.
    fn link(&self, number: u8, from: usize, to: usize) {
        let (one, other) = (&self.hosts[from], &self.hosts[to]);
        ip(&format!(
            "link add l{number} netns {one} type veth peer name l{number} netns {other}"
        ));
        for (host, address) in [(one, 1), (other, 2)] {
            ip(&format!(
                "-n {host} address add 10.77.{number}.{address}/24 dev l{number}"
            ));
            ip(&format!("-n {host} link set l{number} up"));
        }
    }

    /// Goes on to a network by way of an address.
    fn route(&self, host: usize, number: u8, via: &str) {
        let host = &self.hosts[host];
        ip(&format!(
            "-n {host} route add 10.77.{number}.0/24 via {via}"
        ));
    }

    /// At most so many bits a second leave a host by a link. Returns whether this kernel can do so.
    fn slow(&self, host: usize, number: u8, rate: &str) -> bool {
        let host = &self.hosts[host];
        let slowed = run(
            "tc",
            &format!(
                "-n {host} qdisc add dev l{number} root tbf rate {rate} burst 32k latency 50ms"
            ),
        );
        if let Err(why) = &slowed {
            eprintln!("SKIPPED: the link is as fast as it is: {why}");
        }
        slowed.is_ok()
    }

    /// Cuts a link for so long.
    fn cut(&self, host: usize, number: u8, time: Duration) {
        let host = &self.hosts[host];
        ip(&format!("-n {host} link set l{number} down"));
        std::thread::sleep(time);
        ip(&format!("-n {host} link set l{number} up"));
    }

    /// Runs a command there.
    fn on(&self, host: usize, command: &Command) -> Command {
        let mut there = Command::new("ip");
        there.args(["netns", "exec", &self.hosts[host]]);
        there.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            there.env(name, value.unwrap_or_default());
        }
        there
    }

    fn serve(&self, host: usize, ring: &Path, more: &[&str]) -> Running {
        let mut command = bridge(&["serve", ring.to_str().unwrap(), "--name", "quotes"]);
        command.args(["--listen", "tcp/0.0.0.0:7447"]).args(more);
        Running::start(&mut self.on(host, &command))
    }

    fn mirror(&self, host: usize, ring: &Path, from: &str, more: &[&str]) -> Running {
        let mut command = bridge(&["mirror", ring.to_str().unwrap(), "--name", "quotes"]);
        let address = format!("tcp/{from}:7447");
        command
            .args(["--from", "0", "--connect", &address])
            .args(more);
        Running::start(&mut self.on(host, &command))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in &self.hosts {
            let _ = run("ip", &format!("netns del {host}"));
            let _ = std::fs::remove_dir_all(format!("/etc/netns/{host}"));
        }
    }
}

fn ring(hosts: &Hosts, capacity: u64) -> Ring {
    let ring = Ring::builder(hosts.source.clone());
    ring.capacity_bytes(capacity).create().unwrap()
}

/// The account of a mirror, and its reader.
fn account(hosts: &Hosts, source: &Ring, n: usize) -> (Ledger, Running) {
    let notes = hosts.directory.path().join(format!("notes-{n}"));
    let ledger = Ledger::new(notes.clone(), source);
    let reader = reading(&hosts.copies[n], &hosts.source, &notes);
    (ledger, Running::spawn(&mut { reader }))
}

fn whole(ledger: &mut Ledger, end: u64) {
    ledger.reach(end, || ());
    assert_eq!(
        (ledger.next, ledger.lost, ledger.missed),
        (end, 0, 0),
        "{ledger:?}"
    );
}

#[test]
fn a_link_between_two_hosts_goes_down_and_comes_up() {
    let Some(network) = Network::of(2) else {
        return;
    };
    network.link(1, 0, 1);
    let hosts = hosts();
    let ring = ring(&hosts, 64 << 20);
    let _serve = network.serve(0, &hosts.source, &[]);
    let _mirror = network.mirror(1, &hosts.copies[0], "10.77.1.1", &["--as", "london"]);
    let (mut ledger, _reader) = account(&hosts, &ring, 0);
    let producer = Running::spawn(&mut producing(&hosts.source, 10_000));
    // Also for longer than a link without a sign of life is kept.
    for (end, time) in [(0, 50), (1, 300), (0, 3000)] {
        network.cut(end, 1, Duration::from_millis(time));
        let reached = ring.status().unwrap().next_sequence.unwrap();
        ledger.reach(reached, || ());
    }
    drop(producer);
    whole(&mut ledger, finish(&ring));
}

/// The first host routes to the third by way of the second, over a link that has less than the source publishes. The
/// second has a mirror too.
#[test]
fn a_slow_link_holds_up_only_the_hosts_behind_it() {
    let Some(network) = Network::of(3) else {
        return;
    };
    network.link(1, 0, 1);
    network.link(2, 1, 2);
    network.route(0, 2, "10.77.1.2");
    network.route(2, 1, "10.77.2.1");
    let forward = Command::new("sh");
    let mut forward = network.on(1, &forward);
    forward.args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
    assert!(forward.status().unwrap().success());
    network.slow(1, 2, "8mbit");
    let hosts = hosts();
    let ring = ring(&hosts, 64 << 20);
    let _serve = network.serve(0, &hosts.source, &[]);
    let _near = network.mirror(1, &hosts.copies[0], "10.77.1.1", &["--as", "near"]);
    let _far = network.mirror(2, &hosts.copies[1], "10.77.1.1", &["--as", "far"]);
    let (mut near, _near_reader) = account(&hosts, &ring, 0);
    let (mut far, _far_reader) = account(&hosts, &ring, 1);
    // About four megabytes, where the link has one a second.
    let mut producer = producing_so_often(&hosts.source, 20_000, 25_000);
    assert_eq!(Running::spawn(&mut producer).ended(), Some(0));
    let end = finish(&ring);
    whole(&mut near, end);
    far.look();
    eprintln!("the near one has {end}, the far one {}", far.next);
    whole(&mut far, end);
}

/// A source that waits for its mirror is as fast as the link, and its small ring loses nothing.
#[test]
fn a_source_waits_for_a_slow_link() {
    let Some(network) = Network::of(2) else {
        return;
    };
    network.link(1, 0, 1);
    network.slow(0, 1, "8mbit");
    let hosts = hosts();
    let ring = ring(&hosts, 256 << 10);
    let lossless = ["--lossless", "--require", "far", "--from", "oldest"];
    let _serve = network.serve(0, &hosts.source, &lossless);
    let _far = network.mirror(1, &hosts.copies[0], "10.77.1.1", &["--as", "far"]);
    let (mut far, _reader) = account(&hosts, &ring, 0);
    far.attached();
    let producer = Running::spawn(&mut producing(&hosts.source, 50_000));
    far.reach(10_000, || ());
    network.cut(1, 1, Duration::from_millis(300));
    far.reach(20_000, || ());
    drop(producer);
    whole(&mut far, finish(&ring));
}

/// A mirror is served onward, and both links are cut.
#[test]
fn three_hosts_in_a_row() {
    let Some(network) = Network::of(3) else {
        return;
    };
    network.link(1, 0, 1);
    network.link(2, 1, 2);
    let hosts = hosts();
    let ring = ring(&hosts, 64 << 20);
    let _first = network.serve(0, &hosts.source, &[]);
    let _second = network.mirror(1, &hosts.copies[0], "10.77.1.1", &[]);
    let _onward = network.serve(1, &hosts.copies[0], &[]);
    let _third = network.mirror(2, &hosts.copies[1], "10.77.2.1", &[]);
    let (mut ledger, _reader) = account(&hosts, &ring, 1);
    let producer = Running::spawn(&mut producing(&hosts.source, 10_000));
    for (end, link) in [(0, 1), (1, 2)] {
        network.cut(end, link, Duration::from_millis(200));
        let reached = ring.status().unwrap().next_sequence.unwrap();
        ledger.reach(reached, || ());
    }
    drop(producer);
    whole(&mut ledger, finish(&ring));
}

/// The program of the main workspace, if that was built.
fn slipring() -> Option<std::path::PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let built =
        ["debug", "release"].map(|profile| root.join("target").join(profile).join("slipring"));
    built.into_iter().find(|path| path.exists())
}

/// What the page shows, line by line: each on the host that the line names, by these names.
#[test]
fn the_terminals_of_the_page() {
    let Some(slipring) = slipring() else {
        println!("SKIPPED: slipring was not built: cargo build -p slipring-cli");
        eprintln!("SKIPPED: slipring was not built: cargo build -p slipring-cli");
        return;
    };
    let Some(network) = Network::of(3) else {
        return;
    };
    network.link(1, 0, 1);
    network.link(2, 0, 2);
    let directory = tempfile::tempdir().unwrap();
    let bin = directory.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(slipring, bin.join("slipring")).unwrap();
    std::os::unix::fs::symlink(
        env!("CARGO_BIN_EXE_slipring-bridge"),
        bin.join("slipring-bridge"),
    )
    .unwrap();
    for (host, number) in [(1, 1), (2, 2)] {
        let folder = format!("/etc/netns/{}", network.hosts[host]);
        std::fs::create_dir_all(&folder).unwrap();
        let names = format!("127.0.0.1 localhost\n10.77.{number}.1 exchange-3\n");
        std::fs::write(format!("{folder}/hosts"), names).unwrap();
    }
    // Every host has its own rings.
    let there = |line: &str| {
        let (host, line) = line.split_once("$ ").unwrap();
        let host = ["exchange-3", "london", "anywhere"]
            .iter()
            .position(|name| *name == host.trim())
            .unwrap();
        let rings = directory.path().join(format!("rings-{host}"));
        std::fs::create_dir_all(&rings).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec {}", line.trim())]);
        command.env("SLIPRING_DIR", rings);
        command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        network.on(host, &command)
    };
    let page = include_str!("../../../docs/guide/bridge.md");
    let (_, block) = page.split_once("```console\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let lines: Vec<&str> = block.lines().collect();
    let [serve, mirror, sub, status] = lines[..] else {
        panic!("{block}")
    };
    assert!(there("exchange-3$ slipring create quotes")
        .status()
        .unwrap()
        .success());
    let _serve = Running::start(&mut there(serve));
    let _mirror = Running::start(&mut there(mirror));
    let mut publish = there("exchange-3$ seq 1 100 | slipring pub quotes --keep-open");
    publish.stdout(std::process::Stdio::null());
    assert!(publish.status().unwrap().success());
    let mut sub = there(sub);
    let mut sub = sub.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let output = std::io::BufReader::new(sub.stdout.take().unwrap());
    let lines: Vec<String> = std::io::BufRead::lines(output)
        .take(100)
        .map(Result::unwrap)
        .collect();
    assert_eq!(lines, (1..=100).map(|n| n.to_string()).collect::<Vec<_>>());
    let _ = sub.kill();
    let _ = sub.wait();
    let until = Instant::now() + LONG;
    loop {
        let output = there(status).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        if text.contains("sent         up to 100") && text.contains(": 0 behind, 0 lost") {
            break;
        }
        assert!(Instant::now() < until, "{text}");
    }
}
