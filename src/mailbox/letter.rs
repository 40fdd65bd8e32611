//! The format of letters and replies in their queues, and a letter that was received.
//!
//! Layer 7.
//!
//! ```text
//! word 0   bits 0..8 kind, 8..16 bytes of the name, 32..64 row of the client
//! word 1   generation of that row
//! word 2   number of the request, 0 for a letter without
//! then     the name of the client, filled up to a word; not in a reply
//! then     the body
//! ```

use super::receiver::{Answer, Outbox};
use super::ReplyError;
use crate::endpoint::shown;
use crate::queue::Delivery;
use crate::ring::Corrupt;
use crate::segment::CursorName;
use core::ops::Deref;

/// Bytes before the name.
const FIXED: usize = 24;
/// The longest name.
const MAX_NAME: usize = 64;
/// How often a letter is returned because its client cannot be reached.
const MOST_TRIES: u32 = 2;
/// The most that comes before a body.
pub const MAX_HEADER: u32 = (FIXED + MAX_NAME) as u32;

/// What a message in one of the queues is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To a receiver.
    Letter = 1,
    /// To the client that asked.
    Reply = 2,
    /// To the client that asked: there will be no reply.
    Declined = 3,
}

/// Who asked, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Return {
    pub row: u32,
    pub generation: u64,
    /// 0 for a letter that expects no reply.
    pub request: u64,
}

/// What comes before a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    pub kind: Kind,
    pub from: Return,
    pub name: &'a str,
}

impl Header<'_> {
    /// Writes the header and a body into a buffer that is used again.
    pub fn encode(&self, body: &[u8], out: &mut Vec<u8>) {
        let first =
            self.kind as u64 | (self.name.len() as u64) << 8 | u64::from(self.from.row) << 32;
        out.clear();
        for word in [first, self.from.generation, self.from.request] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(self.name.as_bytes());
        out.resize(out.len().next_multiple_of(8), 0);
        out.extend_from_slice(body);
    }
}

/// Parses a message; `None` if it is no letter or reply.
pub fn decode(message: &[u8]) -> Option<(Header<'_>, &[u8])> {
    let (fixed, rest) = message.split_at_checked(FIXED)?;
    let word = |at: usize| {
        let bytes = fixed.get(8 * at..8 * at + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let first = word(0)?;
    let kind = match first & 0xff {
        1 => Kind::Letter,
        2 => Kind::Reply,
        3 => Kind::Declined,
        _ => return None,
    };
    let len = (first >> 8 & 0xff) as usize;
    let (padded, body) = rest.split_at_checked(len.next_multiple_of(8))?;
    let name = core::str::from_utf8(padded.get(..len)?).ok()?;
    let header = Header {
        kind,
        from: Return {
            row: (first >> 32) as u32,
            generation: word(1)?,
            request: word(2)?,
        },
        name,
    };
    Some((header, body))
}

/// A letter, in place. [`ack`](Self::ack) or [`reply`](Self::reply) finishes it. A letter that is dropped
/// instead returns to the mailbox and is delivered again, marked as [`redelivered`](Self::redelivered).
#[must_use = "a letter that is dropped goes back to the mailbox"]
pub struct Letter<'r> {
    delivery: Delivery<'r>,
    outbox: &'r mut Outbox,
    from: Return,
    /// Where in the delivery the name ends, and where the body begins.
    name_end: usize,
    body: usize,
}

shown!([] Letter<'_>, "Letter", |letter| sender = letter.sender(), sequence = letter.delivery.sequence(), len = letter.len());

impl<'r> Letter<'r> {
    /// A message that is no letter is finished and reported as an error.
    pub(super) fn new(delivery: Delivery<'r>, outbox: &'r mut Outbox) -> Result<Self, Corrupt> {
        let parts = decode(&delivery).filter(|(header, _)| {
            header.kind == Kind::Letter && CursorName::new(header.name).is_ok()
        });
        let Some((header, body)) = parts else {
            let len = delivery.len() as u32;
            let sequence = delivery.sequence();
            delivery.ack();
            return Err(Corrupt::Message { sequence, len });
        };
        let (from, name_end) = (header.from, FIXED + header.name.len());
        let body = delivery.len() - body.len();
        Ok(Self {
            delivery,
            outbox,
            from,
            name_end,
            body,
        })
    }

    /// Returns the name of the client that sent it. The client may be gone by now.
    pub fn sender(&self) -> &str {
        let name = self.delivery.get(FIXED..self.name_end);
        // Checked when the letter was made; the bytes do not change after that.
        name.and_then(|name| core::str::from_utf8(name).ok())
            .unwrap_or_default()
    }

    /// Returns `true` if its sender waits, or waited, for a reply.
    pub fn wants_reply(&self) -> bool {
        self.from.request != 0
    }

    /// Returns `true` if it was delivered before to a receiver that died or returned it.
    pub fn redelivered(&self) -> bool {
        self.delivery.redelivered()
    }

    /// Returns how often it was delivered, this time included; at most 255.
    pub fn tries(&self) -> u32 {
        self.delivery.tries()
    }

    /// Sends a reply and finishes the letter, in this order: if this process dies between the two, another
    /// receiver gets the letter, and its reply is late.
    ///
    /// # Errors
    /// [`ReplyError`]; the letter returns to the mailbox then. If its client could not be reached, the
    /// letter returns at most twice, so that another receiver may try; after that it is finished, and the
    /// client's request ends at its deadline.
    pub fn reply(self, body: &[u8]) -> Result<Answer, ReplyError> {
        if !self.wants_reply() {
            return Err(ReplyError::NotAsked);
        }
        let answer = self.outbox.send(Kind::Reply, self.from, body);
        let in_vain = answer.as_ref().is_err_and(ReplyError::is_out_of_reach);
        if answer.is_ok() || in_vain && self.tries() > MOST_TRIES {
            self.delivery.ack();
        }
        answer
    }

    /// Finishes the letter. If it was a request, its sender is told that there will be no reply.
    pub fn ack(self) {
        if self.wants_reply() {
            // If that fails, the sender's request ends at its deadline.
            let _ = self.outbox.send(Kind::Declined, self.from, &[]);
        }
        self.delivery.ack();
    }
}

impl Deref for Letter<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.delivery.get(self.body..).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Letter<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let from = Return {
            row: 7,
            generation: u64::MAX,
            request: 3,
        };
        let mut out = Vec::new();
        let long = "x".repeat(MAX_NAME);
        for name in ["", "a", "exactly8", &long] {
            for body in [&b""[..], b"b", &[9; 1000]] {
                let kind = Kind::Letter;
                let header = Header { kind, from, name };
                header.encode(body, &mut out);
                assert_eq!(decode(&out), Some((header, body)));
                assert!(out.len() <= MAX_HEADER as usize + body.len());
                for cut in 0..out.len() - body.len() {
                    assert_eq!(decode(&out[..cut]), None);
                }
            }
        }
        for kind in [0u8, 4, 255] {
            out[0] = kind;
            assert_eq!(decode(&out), None);
        }
        (out[0], out[24]) = (1, 0xff);
        assert_eq!(decode(&out), None, "no UTF-8");
    }
}
