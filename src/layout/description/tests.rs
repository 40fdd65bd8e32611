//! Each rule of a description broken alone, and texts of its errors.

use super::*;
use crate::layout::geometry::GeometryError;

fn description() -> Description {
    Description {
        geometry: Geometry::new(1 << 16, 8, 32, 7, false)
            .unwrap()
            .evicting_after(1_000_000)
            .with_board(100)
            .unwrap(),
        form: Form::Lane,
        parameters: [64, 256],
        ring_id: 0x1234_5678_9abc_def0,
        boot_id: 42,
        created_ns: 1,
        maker: MADE_BY.to_owned(),
        origin: Some(Origin {
            id: 1 << 77,
            epoch: 3,
            host: "exchange-3".to_owned(),
        }),
        schema: Some(
            "Quote{time_ns:u64(time),bid:f64(unit=USD)}"
                .parse()
                .unwrap(),
        ),
        opaque: Some(OpaqueMark {
            hash: 1 << 60,
            bytes: 1000,
        }),
        writable: true,
    }
}

fn stamped() -> Description {
    Description {
        geometry: Geometry::new(1 << 16, 8, 32, 7, false)
            .unwrap()
            .stamping()
            .unwrap(),
        form: Form::Ring,
        parameters: [0; 2],
        ..description()
    }
}

fn plain() -> Description {
    Description {
        geometry: Geometry::new(1 << 16, 8, 32, 7, false).unwrap(),
        origin: None,
        schema: None,
        opaque: None,
        ..stamped()
    }
}

fn resealed(page: &mut Page) -> &Page {
    let sum = fnv1a(&page[..CHECKSUM]);
    page[CHECKSUM..].copy_from_slice(&sum.to_le_bytes());
    page
}

/// Why the page of a description is refused after a change.
fn refused(description: &Description, change: impl Fn(&mut Page)) -> DescriptionError {
    let mut page = description.encode();
    change(&mut page);
    Description::decode(resealed(&mut page)).unwrap_err()
}

fn inconsistent(what: &'static str, found: u64, expected: u64) -> DescriptionError {
    DescriptionError::Inconsistent {
        what,
        found,
        expected,
    }
}

#[test]
fn decode_is_the_inverse_of_encode() {
    const { assert!(MADE_BY.len() <= MAKER.width) };
    let longest = format!("{}{{{}:u64}}", "N".repeat(50), "f".repeat(50));
    for d in [
        description(),
        stamped(),
        plain(),
        Description {
            maker: "m".repeat(32),
            origin: Some(Origin {
                id: u128::MAX,
                epoch: u64::MAX,
                host: "h".repeat(64),
            }),
            schema: Some(longest.parse().unwrap()),
            opaque: Some(OpaqueMark {
                hash: 0,
                bytes: OpaqueMark::MAX_BYTES,
            }),
            ..plain()
        },
    ] {
        assert_eq!(Description::decode(&d.encode()), Ok(d));
    }
}

#[test]
fn every_flipped_byte_is_noticed() {
    let page = description().encode();
    for at in 0..PAGE as usize {
        for bit in 0..8 {
            let mut bad = page.clone();
            bad[at] ^= 1 << bit;
            assert!(Description::decode(&bad).is_err(), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn a_schema_file_has_a_length_that_one_can_have() {
    let length =
        |d: &Description, bytes: u32| refused(d, |p| put(p, OPAQUE_BYTES, bytes.to_le_bytes()));
    let (with, max) = (description(), u64::from(OpaqueMark::MAX_BYTES));
    for bytes in [
        1,
        OpaqueMark::MIN_BYTES - 1,
        OpaqueMark::MAX_BYTES + 1,
        u32::MAX,
    ] {
        let expected = inconsistent("length of its schema file", bytes.into(), max);
        assert_eq!(length(&with, bytes), expected);
        assert_eq!(length(&plain(), bytes), expected);
    }
    let expected = inconsistent("hash of no schema file", 1 << 60, 0);
    assert_eq!(length(&with, 0), expected);
}

/// What a creator may not write although readers could do without the rule.
#[test]
fn every_byte_without_a_meaning_is_zero() {
    let (with, without) = (description(), plain());
    let schema = with.schema.as_ref().unwrap().to_string().len();
    let bytes = |what, offset| DescriptionError::Bytes { what, offset };
    for at in [page::SCHEMA_RESERVED, page::RESERVED]
        .into_iter()
        .flatten()
    {
        for d in [&with, &without] {
            assert_eq!(refused(d, |p| p[at] = 1), bytes("reserved byte", at));
        }
    }
    for at in page::IGNORED {
        let mut page = with.encode();
        page[at] = 255;
        let read = Description::decode(resealed(&mut page));
        assert_eq!(read.as_ref(), Ok(&with), "{at}");
    }
    let behind = "byte behind its schema";
    for at in [SCHEMA + schema, SCHEMA + schema + 1, CHECKSUM - 1] {
        assert_eq!(refused(&with, |p| p[at] = 1), bytes(behind, at));
    }
    for at in [SCHEMA, CHECKSUM - 1] {
        assert_eq!(refused(&without, |p| p[at] = 1), bytes(behind, at));
    }
    for at in ORIGIN_EPOCH..=ORIGIN_HOST.at {
        let what = "part of an origin without an identity";
        assert_eq!(refused(&without, |p| p[at] = b'x'), bytes(what, at));
    }
}

#[test]
fn a_plain_ring_has_no_numbers_of_a_form() {
    let stamp_words = u64::from(stamped().geometry.stamp_words());
    for (at, what) in [(176, "first parameter"), (191, "second parameter")] {
        for d in [plain(), stamped()] {
            let found = if at == 176 { 1 } else { 1 << 56 };
            assert_eq!(refused(&d, |p| p[at] = 1), inconsistent(what, found, 0));
        }
    }
    let board = "number of board words";
    assert_eq!(refused(&plain(), |p| p[68] = 1), inconsistent(board, 1, 0));
    let other = stamp_words & !255 | 7;
    let refusal = refused(&stamped(), |p| p[68] = 7);
    assert_eq!(refusal, inconsistent(board, other, stamp_words));
    let unstamped = refused(&stamped(), |p| p[16] &= !(INCOMPATIBLE_STAMPS as u8));
    assert_eq!(unstamped, inconsistent(board, stamp_words, 0));
    // The bit of a form is that of its number.
    let bit = "form bit";
    assert_eq!(refused(&plain(), |p| p[16] |= 4), inconsistent(bit, 1, 0));
    assert_eq!(refused(&plain(), |p| p[164] = 1), inconsistent(bit, 0, 1));
    let lane = refused(&description(), |p| p[16] |= INCOMPATIBLE_STAMPS as u8);
    assert_eq!(lane, inconsistent("stamp bit", 1, 0));
}

#[test]
fn reasons_name_what_is_wrong() {
    let decode = |change: &dyn Fn(&mut Page)| refused(&description(), change);
    assert_eq!(decode(&|p| p[0] = 0), DescriptionError::Foreign);
    for found in [0, 1, 2, 4, 9, 255] {
        let refusal = decode(&|p| p[8] = found);
        let found = u32::from(found);
        assert_eq!(refusal, DescriptionError::Version { found });
    }
    assert_eq!(
        decode(&|p| p[12..16].reverse()),
        DescriptionError::ByteOrder
    );
    assert_eq!(decode(&|p| p[16] = 4), inconsistent("eviction bit", 0, 1));
    assert_eq!(decode(&|p| p[16] = 2), inconsistent("form bit", 0, 1));
    assert_eq!(
        decode(&|p| p[164] = 200),
        DescriptionError::Form { found: 200 }
    );
    assert_eq!(
        decode(&|p| p[68..72].fill(255)),
        DescriptionError::Geometry(GeometryError::Board { words: u32::MAX })
    );
    assert_eq!(
        decode(&|p| p[20] = 1),
        DescriptionError::Features { unknown: 1 << 32 }
    );
    assert!(matches!(
        decode(&|p| p[40] = 1),
        DescriptionError::Geometry(_)
    ));
    // A small ring, as models have, is none for a file.
    assert_eq!(
        decode(&|p| p[40..48].copy_from_slice(&2048u64.to_le_bytes())),
        DescriptionError::Geometry(GeometryError::Capacity { bytes: 2048 })
    );
    assert_eq!(
        decode(&|p| p[160..162].fill(255)),
        inconsistent("schema length", 0xffff, 3576)
    );
    assert!(matches!(
        decode(&|p| p[152] ^= 1),
        DescriptionError::Inconsistent {
            what: "hash of its schema",
            ..
        }
    ));
    for (at, what) in [
        (SCHEMA, "schema"),
        (MAKER.at, "name of its maker"),
        (ORIGIN_HOST.at, "host of its origin"),
    ] {
        let offset = at;
        let refusal = decode(&|p| p[at] = 0x1b);
        assert_eq!(refusal, DescriptionError::Bytes { what, offset });
    }
}

#[test]
fn sizes_are_told_with_what_follows() {
    let d = description();
    let (g, checked) = (&d.geometry, |at: usize| {
        refused(&d, |p| p[at..at + 2].copy_from_slice(&[0, 1])).to_string()
    });
    for (at, what, expected) in [
        (48, "block size", g.block),
        (64, "largest message", u64::from(g.max_message)),
        (80, "index offset", g.index_offset()),
        (88, "data offset", g.data_offset()),
        (96, "stream size", g.stream_bytes()),
        (104, "control size", g.control_bytes()),
    ] {
        let found = expected & !0xffff | 256;
        let text = format!("has a {what} of {found} bytes, {expected} expected");
        assert_eq!(checked(at), text);
    }
}

#[test]
fn a_producer_feature_from_the_future_still_lets_readers_in() {
    let mut page = description().encode();
    page[24] = 1;
    assert!(!Description::decode(resealed(&mut page)).unwrap().writable);
}
