//! Isolated rings: readers that trust no other process and are trusted by none.
//!
//! Layer 8. A broker keeps an anonymous stream and one file per row, and hands descriptors to those it lets
//! in, over a Unix socket, after asking the kernel for their user and group. The stream is sealed against
//! every writer but its producer; a reader gets its own row and no other, and no row that another user has
//! had. The broker is not on the path of any message: once it has handed out descriptors it may die.

mod access;
mod admit;
mod client;
mod cursors;
mod error;
mod listen;
mod outcome;
mod server;
mod stream;
mod wire;

pub use access::Access;
pub use error::{BrokerError, ConnectError};
pub use server::Broker;

/// Returns `true` if the bytes are a valid request to a broker. Public for fuzzing.
#[doc(hidden)]
pub fn decode_broker_request(bytes: &[u8]) -> bool {
    wire::Request::decode(bytes).is_some()
}
