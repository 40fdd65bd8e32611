//! What rings there are, what is left over, and whether an object is as the specification says.
//!
//! Layer 8. Listing only looks: it maps read-only where it can, populates nothing and takes no lock.

mod catalog;
mod leftover;
mod recover;

pub use crate::check::{check, check_in, Checked, Finding, Report, Rule, Verdict, RULES};
pub use catalog::{default_directory, list, list_in, look_at, remove_at, Entry};
pub use leftover::{leftovers, leftovers_in, Leftover, Why};
pub use recover::{recover, RecoverError, Recovered};
