//! Opaque schemas: a file beside the messages, which belongs to its ring, or is refused with a reason.

use slipring::{
    broker::{Access, Broker, BrokerError},
    place::{CreateError, OpenError, RemoveError},
    registry::{leftovers_in, remove_at, Why},
    schema::OpaqueSchema,
    Ring, Start,
};
use std::fs;
use std::os::unix::fs::{symlink, MetadataExt, PermissionsExt};
use std::path::Path;
use testing::{payload, Scratch};

fn opaque(len: usize) -> OpaqueSchema {
    OpaqueSchema::new("sbe", format!("of-{len}.xml"), payload(len as u64, len)).unwrap()
}

fn created(path: &Path, len: usize) -> Ring {
    let builder = Ring::builder(path).capacity_bytes(8192);
    builder.opaque_schema(&opaque(len)).create().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o777
}

/// Every size from the smallest to the largest, with and without a schema of fields; another process reads what the
/// creator gave, as long as the ring is there.
#[test]
fn every_process_reads_what_the_creator_gave() {
    let fields = "Q{a:u64}".parse::<slipring::schema::Schema>().unwrap();
    for len in [
        0,
        1,
        7,
        100,
        4095,
        4096,
        4097,
        65_536,
        (1 << 20) - 1,
        1 << 20,
    ] {
        for with_fields in [false, true] {
            let scratch = Scratch::new();
            let mut builder = Ring::builder(scratch.ring()).capacity_bytes(8192);
            if with_fields {
                builder = builder.schema(fields.clone());
            }
            let bare = builder.segment_bytes().unwrap();
            let builder = builder.opaque_schema(&opaque(len));
            let whole = builder.segment_bytes().unwrap();
            let made = builder.create().unwrap();
            let opened = Ring::open(scratch.ring()).unwrap();
            for ring in [&made, &opened] {
                assert_eq!(ring.opaque_schema().unwrap(), Some(opaque(len)), "{len}");
                assert_eq!(ring.schema().is_some(), with_fields);
                assert_eq!(ring.memory_bytes(), whole);
            }
            let file = fs::metadata(scratch.ring().join("schema")).unwrap().len();
            assert_eq!(whole - bare, file);
            // Messages of any size: it checks nothing.
            if !with_fields {
                made.producer().unwrap().publish(b"any").unwrap();
                let mut consumer = opened.consumer(Start::Oldest).unwrap();
                assert_eq!(&*consumer.try_receive().unwrap(), b"any");
            }
        }
    }
    let scratch = Scratch::new();
    let ring = Ring::builder(scratch.ring()).create().unwrap();
    assert_eq!(ring.opaque_schema().unwrap(), None);
    // A file that no description names is none.
    fs::write(scratch.ring().join("schema"), b"planted").unwrap();
    assert_eq!(
        Ring::open(scratch.ring()).unwrap().opaque_schema().unwrap(),
        None
    );
}

/// Who may read the messages may read the schema, and only the owner writes it.
#[test]
fn the_file_has_the_mode_of_the_stream() {
    for bits in [0o600, 0o640, 0o644, 0o660, 0o666, 0o604, 0o000] {
        let scratch = Scratch::new();
        let builder = Ring::builder(scratch.ring()).mode(bits);
        builder.opaque_schema(&opaque(10)).create().unwrap();
        let of = |file: &str| mode(&scratch.ring().join(file));
        assert_eq!(of("schema"), of("stream"), "{bits:o}");
        assert_eq!(of("schema") & 0o022, 0);
    }
}

/// A ring without a directory has no place for it, and says so before anything is made.
#[test]
fn rings_without_a_directory_refuse_it() {
    let refused = |result: Result<Ring, CreateError>| match result {
        Err(error @ CreateError::OpaqueSchema) => {
            assert_eq!(error.code(), 109);
            assert!(error.to_string().contains("give it a name"), "{error}");
        }
        other => panic!("{other:?}"),
    };
    refused(Ring::heap().opaque_schema(&opaque(1)).create());
    refused(Ring::anonymous().opaque_schema(&opaque(1)).create());
    let scratch = Scratch::new();
    let builder = Ring::anonymous().opaque_schema(&opaque(1));
    let broker = Broker::bind(scratch.ring(), builder, Access::own_user());
    assert!(matches!(
        broker.map(|_| ()),
        Err(BrokerError::Create(CreateError::OpaqueSchema))
    ));
    #[cfg(feature = "shared_memory")]
    {
        let segment = shared_memory::ShmemConf::new()
            .size(1 << 20)
            .create()
            .unwrap();
        let builder = Ring::heap().capacity_bytes(8192).opaque_schema(&opaque(1));
        refused(builder.create_in(segment));
    }
}

/// The file goes with its ring, and is never that of another ring of the name.
#[test]
fn the_file_is_removed_with_its_ring() {
    for force in [false, true] {
        let scratch = Scratch::new();
        let ring = created(&scratch.ring(), 100);
        remove_at(scratch.ring(), force).unwrap();
        assert!(!scratch.ring().exists());
        let gone = |ring: &Ring| matches!(ring.opaque_schema(), Err(OpenError::NotFound { .. }));
        assert!(gone(&ring));
        let next = created(&scratch.ring(), 200);
        assert!(gone(&ring));
        assert_eq!(next.opaque_schema().unwrap(), Some(opaque(200)));
        let directory = scratch.ring().parent().unwrap().to_owned();
        let names = fs::read_dir(directory).unwrap().count();
        assert_eq!(names, 1, "nothing is left of the first");
    }
    // A file of this name is no sign of a ring.
    let scratch = Scratch::new();
    fs::create_dir(scratch.ring()).unwrap();
    fs::write(scratch.ring().join("schema"), b"of a user").unwrap();
    for force in [false, true] {
        let refused = remove_at(scratch.ring(), force);
        assert!(
            matches!(refused, Err(RemoveError::Open(OpenError::Untrusted { .. }))),
            "{refused:?}"
        );
    }
    assert_eq!(
        fs::read(scratch.ring().join("schema")).unwrap(),
        b"of a user"
    );
}

/// What a creator or a remover that died has left is found with its schema, and removed.
#[test]
fn half_a_ring_is_removed_with_its_schema() {
    for files in [
        &["schema"][..],
        &["control", "schema"],
        &["control", "lock", "schema", "stream"],
    ] {
        let scratch = Scratch::new();
        let directory = scratch.ring().parent().unwrap().to_owned();
        let half = directory.join(".ring.0123456789abcdef");
        fs::create_dir(&half).unwrap();
        for file in files {
            fs::write(half.join(file), [0; 1000]).unwrap();
        }
        let left = leftovers_in(&directory).unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].why, Why::Half);
        let counted = files.iter().filter(|file| **file != "lock").count();
        assert_eq!(left[0].bytes, 1000 * counted as u64);
        assert!(left[0].remove().unwrap());
        assert!(!half.exists());
    }
}

/// Any change of the file is noticed with its reason, and the ring stays usable.
#[test]
fn a_file_that_is_not_the_rings_is_refused() {
    type Change = (&'static str, u32, fn(&Path));
    let changes: [Change; 8] = [
        ("missing", 202, |file| fs::remove_file(file).unwrap()),
        ("empty", 204, |file| fs::write(file, b"").unwrap()),
        ("short", 204, |file| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..bytes.len() - 1]).unwrap();
        }),
        ("long", 205, |file| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, [&bytes[..], b"x"].concat()).unwrap();
        }),
        ("changed", 205, |file| {
            let mut bytes = fs::read(file).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            fs::write(file, bytes).unwrap();
        }),
        ("a link", 202, |file| {
            let other = file.parent().unwrap().with_extension("other");
            fs::rename(file, &other).unwrap();
            symlink(other, file).unwrap();
        }),
        ("of two names", 202, |file| {
            fs::hard_link(file, file.parent().unwrap().with_extension("other")).unwrap();
        }),
        ("for all to write", 202, |file| {
            fs::set_permissions(file, fs::Permissions::from_mode(0o666)).unwrap();
        }),
    ];
    for (what, code, change) in changes {
        let scratch = Scratch::new();
        let ring = created(&scratch.ring(), 500);
        change(&scratch.ring().join("schema"));
        let opened = Ring::open(scratch.ring()).unwrap();
        for ring in [&ring, &opened] {
            let error = ring.opaque_schema().expect_err(what);
            assert_eq!(error.code(), code, "{what}: {error}");
        }
        opened.producer().unwrap().publish(b"usable").unwrap();
        let mut consumer = opened.consumer(Start::Oldest).unwrap();
        assert_eq!(&*consumer.try_receive().unwrap(), b"usable");
    }
}

/// An existing ring keeps its schema; another one that was asked for is a difference.
#[test]
fn another_schema_is_a_difference() {
    let scratch = Scratch::new();
    created(&scratch.ring(), 100);
    let ask = |len: Option<usize>| {
        let mut builder = Ring::builder(scratch.ring()).capacity_bytes(8192);
        if let Some(len) = len {
            builder = builder.opaque_schema(&opaque(len));
        }
        let ring = builder.create_or_open().unwrap();
        assert_eq!(ring.opaque_schema().unwrap(), Some(opaque(100)));
        let settings = ring
            .differences()
            .iter()
            .map(|difference| difference.setting);
        settings.collect::<Vec<_>>()
    };
    assert_eq!(ask(None), [""; 0]);
    assert_eq!(ask(Some(100)), [""; 0]);
    assert_eq!(ask(Some(101)), ["opaque schema"]);
}
