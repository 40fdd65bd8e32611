//! What a segment is used for.
//!
//! Layer 1. Every form has the same files: a description, a stream that one process writes, rows,
//! bells and lock bytes. The form says what its other numbers mean.

use core::fmt;

/// A form of communication, as the description page names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum Form {
    /// One producer, any number of readers.
    Ring = 0,
    /// Many senders, many receivers, each message to one of them. Its lanes are rings inside it.
    Queue = 1,
    /// The messages of one sender of a queue.
    Lane = 2,
    /// Many clients and receivers; letters have senders and can be answered.
    Mailbox = 3,
    /// Two processes that name each other.
    Link = 4,
    /// A stream of bytes.
    Pipe = 5,
    /// The newest value of one writer.
    Latest = 6,
    /// A value that several processes change.
    Shared = 7,
    /// A number of permits.
    Semaphore = 8,
    /// Numbered signals between named processes.
    Signals = 9,
}

impl Form {
    /// The form with this number; `None` for one that this build does not know.
    pub const fn from_raw(raw: u32) -> Option<Self> {
        Some(match raw {
            0 => Self::Ring,
            1 => Self::Queue,
            2 => Self::Lane,
            3 => Self::Mailbox,
            4 => Self::Link,
            5 => Self::Pipe,
            6 => Self::Latest,
            7 => Self::Shared,
            8 => Self::Semaphore,
            9 => Self::Signals,
            _ => return None,
        })
    }

    /// Its name, in one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Queue => "queue",
            Self::Lane => "lane",
            Self::Mailbox => "mailbox",
            Self::Link => "link",
            Self::Pipe => "pipe",
            Self::Latest => "latest",
            Self::Shared => "shared",
            Self::Semaphore => "semaphore",
            Self::Signals => "signals",
        }
    }

    /// What one of it is called in a sentence, without an article, which is always "a".
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Latest => "latest value",
            Self::Shared => "shared value",
            Self::Signals => "signals object",
            form => form.name(),
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_has_one_number_and_one_name() {
        let mut names = std::collections::BTreeSet::new();
        for raw in 0..10 {
            let form = Form::from_raw(raw).unwrap();
            assert_eq!(form as u32, raw);
            assert!(names.insert(form.to_string()));
        }
        assert_eq!(Form::from_raw(10), None);
    }
}
