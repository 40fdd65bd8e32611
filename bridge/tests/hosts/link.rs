//! A link between two hosts that can be cut, and can stall in either direction.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};

/// Connections to one port go to another.
pub struct Link {
    pub port: u16,
    open: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    /// To the target, and back from it.
    stalled: Arc<(Mutex<[bool; 2]>, Condvar)>,
}

impl Link {
    pub fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let link = Self {
            port,
            open: Arc::new(AtomicBool::new(true)),
            streams: Arc::default(),
            stalled: Arc::default(),
        };
        let (opens, kept, stalled) = (
            link.open.clone(),
            link.streams.clone(),
            link.stalled.clone(),
        );
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                if !opens.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(far) = TcpStream::connect(("127.0.0.1", target)) else {
                    continue;
                };
                for (direction, from, to) in [(0, &near, &far), (1, &far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let stalled = stalled.clone();
                    std::thread::spawn(move || forward(from, to, direction, &stalled));
                }
                kept.extend([near, far]);
            }
        });
        link
    }

    /// Every connection ends, and no new one succeeds.
    pub fn cut(&self) {
        let mut streams = self.streams.lock().unwrap();
        self.open.store(false, Ordering::SeqCst);
        for stream in streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Connections stay, but nothing goes through in these directions.
    pub fn stall(&self, directions: [bool; 2]) {
        *self.stalled.0.lock().unwrap() = directions;
        self.stalled.1.notify_all();
    }

    pub fn mend(&self) {
        self.open.store(true, Ordering::SeqCst);
        self.stall([false; 2]);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.cut();
        self.stall([false; 2]);
    }
}

fn forward(
    mut from: TcpStream,
    mut to: TcpStream,
    direction: usize,
    stalled: &(Mutex<[bool; 2]>, Condvar),
) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(n) = from.read(&mut bytes) {
        let is = stalled.0.lock().unwrap();
        drop(stalled.1.wait_while(is, |is| is[direction]).unwrap());
        if n == 0 || to.write_all(&bytes[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
