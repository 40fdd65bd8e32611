//! Declaring what a message consists of.
//!
//! Layer 6. No derive, no build script: one macro by example, which a reader can follow.

use crate::layout::schema::{Kind, Schema};

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
            $( $(#[$field_meta:meta])* $field_vis:vis $field:ident : $type:ty ),+ $(,)?
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
            fn schema() -> $crate::Schema {
                $crate::Schema::new(
                    stringify!($name),
                    vec![$(
                        $crate::Field {
                            name: stringify!($field).into(),
                            kind: <$type as $crate::Element>::KIND,
                            count: <$type as $crate::Element>::COUNT,
                        }
                    ),+],
                )
                .expect("a struct without padding has a schema")
            }
        }
    };
}
