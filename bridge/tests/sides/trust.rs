//! Certificates on both sides, and the access rules of `bridge/config`, which are used here as they stand.

use crate::support::{bridge, free_port, given_up, output, status, Running, LONG};
use slipring::{Consumer, Ring, Start};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

fn openssl(folder: &Path, arguments: &[&str]) {
    let made = Command::new("openssl")
        .args(arguments)
        .current_dir(folder)
        .output()
        .expect("openssl");
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{arguments:?}: {said}");
}

/// Says loudly that a test does nothing where certificates cannot be made.
fn can_make_certificates() -> bool {
    let found = Command::new("openssl").arg("version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: openssl is not installed, so no certificates can be made");
    }
    found
}

/// An authority, and hosts with certificates of it.
struct Authority {
    folder: PathBuf,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let folder = folder.join(name);
        std::fs::create_dir(&folder).unwrap();
        let subject = format!("/CN={name}");
        let key = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ];
        let of = ["req", "-x509", "-days", "2", "-subj", &subject];
        let files = ["-keyout", "ca.key", "-out", "ca.pem"];
        openssl(&folder, &[&of[..], &key, &files].concat());
        Self { folder }
    }

    /// The folder of a host: with the configurations of the project, and `tls/` as they want it. It trusts `trusted`.
    fn host(&self, common_name: &str, trusted: &Self) -> PathBuf {
        let host = self.folder.join(common_name);
        let tls = host.join("tls");
        std::fs::create_dir_all(&tls).unwrap();
        let subject = format!("/CN={common_name}");
        let key = [
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ];
        let of = [
            "req", "-subj", &subject, "-keyout", "host.key", "-out", "host.csr",
        ];
        openssl(&tls, &[&of[..], &key].concat());
        std::fs::write(
            tls.join("names"),
            "subjectAltName=DNS:localhost,IP:127.0.0.1\n",
        )
        .unwrap();
        openssl(
            &tls,
            &[
                "x509",
                "-req",
                "-in",
                "host.csr",
                "-CA",
                "../../ca.pem",
                "-CAkey",
                "../../ca.key",
                "-CAcreateserial",
                "-days",
                "2",
                "-extfile",
                "names",
                "-out",
                "host.pem",
            ],
        );
        std::fs::copy(trusted.folder.join("ca.pem"), tls.join("ca.pem")).unwrap();
        for side in ["source.json5", "mirror.json5"] {
            let shipped = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("config")
                .join(side);
            std::fs::copy(shipped, host.join(side)).unwrap();
        }
        host
    }
}

struct World {
    _directory: tempfile::TempDir,
    source: PathBuf,
    authority: Authority,
    other: Authority,
    port: u16,
    copies: PathBuf,
}

fn world() -> Option<World> {
    if !can_make_certificates() {
        return None;
    }
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new(directory.path(), "authority");
    let other = Authority::new(directory.path(), "other");
    Some(World {
        source: authority.host("exchange-3", &authority),
        copies: directory.path().to_owned(),
        authority,
        other,
        port: free_port(),
        _directory: directory,
    })
}

impl World {
    fn serve(&self, ring: &Path) -> Running {
        let listen = format!("tls/127.0.0.1:{}", self.port);
        let mut command = bridge(&["serve", ring.to_str().unwrap(), "--listen", &listen]);
        command.args(["--zenoh-config", "source.json5"]);
        let mut serving = Running::start(command.current_dir(&self.source));
        serving.says("serving");
        serving
    }

    /// The command of a mirror on a host, without a limit of time.
    fn mirror(&self, host: &Path, ring: &str, named: &str) -> Command {
        let connect = format!("tls/127.0.0.1:{}", self.port);
        let copy = self.copies.join(format!("copy-{ring}-{named}"));
        let mut command = bridge(&["mirror", copy.to_str().unwrap(), "--name", ring]);
        command.args(["--as", named, "--from", "oldest", "--connect", &connect]);
        command.args(["--zenoh-config", "mirror.json5"]);
        command.current_dir(host);
        command
    }

    fn ring(&self, name: &str) -> Ring {
        let ring = Ring::builder(self.source.join(name)).capacity_bytes(1 << 20);
        ring.create().unwrap()
    }

    fn reader(&self, ring: &str, named: &str) -> Consumer {
        let path = self.copies.join(format!("copy-{ring}-{named}"));
        Ring::open(path).unwrap().consumer(Start::Oldest).unwrap()
    }
}

/// Reads so many messages, from the first.
fn reads(consumer: &mut Consumer, many: u64) {
    for n in 0..many {
        let message = consumer.receive_until(LONG).unwrap().unwrap();
        assert_eq!(message.sequence(), n);
        assert_eq!(message[..], n.to_le_bytes());
    }
}

#[test]
fn the_right_certificates_let_everything_through() {
    let Some(world) = world() else { return };
    let london = world.authority.host("london", &world.authority);
    let ring = world.ring("quotes");
    let mut producer = ring.producer().unwrap();
    // What was published before the mirror began comes by requests, what is published then as it is sent.
    for n in 0..5000u64 {
        producer.publish(&n.to_le_bytes()).unwrap();
    }
    let serving = world.serve(&world.source.join("quotes"));
    let mut mirroring = Running::start(&mut world.mirror(&london, "quotes", "london"));
    mirroring.says("mirroring");
    for n in 5000..10_000u64 {
        producer.publish(&n.to_le_bytes()).unwrap();
    }
    reads(&mut world.reader("quotes", "london"), 10_000);
    // Acknowledgements and reports come back, and the clock was asked.
    let connect = format!("tls/127.0.0.1:{}", world.port);
    let end = Instant::now() + LONG;
    loop {
        let mut status = status(&connect);
        status
            .args(["--json", "--zenoh-config", "mirror.json5"])
            .current_dir(&london);
        let (status, printed, said) = output(&mut status);
        assert_eq!(status.code(), Some(0), "{said}");
        let state: serde_json::Value = serde_json::from_str(&printed).unwrap();
        let mirror = &state["mirrors"][0];
        let told = mirror["says"]["messages"] == 10_000 && mirror["says"]["clock_ns"].is_object();
        if told && mirror["behind"] == 0 {
            assert!(mirror["says"]["latency_ns"]["measured"].as_u64() <= Some(5000));
            break;
        }
        assert!(Instant::now() < end, "{state}");
        std::thread::sleep(Duration::from_millis(20));
    }
    drop((serving, mirroring));
}

/// Neither side talks to one whose certificate another authority signed, and each says so.
#[test]
fn a_certificate_of_another_authority_is_refused() {
    let Some(world) = world() else { return };
    world.ring("quotes");
    let mut serving = world.serve(&world.source.join("quotes"));
    // The mirror does not know who signed for the source.
    let suspicious = world.other.host("london", &world.other);
    let mirror = || world.mirror(&suspicious, "quotes", "london");
    given_up(mirror, "UnknownIssuer");
    // The source does not know who signed for the mirror.
    let forged = world.other.host("london-2", &world.authority);
    let mut mirror = world.mirror(&forged, "quotes", "london");
    let (status, _, said) = output(mirror.args(["--timeout", "3"]));
    assert_eq!(status.code(), Some(124), "{said}");
    assert!(said.contains("no source answers"), "{said}");
    // However late it comes so far.
    let _tries = Running::start(&mut world.mirror(&forged, "quotes", "london"));
    serving.says("UnknownIssuer");
    assert!(!world.copies.join("copy-quotes-london").exists());
}

/// Who connects without a certificate, or without TLS at all, reads nothing.
#[test]
fn who_has_no_certificate_reads_nothing() {
    let Some(world) = world() else { return };
    world.ring("quotes");
    let _serving = world.serve(&world.source.join("quotes"));
    let bare = world.authority.host("bare", &world.authority);
    let config = std::fs::read_to_string(bare.join("mirror.json5")).unwrap();
    let without: String = config
        .lines()
        .filter(|line| !line.contains("connect_certificate") && !line.contains("connect_private"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_ne!(without, config);
    std::fs::write(
        bare.join("mirror.json5"),
        without.replace("enable_mtls: true", "enable_mtls: false"),
    )
    .unwrap();
    let mut mirror = world.mirror(&bare, "quotes", "london");
    let (status, _, said) = output(mirror.args(["--timeout", "3"]));
    assert_eq!(status.code(), Some(124), "{said}");
    let plain = format!("tcp/127.0.0.1:{}", world.port);
    let status = ["status", "quotes", "--timeout", "2", "--connect", &plain];
    let (status, _, said) = output(&mut bridge(&status));
    assert_eq!(status.code(), Some(124), "{said}");
}

/// A certificate of the right authority opens what the rules allow its name, and nothing else.
#[test]
fn a_name_reads_what_its_rules_allow() {
    let Some(world) = world() else { return };
    let london = world.authority.host("london", &world.authority);
    let paris = world.authority.host("paris", &world.authority);
    let ring = world.ring("quotes");
    let other = world.ring("orders");
    for ring in [&ring, &other] {
        let mut producer = ring.producer().unwrap();
        producer.publish(&0u64.to_le_bytes()).unwrap();
    }
    let serving = world.serve(&world.source.join("quotes"));
    // Another name.
    let mut mirror = world.mirror(&paris, "quotes", "paris");
    let (status, _, said) = output(mirror.args(["--timeout", "3"]));
    assert_eq!(status.code(), Some(124), "{said}");
    assert!(said.contains("access rules"), "{said}");
    // The right name, in the same way.
    let mut mirroring = Running::start(&mut world.mirror(&london, "quotes", "london"));
    mirroring.says("mirroring");
    reads(&mut world.reader("quotes", "london"), 1);
    drop((mirroring, serving));
    // The right name, and a ring that is not its own.
    let serving = world.serve(&world.source.join("orders"));
    let free = london.join("mirror.json5");
    let rules = std::fs::read_to_string(&free).unwrap();
    std::fs::write(&free, rules.replace("default/quotes", "default/*")).unwrap();
    let mut mirror = world.mirror(&london, "orders", "london");
    let (status, _, said) = output(mirror.args(["--timeout", "3"]));
    assert_eq!(status.code(), Some(124), "{said}");
    assert!(said.contains("access rules"), "{said}");
    assert!(!world.copies.join("copy-orders-london").exists());
    drop(serving);
    // The ring is served all the same: to the one whom the rules of that source allow it.
    let rules = std::fs::read_to_string(world.source.join("source.json5")).unwrap();
    std::fs::write(
        world.source.join("source.json5"),
        rules.replace("/quotes/", "/orders/"),
    )
    .unwrap();
    let _serving = world.serve(&world.source.join("orders"));
    let mut mirroring = Running::start(&mut world.mirror(&london, "orders", "london"));
    mirroring.says("mirroring");
    reads(&mut world.reader("orders", "london"), 1);
}
