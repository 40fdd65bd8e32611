//! The rules of the producer's state, the index and the bytes of `stream` without a field, and what is compared with the
//! end of the stream.
//!
//! Layer 3. What the end is compared with is read before the stream is walked: the end only grows.

use super::report::Sheet;
use super::rule::*;
use super::view::{Producer, View};
use super::walk::{ahead, frame_rules, walk, Stopped, Walked, FARTHEST};
use crate::layout::form::Form;
use crate::segment::Role;

/// What the frames of a form may be.
fn has_frames(form: Form) -> bool {
    matches!(form, Form::Ring | Form::Lane | Form::Link | Form::Pipe)
}

/// Looks at the stream. `asked` are positions whose sequences the caller wants to know. Returns the walk, if the form has
/// frames and the stream could be walked.
pub fn look(view: &View, asked: &[u64], sheet: &mut Sheet) -> Option<Walked> {
    // Everything that the end of the stream is compared with is read before the walk: the end only grows.
    let producer = view.producer();
    let (reserve, limit) = (view.reserve(), view.limit());
    let states = "0 absent, 1 attached or 2 closed";
    sheet.holds(&PRODUCER_STATE, producer.state <= 2, producer.state, states);
    counts(view, producer, sheet);
    reserved(view, sheet);
    fresh(view, producer, sheet);
    evictions(view, sheet);
    let held = view.is_held(Role::Producer) != Some(false);
    if reserve <= limit && limit < FARTHEST {
        sheet.ok(&RESERVE_LIMIT, format!("{reserve} and {limit}"));
    } else if held && limit < FARTHEST {
        sheet.unknown(&RESERVE_LIMIT, "a producer may be taking over");
    } else {
        let seen = format!("reserve {reserve} and limit {limit}");
        sheet.wrong(&RESERVE_LIMIT, seen, "reserve up to limit, below 2^62");
    }
    if !has_frames(view.description.form) {
        return None;
    }
    places(view, sheet);
    let walked = match walk(view, asked, sheet) {
        Ok(walked) => walked,
        Err(stopped) => {
            let why = match stopped {
                Stopped::Overtaken => "the producer is faster than the check",
                Stopped::Nothing => "no index entry leads to a frame",
            };
            for rule in frame_rules(view) {
                sheet.unknown(rule, why);
            }
            for rule in [
                &INDEX_ENTRY,
                &RESERVE_HEAD,
                &LIMIT_HEAD,
                &PRODUCER_BEGINNINGS,
            ] {
                sheet.unknown(rule, why);
            }
            match stopped {
                Stopped::Overtaken => sheet.unknown(&INDEX_INTACT, why),
                Stopped::Nothing => sheet.wrong(&INDEX_INTACT, "none", "at least one"),
            }
            return None;
        }
    };
    ends(view, producer, limit, &walked, sheet);
    Some(walked)
}

/// What is compared with the end of the stream.
fn ends(view: &View, producer: Producer, limit: u64, walked: &Walked, sheet: &mut Sheet) {
    let (head, capacity) = (walked.to, view.geometry().capacity);
    let farthest = head.position.saturating_add(capacity);
    let short = "the producer is faster than the check";
    match walked.whole {
        true => sheet.holds(
            &LIMIT_HEAD,
            limit <= farthest,
            limit,
            format!("up to {farthest}"),
        ),
        false => sheet.unknown(&LIMIT_HEAD, short),
    }
    let reserve = view.reserve();
    let allowed = format!("at least {}", head.position);
    sheet.holds(&RESERVE_HEAD, reserve >= head.position, reserve, allowed);
    if producer.epoch == 0 {
        return sheet.ok(&PRODUCER_BEGINNINGS, "no producer yet");
    }
    let first = view.geometry().first_sequence;
    let began = producer.since[(producer.epoch % 2) as usize];
    let seen = format!("epoch {} from {began}", producer.epoch);
    if ahead(began, first) >= 0 && ahead(head.sequence, began) >= 0 {
        sheet.ok(&PRODUCER_BEGINNINGS, seen);
    } else if walked.whole || ahead(began, first) < 0 {
        let allowed = format!("from {first} to {}", head.sequence);
        sheet.wrong(&PRODUCER_BEGINNINGS, seen, allowed);
    } else {
        sheet.unknown(&PRODUCER_BEGINNINGS, short);
    }
}

fn counts(view: &View, producer: Producer, sheet: &mut Sheet) {
    let Producer {
        evictions,
        expulsions,
        ..
    } = producer;
    let seen = format!("{evictions} evictions, {expulsions} expulsions");
    let (right, allowed) = match view.geometry().evicts() {
        true => (expulsions <= evictions, "no more expulsions than evictions"),
        false => ((evictions, expulsions) == (0, 0), "none"),
    };
    sheet.holds(&PRODUCER_EVICTIONS, right, seen, allowed);
}

/// Bytes of `stream` that have no field.
fn reserved(view: &View, sheet: &mut Sheet) {
    let geometry = view.geometry();
    let table = geometry.evictions_offset() + 8 * u64::from(geometry.rows);
    let data = geometry.data_offset();
    let ranges = [
        4104..4224,
        4232..4352,
        4400..8192,
        table..data,
        data + geometry.capacity..geometry.stream_bytes(),
    ];
    sheet.ok(&STREAM_RESERVED, "zero");
    for offset in ranges.into_iter().flat_map(|range| range.step_by(8)) {
        let word = view.stream.word(offset);
        if word != 0 {
            sheet.wrong(&STREAM_RESERVED, format!("{word:#x} at {offset}"), "zero");
        }
    }
}

/// How much of the data of a new object is looked at.
const NEW_DATA: u64 = 16 << 20;

/// What a creator leaves, before the first producer.
fn fresh(view: &View, producer: Producer, sheet: &mut Sheet) {
    let (geometry, form) = (view.geometry(), view.description.form);
    if producer.epoch != 0 {
        return sheet.ok(&STREAM_NEW, "it is not new");
    }
    let first = geometry.first_sequence;
    let mut words = vec![
        ("reserve", view.reserve(), 0),
        ("limit", view.limit(), 0),
        ("state", u64::from(producer.state), 0),
        ("beginning 0", producer.since[0], 0),
    ];
    if producer.since[1] != first {
        // The first producer stores its beginning before it begins.
        words.push(("beginning 1", producer.since[1], 0));
    }
    let mut wrong = Vec::new();
    for slot in 0..geometry.blocks() {
        let expected = (0, if slot == 0 { first } else { 0 });
        let (position, sequence) = view.entry(slot);
        if (position, sequence) != expected && wrong.len() < 2 {
            wrong.push(format!("index entry {slot} ({position}, {sequence})"));
        }
    }
    let cells = matches!(form, Form::Latest | Form::Shared);
    let data = if cells {
        0
    } else {
        geometry.capacity.min(NEW_DATA)
    };
    for position in (0..data).step_by(8) {
        let word = view.data(position);
        if word != 0 && wrong.len() < 2 {
            wrong.push(format!("data {word:#x} at {position}"));
        }
    }
    let differs = words
        .into_iter()
        .filter(|(_, found, expected)| found != expected);
    wrong.extend(differs.map(|(what, found, _)| format!("{what} {found}")));
    if wrong.is_empty() {
        sheet.ok(&STREAM_NEW, "as it was made");
    } else if view.producer().epoch != 0 {
        sheet.unknown(&STREAM_NEW, "the first producer has come meanwhile");
    } else {
        let allowed = format!("zero, and sequence {first} in index entry 0");
        sheet.wrong(&STREAM_NEW, wrong.join(", "), allowed);
    }
}

fn evictions(view: &View, sheet: &mut Sheet) {
    let (rows, evicts) = (view.geometry().rows, view.geometry().evicts());
    sheet.ok(&EVICTIONS_ENTRY, super::page::rows(view.geometry()));
    for row in 0..rows {
        let entry = view.eviction(row);
        if entry == 0 || evicts && entry == u64::MAX {
            continue;
        }
        let Some(control) = view.control.as_ref().filter(|_| evicts) else {
            match evicts {
                true => sheet.unknown(&EVICTIONS_ENTRY, "the rows cannot be read"),
                false => sheet.wrong(&EVICTIONS_ENTRY, format!("{entry} for row {row}"), "0"),
            }
            continue;
        };
        let generation = super::view::generation(control, row);
        if entry > generation {
            let seen = format!("{entry} for row {row}");
            let allowed = format!("up to its generation {generation}");
            sheet.wrong(&EVICTIONS_ENTRY, seen, allowed);
        }
    }
}

/// What every index entry has to be, in any lap.
fn places(view: &View, sheet: &mut Sheet) {
    let geometry = view.geometry();
    let (blocks, first) = (geometry.blocks(), geometry.first_sequence);
    sheet.ok(&INDEX_PLACE, format!("{blocks} entries"));
    sheet.ok(&INDEX_ENTRY, "");
    for slot in 0..blocks {
        let (position, sequence) = view.entry(slot);
        // A creator leaves zeroes, and a producer writes the sequence first.
        let unused = position == 0 && slot != 0;
        let placed = position.is_multiple_of(geometry.align)
            && (position / geometry.block) % blocks == slot
            && position < FARTHEST;
        if !placed && !unused {
            let seen = format!("position {position} in entry {slot} of {blocks}");
            sheet.wrong(&INDEX_PLACE, seen, "a position in the block of the entry");
        }
        // Read behind the entry: what it names was announced before it was written.
        let reserve = view.reserve();
        if placed && position > reserve {
            let seen = format!("position {position} in entry {slot}");
            sheet.wrong(
                &INDEX_PLACE,
                seen,
                format!("up to {reserve}, which is announced"),
            );
        }
        if ahead(sequence, first) < 0 && !(unused && sequence == 0) {
            let seen = format!("sequence {sequence} in entry {slot}");
            sheet.wrong(&INDEX_ENTRY, seen, format!("{first} or ahead of it"));
        }
    }
}
