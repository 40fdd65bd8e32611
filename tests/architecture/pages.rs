//! Pages lead to each other in the repository and in the documentation of the crate alike.
//!
//! A page names a link by the page it leads to, `[text][guide/ring#heading]`. Its own last lines say where that is in the
//! repository. The documentation of the crate puts `docs/rustdoc-links.md` before each page, which says where it is there:
//! the first definition of a name counts.

use super::root;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

const IN_THE_CRATE: &str = "docs/rustdoc-links.md";

/// The anchors of a page, as the repository's host makes them of its headings.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter_map(|line| {
        let heading = line.trim_start_matches('#');
        (heading.len() < line.len() && heading.starts_with(' ')).then_some(heading.trim())
    });
    headings
        .map(|heading| {
            let kept = heading.to_lowercase();
            let kept = kept
                .chars()
                .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// The pages of the project, those below folders included.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
    ]
    .map(|page| root().join(page))
    .into();
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                pages.push(path);
            }
        }
    }
    assert!(pages.len() > 25, "the pages are somewhere else");
    pages
}

/// The text of a page without its blocks of code and without what lies between backquotes.
fn prose(page: &str) -> String {
    let mut prose = String::new();
    let mut code = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
        } else if !code {
            let outside = line.split('`').step_by(2);
            prose.extend(outside);
            prose.push('\n');
        }
    }
    prose
}

/// The links of a page by name, and its definitions of names.
fn links(page: &str) -> (BTreeSet<String>, BTreeMap<String, String>) {
    let prose = prose(page);
    let used = prose.split("][").skip(1);
    let used = used.filter_map(|rest| rest.split_once(']'));
    let defined = prose.lines().filter_map(|line| {
        let (name, target) = line.strip_prefix('[')?.split_once("]: ")?;
        Some((name.to_owned(), target.to_owned()))
    });
    (
        used.map(|(name, _)| name.to_owned()).collect(),
        defined.collect(),
    )
}

/// The page with this name, as in a link.
fn named(name: &str) -> PathBuf {
    let path = match name {
        "front page" => "README",
        "pages" => "docs/README",
        name => name,
    };
    let places = [
        path.to_owned(),
        format!("{path}.md"),
        format!("docs/{path}.md"),
    ];
    let found = places.iter().map(|place| root().join(place));
    found
        .into_iter()
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("a link leads to {name}, which is no page"))
}

#[test]
fn every_page_and_heading_that_is_linked_exists() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let (_, defined) = links(&text);
        let inline = text.split("](").skip(1);
        let inline = inline.filter_map(|rest| rest.split(')').next());
        for link in inline.chain(defined.values().map(String::as_str)) {
            let (target, anchor) = link.split_once('#').unwrap_or((link, ""));
            if target.contains("://") || page.ends_with(IN_THE_CRATE) {
                continue;
            }
            let path = match target {
                "" => page.clone(),
                target => page.parent().unwrap().join(target),
            };
            assert!(path.exists(), "{} links to {target}", page.display());
            let known = || anchors(&fs::read_to_string(&path).unwrap());
            assert!(
                anchor.is_empty() || known().contains(&anchor.to_owned()),
                "{} links to {link}, which has no such heading",
                page.display()
            );
        }
    }
}

#[test]
fn a_link_leads_to_the_page_it_names_in_the_repository_and_in_the_crate() {
    let crate_links = fs::read_to_string(root().join(IN_THE_CRATE)).unwrap();
    let (_, in_the_crate) = links(&crate_links);
    let mut all = BTreeSet::new();
    for page in pages() {
        // The list of pages is no page of the crate.
        if page.ends_with(IN_THE_CRATE) || page.ends_with("docs/README.md") {
            continue;
        }
        let text = fs::read_to_string(&page).unwrap();
        let name = page.display();
        for rest in prose(&text).split("](").skip(1) {
            let target = rest.split(')').next().unwrap();
            assert!(
                target.contains("://"),
                "{name} links to {target} by its path, which the documentation of the crate does not have"
            );
        }
        let (used, defined) = links(&text);
        let names: BTreeSet<String> = defined.keys().cloned().collect();
        assert_eq!(
            used, names,
            "{name}: the links, and the definitions of links"
        );
        for (link, target) in defined {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let meant = named(path).canonicalize().unwrap();
            let (to, at) = target.split_once('#').unwrap_or((&target, ""));
            let to = match to {
                "" => page.clone(),
                to => page.parent().unwrap().join(to),
            };
            assert_eq!(
                (to.canonicalize().unwrap(), at),
                (meant, anchor),
                "{name}: {link}"
            );
            all.insert(link);
        }
    }
    let names: BTreeSet<String> = in_the_crate.into_keys().collect();
    assert_eq!(all, names, "links of pages, and {IN_THE_CRATE}");
}

/// A block without a language is taken for Rust there, and compiled.
#[test]
fn every_block_of_code_says_what_it_is() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let fences = text.lines().filter(|line| line.starts_with("```"));
        for opening in fences.step_by(2) {
            assert_ne!(opening, "```", "{}", page.display());
        }
    }
}
