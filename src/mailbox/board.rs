//! The words of a mailbox that every process may write: what each client waits for, and how many replies came too late.
//!
//! Layer 7.

use crate::attach::Attachment;
use crate::sync::{AtomicU64, Ordering::Relaxed};

/// The most clients a mailbox may have.
const MAX_CLIENTS: u32 = 1024;
/// Words of the board from one client's to the next one's: a line.
const STRIDE: u32 = 8;

/// How many words there are for so many clients.
pub fn board_words(clients: u32) -> u32 {
    STRIDE * (clients.min(MAX_CLIENTS) + 1)
}

/// How many replies came too late.
pub fn late_count(attachment: &Attachment) -> Option<&AtomicU64> {
    attachment.segment().reader().board(0)
}

pub fn count_late(attachment: &Attachment) {
    if let Some(count) = late_count(attachment) {
        count.fetch_add(1, Relaxed);
    }
}

/// The number of the request that the client in a row waits for; 0 while it waits for none.
pub fn awaited(attachment: &Attachment, row: u32) -> Option<&AtomicU64> {
    let at = row.checked_add(1)?.checked_mul(STRIDE)?;
    attachment.segment().reader().board(at)
}
