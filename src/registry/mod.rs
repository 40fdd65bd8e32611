//! What rings there are.
//!
//! Layer 8. Listing only looks: it maps read-only where it can, populates nothing and takes no lock.

mod catalog;

pub use catalog::{default_directory, list, list_in, Entry};
