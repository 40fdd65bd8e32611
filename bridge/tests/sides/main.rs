//! What one side does: how commands end, encodings for other programs, counters, certificates; what it keeps, sends and believes,
//! also where the other side is at fault, or hostile.

mod anew;
mod encodings;
mod ends;
mod faulty;
mod held;
mod hostile;
mod lossy;
mod network;
mod others;
#[path = "../shared/port.rs"]
mod port;
mod rings;
mod support;
mod timed;
mod told;
#[cfg(feature = "tls")]
mod trust;
