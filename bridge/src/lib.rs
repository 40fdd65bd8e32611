//! Rings of one host on other hosts: the same messages under the same sequences, every loss an exact gap.
//!
//! | layer | module | holds |
//! |---|---|---|
//! | 0 | [`engine`] | what carries bytes between hosts: a trait, an engine within one process, and Zenoh |
//! | 0 | `keys`, `inbox`, [`encoding`], [`error`] | names of what is sent; what came, until a thread looks; messages as CDR and JSON; what can go wrong |
//! | 0 | `punctual` | sleeps that end when they should |
//! | 0 | [`clock`], `latency`, [`stat`], `report` | what is measured and counted, and who is told |
//! | 1 | [`serve`], [`mirror`] | the two sides of a mirrored ring, around the protocol of `slipring-mirror`: one thread each, and those of the engine |
//! | 1 | [`export`], [`import`] | rings to and from programs that know nothing of rings |
//! | 2 | [`command`], `show` | the command `slipring-bridge` |

pub mod clock;
pub mod command;
pub mod encoding;
pub mod engine;
pub mod error;
pub mod export;
pub mod import;
mod inbox;
mod keys;
mod latency;
pub mod mirror;
mod punctual;
mod report;
pub mod serve;
mod show;
pub mod stat;

pub use error::BridgeError;
