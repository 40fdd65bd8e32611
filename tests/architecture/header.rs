//! The header of the layout in C and C++ is generated from the definitions of the library, and a C compiler and a C++
//! compiler agree with it.
//!
//! `SLIPRING_HEADER=accept cargo test --test architecture -- header::` writes it anew.

use super::errors::codes;
use super::root;
use slipring::layout::description::{
    BYTE_ORDER, INCOMPATIBLE_EVICTS, INCOMPATIBLE_FORM, INCOMPATIBLE_HUGE, INCOMPATIBLE_STAMPS,
    LAYOUT_VERSION, MAGIC,
};
use slipring::layout::frame::{GAP_BYTES, LEN_MASK, MAX_LEN, PAD, WORD};
use slipring::layout::gap::FARTHEST;
use slipring::layout::geometry::{
    Geometry, BLOCK, EVICTION, HUGE_PAGE, INDEX_ENTRY, LINE, MAX_BOARD, MAX_CAPACITY, MAX_ROWS,
    PAGE,
};
use slipring::layout::histogram::{AHEAD, BUCKETS, LONGEST, WORDS};
use slipring::layout::lines::{
    Bell, ControlPage, IdentityLine, IndexEntry, LimitLine, LossLine, ProducerPage, ProducerState,
    ReserveLine, Row, RowState, StateLine, NAME_WORDS,
};
use slipring::layout::opaque::{HEADER, MAGIC as SCHEMA_MAGIC, MAX_KIND, MAX_NAME};
use slipring::layout::page;
use slipring::layout::schema::{Schema, FNV_OFFSET, FNV_PRIME};
use slipring::ring::{cell, gate, lanes, pact, pending, permits, take};
use slipring::segment::Role;
use slipring::Form;
use std::fmt::Write;
use std::mem::{offset_of, size_of};
use std::process::Command;

const LAYOUT: &str = "include/slipring/layout.h";
const ERRORS: &str = "include/slipring/errors.h";

/// A member of a struct: its name, its type, how many of it, and where it lies.
struct Member {
    name: String,
    of: &'static str,
    count: usize,
    at: usize,
}

fn bytes_of(kind: &str) -> usize {
    match kind {
        "char" | "uint8_t" => 1,
        "uint32_t" => 4,
        "uint64_t" => 8,
        _ => panic!("no type {kind}"),
    }
}

fn member(name: &str, of: &'static str, count: usize, at: usize) -> Member {
    let name = name.to_owned();
    Member {
        name,
        of,
        count,
        at,
    }
}

/// A struct of so many bytes, with what lies between its members, and an assertion for each of them.
fn structure(out: &mut String, says: &str, name: &str, bytes: usize, members: &[Member]) {
    let (mut at, mut gaps) = (0, 0);
    let mut asserts = String::new();
    writeln!(out, "/* {says} */\nstruct {name} {{").unwrap();
    let mut fill = |out: &mut String, at: usize, to: usize| {
        if at < to {
            writeln!(out, "    uint8_t reserved_{gaps}[{}];", to - at).unwrap();
            gaps += 1;
        }
    };
    for member in members {
        let Member {
            name: field,
            of,
            count,
            at: place,
        } = member;
        assert!(at <= *place, "{name}.{field}");
        fill(out, at, *place);
        match count {
            1 => writeln!(out, "    {of} {field};").unwrap(),
            many => writeln!(out, "    {of} {field}[{many}];").unwrap(),
        }
        at = place + count * bytes_of(of);
        let what = format!("offsetof(struct {name}, {field}) == {place}");
        writeln!(asserts, "SLIPRING_ASSERT({what}, \"{name}.{field}\");").unwrap();
    }
    fill(out, at, bytes);
    writeln!(out, "}};").unwrap();
    let what = format!("sizeof(struct {name}) == {bytes}");
    writeln!(out, "SLIPRING_ASSERT({what}, \"{name}\");\n{asserts}").unwrap();
}

fn description() -> Vec<Member> {
    let fields = page::FIELDS.iter();
    fields
        .map(|(name, at, bytes)| match (*name, bytes) {
            ("magic" | "maker" | "origin_host" | "schema", _) => member(name, "char", *bytes, *at),
            (_, 4) => member(name, "uint32_t", 1, *at),
            (_, bytes) => member(name, "uint64_t", bytes / 8, *at),
        })
        .collect()
}

fn structures(out: &mut String) {
    structure(
        out,
        "Page 0 of `stream`. Constant; copied and checked once.",
        "slipring_description",
        PAGE as usize,
        &description(),
    );
    let state = offset_of!(ProducerPage, state);
    let within = |field: usize| state + field;
    let producer = [
        member(
            "reserve",
            "uint64_t",
            1,
            offset_of!(ProducerPage, reserve) + offset_of!(ReserveLine, position),
        ),
        member(
            "limit",
            "uint64_t",
            1,
            offset_of!(ProducerPage, limit) + offset_of!(LimitLine, position),
        ),
        member("epoch", "uint64_t", 1, within(offset_of!(StateLine, epoch))),
        member("state", "uint32_t", 1, within(offset_of!(StateLine, state))),
        member("pid", "uint32_t", 1, within(offset_of!(StateLine, pid))),
        member("since", "uint64_t", 2, within(offset_of!(StateLine, since))),
        member(
            "evictions",
            "uint64_t",
            1,
            within(offset_of!(StateLine, evictions)),
        ),
        member(
            "expulsions",
            "uint64_t",
            1,
            within(offset_of!(StateLine, expulsions)),
        ),
    ];
    let says = "Page 1 of `stream`. Written by the producer only.";
    structure(out, says, "slipring_producer", PAGE as usize, &producer);
    let entry = [
        member("position", "uint64_t", 1, offset_of!(IndexEntry, position)),
        member("sequence", "uint64_t", 1, offset_of!(IndexEntry, sequence)),
    ];
    let says = "An entry of the index, from SLIPRING_INDEX_OFFSET on.";
    structure(
        out,
        says,
        "slipring_index_entry",
        size_of::<IndexEntry>(),
        &entry,
    );
    let bell = |name: &str, base: usize| {
        [
            ("word", offset_of!(Bell, word)),
            ("armed", offset_of!(Bell, armed)),
            ("may_park", offset_of!(Bell, may_park)),
            ("unfenced", offset_of!(Bell, unfenced)),
        ]
        .map(|(field, at)| member(&format!("{name}_{field}"), "uint32_t", 1, base + at))
    };
    let losses = offset_of!(ControlPage, losses);
    let mut control = vec![member(
        "ring_id",
        "uint64_t",
        2,
        offset_of!(ControlPage, identity) + offset_of!(IdentityLine, low),
    )];
    assert_eq!(offset_of!(IdentityLine, high), 8);
    control.extend(bell("data", offset_of!(ControlPage, data)));
    control.extend(bell("space", offset_of!(ControlPage, space)));
    control.extend([
        member(
            "lost",
            "uint64_t",
            1,
            losses + offset_of!(LossLine, messages),
        ),
        member("times", "uint64_t", 1, losses + offset_of!(LossLine, times)),
    ]);
    let says = "Page 0 of `control`.";
    structure(out, says, "slipring_control", PAGE as usize, &control);
    let row = [
        member("state", "uint32_t", 1, offset_of!(Row, state)),
        member("may_park", "uint32_t", 1, offset_of!(Row, may_park)),
        member("position", "uint64_t", 1, offset_of!(Row, position)),
        member("sequence", "uint64_t", 1, offset_of!(Row, sequence)),
        member("generation", "uint64_t", 1, offset_of!(Row, generation)),
        member("pid", "uint32_t", 1, offset_of!(Row, pid)),
        member("epoch", "uint64_t", 1, offset_of!(Row, epoch)),
        member("name", "uint64_t", NAME_WORDS, offset_of!(Row, name)),
        member("lost", "uint64_t", 1, offset_of!(Row, lost)),
        member("times", "uint64_t", 1, offset_of!(Row, times)),
    ];
    let says = "A row, from SLIPRING_ROWS_OFFSET of `control` on.";
    structure(out, says, "slipring_row", size_of::<Row>(), &row);
    let schema_file = [
        member("magic", "char", 8, 0),
        member("kind_bytes", "uint32_t", 1, 8),
        member("name_bytes", "uint32_t", 1, 12),
        member("schema_bytes", "uint32_t", 1, 16),
    ];
    let says = "The beginning of the file `schema`.";
    structure(out, says, "slipring_schema_file", HEADER, &schema_file);
}

/// Groups of constants: what they are, and each with its value.
fn constants(out: &mut String) {
    let mut group = |says: &str, each: &[(&str, u64)]| {
        writeln!(out, "/* {says} */").unwrap();
        for (name, value) in each {
            let shown = match *value {
                // Of masks and powers the bits say more.
                value if value >= 1 << 31 => format!("UINT64_C({value:#x})"),
                value => value.to_string(),
            };
            writeln!(out, "#define SLIPRING_{name} {shown}").unwrap();
        }
        out.push('\n');
    };
    let geometry = Geometry::new(4096, 8, 1, 0, false).unwrap();
    group(
        "Sizes and offsets, in bytes, and the most of each.",
        &[
            ("LAYOUT_VERSION", LAYOUT_VERSION.into()),
            ("BYTE_ORDER", BYTE_ORDER.into()),
            ("PAGE", PAGE),
            ("HUGE_PAGE", HUGE_PAGE),
            ("LINE", LINE),
            ("WORD", WORD),
            ("BLOCK", BLOCK),
            ("INDEX_ENTRY", INDEX_ENTRY),
            ("EVICTION_ENTRY", EVICTION),
            ("PRODUCER_OFFSET", PAGE),
            ("INDEX_OFFSET", geometry.index_offset()),
            ("ROWS_OFFSET", geometry.board_offset() - LINE),
            ("MIN_CAPACITY", PAGE),
            ("MAX_CAPACITY", MAX_CAPACITY),
            ("MAX_ROWS", MAX_ROWS.into()),
            ("MAX_BOARD", MAX_BOARD.into()),
            ("MAX_PAYLOAD", MAX_LEN.into()),
            ("MAX_SCHEMA", Schema::MAX_TEXT as u64),
        ],
    );
    let reserved = [
        ("RESERVED_BEGIN", page::SCHEMA_RESERVED.start as u64),
        ("RESERVED_END", page::RESERVED.end as u64),
        ("IGNORED_BEGIN", page::IGNORED.start as u64),
        ("IGNORED_END", page::IGNORED.end as u64),
    ];
    group("Bytes of the description that have no field.", &reserved);
    group(
        "Incompatible features.",
        &[
            ("FEATURE_HUGE", INCOMPATIBLE_HUGE),
            ("FEATURE_EVICTS", INCOMPATIBLE_EVICTS),
            ("FEATURE_FORM", INCOMPATIBLE_FORM),
            ("FEATURE_STAMPS", INCOMPATIBLE_STAMPS),
        ],
    );
    let forms = (0..).map_while(Form::from_raw);
    let forms: Vec<(String, u64)> = forms
        .map(|form| (format!("FORM_{}", form.name().to_uppercase()), form as u64))
        .collect();
    let forms: Vec<(&str, u64)> = forms.iter().map(|(name, raw)| (&**name, *raw)).collect();
    group("Forms.", &forms);
    group(
        "States of the producer, and of a row.",
        &[
            ("PRODUCER_ABSENT", ProducerState::Absent as u64),
            ("PRODUCER_ATTACHED", ProducerState::Attached as u64),
            ("PRODUCER_CLOSED", ProducerState::Closed as u64),
            ("ROW_FREE", RowState::Free as u64),
            ("ROW_CONSUMER", RowState::Consumer as u64),
            ("ROW_OBSERVER", RowState::Observer as u64),
            ("ROW_AWAY", RowState::Away as u64),
        ],
    );
    group(
        "The commit word, gaps and the eviction table.",
        &[
            ("COMMIT_LENGTH", LEN_MASK),
            ("COMMIT_NO_MESSAGE", PAD),
            ("COMMIT_SEQUENCE_SHIFT", 32),
            ("GAP_BYTES", GAP_BYTES.into()),
            ("GAP_LOST", slipring::endpoint::Why::Lost.code().into()),
            (
                "GAP_NOT_RECORDED",
                slipring::endpoint::Why::NotRecorded.code().into(),
            ),
            (
                "GAP_RESTORED",
                slipring::endpoint::Why::Restored.code().into(),
            ),
            ("FARTHEST", FARTHEST),
            ("EXPELLED", gate::EXPELLED),
        ],
    );
    group(
        "Bytes of `lock`. That of a cursor is SLIPRING_LOCK_CURSORS plus the hash of its name divided by 8.",
        &[
            ("LOCK_PRODUCER", Role::Producer.byte()),
            ("LOCK_REMOVER", Role::Cleaner.byte()),
            ("LOCK_FIRST_SIDE", Role::End(0).byte()),
            ("LOCK_SECOND_SIDE", Role::End(1).byte()),
            ("LOCK_ROWS", Role::Row(0).byte()),
            ("LOCK_CURSORS", Role::Cursor(0).byte()),
        ],
    );
    group(
        "Hashes, FNV-1a with 64 bits.",
        &[("HASH_BEGIN", FNV_OFFSET), ("HASH_FACTOR", FNV_PRIME)],
    );
    group(
        "Schema files.",
        &[
            ("SCHEMA_FILE_MAX_KIND", MAX_KIND as u64),
            ("SCHEMA_FILE_MAX_NAME", MAX_NAME as u64),
        ],
    );
    group(
        "The board of a ring with stamps: words of each row.",
        &[
            ("STAMP_BUCKETS", BUCKETS.into()),
            ("STAMP_LONGEST", LONGEST.into()),
            ("STAMP_AHEAD", AHEAD.into()),
            ("STAMP_WORDS", WORDS.into()),
        ],
    );
    group(
        "The boards of the other forms: words before the list, and how many there are.",
        &[
            ("QUEUE_BOARD", lanes::board_words(lanes::MAX_LANES).into()),
            ("QUEUE_LANES", lanes::MAX_LANES.into()),
            ("QUEUE_LIST", lanes::board_words(0).into()),
            ("QUEUE_PRIORITIES", lanes::PRIORITIES.into()),
            ("LANE_TAKE_WORDS", take::board_words(0).into()),
            ("LANE_KEEPER_ROW", take::KEEPER_ROW.into()),
            ("LANE_TAKERS", take::MAX_TAKERS.into()),
            ("PERMITS", permits::board_words(0).into()),
            ("MAX_PERMITS", permits::MAX_PERMITS.into()),
            ("HOLDER_WORD", permits::HOLDER_WORD.into()),
            ("PACT_BOARD", pact::BOARD_WORDS.into()),
            ("SIGNALS", pending::SIGNALS.into()),
        ],
    );
    group(
        "Newest and shared values.",
        &[
            ("FIRST_CELL", cell::table_bytes(0, 0)),
            (
                "CELL_BYTES_OF_64",
                cell::table_bytes(1, 64) - cell::table_bytes(0, 64),
            ),
        ],
    );
}

/// `CreateError::NoSpace` is `CREATE_NO_SPACE`.
fn constant(variant: &str) -> String {
    let (error, variant) = variant.split_once("::").unwrap();
    let error = error.strip_suffix("Error").unwrap_or(error);
    let mut name = String::new();
    for (at, c) in format!("{error}{variant}").char_indices() {
        if c.is_uppercase() && at > 0 {
            name.push('_');
        }
        name.push(c.to_ascii_uppercase());
    }
    name
}

fn errors() -> String {
    let mut out = String::from(
        "/*
 * The numbers of the errors of this implementation, for C11 and C++17: docs/reference/errors.md says what each means.
 * A number stands for one kind of error in every language, and never changes.
 *
 * Generated from the definitions of the library; a test compares the two.
 */
#ifndef SLIPRING_ERRORS_H
#define SLIPRING_ERRORS_H

enum slipring_error {
",
    );
    let lines: Vec<String> = codes()
        .into_iter()
        .flat_map(|(code, variants)| {
            let names = variants.into_iter();
            names.map(move |variant| format!("    SLIPRING_E_{} = {code}", constant(&variant)))
        })
        .collect();
    out.push_str(&lines.join(",\n"));
    out.push_str("\n};\n\n#endif\n");
    out
}

fn header() -> String {
    let mut out = String::from(
        "/*
 * The shared memory of slipring: what lies where, for C11 and C++17.
 *
 * Generated from the definitions of the library; a test compares the two. docs/reference/protocol.md says what the
 * fields mean and which steps a process owes to the others: this file alone is no implementation.
 *
 * All numbers are little-endian. Every word behind the description is shared: read and write each with one atomic
 * access of its own size (__atomic_load_n, __atomic_store_n), in the order that the page demands, never as a plain
 * member. What is called reserved is zero, and is neither written nor read.
 */
#ifndef SLIPRING_LAYOUT_H
#define SLIPRING_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include \"errors.h\"

#ifdef __cplusplus
#define SLIPRING_ASSERT(holds, what) static_assert(holds, what)
#else
#define SLIPRING_ASSERT(holds, what) _Static_assert(holds, what)
#endif

",
    );
    let text = |magic: &[u8]| String::from_utf8(magic.to_vec()).unwrap();
    let (stream, schema) = (text(&MAGIC), text(&SCHEMA_MAGIC));
    writeln!(out, "/* The first bytes of `stream` and of `schema`. */").unwrap();
    writeln!(out, "#define SLIPRING_MAGIC \"{stream}\"").unwrap();
    writeln!(out, "#define SLIPRING_SCHEMA_FILE_MAGIC \"{schema}\"\n").unwrap();
    constants(&mut out);
    structures(&mut out);
    out.push_str("#endif\n");
    out
}

#[test]
fn the_headers_are_what_the_definitions_say() {
    for (place, expected) in [(LAYOUT, header()), (ERRORS, errors())] {
        let path = root().join(place);
        if std::env::var("SLIPRING_HEADER").is_ok_and(|value| value == "accept") {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &expected).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        let other = found.lines().zip(expected.lines()).find(|(a, b)| a != b);
        assert!(
            found == expected,
            "{place} differs, first in {other:?}: SLIPRING_HEADER=accept writes it anew"
        );
    }
}

/// With every warning as an error, alone and twice in one file.
#[test]
fn compilers_of_c_and_of_c_plus_plus_agree_with_the_header() {
    let scratch = tempfile::tempdir().unwrap();
    for (compiler, standard, name) in [("cc", "-std=c11", "a.c"), ("c++", "-std=c++17", "a.cc")] {
        let source = scratch.path().join(name);
        let text = "#include <slipring/layout.h>
            #include <slipring/layout.h>
            int main(void) {
                struct slipring_description made;
                made.magic[0] = SLIPRING_MAGIC[0];
                made.capacity = SLIPRING_MAX_CAPACITY;
                return made.magic[0] == 'S' && made.capacity >> 40 == 1
                    && SLIPRING_E_CREATE_NAME == 100 ? 0 : 1;
            }";
        std::fs::write(&source, text).unwrap();
        let program = scratch.path().join(format!("{name}.out"));
        let compiled = Command::new(compiler)
            .args([standard, "-Wall", "-Wextra", "-Werror", "-pedantic", "-I"])
            .arg(root().join("include"))
            .arg("-o")
            .args([&program, &source])
            .output();
        let compiled = match compiled {
            Ok(compiled) => compiled,
            Err(error) => {
                println!("LEFT OUT: {compiler} cannot be run ({error}), so the header was not compiled as {standard}");
                continue;
            }
        };
        let errors = String::from_utf8_lossy(&compiled.stderr);
        assert!(compiled.status.success(), "{compiler} {standard}: {errors}");
        assert!(Command::new(program).status().unwrap().success());
    }
}
