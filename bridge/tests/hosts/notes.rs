//! What a reader of a mirror notes, so that its death loses no note.

/// What a reader notes: numbers, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    pub kind: u64,
    pub sequence: u64,
    pub missed: u64,
    /// Where the gap right before the message begins; the sequence itself if there is none.
    pub gap: u64,
    /// Whether that was lost on the way.
    pub lost: u64,
    /// How far the source was when the reader found that sequences are missing.
    pub source: u64,
}

pub const BEGAN: u64 = 1;
pub const RECEIVED: u64 = 2;
pub const EPOCH: u64 = 3;
/// A divisor of the size of a page: a kill may cut a write short where a page ends, and nowhere else.
pub const NOTE: usize = 64;

impl Note {
    pub fn bytes(self) -> [u8; NOTE] {
        let mut bytes = [0; NOTE];
        let Self {
            kind,
            sequence,
            missed,
            gap,
            lost,
            source,
        } = self;
        for (at, n) in [kind, sequence, missed, gap, lost, source]
            .iter()
            .enumerate()
        {
            bytes[8 * at..8 * at + 8].copy_from_slice(&n.to_le_bytes());
        }
        bytes
    }

    pub fn of(bytes: &[u8]) -> Self {
        let at = |n: usize| u64::from_le_bytes(bytes[8 * n..8 * n + 8].try_into().unwrap());
        Self {
            kind: at(0),
            sequence: at(1),
            missed: at(2),
            gap: at(3),
            lost: at(4),
            source: at(5),
        }
    }

    pub fn new(kind: u64, sequence: u64) -> Self {
        Self {
            kind,
            sequence,
            missed: 0,
            gap: sequence,
            lost: 0,
            source: 0,
        }
    }
}
