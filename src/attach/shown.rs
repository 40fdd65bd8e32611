//! How handles and guards print themselves: what they belong to and where they are, in a line.
//!
//! Layer 5. What they hold inside, as buffers and mappings, is long and says nothing to a caller.

/// Implements `Debug` by a few values of a handle.
macro_rules! shown {
    ([$($generics:tt)*] $type:ty, $name:literal, |$this:ident| $($field:ident = $value:expr),* $(,)?) => {
        impl<$($generics)*> core::fmt::Debug for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let $this = self;
                f.debug_struct($name)
                    $(.field(stringify!($field), &$value))*
                    .finish_non_exhaustive()
            }
        }
    };
}
pub(crate) use shown;
