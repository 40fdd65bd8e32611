//! The fields of a message, and how two schemas differ.
//!
//! Layer 1. Pure. The canonical text of a schema is `Name{field:kind,field:kind[count](hint)}`; it lies in
//! the description page, so any tool can print the messages of a ring it was not built for. What two programs
//! have to agree on is the text without hints.

mod error;
mod text;

pub use super::field::Field;
pub use super::hint::{check as check_hint, Hint};
pub use super::kind::Kind;
pub use error::{SchemaError, SchemaMismatch};

use core::fmt;

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

/// A schema that is put together field by field. Made by [`Schema::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder makes nothing until `build`"]
pub struct SchemaBuilder {
    name: String,
    fields: Vec<Field>,
}

impl SchemaBuilder {
    /// Adds a field of one element.
    pub fn field(self, name: impl Into<String>, kind: Kind) -> Self {
        self.push(Field::new(name, kind, 1))
    }

    /// Adds an array of this many elements.
    pub fn array(self, name: impl Into<String>, kind: Kind, count: u32) -> Self {
        self.push(Field::new(name, kind, count))
    }

    /// Adds a field, for example one with a hint.
    pub fn push(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// Makes the schema.
    ///
    /// # Errors
    /// As [`Schema::new`].
    pub fn build(self) -> Result<Schema, SchemaError> {
        Schema::new(&self.name, self.fields)
    }
}

impl Schema {
    /// The longest canonical text, in bytes.
    pub const MAX_TEXT: usize = 3576;

    /// Begins a schema for messages of this name.
    ///
    /// ```
    /// use slipring::schema::{Field, Hint, Kind, Schema};
    ///
    /// let schema = Schema::builder("Tick")
    ///     .push(Field::new("time_ns", Kind::U64, 1).shown_as(Hint::Time))
    ///     .field("price", Kind::F64)
    ///     .array("levels", Kind::U32, 4)
    ///     .build()?;
    /// assert_eq!(schema.to_string(), "Tick{time_ns:u64(time),price:f64,levels:u32[4]}");
    /// # Ok::<(), slipring::schema::SchemaError>(())
    /// ```
    pub fn builder(name: impl Into<String>) -> SchemaBuilder {
        SchemaBuilder {
            name: name.into(),
            fields: Vec::new(),
        }
    }

    /// A schema from its parts.
    ///
    /// # Errors
    /// [`SchemaError`] if a name is not an identifier or repeated, a field would need padding
    /// before it, or the text is too long.
    pub fn new(name: &str, fields: Vec<Field>) -> Result<Self, SchemaError> {
        let mut at = name.len() + 1;
        let mut places = Vec::new();
        for field in &fields {
            places.push(at);
            at += field.to_string().len() + 1;
        }
        Self::checked((0, name.into()), places, fields)
    }

    /// A schema from its parts, whose places an error names.
    fn checked(
        (name_at, name): (usize, String),
        places: Vec<usize>,
        fields: Vec<Field>,
    ) -> Result<Self, SchemaError> {
        let mut offset = 0u32;
        for (n, (at, field)) in places.iter().copied().zip(&fields).enumerate() {
            let syntax = |expected| SchemaError::Syntax {
                at,
                near: field.to_string(),
                expected,
            };
            if !is_identifier(&field.name) {
                return Err(syntax(NAME));
            }
            if field.count == 0 {
                return Err(syntax("how many elements the array has, 1 at least"));
            }
            if fields[..n].iter().any(|earlier| earlier.name == field.name) {
                return Err(SchemaError::Repeated {
                    at,
                    field: field.name.clone(),
                });
            }
            if !offset.is_multiple_of(field.kind.bytes()) {
                return Err(SchemaError::Unaligned {
                    at,
                    field: field.to_string(),
                });
            }
            let hint = field.hint.as_ref();
            if let Some(expected) = hint.and_then(|hint| hint.fault(field.kind)) {
                return Err(SchemaError::Hint {
                    at,
                    field: field.name.clone(),
                    expected,
                });
            }
            let bytes = field.kind.bytes().checked_mul(field.count);
            offset = bytes
                .and_then(|bytes| offset.checked_add(bytes))
                .ok_or_else(|| syntax("a message of less than 4 GiB"))?;
        }
        let syntax = |expected| SchemaError::Syntax {
            at: name_at,
            near: name.clone(),
            expected,
        };
        if !is_identifier(&name) {
            return Err(syntax(NAME));
        }
        if fields.is_empty() {
            return Err(syntax("a message with a field"));
        }
        let schema = Self { name, fields };
        let bytes = schema.to_string().len();
        if bytes > Self::MAX_TEXT {
            return Err(SchemaError::TooLong {
                bytes,
                max: Self::MAX_TEXT,
            });
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

    /// Returns the same schema without the hints of its fields. Two programs understand each other's messages
    /// exactly if these are equal.
    pub fn without_hints(&self) -> Self {
        Self {
            name: self.name.clone(),
            fields: self.fields.iter().map(Field::bare).collect(),
        }
    }

    /// Returns a hash of the canonical text without hints (FNV-1a, 64 bits), for quick comparison and display.
    /// Equality is decided by the text.
    pub fn hash(&self) -> u64 {
        fnv1a(self.without_hints().to_string().as_bytes())
    }

    /// Returns how this schema, a ring's, differs from the one `here` expects; `None` if they are equal but for
    /// hints.
    pub fn difference(&self, here: &Self) -> Option<SchemaMismatch> {
        if self.name != here.name {
            return Some(SchemaMismatch::Name {
                ring: self.name.clone(),
                here: here.name.clone(),
            });
        }
        let fields = self.fields.len().max(here.fields.len());
        (0..fields).find_map(|at| {
            let bare = |schema: &Self| schema.fields.get(at).map(Field::bare);
            let (ring, here) = (bare(self), bare(here));
            let text = |field: Option<Field>| field.map(|f| f.to_string()).unwrap_or_default();
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
        let parsed = text::parse(text)?;
        let (places, fields) = parsed.fields.into_iter().unzip();
        Self::checked(parsed.name, places, fields)
    }
}

const NAME: &str = "a name of 1 to 64 letters, digits and _, no digit first";

fn is_identifier(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && !name.as_bytes()[0].is_ascii_digit()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo; parameters from draft-eastlake-fnv). Detects accidents, not
/// malice.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(FNV_OFFSET, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)
    })
}

/// What a hash begins with.
pub const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
/// What it is multiplied by for each byte.
pub const FNV_PRIME: u64 = 0x100_0000_01b3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_schema_are_two_forms_of_one_thing() {
        for text in [
            "Quote{time_ns:u64,bid:f64}",
            "A{a:u8}",
            "Book{px:i64[10],qty:u32[10],flags:u16}",
            "T{t:u64(time),m:i64(monotonic),p:i64[2](exponent=-4;unit=USD),s:u8[8](text),x:f32(unit=%),k:i8(-1=a;0=b)}",
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
        // Each says where.
        for (text, at, expected) in [
            ("", 0, "the name of a field"),
            ("a", 1, "a : behind"),
            ("Q{a:u8", 6, "a comma, or }"),
            ("Q{a:u8}x", 7, "nothing behind"),
            ("a:u8}", 4, "a comma, or the end"),
            ("a:u8,", 5, "the name of a field"),
            ("a:u8[x]", 5, "how many elements"),
            ("a:u8[+2]", 5, "how many elements"),
            ("a:u8[2", 6, "a ] behind"),
            ("a:u8(text", 5, "a hint and a )"),
            ("Q{}", 2, "the name of a field"),
            ("1Q{a:u8}", 0, "a name of"),
            (" a:u8, 1b:u8", 7, "a name of"),
            ("a:u64[4294967295]", 0, "4 GiB"),
        ] {
            match refuse(text) {
                SchemaError::Syntax {
                    at: found,
                    expected: why,
                    ..
                } => {
                    assert_eq!(found, at, "{text}: {why}");
                    assert!(why.contains(expected), "{text}: {why}");
                }
                other => panic!("{text}: {other}"),
            }
        }
        assert_eq!(
            refuse("Q{a:u64, b:f64( exponent=2 )}"),
            SchemaError::Hint {
                at: 16,
                field: "b".into(),
                expected: "a field of integers: only these have an exponent"
            }
        );
        assert_eq!(
            refuse("b:u64,a:nine[3]"),
            SchemaError::UnknownKind {
                at: 8,
                field: "a:nine".into()
            }
        );
        let long: Vec<String> = (0..600).map(|i| format!("f{i}:u64")).collect();
        assert!(matches!(
            refuse(&long.join(",")),
            SchemaError::TooLong { .. }
        ));
    }

    #[test]
    fn parts_are_checked_like_a_text() {
        let field = |name: &str| Field::new(name, Kind::U8, 1);
        let exponent = Hint::Number {
            exponent: 2,
            unit: String::new(),
        };
        let schema = Schema::new("Q", vec![field("a").shown_as(exponent.clone())]).unwrap();
        assert_eq!(schema.to_string(), "Q{a:u8(exponent=2)}");
        let refuse = |fields| Schema::new("Q", fields).unwrap_err();
        assert!(matches!(refuse(vec![]), SchemaError::Syntax { at: 0, .. }));
        let fields = vec![field("a"), field("b:u8,c")];
        assert!(matches!(refuse(fields), SchemaError::Syntax { at: 7, .. }));
        let fields = vec![field("a"), Field::new("f", Kind::F32, 0)];
        assert!(matches!(refuse(fields), SchemaError::Syntax { at: 7, .. }));
        let fields = vec![Field::new("f", Kind::F32, 1).shown_as(exponent)];
        assert!(matches!(refuse(fields), SchemaError::Hint { at: 2, .. }));
        assert!(Schema::new("a b", vec![field("a")]).is_err());
    }

    #[test]
    fn the_first_difference_is_named() {
        let ring: Schema = "Q{a:u64,b:u32}".parse().unwrap();
        let say = |text: &str| {
            let here: Schema = text.parse().unwrap();
            ring.difference(&here).map(|d| d.to_string())
        };
        assert_eq!(say("Q{a:u64,b:u32}"), None);
        assert_eq!(say("Q{a:u64(time),b:u32(unit=s)}"), None);
        assert_eq!(
            say("Q{a:u64(time),b:i32(unit=s)}").unwrap(),
            "field 2 is b:u32 in the ring, b:i32 here"
        );
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
