//! Newest and shared values of which the program has no type, beside programs that have one.

use slipring::latest::LatestError;
use slipring::place::OpenError;
use slipring::schema::Schema;
use slipring::{Latest, Shared};
use testing::books::Random;
use testing::{no_role, payload, Scratch};

pub const SUITE: testing::Suite = testing::suite!(no_role; [
    bytes_of_any_size_are_values,
    a_value_is_never_half_of_another,
    those_with_a_type_and_those_without_see_the_same,
    changes_of_bytes_are_whole_or_not_at_all,
]);

slipring::message! {
    /// A value with a type.
    pub struct Account { pub balance: i64, pub names: [u16; 5], pub more: [u8; 6] }
}

/// A schema of so many bytes.
fn schema(bytes: u64) -> Schema {
    format!("Bytes{{all:u8[{bytes}]}}").parse().unwrap()
}

/// Of one word, around lines and copies of all widths, and of many.
fn size(random: &mut Random) -> u64 {
    let near = [1, 8, 16, 32, 64, 128, 256, 512, 1024, 4096][random.below(10) as usize];
    match random.below(3) {
        0 => near,
        1 => (near + random.below(17)).saturating_sub(8).max(1),
        _ => 1 + random.below(5000),
    }
}

fn bytes_of_any_size_are_values() {
    let mut random = Random::new();
    for _ in 0..60 {
        let scratch = Scratch::new();
        let path = scratch.0.join("latest");
        let (bytes, cells) = (size(&mut random), 1 + random.below(5) as u32);
        let table = Latest::builder_of(&path, schema(bytes))
            .cells(cells)
            .create()
            .unwrap();
        assert_eq!(table.schema(), Some(&schema(bytes)));
        let mut writer = table.writer().unwrap();
        let elsewhere = Latest::open_any(&path).unwrap();
        assert_eq!(elsewhere.cells(), cells);
        let mut reader = elsewhere.reader().unwrap();
        let mut versions = vec![0; cells as usize];
        for round in 0..40 {
            let cell = random.below(cells.into()) as u32;
            let now = reader.get_at(cell).unwrap();
            assert_eq!(
                now.map_or(0, |(_, version)| version),
                versions[cell as usize]
            );
            let value = payload(round, bytes as usize);
            // Anything else is no value, and changes nothing.
            for wrong in [0, bytes - 1, bytes + 1, bytes + random.below(9000) + 1] {
                let refused = writer.set_at(cell, &payload(round, wrong as usize));
                let (len, expected) = (wrong as u32, bytes as u32);
                if wrong != bytes {
                    assert!(
                        matches!(refused, Err(LatestError::WrongSize { len: l, expected: e }) if (l, e) == (len, expected)),
                        "{refused:?}"
                    );
                }
            }
            let version = writer.set_at(cell, &value).unwrap();
            versions[cell as usize] += 1;
            assert_eq!(version, versions[cell as usize]);
            assert_eq!(
                reader.get_at(cell).unwrap(),
                Some((value.into_boxed_slice(), version))
            );
        }
    }
}

/// A reader beside a writer that sets values as fast as it can.
fn a_value_is_never_half_of_another() {
    let mut random = Random::new();
    for _ in 0..8 {
        let scratch = Scratch::new();
        let path = scratch.0.join("latest");
        let bytes = size(&mut random).max(9);
        let table = Latest::builder_of(&path, schema(bytes)).create().unwrap();
        let mut writer = table.writer().unwrap();
        let mut reader = table.reader().unwrap();
        let value = move |version: u64| {
            let mut value = vec![version as u8; bytes as usize];
            value[..8].copy_from_slice(&version.to_le_bytes());
            value
        };
        let setting = std::thread::spawn(move || {
            for version in 1..=20_000 {
                assert_eq!(writer.set(&value(version)).unwrap(), version);
            }
        });
        let mut last = 0;
        while last < 20_000 {
            match reader.get() {
                Ok(Some((found, version))) => {
                    assert!(version >= last);
                    assert!(*found == *value(version), "torn at {version}");
                    last = version;
                }
                Ok(None) | Err(LatestError::Overtaken) => {}
                Err(error) => panic!("{error}"),
            }
        }
        setting.join().unwrap();
    }
}

fn those_with_a_type_and_those_without_see_the_same() {
    let scratch = Scratch::new();
    let (one, other) = (scratch.0.join("latest"), scratch.0.join("shared"));
    let typed = Latest::<Account>::builder(&one).create().unwrap();
    let account = Account {
        balance: -7,
        names: [1, 2, 3, 4, 5],
        more: [9; 6],
    };
    typed.writer().unwrap().set(&account).unwrap();
    let any = Latest::open_any(&one).unwrap();
    assert_eq!(any.schema(), typed.schema());
    let (bytes, version) = any.reader().unwrap().get().unwrap().unwrap();
    assert_eq!((&*bytes, version), (bytemuck::bytes_of(&account), 1));
    let mut changed = bytes.clone();
    changed[..8].copy_from_slice(&70_i64.to_le_bytes());
    any.writer().unwrap().set(&changed).unwrap();
    let (seen, _) = typed.reader().unwrap().get().unwrap().unwrap();
    assert_eq!((seen.balance, seen.names), (70, account.names));

    // Made without a type, opened with one: the schemas are compared, not only the sizes.
    let schema: Schema = typed.schema().unwrap().clone();
    let mut any = Shared::builder_of(&other, schema.clone()).create().unwrap();
    assert_eq!(&*any.get().unwrap().0, &[0; 24]);
    let mut with_type = Shared::<Account>::open(&other).unwrap();
    with_type.lock().unwrap().balance = 3;
    assert_eq!(any.get().unwrap().0[..8], 3_i64.to_le_bytes());
    drop((any, with_type));
    let elsewhere = scratch.0.join("other");
    let of_size = self::schema(u64::from(schema.bytes()));
    let made = Shared::builder_of(&elsewhere, of_size.clone())
        .create()
        .unwrap();
    let refused = Shared::<Account>::open(&elsewhere).map(drop);
    assert!(
        matches!(refused, Err(OpenError::Schema { .. })),
        "{refused:?}"
    );
    let refused = Shared::builder_of(&elsewhere, schema)
        .create_or_open()
        .map(drop);
    assert!(refused.is_err());
    Shared::builder_of(&elsewhere, of_size)
        .create_or_open()
        .unwrap();
    drop(made);
}

fn changes_of_bytes_are_whole_or_not_at_all() {
    let mut random = Random::new();
    for _ in 0..10 {
        let scratch = Scratch::new();
        let path = scratch.0.join("shared");
        let bytes = size(&mut random).max(8) as usize;
        drop(
            Shared::builder_of(&path, schema(bytes as u64))
                .create()
                .unwrap(),
        );
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (path, seed) = (path.clone(), random.draw() | 1);
                std::thread::spawn(move || {
                    let mut random = Random::seeded(seed);
                    let mut shared = Shared::open_any(&path).unwrap();
                    let mut changes = 0u64;
                    for _ in 0..300 {
                        let mut guard = shared.lock().unwrap();
                        let count = u64::from_le_bytes(guard[..8].try_into().unwrap());
                        assert!(guard[8..].iter().all(|byte| *byte == count as u8));
                        guard[..8].copy_from_slice(&(count + 1).to_le_bytes());
                        guard[8..].fill((count + 1) as u8);
                        if random.below(4) == 0 {
                            guard.discard();
                        } else {
                            assert_eq!(guard.commit().unwrap(), count + 1);
                            changes += 1;
                        }
                    }
                    changes
                })
            })
            .collect();
        let changes: u64 = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum();
        let mut shared = Shared::open_any(&path).unwrap();
        let (value, version) = shared.get().unwrap();
        assert_eq!((value.len(), version), (bytes, changes));
        assert_eq!(value[..8], changes.to_le_bytes());
    }
}
