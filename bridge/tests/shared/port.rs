//! Ports at which processes listen that are started later, and again after they were killed.

use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Mutex;

/// A port at which nothing listens. The system gives it to no connection, and no other call gives it away, in this process or
/// another one, as long as this process lives.
pub fn free_port() -> u16 {
    static KEPT: Mutex<Vec<UnixDatagram>> = Mutex::new(Vec::new());
    let given = given_to_connections();
    let mut ports: Vec<u16> = (10_000..=u16::MAX)
        .filter(|port| !given.contains(port))
        .collect();
    if ports.is_empty() {
        ports = (10_000..=u16::MAX).collect();
    }
    // Processes that look at the same time do not begin at the same port.
    let begin = std::process::id() as usize * 97 % ports.len();
    ports.rotate_left(begin);
    for port in ports {
        // Such a name is gone with the process that has it.
        let name = format!("slipring-bridge-tests-{port}");
        let name = SocketAddr::from_abstract_name(name).unwrap();
        let Ok(kept) = UnixDatagram::bind_addr(&name) else {
            continue;
        };
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            KEPT.lock().unwrap().push(kept);
            return port;
        }
    }
    panic!("no port is free");
}

/// The ports that the system gives to connections, and to listeners that name none.
fn given_to_connections() -> RangeInclusive<u16> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let range = range.unwrap_or_default();
    let mut ends = range.split_whitespace().map(str::parse);
    match (ends.next(), ends.next()) {
        (Some(Ok(first)), Some(Ok(last))) => first..=last,
        _ => 32_768..=60_999,
    }
}

#[test]
fn a_port_is_given_once() {
    let ports: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| [(); 8].map(|()| free_port())))
            .collect();
        let given = threads.into_iter().map(|thread| thread.join().unwrap());
        given.flatten().collect()
    });
    let other: std::collections::BTreeSet<_> = ports.iter().collect();
    assert_eq!(other.len(), ports.len());
    // Each is there for who listens, and again.
    for port in ports {
        for _ in 0..2 {
            drop(TcpListener::bind(("127.0.0.1", port)).unwrap());
        }
    }
}
