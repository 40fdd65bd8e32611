//! Schemas, their messages, and texts that are no schema.

use super::{entries, Entry, Kind};
use slipring::layout::schema::fnv1a;
use slipring::schema::{Field, Kind as Number, Schema};
use slipring::{Plain, Ring, Start};
use std::fmt::Write;

/// Schemas as somebody may write them.
const WRITTEN: [&str; 7] = [
    "Every{u64:u64,i64:i64,f64:f64,u32:u32,i32:i32,f32:f32,u16:u16,i16:i16,u8:u8,i8:i8,rest:u8[6]}",
    "Arrays{prices:f64[4],levels:u32[3],signed:i16[4],tags:u16[5],after_tags:u16,narrow:f32[2],long:i64[2],name:i8[3],last:u8}",
    "Aligned{byte:u8,after_byte:u8[7],long:u64,half:u16,after_half:u8[2],word:i32,byte_again:i8,after_again:u8[3],number:f32}",
    "Trade{time_ns:u64(time),seen_ns:i64(monotonic),price:i64(exponent=-4;unit=USD),size:f64(unit=lots),symbol:u8[7](text),side:u8(0=buy;1=sell)}",
    " Spaced { a : u32 [ 2 ] , b : u16 ( exponent=3 ) , c : i8 ( -1=down;0=same;1=up ) }",
    "value:u8",
    "Longest_name_that_a_field_or_a_schema_can_have_is_of_64_letters_{field_with_a_name_of_64_letters_which_is_the_longest_that_may_be:u16[300]}",
];

/// Texts that are no schema, each for another reason.
const REFUSED: [&str; 12] = [
    "Quote{bid:f64",
    "Quote{}",
    "Quote{bid}",
    "Quote{bid:f128}",
    "Quote{bid:f64,bid:f64}",
    "Quote{size:u8,bid:f64}",
    "Quote{bid:f64[0]}",
    "Quote{bid:f64[1]}x",
    "1Quote{bid:f64}",
    "Quote{bid:f64(time)}",
    "Quote{bid:i64(exponent=19)}",
    "Quote{side:u8(0=buy;0=sell)}",
];

slipring::message! {
    /// A field of every type.
    pub struct Every {
        u64: u64, i64: i64, f64: f64, u32: u32, i32: i32, f32: f32, u16: u16, i16: i16, u8: u8, i8: i8, rest: [u8; 6],
    }
}

slipring::message! {
    /// Hints.
    pub struct Trade {
        time_ns: u64 as "time",
        seen_ns: i64 as "monotonic",
        price: i64 as "exponent=-4;unit=USD",
        size: f64 as "unit=lots",
        symbol: [u8; 7] as "text",
        side: u8 as "0=buy;1=sell",
    }
}

/// Element `at` of a field in the message of a number: the least, the greatest, and between.
fn drawn(field: &Field, message: usize, at: usize) -> String {
    let random = fnv1a(format!("{}/{message}/{at}", field.name).as_bytes());
    let floats = [
        0.0,
        -0.0,
        1.5,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        0.1,
        -1e-3,
    ];
    match (field.kind.range(), message) {
        (Some((least, _)), 0) => least.to_string(),
        (Some((_, greatest)), 1) => greatest.to_string(),
        (Some((least, greatest)), _) => {
            let span = greatest - least + 1;
            (least + i128::from(random) % span).to_string()
        }
        (None, 0) if field.kind == Number::F32 => format!("{:?}", f64::from(f32::MIN)),
        (None, 1) if field.kind == Number::F32 => format!("{:?}", f64::from(f32::MIN_POSITIVE)),
        (None, 0) => format!("{:?}", f64::MAX),
        (None, 1) => format!("{:?}", f64::from_bits(1)),
        (None, _) => {
            let float = floats[(random >> 5) as usize % floats.len()];
            match field.kind {
                Number::F32 => format!("{:?}", f64::from(float as f32)),
                _ => format!("{float:?}"),
            }
        }
    }
}

/// The bytes of a value.
fn bytes(kind: Number, value: &str) -> Vec<u8> {
    let integer = || value.parse::<i128>().unwrap();
    match kind {
        Number::F64 => value.parse::<f64>().unwrap().to_le_bytes().to_vec(),
        Number::F32 => (value.parse::<f64>().unwrap() as f32)
            .to_le_bytes()
            .to_vec(),
        _ => {
            let (least, greatest) = kind.range().unwrap();
            assert!((least..=greatest).contains(&integer()), "{value}");
            integer().to_le_bytes()[..kind.bytes() as usize].to_vec()
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn line(word: &str, rest: impl ToString) -> (String, String) {
    (word.to_owned(), rest.to_string())
}

/// Every entry, from the lists above.
pub(super) fn make() -> Vec<Entry> {
    let schemas = WRITTEN.iter().map(|written| {
        let schema: Schema = written.parse().unwrap();
        let mut entry = vec![
            line("schema", schema.name()),
            line("written", written),
            line("text", &schema),
            line("bare", schema.without_hints()),
            line("hash", format!("{:016x}", schema.hash())),
            line("bytes", schema.bytes()),
        ];
        let mut offset = 0;
        for field in schema.fields() {
            let said = format!(
                "{} {} {} {offset}",
                field.name,
                field.kind.name(),
                field.count
            );
            entry.push(line("field", said));
            offset += field.bytes();
        }
        for message in 0..5 {
            let mut whole = Vec::new();
            let mut values = Vec::new();
            for field in schema.fields() {
                let elements = (0..field.count as usize).map(|at| drawn(field, message, at));
                let elements: Vec<String> = elements.collect();
                for element in &elements {
                    whole.extend(bytes(field.kind, element));
                }
                values.push(line(
                    "value",
                    format!("{} {}", field.name, elements.join(" ")),
                ));
            }
            entry.push(line("message", hex(&whole)));
            entry.extend(values);
        }
        entry
    });
    let refused = REFUSED.iter().map(|text| {
        let error = text.parse::<Schema>().unwrap_err();
        vec![line("refused", text), line("says", error)]
    });
    schemas.chain(refused).collect()
}

/// Reads an entry with the library: the schema by its text, and each message through a ring.
pub(super) fn read(entry: &Entry) -> Kind {
    let [(_, name), (_, written), (_, text), (_, bare), (_, hash), (_, size), rest @ ..] =
        &entry[..]
    else {
        panic!("{entry:?}");
    };
    let schema: Schema = written.parse().unwrap();
    let size: usize = size.parse().unwrap();
    assert_eq!(schema.name(), name);
    assert_eq!(&schema.to_string(), text);
    assert_eq!(&schema.without_hints().to_string(), bare);
    assert_eq!(format!("{:016x}", fnv1a(bare.as_bytes())), *hash);
    let scratch = testing::Scratch::new();
    let ring = Ring::builder(scratch.ring())
        .schema(schema)
        .create()
        .unwrap();
    ring.expect_schema(&bare.parse().unwrap()).unwrap();
    let stream = std::fs::read(scratch.ring().join("stream")).unwrap();
    assert_eq!(
        stream[152..160],
        u64::from_str_radix(hash, 16).unwrap().to_le_bytes()
    );
    let mut producer = ring.producer().unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    let schema = ring.schema().unwrap();
    let mut fields = schema.fields().iter();
    let (mut offset, mut messages) = (0, 0);
    let mut lines = rest.iter();
    while let Some((word, rest)) = lines.next() {
        if word == "field" {
            let field = fields.next().unwrap();
            let said = format!(
                "{} {} {} {offset}",
                field.name,
                field.kind.name(),
                field.count
            );
            assert_eq!(*rest, said);
            offset += field.bytes();
            continue;
        }
        assert_eq!(word, "message");
        let mut whole = Vec::new();
        for field in schema.fields() {
            let (word, value) = lines.next().unwrap();
            let mut words = value.split(' ');
            assert_eq!(
                (word.as_str(), words.next()),
                ("value", Some(field.name.as_str()))
            );
            let elements: Vec<&str> = words.collect();
            assert_eq!(elements.len(), field.count as usize);
            whole.extend(
                elements
                    .iter()
                    .flat_map(|element| bytes(field.kind, element)),
            );
        }
        assert_eq!(hex(&whole), *rest);
        producer.publish(&whole).unwrap();
        assert_eq!(*consumer.receive().unwrap().unwrap(), whole[..]);
        messages += 1;
    }
    assert_eq!((offset as usize, fields.next(), messages), (size, None, 5));
    Kind::Schema
}

pub(super) fn read_refused(entry: &Entry) -> Kind {
    let error = entry[0].1.parse::<Schema>().unwrap_err();
    assert_eq!(
        (entry[1].0.as_str(), error.to_string()),
        ("says", entry[1].1.clone())
    );
    assert_eq!(entry.len(), 2);
    Kind::Refused
}

/// The types of `message!` are those of the list: text, size, and the bytes of each message.
pub(super) fn types() {
    let mut seen = 0;
    for entry in entries() {
        if entry[0].0 != "schema" {
            continue;
        }
        match entry[0].1.as_str() {
            "Every" => typed::<Every>(&entry),
            "Trade" => typed::<Trade>(&entry),
            _ => continue,
        }
        seen += 1;
    }
    assert_eq!(seen, 2);
}

fn typed<T: Plain>(entry: &Entry) {
    let of = |word: &str| {
        entry
            .iter()
            .filter(|line| line.0 == word)
            .map(|line| line.1.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(of("text"), [T::schema().to_string()]);
    assert_eq!(of("bytes"), [size_of::<T>().to_string()]);
    let scratch = testing::Scratch::new();
    let ring = Ring::builder(scratch.ring())
        .schema(T::schema())
        .create()
        .unwrap();
    let mut producer = ring.producer().unwrap();
    let mut consumer = ring.typed::<T>().unwrap().consumer(Start::Oldest).unwrap();
    for message in of("message") {
        let digits = message.as_bytes().chunks(2);
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        producer
            .publish(&digits.map(byte).collect::<Vec<u8>>())
            .unwrap();
        let got = consumer.receive().unwrap().unwrap();
        assert_eq!(hex(bytemuck::bytes_of(&*got)), message);
    }
}
