//! Page 0 of `stream`: the constant description of a ring.
//!
//! Layer 1. Pure functions between a [`Description`] and the 4096 bytes of the page. A process that
//! attaches copies the page into private memory once, decodes that copy, and never reads the page again.

use super::form::Form;
use super::geometry::{Geometry, GeometryError, PAGE};
use super::schema::{fnv1a, Schema};
use core::fmt;

/// The first eight bytes of every stream.
pub const MAGIC: [u8; 8] = *b"SLIPRING";
/// The layout this build writes and reads.
pub const LAYOUT_VERSION: u32 = 2;
/// How a little-endian writer stores the byte-order mark.
const BYTE_ORDER: u32 = 0x0102_0304;

/// Features a reader must know to attach at all.
const INCOMPATIBLE_KNOWN: u64 =
    INCOMPATIBLE_HUGE | INCOMPATIBLE_EVICTS | INCOMPATIBLE_FORM | INCOMPATIBLE_STAMPS;
/// Data and files are aligned to 2 MiB.
const INCOMPATIBLE_HUGE: u64 = 1;
/// Consumers may be evicted, so a reader that does not know this feature must not read in place.
const INCOMPATIBLE_EVICTS: u64 = 2;
/// Not a plain ring: the form and the size of the board apply.
const INCOMPATIBLE_FORM: u64 = 4;
/// Messages begin with a stamp.
const INCOMPATIBLE_STAMPS: u64 = 8;
/// Features a producer must know; a reader may ignore them.
const READ_ONLY_COMPATIBLE_KNOWN: u64 = 0;

const CHECKSUM_AT: usize = PAGE as usize - 8;
const SCHEMA_AT: usize = 192;

/// Everything about a ring that never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The validated sizes.
    pub geometry: Geometry,
    /// What it is used for.
    pub form: Form,
    /// A number whose meaning the form decides; 0 for a ring.
    pub parameters: [u64; 2],
    /// Random identity of this ring; ties `control` to `stream`.
    pub ring_id: u128,
    /// The boot in which it was made, or zero where the kernel does not say.
    pub boot_id: u128,
    /// When it was made, nanoseconds since 1970, for display only.
    pub created_ns: u64,
    /// The fields of the messages, if the ring is typed.
    pub schema: Option<Schema>,
    /// Whether a producer of this build may write the ring; readers always may read it.
    pub writable: bool,
}

/// Why a page is not the description of a ring this build can attach to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DescriptionError {
    /// The page does not begin with the magic: the file is not a ring's.
    Foreign,
    /// Written by a version with another layout.
    Version {
        /// The layout in the page.
        found: u32,
    },
    /// Written on a machine with the other byte order.
    ByteOrder,
    /// Uses features this build does not know.
    Features {
        /// The unknown bits.
        unknown: u64,
    },
    /// Is a form of communication this build does not know.
    Form {
        /// Its number.
        found: u32,
    },
    /// The sizes are not those of a ring.
    Geometry(GeometryError),
    /// A size or offset in the page does not follow from the others.
    Inconsistent {
        /// Which.
        what: &'static str,
    },
    /// The checksum does not match: the page was damaged.
    Checksum,
}

impl fmt::Display for DescriptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("not a slipring stream (its first bytes say so)"),
            Self::Version { found } => write!(
                f,
                "made with layout version {found}, this build reads version {LAYOUT_VERSION}: use the version that made it, or remove and create it again"
            ),
            Self::ByteOrder => f.write_str("made on a machine with the other byte order"),
            Self::Features { unknown } => write!(
                f,
                "uses features this build does not know (bits {unknown:#x}): use a newer version"
            ),
            Self::Form { found } => write!(
                f,
                "is of a form this build does not know (number {found}): use a newer version"
            ),
            Self::Geometry(error) => write!(f, "has sizes that are not a ring's: {error}"),
            Self::Inconsistent { what } => {
                write!(f, "has a {what} that does not follow from its other sizes")
            }
            Self::Checksum => f.write_str("has a damaged description page (checksum)"),
        }
    }
}

impl std::error::Error for DescriptionError {}

/// One field of the page: where it lies and how wide it is. The table in `docs/reference/protocol.md` lists
/// the same rows.
struct Writer<'p>(&'p mut [u8]);

impl Writer<'_> {
    fn put<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        self.0[at..at + N].copy_from_slice(&bytes);
    }
}

fn get<const N: usize>(page: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&page[at..at + N]);
    bytes
}

fn u32_at(page: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(get(page, at))
}

fn u64_at(page: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(get(page, at))
}

impl Description {
    /// The page, ready to be written.
    pub fn encode(&self) -> Box<[u8; PAGE as usize]> {
        let mut page = Box::new([0u8; PAGE as usize]);
        let g = &self.geometry;
        let schema = self.schema.as_ref().map(Schema::to_string);
        let schema = schema.as_deref().unwrap_or_default().as_bytes();
        let mut w = Writer(&mut page[..]);
        w.put(0, MAGIC);
        w.put(8, LAYOUT_VERSION.to_le_bytes());
        w.put(12, BYTE_ORDER.to_le_bytes());
        let mut incompatible = 0;
        if g.huge {
            incompatible |= INCOMPATIBLE_HUGE;
        }
        if g.evicts() {
            incompatible |= INCOMPATIBLE_EVICTS;
        }
        if g.stamped {
            incompatible |= INCOMPATIBLE_STAMPS;
        }
        if self.form != Form::Ring || g.board != 0 && !g.stamped {
            incompatible |= INCOMPATIBLE_FORM;
        }
        w.put(16, incompatible.to_le_bytes());
        // 24: features a producer must know; 32: features that a reader may ignore. None yet.
        w.put(40, g.capacity.to_le_bytes());
        w.put(48, g.block.to_le_bytes());
        w.put(56, (g.align as u32).to_le_bytes());
        w.put(60, g.rows.to_le_bytes());
        w.put(64, g.max_message.to_le_bytes());
        w.put(68, g.board.to_le_bytes());
        w.put(72, g.first_sequence.to_le_bytes());
        w.put(80, g.index_offset().to_le_bytes());
        w.put(88, g.data_offset().to_le_bytes());
        w.put(96, g.stream_bytes().to_le_bytes());
        w.put(104, g.control_bytes().to_le_bytes());
        w.put(112, self.ring_id.to_le_bytes());
        w.put(128, self.boot_id.to_le_bytes());
        w.put(144, self.created_ns.to_le_bytes());
        w.put(
            152,
            self.schema.as_ref().map_or(0, Schema::hash).to_le_bytes(),
        );
        w.put(160, (schema.len() as u32).to_le_bytes());
        let mut w = Writer(&mut page[..]);
        w.put(164, (self.form as u32).to_le_bytes());
        w.put(168, g.evict_after_ns.to_le_bytes());
        w.put(176, self.parameters[0].to_le_bytes());
        w.put(184, self.parameters[1].to_le_bytes());
        page[SCHEMA_AT..SCHEMA_AT + schema.len()].copy_from_slice(schema);
        let sum = fnv1a(&page[..CHECKSUM_AT]);
        Writer(&mut page[..]).put(CHECKSUM_AT, sum.to_le_bytes());
        page
    }

    /// Reads a private copy of a page. Total: any 4096 bytes give a description or a reason.
    ///
    /// # Errors
    /// [`DescriptionError`]; the most useful reason is reported first: foreign, version, byte order,
    /// damage, features, sizes.
    pub fn decode(page: &[u8; PAGE as usize]) -> Result<Self, DescriptionError> {
        if get(page, 0) != MAGIC {
            return Err(DescriptionError::Foreign);
        }
        if u32_at(page, 12) == BYTE_ORDER.swap_bytes() {
            return Err(DescriptionError::ByteOrder);
        }
        let found = u32_at(page, 8);
        if found != LAYOUT_VERSION {
            return Err(DescriptionError::Version { found });
        }
        if u32_at(page, 12) != BYTE_ORDER {
            return Err(DescriptionError::ByteOrder);
        }
        if u64_at(page, CHECKSUM_AT) != fnv1a(&page[..CHECKSUM_AT]) {
            return Err(DescriptionError::Checksum);
        }
        let incompatible = u64_at(page, 16);
        if incompatible & !INCOMPATIBLE_KNOWN != 0 {
            return Err(DescriptionError::Features {
                unknown: incompatible & !INCOMPATIBLE_KNOWN,
            });
        }
        let geometry = Geometry::check(
            u64_at(page, 40),
            u64_at(page, 48),
            u64::from(u32_at(page, 56)),
            u32_at(page, 60),
            u64_at(page, 72),
            incompatible & INCOMPATIBLE_HUGE != 0,
        )
        .map_err(DescriptionError::Geometry)?
        .evicting_after(u64_at(page, 168))
        .with_board(u32_at(page, 68))
        .map_err(DescriptionError::Geometry)?;
        let stamped = incompatible & INCOMPATIBLE_STAMPS != 0;
        let geometry = match geometry.stamping() {
            Ok(with) if stamped && with.board == geometry.board => with,
            _ if stamped => return Err(DescriptionError::Inconsistent { what: "stamp" }),
            _ => geometry,
        };
        let form = u32_at(page, 164);
        let form = Form::from_raw(form).ok_or(DescriptionError::Form { found: form })?;
        let plain = form == Form::Ring && (geometry.board == 0 || stamped);
        if plain == (incompatible & INCOMPATIBLE_FORM != 0) {
            return Err(DescriptionError::Inconsistent { what: "form" });
        }
        if geometry.evicts() != (incompatible & INCOMPATIBLE_EVICTS != 0) {
            return Err(DescriptionError::Inconsistent { what: "eviction" });
        }
        let follows = [
            (
                "largest message",
                u64::from(u32_at(page, 64)),
                u64::from(geometry.max_message),
            ),
            ("index offset", u64_at(page, 80), geometry.index_offset()),
            ("data offset", u64_at(page, 88), geometry.data_offset()),
            ("stream size", u64_at(page, 96), geometry.stream_bytes()),
            ("control size", u64_at(page, 104), geometry.control_bytes()),
        ];
        for (what, found, expected) in follows {
            if found != expected {
                return Err(DescriptionError::Inconsistent { what });
            }
        }
        Ok(Self {
            geometry,
            form,
            parameters: [u64_at(page, 176), u64_at(page, 184)],
            ring_id: u128::from_le_bytes(get(page, 112)),
            boot_id: u128::from_le_bytes(get(page, 128)),
            created_ns: u64_at(page, 144),
            schema: Self::decode_schema(page)?,
            writable: u64_at(page, 24) & !READ_ONLY_COMPATIBLE_KNOWN == 0,
        })
    }

    fn decode_schema(page: &[u8; PAGE as usize]) -> Result<Option<Schema>, DescriptionError> {
        let bad = DescriptionError::Inconsistent { what: "schema" };
        let len = u32_at(page, 160) as usize;
        if len == 0 {
            return Ok(None);
        }
        if len > Schema::MAX_TEXT {
            return Err(bad);
        }
        let text =
            core::str::from_utf8(&page[SCHEMA_AT..SCHEMA_AT + len]).map_err(|_| bad.clone())?;
        let schema: Schema = text.parse().map_err(|_| bad.clone())?;
        if schema.hash() != u64_at(page, 152) || schema.to_string() != text {
            return Err(bad);
        }
        Ok(Some(schema))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description() -> Description {
        Description {
            geometry: Geometry::new(1 << 16, 8, 32, 7, false)
                .unwrap()
                .evicting_after(1_000_000)
                .with_board(100)
                .unwrap(),
            form: Form::Lane,
            parameters: [64, 256],
            ring_id: 0x1234_5678_9abc_def0,
            boot_id: 42,
            created_ns: 1,
            schema: Some("Quote{time_ns:u64,bid:f64}".parse().unwrap()),
            writable: true,
        }
    }

    fn resealed(page: &mut [u8; PAGE as usize]) -> &[u8; PAGE as usize] {
        let sum = fnv1a(&page[..CHECKSUM_AT]);
        page[CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
        page
    }

    #[test]
    fn the_longest_schema_fits_before_the_checksum() {
        const { assert!(SCHEMA_AT + Schema::MAX_TEXT <= CHECKSUM_AT) };
    }

    #[test]
    fn decode_is_the_inverse_of_encode() {
        let d = description();
        assert_eq!(Description::decode(&d.encode()), Ok(d));
        let stamped = Description {
            geometry: Geometry::new(1 << 16, 8, 32, 7, false)
                .unwrap()
                .stamping()
                .unwrap(),
            form: Form::Ring,
            ..description()
        };
        assert_eq!(Description::decode(&stamped.encode()), Ok(stamped.clone()));
        // A board with stamps has exactly the size of its histograms.
        let mut page = stamped.encode();
        page[68..72].copy_from_slice(&7u32.to_le_bytes());
        let refused = Err(DescriptionError::Inconsistent { what: "stamp" });
        assert_eq!(Description::decode(resealed(&mut page)), refused);
        let mut page = stamped.encode();
        page[16] &= !(INCOMPATIBLE_STAMPS as u8);
        let refused = Err(DescriptionError::Inconsistent { what: "form" });
        assert_eq!(Description::decode(resealed(&mut page)), refused);
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let page = description().encode();
        for at in 0..PAGE as usize {
            for bit in 0..8 {
                let mut bad = page.clone();
                bad[at] ^= 1 << bit;
                assert!(Description::decode(&bad).is_err(), "byte {at} bit {bit}");
            }
        }
    }

    #[test]
    fn reasons_name_what_is_wrong() {
        let decode = |change: &dyn Fn(&mut [u8; PAGE as usize])| {
            let mut page = description().encode();
            change(&mut page);
            Description::decode(resealed(&mut page)).unwrap_err()
        };
        assert_eq!(decode(&|p| p[0] = 0), DescriptionError::Foreign);
        assert_eq!(
            decode(&|p| p[8] = 9),
            DescriptionError::Version { found: 9 }
        );
        assert_eq!(
            decode(&|p| p[12..16].reverse()),
            DescriptionError::ByteOrder
        );
        assert_eq!(
            decode(&|p| p[16] = 4),
            DescriptionError::Inconsistent { what: "eviction" }
        );
        assert_eq!(
            decode(&|p| p[16] = 2),
            DescriptionError::Inconsistent { what: "form" }
        );
        assert_eq!(
            decode(&|p| p[164] = 200),
            DescriptionError::Form { found: 200 }
        );
        assert_eq!(
            decode(&|p| p[68..72].fill(255)),
            DescriptionError::Geometry(GeometryError::Board { words: u32::MAX })
        );
        assert_eq!(
            decode(&|p| p[20] = 1),
            DescriptionError::Features { unknown: 1 << 32 }
        );
        assert!(matches!(
            decode(&|p| p[40] = 1),
            DescriptionError::Geometry(_)
        ));
        assert_eq!(
            decode(&|p| p[88] = 1),
            DescriptionError::Inconsistent {
                what: "data offset"
            }
        );
        assert_eq!(
            decode(&|p| p[160] = 255),
            DescriptionError::Inconsistent { what: "schema" }
        );
    }

    #[test]
    fn a_producer_feature_from_the_future_still_lets_readers_in() {
        let mut page = description().encode();
        page[24] = 1;
        assert!(!Description::decode(resealed(&mut page)).unwrap().writable);
    }
}
