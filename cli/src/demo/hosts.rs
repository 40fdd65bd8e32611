//! The other host of `slipring demo --hosts`: a mirror of the ring, behind a link that is cut in the middle.
//!
//! The bridge's two processes run on this machine. Their link is a relay in this process, so that it can be cut.

use crate::bridge;
use crate::child;
use crate::failure::{Failure, FAILED};
use slipring::Ring;
use std::io::{self, BufRead, BufReader};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the link is cut.
const CUT: Duration = Duration::from_millis(400);

/// What was done to the link.
pub struct Cut {
    /// How far the ring was when it was cut.
    pub sequence: u64,
    /// For how long.
    pub time: Duration,
}

/// The bridge between both hosts.
pub struct Hosts {
    _processes: [Process; 2],
    link: Link,
    mirror: PathBuf,
}

impl Hosts {
    /// Serves the ring, and mirrors it, from its beginning, in the same directory.
    pub fn begin(ring: &Ring, directory: &Path) -> Result<Self, Failure> {
        // The system gives it to no one else for now.
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let serving = SocketAddr::from(([127, 0, 0, 1], port));
        let served = Process::start(
            &["serve"],
            ring.path(),
            &["--listen", &format!("tcp/{serving}")],
        )?;
        let link = Link::begin(serving)?;
        let mirror = directory.join("mirror");
        let connect = format!("tcp/{}", link.address);
        let more = [
            "--name",
            "ticks",
            "--from",
            "0",
            "--timeout",
            "30",
            "--connect",
            &connect,
        ];
        let mirrored = Process::start(&["mirror"], &mirror, &more)?;
        Ok(Self {
            _processes: [served, mirrored],
            link,
            mirror,
        })
    }

    /// The ring on the other host.
    pub fn mirror(&self) -> &Path {
        &self.mirror
    }

    /// Cuts the link once the ring has reached a sequence, or its feed has ended, and mends it.
    pub fn cut(&self, ring: &Ring, at: u64, feed: &mut Child) -> Result<Cut, Failure> {
        let sequence = loop {
            let reached = ring.status()?.next_sequence.unwrap_or(0);
            if reached >= at || feed.try_wait()?.is_some() {
                break reached;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        let began = Instant::now();
        self.link.cut();
        std::thread::sleep(CUT);
        self.link.mend();
        Ok(Cut {
            sequence,
            time: began.elapsed(),
        })
    }
}

/// A process of the bridge, killed when the demo ends.
struct Process(Child);

impl Process {
    /// Starts it, and waits until it says that it has begun.
    fn start(verb: &[&str], ring: &Path, more: &[&str]) -> Result<Self, Failure> {
        let mut command = bridge::command();
        command.args(verb).arg(ring).args(more);
        child::tie(&mut command);
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut process = Self(child.map_err(|error| bridge::failure(&error))?);
        let Some(errors) = process.0.stderr.take() else {
            return Err(Failure::new(FAILED, "the bridge has no output"));
        };
        let mut lines = BufReader::new(errors);
        let (mut line, mut said) = (String::new(), String::new());
        while !line.starts_with("serving") && !line.starts_with("mirroring") {
            // Before, it may say that it has no link yet.
            said.push_str(&std::mem::take(&mut line));
            if lines.read_line(&mut line)? == 0 {
                let message = match said.trim_end() {
                    "" => "slipring-bridge ended without a word",
                    said => said,
                };
                return Err(Failure::new(FAILED, message));
            }
        }
        // What else it says is shown.
        std::thread::spawn(move || io::copy(&mut lines, &mut io::stderr()));
        Ok(process)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Connections that are passed on, unless they are cut.
#[derive(Default)]
struct Connections {
    cut: bool,
    open: Vec<TcpStream>,
}

struct Link {
    address: SocketAddr,
    connections: Arc<Mutex<Connections>>,
}

impl Link {
    /// Passes connections on to an address.
    fn begin(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let link = Self {
            address: listener.local_addr()?,
            connections: Arc::default(),
        };
        let connections = link.connections.clone();
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let mut connections = locked(&connections);
                if !connections.cut {
                    if let Ok(both) = pass_on(near, target) {
                        connections.open.extend(both);
                    }
                }
            }
        });
        Ok(link)
    }

    fn cut(&self) {
        let mut connections = locked(&self.connections);
        connections.cut = true;
        for stream in connections.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn mend(&self) {
        locked(&self.connections).cut = false;
    }
}

fn locked(connections: &Mutex<Connections>) -> MutexGuard<'_, Connections> {
    // A thread that panicked left a list of connections, which is one still.
    connections.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pass_on(near: TcpStream, target: SocketAddr) -> io::Result<[TcpStream; 2]> {
    let far = TcpStream::connect(target)?;
    for stream in [&near, &far] {
        stream.set_nodelay(true)?;
    }
    for (from, to) in [(&near, &far), (&far, &near)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        std::thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Both);
        });
    }
    Ok([near, far])
}
