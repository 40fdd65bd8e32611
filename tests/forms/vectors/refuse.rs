//! Makes the vectors of descriptions that must be refused: the ring `empty` with one field changed.

use super::file::{Expected, Files, Json};
use super::make::{seal, Vectors};
use slipring::layout::schema::fnv1a;
use slipring::place::{DescriptionError, GeometryError};

/// What is refused: the rule, what was found, and what was expected; the latter two if they are one number.
pub fn refusal(rule: &str, found: Option<u64>, expected: Option<u64>) -> Expected {
    let refused = Json::Object(vec![
        ("rule", rule.into()),
        ("found", Json::maybe(found)),
        ("expected", Json::maybe(expected)),
    ]);
    Expected::default().with("refused", refused)
}

/// The rules, by the names that this implementation gives to fields.
const RULES: [(&str, &str); 22] = [
    ("block size", "block"),
    ("byte behind its schema", "schema"),
    ("data offset", "data offset"),
    ("control size", "control size"),
    ("eviction bit", "eviction"),
    ("first parameter", "parameter"),
    ("form bit", "form"),
    ("hash of its schema", "schema"),
    ("hash of no schema file", "schema file"),
    ("host of its origin", "host"),
    ("index offset", "index offset"),
    ("largest message", "largest message"),
    ("length of its schema file", "schema file"),
    ("name of its maker", "maker"),
    ("number of board words", "board"),
    ("part of an origin without an identity", "origin"),
    ("reserved byte", "reserved"),
    ("schema", "schema"),
    ("schema length", "schema"),
    ("second parameter", "parameter"),
    ("stamp bit", "stamp"),
    ("stream size", "stream size"),
];

/// The same, of an error of this implementation.
pub fn refused_here(error: &DescriptionError) -> Expected {
    use DescriptionError as E;
    let named = |what: &str| {
        let rule = RULES.iter().find(|(name, _)| *name == what);
        rule.unwrap_or_else(|| panic!("no rule for {what}")).1
    };
    match error {
        E::Foreign => refusal("magic", None, None),
        E::Version { found } => refusal("version", Some((*found).into()), Some(3)),
        E::ByteOrder => refusal("byte order", None, None),
        E::Features { unknown } => refusal("features", Some(*unknown), Some(0)),
        E::Form { found } => refusal("form", Some((*found).into()), None),
        E::Geometry(GeometryError::Capacity { bytes }) => refusal("capacity", Some(*bytes), None),
        E::Geometry(GeometryError::Align { bytes }) => refusal("alignment", Some(*bytes), None),
        E::Geometry(GeometryError::Rows { rows }) => refusal("rows", Some((*rows).into()), None),
        E::Geometry(GeometryError::Board { words }) => {
            refusal("board", Some((*words).into()), None)
        }
        E::Size {
            what,
            found,
            expected,
        }
        | E::Inconsistent {
            what,
            found,
            expected,
        } => refusal(named(what), Some(*found), Some(*expected)),
        E::Bytes { what, .. } => refusal(named(what), None, None),
        E::Checksum { found, expected } => refusal("checksum", Some(*found), Some(*expected)),
        other => panic!("{other}"),
    }
}

/// What is changed: a name, the field and its bytes, the bits; then the rule that is broken, and what is expected.
type Change = (&'static str, usize, usize, u64, &'static str, Option<u64>);

/// Every vector of a refused description.
pub fn refused(all: &mut Vectors) {
    let empty: Files = all.0["empty"].0.clone();
    let mut add = |name: &str, about: &str, change: &dyn Fn(&mut [u8]) -> Expected| {
        let mut files = empty.clone();
        let expected = change(files.file("stream"));
        all.add(&format!("refused-{name}"), about, files, expected);
    };
    let words: [Change; 27] = [
        ("version", 8, 4, 1, "version", Some(3)),
        ("features", 16, 8, 1 << 40, "features", Some(0)),
        ("capacity", 40, 8, 1, "capacity", None),
        ("capacity-small", 40, 8, 4096 ^ 2048, "capacity", None),
        ("block", 48, 8, 512 ^ 4096, "block", Some(512)),
        ("alignment", 56, 4, 8 ^ 16, "alignment", None),
        ("rows", 60, 4, 4, "rows", None),
        ("rows-many", 60, 4, 4 ^ 1025, "rows", None),
        ("largest", 64, 4, 8, "largest message", Some(1024)),
        ("board", 68, 4, 1, "board", Some(0)),
        ("index-offset", 80, 8, 4096, "index offset", Some(8192)),
        ("data-offset", 88, 8, 4096, "data offset", Some(12288)),
        ("stream-size", 96, 8, 4096, "stream size", Some(16384)),
        ("control-size", 104, 8, 4096, "control size", Some(8192)),
        ("schema-hash", 152, 8, 1 << 63, "schema", Some(0)),
        ("schema-length", 160, 4, 3577, "schema", Some(3576)),
        ("form-unknown", 164, 4, 1 << 31, "form", None),
        ("eviction-time", 168, 8, 1, "eviction", Some(1)),
        ("first-parameter", 176, 8, 1, "parameter", Some(0)),
        ("second-parameter", 184, 8, 1 << 56, "parameter", Some(0)),
        ("schema-file-hash", 312, 8, 1, "schema file", Some(0)),
        (
            "schema-file-short",
            320,
            4,
            24,
            "schema file",
            Some(1_048_887),
        ),
        (
            "schema-file-long",
            320,
            4,
            1_048_888,
            "schema file",
            Some(1_048_887),
        ),
        ("reserved", 324, 4, 1, "reserved", None),
        ("reserved-last", 412, 4, 1 << 31, "reserved", None),
        ("form-bit", 164, 4, 1, "form", Some(1)),
        ("stamps", 16, 8, 8, "board", Some(608 * 4)),
    ];
    for (name, at, bytes, xor, rule, expected) in words {
        add(
            name,
            &format!("{rule}: bytes {at} to {}", at + bytes),
            &|stream| {
                let field = &mut stream[at..at + bytes];
                let mut value = 0;
                for (at, byte) in field.iter_mut().enumerate() {
                    *byte ^= (xor >> (8 * at)) as u8;
                    value |= u64::from(*byte) << (8 * at);
                }
                seal(stream);
                // Of a bit and what it stands for, the bit is what is found.
                let found = match name {
                    "eviction-time" | "form-bit" => Some(0),
                    "reserved" | "reserved-last" => None,
                    "stamps" => Some(0),
                    _ => Some(value),
                };
                refusal(rule, found, expected)
            },
        );
    }
    let texts: [(&str, usize, &[u8], &str); 7] = [
        ("magic", 7, b"g", "magic"),
        ("byte-order", 12, &[1, 2, 3, 4], "byte order"),
        ("maker", 195, b"\n", "maker"),
        ("maker-not-filled-up", 223, b"x", "maker"),
        ("host", 248, b"\x1b", "host"),
        ("origin", 240, &[1], "origin"),
        ("behind-the-schema", 4087, &[1], "schema"),
    ];
    for (name, at, bytes, rule) in texts {
        add(name, &format!("{rule}: from byte {at} on"), &|stream| {
            stream[at..at + bytes.len()].copy_from_slice(bytes);
            seal(stream);
            refusal(rule, None, None)
        });
    }
    add(
        "checksum",
        "a byte was changed, and not the checksum",
        &|stream| {
            let before = fnv1a(&stream[..4088]);
            stream[77] ^= 1;
            refusal("checksum", Some(before), Some(fnv1a(&stream[..4088])))
        },
    );
    for (name, text, hashed) in [
        ("hint-unknown", "Q{a:u8(colour)}", "Q{a:u8}"),
        ("hint-of-another-kind", "Q{a:f64(exponent=-2)}", "Q{a:f64}"),
        ("hint-hashed-too", "Q{a:u8(text)}", "Q{a:u8(text)}"),
        ("schema-with-a-space", "Q{a:u8, b:u8}", "Q{a:u8, b:u8}"),
        ("schema-unaligned", "Q{a:u8,b:u64}", "Q{a:u8,b:u64}"),
        ("schema-array-of-one", "Q{a:u8[1]}", "Q{a:u8[1]}"),
    ] {
        add(name, &format!("schema: {text}"), &|stream| {
            let hash = fnv1a(hashed.as_bytes());
            stream[152..160].copy_from_slice(&hash.to_le_bytes());
            stream[160..164].copy_from_slice(&(text.len() as u32).to_le_bytes());
            stream[512..512 + text.len()].copy_from_slice(text.as_bytes());
            seal(stream);
            match name {
                "hint-hashed-too" => refusal("schema", Some(hash), Some(fnv1a(b"Q{a:u8}"))),
                _ => refusal("schema", None, None),
            }
        });
    }
}
