//! Messages as text, hex, raw bytes, JSON or a line of fields.

use serde_json::Value;
use slipring::schema::Schema;
use slipring_fields::{hex, json, line, unknown};

/// How `sub` prints a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The bytes as a line of text
    Text,
    /// A line of hexadecimal digits
    Hex,
    /// A JSON object a line; fields by name where the ring has a schema
    Json,
    /// The fields as a line for people, with units, where the ring has a schema
    Fields,
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
            let object = json(schema, sequence, bytes);
            out.extend_from_slice(object.to_string().as_bytes());
            out.push(b'\n');
        }
        Format::Fields => {
            let line = match schema.filter(|schema| schema.bytes() as usize == bytes.len()) {
                Some(schema) => line(schema, bytes),
                None => {
                    let (name, text) = unknown(bytes);
                    format!("{name} {}", Value::from(text))
                }
            };
            out.extend_from_slice(format!("{sequence}: {line}\n").as_bytes());
        }
    }
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
        assert_eq!(print(Format::Fields, None, b"hi"), "7: text \"hi\"\n");
        assert_eq!(print(Format::Fields, None, &[0xff]), "7: hex \"ff\"\n");
    }

    #[test]
    fn fields_print_by_name() {
        let schema: Schema = "Q{p:i16(exponent=-2;unit=USD),k:u8[2](0=a)}"
            .parse()
            .unwrap();
        let bytes = [0x39, 0x30, 0, 9];
        let json = "{\"sequence\":7,\"p\":123.45,\"k\":[\"a\",9]}\n";
        assert_eq!(print(Format::Json, Some(&schema), &bytes), json);
        let line = "7: p 123.45 USD, k [a 9]\n";
        assert_eq!(print(Format::Fields, Some(&schema), &bytes), line);
        // Of another size, it is no message of the schema.
        assert_eq!(
            print(Format::Fields, Some(&schema), b"hi"),
            "7: text \"hi\"\n"
        );
    }
}
