//! What the handles of a typed ring have in common.
//!
//! Layer 6. Thin: each is the untyped handle plus a conversion of bytes.

macro_rules! wraps {
    ($typed:ident, $inner:ident) => {
        impl<T> $typed<T> {
            /// For handles made with options; the caller guarantees that the ring was checked.
            pub(super) fn checked(inner: $inner) -> Self {
                Self {
                    inner,
                    message: core::marker::PhantomData,
                }
            }

            /// Returns the untyped handle.
            pub fn inner(&mut self) -> &mut $inner {
                &mut self.inner
            }

            /// Turns it into the untyped handle.
            pub fn into_inner(self) -> $inner {
                self.inner
            }
        }
    };
}

pub(super) use wraps;
