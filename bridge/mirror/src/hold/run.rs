//! Messages that follow each other, as they came in a frame.

use crate::frame::{put_record, record, Messages};

/// Records of messages, of which the first ones may have been written. Never empty until all are.
#[derive(Debug)]
pub(super) struct Run {
    records: Box<[u8]>,
    /// Where the first one lies that was not written.
    at: usize,
    count: u32,
}

impl Run {
    /// All messages of a frame.
    pub fn of(messages: Messages<'_>) -> Self {
        Self {
            records: messages.records().into(),
            at: 0,
            count: messages.remaining(),
        }
    }

    /// One message.
    pub fn one(payload: &[u8]) -> Self {
        let mut records = Vec::new();
        put_record(&mut records, payload);
        Self {
            records: records.into(),
            at: 0,
            count: 1,
        }
    }

    /// How many were not written.
    pub fn count(&self) -> u64 {
        u64::from(self.count)
    }

    /// Bytes of the records of those.
    pub fn bytes(&self) -> u64 {
        (self.records.len() - self.at) as u64
    }

    /// The first message that was not written.
    pub fn first(&self) -> Option<&[u8]> {
        let (payload, _) = record(self.records.get(self.at..)?)?;
        Some(payload)
    }

    /// It was written. Returns its length.
    pub fn pass(&mut self) -> Option<u64> {
        let (payload, left) = record(self.records.get(self.at..)?)?;
        self.at = self.records.len() - left.len();
        self.count -= 1;
        Some(payload.len() as u64)
    }
}
