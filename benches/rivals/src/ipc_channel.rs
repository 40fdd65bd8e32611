//! ipc-channel: channels of bytes over Unix sockets, one each way, blocking.

use ipc_channel::ipc::{
    bytes_channel, IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcSender,
};
use slipring_cli::bench::channel::{Channel, Contender, End, Place};
use slipring_cli::bench::contenders::pairs;
use std::io;

pub const CONTENDERS: [Contender; 1] = [Contender {
    name: "ipc-channel",
    how: "channels of bytes, send and recv, blocking",
    threads: false,
    capacity: false,
    suits: pairs,
    open: |place| crate::boxed(Channels::open(place)),
}];

/// What the second end makes for the first.
type Ends = (IpcBytesSender, IpcBytesReceiver);

struct Channels {
    server: Option<IpcOneShotServer<Ends>>,
    ends: Option<Ends>,
}

fn other(error: impl std::fmt::Debug) -> io::Error {
    io::Error::other(format!("{error:?}"))
}

impl Channels {
    fn open(place: &Place<'_>) -> io::Result<Self> {
        // Servers have names that nobody chooses.
        let name = place.directory.join("server");
        match place.end {
            End::First => {
                let (server, is_called) = IpcOneShotServer::new()?;
                std::fs::write(name, is_called)?;
                Ok(Self {
                    server: Some(server),
                    ends: None,
                })
            }
            End::Second => {
                let (forth_in, forth_out) = bytes_channel()?;
                let (back_in, back_out) = bytes_channel()?;
                let first: IpcSender<Ends> = IpcSender::connect(std::fs::read_to_string(name)?)?;
                first.send((forth_in, back_out)).map_err(other)?;
                Ok(Self {
                    server: None,
                    ends: Some((back_in, forth_out)),
                })
            }
        }
    }

    fn ends(&self) -> io::Result<&Ends> {
        let ends = self.ends.as_ref();
        ends.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Channel for Channels {
    fn start(&mut self) -> io::Result<()> {
        let server = self.server.take().ok_or(io::ErrorKind::NotConnected)?;
        self.ends = Some(server.accept().map_err(other)?.1);
        Ok(())
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        self.ends()?.0.send(message)
    }

    fn receive<R>(&mut self, show: impl FnOnce(&[u8]) -> R) -> io::Result<R> {
        Ok(show(&self.ends()?.1.recv().map_err(other)?))
    }

    fn echo(&mut self, last: impl FnOnce(&[u8]) -> bool) -> io::Result<bool> {
        let ends = self.ends()?;
        let message = ends.1.recv().map_err(other)?;
        let goes_on = !last(&message);
        if goes_on {
            ends.0.send(&message)?;
        }
        Ok(goes_on)
    }
}
