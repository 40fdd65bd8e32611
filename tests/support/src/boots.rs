//! Rings on a disk, as a machine that stopped and was started anew leaves them.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A boot that is not this one.
pub const OTHER: u128 = 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10;

/// A directory on a disk, and the path of a ring in it; `None` if `under` lies in memory, where rings do not
/// outlive a boot.
pub fn on_disk(under: &str) -> Option<(tempfile::TempDir, PathBuf)> {
    let directory = tempfile::tempdir_in(under).unwrap();
    if rustix::fs::statfs(directory.path()).unwrap().f_type == libc::TMPFS_MAGIC {
        eprintln!("skipped: {under} lies in memory");
        return None;
    }
    let path = directory.path().join("ring");
    Some((directory, path))
}

/// The boot in which a ring was made, as its file says.
pub fn boot_of(path: &Path) -> u128 {
    let page = fs::read(path.join("stream")).unwrap();
    u128::from_le_bytes(page[128..144].try_into().unwrap())
}

/// Makes a ring, and the rings inside it, be of another boot.
pub fn age(path: &Path, boot: u128) {
    let stream = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path.join("stream"))
        .unwrap();
    let mut page = [0; 4096];
    stream.read_exact_at(&mut page, 0).unwrap();
    page[128..144].copy_from_slice(&boot.to_le_bytes());
    let sum = slipring::layout::schema::fnv1a(&page[..4088]);
    page[4088..].copy_from_slice(&sum.to_le_bytes());
    stream.write_all_at(&page, 0).unwrap();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            age(&entry.path(), boot);
        }
    }
}
