//! What one side does: how commands end, encodings for other programs, counters, certificates.

mod encodings;
mod ends;
mod support;
mod told;
#[cfg(feature = "tls")]
mod trust;
