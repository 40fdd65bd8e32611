//! One field of a message.
//!
//! Layer 1. Pure.

use super::hint::Hint;
use super::kind::Kind;
use core::fmt;

/// One field of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Field {
    /// Its name.
    pub name: String,
    /// The type of one element.
    pub kind: Kind,
    /// How many elements, at least 1; more than 1 is an array.
    pub count: u32,
    /// How its values are shown. Not compared.
    pub hint: Option<Hint>,
}

impl Field {
    /// A field without a hint. [`Schema::new`](crate::schema::Schema::new) checks it.
    pub fn new(name: impl Into<String>, kind: Kind, count: u32) -> Self {
        Self {
            name: name.into(),
            kind,
            count,
            hint: None,
        }
    }

    /// The same field with a hint.
    pub fn shown_as(self, hint: Hint) -> Self {
        Self {
            hint: Some(hint),
            ..self
        }
    }

    /// Returns the size in bytes; at most `u32::MAX`, which no field of a schema has.
    pub fn bytes(&self) -> u32 {
        self.kind.bytes().saturating_mul(self.count)
    }

    /// The same field without its hint.
    pub(crate) fn bare(&self) -> Self {
        Self::new(self.name.clone(), self.kind, self.count)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.kind.name())?;
        if self.count > 1 {
            write!(f, "[{}]", self.count)?;
        }
        match &self.hint {
            Some(hint) => write!(f, "({hint})"),
            None => Ok(()),
        }
    }
}
