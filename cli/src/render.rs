//! Messages as text, hex, raw bytes or JSON; and JSON back to the bytes of a schema.

use serde_json::{Map, Value};
use slipring::schema::{Kind, Schema};

/// How `sub` prints a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The bytes as a line of text
    Text,
    /// A line of hexadecimal digits
    Hex,
    /// A JSON object a line; fields by name where the ring has a schema
    Json,
    /// The bytes and nothing else
    Raw,
}

/// Appends one message to `out`, in full.
pub fn message(
    format: Format,
    schema: Option<&Schema>,
    sequence: u64,
    bytes: &[u8],
    out: &mut Vec<u8>,
) {
    match format {
        Format::Raw => out.extend_from_slice(bytes),
        Format::Text => {
            out.extend_from_slice(bytes);
            out.push(b'\n');
        }
        Format::Hex => {
            out.extend(bytes.iter().flat_map(|byte| hex(*byte)));
            out.push(b'\n');
        }
        Format::Json => {
            let mut object = Map::new();
            object.insert("sequence".into(), sequence.into());
            match schema.filter(|schema| schema.bytes() as usize == bytes.len()) {
                Some(schema) => decode(schema, bytes, &mut object),
                None => match std::str::from_utf8(bytes) {
                    Ok(text) => {
                        object.insert("text".into(), text.into());
                    }
                    Err(_) => {
                        let digits: Vec<u8> = bytes.iter().flat_map(|byte| hex(*byte)).collect();
                        let digits = String::from_utf8_lossy(&digits).into_owned();
                        object.insert("hex".into(), digits.into());
                    }
                },
            }
            out.extend_from_slice(Value::Object(object).to_string().as_bytes());
            out.push(b'\n');
        }
    }
}

fn hex(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    [
        DIGITS[usize::from(byte >> 4)],
        DIGITS[usize::from(byte & 15)],
    ]
}

fn decode(schema: &Schema, bytes: &[u8], object: &mut Map<String, Value>) {
    let mut rest = bytes;
    for field in schema.fields() {
        let width = field.kind.bytes() as usize;
        let mut elements = Vec::new();
        for _ in 0..field.count {
            let (element, behind) = rest.split_at(width);
            elements.push(number(field.kind, element));
            rest = behind;
        }
        let value = match elements.len() {
            1 => elements.remove(0),
            _ => Value::Array(elements),
        };
        object.insert(field.name.clone(), value);
    }
}

macro_rules! kinds {
    ($($kind:ident $type:ty),*) => {
        /// The number in `bytes`, which are as many as the kind has. What JSON cannot express, an
        /// infinite or undefined float, becomes `null`.
        fn number(kind: Kind, bytes: &[u8]) -> Value {
            match kind {
                $(Kind::$kind => bytes
                    .try_into()
                    .map_or(Value::Null, |bytes| <$type>::from_le_bytes(bytes).into()),)*
            }
        }
    };
}
kinds!(U8 u8, U16 u16, U32 u32, U64 u64, I8 i8, I16 i16, I32 i32, I64 i64, F32 f32, F64 f64);

/// The bytes of a JSON object by a schema; the error names the field.
pub fn encode(schema: &Schema, text: &str) -> Result<Vec<u8>, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let object = value.as_object().ok_or("not a JSON object")?;
    let known =
        |name: &String| *name == "sequence" || schema.fields().iter().any(|f| f.name == *name);
    if let Some(name) = object.keys().find(|name| !known(name)) {
        return Err(format!("the schema has no field {name:?}"));
    }
    let mut bytes = Vec::with_capacity(schema.bytes() as usize);
    for field in schema.fields() {
        let wrong = || format!("field {:?} must be {field}", field.name);
        let value = object
            .get(&field.name)
            .ok_or_else(|| format!("field {:?} is missing", field.name))?;
        let elements = match value {
            Value::Array(elements) => elements.as_slice(),
            value => std::slice::from_ref(value),
        };
        if elements.len() != field.count as usize {
            return Err(wrong());
        }
        for element in elements {
            element_bytes(field.kind, element, &mut bytes).ok_or_else(wrong)?;
        }
    }
    Ok(bytes)
}

fn element_bytes(kind: Kind, value: &Value, out: &mut Vec<u8>) -> Option<()> {
    match kind {
        Kind::F32 => out.extend((value.as_f64()? as f32).to_le_bytes()),
        Kind::F64 => out.extend(value.as_f64()?.to_le_bytes()),
        kind => {
            let wide = value
                .as_i64()
                .map(i128::from)
                .or_else(|| value.as_u64().map(i128::from))?;
            let bits = 8 * kind.bytes();
            let signed = matches!(kind, Kind::I8 | Kind::I16 | Kind::I32 | Kind::I64);
            let (low, high) = if signed {
                (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1)
            } else {
                (0, (1i128 << bits) - 1)
            };
            if !(low..=high).contains(&wide) {
                return None;
            }
            out.extend(&wide.to_le_bytes()[..kind.bytes() as usize]);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(format: Format, schema: Option<&Schema>, bytes: &[u8]) -> String {
        let mut out = Vec::new();
        message(format, schema, 7, bytes, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_and_bytes_are_two_forms_of_one_message() {
        let schema: Schema = "Q{t:u64,p:f64,d:i16[2],f:u32}".parse().unwrap();
        let text = r#"{"t":18446744073709551615,"p":-0.5,"d":[-32768,7],"f":9}"#;
        let bytes = encode(&schema, text).unwrap();
        assert_eq!(bytes.len(), 24);
        let printed = print(Format::Json, Some(&schema), &bytes);
        assert_eq!(printed, text.replace('{', "{\"sequence\":7,") + "\n");
        assert_eq!(
            encode(&schema, &printed).unwrap(),
            bytes,
            "what sub prints, pub reads"
        );
    }

    #[test]
    fn what_does_not_fit_the_schema_names_the_field() {
        let schema: Schema = "Q{t:u8,d:i8[2]}".parse().unwrap();
        let refuse = |text| encode(&schema, text).unwrap_err();
        assert!(refuse("nonsense").contains("not JSON"));
        assert!(refuse("[1]").contains("object"));
        assert!(refuse(r#"{"t":1}"#).contains("\"d\" is missing"));
        assert!(refuse(r#"{"t":256,"d":[0,0]}"#).contains("must be t:u8"));
        assert!(refuse(r#"{"t":1,"d":[0]}"#).contains("must be d:i8[2]"));
        assert!(refuse(r#"{"t":1,"d":[0,0],"x":1}"#).contains("no field \"x\""));
    }

    #[test]
    fn bytes_without_a_schema_print_in_every_format() {
        assert_eq!(print(Format::Text, None, b"hi"), "hi\n");
        assert_eq!(print(Format::Raw, None, b"hi"), "hi");
        assert_eq!(print(Format::Hex, None, &[0, 0xab]), "00ab\n");
        assert_eq!(
            print(Format::Json, None, b"hi"),
            "{\"sequence\":7,\"text\":\"hi\"}\n"
        );
        assert_eq!(
            print(Format::Json, None, &[0xff]),
            "{\"sequence\":7,\"hex\":\"ff\"}\n"
        );
    }
}
