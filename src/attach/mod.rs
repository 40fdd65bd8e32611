//! What attached objects of all forms have in common: [`Attachment`].
//!
//! Layer 5, below `endpoint`. The memory of an object, the roles and rows in it, whether it is still there, how
//! it is described and created. Knows no messages: forms that carry none stand on this alone.

mod attachment;
mod builder;
mod difference;
mod error;
mod lease;
pub(crate) mod member;
mod origin;
mod roles;
mod shown;
mod state;

pub(crate) use attachment::Attachment;
pub use attachment::RingFiles;
pub use builder::Builder;
pub use difference::Difference;
pub use error::AttachError;
pub(crate) use error::{poisoned, removed, FORKED};
pub(crate) use lease::Lease;
pub(crate) use origin::Origin;
pub(crate) use shown::shown;
pub use state::StatusError;
