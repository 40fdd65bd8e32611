//! The only place that names atomics, fences, the futex and the model checker.
//!
//! Layer 0. Imports nothing of this crate. Everything above uses these names, so a build with
//! `--cfg slipring_loom` routes every shared access of the shipped code through loom. The switch is
//! a private `cfg`, never a Cargo feature (feature unification could ship it).
//!
//! Orderings are written with their edge and a word that tells this *site* from every other:
//! `ord!(publish commit: Release)` and `edge_fence!(overwrite reserve: Release)`. The sites are listed in
//! `docs/reference/memory-model.md`. In the model build a test can weaken one site (`weaken`) and must then see its
//! model fail.

#[cfg(not(slipring_loom))]
mod native;
#[cfg(not(slipring_loom))]
pub use native::*;

#[cfg(slipring_loom)]
mod model;
#[cfg(slipring_loom)]
pub use model::*;

pub use core::sync::atomic::Ordering;

/// True when this build routes every shared access through the model checker.
pub const MODELLED: bool = cfg!(slipring_loom);

/// An ordering, tagged with the happens-before edge it belongs to and its site: `ord!(publish commit: Release)`.
macro_rules! ord {
    ($edge:ident $site:ident : $order:ident) => {
        $crate::sync::order(
            concat!(
                stringify!($edge),
                " ",
                stringify!($site),
                ":",
                stringify!($order)
            ),
            $crate::sync::Ordering::$order,
        )
    };
}

/// A fence, tagged likewise: `edge_fence!(gate attach: SeqCst)`.
macro_rules! edge_fence {
    ($edge:ident $site:ident : $order:ident) => {
        $crate::sync::tagged_fence(
            concat!(
                stringify!($edge),
                " ",
                stringify!($site),
                ":",
                stringify!($order)
            ),
            $crate::sync::Ordering::$order,
        )
    };
}

pub(crate) use {edge_fence, ord};
