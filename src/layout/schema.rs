//! The fields of a message, and how two schemas differ.
//!
//! Layer 1. Pure. The canonical text of a schema is `Name{field:kind,field:kind[count]}`; it lies in
//! the description page, so any tool can print the messages of a ring it was not built for.

use core::fmt;

/// The type of one field. Every bit pattern is a valid value of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the variants are the types they are named after"
)]
pub enum Kind {
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F32,
    F64,
}

impl Kind {
    const ALL: [(Self, &'static str, u32); 10] = [
        (Self::U8, "u8", 1),
        (Self::U16, "u16", 2),
        (Self::U32, "u32", 4),
        (Self::U64, "u64", 8),
        (Self::I8, "i8", 1),
        (Self::I16, "i16", 2),
        (Self::I32, "i32", 4),
        (Self::I64, "i64", 8),
        (Self::F32, "f32", 4),
        (Self::F64, "f64", 8),
    ];

    /// Returns the name, as in Rust.
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    /// Returns the size and alignment in bytes.
    pub fn bytes(self) -> u32 {
        Self::ALL[self as usize].2
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, known, _)| *known == name)
            .map(|(kind, ..)| *kind)
    }
}

/// One field of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// The type of one element.
    pub kind: Kind,
    /// How many elements, at least 1; more than 1 is an array.
    pub count: u32,
}

impl Field {
    /// Returns the size in bytes.
    pub fn bytes(&self) -> u32 {
        self.kind.bytes() * self.count
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.kind.name())?;
        if self.count > 1 {
            write!(f, "[{}]", self.count)?;
        }
        Ok(())
    }
}

/// The description of a fixed-size message: a name and fields that follow each other without gaps.
///
/// ```
/// use slipring::schema::Schema;
///
/// let schema: Schema = "Quote{time_ns:u64,bid:f64,ask:f64}".parse()?;
/// assert_eq!(schema.bytes(), 24);
/// assert_eq!(schema.to_string(), "Quote{time_ns:u64,bid:f64,ask:f64}");
///
/// let other: Schema = "Quote{time_ns:u64,bid:i64,ask:f64}".parse()?;
/// let difference = schema.difference(&other).unwrap();
/// assert_eq!(difference.to_string(), "field 2 is bid:f64 in the ring, bid:i64 here");
/// # Ok::<(), slipring::schema::SchemaError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    name: String,
    fields: Vec<Field>,
}

/// Why a text or a field list is not a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SchemaError {
    /// The text is not `Name{field:kind,...}` or `field:kind,...`.
    Syntax {
        /// The part that could not be read.
        near: String,
    },
    /// A field has a type this library does not know.
    UnknownKind {
        /// The field as written.
        field: String,
    },
    /// Two fields have the same name.
    Repeated {
        /// The name.
        field: String,
    },
    /// The canonical text is longer than a description page holds.
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// A field would not lie on a multiple of its own size; reorder the fields, largest first.
    Unaligned {
        /// The field as written.
        field: String,
    },
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { near } => write!(
                f,
                "schema not understood near {near:?}: write fields as 'name:type', for example 'time_ns:u64,price:f64,levels:u32[4]'"
            ),
            Self::UnknownKind { field } => write!(
                f,
                "schema field {field:?} has an unknown type: use u8 to u64, i8 to i64, f32 or f64, with [n] for an array"
            ),
            Self::Repeated { field } => write!(f, "schema names the field {field:?} twice"),
            Self::TooLong { bytes } => write!(
                f,
                "schema takes {bytes} bytes as text, more than {}",
                Schema::MAX_TEXT
            ),
            Self::Unaligned { field } => write!(
                f,
                "schema field {field:?} would not lie on a multiple of its size: put larger fields first"
            ),
        }
    }
}

impl std::error::Error for SchemaError {}

/// How the schema of a ring differs from the one a program expects.
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
        }
    }
}

impl std::error::Error for SchemaMismatch {}

impl Schema {
    /// The longest canonical text, in bytes.
    pub const MAX_TEXT: usize = 3840;

    /// A schema from its parts.
    ///
    /// # Errors
    /// [`SchemaError`] if a name is not an identifier or repeated, a field would need padding
    /// before it, or the text is too long.
    pub fn new(name: &str, fields: Vec<Field>) -> Result<Self, SchemaError> {
        let mut offset = 0u32;
        for (at, field) in fields.iter().enumerate() {
            if !is_identifier(&field.name) || field.count == 0 {
                return Err(SchemaError::Syntax {
                    near: field.to_string(),
                });
            }
            if fields[..at]
                .iter()
                .any(|earlier| earlier.name == field.name)
            {
                return Err(SchemaError::Repeated {
                    field: field.name.clone(),
                });
            }
            if !offset.is_multiple_of(field.kind.bytes()) {
                return Err(SchemaError::Unaligned {
                    field: field.to_string(),
                });
            }
            offset = field
                .kind
                .bytes()
                .checked_mul(field.count)
                .and_then(|bytes| offset.checked_add(bytes))
                .ok_or_else(|| SchemaError::Syntax {
                    near: field.to_string(),
                })?;
        }
        if !is_identifier(name) || fields.is_empty() {
            return Err(SchemaError::Syntax { near: name.into() });
        }
        let schema = Self {
            name: name.into(),
            fields,
        };
        let bytes = schema.to_string().len();
        if bytes > Self::MAX_TEXT {
            return Err(SchemaError::TooLong { bytes });
        }
        Ok(schema)
    }

    /// Returns the name of the message type.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the fields, in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Returns the size of one message in bytes.
    pub fn bytes(&self) -> u32 {
        self.fields.iter().map(Field::bytes).sum()
    }

    /// Returns a hash of the canonical text (FNV-1a, 64 bits), for quick comparison and display. Equality
    /// is decided by the text.
    pub fn hash(&self) -> u64 {
        fnv1a(self.to_string().as_bytes())
    }

    /// Returns how this schema, a ring's, differs from the one `here` expects; `None` if they are equal.
    pub fn difference(&self, here: &Self) -> Option<SchemaMismatch> {
        if self.name != here.name {
            return Some(SchemaMismatch::Name {
                ring: self.name.clone(),
                here: here.name.clone(),
            });
        }
        let fields = self.fields.len().max(here.fields.len());
        (0..fields).find_map(|at| {
            let (ring, here) = (self.fields.get(at), here.fields.get(at));
            let text = |field: Option<&Field>| field.map(Field::to_string).unwrap_or_default();
            (ring != here).then(|| SchemaMismatch::Field {
                place: at + 1,
                ring: text(ring),
                here: text(here),
            })
        })
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{{", self.name)?;
        for (at, field) in self.fields.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            write!(f, "{field}")?;
        }
        f.write_str("}")
    }
}

impl core::str::FromStr for Schema {
    type Err = SchemaError;

    /// Reads `Name{field:kind,...}`, or `field:kind,...` for a message named `Message`.
    fn from_str(text: &str) -> Result<Self, SchemaError> {
        let text = text.trim();
        let syntax = |near: &str| SchemaError::Syntax { near: near.into() };
        let (name, body) = match text.split_once('{') {
            Some((name, rest)) => (name, rest.strip_suffix('}').ok_or_else(|| syntax(rest))?),
            None => ("Message", text),
        };
        let mut fields = Vec::new();
        for part in body.split(',') {
            let part = part.trim();
            let (field, kind) = part.split_once(':').ok_or_else(|| syntax(part))?;
            let (kind, count) = match kind.split_once('[') {
                Some((kind, count)) => {
                    let count = count.strip_suffix(']').ok_or_else(|| syntax(part))?;
                    (kind, count.trim().parse().map_err(|_| syntax(part))?)
                }
                None => (kind, 1),
            };
            let kind = Kind::parse(kind.trim())
                .ok_or_else(|| SchemaError::UnknownKind { field: part.into() })?;
            fields.push(Field {
                name: field.trim().into(),
                kind,
                count,
            });
        }
        Self::new(name.trim(), fields)
    }
}

fn is_identifier(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && !name.as_bytes()[0].is_ascii_digit()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo; parameters from draft-eastlake-fnv). Detects accidents, not
/// malice.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_schema_are_two_forms_of_one_thing() {
        for text in [
            "Quote{time_ns:u64,bid:f64}",
            "A{a:u8}",
            "Book{px:i64[10],qty:u32[10],flags:u16}",
        ] {
            let schema: Schema = text.parse().unwrap();
            assert_eq!(schema.to_string(), text);
            assert_eq!(text.parse::<Schema>().unwrap().hash(), schema.hash());
        }
        let anonymous: Schema = " ts : u64 , px:f64 ".parse().unwrap();
        assert_eq!(anonymous.to_string(), "Message{ts:u64,px:f64}");
    }

    #[test]
    fn what_is_not_a_schema_says_why() {
        let refuse = |text: &str| text.parse::<Schema>().unwrap_err();
        assert!(matches!(refuse(""), SchemaError::Syntax { .. }));
        assert!(matches!(refuse("Q{"), SchemaError::Syntax { .. }));
        assert!(matches!(refuse("a:u64,a:u8"), SchemaError::Repeated { .. }));
        assert!(matches!(refuse("a:text"), SchemaError::UnknownKind { .. }));
        assert!(matches!(
            refuse("a:u8,b:u64"),
            SchemaError::Unaligned { .. }
        ));
        assert!(matches!(refuse("a:u64[0]"), SchemaError::Syntax { .. }));
        assert!(matches!(
            refuse("a:u64[4294967295]"),
            SchemaError::Syntax { .. }
        ));
        assert!(matches!(refuse("1a:u64"), SchemaError::Syntax { .. }));
        let long: Vec<String> = (0..600).map(|i| format!("f{i}:u64")).collect();
        assert!(matches!(
            refuse(&long.join(",")),
            SchemaError::TooLong { .. }
        ));
    }

    #[test]
    fn the_first_difference_is_named() {
        let ring: Schema = "Q{a:u64,b:u32}".parse().unwrap();
        let say = |text: &str| {
            let here: Schema = text.parse().unwrap();
            ring.difference(&here).map(|d| d.to_string())
        };
        assert_eq!(say("Q{a:u64,b:u32}"), None);
        assert_eq!(
            say("R{a:u64}").unwrap(),
            "the message is Q in the ring, R here"
        );
        assert_eq!(
            say("Q{a:u64}").unwrap(),
            "field 2 is b:u32 in the ring, absent here"
        );
        assert_eq!(
            say("Q{a:u64,b:u32,c:u8}").unwrap(),
            "field 3 is absent in the ring, c:u8 here"
        );
    }
}
