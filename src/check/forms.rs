//! The rules of the boards of the forms.
//!
//! Layer 3. Written from the pages of the forms alone. The board of a mailbox is private, and has none.

use super::page::low;
use super::report::Sheet;
use super::rule::*;
use super::view::{SeenRow, View};
use super::walk::{end, Walked};
use crate::layout::description::Description;
use crate::layout::form::Form;
use crate::layout::histogram::{AHEAD, WORDS};
use crate::layout::lines::RowState;
use crate::segment::{Folder, Role};

/// Words before the list of lanes, the take words and the permits.
const FIRST: u32 = 16;
/// Words of one side of a pact.
const SIDE: u32 = 16;
/// The word of an anonymous pipe whose reader consumes it.
const PIPE_READY: u32 = 8;

/// Looks at the board.
pub fn look(
    view: &View,
    folder: &Folder,
    parent: Option<&Description>,
    rows: &[SeenRow],
    walked: Option<&Walked>,
    sheet: &mut Sheet,
) {
    let form = view.description.form;
    let rules: &[&'static Rule] = match form {
        Form::Ring if view.geometry().stamped => &[&STAMPS_BOARD],
        Form::Queue => &[&QUEUE_LIST, &QUEUE_LANES],
        Form::Lane => &[&LANE_BOARD, &LANE_TAKE, &LANE_ROW, &LANE_KEEPER],
        Form::Semaphore | Form::Shared => &[&SEMAPHORE_BOARD, &SEMAPHORE_TURN, &SEMAPHORE_PERMIT],
        Form::Signals => &[&SIGNALS_COUNTER],
        Form::Link | Form::Pipe if view.geometry().board > 0 => &[&PACT_BOARD],
        _ => &[],
    };
    for rule in rules {
        match view.control {
            Some(_) => sheet.ok(rule, ""),
            None => sheet.unknown(rule, "`control` cannot be read"),
        }
    }
    if rules.is_empty() || view.control.is_none() {
        return;
    }
    match form {
        Form::Ring => stamps(view, sheet),
        Form::Queue => queue(view, folder, sheet),
        Form::Lane => lane(view, parent, rows, walked, sheet),
        Form::Semaphore | Form::Shared => permits(view, sheet),
        Form::Signals => signals(view, rows, sheet),
        _ => pact(view, sheet),
    }
}

fn word_at(at: u32, found: u64) -> String {
    format!("{found:#x} in word {at}")
}

/// Words of the board that have no meaning.
fn zero(view: &View, rule: &'static Rule, words: impl Iterator<Item = u32>, sheet: &mut Sheet) {
    for at in words {
        let found = view.board(at);
        if found != 0 {
            sheet.wrong(rule, word_at(at, found), "zero");
        }
    }
}

fn stamps(view: &View, sheet: &mut Sheet) {
    let rows = 0..view.geometry().rows;
    let unused = rows.flat_map(|row| (AHEAD + 1..WORDS).map(move |at| row * WORDS + at));
    zero(view, &STAMPS_BOARD, unused, sheet);
}

fn queue(view: &View, folder: &Folder, sheet: &mut Sheet) {
    zero(view, &QUEUE_LIST, 1..FIRST, sheet);
    let listed: Vec<u32> = (FIRST..view.geometry().board)
        .filter(|at| view.board(*at) != 0)
        .collect();
    // A lane is made before it is listed.
    let names = folder.names().unwrap_or_default();
    for at in listed {
        let (found, lane) = (view.board(at), at - FIRST);
        if found > 16 {
            let seen = format!("{found} for lane {lane}");
            sheet.wrong(&QUEUE_LIST, seen, "0 to 16");
        }
        if !names.contains(&format!("lane-{lane}")) {
            let seen = format!("lane {lane} in the list");
            sheet.wrong(&QUEUE_LANES, seen, format!("a ring `lane-{lane}`"));
        }
    }
}

/// The lap of a take word.
const LAP_BITS: u32 = 40;

/// How far one lap is ahead of another, of which both have 40 bits.
fn laps(of: u64, ahead_of: u64) -> i64 {
    (of.wrapping_sub(ahead_of) << (64 - LAP_BITS)) as i64 >> (64 - LAP_BITS)
}

fn lane(
    view: &View,
    parent: Option<&Description>,
    rows: &[SeenRow],
    walked: Option<&Walked>,
    sheet: &mut Sheet,
) {
    zero(view, &LANE_BOARD, 1..FIRST, sheet);
    let depth = low(view.description.parameters[0]);
    let words: Vec<u64> = (FIRST..view.geometry().board)
        .map(|at| view.board(at))
        .collect();
    // Messages are only added: no fewer than at the walk before, and no more than now.
    let before = walked.filter(|walked| walked.whole).map(|walked| walked.to);
    let (Some(before), Some(after)) = (before, end(view)) else {
        for rule in [&LANE_TAKE, &LANE_KEEPER] {
            sheet.unknown(rule, "the stream could not be walked to its end");
        }
        return;
    };
    let first = view.geometry().first_sequence;
    // How many messages of the stream have used a word.
    let uses = |sequence: u64, slot: u64| {
        let messages = sequence.wrapping_sub(first);
        (messages + depth - 1 - slot) / depth
    };
    let done = kept(rows, walked, sheet);
    for (slot, word) in words.into_iter().enumerate() {
        let (at, slot) = (FIRST + slot as u32, slot as u64);
        let (state, row, lap) = (word & 3, word >> 2 & 0x3fff, word >> 24);
        let (least, most) = (uses(before.sequence, slot), uses(after.sequence, slot));
        let published = if word & 0xff_ffff == 0 {
            most
        } else {
            most.wrapping_sub(1)
        };
        let of_lap = laps(lap, least) >= -1 && laps(lap, published) <= 0;
        if state > 2 || state == 0 && word & 0xff_ffff != 0 || !of_lap {
            let allowed = format!(
                "open, taken or returned, in lap {} to {most}",
                least.max(1) - 1
            );
            sheet.wrong(&LANE_TAKE, word_at(at, word), allowed);
        }
        let before = done.map_or(0, |done| uses(done, slot));
        if before > 0 && laps(lap, before) < 0 {
            let seen = format!("{} in front of row 0", word_at(at, word));
            sheet.wrong(&LANE_KEEPER, seen, format!("done, in lap {before}"));
        }
        let rows = parent.map_or(1 << 14, |queue| u64::from(queue.geometry.rows));
        if state == 1 && row >= rows {
            let seen = format!("row {row} in word {at}");
            sheet.wrong(&LANE_ROW, seen, format!("one of {rows} rows"));
        }
    }
}

/// The sequence of the message before which row 0 of a lane stands, if that is known.
fn kept(rows: &[SeenRow], walked: Option<&Walked>, sheet: &mut Sheet) -> Option<u64> {
    let consumer = RowState::Consumer as u32;
    let row = rows
        .iter()
        .find(|row| row.row == 0 && row.state == consumer)?;
    let walked = walked?;
    let at = walked.asked.get(&row.position).copied();
    if at.is_none() && row.position >= walked.from.position {
        let seen = format!("position {}", row.position);
        let allowed = format!("one where a frame begins, up to {}", walked.to.position);
        sheet.wrong(&LANE_KEEPER, seen, allowed);
    }
    at
}

fn permits(view: &View, sheet: &mut Sheet) {
    let (rows, board) = (u64::from(view.geometry().rows), view.geometry().board);
    let turn = view.board(0);
    if turn > rows {
        sheet.wrong(&SEMAPHORE_TURN, turn, format!("0 to {rows}"));
    }
    let shared = view.description.form == Form::Shared;
    let holder = 8;
    let unused = (2..FIRST).filter(|at| !(shared && *at == holder));
    zero(view, &SEMAPHORE_BOARD, unused, sheet);
    if shared && view.board(holder) > 1 {
        let seen = word_at(holder, view.board(holder));
        sheet.wrong(&SEMAPHORE_BOARD, seen, "0 or 1");
    }
    for at in FIRST..board {
        let found = view.board(at);
        if found > 2 && found - 3 >= rows {
            let seen = format!("{found} of permit {}", at - FIRST);
            let allowed = format!("0, 1, 2, or 3 and a row below {rows}");
            sheet.wrong(&SEMAPHORE_PERMIT, seen, allowed);
        }
    }
}

fn signals(view: &View, rows: &[SeenRow], sheet: &mut Sheet) {
    let listens = |row: &&SeenRow| row.held == Some(true) && row.state == RowState::Observer as u32;
    for row in rows.iter().filter(listens) {
        let words = (64 * (row.row + 1)..64 * (row.row + 2)).map(|at| (at, view.board(at)));
        let words: Vec<(u32, u64)> = words.collect();
        let same = view
            .control
            .as_ref()
            .map(|control| super::view::generation(control, row.row));
        if same != Some(row.generation) || view.is_held(Role::Row(row.row)) != Some(true) {
            continue;
        }
        let expected = row.generation & 0xff_ffff;
        // One that leaves has set them to the next generation before it says so.
        let next = row.generation.wrapping_add(1) & 0xff_ffff;
        for (at, word) in words {
            if ![expected, next].contains(&(word >> 40)) {
                let seen = format!("generation {} in word {at}", word >> 40);
                let allowed = format!("{expected}, of row {}", row.row);
                sheet.wrong(&SIGNALS_COUNTER, seen, allowed);
            }
        }
    }
}

fn pact(view: &View, sheet: &mut Sheet) {
    let is_pipe = view.description.form == Form::Pipe;
    let of_side = |at: u32| at % SIDE;
    let unused =
        (0..view.geometry().board).filter(|at| of_side(*at) > 2 && !(is_pipe && *at == PIPE_READY));
    zero(view, &PACT_BOARD, unused, sheet);
    for side in [0, SIDE] {
        let word = view.board(side);
        if word >> 32 == 0 && word != 0 {
            let allowed = "a token of its own, if it has accepted another";
            sheet.wrong(&PACT_BOARD, word_at(side, word), allowed);
        }
        for at in [side + 1, side + 2] {
            let word = view.board(at);
            if word >> 32 != 0 {
                sheet.wrong(&PACT_BOARD, word_at(at, word), "a number of 32 bits");
            }
        }
    }
}
