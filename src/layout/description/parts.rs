//! The parts of a description that are texts, or that may be absent.
//!
//! Layer 1. Pure functions of the page: any bytes are the part, or say why they are none.

use crate::layout::opaque::OpaqueMark;
use crate::layout::origin::Origin;
use crate::layout::page::{
    self, first_set, u128_at, u32_at, u64_at, Page, CHECKSUM, OPAQUE_BYTES, OPAQUE_HASH,
    ORIGIN_EPOCH, ORIGIN_HOST, ORIGIN_ID, SCHEMA,
};
use crate::layout::refusal::DescriptionError;
use crate::layout::schema::Schema;

/// The text of a field.
pub fn text<'p>(
    page: &'p Page,
    field: page::Text,
    what: &'static str,
) -> Result<&'p str, DescriptionError> {
    let offset = field.at;
    field
        .get(page)
        .ok_or(DescriptionError::Bytes { what, offset })
}

/// The origin of the messages, if there is one.
pub fn decode_origin(page: &Page) -> Result<Option<Origin>, DescriptionError> {
    let origin = Origin {
        id: u128_at(page, ORIGIN_ID),
        epoch: u64_at(page, ORIGIN_EPOCH),
        host: text(page, ORIGIN_HOST, "host of its origin")?.to_owned(),
    };
    if origin.id != 0 {
        return Ok(Some(origin));
    }
    // Without an identity there is none.
    match first_set(page, ORIGIN_EPOCH..ORIGIN_HOST.at + ORIGIN_HOST.width) {
        None => Ok(None),
        Some(offset) => Err(DescriptionError::Bytes {
            what: "part of an origin without an identity",
            offset,
        }),
    }
}

/// The schema of the messages, if there is one.
pub fn decode_schema(page: &Page) -> Result<Option<Schema>, DescriptionError> {
    let len = u32_at(page, page::SCHEMA_BYTES) as usize;
    let bytes = |what, offset| Err(DescriptionError::Bytes { what, offset });
    if len > Schema::MAX_TEXT {
        return Err(DescriptionError::Inconsistent {
            what: "schema length",
            found: len as u64,
            expected: Schema::MAX_TEXT as u64,
        });
    }
    if let Some(offset) = first_set(page, SCHEMA + len..CHECKSUM) {
        return bytes("byte behind its schema", offset);
    }
    let hash = u64_at(page, page::SCHEMA_HASH);
    let (schema, expected) = if len == 0 {
        (None, 0)
    } else {
        let text = core::str::from_utf8(&page[SCHEMA..SCHEMA + len]).ok();
        let parsed = text.and_then(|text| text.parse().ok());
        match parsed.filter(|schema: &Schema| Some(&*schema.to_string()) == text) {
            Some(schema) => {
                let hash = schema.hash();
                (Some(schema), hash)
            }
            None => return bytes("schema", SCHEMA),
        }
    };
    if hash != expected {
        return Err(DescriptionError::Inconsistent {
            what: "hash of its schema",
            found: hash,
            expected,
        });
    }
    Ok(schema)
}

/// Which schema file lies beside the stream, if there is one.
pub fn decode_opaque(page: &Page) -> Result<Option<OpaqueMark>, DescriptionError> {
    let (hash, bytes) = (u64_at(page, OPAQUE_HASH), u32_at(page, OPAQUE_BYTES));
    let (what, found, expected) = match bytes {
        0 if hash == 0 => return Ok(None),
        0 => ("hash of no schema file", hash, 0),
        OpaqueMark::MIN_BYTES..=OpaqueMark::MAX_BYTES => {
            return Ok(Some(OpaqueMark { hash, bytes }))
        }
        _ => (
            "length of its schema file",
            u64::from(bytes),
            u64::from(OpaqueMark::MAX_BYTES),
        ),
    };
    Err(DescriptionError::Inconsistent {
        what,
        found,
        expected,
    })
}
