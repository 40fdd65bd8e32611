//! The fields of a message as JSON or words, and JSON back to bytes, as the hints of its schema say.

use crate::time;
use serde_json::{json, Map, Number, Value};
use slipring::schema::{Field, Hint, Kind, Schema};

/// Adds the fields of a message, whose size is that of the schema.
pub fn decode(schema: &Schema, bytes: &[u8], object: &mut Map<String, Value>) {
    for (field, bytes) in parts(schema, bytes) {
        object.insert(field.name.clone(), value(field, bytes));
    }
}

/// The fields of a message on one line, for people, with their units.
pub fn line(schema: &Schema, bytes: &[u8]) -> String {
    let words = parts(schema, bytes).map(|(field, bytes)| {
        let unit = match &field.hint {
            Some(Hint::Number { unit, .. }) if !unit.is_empty() => format!(" {unit}"),
            Some(Hint::Monotonic) => " s".to_owned(),
            _ => String::new(),
        };
        // A text is quoted, for it may hold anything.
        let bare = field.hint != Some(Hint::Text);
        let word = |value: &Value| match value {
            Value::String(text) if bare => text.clone(),
            value => value.to_string(),
        };
        let shown = match value(field, bytes) {
            Value::Array(elements) => {
                let elements: Vec<String> = elements.iter().map(word).collect();
                format!("[{}]", elements.join(" "))
            }
            value => word(&value),
        };
        format!("{} {shown}{unit}", field.name)
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The fields with their offsets and hints, for programs.
pub fn describe(schema: &Schema) -> Value {
    let mut offset = 0;
    let fields = schema.fields().iter().map(|field| {
        let mut object = json!({
            "name": field.name,
            "type": field.kind.name(),
            "count": field.count,
            "offset": offset,
        });
        offset += field.bytes();
        match &field.hint {
            None => {}
            Some(Hint::Number { exponent, unit }) => {
                object["exponent"] = json!(exponent);
                if !unit.is_empty() {
                    object["unit"] = json!(unit);
                }
            }
            Some(Hint::Names(names)) => {
                let names = names
                    .iter()
                    .map(|(value, name)| (value.to_string(), json!(name)));
                object["names"] = Value::Object(names.collect());
            }
            Some(hint) => object["shown_as"] = json!(hint.to_string()),
        }
        object
    });
    Value::Array(fields.collect())
}

/// Each field and its bytes.
fn parts<'a>(
    schema: &'a Schema,
    bytes: &'a [u8],
) -> impl Iterator<Item = (&'a Field, &'a [u8])> + 'a {
    let mut rest = bytes;
    schema.fields().iter().map(move |field| {
        let (part, behind) = rest.split_at(rest.len().min(field.bytes() as usize));
        rest = behind;
        (field, part)
    })
}

fn value(field: &Field, bytes: &[u8]) -> Value {
    if field.hint == Some(Hint::Text) {
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        if let Ok(text) = std::str::from_utf8(&bytes[..used]) {
            return text.into();
        }
    }
    let elements = bytes.chunks_exact(field.kind.bytes() as usize);
    let mut elements: Vec<Value> = elements.map(|bytes| element(field, bytes)).collect();
    match elements.len() {
        1 => elements.remove(0),
        _ => Value::Array(elements),
    }
}

fn element(field: &Field, bytes: &[u8]) -> Value {
    let Some(stored) = integer(field.kind, bytes) else {
        return match field.kind {
            Kind::F32 => bytes
                .try_into()
                .map_or(Value::Null, |b| f32::from_le_bytes(b).into()),
            _ => bytes
                .try_into()
                .map_or(Value::Null, |b| f64::from_le_bytes(b).into()),
        };
    };
    match &field.hint {
        Some(Hint::Time) => time::show(stored).into(),
        Some(Hint::Names(names)) => match names.iter().find(|(value, _)| *value == stored) {
            Some((_, name)) => name.as_str().into(),
            None => decimal(stored, 0),
        },
        hint => decimal(stored, exponent(hint.as_ref())),
    }
}

/// The power of ten between a stored integer and the number that is shown.
fn exponent(hint: Option<&Hint>) -> i32 {
    match hint {
        Some(Hint::Number { exponent, .. }) => i32::from(*exponent),
        Some(Hint::Monotonic) => -9,
        _ => 0,
    }
}

/// The integer that lies in these bytes; `None` of other types.
fn integer(kind: Kind, bytes: &[u8]) -> Option<i128> {
    let (low, _) = kind.range()?;
    let negative = low < 0 && bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let begin = if negative { -1 } else { 0 };
    Some(
        bytes
            .iter()
            .rev()
            .fold(begin, |n, byte| n << 8 | i128::from(*byte)),
    )
}

/// An integer times a power of ten, in all its digits.
fn decimal(n: i128, exponent: i32) -> Value {
    let text = match exponent {
        0 => n.to_string(),
        1.. if n != 0 => format!("{n}{}", "0".repeat(exponent as usize)),
        1.. => "0".to_owned(),
        _ => {
            let places = exponent.unsigned_abs() as usize;
            let digits = format!("{:0>width$}", n.unsigned_abs(), width = places + 1);
            let (whole, part) = digits.split_at(digits.len() - places);
            let sign = if n < 0 { "-" } else { "" };
            let text = format!("{sign}{whole}.{part}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    };
    text.parse::<Number>().map_or(Value::Null, Value::Number)
}

/// The integer of which a number is the value times a power of ten; `None` if there is none.
fn scaled(number: &Number, exponent: i32) -> Option<i128> {
    let text = number.to_string();
    let (mantissa, power) = match text.split_once(['e', 'E']) {
        Some((mantissa, power)) => (mantissa, power.parse::<i32>().ok()?),
        None => (text.as_str(), 0),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let part = part.trim_end_matches('0');
    let mantissa: i128 = format!("{whole}{part}").parse().ok()?;
    let shift = i64::from(power) - part.len() as i64 - i64::from(exponent);
    if mantissa == 0 {
        return Some(0);
    }
    let ten = 10i128.checked_pow(u32::try_from(shift.unsigned_abs()).ok()?)?;
    match shift {
        0.. => mantissa.checked_mul(ten),
        _ if mantissa % ten == 0 => Some(mantissa / ten),
        _ => None,
    }
}

/// The bytes of a JSON object by a schema; a `sequence` is ignored. JSON has no infinite numbers and no NaN: [`decode`]
/// makes `null` of them, which is refused here, as is a number that a field would make infinite.
///
/// # Errors
/// What is wrong, with the name of the field.
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
        if let (Some(Hint::Text), Value::String(text)) = (&field.hint, value) {
            let room = (field.count as usize)
                .checked_sub(text.len())
                .ok_or_else(wrong)?;
            bytes.extend_from_slice(text.as_bytes());
            bytes.resize(bytes.len() + room, 0);
            continue;
        }
        let elements = match value {
            Value::Array(elements) => elements.as_slice(),
            value => std::slice::from_ref(value),
        };
        if elements.len() != field.count as usize {
            return Err(wrong());
        }
        for element in elements {
            element_bytes(field, element, &mut bytes).ok_or_else(wrong)?;
        }
    }
    Ok(bytes)
}

fn element_bytes(field: &Field, value: &Value, out: &mut Vec<u8>) -> Option<()> {
    let Some((low, high)) = field.kind.range() else {
        let number = value.as_f64().filter(|number| number.is_finite())?;
        match field.kind {
            Kind::F32 => {
                let number = Some(number as f32).filter(|number| number.is_finite())?;
                out.extend(number.to_le_bytes());
            }
            _ => out.extend(number.to_le_bytes()),
        }
        return Some(());
    };
    let stored = match (&field.hint, value) {
        (Some(Hint::Time), Value::String(text)) => time::read(text)?,
        (Some(Hint::Names(names)), Value::String(text)) => {
            names.iter().find(|(_, name)| name == text)?.0
        }
        (hint, Value::Number(number)) => scaled(number, exponent(hint.as_ref()))?,
        _ => return None,
    };
    if !(low..=high).contains(&stored) {
        return None;
    }
    out.extend(&stored.to_le_bytes()[..field.kind.bytes() as usize]);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json_of(schema: &Schema, bytes: &[u8]) -> String {
        let mut object = Map::new();
        decode(schema, bytes, &mut object);
        Value::Object(object).to_string()
    }

    /// What `sub` prints, `pub` reads; to the last digit.
    #[test]
    fn json_and_bytes_are_two_forms_of_one_message() {
        for (schema, text) in [
            (
                "Q{t:u64,p:f64,d:i16[2],f:u32}",
                r#"{"t":18446744073709551615,"p":-0.5,"d":[-32768,7],"f":9}"#,
            ),
            (
                "Q{t:u64(time),m:i64(monotonic),p:i64(exponent=-4;unit=USD),s:u8[7](text),k:i8(-1=buy;1=sell)}",
                r#"{"t":"2026-01-31T23:59:59.000000001Z","m":-12.000000001,"p":99.5,"s":"SLIP","k":"buy"}"#,
            ),
            (
                "Q{p:i64(exponent=-18),n:u64(exponent=18),z:i64(exponent=3)}",
                r#"{"p":-9.223372036854775808,"n":18446744073709551615000000000000000000,"z":0}"#,
            ),
            (
                "Q{k:i16[3](7=seven),s:u8[2](text),e:u8[3](text)}",
                r#"{"k":["seven",-7,0],"s":[255,0],"e":""}"#,
            ),
            ("Q{x:f32(unit=m/s)}", r#"{"x":0.1}"#),
        ] {
            let schema: Schema = schema.parse().unwrap();
            let bytes = encode(&schema, text).unwrap();
            assert_eq!(bytes.len(), schema.bytes() as usize);
            assert_eq!(json_of(&schema, &bytes), text);
        }
    }

    /// Every value of small integers, and random ones of large integers, by every exponent.
    #[test]
    fn no_digit_is_lost() {
        let mut random = fastrand::Rng::with_seed(7);
        for exponent in (-18..=18).filter(|n| *n != 0) {
            let schema: Schema =
                format!("Q{{a:i64(exponent={exponent}),b:u64(exponent={exponent})}}")
                    .parse()
                    .unwrap();
            for _ in 0..300 {
                let (a, b) = (
                    random.u64(..) >> random.u32(..64),
                    random.u64(..) >> random.u32(..64),
                );
                let a = if random.bool() { a } else { a.wrapping_neg() };
                let bytes = [a.to_le_bytes(), b.to_le_bytes()].concat();
                let text = json_of(&schema, &bytes);
                assert_eq!(encode(&schema, &text), Ok(bytes), "{text}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_the_schema_names_the_field() {
        let schema: Schema = "Q{t:u8,d:i8[2]}".parse().unwrap();
        let refuse = |text| encode(&schema, text).unwrap_err();
        assert!(refuse("nonsense").contains("not JSON"));
        assert!(refuse("[1]").contains("object"));
        assert!(refuse(r#"{"t":1}"#).contains("\"d\" is missing"));
        assert!(refuse(r#"{"t":256,"d":[0,0]}"#).contains("must be t:u8"));
        assert!(refuse(r#"{"t":0.5,"d":[0,0]}"#).contains("must be t:u8"));
        assert!(refuse(r#"{"t":"a","d":[0,0]}"#).contains("must be t:u8"));
        assert!(refuse(r#"{"t":1,"d":[0]}"#).contains("must be d:i8[2]"));
        assert!(refuse(r#"{"t":1,"d":[0,0],"x":1}"#).contains("no field \"x\""));
        for (schema, value) in [
            ("Q{a:i64(exponent=-2)}", "0.001"),
            ("Q{a:i64(exponent=2)}", "150"),
            ("Q{a:i64(exponent=-2)}", "1e300"),
            ("Q{a:i64(exponent=-2)}", "1e999999999999"),
            ("Q{a:f32}", "1e39"),
            ("Q{a:f64}", "1e309"),
            ("Q{a:f64}", "null"),
            ("Q{a:u64(time)}", "\"1969-12-31T23:59:59Z\""),
            ("Q{a:u64(time)}", "\"yesterday\""),
            ("Q{a:u8(0=buy)}", "\"sell\""),
            ("Q{a:u8[3](text)}", "\"four\""),
        ] {
            let schema: Schema = schema.parse().unwrap();
            let wrong = encode(&schema, &format!("{{\"a\":{value}}}")).unwrap_err();
            assert!(wrong.contains("field \"a\" must be a:"), "{wrong}");
        }
        let tens: Schema = "Q{a:i64(exponent=-2)}".parse().unwrap();
        assert_eq!(
            encode(&tens, r#"{"a":1.5e2}"#),
            Ok(15_000i64.to_le_bytes().to_vec())
        );
    }

    #[test]
    fn lines_are_for_people() {
        let schema: Schema =
            "Q{t:u64(time),m:u64(monotonic),p:i32[2](exponent=-2;unit=USD),s:u8[3](text),k:u8(0=buy)}"
                .parse()
                .unwrap();
        let text = r#"{"t":0,"m":1.5,"p":[1,-0.01],"s":"a,b","k":0}"#;
        let bytes = encode(&schema, text).unwrap();
        assert_eq!(
            line(&schema, &bytes),
            "t 1970-01-01T00:00:00Z, m 1.5 s, p [1 -0.01] USD, s \"a,b\", k buy"
        );
        let described = describe(&schema);
        assert_eq!(described[2]["unit"], "USD");
        assert_eq!(described[2]["offset"], 16);
        assert_eq!(described[4]["names"]["0"], "buy");
        assert_eq!(described[1]["shown_as"], "monotonic");
    }
}
