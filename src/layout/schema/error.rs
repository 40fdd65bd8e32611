//! Why a text or a list of fields is not a schema, and how two schemas differ.
//!
//! Layer 1. Pure.

use core::fmt;

/// Why a text or a field list is not a schema. Places are in bytes of the text that was read, from 0; of a
/// schema that was made of parts, in its canonical text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaError {
    /// The text is not `Name{field:kind,...}` or `field:kind,...`.
    Syntax {
        /// Where it is not.
        at: usize,
        /// What stands there.
        near: String,
        /// What is expected there.
        expected: &'static str,
    },
    /// A field has a type this library does not know.
    UnknownKind {
        /// Where the type stands.
        at: usize,
        /// The field as written.
        field: String,
    },
    /// Two fields have the same name.
    Repeated {
        /// Where the second one stands.
        at: usize,
        /// The name.
        field: String,
    },
    /// The canonical text is longer than a description page holds.
    TooLong {
        /// Its length in bytes.
        bytes: usize,
        /// The most it may have.
        max: usize,
    },
    /// A field would not lie on a multiple of its own size; reorder the fields, largest first.
    Unaligned {
        /// Where the field stands.
        at: usize,
        /// The field as written.
        field: String,
    },
    /// A field has a hint that it cannot have.
    Hint {
        /// Where the hint is wrong.
        at: usize,
        /// The name of the field.
        field: String,
        /// What is expected there.
        expected: &'static str,
    },
}

impl SchemaError {
    /// Returns the byte of the text at which it is wrong; `None` if the text is too long.
    pub fn at(&self) -> Option<usize> {
        match self {
            Self::Syntax { at, .. }
            | Self::UnknownKind { at, .. }
            | Self::Repeated { at, .. }
            | Self::Unaligned { at, .. }
            | Self::Hint { at, .. } => Some(*at),
            Self::TooLong { .. } => None,
        }
    }
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { at, near, expected } => write!(
                f,
                "schema not understood at byte {at}, near {near:?}: expected {expected}; write fields as 'name:type', for example 'time_ns:u64,price:f64,levels:u32[4]'"
            ),
            Self::UnknownKind { at, field } => write!(
                f,
                "schema field {field:?} has an unknown type (byte {at}): use u8 to u64, i8 to i64, f32 or f64, with [n] for an array"
            ),
            Self::Repeated { at, field } => {
                write!(f, "schema names the field {field:?} twice (byte {at})")
            }
            Self::TooLong { bytes, max } => {
                write!(f, "schema takes {bytes} bytes as text, more than {max}")
            }
            Self::Unaligned { at, field } => write!(
                f,
                "schema field {field:?} (byte {at}) would not lie on a multiple of its size: put larger fields first"
            ),
            Self::Hint { at, field, expected } => write!(
                f,
                "schema field {field:?} has a hint not understood at byte {at}: expected {expected}"
            ),
        }
    }
}

impl std::error::Error for SchemaError {}

/// How the schema of a ring differs from the one a program expects. Hints are not compared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaMismatch {
    /// The ring carries bytes without a schema.
    Missing,
    /// The messages have different names.
    Name {
        /// In the ring.
        ring: String,
        /// In this program.
        here: String,
    },
    /// The first field that differs.
    Field {
        /// Its place, from 1.
        place: usize,
        /// In the ring, as `name:kind`; empty if the ring has no such field.
        ring: String,
        /// In this program; empty if it has no such field.
        here: String,
    },
    /// The schemas are equal, and the type of the program has another size.
    Size {
        /// The size of a message by the schema.
        schema: u32,
        /// The size of the type.
        here: usize,
    },
}

impl fmt::Display for SchemaMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the ring has no schema, it carries plain bytes"),
            Self::Name { ring, here } => {
                write!(f, "the message is {ring} in the ring, {here} here")
            }
            Self::Field { place, ring, here } => {
                let or_absent = |text: &str| match text {
                    "" => "absent".to_owned(),
                    text => text.to_owned(),
                };
                write!(
                    f,
                    "field {place} is {} in the ring, {} here",
                    or_absent(ring),
                    or_absent(here)
                )
            }
            Self::Size { schema, here } => write!(
                f,
                "the messages of the schema have {schema} bytes, the type here has {here}"
            ),
        }
    }
}

impl std::error::Error for SchemaMismatch {}
