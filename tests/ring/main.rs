//! Rings in one process: every way to use them, and what was never published.

mod adopted;
mod adversary;
mod boots;
mod conflated;
mod counts;
mod files;
mod latency;
mod losses;
mod opaque;
mod properties;
mod removal;
mod schema;
mod waiting;
