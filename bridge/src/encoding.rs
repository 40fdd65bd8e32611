//! How a message looks to programs that know nothing of rings.
//!
//! | encoding | what is published | needs |
//! |---|---|---|
//! | raw | the bytes of the message | nothing |
//! | CDR | `00 01 00 00`, which says plain CDR in the order of this machine's bytes, and then the bytes of the message | a schema |
//! | JSON | an object with the sequence and the fields by name, as `slipring sub --format json` prints it | a schema |
//!
//! A schema has no padding, and each field lies on a multiple of its own size, of 8 at most. These are the rules of plain
//! CDR (XCDR1) for structs of numbers and of arrays of fixed length, so the bytes of a message are those of CDR.

use slipring::schema::Schema;
use slipring::Ring;
use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

/// How messages are encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Encoding {
    /// The bytes of the message
    #[default]
    Raw,
    /// Plain CDR, little-endian, as ROS 2 and DDS have it; by the schema of the ring
    Cdr,
    /// A JSON object by the schema of the ring, as slipring sub prints it
    Json,
}

impl Encoding {
    /// The media type of what is published; none of raw bytes, which may be anything.
    pub fn media_type(self) -> Option<&'static str> {
        match self {
            Self::Raw => None,
            Self::Cdr => Some("application/cdr"),
            Self::Json => Some("application/json"),
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Raw => "raw",
            Self::Cdr => "cdr",
            Self::Json => "json",
        })
    }
}

/// Why messages, or one of them, cannot be encoded or decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EncodingError {
    /// The encoding needs to know the fields, and the ring has no schema of them.
    NoSchema {
        /// The ring.
        path: PathBuf,
        /// The encoding.
        encoding: Encoding,
        /// The kind of the schema of another system that the ring has instead.
        other: Option<String>,
    },
    /// A message has another size than the schema says, so another implementation published it.
    WrongSize {
        /// Its sequence.
        sequence: u64,
        /// Its bytes.
        len: usize,
        /// The bytes of the schema.
        expected: usize,
    },
    /// What came is CDR of another kind, or none.
    Header {
        /// Its first bytes.
        found: [u8; 4],
    },
    /// What came as CDR has another length than messages of this schema.
    Length {
        /// Its bytes behind the header.
        len: usize,
        /// The bytes of the schema.
        expected: usize,
    },
    /// What came is no JSON of this schema.
    Json {
        /// What is wrong, and with which field.
        why: String,
    },
}

impl fmt::Display for EncodingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSchema {
                path,
                encoding,
                other: None,
            } => write!(
                f,
                "{} has no schema, so its fields are not known: create it with a schema, or use --encoding raw instead of {encoding}",
                path.display()
            ),
            Self::NoSchema {
                path,
                encoding,
                other: Some(kind),
            } => write!(
                f,
                "the messages of {} are of kind {kind}, which cannot be turned into {encoding}: use --encoding raw, with --media-type for the receivers",
                path.display()
            ),
            Self::WrongSize {
                sequence,
                len,
                expected,
            } => write!(
                f,
                "message {sequence} has {len} bytes, and the schema of its ring {expected}: use --encoding raw, or begin behind it (--from)"
            ),
            Self::Header { found } => write!(
                f,
                "it begins with {found:02x?}, not with 00 01 00 00 of plain little-endian CDR"
            ),
            Self::Length { len, expected } => write!(
                f,
                "it has {len} bytes behind the header of CDR, and messages of the schema have {expected}"
            ),
            Self::Json { why } => f.write_str(why),
        }
    }
}

impl std::error::Error for EncodingError {}

/// Bytes of the header of CDR.
const HEADER: usize = 4;
/// Plain CDR (XCDR1), little-endian; the last two bytes are options.
const PLAIN_LITTLE_ENDIAN: [u8; 4] = [0, 1, 0, 0];

/// Turns the messages of a ring into an encoding, and back.
#[derive(Clone, Debug)]
pub(crate) enum Coder {
    Raw,
    Cdr(Schema),
    Json(Schema),
}

impl Coder {
    /// For messages of this ring.
    pub fn new(encoding: Encoding, ring: &Ring) -> Result<Self, EncodingError> {
        let schema = || {
            ring.schema()
                .cloned()
                .ok_or_else(|| EncodingError::NoSchema {
                    path: ring.path().to_owned(),
                    encoding,
                    other: match ring.opaque_schema() {
                        Ok(other) => other.map(|other| other.kind().to_owned()),
                        Err(_) => None,
                    },
                })
        };
        Ok(match encoding {
            Encoding::Raw => Self::Raw,
            Encoding::Cdr => Self::Cdr(schema()?),
            Encoding::Json => Self::Json(schema()?),
        })
    }

    /// What is published of a message.
    pub fn encode<'a>(
        &self,
        sequence: u64,
        message: &'a [u8],
    ) -> Result<Cow<'a, [u8]>, EncodingError> {
        let fits = |schema: &Schema| match schema.bytes() as usize {
            expected if expected == message.len() => Ok(()),
            expected => Err(EncodingError::WrongSize {
                sequence,
                len: message.len(),
                expected,
            }),
        };
        Ok(match self {
            Self::Raw => Cow::Borrowed(message),
            Self::Cdr(schema) => {
                fits(schema)?;
                Cow::Owned([&PLAIN_LITTLE_ENDIAN, message].concat())
            }
            Self::Json(schema) => {
                fits(schema)?;
                let object = slipring_fields::json(Some(schema), sequence, message);
                Cow::Owned(object.to_string().into_bytes())
            }
        })
    }

    /// The message of which this was published.
    pub fn decode<'a>(&self, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, EncodingError> {
        match self {
            Self::Raw => Ok(Cow::Borrowed(bytes)),
            Self::Cdr(schema) => plain(schema, bytes).map(Cow::Borrowed),
            Self::Json(schema) => {
                let wrong = |why| EncodingError::Json { why };
                let text = std::str::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
                let message = slipring_fields::encode(schema, text).map_err(wrong)?;
                Ok(Cow::Owned(message))
            }
        }
    }
}

/// The fields behind the header. Some writers of CDR fill up to a multiple of 4 bytes.
fn plain<'a>(schema: &Schema, bytes: &'a [u8]) -> Result<&'a [u8], EncodingError> {
    let mut found = [0; HEADER];
    let given = bytes.len().min(HEADER);
    found[..given].copy_from_slice(&bytes[..given]);
    if given < HEADER || found[..2] != PLAIN_LITTLE_ENDIAN[..2] {
        return Err(EncodingError::Header { found });
    }
    let (fields, expected) = (&bytes[HEADER..], schema.bytes() as usize);
    match fields.len() {
        len if len == expected || len == expected.next_multiple_of(4) => Ok(&fields[..expected]),
        len => Err(EncodingError::Length { len, expected }),
    }
}
