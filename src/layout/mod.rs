//! What lies where: geometry, the description page, the shared lines, and the frame.
//!
//! Layer 1. Imports `sync`. Never: I/O, unsafe code. Everything in this folder is either pure arithmetic
//! over private bytes or the declaration of a shared struct; `docs/reference/protocol.md` describes the same, and a
//! test compares the two.

pub mod description;
pub mod field;
pub mod form;
pub mod frame;
pub mod gap;
pub mod geometry;
pub mod hint;
pub mod histogram;
pub mod kind;
pub mod lines;
pub mod opaque;
pub mod origin;
pub mod page;
pub mod queue;
pub mod refusal;
pub mod schema;
