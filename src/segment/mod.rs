//! Where a ring's bytes come from, and the seam through which everything above sees them.
//!
//! Layer 2. Imports `sync` and `layout`. Knows files, mappings, locks and copies; knows nothing of
//! the protocol. [`Memory`] is the seam: a native build overlays the shared structs on validated
//! bytes, the model build constructs the same structs. From `Memory` upward every line of code is
//! the same in both.

#[cfg(not(slipring_loom))]
mod access;
#[cfg(not(slipring_loom))]
mod adopted;
#[cfg(not(slipring_loom))]
mod appear;
#[cfg(not(slipring_loom))]
mod attach;
#[cfg(not(slipring_loom))]
mod boot;
#[cfg(not(slipring_loom))]
mod checks;
#[cfg(not(slipring_loom))]
pub mod copy;
#[cfg(not(slipring_loom))]
mod create;
#[cfg(not(slipring_loom))]
mod directory;
#[cfg(not(slipring_loom))]
mod error;
#[cfg(not(slipring_loom))]
mod fork;
#[cfg(not(slipring_loom))]
mod guard;
#[cfg(not(slipring_loom))]
mod half;
#[cfg(not(slipring_loom))]
pub mod isolated;
#[cfg(not(slipring_loom))]
mod lock;
#[cfg(not(slipring_loom))]
mod look;
#[cfg(not(slipring_loom))]
mod memfd;
#[cfg(not(slipring_loom))]
mod memory;
#[cfg(not(slipring_loom))]
mod name;
#[cfg(not(slipring_loom))]
mod opaque;
#[cfg(not(slipring_loom))]
mod place;
#[cfg(not(slipring_loom))]
mod region;
#[cfg(not(slipring_loom))]
mod remove;
#[cfg(not(slipring_loom))]
mod replace;
#[cfg(not(slipring_loom))]
mod reserve;
#[cfg(not(slipring_loom))]
mod trust;
#[cfg(not(slipring_loom))]
mod words;
#[cfg(all(not(slipring_loom), feature = "shared_memory"))]
pub use adopted::{adopt, format};
#[cfg(not(slipring_loom))]
pub use memfd::{anonymous, from_files};
#[cfg(not(slipring_loom))]
pub use {
    access::Access,
    appear::{Set, Watch},
    attach::{trouble::Trouble, Files, MappingOptions, Segment},
    boot::{boot_id, OtherBoot},
    create::{create, Created, Plan},
    directory::{bytes_inside, children, list, open, random, Listing},
    error::{CreateError, OpenError, RemoveError},
    fork::Canary,
    guard::install as guard_against_truncation,
    half::{halves, Half},
    lock::{Held, Locks, Role},
    look::{Facts, Folder, Look, Seen},
    memory::{identify, Memory},
    name::{CursorName, Location, NameError},
    place::Place,
    remove::{claim_segment, damaged, is_used, remove},
    replace::replace,
    trust::trust_owner,
    words::{can_flush, prefetch_for_write, Words},
};

#[cfg(not(slipring_loom))]
pub(crate) use error::wrapping;

mod order;
pub use order::{is_short, Order};

#[cfg(slipring_loom)]
mod model;
#[cfg(slipring_loom)]
pub use model::{prefetch_for_write, Memory, Words};
