//! The implementation in C (`tests/second`) beside this one: the vectors, schemas, and the forms that are no plain rings.

use crate::second::{second, Random};
use slipring::schema::{Kind, Schema};
use std::path::Path;
use std::process::Command;
use testing::{text, Scratch};

pub const SUITE: testing::Suite = testing::suite!(testing::no_role; [
    every_vector_is_read_alike,
    every_schema_has_the_same_hash_or_is_refused_by_both,
]);

/// What the program says, of which it must not fail.
#[track_caller]
fn said(arguments: &[&str]) -> String {
    let output = Command::new(second()).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn every_vector_is_read_alike() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/vectors");
    let mut read = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "txt") {
            continue;
        }
        let json = std::fs::read_to_string(path.with_extension("json")).unwrap();
        let lines = json.lines().filter(|line| !line.starts_with("  \"about\""));
        let expected: String = lines.map(|line| format!("{line}\n")).collect();
        assert_eq!(said(&["vector", text(&path)]), expected, "{path:?}");
        read += 1;
    }
    assert!(read > 60, "{read}");
}

/// The text of a schema with hints, most of them such as the field can have.
fn any_schema(random: &mut Random) -> String {
    let kinds = [
        "u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64", "f32", "f64",
    ];
    let hints = [
        "text",
        "time",
        "monotonic",
        "exponent=-4;unit=USD",
        "exponent=18",
        "exponent=-18",
        "exponent=0",
        "exponent=19",
        "unit=%",
        "unit=m/s^2",
        "unit=12345678901234567890123456789012",
        "unit=123456789012345678901234567890123",
        "unit=a;unit=b",
        "unit=a;exponent=2",
        "0=buy;1=sell",
        "1=a;1=b",
        "1=a;2=a",
        "-1=none",
        "-0=none",
        "01=x",
        "255=all",
        "256=more",
        "-128=low",
        "-129=lower",
        "18446744073709551615=max",
        "18446744073709551616=past",
        "-9223372036854775808=min",
        "0=a;unit=b",
        "0=",
        "=a",
        "a",
        "",
    ];
    let fields = (0..1 + random.below(5)).map(|at| {
        let kind = random.of(&kinds);
        let count = match random.below(6) {
            0 => format!(
                "[{}]",
                random.of(&["2", "3", "8", "1", "0", "02", "4294967295", ""])
            ),
            _ => String::new(),
        };
        let hint = match random.below(2) {
            0 => format!("({})", random.of(&hints)),
            _ => String::new(),
        };
        let name = random.of(&["a", "price", "_1", "Z9"]);
        let name = if random.below(9) == 0 {
            name.to_owned()
        } else {
            format!("{name}{at}")
        };
        format!("{name}:{kind}{count}{hint}")
    });
    let fields: Vec<String> = fields.collect();
    let mut text = format!(
        "{}{{{}}}",
        random.of(&["Q", "Order", "_", "A1"]),
        fields.join(",")
    );
    if random.below(4) == 0 {
        // One byte more, less, or another one.
        let at = random.below(text.len() as u64) as usize;
        let byte = random.of(&[
            "(", ")", "{", "}", "[", "]", ",", ":", ";", "=", " ", "0", "a", "-",
        ]);
        let until = at + random.below(2) as usize;
        text.replace_range(at..until, random.of(&["", byte]));
    }
    text
}

/// Of the canonical text, the hash without hints and the bytes of a message; anything else is refused.
fn every_schema_has_the_same_hash_or_is_refused_by_both() {
    let mut random = Random::new();
    let mut texts: Vec<String> = (0..20_000).map(|_| any_schema(&mut random)).collect();
    // As long as can be, and longer by one.
    for last in 0..8 {
        let fields: Vec<String> = (0..442).map(|at| format!("f{at:03}:u8")).collect();
        let long = fields.join(",");
        texts.push(format!(
            "Q{{{long},{}:{}}}",
            "z".repeat(30 + last),
            kind_text(Kind::U8)
        ));
    }
    texts.push(format!("Q{{{}:u8}}", "n".repeat(64)));
    texts.push(format!("Q{{{}:u8}}", "n".repeat(65)));
    let scratch = Scratch::new();
    let file = scratch.0.join("schemas");
    std::fs::write(&file, texts.join("\n") + "\n").unwrap();
    let lines = said(&["schemas", text(&file)]);
    assert_eq!(lines.lines().count(), texts.len());
    let (mut accepted, mut hinted) = (0, 0);
    for (schema_text, line) in texts.iter().zip(lines.lines()) {
        let parsed: Option<Schema> = schema_text.parse().ok();
        let canonical = parsed.filter(|schema| schema.to_string() == *schema_text);
        let expected = match canonical {
            Some(schema) => {
                accepted += 1;
                hinted += u32::from(schema_text.contains('('));
                format!("{:016x} {}", schema.hash(), schema.bytes())
            }
            None => "refused".to_owned(),
        };
        assert_eq!(line, expected, "{schema_text}");
    }
    println!(
        "  {accepted} of {} accepted, {hinted} with hints",
        texts.len()
    );
    assert!(hinted > 500 && accepted < texts.len());
}

fn kind_text(kind: Kind) -> String {
    let schema = Schema::builder("Q").field("a", kind).build().unwrap();
    let text = schema.to_string();
    text["Q{a:".len()..text.len() - 1].to_owned()
}
