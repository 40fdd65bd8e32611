//! The header is what the sources say, and says nothing else.
//!
//! `SLIPRING_HEADER=accept cargo test --test header` writes it anew.

use std::path::Path;

#[test]
fn the_header_is_what_the_sources_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let bindings = cbindgen::Builder::new()
        .with_crate(root)
        .with_config(config)
        .generate()
        .unwrap();
    let mut expected = Vec::new();
    bindings.write(&mut expected);
    let expected = String::from_utf8(expected).unwrap();
    let path = root.join("include/slipring.h");
    if std::env::var("SLIPRING_HEADER").is_ok_and(|value| value == "accept") {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let other = found.lines().zip(expected.lines()).find(|(a, b)| a != b);
    assert!(
        found == expected,
        "include/slipring.h differs, first in {other:?}: SLIPRING_HEADER=accept writes it anew"
    );
}
