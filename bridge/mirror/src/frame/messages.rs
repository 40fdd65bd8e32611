//! The body of a frame of messages.

/// The messages of a frame, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Messages<'a> {
    next: u64,
    count: u32,
    shortest: u32,
    longest: u32,
    left: &'a [u8],
}

/// Bytes of a message of this length in a frame: its length, the payload, and what fills it up.
pub const fn record_bytes(len: usize) -> usize {
    (len + 4).next_multiple_of(8)
}

/// The payload of the first record, and what follows that.
pub(crate) fn record(records: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = u32::from_le_bytes(*records.first_chunk()?) as usize;
    let (record, left) = records.split_at_checked(record_bytes(len))?;
    Some((record.get(4..4 + len)?, left))
}

/// Adds the record of a message.
pub(crate) fn put_record(out: &mut Vec<u8>, payload: &[u8]) {
    let end = out.len() + record_bytes(payload.len());
    out.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    out.extend_from_slice(payload);
    out.resize(end, 0);
}

impl<'a> Messages<'a> {
    pub(super) fn checked(first: u64, count: u32, body: &'a [u8]) -> Option<Self> {
        let messages = Self {
            next: first,
            count,
            shortest: u32::MAX,
            longest: 0,
            left: body,
        };
        let (mut rest, mut found) = (messages, 0);
        let (mut shortest, mut longest) = (messages.shortest, messages.longest);
        for (_, payload) in rest.by_ref() {
            found += 1;
            shortest = shortest.min(payload.len() as u32);
            longest = longest.max(payload.len() as u32);
        }
        let filled = count > 0 && found == count && rest.left.is_empty();
        filled.then_some(Self {
            shortest,
            longest,
            ..messages
        })
    }

    /// Returns the sequence of the next one.
    pub fn first(&self) -> u64 {
        self.next
    }

    /// Returns the length of the shortest message of the frame.
    pub fn shortest(&self) -> u32 {
        self.shortest
    }

    /// Returns the length of the longest message of the frame.
    pub fn longest(&self) -> u32 {
        self.longest
    }

    /// Returns the records of those that are left.
    pub(crate) fn records(&self) -> &'a [u8] {
        self.left
    }

    /// Returns how many are left.
    pub fn remaining(&self) -> u32 {
        self.count
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if self.count == 0 {
            return None;
        }
        let (payload, left) = record(self.left)?;
        let sequence = self.next;
        self.next = sequence.wrapping_add(1);
        self.count -= 1;
        self.left = left;
        Some((sequence, payload))
    }
}
