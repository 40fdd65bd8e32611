//! The owner, group and mode of a ring, for rings that lie inside it.
//!
//! Layer 2. A form may make rings inside its own directory at any later time, in any process of its owner,
//! or of root. They are for the same users as the form itself, so their files get the same owner, group and
//! mode.

use super::attach::{Files, Segment};
use super::error::OpenError;
use rustix::fs::{fchown, fstat, Gid, Uid};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;

/// The owner, the group and the mode of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The mode it was created with, without bits that grant nothing.
    pub mode: u32,
    uid: u32,
    gid: u32,
}

impl Access {
    /// Gives a new file to the same owner and group, if it is not theirs already.
    ///
    /// # Errors
    /// This user may not change the group, and the mode grants something to the group.
    pub(super) fn give(self, file: &OwnedFd) -> io::Result<()> {
        let stat = fstat(file)?;
        let root = rustix::process::geteuid().is_root();
        let uid = (root && stat.st_uid != self.uid).then(|| Uid::from_raw(self.uid));
        let gid = (stat.st_gid != self.gid).then(|| Gid::from_raw(self.gid));
        if uid.is_none() && gid.is_none() {
            return Ok(());
        }
        match fchown(file, uid, gid) {
            Err(_) if self.mode & 0o060 == 0 => Ok(()),
            result => Ok(result?),
        }
    }
}

impl Segment {
    /// The access of a ring; `None` for a ring that lies in no files.
    ///
    /// # Errors
    /// [`OpenError`] if the files cannot be inspected.
    pub fn access(&self) -> Result<Option<Access>, OpenError> {
        let io = |e: Errno| OpenError::io("inspect", self.path(), e.into());
        let Some(Files {
            stream, control, ..
        }) = self.files()
        else {
            return Ok(None);
        };
        let stream = fstat(stream).map_err(io)?;
        let control = control.as_ref().map(fstat).transpose().map_err(io)?;
        let mut mode = 0o600;
        for shift in [3, 0] {
            let bits = |stat: &rustix::fs::Stat| stat.st_mode >> shift & 7;
            if bits(&stream) & 4 != 0 {
                mode |= 4 << shift;
                if control.as_ref().is_some_and(|stat| bits(stat) & 2 != 0) {
                    mode |= 2 << shift;
                }
            }
        }
        Ok(Some(Access {
            mode,
            uid: stream.st_uid,
            gid: stream.st_gid,
        }))
    }
}
