//! The format of letters and replies in their queues.
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

/// Bytes before the name.
pub const FIXED: usize = 24;
/// The longest name.
const MAX_NAME: usize = 64;
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
