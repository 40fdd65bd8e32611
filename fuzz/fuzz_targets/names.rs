//! Untrusted names and paths, and requests to a broker: accepted ones are single plain components that
//! survive their encoding; the rest is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slipring::segment::{CursorName, Location};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

fuzz_target!(|data: &[u8]| {
    let path = Path::new(OsStr::from_bytes(data));
    if let Ok(location) = Location::at(path) {
        let name = Path::new(location.name());
        let mut components = name.components();
        assert!(matches!(components.next(), Some(Component::Normal(_))));
        assert!(components.next().is_none());
        assert!(!location.name().starts_with('.'));
        assert_eq!(location.path().file_name(), Some(name.as_os_str()));
    }
    if let Ok(text) = core::str::from_utf8(data) {
        let named = Location::named(text);
        if let Ok(location) = &named {
            assert_eq!(location.name(), text);
            assert_eq!(location.path().parent(), Some(location.directory()));
        }
        match CursorName::new(text) {
            Ok(cursor) => {
                assert!(named.is_ok());
                assert_eq!(cursor.to_string(), text);
                assert_eq!(CursorName::from_words(cursor.words()), Some(cursor));
            }
            Err(error) => assert!(named.is_err() && error.to_string().contains("1 to 64")),
        }
    }
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(data.chunks(8)) {
        let mut padded = [0; 8];
        padded[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_le_bytes(padded);
    }
    if let Some(cursor) = CursorName::from_words(words) {
        assert_eq!(cursor.words(), words);
    }
    let _ = slipring::decode_broker_request(data);
});
