//! Rings of one host on other hosts: the same messages under the same sequences, every loss an exact gap.
//!
//! | layer | module | holds |
//! |---|---|---|
//! | 0 | [`engine`] | what carries bytes between hosts: a trait, an engine within one process, and Zenoh |
//! | 0 | `keys`, `inbox`, [`error`] | names of what is sent; what came, until a thread looks; what can go wrong |
//! | 1 | [`serve`], [`mirror`] | the two sides of a mirrored ring: one thread each, around the protocol of `slipring-mirror` |
//! | 1 | [`export`], [`import`] | rings to and from programs that know nothing of rings |
//! | 2 | [`command`] | the command `slipring-bridge` |

pub mod command;
pub mod engine;
pub mod error;
pub mod export;
pub mod import;
mod inbox;
mod keys;
pub mod mirror;
pub mod serve;

pub use error::BridgeError;
