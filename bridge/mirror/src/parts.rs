//! Messages in parts, put together again.
//!
//! The parts of a message come in order, or the message counts as not received: it is asked for again. So one
//! message at a time is under way, and its memory grows only by bytes that came.

/// A message of which not all parts came yet.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    sequence: u64,
    total: u32,
    bytes: Vec<u8>,
}

impl Parts {
    /// Adds a part. Returns the message if it was the last one. A part that does not continue the message under
    /// way discards that; one at 0 begins a message.
    pub fn add(&mut self, sequence: u64, offset: u32, total: u32, part: &[u8]) -> Option<Vec<u8>> {
        let continues =
            sequence == self.sequence && total == self.total && offset as usize == self.bytes.len();
        if !continues || offset == 0 {
            self.bytes.clear();
            if offset != 0 {
                return None;
            }
            (self.sequence, self.total) = (sequence, total);
        }
        self.bytes.extend(part);
        if self.bytes.len() < total as usize {
            return None;
        }
        Some(core::mem::take(&mut self.bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::Parts;

    #[test]
    fn a_message_is_whole_or_not_there() {
        let mut parts = Parts::default();
        assert_eq!(parts.add(7, 0, 6, b"ab"), None);
        assert_eq!(parts.add(7, 2, 6, b"cd"), None);
        assert_eq!(parts.add(7, 4, 6, b"ef"), Some(b"abcdef".to_vec()));
        // The last part again, another message's, one that was skipped, and one that came twice.
        assert_eq!(parts.add(7, 4, 6, b"ef"), None);
        assert_eq!(parts.add(8, 0, 4, b"ab"), None);
        assert_eq!(parts.add(9, 2, 4, b"cd"), None);
        assert_eq!(parts.add(8, 2, 4, b"cd"), None);
        assert_eq!(parts.add(8, 0, 6, b"ab"), None);
        assert_eq!(parts.add(8, 0, 6, b"ab"), None);
        assert_eq!(parts.add(8, 2, 6, b"cdef"), Some(b"abcdef".to_vec()));
    }
}
