//! Reading a schema.
//!
//! Layer 1. Pure. Knows the grammar, and says where a text leaves it; what the parts mean together is checked
//! by `schema`, of every schema.
//!
//! ```text
//! schema = name "{" fields "}" | fields
//! fields = field *("," field)
//! field  = name ":" kind ["[" count "]"] ["(" hint ")"]
//! ```
//!
//! Spaces may stand between all of these.

use super::error::SchemaError;
use crate::layout::field::Field;
use crate::layout::hint::Hint;
use crate::layout::kind::Kind;

/// What a text says: the name with its place, and the fields with theirs.
pub struct Parsed {
    pub name: (usize, String),
    pub fields: Vec<(usize, Field)>,
}

/// The name of a message whose text has none.
const UNNAMED: &str = "Message";
/// How much of a text an error shows.
const SHOWN: usize = 24;

/// Reads a text.
pub fn parse(text: &str) -> Result<Parsed, SchemaError> {
    let mut text = Text { text, at: 0 };
    text.pass_space();
    let begin = text.at;
    let name = text.word().to_owned();
    let braces = text.take('{');
    let name = match braces {
        true => (begin, name),
        false => {
            text.at = begin;
            (begin, UNNAMED.to_owned())
        }
    };
    let mut fields = Vec::new();
    loop {
        text.pass_space();
        fields.push((text.at, text.field()?));
        if !text.take(',') {
            break;
        }
    }
    if braces && !text.take('}') {
        return Err(text.error("a comma, or } at the end of the fields"));
    }
    text.pass_space();
    match text.rest() {
        "" => Ok(Parsed { name, fields }),
        _ if braces => Err(text.error("nothing behind the }")),
        _ => Err(text.error("a comma, or the end")),
    }
}

/// A text and how much of it was read.
struct Text<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Text<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn error(&self, expected: &'static str) -> SchemaError {
        SchemaError::Syntax {
            at: self.at,
            near: self.rest().chars().take(SHOWN).collect(),
            expected,
        }
    }

    fn pass_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Everything up to one of the characters that part words.
    fn word(&mut self) -> &'t str {
        let rest = self.rest();
        let ends = |c: char| c.is_whitespace() || "{}[](),:".contains(c);
        let word = &rest[..rest.find(ends).unwrap_or(rest.len())];
        self.at += word.len();
        word
    }

    /// Passes spaces and this character, if it follows.
    fn take(&mut self, c: char) -> bool {
        self.pass_space();
        let there = self.rest().starts_with(c);
        self.at += if there { c.len_utf8() } else { 0 };
        there
    }

    fn expect(&mut self, c: char, expected: &'static str) -> Result<(), SchemaError> {
        match self.take(c) {
            true => Ok(()),
            false => Err(self.error(expected)),
        }
    }

    fn field(&mut self) -> Result<Field, SchemaError> {
        let begin = self.at;
        let name = self.word();
        if name.is_empty() {
            return Err(self.error("the name of a field"));
        }
        self.expect(':', "a : behind the name of the field")?;
        self.pass_space();
        let at = self.at;
        let Some(kind) = Kind::parse(self.word()) else {
            let field = self.text.get(begin..self.at).unwrap_or_default().into();
            return Err(SchemaError::UnknownKind { at, field });
        };
        let count = match self.take('[') {
            true => self.count()?,
            false => 1,
        };
        let mut field = Field::new(name, kind, count);
        if self.take('(') {
            field.hint = Some(self.hint(name, kind)?);
        }
        Ok(field)
    }

    fn count(&mut self) -> Result<u32, SchemaError> {
        self.pass_space();
        let begin = self.at;
        let digits = self.word();
        let count = match digits.bytes().all(|b| b.is_ascii_digit()) {
            true => digits.parse().ok().filter(|count| *count > 0),
            false => None,
        };
        let Some(count) = count else {
            self.at = begin;
            return Err(self.error("how many elements the array has, 1 at least"));
        };
        self.expect(']', "a ] behind the number of elements")?;
        Ok(count)
    }

    fn hint(&mut self, field: &str, kind: Kind) -> Result<Hint, SchemaError> {
        self.pass_space();
        let rest = self.rest();
        let Some(end) = rest.find(')') else {
            return Err(self.error("a hint and a ) behind it"));
        };
        let hint =
            Hint::parse(rest[..end].trim_end(), kind).map_err(|fault| SchemaError::Hint {
                at: self.at + fault.at,
                field: field.into(),
                expected: fault.why,
            })?;
        self.at += end + 1;
        Ok(hint)
    }
}
