//! The rules of the source tree that the compiler does not know, and the documents that repeat what
//! the code says.

#[path = "architecture/check.rs"]
mod check;
#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/errors.rs"]
mod errors;
#[path = "architecture/handles.rs"]
mod handles;
#[path = "architecture/header.rs"]
mod header;
#[path = "architecture/languages.rs"]
mod languages;
#[path = "architecture/pages.rs"]
mod pages;

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
const LAYERS: [&str; 23] = [
    "sync",
    "layout",
    "segment",
    "check",
    "ring",
    "wait",
    "read",
    "reactor",
    "attach",
    "endpoint",
    "events",
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

/// What lies below the interface.
const BELOW: [&str; 6] = ["sync", "layout", "segment", "ring", "wait", "read"];

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
            // The documentation of a call may point at any other.
            let code: Vec<&str> = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect();
            for used in code.join("\n").split("crate::").skip(1) {
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
    let of_crates = ["src", "cli/src", "fields/src"].map(sources);
    for (path, text) in of_crates.into_iter().flatten() {
        assert!(
            text.starts_with("//! "),
            "{} has no contract",
            path.display()
        );
        let lines = text.lines().count();
        let most = match path.ends_with("queue/receiver.rs") {
            true => 700,
            false => 630,
        };
        assert!(lines <= most, "{} has {lines} lines", path.display());
    }
}

/// What opens a tag in the code.
const TAGGED: [&str; 2] = ["ord!(", "edge_fence!("];

/// The files whose orderings have tags: all but those that define what a tag is.
fn tagged_sources() -> impl Iterator<Item = (PathBuf, String)> {
    let files = sources("src").into_iter();
    files.filter(|(path, _)| !path.parent().is_some_and(|folder| folder.ends_with("sync")))
}

/// The tags in a text: `ord!(publish commit: Release)` is `publish commit:Release`. Also where each of them begins
/// and ends.
fn tags_in(text: &str) -> Vec<(String, std::ops::Range<usize>)> {
    let mut tags = Vec::new();
    for opening in TAGGED {
        for (at, _) in text.match_indices(opening) {
            let rest = &text[at + opening.len()..];
            let tag = rest.split(')').next().unwrap();
            let whole = at..at + opening.len() + tag.len() + 1;
            tags.push((tag.replace(": ", ":"), whole));
        }
    }
    tags
}

/// One line of the table of edges.
struct Site {
    tag: String,
    /// `file: model` of all that notice a mutant; none where the table says why there is none.
    models: Vec<(String, String)>,
}

fn documented_sites() -> Vec<Site> {
    let page = fs::read_to_string(root().join("docs/reference/memory-model.md")).unwrap();
    // Lines of a tag, and no heading: `| `publish commit:Release` | ...`.
    let is_tag = |text: &str| text.contains(' ') && text.contains(':');
    let rows = page.lines().filter(|line| {
        let first = line
            .strip_prefix("| `")
            .and_then(|line| line.split('`').next());
        first.is_some_and(is_tag)
    });
    rows.map(|line| {
        let tag = line.split('`').nth(1).unwrap().to_owned();
        let caught = line.split('|').nth(4).unwrap().trim();
        let mut models = Vec::new();
        if let Some(reason) = caught.strip_prefix('-') {
            assert!(!reason.trim().is_empty(), "{tag}: no reason");
        } else {
            for named in caught.split(';') {
                let (file, names) = named.split_once(':').unwrap();
                let file = file.trim().trim_matches('`');
                let names = names.split(',').map(|name| name.trim().to_owned());
                models.extend(names.map(|name| (file.to_owned(), name)));
            }
        }
        Site { tag, models }
    })
    .collect()
}

#[test]
fn every_site_has_a_tag_of_its_own_and_a_line_in_the_table_of_edges() {
    let mut in_code = BTreeSet::new();
    for (path, text) in tagged_sources() {
        for (tag, _) in tags_in(&text) {
            let is_new = in_code.insert(tag.clone());
            assert!(is_new, "{}: another site is {tag} too", path.display());
        }
    }
    let documented: Vec<String> = documented_sites()
        .into_iter()
        .map(|site| site.tag)
        .collect();
    let unique: BTreeSet<String> = documented.iter().cloned().collect();
    assert_eq!(documented.len(), unique.len(), "a site has two lines");
    let missing: Vec<_> = in_code.difference(&unique).collect();
    assert!(missing.is_empty(), "sites without a line: {missing:?}");
    let gone: Vec<_> = unique.difference(&in_code).collect();
    assert!(gone.is_empty(), "lines without a site: {gone:?}");
}

/// Orderings and fences outside of tags, as `line: word`.
fn untagged(text: &str) -> Vec<String> {
    let mut text = text.to_owned();
    for (_, whole) in tags_in(&text.clone()) {
        let blanks = " ".repeat(whole.len());
        text.replace_range(whole, &blanks);
    }
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap();
        let mut at = 0;
        for word in code.split(|c: char| !is_part(c)) {
            at += word.len();
            let is_called = code[at..].starts_with('(');
            let is_ordering = ["SeqCst", "Acquire", "Release", "AcqRel"].contains(&word);
            if is_ordering || is_called && ["fence", "compiler_fence"].contains(&word) {
                found.push(format!("{}: {word}", number + 1));
            }
            at += code[at..].chars().next().map_or(0, char::len_utf8);
        }
    }
    found
}

#[test]
fn no_ordering_and_no_fence_is_without_a_tag() {
    let files: Vec<_> = tagged_sources().collect();
    assert!(files.len() > 100, "the sources are somewhere else");
    for (path, text) in files {
        let untagged = untagged(&text);
        assert!(untagged.is_empty(), "{}: {untagged:?}", path.display());
    }
}

#[test]
fn what_is_looked_for_is_found() {
    for (text, expected) in [
        (
            "x.load(Relaxed); x.load(ord!(publish site: Acquire)); // Acquire",
            &[][..],
        ),
        (
            "edge_fence!(publish site: SeqCst);\nfence_armed(); AcquireError",
            &[],
        ),
        ("doc = \"costs no fence, as said\"", &[]),
        ("use crate::sync::Ordering::SeqCst;", &["1: SeqCst"]),
        ("ord!(publish a: Release), Ordering::AcqRel", &["1: AcqRel"]),
        ("\nx.store(0, Ordering::Release)", &["2: Release"]),
        ("fence(Ordering::Acquire);", &["1: fence", "1: Acquire"]),
    ] {
        assert_eq!(untagged(text), expected, "{text}");
    }
}

/// The text of a function in a file of models.
fn function<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let at = text.find(&format!("\nfn {name}("))?;
    let text = &text[at + 1..];
    Some(text.find("\n}\n").map_or(text, |end| &text[..end]))
}

#[test]
fn every_mutant_the_table_of_edges_promises_is_in_the_models() {
    let mut promised = BTreeSet::new();
    for site in documented_sites() {
        for (file, model) in site.models {
            let path = root().join(format!("loom-tests/tests/{file}.rs"));
            let text = fs::read_to_string(&path).unwrap();
            assert!(
                function(&text, &model).is_some(),
                "{}: {file} has no model {model}",
                site.tag
            );
            promised.insert((file, model, site.tag.clone()));
        }
    }
    // What the tests of the models demand: a test that weakens sites names them, and the models that notice.
    let mut demanded = BTreeSet::new();
    for (path, text) in sources("loom-tests/tests") {
        let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
        for test in text.split("#[test]\n").skip(1) {
            let test = test.split("\n}\n").next().unwrap();
            let calls = ["assert_notices(", "assert_sleeps_for_ever("];
            for call in calls.iter().flat_map(|call| test.split(call).skip(1)) {
                let arguments = call
                    .split(");")
                    .next()
                    .unwrap()
                    .trim_end_matches([',', '\n', ' ']);
                let model = arguments.rsplit(',').next().unwrap().trim().to_owned();
                let given = arguments.split(',').next().unwrap().trim();
                let tags: Vec<&str> = if given == "tag" {
                    test.split('"')
                        .skip(1)
                        .step_by(2)
                        .filter(|text| text.contains(':') && text.contains(' '))
                        .collect()
                } else {
                    vec![given.trim_matches('"')]
                };
                for tag in tags {
                    demanded.insert((file.clone(), model.clone(), tag.to_owned()));
                }
            }
        }
    }
    let missing: Vec<_> = promised.difference(&demanded).collect();
    assert!(
        missing.is_empty(),
        "models that no test demands it of: {missing:?}"
    );
    let unsaid: Vec<_> = demanded.difference(&promised).collect();
    assert!(
        unsaid.is_empty(),
        "models that the table does not name: {unsaid:?}"
    );
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
    let page = fs::read_to_string(root().join("docs/reference/protocol.md")).unwrap();
    assert!(
        page.contains(&dump),
        "docs/reference/protocol.md should contain:\n{dump}"
    );
    // The table of offsets in the same document.
    let description = Description {
        geometry,
        form: slipring::Form::Ring,
        parameters: [0; 2],
        ring_id: 0,
        boot_id: 0,
        created_ns: 0,
        maker: String::new(),
        origin: None,
        schema: None,
        opaque: None,
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

/// Safe code could write shared memory with what lies below the interface.
#[test]
fn what_lies_below_the_interface_is_private() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let lines: Vec<&str> = lib.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let module = line
            .strip_prefix("pub mod ")
            .map(|name| name.trim_end_matches(';'));
        if module.is_some_and(|name| BELOW.contains(&name)) {
            let before = &lines[at.saturating_sub(2)..at];
            let guarded = before.contains(&"#[cfg(feature = \"internals\")]");
            assert!(guarded, "{line} is open to all programs");
        }
    }
    for name in BELOW {
        assert!(
            lib.contains(&format!("\nmod {name};")),
            "{name} is not private"
        );
    }
    let manifest =
        |folder: &str| fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap();
    let own = manifest("");
    assert!(own.contains("\ndefault = []\n") && own.contains("\ninternals = []\n"));
    assert!(!manifest("cli").contains("internals"));
}
