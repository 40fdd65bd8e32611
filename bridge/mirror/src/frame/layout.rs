//! The numbers of a frame.

/// The most bytes of a frame. Zenoh sends up to 64 KiB without cutting them up.
pub const LIMIT: usize = 60 << 10;
/// Bytes of the header.
pub const HEADER: usize = 88;
/// The longest message that is sent whole.
pub const LONGEST_WHOLE: usize = LIMIT - HEADER - 8;
/// Most sequences that a gap spans, as in a ring.
pub const FARTHEST: u64 = 1 << 62;

pub(super) const MAGIC: u32 = u32::from_le_bytes(*b"SLMF");
pub(super) const CHECKSUM_AT: usize = 84;

/// What every frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Identity of the ring.
    pub ring: u128,
    /// How many producers the ring has had.
    pub epoch: u64,
    /// The first sequence of the latest one.
    pub epoch_first: u64,
    /// The oldest sequence that the ring still has.
    pub oldest: u64,
    /// When the frame was sent, in nanoseconds since 1970.
    pub wall_ns: u64,
}

/// The numbers of a header that depend on the kind of frame.
#[derive(Clone, Copy, Default)]
pub(super) struct Kind {
    pub number: u16,
    pub extra: u64,
    pub count: u32,
    pub code: u32,
}

pub(super) const MESSAGES: u16 = 1;
pub(super) const PART: u16 = 2;
pub(super) const GAP: u16 = 3;
pub(super) const HEARTBEAT: u16 = 4;
pub(super) const CLOSED: u16 = 5;
