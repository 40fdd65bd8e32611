//! A message as one JSON object.

use crate::fields;
use serde_json::{Map, Value};
use slipring::schema::Schema;

/// The object of a message: its sequence, then its fields by name. Without a schema, or if its size is not that of the
/// schema, its bytes as `text`, or as `hex` where they are no text.
///
/// ```
/// let schema = "Quote{bid:i64(exponent=-2)}".parse()?;
/// let object = slipring_fields::json(Some(&schema), 7, &12345i64.to_le_bytes());
/// assert_eq!(object.to_string(), r#"{"sequence":7,"bid":123.45}"#);
/// # Ok::<(), slipring::schema::SchemaError>(())
/// ```
pub fn json(schema: Option<&Schema>, sequence: u64, bytes: &[u8]) -> Value {
    let mut object = Map::new();
    object.insert("sequence".into(), sequence.into());
    match schema.filter(|schema| schema.bytes() as usize == bytes.len()) {
        Some(schema) => fields::decode(schema, bytes, &mut object),
        None => {
            let (name, text) = unknown(bytes);
            object.insert(name.into(), text.into());
        }
    }
    Value::Object(object)
}

/// Bytes without a schema: `text` and what they say, or `hex` and their digits.
pub fn unknown(bytes: &[u8]) -> (&'static str, String) {
    match std::str::from_utf8(bytes) {
        Ok(text) => ("text", text.to_owned()),
        Err(_) => {
            let digits: Vec<u8> = bytes.iter().flat_map(|byte| hex(*byte)).collect();
            ("hex", String::from_utf8_lossy(&digits).into_owned())
        }
    }
}

/// The two hexadecimal digits of a byte.
pub fn hex(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [
        DIGITS[usize::from(byte >> 4)],
        DIGITS[usize::from(byte & 15)],
    ]
}
