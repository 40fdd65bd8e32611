//! The rules of the frames and of the index: the stream is walked from the oldest frame that the index knows to the end.
//!
//! Layer 3. A frame is judged only if it was not overtaken after it was read. The index is judged block by block while the
//! walk passes, so that nothing is kept however large the object is.

use super::page::low;
use super::report::Sheet;
use super::rule::*;
use super::view::View;
use crate::layout::form::Form;
use crate::layout::frame::{CommitWord, GAP_BYTES, WORD};
use crate::layout::gap::Gap;
use std::collections::BTreeMap;

/// How often a walk that the producer overtakes begins again: first from the oldest frame, then from the newest one.
const FROM_OLDEST: u32 = 8;
const FROM_NEWEST: u32 = 8;
/// How often a word at which a walk stands may change.
const MOST_AGAIN: u32 = 1000;
/// No position reaches this.
pub const FARTHEST: u64 = 1 << 62;

/// How far `a` is ahead of `b`, negative when behind.
pub fn ahead(a: u64, b: u64) -> i64 {
    a.wrapping_sub(b) as i64
}

/// A boundary: a frame with this sequence begins at this position, or will begin there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// The position.
    pub position: u64,
    /// The sequence.
    pub sequence: u64,
}

/// What a walk saw.
#[derive(Clone, Debug)]
pub struct Walked {
    /// Where it began.
    pub from: At,
    /// Where it ended.
    pub to: At,
    /// Whether that is the end of the stream. If not, the end is farther.
    pub whole: bool,
    /// The sequences at the positions that were asked for and that are boundaries.
    pub asked: BTreeMap<u64, u64>,
}

/// Why a walk has no result.
pub enum Stopped {
    /// The producer overtook every attempt.
    Overtaken,
    /// The index knows no frame.
    Nothing,
}

/// The rules of frames that a form has.
pub fn frame_rules(view: &View) -> Vec<&'static Rule> {
    let description = &view.description;
    let mut rules = vec![
        &FRAME_SEQUENCE,
        &FRAME_LENGTH,
        &FRAME_PAD,
        &FRAME_GAP,
        &FRAME_FILL,
    ];
    match description.form {
        Form::Ring => {
            if description.schema.is_some() {
                rules.push(&FRAME_SCHEMA);
            }
            if description.geometry.stamped {
                rules.push(&FRAME_STAMP);
            }
        }
        Form::Lane => rules.extend([&FRAME_NO_GAP, &FRAME_LANE]),
        Form::Pipe => rules.extend([&FRAME_NO_GAP, &FRAME_PIECE]),
        _ => rules.push(&FRAME_NO_GAP),
    }
    rules
}

/// The entry of a block, counted over all laps, if it is of that lap and not overtaken.
fn entry(view: &View, block: u64) -> Option<At> {
    let geometry = view.geometry();
    let (position, sequence) = view.entry(block % geometry.blocks());
    let of_lap = position / geometry.block == block
        && position < FARTHEST
        && position.is_multiple_of(geometry.align)
        && ahead(sequence, geometry.first_sequence) >= 0;
    let same = view.entry(block % geometry.blocks()) == (position, sequence);
    (of_lap && same && !view.overtaken(position)).then_some(At { position, sequence })
}

/// The blocks that may hold intact frames.
fn blocks(view: &View) -> core::ops::RangeInclusive<u64> {
    let geometry = view.geometry();
    let last = view.reserve().saturating_sub(1).min(FARTHEST) / geometry.block;
    (last + 1).saturating_sub(geometry.blocks())..=last
}

fn newest(view: &View) -> Option<At> {
    blocks(view).rev().find_map(|block| entry(view, block))
}

/// The end of the stream at some instant during the call; `None` if the producer is faster, or there is damage.
pub fn end(view: &View) -> Option<At> {
    let mut sheet = Sheet::default();
    let walker = (0..FROM_NEWEST).find_map(|_| {
        let mut walker = Walker::new(view, newest(view)?, &[]);
        walker.run(&mut sheet).then_some(walker)
    })?;
    walker.whole.then_some(walker.at)
}

/// Walks over the stream and judges it. `asked` are positions whose sequences the caller wants to know.
pub fn walk(view: &View, asked: &[u64], sheet: &mut Sheet) -> Result<Walked, Stopped> {
    let mut stopped = Stopped::Nothing;
    for attempt in 0..FROM_OLDEST + FROM_NEWEST {
        let reserve = view.reserve();
        let from = match attempt < FROM_OLDEST {
            true => blocks(view).find_map(|block| entry(view, block)),
            false => newest(view),
        };
        let Some(from) = from else {
            // An index that does not move has no entry.
            if view.reserve() != reserve {
                stopped = Stopped::Overtaken;
            }
            continue;
        };
        stopped = Stopped::Overtaken;
        let mut walker = Walker::new(view, from, asked);
        if walker.run(sheet) {
            sheet.ok(&INDEX_INTACT, "");
            for rule in frame_rules(view) {
                let Walker {
                    frames, from, at, ..
                } = walker;
                let seen = format!("{frames} frames, from {} to {}", from.sequence, at.sequence);
                sheet.ok(rule, seen);
            }
            return Ok(walker.result());
        }
    }
    Err(stopped)
}

/// A walk over the stream.
struct Walker<'v> {
    view: &'v View,
    from: At,
    at: At,
    frames: u64,
    whole: bool,
    wanted: &'v [u64],
    asked: BTreeMap<u64, u64>,
    /// The next block whose entry was not looked at.
    block: u64,
    /// Entries of blocks that the walk has entered, whose position it has not reached.
    ahead: Vec<At>,
}

impl<'v> Walker<'v> {
    fn new(view: &'v View, from: At, wanted: &'v [u64]) -> Self {
        Self {
            view,
            from,
            at: from,
            frames: 0,
            whole: false,
            wanted,
            asked: BTreeMap::new(),
            block: from.position / view.geometry().block,
            ahead: Vec::new(),
        }
    }

    fn result(self) -> Walked {
        Walked {
            from: self.from,
            to: self.at,
            whole: self.whole,
            asked: self.asked,
        }
    }

    /// Walks to the end. Returns `false` if the walk was overtaken.
    fn run(&mut self, sheet: &mut Sheet) -> bool {
        let farthest = self.from.position + self.view.geometry().capacity;
        let mut again = 0;
        // Every turn goes ahead by 8 bytes at least, or ends, or is one of few.
        while self.at.position <= farthest {
            self.index(sheet);
            if self.wanted.contains(&self.at.position) {
                self.asked.insert(self.at.position, self.at.sequence);
            }
            let word = self.view.commit(self.at.position);
            if self.view.overtaken(self.at.position) {
                return false;
            }
            if word.commits(self.at.sequence) {
                self.frames += 1;
                match self.frame(word, sheet) {
                    Ok(next) => self.at = next,
                    Err(Halt::Overtaken) => return false,
                    Err(Halt::Damage) => match self.later() {
                        Some(next) => self.go_on_at(next),
                        None => break,
                    },
                }
                continue;
            }
            match self.behind() {
                Behind::Nothing => {
                    self.whole = true;
                    break;
                }
                Behind::Again if again < MOST_AGAIN => again += 1,
                Behind::Again => return false,
                Behind::Frame(next) if self.frames == 0 && self.at == self.from => {
                    // The entry and the frame that it names differ, and nothing tells which of them is right.
                    let there = word.sequence_near(self.at.sequence);
                    wrong_entry(self.at, format!("sequence {there}"), sheet);
                    self.go_on_at(next);
                }
                Behind::Frame(next) => {
                    let (position, sequence) = (self.at.position, self.at.sequence);
                    let seen = format!("{:#018x} at position {position}", word.raw());
                    let allowed = format!(
                        "a frame of sequence {sequence}: the index names one at {} behind it",
                        next.position
                    );
                    sheet.wrong(&FRAME_SEQUENCE, seen, allowed);
                    self.go_on_at(next);
                }
                Behind::Lie(lie) => {
                    let At { position, sequence } = self.at;
                    let allowed = format!("no entry behind the end, ({position}, {sequence})");
                    wrong_entry(lie, allowed, sheet);
                    self.whole = true;
                    break;
                }
            }
        }
        true
    }

    /// Looks at the entries of the blocks up to the one in which the walk stands.
    fn index(&mut self, sheet: &mut Sheet) {
        let block = self.at.position / self.view.geometry().block;
        while self.block <= block {
            self.ahead.extend(entry(self.view, self.block));
            self.block += 1;
        }
        let at = self.at;
        self.ahead.retain(|entry| {
            if entry.position < at.position {
                wrong_entry(*entry, "a position where a frame begins", sheet);
            } else if entry.position == at.position && entry.sequence != at.sequence {
                wrong_entry(*entry, format!("sequence {}", at.sequence), sheet);
            }
            entry.position > at.position
        });
    }

    /// What lies behind a word that does not commit the next sequence.
    fn behind(&self) -> Behind {
        let Some(next) = self.later() else {
            return Behind::Nothing;
        };
        let now = self.view.commit(self.at.position);
        if now.commits(self.at.sequence) || self.view.overtaken(self.at.position) {
            // It was committed meanwhile, or is gone.
            return Behind::Again;
        }
        // Of the end itself, an entry may be written before the frame.
        match self.view.commit(next.position).commits(next.sequence) {
            true => Behind::Frame(next),
            false => Behind::Lie(next),
        }
    }

    /// Judges the committed frame at which the walk stands, and returns the next boundary.
    fn frame(&self, word: CommitWord, sheet: &mut Sheet) -> Result<At, Halt> {
        let (view, at) = (self.view, self.at);
        let geometry = view.geometry();
        let (len, lap_end) = (
            u64::from(word.payload_bytes()),
            geometry.lap_end(at.position),
        );
        let after = |position, sequence| Ok(At { position, sequence });
        let place = |what: &str| format!("{what} of {len} bytes at position {}", at.position);
        if !word.is_pad() {
            let end = at.position + geometry.frame(len);
            if len > u64::from(geometry.max_message) || end + WORD > lap_end {
                let allowed = format!(
                    "up to {} bytes, before {}",
                    geometry.max_message,
                    lap_end - WORD
                );
                sheet.wrong(&FRAME_LENGTH, place("a message"), allowed);
                return Err(Halt::Damage);
            }
            self.message(at, len, sheet)?;
            return after(end, at.sequence.wrapping_add(1));
        }
        let longest = geometry.frame(u64::from(geometry.max_message));
        if at.position + WORD + len == lap_end && len < longest {
            return after(lap_end, at.sequence);
        }
        let end = at.position + geometry.frame(u64::from(GAP_BYTES));
        if len != u64::from(GAP_BYTES) || end + WORD > lap_end {
            let seen = place("a frame without a message");
            let allowed = format!("a gap, or a pad to {lap_end} shorter than {longest}");
            sheet.wrong(&FRAME_PAD, seen, allowed);
            return Err(Halt::Damage);
        }
        let payload = [WORD, 2 * WORD].map(|offset| view.data(at.position + offset));
        if view.overtaken(at.position) {
            return Err(Halt::Overtaken);
        }
        if view.description.form != Form::Ring {
            let seen = place("a gap");
            sheet.wrong(&FRAME_NO_GAP, seen, "messages and pads only");
        }
        let gap = Gap::read(word, payload);
        if !gap.follows(geometry, at.sequence) {
            let seen = format!(
                "a gap from {} to {} at position {}",
                gap.first, gap.end, at.position
            );
            let allowed = format!("one from {} to a sequence ahead", at.sequence);
            sheet.wrong(&FRAME_GAP, seen, allowed);
            return Err(Halt::Damage);
        }
        after(end, gap.end)
    }

    /// The next frame that the index knows.
    fn later(&self) -> Option<At> {
        let block = self.at.position / self.view.geometry().block;
        (block..=*blocks(self.view).end())
            .filter_map(|at| entry(self.view, at))
            .find(|entry| entry.position > self.at.position)
    }

    /// Goes on behind damage.
    fn go_on_at(&mut self, next: At) {
        self.ahead.clear();
        self.block = next.position / self.view.geometry().block;
        self.at = next;
    }

    fn message(&self, at: At, len: u64, sheet: &mut Sheet) -> Result<(), Halt> {
        let (view, description) = (self.view, &self.view.description);
        let rest = len % WORD;
        if rest != 0 {
            let last = view.data(at.position + WORD + len - rest);
            if view.overtaken(at.position) {
                return Err(Halt::Overtaken);
            }
            if last >> (8 * rest) != 0 {
                let seen = format!("{last:#018x} at the end of message {}", at.sequence);
                sheet.wrong(&FRAME_FILL, seen, format!("{rest} bytes and zero"));
            }
        }
        let seen = || format!("message {} of {len} bytes", at.sequence);
        let stamp = if description.geometry.stamped {
            WORD
        } else {
            0
        };
        match description.form {
            Form::Ring => {
                if len < stamp {
                    sheet.wrong(&FRAME_STAMP, seen(), "at least 8 bytes");
                }
                let fields = description.schema.as_ref();
                let fields = fields.map(|schema| u64::from(schema.bytes()) + stamp);
                if let Some(bytes) = fields.filter(|bytes| *bytes != len) {
                    sheet.wrong(&FRAME_SCHEMA, seen(), format!("{bytes} bytes"));
                }
            }
            Form::Lane if len > low(description.parameters[1]) => {
                let most = low(description.parameters[1]);
                sheet.wrong(&FRAME_LANE, seen(), format!("up to {most} bytes"));
            }
            Form::Pipe if len == 0 => sheet.wrong(&FRAME_PIECE, seen(), "at least 1 byte"),
            _ => {}
        }
        Ok(())
    }
}

/// Why a walk does not go on behind a frame.
enum Halt {
    /// The producer has overtaken it.
    Overtaken,
    /// The frame is damaged, and was noted.
    Damage,
}

/// Notes an index entry that names no frame.
fn wrong_entry(entry: At, allowed: impl core::fmt::Display, sheet: &mut Sheet) {
    let seen = format!("({}, {})", entry.position, entry.sequence);
    sheet.wrong(&INDEX_ENTRY, seen, allowed);
}

/// What lies behind a word that does not commit the next sequence.
enum Behind {
    /// Nothing that the index knows: it is the end.
    Nothing,
    /// The word has changed.
    Again,
    /// A frame that the index knows: the word is damaged.
    Frame(At),
    /// An index entry that names no frame.
    Lie(At),
}
