//! In which order large copies are stored.
//!
//! Layer 2. A matter of caches alone: readers are promised nothing about a payload before its commit word.

/// In which order a copy of more than a few lines is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Upwards, on into what is copied next: the processor asks for the lines ahead of a stream of stores.
    Up,
    /// Downwards. The line that readers poll is taken from them last, when all that it waits for is there, and
    /// no line is asked for that is not needed yet.
    Down,
}
