//! What queues need whose readers may lose the last message: a way for the reader to say that it has it.

use slipring_cli::bench::channel::Place;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A file that is there once the receiver has the last message.
pub struct Heard(PathBuf);

impl Heard {
    pub fn new(place: &Place<'_>) -> Self {
        Self(place.directory.join("heard"))
    }

    /// At the receiver.
    pub fn tell(&self) -> io::Result<()> {
        File::create(&self.0).map(|_| ())
    }

    /// At the receiver, before the next run: it has not heard the last message of that one.
    pub fn forget(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// At the sender: sends again until the receiver has said so.
    pub fn repeat(&self, mut send: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        loop {
            send()?;
            if self.0.exists() {
                return Ok(());
            }
            // A reader that was overrun begins anew behind all that is there, and hears the next one.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
