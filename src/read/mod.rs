//! How far behind the producer a reader reads, and whether it flushes what it has read.
//!
//! Layer 4, above `wait` and below the handles. [`ReadPolicy`] is what the caller asks for, [`Pacing`] what a
//! reader does then, as plain data. [`ReadControl`] is what a handle holds: it carries the policy out. The
//! mechanism, pauses and flushes, is in `pacer`; the decisions of [`ReadPolicy::Auto`] are in `auto`, which never
//! pauses by itself. Never: knowledge of frames or handles.
//!
//! `docs/internals/adaptive-reading.md` has the states, the constants and the measurements behind them.

mod auto;
mod control;
mod pacer;
mod policy;
mod progress;

pub use control::ReadControl;
pub use policy::{Pacing, ReadPolicy};
pub use progress::Progress;
