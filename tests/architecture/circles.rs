//! Files import from each other in one direction. A circle that cannot be avoided would have its name here, so that
//! no file joins it and no other is added. There is none.

use super::sources;
use std::collections::{BTreeMap, BTreeSet};

/// Files that reach each other by their imports.
const CIRCLES: &[&[&str]] = &[];

/// A module, as the folders and the name of its file.
type Module = Vec<String>;

/// The paths of a `use`, one for each name in its braces.
fn spread(text: &str) -> Vec<String> {
    let Some((before, group)) = text.split_once('{') else {
        return vec![text.split(" as ").next().unwrap().trim().to_owned()];
    };
    let group = &group[..group.rfind('}').unwrap_or(group.len())];
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(c);
    }
    let parts = parts.iter().map(|part| part.trim());
    parts
        .filter(|part| !part.is_empty())
        .flat_map(|part| spread(&format!("{}{part}", before.trim())))
        .collect()
}

/// The modules in the folder of a file, which it can name from itself on.
fn inner(code: &str) -> Vec<String> {
    let lines = code.lines().map(str::trim);
    let names = lines.filter_map(|line| line.split_once("mod ")?.1.strip_suffix(';'));
    names.map(str::to_owned).collect()
}

/// What a file imports, and what it names by a path from its crate, its folder or itself.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let code: String = code
        .lines()
        .map(|line| line.split("//").next().unwrap().to_owned() + "\n")
        .collect();
    let inner: Vec<String> = inner(&code);
    let mut found = BTreeSet::new();
    // A front passes on what lies in its folder, which is no use of it.
    let code: Vec<_> = code
        .split(';')
        .filter(|statement| !statement.trim_start().starts_with("pub use "))
        .collect();
    for statement in &code {
        if let Some(at) = statement.rfind("use ") {
            let path: Vec<_> = statement[at + 4..].split_whitespace().collect();
            found.extend(spread(&path.join(" ")));
        }
    }
    for word in code
        .join(";")
        .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
    {
        found.insert(word.trim_end_matches(':').to_owned());
    }
    let from_here = |path: String| {
        let (first, _) = path.split_once("::")?;
        match path.strip_prefix("self::") {
            Some(rest) => Some(format!("self::{rest}")),
            None if inner.iter().any(|name| name == first) => Some(format!("self::{path}")),
            None if ["crate", "super"].contains(&first) => Some(path),
            None => None,
        }
    };
    found.into_iter().filter_map(from_here).collect()
}

/// The module that a path leads into, seen from another one.
fn resolve(
    path: &str,
    from: &Module,
    modules: &BTreeMap<Module, BTreeSet<Module>>,
) -> Option<Module> {
    let mut names: Vec<&str> = path.split("::").map(str::trim).collect();
    let mut at = from.clone();
    match names[0] {
        "crate" => {
            at.clear();
            names.remove(0);
        }
        "self" => {
            names.remove(0);
        }
        _ => {}
    }
    while names.first() == Some(&"super") {
        at.pop();
        names.remove(0);
    }
    at.extend(names.iter().map(|name| (*name).to_owned()));
    while !modules.contains_key(&at) {
        at.pop()?;
    }
    Some(at)
}

/// The circles of a crate. A `mod.rs` is the front of its folder, and imports from the files behind it.
fn circles(folder: &str) -> Vec<BTreeSet<String>> {
    let root = super::root().join(folder);
    let mut texts = BTreeMap::new();
    for (path, text) in sources(folder) {
        let path = path.strip_prefix(&root).unwrap().with_extension("");
        let module: Module = path
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .collect();
        let front = ["mod", "lib", "main"].contains(&module.last().unwrap().as_str());
        if !front {
            texts.insert(module, text);
        }
    }
    let mut edges: BTreeMap<Module, BTreeSet<Module>> = texts
        .keys()
        .map(|module| (module.clone(), BTreeSet::new()))
        .collect();
    for (module, text) in &texts {
        let targets: BTreeSet<_> = imports(text)
            .iter()
            .filter_map(|path| resolve(path, module, &edges))
            .filter(|target| target != module)
            .collect();
        edges.insert(module.clone(), targets);
    }
    let reach = |from: &Module| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(module) = next.pop() {
            for target in &edges[&module] {
                if seen.insert(target.clone()) {
                    next.push(target.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<_, _> = edges
        .keys()
        .map(|from| (from.clone(), reach(from)))
        .collect();
    let named = |module: &Module| format!("{folder}/{}", module.join("/"));
    let mut found: Vec<BTreeSet<String>> = Vec::new();
    for (module, there) in &reached {
        if !there.contains(module) {
            continue;
        }
        let circle = there
            .iter()
            .filter(|other| reached[*other].contains(module));
        let circle: BTreeSet<_> = circle.map(named).collect();
        if !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

#[test]
fn no_circle_of_files_is_added() {
    let found: BTreeSet<_> = ["src", "cli/src", "fields/src"]
        .into_iter()
        .flat_map(circles)
        .collect();
    let known: BTreeSet<BTreeSet<String>> = CIRCLES
        .iter()
        .map(|circle| circle.iter().map(|file| (*file).to_owned()).collect())
        .collect();
    let added: Vec<_> = found.difference(&known).collect();
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(added.is_empty(), "new circles: {added:#?}");
    assert!(gone.is_empty(), "take these off the list: {gone:#?}");
}

#[test]
fn what_a_file_imports_is_found() {
    let found = imports(
        "use super::a::{self, b::{C, D as E}};\n// use super::no;\nlet x = crate::f::g(1);\n",
    );
    for path in [
        "super::a::self",
        "super::a::b::C",
        "super::a::b::D",
        "crate::f::g",
    ] {
        assert!(found.contains(path), "{path}: {found:?}");
    }
    assert!(!found.iter().any(|path| path.contains("no")));
}
