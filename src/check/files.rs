//! The rules of the files of an object: which there are, whose, how long, and the schema file.
//!
//! Layer 3.

use super::report::Sheet;
use super::rule::*;
use crate::layout::description::Description;
use crate::layout::form::Form;
use crate::layout::opaque::{decode, OpaqueMark};
use crate::segment::{Facts, Folder, Seen};

/// A file of an object, as far as it could be opened.
#[derive(Debug)]
pub struct Part {
    /// The name.
    pub name: &'static str,
    /// The file.
    pub file: Option<Seen>,
    /// What the kernel says of it.
    pub facts: Option<Facts>,
    /// Why it cannot be used.
    pub why: Option<String>,
}

impl Part {
    /// Opens a file.
    pub fn open(folder: &Folder, name: &'static str) -> Self {
        let missing = || Some("it is missing".to_owned());
        let (file, why) = match folder.file(name) {
            Ok(file) => {
                let why = if file.is_none() { missing() } else { None };
                (file, why)
            }
            Err(error) => (None, Some(error.to_string())),
        };
        let facts = file.as_ref().and_then(|file| file.facts().ok());
        Self {
            name,
            facts: facts.filter(|_| why.is_none()),
            file,
            why,
        }
    }

    /// Returns `true` if there is no such file.
    pub fn is_missing(&self) -> bool {
        self.file.is_none() && self.why.as_deref() == Some("it is missing")
    }

    /// Why it cannot be used.
    pub fn why(&self) -> String {
        let why = self.why.as_deref().unwrap_or("it cannot be read");
        format!("of `{}`: {why}", self.name)
    }

    /// The file, if it is a regular one.
    pub fn regular(&self) -> Option<(&Seen, Facts)> {
        let facts = self.facts.filter(|facts| facts.regular)?;
        Some((self.file.as_ref()?, facts))
    }
}

/// The files of an object.
#[derive(Debug)]
pub struct Parts {
    /// `stream`.
    pub stream: Part,
    /// `control`.
    pub control: Part,
    /// `lock`.
    pub lock: Part,
    /// `schema`.
    pub schema: Part,
}

impl Parts {
    /// Opens the files.
    pub fn open(folder: &Folder) -> Self {
        let part = |name| Part::open(folder, name);
        Self {
            stream: part("stream"),
            control: part("control"),
            lock: part("lock"),
            schema: part("schema"),
        }
    }

    fn all(&self) -> [&Part; 4] {
        [&self.stream, &self.control, &self.lock, &self.schema]
    }
}

/// Looks at the kind, the owner and the mode of each file.
pub fn look(folder: &Folder, parts: &Parts, sheet: &mut Sheet) {
    let directory = folder.facts().ok();
    for rule in [&FILES_REGULAR, &FILES_OWNER, &FILES_MODE] {
        match directory {
            Some(_) => sheet.ok(rule, ""),
            None => sheet.unknown(rule, "the directory cannot be inspected"),
        }
    }
    sheet.ok(&FILES_LOCK_EMPTY, "");
    let Some(directory) = directory else { return };
    for part in parts.all() {
        let Some(facts) = part.facts else {
            if !part.is_missing() {
                for rule in [&FILES_REGULAR, &FILES_OWNER, &FILES_MODE] {
                    sheet.unknown(rule, part.why());
                }
            }
            continue;
        };
        let name = part.name;
        if !facts.regular {
            let seen = format!("`{name}`, which is none");
            sheet.wrong(&FILES_REGULAR, seen, "a regular file");
        } else if facts.names != 1 {
            let seen = format!("`{name}` with {} names", facts.names);
            sheet.wrong(&FILES_REGULAR, seen, "one name");
        }
        if facts.owner != directory.owner {
            let seen = format!("`{name}` of user {}", facts.owner);
            sheet.wrong(&FILES_OWNER, seen, format!("user {}", directory.owner));
        }
    }
    modes(directory, parts, sheet);
    match parts.lock.facts {
        Some(facts) if facts.bytes != 0 => {
            sheet.wrong(&FILES_LOCK_EMPTY, format!("{} bytes", facts.bytes), "none");
        }
        Some(_) => {}
        None => sheet.unknown(&FILES_LOCK_EMPTY, parts.lock.why()),
    }
}

/// The permissions of group and others are those of one mode.
fn modes(directory: Facts, parts: &Parts, sheet: &mut Sheet) {
    let digits = |facts: Facts| [facts.mode >> 3 & 7, facts.mode & 7];
    let shown = |name: &str, facts: Facts| format!("`{name}` {:04o}", facts.mode);
    let (Some(stream), Some(control)) = (parts.stream.facts, parts.control.facts) else {
        return;
    };
    let mut wrong = Vec::new();
    for (at, class) in digits(directory).into_iter().enumerate() {
        let (observes, consumes) = (digits(stream)[at], digits(control)[at]);
        if ![0, 4].contains(&observes) {
            wrong.push(shown("stream", stream));
        } else if ![0, 6].contains(&consumes) || consumes == 6 && observes == 0 {
            wrong.push(shown("control", control));
        }
        if (class, observes) != (5, 4) && (class, observes) != (0, 0) {
            wrong.push(shown(".", directory));
        }
        for (part, expected) in [(&parts.lock, consumes), (&parts.schema, observes)] {
            if let Some(facts) = part.facts.filter(|facts| digits(*facts)[at] != expected) {
                wrong.push(shown(part.name, facts));
            }
        }
    }
    if let Some(first) = wrong.first() {
        let seen = format!(
            "{first}, with {} and {}",
            shown("stream", stream),
            shown("control", control)
        );
        let allowed = "4, 6 and 5 of stream, control and directory, or 4, 0 and 5, or 0";
        sheet.wrong(&FILES_MODE, seen, allowed);
    }
}

/// Returns `true` if a name is that of a ring that is being made or removed.
fn is_hidden(name: &str) -> bool {
    let parts = name
        .strip_prefix('.')
        .and_then(|name| name.rsplit_once('.'));
    parts.is_some_and(|(ring, digits)| {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        !ring.is_empty() && digits.len() == 16 && digits.bytes().all(digit)
    })
}

/// Returns `true` if a ring of this name may lie inside an object.
fn may_be_inside(description: &Description, nested: bool, name: &str) -> bool {
    match description.form {
        Form::Queue => name
            .strip_prefix("lane-")
            .and_then(|number| number.parse().ok())
            .is_some_and(|number: u32| number < 1024 && name == format!("lane-{number}")),
        Form::Link => !nested && name == "back",
        Form::Pipe => !nested && description.parameters[0] == 2 && name == "back",
        // Private.
        Form::Mailbox => true,
        _ => false,
    }
}

/// Looks at what the directory holds. Returns the names of the rings inside.
pub fn names(
    folder: &Folder,
    parts: &Parts,
    description: Option<&Description>,
    nested: bool,
    sheet: &mut Sheet,
) -> Vec<String> {
    let names = match folder.names() {
        Ok(names) => names,
        Err(error) => {
            sheet.unknown(
                &FILES_NAMES,
                format!("the directory cannot be listed: {error}"),
            );
            return Vec::new();
        }
    };
    sheet.ok(&FILES_NAMES, names.join(", "));
    let files = [&parts.stream, &parts.control, &parts.lock];
    for part in files.into_iter().filter(|part| part.is_missing()) {
        let seen = format!("no `{}`", part.name);
        sheet.wrong(&FILES_NAMES, seen, "stream, control and lock");
    }
    let Some(description) = description else {
        sheet.unknown(
            &FILES_NAMES,
            "what else there may be depends on the description",
        );
        return Vec::new();
    };
    let mut inside = Vec::new();
    for name in names {
        match name.as_str() {
            "stream" | "control" | "lock" => {}
            "schema" if description.opaque.is_some() => {}
            ring if may_be_inside(description, nested, ring) => {
                if !is_hidden(ring) {
                    inside.push(name);
                }
            }
            ring if is_hidden(ring) && description.form == Form::Queue => {}
            other => {
                let seen = format!("`{}`", other.escape_default());
                sheet.wrong(&FILES_NAMES, seen, "only what its form has");
            }
        }
    }
    let back = match description.form {
        Form::Link => true,
        Form::Pipe => description.parameters[0] == 2,
        _ => false,
    };
    if back && !nested && inside.is_empty() {
        sheet.wrong(&FILES_NAMES, "no `back`", "a ring for the other direction");
    }
    inside
}

/// Looks at the schema file, if the description names one.
pub fn schema(part: &Part, mark: OpaqueMark, sheet: &mut Sheet) {
    let rules = [&SCHEMA_FILE_BYTES, &SCHEMA_FILE_HASH, &SCHEMA_FILE_FORMAT];
    if part.is_missing() {
        sheet.wrong(&SCHEMA_FILE_PRESENT, "none", "a file `schema`");
    } else {
        sheet.ok(&SCHEMA_FILE_PRESENT, "");
    }
    let bytes = part.regular().map(|(file, facts)| {
        let found = facts.bytes == u64::from(mark.bytes);
        let (seen, allowed) = (facts.bytes, mark.bytes);
        sheet.holds(&SCHEMA_FILE_BYTES, found, seen, allowed);
        file.read(mark.bytes.min(OpaqueMark::MAX_BYTES) as usize)
    });
    let Some(Ok(bytes)) = bytes else {
        for rule in rules {
            sheet.unknown(rule, part.why());
        }
        return;
    };
    let hash = OpaqueMark::of(&bytes).hash;
    let (seen, allowed) = (format!("{hash:#x}"), format!("{:#x}", mark.hash));
    sheet.holds(&SCHEMA_FILE_HASH, hash == mark.hash, seen, allowed);
    let format = decode(&bytes);
    let seen = format
        .as_ref()
        .map_or("something else", |schema| schema.kind());
    let allowed = "magic, three lengths, zero, and so many bytes";
    sheet.holds(&SCHEMA_FILE_FORMAT, format.is_some(), seen, allowed);
}
