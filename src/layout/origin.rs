//! Where the messages of a ring were first published, if not in the ring itself.
//!
//! Layer 1. A process that mirrors, replays or restores a ring stores the origin in the description of the
//! new ring. No other code acts on it.

use super::page::ORIGIN_HOST;

/// The ring from which the messages of a mirrored, replayed or recovered ring come.
///
/// ```
/// use slipring::endpoint::Origin;
/// use slipring::Ring;
///
/// let source = Ring::heap().create()?;
/// let origin = Origin {
///     id: source.id(),
///     epoch: source.status()?.epoch.number,
///     host: "exchange-3".to_owned(),
/// };
/// let mirror = Ring::heap().origin(origin.clone()).create()?;
/// assert_eq!(mirror.origin(), Some(&origin));
/// assert_eq!(source.origin(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The identity of the ring they come from; not 0.
    pub id: u128,
    /// The epoch of its producer when the copy began.
    pub epoch: u64,
    /// The name of its host: up to 64 bytes without control characters. Empty for this host, or an unknown
    /// one.
    pub host: String,
}

impl Origin {
    /// Why it cannot be stored; `None` if it can.
    pub fn flaw(&self) -> Option<&'static str> {
        match self {
            Self { id: 0, .. } => Some("its identity is 0, which stands for no origin"),
            _ if self.host.len() > ORIGIN_HOST.width => {
                Some("the name of its host has more than 64 bytes")
            }
            _ if !ORIGIN_HOST.holds(&self.host) => {
                Some("the name of its host has control characters")
            }
            _ => None,
        }
    }
}
