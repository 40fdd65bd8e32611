//! Trusted owners: files of this user, of root, and of users that were named are used.
//!
//! Layer 2. The owner of a ring can cut its files, and write a stream that readers have mapped, even
//! against the modes. So opening compares owners, and messages of another user's ring are copied before
//! they are used.

use super::error::OpenError;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The environment variable that names users whose rings are opened: their numbers, with commas between
/// them.
pub const TRUST_VARIABLE: &str = "SLIPRING_TRUST";

/// Lets this process open objects of any form that belong to another user, from now on.
///
/// Rings of this process's own user and of root are always opened. The environment variable
/// `SLIPRING_TRUST`, a list of user ids with commas between them, does the same for a process that cannot
/// be changed; a process that runs with the privileges of another user than the one that started it does
/// not look at the variable.
///
/// # Guarantees
/// Messages of rings that belong to another user are copied to private memory before they are handed out,
/// so that they do not change while the program reads them. The owner can still truncate a file, which
/// raises a signal that ends the process unless
/// [`guard_against_truncation`](crate::place::guard_against_truncation) was called.
///
/// ```
/// slipring::place::trust_owner(1000);
/// ```
pub fn trust_owner(uid: u32) {
    let mut named = named().lock().unwrap_or_else(PoisonError::into_inner);
    named.insert(uid);
}

fn named() -> &'static Mutex<BTreeSet<u32>> {
    static NAMED: OnceLock<Mutex<BTreeSet<u32>>> = OnceLock::new();
    NAMED.get_or_init(|| Mutex::new(from_environment()))
}

fn from_environment() -> BTreeSet<u32> {
    use rustix::process::{getegid, geteuid, getgid, getuid};
    if getuid() != geteuid() || getgid() != getegid() {
        return BTreeSet::new();
    }
    let text = std::env::var(TRUST_VARIABLE).unwrap_or_default();
    let uids = text.split(',').filter_map(|uid| uid.trim().parse().ok());
    uids.collect()
}

/// Returns `true` if files of this owner may be written by another user than this one and root.
pub fn is_foreign(owner: u32) -> bool {
    owner != 0 && owner != rustix::process::geteuid().as_raw()
}

/// Checks that the files of this owner may be used.
pub fn check_owner(owner: u32, path: &Path) -> Result<(), OpenError> {
    let trusted = || {
        let named = named().lock().unwrap_or_else(PoisonError::into_inner);
        named.contains(&owner)
    };
    if !is_foreign(owner) || trusted() {
        return Ok(());
    }
    Err(OpenError::Stranger {
        path: path.to_owned(),
        owner,
    })
}
