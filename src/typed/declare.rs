//! Declaring the fields of a message.
//!
//! Layer 6. Declarative macros, without a derive or a build script: `message!` makes a type, `describe!` describes
//! one that exists. It proves that what the schema says is the layout of the type, and that there is no padding.

use crate::layout::schema::{check_hint, Field, Hint, Kind, Schema};

/// A fixed-size message. Implemented by [`message!`](crate::message) for a new type, and by
/// [`describe!`](crate::describe) for one that exists.
///
/// A type that is `bytemuck::Pod` by other means implements it by hand. The size that the schema says is compared
/// with that of the type when a ring is opened; that the fields lie where it says is up to the implementation.
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

        $crate::describe!($name { $( $field : $type $(as $hint)? ),+ });
    };
}

/// Describes a struct that exists as a message: gives it [`Plain`], and the schema with its name and its fields.
///
/// The struct belongs to the crate that describes it, and is `Copy`. Its fields are named in their order, with
/// their types, all of them numbers or arrays of numbers. What is not so does not compile: a field that is
/// missing, of another type or in another place, and padding. So no struct has to be declared anew, or by a macro,
/// to be sent; hints as in [`message!`](crate::message).
///
/// ```
/// use slipring::{Plain, Ring, Start};
///
/// /// As it was before there were rings.
/// #[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
/// #[repr(C)]
/// pub struct Quote {
///     pub time_ns: u64,
///     pub bid: f64,
///     pub ask: f64,
/// }
///
/// slipring::describe! {
///     Quote { time_ns: u64 as "time", bid: f64, ask: f64 }
/// }
///
/// assert_eq!(Quote::schema().to_string(), "Quote{time_ns:u64(time),bid:f64,ask:f64}");
/// let ring = Ring::heap().schema(Quote::schema()).create()?.typed::<Quote>()?;
/// let mut consumer = ring.consumer(Start::Oldest)?;
/// ring.producer()?.publish(&Quote::default())?;
/// assert_eq!(consumer.receive()?.as_deref(), Some(&Quote::default()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A field that is left out:
///
/// ```compile_fail
/// # use slipring::describe;
/// #[derive(Clone, Copy)] #[repr(C)] pub struct Pair { a: u32, b: u32 }
/// describe! { Pair { a: u32 } }
/// ```
///
/// A field of another type, even of the same size, or one that leads to such a type:
///
/// ```compile_fail
/// # use slipring::describe;
/// #[derive(Clone, Copy)] #[repr(C)] pub struct One { a: u32 }
/// describe! { One { a: f32 } }
/// ```
///
/// ```compile_fail
/// # use slipring::describe;
/// #[derive(Clone, Copy)] #[repr(C)] pub struct One { a: &'static u64 }
/// describe! { One { a: u64 } }
/// ```
///
/// Another order, and padding:
///
/// ```compile_fail
/// # use slipring::describe;
/// #[derive(Clone, Copy)] #[repr(C)] pub struct Pair { a: u32, b: f32 }
/// describe! { Pair { b: f32, a: u32 } }
/// ```
///
/// ```compile_fail
/// # use slipring::describe;
/// #[derive(Clone, Copy)] #[repr(C)] pub struct Gap { a: u64, b: u8 }
/// describe! { Gap { a: u64, b: u8 } }
/// ```
///
/// A union, whose bytes may never have been written:
///
/// ```compile_fail
/// # use slipring::describe;
/// #[derive(Clone, Copy)] #[repr(C)] pub union Either { a: u64, b: u8 }
/// describe! { Either { a: u64 } }
/// ```
#[macro_export]
macro_rules! describe {
    (
        $name:ident { $( $field:ident : $type:ty $(as $hint:literal)? ),+ $(,)? }
    ) => {
        const _: () = {
            let mut end = 0;
            $(
                assert!(
                    ::core::mem::offset_of!($name, $field) == end,
                    "this message has padding, or its fields another order: put larger fields first, or fill the gap with a field"
                );
                end += ::core::mem::size_of::<$type>();
            )+
            assert!(
                end == ::core::mem::size_of::<$name>(),
                "this message has padding at its end: fill the gap with a field"
            );
        };

        const _: () = {
            // All fields are there, and have these types. Each goes through a tuple, so that no reference is
            // changed into one to another type.
            #[allow(dead_code, reason = "compiled, not run")]
            fn has_these_fields(message: &$name) {
                let $name { $( $field ),+ } = message;
                $(
                    let field = ($field,);
                    let _: (&$type,) = field;
                )+
            }
        };

        const _: () = {
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
            reason = "every field is an Element, hence plain data, and assertions exclude padding"
        )]
        const _: () = {
            // SAFETY: all fields are `Element`s, for which all zeroes is a value.
            unsafe impl $crate::bytemuck::Zeroable for $name {}
            // SAFETY: it is a struct of exactly these fields, for a pattern above names all of them with
            // their types. They are `Element`s and so plain data, and by the assertions they lie without gaps.
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

    /// Of no representation: what the compiler made of it is what counts.
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Old {
        whole: u64,
        parts: [u16; 4],
    }

    crate::describe! { Old { whole: u64 as "unit=B", parts: [u16; 4], } }

    #[test]
    fn a_type_that_exists_is_described() {
        let text = "Old{whole:u64(unit=B),parts:u16[4]}";
        assert_eq!(Old::schema().to_string(), text);
        let ring = Ring::heap().schema(Old::schema()).create().unwrap();
        let old = ring.typed::<Old>().unwrap();
        let sent = Old {
            whole: 1,
            parts: [2, 3, 4, 5],
        };
        let mut consumer = old.consumer(crate::Start::Oldest).unwrap();
        old.producer().unwrap().publish(&sent).unwrap();
        assert_eq!(consumer.try_receive().unwrap().into_value(), sent);
    }

    /// A description by hand that lies about the size is refused when the ring is opened.
    #[test]
    fn a_type_of_another_size_is_refused() {
        #[derive(Clone, Copy, Debug)]
        #[repr(transparent)]
        struct Wrong(u64);
        #[allow(unsafe_code, reason = "as a derive of another crate would")]
        const _: () = {
            // SAFETY: as for the number in it.
            unsafe impl bytemuck::Zeroable for Wrong {}
            // SAFETY: as above.
            unsafe impl bytemuck::Pod for Wrong {}
        };
        impl Plain for Wrong {
            fn schema() -> Schema {
                "Wrong{a:u64,b:u64}".parse().unwrap()
            }
        }
        let ring = Ring::heap().schema(Wrong::schema()).create().unwrap();
        let size = |error: crate::place::OpenError| match error {
            crate::place::OpenError::Schema { mismatch, .. } => mismatch,
            other => panic!("{other}"),
        };
        let expected = crate::schema::SchemaMismatch::Size {
            schema: 16,
            here: 8,
        };
        assert_eq!(size(ring.typed::<Wrong>().unwrap_err()), expected);
        let schema = Wrong::schema();
        assert_eq!(size(ring.typed_as::<u64>(&schema).unwrap_err()), expected);
        assert_eq!(
            expected.to_string(),
            "the messages of the schema have 16 bytes, the type here has 8"
        );
        assert!(ring.typed_as::<[u64; 2]>(&schema).is_ok());
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
