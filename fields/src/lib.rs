//! Messages of rings as JSON or words, and JSON back to bytes, as the schema of their ring and its hints say. The
//! command-line tool and the bridge to other hosts print and read the same JSON by this.

mod fields;
mod json;
mod time;

pub use fields::{decode, describe, encode, line};
pub use json::{hex, json, unknown};
