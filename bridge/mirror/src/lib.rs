//! The protocol by which a ring of one host appears on other hosts: the same messages under the same sequences,
//! in order, none twice, and every loss an exact gap.
//!
//! Nothing here reads or writes a ring or a network, or asks a clock. A program feeds what it reads into a
//! [`Source`] or a [`Mirror`], with the time, and does what they say. So every order of events can be tested.
//!
//! | module | holds |
//! |---|---|
//! | [`frame`] | what a source sends: messages, parts of messages, gaps, heartbeats |
//! | [`meta`], [`ack`], [`request`] | what else goes over the network |
//! | [`pack`] | building frames |
//! | [`source`], [`answer`] | the sending side, and answers to mirrors that ask for what they lack |
//! | [`mirror`] | the receiving side |
//!
//! A time is a [`Duration`](core::time::Duration) since any moment that the program chooses, and does not go
//! back. Wall-clock times are nanoseconds since 1970, and are only passed on.

pub mod ack;
pub mod answer;
mod credit;
pub mod frame;
mod hold;
pub mod meta;
pub mod mirror;
pub mod name;
pub mod pack;
mod parts;
pub mod request;
pub mod source;
mod wire;

pub use ack::Ack;
pub use answer::Answer;
pub use frame::{Frame, FrameError};
pub use meta::Meta;
pub use mirror::Mirror;
pub use name::{Name, NameError};
pub use request::Request;
pub use source::Source;

/// The version of everything that goes over the network. Sides of different versions refuse each other.
pub const VERSION: u16 = 1;

/// A moment: the time since one that the program chose.
pub type Moment = core::time::Duration;
