//! A schema in the language of another system, which lies in a file of its own beside the stream.
//!
//! Layer 1. Pure functions between an [`OpaqueSchema`] and the bytes of the file `schema`. The description page
//! has the hash and the length of those bytes.

use super::schema::fnv1a;
use core::fmt;

/// The first bytes of every schema file.
pub const MAGIC: [u8; 8] = *b"SLIPSCHM";
/// Bytes before the texts.
pub const HEADER: usize = 24;
/// The longest kind, in bytes.
pub const MAX_KIND: usize = 32;
/// The longest name, in bytes.
pub const MAX_NAME: usize = 255;

/// A schema in the language of another system: its bytes, which this library does not read, and what they are.
///
/// ```
/// use slipring::schema::OpaqueSchema;
///
/// let text = b"syntax = \"proto3\"; message Quote { double bid = 1; }";
/// let schema = OpaqueSchema::new("protobuf", "quote.proto", *text)?;
/// assert_eq!((schema.kind(), schema.name()), ("protobuf", "quote.proto"));
/// # Ok::<(), slipring::schema::OpaqueSchemaError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpaqueSchema {
    kind: String,
    name: String,
    bytes: Vec<u8>,
}

/// Why something cannot be an opaque schema.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpaqueSchemaError {
    /// The kind is not 1 to 32 of `a-z 0-9 . _ -`.
    Kind {
        /// The text.
        kind: String,
    },
    /// The name has more than 255 bytes, or a control character.
    Name {
        /// The text.
        name: String,
    },
    /// There are too many bytes.
    TooLarge {
        /// How many.
        bytes: usize,
        /// The most there may be.
        max: usize,
    },
}

impl fmt::Display for OpaqueSchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind { kind } => write!(
                f,
                "{kind:?} is not the kind of a schema: use 1 to {MAX_KIND} of a-z 0-9 . _ -, for example sbe, flatbuffers, protobuf or capnp"
            ),
            Self::Name { name } => write!(
                f,
                "{name:?} is not the name of a schema: use up to {MAX_NAME} bytes without control characters"
            ),
            Self::TooLarge { bytes, max } => {
                write!(f, "a schema of {bytes} bytes is too large: it may have up to {max}")
            }
        }
    }
}

impl std::error::Error for OpaqueSchemaError {}

/// Which file a ring has: what its description says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpaqueMark {
    /// FNV-1a, 64 bits, of all bytes of the file.
    pub hash: u64,
    /// How many there are.
    pub bytes: u32,
}

impl OpaqueMark {
    /// The longest file, in bytes.
    pub const MAX_BYTES: u32 = (HEADER + MAX_KIND + MAX_NAME + OpaqueSchema::MAX_BYTES) as u32;
    /// The shortest file.
    pub const MIN_BYTES: u32 = HEADER as u32 + 1;

    /// What the description says of these bytes.
    pub fn of(file: &[u8]) -> Self {
        Self {
            hash: fnv1a(file),
            bytes: file.len() as u32,
        }
    }
}

impl OpaqueSchema {
    /// The most bytes it may have: 1 MiB.
    pub const MAX_BYTES: usize = 1 << 20;

    /// A schema of a kind (`sbe`, `flatbuffers`, `protobuf`, `capnp`, or another word), with a name for display.
    ///
    /// # Errors
    /// [`OpaqueSchemaError`] if the kind or the name is none, or there are more than
    /// [`MAX_BYTES`](Self::MAX_BYTES).
    pub fn new(
        kind: impl Into<String>,
        name: impl Into<String>,
        bytes: impl Into<Vec<u8>>,
    ) -> Result<Self, OpaqueSchemaError> {
        let (kind, name, bytes) = (kind.into(), name.into(), bytes.into());
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        if kind.is_empty() || kind.len() > MAX_KIND || !kind.bytes().all(allowed) {
            return Err(OpaqueSchemaError::Kind { kind });
        }
        if name.len() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(OpaqueSchemaError::Name { name });
        }
        if bytes.len() > Self::MAX_BYTES {
            return Err(OpaqueSchemaError::TooLarge {
                bytes: bytes.len(),
                max: Self::MAX_BYTES,
            });
        }
        Ok(Self { kind, name, bytes })
    }

    /// Returns the kind: the language of the bytes.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Returns the name, which may be empty.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the bytes, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// The bytes of the file of a schema.
pub fn encode(schema: &OpaqueSchema) -> Vec<u8> {
    let parts = [
        schema.kind.as_bytes(),
        schema.name.as_bytes(),
        &schema.bytes,
    ];
    let mut file = MAGIC.to_vec();
    for part in parts {
        file.extend_from_slice(&(part.len() as u32).to_le_bytes());
    }
    file.resize(HEADER, 0);
    file.extend_from_slice(&parts.concat());
    file
}

/// Reads the bytes of a file. Total: any bytes are a schema or none.
pub fn decode(file: &[u8]) -> Option<OpaqueSchema> {
    let (header, mut rest) = file.split_at_checked(HEADER)?;
    let (magic, numbers) = header.split_at(MAGIC.len());
    let mut parts = [&[][..]; 3];
    for (part, len) in parts.iter_mut().zip(numbers.chunks_exact(4)) {
        let len = u32::from_le_bytes(len.try_into().ok()?);
        (*part, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    }
    if magic != MAGIC || numbers[12..] != [0; 4] || !rest.is_empty() {
        return None;
    }
    let [kind, name, bytes] = parts;
    let text = |bytes: &[u8]| core::str::from_utf8(bytes).map(str::to_owned).ok();
    OpaqueSchema::new(text(kind)?, text(name)?, bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_it_was_written_or_not_at_all() {
        for (kind, name, bytes) in [
            ("sbe", "", &b""[..]),
            ("a", "h\u{e4}user.xml", b"x"),
            (&"k".repeat(32), &"n".repeat(255), &[0xff; 1000]),
        ] {
            let schema = OpaqueSchema::new(kind, name, bytes).unwrap();
            let file = encode(&schema);
            assert_eq!(decode(&file), Some(schema.clone()));
            assert!(
                (OpaqueMark::MIN_BYTES as usize..=OpaqueMark::MAX_BYTES as usize)
                    .contains(&file.len())
            );
            for len in 0..file.len() {
                assert_eq!(decode(&file[..len]), None, "{len}");
            }
            let mut longer = file.clone();
            longer.push(0);
            assert_eq!(decode(&longer), None);
            for at in 0..HEADER {
                let mut bad = file.clone();
                bad[at] ^= 0x80;
                assert_eq!(decode(&bad), None, "byte {at}");
            }
        }
        let largest = OpaqueSchema::new("k".repeat(32), "n".repeat(255), vec![1; 1 << 20]).unwrap();
        assert_eq!(encode(&largest).len(), OpaqueMark::MAX_BYTES as usize);
    }

    #[test]
    fn what_is_no_opaque_schema_says_why() {
        for kind in ["", "SBE", "a b", "a/b", &"k".repeat(33)] {
            let refused = OpaqueSchema::new(kind, "", []);
            assert!(
                matches!(refused, Err(OpaqueSchemaError::Kind { .. })),
                "{kind}"
            );
        }
        for name in ["\n", "a\u{1b}[2J", &"n".repeat(256)] {
            let refused = OpaqueSchema::new("sbe", name, []);
            assert!(
                matches!(refused, Err(OpaqueSchemaError::Name { .. })),
                "{name:?}"
            );
        }
        let refused = OpaqueSchema::new("sbe", "", vec![0; (1 << 20) + 1]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "a schema of 1048577 bytes is too large: it may have up to 1048576"
        );
    }
}
