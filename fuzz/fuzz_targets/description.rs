//! Attaching to arbitrary bytes: any page is a description or a reason, and a description that was
//! accepted means what its page says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slipring::layout::description::{Description, LAYOUT_VERSION};
use slipring::layout::opaque;
use slipring::layout::schema::fnv1a;
use slipring::schema::Schema;

fuzz_target!(|data: &[u8]| {
    let mut page = Box::new([0u8; 4096]);
    let len = data.len().min(4096);
    page[..len].copy_from_slice(&data[..len]);
    check(&page);
    // The same with corrected values where a fuzzer can hardly guess them, so that the later checks are
    // reached.
    page[..8].copy_from_slice(b"SLIPRING");
    page[8..12].copy_from_slice(&LAYOUT_VERSION.to_le_bytes());
    page[12..16].copy_from_slice(&0x0102_0304u32.to_le_bytes());
    let sum = fnv1a(&page[..4088]);
    page[4088..].copy_from_slice(&sum.to_le_bytes());
    check(&page);
    if let Some(schema) = opaque::decode(data) {
        assert_eq!(opaque::encode(&schema), data);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        match text.parse::<Schema>() {
            Ok(schema) => {
                assert_eq!(schema.difference(&schema.without_hints()), None);
                assert_eq!(schema.hash(), schema.without_hints().hash());
                assert_eq!(schema.to_string().parse::<Schema>(), Ok(schema));
            }
            Err(error) => assert!(error.at().is_none_or(|at| text.is_char_boundary(at))),
        }
    }
});

fn check(page: &[u8; 4096]) {
    if let Ok(description) = Description::decode(page) {
        let geometry = description.geometry;
        assert!(geometry.data_offset() + geometry.capacity <= geometry.stream_bytes());
        if description.writable {
            let again = Description::decode(&description.encode());
            assert_eq!(again.as_ref(), Ok(&description));
        }
    }
}
