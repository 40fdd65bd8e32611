//! A ring inside a segment that the `shared_memory` crate created.
#![cfg(feature = "shared_memory")]
#![allow(
    unsafe_code,
    reason = "looks at the segment through an independent mapping"
)]

use shared_memory::ShmemConf;
use slipring::{
    endpoint::{AttachError, TryPublishError, TryReceiveError},
    place::{CreateError, OpenError},
    Ring, Start,
};
use std::os::unix::fs::PermissionsExt;

#[test]
fn an_independent_mapping_sees_the_same_ring() {
    let builder = Ring::heap().capacity_bytes(8192).max_readers(4);
    let bytes = builder.segment_bytes().unwrap() as usize;
    let segment = ShmemConf::new().size(bytes).create().unwrap();
    let id = segment.get_os_id().to_owned();
    let ring = builder.create_in(segment).unwrap();
    let mut producer = ring.producer().unwrap();
    producer.publish(b"written here").unwrap();

    let other = ShmemConf::new().os_id(&id).open().unwrap();
    // The documented layout, read by a program that does not use this library: the magic, and, at the data
    // offset in the description, the commit word and the payload. SAFETY: the mapping is at least `bytes`
    // long and the producer is not writing.
    let seen = unsafe { std::slice::from_raw_parts(other.as_ptr(), bytes) };
    let word = |at: usize| u64::from_le_bytes(seen[at..at + 8].try_into().unwrap());
    assert_eq!(&seen[..8], b"SLIPRING");
    let data = word(88) as usize;
    assert_eq!(word(data), 12 + 1);
    assert_eq!(&seen[data + 8..data + 20], b"written here");

    let adopted = Ring::adopt(other).unwrap();
    assert_eq!(adopted.id(), ring.id());
    assert!(matches!(
        adopted.producer(),
        Err(AttachError::AlreadyOwned { .. })
    ));
    let mut consumer = adopted.consumer(Start::Oldest).unwrap();
    assert_eq!(&*consumer.receive().unwrap().unwrap(), b"written here");
    producer.publish(b"and again").unwrap();
    assert_eq!(&*consumer.receive().unwrap().unwrap(), b"and again");
    assert_eq!(ring.status().unwrap().readers.len(), 1);
}

#[test]
fn a_segment_that_is_too_small_or_foreign_is_refused() {
    let small = ShmemConf::new().size(4096).create().unwrap();
    let refused = Ring::heap().capacity_bytes(8192).create_in(small);
    assert!(matches!(refused, Err(CreateError::NoSpace { .. })));
    let foreign = ShmemConf::new().size(1 << 16).create().unwrap();
    assert!(matches!(
        Ring::adopt(foreign),
        Err(OpenError::Description { .. })
    ));
}

/// Without the guard this test ends by SIGBUS, and all others with it.
#[test]
fn a_segment_that_others_may_cut_short_is_guarded() {
    let builder = Ring::heap().capacity_bytes(8192);
    let bytes = builder.segment_bytes().unwrap() as usize;
    let segment = ShmemConf::new().size(bytes).create().unwrap();
    let name = segment.get_os_id().trim_start_matches('/').to_owned();
    let path = std::path::Path::new("/dev/shm").join(name);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
    let ring = builder.create_in(segment).unwrap();
    let mut producer = ring.producer().unwrap();
    let mut consumer = ring.consumer(Start::Oldest).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&path);
    file.unwrap().set_len(0).unwrap();
    // The first call may be the one that runs into the hole.
    let _ = producer.try_publish(b"lost");
    let _ = consumer.try_receive().map(|_| ());
    let published = producer.try_publish(b"refused");
    assert_eq!(published, Err(TryPublishError::Poisoned));
    let received = consumer.try_receive().map(|_| ());
    assert_eq!(received, Err(TryReceiveError::Poisoned));
}

#[test]
fn a_segment_of_another_user_is_refused() {
    let builder = Ring::heap().capacity_bytes(8192);
    let bytes = builder.segment_bytes().unwrap() as usize;
    let segment = ShmemConf::new().size(bytes).create().unwrap();
    let id = segment.get_os_id().to_owned();
    let ring = builder.create_in(segment).unwrap();
    let file = format!("/dev/shm/{}", id.trim_start_matches('/'));
    if std::os::unix::fs::chown(file, Some(65534), None).is_err() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    let other = ShmemConf::new().os_id(&id).open().unwrap();
    let refused = Ring::adopt(other).unwrap_err();
    assert!(
        matches!(refused, OpenError::Stranger { owner: 65534, .. }),
        "{refused}"
    );
    drop(ring);
}
