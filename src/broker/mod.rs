//! Isolated rings: readers that trust nobody and are trusted by nobody.
//!
//! Layer 8. A broker keeps an anonymous stream and one file per reader, and hands descriptors to those
//! it lets in, over a Unix socket, after asking the kernel who they are. The stream is sealed against
//! every writer but its producer; a reader gets its own row and nobody else's. The broker is not on
//! the path of any message: once it has handed out descriptors it may die.

mod client;
mod error;
mod listen;
mod server;
mod stream;
mod wire;

pub use error::{BrokerError, ConnectError};
pub use server::Broker;

/// Whether bytes are a request that a broker understands; reachable for the fuzzing of it.
#[doc(hidden)]
pub fn decode_broker_request(bytes: &[u8]) -> bool {
    wire::Request::decode(bytes).is_some()
}

/// Who may read an isolated ring. Its producer is always of the broker's own user, or root.
#[derive(Clone, Debug, Default)]
pub struct Access {
    users: Vec<u32>,
    groups: Vec<u32>,
}

impl Access {
    /// The broker's own user, and root.
    pub fn own_user() -> Self {
        Self::default()
    }

    /// And this user.
    #[must_use]
    pub fn user(mut self, uid: u32) -> Self {
        self.users.push(uid);
        self
    }

    /// And whoever has this primary group.
    #[must_use]
    pub fn group(mut self, gid: u32) -> Self {
        self.groups.push(gid);
        self
    }

    fn is_private(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty()
    }

    fn may_produce(uid: u32) -> bool {
        uid == 0 || uid == rustix::process::geteuid().as_raw()
    }

    fn may_read(&self, uid: u32, gid: u32) -> bool {
        Self::may_produce(uid) || self.users.contains(&uid) || self.groups.contains(&gid)
    }
}
