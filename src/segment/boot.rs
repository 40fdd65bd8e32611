//! Boots: which one this is, and whether what a ring holds comes from this one.
//!
//! Layer 2. A file on a disk outlives a crash of the machine, but its pages reach the disk in any order. So a
//! ring that was made in another boot may hold what never was in it together.

use super::attach::Segment;
use rustix::fs::fstatfs;

/// File systems whose files end with the boot.
const IN_MEMORY: [u32; 3] = [
    libc::TMPFS_MAGIC as u32,
    libc::HUGETLBFS_MAGIC as u32,
    // ramfs
    0x8584_58f6,
];

/// A ring that was made in another boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherBoot {
    /// The boot in which it was made.
    pub found: u128,
    /// This boot.
    pub expected: u128,
}

/// The kernel's id of this boot; zero where it does not say.
pub fn boot_id() -> u128 {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    u128::from_str_radix(&text.trim().replace('-', ""), 16).unwrap_or(0)
}

impl Segment {
    /// The boot in which the ring was made, if that is not this one, and if its files have names and do not lie
    /// in memory. `None` where either boot is unknown.
    pub fn other_boot(&self) -> Option<OtherBoot> {
        let files = self.files().filter(|files| files.named)?;
        let found = self.description().boot_id;
        let on_disk = || {
            let system = fstatfs(&files.stream);
            system.is_ok_and(|system| !IN_MEMORY.contains(&(system.f_type as u32)))
        };
        if found == 0 || !on_disk() {
            return None;
        }
        let expected = boot_id();
        (expected != 0 && expected != found).then_some(OtherBoot { found, expected })
    }
}
