//! The settings of a mirror.

use crate::name::Name;
use core::time::Duration;

/// The settings of a mirror.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name.
    pub name: Name,
    /// A number that no other mirror of this name has: a random one.
    pub instance: u64,
    /// Bytes that are held until they can be written. At least twice the longest message.
    pub window: u64,
    /// The longest message that its ring takes. Longer ones count as lost.
    pub longest: u32,
    /// The size of every message that its ring takes, if it has a schema. Others count as lost.
    pub size: Option<u32>,
    /// How long a hole may close by itself before it is asked for.
    pub patience: Duration,
    /// How long to wait for an answer.
    pub timeout: Duration,
    /// The longest pause between requests that are not answered.
    pub pause: Duration,
    /// After how long without a frame to ask what became of the source, and to believe that it is another ring now.
    pub silence: Duration,
}

impl Settings {
    /// Returns `true` if the ring takes messages of all lengths in between, these included.
    pub(super) fn fit(&self, shortest: u32, longest: u32) -> bool {
        let sized = |size| shortest == size && longest == size;
        longest <= self.longest && self.size.is_none_or(sized)
    }

    /// The usual settings, for a ring whose messages have at most so many bytes.
    pub fn new(name: Name, instance: u64, longest: u32) -> Self {
        Self {
            name,
            instance,
            window: (4 << 20).max(2 * u64::from(longest)),
            longest,
            size: None,
            patience: Duration::from_millis(1),
            timeout: Duration::from_millis(500),
            pause: Duration::from_secs(1),
            silence: Duration::from_secs(1),
        }
    }
}
