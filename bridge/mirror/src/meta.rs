//! What a source says of its ring when it is asked: what a mirror has to know before the first frame.

use crate::name::Name;
use crate::wire::{put_block, seal, unsealed, Fields};
use crate::VERSION;
use core::fmt;

const MAGIC: u32 = u32::from_le_bytes(*b"SLMM");
const REQUIRED: u16 = 1;
const TAKEN: u16 = 2;
const CLOSED: u16 = 4;
const STAMPS: u16 = 8;

/// A schema of another system, as the source's ring has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opaque {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What a source says of its ring, and to the mirror that asked.
///
/// On the network: magic `SLMM`, version (2 bytes), flags (2: 1 required, 2 taken, 4 closed, 8 stamps), ring (16),
/// epoch, epoch's first, oldest, next, capacity (8 each), alignment of frames, readers, longest message (4 each), then host, ring's name,
/// schema, kind, name and bytes of the schema of another system (each a length in 4 bytes, and so many bytes; a schema
/// that the ring does not have is empty), CRC-32 of all this (4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Identity of the ring.
    pub ring: u128,
    /// How many producers it has had.
    pub epoch: u64,
    /// The first sequence of the latest one.
    pub epoch_first: u64,
    /// The oldest sequence that it still has.
    pub oldest: u64,
    /// The sequence behind the last one that was sent.
    pub next: u64,
    /// Bytes of the ring's data.
    pub capacity: u64,
    /// Alignment of its frames.
    pub frame_align: u32,
    /// How many readers it may have.
    pub max_readers: u32,
    /// Bytes of the longest message that it takes.
    pub longest: u32,
    /// Whether its messages have stamps.
    pub stamps: bool,
    /// Whether its producer closed it.
    pub closed: bool,
    /// Whether the source waits for the mirror that asked.
    pub required: bool,
    /// Whether a mirror of the name that asked is alive, and is another one.
    pub taken: bool,
    /// The name of the source's host.
    pub host: String,
    /// The name of the ring.
    pub name: Name,
    /// The text of its schema; empty for none.
    pub schema: String,
    /// Its schema of another system.
    pub opaque: Option<Opaque>,
}

/// Why an answer cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetaError {
    /// It is of another version of the protocol.
    Version {
        /// Which.
        found: u16,
    },
    /// It is damaged, or no description of a ring.
    Damaged,
}

impl fmt::Display for MetaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version { found } => write!(
                f,
                "the source speaks version {found}, and this program version {VERSION}: run the same version of slipring-bridge on both hosts"
            ),
            Self::Damaged => f.write_str("the answer of the source is damaged"),
        }
    }
}

impl std::error::Error for MetaError {}

impl Meta {
    /// Its bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        out.extend(MAGIC.to_le_bytes());
        out.extend(VERSION.to_le_bytes());
        let flag = |set, flag| if set { flag } else { 0 };
        let flags = flag(self.required, REQUIRED)
            | flag(self.taken, TAKEN)
            | flag(self.closed, CLOSED)
            | flag(self.stamps, STAMPS);
        out.extend(flags.to_le_bytes());
        out.extend(self.ring.to_le_bytes());
        let words = [
            self.epoch,
            self.epoch_first,
            self.oldest,
            self.next,
            self.capacity,
        ];
        out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        out.extend(self.frame_align.to_le_bytes());
        out.extend(self.max_readers.to_le_bytes());
        out.extend(self.longest.to_le_bytes());
        put_block(&mut out, self.host.as_bytes());
        put_block(&mut out, self.name.as_str().as_bytes());
        put_block(&mut out, self.schema.as_bytes());
        let none = (&String::new(), &String::new(), &Vec::new());
        let opaque = self.opaque.as_ref();
        let (kind, name, bytes) = opaque.map_or(none, |o| (&o.kind, &o.name, &o.bytes));
        put_block(&mut out, kind.as_bytes());
        put_block(&mut out, name.as_bytes());
        put_block(&mut out, bytes);
        seal(&mut out);
        out
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// [`MetaError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MetaError> {
        let mut fields = Fields::new(bytes);
        if fields.u32() != Some(MAGIC) {
            return Err(MetaError::Damaged);
        }
        match fields.u16() {
            Some(VERSION) => {}
            Some(found) => return Err(MetaError::Version { found }),
            None => return Err(MetaError::Damaged),
        }
        Self::fields(bytes).ok_or(MetaError::Damaged)
    }

    fn fields(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(unsealed(bytes)?);
        fields.bytes(6)?;
        let flags = fields.u16()?;
        let is = |flag| flags & flag != 0;
        let meta = Self {
            ring: fields.u128()?,
            epoch: fields.u64()?,
            epoch_first: fields.u64()?,
            oldest: fields.u64()?,
            next: fields.u64()?,
            capacity: fields.u64()?,
            frame_align: fields.u32()?,
            max_readers: fields.u32()?,
            longest: fields.u32()?,
            required: is(REQUIRED),
            taken: is(TAKEN),
            closed: is(CLOSED),
            stamps: is(STAMPS),
            host: fields.text()?.to_owned(),
            name: fields.text()?.parse().ok()?,
            schema: fields.text()?.to_owned(),
            opaque: {
                let (kind, name) = (fields.text()?.to_owned(), fields.text()?.to_owned());
                let bytes = fields.block()?.to_vec();
                (!kind.is_empty()).then_some(Opaque { kind, name, bytes })
            },
        };
        (fields.is_empty() && flags < 16).then_some(meta)
    }
}
