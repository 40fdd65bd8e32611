//! The rules of `control`: identity, bells, rows, and the bytes without a field.
//!
//! Layer 3. A row may say anything while its lock is free, unless it has a cursor. So most rules hold of rows whose owner
//! is alive.

use super::report::Sheet;
use super::rule::*;

use super::view::{row_offset, SeenRow, View, BELLS, BELL_FLAGS};
use super::walk::{ahead, Walked};
use crate::layout::form::Form;
use crate::layout::geometry::{LINE, PAGE};
use crate::layout::lines::RowState;
use crate::segment::{CursorName, Look};

/// Reads every row that is in use or has a cursor, before the stream is walked: positions are then not ahead of the end
/// that the walk finds.
pub fn rows(view: &View) -> Vec<SeenRow> {
    let Some(control) = &view.control else {
        return Vec::new();
    };
    let seen = (0..view.geometry().rows).map(|row| SeenRow::read(view, control, row));
    let keeper = view.description.form == Form::Lane;
    seen.filter(|row| row.held != Some(false) || row.has_cursor() || keeper && row.row == 0)
        .collect()
}

/// Returns `true` if the rows of a form have the positions of consumers.
fn has_consumers(form: Form) -> bool {
    matches!(form, Form::Ring | Form::Lane | Form::Link | Form::Pipe)
}

/// Returns `true` if the rows of a form have names.
fn has_names(form: Form) -> bool {
    matches!(form, Form::Ring | Form::Signals)
}

/// The positions that a walk should look out for.
pub fn positions(view: &View, rows: &[SeenRow]) -> Vec<u64> {
    let form = view.description.form;
    let keeper = |row: &SeenRow| form == Form::Lane && row.row == 0;
    let placed = |row: &&SeenRow| {
        has_consumers(form) && (row.consumes() || cursor(form, row) || keeper(row))
    };
    rows.iter().filter(placed).map(|row| row.position).collect()
}

/// Returns `true` if it is the row of a durable cursor, in a form that has them.
fn cursor(form: Form, row: &SeenRow) -> bool {
    form == Form::Ring && row.has_cursor()
}

/// Looks at `control`.
pub fn look(view: &View, rows: &[SeenRow], walked: Option<&Walked>, sheet: &mut Sheet) {
    let Some(control) = &view.control else {
        return unread(view, sheet);
    };
    identity(view, control, sheet);
    reserved(view, control, sheet);
    bells(control, sheet);
    let form = view.description.form;
    let living = rows.iter().filter(|row| row.held == Some(true));
    let count = living.clone().count();
    let seen = format!("{count} in use");
    for rule in [&ROW_STATE, &ROW_MAY_PARK] {
        match view.locks {
            Some(_) => sheet.ok(rule, &seen),
            None => sheet.unknown(rule, "the lock bytes cannot be asked"),
        }
    }
    for row in living {
        if row.state > 3 {
            sheet.wrong(&ROW_STATE, of(row, "state", row.state), "0 to 3");
        }
        if row.may_park > 1 {
            sheet.wrong(&ROW_MAY_PARK, of(row, "may park", row.may_park), "0 or 1");
        }
    }
    if has_consumers(form) || form == Form::Signals {
        generations(rows, &seen, sheet);
    }
    if has_names(form) {
        names(view, rows, sheet);
    }
    if has_consumers(form) {
        consumers(view, rows, walked, sheet);
    }
}

/// What cannot be told without `control`.
fn unread(view: &View, sheet: &mut Sheet) {
    let form = view.description.form;
    let mut rules: Vec<&'static Rule> = vec![
        &CONTROL_IDENTITY,
        &CONTROL_RESERVED,
        &BELL_FLAGS_RULE,
        &ROW_STATE,
        &ROW_MAY_PARK,
    ];
    if has_consumers(form) {
        rules.extend([&ROW_GENERATION, &ROW_POSITION, &ROW_BOUNDARY]);
    }
    if has_names(form) {
        rules.extend([&ROW_NAME, &ROW_UNIQUE]);
    }
    if form == Form::Ring {
        rules.extend([&ROW_SEQUENCE, &ROW_EPOCH]);
    }
    for rule in rules {
        sheet.unknown(rule, "`control` cannot be read");
    }
}

fn of(row: &SeenRow, what: &str, found: impl core::fmt::Display) -> String {
    format!("{what} {found} in row {}", row.row)
}

fn identity(view: &View, control: &Look, sheet: &mut Sheet) {
    let found = u128::from(control.word(8)) << 64 | u128::from(control.word(0));
    let expected = view.description.ring_id;
    let (seen, allowed) = (format!("{found:032x}"), format!("{expected:032x}"));
    sheet.holds(&CONTROL_IDENTITY, found == expected, seen, allowed);
}

fn reserved(view: &View, control: &Look, sheet: &mut Sheet) {
    let geometry = view.geometry();
    let board_end = geometry.board_offset() + 8 * u64::from(geometry.board);
    let lines = [
        16..LINE,
        LINE + 16..2 * LINE,
        2 * LINE + 16..3 * LINE,
        3 * LINE + 16..PAGE,
    ];
    sheet.ok(&CONTROL_RESERVED, "zero");
    let end = board_end..geometry.control_bytes();
    let mut not_zero = |offset: u64, word: u64| {
        if word != 0 {
            sheet.wrong(&CONTROL_RESERVED, format!("{word:#x} at {offset}"), "zero");
        }
    };
    for offset in lines
        .into_iter()
        .chain([end])
        .flat_map(|range| range.step_by(8))
    {
        not_zero(offset, control.word(offset));
    }
    // Behind the process id.
    for row in 0..geometry.rows {
        let offset = row_offset(row) + 36;
        not_zero(offset, u64::from(control.half(offset)));
    }
}

fn bells(control: &Look, sheet: &mut Sheet) {
    sheet.ok(&BELL_FLAGS_RULE, "");
    for (bell, base) in BELLS {
        for offset in BELL_FLAGS {
            let found = control.half((base + offset) as u64);
            if found > 1 {
                let seen = format!("{found} at byte {offset} of the {bell} bell");
                sheet.wrong(&BELL_FLAGS_RULE, seen, "0 or 1");
            }
        }
    }
}

fn generations(rows: &[SeenRow], seen: &str, sheet: &mut Sheet) {
    sheet.ok(&ROW_GENERATION, seen);
    let taken = [RowState::Consumer as u32, RowState::Observer as u32];
    for row in rows.iter().filter(|row| row.held == Some(true)) {
        if taken.contains(&row.state) && row.generation == 0 {
            sheet.wrong(&ROW_GENERATION, of(row, "generation", 0), "1 or more");
        }
    }
}

fn names(view: &View, rows: &[SeenRow], sheet: &mut Sheet) {
    let form = view.description.form;
    let listens = |row: &SeenRow| {
        form == Form::Signals && row.held == Some(true) && row.state == RowState::Observer as u32
    };
    let named = rows.iter().filter(|row| cursor(form, row) || listens(row));
    let mut known = Vec::new();
    sheet.ok(&ROW_UNIQUE, "");
    for row in named.filter(|row| row.name[0] != 0) {
        let Some(name) = CursorName::from_words(row.name) else {
            let bytes: Vec<u8> = row
                .name
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .collect();
            let seen = of(row, "name", bytes.escape_ascii());
            sheet.wrong(
                &ROW_NAME,
                seen,
                "1 to 64 of A-Z a-z 0-9 . _ -, then zero bytes",
            );
            continue;
        };
        if known.contains(&row.name) {
            let seen = of(row, "a second", name);
            sheet.wrong(&ROW_UNIQUE, seen, "one row with this name");
        }
        known.push(row.name);
    }
    sheet.ok(&ROW_NAME, format!("{} names", known.len()));
}

fn consumers(view: &View, rows: &[SeenRow], walked: Option<&Walked>, sheet: &mut Sheet) {
    let (form, align) = (view.description.form, view.geometry().align);
    let mut count = 0;
    let producer = view.producer();
    for row in rows {
        let cursor = cursor(form, row);
        let consumes = row.consumes();
        if !cursor && !consumes {
            continue;
        }
        count += 1;
        let evicted = [row.generation, u64::MAX].contains(&view.eviction(row.row));
        position(row, align, walked, evicted, sheet);
        if cursor {
            sequence(view, row, walked, sheet);
            if row.epoch > producer.epoch {
                let seen = of(row, "epoch", row.epoch);
                sheet.wrong(&ROW_EPOCH, seen, format!("up to {}", producer.epoch));
            }
        }
    }
    let mut rules: Vec<&'static Rule> = vec![&ROW_POSITION, &ROW_BOUNDARY];
    if form == Form::Ring {
        rules.extend([&ROW_SEQUENCE, &ROW_EPOCH]);
    }
    for rule in rules {
        match view.locks {
            _ if walked.is_none() && rule != &ROW_EPOCH => {
                sheet.unknown(rule, "the stream could not be walked");
            }
            None => sheet.unknown(rule, "the lock bytes cannot be asked"),
            Some(_) => sheet.ok(rule, format!("{count} rows")),
        }
    }
}

fn position(row: &SeenRow, align: u64, walked: Option<&Walked>, evicted: bool, sheet: &mut Sheet) {
    let seen = || of(row, "position", row.position);
    if !row.position.is_multiple_of(align) {
        let allowed = format!("a multiple of {align}");
        return sheet.wrong(&ROW_POSITION, seen(), allowed);
    }
    let Some(walked) = walked else {
        return;
    };
    if row.position > walked.to.position {
        if walked.whole {
            let allowed = format!("up to {}", walked.to.position);
            sheet.wrong(&ROW_POSITION, seen(), allowed);
        }
        return;
    }
    let kept = row.position >= walked.from.position;
    if kept && !evicted && !walked.asked.contains_key(&row.position) {
        sheet.wrong(&ROW_BOUNDARY, seen(), "a position where a frame begins");
    }
}

fn sequence(view: &View, row: &SeenRow, walked: Option<&Walked>, sheet: &mut Sheet) {
    let Some(walked) = walked else {
        return;
    };
    let first = view.geometry().first_sequence;
    let too_far = walked.whole && ahead(row.sequence, walked.to.sequence) > 0;
    if too_far || ahead(row.sequence, first) < 0 {
        let seen = of(row, "sequence", row.sequence);
        let allowed = format!("from {first} to {}", walked.to.sequence);
        sheet.wrong(&ROW_SEQUENCE, seen, allowed);
    }
}
