//! What a place in shared memory holds: a value of a type, or bytes whose schema is known when the program runs.
//!
//! Layer 6. Sealed: the size of a value is what its schema says, which the two implementations uphold.

use super::Plain;

mod sealed {
    pub trait Sealed {}
    impl<T: super::Plain> Sealed for T {}
    impl Sealed for [u8] {}
}

/// What a [`Latest`](crate::Latest) and a [`Shared`](crate::Shared) hold: a type with a schema, or `[u8]`, whose schema the program
/// gives or finds. The latter is for programs that are to handle values that they have no type for, such as bindings of other
/// languages.
///
/// ```
/// use slipring::typed::Value;
///
/// fn owned<V: Value<Owned = Box<[u8]>> + ?Sized>() {}
/// owned::<[u8]>();
/// ```
pub trait Value: sealed::Sealed {
    /// What is taken out: the value itself, or a box of bytes.
    type Owned;
    /// The value at the beginning of these words; `len` is how many bytes of them a value without a type has.
    #[doc(hidden)]
    fn read(words: &[u64], len: usize) -> Self::Owned;
    /// The value of a place that was never set.
    #[doc(hidden)]
    fn zeroed(len: usize) -> Self::Owned;
    #[doc(hidden)]
    fn of(owned: &Self::Owned) -> &Self;
    #[doc(hidden)]
    fn of_mut(owned: &mut Self::Owned) -> &mut Self;
    #[doc(hidden)]
    fn bytes(&self) -> &[u8];
    /// Returns `true` if it has as many bytes as the place. One with a type has: that was compared when the place was opened.
    #[doc(hidden)]
    fn fits(&self, bytes: usize) -> bool;
}

impl<T: Plain> Value for T {
    type Owned = T;

    #[inline(always)]
    fn read(words: &[u64], _: usize) -> T {
        let bytes: &[u8] = bytemuck::cast_slice(words);
        bytemuck::pod_read_unaligned(&bytes[..size_of::<T>()])
    }

    fn zeroed(_: usize) -> T {
        bytemuck::Zeroable::zeroed()
    }

    #[inline(always)]
    fn of(owned: &T) -> &T {
        owned
    }

    #[inline(always)]
    fn of_mut(owned: &mut T) -> &mut T {
        owned
    }

    #[inline(always)]
    fn bytes(&self) -> &[u8] {
        bytemuck::bytes_of(self)
    }

    #[inline(always)]
    fn fits(&self, _: usize) -> bool {
        true
    }
}

impl Value for [u8] {
    type Owned = Box<[u8]>;

    fn read(words: &[u64], len: usize) -> Box<[u8]> {
        let bytes: &[u8] = bytemuck::cast_slice(words);
        bytes.get(..len).unwrap_or_default().into()
    }

    fn zeroed(len: usize) -> Box<[u8]> {
        vec![0; len].into_boxed_slice()
    }

    fn of(owned: &Box<[u8]>) -> &[u8] {
        owned
    }

    fn of_mut(owned: &mut Box<[u8]>) -> &mut [u8] {
        owned
    }

    fn bytes(&self) -> &[u8] {
        self
    }

    fn fits(&self, bytes: usize) -> bool {
        self.len() == bytes
    }
}
