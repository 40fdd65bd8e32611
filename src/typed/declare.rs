//! Declaring the fields of a message.
//!
//! Layer 6. One declarative macro, without a derive or a build script.

use crate::layout::schema::{check_hint, Field, Hint, Kind, Schema};

/// A fixed-size message. Implemented by [`message!`](crate::message), not by hand.
pub trait Plain: bytemuck::Pod {
    /// Its fields, as they are checked at attach and printed by tools.
    fn schema() -> Schema;
}

/// What a field of a message may be: a number, or an array of numbers.
pub trait Element: bytemuck::Pod {
    /// The type of one number.
    const KIND: Kind;
    /// How many.
    const COUNT: u32;
}

macro_rules! elements {
    ($($type:ty => $kind:ident),*) => {$(
        impl Element for $type {
            const KIND: Kind = Kind::$kind;
            const COUNT: u32 = 1;
        }

        impl<const N: usize> Element for [$type; N]
        where
            [$type; N]: bytemuck::Pod,
        {
            const KIND: Kind = Kind::$kind;
            const COUNT: u32 = N as u32;
        }
    )*};
}

elements!(u8 => U8, u16 => U16, u32 => U32, u64 => U64, i8 => I8, i16 => I16, i32 => I32,
    i64 => I64, f32 => F32, f64 => F64);

/// The name of a field or of a message in a schema. Keywords go without the `r#` of Rust.
#[doc(hidden)]
pub fn schema_name(written: &'static str) -> &'static str {
    written.strip_prefix("r#").unwrap_or(written)
}

/// Bytes of a message's name in a schema, and of the braces around its fields; less the comma that its last
/// field does not have.
///
/// # Panics
/// The name cannot be one in a schema; while compiling.
#[doc(hidden)]
pub const fn message_text(written: &str) -> usize {
    name_bytes(written) + "{}".len() - 1
}

/// Bytes of a field in a schema, with a comma behind it.
///
/// # Panics
/// The field cannot be one in a schema; while compiling.
#[doc(hidden)]
pub const fn field_text<T: Element>(written: &str) -> usize {
    assert!(
        T::COUNT > 0,
        "an array of no elements cannot be a field of a message"
    );
    let kind = match T::KIND {
        Kind::U8 | Kind::I8 => ":u8,".len(),
        _ => ":u64,".len(),
    };
    let count = match T::COUNT {
        1 => 0,
        count => "[]".len() + count.ilog10() as usize + 1,
    };
    name_bytes(written) + kind + count
}

/// Bytes of the hint of a field in a schema, with its brackets.
///
/// # Panics
/// The field cannot have that hint; while compiling.
#[doc(hidden)]
pub const fn hint_text<T: Element>(written: &str) -> usize {
    if let Err(fault) = check_hint(written, T::KIND) {
        panic!("{}", fault.why);
    }
    "()".len() + written.len()
}

/// A field whose name and hint were checked while compiling.
#[doc(hidden)]
pub fn schema_field<T: Element>(written: &'static str, hint: &[&str]) -> Field {
    let field = Field::new(schema_name(written), T::KIND, T::COUNT);
    match hint.first().map(|hint| Hint::parse(hint, T::KIND)) {
        Some(Ok(hint)) => field.shown_as(hint),
        _ => field,
    }
}

const fn name_bytes(written: &str) -> usize {
    let bytes = written.as_bytes();
    let mut at = match bytes {
        [b'r', b'#', ..] => 2,
        _ => 0,
    };
    let long = bytes.len() - at;
    assert!(
        long > 0 && long <= 64,
        "a name in a message has 64 bytes at most"
    );
    while at < bytes.len() {
        assert!(
            bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_',
            "a name in a message consists of a-z, A-Z, 0-9 and _: other languages read it too"
        );
        at += 1;
    }
    long
}

/// Declares a message type: a `repr(C)` struct of numbers and arrays of numbers.
///
/// The struct is `Clone`, `Copy`, `Debug` and `PartialEq`, which must not be derived again, and has a
/// schema with its name and the names and types of its fields. A
/// layout with padding does not compile; put larger fields first, or add a field that fills the gap.
///
/// ```
/// use slipring::{Plain, Ring, Start};
///
/// slipring::message! {
///     /// A quote of one symbol.
///     pub struct Quote {
///         pub time_ns: u64,
///         pub bid: f64,
///         pub ask: f64,
///         pub symbol: [u8; 8],
///     }
/// }
///
/// assert_eq!(
///     Quote::schema().to_string(),
///     "Quote{time_ns:u64,bid:f64,ask:f64,symbol:u8[8]}"
/// );
///
/// let ring = Ring::heap().schema(Quote::schema()).create()?.typed::<Quote>()?;
/// let mut producer = ring.producer()?;
/// let mut consumer = ring.consumer(Start::Oldest)?;
/// let quote = Quote { time_ns: 1, bid: 99.5, ask: 100.5, symbol: *b"SLIP    " };
/// producer.publish(&quote)?;
/// assert_eq!(consumer.receive()?.as_deref(), Some(&quote));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Behind its type, a field may have a [hint](crate::schema::Hint), which says how tools show its values.
/// Programs that differ in hints only read each other's rings.
///
/// ```
/// use slipring::Plain;
///
/// slipring::message! {
///     pub struct Trade {
///         pub time_ns: u64 as "time",
///         pub price: i64 as "exponent=-4;unit=USD",
///         pub symbol: [u8; 7] as "text",
///         pub side: u8 as "0=buy;1=sell",
///     }
/// }
///
/// let trade = Trade { time_ns: 0, price: 995_000, symbol: *b"SLIP\0\0\0", side: 1 };
/// assert_eq!(
///     Trade::schema().to_string(),
///     "Trade{time_ns:u64(time),price:i64(exponent=-4;unit=USD),symbol:u8[7](text),side:u8(0=buy;1=sell)}"
/// );
/// ```
///
/// A hint that the field cannot have does not compile:
///
/// ```compile_fail
/// slipring::message! {
///     pub struct Trade { pub price: f64 as "exponent=-4" }
/// }
/// ```
///
/// A field may have the name of a keyword, `r#type`, which is `type` in the schema. Other names than of
/// ASCII letters, digits and `_`, and arrays of no elements, do not compile, and neither do so many fields
/// that the schema may take more than [`Schema::MAX_TEXT`](crate::schema::Schema::MAX_TEXT) bytes.
///
/// ```compile_fail
/// slipring::message! {
///     pub struct Message { pub größe: u64 }
/// }
/// ```
///
/// ```compile_fail
/// slipring::message! {
///     pub struct Message { pub time: u64, pub rest: [u8; 0] }
/// }
/// ```
///
/// Padding does not compile:
///
/// ```compile_fail
/// slipring::message! {
///     pub struct Gap { pub small: u8, pub large: u64 }
/// }
/// ```
#[macro_export]
macro_rules! message {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $( $(#[$field_meta:meta])* $field_vis:vis $field:ident : $type:ty $(as $hint:literal)? ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[repr(C)]
        $vis struct $name {
            $( $(#[$field_meta])* $field_vis $field : $type ),+
        }

        const _: () = {
            assert!(
                0 $( + ::core::mem::size_of::<$type>() )+ == ::core::mem::size_of::<$name>(),
                "this message has padding: put larger fields first, or fill the gap with a field"
            );
            assert!(
                ::core::mem::align_of::<$name>() <= 8,
                "a message field may be aligned to eight bytes at most"
            );
            assert!(
                $crate::message_text(stringify!($name))
                    $( + $crate::field_text::<$type>(stringify!($field)) $( + $crate::hint_text::<$type>($hint) )? )+
                    <= $crate::schema::Schema::MAX_TEXT,
                "this message has more fields than a schema holds: use arrays, or shorter names"
            );
        };

        #[allow(
            unsafe_code,
            clippy::undocumented_unsafe_blocks,
            reason = "every field is an Element, hence plain data, and the assertion above excludes padding"
        )]
        const _: () = {
            // SAFETY: all fields are `Element`s, for which all zeroes is a value.
            unsafe impl $crate::bytemuck::Zeroable for $name {}
            // SAFETY: `repr(C)`, all fields are `Element`s and so plain data, no padding.
            unsafe impl $crate::bytemuck::Pod for $name {}
        };

        impl $crate::Plain for $name {
            fn schema() -> $crate::schema::Schema {
                $crate::schema::Schema::new(
                    $crate::schema_name(stringify!($name)),
                    vec![$(
                        $crate::schema_field::<$type>(stringify!($field), &[$( $hint )?])
                    ),+],
                )
                .expect("checked while compiling")
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ring;

    crate::message! {
        /// With names that are keywords.
        struct r#Trade { time_ns: u64, r#type: u32, r#match: [u16; 2], _flags: [u8; 16] }
    }

    crate::message! {
        struct A { a: u8 }
    }

    crate::message! {
        /// The same messages, shown otherwise.
        struct Shown { time_ns: u64 as "time", count: i32 as "unit=lots;exponent=3", r#as: [u8; 4] as "text" }
    }

    #[test]
    fn hints_are_in_the_schema_and_not_compared() {
        let text = "Shown{time_ns:u64(time),count:i32(exponent=3;unit=lots),as:u8[4](text)}";
        assert_eq!(Shown::schema().to_string(), text);
        let bare: Schema = "Shown{time_ns:u64,count:i32,as:u8[4]}".parse().unwrap();
        assert_eq!(Shown::schema().hash(), bare.hash());
        let ring = Ring::heap().schema(bare).create().unwrap();
        assert!(ring.typed::<Shown>().is_ok());
        let length = message_text("Shown")
            + field_text::<u64>("time_ns")
            + hint_text::<u64>("time")
            + field_text::<i32>("count")
            + hint_text::<i32>("unit=lots;exponent=3")
            + field_text::<[u8; 4]>("r#as")
            + hint_text::<[u8; 4]>("text");
        assert_eq!(length, text.len());
    }

    #[test]
    fn keywords_are_names_without_their_mark() {
        let schema = Trade::schema();
        let text = "Trade{time_ns:u64,type:u32,match:u16[2],_flags:u8[16]}";
        assert_eq!(schema.to_string(), text);
        let ring = Ring::heap().schema(schema).create().unwrap();
        assert!(ring.typed::<Trade>().is_ok());
    }

    #[test]
    fn the_length_of_a_schema_is_known_while_compiling() {
        let length = message_text("Trade")
            + field_text::<u64>("time_ns")
            + field_text::<u32>("r#type")
            + field_text::<[u16; 2]>("r#match")
            + field_text::<[u8; 16]>("_flags");
        assert_eq!(length, Trade::schema().to_string().len());
        let length = message_text("A") + field_text::<u8>("a");
        assert_eq!(length, A::schema().to_string().len());
    }
}
