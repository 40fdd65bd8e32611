//! How the values of a field are shown.
//!
//! Layer 1. Pure. A hint changes neither the bytes of a message nor which programs may read it. One function,
//! [`check`], decides what a hint may be; the compiler runs it for those of `message!`.

use super::kind::Kind;
use core::fmt;

/// How tools show the values of a field. Not compared when a program opens a ring.
///
/// | text in a schema | hint | of | shown |
/// |---|---|---|---|
/// | `text` | [`Text`](Self::Text) | `u8` | characters in UTF-8, without the zero bytes at the end |
/// | `time` | [`Time`](Self::Time) | `u64`, `i64` | nanoseconds since 1970, as a date and time of UTC |
/// | `monotonic` | [`Monotonic`](Self::Monotonic) | `u64`, `i64` | nanoseconds of `CLOCK_MONOTONIC`, as seconds |
/// | `exponent=-4`, `unit=USD`, `exponent=-4;unit=USD` | [`Number`](Self::Number) | integers; without an exponent floats too | a number times a power of ten, and its unit |
/// | `0=buy;1=sell` | [`Names`](Self::Names) | integers | a name for each of these values |
///
/// ```
/// use slipring::schema::{Hint, Schema};
///
/// let schema: Schema = "Trade{price:i64(exponent=-4;unit=USD),side:u8(0=buy;1=sell)}".parse()?;
/// let price = Hint::Number { exponent: -4, unit: "USD".into() };
/// assert_eq!(schema.fields()[0].hint, Some(price));
/// # Ok::<(), slipring::schema::SchemaError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// An array of bytes is a text.
    Text,
    /// Nanoseconds since the beginning of 1970, UTC.
    Time,
    /// Nanoseconds of the monotonic clock of the machine.
    Monotonic,
    /// A number that is multiplied by a power of ten, or has a unit, or both.
    Number {
        /// The power of ten, from -18 to 18; 0 for none.
        exponent: i8,
        /// 1 to 32 printable ASCII characters other than spaces and `, ; : = ( ) { } [ ]`; empty for none.
        unit: String,
    },
    /// Values with names, each value and each name once.
    Names(Vec<(i128, String)>),
}

/// Why a text is not a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The byte at which it is not.
    pub at: usize,
    /// What it should be.
    pub why: &'static str,
}

/// The greatest power of ten, in either direction: a 64-bit integer times that fits 128 bits.
const MAX_EXPONENT: i128 = 18;
const MAX_UNIT: usize = 32;
/// The longest name, as of a field.
const MAX_NAME: usize = 64;

/// Checks that a text is a hint for values of a type.
pub const fn check(text: &str, kind: Kind) -> Result<(), Fault> {
    let bytes = text.as_bytes();
    let whole = Part {
        bytes,
        from: 0,
        to: bytes.len(),
    };
    if whole.is(b"text") {
        return match kind {
            Kind::U8 => Ok(()),
            _ => whole.fault("a field of u8: only bytes are a text"),
        };
    }
    if whole.is(b"time") || whole.is(b"monotonic") {
        return match kind {
            Kind::U64 | Kind::I64 => Ok(()),
            _ => whole.fault("a field of u64 or i64: times are nanoseconds"),
        };
    }
    let (mut units, mut exponents, mut names) = (0, 0, 0);
    let mut at = 0;
    loop {
        let item = whole.until(at, b';');
        let key = item.until(item.from, b'=');
        if key.to == item.to {
            return item.fault(
                "text, time, monotonic, unit=..., exponent=... or number=name, with ; between",
            );
        }
        let value = Part {
            from: key.to + 1,
            ..item
        };
        if key.is(b"unit") {
            units += 1;
            if !value.is_unit() {
                return value
                    .fault("a unit of 1 to 32 printable characters without , ; : = or brackets");
            }
        } else if key.is(b"exponent") {
            exponents += 1;
            if kind.range().is_none() {
                return key.fault("a field of integers: only these have an exponent");
            }
            match value.integer() {
                Some(0) | None => return value.fault("an exponent from -18 to 18, without 0"),
                Some(n) if n < -MAX_EXPONENT || n > MAX_EXPONENT => {
                    return value.fault("an exponent from -18 to 18, without 0")
                }
                Some(_) => {}
            }
        } else {
            names += 1;
            let Some((low, high)) = kind.range() else {
                return key.fault("a field of integers: only their values have names");
            };
            match key.integer() {
                Some(n) if low <= n && n <= high => {}
                Some(_) => return key.fault("a value that the type of the field has"),
                None => {
                    return key.fault("unit, exponent, or an integer without superfluous digits")
                }
            }
            if !value.is_name() {
                return value.fault("a name of 1 to 64 letters, digits and _, no digit first");
            }
            let mut before = 0;
            while before < item.from {
                let other = whole.until(before, b';');
                let other_key = other.until(other.from, b'=');
                let other_value = Part {
                    from: other_key.to + 1,
                    ..other
                };
                if key.same(&other_key) {
                    return key.fault("another value: this one has a name already");
                }
                if value.same(&other_value) {
                    return value.fault("another name: this one has a value already");
                }
                before = other.to + 1;
            }
        }
        if units > 1 || exponents > 1 {
            return key.fault("one unit and one exponent at most");
        }
        if names > 0 && units + exponents > 0 {
            return key.fault("names of values, or a unit and an exponent, not both");
        }
        if item.to == whole.to {
            return Ok(());
        }
        at = item.to + 1;
    }
}

/// A part of a text, in the words that a function has while the compiler runs it.
#[derive(Clone, Copy)]
struct Part<'t> {
    bytes: &'t [u8],
    from: usize,
    to: usize,
}

impl Part<'_> {
    const fn fault(&self, why: &'static str) -> Result<(), Fault> {
        Err(Fault { at: self.from, why })
    }

    const fn len(&self) -> usize {
        self.to - self.from
    }

    /// From a byte to before the next such byte, or to the end.
    const fn until(&self, from: usize, byte: u8) -> Self {
        let mut to = from;
        while to < self.to && self.bytes[to] != byte {
            to += 1;
        }
        Self { from, to, ..*self }
    }

    const fn same(&self, other: &Part<'_>) -> bool {
        if self.len() != other.len() {
            return false;
        }
        let mut at = 0;
        while at < self.len() {
            if self.bytes[self.from + at] != other.bytes[other.from + at] {
                return false;
            }
            at += 1;
        }
        true
    }

    const fn is(&self, word: &[u8]) -> bool {
        self.same(&Part {
            bytes: word,
            from: 0,
            to: word.len(),
        })
    }

    const fn is_unit(&self) -> bool {
        let mut at = self.from;
        while at < self.to {
            let reserved = matches!(
                self.bytes[at],
                b',' | b';' | b':' | b'=' | b'(' | b')' | b'{' | b'}' | b'[' | b']'
            );
            if reserved || !self.bytes[at].is_ascii_graphic() {
                return false;
            }
            at += 1;
        }
        0 < self.len() && self.len() <= MAX_UNIT
    }

    const fn is_name(&self) -> bool {
        let mut at = self.from;
        while at < self.to {
            let byte = self.bytes[at];
            let first = at == self.from;
            if !(byte.is_ascii_alphabetic() || byte == b'_' || !first && byte.is_ascii_digit()) {
                return false;
            }
            at += 1;
        }
        0 < self.len() && self.len() <= MAX_NAME
    }

    /// The integer whose shortest text this is, of up to 20 digits.
    const fn integer(&self) -> Option<i128> {
        let negative = self.len() > 0 && self.bytes[self.from] == b'-';
        let digits = if negative { self.from + 1 } else { self.from };
        let many = self.to - digits;
        if many == 0 || many > 20 || self.bytes[digits] == b'0' && (many > 1 || negative) {
            return None;
        }
        let (mut value, mut at) = (0i128, digits);
        while at < self.to {
            if !self.bytes[at].is_ascii_digit() {
                return None;
            }
            value = value * 10 + (self.bytes[at] - b'0') as i128;
            at += 1;
        }
        Some(if negative { -value } else { value })
    }
}

impl Hint {
    /// Reads the text of a hint for values of a type.
    pub(crate) fn parse(text: &str, kind: Kind) -> Result<Self, Fault> {
        check(text, kind)?;
        let mut names = Vec::new();
        let (mut exponent, mut unit) = (0, String::new());
        match text {
            "text" => return Ok(Self::Text),
            "time" => return Ok(Self::Time),
            "monotonic" => return Ok(Self::Monotonic),
            _ => {}
        }
        for item in text.split(';') {
            match item.split_once('=').unwrap_or_default() {
                ("unit", value) => value.clone_into(&mut unit),
                ("exponent", value) => exponent = value.parse().unwrap_or_default(),
                (value, name) => names.push((value.parse().unwrap_or_default(), name.to_owned())),
            }
        }
        Ok(match names.is_empty() {
            true => Self::Number { exponent, unit },
            false => Self::Names(names),
        })
    }

    /// Returns the reason why this cannot be the hint of a field of such values.
    pub(crate) fn fault(&self, kind: Kind) -> Option<&'static str> {
        match Self::parse(&self.to_string(), kind) {
            Ok(same) if same == *self => None,
            Ok(_) => Some("names and units without the characters that part them"),
            Err(fault) => Some(fault.why),
        }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("text"),
            Self::Time => f.write_str("time"),
            Self::Monotonic => f.write_str("monotonic"),
            Self::Number { exponent: 0, unit } => write!(f, "unit={unit}"),
            Self::Number { exponent, unit } => {
                write!(f, "exponent={exponent}")?;
                match unit.as_str() {
                    "" => Ok(()),
                    unit => write!(f, ";unit={unit}"),
                }
            }
            Self::Names(names) => {
                for (at, (value, name)) in names.iter().enumerate() {
                    let before = if at > 0 { ";" } else { "" };
                    write!(f, "{before}{value}={name}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_prints_what_it_was_read_from() {
        for (text, kind) in [
            ("text", Kind::U8),
            ("time", Kind::U64),
            ("monotonic", Kind::I64),
            ("unit=USD", Kind::F32),
            ("unit=m/s", Kind::U8),
            ("exponent=-18", Kind::I8),
            ("exponent=18;unit=%", Kind::U64),
            ("0=buy", Kind::U8),
            ("-128=low;127=high;0=_", Kind::I8),
            ("18446744073709551615=all", Kind::U64),
            ("-9223372036854775808=none", Kind::I64),
        ] {
            assert_eq!(Hint::parse(text, kind).unwrap().to_string(), text);
        }
        let swapped = Hint::parse("unit=USD;exponent=-4", Kind::I64).unwrap();
        assert_eq!(swapped.to_string(), "exponent=-4;unit=USD");
    }

    #[test]
    fn what_is_no_hint_says_where_and_why() {
        for (text, kind, at, why) in [
            ("", Kind::U8, 0, "text, time"),
            ("text", Kind::I8, 0, "field of u8"),
            ("time", Kind::U32, 0, "field of u64"),
            ("monotonic", Kind::F64, 0, "field of u64"),
            ("Text", Kind::U8, 0, "text, time"),
            ("unit=", Kind::U8, 5, "a unit of"),
            ("unit=a b", Kind::U8, 5, "a unit of"),
            ("unit=\u{b5}s", Kind::U8, 5, "a unit of"),
            ("unit=a;unit=b", Kind::U8, 7, "one unit"),
            ("exponent=0", Kind::U8, 9, "-18 to 18"),
            ("exponent=19", Kind::U8, 9, "-18 to 18"),
            ("exponent=-19", Kind::U8, 9, "-18 to 18"),
            ("exponent=04", Kind::U8, 9, "-18 to 18"),
            ("exponent=+4", Kind::U8, 9, "-18 to 18"),
            ("exponent=2", Kind::F64, 0, "field of integers"),
            ("exponent=2;exponent=3", Kind::U8, 11, "one exponent"),
            ("0=a", Kind::F32, 0, "field of integers"),
            ("256=a", Kind::U8, 0, "the type of the field"),
            ("-1=a", Kind::U64, 0, "the type of the field"),
            ("-129=a", Kind::I8, 0, "the type of the field"),
            ("-0=a", Kind::I8, 0, "an integer"),
            ("999999999999999999999=a", Kind::U64, 0, "an integer"),
            ("0=a;", Kind::U8, 4, "text, time"),
            ("0=a;0=b", Kind::U8, 4, "another value"),
            ("0=a;1=a", Kind::U8, 6, "another name"),
            ("0=1a", Kind::U8, 2, "a name of"),
            ("0=a;unit=b", Kind::U8, 4, "not both"),
        ] {
            let fault = Hint::parse(text, kind).unwrap_err();
            assert_eq!(fault.at, at, "{text}: {}", fault.why);
            assert!(fault.why.contains(why), "{text}: {}", fault.why);
        }
    }

    #[test]
    fn a_hint_made_of_parts_is_checked_like_a_text() {
        let number = |exponent, unit: &str| Hint::Number {
            exponent,
            unit: unit.into(),
        };
        assert_eq!(number(-4, "USD").fault(Kind::I64), None);
        assert!(number(0, "").fault(Kind::I64).is_some());
        assert!(number(19, "").fault(Kind::I64).is_some());
        assert!(number(0, "a;exponent=3").fault(Kind::I64).is_some());
        assert!(Hint::Names(Vec::new()).fault(Kind::U8).is_some());
        let injected = Hint::Names(vec![(0, "a;1=b".into())]);
        assert!(injected.fault(Kind::U8).is_some());
    }
}
