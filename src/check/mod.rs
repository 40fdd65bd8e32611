//! Whether an object is as the specification says, rule by rule.
//!
//! Layer 3: above the layout and the files, beside the protocol, of which it uses nothing, so that it does not repeat
//! its mistakes. It opens and maps for reading, takes no row and no lock, and writes nothing. What it reads may be
//! anything, and may change meanwhile: each word is read once, each loop is bounded by the sizes of the object, and the
//! loads are in an order in which a rule that holds at every instant is never seen broken. The few rules that are broken
//! for an instant are looked at again.
//!
//! The rules are in `rule`, what was found in `report`. `files`, `page`, `control`, `stream`, `walk` and `forms` look at the parts,
//! `object` puts them together.
#![forbid(unsafe_code)]

mod control;
mod files;
mod forms;
mod object;
mod page;
mod report;
mod rule;
mod stream;
mod view;
mod walk;

pub use object::{check, check_in, Checked};
pub use report::{Finding, Report, Verdict};
pub use rule::{Rule, RULES};
