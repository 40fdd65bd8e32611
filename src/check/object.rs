//! Checking an object, and what lies inside it.
//!
//! Layer 3. Every look is bounded by the sizes that the description says and the files have.

use super::files::{self, Part, Parts};
use super::report::{Report, Sheet};
use super::rule::*;
use super::view::View;
use super::{control, forms, page, stream};
use crate::layout::description::Description;
use crate::layout::form::Form;
use crate::layout::geometry::{Geometry, PAGE};
use crate::layout::page::Page;
use crate::segment::{Folder, Location, Locks, Look, OpenError, Place};
use std::path::Path;
use std::time::Duration;

/// How often an object is checked whose name leads to another one meanwhile.
const ATTEMPTS: u32 = 8;
/// How deep rings lie inside each other: a lane in the letters of a mailbox.
const DEEPEST: u32 = 2;
/// When what seems wrong in an object that may be in use is looked at again.
const AGAIN: [Duration; 5] = [
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(4),
    Duration::from_millis(8),
    Duration::from_millis(16),
];

/// One name in a directory, and what was found of it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Checked {
    /// The name.
    pub name: String,
    /// What was found, or why it could not be opened to be looked at.
    pub report: Result<Report, OpenError>,
}

/// Where an object lies: by itself, or inside another one.
#[derive(Clone, Copy)]
struct Around<'d> {
    parent: Option<&'d Description>,
    depth: u32,
}

/// Checks an object of any form, and the rings inside it, against the specification, rule by rule.
///
/// # Guarantees
/// It disturbs nothing: it opens the files for reading, takes no lock and no row, and writes nothing. It ends after a
/// time that the sizes of the object bound, for any bytes and beside any producer. A file that is cut
/// while it is read is no fault of this process: the call [installs a handler](crate::place::guard_against_truncation)
/// of SIGBUS. A user whose objects are not [trusted](crate::place::trust_owner) may be looked at: nothing is believed.
///
/// # What others may change meanwhile
/// Everything but the description. A rule that holds at every instant is not reported as broken because of a change. What
/// seems wrong in an object that may be in use is looked at again, and reported if it stays. A rule that cannot be told
/// says why, such as [`Verdict::CannotTell`](super::Verdict::CannotTell).
///
/// # Errors
/// [`OpenError`] if the directory of the object cannot be opened, or the name is none. What is wrong with the files is in
/// the report.
///
/// ```
/// # let scratch = tempfile::tempdir()?;
/// # let path = scratch.path().join("ticks");
/// use slipring::registry::check;
/// use slipring::Ring;
/// use std::os::unix::fs::FileExt;
///
/// let ring = Ring::builder(&path).create()?;
/// assert!(check(&path)?.wrong().is_empty());
///
/// let stream = std::fs::OpenOptions::new().write(true).open(path.join("stream"))?;
/// stream.write_all_at(b"X", 0)?;
/// let report = check(&path)?;
/// assert_eq!(report.wrong()[0].1.rule.name, "description.magic");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn check(place: impl Into<Place>) -> Result<Report, OpenError> {
    check_at(&place.into().location()?)
}

fn check_at(location: &Location) -> Result<Report, OpenError> {
    let around = Around {
        parent: None,
        depth: 0,
    };
    let mut attempt = 0;
    loop {
        let folder = Folder::of(location)?;
        let report = object(&folder, around);
        attempt += 1;
        // If it was removed meanwhile, another one may have the name.
        if folder.is_in_place() || attempt == ATTEMPTS {
            return Ok(report);
        }
    }
}

/// Checks every object of a directory, in order of name. What is being made or removed is passed over.
///
/// # Errors
/// [`OpenError`] if the directory cannot be read. Of an object that cannot be opened, the error is in its place.
///
/// ```
/// # let scratch = tempfile::tempdir()?;
/// use slipring::registry::check_in;
/// use slipring::Ring;
///
/// Ring::builder(scratch.path().join("a")).create()?;
/// Ring::builder(scratch.path().join("b")).create()?;
/// let checked = check_in(scratch.path())?;
/// let names: Vec<&str> = checked.iter().map(|checked| &*checked.name).collect();
/// assert_eq!(names, ["a", "b"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn check_in(directory: impl AsRef<Path>) -> Result<Vec<Checked>, OpenError> {
    let directory = directory.as_ref();
    let names = Folder::at(directory)?.names();
    let names = names.map_err(|source| OpenError::Io {
        what: "list",
        path: directory.to_owned(),
        source,
    })?;
    let names = names.into_iter().filter(|name| !name.starts_with('.'));
    let checked = names.filter_map(|name| {
        let location = Location::at(&directory.join(&name)).ok()?;
        match check_at(&location) {
            Err(OpenError::NotFound { .. }) => None,
            report => Some(Checked { name, report }),
        }
    });
    Ok(checked.collect())
}

fn object(folder: &Folder, around: Around) -> Report {
    let mut sheet = Sheet::default();
    let parts = Parts::open(folder);
    files::look(folder, &parts, &mut sheet);
    let description = describe(&parts.stream, &mut sheet);
    let nested = around.depth > 0;
    let names = files::names(folder, &parts, description.as_ref(), nested, &mut sheet);
    let form = description.as_ref().map(|description| description.form);
    let mut inside = Vec::new();
    if let Some(description) = description {
        if around.depth < DEEPEST {
            let around = Around {
                parent: Some(&description),
                depth: around.depth + 1,
            };
            inside = rings(folder, names, around, &mut sheet);
        }
        if let Some(mark) = description.opaque {
            files::schema(&parts.schema, mark, &mut sheet);
        }
        words(folder, parts, description, around, &mut sheet);
    } else {
        unread(&mut sheet, "it depends on the description");
    }
    Report {
        path: folder.path().to_owned(),
        form,
        findings: sheet.findings(),
        inside,
    }
}

/// Checks the rings inside, and whether each is what its place demands.
fn rings(folder: &Folder, names: Vec<String>, around: Around, sheet: &mut Sheet) -> Vec<Report> {
    let Some(parent) = around.parent else {
        return Vec::new();
    };
    let expected = |name: &str| match parent.form {
        Form::Queue => Some(Form::Lane),
        Form::Link | Form::Pipe => Some(parent.form),
        Form::Mailbox if name == "letters" => Some(Form::Queue),
        _ => None,
    };
    let mut reports = Vec::new();
    for name in names {
        let Ok(inner) = folder.inside(&name) else {
            let seen = format!("`{}`, which is no directory", name.escape_default());
            sheet.wrong(&FILES_INSIDE, seen, "a ring");
            continue;
        };
        let report = object(&inner, around);
        if let (Some(found), Some(expected)) = (report.form, expected(&name)) {
            let seen = format!("`{name}`, a {found}");
            sheet.holds(
                &FILES_INSIDE,
                found == expected,
                seen,
                format!("a {expected}"),
            );
        }
        reports.push(report);
    }
    reports
}

/// Reads and judges the description.
fn describe(stream: &Part, sheet: &mut Sheet) -> Option<Description> {
    let fail = |sheet: &mut Sheet, why: &dyn core::fmt::Display| {
        page::unread(sheet, &why.to_string());
        None
    };
    let Some((file, facts)) = stream.regular() else {
        return fail(sheet, &stream.why());
    };
    if facts.bytes < PAGE {
        let seen = format!("{} bytes", facts.bytes);
        sheet.wrong(&FILES_STREAM_BYTES, seen, format!("at least {PAGE}"));
        return fail(sheet, &"the file is too short for a description");
    }
    let bytes = match file.map(PAGE) {
        Ok(bytes) => bytes,
        Err(error) => return fail(sheet, &format_args!("it could not be mapped: {error}")),
    };
    let mut page: Box<Page> = Box::new([0; PAGE as usize]);
    for (at, word) in page.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&bytes.word(8 * at as u64).to_le_bytes());
    }
    if bytes.poisoned() {
        return fail(sheet, &"the file was cut while it was read");
    }
    page::look(&page, sheet)
}

/// Maps a file that is as long as the description says.
fn mapped(part: &Part, bytes: u64, rule: &'static Rule, sheet: &mut Sheet) -> Option<Look> {
    let Some((file, facts)) = part.regular() else {
        sheet.unknown(rule, part.why());
        return None;
    };
    sheet.holds(
        rule,
        facts.bytes >= bytes,
        facts.bytes,
        format!("at least {bytes}"),
    );
    if facts.bytes < bytes {
        return None;
    }
    match file.map(bytes) {
        Ok(look) => Some(look),
        Err(error) => {
            sheet.unknown(rule, format!("it could not be mapped: {error}"));
            None
        }
    }
}

/// Looks at everything that lies behind the description, until what seems wrong has stayed so.
fn words(
    folder: &Folder,
    parts: Parts,
    description: Description,
    around: Around,
    sheet: &mut Sheet,
) {
    let geometry: Geometry = description.geometry;
    let (stream_bytes, control_bytes) = (geometry.stream_bytes(), geometry.control_bytes());
    let stream = mapped(&parts.stream, stream_bytes, &FILES_STREAM_BYTES, sheet);
    let control = mapped(&parts.control, control_bytes, &FILES_CONTROL_BYTES, sheet);
    let locks = parts.lock.regular().is_some();
    let locks = parts
        .lock
        .file
        .filter(|_| locks)
        .map(crate::segment::Seen::locks);
    reserved_locks(locks.as_ref(), sheet);
    let Some(stream) = stream else {
        return unread(sheet, "`stream` cannot be read whole");
    };
    let view = View {
        description,
        stream,
        control,
        locks,
    };
    let mut found = once(&view, folder, around.parent);
    for pause in AGAIN {
        if !found.has_wrong() || !view.may_be_used() {
            break;
        }
        std::thread::sleep(pause);
        found.keep_what_stays_wrong(once(&view, folder, around.parent));
    }
    // A short tail of the last page reads as zeroes without any signal.
    let cut = |part: &Part, bytes: u64| {
        let facts = part.file.as_ref().map(crate::segment::Seen::facts);
        facts.is_some_and(|facts| facts.is_ok_and(|facts| facts.bytes < bytes))
    };
    let cuts = [
        (
            &parts.stream,
            stream_bytes,
            &FILES_STREAM_BYTES,
            view.stream.poisoned(),
        ),
        (
            &parts.control,
            control_bytes,
            &FILES_CONTROL_BYTES,
            view.control.as_ref().is_some_and(Look::poisoned),
        ),
    ];
    for (part, bytes, rule, poisoned) in cuts {
        if poisoned || cut(part, bytes) {
            sheet.wrong(rule, "a file that was cut meanwhile", bytes);
            found.doubt("the file was cut while it was read");
        }
    }
    sheet.append(found);
}

/// Notes that the rules which every form has behind the description cannot be told.
fn unread(sheet: &mut Sheet, why: &str) {
    for rule in [
        &FILES_STREAM_BYTES,
        &FILES_CONTROL_BYTES,
        &LOCKS_RESERVED,
        &STREAM_RESERVED,
        &STREAM_NEW,
        &PRODUCER_STATE,
        &PRODUCER_EVICTIONS,
        &RESERVE_LIMIT,
        &EVICTIONS_ENTRY,
        &CONTROL_IDENTITY,
        &CONTROL_RESERVED,
        &BELL_FLAGS_RULE,
        &ROW_STATE,
        &ROW_MAY_PARK,
    ] {
        sheet.unknown_if_not_seen(rule, why);
    }
}

fn reserved_locks(locks: Option<&Locks>, sheet: &mut Sheet) {
    match locks.map(Locks::is_reserved_held) {
        Some(Ok(held)) => {
            let seen = if held { "a lock" } else { "none" };
            sheet.holds(&LOCKS_RESERVED, !held, seen, "none from 4 to 16");
        }
        Some(Err(error)) => sheet.unknown(&LOCKS_RESERVED, error),
        None => sheet.unknown(&LOCKS_RESERVED, "`lock` cannot be read"),
    }
}

/// One look at the shared words.
fn once(view: &View, folder: &Folder, parent: Option<&Description>) -> Sheet {
    let mut sheet = Sheet::default();
    let rows = control::rows(view);
    let asked = control::positions(view, &rows);
    let walked = stream::look(view, &asked, &mut sheet);
    control::look(view, &rows, walked.as_ref(), &mut sheet);
    forms::look(view, folder, parent, &rows, walked.as_ref(), &mut sheet);
    sheet
}
