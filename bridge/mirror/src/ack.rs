//! What a mirror tells its source: how far it has written.

use crate::name::Name;
use crate::wire::{put_block, seal, unsealed, Fields};
use crate::VERSION;

const MAGIC: u32 = u32::from_le_bytes(*b"SLMA");

/// How far a mirror is.
///
/// On the network: magic `SLMA`, version (2 bytes), 0 (2), ring (16), instance (8), next (8), lost (8), length of
/// the name (4), name, CRC-32 of all this (4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Identity of the source ring.
    pub ring: u128,
    /// Which mirror.
    pub name: Name,
    /// Tells two mirrors of one name apart.
    pub instance: u64,
    /// The first sequence that it has not written yet.
    pub next: u64,
    /// How many sequences it wrote gaps for, because they were lost.
    pub lost: u64,
}

impl Ack {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        out.extend(MAGIC.to_le_bytes());
        out.extend(VERSION.to_le_bytes());
        out.extend([0; 2]);
        out.extend(self.ring.to_le_bytes());
        let words = [self.instance, self.next, self.lost];
        out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        put_block(&mut out, self.name.as_str().as_bytes());
        seal(&mut out);
        out
    }

    /// Returns what the bytes say; `None` if they are no acknowledgement of this version.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(unsealed(bytes)?);
        if (fields.u32()?, fields.u16()?, fields.u16()?) != (MAGIC, VERSION, 0) {
            return None;
        }
        let ring = fields.u128()?;
        let (instance, next, lost) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let name = fields.text()?.parse().ok()?;
        fields.is_empty().then_some(Self {
            ring,
            name,
            instance,
            next,
            lost,
        })
    }
}
