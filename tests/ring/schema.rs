//! The text of schemas: what is read prints itself, what is refused says where, and hints change nothing but
//! how values are shown.

use proptest::prelude::*;
use slipring::place::{CreateError, OpenError};
use slipring::schema::{Field, Hint, Kind, Schema, SchemaError};
use slipring::{Plain, Ring, Start};
use testing::Scratch;

slipring::message! {
    /// What the hints of one program say.
    pub struct Trade {
        /// When.
        pub time_ns: u64 as "time",
        /// For how much.
        pub price: i64 as "exponent=-4;unit=USD",
        /// Of what.
        pub symbol: [u8; 7] as "text",
        /// Which way.
        pub side: u8 as "0=buy;1=sell",
    }
}

/// How many cases are run: `PROPTEST_CASES`, if that is set.
fn cases(usual: u32) -> u32 {
    let wanted = std::env::var("PROPTEST_CASES").ok();
    wanted.map_or(usual, |cases| cases.parse().expect("a number of cases"))
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z_][a-zA-Z0-9_]{0,6}", "[a-zA-Z_][a-zA-Z0-9_]{60,63}",]
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(Kind::ALL.to_vec())
}

/// A hint that a field of this type may have.
fn hint(kind: Kind) -> BoxedStrategy<Option<Hint>> {
    let unit = prop_oneof![Just("USD".to_owned()), "[!-'*+./0-9<>?-Z^-z|~-]{1,32}"];
    let floats = unit
        .clone()
        .prop_map(|unit| Hint::Number { exponent: 0, unit });
    let Some((low, high)) = kind.range() else {
        return prop::option::of(floats).boxed();
    };
    let exponent = prop_oneof![-18i8..=-1, 1i8..=18];
    let scaled = (exponent, prop::option::of(unit)).prop_map(|(exponent, unit)| Hint::Number {
        exponent,
        unit: unit.unwrap_or_default(),
    });
    let values = prop_oneof![Just(low), Just(high), low..=high];
    let names = prop::collection::btree_map(values, name(), 1..6).prop_map(|names| {
        // Each name once, too.
        let mut seen = std::collections::BTreeSet::new();
        Hint::Names(
            names
                .into_iter()
                .filter(|(_, name)| seen.insert(name.clone()))
                .collect(),
        )
    });
    let own = match kind {
        Kind::U8 => Just(Hint::Text).boxed(),
        Kind::U64 | Kind::I64 => prop_oneof![Just(Hint::Time), Just(Hint::Monotonic)].boxed(),
        _ => floats.clone().boxed(),
    };
    prop::option::of(prop_oneof![floats, scaled, names, own]).boxed()
}

fn field() -> impl Strategy<Value = Field> {
    let count = prop_oneof![Just(1u32), 1..20u32, Just(1 << 27)];
    (name(), kind(), count).prop_flat_map(|(name, kind, count)| {
        hint(kind).prop_map(move |hint| {
            let field = Field::new(name.clone(), kind, count);
            match hint {
                Some(hint) => field.shown_as(hint),
                None => field,
            }
        })
    })
}

/// Pieces of which texts of schemas consist, and some of which they do not.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => prop::sample::select(vec![
            "a:u8", "b:u64", "c:f64[3]", "d:i32", ",", ",", "Q{", "}", ":", "[2]", "[0]", "(text)", "(time)",
            "(0=a;1=b)", "(unit=s)", "(exponent=-4;unit=USD)", "(", ")", "e:u8(text)", "f:i64(monotonic)",
            " ", "\u{2003}", "{", "]", "=", ";", "(-1=x)", "[4294967295]", "\u{0}", "\u{fc}",
        ])
        .prop_map(str::to_owned),
        1 => name(),
        1 => any::<String>(),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Takes one character out of a text, or puts one in.
fn spoiled(text: &str, at: usize, with: Option<char>) -> String {
    let at = at % (text.chars().count() + 1);
    let (before, behind): (String, String) = (
        text.chars().take(at).collect(),
        text.chars()
            .skip(at + usize::from(with.is_none()))
            .collect(),
    );
    format!(
        "{before}{}{behind}",
        with.map(String::from).unwrap_or_default()
    )
}

/// The promise about any text.
fn read(text: &str) -> Result<Option<Schema>, TestCaseError> {
    match text.parse::<Schema>() {
        Ok(schema) => {
            let printed = schema.to_string();
            let again = printed.parse::<Schema>();
            prop_assert_eq!(again.as_ref(), Ok(&schema));
            prop_assert_eq!(schema.hash(), schema.without_hints().hash());
            prop_assert_eq!(schema.difference(&schema.without_hints()), None);
            prop_assert!(!schema.without_hints().to_string().contains('('));
            Ok(Some(schema))
        }
        Err(error) => {
            let said = error.to_string();
            if let Some(at) = error.at() {
                prop_assert!(text.is_char_boundary(at), "{said}: {at} of {text:?}");
                prop_assert!(said.contains(&format!("byte {at}")), "{said}");
            } else {
                prop_assert!(said.contains("more than"), "{said}");
            }
            Ok(None)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases(2000)))]

    /// Any text is a schema that prints itself, or is refused with the place.
    #[test]
    fn a_text_is_a_schema_or_says_where_it_is_none(text in text()) {
        read(&text)?;
    }

    /// A schema of any parts prints a text that is read as the same, or is refused for a reason that its parts
    /// have; and any text that differs from it by a character keeps the promise.
    #[test]
    fn a_schema_of_parts_is_read_as_it_was_made(
        name in name(),
        fields in prop::collection::vec(field(), 0..8),
        spoil in prop::collection::vec((any::<usize>(), any::<Option<char>>()), 8),
    ) {
        let text = {
            let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
            format!("{name}{{{}}}", fields.join(","))
        };
        let read_back = read(&text)?;
        match Schema::new(&name, fields.clone()) {
            Ok(schema) => {
                prop_assert_eq!(schema.to_string(), text.clone());
                prop_assert_eq!(schema.fields(), &fields[..]);
                prop_assert_eq!(read_back, Some(schema));
            }
            Err(error) => {
                // Not for the hints, which are all allowed.
                prop_assert!(!matches!(error, SchemaError::Hint { .. }), "{}", error);
                prop_assert_eq!(read_back, None);
            }
        }
        for (at, with) in spoil {
            read(&spoiled(&text, at, with))?;
        }
    }
}

/// Programs that differ in hints only read each other's messages, in rings of both.
#[test]
fn hints_do_not_count_when_a_ring_is_opened() {
    let bare: Schema = "Trade{time_ns:u64,price:i64,symbol:u8[7],side:u8}"
        .parse()
        .unwrap();
    let other: Schema =
        "Trade{time_ns:u64(monotonic),price:i64(unit=EUR),symbol:u8[7],side:u8(7=x)}"
            .parse()
            .unwrap();
    assert_eq!(Trade::schema().without_hints(), bare);
    for schema in [Trade::schema(), bare.clone(), other.clone()] {
        let scratch = Scratch::new();
        let ring = Ring::builder(scratch.ring())
            .schema(schema.clone())
            .create()
            .unwrap();
        for expected in [&bare, &other, &Trade::schema()] {
            ring.expect_schema(expected).unwrap();
        }
        let ring = Ring::open(scratch.ring()).unwrap();
        assert_eq!(
            ring.schema(),
            Some(&schema),
            "as it was made, hints included"
        );
        let trades = ring.typed::<Trade>().unwrap();
        let trade = Trade {
            time_ns: 1,
            price: 2,
            symbol: *b"SLIP\0\0\0",
            side: 1,
        };
        trades.producer().unwrap().publish(&trade).unwrap();
        let mut consumer = trades.consumer(Start::Oldest).unwrap();
        assert_eq!(consumer.receive().unwrap().as_deref(), Some(&trade));
        // A program that would have made it with other hints is told so.
        let again = Ring::builder(scratch.ring())
            .schema(other.clone())
            .create_or_open()
            .unwrap();
        let differences: Vec<String> = again
            .differences()
            .iter()
            .map(ToString::to_string)
            .collect();
        match schema == other {
            true => assert_eq!(differences, [""; 0]),
            false => assert_eq!(differences, [format!("schema: {schema}, not {other}")]),
        }
        // What is not a hint counts as ever.
        let wrong: Schema = "Trade{time_ns:i64(time),price:i64,symbol:u8[7],side:u8}"
            .parse()
            .unwrap();
        let refused = Ring::builder(scratch.ring()).schema(wrong).create_or_open();
        let Err(CreateError::Open(OpenError::Schema { mismatch, .. })) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(
            mismatch.to_string(),
            "field 1 is time_ns:u64 in the ring, time_ns:i64 here"
        );
    }
}
