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
mod tests;
