//! The rules of the source tree that the compiler does not know, and the documents that repeat what
//! the code says.

use slipring::layout::description::Description;
use slipring::layout::geometry::Geometry;
use slipring::ring::producer::Producer;
use slipring::segment::Memory;
use slipring::sync::Ordering::Relaxed;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

/// The layers from below: a folder may import from those before it.
const LAYERS: [&str; 18] = [
    "sync",
    "layout",
    "segment",
    "ring",
    "wait",
    "endpoint",
    "typed",
    "broker",
    "latest",
    "link",
    "pipe",
    "fifo",
    "queue",
    "mailbox",
    "semaphore",
    "shared",
    "signals",
    "registry",
];

/// The forms, which do not use each other.
const FORMS: [&str; 9] = [
    "pipe",
    "fifo",
    "latest",
    "link",
    "queue",
    "mailbox",
    "semaphore",
    "shared",
    "signals",
];

/// But for these.
const BUILT_ON: [(&str, &str); 3] = [
    ("shared", "semaphore"),
    ("fifo", "pipe"),
    ("mailbox", "queue"),
];

#[test]
fn a_file_imports_only_from_layers_below() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for layer in LAYERS {
        assert!(
            lib.contains(&format!("mod {layer};")),
            "{layer} is not a module any more"
        );
    }
    for (height, layer) in LAYERS.iter().enumerate() {
        for (path, text) in sources(&format!("src/{layer}")) {
            for used in text.split("crate::").skip(1) {
                let name: String = used
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if let Some(other) = LAYERS.iter().position(|l| *l == name) {
                    assert!(other <= height, "{} imports {name}", path.display());
                }
                let both = [*layer, name.as_str()].map(|l| FORMS.contains(&l));
                assert!(
                    both != [true, true]
                        || name == *layer
                        || BUILT_ON.contains(&(*layer, name.as_str())),
                    "{} uses {name}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn the_protocol_is_free_of_what_it_must_not_know() {
    for (path, text) in sources("src") {
        if path.parent().is_some_and(|folder| folder.ends_with("sync")) {
            continue;
        }
        assert!(
            !text.contains("sync::atomic"),
            "{} names atomics",
            path.display()
        );
        assert!(
            !text.contains("loom::"),
            "{} names the model checker",
            path.display()
        );
    }
    for (path, text) in sources("src/ring").into_iter().chain(sources("src/wait")) {
        assert!(
            !text.contains("slipring_loom"),
            "{} knows the build",
            path.display()
        );
    }
    for (path, text) in sources("src/ring") {
        for word in [
            "unsafe {",
            "std::time",
            "Instant",
            "rustix",
            "libc::",
            "std::fs",
        ] {
            assert!(!text.contains(word), "{} says {word}", path.display());
        }
    }
    let ring = fs::read_to_string(root().join("src/ring/mod.rs")).unwrap();
    assert!(ring.contains("#![forbid(unsafe_code)]"));
}

#[test]
fn every_file_opens_with_its_contract_and_stays_small() {
    for (path, text) in sources("src").into_iter().chain(sources("cli/src")) {
        assert!(
            text.starts_with("//! "),
            "{} has no contract",
            path.display()
        );
        let lines = text.lines().count();
        assert!(lines <= 620, "{} has {lines} lines", path.display());
    }
}

/// The tags in the code: `ord!(E1: Release)` is `E1:Release`, `edge_fence!(E2 reserve: Release)` is
/// `E2 reserve:Release`.
fn tags_in_code() -> BTreeSet<String> {
    let mut tags = BTreeSet::new();
    for (path, text) in sources("src") {
        if path.ends_with("sync/mod.rs") || path.ends_with("sync/model.rs") {
            continue;
        }
        for call in ["ord!(", "edge_fence!("] {
            for used in text.split(call).skip(1) {
                let tag = used.split(')').next().unwrap();
                tags.insert(tag.replace(": ", ":"));
            }
        }
    }
    tags
}

#[test]
fn the_edge_table_names_every_ordering_and_no_other() {
    let table = fs::read_to_string(root().join("docs/memory-model.md")).unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `E"));
    let documented: BTreeSet<String> = rows
        .map(|line| line.split('`').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(tags_in_code(), documented);
}

#[test]
fn every_mutant_the_edge_table_promises_is_in_the_models() {
    let models: String = sources("loom-tests/tests")
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    let table = fs::read_to_string(root().join("docs/memory-model.md")).unwrap();
    for line in table.lines().filter(|line| line.starts_with("| `E")) {
        let tag = line.split('`').nth(1).unwrap();
        let caught = line.split('|').nth(4).unwrap().trim();
        let has_mutant = models.contains(&format!("\"{tag}\""));
        assert_eq!(
            has_mutant,
            !caught.starts_with('-'),
            "{tag}: the table says {caught:?}"
        );
    }
}

#[test]
fn the_hex_dump_in_the_protocol_is_what_the_code_writes() {
    let geometry = Geometry::new(4096, 8, 4, 7, false).unwrap();
    let memory = Memory::local(geometry);
    let mut producer = Producer::attach(memory.clone(), 0).unwrap();
    producer.try_publish(b"hello").unwrap();
    producer.try_publish(b"slipring").unwrap();
    producer.try_publish(b"").unwrap();
    let words = |from: u64, to: u64| {
        (from..to)
            .step_by(8)
            .map(|at| memory.words().at(at).load(Relaxed))
    };
    let mut dump = String::new();
    for (row, word) in words(0, 48).enumerate() {
        let bytes: Vec<String> = word
            .to_le_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        dump += &format!("{:04x}  {}\n", row * 8, bytes.join(" "));
    }
    let page = fs::read_to_string(root().join("docs/protocol.md")).unwrap();
    assert!(
        page.contains(&dump),
        "docs/protocol.md should contain:\n{dump}"
    );
    // The table of offsets in the same document.
    let description = Description {
        geometry,
        form: slipring::Form::Ring,
        parameters: [0; 2],
        ring_id: 0,
        boot_id: 0,
        created_ns: 0,
        schema: None,
        writable: true,
    };
    let bytes = description.encode();
    for (offset, name) in [
        (0, "magic"),
        (8, "layout version"),
        (40, "capacity"),
        (88, "data offset"),
    ] {
        assert!(
            page.contains(&format!("| {offset} |")) && page.contains(name),
            "{name}"
        );
    }
    assert_eq!(
        u64::from_le_bytes(bytes[88..96].try_into().unwrap()),
        geometry.data_offset()
    );
}

#[test]
fn every_document_that_is_linked_exists() {
    let mut pages = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    pages.extend(
        fs::read_dir(root().join("docs"))
            .unwrap()
            .map(|e| e.unwrap().path()),
    );
    for page in pages
        .iter()
        .filter(|page| page.extension().is_some_and(|e| e == "md"))
    {
        let text = fs::read_to_string(page).unwrap();
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = page.parent().unwrap().join(target);
            assert!(path.exists(), "{} links to {target}", page.display());
        }
    }
}
