//! The numbers of errors: each stands for one thing, and all are on their page.

use super::{root, sources};
use std::collections::{BTreeMap, BTreeSet};

/// The variants of public error types, as `Type::Variant`, by the code that the source gives them.
pub(super) fn codes() -> BTreeMap<u32, BTreeSet<String>> {
    let mut found: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for (path, text) in sources("src") {
        for (at, _) in text.match_indices("pub fn code(&self) -> u32 {") {
            let of = text[..at].rfind("\nimpl ").unwrap() + "\nimpl ".len();
            let error = text[of..].split(' ').next().unwrap();
            let body = &text[at..at + text[at..].find("\n    }\n").unwrap()];
            let arms = body
                .lines()
                .filter_map(|line| line.trim().split_once(" => "));
            for (pattern, value) in arms {
                let variant = pattern.strip_prefix("Self::").expect("a variant");
                let variant = variant.split([' ', '(']).next().unwrap();
                let value = value.trim_end_matches(',');
                if value == "error.code()" {
                    continue;
                }
                let code = value.parse().unwrap_or_else(|_| {
                    panic!("{}: the code of {error}::{variant}", path.display())
                });
                found
                    .entry(code)
                    .or_default()
                    .insert(format!("{error}::{variant}"));
            }
        }
    }
    found
}

#[test]
fn a_code_of_an_error_means_one_thing() {
    let codes = codes();
    assert!(codes.len() > 90, "{} codes", codes.len());
    let mut seen = BTreeSet::new();
    for (code, variants) in &codes {
        assert!((100..1000).contains(code), "{code}");
        let kinds: BTreeSet<_> = variants
            .iter()
            .map(|variant| variant.split_once("::").unwrap().1)
            .collect();
        assert_eq!(kinds.len(), 1, "{code} is of {variants:?}");
        for variant in variants {
            assert!(seen.insert(variant.clone()), "{variant} has two codes");
        }
    }
    // A name that several types share is of one number, or of different things: the numbers of a type are
    // in ranges of their own, and only those of a ring's handles are shared.
    for (code, variants) in &codes {
        let shared = variants.len() > 1;
        let may = [100, 407, 408, 409, 410, 411, 413, 899];
        let may = may.contains(code) || (500..700).contains(code);
        assert!(!shared || may, "{code} is of {variants:?}");
    }
}

#[test]
fn every_code_is_on_the_page_of_errors() {
    let page = std::fs::read_to_string(root().join("docs/reference/errors.md")).unwrap();
    let mut listed: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for line in page.lines() {
        let mut cells = line.trim_matches('|').split(" | ").map(str::trim);
        let Some(Ok(code)) = cells.next().map(str::parse) else {
            continue;
        };
        let variants = cells.next().unwrap().split(", ");
        let variants = variants.map(|variant| variant.trim_matches('`').to_owned());
        let before = listed.insert(code, variants.collect());
        assert!(before.is_none(), "{code} is listed twice");
        assert!(cells.next().is_some_and(|meaning| !meaning.is_empty()));
    }
    assert_eq!(listed, codes());
}

#[test]
fn every_public_error_has_a_code() {
    // What others wrap, with a code of theirs, or print.
    const PARTS: [&str; 7] = [
        "DescriptionError",
        "GeometryError",
        "NameError",
        "OpaqueSchemaError",
        "SchemaError",
        "SchemaMismatch",
        "HandError",
    ];
    let library = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let words: BTreeSet<_> = library
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.ends_with("Error") || *word == "SchemaMismatch")
        .collect();
    let with_code: BTreeSet<String> = codes()
        .into_values()
        .flatten()
        .map(|variant| variant.split_once("::").unwrap().0.to_owned())
        .collect();
    for error in words {
        let part = PARTS.contains(&error);
        assert!(part != with_code.contains(error), "{error}");
    }
}
