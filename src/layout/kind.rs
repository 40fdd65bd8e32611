//! The types of the fields of a message.
//!
//! Layer 1. Pure. Everything about a type follows from the one table here.

/// The type of one field. Every bit pattern is a valid value of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the variants are the types they are named after"
)]
pub enum Kind {
    U8,
    U16,
    U32,
    U64,
    I8,
    I16,
    I32,
    I64,
    F32,
    F64,
}

impl Kind {
    /// Every type, in the order of its number.
    pub const ALL: [Self; 10] = [
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::F32,
        Self::F64,
    ];

    const TABLE: [(&'static str, u32); 10] = [
        ("u8", 1),
        ("u16", 2),
        ("u32", 4),
        ("u64", 8),
        ("i8", 1),
        ("i16", 2),
        ("i32", 4),
        ("i64", 8),
        ("f32", 4),
        ("f64", 8),
    ];

    /// Returns the name, as in Rust.
    pub const fn name(self) -> &'static str {
        Self::TABLE[self as usize].0
    }

    /// Returns the size and alignment in bytes.
    pub const fn bytes(self) -> u32 {
        Self::TABLE[self as usize].1
    }

    /// Returns the least and the greatest value; `None` of a type that is not of integers.
    ///
    /// ```
    /// use slipring::schema::Kind;
    ///
    /// assert_eq!(Kind::I8.range(), Some((-128, 127)));
    /// assert_eq!(Kind::F64.range(), None);
    /// ```
    pub const fn range(self) -> Option<(i128, i128)> {
        let bits = 8 * self.bytes();
        match self {
            Self::U8 | Self::U16 | Self::U32 | Self::U64 => Some((0, (1 << bits) - 1)),
            Self::I8 | Self::I16 | Self::I32 | Self::I64 => {
                Some((-(1 << (bits - 1)), (1 << (bits - 1)) - 1))
            }
            Self::F32 | Self::F64 => None,
        }
    }

    /// The type of this name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_have_one_order() {
        for (at, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
            assert_eq!(kind.name().to_uppercase(), format!("{kind:?}"));
            assert_eq!(kind.name()[1..].parse(), Ok(8 * kind.bytes()));
        }
        assert_eq!(Kind::U64.range(), Some((0, i128::from(u64::MAX))));
        assert_eq!(
            Kind::I64.range(),
            Some((i128::from(i64::MIN), i128::from(i64::MAX)))
        );
    }
}
