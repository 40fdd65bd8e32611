//! The rules of the description, page 0 of `stream`.
//!
//! Layer 3. Each field is looked at by itself, from the table of the specification, so that one wrong field does not hide
//! another.

use super::report::Sheet;
use super::rule::*;
use crate::layout::description::{
    Description, DescriptionError, BYTE_ORDER, INCOMPATIBLE_EVICTS as EVICTS,
    INCOMPATIBLE_FORM as FORM, INCOMPATIBLE_HUGE as HUGE, INCOMPATIBLE_STAMPS as STAMPS,
    LAYOUT_VERSION, MAGIC,
};
use crate::layout::form::Form;
use crate::layout::geometry::{
    Geometry, BLOCK, HUGE_PAGE, MAX_BOARD, MAX_CAPACITY, MAX_ROWS, PAGE,
};
use crate::layout::opaque::OpaqueMark;
use crate::layout::page::{
    self, first_set, get, u128_at, u32_at, u64_at, Page, Text, CHECKSUM, IGNORED, MAKER,
    OPAQUE_BYTES, OPAQUE_HASH, ORIGIN_EPOCH, ORIGIN_HOST, ORIGIN_ID, RESERVED, SCHEMA,
    SCHEMA_RESERVED,
};
use crate::layout::schema::{fnv1a, Schema};

/// Every rule but those that decide whether the others can be applied.
static FIELDS: [&Rule; 26] = [
    &DESCRIPTION_CHECKSUM,
    &DESCRIPTION_FEATURES,
    &DESCRIPTION_OTHER_FEATURES,
    &DESCRIPTION_FORM,
    &DESCRIPTION_CAPACITY,
    &DESCRIPTION_BLOCK,
    &DESCRIPTION_ALIGN,
    &DESCRIPTION_ROWS,
    &DESCRIPTION_LARGEST,
    &DESCRIPTION_BOARD,
    &DESCRIPTION_INDEX_OFFSET,
    &DESCRIPTION_DATA_OFFSET,
    &DESCRIPTION_STREAM_BYTES,
    &DESCRIPTION_CONTROL_BYTES,
    &DESCRIPTION_EVICTION,
    &DESCRIPTION_FORM_BIT,
    &DESCRIPTION_STAMPS,
    &DESCRIPTION_PARAMETERS,
    &DESCRIPTION_MAKER,
    &DESCRIPTION_ORIGIN,
    &DESCRIPTION_SCHEMA,
    &DESCRIPTION_SCHEMA_HASH,
    &DESCRIPTION_SCHEMA_END,
    &DESCRIPTION_SCHEMA_FILE,
    &DESCRIPTION_RESERVED,
    &DESCRIPTION_IGNORED,
];

/// Looks at a private copy of the page. Returns what it describes, as far as that can be used to look at the rest:
/// the checksum alone may be wrong.
pub fn look(page: &Page, sheet: &mut Sheet) -> Option<Description> {
    let unknown = |sheet: &mut Sheet, rules: &[&'static Rule], why: &str| {
        for rule in rules {
            sheet.unknown(rule, why);
        }
        None
    };
    let magic: [u8; 8] = get(page, page::MAGIC);
    let shown = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let is_stream = magic == MAGIC;
    sheet.holds(&DESCRIPTION_MAGIC, is_stream, shown(&magic), shown(&MAGIC));
    if !is_stream {
        let first = [&DESCRIPTION_BYTE_ORDER, &DESCRIPTION_VERSION];
        unknown(sheet, &first, "the file is no stream");
        return unknown(sheet, &FIELDS, "the file is no stream");
    }
    let order = u32_at(page, page::BYTE_ORDER);
    let (seen, allowed) = (format!("{order:#010x}"), format!("{BYTE_ORDER:#010x}"));
    sheet.holds(&DESCRIPTION_BYTE_ORDER, order == BYTE_ORDER, seen, allowed);
    let version = u32_at(page, page::VERSION);
    if order == BYTE_ORDER.swap_bytes() {
        let why = "the page was written in the other byte order";
        unknown(sheet, &[&DESCRIPTION_VERSION], why);
        return unknown(sheet, &FIELDS, why);
    }
    let same = version == LAYOUT_VERSION;
    sheet.holds(&DESCRIPTION_VERSION, same, version, LAYOUT_VERSION);
    if !same {
        return unknown(
            sheet,
            &FIELDS,
            "fields of another layout mean something else",
        );
    }
    let (sum, expected) = (u64_at(page, CHECKSUM), fnv1a(&page[..CHECKSUM]));
    let hex = |n: u64| format!("{n:#x}");
    let is_sum = sum == expected;
    sheet.holds(&DESCRIPTION_CHECKSUM, is_sum, hex(sum), hex(expected));
    sizes(page, sheet);
    form(page, sheet);
    texts(page, sheet);
    schema(page, sheet);
    decoded(page)
}

/// Notes that no rule of the description can be told.
pub fn unread(sheet: &mut Sheet, why: &str) {
    for rule in [
        &DESCRIPTION_MAGIC,
        &DESCRIPTION_BYTE_ORDER,
        &DESCRIPTION_VERSION,
    ] {
        sheet.unknown(rule, why);
    }
    for rule in FIELDS {
        sheet.unknown(rule, why);
    }
}

/// What the library reads in the page, even if its checksum is wrong.
fn decoded(page: &Page) -> Option<Description> {
    match Description::decode(page) {
        Err(DescriptionError::Checksum { expected, .. }) => {
            let mut page = *page;
            page[CHECKSUM..].copy_from_slice(&expected.to_le_bytes());
            Description::decode(&page).ok()
        }
        description => description.ok(),
    }
}

fn sizes(page: &Page, sheet: &mut Sheet) {
    let (features, capacity) = (
        u64_at(page, page::INCOMPATIBLE),
        u64_at(page, page::CAPACITY),
    );
    let known = HUGE | EVICTS | FORM | STAMPS;
    let (seen, allowed) = (format!("{features:#x}"), format!("no bit but {known:#x}"));
    sheet.holds(&DESCRIPTION_FEATURES, features & !known == 0, seen, allowed);
    match (
        u64_at(page, page::FOR_PRODUCERS),
        u64_at(page, page::FOR_NONE),
    ) {
        (0, 0) => sheet.ok(&DESCRIPTION_OTHER_FEATURES, "none"),
        (a, b) => sheet.unknown(
            &DESCRIPTION_OTHER_FEATURES,
            format!("{a:#x} and {b:#x} may be features of a later version"),
        ),
    }
    let (align, rows) = (u32_at(page, page::ALIGN), u32_at(page, page::ROWS));
    let is_capacity = capacity.is_power_of_two() && (PAGE..=MAX_CAPACITY).contains(&capacity);
    let allowed = "a power of two from 4096 to 2^40";
    sheet.holds(&DESCRIPTION_CAPACITY, is_capacity, capacity, allowed);
    let is_align = align == 8 || align == 64;
    sheet.holds(&DESCRIPTION_ALIGN, is_align, align, "8 or 64");
    let is_rows = (1..=MAX_ROWS).contains(&rows);
    let demanded = match Form::from_raw(u32_at(page, page::FORM)) {
        Some(Form::Lane) => Some(8),
        Some(Form::Link) => Some(1),
        _ => None,
    };
    match demanded {
        Some(exactly) => sheet.holds(&DESCRIPTION_ROWS, rows == exactly, rows, exactly),
        None => sheet.holds(&DESCRIPTION_ROWS, is_rows, rows, "1 to 1024"),
    }
    let evicts = features & EVICTS != 0;
    let after = u64_at(page, page::EVICT_AFTER_NS);
    let allowed = if evicts { "a time" } else { "0" };
    let seen = format!("{after} ns, with bit 1 {}", u8::from(evicts));
    sheet.holds(&DESCRIPTION_EVICTION, evicts == (after != 0), seen, allowed);
    let index = u64_at(page, page::INDEX_OFFSET);
    sheet.holds(
        &DESCRIPTION_INDEX_OFFSET,
        index == 2 * PAGE,
        index,
        2 * PAGE,
    );
    if is_capacity {
        let (block, expected) = (u64_at(page, page::BLOCK), BLOCK.min(capacity / 8));
        sheet.holds(&DESCRIPTION_BLOCK, block == expected, block, expected);
        let (largest, expected) = (
            u64::from(u32_at(page, page::LARGEST)),
            (capacity / 4).min((1 << 31) - 2),
        );
        sheet.holds(&DESCRIPTION_LARGEST, largest == expected, largest, expected);
    } else {
        for rule in [&DESCRIPTION_BLOCK, &DESCRIPTION_LARGEST] {
            sheet.unknown(rule, "it follows from the capacity");
        }
    }
    let board = u32_at(page, page::BOARD);
    let file = |bytes: u64| match features & HUGE {
        0 => bytes.next_multiple_of(PAGE),
        _ => bytes.next_multiple_of(HUGE_PAGE),
    };
    if is_capacity && is_rows {
        let entries = capacity / BLOCK.min(capacity / 8);
        let expected = file(2 * PAGE + 16 * entries + 8 * u64::from(rows));
        let found = u64_at(page, page::DATA_OFFSET);
        sheet.holds(&DESCRIPTION_DATA_OFFSET, found == expected, found, expected);
        let (found, expected) = (u64_at(page, page::STREAM_BYTES), file(expected + capacity));
        sheet.holds(
            &DESCRIPTION_STREAM_BYTES,
            found == expected,
            found,
            expected,
        );
    } else {
        for rule in [&DESCRIPTION_DATA_OFFSET, &DESCRIPTION_STREAM_BYTES] {
            sheet.unknown(rule, "it follows from the capacity and the rows");
        }
    }
    if is_rows && board <= MAX_BOARD {
        let expected = file(PAGE + 128 * u64::from(rows) + 8 * u64::from(board));
        let found = u64_at(page, page::CONTROL_BYTES);
        sheet.holds(
            &DESCRIPTION_CONTROL_BYTES,
            found == expected,
            found,
            expected,
        );
    } else {
        sheet.unknown(&DESCRIPTION_CONTROL_BYTES, "it follows from rows and board");
    }
}

/// The low half of a parameter of a queue: its depth, or its largest message.
pub fn low(parameter: u64) -> u64 {
    parameter & 0xffff_ffff
}

/// How many words the board of a form has; `None` where the form leaves it open.
fn board_of(form: Form, stamps: bool, rows: u64, [first, second]: [u64; 2]) -> Option<Vec<u64>> {
    Some(match form {
        Form::Ring if stamps => vec![608 * rows],
        Form::Ring | Form::Latest => vec![0],
        Form::Queue => vec![1040],
        Form::Lane => vec![16 + low(first)],
        Form::Link => vec![0, 32],
        Form::Shared => vec![17],
        Form::Semaphore => vec![16 + second.min(1 << 32)],
        Form::Signals => vec![64 + 64 * rows],
        Form::Mailbox | Form::Pipe => return None,
    })
}

fn form(page: &Page, sheet: &mut Sheet) {
    let (features, number) = (u64_at(page, page::INCOMPATIBLE), u32_at(page, page::FORM));
    let bit = |bit: u64| features & bit != 0;
    let seen = format!("{number}, with bit 2 {}", u8::from(bit(FORM)));
    let allowed = "the bit for every form but 0";
    sheet.holds(
        &DESCRIPTION_FORM_BIT,
        bit(FORM) == (number != 0),
        seen,
        allowed,
    );
    let seen = format!("bit 3 {} and form {number}", u8::from(bit(STAMPS)));
    let allowed = "the bit in form 0 only";
    sheet.holds(
        &DESCRIPTION_STAMPS,
        !bit(STAMPS) || number == 0,
        seen,
        allowed,
    );
    let board = u64::from(u32_at(page, page::BOARD));
    let Some(form) = Form::from_raw(number) else {
        sheet.wrong(&DESCRIPTION_FORM, number, "0 to 9");
        for rule in [&DESCRIPTION_PARAMETERS, &DESCRIPTION_BOARD] {
            sheet.unknown(rule, "the form is not known");
        }
        return;
    };
    sheet.ok(&DESCRIPTION_FORM, format!("{number}, {form}"));
    let parameters = [
        u64_at(page, page::FIRST_PARAMETER),
        u64_at(page, page::SECOND_PARAMETER),
    ];
    let rows = u64::from(u32_at(page, page::ROWS));
    let expected = board_of(form, bit(STAMPS), rows, parameters);
    let fits = board <= u64::from(MAX_BOARD);
    let fits = fits && expected.as_ref().is_none_or(|these| these.contains(&board));
    let allowed = match expected {
        Some(these) => format!("{these:?}"),
        None => "up to 2^20".into(),
    };
    sheet.holds(&DESCRIPTION_BOARD, fits, board, allowed);
    let (right, allowed) = parameters_of(form, parameters);
    let seen = format!("{parameters:?}");
    sheet.holds(&DESCRIPTION_PARAMETERS, right, seen, allowed);
}

fn parameters_of(form: Form, [first, second]: [u64; 2]) -> (bool, &'static str) {
    match form {
        Form::Ring => ([first, second] == [0, 0], "0 and 0"),
        Form::Queue | Form::Lane => (
            low(first).is_power_of_two()
                && (2..=1 << 16).contains(&low(first))
                && (second >> 32 == 0 || (12..=40).contains(&(second >> 32))),
            "a depth that is a power of two from 2 to 65536, and a bound of a lane from 2^12 to 2^40 bytes, or none",
        ),
        Form::Pipe => (first == 1 || first == 2, "1 or 2 directions"),
        Form::Latest => (first > 0, "cells, and bytes of a value"),
        Form::Shared => ([first, second] == [1, 1], "1 and 1"),
        Form::Semaphore => (
            first <= second && second <= 1 << 16,
            "permits, and the most there can be, up to 65536",
        ),
        Form::Signals => (first == 64, "64 signals"),
        Form::Link | Form::Mailbox => (true, ""),
    }
}

fn texts(page: &Page, sheet: &mut Sheet) {
    let bytes = |text: Text| {
        page[text.at..text.at + text.width]
            .escape_ascii()
            .to_string()
    };
    let shown = |text: Text| {
        let shown = bytes(text);
        shown.trim_end_matches("\\x00").to_owned()
    };
    let allowed = "UTF-8 without control characters, then zero bytes";
    let is_text = MAKER.get(page).is_some();
    sheet.holds(&DESCRIPTION_MAKER, is_text, shown(MAKER), allowed);
    let is_text = ORIGIN_HOST.get(page).is_some();
    let whole = ORIGIN_EPOCH..ORIGIN_HOST.at + ORIGIN_HOST.width;
    match (u128_at(page, ORIGIN_ID), first_set(page, whole)) {
        (0, Some(at)) => sheet.wrong(
            &DESCRIPTION_ORIGIN,
            format!("byte {at} set"),
            "epoch and host zero where the identity is zero",
        ),
        _ => sheet.holds(&DESCRIPTION_ORIGIN, is_text, shown(ORIGIN_HOST), allowed),
    }
    let reserved = SCHEMA_RESERVED.start..RESERVED.end;
    match first_set(page, reserved) {
        None => sheet.ok(&DESCRIPTION_RESERVED, "zero"),
        Some(at) => sheet.wrong(&DESCRIPTION_RESERVED, byte_at(page, at), "zero"),
    }
    match first_set(page, IGNORED) {
        None => sheet.ok(&DESCRIPTION_IGNORED, "zero"),
        Some(at) => sheet.unknown(
            &DESCRIPTION_IGNORED,
            format!("a later version may use {}", byte_at(page, at)),
        ),
    }
}

fn byte_at(page: &Page, at: usize) -> String {
    format!("byte {at}, which is {:#04x}", page[at])
}

fn schema(page: &Page, sheet: &mut Sheet) {
    let (hash, bytes) = (u64_at(page, OPAQUE_HASH), u32_at(page, OPAQUE_BYTES));
    let lengths = OpaqueMark::MIN_BYTES..=OpaqueMark::MAX_BYTES;
    let right = (hash, bytes) == (0, 0) || lengths.contains(&bytes);
    let seen = format!("{bytes} bytes with the hash {hash:#x}");
    let allowed = format!("none, or {} to {} bytes", lengths.start(), lengths.end());
    sheet.holds(&DESCRIPTION_SCHEMA_FILE, right, seen, allowed);
    let len = u32_at(page, page::SCHEMA_BYTES) as usize;
    if len > Schema::MAX_TEXT {
        sheet.wrong(&DESCRIPTION_SCHEMA, format!("{len} bytes"), "up to 3576");
        for rule in [&DESCRIPTION_SCHEMA_END, &DESCRIPTION_SCHEMA_HASH] {
            sheet.unknown(rule, "it follows from the length of the schema");
        }
        return;
    }
    match first_set(page, SCHEMA + len..CHECKSUM) {
        None => sheet.ok(&DESCRIPTION_SCHEMA_END, "zero"),
        Some(at) => sheet.wrong(&DESCRIPTION_SCHEMA_END, byte_at(page, at), "zero"),
    }
    let text = &page[SCHEMA..SCHEMA + len];
    let parsed = core::str::from_utf8(text).ok().and_then(|text| {
        let schema: Schema = text.parse().ok()?;
        (schema.to_string() == text).then_some(schema)
    });
    let hash = u64_at(page, page::SCHEMA_HASH);
    value(page, parsed.as_ref(), sheet);
    let expected = match (len, parsed) {
        (0, _) => {
            sheet.ok(&DESCRIPTION_SCHEMA, "none");
            0
        }
        (_, Some(schema)) => {
            sheet.ok(&DESCRIPTION_SCHEMA, &schema);
            schema.hash()
        }
        (_, None) => {
            let seen = text.escape_ascii().to_string();
            sheet.wrong(&DESCRIPTION_SCHEMA, seen, "the canonical text of a schema");
            sheet.unknown(&DESCRIPTION_SCHEMA_HASH, "the schema is none");
            return;
        }
    };
    let (seen, allowed) = (format!("{hash:#x}"), format!("{expected:#x}"));
    sheet.holds(&DESCRIPTION_SCHEMA_HASH, hash == expected, seen, allowed);
}

/// The schema of a form that keeps values in cells.
fn value(page: &Page, schema: Option<&Schema>, sheet: &mut Sheet) {
    let [first, second] =
        [page::FIRST_PARAMETER, page::SECOND_PARAMETER].map(|at| u64_at(page, at));
    let bytes = schema.map(|schema| u64::from(schema.bytes()));
    let (cells, expected) = match Form::from_raw(u32_at(page, page::FORM)) {
        Some(Form::Latest) => (first, Some(second)),
        Some(Form::Shared) => (1, bytes),
        _ => return,
    };
    // Four places for each value.
    let cell = 64 + 4 * u128::from(expected.unwrap_or(0)).next_multiple_of(64);
    let table = 64 + u128::from(cells) * cell;
    let capacity = u64_at(page, page::CAPACITY);
    let right = bytes.is_some() && bytes == expected && table <= u128::from(capacity);
    let seen = match bytes {
        Some(bytes) => format!("{cells} cells with a schema of {bytes} bytes in {capacity}"),
        None => "no schema".into(),
    };
    let allowed = match expected {
        Some(bytes) => format!("a schema of {bytes} bytes, and data of at least {table}"),
        None => "a schema".into(),
    };
    sheet.holds(&DESCRIPTION_VALUE, right, seen, allowed);
}

/// How many rows there are, for display.
pub fn rows(geometry: &Geometry) -> String {
    match geometry.rows {
        1 => "1 row".into(),
        rows => format!("{rows} rows"),
    }
}
