//! Page 0 of `stream`: the constant description of a ring.
//!
//! Layer 1. Pure functions between a [`Description`] and the 4096 bytes of the page. A process that
//! attaches copies the page into private memory once, decodes that copy, and never reads the page again.

mod parts;

use super::form::Form;
use super::geometry::{Geometry, PAGE};
use super::opaque::OpaqueMark;
use super::origin::Origin;
use super::page::{
    self, first_set, get, put, u128_at, u32_at, u64_at, Page, CHECKSUM, MAKER, OPAQUE_BYTES,
    OPAQUE_HASH, ORIGIN_EPOCH, ORIGIN_HOST, ORIGIN_ID, SCHEMA,
};
use super::schema::{fnv1a, Schema};

use parts::{decode_opaque, decode_origin, decode_schema, text};

pub use super::page::LAYOUT_VERSION;
pub use super::refusal::DescriptionError;

/// The first eight bytes of every stream.
pub const MAGIC: [u8; 8] = *b"SLIPRING";
/// What this implementation says of itself.
pub const MADE_BY: &str = concat!("slipring ", env!("CARGO_PKG_VERSION"));
/// How a little-endian writer stores the byte-order mark.
pub const BYTE_ORDER: u32 = 0x0102_0304;

/// Features a reader must know to attach at all.
pub const INCOMPATIBLE_KNOWN: u64 =
    INCOMPATIBLE_HUGE | INCOMPATIBLE_EVICTS | INCOMPATIBLE_FORM | INCOMPATIBLE_STAMPS;
/// Data and files are aligned to 2 MiB.
pub const INCOMPATIBLE_HUGE: u64 = 1;
/// Consumers may be evicted, so a reader that does not know this feature must not read in place.
pub const INCOMPATIBLE_EVICTS: u64 = 2;
/// Not a plain ring: set exactly where the form is not 0.
pub const INCOMPATIBLE_FORM: u64 = 4;
/// Messages begin with a stamp. Of plain rings only.
pub const INCOMPATIBLE_STAMPS: u64 = 8;
/// Features a producer must know; a reader may ignore them.
const READ_ONLY_COMPATIBLE_KNOWN: u64 = 0;

const _: () = assert!(SCHEMA + Schema::MAX_TEXT == CHECKSUM);

/// Everything about a ring that never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The validated sizes.
    pub geometry: Geometry,
    /// What it is used for.
    pub form: Form,
    /// Numbers whose meaning the form decides; 0 for a ring.
    pub parameters: [u64; 2],
    /// Random identity of this ring; ties `control` to `stream`.
    pub ring_id: u128,
    /// The boot in which it was made, or zero where the kernel does not say.
    pub boot_id: u128,
    /// When it was made, nanoseconds since 1970, for display only.
    pub created_ns: u64,
    /// Name and version of the implementation that made it, for display only.
    pub maker: String,
    /// Where its messages were first published, if not in it.
    pub origin: Option<Origin>,
    /// The fields of the messages, if the ring is typed.
    pub schema: Option<Schema>,
    /// The schema file that lies beside the stream, if there is one.
    pub opaque: Option<OpaqueMark>,
    /// Whether a producer of this build may write the ring; readers always may read it.
    pub writable: bool,
}

impl Description {
    /// The page, ready to be written.
    pub fn encode(&self) -> Box<Page> {
        let mut page = Box::new([0u8; PAGE as usize]);
        let p = &mut *page;
        let g = &self.geometry;
        put(p, page::MAGIC, MAGIC);
        put(p, page::VERSION, LAYOUT_VERSION.to_le_bytes());
        put(p, page::BYTE_ORDER, BYTE_ORDER.to_le_bytes());
        put(p, page::INCOMPATIBLE, self.features().to_le_bytes());
        // Of features that a producer must know, and that all may ignore, there are none yet.
        put(p, page::CAPACITY, g.capacity.to_le_bytes());
        put(p, page::BLOCK, g.block.to_le_bytes());
        put(p, page::ALIGN, (g.align as u32).to_le_bytes());
        put(p, page::ROWS, g.rows.to_le_bytes());
        put(p, page::LARGEST, g.max_message.to_le_bytes());
        put(p, page::BOARD, g.board.to_le_bytes());
        put(p, page::FIRST_SEQUENCE, g.first_sequence.to_le_bytes());
        put(p, page::INDEX_OFFSET, g.index_offset().to_le_bytes());
        put(p, page::DATA_OFFSET, g.data_offset().to_le_bytes());
        put(p, page::STREAM_BYTES, g.stream_bytes().to_le_bytes());
        put(p, page::CONTROL_BYTES, g.control_bytes().to_le_bytes());
        put(p, page::RING_ID, self.ring_id.to_le_bytes());
        put(p, page::BOOT_ID, self.boot_id.to_le_bytes());
        put(p, page::CREATED_NS, self.created_ns.to_le_bytes());
        put(p, page::FORM, (self.form as u32).to_le_bytes());
        put(p, page::EVICT_AFTER_NS, g.evict_after_ns.to_le_bytes());
        put(p, page::FIRST_PARAMETER, self.parameters[0].to_le_bytes());
        put(p, page::SECOND_PARAMETER, self.parameters[1].to_le_bytes());
        MAKER.put(p, &self.maker);
        if let Some(origin) = &self.origin {
            put(p, ORIGIN_ID, origin.id.to_le_bytes());
            put(p, ORIGIN_EPOCH, origin.epoch.to_le_bytes());
            ORIGIN_HOST.put(p, &origin.host);
        }
        if let Some(OpaqueMark { hash, bytes }) = self.opaque {
            put(p, OPAQUE_HASH, hash.to_le_bytes());
            put(p, OPAQUE_BYTES, bytes.to_le_bytes());
        }
        if let Some(schema) = &self.schema {
            let text = schema.to_string();
            put(p, page::SCHEMA_HASH, schema.hash().to_le_bytes());
            put(p, page::SCHEMA_BYTES, (text.len() as u32).to_le_bytes());
            p[SCHEMA..SCHEMA + text.len()].copy_from_slice(text.as_bytes());
        }
        let sum = fnv1a(&p[..CHECKSUM]);
        put(p, CHECKSUM, sum.to_le_bytes());
        page
    }

    /// The incompatible features.
    fn features(&self) -> u64 {
        let g = &self.geometry;
        [
            (g.huge, INCOMPATIBLE_HUGE),
            (g.evicts(), INCOMPATIBLE_EVICTS),
            (g.stamped, INCOMPATIBLE_STAMPS),
            (self.form != Form::Ring, INCOMPATIBLE_FORM),
        ]
        .into_iter()
        .fold(0, |all, (set, bit)| if set { all | bit } else { all })
    }

    /// Reads a private copy of a page. Total: any 4096 bytes give a description or a reason.
    ///
    /// # Errors
    /// [`DescriptionError`]; the most useful reason is reported first: foreign, version, byte order,
    /// damage, features, sizes.
    pub fn decode(page: &Page) -> Result<Self, DescriptionError> {
        if get(page, page::MAGIC) != MAGIC {
            return Err(DescriptionError::Foreign);
        }
        if u32_at(page, page::BYTE_ORDER) == BYTE_ORDER.swap_bytes() {
            return Err(DescriptionError::ByteOrder);
        }
        let found = u32_at(page, page::VERSION);
        if found != LAYOUT_VERSION {
            return Err(DescriptionError::Version { found });
        }
        if u32_at(page, page::BYTE_ORDER) != BYTE_ORDER {
            return Err(DescriptionError::ByteOrder);
        }
        let (found, expected) = (u64_at(page, CHECKSUM), fnv1a(&page[..CHECKSUM]));
        if found != expected {
            return Err(DescriptionError::Checksum { found, expected });
        }
        let incompatible = u64_at(page, page::INCOMPATIBLE);
        if incompatible & !INCOMPATIBLE_KNOWN != 0 {
            return Err(DescriptionError::Features {
                unknown: incompatible & !INCOMPATIBLE_KNOWN,
            });
        }
        let form = u32_at(page, page::FORM);
        let form = Form::from_raw(form).ok_or(DescriptionError::Form { found: form })?;
        let description = Self {
            geometry: decode_geometry(page, incompatible)?,
            form,
            parameters: [
                u64_at(page, page::FIRST_PARAMETER),
                u64_at(page, page::SECOND_PARAMETER),
            ],
            ring_id: u128_at(page, page::RING_ID),
            boot_id: u128_at(page, page::BOOT_ID),
            created_ns: u64_at(page, page::CREATED_NS),
            maker: text(page, MAKER, "name of its maker")?.to_owned(),
            origin: decode_origin(page)?,
            schema: decode_schema(page)?,
            opaque: decode_opaque(page)?,
            writable: u64_at(page, page::FOR_PRODUCERS) & !READ_ONLY_COMPATIBLE_KNOWN == 0,
        };
        description.check_what_follows(page)?;
        for reserved in [page::SCHEMA_RESERVED, page::RESERVED] {
            if let Some(offset) = first_set(page, reserved) {
                let what = "reserved byte";
                return Err(DescriptionError::Bytes { what, offset });
            }
        }
        Ok(description)
    }

    /// Checks the numbers of the page that follow from others.
    fn check_what_follows(&self, page: &Page) -> Result<(), DescriptionError> {
        let (g, plain) = (&self.geometry, self.form == Form::Ring);
        let incompatible = u64_at(page, page::INCOMPATIBLE);
        let bit = |bit: u64| u64::from(incompatible & bit != 0);
        let mut follows = vec![
            ("form bit", bit(INCOMPATIBLE_FORM), u64::from(!plain)),
            (
                "eviction bit",
                bit(INCOMPATIBLE_EVICTS),
                u64::from(g.evicts()),
            ),
        ];
        if plain {
            follows.extend([
                ("first parameter", self.parameters[0], 0),
                ("second parameter", self.parameters[1], 0),
            ]);
            let board = if g.stamped { g.stamp_words() } else { 0 };
            follows.push((
                "number of board words",
                u64::from(g.board),
                u64::from(board),
            ));
        } else {
            follows.push(("stamp bit", u64::from(g.stamped), 0));
        }
        for (what, found, expected) in follows {
            if found != expected {
                return Err(DescriptionError::Inconsistent {
                    what,
                    found,
                    expected,
                });
            }
        }
        let max_message = u64::from(u32_at(page, page::LARGEST));
        for (what, found, expected) in [
            ("block size", u64_at(page, page::BLOCK), g.block),
            ("largest message", max_message, u64::from(g.max_message)),
            (
                "index offset",
                u64_at(page, page::INDEX_OFFSET),
                g.index_offset(),
            ),
            (
                "data offset",
                u64_at(page, page::DATA_OFFSET),
                g.data_offset(),
            ),
            (
                "stream size",
                u64_at(page, page::STREAM_BYTES),
                g.stream_bytes(),
            ),
            (
                "control size",
                u64_at(page, page::CONTROL_BYTES),
                g.control_bytes(),
            ),
        ] {
            if found != expected {
                return Err(DescriptionError::Size {
                    what,
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }
}

/// The sizes from which all others follow.
fn decode_geometry(page: &Page, incompatible: u64) -> Result<Geometry, DescriptionError> {
    let geometry = Geometry::new(
        u64_at(page, page::CAPACITY),
        u64::from(u32_at(page, page::ALIGN)),
        u32_at(page, page::ROWS),
        u64_at(page, page::FIRST_SEQUENCE),
        incompatible & INCOMPATIBLE_HUGE != 0,
    )
    .and_then(|geometry| geometry.with_board(u32_at(page, page::BOARD)))
    .map_err(DescriptionError::Geometry)?
    .evicting_after(u64_at(page, page::EVICT_AFTER_NS));
    Ok(Geometry {
        stamped: incompatible & INCOMPATIBLE_STAMPS != 0,
        ..geometry
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::geometry::GeometryError;

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
            maker: MADE_BY.to_owned(),
            origin: Some(Origin {
                id: 1 << 77,
                epoch: 3,
                host: "exchange-3".to_owned(),
            }),
            schema: Some(
                "Quote{time_ns:u64(time),bid:f64(unit=USD)}"
                    .parse()
                    .unwrap(),
            ),
            opaque: Some(OpaqueMark {
                hash: 1 << 60,
                bytes: 1000,
            }),
            writable: true,
        }
    }

    fn stamped() -> Description {
        Description {
            geometry: Geometry::new(1 << 16, 8, 32, 7, false)
                .unwrap()
                .stamping()
                .unwrap(),
            form: Form::Ring,
            parameters: [0; 2],
            ..description()
        }
    }

    fn plain() -> Description {
        Description {
            geometry: Geometry::new(1 << 16, 8, 32, 7, false).unwrap(),
            origin: None,
            schema: None,
            opaque: None,
            ..stamped()
        }
    }

    fn resealed(page: &mut Page) -> &Page {
        let sum = fnv1a(&page[..CHECKSUM]);
        page[CHECKSUM..].copy_from_slice(&sum.to_le_bytes());
        page
    }

    /// Why the page of a description is refused after a change.
    fn refused(description: &Description, change: impl Fn(&mut Page)) -> DescriptionError {
        let mut page = description.encode();
        change(&mut page);
        Description::decode(resealed(&mut page)).unwrap_err()
    }

    fn inconsistent(what: &'static str, found: u64, expected: u64) -> DescriptionError {
        DescriptionError::Inconsistent {
            what,
            found,
            expected,
        }
    }

    #[test]
    fn decode_is_the_inverse_of_encode() {
        const { assert!(MADE_BY.len() <= MAKER.width) };
        let longest = format!("{}{{{}:u64}}", "N".repeat(50), "f".repeat(50));
        for d in [
            description(),
            stamped(),
            plain(),
            Description {
                maker: "m".repeat(32),
                origin: Some(Origin {
                    id: u128::MAX,
                    epoch: u64::MAX,
                    host: "h".repeat(64),
                }),
                schema: Some(longest.parse().unwrap()),
                opaque: Some(OpaqueMark {
                    hash: 0,
                    bytes: OpaqueMark::MAX_BYTES,
                }),
                ..plain()
            },
        ] {
            assert_eq!(Description::decode(&d.encode()), Ok(d));
        }
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
    fn a_schema_file_has_a_length_that_one_can_have() {
        let length =
            |d: &Description, bytes: u32| refused(d, |p| put(p, OPAQUE_BYTES, bytes.to_le_bytes()));
        let (with, max) = (description(), u64::from(OpaqueMark::MAX_BYTES));
        for bytes in [
            1,
            OpaqueMark::MIN_BYTES - 1,
            OpaqueMark::MAX_BYTES + 1,
            u32::MAX,
        ] {
            let expected = inconsistent("length of its schema file", bytes.into(), max);
            assert_eq!(length(&with, bytes), expected);
            assert_eq!(length(&plain(), bytes), expected);
        }
        let expected = inconsistent("hash of no schema file", 1 << 60, 0);
        assert_eq!(length(&with, 0), expected);
    }

    /// What a creator may not write although readers could do without the rule.
    #[test]
    fn every_byte_without_a_meaning_is_zero() {
        let (with, without) = (description(), plain());
        let schema = with.schema.as_ref().unwrap().to_string().len();
        let bytes = |what, offset| DescriptionError::Bytes { what, offset };
        for at in [page::SCHEMA_RESERVED, page::RESERVED]
            .into_iter()
            .flatten()
        {
            for d in [&with, &without] {
                assert_eq!(refused(d, |p| p[at] = 1), bytes("reserved byte", at));
            }
        }
        for at in page::IGNORED {
            let mut page = with.encode();
            page[at] = 255;
            let read = Description::decode(resealed(&mut page));
            assert_eq!(read.as_ref(), Ok(&with), "{at}");
        }
        let behind = "byte behind its schema";
        for at in [SCHEMA + schema, SCHEMA + schema + 1, CHECKSUM - 1] {
            assert_eq!(refused(&with, |p| p[at] = 1), bytes(behind, at));
        }
        for at in [SCHEMA, CHECKSUM - 1] {
            assert_eq!(refused(&without, |p| p[at] = 1), bytes(behind, at));
        }
        for at in ORIGIN_EPOCH..=ORIGIN_HOST.at {
            let what = "part of an origin without an identity";
            assert_eq!(refused(&without, |p| p[at] = b'x'), bytes(what, at));
        }
    }

    #[test]
    fn a_plain_ring_has_no_numbers_of_a_form() {
        let stamp_words = u64::from(stamped().geometry.stamp_words());
        for (at, what) in [(176, "first parameter"), (191, "second parameter")] {
            for d in [plain(), stamped()] {
                let found = if at == 176 { 1 } else { 1 << 56 };
                assert_eq!(refused(&d, |p| p[at] = 1), inconsistent(what, found, 0));
            }
        }
        let board = "number of board words";
        assert_eq!(refused(&plain(), |p| p[68] = 1), inconsistent(board, 1, 0));
        let other = stamp_words & !255 | 7;
        let refusal = refused(&stamped(), |p| p[68] = 7);
        assert_eq!(refusal, inconsistent(board, other, stamp_words));
        let unstamped = refused(&stamped(), |p| p[16] &= !(INCOMPATIBLE_STAMPS as u8));
        assert_eq!(unstamped, inconsistent(board, stamp_words, 0));
        // The bit of a form is that of its number.
        let bit = "form bit";
        assert_eq!(refused(&plain(), |p| p[16] |= 4), inconsistent(bit, 1, 0));
        assert_eq!(refused(&plain(), |p| p[164] = 1), inconsistent(bit, 0, 1));
        let lane = refused(&description(), |p| p[16] |= INCOMPATIBLE_STAMPS as u8);
        assert_eq!(lane, inconsistent("stamp bit", 1, 0));
    }

    #[test]
    fn reasons_name_what_is_wrong() {
        let decode = |change: &dyn Fn(&mut Page)| refused(&description(), change);
        assert_eq!(decode(&|p| p[0] = 0), DescriptionError::Foreign);
        for found in [0, 1, 2, 4, 9, 255] {
            let refusal = decode(&|p| p[8] = found);
            let found = u32::from(found);
            assert_eq!(refusal, DescriptionError::Version { found });
        }
        assert_eq!(
            decode(&|p| p[12..16].reverse()),
            DescriptionError::ByteOrder
        );
        assert_eq!(decode(&|p| p[16] = 4), inconsistent("eviction bit", 0, 1));
        assert_eq!(decode(&|p| p[16] = 2), inconsistent("form bit", 0, 1));
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
        // A small ring, as models have, is none for a file.
        assert_eq!(
            decode(&|p| p[40..48].copy_from_slice(&2048u64.to_le_bytes())),
            DescriptionError::Geometry(GeometryError::Capacity { bytes: 2048 })
        );
        assert_eq!(
            decode(&|p| p[160..162].fill(255)),
            inconsistent("schema length", 0xffff, 3576)
        );
        assert!(matches!(
            decode(&|p| p[152] ^= 1),
            DescriptionError::Inconsistent {
                what: "hash of its schema",
                ..
            }
        ));
        for (at, what) in [
            (SCHEMA, "schema"),
            (MAKER.at, "name of its maker"),
            (ORIGIN_HOST.at, "host of its origin"),
        ] {
            let offset = at;
            let refusal = decode(&|p| p[at] = 0x1b);
            assert_eq!(refusal, DescriptionError::Bytes { what, offset });
        }
    }

    #[test]
    fn sizes_are_told_with_what_follows() {
        let d = description();
        let (g, checked) = (&d.geometry, |at: usize| {
            refused(&d, |p| p[at..at + 2].copy_from_slice(&[0, 1])).to_string()
        });
        for (at, what, expected) in [
            (48, "block size", g.block),
            (64, "largest message", u64::from(g.max_message)),
            (80, "index offset", g.index_offset()),
            (88, "data offset", g.data_offset()),
            (96, "stream size", g.stream_bytes()),
            (104, "control size", g.control_bytes()),
        ] {
            let found = expected & !0xffff | 256;
            let text = format!("has a {what} of {found} bytes, {expected} expected");
            assert_eq!(checked(at), text);
        }
    }

    #[test]
    fn a_producer_feature_from_the_future_still_lets_readers_in() {
        let mut page = description().encode();
        page[24] = 1;
        assert!(!Description::decode(resealed(&mut page)).unwrap().writable);
    }
}
